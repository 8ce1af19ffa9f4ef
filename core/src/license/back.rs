//! When a unit of a full pool may be back: from who lingers, and from the sessions that end first.

use std::collections::HashMap;
use std::sync::Arc;

use super::books::{Totals, UserHolder};
use super::policy;
use super::rules;
use crate::clock::Millis;
use crate::table::{Charge, Holder, PoolDefinition};

/// Users and units that linger, of which so many are looked at.
pub(crate) const LOOKED_AT: usize = 64;

/// A session that is charged, and when it ends if it is not used before.
pub(crate) struct Ending {
    /// When it ends: engine time.
    pub at: Millis,
    /// Since when it is charged.
    pub since: Millis,
    /// How.
    pub charge: Charge,
}

/// What is known of a pool at one instant.
pub(crate) struct Outlook<'a> {
    pub pool: &'a PoolDefinition,
    pub totals: &'a Totals,
    pub now: Millis,
    /// Users with lingering units, some of them.
    pub lingering: Vec<(Arc<str>, UserHolder)>,
    /// When units that outlived their sessions are free, the first ones.
    pub orphans: Vec<Millis>,
}

impl Outlook<'_> {
    /// When a user's units can be had by others that no session needs after this one.
    fn free(&self, last: &Ending, held: &UserHolder) -> Millis {
        let lingers = if self.pool.reclaim { 0 } else { policy::linger(self.pool, last.charge.class) };
        last.at.saturating_add(lingers).max(held.ripe(self.pool, self.now))
    }

    /// When so many units may be back that there is one to give, if nobody who has one uses it or comes back; as far as these
    /// endings tell, the earliest first. `None`: they free too few.
    pub fn back(&self, endings: &[Ending], mut holder: impl FnMut(&Arc<str>) -> Option<UserHolder>) -> Option<Millis> {
        let limit = policy::limit(self.pool, self.totals, self.now);
        // Of a capacity that was lowered the excess comes first.
        let mut needed = self.totals.in_use.saturating_add(1).saturating_sub(limit).max(1);
        let mut frees: Vec<(Millis, u64)> = self.orphans.iter().map(|until| (*until, 1)).collect();
        for (_, held) in &self.lingering {
            let reclaimed = held.ripe(self.pool, self.now);
            // Who could be reclaimed now was of no use.
            let soon = self.pool.reclaim && reclaimed > self.now;
            frees.push((if soon { reclaimed.min(held.until) } else { held.until }, held.lingering));
        }
        let mut users: HashMap<&Arc<str>, (UserHolder, u64)> = HashMap::new();
        for ending in endings {
            let Holder::User(user) = &ending.charge.holder else {
                let least = policy::least(self.pool, ending.charge.class);
                frees.push((ending.at.max(ending.since.saturating_add(least)), 1));
                continue;
            };
            if !users.contains_key(user) {
                let Some(held) = holder(user) else { continue };
                users.insert(user, (held, 0));
            }
            let Some((held, ended)) = users.get_mut(user) else { continue };
            *ended += 1;
            let left = held.connections.saturating_sub(*ended);
            let spare = held.needed().saturating_sub(rules::units(self.pool.rule, left, held.needed()));
            if spare > 0 {
                frees.push((self.free(ending, held), spare));
                held.units = held.units.saturating_sub(spare);
                (held.connections, *ended) = (left, 0);
            }
        }
        frees.sort_unstable();
        for (at, units) in frees {
            needed = needed.saturating_sub(units);
            if needed == 0 {
                return Some(at);
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
        Ending { at, since: 0, charge: Charge { pool: 0, class: LicenseClass::Named, holder, client: None } }
    }

    fn back(pool: &PoolDefinition, in_use: u64, endings: &[(Millis, &str)], held: UserHolder) -> Option<Millis> {
        let totals = Totals { in_use, ..Totals::default() };
        let outlook = Outlook { pool, totals: &totals, now: 10, lingering: Vec::new(), orphans: Vec::new() };
        let endings: Vec<Ending> = endings.iter().map(|(at, user)| ending(*at, user)).collect();
        outlook.back(&endings, |_| Some(held))
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
        let outlook =
            |pool, orphans| Outlook { pool, totals: &totals, now: 10, lingering: vec![("ada".into(), ada)], orphans };
        assert_eq!(outlook(&pool, vec![]).back(&[], |_| None), Some(45));
        assert_eq!(outlook(&pool, vec![30]).back(&[], |_| None), Some(30));
        let kept = PoolDefinition { reclaim: false, ..pool.clone() };
        assert_eq!(outlook(&kept, vec![]).back(&[], |_| None), Some(95));
    }

    #[test]
    fn the_first_are_the_earliest() {
        let first = First::of(vec![(5, 1), (3, 2), (9, 3), (4, 4)], 2);
        assert_eq!((&first.slots[..], first.horizon()), (&[(3, 2), (4, 4)][..], 4));
        assert_eq!(First::of(vec![(5, 1), (3, 2)], 2).horizon(), Millis::MAX);
    }
}
