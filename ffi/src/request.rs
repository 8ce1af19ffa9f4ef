//! One use of a session.

use std::ffi::{c_char, c_void};

use libsession_core::session::{EndOutcome, Login, LoginOptions, Logout};
use libsession_core::{LockMode, Request, Result};

use crate::bytes::{
    Out, duration, flag, lses_buf, lses_str, member, optional_duration, optional_text, put_text, read, text, timeout,
};
use crate::config::groups;
use crate::guard::{done, guard, quiet};
use crate::handle::{self, Pinned, Table, Tables, Tenant};
use crate::json::{self, list, map};
use crate::manager::{LSES_ID_SIZE, LSES_TOKEN_SIZE};
use crate::session::{EndOut, info_json, lses_end_options, lses_receipt};
use crate::status::{LSES_OK, fail, gone, lses_status};
use crate::user_data::{UserData, lses_drop_fn};

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

/// Takes the lock again (LSES_LOCK_...). `timeout_ms`: 0 does not wait, LSES_UNSET is the manager's default.
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
        unsafe {
            let out = EndOut::new(out_receipt, out_json)?;
            let request = in_flight(request)?;
            out.set(&request.end(read(options)?.to_core()?)?)
        }
    })
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

/// The host has authenticated `user`: asks `on_login`, then changes user and holder and rotates the token
/// (LSES_TOKEN_SIZE bytes), in one step. `out_trade` (may be NULL) is LSES_OK, or LSES_E_LICENSE_DENIED if the
/// session could not be charged to the user and keeps its unit as its own holder; then lses_last_error_deny_reason()
/// says why, and lses_request_trade() tries again.
///
/// Threads: any; calls of one request take turns. Blocks for `on_login`, at most its deadline. May be called from a
/// callback. Errors: LSES_GONE, LSES_E_CLOSED, LSES_E_DENIED by a callback, LSES_E_LICENSE_DENIED, LSES_E_INVALID;
/// then nothing changed. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_login(
    request: *mut lses_request,
    user: *const c_char,
    user_len: usize,
    out_token: *mut c_char,
    out_trade: *mut lses_status,
) -> lses_status {
    done(|| {
        let out = LoginOut::new(out_token, out_trade)?;
        let request = in_flight(request)?;
        // SAFETY: the host passes a text with its length.
        out.set(&request.login(unsafe { text(user, user_len, "user") }?)?);
        Ok(())
    })
}

/// Where the outcome of a login goes.
pub(crate) struct LoginOut {
    token: *mut c_char,
    trade: Out<lses_status>,
}

impl LoginOut {
    /// A place for the token, and one for the trade's status that may be NULL.
    pub(crate) fn new(token: *mut c_char, trade: *mut lses_status) -> Result<Self> {
        Out::required(token, "out_token")?;
        Ok(Self { token, trade: Out::optional(trade) })
    }

    pub(crate) fn set(&self, login: &Login) {
        put_text::<LSES_TOKEN_SIZE>(self.token, &login.token.reveal());
        self.trade.set(login.trade_denied.as_ref().map_or(LSES_OK, fail));
    }
}

/// As lses_request_login(), of a user who belongs to `group_count` groups (at most 256, each 1 to 256 bytes): reservations and
/// lists of the pool may name them. With NULL none are given, as in lses_request_login().
///
/// Threads: any; calls of one request take turns. Blocks for `on_login`, at most its deadline. May be called from a
/// callback. Errors: as lses_request_login(). Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_login_as(
    request: *mut lses_request,
    user: *const c_char,
    user_len: usize,
    groups: *const lses_str,
    group_count: usize,
    out_token: *mut c_char,
    out_trade: *mut lses_status,
) -> lses_status {
    done(|| {
        let out = LoginOut::new(out_token, out_trade)?;
        let request = in_flight(request)?;
        // SAFETY: the host passes a text with its length, and so many texts.
        let (user, groups) = unsafe { (text(user, user_len, "user")?, self::groups(groups, group_count)?) };
        out.set(&request.login_with(user, LoginOptions { groups, ..LoginOptions::default() })?);
        Ok(())
    })
}

/// As lses_request_trade(), of a user who belongs to these groups: they are not remembered from the login.
///
/// Threads: any; calls of one request take turns. Does not block. May be called from a callback. Errors: LSES_GONE,
/// LSES_E_CLOSED, LSES_E_LICENSE_DENIED, LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_trade_as(
    request: *mut lses_request,
    groups: *const lses_str,
    group_count: usize,
) -> lses_status {
    done(|| {
        // SAFETY: the host passes so many texts.
        let groups = unsafe { self::groups(groups, group_count) }?;
        in_flight(request)?.trade_with(LoginOptions { groups, ..LoginOptions::default() })
    })
}

/// Tries the license trade again after a login whose trade was denied.
///
/// Threads: any; calls of one request take turns. Does not block. May be called from a callback. Errors: LSES_GONE,
/// LSES_E_CLOSED, LSES_E_LICENSE_DENIED. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_trade(request: *mut lses_request) -> lses_status {
    done(|| in_flight(request)?.trade())
}

/// The user leaves; the session lives on under a new token (LSES_TOKEN_SIZE bytes), its own holder again. LSES_GONE:
/// there was no unit for it as its own holder, and it ended with `license_denied`; the receipt is as in
/// lses_manager_end() and may be NULL. `force` 1: `on_logout` is told and can't refuse.
///
/// Threads: any; calls of one request take turns. Blocks for `on_logout`, at most its deadline. May be called from a
/// callback. Errors: LSES_E_CLOSED, LSES_E_DENIED by `on_logout`, LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_logout(
    request: *mut lses_request,
    force: i32,
    out_token: *mut c_char,
    out_receipt: *mut lses_receipt,
    out_json: *mut lses_buf,
) -> lses_status {
    guard(|| {
        Out::required(out_token, "out_token")?;
        // SAFETY: the host passes NULL or a struct that begins with its size.
        let out = unsafe { EndOut::new(out_receipt, out_json) }?;
        match in_flight(request)?.logout(flag(force, "force")?)? {
            Logout::Done(token) => {
                put_text::<LSES_TOKEN_SIZE>(out_token, &token.reveal());
                Ok(LSES_OK)
            }
            Logout::Ended(receipt) => {
                let reason = receipt.reason;
                out.set(&EndOutcome::Ended(receipt))?;
                Ok(gone(reason))
            }
        }
    })
}

/// Puts an event class to the front of the session's list, once. `name_space` NULL is the session's.
///
/// Threads: any; calls of one request take turns. Does not block. May be called from a callback. Errors: LSES_GONE,
/// LSES_E_CLOSED, LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_event_class_add(
    request: *mut lses_request,
    name: *const c_char,
    name_len: usize,
    name_space: *const c_char,
    name_space_len: usize,
) -> lses_status {
    done(|| {
        let request = in_flight(request)?;
        // SAFETY: the host passes texts with their lengths.
        let (name, name_space) =
            unsafe { (text(name, name_len, "event class")?, optional_text(name_space, name_space_len, "namespace")?) };
        request.event_class_add(name, name_space)
    })
}

/// Removes an event class from the session's list; `name` NULL removes all of the namespace. `out_existed` (may be
/// NULL) tells 1 if it was there, else 0. `name_space` NULL is the session's.
///
/// Threads: any; calls of one request take turns. Does not block. May be called from a callback. Errors: LSES_GONE,
/// LSES_E_CLOSED, LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_event_class_remove(
    request: *mut lses_request,
    name: *const c_char,
    name_len: usize,
    name_space: *const c_char,
    name_space_len: usize,
    out_existed: *mut i32,
) -> lses_status {
    done(|| {
        let request = in_flight(request)?;
        // SAFETY: the host passes texts with their lengths.
        let (name, name_space) = unsafe {
            (optional_text(name, name_len, "event class")?, optional_text(name_space, name_space_len, "namespace")?)
        };
        let existed = request.event_class_remove(name, name_space)?;
        Out::optional(out_existed).set(existed.into());
        Ok(())
    })
}

/// Tells 1 if the session lists an event class, else 0. `name_space` NULL is the session's.
///
/// Threads: any; calls of one request take turns. Does not block. May be called from a callback. Errors: LSES_GONE,
/// LSES_E_CLOSED, LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_event_class_exists(
    request: *mut lses_request,
    name: *const c_char,
    name_len: usize,
    name_space: *const c_char,
    name_space_len: usize,
    out_exists: *mut i32,
) -> lses_status {
    done(|| {
        let out = Out::required(out_exists, "out_exists")?;
        let request = in_flight(request)?;
        // SAFETY: the host passes texts with their lengths.
        let (name, name_space) =
            unsafe { (text(name, name_len, "event class")?, optional_text(name_space, name_space_len, "namespace")?) };
        out.set(request.event_class_exists(name, name_space)?.into());
        Ok(())
    })
}

/// The session's event classes, first called first, as JSON list in a buffer to free: `[{"namespace","name"}]`.
///
/// Threads: any; calls of one request take turns. Does not block. May be called from a callback. Errors: LSES_GONE,
/// LSES_E_CLOSED. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_event_class_list(
    request: *mut lses_request,
    out_json: *mut lses_buf,
) -> lses_status {
    done(|| {
        let out = Out::buf(out_json, "out_json")?;
        let classes = in_flight(request)?.event_class_list()?;
        let classes = classes
            .iter()
            .map(|(namespace, name)| map([("namespace", namespace.as_ref().into()), ("name", name.as_ref().into())]));
        out.fill(json::text(&list(classes)).as_bytes())?;
        Ok(())
    })
}

/// Empties the session's list of event classes.
///
/// Threads: any; calls of one request take turns. Does not block. May be called from a callback. Errors: LSES_GONE,
/// LSES_E_CLOSED. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_event_class_clear(request: *mut lses_request) -> lses_status {
    done(|| in_flight(request)?.event_class_clear())
}

/// Sets the `event_class` property: adds the class only if it is absent; "" has no effect.
///
/// Threads: any; calls of one request take turns. Does not block. May be called from a callback. Errors: LSES_GONE,
/// LSES_E_CLOSED, LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_set_event_class(
    request: *mut lses_request,
    name: *const c_char,
    name_len: usize,
) -> lses_status {
    done(|| {
        let request = in_flight(request)?;
        // SAFETY: the host passes a text with its length.
        request.set_event_class(unsafe { text(name, name_len, "event class") }?)
    })
}

/// An object that lives as long as its session.
struct Attachment(std::sync::Mutex<Option<UserData>>);

/// Keeps an object with the session under a name, in this process. `drop_object` (may be NULL) is called with it
/// exactly once: after the session's `on_end`, when another takes its name, or in this call if it fails.
///
/// Threads: any; calls of one request take turns. Does not block. May be called from a callback. Errors: LSES_GONE,
/// LSES_E_CLOSED, LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_attach(
    request: *mut lses_request,
    name: *const c_char,
    name_len: usize,
    object: *mut c_void,
    drop_object: lses_drop_fn,
) -> lses_status {
    let object = UserData::new(object, drop_object);
    done(move || {
        let request = in_flight(request)?;
        // SAFETY: the host passes a text with its length.
        let name = unsafe { text(name, name_len, "name of the attachment") }?;
        let attachment = std::sync::Arc::new(Attachment(std::sync::Mutex::new(Some(object))));
        request.attach(name, attachment).map(drop)
    })
}

/// The object that the session keeps under a name; NULL if there is none. The session still owns it.
///
/// Threads: any; calls of one request take turns. Does not block. May be called from a callback. Errors: LSES_GONE,
/// LSES_E_CLOSED, LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_attachment(
    request: *mut lses_request,
    name: *const c_char,
    name_len: usize,
    out_object: *mut *mut c_void,
) -> lses_status {
    done(|| {
        let out = Out::handle(out_object, "out_object")?;
        let request = in_flight(request)?;
        // SAFETY: the host passes a text with its length.
        let name = unsafe { text(name, name_len, "name of the attachment") }?;
        if let Some(kept) = request.attachment(name)?
            && let Ok(attachment) = kept.downcast::<Attachment>()
        {
            out.set(handle::lock(&attachment.0).as_ref().map_or(std::ptr::null_mut(), UserData::pointer));
        }
        Ok(())
    })
}

/// Takes an object away from the session; NULL if there is none. The caller owns it, and its drop function is not
/// called.
///
/// Threads: any; calls of one request take turns. Does not block. May be called from a callback. Errors: LSES_GONE,
/// LSES_E_CLOSED, LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_detach(
    request: *mut lses_request,
    name: *const c_char,
    name_len: usize,
    out_object: *mut *mut c_void,
) -> lses_status {
    done(|| {
        let out = Out::handle(out_object, "out_object")?;
        let request = in_flight(request)?;
        // SAFETY: the host passes a text with its length.
        let name = unsafe { text(name, name_len, "name of the attachment") }?;
        if let Some(kept) = request.detach(name)?
            && let Ok(attachment) = kept.downcast::<Attachment>()
            && let Some(object) = handle::lock(&attachment.0).take()
        {
            out.set(object.give_back());
        }
        Ok(())
    })
}
