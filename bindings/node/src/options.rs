//! What a manager is opened with, as `lib/options.cjs` hands it over: checked types, and infinite for "never".

use libsession_core::Durability;
use libsession_core::clock::{Clock, ManualClock};
use libsession_core::config::{Application, Config, Overdraft, Pool, Profile, Reservation, TradeFailure};
use libsession_core::error::{Error, Result};
use libsession_core::event::DispatchMode;
use libsession_core::reason::{ApplicationTimeout, AtSessionLimit, Evict, LazyUntil, LicenseClass, LockMode, UnitRule};
use napi_derive::napi;

use crate::value::{duration, timeout};

/// An application.
#[napi(object)]
pub struct ApplicationOptions {
    pub name: String,
    pub enabled: Option<bool>,
    pub namespace: Option<String>,
    pub idle_timeout_ms: Option<f64>,
    pub absolute_timeout_ms: Option<f64>,
    pub event_classes: Option<Vec<String>>,
    pub required_event_classes: Option<Vec<String>>,
    pub pool: Option<String>,
    pub license_class: Option<String>,
    pub lazy_until: Option<String>,
    pub detect_crawlers: Option<bool>,
    pub crawlers: Option<Vec<String>>,
    pub anonymous_idle_timeout_ms: Option<f64>,
    pub max_sessions: Option<f64>,
    pub max_extensions: Option<u32>,
    pub extension_cap_ms: Option<f64>,
    pub ask_lead_ms: Option<f64>,
    pub lock: Option<String>,
    pub timeout_on_application_change: Option<String>,
    pub protected_from_bulk_end: Option<bool>,
    pub event_classes_on_entry: Option<bool>,
    pub debug: Option<bool>,
}

/// A license pool.
#[napi(object)]
pub struct PoolOptions {
    pub name: String,
    pub capacity: f64,
    pub unit_rule: Option<String>,
    pub max_connections: Option<u32>,
    pub max_sessions_per_holder: Option<u32>,
    pub anonymous_cap: Option<f64>,
    pub anonymous_per_client: Option<u32>,
    pub holder_per_client: Option<bool>,
    pub low: Option<f64>,
    pub recovered: Option<f64>,
    pub linger_ms: Option<f64>,
    pub lazy_linger_ms: Option<f64>,
    pub min_hold_ms: Option<f64>,
    pub anonymous_min_hold_ms: Option<f64>,
    pub lazy_min_hold_ms: Option<f64>,
    pub reclaim: Option<bool>,
    pub overdraft: Option<String>,
    pub overdraft_time_ms: Option<f64>,
    pub evict: Option<String>,
    pub evict_idle_ms: Option<f64>,
    pub at_session_limit: Option<String>,
    pub reservations: Option<Vec<ReservationOptions>>,
    pub break_glass: Option<f64>,
    pub administrators: Option<Vec<String>>,
    pub include: Option<Vec<String>>,
    pub exclude: Option<Vec<String>>,
    pub trade_failure: Option<String>,
    pub audit_records: Option<u32>,
    pub queue: Option<u32>,
}

/// Units of a pool that are set apart for some.
#[napi(object)]
pub struct ReservationOptions {
    pub members: Vec<String>,
    pub units: f64,
    pub hard: Option<bool>,
}

/// Quotas of one session's data.
#[napi(object)]
pub struct QuotaOptions {
    pub session_bytes: Option<u32>,
    pub levels: Option<u32>,
    pub value_bytes: Option<u32>,
    pub subscript_bytes: Option<u32>,
}

/// A manager.
#[napi(object)]
pub struct ManagerOptions {
    pub name: Option<String>,
    pub store: Option<String>,
    pub durability: Option<String>,
    pub adopt: Option<bool>,
    pub profile: Option<String>,
    pub applications: Option<Vec<ApplicationOptions>>,
    pub pools: Option<Vec<PoolOptions>>,
    pub max_sessions: Option<f64>,
    pub quotas: Option<QuotaOptions>,
    pub workers: Option<u32>,
    pub decider_workers: Option<u32>,
    pub max_stuck: Option<u32>,
    pub queue: Option<u32>,
    pub callback_deadline_ms: Option<f64>,
    pub retries: Option<u32>,
    pub breaker_failures: Option<u32>,
    pub breaker_probe_ms: Option<f64>,
    pub dead_letters: Option<u32>,
    pub dead_letter_bytes: Option<f64>,
    pub tombstone_ms: Option<f64>,
    pub max_request_ms: Option<f64>,
    pub lock_timeout_ms: Option<f64>,
    pub rotation_grace_ms: Option<f64>,
    pub idle_counts_suspend: Option<bool>,
    pub debug: Option<bool>,
    pub lifecycle_log: Option<u32>,
    pub dispatch: Option<String>,
    pub threads: Option<bool>,
    /// Not the engine's: see `Handler`.
    pub occupy_workers: Option<bool>,
}

/// Sets a field if the option was given.
macro_rules! set {
    ($($to:expr => $from:expr;)+) => { $(if let Some(value) = $from { $to = value; })+ };
}

fn word<T>(what: &str, word: Option<String>, find: fn(&str) -> Option<T>) -> Result<Option<T>> {
    word.map(|word| find(&word).ok_or_else(|| Error::invalid(format!("{what} '{word}' is not known")))).transpose()
}

fn dispatch(word: &str) -> Option<DispatchMode> {
    match word {
        "thread" => Some(DispatchMode::Thread),
        "inline" => Some(DispatchMode::Inline),
        "poll" => Some(DispatchMode::Poll),
        _ => None,
    }
}

fn trade_failure(word: &str) -> Option<TradeFailure> {
    match word {
        "keep" => Some(TradeFailure::Keep),
        "refuse" => Some(TradeFailure::Refuse),
        _ => None,
    }
}

impl ApplicationOptions {
    fn application(self) -> Result<Application> {
        let mut application = Application::new(self.name);
        set! {
            application.enabled => self.enabled;
            application.namespace => self.namespace;
            application.idle_timeout => self.idle_timeout_ms.map(timeout);
            application.absolute_timeout => self.absolute_timeout_ms.map(|ms| Some(timeout(ms)));
            application.event_classes => self.event_classes;
            application.required_event_classes => self.required_event_classes;
            application.lazy_until => word("lazyUntil", self.lazy_until, LazyUntil::from_name)?;
            application.detect_crawlers => self.detect_crawlers;
            application.crawlers => self.crawlers;
            application.extension_cap => self.extension_cap_ms.map(duration);
            application.ask_lead => self.ask_lead_ms.map(duration);
            application.lock => word("lock", self.lock, LockMode::from_name)?;
            application.timeout_on_application_change => word(
                "timeoutOnApplicationChange", self.timeout_on_application_change, ApplicationTimeout::from_name)?;
            application.protected_from_bulk_end => self.protected_from_bulk_end;
            application.event_classes_on_entry => self.event_classes_on_entry;
        }
        application.pool = self.pool;
        application.license_class = word("licenseClass", self.license_class, LicenseClass::from_name)?;
        application.anonymous_idle_timeout = self.anonymous_idle_timeout_ms.map(duration);
        application.max_sessions = self.max_sessions.map(|most| most as u64);
        application.max_extensions = self.max_extensions;
        application.debug = self.debug;
        Ok(application)
    }
}

impl PoolOptions {
    fn pool(self) -> Result<Pool> {
        let mut pool = Pool::new(self.name, self.capacity as u64);
        set! {
            pool.unit_rule => word("unitRule", self.unit_rule, UnitRule::from_name)?;
            pool.max_connections => self.max_connections;
            pool.holder_per_client => self.holder_per_client;
            pool.low => self.low.map(|low| low as u64);
            pool.linger => self.linger_ms.map(duration);
            pool.min_hold => self.min_hold_ms.map(duration);
            pool.reclaim => self.reclaim;
            pool.overdraft => self.overdraft.as_deref().map(Overdraft::parse).transpose()?;
            pool.evict => word("evict", self.evict, Evict::from_name)?;
            pool.evict_idle => self.evict_idle_ms.map(duration);
            pool.at_session_limit => word("atSessionLimit", self.at_session_limit, AtSessionLimit::from_name)?;
            pool.break_glass => self.break_glass.map(|units| units as u64);
            pool.administrators => self.administrators;
            pool.include => self.include;
            pool.exclude => self.exclude;
            pool.trade_failure => word("tradeFailure", self.trade_failure, trade_failure)?;
            pool.queue => self.queue.map(|most| most as _);
            pool.audit_records => self.audit_records.map(|records| records as usize);
        }
        pool.anonymous_per_client = self.anonymous_per_client;
        pool.max_sessions_per_holder = self.max_sessions_per_holder;
        pool.recovered = self.recovered.map(|units| units as u64);
        pool.anonymous_min_hold = self.anonymous_min_hold_ms.map(duration);
        pool.lazy_linger = self.lazy_linger_ms.map(duration);
        pool.lazy_min_hold = self.lazy_min_hold_ms.map(duration);
        pool.overdraft_time = self.overdraft_time_ms.map(duration);
        let reservations = self.reservations.unwrap_or_default().into_iter();
        pool.reservations = reservations
            .map(|one| Reservation { members: one.members, units: one.units as u64, hard: one.hard.unwrap_or(true) })
            .collect();
        pool.anonymous_cap = self.anonymous_cap.map(|cap| cap as u64);
        Ok(pool)
    }
}

impl ManagerOptions {
    /// The engine's configuration.
    pub fn config(self, clock: Option<ManualClock>) -> Result<Config> {
        let mut config = Config { label: "node".into(), ..Config::new() };
        set! {
            config.store => self.store;
            config.durability => self.durability.as_deref().map(Durability::from_name).transpose()?;
            config.adopt => self.adopt;
            config.profile => self.profile.as_deref().map(Profile::from_name).transpose()?;
            config.max_sessions => self.max_sessions.map(|most| most as u64);
            config.clock => clock.map(Clock::Manual);
            config.workers => self.workers.map(|workers| workers as usize);
            config.decider_workers => self.decider_workers.map(|workers| workers as usize);
            config.max_stuck => self.max_stuck.map(|most| most as usize);
            config.queue => self.queue.map(|queue| queue as usize);
            config.callback_deadline => self.callback_deadline_ms.map(duration);
            config.retries => self.retries;
            config.breaker_failures => self.breaker_failures;
            config.breaker_probe => self.breaker_probe_ms.map(duration);
            config.dead_letters => self.dead_letters.map(|most| most as usize);
            config.dead_letter_bytes => self.dead_letter_bytes.map(|bytes| bytes as usize);
            config.tombstone => self.tombstone_ms.map(duration);
            config.max_request => self.max_request_ms.map(duration);
            config.lock_timeout => self.lock_timeout_ms.map(duration);
            config.rotation_grace => self.rotation_grace_ms.map(duration);
            config.idle_counts_suspend => self.idle_counts_suspend;
            config.debug => self.debug;
            config.dispatch => word("dispatch", self.dispatch, dispatch)?;
            config.threads => self.threads;
            config.lifecycle_log => self.lifecycle_log.map(|entries| entries as usize);
        }
        if let Some(quotas) = self.quotas {
            set! {
                config.quotas.session_bytes => quotas.session_bytes.map(|bytes| bytes as usize);
                config.quotas.levels => quotas.levels.map(|levels| levels as usize);
                config.quotas.value_bytes => quotas.value_bytes.map(|bytes| bytes as usize);
                config.quotas.subscript_bytes => quotas.subscript_bytes.map(|bytes| bytes as usize);
            }
        }
        for application in self.applications.unwrap_or_default() {
            config.applications.push(application.application()?);
        }
        for pool in self.pools.unwrap_or_default() {
            config.pools.push(pool.pool()?);
        }
        Ok(config)
    }
}
