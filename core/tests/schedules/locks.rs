//! The exclusive lock of a session goes from request to request.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use libsession_core::*;
use shuttle::sync::mpsc::channel;

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

/// One has the lock and gives it back; one waits by a continuation and may give up, one waits in a thread.
fn gives_up() {
    let shop = Shop::new(Pool::new("main", 1));
    let session = shop.session();
    let token = session.token.reveal();
    let holder = shop.begin(&token, exclusive()).and_then(Begin::live).expect("a live session");
    let (ticket, (told, hears)) = (Ticket::new(), channel());
    let told = Mutex::new(told);
    let then = move |begun| drop(told.lock().expect("a sender").send(begun));
    shop.begin_async(&token, BeginOptions { ticket: Some(ticket.clone()), ..exclusive() }, Box::new(then));
    let stays = shop.thread(move |shop| {
        shop.begin(&token, exclusive()).and_then(Begin::live).and_then(|request| request.finish()).is_ok()
    });
    let gives = shop.thread(move |_| {
        ticket.cancel();
        ticket
    });
    holder.finish().expect("a finish");
    match hears.recv().expect("what it is told") {
        Ok(Begin::Live(request)) => request.finish().expect("a finish"),
        begun => assert_eq!(begun.expect_err("no lock").kind(), ErrorKind::Cancelled),
    }
    let ticket = gives.join().expect("who gives up");
    assert!(stays.join().expect("who stays"), "the other gets the lock");
    assert!(hears.try_recv().is_err(), "told twice");
    let stats = shop.stats().expect("stats");
    assert_eq!((ticket.waits(), stats.lock_waiters, stats.in_flight), (false, 0, 0));
    shop.is_exact(1);
    shop.closes_down();
}

/// As [`gives_up`], who gives up blocks.
fn gives_up_blocking() {
    let shop = Shop::new(Pool::new("main", 1));
    let session = shop.session();
    let token = session.token.reveal();
    let holder = shop.begin(&token, exclusive()).and_then(Begin::live).expect("a live session");
    let ticket = Ticket::new();
    let options = BeginOptions { ticket: Some(ticket.clone()), ..exclusive() };
    let waits = shop.thread(move |shop| match shop.begin(&token, options).and_then(Begin::live) {
        Ok(request) => request.finish().is_ok(),
        Err(error) => error.kind() == ErrorKind::Cancelled,
    });
    let gives = shop.thread(move |_| {
        ticket.cancel();
        ticket
    });
    holder.finish().expect("a finish");
    assert!(waits.join().expect("who waits"));
    assert!(!gives.join().expect("who gives up").waits());
    let stats = shop.stats().expect("stats");
    assert_eq!((stats.lock_waiters, stats.in_flight), (0, 0));
    shop.closes_down();
}

#[test]
fn a_wait_for_a_lock_that_is_cancelled_leaves_it_to_the_other() {
    play("a wait for a lock is cancelled", 1, gives_up);
    play("a blocking wait for a lock is cancelled", 1, gives_up_blocking);
}

#[test]
fn a_lock_goes_from_one_to_two_who_wait() {
    play("a lock is handed over", 1, || hand_over(false));
}

#[test]
fn who_waits_for_the_lock_of_a_session_that_ends_is_told() {
    play("a session ends under its lock", 1, || hand_over(true));
}
