//! The core's log as `logging.getLogger("libsession")`. A record is queued where it arises, as that may be under the
//! core's locks, and written by the service thread.

use log::{Level, LevelFilter, Log, Metadata, Record};
use pyo3::prelude::*;

use crate::service::push;

struct Bridge;

impl Log for Bridge {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("libsession")
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let level = match record.level() {
            Level::Error => 40,
            Level::Warn => 30,
            Level::Info => 20,
            Level::Debug => 10,
            Level::Trace => 5,
        };
        let text = record.args().to_string();
        push(Box::new(move |py| write(py, level, &text)));
    }

    fn flush(&self) {}
}

fn write(py: Python<'_>, level: u8, text: &str) {
    let written = py
        .import("logging")
        .and_then(|logging| logging.call_method1("getLogger", ("libsession",)))
        .and_then(|logger| logger.call_method1("log", (level, "%s", text)));
    if let Err(error) = written {
        error.write_unraisable(py, None);
    }
}

/// Installs the bridge. Another logger of the process, if there is one already, stays.
pub fn install() {
    if log::set_logger(&Bridge).is_ok() {
        log::set_max_level(LevelFilter::Warn);
    }
}

/// Lets records of at least this level through (a number of Python's `logging`): what is below costs nothing.
#[pyfunction]
#[pyo3(name = "_set_log_level")]
pub fn set_log_level(level: i64) {
    log::set_max_level(match level {
        ..10 => LevelFilter::Trace,
        10..20 => LevelFilter::Debug,
        20..30 => LevelFilter::Info,
        30..40 => LevelFilter::Warn,
        _ => LevelFilter::Error,
    });
}
