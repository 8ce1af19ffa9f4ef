//! The rows of pools, of holders and of accounts. What they mean is told in `license::ledger`.

use std::sync::Arc;

use rusqlite::params;

use super::sessions::number;
use super::{Ledger, Pages, signed};
use crate::error::{Error, Result};
use crate::id::SessionId;
use crate::license::ledger::{AuditEntry, Totals, UserHolder};
use crate::license::recount::holder_name;
use crate::license::{AuditKind, AuditRecord};
use crate::reason::DenyReason;
use crate::table::{Holder, PoolLevel};

/// Rows above the bound before some are deleted: many at once cost less.
const SLACK: i64 = 32;

const LEVELS: [PoolLevel; 3] = [PoolLevel::Recovered, PoolLevel::Low, PoolLevel::Exhausted];
const KINDS: [AuditKind; 4] = [AuditKind::Grant, AuditKind::Denial, AuditKind::Trade, AuditKind::Release];

fn position<T: PartialEq>(all: &[T], one: &T) -> i64 {
    signed(all.iter().position(|known| known == one).unwrap_or(0) as u64)
}

impl Pages<'_> {
    /// The counters of a pool; a pool without a row was never used.
    pub fn pool(&self, pool: u32) -> Result<Totals> {
        let sql = "SELECT a, b, c, d, e, f FROM tally WHERE k = ?1";
        let totals = self.plain(sql, [pool], |row| {
            Ok(Totals {
                in_use: number(row, 0)?,
                anonymous: number(row, 1)?,
                high_water: number(row, 2)?,
                high_water_at: row.get(3)?,
                denials: number(row, 4)?,
                level: LEVELS.get(row.get::<_, u32>(5)? as usize).copied().unwrap_or(PoolLevel::Recovered),
            })
        })?;
        Ok(totals.unwrap_or_default())
    }

    /// What a user is charged.
    pub fn holder(&self, pool: u32, user: &str) -> Result<Option<UserHolder>> {
        let sql = "SELECT connections, units, since FROM holder WHERE pool = ?1 AND user = ?2";
        self.plain(sql, params![pool, user], |row| {
            Ok(UserHolder { connections: number(row, 0)?, units: number(row, 1)?, since: number(row, 2)? })
        })
    }

    /// All users that are charged.
    pub fn holders(&self, pool: u32) -> Result<Vec<(Arc<str>, UserHolder)>> {
        let sql = "SELECT user, connections, units, since FROM holder WHERE pool = ?1 ORDER BY user";
        self.plains(sql, [pool], |row| {
            let holder = UserHolder { connections: number(row, 1)?, units: number(row, 2)?, since: number(row, 3)? };
            Ok((row.get(0)?, holder))
        })
    }

    /// Accounts of a pool after a position, of a pool that keeps `keep`.
    pub fn audit(&self, pool: u32, after: u64, limit: usize, keep: usize) -> Result<Vec<AuditRecord>> {
        let sql = "SELECT seq, at, kind, session, holder, was, now, reason FROM audit WHERE pool = ?1 AND seq > max(?2, \
                   (SELECT max(seq) FROM audit WHERE pool = ?1) - ?4) ORDER BY seq LIMIT ?3";
        let params = params![pool, signed(after), signed(limit as u64), signed(keep as u64)];
        let records = self.plains(sql, params, |row| {
            let Some(kind) = KINDS.get(row.get::<_, u32>(2)? as usize).copied() else { return Ok(None) };
            let session_id = SessionId(row.get(3)?);
            let holder = row.get::<_, Option<Arc<str>>>(4)?.map_or(Holder::Session, Holder::User);
            Ok(Some(AuditRecord {
                seq: number(row, 0)?,
                at_ms: number(row, 1)?,
                kind,
                session_id,
                holder: holder_name(session_id, &holder),
                before: number(row, 5)?,
                after: number(row, 6)?,
                reason: row.get::<_, Option<u32>>(7)?.and_then(DenyReason::from_code),
            }))
        })?;
        Ok(records.into_iter().flatten().collect())
    }
}

impl<'a> Ledger<'a> {
    /// Keeps the counters of a pool.
    pub fn set_pool(&mut self, pool: u32, totals: &Totals) -> Result<()> {
        let sql = "INSERT OR REPLACE INTO tally(k, a, b, c, d, e, f) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        self.run(
            sql,
            params![
                pool,
                signed(totals.in_use),
                signed(totals.anonymous),
                signed(totals.high_water),
                totals.high_water_at,
                signed(totals.denials),
                position(&LEVELS, &totals.level),
            ],
        )
        .map(drop)
    }

    /// Charges a user otherwise; `None` is no longer charged.
    pub fn set_holder(&mut self, pool: u32, user: &str, holder: Option<UserHolder>) -> Result<()> {
        let Some(holder) = holder else {
            return self.run("DELETE FROM holder WHERE pool = ?1 AND user = ?2", params![pool, user]).map(drop);
        };
        let sql = "INSERT OR REPLACE INTO holder(pool, user, connections, units, since) VALUES(?1, ?2, ?3, ?4, ?5)";
        let UserHolder { connections, units, since } = holder;
        self.run(sql, params![pool, user, signed(connections), signed(units), signed(since)]).map(drop)
    }

    /// Deletes all users of a pool that are charged, for a recount that writes them anew.
    pub fn clear_holders(&mut self, pool: u32) -> Result<()> {
        self.run("DELETE FROM holder WHERE pool = ?1", [pool]).map(drop)
    }

    /// Adds to the accounts of a pool, which keep the last `keep`.
    pub fn add_audit(&mut self, pool: u32, entry: &AuditEntry<'_>, keep: usize) -> Result<()> {
        if keep == 0 {
            return Ok(());
        }
        // In two steps: RETURNING makes SQLite build and drop a table of its own for one row.
        let sql = "SELECT seq FROM audit WHERE pool = ?1 ORDER BY seq DESC LIMIT 1";
        let seq = self.plain(sql, [pool], |row| row.get::<_, i64>(0))?.unwrap_or(0).saturating_add(1);
        let sql = "INSERT INTO audit(pool, seq, at, kind, session, holder, was, now, reason) \
                   VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
        let holder = match entry.holder {
            Holder::Session => None,
            Holder::User(user) => Some(&**user),
        };
        let params = params![
            pool,
            seq,
            signed(entry.at),
            position(&KINDS, &entry.kind),
            &entry.session.0[..],
            holder,
            signed(entry.before),
            signed(entry.after),
            entry.reason.map(DenyReason::code),
        ];
        self.run(sql, params)?;
        if seq % SLACK == 0 {
            let last = seq.saturating_sub(signed(keep as u64));
            self.run("DELETE FROM audit WHERE pool = ?1 AND seq <= ?2", params![pool, last])?;
        }
        Ok(())
    }

    /// A pool's books as `license::ledger` wants them; its accounts keep the last `keep`.
    pub fn account(&mut self, pool: u32, keep: usize) -> Result<PoolAccount<'_, 'a>> {
        let totals = self.pool(pool)?;
        Ok(PoolAccount { ledger: self, pool, keep, totals, levels: Vec::new() })
    }
}

/// The books of one pool within a transaction.
pub(in crate::table) struct PoolAccount<'l, 'a> {
    ledger: &'l mut Ledger<'a>,
    pool: u32,
    keep: usize,
    totals: Totals,
    /// Changes of the pool's level, with the units in use: to be told after the commit.
    pub levels: Vec<(PoolLevel, u64)>,
}

impl crate::license::ledger::Ledger for PoolAccount<'_, '_> {
    type Error = Error;

    fn totals(&mut self) -> &mut Totals {
        &mut self.totals
    }

    fn keep_totals(&mut self) -> Result<()> {
        self.ledger.set_pool(self.pool, &self.totals)
    }

    fn holder(&mut self, user: &Arc<str>) -> Result<Option<UserHolder>> {
        self.ledger.holder(self.pool, user)
    }

    fn set_holder(&mut self, user: &Arc<str>, holder: Option<UserHolder>) -> Result<()> {
        self.ledger.set_holder(self.pool, user, holder)
    }

    fn record(&mut self, entry: &AuditEntry<'_>) -> Result<()> {
        self.ledger.add_audit(self.pool, entry, self.keep)
    }

    fn level(&mut self, level: PoolLevel, in_use: u64) -> Result<()> {
        self.levels.push((level, in_use));
        Ok(())
    }
}
