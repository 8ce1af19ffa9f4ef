//! Touch: look up, check, move the idle deadline.

use std::hint::black_box;
use std::sync::atomic::{Ordering, fence};

use crate::measure::{Spread, coarse_ms, median, order, per_step};
use crate::ours::{Decoded, Ours};
use crate::peers::{self, Floor};
use crate::report::Report;

const GROUP: &str = "touch";
const STEPS: usize = 200_000;

/// One subject's keys in the order of access, and what touches them.
struct Subject<'a> {
    name: String,
    run: Box<dyn FnMut(bool) + 'a>,
    results: [Vec<f64>; 2],
}

fn run<K>(keys: &[K], isolated: bool, mut touch: impl FnMut(&K) -> bool) {
    let mut live = true;
    if isolated {
        for key in keys {
            live &= touch(key);
            // No load of the next step begins before this one is done.
            fence(Ordering::SeqCst);
        }
    } else {
        for key in keys {
            live &= touch(key);
        }
    }
    assert!(black_box(live), "a session is not live");
}

/// Measures all subjects at one size.
pub fn measure(report: &mut Report, sessions: usize, rounds: usize) {
    let ours = Ours::new(sessions, 0);
    let decoded = Decoded::new(sessions);
    let peers: Vec<_> = peers::all()
        .into_iter()
        .map(|peer| {
            let ids: Vec<u128> = (0..sessions).map(|_| peers::id()).collect();
            ids.iter().for_each(|id| peer.create(*id, &[]));
            (peer, ids)
        })
        .collect();
    for spread in [Spread::Uniform, Spread::Zipf] {
        let order = order(spread, sessions, STEPS);
        let mut floor = Floor::new(sessions);
        let handles: Vec<u64> = order.iter().map(|at| Floor::handle(*at)).collect();
        let now = coarse_ms() & 0xffff;
        let texts: Vec<[u8; 40]> =
            order.iter().map(|at| ours.made[*at as usize].1.as_bytes().try_into().expect("40 characters")).collect();
        let tokens: Vec<_> = order.iter().map(|at| decoded.tokens[*at as usize]).collect();
        let mut subjects = vec![
            subject("floor", Box::new(move |isolated| run(&handles, isolated, |handle| floor.touch(*handle, now)))),
            subject(
                "libsession, token text",
                Box::new(|isolated| {
                    run(&texts, isolated, |text| ours.touch(std::str::from_utf8(text).unwrap_or_default()));
                }),
            ),
            subject(
                "libsession, token decoded",
                Box::new(|isolated| run(&tokens, isolated, |token| decoded.touch(token))),
            ),
        ];
        for (peer, ids) in &peers {
            let ids: Vec<u128> = order.iter().map(|at| ids[*at as usize]).collect();
            let run = move |isolated| run(&ids, isolated, |id| peer.touch(*id));
            subjects.push(subject(peer.name(), Box::new(run)));
        }
        for _ in 0..rounds {
            for subject in &mut subjects {
                for isolated in [false, true] {
                    let ns = per_step(STEPS, || (subject.run)(isolated));
                    subject.results[usize::from(isolated)].push(ns);
                }
            }
        }
        tell(report, sessions, spread, &mut subjects);
    }
}

fn subject<'a>(name: &str, run: Box<dyn FnMut(bool) + 'a>) -> Subject<'a> {
    Subject { name: name.into(), run, results: [Vec::new(), Vec::new()] }
}

fn tell(report: &mut Report, sessions: usize, spread: Spread, subjects: &mut [Subject<'_>]) {
    let size = crate::size(sessions);
    for (isolated, way) in [(false, "back to back"), (true, "isolated")] {
        let results: Vec<(String, f64)> = subjects
            .iter_mut()
            .map(|subject| (subject.name.clone(), median(&mut subject.results[usize::from(isolated)])))
            .collect();
        let of = |name: &'static str| {
            let found = results.iter().find(|(known, _)| known == name);
            (name, found.map_or(f64::NAN, |(_, ns)| *ns))
        };
        let at = |who: &str| format!("{who}, {size} {}, {way}", spread.name());
        for (name, ns) in &results {
            if !name.starts_with("libsession") {
                report.value(GROUP, at(name), *ns, "ns");
            }
        }
        let (text, plain) = (of("libsession, token text").1, of("libsession, token decoded").1);
        let best = ["RwLock<hashbrown>", "dashmap"].map(of).into_iter().min_by(|a, b| a.1.total_cmp(&b.1));
        let (decoded_what, text_what) = (at("libsession, token decoded"), at("libsession, token text"));
        let targets: &[(&'static str, f64)] = match (sessions, isolated) {
            (1_000_000, true) => &[("floor", 1.3), ("RwLock<hashbrown>", 0.85), ("dashmap", 0.75), ("moka", 0.17)],
            (100_000, true) => &[("floor", 1.5), ("RwLock<hashbrown>", 0.75), ("dashmap", 0.6), ("moka", 0.04)],
            (1000, false) => &[("RwLock<hashbrown>", 0.6), ("dashmap", 0.5), ("moka", 0.06)],
            (100_000, false) => &[("RwLock<hashbrown>", 0.8), ("dashmap", 0.5), ("moka", 0.06)],
            (1_000_000, false) => {
                &[("RwLock<hashbrown>", 0.7), ("dashmap", 0.5), ("moka", 0.06), ("tower-sessions", 0.04)]
            }
            _ => &[],
        };
        if spread == Spread::Uniform {
            for (other, most) in targets {
                report.against(GROUP, decoded_what.clone(), plain, "ns", of(other), *most);
            }
            report.value(GROUP, text_what, text, "ns");
        } else {
            report.value(GROUP, decoded_what, plain, "ns");
            if sessions == 1_000_000 && !isolated {
                report.against(GROUP, text_what.clone(), text, "ns", of("floor"), 4.0);
                if let Some(best) = best {
                    report.against(GROUP, text_what.clone(), text, "ns", best, 1.0 / 1.5);
                }
                report.against(GROUP, text_what, text, "ns", of("moka"), 1.0 / 15.0);
            } else {
                report.value(GROUP, text_what, text, "ns");
            }
        }
    }
}
