//! The lifecycle log: a ring of commits in their order.

use rusqlite::params;

use super::sessions::number;
use super::{Ledger, Pages, signed};
use crate::clock::Millis;
use crate::error::{Error, ErrorKind, Result};
use crate::id::SessionId;
use crate::session::LogEntry;

/// What may happen; their position is their number.
const WHATS: [&str; 10] = [
    "created",
    "ended",
    "extended",
    "rotated",
    "login",
    "logout",
    "application",
    "refused",
    "replaced_token_used",
    "pool_changed",
];
/// Rows above the bound before some are deleted: many at once cost less.
const SLACK: i64 = 32;

impl Pages<'_> {
    /// The commits after a position, of a log that keeps `keep`.
    pub fn log(&self, after: u64, limit: usize, keep: usize) -> Result<Vec<LogEntry>> {
        let sql = "SELECT seq, at, session, what, detail FROM log \
                   WHERE seq > max(?1, (SELECT max(seq) FROM log) - ?3) ORDER BY seq LIMIT ?2";
        let params = params![signed(after), signed(limit as u64), signed(keep as u64)];
        let entries = self.plains(sql, params, |row| {
            let Some(what) = WHATS.get(row.get::<_, u32>(3)? as usize).copied() else { return Ok(None) };
            let session_id = SessionId(row.get(2)?);
            Ok(Some(LogEntry { seq: number(row, 0)?, at_ms: number(row, 1)?, session_id, what, detail: row.get(4)? }))
        })?;
        Ok(entries.into_iter().flatten().collect())
    }
}

impl Pages<'_> {
    /// The number of the last commit; 0 if there is none.
    pub fn last_log(&self) -> Result<u64> {
        let sql = "SELECT seq FROM log ORDER BY seq DESC LIMIT 1";
        Ok(self.plain(sql, [], |row| number(row, 0))?.unwrap_or(0))
    }
}

impl Ledger<'_> {
    /// Adds to the log, which keeps the last `keep`.
    pub fn add_log(&mut self, at: Millis, session: SessionId, what: &str, detail: &str, keep: usize) -> Result<()> {
        if keep == 0 {
            return Ok(());
        }
        let Some(number) = WHATS.iter().position(|known| *known == what) else {
            return Err(Error::new(ErrorKind::Internal, format!("'{what}' is nothing that the lifecycle log knows")));
        };
        self.run(
            "INSERT INTO log(at, session, what, detail) VALUES(?1, ?2, ?3, ?4)",
            params![signed(at), &session.0[..], signed(number as u64), detail],
        )?;
        let seq = self.connection.last_insert_rowid();
        if seq % SLACK == 0 {
            self.run("DELETE FROM log WHERE seq <= ?1", [seq.saturating_sub(signed(keep as u64))])?;
        }
        Ok(())
    }
}
