//! Whether the checks bite: hosts that do by themselves what a pool does for them, and do it wrong, are found out.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use libsession_core::sync::{Condvar, Mutex};
use libsession_core::*;
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};

use super::bounded::Bounded;
use super::check::run;
use super::shop::Shop;

/// Whether each of the three finds what is wrong with a story; what they say of it.
fn is_found(story: fn(), says: &str) {
    let finds = |scheduler: Box<dyn Scheduler + Send>| {
        let found = catch_unwind(AssertUnwindSafe(|| run(scheduler, story))).expect_err("nothing was found");
        let text = found.downcast_ref::<String>().map(String::as_str).or(found.downcast_ref::<&str>().copied());
        assert!(text.is_some_and(|text| text.contains(says)), "{text:?}");
    };
    finds(Box::new(RandomScheduler::new_from_seed(1, 2000)));
    finds(Box::new(PctScheduler::new_from_seed(1, 3, 2000)));
    finds(Box::new(Bounded::new(1)));
}

/// Looks whether there is a unit, and then takes one.
fn looks_first() {
    let shop = Shop::new(Pool::new("main", 9));
    let comers = [(); 2].map(|()| {
        shop.thread(|shop| {
            if shop.use_of_pool().in_use < 1 {
                shop.session();
            }
        })
    });
    comers.into_iter().for_each(|comer| comer.join().expect("a comer"));
    assert!(shop.use_of_pool().in_use <= 1, "over the limit");
}

#[test]
fn who_looks_first_and_then_takes_is_found() {
    is_found(looks_first, "over the limit");
}

/// Wakes who waits for a unit, and then gives it back.
fn wakes_first() {
    let shop = Shop::new(Pool::new("main", 1));
    let first = shop.session().id;
    let bell = Arc::new((Mutex::new(()), Condvar::new()));
    let rings = bell.clone();
    let waits = shop.thread(move |shop| {
        let mut waits = bell.0.lock();
        while shop.create(CreateOptions::default()).is_err() {
            bell.1.wait(&mut waits);
        }
    });
    drop(rings.0.lock());
    rings.1.notify_all();
    shop.ends(first);
    waits.join().expect("who waits");
}

#[test]
fn who_wakes_before_there_is_a_unit_is_found() {
    is_found(wakes_first, "deadlock");
}

/// Gives a unit back to take it again for somebody else: a trade in two steps.
fn trades_in_two_steps() {
    let shop = Shop::new(Pool::new("main", 1));
    let first = shop.session().id;
    let comer = shop.thread(|shop| shop.create(CreateOptions::default()).is_ok());
    shop.ends(first);
    assert!(shop.create(CreateOptions::default()).is_ok(), "no unit for the one who trades");
    comer.join().expect("the comer");
}

#[test]
fn a_trade_in_two_steps_is_found() {
    is_found(trades_in_two_steps, "no unit for the one who trades");
}
