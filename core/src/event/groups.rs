//! The groups of a user, resolved by the host.

use std::sync::Arc;
use std::time::Duration;

use super::class::ClassRef;
use super::event::Event;
use super::handler::{Attempt, EventHandler, Place, Reply, ReplyWatch, Verdict};
use crate::reason::EventKind;
use crate::session::check_groups;

/// The namespace and the name under which the resolver is registered; no class of a host can be called so.
const NAMESPACE: &str = "\u{1}";
const NAME: &str = "group resolver";

/// Tells the groups of a user, where the rules of a pool name groups and none were given with the call.
///
/// Closures from a user to its groups, or to a text that tells why they can't be told, are resolvers.
pub trait GroupResolver: Send + Sync {
    /// Resolves the groups of a user. The answer goes through `reply`, now or later from any thread; a resolver that returns
    /// and drops `reply` unanswered has failed. A panic is caught and counts as a failure with its text.
    fn resolve(&self, user: &str, reply: GroupReply);

    /// Where it runs when the current thread asks, as [`EventHandler::place`].
    fn place(&self, asynchronous: bool) -> Option<Place> {
        let _ = asynchronous;
        None
    }
}

impl<F: Fn(&str) -> Result<Vec<String>, String> + Send + Sync> GroupResolver for F {
    fn resolve(&self, user: &str, reply: GroupReply) {
        match self(user) {
            Ok(groups) => reply.groups(groups),
            Err(text) => reply.fail(text),
        }
    }
}

/// The answer that a resolver owes; may be moved to another thread. Dropping it unanswered is a failure.
pub struct GroupReply {
    reply: Reply,
    event: Arc<Event>,
}

impl GroupReply {
    /// The user belongs to these: at most 256, each 1 to 256 bytes. Anything else denies the call, and is no failure of the
    /// resolver: what one user's groups are called must not keep others out.
    pub fn groups(self, groups: Vec<String>) {
        match check_groups(&groups) {
            Ok(()) => {
                self.event.choice.set_groups(groups);
                self.reply.verdict(Verdict::Allow);
            }
            Err(error) => self.reply.verdict(Verdict::Deny(error.message().to_owned())),
        }
    }

    /// They can't be told, and why.
    pub fn fail(self, text: impl Into<String>) {
        self.reply.fail(text);
    }

    /// The resolver is asynchronous and this was a synchronous call.
    pub fn async_required(self) {
        self.reply.async_required();
    }

    /// Time until the resolver's deadline.
    pub fn time_left(&self) -> Duration {
        self.reply.time_left()
    }

    /// As [`Reply::watch`].
    pub fn watch(&self) -> ReplyWatch {
        self.reply.watch()
    }
}

/// The resolver as the dispatcher calls it.
pub(crate) struct Resolving(Arc<dyn GroupResolver>);

impl Resolving {
    pub fn new(resolver: Arc<dyn GroupResolver>) -> Self {
        Self(resolver)
    }

    /// Its name among the classes.
    pub fn class() -> ClassRef {
        ClassRef::new(NAMESPACE, NAME)
    }

    /// Whether a class is the resolver.
    pub fn is(class: &ClassRef) -> bool {
        class.same(NAMESPACE, NAME)
    }
}

impl EventHandler for Resolving {
    fn handles(&self, kind: EventKind) -> bool {
        kind == EventKind::Login
    }

    fn call(&self, event: &Arc<Event>, _attempt: Attempt, reply: Reply) {
        let user = event.user.as_deref().unwrap_or_default();
        self.0.resolve(user, GroupReply { reply, event: event.clone() });
    }

    fn place(&self, _kind: EventKind, asynchronous: bool) -> Option<Place> {
        self.0.place(asynchronous)
    }
}
