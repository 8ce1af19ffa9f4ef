//! The hot part of a session: 64 bytes that never move, plain atomics at fixed offsets.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::{Millis, NEVER};
use crate::deadline;
use crate::sync::point;

/// Bits of a slot number in a locator.
pub(super) const INDEX_BITS: u32 = 28;
const GENERATION_BITS: u32 = 20;
const DEADLINE_BITS: u32 = 44;
const DEADLINE_MASK: u64 = (1 << DEADLINE_BITS) - 1;
const GENERATION_MASK: u64 = (1 << GENERATION_BITS) - 1;

/// The deadline of a slot without a live session.
pub(super) const FREE: Millis = 0;
/// The deadline while a request of kind `activity` is in flight: the idle clock stands still.
pub(super) const IN_FLIGHT: Millis = DEADLINE_MASK;
/// The deadline of a slot that does not know: the books do.
#[allow(dead_code)]
pub(super) const ASK: Millis = DEADLINE_MASK - 1;

/// Generation and idle deadline in one word: the only one that a touch writes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct State(pub u64);

impl State {
    pub fn new(generation: u64, deadline: Millis) -> Self {
        Self((generation & GENERATION_MASK) << DEADLINE_BITS | deadline & DEADLINE_MASK)
    }

    pub fn generation(self) -> u64 {
        self.0 >> DEADLINE_BITS
    }

    pub fn deadline(self) -> Millis {
        self.0 & DEADLINE_MASK
    }

    pub fn with(self, deadline: Millis) -> Self {
        Self::new(self.generation(), deadline)
    }
}

/// Plain atomics at fixed offsets: what a shared table maps.
#[repr(C, align(64))]
#[derive(Default)]
pub(super) struct Slot {
    state: AtomicU64,
    verifier: [AtomicU64; 2],
    /// Absolute deadline on the absolute clock; how the session is charged, as each table packs it.
    pub absolute: Packed,
    /// Idle timeout, 0 never; the application.
    pub idle: Packed,
    /// One more than the instant that the slot's one wheel entry stands for; 0 for none.
    filed: Packed,
    /// When the session was made; its number among those that were made then.
    pub created: Packed,
    /// The last use that is not told by the idle deadline; whose event classes it has: 1 + application, 0 its own.
    pub used: Packed,
}

/// Milliseconds, 42 bits, and a small number, 22 bits. Written under the cold lock only.
#[derive(Default)]
pub(super) struct Packed(AtomicU64);

const MS_BITS: u32 = 42;

impl Packed {
    pub fn ms(&self) -> Millis {
        self.word() & NEVER
    }

    pub fn small(&self) -> u32 {
        (self.word() >> MS_BITS) as u32
    }

    /// Both, to be sorted by: milliseconds first.
    pub fn order(&self) -> u64 {
        self.word().rotate_left(u64::BITS - MS_BITS)
    }

    fn word(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub fn set(&self, ms: Millis, small: u32) {
        self.0.store(ms.min(NEVER) | u64::from(small) << MS_BITS, Ordering::Relaxed);
    }

    pub fn set_ms(&self, ms: Millis) {
        self.set(ms, self.small());
    }

    pub fn set_small(&self, small: u32) {
        self.set(self.ms(), small);
    }
}

impl Slot {
    pub fn state(&self) -> State {
        point();
        State(self.state.load(Ordering::Acquire))
    }

    /// Has the processor fetch the slot, while the caller does something else.
    #[inline]
    pub fn fetch(&self) {
        std::hint::black_box(self.state.load(Ordering::Relaxed));
    }

    /// Publishes a state; only under the cold lock.
    pub fn publish(&self, state: State) -> State {
        point();
        State(self.state.swap(state.0, Ordering::AcqRel))
    }

    /// Changes the state if it is still what was read.
    pub fn exchange(&self, from: State, to: State) -> bool {
        point();
        self.state.compare_exchange(from.0, to.0, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// The number of the session's application; under the cold lock.
    pub fn application(&self) -> u32 {
        self.idle.small()
    }

    pub fn set_verifier(&self, verifier: [u64; 2]) {
        self.verifier[0].store(verifier[0], Ordering::Relaxed);
        self.verifier[1].store(verifier[1], Ordering::Relaxed);
    }

    pub fn verifier(&self) -> [u64; 2] {
        [self.verifier[0].load(Ordering::Relaxed), self.verifier[1].load(Ordering::Relaxed)]
    }

    /// The instant that the slot's one wheel entry stands for.
    pub fn filed_at(&self) -> Option<Millis> {
        self.filed.ms().checked_sub(1)
    }

    /// Whether the wheel may come to it too late to tell a deadline `lead` ahead.
    pub fn is_filed_late(&self, deadline: Millis, lead: Millis) -> bool {
        self.filed_at().is_none_or(|filed| filed > deadline.saturating_sub(lead))
    }

    /// Notes that instant; under the cold lock.
    pub fn file(&self, when: Option<Millis>) {
        self.filed.set_ms(when.map_or(0, |when| when + 1));
    }

    /// A touch: one look, one word written at most. `None` if it takes more than that (nothing was done), else the idle
    /// and the absolute deadline, each on its own clock. `now` is on the idle clock, `absolute_now` on the absolute one.
    #[inline]
    pub fn touch(
        &self,
        generation: u64,
        verifier: [u64; 2],
        activity: bool,
        now: Millis,
        absolute_now: Millis,
        quantum: Millis,
    ) -> Option<(Millis, Millis)> {
        let mut state = self.state();
        while state.generation() == generation && state.deadline() != FREE && self.verifies(verifier) {
            let deadline = state.deadline();
            let absolute = self.absolute.ms();
            let plain = deadline < NEVER || deadline == IN_FLIGHT;
            if now >= deadline || absolute_now >= absolute || !plain {
                return None;
            }
            let wanted = if activity && deadline != IN_FLIGHT {
                deadline::idle(now, self.idle.ms(), quantum).max(deadline)
            } else {
                deadline
            };
            // The word is the same only if slot, generation and deadline are: then what was compared was this session's.
            if wanted == deadline {
                let again = self.state();
                if again == state {
                    return Some((deadline, absolute));
                }
                state = again;
            } else if self.exchange(state, state.with(wanted)) {
                return Some((wanted, absolute));
            } else {
                state = self.state();
            }
        }
        None
    }

    /// Compares in a time that does not tell how much is alike.
    #[inline]
    pub fn verifies(&self, verifier: [u64; 2]) -> bool {
        same(self.verifier(), verifier)
    }
}

/// Whether two verifiers are one. The box keeps the compiler from comparing one half and then the other.
#[inline]
pub(super) fn same(one: [u64; 2], other: [u64; 2]) -> bool {
    std::hint::black_box((one[0] ^ other[0]) | (one[1] ^ other[1])) == 0
}

/// A slot number and a generation: where a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub index: u32,
    pub generation: u64,
}

impl Place {
    /// As 48 bits.
    pub fn locator(self) -> u64 {
        self.generation << INDEX_BITS | u64::from(self.index)
    }

    pub fn from_locator(locator: u64) -> Self {
        Self { index: (locator & ((1 << INDEX_BITS) - 1)) as u32, generation: locator >> INDEX_BITS & GENERATION_MASK }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_one_cache_line() {
        assert_eq!(std::mem::size_of::<Slot>(), 64);
        assert_eq!(std::mem::align_of::<Slot>(), 64);
    }

    #[test]
    fn a_locator_survives_its_48_bits() {
        let place = Place { index: (1 << INDEX_BITS) - 1, generation: GENERATION_MASK };
        assert!(place.locator() < 1 << 48);
        assert_eq!(Place::from_locator(place.locator()), place);
    }
}
