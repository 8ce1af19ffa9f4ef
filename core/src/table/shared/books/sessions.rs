//! The rows of live sessions and of their data.

use std::borrow::Cow;
use std::sync::Arc;

use rusqlite::{Row, params};

use super::rows::{ChargedRow, DataRow, Rare, SessionPage, SessionRow};
use super::seal::SealKey;
use super::{Ledger, Pages, Read, Unread, signed};
use crate::clock::Millis;
use crate::error::Result;
use crate::license::client::client_of;
use crate::reason::{LazyUntil, LicenseClass};
use crate::table::{Charge, Holder, Lazy};

const HAD_REQUEST: u32 = 1;
const DAMAGED: u32 = 2;
/// It took features.
const TAKES: u32 = 4;
/// Its idle timeout is that of anonymous sessions.
const BRIEF: u32 = 8;
/// It counts among the anonymous sessions of its client.
const COUNTED: u32 = 16;
/// Columns of `class` from here on are of sessions that take their unit later: which kind of them, times this.
const LAZY: u32 = 16;

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT slot, generation, random, verifier, application, user, pool, class, holder, created, ord, wall, slept, ",
            "idle, absolute, saved, used, marks, version, maker, rare, sum, seal, licensed FROM session ",
            $rest
        )
    };
}

/// A row as SQLite has it.
struct Stored<'a> {
    row: &'a SessionRow,
    verifier: [u8; 16],
    pool: Option<u32>,
    class: Option<u32>,
    holder: Option<&'a str>,
    marks: u32,
    rare: Cow<'a, [u8]>,
    sum: i64,
    seal: i64,
}

fn blob(verifier: [u64; 2]) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&verifier[0].to_le_bytes());
    bytes[8..].copy_from_slice(&verifier[1].to_le_bytes());
    bytes
}

/// The two halves of a stored verifier.
pub(super) fn verifier(bytes: &[u8]) -> Option<[u64; 2]> {
    let (first, second) = bytes.split_at_checked(8)?;
    Some([u64::from_le_bytes(first.try_into().ok()?), u64::from_le_bytes(second.try_into().ok()?)])
}

/// The checksum of what a touch changes.
fn seal_of(key: SealKey, slot: u32, generation: u64, saved: Millis, used: Millis) -> i64 {
    key.over(2).number(u64::from(slot)).number(generation).number(saved).number(used).done()
}

fn seal_of_data(key: SealKey, slot: u32, generation: u64, row: &DataRow) -> i64 {
    let seal = key.over(3).number(u64::from(slot)).number(generation);
    seal.bytes(&row.sub).number(row.version).bytes(&row.value).done()
}

impl<'a> Stored<'a> {
    fn new(row: &'a SessionRow, rare: Cow<'a, [u8]>, key: SealKey) -> Self {
        let charge = row.charge.as_ref();
        let holder = match charge.map(|charge| &charge.holder) {
            Some(Holder::User(user)) => Some(&**user),
            _ => None,
        };
        let mut stored = Self {
            row,
            verifier: blob(row.verifier),
            pool: row.pool(),
            class: charge.map(|charge| charge.class.code()).or(row.lazy.map(|lazy| lazy.until.code() * LAZY)),
            holder,
            marks: marks(row),
            rare,
            sum: 0,
            seal: seal_of(key, row.slot, row.generation, row.saved, row.used),
        };
        stored.sum = stored.sum(key);
        stored
    }

    fn sum(&self, key: SealKey) -> i64 {
        let row = self.row;
        let maybe = |number: Option<u32>| number.map_or(0, |number| u64::from(number) + 1);
        let seal = key
            .over(1)
            .number(u64::from(row.slot))
            .number(row.generation)
            .bytes(&row.random)
            .bytes(&self.verifier)
            .number(u64::from(row.application))
            .maybe(row.user.as_ref().map(|user| user.as_bytes()))
            .number(maybe(self.pool))
            .number(maybe(self.class))
            .maybe(self.holder.map(str::as_bytes))
            .number(row.created)
            .number(u64::from(row.order))
            .signed(row.wall)
            .number(row.slept)
            .number(row.idle)
            .number(row.absolute)
            .number(u64::from(self.marks))
            .number(row.version)
            .number(u64::from(row.maker))
            .bytes(&self.rare);
        // Rows of an earlier format have no such column.
        if row.licensed == 0 { seal.done() } else { seal.number(row.licensed).done() }
    }

    fn bind(&self, statement: &mut rusqlite::CachedStatement<'_>) -> rusqlite::Result<usize> {
        let row = self.row;
        statement.execute(params![
            row.slot,
            row.generation.cast_signed(),
            &row.random[..],
            &self.verifier[..],
            row.application,
            row.user.as_deref(),
            self.pool,
            self.class,
            self.holder,
            row.created.cast_signed(),
            row.order,
            row.wall,
            row.slept.cast_signed(),
            row.idle.cast_signed(),
            row.absolute.cast_signed(),
            row.saved.cast_signed(),
            row.used.cast_signed(),
            self.marks,
            row.version.cast_signed(),
            row.maker,
            &*self.rare,
            self.sum,
            self.seal,
            row.licensed.cast_signed(),
        ])
    }
}

fn marks(row: &SessionRow) -> u32 {
    let mark = |mark, on| if on { mark } else { 0 };
    mark(HAD_REQUEST, row.had_request)
        | mark(DAMAGED, row.damaged)
        | mark(TAKES, !row.rare.takes.is_empty())
        | mark(BRIEF, row.brief)
        | mark(COUNTED, row.charge.as_ref().is_some_and(|charge| charge.client.is_some()))
}

/// A number without a sign.
pub(super) fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::cast_unsigned)
}

/// What the columns of a license say: how a session is charged, or the license that it takes later.
fn license(
    pool: Option<u32>,
    class: Option<u32>,
    holder: Option<Arc<str>>,
    client: Option<Arc<str>>,
) -> Option<(Option<Charge>, Option<Lazy>)> {
    match (pool, class) {
        (None, None) => Some((None, None)),
        (Some(pool), Some(kind)) if kind >= LAZY => {
            Some((None, Some(Lazy { pool, until: LazyUntil::from_code(kind / LAZY)? })))
        }
        (Some(pool), Some(class)) => {
            let holder = holder.map_or(Holder::Session, Holder::User);
            Some((Some(Charge { pool, class: LicenseClass::from_code(class)?, holder, client }), None))
        }
        _ => None,
    }
}

/// The client among whose anonymous sessions one counts.
fn counted(marks: u32, rare: &Rare) -> Option<Arc<str>> {
    rare.client.address.as_deref().filter(|_| marks & COUNTED != 0).map(client_of)
}

fn read(row: &Row<'_>, key: SealKey) -> Read<SessionRow> {
    let random = row.get_ref(2)?.as_blob().ok().and_then(|bytes| bytes.try_into().ok()).ok_or(Unread::Bad)?;
    let verifier = row.get_ref(3)?.as_blob().ok().and_then(verifier).ok_or(Unread::Bad)?;
    let text = |column| -> Read<Option<Arc<str>>> {
        match row.get_ref(column)?.as_str_or_null() {
            Ok(text) => Ok(text.map(Arc::from)),
            Err(_) => Err(Unread::Bad),
        }
    };
    let marks: u32 = row.get(17)?;
    let packed = row.get_ref(20)?.as_blob().map_err(|_| Unread::Bad)?;
    let rare = Rare::unpack(packed).ok_or(Unread::Bad)?;
    let (charge, lazy) = license(row.get(6)?, row.get(7)?, text(8)?, counted(marks, &rare)).ok_or(Unread::Bad)?;
    let session = SessionRow {
        slot: row.get(0)?,
        generation: number(row, 1)?,
        random,
        verifier,
        application: row.get(4)?,
        user: text(5)?,
        charge,
        lazy,
        licensed: number(row, 23)?,
        brief: marks & BRIEF != 0,
        created: number(row, 9)?,
        order: row.get(10)?,
        wall: row.get(11)?,
        slept: number(row, 12)?,
        idle: number(row, 13)?,
        absolute: number(row, 14)?,
        saved: number(row, 15)?,
        used: number(row, 16)?,
        had_request: marks & HAD_REQUEST != 0,
        damaged: marks & DAMAGED != 0,
        version: number(row, 18)?,
        maker: row.get(19)?,
        rare,
    };
    let stored = Stored::new(&session, Cow::Borrowed(packed), key);
    let (sum, seal): (i64, i64) = (row.get(21)?, row.get(22)?);
    if stored.sum == sum && stored.seal == seal { Ok(session) } else { Err(Unread::Bad) }
}

impl Pages<'_> {
    /// The session in a slot.
    ///
    /// Errors: `corrupt` if its row can't be read: to be put into quarantine by [`Ledger::quarantine`].
    pub fn session(&self, slot: u32) -> Result<Option<SessionRow>> {
        match self.one(select!("WHERE slot = ?1"), [slot], |row| read(row, self.key))? {
            None => Ok(None),
            Some(Ok(row)) => Ok(Some(row)),
            Some(Err(_)) => Err(self.bad("session", slot)),
        }
    }

    /// Sessions from a slot on, in the order of slots; at most `limit` rows are looked at.
    pub fn sessions(&self, from: u32, limit: usize) -> Result<SessionPage> {
        self.page(select!("WHERE slot >= ?1 ORDER BY slot LIMIT ?2"), params![from, signed(limit as u64)], limit)
    }

    /// The same of one user.
    pub fn sessions_of(&self, user: &str, from: u32, limit: usize) -> Result<SessionPage> {
        let sql = select!("WHERE user = ?3 AND slot >= ?1 ORDER BY slot LIMIT ?2");
        self.page(sql, params![from, signed(limit as u64), user], limit)
    }

    fn page(&self, sql: &str, params: impl rusqlite::Params, limit: usize) -> Result<SessionPage> {
        let mut page = SessionPage::default();
        let mut last = 0;
        let rows = self.all(sql, params, |row| {
            // A key that is none of ours can't be answered for; its row is as good as absent.
            last = row.get::<_, u32>(0).unwrap_or(u32::MAX);
            Ok((last, read(row, self.key)))
        })?;
        let full = rows.len() >= limit;
        for (slot, row) in rows.into_iter().filter_map(std::result::Result::ok) {
            match row {
                Ok(row) => page.rows.push(row),
                Err(Unread::Bad) => page.bad.push(slot),
                Err(Unread::Sqlite(error)) => return Err(self.fault(error)),
            }
        }
        page.next = if full { last.checked_add(1) } else { None };
        Ok(page)
    }

    /// Where the sessions are that are charged to a pool for a user: slot and generation.
    pub fn charged_to(&self, pool: u32, holder: &str) -> Result<Vec<(u32, u64)>> {
        // Sessions are found by their user, and a user at a client is another holder.
        let ends = holder.match_indices('@').map(|(end, _)| end).chain([holder.len()]);
        let mut found = Vec::new();
        for user in ends.filter_map(|end| holder.get(..end)) {
            let sql = "SELECT slot, generation FROM session WHERE user = ?1 AND pool = ?2 AND holder = ?3";
            found.extend(self.plains(sql, params![user, pool, holder], |row| Ok((row.get(0)?, number(row, 1)?)))?);
        }
        Ok(found)
    }

    /// The data of a session, in the order of first subscripts.
    ///
    /// Errors: `corrupt` if a row of them can't be read: to be put away by [`Ledger::quarantine_data`].
    pub fn data(&self, slot: u32, generation: u64) -> Result<Vec<DataRow>> {
        let sql = "SELECT sub, generation, version, v, sum FROM data WHERE slot = ?1 ORDER BY sub";
        let rows = self.all(sql, [slot], |row| {
            let blob = |column| row.get_ref(column)?.as_blob().map(<[u8]>::to_vec).map_err(|_| Unread::Bad);
            let data = DataRow { sub: blob(0)?, version: number(row, 2)?, value: blob(3)? };
            let sum: i64 = row.get(4)?;
            let good = number(row, 1)? == generation && seal_of_data(self.key, slot, generation, &data) == sum;
            if good { Ok(data) } else { Err(Unread::Bad) }
        })?;
        rows.into_iter().map(|row| row.map_err(|_| self.bad("data", slot))).collect()
    }

    /// The highest generation that a session or a tombstone has.
    pub fn last_generation(&self) -> Result<u64> {
        let sql = "SELECT max(ifnull((SELECT max(generation) FROM session), 0), \
                   ifnull((SELECT max(locator) FROM grave) >> 28, 0))";
        Ok(self.plain(sql, [], |row| number(row, 0))?.unwrap_or(0))
    }

    /// Live sessions: counts them all.
    pub fn count(&self) -> Result<u64> {
        Ok(self.plain("SELECT count(*) FROM session", [], |row| number(row, 0))?.unwrap_or(0))
    }

    /// Live sessions by application: counts them all.
    pub fn counts_by_application(&self) -> Result<Vec<(u32, u64)>> {
        let sql = "SELECT application, count(*) FROM session GROUP BY application";
        self.plains(sql, [], |row| Ok((row.get(0)?, number(row, 1)?)))
    }

    /// The sessions charged to a pool: looks at them all, for a recount.
    pub fn charged(&self, pool: u32) -> Result<Vec<ChargedRow>> {
        let sql = "SELECT slot, generation, random, class, holder, max(created, licensed), pool, iif(marks & ?2, rare, NULL), \
                   marks FROM session WHERE (pool = ?1 AND class < ?4) OR marks & ?3";
        let rows = self.all(sql, [pool, TAKES | COUNTED, TAKES, LAZY], |row| {
            let random = row.get_ref(2)?.as_blob().ok().and_then(|bytes| bytes.try_into().ok()).ok_or(Unread::Bad)?;
            let rare = row.get_ref(7)?.as_blob_or_null().map_err(|_| Unread::Bad)?;
            let rare = rare.map_or_else(|| Some(Rare::default()), Rare::unpack).ok_or(Unread::Bad)?;
            let charge = match row.get::<_, Option<u32>>(6)?.filter(|own| *own == pool) {
                Some(pool) => {
                    let client = counted(row.get(8)?, &rare);
                    license(Some(pool), row.get(3)?, row.get(4)?, client).ok_or(Unread::Bad)?.0
                }
                None => None,
            };
            let takes = rare.takes.into_iter().filter(|taken| taken.pool == pool).collect();
            let (slot, generation, since) = (row.get(0)?, number(row, 1)?, number(row, 5)?);
            Ok(ChargedRow { slot, generation, random, charge, since, takes })
        })?;
        Ok(rows.into_iter().filter_map(std::result::Result::ok).collect())
    }

    /// The slots of sessions that took features, if some took this pool, to which so many sessions are charged otherwise.
    /// Looks at all sessions only then.
    pub fn takers(&self, pool: u32, charged: u64) -> Result<Vec<u32>> {
        let sql = "SELECT ifnull(sum(connections), 0), ifnull(sum(units), 0) FROM holder WHERE pool = ?1";
        let sums = self.plain(sql, [pool], |row| Ok((number(row, 0)?, number(row, 1)?)))?;
        let (connections, units) = sums.unwrap_or_default();
        let orphans = "SELECT count(*) FROM orphan WHERE pool = ?1";
        let orphans = self.plain(orphans, [pool], |row| number(row, 0))?.unwrap_or(0);
        let totals = self.pool(pool)?;
        let own = totals.in_use.saturating_sub(totals.offered).saturating_sub(units).saturating_sub(orphans);
        if connections.saturating_add(own) <= charged {
            return Ok(Vec::new());
        }
        self.plains("SELECT slot FROM session WHERE marks & ?1", [TAKES], |row| row.get(0))
    }
}

impl Ledger<'_> {
    /// Keeps a new session; its slot must be free.
    pub fn insert_session(&mut self, row: &SessionRow) -> Result<()> {
        let sql = "INSERT INTO session(slot, generation, random, verifier, application, user, pool, class, holder, created, \
                   ord, wall, slept, idle, absolute, saved, used, marks, version, maker, rare, sum, seal, licensed) VALUES(?1, \
                   ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24)";
        self.keep(sql, row).map(drop)
    }

    /// Keeps what changed of a session; `false` if it is not there.
    pub fn update_session(&mut self, row: &SessionRow) -> Result<bool> {
        let sql = "UPDATE session SET random = ?3, verifier = ?4, application = ?5, user = ?6, pool = ?7, class = ?8, \
                   holder = ?9, created = ?10, ord = ?11, wall = ?12, slept = ?13, idle = ?14, absolute = ?15, saved = ?16, \
                   used = ?17, marks = ?18, version = ?19, maker = ?20, rare = ?21, sum = ?22, seal = ?23, \
                   licensed = ?24 \
                   WHERE slot = ?1 AND generation = ?2";
        Ok(self.keep(sql, row)? > 0)
    }

    fn keep(&mut self, sql: &str, row: &SessionRow) -> Result<usize> {
        let stored = Stored::new(row, Cow::Owned(row.rare.pack()), self.key);
        let done = self.connection.prepare_cached(sql).and_then(|mut statement| stored.bind(&mut statement));
        done.map_err(|error| self.fault(error))
    }

    /// Deletes a session with its data; `false` if it is not there.
    pub fn delete_session(&mut self, slot: u32, generation: u64) -> Result<bool> {
        let sql = "DELETE FROM session WHERE slot = ?1 AND generation = ?2";
        if self.run(sql, params![slot, generation.cast_signed()])? == 0 {
            return Ok(false);
        }
        self.run("DELETE FROM data WHERE slot = ?1", [slot])?;
        Ok(true)
    }

    /// Keeps idle deadlines and last uses: (slot, generation, deadline, use). Sessions that ended meanwhile are passed over.
    pub fn save_deadlines(&mut self, deadlines: &[(u32, u64, Millis, Millis)]) -> Result<()> {
        let sql = "UPDATE session SET saved = ?3, used = ?4, seal = ?5 WHERE slot = ?1 AND generation = ?2";
        for (slot, generation, saved, used) in deadlines {
            let seal = seal_of(self.key, *slot, *generation, *saved, *used);
            let params = params![slot, generation.cast_signed(), saved.cast_signed(), used.cast_signed(), seal];
            self.run(sql, params)?;
        }
        Ok(())
    }

    /// Keeps a part of a session's data.
    pub fn put_data(&mut self, slot: u32, generation: u64, row: &DataRow) -> Result<()> {
        let sql = "INSERT OR REPLACE INTO data(slot, sub, generation, version, v, sum) VALUES(?1, ?2, ?3, ?4, ?5, ?6)";
        let sum = seal_of_data(self.key, slot, generation, row);
        let (generation, version) = (generation.cast_signed(), row.version.cast_signed());
        self.run(sql, params![slot, &row.sub, generation, version, &row.value, sum]).map(drop)
    }

    /// Deletes all of a session's data.
    pub fn clear_data(&mut self, slot: u32) -> Result<()> {
        self.run("DELETE FROM data WHERE slot = ?1", [slot]).map(drop)
    }

    /// Deletes a part of a session's data.
    pub fn delete_data(&mut self, slot: u32, sub: &[u8]) -> Result<()> {
        self.run("DELETE FROM data WHERE slot = ?1 AND sub = ?2", params![slot, sub]).map(drop)
    }
}
