//! How outcomes, errors and pictures of sessions look as answers.

use std::time::Duration;

use libsession_core::{EndOutcome, Error, ErrorKind, Explain, LogEntry, Receipt, SessionInfo, Touched};

use crate::world::World;

/// Why a line has no answer of the engine.
pub enum Fail {
    /// The engine's error: an answer, too.
    Engine(Error),
    /// The script is wrong.
    Script(String),
}

impl From<Error> for Fail {
    fn from(error: Error) -> Self {
        Self::Engine(error)
    }
}

impl From<String> for Fail {
    fn from(why: String) -> Self {
        Self::Script(why)
    }
}

impl From<&str> for Fail {
    fn from(why: &str) -> Self {
        Self::Script(why.into())
    }
}

/// The answer of a line.
pub type Answer = Result<String, Fail>;

/// `ok`.
pub fn ok() -> Answer {
    Ok("ok".into())
}

/// An error with what belongs to it, or an outcome.
pub fn error(error: &Error) -> String {
    let kind = error.kind().name();
    match error.kind() {
        ErrorKind::Absent => "absent".into(),
        ErrorKind::Gone => format!("gone {}", error.reason().map_or("?", |reason| reason.name())),
        ErrorKind::LicenseDenied => {
            let retry =
                error.retry_after().map_or(String::new(), |after| format!(" retry_after={}", after.as_millis()));
            format!("error {kind} {}{retry}", error.deny_reason().map_or("?", |reason| reason.name()))
        }
        ErrorKind::Conflict => format!("error {kind} {}", error.keys().join(" ")),
        _ => format!("error {kind}"),
    }
}

/// Milliseconds, or `never`.
pub fn never(duration: Option<Duration>) -> String {
    duration.map_or("never".into(), |duration| duration.as_millis().to_string())
}

/// A text without blanks: one word.
pub fn word(text: &str) -> String {
    text.replace([' ', '\t', '\n'], "_")
}

/// Items with commas, or `none`.
pub fn list(items: Vec<String>, separator: &str) -> String {
    if items.is_empty() { "none".into() } else { items.join(separator) }
}

fn or_none<T: ToString>(value: Option<T>) -> String {
    value.map_or("none".into(), |value| value.to_string())
}

/// The outcome of a touch.
pub fn touched(outcome: Touched) -> String {
    match outcome {
        Touched::Live(left) => format!("live {}", never(left)),
        Touched::Absent => "absent".into(),
        Touched::Gone(reason) => format!("gone {reason}"),
    }
}

/// What an end says.
pub fn receipt(receipt: &Receipt) -> String {
    let mut text = format!("ended {} {} at={}", receipt.reason, receipt.level, receipt.at_ms);
    if let Some(actor) = &receipt.actor {
        text += &format!(" by={actor}");
    }
    if let Some(note) = &receipt.note {
        text += &format!(" note={}", libsession_core::data::to_json(&note.as_str().into()));
    }
    if let Some(late) = receipt.late {
        text += &format!(" late={}", late.as_millis());
    }
    if let Some(free) = receipt.license_free_at_ms {
        text += &format!(" free={free}");
    }
    for (class, kind, outcome) in &receipt.callbacks {
        text += &format!(" {class}.{kind}={}", word(outcome));
    }
    text
}

/// The outcome of an end.
pub fn end_outcome(outcome: &EndOutcome) -> String {
    match outcome {
        EndOutcome::Ended(ended) => receipt(ended),
        EndOutcome::Gone(ended) => format!("was {}", receipt(ended)),
        EndOutcome::Extended { class, by } => format!("extended {class} {}", by.as_millis()),
        EndOutcome::Absent => "absent".into(),
    }
}

/// One field of a live session.
pub fn info_field(info: &SessionInfo, field: &str) -> Result<String, Fail> {
    Ok(match field {
        "state" => info.state.name().into(),
        "application" => info.application.to_string(),
        "namespace" => info.namespace.to_string(),
        "user" => or_none(info.user.as_deref()),
        "holder" => or_none(info.license.as_ref().map(|license| license.0.as_ref())),
        "pool" => or_none(info.license.as_ref().map(|license| license.1.as_ref())),
        "created" => info.created_ms.to_string(),
        "created_at" => info.created_at.to_string(),
        "last_used" => info.last_used_ms.to_string(),
        "idle_timeout" => never(info.idle_timeout),
        "absolute_timeout" => never(info.absolute_timeout),
        "deadline" => info.deadline_ms.map_or("never".into(), |at| at.to_string()),
        "immortal" => info.immortal.to_string(),
        "overdue" => info.overdue.to_string(),
        "in_flight" => info.in_flight.to_string(),
        "data_bytes" => or_none(info.data_bytes),
        "address" => or_none(info.client.address.as_ref()),
        "user_agent" => or_none(info.client.user_agent.as_ref()),
        "referrer" => or_none(info.client.referrer.as_ref()),
        _ => return Err(format!("a session has no field '{field}'").into()),
    })
}

/// One field of an explanation.
pub fn explain_field(explain: &Explain, field: &str) -> Result<String, Fail> {
    Ok(match field {
        "state" => match (&explain.live, &explain.ended) {
            (Some(_), _) => "live".into(),
            (None, Some(ended)) => format!("gone {}", ended.reason),
            (None, None) => "absent".into(),
        },
        "requests" => list(
            explain
                .requests
                .iter()
                .map(|request| {
                    let lock = request.lock.map_or("free", |lock| lock.name());
                    format!("{}/{lock}@{}", request.touch, request.started_ms)
                })
                .collect(),
            ",",
        ),
        "lock_waiters" => explain.lock_waiters.to_string(),
        "extensions" => list(
            explain.extensions.iter().map(|(at, class, by)| format!("{class}+{}@{at}", by.as_millis())).collect(),
            ",",
        ),
        "classes" => list(
            explain
                .event_classes
                .iter()
                .map(|(namespace, name, here)| class_name(namespace, name) + if *here { "" } else { "!" })
                .collect(),
            ",",
        ),
        "failures" => list(
            explain.failures.iter().map(|(class, kind, text)| format!("{class}.{kind}:{}", word(text))).collect(),
            ",",
        ),
        "damaged" => explain.damaged.to_string(),
        "next" => explain.next.as_ref().map_or("none".into(), |(what, at)| format!("{}@{at}", word(what))),
        "receipt" => explain.ended.as_ref().map_or("none".into(), receipt),
        _ => return Err(format!("an explanation has no field '{field}'").into()),
    })
}

/// A class with its namespace, if that is not empty.
pub fn class_name(namespace: &str, name: &str) -> String {
    if namespace.is_empty() { name.into() } else { format!("{namespace}:{name}") }
}

/// An entry of the lifecycle log.
pub fn entry(world: &World, entry: &LogEntry) -> String {
    let detail = if entry.detail.is_empty() { String::new() } else { format!(":{}", word(&entry.detail)) };
    world.with_labels(&format!("{}.{}@{}{detail}", world.label_of(entry.session_id), entry.what, entry.at_ms))
}
