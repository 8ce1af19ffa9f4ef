//! Events that can't be told: of an application that is not any more, or that can't be read.

use std::sync::Arc;

use rusqlite::params;

use super::outbox::class;
use super::pack::{Packer, Unpacker};
use super::rows::{pack_classes, unpack_classes};
use super::sessions::number;
use super::{Ledger, Pages, Unread, signed};
use crate::clock::Millis;
use crate::error::Result;
use crate::event::ClassRef;
use crate::id::SessionId;
use crate::reason::EndReason;

/// For so long an event waits for a process that registered its class: 24 hours. Then any process takes it, whose
/// dispatcher makes it a dead letter.
pub(super) const EVENT_TTL: Millis = 86_400_000;
/// Dead events kept at most: the newest.
const DEAD_EVENTS: u64 = 10_000;

/// An event that can't be told.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::table) struct DeadEvent {
    pub event_id: u64,
    pub session: SessionId,
    pub application: u32,
    pub user: Option<Arc<str>>,
    pub reason: EndReason,
    pub at: Millis,
    pub wall: i64,
    pub classes: Vec<ClassRef>,
}

impl Pages<'_> {
    /// Events that can't be told, after a position.
    pub fn dead_events(&self, after: u64, limit: usize) -> Result<Vec<DeadEvent>> {
        let sql = "SELECT event_id, session, application, user, reason, at, wall, classes FROM dead_event \
                   WHERE event_id > ?1 ORDER BY event_id LIMIT ?2";
        let rows = self.all(sql, params![signed(after), signed(limit as u64)], |row| {
            let classes = row.get_ref(7)?.as_blob().ok().and_then(|bytes| unpack_classes(&mut Unpacker::new(bytes)));
            Ok(DeadEvent {
                event_id: number(row, 0)?,
                session: SessionId(row.get(1)?),
                application: row.get(2)?,
                user: row.get(3)?,
                reason: EndReason::from_code(row.get(4)?).ok_or(Unread::Bad)?,
                at: number(row, 5)?,
                wall: row.get(6)?,
                classes: classes.ok_or(Unread::Bad)?,
            })
        })?;
        Ok(rows.into_iter().filter_map(std::result::Result::ok).collect())
    }
}

impl Ledger<'_> {
    /// Moves an event to the dead ones.
    pub(super) fn bury_event(&mut self, event_id: u64) -> Result<()> {
        let id = signed(event_id);
        let sql = "SELECT namespace, name, marks FROM event_class WHERE event_id = ?1 ORDER BY position";
        let classes = self.plains(sql, [id], |row| class(row, 0))?;
        let mut packer = Packer::default();
        pack_classes(&mut packer, &classes);
        self.run(
            "INSERT OR REPLACE INTO dead_event(event_id, session, application, user, reason, at, wall, classes) \
             SELECT event_id, session, application, user, reason, at, wall, ?2 FROM event WHERE event_id = ?1",
            params![id, packer.done()],
        )?;
        self.run("DELETE FROM event_class WHERE event_id = ?1", [id])?;
        self.run("DELETE FROM event WHERE event_id = ?1", [id])?;
        let buried = self.count_dead_event()?;
        if buried > DEAD_EVENTS {
            let sql = "DELETE FROM dead_event WHERE event_id = (SELECT min(event_id) FROM dead_event) \
                       AND (SELECT count(*) FROM dead_event) > ?1";
            self.run(sql, [signed(DEAD_EVENTS)])?;
        }
        Ok(())
    }
}
