use super::*;
use crate::error::ErrorKind;

/// Hangs on odd event ids until the latch opens, and says so.
fn hang_on_odd(world: &World, latch: &Latch, notes: &Notes) {
    hangs_on_odd(world, "c", latch, notes);
}

fn hangs_on_odd(world: &World, class: &'static str, latch: &Latch, notes: &Notes) {
    let (hold, seen) = (latch.clone(), notes.clone());
    world.class(class, move |event, _, reply| {
        seen.add(event.event_id.to_string());
        if event.event_id % 2 == 1 {
            reply.hang();
            hold.pass();
        }
        reply.done();
    });
}

#[test]
fn an_overrun_is_a_dead_letter_at_once_and_its_thread_is_replaced() {
    let world = world_with(DispatchConfig { workers: 1, ..config() });
    let (latch, notes) = (Latch::default(), Notes::default());
    hang_on_odd(&world, &latch, &notes);
    world.tell("c", 1, 1);
    world.tell("c", 1, 2);
    world.tell("c", 2, 4);
    assert_eq!(world.advance(4_999), 1);
    assert_eq!((notes.all(), world.errors().len()), (vec!["1".to_owned()], 0));
    assert_eq!(world.advance(1), 1);
    assert_eq!(world.errors(), ["overrun"]);
    world.drain();
    let mut seen = notes.all();
    seen.sort();
    assert_eq!(seen, ["1", "2", "4"]);
    let stats = world.dispatcher.stats();
    assert_eq!((stats.overrun, stats.stuck_workers, stats.workers), (1, 1, 2));
    assert!(!world.dispatcher.dead_letters(0, 1).expect("letters")[0].completed_late);

    latch.open();
    eventually("the stuck one comes back", || world.dispatcher.stats().stuck_workers == 0);
    eventually("the surplus thread ends", || world.dispatcher.stats().workers == 1);
    assert!(world.dispatcher.dead_letters(0, 1).expect("letters")[0].completed_late);
    assert_eq!(world.dispatcher.stats().completed_late, 1);
    assert_eq!(world.advance(1), 0);
}

#[test]
fn beyond_the_limit_of_replacements_deliveries_wait_and_time_goes_on() {
    let world = world_with(DispatchConfig { workers: 1, max_stuck: 2, breaker_failures: 100, ..config() });
    let (latch, notes) = (Latch::default(), Notes::default());
    // One class alone is left to itself before it has taken every thread.
    for (n, class) in (0..).zip(["a", "b", "c", "d"]) {
        hangs_on_odd(&world, class, &latch, &notes);
        world.tell(class, n, 2 * u64::from(n) + 1);
        world.advance(5_000);
    }
    world.tell("d", 9, 10);
    assert_eq!(world.advance(60_000), 3, "three hang, and nobody waits for them");
    let stats = world.dispatcher.stats();
    assert_eq!((stats.queued, stats.stuck_workers, stats.workers), (2, 3, 3));
    assert_eq!(notes.all().len(), 3);
    latch.open();
    world.drain();
    assert_eq!(notes.all().len(), 5);
}

#[test]
fn one_class_that_hangs_leaves_hands_for_the_others() {
    let world = world_with(DispatchConfig { breaker_failures: 100, ..config() });
    let (latch, notes) = (Latch::default(), Notes::default());
    hang_on_odd(&world, &latch, &notes);
    let done = Notes::default();
    let seen = done.clone();
    world.class("good", move |event, _, reply| {
        seen.add(event.event_id.to_string());
        reply.done();
    });
    for n in 0..50 {
        world.tell("c", n, 2 * u64::from(n) + 1);
        world.tell("good", n, 1000 + u64::from(n));
    }
    world.advance(60_000);
    assert_eq!(done.all().len(), 50, "{:?}", world.dispatcher.stats());
    let (errors, hung) = (world.errors(), notes.all().len());
    assert!(errors.len() == 50 && hung < 8, "{hung} hang");
    assert_eq!(errors.iter().filter(|error| *error == "breaker_open").count(), 50 - hung);
    assert_eq!(world.dispatcher.stats().breakers_open, ["c"]);
    latch.open();
    eventually("all come back", || world.dispatcher.stats().stuck_workers == 0);
    world.tell("c", 60, 122);
    world.drain();
    assert_eq!(notes.all().len(), hung + 1);
}

#[test]
fn a_promise_that_never_settles_is_an_overrun_and_a_late_one_is_marked() {
    let world = world();
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keep = kept.clone();
    world.class("c", move |_, _, reply| {
        reply.hang();
        keep.lock().push(reply);
    });
    world.tell("c", 1, 1);
    assert_eq!(world.advance(1), 1);
    world.advance(5_000);
    assert_eq!(world.errors(), ["overrun"]);
    eventually("no thread is stuck", || world.dispatcher.stats().stuck_workers == 0);
    assert!(!world.dispatcher.dead_letters(0, 1).expect("letters")[0].completed_late);
    let reply = kept.lock().pop();
    reply.expect("reply").done();
    assert!(world.dispatcher.dead_letters(0, 1).expect("letters")[0].completed_late);
    assert_eq!(world.dispatcher.stats().delivered, 0);
}

#[test]
fn the_breaker_opens_after_failures_in_a_row_and_a_probe_closes_it() {
    let world = world_with(DispatchConfig { retries: 0, breaker_failures: 2, ..config() });
    let good = Latch::default();
    let works = good.clone();
    world.class("c", move |_, _, reply| if *works.0.0.lock() { reply.done() } else { reply.fail("no") });
    for n in 1..=3 {
        world.tell("c", 1, n);
        world.drain();
    }
    assert_eq!(world.errors(), ["no", "no", "breaker_open"]);
    assert_eq!(world.dispatcher.stats().breakers_open, ["c"]);
    assert_eq!(world.dispatcher.class_health()[0].last_failure.as_deref(), Some("no"));
    world.advance(30_000);
    world.tell("c", 1, 4);
    world.drain();
    world.tell("c", 1, 5);
    world.drain();
    assert_eq!(world.errors()[3..], ["no", "breaker_open"], "the probe failed");
    good.open();
    world.advance(30_000);
    world.tell("c", 1, 6);
    world.tell("c", 1, 7);
    world.drain();
    let stats = world.dispatcher.stats();
    assert_eq!((stats.delivered, stats.breakers_open.len()), (2, 0));
    world.dispatcher.redeliver(None).expect("redeliver");
    world.drain();
    assert_eq!(world.dispatcher.stats().delivered, 7);
}

#[test]
fn a_class_is_registered_once_and_leaves_with_its_destructor_run_exactly_once_after_its_last_callback() {
    struct Dropped(Notes);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.add("dropped");
        }
    }
    for _ in 0..200 {
        let world = world_with(DispatchConfig { workers: 2, ..config() });
        let notes = Notes::default();
        let (seen, dropped) = (notes.clone(), Dropped(notes.clone()));
        world.class("c", move |_, _, reply| {
            let _held = &dropped;
            std::thread::yield_now();
            seen.add("called");
            reply.done();
        });
        let again = EventClass::new("c", handler(|_, _, reply| reply.done()));
        assert_eq!(world.dispatcher.register(again).map_err(|error| error.kind()), Err(ErrorKind::Exists));
        for session in 0..6 {
            world.tell("c", session, 1);
        }
        assert_eq!(world.dispatcher.unregister("", "c"), Ok(true));
        let at_return = notes.all();
        assert_eq!(at_return.last().map(String::as_str), Some("dropped"));
        world.drain();
        assert_eq!(notes.all(), at_return, "called after it was dropped");
        assert_eq!(world.dispatcher.unregister("", "c"), Ok(false));
        assert_eq!(at_return.len() - 1 + world.errors().len(), 6);
    }
}

#[test]
fn a_hung_callback_does_not_hold_up_its_class_leaving_and_drops_it_when_it_returns() {
    struct Dropped(Notes);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.add("dropped");
        }
    }
    let world = world();
    let (latch, notes) = (Latch::default(), Notes::default());
    let (hold, seen, dropped) = (latch.clone(), notes.clone(), Dropped(notes.clone()));
    let body = move |_: &Arc<Event>, _, reply: Reply| {
        let _held = &dropped;
        seen.add("called");
        hold.pass();
        reply.done();
    };
    let class = EventClass::new("c", handler(body)).deadline(Duration::from_millis(5));
    world.dispatcher.register(class).expect("register");
    world.tell("c", 1, 1);
    notes.wait_for(1);
    assert_eq!(world.dispatcher.unregister("", "c"), Ok(true));
    assert_eq!(notes.all(), ["called"]);
    latch.open();
    assert_eq!(notes.wait_for(2), ["called", "dropped"]);
}

#[test]
fn a_class_cant_be_unregistered_inside_its_own_callback_but_another_can() {
    let world = world();
    let notes = Notes::default();
    let (seen, dispatcher) = (notes.clone(), Arc::downgrade(&world.dispatcher));
    world.class("other", |_, _, reply| reply.done());
    world.class("c", move |_, _, reply| {
        let dispatcher = dispatcher.upgrade().expect("dispatcher");
        for name in ["c", "other"] {
            seen.add(format!("{:?}", dispatcher.unregister("", name).map_err(|error| error.kind())));
        }
        reply.done();
    });
    world.tell("c", 1, 1);
    assert_eq!(notes.wait_for(2), ["Err(Reentrant)", "Ok(true)"]);
}
