//! RACE-02 and RACE-05: no write is lost, and an end has one winner.

use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

#[test]
fn sixteen_writers_lose_nothing() {
    let manager = Manager::new(Config::new().application(shop())).expect("manager");
    let token = create(&manager).token.reveal();
    let each = rounds(100, 5000) as i64;
    let shared = BeginOptions { lock: Some(LockMode::None), ..BeginOptions::default() };
    let conflicts = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for writer in 0..16 {
            let (manager, token, shared, conflicts) = (&manager, &token, &shared, &conflicts);
            scope.spawn(move || {
                let own = path(&format!("own{writer}"));
                for number in 0..each {
                    let request = manager.begin(token, shared.clone()).expect("begin").live().expect("live");
                    request.set(&own, Value::from(number + 1)).expect("set");
                    // By compare and set.
                    loop {
                        let old = request.get(&path("swapped")).expect("get");
                        let new = old.as_ref().and_then(Value::as_int).unwrap_or(0) + 1;
                        match request.compare_and_set(&path("swapped"), old.as_ref(), Some(new.into())) {
                            Ok(()) => break,
                            Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict),
                        }
                    }
                    request.finish().expect("finish");
                    // By version: a stale one is a conflict and writes nothing.
                    loop {
                        let request = manager.begin(token, shared.clone()).expect("begin").live().expect("live");
                        let (old, _) = request.get_versioned(&path("versioned")).expect("get");
                        let new = old.as_ref().and_then(Value::as_int).unwrap_or(0) + 1;
                        request.set(&path("versioned"), new.into()).expect("set");
                        match request.finish() {
                            Ok(()) => break,
                            Err(error) => {
                                assert_eq!((error.kind(), error.keys().len()), (ErrorKind::Conflict, 1));
                                conflicts.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                    }
                }
            });
        }
    });
    let request = begin(&manager, &token);
    let seen = |key: &str| request.get(&path(key)).expect("get").and_then(|value| value.as_int());
    for writer in 0..16 {
        assert_eq!(seen(&format!("own{writer}")), Some(each));
    }
    assert_eq!((seen("swapped"), seen("versioned")), (Some(16 * each), Some(16 * each)));
}

#[test]
fn an_exclusive_lock_makes_read_and_write_one_step() {
    let manager = Manager::new(Config::new().application(shop())).expect("manager");
    let token = create(&manager).token.reveal();
    let each = rounds(100, 5000) as i64;
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..each {
                    let request = begin(&manager, &token);
                    let old = request.get(&path("n")).expect("get").and_then(|value| value.as_int()).unwrap_or(0);
                    request.set(&path("n"), Value::from(old + 1)).expect("set");
                    request.finish().expect("finish");
                }
            });
        }
    });
    let sum = begin(&manager, &token).get(&path("n")).expect("get");
    assert_eq!(sum, Some(Value::from(16 * each)));
    assert_eq!(manager.stats().expect("stats").lock_waiters, 0);
}

#[test]
fn an_upgrade_waits_for_others_and_not_for_itself() {
    let manager = Manager::new(Config::new().application(shop())).expect("manager");
    let token = create(&manager).token.reveal();
    let shared = BeginOptions { lock: Some(LockMode::Shared), ..BeginOptions::default() };
    for _ in 0..rounds(100, 5000) {
        let one = manager.begin(&token, shared.clone()).expect("begin").live().expect("live");
        let two = manager.begin(&token, shared.clone()).expect("begin").live().expect("live");
        std::thread::scope(|scope| {
            let upgrade = scope.spawn(|| one.lock(LockMode::Exclusive, Some(Duration::from_secs(10))));
            two.finish().expect("finish");
            upgrade.join().expect("a thread").expect("the upgrade");
        });
        one.finish().expect("finish");
    }
}

#[test]
fn logout_timeout_administrator_and_request_have_one_winner() {
    let application = shop().idle_timeout(Duration::from_millis(10)).event_class("told");
    let config = Config { lifecycle_log: 0, ..Config::new() };
    let (clock, manager) = manual(config.application(application).pool(Pool::new("users", 1)));
    let told = Arc::new(Mutex::new(Vec::new()));
    let seen = told.clone();
    let callbacks = Callbacks::new().on(EventKind::End, move |event| {
        seen.lock().push((event.session_id, event.reason));
        Ok(Verdict::Allow)
    });
    manager.register(EventClass::new("told", callbacks)).expect("register");
    for round in 0..rounds(500, 100_000) {
        let created = create(&manager);
        let touch = BeginOptions { touch: Some(TouchKind::Keepalive), ..BeginOptions::default() };
        let request = manager.begin(&created.token.reveal(), touch).expect("begin").live().expect("live");
        let start = Barrier::new(4);
        let winners = AtomicU64::new(0);
        let count = |ended: Result<EndOutcome>| match ended {
            Ok(EndOutcome::Ended(_)) => drop(winners.fetch_add(1, Ordering::SeqCst)),
            Ok(EndOutcome::Gone(_)) => {}
            Err(error) if error.kind() == ErrorKind::Gone => {}
            other => panic!("round {round}: {other:?}"),
        };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                start.wait();
                let admin = EndOptions { reason: EndReason::Revoked, ..EndOptions::default() };
                count(manager.end(created.id, admin));
            });
            scope.spawn(|| {
                start.wait();
                count(request.end(EndOptions::default()));
            });
            scope.spawn(|| {
                start.wait();
                clock.advance(Duration::from_millis(10)).expect("advance");
            });
            start.wait();
            match request.logout(true) {
                Ok(_) => {}
                Err(error) => assert_eq!(error.kind(), ErrorKind::Gone, "{error:?}"),
            }
        });
        let receipt = manager.explain(created.id).expect("explain").expect("known").ended.expect("ended");
        let expected = u64::from(receipt.reason != EndReason::IdleTimeout);
        assert_eq!(winners.load(Ordering::SeqCst), expected, "round {round}: {:?}", receipt.reason);
        assert!(manager.drain(BOUND).expect("drain"));
        assert_eq!(std::mem::take(&mut *told.lock()), [(created.id, Some(receipt.reason))], "round {round}");
        assert_eq!(manager.usage("users").expect("usage").in_use, 0);
        assert_eq!(request.finish().expect_err("gone").kind(), ErrorKind::Gone);
    }
    let stats = manager.stats().expect("stats");
    assert_eq!((stats.live, stats.in_flight, stats.dead_letters), (0, 0, 0));
    assert_empty(&manager);
}
