//! Event classes written in Python, as the core's dispatcher calls them.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use libsession_core::event::Event as CoreEvent;
use libsession_core::sync::Mutex;
use libsession_core::{Attempt, EventHandler, EventKind, Place, Reply, ReplyWatch, ThreadHooks, ThreadKind, Verdict};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt};
use send_wrapper::SendWrapper;

use crate::duration::duration;
use crate::errors::exception_text;
use crate::event::Event;
use crate::guard::knowing;
use crate::shared::Shared;
use crate::wait::running_loop;

thread_local! {
    /// The callbacks that run on this thread, innermost last.
    static RUNNING: RefCell<Vec<ReplyWatch>> = const { RefCell::new(Vec::new()) };
}

/// Says for the innermost callback on this thread that it is going to hang.
pub fn hang() {
    let watch = RUNNING.with_borrow(|running| running.last().cloned());
    if let Some(watch) = watch {
        watch.hang();
    }
}

/// Runs a callback, which is the innermost on this thread meanwhile.
pub fn running<R>(watch: ReplyWatch, call: impl FnOnce() -> R) -> R {
    RUNNING.with_borrow_mut(|running| running.push(watch));
    let returned = call();
    RUNNING.with_borrow_mut(Vec::pop);
    returned
}

/// Which threads run callbacks, by Python's identifiers. Touched only by attached threads.
static THREADS: Mutex<Vec<u64>> = Mutex::new(Vec::new());

/// The threads that run callbacks: after a close those that did not come back.
#[pyfunction]
#[pyo3(name = "_callback_threads")]
pub fn callback_threads() -> Vec<u64> {
    THREADS.lock().clone()
}

/// In the child of a fork: they are not there.
pub fn forget_threads() {
    THREADS.lock().clear();
}

/// Dispatcher threads are attached once, for life, and detached while they wait.
pub struct Attach;

impl ThreadHooks for Attach {
    fn around_life(&self, body: &mut dyn FnMut()) {
        let _ = Python::try_attach(|py| {
            let id =
                py.import("threading").and_then(|it| it.call_method0("get_ident")).and_then(|id| id.extract::<u64>());
            if let Ok(id) = id {
                THREADS.lock().push(id);
            }
            knowing(true, body);
            if let Ok(id) = id {
                THREADS.lock().retain(|known| *known != id);
            }
        });
    }

    fn around_wait(&self, body: &mut dyn FnMut()) {
        // `detach` wants `Send` to keep Python objects out; the body holds none and runs on this very thread.
        let mut body = SendWrapper::new(body);
        let waited = Python::try_attach(|py| py.detach(|| knowing(false, || (*body)())));
        if waited.is_none() {
            knowing(false, || (*body)());
        }
    }
}

/// One registered class.
pub struct Handler {
    methods: [Option<Py<PyAny>>; KINDS],
    /// Bits of the kinds whose method is known to be asynchronous.
    asynchronous: AtomicU32,
    event_loop: Option<Py<PyAny>>,
    manager: Weak<Shared>,
}

/// One more than the greatest number of an event kind.
const KINDS: usize = 16;

impl Handler {
    /// From a dict of callables by the kind's word, and the words of the asynchronous ones.
    pub fn new(
        methods: &Bound<'_, PyDict>,
        asynchronous: &[String],
        event_loop: Option<Py<PyAny>>,
        manager: Weak<Shared>,
    ) -> PyResult<Self> {
        let mut handler =
            Self { methods: [const { None }; KINDS], asynchronous: AtomicU32::new(0), event_loop, manager };
        for kind in EventKind::ALL {
            if let Some(method) = methods.get_item(kind.name())?
                && let Some(place) = handler.methods.get_mut(kind.code() as usize)
            {
                *place = Some(method.unbind());
                if asynchronous.iter().any(|name| name == kind.name()) {
                    handler.asynchronous.fetch_or(kind.bit(), Ordering::Relaxed);
                }
            }
        }
        Ok(handler)
    }

    /// Whether one of its methods decides.
    pub fn decides(&self) -> bool {
        EventKind::ALL.iter().any(|kind| kind.decides() && self.handles(*kind))
    }

    fn method(&self, kind: EventKind) -> Option<&Py<PyAny>> {
        self.methods.get(kind.code() as usize)?.as_ref()
    }

    fn is_asynchronous(&self, kind: EventKind) -> bool {
        self.asynchronous.load(Ordering::Relaxed) & kind.bit() != 0
    }

    fn run(&self, py: Python<'_>, core: &Arc<CoreEvent>, attempt: Attempt, reply: Reply) {
        let kind = core.kind;
        let Some(method) = self.method(kind) else { return reply.done() };
        let here = match running_loop(py) {
            Ok(here) => here,
            Err(error) => return reply.fail(exception_text(py, &error)),
        };
        // Only a call that can await may be answered later; the reaper awaits nobody, so that it may, too.
        let may_await = !kind.decides() || here.is_some() || core.thread == ThreadKind::Reaper;
        if self.is_asynchronous(kind) && !may_await {
            return reply.async_required();
        }
        let watch = reply.watch();
        let event = match Bound::new(py, Event::new(core.clone(), attempt, watch.clone(), self.manager.clone())) {
            Ok(event) => event,
            Err(error) => return reply.fail(exception_text(py, &error)),
        };
        match running(watch, || method.bind(py).call1((event,))) {
            Err(error) => reply.fail(exception_text(py, &error)),
            Ok(returned) if returned.is_none() => reply.done(),
            Ok(returned) if is_coroutine(&returned) => {
                self.asynchronous.fetch_or(kind.bit(), Ordering::Relaxed);
                if may_await {
                    self.await_it(&returned, here, kind, reply);
                } else {
                    let _ = returned.call_method0("close");
                    reply.async_required();
                }
            }
            Ok(returned) => answer(kind, &returned, reply),
        }
    }

    /// Runs a coroutine: on the event loop of this thread, else on that of the class if it runs, else on one of its own.
    fn await_it(&self, coroutine: &Bound<'_, PyAny>, here: Option<Bound<'_, PyAny>>, kind: EventKind, reply: Reply) {
        let py = coroutine.py();
        let elsewhere = self.event_loop.as_ref().map(|event_loop| event_loop.bind(py)).filter(|event_loop| {
            event_loop.call_method0("is_running").and_then(|runs| runs.extract::<bool>()).unwrap_or(false)
        });
        let started = match (here, elsewhere) {
            (Some(here), _) => here.call_method1("create_task", (coroutine,)),
            (None, Some(there)) => py
                .import("asyncio")
                .and_then(|asyncio| asyncio.call_method1("run_coroutine_threadsafe", (coroutine, there))),
            (None, None) => {
                let result = py.import("asyncio").and_then(|asyncio| asyncio.call_method1("run", (coroutine,)));
                return match result {
                    Ok(result) => answer(kind, &result, reply),
                    Err(error) => reply.fail(exception_text(py, &error)),
                };
            }
        };
        let answered = started.and_then(|task| {
            task.call_method1("add_done_callback", (Answered { kind, reply: Mutex::new(Some(reply)) },))
        });
        if let Err(error) = answered {
            // The reply went with what failed, and dropping it says that there was no answer.
            log::warn!(target: "libsession", "a coroutine of {kind} could not be started: {}", exception_text(py, &error));
        }
    }
}

impl EventHandler for Handler {
    fn handles(&self, kind: EventKind) -> bool {
        self.method(kind).is_some()
    }

    fn call(&self, event: &Arc<CoreEvent>, attempt: Attempt, reply: Reply) {
        let _ = Python::try_attach(|py| knowing(true, || self.run(py, event, attempt, reply)));
    }

    fn place(&self, kind: EventKind, asynchronous: bool) -> Option<Place> {
        (asynchronous && kind.decides() && self.is_asynchronous(kind)).then_some(Place::Caller)
    }
}

/// The done callback of a task or future that runs a callback.
#[pyclass(frozen, module = "libsession._native")]
struct Answered {
    kind: EventKind,
    reply: Mutex<Option<Reply>>,
}

#[pymethods]
impl Answered {
    fn __call__(&self, task: &Bound<'_, PyAny>) {
        let reply = self.reply.lock().take();
        let Some(reply) = reply else { return };
        match task.call_method0("result") {
            Ok(result) => answer(self.kind, &result, reply),
            Err(error) => reply.fail(exception_text(task.py(), &error)),
        }
    }
}

fn answer(kind: EventKind, returned: &Bound<'_, PyAny>, reply: Reply) {
    if !kind.decides() {
        return reply.done();
    }
    match verdict(kind, returned) {
        Ok(verdict) => reply.verdict(verdict),
        Err(error) => reply.fail(exception_text(returned.py(), &error)),
    }
}

/// What a decider may return: None or True, False or `Deny(text)`, and from `on_expiring` `Extend(by)`, a timedelta or
/// seconds.
fn verdict(kind: EventKind, returned: &Bound<'_, PyAny>) -> PyResult<Verdict> {
    static CLASSES: PyOnceLock<(Py<PyAny>, Py<PyAny>, Py<PyAny>)> = PyOnceLock::new();
    let py = returned.py();
    if returned.is_none() {
        return Ok(Verdict::Allow);
    }
    if let Ok(allowed) = returned.cast::<PyBool>() {
        return Ok(if allowed.is_true() { Verdict::Allow } else { Verdict::Deny(String::new()) });
    }
    let (deny, extend, delta) = CLASSES.get_or_try_init(py, || {
        let events = py.import("libsession._events")?;
        let delta = py.import("datetime")?.getattr("timedelta")?;
        Ok::<_, PyErr>((events.getattr("Deny")?.unbind(), events.getattr("Extend")?.unbind(), delta.unbind()))
    })?;
    if returned.is_instance(deny.bind(py))? {
        return Ok(Verdict::Deny(returned.getattr("text")?.extract()?));
    }
    if kind == EventKind::Expiring {
        if returned.is_instance(extend.bind(py))? {
            return Ok(Verdict::Extend(duration("an extension", &returned.getattr("by")?)?));
        }
        if returned.is_instance(delta.bind(py))?
            || returned.is_instance_of::<PyFloat>()
            || returned.is_instance_of::<PyInt>()
        {
            return Ok(Verdict::Extend(duration("an extension", returned)?));
        }
    }
    Err(pyo3::exceptions::PyTypeError::new_err(format!(
        "{} answered with {}; a decider answers None, True, False, Deny(text) or, to on_expiring, Extend(by)",
        kind.name(),
        returned.get_type()
    )))
}

/// Whether an object is a coroutine.
pub fn is_coroutine(object: &Bound<'_, PyAny>) -> bool {
    static IS_COROUTINE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = object.py();
    IS_COROUTINE
        .get_or_try_init(py, || py.import("asyncio")?.getattr("iscoroutine").map(Bound::unbind))
        .and_then(|is_coroutine| is_coroutine.call1(py, (object,))?.extract(py))
        .unwrap_or(false)
}
