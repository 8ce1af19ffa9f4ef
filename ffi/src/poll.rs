//! The file descriptor that is readable while there is something to dispatch.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;

use libsession_core::{Error, ErrorKind, Manager, Result};

/// Readable or not: a semaphore that is 0 or more.
pub(crate) struct Bell {
    fd: OwnedFd,
    /// Whose it is: in the child of a fork the descriptor is the parent's.
    pub epoch: u32,
}

impl Bell {
    /// Makes one that rings when the manager has something to dispatch. Errors: `unavailable` without descriptors.
    pub(crate) fn new(manager: &Manager) -> Result<Arc<Self>> {
        // SAFETY: eventfd takes no pointer; what it returns is this process's own new descriptor, or -1.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            let why = std::io::Error::last_os_error();
            return Err(Error::new(ErrorKind::Unavailable, format!("no event descriptor: {why}")));
        }
        // SAFETY: it is new and nobody else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let bell = Arc::new(Self { fd, epoch: crate::handle::epoch() });
        let rung = Arc::clone(&bell);
        manager.set_wake(Some(Arc::new(move || rung.ring())))?;
        // What was queued before nobody rang for.
        bell.ring();
        Ok(bell)
    }

    pub(crate) fn fd(&self) -> i32 {
        self.fd.as_raw_fd()
    }

    /// Makes it readable.
    pub(crate) fn ring(&self) {
        let one = 1u64;
        // SAFETY: 8 bytes of a number. A full counter is readable already.
        unsafe { libc::write(self.fd(), (&raw const one).cast(), 8) };
    }

    /// Makes it unreadable, until it is rung again.
    pub(crate) fn hush(&self) {
        let mut count = 0u64;
        // SAFETY: room for the 8 bytes that an eventfd writes. One that is not readable says EAGAIN.
        unsafe { libc::read(self.fd(), (&raw mut count).cast(), 8) };
    }
}
