//! Random histories against the reference model: the invariants I1 to I8 after every step.
//!
//! `LSES_SEED=n` plays one history again; `LSES_TORTURE=1` plays many more.

mod model;
mod play;
mod steps;

use play::Play;

fn play(seed: u64, steps: usize) {
    let mut play = Play::new(seed);
    let mut history = Vec::new();
    let played = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        for _ in 0..steps {
            history.push((play.model.now, play.step()));
            play.check();
        }
        play.check_deliveries();
    }));
    if let Err(payload) = played {
        let last: Vec<_> = history.iter().rev().take(12).rev().collect();
        eprintln!("LSES_SEED={seed}: after {} steps, the last of them {last:?}", history.len());
        std::panic::resume_unwind(payload);
    }
}

#[test]
fn random_histories_keep_every_invariant() {
    if let Some(seed) = std::env::var("LSES_SEED").ok().and_then(|seed| seed.parse().ok()) {
        return play(seed, 2000);
    }
    let torture = std::env::var_os("LSES_TORTURE").is_some();
    let (histories, steps) = if torture { (2000, 2000) } else { (60, 300) };
    let base =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_nanos() as u64;
    for history in 0..histories {
        // Half of the histories are always the same; the others are new in each run.
        let seed = if history % 2 == 0 { history } else { base.wrapping_add(history) };
        play(seed, steps);
    }
}
