//! The books of one pool in memory.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::convert::Infallible;
use std::sync::Arc;

use super::audit::{AuditKind, AuditWhy, Denials};
use super::books::{AuditEntry, Ledger, Lingering, Mark, Orphan, Totals, UserHolder};
use super::crowd::{Candidates, Crowd, Going, Standing, Victims};
use super::ledger::Verdict;
use super::line::Line;
use super::places::Places;
use super::redefine::Seats;
use super::slack::Play;
use super::waiter::{Awaits, Lane, Waiter};
use crate::clock::Millis;
use crate::id::SessionId;
use crate::reason::{DenyReason, LicenseClass};
use crate::ring::Ring;
use crate::table::{Charge, Holder, MAX_POOL_LEVELS, PoolDefinition, PoolLevel, SessionRef, Taken};

/// What is written in them.
#[derive(Default)]
pub(crate) struct State {
    pub(super) totals: Totals,
    pub(super) users: HashMap<Arc<str>, UserHolder>,
    /// Anonymous sessions of each client, where those are bounded.
    pub(super) clients: HashMap<Arc<str>, u64>,
    /// Users with lingering units, by when those are free.
    pub(super) fading: BTreeSet<(Millis, Arc<str>)>,
    /// The same, by when they took a unit last.
    pub(super) longest: BTreeSet<(Millis, Arc<str>)>,
    /// Units that outlive their sessions, by when they are free.
    pub(super) orphans: BTreeMap<(Millis, u64), Orphan>,
    /// Who waits.
    pub(super) line: Line,
    /// When there is more to do than to free what lingers.
    pub(super) ripe: Option<Millis>,
    /// Numbers of those so far: they are free in the order in which they began to linger.
    orphaned: u64,
    pub(super) denials: Denials,
    pub(super) records: Ring<Record>,
    pub(super) levels: Vec<(PoolLevel, u64)>,
    pub(super) marks: Vec<Mark>,
    /// While a recount runs: what became of sessions since.
    pub(super) moved: Option<Moved>,
    /// Where each user's sessions are, in pools that may end them for others.
    pub(super) places: Option<Places>,
    pub(super) candidates: Candidates,
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
pub(super) struct Moved {
    /// How it is charged for its license.
    pub licenses: HashMap<SessionId, Option<Charge>>,
    /// Who is charged for what it took, for how many connections.
    pub takes: HashMap<SessionId, Vec<(Holder, u64)>>,
}

#[derive(Debug)]
pub(super) struct Record {
    pub at: Millis,
    pub kind: AuditKind,
    pub session: SessionId,
    pub holder: Holder,
    pub before: u64,
    pub after: u64,
    pub reason: Option<DenyReason>,
    pub why: AuditWhy,
}

impl State {
    /// Those of a new pool, which keep so many records.
    pub(super) fn new(keep: usize, places: Option<Places>) -> Self {
        Self { records: Ring::new(keep), places, ..Self::default() }
    }

    /// When the first unit is free that lingers or is set aside, or there is something else to do.
    #[inline]
    pub(super) fn next_free(&self) -> Option<Millis> {
        if self.totals.lingering | self.totals.waiting == 0 {
            return self.ripe;
        }
        let user = self.fading.first().map(|(until, _)| *until);
        let orphan = self.orphans.first_key_value().map(|((until, _), _)| *until);
        let lapse = self.line.first_lapse().map(|(until, _)| until);
        user.into_iter().chain(orphan).chain(lapse).chain(self.ripe).min()
    }

    /// What may be done without the books while they are as they are.
    #[inline]
    pub(super) fn play(&self, pool: &PoolDefinition) -> Option<Play> {
        // While a recount runs, each step is noted.
        if self.moved.is_some() || self.ripe.is_some() {
            return None;
        }
        Play::of(pool, &self.totals)
    }

    /// Where the sessions of a user are; `None` if that is not known yet.
    pub fn places_of(&self, user: &Arc<str>) -> Option<Vec<u64>> {
        self.places.as_ref()?.of(user)
    }

    /// A session is charged that was last used then.
    #[inline]
    pub(super) fn joined(&mut self, session: SessionRef, used: Millis, charge: &Charge) {
        self.moves(session, None, Some(charge));
        let anonymous = charge.class == LicenseClass::Anonymous;
        self.candidates.arrived(anonymous, Standing { used, made: 0, place: session.place });
    }

    /// A session is charged otherwise than before.
    #[inline(always)]
    pub(super) fn moves(&mut self, session: SessionRef, from: Option<&Charge>, to: Option<&Charge>) {
        if self.moved.is_some() || self.places.is_some() {
            self.note_move(session, from, to);
        }
    }

    fn note_move(&mut self, session: SessionRef, from: Option<&Charge>, to: Option<&Charge>) {
        if let Some(moved) = &mut self.moved {
            moved.licenses.insert(session.id, to.cloned());
        }
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
    pub(super) fn demand(
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

    /// What a session took of this pool, as it is after a step.
    pub(super) fn note_takes(&mut self, session: SessionId, pool: u32, takes: &[Taken]) {
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

    fn count_denial(&mut self, reason: DenyReason) -> Result<(), Infallible> {
        self.denials.add(reason, 1);
        Ok(())
    }

    #[inline]
    fn record(&mut self, entry: &AuditEntry<'_>) -> Result<(), Infallible> {
        let AuditEntry { at, kind, session, holder, before, after, reason, why } = *entry;
        self.records.push(Record { at, kind, session, holder: holder.clone(), before, after, reason, why });
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
        if self.levels.len() < MAX_POOL_LEVELS {
            self.levels.push((level, in_use));
        }
        Ok(())
    }
}
