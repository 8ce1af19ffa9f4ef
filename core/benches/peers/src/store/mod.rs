//! The table of one machine, for several processes: beside SQLite and LMDB by themselves, and Redis.

mod changes;
mod child;
mod fairness;
mod hot;
mod lmdb;
mod mix;
mod raw;
mod redis;
mod restart;
mod scratch;
mod traffic;

use std::path::Path;

use libsession_core::Config;

pub use self::scratch::Scratch;
use crate::measure::Random;
use crate::ours::Ours;
use crate::report::Report;

/// Bytes of data of a session.
const BYTES: usize = 200;
const SESSIONS: usize = 100_000;

/// Measures what is wanted: `shared-hot`, `shared-changes`, `shared-mix`, `shared-fairness`, `shared-traffic`,
/// `shared-restart`.
pub fn measure(report: &mut Report, wanted: &dyn Fn(&str) -> bool, rounds: usize, quick: bool) {
    let rounds = rounds.min(5);
    if wanted("shared-hot") {
        hot::measure(report, SESSIONS, rounds);
    }
    if wanted("shared-changes") {
        changes::measure(report, SESSIONS, rounds);
    }
    if wanted("shared-mix") {
        mix::measure(report, SESSIONS, rounds.min(3));
    }
    if wanted("shared-fairness") {
        fairness::measure(report);
    }
    if wanted("shared-traffic") {
        traffic::measure(report);
    }
    if wanted("shared-restart") {
        restart::measure(report, SESSIONS);
        if !quick {
            restart::measure(report, 1_000_000);
        }
    }
}

/// In a process of its own: one of those that measure together.
pub fn child(words: &[&str]) {
    match words {
        ["mix", dir, tokens] => mix::ours(dir, tokens),
        ["redis", way, port, sessions] => mix::redis(way, number(port), number(sessions)),
        ["change", dir] => changes::ours(dir.as_ref()),
        ["change-raw", dir, sessions] => changes::raw(dir.as_ref(), number(sessions)),
        ["write", dir] => fairness::ours(dir),
        ["write-raw", dir] => fairness::raw(dir),
        ["fill", dir, sessions] => restart::fill(dir, number(sessions)),
        ["open", dir] => restart::open(dir),
        _ => panic!("{words:?} is nothing to measure"),
    }
}

fn number<N: std::str::FromStr>(text: &str) -> N {
    text.parse().unwrap_or_else(|_| panic!("'{text}' is no number"))
}

/// As the others, in this directory.
fn config(dir: &Path) -> Config {
    Config { store: format!("file:{}", dir.display()), ..Ours::config() }
}

fn filled(dir: &Scratch, sessions: usize) -> Ours {
    let mut ours = Ours::open(config(dir.path()));
    ours.fill(sessions, BYTES);
    ours
}

/// So many random ids, each once.
fn ids(count: usize) -> Vec<i64> {
    let mut random = Random::new(1);
    (0..count).map(|_| random.next().cast_signed()).collect()
}
