//! The rows of those who wait for units.

use std::cmp::Reverse;

use rusqlite::params;

use super::sessions::number;
use super::{Ledger, Pages, signed};
use crate::clock::Millis;
use crate::error::Result;
use crate::id::SessionId;
use crate::license::waiter::{Awaits, Lane, Offer, Turn, Waiter};
use crate::reason::LicenseClass;
use crate::table::{Charge, Holder};

const COLUMNS: &str = "seq, pool, priority, lane, state, session, user, class, since, deadline, offered, reserved, until, participant, instance, gives, count";

fn waiter_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Waiter> {
    let offer = Offer { units: number(row, 10)?, reserved: number(row, 11)?, until: number(row, 12)? };
    let class = row.get::<_, u32>(7)?;
    Ok(Waiter {
        turn: Turn { priority: Reverse(row.get(2)?), seq: number(row, 0)? },
        lane: Lane(row.get(3)?),
        session: SessionId(row.get(5)?),
        charge: Charge {
            client: None,
            pool: row.get(1)?,
            class: LicenseClass::from_code(class).unwrap_or(LicenseClass::Named),
            holder: row.get::<_, Option<_>>(6)?.map_or(Holder::Session, Holder::of),
        },
        since: number(row, 8)?,
        deadline: number(row, 9)?,
        gives: number(row, 15)?,
        count: number(row, 16)?,
        awaits: match row.get(4)? {
            0 => Awaits::Turn,
            1 => Awaits::Claim(offer),
            _ => Awaits::Nothing,
        },
        owner: (row.get(13)?, number(row, 14)?),
    })
}

fn state(awaits: Awaits) -> (u32, Offer) {
    match awaits {
        Awaits::Turn => (0, Offer::default()),
        Awaits::Claim(offer) => (1, offer),
        Awaits::Nothing => (2, Offer::default()),
    }
}

impl Pages<'_> {
    /// One who waits for a pool.
    pub fn waiter(&self, pool: u32, seq: u64) -> Result<Option<Waiter>> {
        let sql = format!("SELECT {COLUMNS} FROM waiter WHERE seq = ?1 AND pool = ?2");
        self.plain(&sql, params![signed(seq), pool], waiter_of)
    }

    /// The lanes in which somebody awaits a turn.
    pub fn lanes(&self, pool: u32) -> Result<Vec<Lane>> {
        let sql = "SELECT lane FROM waiter WHERE pool = ?1 AND state = 0 AND lane > ?2 ORDER BY lane LIMIT 1";
        let mut lanes: Vec<Lane> = Vec::new();
        while let Some(lane) = {
            let last = lanes.last().map_or(-1, |lane| i32::from(lane.0));
            self.plain(sql, params![pool, last], |row| row.get(0))?
        } {
            lanes.push(Lane(lane));
        }
        Ok(lanes)
    }

    /// Whose turn is first of those who await one in a lane.
    pub fn head(&self, pool: u32, lane: Lane) -> Result<Option<Waiter>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM waiter WHERE pool = ?1 AND lane = ?2 AND state = 0 ORDER BY priority DESC, seq LIMIT 1"
        );
        self.plain(&sql, params![pool, lane.0], waiter_of)
    }

    /// When the first units that were set aside are free for others, with the number of the place.
    pub fn first_lapse(&self, pool: u32) -> Result<Option<(Millis, u64)>> {
        let sql = "SELECT until, seq FROM waiter WHERE pool = ?1 AND state = 1 ORDER BY until, seq LIMIT 1";
        self.plain(sql, [pool], |row| Ok((number(row, 0)?, number(row, 1)?)))
    }

    /// How many come first, plus one.
    pub fn position(&self, pool: u32, seq: u64) -> Result<Option<u64>> {
        let Some(waiter) = self.waiter(pool, seq)? else { return Ok(None) };
        let sql = "SELECT (SELECT count(*) FROM waiter WHERE pool = ?1 AND priority > ?2) \
                   + (SELECT count(*) FROM waiter WHERE pool = ?1 AND priority = ?2 AND seq <= ?3)";
        self.plain(sql, params![pool, waiter.turn.priority.0, signed(seq)], |row| number(row, 0))
    }

    /// Those who wait, in the order of their turns.
    pub fn waiters(&self, pool: u32, skip: usize, limit: usize) -> Result<Vec<Waiter>> {
        let sql =
            format!("SELECT {COLUMNS} FROM waiter WHERE pool = ?1 ORDER BY priority DESC, seq LIMIT ?2 OFFSET ?3");
        self.plains(&sql, params![pool, signed(limit as u64), signed(skip as u64)], waiter_of)
    }

    /// The places of a participant whose turn has come, or has come and gone unnoticed, with their pools.
    pub fn called(&self, owner: (u32, u64)) -> Result<Vec<(u32, u64)>> {
        let sql = "SELECT pool, seq FROM waiter WHERE participant = ?1 AND instance = ?2 AND state > 0";
        self.plains(sql, params![owner.0, signed(owner.1)], |row| Ok((row.get(0)?, number(row, 1)?)))
    }

    /// The places of those who wait for a session, with their pools.
    pub fn places_of_session(&self, session: SessionId) -> Result<Vec<(u32, u64)>> {
        let sql = "SELECT pool, seq FROM waiter WHERE session = ?1 ORDER BY pool, seq";
        self.plains(sql, [&session.0[..]], |row| Ok((row.get(0)?, number(row, 1)?)))
    }

    /// All places of a participant, with their pools; those of all if none is named.
    pub fn places_of(&self, participant: Option<u32>) -> Result<Vec<(u32, u64)>> {
        let sql = "SELECT pool, seq FROM waiter WHERE participant = ifnull(?1, participant) ORDER BY pool, seq";
        self.plains(sql, [participant], |row| Ok((row.get(0)?, number(row, 1)?)))
    }
}

impl Ledger<'_> {
    /// Keeps one who waits; tells the number of the place.
    pub fn add_waiter(&mut self, pool: u32, waiter: &Waiter) -> Result<u64> {
        let sql = format!(
            "INSERT INTO waiter({COLUMNS}) VALUES(NULL, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)"
        );
        let (state, offer) = state(waiter.awaits);
        let params = params![
            pool,
            waiter.turn.priority.0,
            waiter.lane.0,
            state,
            &waiter.session.0[..],
            waiter.charge.holder.booked().map(|user| &**user),
            waiter.charge.class.code(),
            signed(waiter.since),
            signed(waiter.deadline),
            signed(offer.units),
            signed(offer.reserved),
            signed(offer.until),
            waiter.owner.0,
            signed(waiter.owner.1),
            signed(waiter.gives),
            signed(waiter.count),
        ];
        self.run(&sql, params)?;
        // Numbers are never given twice: who still has an old one does not find another's place.
        Ok(self.plain("SELECT last_insert_rowid()", [], |row| number(row, 0))?.unwrap_or(0))
    }

    /// Keeps what a waiter awaits now.
    pub fn set_waiter(&mut self, waiter: &Waiter) -> Result<()> {
        let (state, offer) = state(waiter.awaits);
        let sql = "UPDATE waiter SET state = ?2, offered = ?3, reserved = ?4, until = ?5, lane = ?6, gives = ?7 WHERE seq = ?1";
        let (units, reserved, until) = (signed(offer.units), signed(offer.reserved), signed(offer.until));
        let (seq, gives) = (signed(waiter.turn.seq), signed(waiter.gives));
        self.run(sql, params![seq, state, units, reserved, until, waiter.lane.0, gives]).map(drop)
    }

    /// Forgets one who waited.
    pub fn remove_waiter(&mut self, waiter: &Waiter) -> Result<()> {
        self.run("DELETE FROM waiter WHERE seq = ?1", [signed(waiter.turn.seq)]).map(drop)
    }
}
