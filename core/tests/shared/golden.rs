//! One directory of each format there was: every version opens them all.
//!
//! `LSES_GOLDEN=1 cargo test -p libsession-core --test shared golden` writes that of the present format anew.

use std::fs;
use std::path::PathBuf;

use super::damage::copy;
use super::*;

/// The format that this version writes.
const FORMAT: &str = "v4";

fn golden() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden"))
}

fn shop(dir: &Dir) -> Shop {
    Shop { class: "audit".into(), ..dir.shop() }
}

/// Sessions that live for ever, one that is long since overdue, one that had ended, and what they hold: as lines.
fn write(shop: &Shop) -> String {
    let manager = shop.open();
    let mut lines = String::new();
    let make = |idle: Option<Duration>| {
        let client = Client { address: Some("192.0.2.7".into()), ..Client::default() };
        let options = CreateOptions { idle_timeout: Some(idle), client, ..CreateOptions::new("shop") };
        manager.create(options).expect("create")
    };
    for number in 0..4 {
        let created = make(None);
        let begun = manager.begin(&created.token.reveal(), BeginOptions::default());
        let request = begun.and_then(Begin::live).expect("begin");
        request.set(&path("number"), Value::Int(number)).expect("set");
        let deep = [Subscript::from("deep"), Subscript::from(1), Subscript::from("text")];
        request.set(&deep, Value::from("grüße")).expect("set");
        request
            .set(&path("list"), Value::List(vec![Value::Null, Value::Float(0.5), Value::Bytes(vec![0, 255])]))
            .expect("set");
        let (mut token, mut user) = (created.token, "-".to_owned());
        if number % 2 == 1 {
            user = format!("user-{number}");
            token = request.login(&user).expect("login").token;
        }
        request.finish().expect("finish");
        lines.push_str(&format!("live {} {} {user} {number}\n", created.id, token.reveal()));
    }
    let ended = make(None);
    manager.end(ended.id, EndOptions::default()).expect("end");
    lines.push_str(&format!("ended {} {} - 0\n", ended.id, ended.token.reveal()));
    let overdue = make(Some(Duration::from_millis(1500)));
    lines.push_str(&format!("overdue {} {} - 0\n", overdue.id, overdue.token.reveal()));
    manager.close(Duration::from_secs(5));
    lines
}

/// Holds a store against the lines that were written with it.
fn compare(shop: &Shop, lines: &str) {
    let manager = shop.open();
    let told = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = told.clone();
    let callbacks = Callbacks::new().on(EventKind::End, move |event| {
        seen.lock().expect("the notes").push((event.session_id.to_string(), event.reason));
        Ok(Verdict::Allow)
    });
    manager.register(EventClass::new("audit", callbacks)).expect("register");
    let mut live = 0;
    for line in lines.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [state, id, token, user, number] = words[..] else { panic!("{line}") };
        let touched = manager.touch(token, TouchKind::Activity).expect("touch");
        if state != "live" {
            assert!(!matches!(touched, Touched::Live(_)), "{line}: {touched:?}");
            continue;
        }
        live += 1;
        let request = manager.begin(token, BeginOptions::default()).and_then(Begin::live).expect("begin");
        assert_eq!(request.id().to_string(), id);
        assert_eq!(request.user().expect("user").as_deref(), (user != "-").then_some(user), "{line}");
        assert_eq!(request.get(&path("number")), Ok(Some(Value::Int(number.parse().expect("a number")))));
        let deep = [Subscript::from("deep"), Subscript::from(1), Subscript::from("text")];
        assert_eq!(request.get(&deep), Ok(Some(Value::from("grüße"))));
        let list = Value::List(vec![Value::Null, Value::Float(0.5), Value::Bytes(vec![0, 255])]);
        assert_eq!(request.get(&path("list")), Ok(Some(list)));
        assert_eq!(request.info().expect("info").client.address.as_deref(), Some("192.0.2.7"));
        request.finish().expect("finish");
    }
    assert_eq!(manager.count(), Ok(live));
    let usage = manager.usage("users").expect("usage");
    assert_eq!((usage.in_use, usage.holders.len() as u64), (live, live));
    assert_eq!(manager.check(), Ok(Vec::new()));
    // Both ends are told: one was not delivered then, the other happens at this opening.
    assert_eq!(manager.drain(BOUND), Ok(true));
    wait_until("both ends are told", || told.lock().expect("the notes").len() == 2);
    let told = told.lock().expect("the notes").clone();
    for (line, reason) in
        lines.lines().filter(|line| !line.starts_with("live")).zip([EndReason::Ended, EndReason::ExpiredWhileDown])
    {
        let id = line.split(' ').nth(1).expect("an id");
        assert!(told.iter().any(|(told, why)| told == id && *why == Some(reason)), "{line}: {told:?}");
    }
    manager.create(CreateOptions::new("shop")).expect("create");
    manager.close(Duration::from_secs(5));
}

#[test]
fn every_golden_directory_opens() {
    if std::env::var_os("LSES_GOLDEN").is_some() {
        let place = golden().join(FORMAT);
        let _ = fs::remove_dir_all(&place);
        fs::create_dir_all(&place).expect("a directory");
        let dir = Dir::new();
        let lines = write(&shop(&dir));
        copy(&shop(&dir).store, &place.join("store"), false);
        fs::write(place.join("expected.txt"), lines).expect("write");
        let written = std::time::Instant::now();
        wait_until("the overdue one is overdue", || written.elapsed() > Duration::from_secs(2));
    }
    let mut formats = 0;
    for entry in fs::read_dir(golden()).expect("tests/golden") {
        let format = entry.expect("an entry").path();
        if !format.is_dir() {
            continue;
        }
        let dir = Dir::new();
        let shop = shop(&dir);
        copy(&format.join("store"), &shop.store, true);
        let lines = fs::read_to_string(format.join("expected.txt")).expect("expected.txt");
        println!("{}", format.display());
        compare(&shop, &lines);
        formats += 1;
    }
    assert!(formats > 0 && golden().join(FORMAT).is_dir(), "there is no directory of the present format");
}
