//! A store that fails is told by its kind, is never taken for "absent", and is asked again.

use super::*;

fn kind<T>(result: Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

#[test]
fn a_look_that_fails_is_an_error_and_no_outcome() {
    let manager = manager("look", &ManualClock::new());
    let created = manager.create(CreateOptions::new("shop")).expect("create");
    let (token, id) = (created.token.reveal(), created.id);
    let common = common("look");
    let unavailable = Some(ErrorKind::Unavailable);
    for verb in ["begin", "touch", "find", "find_token", "list", "check", "lifecycle"] {
        common.fail(verb, ErrorKind::Unavailable);
    }
    assert_eq!(kind(manager.begin(&token, BeginOptions::default())), unavailable);
    assert_eq!(kind(manager.touch(&token, TouchKind::Activity)), unavailable);
    assert_eq!(kind(manager.id_of(&token)), unavailable);
    assert_eq!(kind(manager.end(id, EndOptions::default())), unavailable);
    assert_eq!(kind(manager.explain(id)), unavailable);
    assert_eq!(kind(manager.set_idle_timeout(id, None)), unavailable);
    assert_eq!(kind(manager.list(&Filter::default(), 0, 10)), unavailable);
    assert_eq!(kind(manager.end_where(&Filter::default(), EndOptions::default(), 0, 10)), unavailable);
    assert_eq!(kind(manager.check()), unavailable);
    assert_eq!(kind(manager.lifecycle(0, 10)), unavailable);
    let awaited = Arc::new(Mutex::new(None));
    let seen = awaited.clone();
    manager.begin_async(&token, BeginOptions::default(), Box::new(move |begun| *seen.lock() = Some(kind(begun))));
    assert_eq!(*awaited.lock(), Some(unavailable));
}

#[test]
fn an_end_that_fails_is_an_error_and_the_session_lives() {
    let manager = manager("end", &ManualClock::new());
    let created = manager.create(CreateOptions::new("shop")).expect("create");
    for (failure, level) in [
        (ErrorKind::Unavailable, EndLevel::Force),
        (ErrorKind::Uncertain, EndLevel::Request),
        (ErrorKind::Poisoned, EndLevel::Kill),
    ] {
        common("end").fail("end", failure);
        let options = EndOptions { level, ..EndOptions::default() };
        assert_eq!(kind(manager.end(created.id, options.clone())), Some(failure));
        let awaited = Arc::new(Mutex::new(None));
        let seen = awaited.clone();
        manager.end_async(created.id, options, Box::new(move |ended| *seen.lock() = Some(kind(ended))));
        assert_eq!(*awaited.lock(), Some(Some(failure)));
        assert_eq!(manager.count(), Ok(1));
    }
    common("end").mend("end");
    assert!(matches!(manager.end(created.id, EndOptions::default()), Ok(EndOutcome::Ended(_))));
}

#[test]
fn a_finish_that_fails_keeps_the_request_and_its_writes() {
    let manager = manager("finish", &ManualClock::new());
    let request = manager.begin_new(CreateOptions::new("shop"), BeginOptions::default()).expect("begin");
    let token = request.token().reveal();
    request.set(&[Subscript::from("a")], Value::from(1)).expect("set");
    for verb in ["finish", "save"] {
        common("finish").fail(verb, ErrorKind::Unavailable);
    }
    assert_eq!(kind(request.save()), Some(ErrorKind::Unavailable));
    assert_eq!(kind(request.finish()), Some(ErrorKind::Unavailable));
    for verb in ["finish", "save"] {
        common("finish").mend(verb);
    }
    assert_eq!(request.get(&[Subscript::from("a")]), Ok(Some(Value::from(1))));
    request.finish().expect("finish");
    let request = manager.begin(&token, BeginOptions::default()).and_then(Begin::live).expect("begin");
    assert_eq!(request.get(&[Subscript::from("a")]), Ok(Some(Value::from(1))));
    common("finish").fail("read", ErrorKind::Unavailable);
    assert_eq!(kind(request.get(&[Subscript::from("a")])), Some(ErrorKind::Unavailable));
}

#[test]
fn a_sweep_that_fails_shows_and_goes_on() {
    let clock = ManualClock::new();
    let manager = manager("sweep", &clock);
    manager.create(CreateOptions::new("shop")).expect("create");
    common("sweep").fail("claim_due", ErrorKind::Unavailable);
    assert_eq!(kind(manager.reap_now()), Some(ErrorKind::Unavailable));
    clock.advance(Duration::from_millis(1950)).expect("advance");
    let stats = manager.stats().expect("stats");
    assert_eq!(stats.reaper, "degraded");
    assert!(stats.degraded.is_some_and(|text| text.contains("claim_due fails")));
    // Not more often than every 100 ms.
    assert!((2..=22).contains(&common("sweep").failures("claim_due")), "{}", common("sweep").failures("claim_due"));
    assert_eq!(manager.count(), Ok(1));
    common("sweep").mend("claim_due");
    clock.advance(Duration::from_millis(100)).expect("advance");
    assert_eq!(manager.count(), Ok(0));
}

#[test]
fn an_outbox_that_fails_loses_nothing_and_tells_once() {
    let (clock, notes) = (ManualClock::new(), Notes::default());
    let manager = manager("outbox", &clock);
    manager.register(audit(&notes)).expect("register");
    let common = common("outbox");
    common.fail("outbox_take", ErrorKind::Unavailable);
    let created = manager.create(CreateOptions::new("shop")).expect("create");
    manager.end(created.id, EndOptions::default()).expect("end");
    clock.advance(Duration::from_millis(500)).expect("advance");
    assert_eq!(notes.all(), [""; 0]);
    assert!((2..=8).contains(&common.failures("outbox_take")), "{}", common.failures("outbox_take"));
    common.mend("outbox_take");
    common.fail("outbox_acknowledge", ErrorKind::Unavailable);
    clock.advance(Duration::from_millis(100)).expect("advance");
    assert_eq!(notes.all(), ["ended"]);
    assert_eq!(manager.0.engine().table.unsettled(), Ok(1));
    common.mend("outbox_acknowledge");
    clock.advance(Duration::from_millis(200)).expect("advance");
    assert_eq!(manager.0.engine().table.unsettled(), Ok(0));
    assert_eq!(notes.all(), ["ended"]);
}

#[test]
fn a_class_that_the_store_does_not_hear_of_is_not_registered() {
    let notes = Notes::default();
    let manager = manager("listens", &ManualClock::new());
    common("listens").fail("listens", ErrorKind::Unavailable);
    assert_eq!(kind(manager.register(audit(&notes))), Some(ErrorKind::Unavailable));
    common("listens").mend("listens");
    manager.register(audit(&notes)).expect("its name is free");
}

#[test]
fn one_reaper_at_a_time_is_started_in_place_of_a_slow_one() {
    let shop = Application::new("shop").idle_timeout(Duration::from_millis(20)).absolute_timeout(None);
    let config = Config { store: "test:slow".into(), ..Config::new().application(shop) };
    let manager = Manager::new(config).expect("manager");
    let common = common("slow");
    common.hold("claim_due", 0);
    let calls = |wanted: u64| {
        let until = Instant::now() + LONG;
        while common.calls("claim_due") < wanted {
            assert!(Instant::now() < until, "{} calls instead of {wanted}", common.calls("claim_due"));
            std::thread::yield_now();
        }
    };
    manager.create(CreateOptions::new("shop")).expect("create");
    calls(2);
    // Each half second a further one would be started, and held up like these two.
    let until = Instant::now() + Duration::from_millis(1700);
    while Instant::now() < until {
        assert_eq!(common.calls("claim_due"), 2);
        std::thread::sleep(Duration::from_millis(10));
    }
    let stats = manager.stats().expect("stats");
    assert_eq!((stats.reaper, stats.reaper_restarts), ("degraded", 1));
    // Whichever of the two comes through goes on alone.
    common.hold("claim_due", 1);
    let until = Instant::now() + LONG;
    while manager.count() != Ok(0) && common.calls("claim_due") < 3 {
        assert!(Instant::now() < until, "neither goes on");
        std::thread::yield_now();
    }
    manager.create(CreateOptions::new("shop")).expect("create");
    calls(3);
    common.hold("claim_due", u64::MAX);
    let until = Instant::now() + LONG;
    while manager.count() != Ok(0) {
        assert!(Instant::now() < until, "nothing is ended");
        std::thread::yield_now();
    }
}

#[test]
fn creations_that_the_store_fails_leave_nothing_and_are_told_as_an_end() {
    let store = "creations";
    let shop = Application::new("shop").event_class("never").event_class("told");
    let config = Config::new().application(shop).pool(Pool { queue: 5, ..Pool::new("users", 5) });
    let config = Config { store: format!("test:{store}"), ..config.clock(Clock::Manual(ManualClock::new())) };
    let manager = Manager::new(config).expect("manager");
    let (starts, ends, none) = (Notes::default(), Notes::default(), Notes::default());
    let (began, ended, wrong) = (starts.clone(), ends.clone(), none.clone());
    let told = Callbacks::new()
        .on(EventKind::Start, move |_| {
            began.add("started".to_owned());
            Ok(Verdict::Allow)
        })
        .on(EventKind::End, move |event| {
            ended.add(event.reason.map_or("", |reason| reason.name()).to_owned());
            Ok(Verdict::Allow)
        });
    let never = Callbacks::new().on(EventKind::Start, |_| Err("no".into())).on(EventKind::End, move |_| {
        wrong.add("ended".to_owned());
        Ok(Verdict::Allow)
    });
    manager.register(EventClass::new("told", told)).expect("register");
    common(store).fail("create", ErrorKind::Unavailable);
    // LIC-04 asks for 10,000 of each; the store fails no otherwise after the thousandth.
    for round in 0..1000 {
        let wait = Duration::from_secs(round % 2);
        let options = CreateOptions { queue: QueueOptions::wait(wait), ..CreateOptions::new("shop") };
        assert_eq!(kind(manager.create(options)), Some(ErrorKind::Unavailable));
    }
    manager.register(EventClass::new("never", never)).expect("register");
    for _ in 0..1000 {
        assert_eq!(kind(manager.create(CreateOptions::new("shop"))), Some(ErrorKind::Denied));
    }
    assert!(manager.drain(Duration::from_secs(30)).expect("drain"));
    assert_eq!((starts.all().len(), none.all().len()), (1000, 0));
    assert_eq!(ends.all(), ["start_denied"; 1000]);
    common(store).mend("create");
    let usage = manager.usage("users").expect("usage");
    assert_eq!((usage.in_use, usage.waiting, usage.denials, manager.count()), (0, 0, 0, Ok(0)));
    assert_eq!(manager.check(), Ok(Vec::new()));
    let stats = manager.stats().expect("stats");
    assert_eq!((stats.created, stats.refused, stats.tombstones), (0, 2000, 0));
}
