//! What the store refused and is tried again: a sweep, a look into the outbox, an acknowledgement.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Engine;
use crate::clock::{Millis, NEVER};
use crate::error::Error;
use crate::sync::Mutex;

/// How long after a failure the store is asked again.
const BACK_OFF: Millis = 100;

/// One thing that failed, and when it is tried again.
pub(super) struct Attempt {
    /// [`NEVER`] while it works.
    again: AtomicU64,
}

/// What is to be tried again.
pub(super) struct Retry {
    /// Claiming what is due.
    pub claim: Attempt,
    /// Taking rows of the outbox.
    pub outbox: Attempt,
    /// Rows that were delivered, and the store could not be told.
    unacknowledged: Mutex<Vec<u64>>,
}

impl Attempt {
    const fn new() -> Self {
        Self { again: AtomicU64::new(NEVER) }
    }

    /// When it is tried again, if it failed.
    pub fn again(&self) -> Option<Millis> {
        Some(self.again.load(Ordering::Acquire)).filter(|again| *again < NEVER)
    }

    /// Whether it is too early to try.
    pub fn waits(&self, now: impl FnOnce() -> Millis) -> bool {
        self.again().is_some_and(|again| now() < again)
    }

    /// It failed just now; tells whether it worked before.
    fn failed(&self, now: Millis) -> bool {
        self.again.swap(now.saturating_add(BACK_OFF).min(NEVER - 1), Ordering::AcqRel) == NEVER
    }

    /// It worked just now; tells whether it had failed before.
    fn worked(&self) -> bool {
        self.again.load(Ordering::Relaxed) != NEVER && self.again.swap(NEVER, Ordering::AcqRel) != NEVER
    }
}

impl Retry {
    pub const fn new() -> Self {
        Self { claim: Attempt::new(), outbox: Attempt::new(), unacknowledged: Mutex::new(Vec::new()) }
    }
}

impl Engine {
    /// A sweep could not claim what is due: seen in `stats`, and tried again soon.
    pub(super) fn claim_failed(&self, error: &Error) {
        let first = self.retry.claim.failed(self.clock.now().ms);
        let text = format!("what is due can't be ended: {error}");
        if first {
            log::error!(target: "libsession", "{text}; it is tried again every {BACK_OFF} ms");
        }
        self.reaper.degrade(text);
    }

    pub(super) fn claim_worked(&self) {
        if self.retry.claim.worked() {
            log::info!(target: "libsession", "what is due is ended again");
        }
    }

    /// The outbox could not be read: nothing in it is lost, and it is looked at again soon.
    pub(super) fn outbox_failed(&self, error: &Error) {
        let unacknowledged = self.retry.unacknowledged.lock();
        self.outbox_later(error);
        drop(unacknowledged);
        self.reaper.ring();
    }

    /// The outbox was read; a row that could not be acknowledged meanwhile is still to be.
    pub(super) fn outbox_worked(&self) {
        let unacknowledged = self.retry.unacknowledged.lock();
        if unacknowledged.is_empty() && self.retry.outbox.worked() {
            log::info!(target: "libsession", "the outbox is read and written again");
        }
    }

    /// A row was delivered and the store could not be told: it is told later, until then the row is this process's.
    pub(super) fn acknowledge_later(&self, event_id: u64, error: &Error) {
        let mut unacknowledged = self.retry.unacknowledged.lock();
        unacknowledged.push(event_id);
        self.outbox_later(error);
        drop(unacknowledged);
        self.reaper.ring();
    }

    fn outbox_later(&self, error: &Error) {
        if self.retry.outbox.failed(self.clock.now().ms) {
            log::error!(target: "libsession", "the outbox can't be read or written: {error}; it is tried again every {BACK_OFF} ms");
        }
    }

    /// Tells the store what it could not be told before.
    pub(super) fn acknowledge_again(&self) -> Result<(), Error> {
        self.dispatcher.keep_again()?;
        loop {
            let Some(event_id) = self.retry.unacknowledged.lock().pop() else { return Ok(()) };
            if let Err(error) = self.table.outbox_acknowledge(event_id) {
                self.retry.unacknowledged.lock().push(event_id);
                return Err(error);
            }
            self.delivering.fetch_sub(1, Ordering::SeqCst);
        }
    }
}
