//! What each process does beside its calls: listens to its bell, writes touches through, buries dead processes, and has what
//! waits for the disk done.

use std::sync::Weak;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::disk::Due;
use super::patience::Less;
use super::{SharedTable, word};
use crate::clock::Millis;
use crate::error::Result;
use crate::event::dispatch_config::start_thread;
use crate::sync::Mutex;
use crate::table::At;

/// How far the disk may be behind the commits that nobody waits for.
const SYNC: Duration = Duration::from_millis(50);
/// How long touches wait for a commit that takes them along.
const FLUSH: Duration = Duration::from_secs(1);
/// How often the reaper asks whether the other processes are alive.
const PROBE: Duration = Duration::from_millis(400);
/// How often who waits for a session's lock asks whether its holder is alive, and who waits for units whether they were set
/// aside by one that died and could not say so: a few times before an offer lapses.
const ASK: Duration = Duration::from_millis(100);
/// How often the log is moved into the file of the books.
const CHECKPOINT: Duration = Duration::from_millis(250);
/// How often it is tried to begin the log anew.
const RESTART: Duration = Duration::from_secs(5);
/// Pages of the log that are not worth the trouble.
const FEW_PAGES: u64 = 1000;
/// Pages of the log from which on it is to be used from its beginning again: 16 MB.
const MANY_PAGES: u64 = 4000;
/// So many pages at most are moved while nobody commits: some milliseconds.
const LAST_PAGES: u64 = 1000;
/// How often a round moves the log, until so few are left.
const PASSES: usize = 4;
/// A process that reaps beside others and was not seen for so long is stopped.
const FROZEN: Duration = Duration::from_millis(900);
/// How long a keeper sleeps that could not do something.
const AFTER_FAILURE: Duration = Duration::from_millis(100);
/// How long a keeper sleeps that has nothing to do.
const SLEEP: Duration = Duration::from_secs(30);
/// How often tombstones are looked through.
const PURGE: Millis = 1000;
/// Tombstones that fall at once.
const FALL: usize = 1024;

/// The keeping of one process.
pub(super) struct Keeper {
    started: AtomicBool,
    stop: AtomicBool,
    /// A duty could not be done.
    failing: AtomicBool,
    thread: Mutex<Option<JoinHandle<()>>>,
    rounds: Mutex<Rounds>,
}

struct Rounds {
    synced: Instant,
    flushed: Instant,
    probed: Instant,
    asked: Instant,
    queued: Instant,
    checkpointed: Instant,
    /// When the log was last to begin anew: a reader that does not go on can keep it from that.
    restarted: Option<Instant>,
    /// The commits that the last checkpoint found.
    moved: u64,
    purged: Millis,
}

impl Rounds {
    /// Has everything be due in the next round: not all of this one could be done.
    fn again(&mut self) {
        let long_ago = Instant::now().checked_sub(FLUSH);
        for last in [&mut self.synced, &mut self.flushed, &mut self.probed, &mut self.asked, &mut self.queued] {
            *last = long_ago.unwrap_or(*last);
        }
    }
}

impl Keeper {
    pub fn new() -> Self {
        let now = Instant::now();
        Self {
            started: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            failing: AtomicBool::new(false),
            thread: Mutex::new(None),
            rounds: Mutex::new(Rounds {
                synced: now,
                flushed: now,
                probed: now,
                asked: now,
                queued: now,
                checkpointed: now,
                restarted: None,
                moved: 0,
                purged: 0,
            }),
        }
    }
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
            self.wake_called();
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
        let (sync, flush, checkpoint, probe, waits, queues) = {
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
            let behind =
                self.map.head().denials.pending() || writing.committed.load(Acquire) > writing.synced.load(Acquire);
            let sync = due(behind, |rounds| &mut rounds.synced, SYNC, false);
            let flush = due(self.local.wants_flush(), |rounds| &mut rounds.flushed, FLUSH, all);
            let probes = others && (leads || all || self.reaper_is_frozen());
            let probe = due(probes, |rounds| &mut rounds.probed, PROBE, all);
            let waits = others && self.waits_for_others();
            let waits = due(waits, |rounds| &mut rounds.asked, ASK, all);
            let queues = others && self.waits_for_units();
            let queues = due(queues, |rounds| &mut rounds.queued, ASK, all);
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
            (sync, flush, checkpoint, probe, waits, queues)
        };
        if others {
            sleep = sleep.min(FROZEN);
        }
        // One duty that can't be done does not keep the others undone.
        let mut kept = Ok(());
        let mut duty = |due: bool, duty: &dyn Fn(&Self) -> Result<()>| {
            if due && let Err(error) = duty(self) {
                kept = Err(error);
            }
        };
        duty(sync, &Self::write_denials);
        duty(probe, &Self::bury_the_dead);
        duty(!probe && waits, &Self::bury_dead_blockers);
        duty(queues, &|table: &Self| {
            table.after_dead_writer();
            Ok(())
        });
        duty(self.local.recount.swap(false, AcqRel), &|table: &Self| {
            table.repair_pools().inspect_err(|_| table.local.recount.store(true, Release))
        });
        duty(flush, &Self::flush);
        duty(sync || checkpoint, &|table: &Self| table.use_disk(Due { sync, checkpoint, ..Due::default() }));
        if kept.is_err() {
            self.keeper.rounds.lock().again();
        }
        kept.map(|()| sleep)
    }

    /// Has what could not be done be due again.
    pub(super) fn disk_failed(&self) {
        self.keeper.rounds.lock().again();
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
    pub(super) fn checkpoint(&self) -> Result<()> {
        if self.books.wal_pages() < FEW_PAGES {
            return Ok(());
        }
        let now = Instant::now();
        let restarts = self.books.wants_restart() && {
            let mut rounds = self.keeper.rounds.lock();
            let due = rounds.restarted.is_none_or(|last| now.duration_since(last) >= RESTART);
            if due {
                rounds.restarted = Some(now);
            }
            due
        };
        // What can be moved while others commit is: a disk may take seconds for a log of 256 MB.
        self.move_log()?;
        if !restarts {
            return Ok(());
        }
        let writer = self.writer()?;
        let done = self.books.checkpoint();
        self.done(writer, false).and(done)
    }

    /// While commits go on there is always one that is not moved yet: the log would only grow, and what makes a file longer
    /// takes the disk longer than what writes it anew. So, once few pages are left, they are moved while nobody commits, and
    /// the next commit goes to the log's beginning. Whoever reads is not waited for.
    fn move_log(&self) -> Result<()> {
        let committed = &self.map.head().writing.committed;
        let mut seen = 0;
        for _ in 0..PASSES {
            let before = committed.load(Acquire);
            let log = self.books.move_log()?;
            if log.pages < MANY_PAGES || log.moved < log.pages || committed.load(Acquire) == before {
                return Ok(());
            }
            if log.pages.saturating_sub(seen) <= LAST_PAGES {
                // All wait for what the disk takes from here on: as little as can be.
                self.sync(true)?;
                let writer = self.writer()?;
                let done = self.books.move_log().map(drop);
                return self.done(writer, false).and(done);
            }
            seen = log.pages;
        }
        Ok(())
    }
}

/// The keeper's thread.
fn run(table: &Weak<SharedTable>) {
    // Whoever waits for a lock must hear that it is free, whatever else hangs.
    let _less = Less::is_tried_again();
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
            Ok(sleep) => {
                if strong.keeper.failing.swap(false, AcqRel) {
                    ::log::info!(target: "libsession", "the store is kept in order again");
                }
                sleep
            }
            Err(error) => {
                if !strong.keeper.failing.swap(true, AcqRel) {
                    ::log::error!(target: "libsession", "the store can't be kept in order now: {}", error.message());
                }
                AFTER_FAILURE
            }
        };
        // From here on nothing keeps the table alive while this thread sleeps.
        drop(strong);
        word::wait(&map.head().participants[number].bell, seen, sleep);
    }
}
