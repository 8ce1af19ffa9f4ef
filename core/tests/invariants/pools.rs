//! The pools of a history: whatever policies there are.

use libsession_core::reason::{AtSessionLimit, Evict};
use libsession_core::*;

use super::dice::Dice;
use super::play::ms;

pub const RULES: [UnitRule; 5] =
    [UnitRule::Session, UnitRule::User, UnitRule::Staircase, UnitRule::Iris, UnitRule::Hard];

/// Some pool of a unit rule.
pub fn some(dice: &mut Dice, number: usize) -> Pool {
    let mut pool = Pool::new(format!("pool{number}"), 1 + dice.roll(8));
    pool.unit_rule = RULES[number];
    pool.max_connections = 1 + dice.roll(3) as u32;
    pool.max_sessions_per_holder = dice.one_in(3).then(|| 1 + dice.roll(4) as u32);
    pool.at_session_limit = *dice.pick(AtSessionLimit::ALL);
    pool.anonymous_cap = dice.one_in(2).then(|| 1 + dice.roll(2));
    pool.anonymous_per_client = dice.one_in(3).then_some(1);
    pool.holder_per_client = dice.one_in(3);
    pool.trade_failure = if dice.one_in(4) { TradeFailure::Refuse } else { TradeFailure::Keep };
    pool.audit_records = if dice.one_in(4) { 0 } else { 100_000 };
    vary(dice, &mut pool);
    pool
}

/// Other policies for a pool.
pub fn vary(dice: &mut Dice, pool: &mut Pool) {
    pool.linger = ms(*dice.pick(&[0, 0, 30_000]));
    pool.min_hold = ms(*dice.pick(&[0, 0, 20_000]));
    pool.lazy_linger = dice.one_in(3).then(|| ms(*dice.pick(&[0, 10_000, 50_000])));
    pool.anonymous_min_hold = dice.one_in(4).then_some(ms(3000));
    pool.lazy_min_hold = dice.one_in(3).then(|| ms(*dice.pick(&[0, 7_000, 40_000])));
    pool.reclaim = !dice.one_in(3);
    pool.overdraft = *dice.pick(&[Overdraft::None, Overdraft::None, Overdraft::Units(2), Overdraft::Percent(50)]);
    pool.overdraft_time = dice.one_in(2).then(|| ms(25_000));
    pool.evict = *dice.pick(&[Evict::None, Evict::None, Evict::Anonymous, Evict::Any]);
    pool.evict_idle = ms(*dice.pick(&[0, 5_000]));
    pool.queue = *dice.pick(&[0, 1, 4]);
    pool.exclude = if dice.one_in(6) { vec!["group:lead".to_owned()] } else { Vec::new() };
    pool.include = if dice.one_in(8) { vec!["group:cad".to_owned(), "ada".to_owned()] } else { Vec::new() };
    set_apart(dice, pool);
    warn(dice, pool);
}

/// When it is told how full it is: with few units left, and with enough of them again.
fn warn(dice: &mut Dice, pool: &mut Pool) {
    pool.low = if dice.one_in(2) { dice.roll(pool.capacity + 1) } else { 0 };
    pool.recovered = dice.one_in(3).then(|| dice.roll(pool.capacity + 1));
}

/// Units that are set apart, as far as there are any.
fn set_apart(dice: &mut Dice, pool: &mut Pool) {
    (pool.reservations, pool.break_glass, pool.administrators) = (Vec::new(), 0, Vec::new());
    let mut left = pool.capacity;
    if left > 0 && dice.one_in(4) {
        (pool.break_glass, pool.administrators) = (1, vec!["eve".to_owned()]);
        left -= 1;
    }
    for members in [&["ada"][..], &["group:cad"], &["bob", "eve"]] {
        let (wanted, units, hard) = (dice.one_in(3), 1 + dice.roll(2), dice.one_in(2));
        if wanted && units <= left {
            pool.reservations.push(Reservation { hard, ..Reservation::new(units, members.iter().copied()) });
            left -= units;
        }
    }
    if dice.one_in(2) {
        pool.reservations.reverse();
    }
}
