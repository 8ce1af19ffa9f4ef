//! A session's event classes and attachments.

use std::any::Any;
use std::sync::Arc;

use pyo3::prelude::*;

use crate::guard::attached;
use crate::options::{argument, required_text};
use crate::session::Session;

/// A Python object that lives as long as its session.
struct Attachment(Py<PyAny>);

type Kept = Option<Arc<dyn Any + Send + Sync>>;

fn object(py: Python<'_>, kept: Kept) -> Option<Py<PyAny>> {
    kept.and_then(|kept| kept.downcast_ref::<Attachment>().map(|attachment| attachment.0.clone_ref(py)))
}

#[pymethods]
impl Session {
    /// Puts an event class to the front of the session's list, once.
    #[pyo3(signature = (name, namespace=None))]
    fn event_class_add(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = argument::name)] name: String,
        #[pyo3(from_py_with = argument::namespace_or_none)] namespace: Option<String>,
    ) -> PyResult<()> {
        attached(py, || self.request.event_class_add(&name, namespace.as_deref()))
    }

    /// Removes an event class, without a name all of the namespace; tells whether it was there.
    #[pyo3(signature = (name=None, namespace=None))]
    fn event_class_remove(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = argument::name_or_none)] name: Option<String>,
        #[pyo3(from_py_with = argument::namespace_or_none)] namespace: Option<String>,
    ) -> PyResult<bool> {
        attached(py, || self.request.event_class_remove(name.as_deref(), namespace.as_deref()))
    }

    /// Whether the session lists an event class.
    #[pyo3(signature = (name, namespace=None))]
    fn event_class_exists(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = argument::name)] name: String,
        #[pyo3(from_py_with = argument::namespace_or_none)] namespace: Option<String>,
    ) -> PyResult<bool> {
        attached(py, || self.request.event_class_exists(&name, namespace.as_deref()))
    }

    /// The session's event classes as (namespace, name), first called first.
    fn event_class_list(&self, py: Python<'_>) -> PyResult<Vec<(String, String)>> {
        let list = attached(py, || self.request.event_class_list())?;
        Ok(list.iter().map(|(namespace, name)| (namespace.to_string(), name.to_string())).collect())
    }

    /// Empties the list.
    fn event_class_clear(&self, py: Python<'_>) -> PyResult<()> {
        attached(py, || self.request.event_class_clear())
    }

    /// The first event class of the list, or "".
    #[getter]
    fn event_class(&self, py: Python<'_>) -> PyResult<String> {
        let list = attached(py, || self.request.event_class_list())?;
        Ok(list.first().map_or_else(String::new, |(_, name)| name.to_string()))
    }

    /// Adds an event class if it is absent; "" has no effect.
    #[setter]
    fn set_event_class(&self, py: Python<'_>, name: &Bound<'_, PyAny>) -> PyResult<()> {
        let name = required_text("event_class", name)?;
        attached(py, || self.request.set_event_class(&name))
    }

    /// Keeps an object with the session, in this process; returns the one before.
    fn attach(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = argument::name)] name: String,
        object: Py<PyAny>,
    ) -> PyResult<Option<Py<PyAny>>> {
        let kept = attached(py, || self.request.attach(&name, Arc::new(Attachment(object))))?;
        Ok(self::object(py, kept))
    }

    /// The object under this name, or None.
    fn attachment(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = argument::name)] name: String,
    ) -> PyResult<Option<Py<PyAny>>> {
        Ok(object(py, attached(py, || self.request.attachment(&name))?))
    }

    /// Takes the object away from the session.
    fn detach(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = argument::name)] name: String,
    ) -> PyResult<Option<Py<PyAny>>> {
        Ok(object(py, attached(py, || self.request.detach(&name))?))
    }
}
