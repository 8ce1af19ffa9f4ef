//! What each process does beside its calls: listens to its bell, syncs, writes touches through, buries dead processes.

use std::collections::HashMap;
use std::sync::Weak;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::layout::flags;
use super::requests::{FREED, Flight};
use super::visit::Held;
use super::{SharedTable, books, word};
use crate::clock::Millis;
use crate::error::Result;
use crate::event::dispatch_config::start_thread;
use crate::sync::Mutex;
use crate::table::slot::{FREE, Place};
use crate::table::*;

/// How far the disk may be behind the commits that nobody waits for.
const SYNC: Duration = Duration::from_millis(50);
/// How long touches wait for a commit that takes them along.
const FLUSH: Duration = Duration::from_secs(1);
/// How often the reaper asks whether the other processes are alive.
const PROBE: Duration = Duration::from_millis(400);
/// How often the log is moved into the file of the books.
const CHECKPOINT: Duration = Duration::from_millis(250);
/// Pages of the log that are not worth the trouble.
const FEW_PAGES: u64 = 1000;
/// A process that reaps beside others and was not seen for so long is stopped.
const FROZEN: Duration = Duration::from_millis(900);
/// How long a keeper sleeps that has nothing to do.
const SLEEP: Duration = Duration::from_secs(30);
/// How often tombstones are looked through.
const PURGE: Millis = 1000;
/// Tombstones that fall at once.
const FALL: usize = 1024;
/// Touches that one commit takes along.
const ALONG: usize = 512;

/// The keeping of one process.
pub(super) struct Keeper {
    started: AtomicBool,
    stop: AtomicBool,
    thread: Mutex<Option<JoinHandle<()>>>,
    rounds: Mutex<Rounds>,
}

struct Rounds {
    synced: Instant,
    flushed: Instant,
    probed: Instant,
    checkpointed: Instant,
    /// The commits that the last checkpoint found.
    moved: u64,
    purged: Millis,
}

impl Keeper {
    pub fn new() -> Self {
        let now = Instant::now();
        Self {
            started: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            thread: Mutex::new(None),
            rounds: Mutex::new(Rounds {
                synced: now,
                flushed: now,
                probed: now,
                checkpointed: now,
                moved: 0,
                purged: 0,
            }),
        }
    }
}

/// Threads of this process that wait for locks, by slot.
#[derive(Default)]
pub(super) struct Waiters {
    waiting: HashMap<u32, Vec<Waiter>>,
}

struct Waiter {
    watch: u64,
    /// How often a lock of the slot had been freed when it began to wait.
    seen: u32,
    wake: Wake,
}

impl SharedTable {
    // --- bells ---
    /// Tells a process to look around.
    pub(super) fn ring(&self, number: u32) {
        let bell = &self.participant(number).bell;
        bell.fetch_add(1, AcqRel);
        word::wake_all(bell);
    }

    /// Tells all other processes.
    pub(super) fn ring_others(&self, only_waiting: bool) {
        for number in self.others() {
            if !only_waiting || self.participant(number).waiting.load(Acquire) > 0 {
                self.ring(number);
            }
        }
    }

    /// Something earlier than all before was filed.
    pub(super) fn ring_reaper(&self) {
        let leader = self.map.head().due.leader.load(Acquire);
        if leader != 0 && leader != self.me {
            self.ring(leader);
        } else {
            self.ring_engine();
        }
    }

    pub(super) fn ring_engine(&self) {
        let bell = self.local.bell.lock().clone();
        if let Some(bell) = bell {
            bell();
        }
    }

    // --- waiting for locks ---
    pub(super) fn add_waiter(&self, held: &Held<'_>, wake: Wake) -> u64 {
        let watch = self.local.watches.fetch_add(1, Relaxed) + 1;
        let seen = held.slot.tail.freed.load(Acquire);
        let mut waiters = self.local.waiters.lock();
        waiters.waiting.entry(held.index).or_default().push(Waiter { watch, seen, wake });
        self.participant(self.me).waiting.fetch_add(1, AcqRel);
        watch
    }

    pub(super) fn forget_waiter(&self, index: u32, watch: u64) {
        let Some(waiter) = self.take_waiter(index, watch) else { return };
        self.participant(self.me).waiting.fetch_sub(1, AcqRel);
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
    fn look_around(&self) {
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
        self.release_orphans();
        self.ring_engine();
    }

    // --- the thread ---
    /// Starts the keeper at the first use, if there are to be threads.
    pub(super) fn start_keeper(&self) {
        let keeper = &self.keeper;
        if !self.options.threads || keeper.started.load(Acquire) || keeper.started.swap(true, AcqRel) {
            return;
        }
        let table = self.weak.clone();
        let started = start_thread(self.options.hooks.as_ref(), "lses-keeper", move || run(&table));
        match started {
            Ok(thread) => *keeper.thread.lock() = Some(thread),
            Err(error) => {
                keeper.started.store(false, Release);
                ::log::error!(target: "libsession", "the thread lses-keeper can't be started: {error}");
            }
        }
    }

    pub(super) fn stop_keeper(&self) {
        self.keeper.stop.store(true, Release);
        self.ring(self.me);
        let thread = self.keeper.thread.lock().take();
        if let Some(thread) = thread
            && thread.thread().id() != std::thread::current().id()
            && thread.join().is_err()
        {
            ::log::error!(target: "libsession", "the keeper had panicked");
        }
    }

    /// There is something to be synced: the keeper must not oversleep.
    pub(super) fn keeper_is_due(&self) {
        if !self.local.due.swap(true, AcqRel) {
            self.ring(self.me);
        }
    }

    /// The duties of a process without a keeper: done beside its claims.
    pub(super) fn keep(&self, at: At) -> Result<()> {
        self.start_keeper();
        if !self.options.threads || self.clock.manual().is_some() {
            self.release_orphans();
            self.rounds(self.clock.manual().is_some())?;
        }
        let mut rounds = self.keeper.rounds.lock();
        rounds.purged = rounds.purged.min(at.now.ms);
        Ok(())
    }

    /// Does what is due of the duties; tells how long there is nothing to do.
    pub(super) fn rounds(&self, all: bool) -> Result<Duration> {
        let mut sleep = SLEEP;
        self.local.due.store(false, Release);
        self.participant(self.me).beat.store(self.clock.now().ms, Relaxed);
        let writing = &self.map.head().writing;
        let leads = self.map.head().due.leader.load(Acquire) == self.me;
        let others = self.others().next().is_some();
        let (sync, flush, checkpoint, probe) = {
            // What is due is noted under the lock and done without it: the disk may take its time.
            let mut rounds = self.keeper.rounds.lock();
            let now = Instant::now();
            let mut due = |wanted: bool, last: fn(&mut Rounds) -> &mut Instant, every: Duration, at_once: bool| {
                if wanted {
                    sleep = sleep.min(every);
                }
                let last = last(&mut rounds);
                let due = wanted && (at_once || now.duration_since(*last) >= every);
                if due {
                    *last = now;
                }
                due
            };
            let behind = writing.committed.load(Acquire) > writing.synced.load(Acquire);
            let sync = due(behind, |rounds| &mut rounds.synced, SYNC, false);
            let flush = due(self.local.wants_flush(), |rounds| &mut rounds.flushed, FLUSH, all);
            let probes = others && (leads || all || self.reaper_is_frozen());
            let probe = due(probes, |rounds| &mut rounds.probed, PROBE, all);
            let committed = writing.committed.load(Acquire);
            let moved = leads && committed != rounds.moved;
            if moved {
                sleep = sleep.min(CHECKPOINT);
            }
            let checkpoint = moved && now.duration_since(rounds.checkpointed) >= CHECKPOINT;
            if checkpoint {
                (rounds.checkpointed, rounds.moved) = (now, committed);
            }
            if behind {
                // A commit from here on finds the keeper awake in time.
                self.local.due.store(true, Release);
            }
            (sync, flush, checkpoint, probe)
        };
        if others {
            sleep = sleep.min(FROZEN);
        }
        if probe {
            self.bury_the_dead()?;
        }
        if self.local.recount.swap(false, AcqRel) {
            self.repair_pools()?;
        }
        if flush {
            self.flush()?;
        }
        if sync {
            self.sync(true)?;
        }
        if checkpoint {
            self.checkpoint()?;
        }
        Ok(sleep)
    }

    /// Whether the process that reaps was not seen at work for long: it is stopped, and others do what it should.
    fn reaper_is_frozen(&self) -> bool {
        let leader = self.map.head().due.leader.load(Acquire);
        let seen = if leader == 0 { 0 } else { self.participant(leader).beat.load(Relaxed) };
        let frozen = u64::try_from(FROZEN.as_millis()).unwrap_or(0);
        self.clock.now().ms >= seen.saturating_add(frozen)
    }

    /// Lets tombstones fall that have stood long enough.
    pub(super) fn purge(&self, at: At) -> Result<()> {
        {
            let mut rounds = self.keeper.rounds.lock();
            if at.now.ms < rounds.purged.saturating_add(PURGE) {
                return Ok(());
            }
            rounds.purged = at.now.ms;
        }
        let tombstones = &self.map.head().counters.tombstones;
        if tombstones.load(Relaxed) == 0 {
            return Ok(());
        }
        let writer = self.writer()?;
        let left = writer.commit(|ledger| {
            Ok(if ledger.purge_graves(at.now.ms, FALL)? > 0 { Some(ledger.grave_count()?) } else { None })
        });
        self.done(writer, false)?;
        if let Some(left) = left? {
            tombstones.store(left, Relaxed);
        }
        Ok(())
    }

    /// Moves the log of the books into their file; one that grew very long begins anew.
    fn checkpoint(&self) -> Result<()> {
        if self.books.wal_pages() < FEW_PAGES {
            return Ok(());
        }
        if !self.books.wants_restart() {
            return self.books.checkpoint();
        }
        let writer = self.writer()?;
        let done = self.books.checkpoint();
        self.done(writer, false).and(done)
    }

    /// Writes touches and traces into the books that no commit took along.
    pub(super) fn flush(&self) -> Result<()> {
        while self.local.wants_flush() {
            let writer = self.writer()?;
            writer.commit(|_| Ok(()))?;
            self.done(writer, false)?;
        }
        Ok(())
    }

    /// What a commit takes along of touches and traces.
    pub(super) fn take_along(&self, ledger: &mut books::Ledger<'_>) -> Result<()> {
        let touched: Vec<u32> = {
            let mut unsaved = self.local.unsaved.lock();
            let from = unsaved.len().saturating_sub(ALONG);
            unsaved.split_off(from)
        };
        let mut saves = Vec::with_capacity(touched.len());
        for index in touched {
            let Some(slot) = self.map.slot(index) else { continue };
            let state = slot.hot.state();
            if state.deadline() != FREE {
                let saved = slot.tail.saved.load(Relaxed);
                saves.push((index, state.generation(), saved, slot.hot.used.ms()));
            }
        }
        ledger.save_deadlines(&saves)?;
        let spoiled = std::mem::take(&mut *self.local.spoiled.lock());
        for (index, why) in spoiled {
            ledger.quarantine_data(index, &why)?;
        }
        let traces = std::mem::take(&mut *self.local.traces.lock());
        for (index, generation, line) in traces {
            if let Some(mut row) = ledger.session(index)?.filter(|row| row.generation == generation) {
                if row.rare.trace.len() >= super::MAX_TRACE {
                    row.rare.trace.remove(0);
                }
                row.rare.trace.push(line);
                ledger.update_session(&row)?;
            }
        }
        Ok(())
    }

    /// A line of a held session's trace, if it keeps one.
    pub(super) fn trace(&self, held: &Held<'_>, line: impl FnOnce() -> String) {
        if held.has(flags::TRACE) {
            self.local.traces.lock().push((held.index, held.state().generation(), line()));
        }
    }

    // --- the dead ---
    /// The numbers of the other processes that were seen.
    pub(super) fn others(&self) -> impl Iterator<Item = u32> + '_ {
        let participants = &self.map.head().participants;
        (1..)
            .zip(participants)
            .filter(|(number, participant)| *number != self.me && participant.state.load(Acquire) != 0)
            .map(|(number, _)| number)
    }

    pub(super) fn bury_the_dead(&self) -> Result<()> {
        let dead: Vec<u32> = self.others().filter(|number| !self.processes.alive(*number)).collect();
        for number in dead {
            self.bury_participant(number)?;
        }
        Ok(())
    }

    /// Frees what a process held that is not any more: requests, locks, slots, claims of events.
    pub(super) fn bury_participant(&self, number: u32) -> Result<()> {
        let writer = self.writer()?;
        let participant = self.participant(number);
        if participant.state.load(Acquire) == 0 || self.processes.alive(number) {
            drop(writer);
            return Ok(());
        }
        ::log::warn!(
            target: "libsession",
            "process {} died without closing the store: its locks, requests and events are given back",
            participant.pid.load(Relaxed)
        );
        let now = self.clock.now();
        // First the slots that it held in the middle of a change: their lists of requests may be torn.
        for index in 0..self.map.head().slots.next.load(Acquire) {
            let Some(slot) = self.map.slot(index) else { break };
            let free = slot.hot.state().deadline() == FREE && slot.tail.first.load(Relaxed) == number;
            if (free || slot.tail.lock.owner() == number)
                && let Some(held) = self.hold(index)?
                && !held.taken()
                && held.slot.tail.first.load(Relaxed) == number
            {
                self.adopt_slot(&held);
            }
        }
        for index in 0..self.map.head().records.next.load(Acquire) {
            let Some(record) = self.map.record(index) else { break };
            if record.owner.load(Acquire) != number {
                continue;
            }
            let session = record.session.load(Relaxed);
            if !matches!(record.kind.load(Relaxed), 0 | FREED)
                && let Some(mut held) = self.hold(Place::from_locator(session).index)?
                && held.place().locator() == session
                && let Some(flight) = Flight::read(index, record)
                && self.flights(&held).any(|other| other.record == index)
            {
                self.trace(&held, || format!("{} ms: the process of a request died", now.ms));
                self.take_out(now, &mut held, &flight, now.ms);
                self.refile(now, &held);
            }
            record.session.store(0, Relaxed);
            record.kind.store(0, Relaxed);
            record.owner.store(self.me, Release);
            let mut records = self.local.records.lock();
            records.own.push(index);
            records.free.push(index);
        }
        writer.commit(|ledger| ledger.outbox_release(number, participant.instance.load(Relaxed)))?;
        // A file that it was about to make longer: the next one asks again.
        for growing in [&self.map.head().slots.growing, &self.map.head().records.growing] {
            if growing.owner() == number {
                growing.lock(self.me, &|number| self.processes.alive(number));
                growing.unlock();
            }
        }
        participant.in_flight.store(0, Relaxed);
        participant.waiting.store(0, Relaxed);
        participant.instance.store(0, Relaxed);
        participant.state.store(0, Release);
        self.map.head().due.rescan.fetch_add(1, AcqRel);
        self.map.head().counters.offers.fetch_add(1, AcqRel);
        self.done(writer, false)?;
        self.ring_others(false);
        self.ring_engine();
        Ok(())
    }
}

/// The keeper's thread.
fn run(table: &Weak<SharedTable>) {
    loop {
        let Some(strong) = table.upgrade() else { return };
        if strong.keeper.stop.load(Acquire) {
            return;
        }
        let map = strong.map.clone();
        let number = strong.me as usize - 1;
        let seen = map.head().participants[number].bell.load(Acquire);
        strong.look_around();
        let sleep = match strong.rounds(false) {
            Ok(sleep) => sleep,
            Err(error) => {
                ::log::error!(target: "libsession", "the store can't be kept in order now: {}", error.message());
                FLUSH
            }
        };
        // From here on nothing keeps the table alive while this thread sleeps.
        drop(strong);
        word::wait(&map.head().participants[number].bell, seen, sleep);
    }
}

impl super::Local {
    fn wants_flush(&self) -> bool {
        !self.unsaved.lock().is_empty() || !self.traces.lock().is_empty() || !self.spoiled.lock().is_empty()
    }
}
