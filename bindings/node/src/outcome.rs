//! How the engine's answers look in JavaScript: plain objects, times in milliseconds, null for "none".

use libsession_core::error::Error;
use libsession_core::event;
use libsession_core::session as core;
use napi_derive::napi;

use crate::value::ms;

/// A pool's state in an event.
#[napi(object)]
pub struct PoolState {
    pub pool: String,
    pub in_use: f64,
    pub capacity: f64,
}

impl From<&event::PoolState> for PoolState {
    fn from(pool: &event::PoolState) -> Self {
        Self { pool: pool.pool.to_string(), in_use: pool.in_use as f64, capacity: pool.capacity as f64 }
    }
}

/// A session that was made.
#[napi(object)]
pub struct Created {
    pub id: String,
    pub token: String,
}

impl From<core::Created> for Created {
    fn from(created: core::Created) -> Self {
        Self { id: created.id.to_string(), token: created.token.reveal() }
    }
}

/// How one callback of an end went.
#[napi(object)]
pub struct CallbackOutcome {
    pub event_class: String,
    pub kind: String,
    pub outcome: String,
}

impl From<(String, String, String)> for CallbackOutcome {
    fn from((event_class, kind, outcome): (String, String, String)) -> Self {
        Self { event_class, kind, outcome }
    }
}

/// What an end says.
#[napi(object, use_nullable = true)]
pub struct Receipt {
    pub id: String,
    pub application: String,
    pub user: Option<String>,
    pub reason: String,
    pub level: String,
    pub actor: Option<String>,
    pub note: Option<String>,
    pub at_ms: f64,
    pub wall_ms: f64,
    pub late_ms: Option<f64>,
    pub license_free_at_ms: Option<f64>,
    pub event_id: f64,
    pub callbacks: Vec<CallbackOutcome>,
}

impl From<core::Receipt> for Receipt {
    fn from(receipt: core::Receipt) -> Self {
        Self {
            id: receipt.id.to_string(),
            application: receipt.application.to_string(),
            user: receipt.user.map(|user| user.to_string()),
            reason: receipt.reason.name().into(),
            level: receipt.level.name().into(),
            actor: receipt.actor,
            note: receipt.note,
            at_ms: receipt.at_ms as f64,
            wall_ms: receipt.wall_ms as f64,
            late_ms: receipt.late.map(ms),
            license_free_at_ms: receipt.license_free_at_ms.map(|at| at as f64),
            event_id: receipt.event_id as f64,
            callbacks: receipt.callbacks.into_iter().map(Into::into).collect(),
        }
    }
}

/// The outcome of an end.
#[napi(object, use_nullable = true)]
pub struct EndOutcome {
    /// `ended`, `gone`, `extended`, `absent`.
    pub outcome: String,
    pub receipt: Option<Receipt>,
    pub extended_by: Option<String>,
    pub extended_ms: Option<f64>,
}

impl From<core::EndOutcome> for EndOutcome {
    fn from(outcome: core::EndOutcome) -> Self {
        let of = |word: &str, receipt: Option<core::Receipt>| Self {
            outcome: word.into(),
            receipt: receipt.map(Into::into),
            extended_by: None,
            extended_ms: None,
        };
        match outcome {
            core::EndOutcome::Ended(receipt) => of("ended", Some(receipt)),
            core::EndOutcome::Gone(receipt) => of("gone", Some(receipt)),
            core::EndOutcome::Absent => of("absent", None),
            core::EndOutcome::Extended { class, by } => {
                Self { extended_by: Some(class), extended_ms: Some(ms(by)), ..of("extended", None) }
            }
        }
    }
}

/// A feature that a session has taken.
#[napi(object)]
pub struct Feature {
    pub pool: String,
    pub count: f64,
    pub holder: String,
    pub since_ms: f64,
}

impl From<core::Feature> for Feature {
    fn from(feature: core::Feature) -> Self {
        Self {
            pool: feature.pool.to_string(),
            count: feature.count as f64,
            holder: feature.holder.to_string(),
            since_ms: feature.since_ms as f64,
        }
    }
}

/// A session in a listing.
#[napi(object, use_nullable = true)]
pub struct SessionInfo {
    pub id: String,
    pub state: String,
    pub application: String,
    pub namespace: String,
    pub user: Option<String>,
    pub created_ms: f64,
    pub created_at: f64,
    pub last_used_ms: f64,
    pub idle_timeout_ms: Option<f64>,
    pub absolute_timeout_ms: Option<f64>,
    pub deadline_ms: Option<f64>,
    pub immortal: bool,
    pub overdue: bool,
    pub in_flight: u32,
    pub license_holder: Option<String>,
    pub license_pool: Option<String>,
    pub features: Vec<Feature>,
    pub data_bytes: Option<f64>,
    pub client: ClientFacts,
}

/// Facts of a session's beginning.
#[napi(object, use_nullable = true)]
pub struct ClientFacts {
    pub address: Option<String>,
    pub user_agent: Option<String>,
    pub referrer: Option<String>,
}

impl From<core::SessionInfo> for SessionInfo {
    fn from(info: core::SessionInfo) -> Self {
        let (holder, pool) = info.license.map(|(holder, pool)| (holder.to_string(), pool.to_string())).unzip();
        Self {
            id: info.id.to_string(),
            state: info.state.name().into(),
            application: info.application.to_string(),
            namespace: info.namespace.to_string(),
            user: info.user.map(|user| user.to_string()),
            created_ms: info.created_ms as f64,
            created_at: info.created_at as f64,
            last_used_ms: info.last_used_ms as f64,
            idle_timeout_ms: info.idle_timeout.map(ms),
            absolute_timeout_ms: info.absolute_timeout.map(ms),
            deadline_ms: info.deadline_ms.map(|at| at as f64),
            immortal: info.immortal,
            overdue: info.overdue,
            in_flight: info.in_flight,
            license_holder: holder,
            license_pool: pool,
            features: info.features.into_iter().map(Into::into).collect(),
            data_bytes: info.data_bytes.map(|bytes| bytes as f64),
            client: ClientFacts {
                address: info.client.address,
                user_agent: info.client.user_agent,
                referrer: info.client.referrer,
            },
        }
    }
}

/// A page of a listing.
#[napi(object, use_nullable = true)]
pub struct Page {
    pub sessions: Vec<SessionInfo>,
    pub next: Option<f64>,
}

impl From<core::Page> for Page {
    fn from(page: core::Page) -> Self {
        Self { sessions: page.sessions.into_iter().map(Into::into).collect(), next: page.next.map(|next| next as f64) }
    }
}

/// A request in flight.
#[napi(object, use_nullable = true)]
pub struct RequestInfo {
    pub started_ms: f64,
    pub touch: String,
    pub lock: Option<String>,
    pub process: u32,
}

/// An extension that was granted.
#[napi(object)]
pub struct Extension {
    pub at_ms: f64,
    pub event_class: String,
    pub extended_ms: f64,
}

/// An event class in a session's list.
#[napi(object)]
pub struct ListedClass {
    pub namespace: String,
    pub name: String,
    pub registered: bool,
}

/// What comes next for a session.
#[napi(object)]
pub struct NextStep {
    pub what: String,
    pub at_ms: f64,
}

/// Everything about one session.
#[napi(object, use_nullable = true)]
pub struct Explain {
    pub id: String,
    pub live: Option<SessionInfo>,
    pub ended: Option<Receipt>,
    pub requests: Vec<RequestInfo>,
    pub lock_waiters: u32,
    pub extensions: Vec<Extension>,
    pub event_classes: Vec<ListedClass>,
    pub failures: Vec<CallbackOutcome>,
    pub damaged: bool,
    pub next: Option<NextStep>,
    pub trace: Vec<String>,
    pub text: String,
}

impl From<core::Explain> for Explain {
    fn from(explain: core::Explain) -> Self {
        Self {
            id: explain.id.to_string(),
            live: explain.live.map(Into::into),
            ended: explain.ended.map(Into::into),
            requests: explain
                .requests
                .into_iter()
                .map(|request| RequestInfo {
                    started_ms: request.started_ms as f64,
                    touch: request.touch.name().into(),
                    lock: request.lock.map(|lock| lock.name().into()),
                    process: request.process,
                })
                .collect(),
            lock_waiters: explain.lock_waiters as u32,
            extensions: explain
                .extensions
                .into_iter()
                .map(|(at, event_class, by)| Extension { at_ms: at as f64, event_class, extended_ms: ms(by) })
                .collect(),
            event_classes: explain
                .event_classes
                .into_iter()
                .map(|(namespace, name, registered)| ListedClass { namespace, name, registered })
                .collect(),
            failures: explain.failures.into_iter().map(Into::into).collect(),
            damaged: explain.damaged,
            next: explain.next.map(|(what, at)| NextStep { what, at_ms: at as f64 }),
            trace: explain.trace,
            text: explain.text,
        }
    }
}

/// How far a bulk change got.
#[napi(object, use_nullable = true)]
pub struct Progress {
    pub scanned: f64,
    pub changed: f64,
    pub protected: f64,
    pub next: Option<f64>,
}

impl From<core::Progress> for Progress {
    fn from(progress: core::Progress) -> Self {
        Self {
            scanned: progress.scanned as f64,
            changed: progress.changed as f64,
            protected: progress.protected as f64,
            next: progress.next.map(|next| next as f64),
        }
    }
}

/// What a close did.
#[napi(object)]
pub struct CloseReport {
    pub ended: f64,
    pub in_flight: f64,
    pub delivered: f64,
    pub undelivered: f64,
    pub stuck: f64,
    pub deferred: bool,
}

impl From<core::CloseReport> for CloseReport {
    fn from(report: core::CloseReport) -> Self {
        Self {
            ended: report.ended as f64,
            in_flight: report.in_flight as f64,
            delivered: report.delivered as f64,
            undelivered: report.undelivered as f64,
            stuck: report.stuck as f64,
            deferred: report.deferred,
        }
    }
}

/// The outcome of a login.
#[napi(object, use_nullable = true)]
pub struct Login {
    pub token: String,
    pub trade_denied: Option<Denial>,
}

/// Why a license could not be traded.
#[napi(object, use_nullable = true)]
pub struct Denial {
    pub kind: String,
    pub message: String,
    pub reason: Option<String>,
    pub retry_after_ms: Option<f64>,
}

impl From<&Error> for Denial {
    fn from(error: &Error) -> Self {
        Self {
            kind: error.kind().name().into(),
            message: error.message().into(),
            reason: error.deny_reason().map(|reason| reason.name().into()),
            retry_after_ms: error.retry_after().map(ms),
        }
    }
}

impl From<core::Login> for Login {
    fn from(login: core::Login) -> Self {
        Self { token: login.token.reveal(), trade_denied: login.trade_denied.as_ref().map(Into::into) }
    }
}

/// The outcome of a logout: a token, or the receipt of the session's end.
#[napi(object, use_nullable = true)]
pub struct Logout {
    pub token: Option<String>,
    pub ended: Option<Receipt>,
}

impl From<core::Logout> for Logout {
    fn from(logout: core::Logout) -> Self {
        match logout {
            core::Logout::Done(token) => Self { token: Some(token.reveal()), ended: None },
            core::Logout::Ended(receipt) => Self { token: None, ended: Some(receipt.into()) },
        }
    }
}
