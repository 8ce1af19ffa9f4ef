//! Create and end: each is a transaction; an end is on the disk when it returns.
//!
//! Each store is in a process of its own, whose CPU time with all its threads is what counts: syncs and checkpoints in the
//! background, too.

use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use libsession_core::{Created, Durability};

use super::child::{self, Child};
use super::raw::{Keeper, Raw};
use super::scratch::Scratch;
use super::{BYTES, config, ids};
use crate::measure::{median, process_ns};
use crate::ours::Ours;
use crate::report::Report;

const GROUP: &str = "shared: create and end";
const STEPS: usize = 4000;
/// Steps that each wait for the disk.
const SYNCED: usize = 1000;
const CALLERS: usize = 16;
/// Afterwards, what was changed is synced and moved into the file meanwhile.
const SETTLE: Duration = Duration::from_millis(400);

/// Steps of each kind: CPU and wall microseconds of one, by rounds.
#[derive(Default)]
struct Times(Vec<f64>, Vec<f64>);

impl Times {
    fn take(&mut self, child: &mut Child) {
        child.go();
        let numbers = child.numbers();
        self.0.push(numbers[0]);
        self.1.push(numbers[1]);
    }

    fn cpu(&mut self) -> f64 {
        median(&mut self.0)
    }

    fn wall(&mut self) -> f64 {
        median(&mut self.1)
    }
}

pub fn measure(report: &mut Report, sessions: usize, rounds: usize) {
    let (dir, raw_dir) = (Scratch::new(), Scratch::new());
    super::filled(&dir, sessions).manager.close(Duration::ZERO);
    Raw::open(raw_dir.path(), Duration::from_secs(10)).fill(&ids(sessions));
    let number = sessions.to_string();
    let [mut create, mut end, mut many, mut create_synced] = [(); 4].map(|()| Times::default());
    let [mut raw_create, mut raw_end, mut raw_create_synced] = [(); 3].map(|()| Times::default());
    for _ in 0..rounds {
        let mut raw = Child::start(&["change-raw", &raw_dir.at(""), &number]);
        let mut ours = Child::start(&["change", &dir.at("")]);
        create.take(&mut ours);
        raw_create.take(&mut raw);
        end.take(&mut ours);
        raw_end.take(&mut raw);
        many.take(&mut ours);
        create_synced.take(&mut ours);
        raw_create_synced.take(&mut raw);
        ours.wait();
        raw.wait();
    }
    let size = crate::size(sessions);
    let what = format!("create with license and 200 B, {size}");
    report.against(GROUP, what, create.cpu(), "µs", ("raw transaction", raw_create.cpu()), 2.0);
    let what = format!("the same, durable, {size}");
    report.against(GROUP, what, create_synced.cpu(), "µs", ("raw transaction, synced", raw_create_synced.cpu()), 2.0);
    let what = format!("end with license, on the disk, {size}");
    report.against(GROUP, &what, end.cpu(), "µs", ("raw transaction, synced", raw_end.cpu()), 2.0);
    report.beside(GROUP, format!("{what}: wall time"), end.wall(), "µs", ("raw transaction, synced", raw_end.wall()));
    report.beside(GROUP, format!("end, {CALLERS} callers, {size}"), many.cpu(), "µs", ("one caller", end.cpu()));
    report.beside(GROUP, format!("end, {CALLERS} callers: wall time"), many.wall(), "µs", ("one caller", end.wall()));
}

/// In the child: waits for its turn, tells CPU and wall microseconds a step.
fn turn(steps: usize, run: impl FnOnce()) {
    child::turn();
    let (cpu, begun) = (process_ns(), Instant::now());
    run();
    let wall = begun.elapsed().as_secs_f64() * 1e6;
    std::thread::sleep(SETTLE);
    child::say(&[(process_ns() - cpu) as f64 / 1000.0 / steps as f64, wall / steps as f64]);
}

/// In a process of its own: creates, ends, ends with many callers that share syncs, creates durably.
pub fn ours(dir: &Path) {
    let ours = Ours::open(config(dir));
    child::say(&["ready"]);
    let mut made: Vec<Created> = Vec::with_capacity(STEPS);
    turn(STEPS, || made.extend((0..STEPS).map(|_| ours.create_with(BYTES, None))));
    let rest = made.split_off(SYNCED);
    turn(SYNCED, || made.iter().for_each(|created| ours.end(created)));
    let left = Mutex::new(rest);
    let next = || left.lock().expect("the rest").pop();
    let end = || std::iter::from_fn(next).for_each(|created| ours.end(&created));
    turn(STEPS - SYNCED, || std::thread::scope(|scope| (0..CALLERS).for_each(|_| drop(scope.spawn(end)))));
    // Where a creation, too, is on the disk when it returns.
    let durable = Ours::open(config(dir).durability(Durability::Durable));
    let mut made: Vec<Created> = Vec::with_capacity(SYNCED);
    turn(SYNCED, || made.extend((0..SYNCED).map(|_| durable.create_with(BYTES, None))));
    made.iter().for_each(|created| ours.end(created));
    durable.manager.close(Duration::ZERO);
    ours.manager.close(Duration::ZERO);
}

/// The same by SQLite alone.
pub fn raw(dir: &Path, sessions: usize) {
    let raw = Raw::open(dir, Duration::from_secs(10)).checkpointing();
    let keeper = Keeper::start(dir);
    let ids = ids(sessions + STEPS + SYNCED);
    let (made, synced) = ids[sessions..].split_at(STEPS);
    let (ending, rest) = made.split_at(SYNCED);
    child::say(&["ready"]);
    turn(STEPS, || made.iter().for_each(|id| raw.create(*id)));
    let step = |change: fn(&Raw, i64), id: &i64| {
        change(&raw, *id);
        raw.sync();
    };
    turn(SYNCED, || ending.iter().for_each(|id| step(Raw::end, id)));
    rest.iter().for_each(|id| raw.end(*id));
    turn(SYNCED, || synced.iter().for_each(|id| step(Raw::create, id)));
    synced.iter().for_each(|id| raw.end(*id));
    drop(keeper);
}
