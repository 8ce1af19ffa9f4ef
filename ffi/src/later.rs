//! Calls that do not block: each is the call of the same name without `_async`, told to a callback.

use std::ffi::{c_char, c_void};

use libsession_core::LockMode;
use libsession_core::session::{EndOutcome, Logout};

use crate::answer::{First, Made, Told, lses_done_fn, place};
use crate::bytes::{flag, member, optional_duration};
use crate::completions::lses_completions;
use crate::feature::{self, lses_feature_options};
use crate::guard::done;
use crate::manage;
use crate::manager::{self, lses_manager};
use crate::queue::{self, lses_login_options, lses_ticket};
use crate::receipt::lses_end_options;
use crate::request::{self, in_flight, lses_request};
use crate::session::{lses_begin_options, lses_create_options};
use crate::status::lses_status;

/// As lses_manager_create(), without blocking: `done` is told of it, when there is a unit, the time is over, or it is cancelled.
/// Many waits cost no thread. With `completions` it is called by lses_completions_run(), never in this call; if that is NULL, in any
/// thread, see lses_done_fn. `options` is copied.
///
/// Threads: any. Does not block, but for an `on_start` that is asked in this thread; may be called from a callback. Errors, after
/// which `done` is not called: a call that can't be begun, with LSES_E_INVALID (a NULL, a size, a number or a text that can't be
/// read), LSES_E_STALE_HANDLE, LSES_E_FORKED (of a handle), or LSES_E_CLOSED (of completions that are being freed). Whatever the
/// manager answers is told to `done` alone, also LSES_E_INVALID (an application that it does not know), LSES_E_CLOSED and
/// LSES_E_CLOSING. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_create_async(
    manager: *mut lses_manager,
    options: *const lses_create_options,
    completions: *mut lses_completions,
    done: lses_done_fn,
    user_data: *mut c_void,
) -> lses_status {
    self::done(|| {
        let told = Told::new(completions, done, user_data)?;
        // SAFETY: the host promises what lses_manager_create() asks for.
        let (open, mut options) = unsafe { manager::creation(manager, options) }?;
        let manager = open.core.clone();
        let then = told.then(place(&mut options.queue), Some(&open), |created| Made { created, manager })?;
        open.core.create_async(options, then);
        Ok(())
    })
}

/// As lses_manager_begin_new(), without blocking; the answer has the request.
///
/// Threads, callback and errors: as lses_manager_create_async(). Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_begin_new_async(
    manager: *mut lses_manager,
    create: *const lses_create_options,
    begin: *const lses_begin_options,
    completions: *mut lses_completions,
    done: lses_done_fn,
    user_data: *mut c_void,
) -> lses_status {
    self::done(|| {
        let told = Told::new(completions, done, user_data)?;
        // SAFETY: the host promises what lses_manager_begin_new() asks for.
        let (open, mut create, begin) = unsafe { manager::first_request(manager, create, begin) }?;
        let then = told.then(place(&mut create.queue), Some(&open), First)?;
        open.core.begin_new_async(create, begin, then);
        Ok(())
    })
}

/// As lses_manager_begin(), without blocking for the session's lock: `done` is told LSES_OK, and the answer has the request;
/// LSES_ABSENT; LSES_GONE, and the answer has the reason; or an error.
///
/// Threads, callback and errors: as lses_manager_create_async(). Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_begin_async(
    manager: *mut lses_manager,
    token: *const c_char,
    token_len: usize,
    options: *const lses_begin_options,
    completions: *mut lses_completions,
    done: lses_done_fn,
    user_data: *mut c_void,
) -> lses_status {
    self::done(|| {
        let told = Told::new(completions, done, user_data)?;
        // SAFETY: the host promises what lses_manager_begin() asks for.
        let (open, token, mut options) = unsafe { manager::beginning(manager, token, token_len, options) }?;
        let then = told.then(Some(&mut options.ticket), Some(&open), |begin| begin)?;
        open.core.begin_async(token, options, then);
        Ok(())
    })
}

/// As lses_manager_end(), without blocking: `done` is told LSES_OK, LSES_GONE, LSES_EXTENDED or LSES_ABSENT, and the answer has the
/// receipt. The session ends in this call, but for level `request`, whose `on_expiring` is asked before; a wait for the callbacks
/// (`wait_ms`) is a thread of the library's own as long as it lasts. There is nothing to cancel: what has ended stays so, and
/// when the manager is closed or freed meanwhile `done` is told the receipt with what is known by then.
///
/// Threads: any. Does not block, but for an `on_expiring` that is asked in this thread. Callback and errors: as
/// lses_manager_create_async(). Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_end_async(
    manager: *mut lses_manager,
    id: *const c_char,
    id_len: usize,
    options: *const lses_end_options,
    completions: *mut lses_completions,
    done: lses_done_fn,
    user_data: *mut c_void,
) -> lses_status {
    self::done(|| {
        let told = Told::new(completions, done, user_data)?;
        // SAFETY: the host promises what lses_manager_end() asks for.
        let (open, id, options) = unsafe { manage::ending(manager, id, id_len, options) }?;
        let then = told.then(None, None, |outcome: EndOutcome| outcome)?;
        open.core.end_async(id, options, then);
        Ok(())
    })
}

/// As lses_request_end(), without blocking, and as lses_manager_end_async(). The request is still to be freed.
///
/// Threads, callback and errors: as lses_manager_end_async(). Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_end_async(
    request: *mut lses_request,
    options: *const lses_end_options,
    completions: *mut lses_completions,
    done: lses_done_fn,
    user_data: *mut c_void,
) -> lses_status {
    self::done(|| {
        let told = Told::new(completions, done, user_data)?;
        // SAFETY: the host promises what lses_request_end() asks for.
        let (request, options) = unsafe { request::ending(request, options) }?;
        let then = told.then(None, None, |outcome: EndOutcome| outcome)?;
        request.end_async(options, then);
        Ok(())
    })
}

/// As lses_request_lock(), without blocking. `ticket` (may be NULL) cancels the wait, which then answers LSES_E_CANCELLED; nothing
/// changed.
///
/// Threads, callback and errors: as lses_manager_create_async(). Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_lock_async(
    request: *mut lses_request,
    lock: u32,
    timeout_ms: i64,
    ticket: *mut lses_ticket,
    completions: *mut lses_completions,
    done: lses_done_fn,
    user_data: *mut c_void,
) -> lses_status {
    self::done(|| {
        let told = Told::new(completions, done, user_data)?;
        let request = in_flight(request)?;
        let mode = member(LockMode::from_code(lock), "lock", lock)?;
        let timeout = optional_duration(timeout_ms, "timeout_ms")?;
        let mut ticket = queue::ticket(ticket)?;
        let then = told.then(Some(&mut ticket), None, |()| ())?;
        request.lock_async(mode, timeout, ticket, then);
        Ok(())
    })
}

/// As lses_request_login_with(), without blocking; the answer has the new token. The request must not be finished before `done`
/// was told; if it is, that is told LSES_E_CLOSED.
///
/// Threads, callback and errors: as lses_manager_create_async(). Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_login_async(
    request: *mut lses_request,
    user: *const c_char,
    user_len: usize,
    options: *const lses_login_options,
    completions: *mut lses_completions,
    done: lses_done_fn,
    user_data: *mut c_void,
) -> lses_status {
    self::done(|| {
        let told = Told::new(completions, done, user_data)?;
        // SAFETY: the host promises what lses_request_login_with() asks for.
        let (request, user, mut options) = unsafe { queue::login(request, user, user_len, options) }?;
        let then = told.then(place(&mut options.queue), None, |login| login)?;
        request.login_async(user, options, then);
        Ok(())
    })
}

/// As lses_request_trade_with(), without blocking.
///
/// Threads, callback and errors: as lses_manager_create_async(). Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_trade_async(
    request: *mut lses_request,
    options: *const lses_login_options,
    completions: *mut lses_completions,
    done: lses_done_fn,
    user_data: *mut c_void,
) -> lses_status {
    self::done(|| {
        let told = Told::new(completions, done, user_data)?;
        // SAFETY: the host promises what lses_request_trade_with() asks for.
        let (request, mut options) = unsafe { queue::trade(request, options) }?;
        let then = told.then(place(&mut options.queue), None, |()| ())?;
        request.trade_async(options, then);
        Ok(())
    })
}

/// As lses_request_take_feature(), without blocking.
///
/// Threads, callback and errors: as lses_manager_create_async(). Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_take_feature_async(
    request: *mut lses_request,
    pool: *const c_char,
    pool_len: usize,
    options: *const lses_feature_options,
    completions: *mut lses_completions,
    done: lses_done_fn,
    user_data: *mut c_void,
) -> lses_status {
    self::done(|| {
        let told = Told::new(completions, done, user_data)?;
        // SAFETY: the host promises what lses_request_take_feature() asks for.
        let (request, pool, mut options) = unsafe { feature::taking(request, pool, pool_len, options) }?;
        let then = told.then(place(&mut options.queue), None, |()| ())?;
        request.take_feature_async(pool, options, then);
        Ok(())
    })
}

/// As lses_request_logout(), without blocking for `on_logout`: `done` is told LSES_OK, and the answer has the new token; LSES_GONE, and
/// the answer has the receipt if there was no unit for the session as its own holder; or an error. It never waits for a unit, so
/// there is nothing to cancel. The request must not be finished before `done` was told; if it is, that is told LSES_E_CLOSED.
///
/// Threads, callback and errors: as lses_manager_create_async(). Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_logout_async(
    request: *mut lses_request,
    force: i32,
    completions: *mut lses_completions,
    done: lses_done_fn,
    user_data: *mut c_void,
) -> lses_status {
    self::done(|| {
        let told = Told::new(completions, done, user_data)?;
        let request = in_flight(request)?;
        let force = flag(force, "force")?;
        let then = told.then(None, None, |logout: Logout| logout)?;
        request.logout_async(force, then);
        Ok(())
    })
}
