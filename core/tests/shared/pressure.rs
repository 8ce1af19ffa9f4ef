//! LIC-05: many processes at one pool that evicts, queues, overdraws and lets units linger, killed at any moment: never a
//! unit too many, the accounts without a gap, and what the dead one held as a process is free within a second.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::death::SECOND;
use super::link::Link;
use super::stage::Stage;
use super::*;

/// Units there are: fewer than everybody wants.
const CAPACITY: u64 = 7;
/// Units beyond.
const OVERDRAFT: u64 = 2;
/// Processes at the pool.
const CREW: usize = 8;
/// All policies at once.
const POLICIES: &str = r#"{"evict": "any", "evict_idle_ms": 3, "overdraft": 2, "overdraft_time_ms": 40, "linger_ms": 15,
    "min_hold_ms": 2, "max_sessions_per_holder": 2, "at_session_limit": "evict_oldest", "audit_records": 100000000}"#;

/// A process of the crew, and its sessions.
struct Tenant {
    manager: Manager,
    mine: Vec<(SessionId, String)>,
    seed: Seed,
}

/// The role: works until it is told to `stop`, and says `.` every few steps.
pub fn role(mut link: Link, shop: Shop) {
    let seed = Seed::of(link.line().expect("a seed").parse().expect("a seed"));
    let manager = shop.open();
    manager.register(EventClass::new(&*shop.class, Deaf)).expect("a class");
    let teller = link.teller();
    let stop = Arc::new(AtomicBool::new(false));
    let told = stop.clone();
    std::thread::spawn(move || {
        while link.line().is_some() {
            told.store(true, Ordering::SeqCst);
        }
        std::process::exit(0);
    });
    let mut tenant = Tenant { manager, mine: Vec::new(), seed };
    let mut steps = 0_u64;
    while !stop.load(Ordering::SeqCst) {
        if let Err(error) = tenant.step() {
            teller.tell(&format!("! {error}"));
            std::process::exit(1);
        }
        steps += 1;
        if steps.is_multiple_of(5) && !teller.tell(".") {
            std::process::exit(0);
        }
    }
    teller.tell("stopped");
    loop {
        std::thread::park();
    }
}

/// Hears callbacks and does nothing.
struct Deaf;

impl EventHandler for Deaf {
    fn handles(&self, kind: EventKind) -> bool {
        kind == EventKind::End
    }

    fn call(&self, _: &Arc<Event>, _: Attempt, reply: Reply) {
        reply.done();
    }
}

/// What may be refused at this pool: a unit, and what was evicted meanwhile, for another or by its own user.
fn denied<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(done) => Ok(Some(done)),
        Err(error) if error.deny_reason() == Some(DenyReason::PoolExhausted) => Ok(None),
        Err(error) if error.kind() == ErrorKind::Gone && error.reason() == Some(EndReason::Evicted) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Tenant {
    fn step(&mut self) -> Result<()> {
        let chance = self.seed.below(100);
        if self.mine.is_empty() || (chance < 40 && self.mine.len() < 3) {
            // Half of them wait.
            let wait = Duration::from_millis(self.seed.below(60).saturating_sub(30) as u64);
            let class = (chance < 10).then_some(LicenseClass::Anonymous);
            let options =
                CreateOptions { queue: QueueOptions::wait(wait), license_class: class, ..CreateOptions::new("shop") };
            if let Some(created) = denied(self.manager.create(options))? {
                self.mine.push((created.id, created.token.reveal()));
            }
            return Ok(());
        }
        let at = self.seed.below(self.mine.len());
        if chance < 60 {
            self.manager.end(self.mine[at].0, EndOptions::default())?;
            self.mine.swap_remove(at);
            return Ok(());
        }
        let begun = self.manager.begin(&self.mine[at].1, BeginOptions::default())?;
        let Begin::Live(request) = begun else {
            // It was ended for another.
            assert!(matches!(begun, Begin::Gone(EndReason::Evicted)), "{begun:?}");
            self.mine.swap_remove(at);
            return Ok(());
        };
        if chance < 70 {
            denied(request.set(&path("n"), Value::Int(1)))?;
        } else if chance < 90 {
            let user = format!("user-{}", self.seed.below(6));
            if let Some(login) = denied(request.login(&user))? {
                self.mine[at].1 = login.token.reveal();
            }
        } else {
            match denied(request.logout(true))? {
                Some(Logout::Done(token)) => self.mine[at].1 = token.reveal(),
                Some(Logout::Ended(_)) => {
                    self.mine.swap_remove(at);
                    return Ok(());
                }
                None => {}
            }
        }
        denied(request.finish()).map(drop)
    }
}

fn start(shop: &Shop, seed: &mut Seed) -> Process {
    let process = Process::start("tenant", shop);
    process.tell(&seed.number().to_string());
    process
}

/// How long until nothing is left of a killed process but its sessions.
fn freed(stage: &Stage, process: u32) -> Duration {
    wait_until("nothing is left of a killed process", || {
        stage.queue().iter().all(|waiter| waiter.process != process)
            && stage.ids().into_iter().all(|id| {
                let explain = stage.manager.explain(id).expect("explain");
                explain.is_none_or(|explain| explain.requests.iter().all(|request| request.process != process))
            })
    })
}

#[test]
fn eight_processes_at_all_policies_never_have_a_unit_too_many() {
    let policies = POLICIES.replace('\n', " ");
    let most = CAPACITY + OVERDRAFT;
    let mut stage = Stage::new(CAPACITY, most, |shop| Shop { class: "audit".into(), pool: policies, ..shop });
    let mut seed = Seed::new("pressure");
    let kills = rounds(16, 1000);
    let done = AtomicBool::new(false);
    // One of those that are killed leads.
    stage.close();
    let mut crew: Vec<_> = (0..CREW).map(|_| start(&stage.shop, &mut seed)).collect();
    assert_eq!(crew[0].link.line().as_deref(), Some("."));
    stage.open();
    let mut times = Vec::with_capacity(kills);
    let (samples, crowded) = std::thread::scope(|scope| {
        let sampler = scope.spawn(|| {
            let (mut samples, mut crowded) = (0_u64, 0_u64);
            while !done.load(Ordering::SeqCst) {
                let usage = stage.usage();
                let units: u64 = usage.holders.iter().map(|holder| holder.units).sum();
                assert!(usage.in_use <= most, "{usage:?}");
                assert_eq!(units + usage.offered, usage.in_use, "one look is one instant: {usage:?}");
                samples += 1;
                crowded += u64::from(usage.in_use >= CAPACITY);
                stage.follow();
            }
            (samples, crowded)
        });
        let over = Done(&done);
        for kill in 0..kills {
            let victim = seed.below(CREW);
            for _ in 0..seed.below(6) {
                assert_eq!(crew[victim].link.line().as_deref(), Some("."), "process {victim}");
            }
            let process = crew[victim].id();
            crew[victim].kill();
            times.push(freed(&stage, process));
            crew[victim] = start(&stage.shop, &mut seed);
            assert!(!sampler.is_finished(), "the sampler saw something");
            if kill % 100 == 99 {
                loudly(&format!("{} kills", kill + 1));
            }
        }
        drop(over);
        sampler.join().expect("the sampler")
    });
    times.sort_unstable();
    let late = times.iter().filter(|time| **time > SECOND).count();
    let (middle, slowest) = (times[times.len() / 2], times[times.len() - 1]);
    loudly(&format!(
        "{kills} kills, {samples} samples, {crowded} of them with every unit in use, {} audit records, {} evicted; freed \
         after {middle:?}, the slowest {slowest:?}, {late} later than {SECOND:?}",
        stage.records(),
        stage.usage().evicted,
    ));
    // A machine that is busy with something else is late now and then.
    assert!(late * 2 <= times.len(), "{times:?}");
    // All of them at once: events that they had claimed are told by who lives.
    in_time(SECOND, "nothing is left of eight killed processes", || {
        for process in &mut crew {
            process.kill();
        }
        let killed = Instant::now();
        wait_until("their places, requests and events are free", || {
            let stats = stage.manager.stats().expect("stats");
            (stats.in_flight, stats.license_waiters) == (0, 0)
                && stage.queue().is_empty()
                && stage.manager.drain(Duration::ZERO) == Ok(true)
        });
        let took = killed.elapsed();
        crew = (0..CREW).map(|_| start(&stage.shop, &mut seed)).collect();
        for process in &mut crew {
            assert_eq!(process.link.line().as_deref(), Some("."));
        }
        took
    });
    crew.iter_mut().for_each(Process::kill);
    wait_until("nobody is in flight or waits", || {
        let stats = stage.manager.stats().expect("stats");
        (stats.in_flight, stats.license_waiters, stage.queue().len()) == (0, 0, 0)
    });
    stage.exact(stage.usage().in_use);
    stage.end_all();
    wait_until("the last unit has lingered", || stage.usage().in_use == 0);
    stage.exact(0);
    assert_eq!(stage.manager.count(), Ok(0));
}
