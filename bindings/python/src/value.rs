//! Values: `None`, `bool`, `int`, `float`, `str`, `bytes`, and lists and dicts of them.

use libsession_core::data::MAX_LEVELS;
use libsession_core::{Subscript, Tree, Value};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyInt, PyList, PyMapping, PyString, PyTuple};

use crate::errors::{invalid, raise};
use crate::path::{path, path_to_py, subscript_to_py};

/// Reads a value. Tuples become lists; anything without a place is `Invalid` and named.
pub fn from_py(object: &Bound<'_, PyAny>) -> PyResult<Value> {
    read(object, 0)
}

fn read(object: &Bound<'_, PyAny>, level: usize) -> PyResult<Value> {
    let py = object.py();
    if let Ok(text) = object.cast::<PyString>() {
        return Ok(Value::Text(utf8(text)?));
    }
    if object.is_none() {
        return Ok(Value::Null);
    }
    if let Ok(truth) = object.cast::<PyBool>() {
        return Ok(Value::Bool(truth.is_true()));
    }
    if object.is_instance_of::<PyInt>() {
        return match object.extract::<i64>() {
            Ok(number) => Ok(Value::Int(number)),
            Err(_) => Err(invalid(py, "an int beyond 64 bits can't be a value; store its text")),
        };
    }
    if let Ok(number) = object.cast::<PyFloat>() {
        return Ok(Value::Float(number.value()));
    }
    if let Ok(bytes) = object.cast::<PyBytes>() {
        return Ok(Value::Bytes(bytes.as_bytes().to_vec()));
    }
    if level >= MAX_LEVELS {
        return Err(invalid(py, format!("a value is nested deeper than {MAX_LEVELS} levels")));
    }
    if let Ok(list) = object.cast::<PyList>() {
        return list.iter().map(|item| read(&item, level + 1)).collect::<PyResult<_>>().map(Value::List);
    }
    if let Ok(tuple) = object.cast::<PyTuple>() {
        return tuple.iter().map(|item| read(&item, level + 1)).collect::<PyResult<_>>().map(Value::List);
    }
    if let Ok(dict) = object.cast::<PyDict>() {
        return dict.iter().map(|(key, value)| entry(&key, &value, level)).collect::<PyResult<_>>().map(Value::Map);
    }
    if let Ok(bytes) = object.cast::<PyByteArray>() {
        return Ok(Value::Bytes(bytes.to_vec()));
    }
    if let Ok(mapping) = object.cast::<PyMapping>() {
        let mut entries = Vec::new();
        for item in mapping.items()?.iter() {
            let (key, value) = item.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
            entries.push(entry(&key, &value, level)?);
        }
        return Ok(Value::map(entries));
    }
    Err(invalid(
        py,
        format!(
            "{} can't be a value; values are None, bool, int, float, str, bytes, and lists and dicts of them",
            object.get_type()
        ),
    ))
}

fn entry(key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>, level: usize) -> PyResult<(String, Value)> {
    match key.cast::<PyString>() {
        Ok(key) => Ok((utf8(key)?, read(value, level + 1)?)),
        Err(_) => Err(invalid(key.py(), format!("a dict in a value has str keys, not {}", key.get_type()))),
    }
}

fn utf8(text: &Bound<'_, PyString>) -> PyResult<String> {
    match text.to_str() {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(invalid(text.py(), "a text has a lone surrogate and is no UTF-8; store it as bytes")),
    }
}

/// A value as plain Python objects.
pub fn to_py<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => py.None().into_bound(py),
        Value::Bool(truth) => PyBool::new(py, *truth).to_owned().into_any(),
        Value::Int(number) => number.into_pyobject(py)?.into_any(),
        Value::Float(number) => PyFloat::new(py, *number).into_any(),
        Value::Text(text) => PyString::new(py, text).into_any(),
        Value::Bytes(bytes) => PyBytes::new(py, bytes).into_any(),
        Value::List(list) => {
            PyList::new(py, list.iter().map(|item| to_py(py, item)).collect::<PyResult<Vec<_>>>()?)?.into_any()
        }
        Value::Map(map) => {
            let dict = PyDict::new(py);
            for (key, value) in map {
                dict.set_item(key, to_py(py, value)?)?;
            }
            dict.into_any()
        }
    })
}

/// The nodes of a tree or subtree as a list of `(path, value)`.
pub fn entries_to_py<'py>(
    py: Python<'py>,
    entries: impl IntoIterator<Item = (Vec<Subscript>, Value)>,
) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for (path, value) in entries {
        list.append((path_to_py(py, &path)?, to_py(py, &value)?))?;
    }
    Ok(list)
}

/// The nodes of a tree as nested dicts: what has children is a dict, and if it has a value, too, that is its entry `""`.
///
/// The entries must come in collation order: a node before its children.
pub fn nested<'py>(
    py: Python<'py>,
    entries: impl IntoIterator<Item = (Vec<Subscript>, Value)>,
) -> PyResult<Bound<'py, PyDict>> {
    let root = PyDict::new(py);
    let mut open: Vec<(Subscript, Bound<'py, PyDict>)> = Vec::new();
    for (path, value) in entries {
        let value = to_py(py, &value)?;
        let Some((last, above)) = path.split_last() else {
            root.set_item("", value)?;
            continue;
        };
        let common = open.iter().zip(above).take_while(|((key, _), step)| key == *step).count();
        open.truncate(common);
        for step in &above[common..] {
            let level = open.last().map_or(&root, |(_, level)| level);
            let key = subscript_to_py(py, step)?;
            let below = PyDict::new(py);
            if let Some(own) = level.get_item(&key)? {
                below.set_item("", own)?;
            }
            level.set_item(&key, &below)?;
            open.push((step.clone(), below));
        }
        let level = open.last().map_or(&root, |(_, level)| level);
        level.set_item(subscript_to_py(py, last)?, value)?;
    }
    Ok(root)
}

/// Reads a tree: a mapping of paths, or pairs of path and value.
pub fn tree_from_py(object: &Bound<'_, PyAny>) -> PyResult<Tree> {
    let py = object.py();
    let pairs = match object.cast::<PyMapping>() {
        Ok(mapping) => mapping.items()?.into_any(),
        Err(_) => object.clone(),
    };
    let mut tree = Tree::new();
    for pair in pairs.try_iter()? {
        let Ok((key, value)) = pair?.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>() else {
            return Err(invalid(py, "a tree is a mapping of paths, or pairs of path and value"));
        };
        tree.set(&path(&key)?, from_py(&value)?).map_err(|error| raise(py, &error))?;
    }
    Ok(tree)
}
