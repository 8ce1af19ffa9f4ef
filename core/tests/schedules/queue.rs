//! Units that somebody waits for: whose turn it is gets them, nobody is overtaken, and no wake-up is lost. One that is makes a
//! story that never ends, which shuttle finds: time stands still, so that nothing comes to the rescue.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use libsession_core::*;
use shuttle::sync::mpsc::{Receiver, Sender, channel};

use super::check::{by_chance, play};
use super::shop::{LONG, Shop};

fn pool(capacity: u64) -> Pool {
    Pool { queue: 9, ..Pool::new("main", capacity) }
}

fn waits(wait: Duration, priority: i8, ticket: Option<&Ticket>) -> CreateOptions {
    CreateOptions { queue: QueueOptions { wait, priority, ticket: ticket.cloned() }, ..CreateOptions::default() }
}

/// Those who wait by a continuation: what each was told, once.
struct Line {
    told: Sender<(usize, Result<Created>)>,
    hears: Receiver<(usize, Result<Created>)>,
    /// The sessions that they wait for, in the order in which they came.
    sessions: Vec<SessionId>,
}

impl Line {
    fn new() -> Self {
        let (told, hears) = channel();
        Self { told, hears, sessions: Vec::new() }
    }

    /// The next one comes, where there is no unit.
    fn comes(&mut self, shop: &Shop, options: CreateOptions) {
        let (told, number) = (Mutex::new(self.told.clone()), self.sessions.len());
        let then = move |made| drop(told.lock().expect("a sender").send((number, made)));
        shop.create_async(options, Box::new(then));
        let last = shop.queue("main", 0, 9).expect("a queue");
        self.sessions.extend(last.iter().map(|one| one.session_id).find(|id| !self.sessions.contains(id)));
    }

    /// Ends whatever they get until all were told; what became of each.
    fn ends_all(self, shop: &Shop) -> Vec<Result<SessionId>> {
        let mut told: Vec<Option<Result<SessionId>>> = self.sessions.iter().map(|_| None).collect();
        while told.contains(&None) {
            let (number, made) = self.hears.recv().expect("what one is told");
            let made = made.map(|made| made.id);
            if let Ok(session) = made {
                assert_eq!(session, self.sessions[number]);
                shop.ends(session);
            }
            assert_eq!(told[number].replace(made), None, "told twice");
        }
        assert!(self.hears.try_recv().is_err(), "told twice");
        told.into_iter().flatten().collect()
    }
}

/// One has the unit and gives it back; two wait, the first of whom may give up; and one comes by that does not wait.
fn gives_up_or_not(gives_up: bool) {
    let shop = Shop::new(pool(1));
    let first = shop.session().id;
    let (mut line, ticket) = (Line::new(), Ticket::new());
    line.comes(&shop, waits(LONG, 0, Some(&ticket)));
    line.comes(&shop, waits(LONG, 0, None));
    let [one, two] = [line.sessions[0], line.sessions[1]];
    let by = shop.thread(|shop| shop.create(CreateOptions::default()).ok().map(|made| shop.ends(made.id)));
    let gives = gives_up.then(|| shop.thread(move |_| ticket.cancel()));
    shop.ends(first);
    let told = line.ends_all(&shop);
    gives.into_iter().for_each(|gives| gives.join().expect("who gives up"));
    let passed = by.join().expect("who comes by").is_some();
    assert!(told[0].is_ok() || gives_up);
    assert_eq!(told[1], Ok(two), "the second waits for nothing");
    // Who does not wait is served after those who did.
    let granted = shop.granted();
    let waited: Vec<_> = granted.iter().filter(|id| [one, two].contains(id)).copied().collect();
    assert_eq!(waited, if told[0].is_ok() { vec![one, two] } else { vec![two] });
    assert!(!passed || granted.last().is_some_and(|last| ![one, two].contains(last)), "who waits was overtaken");
    shop.is_exact(0);
    shop.closes_down();
}

#[test]
fn a_unit_goes_to_the_first_and_then_to_the_second_who_waits() {
    play("a unit is handed over", 1, || gives_up_or_not(false));
}

#[test]
fn a_unit_goes_to_the_second_if_the_first_gives_up() {
    play("the first gives up", 1, || gives_up_or_not(true));
}

/// The time of the first is over at the moment in which the unit comes back.
fn too_late_or_not() {
    let shop = Shop::new(pool(1));
    let first = shop.session().id;
    let mut line = Line::new();
    line.comes(&shop, waits(Duration::from_millis(100), 0, None));
    line.comes(&shop, waits(LONG, 0, None));
    let two = line.sessions[1];
    let time = shop.thread(|shop| drop(shop.clock.advance(Duration::from_millis(100))));
    shop.ends(first);
    let told = line.ends_all(&shop);
    time.join().expect("who keeps time");
    if let Err(error) = &told[0] {
        assert_eq!(error.kind(), ErrorKind::LicenseDenied);
    }
    assert_eq!(told[1], Ok(two), "the second waits for nothing");
    shop.is_exact(0);
    shop.closes_down();
}

#[test]
fn a_unit_comes_back_as_the_time_of_the_first_is_over() {
    play("the time of the first is over", 1, too_late_or_not);
}

/// Threads that block, and each gives back what it got; they come while the unit is given back.
fn threads_block(comers: &[i8]) {
    block(&Shop::new(pool(1)), comers);
}

fn block(shop: &Shop, comers: &[i8]) {
    let first = shop.session().id;
    let come = |priority: &i8| {
        let priority = *priority;
        shop.thread(move |shop| {
            let made = shop.create(waits(LONG, priority, None)).expect("a unit, some time");
            assert_eq!(shop.use_of_pool().in_use, 1);
            shop.ends(made.id);
        })
    };
    let comers: Vec<_> = comers.iter().map(come).collect();
    shop.ends(first);
    comers.into_iter().for_each(|comer| comer.join().expect("a comer"));
    shop.is_exact(0);
    shop.closes_down();
}

#[test]
fn whoever_comes_to_wait_as_a_unit_is_given_back_gets_it() {
    play("one comes to wait", 2, || threads_block(&[0]));
    play("two come to wait", 1, || threads_block(&[0, 5]));
}

#[test]
fn whoever_comes_to_wait_gets_what_comes_back_where_no_records_are_kept() {
    let rested = || Shop::rested(Pool { audit_records: 0, ..pool(1) });
    play("one comes to wait, no records", 1, move || block(&rested(), &[0]));
    play("two come to wait, no records", 0, move || block(&rested(), &[0, 5]));
}

#[test]
fn three_come_to_wait_and_all_are_served() {
    play("three come to wait", 0, || threads_block(&[0, 0, 1]));
}

/// The manager closes while one waits by a continuation, one blocks, and the unit comes back.
fn closes() {
    let shop = Shop::new(pool(1));
    let first = shop.session().id;
    let mut line = Line::new();
    line.comes(&shop, waits(LONG, 0, None));
    let blocks = shop.thread(|shop| shop.create(waits(LONG, 0, None)).map(drop));
    let gives = shop.thread(move |shop| drop(shop.end(first, EndOptions::default())));
    shop.close(Duration::ZERO);
    let closed = |error: &Error| matches!(error.kind(), ErrorKind::Closing | ErrorKind::Closed);
    let (number, told) = line.hears.recv().expect("what one is told");
    assert!(number == 0 && told.as_ref().err().is_none_or(closed), "{told:?}");
    assert!(blocks.join().expect("who blocks").err().is_none_or(|error| closed(&error)));
    gives.join().expect("who gives back");
    assert!(shop.is_closed());
}

#[test]
fn a_close_tells_all_who_wait() {
    // Those who wait are told in no order.
    by_chance("a close", closes);
}

/// Logins that wait, of sessions that have no unit yet.
fn logins_wait() {
    let lazy = CreateOptions { license_class: Some(LicenseClass::Lazy), ..CreateOptions::default() };
    let shop = Shop::new(pool(1));
    let first = shop.session().id;
    let sessions = [(); 2].map(|()| shop.create(lazy.clone()).expect("a session without a unit"));
    let login = |number: usize| {
        let request = shop.begins(&sessions[number]);
        let (user, id) = (["ada", "bob"][number], sessions[number].id);
        shop.thread(move |shop| {
            let options = LoginOptions { queue: QueueOptions::wait(LONG), ..LoginOptions::default() };
            request.login_with(user, options).expect("a unit, some time");
            assert_eq!(shop.use_of_pool().in_use, 1);
            shop.ends(id);
        })
    };
    let logins = [login(0), login(1)];
    shop.ends(first);
    logins.into_iter().for_each(|login| login.join().expect("a login"));
    shop.is_exact(0);
    shop.closes_down();
}

#[test]
fn logins_that_wait_are_served_one_after_the_other() {
    play("two logins wait", 1, logins_wait);
}

/// A unit goes from one to the other without a moment in between: what is set aside counts as in use.
fn never_idle() {
    let shop = Shop::new(pool(1));
    let first = shop.session().id;
    let mut line = Line::new();
    line.comes(&shop, waits(LONG, 0, None));
    let one = line.sessions[0];
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sees = seen.clone();
    let looks = shop.thread(move |shop| {
        for _ in 0..3 {
            let usage = shop.use_of_pool();
            sees.lock().expect("looks").push((usage.in_use, usage.waiting));
        }
    });
    shop.ends(first);
    let (_, told) = line.hears.recv().expect("what one is told");
    assert_eq!(told.map(|made| made.id), Ok(one));
    looks.join().expect("who looks");
    assert!(seen.lock().expect("looks").iter().all(|(in_use, _)| *in_use == 1), "{seen:?}");
    shop.is_exact(1);
    shop.closes_down();
}

#[test]
fn a_unit_is_never_idle_while_somebody_waits() {
    play("never idle", 1, never_idle);
}

/// One comes to wait by a continuation while the unit is given back, and may give up at the same time.
fn comes_by_continuation(gives_up: bool) {
    let shop = Shop::new(pool(1));
    let first = shop.session().id;
    let (ticket, (told, hears)) = (Ticket::new(), channel());
    let (comes, told) = (ticket.clone(), Mutex::new(told));
    let comer = shop.thread(move |shop| {
        let then = move |made| drop(told.lock().expect("a sender").send(made));
        shop.create_async(waits(LONG, 0, Some(&comes)), Box::new(then));
    });
    let gives = gives_up.then(|| shop.thread(move |_| ticket.cancel()));
    shop.ends(first);
    let made: Result<Created> = hears.recv().expect("what one is told");
    comer.join().expect("the comer");
    gives.into_iter().for_each(|gives| gives.join().expect("who gives up"));
    assert!(hears.try_recv().is_err(), "told twice");
    match made {
        Ok(_) => shop.is_exact(1),
        Err(error) => {
            assert!(gives_up && error.kind() == ErrorKind::Cancelled, "{error}");
            shop.is_exact(0);
        }
    }
    shop.closes_down();
}

#[test]
fn who_comes_to_wait_by_a_continuation_as_a_unit_is_given_back_gets_it() {
    play("one comes by a continuation", 2, || comes_by_continuation(false));
    play("one comes by a continuation and gives up", 1, || comes_by_continuation(true));
}
