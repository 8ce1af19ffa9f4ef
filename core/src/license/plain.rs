//! The common case of a step: nothing lingers, nobody waits, nothing is set apart, and there is a unit to be had. It is
//! worked out in place, and comes to what the long way would.

use super::audit::{AuditKind, AuditWhy};
use super::books::{Ledger, UserHolder};
use super::desk::Desk;
use super::ledger::{Demand, OWN};
use super::policy::{self, Rank};
use super::rules;
use crate::clock::Millis;
use crate::id::SessionId;
use crate::table::{At, Charge, Holder, PoolDefinition};

/// Charges one who joins; `false` if that is not so simple, and nothing changed.
#[inline]
pub(super) fn join<L: Ledger>(
    ledger: &mut L,
    pool: &PoolDefinition,
    at: At,
    session: SessionId,
    demand: &Demand<'_>,
) -> Result<bool, L::Error> {
    let charge = demand.charge;
    let totals = ledger.totals();
    let rests = totals.lingering | totals.waiting == 0;
    let shared = pool.reservations.is_empty() && pool.break_glass == 0;
    let anonymous = charge.is_anonymous();
    let bounded = anonymous && pool.anonymous_cap.is_some() || charge.client.is_some();
    if !rests || !shared || bounded || demand.turn.is_some() {
        return Ok(false);
    }
    let (now, before) = (at.now.ms, totals.in_use);
    let free = pool.capacity.saturating_sub(before);
    let (wanted, holder) = match charge.holder.booked() {
        None => (OWN, None),
        Some(_) if demand.rank == Rank::Excluded => return Ok(false),
        Some(user) => {
            let mut held = ledger.holder(user)?.unwrap_or_else(|| UserHolder::new(now));
            let Ok(needs) = rules::needs(pool.rule, held.connections, demand.count, held.units) else {
                return Ok(false);
            };
            let Some(wanted) = needs.checked_sub(held.units) else { return Ok(false) };
            if wanted > 0 {
                held.acquire(pool, charge.class, now, wanted);
            }
            held.connections = held.connections.saturating_add(demand.count);
            (wanted, Some((user, held)))
        }
    };
    if wanted > free {
        return Ok(false);
    }
    let totals = ledger.totals();
    if wanted > 0 {
        totals.in_use = before.saturating_add(wanted);
        totals.ceiling = policy::limit(pool, totals, now);
        if anonymous {
            totals.anonymous = totals.anonymous.saturating_add(wanted);
        }
    }
    totals.rise(at.wall);
    if let Some((user, held)) = holder {
        ledger.set_holder(user, Some(held))?;
    }
    let desk = Desk { pool, at, session, holder: &charge.holder, before };
    desk.settle(ledger, AuditKind::Grant, None, AuditWhy::Nothing)?;
    Ok(true)
}

/// Frees the unit of a session that was its own holder since an instant; `false` as in [`join`].
#[inline]
pub(super) fn leave<L: Ledger>(
    ledger: &mut L,
    pool: &PoolDefinition,
    at: At,
    session: SessionId,
    charge: &Charge,
    since: Millis,
) -> Result<bool, L::Error> {
    let totals = ledger.totals();
    let rests = totals.lingering | totals.waiting == 0;
    let own = matches!(charge.holder, Holder::Session) && charge.client.is_none();
    // As long as its minimal time goes on, the unit outlives the session.
    let now = at.now.ms;
    if !rests || !own || since.min(now).saturating_add(policy::least(pool, charge.class)) > now {
        return Ok(false);
    }
    let before = totals.in_use;
    totals.in_use = before.saturating_sub(OWN);
    totals.anonymous = totals.anonymous.saturating_sub(u64::from(charge.is_anonymous()));
    let desk = Desk { pool, at, session, holder: &charge.holder, before };
    desk.settle(ledger, AuditKind::Release, None, AuditWhy::Nothing)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Now;
    use crate::dice::Dice;
    use crate::license::crowd::Victims;
    use crate::license::ledger::{self, Verdict};
    use crate::license::policy::Reserved;
    use crate::license::rules::PoolRule;
    use crate::license::state::State;
    use crate::reason::{LicenseClass, UnitRule};

    impl Dice {
        fn once_in(&mut self, times: u64) -> bool {
            self.below(times) == 0
        }

        fn pool(&mut self) -> PoolDefinition {
            let unit_rule = UnitRule::ALL[self.below(UnitRule::ALL.len() as u64) as usize];
            let max_sessions_per_holder = self.once_in(2).then_some(3);
            let rule = PoolRule { unit_rule, max_connections: 2, max_sessions_per_holder };
            let reserved = Reserved { units: 1, hard: self.once_in(2) };
            PoolDefinition {
                rule,
                anonymous_cap: self.once_in(3).then_some(2),
                anonymous_per_client: self.once_in(3).then_some(2),
                low: self.below(3),
                linger: self.below(2) * 9,
                min_hold: self.below(2) * 7,
                lazy_linger: self.below(2) * 11,
                lazy_min_hold: self.below(2) * 13,
                anonymous_min_hold: self.below(2) * 5,
                reclaim: self.once_in(2),
                overdraft: self.below(2),
                overdraft_time: 25,
                reservations: if self.once_in(4) { vec![reserved] } else { Vec::new() },
                break_glass: u64::from(self.once_in(4)),
                audit_records: 1000,
                ..PoolDefinition::plain("main", 1 + self.below(6))
            }
        }

        fn charge(&mut self) -> (Charge, Rank) {
            let user = ["", "", "ann", "bob", "eve"][self.below(5) as usize];
            let holder = if user.is_empty() { Holder::Session } else { Holder::User(user.into()) };
            let anonymous = user.is_empty() && self.once_in(2);
            let lazy = !anonymous && self.once_in(3);
            let class = if lazy { LicenseClass::Lazy } else { LicenseClass::Named };
            let class = if anonymous { LicenseClass::Anonymous } else { class };
            let client = (anonymous && self.once_in(2)).then(|| "10.0.0.1".into());
            let rank = [Rank::Ordinary, Rank::Ordinary, Rank::Administrator, Rank::Excluded][self.below(4) as usize];
            (Charge { pool: 0, class, holder, client }, rank)
        }
    }

    fn admit(state: &mut State, pool: &PoolDefinition, at: At, session: SessionId, demand: Demand<'_>) -> Verdict {
        let Ok(verdict) = ledger::admit(state, pool, at, session, demand, &mut Victims::none());
        verdict
    }

    fn same(one: &mut State, other: &mut State, seed: u64) {
        assert_eq!(one.totals, other.totals, "seed {seed}");
        assert_eq!(one.users, other.users, "seed {seed}");
        assert_eq!((&one.clients, &one.levels), (&other.clients, &other.levels), "seed {seed}");
        assert_eq!(one.orphans, other.orphans, "seed {seed}");
        let told = |state: &State| {
            state.records.after(0).map(|(number, record)| (number, format!("{record:?}"))).collect::<Vec<_>>()
        };
        assert_eq!(told(one), told(other), "seed {seed}");
    }

    #[test]
    fn the_short_way_comes_to_what_the_long_way_does() {
        let (mut joined, mut left) = (0, 0);
        for seed in 1..600 {
            let mut dice = Dice::new(seed);
            let pool = dice.pool();
            let (mut short, mut long) = (State::new(1000, None), State::new(1000, None));
            let mut live: Vec<(SessionId, Charge, Millis)> = Vec::new();
            let mut now = 0;
            for step in 1..60 {
                now += dice.below(6);
                let at = At { now: Now { ms: now, ..Now::default() }, wall: 1000 + now as i64 };
                if live.is_empty() || !dice.once_in(3) {
                    let (charge, rank) = dice.charge();
                    let demand = Demand { count: 1 + dice.below(2) * dice.below(2), ..Demand::new(&charge, rank) };
                    let session = SessionId([step; 16]);
                    let Ok(simple) = join(&mut short, &pool, at, session, &demand);
                    joined += u32::from(simple);
                    let short = if simple { Ok(()) } else { admit(&mut short, &pool, at, session, demand) };
                    let long = admit(&mut long, &pool, at, session, demand);
                    assert_eq!(short, long, "seed {seed}");
                    if long.is_ok() && demand.count == 1 {
                        live.push((session, charge, now));
                    }
                } else {
                    let (session, charge, since) = live.swap_remove(dice.below(live.len() as u64) as usize);
                    let Ok(simple) = leave(&mut short, &pool, at, session, &charge, since);
                    left += u32::from(simple);
                    if !simple {
                        let Ok(()) = ledger::give_back(&mut short, &pool, at, session, &charge, since, 1);
                    }
                    let Ok(()) = ledger::give_back(&mut long, &pool, at, session, &charge, since, 1);
                }
                same(&mut short, &mut long, seed);
            }
        }
        assert!(joined > 1000 && left > 500, "{joined} joined and {left} left the short way");
    }
}
