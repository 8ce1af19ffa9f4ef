//! Calls that came to something and are about to tell it: a close waits for them, so that what was granted in its very moment
//! is handed over, or given back, while there is a table to give it back to.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Engine;
use crate::sync::atomic::{AtomicU64, Ordering};

/// How often a close looks whether they have told.
const LOOK: Duration = Duration::from_millis(1);

/// How many those of one manager are.
#[derive(Default)]
pub(crate) struct Granted(AtomicU64);

crate::sync::thread_local! {
    /// The managers that this thread is about to tell something of.
    static HERE: RefCell<Vec<Arc<Engine>>> = const { RefCell::new(Vec::new()) };
}

/// While it lives a close waits, but one that this thread calls.
pub(super) struct Tells {
    /// How many were here before.
    before: usize,
    /// It stays on its thread.
    _here: PhantomData<*const ()>,
}

impl Drop for Tells {
    fn drop(&mut self) {
        told(self.before);
    }
}

/// For borders: what this thread tells is handed over. Whatever comes now is the host's own, and no close waits for it.
pub fn handed_over() {
    told(0);
}

fn told(before: usize) {
    let told = HERE.try_with(|here| {
        let mut here = here.borrow_mut();
        if here.len() > before { here.split_off(before) } else { Vec::new() }
    });
    // Under no borrow: it may be the last that knows of its manager.
    for engine in told.unwrap_or_default() {
        engine.granted.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Engine {
    /// From here on until it is dropped this thread may be granted something, and tells it. To be taken before it is looked
    /// whether the manager is open: the close looks here after it said that it is not.
    pub(super) fn tells(self: &Arc<Self>) -> Tells {
        let before = HERE.try_with(|here| {
            let mut here = here.borrow_mut();
            self.granted.0.fetch_add(1, Ordering::SeqCst);
            here.push(self.clone());
            here.len() - 1
        });
        crate::sync::atomic::fence(Ordering::SeqCst);
        // A thread that ends is not waited for.
        Tells { before: before.unwrap_or(usize::MAX), _here: PhantomData }
    }

    /// Waits until all other threads have told what they were granted. The manager is not open any more.
    pub(super) fn wait_told(self: &Arc<Self>, until: Instant) {
        let own = HERE.try_with(|here| here.borrow().iter().filter(|engine| Arc::ptr_eq(engine, self)).count());
        let own = own.unwrap_or(0) as u64;
        crate::sync::atomic::fence(Ordering::SeqCst);
        while self.granted.0.load(Ordering::SeqCst) > own && Instant::now() < until {
            std::thread::sleep(LOOK);
        }
    }
}
