//! What stands around every entry: no panic leaves it, every error becomes a status.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use libsession_core::{Error, ErrorKind, Result};

use crate::status::{LSES_OK, fail, lses_status};

/// Runs the body of an entry that returns a status. `Ok` of the body is the status, LSES_OK or an outcome.
pub(crate) fn guard(body: impl FnOnce() -> Result<lses_status>) -> lses_status {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(status)) => status,
        Ok(Err(error)) => fail(&error),
        Err(payload) => fail(&panicked(&*payload)),
    }
}

/// As [`guard`], where there is no other outcome than success.
pub(crate) fn done(body: impl FnOnce() -> Result<()>) -> lses_status {
    guard(|| body().map(|()| LSES_OK))
}

/// A panic as an error.
pub(crate) fn contained<T>(body: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|payload| Err(panicked(&*payload)))
}

/// Runs the body of an entry that can't tell of a failure; that is remembered all the same.
pub(crate) fn quiet(body: impl FnOnce() -> Result<()>) {
    done(body);
}

fn panicked(payload: &(dyn std::any::Any + Send)) -> Error {
    let text = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    Error::new(ErrorKind::Panic, format!("a panic was caught: {}", text.unwrap_or("without a text")))
}

/// Sends the messages of panics to the log hook, if there is one, instead of stderr. This is the library's own copy of
/// the Rust runtime: a Rust program that links it keeps its own hook.
pub(crate) fn watch_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let default = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if crate::log::hooked() {
                log::error!(target: "libsession", "{info}");
            } else {
                default(info);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{LSES_E_PANIC, lses_last_error_code, lses_last_error_message};
    use std::ffi::{CStr, c_void};
    use std::sync::atomic::{AtomicUsize, Ordering};

    static LOGGED: AtomicUsize = AtomicUsize::new(0);

    unsafe extern "C-unwind" fn on_log(_: *mut c_void, level: i32, text: *const std::ffi::c_char, len: usize) {
        // SAFETY: the library passes a text with its length.
        let text = unsafe { std::slice::from_raw_parts(text.cast::<u8>(), len) };
        if level == crate::log::LSES_LOG_ERROR && text.windows(8).any(|part| part == b"on fire!") {
            LOGGED.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_panic_is_a_status_through_every_guard_and_goes_to_the_log_hook() {
        // SAFETY: the function lives for ever and takes no user data.
        let set = unsafe { crate::log::lses_set_log(Some(on_log), 3, std::ptr::null_mut(), None) };
        assert_eq!(set, LSES_OK);
        assert_eq!(guard(|| panic!("on fire!")), LSES_E_PANIC);
        // SAFETY: never NULL, NUL-terminated.
        let message = unsafe { CStr::from_ptr(lses_last_error_message()) };
        assert!(message.to_string_lossy().contains("on fire!"));
        assert_eq!(done(|| panic!("{} fire!", "on")), LSES_E_PANIC);
        crate::status::lses_last_error_clear();
        quiet(|| panic!("on fire!"));
        assert_eq!(lses_last_error_code(), LSES_E_PANIC);
        assert_eq!(LOGGED.load(Ordering::SeqCst), 3);
        // SAFETY: removes the hook.
        unsafe { crate::log::lses_set_log(None, 0, std::ptr::null_mut(), None) };
    }
}
