//! What the verbs of a table take and give.

use std::any::Any;
use std::sync::Arc;

use crate::clock::{Millis, NEVER, Now, millis};
use crate::config::Pool;
use crate::data::Tree;
use crate::error::{Error, Result};
use crate::event::ClassRef;
use crate::id::{SessionId, Token};
use crate::license::policy::{Rank, Reserved};
use crate::license::rules::PoolRule;
use crate::reason::{
    AtSessionLimit, DenyReason, EndLevel, EndReason, Evict, LazyUntil, LicenseClass, LockMode, ThreadKind, TouchKind,
};
use crate::session::{Client, Feature, Receipt, RequestInfo, SessionInfo};

/// A session as a table knows it: its public id, and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionRef {
    /// The public id.
    pub id: SessionId,
    /// Private to the table.
    pub place: u64,
}

/// A request in flight as a table knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestKey {
    /// Its session.
    pub session: SessionRef,
    /// Its record: private to the table.
    pub number: u32,
}

/// The outcome of looking for a live session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found<T> {
    /// It is live.
    Live(T),
    /// There is none.
    Absent,
    /// It ended; its tombstone stands.
    Gone(EndReason),
    /// The store failed: by the error's kind nothing happened (`unavailable`, `poisoned`), or it may have (`uncertain`).
    Failed(Error),
}

impl<T> Found<T> {
    /// The same outcome with something else for the live one.
    pub fn map_live<U>(self, with: impl FnOnce(T) -> U) -> Found<U> {
        match self {
            Self::Live(found) => Found::Live(with(found)),
            Self::Absent => Found::Absent,
            Self::Gone(reason) => Found::Gone(reason),
            Self::Failed(error) => Found::Failed(error),
        }
    }

    /// The live one, or the outcome or failure as an error.
    pub fn live(self) -> Result<T> {
        match self {
            Self::Live(found) => Ok(found),
            Self::Absent => Err(Error::absent()),
            Self::Gone(reason) => Err(Error::gone(reason)),
            Self::Failed(error) => Err(error),
        }
    }

    /// The live one; `None` if it is not live. Errors: the store failed.
    pub fn look(self) -> Result<Option<T>> {
        match self {
            Self::Live(found) => Ok(Some(found)),
            Self::Absent | Self::Gone(_) => Ok(None),
            Self::Failed(error) => Err(error),
        }
    }
}

/// What a table must know of an application.
#[derive(Clone, Debug)]
pub struct ApplicationRule {
    /// Its name.
    pub name: Arc<str>,
    /// The namespace of its sessions.
    pub namespace: Arc<str>,
    /// Most live sessions.
    pub max_sessions: u64,
    /// Extensions in a row without user activity.
    pub max_extensions: u32,
    /// The longest single extension.
    pub extension_cap: Millis,
    /// How long before a deadline its classes are asked.
    pub ask_lead: Millis,
    /// Spared by bulk ends.
    pub protected: bool,
    /// Whether its sessions keep a trace.
    pub trace: bool,
}

/// What a table must know of a pool.
#[derive(Clone, Debug)]
pub struct PoolDefinition {
    /// Its name.
    pub name: Arc<str>,
    /// Units there are.
    pub capacity: u64,
    /// The rules of units and admission.
    pub rule: PoolRule,
    /// Most units of anonymous sessions together.
    pub anonymous_cap: Option<u64>,
    /// Most anonymous sessions of one client.
    pub anonymous_per_client: Option<u64>,
    /// Below this many available units the pool is low.
    pub low: u64,
    /// With this many available units it has recovered.
    pub recovered: u64,
    /// How long what a user gives back lingers.
    pub linger: Millis,
    /// How long a unit is held at least.
    pub min_hold: Millis,
    /// The same for anonymous sessions.
    pub anonymous_min_hold: Millis,
    /// Whether others may have units that linger, when no other is free.
    pub reclaim: bool,
    /// Most who may wait.
    pub queue: u64,
    /// Units that may be in use beyond the capacity.
    pub overdraft: u64,
    /// For how long in a row.
    pub overdraft_time: Millis,
    /// Which sessions may be ended for a unit that somebody needs.
    pub evict: Evict,
    /// How long those must have been idle.
    pub evict_idle: Millis,
    /// What becomes of a session more than a holder may have.
    pub at_session_limit: AtSessionLimit,
    /// Units set apart for some.
    pub reservations: Vec<Reserved>,
    /// Units for administrators only.
    pub break_glass: u64,
    /// Audit records kept.
    pub audit_records: usize,
}

impl PoolDefinition {
    /// What a pool's options come to.
    pub(crate) fn of(pool: &Pool) -> Self {
        Self {
            name: pool.name.as_str().into(),
            capacity: pool.capacity,
            rule: PoolRule {
                unit_rule: pool.unit_rule,
                max_connections: u64::from(pool.max_connections),
                max_sessions_per_holder: pool.max_sessions_per_holder.map(u64::from),
            },
            anonymous_cap: pool.anonymous_cap,
            anonymous_per_client: pool.anonymous_per_client.map(u64::from),
            low: pool.low,
            recovered: pool.recovered.unwrap_or(pool.low.max(1)),
            linger: millis(pool.linger),
            min_hold: millis(pool.min_hold),
            anonymous_min_hold: millis(pool.anonymous_min_hold.unwrap_or(pool.min_hold)),
            reclaim: pool.reclaim,
            queue: u64::from(pool.queue),
            overdraft: pool.overdraft.units(pool.capacity),
            overdraft_time: pool.overdraft_time.map_or(NEVER, millis),
            evict: pool.evict,
            evict_idle: millis(pool.evict_idle),
            at_session_limit: pool.at_session_limit,
            reservations: pool
                .reservations
                .iter()
                .map(|reservation| Reserved { units: reservation.units, hard: reservation.hard })
                .collect(),
            break_glass: pool.break_glass,
            audit_records: pool.audit_records,
        }
    }

    /// Whether a session may have to go for another one.
    pub(crate) fn may_evict(&self) -> bool {
        self.evict != Evict::None
            || self.at_session_limit != AtSessionLimit::Deny
            || self.reservations.iter().any(|reservation| !reservation.hard)
    }
}

/// A pool as it is defined now.
#[derive(Clone, Debug)]
pub struct PoolInForce {
    /// Its options.
    pub pool: Pool,
    /// What they come to.
    pub rules: PoolDefinition,
    /// Counts the changes; each one has another number.
    pub revision: u64,
}

impl PoolInForce {
    /// A definition with its number.
    pub(crate) fn new(pool: Pool, revision: u64) -> Self {
        Self { rules: PoolDefinition::of(&pool), pool, revision }
    }
}

/// A change of a pool that was not made; nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PoolUnchanged {
    /// The definition is not the one that the change was worked out from.
    Redefined,
    /// It can't be changed so while units are held: why, and what to do.
    Held(String),
}

#[cfg(test)]
impl PoolDefinition {
    /// One without policies.
    pub(crate) fn plain(name: &str, capacity: u64) -> Self {
        Self {
            name: name.into(),
            capacity,
            rule: PoolRule {
                unit_rule: crate::reason::UnitRule::Staircase,
                max_connections: 25,
                max_sessions_per_holder: None,
            },
            anonymous_cap: None,
            anonymous_per_client: None,
            low: 0,
            recovered: 1,
            linger: 0,
            min_hold: 0,
            anonymous_min_hold: 0,
            reclaim: true,
            queue: 0,
            overdraft: 0,
            overdraft_time: crate::clock::NEVER,
            evict: Evict::None,
            evict_idle: 0,
            at_session_limit: AtSessionLimit::Deny,
            reservations: Vec::new(),
            break_glass: 0,
            audit_records: 0,
        }
    }
}

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

/// Who is charged.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Holder {
    /// The session itself.
    Session,
    /// A user.
    User(Arc<str>),
    /// The session itself, for features that it took: its name in the books of the pool.
    Taker(Arc<str>),
}

/// What the name of a taker in the books begins with.
const TAKER: char = '\u{1}';
/// The same of one that is anonymous.
const ANONYMOUS_TAKER: char = '\u{2}';
/// The same of a user whose own name begins with one of these.
const OTHER_USER: char = '\u{3}';

impl Holder {
    /// A session that takes features for itself.
    pub(crate) fn taker(session: SessionId, class: LicenseClass) -> Self {
        let kind = if class == LicenseClass::Anonymous { ANONYMOUS_TAKER } else { TAKER };
        Self::Taker(format!("{kind}{session}").into())
    }

    /// The name of a user, or of one at a client, in the books: none begins as a taker's.
    pub(crate) fn booked_user(name: Arc<str>) -> Arc<str> {
        if name.starts_with([TAKER, ANONYMOUS_TAKER, OTHER_USER]) { format!("{OTHER_USER}{name}").into() } else { name }
    }

    /// Who has this name in the books.
    pub(crate) fn of(name: Arc<str>) -> Self {
        if Self::takes(&name) { Self::Taker(name) } else { Self::User(name) }
    }

    /// Whether this name in the books is that of a taker.
    pub(crate) fn takes(name: &str) -> bool {
        name.starts_with([TAKER, ANONYMOUS_TAKER])
    }

    /// Its name in the books of a pool; a session that is charged for nothing but itself has none.
    pub(crate) fn booked(&self) -> Option<&Arc<str>> {
        match self {
            Self::Session => None,
            Self::User(name) | Self::Taker(name) => Some(name),
        }
    }

    /// A name in the books for people: of a taker the session's id.
    pub(crate) fn shown(name: &str) -> &str {
        name.strip_prefix([TAKER, ANONYMOUS_TAKER, OTHER_USER]).unwrap_or(name)
    }

    /// The same, without a copy of a user's.
    pub(crate) fn shared(name: &Arc<str>) -> Arc<str> {
        match Self::shown(name) {
            shown if shown.len() < name.len() => shown.into(),
            _ => name.clone(),
        }
    }

    /// The license class of what it took.
    pub(crate) fn class_of_takes(&self) -> LicenseClass {
        match self {
            Self::Taker(name) if name.starts_with(ANONYMOUS_TAKER) => LicenseClass::Anonymous,
            _ => LicenseClass::Named,
        }
    }
}

/// How a session is to be charged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// The pool's number.
    pub pool: u32,
    /// The class.
    pub class: LicenseClass,
    /// The holder.
    pub holder: Holder,
    /// The client among whose anonymous sessions it counts, where a pool bounds those of one client.
    pub client: Option<Arc<str>>,
}

/// A license that a session takes later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lazy {
    /// The pool's number.
    pub pool: u32,
    /// When at the latest; a login takes it in any case.
    pub until: LazyUntil,
}

impl Charge {
    /// The same for another holder: a user is never anonymous.
    pub(crate) fn with_holder(&self, holder: &Holder) -> Self {
        let named = self.class == LicenseClass::Anonymous && matches!(holder, Holder::User(_));
        let class = if named { LicenseClass::Named } else { self.class };
        let client = self.client.clone().filter(|_| !named);
        Self { pool: self.pool, class, holder: holder.clone(), client }
    }

    /// Whether its units count as those of anonymous sessions.
    pub(crate) fn is_anonymous(&self) -> bool {
        self.class == LicenseClass::Anonymous && !matches!(self.holder, Holder::User(_))
    }
}

/// A feature that a session took: units of a pool beside its license.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The pool's number.
    pub pool: u32,
    /// How often.
    pub count: u64,
    /// Who is charged; stays so whoever logs in or out.
    pub holder: Holder,
    /// When it was taken first: engine time.
    pub since: Millis,
}

impl Taken {
    /// How it is charged.
    pub(crate) fn charge(&self) -> Charge {
        Charge { pool: self.pool, class: self.holder.class_of_takes(), holder: self.holder.clone(), client: None }
    }
}

/// A feature to be taken.
#[derive(Clone, Debug)]
pub struct Take {
    /// The pool's number.
    pub pool: u32,
    /// How often, at once.
    pub count: u64,
    /// The user this was worked out for: anything else now is `changed`.
    pub expected: Option<Arc<str>>,
    /// Who is charged if somebody is logged in; else it is the session.
    pub holder: Option<Arc<str>>,
    /// What that is to the pool.
    pub rank: Rank,
    /// The definition of the pool that this was worked out by; another one now is `redefined`.
    pub revision: u64,
    /// How it asks for the units.
    pub asking: Asking,
}

/// Why a feature was not taken; nothing changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TakeRefused {
    /// Another user is logged in by now.
    Changed,
    /// The pool was defined anew.
    Redefined,
    /// The session has taken as many features as it may.
    TooMany,
    /// The pool refused.
    License(DenyReason),
}

/// A session to be made.
#[derive(Clone)]
pub struct NewSession {
    /// The application's number.
    pub application: u32,
    /// Facts of its beginning.
    pub client: Client,
    /// Its first data.
    pub data: Tree,
    /// Idle timeout; 0 is never.
    pub idle: Millis,
    /// Absolute timeout; 0 is never.
    pub absolute: Millis,
    /// Its event classes, first called first.
    pub classes: Arc<[ClassRef]>,
    /// Its license; `None` takes none.
    pub charge: Option<Charge>,
    /// The license that it takes later; only without a `charge`.
    pub lazy: Option<Lazy>,
    /// Whether its idle timeout is that of anonymous sessions, and goes when it is one no longer.
    pub brief: bool,
    /// Begins the first request in the same step.
    pub begin: Option<(TouchKind, LockMode)>,
    /// How it asks for its license.
    pub asking: Asking,
}

/// How units are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asking {
    /// Whether a denial is the last word: it is counted and recorded.
    pub last: bool,
    /// The number of its place in the queue, if it has waited.
    pub place: Option<u64>,
    /// Among those who wait: who has a lower one comes later.
    pub priority: i8,
}

impl Default for Asking {
    fn default() -> Self {
        Self { last: true, place: None, priority: 0 }
    }
}

/// One who is to wait for units.
#[derive(Clone, Debug)]
pub struct NewWaiter {
    /// The session that waits, or is to be made.
    pub session: SessionId,
    /// How it is to be charged.
    pub charge: Charge,
    /// How it is charged until then, if it is.
    pub from: Option<Charge>,
    /// For how many connections.
    pub count: u64,
    /// What its holder is to the pool.
    pub rank: Rank,
    /// Who has a higher one is served first.
    pub priority: i8,
    /// Engine time until when it waits.
    pub deadline: Millis,
}

/// How a waiter leaves the queue without units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// It would not any longer.
    Cancelled,
    /// Its process died.
    Died,
    /// It is denied them, which is recorded apart.
    Denied,
}

/// One who waits, as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The number of its place.
    pub place: u64,
    /// The session that waits, or is to be made.
    pub session: SessionId,
    /// How it is to be charged.
    pub charge: Charge,
    /// Who has a higher one is served first.
    pub priority: i8,
    /// Engine time when it came.
    pub since: Millis,
    /// Engine time until when it waits.
    pub deadline: Millis,
    /// Units set aside for it; `None` while it awaits its turn.
    pub offered: Option<u64>,
    /// The process that waits.
    pub process: u32,
}

/// Why a session was not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The table, or the application with this name, has as many sessions as it may.
    Sessions(Option<Arc<str>>, u64),
    /// The pool refused.
    License(DenyReason),
}

/// A place in the table with an id and a token, not yet a session: gone without a trace if its process dies.
#[derive(Clone, Copy, Debug)]
pub struct Draft {
    /// The session to be.
    pub session: SessionRef,
    /// Its token.
    pub token: Token,
}

/// How a request begins.
#[derive(Clone, Copy, Debug)]
pub struct BeginSpec {
    /// What it does to the idle clock.
    pub touch: TouchKind,
    /// How it holds the session.
    pub lock: LockMode,
    /// The process it runs in.
    pub process: u32,
}

/// What became of a begin on a live session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Began {
    /// It began.
    Request {
        /// The request.
        key: RequestKey,
        /// Whether it is the session's first.
        is_new: bool,
        /// Whether the token is an older one within its grace.
        replaced: bool,
        /// The session's application.
        application: u32,
        /// Whether it took the session's unit.
        licensed: bool,
    },
    /// This request was to take the session's unit, and the pool with this number refused. Nothing changed.
    Unlicensed(u32, DenyReason),
    /// The lock is held, by whom in words.
    Busy(SessionRef, String),
    /// Its data can't be read.
    Corrupt,
}

/// What a finish did.
#[derive(Debug)]
pub struct Finished {
    /// Whether the writes were committed.
    pub committed: Result<()>,
    /// Whether the session is to end now: it was asked to, and this was its last request in flight.
    pub end_now: bool,
}

/// A change of a session's user and holder.
#[derive(Clone, Debug)]
pub struct HolderChange {
    /// The new user.
    pub user: Option<Arc<str>>,
    /// The user the deciders were asked about: anything else now is `changed`.
    pub expected: Option<Arc<str>>,
    /// The new holder, if the session is charged, or takes its unit by this.
    pub holder: Holder,
    /// What it is to the pool.
    pub rank: Rank,
    /// The definition of the pool that the rank and the holder are by; another one now is `redefined`.
    pub revision: u64,
    /// Whether the user changes although the trade is denied.
    pub keep_on_denial: bool,
    /// Grace of the old token; `None` does not rotate.
    pub rotate: Option<Millis>,
    /// Only the trade: user and token stay.
    pub trade_only: bool,
    /// The idle timeout from now on, 0 for never, of a session that is anonymous no longer and had that of anonymous ones.
    pub idle: Millis,
    /// How it asks for the units.
    pub asking: Asking,
}

/// What a change of holder did.
#[derive(Clone, Debug)]
pub struct HolderChanged {
    /// The token from now on, if it was rotated.
    pub token: Option<Token>,
    /// Why the trade was denied; the session keeps what it held.
    pub trade_denied: Option<DenyReason>,
}

/// How a session is ended.
#[derive(Clone, Debug)]
pub struct EndSpec {
    /// Why.
    pub reason: EndReason,
    /// How strongly.
    pub level: EndLevel,
    /// Which kind of thread causes it.
    pub thread: ThreadKind,
    /// By whom.
    pub actor: Option<String>,
    /// A note.
    pub note: Option<String>,
    /// Whether the caller waits for the callbacks: then this process is offered them first.
    pub here: bool,
}

/// What an end did.
#[derive(Clone, Debug)]
pub enum Ended {
    /// This caller won.
    Now(Receipt),
    /// Another did, earlier.
    Before(Receipt),
    /// There is no such session, nor a tombstone.
    Absent,
    /// The store failed: it is live, or the outcome is `uncertain`.
    Failed(Error),
}

/// A native object kept with a session.
pub type Attachment = Arc<dyn Any + Send + Sync>;

/// What is to be told of one end: written by the commit that ends.
pub struct OutboxRow {
    /// The same in every delivery.
    pub event_id: u64,
    /// The session.
    pub session: SessionId,
    /// The application's number.
    pub application: u32,
    /// The user.
    pub user: Option<Arc<str>>,
    /// Why.
    pub reason: EndReason,
    /// How strongly.
    pub level: EndLevel,
    /// Which kind of thread caused it.
    pub thread: ThreadKind,
    /// Engine time.
    pub at_ms: Millis,
    /// Wall time.
    pub wall_ms: i64,
    /// Its event classes, first called first.
    pub classes: Arc<[ClassRef]>,
    /// Those of its classes that were told at the asking point already.
    pub told: Vec<ClassRef>,
    /// Its data; `None` if it can't be read.
    pub snapshot: Option<Arc<Tree>>,
    /// Its attachments, dropped after its callbacks.
    pub attachments: Vec<Attachment>,
    /// Whether it was taken before.
    pub redelivered: bool,
    /// Whether another process may wait for how its callbacks go.
    pub waited: bool,
}

/// A question due: the session's classes are to be asked before its deadline.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The session.
    pub session: SessionRef,
    /// The deadline that comes near (engine time).
    pub deadline: Millis,
    /// The reason it would end for.
    pub reason: EndReason,
    /// Whether an answer may extend it: its budget is not used up.
    pub may_extend: bool,
}

/// What a sweep found.
#[derive(Debug, Default)]
pub struct Claim {
    /// How many sessions this step ended.
    pub ended: usize,
    /// What is to be asked.
    pub asks: Vec<Ask>,
    /// Whether there is more to claim at this instant.
    pub more: bool,
}

/// What deciders and callbacks are told of a session.
#[derive(Clone, Debug)]
pub struct Card {
    /// The session.
    pub session: SessionRef,
    /// The application's number.
    pub application: u32,
    /// The user.
    pub user: Option<Arc<str>>,
    /// Its event classes, first called first.
    pub classes: Arc<[ClassRef]>,
    /// Its data; `None` if it can't be read.
    pub snapshot: Option<Arc<Tree>>,
    /// Its license: pool, class, holder.
    pub charge: Option<Charge>,
    /// The license that it takes later.
    pub lazy: Option<Lazy>,
    /// Idle timeout; 0 is never.
    pub idle: Millis,
    /// Whether that is the one of anonymous sessions.
    pub brief: bool,
    /// The extension budget left.
    pub may_extend: bool,
    /// The absolute deadline on the idle clock.
    pub absolute_deadline: Millis,
}

impl Card {
    /// The pool that it is or will be charged to.
    pub fn pool(&self) -> Option<u32> {
        self.charge.as_ref().map(|charge| charge.pool).or(self.lazy.map(|lazy| lazy.pool))
    }
}

/// What `explain` adds to a listing.
#[derive(Clone, Debug, Default)]
pub struct Details {
    /// Requests in flight.
    pub requests: Vec<RequestInfo>,
    /// How many wait for the lock.
    pub lock_waiters: usize,
    /// Extensions granted.
    pub extensions: Vec<(Millis, String, Millis)>,
    /// Its event classes.
    pub classes: Vec<ClassRef>,
    /// Whether its data can't be read.
    pub damaged: bool,
    /// When it is looked at next, and why.
    pub next: Option<(String, Millis)>,
    /// Its trace.
    pub trace: Vec<String>,
    /// Whether it ends with its last request.
    pub end_requested: bool,
    /// The license that it takes later: the pool's name, and when.
    pub lazy: Option<(Arc<str>, LazyUntil)>,
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

/// The change of a pool's level that a verb caused: told as an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PoolLevel {
    /// There are enough again.
    Recovered,
    /// Fewer units than `low` are available.
    Low,
    /// None is available.
    Exhausted,
    /// More are in use than there are.
    Overdraft,
}

/// Called when a lock may be free, or an earlier deadline was filed.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// Why a holder was not changed; nothing was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeRefused {
    /// The user is not the one the deciders were asked about.
    Changed,
    /// The pool was defined anew since the rank was found.
    Redefined,
    /// The pool refused and the denial is not to be kept.
    License(DenyReason),
}

/// Some of the live sessions, and where the listing goes on; `None` at its end.
pub type Listed = (Vec<(SessionRef, SessionInfo)>, Option<u64>);

/// What a session took, as listings show it.
pub(crate) fn features(pools: &[Pool], session: SessionId, takes: &[Taken]) -> Vec<Feature> {
    let feature = |taken: &Taken| Feature {
        pool: pools[taken.pool as usize].name.as_str().into(),
        count: taken.count,
        holder: crate::license::recount::holder_name(session, &taken.holder),
        since_ms: taken.since,
    };
    takes.iter().map(feature).collect()
}

/// What something is made of, one thing a line, each with a name before it.
pub(crate) fn lines(name: &str, of: &impl std::fmt::Debug) -> String {
    let shown = format!("{of:#?}");
    let fields = shown.lines().filter(|line| line.starts_with("    "));
    fields.map(|field| format!("{name}: {}\n", field.trim_end_matches(',').trim_start())).collect()
}
