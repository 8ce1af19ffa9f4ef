//! 100,000 sessions that fall due at once among a million, and a million that do not.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use libsession_core::CreateOptions;

use crate::measure::{Random, cpu_ns, percentile, process_ns};
use crate::ours::Ours;
use crate::report::Report;

const GROUP: &str = "expiry";
const DUE: usize = 100_000;

pub fn measure(report: &mut Report, sessions: usize) {
    let ours = Ours::new(sessions - DUE, 0);
    std::thread::sleep(Duration::from_millis(200));
    let (before, from) = (process_ns(), Instant::now());
    std::thread::sleep(Duration::from_secs(5));
    let idle = (process_ns() - before) as f64 / from.elapsed().as_nanos() as f64 * 100.0;
    let size = crate::size(sessions);
    report.at_most(GROUP, format!("idle with {size} live, of one core"), idle, "%", 0.1);
    report.at_most(GROUP, format!("idle with {size} live, of one core (finer)"), idle, "%", 0.01);

    // All of them are due at one instant: each gets the time that is left until then.
    let due = Instant::now() + Duration::from_secs(4);
    for _ in 0..DUE {
        let idle_timeout = Some(Some(due.saturating_duration_since(Instant::now())));
        ours.manager.create(CreateOptions { idle_timeout, ..CreateOptions::default() }).expect("a session");
    }
    std::thread::sleep(due.saturating_duration_since(Instant::now()).saturating_sub(Duration::from_millis(1500)));
    let live = &ours.made;
    let stop = AtomicBool::new(false);
    let (mut control, mut during) = (Vec::new(), Vec::new());
    let mut reaped = Duration::ZERO;
    // What neither this thread nor the caller used was the reaper's.
    let (all, mine) = (process_ns(), cpu_ns());
    let mut reaper = 0;
    std::thread::scope(|scope| {
        let caller = scope.spawn(|| {
            let mut random = Random::new(5);
            let mut times = Vec::with_capacity(20_000_000);
            while !stop.load(Ordering::Relaxed) {
                let text = &live[random.below(live.len())].1;
                let begin = Instant::now();
                assert!(ours.touch(text));
                times.push((begin, begin.elapsed().as_nanos() as u64));
            }
            (times, cpu_ns())
        });
        while Instant::now() < due {
            std::thread::sleep(Duration::from_millis(1));
        }
        while ours.manager.count().expect("count") > (sessions - DUE) as u64 {
            assert!(due.elapsed() < Duration::from_secs(20), "not all ended");
            std::thread::yield_now();
        }
        reaped = due.elapsed();
        stop.store(true, Ordering::Relaxed);
        let (times, used) = caller.join().expect("the caller");
        reaper = (process_ns() - all).saturating_sub(cpu_ns() - mine).saturating_sub(used);
        for (begin, ns) in times {
            if begin >= due && begin < due + reaped.max(Duration::from_millis(1)) {
                during.push(ns);
            } else if begin + Duration::from_millis(1000) > due && begin + Duration::from_millis(100) < due {
                control.push(ns);
            }
        }
    });
    let per_session = reaper as f64 / DUE as f64;
    report.at_most(GROUP, "reaper, each of 100k due at once", per_session, "ns", 60.0);
    report.at_most(GROUP, "reaper, each of 100k due at once (finer)", per_session, "ns", 45.0);
    let us = |ns: u64| ns as f64 / 1000.0;
    report.value(GROUP, "touch meanwhile, control p99.9", us(percentile(&mut control, 0.999)), "µs");
    report.at_most(GROUP, "touch meanwhile, p99.9", us(percentile(&mut during, 0.999)), "µs", 10.0);
    let (base, tail) = (percentile(&mut control, 0.9999), percentile(&mut during, 0.9999));
    report.against(GROUP, "touch meanwhile, p99.99", us(tail), "µs", ("before", us(base)), 1.5);
    let longest = during.iter().max().copied().unwrap_or(0);
    report.value(GROUP, "touch meanwhile, control max", us(control.iter().max().copied().unwrap_or(0)), "µs");
    report.at_most(GROUP, "touch meanwhile, max", us(longest), "µs", 5000.0);
    let stats = ours.manager.stats().expect("stats");
    report.at_most(GROUP, "lateness of the last 1,024 ends, p99", stats.lateness_p99_ms as f64, "ms", 250.0);
    report.at_most(GROUP, "last of 100k ended after the deadline", reaped.as_secs_f64() * 1000.0, "ms", 250.0);
}
