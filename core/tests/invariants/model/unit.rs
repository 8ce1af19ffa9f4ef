//! What is to be said of a holder's units: through which sessions, since when, and when they come back.

use std::collections::BTreeSet;

use libsession_core::Evict;

use super::pool::Held;
use super::session::{Class, Holder};
use super::{Model, NEVER};

/// Everything that goes by one name: a user, or a session with what it has for itself and what it took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unit {
    pub connections: u64,
    pub units: u64,
    pub lingering: u64,
    /// How long it has held them without a break.
    pub active: u64,
    /// How long the last of those that linger do so.
    pub release_in: Option<u64>,
    /// The numbers of its sessions.
    pub sessions: BTreeSet<usize>,
}

impl Model {
    /// What a user holds.
    pub fn unit_of_user(&self, pool: usize, user: &str) -> Option<Unit> {
        self.unit_of(pool, &[Holder::User(user.to_owned())])
    }

    /// What a session holds that is no user's, also after its end.
    pub fn unit_of_session(&self, pool: usize, number: usize) -> Option<Unit> {
        let taken = self.unit_of(pool, &[Holder::Taker(number, false), Holder::Taker(number, true)]);
        let mut unit = taken.clone().unwrap_or_default();
        let session = &self.sessions[number];
        let own = session.is_live() && session.pool == Some(pool) && session.holder == Holder::Itself;
        if own {
            unit.sessions.insert(number);
            (unit.connections, unit.units) = (unit.connections + 1, unit.units + 1);
            unit.active = unit.active.max(self.now - session.licensed);
        }
        let orphans = &self.pools[pool].orphans;
        for orphan in orphans.iter().filter(|orphan| orphan.session == number) {
            (unit.units, unit.lingering) = (unit.units + 1, unit.lingering + 1);
            unit.release_in = unit.release_in.max(Some(orphan.until - self.now));
        }
        (unit.units > 0 || taken.is_some()).then_some(unit)
    }

    fn unit_of(&self, pool: usize, holders: &[Holder]) -> Option<Unit> {
        let held = |holder: &Holder| self.pools[pool].held.get(holder);
        if holders.iter().all(|holder| held(holder).is_none()) {
            return None;
        }
        let mut unit = Unit::default();
        for (holder, held) in holders.iter().filter_map(|holder| Some((holder, held(holder)?))) {
            let Held { lingering, since, until, .. } = *held;
            unit.connections += self.connections(pool, holder);
            unit.units += held.units();
            unit.lingering += lingering;
            unit.active = unit.active.max(self.now - since);
            unit.release_in = unit.release_in.max((lingering > 0).then(|| until - self.now));
            unit.sessions.extend(self.charged(pool, holder));
            let takes = self.live().filter(|(_, session)| session.has_taken(pool, holder));
            unit.sessions.extend(takes.map(|(number, _)| number));
        }
        Some(unit)
    }

    /// When the last of its units comes back if nobody uses its sessions; [`NEVER`] if one does not end by itself.
    pub fn last_back(&self, pool: usize, unit: &Unit, session: Option<usize>, user: &str) -> u64 {
        let of = &self.pools[pool];
        let end = unit.sessions.iter().map(|number| self.sessions[*number].unused_end()).max().unwrap_or(0);
        if end == NEVER {
            return NEVER;
        }
        let holders = match session {
            Some(number) => vec![Holder::Taker(number, false), Holder::Taker(number, true)],
            None => vec![Holder::User(user.to_owned())],
        };
        let held = holders.iter().filter_map(|holder| of.held.get(holder)).filter(|held| held.needed > 0);
        let own = session.map(|number| &self.sessions[number]);
        let own = own.filter(|own| own.is_live() && own.pool == Some(pool) && own.holder == Holder::Itself);
        let least = held.map(|held| of.ripe(held)).chain(own.map(|own| own.licensed + of.least(own.class())));
        least.chain(unit.release_in.map(|left| self.now + left)).max().unwrap_or(0).max(end)
    }

    /// How many ways there may be to have it back sooner: its sessions are ended, or are evicted for somebody; or what lingers of
    /// a user is reclaimed for somebody. What is no user's lingers for its minimal time alone.
    pub fn sooner(&self, pool: usize, unit: &Unit, is_user: bool) -> usize {
        let rules = &self.pools[pool].rules;
        let soft = rules.reservations.iter().any(|reservation| !reservation.hard);
        match unit.connections {
            0 => usize::from(is_user && rules.reclaim),
            _ => 1 + usize::from(rules.evict != Evict::None || soft),
        }
    }

    /// How long a user's unit may linger once its sessions have left: the shortest and the longest time.
    pub fn lingers(&self, pool: usize, unit: &Unit, user: &str) -> Option<(u64, u64)> {
        let holder = Holder::User(user.to_owned());
        let of = &self.pools[pool];
        let classes = unit.sessions.iter().flat_map(|number| {
            let session = &self.sessions[*number];
            let licensed = session.pool == Some(pool) && session.holder == holder;
            let taken = session.has_taken(pool, &holder).then_some(Class::Named);
            licensed.then(|| session.class()).into_iter().chain(taken)
        });
        let times: BTreeSet<u64> = classes.map(|class| of.linger(class)).collect();
        Some((*times.first()?, *times.last()?)).filter(|(_, longest)| *longest > 0)
    }
}
