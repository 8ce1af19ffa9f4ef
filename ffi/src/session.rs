//! What calls about sessions take and give.

use libsession_core::data::from_json;
use libsession_core::event::DeadLetter;
use libsession_core::session::*;
use libsession_core::{EndLevel, EndReason, Error, LicenseClass, LockMode, Result, TouchKind};

use crate::bytes::{
    LSES_UNSET, Out, Sized32, SizedOut, lses_buf, lses_str, member, optional_duration, optional_member, optional_ms,
    timeout,
};
use crate::config::choice;
use crate::feature::features_json;
use crate::json::{self, Value, int, list, map, opt_ms, opt_text, opt_uint, uint};
use crate::names::{LSES_STATE_ACTIVE, LSES_STATE_NEW};
use crate::queue::{self, lses_ticket, queue_options};
use crate::status::{LSES_EXTENDED, LSES_OK, absent, gone, lses_status};

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
                    address: self.address.owned("address")?,
                    user_agent: self.user_agent.owned("user_agent")?,
                    referrer: self.referrer.owned("referrer")?,
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

/// How a session is ended. Begin with LSES_END_OPTIONS_INIT; NULL in place of a pointer to it is all defaults.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct lses_end_options {
    /// sizeof(lses_end_options).
    pub size: usize,
    /// Who ends it: at most 256 bytes, for the receipt.
    pub actor: lses_str,
    /// A note for the receipt: at most 1,024 bytes.
    pub note: lses_str,
    /// Waits for the callbacks, at most this long, and puts their outcomes into the receipt. Default: does not wait.
    pub wait_ms: i64,
    /// How strongly (LSES_LEVEL_...). 0: `force`.
    pub level: u32,
    /// Why (LSES_REASON_...). 0: `ended`.
    pub reason: u32,
}

// SAFETY: as above.
unsafe impl Sized32 for lses_end_options {
    const NAME: &'static str = "lses_end_options";
    const FIRST: usize = size_of::<Self>();

    fn unset() -> Self {
        let none = lses_str::default();
        Self { size: size_of::<Self>(), actor: none, note: none, wait_ms: LSES_UNSET, level: 0, reason: 0 }
    }
}

impl lses_end_options {
    /// # Safety
    /// Its texts are as in [`crate::bytes::bytes`].
    pub(crate) unsafe fn to_core(self) -> Result<EndOptions> {
        let default = EndOptions::default();
        // SAFETY: as the caller says.
        unsafe {
            Ok(EndOptions {
                level: optional_member(EndLevel::from_code, "level", self.level)?.unwrap_or(default.level),
                reason: optional_member(EndReason::from_code, "reason", self.reason)?.unwrap_or(default.reason),
                actor: self.actor.owned("actor")?,
                note: self.note.owned("note")?,
                wait: optional_duration(self.wait_ms, "wait_ms")?,
            })
        }
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

/// What an end says, in numbers. Begin with LSES_RECEIPT_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct lses_receipt {
    /// sizeof(lses_receipt).
    pub size: usize,
    /// The event that its classes are told.
    pub event_id: u64,
    /// When: engine time.
    pub at_ms: u64,
    /// When: wall time, milliseconds since 1970.
    pub wall_ms: i64,
    /// How late after the deadline, for a timeout; else LSES_UNSET.
    pub late_ms: i64,
    /// When its license was free: engine time; LSES_UNSET if it held none.
    pub license_free_at_ms: i64,
    /// With LSES_EXTENDED: by how much; else LSES_UNSET.
    pub extended_by_ms: i64,
    /// Why (LSES_REASON_...); 0 with LSES_EXTENDED.
    pub reason: u32,
    /// How strongly (LSES_LEVEL_...); 0 with LSES_EXTENDED.
    pub level: u32,
}

// SAFETY: as above.
unsafe impl Sized32 for lses_receipt {
    const NAME: &'static str = "lses_receipt";
    const FIRST: usize = size_of::<Self>();

    fn unset() -> Self {
        Self {
            size: size_of::<Self>(),
            event_id: 0,
            at_ms: 0,
            wall_ms: 0,
            late_ms: LSES_UNSET,
            license_free_at_ms: LSES_UNSET,
            extended_by_ms: LSES_UNSET,
            reason: 0,
            level: 0,
        }
    }
}

/// Where the outcome of an end goes.
pub(crate) struct EndOut {
    numbers: SizedOut<lses_receipt>,
    json: Out<lses_buf>,
}

impl EndOut {
    /// # Safety
    /// `receipt` is NULL or has as many bytes as its first field says.
    pub(crate) unsafe fn new(receipt: *mut lses_receipt, json: *mut lses_buf) -> Result<Self> {
        // SAFETY: as the caller says.
        let numbers = unsafe { SizedOut::new(receipt, "out_receipt", true) }?;
        Ok(Self { numbers, json: Out::optional_buf(json) })
    }

    pub(crate) fn set(&self, outcome: &EndOutcome) -> Result<lses_status> {
        let json = match outcome {
            EndOutcome::Ended(receipt) => {
                self.numbers(receipt);
                receipt_json("ended", receipt)
            }
            EndOutcome::Gone(receipt) => {
                self.numbers(receipt);
                receipt_json("gone", receipt)
            }
            EndOutcome::Extended { class, by } => {
                self.numbers.set(&lses_receipt { extended_by_ms: crate::bytes::ms(*by), ..lses_receipt::unset() });
                map([("outcome", "extended".into()), ("class", class.as_str().into()), ("by_ms", opt_ms(Some(*by)))])
            }
            EndOutcome::Absent => return Ok(absent()),
        };
        if self.json.wanted() {
            self.json.fill(json::text(&json).as_bytes())?;
        }
        Ok(match outcome {
            EndOutcome::Gone(receipt) => gone(receipt.reason),
            EndOutcome::Extended { .. } => LSES_EXTENDED,
            _ => LSES_OK,
        })
    }

    fn numbers(&self, receipt: &Receipt) {
        let free = receipt.license_free_at_ms.map(|ms| i64::try_from(ms).unwrap_or(i64::MAX));
        self.numbers.set(&lses_receipt {
            size: 0,
            event_id: receipt.event_id,
            at_ms: receipt.at_ms,
            wall_ms: receipt.wall_ms,
            late_ms: optional_ms(receipt.late),
            license_free_at_ms: free.unwrap_or(LSES_UNSET),
            extended_by_ms: LSES_UNSET,
            reason: receipt.reason.code(),
            level: receipt.level.code(),
        });
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

fn receipt_json(outcome: &str, receipt: &Receipt) -> Value {
    let callbacks = receipt.callbacks.iter().map(|(class, kind, outcome)| {
        map([("class", class.as_str().into()), ("kind", kind.as_str().into()), ("outcome", outcome.as_str().into())])
    });
    map([
        ("outcome", outcome.into()),
        ("id", receipt.id.to_string().into()),
        ("application", receipt.application.as_ref().into()),
        ("user", opt_text(receipt.user.as_deref())),
        ("reason", receipt.reason.name().into()),
        ("level", receipt.level.name().into()),
        ("actor", opt_text(receipt.actor.as_deref())),
        ("note", opt_text(receipt.note.as_deref())),
        ("at_ms", uint(receipt.at_ms)),
        ("wall_ms", int(receipt.wall_ms)),
        ("late_ms", opt_ms(receipt.late)),
        ("license_free_at_ms", opt_uint(receipt.license_free_at_ms)),
        ("event_id", uint(receipt.event_id)),
        ("callbacks", list(callbacks)),
    ])
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
