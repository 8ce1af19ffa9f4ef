//! Who was refused, and the sessions whose ends bring units back.

use std::cmp::Reverse;
use std::sync::Arc;

use super::policy::Rank;
use super::waiter::{Lane, Turn};
use crate::clock::Millis;
use crate::reason::{Evict, LicenseClass};
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
    pub(super) fn place(&self) -> (Lane, Rank, Turn) {
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

    #[test]
    fn the_first_are_the_earliest() {
        let first = First::of(vec![(5, 1), (3, 2), (9, 3), (4, 4)], 2);
        assert_eq!((&first.slots[..], first.horizon()), (&[(3, 2), (4, 4)][..], 4));
        assert_eq!(First::of(vec![(5, 1), (3, 2)], 2).horizon(), Millis::MAX);
    }
}
