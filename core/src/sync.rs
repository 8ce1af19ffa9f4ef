//! Locks that are right in the child of a fork.
//!
//! They are the standard library's, which keep all they know in themselves. A queue of waiting threads that the whole
//! process shares would go into the child with the parent's threads in it, which are not there: what the child makes anew
//! would then wait for them or stumble over their stacks. A panic under a lock does not close it: what it guards is
//! changed in steps that are whole.
//!
//! With the feature `shuttle` they are shuttle's: then whoever checks schedules (`tests/schedules`) decides at each of them
//! who goes on, and nothing works outside of such a check.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{PoisonError, TryLockError};
use std::time::Instant;

#[cfg(feature = "shuttle")]
use shuttle::sync;
#[cfg(not(feature = "shuttle"))]
use std::sync;

/// What threads change without a lock.
pub mod atomic {
    pub use super::sync::atomic::{
        AtomicBool, AtomicI64, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
    };
}

/// What a thread does to itself.
pub mod thread {
    #[cfg(feature = "shuttle")]
    pub use shuttle::thread::{sleep, yield_now};
    #[cfg(not(feature = "shuttle"))]
    pub use std::thread::{sleep, yield_now};

    /// A number of the calling thread: a small one, and another thread's is most times another one.
    #[cfg(not(feature = "shuttle"))]
    #[inline]
    pub fn number() -> usize {
        use std::sync::atomic::{AtomicUsize, Ordering};
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        std::thread_local! {
            static NUMBER: usize = NEXT.fetch_add(1, Ordering::Relaxed);
        }
        NUMBER.with(|number| *number)
    }

    /// A number of the calling thread: the same in each run of one schedule.
    #[cfg(feature = "shuttle")]
    pub fn number() -> usize {
        shuttle::current::me().into()
    }

    /// How many threads run at a time, as far as the machine tells.
    pub fn cores() -> usize {
        if cfg!(feature = "shuttle") {
            return 1;
        }
        std::thread::available_parallelism().map_or(4, std::num::NonZero::get)
    }
}

#[cfg(feature = "shuttle")]
pub(crate) use shuttle::thread_local;
#[cfg(not(feature = "shuttle"))]
pub(crate) use std::thread_local;

/// Another thread may go on here: before a word is used that can't be one of [`atomic`], as other processes have it, too.
#[inline(always)]
pub(crate) fn point() {
    #[cfg(feature = "shuttle")]
    {
        atomic::AtomicBool::new(false).load(atomic::Ordering::SeqCst);
    }
}

/// Runs something while no thread of this process forks, so that a child finds it done, or not begun. It must be short, and
/// must neither fork nor call the engine.
pub fn unforked<R>(work: impl FnOnce() -> R) -> R {
    let _still = crate::fork::still();
    work()
}

/// One at a time.
#[derive(Default)]
pub struct Mutex<T: ?Sized>(sync::Mutex<T>);

/// Holds a [`Mutex`].
pub struct MutexGuard<'a, T: ?Sized>(Option<sync::MutexGuard<'a, T>>);

impl<T> Mutex<T> {
    /// A free lock.
    pub const fn new(value: T) -> Self {
        Self(sync::Mutex::new(value))
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits for the lock.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard(Some(self.0.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Has the processor fetch the lock and what lies beside it, while the caller does something else: to take a lock that is
    /// not in a cache holds up all that comes behind.
    #[inline]
    pub fn fetch(&self) {
        #[cfg(not(feature = "shuttle"))]
        std::hint::black_box(self.0.is_poisoned());
    }

    /// The lock, if it is free.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(MutexGuard(Some(guard))),
            Err(TryLockError::Poisoned(guard)) => Some(MutexGuard(Some(guard.into_inner()))),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// What it guards, of an owner.
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        match &self.0 {
            Some(guard) => guard,
            None => unreachable!("a guard is without its lock only inside of a wait"),
        }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        match &mut self.0 {
            Some(guard) => guard,
            None => unreachable!("a guard is without its lock only inside of a wait"),
        }
    }
}

/// Whether a wait ended by its time.
pub struct Waited(bool);

impl Waited {
    /// Whether the time was over.
    pub fn timed_out(&self) -> bool {
        self.0
    }
}

/// Waits for a change of what a [`Mutex`] guards.
#[derive(Debug, Default)]
pub struct Condvar(sync::Condvar);

impl Condvar {
    /// Nobody waits.
    pub const fn new() -> Self {
        Self(sync::Condvar::new())
    }

    /// Wakes one.
    pub fn notify_one(&self) {
        self.0.notify_one();
    }

    /// Wakes all.
    pub fn notify_all(&self) {
        self.0.notify_all();
    }

    /// Waits until it is woken; the lock is free meanwhile.
    pub fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        if let Some(held) = guard.0.take() {
            guard.0 = Some(self.0.wait(held).unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Waits until it is woken, or the instant has come.
    #[cfg(not(feature = "shuttle"))]
    pub fn wait_until<T>(&self, guard: &mut MutexGuard<'_, T>, until: Instant) -> Waited {
        let most = until.saturating_duration_since(Instant::now());
        let Some(held) = guard.0.take() else { return Waited(true) };
        let (held, waited) = self.0.wait_timeout(held, most).unwrap_or_else(PoisonError::into_inner);
        guard.0 = Some(held);
        Waited(waited.timed_out())
    }
}

#[cfg(feature = "shuttle")]
impl Condvar {
    /// Waits until it is woken, or the instant has come. There is no time in a schedule: it has come at once, or never does.
    pub fn wait_until<T>(&self, guard: &mut MutexGuard<'_, T>, _until: Instant) -> Waited {
        use shuttle::rand::Rng;
        let over = shuttle::rand::thread_rng().gen_bool(0.5);
        if !over {
            self.wait(guard);
        }
        Waited(over)
    }
}

/// Several readers, or one writer.
#[derive(Debug, Default)]
pub struct RwLock<T: ?Sized>(sync::RwLock<T>);

impl<T> RwLock<T> {
    /// A free lock.
    pub const fn new(value: T) -> Self {
        Self(sync::RwLock::new(value))
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Waits to read.
    pub fn read(&self) -> sync::RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits to write.
    pub fn write(&self) -> sync::RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
