//! The lines before the first verb: options of the manager, its applications, pools and classes.

use std::sync::Arc;
use std::time::Duration;

use libsession_core::{
    Application, ApplicationTimeout, AtSessionLimit, Clock, Config, DispatchMode, Durability, EventClass, Evict,
    LazyUntil, LicenseClass, LockMode, Manager, ManualClock, Overdraft, Pool, Profile, Reservation, TradeFailure,
    UnitRule,
};

use crate::answer::Fail;
use crate::behavior::Scripted;
use crate::words::Words;
use crate::world::World;

/// What the manager will be opened with.
pub struct Setup {
    config: Option<Config>,
    classes: Vec<Vec<String>>,
}

fn yes(value: &str) -> Result<bool, Fail> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!("'{value}' is neither true nor false").into()),
    }
}

fn number<T: std::str::FromStr>(value: &str) -> Result<T, Fail> {
    value.parse().map_err(|_| format!("'{value}' is no number").into())
}

fn duration(value: &str) -> Result<Duration, Fail> {
    Ok(Duration::from_millis(number(value)?))
}

fn timeout(value: &str) -> Result<Option<Duration>, Fail> {
    Ok(Some(duration(value)?).filter(|duration| !duration.is_zero()))
}

fn member<T>(value: &str, from_name: impl Fn(&str) -> Option<T>) -> Result<T, Fail> {
    from_name(value).ok_or_else(|| format!("'{value}' is no such word").into())
}

fn names(value: &str) -> Vec<String> {
    value.split(',').filter(|name| !name.is_empty()).map(str::to_string).collect()
}

impl Setup {
    /// The defaults, on this table.
    pub fn new(table: &str, clock: ManualClock) -> Self {
        let config = Config { store: table.into(), clock: Clock::Manual(clock), ..Config::default() };
        Self { config: Some(config), classes: Vec::new() }
    }

    /// Whether the manager was not opened yet.
    pub fn pending(&self) -> bool {
        self.config.is_some()
    }

    /// Takes a line. `false`: it is a verb.
    pub fn take(&mut self, words: &[String]) -> Result<bool, Fail> {
        let Some(config) = &mut self.config else { return Ok(false) };
        let (verb, rest) = words.split_first().ok_or("an empty line")?;
        let sorted = Words::new(rest);
        match verb.as_str() {
            "config" => {
                for (name, value) in sorted.names() {
                    option(config, name, value)?;
                }
            }
            "application" => config.applications.push(application(&sorted)?),
            "pool" => config.pools.push(pool(&sorted)?),
            "class" => self.classes.push(rest.to_vec()),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Opens the manager; the classes are to be registered.
    pub fn open(&mut self, world: &Arc<World>, processes: usize) -> Result<(Vec<Manager>, Vec<EventClass>), Fail> {
        let config = self.config.take().ok_or("the manager could not be opened")?;
        let managers = (0..processes).map(|_| Manager::new(config.clone())).collect::<Result<_, _>>()?;
        let classes = self.classes.iter().map(|words| class(world, words)).collect::<Result<_, _>>()?;
        Ok((managers, classes))
    }
}

fn option(config: &mut Config, name: &str, value: &str) -> Result<(), Fail> {
    match name {
        "store" => config.store = value.into(),
        "durability" => config.durability = Durability::from_name(value)?,
        "profile" => config.profile = Profile::from_name(value)?,
        "max_sessions" => config.max_sessions = number(value)?,
        "session_bytes" => config.quotas.session_bytes = number(value)?,
        "levels" => config.quotas.levels = number(value)?,
        "value_bytes" => config.quotas.value_bytes = number(value)?,
        "subscript_bytes" => config.quotas.subscript_bytes = number(value)?,
        "dispatch" => {
            config.dispatch = member(value, |word| match word {
                "thread" => Some(DispatchMode::Thread),
                "inline" => Some(DispatchMode::Inline),
                "poll" => Some(DispatchMode::Poll),
                _ => None,
            })?;
        }
        "threads" => config.threads = yes(value)?,
        "workers" => config.workers = number(value)?,
        "decider_workers" => config.decider_workers = number(value)?,
        "max_stuck" => config.max_stuck = number(value)?,
        "queue" => config.queue = number(value)?,
        "callback_deadline_ms" => config.callback_deadline = duration(value)?,
        "retries" => config.retries = number(value)?,
        "breaker_failures" => config.breaker_failures = number(value)?,
        "breaker_probe_ms" => config.breaker_probe = duration(value)?,
        "dead_letters" => config.dead_letters = number(value)?,
        "dead_letter_bytes" => config.dead_letter_bytes = number(value)?,
        "tombstone_ms" => config.tombstone = duration(value)?,
        "max_request_ms" => config.max_request = duration(value)?,
        "lock_timeout_ms" => config.lock_timeout = duration(value)?,
        "rotation_grace_ms" => config.rotation_grace = duration(value)?,
        "adopt" => config.adopt = yes(value)?,
        "idle_counts_suspend" => config.idle_counts_suspend = yes(value)?,
        "debug" => config.debug = yes(value)?,
        "lifecycle_log" => config.lifecycle_log = number(value)?,
        _ => return Err(format!("there is no option '{name}'").into()),
    }
    Ok(())
}

fn application(words: &Words) -> Result<Application, Fail> {
    let mut application = Application::new(words.text_at(0)?);
    for (name, value) in words.names() {
        match name {
            "enabled" => application.enabled = yes(value)?,
            "namespace" => application.namespace = value.into(),
            "idle_timeout_ms" => application.idle_timeout = timeout(value)?,
            "absolute_timeout_ms" => application.absolute_timeout = Some(timeout(value)?),
            "event_classes" => application.event_classes = names(value),
            "required_event_classes" => application.required_event_classes = names(value),
            "pool" => application.pool = Some(value.into()),
            "license_class" => application.license_class = Some(member(value, LicenseClass::from_name)?),
            "lazy_until" => application.lazy_until = member(value, LazyUntil::from_name)?,
            "detect_crawlers" => application.detect_crawlers = yes(value)?,
            "crawlers" => application.crawlers = names(value),
            "anonymous_idle_timeout_ms" => application.anonymous_idle_timeout = Some(duration(value)?),
            "max_sessions" => application.max_sessions = Some(number(value)?),
            "max_extensions" => application.max_extensions = Some(number(value)?),
            "extension_cap_ms" => application.extension_cap = duration(value)?,
            "ask_lead_ms" => application.ask_lead = duration(value)?,
            "lock" => application.lock = member(value, LockMode::from_name)?,
            "timeout_on_application_change" => {
                application.timeout_on_application_change = member(value, ApplicationTimeout::from_name)?;
            }
            "protected_from_bulk_end" => application.protected_from_bulk_end = yes(value)?,
            "event_classes_on_entry" => application.event_classes_on_entry = yes(value)?,
            "debug" => application.debug = Some(yes(value)?),
            _ => return Err(format!("an application has no option '{name}'").into()),
        }
    }
    Ok(application)
}

/// `UNITS:MEMBER,…`, several of them with `;` between.
fn reservations(value: &str, hard: bool) -> Result<Vec<Reservation>, Fail> {
    let each = value.split(';').map(|one| {
        let (units, members) = one.split_once(':').ok_or("a reservation is UNITS:MEMBER,…")?;
        Ok(Reservation { members: names(members), units: number(units)?, hard })
    });
    each.collect()
}

fn pool(words: &Words) -> Result<Pool, Fail> {
    let mut pool = Pool::new(words.text_at(0)?, words.number("capacity")?.ok_or("a pool needs its capacity")?);
    for (name, value) in words.names() {
        match name {
            "capacity" => {}
            "unit_rule" => pool.unit_rule = member(value, UnitRule::from_name)?,
            "max_connections" => pool.max_connections = number(value)?,
            "max_sessions_per_holder" => pool.max_sessions_per_holder = Some(number(value)?),
            "anonymous_cap" => pool.anonymous_cap = Some(number(value)?),
            "anonymous_per_client" => pool.anonymous_per_client = Some(number(value)?),
            "holder_per_client" => pool.holder_per_client = yes(value)?,
            "low" => pool.low = number(value)?,
            "recovered" => pool.recovered = Some(number(value)?),
            "linger_ms" => pool.linger = duration(value)?,
            "min_hold_ms" => pool.min_hold = duration(value)?,
            "lazy_linger_ms" => pool.lazy_linger = Some(duration(value)?),
            "lazy_min_hold_ms" => pool.lazy_min_hold = Some(duration(value)?),
            "anonymous_min_hold_ms" => pool.anonymous_min_hold = Some(duration(value)?),
            "queue" => pool.queue = number(value)?,
            "reclaim" => pool.reclaim = yes(value)?,
            "overdraft" => {
                pool.overdraft = match value.strip_suffix('%') {
                    Some(percent) => Overdraft::Percent(number(percent)?),
                    None => Overdraft::Units(number(value)?),
                };
            }
            "evict" => pool.evict = member(value, Evict::from_name)?,
            "evict_idle_ms" => pool.evict_idle = duration(value)?,
            "at_session_limit" => pool.at_session_limit = member(value, AtSessionLimit::from_name)?,
            "overdraft_time_ms" => pool.overdraft_time = Some(duration(value)?),
            "reserve" => pool.reservations = reservations(value, true)?,
            "reserve_soft" => pool.reservations = reservations(value, false)?,
            "break_glass" => pool.break_glass = number(value)?,
            "administrators" => pool.administrators = names(value),
            "include" => pool.include = names(value),
            "exclude" => pool.exclude = names(value),
            "trade_failure" => {
                pool.trade_failure = member(value, |word| match word {
                    "keep" => Some(TradeFailure::Keep),
                    "refuse" => Some(TradeFailure::Refuse),
                    _ => None,
                })?;
            }
            "audit_records" => pool.audit_records = number(value)?,
            _ => return Err(format!("a pool has no option '{name}'").into()),
        }
    }
    Ok(pool)
}

/// An event class as a `class` line describes it.
pub fn class(world: &Arc<World>, words: &[String]) -> Result<EventClass, Fail> {
    let sorted = Words::new(words);
    let name = sorted.text_at(0)?;
    let namespace = sorted.text("namespace")?.unwrap_or_default();
    let mut class =
        EventClass::new(name.clone(), Scripted::new(world, &namespace, &name, &sorted)?).namespace(namespace);
    class.deadline = sorted.duration("deadline_ms")?;
    class.compat_veto = sorted.named("compat_veto").map(yes).transpose()?.unwrap_or(false);
    Ok(class)
}
