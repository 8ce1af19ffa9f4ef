//! A request: its begin and its finish.

use super::SessionRef;
use crate::error::Result;
use crate::reason::{DenyReason, LockMode, TouchKind};

/// A request in flight as a table knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestKey {
    /// Its session.
    pub session: SessionRef,
    /// Its record: private to the table.
    pub number: u32,
}

/// How a request begins.
#[derive(Clone, Copy, Debug)]
pub struct BeginSpec {
    /// What it does to the idle clock.
    pub touch: TouchKind,
    /// How it holds the session.
    pub lock: LockMode,
    /// The process it runs in.
    pub process: u32,
}

/// What became of a begin on a live session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Began {
    /// It began.
    Request {
        /// The request.
        key: RequestKey,
        /// Whether it is the session's first.
        is_new: bool,
        /// Whether the token is an older one within its grace.
        replaced: bool,
        /// The session's application.
        application: u32,
        /// Whether it took the session's unit.
        licensed: bool,
    },
    /// This request was to take the session's unit, and the pool with this number refused. Nothing changed.
    Unlicensed(u32, DenyReason),
    /// The lock is held, by whom in words.
    Busy(SessionRef, String),
    /// Its data can't be read.
    Corrupt,
}

/// What a finish did.
#[derive(Debug)]
pub struct Finished {
    /// Whether the writes were committed.
    pub committed: Result<()>,
    /// Whether the session is to end now: it was asked to, and this was its last request in flight.
    pub end_now: bool,
}
