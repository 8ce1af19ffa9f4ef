//! What a manager that closes gives back.

use std::sync::atomic::Ordering::{AcqRel, Relaxed, Release};
use std::time::Duration;

use super::SharedTable;
use super::open::set_past;
use crate::error::Result;

/// How long a close waits for who opens.
const CLOSE: Duration = Duration::from_secs(2);

impl SharedTable {
    /// Gives back what this process holds, once; tells how many requests were in flight.
    pub(super) fn shut(&self) -> u64 {
        if self.processes.forked() || self.shutting.swap(true, AcqRel) {
            return 0;
        }
        self.stop_keeper();
        self.stop_disk_thread();
        let mut finished = 0;
        let given_back = self.give_back(&mut finished);
        self.closed.store(true, Release);
        self.unlead(&mut self.filed.lock());
        // Nobody comes in while it is found out whether somebody stays.
        let setup = self.processes.setup(CLOSE);
        let last = setup.is_ok() && self.others().all(|number| !self.processes.alive(number));
        self.books.close(last);
        let participant = self.participant(self.me);
        match given_back {
            Ok(()) => {
                participant.instance.store(0, Relaxed);
                participant.state.store(0, Release);
            }
            // The others find a process that is not there any more, and free what it had.
            Err(error) => {
                ::log::error!(target: "libsession", "the store was not closed in order: {}", error.message());
            }
        }
        self.processes.give_back(self.me);
        drop(setup);
        self.ring_others(false);
        finished
    }

    fn give_back(&self, finished: &mut u64) -> Result<()> {
        let mut outcome = self.flush();
        let now = self.clock.now();
        let own = std::mem::take(&mut self.local.records.lock().own);
        for number in own {
            let Some(record) = self.map.record(number) else { continue };
            match self.take_out_record(now, number, record, None) {
                Ok(taken) => *finished += u64::from(taken),
                Err(error) => {
                    outcome = Err(error);
                    continue;
                }
            }
            record.kind.store(0, Relaxed);
            record.owner.store(0, Release);
        }
        let slots = std::mem::take(&mut *self.local.slots.lock());
        for index in slots {
            self.return_slot(index);
        }
        let writer = self.writer()?;
        let at = self.at();
        let places = self.books.glance(|pages| pages.places_of(Some(self.me)))?;
        self.bury_waiters(&writer, &places)?;
        let done = writer.commit(|ledger| {
            ledger.outbox_release(self.me, self.instance)?;
            set_past(ledger, at)
        });
        self.done(writer, true)?;
        done.and(outcome)
    }
}
