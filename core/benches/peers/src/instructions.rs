//! Instructions of a touch, counted by callgrind where there is valgrind: the one number that no other load moves.

use std::process::Command;

use crate::ours::{Decoded, Ours};
use crate::peers;
use crate::report::Report;

const GROUP: &str = "instructions";
const SESSIONS: usize = 100;
const STEPS: usize = 20_000;

/// In a process of its own, under callgrind: does it `steps` times, with as many sessions.
pub fn child(subject: &str, steps: usize, sessions: usize) {
    match subject {
        "token text" | "begin + finish" => {
            let ours = Ours::new(sessions, 0);
            for step in 0..steps {
                let text = &ours.made[step % sessions].1;
                if subject == "token text" { assert!(ours.touch(text)) } else { ours.begin_finish(text) }
            }
        }
        "create + end" => {
            let ours = Ours::new(sessions, 0);
            (0..steps).for_each(|_| ours.end(&ours.create()));
        }
        "create + end, no unit" => {
            let ours = Ours::new(sessions, 0);
            (0..steps).for_each(|_| ours.end(&ours.create_unlicensed()));
        }
        "create + end, no records" => {
            let ours = Ours::without_records(sessions);
            (0..steps).for_each(|_| ours.end(&ours.create()));
        }
        "token decoded" => {
            let ours = Decoded::new(sessions);
            (0..steps).for_each(|step| assert!(ours.touch(&ours.tokens[step % sessions])));
        }
        name => {
            let Some(peer) = peers::by_name(name) else { return };
            let ids: Vec<u128> = (0..sessions).map(|_| peers::id()).collect();
            ids.iter().for_each(|id| peer.create(*id, &[]));
            (0..steps).for_each(|step| assert!(peer.touch(ids[step % sessions])));
        }
    }
}

fn count(subject: &str, steps: usize) -> Option<f64> {
    let me = std::env::current_exe().ok()?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(me)
        .args(["instructions", subject, &steps.to_string(), &SESSIONS.to_string()])
        .output()
        .ok()?;
    let text = String::from_utf8(output.stderr).ok()?;
    let line = text.lines().find(|line| line.contains("Collected :"))?;
    line.rsplit(' ').next()?.parse().ok()
}

pub fn measure(report: &mut Report) {
    let of = |subject: &str, steps: usize| {
        let (one, two) = (count(subject, steps)?, count(subject, 2 * steps)?);
        Some((two - one) / steps as f64)
    };
    if count("token decoded", 1).is_none() {
        eprintln!("no valgrind: instructions are not counted");
        return;
    }
    for (subject, most) in [("token decoded", Some(75.0)), ("token text", None), ("dashmap", None), ("moka", None)] {
        let Some(counted) = of(subject, STEPS) else { continue };
        let what = format!("touch, {subject}");
        match most {
            Some(most) => report.at_most(GROUP, what, counted, "", most),
            None => report.value(GROUP, what, counted, ""),
        }
    }
    for subject in ["begin + finish", "create + end", "create + end, no records", "create + end, no unit"] {
        if let Some(counted) = of(subject, STEPS / 4) {
            report.value(GROUP, subject, counted, "");
        }
    }
}
