//! How sessions come and go: slots, creation, change of holder, end. Each is one transaction of the books.

use std::ops::Range;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use super::books::{self, NewEvent, Rare, SessionRow};
use super::due::extensions_used;
use super::layout::{Handing, flags};
use super::requests::extended;
use super::visit::{Held, Name, Visit, live, ok};
use super::{SharedTable, Writer};
use crate::clock::{Millis, NEVER};
use crate::deadline;
use crate::error::{Error, ErrorKind, Result};
use crate::license::books::Ledger as _;
use crate::license::ledger;
use crate::license::policy::Rank;
use crate::reason::{EndReason, LicenseClass, ThreadKind};
use crate::session::Receipt;
use crate::table::due::timeout_level;
use crate::table::grave::{Grave, MAX_REPLACED, More, Replaced};
use crate::table::slot::{ASK, FREE, IN_FLIGHT, INDEX_BITS, Place, State};
use crate::table::*;

/// How long a replaced token answers `gone(replaced)` after its grace.
const REPLACED_STANDS: Millis = 600_000;
/// Slots that a process takes at once.
const SLOTS_AT_ONCE: u32 = 64;
/// Free slots that a process keeps for itself.
const SLOTS_KEPT: usize = 256;
/// So many creations are told apart; their order within a millisecond is lost once in as many.
const ORDERS: u64 = (1 << 22) - 1;
/// Grants that a session remembers.
const MAX_GRANTS: usize = 32;

/// A session to be ended: its slot, how, and the deadline that brought it.
pub(super) struct End<'a> {
    pub held: Held<'a>,
    pub spec: EndSpec,
    pub deadline: Option<Millis>,
}

impl SharedTable {
    // --- slots ---
    /// Hands out numbers of a growing file.
    pub(super) fn hand_out(&self, handing: &Handing, count: u32, grow: impl Fn() -> Result<()>) -> Result<Range<u32>> {
        let mut next = handing.next.load(Acquire);
        loop {
            let grown = handing.grown.load(Acquire);
            if next >= grown {
                grow()?;
                next = handing.next.load(Acquire);
                continue;
            }
            let end = next.saturating_add(count).min(grown);
            match handing.next.compare_exchange(next, end, AcqRel, Acquire) {
                Ok(_) => return Ok(next..end),
                Err(now) => next = now,
            }
        }
    }

    fn take_slot(&self) -> Result<u32> {
        let mut free = self.local.slots.lock();
        if let Some(index) = free.pop() {
            return Ok(index);
        }
        if let Some(index) = self.pop_free() {
            return Ok(index);
        }
        let handing = &self.map.head().slots;
        if handing.next.load(Acquire) >= 1 << INDEX_BITS {
            return Err(Error::new(ErrorKind::SessionLimit, "the shared table is full: it has 268,435,456 slots"));
        }
        let range = self.hand_out(handing, SLOTS_AT_ONCE, || {
            self.map.grow_slots(self.me, &|number| self.processes.alive(number))
        })?;
        for index in range.rev() {
            self.own_slot(index);
            free.push(index);
        }
        free.pop().ok_or_else(|| Error::new(ErrorKind::Internal, "no slot was handed out"))
    }

    /// Notes on a free slot whose it is, so that it is found if this process dies.
    fn own_slot(&self, index: u32) {
        if let Some(slot) = self.map.slot(index) {
            slot.tail.first.store(self.me, Relaxed);
        }
    }

    /// A slot that others gave back.
    fn pop_free(&self) -> Option<u32> {
        let free = &self.map.head().slots.free;
        let mut top = free.load(Acquire);
        loop {
            let index = (top as u32).checked_sub(1)?;
            let slot = self.map.slot(index)?;
            let after = match slot.tail.due.load(Acquire) {
                u32::MAX => 0,
                after => after,
            };
            let tag = (top >> 32).wrapping_add(1);
            match free.compare_exchange(top, tag << 32 | u64::from(after), AcqRel, Acquire) {
                Ok(_) => {
                    slot.tail.first.store(self.me, Relaxed);
                    slot.tail.due.store(0, Release);
                    return Some(index);
                }
                Err(now) => top = now,
            }
        }
    }

    /// Keeps a free slot for the next session; what is too much goes back to all.
    pub(super) fn give_slot(&self, index: u32) {
        let mut slots = self.local.slots.lock();
        if slots.len() < SLOTS_KEPT {
            slots.push(index);
            return;
        }
        drop(slots);
        self.return_slot(index);
    }

    /// Gives a free slot to all.
    pub(super) fn return_slot(&self, index: u32) {
        let Some(slot) = self.map.slot(index) else { return };
        // Still in the chain of what is to be filed: it can't be in two.
        if slot.tail.due.compare_exchange(0, u32::MAX, AcqRel, Relaxed).is_err() {
            self.local.slots.lock().push(index);
            return;
        }
        slot.tail.first.store(0, Relaxed);
        let free = &self.map.head().slots.free;
        let mut top = free.load(Acquire);
        loop {
            slot.tail.due.store(if top as u32 == 0 { u32::MAX } else { top as u32 }, Release);
            let tag = (top >> 32).wrapping_add(1);
            match free.compare_exchange(top, tag << 32 | u64::from(index + 1), AcqRel, Acquire) {
                Ok(_) => return,
                Err(now) => top = now,
            }
        }
    }

    /// Takes over the free slot of a process that died.
    pub(super) fn adopt_slot(&self, held: &Held<'_>) {
        self.own_slot(held.index);
        self.local.slots.lock().push(held.index);
    }

    pub(super) fn make_draft(&self) -> Result<Draft> {
        self.start_keeper();
        let index = self.take_slot()?;
        let slot = self.map.slot(index).ok_or_else(|| Error::new(ErrorKind::Internal, "a slot is missing"))?;
        let place = Place { index, generation: slot.hot.state().generation() };
        let (id, token) = self.keys.names(place);
        Ok(Draft { session: SessionRef { id, place: place.locator() }, token })
    }

    pub(super) fn abandon_draft(&self, draft: &Draft) {
        let place = Place::from_locator(draft.session.place);
        if let Ok(Some(held)) = self.hold(place.index)
            && held.state() == State::new(place.generation, FREE)
        {
            held.publish(State::new(place.generation + 1, FREE));
            drop(held);
            self.give_slot(place.index);
        }
    }

    // --- creation ---
    pub(super) fn make(
        &self,
        at: At,
        draft: &Draft,
        new: NewSession,
    ) -> Result<std::result::Result<Option<RequestKey>, Refused>> {
        let writer = self.writer()?;
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
        new: NewSession,
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
            charge: new.charge,
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
            rare: Rare { classes: new.classes.to_vec(), client: new.client, trace, ..Rare::default() },
        };
        let id = draft.session.id;
        let refused = writer.commit(|ledger| {
            if let Some(charge) = &row.charge {
                let definition = &self.config.pools[charge.pool as usize];
                let verdict = self.with_pool(ledger, charge.pool, |pool| {
                    ledger::acquire(pool, definition, at, id, charge, Rank::Ordinary)
                })?;
                if let Err(reason) = verdict {
                    return Ok(Some(reason));
                }
            }
            ledger.insert_session(&row)?;
            for data in new.data.to_rows() {
                ledger.put_data(place.index, place.generation, &data)?;
            }
            self.log(ledger, at.now.ms, id, "created", &application.name)?;
            Ok(None)
        })?;
        if let Some(reason) = refused {
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

    // --- changes ---
    /// One change of one session's row: shown to `change`, written if it says so, then published.
    fn change<T>(
        &self,
        at: At,
        session: SessionRef,
        sync: bool,
        change: impl FnOnce(&Writer<'_>, &Held<'_>, SessionRow) -> Result<T>,
    ) -> Found<T> {
        let writer = ok!(self.writer());
        let found = self.visit_writing(&writer, at, Name::Session(session), ThreadKind::Request);
        let found = match found.map_live(|visit: Visit<'_>| {
            let row = self.row(&visit.held)?;
            let changed = change(&writer, &visit.held, row)?;
            self.refile(at.now, &visit.held);
            Ok(changed)
        }) {
            Found::Live(Ok(changed)) => Found::Live(changed),
            Found::Live(Err(error)) => Found::Failed(error),
            other => other.map_live(|_| unreachable!("answered above")),
        };
        let sync = sync || self.durable();
        ok!(self.done(writer, sync));
        found
    }

    pub(super) fn change_timeouts(
        &self,
        at: At,
        session: SessionRef,
        idle: Option<Millis>,
        absolute: Option<Millis>,
    ) -> Found<Result<()>> {
        self.change(at, session, false, |writer, held, mut row| {
            if let Some(timeout) = absolute {
                let now = row.absolute;
                // The creation is on the idle clock.
                let wanted = deadline::absolute(row.created.saturating_add(row.slept), timeout);
                if wanted > now {
                    return Ok(Err(Error::invalid(format!(
                        "an absolute timeout of {timeout} ms would move the deadline later, from {now} ms to {wanted} ms: \
                         it can only be set earlier on a live session"
                    ))));
                }
                row.absolute = wanted;
            }
            let used = self.last_used(at.now, held);
            if let Some(idle) = idle {
                row.idle = idle;
                row.used = used;
                row.saved = deadline::idle(used, idle, self.config.quantum).max(1);
            }
            writer.commit(|ledger| ledger.update_session(&row).map(drop))?;
            held.absolute.set_ms(row.absolute);
            if let Some(idle) = idle {
                held.idle.set_ms(idle);
                held.used.set(used, 0);
                held.slot.tail.saved.store(row.saved, Relaxed);
                loop {
                    let state = held.state();
                    if state.deadline() == IN_FLIGHT || held.exchange(state, state.with(row.saved)) {
                        break;
                    }
                }
            }
            Ok(Ok(()))
        })
    }

    pub(super) fn change_list(&self, at: At, session: SessionRef, change: ClassChange) -> Found<bool> {
        self.change(at, session, false, |writer, held, mut row| {
            let Some(classes) = change.apply(&row.rare.classes.clone().into()) else { return Ok(false) };
            row.rare.classes = classes.to_vec();
            writer.commit(|ledger| ledger.update_session(&row).map(drop))?;
            held.mark(flags::CLASSES, !row.rare.classes.is_empty());
            Ok(true)
        })
    }

    pub(super) fn move_session(
        &self,
        at: At,
        session: SessionRef,
        (from, to): (u32, u32),
        idle: Option<Millis>,
        classes: &[ClassRef],
    ) -> Found<bool> {
        let moved = self.change(at, session, false, |writer, held, mut row| {
            if row.application != from {
                return Ok(false);
            }
            row.application = to;
            for class in classes {
                if let Some(list) = ClassChange::Back(class.clone()).apply(&row.rare.classes.clone().into()) {
                    row.rare.classes = list.to_vec();
                }
            }
            let text = format!("{} -> {}", self.application(from).name, self.application(to).name);
            self.trace(held, || format!("{} ms: application {text}", at.now.ms));
            writer.commit(|ledger| {
                ledger.update_session(&row)?;
                self.log(ledger, at.now.ms, session.id, "application", &text)
            })?;
            held.idle.set_small(to);
            held.mark(flags::CLASSES, !row.rare.classes.is_empty());
            let counters = &self.map.head().counters;
            counters.applications[from as usize].fetch_sub(1, AcqRel);
            counters.applications[to as usize].fetch_add(1, AcqRel);
            Ok(true)
        });
        match (live!(moved), idle) {
            (true, Some(_)) => self.change_timeouts(at, session, idle, None).map_live(|done| done.is_ok()),
            (moved, _) => Found::Live(moved),
        }
    }

    pub(super) fn trade(
        &self,
        at: At,
        session: SessionRef,
        change: &HolderChange,
    ) -> Found<std::result::Result<HolderChanged, ChangeRefused>> {
        let sync = change.rotate.is_some() || !change.trade_only;
        self.change(at, session, sync, |writer, held, mut row| {
            if row.user != change.expected {
                return Ok(Err(ChangeRefused::Changed));
            }
            let from = row.charge.clone();
            let to = from.as_ref().map(|from| {
                let class = match (&change.holder, from.class) {
                    (Holder::User(_), LicenseClass::Anonymous) => LicenseClass::Named,
                    (_, class) => class,
                };
                Charge { pool: from.pool, class, holder: change.holder.clone() }
            });
            let changes_user = !change.trade_only && row.user != change.user;
            let what = if change.user.is_some() { "login" } else { "logout" };
            let mut token = None;
            if let Some(grace) = change.rotate.filter(|_| !change.trade_only) {
                let (fresh, verifier) = self.keys.seal(held.place(), crate::id::random());
                let replaced = &mut row.rare.replaced;
                replaced.retain(|old| at.now.ms < old.until);
                if replaced.len() >= MAX_REPLACED {
                    replaced.remove(0);
                }
                let grace = at.now.ms.saturating_add(grace);
                let until = grace.saturating_add(REPLACED_STANDS);
                replaced.push(Replaced { verifier: row.verifier, grace, until });
                row.verifier = verifier;
                token = Some(fresh);
            }
            if changes_user {
                row.user = change.user.clone();
            }
            let mut trade_denied = None;
            let refused = writer.commit(|ledger| {
                if let (Some(from), Some(to)) = (&from, &to)
                    && from.holder != to.holder
                {
                    let definition = &self.config.pools[from.pool as usize];
                    let traded = self.with_pool(ledger, from.pool, |pool| {
                        ledger::trade(pool, definition, at, session.id, from, to, change.rank)
                    })?;
                    match traded {
                        Ok(()) => row.charge = Some(to.clone()),
                        Err(reason) if change.keep_on_denial => trade_denied = Some(reason),
                        Err(reason) => return Ok(Some(reason)),
                    }
                }
                ledger.update_session(&row)?;
                if changes_user {
                    let user = change.user.as_deref().unwrap_or("");
                    self.log(ledger, at.now.ms, session.id, what, user)?;
                }
                if token.is_some() {
                    self.log(ledger, at.now.ms, session.id, "rotated", "")?;
                }
                Ok(None)
            })?;
            if let Some(reason) = refused {
                return Ok(Err(ChangeRefused::License(reason)));
            }
            if token.is_some() {
                held.set_verifier(row.verifier);
                held.mark(flags::REPLACED, true);
                self.trace(held, || format!("{} ms: token rotated", at.now.ms));
            }
            if changes_user {
                self.trace(held, || format!("{} ms: {what}", at.now.ms));
            }
            Ok(Ok(HolderChanged { token, trade_denied }))
        })
    }

    pub(super) fn grant(
        &self,
        at: At,
        session: SessionRef,
        asked: Millis,
        class: &ClassRef,
        by: Millis,
    ) -> Found<Option<Millis>> {
        self.change(at, session, false, |writer, held, mut row| {
            let rule = self.application(held.application());
            let used = extensions_used(held, &row);
            let absolute = Self::absolute_to_engine(held.absolute.ms(), at.now);
            if used >= rule.max_extensions {
                return Ok(None);
            }
            // Asked ahead of a deadline, the grant counts from it; asked at an explicit end, from now.
            let state = held.state();
            let idle = state.deadline();
            let base = if asked == 0 { self.idle_now(at.now) } else { idle };
            if asked != 0 && idle != asked {
                return Ok(None);
            }
            let until = deadline::extended(base, by, rule.extension_cap, absolute);
            let granted = until.saturating_sub(base);
            if granted == 0 {
                return Ok(None);
            }
            let mut until = until.div_ceil(self.config.quantum) * self.config.quantum;
            if idle != IN_FLIGHT {
                until = if idle == NEVER { NEVER } else { until.max(idle) };
            }
            row.used = self.last_used(at.now, held);
            let extension = &mut row.rare.extension;
            extension.count = used + 1;
            extension.deadline = if idle == IN_FLIGHT { idle } else { until };
            extension.history.push((at.now.ms, class.name.to_string(), granted));
            if extension.history.len() > MAX_GRANTS {
                extension.history.remove(0);
            }
            let mark = extended(extension.deadline);
            if idle != IN_FLIGHT {
                row.saved = until;
                if !held.exchange(state, state.with(until)) {
                    // A user's activity came first: that is better than an extension.
                    return Ok(None);
                }
            }
            let text = format!("{} {granted}", class.name);
            let committed = writer.commit(|ledger| {
                ledger.update_session(&row)?;
                self.log(ledger, at.now.ms, session.id, "extended", &text)
            });
            if let Err(error) = committed {
                held.exchange(state.with(until), state);
                return Err(error);
            }
            held.used.set(row.used, mark);
            held.slot.tail.saved.fetch_max(row.saved, Relaxed);
            held.mark(flags::END_REQUESTED | flags::ENDING, false);
            self.trace(held, || format!("{} ms: extended by {granted} ms by {}", at.now.ms, class.name));
            Ok(Some(granted))
        })
    }

    pub(super) fn note_told(&self, at: At, session: SessionRef, class: &ClassRef) {
        let noted = self.change(at, session, false, |writer, _, mut row| {
            if !row.rare.told.contains(class) {
                row.rare.told.push(class.clone());
                writer.commit(|ledger| ledger.update_session(&row).map(drop))?;
            }
            Ok(())
        });
        if let Found::Failed(error) = noted {
            ::log::warn!(target: "libsession", "class {} may be told an end twice: {}", class.name, error.message());
        }
    }

    pub(super) fn spoil(&self, at: At, session: SessionRef) -> Result<bool> {
        let spoiled = self.change(at, session, false, |writer, held, mut row| {
            row.damaged = true;
            writer.commit(|ledger| ledger.update_session(&row).map(drop))?;
            held.mark(flags::DAMAGED, true);
            self.map.head().counters.damaged.fetch_add(1, Relaxed);
            Ok(())
        });
        match spoiled {
            Found::Live(()) => Ok(true),
            Found::Failed(error) => Err(error),
            _ => Ok(false),
        }
    }

    // --- ends ---
    pub(super) fn end_session(&self, at: At, session: SessionRef, spec: &EndSpec) -> Ended {
        let writer = match self.writer() {
            Ok(writer) => writer,
            Err(error) => return Ended::Failed(error),
        };
        let ended = match self.visit_writing(&writer, at, Name::Session(session), spec.thread) {
            Found::Live(visit) => {
                let end = End { held: visit.held, spec: spec.clone(), deadline: None };
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
            End { held, spec, deadline }
        });
        self.bury(writer, at, ends.collect()).map(drop)
    }

    /// Ends sessions: one transaction, and then it is told by the slots. Nothing changed if it fails.
    pub(super) fn bury(&self, writer: &Writer<'_>, at: At, ends: Vec<End<'_>>) -> Result<Vec<Receipt>> {
        if ends.is_empty() {
            return Ok(Vec::new());
        }
        let before: Vec<State> = ends.iter().map(|end| end.held.state()).collect();
        let buried = writer.commit(|ledger| {
            let mut graves = Vec::with_capacity(ends.len());
            for end in &ends {
                graves.push(self.bury_row(ledger, at, end)?);
            }
            // From here until the commit is known the books are to be asked.
            for end in &ends {
                end.held.publish(end.held.state().with(ASK));
            }
            Ok(graves)
        });
        let graves = match buried {
            Ok(graves) => graves,
            Err(error) => {
                // An outcome that is not known is left to the books; the slot asks them at the next look.
                if error.kind() != ErrorKind::Uncertain {
                    for (end, state) in ends.iter().zip(before) {
                        end.held.publish(state);
                        end.held.file(None);
                        self.refile(at.now, &end.held);
                    }
                }
                return Err(error);
            }
        };
        // What the reaper ends nobody waits for: the keeper has it on the disk soon. After a power cut within that time it
        // is overdue still, and ends at the opening.
        if self.durable() || ends.iter().any(|end| end.spec.thread != ThreadKind::Reaper) {
            writer.must_sync();
        }
        let counters = &self.map.head().counters;
        let mut receipts = Vec::with_capacity(ends.len());
        for (end, grave) in ends.into_iter().zip(graves) {
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
        writer.rang();
        Ok(receipts)
    }

    /// A pool's books within a transaction; changes of its level are told by this process.
    pub(super) fn with_pool<T>(
        &self,
        ledger: &mut books::Ledger<'_>,
        number: u32,
        work: impl FnOnce(&mut books::PoolAccount<'_, '_>) -> Result<T>,
    ) -> Result<T> {
        let mut pool = ledger.account(number, self.config.pools[number as usize].audit_records)?;
        let lingered = pool.totals().lingering;
        let done = work(&mut pool)?;
        if pool.totals().lingering > lingered
            && let Some((until, _)) = pool.first_lingering()?
            && until < self.map.head().due.lingering.fetch_min(until, AcqRel)
        {
            // If the commit fails there is one look for nothing.
            self.ring_reaper();
        }
        let levels = pool.levels.drain(..).map(|(level, in_use)| (number, level, in_use));
        self.local.levels.lock().extend(levels);
        Ok(done)
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
            licensed: row.charge.is_some(),
            event_id,
            user: row.user.clone(),
            more: None,
        };
        if spec.actor.is_some() || spec.note.is_some() || !row.rare.replaced.is_empty() {
            let (actor, note) = (spec.actor.clone(), spec.note.clone());
            grave.more = Some(Box::new(More { actor, note, replaced: row.rare.replaced.clone() }));
        }
        if let Some(charge) = &row.charge {
            let definition = &self.config.pools[charge.pool as usize];
            let since = row.created;
            self.with_pool(ledger, charge.pool, |pool| ledger::release(pool, definition, at, id, charge, since))?;
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
fn readable<T>(read: Result<T>) -> Result<Option<T>> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error) if error.kind() == ErrorKind::Corrupt => Ok(None),
        Err(error) => Err(error),
    }
}
