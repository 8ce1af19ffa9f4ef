//! The memory table: one process, slots that never move, a touch that writes one word.
//!
//! Lock order: the wheel, then a slot's cold part, then the leaves (tombstones, license books, outbox, log, free lists).
//! No lock is held across a wake-up or a callback.

mod back;
mod cold;
mod crowd;
mod due;
mod features;
mod grave;
mod keys;
mod licensed;
mod life;
mod log;
mod look;
mod outbox;
mod region;
mod requests;
mod verbs;
mod visit;

use std::sync::{Arc, OnceLock};

use self::cold::Cold;
use self::due::Reaping;
use self::grave::Graves;
use self::keys::Keys;
use self::life::Counters;
use self::log::Log;
use self::outbox::Outbox;
use self::region::Region;
use super::slot::{self, Slot};
use super::*;
use crate::clock::NEVER;
use crate::license::account::Account;
use crate::sync::atomic::{AtomicI64, AtomicU64};
use crate::sync::{Mutex, thread};

/// All sessions of one process.
pub struct MemoryTable {
    config: TableConfig,
    keys: Keys,
    region: Region,
    shards: Box<[Shard]>,
    graves: Graves,
    accounts: Vec<Account>,
    soon: Box<[back::Soon]>,
    /// How long an answer for a refusal stands that took a look at all sessions.
    stands: Millis,
    pool_names: Box<[Arc<str>]>,
    reaping: Reaping,
    outbox: Outbox,
    log: Log,
    counters: Counters,
    events: AtomicU64,
    watches: AtomicU64,
    /// The event classes that sessions of each application begin with.
    lists: Box<[OnceLock<Arc<[ClassRef]>>]>,
    none: Arc<[ClassRef]>,
    /// The wall clock at engine time 0, as the first session found it.
    wall: OnceLock<i64>,
}

/// What threads of one home share: padded, so that homes don't.
#[repr(align(128))]
#[derive(Default)]
struct Shard {
    free: Mutex<Vec<u32>>,
    /// Slots whose wheel entry is to be filed.
    inbox: Mutex<Vec<u32>>,
    /// Requests in flight: begun here less finished here.
    in_flight: AtomicI64,
}

impl Times for MemoryTable {
    fn config(&self) -> &TableConfig {
        &self.config
    }
}

impl MemoryTable {
    /// An empty table.
    pub fn new(config: TableConfig) -> Self {
        let shards = (4 * thread::cores()).next_power_of_two().clamp(4, 64);
        Self {
            keys: Keys::new(),
            region: Region::new(),
            shards: (0..shards).map(|_| Shard::default()).collect(),
            graves: Graves::new(config.max_sessions),
            accounts: config.pools.iter().cloned().map(Account::new).collect(),
            soon: config.pools.iter().map(|_| back::Soon::default()).collect(),
            stands: config.answers_stand,
            pool_names: config.pools.iter().map(|pool| pool.name.as_str().into()).collect(),
            reaping: Reaping::new(),
            outbox: Outbox::default(),
            log: Log::new(config.lifecycle_log),
            counters: Counters::new(config.applications.len()),
            events: AtomicU64::new(0),
            watches: AtomicU64::new(0),
            lists: config.applications.iter().map(|_| OnceLock::new()).collect(),
            none: Arc::from([]),
            wall: OnceLock::new(),
            config,
        }
    }

    /// The shard of the calling thread.
    fn home(&self) -> &Shard {
        &self.shards[thread::number() & (self.shards.len() - 1)]
    }

    fn application(&self, number: u32) -> &ApplicationRule {
        &self.config.applications[number as usize]
    }

    /// The event classes of a session; under its cold lock.
    fn classes<'a>(&'a self, slot: &Slot, cold: &'a Cold) -> &'a Arc<[ClassRef]> {
        let own = cold.extra().and_then(|extra| extra.classes.as_ref());
        let listed = (slot.used.small() as usize).checked_sub(1).and_then(|number| self.lists.get(number)?.get());
        own.or(listed).unwrap_or(&self.none)
    }

    /// Keeps a list of event classes: an application's own is kept once.
    fn set_classes(&self, slot: &Slot, cold: &mut Cold, classes: &Arc<[ClassRef]>) {
        let number = slot.application();
        let listed = self.lists[number as usize].get_or_init(|| classes.clone());
        if Arc::ptr_eq(listed, classes) {
            slot.used.set_small(number + 1);
            return;
        }
        slot.used.set_small(0);
        cold.extra_mut().classes = Some(classes.clone());
    }

    /// The absolute timeout, 0 for never: what lies between the creation and the deadline.
    fn absolute_timeout(&self, slot: &Slot, cold: &Cold) -> Millis {
        match slot.absolute.ms() {
            NEVER => 0,
            deadline => {
                deadline.saturating_sub(slot.created.ms().saturating_add(cold.extra().map_or(0, |extra| extra.slept)))
            }
        }
    }

    /// A pool has another definition: there may be units that nobody has, or fewer than before. No lock is held.
    fn capacity_changed(&self, pool: u32, next: Option<Millis>) {
        self.follow(pool);
        next.into_iter().for_each(|when| self.ring_if_earlier(when));
    }

    /// What the wall clock should have been when a session was made.
    fn expected_wall(&self, slot: &Slot) -> i64 {
        let base = self.wall.get().copied().unwrap_or(0);
        base.saturating_add(i64::try_from(slot.created.ms()).unwrap_or(i64::MAX))
    }
}
