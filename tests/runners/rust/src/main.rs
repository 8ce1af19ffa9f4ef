//! `libsession-runner-rust [--table memory|file] [--log] SCRIPT…`, or `[--table memory|file] --generate SEED COUNT DIR`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libsession_runner_rust::{generate, replay, scripts, skipped};

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<bool, String> {
    let mut table = "memory".to_string();
    let mut processes = 1;
    let mut log = false;
    let mut paths: Vec<PathBuf> = Vec::new();
    let mut words = std::env::args().skip(1);
    let mut next = |what: &str| words.next().ok_or(format!("{what} is missing"));
    while let Ok(word) = next("") {
        match word.as_str() {
            "--log" => log = true,
            "--table" => table = next("the table")?,
            "--process" => {
                processes = next("how many managers")?.parse().map_err(|_| "how many managers is no number")?;
            }
            "--generate" => {
                let seed = next("the seed")?.parse().map_err(|_| "the seed is no number")?;
                let count = next("the count")?.parse().map_err(|_| "the count is no number")?;
                let folder = next("the folder")?;
                generate::write(&table, seed, count, Path::new(&folder))
                    .map_err(|error| format!("{folder}: {error}"))?;
                return Ok(true);
            }
            _ => paths.extend(scripts(Path::new(&word)).map_err(|error| format!("{word}: {error}"))?),
        }
    }
    if paths.is_empty() {
        return Err("usage: libsession-runner-rust [--table memory|file] [--process N] [--log] SCRIPT…".into());
    }
    let mut good = true;
    for path in paths {
        if skipped(&path) {
            eprintln!("{}: skipped, this language has no such thing", path.display());
            continue;
        }
        let report = replay::replay_over(&path, &table, processes);
        if log {
            print!("{}", report.log);
        }
        for failure in &report.failures {
            eprintln!("{failure}");
        }
        good &= report.failures.is_empty();
    }
    Ok(good)
}
