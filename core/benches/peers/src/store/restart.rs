//! How long a store takes to open that has many sessions, after a clean stop and after a kill; and to count their units again.

use std::time::{Duration, Instant};

use super::child::{self, Child};
use super::config;
use super::scratch::Scratch;
use crate::measure::process_ns;
use crate::ours::Ours;
use crate::report::Report;

const GROUP: &str = "shared: opening";

pub fn measure(report: &mut Report, sessions: usize) {
    let size = crate::size(sessions);
    let dir = Scratch::new();
    let number = sessions.to_string();
    let mut filling = Child::start(&["fill", &dir.at(""), &number]);
    filling.go();
    filling.wait();
    let open = |sessions: usize| {
        let mut opening = Child::start(&["open", &dir.at("")]);
        opening.go();
        let numbers = opening.numbers();
        assert_eq!(numbers[2], sessions as f64, "all sessions are there");
        (opening, numbers[0], numbers[1], numbers[3])
    };
    let (opened, clean, clean_cpu, audit) = open(sessions);
    opened.kill();
    let (opened, killed, killed_cpu, _) = open(sessions);
    opened.kill();
    for name in ["hot.head", "hot.slots", "hot.requests"] {
        std::fs::remove_file(dir.path().join(name)).expect("a hot file");
    }
    let (opened, lost, lost_cpu, _) = open(sessions);
    opened.wait();
    let mut tell = |what: &str, ms: f64, cpu: f64| {
        let what = format!("{size} sessions, {what}");
        if sessions == 100_000 {
            report.at_most(GROUP, &what, ms, "ms", 1000.0);
        } else {
            report.value(GROUP, &what, ms, "ms");
        }
        report.value(GROUP, format!("{what}: CPU"), cpu, "ms");
    };
    tell("after a clean stop", clean, clean_cpu);
    tell("after kill -9", killed, killed_cpu);
    tell("after the loss of the hot files", lost, lost_cpu);
    report.at_most("shared: licenses", format!("audit of {size}, wall"), audit, "ms", 2000.0);
}

/// In a process of its own: makes the sessions, stops in order.
pub fn fill(dir: &str, sessions: usize) {
    let ours = Ours::open(config(dir.as_ref()));
    for _ in 0..sessions {
        ours.create();
    }
    child::ready();
    ours.manager.close(Duration::ZERO);
}

/// In a process of its own: opens, tells milliseconds of wall and CPU time, how many sessions there are, and how long an
/// audit takes; waits.
pub fn open(dir: &str) {
    child::ready();
    let (before, cpu) = (Instant::now(), process_ns());
    let ours = Ours::open(config(dir.as_ref()));
    let (wall, cpu) = (before.elapsed().as_secs_f64() * 1000.0, (process_ns() - cpu) as f64 / 1e6);
    let from = Instant::now();
    let audit = ours.manager.audit("users").expect("an audit");
    let took = from.elapsed().as_secs_f64() * 1000.0;
    assert!(audit.differences.is_empty(), "{:?}", audit.differences);
    child::say(&[wall, cpu, audit.counted as f64, took]);
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).expect("the parent");
    ours.manager.close(Duration::ZERO);
}
