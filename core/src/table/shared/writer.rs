//! Who writes the books: one thread of one process of the machine at a time.

use std::cell::Cell;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::time::Duration;

use super::line::InLine;
use super::patience::{Less, patience};
use super::{SharedTable, books, open};
use crate::clock::Millis;
use crate::error::{Error, ErrorKind, Result};
use crate::store::Durability;
use crate::table::Found;

use super::visit::ok;

/// How often the books are told the time.
const TELL_TIME: Millis = 60_000;
/// Holds the writer's word: nobody else on this machine changes the books.
pub(super) struct Writer<'a> {
    table: &'a SharedTable,
    sync: Cell<bool>,
    rings: Cell<bool>,
    /// The counters know all that was committed before.
    counted: Cell<bool>,
    _less: Less,
    _place: InLine<'a>,
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        let writing = &self.table.map.head().writing;
        if self.counted.get() {
            writing.counting.store(0, Release);
        }
        writing.word.unlock();
    }
}

impl Writer<'_> {
    /// One transaction. Touches that wait to be written through go along.
    pub fn commit<T>(&self, work: impl FnOnce(&mut books::Ledger<'_>) -> Result<T>) -> Result<T> {
        let table = self.table;
        table.map.head().writing.counting.store(table.me, Release);
        let denials = &table.map.head().denials;
        let mut written = None;
        let done = table.books.write(|ledger| {
            // They were before whatever this one does.
            written = denials.write(ledger)?;
            let done = work(ledger)?;
            table.take_along(ledger)?;
            table.tell_time(ledger)?;
            Ok(done)
        });
        let head = table.map.head();
        match &done {
            Ok(_) => {
                if let Some(written) = written {
                    denials.written.store(written, Release);
                }
                head.writing.committed.fetch_add(1, AcqRel);
            }
            Err(error) if error.kind() == ErrorKind::Uncertain => head.poisoned.store(1, Relaxed),
            Err(_) => {}
        }
        done
    }

    /// What was committed must be on the disk before the verb returns.
    pub fn must_sync(&self) {
        self.sync.set(true);
    }

    /// There is something for other processes to deliver.
    pub fn rang(&self) {
        self.rings.set(true);
    }
}

impl SharedTable {
    /// Waits until nobody else writes, for as long as those who do go on.
    ///
    /// # Errors
    /// `unavailable`: whoever writes has not gone on for as long as this thread has patience. `closed`, `poisoned`.
    pub(super) fn writer(&self) -> Result<Writer<'_>> {
        if self.closed.load(Acquire) {
            return Err(Error::new(ErrorKind::Closed, "the manager was closed"));
        }
        let head = self.map.head();
        let writing = &head.writing;
        let line = &self.line;
        let most = patience();
        let mut goes_on = || line.stands(writing.turn.load(Acquire)) < most;
        let held_up = || {
            let owner = writing.word.owner();
            self.held_up("the books", owner, line.stands(writing.turn.load(Acquire)))
        };
        let Some(place) = line.enter(&mut goes_on) else { return Err(held_up()) };
        let taken = writing.word.lock_while(self.me, &|number| self.processes.alive(number), &mut goes_on);
        if taken.is_none() {
            return Err(held_up());
        }
        writing.turn.fetch_add(1, AcqRel);
        let writer = Writer {
            table: self,
            sync: Cell::new(false),
            rings: Cell::new(false),
            counted: Cell::new(writing.counting.load(Acquire) == 0),
            _less: Less::under_the_word(),
            _place: place,
        };
        if head.poisoned.load(Relaxed) != 0 {
            return Err(Error::new(
                ErrorKind::Poisoned,
                "the store could not be synced to its disk: see the disk, close every manager that has the store open, and \
                 open it again",
            ));
        }
        if !writer.counted.get() {
            // Whoever died may have committed, and neither counted nor told it by the slot.
            self.recount_counters()?;
            self.forget_arrivals();
            let dead = writing.counting.load(Acquire);
            if dead != self.me && !self.processes.alive(dead) {
                self.mend_slots_of(dead)?;
            }
            self.note_all_called();
            // Nor did it count the commit itself, by which others know what they have seen of the books.
            writing.committed.fetch_add(1, AcqRel);
            writer.counted.set(true);
        }
        Ok(writer)
    }

    /// Before counters or lists are told: a writer that died may have committed what neither knows. Costs nothing if nobody
    /// writes.
    pub(super) fn after_dead_writer(&self) {
        let counting = self.map.head().writing.counting.load(Acquire);
        if counting != 0 && counting != self.me && !self.processes.alive(counting) {
            let _less = Less::is_tried_again();
            // Whoever has the word now mends it, or has when it is free. If the books can't be read, all stays as it is.
            let mended = self.writer().and_then(|writer| self.done(writer, false));
            if let Err(error) = mended {
                ::log::warn!(target: "libsession", "what a dead process did is not known yet: {}", error.message());
            }
        }
    }

    /// Somebody holds something and does not go on.
    pub(super) fn held_up(&self, what: &str, owner: u32, since: Duration) -> Error {
        let since = since.as_millis();
        let text = match owner {
            0 => format!("{what} could not be had within {since} ms; nothing was changed; try again"),
            owner if owner == self.me => format!(
                "another thread of this process has held {what} for {since} ms by now and does not go on (see the disk); \
                 nothing was changed; try again"
            ),
            owner => {
                let participant = self.participant(owner);
                let (process, label) = (participant.pid.load(Relaxed), participant.label());
                format!(
                    "process {process} ({label}) has held {what} for {since} ms by now and does not go on: it is stopped or \
                     hangs, and nobody can take that from the living; nothing was changed; continue it (kill -CONT {process}) \
                     or end it (kill -9 {process}), then all goes on by itself"
                )
            }
        };
        Error::new(ErrorKind::Unavailable, text)
    }

    /// Notes once in a while where engine time is.
    fn tell_time(&self, ledger: &mut books::Ledger<'_>) -> Result<()> {
        let at = self.at();
        let told = &self.local.told_time;
        if at.now.ms >= told.load(Relaxed).saturating_add(TELL_TIME) {
            told.store(at.now.ms, Relaxed);
            open::set_past(ledger, at)?;
        }
        Ok(())
    }

    /// Ends what needed the writer's word: after it the verb may return.
    pub(super) fn done(&self, writer: Writer<'_>, sync: bool) -> Result<()> {
        let (sync, rings) = (sync || writer.sync.get(), writer.rings.get());
        let called = self.mark_called();
        drop(writer);
        called.into_iter().for_each(|number| self.ring(number));
        let synced = self.sync(sync);
        if rings && self.map.head().counters.outbox.load(Relaxed) > 0 {
            self.ring_others(false);
        }
        synced
    }

    /// The same, passing an outcome on.
    pub(super) fn after<T>(&self, writer: Writer<'_>, found: Found<T>) -> Found<T> {
        ok!(self.done(writer, false));
        found
    }

    pub(super) fn durable(&self) -> bool {
        self.options.durability == Durability::Durable
    }
}
