//! Who waits for units of a pool: places are in the books, wake-ups in the process that waits.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use super::{SharedTable, Writer};
use crate::clock::NEVER;
use crate::error::Result;
use crate::license::queue;
use crate::license::waiter::Waiter;
use crate::reason::DenyReason;
use crate::table::*;

impl SharedTable {
    pub(super) fn wait_in_queue(
        &self,
        at: At,
        waiter: &NewWaiter,
        wake: Wake,
    ) -> Result<std::result::Result<u64, DenyReason>> {
        let pool = waiter.charge.pool;
        let from = waiter.from.as_ref();
        let waiter = Waiter::new(waiter, at.now.ms, (self.me, self.instance));
        let writer = self.writer()?;
        let joined = writer.commit(|ledger| {
            self.with_pool(ledger, pool, |books, defined| queue::join(books, &defined.rules, at, &waiter, from))
        });
        if let Ok(Ok(place)) = joined {
            // Before anybody else can call it.
            self.local.wakes.lock().insert((pool, place), wake);
            self.participant(self.me).queued.fetch_add(1, AcqRel);
        }
        self.done(writer, false)?;
        joined
    }

    pub(super) fn stop_waiting(&self, at: At, pool: u32, place: u64, how: Leaving) -> Result<bool> {
        let writer = self.writer()?;
        let left = writer.commit(|ledger| {
            self.with_pool(ledger, pool, |books, defined| queue::leave(books, &defined.rules, at, place, how))
        });
        self.done(writer, false)?;
        left
    }

    pub(super) fn forget_wake(&self, pool: u32, place: u64) {
        // Dropped after the lock is released.
        let forgotten = self.local.wakes.lock().remove(&(pool, place));
        if forgotten.is_some() {
            self.participant(self.me).queued.fetch_sub(1, AcqRel);
        }
    }

    /// Forgets who waits in processes that are not there any more. The caller has the writer's word.
    pub(super) fn bury_waiters(&self, writer: &Writer<'_>, dead: &[(u32, u64)]) -> Result<()> {
        let at = self.at();
        writer.commit(|ledger| {
            for (pool, place) in dead {
                if self.config.pools.get(*pool as usize).is_none() {
                    continue;
                }
                self.with_pool(ledger, *pool, |books, defined| {
                    queue::leave(books, &defined.rules, at, *place, Leaving::Died)
                })?;
            }
            Ok(())
        })
    }

    /// Forgets all who waited when the store was left: nobody of them is there any more.
    pub(super) fn forget_waiters(&self) -> Result<()> {
        let places = self.books.glance(|pages| pages.places_of(None))?;
        if places.is_empty() {
            return Ok(());
        }
        let writer = self.writer()?;
        let forgotten = self.bury_waiters(&writer, &places);
        self.done(writer, false).and(forgotten)
    }

    /// Notes whom a step called, to be rung after its commit.
    pub(super) fn note_called(&self, participants: Vec<u32>) {
        if !participants.is_empty() {
            self.local.called.lock().extend(participants);
        }
    }

    /// Has everybody who waits look whether their turn has come: whoever called them died, maybe before they were told.
    pub(super) fn note_all_called(&self) {
        let waits = |number: &u32| self.participant(*number).queued.load(Acquire) > 0;
        self.note_called(self.others().chain([self.me]).filter(waits).collect());
    }

    /// Marks the processes whose waiters' turn has come; they are to be rung once the writer's word is free. The mark comes
    /// before it is told that all is counted: who dies before the mark is found out, and the mark is looked for.
    pub(super) fn mark_called(&self) -> Vec<u32> {
        let mut called = std::mem::take(&mut *self.local.called.lock());
        called.sort_unstable();
        called.dedup();
        for number in &called {
            self.participant(*number).called.fetch_add(1, AcqRel);
        }
        called
    }

    /// Whether somebody here waits for units that another process may have set aside.
    pub(super) fn waits_for_units(&self) -> bool {
        self.participant(self.me).queued.load(Acquire) > 0
    }

    /// Calls the wake-ups of those here whose turn has come. No lock is held.
    pub(super) fn wake_called(&self) {
        let called = &self.participant(self.me).called;
        let seen = called.load(Acquire);
        if self.local.seen_called.swap(seen, AcqRel) == seen || self.local.wakes.lock().is_empty() {
            return;
        }
        match self.books.glance(|pages| pages.called((self.me, self.instance))) {
            Ok(places) => {
                let wakes: Vec<Wake> = {
                    let wakes = self.local.wakes.lock();
                    places.iter().filter_map(|place| wakes.get(place).cloned()).collect()
                };
                wakes.into_iter().for_each(|wake| wake());
            }
            Err(error) => {
                // They are called again by the next look.
                self.local.seen_called.store(seen.wrapping_sub(1), Relaxed);
                ::log::warn!(target: "libsession", "who waits for units can't be called now: {}", error.message());
            }
        }
    }

    /// When the reaper is to look after a pool again whose queue changed.
    pub(super) fn queue_changed(&self, next: Option<u64>) {
        if let Some(next) = next.filter(|next| *next < NEVER)
            && next < self.map.head().due.lingering.fetch_min(next, AcqRel)
        {
            self.ring_reaper();
        }
    }
}
