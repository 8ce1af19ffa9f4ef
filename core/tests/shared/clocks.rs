//! EXP-04: time over restarts, on the manual clock that a store for tests keeps.

use super::*;

const DAY: i64 = 86_400_000;

fn open(shop: &Shop) -> (ManualClock, Manager) {
    let clock = ManualClock::new();
    let manager = Manager::new(shop.config().clock(Clock::Manual(clock.clone()))).expect("manager");
    (clock, manager)
}

fn shop(dir: &Dir) -> Shop {
    Shop { idle_ms: 900_000, manual: true, class: "audit".into(), ..dir.shop() }
}

fn left(manager: &Manager, token: &str) -> Touched {
    manager.touch(token, TouchKind::None).expect("touch")
}

#[test]
fn a_wall_clock_that_was_set_back_over_a_restart_revives_nothing_and_ends_nothing() {
    for step in [-DAY, DAY, -10 * 366 * DAY, 10 * 366 * DAY, -1000, 1000] {
        let dir = Dir::new();
        let shop = shop(&dir);
        let (clock, manager) = open(&shop);
        let (token, dead) = {
            let dead = manager.create(CreateOptions::new("shop")).expect("create").token.reveal();
            clock.advance(Duration::from_secs(900)).expect("advance");
            (manager.create(CreateOptions::new("shop")).expect("create").token.reveal(), dead)
        };
        clock.advance(Duration::from_secs(500)).expect("advance");
        clock.set_wall(clock.wall_ms() + step);
        clock.advance(Duration::from_secs(100)).expect("advance");
        assert_eq!(left(&manager, &token), Touched::Live(Some(Duration::from_secs(300))), "step {step}");
        manager.close(Duration::from_secs(5));
        drop(manager);

        let (clock, manager) = open(&shop);
        assert_eq!(left(&manager, &token), Touched::Live(Some(Duration::from_secs(300))), "step {step}, reopened");
        assert!(!matches!(left(&manager, &dead), Touched::Live(_)), "step {step}: revived");
        clock.set_wall(clock.wall_ms() + step);
        clock.advance(Duration::from_millis(299_999)).expect("advance");
        assert_eq!(manager.count(), Ok(1), "step {step}");
        clock.advance(Duration::from_millis(1)).expect("advance");
        assert_eq!(left(&manager, &token), Touched::Gone(EndReason::IdleTimeout), "step {step}");
        assert_eq!(manager.check(), Ok(Vec::new()));
    }
}

#[test]
fn suspended_time_counts_for_the_absolute_deadline_over_a_restart() {
    let dir = Dir::new();
    let shop = shop(&dir);
    let (clock, manager) = open(&shop);
    let created = manager.create(CreateOptions::new("shop")).expect("create");
    let token = created.token.reveal();
    assert_eq!(manager.set_absolute_timeout(created.id, Duration::from_secs(3600)), Ok(true));
    assert_eq!(manager.set_idle_timeout(created.id, None), Ok(true));
    clock.suspend(Duration::from_secs(3000)).expect("suspend");
    manager.close(Duration::from_secs(5));
    drop(manager);
    let (clock, manager) = open(&shop);
    assert_eq!(left(&manager, &token), Touched::Live(Some(Duration::from_secs(600))));
    clock.suspend(Duration::from_secs(599)).expect("suspend");
    assert_eq!(manager.count(), Ok(1));
    clock.advance(Duration::from_secs(1)).expect("advance");
    assert_eq!(left(&manager, &token), Touched::Gone(EndReason::AbsoluteTimeout));
}

#[test]
fn one_clock_is_the_time_of_all_processes() {
    let dir = Dir::new();
    let shop = shop(&dir);
    let mut clerk = Process::clerk(&shop);
    assert_eq!(clerk.ask("register audit"), "ok");
    let words = clerk.ok("create");
    let (clock, manager) = open(&shop);
    assert_eq!(left(&manager, &words[1]), Touched::Live(Some(Duration::from_secs(900))));
    clock.advance(Duration::from_secs(900)).expect("advance");
    assert_eq!(left(&manager, &words[1]), Touched::Gone(EndReason::IdleTimeout));
    // `advance` has waited for what the other process delivers.
    assert_eq!(clerk.ask("count"), "0");
    let told = clerk.link.take_told();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[1].contains(&words[0]) && told[1].contains("idle_timeout"), "{told:?}");
}

#[test]
fn a_timeout_at_its_bounds_is_the_same_after_a_restart() {
    let dir = Dir::new();
    let shop = shop(&dir);
    let (_, manager) = open(&shop);
    let longest = libsession_core::clock::MAX_TIMEOUT;
    let sessions: Vec<_> = [Some(Duration::from_millis(1)), Some(longest), None]
        .into_iter()
        .map(|idle| {
            let options = CreateOptions { idle_timeout: Some(idle), ..CreateOptions::new("shop") };
            manager.create(options).expect("create").token.reveal()
        })
        .collect();
    for bad in [longest + Duration::from_millis(1), Duration::MAX] {
        let options = CreateOptions { idle_timeout: Some(Some(bad)), ..CreateOptions::new("shop") };
        assert_eq!(manager.create(options).expect_err("too long").kind(), ErrorKind::Invalid);
    }
    manager.close(Duration::from_secs(5));
    drop(manager);
    let (clock, manager) = open(&shop);
    assert_eq!(left(&manager, &sessions[0]), Touched::Live(Some(Duration::from_millis(1))));
    assert_eq!(left(&manager, &sessions[1]), Touched::Live(Some(longest)));
    assert_eq!(left(&manager, &sessions[2]), Touched::Live(None));
    clock.advance(Duration::from_millis(1)).expect("advance");
    assert_eq!(manager.count(), Ok(2));
    clock.advance(longest - Duration::from_millis(2)).expect("advance");
    assert_eq!(manager.count(), Ok(2));
    clock.advance(Duration::from_millis(1)).expect("advance");
    assert_eq!(manager.count(), Ok(1));
}
