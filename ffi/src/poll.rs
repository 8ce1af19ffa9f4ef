//! A file descriptor that is readable or not, for event loops.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;

use libsession_core::{Error, ErrorKind, Manager, Result};

/// A descriptor that is readable from when it is rung until it is hushed: an eventfd, or the end of a pipe where there is none.
pub(crate) struct Bell {
    read: OwnedFd,
    /// The other end, of a pipe.
    write: Option<OwnedFd>,
    /// Whose it is: in the child of a fork the descriptor is the parent's.
    pub epoch: u32,
}

impl Bell {
    /// Makes one that is not readable. Errors: `unavailable` without descriptors.
    pub(crate) fn new() -> Result<Self> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let bell = Self::counter();
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        let bell = Self::pipe();
        bell.map_err(|why| Error::new(ErrorKind::Unavailable, format!("no event descriptor: {why}")))
    }

    /// Makes one that rings when the manager has something to dispatch. Errors: as [`new`](Self::new).
    pub(crate) fn of(manager: &Manager) -> Result<Arc<Self>> {
        let bell = Arc::new(Self::new()?);
        let rung = Arc::clone(&bell);
        manager.set_wake(Some(Arc::new(move || rung.ring())))?;
        // What was queued before nobody rang for.
        bell.ring();
        Ok(bell)
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn counter() -> std::io::Result<Self> {
        // SAFETY: eventfd takes no pointer.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        Ok(Self { read: owned(fd)?, write: None, epoch: crate::handle::epoch() })
    }

    #[cfg(any(test, not(any(target_os = "linux", target_os = "android"))))]
    fn pipe() -> std::io::Result<Self> {
        let mut ends = [-1; 2];
        // SAFETY: room for the two descriptors that pipe writes.
        if unsafe { libc::pipe(ends.as_mut_ptr()) } != 0 {
            return Err(std::io::Error::last_os_error());
        }
        let (read, write) = (owned(ends[0])?, owned(ends[1])?);
        for end in [&read, &write] {
            let fd = end.as_raw_fd();
            // SAFETY: fcntl takes no pointer for these.
            let set = unsafe {
                libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) == 0
                    && libc::fcntl(fd, libc::F_SETFL, libc::fcntl(fd, libc::F_GETFL) | libc::O_NONBLOCK) == 0
            };
            if !set {
                return Err(std::io::Error::last_os_error());
            }
        }
        Ok(Self { read, write: Some(write), epoch: crate::handle::epoch() })
    }

    pub(crate) fn fd(&self) -> i32 {
        self.read.as_raw_fd()
    }

    /// Makes it readable; if it is, who watches its edges is told again.
    pub(crate) fn ring(&self) {
        let one = 1u64;
        let to = self.write.as_ref().unwrap_or(&self.read).as_raw_fd();
        // SAFETY: 8 bytes of a number, which is what an eventfd takes. What is full is readable already.
        unsafe { libc::write(to, (&raw const one).cast(), 8) };
    }

    /// Makes it unreadable, until it is rung again.
    pub(crate) fn hush(&self) {
        let mut room = [0u64; 64];
        // SAFETY: as much room as is said. An eventfd gives its 8 bytes at once; what has nothing says EAGAIN.
        while unsafe { libc::read(self.fd(), room.as_mut_ptr().cast(), size_of_val(&room)) }
            == size_of_val(&room) as isize
        {}
    }
}

/// A descriptor of this process alone, just made; or why there is none.
fn owned(fd: i32) -> std::io::Result<OwnedFd> {
    if fd < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: the caller has it from the system, and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Whether a descriptor is readable now.
#[cfg(test)]
pub(crate) fn readable(fd: i32) -> bool {
    let mut asked = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: one struct.
    let found = unsafe { libc::poll(&raw mut asked, 1, 0) };
    found == 1 && asked.revents & libc::POLLIN != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bell_is_readable_from_ring_to_hush_and_not_inherited_by_programs() {
        for bell in [Bell::new().expect("an eventfd"), Bell::pipe().expect("a pipe")] {
            assert!(!readable(bell.fd()));
            // More than a pipe holds: nobody waits for room.
            for _ in 0..20_000 {
                bell.ring();
            }
            assert!(readable(bell.fd()));
            bell.hush();
            assert!(!readable(bell.fd()));
            bell.hush();
            bell.ring();
            assert!(readable(bell.fd()));
            for fd in [bell.fd(), bell.write.as_ref().unwrap_or(&bell.read).as_raw_fd()] {
                // SAFETY: fcntl takes no pointer for these.
                let (own, open) = unsafe { (libc::fcntl(fd, libc::F_GETFD), libc::fcntl(fd, libc::F_GETFL)) };
                assert!(own & libc::FD_CLOEXEC != 0 && open & libc::O_NONBLOCK != 0);
            }
        }
    }
}
