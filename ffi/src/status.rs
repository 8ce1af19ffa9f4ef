//! Statuses, and what a thread remembers of its last failure.

use std::cell::{Cell, UnsafeCell};
use std::ffi::{CStr, c_char};
use std::time::Duration;

use libsession_core::data::{Value, to_json};
use libsession_core::{DenyReason, EndReason, Error, ErrorKind};

/// What every function that can fail returns: 0 is success, negative is an error, positive an outcome that is none.
/// Numbers are never changed or reused; a program treats one that it does not know as an error if it is negative.
#[allow(non_camel_case_types)]
pub type lses_status = i32;

/// It was done.
pub const LSES_OK: i32 = 0;
/// There is no such session. An outcome, not an error.
pub const LSES_ABSENT: i32 = 1;
/// The session has ended; lses_last_error_reason() tells why. An outcome, not an error.
pub const LSES_GONE: i32 = 2;
/// A callback extended the session instead of letting it end (level `request` only). An outcome, not an error.
pub const LSES_EXTENDED: i32 = 3;
/// An argument is outside of its bounds (NULL, not UTF-8, too long, too large, unknown); nothing was changed.
pub const LSES_E_INVALID: i32 = -1;
/// A quota of the session's data would be exceeded; nothing was changed.
pub const LSES_E_QUOTA: i32 = -2;
/// The thing to be made is there already.
pub const LSES_E_EXISTS: i32 = -3;
/// Another request changed the same key; nothing was written. lses_last_error_keys() names the keys.
pub const LSES_E_CONFLICT: i32 = -4;
/// The session's lock was not free in time; the message names its holder.
pub const LSES_E_LOCK_TIMEOUT: i32 = -5;
/// A callback refused.
pub const LSES_E_DENIED: i32 = -6;
/// No license unit; lses_last_error_deny_reason() and lses_last_error_retry_after_ms() say why and when to come back.
pub const LSES_E_LICENSE_DENIED: i32 = -7;
/// `max_sessions` is reached.
pub const LSES_E_SESSION_LIMIT: i32 = -8;
/// The session is pinned to another process.
pub const LSES_E_WRONG_PROCESS: i32 = -9;
/// The call makes no sense inside of this callback, or callbacks are nested too deep.
pub const LSES_E_REENTRANT: i32 = -10;
/// The manager is being closed.
pub const LSES_E_CLOSING: i32 = -11;
/// The manager or request was closed.
pub const LSES_E_CLOSED: i32 = -12;
/// The handle was made before a fork and is used in the child.
pub const LSES_E_FORKED: i32 = -13;
/// The handle was freed, or never was one.
pub const LSES_E_STALE_HANDLE: i32 = -14;
/// The outcome is not known: the store failed while it committed.
pub const LSES_E_UNCERTAIN: i32 = -15;
/// The store failed earlier and must be opened anew.
pub const LSES_E_POISONED: i32 = -16;
/// A record can't be read; a copy is in quarantine.
pub const LSES_E_CORRUPT: i32 = -17;
/// The store can't be reached now.
pub const LSES_E_UNAVAILABLE: i32 = -18;
/// A deciding callback is asynchronous and was asked by a synchronous call. Not seen in C.
pub const LSES_E_ASYNC_REQUIRED: i32 = -19;
/// A defect of libsession was caught before it could do harm; the manager goes on.
pub const LSES_E_PANIC: i32 = -20;
/// A defect of libsession.
pub const LSES_E_INTERNAL: i32 = -21;

/// The wait for a license unit was cancelled; nothing was changed.
pub const LSES_E_CANCELLED: i32 = -22;

/// Longest message with its NUL.
const MESSAGE: usize = 512;
/// Longest list of keys with its NUL.
const KEYS: usize = 1024;

/// A thread's last failure. No destructor: it may be read while the thread ends.
struct Last {
    now: UnsafeCell<Failure>,
}

#[derive(Clone, Copy)]
pub(crate) struct Failure {
    code: i32,
    reason: u32,
    deny_reason: u32,
    retry_after_ms: i64,
    retryable: bool,
    message: [u8; MESSAGE],
    keys: [u8; KEYS],
}

impl Failure {
    const NONE: Failure = Failure {
        code: 0,
        reason: 0,
        deny_reason: 0,
        retry_after_ms: crate::bytes::LSES_UNSET,
        retryable: false,
        message: [0; MESSAGE],
        keys: [0; KEYS],
    };
}

thread_local! {
    static LAST: Last = const { Last { now: UnsafeCell::new(Failure::NONE) } };
    /// Whether there is anything to be saved: what is not set needs no copy.
    static SET: Cell<bool> = const { Cell::new(false) };
}

fn with<R>(body: impl FnOnce(&mut Failure) -> R) -> R {
    // SAFETY: the cell is this thread's alone, and no `body` below calls back into this module.
    LAST.with(|last| body(unsafe { &mut *last.now.get() }))
}

/// Copies as much of `text` as fits, whole characters, and a NUL.
fn put(into: &mut [u8], text: &str) {
    let mut end = text.len().min(into.len() - 1);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    into[..end].copy_from_slice(&text.as_bytes()[..end]);
    into[end] = 0;
}

/// Remembers an error and returns its status.
pub(crate) fn fail(error: &Error) -> lses_status {
    let code = -error.kind().code();
    SET.set(true);
    with(|last| {
        last.code = code;
        last.reason = error.reason().map_or(0, EndReason::code);
        last.deny_reason = error.deny_reason().map_or(0, DenyReason::code);
        last.retry_after_ms = error.retry_after().map_or(crate::bytes::LSES_UNSET, millis);
        last.retryable = error.retryable();
        put(&mut last.message, error.message());
        put_keys(&mut last.keys, error.keys());
    });
    code
}

/// Remembers the outcome `gone` and returns its status.
pub(crate) fn gone(reason: EndReason) -> lses_status {
    outcome(LSES_GONE, reason.code(), ErrorKind::Gone.description());
    LSES_GONE
}

/// Remembers the outcome `absent` and returns its status.
pub(crate) fn absent() -> lses_status {
    outcome(LSES_ABSENT, 0, ErrorKind::Absent.description());
    LSES_ABSENT
}

/// Remembers the outcome `absent` of something that is no session, and returns its status.
pub(crate) fn nothing(what: &str) -> lses_status {
    outcome(LSES_ABSENT, 0, what);
    LSES_ABSENT
}

/// Remembers the outcome `extended` and returns its status.
pub(crate) fn extended() -> lses_status {
    outcome(LSES_EXTENDED, 0, &EXTENDED.to_string_lossy());
    LSES_EXTENDED
}

/// What an outcome says that is no kind of error.
const EXTENDED: &CStr = c"a callback extended the session";

fn outcome(code: i32, reason: u32, message: &str) {
    SET.set(true);
    with(|last| {
        last.code = code;
        last.reason = reason;
        last.deny_reason = 0;
        last.retry_after_ms = crate::bytes::LSES_UNSET;
        last.retryable = false;
        put(&mut last.message, message);
        last.keys[0] = 0;
    });
}

fn put_keys(into: &mut [u8], keys: &[String]) {
    into[0] = 0;
    if keys.is_empty() {
        return;
    }
    // As many whole keys as fit.
    for count in (0..=keys.len()).rev() {
        let list = Value::List(keys[..count].iter().map(|key| Value::Text(key.clone())).collect());
        let text = to_json(&list);
        if text.len() < into.len() {
            return put(into, &text);
        }
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// What was remembered when a callback began, to be put back when it returns.
pub(crate) struct Saved(Option<Box<Failure>>);

/// Takes what this thread remembers, so that a callback begins with nothing.
pub(crate) fn save() -> Saved {
    let saved = Saved(SET.replace(false).then(|| with(|last| Box::new(*last))));
    clear();
    saved
}

impl Drop for Saved {
    fn drop(&mut self) {
        match self.0.take() {
            Some(failure) => {
                SET.set(true);
                with(|last| *last = *failure);
            }
            None => clear(),
        }
    }
}

fn clear() {
    SET.set(false);
    with(|last| {
        last.code = 0;
        last.reason = 0;
        last.deny_reason = 0;
        last.retry_after_ms = crate::bytes::LSES_UNSET;
        last.message[0] = 0;
        last.keys[0] = 0;
    });
}

/// Every status with its constant's name.
#[cfg(test)]
const STATUSES: [(&str, i32); 26] = [
    ("LSES_OK", LSES_OK),
    ("LSES_ABSENT", LSES_ABSENT),
    ("LSES_GONE", LSES_GONE),
    ("LSES_EXTENDED", LSES_EXTENDED),
    ("LSES_E_INVALID", LSES_E_INVALID),
    ("LSES_E_QUOTA", LSES_E_QUOTA),
    ("LSES_E_EXISTS", LSES_E_EXISTS),
    ("LSES_E_CONFLICT", LSES_E_CONFLICT),
    ("LSES_E_LOCK_TIMEOUT", LSES_E_LOCK_TIMEOUT),
    ("LSES_E_DENIED", LSES_E_DENIED),
    ("LSES_E_LICENSE_DENIED", LSES_E_LICENSE_DENIED),
    ("LSES_E_SESSION_LIMIT", LSES_E_SESSION_LIMIT),
    ("LSES_E_WRONG_PROCESS", LSES_E_WRONG_PROCESS),
    ("LSES_E_REENTRANT", LSES_E_REENTRANT),
    ("LSES_E_CLOSING", LSES_E_CLOSING),
    ("LSES_E_CLOSED", LSES_E_CLOSED),
    ("LSES_E_FORKED", LSES_E_FORKED),
    ("LSES_E_STALE_HANDLE", LSES_E_STALE_HANDLE),
    ("LSES_E_UNCERTAIN", LSES_E_UNCERTAIN),
    ("LSES_E_POISONED", LSES_E_POISONED),
    ("LSES_E_CORRUPT", LSES_E_CORRUPT),
    ("LSES_E_UNAVAILABLE", LSES_E_UNAVAILABLE),
    ("LSES_E_ASYNC_REQUIRED", LSES_E_ASYNC_REQUIRED),
    ("LSES_E_PANIC", LSES_E_PANIC),
    ("LSES_E_INTERNAL", LSES_E_INTERNAL),
    ("LSES_E_CANCELLED", LSES_E_CANCELLED),
];

fn kind_of(status: i32) -> Option<ErrorKind> {
    ErrorKind::OUTCOMES.iter().chain(&ErrorKind::ALL).copied().find(|kind| kind.code() == status.wrapping_neg())
}

/// The word of a status, the same in every language, for example "lock_timeout"; "ok", "extended", and "unknown" for a
/// number that this library does not know. Static; never NULL.
///
/// Threads: any. Never fails, does not block, may be called from a callback. Since 0.1.0.
#[unsafe(no_mangle)]
pub extern "C" fn lses_status_name(status: lses_status) -> *const c_char {
    match status {
        LSES_OK => c"ok".as_ptr(),
        LSES_EXTENDED => c"extended".as_ptr(),
        _ => crate::names::word(kind_of(status).map_or("unknown", ErrorKind::name)),
    }
}

/// One sentence for people about a status, without context. Static; never NULL.
///
/// Threads: any. Never fails, does not block, may be called from a callback. Since 0.1.0.
#[unsafe(no_mangle)]
pub extern "C" fn lses_status_message(status: lses_status) -> *const c_char {
    match status {
        LSES_OK => c"it was done".as_ptr(),
        LSES_EXTENDED => EXTENDED.as_ptr(),
        _ => crate::names::word(kind_of(status).map_or("this status is not known", ErrorKind::description)),
    }
}

/// 1 if the same call may succeed later without a change by the caller, else 0, as far as the status tells: who is kept out by
/// the lists of a pool has LSES_E_LICENSE_DENIED, too, see lses_last_error_retryable().
///
/// Threads: any. Never fails, does not block, may be called from a callback. Since 0.1.0.
#[unsafe(no_mangle)]
pub extern "C" fn lses_status_retryable(status: lses_status) -> i32 {
    kind_of(status).is_some_and(ErrorKind::retryable).into()
}

/// The status of this thread's last call that did not return LSES_OK; 0 if there was none.
///
/// A callback that makes failing calls does not change what its caller sees: this is saved before and put back after it.
///
/// Threads: any; each has its own. Never fails, does not block, may be called from a callback. Since 0.1.0.
#[unsafe(no_mangle)]
pub extern "C" fn lses_last_error_code() -> lses_status {
    with(|last| last.code)
}

/// What was wrong in this thread's last call that did not return LSES_OK, with which value, and what to do: for people,
/// at most 511 bytes of UTF-8; "" if there was none. Holds no token, key or data value. Never NULL; valid until the
/// next such call of this thread.
///
/// Threads: any; each has its own. Never fails, does not block, may be called from a callback. Since 0.1.0.
#[unsafe(no_mangle)]
pub extern "C" fn lses_last_error_message() -> *const c_char {
    with(|last| last.message.as_ptr().cast())
}

/// Why the session ended (LSES_REASON_...), if this thread's last call that did not return LSES_OK returned LSES_GONE;
/// else 0.
///
/// Threads: any; each has its own. Never fails, does not block, may be called from a callback. Since 0.1.0.
#[unsafe(no_mangle)]
pub extern "C" fn lses_last_error_reason() -> u32 {
    with(|last| last.reason)
}

/// Why a license was denied (LSES_DENY_REASON_...), if this thread's last failure was LSES_E_LICENSE_DENIED, or its
/// last login told a denied trade; else 0.
///
/// Threads: any; each has its own. Never fails, does not block, may be called from a callback. Since 0.1.0.
#[unsafe(no_mangle)]
pub extern "C" fn lses_last_error_deny_reason() -> u32 {
    with(|last| last.deny_reason)
}

/// In how many milliseconds the same call would get in if only time passed, at least 1,000; LSES_UNSET if this thread's last
/// failure was not LSES_E_LICENSE_DENIED (nor its last login told a denied trade), if nothing comes back by itself, or for other
/// reasons than that there are no units. Sessions are taken to end unused, and requests in flight to be over after
/// max_request_ms; who asks stays; those who wait come first and keep what they get, or give up when their time is over (the
/// first 1,024 are counted). Whoever uses what it has makes it later, whoever ends or returns something sooner. What happened
/// in the last 100 ms may not be counted in.
///
/// Threads: any; each has its own. Never fails, does not block, may be called from a callback. Since 0.1.0.
#[unsafe(no_mangle)]
pub extern "C" fn lses_last_error_retry_after_ms() -> i64 {
    with(|last| last.retry_after_ms)
}

/// 1 if the same call may succeed later without a change by the caller, else 0, of this thread's last failure: as
/// lses_status_retryable() says, but 0 of a license that is denied for LSES_DENY_REASON_EXCLUDED, which no time changes.
///
/// Threads: any; each has its own. Never fails, does not block, may be called from a callback. Since 0.1.0.
#[unsafe(no_mangle)]
pub extern "C" fn lses_last_error_retryable() -> i32 {
    with(|last| last.retryable.into())
}

/// The first subscripts in conflict as JSON list of texts, as many as fit into 1,023 bytes, if this thread's last
/// failure was LSES_E_CONFLICT; else "". Never NULL; valid until the next call of this thread that fails.
///
/// Threads: any; each has its own. Never fails, does not block, may be called from a callback. Since 0.1.0.
#[unsafe(no_mangle)]
pub extern "C" fn lses_last_error_keys() -> *const c_char {
    with(|last| last.keys.as_ptr().cast())
}

/// Forgets this thread's last failure.
///
/// Threads: any; each has its own. Never fails, does not block, may be called from a callback. Since 0.1.0.
#[unsafe(no_mangle)]
pub extern "C" fn lses_last_error_clear() {
    clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_status_and_every_status_a_kind() {
        for kind in ErrorKind::ALL.iter().chain(&ErrorKind::OUTCOMES) {
            let prefix = if kind.code() > 0 { "LSES_E_" } else { "LSES_" };
            let name = format!("{prefix}{}", kind.name().to_uppercase());
            let known = STATUSES.iter().find(|status| status.0 == name);
            assert_eq!(known.map(|status| status.1), Some(-kind.code()), "{name} is missing in status.rs");
        }
        assert_eq!(STATUSES.len(), ErrorKind::ALL.len() + ErrorKind::OUTCOMES.len() + 2);
    }

    #[test]
    fn a_callback_does_not_change_what_its_caller_sees() {
        fail(&Error::invalid("before"));
        {
            let _saved = save();
            assert_eq!(lses_last_error_code(), 0);
            fail(&Error::conflict(vec!["cart".into()]));
        }
        assert_eq!(lses_last_error_code(), LSES_E_INVALID);
        with(|last| assert!(last.message.starts_with(b"before\0")));
        clear();
        drop(save());
        assert_eq!(lses_last_error_code(), 0);
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        fail(&Error::invalid("ä".repeat(400)));
        with(|last| {
            let text = std::ffi::CStr::from_bytes_until_nul(&last.message).expect("a NUL");
            assert_eq!(text.to_str().map(|text| text.chars().count()), Ok(255));
        });
    }

    #[test]
    fn keys_that_do_not_fit_are_left_out_whole() {
        let mut into = [0; 32];
        put_keys(&mut into, &["a".repeat(20), "b".repeat(20)]);
        assert_eq!(into[..24], *b"[\"aaaaaaaaaaaaaaaaaaaa\"]");
        assert_eq!(into[24], 0);
    }
}
