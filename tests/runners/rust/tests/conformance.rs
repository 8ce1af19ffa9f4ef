//! Every script of `tests/conformance` on the core.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use libsession_runner_rust::line::parse;
use libsession_runner_rust::{generate, replay, scripts, skipped};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name)
}

fn conformance() -> Vec<PathBuf> {
    scripts(&folder("conformance")).expect("tests/conformance can be read")
}

/// Replays all, a few at once, and names what failed.
fn replay_all(paths: &[PathBuf], table: &str) -> Vec<String> {
    replay_over(paths, table, 1)
}

fn replay_over(paths: &[PathBuf], table: &str, processes: usize) -> Vec<String> {
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(path) = paths.get(next.fetch_add(1, Ordering::SeqCst)) {
                    if !skipped(path) {
                        let report = replay::replay_over(path, table, processes);
                        failures.lock().expect("no panic").extend(report.failures);
                    }
                }
            });
        }
    });
    failures.into_inner().expect("no panic")
}

#[test]
fn every_script_does_as_it_says() {
    let failures = replay_all(&conformance(), "memory");
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[test]
fn every_script_does_as_it_says_on_a_shared_table() {
    let failures = replay_all(&conformance(), "file");
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

/// What these tell is of one manager: its close, its counters, its native objects, its breakers, how deep its callbacks
/// are nested.
const OF_ONE_MANAGER: [&str; 15] = [
    "admin/refusals_are_logged",
    "admin/stats",
    "border/closed_session_request_manager",
    "close/",
    "containment/a_breaker_is_its_class_alone",
    "containment/breaker",
    "containment/close_inside_a_callback",
    "containment/recursion_is_capped",
    "events/begin_inside_a_decider_is_reentrant",
    "events/exactly_one_on_end",
    "licenses/groups_unresolved",
    "licenses/queue_cancel_told",
    "life/a_refused_creation_leaves_nothing",
    "timeouts/~negative",
    "~attachments",
];

/// Three managers on one directory take turns: what one did the others see. A request's verbs are done by who began it.
#[test]
fn every_script_does_as_it_says_over_several_managers() {
    let root = folder("conformance");
    let mut paths = conformance();
    paths.retain(|path| {
        let name = path.strip_prefix(&root).expect("below").display().to_string();
        !OF_ONE_MANAGER.iter().any(|of_one| name.starts_with(of_one))
    });
    assert!(paths.len() > 280, "{} scripts", paths.len());
    let failures = replay_over(&paths, "file", 3);
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[test]
fn a_replay_says_the_same_twice() {
    for path in conformance().iter().filter(|path| !skipped(path)) {
        let (one, two) = (replay::replay(path, "memory"), replay::replay(path, "memory"));
        assert_eq!(one.log, two.log, "{}", path.display());
    }
}

#[test]
fn every_script_says_first_what_it_proves() {
    let paths = conformance();
    assert!(paths.len() >= 150, "{} scripts", paths.len());
    for path in paths {
        let text = std::fs::read_to_string(&path).expect("can be read");
        let first = text.lines().next().unwrap_or_default();
        assert!(first.starts_with("# ") && first.len() > 20, "{}: {first}", path.display());
        for (number, line) in text.lines().enumerate() {
            if let Err(why) = parse(line) {
                panic!("{}:{}: {why}", path.display(), number + 1);
            }
        }
    }
}

#[test]
fn the_coverage_page_names_every_script_and_no_other() {
    let root = folder("conformance");
    let page = std::fs::read_to_string(folder("coverage.md")).expect("tests/coverage.md can be read");
    let mut named: Vec<String> = page
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| word.contains('/') && !word.contains(['.', ' ', '*']))
        .map(str::to_string)
        .collect();
    named.sort();
    named.dedup();
    let mut there: Vec<String> = conformance()
        .iter()
        .map(|path| path.strip_prefix(&root).expect("below").with_extension("").display().to_string())
        .collect();
    there.sort();
    let missing: Vec<_> = there.iter().filter(|script| !named.contains(script)).collect();
    let unknown: Vec<_> = named.iter().filter(|script| !there.contains(script)).collect();
    assert!(missing.is_empty(), "not in tests/coverage.md: {missing:?}");
    assert!(unknown.is_empty(), "named in tests/coverage.md, but not there: {unknown:?}");
}

/// DIFF-01: random scripts whose answers were recorded are answered the same again. `LSES_TORTURE=1` does all 1,000.
#[test]
fn random_scripts_say_the_same_again() {
    let count = if std::env::var_os("LSES_TORTURE").is_some() { 1000 } else { 100 };
    let folder = std::env::temp_dir().join(format!("libsession-vectors-{}", std::process::id()));
    generate::write("memory", 1, count, &folder).expect("scripts can be written");
    let failures = replay_all(&scripts(&folder).expect("can be read"), "memory");
    std::fs::remove_dir_all(&folder).expect("can be removed");
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}
