//! The exclusive lock of a session goes from request to request.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use libsession_core::*;

use super::check::play;
use super::shop::{LONG, Shop};

fn exclusive() -> BeginOptions {
    BeginOptions { lock: Some(LockMode::Exclusive), lock_timeout: Some(LONG), ..BeginOptions::default() }
}

/// One has the lock, two wait for it; the session may end under them.
fn hand_over(ends: bool) {
    let shop = Shop::new(Pool::new("main", 1));
    let session = shop.session();
    let token = session.token.reveal();
    let inside = Arc::new(AtomicU32::new(0));
    let holder = shop.begin(&token, exclusive()).and_then(Begin::live).expect("a live session");
    let waits = |_| {
        let (token, inside) = (token.clone(), inside.clone());
        shop.thread(move |shop| {
            let begun = shop.begin(&token, exclusive()).expect("a begin");
            let Begin::Live(request) = begun else { return false };
            // Who ends meanwhile takes the lock away from nobody but the dead.
            assert!(inside.fetch_add(1, Ordering::SeqCst) == 0 || ends, "two have the lock");
            assert!(request.set(&["seen".into()], 1.into()).is_ok() || ends);
            inside.fetch_sub(1, Ordering::SeqCst);
            request.finish().is_ok()
        })
    };
    let waiters: Vec<_> = (0..2).map(waits).collect();
    if ends {
        shop.ends(session.id);
        assert!(holder.finish().is_err());
    } else {
        holder.finish().expect("a finish");
    }
    let through = waiters.into_iter().map(|waiter| waiter.join().expect("a waiter")).filter(|through| *through).count();
    assert_eq!(through, if ends { 0 } else { 2 });
    shop.is_exact(u64::from(!ends));
    shop.closes_down();
}

#[test]
fn a_lock_goes_from_one_to_two_who_wait() {
    play("a lock is handed over", 1, || hand_over(false));
}

#[test]
fn who_waits_for_the_lock_of_a_session_that_ends_is_told() {
    play("a session ends under its lock", 1, || hand_over(true));
}
