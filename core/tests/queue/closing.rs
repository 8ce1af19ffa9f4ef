//! Units granted in the instant of a close: handed over, or given back before the close returns, in a store that outlives it.

use std::sync::Barrier;

use super::*;

fn rounds() -> u64 {
    if std::env::var_os("LSES_TORTURE").is_some() { 1000 } else { 60 }
}

/// What asynchronous creations came to: nobody wants what they got, and it is ended there and then, as by a border whose
/// caller has gone.
#[derive(Default)]
struct Came {
    given_back: AtomicU64,
    refused: AtomicU64,
}

impl Came {
    fn then(self: &Arc<Self>, manager: &Manager) -> Then<Created> {
        let (came, manager) = (self.clone(), manager.clone());
        Box::new(move |made| match made {
            Ok(created) => {
                let ended = manager.end(created.id, EndOptions::default());
                assert!(matches!(ended, Ok(EndOutcome::Ended(_))), "it stays, and nobody has it: {ended:?}");
                came.given_back.fetch_add(1, Ordering::SeqCst);
            }
            Err(error) => {
                let kind = error.kind();
                assert!(matches!(kind, ErrorKind::Closing | ErrorKind::Closed | ErrorKind::LicenseDenied), "{error}");
                came.refused.fetch_add(1, Ordering::SeqCst);
            }
        })
    }
}

#[test]
fn what_is_granted_in_the_instant_of_a_close_is_had_by_somebody_or_ended() {
    // Who stays, and ends the session that all wait for.
    let place = Place::new(true, pool(1));
    let store = format!("file:{}", place.dir.as_ref().expect("a directory").display());
    let (mut given_back, mut refused) = (0, 0);
    for round in 0..rounds() {
        let holder = place.manager.create(CreateOptions::default()).expect("the only unit").id;
        let shop = Application::new("shop").pool("main");
        let config = Config { store: store.clone(), ..Config::new().application(shop).pool(pool(1)) };
        let closes = Manager::new(config).expect("another manager");
        let came = Arc::new(Came::default());
        for _ in 0..3 {
            closes.create_async(waits(BOUND, 0), came.then(&closes));
        }
        let go = Barrier::new(3);
        let handed = thread::scope(|scope| {
            // One that blocks has what it got, and what it got lives on.
            let blocks = scope.spawn(|| {
                go.wait();
                closes.create(if round % 2 == 0 { waits(BOUND, 0) } else { CreateOptions::default() }).ok()
            });
            scope.spawn(|| {
                go.wait();
                place.manager.end(holder, EndOptions::default()).expect("an end");
            });
            go.wait();
            // At another moment of the handing on each time.
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_micros(50 * (round % 40)) {
                thread::yield_now();
            }
            closes.close(BOUND);
            assert_eq!(came.given_back.load(Ordering::SeqCst) + came.refused.load(Ordering::SeqCst), 3);
            blocks.join().expect("a thread")
        });
        if let Some(created) = &handed {
            let ended = place.manager.end(created.id, EndOptions::default()).expect("an end");
            assert!(matches!(ended, EndOutcome::Ended(_)), "it was handed over, and lives: {ended:?}");
        }
        assert_eq!((place.manager.count(), place.usage().in_use, place.usage().waiting), (Ok(0), 0, 0));
        given_back += came.given_back.load(Ordering::SeqCst);
        refused += came.refused.load(Ordering::SeqCst);
    }
    place.exact();
    eprintln!("{given_back} were granted and given back, {refused} came too late");
}

#[test]
fn a_close_called_by_who_is_told_does_not_wait_for_itself() {
    for place in Place::both(pool(1)) {
        let (told, hear) = mpsc::channel();
        let manager = place.manager.clone();
        let then = move |made: Result<Created>| {
            assert!(made.is_ok(), "{made:?}");
            let begun = Instant::now();
            manager.close(BOUND);
            told.send(begun.elapsed()).expect("a listener");
        };
        place.manager.create_async(CreateOptions::default(), Box::new(then));
        assert!(hear.recv_timeout(BOUND).expect("closed") < BOUND / 2);
    }
}
