//! The native module `libsession._native`: the core's words as Python objects, and no rule of its own.
//!
//! The typed front room is `python/libsession`. Threads: a call that cannot wait stays attached to the interpreter, any
//! other leaves it (see [`guard`]); dispatcher threads are attached once, for life (see [`handler`]).

mod admin;
mod classes;
mod clock;
mod config;
mod coroutine;
mod data;
mod duration;
mod errors;
mod event;
mod future;
mod groups;
mod guard;
mod handler;
mod logging;
mod manager;
mod options;
mod path;
mod patient;
mod pool;
mod records;
mod service;
mod session;
mod shared;
mod ticket;
mod value;
mod wait;
mod words;

/// The native module.
#[pyo3::pymodule(gil_used = false)]
mod _native {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::clock::ManualClock;
    #[pymodule_export]
    use crate::event::Event;
    #[pymodule_export]
    use crate::guard::cause_panic;
    #[pymodule_export]
    use crate::handler::callback_threads;
    #[pymodule_export]
    use crate::logging::set_log_level;
    #[pymodule_export]
    use crate::manager::{Created, Manager};
    #[pymodule_export]
    use crate::service::{forked, stop};
    #[pymodule_export]
    use crate::session::Session;
    #[pymodule_export]
    use crate::ticket::Ticket;
    #[pymodule_export]
    use crate::words::vocabularies;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        crate::logging::install();
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        let mutable_mapping = module.py().import("collections.abc")?.getattr("MutableMapping")?;
        mutable_mapping.call_method1("register", (module.py().get_type::<crate::session::Session>(),))?;
        Ok(())
    }
}
