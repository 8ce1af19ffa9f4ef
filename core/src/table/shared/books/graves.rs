//! Tombstones, by their place.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rusqlite::{Row, params};

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

/// At every so many-th end some tombstones are looked at, whether they may go.
const SWEEP_EVERY: u64 = 32;
/// So many then: all are looked at before there is a third more.
const SWEPT: usize = 128;

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
                   FROM grave WHERE locator = ?1";
        Ok(self.one(sql, [signed(locator)], |row| read(row, locator, self.key))?.and_then(std::result::Result::ok))
    }
}

impl Ledger<'_> {
    /// Keeps a tombstone under its event's number ([`Ledger::next_event`]). Of more than `most` the oldest fall early, so that
    /// no flood of ends fills the disk.
    pub fn bury(&mut self, locator: u64, grave: &Grave, most: u64) -> Result<()> {
        let sql = "INSERT OR REPLACE INTO grave(event_id, locator, id, verifier, until, application, reason, level, at, wall, late, \
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
        if grave.event_id.is_multiple_of(SWEEP_EVERY) {
            self.sweep(grave.at, SWEPT, grave.event_id.saturating_sub(most))?;
        }
        Ok(())
    }

    /// Takes away tombstones that have fallen, looking at `most` of them, each time at the next; tells how many.
    pub fn purge_graves(&mut self, now: Millis, most: usize) -> Result<usize> {
        self.sweep(now, most, 0)
    }

    /// The same, and those of ends up to `last`. At the end it begins anew.
    fn sweep(&mut self, now: Millis, most: usize, last: u64) -> Result<usize> {
        let next = "SELECT count(*), max(locator) FROM \
                    (SELECT locator FROM grave WHERE locator > ?1 ORDER BY locator LIMIT ?2)";
        let delete = "DELETE FROM grave WHERE locator > ?1 AND locator <= ?2 AND (until <= ?3 OR event_id <= ?4)";
        let (mut left, mut fallen) = (signed(most as u64), 0);
        let mut from = self.swept.load(Ordering::Relaxed);
        for _ in 0..2 {
            let seen =
                self.plain(next, [from, left], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?)))?;
            if let Some((count, Some(to))) = seen {
                fallen += self.run(delete, [from, to, signed(now), signed(last)])?;
                left -= count;
                from = to;
            }
            if left <= 0 {
                break;
            }
            from = -1;
        }
        self.swept.store(from, Ordering::Relaxed);
        if fallen > 0 {
            self.count_fallen(fallen)?;
        }
        Ok(fallen)
    }
}
