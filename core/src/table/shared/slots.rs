//! Slots: handed out, kept for the next session, given back; drafts.

use std::ops::Range;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use super::SharedTable;
use super::layout::Handing;
use super::visit::Held;
use crate::error::{Error, ErrorKind, Result};
use crate::table::slot::{FREE, INDEX_BITS, Place, State};
use crate::table::*;

/// Slots that a process takes at once.
const SLOTS_AT_ONCE: u32 = 64;
/// Free slots that a process keeps for itself.
const SLOTS_KEPT: usize = 256;

impl SharedTable {
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
    pub(super) fn own_slot(&self, index: u32) {
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
}
