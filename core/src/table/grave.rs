//! What remains of an ended session for a while, and of a token that was rotated away.

use std::sync::Arc;

use super::slot::same;
use crate::clock::Millis;
use crate::id::SessionId;
use crate::reason::{EndLevel, EndReason};
use crate::session::Receipt;

/// Old tokens that a session remembers.
pub(super) const MAX_REPLACED: usize = 4;

/// What a tombstone keeps.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Grave {
    pub id: SessionId,
    pub verifier: [u64; 2],
    pub until: Millis,
    pub application: u32,
    pub reason: EndReason,
    pub level: EndLevel,
    pub at: Millis,
    pub wall: i64,
    pub late: Option<Millis>,
    pub licensed: bool,
    pub event_id: u64,
    pub user: Option<Arc<str>>,
    pub more: Option<Box<More>>,
}

/// What few tombstones keep.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct More {
    pub actor: Option<String>,
    pub note: Option<String>,
    pub replaced: Vec<Replaced>,
}

impl Grave {
    /// The answer to a token: the reason, if it is one of the session's.
    pub fn reason_for(&self, verifier: [u64; 2], now: Millis) -> Option<EndReason> {
        if same(self.verifier, verifier) {
            return Some(self.reason);
        }
        let replaced = &self.more.as_ref()?.replaced;
        let old = replaced.iter().find(|old| same(old.verifier, verifier) && now < old.until)?;
        Some(if now < old.grace { self.reason } else { EndReason::Replaced })
    }

    pub fn receipt(&self, application: Arc<str>) -> Receipt {
        let more = self.more.as_deref();
        Receipt {
            id: self.id,
            application,
            user: self.user.clone(),
            reason: self.reason,
            level: self.level,
            actor: more.and_then(|more| more.actor.clone()),
            note: more.and_then(|more| more.note.clone()),
            at_ms: self.at,
            wall_ms: self.wall,
            late: self.late.map(std::time::Duration::from_millis),
            license_free_at_ms: self.licensed.then_some(self.at),
            event_id: self.event_id,
            callbacks: Vec::new(),
        }
    }
}

/// A token that was rotated away.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Replaced {
    pub verifier: [u64; 2],
    /// Begins requests until then.
    pub grace: Millis,
    /// Answers `gone(replaced)` until then.
    pub until: Millis,
}
