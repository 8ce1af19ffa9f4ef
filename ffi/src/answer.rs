//! What calls that do not block give their callbacks.

use std::ffi::{c_char, c_void};
use std::sync::Arc;

use libsession_core::manager::Then;
use libsession_core::session::{Begin, Created, EndOptions, EndOutcome, Login, Logout, QueueOptions};
use libsession_core::{EndReason, Error, ErrorKind, Manager, Request, Result, Ticket};

use crate::bytes::{Sized32, lses_str, put_text};
use crate::completions::{Completions, Wait, completions, lses_completions, manager_gone};
use crate::guard::contained;
use crate::handle;
use crate::json;
use crate::manager::{LSES_ID_SIZE, LSES_TOKEN_SIZE, Open};
use crate::receipt::{self, lses_receipt};
use crate::request::lses_request;
use crate::status::{LSES_OK, absent, fail, gone, lses_status, save};
use crate::user_data::{Escape, UserData};

/// What an asynchronous call gives its callback; it and its texts last as long as that runs. Of a call that failed all is empty.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct lses_answer {
    /// sizeof(lses_answer) of the library.
    pub size: usize,
    /// The session's public id; it ends at its NUL, too. Of lses_manager_create_async().
    pub id: lses_str,
    /// The secret for the client; it ends at its NUL, too. Of lses_manager_create_async(), lses_request_login_async() and
    /// lses_request_logout_async().
    pub token: lses_str,
    /// The request of lses_manager_begin_new_async() and lses_manager_begin_async(): the callback's, to be finished and freed.
    pub request: *mut lses_request,
    /// Of lses_request_login_async(): LSES_OK, or LSES_E_LICENSE_DENIED if the session keeps its unit as its own holder.
    pub trade: lses_status,
    /// With LSES_GONE, also as an error: why the session has ended (LSES_REASON_...); else 0.
    pub reason: u32,
    /// Of lses_manager_end_async() and lses_request_end_async() with LSES_OK, LSES_GONE or LSES_EXTENDED, of
    /// lses_request_logout_async() with LSES_GONE: the receipt in numbers; else NULL.
    pub receipt: *const lses_receipt,
    /// All of that receipt as JSON, as of lses_manager_end(); it ends at its NUL, too.
    pub json: lses_str,
}

/// Is told how an asynchronous call went: once, if the call returned LSES_OK, and else never. While it runs the
/// lses_last_error_...() of its thread tell about `status`.
///
/// With completions it is called by lses_completions_run() or lses_completions_free(), in the thread that calls that, and may do
/// what that thread may.
///
/// Without, it runs in any thread: in the call itself before that returns, in a thread of the library, or in one that frees units
/// or locks, or cancels, by a call of this library. So it must not block, and must not take a lock that is held around such calls.
///
/// It runs with no lock of the library held, and may call every function, without completions every one that does not block. Must
/// not throw, longjmp or end its thread. At the end of the process it is not called any more.
#[allow(non_camel_case_types)]
pub type lses_done_fn =
    Option<unsafe extern "C-unwind" fn(user_data: *mut c_void, status: lses_status, answer: *const lses_answer)>;

/// What an [`lses_done_fn`] is that is not NULL.
type Done = unsafe extern "C-unwind" fn(*mut c_void, lses_status, *const lses_answer);

/// A callback of the host with its user data.
pub(crate) struct Callback {
    call: Done,
    user_data: UserData,
}

impl Callback {
    pub(crate) fn new(call: Done, user_data: *mut c_void) -> Self {
        Self { call, user_data: UserData::new(user_data, None) }
    }

    /// Tells how it went.
    pub(crate) fn tell<O: Outcome>(self, result: Result<O>) {
        // A close does not wait for the host.
        libsession_core::handed_over();
        let Some(_running) = crate::exit::enter() else { return };
        let saved = save();
        let mut room = Room {
            id: [0; LSES_ID_SIZE],
            token: [0; LSES_TOKEN_SIZE],
            receipt: lses_receipt::unset(),
            json: String::new(),
        };
        let mut answer = lses_answer {
            size: size_of::<lses_answer>(),
            id: lses_str::default(),
            token: lses_str::default(),
            request: std::ptr::null_mut(),
            trade: LSES_OK,
            reason: 0,
            receipt: std::ptr::null(),
            json: lses_str::default(),
        };
        let status = contained(|| result?.answer(&mut room, &mut answer)).unwrap_or_else(|error| {
            answer.reason = error.reason().map_or(0, EndReason::code);
            fail(&error)
        });
        let escape = Escape::from("the callback of an asynchronous call", "");
        // SAFETY: the host passed the function for this user data; the answer and what it points to outlive the call.
        unsafe { (self.call)(self.user_data.pointer(), status, &raw const answer) };
        escape.returned();
        drop(saved);
    }
}

/// Whom a call tells, and where.
pub(crate) struct Told {
    callback: Callback,
    completions: Option<Arc<Completions>>,
}

impl Told {
    /// As the host names them; `at` may be NULL.
    pub(crate) fn new(at: *mut lses_completions, call: lses_done_fn, user_data: *mut c_void) -> Result<Self> {
        let call = call.ok_or_else(|| Error::invalid("done is NULL"))?;
        let completions = if at.is_null() { None } else { Some(completions(at)?) };
        Ok(Self { callback: Callback::new(call, user_data), completions })
    }

    /// The continuation of a call that may wait with this ticket, a new one if it has none; `manager` is the one that ends it when
    /// it goes. Nothing may fail between this and the call.
    pub(crate) fn then<T: Send + 'static, O: Outcome>(
        self,
        ticket: Option<&mut Option<Ticket>>,
        manager: Option<&Arc<Open>>,
        outcome: impl FnOnce(T) -> O + Send + 'static,
    ) -> Result<Then<T>> {
        let callback = self.callback;
        let ticket = ticket.map(|ticket| ticket.get_or_insert_with(Ticket::new).clone());
        if let Some(completions) = self.completions {
            let wait = Wait { ticket, manager: manager.map_or(0, |manager| manager.number), units: O::UNITS };
            let number = completions.begin(callback, wait)?;
            return Ok(Box::new(move |result: Result<T>| completions.came(number, result.map(outcome))));
        }
        let Some((manager, ticket)) = manager.zip(ticket) else {
            return Ok(Box::new(move |result| callback.tell(result.map(outcome))));
        };
        let wait = manager.waits(ticket);
        let manager = Arc::downgrade(manager);
        Ok(Box::new(move |result: Result<T>| {
            let result = match manager.upgrade() {
                Some(manager) => {
                    manager.waited(wait);
                    result
                }
                None => result.map_err(|error| match error.kind() {
                    ErrorKind::Cancelled => manager_gone(ErrorKind::Closed),
                    _ => error,
                }),
            };
            callback.tell(result.map(outcome));
        }))
    }
}

/// Where the ticket of a wait for units is, if there is to be a wait.
pub(crate) fn place(queue: &mut QueueOptions) -> Option<&mut Option<Ticket>> {
    if queue.wait.is_zero() { None } else { Some(&mut queue.ticket) }
}

/// Where the texts of an answer lie, each with its NUL.
pub(crate) struct Room {
    id: [c_char; LSES_ID_SIZE],
    token: [c_char; LSES_TOKEN_SIZE],
    receipt: lses_receipt,
    json: String,
}

fn put<const N: usize>(room: &mut [c_char; N], text: &str) -> lses_str {
    put_text::<N>(room.as_mut_ptr(), text);
    lses_str { data: room.as_ptr(), len: text.len().min(N - 1) }
}

/// What a call came to.
pub(crate) trait Outcome: Sized + Send + 'static {
    /// Whether a call that comes to this and that a manager ends waits for units, not for a lock.
    const UNITS: bool = false;

    /// Fills it in; the status is LSES_OK, or an outcome that is none.
    fn answer(self, room: &mut Room, answer: &mut lses_answer) -> Result<lses_status>;

    /// Whether there is something that only its callback would know.
    fn owns(&self) -> bool {
        false
    }

    /// Nobody learns of it: that goes.
    fn release(self) {}
}

/// Nothing but success; it stays with the request that it was done for.
impl Outcome for () {
    fn answer(self, _: &mut Room, _: &mut lses_answer) -> Result<lses_status> {
        Ok(LSES_OK)
    }
}

/// The request knows the new token.
impl Outcome for Login {
    fn answer(self, room: &mut Room, answer: &mut lses_answer) -> Result<lses_status> {
        answer.token = put(&mut room.token, &self.token.reveal());
        answer.trade = self.trade_denied.as_ref().map_or(LSES_OK, fail);
        Ok(LSES_OK)
    }
}

/// The session knows of its end.
impl Outcome for EndOutcome {
    fn answer(self, room: &mut Room, answer: &mut lses_answer) -> Result<lses_status> {
        if let Some(receipt) = receipt::numbers(&self) {
            room.receipt = receipt;
            answer.receipt = &raw const room.receipt;
            room.json = json::text(&receipt::outcome_json(&self));
            room.json.push('\0');
            answer.json = lses_str { data: room.json.as_ptr().cast(), len: room.json.len() - 1 };
        }
        if let Self::Gone(receipt) = &self {
            answer.reason = receipt.reason.code();
        }
        Ok(receipt::status(&self))
    }
}

/// The request knows the new token.
impl Outcome for Logout {
    fn answer(self, room: &mut Room, answer: &mut lses_answer) -> Result<lses_status> {
        match self {
            Self::Done(token) => {
                answer.token = put(&mut room.token, &token.reveal());
                Ok(LSES_OK)
            }
            Self::Ended(receipt) => {
                let reason = receipt.reason;
                EndOutcome::Ended(receipt).answer(room, answer)?;
                answer.reason = reason.code();
                Ok(gone(reason))
            }
        }
    }
}

/// A session that was made.
pub(crate) struct Made {
    pub created: Created,
    /// Its manager, also when the host has freed that.
    pub manager: Manager,
}

impl Outcome for Made {
    const UNITS: bool = true;

    fn answer(self, room: &mut Room, answer: &mut lses_answer) -> Result<lses_status> {
        answer.id = put(&mut room.id, &self.created.id.to_string());
        answer.token = put(&mut room.token, &self.created.token.reveal());
        Ok(LSES_OK)
    }

    fn owns(&self) -> bool {
        true
    }

    fn release(self) {
        released("a session", || self.manager.end(self.created.id, EndOptions::default()).map(drop));
    }
}

/// The first request of a session that was made with it.
pub(crate) struct First(pub Request);

impl Outcome for First {
    const UNITS: bool = true;

    fn answer(self, _: &mut Room, answer: &mut lses_answer) -> Result<lses_status> {
        answer.request = handle::insert(self.0)?;
        Ok(LSES_OK)
    }

    fn owns(&self) -> bool {
        true
    }

    fn release(self) {
        released("a session", || self.0.end(EndOptions::default()).map(drop));
    }
}

impl Outcome for Begin {
    fn answer(self, _: &mut Room, answer: &mut lses_answer) -> Result<lses_status> {
        Ok(match self {
            Self::Live(request) => {
                answer.request = handle::insert(request)?;
                LSES_OK
            }
            Self::Absent => absent(),
            Self::Gone(reason) => {
                answer.reason = reason.code();
                gone(reason)
            }
        })
    }

    fn owns(&self) -> bool {
        matches!(self, Self::Live(_))
    }

    fn release(self) {
        if let Self::Live(request) = self {
            released("a request", || request.discard().and_then(|()| request.finish()));
        }
    }
}

/// Whatever comes of it, there is nobody left to tell but the log.
fn released(what: &str, release: impl FnOnce() -> Result<()>) {
    if let Err(error) = contained(release)
        && error.kind().code() > 0
    {
        log::warn!(target: "libsession", "{what} that nobody fetched could not be released: {}", error.message());
    }
}
