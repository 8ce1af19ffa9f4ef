//! What a dispatcher tells about itself.

use super::breaker::BreakerState;
use super::class::ClassRef;
use crate::reason::EventKind;

/// Counts of a dispatcher, and what it does now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DispatchStats {
    /// Deliveries that wait, those for their back-off included.
    pub queued: usize,
    /// The most that ever waited at once.
    pub queue_high_water: usize,
    /// Callbacks that run or whose answer is awaited, hung ones included.
    pub running: usize,
    /// Deliveries that succeeded.
    pub delivered: u64,
    /// Callbacks that failed: each attempt counts.
    pub failed: u64,
    /// Callbacks that gave no answer by their deadline.
    pub overrun: u64,
    /// Deliveries that were tried again.
    pub retried: u64,
    /// Dead letters that are kept.
    pub dead_letters: u64,
    /// Deliveries that became dead letters.
    pub dead_lettered: u64,
    /// Dead letters that were given up because too many are kept.
    pub dead_letters_lost: u64,
    /// Callbacks that returned after their deadline.
    pub completed_late: u64,
    /// Threads in a callback that overran.
    pub stuck_workers: usize,
    /// Threads, stuck ones included.
    pub workers: usize,
    /// Classes whose breaker is open, as `namespace/name`, or `name` in the empty namespace.
    pub breakers_open: Vec<String>,
}

/// How one registered class does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassHealth {
    /// The class.
    pub class: ClassRef,
    /// Overruns and exhausted deliveries in a row.
    pub failures: u32,
    /// Its breaker.
    pub breaker: BreakerState,
    /// The text of its last failure.
    pub last_failure: Option<String>,
    /// Whether synchronous calls refuse to ask it, because it answered one with something asynchronous.
    pub async_refused: bool,
}

/// How closing went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DispatchReport {
    /// Delivered between the call of `close` and the end of the grace.
    pub delivered_in_grace: usize,
    /// Became dead letters with `shutdown`, or were left to other processes.
    pub undelivered: usize,
    /// Callbacks that still ran.
    pub stuck: usize,
}

/// A failed callback, for `explain`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallbackFailure {
    /// The class.
    pub class: ClassRef,
    /// The callback.
    pub kind: EventKind,
    /// Its own text, or `overrun`.
    pub text: String,
    /// Engine time.
    pub at_ms: u64,
}

/// How one callback went, for receipts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallbackOutcome {
    /// The class.
    pub class: ClassRef,
    /// The callback.
    pub kind: EventKind,
    /// `delivered`, or the error of the dead letter it became.
    pub outcome: String,
}
