//! Paths: a subscript, or a tuple or list of them; a subscript is a `str`, `int`, `float` or `Decimal`.

use libsession_core::Subscript;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat, PyInt, PyList, PyString, PyTuple};

use crate::errors::{invalid, raise};

/// Reads one subscript.
pub fn subscript(object: &Bound<'_, PyAny>) -> PyResult<Subscript> {
    let py = object.py();
    if let Ok(text) = object.cast::<PyString>() {
        return match text.to_str() {
            Ok(text) => Ok(Subscript::text(text)),
            Err(_) => Err(invalid(py, "a subscript has a lone surrogate and is no UTF-8 text")),
        };
    }
    if object.is_instance_of::<PyBool>() {
        return Err(invalid(py, "a bool can't be a subscript; use a number or a text"));
    }
    let number = if object.is_instance_of::<PyInt>() {
        match object.extract::<i64>() {
            Ok(number) => Subscript::int(number),
            Err(_) => Subscript::parse_number(&object.str()?.to_string_lossy()),
        }
    } else if let Ok(number) = object.cast::<PyFloat>() {
        Subscript::float(number.value())
    } else if object.is_instance(&py.import("decimal")?.getattr("Decimal")?)? {
        Subscript::parse_number(&object.str()?.to_string_lossy())
    } else {
        return Err(invalid(py, format!("{} can't be a subscript; use a number or a text", object.get_type())));
    };
    number.map_err(|error| raise(py, &error))
}

/// Reads a path and hands it on; the usual path of one text needs no allocation of its own.
pub fn with_path<R>(object: &Bound<'_, PyAny>, then: impl FnOnce(&[Subscript]) -> PyResult<R>) -> PyResult<R> {
    if object.is_exact_instance_of::<PyString>() {
        return then(&[subscript(object)?]);
    }
    then(&path(object)?)
}

/// Reads a path.
pub fn path(object: &Bound<'_, PyAny>) -> PyResult<Vec<Subscript>> {
    if let Ok(tuple) = object.cast::<PyTuple>() {
        return tuple.iter().map(|item| subscript(&item)).collect();
    }
    if let Ok(list) = object.cast::<PyList>() {
        return list.iter().map(|item| subscript(&item)).collect();
    }
    Ok(vec![subscript(object)?])
}

/// A subscript as `str`, `int`, `float`, or, where a float would not be exact, `Decimal`.
pub fn subscript_to_py<'py>(py: Python<'py>, subscript: &Subscript) -> PyResult<Bound<'py, PyAny>> {
    if let Some(text) = subscript.as_text() {
        return Ok(PyString::new(py, text).into_any());
    }
    if let Some(number) = subscript.as_i64() {
        return Ok(number.into_pyobject(py)?.into_any());
    }
    match subscript.as_f64() {
        Some(number) if Subscript::float(number).is_ok_and(|same| same == *subscript) => {
            Ok(PyFloat::new(py, number).into_any())
        }
        _ => py.import("decimal")?.getattr("Decimal")?.call1((subscript.to_string(),)),
    }
}

/// A path as a tuple.
pub fn path_to_py<'py>(py: Python<'py>, path: &[Subscript]) -> PyResult<Bound<'py, PyTuple>> {
    PyTuple::new(py, path.iter().map(|subscript| subscript_to_py(py, subscript)).collect::<PyResult<Vec<_>>>()?)
}
