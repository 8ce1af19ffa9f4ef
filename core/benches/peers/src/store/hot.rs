//! What does not write the books: touch, begin and finish, reading data.

use std::hint::black_box;
use std::time::Duration;

use libsession_core::Subscript;

use super::lmdb::Lmdb;
use super::raw::Raw;
use super::scratch::Scratch;
use super::{BYTES, ids};
use crate::measure::{Random, Spread, median, order, per_step};
use crate::ours::Ours;
use crate::report::Report;

const GROUP: &str = "shared: touch and read";
const STEPS: usize = 100_000;
/// Characters of a token.
const TOKEN: usize = 40;
/// Of what takes microseconds.
const SLOW: usize = 20_000;

/// The tokens in the order of their use: a request brings its own along, they are not to be looked for.
struct Texts(String);

impl Texts {
    fn new(ours: &Ours, order: &[u32]) -> Self {
        Self(order.iter().map(|at| ours.made[*at as usize].1.as_str()).collect())
    }

    fn all(&self) -> impl Iterator<Item = &str> {
        (0..self.0.len()).step_by(TOKEN).map(|from| &self.0[from..from + TOKEN])
    }
}

/// CPU of the calling thread, one process, among `sessions`.
pub fn measure(report: &mut Report, sessions: usize, rounds: usize) {
    let size = crate::size(sessions);
    let (dir, raw_dir, lmdb_dir) = (Scratch::new(), Scratch::new(), Scratch::new());
    let ours = super::filled(&dir, sessions);
    let memory = Ours::new(sessions, BYTES);
    let ids = ids(sessions);
    let raw = Raw::open(raw_dir.path(), Duration::from_secs(10));
    raw.fill(&ids);
    let lmdb = Lmdb::new(lmdb_dir.path(), &ids);
    let order = order(Spread::Uniform, sessions, STEPS);
    let (ours_texts, memory_texts) = (Texts::new(&ours, &order), Texts::new(&memory, &order));
    let path = [Subscript::from("data")];
    let mut random = Random::new(11);
    let mut results: [Vec<f64>; 10] = Default::default();
    for round in 0..rounds {
        let now = round as i64 + 1;
        let slow = &order[..SLOW];
        let key = |at: &u32| ids[*at as usize];
        let read = |ours: &Ours, text: &str| assert_eq!(black_box(ours.get(text, &path)), BYTES);
        // Another manager on the same directory has read nothing yet.
        let cold = Ours::open(super::config(dir.path()));
        let from = random.below(sessions - SLOW + 1);
        let fresh = &ours.made[from..from + SLOW];
        let times = [
            per_step(STEPS, || ours_texts.all().for_each(|text| assert!(ours.touch(text)))),
            per_step(STEPS, || memory_texts.all().for_each(|text| assert!(memory.touch(text)))),
            per_step(SLOW, || slow.iter().for_each(|at| assert!(raw.touch(key(at), now)))),
            per_step(SLOW, || slow.iter().for_each(|at| assert!(lmdb.touch(key(at), now)))),
            per_step(STEPS, || ours_texts.all().for_each(|text| ours.begin_finish(text))),
            per_step(STEPS, || memory_texts.all().for_each(|text| memory.begin_finish(text))),
            per_step(SLOW, || fresh.iter().for_each(|(_, text)| read(&cold, text))),
            per_step(SLOW, || fresh.iter().for_each(|(_, text)| read(&cold, text))),
            per_step(SLOW, || slow.iter().for_each(|at| assert_eq!(raw.get(key(at)), BYTES))),
            per_step(SLOW, || memory_texts.all().take(SLOW).for_each(|text| read(&memory, text))),
        ];
        results.iter_mut().zip(times).for_each(|(results, ns)| results.push(ns));
        cold.manager.close(Duration::ZERO);
        raw.checkpoint();
    }
    let results = results.each_mut().map(|results| median(results));
    let [touch, memory_touch, raw_touch, lmdb_touch, request, memory_request, first, again, select, memory_get] =
        results;
    report.value(GROUP, format!("LMDB without sync: touch, {size}"), lmdb_touch, "ns");
    report.value(GROUP, format!("raw SQLite: touch, {size}"), raw_touch, "ns");
    let what = format!("touch, not written through, {size}");
    report.against(GROUP, &what, touch, "ns", ("memory table", memory_touch), 3.0);
    report.against(GROUP, &what, touch, "ns", ("raw SQLite, same pragmas", raw_touch), 1.0 / 25.0);
    report.beside(GROUP, &what, touch, "ns", ("LMDB without sync", lmdb_touch));
    report.beside(GROUP, format!("begin + finish, {size}"), request, "ns", ("memory table", memory_request));
    let what = format!("begin + get 200 B + finish, first read, {size}");
    report.against(GROUP, what, first, "ns", ("raw SQLite, SELECT", select), 1.5);
    let what = format!("begin + get 200 B + finish, read before, {size}");
    report.against(GROUP, what, again, "ns", ("memory table", memory_get), 4.0);
}
