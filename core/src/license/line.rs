//! Who waits for units of a pool of one process, found by place, lane and time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use super::redefine::Seats;
use super::waiter::{Awaits, Lane, Turn, Waiter};
use crate::clock::Millis;
use crate::id::SessionId;
use crate::table::Wake;

/// The queue of one pool.
#[derive(Default)]
pub(super) struct Line {
    seq: u64,
    waiters: HashMap<u64, Waiter>,
    wakes: HashMap<u64, Wake>,
    /// The places of each session that waits.
    sessions: HashMap<SessionId, Vec<u64>>,
    /// All of one priority in the order of their numbers.
    places: BTreeMap<Reverse<i8>, VecDeque<u64>>,
    /// Those that await their turn.
    lanes: BTreeMap<Lane, BTreeSet<Turn>>,
    /// Those that units were set aside for.
    lapses: BTreeSet<(Millis, u64)>,
    /// Those whose turn has come: to be called once no lock is held.
    called: Vec<Wake>,
}

impl Line {
    pub fn add(&mut self, waiter: &Waiter) -> u64 {
        self.seq += 1;
        let turn = Turn { seq: self.seq, ..waiter.turn };
        self.places.entry(turn.priority).or_default().push_back(turn.seq);
        self.file(turn, waiter.lane, waiter.awaits);
        self.sessions.entry(waiter.session).or_default().push(turn.seq);
        self.waiters.insert(turn.seq, Waiter { turn, ..waiter.clone() });
        turn.seq
    }

    /// How the waiter of the last place is woken.
    pub fn set_wake(&mut self, seq: u64, wake: Wake) {
        if self.waiters.get(&seq).is_some_and(|waiter| matches!(waiter.awaits, Awaits::Claim(_))) {
            self.called.push(wake.clone());
        }
        self.wakes.insert(seq, wake);
    }

    pub fn get(&self, seq: u64) -> Option<&Waiter> {
        self.waiters.get(&seq)
    }

    /// The places of a session.
    pub fn places_of(&self, session: SessionId) -> Vec<u64> {
        self.sessions.get(&session).cloned().unwrap_or_default()
    }

    pub fn set(&mut self, waiter: &Waiter) {
        let Some(known) = self.waiters.get_mut(&waiter.turn.seq) else { return };
        let (turn, lane, before) = (known.turn, known.lane, known.awaits);
        (known.awaits, known.gives) = (waiter.awaits, waiter.gives);
        self.unfile(turn, lane, before);
        self.file(turn, lane, waiter.awaits);
    }

    pub fn remove(&mut self, seq: u64) {
        let Some(waiter) = self.waiters.remove(&seq) else { return };
        self.wakes.remove(&seq);
        if let Some(places) = self.sessions.get_mut(&waiter.session) {
            places.retain(|place| *place != seq);
            if places.is_empty() {
                self.sessions.remove(&waiter.session);
            }
        }
        self.unfile(waiter.turn, waiter.lane, waiter.awaits);
        if let Some(places) = self.places.get_mut(&waiter.turn.priority) {
            if let Ok(place) = places.binary_search(&seq) {
                places.remove(place);
            }
            if places.is_empty() {
                self.places.remove(&waiter.turn.priority);
            }
        }
    }

    /// Has everybody wait in the lane of the new seat.
    pub fn reseat(&mut self, seats: &Seats) {
        self.lanes.clear();
        for waiter in self.waiters.values_mut() {
            waiter.reseat(seats);
            if waiter.awaits == Awaits::Turn {
                self.lanes.entry(waiter.lane).or_default().insert(waiter.turn);
            }
        }
    }

    fn file(&mut self, turn: Turn, lane: Lane, awaits: Awaits) {
        match awaits {
            Awaits::Turn => {
                self.lanes.entry(lane).or_default().insert(turn);
            }
            Awaits::Claim(offer) => {
                self.lapses.insert((offer.until, turn.seq));
            }
            Awaits::Nothing => {}
        }
    }

    fn unfile(&mut self, turn: Turn, lane: Lane, awaits: Awaits) {
        match awaits {
            Awaits::Turn => {
                if let Some(turns) = self.lanes.get_mut(&lane) {
                    turns.remove(&turn);
                    if turns.is_empty() {
                        self.lanes.remove(&lane);
                    }
                }
            }
            Awaits::Claim(offer) => {
                self.lapses.remove(&(offer.until, turn.seq));
            }
            Awaits::Nothing => {}
        }
    }

    pub fn lanes(&self) -> Vec<Lane> {
        self.lanes.keys().copied().collect()
    }

    pub fn head(&self, lane: Lane) -> Option<&Waiter> {
        self.lanes.get(&lane)?.first().and_then(|turn| self.waiters.get(&turn.seq))
    }

    pub fn first_lapse(&self) -> Option<(Millis, u64)> {
        self.lapses.first().copied()
    }

    pub fn call(&mut self, seq: u64) {
        self.called.extend(self.wakes.get(&seq).cloned());
    }

    /// Whether somebody is to be called.
    pub fn has_called(&self) -> bool {
        !self.called.is_empty()
    }

    pub fn take_called(&mut self) -> Vec<Wake> {
        std::mem::take(&mut self.called)
    }

    /// How many come first, plus one.
    pub fn position(&self, seq: u64) -> Option<u64> {
        let turn = self.waiters.get(&seq)?.turn;
        let before: usize = self.places.range(..turn.priority).map(|(_, places)| places.len()).sum();
        let place = self.places.get(&turn.priority)?.binary_search(&seq).ok()?;
        Some((before + place + 1) as u64)
    }

    /// Those after so many, in the order of their turns.
    pub fn list(&self, skip: usize, limit: usize) -> Vec<Waiter> {
        let places = self.places.values().flatten().skip(skip).take(limit);
        places.filter_map(|seq| self.waiters.get(seq).cloned()).collect()
    }

    /// All who wait.
    pub fn all(&self) -> impl Iterator<Item = &Waiter> {
        self.waiters.values()
    }
}
