//! Groups of users that a Python callable tells.

use std::sync::atomic::{AtomicBool, Ordering};

use libsession_core::sync::Mutex;
use libsession_core::{GroupReply, GroupResolver, Place};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

use crate::errors::exception_text;
use crate::guard::knowing;
use crate::handler::{is_coroutine, running};
use crate::options::group_names;
use crate::wait::running_loop;

/// A callable from a user to its groups.
pub struct Resolver {
    call: Py<PyAny>,
    /// Whether it is known to be asynchronous.
    asynchronous: AtomicBool,
}

impl Resolver {
    /// One of which it may be known that it is asynchronous.
    pub fn new(call: Py<PyAny>, asynchronous: bool) -> Self {
        Self { call, asynchronous: AtomicBool::new(asynchronous) }
    }

    fn run(&self, py: Python<'_>, user: &str, reply: GroupReply) {
        let here = match running_loop(py) {
            Ok(here) => here,
            Err(error) => return reply.fail(exception_text(py, &error)),
        };
        if self.asynchronous.load(Ordering::Relaxed) && here.is_none() {
            return reply.async_required();
        }
        match running(reply.watch(), || self.call.bind(py).call1((user,))) {
            Err(error) => reply.fail(exception_text(py, &error)),
            Ok(returned) if is_coroutine(&returned) => {
                self.asynchronous.store(true, Ordering::Relaxed);
                match here {
                    Some(here) => await_it(&returned, &here, reply),
                    None => {
                        let _ = returned.call_method0("close");
                        reply.async_required();
                    }
                }
            }
            Ok(returned) => answer(&returned, reply),
        }
    }
}

fn await_it(coroutine: &Bound<'_, PyAny>, here: &Bound<'_, PyAny>, reply: GroupReply) {
    let told = here
        .call_method1("create_task", (coroutine,))
        .and_then(|task| task.call_method1("add_done_callback", (Told { reply: Mutex::new(Some(reply)) },)));
    if let Err(error) = told {
        // The reply went with what failed, and dropping it says that there was no answer.
        let text = exception_text(coroutine.py(), &error);
        log::warn!(target: "libsession", "the coroutine of the group resolver could not be started: {text}");
    }
}

impl GroupResolver for Resolver {
    fn resolve(&self, user: &str, reply: GroupReply) {
        let _ = Python::try_attach(|py| knowing(true, || self.run(py, user, reply)));
    }

    fn place(&self, asynchronous: bool) -> Option<Place> {
        (asynchronous && self.asynchronous.load(Ordering::Relaxed)).then_some(Place::Caller)
    }
}

/// The done callback of a task that tells groups.
#[pyclass(frozen, module = "libsession._native")]
struct Told {
    reply: Mutex<Option<GroupReply>>,
}

#[pymethods]
impl Told {
    fn __call__(&self, task: &Bound<'_, PyAny>) {
        let reply = self.reply.lock().take();
        let Some(reply) = reply else { return };
        match task.call_method0("result") {
            Ok(result) => answer(&result, reply),
            Err(error) => reply.fail(exception_text(task.py(), &error)),
        }
    }
}

fn answer(returned: &Bound<'_, PyAny>, reply: GroupReply) {
    let groups = if returned.is_none() {
        Err(PyTypeError::new_err("it answered with None; it answers with the user's groups, as texts"))
    } else {
        group_names(returned)
    };
    match groups {
        Ok(groups) => reply.groups(groups),
        Err(error) => reply.fail(exception_text(returned.py(), &error)),
    }
}
