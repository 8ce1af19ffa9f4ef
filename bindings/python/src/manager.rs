//! The manager: making sessions, beginning their requests, ending them.

use std::sync::Arc;
use std::time::Duration;

use libsession_core::session::{Created as CoreCreated, EndOptions, Touched};
use libsession_core::{Begin, Manager as CoreManager, Request, Ticket, TouchKind};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::config;
use crate::duration::{shared_delta, timeout};
use crate::errors::raise;
use crate::future::Later;
use crate::guard::{asking, attached, contain, detached};
use crate::options::{self, Given, argument, session_id};
use crate::patient;
use crate::records;
use crate::session::{Session, may_wait};
use crate::shared::Shared;
use crate::wait::wait_by_ticket;
use crate::words::parse_option;

/// What the front room's `Manager` inherits.
#[pyclass(frozen, subclass, module = "libsession._native")]
pub struct Manager {
    /// What all objects of this manager share.
    pub shared: Arc<Shared>,
}

/// A session that was made.
#[pyclass(frozen, module = "libsession._native")]
pub struct Created(pub CoreCreated);

#[pymethods]
impl Created {
    #[getter]
    fn id(&self) -> String {
        self.0.id.to_string()
    }

    #[getter]
    fn token(&self) -> String {
        self.0.token.reveal()
    }

    fn __repr__(&self) -> String {
        format!("<Created {}>", self.0.id)
    }
}

type Object<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

#[pymethods]
impl Manager {
    #[new]
    fn new(options: &Bound<'_, PyDict>) -> PyResult<Self> {
        let config = config::config(options)?;
        let core = attached(options.py(), || CoreManager::new(config))?;
        Ok(Self { shared: Arc::new(Shared::new(core)) })
    }

    /// Makes a session; starts no request.
    #[pyo3(
        signature = (application=None, *, client=None, data=None, license_class=None, idle_timeout=Given(None), absolute_timeout=None, wait=None, priority=None, ticket=None),
        text_signature = "($self, application=None, *, client=None, data=None, license_class=None, idle_timeout=..., absolute_timeout=None, wait=None, priority=None, ticket=None)"
    )]
    #[allow(clippy::too_many_arguments)]
    fn create(
        &self,
        py: Python<'_>,
        application: Object<'_, '_>,
        client: Object<'_, '_>,
        data: Object<'_, '_>,
        license_class: Object<'_, '_>,
        idle_timeout: Given<'_>,
        absolute_timeout: Object<'_, '_>,
        wait: Object<'_, '_>,
        priority: Object<'_, '_>,
        ticket: Object<'_, '_>,
    ) -> PyResult<Created> {
        let (idle, waiting) = (&idle_timeout, (wait, priority, ticket));
        let create = options::create(application, client, data, license_class, idle, absolute_timeout, waiting)?;
        let at_once = |create| asking(py, self.shared.deciders(), || self.shared.create(create));
        let later = |create, then| self.shared.create_async(create, then);
        let undo = |created: CoreCreated| drop(self.shared.end(created.id, EndOptions::default()));
        patient::result(py, create, at_once, later, undo).map(Created)
    }

    /// As `create`; a coroutine.
    #[pyo3(
        signature = (application=None, *, client=None, data=None, license_class=None, idle_timeout=Given(None), absolute_timeout=None, wait=None, priority=None, ticket=None),
        text_signature = "($self, application=None, *, client=None, data=None, license_class=None, idle_timeout=..., absolute_timeout=None, wait=None, priority=None, ticket=None)"
    )]
    #[allow(clippy::too_many_arguments)]
    fn acreate<'py>(
        &self,
        py: Python<'py>,
        application: Object<'_, 'py>,
        client: Object<'_, 'py>,
        data: Object<'_, 'py>,
        license_class: Object<'_, 'py>,
        idle_timeout: Given<'py>,
        absolute_timeout: Object<'_, 'py>,
        wait: Object<'_, 'py>,
        priority: Object<'_, 'py>,
        ticket: Object<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (idle, waiting) = (&idle_timeout, (wait, priority, ticket));
        let create = options::create(application, client, data, license_class, idle, absolute_timeout, waiting)?;
        let (shared, owner) = (self.shared.clone(), self.shared.clone());
        let later = move |create, then| shared.create_async(create, then);
        let convert = |py: Python<'_>, created| Ok(Py::new(py, Created(created))?.into_any());
        let undo = move |created: CoreCreated| drop(owner.end(created.id, EndOptions::default()));
        patient::coroutine(py, "acreate", &self.shared, create, later, convert, undo)
    }

    /// Makes a session and begins its first request, in one step.
    #[pyo3(
        signature = (application=None, *, client=None, data=None, license_class=None, idle_timeout=Given(None), absolute_timeout=None, touch=None, lock=None, wait=None, priority=None, ticket=None),
        text_signature = "($self, application=None, *, client=None, data=None, license_class=None, idle_timeout=..., absolute_timeout=None, touch=None, lock=None, wait=None, priority=None, ticket=None)"
    )]
    #[allow(clippy::too_many_arguments)]
    fn begin_new(
        &self,
        py: Python<'_>,
        application: Object<'_, '_>,
        client: Object<'_, '_>,
        data: Object<'_, '_>,
        license_class: Object<'_, '_>,
        idle_timeout: Given<'_>,
        absolute_timeout: Object<'_, '_>,
        touch: Object<'_, '_>,
        lock: Object<'_, '_>,
        wait: Object<'_, '_>,
        priority: Object<'_, '_>,
        ticket: Object<'_, '_>,
    ) -> PyResult<Session> {
        let (idle, waiting) = (&idle_timeout, (wait, priority, ticket));
        let create = options::create(application, client, data, license_class, idle, absolute_timeout, waiting)?;
        let begin = options::begin(touch, lock, None, None)?;
        let first = begin.clone();
        let at_once = |create| asking(py, self.shared.deciders(), || self.shared.begin_new(create, first));
        let later = |create, then| self.shared.begin_new_async(create, begin, then);
        let undo = |request: Request| drop(request.end(EndOptions::default()));
        let request = patient::result(py, create, at_once, later, undo)?;
        Ok(Session::owned(request, self.shared.clone()))
    }

    #[pyo3(
        name = "_abegin_new",
        signature = (application, client, data, license_class, idle_timeout, absolute_timeout, touch, lock, wait, priority, ticket)
    )]
    #[allow(clippy::too_many_arguments)]
    fn abegin_new<'py>(
        &self,
        py: Python<'py>,
        application: Object<'_, 'py>,
        client: Object<'_, 'py>,
        data: Object<'_, 'py>,
        license_class: Object<'_, 'py>,
        idle_timeout: Given<'py>,
        absolute_timeout: Object<'_, 'py>,
        touch: Object<'_, 'py>,
        lock: Object<'_, 'py>,
        wait: Object<'_, 'py>,
        priority: Object<'_, 'py>,
        ticket: Object<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (idle, waiting) = (&idle_timeout, (wait, priority, ticket));
        let create = options::create(application, client, data, license_class, idle, absolute_timeout, waiting)?;
        let begin = options::begin(touch, lock, None, None)?;
        let (shared, owner) = (self.shared.clone(), self.shared.clone());
        let later = move |create, then| shared.begin_new_async(create, begin, then);
        let convert = |py: Python<'_>, request| Ok(Py::new(py, Session::owned(request, owner))?.into_any());
        let undo = |request: Request| drop(request.end(EndOptions::default()));
        patient::coroutine(py, "abegin_new", &self.shared, create, later, convert, undo)
    }

    /// Begins a request of the session that this token opens.
    #[pyo3(signature = (token, *, touch=None, lock=None, lock_timeout=None, application=None))]
    fn begin(
        &self,
        py: Python<'_>,
        token: &Bound<'_, PyAny>,
        touch: Object<'_, '_>,
        lock: Object<'_, '_>,
        lock_timeout: Object<'_, '_>,
        application: Object<'_, '_>,
    ) -> PyResult<Session> {
        let text = text_of(token);
        let mut begin = options::begin(touch, lock, lock_timeout, application)?;
        let timeout = begin.lock_timeout.replace(Duration::ZERO);
        // First without waiting: that is nearly always enough, and needs no other thread.
        let asks = begin.application.is_some() && self.shared.deciders();
        let first = begin.clone();
        let at_once = if asks {
            py.detach(|| contain(|| self.shared.begin(text, first)))
        } else {
            crate::guard::knowing(true, || contain(|| self.shared.begin(text, first)))
        };
        let begun = match at_once {
            Err(error) if may_wait(py, &error, timeout)? => {
                begin.lock_timeout = timeout;
                begin.ticket = Some(Ticket::new());
                wait_by_ticket(py, begin.ticket.clone(), |then| self.shared.begin_async(text, begin, then), drop)?
            }
            result => result.map_err(|error| raise(py, &error))?,
        };
        Session::begun(begun, self.shared.clone()).map_err(|error| raise(py, &error))
    }

    #[pyo3(name = "_abegin", signature = (token, touch, lock, lock_timeout, application))]
    fn abegin<'py>(
        &self,
        py: Python<'py>,
        token: &Bound<'py, PyAny>,
        touch: Object<'_, 'py>,
        lock: Object<'_, 'py>,
        lock_timeout: Object<'_, 'py>,
        application: Object<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let text = text_of(token).to_owned();
        let mut begin = options::begin(touch, lock, lock_timeout, application)?;
        begin.ticket = Some(Ticket::new());
        let (shared, owner, asked) = (self.shared.clone(), self.shared.clone(), self.shared.clone());
        let enters = begin.application.is_some();
        let call = Later {
            asks: move || enters && asked.deciders(),
            ticket: begin.ticket.clone(),
            start: move |then| shared.begin_async(&text, begin, then),
            convert: move |py: Python<'_>, begun: Begin| {
                let session = Session::begun(begun, owner).map_err(|error| raise(py, &error))?;
                Ok(Py::new(py, session)?.into_any())
            },
            // A request finishes when it is dropped.
            undo: |begun: Begin| drop(begun),
        };
        call.into_coroutine(py, "abegin")
    }

    /// Uses a session without a request; returns the time until its deadline, None if it has none.
    #[pyo3(signature = (token, kind=None))]
    fn touch<'py>(
        &self,
        py: Python<'py>,
        token: &Bound<'py, PyAny>,
        kind: Object<'_, 'py>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let kind = parse_option(kind)?.unwrap_or(TouchKind::Activity);
        match attached(py, || self.shared.touch(text_of(token), kind))? {
            Touched::Live(left) => left.map(|left| shared_delta(py, left)).transpose(),
            Touched::Absent => Err(raise(py, &libsession_core::Error::absent())),
            Touched::Gone(reason) => Err(raise(py, &libsession_core::Error::gone(reason))),
        }
    }

    /// The public id of the live session that this token opens, or None: a peek.
    fn id_of(&self, py: Python<'_>, token: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
        attached(py, || self.shared.id_of(text_of(token))).map(|id| id.map(|id| id.to_string()))
    }

    /// Ends a session by its public id.
    #[pyo3(signature = (id, *, level=None, reason=None, actor=None, note=None, wait=None))]
    #[allow(clippy::too_many_arguments)]
    fn end<'py>(
        &self,
        py: Python<'py>,
        #[pyo3(from_py_with = argument::id)] id: String,
        level: Object<'_, '_>,
        reason: Object<'_, '_>,
        actor: Object<'_, '_>,
        note: Object<'_, '_>,
        wait: Object<'_, '_>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (id, end) = (session_id(py, &id)?, options::end(level, reason, actor, note, wait)?);
        let asks = self.shared.deciders() || end.wait.is_some();
        let outcome = asking(py, asks, || self.shared.end(id, end))?;
        records::end_outcome(py, &outcome)
    }

    /// As `end`; a coroutine.
    #[pyo3(signature = (id, *, level=None, reason=None, actor=None, note=None, wait=None))]
    #[allow(clippy::too_many_arguments)]
    fn aend<'py>(
        &self,
        py: Python<'py>,
        #[pyo3(from_py_with = argument::id)] id: String,
        level: Object<'_, 'py>,
        reason: Object<'_, 'py>,
        actor: Object<'_, 'py>,
        note: Object<'_, 'py>,
        wait: Object<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (id, end) = (session_id(py, &id)?, options::end(level, reason, actor, note, wait)?);
        let (shared, asked, waits) = (self.shared.clone(), self.shared.clone(), end.wait.is_some());
        let call = Later {
            asks: move || waits || asked.deciders(),
            ticket: None,
            start: move |then| shared.end_async(id, end, then),
            convert: |py: Python<'_>, outcome| records::end_outcome(py, &outcome).map(Bound::unbind),
            undo: drop,
        };
        call.into_coroutine(py, "aend")
    }

    #[pyo3(name = "_end_where")]
    #[allow(clippy::too_many_arguments)]
    fn end_where<'py>(
        &self,
        py: Python<'py>,
        filter: &Bound<'py, PyDict>,
        level: &Bound<'py, PyAny>,
        reason: &Bound<'py, PyAny>,
        actor: &Bound<'py, PyAny>,
        note: &Bound<'py, PyAny>,
        #[pyo3(from_py_with = argument::cursor)] cursor: u64,
        #[pyo3(from_py_with = argument::limit)] limit: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        let filter = options::filter(Some(filter))?;
        let end = options::end(Some(level), Some(reason), Some(actor), Some(note), None)?;
        records::progress(py, detached(py, || self.shared.end_where(&filter, end, cursor, limit))?)
    }

    /// Sets the idle timeout of one session by its public id; False if it is not live.
    fn set_idle_timeout(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = argument::id)] id: String,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<bool> {
        let (id, value) = (session_id(py, &id)?, timeout("idle_timeout", value)?);
        attached(py, || self.shared.set_idle_timeout(id, value))
    }

    /// Sets the absolute timeout of one session by its public id, only earlier; False if it is not live.
    fn set_absolute_timeout(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = argument::id)] id: String,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<bool> {
        let (id, value) = (session_id(py, &id)?, crate::duration::duration("absolute_timeout", value)?);
        attached(py, || self.shared.set_absolute_timeout(id, value))
    }

    #[pyo3(name = "_set_idle_timeout_where")]
    fn set_idle_timeout_where<'py>(
        &self,
        py: Python<'py>,
        filter: &Bound<'py, PyDict>,
        value: &Bound<'py, PyAny>,
        #[pyo3(from_py_with = argument::cursor)] cursor: u64,
        #[pyo3(from_py_with = argument::limit)] limit: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (filter, value) = (options::filter(Some(filter))?, timeout("idle_timeout", value)?);
        let progress = detached(py, || self.shared.set_idle_timeout_where(&filter, value, cursor, limit))?;
        records::progress(py, progress)
    }

    fn __reduce__(&self) -> PyResult<Py<PyAny>> {
        Err(PyTypeError::new_err(
            "a Manager can't be pickled: its table lives in this process; open one in each process",
        ))
    }
}

/// A token as a client presented it: whatever is no text opens nothing, as any text that is no token.
fn text_of<'a>(token: &'a Bound<'_, PyAny>) -> &'a str {
    token.extract::<&str>().unwrap_or("")
}
