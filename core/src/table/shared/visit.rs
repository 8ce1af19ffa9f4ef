//! Finding a session and holding it: the slot's lock, what a dead owner left behind, the books when the slot does not know.

use std::sync::atomic::Ordering::{AcqRel, Relaxed, Release};
use std::time::Instant;

use super::SharedTable;
use super::books::SessionRow;
use super::layout::{SharedSlot, flags};
use super::patience::{Less, patience};
use crate::clock::Millis;
use crate::deadline;
use crate::error::{ErrorKind, Result};
use crate::reason::{EndReason, LazyUntil, LicenseClass, ThreadKind};
use crate::table::slot::{ASK, FREE, IN_FLIGHT, Place, Slot, State};
use crate::table::*;

/// A slot whose lock this thread holds.
pub(super) struct Held<'a> {
    pub table: &'a SharedTable,
    pub index: u32,
    pub slot: &'a SharedSlot,
    /// Somebody may go on when the lock is free.
    freed: bool,
    /// The lock is another's: what is seen may be in the middle of a change, and nothing is changed.
    peeks: bool,
}

impl std::ops::Deref for Held<'_> {
    type Target = Slot;

    fn deref(&self) -> &Slot {
        &self.slot.hot
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if self.peeks {
            return;
        }
        let watched = self.freed && self.waiters() > 0;
        if watched {
            self.slot.tail.flags.fetch_and(flags::WAITER - 1, Relaxed);
            self.slot.tail.freed.fetch_add(1, AcqRel);
        }
        self.slot.tail.lock.unlock();
        if watched {
            self.table.wake_waiters(self.index);
        }
    }
}

impl<'a> Held<'a> {
    /// The lock is had already.
    pub fn new(table: &'a SharedTable, index: u32, slot: &'a SharedSlot) -> Self {
        Self { table, index, slot, freed: false, peeks: false }
    }

    /// To look at a slot that another process holds and does not go on.
    pub fn peek(table: &'a SharedTable, index: u32, slot: &'a SharedSlot) -> Self {
        Self { table, index, slot, freed: false, peeks: true }
    }

    /// Whether the lock is another's.
    pub fn peeks(&self) -> bool {
        self.peeks
    }

    /// The session that lies here.
    pub fn place(&self) -> Place {
        Place { index: self.index, generation: self.state().generation() }
    }

    /// What is random of its id.
    pub fn random(&self) -> [u8; 10] {
        let tail = &self.slot.tail;
        let mut random = [0; 10];
        random[..8].copy_from_slice(&tail.random.load(Relaxed).to_le_bytes());
        random[8..].copy_from_slice(&tail.random_rest.load(Relaxed).to_le_bytes()[..2]);
        random
    }

    pub fn set_random(&self, random: [u8; 10]) {
        let (mut first, mut rest) = ([0; 8], [0; 4]);
        first.copy_from_slice(&random[..8]);
        rest[..2].copy_from_slice(&random[8..]);
        self.slot.tail.random.store(u64::from_le_bytes(first), Relaxed);
        self.slot.tail.random_rest.store(u32::from_le_bytes(rest), Relaxed);
    }

    pub fn id(&self) -> SessionId {
        self.table.keys.id(self.place(), self.random())
    }

    pub fn session(&self) -> SessionRef {
        SessionRef { id: self.id(), place: self.place().locator() }
    }

    pub fn has(&self, flag: u32) -> bool {
        self.slot.tail.flags.load(Relaxed) & flag != 0
    }

    /// Sets or clears a flag; tells whether it was set.
    pub fn mark(&self, flag: u32, on: bool) -> bool {
        let flags = &self.slot.tail.flags;
        let before = flags.load(Relaxed);
        flags.store(if on { before | flag } else { before & !flag }, Relaxed);
        before & flag != 0
    }

    /// How many wait for the session's lock, in all processes.
    pub fn waiters(&self) -> u32 {
        self.slot.tail.flags.load(Relaxed) / flags::WAITER
    }

    /// Whoever waits for the session's lock is woken when this is dropped.
    pub fn free_lock(&mut self) {
        self.freed = true;
    }

    /// Whether a session lies here that is live or unknown.
    pub fn taken(&self) -> bool {
        self.state().deadline() != FREE
    }
}

/// A held session that is live and not overdue.
pub(super) struct Visit<'a> {
    pub session: SessionRef,
    pub held: Held<'a>,
    /// Opened by an older token within its grace.
    pub replaced: bool,
}

/// What became of a look.
pub(super) enum Look<'a> {
    Live(Visit<'a>),
    /// To be ended now, by whoever has the writer's word.
    Due(Visit<'a>, EndReason, Option<Millis>),
    Absent,
    Gone(EndReason),
}

/// How a session is charged, as its slot tells it: 0, or 2 × (pool + 1) + anonymous.
pub(super) fn charged(charge: Option<&Charge>) -> u32 {
    charge.map_or(0, |charge| (charge.pool + 1) << 1 | u32::from(charge.class == LicenseClass::Anonymous))
}

/// How a session is looked for.
#[derive(Clone, Copy)]
pub(super) enum Name<'a> {
    Session(SessionRef),
    Token(&'a Token),
}

/// Goes on with what came out well, or answers for what failed.
macro_rules! ok {
    ($result:expr) => {
        match $result {
            Ok(value) => value,
            Err(error) => return Found::Failed(error),
        }
    };
}
pub(super) use ok;

/// Goes on with a live session, or answers for one that is not.
macro_rules! live {
    ($found:expr) => {
        match $found {
            Found::Live(live) => live,
            Found::Absent => return Found::Absent,
            Found::Gone(reason) => return Found::Gone(reason),
            Found::Failed(error) => return Found::Failed(error),
        }
    };
}
pub(super) use live;

impl SharedTable {
    /// Holds a slot, whatever lies in it; a slot that a dead process held, or that does not know, is mended from the books.
    ///
    /// # Errors
    /// `unavailable`: somebody has held it for as long as this thread has patience.
    pub(super) fn hold(&self, index: u32) -> Result<Option<Held<'_>>> {
        let Some(slot) = self.map.slot(index) else { return Ok(None) };
        let lock = &slot.tail.lock;
        let (mut since, most) = (None, patience());
        let mut goes_on = || since.get_or_insert_with(Instant::now).elapsed() < most;
        let Some(recovered) = lock.lock_while(self.me, &|number| self.processes.alive(number), &mut goes_on) else {
            return Err(self.held_up("the session", lock.owner(), most));
        };
        let mut held = Held::new(self, index, slot);
        if recovered || held.state().deadline() == ASK {
            // Until it is mended the slot says so, also to a thread that does not take the lock.
            if held.taken() || recovered {
                held.publish(held.state().with(ASK));
            }
            let row = self.books.glance(|pages| pages.session(index))?;
            self.mend(&held, row);
            // A lock that went with its process is free, and nobody else tells.
            held.free_lock();
        }
        Ok(Some(held))
    }

    /// Makes a held slot say what the books say.
    pub(super) fn mend(&self, held: &Held<'_>, row: Option<SessionRow>) {
        let before = held.state();
        match row {
            Some(mut row) => {
                let deadline = self.learn(held, &mut row);
                self.relink(held.index, Place { index: held.index, generation: row.generation }.locator());
                self.fill(held, &row);
                let deadline = if self.is_active(held) { IN_FLIGHT } else { deadline };
                held.publish(State::new(row.generation, deadline));
                held.file(None);
                let now = self.clock.now();
                self.refile(now, held);
            }
            None if before.deadline() == FREE => {}
            None => {
                // The end, or the creation that never was, of a process that died: what it left goes.
                self.relink(held.index, 0);
                held.slot.tail.first.store(0, Relaxed);
                held.publish(State::new(before.generation() + 1, FREE));
                held.slot.tail.freed.fetch_add(1, AcqRel);
                self.adopt_slot(held);
            }
        }
    }

    /// Has a row know what its session's slot knows better, as the books lag behind the uses; tells the idle deadline.
    pub(super) fn learn(&self, held: &Held<'_>, row: &mut SessionRow) -> Millis {
        let state = held.state();
        if state.generation() != row.generation || state.deadline() == FREE {
            return row.saved;
        }
        row.had_request |= held.has(flags::HAD_REQUEST);
        row.used = row.used.max(held.used.ms());
        match state.deadline() {
            // Where it had a request that is not there any more, it was used when that began.
            ASK | IN_FLIGHT => row.saved.max(deadline::idle(row.used, row.idle, self.config.quantum)),
            deadline => deadline.max(row.saved),
        }
    }

    /// Writes what a row says into a held slot; not its state.
    pub(super) fn fill(&self, held: &Held<'_>, row: &SessionRow) {
        let (slot, tail) = (&held.slot.hot, &held.slot.tail);
        slot.created.set(row.created, row.order);
        slot.absolute.set_ms(row.absolute);
        slot.absolute.set_small(charged(row.charge.as_ref()));
        slot.idle.set(row.idle, row.application);
        let extension = row.rare.extension.deadline;
        slot.used.set(row.used, if extension == 0 { 0 } else { super::requests::extended(extension) });
        slot.set_verifier(row.verifier);
        held.set_random(row.random);
        tail.saved.store(row.saved, Relaxed);
        tail.slept.store(u32::try_from(row.slept).unwrap_or(u32::MAX), Relaxed);
        tail.asked.store(0, Relaxed);
        tail.version.store(0, Release);
        let mut bits = 0;
        for (flag, on) in [
            (flags::HAD_REQUEST, row.had_request || row.used > row.created),
            (flags::DAMAGED, row.damaged),
            (flags::REPLACED, !row.rare.replaced.is_empty()),
            (flags::CLASSES, !row.rare.classes.is_empty()),
            (flags::TRACE, self.application(row.application).trace),
            (flags::LAZY_REQUEST, row.lazy.is_some_and(|lazy| lazy.until == LazyUntil::SecondRequest)),
            (flags::LAZY_WRITE, row.lazy.is_some_and(|lazy| lazy.until == LazyUntil::FirstWrite)),
        ] {
            bits |= if on { flag } else { 0 };
        }
        // Who waits for its lock waits on.
        let waiters = tail.flags.load(Relaxed) & !(flags::WAITER - 1);
        tail.flags.store(bits | waiters, Relaxed);
    }

    /// Looks for a session; never ends one.
    pub(super) fn look_for(&self, at: At, name: Name<'_>) -> Result<Look<'_>> {
        let (place, verifier) = match name {
            Name::Session(session) => (Place::from_locator(session.place), None),
            Name::Token(token) => {
                let (place, verifier) = self.keys.open(token);
                (place, Some(verifier))
            }
        };
        // Whoever guesses places does not get to lock them.
        let known = self.map.slot(place.index).map(|slot| slot.hot.state());
        let known = known.is_some_and(|state| state.generation() == place.generation && state.deadline() != FREE);
        let held = if known { self.hold(place.index)? } else { None };
        let Some(held) = held.filter(|held| held.state().generation() == place.generation && held.taken()) else {
            return self.look_among_graves(at, place, name, verifier);
        };
        let mut replaced = false;
        match (name, verifier) {
            (Name::Session(session), _) if held.id() != session.id => {
                drop(held);
                return self.look_among_graves(at, place, name, verifier);
            }
            (_, Some(verifier)) if !held.verifies(verifier) => {
                if !held.has(flags::REPLACED) {
                    return Ok(Look::Absent);
                }
                let row = self.row(&held)?;
                let old = row.rare.replaced.iter().find(|old| crate::table::slot::same(old.verifier, verifier));
                match old {
                    Some(old) if at.now.ms < old.grace => replaced = true,
                    Some(old) if at.now.ms < old.until => {
                        let id = held.id();
                        drop(held);
                        self.note_replaced(at, id);
                        return Ok(Look::Gone(EndReason::Replaced));
                    }
                    _ => return Ok(Look::Absent),
                }
            }
            _ => {}
        }
        let mut held = held;
        let session = held.session();
        self.expire_requests(at, &mut held);
        let ends = self.ends_now(at.now, &held);
        let visit = Visit { session, held, replaced };
        Ok(match ends {
            Some((reason, deadline)) => Look::Due(visit, reason, deadline),
            None => Look::Live(visit),
        })
    }

    fn look_among_graves(&self, at: At, place: Place, name: Name<'_>, verifier: Option<[u64; 2]>) -> Result<Look<'_>> {
        let grave = self.books.glance(|pages| pages.grave(place.locator()))?;
        let Some(grave) = grave.filter(|grave| grave.until > at.now.ms) else { return Ok(Look::Absent) };
        let reason = match (name, verifier) {
            (Name::Session(session), _) => (grave.id == session.id).then_some(grave.reason),
            (_, Some(verifier)) => grave.reason_for(verifier, at.now.ms),
            _ => None,
        };
        if reason == Some(EndReason::Replaced) {
            self.note_replaced(at, grave.id);
        }
        Ok(reason.map_or(Look::Absent, Look::Gone))
    }

    /// A live session, held; one that is overdue is ended by this very call.
    pub(super) fn visit(&self, at: At, name: Name<'_>, thread: ThreadKind) -> Found<Visit<'_>> {
        match ok!(self.look_for(at, name)) {
            Look::Live(visit) => Found::Live(visit),
            Look::Absent => Found::Absent,
            Look::Gone(reason) => Found::Gone(reason),
            Look::Due(visit, reason, _) => {
                let session = visit.session;
                // First the writer's word, then the slot.
                drop(visit);
                let _less = Less::is_tried_again();
                let writer = match self.writer() {
                    // Whoever reaps ends it when the books can be written again; until then nobody sees it live.
                    Err(error) if error.kind() == ErrorKind::Unavailable => return Found::Gone(reason),
                    writer => ok!(writer),
                };
                let found = self.visit_writing(&writer, at, Name::Session(session), thread);
                ok!(self.done(writer, false));
                found
            }
        }
    }

    /// The same for who holds the writer's word.
    pub(super) fn visit_writing(
        &self,
        writer: &super::Writer<'_>,
        at: At,
        name: Name<'_>,
        thread: ThreadKind,
    ) -> Found<Visit<'_>> {
        match ok!(self.look_for(at, name)) {
            Look::Live(visit) => Found::Live(visit),
            Look::Absent => Found::Absent,
            Look::Gone(reason) => Found::Gone(reason),
            Look::Due(visit, reason, deadline) => {
                ok!(self.end_many(writer, at, vec![(visit.held, reason, deadline)], thread));
                Found::Gone(reason)
            }
        }
    }

    /// The row of a held session.
    pub(super) fn row(&self, held: &Held<'_>) -> Result<SessionRow> {
        self.books
            .glance(|pages| pages.session(held.index))?
            .filter(|row| row.generation == held.state().generation())
            .ok_or_else(|| super::requests::lost(held.id()))
    }
}
