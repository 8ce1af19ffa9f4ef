//! When a unit may be back: all slots are looked at, and the answer stands for a moment, so that a full pool refuses fast.

use std::collections::HashMap;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Release};
use std::sync::atomic::{AtomicBool, AtomicU64};

use super::SharedTable;
use super::books::{Pages, SessionRow};
use super::visit::Held;
use crate::clock::NEVER;
use crate::error::Result;
use crate::license::back::{AHEAD, Ending, Evicts, First, LOOKED_AT, Refusal};
use crate::license::books::UserHolder;
use crate::license::outlook::Outlook;
use crate::reason::LicenseClass;
use crate::sync::Mutex;
use crate::table::slot::{FREE, Place};
use crate::table::*;

/// Sessions that are looked at in the books in one go.
const FIRST: usize = 64;
/// Of so many refusals the answers are known.
const ANSWERS: usize = 64;

/// The answers found last.
#[derive(Default)]
pub(super) struct Soon {
    /// Somebody may know an answer of this epoch.
    known: AtomicBool,
    /// Raised when a session of this process gets a deadline, or units go from one to another here.
    epoch: AtomicU64,
    answers: Mutex<HashMap<(u32, Refusal), Answer>>,
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
    pub(super) fn comes_back(&self, at: At, pool: u32, refusal: &Refusal) -> Result<Option<Millis>> {
        if self.clock.manual().is_some() {
            // Much may happen at one instant of a clock that stands still.
            return self.look_back(at, pool, refusal);
        }
        let soon = &self.local.soon;
        // First the mark, then the look: what happens meanwhile raises the epoch.
        soon.known.store(true, Release);
        let in_force = self.seen(pool);
        let seen = Seen {
            epoch: soon.epoch.load(Acquire),
            arrivals: self.map.head().arrivals.next.load(Acquire),
            revision: in_force.revision,
        };
        let key = (pool, refusal.key(&in_force.rules, self.has(pool, refusal)?));
        let known = soon.answers.lock().get(&key).copied().filter(|known| {
            known.seen == seen
                && known.now.suspended == at.now.suspended
                && at.now.ms.saturating_sub(known.now.ms) < STANDS
                && known.back.is_none_or(|back| back > at.now.ms)
        });
        if let Some(known) = known {
            return Ok(known.back);
        }
        let back = self.look_back(at, pool, refusal)?;
        let mut answers = soon.answers.lock();
        if answers.len() >= ANSWERS {
            answers.clear();
        }
        answers.insert(key, Answer { back, now: at.now, seen });
        Ok(back)
    }

    /// Whether the pool has something of the user that is asked for, and of the session that asks.
    fn has(&self, pool: u32, refusal: &Refusal) -> Result<(bool, bool)> {
        if refusal.user.is_none() && refusal.session.is_none() {
            return Ok((false, false));
        }
        self.books.glance(|pages| {
            let user = match &refusal.user {
                Some(user) => pages.holder(pool, user)?.is_some(),
                None => false,
            };
            let index = refusal.session.map(|session| Place::from_locator(session.place).index);
            let row = match index {
                Some(index) => pages.session(index)?,
                None => None,
            };
            let session = row.is_some_and(|row| {
                row.charge.is_some_and(|charge| charge.pool == pool)
                    || row.rare.takes.iter().any(|taken| taken.pool == pool)
            });
            Ok((user, session))
        })
    }

    fn look_back(&self, at: At, pool: u32, refusal: &Refusal) -> Result<Option<Millis>> {
        let evicts = self.books.glance(|pages| {
            let totals = pages.pool(pool)?;
            let defined = self.defined(pages, pool, totals.revision)?;
            Ok(Evicts::of(refusal, &defined.rules))
        })?;
        let mut slots = Vec::new();
        let mut charged = 0;
        for index in 0..self.map.head().slots.next.load(Acquire) {
            let Some(slot) = self.map.slot(index) else { break };
            if slot.hot.state().deadline() == FREE || slot.hot.absolute.small() >> 1 != pool + 1 {
                continue;
            }
            charged += 1;
            let held = Held::peek(self, index, slot);
            let anonymous = slot.hot.absolute.small() & 1 == 1;
            let class = if anonymous { LicenseClass::Anonymous } else { LicenseClass::Named };
            let evict = evicts.idle_of(class).map_or(NEVER, |idle| self.idles(at.now, &held, idle));
            let first = self.ends_unused(at.now, &held).min(evict);
            if first < NEVER {
                slots.push((first, index));
            }
        }
        for index in self.books.glance(|pages| pages.takers(pool, charged))? {
            let Some(slot) = self.map.slot(index).filter(|slot| slot.hot.state().deadline() != FREE) else { continue };
            let end = self.ends_unused(at.now, &Held::peek(self, index, slot));
            if end < NEVER {
                slots.push((end, index));
            }
        }
        // Those that are charged and took something are there twice.
        slots.sort_unstable_by_key(|(first, index)| (*index, *first));
        slots.dedup_by_key(|(_, index)| *index);
        // What the session that asks has it keeps, or brings along; and who waits stays, too.
        let waiting = self.books.glance(|pages| pages.waiters(pool, 0, AHEAD))?.into_iter();
        let waiting = waiting.map(|waiter| self.keys.place_of_id(waiter.session).index);
        let own = refusal.session.map(|session| Place::from_locator(session.place).index);
        let mut stay: Vec<u32> = waiting.chain(own).collect();
        stay.sort_unstable();
        slots.retain(|(_, index)| stay.binary_search(index).is_err());
        // Each of those who wait has a unit first.
        let mut most = FIRST + stay.len();
        loop {
            let first = First::of(slots.clone(), most);
            let back = self.books.glance(|pages| self.back_of(pages, at, pool, refusal, (&evicts, &first)))?;
            if first.complete || back.is_some_and(|back| back <= first.horizon()) {
                return Ok(back);
            }
            most = most.saturating_mul(8);
        }
    }

    fn back_of(
        &self,
        pages: &Pages<'_>,
        at: At,
        pool: u32,
        refusal: &Refusal,
        (evicts, first): (&Evicts, &First),
    ) -> Result<Option<Millis>> {
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
        let orphans = pages.orphans(pool)?.into_iter().take(LOOKED_AT).collect();
        let line = if totals.waiting > 0 { pages.waiters(pool, 0, AHEAD)? } else { Vec::new() };
        let outlook = Outlook { pool: &defined.rules, totals: &totals, now: at.now.ms, lingering, orphans, line };
        let mut endings = Vec::new();
        let holder = |user: &Arc<str>| pages.holder(pool, user).ok().flatten();
        for (count, (_, index)) in first.slots.iter().enumerate() {
            let (Some(row), Some(slot)) = (pages.session(*index)?, self.map.slot(*index)) else { continue };
            endings.extend(self.endings(at.now, &Held::peek(self, *index, slot), &row, Some((pool, evicts))));
            let next = first.slots.get(count + 1).map_or(Millis::MAX, |(next, _)| *next);
            // Most times the very first is the answer, if nobody waits.
            if (count + 1).is_power_of_two() && outlook.line.is_empty() {
                let back = outlook.back(refusal, &endings, holder);
                if back.is_some_and(|back| back <= next) {
                    return Ok(back);
                }
            }
        }
        Ok(outlook.back(refusal, &endings, holder))
    }

    /// What a session is charged: by all pools, or by one, whose sessions may be evicted by its rules.
    pub(super) fn endings(
        &self,
        now: Now,
        held: &Held<'_>,
        row: &SessionRow,
        pool: Option<(u32, &Evicts)>,
    ) -> Vec<Ending> {
        let wanted = |of: u32| pool.is_none_or(|(pool, _)| pool == of);
        let at = self.ends_unused(now, held);
        let license = row.charge.as_ref().filter(|charge| wanted(charge.pool)).map(|charge| {
            let evict = pool.and_then(|(_, evicts)| evicts.idle_of(charge.class));
            let evict = evict.map_or(Millis::MAX, |idle| self.idles(now, held, idle));
            Ending { at, evict, since: row.licensed_since(), charge: charge.clone(), count: 1, feature: false }
        });
        let takes = row.rare.takes.iter().filter(|taken| wanted(taken.pool));
        license.into_iter().chain(takes.map(|taken| Ending::of_feature(taken, at))).collect()
    }
}
