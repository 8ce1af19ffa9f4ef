//! How full a pool is: told to who listens, each change once and in its order.

use super::crossing::Place;
use super::*;

type Told = Arc<Mutex<Vec<EventKind>>>;

/// Has somebody listen.
fn listen(manager: &Manager) -> Told {
    let told = Told::default();
    let kinds = [EventKind::PoolLow, EventKind::PoolExhausted, EventKind::PoolRecovered, EventKind::PoolOverdraft];
    let callbacks = kinds.into_iter().fold(Callbacks::new(), |callbacks, kind| {
        let told = told.clone();
        callbacks.on(kind, move |_| {
            told.lock().push(kind);
            Ok(Verdict::Allow)
        })
    });
    manager.register(EventClass::new("watch", callbacks)).expect("register");
    told
}

#[test]
fn levels_are_told_in_their_order_whoever_causes_them() {
    // Who takes the last unit is seldom who gives one back.
    for place in Place::both(&Pool::new("main", 2)) {
        let (manager, rounds) = (&place.manager, place.rounds());
        let told = listen(manager);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(move || {
                    for _ in 0..rounds {
                        if let Ok(created) = manager.create(CreateOptions::new("shop")) {
                            manager.end(created.id, EndOptions::default()).expect("an end");
                        }
                    }
                });
            }
        });
        assert!(manager.drain(BOUND).expect("drain"));
        let told = told.lock();
        let turns = [EventKind::PoolExhausted, EventKind::PoolRecovered];
        let expected: Vec<_> = turns.into_iter().cycle().take(told.len()).collect();
        assert_eq!(*told, expected);
        assert!(told.len().is_multiple_of(2), "all units are back: {} are told", told.len());
    }
}

#[test]
fn what_was_before_anybody_listened_is_not_told() {
    for place in Place::both(&Pool::new("main", 1)) {
        for _ in 0..3 {
            place.session("shop", "").end(EndOptions::default()).expect("an end");
        }
        let told = listen(&place.manager);
        let request = place.session("shop", "");
        assert!(place.manager.drain(BOUND).expect("drain"));
        assert_eq!(*told.lock(), [EventKind::PoolExhausted]);
        request.end(EndOptions::default()).expect("an end");
    }
}
