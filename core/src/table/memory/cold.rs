//! The cold part of a session: what requests that only touch and read don't write.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::clock::Millis;
use crate::data::Tree;
use crate::event::ClassRef;
use crate::id::SessionId;
use crate::reason::{LockMode, TouchKind};
use crate::session::Client;
use crate::table::{Attachment, Charge, Wake};

/// Old tokens that a session remembers.
pub(super) const MAX_REPLACED: usize = 4;
/// Lines of a trace.
const MAX_TRACE: usize = 64;

pub(super) struct Cold {
    pub id: SessionId,
    pub application: u32,
    pub user: Option<Arc<str>>,
    pub classes: Arc<[ClassRef]>,
    pub data: Payload,
    pub wall_created: i64,
    pub absolute_timeout: Millis,
    /// The last use that is not told by the idle deadline.
    pub last_used: Millis,
    pub requests: Requests,
    pub had_request: bool,
    pub end_requested: bool,
    pub charge: Option<Charge>,
    pub extra: Option<Box<Extra>>,
}

/// The data, or what is left of it.
pub(super) enum Payload {
    None,
    Tree(Arc<Tree>),
    Damaged,
}

impl Payload {
    pub fn new(tree: Tree) -> Self {
        if tree.is_empty() { Self::None } else { Self::Tree(Arc::new(tree)) }
    }

    /// The tree to be changed; `None` if it can't be read.
    pub fn tree_mut(&mut self) -> Option<&mut Tree> {
        if let Self::None = self {
            *self = Self::Tree(Arc::new(Tree::default()));
        }
        match self {
            Self::Tree(tree) => Some(Arc::make_mut(tree)),
            _ => None,
        }
    }

    /// A snapshot; `None` if it can't be read.
    pub fn snapshot(&self) -> Option<Arc<Tree>> {
        match self {
            Self::None => Some(Arc::new(Tree::default())),
            Self::Tree(tree) => Some(tree.clone()),
            Self::Damaged => None,
        }
    }

    pub fn bytes(&self) -> Option<usize> {
        match self {
            Self::None => Some(0),
            Self::Tree(tree) => Some(tree.bytes_used()),
            Self::Damaged => None,
        }
    }
}

/// What few sessions have.
#[derive(Default)]
pub(super) struct Extra {
    pub client: Client,
    pub replaced: Vec<Replaced>,
    pub waiters: VecDeque<(u64, LockMode, Wake)>,
    pub attachments: Vec<(Box<str>, Attachment)>,
    pub told: Vec<ClassRef>,
    pub extension: Extension,
    pub trace: Option<VecDeque<String>>,
}

/// A token that was rotated away.
#[derive(Clone, Copy)]
pub(super) struct Replaced {
    pub verifier: [u64; 2],
    /// Begins requests until then.
    pub grace: Millis,
    /// Answers `gone(replaced)` until then.
    pub until: Millis,
}

/// The session's use of its budget.
#[derive(Default)]
pub(super) struct Extension {
    /// Granted in a row without user activity.
    pub count: u32,
    /// The deadline of the last grant: while it stands, there was no activity.
    pub deadline: Millis,
    /// The deadline that was asked about last.
    pub asked: Millis,
    pub history: Vec<(Millis, String, Millis)>,
}

impl Cold {
    pub fn extra(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    pub fn trace(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = self.extra.as_mut().and_then(|extra| extra.trace.as_mut()) {
            if trace.len() == MAX_TRACE {
                trace.pop_front();
            }
            trace.push_back(line());
        }
    }

    /// Takes everyone who waits for the lock.
    pub fn take_waiters(&mut self) -> VecDeque<(u64, LockMode, Wake)> {
        match &mut self.extra {
            Some(extra) if !extra.waiters.is_empty() => std::mem::take(&mut extra.waiters),
            _ => VecDeque::new(),
        }
    }
}

/// One request in flight.
#[derive(Clone, Copy)]
pub(super) struct RequestRecord {
    pub number: u32,
    pub process: u32,
    pub start: Millis,
    pub touch: TouchKind,
    pub lock: LockMode,
}

/// The requests in flight; most sessions have one at most.
#[derive(Default)]
pub(super) struct Requests {
    last: u32,
    one: Option<RequestRecord>,
    more: Vec<RequestRecord>,
}

impl Requests {
    pub fn add(&mut self, start: Millis, touch: TouchKind, lock: LockMode, process: u32) -> u32 {
        self.last = self.last.wrapping_add(1);
        let record = RequestRecord { number: self.last, process, start, touch, lock };
        if self.one.is_none() {
            self.one = Some(record);
        } else {
            self.more.push(record);
        }
        record.number
    }

    pub fn remove(&mut self, number: u32) -> Option<RequestRecord> {
        if self.one.is_some_and(|one| one.number == number) {
            return self.one.take();
        }
        let position = self.more.iter().position(|record| record.number == number)?;
        let record = self.more.swap_remove(position);
        if self.more.is_empty() {
            self.more = Vec::new();
        }
        Some(record)
    }

    pub fn get_mut(&mut self, number: u32) -> Option<&mut RequestRecord> {
        self.one.iter_mut().chain(&mut self.more).find(|record| record.number == number)
    }

    pub fn iter(&self) -> impl Iterator<Item = &RequestRecord> {
        self.one.iter().chain(&self.more)
    }

    pub fn len(&self) -> usize {
        usize::from(self.one.is_some()) + self.more.len()
    }

    /// Whether a request stops the idle clock.
    pub fn active(&self) -> bool {
        self.iter().any(|record| record.touch == TouchKind::Activity)
    }

    pub fn earliest(&self) -> Option<Millis> {
        self.iter().map(|record| record.start).min()
    }

    /// Who stands in the way of a lock; not the request `except`.
    pub fn blocker(&self, mode: LockMode, except: u32) -> Option<&RequestRecord> {
        self.iter().filter(|record| record.number != except).find(|record| match mode {
            LockMode::Exclusive => record.lock != LockMode::None,
            LockMode::Shared => record.lock == LockMode::Exclusive,
            LockMode::None => false,
        })
    }
}
