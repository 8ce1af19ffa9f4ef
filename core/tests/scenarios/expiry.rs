//! EXP-01 and EXP-02: what is due ends then, alone or by the hundred thousand.

use super::*;

#[test]
fn a_touch_resets_the_idle_deadline_only_and_the_absolute_one_is_exact() {
    let application =
        Application::new("shop").idle_timeout(Duration::from_secs(900)).absolute_timeout(Duration::from_secs(3600));
    let (clock, manager) = manual(Config::new().application(application));
    let created = create(&manager);
    let token = created.token.reveal();
    for step in 1..6 {
        clock.advance(Duration::from_secs(600)).expect("advance");
        let left = manager.touch(&token, TouchKind::Activity).expect("touch");
        let expected = 900.min(3600 - 600 * step);
        assert_eq!(left, Touched::Live(Some(Duration::from_secs(expected))));
    }
    // A longer idle timeout moves nothing beyond the absolute deadline.
    assert_eq!(manager.set_idle_timeout(created.id, Some(Duration::from_secs(7200))), Ok(true));
    clock.advance(Duration::from_millis(599_999)).expect("advance");
    assert_eq!(manager.touch(&token, TouchKind::None), Ok(Touched::Live(Some(Duration::from_millis(1)))));
    clock.advance(Duration::from_millis(1)).expect("advance");
    assert_eq!(manager.touch(&token, TouchKind::None), Ok(Touched::Gone(EndReason::AbsoluteTimeout)));
    let receipt = manager.explain(created.id).expect("explain").expect("known").ended.expect("ended");
    assert_eq!((receipt.at_ms, receipt.late), (3_600_000, Some(Duration::ZERO)));
}

#[test]
fn of_two_deadlines_at_one_instant_the_absolute_one_is_the_reason() {
    let application =
        Application::new("shop").idle_timeout(Duration::from_secs(60)).absolute_timeout(Duration::from_secs(60));
    let (clock, manager) = manual(Config::new().application(application));
    let created = create(&manager);
    clock.advance(Duration::from_secs(60)).expect("advance");
    let receipt = manager.explain(created.id).expect("explain").expect("known").ended.expect("ended");
    assert_eq!((receipt.reason, receipt.level), (EndReason::AbsoluteTimeout, EndLevel::Force));
}

#[test]
fn time_in_suspend_counts_for_the_absolute_deadline_only() {
    let application =
        Application::new("shop").idle_timeout(Duration::from_secs(900)).absolute_timeout(Duration::from_secs(3600));
    let (clock, manager) = manual(Config::new().application(application));
    let token = create(&manager).token.reveal();
    clock.suspend(Duration::from_secs(3599)).expect("suspend");
    assert_eq!(manager.touch(&token, TouchKind::None), Ok(Touched::Live(Some(Duration::from_secs(1)))));
    clock.advance(Duration::from_secs(1)).expect("advance");
    assert_eq!(manager.touch(&token, TouchKind::None), Ok(Touched::Gone(EndReason::AbsoluteTimeout)));
}

#[test]
fn a_stepped_wall_clock_ends_nothing_early_or_late() {
    let (clock, manager) = manual(Config::new().application(shop().idle_timeout(Duration::from_secs(900))));
    let token = create(&manager).token.reveal();
    for wall in [0, i64::MAX / 4, -1, 4_102_444_800_000] {
        clock.set_wall(wall);
        assert!(matches!(manager.touch(&token, TouchKind::None), Ok(Touched::Live(_))));
    }
    clock.advance(Duration::from_millis(899_999)).expect("advance");
    assert!(matches!(manager.touch(&token, TouchKind::None), Ok(Touched::Live(_))));
    clock.advance(Duration::from_millis(1)).expect("advance");
    assert_eq!(manager.touch(&token, TouchKind::None), Ok(Touched::Gone(EndReason::IdleTimeout)));
}

#[test]
fn a_mass_expiry_frees_every_license_and_delays_nobody() {
    let due = rounds(100_000, 1_000_000) as u64;
    let idle = Duration::from_secs(rounds(2, 12) as u64);
    let config = Config { max_sessions: due + 1000, lifecycle_log: 0, ..Config::new() };
    let mut application = shop().idle_timeout(idle);
    application.absolute_timeout = Some(None);
    let mut pool = Pool::new("users", due + 1000);
    pool.audit_records = 0;
    let manager = Manager::new(config.application(application).pool(pool)).expect("manager");
    let over = Flag::default();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..8)
            .map(|_| {
                let (manager, over) = (&manager, &over);
                scope.spawn(move || {
                    let options = CreateOptions { idle_timeout: Some(None), ..CreateOptions::new("shop") };
                    let created = manager.create(options).expect("create");
                    let token = created.token.reveal();
                    let mut times = Vec::new();
                    while !over.is_set() {
                        let start = Instant::now();
                        let request = begin(manager, &token);
                        request.set(&path("n"), Value::from(1)).expect("set");
                        request.finish().expect("finish");
                        times.push(start.elapsed());
                        // Two cores are not eight: who is always busy measures the scheduler.
                        std::thread::park_timeout(Duration::from_millis(1));
                    }
                    manager.end(created.id, EndOptions::default()).expect("end");
                    times.sort_unstable();
                    times[times.len() * 99 / 100]
                })
            })
            .collect();
        for _ in 0..due {
            create(&manager);
        }
        let made = Instant::now();
        wait_within(idle + Duration::from_secs(5), "every license is free", || {
            manager.count().expect("count") <= 8 && manager.usage("users").expect("usage").in_use <= 8
        });
        let lateness = made.elapsed();
        over.set();
        for worker in workers {
            let p99 = worker.join().expect("a worker");
            assert!(
                p99 <= Duration::from_millis(10),
                "another call took {p99:?} (p99); all were free after {lateness:?}"
            );
        }
    });
    let stats = manager.stats().expect("stats");
    assert_eq!(
        stats.ended.iter().find(|(reason, _)| *reason == EndReason::IdleTimeout).map(|(_, count)| *count),
        Some(due)
    );
    assert_empty(&manager);
    manager.close(Duration::from_secs(1));
}
