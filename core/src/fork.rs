//! Whether this process is the child of a fork since a handle was made: one atomic load.

#![allow(unsafe_code)]

use std::sync::Once;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

static GENERATION: AtomicU64 = AtomicU64::new(0);
/// 0 until it is asked for.
static PROCESS: AtomicU32 = AtomicU32::new(0);
static INSTALL: Once = Once::new();

extern "C" fn in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    PROCESS.store(0, Ordering::Relaxed);
}

/// How many forks lie between the process that first asked and this one.
pub(crate) fn generation() -> u64 {
    GENERATION.load(Ordering::Relaxed)
}

/// The number of this process: the system is asked once a process.
pub(crate) fn process() -> u32 {
    match PROCESS.load(Ordering::Relaxed) {
        0 => {
            let process = std::process::id();
            PROCESS.store(process, Ordering::Relaxed);
            process
        }
        process => process,
    }
}

/// Begins to count forks. To be called before a generation is remembered.
pub(crate) fn watch() {
    INSTALL.call_once(|| {
        // SAFETY: the handler only writes atomics, which is async-signal-safe, and lives as long as the process: the
        // library is linked so that it is never unloaded. A failure (no memory) leaves forks unseen and nothing else.
        let status = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
        if status != 0 {
            log::warn!(target: "libsession", "forks can't be watched: pthread_atfork failed with {status}");
        }
    });
}
