//! The way into the core: every call goes through [`attached`] or [`detached`], so that no panic crosses the border and no
//! call that can wait, or that may ask a Python callback on another thread, keeps the interpreter.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use libsession_core::{Error, ErrorKind, Result};
use pyo3::prelude::*;

use crate::errors::raise;

thread_local! {
    static ATTACHED: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is known to be attached to the interpreter: false says nothing.
pub fn is_attached() -> bool {
    ATTACHED.get()
}

/// Runs `body` with the knowledge that this thread is attached, or is not.
pub fn knowing<R>(is_attached: bool, body: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            ATTACHED.set(self.0);
        }
    }
    let _restore = Restore(ATTACHED.replace(is_attached));
    body()
}

/// A call that neither waits nor asks: it stays attached, which is cheaper than leaving and coming back.
pub fn attached<T>(py: Python<'_>, call: impl FnOnce() -> Result<T>) -> PyResult<T> {
    knowing(true, || contain(call)).map_err(|error| raise(py, &error))
}

/// A call that can wait, or ask a callback on another thread: other Python threads run meanwhile.
pub fn detached<T: Send>(py: Python<'_>, call: impl FnOnce() -> Result<T> + Send) -> PyResult<T> {
    py.detach(|| knowing(false, || contain(call))).map_err(|error| raise(py, &error))
}

/// A call that asks a callback only if there is one that decides.
pub fn asking<T: Send>(py: Python<'_>, deciders: bool, call: impl FnOnce() -> Result<T> + Send) -> PyResult<T> {
    if deciders { detached(py, call) } else { attached(py, call) }
}

/// Turns a panic into an error.
pub fn contain<T>(call: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        Err(Error::new(ErrorKind::Panic, format!("a panic was caught: {}", panic_text(&*panic))))
    })
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("without a text")
}

/// For tests: a panic behind the border.
#[pyfunction]
#[pyo3(name = "_panic")]
pub fn cause_panic(py: Python<'_>) -> PyResult<()> {
    attached(py, || -> Result<()> { panic!("caused by a test") })
}
