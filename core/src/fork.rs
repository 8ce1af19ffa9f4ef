//! Forks: how many lie behind this process, what is made ready before one, and what the child must not keep.

#![allow(unsafe_code)]

use std::cell::{Cell, UnsafeCell};
use std::os::fd::RawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError, TryLockError, Weak};

static GENERATION: AtomicU64 = AtomicU64::new(0);
/// 0 until it is asked for.
static PROCESS: AtomicU32 = AtomicU32::new(0);
static INSTALL: Once = Once::new();

/// Something that must be made ready for a fork.
///
/// The three are called by the thread that forks, with at most one fork under way in a process, and `before` is
/// followed by exactly one of the others in each of the two processes, on the same thread (after a fork that failed, by
/// `after_in_parent`). They never fork or panic, and never wait for a thread that may be about to fork itself: what they
/// lock is never held while a callback runs. They may open, enlist and close whatever they want.
pub(crate) trait Forkable: Send + Sync {
    /// Closes what a child must not inherit, and holds what must not be torn.
    fn before(&self);

    /// Lets go what was held.
    fn after_in_parent(&self);

    /// The same in the child, where this thread is the only one, and every descriptor given to [`close_in_child`] is
    /// closed already.
    fn after_in_child(&self);
}

/// What forks must know of. Locked while the process is copied, so that the child finds it whole.
struct Known {
    enlisted: Vec<Weak<dyn Forkable>>,
    descriptors: Vec<RawFd>,
}

static KNOWN: Mutex<Known> = Mutex::new(Known { enlisted: Vec::new(), descriptors: Vec::new() });
/// Held from before a fork until after it: one at a time.
static FORKING: Mutex<()> = Mutex::new(());

thread_local! {
    /// How many forks this thread is in the midst of: more than one if a hook forks.
    static INSIDE: Cell<u32> = const { Cell::new(0) };
}

/// What one fork holds.
struct Prepared {
    known: MutexGuard<'static, Known>,
    forking: MutexGuard<'static, ()>,
    told: Vec<Arc<dyn Forkable>>,
}

struct Held(UnsafeCell<Option<Prepared>>);

// SAFETY: only the thread that holds `FORKING` touches the cell, and it is the one that drops the guards in it.
unsafe impl Sync for Held {}

static HELD: Held = Held(UnsafeCell::new(None));

extern "C" fn in_prepare() {
    if enter() > 0 {
        return;
    }
    let forking = lock(&FORKING);
    let mut told: Vec<Arc<dyn Forkable>> = Vec::new();
    let known = loop {
        let mut known = lock(&KNOWN);
        known.enlisted.retain(|it| it.strong_count() > 0);
        // Somebody may have enlisted while the others were told: the list stands still only when all were.
        let new: Vec<_> = known
            .enlisted
            .iter()
            .filter_map(Weak::upgrade)
            .filter(|it| !told.iter().any(|old| Arc::ptr_eq(old, it)))
            .collect();
        if new.is_empty() {
            break known;
        }
        drop(known);
        for it in new {
            guarded("before", || it.before());
            told.push(it);
        }
    };
    // SAFETY: this thread holds `FORKING`.
    unsafe { *HELD.0.get() = Some(Prepared { known, forking, told }) };
}

extern "C" fn in_parent() {
    if INSIDE.get() == 1 {
        // SAFETY: this thread has held `FORKING` since `in_prepare`.
        let prepared = unsafe { (*HELD.0.get()).take() };
        if let Some(Prepared { known, forking, told }) = prepared {
            drop(known);
            for it in told.iter().rev() {
                guarded("after, in the parent", || it.after_in_parent());
            }
            drop(forking);
            // What was dropped by all others meanwhile ends here, with no lock held.
            drop(told);
        }
    }
    leave();
}

extern "C" fn in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    PROCESS.store(0, Ordering::Relaxed);
    if INSIDE.get() == 1 {
        // SAFETY: this thread has held `FORKING` since `in_prepare`, and is the only one.
        let prepared = unsafe { (*HELD.0.get()).take() };
        if let Some(Prepared { mut known, forking, told }) = prepared {
            close_all(&mut known.descriptors);
            drop(known);
            for it in told.iter().rev() {
                guarded("after, in the child", || it.after_in_child());
            }
            drop(forking);
            // A last reference is not given up here: nothing of the parent's is taken apart in a child.
            told.into_iter().filter(|it| Arc::strong_count(it) == 1).for_each(std::mem::forget);
        }
    } else {
        match KNOWN.try_lock() {
            Ok(mut known) => close_all(&mut known.descriptors),
            Err(TryLockError::Poisoned(known)) => close_all(&mut known.into_inner().descriptors),
            Err(TryLockError::WouldBlock) => {}
        }
    }
    leave();
}

/// These are locks of the process: of the standard library's, whatever [`crate::sync`] has.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn enter() -> u32 {
    INSIDE.replace(INSIDE.get() + 1)
}

fn leave() {
    INSIDE.set(INSIDE.get().saturating_sub(1));
}

fn close_all(descriptors: &mut Vec<RawFd>) {
    for descriptor in descriptors.iter() {
        // SAFETY: it was open in the parent when the process was copied: whoever closes one says so under the lock that
        // was held then. Its owner knows from the generation that it is not its own any more.
        unsafe { libc::close(*descriptor) };
    }
    descriptors.clear();
}

/// A panic must not pass through the C library.
fn guarded(when: &str, hook: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(hook)).is_err() {
        log::error!(target: "libsession", "a panic {when} a fork was caught");
    }
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
        // SAFETY: the handlers live as long as the process: the library is linked so that it is never unloaded. The
        // child's one writes atomics and closes descriptors, which is async-signal-safe, and what else it does is for
        // what was enlisted, which knows that it runs in a child. A failure (no memory) leaves forks unseen and nothing
        // else.
        let status = unsafe { libc::pthread_atfork(Some(in_prepare), Some(in_parent), Some(in_child)) };
        if status != 0 {
            log::warn!(target: "libsession", "forks can't be watched: pthread_atfork failed with {status}");
        }
    });
}

/// Has it told of every fork from now on, until it is dropped.
#[allow(dead_code)]
pub(crate) fn enlist(it: Weak<dyn Forkable>) {
    still().0.enlisted.push(it);
}

/// Has a descriptor closed in the child of every fork from now on. A fork between its opening and this call leaves it
/// open in the child: where that matters, open it within [`still`].
#[allow(dead_code)]
pub(crate) fn close_in_child(descriptor: RawFd) {
    still().close_in_child(descriptor);
}

/// The descriptor is about to be closed here. Where a fork between this and the closing matters, do both within [`still`].
#[allow(dead_code)]
pub(crate) fn closed(descriptor: RawFd) {
    still().closed(descriptor);
}

/// While it lives no thread forks. To be held for a few instructions, and by nobody who forks or locks anything.
pub(crate) struct Still(MutexGuard<'static, Known>);

/// Waits until no fork is under way, and holds the next one off.
pub(crate) fn still() -> Still {
    watch();
    Still(lock(&KNOWN))
}

impl Still {
    /// [`close_in_child`].
    pub fn close_in_child(&mut self, descriptor: RawFd) {
        self.0.descriptors.push(descriptor);
    }

    /// [`closed`].
    pub fn closed(&mut self, descriptor: RawFd) {
        if let Some(at) = self.0.descriptors.iter().position(|it| *it == descriptor) {
            self.0.descriptors.swap_remove(at);
        }
    }
}

#[cfg(test)]
mod tests;
