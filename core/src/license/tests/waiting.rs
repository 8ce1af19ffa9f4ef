//! Who waits, and what is set aside for whom.

use super::*;

#[test]
fn for_who_is_refused_for_good_nothing_is_set_aside_again() {
    let rule = PoolRule { unit_rule: UnitRule::Session, max_connections: 1, max_sessions_per_holder: Some(1) };
    let mut till = Till::new(PoolDefinition { rule, queue: 2, ..PoolDefinition::plain("main", 2) });
    assert_eq!((till.take(0, 1, "ada"), till.take(0, 2, "bob")), (Ok(()), Ok(())));
    // It waits as itself; when its turn comes it is ada, who may have no second one.
    let taker = Charge { holder: Holder::taker(session(3), LicenseClass::Named), ..charge("") };
    let (rank, from) = (Rank::Ordinary, None);
    let new = NewWaiter { session: session(3), charge: taker, from, count: 1, rank, priority: 0, deadline: 90 };
    let waiter = Waiter::new(&new, 1, (0, 0));
    let place = queue::join(&mut till.books, &till.pool, at(1), &waiter, None).expect("books").expect("a place");
    till.give(2, 2, "bob");
    assert_eq!(till.last(), (AuditKind::Offer, AuditWhy::Nothing, 2));
    let (told, ada) = (till.books.levels.len(), charge("ada"));
    let demand = Demand { turn: Some(place), ..Demand::new(&ada, rank) };
    let refused = acquire(&mut till.books, &till.pool, at(3), session(3), demand).expect("books that work");
    till.holds();
    assert_eq!(refused, Err(DenyReason::HolderLimit));
    let kinds: Vec<_> = till.books.records.iter().rev().take(2).map(|(kind, ..)| *kind).collect();
    assert_eq!(kinds, [AuditKind::Denial, AuditKind::Withdraw]);
    assert_eq!((till.books.totals.waiting, till.books.totals.in_use, till.books.levels.len()), (0, 1, told + 1));
    assert_eq!(queue::leave(&mut till.books, &till.pool, at(3), place, Leaving::Denied), Ok(false));
}
