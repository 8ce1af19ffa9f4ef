//! CRASH-06: who may open a store, and what the others are told.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use super::*;

/// The refusal of an opening; its text must say what was wrong and what to do.
fn refused(shop: &Shop, kinds: &[ErrorKind], says: &[&str]) {
    let error = shop.try_open().err().expect("a refusal");
    assert!(kinds.contains(&error.kind()), "{error}");
    for word in says {
        assert!(error.message().to_lowercase().contains(word), "no '{word}' in: {error}");
    }
}

fn made(shop: &Shop) -> Created {
    let manager = shop.open();
    let created = manager.create(CreateOptions::new("shop")).expect("create");
    manager.close(Duration::from_secs(5));
    created
}

fn live(shop: &Shop, created: &Created) -> bool {
    let manager = shop.open();
    let touched = manager.touch(&created.token.reveal(), TouchKind::Activity).expect("touch");
    assert_eq!(manager.check(), Ok(Vec::new()));
    manager.close(Duration::from_secs(5));
    matches!(touched, Touched::Live(_))
}

#[test]
fn a_store_is_private_to_its_owner() {
    let dir = Dir::new();
    let shop = dir.shop();
    let created = made(&shop);
    let manager = shop.open();
    let mode = |path: &std::path::Path| fs::metadata(path).expect("a file").permissions().mode() & 0o7777;
    assert_eq!(mode(&shop.store), 0o700);
    let mut names = Vec::new();
    for entry in fs::read_dir(&shop.store).expect("a directory") {
        let path = entry.expect("an entry").path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        names.push(path.file_name().expect("a name").to_string_lossy().into_owned());
    }
    for name in ["store.lsdb", "hot.head", "hot.slots", "hot.requests", "proc.lock"] {
        assert!(names.iter().any(|known| known == name), "no {name} in {names:?}");
    }
    drop(manager);
    assert!(live(&shop, &created));
}

#[test]
fn a_second_opener_with_another_configuration_is_refused_and_the_first_goes_on() {
    let dir = Dir::new();
    let shop = dir.shop();
    let mut first = Process::clerk(&shop);
    let token = first.ok("create")[1].clone();
    for other in [Shop { class: "audit".into(), ..shop.clone() }, Shop { idle_ms: 7000, ..shop.clone() }] {
        refused(&other, &[ErrorKind::Invalid], &["configuration"]);
        let mut second = Process::start("clerk", &other);
        assert!(second.ask("open").starts_with("error invalid"));
    }
    assert_eq!(first.ask(&format!("touch {token}")), "live");
    assert_eq!(first.ask("usage"), "1/1000");
    first.leave();
    // Alone, another configuration is a change, and no refusal.
    let manager = Shop { capacity: 7, ..shop }.open();
    assert_eq!(manager.usage("users").map(|usage| (usage.in_use, usage.capacity)), Ok((1, 7)));
    assert!(matches!(manager.touch(&token, TouchKind::Activity), Ok(Touched::Live(_))));
}

#[test]
fn a_store_opens_again_after_everybody_was_killed() {
    let dir = Dir::new();
    let shop = dir.shop();
    for round in 0..rounds(5, 100) {
        let mut clerks: Vec<_> = (0..3).map(|_| Process::clerk(&shop)).collect();
        let tokens: Vec<_> = clerks.iter_mut().map(|clerk| clerk.ok("create")[1].clone()).collect();
        clerks.iter_mut().for_each(Process::kill);
        let mut next = Process::clerk(&shop);
        for token in &tokens {
            assert_eq!(next.ask(&format!("touch {token}")), "live");
        }
        assert_eq!(next.ask("count"), (3 * (round + 1)).to_string());
        assert_eq!(next.ask("check"), "ok");
        next.leave();
    }
}

#[test]
fn two_managers_of_one_process_are_one_table() {
    let dir = Dir::new();
    let shop = dir.shop();
    let (one, two) = (shop.open(), shop.open());
    let created = one.create(CreateOptions::new("shop")).expect("create");
    let token = created.token.reveal();
    let request = two.begin(&token, BeginOptions::default()).and_then(Begin::live).expect("begin");
    request.set(&path("a"), Value::Int(1)).expect("set");
    let busy = BeginOptions { lock_timeout: Some(Duration::ZERO), ..BeginOptions::default() };
    let error = one.begin(&token, busy).expect_err("locked");
    assert_eq!(error.kind(), ErrorKind::LockTimeout);
    request.finish().expect("finish");
    let request = one.begin(&token, BeginOptions::default()).and_then(Begin::live).expect("begin");
    assert_eq!(request.get(&path("a")), Ok(Some(Value::Int(1))));
    request.finish().expect("finish");
    one.close(Duration::from_secs(5));
    assert_eq!(two.count(), Ok(1));
    assert_eq!(two.usage("users").map(|usage| usage.in_use), Ok(1));
    two.end(created.id, EndOptions::default()).expect("end");
    assert_eq!(two.check(), Ok(Vec::new()));
}

#[test]
fn two_processes_open_at_the_same_instant() {
    let mut seed = Seed::new("open");
    for round in 0..rounds(30, 100) {
        let dir = Dir::new();
        let shop = dir.shop();
        let mut pair = [Process::start("clerk", &shop), Process::start("clerk", &shop)];
        if round % 2 == 1 {
            // Not the first opening, but one after a kill.
            let mut before = Process::clerk(&shop);
            before.ok("create");
            before.kill();
        }
        // Both are waiting for their first line by now, or soon.
        let first = seed.below(2);
        for at in [first, 1 - first] {
            pair[at].tell("open");
        }
        for process in &mut pair {
            assert_eq!(process.answer(), "ok");
        }
        let [one, other] = &mut pair;
        let token = one.ok("create")[1].clone();
        assert_eq!(other.ask(&format!("set {token} n 7")), "ok");
        assert_eq!(one.ask(&format!("get {token} n")), "ok 7");
        assert_eq!(one.ask("count"), (1 + round % 2).to_string());
        assert_eq!(other.ask("check"), "ok");
    }
}

#[test]
fn a_directory_that_others_may_write_is_refused() {
    let dir = Dir::new();
    let shop = dir.shop();
    let created = made(&shop);
    fs::set_permissions(&shop.store, Permissions::from_mode(0o777)).expect("chmod");
    refused(&shop, &[ErrorKind::Invalid], &["chmod"]);
    fs::set_permissions(&shop.store, Permissions::from_mode(0o700)).expect("chmod");
    assert!(live(&shop, &created));
}

#[test]
fn what_is_no_directory_is_refused() {
    let dir = Dir::new();
    let missing = Shop { store: dir.path().join("no/such/parent"), ..dir.shop() };
    refused(&missing, &[ErrorKind::Invalid], &["parent"]);
    let file = Shop { store: dir.path().join("file"), ..dir.shop() };
    fs::write(&file.store, "text").expect("a file");
    refused(&file, &[ErrorKind::Invalid], &["directory"]);
    assert_eq!(fs::read_to_string(&file.store).expect("the file"), "text");
}

#[test]
fn a_file_that_is_no_store_is_refused_and_left_alone() {
    for garbage in [&b"not a database at all, but a text of some length"[..], &[0; 8192], b"SQLite format 3\0"] {
        let dir = Dir::new();
        let shop = dir.shop();
        made(&shop);
        fs::write(shop.file("store.lsdb"), garbage).expect("garbage");
        for rest in ["store.lsdb-wal", "store.lsdb-shm"] {
            let _ = fs::remove_file(shop.file(rest));
        }
        refused(&shop, &[ErrorKind::Corrupt, ErrorKind::Invalid], &["store"]);
        assert_eq!(fs::read(shop.file("store.lsdb")).expect("the file"), garbage, "it was changed");
    }
}

#[test]
fn a_database_of_another_program_is_refused_and_left_alone() {
    let dir = Dir::new();
    let shop = dir.shop();
    made(&shop);
    for rest in ["store.lsdb", "store.lsdb-wal", "store.lsdb-shm"] {
        let _ = fs::remove_file(shop.file(rest));
    }
    let other = rusqlite::Connection::open(shop.file("store.lsdb")).expect("open");
    other.execute_batch("CREATE TABLE theirs (a); INSERT INTO theirs VALUES (1);").expect("a table");
    drop(other);
    refused(&shop, &[ErrorKind::Corrupt, ErrorKind::Invalid], &["store"]);
    let other = rusqlite::Connection::open(shop.file("store.lsdb")).expect("open");
    let tables: i64 = other.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0)).expect("count");
    assert_eq!(tables, 1);
}

#[test]
fn a_store_of_a_newer_version_is_refused_and_left_alone() {
    let dir = Dir::new();
    let shop = dir.shop();
    let created = made(&shop);
    let version = |set: Option<i64>| -> i64 {
        let other = rusqlite::Connection::open(shop.file("store.lsdb")).expect("open");
        let was = other.query_row("PRAGMA user_version", [], |row| row.get(0)).expect("a version");
        if let Some(set) = set {
            other.pragma_update(None, "user_version", set).expect("set");
        }
        was
    };
    let was = version(None);
    assert!(was > 0, "a store has a version");
    version(Some(was + 1));
    refused(&shop, &[ErrorKind::Unavailable, ErrorKind::Invalid], &["newer"]);
    version(Some(was));
    assert!(live(&shop, &created));
}

#[test]
fn the_hot_files_are_made_anew_when_they_are_missing_or_spoiled() {
    for name in ["hot.head", "hot.slots", "hot.requests"] {
        for spoil in 0..4 {
            let dir = Dir::new();
            let shop = dir.shop();
            let created = made(&shop);
            let file = shop.file(name);
            let whole = fs::read(&file).expect("a hot file");
            match spoil {
                0 => fs::remove_file(&file).expect("remove"),
                1 => fs::write(&file, b"").expect("empty"),
                2 => fs::write(&file, &whole[..whole.len() / 2]).expect("half"),
                _ => fs::write(&file, vec![0xa5; whole.len()]).expect("garbage"),
            }
            assert!(live(&shop, &created), "{name} {spoil}");
        }
    }
}

#[test]
fn a_directory_removed_under_a_living_process_is_no_crash() {
    let dir = Dir::new();
    let shop = dir.shop();
    let mut clerk = Process::clerk(&shop);
    let token = clerk.ok("create")[1].clone();
    fs::remove_dir_all(&shop.store).expect("remove");
    // What it answers may be an answer or an error; that it answers is the promise.
    for line in [&format!("touch {token}"), &format!("set {token} n 1"), "create", "count", "check", "audit"] {
        let answer = clerk.ask(line);
        assert!(!answer.starts_with("error panic") && !answer.starts_with("error internal"), "{line}: {answer}");
    }
    // Another opens a store of its own there.
    let mut other = Process::clerk(&shop);
    assert_eq!(other.ask("count"), "0");
    assert_eq!(other.ask(&format!("touch {token}")), "absent");
}

#[test]
fn a_store_for_tests_has_a_manual_clock_and_no_other() {
    let dir = Dir::new();
    let real = Shop { store: dir.path().join("real"), ..dir.shop() };
    let test = Shop { store: dir.path().join("test"), manual: true, ..dir.shop() };
    made(&real);
    made(&test);
    refused(&Shop { manual: true, ..real.clone() }, &[ErrorKind::Invalid], &["manual clock"]);
    refused(&Shop { manual: false, ..test.clone() }, &[ErrorKind::Invalid], &["manual clock"]);
    made(&real);
    made(&test);
}

/// As root nothing is read-only but a file system, so this looks at one: a bind mount.
#[test]
fn a_read_only_directory_is_refused_with_what_to_do() {
    let dir = Dir::new();
    let shop = dir.shop();
    let created = made(&shop);
    let mount = |arguments: &[&str]| {
        let store = shop.store.to_str().expect("a path");
        let ran =
            std::process::Command::new("mount").args(arguments).arg(store).stderr(std::process::Stdio::null()).status();
        ran.is_ok_and(|status| status.success())
    };
    let store = shop.store.to_str().expect("a path").to_owned();
    if !rustix::process::geteuid().is_root() {
        fs::set_permissions(&shop.store, Permissions::from_mode(0o500)).expect("chmod");
        for entry in fs::read_dir(&shop.store).expect("a directory") {
            fs::set_permissions(entry.expect("an entry").path(), Permissions::from_mode(0o400)).expect("chmod");
        }
        refused(&shop, &[ErrorKind::Invalid, ErrorKind::Unavailable], &["store"]);
        fs::set_permissions(&shop.store, Permissions::from_mode(0o700)).expect("chmod");
        return;
    }
    if !mount(&["--bind", &store]) {
        return loudly("SKIPPED: a read-only store, as nothing can be mounted here");
    }
    let said = mount(&["-o", "remount,ro,bind"]).then(|| shop.try_open().err());
    let unmounted = std::process::Command::new("umount").arg(&store).status().is_ok_and(|status| status.success());
    assert!(unmounted, "{store} is still mounted");
    let error = said.expect("remounted").expect("a refusal");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.message().contains("read-only"), "{error}");
    assert!(live(&shop, &created));
}

#[test]
fn a_check_right_after_an_opening_finds_nothing_wrong() {
    for manual in [true, false] {
        let dir = Dir::new();
        let shop = Shop { idle_ms: 86_400_000, manual, ..dir.shop() };
        for _ in 0..5 {
            let manager = shop.open();
            // Nobody has reaped yet: what was restored is not filed.
            assert_eq!(manager.check(), Ok(Vec::new()));
            let token = manager.create(CreateOptions::new("shop")).expect("create").token.reveal();
            assert!(matches!(manager.touch(&token, TouchKind::Activity), Ok(Touched::Live(_))));
            assert_eq!(manager.check(), Ok(Vec::new()));
            manager.close(Duration::ZERO);
        }
    }
}
