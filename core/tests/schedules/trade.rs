//! Units that change hands: never none and never two for the one who trades.

use libsession_core::*;

use super::check::play;
use super::shop::{Shop, sampler};

fn logged_in(request: &Request, user: &str) -> bool {
    match request.login(user) {
        Ok(login) => login.trade_denied.is_none(),
        Err(error) => {
            assert!(matches!(error.kind(), ErrorKind::LicenseDenied | ErrorKind::Gone), "{error}");
            false
        }
    }
}

/// Two sessions are given users in a full pool, while somebody comes.
fn two_trade() {
    let shop = Shop::new(Pool::new("main", 2));
    let sessions = [shop.session(), shop.session()];
    let [ada, bob] = sessions.each_ref().map(|session| shop.begins(session));
    let traders = [shop.thread(move |_| logged_in(&ada, "ada")), shop.thread(move |_| logged_in(&bob, "bob"))];
    let comer = shop.thread(|shop| shop.create(CreateOptions::default()).is_ok());
    let sampler = sampler(&shop, 2, |usage| usage.holders.iter().map(|one| one.units).eq([1, 1]));
    assert!(traders.into_iter().all(|trader| trader.join().expect("a trader")), "a unit for a unit was refused");
    assert!(!comer.join().expect("the comer"), "there was a unit in between");
    sampler.join().expect("the sampler");
    let usage = shop.use_of_pool();
    assert_eq!(usage.holders.iter().map(|one| &*one.holder).collect::<Vec<_>>(), ["ada", "bob"]);
    shop.is_exact(2);
    shop.closes_down();
}

#[test]
fn two_trade_in_a_full_pool() {
    play("two trade in a full pool", 0, two_trade);
}

/// Each becomes the other's user.
fn they_cross(somebody_comes: bool) {
    let shop = Shop::new(Pool::new("main", 2));
    let sessions = [shop.session(), shop.session()];
    let [one, two] = sessions.each_ref().map(|session| shop.begins(session));
    assert!(logged_in(&one, "ada") && logged_in(&two, "bob"));
    let traders = [shop.thread(move |_| logged_in(&one, "bob")), shop.thread(move |_| logged_in(&two, "ada"))];
    let comer = somebody_comes.then(|| shop.thread(|shop| shop.create(CreateOptions::default()).is_ok()));
    let passed = traders.map(|trader| trader.join().expect("a trader"));
    let came = comer.is_some_and(|comer| comer.join().expect("the comer"));
    // Between the two trades both are one user's, whose two sessions take one unit.
    assert!(passed.contains(&true) && (passed == [true; 2] || came), "{passed:?}, {came}");
    let usage = shop.use_of_pool();
    let connections: u64 = usage.holders.iter().map(|one| one.connections).sum();
    assert_eq!(connections, 2 + u64::from(came));
    assert!(usage.holders.iter().all(|one| one.units == 1));
    shop.is_exact(2);
    shop.closes_down();
}

#[test]
fn two_trades_cross() {
    play("two trades cross", 1, || they_cross(false));
}

#[test]
fn two_trades_cross_while_somebody_comes() {
    play("two trades cross, and one comes", 0, || they_cross(true));
}

/// There and back, while others wait for the moment in which the unit is nobody's.
fn there_and_back() {
    let shop = Shop::new(Pool::new("main", 1));
    let session = shop.session();
    let request = shop.begins(&session);
    let trader = shop.thread(move |_| {
        assert!(logged_in(&request, "ada"));
        assert!(matches!(request.logout(false), Ok(Logout::Done(_))));
    });
    let comers = [(); 2].map(|()| shop.thread(|shop| shop.create(CreateOptions::default()).is_ok()));
    let sampler = sampler(&shop, 2, |usage| usage.holders.iter().map(|one| one.units).eq([1]));
    trader.join().expect("the trader");
    assert!(comers.into_iter().all(|comer| !comer.join().expect("a comer")), "there was a unit in between");
    sampler.join().expect("the sampler");
    shop.is_exact(1);
    shop.closes_down();
}

#[test]
fn nobody_comes_between_a_login_and_its_unit() {
    play("a login and a logout", 0, there_and_back);
}

/// The session ends while it trades, and somebody comes for its unit.
fn ends_meanwhile() {
    let shop = Shop::new(Pool::new("main", 1));
    let session = shop.session();
    let request = shop.begins(&session);
    let trader = shop.thread(move |_| logged_in(&request, "ada"));
    let comer = shop.thread(|shop| shop.create(CreateOptions::default()).is_ok());
    assert!(matches!(shop.ends(session.id), EndOutcome::Ended(_)));
    trader.join().expect("the trader");
    let came = comer.join().expect("the comer");
    shop.is_exact(u64::from(came));
    assert!(shop.use_of_pool().holders.iter().all(|one| &*one.holder != "ada"), "who is gone has a unit");
    assert_eq!(shop.create(CreateOptions::default()).is_ok(), !came);
    shop.closes_down();
}

#[test]
fn a_session_ends_while_it_trades() {
    play("ends while it trades", 1, ends_meanwhile);
}

/// Two sessions become one user's, who may have one.
fn at_the_limit(at_session_limit: AtSessionLimit) {
    let pool = Pool { max_sessions_per_holder: Some(1), at_session_limit, ..Pool::new("main", 3) };
    let shop = Shop::new(Pool { trade_failure: TradeFailure::Refuse, ..pool });
    let sessions = [shop.session(), shop.session()];
    let requests = sessions.each_ref().map(|session| shop.begins(session));
    let traders = requests.map(|request| shop.thread(move |_| logged_in(&request, "ada")));
    let limit = sampler(&shop, 2, |usage| usage.holders.iter().all(|one| one.connections == 1));
    let passed = traders.into_iter().map(|trader| trader.join().expect("a trader")).filter(|passed| *passed).count();
    limit.join().expect("the sampler");
    let all = shop.list(&Filter::default(), 0, 9).expect("a list").sessions;
    assert_eq!(all.iter().filter(|one| one.user.as_deref() == Some("ada")).count(), 1, "both passed, or neither");
    match at_session_limit {
        AtSessionLimit::Deny => assert_eq!((passed, all.len()), (1, 2)),
        _ => assert_eq!((passed, all.len()), (2, 1)),
    }
    shop.is_exact(all.len() as u64);
    shop.closes_down();
}

#[test]
fn one_of_two_logins_passes_at_the_limit_of_a_user() {
    play("two logins at the limit, denied", 0, || at_the_limit(AtSessionLimit::Deny));
}

#[test]
fn the_older_session_goes_for_the_login_at_the_limit_of_a_user() {
    play("two logins at the limit, evicting", 0, || at_the_limit(AtSessionLimit::EvictOldest));
}
