//! Units beyond the capacity, units set apart, several at once.

use super::*;

#[test]
fn an_overdraft_has_a_bound_a_time_and_two_events() {
    let overdraft = PoolDefinition { overdraft: 2, overdraft_time: 100, ..PoolDefinition::plain("main", 1) };
    let mut till = Till::new(overdraft);
    assert_eq!((till.take(0, 1, "a"), till.take(10, 2, "b"), till.take(50, 3, "c")), (Ok(()), Ok(()), Ok(())));
    assert_eq!(till.last(), (AuditKind::Grant, AuditWhy::Overdraft, 3));
    assert_eq!(till.take(60, 4, "d"), FULL);
    till.give(70, 3, "c");
    assert_eq!(till.take(110, 4, "d"), FULL, "its time is over");
    till.give(120, 2, "b");
    assert_eq!(till.take(130, 4, "d"), Ok(()), "it begins anew");
    let levels: Vec<PoolLevel> = till.books.levels.iter().map(|(level, _)| *level).collect();
    use PoolLevel::{Exhausted, Overdraft};
    assert_eq!(levels, [Exhausted, Overdraft, Exhausted, Overdraft]);
}

#[test]
fn reserved_units_are_for_their_own_and_the_glass_is_broken_last() {
    let hard = vec![Reserved { units: 1, hard: true }, Reserved { units: 1, hard: false }];
    let mut till = Till::new(PoolDefinition { reservations: hard, break_glass: 1, ..PoolDefinition::plain("main", 4) });
    // Four units: one apart for the first reservation, one behind glass, two for all.
    assert_eq!(till.parts(), [2, 1, 1, 1]);
    assert_eq!((till.take(0, 1, "a"), till.take(0, 2, "b")), (Ok(()), Ok(())));
    assert_eq!(till.parts(), [0, 1, 1, 1]);
    assert_eq!(till.take(0, 3, "c"), APART);
    assert_eq!(till.take_as(0, 3, "c", Rank::Reserved(1)), APART);
    assert_eq!(till.take_as(0, 4, "d", Rank::Reserved(0)), Ok(()));
    assert_eq!(till.last(), (AuditKind::Grant, AuditWhy::Reserved, 3));
    assert_eq!(till.take_as(0, 5, "e", Rank::Reserved(0)), APART);
    assert_eq!(till.take_as(0, 6, "root", Rank::Administrator), Ok(()));
    assert_eq!(till.last(), (AuditKind::Grant, AuditWhy::BreakGlass, 4));
    assert_eq!(till.parts(), [0, 0, 1, 0]);
    assert_eq!(till.take_as(0, 7, "toor", Rank::Administrator), FULL);
    assert_eq!(till.take_as(0, 8, "x", Rank::Excluded), Err(DenyReason::Excluded));
    till.give(1, 4, "d");
    assert_eq!(till.take(1, 9, "f"), APART, "what came back is reserved again");
    till.give(2, 1, "a");
    assert_eq!(till.take_as(2, 9, "f", Rank::Reserved(1)), Ok(()));
    assert_eq!(till.parts(), [0, 1, 0, 0]);
    till.give(3, 6, "root");
    assert_eq!(till.take(3, 10, "g"), APART);
    let count = |reason| till.books.denials.of(reason);
    let reasons = [DenyReason::PoolExhausted, DenyReason::HolderLimit, DenyReason::Excluded, DenyReason::Reserved];
    assert_eq!(reasons.map(count), [1, 0, 1, 5]);
}

#[test]
fn what_is_set_apart_is_told_as_far_as_there_is_any() {
    let hard = vec![Reserved { units: 3, hard: true }];
    let mut till = Till::new(PoolDefinition { reservations: hard, break_glass: 2, ..PoolDefinition::plain("main", 8) });
    till.members.truncate(1);
    for (number, user) in [(1, "a"), (2, "b"), (3, "c")] {
        assert_eq!(till.take(0, number, user), Ok(()));
    }
    assert_eq!(till.parts(), [0, 3, 0, 2]);
    let lowered = |capacity| PoolDefinition { capacity, ..till.pool.clone() };
    let (seven, five) = (lowered(7), lowered(5));
    assert_eq!(till.define(1, seven, &["ann"]), Ok(()));
    assert_eq!(till.parts(), [0, 3, 0, 1]);
    assert_eq!(till.define(2, five, &["ann"]), Ok(()));
    assert_eq!(till.parts(), [0, 2, 0, 0]);
}

#[test]
fn a_pool_has_recovered_only_with_enough_units() {
    let mut till = Till::new(PoolDefinition { low: 2, recovered: 3, ..PoolDefinition::plain("main", 4) });
    for (number, user) in [(1, "a"), (2, "b"), (3, "c"), (4, "d")] {
        assert_eq!(till.take(0, number, user), Ok(()));
    }
    till.give(1, 4, "d");
    till.give(1, 3, "c");
    assert_eq!(till.take(2, 3, "c"), Ok(()));
    till.give(3, 3, "c");
    till.give(3, 2, "b");
    use PoolLevel::{Exhausted, Low, Recovered};
    assert_eq!(till.books.levels, [(Low, 3), (Exhausted, 4), (Recovered, 1)]);
}

#[test]
fn a_feature_is_taken_wholly_or_not_at_all_and_counted_by_the_rule() {
    let take = |till: &mut Till, ms, to: &Charge, count| {
        let demand = Demand { count, ..Demand::new(to, Rank::Ordinary) };
        let verdict = acquire(&mut till.books, &till.pool, at(ms), session(1), demand);
        till.holds();
        verdict.expect("books that work")
    };
    let give = |till: &mut Till, ms, to: &Charge, count| {
        give_back(&mut till.books, &till.pool, at(ms), session(1), to, ms, count).expect("books that work");
        till.holds();
        till.books.totals.in_use
    };
    for (rule, units) in [(UnitRule::Session, 3), (UnitRule::User, 1), (UnitRule::Staircase, 2), (UnitRule::Iris, 3)] {
        let rule = PoolRule { unit_rule: rule, max_connections: 2, max_sessions_per_holder: Some(4) };
        for holder in [Holder::User("ada".into()), Holder::taker(session(1), LicenseClass::Named)] {
            let mut till = Till::new(PoolDefinition { rule, ..PoolDefinition::plain("cad", 3) });
            let to = Charge { pool: 0, class: LicenseClass::Named, holder, client: None };
            assert_eq!(take(&mut till, 1, &to, 5), Err(DenyReason::HolderLimit));
            assert_eq!(take(&mut till, 1, &to, 3), Ok(()));
            assert_eq!(till.last(), (AuditKind::Grant, AuditWhy::Nothing, units), "one record for {rule:?}");
            if rule.unit_rule == UnitRule::Session {
                assert_eq!(take(&mut till, 2, &to, 1), FULL);
            }
            give(&mut till, 3, &to, 2);
            assert_eq!(give(&mut till, 4, &to, 1), 0);
            assert!(till.books.users.is_empty());
        }
    }
}
