//! The real mix: two processes of 16 callers each, 80 % get, 15 % touch, 2.5 % create, 2.5 % end.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use libsession_core::{Created, Subscript};

use super::child::{self, Child};
use super::redis::{Caller, Server};
use super::scratch::Scratch;
use super::{BYTES, config};
use crate::measure::{Random, median, process_ns};
use crate::ours::Ours;
use crate::peers::IDLE_MS;
use crate::report::Report;

const GROUP: &str = "shared: real mix, 2 processes of 16 callers";
const PROCESSES: usize = 2;
const CALLERS: usize = 16;
/// Sessions that each caller has of its own, to end them.
const OWN: usize = 8;
/// One in so many sessions is given a short timeout: within the window its deadline is written through. That is about
/// one use in 100.
const SHORT: usize = 50;
const SHORT_IDLE: Duration = Duration::from_secs(60);
const WARM: Duration = Duration::from_millis(1000);
const WINDOW: Duration = Duration::from_millis(3000);

/// What the callers of a process did: steps, CPU nanoseconds, latencies of a step in nanoseconds at 50 and 99 %.
type Figures = [f64; 4];

pub fn measure(report: &mut Report, sessions: usize, rounds: usize) {
    let dir = Scratch::new();
    let tokens = dir.at("tokens");
    {
        let ours = super::filled(&dir, sessions);
        let texts: Vec<&str> = ours.made.iter().map(|(_, text)| text.as_str()).collect();
        std::fs::write(&tokens, texts.join("\n")).expect("the tokens are written");
        ours.manager.close(Duration::ZERO);
    }
    let redis_dir = Scratch::new();
    let server = Server::start(redis_dir.path());
    let port = server.as_ref().map_or(0, |server| server.port).to_string();
    if let Some(server) = &server {
        server.fill(sessions);
    }
    let number = sessions.to_string();
    let mut results: [Vec<Figures>; 3] = Default::default();
    for _ in 0..rounds {
        results[0].push(run(&["mix", &dir.at(""), &tokens], None));
        if let Some(server) = &server {
            results[1].push(run(&["redis", "script", &port, &number], Some(server)));
            results[2].push(run(&["redis", "getex", &port, &number], Some(server)));
        }
    }
    let of =
        |results: &[Figures], at: usize| median(&mut results.iter().map(|figures| figures[at]).collect::<Vec<_>>());
    let [ours, script, getex] = &results;
    let size = crate::size(sessions);
    let us = |results: &[Figures]| of(results, 1) / 1000.0;
    let what = format!("CPU of one call, {size}");
    if server.is_some() {
        report.against(GROUP, &what, us(ours), "µs", ("Redis touch + data, client and server", us(script)), 0.5);
        report.beside(GROUP, &what, us(ours), "µs", ("Redis GETEX, client and server", us(getex)));
    } else {
        report.value(GROUP, &what, us(ours), "µs");
    }
    for (what, results) in [("", ours), ("Redis touch + data: ", script), ("Redis GETEX: ", getex)] {
        if !results.is_empty() {
            report.value(GROUP, format!("{what}calls a second"), of(results, 0), "/s");
            report.value(GROUP, format!("{what}p50"), of(results, 2) / 1000.0, "µs");
            report.value(GROUP, format!("{what}p99"), of(results, 3) / 1000.0, "µs");
        }
    }
}

/// Runs the processes: calls a second of all, CPU of one, latencies.
fn run(words: &[&str], server: Option<&Server>) -> Figures {
    let mut children: Vec<Child> = (0..PROCESSES).map(|_| Child::start(words)).collect();
    children.iter_mut().for_each(Child::go);
    std::thread::sleep(WARM);
    let before = server.map_or(0, Server::cpu_ns);
    std::thread::sleep(WINDOW);
    let of_server = server.map_or(0, |server| server.cpu_ns() - before) as f64;
    let figures: Vec<Vec<f64>> = children.iter_mut().map(Child::numbers).collect();
    children.into_iter().for_each(Child::wait);
    let sum = |at: usize| figures.iter().map(|numbers| numbers[at]).sum::<f64>();
    let (steps, processes) = (sum(0), PROCESSES as f64);
    [steps / WINDOW.as_secs_f64(), (sum(1) + of_server) / steps, sum(2) / processes, sum(3) / processes]
}

/// In a process of its own: `step(caller, random)` in 16 threads; warm, then measured.
fn callers<C>(make: impl Fn(usize) -> C + Sync, step: impl Fn(&mut C, &mut Random) + Sync) {
    let (counting, stop) = (AtomicBool::new(false), AtomicBool::new(false));
    let made = Barrier::new(CALLERS + 1);
    let begun = Barrier::new(CALLERS + 1);
    let mut times: Vec<u32> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..CALLERS)
            .map(|thread| {
                let (make, step, counting, stop, made, begun) = (&make, &step, &counting, &stop, &made, &begun);
                scope.spawn(move || {
                    let mut caller = make(thread);
                    let mut random = Random::new(u64::from(std::process::id()) * 64 + thread as u64 + 1);
                    let mut times = Vec::with_capacity(1 << 20);
                    made.wait();
                    begun.wait();
                    while !stop.load(Ordering::Relaxed) {
                        let before = Instant::now();
                        step(&mut caller, &mut random);
                        if counting.load(Ordering::Relaxed) {
                            times.push(u32::try_from(before.elapsed().as_nanos()).unwrap_or(u32::MAX));
                        }
                    }
                    times
                })
            })
            .collect();
        made.wait();
        child::ready();
        begun.wait();
        std::thread::sleep(WARM);
        let before = process_ns();
        counting.store(true, Ordering::Relaxed);
        std::thread::sleep(WINDOW);
        counting.store(false, Ordering::Relaxed);
        let used = process_ns() - before;
        stop.store(true, Ordering::Relaxed);
        let times = threads.into_iter().flat_map(|thread| thread.join().expect("a caller")).collect::<Vec<u32>>();
        child::say(&[times.len() as f64, used as f64, middle(&times, 0.5), middle(&times, 0.99)]);
        times
    });
    times.clear();
}

fn middle(times: &[u32], part: f64) -> f64 {
    let mut times = times.to_vec();
    let at = ((times.len() as f64 * part) as usize).min(times.len().saturating_sub(1));
    if times.is_empty() { f64::NAN } else { f64::from(*times.select_nth_unstable(at).1) }
}

/// The mix itself.
pub fn ours(dir: &str, tokens: &str) {
    let ours = Ours::open(config(dir.as_ref()));
    let text = std::fs::read_to_string(tokens).expect("the tokens");
    let tokens: Vec<&str> = text.lines().collect();
    let set = |idle: Duration| {
        for token in tokens.iter().step_by(SHORT) {
            // The timeout counts from the last use.
            assert!(ours.touch(token));
            let id = ours.manager.id_of(token).expect("a look").expect("the session is live");
            assert!(ours.manager.set_idle_timeout(id, Some(idle)).expect("set"));
        }
    };
    set(SHORT_IDLE);
    let path = [Subscript::from("data")];
    let make = |_| (0..OWN).map(|_| ours.create_with(BYTES, None)).collect::<Vec<Created>>();
    callers(make, |own, random| {
        let token = tokens[random.below(tokens.len())];
        match random.below(1000) {
            0..800 => assert_eq!(ours.get(token, &path), BYTES),
            800..950 => assert!(ours.touch(token)),
            950..975 => own.push(ours.create_with(BYTES, None)),
            _ => match own.pop() {
                Some(created) => ours.end(&created),
                None => own.push(ours.create_with(BYTES, None)),
            },
        }
    });
    set(Duration::from_millis(IDLE_MS));
    ours.manager.close(Duration::ZERO);
}

/// Every call a touch with its data.
pub fn redis(way: &str, port: u16, sessions: usize) {
    callers(
        |_| Caller::new(port),
        |caller, random| {
            let number = random.below(sessions);
            if way == "getex" { caller.get_and_expire(number) } else { caller.touch(number) }
        },
    );
}
