//! Ends that are to be told, until somebody takes them to the dispatcher.

use std::collections::VecDeque;

use crate::sync::Mutex;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::table::OutboxRow;

/// In the order of the ends.
#[derive(Default)]
pub(super) struct Outbox {
    rows: Mutex<VecDeque<OutboxRow>>,
    /// How many; written under the lock.
    waiting: AtomicUsize,
}

impl Outbox {
    pub fn push(&self, row: OutboxRow) {
        let mut rows = self.rows.lock();
        rows.push_back(row);
        self.waiting.store(rows.len(), Ordering::Release);
    }

    /// Takes the first.
    pub fn take(&self, limit: usize) -> Vec<OutboxRow> {
        if self.is_empty() {
            return Vec::new();
        }
        let mut rows = self.rows.lock();
        let count = limit.min(rows.len());
        let taken = rows.drain(..count).collect();
        self.waiting.store(rows.len(), Ordering::Release);
        taken
    }

    /// Whether there is none: whoever put one in sees it until it is taken. Takes no lock.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.waiting.load(Ordering::Acquire) == 0
    }
}
