//! The books of one pool: counters, holders and records under one lock, exact at every instant.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::sync::Mutex;

use super::audit::{AuditKind, AuditRecord, AuditWhy, Usage};
use super::back::{Ending, LOOKED_AT, Outlook};
use super::books::{AuditEntry, Ledger, Lingering, MAX_READERS, Mark, Orphan, Totals, UserHolder};
use super::crowd::{Candidates, Crowd, Going, Standing, Victims};
use super::ledger::{self, Demand, Verdict};
use super::line::Line;
use super::queue;
use super::recount::{self, Charged, holder_name};
use super::redefine::{Redefinition, Seats, redefine};
use super::waiter::{Awaits, Lane, Waiter};
use crate::clock::Millis;
use crate::config::Pool;
use crate::id::SessionId;
use crate::reason::{DenyReason, LicenseClass};
use crate::table::{
    At, Charge, Holder, Leaving, PoolDefinition, PoolInForce, PoolLevel, PoolUnchanged, SessionRef, Taken, Wake,
};

/// One pool's books.
pub(crate) struct Account {
    state: Mutex<Running>,
    /// Somebody's turn has come.
    called: AtomicBool,
    /// One recount at a time.
    recounting: Mutex<()>,
}

/// The books and what they go by.
struct Running {
    defined: Arc<PoolInForce>,
    books: State,
}

/// The books themselves.
#[derive(Default)]
pub(crate) struct State {
    totals: Totals,
    users: HashMap<Arc<str>, UserHolder>,
    /// Anonymous sessions of each client, where those are bounded.
    clients: HashMap<Arc<str>, u64>,
    /// Users with lingering units, by when those are free.
    fading: BTreeSet<(Millis, Arc<str>)>,
    /// The same, by when they took a unit last.
    longest: BTreeSet<(Millis, Arc<str>)>,
    /// Units that outlive their sessions, by when they are free.
    orphans: BTreeMap<(Millis, u64), Orphan>,
    /// Who waits.
    line: Line,
    /// When there is more to do than to free what lingers.
    ripe: Option<Millis>,
    /// Numbers of those so far: they are free in the order in which they began to linger.
    orphaned: u64,
    seq: u64,
    /// The most records that are kept.
    keep: usize,
    records: VecDeque<Record>,
    levels: Vec<(PoolLevel, u64)>,
    marks: Vec<Mark>,
    /// While a recount runs: what became of sessions since.
    moved: Option<Moved>,
    /// Where each user's sessions are, in pools that may end them for others.
    places: Option<Places>,
    candidates: Candidates,
}

/// Where each user's sessions are.
#[derive(Default)]
struct Places {
    users: HashMap<Arc<str>, Vec<u64>>,
    /// While they are not all known: those that moved meanwhile.
    moved: Option<HashSet<u64>>,
}

impl Places {
    /// Of a pool without sessions.
    fn whole() -> Self {
        Self::default()
    }

    fn add(&mut self, user: &Arc<str>, place: u64) {
        self.users.entry(user.clone()).or_default().push(place);
    }

    fn remove(&mut self, user: &Arc<str>, place: u64) {
        if let Some(known) = self.users.get_mut(user) {
            known.retain(|other| *other != place);
            if known.is_empty() {
                self.users.remove(user);
            }
        }
    }
}

/// What became of a demand.
pub(crate) struct Decided {
    /// Whether it was met.
    pub verdict: Verdict,
    /// Sessions that have to go for it, and are charged no more.
    pub going: Vec<Going>,
    /// It was not met because somebody was at a session; to be made again.
    pub again: bool,
}

/// What became of sessions since a recount began.
#[derive(Default)]
struct Moved {
    /// How it is charged for its license.
    licenses: HashMap<SessionId, Option<Charge>>,
    /// Who is charged for what it took, for how many connections.
    takes: HashMap<SessionId, Vec<(Holder, u64)>>,
}

/// What a change of a pool's definition did.
pub(crate) struct Defined {
    /// The one before.
    pub from: Arc<PoolInForce>,
    /// The one in force.
    pub to: Arc<PoolInForce>,
    /// When the first lingering unit is free.
    pub next: Option<Millis>,
}

struct Record {
    at: Millis,
    kind: AuditKind,
    session: SessionId,
    holder: Holder,
    before: u64,
    after: u64,
    reason: Option<DenyReason>,
    why: AuditWhy,
}

/// Changes of level that wait to be told.
const MAX_LEVELS: usize = 1024;

impl State {
    fn next_free(&self) -> Option<Millis> {
        let user = self.fading.first().map(|(until, _)| *until);
        let orphan = self.orphans.first_key_value().map(|((until, _), _)| *until);
        let lapse = self.line.first_lapse().map(|(until, _)| until);
        user.into_iter().chain(orphan).chain(lapse).chain(self.ripe).min()
    }

    /// Where the sessions of a user are; `None` if that is not known yet.
    pub fn places_of(&self, user: &Arc<str>) -> Option<Vec<u64>> {
        let places = self.places.as_ref().filter(|places| places.moved.is_none())?;
        Some(places.users.get(user).cloned().unwrap_or_default())
    }

    fn moves(&mut self, session: SessionRef, from: Option<&Charge>, to: Option<&Charge>) {
        self.note_move(session.id, to);
        let Some(places) = &mut self.places else { return };
        if let Some(moved) = &mut places.moved {
            moved.insert(session.place);
        }
        if let Some(Charge { holder: Holder::User(user), .. }) = from {
            places.remove(user, session.place);
        }
        if let Some(Charge { holder: Holder::User(user), .. }) = to {
            places.add(user, session.place);
        }
    }

    /// Makes a demand; `crowd` are the sessions that may have to go for it, and whether this is the last time that it is made.
    fn demand(
        &mut self,
        rules: &PoolDefinition,
        session: SessionRef,
        (crowd, last): (&mut dyn Crowd<Self>, bool),
        demand: impl FnOnce(&mut Self, &mut Victims<'_, Self>) -> Verdict,
    ) -> Decided {
        if !rules.may_evict() {
            return Decided { verdict: demand(self, &mut Victims::none()), going: Vec::new(), again: false };
        }
        let mut candidates = std::mem::take(&mut self.candidates);
        let mut victims = Victims::among(crowd, &mut candidates, session.place, last);
        let verdict = demand(self, &mut victims);
        let again = verdict.is_err() && victims.again();
        let going = if verdict.is_ok() { victims.taken() } else { Vec::new() };
        self.candidates = candidates;
        for Going { member, .. } in &going {
            let gone = SessionRef { id: member.session, place: member.standing.place };
            self.moves(gone, Some(&member.charge), None);
        }
        Decided { verdict, going, again }
    }

    fn note_move(&mut self, session: SessionId, charge: Option<&Charge>) {
        if let Some(moved) = &mut self.moved {
            moved.licenses.insert(session, charge.cloned());
        }
    }

    /// What a session took of this pool, as it is after a step.
    fn note_takes(&mut self, session: SessionId, pool: u32, takes: &[Taken]) {
        if let Some(moved) = &mut self.moved {
            let takes = takes.iter().filter(|taken| taken.pool == pool);
            moved.takes.insert(session, takes.map(|taken| (taken.holder.clone(), taken.count)).collect());
        }
    }
}

impl Ledger for State {
    type Error = Infallible;

    fn totals(&mut self) -> &mut Totals {
        &mut self.totals
    }

    fn keep_totals(&mut self) -> Result<(), Infallible> {
        Ok(())
    }

    fn holder(&mut self, user: &Arc<str>) -> Result<Option<UserHolder>, Infallible> {
        Ok(self.users.get(user).copied())
    }

    fn set_holder(&mut self, user: &Arc<str>, holder: Option<UserHolder>) -> Result<(), Infallible> {
        let before = match holder {
            Some(holder) => self.users.insert(user.clone(), holder),
            None => self.users.remove(user),
        };
        let lingers = |holder: &Option<UserHolder>| {
            holder.filter(|holder| holder.lingering > 0).map(|holder| (holder.until, holder.acquired))
        };
        let (before, after) = (lingers(&before), lingers(&holder));
        if before == after {
            return Ok(());
        }
        if let Some((until, acquired)) = before {
            self.fading.remove(&(until, user.clone()));
            self.longest.remove(&(acquired, user.clone()));
        }
        if let Some((until, acquired)) = after {
            self.fading.insert((until, user.clone()));
            self.longest.insert((acquired, user.clone()));
        }
        Ok(())
    }

    fn first_lingering(&mut self) -> Result<Option<(Millis, Lingering)>, Infallible> {
        let user = self.fading.first().map(|(until, user)| (*until, Lingering::User(user.clone())));
        let orphan = self.orphans.first_key_value().map(|((until, _), orphan)| (*until, Lingering::Orphan(*orphan)));
        Ok(match (user, orphan) {
            (Some(user), Some(orphan)) => Some(if orphan.0 < user.0 { orphan } else { user }),
            (user, orphan) => user.or(orphan),
        })
    }

    fn lingering(&mut self, skip: usize, limit: usize) -> Result<Vec<Arc<str>>, Infallible> {
        Ok(self.longest.iter().skip(skip).take(limit).map(|(_, user)| user.clone()).collect())
    }

    fn client(&mut self, client: &str) -> Result<u64, Infallible> {
        Ok(self.clients.get(client).copied().unwrap_or(0))
    }

    fn set_client(&mut self, client: &Arc<str>, sessions: u64) -> Result<(), Infallible> {
        match sessions {
            0 => self.clients.remove(client),
            _ => self.clients.insert(client.clone(), sessions),
        };
        Ok(())
    }

    fn add_orphan(&mut self, orphan: &Orphan) -> Result<(), Infallible> {
        self.orphaned += 1;
        self.orphans.insert((orphan.until, self.orphaned), *orphan);
        Ok(())
    }

    fn remove_orphan(&mut self, orphan: &Orphan) -> Result<(), Infallible> {
        let mut those = self.orphans.range((orphan.until, 0)..=(orphan.until, u64::MAX));
        let key = those.find(|(_, known)| *known == orphan).map(|(key, _)| *key);
        if let Some(key) = key {
            self.orphans.remove(&key);
        }
        Ok(())
    }

    fn add_waiter(&mut self, waiter: &Waiter) -> Result<u64, Infallible> {
        Ok(self.line.add(waiter))
    }

    fn waiter(&mut self, seq: u64) -> Result<Option<Waiter>, Infallible> {
        Ok(self.line.get(seq).cloned())
    }

    fn set_waiter(&mut self, waiter: &Waiter, _before: Awaits) -> Result<(), Infallible> {
        self.line.set(waiter);
        Ok(())
    }

    fn remove_waiter(&mut self, waiter: &Waiter) -> Result<(), Infallible> {
        self.line.remove(waiter.turn.seq);
        Ok(())
    }

    fn lanes(&mut self) -> Result<Vec<Lane>, Infallible> {
        Ok(self.line.lanes())
    }

    fn head(&mut self, lane: Lane) -> Result<Option<Waiter>, Infallible> {
        Ok(self.line.head(lane).cloned())
    }

    fn first_lapse(&mut self) -> Result<Option<(Millis, u64)>, Infallible> {
        Ok(self.line.first_lapse())
    }

    fn call(&mut self, waiter: &Waiter) -> Result<(), Infallible> {
        self.line.call(waiter.turn.seq);
        Ok(())
    }

    #[inline]
    fn record(&mut self, entry: &AuditEntry<'_>) -> Result<(), Infallible> {
        let AuditEntry { at, kind, session, holder, before, after, reason, why } = *entry;
        self.seq += 1;
        if self.records.len() >= self.keep {
            self.records.pop_front();
        }
        self.records.push_back(Record { at, kind, session, holder: holder.clone(), before, after, reason, why });
        Ok(())
    }

    fn users(&mut self) -> Result<Vec<(Arc<str>, UserHolder)>, Infallible> {
        let mut users: Vec<_> = self.users.iter().map(|(user, holder)| (user.clone(), *holder)).collect();
        users.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(users)
    }

    fn reseat(&mut self, seats: &Seats) -> Result<(), Infallible> {
        self.users.values_mut().for_each(|holder| holder.reseat(seats));
        self.line.reseat(seats);
        Ok(())
    }

    fn raise_marks(&mut self, units: u64, wall: i64) -> Result<(), Infallible> {
        for mark in self.marks.iter_mut().filter(|mark| mark.units < units) {
            (mark.units, mark.at) = (units, wall);
        }
        Ok(())
    }

    fn level(&mut self, level: PoolLevel, in_use: u64) -> Result<(), Infallible> {
        if self.levels.len() < MAX_LEVELS {
            self.levels.push((level, in_use));
        }
        Ok(())
    }
}

impl Account {
    pub fn new(pool: Pool) -> Self {
        let defined = Arc::new(PoolInForce::new(pool, 1));
        let places = defined.rules.may_evict().then(Places::whole);
        let books = State { keep: defined.rules.audit_records, places, ..State::default() };
        let state = Mutex::new(Running { defined, books });
        Self { state, called: AtomicBool::new(false), recounting: Mutex::new(()) }
    }

    /// One step under the lock.
    #[inline]
    fn step<T>(&self, work: impl FnOnce(&PoolInForce, &mut State) -> T) -> T {
        let mut state = self.state.lock();
        let Running { defined, books } = &mut *state;
        let done = work(defined, books);
        if books.line.has_called() {
            self.called.store(true, Ordering::Release);
        }
        done
    }

    /// The definition in force.
    pub fn defined(&self) -> Arc<PoolInForce> {
        self.state.lock().defined.clone()
    }

    /// Goes by another definition, if the present one has this number.
    pub fn redefine(&self, at: At, revision: u64, to: Pool, actor: Option<&str>) -> Result<Defined, PoolUnchanged> {
        let mut state = self.state.lock();
        let from = state.defined.clone();
        if from.revision != revision {
            return Err(PoolUnchanged::Redefined);
        }
        let to = Arc::new(PoolInForce::new(to, revision + 1));
        let books = &mut state.books;
        books.keep = to.rules.audit_records;
        let change = Redefinition { from: &from, to: &to, actor, recounted: false };
        let Ok(changed) = redefine(books, at, change);
        match changed {
            Ok(()) => {
                let surplus = books.records.len().saturating_sub(books.keep);
                books.records.drain(..surplus);
                if !to.rules.may_evict() {
                    (books.places, books.candidates) = (None, Candidates::default());
                }
                let next = books.next_free();
                if books.line.has_called() {
                    self.called.store(true, Ordering::Release);
                }
                state.defined = to.clone();
                Ok(Defined { from, to, next })
            }
            Err(why) => {
                books.keep = from.rules.audit_records;
                Err(PoolUnchanged::Held(why))
            }
        }
    }

    /// Learns where each user's sessions are, of a pool whose sessions may have to go from now on: `scan` finds all sessions
    /// that are charged for users.
    pub fn follow(&self, scan: impl FnOnce() -> Vec<(Arc<str>, u64)>) {
        let _one = self.recounting.lock();
        {
            let Running { defined, books } = &mut *self.state.lock();
            if !defined.rules.may_evict() || books.places.as_ref().is_some_and(|places| places.moved.is_none()) {
                return;
            }
            books.places = Some(Places { moved: Some(HashSet::new()), ..Places::default() });
        }
        let found = scan();
        let mut state = self.state.lock();
        if let Some(places) = &mut state.books.places
            && let Some(moved) = places.moved.take()
        {
            for (user, place) in found.iter().filter(|(_, place)| !moved.contains(place)) {
                places.add(user, *place);
            }
        }
    }

    /// Charges one session more that was last used then, or tells why not. `crowd` are the sessions of the pool, of which some
    /// may have to go for it, and whether this is the last time that the demand is made.
    pub fn acquire(
        &self,
        at: At,
        session: SessionRef,
        used: Millis,
        demand: Demand<'_>,
        crowd: (&mut dyn Crowd<State>, bool),
    ) -> Decided {
        self.step(|defined, books| {
            let decided = books.demand(&defined.rules, session, crowd, |books, victims| {
                let Ok(verdict) = ledger::acquire(books, &defined.rules, at, session.id, demand, victims);
                verdict
            });
            if decided.verdict.is_ok() {
                books.moves(session, None, Some(demand.charge));
                let anonymous = demand.charge.class == LicenseClass::Anonymous;
                books.candidates.arrived(anonymous, Standing { used, made: 0, place: session.place });
            }
            decided
        })
    }

    /// Frees what a session was charged that was made then, or lets it linger; tells when the first lingering unit is free.
    pub fn release(&self, at: At, session: SessionRef, charge: &Charge, since: Millis) -> Option<Millis> {
        self.step(|defined, books| {
            let Ok(()) = ledger::release(books, &defined.rules, at, session.id, charge, since);
            books.moves(session, Some(charge), None);
            books.next_free()
        })
    }

    /// Moves a session from one holder to another in one step, or charges one that was not; on a denial nothing changed.
    /// `None` if the pool has another definition than the one that the demand was worked out from.
    pub fn trade(
        &self,
        at: At,
        session: SessionRef,
        from: Option<&Charge>,
        demand: Demand<'_>,
        revision: u64,
        crowd: (&mut dyn Crowd<State>, bool),
    ) -> Option<Decided> {
        self.step(|defined, books| {
            if defined.revision != revision {
                return None;
            }
            let decided = books.demand(&defined.rules, session, crowd, |books, victims| {
                let Ok(verdict) = match from {
                    Some(from) => ledger::trade(books, &defined.rules, at, session.id, from, demand, victims),
                    None => ledger::acquire(books, &defined.rules, at, session.id, demand, victims),
                };
                verdict
            });
            if decided.verdict.is_ok() {
                books.moves(session, from, Some(demand.charge));
                if from.is_none_or(|from| from.class != demand.charge.class) {
                    // Its last use is found out when it is looked at.
                    books.candidates.arrived(false, Standing { used: 0, made: 0, place: session.place });
                }
            }
            Some(decided)
        })
    }

    /// Charges a feature that a session takes, or tells why not; `takes` is told then, and answers all that it has taken.
    /// `None` as in [`trade`](Self::trade).
    pub fn take<'t>(
        &self,
        at: At,
        session: SessionId,
        demand: Demand<'_>,
        revision: u64,
        takes: impl FnOnce() -> &'t [Taken],
    ) -> Option<Verdict> {
        self.step(|defined, books| {
            if defined.revision != revision {
                return None;
            }
            let none = &mut Victims::none();
            let Ok(verdict) = ledger::acquire(books, &defined.rules, at, session, demand, none);
            Some(verdict.inspect(|()| books.note_takes(session, demand.charge.pool, takes())))
        })
    }

    /// Frees what a session took, or lets it linger; `left` is all that it has taken afterwards. Tells when the first
    /// lingering unit is free.
    pub fn give_back(&self, at: At, session: SessionId, taken: &Taken, left: &[Taken]) -> Option<Millis> {
        self.step(|defined, books| {
            let (charge, since) = (taken.charge(), taken.since);
            let Ok(()) = ledger::give_back(books, &defined.rules, at, session, &charge, since, taken.count);
            books.note_takes(session, taken.pool, left);
            books.next_free()
        })
    }

    /// Begins to wait; tells the number of the place, or that the queue is full.
    pub fn join_queue(&self, at: At, waiter: &Waiter, from: Option<&Charge>, wake: Wake) -> Result<u64, DenyReason> {
        self.step(|defined, books| {
            let Ok(joined) = queue::join(books, &defined.rules, at, waiter, from);
            joined.inspect(|seq| {
                books.line.set_wake(*seq, wake);
                let Ok(ripe) = ledger::expire(books, &defined.rules, at);
                books.ripe = ripe;
            })
        })
    }

    /// Stops waiting.
    pub fn leave_queue(&self, at: At, seq: u64, how: Leaving) -> bool {
        self.step(|defined, books| {
            let Ok(left) = queue::leave(books, &defined.rules, at, seq, how);
            left
        })
    }

    /// The wake-ups of those whose turn has come since the last call.
    pub fn take_called(&self) -> Vec<Wake> {
        if !self.called.load(Ordering::Acquire) || !self.called.swap(false, Ordering::AcqRel) {
            return Vec::new();
        }
        self.state.lock().books.line.take_called()
    }

    /// The place of one who waits: how many come first, plus one.
    pub fn position(&self, seq: u64) -> Option<u64> {
        self.state.lock().books.line.position(seq)
    }

    /// Those who wait, in the order of their turns.
    pub fn waiters(&self, skip: usize, limit: usize) -> Vec<Waiter> {
        self.state.lock().books.line.list(skip, limit)
    }

    /// Frees what has lingered long enough.
    pub fn expire(&self, at: At) {
        self.step(|defined, books| {
            let Ok(ripe) = ledger::expire(books, &defined.rules, at);
            books.ripe = ripe;
        });
    }

    /// When the first lingering unit is free.
    pub fn next_free(&self) -> Option<Millis> {
        self.state.lock().books.next_free()
    }

    /// Changes of level since the last call.
    pub fn take_levels(&self) -> Vec<(PoolLevel, u64)> {
        std::mem::take(&mut self.state.lock().books.levels)
    }

    /// When a unit may be back, as far as these endings tell.
    pub fn comes_back(&self, at: At, endings: &[Ending]) -> Option<Millis> {
        let mut state = self.state.lock();
        let Running { defined, books, .. } = &mut *state;
        let mut lingering: Vec<(Arc<str>, UserHolder)> = Vec::new();
        if books.totals.lingering > 0 {
            let named = books.longest.iter().take(LOOKED_AT).map(|(_, user)| user);
            for user in named.chain(books.fading.first().map(|(_, user)| user)) {
                if let Some(held) = books.users.get(user).filter(|_| lingering.iter().all(|(known, _)| known != user)) {
                    lingering.push((user.clone(), *held));
                }
            }
        }
        let orphans = books.orphans.keys().take(LOOKED_AT).map(|(until, _)| *until).collect();
        let (pool, totals, now) = (&defined.rules, &books.totals, at.now.ms);
        Outlook { pool, totals, now, lingering, orphans }.back(endings, |user| books.users.get(user).copied())
    }

    /// Units in use, and units there are.
    pub fn in_use(&self) -> (u64, u64) {
        let state = self.state.lock();
        (state.books.totals.in_use, state.defined.rules.capacity)
    }

    /// The most units in use since a reader reset its mark, ever if it did not, and when that was.
    pub fn high_water(&self, reader: &str) -> (u64, i64) {
        let books = &self.state.lock().books;
        let mark = books.marks.iter().find(|mark| &*mark.reader == reader);
        mark.map_or((books.totals.high_water, books.totals.high_water_at), |mark| (mark.units, mark.at))
    }

    /// Has a reader's mark begin anew with what is in use now; `false` if there are too many readers.
    pub fn reset_high_water(&self, at: At, reader: &str) -> bool {
        let books = &mut self.state.lock().books;
        let in_use = books.totals.in_use;
        let readers = books.marks.len();
        match books.marks.iter_mut().find(|mark| &*mark.reader == reader) {
            Some(mark) => (mark.units, mark.at) = (in_use, at.wall),
            None if readers >= MAX_READERS => return false,
            None => books.marks.push(Mark { reader: reader.into(), units: in_use, at: at.wall }),
        }
        books.totals.mark = books.totals.mark.min(in_use);
        true
    }

    /// Forgets a reader's mark; tells whether there was one.
    pub fn forget_high_water(&self, reader: &str) -> bool {
        let books = &mut self.state.lock().books;
        let before = books.marks.len();
        books.marks.retain(|mark| &*mark.reader != reader);
        books.totals.mark = books.marks.iter().map(|mark| mark.units).min().unwrap_or(u64::MAX);
        books.marks.len() < before
    }

    /// Accounts after a position.
    pub fn records(&self, after: u64, limit: usize) -> Vec<AuditRecord> {
        let state = &self.state.lock().books;
        let first = state.seq - state.records.len() as u64 + 1;
        let skip = usize::try_from(after.saturating_add(1).saturating_sub(first)).unwrap_or(usize::MAX);
        (first..)
            .zip(&state.records)
            .skip(skip)
            .take(limit)
            .map(|(seq, record)| AuditRecord {
                seq,
                at_ms: record.at,
                kind: record.kind,
                session_id: record.session,
                holder: holder_name(record.session, &record.holder),
                before: record.before,
                after: record.after,
                reason: record.reason,
                why: record.why,
            })
            .collect()
    }

    /// The use at one instant; `sessions` are those that are charged.
    pub fn usage(&self, at: At, sessions: Vec<Charged>) -> Usage {
        let Running { defined, books } = &*self.state.lock();
        let users = books.users.iter().map(|(user, holder)| (user.clone(), *holder));
        let orphans = books.orphans.values().copied();
        recount::usage(&defined.rules, at, &books.totals, users, orphans, sessions)
    }

    /// Compares the books with a recount: `scan` finds every charged session, and what moves meanwhile is taken as it is
    /// in the end, so that the two are of one instant under any load.
    pub fn audit(&self, scan: impl FnOnce() -> Vec<Charged>) -> (u64, u64, Vec<String>) {
        let _one = self.recounting.lock();
        self.state.lock().books.moved = Some(Moved::default());
        let charged = scan();
        let mut state = self.state.lock();
        let Running { defined, books } = &mut *state;
        let moved = books.moved.take().unwrap_or_default();
        let still = || {
            charged.iter().filter(|one| match one.taken {
                true => !moved.takes.contains_key(&one.session),
                false => !moved.licenses.contains_key(&one.session),
            })
        };
        let moved_since = || moved.licenses.values().flatten();
        let taken_since = moved.takes.values().flatten().map(|(holder, count)| (holder, *count));
        let users = books.users.iter().map(|(user, holder)| (&**user, *holder));
        let sessions = still().map(|one| (&one.holder, one.count));
        let sessions = sessions.chain(moved_since().map(|charge| (&charge.holder, 1))).chain(taken_since);
        let orphans = books.orphans.len() as u64;
        let (recounted, mut differences) =
            recount::recount(&defined.rules, &books.totals, users, orphans, books.line.all(), sessions);
        let clients = books.clients.iter().map(|(client, sessions)| (&**client, *sessions));
        let counted = still().filter_map(|one| one.client.as_deref());
        let counted = counted.chain(moved_since().filter_map(|charge| charge.client.as_deref()));
        differences.extend(recount::recount_clients(clients, counted));
        (books.totals.in_use, recounted, differences)
    }
}
