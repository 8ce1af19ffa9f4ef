//! Notifications: into their lanes, through their callbacks, to an end.

use std::borrow::Cow;
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::backlog::{Backlog, Outcome};
use super::call::{Answering, Call, Completion, NewCall, Returned, Work};
use super::class::ClassRef;
use super::contain;
use super::current::{self, Frame};
use super::dispatch_config::DispatchMode;
use super::dispatcher::Dispatcher;
use super::event::Event;
use super::handler::{Answer, Attempt, Place, Reply};
use super::lane::{Item, Job};
use super::pool::Crew;
use super::registry::Running;
use crate::clock::Millis;
use crate::id::SessionId;

/// One event for one class.
pub(crate) struct Delivery {
    pub class: ClassRef,
    pub event: Arc<Event>,
    pub origin: Origin,
}

/// Where a delivery comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It happened just now, and nobody else knows of it.
    Told,
    /// A row of the table's outbox, taken before if `again`.
    Row {
        /// Whether it may have been delivered before.
        again: bool,
    },
    /// A dead letter: its id where others might take it, else 0.
    Letter(u64),
}

impl Origin {
    pub fn redelivered(self) -> bool {
        matches!(self, Self::Row { again: true } | Self::Letter(_))
    }
}

/// Runs after the deliveries it was given with; told whether each of them was delivered, or is a dead letter. If not, its
/// row is left to other processes.
pub(crate) type After = Box<dyn FnOnce(bool) + Send>;

/// What was taken from a lane is done, or to be tried again.
pub(crate) struct Done {
    lane: SessionId,
    /// `None`: it did not come to a call.
    call: Option<Arc<Call>>,
    outcome: Option<Outcome>,
    retry: Option<(Job, Millis)>,
}

crate::sync::thread_local! {
    /// How many `after`s run on this thread.
    static AFTERS: Cell<usize> = const { Cell::new(0) };
}

/// How many `after`s run on this thread.
pub(crate) fn afters_on_this_thread() -> usize {
    AFTERS.with(Cell::get)
}

impl Dispatcher {
    /// Delivers, in order, after everything notified for this lane before. Never fails; waits only where callbacks run
    /// in the calling thread, so call it under no lock.
    ///
    /// `after` runs when the last of these was delivered or given up. `host_caused` tells a host's call in this
    /// thread from the reaper.
    pub fn notify(&self, lane: SessionId, deliveries: Vec<Delivery>, after: Option<After>, host_caused: bool) {
        self.hand_over(lane, deliveries, after, host_caused, ());
    }

    /// As [`notify`](Self::notify); `handed` is dropped when the lane has them, before a callback runs.
    pub fn hand_over<H>(
        &self,
        lane: SessionId,
        deliveries: Vec<Delivery>,
        after: Option<After>,
        host_caused: bool,
        handed: H,
    ) {
        if deliveries.is_empty() && after.is_none() {
            return;
        }
        let usual = match self.config.mode {
            DispatchMode::Thread => Place::Worker,
            DispatchMode::Inline if host_caused => Place::Caller,
            DispatchMode::Inline => Place::Worker,
            DispatchMode::Poll => Place::Poll,
        };
        let mut items = Vec::with_capacity(deliveries.len() + usize::from(after.is_some()));
        for delivery in deliveries {
            if let Some(place) = self.place_of(&delivery, usual, host_caused) {
                items.push((place, Item::Deliver(delivery, 1)));
            }
        }
        if let Some(after) = after {
            let place = items.last().map_or(usual, |(place, _)| *place);
            items.push((place, Item::After(after)));
        }
        if !items.is_empty() {
            self.enqueue(lane, items, handed);
        }
    }

    /// Where a delivery runs; `None` if its class has no callback for it.
    fn place_of(&self, delivery: &Delivery, usual: Place, host_caused: bool) -> Option<Place> {
        let kind = delivery.event.kind;
        let Some(class) = self.registry.enter(&delivery.class) else { return Some(usual) };
        let place = class.handles(kind).then(|| match contain::contain(|| class.handler.place(kind, false)) {
            // What the reaper causes has no caller to run in.
            Ok(Some(Place::Caller)) if !host_caused => Place::Worker,
            Ok(Some(Place::Skip) | None) | Err(_) => usual,
            Ok(Some(place)) => place,
        });
        class.leave();
        place
    }

    fn enqueue<H>(&self, lane: SessionId, items: Vec<(Place, Item)>, handed: H) {
        let (rest, job, wake, error) = {
            let mut backlog = self.backlog.lock();
            if backlog.closed {
                (items.into_iter().map(|(_, item)| item).collect(), None, None, "shutdown")
            } else {
                for (_, item) in &items {
                    if let Item::Deliver(delivery, _) = item {
                        *backlog.open.entry(delivery.event.event_id).or_default() += 1;
                    }
                }
                let rest = backlog.lanes.push(lane, items);
                let job = if current::depth() < current::MAX_DEPTH { backlog.lanes.claim(lane) } else { None };
                match job {
                    Some(_) => backlog.busy += 1,
                    None => backlog.lanes.open(lane),
                }
                (rest, job, Some(backlog.wake()), "queue_full")
            }
        };
        drop(handed);
        if let Some(wake) = wake {
            self.wake(wake);
        }
        self.give_up_all(rest, error);
        if let Some(job) = job {
            self.run_lane(job);
        }
    }

    /// Gives up what no lane takes.
    pub(super) fn give_up_all(&self, items: Vec<Item>, error: &'static str) -> usize {
        let mut given_up = 0;
        let mut settled = true;
        for item in items {
            match item {
                Item::Deliver(delivery, attempt) => {
                    given_up += 1;
                    let Delivery { class, event, origin } = delivery;
                    let outcome = self.outcome(&class, &event, Cow::Borrowed(error));
                    if self.is_left(origin, error) {
                        settled = false;
                    } else {
                        self.give_up(None, origin, class, event, attempt - 1, error);
                    }
                    self.backlog.lock().record(outcome);
                }
                Item::After(after) => {
                    let settled = std::mem::replace(&mut settled, true);
                    contain::run("an attachment's destructor", || after(settled));
                }
                Item::Unsettled(after) => {
                    settled = true;
                    contain::run("an attachment's destructor", || after(!self.config.gives_back));
                }
            }
        }
        if given_up > 0 {
            self.nudge();
        }
        given_up
    }

    /// Whether what is not delivered is other processes' to deliver: it is no dead letter, and not acknowledged.
    fn is_left(&self, origin: Origin, error: &str) -> bool {
        // A letter that was taken from all is there again when this process is gone.
        let taken = matches!(origin, Origin::Row { .. }) || matches!(origin, Origin::Letter(id) if id != 0);
        self.config.gives_back && error == "shutdown" && taken
    }

    /// Runs a lane in the calling thread for as long as its head is for callers.
    fn run_lane(&self, job: Job) {
        let mut next = Some(job);
        while let Some(job) = next.take() {
            let Some(mut done) = self.run(job, None) else { return };
            let wake = {
                let mut backlog = self.backlog.lock();
                apply(&mut backlog, &mut done);
                next = backlog.lanes.claim(done.lane);
                match next {
                    Some(_) => backlog.busy += 1,
                    None => backlog.lanes.open(done.lane),
                }
                backlog.wake()
            };
            self.wake(wake);
        }
    }

    /// Runs what was taken from a lane, in this thread. `None`: somebody else takes care of the lane.
    pub(super) fn run(&self, job: Job, crew: Option<Crew>) -> Option<Done> {
        let Job { lane, place, item } = job;
        let mut done = Done { lane, call: None, outcome: None, retry: None };
        let (delivery, attempt) = match item {
            Item::Deliver(delivery, attempt) => (delivery, attempt),
            Item::After(after) | Item::Unsettled(after) => {
                AFTERS.with(|afters| afters.set(afters.get() + 1));
                contain::run("an attachment's destructor", || after(true));
                AFTERS.with(|afters| afters.set(afters.get() - 1));
                return Some(done);
            }
        };
        let Delivery { class, event, origin } = delivery;
        let now = self.now();
        let refused = match self.registry.enter(&class) {
            None => self.why_gone(),
            Some(running) if !running.handles(event.kind) => {
                running.leave();
                self.letters.delivered(origin);
                done.outcome = Some(self.outcome(&class, &event, Cow::Borrowed("delivered")));
                return Some(done);
            }
            Some(running) if !running.breaker.admits(now) => {
                running.leave();
                "breaker_open"
            }
            Some(running) => {
                let work = Work::Delivery { lane, place };
                let new = NewCall { now, event, attempt, origin, work };
                let call = Arc::new(Call::new(self.me.clone(), &running, new));
                // Before it is no longer busy: `settle` must see one or the other.
                call.mark_started();
                let closed = {
                    let mut backlog = self.backlog.lock();
                    backlog.busy -= 1;
                    backlog.calls.insert(call.key(), call.clone());
                    backlog.missed += usize::from(backlog.closed);
                    backlog.closed
                };
                match closed {
                    // `close` looked for it before it was there: it does not begin.
                    true => self.expire(&call, Answer::Skipped("shutdown")),
                    false => self.arm(call.deadline),
                }
                return self.execute(call, running, crew).and_then(|completion| self.finish_call(completion));
            }
        };
        done.outcome = Some(self.outcome(&class, &event, Cow::Borrowed(refused)));
        if !self.is_left(origin, refused) {
            self.give_up(None, origin, class, event, attempt - 1, refused);
        }
        Some(done)
    }

    /// Why a delivery found no class.
    fn why_gone(&self) -> &'static str {
        let mut backlog = self.backlog.lock();
        backlog.missed += usize::from(backlog.closed);
        if backlog.closed { "shutdown" } else { "not_registered" }
    }

    /// Makes a call in this thread. `None`: it was given up, or will be answered later.
    pub(super) fn execute(&self, call: Arc<Call>, running: Running, crew: Option<Crew>) -> Option<Completion> {
        if !call.begin(crew) {
            running.leave();
            return None;
        }
        let frame = Frame {
            manager: self.config.manager_id,
            class: call.registration,
            session: call.event.session_id,
            decides: call.decides,
        };
        let attempt = Attempt { number: call.attempt, redelivered: call.origin.redelivered() };
        let reply = Reply::new(Arc::new(Answering(call.clone())));
        let handler = &running.handler;
        let called =
            call.on_stack(|| current::enter(frame, || contain::contain(|| handler.call(&call.event, attempt, reply))));
        if self.forked() {
            // The callback forked and came back in the child: there is nobody to answer, and nothing is taken apart.
            std::mem::forget((running, call));
            return None;
        }
        match call.returned(running, called.err()) {
            Returned::Answered(completion) => Some(completion),
            Returned::Pending => {
                self.nudge();
                None
            }
            Returned::GivenUp(running) => {
                running.leave();
                if crew.is_some() {
                    call.breaker.came_back();
                }
                self.came_back(crew);
                None
            }
        }
    }

    /// Completes a call, whoever does it.
    pub(super) fn complete(&self, completion: Completion) {
        if let Some(done) = self.finish_call(completion) {
            self.finish(done);
        }
    }

    /// Draws the consequences of an answer; leaves to the caller what a lane waits for.
    fn finish_call(&self, completion: Completion) -> Option<Done> {
        let Completion { call, work, answer, running } = completion;
        if let Some(running) = running {
            running.leave();
        }
        match work {
            Work::Delivery { lane, place } => {
                let done = self.judge_delivery(call, lane, place, answer);
                if done.retry.is_none() {
                    return Some(done);
                }
                self.finish(done);
            }
            Work::Ask => self.judge_ask(&call, answer, None),
            Work::Later(then) => self.judge_ask(&call, answer, Some(then)),
        }
        None
    }

    fn judge_delivery(&self, call: Arc<Call>, lane: SessionId, place: Place, answer: Answer) -> Done {
        let now = self.now();
        let (text, retry) = match answer {
            Answer::Verdict(_) => {
                call.breaker.succeeded();
                self.letters.delivered(call.origin);
                self.counters.delivered.fetch_add(1, Ordering::Relaxed);
                (Cow::Borrowed("delivered"), None)
            }
            Answer::Overrun => {
                self.counters.overrun.fetch_add(1, Ordering::Relaxed);
                self.note_failure(&call, "overrun");
                self.count_against(&call, "overrun", now);
                (Cow::Borrowed("overrun"), None)
            }
            Answer::Skipped(why) => {
                call.breaker.passed();
                (Cow::Borrowed(why), None)
            }
            Answer::Failed(_) | Answer::AsyncRequired => {
                let text = if let Answer::Failed(text) = answer { text } else { "async_required".into() };
                self.counters.failed.fetch_add(1, Ordering::Relaxed);
                self.note_failure(&call, &text);
                let probe = call.breaker.stumbled(&text);
                let retry = !probe && call.attempt <= self.config.retries;
                if !retry {
                    self.count_against(&call, &text, now);
                }
                (Cow::Owned(text), retry.then(|| self.retry(&call, lane, place, now)))
            }
        };
        if retry.is_some() {
            return Done { lane, call: Some(call), outcome: None, retry };
        }
        if text != "delivered" && !self.is_left(call.origin, &text) {
            let (class, event) = (call.class.clone(), call.event.clone());
            self.give_up(Some(&call), call.origin, class, event, call.attempt, &text);
        }
        let outcome = Some(self.outcome(&call.class, &call.event, text));
        Done { lane, call: Some(call), outcome, retry: None }
    }

    fn retry(&self, call: &Call, lane: SessionId, place: Place, now: Millis) -> (Job, Millis) {
        self.counters.retried.fetch_add(1, Ordering::Relaxed);
        let backoff = &self.config.retry_backoff;
        let step = (call.attempt as usize - 1).min(backoff.len().saturating_sub(1));
        let wait = backoff.get(step).copied().unwrap_or(0);
        let (class, event) = (call.class.clone(), call.event.clone());
        let delivery = Delivery { class, event, origin: call.origin };
        (Job { lane, place, item: Item::Deliver(delivery, call.attempt + 1) }, now.saturating_add(wait))
    }

    fn finish(&self, mut done: Done) {
        let resume = done.retry.as_ref().map(|(_, at)| *at);
        let (wake, rest) = {
            let mut backlog = self.backlog.lock();
            let rest = apply(&mut backlog, &mut done);
            backlog.lanes.open(done.lane);
            // Nothing is settled before the timer is set.
            backlog.busy += usize::from(resume.is_some());
            (backlog.wake(), rest)
        };
        self.wake(wake);
        let Some(at) = resume else { return };
        match rest {
            Some(item) => {
                self.give_up_all(vec![item], "shutdown");
            }
            None => self.resume_at(done.lane, at),
        }
        let wake = {
            let mut backlog = self.backlog.lock();
            backlog.busy -= 1;
            backlog.wake()
        };
        self.wake(wake);
    }

    fn resume_at(&self, lane: SessionId, at: Millis) {
        let me = self.me.clone();
        let resume = move || {
            if let Some(dispatcher) = me.upgrade() {
                let wake = {
                    let mut backlog = dispatcher.backlog.lock();
                    backlog.lanes.resume(lane);
                    backlog.wake()
                };
                dispatcher.wake(wake);
            }
        };
        self.timers.set(at, Box::new(resume));
    }

    fn outcome(&self, class: &ClassRef, event: &Event, text: Cow<'static, str>) -> Outcome {
        Outcome { event_id: event.event_id, class: class.clone(), kind: event.kind, text }
    }
}

/// Books what is done; gives back what its lane, gone, can't try again.
pub(super) fn apply(backlog: &mut Backlog, done: &mut Done) -> Option<Item> {
    match &done.call {
        Some(call) => drop(backlog.calls.remove(&call.key())),
        None => backlog.busy -= 1,
    }
    if let Some(outcome) = done.outcome.take() {
        backlog.record(outcome);
    }
    match done.retry.take() {
        Some((job, _)) => backlog.lanes.pause(job),
        None => {
            backlog.lanes.done(done.lane);
            None
        }
    }
}

impl Done {
    pub(super) fn lane(&self) -> SessionId {
        self.lane
    }
}
