//! Belt locks: what keeps SQLite's log alive while this process has the books open.
//!
//! SQLite's locks belong to the process, are not inherited by a child and vanish when any descriptor of the file is closed
//! by anybody in the process: another copy of SQLite would then believe itself alone and delete the log under us. So the
//! bytes by which it sees that somebody is there are locked once more, shared, by descriptors whose locks are their own
//! (OFD locks). Taken after SQLite's first read, so that they don't hide from it that it is the first after a crash.

#![allow(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{IntoRawFd as _, RawFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use super::connect::Desk;
use super::{FILE, gate};
use crate::error::Result;
use crate::fork::{self, Forkable};
use crate::sync::{Mutex, MutexGuard};

/// The shared range of SQLite's lock bytes in the file.
const MAIN: (i64, i64) = (0x4000_0002, 510);
/// The byte of its shared memory that tells whether anybody uses it.
const SHM: (i64, i64) = (128, 1);

/// A file, whatever its name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct FileId {
    dev: u64,
    ino: u64,
}

impl FileId {
    pub fn of(path: &Path) -> io::Result<Self> {
        std::fs::metadata(path).map(|file| Self { dev: file.dev(), ino: file.ino() })
    }
}

/// A file that this process has open.
struct Entry {
    file: FileId,
    desks: Vec<Weak<Desk>>,
    belt: Option<Belt>,
}

/// Everything that is open in this process: descriptors of one file are closed only when nobody uses it any more.
#[derive(Default)]
pub(super) struct Files(Vec<Entry>);

static FILES: Mutex<Files> = Mutex::new(Files(Vec::new()));

/// The files of this process. To be asked for inside of the gate.
pub(super) fn files() -> MutexGuard<'static, Files> {
    FILES.lock()
}

impl Files {
    fn entry(&mut self, file: FileId) -> Option<&mut Entry> {
        self.0.iter_mut().find(|entry| entry.file == file)
    }

    /// A manager opened the file.
    pub fn join(&mut self, file: FileId, desk: &Arc<Desk>) {
        match self.entry(file) {
            Some(entry) => entry.desks.push(Arc::downgrade(desk)),
            None => self.0.push(Entry { file, desks: vec![Arc::downgrade(desk)], belt: None }),
        }
    }

    /// Takes the belt of a file, if it is not held.
    pub fn hold(&mut self, file: FileId, dir: &Path) -> Result<()> {
        if let Some(entry) = self.entry(file)
            && entry.belt.is_none()
        {
            let taken = Belt::take(dir);
            entry.belt =
                Some(taken.map_err(|error| super::super::directory::failed(dir, "its files can't be locked", &error))?);
        }
        Ok(())
    }

    /// A manager is about to close the file; tells whether it was the last of this process.
    pub fn leave(&mut self, file: FileId, desk: &Arc<Desk>) -> bool {
        let Some(entry) = self.entry(file) else { return false };
        entry.desks.retain(|other| other.strong_count() > 0 && !std::ptr::eq(other.as_ptr(), Arc::as_ptr(desk)));
        entry.desks.is_empty()
    }

    /// Frees the belt's locks; its descriptors stay open.
    pub fn unlock(&mut self, file: FileId) {
        if let Some(belt) = self.entry(file).and_then(|entry| entry.belt.as_ref()) {
            belt.unlock();
        }
    }

    /// Nobody in this process uses the file any more: its descriptors may be closed.
    pub fn forget(&mut self, file: FileId) {
        if let Some(at) = self.0.iter().position(|entry| entry.file == file && entry.desks.is_empty())
            && let Some(belt) = self.0.swap_remove(at).belt
        {
            belt.close();
        }
    }

    fn desks(&self) -> Vec<Arc<Desk>> {
        self.0.iter().flat_map(|entry| &entry.desks).filter_map(Weak::upgrade).collect()
    }
}

/// Two descriptors, closed on purpose only.
struct Belt {
    main: RawFd,
    shm: RawFd,
}

impl Belt {
    fn take(dir: &Path) -> io::Result<Self> {
        // Between the opening and the note that a child is to close them no thread forks.
        let mut still = fork::still();
        let open = |name: &str| OpenOptions::new().read(true).write(true).open(dir.join(name));
        let main = open(FILE)?.into_raw_fd();
        still.close_in_child(main);
        let shm = match open(&format!("{FILE}-shm")) {
            Ok(file) => file.into_raw_fd(),
            // The first one stays open: closing it would take SQLite's locks away.
            Err(error) => return Err(error),
        };
        still.close_in_child(shm);
        drop(still);
        let belt = Self { main, shm };
        lock(belt.main, MAIN, libc::F_RDLCK)?;
        lock(belt.shm, SHM, libc::F_RDLCK)?;
        Ok(belt)
    }

    fn unlock(&self) {
        for (descriptor, range) in [(self.main, MAIN), (self.shm, SHM)] {
            if let Err(error) = lock(descriptor, range, libc::F_UNLCK) {
                log::warn!(target: "libsession", "a lock of the books could not be freed: {error}");
            }
        }
    }

    fn close(self) {
        let mut still = fork::still();
        for descriptor in [self.main, self.shm] {
            still.closed(descriptor);
            // SAFETY: it is this belt's own, and nobody uses it afterwards.
            drop(unsafe { <File as std::os::fd::FromRawFd>::from_raw_fd(descriptor) });
        }
    }
}

fn lock(descriptor: RawFd, (start, len): (i64, i64), kind: libc::c_int) -> io::Result<()> {
    // SAFETY: all bits zero is a valid `flock`.
    let mut range: libc::flock = unsafe { std::mem::zeroed() };
    range.l_type = kind as libc::c_short;
    range.l_whence = libc::SEEK_SET as libc::c_short;
    range.l_start = start as libc::off_t;
    range.l_len = len as libc::off_t;
    // SAFETY: the descriptor is open, and `range` outlives the call.
    match unsafe { libc::fcntl(descriptor, libc::F_OFD_SETLK, &range) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// All books of this process, when it forks.
struct AtFork;

impl Forkable for AtFork {
    /// Nobody is in the books afterwards, and SQLite has no descriptor that a child could inherit. The belts stay.
    fn before(&self) {
        gate::close();
        for desk in files().desks() {
            desk.hang_up();
        }
    }

    fn after_in_parent(&self) {
        gate::open();
    }

    /// The belts' descriptors are closed here; it takes its own when it needs them.
    fn after_in_child(&self) {
        for entry in &mut files().0 {
            entry.belt = None;
        }
        gate::open();
    }
}

/// Has the books told of forks, from the first opening on.
pub(super) fn enlist() {
    static ENLISTED: AtomicBool = AtomicBool::new(false);
    // Two threads at once enlist it twice, which is no harm; a lock would not be free in a child that is copied now.
    if !ENLISTED.load(Ordering::Acquire) {
        let at_fork = Arc::new(AtFork);
        let weak: Weak<AtFork> = Arc::downgrade(&at_fork);
        std::mem::forget(at_fork);
        fork::enlist(weak);
        ENLISTED.store(true, Ordering::Release);
    }
}
