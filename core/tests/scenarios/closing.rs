//! SHUT-03: a close is bounded, happens once, and leaves nothing.

use super::*;

#[test]
fn a_close_under_load_with_hung_callbacks_is_bounded_and_has_one_report() {
    for _ in 0..rounds(3, 100) {
        let config = Config { max_stuck: 2, ..Config::new() };
        let application = shop().event_class("hangs").event_class("works");
        let manager = Manager::new(config.application(application).pool(Pool::new("users", 1000))).expect("manager");
        let gate = Gate::default();
        let hung = gate.clone();
        let hangs = Callbacks::new().on(EventKind::End, move |_| {
            hung.hang();
            Ok(Verdict::Allow)
        });
        let works = Callbacks::new().on(EventKind::End, |_| Ok(Verdict::Allow));
        manager.register(EventClass::new("hangs", hangs)).expect("register");
        manager.register(EventClass::new("works", works)).expect("register");
        let grace = Duration::from_millis(300);
        std::thread::scope(|scope| {
            let load: Vec<_> = (0..64)
                .map(|worker| {
                    let manager = &manager;
                    scope.spawn(move || {
                        loop {
                            let made = manager.begin_new(CreateOptions::new("shop"), BeginOptions::default());
                            let request = match made {
                                Ok(request) => request,
                                Err(error) if error.kind() == ErrorKind::LicenseDenied => {
                                    std::thread::yield_now();
                                    continue;
                                }
                                Err(error) => return error.kind(),
                            };
                            if worker % 2 == 0 {
                                drop(request);
                            } else if let Err(error) = request.end(EndOptions::default()) {
                                assert!(matches!(
                                    error.kind(),
                                    ErrorKind::Gone | ErrorKind::Closing | ErrorKind::Closed
                                ));
                            }
                        }
                    })
                })
                .collect();
            wait_until("there is load", || manager.count().is_ok_and(|count| count > 50));
            let start = Instant::now();
            let closers: Vec<_> = (0..4)
                .map(|_| {
                    let manager = &manager;
                    scope.spawn(move || manager.close(grace))
                })
                .collect();
            let reports: Vec<_> = closers.into_iter().map(|closer| closer.join().expect("a closer")).collect();
            let took = start.elapsed();
            assert!(took < grace + Duration::from_secs(5), "the close took {took:?}");
            assert!(reports.iter().all(|report| *report == reports[0]), "{reports:?}");
            assert!(reports[0].undelivered > 0 && reports[0].stuck > 0, "{reports:?}");
            for worker in load {
                let kind = worker.join().expect("a worker");
                assert!(matches!(kind, ErrorKind::Closing | ErrorKind::Closed), "{kind:?}");
            }
        });
        assert!(manager.is_closed());
        assert_eq!(manager.create(CreateOptions::new("shop")).expect_err("closed").kind(), ErrorKind::Closed);
        assert_eq!(manager.count().expect_err("closed").kind(), ErrorKind::Closed);
        // The log is still readable: whatever was created has ended.
        let log = manager.lifecycle(0, usize::MAX).expect("log");
        let last: std::collections::HashMap<_, _> = log.iter().map(|entry| (entry.session_id, entry.what)).collect();
        let left = last.values().filter(|what| **what == "created").count();
        assert_eq!(left, 0, "{left} sessions outlived the close");
        gate.open();
    }
}

#[test]
fn a_creation_that_is_asked_while_the_manager_closes_leaves_no_session() {
    let manager = Manager::new(Config::new().application(shop().event_class("slow"))).expect("manager");
    let (gate, inside) = (Gate::default(), Flag::default());
    let (wait, entered) = (gate.clone(), inside.clone());
    let callbacks = Callbacks::new().on(EventKind::Start, move |_| {
        entered.set();
        wait.hang();
        Ok(Verdict::Allow)
    });
    manager.register(EventClass::new("slow", callbacks)).expect("register");
    std::thread::scope(|scope| {
        let creator = scope.spawn(|| manager.create(CreateOptions::new("shop")));
        wait_until("on_start is asked", || inside.is_set());
        manager.close(Duration::from_millis(50));
        gate.open();
        let error = creator.join().expect("a thread").expect_err("the manager is closed");
        assert!(matches!(error.kind(), ErrorKind::Closed | ErrorKind::Closing | ErrorKind::Denied), "{error:?}");
    });
    let log = manager.lifecycle(0, 100).expect("log");
    let created = log.iter().filter(|entry| entry.what == "created").count();
    let ended = log.iter().filter(|entry| entry.what == "ended").count();
    assert_eq!(created, ended, "{log:?}");
}

#[test]
fn who_waits_for_a_lock_is_told_of_the_close() {
    let manager = Manager::new(Config::new().application(shop())).expect("manager");
    let token = create(&manager).token.reveal();
    let holder = begin(&manager, &token);
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let blocked = scope.spawn(|| manager.begin(&token, BeginOptions::default()));
        manager.begin_async(&token, BeginOptions::default(), Box::new(move |begun| sender.send(begun).expect("sent")));
        wait_until("both wait", || manager.stats().is_ok_and(|stats| stats.lock_waiters == 2));
        manager.close(Duration::ZERO);
        for begun in [blocked.join().expect("a thread"), receiver.recv_timeout(BOUND).expect("an answer")] {
            match begun {
                Ok(Begin::Gone(EndReason::Shutdown)) => {}
                Err(error) => assert!(matches!(error.kind(), ErrorKind::Closing | ErrorKind::Closed), "{error:?}"),
                other => panic!("{other:?}"),
            }
        }
    });
    assert!(holder.finish().is_err());
}

#[test]
fn a_close_takes_any_grace_and_a_close_in_a_callback_is_deferred() {
    let manager = Manager::new(Config::new().application(shop().event_class("closes"))).expect("manager");
    let report = Arc::new(Mutex::new(None));
    let (inner, inside) = (manager.clone(), report.clone());
    let callbacks = Callbacks::new().on(EventKind::End, move |_| {
        *inside.lock() = Some(inner.close(Duration::MAX));
        Ok(Verdict::Allow)
    });
    manager.register(EventClass::new("closes", callbacks)).expect("register");
    manager.end(create(&manager).id, EndOptions::default()).expect("end");
    wait_until("the deferred close is done", || manager.is_closed());
    assert!(report.lock().as_ref().is_some_and(|report| report.deferred));
    assert!(!manager.close(Duration::MAX).deferred);
}
