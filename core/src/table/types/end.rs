//! What ends, and what is told of it.

use std::sync::Arc;

use super::{Attachment, SessionRef};
use crate::clock::Millis;
use crate::data::Tree;
use crate::error::Error;
use crate::event::ClassRef;
use crate::id::SessionId;
use crate::reason::{EndLevel, EndReason, ThreadKind};
use crate::session::Receipt;

/// How a session is ended.
#[derive(Clone, Debug)]
pub struct EndSpec {
    /// Why.
    pub reason: EndReason,
    /// How strongly.
    pub level: EndLevel,
    /// Which kind of thread causes it.
    pub thread: ThreadKind,
    /// By whom.
    pub actor: Option<String>,
    /// A note.
    pub note: Option<String>,
    /// Whether the caller waits for the callbacks: then this process is offered them first.
    pub here: bool,
}

/// What an end did.
#[derive(Clone, Debug)]
pub enum Ended {
    /// This caller won.
    Now(Receipt),
    /// Another did, earlier.
    Before(Receipt),
    /// There is no such session, nor a tombstone.
    Absent,
    /// The store failed: it is live, or the outcome is `uncertain`.
    Failed(Error),
}

/// What is to be told of one end: written by the commit that ends.
pub struct OutboxRow {
    /// The same in every delivery.
    pub event_id: u64,
    /// The session.
    pub session: SessionId,
    /// The application's number.
    pub application: u32,
    /// The user.
    pub user: Option<Arc<str>>,
    /// Why.
    pub reason: EndReason,
    /// How strongly.
    pub level: EndLevel,
    /// Which kind of thread caused it.
    pub thread: ThreadKind,
    /// Engine time.
    pub at_ms: Millis,
    /// Wall time.
    pub wall_ms: i64,
    /// Its event classes, first called first.
    pub classes: Arc<[ClassRef]>,
    /// Those of its classes that were told at the asking point already.
    pub told: Vec<ClassRef>,
    /// Its data; `None` if it can't be read.
    pub snapshot: Option<Arc<Tree>>,
    /// Its attachments, dropped after its callbacks.
    pub attachments: Vec<Attachment>,
    /// Whether it was taken before.
    pub redelivered: bool,
    /// Whether another process may wait for how its callbacks go.
    pub waited: bool,
}

/// A question due: the session's classes are to be asked before its deadline.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The session.
    pub session: SessionRef,
    /// The deadline that comes near (engine time).
    pub deadline: Millis,
    /// The reason it would end for.
    pub reason: EndReason,
    /// Whether an answer may extend it: its budget is not used up.
    pub may_extend: bool,
}

/// What a sweep found.
#[derive(Debug, Default)]
pub struct Claim {
    /// How many sessions this step ended.
    pub ended: usize,
    /// What is to be asked.
    pub asks: Vec<Ask>,
    /// Whether there is more to claim at this instant.
    pub more: bool,
}
