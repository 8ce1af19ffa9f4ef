//! Tombstones, in the order of their ends.

use std::sync::Arc;

use rusqlite::{Row, params};

use super::meta::Counter;
use super::pack::{Packer, Unpacker};
use super::rows::{of, pack_replaced, unpack_replaced};
use super::seal::SealKey;
use super::sessions::{number, verifier};
use super::{Ledger, Pages, Read, Unread, signed};
use crate::clock::Millis;
use crate::error::Result;
use crate::id::SessionId;
use crate::reason::{EndLevel, EndReason};
use crate::table::grave::{Grave, More};

/// Rows above the bound before some are deleted: many at once cost less.
const SLACK: u64 = 32;

/// A tombstone as SQLite has it.
struct Stored<'a> {
    locator: u64,
    grave: &'a Grave,
    verifier: [u8; 16],
    more: Option<Vec<u8>>,
}

impl<'a> Stored<'a> {
    fn new(locator: u64, grave: &'a Grave) -> Self {
        let mut verifier = [0; 16];
        verifier[..8].copy_from_slice(&grave.verifier[0].to_le_bytes());
        verifier[8..].copy_from_slice(&grave.verifier[1].to_le_bytes());
        let more = grave.more.as_deref().map(|more| {
            let mut packer = Packer::default();
            packer.list(3).maybe_text(more.actor.as_deref()).maybe_text(more.note.as_deref());
            pack_replaced(&mut packer, &more.replaced);
            packer.done()
        });
        Self { locator, grave, verifier, more }
    }

    fn sum(&self, key: SealKey) -> i64 {
        let grave = self.grave;
        key.over(4)
            .number(self.locator)
            .bytes(&grave.id.0)
            .bytes(&self.verifier)
            .signed(signed(grave.until))
            .number(u64::from(grave.application))
            .number(u64::from(grave.reason.code()))
            .number(u64::from(grave.level.code()))
            .signed(signed(grave.at))
            .signed(grave.wall)
            .number(grave.late.map_or(0, |late| late.saturating_add(1)))
            .number(u64::from(grave.licensed))
            .number(grave.event_id)
            .maybe(grave.user.as_ref().map(|user| user.as_bytes()))
            .maybe(self.more.as_deref())
            .done()
    }
}

fn unpack(bytes: &[u8]) -> Option<Box<More>> {
    let mut from = Unpacker::new(bytes);
    of(&mut from, 3)?;
    let actor = from.maybe_text()?.map(str::to_owned);
    let note = from.maybe_text()?.map(str::to_owned);
    let replaced = unpack_replaced(&mut from)?;
    from.end()?;
    Some(Box::new(More { actor, note, replaced }))
}

fn read(row: &Row<'_>, locator: u64, key: SealKey) -> Read<Grave> {
    let id = row.get_ref(1)?.as_blob().ok().and_then(|bytes| bytes.try_into().ok()).ok_or(Unread::Bad)?;
    let verifier = row.get_ref(2)?.as_blob().ok().and_then(verifier).ok_or(Unread::Bad)?;
    let user = row.get_ref(11)?.as_str_or_null().map_err(|_| Unread::Bad)?;
    let more = match row.get_ref(12)?.as_blob_or_null().map_err(|_| Unread::Bad)? {
        Some(bytes) => Some(unpack(bytes).ok_or(Unread::Bad)?),
        None => None,
    };
    let grave = Grave {
        id: SessionId(id),
        verifier,
        until: number(row, 3)?,
        application: row.get(4)?,
        reason: EndReason::from_code(row.get(5)?).ok_or(Unread::Bad)?,
        level: EndLevel::from_code(row.get(6)?).ok_or(Unread::Bad)?,
        at: number(row, 7)?,
        wall: row.get(8)?,
        late: row.get::<_, Option<i64>>(9)?.map(i64::cast_unsigned),
        licensed: row.get(10)?,
        event_id: number(row, 0)?,
        user: user.map(Arc::from),
        more,
    };
    let sum: i64 = row.get(13)?;
    if Stored::new(locator, &grave).sum(key) == sum { Ok(grave) } else { Err(Unread::Bad) }
}

impl Pages<'_> {
    /// The tombstone of a place, whether it still stands or not; one that can't be read is none.
    pub fn grave(&self, locator: u64) -> Result<Option<Grave>> {
        let sql = "SELECT event_id, id, verifier, until, application, reason, level, at, wall, late, licensed, user, more, sum \
                   FROM grave WHERE locator = ?1 ORDER BY event_id DESC LIMIT 1";
        Ok(self.one(sql, [signed(locator)], |row| read(row, locator, self.key))?.and_then(std::result::Result::ok))
    }

    /// The tombstone of one end.
    pub(super) fn grave_of(&self, event_id: i64, locator: u64) -> Result<Option<Grave>> {
        let sql = "SELECT event_id, id, verifier, until, application, reason, level, at, wall, late, licensed, user, more, sum \
                   FROM grave WHERE event_id = ?1";
        Ok(self.one(sql, [event_id], |row| read(row, locator, self.key))?.and_then(std::result::Result::ok))
    }

    /// Tombstones: counts them all.
    pub fn grave_count(&self) -> Result<u64> {
        Ok(self.plain("SELECT count(*) FROM grave", [], |row| number(row, 0))?.unwrap_or(0))
    }
}

impl Ledger<'_> {
    /// A number for an end, higher than all before: of its tombstone, and of the event that tells it.
    pub fn next_event(&mut self) -> Result<u64> {
        self.count_up(Counter::Events)
    }

    /// Keeps a tombstone under its event's number ([`Ledger::next_event`]). Of more than `most` the oldest fall early, so that
    /// no flood of ends fills the disk.
    pub fn bury(&mut self, locator: u64, grave: &Grave, most: u64) -> Result<()> {
        let sql = "INSERT INTO grave(event_id, locator, id, verifier, until, application, reason, level, at, wall, late, \
                   licensed, user, more, sum) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";
        let stored = Stored::new(locator, grave);
        self.run(
            sql,
            params![
                signed(grave.event_id),
                signed(locator),
                &grave.id.0[..],
                &stored.verifier[..],
                signed(grave.until),
                grave.application,
                grave.reason.code(),
                grave.level.code(),
                signed(grave.at),
                grave.wall,
                grave.late.map(signed),
                grave.licensed,
                grave.user.as_deref(),
                stored.more,
                stored.sum(self.key),
            ],
        )?;
        if grave.event_id.is_multiple_of(SLACK) {
            let last = signed(grave.event_id.saturating_sub(most));
            self.run("DELETE FROM grave WHERE event_id <= ?1", [last])?;
        }
        Ok(())
    }

    /// Takes away tombstones that have fallen, looking at the oldest `most`; tells how many.
    pub fn purge_graves(&mut self, now: Millis, most: usize) -> Result<usize> {
        let sql = "DELETE FROM grave WHERE event_id IN \
                   (SELECT event_id FROM (SELECT event_id, until FROM grave ORDER BY event_id LIMIT ?2) WHERE until <= ?1)";
        self.run(sql, params![signed(now), signed(most as u64)])
    }
}
