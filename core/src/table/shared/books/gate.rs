//! The gate that a fork closes: nobody is inside of the books of this process while it is copied.
//!
//! One word and no lock, so that a child finds it whole.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Set while a fork is under way; below it, how many are inside.
const FORKING: u32 = 1 << 31;
/// How long somebody waits before looking again: a fork takes about as long.
const PAUSE: Duration = Duration::from_micros(50);

static GATE: AtomicU32 = AtomicU32::new(0);

/// Somebody inside.
pub(super) struct Inside(());

/// Goes in; waits while a fork is under way.
pub(super) fn enter() -> Inside {
    loop {
        let word = GATE.load(Ordering::Relaxed);
        if word & FORKING == 0
            && GATE.compare_exchange_weak(word, word + 1, Ordering::Acquire, Ordering::Relaxed).is_ok()
        {
            return Inside(());
        }
        if word & FORKING != 0 {
            std::thread::sleep(PAUSE);
        }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        GATE.fetch_sub(1, Ordering::Release);
    }
}

/// Closes the gate and waits until nobody is inside.
pub(super) fn close() {
    GATE.fetch_or(FORKING, Ordering::AcqRel);
    while GATE.load(Ordering::Acquire) != FORKING {
        std::thread::sleep(PAUSE);
    }
}

/// Opens the gate, in the parent and in the child.
pub(super) fn open() {
    GATE.fetch_and(!FORKING, Ordering::AcqRel);
}
