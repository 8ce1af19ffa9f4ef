//! A process that does what it is asked, one line at a time.
//!
//! A token is where a word says TOKEN, a public id where it says ID. Lines that begin with `*` are callbacks.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use libsession_core::*;

use super::link::{Link, Teller};
use super::path;
use super::shop::Shop;

/// What its callbacks do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Returns,
    /// Fails, always.
    Fails,
    /// Never returns from the n-th call on.
    HangsFrom(usize),
}

/// Tells each `on_timeout` and `on_end`: `CLASS.KIND ID EVENT_ID REASON first|again`.
struct Telling {
    class: String,
    manner: Manner,
    teller: Teller,
    calls: AtomicUsize,
}

impl EventHandler for Telling {
    fn handles(&self, kind: EventKind) -> bool {
        matches!(kind, EventKind::Timeout | EventKind::End)
    }

    fn call(&self, event: &Arc<Event>, attempt: Attempt, reply: Reply) {
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let again = if attempt.redelivered { "again" } else { "first" };
        let reason = event.reason.map_or("none", EndReason::name);
        let (class, kind) = (&self.class, event.kind);
        self.teller.tell(&format!("* {class}.{kind} {} {} {reason} {again}", event.session_id, event.event_id));
        match self.manner {
            Manner::Fails => reply.fail("as told"),
            Manner::HangsFrom(from) if call >= from => loop {
                std::thread::park();
            },
            _ => reply.done(),
        }
    }
}

struct Clerk {
    shop: Shop,
    manager: Option<Manager>,
    requests: HashMap<String, Request>,
    teller: Teller,
}

/// Why a line could not be done.
#[derive(Debug)]
struct Refusal(String);

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let line = error.message().replace('\n', " | ");
        Self(match error.kind() {
            ErrorKind::Absent => "absent".into(),
            ErrorKind::Gone => format!("gone {}", error.reason().map_or("", EndReason::name)),
            kind => format!("error {kind} {line}"),
        })
    }
}

type Answer = std::result::Result<String, Refusal>;

/// The role.
pub fn role(mut link: Link, shop: Shop) {
    let mut clerk = Clerk { shop, manager: None, requests: HashMap::new(), teller: link.teller() };
    while let Some(line) = link.line() {
        if line == "leave" {
            clerk.requests.clear();
            if let Some(manager) = clerk.manager.take() {
                manager.close(Duration::from_secs(5));
            }
            std::process::exit(0);
        }
        let words: Vec<&str> = line.split(' ').collect();
        let answer = clerk.work(&words).unwrap_or_else(|refusal| refusal.0);
        link.tell(&answer);
    }
    // The test is gone: nobody is to wait for a callback that hangs.
    std::process::exit(1);
}

fn options(mode: LockMode) -> BeginOptions {
    BeginOptions { lock: Some(mode), ..BeginOptions::default() }
}

fn value(found: Option<Value>) -> String {
    match found {
        Some(Value::Int(number)) => number.to_string(),
        Some(other) => format!("{other:?}").replace('\n', " "),
        None => "none".into(),
    }
}

impl Clerk {
    fn work(&mut self, words: &[&str]) -> Answer {
        if words == ["open"] {
            self.manager = Some(self.shop.try_open()?);
            return Ok("ok".into());
        }
        let Some(manager) = self.manager.clone() else {
            return Err(Refusal("error closed not opened yet".into()));
        };
        match words {
            ["arm", when] => {
                // Of interest to the preloaded library of `faults` alone.
                let _nothing = std::fs::remove_file(self.shop.file(&format!("arm-{when}")));
                Ok("ok".into())
            }
            ["refused", count, how @ ..] => self.refused(&manager, count.parse().expect("a number"), *how == ["aloud"]),
            ["denied", what, token, count, how @ ..] => {
                let count = count.parse().expect("a number");
                self.denied(&manager, what, token, count, *how == ["aloud"])
            }
            ["register", class, manner @ ..] => self.register(&manager, class, manner),
            ["begin", ..] | ["finish", ..] | ["put", ..] | ["hold", ..] => self.request(&manager, words),
            ["explain", ..]
            | ["failures", ..]
            | ["letters"]
            | ["redeliver", ..]
            | ["requests", ..]
            | ["stats", ..]
            | ["count"]
            | ["ids"]
            | ["usage"]
            | ["waiting"]
            | ["audit"]
            | ["check"] => see(&manager, words),
            _ => session(&manager, words),
        }
    }

    /// Asks so many times for a unit that there is not, and says so each time if it is to.
    fn refused(&self, manager: &Manager, count: usize, aloud: bool) -> Answer {
        for _ in 0..count {
            match manager.create(CreateOptions::new("shop")) {
                Err(error) if error.kind() != ErrorKind::LicenseDenied => return Err(error.into()),
                Err(_) if aloud => drop(self.teller.tell("* refused")),
                Err(_) => {}
                Ok(created) => return Err(Refusal(format!("error made {}", created.id))),
            }
        }
        Ok("ok".into())
    }

    /// Asks so many times for what a session that is there can't have.
    fn denied(&self, manager: &Manager, what: &str, token: &str, count: usize, aloud: bool) -> Answer {
        for number in 0..count {
            let asked = match what {
                "request" => begin(manager, token).map(drop),
                "login" => begin(manager, token)?.login("ada").map(drop),
                "take" => begin(manager, token)?.take_feature("users", FeatureOptions::default()).map(drop),
                _ => {
                    let request = begin(manager, token)?;
                    request.set(&path("n"), Value::Int(number as i64))?;
                    let saved = request.save();
                    request.discard()?;
                    saved
                }
            };
            match asked {
                Err(error) if error.kind() != ErrorKind::LicenseDenied => return Err(error.into()),
                Err(_) if aloud => drop(self.teller.tell("* refused")),
                Err(_) => {}
                Ok(()) => return Err(Refusal(format!("error {what} was granted"))),
            }
        }
        Ok("ok".into())
    }

    fn register(&self, manager: &Manager, class: &str, manner: &[&str]) -> Answer {
        let manner = match manner {
            ["fails"] => Manner::Fails,
            ["hangs", from] => Manner::HangsFrom(from.parse().expect("a number")),
            _ => Manner::Returns,
        };
        let teller = self.teller.clone();
        let told = Telling { class: class.to_owned(), manner, teller, calls: AtomicUsize::new(0) };
        manager.register(EventClass::new(class, told))?;
        Ok("ok".into())
    }

    fn request(&mut self, manager: &Manager, words: &[&str]) -> Answer {
        match *words {
            ["begin", name, token, timeout] => {
                let lock_timeout = Some(Duration::from_millis(timeout.parse().expect("milliseconds")));
                let begun = manager.begin(token, BeginOptions { lock_timeout, ..options(LockMode::Exclusive) })?;
                self.requests.insert(name.to_owned(), begun.live()?);
                Ok("ok".into())
            }
            ["put", name, key, number] => {
                let request = self.requests.get(name).ok_or_else(|| Refusal("error no such request".into()))?;
                request.set(&path(key), Value::Int(number.parse().expect("a number")))?;
                Ok("ok".into())
            }
            ["finish", name] => {
                let request = self.requests.get(name).ok_or_else(|| Refusal("error no such request".into()))?;
                request.finish()?;
                self.requests.remove(name);
                Ok("ok".into())
            }
            _ => Err(Refusal("error unknown".into())),
        }
    }
}

fn session(manager: &Manager, words: &[&str]) -> Answer {
    let begin = |token: &str, mode| manager.begin(token, options(mode)).and_then(Begin::live);
    let id = |text: &str| SessionId::parse(text);
    Ok(match *words {
        ["create"] => {
            let created = manager.create(CreateOptions::new("shop"))?;
            format!("ok {} {}", created.id, created.token.reveal())
        }
        ["wait", ms] => {
            let wait = Duration::from_millis(ms.parse().expect("milliseconds"));
            let created =
                manager.create(CreateOptions { queue: QueueOptions::wait(wait), ..CreateOptions::new("shop") })?;
            format!("ok {} {}", created.id, created.token.reveal())
        }
        ["touch", token] => match manager.touch(token, TouchKind::Activity)? {
            Touched::Live(_) => "live".into(),
            Touched::Absent => "absent".into(),
            Touched::Gone(reason) => format!("gone {reason}"),
        },
        ["set", token, key, number] => {
            let request = begin(token, LockMode::Shared)?;
            request.set(&path(key), Value::Int(number.parse().expect("a number")))?;
            request.finish()?;
            "ok".into()
        }
        ["get", token, key] => {
            let request = begin(token, LockMode::Shared)?;
            let found = value(request.get(&path(key))?);
            request.finish()?;
            format!("ok {found}")
        }
        ["fill", token, key, bytes] => {
            let request = begin(token, LockMode::Shared)?;
            request.set(&path(key), Value::Bytes(vec![7; bytes.parse().expect("a number")]))?;
            let saved = request.save();
            request.discard()?;
            request.finish()?;
            saved?;
            "ok".into()
        }
        ["size", token, key] => {
            let request = begin(token, LockMode::Shared)?;
            let found = request.get(&path(key))?;
            request.finish()?;
            format!("ok {}", if let Some(Value::Bytes(bytes)) = found { bytes.len() } else { 0 })
        }
        ["add", token, key, times] => {
            let mut conflicts = 0;
            for _ in 0..times.parse::<usize>().expect("a number") {
                conflicts += add(&begin(token, LockMode::Shared)?, key)?;
            }
            format!("ok {conflicts}")
        }
        ["login", token, user, ref wait @ ..] => {
            let request = begin(token, LockMode::Exclusive)?;
            let wait = wait.first().map_or(0, |ms| ms.parse().expect("milliseconds"));
            let queue = QueueOptions::wait(Duration::from_millis(wait));
            let login = request.login_with(user, LoginOptions { queue, ..LoginOptions::default() })?;
            request.finish()?;
            format!("ok {}", login.token.reveal())
        }
        ["logout", token] => {
            let request = begin(token, LockMode::Exclusive)?;
            match request.logout(true)? {
                Logout::Done(token) => {
                    request.finish()?;
                    format!("ok {}", token.reveal())
                }
                Logout::Ended(_) => "ended".into(),
            }
        }
        ["request", token] => {
            begin(token, LockMode::Exclusive)?.finish()?;
            "ok".into()
        }
        ["resize", capacity] => {
            let capacity = capacity.parse().expect("a number");
            let resize = |pool: &mut Pool| {
                pool.capacity = capacity;
                Ok(())
            };
            manager.change_pool("users", resize, Some("clerk"))?;
            "ok".into()
        }
        ["take", token, pool, count] => {
            let request = begin(token, LockMode::Exclusive)?;
            let count = count.parse().expect("a number");
            request.take_feature(pool, FeatureOptions { count, ..FeatureOptions::default() })?;
            request.finish()?;
            "ok".into()
        }
        ["rotate", token] => {
            let request = begin(token, LockMode::Exclusive)?;
            let token = request.rotate()?;
            request.finish()?;
            format!("ok {}", token.reveal())
        }
        ["end", text, ref wait @ ..] => match manager.end(id(text)?, end_options(wait))? {
            EndOutcome::Ended(receipt) if !wait.is_empty() => {
                let told = receipt.callbacks.iter().map(|(class, kind, outcome)| format!(" {class}.{kind}={outcome}"));
                format!("ended {}{}", receipt.reason, told.collect::<String>())
            }
            EndOutcome::Ended(receipt) => format!("ended {}", receipt.reason),
            EndOutcome::Gone(receipt) => format!("gone {}", receipt.reason),
            EndOutcome::Extended { class, .. } => format!("extended {class}"),
            EndOutcome::Absent => "absent".into(),
        },
        ["idle", text, ms] => {
            let timeout = Duration::from_millis(ms.parse().expect("milliseconds"));
            manager.set_idle_timeout(id(text)?, (!timeout.is_zero()).then_some(timeout))?;
            "ok".into()
        }
        ["reap"] => format!("ok {}", manager.reap_now()?),
        ["drain", ms] => format!("ok {}", manager.drain(Duration::from_millis(ms.parse().expect("milliseconds")))?),
        ["close"] => {
            let report = manager.close(Duration::from_secs(5));
            format!("ok {} {}", report.ended, report.in_flight)
        }
        _ => return Err(Refusal(format!("error unknown {}", words.join(" ")))),
    })
}

fn begin(manager: &Manager, token: &str) -> Result<Request> {
    manager.begin(token, BeginOptions::default()).and_then(Begin::live)
}

/// How an end is meant: waiting so many milliseconds for its callbacks, if there is a number.
fn end_options(wait: &[&str]) -> EndOptions {
    let wait = wait.first().map(|ms| Duration::from_millis(ms.parse().expect("milliseconds")));
    EndOptions { wait, ..EndOptions::default() }
}

/// Adds 1 to a number that others add to, too; tells how often another was faster.
fn add(request: &Request, key: &str) -> Result<u64> {
    let mut conflicts = 0;
    loop {
        let was = request.get(&path(key))?;
        let number = if let Some(Value::Int(number)) = was { number } else { 0 };
        match request.compare_and_set(&path(key), was.as_ref(), Some(Value::Int(number + 1))) {
            Ok(()) => break,
            Err(error) if error.kind() == ErrorKind::Conflict => conflicts += 1,
            Err(error) => return Err(error),
        }
    }
    request.finish()?;
    Ok(conflicts)
}

fn see(manager: &Manager, words: &[&str]) -> Answer {
    Ok(match *words {
        ["explain", id] => match manager.explain(SessionId::parse(id)?)? {
            Some(explain) => explain.text.replace('\n', " | "),
            None => "absent".into(),
        },
        ["requests", id] => match manager.explain(SessionId::parse(id)?)? {
            Some(explain) => {
                let processes: Vec<_> = explain.requests.iter().map(|request| request.process.to_string()).collect();
                format!("ok {}", processes.join(","))
            }
            None => "absent".into(),
        },
        ["letters"] => {
            let letters = manager.dead_letters(0, 100_000)?;
            let shown = letters.iter().map(|letter| {
                let DeadLetter { id, event_id, kind, session_id, class, error, has_snapshot, .. } = letter;
                let snapshot = if *has_snapshot { "data" } else { "bare" };
                format!("{id} {}.{kind} {session_id} {event_id} {} {snapshot}", class.name, error.replace(' ', "_"))
            });
            format!("ok {}", shown.collect::<Vec<_>>().join(" | "))
        }
        ["failures", id] => match manager.explain(SessionId::parse(id)?)? {
            Some(explain) => {
                let failures = explain.failures.iter().map(|(class, kind, text)| format!(" {class}.{kind}: {text}"));
                format!("ok{}", failures.collect::<String>())
            }
            None => "absent".into(),
        },
        ["redeliver", "all"] => format!("ok {}", manager.redeliver(None)?),
        ["redeliver", id] => format!("ok {}", manager.redeliver(Some(id.parse().expect("an id")))?),
        ["stats", field] => {
            let stats = manager.stats()?;
            match field {
                "dead_letters" => stats.dead_letters.to_string(),
                "in_flight" => stats.in_flight.to_string(),
                "damaged" => stats.damaged.to_string(),
                "reaper" => stats.reaper.to_owned(),
                "lock_waiters" => stats.lock_waiters.to_string(),
                "tombstones" => stats.tombstones.to_string(),
                _ => return Err(Refusal("error unknown".into())),
            }
        }
        ["count"] => manager.count()?.to_string(),
        ["ids"] => format!("ok {}", super::account::ids(manager).join(" ")),
        ["usage"] => {
            let usage = manager.usage("users")?;
            format!("{}/{}", usage.in_use, usage.capacity)
        }
        ["waiting"] => manager.usage("users")?.waiting.to_string(),
        ["audit"] => {
            let audit = manager.audit("users")?;
            match audit.differences.is_empty() && audit.counted == audit.recounted {
                true => format!("equal {}", audit.counted),
                false => format!("{} {} {:?}", audit.counted, audit.recounted, audit.differences),
            }
        }
        ["check"] => {
            let wrong = manager.check()?;
            if wrong.is_empty() { "ok".into() } else { wrong.join(" | ") }
        }
        _ => return Err(Refusal("error unknown".into())),
    })
}
