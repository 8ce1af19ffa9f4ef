use std::sync::Barrier;

use super::*;

#[test]
fn the_events_of_one_session_are_delivered_in_order_and_then_what_comes_after() {
    let world = world();
    let notes = Notes::default();
    let seen = notes.clone();
    world.class("c", move |event, _, reply| {
        seen.add(event.event_id.to_string());
        reply.done();
    });
    let (first, second): (Vec<_>, Vec<_>) =
        ((0..50).map(|n| delivery("c", 1, n)).collect(), (50..100).map(|n| delivery("c", 1, n)).collect());
    let after = notes.clone();
    world.dispatcher.notify(id(1), first, Some(Box::new(move |_| after.add("after"))), true);
    world.dispatcher.notify(id(1), second, None, false);
    world.drain();
    let expected: Vec<String> =
        (0..50).map(|n: u32| n.to_string()).chain(["after".into()]).chain((50..100).map(|n| n.to_string())).collect();
    assert_eq!(notes.all(), expected);
    assert_eq!(world.dispatcher.stats().delivered, 100);
}

#[test]
fn different_sessions_are_served_at_once() {
    let world = world();
    let barrier = Arc::new(Barrier::new(4));
    world.class("c", move |_, _, reply| {
        barrier.wait();
        reply.done();
    });
    for session in 1..=4 {
        world.tell("c", session, 1);
    }
    world.drain();
}

#[test]
fn a_throw_is_retried_three_times_with_back_off_and_then_a_dead_letter() {
    let world = world();
    let notes = Notes::default();
    let (seen, clock) = (notes.clone(), world.clock.clone());
    world.class("c", move |event, attempt, reply| {
        seen.add(format!("{} {} {}", event.event_id, attempt.number, clock.now().ms));
        if event.event_id == 1 { reply.fail("no") } else { reply.done() }
    });
    world.tell("c", 1, 1);
    world.tell("c", 1, 2);
    world.advance(20_000);
    assert_eq!(notes.all(), ["1 1 0", "1 2 100", "1 3 1100", "1 4 11100", "2 1 11100"]);
    let letters = world.dispatcher.dead_letters(0, 10).expect("letters");
    assert_eq!((letters.len(), letters[0].attempts, &*letters[0].error, letters[0].at_ms), (1, 4, "no", 11_100));
    let stats = world.dispatcher.stats();
    assert_eq!((stats.failed, stats.retried, stats.dead_lettered, stats.delivered), (4, 3, 1, 1));
    assert_eq!(world.dispatcher.failures_of(id(1)).map(|failures| failures.len()), Ok(4));
    assert_eq!(world.dispatcher.failures_of(id(2)), Ok(Vec::new()));
}

#[test]
fn a_panic_is_a_failure_with_its_text() {
    let world = world_with(DispatchConfig { retries: 0, ..config() });
    world.class("c", |event, _, reply| {
        let _kept = reply;
        panic!("event {} is bad", event.event_id);
    });
    world.tell("c", 1, 5);
    world.drain();
    assert_eq!(world.errors(), ["panic: event 5 is bad"]);
}

#[test]
fn a_dropped_reply_is_a_failure() {
    let world = world_with(DispatchConfig { retries: 0, ..config() });
    world.class("c", |_, _, reply| drop(reply));
    world.tell("c", 1, 5);
    world.drain();
    assert_eq!(world.errors(), ["the callback gave no answer"]);
}

#[test]
fn a_class_that_is_registered_nowhere_gets_a_dead_letter_and_one_without_the_callback_none() {
    let world = world();
    let silent = Handler { kinds: EventKind::Start.bit(), ..handler(|_, _, reply| reply.done()) };
    world.dispatcher.register(EventClass::new("silent", silent)).expect("register");
    world.tell("nobody", 1, 1);
    world.tell("silent", 1, 2);
    world.drain();
    assert_eq!(world.errors(), ["not_registered"]);
    assert_eq!(world.dispatcher.kinds(), EventKind::Start.bit());
    assert!(world.dispatcher.handles(&class("silent"), EventKind::Start));
    assert!(!world.dispatcher.handles(&class("silent"), EventKind::End));
}

#[test]
fn a_dead_letter_is_delivered_again_with_its_event_id_and_marked() {
    let world = world();
    world.tell("c", 1, 9);
    world.drain();
    let notes = Notes::default();
    let seen = notes.clone();
    world.class("c", move |event, attempt, reply| {
        seen.add(format!("{} {} {}", event.event_id, attempt.number, attempt.redelivered));
        reply.done();
    });
    assert_eq!(world.dispatcher.redeliver(Some(99)), Ok(0));
    assert_eq!(world.dispatcher.redeliver(None), Ok(1));
    world.drain();
    assert_eq!(notes.all(), ["9 1 true"]);
    assert_eq!(world.errors(), [""; 0]);
}

#[test]
fn what_the_queue_does_not_hold_becomes_dead_letters_and_what_comes_after_still_runs() {
    let world = world_with(DispatchConfig { workers: 1, queue: 2, ..config() });
    let (latch, notes) = (Latch::default(), Notes::default());
    let (hold, seen) = (latch.clone(), notes.clone());
    world.class("c", move |event, _, reply| {
        seen.add(event.event_id.to_string());
        hold.pass();
        reply.done();
    });
    world.tell("c", 1, 1);
    notes.wait_for(1);
    let after = notes.clone();
    let deliveries = (2..6).map(|n| delivery("c", 2, n)).collect();
    world.dispatcher.notify(id(2), deliveries, Some(Box::new(move |_| after.add("after"))), true);
    assert_eq!(world.errors(), ["queue_full", "queue_full"]);
    assert_eq!(world.dispatcher.stats().queue_high_water, 2);
    latch.open();
    world.drain();
    assert_eq!(notes.all(), ["1", "2", "3", "after"]);
}

#[test]
fn an_answer_may_come_later_and_holds_up_its_session_only() {
    let world = world_with(DispatchConfig { workers: 1, ..config() });
    let (notes, kept) = (Notes::default(), Arc::new(Mutex::new(None)));
    let (seen, keep) = (notes.clone(), kept.clone());
    world.class("c", move |event, _, reply| {
        seen.add(event.event_id.to_string());
        if event.event_id == 1 { *keep.lock() = Some(reply) } else { reply.done() }
    });
    world.tell("c", 1, 1);
    world.tell("c", 1, 2);
    world.tell("c", 2, 3);
    assert_eq!(notes.wait_for(2), ["1", "3"]);
    eventually("the reply is kept", || kept.lock().is_some());
    let reply = kept.lock().take();
    reply.expect("reply").done();
    world.drain();
    assert_eq!(notes.all(), ["1", "3", "2"]);
}

#[test]
fn a_receipt_tells_how_each_callback_went() {
    let world = world_with(DispatchConfig { retries: 0, ..config() });
    world.class("good", |_, _, reply| reply.done());
    world.class("bad", |_, _, reply| reply.fail("no"));
    world.dispatcher.notify(id(1), vec![delivery("good", 1, 4), delivery("bad", 1, 4)], None, true);
    let outcomes = world.dispatcher.wait_for(4, LONG);
    let told: Vec<_> = outcomes.iter().map(|outcome| (&*outcome.class.name, &*outcome.outcome)).collect();
    assert_eq!(told, [("good", "delivered"), ("bad", "no")]);
    assert_eq!(world.dispatcher.wait_for(99, LONG), []);
}

#[test]
fn above_the_byte_limit_the_oldest_dead_letters_lose_their_snapshot_but_not_their_entry() {
    let mut tree = crate::data::Tree::default();
    tree.set(&[1.into()], "x".into()).expect("set");
    let bytes = tree.bytes_used();
    let world = world_with(DispatchConfig { dead_letters: 3, dead_letter_bytes: 2 * bytes, ..config() });
    for n in 0..4 {
        let event = Event { snapshot: Some(Arc::new(tree.clone())), ..Event::clone(&event(EventKind::End, 1, n)) };
        let delivery = Delivery { class: class("c"), event: Arc::new(event), origin: Origin::Told };
        world.dispatcher.notify(id(1), vec![delivery], None, true);
    }
    world.drain();
    let letters = world.dispatcher.dead_letters(0, 10).expect("letters");
    let shown: Vec<_> = letters.iter().map(|letter| (letter.event_id, letter.has_snapshot)).collect();
    assert_eq!(shown, [(1, false), (2, true), (3, true)]);
    assert_eq!(world.dispatcher.stats().dead_letters_lost, 1);
}
