//! Who uses a session: logins, trades of its license, logouts.

use std::ffi::c_char;

use libsession_core::Result;
use libsession_core::session::{EndOutcome, Login, LoginOptions, Logout};

use crate::bytes::{Out, flag, lses_buf, lses_str, put_text, text};
use crate::config::groups;
use crate::guard::{done, guard};
use crate::manager::LSES_TOKEN_SIZE;
use crate::receipt::{EndOut, lses_receipt};
use crate::request::{in_flight, lses_request};
use crate::status::{LSES_OK, fail, gone, lses_status};

/// The host has authenticated `user`: asks `on_login`, then changes user and holder and rotates the token
/// (LSES_TOKEN_SIZE bytes), in one step. `out_trade` (may be NULL) is LSES_OK, or LSES_E_LICENSE_DENIED if the
/// session could not be charged to the user and keeps its unit as its own holder; then lses_last_error_deny_reason()
/// says why, and lses_request_trade() tries again.
///
/// Threads: any; calls of one request take turns. Blocks for `on_login` and for lses_manager_set_group_resolver()'s function, at
/// most their deadlines. May be called from a callback. Errors: LSES_GONE, LSES_E_CLOSED, LSES_E_DENIED by a callback or where the
/// user's groups can't be told, LSES_E_LICENSE_DENIED, LSES_E_INVALID; then nothing changed. Since 0.1.0.
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
/// Threads and errors: as lses_request_trade(), and LSES_E_INVALID. Since 0.1.0.
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
/// Threads: any; calls of one request take turns. Blocks for lses_manager_set_group_resolver()'s function where the pool names
/// groups, at most its deadline. May be called from a callback. Errors: LSES_GONE, LSES_E_CLOSED, LSES_E_LICENSE_DENIED,
/// LSES_E_DENIED where the user's groups can't be told. Since 0.1.0.
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
