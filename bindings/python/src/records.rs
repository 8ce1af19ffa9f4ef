//! What calls return, as the frozen dataclasses of `libsession._records`.

use std::time::Duration;

use libsession_core::license::{Audit, AuditRecord, HolderUsage, Usage, Waiter};
use libsession_core::{
    Client, CloseReport, DeadLetter, EndOutcome, Explain, Feature, LogEntry, Page, Progress, Receipt, RequestInfo,
    SessionInfo, Stats, UnitExplain,
};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyTuple};

use crate::errors::{build, raise};
use crate::words::word;

static CLASSES: PyOnceLock<Py<PyDict>> = PyOnceLock::new();

/// An instance of a record class.
pub fn record<'py>(py: Python<'py>, class: &str, fields: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyAny>> {
    let classes = CLASSES.get_or_try_init(py, || {
        let classes = py.import("libsession._records")?.getattr("CLASSES")?;
        Ok::<_, PyErr>(classes.cast_into::<PyDict>()?.unbind())
    })?;
    match classes.bind(py).get_item(class)? {
        Some(class) => class.call((), Some(fields)),
        None => Err(PyTypeError::new_err(format!("there is no record {class}"))),
    }
}

/// Fills the fields of a record and makes it.
macro_rules! record {
    ($py:ident, $class:literal { $($field:ident: $value:expr,)+ }) => {{
        let fields = PyDict::new($py);
        $(fields.set_item(stringify!($field), $value)?;)+
        record($py, $class, &fields)
    }};
}

/// Wall time in milliseconds since 1970 as an aware `datetime` in UTC; clamped to what `datetime` can show.
pub fn instant(py: Python<'_>, wall_ms: i64) -> PyResult<Bound<'_, PyAny>> {
    static EPOCH: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let epoch = EPOCH.get_or_try_init(py, || {
        let datetime = py.import("datetime")?;
        let utc = datetime.getattr("timezone")?.getattr("utc")?;
        datetime.getattr("datetime")?.call1((1970, 1, 1, 0, 0, 0, 0, utc)).map(Bound::unbind)
    })?;
    let ms = wall_ms.clamp(-62_135_596_800_000, 253_402_300_799_999);
    let delta = pyo3::types::PyDelta::new(
        py,
        i32::try_from(ms.div_euclid(86_400_000)).unwrap_or(0),
        i32::try_from(ms.rem_euclid(86_400_000) / 1000).unwrap_or(0),
        i32::try_from(ms.rem_euclid(1000) * 1000).unwrap_or(0),
        true,
    )?;
    epoch.bind(py).call_method1("__add__", (delta,))
}

fn tuple<'py, T>(
    py: Python<'py>,
    items: impl IntoIterator<Item = T>,
    each: impl Fn(T) -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyTuple>> {
    PyTuple::new(py, items.into_iter().map(each).collect::<PyResult<Vec<_>>>()?)
}

fn client<'py>(py: Python<'py>, client: &Client) -> PyResult<Bound<'py, PyAny>> {
    record!(py, "Client" {
        address: client.address.as_deref(),
        user_agent: client.user_agent.as_deref(),
        referrer: client.referrer.as_deref(),
    })
}

/// What a session has taken.
pub fn features<'py>(py: Python<'py>, features: &[Feature]) -> PyResult<Bound<'py, PyTuple>> {
    tuple(py, features, |feature| {
        record!(py, "Feature" {
            pool: &*feature.pool,
            count: feature.count,
            holder: &*feature.holder,
            since_ms: feature.since_ms,
        })
    })
}

/// A live session.
pub fn session_info<'py>(py: Python<'py>, info: &SessionInfo) -> PyResult<Bound<'py, PyAny>> {
    record!(py, "SessionInfo" {
        id: info.id.to_string(),
        state: word(py, "State", info.state.name())?,
        application: &*info.application,
        namespace: &*info.namespace,
        user: info.user.as_deref(),
        created_ms: info.created_ms,
        created_at: instant(py, info.created_at)?,
        last_used_ms: info.last_used_ms,
        idle_timeout: info.idle_timeout,
        absolute_timeout: info.absolute_timeout,
        deadline_ms: info.deadline_ms,
        immortal: info.immortal,
        overdue: info.overdue,
        in_flight: info.in_flight,
        license_pool: info.license.as_ref().map(|license| &*license.1),
        license_holder: info.license.as_ref().map(|license| &*license.0),
        features: features(py, &info.features)?,
        data_bytes: info.data_bytes,
        client: client(py, &info.client)?,
    })
}

/// A page of a listing.
pub fn page<'py>(py: Python<'py>, page: &Page) -> PyResult<Bound<'py, PyAny>> {
    record!(py, "Page" {
        sessions: tuple(py, &page.sessions, |info| session_info(py, info))?,
        next: page.next,
    })
}

/// How far a bulk change got.
pub fn progress(py: Python<'_>, progress: Progress) -> PyResult<Bound<'_, PyAny>> {
    record!(py, "Progress" {
        scanned: progress.scanned,
        changed: progress.changed,
        protected: progress.protected,
        next: progress.next,
    })
}

/// What an end says.
pub fn receipt<'py>(py: Python<'py>, receipt: &Receipt, by_this_call: bool) -> PyResult<Bound<'py, PyAny>> {
    record!(py, "Receipt" {
        id: receipt.id.to_string(),
        by_this_call: by_this_call,
        application: &*receipt.application,
        user: receipt.user.as_deref(),
        reason: word(py, "EndReason", receipt.reason.name())?,
        level: word(py, "EndLevel", receipt.level.name())?,
        actor: receipt.actor.as_deref(),
        note: receipt.note.as_deref(),
        at_ms: receipt.at_ms,
        at: instant(py, receipt.wall_ms)?,
        late: receipt.late,
        license_free_at_ms: receipt.license_free_at_ms,
        license_free_at: receipt.license_free_at_ms.map(|free| {
            let later = i64::try_from(free.saturating_sub(receipt.at_ms)).unwrap_or(0);
            instant(py, receipt.wall_ms.saturating_add(later))
        }).transpose()?,
        event_id: receipt.event_id,
        callbacks: tuple(py, &receipt.callbacks, |(class, kind, outcome)| record!(py, "CallbackOutcome" {
            event_class: class.as_str(),
            kind: word(py, "EventKind", kind)?,
            outcome: outcome.as_str(),
        }))?,
    })
}

/// The outcome of an end: a receipt, an extension, or `Absent`.
pub fn end_outcome<'py>(py: Python<'py>, outcome: &EndOutcome) -> PyResult<Bound<'py, PyAny>> {
    match outcome {
        EndOutcome::Ended(it) => receipt(py, it, true),
        EndOutcome::Gone(it) => receipt(py, it, false),
        EndOutcome::Extended { class, by } => record!(py, "Extension" {
            event_class: class.as_str(),
            by: *by,
        }),
        EndOutcome::Absent => Err(raise(py, &libsession_core::Error::absent())),
    }
}

fn request_info<'py>(py: Python<'py>, request: &RequestInfo) -> PyResult<Bound<'py, PyAny>> {
    record!(py, "RequestInfo" {
        started_ms: request.started_ms,
        touch: word(py, "TouchKind", request.touch.name())?,
        lock: request.lock.map(|lock| word(py, "LockMode", lock.name())).transpose()?,
        process: request.process,
    })
}

/// Everything there is to know of one session.
pub fn explain<'py>(py: Python<'py>, it: &Explain) -> PyResult<Bound<'py, PyAny>> {
    record!(py, "Explain" {
        id: it.id.to_string(),
        live: it.live.as_ref().map(|info| session_info(py, info)).transpose()?,
        ended: it.ended.as_ref().map(|ended| receipt(py, ended, false)).transpose()?,
        requests: tuple(py, &it.requests, |request| request_info(py, request))?,
        lock_waiters: it.lock_waiters,
        extensions: tuple(py, &it.extensions, |(at_ms, class, by)| record!(py, "ExtensionGrant" {
            at_ms: *at_ms,
            event_class: class.as_str(),
            by: *by,
        }))?,
        event_classes: tuple(py, &it.event_classes, |(namespace, name, registered)| record!(py, "EventClassState" {
            namespace: namespace.as_str(),
            name: name.as_str(),
            registered: *registered,
        }))?,
        failures: tuple(py, &it.failures, |(class, kind, text)| record!(py, "CallbackFailure" {
            event_class: class.as_str(),
            kind: word(py, "EventKind", kind)?,
            text: text.as_str(),
        }))?,
        damaged: it.damaged,
        next: it.next.as_ref().map(|(what, at_ms)| record!(py, "NextStep" {
            what: what.as_str(),
            at_ms: *at_ms,
        })).transpose()?,
        trace: tuple(py, &it.trace, |line| Ok(line.into_pyobject(py)?.into_any()))?,
        text: it.text.as_str(),
    })
}

/// What a close did.
pub fn close_report<'py>(py: Python<'py>, report: &CloseReport) -> PyResult<Bound<'py, PyAny>> {
    record!(py, "CloseReport" {
        ended: report.ended,
        in_flight: report.in_flight,
        delivered: report.delivered,
        undelivered: report.undelivered,
        stuck: report.stuck,
        deferred: report.deferred,
    })
}

/// An entry of the lifecycle log.
pub fn log_entry<'py>(py: Python<'py>, entry: &LogEntry) -> PyResult<Bound<'py, PyAny>> {
    record!(py, "LogEntry" {
        seq: entry.seq,
        at_ms: entry.at_ms,
        session_id: entry.session_id.to_string(),
        what: entry.what,
        detail: entry.detail.as_str(),
    })
}

/// Counters and health.
pub fn stats<'py>(py: Python<'py>, stats: &Stats) -> PyResult<Bound<'py, PyAny>> {
    let ended = PyDict::new(py);
    for (reason, count) in &stats.ended {
        ended.set_item(word(py, "EndReason", reason.name())?, count)?;
    }
    record!(py, "Stats" {
        live: stats.live,
        peak: stats.peak,
        created: stats.created,
        refused: stats.refused,
        ended: ended,
        in_flight: stats.in_flight,
        lock_waiters: stats.lock_waiters,
        license_waiters: stats.license_waiters,
        tombstones: stats.tombstones,
        damaged: stats.damaged,
        reaper: stats.reaper,
        degraded: stats.degraded.as_deref(),
        reaper_restarts: stats.reaper_restarts,
        lateness_max: Duration::from_millis(stats.lateness_max_ms),
        lateness_p99: Duration::from_millis(stats.lateness_p99_ms),
        callbacks_queued: stats.callbacks_queued,
        callbacks_running: stats.callbacks_running,
        callbacks_delivered: stats.callbacks_delivered,
        callbacks_failed: stats.callbacks_failed,
        callbacks_overrun: stats.callbacks_overrun,
        dead_letters: stats.dead_letters,
        stuck_workers: stats.stuck_workers,
        breakers_open: PyTuple::new(py, &stats.breakers_open)?,
        replaced_token_uses: stats.replaced_token_uses,
    })
}

/// The use of a pool.
pub fn usage<'py>(py: Python<'py>, usage: &Usage) -> PyResult<Bound<'py, PyAny>> {
    let by_reason = PyDict::new(py);
    for (reason, denials) in usage.denials_by_reason.iter() {
        by_reason.set_item(reason.name(), denials)?;
    }
    record!(py, "Usage" {
        pool: &*usage.pool,
        capacity: usage.capacity,
        in_use: usage.in_use,
        available: usage.available,
        free: usage.free,
        reserved: usage.reserved,
        reserved_soft: usage.reserved_soft,
        break_glass: usage.break_glass,
        lingering: usage.lingering,
        overdrawn: usage.overdrawn,
        excess: usage.excess,
        waiting: usage.waiting,
        offered: usage.offered,
        high_water: usage.high_water,
        high_water_at: instant(py, usage.high_water_at)?,
        denials: usage.denials,
        denials_by_reason: by_reason,
        evicted: usage.evicted,
        holders: tuple(py, &usage.holders, |holder| holder_usage(py, holder))?,
    })
}

fn holder_usage<'py>(py: Python<'py>, holder: &HolderUsage) -> PyResult<Bound<'py, PyAny>> {
    record!(py, "HolderUsage" {
        holder: &*holder.holder,
        kind: holder.kind,
        connections: holder.connections,
        units: holder.units,
        active: holder.active,
        lingering: holder.lingering,
        release_in: holder.release_in,
    })
}

/// A high-water mark.
pub fn high_water<'py>(py: Python<'py>, (units, at): (u64, i64)) -> PyResult<Bound<'py, PyAny>> {
    record!(py, "HighWater" { units: units, at: instant(py, at)?, })
}

/// Why a holder has units of a pool.
pub fn unit_explain<'py>(py: Python<'py>, it: &UnitExplain) -> PyResult<Bound<'py, PyAny>> {
    record!(py, "UnitExplain" {
        pool: &*it.pool,
        holder: holder_usage(py, &it.holder)?,
        sessions: tuple(py, &it.sessions, |info| session_info(py, info))?,
        text: it.text.as_str(),
    })
}

/// Those who wait for units of a pool.
pub fn queue<'py>(py: Python<'py>, waiting: &[Waiter]) -> PyResult<Bound<'py, PyList>> {
    let waiter = |one: &Waiter| {
        record!(py, "Waiter" {
            position: one.position,
            holder: &*one.holder,
            session_id: one.session_id.to_string(),
            priority: one.priority,
            waited: one.waited,
            left: one.left,
            offered: one.offered,
            process: one.process,
        })
    };
    PyList::new(py, waiting.iter().map(waiter).collect::<PyResult<Vec<_>>>()?)
}

/// A recount of a pool.
pub fn audit<'py>(py: Python<'py>, audit: &Audit) -> PyResult<Bound<'py, PyAny>> {
    record!(py, "Audit" {
        pool: &*audit.pool,
        counted: audit.counted,
        recounted: audit.recounted,
        differences: PyTuple::new(py, &audit.differences)?,
    })
}

/// An account of a pool.
pub fn audit_record<'py>(py: Python<'py>, record_: &AuditRecord) -> PyResult<Bound<'py, PyAny>> {
    record!(py, "AuditRecord" {
        seq: record_.seq,
        at_ms: record_.at_ms,
        wall_ms: record_.wall_ms,
        kind: record_.kind.name(),
        session_id: record_.session_id.to_string(),
        holder: &*record_.holder,
        before: record_.before,
        after: record_.after,
        reason: record_.reason.map(|reason| word(py, "DenyReason", reason.name())).transpose()?,
        why: Some(record_.why.name()).filter(|why| !why.is_empty()),
    })
}

/// The outcome of a login.
pub fn login<'py>(py: Python<'py>, login: &libsession_core::Login) -> PyResult<Bound<'py, PyAny>> {
    record!(py, "Login" {
        token: login.token.reveal(),
        trade_denied: login.trade_denied.as_ref().map(|error| build(py, error)).transpose()?,
    })
}

/// The outcome of a logout.
pub fn logout<'py>(py: Python<'py>, outcome: &libsession_core::Logout) -> PyResult<Bound<'py, PyAny>> {
    match outcome {
        libsession_core::Logout::Done(token) => record!(py, "Logout" {
            token: token.reveal(),
            ended: py.None(),
        }),
        libsession_core::Logout::Ended(ended) => record!(py, "Logout" {
            token: py.None(),
            ended: receipt(py, ended, true)?,
        }),
    }
}

/// A dead letter.
pub fn dead_letter<'py>(py: Python<'py>, letter: &DeadLetter) -> PyResult<Bound<'py, PyAny>> {
    record!(py, "DeadLetter" {
        id: letter.id,
        event_id: letter.event_id,
        kind: word(py, "EventKind", letter.kind.name())?,
        session_id: letter.session_id.to_string(),
        event_class: &*letter.class.name,
        namespace: &*letter.class.namespace,
        application: &*letter.application,
        reason: letter.reason.map(|reason| word(py, "EndReason", reason.name())).transpose()?,
        at_ms: letter.at_ms,
        attempts: letter.attempts,
        error: letter.error.as_str(),
        completed_late: letter.completed_late,
        has_snapshot: letter.has_snapshot,
    })
}
