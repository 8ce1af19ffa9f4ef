//! The books of one pool: counters, holders and records under one lock, exact at every instant.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;

use crate::sync::Mutex;

use super::audit::{AuditKind, AuditRecord, Usage};
use super::ledger::{self, AuditEntry, Ledger, Totals, UserHolder, Verdict};
use super::recount::{self, Charged, holder_name};
use crate::clock::Millis;
use crate::id::SessionId;
use crate::reason::DenyReason;
use crate::table::{At, Charge, Holder, PoolDefinition, PoolLevel};

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
    seq: u64,
    /// The most records that are kept.
    keep: usize,
    records: VecDeque<Record>,
    levels: Vec<(PoolLevel, u64)>,
    /// While a recount runs: what became of each session since, its holder or none.
    moved: Option<HashMap<SessionId, Option<Holder>>>,
}

struct Record {
    at: Millis,
    kind: AuditKind,
    session: SessionId,
    holder: Holder,
    before: u64,
    after: u64,
    reason: Option<DenyReason>,
}

/// Changes of level that wait to be told.
const MAX_LEVELS: usize = 1024;

impl State {
    fn note_move(&mut self, session: SessionId, holder: Option<&Holder>) {
        if let Some(moved) = &mut self.moved {
            moved.insert(session, holder.cloned());
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
        match holder {
            Some(holder) => self.users.insert(user.clone(), holder),
            None => self.users.remove(user),
        };
        Ok(())
    }

    #[inline]
    fn record(&mut self, entry: &AuditEntry<'_>) -> Result<(), Infallible> {
        let AuditEntry { at, kind, session, holder, before, after, reason } = *entry;
        self.seq += 1;
        if self.records.len() >= self.keep {
            self.records.pop_front();
        }
        self.records.push_back(Record { at, kind, session, holder: holder.clone(), before, after, reason });
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
    pub fn acquire(&self, at: At, session: SessionId, charge: &Charge) -> Verdict {
        let mut state = self.state.lock();
        let Ok(verdict) = ledger::acquire(&mut *state, &self.definition, at, session, charge);
        verdict.inspect(|()| state.note_move(session, Some(&charge.holder)))
    }

    /// Frees what a session was charged.
    pub fn release(&self, at: At, session: SessionId, charge: &Charge) {
        let mut state = self.state.lock();
        let Ok(()) = ledger::release(&mut *state, &self.definition, at, session, charge);
        state.note_move(session, None);
    }

    /// Moves a session from one holder to another in one step; on a denial nothing changed.
    pub fn trade(&self, at: At, session: SessionId, from: &Charge, to: &Charge) -> Verdict {
        let mut state = self.state.lock();
        let Ok(verdict) = ledger::trade(&mut *state, &self.definition, at, session, from, to);
        verdict.inspect(|()| state.note_move(session, Some(&to.holder)))
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
            })
            .collect()
    }

    /// The use at one instant; `sessions` are those that are charged.
    pub fn usage(&self, at: At, sessions: Vec<Charged>) -> Usage {
        let state = self.state.lock();
        let users = state.users.iter().map(|(user, holder)| (user.clone(), *holder));
        recount::usage(&self.definition, at, &state.totals, users, sessions)
    }

    /// Compares the books with a recount: `scan` finds every charged session, and what moves meanwhile is taken as it is
    /// in the end, so that the two are of one instant under any load.
    pub fn audit(&self, scan: impl FnOnce() -> Vec<Charged>) -> (u64, u64, Vec<String>) {
        let _one = self.recounting.lock();
        self.state.lock().moved = Some(HashMap::new());
        let charged = scan();
        let mut state = self.state.lock();
        let moved = state.moved.take().unwrap_or_default();
        let still = charged.iter().filter(|one| !moved.contains_key(&one.session)).map(|one| &one.holder);
        let in_use = state.totals.in_use;
        let users = state.users.iter().map(|(user, holder)| (&**user, *holder));
        let (recounted, differences) =
            recount::recount(&self.definition, in_use, users, still.chain(moved.values().flatten()));
        (in_use, recounted, differences)
    }
}
