//! Who waits for the lock of a session: woken when it was freed, here or elsewhere.

use std::collections::HashMap;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use super::SharedTable;
use super::layout::flags;
use super::patience::Less;
use super::visit::Held;
use crate::error::Result;
use crate::table::Wake;

/// Threads of this process that wait for locks, by slot.
#[derive(Default)]
pub(super) struct Waiters {
    waiting: HashMap<u32, Vec<Waiter>>,
}

struct Waiter {
    watch: u64,
    /// How often a lock of the slot had been freed when it began to wait.
    seen: u32,
    /// The participant that holds the lock.
    blocker: u32,
    wake: Wake,
}

impl SharedTable {
    pub(super) fn add_waiter(&self, held: &Held<'_>, blocker: u32, wake: Wake) -> u64 {
        let watch = self.local.watches.fetch_add(1, Relaxed) + 1;
        let seen = held.slot.tail.freed.load(Acquire);
        self.local.waiters.lock().waiting.entry(held.index).or_default().push(Waiter { watch, seen, blocker, wake });
        self.participant(self.me).waiting.fetch_add(1, AcqRel);
        if blocker != self.me {
            // The keeper may sleep for long, and looks from now on whether the other process is alive.
            self.ring(self.me);
        }
        watch
    }

    pub(super) fn forget_waiter(&self, index: u32, watch: u64) {
        let Some(waiter) = self.take_waiter(index, watch) else { return };
        self.participant(self.me).waiting.fetch_sub(1, AcqRel);
        let _less = Less::is_tried_again();
        // Those that were woken are not counted any more.
        if let Ok(Some(held)) = self.hold(index)
            && held.slot.tail.freed.load(Acquire) == waiter.seen
            && held.waiters() > 0
        {
            held.slot.tail.flags.fetch_sub(flags::WAITER, Relaxed);
        }
    }

    fn take_waiter(&self, index: u32, watch: u64) -> Option<Waiter> {
        let mut waiters = self.local.waiters.lock();
        let waiting = waiters.waiting.get_mut(&index)?;
        let position = waiting.iter().position(|waiter| waiter.watch == watch)?;
        let waiter = waiting.remove(position);
        if waiting.is_empty() {
            waiters.waiting.remove(&index);
        }
        Some(waiter)
    }

    /// A lock of this slot was freed: wakes who waits for it, here and elsewhere. No lock is held.
    pub(super) fn wake_waiters(&self, index: u32) {
        let woken = self.local.waiters.lock().waiting.remove(&index).unwrap_or_default();
        self.wake(woken);
        self.ring_others(true);
    }

    fn wake(&self, woken: Vec<Waiter>) {
        self.participant(self.me).waiting.fetch_sub(u32::try_from(woken.len()).unwrap_or(0), AcqRel);
        for waiter in woken {
            (waiter.wake)();
        }
    }

    /// The bell rang: wakes whoever waits for what was freed elsewhere, and the engine.
    pub(super) fn look_around(&self) {
        let mut woken = Vec::new();
        {
            let mut waiters = self.local.waiters.lock();
            waiters.waiting.retain(|index, waiting| {
                let freed = self.map.slot(*index).map_or(0, |slot| slot.tail.freed.load(Acquire));
                woken.extend(waiting.extract_if(.., |waiter| waiter.seen != freed));
                !waiting.is_empty()
            });
        }
        self.wake(woken);
        self.wake_called();
        self.release_orphans();
        self.ring_engine();
    }

    /// Whether somebody here waits for what another process holds.
    pub(super) fn waits_for_others(&self) -> bool {
        self.participant(self.me).waiting.load(Acquire) > 0 && !self.blockers().is_empty()
    }

    /// The other processes that somebody here waits for.
    fn blockers(&self) -> Vec<u32> {
        let waiters = self.local.waiters.lock();
        let mut blockers: Vec<u32> = waiters.waiting.values().flatten().map(|waiter| waiter.blocker).collect();
        blockers.retain(|number| *number != self.me);
        blockers.sort_unstable();
        blockers.dedup();
        blockers
    }

    /// Frees what dead processes held that somebody here waits for.
    pub(super) fn bury_dead_blockers(&self) -> Result<()> {
        for number in self.blockers() {
            self.bury_if_dead(number)?;
        }
        Ok(())
    }
}
