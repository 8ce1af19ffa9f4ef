//! Uses of a session: touch, begin, finish, commit, lock.

use super::MemoryTable;
use super::cold::Cold;
use super::slot::{IN_FLIGHT, Slot};
use super::visit::{Visit, live};
use crate::clock::{Millis, Now};
use crate::data::Writes;
use crate::deadline;
use crate::error::{Error, ErrorKind, Result};
use crate::id::Token;
use crate::reason::{EndReason, LazyUntil, LockMode, ThreadKind, TouchKind};
use crate::sync::atomic::Ordering;
use crate::table::*;

/// One request in flight.
#[derive(Clone, Copy)]
pub(super) struct RequestRecord {
    pub number: u32,
    pub start: Millis,
    pub touch: TouchKind,
    pub lock: LockMode,
}

/// The session's data can't be read.
pub(super) fn corrupt() -> Error {
    Error::new(
        ErrorKind::Corrupt,
        "the session's data can't be read; a copy is in quarantine, and the session can still be ended",
    )
}

/// A request's record is not there any more: it counted as finished.
pub(super) fn overtime() -> EndReason {
    EndReason::Ended
}

impl MemoryTable {
    /// One look at a slot, one word written at most; whatever is not plain goes the long way.
    pub(super) fn touch_token(&self, at: At, token: &Token, kind: TouchKind) -> Found<(SessionRef, Millis)> {
        let (place, verifier) = self.keys.open(token);
        if let Some((slot, _)) = self.region.get(place.index) {
            let (now, activity) = (self.idle_now(at.now), kind == TouchKind::Activity);
            let touched = slot.touch(place.generation, verifier, activity, now, at.now.absolute(), self.config.quantum);
            if let Some((idle, absolute)) = touched {
                let first = self.first(at.now, idle, absolute);
                if first >= idle || !slot.is_filed_late(first, self.application(slot.application()).ask_lead) {
                    let session = SessionRef { id: SessionId::NIL, place: place.locator() };
                    return Found::Live((session, first));
                }
            }
        }
        self.touch_slowly(at, token, kind)
    }

    fn touch_slowly(&self, at: At, token: &Token, kind: TouchKind) -> Found<(SessionRef, Millis)> {
        let (visit, _) = live!(self.open(at, token));
        let slot = visit.slot;
        if kind == TouchKind::Activity {
            slot.used.set_ms(self.idle_now(at.now));
            self.restart_idle(at.now, slot, self.idle_now(at.now));
            self.refile(at.now, visit.place.index, slot, &visit.cold);
        }
        let absolute = slot.absolute.ms();
        let session = visit.session;
        Found::Live((session, self.first(at.now, slot.state().deadline(), absolute)))
    }

    /// Sets the idle deadline from a use, if no request stops the clock; never earlier than it stands.
    fn restart_idle(&self, _now: Now, slot: &Slot, used: Millis) {
        loop {
            let state = slot.state();
            if state.deadline() == IN_FLIGHT {
                return;
            }
            let due = deadline::idle(used, slot.idle.ms(), self.config.quantum);
            if due <= state.deadline() || slot.exchange(state, state.with(due)) {
                return;
            }
        }
    }

    pub(super) fn begin_request(&self, at: At, mut visit: Visit<'_>, spec: &BeginSpec, replaced: bool) -> Found<Began> {
        let session = visit.session;
        let slot = visit.slot;
        let Some(cold) = visit.cold.as_mut() else { return Found::Absent };
        if cold.end_requested() {
            return Found::Gone(EndReason::Ended);
        }
        if cold.damaged() {
            return Found::Live(Began::Corrupt);
        }
        if let Some(blocker) = cold.blocker(spec.lock, 0) {
            return Found::Live(Began::Busy(session, holder_text(&blocker, at.now)));
        }
        let is_new = !cold.had_request();
        // One bit of a word that was read already.
        let licensed = !is_new && self.takes_unit(slot, LazyUntil::SecondRequest);
        if licensed && let Err((pool, reason)) = self.take_unit(at, &mut visit) {
            return Found::Live(Began::Unlicensed(pool, reason));
        }
        let Some(cold) = visit.cold.as_mut() else { return Found::Absent };
        let number = cold.add_request(at.now.ms, spec.touch, spec.lock);
        let application = slot.application();
        cold.trace(|| format!("{} ms: request began ({}, {})", at.now.ms, spec.touch, spec.lock));
        if spec.touch == TouchKind::Activity {
            slot.used.set_ms(self.idle_now(at.now));
            self.stop_idle(slot);
        }
        self.home().in_flight.fetch_add(1, Ordering::Relaxed);
        self.refile(at.now, visit.place.index, slot, &visit.cold);
        Found::Live(Began::Request { key: RequestKey { session, number }, is_new, replaced, application, licensed })
    }

    /// The idle clock stands still while a user's request is in flight.
    fn stop_idle(&self, slot: &Slot) {
        loop {
            let state = slot.state();
            if state.deadline() == IN_FLIGHT || slot.exchange(state, state.with(IN_FLIGHT)) {
                return;
            }
        }
    }

    pub(super) fn visit_request(&self, at: At, request: &RequestKey) -> Found<Visit<'_>> {
        let visit = live!(self.visit(at, request.session, ThreadKind::Request));
        match visit.cold.as_ref().and_then(|cold| cold.request(request.number)) {
            Some(_) => Found::Live(visit),
            None => Found::Gone(overtime()),
        }
    }

    pub(super) fn commit(&self, at: At, visit: &mut Visit<'_>, writes: &Writes) -> Result<()> {
        if writes.is_empty() {
            return Ok(());
        }
        if self.takes_unit(visit.slot, LazyUntil::FirstWrite) {
            return self.first_write(at, visit, |tree| writes.commit_noting(tree, &self.config.quotas));
        }
        let Some(cold) = visit.cold.as_mut() else { return Err(Error::absent()) };
        let Some(tree) = cold.tree_mut() else { return Err(corrupt()) };
        writes.commit(tree, &self.config.quotas).map(drop)
    }

    pub(super) fn finish_request(&self, at: At, mut visit: Visit<'_>, number: u32, writes: &Writes) -> Found<Finished> {
        let slot = visit.slot;
        let Some(record) = visit.cold.as_ref().and_then(|cold| cold.request(number)) else {
            return Found::Gone(overtime());
        };
        let committed = self.commit(at, &mut visit, writes);
        let Some(cold) = visit.cold.as_mut() else { return Found::Absent };
        self.leave(at.now, slot, cold, &record, at.now.ms);
        let end_now = cold.end_requested() && !cold.is_busy();
        let waiters = cold.take_waiters();
        self.refile(at.now, visit.place.index, slot, &visit.cold);
        drop(visit);
        self.wake_all(waiters);
        Found::Live(Finished { committed, end_now })
    }

    /// Takes a request out; with the last one of a user the idle clock runs again, from `end`.
    fn leave(&self, now: Now, slot: &Slot, cold: &mut Cold, record: &RequestRecord, end: Millis) {
        cold.remove_request(record.number);
        self.home().in_flight.fetch_sub(1, Ordering::Relaxed);
        cold.trace(|| format!("{end} ms: request finished"));
        if record.touch == TouchKind::Activity {
            let used = end.saturating_add(self.slept(now));
            slot.used.set_ms(used);
            if !cold.is_active() {
                let due = deadline::idle(used, slot.idle.ms(), self.config.quantum);
                let state = slot.state();
                // No touch writes a word that says "in flight", and every other writer holds this lock.
                slot.publish(state.with(due));
            }
        }
    }

    /// Counts requests older than the bound as finished; tells whether a lock may have become free.
    pub(super) fn expire_requests(&self, at: At, slot: &Slot, cold: &mut Cold) -> bool {
        if !cold.is_busy() {
            return false;
        }
        let mut freed = false;
        while let Some(record) = cold.earliest() {
            let end = record.start.saturating_add(self.config.max_request);
            if end > at.now.ms {
                break;
            }
            cold.trace(|| format!("{end} ms: a request is over its bound and counts as finished"));
            self.leave(at.now, slot, cold, &record, end);
            freed = true;
        }
        freed
    }

    pub(super) fn lock_request(
        &self,
        at: At,
        mut visit: Visit<'_>,
        number: u32,
        mode: LockMode,
    ) -> std::result::Result<(), String> {
        let Some(cold) = visit.cold.as_mut() else { return Err("nobody".into()) };
        if let Some(blocker) = cold.blocker(mode, number) {
            return Err(holder_text(&blocker, at.now));
        }
        let before = cold.set_lock(number, mode);
        let loosened = before == Some(LockMode::Exclusive) && mode != LockMode::Exclusive;
        let waiters = if loosened { cold.take_waiters() } else { Default::default() };
        drop(visit);
        self.wake_all(waiters);
        Ok(())
    }

    pub(super) fn unlock_request(&self, _at: At, mut visit: Visit<'_>, number: u32) -> Option<LockMode> {
        let cold = visit.cold.as_mut()?;
        let held = cold.set_lock(number, LockMode::None)?;
        let waiters = cold.take_waiters();
        drop(visit);
        self.wake_all(waiters);
        (held != LockMode::None).then_some(held)
    }

    /// When a session was used last, on the idle clock.
    pub(super) fn last_used(&self, now: Now, slot: &Slot, cold: &Cold) -> Millis {
        let deadline = slot.state().deadline();
        self.last_use(now, slot, cold.rare().is_some_and(|rare| rare.extension.deadline == deadline))
    }
}

fn holder_text(blocker: &RequestRecord, now: Now) -> String {
    format!(
        "a request of process {} holds it {} since {} ms",
        crate::fork::process(),
        blocker.lock,
        now.ms.saturating_sub(blocker.start)
    )
}
