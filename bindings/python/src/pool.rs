//! Pools from the front room: a whole definition, and changes of one, which take the same.

use libsession_core::data::{from_json, to_json};
use libsession_core::{Overdraft, Pool, Reservation, TradeFailure, Value};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyType};

use crate::config::{each, flag, is_a};
use crate::duration::{duration, optional};
use crate::errors::{invalid, raise};
use crate::options::{count, required_text};
use crate::words::parse;

/// All options of a pool but its name, as `Pool` has them.
const OPTIONS: &[&str] = &[
    "capacity",
    "unit_rule",
    "max_connections",
    "max_sessions_per_holder",
    "anonymous_cap",
    "anonymous_per_client",
    "holder_per_client",
    "queue",
    "low",
    "recovered",
    "linger",
    "lazy_linger",
    "min_hold",
    "anonymous_min_hold",
    "lazy_min_hold",
    "reclaim",
    "overdraft",
    "overdraft_time",
    "reservations",
    "evict",
    "evict_idle",
    "at_session_limit",
    "break_glass",
    "administrators",
    "include",
    "exclude",
    "audit_records",
    "trade_failure",
];

/// A pair of name and `Pool`.
pub fn pool(pair: &Bound<'_, PyAny>) -> PyResult<Pool> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let (name, options): (Bound<'_, PyAny>, Bound<'_, PyAny>) = pair.extract()?;
    let mut pool = Pool::new(required_text("the name of a pool", &name)?, 0);
    is_a(&CLASS, "Pool", &format!("the pool '{}'", pool.name), &options)?;
    for name in OPTIONS {
        set(&mut pool, name, &options.getattr(*name)?)?;
    }
    Ok(pool)
}

/// The options that a change names, as the engine takes them: a JSON object.
pub fn changes(options: &Bound<'_, PyDict>) -> PyResult<String> {
    let py = options.py();
    // A definition that has nothing else: what it says of the options that are named is told.
    let mut pool = Pool::new("a change", 0);
    let mut named = Vec::new();
    for (name, value) in options.iter() {
        let name = required_text("the name of an option", &name)?;
        set(&mut pool, &name, &value)?;
        named.push(name);
    }
    let all = from_json(&pool.to_json()).map_err(|error| raise(py, &error))?;
    let of = |name: &str| named.iter().any(|one| one == name.strip_suffix("_ms").unwrap_or(name));
    let told = all.as_map().unwrap_or_default().iter().filter(|(name, _)| of(name)).cloned();
    Ok(to_json(&Value::map(told)))
}

/// Sets an option to what Python gives.
fn set(pool: &mut Pool, name: &str, given: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = given.py();
    let members = || each(name, given, |member| required_text("a member", member));
    match name {
        "capacity" => pool.capacity = count(name, given)?,
        "unit_rule" => pool.unit_rule = parse(given)?,
        "max_connections" => pool.max_connections = count(name, given)?,
        "max_sessions_per_holder" => pool.max_sessions_per_holder = number(name, given)?,
        "anonymous_cap" => pool.anonymous_cap = number(name, given)?,
        "anonymous_per_client" => pool.anonymous_per_client = number(name, given)?,
        "holder_per_client" => pool.holder_per_client = flag(name, given)?,
        "queue" => pool.queue = count(name, given)?,
        "low" => pool.low = count(name, given)?,
        "recovered" => pool.recovered = number(name, given)?,
        "linger" => pool.linger = duration(name, given)?,
        "lazy_linger" => pool.lazy_linger = optional(name, Some(given))?,
        "min_hold" => pool.min_hold = duration(name, given)?,
        "anonymous_min_hold" => pool.anonymous_min_hold = optional(name, Some(given))?,
        "lazy_min_hold" => pool.lazy_min_hold = optional(name, Some(given))?,
        "reclaim" => pool.reclaim = flag(name, given)?,
        "overdraft" => {
            pool.overdraft = Overdraft::parse(&given.str()?.to_string_lossy()).map_err(|error| raise(py, &error))?;
        }
        "overdraft_time" => pool.overdraft_time = optional(name, Some(given))?,
        "reservations" => pool.reservations = each(name, given, reservation)?,
        "evict" => pool.evict = parse(given)?,
        "evict_idle" => pool.evict_idle = duration(name, given)?,
        "at_session_limit" => pool.at_session_limit = parse(given)?,
        "break_glass" => pool.break_glass = count(name, given)?,
        "administrators" => pool.administrators = members()?,
        "include" => pool.include = members()?,
        "exclude" => pool.exclude = members()?,
        "audit_records" => pool.audit_records = count(name, given)?,
        "trade_failure" => {
            pool.trade_failure = match required_text(name, given)?.as_str() {
                "keep" => TradeFailure::Keep,
                "refuse" => TradeFailure::Refuse,
                other => return Err(invalid(py, format!("trade_failure is keep or refuse, not '{other}'"))),
            };
        }
        _ => {
            let known = OPTIONS.join(", ");
            return Err(invalid(py, format!("a pool has no option '{name}' that can be changed; there are: {known}")));
        }
    }
    Ok(())
}

/// A `Reservation`.
fn reservation(options: &Bound<'_, PyAny>) -> PyResult<Reservation> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    is_a(&CLASS, "Reservation", "one of reservations", options)?;
    let members = each("members", &options.getattr("members")?, |member| required_text("a member", member))?;
    let units = count("units", &options.getattr("units")?)?;
    Ok(Reservation { members, units, hard: flag("hard", &options.getattr("hard")?)? })
}

/// A whole number that may be left out.
pub fn number<T: TryFrom<u64>>(what: &str, object: &Bound<'_, PyAny>) -> PyResult<Option<T>> {
    if object.is_none() { Ok(None) } else { count(what, object).map(Some) }
}
