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
    /// A session left its holder, or what lingered is free.
    Release,
    /// A session left its holder, and the unit lingers.
    Linger,
    /// A lingering unit was taken for somebody else.
    Reclaim,
}

impl AuditKind {
    /// The same word in every language.
    pub fn name(self) -> &'static str {
        match self {
            Self::Grant => "grant",
            Self::Denial => "denial",
            Self::Trade => "trade",
            Self::Release => "release",
            Self::Linger => "linger",
            Self::Reclaim => "reclaim",
        }
    }
}

/// What made a step of a pool possible, or brought it about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuditWhy {
    /// Nothing out of the ordinary.
    #[default]
    Nothing,
    /// The holder came back to its lingering unit.
    Lingering,
    /// A lingering unit of another was reclaimed.
    Reclaimed,
    /// The unit is reserved for the holder.
    Reserved,
    /// The unit is one of those for administrators.
    BreakGlass,
    /// The pool is overdrawn by it.
    Overdraft,
    /// It had lingered long enough.
    Lingered,
}

impl AuditWhy {
    /// All, in the order of their numbers.
    pub(crate) const ALL: [Self; 7] = [
        Self::Nothing,
        Self::Lingering,
        Self::Reclaimed,
        Self::Reserved,
        Self::BreakGlass,
        Self::Overdraft,
        Self::Lingered,
    ];

    /// The same word in every language; empty for nothing.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nothing => "",
            Self::Lingering => "lingering",
            Self::Reclaimed => "reclaimed",
            Self::Reserved => "reserved",
            Self::BreakGlass => "break_glass",
            Self::Overdraft => "overdraft",
            Self::Lingered => "lingered",
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
    /// What made it possible, or brought it about.
    pub why: AuditWhy,
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
    /// Units among those in use that no session needs any more: they linger, or are held for their minimal time.
    pub lingering: u64,
    /// Units in use beyond the capacity.
    pub overdrawn: u64,
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
    /// `user`; `session`, one that is its own holder; `lingering`, one whose units all linger; `mixed`, a user some of whose
    /// units linger.
    pub kind: &'static str,
    /// Its sessions, and how often they took the pool as a feature.
    pub connections: u64,
    /// Its units.
    pub units: u64,
    /// How long it has held them without a break.
    pub active: Duration,
    /// Those of its units that linger.
    pub lingering: u64,
    /// After what time those are free, if it does not come back.
    pub release_in: Option<Duration>,
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
