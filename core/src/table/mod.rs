//! The table of sessions: the only seam between what a session means and where it is kept.
//!
//! A verb is a whole step: it happened wholly or not at all, for every other thread, process and machine. Callbacks
//! never sit inside a verb: deciders are asked before it, and it checks again what they were asked about. A lock wait is
//! a try and a wake-up outside of the verb. Each verb says how it is one SQLite transaction and one Redis script, or that
//! it is *hot* (the slot only) or *stepped* (a cursor, each bounded step one transaction).

#[cfg(any(test, feature = "contract"))]
pub mod contract;
pub mod memory;

use std::any::Any;
use std::sync::Arc;

use crate::clock::{Millis, Now};
use crate::data::{Tree, Value, Writes};
use crate::error::{Error, Result};
use crate::event::ClassRef;
use crate::id::{SessionId, Token};
use crate::license::rules::PoolRule;
use crate::license::{Audit, AuditRecord, Usage};
use crate::reason::{DenyReason, EndLevel, EndReason, LicenseClass, LockMode, ThreadKind, TouchKind};
use crate::session::{Client, Filter, LogEntry, Receipt, RequestInfo, SessionInfo};

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
}

impl<T> Found<T> {
    /// The live one, or the outcome as an error.
    pub fn live(self) -> Result<T> {
        match self {
            Self::Live(found) => Ok(found),
            Self::Absent => Err(Error::absent()),
            Self::Gone(reason) => Err(Error::gone(reason)),
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
    /// Below this many available units the pool is low.
    pub low: u64,
    /// Audit records kept.
    pub audit_records: usize,
}

/// What a table is opened with.
#[derive(Clone, Debug)]
pub struct TableConfig {
    /// The applications; their position is their number.
    pub applications: Vec<ApplicationRule>,
    /// The pools; their position is their number.
    pub pools: Vec<PoolDefinition>,
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
}

/// How a session is to be charged.
#[derive(Clone, Debug)]
pub struct Charge {
    /// The pool's number.
    pub pool: u32,
    /// The class.
    pub class: LicenseClass,
    /// The holder.
    pub holder: Holder,
}

/// A session to be made.
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
    /// Begins the first request in the same step.
    pub begin: Option<(TouchKind, LockMode)>,
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
    },
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
    /// The new holder, if the session is charged.
    pub holder: Holder,
    /// Whether the user changes although the trade is denied.
    pub keep_on_denial: bool,
    /// Grace of the old token; `None` does not rotate.
    pub rotate: Option<Millis>,
    /// Only the trade: user and token stay.
    pub trade_only: bool,
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
    /// Idle timeout; 0 is never.
    pub idle: Millis,
    /// The extension budget left.
    pub may_extend: bool,
    /// The absolute deadline on the idle clock.
    pub absolute_deadline: Millis,
}

/// A change of a session's list of event classes.
#[derive(Clone, Debug)]
pub enum ClassChange {
    /// To the front, once.
    Front(ClassRef),
    /// To the end, if absent.
    Back(ClassRef),
    /// Away.
    Remove(ClassRef),
    /// All of a namespace away.
    RemoveNamespace(Arc<str>),
    /// All away.
    Clear,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolLevel {
    /// Fewer units than `low` are available.
    Low,
    /// None is available.
    Exhausted,
    /// There are enough again.
    Recovered,
}

/// Called when a lock may be free, or an earlier deadline was filed.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// A table of sessions.
///
/// Threads: every verb from any thread at any time. No verb calls out but to the wake-ups it was given, after its locks
/// are released.
pub trait Table: Send + Sync {
    /// Reserves a place with an id and a token. Promise: no other draft or session has them.
    /// *Hot.* SQLite: a free slot; the row comes with `create`. Redis: two random numbers; the key comes with `create`.
    fn draft(&self) -> Result<Draft>;

    /// Gives a draft's place back. *Hot.*
    fn abandon(&self, draft: &Draft);

    /// Makes the session with its license, or nothing. Promise: at no instant are there more sessions than allowed or
    /// more units in use than the pool's capacity, whoever creates elsewhere.
    /// SQLite: count and holder checked, row, holder and audit record inserted, one transaction. Redis: the same by one
    /// script over the session's, the holder's and the pool's keys.
    fn create(
        &self,
        at: At,
        draft: &Draft,
        new: NewSession,
    ) -> Result<std::result::Result<Option<RequestKey>, Refused>>;

    /// Moves the idle deadline of a live session (`activity`), or looks; answers the deadline. Promise: a session past its
    /// deadline is ended by this very call, and one that ended is never touched.
    /// *Hot*: one compare-and-set of one word; an end found here is `end`'s transaction or script.
    fn touch(&self, at: At, token: &Token, kind: TouchKind) -> Found<(SessionRef, Millis)>;

    /// Begins a request. Promise: it holds the lock as asked, alone if `exclusive`; a session past its deadline is ended by
    /// this very call. *Hot*: slot, request record, lock word.
    fn begin(&self, at: At, token: &Token, spec: &BeginSpec) -> Found<Began>;

    /// Ends a request and commits its writes: all, or none and an error; the lock is free either way. Promise: writes never
    /// reach a session that ended. Without writes *hot*. SQLite: versions compared, changed first subscripts written, one
    /// transaction. Redis: one script over the session's data hash.
    fn finish(&self, at: At, request: &RequestKey, writes: &Writes) -> Found<Finished>;

    /// Commits writes in the middle of a request: as `finish`, and the request goes on.
    fn save(&self, at: At, request: &RequestKey, writes: &Writes) -> Found<Result<()>>;

    /// Sets one value if it is what is expected, at once: one transaction, one script.
    fn compare_and_set(
        &self,
        at: At,
        request: &RequestKey,
        path: &[crate::data::Subscript],
        expected: Option<&Value>,
        new: Option<Value>,
    ) -> Found<Result<()>>;

    /// Shows the committed data to `look`, which must be short and runs under the session's lock. Promise: never another
    /// session's data. A session past its deadline is `gone`, and left for `find` to end. *Hot* in memory; SQLite, Redis:
    /// one read.
    fn read(&self, at: At, request: &RequestKey, look: &mut dyn FnMut(&Tree)) -> Found<Result<()>>;

    /// Takes the lock for a request in flight, or tells who has it. *Hot.*
    fn lock(&self, at: At, request: &RequestKey, mode: LockMode) -> Found<std::result::Result<(), String>>;

    /// Frees the request's lock; tells the mode it was held in. *Hot.*
    fn unlock(&self, at: At, request: &RequestKey) -> Found<Option<LockMode>>;

    /// The lock that a request holds. *Hot.*
    fn lock_of(&self, at: At, request: &RequestKey) -> Found<Option<LockMode>>;

    /// Has `wake` called once when a lock of the session is freed or the session ends; `None` if that may have happened
    /// since the lock was found busy for `mode`; `waiter` has the number 0 if it is not a request yet. *Hot*; elsewhere a
    /// futex word, or a channel.
    fn watch(&self, waiter: &RequestKey, mode: LockMode, wake: Wake) -> Option<u64>;

    /// Forgets a watch. *Hot.*
    fn unwatch(&self, session: SessionRef, watch: u64);

    /// Sets timeouts (idle 0 is never) on a live session, at once, counted from the last use. Promise: the absolute
    /// deadline never moves later. One transaction, one script.
    fn set_timeouts(
        &self,
        at: At,
        session: SessionRef,
        idle: Option<Millis>,
        absolute: Option<Millis>,
    ) -> Found<Result<()>>;

    /// Changes the list of event classes; tells whether it changed. One transaction, one script.
    fn change_classes(&self, at: At, session: SessionRef, change: ClassChange) -> Found<bool>;

    /// Moves the session into another application if it is still in `from`; `idle` is its timeout from now on, if that
    /// changes; `classes` are added behind its own, each once. `false` if it was not in `from`. One transaction, one script.
    fn change_application(
        &self,
        at: At,
        session: SessionRef,
        from: u32,
        to: u32,
        idle: Option<Millis>,
        classes: &[ClassRef],
    ) -> Found<bool>;

    /// Changes user and holder, trades the license and rotates the token: one step. Promise: in-use changes by no more than
    /// the difference of units; the old unit never goes before the new one is had; on a denial that is not kept nothing
    /// changed. One transaction over session, both holders and pool; one script over the same keys.
    fn change_holder(
        &self,
        at: At,
        session: SessionRef,
        change: &HolderChange,
    ) -> Found<Result<HolderChanged, ChangeRefused>>;

    /// Asks the session to end with its last request in flight, or takes that back. *Hot.*
    fn request_end(&self, at: At, session: SessionRef, end: bool) -> Found<()>;

    /// Ends a session: state, reason, license, indexes and outbox in one step. Promise: exactly one caller anywhere wins; the
    /// unit is free when it returns; no request sees it live afterwards. Never waits for a request, lock or callback.
    /// One transaction, synced before it returns; one script.
    fn end(&self, at: At, session: SessionRef, spec: &EndSpec) -> Ended;

    /// Where a token leads: a peek. *Hot.*
    fn find_token(&self, at: At, token: &Token) -> Found<SessionRef>;

    /// Where a public id is: live, or its tombstone's receipt. *Hot.* SQLite, Redis: an index on the id.
    fn find(&self, at: At, id: SessionId) -> Found<SessionRef>;

    /// The receipt of an ended session. *Hot*; a row; a key with a time to live.
    fn receipt(&self, at: At, id: SessionId) -> Option<Receipt>;

    /// What events tell of a live session. One read.
    fn card(&self, at: At, session: SessionRef) -> Found<Card>;

    /// Ends, asks and frees what is due, at most `limit` sessions, in the order of instant, then creation. Promise: nobody
    /// else ends or asks the same again; what takes longer (callbacks) is in the outbox. *Stepped*: each step one transaction,
    /// one script over the due index.
    fn claim_due(&self, at: At, limit: usize) -> Claim;

    /// The earliest instant at which something may be due. *Hot.*
    fn next_due(&self, now: Now) -> Option<Millis>;

    /// Sets what is called when something earlier than all before is filed.
    fn set_bell(&self, bell: Option<Wake>);

    /// Grants an extension on the deadline that was asked about, if it still stands and the budget allows; answers what was
    /// granted. Promise: never past the absolute deadline. One transaction, one script.
    fn extend(
        &self,
        at: At,
        session: SessionRef,
        deadline: Millis,
        class: &ClassRef,
        by: Millis,
    ) -> Found<Option<Millis>>;

    /// Notes that a class was told the end at the asking point, so that it is not called again. *Hot.*
    fn mark_told(&self, session: SessionRef, class: &ClassRef);

    /// Live sessions that match, from a cursor on, at most `limit` found and `scan` looked at. *Stepped.* Promise: a session
    /// live all the while appears exactly once.
    fn list(
        &self,
        at: At,
        filter: &Filter,
        cursor: u64,
        limit: usize,
        scan: usize,
    ) -> (Vec<(SessionRef, SessionInfo)>, Option<u64>);

    /// One live session as a listing shows it, with what `explain` adds. One read.
    fn look(&self, at: At, session: SessionRef) -> Found<(SessionInfo, Details)>;

    /// Live sessions, O(1).
    fn count(&self) -> u64;

    /// The use of a pool at one instant. *Stepped* over its holders.
    fn usage(&self, at: At, pool: u32) -> Usage;

    /// In use, available, capacity: O(1).
    fn pool_state(&self, pool: u32) -> (u64, u64);

    /// A recount from first principles beside the counters, as of one instant. *Stepped* over all sessions.
    fn recount(&self, at: At, pool: u32) -> Audit;

    /// Accounts of a pool after a position.
    fn audit_records(&self, pool: u32, after: u64, limit: usize) -> Vec<AuditRecord>;

    /// Takes the changes of pool levels since the last call.
    fn take_pool_levels(&self) -> Vec<(u32, PoolLevel, u64)>;

    /// Takes at most `limit` rows of the outbox under a lease of this process. Promise: a row is taken by one at a time.
    /// One transaction; one script.
    fn outbox_take(&self, limit: usize) -> Vec<OutboxRow>;

    /// Acknowledges a delivered row: it is never taken again. One transaction; one script.
    fn outbox_acknowledge(&self, event_id: u64);

    /// The commits after a position. *Stepped.*
    fn lifecycle(&self, after: u64, limit: usize) -> Vec<LogEntry>;

    /// Adds to the commit log what is not a step of the table itself (a refused creation).
    fn note(&self, at: At, session: SessionId, what: &'static str, detail: &str);

    /// Each violation of an invariant, in words. *Stepped.*
    fn check(&self, at: At) -> Vec<String>;

    /// Counters. O(1).
    fn stats(&self) -> TableStats;

    /// Keeps a native object with a session in this process; the one before comes back. *Hot.*
    fn attach(&self, session: SessionRef, name: &str, object: Option<Attachment>) -> Found<Option<Attachment>>;

    /// The object under a name. *Hot.*
    fn attachment(&self, session: SessionRef, name: &str) -> Found<Option<Attachment>>;

    /// For tests: makes a session's data unreadable. One transaction; one script.
    fn damage(&self, session: SessionRef) -> bool;
}

/// Why a holder was not changed; nothing was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeRefused {
    /// The user is not the one the deciders were asked about.
    Changed,
    /// The pool refused and the denial is not to be kept.
    License(DenyReason),
}
