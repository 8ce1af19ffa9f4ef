//! Single values of a store, and its counters.

use rusqlite::params;

use super::sessions::number;
use super::{Ledger, Pages, signed};
use crate::error::Result;

// Counted up in two steps: RETURNING makes SQLite build and drop a table of its own for one row.

impl Pages<'_> {
    /// A value, as it was set.
    pub fn meta(&self, key: &str) -> Result<Option<Vec<u8>>> {
        self.plain("SELECT v FROM meta WHERE k = ?1", [key], |row| row.get(0))
    }

    /// A number; `None` also if it is none.
    pub fn meta_number(&self, key: &str) -> Result<Option<u64>> {
        Ok(self.meta(key)?.and_then(|bytes| Some(u64::from_le_bytes(bytes.try_into().ok()?))))
    }

    /// Rows put into quarantine so far.
    pub fn quarantined(&self) -> Result<u64> {
        self.counter("SELECT b FROM tally WHERE k = -1")
    }

    /// Events so far that nobody took within their time.
    pub fn dead_event_count(&self) -> Result<u64> {
        self.counter("SELECT c FROM tally WHERE k = -1")
    }

    /// How many of the denials that were noted first are in the accounts.
    pub fn denials_written(&self) -> Result<u64> {
        self.counter("SELECT e FROM tally WHERE k = -1")
    }

    /// Whether the file is whole, as far as SQLite can tell quickly: each fault in words, at most 20. Reads all of it.
    pub fn quick_check(&self) -> Result<Vec<String>> {
        let words: Vec<String> = self.plains("PRAGMA quick_check(20)", [], |row| row.get(0))?;
        Ok(words.into_iter().filter(|word| word != "ok").collect())
    }

    /// Tombstones, also those that have fallen and are not purged yet.
    pub fn grave_count(&self) -> Result<u64> {
        self.counter("SELECT max(d, 0) FROM tally WHERE k = -1")
    }

    fn counter(&self, sql: &str) -> Result<u64> {
        Ok(self.plain(sql, [], |row| number(row, 0))?.unwrap_or(0))
    }
}

impl Ledger<'_> {
    /// Keeps a value.
    pub fn set_meta(&mut self, key: &str, value: &[u8]) -> Result<()> {
        let sql = "INSERT INTO meta(k, v) VALUES(?1, ?2) ON CONFLICT(k) DO UPDATE SET v = excluded.v";
        self.run(sql, params![key, value]).map(drop)
    }

    /// Keeps a number.
    pub fn set_meta_number(&mut self, key: &str, value: u64) -> Result<()> {
        self.set_meta(key, &value.to_le_bytes())
    }

    /// Gives at most so many free pages back to the disk.
    pub fn vacuum(&mut self, pages: u32) -> Result<()> {
        self.plains(&format!("PRAGMA incremental_vacuum({pages})"), [], |_| Ok(())).map(drop)
    }

    /// A number for an end, higher than all before: of its tombstone, which is counted by this, and of the event that tells it.
    pub fn next_event(&mut self) -> Result<u64> {
        self.run("UPDATE tally SET a = a + 1, d = d + 1 WHERE k = -1", [])?;
        self.counter("SELECT a FROM tally WHERE k = -1")
    }

    /// So many tombstones less.
    pub(super) fn count_fallen(&mut self, fallen: usize) -> Result<()> {
        self.run("UPDATE tally SET d = d - ?1 WHERE k = -1", [signed(fallen as u64)]).map(drop)
    }

    pub(super) fn set_denials_written(&mut self, written: u64) -> Result<()> {
        self.run("UPDATE tally SET e = ?1 WHERE k = -1", [signed(written)]).map(drop)
    }

    pub(super) fn count_quarantined(&mut self) -> Result<u64> {
        self.run("UPDATE tally SET b = b + 1 WHERE k = -1", [])?;
        self.quarantined()
    }

    pub(super) fn count_dead_event(&mut self) -> Result<u64> {
        self.run("UPDATE tally SET c = c + 1 WHERE k = -1", [])?;
        self.dead_event_count()
    }
}
