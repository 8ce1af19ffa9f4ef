//! Units and admission as arithmetic: no clock, no lock, no store.

use crate::reason::{DenyReason, UnitRule};

/// What the rules of a pool need to know of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolRule {
    /// How a holder is charged.
    pub unit_rule: UnitRule,
    /// Step, cliff or limit.
    pub max_connections: u64,
    /// Most sessions of one holder.
    pub max_sessions_per_holder: Option<u64>,
}

/// Units of a holder with `connections` sessions who holds `held` now.
///
/// `held` matters for `iris` only: beyond the cliff nothing shrinks until the last connection goes.
pub fn units(rule: PoolRule, connections: u64, held: u64) -> u64 {
    if connections == 0 {
        return 0;
    }
    match rule.unit_rule {
        UnitRule::Session => connections,
        UnitRule::User | UnitRule::Hard => 1,
        UnitRule::Staircase => connections.div_ceil(rule.max_connections),
        UnitRule::Iris => {
            let charged = if connections <= rule.max_connections { 1 } else { connections };
            charged.max(held)
        }
    }
}

/// Most sessions of one holder.
pub fn limit(rule: PoolRule) -> Option<u64> {
    match rule.unit_rule {
        UnitRule::Hard => Some(rule.max_connections.min(rule.max_sessions_per_holder.unwrap_or(u64::MAX))),
        _ => rule.max_sessions_per_holder,
    }
}

/// The units a holder would need with so many sessions more, or why there may not be so many.
pub fn needs(rule: PoolRule, connections: u64, more: u64, held: u64) -> Result<u64, DenyReason> {
    let more = connections.saturating_add(more);
    if limit(rule).is_some_and(|limit| more > limit) {
        return Err(DenyReason::HolderLimit);
    }
    Ok(units(rule, more, held))
}

/// How many sessions of a holder with `connections` of them and `held` units must go before a unit comes free.
pub fn to_shrink(rule: PoolRule, connections: u64, held: u64) -> u64 {
    match rule.unit_rule {
        UnitRule::Session => 1,
        UnitRule::Staircase => {
            let below = held.saturating_sub(1).saturating_mul(rule.max_connections);
            connections.saturating_sub(below).max(1)
        }
        UnitRule::User | UnitRule::Hard | UnitRule::Iris => connections.max(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(unit_rule: UnitRule) -> PoolRule {
        PoolRule { unit_rule, max_connections: 25, max_sessions_per_holder: None }
    }

    #[test]
    fn the_staircase_has_a_step_of_25() {
        for (connections, expected) in [(0, 0), (1, 1), (25, 1), (26, 2), (50, 2), (51, 3)] {
            assert_eq!(units(rule(UnitRule::Staircase), connections, 0), expected);
        }
    }

    #[test]
    fn iris_falls_off_its_cliff_at_26_and_does_not_shrink_until_0() {
        let iris = rule(UnitRule::Iris);
        let mut held = 0;
        for connections in 1..=26 {
            held = units(iris, connections, held);
            assert_eq!(held, if connections <= 25 { 1 } else { 26 });
        }
        held = units(iris, 27, held);
        assert_eq!(held, 27);
        for connections in (1..27).rev() {
            held = units(iris, connections, held);
            assert_eq!(held, 27, "{connections}");
        }
        assert_eq!(units(iris, 0, held), 0);
    }

    #[test]
    fn a_unit_comes_free_with_so_many_sessions_and_not_with_fewer() {
        for unit_rule in UnitRule::ALL.iter().copied() {
            let rule = PoolRule { max_connections: 3, ..rule(unit_rule) };
            let mut held = 0;
            for connections in 1..12 {
                held = units(rule, connections, held);
                let count = to_shrink(rule, connections, held);
                assert!(units(rule, connections - count, held) < held, "{rule:?} {connections}");
                assert_eq!(units(rule, connections - count + 1, held), held, "{rule:?} {connections}");
            }
        }
    }

    #[test]
    fn hard_denies_the_connection_after_the_maximum() {
        assert_eq!(needs(rule(UnitRule::Hard), 24, 1, 1), Ok(1));
        assert_eq!(needs(rule(UnitRule::Hard), 25, 1, 1), Err(DenyReason::HolderLimit));
    }
}
