//! CB-01, CB-05, CB-07: whatever a callback does, its cause succeeds and nothing is kept.

use super::*;

/// How a callback misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Error,
    Panic,
    Silence,
}

struct Bad(EventKind, Way);

impl EventHandler for Bad {
    fn handles(&self, kind: EventKind) -> bool {
        self.0 == kind
    }

    fn call(&self, _event: &Arc<Event>, _attempt: Attempt, reply: Reply) {
        match self.1 {
            Way::Error => reply.fail("it failed"),
            Way::Panic => panic!("it panicked"),
            Way::Silence => drop(reply),
        }
    }
}

const WAYS: [Way; 3] = [Way::Error, Way::Panic, Way::Silence];

/// Causes an event of this kind; tells what became of the cause.
fn cause(kind: EventKind, manager: &Manager, clock: &ManualClock) -> Result<()> {
    let options = CreateOptions { idle_timeout: Some(Some(Duration::from_secs(60))), ..CreateOptions::new("shop") };
    let request = manager.begin_new(options.clone(), BeginOptions::default())?;
    match kind {
        EventKind::Login => request.login("ada").map(drop),
        EventKind::Logout => request.logout(false).map(drop),
        EventKind::Expiring | EventKind::Timeout => {
            request.finish()?;
            clock.advance(Duration::from_secs(60)).map(drop)
        }
        EventKind::End => request.end(EndOptions::default()).map(drop),
        EventKind::ApplicationChange => {
            let token = request.token().reveal();
            request.finish()?;
            let begin = BeginOptions { application: Some("bar".into()), ..BeginOptions::default() };
            manager.begin(&token, begin).and_then(Begin::live).map(drop)
        }
        EventKind::LicenseDenied => {
            let mut held = vec![request];
            let error = loop {
                match manager.begin_new(options.clone(), BeginOptions::default()) {
                    Ok(request) => held.push(request),
                    Err(error) => break error,
                }
            };
            assert_eq!(error.kind(), ErrorKind::LicenseDenied);
            Ok(())
        }
        _ => request.finish(),
    }
}

#[test]
fn a_callback_that_fails_stops_nothing_that_only_tells_and_denies_what_decides() {
    let kinds = EventKind::ALL
        .iter()
        .filter(|kind| !matches!(kind, EventKind::ContextLost | EventKind::PoolOverdraft | EventKind::PoolLow));
    for kind in kinds.copied() {
        for way in WAYS {
            let config = Config::new()
                .application(shop().event_class("bad"))
                .application(Application::new("bar"))
                .pool(Pool::new("users", 1));
            let mut config = config;
            config.applications[1].pool = Some("users".into());
            let (clock, manager) = manual(config);
            manager.register(EventClass::new("bad", Bad(kind, way))).expect("register");
            let caused = cause(kind, &manager, &clock);
            let denies = kind.decides() && !matches!(kind, EventKind::Logout | EventKind::Expiring);
            match (denies, caused) {
                (true, Err(error)) => assert_eq!(error.kind(), ErrorKind::Denied, "{kind}: {error:?}"),
                (false, Ok(())) => {}
                (_, caused) => panic!("{kind}, {way:?}: {caused:?}"),
            }
            if kind == EventKind::PoolRecovered {
                let page = manager.list(&Filter::default(), 0, 10).expect("list");
                manager.end(page.sessions[0].id, EndOptions::default()).expect("end");
            }
            clock.advance(Duration::from_secs(30)).expect("advance");
            let letters = manager.dead_letters(0, 100).expect("dead letters");
            if kind.decides() {
                assert!(letters.is_empty(), "{kind} was tried again: {letters:?}");
            } else {
                let [letter] = &letters[..] else { panic!("{kind}, {way:?}: {letters:?}") };
                assert_eq!((letter.kind, letter.attempts), (kind, 4), "{kind}, {way:?}");
                let text = match way {
                    Way::Error => "it failed",
                    Way::Panic => "it panicked",
                    Way::Silence => "no answer",
                };
                assert!(letter.error.contains(text), "{kind}: {}", letter.error);
            }
            assert_eq!(manager.check(), Ok(Vec::new()), "{kind}");
            manager.close(Duration::from_secs(1));
        }
    }
}

#[test]
fn an_end_does_not_wait_for_a_callback_that_wants_the_callers_lock() {
    let manager = Manager::new(Config::new().application(shop().event_class("locks"))).expect("manager");
    let mine = Arc::new(Mutex::new(0));
    let theirs = mine.clone();
    let callbacks = Callbacks::new().on(EventKind::End, move |_| {
        *theirs.lock() += 1;
        Ok(Verdict::Allow)
    });
    manager.register(EventClass::new("locks", callbacks)).expect("register");
    let created = create(&manager);
    {
        let held = mine.lock();
        let ended = manager.end(created.id, EndOptions::default()).expect("end");
        assert!(matches!(ended, EndOutcome::Ended(_)));
        assert_eq!(*held, 0, "the callback ran under the caller's lock");
    }
    wait_until("the callback runs", || *mine.lock() == 1);
    manager.close(Duration::from_secs(1));
}

#[test]
fn no_callback_keeps_a_session_that_is_due() {
    for most in [0, 2] {
        let mut application = shop().idle_timeout(Duration::from_secs(100)).event_class("keeper");
        application.max_extensions = Some(most);
        application.extension_cap = Duration::from_secs(50);
        application.absolute_timeout = Some(Some(Duration::from_secs(180)));
        let (clock, manager) = manual(Config::new().application(application).pool(Pool::new("users", 1)));
        let token = Arc::new(Mutex::new(String::new()));
        let tries = Arc::new(Mutex::new(0));
        let mut callbacks =
            Callbacks::new().on(EventKind::Expiring, |_| Ok(Verdict::Extend(Duration::from_secs(9999))));
        for kind in [EventKind::Timeout, EventKind::End] {
            let (manager, token, tries) = (manager.clone(), token.clone(), tries.clone());
            callbacks = callbacks.on(kind, move |event| {
                event.set_end_session(false);
                let text = token.lock().clone();
                assert!(matches!(manager.begin(&text, BeginOptions::default()), Ok(Begin::Gone(_))));
                assert!(matches!(manager.touch(&text, TouchKind::Activity), Ok(Touched::Gone(_))));
                assert_eq!(manager.set_idle_timeout(event.session_id, None), Ok(false));
                assert!(event.request.is_none(), "an end has no request");
                assert_eq!(manager.usage("users").expect("usage").in_use, 0, "the unit is free before the callback");
                *tries.lock() += 1;
                Ok(Verdict::Extend(Duration::from_secs(9999)))
            });
        }
        manager.register(EventClass::new("keeper", callbacks)).expect("register");
        let created = create(&manager);
        *token.lock() = created.token.reveal();
        clock.advance(Duration::from_secs(300)).expect("advance");
        let explain = manager.explain(created.id).expect("explain").expect("known");
        let receipt = explain.ended.expect("ended");
        let (at, reason) =
            if most == 0 { (100_000, EndReason::IdleTimeout) } else { (180_000, EndReason::AbsoluteTimeout) };
        assert_eq!((receipt.at_ms, receipt.reason), (at, reason), "with {most} extensions");
        let log = manager.lifecycle(0, 100).expect("log");
        let extended = log.iter().filter(|entry| entry.what == "extended").count();
        assert_eq!(extended, most as usize, "{log:?}");
        assert_eq!(*tries.lock(), 2, "on_timeout and on_end were called once each");
        assert_eq!(manager.dead_letters(0, 10).expect("dead letters"), Vec::new());
        assert_empty(&manager);
        manager.close(Duration::from_secs(1));
    }
}

#[test]
fn a_callback_may_call_anything() {
    let (clock, manager) = manual(Config::new().application(shop().event_class("busy")).pool(Pool::new("users", 9)));
    let calls = Arc::new(Mutex::new(0));
    let (inner, seen, time) = (manager.clone(), calls.clone(), clock.clone());
    let callbacks = Callbacks::new().on(EventKind::End, move |event| {
        let created =
            inner.create(CreateOptions { license_class: Some(LicenseClass::None), ..CreateOptions::default() });
        let created = created.map_err(|error| error.to_string())?;
        begin(&inner, &created.token.reveal()).login("ada").map_err(|error| error.to_string())?;
        inner.list(&Filter::default(), 0, 10).map_err(|error| error.to_string())?;
        inner.explain(event.session_id).map_err(|error| error.to_string())?;
        assert_eq!(inner.check(), Ok(Vec::new()));
        assert_eq!(time.advance(Duration::ZERO).expect_err("reentrant").kind(), ErrorKind::Reentrant);
        assert_eq!(inner.dispatch(1, Duration::ZERO).expect_err("reentrant").kind(), ErrorKind::Reentrant);
        assert_eq!(inner.unregister("busy", "").expect_err("reentrant").kind(), ErrorKind::Reentrant);
        *seen.lock() += 1;
        if *seen.lock() < 5 {
            inner.end(created.id, EndOptions::default()).map_err(|error| error.to_string())?;
        }
        Ok(Verdict::Allow)
    });
    manager.register(EventClass::new("busy", callbacks)).expect("register");
    manager.end(create(&manager).id, EndOptions::default()).expect("end");
    wait_until("five ends", || *calls.lock() == 5);
    assert!(manager.drain(BOUND).expect("drain"));
    assert_eq!(manager.dead_letters(0, 10).expect("dead letters"), Vec::new());
    manager.close(Duration::from_secs(1));
}

#[test]
fn a_continuation_that_panics_takes_nobody_with_it() {
    let manager = Manager::new(Config::new().application(shop())).expect("manager");
    let token = create(&manager).token.reveal();
    let holder = begin(&manager, &token);
    let (sender, receiver) = std::sync::mpsc::channel();
    let shared = BeginOptions { lock: Some(LockMode::Shared), ..BeginOptions::default() };
    manager.begin_async(&token, shared.clone(), Box::new(|begun| panic!("with {begun:?}")));
    let answer = move |begun: Result<Begin>| sender.send(begun.and_then(Begin::live).is_ok()).expect("sent");
    manager.begin_async(&token, shared, Box::new(answer));
    wait_until("both wait", || manager.stats().is_ok_and(|stats| stats.lock_waiters == 2));
    holder.finish().expect("who frees the lock hears nothing of it");
    assert_eq!(receiver.recv_timeout(BOUND), Ok(true), "the next one is woken all the same");
    assert_eq!(manager.stats().expect("stats").in_flight, 0);
    manager.close(Duration::from_secs(1));
}

#[test]
fn a_killed_sessions_attachments_are_dropped_and_may_panic() {
    struct Bomb(Flag);
    impl Drop for Bomb {
        fn drop(&mut self) {
            self.0.set();
            panic!("in a destructor");
        }
    }
    let (_, manager) = manual(Config::new().application(shop().event_class("told")));
    let request = manager.begin_new(CreateOptions::new("shop"), BeginOptions::default()).expect("begin");
    let dropped = Flag::default();
    request.attach("bomb", Arc::new(Bomb(dropped.clone()))).expect("attach");
    let kill = EndOptions { level: EndLevel::Kill, ..EndOptions::default() };
    assert!(matches!(manager.end(request.id(), kill), Ok(EndOutcome::Ended(_))));
    wait_until("the attachment is dropped", || dropped.is_set());
    assert_eq!(manager.dead_letters(0, 10).expect("dead letters").len(), 1);
    assert_empty(&manager);
    manager.close(Duration::from_secs(1));
}
