//! A history as a story: if it fails, the shortest one that still does is told.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::play::Play;

/// How long a shorter story is looked for.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug)]
pub enum Table {
    Memory,
    File,
}

thread_local! {
    /// Whether a panic on this thread is one of many to come.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// What went wrong, and what was done until then.
struct Failure {
    what: String,
    told: Vec<String>,
    steps: Vec<u64>,
}

impl Failure {
    /// Whether it seems to be the same failure: it is told in the same words, whatever the numbers.
    fn is_like(&self, other: &Self) -> bool {
        let words = |text: &str| text.chars().filter(|letter| !letter.is_ascii_digit()).take(60).collect::<String>();
        words(&self.what) == words(&other.what)
    }
}

/// Plays some steps of the history of a seed; panics with the shortest story if it fails.
pub fn tell(table: Table, seed: u64, steps: Vec<u64>) {
    let Err(mut failure) = run(table, seed, &steps, false) else { return };
    let (begun, whole) = (Instant::now(), failure.steps.len());
    let mut chunk = failure.steps.len() / 2;
    while chunk > 0 && begun.elapsed() < PATIENCE {
        let mut from = 0;
        while from < failure.steps.len() && begun.elapsed() < PATIENCE {
            let mut fewer = failure.steps.clone();
            fewer.drain(from..(from + chunk).min(fewer.len()));
            match run(table, seed, &fewer, true) {
                Err(shorter) if shorter.is_like(&failure) => failure = shorter,
                _ => from += chunk,
            }
        }
        chunk /= 2;
    }
    let Failure { what, told, steps } = failure;
    let numbers: Vec<String> = steps.iter().map(u64::to_string).collect();
    panic!(
        "on the table {table:?} a history of {whole} steps failed; the shortest story that does:\n\
         LSES_SEED={seed} LSES_STORY={}\n  {}\n{what}",
        numbers.join(","),
        told.join("\n  ")
    );
}

fn run(table: Table, seed: u64, steps: &[u64], quiet: bool) -> Result<(), Failure> {
    hush();
    QUIET.set(quiet);
    let mut play = Play::new(table, seed);
    let mut done = 0;
    let played = catch_unwind(AssertUnwindSafe(|| {
        for step in steps {
            done += 1;
            play.step(seed, *step);
            play.check();
        }
        play.check_deliveries();
    }));
    QUIET.set(false);
    played.map_err(|payload| {
        let text = payload.downcast_ref::<String>().cloned();
        let text = text.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let what = text.unwrap_or_default();
        Failure { what, told: std::mem::take(&mut play.told), steps: steps[..done].to_vec() }
    })
}

/// Panics are told as ever, but for those on the way to a shorter story.
fn hush() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                before(info);
            }
        }));
    });
}
