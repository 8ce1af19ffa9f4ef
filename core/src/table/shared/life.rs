//! How sessions come and go: creation and end. Each is one transaction of the books.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use super::books::{self, NewEvent, Rare, SessionRow};
use super::crowd::Evicted;
use super::layout::flags;
use super::visit::{Held, Name};
use super::{SharedTable, Writer};
use crate::clock::{Millis, NEVER};
use crate::deadline;
use crate::error::{Error, ErrorKind, Result};
use crate::license::ledger::{self, Demand};
use crate::license::policy::Rank;
use crate::license::queue;
use crate::reason::{EndReason, ThreadKind};
use crate::session::Receipt;
use crate::table::due::timeout_level;
use crate::table::grave::{Grave, More};
use crate::table::slot::{ASK, FREE, IN_FLIGHT, Place, State};
use crate::table::*;

/// So many creations are told apart; their order within a millisecond is lost once in as many.
const ORDERS: u64 = (1 << 22) - 1;

/// A session to be ended: its slot, how, and the deadline that brought it.
pub(super) struct End<'a> {
    pub held: Held<'a>,
    pub spec: EndSpec,
    pub deadline: Option<Millis>,
    /// Whether its license is to be released: who has to go for another has lost it already.
    pub charged: bool,
}

/// Ends whose commit is not known yet.
#[derive(Default)]
pub(super) struct Buried {
    graves: Vec<Grave>,
    /// What the slots said before.
    before: Vec<State>,
}

impl SharedTable {
    pub(super) fn make(
        &self,
        at: At,
        draft: &Draft,
        new: &mut NewSession,
    ) -> Result<std::result::Result<Option<RequestKey>, Refused>> {
        let writer = self.writer()?;
        if let Some(reason) = self.deny_at_once(&writer, at, draft, new) {
            drop(writer);
            self.denial_noted();
            return Ok(Err(Refused::License(reason)));
        }
        let made = self.make_writing(&writer, at, draft, new);
        let sync = self.durable() && matches!(made, Ok(Ok(_)));
        self.done(writer, sync)?;
        made
    }

    fn make_writing(
        &self,
        writer: &Writer<'_>,
        at: At,
        draft: &Draft,
        new: &mut NewSession,
    ) -> Result<std::result::Result<Option<RequestKey>, Refused>> {
        let place = Place::from_locator(draft.session.place);
        let held = self.hold(place.index)?.filter(|held| held.state() == State::new(place.generation, FREE));
        let Some(held) = held else {
            return Err(Error::new(ErrorKind::Internal, "the draft was used already, or its slot is missing"));
        };
        let counters = &self.map.head().counters;
        let application = self.application(new.application);
        // Whoever creates or ends has the writer's word: nothing moves between the look and the commit.
        if counters.live.load(Acquire) >= self.config.max_sessions {
            return Ok(Err(Refused::Sessions(None, self.config.max_sessions)));
        }
        if counters.applications[new.application as usize].load(Acquire) >= application.max_sessions {
            return Ok(Err(Refused::Sessions(Some(application.name.clone()), application.max_sessions)));
        }
        let due = deadline::idle(self.idle_now(at.now), new.idle, self.config.quantum);
        let mut random = [0; 10];
        random.copy_from_slice(&draft.session.id.0[6..]);
        let order = (counters.order.fetch_add(1, Relaxed) & ORDERS) as u32;
        let trace = if application.trace {
            vec![format!("{} ms: created in {}", at.now.ms, application.name)]
        } else {
            Vec::new()
        };
        let row = SessionRow {
            slot: place.index,
            generation: place.generation,
            random,
            verifier: self.keys.open(&draft.token).1,
            application: new.application,
            user: None,
            charge: new.charge.clone(),
            lazy: new.lazy,
            licensed: 0,
            brief: new.brief,
            created: at.now.ms,
            order,
            wall: at.wall,
            slept: at.now.suspended,
            idle: new.idle,
            absolute: deadline::absolute(at.now.absolute(), new.absolute),
            saved: due,
            used: at.now.ms,
            had_request: new.begin.is_some(),
            damaged: false,
            version: 0,
            maker: self.me,
            rare: Rare { classes: new.classes.to_vec(), client: new.client.clone(), trace, ..Rare::default() },
        };
        let id = draft.session.id;
        let mut evicted = Evicted::default();
        let refused = writer.commit(|ledger| {
            if let Some(charge) = &row.charge {
                let demand = Demand::asking(charge, Rank::Ordinary, new.asking);
                let verdict =
                    self.demand(ledger, at, draft.session, charge, &mut evicted, |pool, defined, victims| {
                        ledger::acquire(pool, &defined.rules, at, id, demand, victims).map(Some)
                    })?;
                if let Some(Err(reason)) = verdict {
                    if new.asking.ends_with(reason) {
                        self.log(ledger, at.now.ms, id, "refused", EndReason::LicenseDenied.name())?;
                    }
                    return Ok(Some(reason));
                }
            }
            ledger.insert_session(&row)?;
            for data in new.data.to_rows() {
                ledger.put_data(place.index, place.generation, &data)?;
            }
            self.log(ledger, at.now.ms, id, "created", &application.name)?;
            Ok(None)
        });
        self.evict(writer, at, evicted, &refused);
        if let Some(reason) = refused? {
            if let Some(charge) = &row.charge {
                self.is_full(charge.pool);
            }
            return Ok(Err(Refused::License(reason)));
        }
        let live = counters.live.fetch_add(1, AcqRel) + 1;
        counters.peak.fetch_max(live, Relaxed);
        counters.created.fetch_add(1, Relaxed);
        counters.applications[new.application as usize].fetch_add(1, AcqRel);
        let tail = &held.slot.tail;
        tail.first.store(0, Relaxed);
        tail.last.store(0, Relaxed);
        held.file(None);
        self.fill(&held, &row);
        if row.charge.is_some() {
            self.arrived(place.locator());
        }
        let mut number = None;
        let mut state = State::new(place.generation, due);
        if let Some((touch, lock)) = new.begin {
            // The session is there; if there is no room for its request, the next begin is told.
            held.publish(state);
            number = Some(self.add_flight(at, &held, touch, lock)?);
            if touch == TouchKind::Activity {
                state = state.with(IN_FLIGHT);
            }
        }
        held.publish(state);
        self.refile(at.now, &held);
        Ok(Ok(number.map(|number| RequestKey { session: draft.session, number })))
    }

    pub(super) fn end_session(&self, at: At, session: SessionRef, spec: &EndSpec) -> Ended {
        let writer = match self.writer() {
            Ok(writer) => writer,
            Err(error) => return Ended::Failed(error),
        };
        let ended = match self.visit_writing(&writer, at, Name::Session(session), spec.thread) {
            Found::Live(visit) => {
                let end = End { held: visit.held, spec: spec.clone(), deadline: None, charged: true };
                self.bury(&writer, at, vec![end]).map(|receipts| receipts.into_iter().next())
            }
            Found::Failed(error) => Err(error),
            _ => Ok(None),
        };
        if let Err(error) = self.done(writer, false) {
            return Ended::Failed(error);
        }
        match ended {
            Ok(Some(receipt)) => Ended::Now(receipt),
            Ok(None) => match self.find_receipt(at, session.id) {
                Ok(receipt) => receipt.map_or(Ended::Absent, Ended::Before),
                Err(error) => Ended::Failed(error),
            },
            Err(error) => Ended::Failed(error),
        }
    }

    /// Ends what is due, in this order.
    pub(super) fn end_many(
        &self,
        writer: &Writer<'_>,
        at: At,
        due: Vec<(Held<'_>, EndReason, Option<Millis>)>,
        thread: ThreadKind,
    ) -> Result<()> {
        let ends = due.into_iter().map(|(held, reason, deadline)| {
            let spec = EndSpec { reason, level: timeout_level(reason), thread, actor: None, note: None, here: false };
            End { held, spec, deadline, charged: true }
        });
        self.bury(writer, at, ends.collect()).map(drop)
    }

    /// Ends sessions: one transaction, and then it is told by the slots. Nothing changed if it fails.
    pub(super) fn bury(&self, writer: &Writer<'_>, at: At, ends: Vec<End<'_>>) -> Result<Vec<Receipt>> {
        if ends.is_empty() {
            return Ok(Vec::new());
        }
        let mut buried = Buried::default();
        let done = writer.commit(|ledger| self.bury_rows(ledger, at, &ends, &mut buried));
        if let Err(error) = done {
            self.unbury(at, &ends, &buried, &error);
            return Err(error);
        }
        // What the reaper ends nobody waits for: the keeper has it on the disk soon. After a power cut within that time it
        // is overdue still, and ends at the opening.
        if self.durable() || ends.iter().any(|end| end.spec.thread != ThreadKind::Reaper) {
            writer.must_sync();
        }
        let receipts = self.bury_slots(ends, buried);
        writer.rang();
        Ok(receipts)
    }

    /// The part of it within a transaction.
    pub(super) fn bury_rows(
        &self,
        ledger: &mut books::Ledger<'_>,
        at: At,
        ends: &[End<'_>],
        buried: &mut Buried,
    ) -> Result<()> {
        for end in ends {
            buried.graves.push(self.bury_row(ledger, at, end)?);
        }
        // From here until the commit is known the books are to be asked.
        for end in ends {
            buried.before.push(end.held.state());
            end.held.publish(end.held.state().with(ASK));
        }
        Ok(())
    }

    /// The commit failed.
    pub(super) fn unbury(&self, at: At, ends: &[End<'_>], buried: &Buried, error: &Error) {
        // An outcome that is not known is left to the books; the slot asks them at the next look.
        if error.kind() != ErrorKind::Uncertain {
            for (end, state) in ends.iter().zip(&buried.before) {
                end.held.publish(*state);
                end.held.file(None);
                self.refile(at.now, &end.held);
            }
        }
    }

    /// The commit came through: the slots tell it.
    pub(super) fn bury_slots(&self, ends: Vec<End<'_>>, buried: Buried) -> Vec<Receipt> {
        let counters = &self.map.head().counters;
        let mut receipts = Vec::with_capacity(ends.len());
        for (end, grave) in ends.into_iter().zip(buried.graves) {
            let mut held = end.held;
            let place = held.place();
            while let Some(flight) = self.earliest(&held) {
                self.remove_flight(&held, &flight);
            }
            held.publish(State::new(place.generation + 1, FREE));
            counters.live.fetch_sub(1, AcqRel);
            counters.applications[grave.application as usize].fetch_sub(1, AcqRel);
            counters.ended[grave.reason as usize - 1].fetch_add(1, Relaxed);
            counters.tombstones.fetch_add(1, Relaxed);
            if let Some(late) = grave.late {
                self.local.lateness.note(late);
            }
            self.cache.forget(place.index);
            self.own_slot(place.index);
            held.free_lock();
            drop(held);
            self.give_slot(place.index);
            self.release_attachments(place, grave.event_id);
            receipts.push(grave.receipt(self.application(grave.application).name.clone()));
        }
        receipts
    }

    /// The rows of one end.
    fn bury_row(&self, ledger: &mut books::Ledger<'_>, at: At, end: &End<'_>) -> Result<Grave> {
        let (held, spec) = (&end.held, &end.spec);
        let (id, place) = (held.id(), held.place());
        let row = readable(ledger.session(held.index))?.flatten().filter(|row| row.generation == place.generation);
        let row = match row {
            Some(row) => row,
            // Its record can't be read: it is ended by what the slot knows, and the recount finds what it held.
            None => {
                ledger.quarantine(place.index, "found unreadable when it was ended")?;
                self.local.recount.store(true, Relaxed);
                SessionRow {
                    slot: place.index,
                    generation: place.generation,
                    random: held.random(),
                    verifier: held.verifier(),
                    application: held.application(),
                    created: held.created.ms(),
                    user: None,
                    charge: None,
                    lazy: None,
                    licensed: 0,
                    brief: false,
                    order: 0,
                    wall: at.wall,
                    slept: 0,
                    idle: 0,
                    absolute: NEVER,
                    saved: 0,
                    used: 0,
                    had_request: true,
                    damaged: true,
                    version: 0,
                    maker: 0,
                    rare: Rare::default(),
                }
            }
        };
        let event_id = ledger.next_event()?;
        let mut grave = Grave {
            id,
            verifier: row.verifier,
            until: at.now.ms.saturating_add(self.config.tombstone),
            application: row.application,
            reason: spec.reason,
            level: spec.level,
            at: at.now.ms,
            wall: at.wall,
            late: end.deadline.map(|deadline| at.now.ms.saturating_sub(deadline)),
            licensed: row.charge.is_some() || !row.rare.takes.is_empty(),
            event_id,
            user: row.user.clone(),
            more: None,
        };
        if spec.actor.is_some() || spec.note.is_some() || !row.rare.replaced.is_empty() {
            let (actor, note) = (spec.actor.clone(), spec.note.clone());
            grave.more = Some(Box::new(More { actor, note, replaced: row.rare.replaced.clone() }));
        }
        if let Some(charge) = row.charge.as_ref().filter(|_| end.charged) {
            let since = row.licensed_since();
            self.with_pool(ledger, charge.pool, |pool, defined| {
                ledger::release(pool, &defined.rules, at, id, charge, since)
            })?;
        }
        row.rare.takes.iter().try_for_each(|taken| self.give_taken_back(ledger, at, id, taken))?;
        for (pool, place) in ledger.places_of_session(id)? {
            self.with_pool(ledger, pool, |books, defined| queue::dismiss(books, &defined.rules, at, place))?;
        }
        if !row.rare.classes.is_empty() {
            let data = if row.damaged || held.has(flags::DAMAGED) {
                None
            } else {
                readable(ledger.data(place.index, place.generation))?
            };
            let event = NewEvent {
                event_id,
                session: id,
                place: place.locator(),
                application: row.application,
                user: row.user.clone(),
                reason: spec.reason,
                level: spec.level,
                thread: spec.thread,
                at: at.now.ms,
                wall: at.wall,
                data,
            };
            // Who waits for it; else who made it and most likely knows its classes; else who ended it.
            let prefer = if !spec.here && self.is_here(row.maker) { row.maker } else { self.me };
            ledger.outbox_add(&event, &row.rare.classes, &row.rare.told, prefer)?;
            if spec.here {
                ledger.outbox_is_waited(event_id)?;
            }
            self.map.head().counters.outbox.fetch_add(1, Relaxed);
            self.map.head().counters.offers.fetch_add(1, AcqRel);
        }
        ledger.delete_session(place.index, place.generation)?;
        ledger.bury(place.locator(), &grave, self.graves)?;
        self.log(ledger, at.now.ms, id, "ended", spec.reason.name())?;
        Ok(grave)
    }
}

/// What was read, or nothing of what can't be read.
pub(super) fn readable<T>(read: Result<T>) -> Result<Option<T>> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error) if error.kind() == ErrorKind::Corrupt => Ok(None),
        Err(error) => Err(error),
    }
}
