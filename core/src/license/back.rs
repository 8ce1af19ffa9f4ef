//! When a unit of a full pool may be back for who was refused: from who lingers, and from the sessions that end or may be evicted
//! first.

use std::cmp::Reverse;
use std::sync::Arc;

use super::books::{Orphan, Totals, UserHolder};
use super::course::{Change, Courses, Shares, Stage};
use super::ledger::{self, OWN};
use super::policy::{self, Rank};
use super::queue::{self, Blocked};
use super::rules;
use super::waiter::{Awaits, Lane, Turn, Waiter};
use crate::clock::{Millis, NEVER};
use crate::reason::{AtSessionLimit, Evict, LicenseClass};
use crate::table::{Charge, Holder, PoolDefinition, SessionRef, Taken};

/// Users and units that linger, of which so many are looked at.
pub(crate) const LOOKED_AT: usize = 64;
/// So many of those who wait are counted in. If there are more, no more is told than when these have what they wait for.
pub(crate) const AHEAD: usize = 1024;

/// What a session is charged, and how long at most if nobody uses it.
#[derive(Clone, Debug)]
pub struct Ending {
    /// When it ends, engine time; a request in flight counts as finished at its bound. From [`NEVER`] on: not by itself.
    pub at: Millis,
    /// When it may be evicted for somebody; [`Millis::MAX`] if it may not.
    pub evict: Millis,
    /// Since when it is charged.
    pub since: Millis,
    /// How.
    pub charge: Charge,
    /// For how many connections.
    pub count: u64,
    /// Whether it is for a feature that it took, not for its license.
    pub feature: bool,
}

impl Ending {
    /// Of a feature that a session took which ends then.
    pub(crate) fn of_feature(taken: &Taken, at: Millis) -> Self {
        Self { at, evict: Millis::MAX, since: taken.since, charge: taken.charge(), count: taken.count, feature: true }
    }

    /// When it goes at the earliest.
    pub(crate) fn first(&self) -> Millis {
        self.at.min(self.evict)
    }
}

/// Which sessions may be evicted for somebody.
pub(crate) struct Evicts {
    whom: Evict,
    idle: Millis,
}

impl Evicts {
    /// For who was refused, at whatever time.
    pub fn of(refusal: &Refusal, pool: &PoolDefinition) -> Self {
        let soft = matches!(refusal.rank, Rank::Reserved(position)
            if pool.reservations.get(usize::from(position)).is_some_and(|reservation| !reservation.hard));
        let whom = match pool.evict {
            _ if refusal.feature => Evict::None,
            _ if soft => Evict::Any,
            evict if refusal.anonymous => evict.min(Evict::Anonymous),
            evict => evict,
        };
        Self { whom, idle: pool.evict_idle }
    }

    /// Whether any may.
    pub fn anybody(&self) -> bool {
        self.whom != Evict::None
    }

    /// After how long idle one with this license may; `None` if it may not.
    pub fn idle_of(&self, license: LicenseClass) -> Option<Millis> {
        match self.whom {
            Evict::Any => Some(self.idle),
            Evict::Anonymous if license == LicenseClass::Anonymous => Some(self.idle),
            _ => None,
        }
    }
}

/// Who was refused, as far as it matters when there may be a unit for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Refusal {
    /// How it was to be charged: the name in the books, if it has one.
    pub(crate) user: Option<Arc<str>>,
    /// Whether its units would count as those of anonymous sessions.
    pub(crate) anonymous: bool,
    /// What it is to the pool.
    pub(crate) rank: Rank,
    /// For how many connections.
    pub(crate) count: u64,
    /// Among those who wait.
    pub(crate) priority: i8,
    /// Whether it is for a feature: nobody goes for one.
    pub(crate) feature: bool,
    /// The session that asks, which stays; none is one to be made.
    pub(crate) session: Option<SessionRef>,
    /// What that leaves for what it asks for.
    pub(crate) leaves: Option<Leaves>,
}

/// Whom a session leaves that changes its holder.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Leaves {
    /// Itself; whether it is anonymous.
    Itself(bool),
    /// A user, by the name in the books.
    User(Arc<str>),
}

impl Refusal {
    /// Of a session that was to be charged so.
    pub(crate) fn new(charge: &Charge, rank: Rank) -> Self {
        let (user, anonymous) = (charge.holder.booked().cloned(), charge.is_anonymous());
        // As it asks: who has no name is like others.
        let rank = if user.is_some() { rank } else { Rank::Ordinary };
        Self { user, anonymous, rank, count: 1, priority: 0, feature: false, session: None, leaves: None }
    }

    /// Of a session that is its own holder.
    pub(crate) fn own(pool: u32, class: LicenseClass) -> Self {
        Self::new(&Charge { pool, class, holder: Holder::Session, client: None }, Rank::Ordinary)
    }

    /// Of one that is there, and would leave what it is charged.
    pub(crate) fn of(self, session: SessionRef, from: Option<&Charge>) -> Self {
        let leaves = from.map(|from| match from.holder.booked() {
            Some(user) => Leaves::User(user.clone()),
            None => Leaves::Itself(from.is_anonymous()),
        });
        Self { session: Some(session), leaves, ..self }
    }

    /// Where it comes in among those who wait.
    fn place(&self) -> (Lane, Rank, Turn) {
        let turn = Turn { priority: Reverse(self.priority), seq: u64::MAX };
        (if self.anonymous { Lane::anonymous() } else { Lane::of_rank(self.rank) }, self.rank, turn)
    }

    /// What an answer for it depends on, of a pool by these rules: refusals with one key have one answer. What the pool has of
    /// its user and of its session matters only if it has anything.
    pub(crate) fn key(&self, pool: &PoolDefinition, (user, session): (bool, bool)) -> Self {
        let apart = !pool.reservations.is_empty() || pool.break_glass > 0;
        Self {
            user: self.user.clone().filter(|_| user),
            rank: if apart { self.rank } else { Rank::Ordinary },
            session: self.session.filter(|_| session),
            leaves: self.leaves.clone().filter(|_| session),
            ..*self
        }
    }
}

/// What is known of a pool at one instant.
pub(crate) struct Outlook<'a> {
    pub pool: &'a PoolDefinition,
    pub totals: &'a Totals,
    pub now: Millis,
    /// Users with lingering units, some of them.
    pub lingering: Vec<(Arc<str>, UserHolder)>,
    /// Units that outlived their sessions, those that are free first.
    pub orphans: Vec<Orphan>,
    /// Those who wait, the first [`AHEAD`] in the order of their turns.
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

    fn ahead<'w>(
        &self,
        waiter: &'w Waiter,
        holder: &mut impl FnMut(&Arc<str>) -> Option<UserHolder>,
    ) -> Ahead<'w> {
        let held = waiter.charge.holder.booked().and_then(holder);
        // Who may not have any is told so by its turn.
        let units = ledger::wanted(self.pool, &waiter.charge, waiter.count, held.as_ref()).unwrap_or(0);
        Ahead { waiter, units: units.saturating_sub(waiter.gives) }
    }

    /// The first instant at which there is enough.
    fn after(&self, changes: &[Change], asks: &Asks<'_>, mut ahead: Vec<Ahead<'_>>) -> Option<Millis> {
        let more = self.totals.waiting > self.line.len() as u64;
        let mut then = Then { pool: self.pool, totals: self.totals.clone(), shares: Shares::default(), lent: Vec::new() };
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
        if waiter.anonymous()
            && pool.anonymous_cap.is_some_and(|cap| self.totals.anonymous.saturating_add(units) > cap)
        {
            return Err(false);
        }
        if apart && policy::room(pool, &self.totals, pool.capacity, rank).apart() < units {
            return Err(true);
        }
        let mut had = self.totals.clone();
        self.reclaim(&mut had);
        let limit = policy::limit(pool, &self.totals, now);
        let room = policy::room(pool, &had, limit, rank);
        let totals = &mut self.totals;
        if room.all() < units {
            return Err(true);
        }
        let (reserved, seat) = room.reserved(rank, units);
        totals.in_use = totals.in_use.saturating_add(units);
        if waiter.anonymous() {
            totals.anonymous = totals.anonymous.saturating_add(units);
        }
        change_seat(&mut totals.reserved, seat, i64::try_from(reserved).unwrap_or(i64::MAX));
        if had.in_use.saturating_add(units) > pool.capacity {
            totals.overdrawn.get_or_insert(now);
        }
        Ok(())
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
            evicts.units -= many as i64;
            evicts.anonymous -= many as i64;
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
        let (whom, _) = policy::evicts(pool, refusal.rank, refusal.anonymous, &room, wanted);
        let goes = match whom {
            _ if !may_evict => 0,
            Evict::None => 0,
            Evict::Anonymous => evicts.anonymous,
            Evict::Any => evicts.units,
        };
        totals.in_use = changed(totals.in_use, -goes);
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

/// The first sessions of a pool to end: which slots, and how far they tell the truth.
#[derive(Clone, Debug, Default)]
pub(crate) struct First {
    /// When each ends, and its slot, the earliest first.
    pub slots: Vec<(Millis, u32)>,
    /// Whether these are all.
    pub complete: bool,
}

impl First {
    /// The `most` earliest.
    pub fn of(mut slots: Vec<(Millis, u32)>, most: usize) -> Self {
        let complete = slots.len() <= most;
        if !complete {
            slots.select_nth_unstable(most - 1);
            slots.truncate(most);
        }
        slots.sort_unstable();
        Self { slots, complete }
    }

    /// Until when there is no other that ends.
    pub fn horizon(&self) -> Millis {
        match self.slots.last() {
            Some((last, _)) if !self.complete => *last,
            _ => Millis::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::license::rules::PoolRule;
    use crate::reason::{LicenseClass, UnitRule};

    fn ending(at: Millis, user: &str) -> Ending {
        let holder = if user.is_empty() { Holder::Session } else { Holder::User(user.into()) };
        let charge = Charge { pool: 0, class: LicenseClass::Named, holder, client: None };
        Ending { at, evict: Millis::MAX, since: 0, charge, count: 1, feature: false }
    }

    fn own() -> Refusal {
        Refusal::own(0, LicenseClass::Named)
    }

    fn ask(
        pool: &PoolDefinition,
        totals: Totals,
        refusal: &Refusal,
        endings: &[Ending],
        held: UserHolder,
    ) -> Option<Millis> {
        let outlook = Outlook { pool, totals: &totals, now: 10, lingering: Vec::new(), orphans: Vec::new(), line: Vec::new() };
        outlook.back(refusal, endings, |_| Some(held))
    }

    fn back(pool: &PoolDefinition, in_use: u64, endings: &[(Millis, &str)], held: UserHolder) -> Option<Millis> {
        let endings: Vec<Ending> = endings.iter().map(|(at, user)| ending(*at, user)).collect();
        ask(pool, Totals { in_use, ..Totals::default() }, &own(), &endings, held)
    }

    #[test]
    fn who_may_be_evicted_counts_from_then_on() {
        let rule = PoolRule { unit_rule: UnitRule::User, max_connections: 2, max_sessions_per_holder: None };
        let pool = PoolDefinition { rule, evict: Evict::Any, ..PoolDefinition::plain("main", 1) };
        let full = || Totals { in_use: 1, ..Totals::default() };
        let two = UserHolder { connections: 2, units: 1, ..UserHolder::new(0) };
        let ada = |at, evict| Ending { evict, ..ending(at, "ada") };
        let asks = |pool: &PoolDefinition, refusal: &Refusal, endings: &[Ending], held| {
            ask(pool, full(), refusal, endings, held)
        };
        // All sessions of a user go, or none.
        assert_eq!(asks(&pool, &own(), &[ada(90, 20), ada(80, 30)], two), Some(30));
        assert_eq!(asks(&pool, &own(), &[ada(90, 20), ada(40, 60)], two), Some(40));
        assert_eq!(asks(&pool, &own(), &[ada(90, 20)], two), None);
        // Not within the minimal time, nor if the unit counts as reserved, nor for a feature, nor for the user itself.
        let young = PoolDefinition { min_hold: 50, ..pool.clone() };
        assert_eq!(asks(&young, &own(), &[ada(90, 20), ada(80, 30)], two), Some(50));
        let reserved = UserHolder { reserved: 1, seat: 1, ..two };
        assert_eq!(asks(&pool, &own(), &[ada(90, 20), ada(80, 30)], reserved), Some(90));
        let feature = Refusal { feature: true, ..own() };
        assert_eq!(asks(&pool, &feature, &[ada(90, 20), ada(80, 30)], two), Some(90));
        let one = |evict| Ending { evict, ..ending(90, "") };
        assert_eq!(asks(&pool, &own(), &[one(20)], two), Some(20));
        // It lingers only if all went by themselves.
        let kept = PoolDefinition { linger: 30, reclaim: false, ..pool.clone() };
        assert_eq!(asks(&kept, &own(), &[ada(90, 20), ada(80, 30)], two), Some(30));
        assert_eq!(asks(&kept, &own(), &[ada(90, 200), ada(80, 300)], two), Some(120));
        // Of a capacity that was lowered the excess drains first.
        let excess = Totals { in_use: 2, excess: 1, ..Totals::default() };
        assert_eq!(ask(&pool, excess, &own(), &[one(20), Ending { at: 60, ..one(200) }], two), Some(60));
    }

    #[test]
    fn what_is_set_apart_for_others_is_of_no_use() {
        let reservations = vec![policy::Reserved { units: 1, hard: true }];
        let pool = PoolDefinition { reservations, ..PoolDefinition::plain("main", 2) };
        let totals = Totals { in_use: 2, reserved: vec![1], ..Totals::default() };
        let ada = UserHolder { connections: 1, units: 1, reserved: 1, seat: 1, ..UserHolder::new(0) };
        let endings = [ending(20, "ada"), ending(50, "")];
        assert_eq!(ask(&pool, totals.clone(), &own(), &endings, ada), Some(50));
        let member = Refusal { user: Some("bob".into()), rank: Rank::Reserved(0), ..own() };
        let outlook = Outlook { pool: &pool, totals: &totals, now: 10, lingering: Vec::new(), orphans: Vec::new(), line: Vec::new() };
        assert_eq!(outlook.back(&member, &endings, |user| (&**user == "ada").then_some(ada)), Some(20));
        // Of anonymous sessions there are as many as there may be.
        let capped = PoolDefinition { anonymous_cap: Some(1), ..PoolDefinition::plain("main", 2) };
        let guest = Refusal::own(0, LicenseClass::Anonymous);
        let mut endings = [ending(20, ""), ending(50, "")];
        endings[1].charge.class = LicenseClass::Anonymous;
        let totals = Totals { in_use: 2, anonymous: 1, ..Totals::default() };
        assert_eq!(ask(&capped, totals, &guest, &endings, ada), Some(50));
    }

    #[test]
    fn an_overdraft_that_is_over_lends_nothing() {
        let pool = PoolDefinition { overdraft: 1, overdraft_time: 25, ..PoolDefinition::plain("main", 1) };
        let totals = || Totals { in_use: 2, overdrawn: Some(5), ..Totals::default() };
        let held = UserHolder::new(0);
        assert_eq!(ask(&pool, totals(), &own(), &[ending(20, ""), ending(50, "")], held), Some(20));
        // Back within the capacity it may lend again.
        assert_eq!(ask(&pool, totals(), &own(), &[ending(40, ""), ending(50, "")], held), Some(40));
        let none = PoolDefinition { overdraft: 2, ..pool.clone() };
        let three = Totals { in_use: 3, overdrawn: Some(5), ..Totals::default() };
        assert_eq!(ask(&none, three, &own(), &[ending(40, ""), ending(50, "")], held), Some(50));
    }

    #[test]
    fn what_a_session_took_is_back_with_its_end() {
        let rule = PoolRule { unit_rule: UnitRule::Session, max_connections: 1, max_sessions_per_holder: None };
        let pool = PoolDefinition { rule, ..PoolDefinition::plain("cad", 3) };
        let taker = UserHolder { connections: 3, units: 3, ..UserHolder::new(0) };
        let took = |at, count| {
            let holder = Holder::taker(crate::id::SessionId([1; 16]), LicenseClass::Named);
            let taken = Taken { pool: 0, count, holder, since: 0 };
            Ending::of_feature(&taken, at)
        };
        let full = || Totals { in_use: 3, ..Totals::default() };
        assert_eq!(ask(&pool, full(), &own(), &[took(70, 3)], taker), Some(70));
        let held = PoolDefinition { min_hold: 100, linger: 500, ..pool };
        assert_eq!(ask(&held, full(), &own(), &[took(70, 3)], taker), Some(100));
    }

    #[test]
    fn a_unit_is_back_when_the_last_session_that_needs_it_ends() {
        let rule = PoolRule { unit_rule: UnitRule::Staircase, max_connections: 2, max_sessions_per_holder: None };
        let pool = PoolDefinition { rule, ..PoolDefinition::plain("main", 2) };
        let three = UserHolder { connections: 3, units: 2, ..UserHolder::new(0) };
        assert_eq!(back(&pool, 2, &[(50, "ada"), (60, "ada"), (70, "ada")], three), Some(50));
        let two = UserHolder { connections: 2, units: 1, ..UserHolder::new(0) };
        assert_eq!(back(&pool, 2, &[(50, "ada"), (60, "ada"), (70, "")], two), Some(60));
        assert_eq!(back(&pool, 2, &[(50, "ada"), (55, ""), (60, "ada")], two), Some(55));
        assert_eq!(back(&pool, 2, &[(50, "ada")], two), None);
        // Two units of three must be back after a shrink.
        assert_eq!(back(&pool, 3, &[(50, ""), (65, ""), (70, "")], two), Some(65));
        let held = PoolDefinition { min_hold: 100, linger: 30, ..pool.clone() };
        assert_eq!(back(&held, 2, &[(50, "")], two), Some(100));
        assert_eq!(back(&held, 2, &[(50, "ada"), (90, "ada")], two), Some(100));
        let kept = PoolDefinition { reclaim: false, ..held };
        assert_eq!(back(&kept, 2, &[(50, "ada"), (90, "ada")], two), Some(120));
    }

    #[test]
    fn what_lingers_counts_until_it_may_be_had() {
        let pool = PoolDefinition { min_hold: 40, linger: 90, ..PoolDefinition::plain("main", 1) };
        let totals = Totals { in_use: 1, lingering: 1, ..Totals::default() };
        let ada = UserHolder { units: 1, lingering: 1, until: 95, ..UserHolder::new(5) };
        let orphan = Orphan { session: crate::id::SessionId([1; 16]), anonymous: false, until: 30 };
        let outlook =
            |pool, orphans| Outlook { pool, totals: &totals, now: 10, lingering: vec![("ada".into(), ada)], orphans, line: Vec::new() };
        assert_eq!(outlook(&pool, vec![]).back(&own(), &[], |_| None), Some(45));
        assert_eq!(outlook(&pool, vec![orphan]).back(&own(), &[], |_| None), Some(30));
        let kept = PoolDefinition { reclaim: false, ..pool.clone() };
        assert_eq!(outlook(&kept, vec![]).back(&own(), &[], |_| None), Some(95));
    }

    #[test]
    fn the_first_are_the_earliest() {
        let first = First::of(vec![(5, 1), (3, 2), (9, 3), (4, 4)], 2);
        assert_eq!((&first.slots[..], first.horizon()), (&[(3, 2), (4, 4)][..], 4));
        assert_eq!(First::of(vec![(5, 1), (3, 2)], 2).horizon(), Millis::MAX);
    }
}
