//! Processes that died with the store open: the kernel tells, and the next that asks frees what they held.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use super::SharedTable;
use super::layout::Record;
use super::requests::FREED;
use crate::clock::Now;
use crate::error::Result;
use crate::table::slot::{FREE, Place};

impl SharedTable {
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
        dead.into_iter().map(|number| self.bury_participant(number)).fold(Ok(()), Result::and)
    }

    /// Asks about one process, and frees what it held if it is dead; tells whether it is.
    pub(super) fn bury_if_dead(&self, number: u32) -> Result<bool> {
        if number == self.me || self.participant(number).state.load(Acquire) == 0 || self.processes.alive(number) {
            return Ok(false);
        }
        self.bury_participant(number).map(|()| true)
    }

    /// Has the slots that a dead process held, or had taken for itself, say what the books say. The caller has the writer's
    /// word.
    pub(super) fn mend_slots_of(&self, number: u32) -> Result<()> {
        let mut outcome = Ok(());
        for index in 0..self.map.head().slots.next.load(Acquire) {
            let Some(slot) = self.map.slot(index) else { break };
            let free = slot.hot.state().deadline() == FREE && slot.tail.first.load(Relaxed) == number;
            if !free && slot.tail.lock.owner() != number {
                continue;
            }
            match self.hold(index) {
                Ok(Some(held)) if !held.taken() && held.slot.tail.first.load(Relaxed) == number => {
                    self.adopt_slot(&held);
                }
                Ok(_) => {}
                Err(error) => outcome = Err(error),
            }
        }
        outcome
    }

    /// Takes the request of a record, if there is one, out of its session, which notes why; tells whether there was one. What
    /// becomes of the record is the caller's.
    pub(super) fn take_out_record(&self, now: Now, number: u32, record: &Record, why: Option<&str>) -> Result<bool> {
        if matches!(record.kind.load(Relaxed), 0 | FREED) {
            return Ok(false);
        }
        let session = record.session.load(Relaxed);
        let Some(mut held) = self.hold(Place::from_locator(session).index)? else { return Ok(false) };
        if held.place().locator() != session {
            return Ok(false);
        }
        let Some(flight) = self.flights(&held).find(|flight| flight.record == number) else { return Ok(false) };
        if let Some(why) = why {
            self.trace(&held, || format!("{} ms: {why}", now.ms));
        }
        self.take_out(now, &mut held, &flight, now.ms);
        self.refile(now, &held);
        Ok(true)
    }

    /// Frees what a process held that is not any more: requests, locks, slots, claims of events.
    fn bury_participant(&self, number: u32) -> Result<()> {
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
        // What another process holds that does not go on is looked at again later; the rest is freed now. First the slots
        // that it held in the middle of a change: their lists of requests may be torn.
        let mut outcome = self.mend_slots_of(number);
        for index in 0..self.map.head().records.next.load(Acquire) {
            let Some(record) = self.map.record(index) else { break };
            if record.owner.load(Acquire) != number {
                continue;
            }
            if let Err(error) = self.take_out_record(now, index, record, Some("the process of a request died")) {
                outcome = Err(error);
                continue;
            }
            record.session.store(0, Relaxed);
            record.kind.store(0, Relaxed);
            record.owner.store(self.me, Release);
            let mut records = self.local.records.lock();
            records.own.push(index);
            records.free.push(index);
        }
        writer.commit(|ledger| ledger.outbox_release(number, participant.instance.load(Relaxed)))?;
        let places = self.books.glance(|pages| pages.places_of(Some(number)))?;
        self.bury_waiters(&writer, &places)?;
        // A file that it was about to make longer: the next one asks again.
        for growing in [&self.map.head().slots.growing, &self.map.head().records.growing] {
            if growing.owner() == number {
                growing.lock(self.me, &|number| self.processes.alive(number));
                growing.unlock();
            }
        }
        if outcome.is_ok() {
            participant.in_flight.store(0, Relaxed);
            participant.waiting.store(0, Relaxed);
            participant.queued.store(0, Relaxed);
            participant.instance.store(0, Relaxed);
            participant.state.store(0, Release);
        }
        self.map.head().due.rescan.fetch_add(1, AcqRel);
        self.map.head().counters.offers.fetch_add(1, AcqRel);
        self.note_all_called();
        self.done(writer, false)?;
        self.ring_others(false);
        self.ring_engine();
        outcome
    }
}
