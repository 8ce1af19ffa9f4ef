//! Questions: one class is asked, and somebody waits for its verdict.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::backlog::Backlog;
use super::call::{Call, NewCall, Work};
use super::class::ClassRef;
use super::contain;
use super::current;
use super::delivery::Origin;
use super::dispatch_config::DispatchMode;
use super::dispatcher::Dispatcher;
use super::event::Event;
use super::handler::{Answer, Place, Verdict};
use super::pool::Crew;
use super::registry::Running;

/// Takes a decider's answer.
pub(crate) type Then = Box<dyn FnOnce(Answer) + Send>;

/// What an asker is told when the manager closes.
pub(super) const CLOSED: &str = "the manager was closed";

/// How much longer than the deadline an asker waits in real time, in case nobody keeps time.
const SLACK: Duration = Duration::from_millis(250);

impl Dispatcher {
    /// Asks one class, and waits for its answer until its deadline.
    ///
    /// In the calling thread if its handler says so, in `Inline` and `Poll` mode, without threads, and inside a
    /// callback: then a late answer is an overrun, but the wait is as long as the callback. Under a manual clock the
    /// deadline passes in real time, too, if nobody advances.
    pub fn ask(&self, class: &ClassRef, event: Arc<Event>, asynchronous: bool) -> Answer {
        let (running, place) = match self.admit(class, &event, asynchronous) {
            Ok(admitted) => admitted,
            Err(answer) => return answer,
        };
        let registration = running.id;
        let real = Instant::now() + Duration::from_millis(running.deadline) + SLACK;
        let call = self.new_ask(&running, event, Work::Ask);
        if self.runs_here(place) {
            self.ask_here(call.clone(), running);
        } else {
            self.queue_ask(&call, running, |asks| &mut asks.urgent);
        }
        let answer = call.wait(real).unwrap_or_else(|| {
            self.expire(&call, Answer::Overrun);
            call.wait(Instant::now() + SLACK).unwrap_or(Answer::Overrun)
        });
        if answer == Answer::AsyncRequired && !asynchronous {
            self.registry.look(&class.namespace, &class.name, |class| {
                if class.id == registration {
                    class.async_refused.store(true, Ordering::SeqCst);
                }
            });
        }
        answer
    }

    /// Asks one class without waiting. `then` runs exactly once, under no lock: on the thread that answers, on the one
    /// that keeps time, or, if the answer is known at once, in this one before the return.
    pub fn ask_later(&self, class: &ClassRef, event: Arc<Event>, then: Then) {
        match self.admit(class, &event, true) {
            Ok((running, place)) => self.start_later(running, place, event, then),
            Err(answer) => contain::run("an answer's receiver", || then(answer)),
        }
    }

    /// As [`ask_later`](Self::ask_later), but the handler is called in this thread where [`ask`](Self::ask) would.
    pub fn ask_async(&self, class: &ClassRef, event: Arc<Event>, then: Then) {
        match self.admit(class, &event, true) {
            Ok((running, place)) if self.runs_here(place) => {
                let call = self.new_ask(&running, event, Work::Later(then));
                self.ask_here(call, running);
            }
            Ok((running, place)) => self.start_later(running, place, event, then),
            Err(answer) => contain::run("an answer's receiver", || then(answer)),
        }
    }

    fn admit(&self, class: &ClassRef, event: &Event, asynchronous: bool) -> Result<(Running, Option<Place>), Answer> {
        let Some(running) = self.registry.enter(class) else { return Err(Answer::Skipped("not_registered")) };
        let admitted = self.place_to_ask(&running, event, asynchronous);
        match admitted {
            Ok(place) => Ok((running, place)),
            Err(answer) => {
                running.leave();
                Err(answer)
            }
        }
    }

    fn place_to_ask(&self, class: &Running, event: &Event, asynchronous: bool) -> Result<Option<Place>, Answer> {
        if !class.handles(event.kind) {
            return Err(Answer::Verdict(Verdict::Allow));
        }
        if class.async_refused.load(Ordering::SeqCst) && !asynchronous {
            return Err(Answer::AsyncRequired);
        }
        if current::depth() >= current::MAX_DEPTH {
            return Err(Answer::Failed(format!("callbacks nested deeper than {}", current::MAX_DEPTH)));
        }
        match contain::contain(|| class.handler.place(event.kind, asynchronous)) {
            Ok(Some(Place::Skip)) => Err(Answer::Skipped("not_registered")),
            Err(text) => Err(Answer::Failed(text)),
            Ok(_) if !class.breaker.admits(self.now()) => Err(Answer::Skipped("breaker_open")),
            Ok(place) => Ok(place),
        }
    }

    fn runs_here(&self, place: Option<Place>) -> bool {
        let elsewhere = match place {
            Some(Place::Worker) => true,
            None => self.config.mode == DispatchMode::Thread,
            Some(_) => false,
        };
        !elsewhere || !self.config.own_threads || current::inside(self.config.manager_id)
    }

    fn new_ask(&self, class: &Running, event: Arc<Event>, work: Work) -> Arc<Call> {
        let new = NewCall { now: self.now(), event, attempt: 1, origin: Origin::Told, work };
        let call = Arc::new(Call::new(self.me.clone(), class, new));
        let closed = {
            let mut backlog = self.backlog.lock();
            backlog.asks.insert(call.key(), call.clone());
            backlog.closed
        };
        match closed {
            // `close` looked for it before it was there: it does not begin.
            true => self.expire(&call, Answer::Failed(CLOSED.into())),
            false => self.arm(call.deadline),
        }
        call
    }

    pub(super) fn ask_here(&self, call: Arc<Call>, running: Running) {
        if let Some(completion) = self.execute(call, running, None) {
            self.complete(completion);
        }
    }

    fn start_later(&self, running: Running, place: Option<Place>, event: Arc<Event>, then: Then) {
        let polls = match place {
            Some(Place::Poll) => true,
            Some(Place::Worker) => false,
            _ => self.config.mode == DispatchMode::Poll,
        };
        let call = self.new_ask(&running, event, Work::Later(then));
        let to_worker = self.config.own_threads && !polls;
        self.queue_ask(&call, running, if to_worker { |asks| &mut asks.later } else { |asks| &mut asks.polled });
    }

    fn queue_ask(&self, call: &Arc<Call>, running: Running, queue: fn(&mut Backlog) -> &mut VecDeque<Arc<Call>>) {
        call.park(running);
        let (refused, wake) = {
            let mut backlog = self.backlog.lock();
            let refused = match backlog.closed {
                true => Some(CLOSED),
                false => (!backlog.queue_ask(call.clone(), queue)).then_some("queue_full"),
            };
            (refused, backlog.wake())
        };
        self.wake(wake);
        if let Some(why) = refused {
            self.expire(call, Answer::Failed(why.into()));
        }
    }

    /// Draws the consequences of an answer, and hands it on.
    pub(super) fn judge_ask(&self, call: &Arc<Call>, answer: Answer, then: Option<Then>) {
        match &answer {
            Answer::Verdict(_) => call.breaker.succeeded(),
            Answer::Skipped(_) => call.breaker.passed(),
            Answer::AsyncRequired => {
                self.note_failure(call, "async_required");
                call.breaker.passed();
            }
            Answer::Overrun => {
                self.counters.overrun.fetch_add(1, Ordering::Relaxed);
                self.note_failure(call, "overrun");
                self.count_asked(call, "overrun");
            }
            Answer::Failed(text) => {
                self.counters.failed.fetch_add(1, Ordering::Relaxed);
                self.note_failure(call, text);
                self.count_asked(call, text);
            }
        }
        match then {
            Some(then) => contain::run("an answer's receiver", || then(answer)),
            None => call.judge(answer),
        }
        let wake = {
            let mut backlog = self.backlog.lock();
            backlog.asks.remove(&call.key());
            backlog.wake()
        };
        self.wake(wake);
    }

    /// A class that never came to its turn can't be blamed.
    fn count_asked(&self, call: &Call, text: &str) {
        match call.started() {
            true => self.count_against(call, text, self.now()),
            false => call.breaker.passed(),
        }
    }

    /// Takes the next ask for a thread of the dispatcher.
    pub(super) fn run_ask(&self, call: Arc<Call>, crew: Option<Crew>) {
        if let Some(running) = call.unpark()
            && let Some(completion) = self.execute(call, running, crew)
        {
            self.complete(completion);
        }
    }
}
