//! What a callback is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::data::Tree;
use crate::error::{Error, ErrorKind, Result};
use crate::id::SessionId;
use crate::reason::{EndLevel, EndReason, EventKind, LicenseClass, ThreadKind};
use crate::request::Request;

/// The state of a license pool, in pool events and `on_license_denied`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolState {
    /// The pool's name.
    pub pool: Arc<str>,
    /// Units in use.
    pub in_use: u64,
    /// Units there are.
    pub capacity: u64,
}

/// What happened, to which session, and why: read-only but for what a decider may set on its [`request`](Self::request).
///
/// A snapshot: it stays as it is when the session goes on, and outlives it.
#[derive(Clone)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The same in every redelivery of the same event.
    pub event_id: u64,
    /// The session's public id.
    pub session_id: SessionId,
    /// The session's application; for `on_application_change` the new one.
    pub application: Arc<str>,
    /// For `on_application_change`: the application it leaves.
    pub old_application: Option<Arc<str>>,
    /// The session's namespace.
    pub namespace: Arc<str>,
    /// The user; for `on_login` the new one.
    pub user: Option<Arc<str>>,
    /// For `on_login` and `on_logout`: the user before.
    pub old_user: Option<Arc<str>>,
    /// Why it ended, if it did or is about to.
    pub reason: Option<EndReason>,
    /// How strongly it was ended.
    pub level: Option<EndLevel>,
    /// Which kind of thread caused it.
    pub thread: ThreadKind,
    /// For `on_expiring`: time until the deadline.
    pub remaining: Option<Duration>,
    /// For pool events and `on_license_denied`.
    pub pool: Option<PoolState>,
    /// Engine time at which it happened.
    pub at_ms: u64,
    /// Wall time at which it happened, milliseconds since 1970.
    pub wall_ms: i64,
    /// The session's data as it was. `None` if it can't be read (see [`Event::data`]).
    pub snapshot: Option<Arc<Tree>>,
    /// For deciders: the request or draft they act under. Its `set` is the request's.
    pub request: Option<Request>,
    /// What a decider may choose.
    pub choice: Arc<Choice>,
}

/// What a decider may choose beside its verdict.
#[derive(Debug, Default)]
pub struct Choice {
    license_class: crate::sync::Mutex<Option<LicenseClass>>,
    groups: crate::sync::Mutex<Option<Vec<String>>>,
    keep: AtomicBool,
}

impl Choice {
    pub(super) fn set_groups(&self, groups: Vec<String>) {
        *self.groups.lock() = Some(groups);
    }

    /// The groups that the host told, if it did.
    pub(crate) fn take_groups(&self) -> Option<Vec<String>> {
        self.groups.lock().take()
    }
}

impl Event {
    /// The data as it was when it happened.
    ///
    /// Errors: `corrupt` if the session's data could not be read.
    pub fn data(&self) -> Result<&Tree> {
        self.snapshot
            .as_deref()
            .ok_or_else(|| Error::new(ErrorKind::Corrupt, "the session's data can't be read; a copy is in quarantine"))
    }

    /// In `on_start`: charges the session under this license class instead of its application's.
    pub fn set_license_class(&self, class: LicenseClass) {
        *self.choice.license_class.lock() = Some(class);
    }

    /// The license class that a callback chose.
    pub fn license_class(&self) -> Option<LicenseClass> {
        *self.choice.license_class.lock()
    }

    /// In a `compat_veto` class's `on_timeout` and `on_end` at the asking point: `false` asks for an extension within
    /// the budget, as `%session.EndSession = 0` does. Anywhere else it has no effect.
    pub fn set_end_session(&self, end: bool) {
        self.choice.keep.store(!end, Ordering::SeqCst);
    }

    /// Whether a callback set `end_session` to `false`.
    pub fn keeps_session(&self) -> bool {
        self.choice.keep.load(Ordering::SeqCst)
    }
}

impl std::fmt::Debug for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}({}", self.kind, self.session_id)?;
        if let Some(reason) = self.reason {
            write!(f, ", {reason}")?;
        }
        f.write_str(")")
    }
}
