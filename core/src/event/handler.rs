//! The callbacks of one class as the dispatcher sees them, and the answer they owe.

use std::sync::Arc;
use std::time::Duration;

use super::event::Event;
use crate::reason::EventKind;

/// The answer of a callback that decides. Notifications answer [`Allow`](Self::Allow).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on; for `on_expiring`: no extension.
    Allow,
    /// Refuse, with a text for the caller.
    Deny(String),
    /// For `on_expiring`: live longer by this much, within the budget.
    Extend(Duration),
}

/// Where a callback runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// On a dispatcher thread.
    Worker,
    /// In the thread whose call caused it.
    Caller,
    /// In the thread that calls `dispatch` (or `tick`).
    Poll,
    /// Nowhere: this handler can't be asked from here. The class counts as not registered.
    Skip,
}

/// The callbacks of one event class.
pub trait EventHandler: Send + Sync {
    /// Whether there is a callback for this kind. Must not change while registered.
    fn handles(&self, kind: EventKind) -> bool;

    /// Calls back. The answer goes through `reply`, now or later from any thread; a handler that returns and drops
    /// `reply` unanswered has failed. A panic is caught and counts as a failure with its text.
    fn call(&self, event: &Arc<Event>, attempt: Attempt, reply: Reply);

    /// Where this kind runs when it is caused by the current thread; `None` leaves it to the manager's dispatch mode.
    /// `asynchronous` tells whether the caused call is an asynchronous one.
    fn place(&self, kind: EventKind, asynchronous: bool) -> Option<Place> {
        let _ = (kind, asynchronous);
        None
    }
}

/// Which delivery of an event this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// 1 for the first.
    pub number: u32,
    /// Whether it was delivered before: by hand, or by a process that died.
    pub redelivered: bool,
}

/// What a [`Reply`] reports to: the dispatcher.
pub(crate) trait Answered: Send + Sync {
    /// Takes the answer; all but the first are ignored.
    fn answer(&self, answer: Answer);
    /// The callback says that it will never return: `advance` need not wait.
    fn hang(&self);
    /// Time until the callback's deadline.
    fn time_left(&self) -> Duration;
}

/// What became of one callback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Verdict(Verdict),
    Failed(String),
    /// It answered with something asynchronous to a synchronous call.
    AsyncRequired,
    /// No answer by its deadline.
    Overrun,
    /// Not asked: not registered here, or its breaker is open.
    Skipped(&'static str),
}

/// The answer that a callback owes; may be moved to another thread. Dropping it unanswered is a failure.
pub struct Reply(Option<Arc<dyn Answered>>);

impl Reply {
    pub(crate) fn new(to: Arc<dyn Answered>) -> Self {
        Self(Some(to))
    }

    /// The callback returned.
    pub fn done(self) {
        self.verdict(Verdict::Allow);
    }

    /// The callback decided.
    pub fn verdict(mut self, verdict: Verdict) {
        if let Some(to) = self.0.take() {
            to.answer(Answer::Verdict(verdict));
        }
    }

    /// The callback failed: threw, raised, rejected, returned an error.
    pub fn fail(mut self, text: impl Into<String>) {
        if let Some(to) = self.0.take() {
            to.answer(Answer::Failed(text.into()));
        }
    }

    /// The callback is asynchronous and this was a synchronous call.
    pub fn async_required(mut self) {
        if let Some(to) = self.0.take() {
            to.answer(Answer::AsyncRequired);
        }
    }

    /// For tests under a manual clock: this callback is going to hang; don't wait for it in real time.
    pub fn hang(&self) {
        if let Some(to) = &self.0 {
            to.hang();
        }
    }

    /// Time until the callback's deadline.
    pub fn time_left(&self) -> Duration {
        self.0.as_ref().map_or(Duration::ZERO, |to| to.time_left())
    }

    /// Says `hang` and tells the time left without owning the reply: for borders that hand both out.
    pub fn watch(&self) -> ReplyWatch {
        ReplyWatch(self.0.clone())
    }
}

/// See [`Reply::watch`].
#[derive(Clone)]
pub struct ReplyWatch(Option<Arc<dyn Answered>>);

impl ReplyWatch {
    /// As [`Reply::hang`].
    pub fn hang(&self) {
        if let Some(to) = &self.0 {
            to.hang();
        }
    }

    /// As [`Reply::time_left`].
    pub fn time_left(&self) -> Duration {
        self.0.as_ref().map_or(Duration::ZERO, |to| to.time_left())
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if let Some(to) = self.0.take() {
            to.answer(Answer::Failed("the callback gave no answer".into()));
        }
    }
}

/// A callback of a Rust event class.
pub type Callback = Box<dyn Fn(&Event) -> Result<Verdict, String> + Send + Sync>;

/// Rust closures as an event handler.
///
/// ```
/// use libsession_core::{Callbacks, EventKind, Verdict};
///
/// let callbacks = Callbacks::new().on(EventKind::End, |event| {
///     println!("{} ended: {}", event.session_id, event.reason.unwrap());
///     Ok(Verdict::Allow)
/// });
/// ```
#[derive(Default)]
pub struct Callbacks(Vec<(EventKind, Callback)>);

impl Callbacks {
    /// No callback yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a callback for a kind. It returns `Err` with a text to fail.
    pub fn on(
        mut self,
        kind: EventKind,
        callback: impl Fn(&Event) -> Result<Verdict, String> + Send + Sync + 'static,
    ) -> Self {
        self.0.push((kind, Box::new(callback)));
        self
    }
}

impl EventHandler for Callbacks {
    fn handles(&self, kind: EventKind) -> bool {
        self.0.iter().any(|(handled, _)| *handled == kind)
    }

    fn call(&self, event: &Arc<Event>, _attempt: Attempt, reply: Reply) {
        let mut verdict = Verdict::Allow;
        for (kind, callback) in &self.0 {
            if *kind == event.kind {
                match callback(event) {
                    Ok(answer) => verdict = answer,
                    Err(text) => return reply.fail(text),
                }
            }
        }
        reply.verdict(verdict);
    }
}
