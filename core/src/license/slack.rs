//! Units that come and go without a look at the books: one word, changed by compare-and-set.
//!
//! Where a pool keeps no records and nothing else of it would change either (no mark rises, no level, nobody lingers or
//! waits), whoever has the books writes down how many units more may be taken, and how many given back, before that is not
//! so any more. Whoever opens the books takes the word away first, and counts what went by it.

use super::books::Totals;
use super::policy;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::table::PoolDefinition;

/// Half of the word: units that may be taken; below it those that may be given back. Their sum stands still.
const HALF: u32 = u64::BITS / 2;
/// One more that may be taken.
const TAKE: u64 = 1 << HALF;
/// One more that may be given back.
const GIVE: u64 = 1;
/// Both halves together fit in one.
const MOST: u64 = u32::MAX as u64 / 2;

/// How far the units of a pool may move on either side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Play {
    /// Units that may be taken.
    pub take: u64,
    /// Units that may be given back.
    pub give: u64,
}

impl Play {
    /// Whether there may be any, whatever is in a pool's books.
    pub fn may_be(pool: &PoolDefinition) -> bool {
        let set_apart = !pool.reservations.is_empty() || pool.break_glass > 0;
        let stays = pool.min_hold.max(pool.lazy_min_hold) > 0;
        pool.audit_records == 0 && !set_apart && !stays && !pool.may_evict()
    }

    /// While a pool's books are as they are; `None` if any step has to be written in them.
    pub fn of(pool: &PoolDefinition, totals: &Totals) -> Option<Self> {
        let rests =
            totals.lingering | totals.waiting | totals.offered | totals.excess == 0 && totals.overdrawn.is_none();
        // The limit is noted with the first unit that is given under it.
        let known = totals.ceiling == policy::limit(pool, totals, 0);
        if !Self::may_be(pool) || !rests || !known {
            return None;
        }
        let steady = policy::steady(pool, totals.level)?;
        let most = steady.end().min(&pool.capacity).min(&totals.high_water).min(&totals.mark);
        let take = most.checked_sub(totals.in_use)?.min(MOST);
        let give = totals.in_use.checked_sub(*steady.start())?.min(MOST);
        Some(Self { take, give })
    }
}

/// The word. Padded: nothing else that is written lies beside it.
#[derive(Default)]
#[repr(align(128))]
pub(super) struct Slack(AtomicU64);

impl Slack {
    /// Whether any may come or go, or might a moment ago.
    #[inline]
    pub fn is_allowed(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 0
    }

    /// Takes a unit, if that is all there is to it.
    #[inline]
    pub fn take(&self) -> bool {
        let change = |word: u64| (word >= TAKE).then(|| word - TAKE + GIVE);
        self.0.try_update(Ordering::AcqRel, Ordering::Acquire, change).is_ok()
    }

    /// Gives a unit back, likewise.
    #[inline]
    pub fn give(&self) -> bool {
        let change = |word: u64| (word & (TAKE - 1) >= GIVE).then(|| word - GIVE + TAKE);
        self.0.try_update(Ordering::AcqRel, Ordering::Acquire, change).is_ok()
    }

    /// Lets units come and go; under the lock of the books, which are closed.
    pub fn allow(&self, play: Play) {
        self.0.store(play.take << HALF | play.give, Ordering::Release);
    }

    /// Lets none any more, and tells the units that might be given back now; under the lock of the books.
    pub fn stop(&self) -> u64 {
        self.0.swap(0, Ordering::AcqRel) & (TAKE - 1)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::thread;

    use super::*;
    use crate::clock::Now;
    use crate::config::Pool;
    use crate::dice::Dice;
    use crate::id::SessionId;
    use crate::license::account::Account;
    use crate::license::crowd::{Crowd, Nobody, Victims};
    use crate::license::ledger::{self, Demand};
    use crate::license::policy::Rank;
    use crate::license::redefine::{Redefinition, redefine};
    use crate::license::state::State;
    use crate::reason::LicenseClass;
    use crate::table::{At, Charge, Holder, PoolInForce, SessionRef};

    fn at(ms: u64) -> At {
        At { now: Now { ms, ..Now::default() }, wall: 1000 + ms as i64 }
    }

    fn own() -> Charge {
        Charge { pool: 0, class: LicenseClass::Named, holder: Holder::Session, client: None }
    }

    fn session(number: u64) -> SessionRef {
        SessionRef { id: SessionId(u128::from(number).to_le_bytes()), place: number }
    }

    impl Account {
        /// Charges one session more, as the memory table does.
        fn charges(&self, ms: u64, number: u64, charge: &Charge) -> bool {
            let demand = Demand::new(charge, Rank::Ordinary);
            let crowd: &mut dyn Crowd<State> = &mut Nobody;
            self.take_bare(&demand)
                || self.join(at(ms), session(number), ms, &demand)
                || self.acquire(at(ms), session(number), ms, demand, (crowd, true)).verdict.is_ok()
        }

        /// Ends one, likewise.
        fn ends(&self, ms: u64, number: u64, charge: &Charge, since: u64) -> Option<u64> {
            let bare = !charge.is_anonymous() && charge.holder == Holder::Session;
            if bare && self.give_bare() { None } else { self.release(at(ms), session(number), charge, since) }
        }

        fn slack(&self) -> Play {
            let word = self.slack.0.load(Ordering::Acquire);
            Play { take: word >> HALF, give: word & (TAKE - 1) }
        }
    }

    fn some_pool(dice: &mut Dice) -> Pool {
        let mut pool = Pool::new("main", 1 + dice.below(6));
        pool.audit_records = 0;
        pool.low = dice.below(2) * dice.below(pool.capacity + 1);
        pool.recovered = dice.coin().then(|| dice.below(pool.capacity + 1));
        pool.linger = std::time::Duration::from_millis(dice.below(2) * 9);
        pool.overdraft = [crate::config::Overdraft::None, crate::config::Overdraft::Units(1)][dice.below(2) as usize];
        pool.min_hold = std::time::Duration::from_millis(if dice.below(4) == 0 { 7 } else { 0 });
        pool
    }

    #[test]
    fn what_goes_without_the_books_is_what_the_books_would_say() {
        let mut without = 0;
        for seed in 1..400 {
            let mut dice = Dice::new(seed);
            let mut pool = some_pool(&mut dice);
            let account = Account::new(pool.clone());
            let (mut long, mut force) = (State::new(0, None), PoolInForce::new(pool.clone(), 1));
            let mut live: Vec<(u64, Charge, u64)> = Vec::new();
            let mut now = 0;
            for step in 1..150 {
                now += dice.below(4);
                let before = account.slack();
                match dice.below(16) {
                    0 => {
                        pool.capacity = 1 + dice.below(6);
                        (pool.low, pool.recovered) = (dice.below(pool.capacity + 1), None);
                        let changed = account.redefine(at(now), force.revision, pool.clone(), None);
                        assert!(changed.is_ok(), "seed {seed}");
                        let to = PoolInForce::new(pool.clone(), force.revision + 1);
                        let change = Redefinition { from: &force, to: &to, actor: None, recounted: false };
                        assert_eq!(redefine(&mut long, at(now), change), Ok(Ok(())), "seed {seed}");
                        force = to;
                    }
                    1 => {
                        assert!(account.reset_high_water(at(now), "reader"));
                        long.totals.mark = long.totals.mark.min(long.totals.in_use);
                    }
                    2..=8 => {
                        let user = ["", "", "", "", "ann", "bob"][dice.below(6) as usize];
                        let mut charge = own();
                        if !user.is_empty() {
                            charge.holder = Holder::User(user.into());
                        } else if dice.below(4) == 0 {
                            charge.class = [LicenseClass::Anonymous, LicenseClass::Lazy][dice.below(2) as usize];
                        }
                        let demand = Demand::new(&charge, Rank::Ordinary);
                        let Ok(verdict) = ledger::admit(
                            &mut long,
                            &force.rules,
                            at(now),
                            session(step).id,
                            demand,
                            &mut Victims::none(),
                        );
                        assert_eq!(account.charges(now, step, &charge), verdict.is_ok(), "seed {seed} step {step}");
                        if verdict.is_ok() {
                            live.push((step, charge, now));
                        }
                    }
                    _ if !live.is_empty() => {
                        let (number, charge, since) = live.swap_remove(dice.below(live.len() as u64) as usize);
                        let next = account.ends(now, number, &charge, since);
                        let Ok(()) =
                            ledger::give_back(&mut long, &force.rules, at(now), session(number).id, &charge, since, 1);
                        assert_eq!(next, long.next_free(), "seed {seed} step {step}");
                    }
                    _ => {}
                }
                let after = account.slack();
                let moved = before.take != after.take && before.take + before.give == after.take + after.give;
                without += u32::from(moved && before != Play::default());
                // Not after each step: whoever looks opens the books.
                if dice.below(4) == 0 {
                    let open = account.books();
                    assert_eq!(open.books.totals, long.totals, "seed {seed} step {step}");
                    assert_eq!((&open.books.users, &open.books.levels), (&long.users, &long.levels), "seed {seed}");
                }
            }
        }
        assert!(without > 3000, "only {without} steps without the books");
    }

    #[test]
    fn threads_that_race_for_units_get_as_many_as_there_are() {
        const UNITS: u64 = 1000;
        let account = Account::new(Pool { audit_records: 0, ..Pool::new("main", UNITS) });
        (0..UNITS).for_each(|number| assert!(account.charges(0, number, &own())));
        (0..UNITS).for_each(|number| assert_eq!(account.ends(1, number, &own(), 0), None));
        // The last one is to be told of, and goes by the books.
        assert_eq!(account.slack(), Play { take: UNITS - 1, give: 0 });
        let racing = AtomicUsize::new(4);
        let took: u64 = thread::scope(|scope| {
            let racers: Vec<_> = (0..4u64)
                .map(|racer| {
                    let (account, racing) = (&account, &racing);
                    scope.spawn(move || {
                        let mut dice = Dice::new(racer + 1);
                        let mut mine = 0;
                        for number in 0..50_000 {
                            // Half the time more is wanted than there is.
                            if mine < 400 && (mine == 0 || dice.coin()) {
                                mine += u64::from(account.charges(2, racer << 32 | number, &own()));
                            } else {
                                assert_eq!(account.ends(2, number, &own(), 0), None);
                                mine -= 1;
                            }
                        }
                        // More than there are, all together.
                        (0..400).for_each(|number| mine += u64::from(account.charges(3, number, &own())));
                        racing.fetch_sub(1, std::sync::atomic::Ordering::AcqRel);
                        mine
                    })
                })
                .collect();
            while racing.load(std::sync::atomic::Ordering::Acquire) > 0 {
                let (in_use, capacity) = account.in_use();
                assert!(in_use <= capacity, "{in_use} of {capacity}");
                thread::yield_now();
            }
            racers.into_iter().map(|racer| racer.join().expect("a racer")).sum()
        });
        assert_eq!((took, account.in_use()), (UNITS, (UNITS, UNITS)));
    }
}
