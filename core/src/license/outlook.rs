//! When there are units for who was refused: the pool as it will be while time alone passes.

use std::sync::Arc;

use super::back::{Ending, Leaves, Refusal};
use super::books::{Orphan, Totals, UserHolder};
use super::course::{Change, Courses, Part, Shares, Stage};
use super::ledger::{self, OWN};
use super::policy::{self, Rank, Room, signed};
use super::queue::{self, Blocked};
use super::rules;
use super::waiter::{Awaits, Lane, Waiter};
use crate::clock::{Millis, NEVER};
use crate::reason::{AtSessionLimit, Evict};
use crate::table::PoolDefinition;

/// What is known of a pool at one instant.
pub(crate) struct Outlook<'a> {
    pub pool: &'a PoolDefinition,
    pub totals: &'a Totals,
    pub now: Millis,
    /// Users with lingering units, some of them.
    pub lingering: Vec<(Arc<str>, UserHolder)>,
    /// Units that outlived their sessions, those that are free first.
    pub orphans: Vec<Orphan>,
    /// Those who wait, the first [`AHEAD`](super::back::AHEAD) in the order of their turns.
    pub line: Vec<Waiter>,
}

impl Outlook<'_> {
    /// When so many units may be back that there are enough for who was refused, if nobody who has one uses it or comes back, and
    /// those who wait keep what they get; as far as these endings tell, of sessions that neither ask nor wait themselves. `None`:
    /// they free too few.
    pub fn back(
        &self,
        refusal: &Refusal,
        endings: &[Ending],
        mut holder: impl FnMut(&Arc<str>) -> Option<UserHolder>,
    ) -> Option<Millis> {
        let courses = Courses { pool: self.pool, now: self.now, linger: true };
        let left = match &refusal.leaves {
            Some(Leaves::User(user)) => Some(user),
            _ => None,
        };
        let mut changes: Vec<Change> = self.orphans.iter().map(|orphan| courses.orphan(orphan)).collect();
        let mut booked: Vec<(&Arc<str>, Option<&Ending>)> = Vec::new();
        for ending in endings {
            match ending.charge.holder.booked() {
                Some(user) => booked.push((user, Some(ending))),
                None => courses.own(ending, &mut changes),
            }
        }
        let others = self.lingering.iter().map(|(user, _)| user).chain(&refusal.user).chain(left);
        booked.extend(others.map(|user| (user, None)));
        booked.sort_by_key(|(user, _)| *user);
        let mut asks = Asks { refusal, joins: Vec::new(), leaves: Vec::new() };
        for group in booked.chunk_by(|one, other| one.0 == other.0) {
            let user = group[0].0;
            let known = self.lingering.iter().find(|(known, _)| known == user).map(|(_, held)| *held);
            let Some(held) = known.or_else(|| holder(user)) else { continue };
            let endings: Vec<&Ending> = group.iter().filter_map(|(_, ending)| *ending).collect();
            let stages = courses.booked(user, held, &endings);
            let (joins, leaves) = (refusal.user.as_ref() == Some(user), left == Some(user));
            courses.changes(user, &stages, &endings, !joins && !leaves, &mut changes);
            match (joins, leaves) {
                (true, _) => asks.joins = stages,
                (_, true) => asks.leaves = stages,
                _ => {}
            }
        }
        let waits = self.line.iter().filter(|waiter| waiter.awaits == Awaits::Turn);
        let ahead: Vec<Ahead<'_>> = waits.map(|waiter| self.ahead(waiter, &mut holder)).collect();
        // Who waits no more is in nobody's way.
        let over = ahead.iter().map(|one| Change { at: one.waiter.deadline, by: Shares::default(), seat: 0 });
        changes.extend(over.filter(|change| change.at < NEVER));
        changes.sort_unstable();
        self.after(&changes, &asks, ahead)
    }

    /// One who waits, and what it lacks.
    fn ahead<'w>(&self, waiter: &'w Waiter, holder: &mut impl FnMut(&Arc<str>) -> Option<UserHolder>) -> Ahead<'w> {
        let held = waiter.charge.holder.booked().and_then(holder);
        // Who may not have any is told so by its turn.
        let units = ledger::wanted(self.pool, &waiter.charge, waiter.count, held.as_ref()).unwrap_or(0);
        Ahead { waiter, units: units.saturating_sub(waiter.gives) }
    }

    /// The first instant at which there is enough.
    fn after(&self, changes: &[Change], asks: &Asks<'_>, mut ahead: Vec<Ahead<'_>>) -> Option<Millis> {
        let more = self.totals.waiting > self.line.len() as u64;
        let mut then =
            Then { pool: self.pool, totals: self.totals.clone(), shares: Shares::default(), lent: Vec::new() };
        let mut enough = |then: &mut Then<'_>, at: Millis| {
            let blocked = then.serve(&mut ahead, at);
            ahead.is_empty() && more || then.is_enough(asks, &blocked, at)
        };
        if changes.first().is_none_or(|first| first.at > self.now) && enough(&mut then, self.now) {
            return Some(self.now);
        }
        for same in changes.chunk_by(|one, other| one.at == other.at) {
            same.iter().for_each(|change| then.change(change));
            if enough(&mut then, same[0].at) {
                return Some(same[0].at);
            }
        }
        None
    }
}

/// Who asks, with the courses of whom it would join and leave.
struct Asks<'a> {
    refusal: &'a Refusal,
    joins: Vec<Stage>,
    leaves: Vec<Stage>,
}

/// What a holder has at an instant.
fn at(stages: &[Stage], at: Millis) -> Option<UserHolder> {
    let later = stages.partition_point(|stage| stage.at <= at);
    later.checked_sub(1).map(|position| stages[position].holder)
}

/// One who waits, and the units that it lacks.
struct Ahead<'a> {
    waiter: &'a Waiter,
    units: u64,
}

/// A pool as it will be.
struct Then<'a> {
    pool: &'a PoolDefinition,
    totals: Totals,
    /// What may be had of others.
    shares: Shares,
    /// Reserved units that linger, by their seats.
    lent: Vec<u64>,
}

/// So many more, or fewer.
fn changed(units: u64, by: i64) -> u64 {
    units.saturating_add_signed(by)
}

fn change_seat(seats: &mut Vec<u64>, seat: u8, by: i64) {
    if let Some(seat) = usize::from(seat).checked_sub(1).filter(|_| by != 0) {
        seats.resize(seats.len().max(seat + 1), 0);
        seats[seat] = changed(seats[seat], by);
    }
}

impl Then<'_> {
    fn change(&mut self, change: &Change) {
        let (totals, by) = (&mut self.totals, &change.by);
        totals.in_use = changed(totals.in_use, by.held.units);
        totals.anonymous = changed(totals.anonymous, by.held.anonymous);
        change_seat(&mut totals.reserved, change.seat, by.held.reserved);
        change_seat(&mut self.lent, change.seat, by.lingers.reserved);
        self.shares = self.shares.plus(by);
        let beyond = totals.in_use.saturating_sub(self.pool.capacity);
        totals.excess = totals.excess.min(beyond);
        totals.overdrawn = totals.overdrawn.filter(|_| beyond > 0);
    }

    /// Those who wait have what there is for them, as [`queue::serve`] gives it, and keep it; who waits no more is not counted any
    /// more. Tells whose turn it is who can't be served.
    fn serve(&mut self, ahead: &mut Vec<Ahead<'_>>, now: Millis) -> Vec<Blocked> {
        let mut blocked: Vec<Blocked> = Vec::new();
        let lanes = lanes(ahead);
        let mut position = 0;
        while let Some(Ahead { waiter, units }) = ahead.get(position).filter(|_| blocked.len() < lanes) {
            let (lane, turn, units) = (waiter.lane, waiter.turn, *units);
            if waiter.deadline > now {
                if blocked.iter().any(|other| other.lane == lane) {
                    position += 1;
                    continue;
                }
                let common = blocked.iter().any(|other| other.common);
                if let Err(common) = self.give(waiter, units, common, now) {
                    blocked.push(Blocked { lane, turn, common });
                    position += 1;
                    continue;
                }
            }
            ahead.remove(position);
        }
        blocked
    }

    /// Gives one who waits what it lacks, or tells whether it lacks units that are for all.
    fn give(&mut self, waiter: &Waiter, units: u64, apart: bool, now: Millis) -> Result<(), bool> {
        let (pool, rank) = (self.pool, waiter.lane.rank());
        if units == 0 {
            return Ok(());
        }
        if waiter.anonymous() && pool.anonymous_cap.is_some_and(|cap| self.totals.anonymous.saturating_add(units) > cap)
        {
            return Err(false);
        }
        if apart && policy::room(pool, &self.totals, pool.capacity, rank).apart() < units {
            return Err(true);
        }
        let mut had = self.totals.clone();
        self.reclaim(&mut had);
        let limit = policy::limit(pool, &self.totals, now);
        let mut room = policy::room(pool, &had, limit, rank);
        if room.all() < units {
            // Who waits looks now and then whether somebody can go for it.
            had.in_use = changed(had.in_use, -self.goes(&room, (rank, waiter.anonymous()), units, self.shares.evicts));
            room = policy::room(pool, &had, limit, rank);
        }
        let totals = &mut self.totals;
        if room.all() < units {
            return Err(true);
        }
        let (reserved, seat) = room.reserved(rank, units);
        totals.in_use = totals.in_use.saturating_add(units);
        if waiter.anonymous() {
            totals.anonymous = totals.anonymous.saturating_add(units);
        }
        change_seat(&mut totals.reserved, seat, signed(reserved));
        if had.in_use.saturating_add(units) > pool.capacity {
            totals.overdrawn.get_or_insert(now);
        }
        Ok(())
    }

    /// How many of what may be evicted is, for so many units.
    fn goes(&self, room: &Room, (rank, anonymous): (Rank, bool), wanted: u64, evicts: Part) -> i64 {
        match policy::evicts(self.pool, rank, anonymous, room, wanted).0 {
            _ if self.totals.excess > 0 => 0,
            Evict::None => 0,
            Evict::Anonymous => evicts.anonymous,
            Evict::Any => evicts.units,
        }
    }

    /// What lingers with others is as good as free.
    fn reclaim(&self, totals: &mut Totals) {
        totals.in_use = changed(totals.in_use, -self.shares.lingers.units);
        for (used, lent) in totals.reserved.iter_mut().zip(&self.lent) {
            *used = used.saturating_sub(*lent);
        }
    }

    /// Whether who asks would find what it wants.
    fn is_enough(&self, asks: &Asks<'_>, blocked: &[Blocked], now: Millis) -> bool {
        let (pool, refusal) = (self.pool, asks.refusal);
        let mut totals = self.totals.clone();
        let gave = asks.leave(pool, &mut totals, now);
        let mut brought = gave;
        let wanted = match &refusal.user {
            None => OWN,
            Some(_) => match asks.join(pool, &mut totals, &mut brought, now) {
                Some(wanted) => wanted,
                None => return false,
            },
        };
        let may_evict = totals.excess == 0 && !refusal.feature;
        let mut evicts = self.shares.evicts;
        if let Some(cap) = pool.anonymous_cap.filter(|_| refusal.anonymous) {
            let many = totals.anonymous.saturating_add(wanted).saturating_sub(cap);
            let may_go = if may_evict && pool.evict != Evict::None { evicts.anonymous } else { 0 };
            if many > changed(0, may_go) {
                return false;
            }
            totals.in_use = totals.in_use.saturating_sub(many);
            evicts.units -= signed(many);
            evicts.anonymous -= signed(many);
        }
        if wanted > gave && queue::is_behind(pool, &totals, blocked, refusal.place(), wanted) {
            return false;
        }
        if wanted <= brought {
            return true;
        }
        self.reclaim(&mut totals);
        let limit = policy::limit(pool, &totals, now);
        let room = policy::room(pool, &totals, limit, refusal.rank);
        if room.all() >= wanted {
            return true;
        }
        if may_evict {
            let goes = self.goes(&room, (refusal.rank, refusal.anonymous), wanted, evicts);
            totals.in_use = changed(totals.in_use, -goes);
        }
        policy::room(pool, &totals, limit, refusal.rank).all() >= wanted
    }
}

/// In how many lanes they wait.
fn lanes(ahead: &[Ahead<'_>]) -> usize {
    let mut lanes: Vec<Lane> = Vec::new();
    for one in ahead {
        if !lanes.contains(&one.waiter.lane) {
            lanes.push(one.waiter.lane);
        }
    }
    lanes.len()
}

impl Asks<'_> {
    /// It leaves its holder: tells what comes free.
    fn leave(&self, pool: &PoolDefinition, totals: &mut Totals, now: Millis) -> u64 {
        match (&self.refusal.leaves, at(&self.leaves, now)) {
            (None, _) | (Some(Leaves::User(_)), None) => 0,
            (Some(Leaves::Itself(anonymous)), _) => {
                totals.in_use = totals.in_use.saturating_sub(OWN);
                totals.anonymous = totals.anonymous.saturating_sub(u64::from(*anonymous));
                OWN
            }
            (Some(Leaves::User(_)), Some(mut held)) => {
                let rest = rules::units(pool.rule, held.connections.saturating_sub(1), held.needed());
                let spare = held.needed().saturating_sub(rest);
                held.free(totals, spare);
                spare
            }
        }
    }

    /// It joins another: tells how many units that one lacks then, and what it has too many as its sessions had to make place.
    fn join(&self, pool: &PoolDefinition, totals: &mut Totals, brought: &mut u64, now: Millis) -> Option<u64> {
        let mut held = at(&self.joins, now).unwrap_or_else(|| UserHolder::new(now));
        let (count, needed) = (self.refusal.count, held.needed());
        if let Some(limit) = rules::limit(pool.rule)
            && held.connections.saturating_add(count) > limit
            && pool.at_session_limit != AtSessionLimit::Deny
            && !self.refusal.feature
        {
            held.connections = limit.saturating_sub(count);
        }
        let needs = rules::needs(pool.rule, held.connections, count, needed).ok()?;
        let spare = needed.saturating_sub(needs);
        held.free(totals, spare);
        *brought = brought.saturating_add(spare);
        // What lingers of it counts as had.
        Some(needs.saturating_sub(held.units))
    }
}
