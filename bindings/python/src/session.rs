//! A request in flight: its identity, its scope, and its life. The data are in [`data`](crate::data).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use libsession_core::sync::Mutex;
use libsession_core::{
    Begin, EndOutcome, Error, ErrorKind, LockMode, Logout, Request, Result, Subscript, Ticket, Value,
};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyTuple, PyWeakrefMethods, PyWeakrefReference};

use crate::duration::{duration, optional, timeout};
use crate::errors::{invalid, raise};
use crate::future::{Later, Ready};
use crate::guard::{asking, attached, detached};
use crate::options;
use crate::patient;
use crate::records;
use crate::shared::Shared;
use crate::wait::{on_event_loop, wait_by_ticket};
use crate::words::{parse, word};

/// A list or dict of this session that was handed out: where it is, the object, and what it was when last in step.
pub struct View {
    /// Where its value is.
    pub path: Vec<Subscript>,
    /// The tracking list or dict, as long as somebody has it.
    pub object: Py<PyWeakrefReference>,
    /// What it held when it was last read or written.
    pub value: Value,
}

impl View {
    /// Whether it is this object.
    pub fn is(&self, object: &Bound<'_, PyAny>) -> bool {
        self.object.bind(object.py()).upgrade().is_some_and(|own| own.is(object))
    }
}

/// A request in flight; for callbacks that decide, the request they act under.
#[pyclass(frozen, mapping, module = "libsession._native")]
pub struct Session {
    /// The core's request.
    pub request: Request,
    /// Its manager.
    pub manager: Arc<Shared>,
    /// The lists and dicts that were handed out.
    pub views: Mutex<Vec<View>>,
    owned: bool,
    over: AtomicBool,
}

impl Session {
    /// The request of a caller, who finishes it.
    pub fn owned(request: Request, manager: Arc<Shared>) -> Self {
        Self { request, manager, views: Mutex::default(), owned: true, over: AtomicBool::new(false) }
    }

    /// A request that another finishes.
    pub fn borrowed(request: Request, manager: Arc<Shared>) -> Self {
        Self { request, manager, views: Mutex::default(), owned: false, over: AtomicBool::new(false) }
    }

    /// From the outcome of a begin; `Absent` and `Gone` are raised.
    pub fn begun(begin: Begin, manager: Arc<Shared>) -> Result<Self> {
        begin.live().map(|request| Self::owned(request, manager))
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.over.store(true, Ordering::Relaxed);
        asking(py, self.manager.deciders(), || self.request.finish())
    }

    /// The end of a `with`: commits and finishes. What was finished or ended inside is over already; an exception on its
    /// way is not replaced, it gets a note.
    fn leave(&self, py: Python<'_>, exception: &Bound<'_, PyAny>) -> PyResult<()> {
        if self.over.load(Ordering::Relaxed) || !self.owned {
            return Ok(());
        }
        match self.close(py) {
            Err(error) if !exception.is_none() => {
                let note = format!("libsession: the request could not be committed: {}", error.value(py));
                exception.call_method1("add_note", (note,)).map(drop)
            }
            result => result,
        }
    }

    fn ended(&self, py: Python<'_>, outcome: &EndOutcome) -> PyResult<Py<PyAny>> {
        if matches!(outcome, EndOutcome::Ended(_) | EndOutcome::Gone(_)) {
            self.over.store(true, Ordering::Relaxed);
        }
        records::end_outcome(py, outcome).map(Bound::unbind)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.owned || *self.over.get_mut() || !self.manager.deciders() {
            return;
        }
        // The core finishes a request when it is dropped. That may ask callbacks, which need the interpreter.
        let _ = Python::try_attach(|py| py.detach(|| self.request.finish()));
    }
}

#[pymethods]
impl Session {
    #[getter]
    fn id(&self) -> String {
        self.request.id().to_string()
    }

    #[getter]
    fn token(&self) -> String {
        self.request.token().reveal()
    }

    #[getter]
    fn is_new(&self) -> bool {
        self.request.is_new()
    }

    #[getter]
    fn application(&self, py: Python<'_>) -> PyResult<String> {
        attached(py, || self.request.application()).map(|name| name.to_string())
    }

    #[getter]
    fn user(&self, py: Python<'_>) -> PyResult<Option<String>> {
        attached(py, || self.request.user()).map(|user| user.map(|user| user.to_string()))
    }

    #[getter]
    fn license_holder(&self, py: Python<'_>) -> PyResult<Option<String>> {
        attached(py, || self.request.license_holder()).map(|holder| holder.map(|holder| holder.to_string()))
    }

    fn info<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        records::session_info(py, &attached(py, || self.request.info())?)
    }

    #[getter]
    fn idle_timeout(&self, py: Python<'_>) -> PyResult<Option<std::time::Duration>> {
        attached(py, || self.request.info()).map(|info| info.idle_timeout)
    }

    #[setter]
    fn set_idle_timeout(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let value = timeout("idle_timeout", value)?;
        attached(py, || self.request.set_idle_timeout(value))
    }

    #[getter]
    fn absolute_timeout(&self, py: Python<'_>) -> PyResult<Option<std::time::Duration>> {
        attached(py, || self.request.info()).map(|info| info.absolute_timeout)
    }

    #[setter]
    fn set_absolute_timeout(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        if value.is_none() {
            return Err(invalid(py, "the absolute timeout of a live session can only be set earlier, not to never"));
        }
        let value = duration("absolute_timeout", value)?;
        attached(py, || self.request.set_absolute_timeout(value))
    }

    // --- scope ---

    /// Commits and ends the request.
    fn finish(&self, py: Python<'_>) -> PyResult<()> {
        self.close(py)
    }

    /// Commits the writes so far.
    fn save(&self, py: Python<'_>) -> PyResult<()> {
        attached(py, || self.request.save())
    }

    /// Drops the writes so far.
    fn discard(&self, py: Python<'_>) -> PyResult<()> {
        self.forget_views();
        attached(py, || self.request.discard())
    }

    fn __enter__(this: Py<Self>) -> Py<Self> {
        this
    }

    #[pyo3(signature = (exc_type, exc_value, traceback, /))]
    fn __exit__(
        &self,
        py: Python<'_>,
        exc_type: &Bound<'_, PyAny>,
        exc_value: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let _ = (exc_type, traceback);
        self.leave(py, exc_value)
    }

    fn __aenter__(this: Py<Self>) -> Ready {
        Ready::value(this.into_any())
    }

    #[pyo3(signature = (exc_type, exc_value, traceback, /))]
    fn __aexit__(
        &self,
        py: Python<'_>,
        exc_type: &Bound<'_, PyAny>,
        exc_value: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) -> PyResult<Ready> {
        let _ = (exc_type, traceback);
        self.leave(py, exc_value)?;
        Ok(Ready::value(py.None()))
    }

    // --- lock ---

    /// Frees the lock early; `save` commits first.
    #[pyo3(signature = (save=true))]
    fn unlock(&self, py: Python<'_>, save: bool) -> PyResult<()> {
        attached(py, || self.request.unlock(save))
    }

    /// Takes the lock again; waits for it, unless this thread runs an event loop.
    #[pyo3(signature = (mode=None, timeout=None))]
    fn lock(
        &self,
        py: Python<'_>,
        mode: Option<&Bound<'_, PyAny>>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let (mode, timeout) = (lock_mode(mode)?, optional("timeout", timeout)?);
        let at_once = crate::guard::contain(|| self.request.lock(mode, Some(std::time::Duration::ZERO)));
        match at_once {
            Err(error) if may_wait(py, &error, timeout)? => {
                let (ticket, before) = (Some(Ticket::new()), self.request.lock_mode().ok().flatten());
                let undo = |()| drop(back_to(&self.request, before));
                wait_by_ticket(py, ticket.clone(), |then| self.request.lock_async(mode, timeout, ticket, then), undo)
            }
            result => result.map_err(|error| raise(py, &error)),
        }
    }

    /// As `lock`; a coroutine.
    #[pyo3(signature = (mode=None, timeout=None))]
    fn alock<'py>(
        this: &Bound<'py, Self>,
        mode: Option<&Bound<'py, PyAny>>,
        timeout: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (mode, timeout) = (lock_mode(mode)?, optional("timeout", timeout)?);
        let (request, owner) = (this.get().request.clone(), this.get().request.clone());
        let held = Arc::new(OnceLock::new());
        let (before, ticket) = (held.clone(), Some(Ticket::new()));
        let call = Later {
            asks: || false,
            ticket: ticket.clone(),
            start: move |then| {
                let _ = held.set(request.lock_mode().ok().flatten());
                request.lock_async(mode, timeout, ticket, then);
            },
            convert: kept(this, none),
            undo: move |()| drop(back_to(&owner, before.get().copied().flatten())),
        };
        call.into_coroutine(this.py(), "alock")
    }

    #[getter]
    fn lock_mode<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        attached(py, || self.request.lock_mode())?.map(|mode| word(py, "LockMode", mode.name())).transpose()
    }

    // --- life ---

    /// Ends the session when its last request in flight finishes; False takes it back.
    #[pyo3(signature = (end=true))]
    fn request_end(&self, py: Python<'_>, end: bool) -> PyResult<()> {
        attached(py, || self.request.request_end(end))
    }

    /// Ends the session now.
    #[pyo3(signature = (*, level=None, reason=None, actor=None, note=None, wait=None))]
    fn end(
        &self,
        py: Python<'_>,
        level: Option<&Bound<'_, PyAny>>,
        reason: Option<&Bound<'_, PyAny>>,
        actor: Option<&Bound<'_, PyAny>>,
        note: Option<&Bound<'_, PyAny>>,
        wait: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let end = options::end(level, reason, actor, note, wait)?;
        let outcome = detached(py, || self.request.end(end))?;
        self.ended(py, &outcome)
    }

    /// A new token for the same session.
    fn rotate(&self, py: Python<'_>) -> PyResult<String> {
        attached(py, || self.request.rotate()).map(|token| token.reveal())
    }

    /// The host has authenticated `user`.
    #[pyo3(signature = (user, *, groups=None, wait=None, priority=None, ticket=None))]
    fn login<'py>(
        &self,
        py: Python<'py>,
        user: &Bound<'py, PyAny>,
        groups: Option<&Bound<'py, PyAny>>,
        wait: Option<&Bound<'py, PyAny>>,
        priority: Option<&Bound<'py, PyAny>>,
        ticket: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let user = options::required_text("user", user)?;
        let options = options::login(groups, (wait, priority, ticket))?;
        let at_once = |options| asking(py, self.manager.deciders(), || self.request.login_with(&user, options));
        let later = |options, then| self.request.login_async(&user, options, then);
        records::login(py, &patient::result(py, options, at_once, later, drop)?)
    }

    /// As `login`; a coroutine.
    #[pyo3(signature = (user, *, groups=None, wait=None, priority=None, ticket=None))]
    fn alogin<'py>(
        this: &Bound<'py, Self>,
        user: &Bound<'py, PyAny>,
        groups: Option<&Bound<'py, PyAny>>,
        wait: Option<&Bound<'py, PyAny>>,
        priority: Option<&Bound<'py, PyAny>>,
        ticket: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let user = options::required_text("user", user)?;
        let options = options::login(groups, (wait, priority, ticket))?;
        let request = this.get().request.clone();
        let later = move |options, then| request.login_async(&user, options, then);
        let convert = kept(this, |py, login| records::login(py, &login).map(Bound::unbind));
        // Who is logged in stays so.
        patient::coroutine(this.py(), "alogin", &this.get().manager, options, later, convert, drop)
    }

    /// Tries the license trade again.
    #[pyo3(signature = (*, groups=None, wait=None, priority=None, ticket=None))]
    fn trade(
        &self,
        py: Python<'_>,
        groups: Option<&Bound<'_, PyAny>>,
        wait: Option<&Bound<'_, PyAny>>,
        priority: Option<&Bound<'_, PyAny>>,
        ticket: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let options = options::login(groups, (wait, priority, ticket))?;
        let at_once = |options| asking(py, self.manager.deciders(), || self.request.trade_with(options));
        patient::result(py, options, at_once, |options, then| self.request.trade_async(options, then), drop)
    }

    /// As `trade`; a coroutine.
    #[pyo3(signature = (*, groups=None, wait=None, priority=None, ticket=None))]
    fn atrade<'py>(
        this: &Bound<'py, Self>,
        groups: Option<&Bound<'py, PyAny>>,
        wait: Option<&Bound<'py, PyAny>>,
        priority: Option<&Bound<'py, PyAny>>,
        ticket: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let options = options::login(groups, (wait, priority, ticket))?;
        let request = this.get().request.clone();
        let later = move |options, then| request.trade_async(options, then);
        patient::coroutine(this.py(), "atrade", &this.get().manager, options, later, kept(this, none), drop)
    }

    /// Takes a feature.
    #[pyo3(signature = (pool, count=None, *, groups=None, wait=None, priority=None, ticket=None))]
    #[allow(clippy::too_many_arguments)]
    fn take_feature(
        &self,
        py: Python<'_>,
        pool: &Bound<'_, PyAny>,
        count: Option<&Bound<'_, PyAny>>,
        groups: Option<&Bound<'_, PyAny>>,
        wait: Option<&Bound<'_, PyAny>>,
        priority: Option<&Bound<'_, PyAny>>,
        ticket: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let pool = options::required_text("pool", pool)?;
        let options = options::feature(count, groups, (wait, priority, ticket))?;
        let times = options.count;
        let at_once = |options| asking(py, self.manager.deciders(), || self.request.take_feature(&pool, options));
        let later = |options, then| self.request.take_feature_async(&pool, options, then);
        let undo = |()| drop(self.request.return_feature(&pool, times));
        patient::result(py, options, at_once, later, undo)
    }

    /// As `take_feature`; a coroutine.
    #[pyo3(signature = (pool, count=None, *, groups=None, wait=None, priority=None, ticket=None))]
    #[allow(clippy::too_many_arguments)]
    fn atake_feature<'py>(
        this: &Bound<'py, Self>,
        pool: &Bound<'py, PyAny>,
        count: Option<&Bound<'py, PyAny>>,
        groups: Option<&Bound<'py, PyAny>>,
        wait: Option<&Bound<'py, PyAny>>,
        priority: Option<&Bound<'py, PyAny>>,
        ticket: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let pool = options::required_text("pool", pool)?;
        let options = options::feature(count, groups, (wait, priority, ticket))?;
        let (request, owner) = (this.get().request.clone(), this.get().request.clone());
        let (taken, count) = (pool.clone(), options.count);
        let later = move |options, then| request.take_feature_async(&pool, options, then);
        let undo = move |()| drop(owner.return_feature(&taken, count));
        patient::coroutine(this.py(), "atake_feature", &this.get().manager, options, later, kept(this, none), undo)
    }

    /// Returns a feature; how often.
    #[pyo3(signature = (pool, count=None))]
    fn return_feature(
        &self,
        py: Python<'_>,
        pool: &Bound<'_, PyAny>,
        count: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<u64> {
        let pool = options::required_text("pool", pool)?;
        let count = count.map_or(Ok(1), |count| options::count("count", count))?;
        attached(py, || self.request.return_feature(&pool, count))
    }

    /// What the session has taken.
    fn features<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        records::features(py, &attached(py, || self.request.features())?)
    }

    /// The user leaves; the session lives on.
    #[pyo3(signature = (force=false))]
    fn logout<'py>(&self, py: Python<'py>, force: bool) -> PyResult<Bound<'py, PyAny>> {
        let logout = asking(py, self.manager.deciders(), || self.request.logout(force))?;
        self.logged_out(&logout);
        records::logout(py, &logout)
    }

    /// As `logout`; a coroutine.
    #[pyo3(signature = (force=false))]
    fn alogout<'py>(this: &Bound<'py, Self>, force: bool) -> PyResult<Bound<'py, PyAny>> {
        let (session, request, shared) =
            (this.clone().unbind(), this.get().request.clone(), this.get().manager.clone());
        let call = Later {
            asks: move || shared.deciders(),
            ticket: None,
            start: move |then| request.logout_async(force, then),
            convert: move |py: Python<'_>, logout: Logout| {
                session.get().logged_out(&logout);
                records::logout(py, &logout).map(Bound::unbind)
            },
            undo: drop,
        };
        call.into_coroutine(this.py(), "alogout")
    }

    fn __repr__(&self) -> String {
        format!("<Session {}>", self.request.id())
    }

    fn __reduce__(&self) -> PyResult<Py<PyAny>> {
        Err(PyTypeError::new_err("a Session can't be pickled: it is a request in flight; pickle its id or as_dict()"))
    }
}

impl Session {
    fn logged_out(&self, logout: &Logout) {
        if matches!(logout, Logout::Ended(_)) {
            self.over.store(true, Ordering::Relaxed);
        }
    }
}

fn none(py: Python<'_>, (): ()) -> PyResult<Py<PyAny>> {
    Ok(py.None())
}

/// As `convert`, and the session is not forgotten meanwhile, which would finish its request.
fn kept<T, C>(
    session: &Bound<'_, Session>,
    convert: C,
) -> impl FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + use<T, C>
where
    C: FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send,
{
    let session = session.clone().unbind();
    move |py, value| {
        drop(session);
        convert(py, value)
    }
}

/// Gives a lock back that nobody waits for any more: the request has the one that it held before, or none.
fn back_to(request: &Request, before: Option<LockMode>) -> Result<()> {
    match before {
        Some(mode) => request.lock(mode, Some(std::time::Duration::ZERO)),
        None => request.unlock(false),
    }
}

fn lock_mode(mode: Option<&Bound<'_, PyAny>>) -> PyResult<LockMode> {
    mode.filter(|mode| !mode.is_none()).map_or(Ok(LockMode::Exclusive), parse)
}

/// Whether a lock that was not free may be waited for: in a time that was not 0, and not on an event loop's thread.
pub fn may_wait(py: Python<'_>, error: &Error, timeout: Option<std::time::Duration>) -> PyResult<bool> {
    Ok(error.kind() == ErrorKind::LockTimeout
        && timeout.is_none_or(|timeout| !timeout.is_zero())
        && !on_event_loop(py)?)
}
