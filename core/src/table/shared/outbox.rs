//! What is to be told, to whom: rows of the books, and native objects of this process.

use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use super::SharedTable;
use super::patience::Less;
use super::visit::Held;
use crate::clock::Millis;
use crate::error::Result;
use crate::reason::{EndLevel, EndReason, ThreadKind};
use crate::table::slot::Place;
use crate::table::*;

/// When the outbox is looked at again though nothing came: what another process was to take may be free by then.
const LOOK_AGAIN: Millis = 1000;
/// How often is looked for what no process takes.
const LOOK_FOR_OLD: Millis = 60_000;

/// The native objects of one session: this process's own.
pub(super) struct Attached {
    id: SessionId,
    objects: Vec<(Box<str>, Attachment)>,
    /// The event that is to be told before they are dropped; 0 while the session lives.
    event: u64,
}

impl SharedTable {
    pub(super) fn take_rows(&self, limit: usize) -> Result<Vec<OutboxRow>> {
        let mut rows: Vec<OutboxRow> = {
            let mut own = self.local.rows.lock();
            let count = own.len().min(limit);
            own.drain(..count).collect()
        };
        let classes = self.local.classes.lock().clone();
        let counters = &self.map.head().counters;
        if rows.len() >= limit || counters.outbox.load(Relaxed) == 0 {
            return Ok(rows);
        }
        let (offers, now) = (counters.offers.load(Acquire), self.clock.now().ms);
        let (seen, again) = *self.local.offered.lock();
        let last = self.local.looked_for_old.load(Relaxed);
        let old = !self.options.guest
            && now >= last.saturating_add(LOOK_FOR_OLD)
            && self.local.looked_for_old.compare_exchange(last, now, Relaxed, Relaxed).is_ok();
        if !old && (classes.is_empty() || seen == offers && now < again) {
            // Nothing came since there was nothing for this process.
            return Ok(rows);
        }
        let _less = Less::is_tried_again();
        let writer = self.writer()?;
        let alive = |number, instance| self.is_at_work(number, instance);
        let most = limit - rows.len();
        let taken = writer.commit(|ledger| {
            let mut taken = ledger.outbox_take(self.me, self.instance, &classes, most, now, &alive)?;
            if old && taken.len() < most {
                taken.extend(ledger.outbox_take_old(self.me, self.instance, most - taken.len(), now)?);
            }
            Ok(taken)
        });
        self.done(writer, false)?;
        let taken = taken?;
        if taken.len() < most {
            *self.local.offered.lock() = (offers, now.saturating_add(LOOK_AGAIN));
        }
        for row in taken {
            let event = row.event;
            let snapshot = match event.data.map(Tree::from_rows) {
                Some(Ok(tree)) => Some(Arc::new(tree)),
                Some(Err(error)) => {
                    ::log::error!(target: "libsession", "the data of event {}: {}", event.event_id, error.message());
                    None
                }
                None => None,
            };
            rows.push(OutboxRow {
                event_id: event.event_id,
                session: event.session,
                application: event.application,
                user: event.user,
                reason: event.reason,
                level: event.level,
                thread: event.thread,
                at_ms: event.at,
                wall_ms: event.wall,
                classes: row.classes.into(),
                told: row.told,
                snapshot,
                attachments: self.take_attachments_of(event.event_id),
                redelivered: row.redelivered,
                waited: row.waited,
            });
        }
        Ok(rows)
    }

    /// Whether that opening of a process is alive and was seen at work lately.
    fn is_at_work(&self, number: u32, instance: u64) -> bool {
        if number == self.me {
            return instance == self.instance;
        }
        let participant = self.participant(number);
        participant.instance.load(Relaxed) == instance && self.processes.alive(number)
    }

    /// Whether a process has the store open.
    pub(super) fn is_here(&self, number: u32) -> bool {
        number == self.me || (number != 0 && self.participant(number).state.load(Relaxed) != 0)
    }

    pub(super) fn acknowledge(&self, event_id: u64) -> Result<()> {
        if event_id == 0 {
            return Ok(());
        }
        let _less = Less::is_tried_again();
        let writer = self.writer()?;
        let done = writer.commit(|ledger| {
            ledger.outbox_acknowledge(event_id, self.me, self.instance)?;
            ledger.outbox_count()
        });
        if let Ok(count) = done {
            self.map.head().counters.outbox.store(count, Relaxed);
        }
        self.done(writer, false)?;
        done.map(drop)
    }

    pub(super) fn listen(&self, class: &ClassRef, on: bool) -> Result<()> {
        self.start_keeper();
        {
            let mut classes = self.local.classes.lock();
            classes.retain(|known| known != class);
            if on {
                classes.push(class.clone());
            }
        }
        let writer = self.writer()?;
        let done = writer.commit(|ledger| ledger.register_class(self.me, self.instance, class, on));
        self.done(writer, false)?;
        done?;
        self.map.head().counters.offers.fetch_add(1, AcqRel);
        // What nobody called back for until now may wait for this class.
        if on {
            self.ring_engine();
        }
        Ok(())
    }

    // --- native objects ---
    pub(super) fn keep_object(&self, held: &Held<'_>, name: &str, object: Option<Attachment>) -> Option<Attachment> {
        let locator = held.place().locator();
        let mut attached = self.local.attached.lock();
        let entry =
            attached.entry(locator).or_insert_with(|| Attached { id: held.id(), objects: Vec::new(), event: 0 });
        let position = entry.objects.iter().position(|(known, _)| &**known == name);
        match (position, object) {
            (Some(position), Some(object)) => Some(std::mem::replace(&mut entry.objects[position].1, object)),
            (Some(position), None) => Some(entry.objects.remove(position).1),
            (None, Some(object)) => {
                entry.objects.push((name.into(), object));
                None
            }
            (None, None) => None,
        }
    }

    pub(super) fn object(&self, session: SessionRef, name: &str) -> Option<Attachment> {
        let attached = self.local.attached.lock();
        let entry = attached.get(&session.place).filter(|entry| entry.id == session.id)?;
        entry.objects.iter().find(|(known, _)| &**known == name).map(|(_, object)| object.clone())
    }

    /// The session of these objects ended here: they go with its event.
    pub(super) fn release_attachments(&self, place: Place, event: u64) {
        if let Some(entry) = self.local.attached.lock().get_mut(&place.locator()) {
            entry.event = event;
        }
        self.release_orphans();
    }

    fn take_attachments_of(&self, event: u64) -> Vec<Attachment> {
        let mut attached = self.local.attached.lock();
        let place = attached.iter().find(|(_, entry)| entry.event == event).map(|(place, _)| *place);
        let entry = place.and_then(|place| attached.remove(&place));
        entry.map_or_else(Vec::new, |entry| entry.objects.into_iter().map(|(_, object)| object).collect())
    }

    /// Objects of sessions that are not any more, and whose event nobody waits for here, are dropped like those of any
    /// ended session: by the dispatcher.
    pub(super) fn release_orphans(&self) {
        let mut attached = self.local.attached.lock();
        if attached.is_empty() {
            return;
        }
        let orphans: Vec<u64> = attached
            .iter()
            .filter(|(place, entry)| {
                let place = Place::from_locator(**place);
                let here = self.map.slot(place.index).map(|slot| slot.hot.state());
                let ended = here.is_none_or(|state| state.generation() != place.generation);
                ended && !(entry.event != 0 && self.waits_here(entry.event))
            })
            .map(|(place, _)| *place)
            .collect();
        for place in orphans {
            if let Some(entry) = attached.remove(&place) {
                let objects = entry.objects.into_iter().map(|(_, object)| object).collect();
                self.local.rows.lock().push_back(self.bare_row(entry.id, objects));
            }
        }
    }

    /// Whether the event of a session that ended is to be delivered by this process.
    fn waits_here(&self, event: u64) -> bool {
        self.map.head().counters.outbox.load(Relaxed) > 0
            && !self.local.classes.lock().is_empty()
            && self.books.glance(|pages| pages.outbox_claims(event)).is_ok_and(|claims| !claims.is_empty())
    }

    /// A row that only carries objects to their end.
    fn bare_row(&self, session: SessionId, attachments: Vec<Attachment>) -> OutboxRow {
        let at = self.at();
        OutboxRow {
            event_id: 0,
            session,
            application: 0,
            user: None,
            reason: EndReason::Ended,
            level: EndLevel::Force,
            thread: ThreadKind::Request,
            at_ms: at.now.ms,
            wall_ms: at.wall,
            classes: Arc::from([]),
            told: Vec::new(),
            snapshot: None,
            attachments,
            redelivered: false,
            waited: false,
        }
    }
}
