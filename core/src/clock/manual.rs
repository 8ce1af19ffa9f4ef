//! The clock of tests: it stands still until it is told.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::{MAX_TIMEOUT, Millis, NEVER, Now, millis};
use crate::error::{Error, ErrorKind, Result};
use crate::sync::{Mutex, RwLock};

/// How often is looked whether other processes have delivered.
const LOOK: Duration = Duration::from_millis(1);

/// What a manual clock drives: a manager.
pub(crate) trait Driven: Send + Sync {
    /// The next instant at which something is due.
    fn next_due(&self) -> Option<Millis>;
    /// Does everything that is due now.
    fn run_due(&self);
    /// Waits in real time until no started callback runs that has not said `hang()`, at most until `until`; tells how
    /// many still run.
    fn settle(&self, until: Instant) -> usize;
    /// Ends whose callbacks are not all done, in any process that shares the table.
    fn unsettled(&self) -> u64 {
        0
    }
    /// Those of them that this manager delivers.
    fn delivering(&self) -> u64 {
        0
    }
    /// The clock stands still again.
    fn stands(&self) {}
}

/// Where a manual clock keeps its time: in itself, or in a store, where other processes see it too.
pub(crate) trait ManualWords: Send + Sync {
    /// Engine time.
    fn ms(&self) -> &AtomicU64;
    /// What was spent suspended.
    fn suspended(&self) -> &AtomicU64;
    /// Wall time at engine time 0.
    fn wall_offset(&self) -> &AtomicI64;
    /// One of them was changed: whoever else has them looks at what is due there.
    fn moved(&self) {}
}

/// A clock that stands still until it is told: an 8-hour timeout in microseconds. Cheap to clone; all clones are one.
///
/// It begins at 0 ms of engine time, on 2026-01-01 00:00:00 UTC of wall time. Several managers may share it. A manager
/// over a store of several processes puts its time there: then it is one clock in all of them, and a store that has a
/// time already sets this one.
#[derive(Clone)]
pub struct ManualClock(Arc<ManualInner>);

struct ManualInner {
    words: RwLock<Arc<dyn ManualWords>>,
    settle_ms: AtomicU64,
    driven: Mutex<Vec<Weak<dyn Driven>>>,
    advancing: Mutex<()>,
}

/// The time of a clock that nobody else sees.
struct OwnWords {
    ms: AtomicU64,
    suspended: AtomicU64,
    wall_offset: AtomicI64,
}

impl ManualWords for OwnWords {
    fn ms(&self) -> &AtomicU64 {
        &self.ms
    }

    fn suspended(&self) -> &AtomicU64 {
        &self.suspended
    }

    fn wall_offset(&self) -> &AtomicI64 {
        &self.wall_offset
    }
}

/// 2026-01-01 00:00:00 UTC.
const MANUAL_WALL_BASE: i64 = 1_767_225_600_000;

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ManualClock({} ms)", self.now().ms)
    }
}

impl ManualClock {
    /// A clock at 0.
    pub fn new() -> Self {
        let words = OwnWords {
            ms: AtomicU64::new(0),
            suspended: AtomicU64::new(0),
            wall_offset: AtomicI64::new(MANUAL_WALL_BASE),
        };
        Self(Arc::new(ManualInner {
            words: RwLock::new(Arc::new(words)),
            settle_ms: AtomicU64::new(1000),
            driven: Mutex::new(Vec::new()),
            advancing: Mutex::new(()),
        }))
    }

    fn words(&self) -> Arc<dyn ManualWords> {
        self.0.words.read().clone()
    }

    /// Keeps the time in these words from now on, and takes what they say. Who makes new words gives them this clock's
    /// time first: [`now`](Self::now) and [`wall_ms`](Self::wall_ms).
    pub(crate) fn share(&self, words: Arc<dyn ManualWords>) {
        *self.0.words.write() = words;
    }

    /// Engine time.
    pub fn now(&self) -> Now {
        let words = self.0.words.read();
        Now { ms: words.ms().load(Ordering::SeqCst), suspended: words.suspended().load(Ordering::SeqCst) }
    }

    /// Wall time in milliseconds since 1970.
    pub fn wall_ms(&self) -> i64 {
        let elapsed = i64::try_from(self.now().absolute()).unwrap_or(i64::MAX);
        self.words().wall_offset().load(Ordering::SeqCst).saturating_add(elapsed)
    }

    /// Steps the wall clock to `unix_ms`. No deadline moves.
    pub fn set_wall(&self, unix_ms: i64) {
        let elapsed = i64::try_from(self.now().absolute()).unwrap_or(i64::MAX);
        let words = self.words();
        words.wall_offset().store(unix_ms.saturating_sub(elapsed), Ordering::SeqCst);
        words.moved();
    }

    /// How long `advance` waits, in real time, for started callbacks to return: 1 s by default.
    pub fn set_settle(&self, settle: Duration) {
        self.0.settle_ms.store(millis(settle), Ordering::SeqCst);
    }

    /// Goes forward by `by`, from due instant to due instant, and does at each what is due there.
    ///
    /// At each instant it waits in real time for the callbacks that were started, at most the settle time, so that
    /// callback deadlines pass in virtual time; for those of other processes that share the store, too. Returns how many
    /// callbacks still run here at the target.
    ///
    /// Errors: `invalid` beyond 100 years, `reentrant` inside a callback. Threads: any, one at a time.
    pub fn advance(&self, by: Duration) -> Result<usize> {
        if crate::event::current::inside_callback() {
            return Err(Error::new(ErrorKind::Reentrant, "the clock can't be advanced inside a callback"));
        }
        if by > MAX_TIMEOUT {
            return Err(Error::invalid(format!("can't advance by {} s: the bound is 100 years", by.as_secs())));
        }
        let running = self.advance_alone(by);
        for driven in self.driven() {
            driven.stands();
        }
        Ok(running)
    }

    fn advance_alone(&self, by: Duration) -> usize {
        let _one_at_a_time = self.0.advancing.lock();
        let mut elsewhere = 0;
        let target = self.now().ms.saturating_add(millis(by)).min(NEVER - 1);
        self.settle(&mut elsewhere);
        loop {
            let driven = self.driven();
            match driven.iter().filter_map(|driven| driven.next_due()).min() {
                Some(next) if next <= target => {
                    self.move_to(next);
                    for driven in &driven {
                        driven.run_due();
                    }
                    self.settle(&mut elsewhere);
                }
                _ => break,
            }
        }
        self.move_to(target);
        self.settle(&mut elsewhere)
    }

    /// Never back: another process may have gone further.
    fn move_to(&self, ms: Millis) {
        let words = self.words();
        if words.ms().fetch_max(ms, Ordering::SeqCst) < ms {
            words.moved();
        }
    }

    /// The machine sleeps for `by`: idle clocks stand still, absolute ones go on.
    ///
    /// Errors and threads: as [`advance`](Self::advance).
    pub fn suspend(&self, by: Duration) -> Result<()> {
        if crate::event::current::inside_callback() {
            return Err(Error::new(ErrorKind::Reentrant, "the clock can't be suspended inside a callback"));
        }
        if by > MAX_TIMEOUT {
            return Err(Error::invalid(format!("can't suspend for {} s: the bound is 100 years", by.as_secs())));
        }
        {
            let _one_at_a_time = self.0.advancing.lock();
            let words = self.words();
            words.suspended().fetch_add(millis(by), Ordering::SeqCst);
            words.moved();
        }
        self.advance(Duration::ZERO).map(drop)
    }

    pub(crate) fn drive(&self, driven: Weak<dyn Driven>) {
        let mut all = self.0.driven.lock();
        all.retain(|one| one.strong_count() > 0);
        all.push(driven);
    }

    fn driven(&self) -> Vec<Arc<dyn Driven>> {
        self.0.driven.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// Waits for callbacks, here and elsewhere; `elsewhere` is how many ends of other processes were waited for in vain
    /// already, and are waited for no more.
    fn settle(&self, elsewhere: &mut u64) -> usize {
        let until = Instant::now() + Duration::from_millis(self.0.settle_ms.load(Ordering::SeqCst));
        loop {
            let driven = self.driven();
            let running = driven.iter().map(|driven| driven.settle(until)).sum();
            let all = driven.iter().map(|driven| driven.unsettled()).max().unwrap_or(0);
            let here = driven.iter().map(|driven| driven.delivering()).sum();
            let left = all.saturating_sub(here);
            if left <= *elsewhere {
                return running;
            }
            if Instant::now() >= until {
                *elsewhere = left;
                return running;
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Does something if the clock is not being advanced in this process.
    pub(crate) fn if_still(&self, work: impl FnOnce()) {
        if let Some(_still) = self.0.advancing.try_lock() {
            work();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stepped_wall_clock_moves_no_engine_time() {
        let clock = ManualClock::new();
        clock.set_wall(5);
        assert_eq!((clock.now().ms, clock.wall_ms()), (0, 5));
        clock.advance(Duration::from_millis(7)).expect("advance");
        assert_eq!((clock.now().ms, clock.wall_ms()), (7, 12));
    }

    #[test]
    fn suspended_time_counts_for_absolute_deadlines_only() {
        let clock = ManualClock::new();
        clock.suspend(Duration::from_secs(3)).expect("suspend");
        assert_eq!(clock.now(), Now { ms: 0, suspended: 3000 });
        assert_eq!(clock.now().absolute(), 3000);
    }

    /// Words that tell how often they were moved.
    struct Told(OwnWords, AtomicU64);

    impl ManualWords for Told {
        fn ms(&self) -> &AtomicU64 {
            self.0.ms()
        }

        fn suspended(&self) -> &AtomicU64 {
            self.0.suspended()
        }

        fn wall_offset(&self) -> &AtomicI64 {
            self.0.wall_offset()
        }

        fn moved(&self) {
            self.1.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn clocks_with_the_same_words_are_one_and_take_their_time() {
        let own = OwnWords { ms: 500.into(), suspended: 20.into(), wall_offset: 7.into() };
        let words = Arc::new(Told(own, AtomicU64::new(0)));
        let (one, two) = (ManualClock::new(), ManualClock::new());
        one.advance(Duration::from_secs(3)).expect("advance");
        assert_eq!(one.wall_ms(), MANUAL_WALL_BASE + 3000);
        one.share(words.clone());
        two.share(words.clone());
        assert_eq!((one.now(), one.wall_ms()), (Now { ms: 500, suspended: 20 }, 527));
        two.advance(Duration::from_millis(100)).expect("advance");
        one.suspend(Duration::from_millis(1)).expect("suspend");
        two.set_wall(1000);
        assert_eq!((one.now(), one.wall_ms()), (Now { ms: 600, suspended: 21 }, 1000));
        assert_eq!(words.1.load(Ordering::SeqCst), 3, "each change is told once");
    }

    /// A manager whose callbacks run elsewhere until it was looked at often enough.
    struct Elsewhere(AtomicU64);

    impl Driven for Elsewhere {
        fn next_due(&self) -> Option<Millis> {
            None
        }

        fn run_due(&self) {}

        fn settle(&self, _until: Instant) -> usize {
            0
        }

        fn unsettled(&self) -> u64 {
            1 + self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).unwrap_or(0)
        }

        fn delivering(&self) -> u64 {
            1
        }
    }

    #[test]
    fn an_advance_waits_for_the_callbacks_of_others_but_not_for_ever() {
        let clock = ManualClock::new();
        let others = Arc::new(Elsewhere(AtomicU64::new(5)));
        let driven: Weak<dyn Driven> = Arc::downgrade(&others) as Weak<dyn Driven>;
        clock.drive(driven);
        clock.advance(Duration::from_secs(1)).expect("advance");
        assert_eq!(others.0.load(Ordering::SeqCst), 0, "it did not wait");
        others.0.store(u64::MAX / 2, Ordering::SeqCst);
        clock.set_settle(Duration::from_millis(5));
        clock.advance(Duration::from_secs(1)).expect("advance");
    }
}
