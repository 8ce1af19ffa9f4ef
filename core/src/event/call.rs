//! One callback under way, and who completes it: exactly one of the thread that made it, whoever answers it later,
//! the watch when it overruns, and `close`.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::sync::{Condvar, Mutex};

use super::breaker::Breaker;
use super::class::ClassRef;
use super::current::{Stack, here};
use super::decider::Then;
use super::delivery::Origin;
use super::dispatcher::Dispatcher;
use super::event::Event;
use super::handler::{Answer, Answered, Place};
use super::pool::Crew;
use super::registry::Running;
use crate::clock::Millis;
use crate::id::SessionId;

/// What becomes of the answer.
pub(crate) enum Work {
    /// A delivery in a lane.
    Delivery { lane: SessionId, place: Place },
    /// Somebody waits in [`Call::wait`].
    Ask,
    /// It is handed on.
    Later(Then),
}

/// One callback under way.
pub(crate) struct Call {
    pub id: u64,
    /// Engine time at which it is given up.
    pub deadline: Millis,
    pub class: ClassRef,
    /// The class's registration.
    pub registration: u64,
    pub breaker: Arc<Breaker>,
    pub event: Arc<Event>,
    pub attempt: u32,
    pub origin: Origin,
    /// Whether somebody waits for its verdict.
    pub decides: bool,
    dispatcher: Weak<Dispatcher>,
    hung: AtomicBool,
    started: AtomicBool,
    state: Mutex<State>,
    judged: Condvar,
}

struct State {
    /// `None` once completed.
    work: Option<Work>,
    /// Given before the handler returned.
    answer: Option<Answer>,
    /// For [`Work::Ask`]: what was made of the answer.
    outcome: Option<Answer>,
    /// The handler has not returned yet.
    on_stack: bool,
    /// The crew of the thread it runs on, if a dispatcher thread.
    crew: Option<Crew>,
    /// While it is not on a stack.
    running: Option<Running>,
    letter: Option<u64>,
    late: bool,
}

/// A call to be completed by whoever holds this.
pub(crate) struct Completion {
    pub call: Arc<Call>,
    pub work: Work,
    pub answer: Answer,
    pub running: Option<Running>,
}

/// How the handler's return found the call.
pub(crate) enum Returned {
    Answered(Completion),
    /// It will be answered later.
    Pending,
    /// It was given up meanwhile; the class can be left.
    GivenUp(Running),
}

/// What a new call needs.
pub(crate) struct NewCall {
    pub now: Millis,
    pub event: Arc<Event>,
    pub attempt: u32,
    pub origin: Origin,
    pub work: Work,
}

static LAST_ID: AtomicU64 = AtomicU64::new(0);

crate::sync::thread_local! {
    /// The calls that run on this thread, of any dispatcher, innermost last.
    static STACK: RefCell<Stack<u64>> = const { RefCell::new(Stack::new()) };
}

/// Whether this call runs on this thread.
pub(crate) fn is_on_this_thread(id: u64) -> bool {
    let at = here();
    STACK.with(|stack| stack.borrow_mut().at(at).any(|&call| call == id))
}

impl Call {
    pub fn new(dispatcher: Weak<Dispatcher>, class: &Running, new: NewCall) -> Self {
        Self {
            id: LAST_ID.fetch_add(1, Ordering::Relaxed) + 1,
            deadline: new.now.saturating_add(class.deadline),
            class: class.class.clone(),
            registration: class.id,
            breaker: class.breaker.clone(),
            event: new.event,
            attempt: new.attempt,
            origin: new.origin,
            decides: !matches!(new.work, Work::Delivery { .. }),
            dispatcher,
            hung: AtomicBool::new(false),
            started: AtomicBool::new(false),
            state: Mutex::new(State {
                work: Some(new.work),
                answer: None,
                outcome: None,
                on_stack: false,
                crew: None,
                running: None,
                letter: None,
                late: false,
            }),
            judged: Condvar::new(),
        }
    }

    pub fn key(&self) -> (Millis, u64) {
        (self.deadline, self.id)
    }

    /// Parks the class until a thread takes the call.
    pub fn park(&self, running: Running) {
        self.state.lock().running = Some(running);
    }

    /// Takes the class to make the call; `None` if it was given up.
    pub fn unpark(&self) -> Option<Running> {
        self.state.lock().running.take()
    }

    /// It was taken out of its queue.
    pub fn mark_started(&self) {
        self.started.store(true, Ordering::SeqCst);
    }

    /// A thread, of this crew if it is a dispatcher's, is about to call the handler. `false`: it was given up.
    pub fn begin(&self, crew: Option<Crew>) -> bool {
        self.started.store(true, Ordering::SeqCst);
        let mut state = self.state.lock();
        state.on_stack = state.work.is_some();
        state.crew = crew;
        state.on_stack
    }

    /// Runs `body`, which calls the handler. Not inlined, so that each has a place of its own on the stack.
    #[inline(never)]
    pub fn on_stack<R>(&self, body: impl FnOnce() -> R) -> R {
        struct Leave(usize);
        impl Drop for Leave {
            fn drop(&mut self) {
                STACK.with(|stack| stack.borrow_mut().leave(self.0));
            }
        }
        let at = here();
        let _leave = Leave(STACK.with(|stack| stack.borrow_mut().enter(self.id, at)));
        body()
    }

    /// The handler returned, or panicked with a text.
    pub fn returned(self: &Arc<Self>, running: Running, panic: Option<String>) -> Returned {
        let mut state = self.state.lock();
        state.on_stack = false;
        if let Some(text) = panic {
            state.answer.get_or_insert(Answer::Failed(text));
        }
        if state.work.is_none() {
            return Returned::GivenUp(running);
        }
        match state.answer.take() {
            Some(answer) => match state.work.take() {
                Some(work) => {
                    Returned::Answered(Completion { call: self.clone(), work, answer, running: Some(running) })
                }
                None => Returned::GivenUp(running),
            },
            None => {
                state.running = Some(running);
                Returned::Pending
            }
        }
    }

    /// Completes it from outside, with `answer` unless it was answered already. `stuck` is told, under the call's
    /// lock, if its handler has not returned.
    pub fn give_up(self: &Arc<Self>, answer: Answer, stuck: impl FnOnce(Option<Crew>)) -> Option<Completion> {
        let mut state = self.state.lock();
        let work = state.work.take()?;
        let answer = state.answer.take().unwrap_or(answer);
        if state.on_stack {
            stuck(state.crew);
        }
        Some(Completion { call: self.clone(), work, answer, running: state.running.take() })
    }

    /// Whether it occupies a thread of this crew and said that it hangs.
    pub fn hangs_on(&self, crew: Crew) -> bool {
        self.hung() && {
            let state = self.state.lock();
            state.on_stack && state.crew == Some(crew)
        }
    }

    pub fn hung(&self) -> bool {
        self.hung.load(Ordering::SeqCst)
    }

    pub fn started(&self) -> bool {
        self.started.load(Ordering::SeqCst)
    }

    pub fn completed(&self) -> bool {
        self.state.lock().work.is_none()
    }

    /// It came after its deadline. `true` the first time, with its dead letter if there is one by now.
    pub fn mark_late(&self) -> (bool, Option<u64>) {
        let mut state = self.state.lock();
        (!std::mem::replace(&mut state.late, true), state.letter)
    }

    /// It became a dead letter; tells whether it came late already.
    pub fn set_letter(&self, letter: u64) -> bool {
        let mut state = self.state.lock();
        state.letter = Some(letter);
        state.late
    }

    /// Publishes what was made of the answer.
    pub fn judge(&self, outcome: Answer) {
        self.state.lock().outcome = Some(outcome);
        self.judged.notify_all();
    }

    /// The outcome, waiting for it until then at most.
    pub fn wait(&self, until: Instant) -> Option<Answer> {
        let mut state = self.state.lock();
        while state.outcome.is_none() && !self.judged.wait_until(&mut state, until).timed_out() {}
        state.outcome.clone()
    }
}

impl Call {
    fn take_answer(self: &Arc<Self>, dispatcher: &Dispatcher, answer: Answer) {
        let late = dispatcher.now() >= self.deadline;
        let mut state = self.state.lock();
        if state.work.is_none() {
            drop(state);
            dispatcher.came_late(self);
            return;
        }
        // A reply that is dropped by a panic is not the answer: the panic's text is.
        let by_panic = state.on_stack && std::thread::panicking() && is_on_this_thread(self.id);
        if state.answer.is_some() || by_panic {
            return;
        }
        let answer = if late { Answer::Overrun } else { answer };
        if state.on_stack {
            state.answer = Some(answer);
            drop(state);
        } else {
            let running = state.running.take();
            let Some(work) = state.work.take() else { return };
            drop(state);
            dispatcher.complete(Completion { call: self.clone(), work, answer, running });
        }
        if late {
            dispatcher.came_late(self);
        }
    }
}

/// What a reply reports to.
pub(crate) struct Answering(pub Arc<Call>);

impl Answered for Answering {
    fn answer(&self, answer: Answer) {
        if let Some(dispatcher) = self.0.dispatcher.upgrade().filter(|dispatcher| !dispatcher.forked()) {
            self.0.take_answer(&dispatcher, answer);
        }
    }

    fn hang(&self) {
        self.0.hung.store(true, Ordering::SeqCst);
        if let Some(dispatcher) = self.0.dispatcher.upgrade().filter(|dispatcher| !dispatcher.forked()) {
            dispatcher.nudge();
        }
    }

    fn time_left(&self) -> Duration {
        let now = self.0.dispatcher.upgrade().map_or(self.0.deadline, |dispatcher| dispatcher.now());
        Duration::from_millis(self.0.deadline.saturating_sub(now))
    }
}
