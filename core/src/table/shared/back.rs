//! When a unit may be back: all slots are looked at, and the answer stands for a moment, so that a full pool refuses fast.

use std::collections::HashMap;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Release};
use std::sync::atomic::{AtomicBool, AtomicU64};

use super::SharedTable;
use super::books::Pages;
use crate::clock::NEVER;
use crate::error::Result;
use crate::license::back::{Ending, First, LOOKED_AT, Outlook};
use crate::license::books::UserHolder;
use crate::sync::Mutex;
use crate::table::slot::FREE;
use crate::table::*;

/// Sessions that are looked at in the books in one go.
const FIRST: usize = 64;

/// How long an answer stands that nothing seen from here contradicts: another process may have given a session an earlier
/// deadline meanwhile.
const STANDS: Millis = 100;

/// The answers found last.
#[derive(Default)]
pub(super) struct Soon {
    /// Somebody may know an answer of this epoch.
    known: AtomicBool,
    /// Raised when a session of this process gets a deadline, or units go from one to another here.
    epoch: AtomicU64,
    answers: Mutex<HashMap<u32, Answer>>,
}

/// An answer, and what it was found by.
#[derive(Clone, Copy)]
struct Answer {
    back: Option<Millis>,
    now: Now,
    seen: Seen,
}

/// As far as things are seen to move without a look at all slots.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Seen {
    epoch: u64,
    /// Sessions that were charged so far, by whatever process.
    arrivals: u64,
    revision: u64,
}

impl Soon {
    /// What is known may not be true any more. One look while nothing is known.
    #[inline]
    pub fn forget(&self) {
        if self.known.load(Acquire) {
            self.known.store(false, Release);
            self.epoch.fetch_add(1, AcqRel);
        }
    }
}

impl SharedTable {
    pub(super) fn comes_back(&self, at: At, pool: u32) -> Result<Option<Millis>> {
        if self.clock.manual().is_some() {
            // Much may happen at one instant of a clock that stands still.
            return self.look_back(at, pool);
        }
        let soon = &self.local.soon;
        // First the mark, then the look: what happens meanwhile raises the epoch.
        soon.known.store(true, Release);
        let seen = Seen {
            epoch: soon.epoch.load(Acquire),
            arrivals: self.map.head().arrivals.next.load(Acquire),
            revision: self.seen(pool).revision,
        };
        let known = soon.answers.lock().get(&pool).copied().filter(|known| {
            known.seen == seen
                && known.now.suspended == at.now.suspended
                && at.now.ms.saturating_sub(known.now.ms) < STANDS
                && known.back.is_none_or(|back| back > at.now.ms)
        });
        if let Some(known) = known {
            return Ok(known.back);
        }
        let back = self.look_back(at, pool)?;
        soon.answers.lock().insert(pool, Answer { back, now: at.now, seen });
        Ok(back)
    }

    fn look_back(&self, at: At, pool: u32) -> Result<Option<Millis>> {
        let mut slots = Vec::new();
        for index in 0..self.map.head().slots.next.load(Acquire) {
            let Some(slot) = self.map.slot(index) else { break };
            if slot.hot.state().deadline() == FREE || slot.hot.absolute.small() >> 1 != pool + 1 {
                continue;
            }
            let (deadline, _) = self.deadline_of(at.now, &slot.hot);
            if deadline < NEVER {
                slots.push((deadline, index));
            }
        }
        let mut most = FIRST;
        loop {
            let first = First::of(slots.clone(), most);
            let back = self.books.glance(|pages| self.back_of(pages, at, pool, &first))?;
            if first.complete || back.is_some_and(|back| back <= first.horizon()) {
                return Ok(back);
            }
            most = most.saturating_mul(8);
        }
    }

    fn back_of(&self, pages: &Pages<'_>, at: At, pool: u32, first: &First) -> Result<Option<Millis>> {
        let totals = pages.pool(pool)?;
        let defined = self.defined(pages, pool, totals.revision)?;
        let mut lingering: Vec<(Arc<str>, UserHolder)> = Vec::new();
        if totals.lingering > 0 {
            let mut named = pages.lingering(pool, 0, LOOKED_AT)?;
            named.extend(pages.first_to_fade(pool)?);
            for user in named {
                if lingering.iter().all(|(known, _)| *known != user)
                    && let Some(held) = pages.holder(pool, &user)?
                {
                    lingering.push((user, held));
                }
            }
        }
        let orphans = pages.orphans(pool)?.into_iter().take(LOOKED_AT).map(|orphan| orphan.until).collect();
        let outlook = Outlook { pool: &defined.rules, totals: &totals, now: at.now.ms, lingering, orphans };
        let mut endings = Vec::new();
        let mut back = None;
        for (count, (deadline, index)) in first.slots.iter().enumerate() {
            let Some(row) = pages.session(*index)? else { continue };
            let since = row.licensed_since();
            let Some(charge) = row.charge.filter(|charge| charge.pool == pool) else { continue };
            endings.push(Ending { at: *deadline, since, charge });
            let next = first.slots.get(count + 1).map_or(Millis::MAX, |(next, _)| *next);
            if (count + 1).is_power_of_two() || next == Millis::MAX {
                back = outlook.back(&endings, |user| pages.holder(pool, user).ok().flatten());
                if back.is_some_and(|back| back <= next) {
                    return Ok(back);
                }
            }
        }
        Ok(if endings.is_empty() { outlook.back(&[], |_| None) } else { back })
    }
}
