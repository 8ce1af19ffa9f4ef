use super::*;
use crate::error::ErrorKind;
use crate::event::DispatchMode;
use crate::event::handler::{Answer, Verdict};

fn here() -> String {
    std::thread::current().name().unwrap_or_default().to_owned()
}

fn noting(world: &World, notes: &Notes) {
    let seen = notes.clone();
    world.class("c", move |event, _, reply| {
        seen.add(format!("{} {}", event.event_id, here()));
        reply.done();
    });
}

#[test]
fn inline_what_the_host_causes_runs_in_its_thread_and_what_the_reaper_causes_does_not() {
    let world = world_with(DispatchConfig { mode: DispatchMode::Inline, ..config() });
    let notes = Notes::default();
    noting(&world, &notes);
    let after = notes.clone();
    let deliveries = vec![delivery("c", 1, 1), delivery("c", 1, 2)];
    world.dispatcher.notify(id(1), deliveries, Some(Box::new(move |_| after.add("after"))), true);
    let me = here();
    assert_eq!(notes.all(), [format!("1 {me}"), format!("2 {me}"), "after".into()]);
    world.dispatcher.notify(id(1), vec![delivery("c", 1, 3)], None, false);
    world.drain();
    assert_eq!(notes.all()[3], "3 lses-dispatch-1");
    assert_eq!(
        world.dispatcher.ask(&class("c"), event(EventKind::Start, 1, 4), false),
        Answer::Verdict(Verdict::Allow)
    );
    assert_eq!(notes.all()[4], format!("4 {me}"));
}

#[test]
fn inline_the_same_session_waits_for_the_outer_callback_and_another_does_not() {
    let world = world_with(DispatchConfig { mode: DispatchMode::Inline, ..config() });
    let notes = Notes::default();
    let (seen, dispatcher) = (notes.clone(), Arc::downgrade(&world.dispatcher));
    world.class("c", move |event, _, reply| {
        seen.add(format!("in {}", event.event_id));
        if event.event_id == 1 {
            let dispatcher = dispatcher.upgrade().expect("dispatcher");
            dispatcher.notify(id(1), vec![delivery("c", 1, 2)], None, true);
            dispatcher.notify(id(2), vec![delivery("c", 2, 3)], None, true);
        }
        seen.add(format!("out {}", event.event_id));
        reply.done();
    });
    world.tell("c", 1, 1);
    assert_eq!(notes.all(), ["in 1", "in 3", "out 3", "out 1", "in 2", "out 2"]);
}

#[test]
fn inline_recursion_beyond_the_cap_goes_to_a_thread() {
    let world = world_with(DispatchConfig { mode: DispatchMode::Inline, ..config() });
    let notes = Notes::default();
    let (seen, dispatcher) = (notes.clone(), Arc::downgrade(&world.dispatcher));
    world.class("c", move |event, _, reply| {
        let next = event.event_id + 1;
        if next <= 20 {
            let dispatcher = dispatcher.upgrade().expect("dispatcher");
            dispatcher.notify(id(next as u8), vec![delivery("c", next as u8, next)], None, true);
        }
        seen.add(here());
        reply.done();
    });
    world.tell("c", 1, 1);
    world.drain();
    let me = here();
    assert_eq!(notes.wait_for(20).iter().filter(|name| **name == me).count(), 16);
}

#[test]
fn polled_callbacks_wait_for_dispatch_and_their_waker_is_called_once() {
    let world = world_with(DispatchConfig { mode: DispatchMode::Poll, ..config() });
    let (notes, rings) = (Notes::default(), Notes::default());
    noting(&world, &notes);
    let ring = rings.clone();
    world.dispatcher.set_wake(Some(Arc::new(move || ring.add("ring"))));
    for session in 1..=3 {
        world.tell("c", session, u64::from(session));
    }
    assert_eq!((notes.all().len(), rings.all().len()), (0, 1));
    assert_eq!(world.advance(60_000), 0, "what waits for dispatch holds nobody up");
    assert_eq!(world.dispatcher.dispatch(2, LONG), Ok(2));
    assert_eq!(rings.all().len(), 2, "something is left");
    assert_eq!(world.dispatcher.dispatch(10, LONG), Ok(1));
    assert_eq!(world.dispatcher.dispatch(10, Duration::ZERO), Ok(0));
    let me = here();
    assert_eq!(notes.all(), [format!("1 {me}"), format!("2 {me}"), format!("3 {me}")]);
    world.tell("c", 1, 4);
    assert_eq!(rings.all().len(), 3);
}

#[test]
fn dispatch_wakes_up_for_what_another_thread_causes_and_is_refused_inside_a_callback() {
    let world = world_with(DispatchConfig { mode: DispatchMode::Poll, ..config() });
    let notes = Notes::default();
    let (seen, dispatcher) = (notes.clone(), Arc::downgrade(&world.dispatcher));
    world.class("c", move |_, _, reply| {
        let dispatcher = dispatcher.upgrade().expect("dispatcher");
        seen.add(format!("{:?}", dispatcher.dispatch(1, LONG).map_err(|error| error.kind())));
        reply.done();
    });
    let dispatcher = world.dispatcher.clone();
    let other = std::thread::spawn(move || dispatcher.dispatch(1, LONG));
    world.tell("c", 1, 1);
    assert_eq!(other.join().expect("other"), Ok(1));
    assert_eq!(notes.all(), [format!("Err({:?})", ErrorKind::Reentrant)]);
}

#[test]
fn without_threads_everything_runs_in_the_thread_that_dispatches_retries_included() {
    let world = world_with(DispatchConfig { own_threads: false, ..config() });
    let notes = Notes::default();
    let seen = notes.clone();
    world.class("c", move |_, attempt, reply| {
        seen.add(format!("{} {}", attempt.number, here()));
        if attempt.number < 2 { reply.fail("no") } else { reply.done() }
    });
    world.tell("c", 1, 1);
    assert_eq!(world.dispatcher.dispatch(10, Duration::ZERO), Ok(1));
    world.advance(100);
    assert_eq!(world.dispatcher.dispatch(10, Duration::ZERO), Ok(1));
    let me = here();
    assert_eq!(notes.all(), [format!("1 {me}"), format!("2 {me}")]);
    let then = notes.clone();
    let then = Box::new(move |answer| then.add(format!("{answer:?}")));
    world.dispatcher.ask_later(&class("c"), event(EventKind::Expiring, 1, 2), then);
    assert_eq!(notes.all().len(), 2);
    assert_eq!(world.dispatcher.dispatch(10, Duration::ZERO), Ok(1));
    assert_eq!(notes.all()[3], r#"Failed("no")"#);
    assert_eq!(world.dispatcher.stats().workers, 0);
}

#[test]
fn a_late_answer_in_the_callers_thread_does_not_count() {
    let world = world_with(DispatchConfig { mode: DispatchMode::Inline, ..config() });
    let (notes, latch) = (Notes::default(), Latch::default());
    let (seen, hold) = (notes.clone(), latch.clone());
    world.class("c", move |_, _, reply| {
        seen.add("in");
        reply.hang();
        hold.pass();
        reply.done();
    });
    let dispatcher = world.dispatcher.clone();
    let caller = std::thread::spawn(move || dispatcher.ask(&class("c"), event(EventKind::Start, 1, 1), false));
    notes.wait_for(1);
    assert_eq!(world.advance(5_000), 1);
    assert_eq!(world.dispatcher.stats().overrun, 1);
    latch.open();
    assert_eq!(caller.join().expect("caller"), Answer::Overrun);
    assert_eq!(world.dispatcher.stats().running, 0);
}
