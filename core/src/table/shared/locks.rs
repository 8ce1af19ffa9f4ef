//! Locks of requests, and who waits for them.

use std::sync::atomic::Ordering::{Relaxed, Release};

use super::SharedTable;
use super::layout::flags;
use super::patience::Less;
use super::requests::{Flight, kind_of};
use super::visit::{Held, live};
use crate::clock::Now;
use crate::reason::LockMode;
use crate::table::slot::Place;
use crate::table::*;

impl SharedTable {
    pub(super) fn lock_request(
        &self,
        at: At,
        request: &RequestKey,
        mode: LockMode,
    ) -> Found<std::result::Result<(), String>> {
        let (mut visit, flight) = live!(self.visit_request(at, request));
        if let Some(blocker) = self.blocker(&visit.held, mode, request.number) {
            return Found::Live(Err(self.holder_text(&blocker, at.now)));
        }
        self.set_lock(&mut visit.held, &flight, mode);
        Found::Live(Ok(()))
    }

    fn set_lock(&self, held: &mut Held<'_>, flight: &Flight, mode: LockMode) {
        if let Some(record) = self.map.record(flight.record) {
            record.kind.store(kind_of(flight.touch, mode), Release);
        }
        if mode != flight.lock && mode != LockMode::Exclusive {
            held.free_lock();
        }
    }

    pub(super) fn unlock_request(&self, at: At, request: &RequestKey) -> Found<Option<LockMode>> {
        let (mut visit, flight) = live!(self.visit_request(at, request));
        self.set_lock(&mut visit.held, &flight, LockMode::None);
        Found::Live((flight.lock != LockMode::None).then_some(flight.lock))
    }

    pub(super) fn request_lock(&self, at: At, request: &RequestKey) -> Found<Option<LockMode>> {
        let (_visit, flight) = live!(self.visit_request(at, request));
        Found::Live((flight.lock != LockMode::None).then_some(flight.lock))
    }

    pub(super) fn watch_lock(&self, waiter: &RequestKey, mode: LockMode, wake: Wake) -> Option<u64> {
        let blocker = self.watched_blocker(waiter, mode)?.1.owner;
        // A dead one is not waited for. What can't be freed now the keeper frees later.
        if blocker != self.me {
            let _less = Less::is_tried_again();
            if matches!(self.bury_if_dead(blocker), Ok(true)) {
                return None;
            }
        }
        let (held, blocker) = self.watched_blocker(waiter, mode)?;
        if held.waiters() < u32::from(u16::MAX) {
            held.slot.tail.flags.fetch_add(flags::WAITER, Relaxed);
        }
        Some(self.add_waiter(&held, blocker.owner, wake))
    }

    /// What a request waits for: its session, held, and who holds the lock.
    fn watched_blocker(&self, waiter: &RequestKey, mode: LockMode) -> Option<(Held<'_>, Flight)> {
        let place = Place::from_locator(waiter.session.place);
        let held = self.hold(place.index).ok()??;
        if held.session() != waiter.session {
            return None;
        }
        let blocker = self.blocker(&held, mode, waiter.number)?;
        Some((held, blocker))
    }

    pub(super) fn holder_text(&self, blocker: &Flight, now: Now) -> String {
        format!(
            "a request of process {} holds it {} since {} ms",
            self.participant(blocker.owner).pid.load(Relaxed),
            blocker.lock,
            now.ms.saturating_sub(blocker.start)
        )
    }
}
