//! Waiting for the lock of a session, on both tables: whoever gives up leaves it to the others.

use super::*;

fn exclusive(ticket: &Ticket) -> BeginOptions {
    let lock = Some(LockMode::Exclusive);
    BeginOptions { lock, lock_timeout: Some(BOUND), ticket: Some(ticket.clone()), ..BeginOptions::default() }
}

/// A session, and the request that holds it.
fn held(place: &Place) -> (String, Request) {
    let token = place.manager.create(CreateOptions::default()).expect("a session").token.reveal();
    let request = place.manager.begin(&token, exclusive(&Ticket::new())).and_then(Begin::live).expect("a request");
    (token, request)
}

fn waiters(place: &Place) -> u64 {
    place.manager.stats().expect("stats").lock_waiters
}

fn assert_cancelled<T: std::fmt::Debug>(result: Result<T>) {
    assert_eq!(result.expect_err("cancelled").kind(), ErrorKind::Cancelled);
}

#[test]
fn a_begin_that_waits_for_a_lock_is_cancelled() {
    for place in Place::both(pool(1)) {
        let (token, holder) = held(&place);
        let (tell, told) = mpsc::channel();
        let ticket = Ticket::new();
        let then = Box::new(move |begun| tell.send(begun).expect("a listener"));
        place.manager.begin_async(&token, exclusive(&ticket), then);
        assert_eq!((ticket.waits(), ticket.position(), waiters(&place)), (true, Ok(None), 1));
        ticket.cancel();
        // By who cancels, before that returns.
        assert_cancelled(told.try_recv().expect("it was told"));
        assert_eq!((ticket.waits(), waiters(&place)), (false, 0));

        let ticket = Ticket::new();
        thread::scope(|scope| {
            let blocked = scope.spawn(|| place.manager.begin(&token, exclusive(&ticket)));
            until("it waits", || ticket.waits() && waiters(&place) == 1);
            ticket.cancel();
            assert_cancelled(blocked.join().expect("a thread"));
        });
        assert_eq!((ticket.waits(), waiters(&place)), (false, 0));
        // Cancelled before it would wait; and where it does not wait it is the lock that counts.
        assert_cancelled(place.manager.begin(&token, exclusive(&ticket)));
        let at_once = BeginOptions { lock_timeout: Some(Duration::ZERO), ..exclusive(&ticket) };
        let busy = place.manager.begin(&token, at_once).expect_err("busy");
        assert_eq!(busy.kind(), ErrorKind::LockTimeout);
        holder.finish().expect("a finish");
        place
            .manager
            .begin(&token, exclusive(&ticket))
            .and_then(Begin::live)
            .expect("free")
            .finish()
            .expect("a finish");
        assert_eq!(place.manager.stats().expect("stats").in_flight, 0);
    }
}

#[test]
fn a_request_that_waits_for_the_lock_again_is_cancelled() {
    for place in Place::both(pool(1)) {
        let (token, one) = held(&place);
        one.unlock(true).expect("an unlock");
        let two = place.manager.begin(&token, exclusive(&Ticket::new())).and_then(Begin::live).expect("a request");
        let (tell, told) = mpsc::channel();
        let ticket = Ticket::new();
        let then = Box::new(move |locked| tell.send(locked).expect("a listener"));
        one.lock_async(LockMode::Exclusive, Some(BOUND), Some(ticket.clone()), then);
        assert!(ticket.waits() && told.try_recv().is_err());
        ticket.cancel();
        assert_cancelled(told.try_recv().expect("it was told"));
        two.finish().expect("a finish");
        assert_eq!((one.lock_mode(), waiters(&place)), (Ok(None), 0));
        one.lock(LockMode::Exclusive, Some(Duration::ZERO)).expect("it is free");
        one.finish().expect("a finish");
    }
}

#[test]
fn whoever_wins_the_race_of_a_cancel_with_a_lock_that_comes_free_the_lock_is_not_lost() {
    for place in Place::both(pool(1)) {
        let (token, first) = held(&place);
        let mut holder = Some(first);
        for _ in 0..300 {
            let held = holder.take().expect("a request");
            let (tell, told) = mpsc::channel();
            let (ticket, stays) = (Ticket::new(), Ticket::new());
            for (number, ticket) in [(1, &ticket), (2, &stays)] {
                let tell = tell.clone();
                let then = Box::new(move |begun| tell.send((number, begun)).expect("a listener"));
                place.manager.begin_async(&token, exclusive(ticket), then);
            }
            thread::scope(|scope| {
                scope.spawn(|| ticket.cancel());
                scope.spawn(move || held.finish().expect("a finish"));
            });
            for _ in 0..2 {
                match told.recv_timeout(BOUND).expect("each is told") {
                    (1, Err(error)) => assert_eq!(error.kind(), ErrorKind::Cancelled),
                    (1, begun) => begun.and_then(Begin::live).expect("the lock").finish().expect("a finish"),
                    (_, begun) => {
                        let request = begun.and_then(Begin::live).expect("the lock");
                        // The first one may wait behind it.
                        request.unlock(true).expect("an unlock");
                        holder = Some(request);
                    }
                }
            }
            assert!(told.try_recv().is_err(), "told twice");
            let locks = holder.as_ref().expect("the second one's");
            locks.lock(LockMode::Exclusive, Some(BOUND)).expect("nobody has it");
        }
        let stats = place.manager.stats().expect("stats");
        assert_eq!((stats.lock_waiters, stats.in_flight), (0, 1));
    }
}
