//! License pools: units, and who gets them.

use std::time::Duration;

use super::{check_duration, check_user};
use crate::error::{Error, Result};
use crate::event::class::check_name;
use crate::license::policy::{MAX_RESERVATIONS, Rank};
use crate::reason::{AtSessionLimit, Evict, UnitRule};

/// The most units of a pool.
const MAX_CAPACITY: u64 = 1 << 32;
/// The most who may wait for a pool.
const MAX_QUEUE: u32 = 1_000_000;
/// What a member that is a group begins with.
const GROUP: &str = "group:";
/// What a member that is a user may begin with.
const USER: &str = "user:";

/// What becomes of a login whose license can't be traded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TradeFailure {
    /// The user is set, the session keeps its unit as its own holder, the result carries the denial.
    #[default]
    Keep,
    /// The login fails and nothing changes.
    Refuse,
}

/// How many units may be in use beyond the capacity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overdraft {
    /// None.
    #[default]
    None,
    /// So many.
    Units(u64),
    /// So many of a hundred of the capacity, rounded down.
    Percent(u32),
}

impl Overdraft {
    /// `5` units, or `10%`.
    pub fn parse(text: &str) -> Result<Self> {
        let parsed = match text.strip_suffix('%') {
            Some(percent) => percent.parse().ok().map(Self::Percent),
            None => text.parse().ok().map(|units| if units == 0 { Self::None } else { Self::Units(units) }),
        };
        parsed.ok_or_else(|| {
            Error::invalid(format!("overdraft '{text}' is neither a number of units nor a percentage like 10%"))
        })
    }

    /// As units of a pool.
    pub fn units(self, capacity: u64) -> u64 {
        match self {
            Self::None => 0,
            Self::Units(units) => units,
            Self::Percent(percent) => capacity.saturating_mul(u64::from(percent)) / 100,
        }
    }
}

/// Units that are set apart for some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// For whom: users by name, or `user:NAME`, and groups as `group:NAME`. Who is in several reservations has the first.
    pub members: Vec<String>,
    /// How many units: 1 up to the capacity.
    pub units: u64,
    /// Whether nobody else may use them meanwhile. Otherwise they only count as used by their members, who are told so in
    /// the accounts, and who get them back: when they find no other unit, a session that has none of the reserved ones is
    /// evicted for them, whatever the pool's `evict` says. Default true.
    pub hard: bool,
}

impl Reservation {
    /// A hard one.
    pub fn new<M: Into<String>>(units: u64, members: impl IntoIterator<Item = M>) -> Self {
        Self { members: members.into_iter().map(Into::into).collect(), units, hard: true }
    }
}

/// A limited set of license units.
#[derive(Clone, Debug)]
pub struct Pool {
    /// Its name: 1 to 128 bytes.
    pub name: String,
    /// Units there are.
    pub capacity: u64,
    /// How a holder with several sessions is charged. Default `staircase`.
    pub unit_rule: UnitRule,
    /// The step of the staircase, the cliff of `iris`, the limit of `hard`: 1 to 1,000,000. Default 25.
    pub max_connections: u32,
    /// Most sessions of one holder, with how often they take the pool as a feature; `None` is any number. Default `None`.
    pub max_sessions_per_holder: Option<u32>,
    /// What becomes of a login beyond `max_sessions_per_holder`, or beyond the limit of `hard`. Where one of the user's own
    /// sessions is ended for it, that is one step with the login: two logins that race never both pass. It may have a
    /// request in flight, as its own user wants it so. Default `deny`.
    pub at_session_limit: AtSessionLimit,
    /// Most units that `anonymous` sessions may hold together. Default `None`: as many as there are.
    pub anonymous_cap: Option<u64>,
    /// Most `anonymous` sessions of one client, by `client.address`: one IPv4 address, or one IPv6 network of 64 bits; a port
    /// counts for nothing, and what is no address counts as it is written. A login leaves them. Sessions without an address
    /// are not bounded. `None`, the default, is any number. Counts sessions that are created while it is set.
    pub anonymous_per_client: Option<u32>,
    /// Whether a user at several clients is several holders, `user@client`: a client is what it is for `anonymous_per_client`.
    /// Default false.
    pub holder_per_client: bool,
    /// `on_pool_low` when fewer units than this are available. Default 0: never.
    pub low: u64,
    /// `on_pool_recovered` when so many units are available again after it was low or exhausted; at most the capacity. Until
    /// then neither is told again. Default: `low`, at least 1.
    pub recovered: Option<u64>,
    /// How long a user keeps a unit that no session of theirs needs any more, to come back to it free. Default 0. A session
    /// that is its own holder can't come back, and a unit that is traded goes along: neither lingers. So there is none for
    /// `anonymous` sessions: a login makes them `named` ones.
    pub linger: Duration,
    /// The same where the last session to need the unit took its license as a `lazy` one. Default: `linger`.
    pub lazy_linger: Option<Duration>,
    /// How long a unit is held at least, from when it was taken. Default 0. A user who takes another one meanwhile holds all
    /// until the last of these times is over.
    pub min_hold: Duration,
    /// The same for units that `anonymous` sessions take. Default: `min_hold`.
    pub anonymous_min_hold: Option<Duration>,
    /// The same for units that `lazy` sessions take, but for features. Default: `min_hold`.
    pub lazy_min_hold: Option<Duration>,
    /// Whether a unit that lingers (but not one within `min_hold`) is given to somebody else when no other is free. Default
    /// true.
    pub reclaim: bool,
    /// How many may wait in the queue for units, of all processes together: 0, the default, is no queue; at most 1,000,000.
    /// Who waits says so, and how long, at the creation or the login.
    pub queue: u32,
    /// Units that may be in use beyond the capacity. Default none.
    pub overdraft: Overdraft,
    /// For how long units may be given beyond the capacity, counted from when it was passed until use is back within it;
    /// who has one then keeps it. `None`, the default, is any time.
    pub overdraft_time: Option<Duration>,
    /// Which sessions are ended, with reason `evicted`, for a unit that somebody needs and nothing else gives: the longest
    /// idle first. Never one with a request in flight or within `min_hold`, one of the same user, or one whose unit counts as
    /// reserved; for an anonymous session only other anonymous ones; for a feature none. Of a user all sessions go that it
    /// takes to free a unit, or none. Default `none`.
    pub evict: Evict,
    /// How long a session must have been idle to be evicted for somebody else. Default 0.
    pub evict_idle: Duration,
    /// Units that are set apart for some: at most 64 reservations, with no more units together than the capacity.
    pub reservations: Vec<Reservation>,
    /// Units of the capacity that only `administrators` get, when they find no other. Default 0.
    pub break_glass: u64,
    /// For whom `break_glass` is: members as in a reservation. They are in no reservation.
    pub administrators: Vec<String>,
    /// The only users that are let in, members as in a reservation. Default: empty, everybody.
    pub include: Vec<String>,
    /// Users that are not let in, even if `include` names them.
    pub exclude: Vec<String>,
    /// What becomes of a login whose license can't be traded. Default `keep`.
    pub trade_failure: TradeFailure,
    /// How many audit records are kept. Default 10,000.
    pub audit_records: usize,
}

impl Pool {
    /// A pool with the defaults.
    pub fn new(name: impl Into<String>, capacity: u64) -> Self {
        Self {
            name: name.into(),
            capacity,
            unit_rule: UnitRule::Staircase,
            max_connections: 25,
            max_sessions_per_holder: None,
            at_session_limit: AtSessionLimit::Deny,
            anonymous_cap: None,
            anonymous_per_client: None,
            holder_per_client: false,
            low: 0,
            recovered: None,
            linger: Duration::ZERO,
            lazy_linger: None,
            min_hold: Duration::ZERO,
            anonymous_min_hold: None,
            lazy_min_hold: None,
            reclaim: true,
            queue: 0,
            overdraft: Overdraft::None,
            overdraft_time: None,
            evict: Evict::None,
            evict_idle: Duration::ZERO,
            reservations: Vec::new(),
            break_glass: 0,
            administrators: Vec::new(),
            include: Vec::new(),
            exclude: Vec::new(),
            trade_failure: TradeFailure::Keep,
            audit_records: 10_000,
        }
    }

    pub(crate) fn check(&self) -> Result<()> {
        check_name("pool", &self.name)?;
        if self.capacity > MAX_CAPACITY {
            return Err(Error::invalid(format!(
                "capacity {} of pool '{}' is over the bound of {MAX_CAPACITY}",
                self.capacity, self.name
            )));
        }
        self.check_policies()?;
        if !(1..=1_000_000).contains(&self.max_connections) {
            return Err(Error::invalid(format!(
                "max_connections {} of pool '{}' is not between 1 and 1,000,000",
                self.max_connections, self.name
            )));
        }
        if self.max_sessions_per_holder == Some(0) {
            return Err(Error::invalid(format!(
                "max_sessions_per_holder 0 of pool '{}' would admit nobody; leave it out for no limit",
                self.name
            )));
        }
        if self.anonymous_per_client == Some(0) {
            return Err(Error::invalid(format!(
                "anonymous_per_client 0 of pool '{}' would admit nobody; leave it out for no limit",
                self.name
            )));
        }
        Ok(())
    }

    fn check_policies(&self) -> Result<()> {
        let overdraft = self.overdraft.units(self.capacity);
        if overdraft > MAX_CAPACITY {
            return Err(self.wrong(format!("overdraft of {overdraft} units is over the bound of {MAX_CAPACITY}")));
        }
        if self.queue > MAX_QUEUE {
            return Err(self.wrong(format!("queue {} is over the bound of {MAX_QUEUE}", self.queue)));
        }
        if let Some(recovered) = self.recovered.filter(|recovered| *recovered > self.capacity) {
            return Err(self.wrong(format!("recovered {recovered} is more than its capacity of {}", self.capacity)));
        }
        for (what, value) in [
            ("linger", Some(self.linger)),
            ("lazy_linger", self.lazy_linger),
            ("min_hold", Some(self.min_hold)),
            ("anonymous_min_hold", self.anonymous_min_hold),
            ("lazy_min_hold", self.lazy_min_hold),
            ("overdraft_time", self.overdraft_time),
            ("evict_idle", Some(self.evict_idle)),
        ] {
            check_duration(what, value.unwrap_or_default())?;
        }
        if self.reservations.len() > MAX_RESERVATIONS {
            let count = self.reservations.len();
            return Err(self.wrong(format!("{count} reservations are over the bound of {MAX_RESERVATIONS}")));
        }
        let mut apart = self.break_glass;
        for reservation in &self.reservations {
            if reservation.units == 0 || reservation.members.is_empty() {
                return Err(self.wrong("a reservation needs units and members".into()));
            }
            apart = apart.saturating_add(reservation.units);
        }
        if apart > self.capacity {
            return Err(self.wrong(format!(
                "reservations and break_glass set {apart} apart, more than its capacity of {}",
                self.capacity
            )));
        }
        if self.break_glass > 0 && self.administrators.is_empty() {
            return Err(self.wrong("break_glass units are for administrators, and none is named".into()));
        }
        let reserved = self.reservations.iter().flat_map(|reservation| &reservation.members);
        for member in reserved.chain(&self.administrators).chain(&self.include).chain(&self.exclude) {
            check_user(member.strip_prefix(GROUP).or(member.strip_prefix(USER)).unwrap_or(member))?;
        }
        Ok(())
    }

    pub(super) fn wrong(&self, what: String) -> Error {
        Error::invalid(format!("pool '{}': {what}", self.name))
    }

    /// Whether who may have a unit depends on groups.
    pub(crate) fn names_groups(&self) -> bool {
        let names = |members: &[String]| members.iter().any(|member| member.starts_with(GROUP));
        names(&self.include)
            || names(&self.exclude)
            || names(&self.administrators)
            || self.reservations.iter().any(|reservation| names(&reservation.members))
    }

    /// What a user of these groups is to the pool.
    pub(crate) fn rank<G: AsRef<str>>(&self, user: &str, groups: &[G]) -> Rank {
        let among = |members: &[String]| {
            members.iter().any(|member| match member.strip_prefix(GROUP) {
                Some(group) => groups.iter().any(|known| known.as_ref() == group),
                None => member.strip_prefix(USER).unwrap_or(member) == user,
            })
        };
        if (!self.include.is_empty() && !among(&self.include)) || among(&self.exclude) {
            return Rank::Excluded;
        }
        if among(&self.administrators) {
            return Rank::Administrator;
        }
        let reservation = self.reservations.iter().position(|reservation| among(&reservation.members));
        match reservation.and_then(|position| u8::try_from(position).ok()) {
            Some(position) => Rank::Reserved(position),
            None => Rank::Ordinary,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_a_user_or_a_group() {
        let pool = Pool {
            include: vec!["group:cad".into(), "eve".into(), "root".into()],
            exclude: vec!["eve".into()],
            reservations: vec![Reservation::new(1, ["user:ann", "group:leads"]), Reservation::new(1, ["group:cad"])],
            break_glass: 1,
            administrators: vec!["root".into()],
            ..Pool::new("main", 3)
        };
        assert_eq!(pool.check(), Ok(()));
        for (user, groups, rank) in [
            ("ann", &["cad"][..], Rank::Reserved(0)),
            ("bob", &["cad"], Rank::Reserved(1)),
            ("bob", &["cad", "leads"], Rank::Reserved(0)),
            ("ann", &[], Rank::Excluded),
            ("eve", &["cad"], Rank::Excluded),
            ("root", &["cad"], Rank::Administrator),
        ] {
            assert_eq!(pool.rank(user, groups), rank, "{user} of {groups:?}");
        }
        let open = Pool { include: vec![], exclude: vec![], ..pool };
        assert_eq!(open.rank("zoe", &[""; 0]), Rank::Ordinary);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_value() {
        let pool = Pool::new("main", 3);
        let apart = |units, glass| Pool {
            reservations: vec![Reservation::new(units, ["ann"])],
            break_glass: glass,
            administrators: vec!["root".into()],
            ..Pool::new("main", 3)
        };
        assert_eq!(apart(2, 1).check(), Ok(()));
        for (wrong, told) in [
            (apart(3, 1), "set 4 apart"),
            (apart(0, 0), "needs units"),
            (Pool { break_glass: 1, ..pool.clone() }, "administrators"),
            (Pool { recovered: Some(4), ..pool.clone() }, "recovered 4"),
            (Pool { exclude: vec!["group:".into()], ..pool.clone() }, "empty"),
            (Pool { overdraft: Overdraft::Units(1 << 33), ..pool.clone() }, "8589934592"),
            (Pool { linger: Duration::MAX, ..pool }, "linger"),
        ] {
            let error = wrong.check().expect_err(told);
            assert!(error.message().contains(told), "{error}");
        }
        assert_eq!(Overdraft::Percent(10).units(33), 3);
        for (text, overdraft) in [("0", Overdraft::None), ("7", Overdraft::Units(7)), ("10%", Overdraft::Percent(10))] {
            assert_eq!(Overdraft::parse(text), Ok(overdraft));
        }
        for wrong in ["", "%", "-1", "x%", "1.5"] {
            assert!(Overdraft::parse(wrong).is_err(), "{wrong}");
        }
    }
}
