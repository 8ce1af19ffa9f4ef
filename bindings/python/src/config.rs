//! The manager's options from the front room: a dict of plain values, and the dataclasses `Application` and `Pool`.

use std::sync::Arc;

use libsession_core::clock::Clock;
use libsession_core::{
    Application, Config, DispatchMode, Durability, Overdraft, Pool, Profile, Reservation, TradeFailure,
};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::clock::ManualClock;
use crate::duration::{duration, given_timeout, optional};
use crate::errors::{invalid, raise};
use crate::handler::Attach;
use crate::options::{count, required_text, text};
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
            "durability" => {
                config.durability =
                    Durability::from_name(&required_text(what, &given)?).map_err(|error| raise(py, &error))?;
            }
            "profile" => {
                config.profile =
                    Profile::from_name(&required_text(what, &given)?).map_err(|error| raise(py, &error))?;
            }
            "applications" => config.applications = each(&given, application)?,
            "pools" => config.pools = each(&given, pool)?,
            "clock" => {
                if !given.is_none() {
                    config.clock = Clock::Manual(given.cast::<ManualClock>()?.get().core().clone());
                }
            }
            "dispatch" => config.dispatch = dispatch(&given)?,
            "threads" => config.threads = given.extract()?,
            "debug" => config.debug = given.extract()?,
            "idle_counts_suspend" => config.idle_counts_suspend = given.extract()?,
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

fn each<T>(list: &Bound<'_, PyAny>, read: impl Fn(&Bound<'_, PyAny>) -> PyResult<T>) -> PyResult<Vec<T>> {
    list.try_iter()?.map(|item| read(&item?)).collect()
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
    let (name, options): (Bound<'_, PyAny>, Bound<'_, PyAny>) = pair.extract()?;
    let field = |name: &str| options.getattr(name);
    let mut application = Application::new(required_text("the name of an application", &name)?);
    application.enabled = field("enabled")?.extract()?;
    application.namespace = required_text("namespace", &field("namespace")?)?;
    if let Some(idle) = given_timeout("idle_timeout", Some(&field("idle_timeout")?))? {
        application.idle_timeout = idle;
    }
    application.absolute_timeout = given_timeout("absolute_timeout", Some(&field("absolute_timeout")?))?;
    application.event_classes = each(&field("event_classes")?, |item| required_text("an event class", item))?;
    application.required_event_classes =
        each(&field("required_event_classes")?, |item| required_text("an event class", item))?;
    application.pool = text("pool", Some(&field("pool")?))?;
    application.license_class = parse_option(Some(&field("license_class")?))?;
    application.lazy_until = parse(&field("lazy_until")?)?;
    application.detect_crawlers = field("detect_crawlers")?.extract()?;
    application.crawlers = each(&field("crawlers")?, |item| required_text("a crawler", item))?;
    application.anonymous_idle_timeout = optional("anonymous_idle_timeout", Some(&field("anonymous_idle_timeout")?))?;
    application.max_sessions = number("max_sessions", &field("max_sessions")?)?;
    application.max_extensions = number("max_extensions", &field("max_extensions")?)?;
    application.extension_cap = duration("extension_cap", &field("extension_cap")?)?;
    application.ask_lead = duration("ask_lead", &field("ask_lead")?)?;
    application.lock = parse(&field("lock")?)?;
    application.timeout_on_application_change = parse(&field("timeout_on_application_change")?)?;
    application.protected_from_bulk_end = field("protected_from_bulk_end")?.extract()?;
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

/// A pair of name and `Pool`.
fn pool(pair: &Bound<'_, PyAny>) -> PyResult<Pool> {
    let (name, options): (Bound<'_, PyAny>, Bound<'_, PyAny>) = pair.extract()?;
    let field = |name: &str| options.getattr(name);
    let capacity = field("capacity")?;
    let mut pool = Pool::new(required_text("the name of a pool", &name)?, count("capacity", &capacity)?);
    pool.unit_rule = parse(&field("unit_rule")?)?;
    pool.max_connections = count("max_connections", &field("max_connections")?)?;
    pool.max_sessions_per_holder = number("max_sessions_per_holder", &field("max_sessions_per_holder")?)?;
    pool.anonymous_cap = number("anonymous_cap", &field("anonymous_cap")?)?;
    pool.anonymous_per_client = number("anonymous_per_client", &field("anonymous_per_client")?)?;
    pool.holder_per_client = field("holder_per_client")?.extract()?;
    pool.queue = count("queue", &field("queue")?)?;
    pool.low = count("low", &field("low")?)?;
    pool.recovered = number("recovered", &field("recovered")?)?;
    pool.linger = duration("linger", &field("linger")?)?;
    pool.min_hold = duration("min_hold", &field("min_hold")?)?;
    pool.anonymous_min_hold = optional("anonymous_min_hold", Some(&field("anonymous_min_hold")?))?;
    pool.lazy_linger = optional("lazy_linger", Some(&field("lazy_linger")?))?;
    pool.lazy_min_hold = optional("lazy_min_hold", Some(&field("lazy_min_hold")?))?;
    pool.reclaim = field("reclaim")?.extract()?;
    pool.overdraft =
        Overdraft::parse(&field("overdraft")?.str()?.to_string()).map_err(|error| raise(pair.py(), &error))?;
    pool.overdraft_time = optional("overdraft_time", Some(&field("overdraft_time")?))?;
    pool.reservations = each(&field("reservations")?, reservation)?;
    pool.evict = parse(&field("evict")?)?;
    pool.evict_idle = duration("evict_idle", &field("evict_idle")?)?;
    pool.at_session_limit = parse(&field("at_session_limit")?)?;
    pool.break_glass = count("break_glass", &field("break_glass")?)?;
    let members = |name: &str| each(&field(name)?, |member| required_text(name, member));
    pool.administrators = members("administrators")?;
    pool.include = members("include")?;
    pool.exclude = members("exclude")?;
    pool.audit_records = count("audit_records", &field("audit_records")?)?;
    pool.trade_failure = match required_text("trade_failure", &field("trade_failure")?)?.as_str() {
        "keep" => TradeFailure::Keep,
        "refuse" => TradeFailure::Refuse,
        other => return Err(invalid(pair.py(), format!("trade_failure is keep or refuse, not '{other}'"))),
    };
    Ok(pool)
}

/// A `Reservation`.
fn reservation(options: &Bound<'_, PyAny>) -> PyResult<Reservation> {
    let members = each(&options.getattr("members")?, |member| required_text("a member", member))?;
    let units = count("units", &options.getattr("units")?)?;
    Ok(Reservation { members, units, hard: options.getattr("hard")?.extract()? })
}

fn number<T: for<'a> FromPyObject<'a, 'a>>(what: &str, object: &Bound<'_, PyAny>) -> PyResult<Option<T>> {
    if object.is_none() { Ok(None) } else { count(what, object).map(Some) }
}
