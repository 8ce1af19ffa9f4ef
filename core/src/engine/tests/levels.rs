//! How full a pool is, told by whichever thread comes to it.

use super::*;

#[test]
fn a_later_level_is_not_told_before_an_earlier_one() {
    let shop = Application::new("shop").absolute_timeout(None);
    let config = Config { store: "test:levels".into(), ..Config::new() };
    let manager = Manager::new(config.application(shop).pool(Pool::new("main", 1))).expect("manager");
    let notes = Notes::default();
    let kinds = [EventKind::PoolExhausted, EventKind::PoolRecovered];
    let callbacks = kinds.into_iter().fold(Callbacks::new(), |callbacks, kind| {
        let notes = notes.clone();
        callbacks.on(kind, move |event| {
            notes.add(event.kind.name());
            Ok(Verdict::Allow)
        })
    });
    manager.register(EventClass::new("watch", callbacks)).expect("register");
    let common = common("levels");
    common.hold("take_pool_levels", 0);
    std::thread::scope(|scope| {
        scope.spawn(|| manager.create(CreateOptions::new("shop")).expect("create"));
        let until = Instant::now() + LONG;
        while common.calls("take_pool_levels") == 0 && Instant::now() < until {
            std::thread::yield_now();
        }
        // The pool is exhausted, which is not told yet. Who ends the session leaves what is to be told to who is at it.
        let (ended, is_ended) = std::sync::mpsc::channel();
        let manager = &manager;
        scope.spawn(move || {
            let listed = manager.list(&Filter::default(), 0, 2).expect("a listing");
            ended.send(manager.end(listed.sessions[0].id, EndOptions::default()).is_ok())
        });
        let came = is_ended.recv_timeout(LONG);
        common.hold("take_pool_levels", u64::MAX);
        assert_eq!(came, Ok(true), "it waits for who tells");
    });
    assert!(manager.drain(LONG).expect("drain"));
    assert_eq!(notes.all(), ["on_pool_exhausted", "on_pool_recovered"]);
}
