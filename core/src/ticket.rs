//! A ticket: sees and cancels a wait from outside of the call that waits.

use std::sync::{Arc, Weak};

use crate::engine::Engine;
use crate::error::Result;
use crate::sync::Mutex;
use crate::table::Wake;

/// Stands for one wait, in the queue of a pool or for a session's lock: given to a creation or a login with [`QueueOptions`], or
/// to a begin with [`BeginOptions`], it cancels the wait, and tells the position in the queue.
///
/// [`QueueOptions`]: crate::QueueOptions
/// [`BeginOptions`]: crate::BeginOptions
///
/// A clone is the same ticket. It serves one wait after the other; of two at once it knows the later one.
///
/// Threads: every call from any thread at any time.
#[derive(Clone, Default)]
pub struct Ticket(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    cancelled: bool,
    /// The number of the last wait.
    last: u64,
    /// The wait that goes on.
    wait: Option<Wait>,
}

struct Wait {
    number: u64,
    /// In the queue of a pool; a lock has none.
    place: Option<Place>,
    cancel: Wake,
}

/// A place in the queue of a pool.
#[derive(Clone)]
pub(crate) struct Place {
    pub engine: Weak<Engine>,
    pub pool: u32,
    pub place: u64,
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ticket").field("waits", &self.waits()).finish()
    }
}

impl Ticket {
    /// A ticket that nothing waits with yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancels the wait, which then fails with `cancelled`; one that has not begun yet fails as soon as it would wait. A wait
    /// whose units or lock are being given at this moment may still succeed.
    pub fn cancel(&self) {
        let cancel = {
            let mut state = self.0.lock();
            state.cancelled = true;
            state.wait.as_ref().map(|wait| wait.cancel.clone())
        };
        if let Some(cancel) = cancel {
            cancel();
        }
    }

    /// Whether a call waits with this ticket now.
    pub fn waits(&self) -> bool {
        self.0.lock().wait.is_some()
    }

    /// How many come first, plus one; `None` if nothing waits for units with this ticket. Errors: the store failed.
    pub fn position(&self) -> Result<Option<u64>> {
        let place = self.0.lock().wait.as_ref().and_then(|wait| wait.place.clone());
        let Some(place) = place else { return Ok(None) };
        let Some(engine) = place.engine.upgrade() else { return Ok(None) };
        engine.table.position(place.pool, place.place)
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.0.lock().cancelled
    }

    /// A wait began; its number, and whether it is cancelled already.
    pub(crate) fn begin(&self, place: Option<Place>, cancel: Wake) -> (u64, bool) {
        let mut state = self.0.lock();
        state.last += 1;
        let number = state.last;
        // Dropped after the lock is released.
        let _before = state.wait.replace(Wait { number, place, cancel });
        let cancelled = state.cancelled;
        drop(state);
        (number, cancelled)
    }

    /// It is over.
    pub(crate) fn end(&self, number: u64) {
        let mut state = self.0.lock();
        // Dropped after the lock is released.
        let _over = state.wait.take_if(|wait| wait.number == number);
        drop(state);
    }
}
