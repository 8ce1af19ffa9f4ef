//! What a pool allows beyond its units: overdraft, reservations, levels. No clock, no lock, no store.

use std::ops::RangeInclusive;

use super::books::Totals;
use super::crowd::Cause;
use crate::clock::Millis;
use crate::reason::{Evict, LicenseClass};
use crate::table::{PoolDefinition, PoolLevel};

/// What a holder is to a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Rank {
    /// One like others.
    #[default]
    Ordinary,
    /// Named by the reservation at this position.
    Reserved(u8),
    /// May break the glass.
    Administrator,
    /// Named by the exclude list, or not by the include list.
    Excluded,
}

/// Units set apart for some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reserved {
    /// How many.
    pub units: u64,
    /// Whether nobody else may use them meanwhile.
    pub hard: bool,
}

/// What there is to take for one rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    /// Units that nobody has.
    pub free: u64,
    /// Those of them that are for all.
    common: u64,
    /// Those of its own reservation that are set apart.
    own: u64,
    /// Those of its own reservation that its members don't hold.
    unused: u64,
    /// What this rank may take, or how much it is short of that where less than nothing is left.
    pub reach: i64,
}

impl Room {
    /// What a session has already, whatever there is.
    pub fn kept(self, units: u64) -> Self {
        Self { free: units, common: units, own: 0, ..self }
    }

    /// Units that this rank may take.
    pub fn all(&self) -> u64 {
        self.common.saturating_add(self.own).min(self.free)
    }

    /// Those of its own reservation that nobody else may take.
    pub fn apart(&self) -> u64 {
        self.own.min(self.free)
    }

    /// How many of so many units count as reserved, and the seat of the reservation.
    pub fn reserved(&self, rank: Rank, wanted: u64) -> (u64, u8) {
        match rank {
            Rank::Reserved(_) => (wanted.min(self.unused), seat(rank)),
            // The glass is broken last.
            Rank::Administrator => (wanted.saturating_sub(self.common).min(self.own), BREAK_GLASS),
            Rank::Ordinary | Rank::Excluded => (0, 0),
        }
    }
}

/// The seat of the break-glass units, behind all reservations.
pub(crate) const BREAK_GLASS: u8 = MAX_RESERVATIONS as u8 + 1;
/// Most reservations of a pool.
pub(crate) const MAX_RESERVATIONS: usize = 64;

/// The seat at which the units of a rank count as reserved; 0 for none.
pub(super) fn seat(rank: Rank) -> u8 {
    match rank {
        Rank::Reserved(position) => position + 1,
        Rank::Administrator => BREAK_GLASS,
        Rank::Ordinary | Rank::Excluded => 0,
    }
}

/// Units that may be in use now: those there are, and the overdraft while its time lasts.
pub(super) fn limit(pool: &PoolDefinition, totals: &Totals, now: Millis) -> u64 {
    let open = totals.overdrawn.is_none_or(|since| now < since.saturating_add(pool.overdraft_time));
    pool.capacity.saturating_add(if open { pool.overdraft } else { 0 })
}

/// What a rank may take within a limit.
pub(super) fn room(pool: &PoolDefinition, totals: &Totals, limit: u64, rank: Rank) -> Room {
    let free = limit.saturating_sub(totals.in_use);
    let left = signed(limit).saturating_sub(signed(totals.in_use));
    if pool.reservations.is_empty() && pool.break_glass == 0 {
        return Room { free, common: free, own: 0, unused: 0, reach: left };
    }
    let Apart { hard, break_glass, .. } = apart(pool, totals);
    let (own, unused) = match rank {
        Rank::Administrator => (break_glass, break_glass),
        Rank::Reserved(position) => pool.reservations.get(usize::from(position)).map_or((0, 0), |reservation| {
            let left = unused(reservation.units, totals, usize::from(seat(rank)));
            (if reservation.hard { left } else { 0 }, left)
        }),
        Rank::Ordinary | Rank::Excluded => (0, 0),
    };
    let apart = hard.saturating_add(break_glass);
    let reach = left.saturating_sub(signed(apart)).saturating_add(signed(own)).min(left);
    Room { free, common: free.saturating_sub(apart), own, unused, reach }
}

/// A count of units that may be taken from one.
pub(super) fn signed(units: u64) -> i64 {
    i64::try_from(units).unwrap_or(i64::MAX)
}

/// Units set apart that those don't hold for whom they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Apart {
    /// Those of hard reservations.
    pub hard: u64,
    /// Those of soft ones.
    pub soft: u64,
    /// Those for administrators.
    pub break_glass: u64,
}

/// Those of so many units of a seat that are not held by whom it is for.
fn unused(units: u64, totals: &Totals, seat: usize) -> u64 {
    let used = seat.checked_sub(1).and_then(|at| totals.reserved.get(at)).copied();
    units.saturating_sub(used.unwrap_or(0))
}

/// What is set apart and not used, whether there are so many units or not.
pub(super) fn apart(pool: &PoolDefinition, totals: &Totals) -> Apart {
    let break_glass = unused(pool.break_glass, totals, usize::from(BREAK_GLASS));
    let mut apart = Apart { break_glass, ..Apart::default() };
    for (position, reservation) in pool.reservations.iter().enumerate() {
        let sum = if reservation.hard { &mut apart.hard } else { &mut apart.soft };
        *sum = sum.saturating_add(unused(reservation.units, totals, position + 1));
    }
    apart
}

/// Whose sessions may be ended for a rank that finds too little room, and why they would be.
pub(super) fn evicts(pool: &PoolDefinition, rank: Rank, anonymous: bool, room: &Room, wanted: u64) -> (Evict, Cause) {
    let soft = matches!(rank, Rank::Reserved(position)
        if pool.reservations.get(usize::from(position)).is_some_and(|reservation| !reservation.hard));
    if soft && wanted.saturating_sub(room.all()) <= room.unused {
        return (Evict::Any, Cause::Reserved);
    }
    // Whoever comes without a name drives nobody out who has one.
    (if anonymous { pool.evict.min(Evict::Anonymous) } else { pool.evict }, Cause::Needed)
}

/// How long a unit is held at least that a session of a class takes.
pub(super) fn least(pool: &PoolDefinition, class: LicenseClass) -> Millis {
    match class {
        LicenseClass::Anonymous => pool.anonymous_min_hold,
        LicenseClass::Lazy => pool.lazy_min_hold,
        _ => pool.min_hold,
    }
}

/// How long a unit of a user lingers that a session of a class needed last.
pub(crate) fn linger(pool: &PoolDefinition, class: LicenseClass) -> Millis {
    if class == LicenseClass::Lazy { pool.lazy_linger } else { pool.linger }
}

/// The level of a pool with so many units in use, which had another before. It gets worse at once; but for the end of an
/// overdraft it gets better only when enough units are available again.
pub(super) fn level(pool: &PoolDefinition, before: PoolLevel, in_use: u64) -> PoolLevel {
    let available = pool.capacity.saturating_sub(in_use);
    let level = if in_use > pool.capacity {
        PoolLevel::Overdraft
    } else if available == 0 && pool.capacity > 0 {
        PoolLevel::Exhausted
    } else if available < pool.low {
        PoolLevel::Low
    } else {
        PoolLevel::Recovered
    };
    // At least this, until it has recovered.
    let floor = before.min(PoolLevel::Exhausted);
    if available < pool.recovered { level.max(floor) } else { level }
}

/// The units in use at which a pool stays at a level; `None` where there are none.
pub(super) fn steady(pool: &PoolDefinition, at: PoolLevel) -> Option<RangeInclusive<u64>> {
    let available = match at {
        PoolLevel::Recovered => pool.low.max(u64::from(pool.capacity > 0))..=pool.capacity,
        PoolLevel::Low => 1..=pool.low.max(pool.recovered).saturating_sub(1),
        PoolLevel::Exhausted if pool.capacity > 0 => 0..=pool.recovered.saturating_sub(1),
        // Its way out depends on when it began.
        PoolLevel::Exhausted | PoolLevel::Overdraft => return None,
    };
    let most = pool.capacity.checked_sub(*available.start())?;
    (!available.is_empty()).then(|| pool.capacity.saturating_sub(*available.end())..=most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::Dice;

    #[test]
    fn a_pool_stays_at_its_level_where_it_is_steady_and_nowhere_else() {
        let mut dice = Dice::new(7);
        let mut inside = 0;
        for _ in 0..20_000 {
            let mut pool = PoolDefinition::plain("main", dice.below(7));
            (pool.low, pool.recovered) = (dice.below(9), dice.below(pool.capacity + 1));
            for at in [PoolLevel::Recovered, PoolLevel::Low, PoolLevel::Exhausted] {
                let steady = steady(&pool, at);
                let holds = |in_use: &u64| steady.as_ref().is_some_and(|steady| steady.contains(in_use));
                for in_use in 0..=pool.capacity {
                    let stays = level(&pool, at, in_use) == at;
                    inside += u32::from(stays && holds(&in_use));
                    assert!(stays || !holds(&in_use), "{at:?} of {pool:?} with {in_use}");
                }
                if pool.recovered > 0 {
                    let all = (0..=pool.capacity).filter(|in_use| level(&pool, at, *in_use) == at).count();
                    let known = (0..=pool.capacity).filter(holds).count();
                    assert_eq!(all, known, "{at:?} of {pool:?}");
                }
            }
        }
        assert!(inside > 50_000, "{inside}");
    }
}
