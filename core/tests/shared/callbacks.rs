//! CB-10: callbacks over several processes: at least once across a crash, by whoever registered the class.

use std::collections::BTreeMap;
use std::time::Instant;

use super::*;

/// One delivery as a clerk tells it.
#[derive(Debug)]
struct Told {
    what: String,
    session: String,
    event: String,
    reason: String,
    again: bool,
}

fn hear(clerk: &mut Process) -> Told {
    let line = clerk.told();
    let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
    let [what, session, event, reason, again] = words.try_into().unwrap_or_else(|words| panic!("{words:?}"));
    Told { what, session, event, reason, again: again == "again" }
}

fn shop(dir: &Dir) -> Shop {
    Shop { class: "audit".into(), ..dir.shop() }
}

fn create(clerk: &mut Process) -> (String, String) {
    let words = clerk.ok("create");
    (words[0].clone(), words[1].clone())
}

#[test]
fn what_was_not_acknowledged_when_the_process_was_killed_is_told_again_under_the_same_id() {
    let dir = Dir::new();
    let shop = shop(&dir);
    let mut first = Process::clerk(&shop);
    let mut made: Vec<String> = (0..10).map(|_| create(&mut first).0).collect();
    assert_eq!(first.ask("register audit hangs 3"), "ok");
    for id in &made {
        assert_eq!(first.ask(&format!("end {id}")), "ended ended");
    }
    let told: Vec<Told> = (0..3).map(|_| hear(&mut first)).collect();
    first.kill();
    assert!(told.iter().all(|told| told.what == "audit.on_end" && told.reason == "ended" && !told.again), "{told:?}");

    let mut second = Process::clerk(&shop);
    assert_eq!(second.ask("register audit"), "ok");
    let mut again = BTreeMap::new();
    // The third and the seven after it. One of the first two may come again: its acknowledgement was on its way.
    made.retain(|id| *id != told[0].session && *id != told[1].session);
    while made.iter().any(|id| !again.contains_key(id)) {
        let told = hear(&mut second);
        assert_eq!((&*told.what, &*told.reason), ("audit.on_end", "ended"));
        assert!(again.insert(told.session.clone(), told).is_none(), "twice in one process");
    }
    assert_eq!(second.ok("drain 20000"), ["true"]);
    for early in &told {
        match again.get(&early.session) {
            Some(late) => assert!(late.event == early.event && late.again, "{early:?}, then {late:?}"),
            None => assert_ne!(early.session, told[2].session),
        }
    }
    assert!(again.len() <= 10);
    assert_eq!(second.link.take_told(), [""; 0]);
    // What is acknowledged is over: a third process hears nothing of it.
    second.leave();
    let mut third = Process::clerk(&shop);
    assert_eq!(third.ask("register audit"), "ok");
    assert_eq!(third.ok("drain 20000"), ["true"]);
    assert_eq!(third.link.take_told(), [""; 0]);
}

#[test]
fn the_process_that_made_the_session_is_told_before_others() {
    let dir = Dir::new();
    let shop = shop(&dir);
    let (mut maker, mut other) = (Process::clerk(&shop), Process::clerk(&shop));
    for clerk in [&mut maker, &mut other] {
        assert_eq!(clerk.ask("register audit"), "ok");
    }
    for _ in 0..5 {
        let (id, _) = create(&mut maker);
        assert_eq!(other.ask(&format!("end {id}")), "ended ended");
        let told = hear(&mut maker);
        assert_eq!((told.session, told.again), (id, false));
    }
    let (id, _) = create(&mut maker);
    maker.kill();
    let killed = Instant::now();
    assert_eq!(other.ask(&format!("end {id}")), "ended ended");
    // The acknowledgement of the one before may have been on its way.
    let told = std::iter::from_fn(|| Some(hear(&mut other))).find(|told| !told.again).expect("told");
    assert_eq!(told.session, id);
    assert!(killed.elapsed() < Duration::from_secs(10), "told after {:?}", killed.elapsed());
    assert_eq!(other.link.take_told(), [""; 0]);
}

#[test]
fn a_class_that_only_another_process_has_is_called_there() {
    let dir = Dir::new();
    let shop = shop(&dir);
    let (mut ends, mut tells) = (Process::clerk(&shop), Process::clerk(&shop));
    assert_eq!(tells.ask("register audit"), "ok");
    for _ in 0..5 {
        let (id, _) = create(&mut ends);
        assert_eq!(ends.ask(&format!("end {id}")), "ended ended");
        let told = hear(&mut tells);
        assert_eq!((told.session, told.again), (id, false));
    }
}

#[test]
fn what_nobody_has_waits_for_who_registers_it() {
    let dir = Dir::new();
    let shop = shop(&dir);
    let mut first = Process::clerk(&shop);
    let (id, _) = create(&mut first);
    assert_eq!(first.ask(&format!("end {id}")), "ended ended");
    first.leave();
    let mut second = Process::clerk(&shop);
    assert_eq!(second.ask("register audit"), "ok");
    let told = hear(&mut second);
    assert_eq!((told.session, &*told.reason), (id, "ended"));
}

#[test]
fn a_callback_that_runs_in_a_killed_process_is_run_by_another() {
    let dir = Dir::new();
    let shop = shop(&dir);
    let (mut first, mut second) = (Process::clerk(&shop), Process::clerk(&shop));
    assert_eq!(first.ask("register audit hangs 1"), "ok");
    assert_eq!(second.ask("register audit"), "ok");
    let (id, _) = create(&mut first);
    assert_eq!(first.ask(&format!("end {id}")), "ended ended");
    let early = hear(&mut first);
    first.kill();
    let late = hear(&mut second);
    assert_eq!((&late.session, &late.event, late.again), (&id, &early.event, true));
}

#[test]
fn what_expired_while_nobody_was_there_ends_at_the_first_opening_with_its_callbacks() {
    let dir = Dir::new();
    let shop = Shop { idle_ms: 300, ..shop(&dir) };
    let mut first = Process::clerk(&shop);
    let made: Vec<_> = (0..3).map(|_| create(&mut first)).collect();
    let created = Instant::now();
    first.kill();
    wait_until("their time is over", || created.elapsed() > Duration::from_millis(400));
    let mut second = Process::clerk(&shop);
    assert_eq!((&*second.ask("count"), &*second.ask("audit"), &*second.ask("check")), ("0", "equal 0", "ok"));
    for (_, token) in &made {
        assert_eq!(second.ask(&format!("touch {token}")), "gone expired_while_down");
    }
    assert_eq!(second.ask("register audit"), "ok");
    let mut told = BTreeMap::<String, Vec<String>>::new();
    for _ in 0..6 {
        let one = hear(&mut second);
        assert_eq!(one.reason, "expired_while_down");
        told.entry(one.session).or_default().push(one.what);
    }
    for (id, _) in &made {
        assert_eq!(told[id], ["audit.on_timeout", "audit.on_end"]);
    }
}

#[test]
fn explain_names_the_process_of_a_request() {
    let dir = Dir::new();
    let shop = shop(&dir);
    let (mut one, mut other) = (Process::clerk(&shop), Process::clerk(&shop));
    let (id, token) = create(&mut one);
    assert_eq!(one.ask(&format!("begin r {token} 1000")), "ok");
    let seen = other.ok(&format!("requests {id}"));
    assert_eq!(seen, [one.id().to_string()]);
    let text = other.ask(&format!("explain {id}"));
    assert!(text.contains(&one.id().to_string()), "{text}");
    assert_eq!(one.ask("finish r"), "ok");
    assert_eq!(other.ask(&format!("begin r {token} 1000")), "ok");
    assert_eq!(one.ok(&format!("requests {id}")), [other.id().to_string()]);
}

#[test]
fn explain_names_the_process_that_is_told_of_an_end() {
    let dir = Dir::new();
    let shop = shop(&dir);
    let (mut ends, mut tells) = (Process::clerk(&shop), Process::clerk(&shop));
    assert_eq!(tells.ask("register audit hangs 1"), "ok");
    let (id, _) = create(&mut ends);
    assert_eq!(ends.ask(&format!("end {id}")), "ended ended");
    assert_eq!(hear(&mut tells).session, id);
    let text = ends.ask(&format!("explain {id}"));
    assert!(text.contains(&tells.id().to_string()), "{text}");
}
