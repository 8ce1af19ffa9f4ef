//! Rows that can't be read are put aside, and counted.

use rusqlite::types::ValueRef;
use rusqlite::{Row, params};

use super::pack::Packer;
use super::{Ledger, Read};
use crate::error::Result;

/// Rows kept at most: the newest.
const KEPT: i64 = 10_000;

/// A row as it is, whatever it is.
fn raw(row: &Row<'_>) -> Read<Vec<u8>> {
    let columns = row.as_ref().column_count();
    let mut packer = Packer::default();
    packer.list(columns);
    for column in 0..columns {
        match row.get_ref(column)? {
            ValueRef::Null => packer.nothing(),
            ValueRef::Integer(value) => packer.signed(value),
            ValueRef::Real(value) => packer.real(value),
            ValueRef::Text(value) | ValueRef::Blob(value) => packer.bytes(value),
        };
    }
    Ok(packer.done())
}

impl Ledger<'_> {
    /// Puts the session in a slot aside, with its data, and counts it: no session lies there afterwards. What it was charged
    /// is found by a recount.
    pub fn quarantine(&mut self, slot: u32, why: &str) -> Result<()> {
        self.put_aside("session", "SELECT * FROM session WHERE slot = ?1", slot, why)?;
        self.put_aside("data", "SELECT * FROM data WHERE slot = ?1", slot, why)?;
        self.run("DELETE FROM session WHERE slot = ?1", [slot])?;
        self.run("DELETE FROM data WHERE slot = ?1", [slot]).map(drop)
    }

    /// Puts the data of the session in a slot aside, and marks it as damaged if its own row can be read.
    pub fn quarantine_data(&mut self, slot: u32, why: &str) -> Result<()> {
        self.put_aside("data", "SELECT * FROM data WHERE slot = ?1", slot, why)?;
        self.run("DELETE FROM data WHERE slot = ?1", [slot])?;
        if let Ok(Some(mut row)) = self.session(slot) {
            row.damaged = true;
            self.update_session(&row)?;
        }
        Ok(())
    }

    fn put_aside(&mut self, origin: &str, sql: &str, slot: u32, why: &str) -> Result<()> {
        for content in self.all(sql, [slot], raw)?.into_iter().filter_map(Result::ok) {
            self.keep_aside(origin, Some(slot), why, &content)?;
        }
        Ok(())
    }

    /// Keeps what a row held.
    pub(super) fn keep_aside(&mut self, origin: &str, slot: Option<u32>, why: &str, content: &[u8]) -> Result<()> {
        let sql = "INSERT INTO quarantine(origin, slot, why, content) VALUES(?1, ?2, ?3, ?4)";
        self.run(sql, params![origin, slot, why, content])?;
        let last = self.connection.last_insert_rowid();
        self.run("DELETE FROM quarantine WHERE number <= ?1", [last.saturating_sub(KEPT)])?;
        self.count_quarantined().map(drop)
    }

    /// A row of any table as it is, to be put aside.
    pub(super) fn raw_row(&mut self, sql: &str, key: i64) -> Result<Option<Vec<u8>>> {
        Ok(self.one(sql, [key], raw)?.and_then(std::result::Result::ok))
    }
}
