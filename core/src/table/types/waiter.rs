//! Who asks for units, and waits for them.

use super::Charge;
use crate::clock::Millis;
use crate::id::SessionId;
use crate::license::policy::Rank;
use crate::license::queue::may_come;
use crate::reason::DenyReason;

/// How units are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asking {
    /// Whether a denial is the last word: it is counted and recorded.
    pub last: bool,
    /// The number of its place in the queue, if it has waited.
    pub place: Option<u64>,
    /// Among those who wait: who has a lower one comes later.
    pub priority: i8,
}

impl Asking {
    /// Whether a denial for this is the last word: of one that may have units after a while only if it does not wait.
    pub fn ends_with(&self, reason: DenyReason) -> bool {
        self.last || !may_come(reason)
    }
}

impl Default for Asking {
    fn default() -> Self {
        Self { last: true, place: None, priority: 0 }
    }
}

/// One who is to wait for units.
#[derive(Clone, Debug)]
pub struct NewWaiter {
    /// The session that waits, or is to be made.
    pub session: SessionId,
    /// How it is to be charged.
    pub charge: Charge,
    /// How it is charged until then, if it is.
    pub from: Option<Charge>,
    /// For how many connections.
    pub count: u64,
    /// What its holder is to the pool.
    pub rank: Rank,
    /// Who has a higher one is served first.
    pub priority: i8,
    /// Engine time until when it waits.
    pub deadline: Millis,
}

/// How a waiter leaves the queue without units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// It would not any longer.
    Cancelled,
    /// Its process died.
    Died,
    /// It is denied them, which is recorded apart.
    Denied,
}

/// One who waits, as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The number of its place.
    pub place: u64,
    /// The session that waits, or is to be made.
    pub session: SessionId,
    /// How it is to be charged.
    pub charge: Charge,
    /// Who has a higher one is served first.
    pub priority: i8,
    /// Engine time when it came.
    pub since: Millis,
    /// Engine time until when it waits.
    pub deadline: Millis,
    /// Units set aside for it; `None` while it awaits its turn.
    pub offered: Option<u64>,
    /// The process that waits.
    pub process: u32,
}
