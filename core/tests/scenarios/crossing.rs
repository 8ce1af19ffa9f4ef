//! LIC-03: two trades crossing, on both tables: whichever is first, no unit is lost, made or held twice.

use std::cell::Cell;
use std::sync::Barrier;
use std::sync::atomic::AtomicU64;

use super::*;

/// A manager of one table, and its directory if it has one.
pub struct Place {
    pub manager: Manager,
    dir: Option<std::path::PathBuf>,
    /// The last account that was looked at, and the units in use after it.
    seen: Cell<(u64, u64)>,
}

impl Place {
    pub fn both(pool: &Pool) -> [Self; 2] {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        [false, true].map(|shared| {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let dir =
                shared.then(|| std::env::temp_dir().join(format!("lses-crossing-{}-{number}", std::process::id())));
            let application = |name: &str, class| Application {
                license_class: Some(class),
                lock: LockMode::None,
                ..Application::new(name).pool("main")
            };
            let config = Config::new().application(application("shop", LicenseClass::Named));
            let config = config.application(application("lazy", LicenseClass::Lazy)).pool(pool.clone());
            let config = match &dir {
                Some(dir) => Config { store: format!("file:{}", dir.display()), ..config },
                None => config,
            };
            Self { manager: Manager::new(config).expect("a manager"), dir, seen: Cell::default() }
        })
    }

    /// A session of an application, with a user if there is one.
    pub fn session(&self, application: &str, user: &str) -> Request {
        let request =
            self.manager.begin_new(CreateOptions::new(application), BeginOptions::default()).expect("a session");
        if !user.is_empty() {
            assert!(request.login(user).expect("a login").trade_denied.is_none());
        }
        request
    }

    /// What two sessions' logins came to that were done at once: why each trade was denied, if it was.
    fn cross(&self, one: (&Request, &str), other: (&Request, &str)) -> [Option<DenyReason>; 2] {
        let start = Barrier::new(2);
        let login = |(request, user): (&Request, &str)| {
            start.wait();
            let login = request.login(user).expect("a login is done whatever becomes of its trade");
            login.trade_denied.and_then(|error| error.deny_reason())
        };
        let both = std::thread::scope(|scope| {
            let one = scope.spawn(|| login(one));
            let other = login(other);
            [one.join().expect("a login"), other]
        });
        self.is_exact();
        both
    }

    /// The units of each holder; the counters are what the sessions make them, and no account is missing.
    fn held(&self) -> Vec<(String, u64)> {
        let usage = self.manager.usage("main").expect("usage");
        usage.holders.iter().map(|one| (one.holder.to_string(), one.units)).collect()
    }

    pub fn is_exact(&self) {
        let audit = self.manager.audit("main").expect("audit");
        assert_eq!((audit.counted, audit.differences), (audit.recounted, Vec::new()));
        let capacity = self.manager.pool("main").expect("a pool").capacity;
        let (after, mut before) = self.seen.get();
        let records = self.manager.audit_records("main", after, usize::MAX).expect("accounts");
        for (record, seq) in records.iter().zip(after + 1..) {
            assert_eq!((record.seq, record.before), (seq, before), "the accounts have no gap: {record:?}");
            assert!(record.after <= capacity, "one unit too many: {record:?}");
            before = record.after;
        }
        self.seen.set((after + records.len() as u64, before));
    }

    pub fn empty(&self, requests: impl IntoIterator<Item = Request>) {
        for request in requests {
            request.end(EndOptions::default()).expect("an end");
        }
        assert_eq!(self.manager.usage("main").expect("usage").in_use, 0);
        assert_eq!(self.manager.check(), Ok(Vec::new()));
    }

    pub fn rounds(&self) -> usize {
        if self.dir.is_some() { rounds(10, 500) } else { rounds(100, 10_000) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.manager.close(Duration::from_secs(5));
        if let Some(dir) = &self.dir {
            let _removed = std::fs::remove_dir_all(dir);
        }
    }
}

fn pool(capacity: u64) -> Pool {
    Pool { audit_records: 1_000_000, ..Pool::new("main", capacity) }
}

fn ids(holders: [(&str, u64); 2]) -> Vec<(String, u64)> {
    holders.map(|(name, units)| (name.to_owned(), units)).to_vec()
}

#[test]
fn two_users_of_a_full_pool_change_places() {
    for unit_rule in [UnitRule::User, UnitRule::Session, UnitRule::Staircase, UnitRule::Hard] {
        for place in Place::both(&Pool { unit_rule, ..pool(2) }) {
            let (one, other) = (place.session("shop", "ann"), place.session("shop", "bob"));
            let mut users = ["ann", "bob"];
            for _ in 0..place.rounds() / 4 {
                users.reverse();
                assert_eq!(place.cross((&one, users[0]), (&other, users[1])), [None, None], "{unit_rule}");
                assert_eq!(place.held(), ids([("ann", 1), ("bob", 1)]), "{unit_rule}");
            }
            place.empty([one, other]);
        }
    }
}

#[test]
fn one_becomes_a_user_while_the_other_ceases_to_be_one() {
    for place in Place::both(&pool(2)) {
        for _ in 0..place.rounds() {
            let (one, other) = (place.session("shop", ""), place.session("shop", "bob"));
            let start = Barrier::new(2);
            std::thread::scope(|scope| {
                let logout = scope.spawn(|| {
                    start.wait();
                    other.logout(false).expect("a logout")
                });
                start.wait();
                assert!(one.login("bob").expect("a login").trade_denied.is_none());
                assert!(matches!(logout.join().expect("a thread"), Logout::Done(_)));
            });
            place.is_exact();
            let held = place.held();
            assert!(held.contains(&("bob".into(), 1)) && held.contains(&(other.id().to_string(), 1)), "{held:?}");
            place.empty([one, other]);
        }
    }
}

#[test]
fn a_user_whose_unit_lingers_has_it_back_and_the_old_one_goes_along() {
    let lingering = Pool { linger: Duration::from_secs(3600), reclaim: false, unit_rule: UnitRule::User, ..pool(3) };
    for place in Place::both(&lingering) {
        let (one, other) = (place.session("shop", ""), place.session("shop", "bob"));
        place.session("shop", "ann").end(EndOptions::default()).expect("an end");
        assert_eq!(place.manager.usage("main").expect("usage").lingering, 1);
        // The one comes back to ann's unit, the other is ann no more than bob was: what it leaves does not linger.
        assert_eq!(place.cross((&one, "ann"), (&other, "ann")), [None, None]);
        assert_eq!(place.held(), [("ann".to_owned(), 1)]);
        assert_eq!(place.manager.usage("main").expect("usage").lingering, 0);
        assert_eq!(place.cross((&one, "bob"), (&other, "cyd")), [None, None]);
        assert_eq!(place.held(), ids([("bob", 1), ("cyd", 1)]));
        for request in [one, other] {
            request.end(EndOptions::default()).expect("an end");
        }
        let usage = place.manager.usage("main").expect("usage");
        assert_eq!((usage.in_use, usage.lingering), (2, 2));
    }
}

#[test]
fn users_with_as_many_sessions_as_they_may_change_nothing_and_try_again() {
    for place in Place::both(&Pool { max_sessions_per_holder: Some(1), ..pool(2) }) {
        for _ in 0..place.rounds() {
            let (one, other) = (place.session("shop", "ann"), place.session("shop", "bob"));
            // Each is denied as long as the other is there; both logins are done, and each keeps the unit that it had.
            let denied = Some(DenyReason::HolderLimit);
            assert_eq!(place.cross((&one, "bob"), (&other, "ann")), [denied, denied]);
            assert_eq!((one.user(), other.user()), (Ok(Some("bob".into())), Ok(Some("ann".into()))));
            assert_eq!(place.held(), ids([("ann", 1), ("bob", 1)]));
            let retry = |request: &Request| request.trade().map_err(|error| error.deny_reason());
            assert_eq!((retry(&one), retry(&other)), (Err(denied), Err(denied)));
            other.logout(false).expect("a logout");
            assert_eq!(retry(&one), Ok(()));
            assert!(other.login("ann").expect("a login").trade_denied.is_none());
            assert_eq!(place.held(), ids([("ann", 1), ("bob", 1)]));
            place.empty([one, other]);
        }
    }
}

#[test]
fn of_two_logins_at_the_limit_one_passes() {
    for place in Place::both(&Pool { max_sessions_per_holder: Some(1), ..pool(2) }) {
        for _ in 0..place.rounds() {
            let (one, other) = (place.session("shop", ""), place.session("shop", ""));
            let mut denied = place.cross((&one, "ann"), (&other, "ann"));
            denied.sort_unstable();
            assert_eq!(denied, [None, Some(DenyReason::HolderLimit)]);
            // The one that was denied keeps its unit, and gets the other when it is there.
            assert_eq!(place.manager.usage("main").expect("usage").in_use, 2);
            let (winner, loser) = if one.trade().is_ok() { (one, other) } else { (other, one) };
            winner.end(EndOptions::default()).expect("an end");
            assert_eq!(loser.trade(), Ok(()));
            assert_eq!(place.held(), [("ann".to_owned(), 1)]);
            place.empty([loser]);
        }
    }
}

#[test]
fn of_two_sessions_without_a_unit_one_has_the_last() {
    for place in Place::both(&pool(1)) {
        for _ in 0..place.rounds() {
            let (one, other) = (place.session("lazy", ""), place.session("lazy", ""));
            let start = Barrier::new(2);
            let login = |request: &Request, user: &str| {
                start.wait();
                request.login(user).map(drop).map_err(|error| error.deny_reason())
            };
            let mut both = std::thread::scope(|scope| {
                let first = scope.spawn(|| login(&one, "ann"));
                let second = login(&other, "bob");
                [first.join().expect("a login"), second]
            });
            both.sort_by_key(Result::is_err);
            assert_eq!(both, [Ok(()), Err(Some(DenyReason::PoolExhausted))]);
            place.is_exact();
            place.empty([one, other]);
        }
    }
}
