//! What falls due: the wheel, fed lazily, and the claims of the reaper.

use super::MemoryTable;
use super::cold::Cold;
use super::slot::{FREE, Place, Slot};
use crate::clock::{Millis, NEVER, Now};
use crate::deadline;
use crate::expiry::Wheel;
use crate::license::account::Account;
use crate::reason::{EndReason, ThreadKind};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::table::due::{Bounds, Lateness, Next, timeout_level};
use crate::table::*;

/// What belongs to whoever reaps.
pub(super) struct Reaping {
    wheel: Mutex<Filed>,
    /// The earliest instant filed since the bell was last rung or the wheel last read.
    earliest: AtomicU64,
    bell: Mutex<Option<Wake>>,
    pub lateness: Lateness,
}

#[derive(Default)]
struct Filed {
    wheel: Wheel,
    /// Slots that came up: instant, place in the order of creation, slot. The next one last.
    ready: Vec<(Millis, u64, u32)>,
    suspended: Millis,
}

impl Reaping {
    pub fn new() -> Self {
        Self {
            wheel: Mutex::default(),
            earliest: AtomicU64::new(NEVER),
            bell: Mutex::new(None),
            lateness: Lateness::default(),
        }
    }

    pub fn set_bell(&self, bell: Option<Wake>) {
        *self.bell.lock() = bell;
    }

    fn ring(&self) {
        let bell = self.bell.lock().clone();
        if let Some(bell) = bell {
            bell();
        }
    }
}

impl MemoryTable {
    /// When a session ends that nobody uses any more.
    pub(super) fn ends_unused(&self, now: Now, slot: &Slot, cold: &Cold) -> Millis {
        self.ends(now, slot, self.bounds(cold), cold.end_requested())
    }

    /// When a session that nobody uses any more has been idle for so long and has no request in flight.
    pub(super) fn idles(&self, now: Now, slot: &Slot, cold: &Cold, idle: Millis) -> Millis {
        self.idles_from(now, self.last_used(now, slot, cold), self.bounds(cold), idle)
    }

    fn bounds(&self, cold: &Cold) -> Bounds {
        let requests = cold.requests().map(|record| (record.start, record.touch));
        Bounds::of(requests, self.config.max_request)
    }

    /// Whether a session ends now: past a deadline, or asked to end when the last of its requests has just counted as
    /// finished. Tells the reason and the deadline.
    pub(super) fn ends_now(
        &self,
        now: Now,
        slot: &Slot,
        cold: &Cold,
        freed: bool,
    ) -> Option<(EndReason, Option<Millis>)> {
        let (deadline, reason) = self.deadline_of(now, slot);
        if now.ms >= deadline && deadline < NEVER {
            return Some((reason, Some(deadline)));
        }
        (freed && cold.end_requested() && !cold.is_busy()).then_some((EndReason::Ended, None))
    }

    /// What happens to a session next.
    pub(super) fn next_of(&self, now: Now, slot: &Slot, cold: &Cold) -> Next {
        let (deadline, reason) = self.deadline_of(now, slot);
        let mut next = if deadline < NEVER { Next::End(deadline, reason) } else { Next::Never };
        let asked = cold.rare().map_or(0, |rare| rare.extension.asked);
        if deadline < NEVER && asked != deadline && !self.classes(slot, cold).is_empty() {
            let timeout = match reason {
                EndReason::AbsoluteTimeout => self.absolute_timeout(slot, cold),
                _ => slot.idle.ms(),
            };
            next = Next::Ask(deadline::ask(deadline, timeout, self.application(slot.application()).ask_lead));
        }
        if let Some(record) = cold.earliest() {
            let bound = record.start.saturating_add(self.config.max_request);
            if bound < next.at() {
                next = Next::Request(bound);
            }
        }
        next
    }

    /// Files a slot if it falls due earlier than its entry stands; under its cold lock.
    pub(super) fn refile(&self, now: Now, index: u32, slot: &Slot, cold: &Option<Cold>) {
        let Some(cold) = cold else { return };
        self.ends_soon(now, slot, cold);
        let when = self.next_of(now, slot, cold).at();
        if when >= NEVER || slot.filed_at().is_some_and(|filed| filed <= when) {
            return;
        }
        slot.file(Some(when));
        self.home().inbox.lock().push(index);
        self.ring_if_earlier(when);
    }

    fn take_inboxes(&self, filed: &mut Filed) {
        for shard in &self.shards {
            let entries = std::mem::take(&mut *shard.inbox.lock());
            for index in entries {
                if let Some((slot, _)) = self.region.get(index)
                    && let Some(when) = slot.filed_at()
                {
                    filed.wheel.insert(index, when);
                }
            }
        }
    }

    /// After a suspend every absolute deadline is nearer in engine time than it was filed.
    fn take_suspend(&self, now: Now, filed: &mut Filed) {
        if now.suspended == filed.suspended {
            return;
        }
        filed.suspended = now.suspended;
        for index in 0..self.region.len() {
            if let Some((slot, cold)) = self.region.get(index) {
                let cold = cold.lock();
                self.refile(now, index, slot, &cold);
            }
        }
        self.take_inboxes(filed);
    }

    /// Has the reaper come at an instant.
    pub(super) fn ring_if_earlier(&self, when: Millis) {
        if when < self.reaping.earliest.load(Ordering::Acquire) {
            self.reaping.earliest.fetch_min(when, Ordering::AcqRel);
            self.reaping.ring();
        }
    }

    pub(super) fn next_claim(&self, now: Now) -> Option<Millis> {
        let mut filed = self.reaping.wheel.lock();
        self.take_suspend(now, &mut filed);
        // First the mark, then the boxes: what is filed after this look rings.
        let before = self.reaping.earliest.swap(NEVER, Ordering::AcqRel);
        self.take_inboxes(&mut filed);
        let ready = filed.ready.last().map(|(when, _, _)| *when);
        let lingering = self.accounts.iter().filter_map(Account::next_free).min();
        let next = ready.into_iter().chain(filed.wheel.next_due()).chain(lingering).min();
        self.reaping.earliest.fetch_min(next.unwrap_or(NEVER), Ordering::AcqRel);
        drop(filed);
        // Whoever filed something earlier finds this mark and does not ring; and this look need not be the reaper's.
        if next.is_some_and(|next| next < before) {
            self.reaping.ring();
        }
        next
    }

    pub(super) fn claim(&self, at: At, limit: usize) -> Claim {
        let mut claim = Claim::default();
        let mut filed = self.reaping.wheel.lock();
        self.take_suspend(at.now, &mut filed);
        self.take_inboxes(&mut filed);
        self.collect(at.now, &mut filed);
        let left = filed.ready.len().saturating_sub(limit);
        let batch = filed.ready.split_off(left);
        claim.more = left > 0;
        drop(filed);
        // The wheel is free from here on: whoever is woken may call anything.
        for (when, _, index) in batch.into_iter().rev() {
            self.claim_slot(at, when, index, &mut claim);
        }
        for account in &self.accounts {
            account.expire(at);
        }
        if !claim.more {
            self.graves.purge(at.now.ms);
        }
        claim
    }

    /// Moves what came up from the wheel into the list of what is ready, in the order of instant, then creation.
    fn collect(&self, now: Now, filed: &mut Filed) {
        let before = filed.ready.len();
        while let Some(bucket) = filed.wheel.pop(now.ms) {
            for index in bucket.entries {
                let Some((slot, _)) = self.region.get(index) else { continue };
                let Some(when) = slot.filed_at().filter(|when| *when < bucket.at + bucket.span) else { continue };
                if when > now.ms {
                    filed.wheel.insert(index, when);
                } else {
                    filed.ready.push((when, slot.created.order(), index));
                }
            }
        }
        if filed.ready.len() > before {
            filed.ready.sort_unstable_by(|a, b| b.cmp(a));
        }
    }

    fn claim_slot(&self, at: At, when: Millis, index: u32, claim: &mut Claim) {
        let Some((slot, cold)) = self.region.get(index) else { return };
        let mut guard = cold.lock();
        if slot.filed_at() != Some(when) {
            // A second entry of the same slot: it is filed anew already.
            return;
        }
        slot.file(None);
        let state = slot.state();
        if state.deadline() == FREE {
            return;
        }
        let place = Place { index, generation: state.generation() };
        let Some(cold) = guard.as_mut() else { return };
        let freed = self.expire_requests(at, slot, cold);
        if let Some((reason, deadline)) = self.ends_now(at.now, slot, cold, freed) {
            let level = timeout_level(reason);
            let spec = EndSpec { reason, level, thread: ThreadKind::Reaper, actor: None, note: None, here: false };
            let session = SessionRef { id: self.keys.id(place, cold.random()), place: place.locator() };
            self.bury(at, session, slot, guard, &spec, deadline);
            claim.ended += 1;
            return;
        }
        if let Next::Ask(ask) = self.next_of(at.now, slot, cold)
            && ask <= at.now.ms
        {
            let (deadline, reason) = self.deadline_of(at.now, slot);
            let used = self.extensions_used(slot, cold);
            let may_extend = reason == EndReason::IdleTimeout
                && used < self.application(slot.application()).max_extensions
                && slot.absolute.ms() > slot.state().deadline();
            cold.rare_mut().extension.asked = deadline;
            claim.asks.push(Ask {
                session: SessionRef { id: self.keys.id(place, cold.random()), place: place.locator() },
                deadline: slot.state().deadline(),
                reason,
                may_extend,
            });
        }
        let waiters = if freed { cold.take_waiters() } else { Default::default() };
        self.refile(at.now, index, slot, &guard);
        drop(guard);
        self.wake_all(waiters);
    }

    pub(super) fn lateness(&self) -> (Millis, Millis) {
        self.reaping.lateness.worst()
    }
}
