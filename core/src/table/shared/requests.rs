//! Uses of a session: touch, begin, finish, data, lock.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use super::layout::{Record, flags};
use super::visit::{Held, Name, Visit, live, ok};
use super::{SharedTable, Writer};
use crate::clock::{Millis, NEVER, Now};
use crate::data::Writes;
use crate::deadline;
use crate::error::{Error, ErrorKind, Result};
use crate::reason::{EndReason, LockMode, ThreadKind, TouchKind};
use crate::table::slot::{ASK, IN_FLIGHT, Place, Slot};
use crate::table::*;

const TOUCHES: [TouchKind; 3] = [TouchKind::Activity, TouchKind::Keepalive, TouchKind::None];
const LOCKS: [LockMode; 3] = [LockMode::Exclusive, LockMode::Shared, LockMode::None];
/// The kind of a record that another process freed, and that its owner has not collected yet.
pub(super) const FREED: u32 = 255;
/// A touch is written through when the books lag by this part of the timeout …
const LAG: Millis = 20;
/// … or by this much.
const MOST_LAG: Millis = 300_000;

/// A request in flight.
#[derive(Clone, Copy)]
pub(super) struct Flight {
    /// The number of its record.
    pub record: u32,
    pub number: u32,
    pub start: Millis,
    pub touch: TouchKind,
    pub lock: LockMode,
    /// The participant in which it runs.
    pub owner: u32,
}

impl Flight {
    pub fn read(number: u32, record: &Record) -> Option<Self> {
        let kind = record.kind.load(Relaxed).checked_sub(1)?;
        let touch = TOUCHES.get((kind % 3) as usize)?;
        let lock = LOCKS.get((kind / 3) as usize)?;
        Some(Self {
            record: number,
            number: record.number.load(Relaxed),
            start: record.start.load(Relaxed),
            touch: *touch,
            lock: *lock,
            owner: record.owner.load(Relaxed),
        })
    }
}

pub(super) fn kind_of(touch: TouchKind, lock: LockMode) -> u32 {
    let position = |found: Option<usize>| u32::try_from(found.unwrap_or(0)).unwrap_or(0);
    let touch = position(TOUCHES.iter().position(|known| *known == touch));
    let lock = position(LOCKS.iter().position(|known| *known == lock));
    1 + touch + 3 * lock
}

/// The session's data can't be read.
pub(super) fn corrupt() -> Error {
    Error::new(
        ErrorKind::Corrupt,
        "the session's data can't be read; a copy is in quarantine, and the session can still be ended",
    )
}

/// The session's row can't be read.
pub(super) fn lost(id: SessionId) -> Error {
    Error::new(ErrorKind::Corrupt, format!("the record of session {id} can't be read; a copy is in quarantine"))
}

/// A request's record is not there any more: it counted as finished.
pub(super) fn overtime() -> EndReason {
    EndReason::Ended
}

impl SharedTable {
    // --- records ---
    /// The requests in flight of a held session.
    pub(super) fn flights(&self, held: &Held<'_>) -> impl Iterator<Item = Flight> + '_ {
        let mut next = held.slot.tail.first.load(Relaxed);
        let mut left = self.map.head().records.next.load(Relaxed);
        std::iter::from_fn(move || {
            let number = next.checked_sub(1)?;
            left = left.checked_sub(1)?;
            let record = self.map.record(number)?;
            next = record.next.load(Relaxed);
            Flight::read(number, record)
        })
    }

    pub(super) fn flight(&self, held: &Held<'_>, number: u32) -> Option<Flight> {
        self.flights(held).find(|flight| flight.number == number)
    }

    pub(super) fn is_busy(&self, held: &Held<'_>) -> bool {
        held.slot.tail.first.load(Relaxed) != 0
    }

    /// Whether a request stops the idle clock.
    pub(super) fn is_active(&self, held: &Held<'_>) -> bool {
        self.flights(held).any(|flight| flight.touch == TouchKind::Activity)
    }

    pub(super) fn earliest(&self, held: &Held<'_>) -> Option<Flight> {
        self.flights(held).min_by_key(|flight| flight.start)
    }

    pub(super) fn blocker(&self, held: &Held<'_>, mode: LockMode, except: u32) -> Option<Flight> {
        self.flights(held).filter(|flight| flight.number != except).find(|flight| match mode {
            LockMode::Exclusive => flight.lock != LockMode::None,
            LockMode::Shared => flight.lock == LockMode::Exclusive,
            LockMode::None => false,
        })
    }

    /// Takes a request in; tells its number.
    pub(super) fn add_flight(&self, at: At, held: &Held<'_>, touch: TouchKind, lock: LockMode) -> Result<u32> {
        let (number, record) = self.take_record()?;
        let tail = &held.slot.tail;
        let last = tail.last.load(Relaxed).checked_add(1).unwrap_or(1);
        tail.last.store(last, Relaxed);
        record.number.store(last, Relaxed);
        record.start.store(at.now.ms, Relaxed);
        record.next.store(tail.first.load(Relaxed), Relaxed);
        record.session.store(held.place().locator(), Relaxed);
        record.kind.store(kind_of(touch, lock), Release);
        tail.first.store(number + 1, Release);
        held.mark(flags::HAD_REQUEST, true);
        self.participant(self.me).in_flight.fetch_add(1, Relaxed);
        Ok(last)
    }

    /// Takes a request out of its session's list.
    pub(super) fn remove_flight(&self, held: &Held<'_>, flight: &Flight) {
        let Some(record) = self.map.record(flight.record) else { return };
        let after = record.next.load(Relaxed);
        let tail = &held.slot.tail;
        if tail.first.load(Relaxed) == flight.record + 1 {
            tail.first.store(after, Relaxed);
        } else {
            let before = self.flights(held).find_map(|other| {
                let other = self.map.record(other.record)?;
                (other.next.load(Relaxed) == flight.record + 1).then_some(other)
            });
            if let Some(before) = before {
                before.next.store(after, Relaxed);
            }
        }
        self.free_record(flight.record, record);
    }

    /// Puts the list of a session's requests together again from the records alone.
    pub(super) fn relink(&self, index: u32, locator: u64) {
        let Some(slot) = self.map.slot(index) else { return };
        let mut first = 0;
        for number in 0..self.map.head().records.next.load(Acquire) {
            let Some(record) = self.map.record(number) else { break };
            let session = record.session.load(Relaxed);
            // The first session of all has the locator 0: it is the kind that tells whether there is a request.
            if Place::from_locator(session).index != index || Flight::read(number, record).is_none() {
                continue;
            }
            if session == locator && self.processes.alive(record.owner.load(Relaxed)) {
                record.next.store(first, Relaxed);
                first = number + 1;
            } else {
                self.free_record(number, record);
            }
        }
        slot.tail.first.store(first, Relaxed);
    }

    // --- touch ---
    pub(super) fn touch_token(&self, at: At, token: &Token, kind: TouchKind) -> Found<(SessionRef, Millis)> {
        let (place, verifier) = self.keys.open(token);
        if let Some(slot) = self.map.slot(place.index) {
            let (now, activity) = (self.idle_now(at.now), kind == TouchKind::Activity);
            let touched =
                slot.hot.touch(place.generation, verifier, activity, now, at.now.absolute(), self.config.quantum);
            if let Some((idle, absolute)) = touched {
                if activity && idle != IN_FLIGHT {
                    self.save_later(place.index, slot, idle);
                }
                let first = self.first(at.now, idle, absolute);
                if first >= idle || !slot.hot.is_filed_late(first, self.application(slot.hot.application()).ask_lead) {
                    let session = SessionRef { id: SessionId::NIL, place: place.locator() };
                    return Found::Live((session, first));
                }
            }
        }
        let visit = live!(self.visit(at, Name::Token(token), ThreadKind::Request));
        let held = &visit.held;
        if kind == TouchKind::Activity {
            held.used.set_ms(self.idle_now(at.now));
            self.restart_idle(held, self.idle_now(at.now));
            self.refile(at.now, held);
        }
        Found::Live((visit.session, self.first(at.now, held.state().deadline(), held.absolute.ms())))
    }

    /// Has the deadline written into the books with the next commit, if they lag by much.
    #[inline]
    pub(super) fn save_later(&self, index: u32, slot: &super::layout::SharedSlot, idle: Millis) {
        let saved = slot.tail.saved.load(Relaxed);
        let lag = (slot.hot.idle.ms() / LAG).min(MOST_LAG);
        if idle.saturating_sub(saved) >= lag.max(1)
            && idle < NEVER
            && slot.tail.saved.compare_exchange(saved, idle, Relaxed, Relaxed).is_ok()
        {
            self.local.unsaved.lock().push(index);
        }
    }

    /// Sets the idle deadline from a use, if no request stops the clock; never earlier than it stands.
    fn restart_idle(&self, held: &Held<'_>, used: Millis) {
        loop {
            let state = held.state();
            if matches!(state.deadline(), IN_FLIGHT | ASK) {
                return;
            }
            let due = deadline::idle(used, held.idle.ms(), self.config.quantum);
            if due <= state.deadline() {
                return;
            }
            if held.exchange(state, state.with(due)) {
                self.save_later(held.index, held.slot, due);
                return;
            }
        }
    }

    // --- begin and finish ---
    pub(super) fn begin_request(&self, at: At, token: &Token, spec: &BeginSpec) -> Found<Began> {
        let visit = live!(self.visit(at, Name::Token(token), ThreadKind::Request));
        // In a word that is read anyway.
        if visit.held.has(flags::LAZY_REQUEST) && visit.held.has(flags::HAD_REQUEST) {
            drop(visit);
            return self.begin_licensed(at, token, spec);
        }
        self.begin_held(at, visit, spec, false)
    }

    /// A begin that takes the session's unit: first the writer's word, then the slot.
    fn begin_licensed(&self, at: At, token: &Token, spec: &BeginSpec) -> Found<Began> {
        let writer = ok!(self.writer());
        let visit = match self.visit_writing(&writer, at, Name::Token(token), ThreadKind::Request) {
            Found::Live(visit) => visit,
            other => {
                ok!(self.done(writer, false));
                return other.map_live(|_| unreachable!("answered above"));
            }
        };
        let mut licensed = false;
        // What refuses the request without a license refuses it first.
        if visit.held.has(flags::LAZY_REQUEST)
            && visit.held.has(flags::HAD_REQUEST)
            && !visit.held.has(flags::END_REQUESTED)
            && !visit.held.has(flags::DAMAGED)
            && self.blocker(&visit.held, spec.lock, 0).is_none()
        {
            match self.take_own_unit(&writer, at, &visit.held) {
                Ok(Ok(())) => licensed = true,
                Ok(Err((pool, reason))) => {
                    drop(visit);
                    ok!(self.done(writer, false));
                    return Found::Live(Began::Unlicensed(pool, reason));
                }
                Err(error) => return Found::Failed(error),
            }
        }
        let began = self.begin_held(at, visit, spec, licensed);
        ok!(self.done(writer, licensed && self.durable()));
        began
    }

    fn begin_held(&self, at: At, visit: Visit<'_>, spec: &BeginSpec, licensed: bool) -> Found<Began> {
        let (session, replaced, held) = (visit.session, visit.replaced, &visit.held);
        if held.has(flags::END_REQUESTED) {
            return Found::Gone(EndReason::Ended);
        }
        if held.has(flags::DAMAGED) {
            return Found::Live(Began::Corrupt);
        }
        if let Some(blocker) = self.blocker(held, spec.lock, 0) {
            return Found::Live(Began::Busy(session, self.holder_text(&blocker, at.now)));
        }
        let is_new = !held.has(flags::HAD_REQUEST);
        let number = ok!(self.add_flight(at, held, spec.touch, spec.lock));
        let application = held.application();
        self.trace(held, || format!("{} ms: request began ({}, {})", at.now.ms, spec.touch, spec.lock));
        if spec.touch == TouchKind::Activity {
            held.used.set_ms(self.idle_now(at.now));
            stop_idle(held);
        }
        self.refile(at.now, held);
        Found::Live(Began::Request { key: RequestKey { session, number }, is_new, replaced, application, licensed })
    }

    /// A held session with this request in flight.
    pub(super) fn visit_request(&self, at: At, request: &RequestKey) -> Found<(Visit<'_>, Flight)> {
        let visit = live!(self.visit(at, Name::Session(request.session), ThreadKind::Request));
        match self.flight(&visit.held, request.number) {
            Some(flight) => Found::Live((visit, flight)),
            None => Found::Gone(overtime()),
        }
    }

    pub(super) fn visit_request_writing(
        &self,
        writer: &Writer<'_>,
        at: At,
        request: &RequestKey,
    ) -> Found<(Visit<'_>, Flight)> {
        let visit = live!(self.visit_writing(writer, at, Name::Session(request.session), ThreadKind::Request));
        match self.flight(&visit.held, request.number) {
            Some(flight) => Found::Live((visit, flight)),
            None => Found::Gone(overtime()),
        }
    }

    pub(super) fn finish_request(&self, at: At, request: &RequestKey, writes: &Writes) -> Found<Finished> {
        if writes.is_empty() {
            let (visit, flight) = live!(self.visit_request(at, request));
            return Found::Live(self.leave(at, visit, &flight, Ok(())));
        }
        let writer = match self.writer() {
            Ok(writer) => writer,
            // The request keeps its writes, and can be finished again.
            Err(error) if error.kind() == ErrorKind::Unavailable => return Found::Failed(error),
            Err(error) => {
                // The writes are lost, the lock is not.
                let (visit, flight) = live!(self.visit_request(at, request));
                return Found::Live(self.leave(at, visit, &flight, Err(error)));
            }
        };
        let (visit, flight) = match self.visit_request_writing(&writer, at, request) {
            Found::Live(live) => live,
            Found::Absent => return Found::Absent,
            Found::Failed(error) => return Found::Failed(error),
            Found::Gone(reason) => {
                ok!(self.done(writer, false));
                return Found::Gone(reason);
            }
        };
        let committed = self.commit_writes(&writer, at, &visit.held, writes);
        let mut finished = self.leave(at, visit, &flight, committed);
        if let Err(error) = self.done(writer, self.durable())
            && finished.committed.is_ok()
        {
            finished.committed = Err(error);
        }
        Found::Live(finished)
    }

    fn leave(&self, at: At, visit: Visit<'_>, flight: &Flight, committed: Result<()>) -> Finished {
        let mut held = visit.held;
        self.take_out(at.now, &mut held, flight, at.now.ms);
        let end_now = held.has(flags::END_REQUESTED) && !self.is_busy(&held);
        self.refile(at.now, &held);
        Finished { committed, end_now }
    }

    /// Takes a request out; with the last one of a user the idle clock runs again, from `end`.
    pub(super) fn take_out(&self, now: Now, held: &mut Held<'_>, flight: &Flight, end: Millis) {
        self.remove_flight(held, flight);
        held.free_lock();
        self.trace(held, || format!("{end} ms: request finished"));
        if flight.touch == TouchKind::Activity {
            let used = end.saturating_add(self.slept(now));
            held.used.set_ms(used);
            if !self.is_active(held) && held.state().deadline() == IN_FLIGHT {
                let due = deadline::idle(used, held.idle.ms(), self.config.quantum);
                // No touch writes a word that says "in flight", and every other writer holds this lock.
                held.publish(held.state().with(due));
                self.save_later(held.index, held.slot, due);
            }
        }
    }

    /// Counts requests older than the bound as finished.
    pub(super) fn expire_requests(&self, at: At, held: &mut Held<'_>) {
        let mut freed = false;
        while let Some(flight) = self.earliest(held) {
            let end = flight.start.saturating_add(self.config.max_request);
            if end > at.now.ms {
                break;
            }
            self.trace(held, || format!("{end} ms: a request is over its bound and counts as finished"));
            self.take_out(at.now, held, &flight, end);
            freed = true;
        }
        if freed {
            let ends = held.has(flags::END_REQUESTED) && !self.is_busy(held);
            held.mark(flags::ENDING, ends);
            self.refile(at.now, held);
        }
    }

    /// When a held session was used last, on the idle clock.
    pub(super) fn last_used(&self, now: Now, held: &Held<'_>) -> Millis {
        let deadline = held.state().deadline();
        self.last_use(now, held, is_extended(held, deadline))
    }
}

/// The mark of an extension in the small number beside the last use: some bits of the deadline that it granted.
pub(super) fn extended(deadline: Millis) -> u32 {
    1 << 21 | u32::try_from(deadline & ((1 << 21) - 1)).unwrap_or(0)
}

/// Whether a deadline was granted as an extension: then it does not tell the last use.
pub(super) fn is_extended(slot: &Slot, deadline: Millis) -> bool {
    slot.used.small() == extended(deadline)
}

/// The idle clock stands still while a user's request is in flight.
pub(super) fn stop_idle(slot: &Slot) {
    loop {
        let state = slot.state();
        if state.deadline() == IN_FLIGHT || slot.exchange(state, state.with(IN_FLIGHT)) {
            return;
        }
    }
}

/// Frees a record: its owner takes it back, or collects it some time.
impl SharedTable {
    pub(super) fn free_record(&self, number: u32, record: &Record) {
        let owner = record.owner.load(Relaxed);
        record.session.store(0, Relaxed);
        if owner != 0 {
            self.participant(owner).in_flight.fetch_sub(1, AcqRel);
        }
        if owner == self.me {
            record.kind.store(0, Release);
            self.local.records.lock().free.push(number);
        } else {
            record.kind.store(FREED, Release);
        }
    }

    fn take_record(&self) -> Result<(u32, &Record)> {
        let mut records = self.local.records.lock();
        if records.free.is_empty() {
            self.collect_records(&mut records)?;
        }
        let found = records.free.pop().and_then(|number| Some((number, self.map.record(number)?)));
        found.ok_or_else(|| Error::new(ErrorKind::Internal, "a request record is missing"))
    }

    /// What others freed, or else new ones.
    fn collect_records(&self, records: &mut super::Records) -> Result<()> {
        for number in &records.own {
            if let Some(record) = self.map.record(*number)
                && record.kind.compare_exchange(FREED, 0, AcqRel, Relaxed).is_ok()
            {
                records.free.push(*number);
            }
        }
        if !records.free.is_empty() {
            return Ok(());
        }
        let handing = &self.map.head().records;
        let range = self.hand_out(handing, super::RECORDS_AT_ONCE, || {
            self.map.grow_records(self.me, &|number| self.processes.alive(number))
        })?;
        for number in range {
            if let Some(record) = self.map.record(number) {
                record.owner.store(self.me, Relaxed);
                records.own.push(number);
                records.free.push(number);
            }
        }
        Ok(())
    }
}
