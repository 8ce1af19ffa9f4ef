//! Waiting: tickets, and who waits for license units.

use std::ffi::c_char;

use libsession_core::session::{LoginOptions, QueueOptions};
use libsession_core::{Error, Request, Result, Ticket, Waiter};

use crate::bytes::{LSES_UNSET, Out, Sized32, lses_buf, lses_str, ms, optional_duration, read, text};
use crate::config::groups;
use crate::guard::done;
use crate::handle::{self, Pinned, Table, Tables, Tenant};
use crate::json::{self, int, list, map, uint};
use crate::login::LoginOut;
use crate::manager::{lses_manager, open};
use crate::request::{in_flight, lses_request};
use crate::status::lses_status;

/// Stands for one wait, in the queue of a pool or for a session's lock: given to a call, usually in its options, it cancels the
/// wait, and tells the position in the queue, from any thread. It serves one wait after the other; of two at once it knows the later one. Freed while a call waits with it, the
/// wait goes on and can't be cancelled any more. In the child of a fork it answers LSES_E_FORKED.
#[allow(non_camel_case_types)]
pub struct lses_ticket {
    _handle: [u8; 0],
}

impl Tenant for Ticket {
    const KIND: u64 = 7;
    const NAME: &'static str = "ticket";
    const COUNTERS: usize = 1;

    fn table(tables: &Tables) -> &Table<Self> {
        &tables.tickets
    }
}

/// Makes a ticket that nothing waits with yet; free it with lses_ticket_free().
///
/// Threads: any. Does not block, may be called from a callback. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_ticket_new(out_ticket: *mut *mut lses_ticket) -> lses_status {
    done(|| {
        let out = Out::handle(out_ticket, "out_ticket")?;
        out.set(handle::insert(Ticket::new())?);
        Ok(())
    })
}

/// Frees the handle, also while a call waits with it. NULL is fine.
///
/// Threads: any. Does not block, may be called from a callback. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_ticket_free(ticket: *mut lses_ticket) {
    if !ticket.is_null() {
        crate::guard::quiet(|| handle::remove::<Ticket, _>(ticket));
    }
}

/// Cancels the wait, which then answers LSES_E_CANCELLED; one that has not begun yet does so as soon as it would wait. A wait
/// whose units or lock are being given at this moment may still succeed.
///
/// Threads: any. Does not block, may be called from a callback; the callback of a wait that does not block may run in this call.
/// Errors: LSES_E_STALE_HANDLE. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_ticket_cancel(ticket: *mut lses_ticket) -> lses_status {
    done(|| {
        let ticket = Ticket::clone(&*handle::pin::<Ticket, _>(ticket)?);
        ticket.cancel();
        Ok(())
    })
}

/// How many come first, plus one; 0 if nothing waits in a queue with this ticket.
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_STALE_HANDLE. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_ticket_position(ticket: *mut lses_ticket, out_position: *mut u64) -> lses_status {
    done(|| {
        let out = Out::required(out_position, "out_position")?;
        out.set(handle::pin::<Ticket, _>(ticket)?.position()?.unwrap_or(0));
        Ok(())
    })
}

/// 1 if a call waits with this ticket now, else 0.
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_STALE_HANDLE. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_ticket_waits(ticket: *mut lses_ticket, out_waits: *mut i32) -> lses_status {
    done(|| {
        let out = Out::required(out_waits, "out_waits")?;
        out.set(handle::pin::<Ticket, _>(ticket)?.waits().into());
        Ok(())
    })
}

/// What options say of a wait.
pub(crate) fn queue_options(wait_ms: i64, priority: i64, ticket: *mut lses_ticket) -> Result<QueueOptions> {
    let out_of_bounds = |_| Error::invalid(format!("priority {priority} is not between -9 and 9"));
    Ok(QueueOptions {
        wait: optional_duration(wait_ms, "wait_ms")?.unwrap_or_default(),
        priority: i8::try_from(priority).map_err(out_of_bounds)?,
        ticket: self::ticket(ticket)?,
    })
}

/// The ticket of a handle; none of NULL.
pub(crate) fn ticket(ticket: *mut lses_ticket) -> Result<Option<Ticket>> {
    if ticket.is_null() { Ok(None) } else { Ok(Some(Ticket::clone(&*handle::pin::<Ticket, _>(ticket)?))) }
}

/// What else is known of who logs in. Begin with LSES_LOGIN_OPTIONS_INIT; NULL in place of a pointer to it is all defaults.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct lses_login_options {
    /// sizeof(lses_login_options).
    pub size: usize,
    /// The groups that the user belongs to, each 1 to 256 bytes: reservations and lists of the pool may name them. NULL: none
    /// are given, and lses_manager_set_group_resolver()'s function is asked, if there is one.
    pub groups: *const lses_str,
    /// How many: at most 256.
    pub group_count: usize,
    /// How long it waits in the queue of the pool if there is no unit, on the manager's clock: up to 100 years. Default 0.
    pub wait_ms: i64,
    /// Who has a higher one is served first: -9 to 9. Default 0.
    pub priority: i64,
    /// Tells the position, and cancels; or NULL.
    pub ticket: *mut lses_ticket,
}

// SAFETY: repr(C), words only.
unsafe impl Sized32 for lses_login_options {
    const NAME: &'static str = "lses_login_options";
    const FIRST: usize = size_of::<Self>();

    fn unset() -> Self {
        Self {
            size: size_of::<Self>(),
            groups: std::ptr::null(),
            group_count: 0,
            wait_ms: LSES_UNSET,
            priority: 0,
            ticket: std::ptr::null_mut(),
        }
    }
}

impl lses_login_options {
    /// # Safety
    /// Its texts are as in [`crate::bytes::bytes`].
    unsafe fn to_core(self) -> Result<LoginOptions> {
        let queue = queue_options(self.wait_ms, self.priority, self.ticket)?;
        // SAFETY: as the caller says.
        Ok(LoginOptions { groups: unsafe { groups(self.groups, self.group_count) }?, queue })
    }
}

/// As lses_request_login(), with options. If it may wait and finds no unit, it does, before anything is changed; when the time is
/// over it does what it would without a wait.
///
/// Threads: any; calls of one request take turns, also with one that waits. Blocks for `on_login`, at most its deadline, and for
/// `wait_ms`. May be called from a callback. Errors: as lses_request_login(), and LSES_E_CANCELLED; then nothing changed. Since
/// 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_login_with(
    request: *mut lses_request,
    user: *const c_char,
    user_len: usize,
    options: *const lses_login_options,
    out_token: *mut c_char,
    out_trade: *mut lses_status,
) -> lses_status {
    done(|| {
        let out = LoginOut::new(out_token, out_trade)?;
        // SAFETY: the host passes a text with its length, and NULL or a struct that begins with its size.
        let (request, user, options) = unsafe { login(request, user, user_len, options) }?;
        out.set(&request.login_with(user, options)?);
        Ok(())
    })
}

/// What a login is given.
///
/// # Safety
/// The text is as in [`crate::bytes::bytes`], the options as in [`read`] with such texts.
pub(crate) unsafe fn login<'a>(
    request: *mut lses_request,
    user: *const c_char,
    user_len: usize,
    options: *const lses_login_options,
) -> Result<(Pinned<Request>, &'a str, LoginOptions)> {
    let request = in_flight(request)?;
    // SAFETY: as the caller says.
    unsafe { Ok((request, text(user, user_len, "user")?, read(options)?.to_core()?)) }
}

/// As lses_request_trade(), with options.
///
/// Threads: any; calls of one request take turns. Blocks for `wait_ms`. May be called from a callback. Errors: as
/// lses_request_trade(), and LSES_E_CANCELLED. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_request_trade_with(
    request: *mut lses_request,
    options: *const lses_login_options,
) -> lses_status {
    done(|| {
        // SAFETY: the host passes NULL or a struct that begins with its size, and texts that last as long as the call.
        let (request, options) = unsafe { trade(request, options) }?;
        request.trade_with(options)
    })
}

/// What a trade is given.
///
/// # Safety
/// The options are as in [`read`], with texts as in [`crate::bytes::bytes`].
pub(crate) unsafe fn trade(
    request: *mut lses_request,
    options: *const lses_login_options,
) -> Result<(Pinned<Request>, LoginOptions)> {
    let request = in_flight(request)?;
    // SAFETY: as the caller says.
    Ok((request, unsafe { read(options)?.to_core() }?))
}

/// Those who wait for units of a pool, after the first `skip` of them, at most `limit` (1 or more), in the order of their turns, as JSON list in
/// a buffer to free: `[{"position" (from 1),"holder" (who is to be charged: a session id or a user),"session_id" (which waits, or
/// is to be made),"priority","waited_ms","left_ms","offered" (true: units are set aside for it),"process"}]`.
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID names an unknown pool. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_queue(
    manager: *mut lses_manager,
    pool: *const c_char,
    pool_len: usize,
    skip: usize,
    limit: usize,
    out_json: *mut lses_buf,
) -> lses_status {
    done(|| {
        let out = Out::buf(out_json, "out_json")?;
        // SAFETY: the host passes a text with its length.
        let waiting = open(manager)?.core.queue(unsafe { text(pool, pool_len, "pool") }?, skip, limit)?;
        out.fill(json::text(&list(waiting.iter().map(waiter_json))).as_bytes())?;
        Ok(())
    })
}

fn waiter_json(waiter: &Waiter) -> json::Value {
    map([
        ("position", uint(waiter.position)),
        ("holder", waiter.holder.as_ref().into()),
        ("session_id", waiter.session_id.to_string().into()),
        ("priority", int(waiter.priority.into())),
        ("waited_ms", int(ms(waiter.waited))),
        ("left_ms", int(ms(waiter.left))),
        ("offered", waiter.offered.into()),
        ("process", uint(waiter.process.into())),
    ])
}
