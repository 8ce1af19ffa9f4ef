//! Callbacks that do what a script says.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use libsession_core::data::{Subscript, to_json, tree_to_json};
use libsession_core::{Attempt, Event, EventHandler, EventKind, LicenseClass, Reply, Verdict};

use crate::answer::{self, Fail, class_name, word};
use crate::words::{Words, json};
use crate::world::World;

/// One action of a step.
#[derive(Clone, Debug)]
enum Action {
    Answer(Verdict),
    Throw(String),
    Hang,
    Set(String, String),
    Timeout(Duration),
    License(LicenseClass),
    Keep,
    See(String),
    Do(String),
}

struct Behavior {
    steps: Vec<Vec<Action>>,
    calls: AtomicUsize,
}

/// The callbacks of one class.
pub struct Scripted {
    world: Weak<World>,
    name: String,
    behaviors: HashMap<EventKind, Behavior>,
}

impl Scripted {
    /// Reads the behaviors of a `class` line.
    pub fn new(world: &Arc<World>, namespace: &str, name: &str, words: &Words) -> Result<Self, Fail> {
        let mut behaviors = HashMap::new();
        for (option, value) in words.names() {
            if matches!(option, "namespace" | "deadline_ms" | "compat_veto") {
                continue;
            }
            let kind = EventKind::from_name(option).ok_or_else(|| format!("there is no callback '{option}'"))?;
            let steps = value.split('|').map(step).collect::<Result<_, _>>()?;
            behaviors.insert(kind, Behavior { steps, calls: AtomicUsize::new(0) });
        }
        Ok(Self { world: Arc::downgrade(world), name: class_name(namespace, name), behaviors })
    }

    fn run(&self, world: &Arc<World>, event: &Arc<Event>, attempt: Attempt, reply: &Reply) -> Result<Verdict, String> {
        let Some(behavior) = self.behaviors.get(&event.kind) else { return Ok(Verdict::Allow) };
        let call = behavior.calls.fetch_add(1, Ordering::SeqCst).min(behavior.steps.len() - 1);
        let reason = event.reason.map_or(String::new(), |reason| format!(":{reason}"));
        let number = if attempt.number > 1 { format!("#{}", attempt.number) } else { String::new() };
        let again = if attempt.redelivered { "!" } else { "" };
        let what = format!("{}.{}@{}{reason}{number}{again}", self.name, event.kind, world.clock.now().ms);
        let place = world.delivered(event.session_id, &self.name, event.kind, what);
        for action in &behavior.steps[call] {
            match action {
                Action::Answer(verdict) => return Ok(verdict.clone()),
                Action::Throw(text) => return Err(text.clone()),
                Action::Hang => world.hang(&self.name, || reply.hang()),
                Action::Set(key, value) => {
                    let request = event.request.as_ref().ok_or("set: this callback has no request")?;
                    let value = json(value).map_err(|_| "set: not JSON")?;
                    if let Err(error) = request.set(&[Subscript::text(key.as_str())], value) {
                        world.note(&place, format!("set={}", word(&answer::error(&error))));
                    }
                }
                Action::Timeout(timeout) => {
                    let request = event.request.as_ref().ok_or("timeout: this callback has no request")?;
                    if let Err(error) = request.set_idle_timeout(Some(*timeout).filter(|timeout| !timeout.is_zero())) {
                        world.note(&place, format!("timeout={}", word(&answer::error(&error))));
                    }
                }
                Action::License(class) => event.set_license_class(*class),
                Action::Keep => event.set_end_session(false),
                Action::See(field) => world.note(&place, word(&format!("{field}={}", seen(event, field)))),
                Action::Do(line) => {
                    let words: Vec<String> =
                        line.split(',').map(|word| if word == "@" { place.0.clone() } else { word.into() }).collect();
                    let answer = match crate::verbs::answer(world, &words) {
                        Ok(answer) => answer,
                        Err(Fail::Engine(error)) => answer::error(&error),
                        Err(Fail::Script(why)) => format!("script: {why}"),
                    };
                    world.note(&place, word(&format!("{line}={}", world.with_labels(&answer))));
                }
            }
        }
        Ok(Verdict::Allow)
    }
}

impl EventHandler for Scripted {
    fn handles(&self, kind: EventKind) -> bool {
        self.behaviors.contains_key(&kind)
    }

    fn call(&self, event: &Arc<Event>, attempt: Attempt, reply: Reply) {
        let Some(world) = self.world.upgrade() else { return reply.done() };
        match self.run(&world, event, attempt, &reply) {
            Ok(verdict) => reply.verdict(verdict),
            Err(text) => reply.fail(text),
        }
    }
}

fn step(text: &str) -> Result<Vec<Action>, Fail> {
    text.split('+').map(action).collect()
}

fn action(text: &str) -> Result<Action, Fail> {
    let (name, rest) = text.split_once(':').unwrap_or((text, ""));
    let ms =
        || rest.parse().map(Duration::from_millis).map_err(|_| Fail::Script(format!("'{text}' wants milliseconds")));
    let or_boom = || if rest.is_empty() { "boom".to_string() } else { rest.to_string() };
    Ok(match name {
        "ok" => Action::Answer(Verdict::Allow),
        "throw" => Action::Throw(or_boom()),
        "deny" => Action::Answer(Verdict::Deny(or_boom())),
        "extend" => Action::Answer(Verdict::Extend(ms()?)),
        "hang" => Action::Hang,
        "set" => {
            let (key, value) = rest.split_once(':').ok_or("set wants KEY:JSON")?;
            Action::Set(key.into(), value.into())
        }
        "timeout" => Action::Timeout(ms()?),
        "license" => Action::License(LicenseClass::from_name(rest).ok_or("license wants a class")?),
        "keep" => Action::Keep,
        "see" => Action::See(rest.into()),
        "do" => Action::Do(rest.into()),
        _ => return Err(format!("there is no action '{text}'").into()),
    })
}

fn seen(event: &Event, field: &str) -> String {
    let or_none = |value: Option<&str>| value.unwrap_or("none").to_string();
    let pool = event.pool.as_ref();
    match field {
        "application" => event.application.to_string(),
        "old_application" => or_none(event.old_application.as_deref()),
        "namespace" => event.namespace.to_string(),
        "user" => or_none(event.user.as_deref()),
        "old_user" => or_none(event.old_user.as_deref()),
        "level" => or_none(event.level.map(|level| level.name())),
        "thread" => event.thread.name().into(),
        "remaining" => event.remaining.map_or("none".into(), |left| left.as_millis().to_string()),
        "pool" => or_none(pool.map(|state| state.pool.as_ref())),
        "in_use" => pool.map_or("none".into(), |state| state.in_use.to_string()),
        "capacity" => pool.map_or("none".into(), |state| state.capacity.to_string()),
        "data" => event.data().map_or("corrupt".into(), tree_to_json),
        _ => match field.strip_prefix("data.") {
            None => format!("no_field_{field}"),
            Some(key) => match event.data() {
                Ok(tree) => tree.get(&[Subscript::text(key)]).map_or("none".into(), to_json),
                Err(_) => "corrupt".into(),
            },
        },
    }
}
