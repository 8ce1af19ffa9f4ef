//! Calls that may wait for license units, in both forms: one returns the result, the other a coroutine of it.

use std::sync::Arc;

use libsession_core::manager::Then;
use libsession_core::session::QueueOptions;
use libsession_core::{CreateOptions, FeatureOptions, LoginOptions};
use pyo3::prelude::*;

use crate::future::Later;
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

/// A coroutine of the result: see [`Later`]. One that is given up leaves no place; what was given at that very moment is handed
/// to `undo`.
pub fn coroutine<'py, O: Patient + 'static, T: Send + 'static>(
    py: Python<'py>,
    name: &'static str,
    shared: &Arc<Shared>,
    mut options: O,
    later: impl FnOnce(O, Then<T>) + Send + 'static,
    convert: impl FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
    undo: impl FnOnce(T) + Send + 'static,
) -> PyResult<Bound<'py, PyAny>> {
    let shared = shared.clone();
    let queue = options.queue();
    let ticket = queue.ticket.clone().filter(|_| !queue.wait.is_zero());
    let start = |then| later(options, then);
    Later { asks: move || shared.deciders(), ticket, start, convert, undo }.into_coroutine(py, name)
}
