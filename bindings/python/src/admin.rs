//! The manager: event classes, seeing and mending, running.

use std::sync::Arc;
use std::time::{Duration, Instant};

use libsession_core::{EventClass, GroupResolver};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::duration::{duration, optional};
use crate::groups::Resolver;
use crate::guard::{attached, contain, detached};
use crate::handler::Handler;
use crate::manager::Manager;
use crate::options::{argument, count, filter, required_text, session_id, text};
use crate::pool::changes;
use crate::records;

/// How long a signal may go unseen while `drain` waits.
const SLICE: Duration = Duration::from_millis(50);

/// The group resolver among those who are asked: no event class is called so.
const RESOLVER: (&str, &str) = ("group resolver", "\u{1}");

#[pymethods]
impl Manager {
    #[pyo3(name = "_register")]
    #[allow(clippy::too_many_arguments)]
    fn register(
        &self,
        py: Python<'_>,
        name: &Bound<'_, PyAny>,
        namespace: &Bound<'_, PyAny>,
        methods: &Bound<'_, PyDict>,
        asynchronous: Vec<String>,
        deadline: &Bound<'_, PyAny>,
        compat_veto: bool,
        event_loop: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        let (name, namespace) = (required_text("name", name)?, required_text("namespace", namespace)?);
        let handler = Handler::new(methods, &asynchronous, event_loop, Arc::downgrade(&self.shared))?;
        let decides = handler.decides();
        let class = EventClass {
            name: name.clone(),
            namespace: namespace.clone(),
            handler: Arc::new(handler),
            deadline: optional("deadline", Some(deadline))?,
            compat_veto,
        };
        if decides {
            self.shared.add_decider(&name, &namespace);
        }
        detached(py, || self.shared.register(class))
    }

    /// Unregisters an event class; returns when none of its callbacks runs any more; tells whether it was there.
    #[pyo3(signature = (name, namespace=String::new()), text_signature = "($self, name, namespace='')")]
    fn unregister(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = argument::name)] name: String,
        #[pyo3(from_py_with = argument::namespace)] namespace: String,
    ) -> PyResult<bool> {
        let was_there = detached(py, || self.shared.unregister(&name, &namespace))?;
        self.shared.remove_decider(&name, &namespace);
        Ok(was_there)
    }

    #[pyo3(name = "_set_group_resolver")]
    fn set_group_resolver(&self, py: Python<'_>, resolver: Option<Py<PyAny>>, asynchronous: bool) -> PyResult<()> {
        let asks = resolver.is_some();
        let resolver =
            resolver.map(|resolver| Arc::new(Resolver::new(resolver, asynchronous)) as Arc<dyn GroupResolver>);
        if asks {
            self.shared.add_decider(RESOLVER.0, RESOLVER.1);
        }
        detached(py, || self.shared.set_group_resolver(resolver))?;
        if !asks {
            self.shared.remove_decider(RESOLVER.0, RESOLVER.1);
        }
        Ok(())
    }

    /// Live sessions.
    fn count(&self, py: Python<'_>) -> PyResult<u64> {
        attached(py, || self.shared.count())
    }

    #[pyo3(name = "_list")]
    fn list<'py>(
        &self,
        py: Python<'py>,
        which: &Bound<'py, PyDict>,
        #[pyo3(from_py_with = argument::cursor)] cursor: u64,
        #[pyo3(from_py_with = argument::limit)] limit: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        let filter = filter(Some(which))?;
        records::page(py, &detached(py, || self.shared.list(&filter, cursor, limit))?)
    }

    /// Everything about one session, live or ended; None if unknown.
    fn explain<'py>(
        &self,
        py: Python<'py>,
        #[pyo3(from_py_with = argument::id)] id: String,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let id = session_id(py, &id)?;
        detached(py, || self.shared.explain(id))?.map(|explain| records::explain(py, &explain)).transpose()
    }

    /// Why a holder has units of a pool.
    fn explain_unit<'py>(
        &self,
        py: Python<'py>,
        #[pyo3(from_py_with = argument::pool)] pool: String,
        #[pyo3(from_py_with = argument::holder)] holder: String,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let explained = detached(py, || self.shared.explain_unit(&pool, &holder))?;
        explained.map(|explain| records::unit_explain(py, &explain)).transpose()
    }

    /// Counters and health.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        records::stats(py, &detached(py, || self.shared.stats())?)
    }

    /// Recounts everything; each violation of an invariant in words. Always empty.
    fn check(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        detached(py, || self.shared.check())
    }

    /// The use of a license pool.
    fn usage<'py>(
        &self,
        py: Python<'py>,
        #[pyo3(from_py_with = argument::pool)] pool: String,
    ) -> PyResult<Bound<'py, PyAny>> {
        records::usage(py, &detached(py, || self.shared.usage(&pool))?)
    }

    /// Those who wait for units of a pool.
    #[pyo3(signature = (pool, *, skip=0, limit=1000))]
    fn queue<'py>(
        &self,
        py: Python<'py>,
        #[pyo3(from_py_with = argument::pool)] pool: String,
        #[pyo3(from_py_with = argument::skip)] skip: usize,
        #[pyo3(from_py_with = argument::limit)] limit: usize,
    ) -> PyResult<Bound<'py, PyList>> {
        records::queue(py, &detached(py, || self.shared.queue(&pool, skip, limit))?)
    }

    /// The names of the license pools.
    fn pools(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        Ok(attached(py, || self.shared.pools())?.iter().map(|pool| pool.to_string()).collect())
    }

    /// The definition of a pool that is in force, as JSON.
    #[pyo3(name = "_pool")]
    fn pool(&self, py: Python<'_>, #[pyo3(from_py_with = argument::pool)] pool: String) -> PyResult<String> {
        Ok(detached(py, || self.shared.pool(&pool))?.to_json())
    }

    /// Changes options of a pool; answers the definition in force from now on.
    #[pyo3(name = "_change_pool")]
    fn change_pool(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = argument::pool)] pool: String,
        options: &Bound<'_, PyDict>,
        actor: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<String> {
        let (options, actor) = (changes(options)?, text("actor", actor)?);
        let changed =
            detached(py, || self.shared.change_pool(&pool, |pool| pool.set_json(&options), actor.as_deref()))?;
        Ok(changed.to_json())
    }

    /// Where the definitions in force are others than those that this manager was opened with: pool, option and both values,
    /// as JSON.
    #[pyo3(name = "_pool_differences")]
    fn pool_differences(&self, py: Python<'_>) -> PyResult<Vec<(String, String, String, String)>> {
        let differences = detached(py, || self.shared.pool_differences())?;
        Ok(differences.into_iter().map(|one| (one.pool, one.option.to_owned(), one.named, one.in_force)).collect())
    }

    /// The most units in use since a reader reset its mark, and when that was.
    fn high_water<'py>(
        &self,
        py: Python<'py>,
        #[pyo3(from_py_with = argument::pool)] pool: String,
        #[pyo3(from_py_with = argument::reader)] reader: String,
    ) -> PyResult<Bound<'py, PyAny>> {
        records::high_water(py, detached(py, || self.shared.high_water(&pool, &reader))?)
    }

    /// Has a reader's mark begin anew with what is in use now.
    fn reset_high_water(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = argument::pool)] pool: String,
        #[pyo3(from_py_with = argument::reader)] reader: String,
    ) -> PyResult<()> {
        detached(py, || self.shared.reset_high_water(&pool, &reader))
    }

    /// Forgets a reader's mark; tells whether there was one.
    fn forget_high_water(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = argument::pool)] pool: String,
        #[pyo3(from_py_with = argument::reader)] reader: String,
    ) -> PyResult<bool> {
        detached(py, || self.shared.forget_high_water(&pool, &reader))
    }

    /// Accounts of a pool after a position as lines of JSON, how many, and the position of the last one.
    #[pyo3(name = "_export_accounts")]
    fn export_accounts(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = argument::pool)] pool: String,
        #[pyo3(from_py_with = argument::after)] after: u64,
        #[pyo3(from_py_with = argument::limit)] limit: usize,
    ) -> PyResult<(String, usize, u64)> {
        let page = detached(py, || self.shared.export_accounts(&pool, after, limit))?;
        Ok((page.lines, page.count, page.last))
    }

    /// A recount of a pool from first principles beside its counters.
    fn audit<'py>(
        &self,
        py: Python<'py>,
        #[pyo3(from_py_with = argument::pool)] pool: String,
    ) -> PyResult<Bound<'py, PyAny>> {
        records::audit(py, &detached(py, || self.shared.audit(&pool))?)
    }

    /// Accounts of a pool after a position.
    #[pyo3(signature = (pool, *, after=0, limit=1000))]
    fn audit_records<'py>(
        &self,
        py: Python<'py>,
        #[pyo3(from_py_with = argument::pool)] pool: String,
        #[pyo3(from_py_with = argument::after)] after: u64,
        #[pyo3(from_py_with = argument::limit)] limit: usize,
    ) -> PyResult<Bound<'py, PyList>> {
        let found = detached(py, || self.shared.audit_records(&pool, after, limit))?;
        PyList::new(py, found.iter().map(|it| records::audit_record(py, it)).collect::<PyResult<Vec<_>>>()?)
    }

    /// The lifecycle log after a position.
    #[pyo3(signature = (*, after=0, limit=1000))]
    fn lifecycle<'py>(
        &self,
        py: Python<'py>,
        #[pyo3(from_py_with = argument::after)] after: u64,
        #[pyo3(from_py_with = argument::limit)] limit: usize,
    ) -> PyResult<Bound<'py, PyList>> {
        let found = detached(py, || self.shared.lifecycle(after, limit))?;
        PyList::new(py, found.iter().map(|it| records::log_entry(py, it)).collect::<PyResult<Vec<_>>>()?)
    }

    /// Dead letters after a position.
    #[pyo3(signature = (*, after=0, limit=1000))]
    fn dead_letters<'py>(
        &self,
        py: Python<'py>,
        #[pyo3(from_py_with = argument::after)] after: u64,
        #[pyo3(from_py_with = argument::limit)] limit: usize,
    ) -> PyResult<Bound<'py, PyList>> {
        let found = detached(py, || self.shared.dead_letters(after, limit))?;
        PyList::new(py, found.iter().map(|it| records::dead_letter(py, it)).collect::<PyResult<Vec<_>>>()?)
    }

    /// Delivers a dead letter again, without an id all; tells how many.
    #[pyo3(signature = (id=None))]
    fn redeliver(&self, py: Python<'_>, id: Option<&Bound<'_, PyAny>>) -> PyResult<usize> {
        let id = id.map(|id| count("id", id)).transpose()?;
        detached(py, || self.shared.redeliver(id))
    }

    /// Ends what is due now, in the calling thread; tells how many sessions.
    fn reap_now(&self, py: Python<'_>) -> PyResult<usize> {
        detached(py, || self.shared.reap_now())
    }

    /// Waits in real time until every callback is delivered; tells whether that was reached.
    #[pyo3(signature = (timeout=None))]
    fn drain(&self, py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        let until = Instant::now().checked_add(optional("timeout", timeout)?.unwrap_or(Duration::from_secs(5)));
        loop {
            let left = until.map_or(SLICE, |until| until.saturating_duration_since(Instant::now()));
            if detached(py, || self.shared.drain(left.min(SLICE)))? {
                return Ok(true);
            }
            if left.is_zero() {
                return Ok(false);
            }
            py.check_signals()?;
        }
    }

    /// No-thread mode: does what is due; returns the time until the next thing is, or None.
    fn tick(&self, py: Python<'_>) -> PyResult<Option<Duration>> {
        detached(py, || self.shared.tick())
    }

    /// Poll mode: delivers at most `max` events in the calling thread, waits up to `timeout` for the first.
    #[pyo3(signature = (max=100, timeout=None))]
    fn dispatch(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = argument::max)] max: usize,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<usize> {
        let timeout = optional("timeout", timeout)?.unwrap_or_default();
        detached(py, || self.shared.dispatch(max, timeout))
    }

    /// Poll mode: called, from any thread, when there is something to dispatch.
    fn set_wake(&self, py: Python<'_>, wake: Option<Py<PyAny>>) -> PyResult<()> {
        let wake = match wake {
            None => None,
            Some(wake) if wake.bind(py).is_callable() => Some(Arc::new(move || {
                // Whoever rings may be in a hurry: the call is made by the service thread.
                let called = Python::try_attach(|py| wake.clone_ref(py));
                if let Some(wake) = called {
                    crate::service::push(Box::new(move |py| {
                        if let Err(error) = wake.call0(py) {
                            error.write_unraisable(py, Some(wake.bind(py)));
                        }
                    }));
                }
            }) as Arc<dyn Fn() + Send + Sync>),
            Some(_) => return Err(PyTypeError::new_err("wake is a callable or None")),
        };
        detached(py, || self.shared.set_wake(wake))
    }

    /// For tests: makes a session's data unreadable; False if it is not live.
    fn damage(&self, py: Python<'_>, #[pyo3(from_py_with = argument::id)] id: String) -> PyResult<bool> {
        let id = session_id(py, &id)?;
        detached(py, || self.shared.damage(id))
    }

    /// For tests: stalls the reaper thread until False.
    fn stall_reaper(&self, py: Python<'_>, stall: bool) -> PyResult<()> {
        detached(py, || self.shared.stall_reaper(stall))
    }

    /// Ends every session with `shutdown`, delivers callbacks within the grace, stops the threads.
    #[pyo3(signature = (grace=None))]
    fn close<'py>(&self, py: Python<'py>, grace: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
        let grace =
            grace.filter(|grace| !grace.is_none()).map_or(Ok(Duration::from_secs(5)), |it| duration("grace", it))?;
        let report = py.detach(|| contain(|| Ok(self.shared.close(grace))));
        records::close_report(py, &report.map_err(|error| crate::errors::raise(py, &error))?)
    }

    /// Whether it was closed.
    #[getter]
    fn is_closed(&self) -> bool {
        self.shared.is_closed()
    }
}
