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
}

/// This thread's patience.
pub(super) fn patience() -> Duration {
    MOST.get()
}

/// While it lives this thread has less patience.
pub(super) struct Less {
    before: Duration,
    /// It stays on its thread.
    _here: std::marker::PhantomData<*const ()>,
}

impl Less {
    fn than(most: Duration) -> Self {
        let before = MOST.get();
        MOST.set(before.min(most));
        Self { before, _here: std::marker::PhantomData }
    }

    /// For what holds others up meanwhile.
    pub fn under_the_word() -> Self {
        Self::than(UNDER_THE_WORD)
    }

    /// For what is tried again by itself.
    pub fn is_tried_again() -> Self {
        Self::than(AGAIN)
    }
}

impl Drop for Less {
    fn drop(&mut self) {
        MOST.set(self.before);
    }
}
