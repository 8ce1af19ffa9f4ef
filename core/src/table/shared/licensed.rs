//! The moment at which a lazy session takes its unit.

use super::books::{self, SessionRow};
use super::crowd::Evicted;
use super::denials::Refusable;
use super::layout::flags;
use super::visit::{Held, charged};
use super::{SharedTable, Writer};
use crate::error::Result;
use crate::license::ledger::{self, Demand, Verdict};
use crate::license::policy::Rank;
use crate::reason::{DenyReason, LicenseClass};
use crate::table::*;

/// For whom a unit is taken.
pub(super) struct Taker {
    pub holder: Holder,
    /// What that is to the pool.
    pub rank: Rank,
    /// The definition of the pool that this was worked out from; `None` if it does not matter.
    pub revision: Option<u64>,
    /// How it is asked for.
    pub asking: Asking,
}

impl Taker {
    /// For the session itself.
    pub fn itself() -> Self {
        Self { holder: Holder::Session, rank: Rank::Ordinary, revision: None, asking: Asking::default() }
    }
}

impl SharedTable {
    /// Takes the unit of a lazy session, within a transaction. `Err` is the pool's refusal: that is kept by the commit, and
    /// nothing else. `None`: the pool has another definition than the one that was worked with.
    pub(super) fn take_unit<'a>(
        &'a self,
        ledger: &mut books::Ledger<'_>,
        at: At,
        session: SessionRef,
        row: &mut SessionRow,
        taker: Taker,
        evicted: &mut Evicted<'a>,
    ) -> Result<Option<Verdict>> {
        let Some(lazy) = row.lazy else { return Ok(Some(Ok(()))) };
        let Taker { holder, rank, revision, asking } = taker;
        let charge = Charge { pool: lazy.pool, class: LicenseClass::Lazy, holder, client: None };
        let demand = Demand::asking(&charge, rank, asking);
        let verdict = self.demand(ledger, at, session, &charge, evicted, |pool, defined, victims| {
            if revision.is_some_and(|revision| defined.revision != revision) {
                return Ok(None);
            }
            ledger::acquire(pool, &defined.rules, at, session.id, demand, victims).map(Some)
        })?;
        if verdict == Some(Ok(())) {
            (row.charge, row.lazy, row.licensed) = (Some(charge), None, at.now.ms);
        }
        Ok(verdict)
    }

    /// The same for a session that is its own holder, in a transaction of its own; tells the pool that refused.
    pub(super) fn take_own_unit(
        &self,
        writer: &Writer<'_>,
        at: At,
        held: &Held<'_>,
    ) -> Result<std::result::Result<(), (u32, DenyReason)>> {
        let mut row = self.row(held)?;
        let pool = row.pool().unwrap_or(0);
        if let Some(reason) = self.refuse_own_unit(writer, at, &row, held) {
            return Ok(Err((pool, reason)));
        }
        // What the slot knows of requests the row learns by this.
        row.had_request = held.has(flags::HAD_REQUEST);
        let mut evicted = Evicted::default();
        let verdict = writer.commit(|ledger| {
            let taken = self.take_unit(ledger, at, held.session(), &mut row, Taker::itself(), &mut evicted)?;
            let verdict = taken.unwrap_or(Ok(()));
            if verdict.is_ok() {
                ledger.update_session(&row)?;
            }
            Ok(verdict)
        });
        self.evict(writer, at, evicted, &verdict);
        let verdict = verdict?;
        match verdict {
            Ok(()) => self.took_unit(at, held, pool),
            Err(_) => self.is_full(pool),
        }
        Ok(verdict.map_err(|reason| (pool, reason)))
    }

    /// Refuses a lazy session its unit, if that is all there is to do.
    pub(super) fn refuse_own_unit(
        &self,
        writer: &Writer<'_>,
        at: At,
        row: &SessionRow,
        held: &Held<'_>,
    ) -> Option<DenyReason> {
        let charge = Charge { pool: row.lazy?.pool, class: LicenseClass::Lazy, holder: Holder::Session, client: None };
        let Taker { holder: _, rank, revision, asking } = Taker::itself();
        let demand = Demand::asking(&charge, rank, asking);
        let refusable = Refusable { revision, ..Refusable::new(demand) };
        self.refuse_at_once(writer, at, held.id(), &refusable, |reason| asking.ends_with(reason))
    }

    /// Has a held slot know that its session took its unit: after the commit.
    pub(super) fn took_unit(&self, at: At, held: &Held<'_>, pool: u32) {
        held.mark(flags::LAZY_REQUEST | flags::LAZY_WRITE, false);
        let charge = Charge { pool, class: LicenseClass::Lazy, holder: Holder::Session, client: None };
        held.slot.hot.absolute.set_small(charged(Some(&charge)));
        self.arrived(held.place().locator());
        self.trace(held, || format!("{} ms: took a unit of {}", at.now.ms, self.config.pools[pool as usize].name));
    }
}
