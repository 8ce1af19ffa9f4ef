//! Chance that can be replayed.

use std::time::{SystemTime, UNIX_EPOCH};

/// A stream of random numbers (SplitMix64).
#[derive(Clone)]
pub struct Seed(u64);

impl Seed {
    /// From `LSES_SEED`, or a new one; a failing test shows it.
    pub fn new(test: &str) -> Self {
        let seed = match std::env::var("LSES_SEED") {
            Ok(text) => text.parse().expect("LSES_SEED is a number"),
            Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| now.subsec_nanos().into()),
        };
        eprintln!("{test}: LSES_SEED={seed}");
        Self(seed)
    }

    pub fn of(number: u64) -> Self {
        Self(number)
    }

    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below a bound that is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.number() % u64::try_from(bound).expect("a bound")).expect("below the bound")
    }

    /// True so many times in a hundred.
    pub fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of them; `None` if there is none.
    pub fn pick<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        if all.is_empty() { None } else { all.get(self.below(all.len())) }
    }
}
