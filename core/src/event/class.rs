//! Event classes: named sets of callbacks, and how a session names them.

use std::sync::Arc;
use std::time::Duration;

use super::handler::EventHandler;
use crate::error::{Error, Result};

/// An event class as a session lists it: a name within a namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClassRef {
    /// The namespace; by default the session's.
    pub namespace: Arc<str>,
    /// The name.
    pub name: Arc<str>,
    /// Whether a decision needs this class: if it is not registered in the calling process, the answer is DENY.
    pub required: bool,
}

impl ClassRef {
    /// A class that is skipped where it is not registered.
    pub fn new(namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self { namespace: namespace.into(), name: name.into(), required: false }
    }

    /// Whether both name the same class.
    pub fn same(&self, namespace: &str, name: &str) -> bool {
        &*self.namespace == namespace && &*self.name == name
    }
}

/// An event class to be registered in this process.
#[derive(Clone)]
pub struct EventClass {
    /// The name by which sessions list it: 1 to 128 bytes.
    pub name: String,
    /// The namespace: at most 128 bytes, empty by default.
    pub namespace: String,
    /// The callbacks.
    pub handler: Arc<dyn EventHandler>,
    /// How long one callback may take, counted from its start (a decider's: from the ask). Default: the manager's,
    /// 5 s.
    pub deadline: Option<Duration>,
    /// In profile `iris`: `on_timeout` and `on_end` are called at the asking point, where `end_session = 0` extends.
    pub compat_veto: bool,
}

impl EventClass {
    /// A class in the empty namespace.
    pub fn new(name: impl Into<String>, handler: impl EventHandler + 'static) -> Self {
        Self {
            name: name.into(),
            namespace: String::new(),
            handler: Arc::new(handler),
            deadline: None,
            compat_veto: false,
        }
    }

    /// Puts it into a namespace.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// Sets how long one callback may take.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    pub(crate) fn check(&self) -> Result<()> {
        check_name("event class", &self.name)?;
        check_namespace(&self.namespace)
    }
}

/// The longest name of an application, event class, pool or namespace, in bytes.
pub const MAX_NAME: usize = 128;

/// Checks the name of an application, event class or pool.
pub(crate) fn check_name(what: &str, name: &str) -> Result<()> {
    if name.is_empty() {
        return Err(Error::invalid(format!("the name of an {what} can't be empty").replace("an pool", "a pool")));
    }
    if name.len() > MAX_NAME {
        return Err(Error::invalid(format!("the {what} name of {} bytes is over the bound of {MAX_NAME}", name.len())));
    }
    if name.chars().any(char::is_control) {
        return Err(Error::invalid(format!("the {what} name {name:?} has a control character")));
    }
    Ok(())
}

/// Checks a namespace: as a name, but it may be empty.
pub(crate) fn check_namespace(namespace: &str) -> Result<()> {
    if namespace.is_empty() { Ok(()) } else { check_name("namespace", namespace) }
}
