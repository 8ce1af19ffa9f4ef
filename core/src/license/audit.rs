//! What a pool tells: its use, its accounts, and a recount from first principles.

use std::sync::Arc;
use std::time::Duration;

use crate::id::SessionId;
use crate::reason::DenyReason;

/// What was done with units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditKind {
    /// A session joined a holder.
    Grant,
    /// A session was refused.
    Denial,
    /// A session changed its holder.
    Trade,
    /// A session left its holder.
    Release,
}

impl AuditKind {
    /// The same word in every language.
    pub fn name(self) -> &'static str {
        match self {
            Self::Grant => "grant",
            Self::Denial => "denial",
            Self::Trade => "trade",
            Self::Release => "release",
        }
    }
}

/// One entry of a pool's accounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRecord {
    /// Position; a cursor.
    pub seq: u64,
    /// Engine time.
    pub at_ms: u64,
    /// What was done.
    pub kind: AuditKind,
    /// The session.
    pub session_id: SessionId,
    /// Who is charged afterwards; for a release, who was.
    pub holder: Arc<str>,
    /// Units in use of the pool before.
    pub before: u64,
    /// Units in use of the pool after.
    pub after: u64,
    /// For a denial.
    pub reason: Option<DenyReason>,
}

/// The use of one pool at one instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The pool.
    pub pool: Arc<str>,
    /// Units there are.
    pub capacity: u64,
    /// Units charged.
    pub in_use: u64,
    /// `capacity - in_use`.
    pub available: u64,
    /// The most there ever were in use.
    pub high_water: u64,
    /// When that was: wall time, milliseconds since 1970.
    pub high_water_at: i64,
    /// Sessions refused so far.
    pub denials: u64,
    /// Per holder, by name.
    pub holders: Vec<HolderUsage>,
}

/// What one holder is charged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HolderUsage {
    /// Its name: a session id or a user.
    pub holder: Arc<str>,
    /// `user` or `session`.
    pub kind: &'static str,
    /// Its sessions.
    pub connections: u64,
    /// Its units.
    pub units: u64,
    /// How long it has held them without a break.
    pub active: Duration,
}

/// A recount from first principles beside the counters; both are always equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// The pool.
    pub pool: Arc<str>,
    /// Units in use by the counter.
    pub counted: u64,
    /// Units in use by a recount over all live sessions.
    pub recounted: u64,
    /// Each difference in words; empty unless there is a defect.
    pub differences: Vec<String>,
}
