//! One use of a session.

use std::ffi::c_char;

use libsession_core::session::EndOptions;
use libsession_core::{LockMode, Request, Result};

use crate::bytes::{Out, duration, flag, lses_buf, member, optional_duration, put_text, read, timeout};
use crate::guard::{done, guard, quiet};
use crate::handle::{self, Pinned, Table, Tables, Tenant};
use crate::json;
use crate::manager::{LSES_ID_SIZE, LSES_TOKEN_SIZE};
use crate::receipt::{EndOut, lses_end_options, lses_receipt};
use crate::session::info_json;
use crate::status::lses_status;

/// A request in flight; inside of a deciding callback, the request or draft that it acts under.
///
/// It reads committed data under its own writes; they commit together at lses_request_finish(), lses_request_save() or
/// lses_request_unlock(). Any thread may use it; calls of one request take turns. Once its session has ended every call
/// answers LSES_GONE with the reason in lses_last_error_reason(), after lses_request_finish() LSES_E_CLOSED, and in the
/// child of a fork LSES_E_FORKED.
#[allow(non_camel_case_types)]
pub struct lses_request {
    _handle: [u8; 0],
}

impl Tenant for Request {
    const KIND: u64 = 3;
    const NAME: &'static str = "request";
    const COUNTERS: usize = 1;

    fn table(tables: &Tables) -> &Table<Self> {
        &tables.requests
    }
}

/// The request of a handle.
pub(crate) fn in_flight(request: *const lses_request) -> Result<Pinned<Request>> {
    handle::pin::<Request, _>(request)
}

/// Frees the handle. A request that was not finished commits and finishes now, and nobody learns whether it could: call
/// lses_request_finish() before. NULL is fine. Not for the request of a callback's event.
///
/// Threads: any. Blocks as lses_request_finish(), if that was not called. May be called from a callback. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_free(request: *mut lses_request) {
    if !request.is_null() {
        quiet(|| handle::remove::<Request, _>(request));
    }
}

/// Commits, frees the lock and ends the request; free the handle afterwards. A commit that fails writes nothing; the
/// request ends and its lock is free all the same. If lses_request_request_end() was asked and this was the last
/// request in flight, the session ends in this call.
///
/// Threads: any; calls of one request take turns. Blocks for `on_expiring` if the session ends, at most its deadline.
/// May be called from a callback. Errors: LSES_GONE, LSES_E_CLOSED, LSES_E_CONFLICT names the keys, LSES_E_QUOTA.
/// Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_finish(request: *mut lses_request) -> lses_status {
    done(|| in_flight(request)?.finish())
}

/// The session's public id, into LSES_ID_SIZE bytes.
///
/// Threads: any; calls of one request take turns. Does not block. May be called from a callback. Errors:
/// LSES_E_STALE_HANDLE. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_id(request: *mut lses_request, out_id: *mut c_char) -> lses_status {
    done(|| {
        Out::required(out_id, "out_id")?;
        put_text::<LSES_ID_SIZE>(out_id, &in_flight(request)?.id().to_string());
        Ok(())
    })
}

/// The session's token as this request knows it, into LSES_TOKEN_SIZE bytes: the one it began with, or the newest it
/// rotated to. Whoever has it has the session.
///
/// Threads: any; calls of one request take turns. Does not block. May be called from a callback. Errors:
/// LSES_E_STALE_HANDLE. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_token(request: *mut lses_request, out_token: *mut c_char) -> lses_status {
    done(|| {
        Out::required(out_token, "out_token")?;
        put_text::<LSES_TOKEN_SIZE>(out_token, &in_flight(request)?.token().reveal());
        Ok(())
    })
}

/// 1 if this is the session's first request, else 0.
///
/// Threads: any; calls of one request take turns. Does not block. May be called from a callback. Errors:
/// LSES_E_STALE_HANDLE. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_is_new(request: *mut lses_request, out_new: *mut i32) -> lses_status {
    done(|| {
        let out = Out::required(out_new, "out_new")?;
        out.set(in_flight(request)?.is_new().into());
        Ok(())
    })
}

/// The session as it is now: JSON in a buffer to free, as in lses_manager_list().
///
/// Threads: any; calls of one request take turns. Does not block. May be called from a callback. Errors: LSES_GONE,
/// LSES_E_CLOSED. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_info(request: *mut lses_request, out_json: *mut lses_buf) -> lses_status {
    done(|| {
        let out = Out::buf(out_json, "out_json")?;
        out.fill(json::text(&info_json(&in_flight(request)?.info()?)).as_bytes())?;
        Ok(())
    })
}

/// The session's application now, in a buffer to free.
///
/// Threads: any; calls of one request take turns. Does not block. May be called from a callback. Errors: LSES_GONE,
/// LSES_E_CLOSED. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_application(
    request: *mut lses_request,
    out_application: *mut lses_buf,
) -> lses_status {
    done(|| {
        let out = Out::buf(out_application, "out_application")?;
        out.fill(in_flight(request)?.application()?.as_bytes())?;
        Ok(())
    })
}

/// The user, in a buffer to free; its `data` is NULL if nobody is logged in.
///
/// Threads: any; calls of one request take turns. Does not block. May be called from a callback. Errors: LSES_GONE,
/// LSES_E_CLOSED. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_user(request: *mut lses_request, out_user: *mut lses_buf) -> lses_status {
    done(|| {
        let out = Out::buf(out_user, "out_user")?;
        if let Some(user) = in_flight(request)?.user()? {
            out.fill(user.as_bytes())?;
        }
        Ok(())
    })
}

/// Who is charged for the session's license, in a buffer to free; its `data` is NULL if nobody is.
///
/// Threads: any; calls of one request take turns. Does not block. May be called from a callback. Errors: LSES_GONE,
/// LSES_E_CLOSED. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_license_holder(
    request: *mut lses_request,
    out_license_holder: *mut lses_buf,
) -> lses_status {
    done(|| {
        let out = Out::buf(out_license_holder, "out_license_holder")?;
        if let Some(license_holder) = in_flight(request)?.license_holder()? {
            out.fill(license_holder.as_bytes())?;
        }
        Ok(())
    })
}

/// Takes the lock again (LSES_LOCK_...). `timeout_ms`: 0 does not wait, LSES_UNSET is the manager's default. A wait that is to be
/// cancelled is one of lses_request_lock_async(), which takes a ticket.
///
/// Threads: any; calls of one request take turns. Blocks, at most `timeout_ms`. May be called from a callback.
/// Errors: LSES_GONE, LSES_E_CLOSED, LSES_E_LOCK_TIMEOUT names the holder, LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_lock(request: *mut lses_request, lock: u32, timeout_ms: i64) -> lses_status {
    done(|| {
        let mode = member(LockMode::from_code(lock), "lock", lock)?;
        in_flight(request)?.lock(mode, optional_duration(timeout_ms, "timeout_ms")?)
    })
}

/// The lock this request holds now (LSES_LOCK_...); 0 if it is free.
///
/// Threads: any; calls of one request take turns. Does not block. May be called from a callback. Errors: LSES_GONE,
/// LSES_E_CLOSED. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_lock_mode(request: *mut lses_request, out_lock: *mut u32) -> lses_status {
    done(|| {
        let out = Out::required(out_lock, "out_lock")?;
        out.set(in_flight(request)?.lock_mode()?.map_or(0, LockMode::code));
        Ok(())
    })
}

/// Sets the session's idle timeout, at once, counted from the last use; 0 is never.
///
/// Threads: any; calls of one request take turns. Does not block. May be called from a callback. Errors: LSES_GONE,
/// LSES_E_CLOSED, LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_set_idle_timeout(
    request: *mut lses_request,
    idle_timeout_ms: i64,
) -> lses_status {
    done(|| in_flight(request)?.set_idle_timeout(timeout(idle_timeout_ms, "idle_timeout_ms")?))
}

/// Sets the session's absolute timeout, counted from its creation; only earlier.
///
/// Threads: any; calls of one request take turns. Does not block. May be called from a callback. Errors: LSES_GONE,
/// LSES_E_CLOSED, LSES_E_INVALID, also if that is later than it is now. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_set_absolute_timeout(
    request: *mut lses_request,
    absolute_timeout_ms: i64,
) -> lses_status {
    done(|| in_flight(request)?.set_absolute_timeout(duration(absolute_timeout_ms, "absolute_timeout_ms")?))
}

/// 1: the session ends when its last request in flight finishes, and new begins get LSES_GONE from now on. 0 takes it
/// back.
///
/// Threads: any; calls of one request take turns. Does not block. May be called from a callback. Errors: LSES_GONE,
/// LSES_E_CLOSED, LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_request_end(request: *mut lses_request, end: i32) -> lses_status {
    done(|| in_flight(request)?.request_end(flag(end, "end")?))
}

/// Ends the session now. Statuses and results are those of lses_manager_end(); this request's later calls answer
/// LSES_GONE.
///
/// Threads: any; calls of one request take turns. Blocks only for `on_expiring` with level `request`, and for
/// `wait_ms`. May be called from a callback. Errors: LSES_E_CLOSED, LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_end(
    request: *mut lses_request,
    options: *const lses_end_options,
    out_receipt: *mut lses_receipt,
    out_json: *mut lses_buf,
) -> lses_status {
    guard(|| {
        // SAFETY: the host passes NULL or structs that begin with their sizes, and texts that last as long as the call.
        let (out, (request, options)) = unsafe { (EndOut::new(out_receipt, out_json)?, ending(request, options)?) };
        out.set(&request.end(options)?)
    })
}

/// What an end is given.
///
/// # Safety
/// The options are as in [`read`], with texts as in [`crate::bytes::bytes`].
pub(crate) unsafe fn ending(
    request: *mut lses_request,
    options: *const lses_end_options,
) -> Result<(Pinned<Request>, EndOptions)> {
    let request = in_flight(request)?;
    // SAFETY: as the caller says.
    Ok((request, unsafe { read(options)?.to_core() }?))
}

/// A new token for the same session, into LSES_TOKEN_SIZE bytes; the old one works for the rotation grace. Data, id
/// and license stay.
///
/// Threads: any; calls of one request take turns. Does not block. May be called from a callback. Errors: LSES_GONE,
/// LSES_E_CLOSED. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_rotate(request: *mut lses_request, out_token: *mut c_char) -> lses_status {
    done(|| {
        Out::required(out_token, "out_token")?;
        put_text::<LSES_TOKEN_SIZE>(out_token, &in_flight(request)?.rotate()?.reveal());
        Ok(())
    })
}
