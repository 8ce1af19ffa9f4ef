//! What the dispatcher promises, each as a sentence.

mod closing;
mod deciders;
mod deliveries;
mod misbehaviour;
mod places;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::sync::{Condvar, Mutex};

use super::class::{ClassRef, EventClass};
use super::dispatcher::{Delivery, DispatchConfig, Dispatcher, Origin};
use super::event::Event;
use super::handler::{Attempt, EventHandler, Place, Reply};
use crate::clock::{Clock, Driven, ManualClock, Millis, Timers};
use crate::id::SessionId;
use crate::reason::{EventKind, ThreadKind};

/// Longer than anything takes.
const LONG: Duration = Duration::from_secs(20);

type Body = Box<dyn Fn(&Arc<Event>, Attempt, Reply) + Send + Sync>;

struct Handler {
    kinds: u32,
    place: Option<Place>,
    body: Body,
}

impl EventHandler for Handler {
    fn handles(&self, kind: EventKind) -> bool {
        self.kinds & kind.bit() != 0
    }

    fn call(&self, event: &Arc<Event>, attempt: Attempt, reply: Reply) {
        (self.body)(event, attempt, reply);
    }

    fn place(&self, _kind: EventKind, _asynchronous: bool) -> Option<Place> {
        self.place
    }
}

fn handler(body: impl Fn(&Arc<Event>, Attempt, Reply) + Send + Sync + 'static) -> Handler {
    Handler { kinds: u32::MAX, place: None, body: Box::new(body) }
}

/// A dispatcher on a manual clock.
struct World {
    clock: ManualClock,
    dispatcher: Arc<Dispatcher>,
    _driven: Arc<dyn Driven>,
}

struct Drive {
    clock: ManualClock,
    timers: Arc<Timers>,
    dispatcher: Arc<Dispatcher>,
}

impl Driven for Drive {
    fn next_due(&self) -> Option<Millis> {
        self.timers.next_due()
    }

    fn run_due(&self) {
        self.timers.fire(self.clock.now().ms);
    }

    fn settle(&self, until: Instant) -> usize {
        self.dispatcher.settle(until)
    }
}

fn config() -> DispatchConfig {
    DispatchConfig { manager_id: 7, ..DispatchConfig::default() }
}

fn world() -> World {
    world_with(config())
}

fn world_with(config: DispatchConfig) -> World {
    let clock = ManualClock::new();
    clock.set_settle(LONG);
    let timers = Arc::new(Timers::default());
    let dispatcher = Dispatcher::new(config, Clock::Manual(clock.clone()), timers.clone());
    let driven: Arc<dyn Driven> = Arc::new(Drive { clock: clock.clone(), timers, dispatcher: dispatcher.clone() });
    clock.drive(Arc::downgrade(&driven));
    World { clock, dispatcher, _driven: driven }
}

impl World {
    fn class(&self, name: &str, body: impl Fn(&Arc<Event>, Attempt, Reply) + Send + Sync + 'static) {
        self.dispatcher.register(EventClass::new(name, handler(body))).expect("register");
    }

    fn tell(&self, name: &str, session: u8, event_id: u64) {
        self.dispatcher.notify(id(session), vec![delivery(name, session, event_id)], None, true);
    }

    /// Goes forward in virtual time; tells how many callbacks still run.
    fn advance(&self, ms: Millis) -> usize {
        self.clock.advance(Duration::from_millis(ms)).expect("advance")
    }

    fn drain(&self) {
        assert!(self.dispatcher.drain(LONG), "not delivered in time");
    }

    fn errors(&self) -> Vec<String> {
        self.dispatcher.dead_letters(0, usize::MAX).expect("letters").into_iter().map(|letter| letter.error).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.dispatcher.close(Duration::ZERO);
    }
}

fn id(session: u8) -> SessionId {
    SessionId([session; 16])
}

pub(crate) fn event(kind: EventKind, session: u8, event_id: u64) -> Arc<Event> {
    Arc::new(Event {
        kind,
        event_id,
        session_id: id(session),
        application: "shop".into(),
        old_application: None,
        namespace: "".into(),
        user: None,
        old_user: None,
        reason: None,
        level: None,
        thread: ThreadKind::Reaper,
        remaining: None,
        pool: None,
        at_ms: 0,
        wall_ms: 0,
        snapshot: None,
        request: None,
        choice: Arc::default(),
    })
}

fn delivery(name: &str, session: u8, event_id: u64) -> Delivery {
    Delivery { class: class(name), event: event(EventKind::End, session, event_id), origin: Origin::Told }
}

fn class(name: &str) -> ClassRef {
    ClassRef::new("", name)
}

/// What callbacks wrote down.
#[derive(Clone, Default)]
struct Notes(Arc<(Mutex<Vec<String>>, Condvar)>);

impl Notes {
    fn add(&self, note: impl Into<String>) {
        self.0.0.lock().push(note.into());
        self.0.1.notify_all();
    }

    fn all(&self) -> Vec<String> {
        self.0.0.lock().clone()
    }

    fn wait_for(&self, count: usize) -> Vec<String> {
        let mut notes = self.0.0.lock();
        let until = Instant::now() + LONG;
        while notes.len() < count {
            assert!(!self.0.1.wait_until(&mut notes, until).timed_out(), "only {notes:?}");
        }
        notes.clone()
    }
}

/// Holds callbacks up until it is opened.
#[derive(Clone, Default)]
struct Latch(Arc<(Mutex<bool>, Condvar)>);

impl Latch {
    fn open(&self) {
        *self.0.0.lock() = true;
        self.0.1.notify_all();
    }

    fn pass(&self) {
        let mut open = self.0.0.lock();
        let until = Instant::now() + LONG;
        while !*open {
            assert!(!self.0.1.wait_until(&mut open, until).timed_out(), "never opened");
        }
    }
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + LONG;
    while !holds() {
        assert!(Instant::now() < until, "never: {what}");
        std::thread::yield_now();
    }
}
