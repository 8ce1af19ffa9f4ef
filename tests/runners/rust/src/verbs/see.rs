//! Verbs that look: info, list, explain, stats, usage, accounts, dead letters, events, the log.

use std::sync::Arc;

use libsession_core::data::{from_json, to_json};
use libsession_core::{EndReason, EventKind, Stats, UnitExplain, Waiter};

use crate::answer::{self, Answer, Fail, class_name, list, ok, word};
use crate::words::Words;
use crate::world::{World, lock};

pub(super) fn answer(world: &Arc<World>, verb: &str, words: &Words) -> Option<Answer> {
    Some(match verb {
        "info" => info(world, words),
        "sessions" => sessions(world),
        "list" => listing(world, words),
        "explain" => explain(world, words),
        "explains" => explains(world, words),
        "stats" => stats(world, words),
        "check" => check(world),
        "unit" => unit(world, words),
        "unit_says" => unit_says(world, words),
        "usage" => usage(world, words),
        "queue" => queue(world, words),
        "position" => position(world, words),
        "cancel" => cancel(world, words),
        "change_pool" => change_pool(world, words),
        "definition" => definition(world, words),
        "differences" => differences(world),
        "high_water" => high_water(world, words),
        "reset_high_water" => reset_high_water(world, words),
        "forget_high_water" => forget_high_water(world, words),
        "accounts" => accounts(world, words),
        "audit" => audit(world, words),
        "audit_records" => audit_records(world, words),
        "dead_letters" => dead_letters(world, words),
        "calls" => calls(world, words),
        "events" => events(world, words),
        "log" => log(world, words),
        _ => return None,
    })
}

fn fields(words: &Words, from: usize, field: impl Fn(&str) -> Answer) -> Answer {
    let all: Result<Vec<String>, Fail> = words.plain.iter().skip(from).map(|name| field(name)).collect();
    Ok(all?.join(" "))
}

fn info(world: &Arc<World>, words: &Words) -> Answer {
    let label = words.at(0)?;
    let info = if world.is_request(label) {
        world.request(label)?.0.info()?
    } else {
        match world.manager()?.explain(world.id(label)?)? {
            None => return Ok("absent".into()),
            Some(explain) => match (explain.live, explain.ended) {
                (Some(info), _) => info,
                (None, Some(ended)) => return Ok(format!("gone {}", ended.reason)),
                (None, None) => return Ok("absent".into()),
            },
        }
    };
    fields(words, 1, |field| answer::info_field(&info, field))
}

fn sessions(world: &Arc<World>) -> Answer {
    Ok(world.turn()?.count()?.to_string())
}

fn listing(world: &Arc<World>, words: &Words) -> Answer {
    let (manager, filter) = (world.turn()?, super::session::filter(world, words)?);
    let limit = words.number("limit")?.unwrap_or(1000);
    let (mut labels, mut cursor) = (Vec::new(), 0);
    loop {
        let page = manager.list(&filter, cursor, limit)?;
        labels.extend(page.sessions.iter().map(|info| world.label_of(info.id)));
        match page.next {
            Some(next) => cursor = next,
            None => break,
        }
    }
    labels.sort();
    Ok(list(labels, " "))
}

fn explain(world: &Arc<World>, words: &Words) -> Answer {
    match world.manager()?.explain(world.id(words.at(0)?)?)? {
        Some(explain) => fields(words, 1, |field| answer::explain_field(&explain, field)),
        None => Ok("absent".into()),
    }
}

fn explains(world: &Arc<World>, words: &Words) -> Answer {
    let part = words.text_at(1)?;
    let explain = world.manager()?.explain(world.id(words.at(0)?)?)?.ok_or("nothing is known of it")?;
    let text = world.with_labels(&explain.text);
    let trace = explain.trace.iter().any(|line| world.with_labels(line).contains(&part));
    Ok((trace || text.contains(&part)).to_string())
}

fn stats(world: &Arc<World>, words: &Words) -> Answer {
    let stats = world.manager()?.stats()?;
    fields(words, 0, |field| stat(&stats, field))
}

fn stat(stats: &Stats, field: &str) -> Answer {
    if let Some(reason) = field.strip_prefix("ended.") {
        let reason = EndReason::from_name(reason).ok_or_else(|| format!("there is no reason '{reason}'"))?;
        return Ok(stats.ended.iter().find(|one| one.0 == reason).map_or(0, |one| one.1).to_string());
    }
    let number = match field {
        "reaper" => return Ok(stats.reaper.into()),
        "breakers_open" => return Ok(list(stats.breakers_open.clone(), ",")),
        "live" => stats.live,
        "peak" => stats.peak,
        "created" => stats.created,
        "refused" => stats.refused,
        "in_flight" => stats.in_flight,
        "lock_waiters" => stats.lock_waiters,
        "license_waiters" => stats.license_waiters,
        "tombstones" => stats.tombstones,
        "damaged" => stats.damaged,
        "callbacks_delivered" => stats.callbacks_delivered,
        "callbacks_failed" => stats.callbacks_failed,
        "callbacks_overrun" => stats.callbacks_overrun,
        "dead_letters" => stats.dead_letters,
        "stuck_workers" => stats.stuck_workers,
        "replaced_token_uses" => stats.replaced_token_uses,
        _ => return Err(format!("stats have no field '{field}'").into()),
    };
    Ok(number.to_string())
}

fn check(world: &Arc<World>) -> Answer {
    let violations = world.turn()?.check()?;
    Ok(if violations.is_empty() { "ok".into() } else { violations.join("; ") })
}

fn usage(world: &Arc<World>, words: &Words) -> Answer {
    let usage = world.turn()?.usage(&words.text_at(0)?)?;
    if words.plain.len() == 1 {
        return Ok(format!("{}/{}", usage.in_use, usage.capacity));
    }
    fields(words, 1, |field| {
        Ok(match field {
            "capacity" => usage.capacity.to_string(),
            "in_use" => usage.in_use.to_string(),
            "available" => usage.available.to_string(),
            "free" => usage.free.to_string(),
            "reserved" => usage.reserved.to_string(),
            "reserved_soft" => usage.reserved_soft.to_string(),
            "break_glass" => usage.break_glass.to_string(),
            "denials_by_reason" => {
                let counted = usage.denials_by_reason.iter().filter(|(_, count)| *count > 0);
                let mut counted: Vec<String> = counted.map(|(reason, count)| format!("{reason}:{count}")).collect();
                counted.sort();
                list(counted, ",")
            }
            "high_water" => usage.high_water.to_string(),
            "denials" => usage.denials.to_string(),
            "evicted" => usage.evicted.to_string(),
            "lingering" => usage.lingering.to_string(),
            "waiting" => usage.waiting.to_string(),
            "offered" => usage.offered.to_string(),
            "overdrawn" => usage.overdrawn.to_string(),
            "excess" => usage.excess.to_string(),
            "release_ms" => {
                let lingering = usage.holders.iter().filter_map(|one| {
                    let name = word(&world.with_labels(&one.holder));
                    one.release_in.map(|left| format!("{name}:{}:{}", one.lingering, left.as_millis()))
                });
                let mut lingering: Vec<String> = lingering.collect();
                lingering.sort();
                list(lingering, ",")
            }
            "holders" => {
                let mut holders: Vec<String> = usage
                    .holders
                    .iter()
                    .map(|one| {
                        let name = word(&world.with_labels(&one.holder));
                        format!("{name}:{}:{}:{}", one.kind, one.connections, one.units)
                    })
                    .collect();
                holders.sort();
                list(holders, ",")
            }
            _ => return Err(format!("a usage has no field '{field}'").into()),
        })
    })
}

fn queue(world: &Arc<World>, words: &Words) -> Answer {
    let waiters = world.turn()?.queue(&words.text_at(0)?, 0, usize::MAX)?;
    let line = |one: &Waiter| {
        let name = if one.holder.as_ref() == one.session_id.to_string() {
            world.label_of(one.session_id)
        } else {
            word(&one.holder)
        };
        let offered = if one.offered { "!" } else { "" };
        format!("{}:{name}:{}:{}{offered}", one.position, one.priority, one.left.as_millis())
    };
    Ok(list(waiters.iter().map(line).collect(), ","))
}

fn position(world: &Arc<World>, words: &Words) -> Answer {
    Ok(world.ticket(words.at(0)?).position()?.map_or("none".into(), |position| position.to_string()))
}

fn cancel(world: &Arc<World>, words: &Words) -> Answer {
    world.ticket(words.at(0)?).cancel();
    ok()
}

fn change_pool(world: &Arc<World>, words: &Words) -> Answer {
    let (options, actor) = (words.at(1)?, words.text("by")?);
    world.turn()?.change_pool(&words.text_at(0)?, |pool| pool.set_json(options), actor.as_deref())?;
    Ok("ok".into())
}

fn definition(world: &Arc<World>, words: &Words) -> Answer {
    let definition = from_json(&world.turn()?.pool(&words.text_at(0)?)?.to_json())?;
    fields(words, 1, |field| {
        definition.get(field).map(to_json).ok_or_else(|| format!("a pool has no option '{field}'").into())
    })
}

fn differences(world: &Arc<World>) -> Answer {
    let found = world.turn()?.pool_differences()?;
    let texts = found.iter().map(|one| format!("{}.{} {} {}", one.pool, one.option, one.named, one.in_force));
    Ok(list(texts.collect(), ", "))
}

fn high_water(world: &Arc<World>, words: &Words) -> Answer {
    Ok(world.turn()?.high_water(&words.text_at(0)?, &words.text_at(1)?)?.0.to_string())
}

fn reset_high_water(world: &Arc<World>, words: &Words) -> Answer {
    world.turn()?.reset_high_water(&words.text_at(0)?, &words.text_at(1)?)?;
    Ok("ok".into())
}

fn forget_high_water(world: &Arc<World>, words: &Words) -> Answer {
    Ok(world.turn()?.forget_high_water(&words.text_at(0)?, &words.text_at(1)?)?.to_string())
}

fn accounts(world: &Arc<World>, words: &Words) -> Answer {
    let (after, limit) = (words.number("after")?.unwrap_or(0), words.number("limit")?.unwrap_or(10_000));
    let page = world.turn()?.export_accounts(&words.text_at(0)?, after, limit)?;
    Ok(list(page.lines.lines().map(|line| world.with_labels(line)).collect(), " "))
}

fn unit_of(world: &Arc<World>, words: &Words) -> Result<Option<UnitExplain>, Fail> {
    let holder = words.text_at(1)?;
    let holder = world.id(&holder).map_or(holder, |id| id.to_string());
    Ok(world.turn()?.explain_unit(&words.text_at(0)?, &holder)?)
}

fn unit(world: &Arc<World>, words: &Words) -> Answer {
    let Some(explain) = unit_of(world, words)? else { return Ok("none".into()) };
    let one = &explain.holder;
    let mut sessions: Vec<String> = explain.sessions.iter().map(|info| world.label_of(info.id)).collect();
    sessions.sort();
    Ok(format!("{} {} {} {} {}", one.kind, one.connections, one.units, one.lingering, list(sessions, ",")))
}

fn unit_says(world: &Arc<World>, words: &Words) -> Answer {
    let explain = unit_of(world, words)?.ok_or("it holds nothing")?;
    Ok(world.with_labels(&explain.text).contains(&words.text_at(2)?).to_string())
}

fn audit(world: &Arc<World>, words: &Words) -> Answer {
    let audit = world.turn()?.audit(&words.text_at(0)?)?;
    if audit.differences.is_empty() && audit.counted == audit.recounted {
        return Ok(format!("equal {}", audit.counted));
    }
    Ok(format!("counted {} recounted {}: {}", audit.counted, audit.recounted, audit.differences.join("; ")))
}

fn audit_records(world: &Arc<World>, words: &Words) -> Answer {
    let (manager, pool) = (world.manager()?, words.text_at(0)?);
    let after = lock(&world.told).audit.get(&pool).copied().unwrap_or(0);
    let records = manager.audit_records(&pool, after, 10_000)?;
    if let Some(last) = records.last() {
        lock(&world.told).audit.insert(pool, last.seq);
    }
    let texts = records.iter().map(|record| {
        let reason = record.reason.map_or(String::new(), |reason| format!(" {reason}"));
        let session = world.label_of(record.session_id);
        // A session that was refused and has no label is its own holder all the same.
        let holder =
            if *record.holder == record.session_id.to_string() { session.clone() } else { word(&record.holder) };
        let why = if record.why.name().is_empty() { String::new() } else { format!(" {}", record.why.name()) };
        format!("{} {session} {holder} {}>{}{reason}{why}", record.kind.name(), record.before, record.after)
    });
    Ok(list(texts.collect(), ", "))
}

fn dead_letters(world: &Arc<World>, words: &Words) -> Answer {
    let of = words.plain.first().map(|label| world.id(label)).transpose()?;
    let letters = world.manager()?.dead_letters(0, 10_000)?;
    let texts = letters.iter().filter(|letter| of.is_none_or(|id| letter.session_id == id)).map(|letter| {
        let class = class_name(&letter.class.namespace, &letter.class.name);
        let late = if letter.completed_late { " late" } else { "" };
        let session = world.label_of(letter.session_id);
        format!("{session} {class}.{} {} {}{late}", letter.kind, letter.attempts, word(&letter.error))
    });
    Ok(list(texts.collect(), ", "))
}

fn calls(world: &Arc<World>, words: &Words) -> Answer {
    let kind = EventKind::from_name(words.at(1)?).ok_or("there is no such callback")?;
    Ok(world.calls(words.at(0)?, kind).to_string())
}

fn events(world: &Arc<World>, words: &Words) -> Answer {
    let label = words.at(0)?;
    let told = lock(&world.told).events.get(label).copied().unwrap_or(0);
    let new = world.deliveries(label, told);
    lock(&world.told).events.insert(label.into(), told + new.len());
    Ok(list(new, " "))
}

fn log(world: &Arc<World>, words: &Words) -> Answer {
    world.settle();
    let of = words.plain.first().copied().unwrap_or_default();
    let told = lock(&world.told).log.get(of).copied().unwrap_or(0);
    let entries = world.entries(told);
    lock(&world.told).log.insert(of.into(), told + entries.len());
    let texts = entries.into_iter().filter(|(label, _)| of.is_empty() || label == of).map(|(_, text)| text);
    Ok(list(texts.collect(), ", "))
}
