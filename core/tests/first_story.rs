//! The forum story in small: what every later test relies on.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use libsession_core::*;

fn open(clock: &ManualClock, pools: Vec<Pool>) -> Manager {
    let shop = Application::new("shop").absolute_timeout(None).event_class("audit");
    let config = Config { pools, clock: Clock::Manual(clock.clone()), ..Config::default() };
    Manager::new(config.application(shop)).expect("manager")
}

fn path(key: &str) -> [Subscript; 1] {
    [Subscript::from(key)]
}

#[test]
fn a_session_lives_is_used_and_times_out() {
    let clock = ManualClock::new();
    let manager = open(&clock, vec![Pool::new("users", 1)]);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let told = seen.clone();
    let callbacks = Callbacks::new().on(EventKind::End, move |event| {
        told.lock().unwrap().push((event.at_ms, event.reason));
        Ok(Verdict::Allow)
    });
    manager.register(EventClass::new("audit", callbacks)).expect("register");

    let created = manager.create(CreateOptions::new("shop")).expect("create");
    let token = created.token.reveal();
    let refused = manager.create(CreateOptions::new("shop")).expect_err("full");
    assert_eq!(refused.deny_reason(), Some(DenyReason::PoolExhausted));

    clock.advance(Duration::from_secs(600)).expect("advance");
    let request = manager.begin(&token, BeginOptions::default()).expect("begin").live().expect("live");
    assert!(request.is_new());
    request.set(&path("cart"), Value::from("tea")).expect("set");
    request.finish().expect("finish");
    assert_eq!(request.get(&path("cart")).expect_err("closed").kind(), ErrorKind::Closed);

    clock.advance(Duration::from_millis(899_999)).expect("advance");
    assert_eq!(manager.count().expect("count"), 1);
    clock.advance(Duration::from_millis(1)).expect("advance");
    assert_eq!(manager.count().expect("count"), 0);
    assert!(manager.drain(Duration::from_secs(5)).expect("drain"));
    assert_eq!(*seen.lock().unwrap(), [(1_500_000, Some(EndReason::IdleTimeout))]);
    assert!(matches!(
        manager.begin(&token, BeginOptions::default()).expect("begin"),
        Begin::Gone(EndReason::IdleTimeout)
    ));
    assert_eq!(manager.usage("users").expect("usage").in_use, 0);
    assert_eq!(manager.check().expect("check"), Vec::<String>::new());
    manager.create(CreateOptions::new("shop")).expect("create again");
    let report = manager.close(Duration::from_secs(1));
    assert_eq!(report.ended, 1);
    assert_eq!(manager.close(Duration::ZERO), report);
    assert_eq!(seen.lock().unwrap().len(), 2);
}

#[test]
fn the_reaper_ends_what_is_due_by_itself() {
    let shop = Application::new("shop").idle_timeout(Duration::from_millis(50));
    let manager = Manager::new(Config::new().application(shop).pool(Pool::new("users", 100))).expect("manager");
    for _ in 0..100 {
        manager.create(CreateOptions::new("shop")).expect("create");
    }
    let until = std::time::Instant::now() + Duration::from_secs(5);
    while manager.count().expect("count") > 0 {
        assert!(std::time::Instant::now() < until, "not ended in time");
        std::thread::yield_now();
    }
    let stats = manager.stats().expect("stats");
    assert!(stats.lateness_p99_ms <= 250, "{}", stats.lateness_p99_ms);
    assert_eq!(manager.usage("users").expect("usage").in_use, 0);
    manager.close(Duration::from_secs(1));
}

#[test]
fn a_contended_lock_is_handed_over_and_times_out_in_virtual_time() {
    let clock = ManualClock::new();
    let manager = open(&clock, Vec::new());
    let token = manager.create(CreateOptions::new("shop")).expect("create").token.reveal();
    let first = manager.begin(&token, BeginOptions::default()).expect("begin").live().expect("live");
    let waiting = {
        let (manager, token) = (manager.clone(), token.clone());
        std::thread::spawn(move || manager.begin(&token, BeginOptions::default()).map(|begin| begin.live().is_ok()))
    };
    let until = std::time::Instant::now() + Duration::from_secs(5);
    while manager.explain(first.id()).expect("explain").expect("known").lock_waiters == 0 {
        assert!(std::time::Instant::now() < until, "nobody waits");
        std::thread::yield_now();
    }
    clock.advance(Duration::from_secs(31)).expect("advance");
    assert_eq!(waiting.join().expect("join").expect_err("timeout").kind(), ErrorKind::LockTimeout);
    let (sender, receiver) = std::sync::mpsc::channel();
    manager.begin_async(
        &token,
        BeginOptions::default(),
        Box::new(move |begun| {
            let _ = sender.send(begun.and_then(Begin::live).map(|request| request.finish()));
        }),
    );
    assert!(receiver.try_recv().is_err());
    first.finish().expect("finish");
    receiver.recv_timeout(Duration::from_secs(5)).expect("handed over").expect("live").expect("finished");
}

#[test]
fn a_login_trades_and_rotates() {
    let clock = ManualClock::new();
    let manager = open(&clock, vec![Pool::new("users", 2)]);
    let request = manager.begin_new(CreateOptions::new("shop"), BeginOptions::default()).expect("begin");
    let old = request.token().reveal();
    let login = request.login("ada").expect("login");
    assert!(login.trade_denied.is_none());
    request.finish().expect("finish");
    let usage = manager.usage("users").expect("usage");
    assert_eq!((usage.in_use, &*usage.holders[0].holder), (1, "ada"));
    manager
        .begin(&old, BeginOptions::default())
        .expect("begin")
        .live()
        .expect("within the grace")
        .finish()
        .expect("finish");
    clock.advance(Duration::from_secs(10)).expect("advance");
    assert!(matches!(manager.begin(&old, BeginOptions::default()).expect("begin"), Begin::Gone(EndReason::Replaced)));
    let request = manager.begin(&login.token.reveal(), BeginOptions::default()).expect("begin").live().expect("live");
    assert!(matches!(request.logout(false).expect("logout"), Logout::Done(_)));
    assert_eq!(manager.usage("users").expect("usage").holders[0].kind, "session");
    assert!(manager.audit("users").expect("audit").differences.is_empty());
}

#[test]
fn a_stalled_reaper_is_seen_and_replaced() {
    let shop = Application::new("shop").idle_timeout(Duration::from_millis(100));
    let config = Config { debug: true, ..Config::new() };
    let manager = Manager::new(config.application(shop)).expect("manager");
    manager.create(CreateOptions::new("shop")).expect("create");
    manager.stall_reaper(true).expect("stall");
    manager.create(CreateOptions::new("shop")).expect("create");
    let until = std::time::Instant::now() + Duration::from_secs(5);
    while manager.stats().expect("stats").reaper_restarts == 0 {
        assert!(std::time::Instant::now() < until, "not seen");
        std::thread::yield_now();
    }
    assert_eq!(manager.stats().expect("stats").reaper, "degraded");
    while manager.count().expect("count") > 0 {
        assert!(std::time::Instant::now() < until, "not ended");
        std::thread::yield_now();
    }
}

#[test]
fn a_machine_that_slept_past_the_absolute_deadline_ends_the_session_when_it_wakes() {
    let clock = ManualClock::new();
    let shop = Application::new("shop").idle_timeout(None).absolute_timeout(Duration::from_secs(3600));
    let config = Config { clock: Clock::Manual(clock.clone()), ..Config::default() };
    let manager = Manager::new(config.application(shop).pool(Pool::new("users", 1))).expect("manager");
    let id = manager.create(CreateOptions::new("shop")).expect("create").id;
    clock.suspend(Duration::from_secs(3599)).expect("suspend");
    assert_eq!(manager.count().expect("count"), 1);
    clock.suspend(Duration::from_secs(1)).expect("suspend");
    assert_eq!(manager.count().expect("count"), 0);
    assert_eq!(manager.usage("users").expect("usage").in_use, 0);
    let explain = manager.explain(id).expect("explain").expect("known");
    assert_eq!(explain.ended.map(|receipt| receipt.reason), Some(EndReason::AbsoluteTimeout));
}
