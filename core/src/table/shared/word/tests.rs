use super::*;
use crate::table::shared::map::Map;
use crate::table::shared::processes::Processes;
use crate::table::shared::testing::{BOUND, Other, Scratch, listen, role, say, until};
use std::sync::atomic::AtomicU64;

const PROCESS: &str = "table::shared::word::tests::another_process";

fn everybody(_: u32) -> bool {
    true
}

fn waited(word: &Word) -> bool {
    word.0.load(Ordering::Acquire) & WAITED != 0
}

/// What the other processes of these tests do; a test of its own is none.
#[test]
fn another_process() {
    let Some((role, dir)) = role() else { return };
    let map = Map::open(&dir).expect("open").expect("a hot file");
    let processes = Processes::open(&dir).expect("open");
    let me = (1..).find(|number| processes.take(*number).expect("take")).expect("a number");
    let alive = |number| processes.alive(number);
    let head = map.head();
    let word = &head.writing.word;
    match role.as_str() {
        "hold" => {
            assert!(!word.lock(me, &alive));
            say("locked");
            listen();
        }
        "wait" => {
            say("waits");
            word.lock(me, &alive);
            say("locked");
            listen();
            word.unlock();
            say("freed");
            listen();
        }
        "count" => {
            say("ready");
            listen();
            for _ in 0..COUNTS {
                word.lock(me, &alive);
                let seen = head.counters.created.load(Ordering::Relaxed);
                head.counters.created.store(seen + 1, Ordering::Relaxed);
                word.unlock();
            }
            say("done");
        }
        "race" => {
            say("ready");
            listen();
            let mut mine = 0;
            loop {
                word.lock(me, &alive);
                let seen = head.counters.created.load(Ordering::Relaxed);
                head.counters.created.store(seen + 1, Ordering::Relaxed);
                let since = Instant::now();
                while since.elapsed() < Duration::from_micros(20) {
                    std::hint::spin_loop();
                }
                word.unlock();
                if seen >= RACE {
                    break;
                }
                mine += 1;
            }
            say(&mine.to_string());
        }
        "bell" => {
            let bell = &head.participants[0].bell;
            let seen = bell.load(Ordering::Acquire);
            say("listens");
            until("the bell rings", || {
                wait(bell, seen, BOUND);
                bell.load(Ordering::Acquire) != seen
            });
            say("heard");
        }
        other => panic!("no role {other}"),
    }
}

const COUNTS: u64 = 30_000;
const RACE: u64 = 20_000;

fn store(scratch: &Scratch) -> (Map, Processes) {
    let processes = Processes::open(&scratch.store()).expect("open");
    assert_eq!(processes.take(1), Ok(true));
    (Map::create(&scratch.store()).expect("create"), processes)
}

#[test]
fn a_free_lock_is_taken_and_says_whose_it_is() {
    let word = Word::default();
    assert_eq!(word.owner(), 0);
    assert!(!word.lock(7, &|_| panic!("nobody is asked about a free lock")));
    assert_eq!(word.owner(), 7);
    assert!(!word.try_lock(7) && !word.try_lock(8));
    word.unlock();
    assert_eq!(word.owner(), 0);
    assert!(word.try_lock(MOST));
    assert_eq!(word.owner(), MOST);
}

#[test]
fn threads_of_one_owner_exclude_each_other() {
    let (word, count) = (Word::default(), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..COUNTS {
                    assert!(!word.lock(1, &everybody));
                    count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
                    word.unlock();
                }
            });
        }
    });
    assert_eq!(count.into_inner(), 4 * COUNTS);
    assert_eq!(word.0.into_inner(), 0);
}

#[test]
fn who_waited_keeps_the_bit_for_those_who_still_do() {
    let word = Word::default();
    let order = std::sync::Mutex::new(Vec::new());
    assert!(word.try_lock(1));
    std::thread::scope(|scope| {
        for me in [2, 3] {
            let (word, order) = (&word, &order);
            scope.spawn(move || {
                assert!(!word.lock(me, &everybody));
                order.lock().expect("order").push((me, waited(word)));
                word.unlock();
            });
        }
        until("somebody waits", || waited(&word));
        word.unlock();
    });
    let order = order.into_inner().expect("order");
    assert_eq!(order.len(), 2);
    // One that had not come to wait yet may have come first, but the last waiter took the bit along.
    assert!(order.iter().any(|(_, bit)| *bit), "{order:?}");
    assert_eq!(word.0.into_inner(), 0);
}

#[test]
fn one_of_many_takes_over_from_the_dead() {
    const DEAD: u32 = 9;
    let (word, taken_over) = (Word::default(), AtomicU64::new(0));
    for _ in 0..5 {
        assert!(word.try_lock(DEAD));
        std::thread::scope(|scope| {
            for me in 1..=4 {
                let (word, taken_over) = (&word, &taken_over);
                scope.spawn(move || {
                    taken_over.fetch_add(u64::from(word.lock(me, &|owner| owner != DEAD)), Ordering::Relaxed);
                    word.unlock();
                });
            }
        });
    }
    assert_eq!(taken_over.into_inner(), 5);
}

#[test]
fn two_processes_exclude_each_other() {
    let scratch = Scratch::new();
    let (map, _processes) = store(&scratch);
    let mut others = [(); 2].map(|()| Other::spawn(PROCESS, "count", &scratch.store()));
    others.iter().for_each(|other| other.expect("ready"));
    others.iter_mut().for_each(|other| other.tell("go"));
    others.iter().for_each(|other| other.expect("done"));
    assert_eq!(map.head().counters.created.load(Ordering::Relaxed), 2 * COUNTS);
    assert_eq!(map.head().writing.word.owner(), 0);
}

#[test]
fn two_contenders_have_their_shares() {
    let scratch = Scratch::new();
    let (_map, _processes) = store(&scratch);
    let mut others = [(); 2].map(|()| Other::spawn(PROCESS, "race", &scratch.store()));
    others.iter().for_each(|other| other.expect("ready"));
    others.iter_mut().for_each(|other| other.tell("go"));
    let shares = others.map(|other| other.hear().parse::<u64>().expect("a number"));
    assert_eq!(shares.iter().sum::<u64>(), RACE);
    eprintln!("shares {shares:?}");
    assert!(shares.iter().all(|share| *share > RACE / 10), "one of them starves: {shares:?}");
}

#[test]
fn the_lock_of_a_killed_process_is_taken_over() {
    let scratch = Scratch::new();
    let (map, processes) = store(&scratch);
    let word = &map.head().writing.word;
    for round in 0..10 {
        let mut other = Other::spawn(PROCESS, "hold", &scratch.store());
        other.expect("locked");
        assert_eq!(word.owner(), 2);
        // It lives: nobody takes anything from it.
        assert!(!word.try_lock(1) && processes.alive(2));
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| word.lock(1, &|number| processes.alive(number)));
            if round % 2 == 0 {
                until("somebody waits", || waited(word));
            }
            other.kill();
            assert!(waiter.join().expect("the waiter"), "taken over");
        });
        assert_eq!(word.owner(), 1);
        word.unlock();
        assert_eq!(word.owner(), 0);
    }
}

#[test]
fn a_process_killed_while_it_waits_leaves_no_trace() {
    let scratch = Scratch::new();
    let (map, processes) = store(&scratch);
    let word = &map.head().writing.word;
    let alive = |number| processes.alive(number);
    for _ in 0..5 {
        assert!(!word.lock(1, &alive));
        let mut other = Other::spawn(PROCESS, "wait", &scratch.store());
        other.expect("waits");
        until("it waits", || waited(word));
        other.kill();
        word.unlock();
        assert_eq!(word.0.load(Ordering::Relaxed), 0);
        assert!(!word.lock(1, &alive) && !waited(word));
        word.unlock();
    }
}

#[test]
fn a_process_that_waits_is_woken() {
    let scratch = Scratch::new();
    let (map, processes) = store(&scratch);
    let word = &map.head().writing.word;
    assert!(!word.lock(1, &|number| processes.alive(number)));
    let mut other = Other::spawn(PROCESS, "wait", &scratch.store());
    other.expect("waits");
    until("it waits", || waited(word));
    assert_eq!(word.owner(), 1);
    word.unlock();
    other.expect("locked");
    assert_eq!(word.owner(), 2);
    other.tell("free it");
    other.expect("freed");
    assert!(word.try_lock(1));
}

#[test]
fn a_bell_is_heard_in_another_process() {
    let scratch = Scratch::new();
    let (map, _processes) = store(&scratch);
    let other = Other::spawn(PROCESS, "bell", &scratch.store());
    other.expect("listens");
    let bell = &map.head().participants[0].bell;
    bell.fetch_add(1, Ordering::AcqRel);
    wake_all(bell);
    other.expect("heard");
    // A word that is something else already is not waited for.
    wait(bell, 0, BOUND);
}
