//! What calls about sessions take and give.

use libsession_core::data::from_json;
use libsession_core::event::DeadLetter;
use libsession_core::session::*;
use libsession_core::{Error, LicenseClass, LockMode, Result, TouchKind};

use crate::bytes::{LSES_UNSET, Sized32, lses_str, member, optional_duration, optional_member, timeout};
use crate::config::choice;
use crate::feature::features_json;
use crate::json::{self, Value, int, list, map, opt_ms, opt_text, opt_uint, uint};
use crate::names::{LSES_STATE_ACTIVE, LSES_STATE_NEW};
use crate::queue::{self, lses_ticket, queue_options};
use crate::receipt::receipt_json;

/// How a session is made. Begin with LSES_CREATE_OPTIONS_INIT; NULL in place of a pointer to it is all defaults.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct lses_create_options {
    /// sizeof(lses_create_options).
    pub size: usize,
    /// The application. Default: the first configured.
    pub application: lses_str,
    /// The client's address as the host knows it: at most 256 bytes.
    pub address: lses_str,
    /// The `User-Agent` header: at most 1,024 bytes.
    pub user_agent: lses_str,
    /// The `Referer` header: at most 2,048 bytes.
    pub referrer: lses_str,
    /// First values of the data: a JSON object of first subscripts and values.
    pub data: lses_str,
    /// Overrides the application's idle timeout; 0 is never.
    pub idle_timeout_ms: i64,
    /// Overrides the application's absolute timeout; it can only be earlier.
    pub absolute_timeout_ms: i64,
    /// Overrides the application's license class (LSES_LICENSE_CLASS_...). 0: the application's.
    pub license_class: u32,
    /// 0.
    pub reserved: u32,
    /// How long it waits in the queue of the pool if there is no unit, on the manager's clock: up to 100 years. Default 0.
    pub wait_ms: i64,
    /// Who has a higher one is served first: -9 to 9. Default 0.
    pub priority: i64,
    /// Tells the position, and cancels; or NULL.
    pub ticket: *mut lses_ticket,
}

// SAFETY: repr(C), ends on 8 bytes without padding, and any bits are numbers or pointers.
unsafe impl Sized32 for lses_create_options {
    const NAME: &'static str = "lses_create_options";
    const FIRST: usize = std::mem::offset_of!(Self, wait_ms);

    fn unset() -> Self {
        Self {
            size: size_of::<Self>(),
            application: lses_str::default(),
            address: lses_str::default(),
            user_agent: lses_str::default(),
            referrer: lses_str::default(),
            data: lses_str::default(),
            idle_timeout_ms: LSES_UNSET,
            absolute_timeout_ms: LSES_UNSET,
            license_class: 0,
            reserved: 0,
            wait_ms: LSES_UNSET,
            priority: 0,
            ticket: std::ptr::null_mut(),
        }
    }
}

impl lses_create_options {
    /// # Safety
    /// Its texts are as in [`crate::bytes::bytes`].
    pub(crate) unsafe fn to_core(self) -> Result<CreateOptions> {
        // SAFETY: as the caller says.
        unsafe {
            let data = match self.data.get("data")? {
                None => Vec::new(),
                Some(text) => match from_json(text)? {
                    Value::Map(entries) => entries,
                    other => {
                        return Err(Error::invalid(format!("the data is a JSON {}, not an object", other.kind())));
                    }
                },
            };
            Ok(CreateOptions {
                application: self.application.owned("application")?,
                client: Client {
                    address: self.address.fact("address", MAX_ADDRESS)?,
                    user_agent: self.user_agent.fact("user_agent", MAX_USER_AGENT)?,
                    referrer: self.referrer.fact("referrer", MAX_REFERRER)?,
                },
                data,
                license_class: optional_member(LicenseClass::from_code, "license_class", self.license_class)?,
                idle_timeout: match self.idle_timeout_ms {
                    LSES_UNSET => None,
                    ms => Some(timeout(ms, "idle_timeout_ms")?),
                },
                absolute_timeout: optional_duration(self.absolute_timeout_ms, "absolute_timeout_ms")?,
                queue: queue_options(self.wait_ms, self.priority, self.ticket)?,
            })
        }
    }
}

/// How a request begins. Begin with LSES_BEGIN_OPTIONS_INIT; NULL in place of a pointer to it is all defaults.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct lses_begin_options {
    /// sizeof(lses_begin_options).
    pub size: usize,
    /// The application that serves the request. Default: the session's.
    pub application: lses_str,
    /// How long the lock is waited for; 0 does not wait. Default: the manager's, 30,000 ms.
    pub lock_timeout_ms: i64,
    /// What it does to the idle clock (LSES_TOUCH_...). 0: `activity`.
    pub touch: u32,
    /// How it holds the session (LSES_LOCK_...). 0: the application's.
    pub lock: u32,
    /// Cancels the wait for the lock; or NULL. lses_manager_begin_new() waits for no lock.
    pub ticket: *mut lses_ticket,
}

// SAFETY: as above.
unsafe impl Sized32 for lses_begin_options {
    const NAME: &'static str = "lses_begin_options";
    const FIRST: usize = size_of::<Self>();

    fn unset() -> Self {
        Self {
            size: size_of::<Self>(),
            application: lses_str::default(),
            lock_timeout_ms: LSES_UNSET,
            touch: 0,
            lock: 0,
            ticket: std::ptr::null_mut(),
        }
    }
}

impl lses_begin_options {
    /// # Safety
    /// Its texts are as in [`crate::bytes::bytes`].
    pub(crate) unsafe fn to_core(self) -> Result<BeginOptions> {
        Ok(BeginOptions {
            touch: optional_member(TouchKind::from_code, "touch", self.touch)?,
            lock: optional_member(LockMode::from_code, "lock", self.lock)?,
            lock_timeout: optional_duration(self.lock_timeout_ms, "lock_timeout_ms")?,
            ticket: queue::ticket(self.ticket)?,
            // SAFETY: as the caller says.
            application: unsafe { self.application.owned("application") }?,
        })
    }
}

/// Which sessions are meant. Begin with LSES_FILTER_INIT; an empty one, and NULL, mean all.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct lses_filter {
    /// sizeof(lses_filter).
    pub size: usize,
    /// Of this user.
    pub user: lses_str,
    /// Of this application.
    pub application: lses_str,
    /// Charged to this pool, for the license or for a feature.
    pub pool: lses_str,
    /// Charged to this holder.
    pub holder: lses_str,
    /// At least this old.
    pub older_than_ms: i64,
    /// Silent for at least this long.
    pub idle_for_ms: i64,
    /// In this state (LSES_STATE_...); 0 is any.
    pub state: u32,
    /// LSES_YES: overdue, LSES_NO: not; 0 is any.
    pub overdue: u32,
    /// LSES_YES: with data that can't be read, LSES_NO: not; 0 is any.
    pub damaged: u32,
    /// LSES_YES: without an idle timeout, LSES_NO: not; 0 is any.
    pub immortal: u32,
}

// SAFETY: as above.
unsafe impl Sized32 for lses_filter {
    const NAME: &'static str = "lses_filter";
    const FIRST: usize = size_of::<Self>();

    fn unset() -> Self {
        let none = lses_str::default();
        Self {
            size: size_of::<Self>(),
            user: none,
            application: none,
            pool: none,
            holder: none,
            older_than_ms: LSES_UNSET,
            idle_for_ms: LSES_UNSET,
            state: 0,
            overdue: 0,
            damaged: 0,
            immortal: 0,
        }
    }
}

impl lses_filter {
    /// # Safety
    /// Its texts are as in [`crate::bytes::bytes`].
    pub(crate) unsafe fn to_core(self) -> Result<Filter> {
        // SAFETY: as the caller says.
        unsafe {
            Ok(Filter {
                user: self.user.owned("user")?,
                application: self.application.owned("application")?,
                pool: self.pool.owned("pool")?,
                holder: self.holder.owned("holder")?,
                state: match self.state {
                    0 => None,
                    LSES_STATE_NEW => Some(State::New),
                    LSES_STATE_ACTIVE => Some(State::Active),
                    other => member(None, "state", other)?,
                },
                overdue: choice(self.overdue, "overdue")?,
                older_than: optional_duration(self.older_than_ms, "older_than_ms")?,
                idle_for: optional_duration(self.idle_for_ms, "idle_for_ms")?,
                damaged: choice(self.damaged, "damaged")?,
                immortal: choice(self.immortal, "immortal")?,
            })
        }
    }
}

/// How far a bulk change got. Begin with LSES_PROGRESS_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct lses_progress {
    /// sizeof(lses_progress).
    pub size: usize,
    /// Sessions looked at.
    pub scanned: u64,
    /// Sessions changed or ended.
    pub changed: u64,
    /// Sessions spared because their application is protected from bulk ends.
    pub spared: u64,
    /// The cursor with which to go on; 0 when it is complete.
    pub next: u64,
}

// SAFETY: as above.
unsafe impl Sized32 for lses_progress {
    const NAME: &'static str = "lses_progress";
    const FIRST: usize = size_of::<Self>();

    fn unset() -> Self {
        Self { size: size_of::<Self>(), scanned: 0, changed: 0, spared: 0, next: 0 }
    }
}

impl From<Progress> for lses_progress {
    fn from(progress: Progress) -> Self {
        Self {
            size: size_of::<Self>(),
            scanned: progress.scanned,
            changed: progress.changed,
            spared: progress.protected,
            next: progress.next.unwrap_or(0),
        }
    }
}

/// What a close did. Begin with LSES_CLOSE_REPORT_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct lses_close_report {
    /// sizeof(lses_close_report).
    pub size: usize,
    /// Sessions ended with `shutdown`.
    pub ended: u64,
    /// Requests that were in flight.
    pub in_flight: u64,
    /// Callbacks delivered within the grace.
    pub delivered: u64,
    /// Callbacks not delivered: now dead letters.
    pub undelivered: u64,
    /// Callbacks that never returned.
    pub stuck: u64,
    /// 1 if the close waits for a running callback to return.
    pub deferred: u64,
}

// SAFETY: as above.
unsafe impl Sized32 for lses_close_report {
    const NAME: &'static str = "lses_close_report";
    const FIRST: usize = size_of::<Self>();

    fn unset() -> Self {
        Self::from(CloseReport::default())
    }
}

impl From<CloseReport> for lses_close_report {
    fn from(report: CloseReport) -> Self {
        Self {
            size: size_of::<Self>(),
            ended: report.ended,
            in_flight: report.in_flight,
            delivered: report.delivered,
            undelivered: report.undelivered,
            stuck: report.stuck,
            deferred: report.deferred.into(),
        }
    }
}

pub(crate) fn info_json(info: &SessionInfo) -> Value {
    map([
        ("id", info.id.to_string().into()),
        ("state", info.state.name().into()),
        ("application", info.application.as_ref().into()),
        ("namespace", info.namespace.as_ref().into()),
        ("user", opt_text(info.user.as_deref())),
        ("created_ms", uint(info.created_ms)),
        ("created_at", int(info.created_at)),
        ("last_used_ms", uint(info.last_used_ms)),
        ("idle_timeout_ms", opt_ms(info.idle_timeout)),
        ("absolute_timeout_ms", opt_ms(info.absolute_timeout)),
        ("deadline_ms", opt_uint(info.deadline_ms)),
        ("immortal", info.immortal.into()),
        ("overdue", info.overdue.into()),
        ("in_flight", uint(info.in_flight.into())),
        ("holder", opt_text(info.license.as_ref().map(|license| license.0.as_ref()))),
        ("pool", opt_text(info.license.as_ref().map(|license| license.1.as_ref()))),
        ("features", features_json(&info.features)),
        ("data_bytes", opt_uint(info.data_bytes.map(|bytes| bytes as u64))),
        ("address", opt_text(info.client.address.as_deref())),
        ("user_agent", opt_text(info.client.user_agent.as_deref())),
        ("referrer", opt_text(info.client.referrer.as_deref())),
    ])
}

pub(crate) fn explain_json(explain: &Explain) -> Value {
    let requests = explain.requests.iter().map(|request| {
        map([
            ("started_ms", uint(request.started_ms)),
            ("touch", request.touch.name().into()),
            ("lock", opt_text(request.lock.map(|lock| lock.name()))),
            ("process", uint(request.process.into())),
        ])
    });
    let extensions = explain.extensions.iter().map(|(at, class, by)| {
        map([("at_ms", uint(*at)), ("class", class.as_str().into()), ("by_ms", opt_ms(Some(*by)))])
    });
    let classes = explain.event_classes.iter().map(|(namespace, name, registered)| {
        map([
            ("namespace", namespace.as_str().into()),
            ("name", name.as_str().into()),
            ("registered", (*registered).into()),
        ])
    });
    let failures = explain.failures.iter().map(|(class, kind, text)| {
        map([("class", class.as_str().into()), ("kind", kind.as_str().into()), ("text", text.as_str().into())])
    });
    let next = explain.next.as_ref();
    map([
        ("id", explain.id.to_string().into()),
        ("live", explain.live.as_ref().map_or(Value::Null, info_json)),
        ("ended", explain.ended.as_ref().map_or(Value::Null, |receipt| receipt_json("gone", receipt))),
        ("requests", list(requests)),
        ("lock_waiters", uint(explain.lock_waiters as u64)),
        ("extensions", list(extensions)),
        ("event_classes", list(classes)),
        ("failures", list(failures)),
        ("damaged", explain.damaged.into()),
        ("next", next.map_or(Value::Null, |(what, at)| map([("what", what.as_str().into()), ("at_ms", uint(*at))]))),
        ("trace", json::texts(&explain.trace)),
        ("text", explain.text.as_str().into()),
    ])
}

pub(crate) fn log_json(entry: &LogEntry) -> Value {
    map([
        ("seq", uint(entry.seq)),
        ("at_ms", uint(entry.at_ms)),
        ("session_id", entry.session_id.to_string().into()),
        ("what", entry.what.into()),
        ("detail", entry.detail.as_str().into()),
    ])
}

pub(crate) fn dead_letter_json(letter: &DeadLetter) -> Value {
    map([
        ("id", uint(letter.id)),
        ("event_id", uint(letter.event_id)),
        ("kind", letter.kind.name().into()),
        ("session_id", letter.session_id.to_string().into()),
        ("class", letter.class.name.as_ref().into()),
        ("namespace", letter.class.namespace.as_ref().into()),
        ("application", letter.application.as_ref().into()),
        ("reason", opt_text(letter.reason.map(|reason| reason.name()))),
        ("at_ms", uint(letter.at_ms)),
        ("attempts", uint(letter.attempts.into())),
        ("error", letter.error.as_str().into()),
        ("completed_late", letter.completed_late.into()),
        ("has_snapshot", letter.has_snapshot.into()),
    ])
}
