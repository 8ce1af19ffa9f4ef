//! The log hook: one for the process, called instead of writing to stderr.

use std::ffi::{c_char, c_void};
use std::ptr;
use std::sync::Once;
use std::sync::atomic::{AtomicPtr, Ordering};

use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::guard::{done, watch_panics};
use crate::handle::{self, Table, Tables, Tenant};
use crate::status::lses_status;
use crate::user_data::{UserData, lses_drop_fn};

/// Level of a log message: a defect, or something an operator must look at.
pub const LSES_LOG_ERROR: i32 = 1;
/// Level of a log message: something went wrong and was contained.
pub const LSES_LOG_WARN: i32 = 2;
/// Level of a log message: what an operator may want to know.
pub const LSES_LOG_INFO: i32 = 3;
/// Level of a log message: for whoever looks for a defect.
pub const LSES_LOG_DEBUG: i32 = 4;
/// Level of a log message: everything.
pub const LSES_LOG_TRACE: i32 = 5;

/// Takes one log message: UTF-8, `message[message_len]` is NUL, valid during the call. Never holds a token, a key or a
/// data value. May be called on any thread at any time, also from several at once, and must not call back into the
/// library. Must not throw, longjmp or end its thread.
#[allow(non_camel_case_types)]
pub type lses_log_fn =
    Option<unsafe extern "C-unwind" fn(user_data: *mut c_void, level: i32, message: *const c_char, message_len: usize)>;

/// Where messages go.
pub(crate) struct Sink {
    call: unsafe extern "C-unwind" fn(*mut c_void, i32, *const c_char, usize),
    user_data: UserData,
}

impl Tenant for Sink {
    const KIND: u64 = 6;
    const NAME: &'static str = "log hook";
    const COUNTERS: usize = 1;

    fn table(tables: &Tables) -> &Table<Self> {
        &tables.sinks
    }
}

/// The present sink's handle.
static PRESENT: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());

struct Bridge;

static BRIDGE: Bridge = Bridge;

impl Log for Bridge {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) || crate::exit::exiting() {
            return;
        }
        let Ok(sink) = handle::pin::<Sink, _>(PRESENT.load(Ordering::SeqCst)) else { return };
        let mut text = record.args().to_string();
        let len = text.len();
        text.push('\0');
        let level = match record.level() {
            Level::Error => LSES_LOG_ERROR,
            Level::Warn => LSES_LOG_WARN,
            Level::Info => LSES_LOG_INFO,
            Level::Debug => LSES_LOG_DEBUG,
            Level::Trace => LSES_LOG_TRACE,
        };
        let escaped = crate::user_data::Escape::from("the log hook", "");
        // SAFETY: the host passed the function for this, with this user data, which is dropped only after the sink is.
        unsafe { (sink.call)(sink.user_data.pointer(), level, text.as_ptr().cast(), len) };
        escaped.returned();
    }

    fn flush(&self) {}
}

/// Whether the host takes log messages.
pub(crate) fn hooked() -> bool {
    !PRESENT.load(Ordering::SeqCst).is_null()
}

/// Sets where log messages of the whole process go, or, with `on_log` NULL, that they go nowhere (then the message of a
/// caught defect is written to stderr). `level` is the most detailed that is wanted: LSES_LOG_ERROR to LSES_LOG_TRACE.
///
/// `drop_user_data` (may be NULL) is called exactly once with `user_data`: when the hook was replaced and does not run
/// any more, or in this call if it fails.
///
/// Threads: any. Does not block. May be called from a callback, but not from `on_log`. Errors: LSES_E_INVALID. Since
/// 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_set_log(
    on_log: lses_log_fn,
    level: i32,
    user_data: *mut c_void,
    drop_user_data: lses_drop_fn,
) -> lses_status {
    let user_data = UserData::new(user_data, drop_user_data);
    done(move || {
        static BRIDGED: Once = Once::new();
        let filter = match level {
            _ if on_log.is_none() => LevelFilter::Off,
            LSES_LOG_ERROR => LevelFilter::Error,
            LSES_LOG_WARN => LevelFilter::Warn,
            LSES_LOG_INFO => LevelFilter::Info,
            LSES_LOG_DEBUG => LevelFilter::Debug,
            LSES_LOG_TRACE => LevelFilter::Trace,
            _ => return Err(libsession_core::Error::invalid(format!("log level {level} is not between 1 and 5"))),
        };
        watch_panics();
        BRIDGED.call_once(|| drop(log::set_logger(&BRIDGE)));
        let new = match on_log {
            Some(call) => handle::insert(Sink { call, user_data })?,
            None => ptr::null_mut::<c_void>(),
        };
        let old = PRESENT.swap(new, Ordering::SeqCst);
        log::set_max_level(filter);
        if !old.is_null() {
            // In the child of a fork the parent's hook is not known any more: then there is nothing to drop.
            drop(handle::remove::<Sink, _>(old.cast_const()));
        }
        Ok(())
    })
}
