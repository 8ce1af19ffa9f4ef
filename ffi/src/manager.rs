//! The manager: opened and closed, and sessions made and begun.

use std::collections::HashMap;
use std::ffi::c_char;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use libsession_core::session::{Begin, BeginOptions, CreateOptions, Touched};
use libsession_core::sync::unforked;
use libsession_core::{Manager, Request, Result, Ticket, TouchKind};

use crate::bytes::{LSES_UNSET, Out, SizedOut, duration, ms, optional_member, put_text, read};
use crate::completions;
use crate::config::{Draft, lses_config};
use crate::event::Class;
use crate::guard::{done, guard, quiet, watch_panics};
use crate::handle::{self, Pinned, Table, Tables, Tenant, lock};
use crate::poll::Bell;
use crate::request::lses_request;
use crate::session::{lses_begin_options, lses_close_report, lses_create_options};
use crate::status::{LSES_OK, absent, gone, lses_status};
use crate::threads::Quiet;

/// One table of sessions with its reaper and its dispatcher.
///
/// Any thread may use it at any time, also inside of callbacks. With a store of "file:" an inherited one goes on in the child of
/// a fork(): its first call there opens the store again, with the event classes that were registered. With "memory" make it
/// after fork(): an inherited one answers LSES_E_FORKED to everything. After lses_manager_close() it answers LSES_E_CLOSED.
#[allow(non_camel_case_types)]
pub struct lses_manager {
    _handle: [u8; 0],
}

/// Bytes of a place for a token: 40 characters and a NUL.
pub const LSES_TOKEN_SIZE: usize = 41;
/// Bytes of a place for a session id: 22 characters and a NUL.
pub const LSES_ID_SIZE: usize = 23;

const TOKEN_SIZE: usize = LSES_TOKEN_SIZE;
const ID_SIZE: usize = LSES_ID_SIZE;

/// An open manager: all handles to it share this.
pub(crate) struct Open {
    pub core: Manager,
    /// Locked, as `classes`, only while no thread forks.
    bell: Mutex<Option<Arc<Bell>>>,
    /// By namespace and name: the classes that this border registered.
    classes: Mutex<HashMap<(String, String), Arc<Class>>>,
    /// The process that the exit hook closes it in, by its epoch.
    closed_in: AtomicU32,
    /// What its asynchronous calls know it by; never 0.
    pub number: u64,
    /// Locked, as `classes`, only while no thread forks.
    waits: Mutex<Waits>,
}

/// The asynchronous calls that tell their callbacks without completions.
#[derive(Default)]
struct Waits {
    last: u64,
    /// By number: whose process they are of, by its epoch, and what gives them up.
    going_on: HashMap<u64, (u32, Ticket)>,
}

impl Open {
    /// Looks at, or changes, the classes: `work` must be short.
    pub fn classes<R>(&self, work: impl FnOnce(&mut HashMap<(String, String), Arc<Class>>) -> R) -> R {
        unforked(|| work(&mut lock(&self.classes)))
    }

    /// The descriptor's bell, if this process asked for it.
    pub fn bell(&self) -> Option<Arc<Bell>> {
        unforked(|| lock(&self.bell).clone()).filter(|bell| bell.epoch == handle::epoch())
    }

    /// A call waits with this ticket until [`waited`](Self::waited): given up when the last handle is freed. Its number.
    pub fn waits(&self, ticket: Ticket) -> u64 {
        unforked(|| {
            let mut waits = lock(&self.waits);
            waits.last += 1;
            let number = waits.last;
            waits.going_on.insert(number, (handle::epoch(), ticket));
            number
        })
    }

    /// It is over.
    pub fn waited(&self, number: u64) {
        let wait = unforked(|| lock(&self.waits).going_on.remove(&number));
        drop(wait);
    }

    /// Makes it, in place of one that was another process's.
    pub fn new_bell(&self) -> Result<Arc<Bell>> {
        let bell = Bell::of(&self.core)?;
        let new = Arc::clone(&bell);
        let old = unforked(|| lock(&self.bell).replace(new));
        drop(old);
        Ok(bell)
    }
}

/// The last handle was freed: whoever still waits is told.
impl Drop for Open {
    fn drop(&mut self) {
        let waits = std::mem::take(&mut self.waits.get_mut().unwrap_or_else(PoisonError::into_inner).going_on);
        let own = waits.into_values().filter(|(epoch, _)| *epoch == handle::epoch());
        own.for_each(|(_, ticket)| ticket.cancel());
        completions::leave(self.number, true);
    }
}

impl Tenant for Arc<Open> {
    const KIND: u64 = 2;
    const NAME: &'static str = "manager";
    const COUNTERS: usize = 16;

    fn table(tables: &Tables) -> &Table<Self> {
        &tables.managers
    }

    fn goes_on(&self) -> bool {
        let goes_on = self.core.is_shared();
        let epoch = handle::epoch();
        if goes_on
            && self.closed_in.load(Ordering::Relaxed) != epoch
            && self.closed_in.swap(epoch, Ordering::SeqCst) != epoch
        {
            crate::exit::remember(self);
        }
        goes_on
    }
}

/// The manager of a handle.
pub(crate) fn open(manager: *const lses_manager) -> Result<Pinned<Arc<Open>>> {
    handle::pin::<Arc<Open>, _>(manager)
}

/// Opens a manager. No thread starts before the first session. Close it with lses_manager_close() and free it with
/// lses_manager_free(); what is open when the process ends is closed with a grace of 1 s.
///
/// `config` is copied; NULL is all defaults.
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID names the option and its bound.
/// Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_new(
    config: *const lses_config,
    out_manager: *mut *mut lses_manager,
) -> lses_status {
    done(|| {
        let out = Out::handle(out_manager, "out_manager")?;
        let mut config =
            if config.is_null() { crate::config::new() } else { lock(&handle::pin::<Draft, _>(config)?.0).clone() };
        config.thread_hooks = Some(Arc::new(Quiet));
        watch_panics();
        crate::exit::watch();
        let core = Manager::new(config)?;
        let closed_in = AtomicU32::new(handle::epoch());
        static LAST: AtomicU64 = AtomicU64::new(0);
        let open = Arc::new(Open {
            core,
            bell: Mutex::default(),
            classes: Mutex::default(),
            closed_in,
            number: LAST.fetch_add(1, Ordering::Relaxed) + 1,
            waits: Mutex::default(),
        });
        crate::exit::remember(&open);
        out.set(handle::insert(open)?);
        Ok(())
    })
}

/// Makes another handle of the same manager, to be freed on its own.
///
/// Threads: any. Does not block, may be called from a callback. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_clone(
    manager: *const lses_manager,
    out_manager: *mut *mut lses_manager,
) -> lses_status {
    done(|| {
        let out = Out::handle(out_manager, "out_manager")?;
        let copy = Arc::clone(&*open(manager)?);
        out.set(handle::insert(copy)?);
        Ok(())
    })
}

/// Frees a handle. With the last one the manager's threads stop, and sessions that are live then are gone without a
/// callback (with a store of "file:" they live on): call lses_manager_close() before. Its asynchronous calls that still wait are told
/// LSES_E_CLOSED, and those whose results nobody has fetched from completions, too: what they came to is given back, as by
/// lses_completions_free(). In the child of a fork the parent's memory is left alone. NULL is fine. It does not wait for a callback
/// that still runs: keep callbacks' code and data until their drop_user_data was called.
///
/// Threads: any. May be called from a callback, also of this manager: the rest is done when that returned. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_free(manager: *mut lses_manager) {
    if !manager.is_null() {
        quiet(|| handle::remove::<Arc<Open>, _>(manager));
    }
}

/// Ends every session with the reason `shutdown`, delivers callbacks for at most `grace_ms`, and stops the threads. A
/// second close gives the first one's report. Sessions and requests that its asynchronous calls came to and nobody has fetched from
/// completions are given back, and the calls told LSES_E_CLOSED; those that still wait are told that or LSES_E_CLOSING.
/// `out_report` may be NULL.
///
/// Threads: any. Blocks, at most `grace_ms`. Inside of a callback of this manager it is deferred until that returned
/// (`deferred` is 1). Errors: LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_close(
    manager: *mut lses_manager,
    grace_ms: i64,
    out_report: *mut lses_close_report,
) -> lses_status {
    done(|| {
        // SAFETY: the host passes a struct that begins with its size.
        let out = unsafe { SizedOut::new(out_report, "out_report", true) }?;
        let (grace, open) = (duration(grace_ms, "grace_ms")?, open(manager)?);
        completions::leave(open.number, false);
        let report = open.core.close(grace);
        out.set(&report.into());
        Ok(())
    })
}

/// Tells in `out_closed` 1 if the manager was closed, else 0.
///
/// Threads: any. Does not block, may be called from a callback. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_is_closed(manager: *mut lses_manager, out_closed: *mut i32) -> lses_status {
    done(|| {
        let out = Out::required(out_closed, "out_closed")?;
        out.set(open(manager)?.core.is_closed().into());
        Ok(())
    })
}

/// Makes a session; starts no request. `out_token` (LSES_TOKEN_SIZE bytes) takes the secret for the client, `out_id`
/// (LSES_ID_SIZE bytes, may be NULL) the public handle. A refused creation leaves nothing behind.
///
/// Threads: any. Blocks for `on_start`, at most its deadline, and for `wait_ms`. May be called from a callback. Errors:
/// LSES_E_DENIED (by `on_start`), LSES_E_LICENSE_DENIED, LSES_E_CANCELLED, LSES_E_SESSION_LIMIT, LSES_E_INVALID, LSES_E_QUOTA. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_create(
    manager: *mut lses_manager,
    options: *const lses_create_options,
    out_token: *mut c_char,
    out_id: *mut c_char,
) -> lses_status {
    done(|| {
        Out::required(out_token, "out_token")?;
        // SAFETY: the host passes NULL or a struct that begins with its size, and texts that last as long as the call.
        let (open, options) = unsafe { creation(manager, options) }?;
        let created = open.core.create(options)?;
        put_text::<TOKEN_SIZE>(out_token, &created.token.reveal());
        put_text::<ID_SIZE>(out_id, &created.id.to_string());
        Ok(())
    })
}

/// What a creation is given.
///
/// # Safety
/// The options are as in [`read`], with texts as in [`crate::bytes::bytes`].
pub(crate) unsafe fn creation(
    manager: *mut lses_manager,
    options: *const lses_create_options,
) -> Result<(Pinned<Arc<Open>>, CreateOptions)> {
    let open = open(manager)?;
    // SAFETY: as the caller says.
    Ok((open, unsafe { read(options)?.to_core() }?))
}

/// Makes a session and begins its first request in one step: what servers use. The request's token is
/// lses_request_token(); finish it with lses_request_finish() and free it with lses_request_free().
///
/// Threads, blocking, callbacks and errors: as lses_manager_create(). Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_begin_new(
    manager: *mut lses_manager,
    create: *const lses_create_options,
    begin: *const lses_begin_options,
    out_request: *mut *mut lses_request,
) -> lses_status {
    done(|| {
        let out = Out::handle(out_request, "out_request")?;
        // SAFETY: the host passes NULL or structs that begin with their sizes, and texts that last as long as the call.
        let (open, create, begin) = unsafe { first_request(manager, create, begin) }?;
        let request = open.core.begin_new(create, begin)?;
        out.set(handle::insert(request)?);
        Ok(())
    })
}

/// What a creation with its first request is given.
///
/// # Safety
/// As [`creation`].
pub(crate) unsafe fn first_request(
    manager: *mut lses_manager,
    create: *const lses_create_options,
    begin: *const lses_begin_options,
) -> Result<(Pinned<Arc<Open>>, CreateOptions, BeginOptions)> {
    let open = open(manager)?;
    // SAFETY: as the caller says.
    unsafe { Ok((open, read(create)?.to_core()?, read(begin)?.to_core()?)) }
}

/// Begins a request of the session that this token opens. LSES_OK: it is live, and `out_request` is the request; finish it
/// with lses_request_finish() and free it with lses_request_free(). LSES_ABSENT: there is no such session. LSES_GONE: it
/// has ended, for the reason in `out_reason` (LSES_REASON_..., may be NULL).
///
/// A session past its deadline is never returned as live, whether the reaper came by or not.
///
/// Threads: any. Blocks for the session's lock, at most the lock timeout (0 does not wait), or until its ticket is cancelled; a
/// thread that begins a session it holds itself waits for itself until then. May be called from a callback. Errors:
/// LSES_E_LOCK_TIMEOUT, LSES_E_CANCELLED (nothing changed), LSES_E_DENIED (application change), LSES_E_REENTRANT (inside of a
/// decider about that session), LSES_E_CORRUPT, LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_begin(
    manager: *mut lses_manager,
    token: *const c_char,
    token_len: usize,
    options: *const lses_begin_options,
    out_request: *mut *mut lses_request,
    out_reason: *mut u32,
) -> lses_status {
    guard(|| {
        let out = Out::handle(out_request, "out_request")?;
        // SAFETY: the host passes NULL or a struct that begins with its size, and texts that last as long as the call.
        let (open, token, options) = unsafe { beginning(manager, token, token_len, options) }?;
        Ok(match open.core.begin(token, options)? {
            Begin::Live(request) => {
                out.set(handle::insert::<Request, _>(request)?);
                LSES_OK
            }
            Begin::Absent => absent(),
            Begin::Gone(reason) => {
                Out::optional(out_reason).set(reason.code());
                gone(reason)
            }
        })
    })
}

/// What a begin is given.
///
/// # Safety
/// As [`creation`]; the token is as in [`crate::bytes::bytes`].
pub(crate) unsafe fn beginning<'a>(
    manager: *mut lses_manager,
    token: *const c_char,
    token_len: usize,
    options: *const lses_begin_options,
) -> Result<(Pinned<Arc<Open>>, &'a str, BeginOptions)> {
    let open = open(manager)?;
    // SAFETY: as the caller says.
    unsafe { Ok((open, any_text(token, token_len)?, read(options)?.to_core()?)) }
}

/// What a client presented: bytes that are no text are no token, either.
///
/// # Safety
/// As [`crate::bytes::bytes`].
unsafe fn any_text<'a>(data: *const c_char, len: usize) -> Result<&'a str> {
    // SAFETY: as the caller says.
    let bytes = unsafe { crate::bytes::bytes(data, len, "token") }?;
    Ok(std::str::from_utf8(bytes).unwrap_or(""))
}

/// Uses a session without a request: LSES_TOUCH_ACTIVITY moves its idle deadline, the other kinds only look.
/// LSES_OK: it is live, and `out_left_ms` (may be NULL) is the time until its deadline, LSES_UNSET if it has none or a
/// request is in flight. LSES_ABSENT: there is no such session. LSES_GONE: it has ended, for the reason in `out_reason`
/// (may be NULL).
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_touch(
    manager: *mut lses_manager,
    token: *const c_char,
    token_len: usize,
    touch: u32,
    out_left_ms: *mut i64,
    out_reason: *mut u32,
) -> lses_status {
    guard(|| {
        let open = open(manager)?;
        let kind = optional_member(TouchKind::from_code, "touch", touch)?.unwrap_or(TouchKind::Activity);
        // SAFETY: the host passes a text with its length.
        Ok(match open.core.touch(unsafe { any_text(token, token_len) }?, kind)? {
            Touched::Live(left) => {
                Out::optional(out_left_ms).set(left.map_or(LSES_UNSET, ms));
                LSES_OK
            }
            Touched::Absent => absent(),
            Touched::Gone(reason) => {
                Out::optional(out_reason).set(reason.code());
                gone(reason)
            }
        })
    })
}

/// The public id of the session that this token opens, into `out_id` (LSES_ID_SIZE bytes): a look without a trace.
/// LSES_ABSENT if it opens no live one.
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_id_of(
    manager: *mut lses_manager,
    token: *const c_char,
    token_len: usize,
    out_id: *mut c_char,
) -> lses_status {
    guard(|| {
        Out::required(out_id, "out_id")?;
        // SAFETY: the host passes a text with its length.
        Ok(match open(manager)?.core.id_of(unsafe { any_text(token, token_len) }?)? {
            Some(id) => {
                put_text::<ID_SIZE>(out_id, &id.to_string());
                LSES_OK
            }
            None => absent(),
        })
    })
}
