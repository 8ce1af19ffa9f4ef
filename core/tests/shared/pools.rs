//! One authority for the limits of a pool: the store's. Whoever names others is told, and a change counts for all.

use std::sync::{Mutex, OnceLock};

use super::*;

/// What was logged in this process, with the name of the store's directory in it or not.
fn logged() -> &'static Mutex<Vec<String>> {
    struct Ears(Mutex<Vec<String>>);
    impl log::Log for Ears {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }

        fn log(&self, record: &log::Record<'_>) {
            self.0.lock().expect("a lock").push(format!("{} {}", record.level(), record.args()));
        }

        fn flush(&self) {}
    }
    static EARS: OnceLock<Ears> = OnceLock::new();
    let ears = EARS.get_or_init(|| Ears(Mutex::default()));
    // Set once; all tests of this process may hear.
    let _set_before = log::set_logger(ears).map(|()| log::set_max_level(log::LevelFilter::Warn));
    &ears.0
}

fn capacity(manager: &Manager) -> (u64, u64) {
    let usage = manager.usage("users").expect("usage");
    (usage.in_use, usage.capacity)
}

fn resize(manager: &Manager, to: impl Fn(u64) -> u64) -> Pool {
    let change = |pool: &mut Pool| {
        pool.capacity = to(pool.capacity);
        Ok(())
    };
    manager.change_pool("users", change, Some("root")).expect("a change")
}

fn create(manager: &Manager) -> Result<Created> {
    manager.create(CreateOptions::new("shop"))
}

#[test]
fn the_limits_of_the_store_count_and_who_names_others_is_told() {
    let (dir, heard) = (Dir::new(), logged());
    let shop = Shop { capacity: 4242, ..dir.shop() };
    let mut first = Process::clerk(&shop);
    let mut other = Shop { capacity: 1717, low: 3, ..shop.clone() };
    let second = other.open();
    assert_eq!(capacity(&second), (0, 4242));
    assert_eq!(second.pool("users").map(|pool| (pool.capacity, pool.low)), Ok((4242, 0)));
    let differences = second.pool_differences().expect("differences");
    let told: Vec<_> = differences.iter().map(|one| (&*one.pool, one.option, &*one.named, &*one.in_force)).collect();
    assert_eq!(told, [("users", "capacity", "1717", "4242"), ("users", "low", "3", "0")]);
    let warned =
        |part: &str| heard.lock().expect("a lock").iter().any(|line| line.starts_with("WARN") && line.contains(part));
    assert!(warned("pool 'users': capacity is 4242 in the store, and was named 1717 here"));
    assert!(warned("pool 'users': low is 0 in the store, and was named 3 here"));
    // Each sees what the other did.
    first.ok("create");
    assert_eq!(capacity(&second), (1, 4242));
    second.close(Duration::from_secs(5));
    first.leave();

    // Alone, another configuration is a change; the same one is none.
    let alone = other.open();
    assert_eq!((capacity(&alone), alone.pool_differences()), ((1, 1717), Ok(Vec::new())));
    let records = alone.audit_records("users", 0, 100).expect("accounts");
    let last = records.last().expect("a record");
    assert_eq!((last.kind, &*last.holder, last.before, last.after), (AuditKind::Change, "the configuration", 1, 1));
    let log = alone.lifecycle(0, 1000).expect("log");
    let told = "users: capacity 4242 -> 1717, low 0 -> 3 by the configuration";
    assert!(log.iter().any(|entry| entry.what == "pool_changed" && entry.detail == told), "{log:?}");
    // What was changed while it ran stays over a restart with the same configuration.
    alone.change_pool("users", |pool| pool.set_json(r#"{"capacity": 2}"#), Some("root")).expect("a change");
    alone.close(Duration::from_secs(5));
    let again = other.open();
    assert_eq!(capacity(&again), (1, 2));
    assert_eq!(again.pool_differences().map(|all| all.len()), Ok(1));
    again.close(Duration::from_secs(5));
    other.capacity = 5;
    let changed = other.open();
    assert_eq!((capacity(&changed), changed.check()), ((1, 5), Ok(Vec::new())));
}

#[test]
fn a_change_counts_for_every_process_at_its_next_step() {
    let dir = Dir::new();
    let shop = Shop { capacity: 2, ..dir.shop() };
    let (first, second) = (shop.open(), shop.open());
    let mut third = Process::clerk(&shop);
    assert!(create(&first).is_ok() && create(&second).is_ok());
    assert!(third.ask("create").starts_with("error license_denied"));
    let changed = resize(&second, |_| 3);
    assert_eq!(changed.capacity, 3);
    third.ok("create");
    assert_eq!(third.ask("usage"), "3/3");
    assert_eq!(create(&first).map_err(|error| error.kind()).err(), Some(ErrorKind::LicenseDenied));
    assert_eq!(first.pool("users").map(|pool| pool.capacity), Ok(3));
    // Down below use: nobody loses anything.
    resize(&first, |_| 1);
    assert_eq!(third.ask("usage"), "3/1");
    let usage = second.usage("users").expect("usage");
    assert_eq!((usage.excess, usage.overdrawn, usage.available), (2, 0, 0));
    assert_eq!(create(&second).map_err(|error| error.kind()).err(), Some(ErrorKind::LicenseDenied));
    let kinds: Vec<_> = first.audit_records("users", 0, 100).expect("accounts").iter().map(|one| one.kind).collect();
    use AuditKind::{Change, Denial, Grant};
    assert_eq!(kinds, [Grant, Grant, Denial, Change, Grant, Denial, Change, Denial]);
    assert_eq!(first.check(), Ok(Vec::new()));
    third.leave();
}

#[test]
fn of_many_changes_at_once_none_is_lost() {
    let dir = Dir::new();
    let shop = Shop { capacity: 0, ..dir.shop() };
    let managers = [shop.open(), shop.open(), shop.open()];
    let rounds = rounds(5, 50);
    std::thread::scope(|scope| {
        for manager in &managers {
            scope.spawn(move || {
                for _ in 0..rounds {
                    resize(manager, |capacity| capacity + 1);
                }
            });
        }
    });
    for manager in &managers {
        assert_eq!(manager.pool("users").map(|pool| pool.capacity), Ok(3 * rounds as u64));
    }
}

#[test]
fn marks_and_accounts_outlive_a_restart() {
    let dir = Dir::new();
    let shop = Shop { capacity: 9, ..dir.shop() };
    let manager = shop.open();
    let sessions: Vec<_> = (0..4).map(|_| create(&manager).expect("create")).collect();
    for created in &sessions[..3] {
        manager.end(created.id, EndOptions::default()).expect("end");
    }
    manager.reset_high_water("users", "monthly \u{1f600}\n").expect("reset");
    create(&manager).expect("create");
    manager.close(Duration::from_secs(5));
    let manager = shop.open();
    assert_eq!(manager.high_water("users", "monthly \u{1f600}\n").map(|(units, _)| units), Ok(2));
    assert_eq!(manager.high_water("users", "another").map(|(units, _)| units), Ok(4));
    assert_eq!(manager.usage("users").map(|usage| usage.high_water), Ok(4));
    create(&manager).expect("create");
    assert_eq!(manager.high_water("users", "monthly \u{1f600}\n").map(|(units, _)| units), Ok(3));
    let page = manager.export_accounts("users", 0, 5).expect("accounts");
    let rest = manager.export_accounts("users", page.last, 10_000).expect("accounts");
    assert_eq!((page.count, rest.count), (5, 4));
    assert_eq!(
        manager.export_accounts("users", rest.last, 5).map(|page| (page.count, page.lines)),
        Ok((0, String::new()))
    );
    let seqs: Vec<_> = (page.lines + &rest.lines)
        .lines()
        .map(|line| data::from_json(line).expect("a line is JSON").get("seq").and_then(Value::as_int))
        .collect();
    assert_eq!(seqs, (1..=9).map(Some).collect::<Vec<_>>());
    assert_eq!(manager.forget_high_water("users", "monthly \u{1f600}\n"), Ok(true));
    assert_eq!(manager.high_water("users", "monthly \u{1f600}\n").map(|(units, _)| units), Ok(4));
}
