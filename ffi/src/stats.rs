//! Counters and health.

use libsession_core::session::Stats;

use crate::bytes::{Out, Sized32, SizedOut, lses_buf};
use crate::guard::done;
use crate::json::{self, Value, map, opt_text, texts, uint};
use crate::manager::{lses_manager, open};
use crate::status::lses_status;

/// The reaper runs.
pub const LSES_REAPER_RUNNING: u64 = 1;
/// The reaper is dead or stalled, and about to be started anew; expiry goes on by use.
pub const LSES_REAPER_DEGRADED: u64 = 2;
/// There is no reaper thread: the host calls lses_manager_tick(), or there was no session yet.
pub const LSES_REAPER_NONE: u64 = 3;
/// The manager is closed.
pub const LSES_REAPER_CLOSED: u64 = 4;

/// Counters and health. Begin with LSES_STATS_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct lses_stats {
    /// sizeof(lses_stats).
    pub size: usize,
    /// Live sessions.
    pub live: u64,
    /// The most there ever were.
    pub peak: u64,
    /// Made so far.
    pub created: u64,
    /// Refused so far.
    pub refused: u64,
    /// Ended so far.
    pub ended: u64,
    /// Requests in flight.
    pub in_flight: u64,
    /// Requests that wait for a lock.
    pub lock_waiters: u64,
    /// Tombstones that stand.
    pub tombstones: u64,
    /// Sessions whose data can't be read.
    pub damaged: u64,
    /// The reaper (LSES_REAPER_...).
    pub reaper: u64,
    /// How often the watchdog started the reaper anew.
    pub reaper_restarts: u64,
    /// The worst lateness of the last 1,024 ends after their deadlines.
    pub lateness_max_ms: u64,
    /// The 99th percentile of the same.
    pub lateness_p99_ms: u64,
    /// Deliveries that wait.
    pub callbacks_queued: u64,
    /// Callbacks that run.
    pub callbacks_running: u64,
    /// Callbacks that succeeded.
    pub callbacks_delivered: u64,
    /// Callbacks that failed.
    pub callbacks_failed: u64,
    /// Callbacks that overran their deadline.
    pub callbacks_overrun: u64,
    /// Dead letters kept.
    pub dead_letters: u64,
    /// Dispatcher threads that hang.
    pub stuck_workers: u64,
    /// Classes whose breaker is open.
    pub breakers_open: u64,
    /// Late uses of a rotated token after its grace: somebody may have stolen it.
    pub replaced_token_uses: u64,
    /// Ended so far, by reason: LSES_REASON_... is the index.
    pub ended_by_reason: [u64; 16],
    /// Calls of this manager that wait for license units.
    pub license_waiters: u64,
}

// SAFETY: repr(C), words only.
unsafe impl Sized32 for lses_stats {
    const NAME: &'static str = "lses_stats";
    const FIRST: usize = std::mem::offset_of!(Self, license_waiters);

    fn unset() -> Self {
        Self {
            size: size_of::<Self>(),
            live: 0,
            peak: 0,
            created: 0,
            refused: 0,
            ended: 0,
            in_flight: 0,
            lock_waiters: 0,
            tombstones: 0,
            damaged: 0,
            reaper: 0,
            reaper_restarts: 0,
            lateness_max_ms: 0,
            lateness_p99_ms: 0,
            callbacks_queued: 0,
            callbacks_running: 0,
            callbacks_delivered: 0,
            callbacks_failed: 0,
            callbacks_overrun: 0,
            dead_letters: 0,
            stuck_workers: 0,
            breakers_open: 0,
            replaced_token_uses: 0,
            ended_by_reason: [0; 16],
            license_waiters: 0,
        }
    }
}

/// Counters and health. `out_stats` takes the numbers, `out_json` (a buffer to free) all of it; either may be NULL. The JSON
/// has the same members, and `"reaper"` in words ("running","degraded","none","closed"), `"degraded"` (why, or null),
/// `"breakers_open"` as list of classes, `"ended_by_reason"` as `{"idle_timeout":1}` without zeros.
///
/// Threads: any. Does not block, may be called from a callback. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_stats(
    manager: *mut lses_manager,
    out_stats: *mut lses_stats,
    out_json: *mut lses_buf,
) -> lses_status {
    done(|| {
        // SAFETY: the host passes a struct that begins with its size.
        let numbers = unsafe { SizedOut::new(out_stats, "out_stats", true) }?;
        let json = Out::optional_buf(out_json);
        let stats = open(manager)?.core.stats()?;
        if json.wanted() {
            json.fill(json::text(&stats_json(&stats)).as_bytes())?;
        }
        numbers.set(&stats_numbers(&stats));
        Ok(())
    })
}

fn stats_numbers(stats: &Stats) -> lses_stats {
    let mut ended_by_reason = [0; 16];
    for (reason, count) in &stats.ended {
        if let Some(place) = ended_by_reason.get_mut(reason.code() as usize) {
            *place = *count;
        }
    }
    lses_stats {
        size: 0,
        live: stats.live,
        peak: stats.peak,
        created: stats.created,
        refused: stats.refused,
        ended: stats.ended.iter().map(|ended| ended.1).sum(),
        in_flight: stats.in_flight,
        lock_waiters: stats.lock_waiters,
        tombstones: stats.tombstones,
        damaged: stats.damaged,
        reaper: reaper(stats.reaper),
        reaper_restarts: stats.reaper_restarts,
        lateness_max_ms: stats.lateness_max_ms,
        lateness_p99_ms: stats.lateness_p99_ms,
        callbacks_queued: stats.callbacks_queued,
        callbacks_running: stats.callbacks_running,
        callbacks_delivered: stats.callbacks_delivered,
        callbacks_failed: stats.callbacks_failed,
        callbacks_overrun: stats.callbacks_overrun,
        dead_letters: stats.dead_letters,
        stuck_workers: stats.stuck_workers,
        breakers_open: stats.breakers_open.len() as u64,
        replaced_token_uses: stats.replaced_token_uses,
        ended_by_reason,
        license_waiters: stats.license_waiters,
    }
}

fn reaper(word: &str) -> u64 {
    match word {
        "running" => LSES_REAPER_RUNNING,
        "degraded" => LSES_REAPER_DEGRADED,
        "closed" => LSES_REAPER_CLOSED,
        _ => LSES_REAPER_NONE,
    }
}

fn stats_json(stats: &Stats) -> Value {
    let by_reason = stats.ended.iter().filter(|ended| ended.1 > 0);
    map([
        ("live", uint(stats.live)),
        ("peak", uint(stats.peak)),
        ("created", uint(stats.created)),
        ("refused", uint(stats.refused)),
        ("ended", uint(stats.ended.iter().map(|ended| ended.1).sum())),
        ("in_flight", uint(stats.in_flight)),
        ("lock_waiters", uint(stats.lock_waiters)),
        ("license_waiters", uint(stats.license_waiters)),
        ("tombstones", uint(stats.tombstones)),
        ("damaged", uint(stats.damaged)),
        ("reaper", stats.reaper.into()),
        ("reaper_restarts", uint(stats.reaper_restarts)),
        ("lateness_max_ms", uint(stats.lateness_max_ms)),
        ("lateness_p99_ms", uint(stats.lateness_p99_ms)),
        ("callbacks_queued", uint(stats.callbacks_queued)),
        ("callbacks_running", uint(stats.callbacks_running)),
        ("callbacks_delivered", uint(stats.callbacks_delivered)),
        ("callbacks_failed", uint(stats.callbacks_failed)),
        ("callbacks_overrun", uint(stats.callbacks_overrun)),
        ("dead_letters", uint(stats.dead_letters)),
        ("stuck_workers", uint(stats.stuck_workers)),
        ("breakers_open", texts(&stats.breakers_open)),
        ("replaced_token_uses", uint(stats.replaced_token_uses)),
        ("degraded", opt_text(stats.degraded.as_deref())),
        (
            "ended_by_reason",
            Value::Map(by_reason.map(|(reason, count)| (reason.name().to_string(), uint(*count))).collect()),
        ),
    ])
}
