//! Processes that are stopped: what they hold can't be taken from them, nothing else is held up, and all goes on when they
//! are continued or killed.

use std::time::{Duration, Instant};

use super::death::{SECOND, create, leader};
use super::denials::refused;
use super::link::Link;
use super::*;

/// Pages that the scribe writes at once: most of its time it is in the middle of a transaction.
const PAGES: u8 = 12;
/// Bytes of a page.
const PAGE: usize = 60_000;

/// The role: writes a book again and again, and says `.` after each.
pub fn role(mut link: Link, shop: Shop) {
    let manager = shop.open();
    let teller = link.teller();
    std::thread::spawn(move || {
        while link.line().is_some() {}
        std::process::exit(0);
    });
    let begun = manager.begin_new(CreateOptions::new("shop"), BeginOptions::default());
    let request = begun.expect("a session");
    for text in (0..=u8::MAX).cycle() {
        for page in 0..PAGES {
            request.set(&path(&format!("page {page}")), Value::Bytes(vec![text; PAGE])).expect("set");
        }
        request.save().expect("save");
        if !teller.tell(".") {
            std::process::exit(0);
        }
    }
}

fn scribe(shop: &Shop) -> Process {
    let mut scribe = Process::start("scribe", shop);
    at_work(&mut scribe);
    scribe
}

fn at_work(scribe: &mut Process) {
    for _ in 0..3 {
        assert_eq!(scribe.link.line().as_deref(), Some("."));
    }
}

/// Stops the scribe in the middle of a transaction; gives back what another that wants to write was answered.
fn stop_in_a_transaction(scribe: &mut Process, other: &mut Process, write: &str, brief: &str) -> String {
    let until = Instant::now() + BOUND;
    loop {
        scribe.link.without_waiting(|_| {});
        assert_eq!(other.ask(&format!("touch {brief}")), "live");
        scribe.freeze();
        let answer = other.ask(write);
        if answer.starts_with("error") {
            return answer;
        }
        scribe.thaw();
        assert!(Instant::now() < until, "it was never stopped in the middle of a transaction");
        at_work(scribe);
    }
}

#[test]
fn a_process_stopped_in_a_transaction_is_named_and_holds_up_only_who_writes() {
    let dir = Dir::new();
    let shop = dir.shop();
    let (mut other, mut reader) = (Process::clerk(&shop), Process::clerk(&shop));
    let (_, kept) = create(&mut other);
    assert_eq!(other.ask(&format!("begin w {kept} 1000")), "ok");
    assert_eq!(other.ask("put w n 7"), "ok");
    let (_, plain) = create(&mut reader);
    assert_eq!(reader.ask(&format!("set {plain} n 1")), "ok");
    let (id, _) = create(&mut other);
    let write = format!("idle {id} 0");
    let mut scribe = scribe(&shop);
    for killed in [false, true] {
        let (id, brief) = create(&mut reader);
        assert_eq!(reader.ask(&format!("idle {id} 4000")), "ok");
        let answer = stop_in_a_transaction(&mut scribe, &mut other, &write, &brief);
        let wanted = format!("error unavailable process {} (rust) has held the books for ", scribe.id());
        assert!(answer.starts_with(&wanted), "{answer}");
        assert!(answer.contains(&format!("kill -CONT {}", scribe.id())), "{answer}");
        // Once it is known, nobody waits for long any more.
        let begun = Instant::now();
        for _ in 0..20 {
            assert!(other.ask("create").starts_with("error unavailable process "));
        }
        assert!(begun.elapsed() < BOUND / 2);
        // What needs no books goes on.
        assert_eq!(reader.ask(&format!("touch {plain}")), "live");
        assert_eq!(reader.ask(&format!("begin r {plain} 0")), "ok");
        assert_eq!(reader.ask("finish r"), "ok");
        assert_eq!(reader.ask(&format!("get {plain} n")), "ok 1");
        assert!(reader.ask("usage").ends_with("/1000"));
        assert_eq!(reader.ok("ids").len(), 5, "the scribe's session is listed, too");
        // What is overdue is seen by nobody, though nobody can end it yet.
        reader.ask_until(&format!("touch {brief}"), "gone idle_timeout");
        assert_eq!(reader.ask(&format!("begin b {brief} 0")), "gone idle_timeout");
        let sessions: u64 = reader.ask("count").parse().expect("a number");
        assert_eq!(sessions, 5, "it is not ended yet");
        // What can't be written is not lost either.
        assert!(other.ask("finish w").starts_with("error unavailable process "));
        if killed {
            scribe.kill();
        } else {
            scribe.thaw();
            at_work(&mut scribe);
        }
        assert_eq!(other.ask("finish w"), "ok");
        assert_eq!(other.ask(&format!("get {kept} n")), "ok 7");
        assert_eq!(other.ask(&format!("begin w {kept} 1000")), "ok");
        assert_eq!(other.ask("put w n 7"), "ok");
        let answer = other.ask("create");
        let id =
            answer.strip_prefix("ok ").and_then(|rest| rest.split(' ').next()).unwrap_or_else(|| panic!("{answer}"));
        assert_eq!(other.ask(&format!("end {id}")), "ended ended");
        reader.ask_until("count", "4");
        assert_eq!((&*other.ask("audit"), &*other.ask("check")), ("equal 4", "ok"));
    }
    other.ask_until("stats in_flight", "1");
}

#[test]
fn a_frozen_process_holds_up_nobody() {
    let dir = Dir::new();
    let shop = Shop { idle_ms: 60_000, ..dir.shop() };
    let (mut frozen, mut other) = (Process::clerk(&shop), Process::clerk(&shop));
    let (_, theirs) = create(&mut frozen);
    assert_eq!(frozen.ask(&format!("begin r {theirs} 1000")), "ok");
    assert_eq!(frozen.ask("put r n 1"), "ok");
    frozen.freeze();
    for _ in 0..20 {
        let (id, token) = create(&mut other);
        assert_eq!(other.ask(&format!("set {token} n 1")), "ok");
        assert_eq!(other.ask(&format!("end {id}")), "ended ended");
    }
    // The frozen one is not dead: its lock stays its own.
    assert!(other.ask(&format!("begin r {theirs} 50")).starts_with("error lock_timeout"));
    frozen.thaw();
    assert_eq!(frozen.ask("finish r"), "ok");
    assert_eq!(other.ask(&format!("get {theirs} n")), "ok 1");
}

#[test]
fn others_reap_while_the_leader_is_frozen() {
    in_time(Duration::from_millis(300) + SECOND, "another reaps in place of a frozen leader", || {
        let dir = Dir::new();
        let shop = Shop { idle_ms: 300, ..dir.shop() };
        let mut leader = leader(&shop);
        let mut other = Process::clerk(&shop);
        leader.freeze();
        create(&mut other);
        let made = Instant::now();
        other.ask_until("count", "0");
        assert_eq!(other.ask("audit"), "equal 0");
        let took = made.elapsed();
        leader.thaw();
        assert_eq!((&*leader.ask("count"), &*leader.ask("audit"), &*leader.ask("check")), ("0", "equal 0", "ok"));
        took
    });
}

#[test]
fn a_process_frozen_at_any_moment_costs_time_and_nothing_else() {
    let dir = Dir::new();
    let shop = dir.shop();
    let mut seed = Seed::new("freeze");
    let mut busy = Process::start("busy", &shop);
    busy.tell(&format!("go {}", seed.number()));
    let mut other = Process::clerk(&shop);
    for _ in 0..rounds(20, 1000) {
        for _ in 0..seed.below(30) {
            busy.link.line().expect("a process at work");
        }
        busy.freeze();
        // In the middle of a commit it has the writer's lock, and nobody can take that from the living.
        other.tell("create");
        busy.thaw();
        let answer = other.answer();
        let id = answer.split(' ').nth(1).unwrap_or_else(|| panic!("{answer}")).to_owned();
        assert_eq!(other.ask(&format!("end {id}")), "ended ended");
    }
    busy.tell("pause");
    while busy.link.line().expect("a process at work") != "paused" {}
    assert_eq!(other.ask("check"), "ok");
    assert!(other.ask("audit").starts_with("equal"));
}

#[test]
fn the_accounts_are_read_while_a_process_is_stopped_in_a_transaction() {
    let dir = Dir::new();
    // One unit is the scribe's, the other one is held.
    let shop = Shop { capacity: 2, pool: r#"{"audit_records": 10000000}"#.into(), ..dir.shop() };
    let manager = shop.open();
    let mut other = Process::clerk(&shop);
    let (id, kept) = create(&mut other);
    let mut scribe = scribe(&shop);
    let mut refuser = Process::clerk(&shop);
    // It notes denials between the scribe's transactions, which take them along; and gives up once nobody goes on.
    refuser.tell("refused 1000000000");
    wait_until("it refuses", || manager.usage("users").expect("usage").denials > 10);
    let answer = stop_in_a_transaction(&mut scribe, &mut other, &format!("idle {id} 0"), &kept);
    assert!(answer.starts_with("error unavailable process "), "{answer}");
    let told = refuser.answer();
    assert!(told.starts_with("error unavailable process "), "{told}");
    let begun = Instant::now();
    let (accounts, known) = (manager.audit_records("users", 0, usize::MAX).expect("accounts"), refused(&manager));
    assert!(begun.elapsed() < BOUND / 2);
    assert!(!known.is_empty());
    let mut before = (0, 0);
    for record in &accounts {
        assert_eq!((record.seq, record.before), (before.0 + 1, before.1), "a gap: {record:?}");
        before = (record.seq, record.after);
    }
    scribe.thaw();
    at_work(&mut scribe);
    let later = manager.audit_records("users", 0, usize::MAX).expect("accounts");
    // Wall time is that of now less what has gone by, in milliseconds.
    let told = |record: &AuditRecord| AuditRecord { wall_ms: 0, ..record.clone() };
    let same = accounts.iter().map(told).eq(later.iter().take(accounts.len()).map(told));
    assert!(same, "what was told does not stay as it was told");
    assert!(refused(&manager).starts_with(&known));
    refuser.leave();
}
