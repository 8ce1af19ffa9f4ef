//! What a table is opened with, the time its verbs run at, and what it counts.

use std::sync::Arc;

use super::ApplicationRule;
use crate::clock::{Millis, Now};
use crate::config::Pool;
use crate::reason::EndReason;

/// What a table is opened with.
#[derive(Clone, Debug)]
pub struct TableConfig {
    /// The applications; their position is their number.
    pub applications: Vec<ApplicationRule>,
    /// The pools as this process names them; their position is their number.
    pub pools: Vec<Pool>,
    /// Most live sessions.
    pub max_sessions: u64,
    /// Quotas of one session's data.
    pub quotas: crate::data::Quotas,
    /// The quantum of idle deadlines.
    pub quantum: Millis,
    /// A request older than this counts as finished.
    pub max_request: Millis,
    /// How long a tombstone stands.
    pub tombstone: Millis,
    /// How long an answer for a refusal stands that took a look at all sessions; 0 where much may happen at one instant.
    pub answers_stand: Millis,
    /// Whether suspended time counts for idle deadlines.
    pub idle_counts_suspend: bool,
    /// Entries of the lifecycle log.
    pub lifecycle_log: usize,
    /// What else must be the same in all processes that share a table, one thing a line.
    pub agreement: String,
}

/// The time a verb runs at.
#[derive(Clone, Copy, Debug)]
pub struct At {
    /// Engine time.
    pub now: Now,
    /// Wall time, milliseconds since 1970, for display.
    pub wall: i64,
}

/// Counters of a table.
#[derive(Clone, Debug, Default)]
pub struct TableStats {
    /// Live sessions.
    pub live: u64,
    /// The most there were.
    pub peak: u64,
    /// Made.
    pub created: u64,
    /// Ended, by reason.
    pub ended: Vec<(EndReason, u64)>,
    /// Requests in flight.
    pub in_flight: u64,
    /// Waiting for locks.
    pub lock_waiters: u64,
    /// Calls that wait for license units, of all processes; 0 in memory, where the manager knows.
    pub license_waiters: u64,
    /// Tombstones that stand.
    pub tombstones: u64,
    /// Unreadable sessions ended or live so far.
    pub damaged: u64,
    /// Late uses of replaced tokens.
    pub replaced_token_uses: u64,
    /// Worst lateness of the last ends.
    pub lateness_max: Millis,
    /// 99th percentile of the same.
    pub lateness_p99: Millis,
}

/// Called when a lock may be free, or an earlier deadline was filed.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// What something is made of, one thing a line, each with a name before it.
pub(crate) fn lines(name: &str, of: &impl std::fmt::Debug) -> String {
    let shown = format!("{of:#?}");
    let fields = shown.lines().filter(|line| line.starts_with("    "));
    fields.map(|field| format!("{name}: {}\n", field.trim_end_matches(',').trim_start())).collect()
}
