//! Verbs on the manager: classes, redelivery, damage, close.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::answer::{Answer, Fail, never, ok};
use crate::setup::class;
use crate::words::Words;
use crate::world::{World, lock};

pub(super) fn answer(world: &Arc<World>, verb: &str, words: &Words) -> Option<Answer> {
    Some(match verb {
        "open" => world.manager().and_then(|_| ok()),
        "unregister" => unregister(world, words),
        "resolver" => resolver(world, words),
        "asked" => asked(world),
        "redeliver" => redeliver(world, words),
        "reap" => reap(world),
        "tick" => tick(world),
        "dispatch" => dispatch(world, words),
        "damage" => damage(world, words),
        "stall" => stall(world, words),
        "close" => close(world, words),
        "config" | "application" | "pool" => Err(Fail::Script(format!("{verb} comes before the first verb"))),
        _ => return None,
    })
}

/// A class that is registered while the manager is open.
pub(super) fn register(world: &Arc<World>, words: &[String]) -> Answer {
    let class = class(world, words)?;
    for manager in world.managers()? {
        manager.register(class.clone())?;
    }
    ok()
}

fn unregister(world: &Arc<World>, words: &Words) -> Answer {
    let namespace = words.text("namespace")?.unwrap_or_default();
    let mut gone = false;
    for manager in world.managers()? {
        gone |= manager.unregister(&words.text_at(0)?, &namespace)?;
    }
    Ok(gone.to_string())
}

/// Who tells groups: `USER=A,B`, or `USER=!TEXT` for one of whom it can't; others have none.
fn resolver(world: &Arc<World>, words: &Words) -> Answer {
    let told: HashMap<String, String> =
        words.all_named().iter().map(|(user, groups)| ((*user).to_owned(), (*groups).to_owned())).collect();
    for manager in world.managers()? {
        let (told, asked) = (told.clone(), Arc::downgrade(world));
        let resolver = move |user: &str| -> Result<Vec<String>, String> {
            if let Some(world) = asked.upgrade() {
                lock(&world.labels).asked.push(user.to_owned());
            }
            match told.get(user).map(String::as_str).unwrap_or_default() {
                groups if groups.starts_with('!') => Err(groups[1..].to_owned()),
                groups => Ok(groups.split(',').filter(|group| !group.is_empty()).map(str::to_owned).collect()),
            }
        };
        let none = words.all_named().is_empty();
        manager.set_group_resolver(if none { None } else { Some(Arc::new(resolver)) })?;
    }
    ok()
}

fn asked(world: &Arc<World>) -> Answer {
    let asked = std::mem::take(&mut lock(&world.labels).asked);
    Ok(if asked.is_empty() { "none".to_owned() } else { asked.join(",") })
}

fn redeliver(world: &Arc<World>, words: &Words) -> Answer {
    let manager = world.manager()?;
    let id = match words.plain.first() {
        None => None,
        Some(place) => {
            let place: usize = place.parse().map_err(|_| Fail::Script("redeliver wants a number".into()))?;
            let letters = manager.dead_letters(0, 10_000)?;
            Some(letters.get(place.wrapping_sub(1)).ok_or("there is no such dead letter")?.id)
        }
    };
    Ok(manager.redeliver(id)?.to_string())
}

fn reap(world: &Arc<World>) -> Answer {
    Ok(world.manager()?.reap_now()?.to_string())
}

fn tick(world: &Arc<World>) -> Answer {
    Ok(never(world.manager()?.tick()?))
}

fn dispatch(world: &Arc<World>, words: &Words) -> Answer {
    let max = words.at(0)?.parse().map_err(|_| Fail::Script("dispatch wants a number".into()))?;
    Ok(world.manager()?.dispatch(max, Duration::ZERO)?.to_string())
}

fn damage(world: &Arc<World>, words: &Words) -> Answer {
    Ok(world.manager()?.damage(world.id(words.at(0)?)?)?.to_string())
}

fn stall(world: &Arc<World>, words: &Words) -> Answer {
    world.manager()?.stall_reaper(words.at(0)? == "true")?;
    ok()
}

fn close(world: &Arc<World>, words: &Words) -> Answer {
    let grace = match words.plain.first() {
        Some(ms) => Duration::from_millis(ms.parse().map_err(|_| Fail::Script("close wants milliseconds".into()))?),
        None => Duration::from_secs(5),
    };
    let report = world.manager()?.close(grace);
    Ok(format!(
        "ended={} in_flight={} delivered={} undelivered={} stuck={} deferred={}",
        report.ended, report.in_flight, report.delivered, report.undelivered, report.stuck, report.deferred
    ))
}
