//! CB-06 and CB-09: counts that are exact under load, and classes that come and go meanwhile.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

#[test]
fn slow_callbacks_delay_no_end_and_every_end_is_told_or_a_dead_letter() {
    const QUEUE: usize = 10_000;
    let ends = 100_000;
    let slow = Duration::from_millis(rounds(1, 5) as u64);
    let config = Config { queue: QUEUE, dead_letters: 200_000, workers: 4, ..Config::new() };
    let manager = Manager::new(config.application(shop().event_class("slow"))).expect("manager");
    let gate = Gate::default();
    let delivered = Arc::new(AtomicU64::new(0));
    let (count, wait) = (delivered.clone(), gate.clone());
    let callbacks = Callbacks::new().on(EventKind::End, move |_| {
        // Nobody opens this gate: it is what takes its time.
        wait.hang_for(slow);
        count.fetch_add(1, Ordering::SeqCst);
        Ok(Verdict::Allow)
    });
    manager.register(EventClass::new("slow", callbacks)).expect("register");
    let ids: Vec<_> = (0..ends).map(|_| create(&manager).id).collect();
    let mut times: Vec<_> = ids
        .iter()
        .map(|id| {
            let start = Instant::now();
            assert!(matches!(manager.end(*id, EndOptions::default()), Ok(EndOutcome::Ended(_))));
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    let p99 = times[times.len() * 99 / 100];
    assert!(p99 < Duration::from_millis(10), "an end took {p99:?} (p99)");
    assert!(manager.stats().expect("stats").callbacks_queued <= QUEUE as u64, "the queue is not bounded");
    assert!(manager.drain(Duration::from_secs(120)).expect("drain"));
    let stats = manager.stats().expect("stats");
    let (told, dead) = (delivered.load(Ordering::SeqCst), stats.dead_letters);
    assert_eq!(told + dead, ends, "{told} were told and {dead} are dead letters");
    assert_eq!((stats.callbacks_delivered, stats.callbacks_queued), (told, 0));
    let letters = manager.dead_letters(0, usize::MAX).expect("dead letters");
    assert_eq!(letters.len() as u64, dead);
    assert!(letters.iter().all(|letter| letter.error == "queue_full"), "{:?}", letters[0]);
    assert_empty(&manager);
    manager.close(Duration::from_secs(1));
}

#[test]
fn a_dead_letter_is_delivered_again_under_its_event_id() {
    let (clock, manager) = manual(Config::new().application(shop().event_class("moody")));
    let well = Flag::default();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (mood, told) = (well.clone(), seen.clone());
    let callbacks = Callbacks::new().on(EventKind::End, move |event| {
        told.lock().push(event.event_id);
        if mood.is_set() { Ok(Verdict::Allow) } else { Err("not today".into()) }
    });
    manager.register(EventClass::new("moody", callbacks)).expect("register");
    manager.end(create(&manager).id, EndOptions::default()).expect("end");
    clock.advance(Duration::from_secs(60)).expect("advance");
    let letters = manager.dead_letters(0, 10).expect("dead letters");
    assert_eq!((letters.len(), letters[0].attempts, &*letters[0].error), (1, 4, "not today"));
    well.set();
    assert_eq!(manager.redeliver(Some(letters[0].id)), Ok(1));
    assert!(manager.drain(BOUND).expect("drain"));
    assert_eq!(manager.dead_letters(0, 10).expect("dead letters"), Vec::new());
    let seen = seen.lock();
    assert!(seen.len() == 5 && seen.iter().all(|event| *event == letters[0].event_id), "{seen:?}");
}

/// Counts its drops, and the calls after them.
struct Counted {
    dropped: Arc<AtomicU64>,
    alive: Flag,
    late: Arc<AtomicU64>,
}

impl EventHandler for Counted {
    fn handles(&self, kind: EventKind) -> bool {
        kind == EventKind::End
    }

    fn call(&self, _event: &Arc<Event>, _attempt: Attempt, reply: Reply) {
        if !self.alive.is_set() {
            self.late.fetch_add(1, Ordering::SeqCst);
        }
        reply.done();
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_class_that_is_unregistered_is_dropped_once_and_never_called_again() {
    let config = Config { dead_letters: 10, ..Config::new() };
    let manager = Manager::new(config.application(shop().event_class("comes"))).expect("manager");
    let (dropped, late) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let over = Flag::default();
    let count = rounds(3000, 100_000) as u64;
    std::thread::scope(|scope| {
        let ends = scope.spawn(|| {
            while !over.is_set() {
                manager.end(create(&manager).id, EndOptions::default()).expect("end");
            }
        });
        for _ in 0..count {
            let alive = Flag::default();
            alive.set();
            let counted = Counted { dropped: dropped.clone(), alive: alive.clone(), late: late.clone() };
            manager.register(EventClass::new("comes", counted)).expect("register");
            std::thread::yield_now();
            assert_eq!(manager.unregister("comes", ""), Ok(true));
            alive.0.store(false, Ordering::SeqCst);
        }
        over.set();
        ends.join().expect("ends");
    });
    assert_eq!(manager.unregister("comes", ""), Ok(false));
    manager.close(Duration::from_secs(5));
    assert_eq!(late.load(Ordering::SeqCst), 0, "a class was called after it was unregistered");
    wait_until("every handler is dropped", || dropped.load(Ordering::SeqCst) >= count);
    assert_eq!(dropped.load(Ordering::SeqCst), count);
}
