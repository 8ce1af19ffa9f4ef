//! When a unit may be back: a full pool refuses fast, so the sessions that end first are found once, and known as long as no
//! other can end earlier.

use std::sync::Arc;

use super::MemoryTable;
use super::slot::{FREE, Slot};
use crate::clock::{Millis, NEVER};
use crate::license::back::{Ending, First};
use crate::sync::Mutex;
use crate::sync::atomic::AtomicU64;
use crate::sync::atomic::Ordering::{AcqRel, Acquire, Release};
use crate::table::*;

/// So many of the first to end are known at once, at the least.
const FIRST: usize = 64;

/// What is known of the sessions of a pool that end first.
#[derive(Default)]
pub(super) struct Soon {
    /// No other session of the pool ends up to this instant; 0 while nothing is known. Whatever gives a session a deadline
    /// lowers it to that.
    horizon: AtomicU64,
    known: Mutex<Arc<Known>>,
}

#[derive(Default)]
struct Known {
    first: First,
    suspended: Millis,
}

impl Soon {
    /// Another session than those that were looked at may be among them.
    pub fn forget(&self) {
        self.horizon.store(0, Release);
    }
}

impl MemoryTable {
    /// A session has a deadline, maybe an earlier one than before: one comparison.
    #[inline]
    pub(super) fn ends_soon(&self, now: Now, slot: &Slot) {
        let Some(soon) = Self::charged_to(slot).map(|(pool, _)| pool).and_then(|pool| self.soon.get(pool as usize))
        else {
            return;
        };
        let horizon = soon.horizon.load(Acquire);
        if horizon == 0 {
            return;
        }
        let (deadline, _) = self.deadline_of(now, slot);
        if deadline < horizon {
            soon.horizon.fetch_min(deadline, AcqRel);
        }
    }

    pub(super) fn comes_back(&self, at: At, pool: u32) -> Option<Millis> {
        let soon = &self.soon[pool as usize];
        let known = soon.known.lock().clone();
        let horizon = soon.horizon.load(Acquire);
        if horizon > 0 && known.suspended == at.now.suspended {
            let back = self.back_of(at, pool, &known.first, horizon);
            if back.is_some_and(|back| back <= horizon) || (horizon == NEVER && known.first.complete) {
                return back;
            }
        }
        let mut most = FIRST;
        loop {
            let fresh = self.find_first(at.now, pool, most);
            let back = self.back_of(at, pool, &fresh.first, Millis::MAX);
            if fresh.first.complete || back.is_some_and(|back| back <= fresh.first.horizon()) {
                return back;
            }
            // The sessions of a user who has many come back together.
            most = most.saturating_mul(8);
        }
    }

    /// What these tell, of those that end up to the horizon.
    fn back_of(&self, at: At, pool: u32, first: &First, horizon: Millis) -> Option<Millis> {
        let mut now: Vec<(Millis, u32)> =
            first.slots.iter().filter_map(|(_, index)| self.ends(at.now, pool, *index)).collect();
        now.retain(|(deadline, _)| *deadline <= horizon);
        now.sort_unstable();
        let mut endings = Vec::new();
        // Most times the very first is the answer.
        for (count, (deadline, index)) in now.iter().enumerate() {
            let Some((slot, cold)) = self.region.get(*index) else { continue };
            let cold = cold.lock();
            let Some(cold) = cold.as_ref() else { continue };
            let Some(charge) = self.charge(slot, cold).filter(|charge| charge.pool == pool) else { continue };
            endings.push(Ending { at: *deadline, since: Self::licensed_since(slot, cold), charge });
            let next = now.get(count + 1).map_or(Millis::MAX, |(next, _)| *next);
            if (count + 1).is_power_of_two()
                && let Some(back) = self.accounts[pool as usize].comes_back(at, &endings).filter(|back| *back <= next)
            {
                return Some(back);
            }
        }
        self.accounts[pool as usize].comes_back(at, &endings)
    }

    /// When a slot's session ends that is charged to a pool.
    fn ends(&self, now: Now, pool: u32, index: u32) -> Option<(Millis, u32)> {
        let (slot, _) = self.region.get(index)?;
        if slot.state().deadline() == FREE || Self::charged_to(slot).is_none_or(|(other, _)| other != pool) {
            return None;
        }
        let (deadline, _) = self.deadline_of(now, slot);
        (deadline < NEVER).then_some((deadline, index))
    }

    /// Looks at all slots for so many.
    fn find_first(&self, now: Now, pool: u32, most: usize) -> Arc<Known> {
        let soon = &self.soon[pool as usize];
        let mut known = soon.known.lock();
        // First the mark, then the look: what gets a deadline meanwhile lowers it.
        soon.horizon.store(NEVER, Release);
        let slots = (0..self.region.len()).filter_map(|index| self.ends(now, pool, index)).collect();
        let first = First::of(slots, most);
        soon.horizon.fetch_min(first.horizon(), AcqRel);
        *known = Arc::new(Known { first, suspended: now.suspended });
        known.clone()
    }
}
