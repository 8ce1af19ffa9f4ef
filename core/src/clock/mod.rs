//! Time: the system's clock, the manual clock of tests, and the timers that run on either.
//!
//! Engine time is milliseconds since the clock began, on a clock that no wall clock step moves and that stands still
//! while the machine is suspended. What was spent suspended is kept apart: it counts for absolute deadlines only.

mod manual;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use crate::sync::Mutex;
use rustix::time::{ClockId, clock_gettime};

pub(crate) use self::manual::Driven;
pub use self::manual::ManualClock;
pub(crate) use self::manual::ManualWords;

/// Milliseconds of engine time.
pub type Millis = u64;

/// No deadline: later than any instant.
pub const NEVER: Millis = (1 << 42) - 1;

/// The longest timeout: 100 years.
pub const MAX_TIMEOUT: Duration = Duration::from_secs(100 * 366 * 86_400);

/// Whole milliseconds of a duration, rounded up, at most [`NEVER`].
pub(crate) fn millis(duration: Duration) -> Millis {
    let ms = duration.as_nanos().div_ceil(1_000_000);
    u64::try_from(ms).unwrap_or(NEVER).min(NEVER)
}

/// One reading of the clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Engine time: stands still in suspend.
    pub ms: Millis,
    /// What was spent suspended since the clock began; `ms + suspended` is the time of absolute deadlines.
    pub suspended: Millis,
}

impl Now {
    /// The time that absolute deadlines run on.
    pub fn absolute(self) -> Millis {
        self.ms.saturating_add(self.suspended).min(NEVER)
    }
}

/// Where a manager's time comes from.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The operating system's clocks.
    System(Arc<SystemClock>),
    /// Stands still until told.
    Manual(ManualClock),
}

impl Default for Clock {
    fn default() -> Self {
        Self::System(Arc::new(SystemClock::new()))
    }
}

impl Clock {
    /// Now. A few nanoseconds; the system's reading is coarse (a few milliseconds).
    pub fn now(&self) -> Now {
        match self {
            Self::System(clock) => clock.now(),
            Self::Manual(clock) => clock.now(),
        }
    }

    /// Now, and the wall clock beside it: a stepped one is seen within a second.
    pub(crate) fn both(&self) -> (Now, i64) {
        match self {
            Self::System(clock) => {
                let now = clock.now();
                let ms = i64::try_from(now.ms).unwrap_or(i64::MAX);
                (now, clock.wall.load(Ordering::Relaxed).saturating_add(ms))
            }
            Self::Manual(clock) => (clock.now(), clock.wall_ms()),
        }
    }

    /// Wall clock, milliseconds since 1970, for display and persistence only.
    pub fn wall_ms(&self) -> i64 {
        match self {
            Self::System(_) => read(ClockId::RealtimeCoarse),
            Self::Manual(clock) => clock.wall_ms(),
        }
    }

    /// The manual clock, if it is one.
    pub fn manual(&self) -> Option<&ManualClock> {
        match self {
            Self::System(_) => None,
            Self::Manual(clock) => Some(clock),
        }
    }

    /// The quantum of idle deadlines: 50 ms at most, 1 ms on a manual clock.
    pub(crate) fn quantum(&self) -> Millis {
        match self {
            Self::System(_) => 32,
            Self::Manual(_) => 1,
        }
    }
}

/// The operating system's clocks, read coarsely.
#[derive(Debug)]
pub struct SystemClock {
    base_ms: i64,
    base_gap: i64,
    gap: AtomicI64,
    /// Wall time less engine time.
    wall: AtomicI64,
    /// When both were read.
    read_at: AtomicU64,
}

impl SystemClock {
    fn new() -> Self {
        let (base_ms, base_gap) = Self::bases(1, 0);
        Self::based(base_ms, base_gap)
    }

    /// The bases of a clock that shows this time now: the same in all processes until the machine boots again.
    pub(crate) fn bases(ms: Millis, suspended: Millis) -> (i64, i64) {
        let before = |millis: Millis| i64::try_from(millis).unwrap_or(i64::MAX);
        let monotonic = read(ClockId::Monotonic);
        let gap = read(ClockId::Boottime) - monotonic;
        (monotonic - before(ms), gap - before(suspended))
    }

    /// The clock of a store that several processes share: engine time 0 was when the monotonic clock showed `base_ms`
    /// (negative: before the machine started), and `base_gap` is what the boot-time clock was ahead of it then.
    pub(crate) fn based(base_ms: i64, base_gap: i64) -> Self {
        let clock =
            Self { base_ms, base_gap, gap: AtomicI64::new(0), wall: AtomicI64::new(0), read_at: AtomicU64::new(0) };
        clock.gap.store(read(ClockId::Boottime) - read(ClockId::Monotonic), Ordering::Relaxed);
        clock.wall.store(clock.wall_gap(), Ordering::Relaxed);
        clock
    }

    fn wall_gap(&self) -> i64 {
        read(ClockId::Realtime) - (read(ClockId::Monotonic) - self.base_ms)
    }

    fn now(&self) -> Now {
        let ms = u64::try_from(read(ClockId::MonotonicCoarse) - self.base_ms).unwrap_or(0).min(NEVER);
        // The gaps to the other clocks are read once a second: they can only have moved by a suspend or a step.
        if ms.wrapping_sub(self.read_at.load(Ordering::Relaxed)) >= 1000 {
            let gap = read(ClockId::Boottime) - read(ClockId::Monotonic);
            if gap - self.gap.load(Ordering::Relaxed) > 5 {
                self.gap.store(gap, Ordering::Relaxed);
            }
            self.wall.store(self.wall_gap(), Ordering::Relaxed);
            self.read_at.store(ms, Ordering::Relaxed);
        }
        let suspended = u64::try_from(self.gap.load(Ordering::Relaxed) - self.base_gap).unwrap_or(0);
        Now { ms, suspended }
    }
}

fn read(clock: ClockId) -> i64 {
    let now = clock_gettime(clock);
    now.tv_sec * 1000 + now.tv_nsec / 1_000_000
}

/// Runs when its instant has come, on the thread that keeps time: it must be short and must not call out.
pub(crate) type TimerAction = Box<dyn FnOnce() + Send>;

/// Names a timer, to cancel it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TimerKey {
    at: Millis,
    seq: u64,
}

/// Called when an instant earlier than all before was set.
pub(crate) type Bell = Arc<dyn Fn() + Send + Sync>;

/// What is due at an instant and is no session deadline: callback deadlines, back-off, lock waits.
///
/// Equal instants fire in the order in which they were set.
#[derive(Default)]
pub(crate) struct Timers {
    queue: Mutex<TimerQueue>,
    bell: Mutex<Option<Bell>>,
}

#[derive(Default)]
struct TimerQueue {
    due: BTreeMap<TimerKey, TimerAction>,
    seq: u64,
}

impl Timers {
    /// Sets what is rung when a timer becomes the earliest.
    pub fn set_bell(&self, bell: Option<Bell>) {
        *self.bell.lock() = bell;
    }

    /// Runs `action` at `at`.
    pub fn set(&self, at: Millis, action: TimerAction) -> TimerKey {
        let (key, first) = {
            let mut queue = self.queue.lock();
            queue.seq += 1;
            let key = TimerKey { at, seq: queue.seq };
            queue.due.insert(key, action);
            (key, queue.due.first_key_value().is_some_and(|(first, _)| *first == key))
        };
        if first {
            let bell = self.bell.lock().clone();
            if let Some(bell) = bell {
                bell();
            }
        }
        key
    }

    /// Forgets a timer; tells whether it was still set.
    pub fn cancel(&self, key: TimerKey) -> bool {
        // The action is dropped after the lock is released: what it owns may have a destructor.
        let action = self.queue.lock().due.remove(&key);
        action.is_some()
    }

    /// The earliest instant.
    pub fn next_due(&self) -> Option<Millis> {
        self.queue.lock().due.first_key_value().map(|(key, _)| key.at)
    }

    /// Runs everything due at `now`; tells how many.
    pub fn fire(&self, now: Millis) -> usize {
        let mut fired = 0;
        loop {
            let action = {
                let mut queue = self.queue.lock();
                match queue.due.first_entry() {
                    Some(entry) if entry.key().at <= now => entry.remove(),
                    _ => return fired,
                }
            };
            action();
            fired += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_instants_fire_in_the_order_in_which_they_were_set() {
        let timers = Timers::default();
        let seen = Arc::new(Mutex::new(Vec::new()));
        for (at, name) in [(20, "c"), (10, "a"), (10, "b")] {
            let seen = seen.clone();
            timers.set(at, Box::new(move || seen.lock().push(name)));
        }
        let cancelled = timers.set(10, Box::new(|| panic!("cancelled")));
        assert!(timers.cancel(cancelled));
        assert_eq!(timers.next_due(), Some(10));
        assert_eq!(timers.fire(15), 2);
        assert_eq!(timers.fire(20), 1);
        assert_eq!(*seen.lock(), ["a", "b", "c"]);
    }

    #[test]
    fn durations_round_up_to_milliseconds() {
        assert_eq!(millis(Duration::from_nanos(1)), 1);
        assert_eq!(millis(Duration::MAX), NEVER);
    }
}
