//! The definitions of the pools: the books have the ones in force, and every process goes by those.

use std::sync::Arc;
use std::sync::atomic::Ordering::AcqRel;

use super::{SharedTable, books};
use crate::config::Pool;
use crate::error::Result;
use crate::license::books::Ledger as _;
use crate::license::redefine::{Redefinition, in_words, redefine};
use crate::table::*;

/// Who a change is by that came with a configuration.
const CONFIGURED: &str = "the configuration";

/// A definition, and the levels of the pool that came with it.
type NewlyDefined = (Arc<PoolInForce>, Vec<(PoolLevel, u64)>);

impl SharedTable {
    /// The definition with this number, within a transaction: most times the one that this process saw last.
    pub(super) fn defined(&self, pages: &books::Pages<'_>, pool: u32, revision: u64) -> Result<Arc<PoolInForce>> {
        let known = self.seen(pool);
        if known.revision == revision {
            return Ok(known);
        }
        let Some(row) = pages.definition(pool)? else { return Ok(known) };
        let read = Arc::new(PoolInForce::new(Pool::from_books(&known.pool.name, &row.definition)?, row.revision));
        self.see(pool, read.clone());
        Ok(read)
    }

    /// The definition that this process saw last.
    pub(super) fn seen(&self, pool: u32) -> Arc<PoolInForce> {
        self.local.pools.lock()[pool as usize].clone()
    }

    fn see(&self, pool: u32, defined: Arc<PoolInForce>) {
        let seen = &mut self.local.pools.lock()[pool as usize];
        if seen.revision < defined.revision {
            *seen = defined;
        }
    }

    /// A pool's books within a transaction, with the definition that they go by; changes of its level are told by this process.
    pub(super) fn with_pool<T>(
        &self,
        ledger: &mut books::Ledger<'_>,
        number: u32,
        work: impl FnOnce(&mut books::PoolAccount<'_, '_>, &PoolInForce) -> Result<T>,
    ) -> Result<T> {
        let (done, levels) = self.step(ledger, number, work)?;
        self.tell_levels(number, levels);
        Ok(done)
    }

    fn tell_levels(&self, number: u32, levels: Vec<(PoolLevel, u64)>) {
        if !levels.is_empty() {
            let mut waiting = self.local.levels.lock();
            let room = MAX_POOL_LEVELS.saturating_sub(waiting.len());
            waiting.extend(levels.into_iter().take(room).map(|(level, in_use)| (number, level, in_use)));
        }
    }

    /// The same, and the changes of its level are not told yet.
    fn step<T>(
        &self,
        ledger: &mut books::Ledger<'_>,
        number: u32,
        work: impl FnOnce(&mut books::PoolAccount<'_, '_>, &PoolInForce) -> Result<T>,
    ) -> Result<(T, Vec<(PoolLevel, u64)>)> {
        let totals = ledger.pool(number)?;
        let defined = self.defined(ledger, number, totals.revision)?;
        let mut pool = ledger.account(number, defined.rules.audit_records, totals);
        if self.options.guest {
            // Nobody listens here: the next step of a process that serves tells it.
            pool.keep_level();
        }
        let (lingered, waited, denied) = (pool.totals().lingering, pool.totals().waiting, pool.totals().denials);
        let done = work(&mut pool, &defined)?;
        if pool.totals().denials == denied {
            self.local.soon.forget();
        }
        if pool.totals().waiting > 0 {
            // Who begins to wait has the reaper look when something may come; then it knows.
            let lapse = pool.first_lapse()?.map(|(until, _)| until);
            self.queue_changed(if pool.totals().waiting > waited { Some(0) } else { lapse });
        }
        self.note_called(std::mem::take(&mut pool.called));
        if pool.totals().lingering > lingered
            && let Some((until, _)) = pool.first_lingering()?
            && until < self.map.head().due.lingering.fetch_min(until, AcqRel)
        {
            // If the commit fails there is one look for nothing.
            self.ring_reaper();
        }
        Ok((done, std::mem::take(&mut pool.levels)))
    }

    /// The definition in force.
    pub(super) fn pool_in_force(&self, pool: u32) -> Result<Arc<PoolInForce>> {
        self.books.glance(|pages| {
            let revision = pages.pool(pool)?.revision;
            self.defined(pages, pool, revision)
        })
    }

    pub(super) fn redefine_pool(
        &self,
        at: At,
        pool: u32,
        revision: u64,
        to: &Pool,
        actor: Option<&str>,
    ) -> Result<std::result::Result<(), PoolUnchanged>> {
        let writer = self.writer()?;
        let changed = writer.commit(|ledger| self.redefine(ledger, at, pool, Some(revision), to, actor));
        // A change is an administrator's: it is on the disk before it is told.
        self.done(writer, matches!(changed, Ok(Ok(_))))?;
        match changed? {
            Ok((defined, levels)) => {
                // Who is told a level is told it with the new capacity.
                self.see(pool, defined);
                self.tell_levels(pool, levels);
                self.capacity_changed(pool);
                Ok(Ok(()))
            }
            Err(unchanged) => Ok(Err(unchanged)),
        }
    }

    /// Another definition, within a transaction; with no `revision` whatever is in force, while nobody else has the store open.
    fn redefine(
        &self,
        ledger: &mut books::Ledger<'_>,
        at: At,
        pool: u32,
        revision: Option<u64>,
        to: &Pool,
        actor: Option<&str>,
    ) -> Result<std::result::Result<NewlyDefined, PoolUnchanged>> {
        let keep = to.audit_records;
        let (made, levels) = self.step(ledger, pool, |account, from| {
            if revision.is_some_and(|revision| revision != from.revision) {
                return Ok(Err(PoolUnchanged::Redefined));
            }
            let to = Arc::new(PoolInForce::new(to.clone(), from.revision + 1));
            account.keep_records(keep);
            let change = Redefinition { from, to: &to, actor, recounted: revision.is_none() };
            let text = in_words(&from.pool, &to.pool, actor);
            Ok(redefine(account, at, change)?.map(|()| (to, text)).map_err(PoolUnchanged::Held))
        })?;
        Ok(match made {
            Ok((to, text)) => {
                ledger.set_definition(pool, to.revision, &to.pool.to_json())?;
                self.log(ledger, at.now.ms, SessionId::NIL, "pool_changed", &text)?;
                Ok((to, levels))
            }
            Err(unchanged) => Err(unchanged),
        })
    }

    /// A pool has another definition: there may be units that nobody has, or fewer than before. No lock is held.
    pub(super) fn capacity_changed(&self, pool: u32) {
        let _whose = pool;
        self.ring_reaper();
    }

    /// Nobody else has the store open: a configuration that is another one than that of the last who opened it alone is a
    /// change; the same one leaves what was changed since while it ran.
    pub(super) fn settle_pools(&self, at: At) -> Result<()> {
        for (number, pool) in (0..).zip(&self.config.pools) {
            let named = pool.to_json();
            let row = self.books.glance(|pages| pages.definition(number))?;
            if row.as_ref().is_some_and(|row| row.opened == named) {
                self.pool_in_force(number)?;
                continue;
            }
            let writer = self.writer()?;
            let done = writer.commit(|ledger| {
                match &row {
                    // What was configured before is not known: what is held is nobody's in particular.
                    None => {
                        let mut totals = ledger.pool(number)?;
                        totals.revision = 1;
                        totals.reserved.clear();
                        ledger.set_pool(number, &totals)?;
                        ledger.unseat(number)?;
                        ledger.set_definition(number, 1, &named)?;
                    }
                    Some(_) => {
                        // This can't be refused: nothing is taken, and what counts otherwise is counted anew. Its levels are
                        // told to nobody: nobody listens yet.
                        let _defined = self.redefine(ledger, at, number, None, pool, Some(CONFIGURED))?;
                    }
                }
                ledger.set_opened(number, &named)
            });
            self.done(writer, false)?;
            done?;
            self.pool_in_force(number)?;
        }
        self.tell_differences();
        Ok(())
    }

    /// Others have the store open: their definitions are in force, and this process is told where it named others.
    pub(super) fn join_pools(&self) -> Result<()> {
        for number in 0..self.config.pools.len() as u32 {
            self.pool_in_force(number)?;
        }
        self.tell_differences();
        Ok(())
    }

    fn tell_differences(&self) {
        for (number, named) in (0..).zip(&self.config.pools) {
            for one in named.differences(&self.seen(number).pool) {
                ::log::warn!(
                    target: "libsession",
                    "pool '{}': {} is {} in the store, and was named {} here: the store's counts; change it with change_pool, \
                     or open the store with another configuration while no process has it open",
                    one.pool, one.option, one.in_force, one.named
                );
            }
        }
    }
}
