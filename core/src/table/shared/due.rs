//! What falls due: one process at a time keeps the wheel; any process ends what it finds overdue.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::time::{Duration, Instant};

use super::SharedTable;
use super::books::SessionRow;
use super::layout::flags;
use super::patience::Less;
use super::visit::{Held, Look, Name};
use crate::clock::{Millis, NEVER, Now};
use crate::deadline;
use crate::error::Result;
use crate::expiry::Wheel;
use crate::license::ledger;
use crate::reason::{EndReason, ThreadKind};
use crate::table::due::{Bounds, Next};
use crate::table::slot::FREE;
use crate::table::*;

/// The end of the chain of slots to be filed.
const END: u32 = u32::MAX;
/// How long who does not reap waits before it tries to.
pub(super) const TRY_AGAIN: Millis = 250;
/// When the wheel is filled again though a slot could not be had.
const FILL_AGAIN: Millis = 1000;
/// How long a turn at reaping is waited for on a manual clock.
const TURN: Duration = Duration::from_secs(5);

/// The wheel of whoever reaps.
#[derive(Default)]
pub(super) struct Filed {
    wheel: Wheel,
    /// Slots that came up: instant, place in the order of creation, slot. The next one last.
    ready: Vec<(Millis, u64, u32)>,
    suspended: Millis,
    /// Whether this process reaps.
    pub leading: bool,
    /// What the wheel was filled for.
    rescan: u64,
    /// When it is to be filled again, because a slot could not be had.
    again: Option<Millis>,
}

impl SharedTable {
    // --- deadlines ---
    /// When a session ends that nobody uses any more. Nobody need hold it.
    pub(super) fn ends_unused(&self, now: Now, held: &Held<'_>) -> Millis {
        self.ends(now, held, self.bounds(held), held.has(flags::END_REQUESTED))
    }

    /// When a session that nobody uses any more has been idle for so long and has no request in flight.
    pub(super) fn idles(&self, now: Now, held: &Held<'_>, idle: Millis) -> Millis {
        self.idles_from(now, self.last_used(now, held), self.bounds(held), idle)
    }

    fn bounds(&self, held: &Held<'_>) -> Bounds {
        if !self.is_busy(held) {
            return Bounds::default();
        }
        Bounds::of(self.flights(held).map(|flight| (flight.start, flight.touch)), self.config.max_request)
    }

    /// Whether a held session ends now: past a deadline, or asked to end when the last of its requests counted as
    /// finished.
    pub(super) fn ends_now(&self, now: Now, held: &Held<'_>) -> Option<(EndReason, Option<Millis>)> {
        let (deadline, reason) = self.deadline_of(now, held);
        if now.ms >= deadline && deadline < NEVER {
            return Some((reason, Some(deadline)));
        }
        held.has(flags::ENDING).then_some((EndReason::Ended, None))
    }

    /// What happens to a held session next.
    pub(super) fn next_of(&self, now: Now, held: &Held<'_>) -> Next {
        let (deadline, reason) = self.deadline_of(now, held);
        let mut next = if deadline < NEVER { Next::End(deadline, reason) } else { Next::Never };
        if deadline < NEVER && held.slot.tail.asked.load(Relaxed) != deadline && held.has(flags::CLASSES) {
            let timeout = match reason {
                EndReason::AbsoluteTimeout => self.absolute_timeout(held),
                _ => held.idle.ms(),
            };
            next = Next::Ask(deadline::ask(deadline, timeout, self.application(held.application()).ask_lead));
        }
        if let Some(flight) = self.earliest(held) {
            let bound = flight.start.saturating_add(self.config.max_request);
            if bound < next.at() {
                next = Next::Request(bound);
            }
        }
        next
    }

    /// The absolute timeout of a held session, 0 for never.
    pub(super) fn absolute_timeout(&self, held: &Held<'_>) -> Millis {
        match held.absolute.ms() {
            NEVER => 0,
            deadline => {
                let slept = u64::from(held.slot.tail.slept.load(Relaxed));
                deadline.saturating_sub(held.created.ms().saturating_add(slept))
            }
        }
    }

    // --- filing ---
    /// Files a held slot if it falls due earlier than its entry stands.
    pub(super) fn refile(&self, now: Now, held: &Held<'_>) {
        self.local.soon.forget();
        let when = self.next_of(now, held).at();
        if when >= NEVER || held.filed_at().is_some_and(|filed| filed <= when) {
            return;
        }
        held.file(Some(when));
        self.chain(held.index);
        let due = &self.map.head().due;
        if when < due.earliest.fetch_min(when, AcqRel) {
            self.ring_reaper();
        }
    }

    /// Puts a slot into the chain of those that the reaper is to file.
    fn chain(&self, index: u32) {
        let (Some(slot), due) = (self.map.slot(index), &self.map.head().due) else { return };
        if slot.tail.due.compare_exchange(0, END, AcqRel, Relaxed).is_err() {
            return;
        }
        let mut first = due.chain.load(Acquire);
        loop {
            slot.tail.due.store(if first == 0 { END } else { first }, Release);
            match due.chain.compare_exchange_weak(first, index + 1, AcqRel, Acquire) {
                Ok(_) => return,
                Err(now) => first = now,
            }
        }
    }

    fn take_chain(&self, filed: &mut Filed) {
        let mut next = self.map.head().due.chain.swap(0, AcqRel);
        while next != 0 && next != END {
            let index = next - 1;
            let Some(slot) = self.map.slot(index) else { break };
            // Out of the chain before it is read: who files it again puts it in again.
            next = slot.tail.due.swap(0, AcqRel);
            if let Some(when) = slot.hot.filed_at() {
                filed.wheel.insert(index, when);
            }
        }
    }

    /// Begins to reap, or goes on; `false` while another process does.
    pub(super) fn lead(&self, filed: &mut Filed, now: Now) -> bool {
        if self.options.guest {
            return false;
        }
        let due = &self.map.head().due;
        if !filed.leading {
            if !self.try_to_lead() {
                return false;
            }
            filed.leading = true;
            if due.leader.swap(self.me, AcqRel) != self.me {
                due.rescan.fetch_add(1, AcqRel);
                // The keeper may sleep for long, and has more to do from now on: it looks for the dead.
                self.ring(self.me);
            }
        }
        due.beat.store(now.ms, Relaxed);
        let rescan = due.rescan.load(Acquire);
        let again = filed.again.is_some_and(|again| again <= now.ms);
        if again || filed.rescan != rescan || filed.suspended != now.suspended {
            // After a suspend every absolute deadline is nearer in engine time than it was filed.
            (filed.rescan, filed.suspended, filed.again) = (rescan, now.suspended, None);
            self.fill_wheel(filed, now);
            if filed.again.is_none() {
                due.filled.store(rescan, Release);
            }
        }
        true
    }

    /// On a manual clock every process reaps in its turn, and waits for it.
    fn try_to_lead(&self) -> bool {
        let until = Instant::now() + TURN;
        loop {
            if self.processes.lead() {
                return true;
            }
            if self.clock.manual().is_none() || Instant::now() > until {
                return false;
            }
            std::thread::yield_now();
        }
    }

    /// Lets another process reap.
    pub(super) fn unlead(&self, filed: &mut Filed) {
        if std::mem::take(&mut filed.leading) {
            self.processes.unlead();
        }
    }

    fn fill_wheel(&self, filed: &mut Filed, now: Now) {
        self.take_chain(filed);
        filed.wheel = Wheel::default();
        // An empty wheel turns to now at once; else all that is filed would seem to come up when its first bucket begins.
        let _nothing = filed.wheel.pop(now.ms);
        filed.ready.clear();
        let mut earliest = NEVER;
        for index in 0..self.map.head().slots.next.load(Acquire) {
            let Some(slot) = self.map.slot(index) else { break };
            if slot.hot.state().deadline() == FREE {
                continue;
            }
            let held = match self.hold(index) {
                Ok(Some(held)) => held,
                Ok(None) => break,
                Err(error) => {
                    ::log::error!(target: "libsession", "slot {index} can't be filed now: {}", error.message());
                    filed.again = Some(now.ms.saturating_add(FILL_AGAIN));
                    continue;
                }
            };
            if !held.taken() {
                continue;
            }
            let when = self.next_of(now, &held).at();
            held.file((when < NEVER).then_some(when));
            if when < NEVER {
                filed.wheel.insert(index, when);
                earliest = earliest.min(when);
            }
        }
        self.map.head().due.earliest.fetch_min(earliest, AcqRel);
        // Whoever reaped before may have died on the way.
        let lingering = self.books.glance(|pages| {
            let firsts = (0..).zip(&self.config.pools).map(|(pool, _)| pages.first_lingering(pool));
            firsts.map(|first| Ok(first?.map_or(NEVER, |(until, _)| until))).collect::<Result<Vec<_>>>()
        });
        let first = lingering.map_or(0, |firsts| firsts.into_iter().min().unwrap_or(NEVER));
        self.map.head().due.lingering.store(first, Release);
    }

    /// Frees the units that have lingered long enough.
    fn expire_lingering(&self, at: At) -> Result<()> {
        let lingering = &self.map.head().due.lingering;
        let writer = self.writer()?;
        // First the mark, then the look: a unit that begins to linger meanwhile waits for the writer's word.
        lingering.store(NEVER, Release);
        let next = writer.commit(|ledger| {
            let mut next = None;
            for number in 0..self.config.pools.len() as u32 {
                let when = self.with_pool(ledger, number, |pool, defined| ledger::expire(pool, &defined.rules, at))?;
                next = next.into_iter().chain(when).min();
            }
            Ok(next)
        });
        lingering.fetch_min(next.as_ref().map_or(at.now.ms, |next| next.unwrap_or(NEVER)), AcqRel);
        self.done(writer, false)?;
        next.map(drop)
    }

    /// When the reaper must be at work again.
    pub(super) fn next_claim(&self, now: Now) -> Option<Millis> {
        if self.options.guest {
            return None;
        }
        let _less = Less::is_tried_again();
        let mut filed = self.filed.lock();
        if !self.lead(&mut filed, now) {
            return Some(now.ms + TRY_AGAIN);
        }
        let due = &self.map.head().due;
        // First the mark, then the chain: what is filed after this look rings.
        let before = due.earliest.swap(NEVER, AcqRel);
        self.take_chain(&mut filed);
        let ready = filed.ready.last().map(|(when, _, _)| *when);
        let lingering = Some(due.lingering.load(Acquire)).filter(|when| *when < NEVER);
        let next = ready.into_iter().chain(filed.wheel.next_due()).chain(filed.again).chain(lingering).min();
        due.earliest.fetch_min(next.unwrap_or(NEVER), AcqRel);
        if self.clock.manual().is_some() {
            self.unlead(&mut filed);
        }
        drop(filed);
        if next.is_some_and(|next| next < before) {
            self.ring_reaper();
        }
        next
    }

    pub(super) fn claim(&self, at: At, limit: usize) -> Result<Claim> {
        let _less = Less::is_tried_again();
        self.keep(at)?;
        let mut claim = Claim::default();
        let mut filed = self.filed.lock();
        let mut leads = false;
        let batch = if self.lead(&mut filed, at.now) {
            leads = true;
            self.take_chain(&mut filed);
            self.collect(at.now, &mut filed);
            let left = filed.ready.len().saturating_sub(limit);
            claim.more = left > 0;
            let mut batch = filed.ready.split_off(left);
            batch.reverse();
            if self.clock.manual().is_some() {
                self.unlead(&mut filed);
            }
            batch
        } else if !self.options.guest && self.reaper_is_late(at.now) {
            self.overdue(at.now, limit)
        } else {
            Vec::new()
        };
        drop(filed);
        if let Err(error) = self.claim_batch(at, &batch, &mut claim) {
            // What was taken from the wheel is not forgotten.
            for (_, _, index) in &batch {
                if self.map.slot(*index).is_some_and(|slot| slot.hot.filed_at().is_some()) {
                    self.chain(*index);
                }
            }
            // Who was found to be asked is asked; the failure is met again by the next claim.
            if claim.asks.is_empty() {
                return Err(error);
            }
            claim.more = false;
            return Ok(claim);
        }
        if leads && self.map.head().due.lingering.load(Acquire) <= at.now.ms {
            self.expire_lingering(at)?;
        }
        if !claim.more {
            self.purge(at)?;
        }
        Ok(claim)
    }

    /// Whether something is overdue that whoever reaps did not see to; asked once in a while.
    fn reaper_is_late(&self, now: Now) -> bool {
        let due = &self.map.head().due;
        if due.earliest.load(Acquire) > now.ms {
            return false;
        }
        let looked = &self.local.looked;
        let last = looked.load(Relaxed);
        last.saturating_add(TRY_AGAIN) <= now.ms && looked.compare_exchange(last, now.ms, Relaxed, Relaxed).is_ok()
    }

    /// What is overdue, found without the wheel.
    fn overdue(&self, now: Now, limit: usize) -> Vec<(Millis, u64, u32)> {
        let mut found = Vec::new();
        for index in 0..self.map.head().slots.next.load(Acquire) {
            let Some(slot) = self.map.slot(index) else { break };
            if slot.hot.state().deadline() == FREE {
                continue;
            }
            let (deadline, _) = self.deadline_of(now, &slot.hot);
            if deadline <= now.ms {
                found.push((deadline, slot.hot.created.order(), index));
            }
        }
        found.sort_unstable();
        found.truncate(limit);
        found
    }

    /// Moves what came up from the wheel into the list of what is ready, in the order of instant, then creation.
    fn collect(&self, now: Now, filed: &mut Filed) {
        let before = filed.ready.len();
        while let Some(bucket) = filed.wheel.pop(now.ms) {
            for index in bucket.entries {
                let Some(slot) = self.map.slot(index) else { continue };
                let Some(when) = slot.hot.filed_at().filter(|when| *when < bucket.at + bucket.span) else { continue };
                if when > now.ms {
                    filed.wheel.insert(index, when);
                } else {
                    filed.ready.push((when, slot.hot.created.order(), index));
                }
            }
        }
        if filed.ready.len() > before {
            filed.ready.sort_unstable_by(|a, b| b.cmp(a));
        }
    }

    fn claim_batch(&self, at: At, batch: &[(Millis, u64, u32)], claim: &mut Claim) -> Result<()> {
        // Most of what comes up was used meanwhile and is filed again without the books.
        let (mut ends, mut outcome) = (Vec::new(), Ok(()));
        for (_, _, index) in batch {
            match self.hold(*index) {
                Ok(Some(held)) if held.taken() => {
                    if let Some(session) = self.claim_held(at, held, claim)
                        && !ends.contains(&session)
                    {
                        ends.push(session);
                    }
                }
                Ok(_) => {}
                // The others are not held up by one that can't be had.
                Err(error) => outcome = Err(error),
            }
        }
        if ends.is_empty() {
            return outcome;
        }
        let writer = self.writer()?;
        let mut due = Vec::with_capacity(ends.len());
        for session in &ends {
            match self.look_for(at, Name::Session(*session)) {
                Ok(Look::Due(visit, reason, deadline)) => due.push((visit.held, reason, deadline)),
                Ok(_) => {}
                Err(error) => outcome = Err(error),
            }
        }
        let count = due.len();
        self.end_many(&writer, at, due, ThreadKind::Reaper)?;
        claim.ended += count;
        self.done(writer, false)?;
        outcome
    }

    /// Looks at one slot that came up; tells the session if it is to be ended.
    fn claim_held(&self, at: At, mut held: Held<'_>, claim: &mut Claim) -> Option<SessionRef> {
        held.file(None);
        self.expire_requests(at, &mut held);
        if self.ends_now(at.now, &held).is_some() {
            // If it is not ended after all, it comes up again.
            held.file(Some(at.now.ms));
            self.chain(held.index);
            return Some(held.session());
        }
        if let Next::Ask(ask) = self.next_of(at.now, &held)
            && ask <= at.now.ms
        {
            let (deadline, reason) = self.deadline_of(at.now, &held);
            let used = self.row(&held).map_or(u32::MAX, |row| extensions_used(&held, &row));
            let may_extend = reason == EndReason::IdleTimeout
                && used < self.application(held.application()).max_extensions
                && held.absolute.ms() > held.state().deadline();
            held.slot.tail.asked.store(deadline, Relaxed);
            claim.asks.push(Ask { session: held.session(), deadline: held.state().deadline(), reason, may_extend });
        }
        self.refile(at.now, &held);
        None
    }
}

/// Extensions in a row since the last user activity.
pub(super) fn extensions_used(held: &Held<'_>, row: &SessionRow) -> u32 {
    let extension = &row.rare.extension;
    if extension.deadline != 0 && extension.deadline == held.state().deadline() { extension.count } else { 0 }
}
