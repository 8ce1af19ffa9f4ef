//! Denials that were noted first, taken into the accounts, the pools' counters and the lifecycle log.

use rusqlite::params;

use super::{Ledger, signed};
use crate::clock::Millis;
use crate::error::Result;
use crate::id::SessionId;
use crate::license::books::AuditEntry;
use crate::license::{AuditKind, AuditWhy};
use crate::reason::{DenyReason, EndReason};
use crate::table::Holder;

/// A session that was refused for want of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::table) struct Denied {
    /// Engine time.
    pub at: Millis,
    pub session: SessionId,
    pub pool: u32,
    /// The units in use then.
    pub in_use: u64,
    pub reason: DenyReason,
    /// How many records the pool keeps.
    pub keep: usize,
    /// How many commits the lifecycle log keeps.
    pub keep_log: usize,
}

/// What is written of one pool.
struct Part {
    pool: u32,
    denials: u64,
    /// The number of its last record.
    seq: i64,
}

impl Ledger<'_> {
    /// Writes denials in their order: as each would have been by itself.
    pub fn add_denials(&mut self, denials: &[Denied]) -> Result<()> {
        let mut parts: Vec<Part> = Vec::new();
        for denied in denials {
            let at = match parts.iter().position(|part| part.pool == denied.pool) {
                Some(at) => at,
                None => {
                    parts.push(Part { pool: denied.pool, denials: 0, seq: self.last_audit(denied.pool)? });
                    parts.len() - 1
                }
            };
            let part = &mut parts[at];
            part.denials += 1;
            if denied.keep > 0 {
                part.seq = part.seq.saturating_add(1);
                let entry = AuditEntry {
                    at: denied.at,
                    kind: AuditKind::Denial,
                    session: denied.session,
                    holder: &Holder::Session,
                    before: denied.in_use,
                    after: denied.in_use,
                    reason: Some(denied.reason),
                    why: AuditWhy::Nothing,
                };
                self.put_audit(denied.pool, part.seq, &entry, denied.keep)?;
            }
            self.add_log(denied.at, denied.session, "refused", EndReason::LicenseDenied.name(), denied.keep_log)?;
        }
        for part in parts {
            let sql = "UPDATE tally SET e = e + ?2 WHERE k = ?1";
            self.run(sql, params![part.pool, signed(part.denials)])?;
        }
        Ok(())
    }

    /// Writes those that end with number `until`, unless a transaction that nobody heard of has some of them already.
    pub fn take_denials(&mut self, denials: &[Denied], until: u64) -> Result<()> {
        let missing = usize::try_from(until.saturating_sub(self.denials_written()?)).unwrap_or(usize::MAX);
        self.add_denials(&denials[denials.len().saturating_sub(missing)..])?;
        self.set_denials_written(until)
    }
}
