//! Deliveries that did not succeed: kept, listed, delivered again on demand.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::sync::Mutex;

use super::class::ClassRef;
use super::event::Event;
use crate::clock::Millis;
use crate::id::SessionId;
use crate::reason::{EndReason, EventKind};

/// A delivery that did not succeed. Holds no token and no data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Names it for redelivery; later ones have greater ids.
    pub id: u64,
    /// The event's id, the same when it is delivered again.
    pub event_id: u64,
    /// The callback.
    pub kind: EventKind,
    /// The session it is about.
    pub session_id: SessionId,
    /// The class.
    pub class: ClassRef,
    /// The session's application.
    pub application: Arc<str>,
    /// Why the session ended, if it did.
    pub reason: Option<EndReason>,
    /// Engine time at which it was given up.
    pub at_ms: u64,
    /// How often it was tried.
    pub attempts: u32,
    /// `overrun`, `queue_full`, `breaker_open`, `not_registered`, `shutdown`, or the callback's own text.
    pub error: String,
    /// Whether the callback returned after all, too late.
    pub completed_late: bool,
    /// Whether the session's data as it was is still kept.
    pub has_snapshot: bool,
}

/// The dead letters of one dispatcher.
pub(crate) struct DeadLetters {
    most: usize,
    most_bytes: usize,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    letters: BTreeMap<u64, Letter>,
    last_id: u64,
    bytes: usize,
    /// All letters up to this id have no snapshot.
    stripped: u64,
    total: u64,
    lost: u64,
}

struct Letter {
    shown: DeadLetter,
    event: Arc<Event>,
    bytes: usize,
}

impl DeadLetters {
    pub fn new(most: usize, most_bytes: usize) -> Self {
        Self { most, most_bytes, kept: Mutex::new(Kept::default()) }
    }

    /// Keeps a delivery; returns the id of its dead letter.
    pub fn keep(&self, class: ClassRef, event: Arc<Event>, attempts: u32, error: String, at_ms: Millis) -> u64 {
        let bytes = event.snapshot.as_ref().map_or(0, |tree| tree.bytes_used());
        let shown = DeadLetter {
            id: 0,
            event_id: event.event_id,
            kind: event.kind,
            session_id: event.session_id,
            class,
            application: event.application.clone(),
            reason: event.reason,
            at_ms,
            attempts,
            error,
            completed_late: false,
            has_snapshot: event.snapshot.is_some(),
        };
        // What is given up is dropped after the lock is released.
        let mut given_up = Vec::new();
        let mut kept = self.kept.lock();
        kept.last_id += 1;
        kept.total += 1;
        let id = kept.last_id;
        kept.bytes += bytes;
        kept.letters.insert(id, Letter { shown: DeadLetter { id, ..shown }, event, bytes });
        while kept.letters.len() > self.most
            && let Some((_, letter)) = kept.letters.pop_first()
        {
            kept.bytes -= letter.bytes;
            kept.lost += 1;
            given_up.push(letter.event);
        }
        while kept.bytes > self.most_bytes
            && let Some(event) = kept.strip_oldest()
        {
            given_up.push(event);
        }
        drop(kept);
        id
    }

    /// Its callback returned after all; tells whether the letter is still there.
    pub fn completed_late(&self, id: u64) -> bool {
        self.kept.lock().letters.get_mut(&id).map(|letter| letter.shown.completed_late = true).is_some()
    }

    /// Those after an id, oldest first.
    pub fn list(&self, after: u64, limit: usize) -> Vec<DeadLetter> {
        let kept = self.kept.lock();
        kept.letters.range(after.saturating_add(1)..).take(limit).map(|(_, letter)| letter.shown.clone()).collect()
    }

    /// Takes one, or all, out, oldest first.
    pub fn take(&self, id: Option<u64>) -> Vec<(ClassRef, Arc<Event>)> {
        let mut kept = self.kept.lock();
        let taken: Vec<Letter> = match id {
            Some(id) => kept.letters.remove(&id).into_iter().collect(),
            None => std::mem::take(&mut kept.letters).into_values().collect(),
        };
        kept.bytes -= taken.iter().map(|letter| letter.bytes).sum::<usize>();
        drop(kept);
        taken.into_iter().map(|letter| (letter.shown.class, letter.event)).collect()
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.kept.lock().letters.len() as u64
    }

    /// How many there ever were, and how many were given up.
    pub fn counts(&self) -> (u64, u64) {
        let kept = self.kept.lock();
        (kept.total, kept.lost)
    }
}

impl Kept {
    /// Takes the snapshot of the oldest letter that has one.
    fn strip_oldest(&mut self) -> Option<Arc<Event>> {
        let (id, letter) = self.letters.range_mut(self.stripped + 1..).find(|(_, letter)| letter.bytes > 0)?;
        self.stripped = *id;
        self.bytes -= letter.bytes;
        letter.bytes = 0;
        letter.shown.has_snapshot = false;
        let bare = Arc::new(Event { snapshot: None, ..Event::clone(&letter.event) });
        Some(std::mem::replace(&mut letter.event, bare))
    }
}
