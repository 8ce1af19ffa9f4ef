//! Create, end, begin and finish, get, set.

use std::hint::black_box;

use libsession_core::Subscript;

use crate::measure::{Random, Spread, median, order, per_step};
use crate::ours::Ours;
use crate::peers;
use crate::report::Report;

const STEPS: usize = 50_000;
const BYTES: usize = 200;

/// Requests: begin and finish by token text, with a shared lock.
pub fn requests(report: &mut Report, sessions: usize, rounds: usize, most: f64) {
    let ours = Ours::new(sessions, 0);
    let order = order(Spread::Uniform, sessions, STEPS);
    let texts: Vec<&str> = order.iter().map(|at| ours.made[*at as usize].1.as_str()).collect();
    let mut results = Vec::new();
    for _ in 0..rounds {
        results.push(per_step(STEPS, || texts.iter().for_each(|text| ours.begin_finish(text))));
    }
    let what = format!("begin + finish, {}, shared lock, token text", crate::size(sessions));
    report.at_most("requests", what, median(&mut results), "ns", most);
}

/// Create and end among `sessions` live ones, against the peers; and a license's share of it.
pub fn create_end(report: &mut Report, sessions: usize, rounds: usize) {
    const GROUP: &str = "create and end";
    let size = crate::size(sessions);
    let mut ours = Ours::new(sessions, 0);
    let mut peers: Vec<_> = peers::all()
        .into_iter()
        .map(|peer| {
            let ids: Vec<u128> = (0..sessions).map(|_| peers::id()).collect();
            ids.iter().for_each(|id| peer.create(*id, &[]));
            (peer, ids)
        })
        .collect();
    let mut random = Random::new(3);
    let mut create = vec![Vec::new(); peers.len() + 1];
    let mut end = vec![Vec::new(); peers.len() + 1];
    let (mut plain, mut licensed) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let places: Vec<usize> = (0..STEPS).map(|_| random.below(sessions)).collect();
        let mut made = Vec::with_capacity(STEPS);
        create[0].push(per_step(STEPS, || made.extend((0..STEPS).map(|_| ours.create()))));
        let mut old = Vec::with_capacity(STEPS);
        for (place, created) in places.iter().zip(made) {
            let text = created.token.reveal();
            old.push(std::mem::replace(&mut ours.made[*place], (created, text)).0);
        }
        end[0].push(per_step(STEPS, || old.iter().for_each(|created| ours.end(created))));
        for (number, (peer, ids)) in peers.iter_mut().enumerate() {
            let mut made = Vec::with_capacity(STEPS);
            create[number + 1].push(per_step(STEPS, || {
                for _ in 0..STEPS {
                    let id = peers::id();
                    peer.create(id, &[]);
                    made.push(id);
                }
            }));
            let old: Vec<u128> =
                places.iter().zip(made).map(|(place, id)| std::mem::replace(&mut ids[*place], id)).collect();
            end[number + 1].push(per_step(STEPS, || {
                assert!(old.iter().all(|id| peer.end(*id)));
            }));
        }
        plain.push(per_step(STEPS, || (0..STEPS).for_each(|_| ours.end(&ours.create_unlicensed()))));
        licensed.push(per_step(STEPS, || (0..STEPS).for_each(|_| ours.end(&ours.create()))));
    }
    let create: Vec<f64> = create.iter_mut().map(|values| median(values)).collect();
    let end: Vec<f64> = end.iter_mut().map(|values| median(values)).collect();
    let fastest = |values: &[f64]| {
        let mut best = ("", f64::INFINITY);
        for ((peer, _), ns) in peers.iter().zip(&values[1..]) {
            if *ns < best.1 {
                best = (peer.name(), *ns);
            }
        }
        best
    };
    for (number, (peer, _)) in peers.iter().enumerate() {
        report.value(GROUP, format!("{}: create, {size}", peer.name()), create[number + 1], "ns");
        report.value(GROUP, format!("{}: end, {size}", peer.name()), end[number + 1], "ns");
    }
    let both = |number: usize| create[number] + end[number];
    let named = |name: &str| {
        let number = peers.iter().position(|(peer, _)| peer.name() == name).unwrap_or(0);
        both(number + 1)
    };
    report.at_most(GROUP, format!("create with id, license, log: {size}"), create[0], "ns", 160.0);
    report.against(GROUP, format!("create, {size}"), create[0], "ns", fastest(&create), 0.45);
    report.against(GROUP, format!("end, {size}"), end[0], "ns", fastest(&end), 0.75);
    report.at_most(GROUP, format!("create with license + end, {size}"), both(0), "ns", 400.0);
    report.against(GROUP, format!("create + end, {size}"), both(0), "ns", ("dashmap", named("dashmap")), 1.0 / 3.0);
    report.against(GROUP, format!("create + end, {size}"), both(0), "ns", ("moka", named("moka")), 1.0 / 8.0);
    let pair = median(&mut licensed) - median(&mut plain);
    report.at_most(GROUP, "a unit acquired and released, with its records", pair, "ns", 15.0);
}

/// Reads and writes of 200 bytes. Ours are whole requests with their lock; the peers read and write a value.
pub fn data(report: &mut Report, sessions: usize, rounds: usize) {
    const GROUP: &str = "data of 200 bytes";
    let size = crate::size(sessions);
    let ours = Ours::new(sessions, BYTES);
    let peers: Vec<_> = peers::all()
        .into_iter()
        .filter(|peer| peer.name() != "tower-sessions")
        .map(|peer| {
            let ids: Vec<u128> = (0..sessions).map(|_| peers::id()).collect();
            ids.iter().for_each(|id| peer.create(*id, &[7; BYTES]));
            (peer, ids)
        })
        .collect();
    let order = order(Spread::Uniform, sessions, STEPS);
    let texts: Vec<&str> = order.iter().map(|at| ours.made[*at as usize].1.as_str()).collect();
    let path = [Subscript::from("data")];
    let data = [8; BYTES];
    let mut get = vec![Vec::new(); peers.len() + 1];
    let mut set = vec![Vec::new(); peers.len() + 1];
    let mut inside = Vec::new();
    for _ in 0..rounds {
        get[0].push(per_step(STEPS, || assert!(texts.iter().all(|text| ours.get(text, &path) == BYTES))));
        set[0].push(per_step(STEPS, || texts.iter().for_each(|text| ours.set(text, &path, &data))));
        inside.push(ours.request(texts[0], |request| {
            per_step(STEPS, || (0..STEPS).for_each(|_| drop(black_box(request.get(&path)))))
        }));
        for (number, (peer, ids)) in peers.iter().enumerate() {
            let ids: Vec<u128> = order.iter().map(|at| ids[*at as usize]).collect();
            let found = || assert!(ids.iter().all(|id| black_box(peer.get(*id)).is_some()));
            get[number + 1].push(per_step(STEPS, found));
            set[number + 1].push(per_step(STEPS, || ids.iter().for_each(|id| peer.set(*id, &data))));
        }
    }
    let get: Vec<f64> = get.iter_mut().map(|values| median(values)).collect();
    let set: Vec<f64> = set.iter_mut().map(|values| median(values)).collect();
    let mut best = [("", f64::INFINITY); 2];
    for (number, (peer, _)) in peers.iter().enumerate() {
        report.value(GROUP, format!("{}: get, {size}", peer.name()), get[number + 1], "ns");
        report.value(GROUP, format!("{}: set, {size}", peer.name()), set[number + 1], "ns");
        for (best, ns) in best.iter_mut().zip([get[number + 1], set[number + 1]]) {
            if ns < best.1 {
                *best = (peer.name(), ns);
            }
        }
    }
    let most = if sessions == 100_000 { 1.0 } else { 0.65 };
    report.against(GROUP, format!("begin + get + finish, {size}"), get[0], "ns", best[0], most);
    report.against(GROUP, format!("begin + set + finish, {size}"), set[0], "ns", best[1], 0.55);
    report.value(GROUP, format!("get in a request, {size}"), median(&mut inside), "ns");
}
