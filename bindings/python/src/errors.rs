//! Errors of the core as the exceptions of `libsession._errors`, one class for each kind.

use libsession_core::{Error, ErrorKind};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple};

use crate::words::word;

static CLASSES: PyOnceLock<Py<PyDict>> = PyOnceLock::new();

/// The exception for an error.
pub fn raise(py: Python<'_>, error: &Error) -> PyErr {
    match build(py, error) {
        Ok(exception) => PyErr::from_value(exception),
        Err(failure) => failure,
    }
}

/// An `Invalid` of the border itself: what can't be a value, path or option.
pub fn invalid(py: Python<'_>, message: impl Into<String>) -> PyErr {
    raise(py, &Error::invalid(message))
}

/// The exception object for an error.
pub fn build<'py>(py: Python<'py>, error: &Error) -> PyResult<Bound<'py, PyAny>> {
    let classes = CLASSES.get_or_try_init(py, || {
        let classes = py.import("libsession._errors")?.getattr("BY_CODE")?;
        Ok::<_, PyErr>(classes.cast_into::<PyDict>()?.unbind())
    })?;
    let class = match classes.bind(py).get_item(error.kind().code())? {
        Some(class) => class,
        None => py.import("libsession._errors")?.getattr("SessionError")?,
    };
    let message = error.message();
    let exception = match error.kind() {
        ErrorKind::Gone => {
            let reason = error.reason().map(|reason| word(py, "EndReason", reason.name())).transpose()?;
            class.call1((message, reason))
        }
        ErrorKind::LicenseDenied => {
            let reason = error.deny_reason().map(|reason| word(py, "DenyReason", reason.name())).transpose()?;
            class.call1((message, reason, error.retry_after()))
        }
        ErrorKind::Conflict => class.call1((message, PyTuple::new(py, error.keys())?)),
        _ => class.call1((message,)),
    }?;
    if error.retryable() != error.kind().retryable() {
        exception.setattr("retryable", error.retryable())?;
    }
    Ok(exception)
}

/// The text of an exception as callbacks' failures are recorded: its class and message, or the message alone of a
/// plain `Exception`. Never raises.
pub fn exception_text(py: Python<'_>, error: &PyErr) -> String {
    let class = error.get_type(py).name().map_or_else(|_| "exception".to_owned(), |name| name.to_string());
    let message =
        error.value(py).str().map_or_else(|_| "<no text>".to_owned(), |text| text.to_string_lossy().into_owned());
    match (class.as_str(), message.is_empty()) {
        ("Exception", false) => message,
        (_, false) => format!("{class}: {message}"),
        (_, true) => class,
    }
}
