//! What a pool tells: its use, its accounts, and a recount from first principles.

use std::sync::Arc;
use std::time::Duration;

use crate::data::{Value, to_json};
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
    /// The pool was defined anew; the record's holder is who did it.
    Change,
    /// A session began to wait for units.
    Queue,
    /// Units were set aside for one that waits.
    Offer,
    /// What was set aside was not fetched in time.
    Withdraw,
    /// A session stopped waiting without units.
    Leave,
}

impl AuditKind {
    /// All, in the order of their numbers.
    pub(crate) const ALL: [Self; 11] = [
        Self::Grant,
        Self::Denial,
        Self::Trade,
        Self::Release,
        Self::Linger,
        Self::Reclaim,
        Self::Change,
        Self::Queue,
        Self::Offer,
        Self::Withdraw,
        Self::Leave,
    ];

    /// The same word in every language.
    pub fn name(self) -> &'static str {
        match self {
            Self::Grant => "grant",
            Self::Denial => "denial",
            Self::Trade => "trade",
            Self::Release => "release",
            Self::Linger => "linger",
            Self::Reclaim => "reclaim",
            Self::Change => "change",
            Self::Queue => "queue",
            Self::Offer => "offer",
            Self::Withdraw => "withdraw",
            Self::Leave => "leave",
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
    /// A session was ended for somebody else's; or this one was.
    Evicted,
    /// The unit had been set aside for who waited.
    Waited,
    /// Who waited would not any longer.
    Cancelled,
    /// The process of who waited died.
    Died,
}

impl AuditWhy {
    /// All, in the order of their numbers.
    pub(crate) const ALL: [Self; 11] = [
        Self::Nothing,
        Self::Lingering,
        Self::Reclaimed,
        Self::Reserved,
        Self::BreakGlass,
        Self::Overdraft,
        Self::Lingered,
        Self::Evicted,
        Self::Waited,
        Self::Cancelled,
        Self::Died,
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
            Self::Evicted => "evicted",
            Self::Waited => "waited",
            Self::Cancelled => "cancelled",
            Self::Died => "died",
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
    /// The same as wall time, milliseconds since 1970: as the clock of whoever reads it goes now, however it was set then. 0 in
    /// what a table answers.
    pub wall_ms: i64,
    /// What was done.
    pub kind: AuditKind,
    /// The session; [`SessionId::NIL`] for a change of the pool.
    pub session_id: SessionId,
    /// Who is charged afterwards; for a release, who was; for a change of the pool, who changed it, or empty.
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

impl AuditRecord {
    /// One line of JSON, without a line break at its end: `{"pool","seq","at_ms","wall_ms","kind","session_id","holder","before",
    /// "after","reason","why"}`, where `reason` and `why` are null if there is none.
    pub fn to_json(&self, pool: &str) -> String {
        let number = |number: u64| Value::Int(i64::try_from(number).unwrap_or(i64::MAX));
        let word = |word: Option<&str>| word.map_or(Value::Null, Value::from);
        to_json(&Value::map([
            ("pool", pool.into()),
            ("seq", number(self.seq)),
            ("at_ms", number(self.at_ms)),
            ("wall_ms", Value::Int(self.wall_ms)),
            ("kind", self.kind.name().into()),
            ("session_id", self.session_id.to_string().into()),
            ("holder", (*self.holder).into()),
            ("before", number(self.before)),
            ("after", number(self.after)),
            ("reason", word(self.reason.map(|reason| reason.name()))),
            ("why", word(Some(self.why.name()).filter(|why| !why.is_empty()))),
        ]))
    }
}

/// Accounts as lines of JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accounts {
    /// A line for each record ([`AuditRecord::to_json`]), each with a line feed at its end; empty at the end.
    pub lines: String,
    /// How many.
    pub count: usize,
    /// The position of the last one: where the next page goes on.
    pub last: u64,
}

impl Accounts {
    /// Those of some records.
    pub(crate) fn of(pool: &str, after: u64, records: &[AuditRecord]) -> Self {
        let mut lines = String::with_capacity(records.len() * 192);
        for record in records {
            lines.push_str(&record.to_json(pool));
            lines.push('\n');
        }
        Self { lines, count: records.len(), last: records.last().map_or(after, |record| record.seq) }
    }
}

/// Sessions that a pool refused since there is one, by why: on the shared table in all processes together.
///
/// A store that was made by an earlier version has counted all of them together until it was opened by this one: those are
/// in the sum ([`Usage::denials`]) alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Denials([u64; DenyReason::ALL.len()]);

impl Denials {
    /// How many for one reason.
    pub fn of(&self, reason: DenyReason) -> u64 {
        DenyReason::ALL.iter().position(|known| *known == reason).map_or(0, |at| self.0[at])
    }

    /// Each reason with how many; those with none, too.
    pub fn iter(&self) -> impl Iterator<Item = (DenyReason, u64)> {
        DenyReason::ALL.iter().copied().zip(self.0)
    }

    /// Counts so many more.
    pub(crate) fn add(&mut self, reason: DenyReason, more: u64) {
        if let Some(at) = DenyReason::ALL.iter().position(|known| *known == reason) {
            self.0[at] = self.0[at].saturating_add(more);
        }
    }
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
    /// Units among those available that anybody may have: `available = free + reserved + break_glass`.
    pub free: u64,
    /// Units among those available that hard reservations set apart, and their members don't hold: nobody else may have them.
    pub reserved: u64,
    /// Units of soft reservations that their members don't hold: others may use them, until a member needs one.
    pub reserved_soft: u64,
    /// Units among those available that only administrators may have. Where a lowered capacity or an overdraft left less than
    /// is set apart, what there is counts as `reserved` first.
    pub break_glass: u64,
    /// Units among those in use that no session needs any more: they linger, or are held for their minimal time.
    pub lingering: u64,
    /// Units in use beyond the capacity that were given as overdraft.
    pub overdrawn: u64,
    /// Units in use beyond the capacity because it was lowered meanwhile: they stay with who has them and drain.
    pub excess: u64,
    /// Units among those in use that are set aside for who waits, to be fetched within half a second.
    pub offered: u64,
    /// How many wait for units.
    pub waiting: u64,
    /// The most there ever were in use.
    pub high_water: u64,
    /// When that was: wall time, milliseconds since 1970.
    pub high_water_at: i64,
    /// Sessions refused so far.
    pub denials: u64,
    /// The same by why.
    pub denials_by_reason: Denials,
    /// Sessions evicted so far, for others or for one more of their user.
    pub evicted: u64,
    /// Per holder, by name.
    pub holders: Vec<HolderUsage>,
}

/// One who waits for units of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiter {
    /// How many come first, plus one.
    pub position: u64,
    /// Who is to be charged: a session id or a user.
    pub holder: Arc<str>,
    /// The session that waits, or is to be made.
    pub session_id: SessionId,
    /// Who has a higher one is served first.
    pub priority: i8,
    /// How long it has waited.
    pub waited: Duration,
    /// How long it will wait still.
    pub left: Duration,
    /// Whether units are set aside for it, which it is about to take.
    pub offered: bool,
    /// The process that waits.
    pub process: u32,
}

/// What one holder is charged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HolderUsage {
    /// Its name: a session id or a user.
    pub holder: Arc<str>,
    /// `user`; `session`, one that is its own holder; `lingering`, one whose units all linger; `mixed`, one some of whose
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
    /// Whether it is a user, who can come back to what lingers.
    pub(crate) is_user: bool,
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
