//! Every option with its default, unit and bounds, in one place.

mod kept;
mod pool;
mod pool_options;

use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, MAX_TIMEOUT, Millis, millis};
use crate::data::Quotas;
use crate::error::{Error, Result};
use crate::event::class::{check_name, check_namespace};
use crate::event::{DispatchMode, ThreadHooks};
use crate::reason::{ApplicationTimeout, LazyUntil, LicenseClass, LockMode};
use crate::store::{Durability, Store};

pub use self::pool::{Overdraft, Pool, Reservation, TradeFailure};
pub use self::pool_options::PoolDifference;

/// Default idle timeout: 15 minutes.
pub const DEFAULT_IDLE_TIMEOUT: Duration = Duration::from_secs(900);
/// Default absolute timeout of the default profile: 24 hours.
pub const DEFAULT_ABSOLUTE_TIMEOUT: Duration = Duration::from_secs(86_400);
/// Default of [`Config::max_sessions`].
pub const DEFAULT_MAX_SESSIONS: u64 = 1_000_000;
/// The longest user name in bytes.
pub const MAX_USER: usize = 256;
/// Most texts of [`Application::crawlers`].
const MAX_CRAWLERS: usize = 1000;
/// The longest of them in bytes.
const MAX_CRAWLER: usize = 256;

/// A named set of options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// Absolute timeout 24 h, no extensions.
    #[default]
    Default,
    /// Compatible with `%CSP.Session`: no absolute timeout, 3 extensions.
    Iris,
}

impl Profile {
    /// The profile's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Iris => "iris",
        }
    }

    /// The profile with this name.
    pub fn from_name(name: &str) -> Result<Self> {
        match name {
            "default" => Ok(Self::Default),
            "iris" => Ok(Self::Iris),
            _ => Err(Error::invalid(format!("there is no profile '{name}'; the profiles are default and iris"))),
        }
    }
}

/// A named part of a product with its own defaults.
#[derive(Clone, Debug)]
pub struct Application {
    /// Its name: 1 to 128 bytes.
    pub name: String,
    /// Whether sessions may be created in it and enter it. Default true.
    pub enabled: bool,
    /// The namespace of its sessions and event classes: at most 128 bytes. Default empty.
    pub namespace: String,
    /// Longest silence; `None` never. Default 900 s.
    pub idle_timeout: Option<Duration>,
    /// Longest life; `None` never. Default: the profile's (24 h, in `iris` none).
    pub absolute_timeout: Option<Option<Duration>>,
    /// The event classes its sessions start with, first called first.
    pub event_classes: Vec<String>,
    /// Those of `event_classes` that a decision needs.
    pub required_event_classes: Vec<String>,
    /// The pool its sessions are charged to. Default: the manager's only pool, if there is exactly one.
    pub pool: Option<String>,
    /// How its sessions are charged. Default `named` where a pool is configured, else `none`.
    pub license_class: Option<LicenseClass>,
    /// When a session of class `lazy` takes its unit. Default `login`. What is decided is decided when the session is created.
    pub lazy_until: LazyUntil,
    /// Whether a `lazy` session of a crawler or a health check takes a unit by a login only, never by a request or a write:
    /// told by `client.user_agent` when the session is created. Default true. Other classes don't ask: no header saves a
    /// named session its unit.
    pub detect_crawlers: bool,
    /// What else is in the user agents of crawlers and health checks: texts of 1 to 256 bytes, compared without regard to the
    /// case of ASCII letters; at most 1,000. With `detect_crawlers` only.
    pub crawlers: Vec<String>,
    /// Longest silence of sessions of class `anonymous`, as long as they are: a login that makes one named gives it
    /// `idle_timeout`. A session whose own was set keeps that. Default: `idle_timeout`.
    pub anonymous_idle_timeout: Option<Duration>,
    /// Most live sessions of this application. Default: the manager's.
    pub max_sessions: Option<u64>,
    /// Extensions in a row without user activity. Default: the profile's (0, in `iris` 3).
    pub max_extensions: Option<u32>,
    /// The longest single extension. Default 900 s.
    pub extension_cap: Duration,
    /// How long before the deadline `on_expiring` is asked, at most half the timeout. Default 5 s.
    pub ask_lead: Duration,
    /// The lock of a request that names none. Default `exclusive`.
    pub lock: LockMode,
    /// What happens to the timeout when a session enters this application from another. Default `keep`.
    pub timeout_on_application_change: ApplicationTimeout,
    /// Spared by `end_where` unless named by id. Default false.
    pub protected_from_bulk_end: bool,
    /// Whether a session that enters also gets this application's event classes, each once. Default false (`keep`).
    pub event_classes_on_entry: bool,
    /// Whether sessions keep a trace that `explain` prints. Default: the manager's `debug`.
    pub debug: Option<bool>,
}

impl Application {
    /// An application with the defaults.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            enabled: true,
            namespace: String::new(),
            idle_timeout: Some(DEFAULT_IDLE_TIMEOUT),
            absolute_timeout: None,
            event_classes: Vec::new(),
            required_event_classes: Vec::new(),
            pool: None,
            license_class: None,
            lazy_until: LazyUntil::Login,
            detect_crawlers: true,
            crawlers: Vec::new(),
            anonymous_idle_timeout: None,
            max_sessions: None,
            max_extensions: None,
            extension_cap: Duration::from_secs(900),
            ask_lead: Duration::from_secs(5),
            lock: LockMode::Exclusive,
            timeout_on_application_change: ApplicationTimeout::Keep,
            protected_from_bulk_end: false,
            event_classes_on_entry: false,
            debug: None,
        }
    }

    /// Sets the idle timeout; `None` is never.
    pub fn idle_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.idle_timeout = timeout.into();
        self
    }

    /// Sets the absolute timeout; `None` is never.
    pub fn absolute_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.absolute_timeout = Some(timeout.into());
        self
    }

    /// Adds an event class at the end of the list.
    pub fn event_class(mut self, name: impl Into<String>) -> Self {
        self.event_classes.push(name.into());
        self
    }

    /// Names the pool.
    pub fn pool(mut self, pool: impl Into<String>) -> Self {
        self.pool = Some(pool.into());
        self
    }

    /// Sets the license class.
    pub fn license_class(mut self, class: LicenseClass) -> Self {
        self.license_class = Some(class);
        self
    }
}

/// What a manager is opened with.
#[derive(Clone)]
pub struct Config {
    /// The table: `memory` (default), one of this process; or `file:PATH`, one of all processes of this machine that name
    /// the same directory, which is made if it is not there. A relative path is below the working directory of now; at
    /// most 4,000 bytes.
    pub store: String,
    /// Opens a store of `file:` that is there by what it says itself of its configuration: for an administrator's process
    /// beside those that serve, whatever their language. Default false.
    ///
    /// Nothing that the store says may be named: applications, pools, the profile, quotas, `max_sessions`, `tombstone`,
    /// `max_request`, `idle_counts_suspend`, `debug`, and how many dead letters and log entries it keeps. Such a manager
    /// lists, explains, ends, audits, and changes pools; it makes no session, begins no request, calls back for nobody and
    /// reaps nothing: what falls due is asked about and ended by those that serve, by the next of them if there is none.
    /// Nobody is disturbed by its coming and going: while only such managers have a store open, others open it as if
    /// nobody had, and wait for them if they are configured otherwise.
    ///
    /// Opening is `invalid` if there is no store (none is made), and for anybody but the user that it belongs to;
    /// `unavailable` if it is of another version.
    pub adopt: bool,
    /// What a table of `file:` syncs before a call returns. Default `relaxed`. `invalid` with the memory table if
    /// `durable`: nothing outlives it.
    pub durability: Durability,
    /// What this process is called where other processes see it, as in `explain`: for language bindings. Default `rust`;
    /// of a longer text the first 63 bytes are kept.
    pub label: String,
    /// The named set of options that defaults come from.
    pub profile: Profile,
    /// The applications. Without any there is one with the name `default`.
    pub applications: Vec<Application>,
    /// The license pools.
    pub pools: Vec<Pool>,
    /// Most live sessions. Default 1,000,000.
    pub max_sessions: u64,
    /// Quotas of one session's data.
    pub quotas: Quotas,
    /// Where time comes from. Default: the system.
    pub clock: Clock,
    /// Where callbacks run. Default: dispatcher threads.
    pub dispatch: DispatchMode,
    /// Whether the manager has threads of its own. Without, the host calls `tick`. Default true.
    pub threads: bool,
    /// Dispatcher threads for notifications: 1 to 64. Default 4.
    pub workers: usize,
    /// Dispatcher threads for deciders: 1 to 64. Default 2.
    pub decider_workers: usize,
    /// How many hung dispatcher threads are replaced. Default 4.
    pub max_stuck: usize,
    /// Queued deliveries; what is beyond becomes dead letters. Default 1,000,000.
    pub queue: usize,
    /// How long a callback may take. Default 5 s.
    pub callback_deadline: Duration,
    /// How often a failed callback is tried again. Default 3.
    pub retries: u32,
    /// Overruns and exhausted deliveries in a row that open a class's breaker. Default 5.
    pub breaker_failures: u32,
    /// How long an open breaker waits before it lets a probe through. Default 30 s.
    pub breaker_probe: Duration,
    /// Dead letters kept; on a table of several processes, of all of them. Default 100,000.
    pub dead_letters: usize,
    /// Bytes of snapshots kept in dead letters, likewise; beyond, the oldest lose theirs. Default 64 MiB.
    pub dead_letter_bytes: usize,
    /// How long a tombstone stands. Default 10 min. There are at most as many as `max_sessions` (and room for 65,536):
    /// beyond that the oldest fall early.
    pub tombstone: Duration,
    /// A request older than this counts as finished. Default 1 h.
    pub max_request: Duration,
    /// How long a lock is waited for when no time is named. Default 30 s.
    pub lock_timeout: Duration,
    /// How long an old token still begins requests after a rotation. Default 10 s.
    pub rotation_grace: Duration,
    /// Whether suspended time counts for the idle timeout too. Default false.
    pub idle_counts_suspend: bool,
    /// Whether sessions keep a trace, and `damage` is allowed. Default false.
    pub debug: bool,
    /// Entries of the lifecycle log. Default 10,000.
    pub lifecycle_log: usize,
    /// What wraps the dispatcher's threads: for language bindings.
    pub thread_hooks: Option<Arc<dyn ThreadHooks>>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            store: "memory".into(),
            adopt: false,
            durability: Durability::Relaxed,
            label: "rust".into(),
            profile: Profile::Default,
            applications: Vec::new(),
            pools: Vec::new(),
            max_sessions: DEFAULT_MAX_SESSIONS,
            quotas: Quotas::default(),
            clock: Clock::default(),
            dispatch: DispatchMode::Thread,
            threads: true,
            workers: 4,
            decider_workers: 2,
            max_stuck: 4,
            queue: 1_000_000,
            callback_deadline: Duration::from_secs(5),
            retries: 3,
            breaker_failures: 5,
            breaker_probe: Duration::from_secs(30),
            dead_letters: 100_000,
            dead_letter_bytes: 64 << 20,
            tombstone: Duration::from_secs(600),
            max_request: Duration::from_secs(3600),
            lock_timeout: Duration::from_secs(30),
            rotation_grace: Duration::from_secs(10),
            idle_counts_suspend: false,
            debug: false,
            lifecycle_log: 10_000,
            thread_hooks: None,
        }
    }
}

impl Config {
    /// The defaults: the memory table, one application `default`, no pool.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an application.
    pub fn application(mut self, application: Application) -> Self {
        self.applications.push(application);
        self
    }

    /// Adds a pool.
    pub fn pool(mut self, pool: Pool) -> Self {
        self.pools.push(pool);
        self
    }

    /// Sets the table.
    pub fn store(mut self, store: impl Into<String>) -> Self {
        self.store = store.into();
        self
    }

    /// Opens the store by what it says itself of its configuration.
    pub fn adopt(mut self) -> Self {
        self.adopt = true;
        self
    }

    /// Sets what a table of `file:` syncs before a call returns.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Sets the clock.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Checks everything; the store that it names.
    pub(crate) fn check(&self) -> Result<Store> {
        let store = Store::parse(&self.store)?;
        if store == Store::Memory && self.durability == Durability::Durable {
            return Err(Error::invalid(
                "durability durable needs a store on disk, and the store is memory: use file:PATH, or leave it out",
            ));
        }
        if self.adopt && store == Store::Memory {
            return Err(Error::invalid("adopt opens a store that is there: name it as file:PATH"));
        }
        self.check_options()?;
        Ok(store)
    }

    fn check_options(&self) -> Result<()> {
        for (what, value) in [("workers", self.workers), ("decider_workers", self.decider_workers)] {
            if !(1..=64).contains(&value) {
                return Err(Error::invalid(format!("{what} {value} is not between 1 and 64")));
            }
        }
        for (what, value) in [
            ("callback_deadline", self.callback_deadline),
            ("tombstone", self.tombstone),
            ("max_request", self.max_request),
            ("lock_timeout", self.lock_timeout),
            ("rotation_grace", self.rotation_grace),
            ("breaker_probe", self.breaker_probe),
        ] {
            check_duration(what, value)?;
        }
        for (what, value) in [("callback_deadline", self.callback_deadline), ("max_request", self.max_request)] {
            if value.is_zero() {
                return Err(Error::invalid(format!("{what} can't be 0")));
            }
        }
        for (index, pool) in self.pools.iter().enumerate() {
            pool.check()?;
            if self.pools[..index].iter().any(|other| other.name == pool.name) {
                return Err(Error::invalid(format!("two pools have the name '{}'", pool.name)));
            }
        }
        for (index, application) in self.applications.iter().enumerate() {
            self.check_application(application)?;
            if self.applications[..index].iter().any(|other| other.name == application.name) {
                return Err(Error::invalid(format!("two applications have the name '{}'", application.name)));
            }
        }
        Ok(())
    }

    fn check_application(&self, application: &Application) -> Result<()> {
        check_name("application", &application.name)?;
        check_namespace(&application.namespace)?;
        check_timeout("idle_timeout", application.idle_timeout)?;
        check_timeout("absolute_timeout", application.absolute_timeout.flatten())?;
        check_duration("extension_cap", application.extension_cap)?;
        check_duration("ask_lead", application.ask_lead)?;
        for class in &application.event_classes {
            check_name("event class", class)?;
        }
        for class in &application.required_event_classes {
            if !application.event_classes.contains(class) {
                return Err(Error::invalid(format!(
                    "application '{}' requires the event class '{class}', which is not in its event_classes",
                    application.name
                )));
            }
        }
        if let Some(pool) = &application.pool
            && !self.pools.iter().any(|known| known.name == *pool)
        {
            return Err(Error::invalid(format!(
                "application '{}' names the pool '{pool}', which is not configured",
                application.name
            )));
        }
        check_timeout("anonymous_idle_timeout", application.anonymous_idle_timeout)?;
        if application.crawlers.len() > MAX_CRAWLERS {
            return Err(Error::invalid(format!(
                "application '{}' names {} crawlers; the bound is {MAX_CRAWLERS}",
                application.name,
                application.crawlers.len()
            )));
        }
        if let Some(wrong) = application.crawlers.iter().find(|crawler| !(1..=MAX_CRAWLER).contains(&crawler.len())) {
            return Err(Error::invalid(format!(
                "application '{}': a text of {} bytes can't name a crawler; it has 1 to {MAX_CRAWLER}",
                application.name,
                wrong.len()
            )));
        }
        if application.license_class.is_some_and(|class| class != LicenseClass::None)
            && application.pool.is_none()
            && self.pools.len() != 1
        {
            return Err(Error::invalid(format!(
                "application '{}' has a license class but names no pool, and there are {} pools",
                application.name,
                self.pools.len()
            )));
        }
        Ok(())
    }
}

/// Checks a timeout: more than nothing (a border maps 0 to never) and at most 100 years.
pub(crate) fn check_timeout(what: &str, timeout: Option<Duration>) -> Result<()> {
    match timeout {
        Some(timeout) if timeout.is_zero() => {
            Err(Error::invalid(format!("{what} 0 is not a duration; leave it out for never")))
        }
        Some(timeout) => check_duration(what, timeout),
        None => Ok(()),
    }
}

pub(crate) fn check_duration(what: &str, value: Duration) -> Result<()> {
    if value > MAX_TIMEOUT {
        return Err(Error::invalid(format!("{what} of {} s is over the bound of 100 years", value.as_secs())));
    }
    Ok(())
}

/// Checks the name of a user.
pub(crate) fn check_user(user: &str) -> Result<()> {
    if user.is_empty() {
        return Err(Error::invalid("the name of a user can't be empty"));
    }
    if user.len() > MAX_USER {
        return Err(Error::invalid(format!("the user name of {} bytes is over the bound of {MAX_USER}", user.len())));
    }
    Ok(())
}

/// A timeout as engine time; `None` is never, stored as 0.
pub(crate) fn timeout_ms(timeout: Option<Duration>) -> Millis {
    timeout.map_or(0, |timeout| millis(timeout).max(1))
}
