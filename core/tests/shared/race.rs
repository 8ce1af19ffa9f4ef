//! RACE-02: many processes at one pool and at one session: never a unit too many, no write lost.

use std::sync::atomic::AtomicU64;

use super::link::Link;
use super::*;

/// Units there are: fewer than everybody wants.
const CAPACITY: u64 = 7;
/// Processes at the pool.
const CREW: usize = 8;

/// The role: acquires, trades and ends until it is told to `stop`, and says `.` every ten steps.
pub fn role(mut link: Link, shop: Shop) {
    let line = link.line().expect("a seed");
    let mut seed = Seed::of(line.parse().expect("a seed"));
    let manager = shop.open();
    let teller = link.teller();
    let stop = std::sync::Arc::new(AtomicBool::new(false));
    let told = stop.clone();
    std::thread::spawn(move || {
        while link.line().is_some() {
            told.store(true, Ordering::SeqCst);
        }
        std::process::exit(0);
    });
    let mut mine: Vec<(SessionId, String)> = Vec::new();
    let mut steps = 0_u64;
    while !stop.load(Ordering::SeqCst) {
        if let Err(error) = step(&manager, &mut mine, &mut seed) {
            teller.tell(&format!("! {error}"));
            std::process::exit(1);
        }
        steps += 1;
        if steps.is_multiple_of(10) && !teller.tell(".") {
            std::process::exit(0);
        }
    }
    teller.tell("stopped");
    loop {
        std::thread::park();
    }
}

fn step(manager: &Manager, mine: &mut Vec<(SessionId, String)>, seed: &mut Seed) -> Result<()> {
    let chance = seed.below(100);
    if mine.is_empty() || (chance < 40 && mine.len() < 3) {
        match manager.create(CreateOptions::new("shop")) {
            Ok(created) => mine.push((created.id, created.token.reveal())),
            Err(error) if error.deny_reason() == Some(DenyReason::PoolExhausted) => {}
            Err(error) => return Err(error),
        }
        return Ok(());
    }
    let at = seed.below(mine.len());
    if chance < 70 {
        manager.end(mine[at].0, EndOptions::default())?;
        mine.swap_remove(at);
        return Ok(());
    }
    let request = manager.begin(&mine[at].1, BeginOptions::default())?.live()?;
    if chance < 90 {
        mine[at].1 = request.login(&format!("user-{}", seed.below(6)))?.token.reveal();
        return request.finish();
    }
    match request.logout(true)? {
        Logout::Done(token) => {
            mine[at].1 = token.reveal();
            request.finish()
        }
        Logout::Ended(_) => {
            mine.swap_remove(at);
            Ok(())
        }
    }
}

fn start(shop: &Shop, seed: &mut Seed) -> Process {
    let process = Process::start("trader", shop);
    process.tell(&seed.number().to_string());
    process
}

#[test]
fn eight_processes_never_have_a_unit_too_many() {
    let dir = Dir::new();
    let shop = Shop { capacity: CAPACITY, ..dir.shop() };
    let mut seed = Seed::new("race");
    let manager = shop.open();
    let (done, samples) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut crew: Vec<_> = (0..CREW).map(|_| start(&shop, &mut seed)).collect();
    let full = std::thread::scope(|scope| {
        let sampler = scope.spawn(|| {
            let mut full = 0_u64;
            while !done.load(Ordering::SeqCst) {
                let usage = manager.usage("users").expect("usage");
                assert!(usage.in_use <= CAPACITY, "{usage:?}");
                let units: u64 = usage.holders.iter().map(|holder| holder.units).sum();
                assert_eq!(units, usage.in_use, "one look is one instant: {usage:?}");
                full += u64::from(usage.in_use == CAPACITY);
                samples.fetch_add(1, Ordering::Relaxed);
            }
            full
        });
        let over = Done(&done);
        for _ in 0..rounds(24, 1000) {
            let victim = seed.below(CREW);
            for _ in 0..seed.below(8) {
                let line = crew[victim].link.line().expect("a process at work");
                assert_eq!(line, ".", "process {victim}");
            }
            crew[victim].kill();
            crew[victim] = start(&shop, &mut seed);
            assert!(!sampler.is_finished(), "the sampler saw something");
        }
        for process in &mut crew {
            process.tell("stop");
            while let line = process.link.line().expect("a process at work")
                && line != "stopped"
            {
                assert_eq!(line, ".");
            }
        }
        drop(over);
        sampler.join().expect("the sampler")
    });
    println!("{} samples, {full} of them with every unit in use", samples.load(Ordering::Relaxed));
    let audit = manager.audit("users").expect("audit");
    assert_eq!((audit.counted, &audit.differences), (audit.recounted, &Vec::new()));
    assert_eq!(manager.check(), Ok(Vec::new()));
    let usage = manager.usage("users").expect("usage");
    assert_eq!(usage.high_water, CAPACITY);
    drop(crew);
    let progress = manager.end_where(&Filter::default(), EndOptions::default(), 0, 10_000).expect("end");
    assert_eq!(progress.next, None);
    let usage = manager.usage("users").expect("usage");
    assert_eq!((usage.in_use, usage.holders.len(), manager.count()), (0, 0, Ok(0)), "a unit is stranded");
    assert_eq!(manager.check(), Ok(Vec::new()));
}

#[test]
fn additions_of_several_processes_to_one_number_sum_up_and_other_keys_stay() {
    let dir = Dir::new();
    let shop = dir.shop();
    let times = rounds(40, 5000);
    let writers = rounds(4, 16);
    let mut clerks: Vec<_> = (0..writers).map(|_| Process::clerk(&shop)).collect();
    let token = clerks[0].ok("create")[1].clone();
    for clerk in &clerks {
        clerk.tell(&format!("add {token} common {times}"));
    }
    for clerk in &mut clerks {
        assert!(clerk.answer().starts_with("ok"));
    }
    for (number, clerk) in clerks.iter().enumerate() {
        clerk.tell(&format!("add {token} own{number} {times}"));
    }
    for clerk in &mut clerks {
        assert_eq!(clerk.answer(), "ok 0", "nobody else adds to its number");
    }
    assert_eq!(clerks[0].ask(&format!("get {token} common")), format!("ok {}", writers * times));
    for number in 0..writers {
        assert_eq!(clerks[0].ask(&format!("get {token} own{number}")), format!("ok {times}"));
    }
}

#[test]
fn a_write_over_what_another_manager_changed_is_a_conflict_and_writes_nothing() {
    let dir = Dir::new();
    let shop = dir.shop();
    let (one, two) = (shop.open(), shop.open());
    let token = one.create(CreateOptions::new("shop")).expect("create").token.reveal();
    let begin = |manager: &Manager| {
        let options = BeginOptions { lock: Some(LockMode::Shared), ..BeginOptions::default() };
        manager.begin(&token, options).and_then(Begin::live).expect("begin")
    };
    let (first, second) = (begin(&one), begin(&two));
    let (none, version) = first.get_versioned(&path("a")).expect("get");
    assert_eq!(none, None);
    second.set(&path("a"), Value::Int(2)).expect("set");
    second.finish().expect("finish");
    first.set(&path("a"), Value::Int(1)).expect("set");
    first.set(&path("b"), Value::Int(1)).expect("set");
    let error = first.finish().expect_err("a conflict");
    assert_eq!((error.kind(), error.keys()), (ErrorKind::Conflict, &["a".to_owned()][..]));
    let now = begin(&one);
    let (a, moved) = now.get_versioned(&path("a")).expect("get");
    assert_eq!((a, now.get(&path("b"))), (Some(Value::Int(2)), Ok(None)));
    assert!(moved > version);
    // Different keys of two requests at once.
    let other = begin(&two);
    now.set(&path("mine"), Value::Int(1)).expect("set");
    other.set(&path("theirs"), Value::Int(1)).expect("set");
    now.finish().expect("finish");
    other.finish().expect("finish");
    let last = begin(&two);
    for key in ["mine", "theirs"] {
        assert_eq!(last.get(&path(key)), Ok(Some(Value::Int(1))), "{key}");
    }
}
