//! Waiting for license units: tickets, who waits, and calls that wait without a thread.

use std::ffi::{c_char, c_void};

use libsession_core::session::{Created, Login, LoginOptions, QueueOptions};
use libsession_core::{Error, Request, Result, Ticket, Waiter};

use crate::bytes::{LSES_UNSET, Out, Sized32, lses_buf, lses_str, ms, optional_duration, put_text, read, text};
use crate::config::texts;
use crate::feature::lses_feature_options;
use crate::guard::{contained, done};
use crate::handle::{self, Table, Tables, Tenant};
use crate::json::{self, int, list, map, uint};
use crate::manager::{LSES_ID_SIZE, LSES_TOKEN_SIZE, lses_manager, open};
use crate::request::{in_flight, lses_request};
use crate::session::{lses_begin_options, lses_create_options};
use crate::status::{LSES_OK, fail, lses_status, save};
use crate::user_data::{Escape, UserData};

/// Stands for one wait in the queue of a pool: given to a call in its options, it tells the position and cancels the wait, from
/// any thread. It serves one wait after the other; of two at once it knows the later one. Freed while a call waits with it, the
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
/// whose units are being given at this moment may still succeed.
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

/// How many come first, plus one; 0 if nothing waits with this ticket.
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
        ticket: if ticket.is_null() { None } else { Some(Ticket::clone(&*handle::pin::<Ticket, _>(ticket)?)) },
    })
}

/// What else is known of who logs in. Begin with LSES_LOGIN_OPTIONS_INIT; NULL in place of a pointer to it is all defaults.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct lses_login_options {
    /// sizeof(lses_login_options).
    pub size: usize,
    /// The groups that the user belongs to, each 1 to 256 bytes: reservations and lists of the pool may name them.
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
        Ok(LoginOptions { groups: unsafe { texts(self.groups, self.group_count, "groups") }?, queue })
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
        Out::required(out_token, "out_token")?;
        let request = in_flight(request)?;
        // SAFETY: the host passes a text with its length, and NULL or a struct that begins with its size.
        let (user, options) = unsafe { (text(user, user_len, "user")?, read(options)?.to_core()?) };
        let login = request.login_with(user, options)?;
        put_text::<LSES_TOKEN_SIZE>(out_token, &login.token.reveal());
        Out::optional(out_trade).set(login.trade_denied.as_ref().map_or(LSES_OK, fail));
        Ok(())
    })
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
        let request = in_flight(request)?;
        // SAFETY: the host passes NULL or a struct that begins with its size, and texts that last as long as the call.
        request.trade_with(unsafe { read(options)?.to_core() }?)
    })
}

/// Those who wait for units of a pool, after the first `skip` of them, at most `limit`, in the order of their turns, as JSON list in
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

/// What an asynchronous call gives its callback; it and its texts last as long as that runs. Of a call that failed all is empty.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct lses_answer {
    /// sizeof(lses_answer) of the library.
    pub size: usize,
    /// The session's public id; it ends at its NUL, too. Of lses_manager_create_async().
    pub id: lses_str,
    /// The secret for the client; it ends at its NUL, too. Of lses_manager_create_async() and lses_request_login_async().
    pub token: lses_str,
    /// The request of lses_manager_begin_new_async(): the callback's, to be finished and freed.
    pub request: *mut lses_request,
    /// Of lses_request_login_async(): LSES_OK, or LSES_E_LICENSE_DENIED if the session keeps its unit as its own holder.
    pub trade: lses_status,
    /// 0.
    pub reserved: u32,
}

/// Is told how an asynchronous call went: once, if the call returned LSES_OK, and else never. While it runs the
/// lses_last_error_...() of its thread tell about `status`.
///
/// It runs with no lock held, in any thread: in the call itself before that returns, in a thread of the library, or in one that
/// frees units or cancels by a call of this library. So it must not block, and must not take a lock that is held around such calls:
/// an event loop is told by what may be done anywhere, as uv_async_send() or a write to an eventfd. It may call every function that
/// does not block. Must not throw, longjmp or end its thread. At the end of the process it is not called any more.
#[allow(non_camel_case_types)]
pub type lses_done_fn =
    Option<unsafe extern "C-unwind" fn(user_data: *mut c_void, status: lses_status, answer: *const lses_answer)>;

/// A callback of the host with its user data.
struct Told {
    call: unsafe extern "C-unwind" fn(*mut c_void, lses_status, *const lses_answer),
    user_data: UserData,
}

impl Told {
    fn new(call: lses_done_fn, user_data: *mut c_void) -> Result<Self> {
        let call = call.ok_or_else(|| Error::invalid("done is NULL"))?;
        Ok(Self { call, user_data: UserData::new(user_data, None) })
    }

    /// Tells how it went; `answer` fills in what came of it, and is told where texts may lie.
    fn tell<T>(self, result: Result<T>, answer: impl FnOnce(T, &mut Room, &mut lses_answer) -> Result<()>) {
        let Some(_running) = crate::exit::enter() else { return };
        let saved = save();
        let mut room = Room { id: [0; LSES_ID_SIZE], token: [0; LSES_TOKEN_SIZE] };
        let mut told = lses_answer {
            size: size_of::<lses_answer>(),
            id: lses_str::default(),
            token: lses_str::default(),
            request: std::ptr::null_mut(),
            trade: LSES_OK,
            reserved: 0,
        };
        let status = match contained(|| answer(result?, &mut room, &mut told)) {
            Ok(()) => LSES_OK,
            Err(error) => fail(&error),
        };
        let escape = Escape::from("the callback of an asynchronous call", "");
        // SAFETY: the host passed the function for this user data; the answer and what it points to outlive the call.
        unsafe { (self.call)(self.user_data.pointer(), status, &raw const told) };
        escape.returned();
        drop(saved);
    }
}

/// Where the texts of an answer lie, each with its NUL.
struct Room {
    id: [c_char; LSES_ID_SIZE],
    token: [c_char; LSES_TOKEN_SIZE],
}

fn put<const N: usize>(room: &mut [c_char; N], text: &str) -> lses_str {
    put_text::<N>(room.as_mut_ptr(), text);
    lses_str { data: room.as_ptr(), len: text.len().min(N - 1) }
}

fn created(created: Created, room: &mut Room, answer: &mut lses_answer) -> Result<()> {
    answer.id = put(&mut room.id, &created.id.to_string());
    answer.token = put(&mut room.token, &created.token.reveal());
    Ok(())
}

fn begun(request: Request, _: &mut Room, answer: &mut lses_answer) -> Result<()> {
    answer.request = handle::insert(request)?;
    Ok(())
}

fn logged_in(login: Login, room: &mut Room, answer: &mut lses_answer) -> Result<()> {
    answer.token = put(&mut room.token, &login.token.reveal());
    answer.trade = login.trade_denied.as_ref().map_or(LSES_OK, fail);
    Ok(())
}

/// As lses_manager_create(), without blocking: `done` is told of it, when there is a unit, the time is over, or it is cancelled.
/// Many waits cost no thread. `options` is copied.
///
/// Threads: any. Does not block, but for an `on_start` that is asked in this thread; may be called from a callback. Errors, after
/// which `done` is not called: LSES_E_INVALID, LSES_E_CLOSED. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_create_async(
    manager: *mut lses_manager,
    options: *const lses_create_options,
    done: lses_done_fn,
    user_data: *mut c_void,
) -> lses_status {
    crate::guard::done(|| {
        let told = Told::new(done, user_data)?;
        let manager = open(manager)?;
        // SAFETY: the host passes NULL or a struct that begins with its size, and texts that last as long as the call.
        let options = unsafe { read(options)?.to_core() }?;
        manager.core.create_async(options, Box::new(move |result| told.tell(result, created)));
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
    done: lses_done_fn,
    user_data: *mut c_void,
) -> lses_status {
    crate::guard::done(|| {
        let told = Told::new(done, user_data)?;
        let manager = open(manager)?;
        // SAFETY: the host passes NULL or structs that begin with their sizes, and texts that last as long as the call.
        let (create, begin) = unsafe { (read(create)?.to_core()?, read(begin)?.to_core()?) };
        manager.core.begin_new_async(create, begin, Box::new(move |result| told.tell(result, begun)));
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
    done: lses_done_fn,
    user_data: *mut c_void,
) -> lses_status {
    crate::guard::done(|| {
        let told = Told::new(done, user_data)?;
        let request = in_flight(request)?;
        // SAFETY: the host passes a text with its length, and NULL or a struct that begins with its size.
        let (user, options) = unsafe { (text(user, user_len, "user")?, read(options)?.to_core()?) };
        request.login_async(user, options, Box::new(move |result| told.tell(result, logged_in)));
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
    done: lses_done_fn,
    user_data: *mut c_void,
) -> lses_status {
    crate::guard::done(|| {
        let told = Told::new(done, user_data)?;
        let request = in_flight(request)?;
        // SAFETY: the host passes NULL or a struct that begins with its size, and texts that last as long as the call.
        let options = unsafe { read(options)?.to_core() }?;
        request.trade_async(options, Box::new(move |result| told.tell(result, |(), _, _| Ok(()))));
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
    done: lses_done_fn,
    user_data: *mut c_void,
) -> lses_status {
    crate::guard::done(|| {
        let told = Told::new(done, user_data)?;
        let request = in_flight(request)?;
        // SAFETY: the host passes a text with its length, and NULL or a struct that begins with its size.
        let (pool, options) = unsafe { (text(pool, pool_len, "pool")?, read(options)?.to_core()?) };
        request.take_feature_async(pool, options, Box::new(move |result| told.tell(result, |(), _, _| Ok(()))));
        Ok(())
    })
}
