//! An administrator's process: it opens a store by what that says itself, and disturbs nobody.

use std::fs;

use super::stage::Stage;
use super::*;

fn adopting(shop: &Shop) -> Config {
    let clock = if shop.manual { Clock::Manual(ManualClock::new()) } else { Clock::default() };
    Config::new().store(format!("file:{}", shop.store.display())).clock(clock).adopt()
}

fn adopt(shop: &Shop) -> Manager {
    Manager::new(adopting(shop)).expect("a store that says how it is configured")
}

fn refused(config: Config, kind: ErrorKind, says: &str) {
    let error = Manager::new(config).err().expect("a refusal");
    assert!(error.kind() == kind && error.message().contains(says), "{error}");
}

/// Whether there is one session, and its deadline is over.
fn is_overdue(manager: &Manager) -> bool {
    let page = manager.list(&Filter::default(), 0, 10).expect("a list");
    assert_eq!(page.sessions.len(), 1);
    page.sessions[0].overdue
}

fn leave(manager: &Manager) {
    manager.close(Duration::from_secs(5));
}

#[test]
fn who_adopts_a_store_sees_what_the_others_do_and_ends_for_all() {
    let stage = Stage::new(3, 3, |shop| Shop { class: "audit".into(), low: 2, ..shop });
    let mut clerk = Process::clerk(&stage.shop);
    let words = clerk.ok("create");
    stage.resize(2);
    let made = stage.create();
    stage.log_in(&made, "ada");
    let guest = adopt(&stage.shop);
    assert_eq!(guest.pool("users").map(|pool| (pool.capacity, pool.low)), Ok((2, 2)));
    assert_eq!((guest.pool_differences(), guest.count()), (Ok(Vec::new()), Ok(2)));
    let usage = guest.usage("users").expect("usage");
    assert_eq!((usage.in_use, usage.available, usage.holders.len()), (2, 0, 2));
    assert!(guest.explain_unit("users", "ada").expect("a holder").is_some_and(|told| told.text.contains("shop")));
    assert!(guest.explain(made.id).expect("a session").is_some_and(|told| told.live.is_some()));
    assert_eq!(guest.export_accounts("users", 0, 100).map(|accounts| accounts.count), Ok(4));
    assert_eq!(guest.audit("users").map(|audit| audit.differences), Ok(Vec::new()));
    // It serves nobody.
    let token = &words[1];
    let kinds = [
        guest.create(CreateOptions::new("shop")).err(),
        guest.begin_new(CreateOptions::new("shop"), BeginOptions::default()).err(),
        guest.begin(token, BeginOptions::default()).err(),
        guest.touch(token, TouchKind::Activity).err(),
        guest.set_group_resolver(None).err(),
    ];
    for error in kinds {
        assert_eq!(
            error.map(|error| (error.kind(), error.message().contains("adopt"))),
            Some((ErrorKind::Invalid, true))
        );
    }
    // What it ends, the others are told.
    let options = EndOptions { actor: Some("root".into()), note: Some("3 a.m.".into()), ..EndOptions::default() };
    assert!(matches!(guest.end(made.id, options), Ok(EndOutcome::Ended(_))));
    wait_until("the end is told", || stage.heard(made.id).len() == 1);
    stage.exact(1);
    assert_eq!(clerk.ask(&format!("touch {token}")), "live");
    leave(&guest);
    stage.exact(1);
    clerk.leave();
}

#[test]
fn a_guest_that_comes_and_goes_alone_changes_nothing() {
    let mut stage = Stage::new(5, 5, |shop| Shop { class: "audit".into(), idle_ms: 300, ..shop });
    let made = stage.create();
    stage.resize(4);
    stage.manager.reset_high_water("users", "monthly").expect("a mark");
    let log = stage.manager.lifecycle(0, 1000).expect("a log").len();
    stage.close();
    // It runs out while nobody serves: a guest does not end it.
    for _ in 0..3 {
        let guest = adopt(&stage.shop);
        wait_until("it is overdue", || is_overdue(&guest));
        assert_eq!((guest.count(), guest.pool("users").map(|pool| pool.capacity)), (Ok(1), Ok(4)));
        assert_eq!(guest.high_water("users", "monthly").map(|(units, _)| units), Ok(1));
        assert_eq!(guest.lifecycle(0, 1000).map(|log| log.len()), Ok(log));
        leave(&guest);
    }
    stage.open();
    wait_until("the end is told", || stage.heard(made.id).len() == 1);
    assert_eq!(stage.heard(made.id)[0].reason, Some(EndReason::ExpiredWhileDown));
    let usage = stage.usage();
    assert_eq!((usage.in_use, usage.capacity), (0, 4));
    let changes = stage.manager.audit_records("users", 0, 1000).expect("accounts");
    assert_eq!(changes.iter().filter(|record| record.kind == AuditKind::Change).count(), 1);
}

#[test]
fn whoever_serves_opens_a_store_that_a_guest_has_open_as_if_nobody_had() {
    let dir = Dir::new();
    let shop = Shop { capacity: 5, ..dir.shop() };
    leave(&shop.open());
    let guest = adopt(&shop);
    // Another limit is a change.
    let more = Shop { capacity: 7, ..shop.clone() };
    let mut clerk = Process::clerk(&more);
    assert_eq!(clerk.ask("usage"), "0/7");
    assert_eq!(guest.usage("users").map(|usage| usage.capacity), Ok(7));
    clerk.leave();
    // Another application's timeout is one, too, once the guest is gone: it is waited for.
    let other = Shop { idle_ms: 7000, ..more };
    let mut clerk = Process::start("clerk", &other);
    clerk.tell("open");
    let books = shop.store.join("store.lsdb");
    wait_until("it has opened the books", || {
        let files = fs::read_dir(format!("/proc/{}/fd", clerk.id())).expect("a process");
        files.flatten().any(|file| fs::read_link(file.path()).is_ok_and(|to| to == books))
    });
    leave(&guest);
    assert_eq!(clerk.answer(), "ok");
    // And a guest that comes now finds it so.
    let guest = adopt(&other);
    clerk.ok("create");
    let page = guest.list(&Filter::default(), 0, 10).expect("a list");
    assert_eq!(page.sessions[0].idle_timeout, Some(Duration::from_secs(7)));
    leave(&guest);
    clerk.leave();
}

#[test]
fn what_falls_due_is_asked_and_ended_by_who_serves() {
    let mut stage = Stage::new(5, 5, |shop| Shop { class: "audit".into(), idle_ms: 500, ..shop });
    stage.close();
    // The guest was there first, and is there when the others die.
    let guest = adopt(&stage.shop);
    let mut clerk = Process::clerk(&stage.shop);
    let id = SessionId::parse(&clerk.ok("create")[0]).expect("an id");
    clerk.kill();
    wait_until("it is overdue", || is_overdue(&guest));
    assert_eq!(guest.count(), Ok(1), "a guest reaps nothing");
    stage.open();
    wait_until("it is ended", || stage.heard(id).len() == 1);
    assert_eq!(stage.heard(id)[0].reason, Some(EndReason::IdleTimeout));
    stage.exact(0);
    leave(&guest);
}

#[test]
fn a_level_that_a_guest_brings_about_is_told_by_who_serves() {
    let dir = Dir::new();
    let shop = Shop { capacity: 1, low: 1, ..dir.shop() };
    let manager = shop.open();
    let levels = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    struct Ear(std::sync::Arc<std::sync::Mutex<Vec<EventKind>>>);
    impl EventHandler for Ear {
        fn handles(&self, kind: EventKind) -> bool {
            matches!(kind, EventKind::PoolExhausted | EventKind::PoolRecovered)
        }

        fn call(&self, event: &std::sync::Arc<Event>, _: Attempt, reply: Reply) {
            self.0.lock().expect("a lock").push(event.kind);
            reply.done();
        }
    }
    manager.register(EventClass::new("levels", Ear(levels.clone()))).expect("a class");
    let told = |count| wait_until("a level is told", || levels.lock().expect("a lock").len() == count);
    let made = manager.create(CreateOptions::new("shop")).expect("create");
    told(1);
    let guest = adopt(&shop);
    assert!(matches!(guest.end(made.id, EndOptions::default()), Ok(EndOutcome::Ended(_))));
    leave(&guest);
    // With the next step of the pool.
    manager.change_pool("users", |pool| pool.set_json(r#"{"capacity": 3}"#), None).expect("a change");
    told(2);
    use EventKind::{PoolExhausted, PoolRecovered};
    assert_eq!(*levels.lock().expect("a lock"), [PoolExhausted, PoolRecovered]);
    assert_eq!(manager.check(), Ok(Vec::new()));
    leave(&manager);
}

#[test]
fn a_store_that_is_not_there_is_not_made_and_what_it_says_is_not_named() {
    let dir = Dir::new();
    let shop = dir.shop();
    refused(adopting(&shop), ErrorKind::Invalid, &shop.store.display().to_string());
    assert!(!shop.store.exists());
    fs::create_dir(&shop.store).expect("a directory");
    refused(adopting(&shop), ErrorKind::Invalid, "there is no store in");
    assert_eq!(fs::read_dir(&shop.store).expect("a directory").count(), 0);
    fs::remove_dir(&shop.store).expect("a directory");
    leave(&shop.open());
    refused(Config::new().adopt(), ErrorKind::Invalid, "file:PATH");
    refused(adopting(&shop).pool(Pool::new("users", 3)), ErrorKind::Invalid, "pools");
    refused(adopting(&shop).application(Application::new("shop")), ErrorKind::Invalid, "applications");
    refused(Config { max_sessions: 7, ..adopting(&shop) }, ErrorKind::Invalid, "max_sessions");
    leave(&adopt(&shop));
}

#[test]
fn books_of_another_version_are_left_as_they_are() {
    let dir = Dir::new();
    let shop = dir.shop();
    leave(&shop.open());
    let file = shop.store.join("store.lsdb");
    // The version is in the head of the file.
    let mut bytes = fs::read(&file).expect("the books");
    bytes[63] -= 1;
    fs::write(&file, &bytes).expect("the books");
    refused(adopting(&shop), ErrorKind::Unavailable, "format 3");
    assert_eq!(fs::read(&file).expect("the books")[63], bytes[63]);
}
