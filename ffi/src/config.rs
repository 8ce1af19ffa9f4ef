//! What a manager is opened with: an opaque builder, and transparent applications.

use std::ffi::c_char;
use std::sync::Mutex;

use libsession_core::config::{Application, Config, Profile};
use libsession_core::event::DispatchMode;
use libsession_core::{ApplicationTimeout, Clock, Durability, Error, LazyUntil, LicenseClass, LockMode, Result};

use crate::bytes::{LSES_UNSET, Out, Sized32, duration, flag, lses_str, member, optional_member, read, text, timeout};
use crate::clock::{Hands, lses_clock};
use crate::guard::{done, quiet};
use crate::handle::{self, Table, Tables, Tenant, lock};
use crate::names::{LSES_DISPATCH_INLINE, LSES_DISPATCH_POLL, LSES_DISPATCH_THREAD};
use crate::status::lses_status;

/// What a manager is opened with. Everything has a default; bounds are checked by lses_manager_new(), which copies it.
/// Any thread may use it at any time.
#[allow(non_camel_case_types)]
pub struct lses_config {
    _handle: [u8; 0],
}

/// A configuration in the making.
pub(crate) struct Draft(pub Mutex<Config>);

impl Tenant for Draft {
    const KIND: u64 = 1;
    const NAME: &'static str = "config";
    const COUNTERS: usize = 1;

    fn table(tables: &Tables) -> &Table<Self> {
        &tables.configs
    }
}

/// Yes, where an option or a filter can be left open by 0.
pub const LSES_YES: u32 = 1;
/// No, where an option or a filter can be left open by 0.
pub const LSES_NO: u32 = 2;

/// 0 leaves it open. Errors: `invalid`.
pub(crate) fn choice(value: u32, what: &str) -> Result<Option<bool>> {
    match value {
        0 => Ok(None),
        LSES_YES => Ok(Some(true)),
        LSES_NO => Ok(Some(false)),
        _ => Err(Error::invalid(format!("{what} {value} is none of 0, LSES_YES, LSES_NO"))),
    }
}

/// An application: a named part of a product with its own defaults. Begin with LSES_APPLICATION_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct lses_application {
    /// sizeof(lses_application).
    pub size: usize,
    /// Its name: 1 to 128 bytes.
    pub name: lses_str,
    /// The namespace of its sessions and event classes: at most 128 bytes. Default empty.
    pub name_space: lses_str,
    /// The pool its sessions are charged to. Default: the manager's only pool, if there is exactly one.
    pub pool: lses_str,
    /// The event classes its sessions start with, first called first.
    pub event_classes: *const lses_str,
    /// How many.
    pub event_class_count: usize,
    /// Those of `event_classes` that a decision needs: where one is not registered, the answer is DENY.
    pub required_event_classes: *const lses_str,
    /// How many.
    pub required_event_class_count: usize,
    /// Longest silence in ms; 0 is never. Default 900,000.
    pub idle_timeout_ms: i64,
    /// Longest life in ms; 0 is never. Default: the profile's (24 h, in `iris` never).
    pub absolute_timeout_ms: i64,
    /// Most live sessions of this application. Default: the manager's.
    pub max_sessions: i64,
    /// Extensions in a row without user activity. Default: the profile's (0, in `iris` 3).
    pub max_extensions: i64,
    /// The longest single extension in ms. Default 900,000.
    pub extension_cap_ms: i64,
    /// How many ms before the deadline `on_expiring` is asked, at most half the timeout. Default 5,000.
    pub ask_lead_ms: i64,
    /// How its sessions are charged (LSES_LICENSE_CLASS_...). 0: `named` where a pool is configured, else `none`.
    pub license_class: u32,
    /// The lock of a request that names none (LSES_LOCK_...). 0: `exclusive`.
    pub lock: u32,
    /// The timeout of a session that enters from another application (LSES_APPLICATION_TIMEOUT_...). 0: `keep`.
    pub timeout_on_application_change: u32,
    /// Whether sessions may be created in it and enter it. 0: LSES_YES.
    pub enabled: u32,
    /// Whether lses_manager_end_where() spares its sessions. 0: LSES_NO.
    pub protected_from_bulk_end: u32,
    /// Whether a session that enters also gets this application's event classes. 0: LSES_NO.
    pub event_classes_on_entry: u32,
    /// Whether its sessions keep a trace that lses_manager_explain() prints. 0: the manager's `debug`.
    pub debug: u32,
    /// 0.
    pub reserved: u32,
    /// When a session of class LSES_LICENSE_CLASS_LAZY takes its unit (LSES_LAZY_UNTIL_...), decided when it is created. 0: `login`.
    pub lazy_until: u32,
    /// Whether a `lazy` session of a crawler or a health check takes a unit by a login only, never by a request or a write:
    /// told by `user_agent` when it is created; sessions of other classes don't ask. 0: LSES_YES.
    pub detect_crawlers: u32,
    /// What else is in the user agents of crawlers and health checks: at most 1,000 texts of 1 to 256 bytes, compared without
    /// regard to the case of ASCII letters.
    pub crawlers: *const lses_str,
    /// How many.
    pub crawler_count: usize,
    /// Longest silence in ms of sessions of class `anonymous`, as long as they are: a login that makes one named gives it
    /// `idle_timeout_ms`; a session whose own was set keeps that. More than 0. Default: `idle_timeout_ms`.
    pub anonymous_idle_timeout_ms: i64,
}

// SAFETY: repr(C), ends on 8 bytes without padding (asserted in `layout`), and any bits are numbers or pointers.
unsafe impl Sized32 for lses_application {
    const NAME: &'static str = "lses_application";
    const FIRST: usize = std::mem::offset_of!(Self, lazy_until);

    fn unset() -> Self {
        Self {
            size: size_of::<Self>(),
            name: lses_str::default(),
            name_space: lses_str::default(),
            pool: lses_str::default(),
            event_classes: std::ptr::null(),
            event_class_count: 0,
            required_event_classes: std::ptr::null(),
            required_event_class_count: 0,
            idle_timeout_ms: LSES_UNSET,
            absolute_timeout_ms: LSES_UNSET,
            max_sessions: LSES_UNSET,
            max_extensions: LSES_UNSET,
            extension_cap_ms: LSES_UNSET,
            ask_lead_ms: LSES_UNSET,
            license_class: 0,
            lock: 0,
            timeout_on_application_change: 0,
            enabled: 0,
            protected_from_bulk_end: 0,
            event_classes_on_entry: 0,
            debug: 0,
            reserved: 0,
            lazy_until: 0,
            detect_crawlers: 0,
            crawlers: std::ptr::null(),
            crawler_count: 0,
            anonymous_idle_timeout_ms: LSES_UNSET,
        }
    }
}

/// A count that may be unset. Errors: `invalid`.
pub(crate) fn optional_count<N: TryFrom<i64>>(value: i64, what: &str) -> Result<Option<N>> {
    if value == LSES_UNSET {
        return Ok(None);
    }
    let out_of_bounds = |_| {
        // Positive ones are too large for 32 bits alone.
        let bound = if value < 0 { "below 0".to_owned() } else { format!("over the bound of {}", u32::MAX) };
        Error::invalid(format!("{what} {value} is {bound}"))
    };
    N::try_from(value).map(Some).map_err(out_of_bounds)
}

/// A list of texts of the host.
///
/// # Safety
/// `list` is NULL or has `count` texts, each as in [`crate::bytes::bytes`].
pub(crate) unsafe fn texts(list: *const lses_str, count: usize, what: &str) -> Result<Vec<String>> {
    if count == 0 {
        return Ok(Vec::new());
    }
    if list.is_null() {
        return Err(Error::invalid(format!("the list of {what} is NULL")));
    }
    if count > 10_000 {
        return Err(Error::invalid(format!("{count} {what} are over the bound of 10000")));
    }
    let mut all = Vec::new();
    for at in 0..count {
        // SAFETY: the host passes `count` texts.
        let text = unsafe { (*list.add(at)).owned(what) }?;
        all.push(text.ok_or_else(|| Error::invalid(format!("one of the {what} is NULL")))?);
    }
    Ok(all)
}

/// The groups of a user, if the host gives a list, which may be empty.
///
/// # Safety
/// As [`texts`].
pub(crate) unsafe fn groups(list: *const lses_str, count: usize) -> Result<Option<Vec<String>>> {
    if list.is_null() && count == 0 {
        return Ok(None);
    }
    // SAFETY: as the caller says.
    unsafe { texts(list, count, "groups") }.map(Some)
}

impl lses_application {
    /// # Safety
    /// Its texts are as in [`crate::bytes::bytes`].
    unsafe fn to_core(self) -> Result<Application> {
        // SAFETY: as the caller says.
        unsafe {
            let mut application = Application::new(self.name.owned("name of the application")?.unwrap_or_default());
            application.namespace = self.name_space.owned("namespace")?.unwrap_or_default();
            application.pool = self.pool.owned("pool")?;
            application.event_classes = texts(self.event_classes, self.event_class_count, "event classes")?;
            application.required_event_classes =
                texts(self.required_event_classes, self.required_event_class_count, "required event classes")?;
            if self.idle_timeout_ms != LSES_UNSET {
                application.idle_timeout = timeout(self.idle_timeout_ms, "idle_timeout_ms")?;
            }
            if self.absolute_timeout_ms != LSES_UNSET {
                application.absolute_timeout = Some(timeout(self.absolute_timeout_ms, "absolute_timeout_ms")?);
            }
            application.max_sessions = optional_count(self.max_sessions, "max_sessions")?;
            application.max_extensions = optional_count(self.max_extensions, "max_extensions")?;
            if self.extension_cap_ms != LSES_UNSET {
                application.extension_cap = duration(self.extension_cap_ms, "extension_cap_ms")?;
            }
            if self.ask_lead_ms != LSES_UNSET {
                application.ask_lead = duration(self.ask_lead_ms, "ask_lead_ms")?;
            }
            application.license_class = optional_member(LicenseClass::from_code, "license_class", self.license_class)?;
            if let Some(until) = optional_member(LazyUntil::from_code, "lazy_until", self.lazy_until)? {
                application.lazy_until = until;
            }
            application.detect_crawlers = choice(self.detect_crawlers, "detect_crawlers")?.unwrap_or(true);
            application.crawlers = texts(self.crawlers, self.crawler_count, "crawlers")?;
            if self.anonymous_idle_timeout_ms != LSES_UNSET {
                let own = duration(self.anonymous_idle_timeout_ms, "anonymous_idle_timeout_ms")?;
                application.anonymous_idle_timeout = Some(own);
            }
            if let Some(lock) = optional_member(LockMode::from_code, "lock", self.lock)? {
                application.lock = lock;
            }
            let policy = self.timeout_on_application_change;
            if let Some(policy) =
                optional_member(ApplicationTimeout::from_code, "timeout_on_application_change", policy)?
            {
                application.timeout_on_application_change = policy;
            }
            application.enabled = choice(self.enabled, "enabled")?.unwrap_or(true);
            application.protected_from_bulk_end =
                choice(self.protected_from_bulk_end, "protected_from_bulk_end")?.unwrap_or(false);
            application.event_classes_on_entry =
                choice(self.event_classes_on_entry, "event_classes_on_entry")?.unwrap_or(false);
            application.debug = choice(self.debug, "debug")?;
            Ok(application)
        }
    }
}

/// Makes a configuration with the defaults: the memory table, one application `default`, no pool. Free it with
/// lses_config_free().
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_config_new(out_config: *mut *mut lses_config) -> lses_status {
    done(|| {
        let out = Out::handle(out_config, "out_config")?;
        out.set(handle::insert(Draft(Mutex::new(new())))?);
        Ok(())
    })
}

/// Makes a copy. Free it with lses_config_free().
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_config_clone(
    config: *const lses_config,
    out_config: *mut *mut lses_config,
) -> lses_status {
    done(|| {
        let out = Out::handle(out_config, "out_config")?;
        let copy = lock(&handle::pin::<Draft, _>(config)?.0).clone();
        out.set(handle::insert(Draft(Mutex::new(copy)))?);
        Ok(())
    })
}

/// Frees a configuration. Managers that were opened with it are not concerned. NULL is fine.
///
/// Threads: any. Does not block, may be called from a callback. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_config_free(config: *mut lses_config) {
    if !config.is_null() {
        quiet(|| handle::remove::<Draft, _>(config));
    }
}

/// The defaults of a C host.
pub(crate) fn new() -> Config {
    Config { label: "c".into(), ..Config::new() }
}

fn change(config: *mut lses_config, change: impl FnOnce(&mut Config) -> Result<()>) -> lses_status {
    done(|| change(&mut lock(&handle::pin::<Draft, _>(config)?.0)))
}

/// Sets the table: "memory" (default), one of this process; or "file:PATH", one of all processes of this machine that name
/// the same directory, which is made if it is not there. A relative path is below the working directory at the time of
/// lses_manager_new(); at most 4,000 bytes. What is wrong with it is said by lses_manager_new().
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_config_set_store(
    config: *mut lses_config,
    store: *const c_char,
    store_len: usize,
) -> lses_status {
    change(config, |config| {
        // SAFETY: the host passes a text with its length.
        config.store = unsafe { text(store, store_len, "store") }?.to_string();
        Ok(())
    })
}

/// Sets whether the manager opens a store of "file:" that is there by what it says itself of its configuration: for an
/// administrator's process beside those that serve, whatever their language. Default 0.
///
/// Nothing that the store says may be set: applications, pools, the profile, quotas, max_sessions, tombstone_ms,
/// max_request_ms, idle_counts_suspend, debug, and how many dead letters and log entries it keeps. Such a manager lists,
/// explains, ends, audits, and changes pools; it makes no session, begins no request, registers no event class and reaps nothing
/// (LSES_E_INVALID): what falls due is asked about and ended by those that serve, by the next of them if there is none. Nobody is
/// disturbed by its coming and going: while only such managers have a store open, others open it as if nobody had, and wait up
/// to 10 s for them if they are configured otherwise.
///
/// lses_manager_new() is LSES_E_INVALID then if there is no store (none is made), and for anybody but the user that it belongs
/// to; LSES_E_UNAVAILABLE if it is of another version.
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_config_set_adopt(config: *mut lses_config, adopt: i32) -> lses_status {
    change(config, |config| {
        config.adopt = flag(adopt, "adopt")?;
        Ok(())
    })
}

/// Sets what a table of "file:" syncs before a call returns: "relaxed" (default: ends, logouts and rotations; the rest within
/// 50 ms, so that a crash of the process loses nothing and one of the machine the last 50 ms) or "durable" (creations and
/// changes, too). lses_manager_new() refuses "durable" with "memory".
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_config_set_durability(
    config: *mut lses_config,
    durability: *const c_char,
    durability_len: usize,
) -> lses_status {
    change(config, |config| {
        // SAFETY: the host passes a text with its length.
        config.durability = Durability::from_name(unsafe { text(durability, durability_len, "durability") }?)?;
        Ok(())
    })
}

/// Sets the named set of options that defaults come from: "default" (absolute timeout 24 h, no extensions) or "iris" (no
/// absolute timeout, 3 extensions).
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_config_set_profile(
    config: *mut lses_config,
    profile: *const c_char,
    profile_len: usize,
) -> lses_status {
    change(config, |config| {
        // SAFETY: the host passes a text with its length.
        config.profile = Profile::from_name(unsafe { text(profile, profile_len, "profile") }?)?;
        Ok(())
    })
}

/// Adds an application. The first one is the default of lses_create_options.
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_config_add_application(
    config: *mut lses_config,
    application: *const lses_application,
) -> lses_status {
    change(config, |config| {
        if application.is_null() {
            return Err(Error::invalid("the application is NULL"));
        }
        // SAFETY: the host passes a struct that begins with its size, and texts that last as long as the call.
        let application = unsafe { read(application)?.to_core() }?;
        config.applications.push(application);
        Ok(())
    })
}

/// Sets where time comes from, for tests. NULL: the system.
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_config_set_clock(config: *mut lses_config, clock: *const lses_clock) -> lses_status {
    change(config, |config| {
        config.clock =
            if clock.is_null() { Clock::default() } else { Clock::Manual(handle::pin::<Hands, _>(clock)?.0.clone()) };
        Ok(())
    })
}

/// Sets where callbacks run: LSES_DISPATCH_THREAD (default), LSES_DISPATCH_INLINE or LSES_DISPATCH_POLL.
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_config_set_dispatch(config: *mut lses_config, dispatch: u32) -> lses_status {
    change(config, |config| {
        let mode = match dispatch {
            LSES_DISPATCH_THREAD => Some(DispatchMode::Thread),
            LSES_DISPATCH_INLINE => Some(DispatchMode::Inline),
            LSES_DISPATCH_POLL => Some(DispatchMode::Poll),
            _ => None,
        };
        config.dispatch = member(mode, "dispatch", dispatch)?;
        Ok(())
    })
}

/// Sets whether the manager has threads of its own: 1 (default), or 0 for a host that calls lses_manager_tick().
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_config_set_threads(config: *mut lses_config, threads: i32) -> lses_status {
    change(config, |config| {
        config.threads = flag(threads, "threads")?;
        Ok(())
    })
}

/// Sets how many dispatcher threads notifications and deciders have: 1 to 64 each. Default 4 and 2.
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_config_set_workers(
    config: *mut lses_config,
    workers: usize,
    decider_workers: usize,
) -> lses_status {
    change(config, |config| {
        config.workers = workers;
        config.decider_workers = decider_workers;
        Ok(())
    })
}

/// Sets how many hung dispatcher threads are replaced. Default 4.
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_config_set_max_stuck(config: *mut lses_config, max_stuck: usize) -> lses_status {
    change(config, |config| {
        config.max_stuck = max_stuck;
        Ok(())
    })
}

/// Sets how many deliveries may wait; what is beyond becomes dead letters. Default 100,000.
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_config_set_queue(config: *mut lses_config, queue: usize) -> lses_status {
    change(config, |config| {
        config.queue = queue;
        Ok(())
    })
}

/// Sets how long a callback may take. Default 5,000 ms; not 0.
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_config_set_callback_deadline(
    config: *mut lses_config,
    callback_deadline_ms: i64,
) -> lses_status {
    change(config, |config| {
        config.callback_deadline = duration(callback_deadline_ms, "callback_deadline_ms")?;
        Ok(())
    })
}

/// Sets how often a failed callback is tried again. Default 3.
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_config_set_retries(config: *mut lses_config, retries: u32) -> lses_status {
    change(config, |config| {
        config.retries = retries;
        Ok(())
    })
}

/// Sets after how many failures in a row a class's breaker opens, and how long it then waits before it lets a probe
/// through. Default 5 and 30,000 ms.
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_config_set_breaker(
    config: *mut lses_config,
    failures: u32,
    probe_ms: i64,
) -> lses_status {
    change(config, |config| {
        config.breaker_probe = duration(probe_ms, "probe_ms")?;
        config.breaker_failures = failures;
        Ok(())
    })
}

/// Sets how many dead letters are kept, and how many bytes of their snapshots. Default 100,000 and 64 MiB.
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_config_set_dead_letters(
    config: *mut lses_config,
    count: usize,
    bytes: usize,
) -> lses_status {
    change(config, |config| {
        config.dead_letters = count;
        config.dead_letter_bytes = bytes;
        Ok(())
    })
}

/// Sets the most live sessions. Default 1,000,000.
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_config_set_max_sessions(config: *mut lses_config, max_sessions: u64) -> lses_status {
    change(config, |config| {
        config.max_sessions = max_sessions;
        Ok(())
    })
}

/// Sets how much data one session may hold: bytes of all (default 1 MiB), levels of a path or value (64), bytes of one value
/// (64 KiB), bytes of one subscript (255). 0 leaves one as it is.
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_config_set_quotas(
    config: *mut lses_config,
    session_bytes: usize,
    levels: usize,
    value_bytes: usize,
    subscript_bytes: usize,
) -> lses_status {
    change(config, |config| {
        for (own, given) in [
            (&mut config.quotas.session_bytes, session_bytes),
            (&mut config.quotas.levels, levels),
            (&mut config.quotas.value_bytes, value_bytes),
            (&mut config.quotas.subscript_bytes, subscript_bytes),
        ] {
            if given != 0 {
                *own = given;
            }
        }
        Ok(())
    })
}

/// Sets how long the reason of an ended session is kept. Default 600,000 ms.
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_config_set_tombstone(config: *mut lses_config, tombstone_ms: i64) -> lses_status {
    change(config, |config| {
        config.tombstone = duration(tombstone_ms, "tombstone_ms")?;
        Ok(())
    })
}

/// Sets after how long a request counts as finished. Default 3,600,000 ms; not 0.
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_config_set_max_request(config: *mut lses_config, max_request_ms: i64) -> lses_status {
    change(config, |config| {
        config.max_request = duration(max_request_ms, "max_request_ms")?;
        Ok(())
    })
}

/// Sets how long a lock is waited for when no time is named. Default 30,000 ms; 0 does not wait.
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_config_set_lock_timeout(config: *mut lses_config, lock_timeout_ms: i64) -> lses_status {
    change(config, |config| {
        config.lock_timeout = duration(lock_timeout_ms, "lock_timeout_ms")?;
        Ok(())
    })
}

/// Sets how long an old token still begins requests after a rotation. Default 10,000 ms; 0 is not at all.
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_config_set_rotation_grace(
    config: *mut lses_config,
    rotation_grace_ms: i64,
) -> lses_status {
    change(config, |config| {
        config.rotation_grace = duration(rotation_grace_ms, "rotation_grace_ms")?;
        Ok(())
    })
}

/// Sets whether the time that the machine was suspended counts for the idle timeout too. Default 0.
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_config_set_idle_counts_suspend(
    config: *mut lses_config,
    idle_counts_suspend: i32,
) -> lses_status {
    change(config, |config| {
        config.idle_counts_suspend = flag(idle_counts_suspend, "idle_counts_suspend")?;
        Ok(())
    })
}

/// Sets whether sessions keep a trace, and lses_manager_damage() is allowed. Default 0.
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_config_set_debug(config: *mut lses_config, debug: i32) -> lses_status {
    change(config, |config| {
        config.debug = flag(debug, "debug")?;
        Ok(())
    })
}

/// Sets how many entries the lifecycle log keeps. Default 10,000.
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_INVALID. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_config_set_lifecycle_log(config: *mut lses_config, lifecycle_log: usize) -> lses_status {
    change(config, |config| {
        config.lifecycle_log = lifecycle_log;
        Ok(())
    })
}
