//! The library's own threads take no signals of the host.

use std::mem::MaybeUninit;
use std::ptr;

use libsession_core::ThreadHooks;

/// Blocks all signals on every thread of the library.
pub(crate) struct Quiet;

impl ThreadHooks for Quiet {
    fn around_life(&self, body: &mut dyn FnMut()) {
        signals_blocked(body);
    }

    fn around_start(&self, body: &mut dyn FnMut()) {
        signals_blocked(body);
    }

    fn around_wait(&self, body: &mut dyn FnMut()) {
        body();
    }
}

/// Runs `body` with all signals blocked: threads that it starts begin with them blocked.
pub(crate) fn signals_blocked<R>(body: impl FnOnce() -> R) -> R {
    struct Restore(Option<libc::sigset_t>);
    impl Drop for Restore {
        fn drop(&mut self) {
            if let Some(old) = &self.0 {
                // SAFETY: `old` is a set that pthread_sigmask wrote.
                unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, old, ptr::null_mut()) };
            }
        }
    }
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    let mut old = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset initialises `all`; `old` is used only if pthread_sigmask said that it wrote it.
    let restore = unsafe {
        libc::sigfillset(all.as_mut_ptr());
        let status = libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), old.as_mut_ptr());
        Restore((status == 0).then(|| old.assume_init()))
    };
    let result = body();
    drop(restore);
    result
}
