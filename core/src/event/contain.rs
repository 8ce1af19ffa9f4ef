//! Runs code of others so that its panics end here.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `body`; a panic becomes its text.
pub(crate) fn contain<R>(body: impl FnOnce() -> R) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(body)).map_err(|payload| {
        let text = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
            (Some(text), _) => format!("panic: {text}"),
            (_, Some(text)) => format!("panic: {text}"),
            _ => "panic".to_owned(),
        };
        // The payload's own destructor may panic, too.
        if let Err(payload) = catch_unwind(AssertUnwindSafe(move || drop(payload))) {
            std::mem::forget(payload);
        }
        text
    })
}

/// Runs what nobody waits for; a panic is logged.
pub(crate) fn run(what: &str, body: impl FnOnce()) {
    if let Err(text) = contain(body) {
        log::error!(target: "libsession", "{what}: {text}");
    }
}
