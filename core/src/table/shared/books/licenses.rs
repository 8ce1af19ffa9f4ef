//! The rows of pools, of holders and of accounts. What they mean is told in `license::ledger`.

use std::sync::Arc;

use rusqlite::params;

use super::pack::{Packer, Unpacker};
use super::sessions::number;
use super::{Ledger, Pages, SessionRow, signed};
use crate::clock::Millis;
use crate::error::{Error, Result};
use crate::id::SessionId;
use crate::license::books::{AuditEntry, Lingering, Orphan, Totals, UserHolder};
use crate::license::recount::holder_name;
use crate::license::redefine::Seats;
use crate::license::waiter::{Awaits, Lane, Waiter};
use crate::license::{AuditKind, AuditRecord, AuditWhy};
use crate::reason::DenyReason;
use crate::table::{Holder, PoolLevel};

/// Rows above the bound before some are deleted: many at once cost less.
const SLACK: u64 = 32;

const LEVELS: [PoolLevel; 4] = [PoolLevel::Recovered, PoolLevel::Low, PoolLevel::Exhausted, PoolLevel::Overdraft];
const HOLDER_OF_USER: &str = "SELECT connections, units, since, acquired, lingering, until, reserved, seat, last \
                              FROM holder WHERE pool = ?1 AND user = ?2";
const HOLDERS: &str = "SELECT connections, units, since, acquired, lingering, until, reserved, seat, last, user \
                       FROM holder WHERE pool = ?1 ORDER BY user";

/// In `seat`, above all seats: a lazy session took the unit of `acquired`.
const LAZILY: u8 = 128;

/// A user that is charged, of a row that begins with it.
fn holder_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<UserHolder> {
    Ok(UserHolder {
        connections: number(row, 0)?,
        units: number(row, 1)?,
        since: number(row, 2)?,
        acquired: number(row, 3)?,
        lingering: number(row, 4)?,
        until: number(row, 5)?,
        reserved: number(row, 6)?,
        seat: row.get::<_, u8>(7)? & !LAZILY,
        lazily: row.get::<_, u8>(7)? & LAZILY != 0,
        last: row.get::<_, Option<[u8; 16]>>(8)?.map_or(SessionId::NIL, SessionId),
    })
}

fn orphan_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Orphan> {
    Ok(Orphan { session: SessionId(row.get(0)?), anonymous: row.get(1)?, until: number(row, 2)? })
}

fn pack_reserved(reserved: &[u64]) -> Option<Vec<u8>> {
    if reserved.iter().all(|units| *units == 0) {
        return None;
    }
    let mut packer = Packer::default();
    packer.list(reserved.len());
    for units in reserved {
        packer.number(*units);
    }
    Some(packer.done())
}

fn position<T: PartialEq>(all: &[T], one: &T) -> i64 {
    signed(all.iter().position(|known| known == one).unwrap_or(0) as u64)
}

impl Pages<'_> {
    /// The counters of a pool; a pool without a row was never used.
    pub fn pool(&self, pool: u32) -> Result<Totals> {
        let sql = "SELECT a, b, c, d, e, f, g, h, i, j, revision, excess, mark, evicted, l, m FROM tally WHERE k = ?1";
        let totals = self.plain(sql, [pool], |row| {
            Ok(Totals {
                in_use: number(row, 0)?,
                anonymous: number(row, 1)?,
                high_water: number(row, 2)?,
                high_water_at: row.get(3)?,
                denials: number(row, 4)?,
                evicted: number(row, 13)?,
                level: LEVELS.get(row.get::<_, u32>(5)? as usize).copied().unwrap_or(PoolLevel::Recovered),
                lingering: number(row, 6)?,
                overdrawn: row.get::<_, Option<i64>>(7)?.map(i64::cast_unsigned),
                ceiling: number(row, 8)?,
                // Units that can't be read are found by the recount.
                reserved: row
                    .get_ref(9)?
                    .as_blob()
                    .ok()
                    .and_then(|bytes| Unpacker::new(bytes).all(Unpacker::number))
                    .unwrap_or_default(),
                revision: number(row, 10)?,
                excess: number(row, 11)?,
                mark: row.get::<_, Option<i64>>(12)?.map_or(u64::MAX, i64::cast_unsigned),
                waiting: number(row, 14)?,
                offered: number(row, 15)?,
            })
        })?;
        Ok(totals.unwrap_or_default())
    }

    /// What a user is charged.
    pub fn holder(&self, pool: u32, user: &str) -> Result<Option<UserHolder>> {
        self.plain(HOLDER_OF_USER, params![pool, user], holder_of)
    }

    /// All users that are charged.
    pub fn holders(&self, pool: u32) -> Result<Vec<(Arc<str>, UserHolder)>> {
        self.plains(HOLDERS, [pool], |row| Ok((row.get(9)?, holder_of(row)?)))
    }

    /// Units that outlived their sessions, those that are free first at the beginning.
    pub fn orphans(&self, pool: u32) -> Result<Vec<Orphan>> {
        self.plains(
            "SELECT session, anonymous, until FROM orphan WHERE pool = ?1 ORDER BY until, number",
            [pool],
            orphan_of,
        )
    }

    /// Whoever's lingering ends first.
    pub fn first_lingering(&self, pool: u32) -> Result<Option<(Millis, Lingering)>> {
        let user = "SELECT until, user FROM holder WHERE pool = ?1 AND lingering > 0 ORDER BY until, user LIMIT 1";
        let user = self.plain(user, [pool], |row| Ok((number(row, 0)?, Lingering::User(row.get(1)?))))?;
        let orphan = "SELECT session, anonymous, until FROM orphan WHERE pool = ?1 ORDER BY until, number LIMIT 1";
        let orphan = self.plain(orphan, [pool], orphan_of)?;
        let orphan = orphan.map(|orphan| (orphan.until, Lingering::Orphan(orphan)));
        Ok(user.into_iter().chain(orphan).min_by_key(|(until, _)| *until))
    }

    /// How many anonymous sessions a client has, where those are bounded.
    pub fn client(&self, pool: u32, client: &str) -> Result<u64> {
        let sql = "SELECT sessions FROM client WHERE pool = ?1 AND client = ?2";
        Ok(self.plain(sql, params![pool, client], |row| number(row, 0))?.unwrap_or(0))
    }

    /// The same of all clients.
    pub fn clients(&self, pool: u32) -> Result<Vec<(Arc<str>, u64)>> {
        let sql = "SELECT client, sessions FROM client WHERE pool = ?1 ORDER BY client";
        self.plains(sql, [pool], |row| Ok((row.get(0)?, number(row, 1)?)))
    }

    /// The user whose lingering ends first.
    pub fn first_to_fade(&self, pool: u32) -> Result<Option<Arc<str>>> {
        let sql = "SELECT user FROM holder WHERE pool = ?1 AND lingering > 0 ORDER BY until, user LIMIT 1";
        self.plain(sql, [pool], |row| row.get(0))
    }

    /// Users with lingering units, those first that took one longest ago.
    pub fn lingering(&self, pool: u32, skip: usize, limit: usize) -> Result<Vec<Arc<str>>> {
        let sql =
            "SELECT user FROM holder WHERE pool = ?1 AND lingering > 0 ORDER BY acquired, user LIMIT ?2 OFFSET ?3";
        self.plains(sql, params![pool, signed(limit as u64), signed(skip as u64)], |row| row.get(0))
    }

    /// Accounts of a pool after a position, of a pool that keeps `keep`.
    pub fn audit(&self, pool: u32, after: u64, limit: usize, keep: usize) -> Result<Vec<AuditRecord>> {
        let sql = "SELECT seq, at, kind, session, holder, was, now, reason, why FROM audit WHERE pool = ?1 AND seq > max(?2, \
                   (SELECT max(seq) FROM audit WHERE pool = ?1) - ?4) ORDER BY seq LIMIT ?3";
        let params = params![pool, signed(after), signed(limit as u64), signed(keep as u64)];
        let records = self.plains(sql, params, |row| {
            let Some(kind) = AuditKind::ALL.get(row.get::<_, u32>(2)? as usize).copied() else { return Ok(None) };
            let session_id = SessionId(row.get(3)?);
            let holder = row.get::<_, Option<Arc<str>>>(4)?.map_or(Holder::Session, Holder::User);
            Ok(Some(AuditRecord {
                seq: number(row, 0)?,
                at_ms: number(row, 1)?,
                wall_ms: 0,
                kind,
                session_id,
                holder: holder_name(session_id, &holder),
                before: number(row, 5)?,
                after: number(row, 6)?,
                reason: row.get::<_, Option<u32>>(7)?.and_then(DenyReason::from_code),
                why: AuditWhy::ALL.get(row.get::<_, u32>(8)? as usize).copied().unwrap_or_default(),
            }))
        })?;
        Ok(records.into_iter().flatten().collect())
    }
}

impl Pages<'_> {
    /// The number of the last record of a pool; 0 if there is none.
    pub fn last_audit(&self, pool: u32) -> Result<u64> {
        let sql = "SELECT seq FROM audit WHERE pool = ?1 ORDER BY seq DESC LIMIT 1";
        Ok(self.plain(sql, [pool], |row| number(row, 0))?.unwrap_or(0))
    }
}

impl<'a> Ledger<'a> {
    /// Keeps the counters of a pool.
    pub fn set_pool(&mut self, pool: u32, totals: &Totals) -> Result<()> {
        let sql = "INSERT OR REPLACE INTO tally(k, a, b, c, d, e, f, g, h, i, j, revision, excess, mark, evicted, l, m) \
                   VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)";
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
                signed(totals.lingering),
                totals.overdrawn.map(signed),
                signed(totals.ceiling),
                pack_reserved(&totals.reserved),
                signed(totals.revision),
                signed(totals.excess),
                Some(totals.mark).filter(|mark| *mark < u64::MAX).map(signed),
                signed(totals.evicted),
                signed(totals.waiting),
                signed(totals.offered),
            ],
        )
        .map(drop)
    }

    /// Charges a user otherwise; `None` is no longer charged.
    pub fn set_holder(&mut self, pool: u32, user: &str, holder: Option<UserHolder>) -> Result<()> {
        let Some(holder) = holder else {
            return self.run("DELETE FROM holder WHERE pool = ?1 AND user = ?2", params![pool, user]).map(drop);
        };
        let sql = "INSERT OR REPLACE INTO holder(pool, user, connections, units, since, acquired, lingering, until, \
                   reserved, seat, last) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
        let params = params![
            pool,
            user,
            signed(holder.connections),
            signed(holder.units),
            signed(holder.since),
            signed(holder.acquired),
            signed(holder.lingering),
            signed(holder.until),
            signed(holder.reserved),
            holder.seat | if holder.lazily { LAZILY } else { 0 },
            // Only needed while units linger that it left.
            (holder.connections == 0 || holder.lingering > 0).then_some(&holder.last.0[..]),
        ];
        self.run(sql, params).map(drop)
    }

    /// Counts the anonymous sessions of a client otherwise; 0 forgets it.
    pub fn set_client(&mut self, pool: u32, client: &str, sessions: u64) -> Result<()> {
        if sessions == 0 {
            return self.run("DELETE FROM client WHERE pool = ?1 AND client = ?2", params![pool, client]).map(drop);
        }
        let sql = "INSERT OR REPLACE INTO client(pool, client, sessions) VALUES(?1, ?2, ?3)";
        self.run(sql, params![pool, client, signed(sessions)]).map(drop)
    }

    /// Forgets all clients of a pool, for a recount that writes them anew.
    pub fn clear_clients(&mut self, pool: u32) -> Result<()> {
        self.run("DELETE FROM client WHERE pool = ?1", [pool]).map(drop)
    }

    /// Keeps a unit that outlives its session.
    pub fn add_orphan(&mut self, pool: u32, orphan: &Orphan) -> Result<()> {
        let sql = "INSERT INTO orphan(pool, until, session, anonymous) VALUES(?1, ?2, ?3, ?4)";
        self.run(sql, params![pool, signed(orphan.until), &orphan.session.0[..], orphan.anonymous]).map(drop)
    }

    /// Forgets one.
    pub fn remove_orphan(&mut self, pool: u32, orphan: &Orphan) -> Result<()> {
        let sql = "DELETE FROM orphan WHERE pool = ?1 AND until = ?2 AND session = ?3";
        self.run(sql, params![pool, signed(orphan.until), &orphan.session.0[..]]).map(drop)
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
        let seq = self.last_audit(pool)?.saturating_add(1);
        self.put_audit(pool, seq, entry, keep)
    }

    /// Keeps the record that follows the last.
    pub(super) fn put_audit(&mut self, pool: u32, seq: u64, entry: &AuditEntry<'_>, keep: usize) -> Result<()> {
        let sql = "INSERT INTO audit(pool, seq, at, kind, session, holder, was, now, reason, why) \
                   VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
        let holder = match entry.holder {
            Holder::Session | Holder::Taker(_) => None,
            Holder::User(user) => Some(&**user),
        };
        let params = params![
            pool,
            signed(seq),
            signed(entry.at),
            position(&AuditKind::ALL, &entry.kind),
            &entry.session.0[..],
            holder,
            signed(entry.before),
            signed(entry.after),
            entry.reason.map(DenyReason::code),
            position(&AuditWhy::ALL, &entry.why),
        ];
        self.run(sql, params)?;
        if seq.is_multiple_of(SLACK) {
            let last = signed(seq).saturating_sub(signed(keep as u64));
            self.run("DELETE FROM audit WHERE pool = ?1 AND seq <= ?2", params![pool, last])?;
        }
        Ok(())
    }

    /// A pool's books as `license::ledger` wants them, with the counters that were read; its accounts keep the last `keep`.
    pub fn account(&mut self, pool: u32, keep: usize, totals: Totals) -> PoolAccount<'_, 'a> {
        PoolAccount { ledger: self, pool, keep, totals, kept_level: None, levels: Vec::new(), called: Vec::new() }
    }
}

/// The books of one pool within a transaction.
pub(in crate::table) struct PoolAccount<'l, 'a> {
    ledger: &'l mut Ledger<'a>,
    pool: u32,
    keep: usize,
    totals: Totals,
    /// The level that stays in the books, whatever it comes to.
    kept_level: Option<PoolLevel>,
    /// Changes of the pool's level, with the units in use: to be told after the commit.
    pub levels: Vec<(PoolLevel, u64)>,
    /// The participants of those whose turn has come: to be rung after the commit.
    pub called: Vec<u32>,
}

impl PoolAccount<'_, '_> {
    /// Leaves the pool's level as it was told last: somebody else is to tell the next.
    pub fn keep_level(&mut self) {
        self.kept_level = Some(self.totals.level);
    }

    /// Keeps another number of records from now on.
    pub fn keep_records(&mut self, keep: usize) {
        self.keep = keep;
    }

    /// The session in a slot.
    pub fn session(&self, slot: u32) -> Result<Option<SessionRow>> {
        self.ledger.session(slot)
    }

    /// Where the sessions are that are charged to the pool for a user: slot and generation.
    pub fn sessions_of(&self, holder: &str) -> Result<Vec<(u32, u64)>> {
        self.ledger.charged_to(self.pool, holder)
    }
}

impl crate::license::books::Ledger for PoolAccount<'_, '_> {
    type Error = Error;

    fn totals(&mut self) -> &mut Totals {
        &mut self.totals
    }

    fn keep_totals(&mut self) -> Result<()> {
        match self.kept_level {
            Some(level) => self.ledger.set_pool(self.pool, &Totals { level, ..self.totals.clone() }),
            None => self.ledger.set_pool(self.pool, &self.totals),
        }
    }

    fn holder(&mut self, user: &Arc<str>) -> Result<Option<UserHolder>> {
        self.ledger.holder(self.pool, user)
    }

    fn set_holder(&mut self, user: &Arc<str>, holder: Option<UserHolder>) -> Result<()> {
        self.ledger.set_holder(self.pool, user, holder)
    }

    fn first_lingering(&mut self) -> Result<Option<(Millis, Lingering)>> {
        self.ledger.first_lingering(self.pool)
    }

    fn lingering(&mut self, skip: usize, limit: usize) -> Result<Vec<Arc<str>>> {
        self.ledger.lingering(self.pool, skip, limit)
    }

    fn client(&mut self, client: &str) -> Result<u64> {
        self.ledger.client(self.pool, client)
    }

    fn set_client(&mut self, client: &Arc<str>, sessions: u64) -> Result<()> {
        self.ledger.set_client(self.pool, client, sessions)
    }

    fn add_orphan(&mut self, orphan: &Orphan) -> Result<()> {
        self.ledger.add_orphan(self.pool, orphan)
    }

    fn remove_orphan(&mut self, orphan: &Orphan) -> Result<()> {
        self.ledger.remove_orphan(self.pool, orphan)
    }

    fn users(&mut self) -> Result<Vec<(Arc<str>, UserHolder)>> {
        self.ledger.holders(self.pool)
    }

    fn reseat(&mut self, seats: &Seats) -> Result<()> {
        for (user, mut holder) in self.ledger.holders(self.pool)? {
            if holder.seat != 0 {
                holder.reseat(seats);
                self.ledger.set_holder(self.pool, &user, Some(holder))?;
            }
        }
        for mut waiter in self.ledger.waiters(self.pool, 0, usize::MAX)? {
            waiter.reseat(seats);
            self.ledger.set_waiter(&waiter)?;
        }
        Ok(())
    }

    fn raise_marks(&mut self, units: u64, wall: i64) -> Result<()> {
        self.ledger.raise_marks(self.pool, units, wall)
    }

    fn add_waiter(&mut self, waiter: &Waiter) -> Result<u64> {
        self.ledger.add_waiter(self.pool, waiter)
    }

    fn waiter(&mut self, seq: u64) -> Result<Option<Waiter>> {
        self.ledger.waiter(self.pool, seq)
    }

    fn set_waiter(&mut self, waiter: &Waiter, _before: Awaits) -> Result<()> {
        self.ledger.set_waiter(waiter)
    }

    fn remove_waiter(&mut self, waiter: &Waiter) -> Result<()> {
        self.ledger.remove_waiter(waiter)
    }

    fn lanes(&mut self) -> Result<Vec<Lane>> {
        self.ledger.lanes(self.pool)
    }

    fn head(&mut self, lane: Lane) -> Result<Option<Waiter>> {
        self.ledger.head(self.pool, lane)
    }

    fn first_lapse(&mut self) -> Result<Option<(Millis, u64)>> {
        self.ledger.first_lapse(self.pool)
    }

    fn call(&mut self, waiter: &Waiter) -> Result<()> {
        self.called.push(waiter.owner.0);
        Ok(())
    }

    fn count_denial(&mut self, reason: DenyReason) -> Result<()> {
        self.ledger.add_denied(self.pool, reason, 1)
    }

    fn record(&mut self, entry: &AuditEntry<'_>) -> Result<()> {
        self.ledger.add_audit(self.pool, entry, self.keep)
    }

    fn level(&mut self, level: PoolLevel, in_use: u64) -> Result<()> {
        if self.kept_level.is_none() {
            self.levels.push((level, in_use));
        }
        Ok(())
    }
}
