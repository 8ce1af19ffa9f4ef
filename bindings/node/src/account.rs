//! How counters, pools and accounts look in JavaScript: plain objects, times in milliseconds.

use libsession_core::event::DeadLetter as CoreDeadLetter;
use libsession_core::license;
use libsession_core::session as core;
use napi_derive::napi;

use crate::outcome::SessionInfo;
use crate::value::ms;

/// An entry of the lifecycle log.
#[napi(object)]
pub struct LogEntry {
    pub seq: f64,
    pub at_ms: f64,
    pub session_id: String,
    pub what: String,
    pub detail: String,
}

impl From<core::LogEntry> for LogEntry {
    fn from(entry: core::LogEntry) -> Self {
        Self {
            seq: entry.seq as f64,
            at_ms: entry.at_ms as f64,
            session_id: entry.session_id.to_string(),
            what: entry.what.into(),
            detail: entry.detail,
        }
    }
}

/// A callback that did not succeed.
#[napi(object, use_nullable = true)]
pub struct DeadLetter {
    pub id: f64,
    pub event_id: f64,
    pub kind: String,
    pub session_id: String,
    pub namespace: String,
    pub event_class: String,
    pub application: String,
    pub reason: Option<String>,
    pub at_ms: f64,
    pub attempts: u32,
    pub error: String,
    pub completed_late: bool,
    pub has_snapshot: bool,
}

impl From<CoreDeadLetter> for DeadLetter {
    fn from(letter: CoreDeadLetter) -> Self {
        Self {
            id: letter.id as f64,
            event_id: letter.event_id as f64,
            kind: letter.kind.name().into(),
            session_id: letter.session_id.to_string(),
            namespace: letter.class.namespace.to_string(),
            event_class: letter.class.name.to_string(),
            application: letter.application.to_string(),
            reason: letter.reason.map(|reason| reason.name().into()),
            at_ms: letter.at_ms as f64,
            attempts: letter.attempts,
            error: letter.error,
            completed_late: letter.completed_late,
            has_snapshot: letter.has_snapshot,
        }
    }
}

/// Counters and health.
#[napi(object, use_nullable = true)]
pub struct Stats {
    pub live: f64,
    pub peak: f64,
    pub created: f64,
    pub refused: f64,
    pub ended: std::collections::HashMap<String, f64>,
    pub in_flight: f64,
    pub lock_waiters: f64,
    pub license_waiters: f64,
    pub tombstones: f64,
    pub damaged: f64,
    pub reaper: String,
    pub degraded: Option<String>,
    pub reaper_restarts: f64,
    pub lateness_max_ms: f64,
    pub lateness_p99_ms: f64,
    pub callbacks_queued: f64,
    pub callbacks_running: f64,
    pub callbacks_delivered: f64,
    pub callbacks_failed: f64,
    pub callbacks_overrun: f64,
    pub dead_letters: f64,
    pub stuck_workers: f64,
    pub breakers_open: Vec<String>,
    pub replaced_token_uses: f64,
}

impl From<core::Stats> for Stats {
    fn from(stats: core::Stats) -> Self {
        Self {
            live: stats.live as f64,
            peak: stats.peak as f64,
            created: stats.created as f64,
            refused: stats.refused as f64,
            ended: stats.ended.into_iter().map(|(reason, count)| (reason.name().into(), count as f64)).collect(),
            in_flight: stats.in_flight as f64,
            lock_waiters: stats.lock_waiters as f64,
            license_waiters: stats.license_waiters as f64,
            tombstones: stats.tombstones as f64,
            damaged: stats.damaged as f64,
            reaper: stats.reaper.into(),
            degraded: stats.degraded,
            reaper_restarts: stats.reaper_restarts as f64,
            lateness_max_ms: stats.lateness_max_ms as f64,
            lateness_p99_ms: stats.lateness_p99_ms as f64,
            callbacks_queued: stats.callbacks_queued as f64,
            callbacks_running: stats.callbacks_running as f64,
            callbacks_delivered: stats.callbacks_delivered as f64,
            callbacks_failed: stats.callbacks_failed as f64,
            callbacks_overrun: stats.callbacks_overrun as f64,
            dead_letters: stats.dead_letters as f64,
            stuck_workers: stats.stuck_workers as f64,
            breakers_open: stats.breakers_open,
            replaced_token_uses: stats.replaced_token_uses as f64,
        }
    }
}

/// The use of a pool.
#[napi(object)]
pub struct Usage {
    pub pool: String,
    pub capacity: f64,
    pub in_use: f64,
    pub available: f64,
    pub free: f64,
    pub reserved: f64,
    pub reserved_soft: f64,
    pub break_glass: f64,
    pub lingering: f64,
    pub overdrawn: f64,
    pub excess: f64,
    pub waiting: f64,
    pub offered: f64,
    pub high_water: f64,
    pub high_water_at: f64,
    pub denials: f64,
    pub denials_by_reason: std::collections::HashMap<String, f64>,
    pub evicted: f64,
    pub holders: Vec<HolderUsage>,
}

/// The most units of a pool in use since a reader reset its mark.
#[napi(object)]
pub struct HighWater {
    pub units: f64,
    pub at: f64,
}

/// An option of a pool that is in force otherwise than it was named: both values as JSON.
#[napi(object)]
pub struct PoolDifference {
    pub pool: String,
    pub option: String,
    pub named: String,
    pub in_force: String,
}

/// Accounts as lines of JSON, each with a line feed at its end.
#[napi(object)]
pub struct Accounts {
    pub lines: String,
    pub count: u32,
    pub last: f64,
}

/// What one holder is charged.
#[napi(object, use_nullable = true)]
pub struct HolderUsage {
    pub holder: String,
    pub kind: String,
    pub connections: f64,
    pub units: f64,
    pub active_ms: f64,
    pub lingering: f64,
    pub release_ms: Option<f64>,
}

impl From<license::Usage> for Usage {
    fn from(usage: license::Usage) -> Self {
        Self {
            pool: usage.pool.to_string(),
            capacity: usage.capacity as f64,
            in_use: usage.in_use as f64,
            available: usage.available as f64,
            free: usage.free as f64,
            reserved: usage.reserved as f64,
            reserved_soft: usage.reserved_soft as f64,
            break_glass: usage.break_glass as f64,
            lingering: usage.lingering as f64,
            overdrawn: usage.overdrawn as f64,
            excess: usage.excess as f64,
            waiting: usage.waiting as f64,
            offered: usage.offered as f64,
            high_water: usage.high_water as f64,
            high_water_at: usage.high_water_at as f64,
            denials: usage.denials as f64,
            denials_by_reason: usage
                .denials_by_reason
                .iter()
                .map(|(reason, count)| (reason.name().into(), count as f64))
                .collect(),
            evicted: usage.evicted as f64,
            holders: usage.holders.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<libsession_core::PoolDifference> for PoolDifference {
    fn from(one: libsession_core::PoolDifference) -> Self {
        Self { pool: one.pool, option: one.option.to_owned(), named: one.named, in_force: one.in_force }
    }
}

impl From<license::HolderUsage> for HolderUsage {
    fn from(holder: license::HolderUsage) -> Self {
        Self {
            holder: holder.holder.to_string(),
            kind: holder.kind.into(),
            connections: holder.connections as f64,
            units: holder.units as f64,
            active_ms: ms(holder.active),
            lingering: holder.lingering as f64,
            release_ms: holder.release_in.map(ms),
        }
    }
}

/// Why a holder has units of a pool.
#[napi(object)]
pub struct UnitExplain {
    pub pool: String,
    pub holder: HolderUsage,
    pub sessions: Vec<SessionInfo>,
    pub text: String,
}

impl From<libsession_core::UnitExplain> for UnitExplain {
    fn from(explain: libsession_core::UnitExplain) -> Self {
        Self {
            pool: explain.pool.to_string(),
            holder: explain.holder.into(),
            sessions: explain.sessions.into_iter().map(Into::into).collect(),
            text: explain.text,
        }
    }
}

/// A recount of a pool.
#[napi(object)]
pub struct Audit {
    pub pool: String,
    pub counted: f64,
    pub recounted: f64,
    pub differences: Vec<String>,
}

impl From<license::Audit> for Audit {
    fn from(audit: license::Audit) -> Self {
        Self {
            pool: audit.pool.to_string(),
            counted: audit.counted as f64,
            recounted: audit.recounted as f64,
            differences: audit.differences,
        }
    }
}

/// An entry of a pool's accounts.
#[napi(object, use_nullable = true)]
pub struct AuditRecord {
    pub seq: f64,
    pub at_ms: f64,
    pub wall_ms: f64,
    pub kind: String,
    pub session_id: String,
    pub holder: String,
    pub before: f64,
    pub after: f64,
    pub reason: Option<String>,
    pub why: Option<String>,
}

impl From<license::AuditRecord> for AuditRecord {
    fn from(record: license::AuditRecord) -> Self {
        Self {
            seq: record.seq as f64,
            at_ms: record.at_ms as f64,
            wall_ms: record.wall_ms as f64,
            kind: record.kind.name().into(),
            session_id: record.session_id.to_string(),
            holder: record.holder.to_string(),
            before: record.before as f64,
            after: record.after as f64,
            reason: record.reason.map(|reason| reason.name().into()),
            why: Some(record.why.name()).filter(|why| !why.is_empty()).map(Into::into),
        }
    }
}
