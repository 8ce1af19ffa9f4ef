use super::*;
use crate::event::current::MAX_DEPTH;
use crate::event::handler::{Answer, Verdict};

fn ask(world: &World, name: &str) -> Answer {
    world.dispatcher.ask(&class(name), event(EventKind::Start, 1, 1), false)
}

#[test]
fn a_decider_answers_on_a_thread_of_its_own_while_every_other_hangs() {
    let world = world_with(DispatchConfig { workers: 1, ..config() });
    let (latch, notes) = (Latch::default(), Notes::default());
    let (hold, seen) = (latch.clone(), notes.clone());
    world.class("slow", move |_, _, reply| {
        seen.add("slow");
        hold.pass();
        reply.done();
    });
    world.class("c", |_, _, reply| reply.verdict(Verdict::Deny("no".into())));
    world.tell("slow", 1, 1);
    notes.wait_for(1);
    assert_eq!(ask(&world, "c"), Answer::Verdict(Verdict::Deny("no".into())));
    assert_eq!(ask(&world, "nobody"), Answer::Skipped("not_registered"));
    latch.open();
}

#[test]
fn a_deciders_deadline_passes_in_virtual_time_from_the_ask() {
    let world = world_with(DispatchConfig { decider_workers: 1, ..config() });
    let (latch, notes) = (Latch::default(), Notes::default());
    let (hold, seen) = (latch.clone(), notes.clone());
    world.class("c", move |_, _, reply| {
        seen.add(format!("{:?}", reply.time_left()));
        reply.hang();
        hold.pass();
        reply.done();
    });
    let dispatcher = world.dispatcher.clone();
    let asker = std::thread::spawn(move || dispatcher.ask(&class("c"), event(EventKind::Start, 1, 1), false));
    assert_eq!(notes.wait_for(1), ["5s"]);
    assert_eq!(world.advance(5_000), 1);
    assert_eq!(asker.join().expect("asker"), Answer::Overrun);
    assert_eq!(world.dispatcher.stats().stuck_workers, 1);
    latch.open();
    eventually("it returns late", || world.dispatcher.stats().completed_late == 1);
    assert_eq!(world.errors(), [""; 0]);
}

#[test]
fn a_decider_asked_inside_a_callback_runs_on_that_callbacks_thread() {
    let world = world();
    let notes = Notes::default();
    let (seen, dispatcher) = (notes.clone(), Arc::downgrade(&world.dispatcher));
    world.class("inner", |_, _, reply| {
        let name = std::thread::current().name().unwrap_or_default().to_owned();
        reply.verdict(Verdict::Deny(name));
    });
    world.class("outer", move |_, _, reply| {
        let dispatcher = dispatcher.upgrade().expect("dispatcher");
        seen.add(format!("{:?}", dispatcher.ask(&class("inner"), event(EventKind::Login, 1, 1), false)));
        reply.done();
    });
    world.tell("outer", 1, 1);
    assert_eq!(notes.wait_for(1), [r#"Verdict(Deny("lses-dispatch-1"))"#]);
}

#[test]
fn recursion_is_capped() {
    let world = world();
    let notes = Notes::default();
    let (seen, dispatcher) = (notes.clone(), Arc::downgrade(&world.dispatcher));
    world.class("c", move |_, _, reply| {
        seen.add("in");
        let dispatcher = dispatcher.upgrade().expect("dispatcher");
        match dispatcher.ask(&class("c"), event(EventKind::Start, 1, 1), false) {
            Answer::Failed(text) => reply.fail(text),
            _ => reply.done(),
        }
    });
    assert_eq!(ask(&world, "c"), Answer::Failed("callbacks nested deeper than 16".into()));
    assert_eq!(notes.all().len(), MAX_DEPTH);
}

#[test]
fn a_reply_may_be_given_later_from_any_thread() {
    let world = world_with(DispatchConfig { decider_workers: 1, ..config() });
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keep = kept.clone();
    world.class("c", move |_, _, reply| keep.lock().push(reply));
    let notes = Notes::default();
    for n in 0..3 {
        let seen = notes.clone();
        let then = Box::new(move |answer| seen.add(format!("{n} {answer:?}")));
        world.dispatcher.ask_later(&class("c"), event(EventKind::Expiring, 1, 1), then);
    }
    eventually("all are asked by one thread", || kept.lock().len() == 3);
    let reply = kept.lock().remove(0);
    std::thread::spawn(|| reply.verdict(Verdict::Extend(LONG))).join().expect("answerer");
    assert_eq!(notes.wait_for(1), ["0 Verdict(Extend(20s))"]);
    let replies = std::mem::take(&mut *kept.lock());
    world.clock.set_settle(Duration::ZERO);
    world.advance(5_000);
    assert_eq!(notes.wait_for(3)[1..], ["1 Overrun", "2 Overrun"]);
    drop(replies);
    assert_eq!(notes.all().len(), 3);
    assert_eq!(world.dispatcher.stats().completed_late, 2);
}

#[test]
fn a_class_that_needs_the_asynchronous_call_is_refused_to_synchronous_ones() {
    let world = world();
    let notes = Notes::default();
    let seen = notes.clone();
    world.class("c", move |_, _, reply| {
        seen.add("asked");
        reply.async_required();
    });
    assert_eq!([ask(&world, "c"), ask(&world, "c")], [Answer::AsyncRequired, Answer::AsyncRequired]);
    assert_eq!(notes.all().len(), 1);
    assert!(world.dispatcher.class_health()[0].async_refused);
    world.dispatcher.ask(&class("c"), event(EventKind::Start, 1, 1), true);
    assert_eq!(notes.all().len(), 2);
    world.dispatcher.unregister("", "c").expect("unregister");
    world.class("c", |_, _, reply| reply.done());
    assert_eq!(ask(&world, "c"), Answer::Verdict(Verdict::Allow));
}

#[test]
fn a_decider_that_fails_again_and_again_is_left_alone() {
    let world = world_with(DispatchConfig { breaker_failures: 2, ..config() });
    world.class("c", |_, _, _| panic!("broken"));
    let broken = Answer::Failed("panic: broken".into());
    assert_eq!([ask(&world, "c"), ask(&world, "c")], [broken.clone(), broken]);
    assert_eq!(ask(&world, "c"), Answer::Skipped("breaker_open"));
}

#[test]
fn an_asynchronous_ask_in_the_calling_thread_returns_before_its_answer() {
    let world = world();
    let kept = Arc::new(Mutex::new(None));
    let keep = kept.clone();
    let body = move |_: &Arc<Event>, _, reply| *keep.lock() = Some((std::thread::current().id(), reply));
    let here = Handler { place: Some(Place::Caller), ..handler(body) };
    world.dispatcher.register(EventClass::new("c", here)).expect("register");
    let notes = Notes::default();
    let seen = notes.clone();
    let then = Box::new(move |answer| seen.add(format!("{answer:?}")));
    world.dispatcher.ask_async(&class("c"), event(EventKind::Start, 1, 1), then);
    let (thread, reply) = kept.lock().take().expect("asked in this thread");
    assert_eq!(thread, std::thread::current().id());
    assert_eq!(notes.all().len(), 0);
    reply.done();
    assert_eq!(notes.all(), ["Verdict(Allow)"]);
}

#[test]
fn a_class_that_never_came_to_its_turn_is_not_blamed() {
    let world = world_with(DispatchConfig { decider_workers: 1, max_stuck: 0, breaker_failures: 1, ..config() });
    let (latch, notes) = (Latch::default(), Notes::default());
    let (hold, seen) = (latch.clone(), notes.clone());
    world.class("slow", move |_, _, reply| {
        seen.add("slow");
        reply.hang();
        hold.pass();
        reply.done();
    });
    world.class("c", |_, _, reply| reply.done());
    for name in ["slow", "c"] {
        let seen = notes.clone();
        let then = Box::new(move |answer| seen.add(format!("{name} {answer:?}")));
        world.dispatcher.ask_later(&class(name), event(EventKind::Expiring, 1, 1), then);
        notes.wait_for(1);
    }
    world.advance(5_000);
    assert_eq!(notes.wait_for(3), ["slow", "slow Overrun", "c Overrun"]);
    assert_eq!(world.dispatcher.stats().breakers_open, ["slow"]);
    latch.open();
    eventually("the thread is back", || world.dispatcher.stats().stuck_workers == 0);
    assert_eq!(ask(&world, "c"), Answer::Verdict(Verdict::Allow));
}

#[test]
fn an_asker_is_let_go_even_if_nobody_keeps_time() {
    let world = world();
    let latch = Latch::default();
    let hold = latch.clone();
    let body = move |_: &Arc<Event>, _, reply: Reply| {
        hold.pass();
        reply.done();
    };
    let class = EventClass::new("c", handler(body)).deadline(Duration::from_millis(1));
    world.dispatcher.register(class).expect("register");
    assert_eq!(ask(&world, "c"), Answer::Overrun);
    latch.open();
    eventually("it returns late", || world.dispatcher.stats().completed_late == 1);
}
