//! Durations: `timedelta` or seconds as `float`.

use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDelta, PyDeltaAccess, PyEllipsis};

use crate::errors::invalid;

/// A duration of at least nothing. `Invalid` names a negative one.
pub fn duration(what: &str, object: &Bound<'_, PyAny>) -> PyResult<Duration> {
    let py = object.py();
    if let Ok(delta) = object.cast::<PyDelta>() {
        let days = i64::from(delta.get_days());
        let seconds = days * 86_400 + i64::from(delta.get_seconds());
        return match u64::try_from(seconds) {
            Ok(seconds) => Ok(Duration::new(seconds, delta.get_microseconds().unsigned_abs() * 1000)),
            Err(_) => Err(invalid(py, format!("{what} can't be negative, this one is {object} long"))),
        };
    }
    if object.is_instance_of::<PyBool>() {
        return Err(invalid(py, format!("{what} is a timedelta or seconds, not a bool")));
    }
    let Ok(seconds) = object.extract::<f64>() else {
        return Err(invalid(py, format!("{what} is a timedelta or seconds, not {}", object.get_type())));
    };
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| invalid(py, format!("{what} of {seconds} s is not between 0 and 100 years")))
}

/// A timeout; `None` and 0 are never.
pub fn timeout(what: &str, object: &Bound<'_, PyAny>) -> PyResult<Option<Duration>> {
    if object.is_none() {
        return Ok(None);
    }
    Ok(Some(duration(what, object)?).filter(|timeout| !timeout.is_zero()))
}

/// A duration that may be left out.
pub fn optional(what: &str, object: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Duration>> {
    object.filter(|object| !object.is_none()).map(|object| duration(what, object)).transpose()
}

/// A timeout that may be left out (`...`), which is something else than never (`None` or 0).
pub fn given_timeout(what: &str, object: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Option<Duration>>> {
    object.filter(|object| !object.is_instance_of::<PyEllipsis>()).map(|object| timeout(what, object)).transpose()
}
