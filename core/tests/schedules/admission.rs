//! Who gets a unit, and who does not.

use std::sync::Arc;
use std::time::Duration;

use libsession_core::*;

use super::check::play;
use super::shop::{Calls, Did, Shop, sampler};

/// How the unit of the one comes back that has it first.
#[derive(Clone, Copy)]
enum Back {
    Ended,
    Expired,
}

/// So many come for the units of a pool while one of those that have them goes.
fn coming(capacity: u64, comers: usize, back: Back, sampled: bool) {
    coming_to(Shop::new(Pool::new("main", capacity)), capacity, comers, back, sampled);
}

fn coming_to(shop: Shop, capacity: u64, comers: usize, back: Back, sampled: bool) {
    let calls = Arc::new(Calls::default());
    let took = |made: &Result<Created>| match made {
        Ok(_) => Did::Took,
        Err(error) => {
            assert_eq!(error.deny_reason(), Some(DenyReason::PoolExhausted));
            Did::Refused
        }
    };
    let first = calls.call(
        || {
            let idle = matches!(back, Back::Expired).then_some(Duration::from_secs(5));
            shop.create(CreateOptions { idle_timeout: Some(idle), ..CreateOptions::default() })
        },
        took,
    );
    let first = first.expect("a unit").id;
    let come = |_| {
        let calls = calls.clone();
        shop.thread(move |shop| calls.call(|| shop.create(CreateOptions::default()), took).is_ok())
    };
    let comers: Vec<_> = (0..comers).map(come).collect();
    let sampler = sampled.then(|| sampler(&shop, 2, move |usage| usage.in_use <= capacity));
    calls.call(
        || match back {
            Back::Ended => assert!(matches!(shop.ends(first), EndOutcome::Ended(_))),
            Back::Expired => drop(shop.clock.advance(Duration::from_secs(5))),
        },
        |()| Did::Gave,
    );
    let came = comers.into_iter().map(|comer| comer.join().expect("a comer")).filter(|came| *came).count() as u64;
    sampler.into_iter().for_each(|sampler| sampler.join().expect("the sampler"));
    assert!(came <= capacity);
    calls.are_honest(capacity as usize);
    shop.is_exact(came);
    // Whoever comes now finds what is left, and no more.
    let more = (0..=capacity).take_while(|_| shop.create(CreateOptions::default()).is_ok()).count() as u64;
    assert_eq!(came + more, capacity);
    shop.closes_down();
}

#[test]
fn two_come_for_one_unit_as_it_is_given_back() {
    play("two come for one unit", 1, || coming(1, 2, Back::Ended, false));
}

#[test]
fn three_come_for_two_units_as_one_is_given_back() {
    play("three come for two units", 0, || coming(2, 3, Back::Ended, true));
}

#[test]
fn three_come_for_one_unit_as_it_expires() {
    play("three come as a session expires", 0, || coming(1, 3, Back::Expired, true));
}

#[test]
fn units_come_and_go_where_no_records_are_kept() {
    play("two come for one unit, no records", 1, || coming_to(Shop::without_records(1), 1, 2, Back::Ended, false));
    play("three come for two units, no records", 0, || coming_to(Shop::without_records(2), 2, 3, Back::Ended, true));
    play("three come as one expires, no records", 0, || coming_to(Shop::without_records(1), 1, 3, Back::Expired, true));
}

/// Two take, and one gives back, what is not the last unit; somebody looks.
fn nothing_to_be_written() {
    let shop = Shop::without_records(4);
    let first = shop.session().id;
    let comers = [(); 2].map(|()| shop.thread(|shop| _ = shop.session()));
    let sampler = sampler(&shop, 1, |usage| usage.in_use <= 3);
    let audit = shop.thread(|shop| assert!(shop.audit("main").expect("an audit").differences.is_empty()));
    shop.ends(first);
    comers.into_iter().for_each(|comer| comer.join().expect("a comer"));
    sampler.join().expect("the sampler");
    audit.join().expect("who counts");
    shop.is_exact(2);
    shop.closes_down();
}

#[test]
fn a_count_is_exact_where_nothing_is_written() {
    play("nothing to be written", 1, nothing_to_be_written);
}

/// One may be evicted for another, unless its user comes back to it.
fn evicted_or_used() {
    let pool = Pool { evict: Evict::Any, ..Pool::new("main", 1) };
    let shop = Shop::new(pool);
    let idle = shop.session();
    let token = idle.token.reveal();
    let user = shop.thread(move |shop| shop.begin(&token, BeginOptions::default()).expect("a begin"));
    let comer = shop.thread(|shop| shop.create(CreateOptions::default()).is_ok());
    let another = shop.thread(|shop| shop.create(CreateOptions::default()).is_ok());
    let (used, came) = (user.join().expect("the user"), [comer, another].map(|comer| comer.join().expect("a comer")));
    match used {
        Begin::Live(request) => {
            // It came first: then it has its unit still.
            assert_eq!(came, [false; 2], "evicted with a request in flight");
            assert_eq!(request.finish(), Ok(()));
        }
        Begin::Gone(reason) => assert!(reason == EndReason::Evicted && came.contains(&true)),
        Begin::Absent => panic!("a session without a trace"),
    }
    shop.is_exact(1);
    shop.closes_down();
}

#[test]
fn nobody_is_evicted_who_comes_back_first() {
    play("evicted or used", 0, evicted_or_used);
}

/// The limit of a manager's sessions, which is no lock but a number.
pub fn to_the_limit() {
    let shop = Shop::with(Pool::new("main", 9), |config| Config { max_sessions: 2, ..config });
    let first = shop.session().id;
    let comers = [(); 2].map(|()| shop.thread(|shop| shop.create(CreateOptions::default()).is_ok()));
    shop.ends(first);
    let came = comers.into_iter().map(|comer| comer.join().expect("a comer")).filter(|came| *came).count();
    assert!((1..=2).contains(&came));
    shop.is_exact(came as u64);
    assert_eq!((came..9).take_while(|_| shop.create(CreateOptions::default()).is_ok()).count() + came, 2);
    shop.closes_down();
}

#[test]
fn two_come_to_the_limit_of_sessions() {
    play("to the limit of sessions", 1, to_the_limit);
}

/// Whoever counts finds what the books tell, also of a session that is being made or ended.
fn counted_meanwhile() {
    let shop = Shop::new(Pool::new("main", 2));
    let first = shop.session().id;
    let goes = shop.thread(move |shop| drop(shop.ends(first)));
    let comes = shop.thread(|shop| shop.session().id);
    let audit = shop.audit("main").expect("an audit");
    assert_eq!((audit.counted, audit.differences), (audit.recounted, Vec::new()));
    goes.join().expect("who goes");
    comes.join().expect("who comes");
    shop.is_exact(1);
    shop.closes_down();
}

#[test]
fn a_count_is_exact_while_sessions_come_and_go() {
    play("a count", 2, counted_meanwhile);
}
