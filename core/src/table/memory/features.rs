//! Features: units of pools that a session takes beside its license.

use super::MemoryTable;
use super::visit::Visit;
use crate::license::ledger::Demand;
use crate::table::*;

impl MemoryTable {
    pub(super) fn take(&self, at: At, mut visit: Visit<'_>, take: &Take) -> Result<(), TakeRefused> {
        let session = visit.session.id;
        let Some(cold) = visit.cold.as_mut().filter(|cold| cold.user() == take.expected.as_ref()) else {
            return Err(TakeRefused::Changed);
        };
        let holder = takes::holder(take, session, self.charge(visit.slot, cold).as_ref());
        let Some(place) = takes::place(cold.takes(), take.pool, &holder) else { return Err(TakeRefused::TooMany) };
        let wanted = Taken { pool: take.pool, count: take.count, holder: holder.clone(), since: at.now.ms };
        let charge = wanted.charge();
        let account = &self.accounts[take.pool as usize];
        let demand = Demand { count: take.count, ..Demand::asking(&charge, take.rank, take.asking) };
        let verdict = account.take(at, session, demand, take.revision, || {
            let taken = &mut cold.rare_mut().takes;
            takes::add(taken, place, take, holder, at.now.ms);
            taken
        });
        verdict.ok_or(TakeRefused::Redefined)?.map_err(TakeRefused::License)?;
        self.soon[take.pool as usize].taken(true, take.count);
        cold.trace(|| format!("{} ms: took {} of {}", at.now.ms, take.count, self.pool_names[take.pool as usize]));
        Ok(())
    }

    pub(super) fn give_back(&self, at: At, mut visit: Visit<'_>, pool: u32, count: u64) -> u64 {
        let Some(cold) = visit.cold.as_mut().filter(|cold| !cold.takes().is_empty()) else { return 0 };
        let account = &self.accounts[pool as usize];
        let mut returned = 0;
        while let Some(taken) = takes::remove_last(&mut cold.rare_mut().takes, pool, count - returned) {
            returned += taken.count;
            self.soon[pool as usize].taken(false, taken.count);
            let free = account.give_back(at, visit.session.id, &taken, cold.takes());
            free.into_iter().for_each(|when| self.ring_if_earlier(when));
        }
        if returned > 0 {
            cold.trace(|| format!("{} ms: returned {returned} of {}", at.now.ms, self.pool_names[pool as usize]));
        }
        returned
    }

    /// Returns all that a session took, in the order taken: it ends.
    pub(super) fn give_all_back(&self, at: At, session: SessionId, taken: &[Taken]) {
        for (position, one) in taken.iter().enumerate() {
            self.soon[one.pool as usize].taken(false, one.count);
            let free = self.accounts[one.pool as usize].give_back(at, session, one, &taken[position + 1..]);
            free.into_iter().for_each(|when| self.ring_if_earlier(when));
        }
    }
}
