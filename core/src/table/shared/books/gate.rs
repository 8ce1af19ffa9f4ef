//! The gate that a fork closes: nobody is inside of the books of this process while it is copied.
//!
//! One word and no lock, so that a child finds it whole.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Set while a fork is under way; below it, how many are inside.
const FORKING: u32 = 1 << 31;
/// How long somebody waits before looking again: a fork takes about as long.
const PAUSE: Duration = Duration::from_micros(50);

static GATE: AtomicU32 = AtomicU32::new(0);

thread_local! {
    /// How often this thread is inside: it can't wait for a fork that waits for it.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Somebody inside; stays with its thread.
pub(super) struct Inside(PhantomData<*const ()>);

/// Goes in; waits while a fork is under way.
pub(super) fn enter() -> Inside {
    let depth = DEPTH.get();
    DEPTH.set(depth + 1);
    if depth == 0 {
        pass();
    }
    Inside(PhantomData)
}

fn pass() {
    loop {
        let word = GATE.load(Ordering::Relaxed);
        if word & FORKING != 0 {
            std::thread::sleep(PAUSE);
        } else if GATE.compare_exchange_weak(word, word + 1, Ordering::Acquire, Ordering::Relaxed).is_ok() {
            return;
        }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let depth = DEPTH.get() - 1;
        DEPTH.set(depth);
        if depth == 0 {
            GATE.fetch_sub(1, Ordering::Release);
        }
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
