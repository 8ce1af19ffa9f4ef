//! Closing: once, bounded, with a report.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{CLOSED, CLOSING, Engine, OPEN};
use crate::error::Result;
use crate::event::current;
use crate::event::dispatch_config::start_thread;
use crate::plural::counted;
use crate::reason::{EndLevel, EndReason, ThreadKind};
use crate::session::{CloseReport, Filter};
use crate::table::{EndSpec, Ended};

impl Engine {
    pub fn close(self: &Arc<Self>, grace: Duration) -> CloseReport {
        if self.forked() {
            // The child has a copy of the memory and none of the threads: there is nothing to close.
            return CloseReport::default();
        }
        let deferred = current::inside(self.id);
        if self.state.compare_exchange(OPEN, CLOSING, Ordering::AcqRel, Ordering::Acquire).is_err() {
            return if deferred {
                CloseReport { deferred: true, ..CloseReport::default() }
            } else {
                self.wait_closed()
            };
        }
        if deferred {
            let engine = self.clone();
            let shut = move || {
                engine.shut(grace);
            };
            if let Err(error) = start_thread(self.config.thread_hooks.as_ref(), "lses-close", shut) {
                log::error!(target: "libsession", "the deferred close can't be started: {error}");
                self.state.store(OPEN, Ordering::Release);
            }
            return CloseReport { deferred: true, ..CloseReport::default() };
        }
        self.shut(grace)
    }

    fn wait_closed(&self) -> CloseReport {
        let mut report = self.report.lock();
        loop {
            match &*report {
                Some(report) => return report.clone(),
                None => self.reported.wait(&mut report),
            }
        }
    }

    fn shut(self: &Arc<Self>, grace: Duration) -> CloseReport {
        let until = Instant::now() + grace.min(crate::clock::MAX_TIMEOUT);
        self.reaper.stop(true);
        self.wake_waits();
        // What was granted in this very moment is handed over, or given back while that can be done.
        self.wait_told(until);
        let outlives = self.outlives;
        let mut in_flight = if outlives { 0 } else { self.table.stats().in_flight };
        let delivered_before = self.dispatcher.stats().delivered;
        let ended = if outlives { 0 } else { self.end_everything() };
        if !self.config.threads || self.config.dispatch == crate::event::DispatchMode::Poll {
            while Instant::now() < until && self.dispatcher.dispatch(64, Duration::ZERO).is_ok_and(|count| count > 0) {}
        }
        let delivery = self.dispatcher.close(until.saturating_duration_since(Instant::now()));
        // From the first end on: a callback may be delivered before the dispatcher is asked to close.
        let delivered = self.dispatcher.stats().delivered.saturating_sub(delivered_before);
        self.table.set_bell(None);
        self.timers.set_bell(None);
        if outlives {
            // From here on whoever still has a request of this manager is told that it is closed, not what became of it.
            self.state.store(CLOSED, Ordering::Release);
        }
        // What was given up above is in the outbox still, and others have it from now on.
        in_flight += self.table.close();
        let report = CloseReport {
            ended,
            in_flight,
            delivered,
            undelivered: delivery.undelivered as u64,
            stuck: delivery.stuck as u64,
            deferred: false,
        };
        self.state.store(CLOSED, Ordering::Release);
        *self.report.lock() = Some(report.clone());
        self.reported.notify_all();
        report
    }

    /// Ends every session; tells how many.
    fn end_everything(&self) -> u64 {
        let spec = EndSpec {
            reason: EndReason::Shutdown,
            level: EndLevel::Force,
            thread: ThreadKind::Admin,
            actor: None,
            note: None,
            here: false,
        };
        let mut ended = 0;
        // A creation that had begun may still publish its session: it is looked for until there is none.
        while self.table.count() > 0 {
            if let Err(error) = self.end_all(&spec, &mut ended) {
                log::error!(target: "libsession", "{} could not be ended: {error}", counted(self.table.count(), "session"));
                break;
            }
        }
        ended
    }

    /// Ends every session that a listing finds.
    fn end_all(&self, spec: &EndSpec, ended: &mut u64) -> Result<()> {
        let mut cursor = Some(0);
        while let Some(from) = cursor {
            let (page, next) = self.table.list(self.at(), &Filter::default(), from, 1024, usize::MAX)?;
            for (session, _) in page {
                match self.table.end(self.at(), session, spec) {
                    Ended::Now(_) => *ended += 1,
                    Ended::Failed(error) => return Err(error),
                    Ended::Before(_) | Ended::Absent => {}
                }
            }
            self.pump();
            cursor = next;
        }
        Ok(())
    }

    pub fn is_closed(&self) -> bool {
        self.state.load(Ordering::Acquire) == CLOSED
    }
}
