//! The promises of every table, kept by this one.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::spread::Spread;
use super::*;
use crate::clock::ManualClock;
use crate::table::contract::contract;

/// A directory of its own, removed with it.
pub(super) struct Dir(pub PathBuf);

impl Dir {
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // What is tried here is not the disk.
        let memory = PathBuf::from("/dev/shm");
        let root = if memory.is_dir() { memory } else { std::env::temp_dir() };
        Self(root.join(format!("lses-shared-{}-{number}", std::process::id())))
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(super) fn options() -> SharedOptions {
    SharedOptions {
        kept: String::new(),
        guest: false,
        durability: Durability::Relaxed,
        clock: Clock::Manual(ManualClock::new()),
        threads: true,
        hooks: None,
        label: "test".into(),
        dead_letters: (1000, 1 << 20),
    }
}

#[test]
fn the_shared_table_keeps_every_promise() {
    let dirs = Mutex::new(Vec::new());
    let broken = contract(&|config| {
        let dir = Dir::new();
        let table = SharedTable::open(&dir.0, config, options()).expect("a new store");
        dirs.lock().push(dir);
        table as Arc<dyn Table>
    });
    assert!(broken.is_empty(), "{} promises are broken: {broken:#?}", broken.len());
}

/// What one process promises of its own objects and its own queue.
const OF_ONE_PROCESS: [&str; 3] = [
    "attachments are kept, replaced, taken, and go out with the end",
    // The one that reaps hears it at once, the others after it.
    "an earlier deadline rings the bell, and is what is due next",
    "rows of the outbox come in the order of the ends, bounded, each with its own event",
];

#[test]
fn several_managers_keep_every_promise_together() {
    let dirs = Mutex::new(Vec::new());
    let mut broken = contract(&|config| {
        let dir = Dir::new();
        let tables = (0..3).map(|_| SharedTable::open(&dir.0, config.clone(), options()).expect("a store"));
        let spread = Spread::new(tables.collect());
        dirs.lock().push(dir);
        Arc::new(spread) as Arc<dyn Table>
    });
    broken.retain(|violation| !OF_ONE_PROCESS.contains(&violation.promise));
    assert!(broken.is_empty(), "{} promises are broken: {broken:#?}", broken.len());
}
