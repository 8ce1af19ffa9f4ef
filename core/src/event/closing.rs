//! Waiting for callbacks, and the end of a dispatcher.

use std::time::{Duration, Instant};

use super::backlog::Backlog;
use super::call::is_on_this_thread;
use super::current;
use super::decider::CLOSED;
use super::delivery::afters_on_this_thread;
use super::dispatch_stats::{CallbackOutcome, DispatchReport};
use super::dispatcher::Dispatcher;
use super::handler::Answer;

/// How long `close` waits for threads that have nothing to do but end.
const JOIN: Duration = Duration::from_secs(1);

impl Dispatcher {
    /// Waits in real time until nothing runs or will by itself: callbacks that said they hang, back-offs, and what
    /// waits for `dispatch` left out. Tells how many callbacks run, hung and given up ones included.
    pub fn settle(&self, until: Instant) -> usize {
        self.wait_until(until, |backlog| backlog.is_settled(afters_on_this_thread()));
        self.backlog.lock().running()
    }

    /// Waits in real time until everything is delivered or given up, retries included; what runs on this thread does
    /// not count. Tells whether it is.
    pub fn drain(&self, timeout: Duration) -> bool {
        let until = Instant::now() + timeout.min(FOREVER);
        self.wait_until(until, |backlog| backlog.lanes.len() <= own_lanes(backlog))
    }

    /// How the callbacks of an event went, waiting for those that are under way; in real time, and not at all inside a
    /// callback or without threads.
    pub fn wait_for(&self, event_id: u64, timeout: Duration) -> Vec<CallbackOutcome> {
        let waits = self.config.own_threads && !current::inside(self.config.manager_id);
        let timeout = if waits { timeout.min(FOREVER) } else { Duration::ZERO };
        self.wait_until(Instant::now() + timeout, |backlog| !backlog.open.contains_key(&event_id));
        self.backlog.lock().outcomes_of(event_id)
    }

    /// Delivers what it can within the grace, makes the rest dead letters, ends its threads, and drops its classes.
    ///
    /// What waits for `dispatch` is delivered in this thread. Callbacks that still run are left alone and counted, none begins any more;
    /// what runs on this thread does not count. A second call returns the first one's report, waiting for it unless
    /// inside a callback.
    pub fn close(&self, grace: Duration) -> DispatchReport {
        let until = Instant::now() + grace.min(FOREVER);
        let inside = current::inside(self.config.manager_id);
        {
            let mut backlog = self.backlog.lock();
            if backlog.closing {
                let report = backlog.report;
                drop(backlog);
                if report.is_none() && !inside {
                    self.wait_until(until + 2 * JOIN, |backlog| backlog.report.is_some());
                }
                return self.backlog.lock().report.unwrap_or_default();
            }
            backlog.closing = true;
        }
        let before = self.delivered();
        if !inside {
            while Instant::now() < until && self.poll_one().is_some() {}
        }
        let manual = self.clock.manual().is_some();
        self.wait_until(until, |backlog| {
            let settled = manual && backlog.is_settled(afters_on_this_thread());
            settled || backlog.lanes.len() <= own_lanes(backlog)
        });
        let delivered_in_grace = usize::try_from(self.delivered() - before).unwrap_or(usize::MAX);
        let undelivered = self.stop();
        let stuck = self.end_threads();
        self.registry.clear();
        if let Err(error) = self.keep_again() {
            log::error!(target: "libsession", "dead letters could not be kept: {error}");
        }
        let report = {
            let mut backlog = self.backlog.lock();
            let undelivered = undelivered + backlog.missed;
            *backlog.report.insert(DispatchReport { delivered_in_grace, undelivered, stuck })
        };
        self.nudge();
        report
    }

    /// Gives up everything, and lets nothing begin any more; tells how many deliveries that were.
    fn stop(&self) -> usize {
        let (items, calls, asks) = {
            let mut backlog = self.backlog.lock();
            backlog.closed = true;
            // They are in `asks`, too, or given up already.
            let backlog = &mut *backlog;
            for queue in [&mut backlog.urgent, &mut backlog.later, &mut backlog.polled] {
                backlog.garbage.extend(queue.drain(..));
            }
            let calls: Vec<_> = backlog.calls.values().cloned().collect();
            let asks: Vec<_> = backlog.asks.values().cloned().collect();
            (backlog.lanes.clear(), calls, asks)
        };
        for work in &self.work {
            work.notify_all();
        }
        self.poll.notify_all();
        let mut undelivered = self.give_up_all(items, "shutdown");
        for call in calls.iter().filter(|call| !is_on_this_thread(call.id)) {
            undelivered += usize::from(!call.completed());
            self.expire(call, Answer::Skipped("shutdown"));
        }
        for call in asks.iter().filter(|call| !is_on_this_thread(call.id)) {
            self.expire(call, Answer::Failed(CLOSED.into()));
        }
        undelivered
    }

    /// Joins the threads that end; tells how many callbacks still run.
    fn end_threads(&self) -> usize {
        let this = std::thread::current().id();
        let own = self.backlog.lock().threads.values().any(|handle| handle.thread().id() == this);
        self.wait_until(Instant::now() + JOIN, |backlog| backlog.mobile() <= usize::from(own));
        let (ended, stuck) = {
            let mut backlog = self.backlog.lock();
            let exited = std::mem::take(&mut backlog.exited);
            let ended: Vec<_> = exited.iter().filter_map(|id| backlog.threads.remove(id)).collect();
            (ended, backlog.stuck() + backlog.astray)
        };
        for thread in ended {
            // Its panics were contained: there is nothing to learn from the result.
            let _ = thread.join();
        }
        stuck
    }

    fn wait_until(&self, until: Instant, mut reached: impl FnMut(&Backlog) -> bool) -> bool {
        let mut backlog = self.backlog.lock();
        backlog.watchers += 1;
        let reached = loop {
            if reached(&backlog) {
                break true;
            }
            if self.idle.wait_until(&mut backlog, until).timed_out() {
                break reached(&backlog);
            }
        };
        backlog.watchers -= 1;
        reached
    }
}

/// As long as anybody waits, so that no sum of times overflows.
pub(super) const FOREVER: Duration = Duration::from_secs(1 << 32);

/// The lanes that can't end before this thread returns.
fn own_lanes(backlog: &Backlog) -> usize {
    let own = backlog.calls.values().filter(|call| !call.decides && is_on_this_thread(call.id));
    own.count() + afters_on_this_thread()
}
