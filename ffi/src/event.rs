//! Event classes: tables of callbacks, and what a callback is told.

use std::ffi::{c_char, c_void};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use libsession_core::event::{Attempt, Event, EventClass, EventHandler, Reply, ReplyWatch, Verdict};
use libsession_core::{Error, EventKind, LicenseClass, Result};

use crate::bytes::{
    LSES_UNSET, Out, Sized32, check_size, flag, lses_buf, lses_str, member, ms, optional_duration, optional_ms, read,
    text,
};
use crate::config::choice;
use crate::guard::done;
use crate::handle::{self, Table, Tables, Tenant, lock};
use crate::manager::{lses_manager, open};
use crate::request::lses_request;
use crate::status::{lses_status, save};
use crate::user_data::{Escape, UserData, lses_drop_fn};
use crate::value::{ValueOut, lses_subscript, lses_value, path_of};

/// What a callback returns: go on. Of `on_expiring`: no extension.
pub const LSES_ALLOW: i32 = 0;
/// What a deciding callback returns: refuse; lses_event_say() can give a text for the caller.
pub const LSES_DENY: i32 = 1;
/// What `on_expiring` returns: live longer, by as much as it wrote to `extend_ms`.
pub const LSES_EXTEND: i32 = 2;
/// What a callback returns when it failed; lses_event_say() can give a text for the record. So does any other number.
pub const LSES_FAILED: i32 = -1;

/// What a callback is told. It and everything in it is valid during the call only.
#[repr(C)]
#[allow(non_camel_case_types)]
pub struct lses_event {
    /// sizeof(lses_event) of the library.
    pub size: usize,
    /// The library's; names the event in the functions lses_event_...
    pub handle: u64,
    /// The same in every redelivery of the same event.
    pub event_id: u64,
    /// What happened (LSES_EVENT_...).
    pub kind: u32,
    /// Why it ended, if it did or is about to (LSES_REASON_...); else 0.
    pub reason: u32,
    /// How strongly it was ended (LSES_LEVEL_...), or 0.
    pub level: u32,
    /// Which kind of thread caused it (LSES_THREAD_...).
    pub thread: u32,
    /// Which delivery of this event this is: 1 for the first.
    pub attempt: u32,
    /// 1 if it was delivered before: by hand, or by a process that died.
    pub redelivered: u32,
    /// The session's public id; data NULL in a pool event.
    pub session_id: lses_str,
    /// The session's application; for `on_application_change` the new one.
    pub application: lses_str,
    /// For `on_application_change`: the application it leaves.
    pub old_application: lses_str,
    /// The session's namespace.
    pub name_space: lses_str,
    /// The user; for `on_login` the new one.
    pub user: lses_str,
    /// For `on_login` and `on_logout`: the user before.
    pub old_user: lses_str,
    /// For pool events and `on_license_denied`: the pool.
    pub pool: lses_str,
    /// Units of that pool in use.
    pub in_use: u64,
    /// Units of that pool there are.
    pub capacity: u64,
    /// For `on_expiring`: time until the deadline; else LSES_UNSET.
    pub remaining_ms: i64,
    /// Engine time at which it happened.
    pub at_ms: u64,
    /// Wall time at which it happened, milliseconds since 1970.
    pub wall_ms: i64,
    /// For deciders: the request or draft that they act under, borrowed; else NULL. What they set on it is the request's.
    pub request: *mut lses_request,
}

/// A callback: returns LSES_ALLOW, or LSES_DENY where it decides, or LSES_FAILED. Runs on a dispatcher thread, on the
/// thread of the call that caused it (deciders nested in a callback; mode `inline`), or in lses_manager_dispatch(); several
/// at a time, but those of one session one after the other. It may call every function of this library that does not say
/// otherwise. Must not throw, longjmp out of itself or end its thread, in any mode. A callback that forks has its child leave
/// with _exit() or exec; a child that returns from a callback on a dispatcher thread ends there, as by exit(0).
#[allow(non_camel_case_types)]
pub type lses_event_fn = Option<unsafe extern "C-unwind" fn(user_data: *mut c_void, event: *const lses_event) -> i32>;

/// As lses_event_fn; to extend the session it writes a duration to `extend_ms` and returns LSES_EXTEND.
#[allow(non_camel_case_types)]
pub type lses_expiring_fn =
    Option<unsafe extern "C-unwind" fn(user_data: *mut c_void, event: *const lses_event, extend_ms: *mut i64) -> i32>;

/// An event class: a set of callbacks, each of which may be NULL. Begin with LSES_EVENT_CLASS_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct lses_event_class {
    /// sizeof(lses_event_class).
    pub size: usize,
    /// The first argument of every callback.
    pub user_data: *mut c_void,
    /// Called with `user_data` exactly once, when no callback will run any more: after lses_manager_unregister(), after the
    /// manager is gone, or in lses_manager_register() if that fails. May be NULL.
    pub drop_user_data: lses_drop_fn,
    /// How long one callback may take. Default: the manager's callback deadline.
    pub deadline_ms: i64,
    /// LSES_YES, in profile `iris`: `on_timeout` and `on_end` are called at the asking point, where
    /// lses_event_set_end_session() extends. 0: LSES_NO.
    pub compat_veto: u32,
    /// 0.
    pub reserved: u32,
    /// A session starts; may refuse it.
    pub on_start: lses_event_fn,
    /// The deadline comes near; may extend the session.
    pub on_expiring: lses_expiring_fn,
    /// The session timed out.
    pub on_timeout: lses_event_fn,
    /// The session ended.
    pub on_end: lses_event_fn,
    /// A request names another application; may refuse it.
    pub on_application_change: lses_event_fn,
    /// A user logs in; may refuse it.
    pub on_login: lses_event_fn,
    /// The user logs out; may refuse it.
    pub on_logout: lses_event_fn,
    /// A request began.
    pub on_start_request: lses_event_fn,
    /// A request finished.
    pub on_end_request: lses_event_fn,
    /// A creation is refused for want of a license unit; `on_end` follows. A session that lives on is told nothing: who logs in,
    /// trades, writes or takes a feature learns it by the answer, and administrators by the accounts.
    pub on_license_denied: lses_event_fn,
    /// The process that a session was pinned to died.
    pub on_context_lost: lses_event_fn,
    /// A pool runs low.
    pub on_pool_low: lses_event_fn,
    /// A pool is exhausted; or it left its overdraft, with fewer units available than `recovered`.
    pub on_pool_exhausted: lses_event_fn,
    /// A pool has units again.
    pub on_pool_recovered: lses_event_fn,
    /// A pool entered its overdraft.
    pub on_pool_overdraft: lses_event_fn,
}

// SAFETY: repr(C), ends on 8 bytes without padding, and any bits are numbers, pointers or nullable functions.
unsafe impl Sized32 for lses_event_class {
    const NAME: &'static str = "lses_event_class";
    const FIRST: usize = size_of::<Self>();

    fn unset() -> Self {
        Self {
            size: size_of::<Self>(),
            user_data: std::ptr::null_mut(),
            drop_user_data: None,
            deadline_ms: LSES_UNSET,
            compat_veto: 0,
            reserved: 0,
            on_start: None,
            on_expiring: None,
            on_timeout: None,
            on_end: None,
            on_application_change: None,
            on_login: None,
            on_logout: None,
            on_start_request: None,
            on_end_request: None,
            on_license_denied: None,
            on_context_lost: None,
            on_pool_low: None,
            on_pool_exhausted: None,
            on_pool_recovered: None,
            on_pool_overdraft: None,
        }
    }
}

impl lses_event_class {
    /// The callback for a kind, but for `on_expiring`, which has another type.
    fn callback(&self, kind: EventKind) -> lses_event_fn {
        match kind {
            EventKind::Expiring => None,
            EventKind::Start => self.on_start,
            EventKind::Timeout => self.on_timeout,
            EventKind::End => self.on_end,
            EventKind::ApplicationChange => self.on_application_change,
            EventKind::Login => self.on_login,
            EventKind::Logout => self.on_logout,
            EventKind::StartRequest => self.on_start_request,
            EventKind::EndRequest => self.on_end_request,
            EventKind::LicenseDenied => self.on_license_denied,
            EventKind::ContextLost => self.on_context_lost,
            EventKind::PoolLow => self.on_pool_low,
            EventKind::PoolExhausted => self.on_pool_exhausted,
            EventKind::PoolRecovered => self.on_pool_recovered,
            EventKind::PoolOverdraft => self.on_pool_overdraft,
            _ => None,
        }
    }
}

/// A registered event class.
pub(crate) struct Class {
    name: String,
    table: lses_event_class,
    user_data: Mutex<Option<UserData>>,
    released: AtomicBool,
    running: AtomicUsize,
}

// SAFETY: the host is told that its callbacks are called on any thread, several at a time, with this user data.
unsafe impl Send for Class {}
// SAFETY: as above.
unsafe impl Sync for Class {}

impl Class {
    /// No callback begins any more; the user data is dropped, by the last callback if one runs.
    pub(crate) fn release(&self) {
        self.released.store(true, Ordering::SeqCst);
        self.drop_if_unused();
    }

    fn drop_if_unused(&self) {
        if self.released.load(Ordering::SeqCst) && self.running.load(Ordering::SeqCst) == 0 {
            let user_data = lock(&self.user_data).take();
            drop(user_data);
        }
    }

    /// Calls the host; the number that it returned, and the text that it gave.
    fn ask(
        &self,
        event: &Arc<Event>,
        attempt: Attempt,
        watch: ReplyWatch,
        extend_ms: &mut i64,
    ) -> Result<(i32, Option<String>)> {
        let telling = Telling { event: Arc::clone(event), watch, said: Mutex::default() };
        let texts = Texts::of(event);
        let handle = Lent(handle::insert::<_, c_void>(telling)?);
        let request = match &event.request {
            Some(request) => Some(LentRequest(handle::insert(request.clone())?)),
            None => None,
        };
        let mut told = texts.event(event, attempt);
        told.handle = handle.0.addr() as u64;
        told.request = request.as_ref().map_or(std::ptr::null_mut(), |request| request.0);
        let saved = save();
        let escape = Escape::from(event.kind.name(), &self.name);
        // SAFETY: the host passed these functions for this user data, which is there until no callback runs; the event and
        // what it points to outlives the call.
        let answer = unsafe {
            match (event.kind, self.table.on_expiring, self.table.callback(event.kind)) {
                (EventKind::Expiring, Some(call), _) => call(self.table.user_data, &raw const told, extend_ms),
                (_, _, Some(call)) => call(self.table.user_data, &raw const told),
                _ => LSES_ALLOW,
            }
        };
        escape.returned();
        drop(saved);
        let said = lock(&handle::pin::<Telling, _>(handle.0)?.said).take();
        Ok((answer, said))
    }
}

/// Counts a callback of a class while it runs.
struct Running<'a>(&'a Class);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
        self.0.drop_if_unused();
    }
}

impl EventHandler for Class {
    fn handles(&self, kind: EventKind) -> bool {
        match kind {
            EventKind::Expiring => self.table.on_expiring.is_some(),
            _ => self.table.callback(kind).is_some(),
        }
    }

    fn call(&self, event: &Arc<Event>, attempt: Attempt, reply: Reply) {
        self.running.fetch_add(1, Ordering::SeqCst);
        let _running = Running(self);
        let Some(_exit) = crate::exit::enter() else { return reply.fail("the process is ending") };
        if self.released.load(Ordering::SeqCst) {
            return reply.fail("the event class was unregistered");
        }
        let mut extend_ms = 0;
        match self.ask(event, attempt, reply.watch(), &mut extend_ms) {
            Ok((answer, said)) => answer_with(reply, event.kind, answer, said, extend_ms),
            Err(error) => reply.fail(error.message()),
        }
    }
}

fn answer_with(reply: Reply, kind: EventKind, answer: i32, said: Option<String>, extend_ms: i64) {
    match answer {
        LSES_ALLOW => reply.verdict(Verdict::Allow),
        LSES_DENY if kind.decides() => reply.verdict(Verdict::Deny(said.unwrap_or_default())),
        LSES_EXTEND if kind == EventKind::Expiring => match u64::try_from(extend_ms) {
            Ok(ms) => reply.verdict(Verdict::Extend(Duration::from_millis(ms))),
            Err(_) => reply.fail(format!("on_expiring wanted to extend by {extend_ms} ms")),
        },
        _ => reply.fail(said.unwrap_or_else(|| format!("{kind} returned {answer}"))),
    }
}

/// An event while its callback runs.
pub(crate) struct Telling {
    event: Arc<Event>,
    watch: ReplyWatch,
    said: Mutex<Option<String>>,
}

impl Tenant for Telling {
    const KIND: u64 = 5;
    const NAME: &'static str = "event";
    const COUNTERS: usize = 1;

    fn table(tables: &Tables) -> &Table<Self> {
        &tables.events
    }
}

/// The handle of an event; freed when the callback returned.
struct Lent(*mut c_void);

impl Drop for Lent {
    fn drop(&mut self) {
        drop(handle::remove::<Telling, _>(self.0));
    }
}

/// The handle of a decider's request; freed when the callback returned.
struct LentRequest(*mut lses_request);

impl Drop for LentRequest {
    fn drop(&mut self) {
        drop(handle::remove::<libsession_core::Request, _>(self.0));
    }
}

/// The texts of an event, each with a NUL behind it.
struct Texts {
    bytes: Vec<u8>,
    places: [Option<(usize, usize)>; 7],
}

impl Texts {
    fn of(event: &Event) -> Self {
        let id = (event.session_id != libsession_core::SessionId::NIL).then(|| event.session_id.to_string());
        let pool = event.pool.as_ref();
        let texts = [
            id.as_deref(),
            Some(event.application.as_ref()),
            event.old_application.as_deref(),
            Some(event.namespace.as_ref()),
            event.user.as_deref(),
            event.old_user.as_deref(),
            pool.map(|pool| pool.pool.as_ref()),
        ];
        let mut bytes = Vec::with_capacity(texts.iter().flatten().map(|text| text.len() + 1).sum());
        let places = texts.map(|text| {
            text.map(|text| {
                let at = bytes.len();
                bytes.extend_from_slice(text.as_bytes());
                bytes.push(0);
                (at, text.len())
            })
        });
        Self { bytes, places }
    }

    fn text(&self, index: usize) -> lses_str {
        match self.places[index] {
            Some((at, len)) => lses_str { data: self.bytes[at..].as_ptr().cast(), len },
            None => lses_str::default(),
        }
    }

    fn event(&self, event: &Event, attempt: Attempt) -> lses_event {
        let pool = event.pool.as_ref();
        lses_event {
            size: size_of::<lses_event>(),
            handle: 0,
            event_id: event.event_id,
            kind: event.kind.code(),
            reason: event.reason.map_or(0, |reason| reason.code()),
            level: event.level.map_or(0, |level| level.code()),
            thread: event.thread.code(),
            attempt: attempt.number,
            redelivered: attempt.redelivered.into(),
            session_id: self.text(0),
            application: self.text(1),
            old_application: self.text(2),
            name_space: self.text(3),
            user: self.text(4),
            old_user: self.text(5),
            pool: self.text(6),
            in_use: pool.map_or(0, |pool| pool.in_use),
            capacity: pool.map_or(0, |pool| pool.capacity),
            remaining_ms: optional_ms(event.remaining),
            at_ms: event.at_ms,
            wall_ms: event.wall_ms,
            request: std::ptr::null_mut(),
        }
    }
}

/// What an event class gives away, readable or not: its size only has to say that it is there.
///
/// # Safety
/// As [`read`], and not NULL.
unsafe fn owned(event_class: *const lses_event_class) -> Option<UserData> {
    // SAFETY: the caller passes a struct that begins with its size, which says what else is there.
    unsafe {
        check_size::<lses_event_class>(event_class.cast::<usize>().read_unaligned()).ok()?;
        let user_data = (&raw const (*event_class).user_data).read_unaligned();
        Some(UserData::new(user_data, (&raw const (*event_class).drop_user_data).read_unaligned()))
    }
}

/// Registers an event class in this process under a name (1 to 128 bytes) and a namespace (at most 128 bytes; NULL is the
/// empty one). `event_class` is copied; its `drop_user_data` is called exactly once, also if this fails (but not if
/// `event_class` itself can't be read: NULL, or its size is out of bounds).
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_EXISTS, LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_register(
    manager: *mut lses_manager,
    name: *const c_char,
    name_len: usize,
    name_space: *const c_char,
    name_space_len: usize,
    event_class: *const lses_event_class,
) -> lses_status {
    done(|| {
        if event_class.is_null() {
            return Err(Error::invalid("the event class is NULL"));
        }
        // SAFETY: the host passes a struct that begins with its size.
        let user_data = unsafe { owned(event_class) };
        // SAFETY: as above.
        let table = unsafe { read(event_class) }?;
        let open = open(manager)?;
        // SAFETY: the host passes texts with their lengths.
        let (name, name_space) = unsafe {
            let name = text(name, name_len, "event class")?;
            (name.to_string(), crate::bytes::optional_text(name_space, name_space_len, "namespace")?.unwrap_or(""))
        };
        let class = Arc::new(Class {
            name: name.clone(),
            table,
            user_data: Mutex::new(user_data),
            released: AtomicBool::new(false),
            running: AtomicUsize::new(0),
        });
        let compat_veto = choice(table.compat_veto, "compat_veto")?.unwrap_or(false);
        let handler: Arc<dyn EventHandler> = Arc::clone(&class) as _;
        let deadline = optional_duration(table.deadline_ms, "deadline_ms")?;
        let key = (name_space.to_string(), name.clone());
        // Held while registering, so that unregistering the same name meanwhile finds this class.
        let _one = lock(&handle::tables().changing);
        open.core.register(EventClass { name, namespace: key.0.clone(), handler, deadline, compat_veto })?;
        let old = open.classes(|classes| classes.insert(key, class));
        drop(old);
        Ok(())
    })
}

/// Unregisters an event class; no callback of it begins any more. Returns when none runs any more and its `drop_user_data`
/// was called. One that overran its deadline is not waited for: then `drop_user_data` is called when that returns, and
/// before that what it uses must stay. `out_existed` (may be NULL) tells 1 if it was there, else 0.
///
/// Threads: any. Blocks for running callbacks, at most their deadlines. Errors: LSES_E_REENTRANT inside of one of its callbacks, LSES_E_INVALID.
/// Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_manager_unregister(
    manager: *mut lses_manager,
    name: *const c_char,
    name_len: usize,
    name_space: *const c_char,
    name_space_len: usize,
    out_existed: *mut i32,
) -> lses_status {
    done(|| {
        let open = open(manager)?;
        // SAFETY: the host passes texts with their lengths.
        let (name, name_space) = unsafe {
            let name = text(name, name_len, "event class")?;
            (name, crate::bytes::optional_text(name_space, name_space_len, "namespace")?.unwrap_or(""))
        };
        let key = (name_space.to_string(), name.to_string());
        let known = {
            let _one = lock(&handle::tables().changing);
            open.classes(|classes| classes.get(&key).cloned())
        };
        let existed = open.core.unregister(name, name_space)?;
        if existed && let Some(class) = known {
            let removed = open.classes(|classes| {
                let same = classes.get(&key).is_some_and(|present| Arc::ptr_eq(present, &class));
                if same { classes.remove(&key) } else { None }
            });
            drop(removed);
            class.release();
        }
        Out::optional(out_existed).set(existed.into());
        Ok(())
    })
}

/// The event that a callback was given.
///
/// # Safety
/// `event` is NULL or begins as [`lses_event`] does.
unsafe fn telling(event: *const lses_event) -> Result<handle::Pinned<Telling>> {
    if event.is_null() {
        return Err(Error::invalid("the event is NULL"));
    }
    // SAFETY: as the caller says.
    let number = unsafe { (&raw const (*event).handle).read_unaligned() };
    handle::pin::<Telling, c_void>(std::ptr::without_provenance(number as usize))
}

/// Gives a text for the caller of what is denied, or for the record of what failed.
///
/// Threads: any, while the callback runs. Does not block. Errors: LSES_E_STALE_HANDLE after that, LSES_E_INVALID. Since
/// 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_event_say(event: *const lses_event, say: *const c_char, say_len: usize) -> lses_status {
    done(|| {
        // SAFETY: the host passes a callback's event, and a text with its length.
        let (telling, say) = unsafe { (telling(event)?, text(say, say_len, "text")?) };
        *lock(&telling.said) = Some(say.to_string());
        Ok(())
    })
}

/// Reads a value of the session's data as it was when the event happened; as lses_request_get().
///
/// Threads: any, while the callback runs. Does not block. Errors: LSES_E_CORRUPT if the data can't be read,
/// LSES_E_STALE_HANDLE after the callback, LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_event_get(
    event: *const lses_event,
    path: *const lses_subscript,
    path_len: usize,
    out_value: *mut lses_value,
    out_buf: *mut lses_buf,
) -> lses_status {
    done(|| {
        let out = ValueOut::new(out_value, out_buf)?;
        // SAFETY: the host passes a callback's event, and subscripts with their texts.
        let (telling, path) = unsafe { (telling(event)?, path_of(path, path_len)?) };
        out.set(telling.event.data()?.get(&path))
    })
}

/// The session's data as it was when the event happened, as lses_request_entries() of all: a JSON list of [path, value] in
/// a buffer to free.
///
/// Threads, errors: as lses_event_get(). Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_event_data(event: *const lses_event, out_json: *mut lses_buf) -> lses_status {
    done(|| {
        let out = Out::buf(out_json, "out_json")?;
        // SAFETY: the host passes a callback's event.
        let telling = unsafe { telling(event) }?;
        out.fill(libsession_core::data::tree_to_json(telling.event.data()?).as_bytes())?;
        Ok(())
    })
}

/// In `on_start`: charges the session under this license class (LSES_LICENSE_CLASS_...) instead of its application's.
///
/// Threads: any, while the callback runs. Does not block. Errors: LSES_E_STALE_HANDLE, LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_event_set_license_class(event: *const lses_event, license_class: u32) -> lses_status {
    done(|| {
        let class = member(LicenseClass::from_code(license_class), "license_class", license_class)?;
        // SAFETY: the host passes a callback's event.
        unsafe { telling(event) }?.event.set_license_class(class);
        Ok(())
    })
}

/// In `on_timeout` and `on_end` of a class with `compat_veto`, at the asking point: 0 asks for an extension within the
/// budget, as `%session.EndSession = 0` does. Anywhere else it has no effect.
///
/// Threads: any, while the callback runs. Does not block. Errors: LSES_E_STALE_HANDLE, LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_event_set_end_session(event: *const lses_event, end_session: i32) -> lses_status {
    done(|| {
        let end = flag(end_session, "end_session")?;
        // SAFETY: the host passes a callback's event.
        unsafe { telling(event) }?.event.set_end_session(end);
        Ok(())
    })
}

/// Time until the callback's deadline.
///
/// Threads: any, while the callback runs. Does not block. Errors: LSES_E_STALE_HANDLE. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_event_time_left(event: *const lses_event, out_left_ms: *mut i64) -> lses_status {
    done(|| {
        let out = Out::required(out_left_ms, "out_left_ms")?;
        // SAFETY: the host passes a callback's event.
        out.set(ms(unsafe { telling(event) }?.watch.time_left()));
        Ok(())
    })
}

/// For tests under a manual clock: this callback is going to hang, so that lses_clock_advance() need not wait for it in
/// real time.
///
/// Threads: any, while the callback runs. Does not block. Errors: LSES_E_STALE_HANDLE. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_event_hang(event: *const lses_event) -> lses_status {
    done(|| {
        // SAFETY: the host passes a callback's event.
        unsafe { telling(event) }?.watch.hang();
        Ok(())
    })
}
