//! When a unit of a full pool may be back: from who lingers, and from the sessions that end or may be evicted first.

use std::collections::HashMap;
use std::sync::Arc;

use super::books::{Orphan, Totals, UserHolder};
use super::evict::MOST;
use super::ledger::{self, OWN};
use super::policy::{self, Rank};
use super::rules;
use crate::clock::{Millis, NEVER};
use crate::reason::{Evict, LicenseClass};
use crate::table::{Charge, Holder, PoolDefinition, Taken};

/// Users and units that linger, of which so many are looked at.
pub(crate) const LOOKED_AT: usize = 64;

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

    fn goes(&self, evicts: bool) -> Millis {
        if evicts { self.first() } else { self.at }
    }
}

/// Which sessions may be evicted for somebody.
pub(crate) struct Evicts {
    whom: Evict,
    idle: Millis,
}

impl Evicts {
    /// For who was refused.
    pub fn of(refusal: &Refusal, pool: &PoolDefinition, totals: &Totals, now: Millis) -> Self {
        Self { whom: refusal.whom(pool, totals, now), idle: pool.evict_idle }
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
    /// Whether it is for a feature: nobody goes for one.
    pub(crate) feature: bool,
}

impl Refusal {
    /// Of a session that was to be charged so.
    pub(crate) fn new(charge: &Charge, rank: Rank) -> Self {
        let (user, anonymous) = (charge.holder.booked().cloned(), charge.is_anonymous());
        // As it asks: who has no name is like others.
        let rank = if user.is_some() { rank } else { Rank::Ordinary };
        Self { user, anonymous, rank, count: 1, feature: false }
    }

    /// Of a session that is its own holder.
    pub(crate) fn own(pool: u32, class: LicenseClass) -> Self {
        Self::new(&Charge { pool, class, holder: Holder::Session, client: None }, Rank::Ordinary)
    }

    /// Whose sessions may have to go for it.
    fn whom(&self, pool: &PoolDefinition, totals: &Totals, now: Millis) -> Evict {
        if self.feature || !pool.may_evict() {
            return Evict::None;
        }
        let room = policy::room(pool, totals, policy::limit(pool, totals, now), self.rank);
        policy::evicts(pool, self.rank, self.anonymous, &room, OWN).0
    }

    /// What an answer for it depends on, of a pool by these rules: refusals with one key have one answer.
    pub(crate) fn key(&self, pool: &PoolDefinition) -> Self {
        let apart = !pool.reservations.is_empty() || pool.break_glass > 0;
        Self {
            user: self.user.clone().filter(|_| pool.may_evict()),
            anonymous: self.anonymous,
            rank: if apart { self.rank } else { Rank::Ordinary },
            ..*self
        }
    }
}

/// Units that come free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Free {
    /// When.
    pub at: Millis,
    /// How many.
    pub units: u64,
    reserved: u64,
    seat: u8,
    anonymous: u64,
}

impl Free {
    /// Of a user: those that count as reserved come last.
    fn of(held: &UserHolder, at: Millis, units: u64) -> Self {
        let reserved = units.saturating_sub(held.units.saturating_sub(held.reserved)).min(held.reserved);
        Self { at, units, reserved, seat: held.seat, anonymous: 0 }
    }
}

/// How the endings of sessions free units.
pub(crate) struct Frees<'a> {
    pub pool: &'a PoolDefinition,
    pub now: Millis,
    /// Who may not be evicted: whoever it would be for.
    pub spared: Option<&'a Arc<str>>,
    /// Before that instant nobody is evicted.
    pub evicts_from: Millis,
    /// Whether units that linger count as held.
    pub lingers: bool,
}

impl Frees<'_> {
    /// What comes free, in no order.
    pub fn of(&self, endings: &[Ending], mut holder: impl FnMut(&Arc<str>) -> Option<UserHolder>) -> Vec<Free> {
        let mut frees = Vec::new();
        let mut users: HashMap<&Arc<str>, Vec<Ending>> = HashMap::new();
        for known in endings {
            let ending = Ending { evict: known.evict.max(self.evicts_from), ..known.clone() };
            if let Some(user) = known.charge.holder.booked() {
                users.entry(user).or_default().push(ending);
                continue;
            }
            let (at, class) = (ending.first(), ending.charge.class);
            if at < NEVER {
                let least = ending.since.min(self.now).saturating_add(policy::least(self.pool, class));
                let anonymous = u64::from(ending.charge.is_anonymous());
                frees.push(Free { at: at.max(least), units: OWN, reserved: 0, seat: 0, anonymous });
            }
        }
        for (user, endings) in users {
            if let Some(held) = holder(user) {
                self.of_user(user, held, endings, &mut frees);
            }
        }
        frees
    }

    fn of_user(&self, user: &Arc<str>, mut held: UserHolder, mut endings: Vec<Ending>, frees: &mut Vec<Free>) {
        let mut evicts = self.spared != Some(user) && endings.iter().any(|ending| ending.evict < ending.at);
        endings.sort_by_key(|ending| ending.goes(evicts));
        let mut endings = &mut endings[..];
        while !endings.is_empty() {
            let (mut gone, mut count, mut spare) = (0, 0, 0);
            for ending in &*endings {
                gone += ending.count;
                count += 1;
                let left = held.connections.saturating_sub(gone);
                spare = held.needed().saturating_sub(rules::units(self.pool.rule, left, held.needed()));
                if spare > 0 {
                    break;
                }
            }
            let group = &endings[..count];
            let Some(last) = group.last().filter(|last| spare > 0 && last.goes(evicts) < NEVER) else { break };
            let evicted = evicts && group.iter().any(|ending| ending.evict < ending.at);
            if evicted && (gone > MOST || spare > held.units.saturating_sub(held.reserved)) {
                // They stay until they end.
                evicts = false;
                endings.sort_by_key(|ending| ending.at);
                continue;
            }
            let class = last.charge.class;
            let (ripe, lingers) = match &last.charge.holder {
                Holder::Taker(_) => (held.acquired.min(self.now).saturating_add(policy::least(self.pool, class)), 0),
                _ => (held.ripe(self.pool, self.now), policy::linger(self.pool, class)),
            };
            let lingers = if self.lingers && !evicted { lingers } else { 0 };
            let free = Free::of(&held, last.goes(evicts).saturating_add(lingers).max(ripe), spare);
            let anonymous = if last.charge.is_anonymous() { spare } else { 0 };
            frees.push(Free { anonymous, ..free });
            held.connections = held.connections.saturating_sub(gone);
            held.units = held.units.saturating_sub(spare);
            held.reserved = held.reserved.saturating_sub(free.reserved);
            endings = &mut endings[count..];
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
}

impl Outlook<'_> {
    /// When so many units may be back that there are enough for who was refused, if nobody who has one uses it or comes back;
    /// as far as these endings tell. `None`: they free too few.
    pub fn back(
        &self,
        refusal: &Refusal,
        endings: &[Ending],
        mut holder: impl FnMut(&Arc<str>) -> Option<UserHolder>,
    ) -> Option<Millis> {
        let known = refusal.user.as_ref().and_then(&mut holder);
        let wanted = match &refusal.user {
            None => OWN,
            Some(_) => ledger::wanted_more(self.pool, refusal.count, known.as_ref()).ok()?.max(OWN),
        };
        let mut frees = Frees {
            pool: self.pool,
            now: self.now,
            spared: refusal.user.as_ref(),
            evicts_from: Millis::MAX,
            lingers: !self.pool.reclaim,
        };
        let standing = self.standing();
        if refusal.whom(self.pool, self.totals, self.now) != Evict::None {
            // Of a capacity that was lowered the excess drains first.
            frees.evicts_from = if self.totals.excess == 0 {
                0
            } else {
                let mut drains = frees.of(endings, &mut holder);
                drains.extend(&standing);
                self.after(drains, |totals, _| totals.excess == 0).unwrap_or(Millis::MAX)
            };
        }
        let mut all = frees.of(endings, &mut holder);
        all.extend(standing);
        self.after(all, |totals, at| {
            let room = policy::room(self.pool, totals, policy::limit(self.pool, totals, at), refusal.rank);
            let cap = self.pool.anonymous_cap.filter(|_| refusal.anonymous);
            room.all() >= wanted && cap.is_none_or(|cap| totals.anonymous.saturating_add(wanted) <= cap)
        })
    }

    /// What comes free although no session ends.
    fn standing(&self) -> Vec<Free> {
        let orphan = |orphan: &Orphan| Free {
            at: orphan.until,
            units: OWN,
            reserved: 0,
            seat: 0,
            anonymous: u64::from(orphan.anonymous),
        };
        let lingering = |(user, held): &(Arc<str>, UserHolder)| {
            let reclaimed = held.ripe(self.pool, self.now);
            // Who could be reclaimed now was of no use; what a session took for itself is reclaimed by nobody.
            let soon = self.pool.reclaim && reclaimed > self.now && !Holder::takes(user);
            let free = Free::of(held, if soon { reclaimed.min(held.until) } else { held.until }, held.lingering);
            let anonymous = Holder::of(user.clone()).class_of_takes() == LicenseClass::Anonymous;
            Free { anonymous: if anonymous { free.units } else { 0 }, ..free }
        };
        self.orphans.iter().map(orphan).chain(self.lingering.iter().map(lingering)).collect()
    }

    /// The first instant at which it is enough.
    fn after(&self, mut frees: Vec<Free>, enough: impl Fn(&Totals, Millis) -> bool) -> Option<Millis> {
        frees.sort_unstable();
        let mut totals = self.totals.clone();
        for free in frees {
            totals.in_use = totals.in_use.saturating_sub(free.units);
            totals.anonymous = totals.anonymous.saturating_sub(free.anonymous);
            if let Some(used) = usize::from(free.seat).checked_sub(1).and_then(|seat| totals.reserved.get_mut(seat)) {
                *used = used.saturating_sub(free.reserved);
            }
            let beyond = totals.in_use.saturating_sub(self.pool.capacity);
            totals.excess = totals.excess.min(beyond);
            totals.overdrawn = totals.overdrawn.filter(|_| beyond > 0);
            if enough(&totals, free.at) {
                return Some(free.at);
            }
        }
        None
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
        let outlook = Outlook { pool, totals: &totals, now: 10, lingering: Vec::new(), orphans: Vec::new() };
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
        let outlook = Outlook { pool: &pool, totals: &totals, now: 10, lingering: Vec::new(), orphans: Vec::new() };
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
            |pool, orphans| Outlook { pool, totals: &totals, now: 10, lingering: vec![("ada".into(), ada)], orphans };
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
