//! Durations: `timedelta` or seconds as `float`.

use std::time::Duration;

use libsession_core::sync::Mutex;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDelta, PyDeltaAccess, PyEllipsis};

use crate::errors::invalid;

/// How many timedeltas are kept for [`shared_delta`].
const KEPT: usize = 64;

type Kept = Mutex<Option<(Duration, Py<PyAny>)>>;

/// A timedelta of whole milliseconds, made once for each of the last lengths: making one costs more than a touch.
pub fn shared_delta<'py>(py: Python<'py>, length: Duration) -> PyResult<Bound<'py, PyAny>> {
    static MADE: [Kept; KEPT] = [const { Mutex::new(None) }; KEPT];
    let place = &MADE[usize::try_from(length.as_millis() % KEPT as u128).unwrap_or(0)];
    // The lock is never held across a call into Python, which may let another thread run.
    let known = place.lock().as_ref().filter(|(known, _)| *known == length).map(|(_, delta)| delta.clone_ref(py));
    if let Some(delta) = known {
        return Ok(delta.into_bound(py));
    }
    let delta = length.into_pyobject(py)?.into_any();
    let replaced = place.lock().replace((length, delta.clone().unbind()));
    drop(replaced);
    Ok(delta)
}

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
