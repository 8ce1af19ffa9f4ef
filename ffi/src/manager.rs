//! The manager: sessions from outside, running it, closing it.

use std::collections::HashMap;
use std::ffi::c_char;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use libsession_core::session::{Begin, BeginOptions, CreateOptions, Touched};
use libsession_core::sync::unforked;
use libsession_core::{ErrorKind, Manager, Request, Result, SessionId, TouchKind};

use crate::bytes::{
    LSES_UNSET, Out, SizedOut, duration, flag, lses_buf, ms, optional_member, put_text, read, text, timeout,
};
use crate::config::{Draft, lses_config};
use crate::event::Class;
use crate::guard::{done, guard, quiet, watch_panics};
use crate::handle::{self, Pinned, Table, Tables, Tenant, lock};
use crate::json::{self, list};
use crate::poll::Bell;
use crate::request::lses_request;
use crate::session::{
    EndOut, dead_letter_json, explain_json, info_json, log_json, lses_begin_options, lses_close_report,
    lses_create_options, lses_end_options, lses_filter, lses_progress, lses_receipt,
};
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
}

impl Open {
    /// Looks at, or changes, the classes: `work` must be short.
    pub fn classes<R>(&self, work: impl FnOnce(&mut HashMap<(String, String), Arc<Class>>) -> R) -> R {
        unforked(|| work(&mut lock(&self.classes)))
    }

    /// The descriptor's bell, if this process asked for it.
    fn bell(&self) -> Option<Arc<Bell>> {
        unforked(|| lock(&self.bell).clone()).filter(|bell| bell.epoch == handle::epoch())
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

/// A session id of the host.
///
/// # Safety
/// As [`crate::bytes::bytes`].
unsafe fn session_id(id: *const c_char, id_len: usize) -> Result<SessionId> {
    // SAFETY: as the caller says.
    SessionId::parse(unsafe { text(id, id_len, "session id") }?)
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
        let open = Arc::new(Open { core, bell: Mutex::default(), classes: Mutex::default(), closed_in });
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
/// callback (with a store of "file:" they live on): call lses_manager_close() before. In the child of a fork the parent's memory
/// is left alone. NULL is fine. It does not
/// wait for a callback that still runs: keep callbacks' code and data until their drop_user_data was called.
///
/// Threads: any. May be called from a callback, also of this manager: the rest is done when that returned. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_free(manager: *mut lses_manager) {
    if !manager.is_null() {
        quiet(|| handle::remove::<Arc<Open>, _>(manager));
    }
}

/// Ends every session with the reason `shutdown`, delivers callbacks for at most `grace_ms`, and stops the threads. A
/// second close gives the first one's report. `out_report` may be NULL.
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
        let report = open(manager)?.core.close(duration(grace_ms, "grace_ms")?);
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
/// Threads: any. Blocks for the session's lock, at most the lock timeout (0 does not wait); a thread that begins a session
/// it holds itself waits for itself until then. May be called from a callback. Errors: LSES_E_LOCK_TIMEOUT, LSES_E_DENIED (application change), LSES_E_REENTRANT (inside of a decider about that
/// session), LSES_E_CORRUPT, LSES_E_INVALID. Since 0.1.0.
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

/// Ends a session by its public id; never waits for requests in flight. LSES_OK: this call ended it. LSES_GONE: another
/// had ended it. LSES_EXTENDED: a class extended it (level `request` only). LSES_ABSENT: there is no such session.
///
/// `out_receipt` takes the receipt in numbers, `out_json` (a buffer to free) all of it; either may be NULL:
/// `{"outcome" ("ended","gone"),"id","application","user","reason","level","actor","note","at_ms","wall_ms","late_ms",
/// "license_free_at_ms","event_id","callbacks":[{"class","kind","outcome"}]}` or `{"outcome":"extended","class","by_ms"}`.
///
/// Threads: any. Blocks only for `on_expiring` with level `request`, and for `wait_ms`. May be called from a callback.
/// Errors: LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_end(
    manager: *mut lses_manager,
    id: *const c_char,
    id_len: usize,
    options: *const lses_end_options,
    out_receipt: *mut lses_receipt,
    out_json: *mut lses_buf,
) -> lses_status {
    guard(|| {
        // SAFETY: the host passes NULL or structs that begin with their sizes, and texts that last as long as the call.
        unsafe {
            let out = EndOut::new(out_receipt, out_json)?;
            let open = open(manager)?;
            out.set(&open.core.end(session_id(id, id_len)?, read(options)?.to_core()?)?)
        }
    })
}

/// Ends what matches; at most `limit` sessions are looked at in this call, from `cursor` on (0 to begin; then
/// `out_progress->next` until that is 0). Applications that are protected are spared.
///
/// Threads: any. Blocks as lses_manager_end() for each. May be called from a callback. Errors: LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_end_where(
    manager: *mut lses_manager,
    filter: *const lses_filter,
    options: *const lses_end_options,
    cursor: u64,
    limit: usize,
    out_progress: *mut lses_progress,
) -> lses_status {
    done(|| {
        // SAFETY: the host passes NULL or structs that begin with their sizes, and texts that last as long as the call.
        unsafe {
            let out = SizedOut::new(out_progress, "out_progress", false)?;
            let open = open(manager)?;
            let (filter, options) = (read(filter)?.to_core()?, read(options)?.to_core()?);
            out.set(&open.core.end_where(&filter, options, cursor, limit)?.into());
            Ok(())
        }
    })
}

/// Sets the idle timeout of one session by its public id, at once, counted from its last use; 0 is never. LSES_ABSENT if
/// it is not live.
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_set_idle_timeout(
    manager: *mut lses_manager,
    id: *const c_char,
    id_len: usize,
    idle_timeout_ms: i64,
) -> lses_status {
    guard(|| {
        let open = open(manager)?;
        // SAFETY: the host passes a text with its length.
        let id = unsafe { session_id(id, id_len) }?;
        let live = open.core.set_idle_timeout(id, timeout(idle_timeout_ms, "idle_timeout_ms")?)?;
        Ok(if live { LSES_OK } else { absent() })
    })
}

/// Sets the absolute timeout of one session by its public id, counted from its creation; only earlier. LSES_ABSENT if it is
/// not live.
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID, also if that is later than it is
/// now. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_set_absolute_timeout(
    manager: *mut lses_manager,
    id: *const c_char,
    id_len: usize,
    absolute_timeout_ms: i64,
) -> lses_status {
    guard(|| {
        let open = open(manager)?;
        // SAFETY: the host passes a text with its length.
        let id = unsafe { session_id(id, id_len) }?;
        let live = open.core.set_absolute_timeout(id, duration(absolute_timeout_ms, "absolute_timeout_ms")?)?;
        Ok(if live { LSES_OK } else { absent() })
    })
}

/// Sets the idle timeout of all that match; paced as lses_manager_end_where().
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_set_idle_timeout_where(
    manager: *mut lses_manager,
    filter: *const lses_filter,
    idle_timeout_ms: i64,
    cursor: u64,
    limit: usize,
    out_progress: *mut lses_progress,
) -> lses_status {
    done(|| {
        // SAFETY: the host passes NULL or structs that begin with their sizes, and texts that last as long as the call.
        unsafe {
            let out = SizedOut::new(out_progress, "out_progress", false)?;
            let open = open(manager)?;
            let timeout = timeout(idle_timeout_ms, "idle_timeout_ms")?;
            let progress = open.core.set_idle_timeout_where(&read(filter)?.to_core()?, timeout, cursor, limit)?;
            out.set(&progress.into());
            Ok(())
        }
    })
}

/// How many sessions are live.
///
/// Threads: any. Does not block, may be called from a callback. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_count(manager: *mut lses_manager, out_count: *mut u64) -> lses_status {
    done(|| {
        let out = Out::required(out_count, "out_count")?;
        out.set(open(manager)?.core.count()?);
        Ok(())
    })
}

/// A page of live sessions from `cursor` on (0 to begin), at most `limit` (1 to 10,000), as JSON list in a buffer to free.
/// `out_next` (may be NULL) is the next page's cursor, 0 at the end. Each session is `{"id","state" ("new","active"),
/// "application","namespace","user","created_ms","created_at","last_used_ms","idle_timeout_ms","absolute_timeout_ms",
/// "deadline_ms","immortal","overdue","in_flight","holder","pool","features" (as lses_request_features()),"data_bytes","address",
/// "user_agent","referrer"}`; what is never, or not there, is null; `..._ms` is engine time or a duration, `created_at`
/// milliseconds since 1970.
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_list(
    manager: *mut lses_manager,
    filter: *const lses_filter,
    cursor: u64,
    limit: usize,
    out_json: *mut lses_buf,
    out_next: *mut u64,
) -> lses_status {
    done(|| {
        let out = Out::buf(out_json, "out_json")?;
        let open = open(manager)?;
        // SAFETY: the host passes NULL or a struct that begins with its size, and texts that last as long as the call.
        let filter = unsafe { read(filter)?.to_core() }?;
        let page = open.core.list(&filter, cursor, limit)?;
        out.fill(json::text(&list(page.sessions.iter().map(info_json))).as_bytes())?;
        Out::optional(out_next).set(page.next.unwrap_or(0));
        Ok(())
    })
}

/// Everything about one session, live or ended, by its public id, as JSON in a buffer to free: `{"id","live" (as in
/// lses_manager_list(), or null),"ended" (a receipt, or null),"requests":[{"started_ms","touch","lock","process"}],
/// "lock_waiters","extensions":[{"at_ms","class","by_ms"}],"event_classes":[{"namespace","name","registered"}],
/// "failures":[{"class","kind","text"}],"damaged","next":{"what","at_ms"},"trace":[text],"text"}`; `text` is what an
/// administrator reads. LSES_ABSENT if it is unknown.
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_explain(
    manager: *mut lses_manager,
    id: *const c_char,
    id_len: usize,
    out_json: *mut lses_buf,
) -> lses_status {
    guard(|| {
        let out = Out::buf(out_json, "out_json")?;
        let open = open(manager)?;
        // SAFETY: the host passes a text with its length.
        let Some(explain) = open.core.explain(unsafe { session_id(id, id_len) }?)? else { return Ok(absent()) };
        out.fill(json::text(&explain_json(&explain)).as_bytes())?;
        Ok(LSES_OK)
    })
}

/// Recounts everything; each violation of an invariant in words, as JSON list of texts in a buffer to free. Without a
/// defect it is empty.
///
/// Threads: any. Time in proportion to the live sessions; blocks nobody. May be called from a callback. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_check(manager: *mut lses_manager, out_json: *mut lses_buf) -> lses_status {
    done(|| {
        let out = Out::buf(out_json, "out_json")?;
        out.fill(json::text(&json::texts(&open(manager)?.core.check()?)).as_bytes())?;
        Ok(())
    })
}

/// The lifecycle log after position `after` (0: from the oldest that is kept), in the order of commits, at most `limit`
/// entries, as JSON list in a buffer to free: `[{"seq","at_ms","session_id","what","detail"}]`. The last `seq` is the next
/// call's `after`.
///
/// Threads: any. Does not block, may be called from a callback. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_lifecycle(
    manager: *mut lses_manager,
    after: u64,
    limit: usize,
    out_json: *mut lses_buf,
) -> lses_status {
    done(|| {
        let out = Out::buf(out_json, "out_json")?;
        let entries = open(manager)?.core.lifecycle(after, limit)?;
        out.fill(json::text(&list(entries.iter().map(log_json))).as_bytes())?;
        Ok(())
    })
}

/// Deliveries that did not succeed, after position `after` (0: from the oldest), at most `limit`, as JSON list in a buffer
/// to free: `[{"id","event_id","kind","session_id","class","namespace","application","reason","at_ms","attempts","error",
/// "completed_late","has_snapshot"}]`. The last `id` is the next call's `after`.
///
/// Threads: any. Does not block, may be called from a callback. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_dead_letters(
    manager: *mut lses_manager,
    after: u64,
    limit: usize,
    out_json: *mut lses_buf,
) -> lses_status {
    done(|| {
        let out = Out::buf(out_json, "out_json")?;
        let letters = open(manager)?.core.dead_letters(after, limit)?;
        out.fill(json::text(&list(letters.iter().map(dead_letter_json))).as_bytes())?;
        Ok(())
    })
}

/// Delivers a dead letter again, or with `id` 0 all of them; `out_count` (may be NULL) tells how many.
///
/// Threads: any. Does not block, may be called from a callback. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_redeliver(
    manager: *mut lses_manager,
    id: u64,
    out_count: *mut usize,
) -> lses_status {
    done(|| {
        let count = open(manager)?.core.redeliver((id != 0).then_some(id))?;
        Out::optional(out_count).set(count);
        Ok(())
    })
}

/// Ends what is due now, in the calling thread; `out_ended` (may be NULL) tells how many sessions. For tests, and for hosts
/// without threads.
///
/// Threads: any. Does not block, may be called from a callback. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_reap_now(manager: *mut lses_manager, out_ended: *mut usize) -> lses_status {
    done(|| {
        let ended = open(manager)?.core.reap_now()?;
        Out::optional(out_ended).set(ended);
        Ok(())
    })
}

/// Waits in real time until every callback is delivered, at most `timeout_ms`; `out_drained` (may be NULL) tells 1 if that
/// was reached, else 0.
///
/// Threads: any. Blocks. Errors: LSES_E_REENTRANT inside of a callback, LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_drain(
    manager: *mut lses_manager,
    timeout_ms: i64,
    out_drained: *mut i32,
) -> lses_status {
    done(|| {
        let drained = open(manager)?.core.drain(duration(timeout_ms, "timeout_ms")?)?;
        Out::optional(out_drained).set(drained.into());
        Ok(())
    })
}

/// For a manager without threads: does what is due, delivers what waits, and tells in `out_next_ms` (may be NULL) when to
/// call again at the latest; LSES_UNSET if nothing is due.
///
/// Threads: any, one at a time. Blocks as long as the callbacks run. Errors: LSES_E_REENTRANT inside of a callback. Since
/// 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_tick(manager: *mut lses_manager, out_next_ms: *mut i64) -> lses_status {
    done(|| {
        let next = open(manager)?.core.tick()?;
        Out::optional(out_next_ms).set(next.map_or(LSES_UNSET, ms));
        Ok(())
    })
}

/// In poll mode: delivers at most `max` events in the calling thread and waits up to `timeout_ms` for the first (0 does not
/// wait). `out_delivered` (may be NULL) tells how many.
///
/// Threads: any. Blocks as long as the callbacks run. Errors: LSES_E_REENTRANT inside of a callback, LSES_E_INVALID. Since
/// 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_dispatch(
    manager: *mut lses_manager,
    max: usize,
    timeout_ms: i64,
    out_delivered: *mut usize,
) -> lses_status {
    done(|| {
        let open = open(manager)?;
        let timeout = duration(timeout_ms, "timeout_ms")?;
        let bell = open.bell();
        if let Some(bell) = &bell {
            bell.hush();
        }
        let delivered = open.core.dispatch(max, timeout);
        // What was left over, or could not be looked at, is still to be dispatched; after a close nothing is.
        if let Some(bell) = &bell
            && delivered.as_ref().map_or_else(|error| error.kind() != ErrorKind::Closed, |delivered| *delivered >= max)
        {
            bell.ring();
        }
        Out::optional(out_delivered).set(delivered?);
        Ok(())
    })
}

/// In poll mode: a file descriptor that is readable while there may be something to dispatch, for poll(), epoll and event
/// loops. It belongs to the manager: don't read from it and don't close it. Once the manager is closed it is not readable
/// after an lses_manager_dispatch(); after the last lses_manager_free() it is closed, so take it out of the loop before. In
/// the child of a fork ask again: the parent's is the parent's.
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_UNAVAILABLE without a descriptor. Since
/// 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_event_fd(manager: *mut lses_manager, out_fd: *mut i32) -> lses_status {
    done(|| {
        let out = Out::required(out_fd, "out_fd")?;
        let open = open(manager)?;
        let _one = lock(&handle::tables().changing);
        let bell = match open.bell() {
            Some(bell) => bell,
            None => {
                let bell = Bell::of(&open.core)?;
                let new = Arc::clone(&bell);
                let old = unforked(|| lock(&open.bell).replace(new));
                drop(old);
                bell
            }
        };
        out.set(bell.fd());
        Ok(())
    })
}

/// Engine time in milliseconds: the clock that deadlines run on.
///
/// Threads: any. Does not block, may be called from a callback. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_now(manager: *mut lses_manager, out_ms: *mut u64) -> lses_status {
    done(|| {
        let out = Out::required(out_ms, "out_ms")?;
        out.set(open(manager)?.core.clock().now().ms);
        Ok(())
    })
}

/// For tests (manual clock, or `debug`): makes a session's data unreadable. LSES_ABSENT if it is not live.
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_damage(
    manager: *mut lses_manager,
    id: *const c_char,
    id_len: usize,
) -> lses_status {
    guard(|| {
        let open = open(manager)?;
        // SAFETY: the host passes a text with its length.
        let live = open.core.damage(unsafe { session_id(id, id_len) }?)?;
        Ok(if live { LSES_OK } else { absent() })
    })
}

/// For tests (manual clock, or `debug`): stalls the reaper (1) until it is called with 0.
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_stall_reaper(manager: *mut lses_manager, stall: i32) -> lses_status {
    done(|| open(manager)?.core.stall_reaper(flag(stall, "stall")?))
}
