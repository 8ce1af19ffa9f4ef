//! The table of sessions: the only seam between what a session means and where it is kept.
//!
//! A verb is a whole step: it happened wholly or not at all, for every other thread, process and machine. Callbacks
//! never sit inside a verb: deciders are asked before it, and it checks again what they were asked about. A lock wait is
//! a try and a wake-up outside of the verb. Each verb says how it is one SQLite transaction and one Redis script, or that
//! it is *hot* (the slot only) or *stepped* (a cursor, each bounded step one transaction).

mod classes;
#[cfg(any(test, feature = "contract"))]
pub mod contract;
mod due;
mod extension;
mod filter;
mod grave;
pub mod memory;
pub(crate) mod shared;
mod sip;
mod slot;
mod takes;
mod times;
mod types;

use std::sync::Arc;

use crate::clock::{Millis, Now};
use crate::config::Pool;
use crate::data::{Tree, Value, Writes};
use crate::error::Result;
use crate::event::ClassRef;
use crate::id::{SessionId, Token};
use crate::license::back::Refusal;
use crate::license::books::UserHolder;
use crate::license::{Audit, AuditRecord, Usage};
use crate::reason::{DenyReason, LockMode, TouchKind};
use crate::session::{Filter, LogEntry, Receipt, SessionInfo};

pub use classes::ClassChange;
pub(crate) use takes::MAX_TAKES;
use times::Times;
pub use types::*;

/// How long an answer stands that took a look at all sessions, and that nothing contradicts: milliseconds.
pub(crate) const STANDS: Millis = 100;

/// A table of sessions.
///
/// A verb that fails ([`Found::Failed`], [`Ended::Failed`], `Err`) did nothing, unless the error's kind is `uncertain`: then
/// it happened wholly or not at all, and a look tells which. A look-up's `absent` is never a failure's other name.
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
    /// more units in use than the pool's capacity, whoever creates elsewhere; if it is not made, `new` is as it was, else what
    /// the session keeps may have been taken out of it.
    /// A refusal for want of a unit that is the last word is in the lifecycle log when it returns.
    /// SQLite: count and holder checked, row, holder and audit record inserted, one transaction. Redis: the same by one
    /// script over the session's, the holder's and the pool's keys.
    fn create(
        &self,
        at: At,
        draft: &Draft,
        new: &mut NewSession,
    ) -> Result<std::result::Result<Option<RequestKey>, Refused>>;

    /// Moves the idle deadline of a live session (`activity`), or looks; answers the deadline. Promise: a session past its
    /// deadline is ended by this very call, and one that ended is never touched.
    /// *Hot*: one compare-and-set of one word; an end found here is `end`'s transaction or script.
    fn touch(&self, at: At, token: &Token, kind: TouchKind) -> Found<(SessionRef, Millis)>;

    /// Begins a request. Promise: it holds the lock as asked, alone if `exclusive`; a session past its deadline is ended by
    /// this very call. *Hot*: slot, request record, lock word.
    fn begin(&self, at: At, token: &Token, spec: &BeginSpec) -> Found<Began>;

    /// Ends a request and commits its writes: all, or none and an error; the lock is free either way. Promise: writes never
    /// reach a session that ended. A store that can't write ends the request all the same and says so in
    /// [`Finished::committed`]; it is `Failed` only if the request is in flight still. Without writes *hot*. SQLite: versions compared, changed first subscripts written, one
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
    /// changes, and that of a session that has the one of anonymous sessions (and still does then); `classes` are added behind its own, each once. `false` if it was not in `from`. One transaction, one script.
    fn change_application(
        &self,
        at: At,
        session: SessionRef,
        from: u32,
        to: u32,
        idle: Option<(Millis, Millis)>,
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

    /// Takes a feature: units of a pool beside the license, all that are asked for or none. Promise: the holder is the user
    /// that `take` was worked out for, or nothing changed; an end returns them. One transaction over session, holder and
    /// pool; one script over the same keys.
    fn take_feature(&self, at: At, session: SessionRef, take: &Take) -> Found<Result<(), TakeRefused>>;

    /// Returns a feature, what was taken last first; tells how many that were. One transaction, one script.
    fn return_feature(&self, at: At, session: SessionRef, pool: u32, count: u64) -> Found<u64>;

    /// Waits for units in the queue of a pool; tells the number of the place, or why there is none. `wake` is called when
    /// units are set aside, for so long as [`OFFER`](crate::license::waiter::OFFER): then the creation, or the change of
    /// holder, is tried again with that number, which has them. Promise: who comes later and has no higher priority is not
    /// served before. One transaction, one script.
    fn join_queue(&self, at: At, waiter: &NewWaiter, wake: Wake) -> Result<std::result::Result<u64, DenyReason>>;

    /// Stops waiting; what was set aside is the next one's. `false` if it does not wait any more. One transaction, one script.
    fn leave_queue(&self, at: At, pool: u32, place: u64, how: Leaving) -> Result<bool>;

    /// A wait is over, and its wake-up is not called any more. *Hot.*
    fn waited(&self, pool: u32, place: u64) {
        let _all_that_is_known = (pool, place);
    }

    /// How many come before a place of the queue, plus one. One read.
    fn position(&self, pool: u32, place: u64) -> Result<Option<u64>>;

    /// Those who wait for a pool after the first `skip`, in the order of their turns. One read.
    fn queue(&self, pool: u32, skip: usize, limit: usize) -> Result<Vec<Waiting>>;

    /// Calls the wake-ups of those for whom units were set aside. Called after each verb that may free units, with no lock held.
    fn call_waiters(&self);

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

    /// Where the session with this id is if it is anywhere, for a verb that looks for itself; `None` if only `find` can tell.
    /// *Hot.*
    fn place_of(&self, id: SessionId) -> Option<SessionRef> {
        let _only_find_tells = id;
        None
    }

    /// The receipt of an ended session. *Hot*; a row; a key with a time to live.
    fn receipt(&self, at: At, id: SessionId) -> Result<Option<Receipt>>;

    /// What events tell of a live session. One read.
    fn card(&self, at: At, session: SessionRef) -> Found<Card>;

    /// Ends, asks and frees what is due, at most `limit` sessions, in the order of instant, then creation. Promise: nobody
    /// else ends or asks the same again; what takes longer (callbacks) is in the outbox. *Stepped*: each step one transaction,
    /// one script over the due index.
    fn claim_due(&self, at: At, limit: usize) -> Result<Claim>;

    /// The earliest instant at which something may be due. *Hot.*
    fn next_due(&self, now: Now) -> Option<Millis>;

    /// Sets what is called when something earlier than all before is filed, or came into the outbox for this process.
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
    fn list(&self, at: At, filter: &Filter, cursor: u64, limit: usize, scan: usize) -> Result<Listed>;

    /// One live session as a listing shows it, with what `explain` adds. One read.
    fn look(&self, at: At, session: SessionRef) -> Found<(SessionInfo, Details)>;

    /// Live sessions, O(1).
    fn count(&self) -> u64;

    /// The use of a pool at one instant. *Stepped* over its holders.
    fn usage(&self, at: At, pool: u32) -> Result<Usage>;

    /// In use, available, capacity: O(1).
    fn pool_state(&self, pool: u32) -> Result<(u64, u64)>;

    /// The definition of a pool that is in force. One read.
    fn pool(&self, pool: u32) -> Result<Arc<PoolInForce>>;

    /// The definition of a pool that this process saw last: another one may be in force, which a step that names the
    /// revision finds. *Hot.*
    fn known_pool(&self, pool: u32) -> Arc<PoolInForce>;

    /// Has a pool go by another definition from now on, in all processes, if the one in force has this revision. Promise: no
    /// unit is taken from who has it, and no step is by another definition than the one in force. One transaction over the
    /// pool and the seats of its holders; one script.
    fn change_pool(
        &self,
        at: At,
        pool: u32,
        revision: u64,
        to: &Pool,
        actor: Option<&str>,
    ) -> Result<std::result::Result<(), PoolUnchanged>>;

    /// When there may be units of a full pool for who was refused: the end of what lingers, or of sessions that need it, or
    /// when one may be evicted for it, if nobody uses them; `None` if nothing is known of that. *Hot* in memory once the first
    /// to end are known; elsewhere, and where sessions may be evicted or took features, a look at all sessions, whose answer
    /// stands for [`STANDS`] unless something is seen here that may change it.
    fn unit_back(&self, at: At, pool: u32, refusal: &Refusal) -> Result<Option<Millis>>;

    /// What a holder is charged, by its name in the books; `None` for nothing. One read.
    fn holder(&self, pool: u32, name: &Arc<str>) -> Result<Option<UserHolder>>;

    /// The most units in use since a reader reset its mark, ever if it did not, and the wall time of that. One read.
    fn high_water(&self, pool: u32, reader: &str) -> Result<(u64, i64)>;

    /// Has a reader's mark begin anew with what is in use; `false` if 64 others have marks. One row, one key.
    fn reset_high_water(&self, at: At, pool: u32, reader: &str) -> Result<bool>;

    /// Forgets a reader's mark; tells whether there was one. One row, one key.
    fn forget_high_water(&self, pool: u32, reader: &str) -> Result<bool>;

    /// A recount from first principles beside the counters, as of one instant. *Stepped* over all sessions.
    fn recount(&self, at: At, pool: u32) -> Result<Audit>;

    /// Accounts of a pool after a position.
    fn audit_records(&self, pool: u32, after: u64, limit: usize) -> Result<Vec<AuditRecord>>;

    /// Takes the changes of pool levels since the last call.
    fn take_pool_levels(&self) -> Vec<(u32, PoolLevel, u64)>;

    /// Whether there may be rows of the outbox for this process: whoever ended a session here sees its row until it is taken.
    /// *Hot* in memory; elsewhere only the look tells.
    fn outbox_waits(&self) -> bool {
        true
    }

    /// Takes at most `limit` rows of the outbox under a lease of this process. Promise: a row is taken by one at a time.
    /// One transaction; one script.
    fn outbox_take(&self, limit: usize) -> Result<Vec<OutboxRow>>;

    /// Acknowledges a delivered row: it is never taken again. One transaction; one script.
    fn outbox_acknowledge(&self, event_id: u64) -> Result<()>;

    /// The commits after a position. *Stepped.*
    fn lifecycle(&self, after: u64, limit: usize) -> Result<Vec<LogEntry>>;

    /// Adds to the commit log what is not a step of the table itself (a refused creation).
    fn note(&self, at: At, session: SessionId, what: &'static str, detail: &str);

    /// Each violation of an invariant, in words. *Stepped.*
    fn check(&self, at: At) -> Result<Vec<String>>;

    /// Counters. O(1).
    fn stats(&self) -> TableStats;

    /// Keeps a native object with a session in this process; the one before comes back. *Hot.*
    fn attach(&self, session: SessionRef, name: &str, object: Option<Attachment>) -> Found<Option<Attachment>>;

    /// The object under a name. *Hot.*
    fn attachment(&self, session: SessionRef, name: &str) -> Found<Option<Attachment>>;

    /// For tests: makes a session's data unreadable. One transaction; one script.
    fn damage(&self, session: SessionRef) -> Result<bool>;

    /// Says whether this process calls back for an event class from now on: rows of the outbox go to a process that does.
    /// *Hot* in memory, where there is no other process; elsewhere a row or a key under the participant.
    fn listens(&self, class: &ClassRef, on: bool) -> Result<()> {
        let _one_process = (class, on);
        Ok(())
    }

    /// Whether sessions outlive the manager that made them: closing it ends none of them. A constant of the table.
    fn outlives(&self) -> bool {
        false
    }

    /// Gives back what this manager holds (requests in flight, locks, rows of the outbox not yet acknowledged, its
    /// leadership), so that others have it at once; tells how many requests in flight that were. Called once, after
    /// everything that may call a verb has stopped or will be refused; a verb after it answers a failure. Never waits for
    /// another process.
    fn close(&self) -> u64 {
        0
    }

    /// Who is to be told an end and has not said that it was done: each class with the process that has it, 0 for none yet.
    /// In memory nobody: the dispatcher of this process knows. One read.
    fn telling(&self, event_id: u64) -> Result<Vec<(ClassRef, u32)>> {
        let _one_process = event_id;
        Ok(Vec::new())
    }

    /// Rows of the outbox, of all processes, that are not acknowledged. In memory 0: a row that was taken is gone.
    fn unsettled(&self) -> Result<u64> {
        Ok(0)
    }
}
