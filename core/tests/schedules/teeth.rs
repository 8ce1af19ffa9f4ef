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

/// Notes what it took for a session after it took it, and gives back what is noted as that one ends.
fn gives_back_by_itself() {
    let shop = Shop::new(Pool::new("main", 9));
    let service = shop.session();
    let request = shop.begins(&service);
    let noted = Arc::new(Mutex::new(0));
    let (takes, notes) = (request.clone(), noted.clone());
    let taker = shop.thread(move |_| {
        takes.take_feature("main", FeatureOptions::default()).expect("a feature");
        *notes.lock() += 1;
    });
    let count = *noted.lock();
    if count > 0 {
        request.return_feature("main", count).expect("a return");
    }
    taker.join().expect("who takes");
    assert!(shop.use_of_pool().in_use == 1, "left over");
}

#[test]
fn who_gives_features_back_by_itself_is_found() {
    is_found(gives_back_by_itself, "left over");
}

/// Has a limit of its own, at which it looks before it takes.
fn lowers_by_itself() {
    let shop = Shop::new(Pool::new("main", 9));
    let limit = Arc::new(Mutex::new(1));
    let lowers = limit.clone();
    let changer = shop.thread(move |shop| {
        *lowers.lock() = 0;
        shop.use_of_pool().in_use
    });
    let most = *limit.lock();
    if shop.use_of_pool().in_use < most {
        shop.session();
    }
    let seen = changer.join().expect("who lowers it");
    assert!(shop.use_of_pool().in_use == seen, "one more after the change");
}

#[test]
fn who_looks_at_a_limit_that_changes_is_found() {
    is_found(lowers_by_itself, "one more after the change");
}
