//! When a unit may be back, by endings told one by one.

use crate::clock::Millis;
use crate::license::back::{Ending, Refusal};
use crate::license::books::{Orphan, Totals, UserHolder};
use crate::license::outlook::Outlook;
use crate::license::policy;
use crate::license::policy::Rank;
use crate::license::rules::PoolRule;
use crate::reason::Evict;
use crate::reason::{LicenseClass, UnitRule};
use crate::table::PoolDefinition;
use crate::table::{Charge, Holder, Taken};

fn ending(at: Millis, user: &str) -> Ending {
    let holder = if user.is_empty() { Holder::Session } else { Holder::User(user.into()) };
    let charge = Charge { pool: 0, class: LicenseClass::Named, holder, client: None };
    Ending { at, evict: Millis::MAX, since: 0, charge, count: 1, feature: false }
}

fn own() -> Refusal {
    Refusal::own(0, LicenseClass::Named)
}

fn ask(
    pool: &PoolDefinition,
    totals: Totals,
    refusal: &Refusal,
    endings: &[Ending],
    held: UserHolder,
) -> Option<Millis> {
    let outlook =
        Outlook { pool, totals: &totals, now: 10, lingering: Vec::new(), orphans: Vec::new(), line: Vec::new() };
    outlook.back(refusal, endings, |_| Some(held))
}

fn back(pool: &PoolDefinition, in_use: u64, endings: &[(Millis, &str)], held: UserHolder) -> Option<Millis> {
    let endings: Vec<Ending> = endings.iter().map(|(at, user)| ending(*at, user)).collect();
    ask(pool, Totals { in_use, ..Totals::default() }, &own(), &endings, held)
}

#[test]
fn who_may_be_evicted_counts_from_then_on() {
    let rule = PoolRule { unit_rule: UnitRule::User, max_connections: 2, max_sessions_per_holder: None };
    let pool = PoolDefinition { rule, evict: Evict::Any, ..PoolDefinition::plain("main", 1) };
    let full = || Totals { in_use: 1, ..Totals::default() };
    let two = UserHolder { connections: 2, units: 1, ..UserHolder::new(0) };
    let ada = |at, evict| Ending { evict, ..ending(at, "ada") };
    let asks =
        |pool: &PoolDefinition, refusal: &Refusal, endings: &[Ending], held| ask(pool, full(), refusal, endings, held);
    // All sessions of a user go, or none.
    assert_eq!(asks(&pool, &own(), &[ada(90, 20), ada(80, 30)], two), Some(30));
    assert_eq!(asks(&pool, &own(), &[ada(90, 20), ada(40, 60)], two), Some(40));
    assert_eq!(asks(&pool, &own(), &[ada(90, 20)], two), None);
    // Not within the minimal time, nor if the unit counts as reserved, nor for a feature, nor for the user itself.
    let young = PoolDefinition { min_hold: 50, ..pool.clone() };
    assert_eq!(asks(&young, &own(), &[ada(90, 20), ada(80, 30)], two), Some(50));
    let reserved = UserHolder { reserved: 1, seat: 1, ..two };
    assert_eq!(asks(&pool, &own(), &[ada(90, 20), ada(80, 30)], reserved), Some(90));
    let feature = Refusal { feature: true, ..own() };
    assert_eq!(asks(&pool, &feature, &[ada(90, 20), ada(80, 30)], two), Some(90));
    let one = |evict| Ending { evict, ..ending(90, "") };
    assert_eq!(asks(&pool, &own(), &[one(20)], two), Some(20));
    // It lingers only if all went by themselves.
    let kept = PoolDefinition { linger: 30, reclaim: false, ..pool.clone() };
    assert_eq!(asks(&kept, &own(), &[ada(90, 20), ada(80, 30)], two), Some(30));
    assert_eq!(asks(&kept, &own(), &[ada(90, 200), ada(80, 300)], two), Some(120));
    // Of a capacity that was lowered the excess drains first.
    let excess = Totals { in_use: 2, excess: 1, ..Totals::default() };
    assert_eq!(ask(&pool, excess, &own(), &[one(20), Ending { at: 60, ..one(200) }], two), Some(60));
}

#[test]
fn what_is_set_apart_for_others_is_of_no_use() {
    let reservations = vec![policy::Reserved { units: 1, hard: true }];
    let pool = PoolDefinition { reservations, ..PoolDefinition::plain("main", 2) };
    let totals = Totals { in_use: 2, reserved: vec![1], ..Totals::default() };
    let ada = UserHolder { connections: 1, units: 1, reserved: 1, seat: 1, ..UserHolder::new(0) };
    let endings = [ending(20, "ada"), ending(50, "")];
    assert_eq!(ask(&pool, totals.clone(), &own(), &endings, ada), Some(50));
    let member = Refusal { user: Some("bob".into()), rank: Rank::Reserved(0), ..own() };
    let outlook =
        Outlook { pool: &pool, totals: &totals, now: 10, lingering: Vec::new(), orphans: Vec::new(), line: Vec::new() };
    assert_eq!(outlook.back(&member, &endings, |user| (&**user == "ada").then_some(ada)), Some(20));
    // Of anonymous sessions there are as many as there may be.
    let capped = PoolDefinition { anonymous_cap: Some(1), ..PoolDefinition::plain("main", 2) };
    let guest = Refusal::own(0, LicenseClass::Anonymous);
    let mut endings = [ending(20, ""), ending(50, "")];
    endings[1].charge.class = LicenseClass::Anonymous;
    let totals = Totals { in_use: 2, anonymous: 1, ..Totals::default() };
    assert_eq!(ask(&capped, totals, &guest, &endings, ada), Some(50));
}

#[test]
fn an_overdraft_that_is_over_lends_nothing() {
    let pool = PoolDefinition { overdraft: 1, overdraft_time: 25, ..PoolDefinition::plain("main", 1) };
    let totals = || Totals { in_use: 2, overdrawn: Some(5), ..Totals::default() };
    let held = UserHolder::new(0);
    assert_eq!(ask(&pool, totals(), &own(), &[ending(20, ""), ending(50, "")], held), Some(20));
    // Back within the capacity it may lend again.
    assert_eq!(ask(&pool, totals(), &own(), &[ending(40, ""), ending(50, "")], held), Some(40));
    let none = PoolDefinition { overdraft: 2, ..pool.clone() };
    let three = Totals { in_use: 3, overdrawn: Some(5), ..Totals::default() };
    assert_eq!(ask(&none, three, &own(), &[ending(40, ""), ending(50, "")], held), Some(50));
}

#[test]
fn what_a_session_took_is_back_with_its_end() {
    let rule = PoolRule { unit_rule: UnitRule::Session, max_connections: 1, max_sessions_per_holder: None };
    let pool = PoolDefinition { rule, ..PoolDefinition::plain("cad", 3) };
    let taker = UserHolder { connections: 3, units: 3, ..UserHolder::new(0) };
    let took = |at, count| {
        let holder = Holder::taker(crate::id::SessionId([1; 16]), LicenseClass::Named);
        let taken = Taken { pool: 0, count, holder, since: 0 };
        Ending::of_feature(&taken, at)
    };
    let full = || Totals { in_use: 3, ..Totals::default() };
    assert_eq!(ask(&pool, full(), &own(), &[took(70, 3)], taker), Some(70));
    let held = PoolDefinition { min_hold: 100, linger: 500, ..pool };
    assert_eq!(ask(&held, full(), &own(), &[took(70, 3)], taker), Some(100));
}

#[test]
fn a_unit_is_back_when_the_last_session_that_needs_it_ends() {
    let rule = PoolRule { unit_rule: UnitRule::Staircase, max_connections: 2, max_sessions_per_holder: None };
    let pool = PoolDefinition { rule, ..PoolDefinition::plain("main", 2) };
    let three = UserHolder { connections: 3, units: 2, ..UserHolder::new(0) };
    assert_eq!(back(&pool, 2, &[(50, "ada"), (60, "ada"), (70, "ada")], three), Some(50));
    let two = UserHolder { connections: 2, units: 1, ..UserHolder::new(0) };
    assert_eq!(back(&pool, 2, &[(50, "ada"), (60, "ada"), (70, "")], two), Some(60));
    assert_eq!(back(&pool, 2, &[(50, "ada"), (55, ""), (60, "ada")], two), Some(55));
    assert_eq!(back(&pool, 2, &[(50, "ada")], two), None);
    // Two units of three must be back after a shrink.
    assert_eq!(back(&pool, 3, &[(50, ""), (65, ""), (70, "")], two), Some(65));
    let held = PoolDefinition { min_hold: 100, linger: 30, ..pool.clone() };
    assert_eq!(back(&held, 2, &[(50, "")], two), Some(100));
    assert_eq!(back(&held, 2, &[(50, "ada"), (90, "ada")], two), Some(100));
    let kept = PoolDefinition { reclaim: false, ..held };
    assert_eq!(back(&kept, 2, &[(50, "ada"), (90, "ada")], two), Some(120));
}

#[test]
fn what_lingers_counts_until_it_may_be_had() {
    let pool = PoolDefinition { min_hold: 40, linger: 90, ..PoolDefinition::plain("main", 1) };
    let totals = Totals { in_use: 1, lingering: 1, ..Totals::default() };
    let ada = UserHolder { units: 1, lingering: 1, until: 95, ..UserHolder::new(5) };
    let orphan = Orphan { session: crate::id::SessionId([1; 16]), anonymous: false, until: 30 };
    let outlook = |pool, orphans| Outlook {
        pool,
        totals: &totals,
        now: 10,
        lingering: vec![("ada".into(), ada)],
        orphans,
        line: Vec::new(),
    };
    assert_eq!(outlook(&pool, vec![]).back(&own(), &[], |_| None), Some(45));
    assert_eq!(outlook(&pool, vec![orphan]).back(&own(), &[], |_| None), Some(30));
    let kept = PoolDefinition { reclaim: false, ..pool.clone() };
    assert_eq!(outlook(&kept, vec![]).back(&own(), &[], |_| None), Some(95));
}
