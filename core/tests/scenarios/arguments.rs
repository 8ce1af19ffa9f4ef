//! Whatever a caller passes is checked: the error names the value and the bound, and nothing has changed.

use super::*;

const YEARS_101: Duration = Duration::from_secs(101 * 366 * 86_400);

/// An error of a kind whose text names each of these words.
#[track_caller]
fn assert_error<T>(result: Result<T>, kind: ErrorKind, words: &[&str]) {
    let Err(error) = result else { panic!("it was taken") };
    assert_eq!(error.kind(), kind, "{error:?}");
    for word in words {
        assert!(error.message().contains(word), "'{}' does not name '{word}'", error.message());
    }
}

use ErrorKind::{Exists, Invalid, Quota};

#[test]
fn every_option_of_a_manager_is_checked() {
    let open = |change: &dyn Fn(&mut Config)| {
        let mut config = Config::new().application(shop()).pool(Pool::new("users", 5));
        change(&mut config);
        Manager::new(config)
    };
    assert!(open(&|_| {}).is_ok());
    assert_error(open(&|config| config.store = "paper".into()), Invalid, &["paper", "memory"]);
    assert_error(open(&|config| config.workers = 0), Invalid, &["workers", "0"]);
    assert_error(open(&|config| config.decider_workers = 65), Invalid, &["decider_workers", "65"]);
    assert_error(open(&|config| config.callback_deadline = Duration::ZERO), Invalid, &["callback_deadline"]);
    assert_error(open(&|config| config.max_request = Duration::ZERO), Invalid, &["max_request"]);
    assert_error(open(&|config| config.tombstone = YEARS_101), Invalid, &["tombstone", "100 years"]);
    assert_error(open(&|config| config.lock_timeout = Duration::MAX), Invalid, &["lock_timeout"]);
    assert_error(open(&|config| config.applications[0].name.clear()), Invalid, &["application"]);
    assert_error(open(&|config| config.applications[0].name = "n".repeat(129)), Invalid, &["129", "128"]);
    assert_error(open(&|config| config.applications[0].namespace = "n".repeat(129)), Invalid, &["129", "128"]);
    assert_error(open(&|config| config.applications[0].name = "a\nb".into()), Invalid, &["control"]);
    assert_error(open(&|config| config.applications.push(shop())), Invalid, &["shop"]);
    assert_error(
        open(&|config| config.applications[0].idle_timeout = Some(Duration::ZERO)),
        Invalid,
        &["idle_timeout"],
    );
    assert_error(open(&|config| config.applications[0].idle_timeout = Some(YEARS_101)), Invalid, &["100 years"]);
    assert_error(open(&|config| config.applications[0].pool = Some("none".into())), Invalid, &["none"]);
    assert_error(open(&|config| config.applications[0].event_classes.push(String::new())), Invalid, &["event class"]);
    assert_error(open(&|config| config.applications[0].required_event_classes.push("x".into())), Invalid, &["x"]);
    assert_error(open(&|config| config.pools.push(Pool::new("users", 1))), Invalid, &["users"]);
    assert_error(open(&|config| config.pools[0].name.clear()), Invalid, &["pool"]);
    assert_error(open(&|config| config.pools[0].max_connections = 0), Invalid, &["max_connections", "0"]);
    assert_error(open(&|config| config.pools[0].max_sessions_per_holder = Some(0)), Invalid, &["users"]);
    assert_error(open(&|config| config.pools[0].capacity = u64::MAX), Invalid, &["capacity", "users"]);
}

#[test]
fn a_creation_checks_everything_and_changes_nothing() {
    let quotas = Quotas { session_bytes: 1000, value_bytes: 100, ..Quotas::default() };
    let mut short = shop();
    short.absolute_timeout = Some(Some(Duration::from_secs(60)));
    let mut off = Application::new("off");
    off.enabled = false;
    let config = Config { quotas, ..Config::new() };
    let (_, manager) = manual(config.application(short).application(off));
    let make = |change: &dyn Fn(&mut CreateOptions)| {
        let mut options = CreateOptions::new("shop");
        change(&mut options);
        manager.create(options)
    };
    let secs = Duration::from_secs;
    assert_error(make(&|options| options.application = Some("nowhere".into())), Invalid, &["nowhere", "shop"]);
    assert_error(make(&|options| options.application = Some("x".repeat(10_000))), Invalid, &["shop"]);
    assert_error(make(&|options| options.application = Some("off".into())), ErrorKind::Denied, &["off"]);
    assert_error(make(&|options| options.client.address = Some("a".repeat(257))), Invalid, &["address", "257", "256"]);
    assert_error(make(&|options| options.client.user_agent = Some("a".repeat(1025))), Invalid, &["1025", "1024"]);
    assert_error(make(&|options| options.client.referrer = Some("a".repeat(2049))), Invalid, &["2049", "2048"]);
    assert_error(make(&|options| options.idle_timeout = Some(Some(Duration::ZERO))), Invalid, &["idle_timeout"]);
    assert_error(make(&|options| options.idle_timeout = Some(Some(YEARS_101))), Invalid, &["100 years"]);
    assert_error(make(&|options| options.absolute_timeout = Some(Duration::ZERO)), Invalid, &["absolute_timeout"]);
    assert_error(make(&|options| options.absolute_timeout = Some(secs(61))), Invalid, &["61000", "60000"]);
    assert_error(make(&|options| options.license_class = Some(LicenseClass::Named)), Invalid, &["pool"]);
    assert_error(make(&|options| options.data = vec![("a".into(), "x".repeat(101).into())]), Quota, &["100"]);
    let many = |options: &mut CreateOptions| {
        options.data = (0..20).map(|number| (number.to_string(), "x".repeat(90).into())).collect();
    };
    assert_error(make(&many), Quota, &["1000"]);
    assert_eq!(manager.stats().expect("stats").created, 0);
    assert_empty(&manager);
}

#[test]
fn what_is_no_token_is_absent_whatever_it_is() {
    let (_, manager) = manual(Config::new().application(shop()));
    let created = create(&manager);
    let good = created.token.reveal();
    let mut bad = vec![
        String::new(),
        created.id.to_string(),
        "a".repeat(40),
        "=".repeat(40),
        " ".repeat(40),
        "\0".repeat(40),
        "ä".repeat(20),
        "a".repeat(10_000),
        good[..39].to_owned(),
        format!("{good}a"),
        format!(" {good}"),
        format!("{good}\n"),
        good.to_lowercase(),
        good.chars().rev().collect(),
    ];
    bad.retain(|token| *token != good);
    // Every single character changed.
    for position in 0..good.len() {
        let mut token = good.clone().into_bytes();
        token[position] = if token[position] == b'A' { b'B' } else { b'A' };
        bad.push(String::from_utf8(token).expect("ascii"));
    }
    for token in bad {
        assert!(matches!(manager.begin(&token, BeginOptions::default()), Ok(Begin::Absent)), "{token:?}");
        assert_eq!(manager.touch(&token, TouchKind::Activity), Ok(Touched::Absent), "{token:?}");
        assert_eq!(manager.id_of(&token), Ok(None), "{token:?}");
    }
    let stats = manager.stats().expect("stats");
    assert_eq!((stats.created, stats.live, stats.in_flight, stats.tombstones), (1, 1, 0, 0));
    begin(&manager, &good).finish().expect("finish");
}

#[test]
fn an_id_is_parsed_strictly_and_an_unknown_one_is_absent() {
    let (_, manager) = manual(Config::new().application(shop()));
    let created = create(&manager);
    let good = created.id.to_string();
    assert_eq!(good.parse::<SessionId>(), Ok(created.id));
    for bad in ["", "a", &good[..21], &format!("{good}a"), &created.token.reveal(), &" ".repeat(22)] {
        assert_error(bad.parse::<SessionId>(), Invalid, &["22"]);
    }
    let unknown: SessionId = "AAAAAAAAAAAAAAAAAAAAAA".parse().expect("an id");
    assert_eq!(manager.end(unknown, EndOptions::default()), Ok(EndOutcome::Absent));
    assert_eq!(manager.explain(unknown), Ok(None));
    assert_eq!(manager.set_idle_timeout(unknown, None), Ok(false));
    assert_eq!(manager.set_absolute_timeout(unknown, Duration::from_secs(1)), Ok(false));
    assert_eq!(manager.damage(unknown), Ok(false));
}

#[test]
fn a_request_checks_everything_and_changes_nothing() {
    let quotas = Quotas { levels: 4, value_bytes: 100, session_bytes: 1000, ..Quotas::default() };
    let config = Config { quotas, ..Config::new() };
    let (_, manager) = manual(config.application(shop()).application(Application::new("bar")));
    let created = create(&manager);
    let token = created.token.reveal();
    let with = |change: &dyn Fn(&mut BeginOptions)| {
        let mut options = BeginOptions::default();
        change(&mut options);
        manager.begin(&token, options)
    };
    assert_error(with(&|options| options.application = Some("nowhere".into())), Invalid, &["nowhere"]);
    assert_error(with(&|options| options.lock_timeout = Some(YEARS_101)), Invalid, &["lock_timeout"]);
    let request = begin(&manager, &token);
    assert_error(request.login(""), Invalid, &["user"]);
    assert_error(request.login(&"u".repeat(257)), Invalid, &["257", "256"]);
    assert_error(request.trade(), Invalid, &[]);
    assert_error(request.set_idle_timeout(Some(Duration::ZERO)), Invalid, &["idle_timeout"]);
    assert_error(request.set_idle_timeout(Some(YEARS_101)), Invalid, &["100 years"]);
    assert_error(request.set_absolute_timeout(Duration::ZERO), Invalid, &["absolute_timeout"]);
    assert_error(request.event_class_add("", None), Invalid, &["event class"]);
    assert_error(request.event_class_add(&"c".repeat(129), None), Invalid, &["129", "128"]);
    assert_error(request.event_class_add("c", Some(&"n".repeat(129))), Invalid, &["129", "128"]);
    assert_error(request.attach("", Arc::new(1)), Invalid, &[]);
    assert_error(request.lock(LockMode::Shared, Some(YEARS_101)), Invalid, &["lock_timeout"]);
    assert_error(request.set(&path("a"), "x".repeat(101).into()), Quota, &["100"]);
    let deep: Vec<_> = (0..5).map(Subscript::from).collect();
    assert_error(request.set(&deep, 1.into()), Quota, &["4"]);
    let long = EndOptions { actor: Some("a".repeat(257)), ..EndOptions::default() };
    assert_error(request.end(long), Invalid, &["257", "256"]);
    let note = EndOptions { note: Some("n".repeat(1025)), ..EndOptions::default() };
    assert_error(manager.end(created.id, note), Invalid, &["1025", "1024"]);
    let reason = EndOptions { reason: EndReason::LicenseDenied, ..EndOptions::default() };
    assert_error(manager.end(created.id, reason), Invalid, &["license_denied"]);
    assert_eq!(request.count(), Ok(0));
    request.finish().expect("finish");
    assert_error(request.finish(), ErrorKind::Closed, &[]);
    assert_error(manager.set_idle_timeout(created.id, Some(Duration::ZERO)), Invalid, &["idle_timeout"]);
    assert_error(manager.end_where(&Filter::default(), EndOptions::default(), 0, 0), Invalid, &["limit"]);
    assert_error(manager.list(&Filter::default(), 0, 0), Invalid, &["page of 0"]);
    assert_error(manager.list(&Filter::default(), 0, 10_001), Invalid, &["10001"]);
    assert_eq!(manager.list(&Filter::default(), u64::MAX, 10).expect("a page").next, None);
    assert_error(manager.usage("nowhere"), Invalid, &["nowhere"]);
    assert_error(manager.audit("nowhere"), Invalid, &["nowhere"]);
    assert_error(manager.drain(YEARS_101), Invalid, &["timeout"]);
    assert_eq!(manager.count(), Ok(1));
    let info = manager.explain(created.id).expect("explain").expect("known").live.expect("live");
    assert_eq!((info.user, info.data_bytes, info.in_flight), (None, Some(0), 0));
}

#[test]
fn a_class_is_registered_once_and_its_name_is_checked() {
    let (_, manager) = manual(Config::new().application(shop()));
    let class = |name: &str| EventClass::new(name, Callbacks::new());
    manager.register(class("one")).expect("register");
    assert_error(manager.register(class("one")), Exists, &["one"]);
    assert_error(manager.register(class("")), Invalid, &["event class"]);
    assert_error(manager.register(class(&"c".repeat(129))), Invalid, &["129", "128"]);
    assert_error(manager.register(class("two").deadline(Duration::ZERO)), Invalid, &["deadline"]);
    assert_error(manager.register(class("two").deadline(YEARS_101)), Invalid, &["deadline"]);
    manager.register(class("one").namespace("other")).expect("another namespace");
    assert_eq!(manager.unregister("one", ""), Ok(true));
    assert_eq!(manager.unregister("one", ""), Ok(false));
}
