//! Units that outlive the sessions that needed them.

use super::*;

#[test]
fn who_comes_back_to_a_lingering_unit_has_it_free_and_others_after_its_time() {
    let mut till = Till::new(PoolDefinition { linger: 100, reclaim: false, ..PoolDefinition::plain("main", 1) });
    assert_eq!(till.take(0, 1, "ada"), Ok(()));
    till.give(10, 1, "ada");
    assert_eq!(till.last(), (AuditKind::Linger, AuditWhy::Nothing, 1));
    assert_eq!(till.take(50, 2, "bob"), FULL);
    assert_eq!(till.take(60, 3, "ada"), Ok(()));
    assert_eq!(till.last(), (AuditKind::Grant, AuditWhy::Lingering, 1));
    till.give(70, 3, "ada");
    assert_eq!(till.take(169, 2, "bob"), FULL);
    assert_eq!(till.take(170, 2, "bob"), Ok(()));
    assert_eq!(till.last(), (AuditKind::Grant, AuditWhy::Nothing, 1));
    assert!(till.books.whys.contains(&AuditWhy::Lingered));
    assert_eq!(expire(&mut till.books, &till.pool, at(171)), Ok(None));
}

#[test]
fn a_unit_within_its_minimal_time_is_nobody_elses_and_outlives_its_session() {
    let mut till = Till::new(PoolDefinition { min_hold: 100, ..PoolDefinition::plain("main", 2) });
    assert_eq!((till.take(0, 1, "ada"), till.take(0, 2, "")), (Ok(()), Ok(())));
    till.give(10, 1, "ada");
    release(&mut till.books, &till.pool, at(20), session(2), &charge(""), 0).expect("books that work");
    till.holds();
    assert_eq!(till.books.totals.lingering, 2);
    // Reclaiming is allowed, but not of these.
    assert_eq!(till.take(99, 3, "bob"), FULL);
    assert_eq!(expire(&mut till.books, &till.pool, at(99)), Ok(Some(100)));
    assert_eq!(till.take(100, 3, "bob"), Ok(()));
    assert_eq!((till.books.totals.in_use, till.books.totals.lingering), (1, 0));
    till.give(250, 3, "bob");
    assert_eq!(till.last(), (AuditKind::Release, AuditWhy::Nothing, 0));
}

#[test]
fn a_unit_of_a_later_time_is_free_at_once() {
    // After a power cut the clock may stand before what the books remember.
    let mut till = Till::new(PoolDefinition::plain("main", 2));
    assert_eq!((till.take(100, 1, ""), till.take(100, 2, "ada")), (Ok(()), Ok(())));
    release(&mut till.books, &till.pool, at(5), session(1), &charge(""), 100).expect("books that work");
    till.give(5, 2, "ada");
    assert_eq!((till.books.totals.in_use, till.books.totals.lingering), (0, 0));
}

#[test]
fn a_full_pool_reclaims_first_who_took_a_unit_longest_ago_and_a_denial_reclaims_nothing() {
    let mut till = Till::new(PoolDefinition { linger: 1000, ..PoolDefinition::plain("main", 2) });
    assert_eq!((till.take(5, 1, "ada"), till.take(6, 2, "bob")), (Ok(()), Ok(())));
    till.give(10, 2, "bob");
    till.give(20, 1, "ada");
    assert_eq!(till.take(30, 3, "eve"), Ok(()));
    assert!(!till.books.users.contains_key("ada") && till.books.users.contains_key("bob"));
    assert_eq!(till.last(), (AuditKind::Grant, AuditWhy::Reclaimed, 2));
    let reclaim = till.books.records[till.books.records.len() - 2];
    assert_eq!(reclaim, (AuditKind::Reclaim, 2, 1, None));
    // Three units are more than one that lingers.
    let iris = PoolRule { unit_rule: UnitRule::Iris, max_connections: 2, max_sessions_per_holder: None };
    till.pool.rule = iris;
    assert_eq!(till.take(40, 4, "eve"), Ok(()));
    let before = till.books.users.clone();
    assert_eq!(till.take(50, 5, "eve"), FULL);
    assert_eq!(till.books.users, before);
}

#[test]
fn what_a_session_takes_for_itself_is_held_for_its_minimal_time_and_lingers_no_longer() {
    let policy =
        PoolDefinition { linger: 1000, min_hold: 50, anonymous_min_hold: 80, ..PoolDefinition::plain("cad", 1) };
    for (class, until) in [(LicenseClass::Named, 50), (LicenseClass::Anonymous, 80)] {
        let mut till = Till::new(PoolDefinition { anonymous_cap: Some(1), ..policy.clone() });
        let to = Charge { pool: 0, class, holder: Holder::taker(session(1), class), client: None };
        let take = |till: &mut Till, ms| {
            acquire(&mut till.books, &till.pool, at(ms), session(1), Demand::new(&to, Rank::Ordinary))
        };
        assert_eq!(take(&mut till, 0), Ok(Ok(())));
        give_back(&mut till.books, &till.pool, at(10), session(1), &to, 0, 1).expect("books that work");
        assert_eq!(till.last(), (AuditKind::Linger, AuditWhy::Nothing, 1));
        // Nobody else may have it, and the session comes back to it.
        assert_eq!(till.take(until - 1, 2, "ada"), FULL);
        assert_eq!(take(&mut till, until - 1), Ok(Ok(())));
        assert_eq!(till.last().1, AuditWhy::Lingering);
        give_back(&mut till.books, &till.pool, at(until - 1), session(1), &to, 0, 1).expect("books that work");
        assert_eq!(till.take(until, 2, "ada"), Ok(()));
        assert_eq!((till.books.totals.anonymous, till.books.users.len()), (0, 1));
    }
}
