//! Who is between taking rows of the outbox and handing them to the dispatcher.

use std::time::{Duration, Instant};

use crate::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use crate::sync::{Mutex, thread};

/// How long a look at the others is apart from the next.
const LOOK: Duration = Duration::from_micros(100);

/// Counts them in two turns: whoever waits has the next ones counted in the other.
pub(super) struct Handing {
    turn: AtomicUsize,
    inside: [AtomicUsize; 2],
    waiting: Mutex<()>,
}

/// Stands while rows are taken and handed over: not while callbacks run, which may not come back.
pub(super) struct HandingOver<'a>(&'a AtomicUsize);

impl HandingOver<'_> {
    /// One more of the same turn.
    pub fn again(&self) -> Self {
        self.0.fetch_add(1, SeqCst);
        Self(self.0)
    }
}

impl Drop for HandingOver<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

impl Handing {
    pub const fn new() -> Self {
        Self { turn: AtomicUsize::new(0), inside: [AtomicUsize::new(0), AtomicUsize::new(0)], waiting: Mutex::new(()) }
    }

    /// Before rows are taken.
    pub fn begin(&self) -> HandingOver<'_> {
        let inside = &self.inside[self.turn.load(SeqCst) % 2];
        inside.fetch_add(1, SeqCst);
        HandingOver(inside)
    }

    /// Waits until whatever others took before now is handed over, at most until then.
    pub fn wait(&self, until: Instant) {
        let _one = loop {
            match self.waiting.try_lock() {
                Some(one) => break one,
                // Another waiter has longer.
                None if Instant::now() >= until => return,
                None => thread::sleep(LOOK),
            }
        };
        // Twice: the turn before may still have somebody inside, from when another one gave up waiting.
        for _ in 0..2 {
            let turn = self.turn.fetch_add(1, SeqCst);
            while self.inside[turn % 2].load(SeqCst) > 0 && Instant::now() < until {
                thread::sleep(LOOK);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_sees_the_earlier_ones_leave_and_is_not_held_up_by_later_ones() {
        let handing = Handing::new();
        let long = Duration::from_secs(20);
        handing.wait(Instant::now() + long);
        let earlier = handing.begin();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| handing.wait(Instant::now() + long));
            while handing.turn.load(SeqCst) < 3 {
                std::thread::yield_now();
            }
            // Later ones come and go.
            let later = handing.begin();
            assert!(!waiter.is_finished());
            drop((later, earlier));
            waiter.join().expect("the waiter");
        });
        let taken = handing.begin();
        let stuck = taken.again();
        drop(taken);
        let begun = Instant::now();
        handing.wait(begun + Duration::from_millis(5));
        assert!(begun.elapsed() < long);
        drop(stuck);
    }
}
