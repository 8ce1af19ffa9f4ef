//! Features: units of pools that a session takes beside its license. Each step is one transaction of the books.

use super::books::SessionRow;
use super::denials::Refusable;
use super::visit::Held;
use super::{SharedTable, Writer, books};
use crate::error::Result;
use crate::license::crowd::Victims;
use crate::license::ledger::{self, Demand};
use crate::table::*;

impl SharedTable {
    pub(super) fn take(&self, at: At, session: SessionRef, take: &Take) -> Found<std::result::Result<(), TakeRefused>> {
        self.change(at, session, false, |writer, held, mut row| {
            if row.user != take.expected {
                return Ok(Err(TakeRefused::Changed));
            }
            let holder = takes::holder(take, session.id, row.charge.as_ref());
            let Some(place) = takes::place(&row.rare.takes, take.pool, &holder) else {
                return Ok(Err(TakeRefused::TooMany));
            };
            let wanted = Taken { pool: take.pool, count: take.count, holder: holder.clone(), since: at.now.ms };
            takes::add(&mut row.rare.takes, place, take, holder, at.now.ms);
            let charge = wanted.charge();
            let demand = Demand { count: take.count, ..Demand::asking(&charge, take.rank, take.asking) };
            let refusable = Refusable { revision: Some(take.revision), ..Refusable::new(demand) };
            let denied =
                self.refuse_at_once(writer, at, session.id, &refusable, |reason| take.asking.ends_with(reason));
            if let Some(reason) = denied {
                return Ok(Err(TakeRefused::License(reason)));
            }
            let verdict = writer.commit(|ledger| {
                let verdict = self.with_pool(ledger, take.pool, |pool, defined| {
                    if defined.revision != take.revision {
                        return Ok(Err(TakeRefused::Redefined));
                    }
                    let verdict = ledger::acquire(pool, &defined.rules, at, session.id, demand, &mut Victims::none())?;
                    Ok(verdict.map_err(TakeRefused::License))
                })?;
                if verdict.is_ok() {
                    ledger.update_session(&row)?;
                }
                Ok(verdict)
            })?;
            if matches!(verdict, Err(TakeRefused::License(_))) {
                self.is_full(take.pool);
            }
            if verdict.is_ok() {
                self.trace(held, || {
                    format!("{} ms: took {} of {}", at.now.ms, take.count, self.config.pools[take.pool as usize].name)
                });
            }
            Ok(verdict)
        })
    }

    pub(super) fn return_taken(&self, at: At, session: SessionRef, pool: u32, count: u64) -> Found<u64> {
        self.change(at, session, false, |writer: &Writer<'_>, held: &Held<'_>, mut row: SessionRow| {
            let mut given = Vec::new();
            let mut returned = 0;
            while let Some(taken) = takes::remove_last(&mut row.rare.takes, pool, count - returned) {
                returned += taken.count;
                given.push(taken);
            }
            if given.is_empty() {
                return Ok(0);
            }
            writer.commit(|ledger| {
                given.iter().try_for_each(|taken| self.give_taken_back(ledger, at, session.id, taken))?;
                ledger.update_session(&row).map(drop)
            })?;
            let name = &self.config.pools[pool as usize].name;
            self.trace(held, || format!("{} ms: returned {returned} of {name}", at.now.ms));
            Ok(returned)
        })
    }

    /// Frees what a session took, or lets it linger.
    pub(super) fn give_taken_back(
        &self,
        ledger: &mut books::Ledger<'_>,
        at: At,
        session: SessionId,
        taken: &Taken,
    ) -> Result<()> {
        let (charge, since) = (taken.charge(), taken.since);
        self.with_pool(ledger, taken.pool, |pool, defined| {
            ledger::give_back(pool, &defined.rules, at, session, &charge, since, taken.count)
        })
    }
}
