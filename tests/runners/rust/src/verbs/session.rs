//! Verbs on sessions: create, begin, touch, end, timeouts.

use std::sync::Arc;
use std::time::Duration;

use libsession_core::data::Value;
use libsession_core::{
    Begin, BeginOptions, Client, CreateOptions, EndLevel, EndOptions, EndReason, Filter, LicenseClass, LockMode,
    QueueOptions, State, TouchKind,
};

use crate::answer::{self, Answer, Fail, ok};
use crate::words::{Words, json};
use crate::world::{World, lock};

const CREATE: &[&str] = &[
    "app",
    "license",
    "idle_timeout_ms",
    "absolute_timeout_ms",
    "address",
    "user_agent",
    "referrer",
    "data",
    "touch",
    "lock",
    "lock_timeout_ms",
    "wait_ms",
    "priority",
    "ticket",
];
const FILTER: &[&str] = &[
    "user",
    "app",
    "state",
    "overdue",
    "pool",
    "holder",
    "older_than_ms",
    "idle_for_ms",
    "damaged",
    "immortal",
    "limit",
    "level",
    "reason",
    "actor",
    "note",
    "idle_ms",
];

pub(super) fn answer(world: &Arc<World>, verb: &str, words: &Words) -> Option<Answer> {
    Some(match verb {
        "create" => create(world, words),
        "begin_new" => begin_new(world, words),
        "begin" => begin(world, words),
        "touch" => touch(world, words),
        "peek" => peek(world, words),
        "id" => id(world, words),
        "token" => token(world, words),
        "timeout" => timeout(world, words),
        "timeout_where" => timeout_where(world, words),
        "end" => end(world, words),
        "end_where" => end_where(world, words),
        _ => return None,
    })
}

fn create_options(world: &World, words: &Words) -> Result<CreateOptions, Fail> {
    words.only(CREATE)?;
    let data = match words.named("data").map(json).transpose()? {
        None => Vec::new(),
        Some(Value::Map(data)) => data,
        Some(_) => return Err("data wants a JSON object".into()),
    };
    Ok(CreateOptions {
        application: words.text("app")?,
        client: Client {
            address: words.text("address")?,
            user_agent: words.text("user_agent")?,
            referrer: words.text("referrer")?,
        },
        data,
        license_class: words.member("license", LicenseClass::from_name)?,
        idle_timeout: words.timeout("idle_timeout_ms")?,
        absolute_timeout: words.duration("absolute_timeout_ms")?,
        queue: queue_options(world, words)?,
    })
}

/// What `wait_ms= priority= ticket=` say of who waits for units.
pub(super) fn queue_options(world: &World, words: &Words) -> Result<QueueOptions, Fail> {
    Ok(QueueOptions {
        wait: words.duration("wait_ms")?.unwrap_or_default(),
        priority: words.number("priority")?.unwrap_or_default(),
        ticket: words.named("ticket").map(|name| world.ticket(name)),
    })
}

fn begin_options(words: &Words) -> Result<BeginOptions, Fail> {
    Ok(BeginOptions {
        touch: words.member("touch", TouchKind::from_name)?,
        lock: words.member("lock", LockMode::from_name)?,
        lock_timeout: words.duration("lock_timeout_ms")?,
        ..BeginOptions::default()
    })
}

fn create(world: &Arc<World>, words: &Words) -> Answer {
    let label = words.at(0)?;
    let manager = world.turn()?;
    world.creating(label);
    let created = manager.create(create_options(world, words)?)?;
    world.created(label, created.id, &created.token);
    ok()
}

fn new_or_ok(is_new: bool) -> Answer {
    Ok(if is_new { "ok new" } else { "ok" }.into())
}

fn begin_new(world: &Arc<World>, words: &Words) -> Answer {
    let (request, label) = (words.at(0)?, words.at(1)?);
    let manager = world.turn()?;
    world.creating(label);
    let begun = manager.begin_new(create_options(world, words)?, begin_options(words)?)?;
    world.created(label, begun.id(), &begun.token());
    let is_new = begun.is_new();
    lock(&world.labels).requests.insert(request.into(), (begun, label.into()));
    new_or_ok(is_new)
}

fn begin(world: &Arc<World>, words: &Words) -> Answer {
    words.only(&["touch", "lock", "lock_timeout_ms", "app"])?;
    let request = words.at(0)?;
    let options = BeginOptions { application: words.text("app")?, ..begin_options(words)? };
    match world.turn()?.begin(&world.token(words.at(1)?)?, options)? {
        Begin::Absent => Ok("absent".into()),
        Begin::Gone(reason) => Ok(format!("gone {reason}")),
        Begin::Live(begun) => {
            let is_new = begun.is_new();
            let label = world.label_of(begun.id());
            lock(&world.labels).requests.insert(request.into(), (begun, label));
            new_or_ok(is_new)
        }
    }
}

fn touch(world: &Arc<World>, words: &Words) -> Answer {
    let kind = match words.plain.get(1) {
        Some(kind) => TouchKind::from_name(kind).ok_or_else(|| format!("there is no touch '{kind}'"))?,
        None => TouchKind::Activity,
    };
    Ok(answer::touched(world.turn()?.touch(&world.token(words.at(0)?)?, kind)?))
}

fn peek(world: &Arc<World>, words: &Words) -> Answer {
    Ok(answer::touched(world.turn()?.touch(&world.token(words.at(0)?)?, TouchKind::None)?))
}

fn id(world: &Arc<World>, words: &Words) -> Answer {
    let id = world.turn()?.id_of(&world.token(words.at(0)?)?)?;
    Ok(id.map_or("none".into(), |id| world.label_of(id)))
}

fn token(world: &Arc<World>, words: &Words) -> Answer {
    let token = world.token(words.at(1)?)?;
    lock(&world.labels).tokens.insert(words.at(0)?.into(), token);
    ok()
}

fn timeout(world: &Arc<World>, words: &Words) -> Answer {
    words.only(&["idle_ms", "absolute_ms"])?;
    let label = words.at(0)?;
    let (idle, absolute) = (words.timeout("idle_ms")?, words.duration("absolute_ms")?);
    if world.is_request(label) {
        let (request, _) = world.request(label)?;
        if let Some(idle) = idle {
            request.set_idle_timeout(idle)?;
        }
        if let Some(absolute) = absolute {
            request.set_absolute_timeout(absolute)?;
        }
        return ok();
    }
    let (manager, id) = (world.turn()?, world.id(label)?);
    let mut live = true;
    if let Some(idle) = idle {
        live &= manager.set_idle_timeout(id, idle)?;
    }
    if let Some(absolute) = absolute {
        live &= manager.set_absolute_timeout(id, absolute)?;
    }
    Ok(if live { "ok" } else { "absent" }.into())
}

/// The sessions that a line means.
pub(super) fn filter(world: &Arc<World>, words: &Words) -> Result<Filter, Fail> {
    words.only(FILTER)?;
    let holder = words.text("holder")?.map(|name| world.id(&name).map_or(name, |id| id.to_string()));
    Ok(Filter {
        user: words.text("user")?,
        application: words.text("app")?,
        state: words.member("state", |word| match word {
            "new" => Some(State::New),
            "active" => Some(State::Active),
            _ => None,
        })?,
        overdue: words.number("overdue")?,
        pool: words.text("pool")?,
        holder,
        older_than: words.duration("older_than_ms")?,
        idle_for: words.duration("idle_for_ms")?,
        damaged: words.number("damaged")?,
        immortal: words.number("immortal")?,
    })
}

fn end_options(words: &Words) -> Result<EndOptions, Fail> {
    let default = EndOptions::default();
    Ok(EndOptions {
        level: words.member("level", EndLevel::from_name)?.unwrap_or(default.level),
        reason: words.member("reason", EndReason::from_name)?.unwrap_or(default.reason),
        actor: words.text("actor")?,
        note: words.text("note")?,
        wait: words.duration("wait_ms")?,
    })
}

fn end(world: &Arc<World>, words: &Words) -> Answer {
    words.only(&["level", "reason", "actor", "note", "wait_ms"])?;
    let (label, options) = (words.at(0)?, end_options(words)?);
    let outcome = if world.is_request(label) {
        world.request(label)?.0.end(options)?
    } else {
        world.turn()?.end(world.id(label)?, options)?
    };
    Ok(answer::end_outcome(&outcome))
}

fn progress(
    world: &Arc<World>,
    verb: &'static str,
    words: &Words,
    step: impl FnOnce(u64, usize) -> libsession_core::Result<libsession_core::Progress>,
) -> Answer {
    let resume = words.plain.contains(&"resume");
    let cursor = if resume { lock(&world.told).cursors.get(verb).copied().unwrap_or(0) } else { 0 };
    let progress = step(cursor, words.number("limit")?.unwrap_or(10_000))?;
    lock(&world.told).cursors.insert(verb, progress.next.unwrap_or(0));
    let more = if progress.next.is_some() { "more" } else { "done" };
    Ok(format!("changed={} protected={} {more}", progress.changed, progress.protected))
}

fn timeout_where(world: &Arc<World>, words: &Words) -> Answer {
    let (manager, filter) = (world.turn()?, filter(world, words)?);
    let idle: Option<Duration> = words.timeout("idle_ms")?.ok_or("timeout_where wants idle_ms=")?;
    progress(world, "timeout_where", words, |cursor, limit| {
        manager.set_idle_timeout_where(&filter, idle, cursor, limit)
    })
}

fn end_where(world: &Arc<World>, words: &Words) -> Answer {
    let (manager, filter, options) = (world.turn()?, filter(world, words)?, end_options(words)?);
    progress(world, "end_where", words, |cursor, limit| manager.end_where(&filter, options, cursor, limit))
}
