//! OBS-01: nothing hides, and an administrator's end always ends.

use super::*;

const SEEN: Duration = Duration::from_secs(2);

#[test]
fn a_hung_callback_is_seen_with_its_class_and_does_not_stop_an_end() {
    let config = Config { max_stuck: 1, breaker_failures: 1, ..Config::new() };
    let manager = Manager::new(config.application(shop().event_class("hangs"))).expect("manager");
    let gate = Gate::default();
    let hangs = Hangs { kinds: vec![EventKind::End], gate: gate.clone() };
    let class = EventClass::new("hangs", hangs).deadline(Duration::from_millis(100));
    manager.register(class).expect("register");
    let first = create(&manager);
    manager.end(first.id, EndOptions::default()).expect("end");
    wait_within(SEEN, "the hung callback is seen", || {
        let stats = manager.stats().expect("stats");
        stats.stuck_workers == 1 && stats.callbacks_overrun == 1 && stats.breakers_open == ["hangs"]
    });
    let explain = manager.explain(first.id).expect("explain").expect("known");
    assert!(explain.failures.iter().any(|(class, _, text)| class == "hangs" && text == "overrun"), "{explain:?}");
    for _ in 0..100 {
        let created = create(&manager);
        let ended = manager.end(created.id, EndOptions { actor: Some("root".into()), ..EndOptions::default() });
        let EndOutcome::Ended(receipt) = ended.expect("end") else { panic!("not ended") };
        assert_eq!(receipt.actor.as_deref(), Some("root"));
    }
    assert_empty(&manager);
    gate.open();
    manager.close(Duration::from_secs(1));
}

#[test]
fn a_stalled_reaper_is_seen_and_no_license_waits_for_it() {
    let config = Config { debug: true, ..Config::new() };
    let shop = shop().idle_timeout(Duration::from_millis(200));
    let manager = Manager::new(config.application(shop).pool(Pool::new("users", 1))).expect("manager");
    let token = create(&manager).token.reveal();
    manager.stall_reaper(true).expect("stall");
    // Whoever comes ends it, and its unit is usable at once.
    wait_until("it times out", || manager.touch(&token, TouchKind::None) == Ok(Touched::Gone(EndReason::IdleTimeout)));
    create(&manager);
    wait_within(SEEN, "the stalled reaper is seen and replaced", || {
        let stats = manager.stats().expect("stats");
        stats.reaper == "degraded" && stats.degraded.is_some() && stats.reaper_restarts > 0
    });
    wait_until("the next one reaps", || manager.count() == Ok(0));
    assert_empty(&manager);
    manager.close(Duration::from_secs(1));
}

#[test]
fn whatever_holds_a_session_is_explained_and_can_be_ended() {
    let (clock, manager) = manual(Config { debug: true, ..Config::new() }.application(shop().event_class("nowhere")));
    let created = create(&manager);
    let token = created.token.reveal();
    let holder = begin(&manager, &token);
    let waiting = {
        let (manager, token) = (manager.clone(), token.clone());
        std::thread::spawn(move || manager.begin(&token, BeginOptions::default()))
    };
    wait_until("somebody waits", || manager.stats().is_ok_and(|stats| stats.lock_waiters == 1));
    assert_eq!(manager.damage(created.id), Ok(true));
    let explain = manager.explain(created.id).expect("explain").expect("known");
    assert!(explain.damaged && explain.lock_waiters == 1 && explain.requests.len() == 1, "{explain:?}");
    assert_eq!(explain.requests[0].lock, Some(LockMode::Exclusive));
    assert_eq!(explain.event_classes, [(String::new(), "nowhere".to_owned(), false)]);
    assert!(!explain.trace.is_empty() && !explain.text.is_empty());
    assert!(!explain.text.contains(&token), "a token is shown");
    assert_eq!(manager.stats().expect("stats").damaged, 1);
    let ended = manager.end(created.id, EndOptions { level: EndLevel::Kill, ..EndOptions::default() });
    assert!(matches!(ended, Ok(EndOutcome::Ended(_))));
    assert!(matches!(waiting.join().expect("a thread"), Ok(Begin::Gone(EndReason::Ended))));
    assert_eq!(holder.finish().expect_err("gone").kind(), ErrorKind::Gone);
    clock.advance(Duration::from_secs(60)).expect("advance");
    let letters = manager.dead_letters(0, 10).expect("dead letters");
    assert_eq!(letters.len(), 1, "a killed session's callbacks are recorded: {letters:?}");
    assert_empty(&manager);
}

#[test]
fn a_bulk_end_reports_its_progress_and_spares_who_is_protected() {
    let mut kept = Application::new("kept");
    kept.protected_from_bulk_end = true;
    let (_, manager) = manual(Config::new().application(shop()).application(kept));
    let spared = manager.create(CreateOptions::new("kept")).expect("create");
    for _ in 0..2500 {
        create(&manager);
    }
    let (mut cursor, mut changed, mut protected, mut steps) = (Some(0), 0, 0, 0);
    while let Some(from) = cursor {
        let options = EndOptions { reason: EndReason::Revoked, ..EndOptions::default() };
        let progress = manager.end_where(&Filter::default(), options, from, 100).expect("end_where");
        assert!(progress.changed <= 100 && progress.next.is_none_or(|next| next > from), "{progress:?}");
        (changed, protected, steps) = (changed + progress.changed, protected + progress.protected, steps + 1);
        cursor = progress.next;
    }
    assert!((changed, protected) == (2500, 1) && steps >= 25, "{changed} ended, {protected} spared, {steps} steps");
    assert_eq!(manager.count(), Ok(1));
    assert!(matches!(manager.end(spared.id, EndOptions::default()), Ok(EndOutcome::Ended(_))));
}

#[test]
fn a_check_under_load_finds_nothing() {
    let manager = Manager::new(Config::new().application(shop()).pool(Pool::new("users", 50))).expect("manager");
    let over = Flag::default();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !over.is_set() {
                    let created = create(&manager);
                    manager.end(created.id, EndOptions::default()).expect("end");
                }
            });
        }
        // A finding is asserted when the others have stopped: else they would run for ever.
        let found = (0..rounds(2000, 100_000)).map(|_| manager.check()).find(|found| *found != Ok(Vec::new()));
        over.set();
        assert_eq!(found, None);
    });
    assert_empty(&manager);
}
