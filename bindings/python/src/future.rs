//! Asynchronous calls as awaitables: answered at once if nothing had to be waited for, else by the event loop's future.

use std::sync::Arc;

use libsession_core::manager::Then;
use libsession_core::session::{EndOptions, QueueOptions};
use libsession_core::sync::Mutex;
use libsession_core::{Result, Ticket};
use pyo3::exceptions::{PyRuntimeError, PyStopIteration};
use pyo3::prelude::*;

use crate::errors::raise;
use crate::guard::{attached, detached, is_attached};
use crate::manager::Created;
use crate::service::{Job, push};
use crate::session::Session;
use crate::shared::Shared;
use crate::ticket::GiveUp;
use crate::wait::running_loop;

/// How a result becomes a Python object.
type Convert<T> = Box<dyn FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send>;

enum Stage<T> {
    Starting,
    Answered(Result<T>),
    Waiting { event_loop: Py<PyAny>, future: Py<PyAny>, convert: Convert<T>, owner: Option<Arc<Shared>> },
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
    patient_future(py, asks, GivenUp::default(), convert, start)
}

/// What becomes of a call that waits for units or a lock when its future is cancelled.
#[derive(Default)]
pub struct GivenUp {
    /// Gives up the place.
    ticket: Option<Ticket>,
    /// The manager that ends the session if it was made at that very moment.
    owner: Option<Arc<Shared>>,
}

impl GivenUp {
    /// Of a call with these options, and the manager if it makes a session.
    pub fn new(queue: &QueueOptions, owner: Option<&Arc<Shared>>) -> Self {
        let ticket = queue.ticket.clone().filter(|_| !queue.wait.is_zero());
        Self { owner: owner.filter(|_| ticket.is_some()).cloned(), ticket }
    }

    /// Of a call that waits for a lock with this ticket.
    pub fn lock(ticket: Option<Ticket>) -> Self {
        Self { ticket, owner: None }
    }
}

/// As [`future`], of a call that may wait for units or a lock.
pub fn patient_future<'py, T: Send + 'static>(
    py: Python<'py>,
    asks: bool,
    given_up: GivenUp,
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
    if let Some(ticket) = given_up.ticket {
        future.call_method1("add_done_callback", (GiveUp(ticket),))?;
    }
    let waiting = Stage::Waiting {
        event_loop: event_loop.unbind(),
        future: future.clone().unbind(),
        convert: Box::new(convert),
        owner: given_up.owner,
    };
    // The answer may have come in between: then it is in `stage`, as `Over` was.
    let mut now = stage.lock();
    match std::mem::replace(&mut *now, waiting) {
        Stage::Answered(result) => {
            let Stage::Waiting { event_loop, future: inner, convert, owner } =
                std::mem::replace(&mut *now, Stage::Over)
            else {
                return Ok(future);
            };
            drop(now);
            deliver(py, event_loop, inner, convert, owner, result);
        }
        _ => drop(now),
    }
    Ok(future)
}

fn answer<T: Send + 'static>(stage: &Mutex<Stage<T>>, result: Result<T>) {
    let mut now = stage.lock();
    match std::mem::replace(&mut *now, Stage::Over) {
        Stage::Waiting { event_loop, future, convert, owner } => {
            drop(now);
            let job: Job = Box::new(move |py| deliver(py, event_loop, future, convert, owner, result));
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
/// dropped: a request finishes by that, and a session that nobody knows is ended.
fn deliver<T>(
    py: Python<'_>,
    event_loop: Py<PyAny>,
    future: Py<PyAny>,
    convert: Convert<T>,
    owner: Option<Arc<Shared>>,
    result: Result<T>,
) {
    let value = result.map_err(|error| raise(py, &error)).and_then(|value| convert(py, value));
    let (ok, value) = match value {
        Ok(value) => (true, value),
        Err(error) => (false, error.into_value(py).into_any()),
    };
    let delivered = (|| {
        let here = running_loop(py)?.is_some_and(|running| running.is(&event_loop));
        if here {
            return give(future.bind(py), ok, value.bind(py), owner.as_deref());
        }
        let owner = owner.map(|owner| Bound::new(py, Owner(owner))).transpose()?;
        let settle = pyo3::wrap_pyfunction!(settle, py)?;
        event_loop.bind(py).call_method1("call_soon_threadsafe", (settle, future, ok, value, owner)).map(drop)
    })();
    if let Err(error) = delivered {
        log::debug!(target: "libsession", "an event loop was closed before its answer came: {error}");
    }
}

/// The manager of a session that ends if nobody takes it.
#[pyclass(frozen, module = "libsession._native")]
struct Owner(Arc<Shared>);

/// Sets a future's result or exception unless it is done (cancelled) already.
#[pyfunction]
#[pyo3(signature = (future, ok, value, owner))]
fn settle(
    future: &Bound<'_, PyAny>,
    ok: bool,
    value: &Bound<'_, PyAny>,
    owner: Option<&Bound<'_, Owner>>,
) -> PyResult<()> {
    give(future, ok, value, owner.map(|owner| &*owner.get().0))
}

fn give(future: &Bound<'_, PyAny>, ok: bool, value: &Bound<'_, PyAny>, owner: Option<&Shared>) -> PyResult<()> {
    if future.call_method0("done")?.extract()? {
        let Some(owner) = owner.filter(|_| ok) else { return Ok(()) };
        let id = match (value.cast::<Created>(), value.cast::<Session>()) {
            (Ok(created), _) => created.get().0.id,
            (_, Ok(session)) => session.get().request.id(),
            _ => return Ok(()),
        };
        return detached(value.py(), || owner.end(id, EndOptions::default()).map(drop));
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
