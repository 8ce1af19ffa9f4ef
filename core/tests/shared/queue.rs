//! Waiting for units in several processes: a place is that of its process, and nobody is overtaken.

use super::death::{SECOND, create};
use super::*;

fn waiting(manager: &Manager) -> u64 {
    manager.usage("users").expect("usage").waiting
}

/// A shop of one unit, and who has it.
fn full(shop: &Shop) -> (Manager, SessionId) {
    let manager = shop.open();
    let holder = manager.create(CreateOptions::new("shop")).expect("a session").id;
    (manager, holder)
}

fn end(manager: &Manager, id: SessionId) {
    let ended = manager.end(id, EndOptions::default()).expect("an end");
    assert!(matches!(ended, EndOutcome::Ended(_)), "{ended:?}");
}

fn exact(manager: &Manager, in_use: u64) {
    let audit = manager.audit("users").expect("audit");
    assert_eq!((audit.counted, audit.recounted, audit.differences), (in_use, in_use, Vec::new()));
    assert_eq!(manager.check(), Ok(Vec::new()));
}

/// A clerk that waits as the last.
fn wait(shop: &Shop, manager: &Manager) -> Process {
    let clerk = Process::clerk(shop);
    let before = waiting(manager);
    clerk.tell("wait 60000");
    wait_until("it waits", || waiting(manager) == before + 1);
    clerk
}

fn answered(clerk: &mut Process) -> SessionId {
    let answer = clerk.answer();
    let id = answer.strip_prefix("ok ").unwrap_or_else(|| panic!("{answer}"));
    SessionId::parse(id.split(' ').next().expect("an id")).expect("an id")
}

#[test]
fn the_place_of_a_killed_process_is_free_and_the_next_is_served() {
    let dir = Dir::new();
    let shop = Shop { capacity: 1, ..dir.shop() };
    let (manager, holder) = full(&shop);
    let mut next = wait(&shop, &manager);
    in_time(SECOND, "the place of a killed process is free", || {
        let mut victim = wait(&shop, &manager);
        victim.kill();
        wait_until("its place is free", || waiting(&manager) == 1)
    });
    // Of those that waited longest one dies, too: with units set aside for it or not.
    let mut victim = next;
    next = wait(&shop, &manager);
    end(&manager, holder);
    victim.kill();
    let id = if manager.count().expect("count") == 1 {
        // It had its session before it was killed: that lives on.
        let (id, _) = first(&manager);
        end(&manager, id);
        answered(&mut next)
    } else {
        answered(&mut next)
    };
    exact(&manager, 1);
    end(&manager, id);
    exact(&manager, 0);
    next.leave();
}

fn first(manager: &Manager) -> (SessionId, String) {
    let page = manager.list(&Filter::default(), 0, 10).expect("a list");
    let info = page.sessions.first().expect("a session");
    (info.id, info.application.to_string())
}

#[test]
fn units_that_a_stopped_process_does_not_fetch_go_to_the_next() {
    let dir = Dir::new();
    let shop = Shop { capacity: 1, ..dir.shop() };
    let (manager, holder) = full(&shop);
    let (mut stopped, mut next) = (wait(&shop, &manager), wait(&shop, &manager));
    stopped.freeze();
    end(&manager, holder);
    let id = answered(&mut next);
    exact(&manager, 1);
    // Who overslept has its place still, and is served once it is awake.
    let mut last = wait(&shop, &manager);
    stopped.thaw();
    end(&manager, id);
    for _ in 0..2 {
        wait_until("the next is served", || manager.count() == Ok(1));
        exact(&manager, 1);
        end(&manager, first(&manager).0);
    }
    answered(&mut stopped);
    answered(&mut last);
    exact(&manager, 0);
    for clerk in [stopped, next, last] {
        clerk.leave();
    }
}

#[test]
fn processes_are_served_in_the_order_in_which_they_came() {
    let dir = Dir::new();
    let shop = Shop { capacity: 1, ..dir.shop() };
    let (manager, mut holder) = full(&shop);
    let line: Vec<Process> = (0..rounds(4, 20)).map(|_| wait(&shop, &manager)).collect();
    let processes: Vec<u32> = manager.queue("users", 0, 100).expect("a queue").iter().map(|one| one.process).collect();
    assert_eq!(processes, line.iter().map(Process::id).collect::<Vec<_>>());
    for mut clerk in line {
        // Who does not wait is not served before them.
        let refused = manager.create(CreateOptions::new("shop")).expect_err("a full pool");
        assert_eq!(refused.deny_reason(), Some(DenyReason::PoolExhausted));
        end(&manager, holder);
        holder = answered(&mut clerk);
        exact(&manager, 1);
        clerk.leave();
    }
    assert_eq!(waiting(&manager), 0);
}

#[test]
fn a_store_that_was_left_by_who_waited_has_nobody_waiting() {
    let dir = Dir::new();
    let shop = Shop { capacity: 1, ..dir.shop() };
    let mut keeper = Process::clerk(&shop);
    let (id, _) = create(&mut keeper);
    let mut waiter = Process::clerk(&shop);
    waiter.tell("wait 60000");
    keeper.ask_until("waiting", "1");
    keeper.kill();
    waiter.kill();
    let manager = shop.open();
    assert_eq!(waiting(&manager), 0);
    exact(&manager, 1);
    end(&manager, SessionId::parse(&id).expect("an id"));
    exact(&manager, 0);
}
