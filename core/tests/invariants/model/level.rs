//! How full a pool is, as it is told: low, exhausted, recovered, in its overdraft.

use libsession_core::EventKind;

use super::Model;
use super::pool::Pool;

/// How full a pool is, the better the smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Recovered,
    /// Fewer units are left than its `low`.
    Low,
    Exhausted,
    /// More units are in use than there are.
    Overdraft,
}

/// What is told of a pool: what happened, the units in use then, and its capacity.
pub type Told = (EventKind, u64, u64);

impl Level {
    pub fn event(self) -> EventKind {
        match self {
            Self::Recovered => EventKind::PoolRecovered,
            Self::Low => EventKind::PoolLow,
            Self::Exhausted => EventKind::PoolExhausted,
            Self::Overdraft => EventKind::PoolOverdraft,
        }
    }
}

impl Pool {
    /// Its level with so many units in use.
    fn level_with(&self, in_use: u64) -> Level {
        let rules = &self.rules;
        let left = rules.capacity.saturating_sub(in_use);
        let level = match left {
            _ if in_use > rules.capacity => Level::Overdraft,
            0 if rules.capacity > 0 => Level::Exhausted,
            _ if left < rules.low => Level::Low,
            _ => Level::Recovered,
        };
        let enough = rules.recovered.unwrap_or(rules.low.max(1));
        if left >= enough {
            return level;
        }
        // It gets worse at once, and better only when there are enough again; but an overdraft that is over is told.
        level.max(self.level.min(Level::Exhausted))
    }
}

impl Model {
    /// Tells how full a pool is after a step, if that is another level than before.
    pub fn tell_level(&mut self, pool: usize) {
        let in_use = self.in_use(pool);
        let of = &mut self.pools[pool];
        let level = of.level_with(in_use);
        if level != of.level {
            of.level = level;
            of.told.push((level.event(), in_use, of.rules.capacity));
        }
    }
}
