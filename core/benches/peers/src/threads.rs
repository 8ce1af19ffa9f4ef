//! Two threads against one: CPU time of each call, so that a busy machine does not count.

use std::sync::Barrier;

use crate::measure::{Random, median, per_step};
use crate::ours::Ours;
use crate::peers::{self, Peer};
use crate::report::Report;

const GROUP: &str = "two threads";
const STEPS: usize = 100_000;

/// CPU nanoseconds a step of `body(thread, step)` with as many threads at once.
fn with_threads(threads: usize, body: &(dyn Fn(usize, usize) + Sync)) -> f64 {
    let barrier = Barrier::new(threads);
    let times: Vec<f64> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|thread| {
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    per_step(STEPS, || (0..STEPS).for_each(|step| body(thread, step)))
                })
            })
            .collect();
        running.into_iter().map(|thread| thread.join().expect("a thread")).collect()
    });
    times.iter().sum::<f64>() / threads as f64
}

/// One and two threads, interleaved.
fn both(rounds: usize, body: &(dyn Fn(usize, usize) + Sync)) -> (f64, f64) {
    let (mut one, mut two) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        one.push(with_threads(1, body));
        two.push(with_threads(2, body));
    }
    (median(&mut one), median(&mut two))
}

pub fn measure(report: &mut Report, rounds: usize) {
    let ours = Ours::new(1000, 0);
    let peers: Vec<(Box<dyn Peer>, Vec<u128>)> = ["RwLock<hashbrown>", "dashmap"]
        .into_iter()
        .filter_map(peers::by_name)
        .map(|peer| {
            let ids: Vec<u128> = (0..1000).map(|_| peers::id()).collect();
            ids.iter().for_each(|id| peer.create(*id, &[]));
            (peer, ids)
        })
        .collect();
    let pick = |thread: usize, step: usize, among: usize| Random::new((step as u64) << 1 | thread as u64).below(among);

    let (one, two) = both(rounds, &|_, _| ours.end(&ours.create()));
    report.against(GROUP, "create + end, 1k", two, "ns", ("one thread", one), 1.1);
    let (_, rw) = both(rounds, &|_, _| {
        let id = peers::id();
        peers[0].0.create(id, &[]);
        peers[0].0.end(id);
    });
    report.against(GROUP, "create + end, 1k", two, "ns", ("RwLock<hashbrown>", rw), 0.6);

    let (one, two) =
        both(rounds, &|thread, step| assert!(ours.touch(&ours.made[thread * 500 + pick(thread, step, 500)].1)));
    report.against(GROUP, "touch, sessions of its own", two, "ns", ("one thread", one), 2.0 / 1.9);

    let (one, two) = both(rounds, &|thread, step| assert!(ours.touch(&ours.made[pick(thread, step, 16)].1)));
    report.against(GROUP, "touch, the same 16 sessions", two, "ns", ("one thread", one), 1.2);
    let hot: Vec<f64> = peers
        .iter()
        .map(|(peer, ids)| both(rounds, &|thread, step| assert!(peer.touch(ids[pick(thread, step, 16)]))).1)
        .collect();
    report.against(GROUP, "touch, the same 16 sessions", two, "ns", ("RwLock<hashbrown>", hot[0]), 0.05);
    report.against(GROUP, "touch, the same 16 sessions", two, "ns", ("dashmap", hot[1]), 0.1);

    let (_, two) = both(rounds, &|thread, step| assert!(ours.touch(&ours.made[pick(thread, step, 1000)].1)));
    let uniform: Vec<f64> = peers
        .iter()
        .map(|(peer, ids)| both(rounds, &|thread, step| assert!(peer.touch(ids[pick(thread, step, 1000)]))).1)
        .collect();
    report.against(GROUP, "touch, uniform 1k", two, "ns", ("RwLock<hashbrown>", uniform[0]), 0.55);
    report.against(GROUP, "touch, uniform 1k", two, "ns", ("dashmap", uniform[1]), 0.35);

    let (one, two) = both(rounds, &|thread, step| {
        ours.begin_finish(&ours.made[thread * 500 + pick(thread, step, 500)].1);
    });
    report.against(GROUP, "begin + finish, sessions of its own", two, "ns", ("one thread", one), 2.0 / 1.9);
}
