//! A pool is defined anew.

use super::*;

#[test]
fn a_lowered_capacity_takes_nothing_and_drains() {
    let mut till = Till::new(PoolDefinition::plain("main", 4));
    for (number, user) in [(1, "a"), (2, "b"), (3, "c"), (4, "d")] {
        assert_eq!(till.take(0, number, user), Ok(()));
    }
    let smaller = PoolDefinition { capacity: 2, audit_records: 10, ..PoolDefinition::plain("main", 2) };
    assert_eq!(till.define(5, smaller, &["ann", "bob"]), Ok(()));
    assert_eq!(till.last(), (AuditKind::Change, AuditWhy::Nothing, 4));
    assert_eq!((till.books.totals.in_use, till.books.totals.excess), (4, 2));
    assert_eq!(till.books.levels.last(), Some(&(PoolLevel::Overdraft, 4)));
    till.give(6, 1, "a");
    assert_eq!(till.take(7, 5, "e"), FULL);
    assert_eq!(till.books.totals.excess, 1);
    let larger = PoolDefinition { capacity: 6, audit_records: 10, ..PoolDefinition::plain("main", 6) };
    assert_eq!(till.define(8, larger, &["ann", "bob"]), Ok(()));
    assert_eq!((till.books.totals.excess, till.books.totals.overdrawn), (0, None));
    assert_eq!(till.books.levels.last(), Some(&(PoolLevel::Recovered, 3)));
    assert_eq!(till.take(9, 5, "e"), Ok(()));
}

#[test]
fn what_a_shrink_left_over_is_told_apart_from_an_overdraft() {
    let overdraft =
        |capacity| PoolDefinition { overdraft: 2, audit_records: 10, ..PoolDefinition::plain("main", capacity) };
    let mut till = Till::new(overdraft(3));
    for (number, user) in [(1, "a"), (2, "b"), (3, "c"), (4, "d")] {
        assert_eq!(till.take(0, number, user), Ok(()));
    }
    assert_eq!(till.books.totals.excess, 0, "one unit is overdrawn");
    assert_eq!(till.define(1, overdraft(1), &["ann", "bob"]), Ok(()));
    assert_eq!(till.books.totals.excess, 2);
    till.give(2, 1, "a");
    assert_eq!(till.books.totals.excess, 2, "the overdraft is given back first");
    till.give(3, 2, "b");
    assert_eq!(till.books.totals.excess, 1);
}

#[test]
fn a_rule_that_counts_what_is_held_otherwise_waits() {
    let rule = |unit_rule, max_connections| PoolDefinition {
        rule: PoolRule { unit_rule, max_connections, max_sessions_per_holder: None },
        audit_records: 10,
        ..PoolDefinition::plain("main", 9)
    };
    let mut till = Till::new(rule(UnitRule::Staircase, 2));
    for number in 1..4 {
        assert_eq!(till.take(0, number, "ada"), Ok(()));
    }
    for (other, told) in [
        (rule(UnitRule::Session, 2), "with 3 units for 3 sessions, who has 2"),
        (rule(UnitRule::Staircase, 3), "with 1 unit for 3 sessions"),
    ] {
        let why = till.define(1, other, &["ann", "bob"]).expect_err(told);
        assert!(why.contains(told) && why.contains("'ada'"), "{why}");
    }
    till.give(2, 1, "ada");
    assert_eq!(till.define(3, rule(UnitRule::User, 2), &["ann", "bob"]), Ok(()), "two sessions are one unit by both");
}

#[test]
fn held_units_stay_reserved_for_the_same_members() {
    let apart = |units: &[u64]| PoolDefinition {
        reservations: units.iter().map(|units| Reserved { units: *units, hard: true }).collect(),
        audit_records: 10,
        ..PoolDefinition::plain("main", 6)
    };
    let mut till = Till::new(apart(&[1, 2]));
    assert_eq!(till.take_as(0, 1, "ann", Rank::Reserved(0)), Ok(()));
    assert_eq!(till.take_as(0, 2, "bob", Rank::Reserved(1)), Ok(()));
    assert_eq!(till.books.totals.reserved, [1, 1]);
    assert_eq!(till.define(1, apart(&[3]), &["bob"]), Ok(()));
    assert_eq!(till.books.totals.reserved, [1]);
    assert_eq!((till.books.users["ann"].seat, till.books.users["bob"].seat), (0, 1));
    till.give(2, 2, "bob");
    assert_eq!(till.books.totals.reserved, [0]);
}

#[test]
fn marks_are_raised_by_what_is_above_them_alone() {
    let mut till = Till::new(PoolDefinition::plain("main", 4));
    assert_eq!(till.take(0, 1, "a"), Ok(()));
    assert_eq!(till.books.marks, []);
    till.books.totals.mark = 1;
    assert_eq!(till.take(1, 2, "b"), Ok(()));
    till.give(2, 2, "b");
    assert_eq!(till.take(3, 3, "c"), Ok(()));
    assert_eq!((&till.books.marks[..], till.books.totals.mark), (&[(2, 1001)][..], 2));
}
