//! The arithmetic of a pool over books that count what is written into them.

mod classes;
mod party;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::audit::{AuditKind, AuditWhy};
use super::books::{AuditEntry, Ledger, Lingering, Orphan, Totals, UserHolder};
use super::crowd::Victims;
use super::ledger::{self, Demand, Verdict, expire, give_back, release, wanted};
use super::line::Line;
use super::policy::{Rank, Reserved};
use super::queue;
use super::recount::{recount, recount_clients};
use super::redefine::{Redefinition, Seats, redefine};
use super::rules::PoolRule;
use super::waiter::{Awaits, Lane, Waiter};
use crate::clock::{Millis, Now};
use crate::config::{Pool, Reservation};
use crate::id::SessionId;
use crate::reason::{DenyReason, LicenseClass, UnitRule};
use crate::table::{At, Charge, Holder, Leaving, NewWaiter, PoolDefinition, PoolInForce, PoolLevel};

/// Books that count what is written into them, and fail at a chosen call.
#[derive(Default)]
struct Books {
    totals: Totals,
    users: HashMap<Arc<str>, UserHolder>,
    orphans: BTreeSet<(Millis, SessionId, bool)>,
    clients: HashMap<Arc<str>, u64>,
    records: Vec<(AuditKind, u64, u64, Option<DenyReason>)>,
    whys: Vec<AuditWhy>,
    levels: Vec<(PoolLevel, u64)>,
    marks: Vec<(u64, i64)>,
    line: Line,
    called: Vec<u64>,
    holders_written: u32,
    calls: u32,
    fail_at: Option<u32>,
}

impl Books {
    fn call_books(&mut self) -> Result<(), &'static str> {
        self.calls += 1;
        if self.fail_at == Some(self.calls) { Err("the disk is full") } else { Ok(()) }
    }
}

impl Ledger for Books {
    type Error = &'static str;

    fn totals(&mut self) -> &mut Totals {
        &mut self.totals
    }

    fn keep_totals(&mut self) -> Result<(), Self::Error> {
        self.call_books()
    }

    fn holder(&mut self, user: &Arc<str>) -> Result<Option<UserHolder>, Self::Error> {
        self.call_books().map(|()| self.users.get(user).copied())
    }

    fn set_holder(&mut self, user: &Arc<str>, holder: Option<UserHolder>) -> Result<(), Self::Error> {
        self.call_books()?;
        self.holders_written += 1;
        match holder {
            Some(holder) => self.users.insert(user.clone(), holder),
            None => self.users.remove(user),
        };
        Ok(())
    }

    fn first_lingering(&mut self) -> Result<Option<(Millis, Lingering)>, Self::Error> {
        self.call_books()?;
        let users = self.users.iter().filter(|(_, held)| held.lingering > 0);
        let users = users.map(|(user, held)| (held.until, Lingering::User(user.clone())));
        let orphans = self
            .orphans
            .iter()
            .map(|&(until, session, anonymous)| (until, Lingering::Orphan(Orphan { session, anonymous, until })));
        Ok(users.chain(orphans).min_by_key(|(until, _)| *until))
    }

    fn lingering(&mut self, skip: usize, limit: usize) -> Result<Vec<Arc<str>>, Self::Error> {
        self.call_books()?;
        let lingers = self.users.iter().filter(|(_, held)| held.lingering > 0);
        let mut users: Vec<_> = lingers.map(|(user, held)| (held.acquired, user.clone())).collect();
        users.sort();
        Ok(users.into_iter().skip(skip).take(limit).map(|(_, user)| user).collect())
    }

    fn client(&mut self, client: &str) -> Result<u64, Self::Error> {
        self.call_books().map(|()| self.clients.get(client).copied().unwrap_or(0))
    }

    fn set_client(&mut self, client: &Arc<str>, sessions: u64) -> Result<(), Self::Error> {
        self.call_books()?;
        match sessions {
            0 => self.clients.remove(client),
            _ => self.clients.insert(client.clone(), sessions),
        };
        Ok(())
    }

    fn add_orphan(&mut self, orphan: &Orphan) -> Result<(), Self::Error> {
        self.call_books()?;
        self.orphans.insert((orphan.until, orphan.session, orphan.anonymous));
        Ok(())
    }

    fn remove_orphan(&mut self, orphan: &Orphan) -> Result<(), Self::Error> {
        self.call_books()?;
        self.orphans.remove(&(orphan.until, orphan.session, orphan.anonymous));
        Ok(())
    }

    fn add_waiter(&mut self, waiter: &Waiter) -> Result<u64, Self::Error> {
        self.call_books().map(|()| self.line.add(waiter))
    }

    fn waiter(&mut self, seq: u64) -> Result<Option<Waiter>, Self::Error> {
        self.call_books().map(|()| self.line.get(seq).cloned())
    }

    fn set_waiter(&mut self, waiter: &Waiter, before: Awaits) -> Result<(), Self::Error> {
        assert_eq!(self.line.get(waiter.turn.seq).map(|known| known.awaits), Some(before));
        self.call_books().map(|()| self.line.set(waiter))
    }

    fn remove_waiter(&mut self, waiter: &Waiter) -> Result<(), Self::Error> {
        self.call_books().map(|()| self.line.remove(waiter.turn.seq))
    }

    fn lanes(&mut self) -> Result<Vec<Lane>, Self::Error> {
        self.call_books().map(|()| self.line.lanes())
    }

    fn head(&mut self, lane: Lane) -> Result<Option<Waiter>, Self::Error> {
        self.call_books().map(|()| self.line.head(lane).cloned())
    }

    fn first_lapse(&mut self) -> Result<Option<(Millis, u64)>, Self::Error> {
        self.call_books().map(|()| self.line.first_lapse())
    }

    fn call(&mut self, waiter: &Waiter) -> Result<(), Self::Error> {
        self.call_books().map(|()| self.called.push(waiter.turn.seq))
    }

    fn record(&mut self, entry: &AuditEntry<'_>) -> Result<(), Self::Error> {
        self.call_books()?;
        self.records.push((entry.kind, entry.before, entry.after, entry.reason));
        self.whys.push(entry.why);
        Ok(())
    }

    fn users(&mut self) -> Result<Vec<(Arc<str>, UserHolder)>, Self::Error> {
        self.call_books()?;
        let mut users: Vec<_> = self.users.iter().map(|(user, held)| (user.clone(), *held)).collect();
        users.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(users)
    }

    fn reseat(&mut self, seats: &Seats) -> Result<(), Self::Error> {
        self.call_books()?;
        self.users.values_mut().for_each(|held| held.reseat(seats));
        self.line.reseat(seats);
        Ok(())
    }

    fn raise_marks(&mut self, units: u64, wall: i64) -> Result<(), Self::Error> {
        self.call_books().map(|()| self.marks.push((units, wall)))
    }

    fn level(&mut self, level: PoolLevel, in_use: u64) -> Result<(), Self::Error> {
        self.call_books().map(|()| self.levels.push((level, in_use)))
    }
}

/// Where nobody goes for it.
fn acquire(
    books: &mut Books,
    pool: &PoolDefinition,
    at: At,
    session: SessionId,
    demand: Demand<'_>,
) -> Result<Verdict, &'static str> {
    ledger::acquire(books, pool, at, session, demand, &mut Victims::none())
}

fn trade(
    books: &mut Books,
    pool: &PoolDefinition,
    at: At,
    session: SessionId,
    from: &Charge,
    demand: Demand<'_>,
) -> Result<Verdict, &'static str> {
    ledger::trade(books, pool, at, session, from, demand, &mut Victims::none())
}

fn pool(unit_rule: UnitRule, capacity: u64) -> PoolDefinition {
    PoolDefinition {
        rule: PoolRule { unit_rule, max_connections: 2, max_sessions_per_holder: None },
        anonymous_cap: Some(1),
        low: 2,
        audit_records: 10,
        ..PoolDefinition::plain("main", capacity)
    }
}

fn at(ms: Millis) -> At {
    At { now: Now { ms, ..Now::default() }, wall: 1000 + ms as i64 }
}

fn charge(user: &str) -> Charge {
    let holder = if user.is_empty() { Holder::Session } else { Holder::User(user.into()) };
    Charge { pool: 0, class: LicenseClass::Named, holder, client: None }
}

fn session(number: u8) -> SessionId {
    SessionId([number; 16])
}

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

/// One pool at work, with its invariants looked at after every step.
struct Till {
    books: Books,
    pool: PoolDefinition,
    /// The members of the reservations, in their order.
    members: Vec<&'static str>,
    revision: u64,
    /// Whether units may have been overdrawn.
    overdrew: bool,
}

impl Till {
    fn new(pool: PoolDefinition) -> Self {
        Self {
            books: Books::default(),
            overdrew: pool.overdraft > 0,
            pool: PoolDefinition { audit_records: 10, ..pool },
            members: vec!["ann", "bob"],
            revision: 0,
        }
    }

    /// Defines the pool anew.
    fn define(&mut self, ms: Millis, pool: PoolDefinition, members: &[&'static str]) -> Result<(), String> {
        let in_force = |pool: &PoolDefinition, members: &[&str], revision| PoolInForce {
            pool: Pool {
                reservations: members.iter().map(|member| Reservation::new(1, [*member])).collect(),
                ..Pool::new("main", pool.capacity)
            },
            rules: pool.clone(),
            revision,
        };
        let from = in_force(&self.pool, &self.members, self.revision);
        let to = in_force(&pool, members, self.revision + 1);
        expire(&mut self.books, &self.pool, at(ms)).expect("books that work");
        let (users, totals) = (self.books.users.clone(), self.books.totals.clone());
        let change = Redefinition { from: &from, to: &to, actor: None, recounted: false };
        let changed = redefine(&mut self.books, at(ms), change).expect("books that work");
        if changed.is_ok() {
            self.overdrew |= pool.overdraft > 0;
            (self.pool, self.members, self.revision) = (pool, members.to_vec(), self.revision + 1);
            assert_eq!(self.books.totals.revision, self.revision);
        } else {
            assert_eq!((&self.books.users, &self.books.totals), (&users, &totals), "nothing changed");
        }
        self.holds();
        changed
    }

    fn holds(&self) {
        let totals = &self.books.totals;
        let users = self.books.users.values();
        let held: u64 = users.clone().map(|held| held.units).sum();
        let lingering: u64 = users.clone().map(|held| held.lingering).sum();
        let orphans = self.books.orphans.len() as u64;
        let waiters = || self.books.line.all();
        let offered: u64 = waiters().map(Waiter::offered).sum();
        assert!(held + orphans + offered <= totals.in_use, "{totals:?}");
        assert_eq!((waiters().count() as u64, offered), (totals.waiting, totals.offered), "{totals:?}");
        assert_eq!(lingering + orphans, totals.lingering, "{totals:?}");
        let mut reserved = Vec::new();
        waiters().for_each(|waiter| waiter.count_reserved(&mut reserved));
        let reserved: u64 = reserved.iter().sum();
        assert_eq!(users.map(|held| held.reserved).sum::<u64>() + reserved, totals.reserved.iter().sum(), "{totals:?}");
        // A capacity that was lowered takes nothing: then what counts is the one that the last unit was given under.
        let most = totals.ceiling.max(self.pool.capacity + self.pool.overdraft);
        assert!(
            totals.in_use <= most && totals.excess <= totals.in_use.saturating_sub(self.pool.capacity),
            "{totals:?}"
        );
        if self.pool.overdraft == 0 && !self.overdrew {
            assert_eq!(totals.excess, totals.in_use.saturating_sub(self.pool.capacity), "{totals:?}");
        }
    }

    fn take_as(&mut self, ms: Millis, number: u8, user: &str, rank: Rank) -> Verdict {
        let verdict = acquire(&mut self.books, &self.pool, at(ms), session(number), Demand::new(&charge(user), rank));
        self.holds();
        verdict.expect("books that work")
    }

    fn take(&mut self, ms: Millis, number: u8, user: &str) -> Verdict {
        self.take_as(ms, number, user, Rank::Ordinary)
    }

    fn give(&mut self, ms: Millis, number: u8, user: &str) {
        release(&mut self.books, &self.pool, at(ms), session(number), &charge(user), 0).expect("books that work");
        self.holds();
    }

    fn last(&self) -> (AuditKind, AuditWhy, u64) {
        let (kind, _, after, _) = self.books.records.last().copied().expect("a record");
        (kind, self.books.whys.last().copied().expect("a record"), after)
    }
}

const FULL: Verdict = Err(DenyReason::PoolExhausted);
const APART: Verdict = Err(DenyReason::Reserved);

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
    assert_eq!((till.take(0, 1, "a"), till.take(0, 2, "b")), (Ok(()), Ok(())));
    assert_eq!(till.take(0, 3, "c"), APART);
    assert_eq!(till.take_as(0, 3, "c", Rank::Reserved(1)), APART);
    assert_eq!(till.take_as(0, 4, "d", Rank::Reserved(0)), Ok(()));
    assert_eq!(till.last(), (AuditKind::Grant, AuditWhy::Reserved, 3));
    assert_eq!(till.take_as(0, 5, "e", Rank::Reserved(0)), APART);
    assert_eq!(till.take_as(0, 6, "root", Rank::Administrator), Ok(()));
    assert_eq!(till.last(), (AuditKind::Grant, AuditWhy::BreakGlass, 4));
    assert_eq!(till.take_as(0, 7, "toor", Rank::Administrator), FULL);
    assert_eq!(till.take_as(0, 8, "x", Rank::Excluded), Err(DenyReason::Excluded));
    till.give(1, 4, "d");
    assert_eq!(till.take(1, 9, "f"), APART, "what came back is reserved again");
    till.give(2, 1, "a");
    assert_eq!(till.take_as(2, 9, "f", Rank::Reserved(1)), Ok(()));
    till.give(3, 6, "root");
    assert_eq!(till.take(3, 10, "g"), APART);
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
        (rule(UnitRule::Staircase, 3), "with 1 units"),
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

/// Numbers that look random, the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) % bound
    }
}

#[test]
fn whatever_the_policies_the_books_are_what_the_sessions_make_them() {
    for seed in 1..400 {
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed) | 1);
        let rules = [UnitRule::Session, UnitRule::User, UnitRule::Staircase, UnitRule::Iris, UnitRule::Hard];
        let capacity = 2 + dice.below(5);
        let set = |dice: &mut Dice, value| if dice.below(2) == 0 { value } else { 0 };
        let apart = |dice: &mut Dice| dice.below(2) == 0;
        let pool = PoolDefinition {
            rule: PoolRule {
                unit_rule: rules[dice.below(5) as usize],
                max_connections: 2,
                max_sessions_per_holder: apart(&mut dice).then_some(4),
            },
            anonymous_cap: apart(&mut dice).then_some(1),
            anonymous_per_client: apart(&mut dice).then_some(2),
            linger: set(&mut dice, 30),
            lazy_linger: set(&mut dice, 15),
            min_hold: set(&mut dice, 20),
            anonymous_min_hold: set(&mut dice, 10),
            lazy_min_hold: set(&mut dice, 25),
            reclaim: apart(&mut dice),
            overdraft: dice.below(3),
            overdraft_time: 25,
            reservations: vec![Reserved { units: 1, hard: apart(&mut dice) }, Reserved { units: 1, hard: false }],
            break_glass: dice.below(2),
            queue: set(&mut dice, 4),
            ..PoolDefinition::plain("main", capacity)
        };
        let mut till = Till::new(pool);
        let mut live: Vec<(u8, Charge, u64)> = Vec::new();
        // Who waits: the place, the session to be, how it is to be charged.
        let mut line: Vec<(u64, u8, Charge, Rank)> = Vec::new();
        let (mut now, mut made) = (0, 0);
        for _ in 0..200 {
            now += dice.below(8);
            let users = ["", "ann", "bob", "eve", "root"];
            let user = users[dice.below(5) as usize];
            let mut to = charge(user);
            if user.is_empty() && dice.below(2) == 0 {
                to.class = LicenseClass::Anonymous;
                to.client = (dice.below(3) > 0).then(|| ["10.0.0.1", "::/64"][dice.below(2) as usize].into());
            } else if dice.below(3) == 0 {
                to.class = LicenseClass::Lazy;
            }
            let place = |of: &str| till.members.iter().position(|member| *member == of).expect("a member") as u8;
            let rank = match user {
                "ann" => Rank::Reserved(place("ann")),
                "bob" => Rank::Reserved(dice.below(2) as u8),
                "root" => Rank::Administrator,
                _ => Rank::Ordinary,
            };
            let priority = dice.below(3) as i8 - 1;
            match dice.below(8) {
                5 => {
                    let other = [UnitRule::User, UnitRule::Staircase, UnitRule::Hard][dice.below(3) as usize];
                    let rule = PoolRule { unit_rule: other, ..till.pool.rule };
                    let mut pool =
                        PoolDefinition { capacity: dice.below(8), linger: dice.below(2) * 30, ..till.pool.clone() };
                    if dice.below(3) == 0 {
                        pool.rule = rule;
                    }
                    let mut members = till.members.clone();
                    if dice.below(2) == 0 {
                        members.reverse();
                        pool.reservations.reverse();
                    }
                    // Sessions that have gone in a unit's minimal time and what lingers have been counted before.
                    let _held = till.define(now, pool, &members);
                }
                0 | 1 if made < 250 => {
                    made += 1;
                    let demand = Demand { last: till.pool.queue == 0, priority, ..Demand::new(&to, rank) };
                    let lane = Lane::of(&to, rank);
                    let before = till.books.line.head(lane).map(|first| first.turn);
                    let held = to.holder.booked().and_then(|name| till.books.users.get(name));
                    let needs = wanted(&till.pool, &to, 1, held).unwrap_or(0);
                    let verdict = acquire(&mut till.books, &till.pool, at(now), session(made), demand);
                    if verdict == Ok(Ok(())) {
                        live.push((made, to, 1));
                        let still = till.books.line.head(lane).map(|first| first.turn);
                        let overtaken = needs > 0 && before.is_some() && before == still;
                        let first = still.map_or(i8::MIN, |turn| turn.priority.0);
                        assert!(!overtaken || first < priority, "seed {seed}: overtaken");
                    } else if !demand.last {
                        let new = NewWaiter {
                            session: session(made),
                            charge: to.clone(),
                            from: None,
                            count: 1,
                            rank,
                            priority,
                            deadline: now + 50,
                        };
                        let waiter = Waiter::new(&new, now, (0, 0));
                        if let Ok(place) =
                            queue::join(&mut till.books, &till.pool, at(now), &waiter, None).expect("books")
                        {
                            line.push((place, made, to, rank));
                        }
                    }
                }
                6 if !line.is_empty() => {
                    let which = dice.below(line.len() as u64) as usize;
                    let (place, ..) = line.swap_remove(which);
                    let how = [Leaving::Denied, Leaving::Cancelled, Leaving::Died][dice.below(3) as usize];
                    assert_eq!(queue::leave(&mut till.books, &till.pool, at(now), place, how), Ok(true), "seed {seed}");
                }
                7 if !till.books.called.is_empty() => {
                    let place = till.books.called.remove(0);
                    let Some(which) = line.iter().position(|(known, ..)| *known == place) else { continue };
                    let (_, number, to, _) = line[which].clone();
                    // The pool may have been defined anew since it began to wait.
                    let rank = till.books.line.get(place).map_or(Rank::Ordinary, |waiter| waiter.lane.rank());
                    let demand = Demand { last: false, turn: Some(place), ..Demand::new(&to, rank) };
                    let offered = till.books.line.get(place).is_some_and(|waiter| match waiter.awaits {
                        Awaits::Claim(offer) => offer.units > 0 && offer.until > now,
                        _ => false,
                    });
                    let verdict =
                        acquire(&mut till.books, &till.pool, at(now), session(number), demand).expect("books");
                    match verdict {
                        Ok(()) => {
                            line.swap_remove(which);
                            live.push((number, to, 1));
                        }
                        // What is set aside for a session of its own is enough for it.
                        Err(DenyReason::PoolExhausted | DenyReason::Reserved) => {
                            assert!(!offered || to.holder != Holder::Session, "seed {seed}");
                        }
                        Err(_) => {
                            line.swap_remove(which);
                            let left = queue::leave(&mut till.books, &till.pool, at(now), place, Leaving::Denied);
                            assert_eq!(left, Ok(true), "seed {seed}");
                        }
                    }
                }
                // A feature, by the user or by one of a few sessions.
                4 => {
                    let number = 251 + dice.below(3) as u8;
                    to.client = None;
                    if to.holder == Holder::Session {
                        to.holder = Holder::taker(session(number), to.class);
                    }
                    let demand = Demand { count: 1 + dice.below(3), ..Demand::new(&to, rank) };
                    expire(&mut till.books, &till.pool, at(now)).expect("books that work");
                    let before = till.books.totals.in_use;
                    let verdict = acquire(&mut till.books, &till.pool, at(now), session(number), demand);
                    if verdict == Ok(Ok(())) {
                        let count = demand.count;
                        live.push((number, to, count));
                    } else {
                        assert!(till.books.totals.in_use <= before, "seed {seed}: all or none");
                    }
                }
                2 if live.iter().any(|(number, ..)| *number <= 250) => {
                    let those: Vec<usize> = (0..live.len()).filter(|which| live[*which].0 <= 250).collect();
                    let which = those[dice.below(those.len() as u64) as usize];
                    let (number, from, _) = live[which].clone();
                    expire(&mut till.books, &till.pool, at(now)).expect("books that work");
                    let before = till.books.totals.in_use;
                    let traded =
                        trade(&mut till.books, &till.pool, at(now), session(number), &from, Demand::new(&to, rank));
                    if traded == Ok(Ok(())) {
                        live[which].1 = to;
                    } else {
                        assert!(till.books.totals.in_use <= before, "seed {seed}: a denied trade takes nothing");
                    }
                }
                3 if !live.is_empty() => {
                    let (number, from, count) = live.swap_remove(dice.below(live.len() as u64) as usize);
                    let some = 1 + dice.below(count);
                    give_back(&mut till.books, &till.pool, at(now), session(number), &from, now, some)
                        .expect("books that work");
                    if some < count {
                        live.push((number, from, count - some));
                    }
                }
                _ => {
                    let next = expire(&mut till.books, &till.pool, at(now)).expect("books that work");
                    assert!(next.is_none_or(|next| next > now), "seed {seed}");
                }
            }
            till.holds();
            // Nobody is left waiting for what is there.
            let called = till.books.called.len();
            expire(&mut till.books, &till.pool, at(now)).expect("books that work");
            let again = queue::serve(&mut till.books, &till.pool, at(now)).expect("books that work");
            assert!(called <= till.books.called.len() && again.len() <= till.books.line.lanes().len(), "seed {seed}");
            till.holds();
            let holders: Vec<_> = live.iter().map(|(_, charge, count)| (charge.holder.clone(), *count)).collect();
            let users = till.books.users.iter().map(|(user, holder)| (&**user, *holder));
            let orphans = till.books.orphans.len() as u64;
            let recounted = recount(
                &till.pool,
                &till.books.totals,
                users,
                orphans,
                till.books.line.all(),
                holders.iter().map(|(holder, count)| (holder, *count)),
            );
            assert_eq!(recounted, (till.books.totals.in_use, Vec::new()), "seed {seed} at {now}");
            let own = live.iter().filter(|(_, charge, _)| charge.holder == Holder::Session && charge.is_anonymous());
            let orphans = till.books.orphans.iter().filter(|(.., anonymous)| *anonymous);
            let takers = till
                .books
                .users
                .iter()
                .filter(|(name, _)| Holder::of((*name).clone()).class_of_takes() == LicenseClass::Anonymous);
            let anonymous = own.count() + orphans.count();
            let anonymous = anonymous as u64 + takers.map(|(_, held)| held.units).sum::<u64>();
            let waiting = till.books.line.all().filter(|waiter| waiter.anonymous()).map(Waiter::offered).sum::<u64>();
            assert_eq!(till.books.totals.anonymous - waiting, anonymous, "seed {seed} at {now}");
            assert!(till.pool.anonymous_cap.is_none_or(|cap| anonymous <= cap), "seed {seed} at {now}");
            let clients = till.books.clients.iter().map(|(client, sessions)| (&**client, *sessions));
            let most = till.pool.anonymous_per_client.unwrap_or(u64::MAX);
            assert!(clients.clone().all(|(_, sessions)| sessions <= most), "seed {seed} at {now}");
            let counted = live.iter().filter_map(|(_, charge, _)| charge.client.as_deref());
            assert_eq!(recount_clients(clients, counted), [""; 0], "seed {seed} at {now}");
        }
        for (place, ..) in line {
            let left = queue::leave(&mut till.books, &till.pool, at(now), place, Leaving::Cancelled);
            assert_eq!(left, Ok(true), "seed {seed}");
        }
        // When everybody has gone and time has passed, nothing is held.
        for (number, from, count) in live {
            give_back(&mut till.books, &till.pool, at(now), session(number), &from, now, count)
                .expect("books that work");
        }
        assert_eq!(expire(&mut till.books, &till.pool, at(now + 1000)), Ok(None));
        let totals = &till.books.totals;
        assert_eq!((totals.in_use, totals.lingering, totals.anonymous), (0, 0, 0), "seed {seed}");
        assert!(till.books.clients.is_empty(), "seed {seed}");
        assert!(till.books.users.is_empty() && totals.reserved.iter().all(|units| *units == 0), "seed {seed}");
    }
}
