//! What calls take and give: options, outcomes, receipts, and how a session looks from outside.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Millis;
use crate::data::Value;
use crate::error::{Error, Result};
use crate::id::{SessionId, Token};
use crate::license::HolderUsage;
use crate::reason::{EndLevel, EndReason, LicenseClass, LockMode, TouchKind};
use crate::request::Request;
use crate::ticket::Ticket;

/// Most groups of one user.
pub const MAX_GROUPS: usize = 256;
/// The longest address of a client, in bytes.
pub const MAX_ADDRESS: usize = 256;
/// The longest user agent of a client, in bytes.
pub const MAX_USER_AGENT: usize = 1024;
/// The longest referrer of a client, in bytes.
pub const MAX_REFERRER: usize = 2048;
/// How often a feature is taken at once at most.
const MAX_COUNT: u64 = 1000;

/// The immutable facts of a session's beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// The client's address as the host knows it: at most 256 bytes.
    pub address: Option<String>,
    /// The `User-Agent` header: at most 1,024 bytes.
    pub user_agent: Option<String>,
    /// The `Referer` header: at most 2,048 bytes.
    pub referrer: Option<String>,
}

/// How long who finds no license unit waits for one, in the queue of the pool.
///
/// The pool must have a queue. Who waits has a place in it, in the order of priority, then of coming; units that come free
/// are set aside for the first, and nobody who comes later and has no higher priority is served before. A place is that
/// of its process: if the process dies it is free within a second.
#[derive(Clone, Debug, Default)]
pub struct QueueOptions {
    /// How long, on the manager's clock: up to 100 years. Zero, the default, does not wait. A login, trade or feature belongs
    /// to its request, which counts as finished after `max_request` (1 h): who waits longer is `gone` then.
    pub wait: Duration,
    /// Who has a higher one is served first: -9 to 9, default 0.
    pub priority: i8,
    /// Tells the position, and cancels.
    pub ticket: Option<Ticket>,
}

impl QueueOptions {
    /// Waits so long.
    pub fn wait(wait: Duration) -> Self {
        Self { wait, ..Self::default() }
    }

    pub(crate) fn check(&self) -> Result<()> {
        crate::config::check_duration("wait", self.wait)?;
        if !(-9..=9).contains(&self.priority) {
            return Err(Error::invalid(format!("priority {} is not between -9 and 9", self.priority)));
        }
        Ok(())
    }
}

/// How a session is made.
#[derive(Clone, Debug, Default)]
pub struct CreateOptions {
    /// The application. Default: the first configured.
    pub application: Option<String>,
    /// Facts about the client.
    pub client: Client,
    /// First values of the data tree: first subscript (a text) and value. Checked against the quotas.
    pub data: Vec<(String, Value)>,
    /// Overrides the application's license class.
    pub license_class: Option<LicenseClass>,
    /// Overrides the application's idle timeout; `Some(None)` is never.
    pub idle_timeout: Option<Option<Duration>>,
    /// Overrides the application's absolute timeout; it can only be earlier.
    pub absolute_timeout: Option<Duration>,
    /// Whether it waits for a license unit if there is none. Default: not at all.
    pub queue: QueueOptions,
}

impl CreateOptions {
    /// In this application.
    pub fn new(application: impl Into<String>) -> Self {
        Self { application: Some(application.into()), ..Self::default() }
    }
}

/// A session that was made: its public id, and the token for the client.
#[derive(Clone, Debug)]
pub struct Created {
    /// The public handle.
    pub id: SessionId,
    /// The secret for the client.
    pub token: Token,
}

/// How a request begins.
#[derive(Clone, Debug, Default)]
pub struct BeginOptions {
    /// What it does to the idle clock. Default `activity`.
    pub touch: Option<TouchKind>,
    /// How it holds the session. Default: the application's.
    pub lock: Option<LockMode>,
    /// How long the lock is waited for; zero does not wait. Default: the manager's, 30 s.
    pub lock_timeout: Option<Duration>,
    /// Cancels the wait for the lock, which then fails with `cancelled`; nothing was changed. A begin that makes its session waits
    /// for no lock.
    pub ticket: Option<Ticket>,
    /// The application that serves the request. Default: the session's.
    pub application: Option<String>,
}

/// The outcome of looking for a live session.
#[derive(Debug)]
pub enum Begin {
    /// It is live, and this is the request.
    Live(Request),
    /// There is no such session, or the text is no token.
    Absent,
    /// It ended, for this reason.
    Gone(EndReason),
}

impl Begin {
    /// The request, or the outcome as an error of kind `absent` or `gone`.
    pub fn live(self) -> Result<Request, Error> {
        match self {
            Self::Live(request) => Ok(request),
            Self::Absent => Err(Error::absent()),
            Self::Gone(reason) => Err(Error::gone(reason)),
        }
    }
}

/// The outcome of a touch or a peek.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touched {
    /// It is live; time until its deadline, `None` if it is immortal or a request is in flight.
    Live(Option<Duration>),
    /// There is no such session.
    Absent,
    /// It ended, for this reason.
    Gone(EndReason),
}

/// How a session is ended.
#[derive(Clone, Debug)]
pub struct EndOptions {
    /// How strongly. Default `force`.
    pub level: EndLevel,
    /// Why. Default `ended`; `force` by an administrator uses `revoked`.
    pub reason: EndReason,
    /// Who ends it: at most 256 bytes, for the receipt.
    pub actor: Option<String>,
    /// A note for the receipt: at most 1,024 bytes.
    pub note: Option<String>,
    /// Waits for the callbacks, at most this long, and puts their outcomes into the receipt.
    pub wait: Option<Duration>,
}

impl Default for EndOptions {
    fn default() -> Self {
        Self { level: EndLevel::Force, reason: EndReason::Ended, actor: None, note: None, wait: None }
    }
}

/// The outcome of an end.
#[derive(Clone, Debug, PartialEq)]
pub enum EndOutcome {
    /// This call ended it.
    Ended(Receipt),
    /// Another had ended it; the receipt of that.
    Gone(Receipt),
    /// A class extended it (level `request` only).
    Extended {
        /// Which class.
        class: String,
        /// By how much.
        by: Duration,
    },
    /// There is no such session.
    Absent,
}

/// What an end says: kept with the tombstone.
#[derive(Clone, Debug, PartialEq)]
pub struct Receipt {
    /// The session.
    pub id: SessionId,
    /// Its application.
    pub application: Arc<str>,
    /// Its user.
    pub user: Option<Arc<str>>,
    /// Why.
    pub reason: EndReason,
    /// How strongly.
    pub level: EndLevel,
    /// By whom.
    pub actor: Option<String>,
    /// The caller's note.
    pub note: Option<String>,
    /// When: engine time.
    pub at_ms: Millis,
    /// When: wall time, milliseconds since 1970.
    pub wall_ms: i64,
    /// How late after the deadline, for a timeout.
    pub late: Option<Duration>,
    /// When its license was free: engine time; `None` if it held none.
    pub license_free_at_ms: Option<Millis>,
    /// The event that its classes are told.
    pub event_id: u64,
    /// How each callback went, if waited for: class, kind, outcome.
    pub callbacks: Vec<(String, String, String)>,
}

/// What else is known of who logs in.
#[derive(Clone, Debug, Default)]
pub struct LoginOptions {
    /// The groups that the user belongs to: at most 256, each 1 to 256 bytes. Reservations and lists of a pool may name them.
    /// `None`, the default: none are given; where the rules of the pool name groups, the manager's group resolver is asked, if
    /// there is one.
    pub groups: Option<Vec<String>>,
    /// Whether it waits for a license unit if there is none. Default: not at all.
    pub queue: QueueOptions,
}

impl LoginOptions {
    pub(crate) fn check(&self) -> Result<()> {
        self.queue.check()?;
        check_groups(self.groups.as_deref().unwrap_or_default())
    }
}

#[doc(hidden)]
pub fn check_groups(groups: &[String]) -> Result<()> {
    if groups.len() > MAX_GROUPS {
        let count = groups.len();
        return Err(Error::invalid(format!("{count} groups of one user are over the bound of {MAX_GROUPS}")));
    }
    groups.iter().try_for_each(|group| {
        let valid = !group.is_empty() && group.len() <= crate::config::MAX_USER;
        valid.then_some(()).ok_or_else(|| {
            let (len, most) = (group.len(), crate::config::MAX_USER);
            Error::invalid(format!("the name of a group has {len} bytes: it must have 1 to {most}"))
        })
    })
}

/// The outcome of a login.
#[derive(Clone, Debug)]
pub struct Login {
    /// The new token; the old one begins requests of the same session for the grace.
    pub token: Token,
    /// The denial, if the session could not be charged to the user: it keeps its unit as its own holder.
    pub trade_denied: Option<Error>,
}

/// The outcome of a logout.
#[derive(Clone, Debug)]
pub enum Logout {
    /// The session lives on without a user, under this token; the old one is not valid any more.
    Done(Token),
    /// There was no unit for the session as its own holder: it ended with `license_denied`.
    Ended(Receipt),
}

/// The state of a live session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// No request yet.
    New,
    /// Had a request.
    Active,
}

impl State {
    /// The same word in every language.
    pub fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Active => "active",
        }
    }
}

/// How a live session looks in a listing.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionInfo {
    /// The public handle.
    pub id: SessionId,
    /// Whether it had a request.
    pub state: State,
    /// Its application.
    pub application: Arc<str>,
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its user.
    pub user: Option<Arc<str>>,
    /// When it was made: engine time.
    pub created_ms: Millis,
    /// When it was made: wall time, milliseconds since 1970.
    pub created_at: i64,
    /// When it was last used: engine time. Coarse (one quantum).
    pub last_used_ms: Millis,
    /// Longest silence; `None` is never.
    pub idle_timeout: Option<Duration>,
    /// Longest life; `None` is never.
    pub absolute_timeout: Option<Duration>,
    /// The first deadline: engine time; `None` is never, or a request is in flight.
    pub deadline_ms: Option<Millis>,
    /// Whether no idle timeout applies.
    pub immortal: bool,
    /// Past its deadline and not ended yet.
    pub overdue: bool,
    /// Requests in flight.
    pub in_flight: u32,
    /// Who is charged, and in which pool; `None` without a license.
    pub license: Option<(Arc<str>, Arc<str>)>,
    /// The features that it took, in the order taken.
    pub features: Vec<Feature>,
    /// Bytes of its data; `None` if they can't be read, or a process holds the session that does not go on.
    pub data_bytes: Option<usize>,
    /// Facts of its beginning.
    pub client: Client,
}

/// A feature that a session took: units of a pool beside its license.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// The pool.
    pub pool: Arc<str>,
    /// How often it is taken.
    pub count: u64,
    /// Who is charged for it: the user who was logged in when it was taken, or the session.
    pub holder: Arc<str>,
    /// When it was taken first: engine time.
    pub since_ms: Millis,
}

/// How a feature is taken.
#[derive(Clone, Debug)]
pub struct FeatureOptions {
    /// How often, at once: 1 to 1000, all or none. Default 1.
    pub count: u64,
    /// The groups that the user belongs to, as in [`LoginOptions`].
    pub groups: Option<Vec<String>>,
    /// Whether it waits for units if there are not enough. Default: not at all.
    pub queue: QueueOptions,
}

impl Default for FeatureOptions {
    fn default() -> Self {
        Self { count: 1, groups: None, queue: QueueOptions::default() }
    }
}

impl FeatureOptions {
    pub(crate) fn check(&self) -> Result<()> {
        if !(1..=MAX_COUNT).contains(&self.count) {
            return Err(Error::invalid(format!("a count of {} is not between 1 and {MAX_COUNT}", self.count)));
        }
        self.queue.check()?;
        check_groups(self.groups.as_deref().unwrap_or_default())
    }
}

/// One request in flight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestInfo {
    /// When it began: engine time.
    pub started_ms: Millis,
    /// What it does to the idle clock.
    pub touch: TouchKind,
    /// The lock it holds now.
    pub lock: Option<LockMode>,
    /// The process it runs in.
    pub process: u32,
}

/// Everything there is to know of one session, live or ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Explain {
    /// The id asked for.
    pub id: SessionId,
    /// If it is live.
    pub live: Option<SessionInfo>,
    /// If it ended and its tombstone stands.
    pub ended: Option<Receipt>,
    /// Requests in flight.
    pub requests: Vec<RequestInfo>,
    /// How many wait for its lock.
    pub lock_waiters: usize,
    /// Extensions granted: instant, class, length.
    pub extensions: Vec<(Millis, String, Duration)>,
    /// Its event classes, first called first, and whether each is registered in this process.
    pub event_classes: Vec<(String, String, bool)>,
    /// Callbacks that failed: class, kind, text.
    pub failures: Vec<(String, String, String)>,
    /// Whether its data can't be read.
    pub damaged: bool,
    /// What happens to it next, and when (engine time).
    pub next: Option<(String, Millis)>,
    /// Its trace, if `debug` is on.
    pub trace: Vec<String>,
    /// The same in words, one line each: what an administrator reads.
    pub text: String,
}

/// Why a holder has units of a pool.
#[derive(Clone, Debug)]
pub struct UnitExplain {
    /// The pool.
    pub pool: Arc<str>,
    /// What it holds.
    pub holder: HolderUsage,
    /// Its sessions, at most 100.
    pub sessions: Vec<SessionInfo>,
    /// The same in words, one line each, and when the units come back: what an administrator reads.
    pub text: String,
}

/// Which sessions are meant. An empty filter means all.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of this user.
    pub user: Option<String>,
    /// Of this application.
    pub application: Option<String>,
    /// In this state.
    pub state: Option<State>,
    /// Overdue, or not.
    pub overdue: Option<bool>,
    /// Charged to this pool, for the license or for a feature.
    pub pool: Option<String>,
    /// Charged to this holder.
    pub holder: Option<String>,
    /// At least this old.
    pub older_than: Option<Duration>,
    /// Silent for at least this long.
    pub idle_for: Option<Duration>,
    /// With data that can't be read, or not.
    pub damaged: Option<bool>,
    /// Immortal, or not.
    pub immortal: Option<bool>,
}

/// A page of a listing.
#[derive(Clone, Debug)]
pub struct Page {
    /// The sessions, in the order of the table.
    pub sessions: Vec<SessionInfo>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<u64>,
}

/// How far a bulk change got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Sessions looked at.
    pub scanned: u64,
    /// Sessions changed or ended.
    pub changed: u64,
    /// Sessions spared because their application is protected from bulk ends.
    pub protected: u64,
    /// Where to resume; `None` when it is complete.
    pub next: Option<u64>,
}

/// What a close did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CloseReport {
    /// Sessions ended with `shutdown`.
    pub ended: u64,
    /// Requests that were in flight.
    pub in_flight: u64,
    /// Callbacks delivered within the grace.
    pub delivered: u64,
    /// Callbacks not delivered: now dead letters; on a table that other processes share they stay in its outbox for them.
    pub undelivered: u64,
    /// Callbacks that never returned.
    pub stuck: u64,
    /// Whether the close waits for a running callback to return.
    pub deferred: bool,
}

/// One entry of the lifecycle log: the order of commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Position; a cursor.
    pub seq: u64,
    /// Engine time.
    pub at_ms: Millis,
    /// The session.
    pub session_id: SessionId,
    /// `created`, `ended`, `extended`, `rotated`, `login`, `logout`, `application`, `refused`.
    pub what: &'static str,
    /// The reason, user, class or application, with what belongs to it.
    pub detail: String,
}

/// Counters and health.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Live sessions.
    pub live: u64,
    /// The most there ever were.
    pub peak: u64,
    /// Made so far.
    pub created: u64,
    /// Refused so far.
    pub refused: u64,
    /// Ended so far, by reason.
    pub ended: Vec<(EndReason, u64)>,
    /// Requests in flight.
    pub in_flight: u64,
    /// Requests that wait for a lock.
    pub lock_waiters: u64,
    /// Calls that wait for license units, of all processes that share the table.
    pub license_waiters: u64,
    /// Tombstones that stand.
    pub tombstones: u64,
    /// Sessions whose data can't be read.
    pub damaged: u64,
    /// `running`, `degraded`, `none` (no thread: the host ticks), `closed`.
    pub reaper: &'static str,
    /// Why it is degraded.
    pub degraded: Option<String>,
    /// How often the watchdog started the reaper anew.
    pub reaper_restarts: u64,
    /// Lateness of the last ends after their deadlines: the worst of the last 1,024 in milliseconds.
    pub lateness_max_ms: u64,
    /// The 99th percentile of the same.
    pub lateness_p99_ms: u64,
    /// Deliveries waiting.
    pub callbacks_queued: u64,
    /// Callbacks running.
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
    pub breakers_open: Vec<String>,
    /// Late uses of a rotated token after its grace: somebody may have stolen it.
    pub replaced_token_uses: u64,
}
