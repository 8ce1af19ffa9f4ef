//! Random histories against the reference model: the invariants I1 to I8 after every step, on both tables.
//!
//! `LSES_SEED=n` plays one history again, `LSES_STORY=1,5,9` those of its steps alone; `LSES_TORTURE=1` plays many more, and
//! `LSES_HISTORIES=n` so many. A history that fails is told as the shortest story that still does.

mod check;
mod dice;
mod explain;
mod model;
mod play;
mod pools;
mod steps;
mod story;

use story::{Table, tell};

/// So many histories of so many steps.
fn play(table: Table, histories: u64, steps: u64) {
    let numbers = |name: &str| {
        let text = std::env::var(name).ok()?;
        text.split(',').map(|number| number.trim().parse().ok()).collect::<Option<Vec<u64>>>()
    };
    if let Some(seed) = numbers("LSES_SEED").and_then(|seeds| seeds.first().copied()) {
        return tell(table, seed, numbers("LSES_STORY").unwrap_or_else(|| (0..2000).collect()));
    }
    let more = numbers("LSES_HISTORIES").and_then(|count| count.first().copied());
    let base =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_nanos() as u64;
    for history in 0..more.unwrap_or(histories) {
        // Where more are played, half of the histories are new in each run.
        let is_new = history % 2 == 1 && (more.is_some() || torture());
        let seed = if is_new { base.wrapping_add(history) } else { 2 * history };
        tell(table, seed, (0..steps).collect());
    }
}

fn torture() -> bool {
    std::env::var_os("LSES_TORTURE").is_some()
}

#[test]
fn random_histories_keep_every_invariant() {
    let (histories, steps) = if torture() { (2000, 2000) } else { (60, 300) };
    play(Table::Memory, histories, steps);
}

#[test]
fn random_histories_of_the_shared_table_are_the_same() {
    let (histories, steps) = if torture() { (200, 1000) } else { (6, 150) };
    play(Table::File, histories, steps);
}
