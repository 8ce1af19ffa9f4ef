//! How many requests make the store write, under four kinds of traffic: counted on a manual clock.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use libsession_core::{Clock, ManualClock};

use super::config;
use super::scratch::Scratch;
use crate::measure::Random;
use crate::ours::Ours;
use crate::report::Report;

const GROUP: &str = "shared: writes caused by touches";
const REQUESTS: usize = 10_000;

/// Requests at once, and the seconds until the next ones; `true`: that is a mean.
struct Traffic {
    name: &'static str,
    at_once: usize,
    apart: f64,
    random: bool,
    most: f64,
}

pub fn measure(report: &mut Report) {
    for traffic in [
        Traffic {
            name: "form application: 8 at once, 45 s apart",
            at_once: 8,
            apart: 45.0,
            random: true,
            most: 1000.0 / 9.0,
        },
        Traffic { name: "poll every 10 s", at_once: 1, apart: 10.0, random: false, most: 1000.0 / 9.0 },
        Traffic { name: "API client: 5 a second", at_once: 1, apart: 0.2, random: false, most: 1000.0 / 100.0 },
        Traffic {
            name: "slow clerk: 3 at once, 240 s apart",
            at_once: 3,
            apart: 240.0,
            random: true,
            most: 1000.0 / 3.0,
        },
    ] {
        let commits = count(&traffic);
        report.at_most(GROUP, format!("{}, of 1,000 requests", traffic.name), commits, "commits", traffic.most);
    }
}

/// Commits of 1,000 requests of one session, each written as soon as it is to be: many sessions share commits.
fn count(traffic: &Traffic) -> f64 {
    let dir = Scratch::new();
    let clock = ManualClock::new();
    let mut options = config(dir.path()).clock(Clock::Manual(clock.clone()));
    options.threads = false;
    let ours = Ours::open(options);
    let mut text = ours.create_with(0, None).token.reveal();
    // Kept open to the end: SQLite would lose its locks if it were closed.
    let index = File::open(dir.path().join("store.lsdb-shm")).expect("the index of the log");
    let mut random = Random::new(traffic.at_once as u64);
    let (mut commits, mut requests) = (0, 0);
    while requests < REQUESTS {
        let apart = if traffic.random { -random.unit().max(1e-9).ln() * traffic.apart } else { traffic.apart };
        clock.advance(Duration::from_secs_f64(apart)).expect("the clock goes on");
        if ours.manager.count().expect("count") == 0 {
            text = ours.create_with(0, None).token.reveal();
        }
        ours.manager.reap_now().expect("reaped");
        let before = changes(&index);
        for _ in 0..traffic.at_once {
            ours.begin_finish(&text);
            ours.manager.reap_now().expect("reaped");
        }
        commits += changes(&index).wrapping_sub(before);
        requests += traffic.at_once;
    }
    ours.manager.close(Duration::ZERO);
    drop(index);
    f64::from(commits) * 1000.0 / requests as f64
}

/// How often the database changed: a counter in the head of the log's index, by its format.
fn changes(index: &File) -> u32 {
    let mut word = [0; 4];
    index.read_exact_at(&mut word, 8).expect("the head of the index");
    u32::from_ne_bytes(word)
}
