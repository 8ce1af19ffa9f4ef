//! Over a table whose sessions outlive a manager, a close ends none and gives back everything.

use super::*;

#[test]
fn the_table_hears_which_classes_are_registered() {
    let notes = Notes::default();
    let manager = manager("classes", &ManualClock::new());
    manager.register(audit(&notes)).expect("register");
    assert_eq!(manager.register(audit(&notes)).err().map(|error| error.kind()), Some(ErrorKind::Exists));
    assert_eq!(manager.unregister("other", ""), Ok(false));
    assert_eq!(manager.unregister("audit", ""), Ok(true));
    assert_eq!(*common("classes").listened.lock(), [("audit".to_owned(), true), ("audit".to_owned(), false)]);
}

#[test]
fn a_close_ends_no_session_and_gives_back_requests_and_locks() {
    let clock = ManualClock::new();
    let (one, two) = (manager("close", &clock), manager("close", &clock));
    let created = one.create(CreateOptions::new("shop")).expect("create");
    let token = created.token.reveal();
    let request = one.begin(&token, BeginOptions::default()).and_then(Begin::live).expect("begin");
    let busy = BeginOptions { lock_timeout: Some(Duration::ZERO), ..BeginOptions::default() };
    let refused = two.begin(&token, busy.clone()).err().map(|error| error.kind());
    assert_eq!(refused, Some(ErrorKind::LockTimeout));
    let report = one.close(LONG);
    assert_eq!(report, CloseReport { in_flight: 1, ..CloseReport::default() });
    assert_eq!(one.close(LONG), report);
    assert_eq!(request.finish().err().map(|error| error.kind()), Some(ErrorKind::Closed));
    assert_eq!(two.count(), Ok(1));
    two.begin(&token, busy).and_then(Begin::live).expect("the lock is free").finish().expect("finish");
    drop(two);
    // A thread that keeps time may hold it for a moment longer.
    let until = std::time::Instant::now() + LONG;
    while common("close").closed.load(std::sync::atomic::Ordering::SeqCst) < 2 {
        assert!(std::time::Instant::now() < until, "the last drop closes nothing");
        std::thread::yield_now();
    }
}

#[test]
fn what_is_not_delivered_by_the_close_is_left_to_others_and_is_no_dead_letter() {
    let clock = ManualClock::new();
    let (here, there, gate) = (Notes::default(), Notes::default(), Gate::default());
    let (one, two) = (manager("left", &clock), manager("left", &clock));
    one.register(EventClass::new("audit", Audit { notes: here.clone(), gate: Some(gate.clone()) })).expect("register");
    for _ in 0..8 {
        let created = one.create(CreateOptions::new("shop")).expect("create");
        one.end(created.id, EndOptions::default()).expect("end");
    }
    // As many as there are workers are held back; the others wait.
    here.wait_for(4);
    let report = one.close(Duration::ZERO);
    assert_eq!((report.ended, report.delivered, report.undelivered, report.stuck), (0, 0, 8, 4));
    assert_eq!(one.dead_letters(0, 100).map(|letters| letters.len()), Ok(0));
    gate.open();
    two.register(audit(&there)).expect("register");
    assert_eq!(there.wait_for(8), ["ended again"; 8]);
    assert_eq!(two.drain(LONG), Ok(true));
    assert_eq!(two.0.engine().table.unsettled(), Ok(0));
}

#[test]
fn what_is_delivered_within_the_grace_is_acknowledged() {
    let clock = ManualClock::new();
    let (notes, gate) = (Notes::default(), Gate::default());
    let (one, two) = (manager("grace", &clock), manager("grace", &clock));
    one.register(EventClass::new("audit", Audit { notes: notes.clone(), gate: Some(gate.clone()) })).expect("register");
    let created = one.create(CreateOptions::new("shop")).expect("create");
    one.end(created.id, EndOptions::default()).expect("end");
    notes.wait_for(1);
    gate.open();
    let report = one.close(LONG);
    assert_eq!((report.undelivered, report.stuck), (0, 0));
    two.register(audit(&notes)).expect("register");
    assert_eq!(notes.all(), ["ended"]);
    assert_eq!(two.0.engine().table.unsettled(), Ok(0));
}

#[test]
fn a_session_outlives_the_manager_that_made_it() {
    let clock = ManualClock::new();
    let one = manager("late", &clock);
    let created = one.create(CreateOptions::new("shop")).expect("create");
    drop(one);
    let two = manager("late", &clock);
    assert!(matches!(two.touch(&created.token.reveal(), TouchKind::Activity), Ok(Touched::Live(_))));
}
