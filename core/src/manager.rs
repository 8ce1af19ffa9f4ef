//! The façade: one table of sessions with its reaper and dispatcher.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::config::{Config, Pool, PoolDifference, check_timeout, timeout_ms};
use crate::engine::ask::Wait;
use crate::engine::check_limit;
use crate::engine::seat::Seat;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{DeadLetter, EventClass, GroupResolver};
use crate::id::SessionId;
use crate::license::{Accounts, Audit, AuditRecord, Usage, Waiter};
use crate::reason::TouchKind;
use crate::request::Request;
use crate::session::*;
use crate::table::Found;

/// Called once with the result of an asynchronous call: at once in the calling thread if nothing had to be waited for,
/// else from another thread, under no lock.
pub type Then<T> = Box<dyn FnOnce(Result<T>) + Send>;

/// A session manager. Cheap to clone: all clones are one. Closing is explicit ([`close`](Self::close)); dropping the last
/// clone stops the threads without ending sessions by callback.
///
/// Threads: every call from any thread, also from callbacks, unless its documentation says `reentrant`. After `close`
/// every call answers `closed`. In the child of a fork a manager on a store that processes share opens it again by itself
/// at its first call; on the memory table every call answers `forked`, and so do handles of sessions and requests of
/// before the fork on every table.
#[derive(Clone)]
pub struct Manager(pub(crate) Arc<Seat>);

impl Manager {
    /// Opens a manager. No thread starts before the first session. Errors: `invalid` names the option and its bound.
    pub fn new(config: Config) -> Result<Self> {
        Ok(Self(Arc::new(Seat::new(config)?)))
    }
    /// The clock; [`Clock::manual`] gives the manual one.
    pub fn clock(&self) -> Clock {
        self.0.engine().clock.clone()
    }
    // --- sessions ---
    /// Makes a session; starts no request. Errors: `denied` (by `on_start`), `license_denied`, `session_limit`, `invalid`, `quota`. A refused creation leaves nothing behind.
    pub fn create(&self, options: CreateOptions) -> Result<Created> {
        self.0.engine().create(options)
    }
    /// As [`create`](Self::create); asynchronous `on_start` callbacks are awaited.
    pub fn create_async(&self, options: CreateOptions, then: Then<Created>) {
        self.0.engine().create_async(options, then);
    }
    /// Makes a session and begins its first request, in one step: what servers use. `is_new` is true.
    pub fn begin_new(&self, options: CreateOptions, begin: BeginOptions) -> Result<Request> {
        self.0.engine().begin_new(options, begin)
    }
    /// As [`begin_new`](Self::begin_new); asynchronous callbacks are awaited.
    pub fn begin_new_async(&self, options: CreateOptions, begin: BeginOptions, then: Then<Request>) {
        self.0.engine().begin_new_async(options, begin, then);
    }
    /// Begins a request of the session that this token opens. Blocks for the lock, at most its timeout.
    /// Errors: `lock_timeout`, `denied` (application change), `reentrant` (inside a decider of that session), `corrupt`.
    pub fn begin(&self, token: &str, options: BeginOptions) -> Result<Begin> {
        self.0.engine().begin(token, options)
    }
    /// As [`begin`](Self::begin), never blocking.
    pub fn begin_async(&self, token: &str, options: BeginOptions, then: Then<Begin>) {
        self.0.engine().begin_async(token, options, then);
    }
    /// Uses a session without a request: moves its idle deadline (`activity`), or only looks.
    pub fn touch(&self, token: &str, kind: TouchKind) -> Result<Touched> {
        self.0.engine().touch(token, kind)
    }
    /// The session's public id, if this token opens a live one: a peek.
    pub fn id_of(&self, token: &str) -> Result<Option<SessionId>> {
        self.0.engine().id_of(token)
    }
    /// Ends a session by its public id, from any thread; never waits for requests in flight.
    pub fn end(&self, id: SessionId, options: EndOptions) -> Result<EndOutcome> {
        self.0.engine().end(id, options)
    }
    /// As [`end`](Self::end); with level `request` asynchronous `on_expiring` callbacks are awaited. A wait for the callbacks is a
    /// thread of the manager's own, and is over when the manager is closed or dropped.
    pub fn end_async(&self, id: SessionId, options: EndOptions, then: Then<EndOutcome>) {
        self.0.engine().end_with(Wait::Async, id, options, then);
    }
    /// Ends what matches, at most `limit` sessions looked at in this call, from `cursor` on (0 to begin). Applications that are protected are spared.
    pub fn end_where(&self, filter: &Filter, options: EndOptions, cursor: u64, limit: usize) -> Result<Progress> {
        self.0.engine().end_where(filter, &options, cursor, limit)
    }
    /// Sets the idle timeout of one session by its public id. `Ok(false)` if it is not live.
    pub fn set_idle_timeout(&self, id: SessionId, timeout: Option<Duration>) -> Result<bool> {
        check_timeout("idle_timeout", timeout)?;
        let Some(session) = self.0.engine().live(id)? else { return Ok(false) };
        done(self.0.engine().table.set_timeouts(self.0.engine().at(), session, Some(timeout_ms(timeout)), None))
    }
    /// Sets the absolute timeout, only earlier. `Ok(false)` if it is not live.
    pub fn set_absolute_timeout(&self, id: SessionId, timeout: Duration) -> Result<bool> {
        check_timeout("absolute_timeout", Some(timeout))?;
        let Some(session) = self.0.engine().live(id)? else { return Ok(false) };
        done(self.0.engine().table.set_timeouts(self.0.engine().at(), session, None, Some(timeout_ms(Some(timeout)))))
    }
    /// Sets the idle timeout of all that match, paced as [`end_where`](Self::end_where).
    pub fn set_idle_timeout_where(
        &self,
        filter: &Filter,
        timeout: Option<Duration>,
        cursor: u64,
        limit: usize,
    ) -> Result<Progress> {
        check_timeout("idle_timeout", timeout)?;
        let idle = timeout_ms(timeout);
        self.0.engine().change_where(filter, cursor, limit, false, |session| {
            let set = self.0.engine().table.set_timeouts(self.0.engine().at(), session, Some(idle), None).look()?;
            Ok(matches!(set, Some(Ok(()))))
        })
    }
    // --- event classes ---
    /// Registers an event class in this process. Errors: `exists`, `invalid`.
    pub fn register(&self, class: EventClass) -> Result<()> {
        self.0.register(class)
    }
    /// Unregisters; returns when none of its callbacks runs any more; tells whether it was there. Errors: `reentrant` inside one of its callbacks.
    pub fn unregister(&self, name: &str, namespace: &str) -> Result<bool> {
        self.0.unregister(name, namespace)
    }
    /// Sets who tells the groups of a user in this process, or takes it away with `None`; the one before, if any, does not run
    /// any more when this returns. A closure will do: `Arc::new(|user: &str| Ok(vec![..]))`.
    ///
    /// It is asked by a login (after `on_login`), a trade and the taking of a feature that no groups were given with, and only
    /// where the rules of the pool name groups; never by a logout or an end. It is asked before the atomic step, under no lock,
    /// as a deciding callback is: within the manager's callback deadline, contained, with a breaker, in the same place. Its
    /// answer (at most 256 groups, each 1 to 256 bytes) counts for this one step. If it fails, is late or answers something
    /// else, the call is `denied` and nothing changed; an asynchronous one that a synchronous call asks is `async_required`.
    ///
    /// Errors: `reentrant` inside of it.
    pub fn set_group_resolver(&self, resolver: Option<Arc<dyn GroupResolver>>) -> Result<()> {
        self.0.set_group_resolver(resolver)
    }
    // --- seeing and mending ---
    /// Live sessions. O(1).
    pub fn count(&self) -> Result<u64> {
        self.0.engine().enter()?;
        Ok(self.0.engine().table.count())
    }
    /// A page of live sessions from `cursor` on (0 to begin), at most `limit` (1 to 10,000).
    pub fn list(&self, filter: &Filter, cursor: u64, limit: usize) -> Result<Page> {
        self.0.engine().list(filter, cursor, limit)
    }
    /// Everything about one session, live or ended; `None` if unknown.
    pub fn explain(&self, id: SessionId) -> Result<Option<Explain>> {
        self.0.engine().explain(id)
    }
    /// Why a holder has units of a pool, and when they come back; `None` if it has none. Looks at all sessions. Errors:
    /// `invalid` for an unknown pool.
    pub fn explain_unit(&self, pool: &str, holder: &str) -> Result<Option<UnitExplain>> {
        self.0.engine().explain_unit(pool, holder)
    }
    /// Counters and health.
    pub fn stats(&self) -> Result<Stats> {
        self.0.engine().stats()
    }
    /// Recounts everything; each violation of an invariant in words. Always empty.
    pub fn check(&self) -> Result<Vec<String>> {
        self.0.engine().enter()?;
        self.0.engine().table.check(self.0.engine().at())
    }
    /// The use of a pool. Errors: `invalid` names an unknown pool.
    pub fn usage(&self, pool: &str) -> Result<Usage> {
        self.0.engine().enter()?;
        self.0.engine().table.usage(self.0.engine().at(), self.0.engine().pool(pool)?)
    }
    /// The pools' names.
    pub fn pools(&self) -> Result<Vec<Arc<str>>> {
        self.0.engine().enter()?;
        Ok(self.0.engine().config.pools.iter().map(|pool| pool.name.as_str().into()).collect())
    }
    /// The definition of a pool that is in force: on a table of several processes the same for all. Errors: `invalid` names
    /// an unknown pool.
    pub fn pool(&self, pool: &str) -> Result<Pool> {
        self.0.engine().pool_in_force(pool)
    }
    /// Changes a pool while it runs, for all processes: `change` gets the definition in force and is called again if another
    /// change comes first; `actor` (at most 256 bytes) is told in the accounts and the log. Answers the definition in force
    /// from now on.
    ///
    /// Nothing is taken from who has it: units beyond a lowered capacity drain (`excess` in the usage), what lingers keeps its
    /// time, and reserved units that are held count for the reservation of the same members, if there still is one. Levels
    /// that the change alters are told at once.
    ///
    /// Errors: `invalid` for an unknown pool, what an option does not take, another name; and for `unit_rule`,
    /// `max_connections` and `holder_per_client` where units that are held would count otherwise. Then nothing changed.
    pub fn change_pool(
        &self,
        pool: &str,
        change: impl Fn(&mut Pool) -> Result<()>,
        actor: Option<&str>,
    ) -> Result<Pool> {
        self.0.engine().change_pool(pool, &change, actor)
    }
    /// Where the definitions in force are others than those that this manager was opened with.
    pub fn pool_differences(&self) -> Result<Vec<PoolDifference>> {
        self.0.engine().pool_differences()
    }
    /// The most units of a pool in use since this reader reset its mark, ever if it did not, and when that was: wall time,
    /// milliseconds since 1970. A reader is a name of 1 to 64 bytes.
    pub fn high_water(&self, pool: &str, reader: &str) -> Result<(u64, i64)> {
        self.0.engine().high_water(pool, reader)
    }
    /// Has a reader's mark begin anew with what is in use now; those of others, and the one of all times in the usage, stay.
    /// Errors: `invalid` if 64 other readers have marks.
    pub fn reset_high_water(&self, pool: &str, reader: &str) -> Result<()> {
        self.0.engine().reset_high_water(pool, reader)
    }
    /// Forgets a reader's mark; tells whether there was one.
    pub fn forget_high_water(&self, pool: &str, reader: &str) -> Result<bool> {
        self.0.engine().forget_high_water(pool, reader)
    }
    /// Accounts of a pool after a position as lines of JSON, at most `limit` (1 to 10,000).
    pub fn export_accounts(&self, pool: &str, after: u64, limit: usize) -> Result<Accounts> {
        self.0.engine().export_accounts(pool, after, limit)
    }
    /// A recount of a pool from first principles beside its counters.
    pub fn audit(&self, pool: &str) -> Result<Audit> {
        self.0.engine().enter()?;
        self.0.engine().table.recount(self.0.engine().at(), self.0.engine().pool(pool)?)
    }
    /// Those who wait for units of a pool after the first `skip`, of all processes, in the order of their turns, at most `limit` (1 or
    /// more).
    pub fn queue(&self, pool: &str, skip: usize, limit: usize) -> Result<Vec<Waiter>> {
        self.0.engine().queue(self.0.engine().pool(pool)?, skip, limit)
    }
    /// Accounts of a pool after a position, at most `limit` (1 or more).
    pub fn audit_records(&self, pool: &str, after: u64, limit: usize) -> Result<Vec<AuditRecord>> {
        self.0.engine().audit_records(pool, after, limit)
    }
    /// Lifecycle log after a position, at most `limit` (1 or more).
    pub fn lifecycle(&self, after: u64, limit: usize) -> Result<Vec<LogEntry>> {
        self.0.engine().enter_closing().or_else(closed)?;
        check_limit(limit)?;
        self.0.engine().table.lifecycle(after, limit)
    }
    /// Dead letters after a position, at most `limit` (1 or more); on a table of several processes those of all.
    pub fn dead_letters(&self, after: u64, limit: usize) -> Result<Vec<DeadLetter>> {
        self.0.engine().enter_closing().or_else(closed)?;
        check_limit(limit)?;
        self.0.engine().dispatcher.dead_letters(after, limit)
    }
    /// Delivers a dead letter again (`None`: all); tells how many.
    pub fn redeliver(&self, id: Option<u64>) -> Result<usize> {
        self.0.engine().enter()?;
        self.0.engine().dispatcher.redeliver(id)
    }
    // --- running ---
    /// Ends what is due now, in the calling thread; tells how many sessions. For tests and no-thread hosts.
    pub fn reap_now(&self) -> Result<usize> {
        self.0.engine().reap_now()
    }
    /// Waits in real time until every callback is delivered; tells whether that was reached.
    pub fn drain(&self, timeout: Duration) -> Result<bool> {
        self.0.engine().enter()?;
        crate::config::check_duration("timeout", timeout)?;
        Ok(self.0.engine().dispatcher.drain(timeout))
    }
    /// No-thread mode: does what is due and delivers what waits; returns the time until the next thing is due.
    pub fn tick(&self) -> Result<Option<Duration>> {
        self.0.engine().tick()
    }
    /// Poll mode: delivers at most `max` events in the calling thread, waits up to `timeout` for the first. Errors: `reentrant`.
    pub fn dispatch(&self, max: usize, timeout: Duration) -> Result<usize> {
        self.0.engine().enter()?;
        crate::config::check_duration("timeout", timeout)?;
        self.0.engine().dispatcher.dispatch(max, timeout)
    }
    /// Poll mode: called when there is something to dispatch.
    pub fn set_wake(&self, wake: Option<Arc<dyn Fn() + Send + Sync>>) -> Result<()> {
        self.0.engine().enter()?;
        self.0.engine().dispatcher.set_wake(wake);
        Ok(())
    }
    /// For tests (manual clock, or `debug`): makes a session's data unreadable. `Ok(false)` if it is not live.
    pub fn damage(&self, id: SessionId) -> Result<bool> {
        self.0.engine().for_tests("damage")?;
        self.0.engine().live(id)?.map_or(Ok(false), |session| self.0.engine().table.damage(session))
    }
    /// For tests (manual clock, or `debug`): stalls the reaper thread until `false`; the watchdog must see it.
    pub fn stall_reaper(&self, stall: bool) -> Result<()> {
        self.0.engine().for_tests("stall_reaper")?;
        self.0.engine().reaper.stall(stall);
        Ok(())
    }
    /// Ends every session with `shutdown`, delivers callbacks within `grace`, stops the threads. On a table that other
    /// processes share no session ends: this manager's requests, locks and claims are given back, and callbacks that are
    /// not delivered within the grace are left to the others. A second close returns the first one's report. Inside a
    /// callback it is deferred.
    pub fn close(&self, grace: Duration) -> CloseReport {
        self.0.close(grace)
    }
    /// Whether other processes share its table: then its sessions outlive it, and in the child of a fork it opens again by
    /// itself.
    pub fn is_shared(&self) -> bool {
        self.0.is_shared()
    }
    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}

/// Whether something was done to a session: not if it is not live.
fn done(found: Found<Result<()>>) -> Result<bool> {
    match found.look()? {
        Some(done) => done.map(|()| true),
        None => Ok(false),
    }
}

/// What happened stays readable after the close.
fn closed(error: Error) -> Result<()> {
    if error.kind() == ErrorKind::Closed { Ok(()) } else { Err(error) }
}
