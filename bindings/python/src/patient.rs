//! Calls that may wait for license units, in both forms: one returns the result, the other an awaitable of it.

use std::sync::Arc;

use libsession_core::manager::Then;
use libsession_core::session::QueueOptions;
use libsession_core::{CreateOptions, FeatureOptions, LoginOptions};
use pyo3::prelude::*;

use crate::future::{GivenUp, patient_future};
use crate::shared::Shared;
use crate::wait::{may_queue, wait_by_ticket};

/// Options that say how long a call waits for units.
pub trait Patient: Send {
    /// What they say of that.
    fn queue(&mut self) -> &mut QueueOptions;
}

impl Patient for CreateOptions {
    fn queue(&mut self) -> &mut QueueOptions {
        &mut self.queue
    }
}

impl Patient for LoginOptions {
    fn queue(&mut self) -> &mut QueueOptions {
        &mut self.queue
    }
}

impl Patient for FeatureOptions {
    fn queue(&mut self) -> &mut QueueOptions {
        &mut self.queue
    }
}

/// The result of a call: by `at_once` if it can't wait, else by `later`, which Ctrl-C ends; what was given at that very moment
/// is handed to `undo`.
pub fn result<O: Patient, T: Send + 'static>(
    py: Python<'_>,
    mut options: O,
    at_once: impl FnOnce(O) -> PyResult<T>,
    later: impl FnOnce(O, Then<T>) + Send,
    undo: impl FnOnce(T) + Send,
) -> PyResult<T> {
    if !may_queue(py, options.queue())? {
        return at_once(options);
    }
    let ticket = options.queue().ticket.clone();
    wait_by_ticket(py, ticket, |then| later(options, then), undo)
}

/// An awaitable of the result: see [`future`](crate::future::future). A task that is cancelled leaves no place, and no session
/// that was made by `owner` for it.
pub fn awaitable<'py, O: Patient, T: Send + 'static>(
    py: Python<'py>,
    asks: bool,
    owner: Option<&Arc<Shared>>,
    mut options: O,
    convert: impl FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
    later: impl FnOnce(O, Then<T>) + Send,
) -> PyResult<Bound<'py, PyAny>> {
    let given_up = GivenUp::new(options.queue(), owner);
    patient_future(py, asks, given_up, convert, |then| later(options, then))
}
