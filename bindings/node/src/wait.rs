//! Calls whose result may come later: the event loop never waits, a promise does.

use std::sync::Arc;

use libsession_core::error::{Error, ErrorKind, Result};
use libsession_core::manager::Then;
use napi::Env;
use napi::bindgen_prelude::Unknown;
use parking_lot::Mutex;

use crate::error::{fence, guard, thrown};
use crate::isolate::{Finish, Isolate, Item, Outcome};

/// Gives a result to JavaScript.
pub type Convert<T> = for<'env> fn(&'env Env, &Arc<Isolate>, T) -> napi::Result<Outcome<'env>>;

enum Slot<T> {
    Starting,
    Early(Result<T>),
    Later,
}

/// Starts an asynchronous call of the engine for the promise `id`.
///
/// If the result is there at once it is returned, or thrown. Otherwise `null` is returned and the promise is settled
/// through the environment's queue.
pub fn later<'env, T: Send + 'static>(
    env: &'env Env,
    isolate: &Arc<Isolate>,
    id: u32,
    convert: Convert<T>,
    start: impl FnOnce(Then<T>) -> Result<()>,
) -> napi::Result<Option<Unknown<'env>>> {
    let slot = Arc::new(Mutex::new(Slot::Starting));
    let then: Then<T> = {
        let (slot, isolate) = (slot.clone(), isolate.clone());
        Box::new(move |result| {
            let mut state = slot.lock();
            if matches!(*state, Slot::Starting) {
                *state = Slot::Early(result);
            } else {
                drop(state);
                deliver(&isolate, id, convert, result);
            }
        })
    };
    guard(env, isolate, true, || start(then))?;
    let early = std::mem::replace(&mut *slot.lock(), Slot::Later);
    match early {
        Slot::Early(Ok(value)) => match convert(env, isolate, value)? {
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(thrown(env, isolate, &error)),
        },
        Slot::Early(Err(error)) => Err(thrown(env, isolate, &error)),
        Slot::Starting | Slot::Later => Ok(None),
    }
}

fn deliver<T: Send + 'static>(isolate: &Arc<Isolate>, id: u32, convert: Convert<T>, result: Result<T>) {
    let finish: Finish = Box::new(move |env, isolate| match result {
        Ok(value) => convert(env, isolate, value),
        Err(error) => Ok(Err(error)),
    });
    // If the environment has ended there is nobody to tell: what came is dropped.
    let _ = isolate.push(Item::Done(id, finish));
}

/// Runs a call that blocks on a thread of its own for the promise `id`.
pub fn blocking<T: Send + 'static>(
    env: &Env,
    isolate: &Arc<Isolate>,
    id: u32,
    convert: Convert<T>,
    call: impl FnOnce() -> Result<T> + Send + 'static,
) -> napi::Result<()> {
    let to = isolate.clone();
    std::thread::Builder::new()
        .name("libsession-wait".into())
        .spawn(move || deliver(&to, id, convert, fence(call)))
        .map(drop)
        .map_err(|error| {
            let text = format!("no thread could be started to wait on: {error}");
            thrown(env, isolate, &Error::new(ErrorKind::Unavailable, text))
        })
}
