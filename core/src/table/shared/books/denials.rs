//! Denials that were noted first, taken into the accounts, the pools' counters and the lifecycle log.

use std::sync::Arc;

use rusqlite::params;

use super::sessions::number;
use super::{Ledger, Pages, signed};
use crate::clock::Millis;
use crate::error::Result;
use crate::id::SessionId;
use crate::license::books::AuditEntry;
use crate::license::recount::holder_name;
use crate::license::{AuditKind, AuditRecord, AuditWhy, Denials};
use crate::reason::{DenyReason, EndReason};
use crate::session::LogEntry;
use crate::table::Holder;

/// What the log says of it.
const REFUSED: &str = "refused";

/// What a session was refused for want of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::table) struct Denied {
    /// Engine time.
    pub at: Millis,
    pub session: SessionId,
    /// The user who was to hold it, by the name in the books; `None`: the session itself.
    pub user: Option<Arc<str>>,
    pub pool: u32,
    /// The units in use then.
    pub in_use: u64,
    pub reason: DenyReason,
    /// How many records the pool keeps.
    pub keep: usize,
    /// How many commits the lifecycle log keeps.
    pub keep_log: usize,
}

/// What counts denials of a reason, in their order.
const ADD: [&str; DenyReason::ALL.len()] = [
    "INSERT INTO tally(k, a) VALUES(?1, ?2) ON CONFLICT(k) DO UPDATE SET a = a + ?2",
    "INSERT INTO tally(k, b) VALUES(?1, ?2) ON CONFLICT(k) DO UPDATE SET b = b + ?2",
    "INSERT INTO tally(k, c) VALUES(?1, ?2) ON CONFLICT(k) DO UPDATE SET c = c + ?2",
    "INSERT INTO tally(k, d) VALUES(?1, ?2) ON CONFLICT(k) DO UPDATE SET d = d + ?2",
];

/// Where the rows of pools are that have denials by why: before the rows of the store itself.
const FIRST: i64 = -1024;

/// The row of a pool's denials by why.
fn row_of(pool: u32) -> i64 {
    FIRST - i64::from(pool)
}

impl Denied {
    /// As it is in the accounts, under this number.
    pub fn record(&self, seq: u64) -> AuditRecord {
        AuditRecord {
            seq,
            at_ms: self.at,
            wall_ms: 0,
            kind: AuditKind::Denial,
            session_id: self.session,
            holder: holder_name(self.session, &self.holder()),
            before: self.in_use,
            after: self.in_use,
            reason: Some(self.reason),
            why: AuditWhy::Nothing,
        }
    }

    fn holder(&self) -> Holder {
        self.user.clone().map_or(Holder::Session, Holder::User)
    }

    /// As it is in the lifecycle log.
    pub fn entry(&self, seq: u64) -> LogEntry {
        let detail = EndReason::LicenseDenied.name().to_owned();
        LogEntry { seq, at_ms: self.at, session_id: self.session, what: REFUSED, detail }
    }
}

/// What is written of one pool.
struct Part {
    pool: u32,
    denials: Denials,
    /// The number of its last record.
    seq: u64,
}

impl Pages<'_> {
    /// Denials of a pool by why.
    pub fn denials(&self, pool: u32) -> Result<Denials> {
        let counts = self.plain("SELECT a, b, c, d FROM tally WHERE k = ?1", [row_of(pool)], |row| {
            let mut counts = Denials::default();
            for (at, reason) in DenyReason::ALL.iter().copied().enumerate() {
                counts.add(reason, number(row, at)?);
            }
            Ok(counts)
        })?;
        Ok(counts.unwrap_or_default())
    }
}

impl Ledger<'_> {
    /// Writes denials in their order: as each would have been by itself.
    pub fn add_denials(&mut self, denials: &[Denied]) -> Result<()> {
        let mut parts: Vec<Part> = Vec::new();
        for denied in denials {
            let at = match parts.iter().position(|part| part.pool == denied.pool) {
                Some(at) => at,
                None => {
                    parts.push(Part {
                        pool: denied.pool,
                        denials: Denials::default(),
                        seq: self.last_audit(denied.pool)?,
                    });
                    parts.len() - 1
                }
            };
            let part = &mut parts[at];
            part.denials.add(denied.reason, 1);
            if denied.keep > 0 {
                part.seq = part.seq.saturating_add(1);
                let entry = AuditEntry {
                    at: denied.at,
                    kind: AuditKind::Denial,
                    session: denied.session,
                    holder: &denied.holder(),
                    before: denied.in_use,
                    after: denied.in_use,
                    reason: Some(denied.reason),
                    why: AuditWhy::Nothing,
                };
                self.put_audit(denied.pool, part.seq, &entry, denied.keep)?;
            }
            self.add_log(denied.at, denied.session, REFUSED, EndReason::LicenseDenied.name(), denied.keep_log)?;
        }
        for part in parts {
            let mut all: u64 = 0;
            for (reason, denials) in part.denials.iter().filter(|(_, denials)| *denials > 0) {
                all = all.saturating_add(denials);
                self.add_denied(part.pool, reason, denials)?;
            }
            let sql = "UPDATE tally SET e = e + ?2 WHERE k = ?1";
            self.run(sql, params![part.pool, signed(all)])?;
        }
        Ok(())
    }

    /// Counts so many denials more by why; those of all together are counted with the pool's other counters.
    pub(super) fn add_denied(&mut self, pool: u32, reason: DenyReason, more: u64) -> Result<()> {
        let Some(at) = DenyReason::ALL.iter().position(|known| *known == reason) else { return Ok(()) };
        self.run(ADD[at], params![row_of(pool), signed(more)]).map(drop)
    }

    /// Pools have other numbers: each old one its new, or none.
    pub(super) fn renumber_denials(&mut self, pools: &[Option<u32>]) -> Result<()> {
        // Over numbers that nobody has, so that two may change places.
        let aside = -1_i64 << 32;
        self.run("UPDATE tally SET k = k + ?1 WHERE k <= ?2", [aside, FIRST])?;
        for (old, new) in (0..).zip(pools) {
            if let Some(new) = new {
                self.run("UPDATE tally SET k = ?2 WHERE k = ?1", [aside + row_of(old), row_of(*new)])?;
            }
        }
        self.run("DELETE FROM tally WHERE k < ?1", [aside]).map(drop)
    }

    /// Writes those that end with number `until`, unless a transaction that nobody heard of has some of them already.
    pub fn take_denials(&mut self, denials: &[Denied], until: u64) -> Result<()> {
        let missing = usize::try_from(until.saturating_sub(self.denials_written()?)).unwrap_or(usize::MAX);
        self.add_denials(&denials[denials.len().saturating_sub(missing)..])?;
        self.set_denials_written(until)
    }
}
