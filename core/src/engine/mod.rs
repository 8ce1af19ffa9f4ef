//! What a session means: the verbs of the table put together with deciders, deliveries and time.

pub(crate) mod ask;
mod begin;
mod close;
mod create;
mod deliver;
mod end;
mod feature;
pub(crate) mod granted;
mod groups;
mod handing;
mod lock;
mod login;
mod look;
mod open;
mod own;
mod pools;
mod publish;
mod queue;
mod reaper;
pub(crate) mod requests;
mod retry;
pub(crate) mod seat;
#[cfg(test)]
mod tests;
mod unit;
pub(crate) mod words;

use std::sync::{Arc, Weak};

use crate::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use crate::sync::{Condvar, Mutex};

use crate::clock::{Clock, NEVER, Timers, millis};
use crate::config::{Application, Config, DEFAULT_ABSOLUTE_TIMEOUT, Pool, Profile, timeout_ms};
use crate::error::{Error, ErrorKind, Result};
use crate::event::dispatcher::{DispatchConfig, Dispatcher};
use crate::event::{ClassRef, EventClass};
use crate::fork;
use crate::license::crawlers::is_crawler;
use crate::reason::{LazyUntil, LicenseClass};
use crate::session::{Client, CloseReport};
use crate::store::Store;
use crate::table::{ApplicationRule, At, PoolInForce, Table, TableConfig, lines};

use self::own::Own;
use self::reaper::Reaper;

const OPEN: u8 = 0;
const CLOSING: u8 = 1;
const CLOSED: u8 = 2;

/// One manager.
pub(crate) struct Engine {
    pub id: u64,
    pub config: Config,
    pub clock: Clock,
    /// Whether sessions outlive this manager: see the table's.
    outlives: bool,
    pub timers: Own<Arc<Timers>>,
    pub table: Own<Arc<dyn Table>>,
    pub dispatcher: Own<Arc<Dispatcher>>,
    pub applications: Vec<App>,
    /// Whether sessions may take their unit at the first write.
    first_writes: bool,
    pub reaper: Own<Arc<Reaper>>,
    state: AtomicU8,
    report: Mutex<Option<CloseReport>>,
    reported: Condvar,
    forks: u64,
    refused: AtomicU64,
    retry: retry::Retry,
    handing: handing::Handing,
    telling: deliver::Telling,
    waits: queue::Waits,
    granted: granted::Granted,
    /// Rows of the outbox that were taken and are not done.
    delivering: AtomicU64,
    /// Touched in the child of a fork only.
    unopened: Mutex<Option<Error>>,
    me: Weak<Engine>,
}

/// An application with everything resolved.
pub(crate) struct App {
    pub config: Application,
    pub name: Arc<str>,
    pub namespace: Arc<str>,
    pub classes: Arc<[ClassRef]>,
    pub pool: Option<u32>,
    pub license_class: LicenseClass,
    pub idle: u64,
    /// The same of anonymous sessions.
    pub anonymous_idle: u64,
    pub absolute: u64,
}

impl App {
    /// When a lazy session of this client takes its unit.
    pub fn lazy_until(&self, client: &Client) -> LazyUntil {
        let crawls = |agent: &str| self.config.detect_crawlers && is_crawler(agent, &self.config.crawlers);
        match self.config.lazy_until {
            LazyUntil::Login => LazyUntil::Login,
            until if client.user_agent.as_deref().is_some_and(crawls) => {
                log::debug!(target: "libsession", "a {until} session of a crawler or a health check takes its unit at login only");
                LazyUntil::Login
            }
            until => until,
        }
    }
}

impl Engine {
    pub fn new(mut config: Config) -> Result<Arc<Self>> {
        if config.adopt {
            let store = config.check()?;
            open::adopt(&store, &mut config)?;
        } else if config.applications.is_empty() {
            config.applications.push(Application::new("default"));
        }
        let store = config.check()?;
        Self::open(config, store)
    }

    /// A manager over a store whose path is resolved.
    fn open(config: Config, store: Store) -> Result<Arc<Self>> {
        static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
        fork::watch();
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut clock = config.clock.clone();
        let (table, letter_box) = open::open_table(&store, &config, &mut clock)?;
        let timers = Arc::new(Timers::default());
        let applications = config.applications.iter().map(|application| resolve(&config, application)).collect();
        let dispatch = DispatchConfig { letter_box, ..dispatch_config(&config, id, table.outlives()) };
        let dispatcher = Dispatcher::new(dispatch, clock.clone(), timers.clone());
        let engine = Arc::new_cyclic(|me| Self {
            id,
            clock,
            outlives: table.outlives(),
            timers: Own::new(timers),
            table: Own::new(table),
            dispatcher: Own::new(dispatcher),
            first_writes: config.applications.iter().any(|app| app.lazy_until == LazyUntil::FirstWrite),
            applications,
            reaper: Own::new(Arc::new(Reaper::new())),
            state: AtomicU8::new(OPEN),
            report: Mutex::new(None),
            reported: Condvar::new(),
            forks: fork::generation(),
            refused: AtomicU64::new(0),
            retry: retry::Retry::new(),
            handing: handing::Handing::new(),
            telling: deliver::Telling::default(),
            waits: queue::Waits::default(),
            granted: granted::Granted::default(),
            delivering: AtomicU64::new(0),
            unopened: Mutex::new(None),
            me: me.clone(),
            config,
        });
        if let Some(manual) = engine.clock.manual() {
            let driven: Weak<dyn crate::clock::Driven> = engine.me.clone() as Weak<Engine>;
            manual.drive(driven);
        }
        if engine.clock.manual().is_none() || engine.outlives {
            let reaper = engine.reaper.clone();
            engine.table.set_bell(Some(Arc::new(move || reaper.ring())));
            let reaper = engine.reaper.clone();
            engine.timers.set_bell(Some(Arc::new(move || reaper.ring())));
        }
        Ok(engine)
    }

    /// To be called first by whatever a host calls.
    pub fn enter(&self) -> Result<()> {
        if self.forks != fork::generation() {
            let unopened = self.unopened.try_lock().and_then(|error| error.clone());
            return Err(unopened.unwrap_or_else(|| self.forked_error()));
        }
        match self.state.load(Ordering::Acquire) {
            OPEN => {
                if self.outlives {
                    // Others may have made sessions: whoever uses them keeps time, too.
                    self.start_threads();
                }
                Ok(())
            }
            CLOSING => Err(Error::new(ErrorKind::Closing, "the manager is closing")),
            _ => Err(Error::new(ErrorKind::Closed, "the manager was closed")),
        }
    }

    /// As [`enter`](Self::enter), for what a manager does not that adopted its store.
    pub fn enter_to_serve(&self) -> Result<()> {
        self.enter()?;
        if self.config.adopt {
            return Err(Error::invalid(
                "this manager was opened with adopt, to look and to end: who makes sessions, uses them or calls back for them \
                 opens the store with its configuration",
            ));
        }
        Ok(())
    }

    /// As [`enter`](Self::enter), for what may still be read and finished while the manager closes.
    pub fn enter_closing(&self) -> Result<()> {
        if self.forks != fork::generation() {
            return Err(self.forked_error());
        }
        if self.state.load(Ordering::Acquire) == CLOSED {
            return Err(Error::new(ErrorKind::Closed, "the manager was closed"));
        }
        Ok(())
    }

    /// As [`enter`](Self::enter), for an end, which a close that goes on does not keep from coming through.
    pub(super) fn enter_to_end(&self) -> Result<()> {
        match self.enter() {
            Err(error) if error.kind() == ErrorKind::Closing => Ok(()),
            entered => entered,
        }
    }

    /// In the child of a fork: why the store could not be opened again, for whoever calls; `None` once it is open.
    pub fn not_reopened(&self, error: Option<Error>) {
        if let Some(mut unopened) = self.unopened.try_lock() {
            *unopened = error;
        }
    }

    fn forked_error(&self) -> Error {
        let text = if self.outlives {
            "this handle was made before a fork: look the session up again by its token in this process, through the manager"
        } else {
            "this manager keeps its table in memory and was made before a fork: make it after the fork, in each process, or \
             keep the sessions in a store of all processes (store \"file:PATH\")"
        };
        Error::new(ErrorKind::Forked, text)
    }

    pub fn forked(&self) -> bool {
        self.forks != fork::generation()
    }

    pub fn at(&self) -> At {
        let (now, wall) = self.clock.both();
        At { now, wall }
    }

    pub fn app(&self, number: u32) -> &App {
        &self.applications[number as usize]
    }

    /// The number of an application by its name; the first one if none is named.
    pub fn application(&self, name: Option<&str>) -> Result<u32> {
        let Some(name) = name else { return Ok(0) };
        match self.applications.iter().position(|app| &*app.name == name) {
            Some(number) => Ok(number as u32),
            None => Err(Error::invalid(format!(
                "there is no application '{}'; configured are: {}",
                shorten(name),
                self.applications.iter().map(|app| &*app.name).collect::<Vec<_>>().join(", ")
            ))),
        }
    }

    /// The number of a pool by its name.
    pub fn pool(&self, name: &str) -> Result<u32> {
        match self.config.pools.iter().position(|pool| pool.name == name) {
            Some(number) => Ok(number as u32),
            None => Err(Error::invalid(format!(
                "there is no pool '{}'; configured are: {}",
                shorten(name),
                self.config.pools.iter().map(|pool| &*pool.name).collect::<Vec<_>>().join(", ")
            ))),
        }
    }

    /// What this manager was opened with; another definition may be in force.
    pub fn pool_config(&self, number: u32) -> &Pool {
        &self.config.pools[number as usize]
    }

    /// The definition of a pool as this process saw it last.
    pub fn known_pool(&self, number: u32) -> Arc<PoolInForce> {
        self.table.known_pool(number)
    }

    pub fn register(&self, class: EventClass) -> Result<()> {
        self.enter_to_serve()?;
        class.check()?;
        self.forget_untold_levels();
        if let Some(deadline) = class.deadline {
            crate::config::check_duration("deadline", deadline)?;
            if deadline.is_zero() {
                return Err(Error::invalid("the deadline of an event class can't be 0"));
            }
        }
        let name = ClassRef::new(class.namespace.as_str(), class.name.as_str());
        self.dispatcher.register(class)?;
        if let Err(error) = self.table.listens(&name, true) {
            self.dispatcher.unregister(&name.namespace, &name.name)?;
            return Err(error);
        }
        // What happened to the pools before anybody listened is not told.
        self.table.take_pool_levels();
        if self.outlives {
            // Rows that other processes wrote may wait for this class.
            self.pump();
        }
        Ok(())
    }

    pub fn unregister(&self, name: &str, namespace: &str) -> Result<bool> {
        self.enter()?;
        let class = ClassRef::new(namespace, name);
        if !self.dispatcher.registered(&class) {
            return Ok(false);
        }
        // First no new rows come, then what runs comes to its end.
        self.table.listens(&class, false)?;
        let gone = self.dispatcher.unregister(namespace, name);
        if gone.is_err() {
            self.table.listens(&class, true)?;
        }
        gone
    }

    /// Makes sure that somebody keeps time.
    pub fn start_threads(&self) {
        if self.config.threads && (self.clock.manual().is_none() || self.outlives) {
            self.reaper.start(&self.me);
        }
    }

    pub fn weak(&self) -> Weak<Engine> {
        self.me.clone()
    }

    pub fn strong(&self) -> Option<Arc<Engine>> {
        self.me.upgrade()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if self.forked() {
            return;
        }
        self.reaper.stop(false);
        if self.state.load(Ordering::Acquire) == OPEN {
            self.dispatcher.close(std::time::Duration::ZERO);
            self.table.close();
        }
    }
}

/// A limit of what has no bound above.
pub(crate) fn check_limit(limit: usize) -> Result<()> {
    if limit == 0 { Err(Error::invalid("limit 0 would tell nothing; it must be at least 1")) } else { Ok(()) }
}

/// A name for an error message.
fn shorten(name: &str) -> String {
    match name.char_indices().nth(64) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

fn resolve(config: &Config, application: &Application) -> App {
    let namespace: Arc<str> = application.namespace.as_str().into();
    let classes = application
        .event_classes
        .iter()
        .map(|name| ClassRef {
            namespace: namespace.clone(),
            name: name.as_str().into(),
            required: application.required_event_classes.contains(name),
        })
        .collect();
    let pool = match &application.pool {
        Some(name) => config.pools.iter().position(|pool| pool.name == *name),
        None if config.pools.len() == 1 => Some(0),
        None => None,
    };
    let class =
        application.license_class.unwrap_or(if pool.is_some() { LicenseClass::Named } else { LicenseClass::None });
    let absolute = application.absolute_timeout.unwrap_or(match config.profile {
        Profile::Default => Some(DEFAULT_ABSOLUTE_TIMEOUT),
        Profile::Iris => None,
    });
    App {
        name: application.name.as_str().into(),
        namespace,
        classes,
        pool: pool.map(|pool| pool as u32),
        license_class: class,
        idle: timeout_ms(application.idle_timeout),
        anonymous_idle: timeout_ms(application.anonymous_idle_timeout.or(application.idle_timeout)),
        absolute: timeout_ms(absolute),
        config: application.clone(),
    }
}

fn table_config(config: &Config, clock: &Clock) -> TableConfig {
    let extensions = match config.profile {
        Profile::Default => 0,
        Profile::Iris => 3,
    };
    TableConfig {
        applications: config
            .applications
            .iter()
            .map(|application| ApplicationRule {
                name: application.name.as_str().into(),
                namespace: application.namespace.as_str().into(),
                max_sessions: application.max_sessions.unwrap_or(u64::MAX),
                max_extensions: application.max_extensions.unwrap_or(extensions),
                extension_cap: millis(application.extension_cap),
                ask_lead: millis(application.ask_lead),
                protected: application.protected_from_bulk_end,
                trace: application.debug.unwrap_or(config.debug),
            })
            .collect(),
        pools: config.pools.clone(),
        max_sessions: config.max_sessions,
        quotas: config.quotas,
        quantum: clock.quantum(),
        max_request: millis(config.max_request).min(NEVER),
        tombstone: millis(config.tombstone),
        answers_stand: if clock.manual().is_some() { 0 } else { crate::table::STANDS },
        idle_counts_suspend: config.idle_counts_suspend,
        lifecycle_log: config.lifecycle_log,
        agreement: config
            .applications
            .iter()
            .map(|application| lines(&format!("application '{}'", application.name), application))
            .collect(),
    }
}

fn dispatch_config(config: &Config, id: u64, gives_back: bool) -> DispatchConfig {
    DispatchConfig {
        manager_id: id,
        mode: config.dispatch,
        own_threads: config.threads,
        workers: config.workers,
        decider_workers: config.decider_workers,
        max_stuck: config.max_stuck,
        queue: config.queue,
        callback_deadline: millis(config.callback_deadline),
        retries: config.retries,
        breaker_failures: config.breaker_failures,
        breaker_probe: millis(config.breaker_probe),
        dead_letters: config.dead_letters,
        dead_letter_bytes: config.dead_letter_bytes,
        thread_hooks: config.thread_hooks.clone(),
        gives_back,
        ..DispatchConfig::default()
    }
}
