//! The coroutine that an asynchronous call returns: as one of `async def` it begins when it is awaited, and what is thrown
//! into it, as a task's cancellation is, gives up what it waits for or has just got.

use std::ffi::CString;

use libsession_core::sync::Mutex;
use pyo3::exceptions::{PyBaseException, PyRuntimeError, PyRuntimeWarning, PyStopIteration, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

/// A call that has not begun.
pub trait Plan: Send {
    /// Begins it.
    fn begin(self: Box<Self>, py: Python<'_>) -> PyResult<Begun>;
}

/// What came of the beginning.
pub enum Begun {
    /// The result was there at once.
    Answered(Py<PyAny>),
    /// It waits, until this future of the event loop is done.
    Waits(Box<dyn Wait>, Py<PyAny>),
}

/// A call that waits.
pub trait Wait: Send {
    /// Its result, which is there.
    fn take(self: Box<Self>, py: Python<'_>) -> PyResult<Py<PyAny>>;
    /// Ends the wait, and gives back what it got, or still gets.
    fn give_up(self: Box<Self>, py: Python<'_>);
}

enum State {
    Fresh(Box<dyn Plan>),
    Waiting { wait: Box<dyn Wait>, woken: Py<PyAny> },
    Running,
    Over,
}

/// A coroutine: all that `collections.abc.Coroutine` asks for.
#[pyclass(frozen, module = "libsession._native", name = "coroutine")]
pub struct Call {
    name: &'static str,
    state: Mutex<State>,
}

impl Call {
    /// Of a call.
    pub fn new(name: &'static str, plan: Box<dyn Plan>) -> Self {
        Self { name, state: Mutex::new(State::Fresh(plan)) }
    }

    fn set(&self, state: State) {
        let before = std::mem::replace(&mut *self.state.lock(), state);
        drop(before);
    }

    fn enter(&self) -> PyResult<State> {
        let state = std::mem::replace(&mut *self.state.lock(), State::Running);
        match state {
            State::Running => Err(PyValueError::new_err("coroutine already executing")),
            state => Ok(state),
        }
    }

    fn step(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self.enter()? {
            State::Fresh(plan) => match plan.begin(py) {
                Ok(Begun::Answered(value)) => {
                    self.set(State::Over);
                    Err(returned(value))
                }
                Ok(Begun::Waits(wait, future)) => match future.call_method0(py, "__await__") {
                    Ok(woken) => self.poll(py, wait, woken),
                    Err(error) => self.abandon(py, wait, error),
                },
                Err(error) => {
                    self.set(State::Over);
                    Err(error)
                }
            },
            State::Waiting { wait, woken } => self.poll(py, wait, woken),
            State::Running | State::Over => {
                self.set(State::Over);
                Err(PyRuntimeError::new_err("cannot reuse already awaited coroutine"))
            }
        }
    }

    /// Asks the future whether it is done: if not, that is what the event loop waits for.
    fn poll(&self, py: Python<'_>, wait: Box<dyn Wait>, woken: Py<PyAny>) -> PyResult<Py<PyAny>> {
        match woken.call_method0(py, "__next__") {
            Ok(future) => {
                self.set(State::Waiting { wait, woken });
                Ok(future)
            }
            Err(error) if error.is_instance_of::<PyStopIteration>(py) => {
                self.set(State::Over);
                Err(wait.take(py).map_or_else(|error| error, returned))
            }
            Err(error) => self.abandon(py, wait, error),
        }
    }

    fn abandon(&self, py: Python<'_>, wait: Box<dyn Wait>, error: PyErr) -> PyResult<Py<PyAny>> {
        self.set(State::Over);
        wait.give_up(py);
        Err(error)
    }

    /// Whether it was there to be given up.
    fn stop(&self, py: Python<'_>) -> PyResult<bool> {
        let state = self.enter()?;
        let live = !matches!(state, State::Over);
        self.set(State::Over);
        if let State::Waiting { wait, .. } = state {
            wait.give_up(py);
        }
        Ok(live)
    }
}

/// The value goes through as the one argument of StopIteration, a tuple, too.
fn returned(value: Py<PyAny>) -> PyErr {
    PyStopIteration::new_err((value,))
}

#[pymethods]
impl Call {
    #[getter]
    fn __name__(&self) -> &'static str {
        self.name
    }

    #[getter]
    fn __qualname__(&self) -> &'static str {
        self.name
    }

    fn __await__(this: Py<Self>) -> Py<Self> {
        this
    }

    fn __iter__(this: Py<Self>) -> Py<Self> {
        this
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.step(py)
    }

    fn send(&self, value: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let fresh = matches!(*self.state.lock(), State::Fresh(_));
        if fresh && !value.is_none() {
            return Err(PyTypeError::new_err("can't send non-None value to a just-started coroutine"));
        }
        self.step(value.py())
    }

    #[pyo3(signature = (typ, val=None, tb=None, /))]
    fn throw(
        &self,
        py: Python<'_>,
        typ: &Bound<'_, PyAny>,
        val: Option<&Bound<'_, PyAny>>,
        tb: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let exception = match val {
            _ if typ.is_instance_of::<PyBaseException>() => typ.clone(),
            Some(value) if value.is_instance_of::<PyBaseException>() => value.clone(),
            Some(value) if !value.is_none() => typ.call1((value,))?,
            _ => typ.call0()?,
        };
        if let Some(traceback) = tb.filter(|traceback| !traceback.is_none()) {
            exception.setattr("__traceback__", traceback)?;
        }
        if !self.stop(py)? {
            return Err(PyRuntimeError::new_err("cannot reuse already awaited coroutine"));
        }
        Err(PyErr::from_value(exception))
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.stop(py).map(drop)
    }

    fn __repr__(&self) -> String {
        format!("<coroutine object {}>", self.name)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // What is in use just now is not garbage.
        match self.state.try_lock().as_deref() {
            Some(State::Waiting { woken, .. }) => visit.call(woken),
            _ => Ok(()),
        }
    }

    fn __clear__(&self) {
        let _ = Python::try_attach(|py| self.stop(py));
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let state = std::mem::replace(&mut *self.state.lock(), State::Over);
        match state {
            State::Fresh(_) => drop(Python::try_attach(|py| warn(py, self.name))),
            State::Waiting { wait, .. } => drop(Python::try_attach(|py| wait.give_up(py))),
            State::Running | State::Over => {}
        }
    }
}

/// As of a coroutine of `async def` that nobody awaited. An exception that is on its way stays so.
fn warn(py: Python<'_>, name: &str) {
    let on_its_way = PyErr::take(py);
    let text = CString::new(format!("coroutine '{name}' was never awaited")).unwrap_or_default();
    if let Err(error) = PyErr::warn(py, &py.get_type::<PyRuntimeWarning>(), &text, 1) {
        error.write_unraisable(py, None);
    }
    if let Some(error) = on_its_way {
        error.restore(py);
    }
}
