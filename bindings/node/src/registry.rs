//! The managers of this process: those with a name are one for all its environments.

use std::collections::HashMap;
use std::sync::Arc;

use libsession_core::error::{Error, ErrorKind, Result};
use libsession_core::event::EventClass;
use libsession_core::manager::Manager;
use parking_lot::Mutex;

use crate::groups::{Resolver, Resolving};
use crate::handler::{Handler, Member};

/// Namespace and name of an event class.
type ClassKey = (String, String);

/// A manager and what JavaScript adds to it.
pub struct Shared {
    pub manager: Manager,
    /// Whether a callback occupies its dispatcher thread until it is answered.
    pub occupy: bool,
    name: Option<String>,
    /// What it was opened with; another opener must ask for the same, or for nothing.
    options: String,
    classes: Mutex<HashMap<ClassKey, Arc<Handler>>>,
    resolver: Arc<Resolver>,
}

/// Open managers, each with the environments that opened it. A named one stays until it is closed, an unnamed one
/// until then or until its environment ends.
static OPEN: Mutex<Vec<(Arc<Shared>, Vec<u64>)>> = Mutex::new(Vec::new());

/// Opens a manager for an environment, or joins the open one of this name.
pub fn open(
    isolate: u64,
    name: Option<String>,
    options: String,
    occupy: bool,
    new: impl FnOnce() -> Result<Manager>,
) -> Result<Arc<Shared>> {
    let mut open = OPEN.lock();
    open.retain(|entry| !entry.0.manager.is_closed());
    if name.is_some()
        && let Some((shared, environments)) = open.iter_mut().find(|entry| entry.0.name == name)
    {
        if !options.is_empty() && options != shared.options {
            let name = name.unwrap_or_default();
            return Err(Error::new(
                ErrorKind::Exists,
                format!("the manager '{name}' is open with other options; join it by its name alone"),
            ));
        }
        if !environments.contains(&isolate) {
            environments.push(isolate);
        }
        return Ok(shared.clone());
    }
    let shared = Arc::new(Shared {
        manager: new()?,
        occupy,
        name,
        options,
        classes: Mutex::default(),
        resolver: Arc::default(),
    });
    open.push((shared.clone(), vec![isolate]));
    Ok(shared)
}

/// Whether other environments hold this manager too.
pub fn is_shared(shared: &Arc<Shared>, isolate: u64) -> bool {
    OPEN.lock()
        .iter()
        .any(|entry| Arc::ptr_eq(&entry.0, shared) && entry.1.iter().any(|environment| *environment != isolate))
}

/// Forgets a closed manager: its name is free.
pub fn closed(shared: &Arc<Shared>) {
    OPEN.lock().retain(|entry| !Arc::ptr_eq(&entry.0, shared));
}

/// Classes and group resolvers whose last environment has left.
pub struct Orphans(Vec<(Arc<Shared>, ClassKey)>, Vec<Arc<Shared>>);

/// An environment is ending: its callbacks are taken away, what other environments have stays.
pub fn leave(isolate: u64) -> Orphans {
    let managers: Vec<Arc<Shared>> = {
        let mut open = OPEN.lock();
        let managers = open.iter().map(|entry| entry.0.clone()).collect();
        for entry in open.iter_mut() {
            entry.1.retain(|environment| *environment != isolate);
        }
        open.retain(|entry| entry.0.name.is_some() || !entry.1.is_empty());
        managers
    };
    let mut orphans = Vec::new();
    let resolvers = managers.iter().filter(|shared| shared.resolver.leave(isolate)).cloned().collect();
    for shared in managers {
        shared.classes.lock().retain(|key, handler| {
            let stays = !matches!(handler.leave(isolate), (true, 0));
            if !stays {
                orphans.push((shared.clone(), key.clone()));
            }
            stays
        });
    }
    Orphans(orphans, resolvers)
}

impl Orphans {
    /// Unregisters them; none of their callbacks can be running.
    pub fn unregister(self) {
        for (shared, (namespace, name)) in self.0 {
            if let Err(error) = shared.manager.unregister(&name, &namespace)
                && error.kind() != ErrorKind::Closed
            {
                log::warn!("the event class '{name}' of an ended environment stays: {error}");
            }
        }
        for shared in self.1 {
            if let Err(error) = shared.forget_group_resolver()
                && error.kind() != ErrorKind::Closed
            {
                log::warn!("the group resolver of an ended environment stays: {error}");
            }
        }
    }
}

impl Shared {
    /// Registers an environment's callbacks for a class; a class of the same kinds in another environment is joined.
    pub fn register(&self, class: EventClass, handler: Handler, member: Member) -> Result<()> {
        let mut classes = self.classes.lock();
        let key = (class.namespace.clone(), class.name.clone());
        if let Some(known) = classes.get(&key) {
            if known.kinds() != handler.kinds() {
                return Err(Error::invalid(format!(
                    "the event class '{}' has other callbacks in another thread; they must be of the same kinds",
                    class.name
                )));
            }
            return match known.join(member) {
                true => Ok(()),
                false => Err(Error::new(ErrorKind::Exists, format!("the event class '{}' is registered", class.name))),
            };
        }
        let handler = Arc::new(handler);
        self.manager.register(EventClass { handler: handler.clone(), ..class })?;
        classes.insert(key, handler);
        Ok(())
    }

    /// Sets the function of an environment that tells groups.
    pub fn set_group_resolver(&self, member: Member) -> Result<()> {
        let isolate = member.isolate.id;
        if !self.resolver.set(member) {
            return Ok(());
        }
        let set = self.renew_group_resolver();
        if set.is_err() {
            self.resolver.leave(isolate);
        }
        set
    }

    /// Has the engine begin anew with it, as one that has not failed; may block for one that runs.
    pub fn renew_group_resolver(&self) -> Result<()> {
        self.manager.set_group_resolver(Some(Arc::new(Resolving(self.resolver.clone()))))
    }

    /// Takes it away; whether the engine must be told, which may block.
    pub fn leave_group_resolver(&self, isolate: u64) -> bool {
        self.resolver.leave(isolate)
    }

    /// Tells the engine that there is none, unless somebody has set one meanwhile.
    pub fn forget_group_resolver(&self) -> Result<()> {
        if self.resolver.is_empty() { self.manager.set_group_resolver(None) } else { Ok(()) }
    }

    /// Unregisters an environment's callbacks; `true` as the second if the engine must be told, which may block.
    pub fn unregister(&self, isolate: u64, name: &str, namespace: &str) -> (bool, bool) {
        let key = (namespace.to_string(), name.to_string());
        let mut classes = self.classes.lock();
        let Some(handler) = classes.get(&key) else { return (false, false) };
        match handler.leave(isolate) {
            (true, 0) => {
                classes.remove(&key);
                (true, true)
            }
            (there, _) => (there, false),
        }
    }
}
