//! Dead letters of a store are those of all its processes: none is lost with the one whose callback failed.

use std::collections::BTreeSet;
use std::time::Instant;

use super::death::create;
use super::*;

fn shop(dir: &Dir) -> Shop {
    Shop { class: "audit".into(), ..dir.shop() }
}

/// A session with data whose `on_end` fails in a clerk; tells its id.
fn fail(clerk: &mut Process) -> String {
    let (id, token) = create(clerk);
    assert_eq!(clerk.ask(&format!("set {token} n 7")), "ok");
    assert_eq!(clerk.ask(&format!("end {id} 30000")), "ended ended audit.on_end=as told");
    assert!(clerk.told().starts_with(&format!("audit.on_end {id} ")));
    id
}

/// The dead letters as a clerk sees them: the words of each.
fn letters(clerk: &mut Process) -> Vec<Vec<String>> {
    let answer = clerk.ask("letters");
    let all = answer.strip_prefix("ok ").unwrap_or_else(|| panic!("{answer}"));
    let words = |line: &str| line.split(' ').map(str::to_owned).collect();
    all.split(" | ").filter(|line| !line.is_empty()).map(words).collect()
}

#[test]
fn a_dead_letter_of_a_killed_process_is_everybodys_and_is_delivered_once_for_all() {
    let dir = Dir::new();
    let shop = shop(&dir);
    let (mut bad, mut other) = (Process::clerk(&shop), Process::clerk(&shop));
    assert_eq!(bad.ask("register audit fails"), "ok");
    let ids: Vec<String> = (0..3).map(|_| fail(&mut bad)).collect();
    let seen = letters(&mut other);
    assert_eq!(seen, letters(&mut bad));
    bad.kill();
    assert_eq!(letters(&mut other), seen);
    for (letter, id) in seen.iter().zip(&ids) {
        assert_eq!((&*letter[1], &letter[2], &*letter[4], &*letter[5]), ("audit.on_end", id, "as_told", "data"));
        // What failed is known, too.
        assert_eq!(other.ask(&format!("failures {id}")), "ok audit.on_end: as told");
    }
    assert_eq!(other.ask("stats dead_letters"), "3");
    // None of them is told again by itself: it is a dead letter, and nothing else.
    assert_eq!(other.ask("register audit"), "ok");
    assert_eq!(other.ok("drain 20000"), ["true"]);
    assert_eq!(other.link.take_told(), [""; 0]);
    // After a restart of all they are there still, the same ones.
    other.leave();
    let mut next = Process::clerk(&shop);
    assert_eq!(letters(&mut next), seen);
    assert_eq!(next.ask("register audit"), "ok");
    assert_eq!(next.ask(&format!("redeliver {}", seen[1][0])), "ok 1");
    assert_eq!(next.told(), format!("audit.on_end {} {} ended again", ids[1], seen[1][3]));
    next.ask_until("stats dead_letters", "2");
    assert_eq!(next.ask("redeliver all"), "ok 2");
    for (id, letter) in [(&ids[0], &seen[0]), (&ids[2], &seen[2])] {
        assert_eq!(next.told(), format!("audit.on_end {id} {} ended again", letter[3]));
    }
    assert_eq!(next.ok("drain 20000"), ["true"]);
    assert_eq!((&*next.ask("stats dead_letters"), &*next.ask("redeliver all")), ("0", "ok 0"));
    next.leave();
    let mut last = Process::clerk(&shop);
    assert_eq!((letters(&mut last).len(), &*last.ask("check")), (0, "ok"));
}

#[test]
fn a_dead_letter_that_a_killed_process_was_delivering_again_is_there_again() {
    let dir = Dir::new();
    let shop = shop(&dir);
    let (mut bad, mut hangs) = (Process::clerk(&shop), Process::clerk(&shop));
    assert_eq!(bad.ask("register audit fails"), "ok");
    fail(&mut bad);
    let seen = letters(&mut bad);
    for again in [false, true] {
        assert_eq!(hangs.ask("register audit hangs 1"), "ok");
        assert_eq!(hangs.ask("redeliver all"), "ok 1");
        assert!(hangs.told().ends_with(" ended again"));
        assert_eq!((letters(&mut bad).len(), &*bad.ask("redeliver all")), (0, "ok 0"));
        hangs.kill();
        if again {
            // Nor is it lost with everybody.
            bad.kill();
            bad = Process::clerk(&shop);
        }
        bad.ask_until("stats dead_letters", "1");
        assert_eq!(letters(&mut bad), seen);
        hangs = Process::clerk(&shop);
    }
}

#[test]
fn whoever_ends_a_session_hears_how_callbacks_of_other_processes_went() {
    let dir = Dir::new();
    let shop = shop(&dir);
    let (mut ends, mut good) = (Process::clerk(&shop), Process::clerk(&shop));
    assert_eq!(good.ask("register audit"), "ok");
    let (id, _) = create(&mut ends);
    assert_eq!(ends.ask(&format!("end {id} 30000")), "ended ended audit.on_end=delivered");
    good.leave();
    let mut bad = Process::clerk(&shop);
    assert_eq!(bad.ask("register audit fails"), "ok");
    let (id, _) = create(&mut ends);
    assert_eq!(ends.ask(&format!("end {id} 30000")), "ended ended audit.on_end=as told");
    assert_eq!(ends.ask(&format!("failures {id}")), "ok audit.on_end: as told");
    assert_eq!(ends.ask("stats dead_letters"), "1");
    // Who does not wait for long enough is told what is known.
    bad.leave();
    let (id, _) = create(&mut ends);
    assert_eq!(ends.ask(&format!("end {id} 1")), "ended ended");
}

#[test]
fn every_end_whose_callback_fails_is_one_dead_letter_whoever_is_killed() {
    let dir = Dir::new();
    let shop = shop(&dir);
    let mut seed = Seed::new("letters");
    let mut stays = Process::clerk(&shop);
    assert_eq!(stays.ask("register audit fails"), "ok");
    let mut made = BTreeSet::new();
    for _ in 0..rounds(20, 1000) {
        let mut victim = Process::clerk(&shop);
        assert_eq!(victim.ask("register audit fails"), "ok");
        let ids: Vec<String> = (0..8).map(|_| create(&mut victim).0).collect();
        ids.iter().for_each(|id| victim.tell(&format!("end {id}")));
        for _ in 0..seed.below(8) {
            assert_eq!(victim.answer(), "ended ended");
        }
        let until = Instant::now() + Duration::from_micros(seed.below(2000) as u64);
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        victim.kill();
        for id in &ids {
            let answer = stays.ask(&format!("end {id}"));
            assert!(["ended ended", "gone ended"].contains(&&*answer), "{answer}");
        }
        made.extend(ids);
    }
    wait_until("each has its dead letter", || {
        assert_eq!(stays.ok("drain 20000"), ["true"]);
        letters(&mut stays).len() >= made.len()
    });
    let letters = letters(&mut stays);
    let of: BTreeSet<String> = letters.iter().map(|letter| letter[2].clone()).collect();
    assert_eq!((letters.len(), &of), (made.len(), &made));
    assert_eq!(stays.ask("stats dead_letters"), made.len().to_string());
    assert_eq!(stays.ask("check"), "ok");
}
