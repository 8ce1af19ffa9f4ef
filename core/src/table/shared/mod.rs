//! The table of one machine: many processes, one directory, no server.
//!
//! What must be true is in the *books* (`store.lsdb`, SQLite): a session is there from the commit of its creation to that
//! of its end. What must be fast is in the *hot files*, which every process maps: a slot for each session, the same as in
//! memory, and the requests in flight. They are a cache: each change is first committed to the books and then told by the
//! slot, and a slot that a process left half-way says "ask the books" ([`ASK`](super::slot::ASK)).
//!
//! Lock order: the writer's word (one for the machine), then a slot's word, then the leaves of this process. Who holds a
//! slot and finds that the books must change lets go of it, takes the writer's word and looks again. No lock is held
//! across a wake-up or a callback; a lock whose owner died is taken over, and what it guarded is mended.

mod along;
mod back;
#[allow(dead_code, unused_imports)]
mod books;
mod cache;
mod change;
mod crowd;
mod dead;
mod denials;
mod directory;
mod disk;
mod due;
mod features;
mod guest;
mod keeper;
mod keys;
mod layout;
mod letters;
mod licensed;
mod life;
mod line;
mod locks;
mod look;
mod map;
#[cfg(target_os = "linux")]
mod network;
mod open;
mod outbox;
mod patience;
mod pools;
mod processes;
mod queue;
mod repair;
mod requests;
mod shut;
mod slots;
#[cfg(test)]
mod spread;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod values;
mod visit;
mod waiters;
mod word;
mod writer;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Weak};

use self::books::Books;
use self::cache::Cache;
use self::disk::Disk;
use self::due::Filed;
use self::keeper::Keeper;
use self::keys::Keys;
use self::layout::Participant;
use self::line::Line;
use self::map::Map;
use self::outbox::Attached;
use self::processes::Processes;
use self::visit::{Name, live};
use self::waiters::Waiters;
use self::writer::Writer;
use super::due::Lateness;
use super::slot::Place;
use super::*;
use crate::clock::Clock;
use crate::config::Pool;
use crate::event::ThreadHooks;
use crate::license::crowd::Candidates;
use crate::reason::ThreadKind;
use crate::session::Receipt;
use crate::store::Durability;
use crate::sync::Mutex;

/// Lines of a trace.
const MAX_TRACE: usize = 64;
/// Request records that a process takes at once.
const RECORDS_AT_ONCE: u32 = 64;

/// How the table of a directory is opened, beside what every table needs.
pub struct SharedOptions {
    /// What is on the disk before a creation or a change returns.
    pub durability: Durability,
    /// The clock: the manual one of tests, or the system's, which then goes on where the store's time is.
    pub clock: Clock,
    /// Whether this process has a thread of its own that keeps the store in order.
    pub threads: bool,
    /// Around the start of that thread.
    pub hooks: Option<Arc<dyn ThreadHooks>>,
    /// Language and version, for people: at most 64 bytes are kept.
    pub label: String,
    /// How many dead letters are kept, and of how many bytes of snapshots.
    pub dead_letters: (usize, usize),
    /// What the store keeps of the configuration, for those that open it by what it says itself.
    pub kept: String,
    /// Whether this is one of those: it looks and ends, and leaves to the others what falls due.
    pub guest: bool,
}

/// The sessions of all processes of a machine that name one directory.
pub struct SharedTable {
    config: TableConfig,
    options: SharedOptions,
    clock: Clock,
    keys: Keys,
    /// This process (this manager) among all.
    me: u32,
    instance: u64,
    /// Most tombstones.
    graves: u64,
    map: Arc<Map>,
    books: Books,
    processes: Arc<Processes>,
    cache: Cache,
    filed: Mutex<Filed>,
    keeper: Keeper,
    local: Local,
    line: Line,
    disk: Arc<Disk>,
    shutting: AtomicBool,
    closed: AtomicBool,
    weak: Weak<SharedTable>,
}

/// What is this process's own.
#[derive(Default)]
struct Local {
    slots: Mutex<Vec<u32>>,
    records: Mutex<Records>,
    /// Slots whose deadline is to be written through.
    unsaved: Mutex<Vec<u32>>,
    /// Lines of traces: slot, generation, line.
    traces: Mutex<Vec<(u32, u64, String)>>,
    /// Slots whose data can't be read, and why: to be put into quarantine.
    spoiled: Mutex<Vec<(u32, String)>>,
    /// Something went that was charged: the units are to be counted again.
    recount: AtomicBool,
    /// When the books were last told the time.
    told_time: AtomicU64,
    waiters: Mutex<Waiters>,
    /// How those are woken who wait here for units, by pool and place.
    wakes: Mutex<HashMap<(u32, u64), Wake>>,
    /// Participants that are to be rung once the step is done.
    called: Mutex<Vec<u32>>,
    /// The mark of the last look for who is called here.
    seen_called: AtomicU64,
    watches: AtomicU64,
    bell: Mutex<Option<Wake>>,
    levels: Mutex<Vec<(u32, PoolLevel, u64)>>,
    soon: back::Soon,
    /// The pools that were full when this process last asked for a unit. Only for who has the writer's word.
    full: Mutex<HashMap<u32, denials::Known>>,
    /// The definitions of the pools, as this process saw them last.
    pools: Mutex<Vec<Arc<PoolInForce>>>,
    /// The event classes that this process calls back for.
    classes: Mutex<Vec<ClassRef>>,
    attached: Mutex<HashMap<u64, Attached>>,
    /// What the outbox offered when there was nothing for this process, and when to look again.
    offered: Mutex<(u64, Millis)>,
    /// Rows that carry native objects only.
    rows: Mutex<VecDeque<OutboxRow>>,
    lateness: Lateness,
    /// Sessions of each pool that would have to go first for others. Only for who has the writer's word.
    candidates: Mutex<Vec<Candidates>>,
    /// The keeper knows that there is something to be synced.
    due: AtomicBool,
    /// When this process last looked for events that nobody takes.
    looked_for_old: AtomicU64,
    /// When this process last looked for what the reaper left.
    looked: AtomicU64,
}

/// The request records of this process.
#[derive(Default)]
struct Records {
    own: Vec<u32>,
    free: Vec<u32>,
}

impl Times for SharedTable {
    fn config(&self) -> &TableConfig {
        &self.config
    }
}

impl SharedTable {
    /// The clock that engine time is read from.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    fn at(&self) -> At {
        let (now, wall) = self.clock.both();
        At { now, wall }
    }

    fn participant(&self, number: u32) -> &Participant {
        let participants = &self.map.head().participants;
        &participants[(number as usize).saturating_sub(1).min(participants.len() - 1)]
    }

    fn application(&self, number: u32) -> &ApplicationRule {
        let applications = &self.config.applications;
        &applications[(number as usize).min(applications.len() - 1)]
    }

    /// Adds to the commit log.
    fn log(
        &self,
        ledger: &mut books::Ledger<'_>,
        at: Millis,
        session: SessionId,
        what: &'static str,
        detail: &str,
    ) -> Result<()> {
        if self.config.lifecycle_log == 0 {
            return Ok(());
        }
        ledger.add_log(at, session, what, detail, self.config.lifecycle_log)
    }

    /// Somebody used a token after its grace: it may be stolen. No slot is held.
    fn note_replaced(&self, at: At, session: SessionId) {
        self.map.head().counters.replaced_uses.fetch_add(1, Relaxed);
        ::log::warn!(target: "libsession", "session {session}: a token was used after it had been replaced");
        self.note(at, session, "replaced_token_used", "");
    }

    fn find_receipt(&self, at: At, id: SessionId) -> Result<Option<Receipt>> {
        let place = self.keys.place_of_id(id);
        let grave = self.books.glance(|pages| pages.grave(place.locator()))?;
        let grave = grave.filter(|grave| grave.id == id && grave.until > at.now.ms);
        Ok(grave.map(|grave| grave.receipt(self.application(grave.application).name.clone())))
    }
}

impl Drop for SharedTable {
    fn drop(&mut self) {
        self.shut();
    }
}

impl Table for SharedTable {
    fn draft(&self) -> Result<Draft> {
        self.make_draft()
    }

    fn abandon(&self, draft: &Draft) {
        self.abandon_draft(draft);
    }

    fn create(
        &self,
        at: At,
        draft: &Draft,
        new: &mut NewSession,
    ) -> Result<std::result::Result<Option<RequestKey>, Refused>> {
        self.make(at, draft, new)
    }

    fn touch(&self, at: At, token: &Token, kind: TouchKind) -> Found<(SessionRef, Millis)> {
        self.touch_token(at, token, kind)
    }

    fn begin(&self, at: At, token: &Token, spec: &BeginSpec) -> Found<Began> {
        self.start_keeper();
        self.begin_request(at, token, spec)
    }

    fn finish(&self, at: At, request: &RequestKey, writes: &Writes) -> Found<Finished> {
        self.finish_request(at, request, writes)
    }

    fn save(&self, at: At, request: &RequestKey, writes: &Writes) -> Found<Result<()>> {
        self.save_writes(at, request, writes)
    }

    fn compare_and_set(
        &self,
        at: At,
        request: &RequestKey,
        path: &[crate::data::Subscript],
        expected: Option<&Value>,
        new: Option<Value>,
    ) -> Found<Result<()>> {
        self.swap_value(at, request, path, expected, new)
    }

    fn read(&self, at: At, request: &RequestKey, look: &mut dyn FnMut(&Tree)) -> Found<Result<()>> {
        self.read_data(at, request, look)
    }

    fn lock(&self, at: At, request: &RequestKey, mode: LockMode) -> Found<std::result::Result<(), String>> {
        self.lock_request(at, request, mode)
    }

    fn unlock(&self, at: At, request: &RequestKey) -> Found<Option<LockMode>> {
        self.unlock_request(at, request)
    }

    fn lock_of(&self, at: At, request: &RequestKey) -> Found<Option<LockMode>> {
        self.request_lock(at, request)
    }

    fn watch(&self, waiter: &RequestKey, mode: LockMode, wake: Wake) -> Option<u64> {
        self.watch_lock(waiter, mode, wake)
    }

    fn unwatch(&self, session: SessionRef, watch: u64) {
        self.forget_waiter(Place::from_locator(session.place).index, watch);
    }

    fn set_timeouts(
        &self,
        at: At,
        session: SessionRef,
        idle: Option<Millis>,
        absolute: Option<Millis>,
    ) -> Found<Result<()>> {
        self.change_timeouts(at, session, idle, absolute)
    }

    fn change_classes(&self, at: At, session: SessionRef, change: ClassChange) -> Found<bool> {
        self.change_list(at, session, change)
    }

    fn change_application(
        &self,
        at: At,
        session: SessionRef,
        from: u32,
        to: u32,
        idle: Option<(Millis, Millis)>,
        classes: &[ClassRef],
    ) -> Found<bool> {
        self.move_session(at, session, (from, to), idle, classes)
    }

    fn change_holder(
        &self,
        at: At,
        session: SessionRef,
        change: &HolderChange,
    ) -> Found<Result<HolderChanged, ChangeRefused>> {
        self.trade(at, session, change)
    }

    fn take_feature(&self, at: At, session: SessionRef, take: &Take) -> Found<Result<(), TakeRefused>> {
        self.take(at, session, take)
    }

    fn return_feature(&self, at: At, session: SessionRef, pool: u32, count: u64) -> Found<u64> {
        self.return_taken(at, session, pool, count)
    }

    fn join_queue(&self, at: At, waiter: &NewWaiter, wake: Wake) -> Result<std::result::Result<u64, DenyReason>> {
        self.wait_in_queue(at, waiter, wake)
    }

    fn leave_queue(&self, at: At, pool: u32, place: u64, how: Leaving) -> Result<bool> {
        self.stop_waiting(at, pool, place, how)
    }

    fn waited(&self, pool: u32, place: u64) {
        self.forget_wake(pool, place);
    }

    fn position(&self, pool: u32, place: u64) -> Result<Option<u64>> {
        self.books.read(|pages| pages.position(pool, place))
    }

    fn queue(&self, pool: u32, skip: usize, limit: usize) -> Result<Vec<Waiting>> {
        let waiters = self.books.read(|pages| pages.waiters(pool, skip, limit))?;
        let process = |number| self.participant(number).pid.load(Relaxed);
        Ok(waiters
            .into_iter()
            .map(|waiter| (process(waiter.owner.0), waiter))
            .map(|(pid, waiter)| waiter.listed(pid))
            .collect())
    }

    fn call_waiters(&self) {
        self.wake_called();
    }

    fn request_end(&self, at: At, session: SessionRef, end: bool) -> Found<()> {
        let visit = live!(self.visit(at, Name::Session(session), ThreadKind::Request));
        visit.held.mark(layout::flags::END_REQUESTED, end);
        if !end {
            visit.held.mark(layout::flags::ENDING, false);
        }
        self.local.soon.forget();
        Found::Live(())
    }

    fn end(&self, at: At, session: SessionRef, spec: &EndSpec) -> Ended {
        self.end_session(at, session, spec)
    }

    fn find_token(&self, at: At, token: &Token) -> Found<SessionRef> {
        self.visit(at, Name::Token(token), ThreadKind::Request).map_live(|visit| visit.session)
    }

    fn find(&self, at: At, id: SessionId) -> Found<SessionRef> {
        let session = SessionRef { id, place: self.keys.place_of_id(id).locator() };
        self.visit(at, Name::Session(session), ThreadKind::Admin).map_live(|visit| visit.session)
    }

    fn receipt(&self, at: At, id: SessionId) -> Result<Option<Receipt>> {
        self.find_receipt(at, id)
    }

    fn card(&self, at: At, session: SessionRef) -> Found<Card> {
        self.card_of(at, session)
    }

    fn claim_due(&self, at: At, limit: usize) -> Result<Claim> {
        self.claim(at, limit)
    }

    fn next_due(&self, now: Now) -> Option<Millis> {
        self.next_claim(now)
    }

    fn set_bell(&self, bell: Option<Wake>) {
        *self.local.bell.lock() = bell;
    }

    fn extend(
        &self,
        at: At,
        session: SessionRef,
        deadline: Millis,
        class: &ClassRef,
        by: Millis,
    ) -> Found<Option<Millis>> {
        self.grant(at, session, deadline, class, by)
    }

    fn mark_told(&self, session: SessionRef, class: &ClassRef) {
        self.note_told(self.at(), session, class);
    }

    fn list(&self, at: At, filter: &Filter, cursor: u64, limit: usize, scan: usize) -> Result<Listed> {
        self.page(at, filter, cursor, limit, scan)
    }

    fn look(&self, at: At, session: SessionRef) -> Found<(SessionInfo, Details)> {
        self.look_at(at, session)
    }

    fn count(&self) -> u64 {
        self.after_dead_writer();
        self.map.head().counters.live.load(Relaxed)
    }

    fn usage(&self, at: At, pool: u32) -> Result<Usage> {
        self.pool_usage(at, pool)
    }

    fn pool_state(&self, pool: u32) -> Result<(u64, u64)> {
        self.books.glance(|pages| {
            let totals = pages.pool(pool)?;
            Ok((totals.in_use, self.defined(pages, pool, totals.revision)?.rules.capacity))
        })
    }

    fn pool(&self, pool: u32) -> Result<Arc<PoolInForce>> {
        self.pool_in_force(pool)
    }

    fn known_pool(&self, pool: u32) -> Arc<PoolInForce> {
        self.seen(pool)
    }

    fn change_pool(
        &self,
        at: At,
        pool: u32,
        revision: u64,
        to: &Pool,
        actor: Option<&str>,
    ) -> Result<std::result::Result<(), PoolUnchanged>> {
        self.redefine_pool(at, pool, revision, to, actor)
    }

    fn unit_back(&self, at: At, pool: u32, refusal: &Refusal) -> Result<Option<Millis>> {
        self.comes_back(at, pool, refusal)
    }

    fn holder(&self, pool: u32, name: &Arc<str>) -> Result<Option<UserHolder>> {
        self.books.glance(|pages| pages.holder(pool, name))
    }

    fn high_water(&self, pool: u32, reader: &str) -> Result<(u64, i64)> {
        self.books.glance(|pages| pages.high_water(pool, reader))
    }

    fn reset_high_water(&self, at: At, pool: u32, reader: &str) -> Result<bool> {
        let writer = self.writer()?;
        let reset = writer.commit(|ledger| ledger.reset_high_water(pool, reader, at.wall));
        self.done(writer, false)?;
        reset
    }

    fn forget_high_water(&self, pool: u32, reader: &str) -> Result<bool> {
        let writer = self.writer()?;
        let forgotten = writer.commit(|ledger| ledger.forget_high_water(pool, reader));
        self.done(writer, false)?;
        forgotten
    }

    fn recount(&self, _at: At, pool: u32) -> Result<Audit> {
        self.audit_pool(pool)
    }

    fn audit_records(&self, pool: u32, after: u64, limit: usize) -> Result<Vec<AuditRecord>> {
        self.accounts_of(pool, after, limit)
    }

    fn take_pool_levels(&self) -> Vec<(u32, PoolLevel, u64)> {
        std::mem::take(&mut *self.local.levels.lock())
    }

    fn outbox_take(&self, limit: usize) -> Result<Vec<OutboxRow>> {
        self.take_rows(limit)
    }

    fn outbox_acknowledge(&self, event_id: u64) -> Result<()> {
        self.acknowledge(event_id)
    }

    fn lifecycle(&self, after: u64, limit: usize) -> Result<Vec<LogEntry>> {
        self.log_after(after, limit)
    }

    fn note(&self, at: At, session: SessionId, what: &'static str, detail: &str) {
        let _less = patience::Less::is_tried_again();
        let noted = self.writer().and_then(|writer| {
            let noted = writer.commit(|ledger| self.log(ledger, at.now.ms, session, what, detail));
            self.done(writer, false).and(noted)
        });
        if let Err(error) = noted {
            ::log::warn!(target: "libsession", "session {session}: '{what}' is not in the log: {}", error.message());
        }
    }

    fn check(&self, at: At) -> Result<Vec<String>> {
        self.violations(at)
    }

    fn stats(&self) -> TableStats {
        self.table_stats()
    }

    fn attach(&self, session: SessionRef, name: &str, object: Option<Attachment>) -> Found<Option<Attachment>> {
        let visit = live!(self.visit(self.at(), Name::Session(session), ThreadKind::Request));
        Found::Live(self.keep_object(&visit.held, name, object))
    }

    fn attachment(&self, session: SessionRef, name: &str) -> Found<Option<Attachment>> {
        let visit = live!(self.visit(self.at(), Name::Session(session), ThreadKind::Request));
        Found::Live(self.object(visit.session, name))
    }

    fn damage(&self, session: SessionRef) -> Result<bool> {
        self.spoil(self.at(), session)
    }

    fn listens(&self, class: &ClassRef, on: bool) -> Result<()> {
        self.listen(class, on)
    }

    fn outlives(&self) -> bool {
        true
    }

    fn close(&self) -> u64 {
        self.shut()
    }

    fn telling(&self, event_id: u64) -> Result<Vec<(ClassRef, u32)>> {
        let claims = self.books.glance(|pages| pages.outbox_claims(event_id))?;
        let process = |number| if number == 0 { 0 } else { self.participant(number).pid.load(Relaxed) };
        Ok(claims.into_iter().map(|(number, class)| (class, process(number))).collect())
    }

    fn unsettled(&self) -> Result<u64> {
        self.books.glance(|pages| pages.outbox_count())
    }
}
