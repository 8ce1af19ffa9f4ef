//! LIC-02 and LIC-04: never one unit too many, and nothing left by what failed.

use std::sync::atomic::{AtomicU64, Ordering};

use super::crossing::Place;
use super::*;

#[test]
fn a_storm_never_uses_one_unit_too_many_and_ends_at_zero() {
    const UNITS: u64 = 100;
    let shop = Application::new("shop").idle_timeout(Duration::from_millis(20));
    let config = Config::new().application(shop).pool(Pool::new("users", UNITS));
    let manager = Manager::new(config).expect("manager");
    let over = Flag::default();
    let denied = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let sampler = scope.spawn(|| {
            let mut samples = 0;
            while !over.is_set() {
                let usage = manager.usage("users").expect("usage");
                assert!(usage.in_use <= UNITS, "{} of {UNITS} units are in use", usage.in_use);
                let audit = manager.audit("users").expect("audit");
                assert!(audit.differences.is_empty(), "{audit:?}");
                samples += 1;
            }
            samples
        });
        let workers: Vec<_> = (0..64)
            .map(|worker| {
                let (manager, denied) = (&manager, &denied);
                scope.spawn(move || {
                    let user = format!("user{}", worker % 7);
                    for round in 0..rounds(150, 16_000) {
                        match manager.begin_new(CreateOptions::new("shop"), BeginOptions::default()) {
                            Ok(request) => {
                                if round % 3 == 0 {
                                    assert!(request.login(&user).expect("login").trade_denied.is_none());
                                }
                                let id = request.id();
                                drop(request);
                                // Every fourth is left to its timeout.
                                if round % 4 > 0 {
                                    manager.end(id, EndOptions::default()).expect("end");
                                }
                            }
                            Err(error) => {
                                assert_eq!(error.deny_reason(), Some(DenyReason::PoolExhausted), "{error:?}");
                                denied.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.join().expect("a worker");
        }
        wait_until("the rest times out", || manager.count() == Ok(0));
        over.set();
        assert!(sampler.join().expect("the sampler") > 0);
    });
    let usage = manager.usage("users").expect("usage");
    assert!(usage.high_water <= UNITS && usage.denials == denied.load(Ordering::Relaxed), "{usage:?}");
    assert_empty(&manager);
    manager.close(Duration::from_secs(1));
}

#[test]
fn a_creation_that_fails_leaves_nothing() {
    let ended = Arc::new(AtomicU64::new(0));
    let ways = ["error", "panic", "deny", "data", "limit", "name"];
    for (way, shared) in ways.into_iter().flat_map(|way| [(way, false), (way, true)]) {
        let count = ended.clone();
        let callbacks = Callbacks::new()
            .on(EventKind::Start, move |_| match way {
                "error" => Err("no".into()),
                "panic" => panic!("no"),
                "deny" => Ok(Verdict::Deny("no".into())),
                _ => Ok(Verdict::Allow),
            })
            .on(EventKind::End, move |_| {
                count.fetch_add(1, Ordering::SeqCst);
                Ok(Verdict::Allow)
            });
        let config = Config {
            max_sessions: if way == "limit" { 0 } else { 10 },
            quotas: Quotas { value_bytes: 100, ..Quotas::default() },
            ..Config::new()
        };
        let mut config = config.application(shop().event_class("never")).pool(Pool::new("users", 5));
        let dir = std::env::temp_dir().join(format!("lses-refused-{}-{way}", std::process::id()));
        if shared {
            config.store = format!("file:{}", dir.display());
        }
        let (_, manager) = manual(config);
        if way != "limit" {
            manager.register(EventClass::new("never", callbacks)).expect("register");
        }
        let mut options = CreateOptions::new(if way == "name" { "nowhere" } else { "shop" });
        if way == "data" {
            options.data.push(("a".into(), Value::from("x".repeat(101))));
        }
        for _ in 0..if shared { rounds(30, 1000) } else { rounds(300, 10_000) } {
            let error = manager.create(options.clone()).expect_err(way);
            let expected = match way {
                "data" => ErrorKind::Quota,
                "limit" => ErrorKind::SessionLimit,
                "name" => ErrorKind::Invalid,
                _ => ErrorKind::Denied,
            };
            assert_eq!(error.kind(), expected, "{way}: {error:?}");
        }
        assert!(manager.drain(BOUND).expect("drain"));
        assert_empty(&manager);
        let stats = manager.stats().expect("stats");
        assert_eq!((stats.created, stats.live, stats.tombstones), (0, 0, 0), "{way}");
        manager.close(Duration::from_secs(1));
        let _removed = std::fs::remove_dir_all(&dir);
    }
    assert_eq!(ended.load(Ordering::SeqCst), 0, "an end is told to a class whose start did not succeed");
}

#[test]
fn whoever_is_one_too_many_leaves_nothing() {
    let pool = Pool { anonymous_per_client: Some(1), max_sessions_per_holder: Some(1), ..Pool::new("main", 5) };
    for place in Place::both(&pool) {
        let manager = &place.manager;
        let anonymous = || CreateOptions {
            license_class: Some(LicenseClass::Anonymous),
            client: Client { address: Some("10.0.0.1".into()), ..Client::default() },
            ..CreateOptions::new("shop")
        };
        let first = manager.begin_new(anonymous(), BeginOptions::default()).expect("the only one of its client");
        let user = place.session("shop", "ann");
        let most = Some(DenyReason::HolderLimit);
        let refused = place.rounds() as u64;
        for _ in 0..refused {
            assert_eq!(manager.create(anonymous()).expect_err("one too many").deny_reason(), most);
            let request = place.session("lazy", "");
            assert_eq!(request.login("ann").expect_err("one too many").deny_reason(), most);
            request.end(EndOptions::default()).expect("an end");
        }
        let (usage, stats) = (manager.usage("main").expect("usage"), manager.stats().expect("stats"));
        assert_eq!((usage.in_use, usage.holders.len(), usage.denials), (2, 2, 2 * refused));
        assert_eq!((stats.live, stats.peak, stats.created, stats.refused), (2, 3, 2 + refused, refused));
        place.is_exact();
        place.empty([first, user]);
    }
}

#[test]
fn a_refused_start_is_told_as_an_end_to_those_who_had_started() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let (_, manager) = manual(Config::new().application(shop().event_class("one").event_class("two")));
    for name in ["one", "two"] {
        let told = told.clone();
        let callbacks = Callbacks::new()
            .on(EventKind::Start, move |_| {
                Ok(if name == "two" { Verdict::Deny("full".into()) } else { Verdict::Allow })
            })
            .on(EventKind::End, move |event| {
                told.lock().push((name, event.reason));
                Ok(Verdict::Allow)
            });
        manager.register(EventClass::new(name, callbacks)).expect("register");
    }
    let error = manager.create(CreateOptions::new("shop")).expect_err("denied");
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(manager.drain(BOUND).expect("drain"));
    assert_eq!(*told.lock(), [("one", Some(EndReason::StartDenied))]);
    assert_empty(&manager);
}

#[test]
fn sessions_that_come_and_go_use_the_same_places_again() {
    let shop = Application::new("shop").idle_timeout(Duration::from_millis(1));
    let manager = Manager::new(Config::new().application(shop)).expect("manager");
    let mut last = 0;
    for _ in 0..rounds(60, 2000) {
        for _ in 0..200 {
            create(&manager);
        }
        wait_until("all time out", || manager.count() == Ok(0));
        // The cursor of a listing tells how far the table reaches.
        for _ in 0..2 {
            create(&manager);
        }
        let page = manager.list(&Filter::default(), 0, 1).expect("list");
        last = page.next.unwrap_or(last).max(last);
        wait_until("all time out", || manager.count() == Ok(0));
    }
    assert!(last < 4096, "a place of number {last} is used for 200 sessions");
    manager.close(Duration::from_secs(1));
}
