//! The pool of the stories, and what must be true of it.

use std::ops::Deref;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use libsession_core::*;
use shuttle::thread::{self, JoinHandle};

/// Longer than any story takes.
pub const LONG: Duration = Duration::from_secs(3600);

/// A manager without threads of its own, on a clock that stands still.
#[derive(Clone)]
pub struct Shop {
    manager: Manager,
    pub clock: ManualClock,
}

impl Deref for Shop {
    type Target = Manager;

    fn deref(&self) -> &Manager {
        &self.manager
    }
}

impl Shop {
    pub fn new(pool: Pool) -> Self {
        Self::with(pool, |config| config)
    }

    pub fn with(pool: Pool, change: impl FnOnce(Config) -> Config) -> Self {
        let clock = ManualClock::new();
        let config = Config::new().application(Application::new("shop").pool("main")).pool(pool);
        let config = Config { threads: false, clock: Clock::Manual(clock.clone()), ..config };
        Self { manager: Manager::new(change(config)).expect("a manager"), clock }
    }

    /// A pool that keeps no records, and had all of its units in use before: nothing of it rises.
    pub fn without_records(capacity: u64) -> Self {
        Self::rested(Pool { audit_records: 0, ..Pool::new("main", capacity) })
    }

    /// All units of a pool were in use before.
    pub fn rested(pool: Pool) -> Self {
        let units = pool.capacity;
        let shop = Self::new(pool);
        let all: Vec<_> = (0..units).map(|_| shop.session().id).collect();
        all.into_iter().for_each(|session| drop(shop.ends(session)));
        shop
    }

    /// A thread of the story.
    pub fn thread<T: Send + 'static>(&self, body: impl FnOnce(&Self) -> T + Send + 'static) -> JoinHandle<T> {
        let shop = self.clone();
        thread::spawn(move || body(&shop))
    }

    /// A session, where there is a unit.
    pub fn session(&self) -> Created {
        self.create(CreateOptions::default()).expect("a unit")
    }

    pub fn begins(&self, session: &Created) -> Request {
        let begun = self.begin(&session.token.reveal(), BeginOptions::default());
        begun.and_then(Begin::live).expect("a live session")
    }

    pub fn ends(&self, session: SessionId) -> EndOutcome {
        self.end(session, EndOptions::default()).expect("an end")
    }

    pub fn use_of_pool(&self) -> Usage {
        self.usage("main").expect("usage")
    }

    /// Nothing goes on any more: the books tell what there is, and how it came to that without a gap.
    pub fn is_exact(&self, in_use: u64) {
        let usage = self.use_of_pool();
        assert_eq!((usage.in_use, usage.offered, usage.waiting), (in_use, 0, 0));
        let audit = self.audit("main").expect("an audit");
        assert_eq!((audit.counted, audit.recounted, audit.differences), (in_use, in_use, Vec::new()));
        assert_eq!(self.check(), Ok(Vec::new()));
        if self.pool("main").expect("the pool").audit_records == 0 {
            return;
        }
        let mut units = 0;
        for record in self.records() {
            assert_eq!(record.before, units, "a gap before {record:?}");
            assert!(record.after <= usage.capacity, "too many units: {record:?}");
            let refused = record.kind == AuditKind::Denial && record.reason == Some(DenyReason::PoolExhausted);
            assert!(!refused || record.before == usage.capacity, "refused with a unit free: {record:?}");
            units = record.after;
        }
        assert_eq!(units, in_use);
    }

    pub fn records(&self) -> Vec<AuditRecord> {
        self.audit_records("main", 0, 1000).expect("records")
    }

    /// The sessions that were given units, in that order.
    pub fn granted(&self) -> Vec<SessionId> {
        let grants = self.records().into_iter().filter(|record| record.kind == AuditKind::Grant);
        grants.map(|record| record.session_id).collect()
    }

    /// Ends all sessions: no unit is left.
    pub fn closes_down(&self) {
        let all = self.list(&Filter::default(), 0, 100).expect("a list");
        all.sessions.iter().for_each(|session| drop(self.ends(session.id)));
        self.is_exact(0);
        assert_eq!(self.count(), Ok(0));
    }
}

/// Looks at the pool again and again while the story goes on.
pub fn sampler(shop: &Shop, looks: usize, right: impl Fn(&Usage) -> bool + Send + 'static) -> JoinHandle<()> {
    shop.thread(move |shop| {
        for _ in 0..looks {
            let usage = shop.use_of_pool();
            assert_eq!(usage.holders.iter().map(|holder| holder.units).sum::<u64>(), usage.in_use);
            assert!(right(&usage), "{usage:?}");
        }
    })
}

/// When calls began and returned, as their callers see it.
#[derive(Default)]
pub struct Calls {
    clock: AtomicU64,
    known: Mutex<Vec<Call>>,
}

struct Call {
    what: Did,
    from: u64,
    to: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Did {
    Took,
    Gave,
    Refused,
}

impl Calls {
    fn now(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    pub fn call<T>(&self, call: impl FnOnce() -> T, did: impl FnOnce(&T) -> Did) -> T {
        let from = self.now();
        let done = call();
        let known = Call { what: did(&done), from, to: self.now() };
        self.known.lock().expect("calls").push(known);
        done
    }

    /// Nobody was refused while there was a unit for all of the time.
    pub fn are_honest(&self, capacity: usize) {
        let known = self.known.lock().expect("calls");
        for refused in known.iter().filter(|call| call.what == Did::Refused) {
            let taken = known.iter().filter(|call| call.what == Did::Took && call.from < refused.to).count();
            let given = known.iter().filter(|call| call.what == Did::Gave && call.to < refused.from).count();
            assert!(taken - given >= capacity, "refused though a unit was free from before the call to its end");
        }
    }
}
