//! Several processes that all write and sync: is one of them left behind?

use std::time::{Duration, Instant};

use libsession_core::Durability;

use super::child::{self, Child};
use super::raw::Raw;
use super::scratch::Scratch;
use super::{BYTES, config};
use crate::measure::{Random, median};
use crate::ours::Ours;
use crate::report::Report;

const GROUP: &str = "shared: fairness of writers";
const WINDOW: Duration = Duration::from_millis(2000);
/// Windows of each kind, in turn: a disk that others use stops now and then, whoever waits.
const TURNS: usize = 3;

pub fn measure(report: &mut Report) {
    for processes in [2, 4] {
        let (dir, raw_dir) = (Scratch::new(), Scratch::new());
        drop(Ours::open(config(dir.path())));
        drop(Raw::open(raw_dir.path(), Duration::from_secs(10)));
        let [mut fair, mut busy] = [(); 2].map(|()| Turns::default());
        for _ in 0..TURNS {
            fair.take(processes, &["write", &dir.at("")]);
            busy.take(processes, &["write-raw", &raw_dir.at("")]);
        }
        let with = format!("{processes} writers");
        report.value(GROUP, format!("{with}: commits of one a second"), median(&mut fair.rate), "/s");
        report.value(GROUP, format!("SQLite's busy handler, {with}: the same"), median(&mut busy.rate), "/s");
        let what = format!("SQLite's busy handler, {with}: mean over slowest");
        report.value(GROUP, what, median(&mut busy.uneven), "");
        report.at_most(GROUP, format!("{with}: mean over slowest"), median(&mut fair.uneven), "", 1.25);
        // A disk that stops for all of a window says nothing about who waits for whom.
        let calmest = |turns: &Turns| turns.longest.iter().copied().fold(f64::INFINITY, f64::min);
        let what = format!("{with}: longest wait, in the calmest of {TURNS} windows");
        let base = ("SQLite's busy handler", calmest(&busy));
        report.against(GROUP, what, calmest(&fair), "ms", base, 0.1);
        report.value(GROUP, format!("{with}: longest wait, in the middle one"), median(&mut fair.longest), "ms");
    }
}

/// By turns: commits a second of one process, the mean of that over the slowest, the longest wait of any in milliseconds.
#[derive(Default)]
struct Turns {
    rate: Vec<f64>,
    uneven: Vec<f64>,
    longest: Vec<f64>,
}

impl Turns {
    fn take(&mut self, processes: usize, words: &[&str]) {
        let (rates, longest) = run(processes, words);
        let mean = rates.iter().sum::<f64>() / rates.len() as f64;
        self.rate.push(mean);
        self.uneven.push(mean / rates.iter().copied().fold(f64::INFINITY, f64::min).max(0.01));
        self.longest.push(longest);
    }
}

/// Commits a second of each, and the longest wait of any in milliseconds.
fn run(processes: usize, words: &[&str]) -> (Vec<f64>, f64) {
    let mut children: Vec<Child> = (0..processes).map(|_| Child::start(words)).collect();
    children.iter_mut().for_each(Child::go);
    let figures: Vec<Vec<f64>> = children.iter_mut().map(Child::numbers).collect();
    children.into_iter().for_each(Child::wait);
    (figures.iter().map(|numbers| numbers[0]).collect(), figures.iter().map(|numbers| numbers[1]).fold(0.0, f64::max))
}

/// Writes as fast as it can for a while.
fn write(mut commit: impl FnMut(usize)) {
    child::ready();
    let begun = Instant::now();
    let (mut commits, mut longest) = (0, Duration::ZERO);
    while begun.elapsed() < WINDOW {
        let before = Instant::now();
        commit(commits);
        longest = longest.max(before.elapsed());
        commits += 1;
    }
    child::say(&[commits as f64 / begun.elapsed().as_secs_f64(), longest.as_secs_f64() * 1000.0]);
}

/// In a process of its own.
pub fn ours(dir: &str) {
    let ours = Ours::open(config(dir.as_ref()).durability(Durability::Durable));
    let mut made = Vec::new();
    write(|_| match made.pop() {
        Some(created) => ours.end(&created),
        None => made.push(ours.create_with(BYTES, None)),
    });
    ours.manager.close(Duration::ZERO);
}

/// The same with SQLite's own waiting.
pub fn raw(dir: &str) {
    let raw = Raw::open(dir.as_ref(), Duration::from_secs(20)).full().checkpointing();
    let mut random = Random::new(u64::from(std::process::id()));
    let mut id = 0;
    write(|commit| {
        if commit % 2 == 0 {
            id = random.next().cast_signed();
            raw.create(id);
        } else {
            raw.end(id);
        }
    });
}
