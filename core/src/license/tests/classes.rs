//! How long units are held and linger whose sessions are of different classes.

use super::*;

fn lazy(user: &str) -> Charge {
    Charge { class: LicenseClass::Lazy, ..charge(user) }
}

impl Till {
    fn take_by(&mut self, ms: Millis, number: u8, charge: &Charge) {
        let demand = Demand::new(charge, Rank::Ordinary);
        let verdict = acquire(&mut self.books, &self.pool, at(ms), session(number), demand);
        self.holds();
        assert_eq!(verdict, Ok(Ok(())));
    }

    fn give_by(&mut self, ms: Millis, number: u8, charge: &Charge) {
        release(&mut self.books, &self.pool, at(ms), session(number), charge, 0).expect("books that work");
        self.holds();
    }

    fn in_use(&mut self, ms: Millis) -> u64 {
        expire(&mut self.books, &self.pool, at(ms)).expect("books that work");
        self.books.totals.in_use
    }
}

fn plain() -> PoolDefinition {
    PoolDefinition::plain("main", 3)
}

#[test]
fn a_unit_lingers_as_the_class_of_the_last_that_left_says() {
    let mut till = Till::new(PoolDefinition { linger: 100, lazy_linger: 10, ..plain() });
    till.take_by(0, 1, &charge("ann"));
    till.take_by(0, 2, &lazy("ann"));
    till.give_by(1, 1, &charge("ann"));
    till.give_by(2, 2, &lazy("ann"));
    assert_eq!((till.in_use(11), till.in_use(12)), (1, 0));
    till.take_by(20, 3, &lazy("ann"));
    till.take_by(20, 4, &charge("ann"));
    till.give_by(21, 3, &lazy("ann"));
    till.give_by(22, 4, &charge("ann"));
    assert_eq!((till.in_use(121), till.in_use(122)), (1, 0));
    // One that is its own holder comes back to nothing.
    till.take_by(200, 5, &lazy(""));
    till.give_by(201, 5, &lazy(""));
    assert_eq!(till.in_use(201), 0);
}

#[test]
fn a_unit_is_held_as_the_class_of_the_session_that_took_it_says() {
    let holds = PoolDefinition { min_hold: 10, anonymous_min_hold: 20, lazy_min_hold: 30, ..plain() };
    let mut till = Till::new(holds);
    let anonymous = Charge { class: LicenseClass::Anonymous, ..charge("") };
    for (number, from) in [(1, &charge("")), (2, &anonymous), (3, &lazy(""))] {
        till.take_by(0, number, from);
        till.give_by(1, number, from);
    }
    assert_eq!([9, 10, 19, 20, 29, 30].map(|ms| till.in_use(ms)), [3, 2, 2, 1, 1, 0]);
    // Who comes beside one that has the unit takes none.
    till.take_by(100, 4, &lazy("ann"));
    till.take_by(105, 5, &charge("ann"));
    till.give_by(106, 4, &lazy("ann"));
    till.give_by(107, 5, &charge("ann"));
    assert_eq!((till.in_use(129), till.in_use(130)), (1, 0));
    till.take_by(200, 6, &charge("ann"));
    till.take_by(205, 7, &lazy("ann"));
    till.give_by(206, 6, &charge("ann"));
    till.give_by(207, 7, &lazy("ann"));
    assert_eq!((till.in_use(209), till.in_use(210)), (1, 0));
    // What a session takes as features is named or anonymous.
    let takes = |class| Charge { class, holder: Holder::taker(session(8), class), ..charge("") };
    for (number, class) in [(8, LicenseClass::Named), (9, LicenseClass::Anonymous)] {
        till.take_by(300, number, &takes(class));
        till.give_by(301, number, &takes(class));
    }
    assert_eq!([309, 310, 319, 320].map(|ms| till.in_use(ms)), [2, 1, 1, 0]);
}

#[test]
fn a_holder_of_several_units_holds_them_until_the_last_of_their_times() {
    for (first, then, until) in [(30, 10, 30), (10, 30, 35)] {
        let rule = PoolRule { unit_rule: UnitRule::Session, max_connections: 25, max_sessions_per_holder: None };
        let mut till =
            Till::new(PoolDefinition { rule, lazy_min_hold: first, min_hold: then, reclaim: false, ..plain() });
        till.take_by(0, 1, &lazy("ann"));
        till.take_by(5, 2, &charge("ann"));
        till.give_by(6, 1, &lazy("ann"));
        till.give_by(7, 2, &charge("ann"));
        assert_eq!((till.in_use(until - 1), till.in_use(until)), (2, 0), "{first} and {then}");
        // Its next unit is held for its own time alone.
        till.take_by(50, 3, &charge("ann"));
        till.give_by(51, 3, &charge("ann"));
        assert_eq!((till.in_use(50 + then - 1), till.in_use(50 + then)), (1, 0), "{first} and {then}");
    }
}

#[test]
fn what_is_reclaimed_is_the_first_whose_time_is_over_and_who_waits_hears_of_it() {
    let pool = PoolDefinition { linger: 500, lazy_linger: 500, min_hold: 50, lazy_min_hold: 20, queue: 5, ..plain() };
    let mut till = Till::new(pool);
    for (ms, number, from) in [(0, 1, charge("ann")), (1, 2, lazy("bob")), (2, 3, charge("eve"))] {
        till.take_by(ms, number, &from);
        till.give_by(ms + 1, number, &from);
    }
    let new = |number, user: &str| NewWaiter {
        session: session(number),
        charge: charge(user),
        from: None,
        count: 1,
        rank: Rank::Ordinary,
        priority: 0,
        deadline: 400,
    };
    for (number, user) in [(4, "dan"), (5, "dora")] {
        let waiter = Waiter::new(&new(number, user), 10, (0, 0));
        let joined = queue::join(&mut till.books, &till.pool, at(10), &waiter, None).expect("books that work");
        assert!(joined.is_ok());
    }
    // The one that took its unit later is free first.
    assert_eq!(expire(&mut till.books, &till.pool, at(10)), Ok(Some(21)));
    expire(&mut till.books, &till.pool, at(21)).expect("books that work");
    assert_eq!((till.books.called.len(), till.books.users.contains_key("bob")), (1, false));
    let next = expire(&mut till.books, &till.pool, at(22)).expect("books that work");
    assert_eq!(next, Some(50));
    expire(&mut till.books, &till.pool, at(50)).expect("books that work");
    assert_eq!((till.books.called.len(), till.books.users.contains_key("ann")), (2, false));
    till.holds();
}

#[test]
fn whenever_who_comes_and_goes_a_unit_is_free_when_both_times_are_over() {
    for seed in 1..300_u64 {
        let mut dice = Dice::new(seed);
        let rule = PoolRule { unit_rule: UnitRule::User, max_connections: 1, max_sessions_per_holder: None };
        let mut some = |most| dice.below(most);
        let pool = PoolDefinition {
            rule,
            linger: some(20),
            lazy_linger: some(20),
            min_hold: some(30),
            lazy_min_hold: some(30),
            reclaim: false,
            ..plain()
        };
        let mut till = Till::new(pool);
        let (mut live, mut number, mut now) = (Vec::new(), 0_u8, 0);
        // Until when the one user's unit is held, and until when it lingers.
        let (mut held, mut until) = (0, 0);
        for _ in 0..100 {
            now += some(12);
            let class = if some(2) == 0 { LicenseClass::Named } else { LicenseClass::Lazy };
            let there = !live.is_empty() || until > now;
            if live.is_empty() || some(2) == 0 {
                number += 1;
                let from = Charge { class, ..charge("ann") };
                till.take_by(now, number, &from);
                live.push((number, from));
                if !there {
                    let least = if class == LicenseClass::Lazy { till.pool.lazy_min_hold } else { till.pool.min_hold };
                    held = now + least;
                }
            } else {
                let (number, from) = live.swap_remove(some(live.len() as u64) as usize);
                till.give_by(now, number, &from);
                let lazy = from.class == LicenseClass::Lazy;
                let linger = if lazy { till.pool.lazy_linger } else { till.pool.linger };
                until = held.max(now + linger);
            }
            let there = !live.is_empty() || until > now;
            assert_eq!(till.in_use(now), u64::from(there), "seed {seed} at {now}: {:?}", till.pool);
        }
    }
}
