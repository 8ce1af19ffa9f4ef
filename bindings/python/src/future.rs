//! Asynchronous calls as awaitables: answered at once if nothing had to be waited for, else by the event loop's future.

use std::sync::Arc;

use libsession_core::Result;
use libsession_core::manager::Then;
use libsession_core::sync::Mutex;
use pyo3::exceptions::{PyRuntimeError, PyStopIteration};
use pyo3::prelude::*;

use crate::errors::raise;
use crate::guard::{attached, detached, is_attached};
use crate::service::{Job, push};
use crate::wait::running_loop;

/// How a result becomes a Python object.
type Convert<T> = Box<dyn FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send>;

enum Stage<T> {
    Starting,
    Answered(Result<T>),
    Waiting { event_loop: Py<PyAny>, future: Py<PyAny>, convert: Convert<T> },
    Over,
}

/// Starts an asynchronous call on this thread's event loop and returns an awaitable of its result.
///
/// `asks` tells whether a Python callback may be asked on another thread meanwhile. No thread is left for another: an
/// answer that comes later is delivered by the thread it comes from if that is attached, else by the service thread.
pub fn future<'py, T: Send + 'static>(
    py: Python<'py>,
    asks: bool,
    convert: impl FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
    start: impl FnOnce(Then<T>) + Send,
) -> PyResult<Bound<'py, PyAny>> {
    let Some(event_loop) = running_loop(py)? else {
        return Err(PyRuntimeError::new_err("an asynchronous call needs a running event loop"));
    };
    let stage = Arc::new(Mutex::new(Stage::Starting));
    let answered = stage.clone();
    let then: Then<T> = Box::new(move |result| answer(&answered, result));
    let call = || {
        start(then);
        Ok(())
    };
    if asks {
        detached(py, call)?
    } else {
        attached(py, call)?
    };

    let at_once = std::mem::replace(&mut *stage.lock(), Stage::Over);
    if let Stage::Answered(result) = at_once {
        let value = result.map_err(|error| raise(py, &error)).and_then(|value| convert(py, value));
        return Ok(Bound::new(py, Ready(Mutex::new(Some(value))))?.into_any());
    }
    let future = event_loop.call_method0("create_future")?;
    let waiting =
        Stage::Waiting { event_loop: event_loop.unbind(), future: future.clone().unbind(), convert: Box::new(convert) };
    // The answer may have come in between: then it is in `stage`, as `Over` was.
    let mut now = stage.lock();
    match std::mem::replace(&mut *now, waiting) {
        Stage::Answered(result) => {
            let Stage::Waiting { event_loop, future: inner, convert } = std::mem::replace(&mut *now, Stage::Over)
            else {
                return Ok(future);
            };
            drop(now);
            deliver(py, event_loop, inner, convert, result);
        }
        _ => drop(now),
    }
    Ok(future)
}

fn answer<T: Send + 'static>(stage: &Mutex<Stage<T>>, result: Result<T>) {
    let mut now = stage.lock();
    match std::mem::replace(&mut *now, Stage::Over) {
        Stage::Waiting { event_loop, future, convert } => {
            drop(now);
            let job: Job = Box::new(move |py| deliver(py, event_loop, future, convert, result));
            if is_attached() {
                let _ = Python::try_attach(job);
            } else {
                push(job);
            }
        }
        Stage::Starting | Stage::Answered(_) | Stage::Over => *now = Stage::Answered(result),
    }
}

/// Gives a future its result, in its own loop's thread. If the loop is closed or the future cancelled the result is
/// dropped: a request finishes by that.
fn deliver<T>(py: Python<'_>, event_loop: Py<PyAny>, future: Py<PyAny>, convert: Convert<T>, result: Result<T>) {
    let value = result.map_err(|error| raise(py, &error)).and_then(|value| convert(py, value));
    let (ok, value) = match value {
        Ok(value) => (true, value),
        Err(error) => (false, error.into_value(py).into_any()),
    };
    let delivered = (|| {
        let here = running_loop(py)?.is_some_and(|running| running.is(&event_loop));
        if here {
            return settle(future.bind(py), ok, value.bind(py));
        }
        let settle = pyo3::wrap_pyfunction!(settle, py)?;
        event_loop.bind(py).call_method1("call_soon_threadsafe", (settle, future, ok, value)).map(drop)
    })();
    if let Err(error) = delivered {
        log::debug!(target: "libsession", "an event loop was closed before its answer came: {error}");
    }
}

/// Sets a future's result or exception unless it is done (cancelled) already.
#[pyfunction]
fn settle(future: &Bound<'_, PyAny>, ok: bool, value: &Bound<'_, PyAny>) -> PyResult<()> {
    if future.call_method0("done")?.extract()? {
        return Ok(());
    }
    future.call_method1(if ok { "set_result" } else { "set_exception" }, (value,)).map(drop)
}

/// An awaitable that is answered already.
#[pyclass(frozen, module = "libsession._native")]
pub struct Ready(Mutex<Option<PyResult<Py<PyAny>>>>);

impl Ready {
    /// Around a value.
    pub fn value(value: Py<PyAny>) -> Self {
        Self(Mutex::new(Some(Ok(value))))
    }
}

#[pymethods]
impl Ready {
    fn __await__(this: Py<Self>) -> Py<Self> {
        this
    }

    fn __iter__(this: Py<Self>) -> Py<Self> {
        this
    }

    fn __next__(&self) -> PyResult<Py<PyAny>> {
        let value = self.0.lock().take();
        match value {
            // The value goes through as the one argument of StopIteration, a tuple, too.
            Some(Ok(value)) => Err(PyStopIteration::new_err((value,))),
            Some(Err(error)) => Err(error),
            None => Err(PyRuntimeError::new_err("cannot reuse an awaitable that was awaited already")),
        }
    }
}
