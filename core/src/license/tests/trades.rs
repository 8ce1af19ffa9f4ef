//! A session changes its holder, wholly or not at all.

use super::*;

#[test]
fn a_denied_trade_writes_the_denial_and_nothing_else() {
    let (mut books, pool) = (Books::default(), pool(UnitRule::Iris, 3));
    let acquire = |books: &mut Books, number, user| {
        acquire(books, &pool, at(1), session(number), Demand::new(&charge(user), Rank::Ordinary))
    };
    for (number, user) in [(1, "ada"), (2, "ada"), (3, "bob"), (4, "bob")] {
        assert_eq!(acquire(&mut books, number, user), Ok(Ok(())));
    }
    let (totals, written, users) = (books.totals.clone(), books.holders_written, books.users.clone());
    // The third connection of one holder costs three units: one is free, and one comes free.
    let verdict =
        trade(&mut books, &pool, at(2), session(3), &charge("bob"), Demand::new(&charge("ada"), Rank::Ordinary));
    assert_eq!(verdict, Ok(Err(DenyReason::PoolExhausted)));
    assert_eq!(books.totals, Totals { denials: 1, ..totals });
    assert_eq!((books.holders_written, &books.users), (written, &users));
    assert_eq!(books.records.last(), Some(&(AuditKind::Denial, 2, 2, Some(DenyReason::PoolExhausted))));
}

#[test]
fn a_full_pool_trades_the_unit_that_becomes_free() {
    let (mut books, pool) = (Books::default(), pool(UnitRule::User, 1));
    assert_eq!(acquire(&mut books, &pool, at(1), session(1), Demand::new(&charge(""), Rank::Ordinary)), Ok(Ok(())));
    assert_eq!(
        trade(&mut books, &pool, at(5), session(1), &charge(""), Demand::new(&charge("ada"), Rank::Ordinary)),
        Ok(Ok(()))
    );
    assert_eq!(books.users.get("ada"), Some(&UserHolder { connections: 1, units: 1, ..UserHolder::new(5) }));
    assert_eq!(
        trade(&mut books, &pool, at(7), session(1), &charge("ada"), Demand::new(&charge("ada"), Rank::Ordinary)),
        Ok(Ok(()))
    );
    assert_eq!(books.users.get("ada"), Some(&UserHolder { connections: 1, units: 1, ..UserHolder::new(7) }));
    assert_eq!(release(&mut books, &pool, at(9), session(1), &charge("ada"), 0), Ok(()));
    assert_eq!((books.totals.in_use, books.users.len()), (0, 0));
    assert_eq!((books.totals.high_water, books.totals.high_water_at), (1, 1001));
    assert_eq!(books.levels, [(PoolLevel::Exhausted, 1), (PoolLevel::Low, 0)]);
}

#[test]
fn each_failure_of_the_books_is_told() {
    let pool = pool(UnitRule::Session, 3);
    for fail_at in 1.. {
        let mut books = Books { fail_at: Some(fail_at), ..Books::default() };
        let done = acquire(&mut books, &pool, at(1), session(1), Demand::new(&charge("ada"), Rank::Ordinary))
            .and_then(|_| {
                trade(&mut books, &pool, at(2), session(1), &charge("ada"), Demand::new(&charge("bob"), Rank::Ordinary))
            })
            .and_then(|_| release(&mut books, &pool, at(3), session(1), &charge("bob"), 0));
        if books.calls < fail_at {
            assert_eq!((done, books.totals.in_use), (Ok(()), 0));
            break;
        }
        assert_eq!(done, Err("the disk is full"));
    }
}

#[test]
fn a_trade_to_a_user_with_a_lingering_unit_frees_the_old_one() {
    let mut till = Till::new(PoolDefinition { linger: 1000, ..PoolDefinition::plain("main", 2) });
    assert_eq!((till.take(0, 1, "ada"), till.take(0, 2, "")), (Ok(()), Ok(())));
    till.give(1, 1, "ada");
    let traded =
        trade(&mut till.books, &till.pool, at(2), session(2), &charge(""), Demand::new(&charge("ada"), Rank::Ordinary));
    assert_eq!(traded, Ok(Ok(())));
    assert_eq!(till.last(), (AuditKind::Trade, AuditWhy::Lingering, 1));
    assert_eq!((till.books.totals.in_use, till.books.totals.lingering), (1, 0));
}

#[test]
fn what_was_set_aside_in_vain_is_not_set_aside_again() {
    let rule = PoolRule { unit_rule: UnitRule::Iris, max_connections: 2, max_sessions_per_holder: None };
    let mut till = Till::new(PoolDefinition { rule, queue: 5, ..PoolDefinition::plain("main", 4) });
    for (number, user) in [(1, "ann"), (2, "ann"), (3, "bob"), (4, ""), (5, "")] {
        assert_eq!(till.take(0, number, user), Ok(()));
    }
    // A third session costs ann two units more, and bob's only one gives back one.
    let new = NewWaiter {
        session: session(3),
        charge: charge("ann"),
        from: Some(charge("bob")),
        count: 1,
        rank: Rank::Ordinary,
        priority: 0,
        deadline: 1000,
    };
    let waiter = Waiter::new(&new, 1, (0, 0));
    let joined = queue::join(&mut till.books, &till.pool, at(1), &waiter, new.from.as_ref());
    let place = joined.expect("books that work").expect("a place");
    // Then bob has two, and none comes free with one of them.
    assert_eq!(till.take(2, 6, "bob"), Ok(()));
    let claim = |till: &mut Till, ms| {
        let (pool, demand) = (&till.pool, Demand::new(&new.charge, Rank::Ordinary));
        let demand = Demand { turn: Some(place), last: false, ..demand };
        trade(&mut till.books, pool, at(ms), session(3), &charge("bob"), demand).expect("books that work")
    };
    till.give(3, 4, "");
    assert_eq!((till.books.totals.offered, till.books.called.len()), (1, 1));
    assert_eq!(claim(&mut till, 4), FULL);
    till.holds();
    assert_eq!((till.books.totals.offered, till.books.called.len()), (0, 1), "nobody is called in vain again");
    till.give(5, 5, "");
    assert_eq!((till.books.totals.offered, till.books.called.len()), (2, 2));
    assert_eq!(claim(&mut till, 6), Ok(()));
    till.holds();
    assert_eq!((till.books.totals.in_use, till.books.totals.waiting), (4, 0));
}
