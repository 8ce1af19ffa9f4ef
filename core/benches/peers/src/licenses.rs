//! Units: taken and given back, refused, waited for, counted again.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use libsession_core::{
    Application, BeginOptions, Config, CreateOptions, FeatureOptions, LazyUntil, LicenseClass, Pool, QueueOptions,
    Subscript, Value,
};

use crate::measure::{cpu_ns, median, per_step, process_ns};
use crate::ours::Ours;
use crate::report::Report;
use crate::store::Scratch;

const GROUP: &str = "licenses";
const STEPS: usize = 50_000;
const TURN: usize = 250;
/// A difference takes more rounds than others.
const MORE: usize = 4;
const REFUSED: usize = 200_000;
const REFUSED_SHARED: usize = 5000;
const WAITERS: usize = 100_000;
/// More than a benchmark takes.
const LONG: Duration = Duration::from_secs(3600);

/// The same with what is at hand: a counter below its limit, a lock, an entry of a map.
struct Plain {
    used: AtomicU64,
    holders: Mutex<HashMap<Arc<str>, u64>>,
}

impl Plain {
    fn count(&self, by: i64, most: u64) -> bool {
        let change = |used: u64| used.checked_add_signed(by).filter(|used| *used <= most);
        self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, change).is_ok()
    }

    fn take(&self, user: &Arc<str>) -> bool {
        let mut holders = self.holders.lock().expect("a lock");
        *holders.entry(user.clone()).or_insert(0) += 1;
        self.count(1, u64::MAX)
    }

    fn give(&self, user: &Arc<str>) -> bool {
        let mut holders = self.holders.lock().expect("a lock");
        holders.remove(user);
        self.count(-1, u64::MAX)
    }
}

pub fn measure(report: &mut Report, rounds: usize) {
    unit(report, rounds);
    refusals(report, rounds);
    queue(report);
    recount(report, 1_000_000);
}

/// What a full pool's refusal costs.
pub fn refusals(report: &mut Report, rounds: usize) {
    refusal(report, rounds);
    refusal_shared(report, 1, rounds);
    refusal_shared(report, 10_000, rounds);
    for what in [Refused::Begin, Refused::Write, Refused::Login, Refused::Feature] {
        other_refusal_shared(report, what, rounds);
    }
}

fn unit(report: &mut Report, rounds: usize) {
    let ours = Ours::new(1000, 0);
    let bare = Ours::without_records(1000);
    let plain = Plain { used: AtomicU64::new(0), holders: Mutex::default() };
    let users: Vec<Arc<str>> = (0..STEPS).map(|number| format!("user {number}").into()).collect();
    let (mut share, mut counter, mut pair, mut entry) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    // In small turns that follow each other: what else the machine does meets both sides of a difference.
    for (turn, users) in (0..MORE * rounds).flat_map(|_| users.chunks(TURN)).enumerate() {
        for (ours, share) in [(&ours, &mut share), (&bare, &mut counter)] {
            let without = || per_step(TURN, || (0..TURN).for_each(|_| ours.end(&ours.create_unlicensed())));
            let with = || per_step(TURN, || (0..TURN).for_each(|_| ours.end(&ours.create())));
            // By turns, and the better of each: a small difference of two that others disturb.
            let (mut best, mut best_with) = (f64::INFINITY, f64::INFINITY);
            for side in 0..4 {
                if (turn + side) % 2 == 0 { best = without().min(best) } else { best_with = with().min(best_with) }
            }
            share.push(best_with - best);
        }
        pair.push(per_step(TURN, || {
            (0..TURN).for_each(|_| assert!(black_box(plain.count(1, u64::MAX) && plain.count(-1, u64::MAX))));
        }));
        entry.push(per_step(TURN, || {
            users.iter().for_each(|user| assert!(black_box(plain.take(user) && plain.give(user))));
        }));
    }
    let (unit, counter, pair) = (median(&mut share), median(&mut counter), median(&mut pair));
    let base = ("mutex + map entry + pair", median(&mut entry));
    report.against(GROUP, "a unit's share of create + end, with holder and records", unit, "ns", base, 2.0);
    let base = ("a pair of compare-and-set", pair);
    report.against(GROUP, "the same where no records are kept: the pool's counter", counter, "ns", base, 3.0);
}

fn full(queue: u32) -> Ours {
    let shop = Application::new("shop").idle_timeout(Some(LONG)).pool("main");
    let pool = Pool { queue, ..Pool::new("main", 1) };
    let ours = Ours::open(Config::new().application(shop).pool(pool));
    ours.create();
    ours
}

fn refusal(report: &mut Report, rounds: usize) {
    let ours = full(0);
    let mut results = Vec::new();
    for _ in 0..rounds {
        results.push(per_step(REFUSED, || {
            (0..REFUSED).for_each(|_| assert!(ours.manager.create(CreateOptions::default()).is_err()));
        }));
    }
    report.at_most(GROUP, "a full pool's refusal", median(&mut results), "ns", 10_000.0);
}

/// The same on the table of several processes, among so many sessions.
fn refusal_shared(report: &mut Report, sessions: u64, rounds: usize) {
    let dir = Scratch::new();
    let shop = Application::new("shop").idle_timeout(Some(LONG)).pool("main");
    let config = Config { store: format!("file:{}", dir.path().display()), ..Config::new() };
    let ours = Ours::open(config.application(shop).pool(Pool::new("main", sessions)));
    (0..sessions).for_each(|_| drop(ours.create()));
    let mut results = Vec::new();
    for _ in 0..rounds {
        results.push(per_step(REFUSED_SHARED, || {
            (0..REFUSED_SHARED).for_each(|_| assert!(ours.manager.create(CreateOptions::default()).is_err()));
        }));
    }
    let what = format!("the same, shared table, {}", crate::size(sessions as usize));
    report.at_most(GROUP, what, median(&mut results), "ns", 10_000.0);
}

/// What else a full pool refuses.
#[derive(Clone, Copy, PartialEq)]
enum Refused {
    Begin,
    Write,
    Login,
    Feature,
}

/// The same of a session that is there, on the table of several processes.
fn other_refusal_shared(report: &mut Report, what: Refused, rounds: usize) {
    let dir = Scratch::new();
    let until = match what {
        Refused::Begin => LazyUntil::SecondRequest,
        Refused::Write => LazyUntil::FirstWrite,
        Refused::Login | Refused::Feature => LazyUntil::Login,
    };
    let shop = Application::new("shop").idle_timeout(Some(LONG)).pool("main").license_class(LicenseClass::Lazy);
    let config = Config { store: format!("file:{}", dir.path().display()), ..Config::new() };
    let ours = Ours::open(config.application(Application { lazy_until: until, ..shop }).pool(Pool::new("main", 1)));
    let named = CreateOptions { license_class: Some(LicenseClass::Named), ..CreateOptions::default() };
    ours.manager.create(named).expect("the only unit");
    let token = ours.create().token.reveal();
    let begin = || ours.manager.begin(&token, BeginOptions::default()).map(|begun| begun.live().expect("a session"));
    if what == Refused::Begin {
        begin().expect("the first request").finish().expect("finished");
    }
    let request = (what != Refused::Begin).then(|| begin().expect("a request"));
    let refused = |number: i64| match (what, &request) {
        (Refused::Write, Some(request)) => {
            request.set(&[Subscript::from("n")], Value::Int(number)).expect("a write");
            let refused = request.save().is_err();
            request.discard().expect("dropped");
            refused
        }
        (Refused::Login, Some(request)) => request.login("ada").is_err(),
        (Refused::Feature, Some(request)) => request.take_feature("main", FeatureOptions::default()).is_err(),
        _ => begin().is_err(),
    };
    let mut results = Vec::new();
    for _ in 0..rounds {
        results.push(per_step(REFUSED_SHARED, || {
            (0..REFUSED_SHARED).for_each(|number| assert!(refused(number as i64)));
        }));
    }
    let name = match what {
        Refused::Begin => "a lazy session's second request",
        Refused::Write => "its first write",
        Refused::Login => "its login",
        Refused::Feature => "a feature",
    };
    report.at_most(
        GROUP,
        format!("refused by a full pool, shared table: {name}"),
        median(&mut results),
        "ns",
        10_000.0,
    );
}

fn queue(report: &mut Report) {
    let ours = full(1_000_000);
    let held = ours.manager.list(&Default::default(), 0, 1).expect("a list").sessions[0].id;
    let served = Arc::new(AtomicU64::new(0));
    let begun = cpu_ns();
    for _ in 0..WAITERS {
        let (manager, served) = (ours.manager.clone(), served.clone());
        let options = CreateOptions { queue: QueueOptions::wait(LONG), ..CreateOptions::default() };
        // Each gives its unit back as soon as it has it: the next is served.
        ours.manager.create_async(
            options,
            Box::new(move |made| {
                if let Ok(made) = made {
                    served.fetch_add(1, Ordering::AcqRel);
                    std::thread::spawn(move || manager.end(made.id, Default::default()));
                }
            }),
        );
    }
    report.value(GROUP, "to begin to wait, of 100k", (cpu_ns() - begun) as f64 / WAITERS as f64, "ns");
    std::thread::sleep(Duration::from_millis(200));
    let (before, from) = (process_ns(), Instant::now());
    std::thread::sleep(Duration::from_secs(5));
    let idle = (process_ns() - before) as f64 / from.elapsed().as_nanos() as f64 * 100.0;
    report.at_most(GROUP, "idle with 100k who wait, of one core", idle, "%", 0.1);
    let looked = 1000;
    let look = per_step(looked, || {
        (0..looked).for_each(|_| assert_eq!(ours.manager.reap_now(), Ok(0)));
    });
    report.at_most(GROUP, "a look for what is due, with 100k who wait", look, "ns", 10_000.0);
    let from = Instant::now();
    ours.manager.end(held, Default::default()).expect("an end");
    while served.load(Ordering::Acquire) < 1000 {
        assert!(from.elapsed() < Duration::from_secs(60), "nobody is served");
        std::thread::sleep(Duration::from_millis(1));
    }
    let each = from.elapsed().as_nanos() as f64 / served.load(Ordering::Acquire) as f64;
    report.value(GROUP, "a unit handed from one who waits to the next, wall", each, "ns");
    ours.manager.close(Duration::ZERO);
}

fn recount(report: &mut Report, sessions: usize) {
    let mut ours = Ours::open(Ours::config());
    ours.fill(sessions, 0);
    let unlicensed = CreateOptions { license_class: Some(LicenseClass::None), ..CreateOptions::default() };
    ours.manager.create(unlicensed).expect("a session");
    let from = Instant::now();
    let audit = ours.manager.audit("users").expect("an audit");
    let took = from.elapsed().as_secs_f64() * 1000.0;
    assert_eq!((audit.counted, audit.differences.len()), (sessions as u64, 0));
    report.at_most(GROUP, format!("audit of {}, wall", crate::size(sessions)), took, "ms", 2000.0);
}
