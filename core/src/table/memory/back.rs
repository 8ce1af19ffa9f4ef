//! When a unit may be back: a full pool refuses fast, so the sessions that end first are found once, and known as long as no
//! other can end earlier. Where sessions may be evicted, or hold features, all are looked at, and the answer stands a moment.

use std::collections::HashMap;
use std::sync::Arc;

use super::MemoryTable;
use super::cold::Cold;
use super::slot::{FREE, Place, Slot};
use crate::clock::{Millis, NEVER};
use crate::license::back::{Ending, Evicts, First, Refusal};
use crate::sync::Mutex;
use crate::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use crate::sync::atomic::{AtomicI64, AtomicU64};
use crate::table::*;

/// So many of the first to end are known at once, at the least.
const FIRST: usize = 64;
/// Of so many refusals the answers are known.
const ANSWERS: usize = 64;

/// What is known of the sessions of a pool that end first.
#[derive(Default)]
pub(super) struct Soon {
    /// No other session of the pool ends up to this instant; 0 while nothing is known. Whatever gives a session a deadline
    /// lowers it to that.
    horizon: AtomicU64,
    known: Mutex<Arc<Known>>,
    /// How often sessions have taken the pool as a feature.
    taken: AtomicI64,
    /// Answers of a look at all sessions: when, and what.
    answers: Mutex<HashMap<Refusal, (Now, Option<Millis>)>>,
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

    /// Features were taken, or returned.
    pub fn taken(&self, more: bool, count: u64) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.taken.fetch_add(if more { count } else { -count }, Relaxed);
    }
}

impl MemoryTable {
    /// A session has a deadline, maybe an earlier one than before: one comparison.
    #[inline]
    pub(super) fn ends_soon(&self, now: Now, slot: &Slot, cold: &Cold) {
        let Some(soon) = Self::charged_to(slot).map(|(pool, _)| pool).and_then(|pool| self.soon.get(pool as usize))
        else {
            return;
        };
        let horizon = soon.horizon.load(Acquire);
        if horizon == 0 {
            return;
        }
        let end = self.ends_unused(now, slot, cold);
        if end < horizon {
            soon.horizon.fetch_min(end, AcqRel);
        }
    }

    pub(super) fn comes_back(&self, at: At, pool: u32, refusal: &Refusal) -> Option<Millis> {
        let soon = &self.soon[pool as usize];
        let (evicts, key, waits) = self.accounts[pool as usize].asks(refusal, self.holds(pool, refusal));
        if evicts.anybody() || soon.taken.load(Relaxed) > 0 || waits {
            return self.look_back(at, pool, refusal, &evicts, key);
        }
        let known = soon.known.lock().clone();
        let horizon = soon.horizon.load(Acquire);
        if horizon > 0 && known.suspended == at.now.suspended {
            let back = self.back_of(at, pool, refusal, &known.first, horizon);
            if back.is_some_and(|back| back <= horizon) || (horizon == NEVER && known.first.complete) {
                return back;
            }
        }
        let mut most = FIRST;
        loop {
            let fresh = self.find_first(at.now, pool, most);
            let back = self.back_of(at, pool, refusal, &fresh.first, Millis::MAX);
            if fresh.first.complete || back.is_some_and(|back| back <= fresh.first.horizon()) {
                return back;
            }
            // The sessions of a user who has many come back together.
            most = most.saturating_mul(8);
        }
    }

    /// Looks at all sessions, one caller at a time.
    fn look_back(&self, at: At, pool: u32, refusal: &Refusal, evicts: &Evicts, key: Refusal) -> Option<Millis> {
        let mut answers = self.soon[pool as usize].answers.lock();
        if let Some((then, back)) = answers.get(&key)
            && then.suspended == at.now.suspended
            && at.now.ms.saturating_sub(then.ms) < self.stands
            && back.is_none_or(|back| back > at.now.ms)
        {
            return *back;
        }
        let mut slots = Vec::new();
        // Who waits stays, as who asks does.
        let waiting = self.accounts[pool as usize].waiting().into_iter();
        let mut stay: Vec<u32> = waiting.map(|id| self.keys.place_of_id(id).index).chain(own_index(refusal)).collect();
        stay.sort_unstable();
        self.scan(0, |index, slot, cold| {
            if stay.binary_search(&index).is_ok() {
                return true;
            }
            let endings = self.endings(at.now, slot, cold, Some((pool, evicts)));
            slots.extend(endings.iter().map(Ending::first).min().filter(|first| *first < NEVER).map(|at| (at, index)));
            true
        });
        // Each of those who wait has a unit first.
        let mut most = FIRST + stay.len();
        let back = loop {
            let first = First::of(slots.clone(), most);
            let mut endings = Vec::new();
            for (_, index) in &first.slots {
                let Some((slot, cold)) = self.region.get(*index) else { continue };
                if let Some(cold) = cold.lock().as_ref().filter(|_| slot.state().deadline() != FREE) {
                    endings.extend(self.endings(at.now, slot, cold, Some((pool, evicts))));
                }
            }
            let back = self.accounts[pool as usize].comes_back(at, refusal, &endings);
            if first.complete || back.is_some_and(|back| back <= first.horizon()) {
                break back;
            }
            most = most.saturating_mul(8);
        };
        if answers.len() >= ANSWERS {
            answers.clear();
        }
        answers.insert(key, (at.now, back));
        back
    }

    /// What a session is charged: by all pools, or by one, whose sessions may be evicted by its rules. Under its cold lock.
    pub(super) fn endings(&self, now: Now, slot: &Slot, cold: &Cold, pool: Option<(u32, &Evicts)>) -> Vec<Ending> {
        let wanted = |of: u32| pool.is_none_or(|(pool, _)| pool == of);
        let license = self.charge(slot, cold).filter(|charge| wanted(charge.pool));
        let mut takes = cold.takes().iter().filter(|taken| wanted(taken.pool)).peekable();
        if license.is_none() && takes.peek().is_none() {
            return Vec::new();
        }
        let at = self.ends_unused(now, slot, cold);
        let license = license.map(|charge| {
            let evict = pool.and_then(|(_, evicts)| evicts.idle_of(charge.class));
            let evict = evict.map_or(Millis::MAX, |idle| self.idles(now, slot, cold, idle));
            Ending { at, evict, since: Self::licensed_since(slot, cold), charge, count: 1, feature: false }
        });
        license.into_iter().chain(takes.map(|taken| Ending::of_feature(taken, at))).collect()
    }

    /// What these tell, of those that end up to the horizon.
    fn back_of(&self, at: At, pool: u32, refusal: &Refusal, first: &First, horizon: Millis) -> Option<Millis> {
        let mut now: Vec<(Millis, u32)> =
            first.slots.iter().filter_map(|(_, index)| self.ends(at.now, pool, *index)).collect();
        let own = own_index(refusal);
        now.retain(|(deadline, index)| *deadline <= horizon && own != Some(*index));
        now.sort_unstable();
        let mut endings = Vec::new();
        // Most times the very first is the answer.
        for (count, (deadline, index)) in now.iter().enumerate() {
            let Some((slot, cold)) = self.region.get(*index) else { continue };
            let cold = cold.lock();
            let Some(cold) = cold.as_ref() else { continue };
            let Some(charge) = self.charge(slot, cold).filter(|charge| charge.pool == pool) else { continue };
            let since = Self::licensed_since(slot, cold);
            endings.push(Ending { at: *deadline, evict: Millis::MAX, since, charge, count: 1, feature: false });
            let next = now.get(count + 1).map_or(Millis::MAX, |(next, _)| *next);
            if (count + 1).is_power_of_two()
                && let Some(back) =
                    self.accounts[pool as usize].comes_back(at, refusal, &endings).filter(|back| *back <= next)
            {
                return Some(back);
            }
        }
        self.accounts[pool as usize].comes_back(at, refusal, &endings)
    }

    /// When a slot's session ends that is charged to a pool.
    fn ends(&self, now: Now, pool: u32, index: u32) -> Option<(Millis, u32)> {
        let (slot, cold) = self.region.get(index)?;
        if slot.state().deadline() == FREE || Self::charged_to(slot).is_none_or(|(other, _)| other != pool) {
            return None;
        }
        let end = self.ends_unused(now, slot, cold.lock().as_ref()?);
        (end < NEVER).then_some((end, index))
    }

    /// Whether the session that asks has something of the pool.
    fn holds(&self, pool: u32, refusal: &Refusal) -> bool {
        let Some((slot, cold)) = own_index(refusal).and_then(|index| self.region.get(index)) else { return false };
        Self::charged_to(slot).is_some_and(|(other, _)| other == pool)
            || cold.lock().as_ref().is_some_and(|cold| cold.takes().iter().any(|taken| taken.pool == pool))
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

/// The slot of the session that asks: what it has it keeps, or brings along.
fn own_index(refusal: &Refusal) -> Option<u32> {
    refusal.session.map(|session| Place::from_locator(session.place).index)
}
