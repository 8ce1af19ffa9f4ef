//! What a table must know of applications and pools.

use std::sync::Arc;

use crate::clock::{Millis, NEVER, millis};
use crate::config::Pool;
use crate::license::policy::Reserved;
use crate::license::rules::PoolRule;
use crate::reason::{AtSessionLimit, Evict};

/// What a table must know of an application.
#[derive(Clone, Debug)]
pub struct ApplicationRule {
    /// Its name.
    pub name: Arc<str>,
    /// The namespace of its sessions.
    pub namespace: Arc<str>,
    /// Most live sessions.
    pub max_sessions: u64,
    /// Extensions in a row without user activity.
    pub max_extensions: u32,
    /// The longest single extension.
    pub extension_cap: Millis,
    /// How long before a deadline its classes are asked.
    pub ask_lead: Millis,
    /// Spared by bulk ends.
    pub protected: bool,
    /// Whether its sessions keep a trace.
    pub trace: bool,
}

/// What a table must know of a pool.
#[derive(Clone, Debug)]
pub struct PoolDefinition {
    /// Its name.
    pub name: Arc<str>,
    /// Units there are.
    pub capacity: u64,
    /// The rules of units and admission.
    pub rule: PoolRule,
    /// Most units of anonymous sessions together.
    pub anonymous_cap: Option<u64>,
    /// Most anonymous sessions of one client.
    pub anonymous_per_client: Option<u64>,
    /// Below this many available units the pool is low.
    pub low: u64,
    /// With this many available units it has recovered.
    pub recovered: u64,
    /// How long what a user gives back lingers.
    pub linger: Millis,
    /// The same where a lazy session needed it last.
    pub lazy_linger: Millis,
    /// How long a unit is held at least.
    pub min_hold: Millis,
    /// The same for anonymous sessions.
    pub anonymous_min_hold: Millis,
    /// The same for lazy ones.
    pub lazy_min_hold: Millis,
    /// Whether others may have units that linger, when no other is free.
    pub reclaim: bool,
    /// Most who may wait.
    pub queue: u64,
    /// Units that may be in use beyond the capacity.
    pub overdraft: u64,
    /// For how long in a row.
    pub overdraft_time: Millis,
    /// Which sessions may be ended for a unit that somebody needs.
    pub evict: Evict,
    /// How long those must have been idle.
    pub evict_idle: Millis,
    /// What becomes of a session more than a holder may have.
    pub at_session_limit: AtSessionLimit,
    /// Units set apart for some.
    pub reservations: Vec<Reserved>,
    /// Units for administrators only.
    pub break_glass: u64,
    /// Audit records kept.
    pub audit_records: usize,
}

impl PoolDefinition {
    /// What a pool's options come to.
    pub(crate) fn of(pool: &Pool) -> Self {
        Self {
            name: pool.name.as_str().into(),
            capacity: pool.capacity,
            rule: PoolRule {
                unit_rule: pool.unit_rule,
                max_connections: u64::from(pool.max_connections),
                max_sessions_per_holder: pool.max_sessions_per_holder.map(u64::from),
            },
            anonymous_cap: pool.anonymous_cap,
            anonymous_per_client: pool.anonymous_per_client.map(u64::from),
            low: pool.low,
            recovered: pool.recovered.unwrap_or(pool.low.max(1)),
            linger: millis(pool.linger),
            lazy_linger: millis(pool.lazy_linger.unwrap_or(pool.linger)),
            min_hold: millis(pool.min_hold),
            anonymous_min_hold: millis(pool.anonymous_min_hold.unwrap_or(pool.min_hold)),
            lazy_min_hold: millis(pool.lazy_min_hold.unwrap_or(pool.min_hold)),
            reclaim: pool.reclaim,
            queue: u64::from(pool.queue),
            overdraft: pool.overdraft.units(pool.capacity),
            overdraft_time: pool.overdraft_time.map_or(NEVER, millis),
            evict: pool.evict,
            evict_idle: millis(pool.evict_idle),
            at_session_limit: pool.at_session_limit,
            reservations: pool
                .reservations
                .iter()
                .map(|reservation| Reserved { units: reservation.units, hard: reservation.hard })
                .collect(),
            break_glass: pool.break_glass,
            audit_records: pool.audit_records,
        }
    }

    /// Whether a session may have to go for another one.
    pub(crate) fn may_evict(&self) -> bool {
        self.evict != Evict::None
            || self.at_session_limit != AtSessionLimit::Deny
            || self.reservations.iter().any(|reservation| !reservation.hard)
    }
}

/// A pool as it is defined now.
#[derive(Clone, Debug)]
pub struct PoolInForce {
    /// Its options.
    pub pool: Pool,
    /// What they come to.
    pub rules: PoolDefinition,
    /// Counts the changes; each one has another number.
    pub revision: u64,
}

impl PoolInForce {
    /// A definition with its number.
    pub(crate) fn new(pool: Pool, revision: u64) -> Self {
        Self { rules: PoolDefinition::of(&pool), pool, revision }
    }
}

/// A change of a pool that was not made; nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PoolUnchanged {
    /// The definition is not the one that the change was worked out from.
    Redefined,
    /// It can't be changed so while units are held: why, and what to do.
    Held(String),
}

#[cfg(test)]
impl PoolDefinition {
    /// One without policies.
    pub(crate) fn plain(name: &str, capacity: u64) -> Self {
        Self {
            name: name.into(),
            capacity,
            rule: PoolRule {
                unit_rule: crate::reason::UnitRule::Staircase,
                max_connections: 25,
                max_sessions_per_holder: None,
            },
            anonymous_cap: None,
            anonymous_per_client: None,
            low: 0,
            recovered: 1,
            linger: 0,
            lazy_linger: 0,
            min_hold: 0,
            anonymous_min_hold: 0,
            lazy_min_hold: 0,
            reclaim: true,
            queue: 0,
            overdraft: 0,
            overdraft_time: crate::clock::NEVER,
            evict: Evict::None,
            evict_idle: 0,
            at_session_limit: AtSessionLimit::Deny,
            reservations: Vec::new(),
            break_glass: 0,
            audit_records: 0,
        }
    }
}

/// Changes of level that wait to be told: more are dropped, while nobody takes them.
pub(crate) const MAX_POOL_LEVELS: usize = 1024;

/// The change of a pool's level that a verb caused: told as an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PoolLevel {
    /// There are enough again.
    Recovered,
    /// Fewer units than `low` are available.
    Low,
    /// None is available.
    Exhausted,
    /// More are in use than there are.
    Overdraft,
}
