//! What waits for the disk: the sync that many callers share, and a thread that syncs and moves the log of the books, so that
//! the keeper, whom the others wait for, never does.

use std::sync::Weak;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::thread::JoinHandle;

use super::SharedTable;
use super::patience::Less;
use crate::error::{Error, ErrorKind, Result};
use crate::event::dispatch_config::start_thread;
use crate::sync::{Condvar, Mutex};

/// The disk as one process waits for it.
#[derive(Default)]
pub(super) struct Disk {
    /// Somebody syncs.
    syncing: Mutex<bool>,
    synced: Condvar,
    due: Mutex<Due>,
    called: Condvar,
    started: AtomicBool,
    /// A duty could not be done.
    failing: AtomicBool,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the thread is to do.
#[derive(Clone, Copy, Default)]
pub(super) struct Due {
    pub sync: bool,
    pub checkpoint: bool,
    pub stop: bool,
}

impl Due {
    pub fn any(self) -> bool {
        self.sync || self.checkpoint
    }
}

/// Who syncs; over when it is dropped.
struct Syncs<'a>(&'a Disk);

impl Drop for Syncs<'_> {
    fn drop(&mut self) {
        *self.0.syncing.lock() = false;
        self.0.synced.notify_all();
    }
}

impl SharedTable {
    /// Waits until all commits so far are on the disk, if that is wanted. Many callers share one sync: who comes while one is
    /// under way waits for that and for one more, which is for all who came meanwhile.
    pub(super) fn sync(&self, wanted: bool) -> Result<()> {
        let writing = &self.map.head().writing;
        if !wanted {
            let behind = writing.committed.load(Relaxed) > writing.synced.load(Relaxed);
            if self.options.threads && (behind || self.map.head().denials.pending()) {
                self.keeper_is_due();
            }
            return Ok(());
        }
        let until = writing.committed.load(Acquire);
        let disk = &self.disk;
        let mut syncing = disk.syncing.lock();
        loop {
            if writing.synced.load(Acquire) >= until {
                return Ok(());
            }
            // What the kernel could not write once it does not tell again: the next sync would come out well.
            if self.map.head().poisoned.load(Acquire) != 0 {
                return Err(Error::new(
                    ErrorKind::Uncertain,
                    "the store could not be synced to its disk: what was committed last may be lost if the machine stops; \
                     check the disk, then close every manager that has the store open, and open it again",
                ));
            }
            if !*syncing {
                break;
            }
            disk.synced.wait(&mut syncing);
        }
        *syncing = true;
        drop(syncing);
        let _syncs = Syncs(disk);
        let target = writing.committed.load(Acquire);
        match self.books.sync() {
            Ok(()) => {
                writing.synced.fetch_max(target, AcqRel);
                Ok(())
            }
            Err(error) => {
                // A store that is closed has not lost anything.
                if error.kind() == ErrorKind::Uncertain {
                    self.map.head().poisoned.store(1, Release);
                }
                Err(error)
            }
        }
    }

    /// Does what waits for the disk, or has its thread do it.
    pub(super) fn use_disk(&self, due: Due) -> Result<()> {
        if !due.any() {
            return Ok(());
        }
        if !self.options.threads || self.clock.manual().is_some() || !self.start_disk_thread() {
            return self.do_due(due);
        }
        let mut more = self.disk.due.lock();
        more.sync |= due.sync;
        more.checkpoint |= due.checkpoint;
        drop(more);
        self.disk.called.notify_one();
        Ok(())
    }

    fn do_due(&self, due: Due) -> Result<()> {
        let synced = self.sync(due.sync);
        let moved = if due.checkpoint { self.checkpoint() } else { Ok(()) };
        synced.and(moved)
    }

    /// Starts the thread at the first use; tells whether there is one.
    fn start_disk_thread(&self) -> bool {
        let disk = &self.disk;
        if disk.started.load(Acquire) {
            return true;
        }
        let mut held = disk.thread.lock();
        if held.is_none() && !disk.due.lock().stop {
            let (table, disk) = (self.weak.clone(), disk.clone());
            match start_thread(self.options.hooks.as_ref(), "lses-disk", move || run(&table, &disk)) {
                Ok(thread) => *held = Some(thread),
                Err(error) => {
                    ::log::error!(target: "libsession", "the thread lses-disk can't be started: {error}");
                    return false;
                }
            }
        }
        disk.started.store(true, Release);
        true
    }

    pub(super) fn stop_disk_thread(&self) {
        self.disk.due.lock().stop = true;
        self.disk.called.notify_one();
        let thread = self.disk.thread.lock().take();
        if let Some(thread) = thread
            && thread.thread().id() != std::thread::current().id()
            && thread.join().is_err()
        {
            ::log::error!(target: "libsession", "the thread lses-disk had panicked");
        }
    }
}

/// The thread.
fn run(table: &Weak<SharedTable>, disk: &Disk) {
    // It is tried again by itself.
    let _less = Less::is_tried_again();
    loop {
        let due = {
            let mut due = disk.due.lock();
            while !due.any() && !due.stop {
                disk.called.wait(&mut due);
            }
            if due.stop {
                return;
            }
            std::mem::take(&mut *due)
        };
        let Some(strong) = table.upgrade() else { return };
        match strong.do_due(due) {
            Ok(()) => {
                if disk.failing.swap(false, AcqRel) {
                    ::log::info!(target: "libsession", "the store is synced and its log is moved again");
                }
            }
            Err(error) => {
                strong.disk_failed();
                if !disk.failing.swap(true, AcqRel) {
                    ::log::error!(target: "libsession", "the store can't be synced, or its log moved, now: {}", error.message());
                }
            }
        }
    }
}
