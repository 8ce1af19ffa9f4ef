use std::sync::Weak;

use super::*;
use crate::error::ErrorKind;
use crate::event::DispatchMode;
use crate::event::dispatch_stats::DispatchReport;
use crate::event::handler::Answer;

#[test]
fn close_delivers_what_waits_and_joins_its_threads() {
    let world = world();
    let notes = Notes::default();
    let seen = notes.clone();
    world.class("c", move |event, _, reply| {
        seen.add(event.event_id.to_string());
        reply.done();
    });
    for n in 0..50 {
        world.tell("c", n, u64::from(n));
    }
    let report = world.dispatcher.close(LONG);
    assert_eq!((report.undelivered, report.stuck, notes.all().len()), (0, 0, 50));
    assert_eq!(world.dispatcher.close(LONG), report);
    assert_eq!(world.dispatcher.stats().workers, 0);
    let late = Notes::default();
    let after = late.clone();
    world.dispatcher.notify(id(1), vec![delivery("c", 1, 99)], Some(Box::new(move |_| after.add("after"))), true);
    assert_eq!((world.errors(), late.all().len()), (vec!["shutdown".to_owned()], 1));
    let class = EventClass::new("d", handler(|_, _, reply| reply.done()));
    assert_eq!(world.dispatcher.register(class).map_err(|error| error.kind()), Err(ErrorKind::Closed));
}

#[test]
fn close_is_bounded_with_a_hung_callback_and_gives_up_the_rest() {
    let world = world_with(DispatchConfig { workers: 1, ..config() });
    let (latch, notes) = (Latch::default(), Notes::default());
    let (hold, seen) = (latch.clone(), notes.clone());
    world.class("c", move |_, _, reply| {
        seen.add("in");
        hold.pass();
        reply.done();
    });
    let after = notes.clone();
    let deliveries = vec![delivery("c", 1, 1), delivery("c", 1, 2)];
    world.dispatcher.notify(id(1), deliveries, Some(Box::new(move |_| after.add("after"))), true);
    world.tell("c", 2, 3);
    notes.wait_for(1);
    let begun = Instant::now();
    let report = world.dispatcher.close(Duration::from_millis(20));
    assert!(begun.elapsed() < LONG / 2);
    assert_eq!(report, DispatchReport { delivered_in_grace: 0, undelivered: 3, stuck: 1 });
    assert_eq!(world.errors(), ["shutdown"; 3]);
    assert_eq!(notes.all(), ["in", "after"]);
    latch.open();
    eventually("it returns late", || world.dispatcher.stats().completed_late == 1);
    eventually("its thread ends", || world.dispatcher.stats().workers == 0);
}

#[test]
fn a_pending_retry_counts_as_undelivered_and_an_asker_is_let_go() {
    let world = world();
    let (latch, notes) = (Latch::default(), Notes::default());
    let (hold, seen) = (latch.clone(), notes.clone());
    world.class("c", move |event, _, reply| {
        seen.add("in");
        if event.kind.decides() {
            reply.hang();
            hold.pass();
        }
        reply.fail("no");
    });
    world.tell("c", 1, 1);
    let dispatcher = world.dispatcher.clone();
    let asker = std::thread::spawn(move || dispatcher.ask(&class("c"), event(EventKind::Login, 1, 2), false));
    notes.wait_for(2);
    eventually("the retry waits", || world.dispatcher.stats().retried == 1);
    let report = world.dispatcher.close(LONG);
    assert_eq!((report.undelivered, report.stuck), (1, 1));
    assert_eq!(asker.join().expect("asker"), Answer::Failed("the manager was closed".into()));
    latch.open();
}

#[test]
fn close_inside_a_callback_neither_waits_for_it_nor_joins_its_own_thread() {
    let world = world();
    let notes = Notes::default();
    let (seen, dispatcher) = (notes.clone(), Arc::downgrade(&world.dispatcher));
    world.class("c", move |_, _, reply| {
        let dispatcher = dispatcher.upgrade().expect("dispatcher");
        seen.add(format!("{:?}", dispatcher.close(LONG)));
        reply.done();
    });
    world.tell("c", 1, 1);
    let nothing = DispatchReport { delivered_in_grace: 0, undelivered: 0, stuck: 0 };
    assert_eq!(notes.wait_for(1), [format!("{nothing:?}")]);
    eventually("its thread ends", || world.dispatcher.stats().workers == 0);
    assert_eq!(world.dispatcher.stats().delivered, 1);
}

#[test]
fn close_delivers_what_waits_for_dispatch_in_its_own_thread() {
    let world = world_with(DispatchConfig { own_threads: false, ..config() });
    let notes = Notes::default();
    let seen = notes.clone();
    world.class("c", move |_, _, reply| {
        seen.add("in");
        reply.done();
    });
    world.tell("c", 1, 1);
    let report = world.dispatcher.close(LONG);
    assert_eq!((report.delivered_in_grace, report.undelivered), (1, 0));
}

#[test]
fn hooks_wrap_every_threads_life_and_waits_and_hold_no_lock() {
    struct Hooks(Notes);
    impl crate::event::ThreadHooks for Hooks {
        fn around_life(&self, body: &mut dyn FnMut()) {
            self.0.add("attach");
            body();
            self.0.add("end");
        }

        fn around_wait(&self, body: &mut dyn FnMut()) {
            self.0.add("detach");
            body();
            self.0.add("attach");
        }
    }
    let notes = Notes::default();
    let hooks = Some(Arc::new(Hooks(notes.clone())) as Arc<dyn crate::event::ThreadHooks>);
    let world = world_with(DispatchConfig { workers: 1, thread_hooks: hooks, ..config() });
    let seen = notes.clone();
    world.class("c", move |_, _, reply| {
        seen.add("call");
        reply.done();
    });
    world.tell("c", 1, 1);
    notes.wait_for(3);
    world.dispatcher.close(LONG);
    assert_eq!(notes.all(), ["attach", "call", "detach", "attach", "end"]);
}

#[test]
fn what_was_taken_when_it_closed_does_not_begin() {
    let world = world_with(DispatchConfig { mode: DispatchMode::Inline, ..config() });
    let notes = Notes::default();
    let seen = notes.clone();
    world.class("c", move |_, _, reply| {
        seen.add("in");
        reply.done();
    });
    struct Closes<'a>(&'a Dispatcher);
    impl Drop for Closes<'_> {
        fn drop(&mut self) {
            // The lane is claimed, and its first callback has not begun.
            let report = self.0.close(Duration::ZERO);
            assert_eq!(report, DispatchReport { delivered_in_grace: 0, undelivered: 1, stuck: 0 });
        }
    }
    let deliveries = vec![delivery("c", 1, 1), delivery("c", 1, 2)];
    world.dispatcher.hand_over(id(1), deliveries, None, true, Closes(&world.dispatcher));
    assert_eq!((notes.all().len(), world.errors()), (0, vec!["shutdown".to_owned(); 2]));
}

#[test]
fn what_is_about_to_be_asked_when_it_closes_does_not_begin() {
    struct Closes {
        dispatcher: Weak<Dispatcher>,
        notes: Notes,
    }
    impl EventHandler for Closes {
        fn handles(&self, _kind: EventKind) -> bool {
            true
        }

        fn call(&self, _event: &Arc<Event>, _attempt: Attempt, reply: Reply) {
            self.notes.add("in");
            reply.done();
        }

        fn place(&self, _kind: EventKind, _asynchronous: bool) -> Option<Place> {
            self.dispatcher.upgrade().expect("dispatcher").close(Duration::ZERO);
            Some(Place::Caller)
        }
    }
    let world = world();
    let notes = Notes::default();
    let closes = Closes { dispatcher: Arc::downgrade(&world.dispatcher), notes: notes.clone() };
    world.dispatcher.register(EventClass::new("c", closes)).expect("register");
    let answer = world.dispatcher.ask(&class("c"), event(EventKind::Login, 1, 1), false);
    assert_eq!((answer, notes.all().len()), (Answer::Failed("the manager was closed".into()), 0));
    assert_eq!(world.dispatcher.stats().running, 0);
}
