//! LIC-02: threads that take, trade, give back, wait for and forget units, more than there are: never more in use than
//! there are, waiters in their order, and at the end nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use libsession_core::*;

use super::seed::Seed;
use super::{Place, in_order, pool, standstill, until, waits};

/// Nobody waits for longer while units come free.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a wait may last before it is given up.
const WAIT: Duration = Duration::from_secs(60);

/// One thread's part.
struct Guest<'a> {
    manager: &'a Manager,
    mine: Vec<(SessionId, String)>,
    seed: Seed,
    /// Its longest wait that was served.
    longest: Duration,
    refused: u64,
}

impl Guest<'_> {
    fn step(&mut self) {
        let chance = self.seed.below(100);
        if self.mine.is_empty() || (chance < 40 && self.mine.len() < 4) {
            return self.create();
        }
        let at = self.seed.below(self.mine.len());
        let (id, token) = self.mine[at].clone();
        if chance < 65 {
            let ended = self.manager.end(id, EndOptions::default()).expect("an end");
            assert!(matches!(ended, EndOutcome::Ended(_)), "{ended:?}");
            self.mine.swap_remove(at);
            return;
        }
        if chance < 75 {
            // Forgotten: it times out.
            let timeout = Duration::from_millis(1 + self.seed.below(4) as u64);
            let there = if chance < 70 {
                self.manager.set_idle_timeout(id, Some(timeout))
            } else {
                self.manager.set_absolute_timeout(id, timeout)
            };
            assert!(there.is_ok(), "{there:?}");
            self.mine.swap_remove(at);
            return;
        }
        let request = self.manager.begin(&token, BeginOptions::default()).and_then(Begin::live).expect("its session");
        if chance < 92 {
            let login = request.login(&format!("user-{}", self.seed.below(40))).expect("a login");
            self.mine[at].1 = login.token.reveal();
        } else {
            match request.logout(true).expect("a logout") {
                Logout::Done(token) => self.mine[at].1 = token.reveal(),
                Logout::Ended(_) => {
                    self.mine.swap_remove(at);
                    return;
                }
            }
        }
        request.finish().expect("a request");
    }

    /// Who has nothing waits; who has something is content with what there is.
    fn create(&mut self) {
        let options = if self.mine.is_empty() { waits(WAIT, 0) } else { CreateOptions::default() };
        let waits = !options.queue.wait.is_zero();
        let begun = Instant::now();
        match self.manager.create(options) {
            Ok(created) => {
                if waits {
                    self.longest = self.longest.max(begun.elapsed());
                }
                self.mine.push((created.id, created.token.reveal()));
            }
            Err(error) => {
                assert!(!waits, "starved: {error}");
                assert_eq!(error.deny_reason(), Some(DenyReason::PoolExhausted), "{error}");
                self.refused += 1;
            }
        }
    }
}

/// Plays it once; tells the longest wait.
fn storm(shared: bool, threads: usize, steps: usize, seed: &mut Seed) -> Duration {
    // Fewer than everybody wants.
    let capacity = if shared { 40 } else { 100 };
    let place = Place::new(shared, Pool { audit_records: 100_000_000, ..pool(capacity) });
    let manager = &place.manager;
    let done = AtomicBool::new(false);
    let begun = Instant::now();
    let (samples, full, longest, refused) = thread::scope(|scope| {
        let sampler = scope.spawn(|| {
            let (mut samples, mut full) = (0_u64, 0_u64);
            while !done.load(Ordering::Acquire) {
                let usage = place.usage();
                assert!(usage.in_use <= capacity, "{usage:?}");
                let units: u64 = usage.holders.iter().map(|holder| holder.units).sum();
                // In memory sessions come and go while they are looked at.
                assert!(!shared || units + usage.offered == usage.in_use, "one look is one instant: {usage:?}");
                samples += 1;
                full += u64::from(usage.in_use == capacity);
            }
            (samples, full)
        });
        let guests: Vec<_> = (0..threads)
            .map(|_| Guest {
                manager,
                mine: Vec::new(),
                seed: Seed::of(seed.number()),
                longest: Duration::ZERO,
                refused: 0,
            })
            .map(|mut guest| {
                scope.spawn(move || {
                    (0..steps / threads).for_each(|_| guest.step());
                    for (id, _) in &guest.mine {
                        guest.manager.end(*id, EndOptions::default()).expect("an end");
                    }
                    (guest.longest, guest.refused)
                })
            })
            .collect();
        let ended: Vec<_> = guests.into_iter().map(|guest| guest.join()).collect();
        done.store(true, Ordering::Release);
        let (samples, full) = sampler.join().expect("a sampler");
        let ended: Vec<_> = ended.into_iter().map(|guest| guest.expect("a guest")).collect();
        let longest = ended.iter().map(|(longest, _)| *longest).max().unwrap_or_default();
        (samples, full, longest, ended.iter().map(|(_, refused)| refused).sum::<u64>())
    });
    let took = begun.elapsed();
    until("what was forgotten is over", || place.usage().in_use == 0);
    let usage = place.usage();
    assert_eq!((usage.waiting, usage.offered, usage.lingering, manager.count()), (0, 0, 0, Ok(0)));
    place.exact();
    let records = manager.audit_records("main", 0, usize::MAX).expect("accounts");
    let late = in_order(&records);
    let stats = manager.stats().expect("stats");
    eprintln!(
        "{}: {threads} threads, {steps} steps in {took:?}: {} sessions, {refused} refused, {samples} samples, {full} of them \
         with every unit in use, {} audit records; the longest wait {longest:?}, {late} units not fetched in time, the \
         longest standstill {:?}",
        if shared { "file" } else { "memory" },
        stats.created,
        records.len(),
        standstill(&records),
    );
    assert!(usage.high_water <= capacity);
    longest
}

/// On a machine that is busy with something else one of three must do.
fn nobody_starves(shared: bool, threads: usize, steps: usize) {
    let mut seed = Seed::new("storm");
    let mut longest = Vec::new();
    while longest.len() < 3 && longest.iter().all(|longest| *longest > PATIENCE) {
        longest.push(storm(shared, threads, steps, &mut seed));
    }
    assert!(longest.iter().any(|longest| *longest <= PATIENCE), "starved: {longest:?}");
}

/// `LSES_TORTURE=1`: as long as it is meant to be.
fn torture() -> bool {
    std::env::var_os("LSES_TORTURE").is_some()
}

#[test]
fn a_storm_at_a_pool_in_memory_never_has_a_unit_too_many() {
    let (threads, steps) = if torture() { (64, 1_000_000) } else { (64, 20_000) };
    nobody_starves(false, threads, steps);
}

#[test]
fn a_storm_at_a_pool_in_the_shared_table_never_has_a_unit_too_many() {
    let (threads, steps) = if torture() { (64, 100_000) } else { (64, 2_000) };
    nobody_starves(true, threads, steps);
}
