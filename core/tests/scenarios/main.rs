//! What must survive: misuse, storms and races on the public API, one file a subject.
//!
//! Short by default; `LSES_TORTURE=1` runs them as long as they are meant to be.

mod arguments;
mod callbacks;
mod closing;
mod crossing;
mod deliveries;
mod expiry;
mod forum;
mod groups;
mod levels;
mod licenses;
mod races;
mod seeing;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use libsession_core::*;

/// Longer than anything takes that is not broken.
const BOUND: Duration = Duration::from_secs(30);

/// How often something is done: short here, long in torture.
fn rounds(short: usize, long: usize) -> usize {
    if std::env::var_os("LSES_TORTURE").is_some() { long } else { short }
}

/// Waits for a condition, bounded.
fn wait_until(what: &str, condition: impl FnMut() -> bool) {
    wait_within(BOUND, what, condition);
}

fn wait_within(bound: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let until = Instant::now() + bound;
    while !condition() {
        assert!(Instant::now() < until, "not within {bound:?}: {what}");
        std::thread::yield_now();
    }
}

/// A lock that no panic of a callback closes.
#[derive(Default)]
struct Mutex<T>(std::sync::Mutex<T>);

impl<T> Mutex<T> {
    fn new(value: T) -> Self {
        Self(std::sync::Mutex::new(value))
    }

    fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A gate that callbacks hang at until it is opened.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn hang(&self) {
        self.hang_for(Duration::from_secs(3600));
    }

    fn hang_for(&self, time: Duration) {
        let waited = self.0.1.wait_timeout_while(self.0.0.lock(), time, |open| !*open);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    fn open(&self) {
        *self.0.0.lock() = true;
        self.0.1.notify_all();
    }
}

/// A handler that says at once that it hangs, and does until the gate opens.
struct Hangs {
    kinds: Vec<EventKind>,
    gate: Gate,
}

impl EventHandler for Hangs {
    fn handles(&self, kind: EventKind) -> bool {
        self.kinds.contains(&kind)
    }

    fn call(&self, _event: &Arc<Event>, _attempt: Attempt, reply: Reply) {
        reply.hang();
        self.gate.hang();
        reply.done();
    }
}

/// A flag that others set.
#[derive(Clone, Default)]
struct Flag(Arc<AtomicBool>);

impl Flag {
    fn set(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

fn shop() -> Application {
    Application::new("shop").absolute_timeout(None)
}

fn create(manager: &Manager) -> Created {
    manager.create(CreateOptions::new("shop")).expect("create")
}

fn begin(manager: &Manager, token: &str) -> Request {
    manager.begin(token, BeginOptions::default()).expect("begin").live().expect("live")
}

fn manual(config: Config) -> (ManualClock, Manager) {
    let clock = ManualClock::new();
    (clock.clone(), Manager::new(config.clock(Clock::Manual(clock))).expect("manager"))
}

/// Nothing is left: no session, no unit, no contradiction.
fn assert_empty(manager: &Manager) {
    assert_eq!(manager.count(), Ok(0));
    for pool in manager.pools().expect("pools") {
        let usage = manager.usage(&pool).expect("usage");
        assert_eq!((usage.in_use, usage.holders.len()), (0, 0), "{usage:?}");
        assert_eq!(manager.audit(&pool).expect("audit").differences, Vec::<String>::new());
    }
    assert_eq!(manager.check(), Ok(Vec::new()));
}

/// A path of one subscript.
fn path(key: &str) -> [Subscript; 1] {
    [Subscript::from(key)]
}
