//! Randomness that can be had again.

/// A small generator: the same seed, the same rolls.
pub struct Dice(u64);

impl Dice {
    /// The dice of one step of a history: the same whatever steps came before it.
    pub fn new(seed: u64, step: u64) -> Self {
        let mut dice = Self(seed);
        Self(dice.word() ^ step.wrapping_mul(0xd134_2543_de82_ef95))
    }

    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ word >> 31
    }

    pub fn roll(&mut self, sides: u64) -> u64 {
        self.word() % sides
    }

    pub fn one_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.roll(of.len() as u64) as usize]
    }
}
