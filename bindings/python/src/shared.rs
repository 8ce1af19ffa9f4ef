//! What all objects of one manager share.

use std::collections::HashSet;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};

use libsession_core::Manager;
use libsession_core::sync::Mutex;
use pyo3::prelude::*;

use crate::guard::knowing;

/// A core manager with what the border knows of it.
pub struct Shared {
    core: Option<Manager>,
    asks: AtomicBool,
    deciding: Mutex<HashSet<(String, String)>>,
}

impl Shared {
    /// Around a core manager.
    pub fn new(core: Manager) -> Self {
        Self { core: Some(core), asks: AtomicBool::new(false), deciding: Mutex::default() }
    }

    /// Whether a Python callback may be asked for a decision, so that calls that ask must let other threads run.
    pub fn deciders(&self) -> bool {
        self.asks.load(Ordering::Relaxed)
    }

    /// A class that decides is going to be registered.
    pub fn add_decider(&self, name: &str, namespace: &str) {
        let mut deciding = self.deciding.lock();
        deciding.insert((name.to_owned(), namespace.to_owned()));
        self.asks.store(true, Ordering::SeqCst);
    }

    /// A class is not registered any more.
    pub fn remove_decider(&self, name: &str, namespace: &str) {
        let mut deciding = self.deciding.lock();
        deciding.remove(&(name.to_owned(), namespace.to_owned()));
        self.asks.store(!deciding.is_empty(), Ordering::SeqCst);
    }
}

impl Deref for Shared {
    type Target = Manager;

    #[allow(clippy::expect_used)]
    fn deref(&self) -> &Manager {
        self.core.as_ref().expect("a core manager is there until it is dropped")
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // The last one stops the manager's threads, which may need the interpreter to get there.
        let core = self.core.take();
        let _ = Python::try_attach(|py| py.detach(|| knowing(false, || drop(core))));
    }
}
