//! Dead letters, as all processes see them: kept, taken to be delivered again, given up when they are too many.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Row, params};

use super::pack::{Packer, Unpacker};
use super::rows::{DataRow, of, pack_data, unpack_data};
use super::seal::SealKey;
use super::sessions::number;
use super::{Ledger, Pages, Read, Unread, signed};
use crate::clock::Millis;
use crate::error::Result;
use crate::event::{ClassRef, DeadLetter, PoolState};
use crate::id::SessionId;
use crate::reason::{EndLevel, EndReason, EventKind, ThreadKind};

/// Letters that are taken or stripped at once.
const STEP: i64 = 256;

/// A delivery that did not succeed, with all that is needed to deliver it again.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::table) struct Letter {
    pub event_id: u64,
    pub kind: EventKind,
    pub class: ClassRef,
    pub session: SessionId,
    pub about: About,
    /// What its snapshot counts for.
    pub bytes: u64,
    /// Its data; `None` if there are none any more.
    pub data: Option<Vec<DataRow>>,
}

/// What is only read as a whole.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::table) struct About {
    /// When it was given up.
    pub at: Millis,
    pub attempts: u32,
    pub error: String,
    pub application: Arc<str>,
    pub old_application: Option<Arc<str>>,
    pub namespace: Arc<str>,
    pub user: Option<Arc<str>>,
    pub old_user: Option<Arc<str>>,
    pub reason: Option<EndReason>,
    pub level: Option<EndLevel>,
    pub thread: ThreadKind,
    pub remaining: Option<Duration>,
    pub pool: Option<PoolState>,
    /// When it happened.
    pub event_at: Millis,
    pub event_wall: i64,
}

/// How much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::table) struct LetterTotals {
    pub last: u64,
    pub kept: u64,
    pub bytes: u64,
    pub lost: u64,
}

/// The bounds of what is kept.
#[derive(Clone, Copy, Debug)]
pub(in crate::table) struct LetterBounds {
    pub most: u64,
    pub most_bytes: u64,
}

impl About {
    fn pack(&self, required: bool) -> Vec<u8> {
        let mut packer = Packer::default();
        packer.list(16).flag(required).number(self.at).number(u64::from(self.attempts)).text(&self.error);
        packer.text(&self.application).maybe_text(self.old_application.as_deref()).text(&self.namespace);
        packer.maybe_text(self.user.as_deref()).maybe_text(self.old_user.as_deref());
        packer.number(self.reason.map_or(0, |reason| u64::from(reason.code())));
        packer.number(self.level.map_or(0, |level| u64::from(level.code())));
        packer.number(u64::from(self.thread.code()));
        packer.number(self.remaining.map_or(0, |left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX - 1) + 1));
        match &self.pool {
            Some(pool) => packer.list(3).text(&pool.pool).number(pool.in_use).number(pool.capacity),
            None => packer.list(0),
        };
        packer.number(self.event_at).number(self.event_wall.cast_unsigned());
        packer.done()
    }

    fn unpack(bytes: &[u8]) -> Option<(Self, bool)> {
        let mut unpacker = Unpacker::new(bytes);
        let from = &mut unpacker;
        of(from, 16)?;
        let required = from.flag()?;
        let maybe = |code: u64| u32::try_from(code).ok();
        let about = Self {
            at: from.number()?,
            attempts: u32::try_from(from.number()?).ok()?,
            error: from.text()?.to_owned(),
            application: from.shared()?,
            old_application: from.maybe_text()?.map(Arc::from),
            namespace: from.shared()?,
            user: from.maybe_text()?.map(Arc::from),
            old_user: from.maybe_text()?.map(Arc::from),
            reason: match maybe(from.number()?)? {
                0 => None,
                code => Some(EndReason::from_code(code)?),
            },
            level: match maybe(from.number()?)? {
                0 => None,
                code => Some(EndLevel::from_code(code)?),
            },
            thread: ThreadKind::from_code(maybe(from.number()?)?)?,
            remaining: from.number()?.checked_sub(1).map(Duration::from_millis),
            pool: match from.list()? {
                0 => None,
                3 => Some(PoolState { pool: from.shared()?, in_use: from.number()?, capacity: from.number()? }),
                _ => return None,
            },
            event_at: from.number()?,
            event_wall: from.number()?.cast_signed(),
        };
        from.end()?;
        Some((about, required))
    }
}

impl Letter {
    fn sum(&self, id: u64, about: &[u8], data: Option<&[u8]>, key: SealKey) -> i64 {
        key.over(9)
            .number(id)
            .number(self.event_id)
            .number(u64::from(self.kind.code()))
            .bytes(self.class.namespace.as_bytes())
            .bytes(self.class.name.as_bytes())
            .bytes(&self.session.0)
            .bytes(about)
            .maybe(data)
            .done()
    }

    /// As it is shown.
    fn shown(self, id: u64, late: bool) -> DeadLetter {
        DeadLetter {
            id,
            event_id: self.event_id,
            kind: self.kind,
            session_id: self.session,
            class: self.class,
            application: self.about.application,
            reason: self.about.reason,
            at_ms: self.about.at,
            attempts: self.about.attempts,
            error: self.about.error,
            completed_late: late,
            has_snapshot: self.data.is_some(),
        }
    }
}

const FIELDS: &str = "id, event_id, kind, namespace, name, session, bytes, about, data, sum, late";

/// A letter with its id, and whether its callback returned after all.
fn read(row: &Row<'_>, key: SealKey) -> Read<(u64, Letter, bool)> {
    let id = number(row, 0)?;
    let packed = row.get_ref(7)?.as_blob().map_err(|_| Unread::Bad)?;
    let (about, required) = About::unpack(packed).ok_or(Unread::Bad)?;
    let data = row.get_ref(8)?.as_blob_or_null().map_err(|_| Unread::Bad)?;
    let session = row.get_ref(5)?.as_blob().ok().and_then(|bytes| bytes.try_into().ok()).ok_or(Unread::Bad)?;
    let letter = Letter {
        event_id: number(row, 1)?,
        kind: EventKind::from_code(row.get(2)?).ok_or(Unread::Bad)?,
        class: ClassRef { namespace: row.get(3)?, name: row.get(4)?, required },
        session: SessionId(session),
        bytes: number(row, 6)?,
        about,
        data: match data {
            Some(bytes) => Some(unpack_data(bytes).ok_or(Unread::Bad)?),
            None => None,
        },
    };
    let sum: i64 = row.get(9)?;
    if letter.sum(id, packed, data, key) == sum { Ok((id, letter, row.get(10)?)) } else { Err(Unread::Bad) }
}

impl Pages<'_> {
    /// Letters that nobody delivers again just now, after an id, oldest first; those that can't be read are left out.
    pub fn letters(&self, after: u64, limit: usize) -> Result<Vec<DeadLetter>> {
        let sql = format!("SELECT {FIELDS} FROM letter WHERE id > ?1 AND claimed_by = 0 ORDER BY id LIMIT ?2");
        let rows = self.all(&sql, params![signed(after), signed(limit as u64)], |row| read(row, self.key))?;
        Ok(rows.into_iter().filter_map(|row| row.ok().map(|(id, letter, late)| letter.shown(id, late))).collect())
    }

    /// How many there are.
    pub fn letter_totals(&self) -> Result<LetterTotals> {
        let totals = self.plain("SELECT a, b, c, d FROM tally WHERE k = -2", [], |row| {
            Ok(LetterTotals {
                last: number(row, 0)?,
                kept: number(row, 1)?,
                bytes: number(row, 2)?,
                lost: number(row, 3)?,
            })
        })?;
        Ok(totals.unwrap_or_default())
    }
}

impl Ledger<'_> {
    /// Keeps a letter, and tells its id. Too many: the oldest is given up; too many bytes: the oldest loses its snapshot.
    /// Of one delivery of an event there is one letter.
    pub fn keep_letter(&mut self, letter: &Letter, bounds: LetterBounds) -> Result<u64> {
        if letter.event_id != 0 {
            let (namespace, name) = (&*letter.class.namespace, &*letter.class.name);
            let sql = "SELECT id FROM letter WHERE event_id = ?1 AND kind = ?2 AND namespace = ?3 AND name = ?4";
            let params = params![signed(letter.event_id), letter.kind.code(), namespace, name];
            for id in self.plains(sql, params, |row| number(row, 0))? {
                self.drop_letter(id)?;
            }
        }
        self.run("UPDATE tally SET a = a + 1, b = b + 1, c = c + ?1 WHERE k = -2", [signed(letter.bytes)])?;
        let id = self.letter_totals()?.last;
        let about = letter.about.pack(letter.class.required);
        let data = letter.data.as_deref().map(pack_data);
        self.run(
            "INSERT INTO letter(id, event_id, kind, namespace, name, session, bytes, about, data, sum) \
             VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            params![
                signed(id),
                signed(letter.event_id),
                letter.kind.code(),
                &*letter.class.namespace,
                &*letter.class.name,
                &letter.session.0[..],
                signed(letter.bytes),
                about,
                data,
                letter.sum(id, &about, data.as_deref(), self.key),
            ],
        )?;
        self.bound_letters(bounds)?;
        Ok(id)
    }

    fn bound_letters(&mut self, bounds: LetterBounds) -> Result<()> {
        let totals = self.letter_totals()?;
        if totals.kept > bounds.most {
            let sql = "SELECT id FROM letter WHERE claimed_by = 0 ORDER BY id LIMIT ?1";
            let many = signed(totals.kept - bounds.most);
            for id in self.plains(sql, [many], |row| number(row, 0))? {
                self.drop_letter(id)?;
            }
            self.run("UPDATE tally SET d = d + ?1 WHERE k = -2", [many])?;
        }
        let mut bytes = self.letter_totals()?.bytes;
        while bytes > bounds.most_bytes {
            let sql = "SELECT id, bytes FROM letter INDEXED BY letter_data WHERE bytes > 0 ORDER BY id LIMIT ?1";
            let oldest = self.plains(sql, [STEP], |row| Ok((number(row, 0)?, number(row, 1)?)))?;
            if oldest.is_empty() {
                break;
            }
            for (id, size) in oldest {
                if bytes <= bounds.most_bytes {
                    break;
                }
                self.strip_letter(id, size)?;
                bytes = bytes.saturating_sub(size);
            }
        }
        Ok(())
    }

    /// Takes a letter's snapshot.
    fn strip_letter(&mut self, id: u64, size: u64) -> Result<()> {
        let sql = format!("SELECT {FIELDS} FROM letter WHERE id = ?1");
        let found = self.one(&sql, [signed(id)], |row| read(row, self.key))?;
        let Some(Ok((_, letter, _))) = found else { return self.put_letter_aside(id) };
        let about = letter.about.pack(letter.class.required);
        let sum = letter.sum(id, &about, None, self.key);
        self.run("UPDATE letter SET data = NULL, bytes = 0, sum = ?2 WHERE id = ?1", params![signed(id), sum])?;
        self.run("UPDATE tally SET c = c - ?1 WHERE k = -2", [signed(size)]).map(drop)
    }

    /// A letter is not kept any more; nothing if it is not there.
    pub fn drop_letter(&mut self, id: u64) -> Result<()> {
        let sql = "SELECT bytes, claimed_by FROM letter WHERE id = ?1";
        let found = self.plain(sql, [signed(id)], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, u32>(1)?)))?;
        let Some((bytes, claimed)) = found else { return Ok(()) };
        self.run("DELETE FROM letter WHERE id = ?1", [signed(id)])?;
        let sql = "UPDATE tally SET b = b - ?1, c = c - ?2 WHERE k = -2";
        self.run(sql, params![i64::from(claimed == 0), bytes]).map(drop)
    }

    fn put_letter_aside(&mut self, id: u64) -> Result<()> {
        if let Some(content) = self.raw_row("SELECT * FROM letter WHERE id = ?1", signed(id))? {
            self.keep_aside("letter", None, "a dead letter that can't be read", &content)?;
        }
        self.drop_letter(id)
    }

    /// The callback of a letter returned after all.
    pub fn letter_is_late(&mut self, id: u64) -> Result<()> {
        self.run("UPDATE letter SET late = 1 WHERE id = ?1", [signed(id)]).map(drop)
    }

    /// Takes one letter, or at most `most` of those after an id up to another, to deliver them again: nobody else sees them until they are kept
    /// anew, dropped, or this opening of the process is over.
    pub fn take_letters(
        &mut self,
        participant: u32,
        instance: u64,
        one: Option<u64>,
        (after, last): (u64, u64),
        most: usize,
    ) -> Result<Vec<(u64, Letter)>> {
        let (from, to) = match one {
            Some(id) => (id, id),
            None => (after.saturating_add(1), last),
        };
        let sql = "SELECT id FROM letter WHERE id BETWEEN ?1 AND ?2 AND claimed_by = 0 ORDER BY id LIMIT ?3";
        let params = params![signed(from), signed(to), signed(most as u64)];
        let ids = self.plains(sql, params, |row| number(row, 0))?;
        let mut taken = Vec::with_capacity(ids.len());
        for id in ids {
            let sql = format!("SELECT {FIELDS} FROM letter WHERE id = ?1");
            match self.one(&sql, [signed(id)], |row| read(row, self.key))? {
                Some(Ok((_, letter, _))) => {
                    let sql = "UPDATE letter SET claimed_by = ?2, claimed_instance = ?3 WHERE id = ?1";
                    self.run(sql, params![signed(id), participant, instance.cast_signed()])?;
                    self.run("UPDATE tally SET b = b - 1 WHERE k = -2", [])?;
                    taken.push((id, letter));
                }
                Some(Err(_)) => self.put_letter_aside(id)?,
                None => {}
            }
        }
        Ok(taken)
    }

    /// What an opening of a participant was to deliver again is there again.
    pub(super) fn release_letters(&mut self, participant: u32, instance: u64) -> Result<()> {
        let sql = "UPDATE letter SET claimed_by = 0, claimed_instance = 0 \
                   WHERE claimed_by = ?1 AND claimed_by <> 0 AND claimed_instance = ?2";
        let released = self.run(sql, params![participant, instance.cast_signed()])?;
        self.count_released(released)
    }

    /// The same for everybody: nobody else has the store open.
    pub fn release_all_letters(&mut self) -> Result<()> {
        let released = self.run("UPDATE letter SET claimed_by = 0, claimed_instance = 0 WHERE claimed_by <> 0", [])?;
        self.count_released(released)
    }

    fn count_released(&mut self, released: usize) -> Result<()> {
        if released > 0 {
            self.run("UPDATE tally SET b = b + ?1 WHERE k = -2", [signed(released as u64)])?;
        }
        Ok(())
    }

    /// A class of a row of the outbox has become a dead letter, or two: it is not given out again, unless somebody waits for
    /// how it went, who hears it by the acknowledgement.
    pub fn settle_class(&mut self, event_id: u64, class: &ClassRef, participant: u32, instance: u64) -> Result<()> {
        let sql = "DELETE FROM event_class WHERE event_id = ?1 AND namespace = ?2 AND name = ?3 AND claimed_by = ?4 \
                   AND claimed_instance = ?5 AND NOT EXISTS(SELECT 1 FROM event WHERE event_id = ?1 AND waited <> 0)";
        let id = signed(event_id);
        let (namespace, name) = (&*class.namespace, &*class.name);
        self.run(sql, params![id, namespace, name, participant, instance.cast_signed()])?;
        let sql = "DELETE FROM event WHERE event_id = ?1 AND NOT EXISTS(SELECT 1 FROM event_class WHERE event_id = ?1)";
        self.run(sql, [id]).map(drop)
    }
}
