//! A ticket: one wait for license units, seen and cancelled from outside.

use libsession_core::Ticket as CoreTicket;
use pyo3::prelude::*;

use crate::guard::detached;

/// Stands for one wait in the queue of a pool.
#[pyclass(frozen, module = "libsession._native")]
pub struct Ticket(pub CoreTicket);

#[pymethods]
impl Ticket {
    #[new]
    fn new() -> Self {
        Self(CoreTicket::new())
    }

    /// Cancels the wait.
    fn cancel(&self, py: Python<'_>) -> PyResult<()> {
        detached(py, || {
            self.0.cancel();
            Ok(())
        })
    }

    /// How many come first, plus one; None if nothing waits with this ticket.
    #[getter]
    fn position(&self, py: Python<'_>) -> PyResult<Option<u64>> {
        detached(py, || self.0.position())
    }

    /// Whether a call waits with this ticket now.
    #[getter]
    fn waits(&self) -> bool {
        self.0.waits()
    }

    fn __repr__(&self) -> &'static str {
        if self.0.waits() { "<Ticket waits>" } else { "<Ticket>" }
    }
}
