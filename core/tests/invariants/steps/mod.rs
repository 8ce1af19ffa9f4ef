//! The steps of a history: each is done to the manager and to the model, and both must say the same.

mod licenses;
mod life;
mod requests;

use libsession_core::Request;

use super::dice::Dice;
use super::play::{Play, ms};

impl Play {
    /// Does one step of a history, whatever comes.
    pub fn step(&mut self, seed: u64, step: u64) {
        self.dice = Dice::new(seed, step);
        let step: fn(&mut Self) = match self.dice.roll(32) {
            0..=5 => Self::create,
            6..=8 => Self::begin,
            9..=10 => Self::finish,
            11..=12 => Self::touch,
            13..=16 => Self::login,
            17 => Self::logout,
            18 => Self::trade,
            19 => Self::rotate,
            20 => Self::set_timeouts,
            21 => Self::end,
            22 => Self::ask_end,
            23 => Self::change_classes,
            24..=25 => Self::take,
            26 => Self::give_back,
            27 => Self::change_pool,
            28 => Self::cancel,
            _ => Self::advance,
        };
        step(self);
    }

    /// A session, mostly a live one.
    pub fn any(&mut self) -> Option<usize> {
        let live: Vec<usize> = self.model.live().map(|(number, _)| number).collect();
        if !live.is_empty() && !self.dice.one_in(8) {
            return Some(*self.dice.pick(&live));
        }
        (!self.ids.is_empty()).then(|| self.dice.roll(self.ids.len() as u64) as usize)
    }

    /// One of its tokens, mostly the right one.
    fn any_token(&mut self, number: usize) -> usize {
        let session = &self.model.sessions[number];
        let old: Vec<usize> = session.replaced.iter().map(|(old, _, _)| *old).collect();
        let right = session.token;
        if old.is_empty() || !self.dice.one_in(3) { right } else { *self.dice.pick(&old) }
    }

    /// A request in flight: its session's number, its own, and itself.
    fn any_request(&mut self) -> Option<(usize, usize, Request)> {
        if self.requests.is_empty() {
            return None;
        }
        let position = self.dice.roll(self.requests.len() as u64) as usize;
        let (request, handle) = self.requests[position].clone();
        let number = self.session_of(&handle);
        self.model.sessions[number].has_request(request).then_some((number, request, handle))
    }

    fn session_of(&self, handle: &Request) -> usize {
        self.ids.iter().position(|id| *id == handle.id()).expect("known")
    }

    /// How long somebody waits, mostly not at all, and with which priority.
    fn patience(&mut self) -> (u64, i8) {
        let wait = if self.dice.one_in(2) { 0 } else { 1 + self.dice.roll(60_000) };
        (wait, self.dice.roll(3) as i8 - 1)
    }

    fn advance(&mut self) {
        let by = match self.dice.roll(20) {
            0 => self.dice.roll(4_000_000),
            1..=3 => self.dice.roll(400_000),
            4..=12 => self.dice.roll(40_000),
            13 => 0,
            // To the very instant of the next thing, or one before it.
            _ => {
                let left = self.model.next_due().map_or(u64::MAX, |next| next.saturating_sub(self.model.now));
                if left > 10_000_000 { 1 } else { left.saturating_sub(self.dice.roll(2)) }
            }
        };
        self.say(format!("advance {by}"));
        self.clock.advance(ms(by)).expect("advance");
        self.model.advance(by);
    }
}
