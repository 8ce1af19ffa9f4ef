//! The books of one pool: counters, holders and records under one lock, exact at every instant.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;

use crate::sync::Mutex;

use super::audit::{AuditKind, AuditRecord, AuditWhy, Usage};
use super::books::{AuditEntry, Ledger, Lingering, Orphan, Totals, UserHolder};
use super::ledger::{self, Demand, Verdict};
use super::recount::{self, Charged, holder_name};
use crate::clock::Millis;
use crate::id::SessionId;
use crate::reason::DenyReason;
use crate::table::{At, Charge, Holder, PoolDefinition, PoolLevel, Taken};

/// One pool's books.
pub(crate) struct Account {
    pub definition: PoolDefinition,
    state: Mutex<State>,
    /// One recount at a time.
    recounting: Mutex<()>,
}

#[derive(Default)]
struct State {
    totals: Totals,
    users: HashMap<Arc<str>, UserHolder>,
    /// Users with lingering units, by when those are free.
    fading: BTreeSet<(Millis, Arc<str>)>,
    /// The same, by when they took a unit last.
    longest: BTreeSet<(Millis, Arc<str>)>,
    /// Units that outlive their sessions, by when they are free.
    orphans: BTreeMap<(Millis, u64), Orphan>,
    /// Numbers of those so far: they are free in the order in which they began to linger.
    orphaned: u64,
    seq: u64,
    /// The most records that are kept.
    keep: usize,
    records: VecDeque<Record>,
    levels: Vec<(PoolLevel, u64)>,
    /// While a recount runs: what became of sessions since.
    moved: Option<Moved>,
}

/// What became of sessions since a recount began.
#[derive(Default)]
struct Moved {
    /// Who is charged for its license, or nobody.
    licenses: HashMap<SessionId, Option<Holder>>,
    /// Who is charged for what it took, for how many connections.
    takes: HashMap<SessionId, Vec<(Holder, u64)>>,
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
        user.into_iter().chain(orphan).min()
    }

    fn note_move(&mut self, session: SessionId, holder: Option<&Holder>) {
        if let Some(moved) = &mut self.moved {
            moved.licenses.insert(session, holder.cloned());
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

    fn level(&mut self, level: PoolLevel, in_use: u64) -> Result<(), Infallible> {
        if self.levels.len() < MAX_LEVELS {
            self.levels.push((level, in_use));
        }
        Ok(())
    }
}

impl Account {
    pub fn new(definition: PoolDefinition) -> Self {
        let state = State { keep: definition.audit_records, ..State::default() };
        Self { definition, state: Mutex::new(state), recounting: Mutex::new(()) }
    }

    /// Charges one session more, or tells why not.
    pub fn acquire(&self, at: At, session: SessionId, demand: Demand<'_>) -> Verdict {
        let mut state = self.state.lock();
        let Ok(verdict) = ledger::acquire(&mut *state, &self.definition, at, session, demand);
        verdict.inspect(|()| state.note_move(session, Some(&demand.charge.holder)))
    }

    /// Frees what a session was charged that was made then, or lets it linger; tells when the first lingering unit is free.
    pub fn release(&self, at: At, session: SessionId, charge: &Charge, since: Millis) -> Option<Millis> {
        let mut state = self.state.lock();
        let Ok(()) = ledger::release(&mut *state, &self.definition, at, session, charge, since);
        state.note_move(session, None);
        state.next_free()
    }

    /// Moves a session from one holder to another in one step; on a denial nothing changed.
    pub fn trade(&self, at: At, session: SessionId, from: &Charge, demand: Demand<'_>) -> Verdict {
        let mut state = self.state.lock();
        let Ok(verdict) = ledger::trade(&mut *state, &self.definition, at, session, from, demand);
        verdict.inspect(|()| state.note_move(session, Some(&demand.charge.holder)))
    }

    /// Charges a feature that a session takes, or tells why not; `takes` is told then, and answers all that it has taken.
    pub fn take<'t>(
        &self,
        at: At,
        session: SessionId,
        demand: Demand<'_>,
        takes: impl FnOnce() -> &'t [Taken],
    ) -> Verdict {
        let mut state = self.state.lock();
        let Ok(verdict) = ledger::acquire(&mut *state, &self.definition, at, session, demand);
        verdict.inspect(|()| state.note_takes(session, demand.charge.pool, takes()))
    }

    /// Frees what a session took, or lets it linger; `left` is all that it has taken afterwards. Tells when the first
    /// lingering unit is free.
    pub fn give_back(&self, at: At, session: SessionId, taken: &Taken, left: &[Taken]) -> Option<Millis> {
        let mut state = self.state.lock();
        let (charge, since) = (taken.charge(), taken.since);
        let Ok(()) = ledger::give_back(&mut *state, &self.definition, at, session, &charge, since, taken.count);
        state.note_takes(session, taken.pool, left);
        state.next_free()
    }

    /// Frees what has lingered long enough.
    pub fn expire(&self, at: At) {
        let Ok(_) = ledger::expire(&mut *self.state.lock(), &self.definition, at);
    }

    /// When the first lingering unit is free.
    pub fn next_free(&self) -> Option<Millis> {
        self.state.lock().next_free()
    }

    /// Changes of level since the last call.
    pub fn take_levels(&self) -> Vec<(PoolLevel, u64)> {
        std::mem::take(&mut self.state.lock().levels)
    }

    /// Units in use.
    pub fn in_use(&self) -> u64 {
        self.state.lock().totals.in_use
    }

    /// Accounts after a position.
    pub fn records(&self, after: u64, limit: usize) -> Vec<AuditRecord> {
        let state = self.state.lock();
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
        let state = self.state.lock();
        let users = state.users.iter().map(|(user, holder)| (user.clone(), *holder));
        let orphans = state.orphans.values().copied();
        recount::usage(&self.definition, at, &state.totals, users, orphans, sessions)
    }

    /// Compares the books with a recount: `scan` finds every charged session, and what moves meanwhile is taken as it is
    /// in the end, so that the two are of one instant under any load.
    pub fn audit(&self, scan: impl FnOnce() -> Vec<Charged>) -> (u64, u64, Vec<String>) {
        let _one = self.recounting.lock();
        self.state.lock().moved = Some(Moved::default());
        let charged = scan();
        let mut state = self.state.lock();
        let moved = state.moved.take().unwrap_or_default();
        let still = charged.iter().filter(|one| match one.taken {
            true => !moved.takes.contains_key(&one.session),
            false => !moved.licenses.contains_key(&one.session),
        });
        let still = still.map(|one| (&one.holder, one.count));
        let moved_since = moved.licenses.values().flatten().map(|holder| (holder, 1));
        let taken_since = moved.takes.values().flatten().map(|(holder, count)| (holder, *count));
        let users = state.users.iter().map(|(user, holder)| (&**user, *holder));
        let sessions = still.chain(moved_since).chain(taken_since);
        let orphans = state.orphans.len() as u64;
        let (recounted, differences) = recount::recount(&self.definition, &state.totals, users, orphans, sessions);
        (state.totals.in_use, recounted, differences)
    }
}
