//! Measures the core against its peers, in one run: `--json FILE` for the merger, `--text FILE` for people.
//!
//! `--quick` takes fewer rounds; names of groups (`touch`, `requests`, `create`, `licenses`, `data`, `threads`, `expiry`, `memory`,
//! `instructions`, and those of the shared table: `shared-hot`, `shared-changes`, `shared-mix`, `shared-fairness`,
//! `shared-traffic`, `shared-restart`) measure these only; `refusals` is a part of `licenses`.

mod expiry;
mod instructions;
mod licenses;
mod life;
mod measure;
mod memory;
mod ours;
mod peers;
mod report;
mod store;
mod threads;
mod touch;

use std::path::Path;

use crate::report::Report;

/// A number of sessions in words.
pub fn size(sessions: usize) -> String {
    match sessions {
        1_000_000.. => format!("{} M", sessions / 1_000_000),
        1000.. => format!("{}k", sessions / 1000),
        _ => sessions.to_string(),
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| arguments.get(at).and_then(|text| text.parse().ok()).unwrap_or(0);
    match (arguments.first().map(String::as_str), arguments.get(1)) {
        (Some("memory"), Some(subject)) if arguments.len() == 4 => memory::child(subject, number(2), number(3)),
        (Some("store"), Some(_)) => store::child(&arguments[1..].iter().map(String::as_str).collect::<Vec<_>>()),
        (Some("instructions"), Some(subject)) => instructions::child(subject, number(2), number(3).max(1)),
        _ => run(&arguments),
    }
}

fn run(arguments: &[String]) {
    let (mut json, mut text, mut groups, mut rounds, mut quick) = (None, None, Vec::new(), 9, false);
    let mut left = arguments.iter();
    while let Some(argument) = left.next() {
        match argument.as_str() {
            "--json" => json = left.next(),
            "--text" => text = left.next(),
            "--quick" => (rounds, quick) = (3, true),
            group => groups.push(group),
        }
    }
    let wanted = |group: &str| groups.is_empty() || groups.contains(&group);
    let mut report = Report::default();
    if wanted("touch") {
        for sessions in [1000, 100_000, 1_000_000] {
            touch::measure(&mut report, sessions, rounds);
        }
    }
    if wanted("requests") {
        life::requests(&mut report, 1000, rounds, 60.0);
        life::requests(&mut report, 1_000_000, rounds, 150.0);
    }
    if wanted("create") {
        life::create_end(&mut report, 1_000_000, rounds);
    }
    if wanted("licenses") {
        licenses::measure(&mut report, rounds);
    }
    if groups.contains(&"refusals") {
        licenses::refusals(&mut report, rounds);
    }
    if wanted("data") {
        life::data(&mut report, 100_000, rounds);
        life::data(&mut report, 1_000_000, rounds);
    }
    if wanted("threads") {
        threads::measure(&mut report, rounds);
    }
    if wanted("expiry") {
        expiry::measure(&mut report, 1_000_000);
    }
    if wanted("memory") {
        memory::measure(&mut report, 1_000_000);
    }
    if wanted("instructions") {
        instructions::measure(&mut report);
    }
    store::measure(&mut report, &wanted, rounds, quick);
    let conditions = conditions();
    println!("{conditions}\n{}", report.text());
    write(json, &report.json(&conditions));
    write(text, &format!("{conditions}\n{}", report.text()));
}

fn conditions() -> String {
    let model = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = model.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split(": ").nth(1));
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().unwrap_or("?");
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let model = model.unwrap_or("unknown processor");
    format!("{cores} cores of {model}, load {load} at the end; CPU nanoseconds, medians of interleaved rounds")
}

fn write(path: Option<&String>, text: &str) {
    let Some(path) = path else { return };
    let folder = Path::new(path).parent();
    let written = folder.map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(path, text));
    if let Err(error) = written {
        eprintln!("{path} can't be written: {error}");
        std::process::exit(1);
    }
}
