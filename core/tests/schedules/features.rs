//! A session takes a feature, returns it and ends, all at once: whatever comes first, nothing is left and nothing is lost.

use libsession_core::*;

use super::check::play;
use super::shop::Shop;

/// One of them takes, another gives back, and somebody ends the session.
fn takes_returns_and_ends() {
    let shop = Shop::new(Pool::new("main", 2));
    let session = shop.session();
    let request = shop.begins(&session);
    let (takes, returns) = (request.clone(), request.clone());
    let taker = shop.thread(move |_| takes.take_feature("main", FeatureOptions::default()).err());
    let giver = shop.thread(move |_| returns.return_feature("main", 1));
    shop.ends(session.id);
    let refused = taker.join().expect("who takes").map(|error| error.kind());
    assert!(refused.is_none_or(|kind| kind == ErrorKind::Gone), "{refused:?}");
    match giver.join().expect("who gives back") {
        Ok(returned) => assert!(returned <= 1),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Gone),
    }
    shop.is_exact(0);
    shop.closes_down();
}

#[test]
fn nothing_is_left_of_a_feature_whatever_comes_first() {
    play("take, return and end", 1, takes_returns_and_ends);
}

/// Two sessions want the only unit as a feature; one of them ends meanwhile.
fn two_take_one_ends() {
    let shop = Shop::new(Pool::new("main", 3));
    let sessions = [(); 2].map(|()| shop.session());
    let takers = [0, 1].map(|number: usize| {
        let request = shop.begins(&sessions[number]);
        shop.thread(move |_| request.take_feature("main", FeatureOptions::default()).map_err(|error| error.kind()))
    });
    shop.ends(sessions[0].id);
    let [one, other] = takers.map(|taker| taker.join().expect("a taker"));
    // It ended, and held its unit until then.
    assert!(matches!(one, Ok(()) | Err(ErrorKind::Gone | ErrorKind::LicenseDenied)), "{one:?}");
    assert!(matches!(other, Ok(()) | Err(ErrorKind::LicenseDenied)), "{other:?}");
    assert!(one.is_ok() || other.is_ok(), "refused for nobody");
    shop.is_exact(1 + u64::from(other.is_ok()));
    shop.closes_down();
}

#[test]
fn the_last_unit_goes_to_one_feature_and_comes_back_with_its_session() {
    play("two take a feature, one ends", 1, two_take_one_ends);
}
