//! The world of a history: the manager and its model side by side.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use libsession_core::*;

use super::dice::Dice;
use super::model::{self, Model, Outcome, Wish};
use super::pools::{self, RULES};
use super::story::Table;

pub const USERS: [&str; 4] = ["ada", "bob", "cyd", "eve"];
/// The application without a pool.
pub const FREE: usize = RULES.len();
/// Longer than anything takes that is not broken.
const BOUND: Duration = Duration::from_secs(60);

/// How often each class was told the end of each session, with the reason.
pub type Told = Arc<Mutex<HashMap<(SessionId, &'static str), Vec<EndReason>>>>;

/// What was told of each pool.
pub type PoolsTold = Arc<(Mutex<[Vec<model::PoolTold>; RULES.len()]>, Condvar)>;

/// What a call that may have waited came back with.
pub enum Got {
    Created(Created),
    LoggedIn(Login),
    Done,
}

/// The number of a call, and what came of it.
type Answer = (u64, Result<Got>);

pub struct Play {
    pub dice: Dice,
    pub clock: ManualClock,
    pub manager: Manager,
    pub model: Model,
    /// By the numbers of the model's sessions.
    pub ids: Vec<SessionId>,
    /// By the numbers of the model's tokens.
    pub tokens: HashMap<usize, String>,
    pub requests: Vec<(usize, Request)>,
    pub last_request: usize,
    pub ends: Told,
    pub pool_events: PoolsTold,
    /// Whether the group resolver answers.
    pub resolves: Arc<AtomicBool>,
    /// What was done, in words.
    pub told: Vec<String>,
    /// Waits that go on: the model's place, the number of the call, its ticket.
    pub waits: Vec<(u64, u64, Ticket)>,
    calls: u64,
    back: (Sender<Answer>, Receiver<Answer>),
    came: HashMap<u64, Result<Got>>,
    pub absolute_seen: HashMap<usize, u64>,
    /// Creations so far.
    pub serial: u64,
    /// The ids of sessions by their serial numbers, as the accounts tell them.
    pub serials: HashMap<u64, SessionId>,
    /// The last account of each pool that was looked at, and the units in use after it.
    pub accounts: [(u64, u64); RULES.len()],
    pub is_shared: bool,
    dir: Option<PathBuf>,
}

/// Tells the groups of a user when it is asked, if it may.
fn resolver(tells: &Arc<AtomicBool>) -> Arc<dyn GroupResolver> {
    let tells = tells.clone();
    Arc::new(move |user: &str| match tells.load(Ordering::SeqCst) {
        true => Ok(model::groups_of(user).iter().map(|group| (*group).to_owned()).collect()),
        false => Err("the directory is down".to_owned()),
    })
}

/// Callbacks that keep what is told of pools.
fn listen(events: &PoolsTold) -> Callbacks {
    let kinds = [EventKind::PoolLow, EventKind::PoolExhausted, EventKind::PoolRecovered, EventKind::PoolOverdraft];
    kinds.into_iter().fold(Callbacks::new(), |callbacks, kind| {
        let events = events.clone();
        callbacks.on(kind, move |event| {
            let told = event.pool.as_ref().expect("a pool event names its pool");
            let number = told.pool.strip_prefix("pool").and_then(|number| number.parse::<usize>().ok());
            let mut pools = events.0.lock().expect("not poisoned");
            pools[number.expect("one of them")].push((event.kind, told.in_use, told.capacity));
            events.1.notify_all();
            Ok(Verdict::Allow)
        })
    })
}

/// What an error tells of a refusal.
pub fn denied(error: &Error) -> Option<model::Denial> {
    let after = error.retry_after().map(|after| after.as_millis() as u64);
    Some(model::Denial { reason: error.deny_reason()?, after, sure: true })
}

pub fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

impl Play {
    pub fn new(table: Table, seed: u64) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let mut dice = Dice::new(seed, u64::MAX);
        let clock = ManualClock::new();
        let mut config = Config { max_sessions: 25, clock: Clock::Manual(clock.clone()), ..Config::new() };
        let dir = match table {
            Table::Memory => None,
            Table::File => {
                let number = NEXT.fetch_add(1, Ordering::Relaxed);
                Some(std::env::temp_dir().join(format!("lses-invariants-{}-{number}", std::process::id())))
            }
        };
        if let Some(dir) = &dir {
            config.store = format!("file:{}", dir.display());
        }
        let mut model = Model::default();
        model.max_sessions = 25;
        for number in 0..RULES.len() {
            let pool = pools::some(&mut dice, number);
            model.pools.push(model::Pool::new(pool.clone()));
            config.pools.push(pool);
        }
        for number in 0..=FREE {
            let mut application = Application::new(format!("app{number}")).event_class("sure").event_class("shaky");
            application.lock = LockMode::None;
            application.pool = (number < FREE).then(|| format!("pool{number}"));
            application.license_class = (number < FREE).then_some(LicenseClass::Named);
            application.absolute_timeout = Some(None);
            application.lazy_until = *dice.pick(LazyUntil::ALL);
            application.anonymous_idle_timeout = Some(ms(model::ANONYMOUS_IDLE));
            model.lazy_until.push(application.lazy_until);
            application.max_sessions = (number == FREE).then_some(4);
            model.limits.push(if number == FREE { 4 } else { usize::MAX });
            config.applications.push(application);
        }
        let manager = Manager::new(config).expect("manager");
        let ends = Told::default();
        for name in ["sure", "shaky"] {
            let ends = ends.clone();
            let callbacks = Callbacks::new().on(EventKind::End, move |event| {
                if name == "shaky" && event.session_id.as_bytes()[0].is_multiple_of(4) {
                    return Err("shaken".into());
                }
                let mut ends = ends.lock().expect("not poisoned");
                ends.entry((event.session_id, name)).or_default().extend(event.reason);
                Ok(Verdict::Allow)
            });
            manager.register(EventClass::new(name, callbacks)).expect("register");
        }
        let resolves = Arc::new(AtomicBool::new(true));
        manager.set_group_resolver(Some(resolver(&resolves))).expect("a resolver");
        let pool_events = PoolsTold::default();
        manager.register(EventClass::new("pools", listen(&pool_events))).expect("register");
        Self {
            dice,
            clock,
            is_shared: manager.is_shared(),
            manager,
            told: model.pools.iter().map(|pool| format!("{} {}", pool.rules.name, pool.rules.to_json())).collect(),
            model,
            ids: Vec::new(),
            tokens: HashMap::new(),
            requests: Vec::new(),
            last_request: 0,
            ends,
            pool_events,
            resolves,
            waits: Vec::new(),
            calls: 0,
            back: channel(),
            came: HashMap::new(),
            absolute_seen: HashMap::new(),
            serial: 0,
            serials: HashMap::from([(0, SessionId::NIL)]),
            accounts: [(0, 0); RULES.len()],
            dir,
        }
    }

    /// Notes what is about to be done.
    pub fn say(&mut self, what: String) {
        self.told.push(format!("{} ms: {what}", self.model.now));
    }

    /// Where the answer of a call that may wait goes.
    pub fn answer<T: 'static>(&mut self, got: fn(T) -> Got) -> (u64, Then<T>) {
        self.calls += 1;
        let (call, back) = (self.calls, self.back.0.clone());
        // Nobody listens any more to what comes after the last step.
        (call, Box::new(move |answer| drop(back.send((call, answer.map(got))))))
    }

    /// The model's part of a call: what it comes to at once, or a wait that goes on. Tells which session it made.
    pub fn expect(&mut self, call: u64, ticket: Ticket, wish: Wish, wait: u64, priority: i8) -> Option<usize> {
        match self.model.want(wish, wait, priority) {
            Ok(outcome) => {
                let made = if let Outcome::Made(number, _) = outcome { Some(number) } else { None };
                self.came_to(call, outcome);
                made
            }
            Err(place) => {
                self.waits.push((place, call, ticket));
                None
            }
        }
    }

    /// A call came back as the model says.
    fn came_to(&mut self, call: u64, outcome: Outcome) {
        while !self.came.contains_key(&call) {
            // On the memory table all is done by whoever makes it possible.
            let bound = if self.is_shared { BOUND } else { Duration::ZERO };
            let came = self.back.1.recv_timeout(bound);
            let (other, answer) = came.unwrap_or_else(|_| panic!("it still waits, the model says {outcome:?}"));
            self.came.insert(other, answer);
        }
        let answer = self.came.remove(&call).expect("it came");
        match (answer, outcome) {
            (Ok(Got::Created(created)), Outcome::Made(number, token)) => {
                assert_eq!(number, self.ids.len());
                self.ids.push(created.id);
                let serial = self.model.sessions[number].serial;
                assert_eq!(*self.serials.entry(serial).or_insert(created.id), created.id, "the id of s{number}");
                self.model.sessions[number].id = created.id.to_string();
                self.tokens.insert(token, created.token.reveal());
            }
            (Ok(Got::LoggedIn(login)), Outcome::LoggedIn(token, denial)) => {
                assert_eq!(login.trade_denied.as_ref().and_then(denied), denial, "trade");
                self.tokens.insert(token, login.token.reveal());
            }
            (Ok(Got::Done), Outcome::Done) => {}
            (Err(error), Outcome::Denied(denial)) if error.deny_reason() == Some(denial.reason) => {
                assert_eq!(denied(&error), Some(denial), "a denial");
            }
            (Err(error), Outcome::SessionLimit) if error.kind() == ErrorKind::SessionLimit => {}
            (Err(error), Outcome::Changed) if error.kind() == ErrorKind::Conflict => {}
            (Err(error), Outcome::Cancelled) if error.kind() == ErrorKind::Cancelled => {}
            (Err(error), Outcome::Gone)
                if matches!(error.kind(), ErrorKind::Gone | ErrorKind::Absent | ErrorKind::Closed) => {}
            (answer, outcome) => panic!("{:?}, the model says {outcome:?}", answer.map(|_| "it was done")),
        }
    }

    /// Waits that ended by the last step, here and in the model.
    pub fn reconcile(&mut self) {
        self.model.claim_all();
        for (place, outcome) in std::mem::take(&mut self.model.finished) {
            let position = self.waits.iter().position(|(known, ..)| *known == place).expect("it waits");
            let (_, call, _) = self.waits.remove(position);
            self.came_to(call, outcome);
        }
        if let Ok((call, answer)) = self.back.1.try_recv() {
            panic!("a wait is over that should go on: call {call}, {:?}", answer.map(|_| "it was done"));
        }
        if let Some(call) = self.came.keys().next() {
            panic!("a wait is over that should go on: call {call}");
        }
    }
}

impl Drop for Play {
    fn drop(&mut self) {
        self.manager.close(Duration::from_secs(5));
        if let Some(dir) = &self.dir {
            let _removed = std::fs::remove_dir_all(dir);
        }
    }
}
