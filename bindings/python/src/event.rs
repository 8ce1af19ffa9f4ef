//! What a callback is told.

use std::sync::{Arc, Weak};
use std::time::Duration;

use libsession_core::event::Event as CoreEvent;
use libsession_core::{Attempt, LicenseClass, ReplyWatch};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList};

use crate::guard::attached;
use crate::path::with_path;
use crate::records::{instant, record};
use crate::session::Session;
use crate::shared::Shared;
use crate::value::{entries_to_py, nested, to_py};
use crate::words::{parse, word};

/// What happened, to which session, and why. A snapshot: it outlives its session.
#[pyclass(frozen, module = "libsession._native")]
pub struct Event {
    core: Arc<CoreEvent>,
    attempt: Attempt,
    watch: ReplyWatch,
    manager: Weak<Shared>,
    data: PyOnceLock<Py<PyAny>>,
}

impl Event {
    /// What a callback gets.
    pub fn new(core: Arc<CoreEvent>, attempt: Attempt, watch: ReplyWatch, manager: Weak<Shared>) -> Self {
        Self { core, attempt, watch, manager, data: PyOnceLock::new() }
    }
}

#[pymethods]
impl Event {
    #[getter]
    fn kind<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        word(py, "EventKind", self.core.kind.name())
    }

    #[getter]
    fn event_id(&self) -> u64 {
        self.core.event_id
    }

    #[getter]
    fn session_id(&self) -> String {
        self.core.session_id.to_string()
    }

    #[getter]
    fn application(&self) -> &str {
        &self.core.application
    }

    #[getter]
    fn old_application(&self) -> Option<&str> {
        self.core.old_application.as_deref()
    }

    #[getter]
    fn namespace(&self) -> &str {
        &self.core.namespace
    }

    #[getter]
    fn user(&self) -> Option<&str> {
        self.core.user.as_deref()
    }

    #[getter]
    fn old_user(&self) -> Option<&str> {
        self.core.old_user.as_deref()
    }

    #[getter]
    fn reason<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.core.reason.map(|reason| word(py, "EndReason", reason.name())).transpose()
    }

    #[getter]
    fn level<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.core.level.map(|level| word(py, "EndLevel", level.name())).transpose()
    }

    #[getter]
    fn thread<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        word(py, "ThreadKind", self.core.thread.name())
    }

    #[getter]
    fn remaining(&self) -> Option<Duration> {
        self.core.remaining
    }

    #[getter]
    fn pool<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Some(pool) = &self.core.pool else { return Ok(None) };
        let fields = PyDict::new(py);
        fields.set_item("pool", &*pool.pool)?;
        fields.set_item("in_use", pool.in_use)?;
        fields.set_item("capacity", pool.capacity)?;
        record(py, "PoolState", &fields).map(Some)
    }

    #[getter]
    fn at_ms(&self) -> u64 {
        self.core.at_ms
    }

    #[getter]
    fn at<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        instant(py, self.core.wall_ms)
    }

    #[getter]
    fn attempt(&self) -> u32 {
        self.attempt.number
    }

    #[getter]
    fn redelivered(&self) -> bool {
        self.attempt.redelivered
    }

    #[getter]
    fn time_left(&self) -> Duration {
        self.watch.time_left()
    }

    /// The data as nested dicts, read-only.
    #[getter]
    fn data<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let data = self.data.get_or_try_init(py, || {
            let tree = attached(py, || self.core.data())?;
            let dict = nested(py, tree.iter().map(|(path, value)| (path, value.clone())))?;
            py.import("types")?.getattr("MappingProxyType")?.call1((dict,)).map(Bound::unbind)
        })?;
        Ok(data.bind(py).clone())
    }

    /// The value at a path, or the default.
    #[pyo3(signature = (path, default=None))]
    fn get<'py>(
        &self,
        py: Python<'py>,
        path: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        with_path(path, |path| match attached(py, || self.core.data())?.get(path) {
            Some(value) => to_py(py, value),
            None => Ok(default.unwrap_or_else(|| py.None().into_bound(py))),
        })
    }

    /// Every node of the data as `(path, value)`, in collation order.
    fn entries<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let tree = attached(py, || self.core.data())?;
        entries_to_py(py, tree.iter().map(|(path, value)| (path, value.clone())))
    }

    /// For deciders: the request or draft they act under.
    #[getter]
    fn session(&self) -> PyResult<Option<Session>> {
        let Some(request) = &self.core.request else { return Ok(None) };
        Ok(self.manager.upgrade().map(|manager| Session::borrowed(request.clone(), manager)))
    }

    /// In `on_start`: the license class that was chosen.
    #[getter]
    fn license_class<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.core.license_class().map(|class| word(py, "LicenseClass", class.name())).transpose()
    }

    #[setter]
    fn set_license_class(&self, class: &Bound<'_, PyAny>) -> PyResult<()> {
        self.core.set_license_class(parse::<LicenseClass>(class)?);
        Ok(())
    }

    /// In a `compat_veto` class at the asking point: False asks for an extension.
    #[getter]
    fn end_session(&self) -> bool {
        !self.core.keeps_session()
    }

    #[setter]
    fn set_end_session(&self, end: bool) {
        self.core.set_end_session(end);
    }

    /// For tests under a manual clock: this callback is going to hang; don't wait for it in real time.
    fn hang(&self, py: Python<'_>) {
        py.detach(|| self.watch.hang());
    }

    fn __repr__(&self) -> String {
        format!("<Event {:?}>", self.core)
    }

    fn __reduce__(&self) -> PyResult<Py<PyAny>> {
        Err(PyTypeError::new_err("an Event can't be pickled: it is tied to its callback; pickle the fields you need"))
    }
}
