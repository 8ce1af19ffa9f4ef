//! The event classes registered in this process.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use crate::sync::{Condvar, Mutex, RwLock};

use super::breaker::Breaker;
use super::class::{ClassRef, EventClass};
use super::contain;
use super::dispatch_config::DispatchConfig;
use super::dispatch_stats::ClassHealth;
use super::handler::EventHandler;
use crate::clock::{Millis, millis};
use crate::error::{Error, ErrorKind, Result};
use crate::reason::EventKind;

/// One registered class. Whoever may still call it holds it; the last one drops the handler.
pub(crate) struct Registered {
    pub id: u64,
    pub class: ClassRef,
    /// A set of [`EventKind::bit`]s.
    pub kinds: u32,
    pub deadline: Millis,
    pub compat_veto: bool,
    /// Outlives the registration, for calls that come back late.
    pub breaker: Arc<Breaker>,
    /// It answered a synchronous ask with something asynchronous.
    pub async_refused: AtomicBool,
    pub handler: Arc<dyn EventHandler>,
    gate: Arc<Gate>,
}

impl Registered {
    pub fn handles(&self, kind: EventKind) -> bool {
        self.kinds & kind.bit() != 0
    }

    fn health(&self) -> ClassHealth {
        let (breaker, failures, last_failure) = self.breaker.health();
        let async_refused = self.async_refused.load(Ordering::SeqCst);
        ClassHealth { class: self.class.clone(), failures, breaker, last_failure, async_refused }
    }
}

/// Counts the callbacks of a class that run. Outlives the handler, so that whoever waits here sees it dropped.
#[derive(Default)]
struct Gate {
    inside: AtomicUsize,
    waiting: Mutex<()>,
    left: Condvar,
}

/// A callback that runs, or may: keeps its class from being dropped under it.
pub(crate) struct Running {
    class: Arc<Registered>,
    _leave: Leave,
}

impl std::ops::Deref for Running {
    type Target = Registered;

    fn deref(&self) -> &Registered {
        &self.class
    }
}

struct Leave(Arc<Gate>);

impl Drop for Leave {
    fn drop(&mut self) {
        if self.0.inside.fetch_sub(1, Ordering::SeqCst) == 1 {
            drop(self.0.waiting.lock());
            self.0.left.notify_all();
        }
    }
}

impl Running {
    /// Leaves the class: first its handler, then the gate, so that who waits for it finds its destructor done.
    pub fn leave(self) {
        let Self { class, _leave } = self;
        drop_class(class);
    }
}

fn drop_class(class: Arc<Registered>) {
    contain::run("an event class's destructor", || drop(class));
}

/// The classes by namespace and name.
#[derive(Default)]
pub(crate) struct Registry {
    classes: RwLock<Names>,
    kinds: AtomicU32,
    last_id: AtomicU64,
}

type Names = HashMap<Arc<str>, HashMap<Arc<str>, Arc<Registered>>>;

impl Registry {
    /// Registers a class; returns the registration's id.
    ///
    /// Errors: `exists` if its name is taken, `invalid`.
    pub fn register(&self, class: EventClass, config: &DispatchConfig) -> Result<u64> {
        class.check()?;
        let registered = self.prepare(class, config)?;
        let (id, name) = (registered.id, registered.class.clone());
        let mut classes = self.classes.write();
        let names = classes.entry(name.namespace).or_default();
        if names.contains_key(&name.name) {
            drop(classes);
            let message = format!("event class '{}' is registered already", name.name);
            drop_class(registered);
            return Err(Error::new(ErrorKind::Exists, message));
        }
        names.insert(name.name, registered);
        self.count_kinds(&classes);
        Ok(id)
    }

    /// Registers what has a name that no class of a host can have, in place of the one before.
    pub fn replace(&self, own: EventClass, config: &DispatchConfig) -> Result<Option<Arc<Registered>>> {
        let registered = self.prepare(own, config)?;
        let name = registered.class.clone();
        let mut classes = self.classes.write();
        let before = classes.entry(name.namespace).or_default().insert(name.name, registered);
        self.count_kinds(&classes);
        Ok(before)
    }

    fn prepare(&self, class: EventClass, config: &DispatchConfig) -> Result<Arc<Registered>> {
        let handler = class.handler;
        let handles = |kind: &EventKind| contain::contain(|| handler.handles(*kind));
        let mut kinds = 0;
        for kind in EventKind::ALL {
            match handles(kind) {
                Ok(true) => kinds |= kind.bit(),
                Ok(false) => {}
                Err(text) => return Err(Error::invalid(format!("event class '{}': {text}", class.name))),
            }
        }
        Ok(Arc::new(Registered {
            id: self.last_id.fetch_add(1, Ordering::SeqCst) + 1,
            kinds,
            deadline: class.deadline.map_or(config.callback_deadline, millis),
            compat_veto: class.compat_veto,
            breaker: Arc::new(Breaker::new(config.breaker_failures, config.breaker_probe, config.max_stuck)),
            async_refused: AtomicBool::new(false),
            handler,
            gate: Arc::default(),
            class: ClassRef::new(class.namespace, class.name),
        }))
    }

    /// Takes a class out, and lets nobody call it any more.
    pub fn remove(&self, namespace: &str, name: &str) -> Option<Arc<Registered>> {
        let mut classes = self.classes.write();
        let names = classes.get_mut(namespace)?;
        let removed = names.remove(name)?;
        if names.is_empty() {
            classes.remove(namespace);
        }
        self.count_kinds(&classes);
        Some(removed)
    }

    /// Lets go of a class that was taken out, waiting for its callbacks until then at most.
    pub fn release(removed: Arc<Registered>, until: Instant) {
        let gate = removed.gate.clone();
        drop_class(removed);
        let mut waiting = gate.waiting.lock();
        while gate.inside.load(Ordering::SeqCst) > 0 && !gate.left.wait_until(&mut waiting, until).timed_out() {}
    }

    /// Takes all out, and waits for none.
    pub fn clear(&self) {
        let all = std::mem::take(&mut *self.classes.write());
        self.kinds.store(0, Ordering::SeqCst);
        for class in all.into_values().flat_map(HashMap::into_values) {
            drop_class(class);
        }
    }

    /// For calling it.
    pub fn enter(&self, class: &ClassRef) -> Option<Running> {
        let classes = self.classes.read();
        let class = classes.get(&class.namespace)?.get(&class.name)?.clone();
        class.gate.inside.fetch_add(1, Ordering::SeqCst);
        let leave = Leave(class.gate.clone());
        Some(Running { class, _leave: leave })
    }

    /// Looks at one. `look` runs under the registry's lock.
    pub fn look<R>(&self, namespace: &str, name: &str, look: impl FnOnce(&Registered) -> R) -> Option<R> {
        self.classes.read().get(namespace)?.get(name).map(|class| look(class))
    }

    /// The kinds that any class handles.
    pub fn kinds(&self) -> u32 {
        self.kinds.load(Ordering::SeqCst)
    }

    /// How each does, by name.
    pub fn health(&self) -> Vec<ClassHealth> {
        let mut all: Vec<ClassHealth> =
            self.classes.read().values().flat_map(HashMap::values).map(|class| class.health()).collect();
        all.sort_by(|a, b| a.class.cmp(&b.class));
        all
    }

    fn count_kinds(&self, classes: &Names) {
        let kinds = classes.values().flat_map(HashMap::values).fold(0, |kinds, class| kinds | class.kinds);
        self.kinds.store(kinds, Ordering::SeqCst);
    }
}
