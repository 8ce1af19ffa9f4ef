//! A ticket: sees and cancels a wait for units from outside of the call that waits.

use std::sync::{Arc, Weak};

use crate::engine::Engine;
use crate::error::Result;
use crate::sync::Mutex;
use crate::table::Wake;

/// Stands for one wait in the queue of a pool: given to a creation or a login with [`QueueOptions`], it tells the position
/// and cancels the wait.
///
/// A clone is the same ticket. It serves one wait after the other; of two at once it knows the later one.
///
/// Threads: every call from any thread at any time.
#[derive(Clone, Default)]
pub struct Ticket(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    cancelled: bool,
    /// The wait that goes on: number, engine, pool, place.
    wait: Option<Wait>,
}

struct Wait {
    engine: Weak<Engine>,
    pool: u32,
    place: u64,
    cancel: Wake,
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
    /// whose units are being given at this moment may still succeed.
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

    /// How many come first, plus one; `None` if nothing waits with this ticket. Errors: the store failed.
    pub fn position(&self) -> Result<Option<u64>> {
        let wait = {
            let state = self.0.lock();
            state.wait.as_ref().and_then(|wait| Some((wait.engine.upgrade()?, wait.pool, wait.place)))
        };
        let Some((engine, pool, place)) = wait else { return Ok(None) };
        engine.table.position(pool, place)
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.0.lock().cancelled
    }

    /// A wait began; `false` if it is cancelled already.
    pub(crate) fn begin(&self, engine: Weak<Engine>, pool: u32, place: u64, cancel: Wake) -> bool {
        let mut state = self.0.lock();
        state.wait = Some(Wait { engine, pool, place, cancel });
        !state.cancelled
    }

    /// It is over.
    pub(crate) fn end(&self, place: u64) {
        let mut state = self.0.lock();
        // Dropped after the lock is released.
        let _over = state.wait.take_if(|wait| wait.place == place);
        drop(state);
    }
}
