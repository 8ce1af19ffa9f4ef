//! How sessions come and go: slots, creation, change of holder, end.

use super::MemoryTable;
use super::cold::Cold;
use super::log::Entry;
use super::slot::{FREE, IN_FLIGHT, Place, Slot, State};
use super::visit::{Visit, Waiters};
use crate::clock::{Millis, NEVER};
use crate::deadline;
use crate::error::{Error, ErrorKind, Result};
use crate::license::ledger::Demand;
use crate::license::policy::Rank;
use crate::reason::{EndReason, LicenseClass};
use crate::session::Receipt;
use crate::sync::MutexGuard;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::table::grave::{Grave, MAX_REPLACED, More, Replaced};
use crate::table::*;

/// How long a replaced token answers `gone(replaced)` after its grace.
const REPLACED_STANDS: Millis = 600_000;
/// Slots that a thread takes at once.
const SLOTS_AT_ONCE: u32 = if cfg!(feature = "shuttle") { 4 } else { 64 };

/// So many creations are told apart; their order within a millisecond is lost once in as many.
const ORDERS: u64 = (1 << 22) - 1;

/// Counters of the table.
pub(super) struct Counters {
    pub live: AtomicU64,
    pub peak: AtomicU64,
    pub created: AtomicU64,
    pub ended: [AtomicU64; EndReason::ALL.len()],
    pub applications: Vec<AtomicU64>,
    pub damaged: AtomicU64,
    pub replaced_uses: AtomicU64,
    pub waiters: AtomicU64,
}

impl Counters {
    pub fn new(applications: usize) -> Self {
        Self {
            live: AtomicU64::new(0),
            peak: AtomicU64::new(0),
            created: AtomicU64::new(0),
            ended: std::array::from_fn(|_| AtomicU64::new(0)),
            applications: (0..applications).map(|_| AtomicU64::new(0)).collect(),
            damaged: AtomicU64::new(0),
            replaced_uses: AtomicU64::new(0),
            waiters: AtomicU64::new(0),
        }
    }

    /// Counts a creation, which is among the live ones already; answers a number that tells it apart from others of the same
    /// millisecond.
    pub fn count_created(&self) -> u32 {
        let live = self.live.load(Ordering::Acquire);
        if live > self.peak.load(Ordering::Relaxed) {
            self.peak.fetch_max(live, Ordering::Relaxed);
        }
        (self.created.fetch_add(1, Ordering::Relaxed) & ORDERS) as u32
    }

    pub fn move_application(&self, from: u32, to: u32) {
        self.applications[from as usize].fetch_sub(1, Ordering::AcqRel);
        self.applications[to as usize].fetch_add(1, Ordering::AcqRel);
    }
}

/// Adds one below a limit; tells whether it did.
fn add_below(counter: &AtomicU64, limit: u64) -> bool {
    counter.try_update(Ordering::AcqRel, Ordering::Acquire, |count| (count < limit).then_some(count + 1)).is_ok()
}

impl MemoryTable {
    pub(super) fn take_slot(&self) -> Result<u32> {
        let home = self.home();
        if let Some(index) = home.free.lock().pop() {
            return Ok(index);
        }
        // Slots go home to whoever ends their sessions, often the reaper: what lies there is used before the table grows.
        if let Some(index) = self.fetch_slots(home) {
            return Ok(index);
        }
        if let Some(range) = self.region.grow(SLOTS_AT_ONCE) {
            home.free.lock().extend(range.clone().skip(1).rev());
            return Ok(range.start);
        }
        self.fetch_slots(home)
            .ok_or_else(|| Error::new(ErrorKind::SessionLimit, "the memory table is full: it has 268,435,456 slots"))
    }

    /// Takes free slots from another home: up to half of what lies there.
    fn fetch_slots(&self, home: &super::Shard) -> Option<u32> {
        let mut fetched = self.shards.iter().filter(|shard| !std::ptr::eq(*shard, home)).find_map(|shard| {
            let mut free = shard.free.lock();
            let count = free.len().div_ceil(2).min(SLOTS_AT_ONCE as usize);
            (count > 0).then(|| free.drain(..count).collect::<Vec<_>>())
        })?;
        let index = fetched.pop();
        home.free.lock().append(&mut fetched);
        index
    }

    pub(super) fn give_slot(&self, index: u32) {
        self.home().free.lock().push(index);
    }

    pub(super) fn make(
        &self,
        at: At,
        draft: &Draft,
        new: &mut NewSession,
    ) -> Result<std::result::Result<Option<RequestKey>, Refused>> {
        let place = Place::from_locator(draft.session.place);
        let Some((slot, mut cold)) = self.slot(place) else {
            return Err(Error::new(ErrorKind::Internal, "the draft's slot is missing"));
        };
        if slot.state() != State::new(place.generation, FREE) || cold.is_some() {
            return Err(Error::new(ErrorKind::Internal, "the draft was used already"));
        }
        let application = self.application(new.application);
        if !add_below(&self.counters.live, self.config.max_sessions) {
            return Ok(Err(Refused::Sessions(None, self.config.max_sessions)));
        }
        if !add_below(&self.counters.applications[new.application as usize], application.max_sessions) {
            self.counters.live.fetch_sub(1, Ordering::AcqRel);
            return Ok(Err(Refused::Sessions(Some(application.name.clone()), application.max_sessions)));
        }
        let mut woken = Waiters::new();
        if let Some(charge) = &new.charge
            && let Err(reason) = self.charge_new(
                at,
                draft.session,
                at.now.ms,
                Demand::asking(charge, Rank::Ordinary, new.asking),
                &mut woken,
            )
        {
            self.counters.live.fetch_sub(1, Ordering::AcqRel);
            self.counters.applications[new.application as usize].fetch_sub(1, Ordering::AcqRel);
            if new.asking.ends_with(reason) {
                self.log.add(at.now.ms, draft.session.id, Entry::Refused(EndReason::LicenseDenied));
            }
            return Ok(Err(Refused::License(reason)));
        }
        // Who was evicted for it never lived beside it.
        let order = self.counters.count_created();

        let mut inner = Cold::new(draft.session.id, std::mem::take(&mut new.data));
        let request = new.begin.map(|(touch, lock)| {
            self.home().in_flight.fetch_add(1, Ordering::Relaxed);
            inner.add_request(at.now.ms, touch, lock)
        });
        let active = inner.is_active();
        if new.client != Default::default() {
            inner.extra_mut().client = Some(Box::new(std::mem::take(&mut new.client)));
        }
        if at.now.suspended > 0 {
            inner.extra_mut().slept = at.now.suspended;
        }
        if application.trace {
            inner.rare_mut().trace = Some(Default::default());
        }
        inner.trace(|| format!("{} ms: created in {}", at.now.ms, application.name));
        slot.created.set(at.now.ms, order);
        slot.absolute.set_ms(deadline::absolute(at.now.absolute(), new.absolute));
        slot.idle.set(new.idle, new.application);
        slot.used.set_ms(at.now.ms);
        self.wall.get_or_init(|| at.wall.saturating_sub(i64::try_from(at.now.ms).unwrap_or(i64::MAX)));
        inner.set_wall(at.wall, self.expected_wall(slot));
        slot.absolute.set_small(0);
        self.set_charge(slot, &mut inner, new.charge.as_ref());
        if let Some(lazy) = new.lazy {
            self.set_lazy(slot, lazy);
        }
        if new.brief {
            self.set_brief(slot, true);
        }
        self.set_classes(slot, &mut inner, &new.classes);
        let due = deadline::idle(self.idle_now(at.now), new.idle, self.config.quantum);
        *cold = Some(inner);
        self.log.add(at.now.ms, draft.session.id, Entry::Created(new.application));
        slot.publish(State::new(place.generation, if active { IN_FLIGHT } else { due }));
        self.refile(at.now, place.index, slot, &cold);
        drop(cold);
        self.wake_all(woken);
        Ok(Ok(request.map(|number| RequestKey { session: draft.session, number })))
    }

    pub(super) fn change_timeouts(
        &self,
        at: At,
        visit: Visit<'_>,
        idle: Option<Millis>,
        absolute: Option<Millis>,
    ) -> Result<()> {
        let slot = visit.slot;
        if let Some(timeout) = absolute {
            let created = slot.created.ms();
            let now = slot.absolute.ms();
            // The creation is on the idle clock.
            let slept = visit.cold.as_ref().and_then(Cold::extra).map_or(0, |extra| extra.slept);
            let wanted = deadline::absolute(created.saturating_add(slept), timeout);
            if wanted > now {
                return Err(Error::invalid(format!(
                    "an absolute timeout of {timeout} ms would move the deadline later, from {now} ms to {wanted} ms: it can \
                     only be set earlier on a live session"
                )));
            }
            slot.absolute.set_ms(wanted);
        }
        if let Some(idle) = idle {
            self.set_brief(slot, false);
            self.change_idle(at, &visit, idle);
        }
        self.refile(at.now, visit.place.index, slot, &visit.cold);
        Ok(())
    }

    /// Another idle timeout, counted from the last use.
    pub(super) fn change_idle(&self, at: At, visit: &Visit<'_>, idle: Millis) {
        let slot = visit.slot;
        let used = visit.cold.as_ref().map_or(at.now.ms, |cold| self.last_used(at.now, slot, cold));
        slot.idle.set_ms(idle);
        slot.used.set_ms(used);
        loop {
            let state = slot.state();
            if state.deadline() == IN_FLIGHT {
                break;
            }
            let due = deadline::idle(used, idle, self.config.quantum).max(1);
            if slot.exchange(state, state.with(due)) {
                break;
            }
        }
        self.refile(at.now, visit.place.index, slot, &visit.cold);
    }

    /// `None`: to be asked again a moment later, without the session's lock; not if this is the `last` time.
    pub(super) fn trade(
        &self,
        at: At,
        mut visit: Visit<'_>,
        change: &HolderChange,
        last: bool,
    ) -> Option<Result<HolderChanged, ChangeRefused>> {
        let mut woken = Waiters::new();
        let changed = self.change_user(at, &mut visit, change, last, &mut woken)?;
        drop(visit);
        self.wake_all(woken);
        Some(changed)
    }

    fn change_user(
        &self,
        at: At,
        visit: &mut Visit<'_>,
        change: &HolderChange,
        last: bool,
        woken: &mut Waiters,
    ) -> Option<Result<HolderChanged, ChangeRefused>> {
        let session = visit.session;
        let slot = visit.slot;
        let Some(cold) = visit.cold.as_mut() else { return Some(Err(ChangeRefused::Changed)) };
        if cold.user() != change.expected.as_ref() {
            return Some(Err(ChangeRefused::Changed));
        }
        let mut trade_denied = None;
        if let Some(lazy) = self.lazy(slot).filter(|_| change.user.is_some() && !change.trade_only) {
            let holder = change.holder.clone();
            let to = Charge { pool: lazy.pool, class: LicenseClass::Lazy, holder, client: None };
            // Nobody works unlicensed: what is not had is not kept.
            let demand = Demand::asking(&to, change.rank, change.asking);
            match self.trade_charge(at, session, None, demand, (change.revision, last), woken)? {
                None => return Some(Err(ChangeRefused::Redefined)),
                Some(Ok(())) => {}
                Some(Err(reason)) => return Some(Err(ChangeRefused::License(reason))),
            }
            self.set_charge(slot, cold, Some(&to));
            cold.extra_mut().licensed = at.now.ms;
        } else if let Some(from) = &self.charge(slot, cold) {
            let to = from.with_holder(&change.holder);
            if to.holder != from.holder {
                let demand = Demand::asking(&to, change.rank, change.asking);
                let traded = self.trade_charge(at, session, Some(from), demand, (change.revision, last), woken)?;
                match traded {
                    None => return Some(Err(ChangeRefused::Redefined)),
                    Some(Ok(())) => {
                        self.set_charge(slot, cold, Some(&to));
                        if from.class != to.class && self.is_brief(slot) {
                            self.set_brief(slot, false);
                            self.change_idle(at, visit, change.idle);
                        }
                    }
                    Some(Err(reason)) if change.keeps(reason) => trade_denied = Some(reason),
                    Some(Err(reason)) => return Some(Err(ChangeRefused::License(reason))),
                }
            }
        }
        let Some(cold) = visit.cold.as_mut() else { return Some(Err(ChangeRefused::Changed)) };
        if change.trade_only {
            return Some(Ok(HolderChanged { token: None, trade_denied }));
        }
        if cold.user() != change.user.as_ref() {
            let what = if change.user.is_some() { "login" } else { "logout" };
            cold.extra_mut().user = change.user.clone();
            self.log.add(at.now.ms, session.id, Entry::User(what, change.user.clone()));
            cold.trace(|| format!("{} ms: {what}", at.now.ms));
        }
        let token = change.rotate.map(|grace| {
            let place = visit.place;
            let (token, verifier) = self.keys.seal(place, crate::id::random());
            let old = slot.verifier();
            let replaced = &mut cold.extra_mut().replaced;
            replaced.retain(|old| at.now.ms < old.until);
            if replaced.len() >= MAX_REPLACED {
                replaced.remove(0);
            }
            let grace = at.now.ms.saturating_add(grace);
            replaced.push(Replaced { verifier: old, grace, until: grace.saturating_add(REPLACED_STANDS) });
            slot.set_verifier(verifier);
            // A touch that compared the old verifier must look again.
            self.log.add(at.now.ms, session.id, Entry::Rotated);
            cold.trace(|| format!("{} ms: token rotated", at.now.ms));
            token
        });
        Some(Ok(HolderChanged { token, trade_denied }))
    }

    /// Ends a session: the one step. Releases the lock, then wakes whoever waited.
    ///
    /// Answers the receipt of an end that no deadline brought.
    pub(super) fn bury(
        &self,
        at: At,
        session: SessionRef,
        slot: &Slot,
        guard: MutexGuard<'_, Option<Cold>>,
        spec: &EndSpec,
        deadline: Option<Millis>,
    ) -> Option<Receipt> {
        let mut woken = Waiters::new();
        let receipt = self.entomb(at, session, slot, guard, spec, (deadline, true, &mut woken));
        self.wake_all(woken);
        receipt
    }

    /// The same up to the wake-ups, which the caller does when it holds no lock; what the session is charged is released if it
    /// is `charged` still.
    #[inline]
    pub(super) fn entomb(
        &self,
        at: At,
        session: SessionRef,
        slot: &Slot,
        mut guard: MutexGuard<'_, Option<Cold>>,
        spec: &EndSpec,
        (deadline, charged, woken): (Option<Millis>, bool, &mut Waiters),
    ) -> Option<Receipt> {
        let (id, place) = (session.id, Place::from_locator(session.place));
        let old = slot.publish(State::new(place.generation + 1, FREE));
        debug_assert_eq!(old.generation(), place.generation);
        let mut cold = guard.take()?;
        let event_id = self.events.fetch_add(1, Ordering::Relaxed) + 1;
        let licensed = Self::charged_to(slot).is_some();
        let mut grave = Grave {
            id,
            verifier: slot.verifier(),
            until: at.now.ms.saturating_add(self.config.tombstone),
            application: slot.application(),
            reason: spec.reason,
            level: spec.level,
            at: at.now.ms,
            wall: at.wall,
            late: deadline.map(|deadline| at.now.ms.saturating_sub(deadline)),
            licensed: licensed || !cold.takes().is_empty(),
            event_id,
            user: cold.user().cloned(),
            more: None,
        };
        if charged && licensed && !self.gives_bare(slot, &cold) {
            self.release(at, session, slot, &cold);
        }
        self.give_all_back(at, id, cold.takes());
        self.accounts.iter().for_each(|account| account.dismiss(at, id));
        self.counters.live.fetch_sub(1, Ordering::AcqRel);
        self.counters.applications[slot.application() as usize].fetch_sub(1, Ordering::AcqRel);
        self.counters.ended[spec.reason as usize - 1].fetch_add(1, Ordering::Relaxed);
        if cold.is_busy() {
            self.home().in_flight.fetch_sub(cold.requests().count() as i64, Ordering::Relaxed);
        }
        if let Some(late) = grave.late {
            self.reaping.lateness.note(late);
        }
        cold.move_waiters(woken);
        let classes = Some(self.classes(slot, &cold)).filter(|classes| !classes.is_empty()).cloned();
        let told = classes.is_some() || cold.rare().is_some_and(|rare| !rare.attachments.is_empty());
        let replaced = cold.take_replaced();
        if spec.actor.is_some() || spec.note.is_some() || !replaced.is_empty() {
            let (actor, note) = (spec.actor.clone(), spec.note.clone());
            grave.more = Some(Box::new(More { actor, note, replaced }));
        }
        let receipt = deadline.is_none().then(|| grave.receipt(self.application(grave.application).name.clone()));
        self.graves.bury(place.locator(), grave, at.now.ms);
        self.log.add(at.now.ms, id, Entry::Ended(spec.reason));
        if told {
            let snapshot = cold.take_snapshot();
            let (told, attachments) = cold.take_told();
            self.outbox.push(OutboxRow {
                event_id,
                session: id,
                application: slot.application(),
                user: cold.user().cloned(),
                reason: spec.reason,
                level: spec.level,
                thread: spec.thread,
                at_ms: at.now.ms,
                wall_ms: at.wall,
                classes: classes.unwrap_or_else(|| self.none.clone()),
                told,
                snapshot,
                attachments,
                redelivered: false,
                waited: false,
            });
        }
        drop(guard);
        self.give_slot(place.index);
        receipt
    }

    pub(super) fn card_of(&self, at: At, visit: &Visit<'_>) -> Found<Card> {
        let Some(cold) = visit.cold.as_ref() else { return Found::Absent };
        let rule = self.application(visit.slot.application());
        let absolute = Self::absolute_to_engine(visit.slot.absolute.ms(), at.now);
        Found::Live(Card {
            session: visit.session,
            application: visit.slot.application(),
            user: cold.user().cloned(),
            classes: self.classes(visit.slot, cold).clone(),
            snapshot: cold.snapshot(),
            charge: self.charge(visit.slot, cold),
            lazy: self.lazy(visit.slot),
            idle: visit.slot.idle.ms(),
            brief: self.is_brief(visit.slot),
            may_extend: self.extensions_used(visit.slot, cold) < rule.max_extensions && absolute > at.now.ms,
            absolute_deadline: absolute,
        })
    }

    /// Extensions in a row since the last user activity.
    pub(super) fn extensions_used(&self, slot: &Slot, cold: &Cold) -> u32 {
        match cold.rare().map(|rare| &rare.extension) {
            Some(extension) if extension.deadline == slot.state().deadline() => extension.count,
            _ => 0,
        }
    }

    pub(super) fn grant(
        &self,
        at: At,
        mut visit: Visit<'_>,
        asked: Millis,
        class: &ClassRef,
        by: Millis,
    ) -> Option<Millis> {
        let slot = visit.slot;
        let state = slot.state();
        let cold = visit.cold.as_mut()?;
        let rule = self.application(slot.application());
        let used = self.extensions_used(slot, cold);
        let absolute = Self::absolute_to_engine(slot.absolute.ms(), at.now);
        if used >= rule.max_extensions {
            return None;
        }
        // Asked ahead of a deadline, the grant counts from it; asked at an explicit end, from now.
        let idle = state.deadline();
        let base = if asked == 0 { self.idle_now(at.now) } else { idle };
        if asked != 0 && idle != asked {
            return None;
        }
        let until = deadline::extended(base, by, rule.extension_cap, absolute);
        let granted = until.saturating_sub(base);
        if granted == 0 {
            return None;
        }
        slot.used.set_ms(self.last_used(at.now, slot, cold));
        let mut until = until.div_ceil(self.config.quantum) * self.config.quantum;
        if idle != IN_FLIGHT {
            until = if idle == NEVER { NEVER } else { until.max(idle) };
            if !slot.exchange(state, state.with(until)) {
                // A user's activity came first: that is better than an extension.
                return None;
            }
        }
        let application = class.name.to_string();
        let now = at.now.ms;
        let rare = cold.rare_mut();
        rare.extension.count = used + 1;
        rare.extension.deadline = if idle == IN_FLIGHT { idle } else { until };
        rare.extension.history.push((now, application.clone(), granted));
        if rare.extension.history.len() > 32 {
            rare.extension.history.remove(0);
        }
        cold.set_end_requested(false);
        cold.trace(|| format!("{now} ms: extended by {granted} ms by {application}"));
        self.log.add(now, visit.session.id, Entry::Extended(application, granted));
        self.refile(at.now, visit.place.index, slot, &visit.cold);
        Some(granted)
    }
}
