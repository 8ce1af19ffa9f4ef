//! What happens at the end of the process: managers are closed, and no callback begins after that.

use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::handle::{lock, tables};

/// How long the end of the process waits for callbacks.
const GRACE: Duration = Duration::from_secs(1);

static EXITING: AtomicBool = AtomicBool::new(false);
static RUNNING: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static INSIDE: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Whether the process ends: no code of the host is called any more.
pub(crate) fn exiting() -> bool {
    EXITING.load(Ordering::SeqCst)
}

/// Stands while a callback of the host runs.
pub(crate) struct Running(());

/// Begins a callback, unless the process ends.
pub(crate) fn enter() -> Option<Running> {
    RUNNING.fetch_add(1, Ordering::SeqCst);
    INSIDE.set(INSIDE.get() + 1);
    let running = Running(());
    (!exiting()).then_some(running)
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.fetch_sub(1, Ordering::SeqCst);
        INSIDE.set(INSIDE.get().saturating_sub(1));
    }
}

/// In the child of a fork: the callbacks of other threads are not there.
pub(crate) fn forked() {
    RUNNING.store(INSIDE.get(), Ordering::SeqCst);
}

/// Registers the hook, once.
pub(crate) fn watch() {
    static WATCH: Once = Once::new();
    WATCH.call_once(|| {
        // SAFETY: the library is never unloaded, so the function is there when the process ends.
        unsafe {
            libc::atexit(at_exit);
            #[cfg(any(target_os = "linux", target_os = "freebsd"))]
            at_quick_exit(at_exit);
        }
    });
}

#[cfg(any(target_os = "linux", target_os = "freebsd"))]
unsafe extern "C" {
    fn at_quick_exit(hook: extern "C" fn()) -> libc::c_int;
}

extern "C" fn at_exit() {
    let inside = INSIDE.get();
    let closed = std::panic::catch_unwind(|| {
        // A process that forked while another thread held this lock ends without closing.
        let open: Vec<_> = match tables().open.try_lock() {
            Ok(open) => open.iter().filter_map(|open| open.upgrade()).collect(),
            Err(_) => Vec::new(),
        };
        let until = Instant::now() + GRACE;
        for open in open {
            if !open.core.is_closed() {
                open.core.close(until.saturating_duration_since(Instant::now()));
            }
        }
        EXITING.store(true, Ordering::SeqCst);
        while RUNNING.load(Ordering::SeqCst) > inside && Instant::now() < until {
            thread::sleep(Duration::from_millis(1));
        }
    });
    EXITING.store(true, Ordering::SeqCst);
    drop(closed);
}

/// Remembers a manager until it is gone.
pub(crate) fn remember(open: &std::sync::Arc<crate::manager::Open>) {
    let mut all = lock(&tables().open);
    all.retain(|one| one.strong_count() > 0);
    all.push(std::sync::Arc::downgrade(open));
}
