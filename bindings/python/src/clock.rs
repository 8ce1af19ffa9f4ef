//! The manual clock of tests.

use libsession_core::clock;
use pyo3::prelude::*;
use pyo3::types::PyAny;

use crate::duration::duration;
use crate::guard::{attached, detached};
use crate::handler;

/// A clock that stands still until it is told; the front room adds the context manager.
#[pyclass(frozen, subclass, module = "libsession._native")]
pub struct ManualClock {
    core: clock::ManualClock,
}

impl ManualClock {
    /// The core's clock.
    pub fn core(&self) -> &clock::ManualClock {
        &self.core
    }
}

#[pymethods]
impl ManualClock {
    #[new]
    fn new() -> Self {
        Self { core: clock::ManualClock::new() }
    }

    /// Engine time in milliseconds.
    #[getter]
    fn now_ms(&self) -> u64 {
        self.core.now().ms
    }

    /// Wall time in milliseconds since 1970.
    #[getter]
    fn wall_ms(&self) -> i64 {
        self.core.wall_ms()
    }

    #[pyo3(name = "_advance")]
    fn advance(&self, py: Python<'_>, by: &Bound<'_, PyAny>) -> PyResult<usize> {
        let by = duration("by", by)?;
        detached(py, || self.core.advance(by))
    }

    #[pyo3(name = "_suspend")]
    fn suspend(&self, py: Python<'_>, by: &Bound<'_, PyAny>) -> PyResult<()> {
        let by = duration("by", by)?;
        detached(py, || self.core.suspend(by))
    }

    #[pyo3(name = "_set_wall")]
    fn set_wall(&self, py: Python<'_>, unix_ms: i64) -> PyResult<()> {
        attached(py, || {
            self.core.set_wall(unix_ms);
            Ok(())
        })
    }

    /// How long `advance` waits, in real time, for started callbacks to return: a timedelta or seconds, by default 1 s.
    fn set_settle(&self, py: Python<'_>, settle: &Bound<'_, PyAny>) -> PyResult<()> {
        let settle = duration("settle", settle)?;
        attached(py, || {
            self.core.set_settle(settle);
            Ok(())
        })
    }

    /// Inside a callback: it is going to hang; `advance` does not wait for it in real time.
    fn hang(&self) {
        handler::hang();
    }

    fn __repr__(&self) -> String {
        format!("ManualClock({} ms)", self.core.now().ms)
    }
}
