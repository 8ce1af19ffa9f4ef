//! A lock of one word in memory that several processes map, and bells to wait for.
//!
//! Nothing of the C library's is in it: processes of different ones may share a store.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Somebody waits. A bit, not a count: a count would be left behind by a process that dies while it waits.
const WAITED: u32 = 1;
/// The greatest number of an owner.
pub(super) const MOST: u32 = u32::MAX >> 1;
/// Looks at a lock that is held before the system is asked to wait.
const SPINS: u32 = 100;
/// How long a waiter sleeps before it asks whether the owner is alive.
const PROBE: Duration = Duration::from_millis(20);
/// How long whoever unlocks stays away, so that the one that it woke comes first.
const STEP_BACK: Duration = Duration::from_micros(20);

/// A lock: 0 free, else owner × 2 + whether somebody waits. Owners are numbers from 1 to [`MOST`]; the threads of one
/// owner exclude each other too. Not reentrant.
#[repr(transparent)]
#[derive(Default)]
pub(super) struct Word(AtomicU32);

impl Word {
    /// Waits for the lock, and tells whether it was taken over from an owner that is not alive: what the lock guards may
    /// then be half-way through a change. `alive` is asked when the lock was not free for 20 ms, and never about `me`'s
    /// rivals that hold it shorter.
    pub fn lock(&self, me: u32, alive: &dyn Fn(u32) -> bool) -> bool {
        self.lock_while(me, alive, &mut || true).unwrap_or(false)
    }

    /// The same for as long as `goes_on`, which is asked every 20 ms; `None`: it was given up.
    pub fn lock_while(&self, me: u32, alive: &dyn Fn(u32) -> bool, goes_on: &mut dyn FnMut() -> bool) -> Option<bool> {
        if self.try_lock(me) { Some(false) } else { self.contend(me, alive, goes_on) }
    }

    /// Takes the lock if it is free.
    #[inline]
    pub fn try_lock(&self, me: u32) -> bool {
        debug_assert!((1..=MOST).contains(&me), "an owner is a number from 1 to {MOST}, not {me}");
        self.0.compare_exchange(0, me << 1, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Frees the lock; wakes one that waits and lets it come first.
    #[inline]
    pub fn unlock(&self) {
        if self.0.swap(0, Ordering::Release) & WAITED != 0 {
            self.hand_over();
        }
    }

    /// Who holds it; 0 for nobody.
    pub fn owner(&self) -> u32 {
        self.0.load(Ordering::Acquire) >> 1
    }

    #[cold]
    fn contend(&self, me: u32, alive: &dyn Fn(u32) -> bool, goes_on: &mut dyn FnMut() -> bool) -> Option<bool> {
        for _ in 0..SPINS {
            match self.0.load(Ordering::Relaxed) {
                0 if self.try_lock(me) => return Some(false),
                seen if seen & WAITED != 0 => break,
                _ => std::hint::spin_loop(),
            }
        }
        // Who has waited does not know whether others still do: the bit stays with the lock.
        let mine = me << 1 | WAITED;
        let mut suspect = 0;
        let mut probe = Instant::now();
        loop {
            let seen = self.0.load(Ordering::Relaxed);
            if seen >> 1 == 0 {
                if self.exchange(seen, mine) {
                    return Some(false);
                }
                continue;
            }
            if seen & WAITED == 0 && !self.exchange(seen, seen | WAITED) {
                continue;
            }
            let now = Instant::now();
            if suspect != seen >> 1 {
                (suspect, probe) = (seen >> 1, now + PROBE);
            } else if now >= probe {
                if !alive(suspect) && self.exchange(seen | WAITED, mine) {
                    return Some(true);
                }
                if !goes_on() {
                    return None;
                }
                probe = now + PROBE;
            }
            wait(&self.0, seen | WAITED, probe.saturating_duration_since(now));
        }
    }

    fn exchange(&self, from: u32, to: u32) -> bool {
        self.0.compare_exchange(from, to, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    #[cold]
    fn hand_over(&self) {
        if wake(&self.0, 1) == 0 {
            return;
        }
        let since = Instant::now();
        while self.0.load(Ordering::Relaxed) == 0 && since.elapsed() < STEP_BACK {
            std::thread::yield_now();
        }
    }
}

/// Waits until the word is woken, or for `most`, unless it is something else than `seen` already. May return early:
/// look at the word again.
pub(super) fn wait(word: &AtomicU32, seen: u32, most: Duration) {
    #[cfg(target_os = "linux")]
    {
        use rustix::thread::futex;
        let most = futex::Timespec {
            tv_sec: most.as_secs().try_into().unwrap_or(i32::MAX.into()),
            tv_nsec: most.subsec_nanos().into(),
        };
        // Not the private kind: the waker may be another process, with the word at another address.
        let _woken_or_over = futex::wait(word, futex::Flags::empty(), seen, Some(&most));
    }
    #[cfg(not(target_os = "linux"))]
    {
        let until = Instant::now() + most;
        while word.load(Ordering::Acquire) == seen && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1).min(most));
        }
    }
}

/// Wakes everybody who waits for the word.
pub(super) fn wake_all(word: &AtomicU32) {
    wake(word, i32::MAX as u32);
}

/// How many were woken.
fn wake(word: &AtomicU32, most: u32) -> usize {
    #[cfg(target_os = "linux")]
    return rustix::thread::futex::wake(word, rustix::thread::futex::Flags::empty(), most).unwrap_or(0);
    // Nobody sleeps longer than a moment there.
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (word, most);
        0
    }
}

#[cfg(test)]
mod tests;
