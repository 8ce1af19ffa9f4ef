//! How long a thread waits for a process that holds something and does not go on: it is stopped, or hangs. What it holds
//! can't be taken from the living, so whoever waits gives up, says who it is, and nothing was changed.

use std::cell::Cell;
use std::time::Duration;

/// Of a call.
const CALL: Duration = Duration::from_secs(5);
/// Of who has the writer's word, for a slot: everybody else waits for that word.
const UNDER_THE_WORD: Duration = Duration::from_secs(1);
/// Of what is tried again by itself.
const AGAIN: Duration = Duration::from_millis(250);

thread_local! {
    static MOST: Cell<Duration> = const { Cell::new(CALL) };
    static HOLDS_UP: Cell<bool> = const { Cell::new(false) };
}

/// This thread's patience.
pub(super) fn patience() -> Duration {
    MOST.get()
}

/// Whether this thread has the writer's word: what it waits for everybody who writes waits for.
pub(super) fn holds_up() -> bool {
    HOLDS_UP.get()
}

/// While it lives this thread has less patience.
pub(super) struct Less {
    before: (Duration, bool),
    /// It stays on its thread.
    _here: std::marker::PhantomData<*const ()>,
}

impl Less {
    fn than(most: Duration) -> Self {
        let before = (MOST.get(), HOLDS_UP.get());
        MOST.set(before.0.min(most));
        Self { before, _here: std::marker::PhantomData }
    }

    /// For what holds others up meanwhile.
    pub fn under_the_word() -> Self {
        let less = Self::than(UNDER_THE_WORD);
        HOLDS_UP.set(true);
        less
    }

    /// For what is tried again by itself.
    pub fn is_tried_again() -> Self {
        Self::than(AGAIN)
    }
}

impl Drop for Less {
    fn drop(&mut self) {
        let (most, holds_up) = self.before;
        MOST.set(most);
        HOLDS_UP.set(holds_up);
    }
}
