//! The verbs of a script, one file per noun.

mod manage;
mod request;
mod see;
mod session;
mod time;

use std::sync::Arc;

use crate::answer::{Answer, Fail};
use crate::words::Words;
use crate::world::{World, lock};

/// Does a line: its answer, an error of the engine, or why the script is wrong.
pub fn answer(world: &Arc<World>, words: &[String]) -> Answer {
    let (verb, rest) = words.split_first().ok_or("an empty line")?;
    if lock(&world.setup).take(words)? {
        return Ok("ok".into());
    }
    let sorted = Words::new(rest);
    let rooms = [session::answer, request::answer, see::answer, manage::answer];
    if let Some(answer) = time::answer(world, verb, rest, &sorted) {
        return answer;
    }
    rooms
        .iter()
        .find_map(|room| room(world, verb, &sorted))
        .unwrap_or_else(|| Err(Fail::Script(format!("there is no verb '{verb}'"))))
}
