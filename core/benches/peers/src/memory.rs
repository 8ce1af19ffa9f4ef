//! Bytes of a session, each subject in a process of its own: what is resident with it less what was without.

use std::process::Command;

use crate::measure::resident;
use crate::ours::Ours;
use crate::peers;
use crate::report::Report;

const GROUP: &str = "memory";

/// In a process of its own: prints the bytes that `sessions` take.
pub fn child(subject: &str, sessions: usize, bytes: usize) {
    // The names are the client's: they are made before, or not kept.
    if subject == "libsession" {
        let warm = Ours::new(1, bytes);
        drop(warm);
        let before = resident();
        let empty = Ours::new(0, bytes);
        let manager = empty.manager;
        for _ in 0..sessions {
            let mut options = libsession_core::CreateOptions::default();
            if bytes > 0 {
                options.data.push(("data".into(), libsession_core::Value::Bytes(vec![7; bytes])));
            }
            manager.create(options).expect("a session");
        }
        println!("{}", resident() - before);
    } else if let Some(peer) = peers::by_name(subject) {
        let data = vec![7; bytes];
        let before = resident();
        for _ in 0..sessions {
            peer.create(peers::id(), &data);
        }
        println!("{}", resident() - before);
    }
}

fn bytes_of(subject: &str, sessions: usize, bytes: usize) -> Option<f64> {
    let me = std::env::current_exe().ok()?;
    let output = Command::new(me).args(["memory", subject, &sessions.to_string(), &bytes.to_string()]).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

pub fn measure(report: &mut Report, sessions: usize) {
    let size = crate::size(sessions);
    let of = |subject: &str, bytes| bytes_of(subject, sessions, bytes).unwrap_or(f64::NAN) / sessions as f64;
    for peer in ["RwLock<hashbrown>", "dashmap", "moka"] {
        report.value(GROUP, format!("{peer}: a session of {size}, no data"), of(peer, 0), "B");
        report.value(GROUP, format!("{peer}: a session of {size}, 200 B"), of(peer, 200), "B");
    }
    let (bare, full) = (of("libsession", 0), of("libsession", 200));
    report.at_most(GROUP, format!("a session of {size}, no data"), bare, "B", 120.0);
    report.at_most(GROUP, format!("a session of {size}, no data (finer)"), bare, "B", 75.0);
    report.at_most(GROUP, format!("a session of {size}, 200 B"), full, "B", 300.0);
    let kib = |sessions| bytes_of("libsession", sessions, 0).unwrap_or(f64::NAN) / 1024.0;
    report.at_most(GROUP, "an empty table", kib(0), "KiB", 256.0);
    report.at_most(GROUP, "1k sessions", kib(1000), "KiB", 600.0);
}
