//! The engine's log, for the diagnostics channel of every environment.

use std::sync::{Arc, Once, Weak};

use log::{Level, LevelFilter, Log, Metadata, Record};
use napi_derive::napi;
use parking_lot::Mutex;

use crate::isolate::{Isolate, Item};

/// One line.
#[derive(Clone)]
pub struct Line {
    pub level: &'static str,
    pub target: String,
    pub message: String,
}

struct Journal;

static LISTENERS: Mutex<Vec<Weak<Isolate>>> = Mutex::new(Vec::new());
static INSTALL: Once = Once::new();

impl Log for Journal {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("libsession")
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let level = match record.level() {
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
            Level::Trace => "trace",
        };
        let line = Line { level, target: record.target().into(), message: record.args().to_string() };
        let listeners: Vec<Arc<Isolate>> = LISTENERS.lock().iter().filter_map(Weak::upgrade).collect();
        for isolate in listeners {
            // An environment that has ended gives the line back; it has no use for it.
            let _ = isolate.push(Item::Log(line.clone()));
        }
    }

    fn flush(&self) {}
}

/// From now on an environment gets the lines.
pub fn listen(isolate: Weak<Isolate>) {
    INSTALL.call_once(|| {
        if log::set_logger(&Journal).is_ok() {
            log::set_max_level(LevelFilter::Info);
        }
    });
    let mut listeners = LISTENERS.lock();
    listeners.retain(|listener| listener.strong_count() > 0);
    listeners.push(isolate);
}

/// Sets how much is logged in this process: `off`, `error`, `warn`, `info` (default), `debug`, `trace`. Tells whether
/// that is a level.
#[napi]
pub fn set_log_level(level: String) -> bool {
    level.parse().map(log::set_max_level).is_ok()
}
