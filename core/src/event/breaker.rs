//! Keeps a class that fails again and again from being called.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::sync::Mutex;

use crate::clock::Millis;

/// Whether a class is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// It is called.
    Closed,
    /// It is not: its events go to dead letters.
    Open,
    /// One delivery is under way to see whether it works again.
    Probing,
}

/// Counts failures in a row.
pub(crate) struct Breaker {
    limit: u32,
    probe_after: Millis,
    /// Whether there is anything to know beyond "it works", so that what works takes no lock.
    troubled: AtomicBool,
    /// Threads that hang in callbacks of this class, and how many may before it is left alone.
    stuck: AtomicUsize,
    most_stuck: usize,
    inner: Mutex<Inner>,
}

struct Inner {
    state: BreakerState,
    failures: u32,
    since: Millis,
    last: Option<String>,
}

impl Breaker {
    /// `max_stuck` is how many hung threads are replaced: one class alone takes half of them at most, so that there are
    /// always hands for the others.
    pub fn new(limit: u32, probe_after: Millis, max_stuck: usize) -> Self {
        let inner = Inner { state: BreakerState::Closed, failures: 0, since: 0, last: None };
        Self {
            limit,
            probe_after,
            troubled: AtomicBool::new(false),
            stuck: AtomicUsize::new(0),
            most_stuck: max_stuck.div_ceil(2).max(1),
            inner: Mutex::new(inner),
        }
    }

    /// A callback of this class was given up and holds its thread.
    pub fn hangs(&self) {
        self.stuck.fetch_add(1, Ordering::SeqCst);
    }

    /// Such a callback returned.
    pub fn came_back(&self) {
        self.stuck.fetch_sub(1, Ordering::SeqCst);
    }

    fn is_stuck(&self) -> bool {
        self.stuck.load(Ordering::SeqCst) >= self.most_stuck
    }

    /// Whether the class may be called now. After a `true`, [`succeeded`](Self::succeeded), [`failed`](Self::failed) or
    /// [`passed`](Self::passed) must follow.
    pub fn admits(&self, now: Millis) -> bool {
        if self.is_stuck() {
            return false;
        }
        if !self.troubled.load(Ordering::SeqCst) {
            return true;
        }
        let mut inner = self.inner.lock();
        match inner.state {
            BreakerState::Closed => true,
            BreakerState::Open if now >= inner.since.saturating_add(self.probe_after) => {
                inner.state = BreakerState::Probing;
                true
            }
            BreakerState::Open | BreakerState::Probing => false,
        }
    }

    pub fn succeeded(&self) {
        if self.troubled.load(Ordering::SeqCst) {
            self.reset();
        }
    }

    /// A delivery failed for good; tells whether this opened the breaker.
    pub fn failed(&self, now: Millis, text: &str) -> bool {
        let mut inner = self.inner.lock();
        self.troubled.store(true, Ordering::SeqCst);
        inner.failures = inner.failures.saturating_add(1);
        inner.last = Some(text.to_owned());
        let was_open = inner.state == BreakerState::Open;
        if inner.state == BreakerState::Probing || inner.failures >= self.limit.max(1) {
            inner.state = BreakerState::Open;
            inner.since = now;
        }
        inner.state == BreakerState::Open && !was_open
    }

    /// A call failed, but will be tried again. `true`: it was the probe, which is not tried again.
    pub fn stumbled(&self, text: &str) -> bool {
        let mut inner = self.inner.lock();
        inner.last = Some(text.to_owned());
        inner.state == BreakerState::Probing
    }

    /// An admitted call told nothing about the class: it was not made, or the manager closed.
    pub fn passed(&self) {
        if self.troubled.load(Ordering::SeqCst) {
            let mut inner = self.inner.lock();
            if inner.state == BreakerState::Probing {
                inner.state = BreakerState::Open;
            }
        }
    }

    /// Closes it.
    pub fn reset(&self) {
        let mut inner = self.inner.lock();
        inner.state = BreakerState::Closed;
        inner.failures = 0;
        self.troubled.store(false, Ordering::SeqCst);
    }

    /// Its state, the failures in a row, and the text of the last.
    pub fn health(&self) -> (BreakerState, u32, Option<String>) {
        let inner = self.inner.lock();
        let state = if self.is_stuck() { BreakerState::Open } else { inner.state };
        (state, inner.failures, inner.last.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_after_enough_failures_in_a_row_and_lets_one_probe_through() {
        let breaker = Breaker::new(2, 100, 4);
        assert!(!breaker.failed(0, "a"));
        breaker.succeeded();
        assert!(!breaker.failed(1, "a"));
        assert!(breaker.failed(2, "b"));
        assert!(!breaker.admits(101));
        assert!(breaker.admits(102));
        assert!(!breaker.admits(102), "only one probe");
        assert!(breaker.failed(103, "c"));
        assert!(!breaker.admits(202));
        assert!(breaker.admits(203));
        breaker.succeeded();
        assert!(breaker.admits(203) && breaker.admits(203));
        assert_eq!(breaker.health(), (BreakerState::Closed, 0, Some("c".into())));
    }

    #[test]
    fn a_probe_that_was_not_made_leaves_the_next_one_its_turn() {
        let breaker = Breaker::new(1, 10, 4);
        breaker.failed(0, "a");
        assert!(breaker.admits(10));
        breaker.passed();
        assert!(breaker.admits(10));
    }

    #[test]
    fn a_class_whose_callbacks_hang_is_left_alone_until_they_return() {
        let breaker = Breaker::new(100, 10, 4);
        breaker.hangs();
        assert!(breaker.admits(0));
        breaker.hangs();
        assert!(!breaker.admits(0) && !breaker.admits(1000));
        assert_eq!(breaker.health().0, BreakerState::Open);
        breaker.came_back();
        assert!(breaker.admits(0));
    }
}
