//! LIC-01, the forum story: 241 sessions, 33 units, callbacks that hang and throw; all is free at the deadline.

use super::*;

const SESSIONS: usize = 241;
const UNITS: u64 = 33;

/// 33 users with 241 sessions, one of them unreadable, and the classes that made the story.
fn forum(config: Config, gate: &Gate, idle: Duration) -> Manager {
    let application = Application::new("shop").idle_timeout(idle).event_class("throws").event_class("hangs");
    let mut pool = Pool::new("users", UNITS);
    pool.unit_rule = UnitRule::User;
    let manager = Manager::new(config.application(application).pool(pool)).expect("manager");
    let hangs = Hangs { kinds: vec![EventKind::Timeout], gate: gate.clone() };
    manager.register(EventClass::new("hangs", hangs)).expect("register");
    let throws = Callbacks::new().on(EventKind::End, |event| {
        event.set_end_session(false);
        Err("<THROW> in OnEndSession".into())
    });
    manager.register(EventClass::new("throws", throws)).expect("register");
    for number in 0..SESSIONS {
        // The last user has one session, for which there is one unit; the others share what is left.
        let user = if number == SESSIONS - 1 { UNITS - 1 } else { number as u64 % (UNITS - 1) };
        let request = manager.begin_new(CreateOptions::new("shop"), BeginOptions::default()).expect("begin_new");
        assert!(request.login(&format!("user{user}")).expect("login").trade_denied.is_none());
        request.finish().expect("finish");
        if number == 7 {
            assert_eq!(manager.damage(request.id()), Ok(true));
        }
    }
    let usage = manager.usage("users").expect("usage");
    assert_eq!((usage.in_use, usage.available, usage.holders.len() as u64), (UNITS, 0, UNITS));
    let refused = manager.create(CreateOptions::new("shop")).expect_err("the pool is full");
    assert_eq!(refused.deny_reason(), Some(DenyReason::PoolExhausted));
    assert!(refused.retry_after().is_some());
    manager
}

#[test]
fn in_virtual_time_every_license_is_free_at_the_deadline() {
    let (clock, gate) = (ManualClock::new(), Gate::default());
    let config = Config::new().clock(Clock::Manual(clock.clone()));
    let manager = forum(config, &gate, Duration::from_secs(900));
    clock.advance(Duration::from_millis(899_999)).expect("advance");
    assert_eq!(manager.count(), Ok(SESSIONS as u64));
    clock.advance(Duration::from_millis(1)).expect("advance");
    assert_empty(&manager);
    let stats = manager.stats().expect("stats");
    let timed_out = stats.ended.iter().find(|(reason, _)| *reason == EndReason::IdleTimeout);
    assert_eq!(timed_out.map(|(_, count)| *count), Some(SESSIONS as u64));
    // Each class of each session was told or has its dead letter.
    clock.advance(Duration::from_secs(3600)).expect("advance");
    let letters = manager.dead_letters(0, usize::MAX).expect("dead letters");
    let count =
        |kind, class: &str| letters.iter().filter(|letter| letter.kind == kind && &*letter.class.name == class).count();
    assert_eq!(count(EventKind::End, "throws"), SESSIONS);
    assert_eq!(count(EventKind::Timeout, "hangs"), SESSIONS);
    gate.open();
    manager.close(Duration::from_secs(1));
}

#[test]
fn in_real_time_every_license_is_free_within_a_second_of_the_deadline() {
    let gate = Gate::default();
    let idle = Duration::from_millis(500);
    let config = Config { debug: true, callback_deadline: Duration::from_millis(200), ..Config::new() };
    let manager = forum(config, &gate, idle);
    let due = Instant::now() + idle;
    wait_until("all sessions end", || manager.count() == Ok(0));
    assert!(Instant::now() < due + Duration::from_secs(1), "late by {:?}", Instant::now() - due);
    assert_empty(&manager);
    create(&manager);
    gate.open();
    let report = manager.close(Duration::from_secs(1));
    assert_eq!(report.ended, 1);
}

#[test]
fn an_administrator_ends_what_nobody_could_end() {
    let (clock, gate) = (ManualClock::new(), Gate::default());
    let config = Config::new().clock(Clock::Manual(clock.clone()));
    let manager = forum(config, &gate, Duration::from_secs(900));
    let page = manager.list(&Filter { damaged: Some(true), ..Filter::default() }, 0, 10).expect("list");
    assert_eq!(page.sessions.len(), 1);
    let options = EndOptions {
        reason: EndReason::Revoked,
        actor: Some("root".into()),
        note: Some("left weeks ago".into()),
        ..EndOptions::default()
    };
    let EndOutcome::Ended(receipt) = manager.end(page.sessions[0].id, options.clone()).expect("end") else {
        panic!("not ended")
    };
    assert_eq!(receipt.license_free_at_ms, Some(0));
    assert_eq!((receipt.actor.as_deref(), receipt.note.as_deref()), (Some("root"), Some("left weeks ago")));
    let progress = manager.end_where(&Filter::default(), options, 0, 10_000).expect("end_where");
    assert_eq!((progress.changed, progress.next), (SESSIONS as u64 - 1, None));
    assert_empty(&manager);
    gate.open();
    manager.close(Duration::from_secs(1));
}
