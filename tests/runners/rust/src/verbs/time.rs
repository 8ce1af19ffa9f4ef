//! Verbs on time, and on lines that run on a thread of their own.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use crate::answer::{Answer, Fail, ok};
use crate::words::Words;
use crate::world::{PATIENCE, World, lock};

pub(super) fn answer(world: &Arc<World>, verb: &str, rest: &[String], words: &Words) -> Option<Answer> {
    Some(match verb {
        "now" => Ok(world.clock.now().ms.to_string()),
        "wall" => Ok(world.clock.wall_ms().to_string()),
        "advance" => advance(world, words),
        "suspend" => suspend(world, words),
        "set_wall" => set_wall(world, words),
        "start" => start(world, rest),
        "join" => join(world, words),
        "release" => {
            world.release(words.plain.first().copied());
            ok()
        }
        "class" => super::manage::register(world, rest),
        _ => return None,
    })
}

fn ms(words: &Words) -> Result<Duration, Fail> {
    Ok(Duration::from_millis(words.at(0)?.parse().map_err(|_| Fail::Script("milliseconds are wanted".into()))?))
}

fn advance(world: &Arc<World>, words: &Words) -> Answer {
    world.manager()?;
    Ok(world.clock.advance(ms(words)?)?.to_string())
}

fn suspend(world: &Arc<World>, words: &Words) -> Answer {
    world.manager()?;
    world.clock.suspend(ms(words)?)?;
    ok()
}

fn set_wall(world: &Arc<World>, words: &Words) -> Answer {
    world.clock.set_wall(words.at(0)?.parse().map_err(|_| Fail::Script("milliseconds are wanted".into()))?);
    ok()
}

fn start(world: &Arc<World>, rest: &[String]) -> Answer {
    let (name, line) = rest.split_first().ok_or("start wants a name and a line")?;
    let manager = world.manager()?;
    let waiting = || {
        (
            manager.stats().map_or(0, |stats| stats.lock_waiters + stats.license_waiters),
            world.hung.load(Ordering::SeqCst),
        )
    };
    let before = waiting();
    let thread = {
        let (world, line) = (world.clone(), line.to_vec());
        thread::spawn(move || super::answer(&world, &line))
    };
    let until = Instant::now() + PATIENCE;
    loop {
        let now = waiting();
        if thread.is_finished() || now.0 > before.0 || now.1 > before.1 {
            break;
        }
        if Instant::now() > until {
            return Err(format!("'{name}' neither returned nor waits").into());
        }
        thread::sleep(Duration::from_micros(200));
    }
    lock(&world.started).insert(name.clone(), thread);
    ok()
}

fn join(world: &Arc<World>, words: &Words) -> Answer {
    let name = words.at(0)?;
    let thread = lock(&world.started).remove(name).ok_or_else(|| format!("nothing was started as '{name}'"))?;
    let until = Instant::now() + PATIENCE;
    while !thread.is_finished() {
        if Instant::now() > until {
            lock(&world.started).insert(name.into(), thread);
            return Err(format!("'{name}' does not return").into());
        }
        thread::sleep(Duration::from_micros(200));
    }
    thread.join().map_err(|_| Fail::Script(format!("'{name}' panicked")))?
}
