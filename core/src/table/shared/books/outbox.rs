//! What is to be told of ends: events with the classes they are for, claimed by processes that registered these.
//!
//! An event's classes may be claimed by different processes. A claim belongs to one opening of one participant and stands
//! until it is acknowledged or its owner is gone; then it is given out again.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::{Row, params};

use super::pack::{Packer, Unpacker};
use super::rows::{DataRow, pack_classes, pack_data, unpack_classes, unpack_data};
use super::seal::SealKey;
use super::sessions::number;
use super::{Ledger, Pages, Read, Unread, signed};
use crate::clock::Millis;
use crate::error::Result;
use crate::event::ClassRef;
use crate::id::SessionId;
use crate::reason::{EndLevel, EndReason, ThreadKind};

const SELECT: &str = "SELECT event_id, session, place, application, user, reason, level, thread, at, wall, data, sum FROM \
                      event WHERE event_id = ?1";

const REQUIRED: u32 = 1;
pub(super) const TOLD: u32 = 2;

/// What is told of one end.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::table) struct NewEvent {
    /// From [`Ledger::next_event`]; the same in every delivery.
    pub event_id: u64,
    pub session: SessionId,
    /// Where it lay.
    pub place: u64,
    /// The application's number.
    pub application: u32,
    pub user: Option<Arc<str>>,
    pub reason: EndReason,
    pub level: EndLevel,
    pub thread: ThreadKind,
    /// Engine time.
    pub at: Millis,
    /// Wall time.
    pub wall: i64,
    /// Its data; `None` if they can't be read.
    pub data: Option<Vec<DataRow>>,
}

/// An event with those of its classes that one process claimed.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::table) struct EventRow {
    pub event: NewEvent,
    /// First called first.
    pub classes: Vec<ClassRef>,
    /// Those of them that were told at the asking point already.
    pub told: Vec<ClassRef>,
    /// Whether any of them was taken before.
    pub redelivered: bool,
    /// Whether somebody waits for how its callbacks go.
    pub waited: bool,
}

fn seal(event: &NewEvent, data: Option<&[u8]>, key: SealKey) -> i64 {
    key.over(5)
        .number(event.event_id)
        .bytes(&event.session.0)
        .signed(signed(event.place))
        .number(u64::from(event.application))
        .maybe(event.user.as_ref().map(|user| user.as_bytes()))
        .number(u64::from(event.reason.code()))
        .number(u64::from(event.level.code()))
        .number(u64::from(event.thread.code()))
        .signed(signed(event.at))
        .signed(event.wall)
        .maybe(data)
        .done()
}

fn read(row: &Row<'_>, key: SealKey) -> Read<NewEvent> {
    let session = row.get_ref(1)?.as_blob().ok().and_then(|bytes| bytes.try_into().ok()).ok_or(Unread::Bad)?;
    let packed = row.get_ref(10)?.as_blob_or_null().map_err(|_| Unread::Bad)?;
    let event = NewEvent {
        event_id: number(row, 0)?,
        session: SessionId(session),
        place: number(row, 2)?,
        application: row.get(3)?,
        user: row.get_ref(4)?.as_str_or_null().map_err(|_| Unread::Bad)?.map(Arc::from),
        reason: EndReason::from_code(row.get(5)?).ok_or(Unread::Bad)?,
        level: EndLevel::from_code(row.get(6)?).ok_or(Unread::Bad)?,
        thread: ThreadKind::from_code(row.get(7)?).ok_or(Unread::Bad)?,
        at: number(row, 8)?,
        wall: row.get(9)?,
        data: match packed {
            Some(bytes) => Some(unpack_data(bytes).ok_or(Unread::Bad)?),
            None => None,
        },
    };
    let sum: i64 = row.get(11)?;
    if seal(&event, packed, key) == sum { Ok(event) } else { Err(Unread::Bad) }
}

impl Pages<'_> {
    /// Events not acknowledged by all: counts them all.
    pub fn outbox_count(&self) -> Result<u64> {
        Ok(self.plain("SELECT count(*) FROM event", [], |row| number(row, 0))?.unwrap_or(0))
    }

    /// An event; `None` also if it can't be read.
    pub(super) fn event(&self, event_id: u64) -> Result<Option<NewEvent>> {
        Ok(self.one(SELECT, [signed(event_id)], |row| read(row, self.key))?.and_then(std::result::Result::ok))
    }

    /// Whether somebody waits for how the callbacks of an event go.
    pub(super) fn is_waited(&self, event_id: u64) -> Result<bool> {
        let waited =
            self.plain("SELECT waited FROM event WHERE event_id = ?1", [signed(event_id)], |row| row.get(0))?;
        Ok(waited.unwrap_or(false))
    }

    /// Who claimed classes of an event: participant and class, in their order.
    pub fn outbox_claims(&self, event_id: u64) -> Result<Vec<(u32, ClassRef)>> {
        let sql = "SELECT claimed_by, namespace, name, marks FROM event_class WHERE event_id = ?1 ORDER BY position";
        self.plains(sql, [signed(event_id)], |row| Ok((row.get(0)?, class(row, 1)?)))
    }
}

/// A class from three columns: namespace, name, marks.
pub(super) fn class(row: &Row<'_>, first: usize) -> rusqlite::Result<ClassRef> {
    let marks: u32 = row.get(first + 2)?;
    Ok(ClassRef { namespace: row.get(first)?, name: row.get(first + 1)?, required: marks & REQUIRED != 0 })
}

impl Ledger<'_> {
    /// Keeps an event for its classes, first called first; `told` are those of them that were told at the asking point. It is
    /// offered to participant `prefer` first. One without classes is not kept.
    pub fn outbox_add(&mut self, event: &NewEvent, classes: &[ClassRef], told: &[ClassRef], prefer: u32) -> Result<()> {
        if classes.is_empty() {
            return Ok(());
        }
        let data = event.data.as_deref().map(pack_data);
        let sum = seal(event, data.as_deref(), self.key);
        self.run(
            "INSERT INTO event(event_id, session, place, application, user, reason, level, thread, at, wall, data, sum) \
             VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            params![
                signed(event.event_id),
                &event.session.0[..],
                signed(event.place),
                event.application,
                event.user.as_deref(),
                event.reason.code(),
                event.level.code(),
                event.thread.code(),
                signed(event.at),
                event.wall,
                data,
                sum,
            ],
        )?;
        let sql = "INSERT INTO event_class(event_id, position, namespace, name, marks, prefer) VALUES(?1, ?2, ?3, ?4, ?5, ?6)";
        for (position, class) in classes.iter().enumerate() {
            let was_told = told.iter().any(|told| told.same(&class.namespace, &class.name));
            let marks = if class.required { REQUIRED } else { 0 } | if was_told { TOLD } else { 0 };
            let (id, position) = (signed(event.event_id), signed(position as u64));
            self.run(sql, params![id, position, &*class.namespace, &*class.name, marks, prefer])?;
        }
        Ok(())
    }

    /// Somebody waits for how the callbacks of an event go.
    pub fn outbox_is_waited(&mut self, event_id: u64) -> Result<()> {
        self.run("UPDATE event SET waited = 1 WHERE event_id = ?1", [signed(event_id)]).map(drop)
    }

    /// Puts an event aside that can't be read.
    pub(super) fn put_event_aside(&mut self, event_id: u64) -> Result<()> {
        let key = signed(event_id);
        if let Some(content) = self.raw_row("SELECT * FROM event WHERE event_id = ?1", key)? {
            self.keep_aside("event", None, "an event that can't be read", &content)?;
        }
        self.run("DELETE FROM event_class WHERE event_id = ?1", [key])?;
        self.run("DELETE FROM event WHERE event_id = ?1", [key]).map(drop)
    }

    /// Gives an event's application another number.
    pub(super) fn move_event(&mut self, event_id: u64, application: u32) -> Result<()> {
        let Some(mut event) = self.event(event_id)? else { return self.put_event_aside(event_id) };
        event.application = application;
        let data = event.data.as_deref().map(pack_data);
        let sum = seal(&event, data.as_deref(), self.key);
        let sql = "UPDATE event SET application = ?2, sum = ?3 WHERE event_id = ?1";
        self.run(sql, params![signed(event_id), application, sum]).map(drop)
    }
}
