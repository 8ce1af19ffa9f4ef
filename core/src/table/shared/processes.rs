//! Who is alive: one file, of which every participant has a byte locked by an open file description of its own. The
//! kernel frees the byte when the last descriptor is closed, however the process ends.

#![allow(unsafe_code)]

use std::fs::File;
use std::mem::ManuallyDrop;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::directory::{failed, open, prepare};
use super::layout::PARTICIPANTS;
use crate::error::{Error, ErrorKind, Result};
use crate::fork;

const NAME: &str = "proc.lock";
const LEADER: u32 = 65_535;
const SETUP: u32 = 65_534;

/// One participant's own open file description of `proc.lock`: two managers of one process have two.
pub(super) struct Processes {
    path: PathBuf,
    file: ManuallyDrop<File>,
    /// In a child of a fork the descriptor is closed, and its number may be somebody else's.
    generation: u64,
    /// The number taken; 0 for none. Locks of one description don't exclude each other: this does.
    number: AtomicU32,
    setting_up: AtomicBool,
}

/// While it lives nobody else opens the store.
pub(super) struct Setup<'a>(&'a Processes);

impl Processes {
    /// Opens the file, and makes the directory (0700) and the file (0600) if they are not there.
    ///
    /// # Errors
    /// `invalid`: no directory, one that others may write, one of another user, or one on a network file system.
    /// `unavailable`: the file system is read-only or full.
    pub fn open(dir: &Path) -> Result<Self> {
        prepare(dir)?;
        let path = dir.join(NAME);
        // A fork before the descriptor is known would leave it open in the child, and this participant alive for as
        // long as that lives.
        let mut still = fork::still();
        let file = open(dir, NAME, true).map_err(|error| failed(&path, "it can't be opened", &error))?;
        still.close_in_child(file.as_raw_fd());
        Ok(Self {
            path,
            file: ManuallyDrop::new(file),
            generation: fork::generation(),
            number: AtomicU32::new(0),
            setting_up: AtomicBool::new(false),
        })
    }

    /// Waits, at most so long, until nobody else opens the store.
    ///
    /// # Errors
    /// `unavailable`: somebody else opens it all the time.
    pub fn setup(&self, most: Duration) -> Result<Setup<'_>> {
        let until = Instant::now() + most;
        let mut pause = Duration::from_millis(1);
        loop {
            if !self.setting_up.swap(true, Ordering::Acquire) {
                match self.try_lock(SETUP) {
                    Ok(true) => return Ok(Setup(self)),
                    Ok(false) => self.setting_up.store(false, Ordering::Release),
                    Err(error) => {
                        self.setting_up.store(false, Ordering::Release);
                        return Err(error);
                    }
                }
            }
            let now = Instant::now();
            if now >= until {
                let dir = self.path.parent().unwrap_or(&self.path);
                return Err(Error::new(
                    ErrorKind::Unavailable,
                    format!(
                        "another process is opening the store {}, for {} ms by now; try again, or look for a process \
                         that hangs (it has {} open)",
                        dir.display(),
                        most.as_millis(),
                        self.path.display()
                    ),
                ));
            }
            std::thread::sleep(pause.min(until - now));
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }

    /// Takes a number from 1 to 1,024; `false` if it is another's. One at a time.
    pub fn take(&self, number: u32) -> Result<bool> {
        if !is_number(number) {
            return Err(Error::invalid(format!("a participant is a number from 1 to {PARTICIPANTS}, not {number}")));
        }
        if self.number.compare_exchange(0, number, Ordering::AcqRel, Ordering::Acquire).is_err() {
            return Err(Error::new(ErrorKind::Internal, "a participant has one number, and this one has it already"));
        }
        let taken = self.try_lock(number);
        if !matches!(taken, Ok(true)) {
            self.number.store(0, Ordering::Release);
        }
        taken
    }

    /// Gives the number back.
    pub fn give_back(&self, number: u32) {
        if self.number.compare_exchange(number, 0, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            self.unlock(number);
        }
    }

    /// Whether somebody has the number. What can't be known counts as alive: nothing is taken from somebody who may be
    /// there.
    pub fn alive(&self, number: u32) -> bool {
        if !is_number(number) {
            return false;
        }
        if self.number.load(Ordering::Acquire) == number || self.forked() {
            return true;
        }
        let mut lock = byte(number, libc::F_WRLCK);
        // SAFETY: the descriptor is open (it is this process's own) and `lock` outlives the call.
        let status = unsafe { libc::fcntl(self.file.as_raw_fd(), libc::F_OFD_GETLK, &raw mut lock) };
        status != 0 || i32::from(lock.l_type) != libc::F_UNLCK
    }

    /// Tries to become the leader.
    pub fn lead(&self) -> bool {
        self.try_lock(LEADER).unwrap_or(false)
    }

    /// Is the leader no longer.
    pub fn unlead(&self) {
        self.unlock(LEADER);
    }

    pub fn forked(&self) -> bool {
        self.generation != fork::generation()
    }

    fn try_lock(&self, at: u32) -> Result<bool> {
        if self.forked() {
            return Err(Error::new(ErrorKind::Forked, ErrorKind::Forked.description()));
        }
        let lock = byte(at, libc::F_WRLCK);
        // SAFETY: the descriptor is open (it is this process's own) and `lock` outlives the call.
        if unsafe { libc::fcntl(self.file.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) } == 0 {
            return Ok(true);
        }
        let error = std::io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EAGAIN | libc::EACCES) => Ok(false),
            Some(libc::EINVAL) => Err(Error::new(
                ErrorKind::Unavailable,
                format!(
                    "store {}: this system has no locks of open file descriptions (Linux 3.15 and newer have): {error}",
                    self.path.display()
                ),
            )),
            _ => Err(failed(&self.path, "it can't be locked", &error)),
        }
    }

    fn unlock(&self, at: u32) {
        if self.forked() {
            return;
        }
        let lock = byte(at, libc::F_UNLCK);
        // SAFETY: as above.
        let status = unsafe { libc::fcntl(self.file.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) };
        if status != 0 {
            log::error!(
                target: "libsession",
                "store {}: byte {at} can't be unlocked: {}", self.path.display(), std::io::Error::last_os_error()
            );
        }
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        let mut still = fork::still();
        if self.forked() {
            // The child's handler closed it.
            return;
        }
        // A program that is being started may have the descriptor for a moment longer: the locks go now.
        let mut all = byte(0, libc::F_UNLCK);
        all.l_len = 0;
        // SAFETY: the descriptor is open and `all` outlives the call. A failure leaves it to the closing.
        let _status = unsafe { libc::fcntl(self.file.as_raw_fd(), libc::F_OFD_SETLK, &raw const all) };
        still.closed(self.file.as_raw_fd());
        // SAFETY: nobody uses the file after this.
        unsafe { ManuallyDrop::drop(&mut self.file) };
    }
}

impl Drop for Setup<'_> {
    fn drop(&mut self) {
        self.0.unlock(SETUP);
        self.0.setting_up.store(false, Ordering::Release);
    }
}

fn is_number(number: u32) -> bool {
    number >= 1 && number as usize <= PARTICIPANTS
}

/// One byte of the file. (The widths of the fields differ from system to system.)
#[allow(clippy::unnecessary_cast)]
fn byte(at: u32, kind: i32) -> libc::flock {
    // SAFETY: it is plain numbers, of which all may be 0; the process must be 0 for these locks.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = kind as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    lock.l_start = at as libc::off_t;
    lock.l_len = 1;
    lock
}

#[cfg(test)]
mod tests;
