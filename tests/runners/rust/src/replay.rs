//! Replays one script.

use std::path::Path;
use std::sync::Arc;

use libsession_core::data::{Value, from_json, to_json, tree_from_json, tree_to_json};

use crate::answer::{self, Fail};
use crate::line::{Expect, Line, parse};
use crate::store::Store;
use crate::world::{World, lock};

/// What became of a script.
#[derive(Debug, Default)]
pub struct Report {
    /// The event log.
    pub log: String,
    /// Each expectation that was not met: `FILE:LINE: expected …, got …`.
    pub failures: Vec<String>,
}

/// Replays a script on a table: `memory`, `file` (a directory made for it), or any store.
pub fn replay(path: &Path, table: &str) -> Report {
    replay_over(path, table, 1)
}

/// The same with what does not belong to a request spread over so many managers on one store.
pub fn replay_over(path: &Path, table: &str, processes: usize) -> Report {
    let mut report = Report { log: format!("# {}\n", path.display()), failures: Vec::new() };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            report.failures.push(format!("{}: {error}", path.display()));
            return report;
        }
    };
    let store = match Store::new(table) {
        Ok(store) => store,
        Err(error) => {
            report.failures.push(format!("{}: no directory for the store: {error}", path.display()));
            return report;
        }
    };
    let world = World::new(&store.name, processes);
    for (number, raw) in text.lines().enumerate() {
        let place = format!("{}:{}", path.display(), number + 1);
        match parse(raw) {
            Err(why) => report.failures.push(format!("{place}: {why}")),
            Ok(lines) => {
                for line in lines {
                    if let Err(why) = check(&world, &line) {
                        report.failures.push(format!("{place}: {why}"));
                    }
                }
            }
        }
    }
    let forgotten: Vec<String> = lock(&world.started).keys().cloned().collect();
    if !forgotten.is_empty() {
        report.failures.push(format!("{}: never joined: {}", path.display(), forgotten.join(" ")));
    }
    report.log += &world.log();
    world.over();
    report
}

fn check(world: &Arc<World>, line: &Line) -> Result<(), String> {
    let (got, message) = do_line(world, line)?;
    let Some(expect) = &line.expect else {
        return if bad(&got) { Err(format!("expected no error, got {got} ({message})")) } else { Ok(()) };
    };
    if !matches(&line.words, expect, &got) {
        let why = if message.is_empty() { String::new() } else { format!(" ({message})") };
        return Err(format!("expected {}, got {got}{why}", expect.text));
    }
    match &expect.message {
        Some(part) if !message.contains(part.as_str()) => {
            Err(format!("expected a message with \"{part}\", got {message}"))
        }
        _ => Ok(()),
    }
}

/// Does a line and settles; its answer, and the message of its error.
pub fn do_line(world: &Arc<World>, line: &Line) -> Result<(String, String), String> {
    let answer = crate::verbs::answer(world, &line.words);
    world.settle();
    match answer {
        Ok(answer) => Ok((world.with_labels(&answer), String::new())),
        Err(Fail::Engine(error)) => Ok((world.with_labels(&answer::error(&error)), world.with_labels(error.message()))),
        Err(Fail::Script(why)) => Err(why),
    }
}

fn bad(answer: &str) -> bool {
    answer == "absent" || answer.starts_with("error ") || answer.starts_with("gone ")
}

fn matches(words: &[String], expect: &Expect, got: &str) -> bool {
    let expected = expect.text.as_str();
    if expected == "*" || expected == got {
        return true;
    }
    if let Some(begin) = expected.strip_suffix("...") {
        return got.starts_with(begin.trim_end());
    }
    match words.first().map(String::as_str) {
        Some("get" | "get_versioned" | "pop") => same(expected, got, |text| from_json(text).ok().map(|v| to_json(&v))),
        Some("entries") => same(expected, got, |text| tree_from_json(text).ok().map(|tree| tree_to_json(&tree))),
        Some("next") => same(expected, got, |text| from_json(text).ok().as_ref().and_then(number)),
        _ => false,
    }
}

fn number(value: &Value) -> Option<String> {
    match value {
        Value::Int(int) => Some((*int as f64).to_string()),
        Value::Float(float) => Some(float.to_string()),
        _ => None,
    }
}

fn same(expected: &str, got: &str, canonical: impl Fn(&str) -> Option<String>) -> bool {
    matches!((canonical(expected), canonical(got)), (Some(one), Some(other)) if one == other)
}
