//! The definitions of pools, and the high-water marks of those who reset them.

use rusqlite::params;

use super::sessions::number;
use super::{Ledger, Pages, signed};
use crate::error::Result;
use crate::license::books::MAX_READERS;

/// A pool's definition as the books have it.
pub(in crate::table) struct Definition {
    pub revision: u64,
    /// Its options as JSON.
    pub definition: String,
    /// Those that were configured when the store was last opened by somebody alone.
    pub opened: String,
}

impl Pages<'_> {
    /// The definition of a pool.
    pub fn definition(&self, pool: u32) -> Result<Option<Definition>> {
        self.plain("SELECT revision, v, opened FROM definition WHERE pool = ?1", [pool], |row| {
            Ok(Definition { revision: number(row, 0)?, definition: row.get(1)?, opened: row.get(2)? })
        })
    }

    /// The most units in use since a reader reset its mark, ever if it did not, and when that was.
    pub fn high_water(&self, pool: u32, reader: &str) -> Result<(u64, i64)> {
        let sql = "SELECT units, at FROM reader WHERE pool = ?1 AND reader = ?2";
        let mark = self.plain(sql, params![pool, reader], |row| Ok((number(row, 0)?, row.get(1)?)))?;
        match mark {
            Some(mark) => Ok(mark),
            None => self.pool(pool).map(|totals| (totals.high_water, totals.high_water_at)),
        }
    }

    fn marks(&self, pool: u32) -> Result<(u64, Option<u64>)> {
        let sql = "SELECT count(*), min(units) FROM reader WHERE pool = ?1";
        let marks = self
            .plain(sql, [pool], |row| Ok((number(row, 0)?, row.get::<_, Option<i64>>(1)?.map(i64::cast_unsigned))))?;
        Ok(marks.unwrap_or_default())
    }
}

impl Ledger<'_> {
    /// Keeps the definition that is in force from now on.
    pub fn set_definition(&mut self, pool: u32, revision: u64, definition: &str) -> Result<()> {
        let sql = "INSERT INTO definition(pool, revision, v) VALUES(?1, ?2, ?3) \
                   ON CONFLICT(pool) DO UPDATE SET revision = ?2, v = ?3";
        self.run(sql, params![pool, signed(revision), definition]).map(drop)
    }

    /// Keeps what was configured.
    pub fn set_opened(&mut self, pool: u32, opened: &str) -> Result<()> {
        self.run("UPDATE definition SET opened = ?2 WHERE pool = ?1", params![pool, opened]).map(drop)
    }

    /// No unit that is held counts as reserved.
    pub fn unseat(&mut self, pool: u32) -> Result<()> {
        self.run("UPDATE holder SET reserved = 0, seat = seat & 128 WHERE pool = ?1 AND seat & 127 <> 0", [pool])
            .map(drop)
    }

    /// Raises the marks of readers that are lower.
    pub fn raise_marks(&mut self, pool: u32, units: u64, wall: i64) -> Result<()> {
        let sql = "UPDATE reader SET units = ?2, at = ?3 WHERE pool = ?1 AND units < ?2";
        self.run(sql, params![pool, signed(units), wall]).map(drop)
    }

    /// Has a reader's mark begin anew with what is in use; `false` if there are too many readers.
    pub fn reset_high_water(&mut self, pool: u32, reader: &str, wall: i64) -> Result<bool> {
        let mut totals = self.pool(pool)?;
        let sql = "SELECT 1 FROM reader WHERE pool = ?1 AND reader = ?2";
        let known = self.plain(sql, params![pool, reader], |_| Ok(()))?.is_some();
        if !known && self.marks(pool)?.0 >= MAX_READERS as u64 {
            return Ok(false);
        }
        let sql = "INSERT OR REPLACE INTO reader(pool, reader, units, at) VALUES(?1, ?2, ?3, ?4)";
        self.run(sql, params![pool, reader, signed(totals.in_use), wall])?;
        totals.mark = totals.mark.min(totals.in_use);
        self.set_pool(pool, &totals)?;
        Ok(true)
    }

    /// Forgets a reader's mark; tells whether there was one.
    pub fn forget_high_water(&mut self, pool: u32, reader: &str) -> Result<bool> {
        let forgotten = self.run("DELETE FROM reader WHERE pool = ?1 AND reader = ?2", params![pool, reader])?;
        let mut totals = self.pool(pool)?;
        totals.mark = self.marks(pool)?.1.unwrap_or(u64::MAX);
        self.set_pool(pool, &totals)?;
        Ok(forgotten > 0)
    }
}
