//! The lifecycle log: a ring of commits in their order.

use std::sync::Arc;

use crate::sync::Mutex;

use crate::clock::Millis;
use crate::id::SessionId;
use crate::reason::EndReason;
use crate::ring::Ring;
use crate::session::LogEntry;
use crate::table::ApplicationRule;

/// What is logged; rendered when it is read.
pub(super) enum Entry {
    /// The application's number.
    Created(u32),
    Ended(EndReason),
    Refused(EndReason),
    Extended(String, Millis),
    Rotated,
    User(&'static str, Option<Arc<str>>),
    Text(&'static str, String),
}

pub(super) struct Log {
    capacity: usize,
    ring: Mutex<Ring<(Millis, SessionId, Entry)>>,
}

impl Log {
    pub fn new(capacity: usize) -> Self {
        Self { capacity, ring: Mutex::new(Ring::new(capacity)) }
    }

    pub fn add(&self, at: Millis, session: SessionId, entry: Entry) {
        if self.capacity == 0 {
            return;
        }
        self.ring.lock().push((at, session, entry));
    }

    pub fn after(&self, after: u64, limit: usize, applications: &[ApplicationRule]) -> Vec<LogEntry> {
        let ring = self.ring.lock();
        ring.after(after)
            .take(limit)
            .map(|(seq, (at, session, entry))| {
                let (what, detail) = render(entry, applications);
                LogEntry { seq, at_ms: *at, session_id: *session, what, detail }
            })
            .collect()
    }
}

fn render(entry: &Entry, applications: &[ApplicationRule]) -> (&'static str, String) {
    match entry {
        Entry::Created(number) => {
            ("created", applications.get(*number as usize).map_or_else(String::new, |rule| rule.name.to_string()))
        }
        Entry::Ended(reason) => ("ended", reason.name().to_owned()),
        Entry::Refused(reason) => ("refused", reason.name().to_owned()),
        Entry::Extended(class, by) => ("extended", format!("{class} {by}")),
        Entry::Rotated => ("rotated", String::new()),
        Entry::User(what, user) => (what, user.as_deref().unwrap_or("").to_owned()),
        Entry::Text(what, text) => (what, text.clone()),
    }
}
