//! Sessions under their lock: found by id, place or token, and ended here and now if they are overdue.

use super::cold::Cold;
use super::slot::{self, FREE, Place, Slot};
use super::{MemoryTable, log};
use crate::reason::{EndReason, ThreadKind};
use crate::sync::MutexGuard;
use crate::sync::atomic::Ordering;
use crate::table::due::timeout_level;
use crate::table::*;

/// Who waits for a session's lock: to be woken.
pub(super) type Waiters = std::collections::VecDeque<(u64, LockMode, Wake)>;

/// A locked session that is live and not overdue.
pub(super) struct Visit<'a> {
    pub session: SessionRef,
    pub place: Place,
    pub slot: &'a Slot,
    pub cold: MutexGuard<'a, Option<Cold>>,
}

impl MemoryTable {
    /// Locks a place whatever it holds.
    pub(super) fn slot(&self, place: Place) -> Option<(&Slot, MutexGuard<'_, Option<Cold>>)> {
        let (slot, cold) = self.region.get(place.index)?;
        // Both at once.
        slot.fetch();
        Some((slot, cold.lock()))
    }

    /// Where the session with this id is, if there is one.
    pub(super) fn ref_of(&self, id: SessionId) -> SessionRef {
        SessionRef { id, place: self.keys.place_of_id(id).locator() }
    }

    /// Locks a session by its place if it is live, ending it here and now if it is overdue.
    pub(super) fn visit(&self, at: At, session: SessionRef, thread: ThreadKind) -> Found<Visit<'_>> {
        let place = Place::from_locator(session.place);
        let Some((slot, cold)) = self.slot(place) else { return Found::Absent };
        let state = slot.state();
        let same = cold.as_ref().is_some_and(|cold| cold.is(session.id));
        if state.generation() != place.generation || state.deadline() == FREE || !same {
            drop(cold);
            return self.tombstone(place, at, |grave| (grave.id == session.id).then_some(grave.reason));
        }
        self.admit(at, session, place, slot, cold, thread)
    }

    /// Locks a session by its token, likewise; tells whether the token is an older one within its grace.
    pub(super) fn open(&self, at: At, token: &Token) -> Found<(Visit<'_>, bool)> {
        let (place, verifier) = self.keys.open(token);
        let Some((slot, cold)) = self.slot(place) else { return Found::Absent };
        let state = slot.state();
        if state.generation() != place.generation || state.deadline() == FREE || cold.is_none() {
            drop(cold);
            return self.tombstone(place, at, |grave| grave.reason_for(verifier, at.now.ms));
        }
        let mut replaced = false;
        if !slot.verifies(verifier) {
            let old = cold
                .as_ref()
                .and_then(Cold::extra)
                .and_then(|extra| extra.replaced.iter().find(|old| slot::same(old.verifier, verifier)));
            match old {
                Some(old) if at.now.ms < old.grace => replaced = true,
                Some(old) if at.now.ms < old.until => {
                    let id = cold.as_ref().map_or(SessionId::NIL, |cold| self.keys.id(place, cold.random()));
                    drop(cold);
                    self.note_replaced(at, id);
                    return Found::Gone(EndReason::Replaced);
                }
                _ => return Found::Absent,
            }
        }
        let id = cold.as_ref().map_or(SessionId::NIL, |cold| self.keys.id(place, cold.random()));
        let session = SessionRef { id, place: place.locator() };
        match self.admit(at, session, place, slot, cold, ThreadKind::Request) {
            Found::Live(visit) => Found::Live((visit, replaced)),
            Found::Absent => Found::Absent,
            Found::Gone(reason) => Found::Gone(reason),
            Found::Failed(error) => Found::Failed(error),
        }
    }

    pub(super) fn admit<'a>(
        &'a self,
        at: At,
        session: SessionRef,
        place: Place,
        slot: &'a Slot,
        mut cold: MutexGuard<'a, Option<Cold>>,
        thread: ThreadKind,
    ) -> Found<Visit<'a>> {
        let Some(inner) = cold.as_mut() else { return Found::Absent };
        let freed = self.expire_requests(at, slot, inner);
        if let Some((reason, deadline)) = self.ends_now(at.now, slot, inner, freed) {
            let spec = EndSpec { reason, level: timeout_level(reason), thread, actor: None, note: None, here: false };
            self.bury(at, session, slot, cold, &spec, deadline);
            return Found::Gone(reason);
        }
        if freed {
            let waiters = inner.take_waiters();
            drop(cold);
            self.wake_all(waiters);
            cold = match self.region.get(place.index) {
                Some((_, cold)) => cold.lock(),
                None => return Found::Absent,
            };
            if cold.is_none() || slot.state().generation() != place.generation {
                drop(cold);
                return self.tombstone(place, at, |grave| Some(grave.reason));
            }
        }
        Found::Live(Visit { session, place, slot, cold })
    }

    pub(super) fn tombstone<T>(
        &self,
        place: Place,
        at: At,
        reason: impl FnOnce(&crate::table::grave::Grave) -> Option<EndReason>,
    ) -> Found<T> {
        match self.graves.with(place.locator(), at.now.ms, reason).flatten() {
            Some(reason) => {
                if reason == EndReason::Replaced {
                    let id = self.graves.with(place.locator(), at.now.ms, |grave| grave.id);
                    self.note_replaced(at, id.unwrap_or(SessionId::NIL));
                }
                Found::Gone(reason)
            }
            None => Found::Absent,
        }
    }

    /// Wakes everyone, in the order in which they began to wait; no lock is held.
    pub(super) fn wake_all(&self, waiters: Waiters) {
        if waiters.is_empty() {
            return;
        }
        self.counters.waiters.fetch_sub(waiters.len() as u64, Ordering::Relaxed);
        for (_, _, wake) in waiters {
            wake();
        }
    }

    /// Somebody used a token after its grace: it may be stolen.
    pub(super) fn note_replaced(&self, at: At, session: SessionId) {
        self.counters.replaced_uses.fetch_add(1, Ordering::Relaxed);
        self.log.add(at.now.ms, session, log::Entry::Text("replaced_token_used", String::new()));
        ::log::warn!(target: "libsession", "session {session}: a token was used after it had been replaced");
    }

    /// The receipt that a tombstone keeps.
    pub(super) fn receipt_of(&self, at: At, id: SessionId) -> Option<Receipt> {
        let place = self.ref_of(id).place;
        let grave = self.graves.with(place, at.now.ms, |grave| (grave.id == id).then(|| grave.clone())).flatten()?;
        let name = self.application(grave.application).name.clone();
        Some(grave.receipt(name))
    }
}

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
