//! The closed vocabularies as numbers, and their words.

use std::collections::HashMap;
use std::ffi::{CString, c_char};
use std::sync::OnceLock;

use libsession_core::{
    ApplicationTimeout, AtSessionLimit, DenyReason, EndLevel, EndReason, ErrorKind, EventKind, Evict, LazyUntil,
    LicenseClass, LockMode, ThreadKind, TouchKind, UnitRule,
};

/// Why a session ended: `ended`. By the program: logout with end, request_end, end.
pub const LSES_REASON_ENDED: u32 = 1;
/// Why a session ended: `idle_timeout`. Silent for longer than the idle timeout.
pub const LSES_REASON_IDLE_TIMEOUT: u32 = 2;
/// Why a session ended: `absolute_timeout`. Older than the absolute timeout.
pub const LSES_REASON_ABSOLUTE_TIMEOUT: u32 = 3;
/// Why a session ended: `revoked`. By an administrator, or everywhere at once for a user.
pub const LSES_REASON_REVOKED: u32 = 4;
/// Why a session ended: `evicted`. Made room for another holder of a license.
pub const LSES_REASON_EVICTED: u32 = 5;
/// Why a session ended: `replaced`. The token was rotated and its grace is over (seen by users of the old token only).
pub const LSES_REASON_REPLACED: u32 = 6;
/// Why a session ended: `parent_ended`. Its parent session ended.
pub const LSES_REASON_PARENT_ENDED: u32 = 7;
/// Why a session ended: `start_denied`. An on_start callback refused.
pub const LSES_REASON_START_DENIED: u32 = 8;
/// Why a session ended: `license_denied`. No license unit.
pub const LSES_REASON_LICENSE_DENIED: u32 = 9;
/// Why a session ended: `expired_while_down`. Its deadline passed while no process had the table open.
pub const LSES_REASON_EXPIRED_WHILE_DOWN: u32 = 10;
/// Why a session ended: `shutdown`. The manager was closed.
pub const LSES_REASON_SHUTDOWN: u32 = 11;

/// How strongly an end is meant: `request`. Timeout, request_end, logout link: may be extended within the budget; callbacks afterwards.
pub const LSES_LEVEL_REQUEST: u32 = 1;
/// How strongly an end is meant: `force`. Administrator, log out all, eviction: may not be extended; callbacks afterwards.
pub const LSES_LEVEL_FORCE: u32 = 2;
/// How strongly an end is meant: `kill`. Shutdown past its grace, diagnosis: callbacks are recorded as not delivered.
pub const LSES_LEVEL_KILL: u32 = 3;

/// What an event class is told: `start`. A session starts (decides).
pub const LSES_EVENT_START: u32 = 1;
/// What an event class is told: `expiring`. The deadline comes near (decides: may extend).
pub const LSES_EVENT_EXPIRING: u32 = 2;
/// What an event class is told: `timeout`. The session timed out.
pub const LSES_EVENT_TIMEOUT: u32 = 3;
/// What an event class is told: `end`. The session ended.
pub const LSES_EVENT_END: u32 = 4;
/// What an event class is told: `application_change`. A request names another application (decides).
pub const LSES_EVENT_APPLICATION_CHANGE: u32 = 5;
/// What an event class is told: `login`. A user logs in (decides).
pub const LSES_EVENT_LOGIN: u32 = 6;
/// What an event class is told: `logout`. The user logs out (decides).
pub const LSES_EVENT_LOGOUT: u32 = 7;
/// What an event class is told: `start_request`. A request began.
pub const LSES_EVENT_START_REQUEST: u32 = 8;
/// What an event class is told: `end_request`. A request finished.
pub const LSES_EVENT_END_REQUEST: u32 = 9;
/// What an event class is told: `license_denied`. No license unit for a new session.
pub const LSES_EVENT_LICENSE_DENIED: u32 = 10;
/// What an event class is told: `context_lost`. The process that a session was pinned to died.
pub const LSES_EVENT_CONTEXT_LOST: u32 = 11;
/// What an event class is told: `pool_low`. A pool runs low.
pub const LSES_EVENT_POOL_LOW: u32 = 12;
/// What an event class is told: `pool_exhausted`. A pool is exhausted.
pub const LSES_EVENT_POOL_EXHAUSTED: u32 = 13;
/// What an event class is told: `pool_recovered`. A pool has units again.
pub const LSES_EVENT_POOL_RECOVERED: u32 = 14;
/// What an event class is told: `pool_overdraft`. A pool entered its overdraft.
pub const LSES_EVENT_POOL_OVERDRAFT: u32 = 15;

/// Which kind of thread caused an event: `request`. A request of the session.
pub const LSES_THREAD_REQUEST: u32 = 1;
/// Which kind of thread caused an event: `reaper`. The reaper.
pub const LSES_THREAD_REAPER: u32 = 2;
/// Which kind of thread caused an event: `admin`. An administrator's call.
pub const LSES_THREAD_ADMIN: u32 = 3;
/// Which kind of thread caused an event: `recovery`. Opening a table after a crash.
pub const LSES_THREAD_RECOVERY: u32 = 4;

/// Why a license unit was denied: `pool_exhausted`. No unit is free.
pub const LSES_DENY_REASON_POOL_EXHAUSTED: u32 = 1;
/// Why a license unit was denied: `holder_limit`. The holder has as many connections as it may, or the client as many anonymous sessions.
pub const LSES_DENY_REASON_HOLDER_LIMIT: u32 = 2;
/// Why a license unit was denied: `excluded`. The holder is on the exclude list, or not on the include list.
pub const LSES_DENY_REASON_EXCLUDED: u32 = 3;
/// Why a license unit was denied: `reserved`. What is free is reserved for others.
pub const LSES_DENY_REASON_RESERVED: u32 = 4;

/// What a use of a session does to its idle clock: `activity`. A user's activity: moves the idle deadline.
pub const LSES_TOUCH_ACTIVITY: u32 = 1;
/// What a use of a session does to its idle clock: `keepalive`. A polling tab: does not move the idle deadline.
pub const LSES_TOUCH_KEEPALIVE: u32 = 2;
/// What a use of a session does to its idle clock: `none`. A look without a trace.
pub const LSES_TOUCH_NONE: u32 = 3;

/// How a request holds its session: `exclusive`. One request at a time.
pub const LSES_LOCK_EXCLUSIVE: u32 = 1;
/// How a request holds its session: `shared`. Readers in parallel; writes are merged per key.
pub const LSES_LOCK_SHARED: u32 = 2;
/// How a request holds its session: `none`. No lock; writes are merged per key.
pub const LSES_LOCK_NONE: u32 = 3;

/// How a session is charged for a license: `named`. As a user.
pub const LSES_LICENSE_CLASS_NAMED: u32 = 1;
/// How a session is charged for a license: `anonymous`. As a nameless visitor, with a cap of its own.
pub const LSES_LICENSE_CLASS_ANONYMOUS: u32 = 2;
/// How a session is charged for a license: `lazy`. Not before it is needed: at login, the second request, or the first write, as the application says.
pub const LSES_LICENSE_CLASS_LAZY: u32 = 3;
/// How a session is charged for a license: `none`. Not at all: system applications. They still time out.
pub const LSES_LICENSE_CLASS_NONE: u32 = 4;

/// When a session of license class `lazy` takes its unit: `login`. At the login.
pub const LSES_LAZY_UNTIL_LOGIN: u32 = 1;
/// When a session of license class `lazy` takes its unit: `second_request`. At the second request, or the login if that is earlier.
pub const LSES_LAZY_UNTIL_SECOND_REQUEST: u32 = 2;
/// When a session of license class `lazy` takes its unit: `first_write`. At the first write that changes something, or the login if that is earlier.
pub const LSES_LAZY_UNTIL_FIRST_WRITE: u32 = 3;

/// Which sessions may be ended for a unit that somebody needs: `none`. None.
pub const LSES_EVICT_NONE: u32 = 1;
/// Which sessions may be ended for a unit that somebody needs: `anonymous`. Anonymous ones.
pub const LSES_EVICT_ANONYMOUS: u32 = 2;
/// Which sessions may be ended for a unit that somebody needs: `any`. Anonymous ones first, then others.
pub const LSES_EVICT_ANY: u32 = 3;

/// What becomes of a login when its user has as many sessions as a holder may: `deny`. It is denied: `holder_limit`.
pub const LSES_AT_SESSION_LIMIT_DENY: u32 = 1;
/// What becomes of a login when its user has as many sessions as a holder may: `evict_oldest`. The user's session that was created first is ended for it.
pub const LSES_AT_SESSION_LIMIT_EVICT_OLDEST: u32 = 2;
/// What becomes of a login when its user has as many sessions as a holder may: `evict_longest_idle`. The one that has been idle longest is.
pub const LSES_AT_SESSION_LIMIT_EVICT_LONGEST_IDLE: u32 = 3;

/// How many units a holder with n sessions is charged: `session`. n.
pub const LSES_UNIT_RULE_SESSION: u32 = 1;
/// How many units a holder with n sessions is charged: `user`. 1.
pub const LSES_UNIT_RULE_USER: u32 = 2;
/// How many units a holder with n sessions is charged: `staircase`. ceil(n / step), step = max_connections.
pub const LSES_UNIT_RULE_STAIRCASE: u32 = 3;
/// How many units a holder with n sessions is charged: `iris`. 1 up to 25, then one each, and no shrinking until 0.
pub const LSES_UNIT_RULE_IRIS: u32 = 4;
/// How many units a holder with n sessions is charged: `hard`. 1, and no session beyond max_connections.
pub const LSES_UNIT_RULE_HARD: u32 = 5;

/// What happens to the timeout when a session changes its application: `keep`. It stays as it is.
pub const LSES_APPLICATION_TIMEOUT_KEEP: u32 = 1;
/// What happens to the timeout when a session changes its application: `adopt`. It becomes the new application's.
pub const LSES_APPLICATION_TIMEOUT_ADOPT: u32 = 2;
/// What happens to the timeout when a session changes its application: `min`. The shorter of the two.
pub const LSES_APPLICATION_TIMEOUT_MIN: u32 = 3;
/// What happens to the timeout when a session changes its application: `max`. The longer of the two.
pub const LSES_APPLICATION_TIMEOUT_MAX: u32 = 4;

/// State of a live session: `new`. No request yet.
pub const LSES_STATE_NEW: u32 = 1;
/// State of a live session: `active`. Had a request.
pub const LSES_STATE_ACTIVE: u32 = 2;

/// Where callbacks run: `thread`. On dispatcher threads.
pub const LSES_DISPATCH_THREAD: u32 = 1;
/// Where callbacks run: `inline`. What a call of the host causes: in the calling thread, to its end. What the reaper causes: on a dispatcher thread.
pub const LSES_DISPATCH_INLINE: u32 = 2;
/// Where callbacks run: `poll`. Notifications wait for lses_manager_dispatch(); deciders run in the calling thread.
pub const LSES_DISPATCH_POLL: u32 = 3;

/// What becomes of a login whose license can't be traded: `keep`. The user is set, the session keeps its unit as its own holder, and the result carries the denial.
pub const LSES_TRADE_FAILURE_KEEP: u32 = 1;
/// What becomes of a login whose license can't be traded: `refuse`. The login fails and nothing changes.
pub const LSES_TRADE_FAILURE_REFUSE: u32 = 2;

/// Which way siblings are gone through: `forward`. In collation order.
pub const LSES_DIRECTION_FORWARD: u32 = 1;
/// Which way siblings are gone through: `backward`. Against collation order.
pub const LSES_DIRECTION_BACKWARD: u32 = 2;

/// A static word with a NUL behind it; `unknown` for what is not one of the library's words.
pub(crate) fn word(word: &'static str) -> *const c_char {
    static WORDS: OnceLock<HashMap<&'static str, CString>> = OnceLock::new();
    let words = WORDS.get_or_init(|| {
        let mut words: Vec<&'static str> = vec!["unknown", "this status is not known"];
        words.extend(
            ErrorKind::ALL.iter().chain(&ErrorKind::OUTCOMES).flat_map(|kind| [kind.name(), kind.description()]),
        );
        words.extend(EndReason::ALL.iter().map(|member| member.name()));
        words.extend(EndLevel::ALL.iter().map(|member| member.name()));
        words.extend(EventKind::ALL.iter().map(|member| member.name()));
        words.extend(ThreadKind::ALL.iter().map(|member| member.name()));
        words.extend(DenyReason::ALL.iter().map(|member| member.name()));
        words.extend(TouchKind::ALL.iter().map(|member| member.name()));
        words.extend(LockMode::ALL.iter().map(|member| member.name()));
        words.extend(LicenseClass::ALL.iter().map(|member| member.name()));
        words.extend(LazyUntil::ALL.iter().map(|member| member.name()));
        words.extend(Evict::ALL.iter().map(|member| member.name()));
        words.extend(AtSessionLimit::ALL.iter().map(|member| member.name()));
        words.extend(UnitRule::ALL.iter().map(|member| member.name()));
        words.extend(ApplicationTimeout::ALL.iter().map(|member| member.name()));
        words.into_iter().map(|word| (word, CString::new(word).unwrap_or_default())).collect()
    });
    words.get(word).map_or(c"unknown".as_ptr(), |word| word.as_ptr())
}

/// The word of an end reason (LSES_REASON_...), for example "idle_timeout"; "unknown" for a number that this library does not know. Static; never NULL.
///
/// Threads: any. Never fails, does not block, may be called from a callback. Since 0.1.0.
#[unsafe(no_mangle)]
pub extern "C" fn lses_end_reason_name(code: u32) -> *const c_char {
    word(EndReason::from_code(code).map_or("unknown", EndReason::name))
}

/// The word of an end level (LSES_LEVEL_...), for example "force"; "unknown" for a number that this library does not know. Static; never NULL.
///
/// Threads: any. Never fails, does not block, may be called from a callback. Since 0.1.0.
#[unsafe(no_mangle)]
pub extern "C" fn lses_end_level_name(code: u32) -> *const c_char {
    word(EndLevel::from_code(code).map_or("unknown", EndLevel::name))
}

/// The word of an event kind (LSES_EVENT_...), for example "on_end"; "unknown" for a number that this library does not know. Static; never NULL.
///
/// Threads: any. Never fails, does not block, may be called from a callback. Since 0.1.0.
#[unsafe(no_mangle)]
pub extern "C" fn lses_event_kind_name(code: u32) -> *const c_char {
    word(EventKind::from_code(code).map_or("unknown", EventKind::name))
}

/// The word of a thread kind (LSES_THREAD_...), for example "reaper"; "unknown" for a number that this library does not know. Static; never NULL.
///
/// Threads: any. Never fails, does not block, may be called from a callback. Since 0.1.0.
#[unsafe(no_mangle)]
pub extern "C" fn lses_thread_kind_name(code: u32) -> *const c_char {
    word(ThreadKind::from_code(code).map_or("unknown", ThreadKind::name))
}

/// The word of a deny reason (LSES_DENY_REASON_...), for example "pool_exhausted"; "unknown" for a number that this library does not know. Static; never NULL.
///
/// Threads: any. Never fails, does not block, may be called from a callback. Since 0.1.0.
#[unsafe(no_mangle)]
pub extern "C" fn lses_deny_reason_name(code: u32) -> *const c_char {
    word(DenyReason::from_code(code).map_or("unknown", DenyReason::name))
}

/// The word of a touch kind (LSES_TOUCH_...), for example "activity"; "unknown" for a number that this library does not know. Static; never NULL.
///
/// Threads: any. Never fails, does not block, may be called from a callback. Since 0.1.0.
#[unsafe(no_mangle)]
pub extern "C" fn lses_touch_kind_name(code: u32) -> *const c_char {
    word(TouchKind::from_code(code).map_or("unknown", TouchKind::name))
}

/// The word of a lock mode (LSES_LOCK_...), for example "exclusive"; "unknown" for a number that this library does not know. Static; never NULL.
///
/// Threads: any. Never fails, does not block, may be called from a callback. Since 0.1.0.
#[unsafe(no_mangle)]
pub extern "C" fn lses_lock_mode_name(code: u32) -> *const c_char {
    word(LockMode::from_code(code).map_or("unknown", LockMode::name))
}

/// The word of a license class (LSES_LICENSE_CLASS_...), for example "named"; "unknown" for a number that this library does not know. Static; never NULL.
///
/// Threads: any. Never fails, does not block, may be called from a callback. Since 0.1.0.
#[unsafe(no_mangle)]
pub extern "C" fn lses_license_class_name(code: u32) -> *const c_char {
    word(LicenseClass::from_code(code).map_or("unknown", LicenseClass::name))
}

/// The word of the moment at which a lazy session takes its unit (LSES_LAZY_UNTIL_...), for example "second_request"; "unknown" for a number that this library does not know. Static; never NULL.
///
/// Threads: any. Never fails, does not block, may be called from a callback. Since 0.1.0.
#[unsafe(no_mangle)]
pub extern "C" fn lses_lazy_until_name(code: u32) -> *const c_char {
    word(LazyUntil::from_code(code).map_or("unknown", LazyUntil::name))
}

/// The word of which sessions may be ended for others (LSES_EVICT_...), for example "anonymous"; "unknown" for a number that this library does not know. Static; never NULL.
///
/// Threads: any. Never fails, does not block, may be called from a callback. Since 0.1.0.
#[unsafe(no_mangle)]
pub extern "C" fn lses_evict_name(code: u32) -> *const c_char {
    word(Evict::from_code(code).map_or("unknown", Evict::name))
}

/// The word of what becomes of a login at the limit of its user's sessions (LSES_AT_SESSION_LIMIT_...), for example "evict_oldest"; "unknown" for a number that this library does not know. Static; never NULL.
///
/// Threads: any. Never fails, does not block, may be called from a callback. Since 0.1.0.
#[unsafe(no_mangle)]
pub extern "C" fn lses_at_session_limit_name(code: u32) -> *const c_char {
    word(AtSessionLimit::from_code(code).map_or("unknown", AtSessionLimit::name))
}

/// The word of a unit rule (LSES_UNIT_RULE_...), for example "staircase"; "unknown" for a number that this library does not know. Static; never NULL.
///
/// Threads: any. Never fails, does not block, may be called from a callback. Since 0.1.0.
#[unsafe(no_mangle)]
pub extern "C" fn lses_unit_rule_name(code: u32) -> *const c_char {
    word(UnitRule::from_code(code).map_or("unknown", UnitRule::name))
}

/// The word of an application timeout policy (LSES_APPLICATION_TIMEOUT_...), for example "keep"; "unknown" for a number that this library does not know. Static; never NULL.
///
/// Threads: any. Never fails, does not block, may be called from a callback. Since 0.1.0.
#[unsafe(no_mangle)]
pub extern "C" fn lses_application_timeout_name(code: u32) -> *const c_char {
    word(ApplicationTimeout::from_code(code).map_or("unknown", ApplicationTimeout::name))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether this file has a constant of this name and number.
    fn constant(group: &str, word: &str, code: u32) {
        let name = word.strip_prefix("on_").unwrap_or(word).to_uppercase();
        let line = format!("pub const LSES_{group}_{name}: u32 = {code};\n");
        assert!(include_str!("names.rs").contains(&line), "missing: {line}");
        // SAFETY: static and NUL-terminated.
        let own = unsafe { std::ffi::CStr::from_ptr(self::word(Box::leak(word.to_string().into_boxed_str()))) };
        assert_eq!(own.to_str(), Ok(word));
    }

    #[test]
    fn every_member_of_every_vocabulary_has_its_constant() {
        EndReason::ALL.iter().for_each(|it| constant("REASON", it.name(), it.code()));
        EndLevel::ALL.iter().for_each(|it| constant("LEVEL", it.name(), it.code()));
        EventKind::ALL.iter().for_each(|it| constant("EVENT", it.name(), it.code()));
        ThreadKind::ALL.iter().for_each(|it| constant("THREAD", it.name(), it.code()));
        DenyReason::ALL.iter().for_each(|it| constant("DENY_REASON", it.name(), it.code()));
        TouchKind::ALL.iter().for_each(|it| constant("TOUCH", it.name(), it.code()));
        LockMode::ALL.iter().for_each(|it| constant("LOCK", it.name(), it.code()));
        LicenseClass::ALL.iter().for_each(|it| constant("LICENSE_CLASS", it.name(), it.code()));
        LazyUntil::ALL.iter().for_each(|it| constant("LAZY_UNTIL", it.name(), it.code()));
        Evict::ALL.iter().for_each(|it| constant("EVICT", it.name(), it.code()));
        AtSessionLimit::ALL.iter().for_each(|it| constant("AT_SESSION_LIMIT", it.name(), it.code()));
        UnitRule::ALL.iter().for_each(|it| constant("UNIT_RULE", it.name(), it.code()));
        ApplicationTimeout::ALL.iter().for_each(|it| constant("APPLICATION_TIMEOUT", it.name(), it.code()));
    }
}
