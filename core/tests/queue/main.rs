//! Waiting for license units as a host sees it, on both tables: order, time, cancelling, closing; exact under load.

mod closing;
mod locks;
#[path = "../shared/seed.rs"]
#[allow(dead_code)]
mod seed;
mod storm;

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use libsession_core::*;

/// Longer than anything takes that is not broken.
const BOUND: Duration = Duration::from_secs(600);

/// A manager of one table, and its directory if it has one.
struct Place {
    manager: Manager,
    dir: Option<std::path::PathBuf>,
}

impl Place {
    fn both(pool: Pool) -> [Self; 2] {
        [false, true].map(|shared| Self::new(shared, pool.clone()))
    }

    fn new(shared: bool, pool: Pool) -> Self {
        Self::with(shared, pool, Clock::default())
    }

    fn with(shared: bool, pool: Pool, clock: Clock) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = shared.then(|| std::env::temp_dir().join(format!("lses-queue-{}-{number}", std::process::id())));
        let shop = Application::new("shop").pool("main");
        let config = Config::new().application(shop).pool(pool).clock(clock);
        let config = match &dir {
            Some(dir) => Config { store: format!("file:{}", dir.display()), ..config },
            None => config,
        };
        Self { manager: Manager::new(config).expect("a manager"), dir }
    }

    fn usage(&self) -> Usage {
        self.manager.usage("main").expect("usage")
    }

    fn exact(&self) {
        let audit = self.manager.audit("main").expect("audit");
        assert_eq!((audit.counted, audit.differences), (audit.recounted, Vec::new()));
        assert_eq!(self.manager.check(), Ok(Vec::new()));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.manager.close(Duration::from_secs(5));
        if let Some(dir) = &self.dir {
            let _ = std::fs::remove_dir_all(dir);
        }
    }
}

fn waits(wait: Duration, priority: i8) -> CreateOptions {
    CreateOptions { queue: QueueOptions { wait, priority, ticket: None }, ..CreateOptions::default() }
}

fn pool(capacity: u64) -> Pool {
    Pool { queue: 100_000, audit_records: 100_000, ..Pool::new("main", capacity) }
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < BOUND, "{what}");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_higher_priority_is_first_and_equals_come_in_order() {
    for place in Place::both(pool(1)) {
        let manager = &place.manager;
        let holder = manager.create(CreateOptions::default()).expect("a session").id;
        let (told, hear) = mpsc::channel();
        for number in 0..40_i32 {
            let told = told.clone();
            let options = waits(BOUND, (number % 4) as i8);
            manager.create_async(options, Box::new(move |made| told.send((number, made)).expect("a listener")));
        }
        assert_eq!((place.usage().waiting, manager.stats().expect("stats").license_waiters), (40, 40));
        let listed: Vec<i8> = manager.queue("main", 10, 20).expect("a queue").iter().map(|one| one.priority).collect();
        assert_eq!(listed, [[2; 10], [1; 10]].concat());
        manager.end(holder, EndOptions::default()).expect("an end");
        let mut order = Vec::new();
        for _ in 0..40 {
            let (number, made) = hear.recv_timeout(BOUND).expect("the next");
            order.push(number);
            manager.end(made.expect("a session").id, EndOptions::default()).expect("an end");
        }
        let mut expected: Vec<i32> = (0..40).collect();
        expected.sort_by_key(|number| (-(number % 4), *number));
        assert_eq!(order, expected);
        assert_eq!((place.usage().waiting, place.usage().in_use, place.usage().high_water), (0, 0, 1));
        place.exact();
    }
}

#[test]
fn who_is_cancelled_or_late_leaves_no_place_and_a_close_ends_all_waits() {
    for place in Place::both(pool(1)) {
        let manager = &place.manager;
        let holder = manager.create(CreateOptions::default()).expect("a session").id;
        let ticket = Ticket::new();
        let (told, hear) = mpsc::channel();
        let send = |name: &'static str| -> Then<Created> {
            let told = told.clone();
            Box::new(move |made: Result<Created>| {
                told.send((name, made.map(drop).map_err(|error| error.kind()))).expect("a listener");
            })
        };
        let queue = QueueOptions { ticket: Some(ticket.clone()), ..QueueOptions::wait(BOUND) };
        manager.create_async(CreateOptions { queue, ..CreateOptions::default() }, send("cancelled"));
        manager.create_async(waits(Duration::from_millis(20), 0), send("late"));
        manager.create_async(waits(BOUND, 0), send("closed"));
        assert_eq!((ticket.position(), ticket.waits()), (Ok(Some(1)), true));
        ticket.cancel();
        let mut answers = [hear.recv_timeout(BOUND).expect("an answer"), hear.recv_timeout(BOUND).expect("an answer")];
        answers.sort_by_key(|(name, _)| *name);
        assert_eq!(answers, [("cancelled", Err(ErrorKind::Cancelled)), ("late", Err(ErrorKind::LicenseDenied))]);
        assert_eq!((ticket.position(), ticket.waits(), place.usage().waiting), (Ok(None), false, 1));
        let usage = place.usage();
        assert_eq!((usage.in_use, usage.denials), (1, 1));
        let _holder = holder;
        let manager = manager.clone();
        let blocked = thread::spawn(move || manager.create(waits(BOUND, 0)).map(drop).map_err(|error| error.kind()));
        until("it waits", || place.usage().waiting == 2);
        place.manager.close(Duration::from_secs(5));
        let closing = |error| matches!(error, Err(ErrorKind::Closing | ErrorKind::Closed));
        let (name, answer) = hear.recv_timeout(BOUND).expect("an answer");
        assert!(name == "closed" && closing(answer), "{name} {answer:?}");
        assert!(closing(blocked.join().expect("a thread")));
    }
}

#[test]
fn under_load_the_limit_holds_nobody_is_overtaken_and_all_are_served() {
    let torture = std::env::var_os("LSES_TORTURE").is_some();
    for place in Place::both(Pool { audit_records: 10_000_000, ..pool(3) }) {
        // `LSES_TORTURE=1`: 64 threads and a million operations, in the shared table 200,000.
        let (threads, rounds) = match (torture, place.dir.is_some()) {
            (true, false) => (64, 7_813),
            (true, true) => (64, 1_563),
            _ => (8, 60),
        };
        let begun = Instant::now();
        let done = Arc::new(AtomicBool::new(false));
        let sampler = {
            let (manager, done) = (place.manager.clone(), done.clone());
            thread::spawn(move || {
                let mut most = 0;
                while !done.load(Ordering::Acquire) {
                    most = most.max(manager.usage("main").expect("usage").in_use);
                }
                most
            })
        };
        let longest = Arc::new(Mutex::new(Duration::ZERO));
        thread::scope(|scope| {
            for worker in 0..threads {
                let (manager, longest) = (place.manager.clone(), longest.clone());
                scope.spawn(move || {
                    for round in 0..rounds {
                        let begun = Instant::now();
                        // One in eight does not wait, and is refused if others do.
                        let options =
                            if (worker + round) % 8 == 0 { CreateOptions::default() } else { waits(BOUND, 0) };
                        let waits = !options.queue.wait.is_zero();
                        match manager.create(options) {
                            Ok(made) => {
                                manager.end(made.id, EndOptions::default()).expect("an end");
                            }
                            Err(error) => assert!(!waits && error.kind() == ErrorKind::LicenseDenied, "{error}"),
                        }
                        let mut longest = longest.lock().expect("a lock");
                        *longest = begun.elapsed().max(*longest);
                    }
                });
            }
        });
        done.store(true, Ordering::Release);
        assert!(sampler.join().expect("a sampler") <= 3);
        let usage = place.usage();
        assert_eq!((usage.in_use, usage.waiting, usage.offered), (0, 0, 0));
        place.exact();
        let (longest, took) = (*longest.lock().expect("a lock"), begun.elapsed());
        assert!(longest < BOUND);
        let records = place.manager.audit_records("main", 0, usize::MAX).expect("accounts");
        let late = in_order(&records);
        eprintln!(
            "{threads} threads, {rounds} times each, in {took:?}: the longest wait {longest:?}, {late} units not fetched in time, \
             the longest standstill {:?}",
            standstill(&records)
        );
    }
}

/// The longest time in which nobody's units changed: the disk's, or the machine's.
fn standstill(records: &[AuditRecord]) -> Duration {
    let times = records.windows(2).map(|pair| pair[1].at_ms.saturating_sub(pair[0].at_ms));
    Duration::from_millis(times.max().unwrap_or_default())
}

/// Units are set aside in the order in which they were waited for, and the accounts have no gap. Who did not fetch them in
/// time is passed over until it asks; tells how often that was so.
fn in_order(records: &[AuditRecord]) -> usize {
    let mut line = VecDeque::new();
    let mut overslept = HashSet::new();
    let mut before = 0;
    for record in records {
        assert_eq!(record.before, before, "the accounts have no gap: {record:?}");
        before = record.after;
        let session = record.session_id;
        match record.kind {
            AuditKind::Queue => line.push_back(session),
            AuditKind::Offer if overslept.remove(&session) => {}
            AuditKind::Offer => assert_eq!(line.pop_front(), Some(session), "{record:?}"),
            AuditKind::Withdraw => assert!(overslept.insert(session), "{record:?}"),
            AuditKind::Leave => {
                overslept.remove(&session);
                line.retain(|waiting| *waiting != session);
            }
            _ => {}
        }
    }
    records.iter().filter(|record| record.kind == AuditKind::Withdraw).count()
}

#[test]
fn a_session_that_may_go_after_a_while_goes_for_who_waits() {
    let evicting = Pool { evict: reason::Evict::Any, evict_idle: Duration::from_millis(50), ..pool(1) };
    for place in Place::both(evicting) {
        let manager = &place.manager;
        let holder = manager.create(CreateOptions::default()).expect("a session").id;
        let made = manager.create(waits(BOUND, 0)).expect("its unit after a while").id;
        match manager.end(holder, EndOptions::default()).expect("an end") {
            EndOutcome::Gone(receipt) => assert_eq!(receipt.reason, EndReason::Evicted),
            other => panic!("{other:?}"),
        }
        assert_ne!(made, holder);
        place.exact();
    }
}

/// Each of them ends its session in the very call that hands it the unit.
#[test]
fn however_many_hand_units_on_in_one_thread_its_stack_does_not_grow() {
    for (place, waits) in Place::both(Pool { queue: 10_000, ..Pool::new("main", 1) }).into_iter().zip([10_000, 300]) {
        let first = place.manager.create(CreateOptions::default()).expect("the only unit");
        let served = Arc::new(AtomicU64::new(0));
        for _ in 0..waits {
            let (manager, served) = (place.manager.clone(), served.clone());
            let queue = QueueOptions { wait: BOUND, ..QueueOptions::default() };
            let then = move |made: Result<Created>| {
                let made = made.expect("a unit, some time");
                served.fetch_add(1, Ordering::AcqRel);
                manager.end(made.id, EndOptions::default()).expect("an end");
            };
            place.manager.create_async(CreateOptions { queue, ..CreateOptions::default() }, Box::new(then));
        }
        let manager = place.manager.clone();
        let small = thread::Builder::new().stack_size(512 * 1024);
        let ends = move || drop(manager.end(first.id, EndOptions::default()).expect("an end"));
        small.spawn(ends).expect("a thread").join().expect("a stack that is large enough");
        let until = Instant::now() + BOUND;
        while served.load(Ordering::Acquire) < waits {
            assert!(Instant::now() < until, "{served:?} of {waits} are served");
            thread::yield_now();
        }
        place.exact();
        assert_eq!(place.usage().in_use, 0);
    }
}

#[test]
fn who_stands_behind_has_somebody_go_for_it_only_when_its_turn_comes() {
    for shared in [false, true] {
        let clock = ManualClock::new();
        let pool = Pool { evict: reason::Evict::Any, ..pool(2) };
        let place = Place::with(shared, pool, Clock::Manual(clock.clone()));
        let manager = &place.manager;
        let begin = || manager.begin_new(CreateOptions::default(), BeginOptions::default()).expect("a session");
        let (busy, idle) = (begin(), begin());
        let first = Ticket::new();
        let (told, hear) = mpsc::channel();
        let wait = |name: &'static str, options: CreateOptions| {
            let told = told.clone();
            manager.create_async(options, Box::new(move |made| told.send((name, made)).expect("a listener")));
        };
        // The first one comes without a name, and drives nobody out who has one.
        let mut options = CreateOptions { license_class: Some(LicenseClass::Anonymous), ..waits(BOUND, 0) };
        options.queue.ticket = Some(first.clone());
        wait("first", options);
        wait("second", waits(BOUND, 0));
        let id = idle.id();
        idle.finish().expect("a finish");
        clock.advance(Duration::from_secs(90)).expect("time");
        assert_eq!((place.usage().waiting, place.usage().evicted), (2, 0), "it stands behind");
        assert!(matches!(manager.explain(id).expect("explained"), Some(Explain { live: Some(_), .. })));
        first.cancel();
        assert_eq!(hear.recv_timeout(BOUND).expect("an answer").0, "first");
        clock.advance(Duration::from_secs(90)).expect("time");
        let (name, made) = hear.recv_timeout(BOUND).expect("an answer");
        assert!(name == "second" && made.is_ok(), "{name}: {made:?}");
        assert_eq!((place.usage().waiting, place.usage().evicted, place.usage().in_use), (0, 1, 2));
        let gone = manager.explain(id).expect("explained").and_then(|told| told.ended).expect("an end");
        assert_eq!(gone.reason, EndReason::Evicted);
        busy.finish().expect("a finish");
        place.exact();
    }
}
