//! What a running script knows: labels, deliveries, hanging callbacks, the lifecycle log so far.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use libsession_core::{EventKind, LogEntry, Manager, ManualClock, Request, SessionId, Ticket, Token};

use crate::answer::{Fail, entry};
use crate::line::text_of;
use crate::setup::Setup;

/// Locks, also when another thread panicked: its failure is reported elsewhere.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long something may take to happen on another thread, in real time.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// The label of what has none.
pub const NOBODY: &str = "-";

/// A started line.
pub type Started = JoinHandle<Result<String, Fail>>;

/// The names a script gave.
#[derive(Default)]
pub struct Labels {
    /// Session labels in the order of their first lines.
    pub order: Vec<String>,
    /// Ids of sessions.
    pub ids: HashMap<String, SessionId>,
    /// Labels of ids.
    pub labels: HashMap<SessionId, String>,
    /// The texts of tokens by session label or token label.
    pub tokens: HashMap<String, String>,
    /// Requests and the label of their session.
    pub requests: HashMap<String, (Request, String)>,
    /// Versions by name.
    pub versions: HashMap<String, u64>,
    /// Tickets by name.
    pub tickets: HashMap<String, Ticket>,
    /// Users whose groups were asked for since last told.
    pub asked: Vec<String>,
    /// The label that was issued last for a session that is being made.
    pub creating: Option<String>,
}

/// One delivery to a scripted callback.
pub struct Delivery {
    /// `CLASS.KIND@MS:REASON#ATTEMPT!`.
    pub what: String,
    /// What its actions noted.
    pub notes: Vec<String>,
}

impl Delivery {
    fn text(&self) -> String {
        if self.notes.is_empty() { self.what.clone() } else { format!("{}({})", self.what, self.notes.join(";")) }
    }
}

/// How far a script was told, per verb that answers "since last asked".
#[derive(Default)]
pub struct Told {
    /// Deliveries, by label.
    pub events: HashMap<String, usize>,
    /// Lifecycle entries, by label; the empty one for all.
    pub log: HashMap<String, usize>,
    /// Audit records, by pool.
    pub audit: HashMap<String, u64>,
    /// Cursors of `end_where` and `timeout_where`.
    pub cursors: HashMap<&'static str, u64>,
}

/// The state of one running script.
pub struct World {
    /// Time.
    pub clock: ManualClock,
    /// What the lines before the first verb say.
    pub setup: Mutex<Setup>,
    /// Names.
    pub labels: Mutex<Labels>,
    /// How far the script was told.
    pub told: Mutex<Told>,
    /// Started lines by name.
    pub started: Mutex<HashMap<String, Started>>,
    /// How many callbacks said that they hang.
    pub hung: AtomicU64,
    /// Those of all processes; the first is the one that is meant where it matters.
    managers: Mutex<Vec<Manager>>,
    processes: usize,
    turn: AtomicUsize,
    deliveries: Mutex<HashMap<String, Vec<Delivery>>>,
    calls: Mutex<HashMap<(String, EventKind), u64>>,
    lifecycle: Mutex<Vec<LogEntry>>,
    releases: Mutex<Releases>,
    released: Condvar,
}

#[derive(Default)]
struct Releases {
    all: u64,
    of: HashMap<String, u64>,
    /// Callbacks that hang, by class; those that were released are none.
    hanging: HashMap<String, usize>,
    over: bool,
}

impl World {
    /// The ticket of a name.
    pub fn ticket(&self, name: &str) -> Ticket {
        lock(&self.labels).tickets.entry(name.into()).or_default().clone()
    }

    /// A script that did nothing yet, on this table, spread over so many managers.
    pub fn new(table: &str, processes: usize) -> Arc<Self> {
        let clock = ManualClock::new();
        Arc::new(Self {
            setup: Mutex::new(Setup::new(table, clock.clone())),
            clock,
            labels: Mutex::default(),
            told: Mutex::default(),
            started: Mutex::default(),
            hung: AtomicU64::new(0),
            managers: Mutex::default(),
            processes: processes.max(1),
            turn: AtomicUsize::new(0),
            deliveries: Mutex::default(),
            calls: Mutex::default(),
            lifecycle: Mutex::default(),
            releases: Mutex::default(),
            released: Condvar::new(),
        })
    }

    /// The manager; it opens at its first use.
    pub fn manager(self: &Arc<Self>) -> Result<Manager, Fail> {
        let mut managers = lock(&self.managers);
        if let Some(manager) = managers.first() {
            return Ok(manager.clone());
        }
        let (opened, classes) = lock(&self.setup).open(self, self.processes)?;
        managers.clone_from(&opened);
        drop(managers);
        for manager in &opened {
            for class in &classes {
                manager.register(class.clone())?;
            }
        }
        Ok(opened.into_iter().next().ok_or("there is no manager")?)
    }

    /// The manager whose turn it is: what does not belong to a request is done by all in turn.
    pub fn turn(self: &Arc<Self>) -> Result<Manager, Fail> {
        let first = self.manager()?;
        let managers = lock(&self.managers);
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % managers.len().max(1);
        Ok(managers.get(turn).cloned().unwrap_or(first))
    }

    /// All of them.
    pub fn managers(self: &Arc<Self>) -> Result<Vec<Manager>, Fail> {
        self.manager()?;
        Ok(lock(&self.managers).clone())
    }

    /// The manager, if it is open.
    pub fn opened(&self) -> Option<Manager> {
        lock(&self.managers).first().cloned()
    }

    /// Delivers what the last line caused, and reads the lifecycle log as far as it got.
    pub fn settle(&self) {
        let Some(manager) = self.opened() else { return };
        // Refused only inside of a callback, where nothing is to be settled.
        let _ = self.clock.advance(Duration::ZERO);
        self.read_lifecycle(&manager);
    }

    fn read_lifecycle(&self, manager: &Manager) {
        let mut lifecycle = lock(&self.lifecycle);
        loop {
            let after = lifecycle.last().map_or(0, |entry| entry.seq);
            match manager.lifecycle(after, 1000) {
                Ok(more) if !more.is_empty() => lifecycle.extend(more),
                // A closed manager tells nothing any more.
                _ => return,
            }
        }
    }

    /// Issues a label for a session that is about to be made.
    pub fn creating(&self, label: &str) {
        let mut labels = lock(&self.labels);
        if !labels.order.iter().any(|known| known == label) {
            labels.order.push(label.into());
        }
        labels.creating = Some(label.into());
    }

    /// A session was made.
    pub fn created(&self, label: &str, id: SessionId, token: &Token) {
        let mut labels = lock(&self.labels);
        labels.ids.insert(label.into(), id);
        labels.labels.insert(id, label.into());
        labels.tokens.insert(label.into(), token.reveal());
    }

    /// The newest token of a session.
    pub fn renewed(&self, label: &str, token: &Token) {
        lock(&self.labels).tokens.insert(label.into(), token.reveal());
    }

    /// The label of an id, or `-`.
    pub fn label_of(&self, id: SessionId) -> String {
        lock(&self.labels).labels.get(&id).cloned().unwrap_or_else(|| NOBODY.into())
    }

    /// The id of a session label.
    pub fn id(&self, label: &str) -> Result<SessionId, Fail> {
        lock(&self.labels).ids.get(label).copied().ok_or_else(|| format!("there is no session '{label}'").into())
    }

    /// The text of the token that a word means.
    pub fn token(&self, word: &str) -> Result<String, Fail> {
        if word.starts_with('"') {
            return Ok(text_of(word)?);
        }
        if let Some(label) = word.strip_prefix("id:") {
            return Ok(self.id(label)?.to_string());
        }
        lock(&self.labels).tokens.get(word).cloned().ok_or_else(|| format!("there is no token '{word}'").into())
    }

    /// A request, and the label of its session.
    pub fn request(&self, label: &str) -> Result<(Request, String), Fail> {
        lock(&self.labels).requests.get(label).cloned().ok_or_else(|| format!("there is no request '{label}'").into())
    }

    /// The request of this label, if it is one.
    pub fn is_request(&self, label: &str) -> bool {
        lock(&self.labels).requests.contains_key(label)
    }

    /// Ids inside of a text become labels.
    pub fn with_labels(&self, text: &str) -> String {
        let labels = lock(&self.labels);
        let mut text = text.to_string();
        for (id, label) in &labels.labels {
            let id = id.to_string();
            if text.contains(&id) {
                text = text.replace(&id, label);
            }
        }
        text
    }

    /// A delivery begins; answers its place.
    pub fn delivered(&self, session: SessionId, class: &str, kind: EventKind, what: String) -> (String, usize) {
        let label = {
            let mut labels = lock(&self.labels);
            if session != SessionId::NIL
                && !labels.labels.contains_key(&session)
                && let Some(label) = labels.creating.clone()
            {
                labels.ids.insert(label.clone(), session);
                labels.labels.insert(session, label);
            }
            labels.labels.get(&session).cloned().unwrap_or_else(|| NOBODY.into())
        };
        let label = if kind.name().starts_with("on_pool") { NOBODY.into() } else { label };
        *lock(&self.calls).entry((class.into(), kind)).or_default() += 1;
        let mut deliveries = lock(&self.deliveries);
        let of = deliveries.entry(label.clone()).or_default();
        of.push(Delivery { what, notes: Vec::new() });
        let place = of.len() - 1;
        (label, place)
    }

    /// An attached object was dropped.
    pub fn dropped(&self, session: SessionId, what: String) {
        let label = self.label_of(session);
        lock(&self.deliveries).entry(label).or_default().push(Delivery { what, notes: Vec::new() });
    }

    /// An action of a delivery noted something.
    pub fn note(&self, place: &(String, usize), note: String) {
        if let Some(delivery) = lock(&self.deliveries).get_mut(&place.0).and_then(|all| all.get_mut(place.1)) {
            delivery.notes.push(note);
        }
    }

    /// How often a callback was called.
    pub fn calls(&self, class: &str, kind: EventKind) -> u64 {
        lock(&self.calls).get(&(class.into(), kind)).copied().unwrap_or(0)
    }

    /// Deliveries about a session from one place on.
    pub fn deliveries(&self, label: &str, from: usize) -> Vec<String> {
        let deliveries = lock(&self.deliveries);
        let texts: Vec<String> = deliveries.get(label).into_iter().flatten().skip(from).map(Delivery::text).collect();
        drop(deliveries);
        texts.iter().map(|text| self.with_labels(text)).collect()
    }

    /// Lifecycle entries from one place on, with their sessions' labels.
    pub fn entries(&self, from: usize) -> Vec<(String, String)> {
        lock(&self.lifecycle).iter().skip(from).map(|one| (self.label_of(one.session_id), entry(self, one))).collect()
    }

    /// Hangs until `release`, which counts from before `say` tells the engine.
    pub fn hang(&self, class: &str, say: impl FnOnce()) {
        let before = {
            let mut releases = lock(&self.releases);
            *releases.hanging.entry(class.into()).or_default() += 1;
            (releases.all, releases.of.get(class).copied().unwrap_or(0))
        };
        say();
        self.hung.fetch_add(1, Ordering::SeqCst);
        let mut releases = lock(&self.releases);
        while !releases.over && (releases.all, releases.of.get(class).copied().unwrap_or(0)) == before {
            releases = self.released.wait(releases).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets hanging callbacks go on; returns when they have.
    pub fn release(&self, class: Option<&str>) {
        let mut releases = lock(&self.releases);
        match class {
            Some(class) => {
                *releases.of.entry(class.into()).or_default() += 1;
                releases.hanging.remove(class);
            }
            None => {
                releases.all += 1;
                releases.hanging.clear();
            }
        }
        drop(releases);
        self.released.notify_all();
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until && self.opened().is_some_and(|manager| !manager.is_closed()) {
            // Others may hang only now that these make room.
            let running = self.clock.advance(Duration::ZERO).unwrap_or(0);
            if running <= lock(&self.releases).hanging.values().sum() {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// The event log of the script.
    pub fn log(&self) -> String {
        let mut text = String::new();
        // A close hides its own ends: whether one could still be read is a matter of luck.
        for (_, entry) in
            self.entries(0).into_iter().filter(|(_, entry)| !entry.contains(".ended@") || !entry.contains(":shutdown"))
        {
            text += &format!("log {entry}\n");
        }
        let mut order = lock(&self.labels).order.clone();
        order.push(NOBODY.into());
        for label in order {
            for delivery in self.deliveries(&label, 0) {
                text += &format!("call {label} {delivery}\n");
            }
        }
        text
    }

    /// Ends the script: nothing hangs any more, and the manager is closed.
    pub fn over(&self) {
        lock(&self.releases).over = true;
        self.released.notify_all();
        for manager in lock(&self.managers).clone() {
            let _ = manager.close(Duration::ZERO);
        }
        lock(&self.labels).requests.clear();
        for (_, started) in lock(&self.started).drain() {
            let _ = started.join();
        }
    }
}
