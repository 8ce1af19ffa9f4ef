//! The manager's options from the front room: a dict of plain values, and the dataclasses `Application` and `Pool`.

use std::sync::Arc;

use libsession_core::clock::Clock;
use libsession_core::{Application, Config, DispatchMode, Durability, Profile};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyString, PyType};

use crate::clock::ManualClock;
use crate::duration::{duration, given_timeout, optional};
use crate::errors::{invalid, raise};
use crate::handler::Attach;
use crate::options::{count, required_text, shown, text};
use crate::pool::{number, pool};
use crate::words::{parse, parse_option};

/// Reads every option that is there; what is left out keeps the core's default. An unknown name is `Invalid`.
pub fn config(options: &Bound<'_, PyDict>) -> PyResult<Config> {
    let py = options.py();
    let version = py.version_info();
    let label = format!("python {}.{}.{}", version.major, version.minor, version.patch);
    let mut config = Config { thread_hooks: Some(Arc::new(Attach)), label, ..Config::default() };
    for (name, given) in options.iter() {
        let name: String = name.extract()?;
        let what = name.as_str();
        match what {
            "store" => config.store = required_text(what, &given)?,
            "adopt" => config.adopt = flag(what, &given)?,
            "durability" => {
                config.durability =
                    Durability::from_name(&required_text(what, &given)?).map_err(|error| raise(py, &error))?;
            }
            "profile" => {
                config.profile =
                    Profile::from_name(&required_text(what, &given)?).map_err(|error| raise(py, &error))?;
            }
            "applications" => config.applications = each(what, &given, application)?,
            "pools" => config.pools = each(what, &given, pool)?,
            "clock" => {
                if !given.is_none() {
                    config.clock = Clock::Manual(given.cast::<ManualClock>()?.get().core().clone());
                }
            }
            "dispatch" => config.dispatch = dispatch(&given)?,
            "threads" => config.threads = flag(what, &given)?,
            "debug" => config.debug = flag(what, &given)?,
            "idle_counts_suspend" => config.idle_counts_suspend = flag(what, &given)?,
            "max_sessions" => config.max_sessions = count(what, &given)?,
            "session_bytes" => config.quotas.session_bytes = count(what, &given)?,
            "levels" => config.quotas.levels = count(what, &given)?,
            "value_bytes" => config.quotas.value_bytes = count(what, &given)?,
            "subscript_bytes" => config.quotas.subscript_bytes = count(what, &given)?,
            "workers" => config.workers = count(what, &given)?,
            "decider_workers" => config.decider_workers = count(what, &given)?,
            "max_stuck" => config.max_stuck = count(what, &given)?,
            "queue" => config.queue = count(what, &given)?,
            "retries" => config.retries = count(what, &given)?,
            "breaker_failures" => config.breaker_failures = count(what, &given)?,
            "dead_letters" => config.dead_letters = count(what, &given)?,
            "dead_letter_bytes" => config.dead_letter_bytes = count(what, &given)?,
            "lifecycle_log" => config.lifecycle_log = count(what, &given)?,
            "callback_deadline" => config.callback_deadline = duration(what, &given)?,
            "breaker_probe" => config.breaker_probe = duration(what, &given)?,
            "tombstone" => config.tombstone = duration(what, &given)?,
            "max_request" => config.max_request = duration(what, &given)?,
            "lock_timeout" => config.lock_timeout = duration(what, &given)?,
            "rotation_grace" => config.rotation_grace = duration(what, &given)?,
            _ => return Err(invalid(py, format!("there is no option '{name}'"))),
        }
    }
    Ok(config)
}

/// What a list holds; one text is not taken for its letters.
pub fn each<T>(
    what: &str,
    list: &Bound<'_, PyAny>,
    read: impl Fn(&Bound<'_, PyAny>) -> PyResult<T>,
) -> PyResult<Vec<T>> {
    let one = list.is_instance_of::<PyString>() || list.is_instance_of::<PyBytes>();
    let Some(items) = (!one).then(|| list.try_iter().ok()).flatten() else {
        return Err(invalid(list.py(), format!("{what} is a list, not {}", shown(list))));
    };
    items.map(|item| read(&item?)).collect()
}

/// Whether something is so.
pub fn flag(what: &str, object: &Bound<'_, PyAny>) -> PyResult<bool> {
    object.extract().map_err(|_| invalid(object.py(), format!("{what} is True or False, not {}", shown(object))))
}

/// That it is an object of a class of the front room's options.
pub fn is_a(
    known: &PyOnceLock<Py<PyType>>,
    class: &'static str,
    what: &str,
    object: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let py = object.py();
    let of = known.get_or_try_init(py, || {
        Ok::<_, PyErr>(py.import("libsession._config")?.getattr(class)?.cast_into::<PyType>()?.unbind())
    })?;
    if object.is_instance(of.bind(py))? {
        return Ok(());
    }
    let article = if class.starts_with(['A', 'E', 'I', 'O', 'U']) { "an" } else { "a" };
    Err(invalid(py, format!("{what} is {article} {class}, not {}", shown(object))))
}

fn dispatch(object: &Bound<'_, PyAny>) -> PyResult<DispatchMode> {
    match required_text("dispatch", object)?.as_str() {
        "thread" => Ok(DispatchMode::Thread),
        "inline" => Ok(DispatchMode::Inline),
        "poll" => Ok(DispatchMode::Poll),
        other => {
            Err(invalid(object.py(), format!("there is no dispatch mode '{other}'; there are: thread, inline, poll")))
        }
    }
}

/// A pair of name and `Application`.
fn application(pair: &Bound<'_, PyAny>) -> PyResult<Application> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let (name, options): (Bound<'_, PyAny>, Bound<'_, PyAny>) = pair.extract()?;
    let field = |name: &str| options.getattr(name);
    let mut application = Application::new(required_text("the name of an application", &name)?);
    is_a(&CLASS, "Application", &format!("the application '{}'", application.name), &options)?;
    application.enabled = flag("enabled", &field("enabled")?)?;
    application.namespace = required_text("namespace", &field("namespace")?)?;
    if let Some(idle) = given_timeout("idle_timeout", Some(&field("idle_timeout")?))? {
        application.idle_timeout = idle;
    }
    application.absolute_timeout = given_timeout("absolute_timeout", Some(&field("absolute_timeout")?))?;
    application.event_classes =
        each("event_classes", &field("event_classes")?, |item| required_text("an event class", item))?;
    application.required_event_classes = each("required_event_classes", &field("required_event_classes")?, |item| {
        required_text("an event class", item)
    })?;
    application.pool = text("pool", Some(&field("pool")?))?;
    application.license_class = parse_option(Some(&field("license_class")?))?;
    application.lazy_until = parse(&field("lazy_until")?)?;
    application.detect_crawlers = flag("detect_crawlers", &field("detect_crawlers")?)?;
    application.crawlers = each("crawlers", &field("crawlers")?, |item| required_text("a crawler", item))?;
    application.anonymous_idle_timeout = optional("anonymous_idle_timeout", Some(&field("anonymous_idle_timeout")?))?;
    application.max_sessions = number("max_sessions", &field("max_sessions")?)?;
    application.max_extensions = number("max_extensions", &field("max_extensions")?)?;
    application.extension_cap = duration("extension_cap", &field("extension_cap")?)?;
    application.ask_lead = duration("ask_lead", &field("ask_lead")?)?;
    application.lock = parse(&field("lock")?)?;
    application.timeout_on_application_change = parse(&field("timeout_on_application_change")?)?;
    application.protected_from_bulk_end = flag("protected_from_bulk_end", &field("protected_from_bulk_end")?)?;
    application.event_classes_on_entry =
        match required_text("event_classes_on_entry", &field("event_classes_on_entry")?)?.as_str() {
            "keep" => false,
            "union" => true,
            other => {
                return Err(invalid(pair.py(), format!("event_classes_on_entry is keep or union, not '{other}'")));
            }
        };
    application.debug = field("debug")?.extract()?;
    Ok(application)
}
