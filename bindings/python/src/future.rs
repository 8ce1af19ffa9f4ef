//! Asynchronous calls: what begins when it is awaited, is answered at once if nothing has to be waited for, else when the
//! event loop's future wakes it; and gives back what it got when it is given up.

use std::sync::Arc;

use libsession_core::manager::Then;
use libsession_core::sync::Mutex;
use libsession_core::{Result, Ticket};
use pyo3::exceptions::{PyRuntimeError, PyStopIteration};
use pyo3::prelude::*;

use crate::coroutine::{Begun, Call, Plan, Wait};
use crate::errors::raise;
use crate::guard::{attached, detached, is_attached};
use crate::service::{Job, push};
use crate::wait::running_loop;

/// What becomes of a result that came after its caller had gone.
type Undo<T> = Box<dyn FnOnce(T) + Send>;

enum Stage<T> {
    Starting,
    Waiting { event_loop: Py<PyAny>, future: Py<PyAny> },
    Answered(Result<T>),
    GivenUp(Undo<T>),
    Over,
}

/// A call of the core that has not begun.
pub struct Later<A, S, C, U> {
    /// Whether a Python callback may be asked on another thread meanwhile.
    pub asks: A,
    /// Gives up the place of a call that waits for units.
    pub ticket: Option<Ticket>,
    /// Begins it.
    pub start: S,
    /// How its result becomes a Python object.
    pub convert: C,
    /// Gives back what it got when nobody takes it.
    pub undo: U,
}

impl<A, S, C, U> Later<A, S, C, U> {
    /// A coroutine that is called `name` and begins this when it is awaited.
    pub fn into_coroutine<'py, T>(self, py: Python<'py>, name: &'static str) -> PyResult<Bound<'py, PyAny>>
    where
        T: Send + 'static,
        A: FnOnce() -> bool + Send + 'static,
        S: FnOnce(Then<T>) + Send + 'static,
        C: FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
        U: FnOnce(T) + Send + 'static,
    {
        Ok(Bound::new(py, Call::new(name, Box::new(Typed { later: self, of: std::marker::PhantomData })))?.into_any())
    }
}

/// With the type of its result.
struct Typed<T, A, S, C, U> {
    later: Later<A, S, C, U>,
    of: std::marker::PhantomData<fn() -> T>,
}

impl<T, A, S, C, U> Plan for Typed<T, A, S, C, U>
where
    T: Send + 'static,
    A: FnOnce() -> bool + Send + 'static,
    S: FnOnce(Then<T>) + Send + 'static,
    C: FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
    U: FnOnce(T) + Send + 'static,
{
    /// No thread is left for another: an answer that comes later wakes the loop from the thread it comes from if that is
    /// attached, else from the service thread.
    fn begin(self: Box<Self>, py: Python<'_>) -> PyResult<Begun> {
        let Later { asks, ticket, start, convert, undo } = self.later;
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
        if asks() {
            detached(py, call)?
        } else {
            attached(py, call)?
        };

        let at_once = std::mem::replace(&mut *stage.lock(), Stage::Starting);
        if let Stage::Answered(result) = at_once {
            return converted(py, result, convert).map(Begun::Answered);
        }
        let waits = Box::new(Waiting { stage, ticket, convert, undo });
        let future = match event_loop.call_method0("create_future") {
            Ok(future) => future,
            Err(error) => {
                waits.give_up(py);
                return Err(error);
            }
        };
        let waiting = Stage::Waiting { event_loop: event_loop.unbind(), future: future.clone().unbind() };
        // The answer may have come in between.
        let before = std::mem::replace(&mut *waits.stage.lock(), waiting);
        match before {
            Stage::Answered(result) => {
                let unused = std::mem::replace(&mut *waits.stage.lock(), Stage::Over);
                drop(unused);
                converted(py, result, waits.convert).map(Begun::Answered)
            }
            _ => Ok(Begun::Waits(waits, future.unbind())),
        }
    }
}

fn converted<T>(
    py: Python<'_>,
    result: Result<T>,
    convert: impl FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>>,
) -> PyResult<Py<PyAny>> {
    result.map_err(|error| raise(py, &error)).and_then(|value| convert(py, value))
}

/// A call that has begun and waits. Its result stays here until the coroutine goes on.
struct Waiting<T, C, U> {
    stage: Arc<Mutex<Stage<T>>>,
    ticket: Option<Ticket>,
    convert: C,
    undo: U,
}

impl<T, C, U> Wait for Waiting<T, C, U>
where
    T: Send + 'static,
    C: FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
    U: FnOnce(T) + Send + 'static,
{
    fn take(self: Box<Self>, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let mut now = self.stage.lock();
        match std::mem::replace(&mut *now, Stage::Over) {
            Stage::Answered(result) => {
                drop(now);
                converted(py, result, self.convert)
            }
            unanswered => {
                *now = unanswered;
                drop(now);
                self.give_up(py);
                Err(PyRuntimeError::new_err("the future of an asynchronous call was set by another"))
            }
        }
    }

    fn give_up(self: Box<Self>, py: Python<'_>) {
        let Self { stage, ticket, undo, .. } = *self;
        let mut now = stage.lock();
        match std::mem::replace(&mut *now, Stage::Over) {
            Stage::Answered(result) => {
                drop(now);
                if let Ok(given) = result {
                    give_back(py, undo, given);
                }
            }
            waited => {
                *now = Stage::GivenUp(Box::new(undo));
                drop(now);
                drop(waited);
                let Some(ticket) = ticket else { return };
                let cancelled = detached(py, || {
                    ticket.cancel();
                    Ok(())
                });
                if let Err(error) = cancelled {
                    log::debug!(target: "libsession", "a wait could not be given up: {error}");
                }
            }
        }
    }
}

fn give_back<T: Send>(py: Python<'_>, undo: impl FnOnce(T) + Send, given: T) {
    let done = detached(py, || {
        undo(given);
        Ok(())
    });
    if let Err(error) = done {
        log::debug!(target: "libsession", "what a call got whose caller had gone could not be given back: {error}");
    }
}

fn answer<T: Send + 'static>(stage: &Mutex<Stage<T>>, result: Result<T>) {
    let mut now = stage.lock();
    match std::mem::replace(&mut *now, Stage::Over) {
        Stage::Waiting { event_loop, future } => {
            *now = Stage::Answered(result);
            drop(now);
            let job: Job = Box::new(move |py| wake(py, &event_loop, &future));
            if is_attached() {
                let _ = Python::try_attach(job);
            } else {
                push(job);
            }
        }
        Stage::GivenUp(undo) => {
            drop(now);
            // Giving back may serve the next one, who may have gone, too: so it is no part of this call.
            if let Ok(given) = result {
                push(Box::new(move |py| give_back(py, undo, given)));
            }
        }
        Stage::Starting | Stage::Answered(_) | Stage::Over => *now = Stage::Answered(result),
    }
}

/// Wakes the coroutine, in its own loop's thread. Where the loop is closed, what came is given back with the coroutine.
fn wake(py: Python<'_>, event_loop: &Py<PyAny>, future: &Py<PyAny>) {
    let woken = (|| {
        if running_loop(py)?.is_some_and(|running| running.is(event_loop)) {
            return settle(future.bind(py));
        }
        let settle = pyo3::wrap_pyfunction!(settle, py)?;
        event_loop.bind(py).call_method1("call_soon_threadsafe", (settle, future)).map(drop)
    })();
    if let Err(error) = woken {
        log::debug!(target: "libsession", "an event loop was closed before its answer came: {error}");
    }
}

/// Sets a future unless it is done (cancelled) already.
#[pyfunction]
fn settle(future: &Bound<'_, PyAny>) -> PyResult<()> {
    if future.call_method0("done")?.extract()? {
        return Ok(());
    }
    future.call_method1("set_result", (future.py().None(),)).map(drop)
}

/// An awaitable that is answered already.
#[pyclass(frozen, module = "libsession._native")]
pub struct Ready(Mutex<Option<Py<PyAny>>>);

impl Ready {
    /// Around a value.
    pub fn value(value: Py<PyAny>) -> Self {
        Self(Mutex::new(Some(value)))
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
            Some(value) => Err(PyStopIteration::new_err((value,))),
            None => Err(PyRuntimeError::new_err("cannot reuse an awaitable that was awaited already")),
        }
    }
}
