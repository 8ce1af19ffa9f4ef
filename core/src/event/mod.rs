//! Events: what happened, who is told, and the delivery outside of every lock.

pub(crate) mod backlog;
pub(crate) mod breaker;
pub(crate) mod call;
pub mod class;
pub(crate) mod closing;
pub(crate) mod contain;
pub(crate) mod current;
pub mod dead_letter;
pub(crate) mod decider;
pub(crate) mod delivery;
pub(crate) mod dispatch_config;
pub(crate) mod dispatch_stats;
pub(crate) mod dispatcher;
#[allow(clippy::module_inception)]
pub mod event;
pub mod groups;
pub mod handler;
pub(crate) mod id_hash;
pub(crate) mod lane;
pub(crate) mod letter_box;
pub(crate) mod pool;
pub(crate) mod registry;
mod undelivered;
pub(crate) mod watch;
pub(crate) mod worker;

pub use breaker::BreakerState;
pub use class::{ClassRef, EventClass};
pub use dead_letter::DeadLetter;
pub use dispatch_config::DispatchMode;
pub use dispatch_stats::{CallbackFailure, CallbackOutcome, ClassHealth, DispatchReport, DispatchStats};
pub use dispatcher::ThreadHooks;
pub use event::{Event, PoolState};
pub use groups::{GroupReply, GroupResolver};
pub use handler::{Attempt, Callbacks, EventHandler, Place, Reply, ReplyWatch, Verdict};

#[cfg(test)]
mod tests;
