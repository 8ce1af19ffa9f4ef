//! What became of callbacks: failures, for who asks about a session, and outcomes, for who waits for an end's callbacks.

use rusqlite::params;

use super::sessions::number;
use super::{Ledger, Pages, signed};
use crate::error::Result;
use crate::event::{CallbackFailure, CallbackOutcome, ClassRef};
use crate::id::SessionId;
use crate::reason::EventKind;

/// Failures that are remembered.
const MAX_FAILURES: i64 = 1024;
/// Ends whose outcomes are remembered: the last ones.
const MAX_OUTCOMES: i64 = 4096;

impl Pages<'_> {
    /// The recent failures of a session's callbacks, oldest first.
    pub fn failures(&self, session: SessionId) -> Result<Vec<CallbackFailure>> {
        let sql = "SELECT namespace, name, kind, text, at FROM failure WHERE session = ?1 ORDER BY seq";
        let found = self.plains(sql, [&session.0[..]], |row| {
            let class = ClassRef { namespace: row.get(0)?, name: row.get(1)?, required: false };
            let kind = EventKind::from_code(row.get(2)?);
            let (text, at_ms) = (row.get(3)?, number(row, 4)?);
            Ok(kind.map(|kind| CallbackFailure { class, kind, text, at_ms }))
        })?;
        Ok(found.into_iter().flatten().collect())
    }

    /// How the callbacks of an end went, as far as it was waited for.
    pub fn outcomes(&self, event_id: u64) -> Result<Vec<CallbackOutcome>> {
        let sql = "SELECT namespace, name, kind, text FROM outcome WHERE event_id = ?1 ORDER BY seq";
        let found = self.plains(sql, [signed(event_id)], |row| {
            let class = ClassRef { namespace: row.get(0)?, name: row.get(1)?, required: false };
            let kind = EventKind::from_code(row.get(2)?);
            let outcome = row.get(3)?;
            Ok(kind.map(|kind| CallbackOutcome { class, kind, outcome }))
        })?;
        Ok(found.into_iter().flatten().collect())
    }
}

impl Ledger<'_> {
    /// Remembers a failure of a callback.
    pub fn add_failure(&mut self, session: SessionId, failure: &CallbackFailure) -> Result<()> {
        self.run("UPDATE tally SET e = e + 1 WHERE k = -2", [])?;
        let seq = self.plain("SELECT e FROM tally WHERE k = -2", [], |row| row.get::<_, i64>(0))?.unwrap_or(0);
        let CallbackFailure { class, kind, text, at_ms } = failure;
        self.run(
            "INSERT OR REPLACE INTO failure(seq, session, namespace, name, kind, text, at) \
             VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![seq, &session.0[..], &*class.namespace, &*class.name, kind.code(), text, signed(*at_ms)],
        )?;
        self.run("DELETE FROM failure WHERE seq <= ?1", [seq.saturating_sub(MAX_FAILURES)]).map(drop)
    }

    /// Remembers how callbacks of an end went; several processes may have told their classes of it.
    pub fn add_outcomes(&mut self, event_id: u64, outcomes: &[CallbackOutcome]) -> Result<()> {
        let sql = "INSERT INTO outcome(event_id, seq, namespace, name, kind, text) \
                   SELECT ?1, ifnull(max(seq), 0) + 1, ?2, ?3, ?4, ?5 FROM outcome WHERE event_id = ?1";
        for CallbackOutcome { class, kind, outcome } in outcomes {
            let (namespace, name) = (&*class.namespace, &*class.name);
            self.run(sql, params![signed(event_id), namespace, name, kind.code(), outcome])?;
        }
        self.run("DELETE FROM outcome WHERE event_id <= ?1", [signed(event_id).saturating_sub(MAX_OUTCOMES)]).map(drop)
    }
}
