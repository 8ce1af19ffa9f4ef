//! The books of one pool: counters, holders and records under one lock, exact at every instant.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::sync::Mutex;

use super::audit::{AuditKind, AuditRecord, HolderUsage, Usage};
use super::rules;
use crate::clock::Millis;
use crate::id::SessionId;
use crate::reason::{DenyReason, LicenseClass};
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
    in_use: u64,
    anonymous: u64,
    high_water: u64,
    high_water_at: i64,
    denials: u64,
    users: HashMap<Arc<str>, UserHolder>,
    seq: u64,
    records: VecDeque<Record>,
    level: Option<PoolLevel>,
    levels: Vec<(PoolLevel, u64)>,
    /// While a recount runs: what became of each session since, its holder or none.
    moved: Option<HashMap<SessionId, Option<Holder>>>,
}

impl State {
    fn note_move(&mut self, session: SessionId, holder: Option<&Holder>) {
        if let Some(moved) = &mut self.moved {
            moved.insert(session, holder.cloned());
        }
    }
}

#[derive(Clone, Copy)]
struct UserHolder {
    connections: u64,
    units: u64,
    since: Millis,
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

/// A session that is charged, for a recount.
pub(crate) struct Charged {
    pub session: SessionId,
    pub holder: Holder,
    pub created: Millis,
}

/// Units of a session that is its own holder: every rule charges one connection with one.
const OWN: u64 = 1;

/// Changes of level that wait to be told.
const MAX_LEVELS: usize = 1024;

impl Account {
    pub fn new(definition: PoolDefinition) -> Self {
        Self { definition, state: Mutex::new(State::default()), recounting: Mutex::new(()) }
    }

    /// Charges one session more, or tells why not.
    pub fn acquire(&self, at: At, session: SessionId, charge: &Charge) -> Result<(), DenyReason> {
        let mut state = self.state.lock();
        let before = state.in_use;
        match self.join(&mut state, at, charge) {
            Ok(()) => {
                state.note_move(session, Some(&charge.holder));
                self.record(&mut state, at, AuditKind::Grant, session, &charge.holder, before, None);
                Ok(())
            }
            Err(reason) => {
                state.denials += 1;
                self.record(&mut state, at, AuditKind::Denial, session, &charge.holder, before, Some(reason));
                Err(reason)
            }
        }
    }

    /// Frees what a session was charged.
    pub fn release(&self, at: At, session: SessionId, charge: &Charge) {
        let mut state = self.state.lock();
        let before = state.in_use;
        self.leave(&mut state, charge);
        state.note_move(session, None);
        self.record(&mut state, at, AuditKind::Release, session, &charge.holder, before, None);
    }

    /// Moves a session from one holder to another in one step; on a denial nothing changed.
    pub fn trade(&self, at: At, session: SessionId, from: &Charge, to: &Charge) -> Result<(), DenyReason> {
        let mut state = self.state.lock();
        let before = state.in_use;
        let undo = self.leave(&mut state, from);
        match self.join(&mut state, at, to) {
            Ok(()) => {
                state.note_move(session, Some(&to.holder));
                self.record(&mut state, at, AuditKind::Trade, session, &to.holder, before, None);
                Ok(())
            }
            Err(reason) => {
                self.restore(&mut state, from, undo, before);
                state.denials += 1;
                self.record(&mut state, at, AuditKind::Denial, session, &to.holder, before, Some(reason));
                Err(reason)
            }
        }
    }

    fn join(&self, state: &mut State, at: At, charge: &Charge) -> Result<(), DenyReason> {
        let available = self.definition.capacity.saturating_sub(state.in_use);
        match &charge.holder {
            Holder::Session => {
                if available < OWN {
                    return Err(DenyReason::PoolExhausted);
                }
                if charge.class == LicenseClass::Anonymous {
                    if self.definition.anonymous_cap.is_some_and(|cap| state.anonymous >= cap) {
                        return Err(DenyReason::Reserved);
                    }
                    state.anonymous += OWN;
                }
                state.in_use += OWN;
            }
            Holder::User(user) => {
                let (connections, units, since) = state
                    .users
                    .get(user)
                    .map_or((0, 0, at.now.ms), |holder| (holder.connections, holder.units, holder.since));
                let charged = rules::admit(self.definition.rule, connections, units, available)?;
                let holder = UserHolder { connections: connections + 1, units: charged, since };
                state.users.insert(user.clone(), holder);
                state.in_use += charged - units;
            }
        }
        if state.in_use > state.high_water {
            state.high_water = state.in_use;
            state.high_water_at = at.wall;
        }
        Ok(())
    }

    /// Takes one connection from a holder; answers the holder as it was.
    fn leave(&self, state: &mut State, charge: &Charge) -> Option<UserHolder> {
        match &charge.holder {
            Holder::Session => {
                state.in_use -= OWN;
                if charge.class == LicenseClass::Anonymous {
                    state.anonymous -= OWN;
                }
                None
            }
            Holder::User(user) => state.users.get(user).copied().inspect(|holder| {
                let connections = holder.connections - 1;
                let units = rules::units(self.definition.rule, connections, holder.units);
                state.in_use -= holder.units - units;
                if connections == 0 {
                    state.users.remove(user);
                } else {
                    state.users.insert(user.clone(), UserHolder { connections, units, since: holder.since });
                }
            }),
        }
    }

    fn restore(&self, state: &mut State, charge: &Charge, was: Option<UserHolder>, in_use: u64) {
        match (&charge.holder, was) {
            (Holder::User(user), Some(holder)) => {
                state.users.insert(user.clone(), holder);
            }
            (Holder::Session, _) if charge.class == LicenseClass::Anonymous => state.anonymous += OWN,
            _ => {}
        }
        state.in_use = in_use;
    }

    fn note_level(&self, state: &mut State) {
        let available = self.definition.capacity.saturating_sub(state.in_use);
        let level = if available == 0 && self.definition.capacity > 0 {
            PoolLevel::Exhausted
        } else if available < self.definition.low {
            PoolLevel::Low
        } else {
            PoolLevel::Recovered
        };
        if level != state.level.unwrap_or(PoolLevel::Recovered) {
            state.level = Some(level);
            if state.levels.len() < MAX_LEVELS {
                let in_use = state.in_use;
                state.levels.push((level, in_use));
            }
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn record(
        &self,
        state: &mut State,
        at: At,
        kind: AuditKind,
        session: SessionId,
        holder: &Holder,
        before: u64,
        reason: Option<DenyReason>,
    ) {
        self.note_level(state);
        if self.definition.audit_records == 0 {
            return;
        }
        state.seq += 1;
        if state.records.len() >= self.definition.audit_records {
            state.records.pop_front();
        }
        let after = state.in_use;
        state.records.push_back(Record { at: at.now.ms, kind, session, holder: holder.clone(), before, after, reason });
    }

    /// Changes of level since the last call.
    pub fn take_levels(&self) -> Vec<(PoolLevel, u64)> {
        std::mem::take(&mut self.state.lock().levels)
    }

    /// Units in use.
    pub fn in_use(&self) -> u64 {
        self.state.lock().in_use
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

    /// The use at one instant; `sessions` are those that are their own holders.
    pub fn usage(&self, at: At, sessions: Vec<Charged>) -> Usage {
        let state = self.state.lock();
        let mut holders: Vec<HolderUsage> = state
            .users
            .iter()
            .map(|(user, holder)| HolderUsage {
                holder: user.clone(),
                kind: "user",
                connections: holder.connections,
                units: holder.units,
                active: Duration::from_millis(at.now.ms.saturating_sub(holder.since)),
            })
            .collect();
        holders.extend(sessions.into_iter().map(|charged| HolderUsage {
            holder: holder_name(charged.session, &charged.holder),
            kind: "session",
            connections: 1,
            units: OWN,
            active: Duration::from_millis(at.now.ms.saturating_sub(charged.created)),
        }));
        holders.sort_by(|a, b| (a.kind, &a.holder).cmp(&(b.kind, &b.holder)));
        Usage {
            pool: self.definition.name.clone(),
            capacity: self.definition.capacity,
            in_use: state.in_use,
            available: self.definition.capacity.saturating_sub(state.in_use),
            high_water: state.high_water,
            high_water_at: state.high_water_at,
            denials: state.denials,
            holders,
        }
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
        let mut differences = Vec::new();
        let mut connections: HashMap<&str, u64> = HashMap::new();
        let mut recounted = 0;
        for holder in still.chain(moved.values().flatten()) {
            match holder {
                Holder::Session => recounted += OWN,
                Holder::User(user) => *connections.entry(user).or_default() += 1,
            }
        }
        for (user, count) in &connections {
            let held = state.users.get(*user).map_or(0, |holder| holder.units);
            let booked = state.users.get(*user).map_or(0, |holder| holder.connections);
            if booked != *count {
                differences.push(format!("holder '{user}' has {count} sessions and is booked with {booked}"));
            }
            recounted += rules::units(self.definition.rule, *count, held);
        }
        for user in state.users.keys().filter(|user| !connections.contains_key(&***user)) {
            differences.push(format!("holder '{user}' is charged and has no session"));
        }
        if recounted != state.in_use {
            differences.push(format!("{} units are booked, {recounted} are held by live sessions", state.in_use));
        }
        if state.in_use > self.definition.capacity {
            differences.push(format!("{} of {} units are in use", state.in_use, self.definition.capacity));
        }
        (state.in_use, recounted, differences)
    }
}

/// The name of a holder: the user, or the session's id.
pub(crate) fn holder_name(session: SessionId, holder: &Holder) -> Arc<str> {
    match holder {
        Holder::Session => session.to_string().into(),
        Holder::User(user) => user.clone(),
    }
}
