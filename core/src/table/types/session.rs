//! A session as the verbs of a table take and give it.

use std::any::Any;
use std::sync::Arc;

use super::{Asking, Charge, Lazy};
use crate::clock::Millis;
use crate::data::Tree;
use crate::error::{Error, Result};
use crate::event::ClassRef;
use crate::id::{SessionId, Token};
use crate::license::back::Ending;
use crate::reason::{DenyReason, EndReason, LazyUntil, LockMode, TouchKind};
use crate::session::{Client, RequestInfo, SessionInfo};

/// A session as a table knows it: its public id, and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionRef {
    /// The public id.
    pub id: SessionId,
    /// Private to the table.
    pub place: u64,
}

/// The outcome of looking for a live session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found<T> {
    /// It is live.
    Live(T),
    /// There is none.
    Absent,
    /// It ended; its tombstone stands.
    Gone(EndReason),
    /// The store failed: by the error's kind nothing happened (`unavailable`, `poisoned`), or it may have (`uncertain`).
    Failed(Error),
}

impl<T> Found<T> {
    /// The same outcome with something else for the live one.
    pub fn map_live<U>(self, with: impl FnOnce(T) -> U) -> Found<U> {
        match self {
            Self::Live(found) => Found::Live(with(found)),
            Self::Absent => Found::Absent,
            Self::Gone(reason) => Found::Gone(reason),
            Self::Failed(error) => Found::Failed(error),
        }
    }

    /// The live one, or the outcome or failure as an error.
    pub fn live(self) -> Result<T> {
        match self {
            Self::Live(found) => Ok(found),
            Self::Absent => Err(Error::absent()),
            Self::Gone(reason) => Err(Error::gone(reason)),
            Self::Failed(error) => Err(error),
        }
    }

    /// The live one; `None` if it is not live. Errors: the store failed.
    pub fn look(self) -> Result<Option<T>> {
        match self {
            Self::Live(found) => Ok(Some(found)),
            Self::Absent | Self::Gone(_) => Ok(None),
            Self::Failed(error) => Err(error),
        }
    }
}

/// A session to be made.
#[derive(Clone)]
pub struct NewSession {
    /// The application's number.
    pub application: u32,
    /// Facts of its beginning.
    pub client: Client,
    /// Its first data.
    pub data: Tree,
    /// Idle timeout; 0 is never.
    pub idle: Millis,
    /// Absolute timeout; 0 is never.
    pub absolute: Millis,
    /// Its event classes, first called first.
    pub classes: Arc<[ClassRef]>,
    /// Its license; `None` takes none.
    pub charge: Option<Charge>,
    /// The license that it takes later; only without a `charge`.
    pub lazy: Option<Lazy>,
    /// Whether its idle timeout is that of anonymous sessions, and goes when it is one no longer.
    pub brief: bool,
    /// Begins the first request in the same step.
    pub begin: Option<(TouchKind, LockMode)>,
    /// How it asks for its license.
    pub asking: Asking,
}

/// Why a session was not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The table, or the application with this name, has as many sessions as it may.
    Sessions(Option<Arc<str>>, u64),
    /// The pool refused.
    License(DenyReason),
}

/// A place in the table with an id and a token, not yet a session: gone without a trace if its process dies.
#[derive(Clone, Copy, Debug)]
pub struct Draft {
    /// The session to be.
    pub session: SessionRef,
    /// Its token.
    pub token: Token,
}

/// A native object kept with a session.
pub type Attachment = Arc<dyn Any + Send + Sync>;

/// What deciders and callbacks are told of a session.
#[derive(Clone, Debug)]
pub struct Card {
    /// The session.
    pub session: SessionRef,
    /// The application's number.
    pub application: u32,
    /// The user.
    pub user: Option<Arc<str>>,
    /// Its event classes, first called first.
    pub classes: Arc<[ClassRef]>,
    /// Its data; `None` if it can't be read.
    pub snapshot: Option<Arc<Tree>>,
    /// Its license: pool, class, holder.
    pub charge: Option<Charge>,
    /// The license that it takes later.
    pub lazy: Option<Lazy>,
    /// Idle timeout; 0 is never.
    pub idle: Millis,
    /// Whether that is the one of anonymous sessions.
    pub brief: bool,
    /// The extension budget left.
    pub may_extend: bool,
    /// The absolute deadline on the idle clock.
    pub absolute_deadline: Millis,
}

impl Card {
    /// The pool that it is or will be charged to.
    pub fn pool(&self) -> Option<u32> {
        self.charge.as_ref().map(|charge| charge.pool).or(self.lazy.map(|lazy| lazy.pool))
    }
}

/// What `explain` adds to a listing.
#[derive(Clone, Debug, Default)]
pub struct Details {
    /// Requests in flight.
    pub requests: Vec<RequestInfo>,
    /// How many wait for the lock.
    pub lock_waiters: usize,
    /// Extensions granted.
    pub extensions: Vec<(Millis, String, Millis)>,
    /// Its event classes.
    pub classes: Vec<ClassRef>,
    /// Whether its data can't be read.
    pub damaged: bool,
    /// When it is looked at next, and why.
    pub next: Option<(String, Millis)>,
    /// Its trace.
    pub trace: Vec<String>,
    /// Whether it ends with its last request.
    pub end_requested: bool,
    /// The license that it takes later: the pool's name, and when.
    pub lazy: Option<(Arc<str>, LazyUntil)>,
    /// When it ends if nobody uses it any more, engine time: a request in flight counts as finished at its bound.
    pub ends: Option<Millis>,
    /// What it is charged, by pool: its license, then its features.
    pub charges: Vec<Ending>,
}

/// Some of the live sessions, and where the listing goes on; `None` at its end.
pub type Listed = (Vec<(SessionRef, SessionInfo)>, Option<u64>);
