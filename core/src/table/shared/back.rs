//! When a unit may be back. Who is refused has waited for the disk already: all slots are looked at.

use super::SharedTable;
use super::books::Pages;
use crate::clock::NEVER;
use crate::error::Result;
use crate::license::back::{Ending, First, LOOKED_AT, Outlook};
use crate::license::books::UserHolder;
use crate::table::slot::FREE;
use crate::table::*;

/// Sessions that are looked at in the books in one go.
const FIRST: usize = 64;

impl SharedTable {
    pub(super) fn comes_back(&self, at: At, pool: u32) -> Result<Option<Millis>> {
        let mut slots = Vec::new();
        for index in 0..self.map.head().slots.next.load(std::sync::atomic::Ordering::Acquire) {
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
