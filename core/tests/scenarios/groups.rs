//! Groups that the host tells: asked where they matter, contained, and nothing changed when they can't be told.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// Three units: one for all, one for group cad, one that only administrators of group ops get.
fn apart() -> Pool {
    Pool {
        reservations: vec![Reservation::new(1, ["group:cad"])],
        break_glass: 1,
        administrators: vec!["group:ops".into()],
        exclude: vec!["group:guests".into()],
        ..Pool::new("main", 3)
    }
}

fn config() -> Config {
    Config::new()
        .application(Application { pool: Some("plain".into()), ..shop() })
        .pool(Pool::new("plain", 9))
        .pool(apart())
}

/// The same, where sessions take their units of the pool that names groups.
fn grouped() -> Config {
    let mut config = config();
    config.applications[0].pool = Some("main".into());
    config
}

fn begin_new(manager: &Manager) -> Request {
    manager.begin_new(CreateOptions::new("shop"), BeginOptions::default()).expect("a session")
}

/// Tells `cad` for ann, `ops` for root and nothing for others, and counts.
fn resolver(asked: &Arc<AtomicUsize>) -> Option<Arc<dyn GroupResolver>> {
    let asked = asked.clone();
    Some(Arc::new(move |user: &str| {
        asked.fetch_add(1, Ordering::SeqCst);
        Ok(match user {
            "ann" => vec!["cad".to_owned()],
            "root" => vec!["ops".to_owned()],
            "eve" => vec!["guests".to_owned()],
            _ => Vec::new(),
        })
    }))
}

fn holders(manager: &Manager) -> Vec<String> {
    let usage = manager.usage("main").expect("usage");
    usage.holders.iter().map(|one| one.holder.to_string()).collect()
}

#[test]
fn groups_are_asked_where_a_rule_names_one_and_none_are_given() {
    let asked = Arc::new(AtomicUsize::new(0));
    let (_, manager) = manual(config());
    manager.set_group_resolver(resolver(&asked)).expect("set");
    let request = begin_new(&manager);
    // Its license is of a pool that names no group.
    request.login("ann").expect("a login");
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    request.take_feature("plain", FeatureOptions::default()).expect("a feature");
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    request.take_feature("main", FeatureOptions::default()).expect("a feature");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    let given = |groups: &[&str]| FeatureOptions {
        groups: Some(groups.iter().map(|group| (*group).to_owned()).collect()),
        ..FeatureOptions::default()
    };
    // What is given counts, also if it is nothing.
    let denied = request.take_feature("main", given(&["guests"])).expect_err("excluded");
    assert_eq!(denied.deny_reason(), Some(DenyReason::Excluded));
    request.take_feature("main", given(&[])).expect("a connection more of the same unit");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    request.return_feature("main", 9).expect("returned");
    request.logout(false).expect("a logout");
    request.take_feature("main", FeatureOptions::default()).expect("for itself");
    request.end(EndOptions::default()).expect("an end");
    assert_eq!(asked.load(Ordering::SeqCst), 1, "nobody is logged in, or leaves");
}

#[test]
fn a_login_and_a_trade_count_as_the_groups_that_the_host_tells() {
    let asked = Arc::new(AtomicUsize::new(0));
    let (_, manager) = manual(grouped());
    manager.set_group_resolver(resolver(&asked)).expect("set");
    let (one, two) = (begin_new(&manager), manager.create(CreateOptions::new("shop")));
    assert_eq!(two.expect_err("one unit is for all").deny_reason(), Some(DenyReason::Reserved));
    one.login("root").expect("a login");
    assert_eq!((holders(&manager), asked.load(Ordering::SeqCst)), (vec!["root".to_owned()], 1));
    let denied = one.login("eve").expect("a login").trade_denied.expect("excluded");
    assert_eq!(denied.deny_reason(), Some(DenyReason::Excluded));
    assert_eq!(holders(&manager), ["root"], "it keeps what it has");
    assert_eq!(one.trade().expect_err("still").deny_reason(), Some(DenyReason::Excluded));
    assert_eq!(asked.load(Ordering::SeqCst), 3);
    one.trade_with(LoginOptions { groups: Some(Vec::new()), ..LoginOptions::default() }).expect("as given");
    assert_eq!((holders(&manager), asked.load(Ordering::SeqCst)), (vec!["eve".to_owned()], 3));
    one.login("ann").expect("a login");
    let records = manager.audit_records("main", 0, 100).expect("accounts");
    assert_eq!(records.last().map(|record| record.why), Some(AuditWhy::Reserved), "the rule is in the accounts");
    assert_eq!(manager.check(), Ok(Vec::new()));
}

type Tell = fn(&str) -> Result<Vec<String>, String>;

#[test]
fn groups_that_cannot_be_told_change_nothing() {
    // Whether it fails itself, or only what it tells of this user is none.
    let wrong: [(&str, bool, Tell); 5] = [
        ("the directory is down", true, |_| Err("the directory is down".into())),
        ("panic: it broke", true, |_| panic!("it broke")),
        ("257 groups", false, |_| Ok(vec!["x".into(); 257])),
        ("257 bytes", false, |_| Ok(vec!["x".repeat(257)])),
        ("0 bytes", false, |_| Ok(vec![String::new()])),
    ];
    for (told, fails, wrong) in wrong {
        let (_, manager) = manual(grouped());
        let request = begin_new(&manager);
        request
            .login_with("ann", LoginOptions { groups: Some(vec!["cad".into()]), ..LoginOptions::default() })
            .expect("given");
        let token = request.token().reveal();
        manager.set_group_resolver(Some(Arc::new(wrong))).expect("set");
        let feature = || request.take_feature("main", FeatureOptions::default());
        for error in [request.login("root").map(drop), request.trade(), feature()] {
            let error = error.expect_err(told);
            assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
            assert!(error.message().contains(told), "{error:?}");
        }
        assert_eq!(request.user(), Ok(Some("ann".into())));
        assert_eq!((request.token().reveal(), holders(&manager)), (token, vec!["ann".to_owned()]), "{told}");
        // Three failures in a row were enough; one user's names are no reason not to ask for others.
        let error =
            (0..9).map(|_| request.trade().expect_err("denied")).find(|error| error.message().contains("breaker"));
        assert_eq!(error.is_some(), fails, "{told}: is it asked again and again");
        let open: &[&str] = if fails { &["group resolver"] } else { &[] };
        assert_eq!(manager.stats().expect("stats").breakers_open, open, "{told}");
        manager.set_group_resolver(None).expect("taken away");
        request.trade().expect("without groups");
        request.logout(false).expect("a logout asks nobody");
        assert_eq!(manager.check(), Ok(Vec::new()));
    }
}

/// One that answers when the test says so.
#[derive(Clone, Default)]
struct Later(Arc<Mutex<Vec<(String, GroupReply)>>>);

impl GroupResolver for Later {
    fn resolve(&self, user: &str, reply: GroupReply) {
        self.0.lock().push((user.to_owned(), reply));
    }
}

impl Later {
    fn answer(&self, groups: &[&str]) {
        let (_, reply) = self.0.lock().pop().expect("it was asked");
        reply.groups(groups.iter().map(|group| (*group).to_owned()).collect());
    }
}

#[test]
fn who_answers_too_late_has_not_answered_and_who_answers_later_is_awaited() {
    let config = Config { callback_deadline: Duration::from_millis(50), ..grouped() };
    let (clock, manager) = manual(config);
    let later = Later::default();
    manager.set_group_resolver(Some(Arc::new(later.clone()))).expect("set");
    let request = begin_new(&manager);
    let late = request.login("ann").expect_err("late");
    assert!(late.kind() == ErrorKind::Denied && late.message().contains("deadline"), "{late:?}");
    later.answer(&["cad"]);
    assert_eq!(request.user(), Ok(None));
    let got = Arc::new(Mutex::new(None));
    let slot = got.clone();
    let options = LoginOptions::default();
    request.login_async(
        "ann",
        options,
        Box::new(move |login| *slot.lock() = Some(login.map(|login| login.trade_denied.is_none()))),
    );
    wait_until("it is asked", || later.0.lock().len() == 1);
    assert!(got.lock().is_none());
    later.answer(&["cad"]);
    wait_until("the login", || got.lock().is_some());
    assert_eq!((got.lock().take(), request.user()), (Some(Ok(true)), Ok(Some("ann".into()))));
    let slot = got.clone();
    request.trade_async(LoginOptions::default(), Box::new(move |traded| *slot.lock() = Some(traded.map(|()| true))));
    wait_until("it is asked", || later.0.lock().len() == 1);
    clock.advance(Duration::from_millis(50)).expect("time");
    wait_until("the trade", || got.lock().is_some());
    assert!(got.lock().take().expect("an answer").is_err());
    drop(request);
    manager.close(Duration::ZERO);
}

#[test]
fn a_resolver_may_call_the_manager_and_is_asked_again_for_who_came_meanwhile() {
    let (_, manager) = manual(config());
    let request = begin_new(&manager);
    request.login("ann").expect("a login");
    let (inner, within) = (manager.clone(), request.clone());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let told = asked.clone();
    let resolver = move |user: &str| {
        told.lock().push(user.to_owned());
        if user == "ann" {
            // Somebody else logs in while the groups of ann are looked up, and asks for nothing: the pool is a plain one.
            within.login("root").map_err(|error| error.to_string())?;
            assert_eq!(inner.set_group_resolver(None).map_err(|error| error.kind()), Err(ErrorKind::Reentrant));
        }
        Ok(vec![if user == "root" { "ops" } else { "guests" }.to_owned()])
    };
    manager.set_group_resolver(Some(Arc::new(resolver))).expect("set");
    let full = begin_new(&manager);
    full.take_feature("main", FeatureOptions::default()).expect("the unit for all");
    request.take_feature("main", FeatureOptions::default()).expect("what only administrators get");
    assert_eq!(*asked.lock(), ["ann", "root"]);
    assert_eq!(*request.features().expect("features")[0].holder, *"root");
    drop(full);
    manager.set_group_resolver(None).expect("taken away");
    assert_eq!(manager.check(), Ok(Vec::new()));
}

#[test]
fn a_pool_that_begins_to_name_groups_meanwhile_has_them_asked_for() {
    let asked = Arc::new(AtomicUsize::new(0));
    let mut config = grouped();
    config.pools[1] = Pool { queue: 5, ..Pool::new("main", 2) };
    let (_, manager) = manual(config);
    manager.set_group_resolver(resolver(&asked)).expect("set");
    let (first, second) = (begin_new(&manager), begin_new(&manager));
    // It waits to be ann's second connection, while rules come that let ann have none.
    first.login("ann").expect("a login");
    manager
        .change_pool(
            "main",
            |pool| {
                pool.unit_rule = UnitRule::Staircase;
                pool.capacity = 1;
                Ok(())
            },
            None,
        )
        .expect("a change");
    let wait = QueueOptions { wait: Duration::from_secs(9), ..QueueOptions::default() };
    let got = Arc::new(Mutex::new(None));
    let slot = got.clone();
    second.take_feature_async(
        "main",
        FeatureOptions { queue: wait, ..FeatureOptions::default() },
        Box::new(move |took| {
            *slot.lock() = Some(took.map_err(|error| (error.kind(), error.deny_reason())));
        }),
    );
    assert_eq!(manager.queue("main", 0, 10).expect("who waits").len(), 1);
    assert!(got.lock().is_none());
    second.login_with("ann", LoginOptions { groups: Some(vec![]), ..LoginOptions::default() }).expect("a login");
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    manager
        .change_pool(
            "main",
            |pool| {
                pool.capacity = 3;
                pool.exclude = vec!["group:cad".into()];
                Ok(())
            },
            None,
        )
        .expect("a change");
    wait_until("it goes on", || got.lock().is_some());
    assert_eq!(got.lock().take(), Some(Err((ErrorKind::LicenseDenied, Some(DenyReason::Excluded)))));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert_eq!(manager.check(), Ok(Vec::new()));
}
