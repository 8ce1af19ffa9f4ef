//! The data of a session: a mapping with the first subscripts that are texts as keys, and the whole tree by paths.

use libsession_core::data::to_json;
use libsession_core::{Direction, Error, Subscript, Value};
use pyo3::exceptions::{PyKeyError, PyTypeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyMapping, PyTuple, PyWeakrefMethods, PyWeakrefReference};

use crate::guard::attached;
use crate::options::{Given, count};
use crate::path::{path_to_py, subscript, subscript_to_py, with_path};
use crate::session::{Session, View};
use crate::value::{entries_to_py, from_py, nested, to_py, tree_from_py};

#[pymethods]
impl Session {
    fn __getitem__<'py>(this: &Bound<'py, Self>, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        match found(this, key)? {
            Some(value) => Ok(value),
            None => Err(PyKeyError::new_err(key.clone().unbind())),
        }
    }

    fn __setitem__(&self, py: Python<'_>, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        with_path(key, |path| self.put(py, path, value))
    }

    fn __delitem__(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<()> {
        if with_path(key, |path| self.remove(py, path))? {
            Ok(())
        } else {
            Err(PyKeyError::new_err(key.clone().unbind()))
        }
    }

    fn __contains__(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        with_path(key, |path| attached(py, || self.request.defined(path))).map(|defined| defined != 0)
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        self.names(py).map(|names| names.len())
    }

    fn __bool__(&self, py: Python<'_>) -> PyResult<bool> {
        attached(py, || self.request.next(&[], None, Direction::Backward))
            .map(|last| last.is_some_and(|last| last.as_text().is_some()))
    }

    /// The keys as they are now: what changes later is not seen.
    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(PyList::new(py, self.names(py)?.iter().filter_map(Subscript::as_text))?.as_any().try_iter()?.into_any())
    }

    fn __eq__(this: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let py = this.py();
        if this.is(other) {
            return Ok(true.into_pyobject(py)?.to_owned().into_any().unbind());
        }
        let other = match (other.cast::<Self>(), other.cast::<PyDict>()) {
            (Ok(other), _) => other.get().as_dict(py)?,
            (_, Ok(other)) => other.clone(),
            _ => return Ok(py.NotImplemented()),
        };
        Ok(this.get().as_dict(py)?.eq(other)?.into_pyobject(py)?.to_owned().into_any().unbind())
    }

    fn __ior__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<()> {
        self.update(py, &PyTuple::new(py, [other])?, None)
    }

    fn keys<'py>(this: Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        view(this.py(), "KeysView", &this)
    }

    fn values<'py>(this: Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        view(this.py(), "ValuesView", &this)
    }

    fn items<'py>(this: Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        view(this.py(), "ItemsView", &this)
    }

    /// The value at a path, or the default.
    #[pyo3(signature = (path, default=None))]
    fn get<'py>(
        this: &Bound<'py, Self>,
        path: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Ok(found(this, path)?.or(default).unwrap_or_else(|| this.py().None().into_bound(this.py())))
    }

    /// The value at a path (or the default) and the version of its first subscript: a later write to it conflicts if
    /// another request changed it meanwhile.
    #[pyo3(signature = (path, default=None))]
    fn get_versioned<'py>(
        &self,
        py: Python<'py>,
        path: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<(Bound<'py, PyAny>, u64)> {
        let (value, version) = with_path(path, |path| attached(py, || self.request.get_versioned(path)))?;
        let value = match value {
            Some(value) => to_py(py, &value)?,
            None => default.unwrap_or_else(|| py.None().into_bound(py)),
        };
        Ok((value, version))
    }

    /// The commit fails with `Conflict` if the key is not at this version then.
    fn expect_version(&self, py: Python<'_>, key: &Bound<'_, PyAny>, version: &Bound<'_, PyAny>) -> PyResult<()> {
        let (key, version) = (subscript(key)?, count("version", version)?);
        attached(py, || self.request.expect_version(&key, version))
    }

    /// Sets the value at a path.
    fn set(&self, py: Python<'_>, path: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        with_path(path, |path| self.put(py, path, value))
    }

    /// Removes a subtree, of the empty path everything; tells whether there was something.
    #[pyo3(signature = (path=None))]
    fn kill(&self, py: Python<'_>, path: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        match path {
            Some(path) => with_path(path, |path| self.remove(py, path)),
            None => self.remove(py, &[]),
        }
    }

    /// Removes a subtree and returns its value, or the default; without one, `KeyError`.
    #[pyo3(signature = (path, default=Given(None)), text_signature = "($self, path, default=...)")]
    fn pop<'py>(&self, py: Python<'py>, path: &Bound<'py, PyAny>, default: Given<'py>) -> PyResult<Bound<'py, PyAny>> {
        let value = with_path(path, |path| {
            let value = attached(py, || self.request.pop(path))?;
            self.forget_below(path);
            Ok(value)
        })?;
        match (value, default) {
            (Some(value), _) => to_py(py, &value),
            (None, Given(Some(default))) => Ok(default),
            (None, Given(None)) => Err(PyKeyError::new_err(path.clone().unbind())),
        }
    }

    /// Removes and returns the last key and its value.
    fn popitem<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        let last = attached(py, || self.request.next(&[], None, Direction::Backward))?;
        let Some(last) = last.filter(|last| last.as_text().is_some()) else {
            return Err(PyKeyError::new_err("popitem(): the session has no keys"));
        };
        let key = subscript_to_py(py, &last)?;
        let value = self.pop(py, &key, Given(Some(py.None().into_bound(py))))?;
        Ok((key, value))
    }

    /// The value at a path; if there is none it is set to the default first.
    #[pyo3(signature = (path, default=None))]
    fn setdefault<'py>(
        this: &Bound<'py, Self>,
        path: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if let Some(found) = found(this, path)? {
            return Ok(found);
        }
        let py = this.py();
        let default = default.unwrap_or_else(|| py.None().into_bound(py));
        with_path(path, |path| this.get().put(py, path, &default))?;
        Self::__getitem__(this, path)
    }

    /// Sets what a mapping, pairs, and keywords say.
    #[pyo3(signature = (*others, **kwargs))]
    fn update(&self, py: Python<'_>, others: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<()> {
        if others.len() > 1 {
            return Err(PyTypeError::new_err(format!("update expected at most 1 argument, got {}", others.len())));
        }
        for other in others {
            let pairs = match other.cast::<PyMapping>() {
                Ok(mapping) => mapping.items()?.into_any(),
                Err(_) => other.clone(),
            };
            for pair in pairs.try_iter()? {
                let (key, value) = pair?.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
                self.__setitem__(py, &key, &value)?;
            }
        }
        for (key, value) in kwargs.into_iter().flatten() {
            self.__setitem__(py, &key, &value)?;
        }
        Ok(())
    }

    /// Removes everything.
    fn clear(&self, py: Python<'_>) -> PyResult<()> {
        self.remove(py, &[]).map(drop)
    }

    /// `$DATA`: 0 nothing, 1 a value, 10 children, 11 both.
    fn defined(&self, py: Python<'_>, path: &Bound<'_, PyAny>) -> PyResult<u8> {
        with_path(path, |path| attached(py, || self.request.defined(path)))
    }

    /// `$ORDER`: the subscript below `path` that follows `after`, or None.
    #[pyo3(signature = (path=None, after=None, *, backward=false))]
    fn next<'py>(
        &self,
        py: Python<'py>,
        path: Option<&Bound<'py, PyAny>>,
        after: Option<&Bound<'py, PyAny>>,
        backward: bool,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let direction = if backward { Direction::Backward } else { Direction::Forward };
        let after = after.filter(|after| !after.is_none()).map(subscript).transpose()?;
        let next = |path: &[Subscript]| attached(py, || self.request.next(path, after.as_ref(), direction));
        let found = match path {
            Some(path) => with_path(path, next)?,
            None => next(&[])?,
        };
        found.map(|found| subscript_to_py(py, &found)).transpose()
    }

    /// Lays a tree over the subtree at `path`; deletes nothing.
    fn merge(&self, py: Python<'_>, path: &Bound<'_, PyAny>, tree: &Bound<'_, PyAny>) -> PyResult<()> {
        let tree = tree_from_py(tree)?;
        with_path(path, |path| {
            self.forget_below(path);
            attached(py, || self.request.merge(path, &tree))
        })
    }

    /// Every node below `path` as `(path, value)`, the paths relative to it, in collation order.
    #[pyo3(signature = (path=None))]
    fn entries<'py>(&self, py: Python<'py>, path: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyList>> {
        let entries = match path {
            Some(path) => with_path(path, |path| attached(py, || self.request.entries(path)))?,
            None => attached(py, || self.request.entries(&[]))?,
        };
        entries_to_py(py, entries)
    }

    /// Everything as nested dicts: a copy.
    fn as_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        nested(py, attached(py, || self.request.entries(&[]))?)
    }

    /// Nodes that have a value.
    fn count(&self, py: Python<'_>) -> PyResult<usize> {
        attached(py, || self.request.count())
    }

    /// Bytes of the data with this request's writes, as quotas count them.
    fn bytes_used(&self, py: Python<'_>) -> PyResult<usize> {
        attached(py, || self.request.bytes_used())
    }

    /// Sets a value if it is `expected` now; commits at once. `MISSING` is no value.
    fn compare_and_set(
        &self,
        py: Python<'_>,
        path: &Bound<'_, PyAny>,
        expected: &Bound<'_, PyAny>,
        new: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let (expected, new) = (present(expected)?, present(new)?);
        with_path(path, |path| {
            self.forget_below(path);
            attached(py, || self.request.compare_and_set(path, expected.as_ref(), new))
        })
    }

    /// For tracking lists and dicts: writes one back if it is still the one at its path; tells whether.
    ///
    /// What is written was made of what was read: if another request changed that meanwhile, it is a `Conflict`, now or
    /// at the commit, and no update is lost.
    #[pyo3(name = "_write")]
    fn write(&self, py: Python<'_>, path: &Bound<'_, PyTuple>, object: &Bound<'_, PyAny>) -> PyResult<bool> {
        let value = from_py(object)?;
        with_path(path.as_any(), |path| {
            let seen =
                self.views.lock().iter().find(|view| view.path == path && view.is(object)).map(|v| v.value.clone());
            let Some(seen) = seen else { return Ok(false) };
            attached(py, || {
                let as_seen = |current: Option<Value>| {
                    current.is_some_and(|current| current == seen || to_json(&current) == to_json(&seen))
                };
                if as_seen(self.request.get(path)?) && as_seen(self.request.get_versioned(path)?.0) {
                    return self.request.set(path, value.clone());
                }
                Err(Error::conflict(path.first().map(key_text).into_iter().collect()))
            })?;
            if let Some(view) = self.views.lock().iter_mut().find(|view| view.path == path) {
                view.value = value;
            }
            Ok(true)
        })
    }

    /// For tracking lists and dicts: the plain value at a path, or None; what is there shows it from now on.
    #[pyo3(name = "_read")]
    fn read<'py>(&self, py: Python<'py>, path: &Bound<'py, PyTuple>) -> PyResult<Option<Bound<'py, PyAny>>> {
        with_path(path.as_any(), |path| {
            let Some(value) = attached(py, || self.request.get(path))? else { return Ok(None) };
            let plain = to_py(py, &value)?;
            if let Some(view) = self.views.lock().iter_mut().find(|view| view.path == path) {
                view.value = value;
            }
            Ok(Some(plain))
        })
    }
}

impl Session {
    fn put(&self, py: Python<'_>, path: &[Subscript], object: &Bound<'_, PyAny>) -> PyResult<()> {
        let value = from_py(object)?;
        attached(py, || self.request.set(path, value))?;
        self.forget(|view| view.path == path && !view.is(object));
        Ok(())
    }

    fn remove(&self, py: Python<'_>, path: &[Subscript]) -> PyResult<bool> {
        let removed = attached(py, || self.request.kill(path))?;
        self.forget_below(path);
        Ok(removed)
    }

    fn names(&self, py: Python<'_>) -> PyResult<Vec<Subscript>> {
        let mut names = Vec::new();
        let mut next = attached(py, || self.request.next(&[], None, Direction::Backward))?;
        while let Some(name) = next.take_if(|name| name.as_text().is_some()) {
            next = attached(py, || self.request.next(&[], Some(&name), Direction::Backward))?;
            names.push(name);
        }
        names.reverse();
        Ok(names)
    }

    fn forget(&self, which: impl Fn(&View) -> bool) {
        let mut views = self.views.lock();
        if views.is_empty() {
            return;
        }
        // What is forgotten is dropped after the lock is released: its destructor may come back here.
        let forgotten: Vec<View> = views.extract_if(.., |view| which(view)).collect();
        drop(views);
        drop(forgotten);
    }

    fn forget_below(&self, path: &[Subscript]) {
        self.forget(|view| view.path.starts_with(path));
    }

    /// Lists and dicts that were handed out don't write any more.
    pub fn forget_views(&self) {
        self.forget(|_| true);
    }
}

fn present(object: &Bound<'_, PyAny>) -> PyResult<Option<Value>> {
    static MISSING: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = object.py();
    let missing =
        MISSING.get_or_try_init(py, || py.import("libsession._events")?.getattr("MISSING").map(Bound::unbind))?;
    if object.is(missing) { Ok(None) } else { from_py(object).map(Some) }
}

/// A key as errors name it.
fn key_text(key: &Subscript) -> String {
    key.as_text().map_or_else(|| key.to_string(), str::to_owned)
}

fn view<'py>(py: Python<'py>, class: &str, session: &Bound<'py, Session>) -> PyResult<Bound<'py, PyAny>> {
    static VIEWS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let views = VIEWS.get_or_try_init(py, || py.import("collections.abc").map(|module| module.into_any().unbind()))?;
    views.bind(py).getattr(class)?.call1((session,))
}

/// What is at a path: a scalar, a tracking list or dict, or, where there are children only, a node.
fn found<'py>(session: &Bound<'py, Session>, key: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    static NODE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let (py, request) = (session.py(), &session.get().request);
    with_path(key, |path| match attached(py, || request.get(path))? {
        Some(value @ (Value::List(_) | Value::Map(_))) => view_of(session, path, value).map(Some),
        Some(value) => to_py(py, &value).map(Some),
        None if attached(py, || request.defined(path))? == 0 => Ok(None),
        None => {
            let node =
                NODE.get_or_try_init(py, || py.import("libsession._views")?.getattr("Node").map(Bound::unbind))?;
            node.bind(py).call1((session, path_to_py(py, path)?)).map(Some)
        }
    })
}

/// The tracking list or dict at a path: the same object as before as long as somebody has it and nothing else was put
/// there.
fn view_of<'py>(session: &Bound<'py, Session>, path: &[Subscript], value: Value) -> PyResult<Bound<'py, PyAny>> {
    static TRACK: PyOnceLock<(Py<PyAny>, Py<PyAny>)> = PyOnceLock::new();
    let (py, inner) = (session.py(), session.get());
    let (track, refresh) = TRACK.get_or_try_init(py, || {
        let views = py.import("libsession._views")?;
        Ok::<_, PyErr>((views.getattr("track")?.unbind(), views.getattr("refresh")?.unbind()))
    })?;
    let known = {
        let views = inner.views.lock();
        views.iter().find(|view| view.path == path).map(|view| (view.object.clone_ref(py), view.value == value))
    };
    if let Some((weak, same)) = known
        && let Some(object) = weak.bind(py).upgrade()
    {
        // Changed beneath it by another request: the same object shows it, unless it changed between list and dict.
        if same {
            return Ok(object);
        }
        if refresh.bind(py).call1((&object, to_py(py, &value)?))?.extract()? {
            if let Some(view) = inner.views.lock().iter_mut().find(|view| view.path == path) {
                view.value = value;
            }
            return Ok(object);
        }
    }
    inner.forget(|view| view.path == path);
    let object = track.bind(py).call1((session, path_to_py(py, path)?, to_py(py, &value)?))?;
    let weak = PyWeakrefReference::new(&object)?.unbind();
    inner.views.lock().push(View { path: path.to_vec(), object: weak, value });
    Ok(object)
}
