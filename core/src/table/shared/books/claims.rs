//! Who tells which event: claims, given out to processes that registered a class, and given out again.

use std::collections::BTreeMap;

use rusqlite::params;

use super::dead_events::EVENT_TTL;
use super::outbox::{EventRow, TOLD, class};
use super::sessions::number;
use super::{Ledger, Pages, signed};
use crate::clock::Millis;
use crate::error::Result;
use crate::event::ClassRef;

/// For so long an event is offered to the process it prefers alone.
pub(super) const PATIENCE: Millis = 2_000;

/// Tells whether that opening of a participant is alive, and not frozen.
pub(in crate::table) type Alive<'a> = &'a dyn Fn(u32, u64) -> bool;

impl Pages<'_> {
    /// Whether a participant alive registered a class.
    fn is_registered(&self, participant: u32, namespace: &str, name: &str, alive: Alive<'_>) -> Result<bool> {
        let sql = "SELECT instance FROM registration WHERE participant = ?1 AND namespace = ?2 AND name = ?3";
        let instances = self.plains(sql, params![participant, namespace, name], |row| number(row, 0))?;
        Ok(instances.into_iter().any(|instance| alive(participant, instance)))
    }
}

impl Ledger<'_> {
    /// This opening of a participant calls back for a class, or no longer.
    pub fn register_class(&mut self, participant: u32, instance: u64, class: &ClassRef, on: bool) -> Result<()> {
        let sql = if on {
            "INSERT OR IGNORE INTO registration(participant, instance, namespace, name) VALUES(?1, ?2, ?3, ?4)"
        } else {
            "DELETE FROM registration WHERE participant = ?1 AND instance = ?2 AND namespace = ?3 AND name = ?4"
        };
        let instance = instance.cast_signed();
        self.run(sql, params![participant, instance, &*class.namespace, &*class.name]).map(drop)
    }

    /// Claims at most `limit` events for a process that registered these classes, oldest first; gives out again what was
    /// claimed by processes that are gone.
    ///
    /// An event is for the process it prefers alone while that is alive, registered the class, and at most 2 s.
    pub fn outbox_take(
        &mut self,
        participant: u32,
        instance: u64,
        registered: &[ClassRef],
        limit: usize,
        now: Millis,
        alive: Alive<'_>,
    ) -> Result<Vec<EventRow>> {
        self.release_the_dead(participant, instance, alive)?;
        let mut offered = BTreeMap::<u64, Vec<u32>>::new();
        for class in registered {
            self.offer(participant, class, limit, now, alive, &mut offered)?;
        }
        let mut taken = Vec::new();
        for (event_id, positions) in offered.into_iter().take(limit) {
            taken.extend(self.claim(participant, instance, event_id, &positions)?);
        }
        Ok(taken)
    }

    /// Claims at most `limit` classes of events that waited for longer than events wait, whatever they are.
    pub fn outbox_take_old(
        &mut self,
        participant: u32,
        instance: u64,
        limit: usize,
        now: Millis,
    ) -> Result<Vec<EventRow>> {
        let Some(until) = now.checked_sub(EVENT_TTL) else { return Ok(Vec::new()) };
        let sql = "SELECT event_id, position FROM event JOIN event_class USING(event_id) \
                   WHERE at <= ?1 AND claimed_by = 0 ORDER BY event_id LIMIT ?2";
        let params = params![signed(until), signed(limit as u64)];
        let mut old = BTreeMap::<u64, Vec<u32>>::new();
        for (event_id, position) in self.plains(sql, params, |row| Ok((number(row, 0)?, row.get(1)?)))? {
            old.entry(event_id).or_default().push(position);
        }
        let mut taken = Vec::new();
        for (event_id, positions) in old {
            taken.extend(self.claim(participant, instance, event_id, &positions)?);
        }
        Ok(taken)
    }

    /// Finds the oldest classes of events that a process may claim as this class.
    fn offer(
        &self,
        participant: u32,
        class: &ClassRef,
        limit: usize,
        now: Millis,
        alive: Alive<'_>,
        offered: &mut BTreeMap<u64, Vec<u32>>,
    ) -> Result<()> {
        let (namespace, name) = (&*class.namespace, &*class.name);
        let next_sql = "SELECT prefer FROM event_class INDEXED BY event_class_free WHERE claimed_by = 0 AND namespace = ?1 \
                        AND name = ?2 AND prefer >= ?3 ORDER BY prefer LIMIT 1";
        let rows_sql = "SELECT event_id, position FROM event_class INDEXED BY event_class_free WHERE claimed_by = 0 AND \
                        namespace = ?1 AND name = ?2 AND prefer = ?3 ORDER BY event_id LIMIT ?4";
        let mut from = Some(0);
        while let Some(least) = from {
            let next = self.plain(next_sql, params![namespace, name, least], |row| row.get::<_, u32>(0))?;
            let Some(prefer) = next else { break };
            let theirs = prefer != participant && self.is_registered(prefer, namespace, name, alive)?;
            let params = params![namespace, name, prefer, signed(limit as u64)];
            for (event_id, position) in self.plains(rows_sql, params, |row| Ok((number(row, 0)?, row.get(1)?)))? {
                if theirs && !self.waited(event_id, now)? {
                    break;
                }
                offered.entry(event_id).or_default().push(position);
            }
            from = prefer.checked_add(1);
        }
        Ok(())
    }

    /// Whether an event has waited for the process it prefers for long enough.
    fn waited(&self, event_id: u64, now: Millis) -> Result<bool> {
        let at = self.plain("SELECT at FROM event WHERE event_id = ?1", [signed(event_id)], |row| number(row, 0))?;
        Ok(at.is_none_or(|at| at.saturating_add(PATIENCE) <= now))
    }

    fn claim(&mut self, participant: u32, instance: u64, event_id: u64, positions: &[u32]) -> Result<Option<EventRow>> {
        let Some(event) = self.event(event_id)? else {
            self.put_event_aside(event_id)?;
            return Ok(None);
        };
        let sql = "UPDATE event_class SET claimed_by = ?3, claimed_instance = ?4, tries = tries + 1 \
                   WHERE event_id = ?1 AND position = ?2 AND claimed_by = 0 RETURNING namespace, name, marks, tries";
        let (mut classes, mut told, mut redelivered) = (Vec::new(), Vec::new(), false);
        let mut positions = positions.to_vec();
        positions.sort_unstable();
        for position in positions {
            let params = params![signed(event_id), position, participant, instance.cast_signed()];
            let claimed = self.plain(sql, params, |row| {
                Ok((class(row, 0)?, row.get::<_, u32>(2)? & TOLD != 0, row.get::<_, i64>(3)? > 1))
            })?;
            if let Some((class, was_told, again)) = claimed {
                if was_told {
                    told.push(class.clone());
                }
                classes.push(class);
                redelivered |= again;
            }
        }
        let waited = self.is_waited(event_id)?;
        Ok((!classes.is_empty()).then_some(EventRow { event, classes, told, redelivered, waited }))
    }

    /// A process told all classes that it claimed of an event: they are never given out again. Claims that were given to
    /// another meanwhile are left to that.
    pub fn outbox_acknowledge(&mut self, event_id: u64, participant: u32, instance: u64) -> Result<()> {
        let id = signed(event_id);
        let sql = "DELETE FROM event_class WHERE event_id = ?1 AND claimed_by = ?2 AND claimed_instance = ?3";
        self.run(sql, params![id, participant, instance.cast_signed()])?;
        let sql = "DELETE FROM event WHERE event_id = ?1 AND NOT EXISTS(SELECT 1 FROM event_class WHERE event_id = ?1)";
        self.run(sql, [id]).map(drop)
    }

    /// Forgets what an opening of a participant registered, and frees what it claimed. Tells how many claims there were.
    pub fn outbox_release(&mut self, participant: u32, instance: u64) -> Result<usize> {
        let params = params![participant, instance.cast_signed()];
        self.run("DELETE FROM registration WHERE participant = ?1 AND instance = ?2", params)?;
        self.release_letters(participant, instance)?;
        let sql = "UPDATE event_class SET claimed_by = 0, claimed_instance = 0 \
                   WHERE claimed_by = ?1 AND claimed_by <> 0 AND claimed_instance = ?2";
        self.run(sql, params![participant, instance.cast_signed()])
    }

    /// Frees what processes claimed that are gone; not what this one claimed itself.
    fn release_the_dead(&mut self, me: u32, my_instance: u64, alive: Alive<'_>) -> Result<()> {
        let sql = "SELECT claimed_by, claimed_instance FROM event_class INDEXED BY event_class_claimed WHERE claimed_by <> 0 \
                   AND (claimed_by, claimed_instance) > (?1, ?2) ORDER BY claimed_by, claimed_instance LIMIT 1";
        let mut last = (0_u32, i64::MAX);
        loop {
            let next =
                self.plain(sql, params![last.0, last.1], |row| Ok((row.get::<_, u32>(0)?, row.get::<_, i64>(1)?)))?;
            let Some((participant, instance)) = next else { return Ok(()) };
            last = (participant, instance);
            let mine = participant == me && instance == my_instance.cast_signed();
            if !mine && !alive(participant, instance.cast_unsigned()) {
                self.outbox_release(participant, instance.cast_unsigned())?;
            }
        }
    }
}
