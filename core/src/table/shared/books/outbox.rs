//! What is to be told of ends: events with the classes they are for, claimed by processes that registered these.
//!
//! An event's classes may be claimed by different processes. A claim belongs to one opening of one participant and stands
//! until it is acknowledged or its owner is gone; then it is given out again.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::{Row, params};

use super::meta::Counter;
use super::pack::{Packer, Unpacker};
use super::rows::{DataRow, pack_classes, pack_data, unpack_classes, unpack_data};
use super::seal::SealKey;
use super::sessions::number;
use super::{Ledger, Pages, Read, Unread, signed};
use crate::clock::Millis;
use crate::error::Result;
use crate::event::ClassRef;
use crate::id::SessionId;
use crate::reason::{EndLevel, EndReason, ThreadKind};

/// For so long an event is offered to the process it prefers alone.
const PATIENCE: Millis = 2_000;
/// For so long an event is kept that nobody takes: 24 hours.
const EVENT_TTL: Millis = 86_400_000;
/// Dead events kept at most: the newest.
const DEAD_EVENTS: u64 = 10_000;

const SELECT: &str = "SELECT event_id, session, place, application, user, reason, level, thread, at, wall, data, sum FROM \
                      event WHERE event_id = ?1";

const REQUIRED: u32 = 1;
const TOLD: u32 = 2;

/// What is told of one end.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::table) struct NewEvent {
    /// From [`Ledger::next_event`]; the same in every delivery.
    pub event_id: u64,
    pub session: SessionId,
    /// Where it lay.
    pub place: u64,
    /// The application's number.
    pub application: u32,
    pub user: Option<Arc<str>>,
    pub reason: EndReason,
    pub level: EndLevel,
    pub thread: ThreadKind,
    /// Engine time.
    pub at: Millis,
    /// Wall time.
    pub wall: i64,
    /// Its data; `None` if they can't be read.
    pub data: Option<Vec<DataRow>>,
}

/// An event with those of its classes that one process claimed.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::table) struct EventRow {
    pub event: NewEvent,
    /// First called first.
    pub classes: Vec<ClassRef>,
    /// Those of them that were told at the asking point already.
    pub told: Vec<ClassRef>,
    /// Whether any of them was taken before.
    pub redelivered: bool,
}

/// An event that nobody took within its time.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::table) struct DeadEvent {
    pub event_id: u64,
    pub session: SessionId,
    pub application: u32,
    pub user: Option<Arc<str>>,
    pub reason: EndReason,
    pub at: Millis,
    pub wall: i64,
    pub classes: Vec<ClassRef>,
}

/// Tells whether that opening of a participant is alive, and not frozen.
pub(in crate::table) type Alive<'a> = &'a dyn Fn(u32, u64) -> bool;

fn seal(event: &NewEvent, data: Option<&[u8]>, key: SealKey) -> i64 {
    key.over(5)
        .number(event.event_id)
        .bytes(&event.session.0)
        .signed(signed(event.place))
        .number(u64::from(event.application))
        .maybe(event.user.as_ref().map(|user| user.as_bytes()))
        .number(u64::from(event.reason.code()))
        .number(u64::from(event.level.code()))
        .number(u64::from(event.thread.code()))
        .signed(signed(event.at))
        .signed(event.wall)
        .maybe(data)
        .done()
}

fn read(row: &Row<'_>, key: SealKey) -> Read<NewEvent> {
    let session = row.get_ref(1)?.as_blob().ok().and_then(|bytes| bytes.try_into().ok()).ok_or(Unread::Bad)?;
    let packed = row.get_ref(10)?.as_blob_or_null().map_err(|_| Unread::Bad)?;
    let event = NewEvent {
        event_id: number(row, 0)?,
        session: SessionId(session),
        place: number(row, 2)?,
        application: row.get(3)?,
        user: row.get_ref(4)?.as_str_or_null().map_err(|_| Unread::Bad)?.map(Arc::from),
        reason: EndReason::from_code(row.get(5)?).ok_or(Unread::Bad)?,
        level: EndLevel::from_code(row.get(6)?).ok_or(Unread::Bad)?,
        thread: ThreadKind::from_code(row.get(7)?).ok_or(Unread::Bad)?,
        at: number(row, 8)?,
        wall: row.get(9)?,
        data: match packed {
            Some(bytes) => Some(unpack_data(bytes).ok_or(Unread::Bad)?),
            None => None,
        },
    };
    let sum: i64 = row.get(11)?;
    if seal(&event, packed, key) == sum { Ok(event) } else { Err(Unread::Bad) }
}

impl Pages<'_> {
    /// Events not acknowledged by all: counts them all.
    pub fn outbox_count(&self) -> Result<u64> {
        Ok(self.plain("SELECT count(*) FROM event", [], |row| number(row, 0))?.unwrap_or(0))
    }

    /// Who claimed classes of an event: participant and class, in their order.
    pub fn outbox_claims(&self, event_id: u64) -> Result<Vec<(u32, ClassRef)>> {
        let sql = "SELECT claimed_by, namespace, name, marks FROM event_class WHERE event_id = ?1 ORDER BY position";
        self.plains(sql, [signed(event_id)], |row| Ok((row.get(0)?, class(row, 1)?)))
    }

    /// Events that nobody took, after a position.
    pub fn dead_events(&self, after: u64, limit: usize) -> Result<Vec<DeadEvent>> {
        let sql = "SELECT event_id, session, application, user, reason, at, wall, classes FROM dead_event \
                   WHERE event_id > ?1 ORDER BY event_id LIMIT ?2";
        let rows = self.all(sql, params![signed(after), signed(limit as u64)], |row| {
            let classes = row.get_ref(7)?.as_blob().ok().and_then(|bytes| unpack_classes(&mut Unpacker::new(bytes)));
            Ok(DeadEvent {
                event_id: number(row, 0)?,
                session: SessionId(row.get(1)?),
                application: row.get(2)?,
                user: row.get(3)?,
                reason: EndReason::from_code(row.get(4)?).ok_or(Unread::Bad)?,
                at: number(row, 5)?,
                wall: row.get(6)?,
                classes: classes.ok_or(Unread::Bad)?,
            })
        })?;
        Ok(rows.into_iter().filter_map(std::result::Result::ok).collect())
    }

    /// Whether a participant alive registered a class.
    fn is_registered(&self, participant: u32, namespace: &str, name: &str, alive: Alive<'_>) -> Result<bool> {
        let sql = "SELECT instance FROM registration WHERE participant = ?1 AND namespace = ?2 AND name = ?3";
        let instances = self.plains(sql, params![participant, namespace, name], |row| number(row, 0))?;
        Ok(instances.into_iter().any(|instance| alive(participant, instance)))
    }
}

/// A class from three columns: namespace, name, marks.
fn class(row: &Row<'_>, first: usize) -> rusqlite::Result<ClassRef> {
    let marks: u32 = row.get(first + 2)?;
    Ok(ClassRef { namespace: row.get(first)?, name: row.get(first + 1)?, required: marks & REQUIRED != 0 })
}

impl Ledger<'_> {
    /// Keeps an event for its classes, first called first; `told` are those of them that were told at the asking point. It is
    /// offered to participant `prefer` first. One without classes is not kept.
    pub fn outbox_add(&mut self, event: &NewEvent, classes: &[ClassRef], told: &[ClassRef], prefer: u32) -> Result<()> {
        if classes.is_empty() {
            return Ok(());
        }
        let data = event.data.as_deref().map(pack_data);
        let sum = seal(event, data.as_deref(), self.key);
        self.run(
            "INSERT INTO event(event_id, session, place, application, user, reason, level, thread, at, wall, data, sum) \
             VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            params![
                signed(event.event_id),
                &event.session.0[..],
                signed(event.place),
                event.application,
                event.user.as_deref(),
                event.reason.code(),
                event.level.code(),
                event.thread.code(),
                signed(event.at),
                event.wall,
                data,
                sum,
            ],
        )?;
        let sql = "INSERT INTO event_class(event_id, position, namespace, name, marks, prefer) VALUES(?1, ?2, ?3, ?4, ?5, ?6)";
        for (position, class) in classes.iter().enumerate() {
            let was_told = told.iter().any(|told| told.same(&class.namespace, &class.name));
            let marks = if class.required { REQUIRED } else { 0 } | if was_told { TOLD } else { 0 };
            let (id, position) = (signed(event.event_id), signed(position as u64));
            self.run(sql, params![id, position, &*class.namespace, &*class.name, marks, prefer])?;
        }
        Ok(())
    }

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
        let key = self.key;
        let event = match self.one(SELECT, [signed(event_id)], |row| read(row, key))? {
            Some(Ok(event)) => event,
            _ => {
                self.put_event_aside(event_id)?;
                return Ok(None);
            }
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
        Ok((!classes.is_empty()).then_some(EventRow { event, classes, told, redelivered }))
    }

    /// Puts an event aside that can't be read.
    fn put_event_aside(&mut self, event_id: u64) -> Result<()> {
        let key = signed(event_id);
        if let Some(content) = self.raw_row("SELECT * FROM event WHERE event_id = ?1", key)? {
            self.keep_aside("event", None, "an event that can't be read", &content)?;
        }
        self.run("DELETE FROM event_class WHERE event_id = ?1", [key])?;
        self.run("DELETE FROM event WHERE event_id = ?1", [key]).map(drop)
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

    /// Moves events aside that nobody took for 24 hours, looking at the oldest `limit`; tells how many.
    pub fn outbox_expire(&mut self, now: Millis, limit: usize) -> Result<usize> {
        let sql = "SELECT event_id FROM event WHERE at <= ?1 AND NOT EXISTS(SELECT 1 FROM event_class \
                   WHERE event_class.event_id = event.event_id AND claimed_by <> 0) ORDER BY event_id LIMIT ?2";
        let params = params![signed(now.saturating_sub(EVENT_TTL)), signed(limit as u64)];
        let old = if now < EVENT_TTL { Vec::new() } else { self.plains(sql, params, |row| number(row, 0))? };
        for event_id in &old {
            self.bury_event(*event_id)?;
        }
        Ok(old.len())
    }

    /// Gives an event's application another number.
    pub(super) fn move_event(&mut self, event_id: u64, application: u32) -> Result<()> {
        let key = self.key;
        match self.one(SELECT, [signed(event_id)], |row| read(row, key))? {
            Some(Ok(mut event)) => {
                event.application = application;
                let data = event.data.as_deref().map(pack_data);
                let sum = seal(&event, data.as_deref(), key);
                let sql = "UPDATE event SET application = ?2, sum = ?3 WHERE event_id = ?1";
                self.run(sql, params![signed(event_id), application, sum]).map(drop)
            }
            _ => self.put_event_aside(event_id),
        }
    }

    /// Moves an event to the dead ones.
    pub(super) fn bury_event(&mut self, event_id: u64) -> Result<()> {
        let id = signed(event_id);
        let sql = "SELECT namespace, name, marks FROM event_class WHERE event_id = ?1 ORDER BY position";
        let classes = self.plains(sql, [id], |row| class(row, 0))?;
        let mut packer = Packer::default();
        pack_classes(&mut packer, &classes);
        self.run(
            "INSERT OR REPLACE INTO dead_event(event_id, session, application, user, reason, at, wall, classes) \
             SELECT event_id, session, application, user, reason, at, wall, ?2 FROM event WHERE event_id = ?1",
            params![id, packer.done()],
        )?;
        self.run("DELETE FROM event_class WHERE event_id = ?1", [id])?;
        self.run("DELETE FROM event WHERE event_id = ?1", [id])?;
        let buried = self.count_up(Counter::DeadEvents)?;
        if buried > DEAD_EVENTS {
            let sql = "DELETE FROM dead_event WHERE event_id = (SELECT min(event_id) FROM dead_event) \
                       AND (SELECT count(*) FROM dead_event) > ?1";
            self.run(sql, [signed(DEAD_EVENTS)])?;
        }
        Ok(())
    }
}
