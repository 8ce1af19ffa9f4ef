//! Single values of a store, and its counters.

use rusqlite::params;

use super::{Ledger, Pages};
use crate::error::Result;

/// Counters that only rise.
#[derive(Clone, Copy)]
pub(super) enum Counter {
    /// The number of the last end.
    Events = 1,
    /// Rows put into quarantine.
    Quarantined = 2,
    /// Events that nobody took.
    DeadEvents = 3,
}

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
        self.counter(Counter::Quarantined)
    }

    /// Events so far that nobody took within their time.
    pub fn dead_event_count(&self) -> Result<u64> {
        self.counter(Counter::DeadEvents)
    }

    /// Whether the file is whole, as far as SQLite can tell quickly: each fault in words, at most 20. Reads all of it.
    pub fn quick_check(&self) -> Result<Vec<String>> {
        let words: Vec<String> = self.plains("PRAGMA quick_check(20)", [], |row| row.get(0))?;
        Ok(words.into_iter().filter(|word| word != "ok").collect())
    }

    pub(super) fn counter(&self, counter: Counter) -> Result<u64> {
        let value = self.plain("SELECT v FROM counter WHERE k = ?1", [counter as i64], |row| row.get::<_, i64>(0))?;
        Ok(value.unwrap_or(0).cast_unsigned())
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

    pub(super) fn count_up(&mut self, counter: Counter) -> Result<u64> {
        let sql = "INSERT INTO counter(k, v) VALUES(?1, 1) ON CONFLICT(k) DO UPDATE SET v = v + 1 RETURNING v";
        let value = self.plain(sql, [counter as i64], |row| row.get::<_, i64>(0))?;
        Ok(value.unwrap_or(0).cast_unsigned())
    }
}
