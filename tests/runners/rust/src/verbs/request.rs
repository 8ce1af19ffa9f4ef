//! Verbs on requests: data, locks, users, event classes, attachments.

use std::any::Any;
use std::sync::Arc;

use libsession_core::data::{Direction, Subscript, Value, to_json, tree_from_json, tree_to_json};
use libsession_core::{FeatureOptions, LockMode, LoginOptions, Logout, Request};

use crate::answer::{Answer, Fail, class_name, list, ok};
use crate::line::text_of;
use crate::verbs::session::queue_options;
use crate::words::{Words, json};
use crate::world::{World, lock};

pub(super) fn answer(world: &Arc<World>, verb: &str, words: &Words) -> Option<Answer> {
    let known = [
        "finish",
        "save",
        "discard",
        "unlock",
        "lock",
        "lock_mode",
        "get",
        "get_versioned",
        "pop",
        "expect",
        "set",
        "merge",
        "cas",
        "kill",
        "defined",
        "next",
        "entries",
        "count",
        "bytes",
        "request_end",
        "rotate",
        "login",
        "trade",
        "logout",
        "take",
        "give_back",
        "features",
        "class_add",
        "class_clear",
        "event_class",
        "class_remove",
        "class_exists",
        "classes",
        "attach",
        "attachment",
        "detach",
    ];
    known.contains(&verb).then(|| on_request(world, verb, words))
}

fn on_request(world: &Arc<World>, verb: &str, words: &Words) -> Answer {
    let (request, session) = world.request(words.at(0)?)?;
    match verb {
        "finish" => request.finish()?,
        "save" => request.save()?,
        "discard" => request.discard()?,
        "unlock" => request.unlock(words.plain.contains(&"save"))?,
        "lock" => {
            let mode = LockMode::from_name(words.at(1)?).ok_or("lock wants exclusive, shared or none")?;
            request.lock(mode, words.duration("timeout_ms")?)?;
        }
        "lock_mode" => return Ok(request.lock_mode()?.map_or("free".into(), |mode| mode.name().into())),
        "request_end" => request.request_end(!words.plain.contains(&"false"))?,
        "rotate" => {
            let token = request.rotate()?;
            world.renewed(&session, &token);
        }
        "login" => {
            let login = request.login_with(&words.text_at(1)?, options(world, words)?)?;
            world.renewed(&session, &login.token);
            if let Some(denied) = login.trade_denied {
                return Ok(format!("ok trade_denied {}", denied.deny_reason().map_or("?", |reason| reason.name())));
            }
        }
        "trade" => request.trade_with(options(world, words)?)?,
        "logout" => match request.logout(words.plain.contains(&"force"))? {
            Logout::Done(token) => world.renewed(&session, &token),
            Logout::Ended(receipt) => return Ok(format!("ended {}", receipt.reason)),
        },
        "take" => request.take_feature(&words.text_at(1)?, feature_options(world, words)?)?,
        "give_back" => {
            let count = words.number("count")?.unwrap_or(1);
            return Ok(request.return_feature(&words.text_at(1)?, count as u64)?.to_string());
        }
        "features" => return features(&request),
        "class_add" | "class_clear" | "event_class" | "class_remove" | "class_exists" | "classes" => {
            return classes(&request, verb, words);
        }
        "attach" | "attachment" | "detach" => return attachments(world, &request, &session, verb, words),
        _ => return data(world, &request, verb, words),
    }
    ok()
}

/// What `groups=A,B` says of who logs in, and whether it waits.
fn options(world: &World, words: &Words) -> Result<LoginOptions, Fail> {
    let groups = words.text("groups")?;
    let groups = groups.map(|all| all.split(',').filter(|group| !group.is_empty()).map(str::to_string).collect());
    Ok(LoginOptions { groups, queue: queue_options(world, words)? })
}

fn feature_options(world: &World, words: &Words) -> Result<FeatureOptions, Fail> {
    let count = words.number("count")?.unwrap_or(1);
    let LoginOptions { groups, queue } = options(world, words)?;
    Ok(FeatureOptions { count: count as u64, groups, queue })
}

fn features(request: &Request) -> Answer {
    let features = request.features()?.into_iter();
    let told = features.map(|one| format!("{}:{}:{}@{}", one.pool, one.count, one.holder, one.since_ms));
    Ok(list(told.collect(), ","))
}

/// A path: a JSON list of subscripts, or a word.
fn path(word: &str) -> Result<Vec<Subscript>, Fail> {
    if !word.starts_with('[') {
        return Ok(vec![Subscript::text(text_of(word)?)]);
    }
    match json(word)? {
        Value::List(list) => list.iter().map(subscript).collect(),
        _ => Err("a path is a JSON list".into()),
    }
}

fn subscript(value: &Value) -> Result<Subscript, Fail> {
    Ok(match value {
        Value::Int(number) => Subscript::int(*number)?,
        Value::Float(number) => Subscript::float(*number)?,
        Value::Text(text) => Subscript::text(text.as_str()),
        _ => return Err("a subscript is a number or a text".into()),
    })
}

fn or_none(value: Option<Value>) -> Answer {
    Ok(value.map_or("none".into(), |value| to_json(&value)))
}

fn none_or(word: &str) -> Result<Option<Value>, Fail> {
    if word == "none" { Ok(None) } else { json(word).map(Some) }
}

fn data(world: &Arc<World>, request: &Request, verb: &str, words: &Words) -> Answer {
    match verb {
        "count" => return Ok(request.count()?.to_string()),
        "bytes" => return Ok(request.bytes_used()?.to_string()),
        "expect" => {
            let version = lock(&world.labels).versions.get(words.at(2)?).copied().ok_or("there is no such version")?;
            let first = path(words.at(1)?)?.into_iter().next().ok_or("expect wants a subscript")?;
            request.expect_version(&first, version)?;
            return ok();
        }
        _ => {}
    }
    let path = path(words.at(1)?)?;
    match verb {
        "get" => or_none(request.get(&path)?),
        "get_versioned" => {
            let (value, version) = request.get_versioned(&path)?;
            if let Some(name) = words.plain.get(2) {
                lock(&world.labels).versions.insert((*name).into(), version);
            }
            or_none(value)
        }
        "pop" => or_none(request.pop(&path)?),
        "set" => {
            request.set(&path, json(words.at(2)?)?)?;
            ok()
        }
        "merge" => {
            let tree = tree_from_json(words.at(2)?).map_err(|error| Fail::Script(error.to_string()))?;
            request.merge(&path, &tree)?;
            ok()
        }
        "cas" => {
            request.compare_and_set(&path, none_or(words.at(2)?)?.as_ref(), none_or(words.at(3)?)?)?;
            ok()
        }
        "kill" => Ok(request.kill(&path)?.to_string()),
        "defined" => Ok(request.defined(&path)?.to_string()),
        "next" => {
            let after = words.named("after").map(json).transpose()?.map(|value| subscript(&value)).transpose()?;
            let back = words.plain.contains(&"back");
            let direction = if back { Direction::Backward } else { Direction::Forward };
            let next = request.next(&path, after.as_ref(), direction)?;
            Ok(next.map_or("none".into(), |subscript| subscript.to_string()))
        }
        "entries" => {
            let mut tree = libsession_core::data::Tree::new();
            for (path, value) in request.entries(&path)? {
                tree.set(&path, value)?;
            }
            Ok(tree_to_json(&tree))
        }
        _ => Err(format!("there is no verb '{verb}'").into()),
    }
}

fn classes(request: &Request, verb: &str, words: &Words) -> Answer {
    words.only(&["namespace"])?;
    let namespace = words.text("namespace")?;
    let namespace = namespace.as_deref();
    match verb {
        "class_add" => request.event_class_add(&words.text_at(1)?, namespace)?,
        "class_clear" => request.event_class_clear()?,
        "event_class" => request.set_event_class(&words.text_at(1)?)?,
        "class_remove" => {
            let name = words.plain.get(1).map(|name| text_of(name)).transpose()?;
            return Ok(request.event_class_remove(name.as_deref(), namespace)?.to_string());
        }
        "class_exists" => return Ok(request.event_class_exists(&words.text_at(1)?, namespace)?.to_string()),
        _ => {
            let names = request.event_class_list()?;
            return Ok(list(names.iter().map(|(namespace, name)| class_name(namespace, name)).collect(), " "));
        }
    }
    ok()
}

/// What is attached: its end is a delivery.
struct Attached {
    world: std::sync::Weak<World>,
    session: libsession_core::SessionId,
    name: String,
}

impl Drop for Attached {
    fn drop(&mut self) {
        if let Some(world) = self.world.upgrade() {
            let what = format!("drop.{}@{}", self.name, world.clock.now().ms);
            world.dropped(self.session, what);
        }
    }
}

fn attachments(world: &Arc<World>, request: &Request, session: &str, verb: &str, words: &Words) -> Answer {
    let name = words.text_at(1)?;
    let there = match verb {
        "attach" => {
            let object: Arc<dyn Any + Send + Sync> =
                Arc::new(Attached { world: Arc::downgrade(world), session: world.id(session)?, name: name.clone() });
            request.attach(&name, object)?;
            return ok();
        }
        "attachment" => request.attachment(&name)?.is_some(),
        _ => request.detach(&name)?.is_some(),
    };
    Ok(there.to_string())
}
