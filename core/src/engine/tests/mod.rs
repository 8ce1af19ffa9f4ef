//! What the engine promises over a table that fails, and over one whose sessions outlive a manager.

mod failing;
mod levels;
mod outliving;
pub(in crate::engine) mod store;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::sync::{Condvar, Mutex};
use crate::*;

use self::store::Common;

/// Longer than anything takes.
const LONG: Duration = Duration::from_secs(20);

/// A manager over the test table of this name, with an application whose sessions list the class `audit`.
fn manager(name: &str, clock: &ManualClock) -> Manager {
    let shop = Application::new("shop").idle_timeout(Duration::from_secs(1)).absolute_timeout(None);
    let config = Config::new().application(shop.event_class("audit")).clock(Clock::Manual(clock.clone()));
    Manager::new(Config { store: format!("test:{name}"), ..config }).expect("manager")
}

fn common(name: &str) -> Arc<Common> {
    store::common(name).expect("an opened store")
}

/// Notes the ends that it is told, and returns when the gate is open.
struct Audit {
    notes: Notes,
    gate: Option<Gate>,
}

impl EventHandler for Audit {
    fn handles(&self, kind: EventKind) -> bool {
        kind == EventKind::End
    }

    fn call(&self, event: &Arc<Event>, attempt: Attempt, reply: Reply) {
        let again = if attempt.redelivered { " again" } else { "" };
        self.notes.add(format!("{}{again}", event.reason.map_or("", |reason| reason.name())));
        if let Some(gate) = &self.gate {
            gate.pass();
        }
        reply.done();
    }
}

/// The class `audit`, which notes the ends that it is told.
fn audit(notes: &Notes) -> EventClass {
    EventClass::new("audit", Audit { notes: notes.clone(), gate: None })
}

/// Holds callbacks back until it is opened.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn open(&self) {
        *self.0.0.lock() = true;
        self.0.1.notify_all();
    }

    fn pass(&self) {
        let until = Instant::now() + LONG;
        let mut open = self.0.0.lock();
        while !*open && !self.0.1.wait_until(&mut open, until).timed_out() {}
    }
}

/// What was seen, in order.
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
        let until = Instant::now() + LONG;
        let mut notes = self.0.0.lock();
        while notes.len() < count {
            assert!(!self.0.1.wait_until(&mut notes, until).timed_out(), "only {:?}", *notes);
        }
        notes.clone()
    }
}
