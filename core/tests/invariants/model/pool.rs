//! A pool of the model: its definition in the words of the configuration, what is held of it, and who waits for it.

use std::collections::BTreeMap;

use libsession_core::{DenyReason, Evict, Overdraft, UnitRule, reason::AtSessionLimit};

use super::account::Record;
use super::level::{Level, Told};
use super::line::Waiter;
use super::session::{Class, Holder};

/// What a user is to a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    Ordinary,
    /// Has the reservation at this position.
    Reserved(usize),
    Administrator,
    Excluded,
}

/// What a user or taker holds.
#[derive(Clone, Debug)]
pub struct Held {
    /// Units that its connections need.
    pub needed: u64,
    /// Units that it has beside, until then.
    pub lingering: u64,
    pub until: u64,
    /// Since when it has held some without a break.
    pub since: u64,
    /// When it took a unit, and as which class: of those that it has, the one that is held longest.
    pub acquired: u64,
    pub class: Class,
    /// So many of its units count as reserved, for this rank.
    pub reserved: u64,
    pub rank: Rank,
    /// The serial number of the last session that left it.
    pub last: u64,
}

impl Held {
    pub fn new(now: u64) -> Self {
        Self {
            needed: 0,
            lingering: 0,
            until: 0,
            since: now,
            acquired: now,
            class: Class::Named,
            reserved: 0,
            rank: Rank::Ordinary,
            last: 0,
        }
    }

    pub fn units(&self) -> u64 {
        self.needed + self.lingering
    }

    /// Those that are not reserved are given back first.
    pub fn trim(&mut self) {
        self.reserved = self.reserved.min(self.units());
    }
}

/// A unit that outlived the session that was its own holder.
#[derive(Clone, Debug)]
pub struct Orphan {
    /// The number of that session.
    pub session: usize,
    pub anonymous: bool,
    pub until: u64,
}

#[derive(Clone)]
pub struct Pool {
    /// Its definition.
    pub rules: libsession_core::Pool,
    pub held: BTreeMap<Holder, Held>,
    pub orphans: Vec<Orphan>,
    /// Who waits, in the order of their turns.
    pub line: Vec<Waiter>,
    /// Refused so far, by why.
    pub denials: BTreeMap<&'static str, u64>,
    pub evicted: u64,
    pub high_water: u64,
    /// Units beyond the capacity because it was lowered.
    pub excess: u64,
    /// Since when there are more units in use than there are.
    pub overdrawn: Option<u64>,
    pub level: Level,
    /// What is to be told of it, in this order, each once.
    pub told: Vec<Told>,
    /// Its accounts.
    pub records: Vec<Record>,
}

impl Pool {
    pub fn new(rules: libsession_core::Pool) -> Self {
        Self {
            rules,
            held: BTreeMap::new(),
            orphans: Vec::new(),
            line: Vec::new(),
            denials: BTreeMap::new(),
            evicted: 0,
            high_water: 0,
            excess: 0,
            overdrawn: None,
            level: Level::Recovered,
            told: Vec::new(),
            records: Vec::new(),
        }
    }

    /// Units of a holder with so many connections who needed so many until now.
    pub fn units(&self, connections: u64, needed: u64) -> u64 {
        let step = u64::from(self.rules.max_connections);
        match self.rules.unit_rule {
            _ if connections == 0 => 0,
            UnitRule::Session => connections,
            UnitRule::User | UnitRule::Hard => 1,
            UnitRule::Staircase => connections.div_ceil(step),
            // It falls off its cliff, and never shrinks.
            UnitRule::Iris if connections > step => connections.max(needed),
            _ => needed.max(1),
        }
    }

    /// Most connections of a holder.
    pub fn most(&self) -> u64 {
        let own = self.rules.max_sessions_per_holder.map_or(u64::MAX, u64::from);
        if self.rules.unit_rule == UnitRule::Hard { own.min(self.rules.max_connections.into()) } else { own }
    }

    /// What a user of these groups is to it.
    pub fn rank(&self, user: &str, groups: &[&str]) -> Rank {
        let names = |members: &[String]| {
            members.iter().any(|member| match member.strip_prefix("group:") {
                Some(group) => groups.contains(&group),
                None => member == user,
            })
        };
        let rules = &self.rules;
        if names(&rules.exclude) || (!rules.include.is_empty() && !names(&rules.include)) {
            return Rank::Excluded;
        }
        if names(&rules.administrators) {
            return Rank::Administrator;
        }
        let reservation = rules.reservations.iter().position(|reservation| names(&reservation.members));
        reservation.map_or(Rank::Ordinary, Rank::Reserved)
    }

    /// Whether it matters to it which groups somebody belongs to.
    pub fn names_groups(&self) -> bool {
        let rules = &self.rules;
        let reserved = rules.reservations.iter().flat_map(|reservation| &reservation.members);
        let mut members = reserved.chain(&rules.administrators).chain(&rules.include).chain(&rules.exclude);
        members.any(|member| member.starts_with("group:"))
    }

    /// Who is charged for a user at a client: the same user elsewhere may be somebody else.
    pub fn holder(&self, user: &str, place: Option<&str>) -> Holder {
        match place {
            Some(place) if self.rules.holder_per_client => Holder::User(format!("{user}@{place}")),
            _ => Holder::User(user.to_owned()),
        }
    }

    /// Units that are set apart for a rank, and whether nobody else may use them.
    pub fn apart(&self, rank: Rank) -> (u64, bool) {
        match rank {
            Rank::Reserved(position) => {
                self.rules.reservations.get(position).map_or((0, true), |one| (one.units, one.hard))
            }
            Rank::Administrator => (self.rules.break_glass, true),
            Rank::Ordinary | Rank::Excluded => (0, true),
        }
    }

    /// Somebody is refused.
    pub fn deny(&mut self, reason: DenyReason) {
        *self.denials.entry(reason.name()).or_default() += 1;
    }

    /// Units there may be in use at an instant.
    pub fn limit(&self, now: u64) -> u64 {
        let capacity = self.rules.capacity;
        let overdraft = match self.rules.overdraft {
            Overdraft::None => 0,
            Overdraft::Units(units) => units,
            Overdraft::Percent(percent) => capacity * u64::from(percent) / 100,
        };
        match (self.overdrawn, self.rules.overdraft_time) {
            (Some(since), Some(time)) if now >= since + time.as_millis() as u64 => capacity,
            _ => capacity + overdraft,
        }
    }

    /// How long a unit is held at least.
    pub fn least(&self, class: Class) -> u64 {
        let own = match class {
            Class::Named => None,
            Class::Anonymous => self.rules.anonymous_min_hold,
            Class::Lazy => self.rules.lazy_min_hold,
        };
        own.unwrap_or(self.rules.min_hold).as_millis() as u64
    }

    /// How long a user's unit lingers that a session of this class needed last.
    pub fn linger(&self, class: Class) -> u64 {
        let own = self.rules.lazy_linger.filter(|_| class == Class::Lazy);
        own.unwrap_or(self.rules.linger).as_millis() as u64
    }

    /// Until when a holder's units are held at least.
    pub fn ripe(&self, held: &Held) -> u64 {
        held.acquired + self.least(held.class)
    }

    /// Whether it may ever end a session for another.
    pub fn may_evict(&self) -> bool {
        let soft = self.rules.reservations.iter().any(|reservation| !reservation.hard);
        soft || self.rules.evict != Evict::None || self.rules.at_session_limit != AtSessionLimit::Deny
    }
}
