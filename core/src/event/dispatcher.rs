//! Delivers events to event classes, under no lock, with a deadline each, and contains what callbacks do.
//!
//! Notifications go through the lane of their session ([`lane`](super::lane), [`delivery`](super::delivery)), questions
//! to threads of their own ([`decider`](super::decider)). Every callback is a [`Call`](super::call::Call), which the
//! [`watch`](super::watch) gives up at its deadline. What waits or runs is in the [`Backlog`].

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::sync::{Condvar, Mutex};

use super::backlog::Backlog;
use super::breaker::BreakerState;
use super::call::Call;
use super::class::{ClassRef, EventClass};
use super::closing::FOREVER;
use super::current;
use super::dead_letter::{DeadLetter, DeadLetters};
use super::decider::CLOSED;
use super::delivery::apply;
pub(crate) use super::delivery::{Delivery, Origin};
pub(crate) use super::dispatch_config::DispatchConfig;
pub use super::dispatch_config::ThreadHooks;
use super::dispatch_stats::{CallbackFailure, CallbackOutcome, ClassHealth, DispatchStats};
use super::event::Event;
use super::groups::{GroupResolver, Resolving};
use super::lane::{Item, Taker};
use super::letter_box::{Letters, NewLetter};
use super::registry::{Registered, Registry};
use super::watch::Watch;
use crate::clock::{Clock, Millis, Timers};
use crate::error::{Error, ErrorKind, Result};
use crate::id::SessionId;
use crate::reason::EventKind;

/// Called when something begins to wait for `dispatch`.
pub(crate) type Waker = Arc<dyn Fn() + Send + Sync>;

/// How long after a failure the store is told again.
const KEEP_AGAIN: Millis = 100;
/// Failures that are remembered for `explain`.
const MAX_FAILURES: usize = 1024;

/// See the module. Its threads keep it alive until it is closed.
pub(crate) struct Dispatcher {
    pub(super) me: Weak<Dispatcher>,
    pub(super) config: DispatchConfig,
    pub(super) clock: Clock,
    pub(super) timers: Arc<Timers>,
    pub(super) registry: Registry,
    pub(super) backlog: Mutex<Backlog>,
    /// Each crew's threads wait here.
    pub(super) work: [Condvar; 2],
    /// `dispatch` waits here.
    pub(super) poll: Condvar,
    /// Whoever waits for callbacks waits here.
    pub(super) idle: Condvar,
    /// Held while its timer is set; nothing is called under it but the timers.
    pub(super) watch: Mutex<Watch>,
    pub(super) waker: Mutex<Option<Waker>>,
    pub(super) counters: Counters,
    /// Forks of the process that its threads are of.
    pub(super) forks: u64,
    pub(super) letters: Letters,
    /// A timer is set to tell the store of dead letters again.
    keeps_later: AtomicBool,
    failures: Mutex<VecDeque<(SessionId, CallbackFailure)>>,
}

#[derive(Default)]
pub(super) struct Counters {
    pub delivered: AtomicU64,
    pub failed: AtomicU64,
    pub overrun: AtomicU64,
    pub retried: AtomicU64,
    pub late: AtomicU64,
}

impl Dispatcher {
    /// A dispatcher without classes; it starts no thread before it needs one. Somebody must fire `timers`.
    pub fn new(config: DispatchConfig, clock: Clock, timers: Arc<Timers>) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            clock,
            timers,
            registry: Registry::default(),
            backlog: Mutex::new(Backlog::new(&config)),
            work: Default::default(),
            poll: Condvar::new(),
            idle: Condvar::new(),
            watch: Mutex::default(),
            waker: Mutex::new(None),
            counters: Counters::default(),
            forks: crate::fork::generation(),
            letters: match &config.letter_box {
                Some(all) => {
                    Letters::Shared { all: all.clone(), later: Mutex::default(), most: config.dead_letters.max(1) }
                }
                None => Letters::Own(DeadLetters::new(config.dead_letters, config.dead_letter_bytes)),
            },
            keeps_later: AtomicBool::new(false),
            failures: Mutex::default(),
            config,
        })
    }

    /// Registers a class; returns the registration's id.
    ///
    /// Errors: `exists` if its name is taken, `invalid`, `closed`.
    pub fn register(&self, class: EventClass) -> Result<u64> {
        if self.backlog.lock().closing {
            return Err(Error::new(ErrorKind::Closed, "the manager was closed"));
        }
        self.registry.register(class, &self.config)
    }

    /// Takes a class out; tells whether it was there. When it returns, none of its callbacks runs and its handler is
    /// dropped, unless one overruns: then it is dropped when that one returns.
    ///
    /// Errors: `reentrant` inside one of its own callbacks.
    pub fn unregister(&self, namespace: &str, name: &str) -> Result<bool> {
        if self.is_inside(namespace, name) {
            let message = format!("event class '{name}' can't be unregistered inside one of its own callbacks");
            return Err(Error::new(ErrorKind::Reentrant, message));
        }
        let Some(class) = self.registry.remove(namespace, name) else { return Ok(false) };
        Self::release(class);
        Ok(true)
    }

    /// Sets who resolves groups, or takes it away. When it returns, the one before does not run any more and is dropped,
    /// unless it overruns: then it is dropped when it returns.
    ///
    /// Errors: `reentrant` inside of it, `closed`.
    pub fn set_group_resolver(&self, resolver: Option<Arc<dyn GroupResolver>>) -> Result<()> {
        let own = Resolving::class();
        if self.is_inside(&own.namespace, &own.name) {
            let message = "the group resolver can't be set inside of itself";
            return Err(Error::new(ErrorKind::Reentrant, message));
        }
        if self.backlog.lock().closing {
            return Err(Error::new(ErrorKind::Closed, CLOSED));
        }
        let before = match resolver {
            Some(resolver) => {
                let class = EventClass::new(&*own.name, Resolving::new(resolver)).namespace(&*own.namespace);
                self.registry.replace(class, &self.config)?
            }
            None => self.registry.remove(&own.namespace, &own.name),
        };
        if let Some(before) = before {
            Self::release(before);
        }
        Ok(())
    }

    /// Whether one of its callbacks runs on this thread.
    fn is_inside(&self, namespace: &str, name: &str) -> bool {
        let id = self.registry.look(namespace, name, |class| class.id);
        id.is_some_and(|id| current::inside_class(self.config.manager_id, id))
    }

    fn release(class: Arc<Registered>) {
        let until = Instant::now() + Duration::from_millis(class.deadline).min(FOREVER);
        Registry::release(class, until);
    }

    /// Whether this class is registered here.
    pub fn registered(&self, class: &ClassRef) -> bool {
        self.registry.look(&class.namespace, &class.name, |_| ()).is_some()
    }

    /// Whether this class is registered here and has a callback for this kind.
    pub fn handles(&self, class: &ClassRef, kind: EventKind) -> bool {
        self.registry.look(&class.namespace, &class.name, |class| class.handles(kind)).unwrap_or(false)
    }

    /// The kinds that any class handles: a set of [`EventKind::bit`]s.
    pub fn kinds(&self) -> u32 {
        self.registry.kinds()
    }

    /// Whether this class is registered here with `compat_veto`.
    pub fn is_compat_veto(&self, class: &ClassRef) -> bool {
        self.registry.look(&class.namespace, &class.name, |class| class.compat_veto).unwrap_or(false)
    }

    pub fn stats(&self) -> DispatchStats {
        let letters = self.letters.counts().unwrap_or_default();
        let open = |health: &ClassHealth| health.breaker != BreakerState::Closed;
        let breakers_open = self.class_health().iter().filter(|health| open(health)).map(name_of).collect();
        let backlog = self.backlog.lock();
        let (queued, queue_high_water) = backlog.lanes.queued();
        DispatchStats {
            queued,
            queue_high_water,
            running: backlog.running(),
            delivered: self.delivered(),
            failed: self.counters.failed.load(Ordering::Relaxed),
            overrun: self.counters.overrun.load(Ordering::Relaxed),
            retried: self.counters.retried.load(Ordering::Relaxed),
            dead_letters: letters.kept,
            dead_lettered: letters.total,
            dead_letters_lost: letters.lost,
            completed_late: self.counters.late.load(Ordering::Relaxed),
            stuck_workers: backlog.stuck(),
            workers: backlog.pools.iter().map(|pool| pool.alive).sum(),
            breakers_open,
        }
    }

    /// How each registered class does, by namespace and name.
    pub fn class_health(&self) -> Vec<ClassHealth> {
        self.registry.health()
    }

    /// Dead letters with ids after a cursor (0 for the first page), oldest first.
    pub fn dead_letters(&self, after: u64, limit: usize) -> Result<Vec<DeadLetter>> {
        self.letters.list(after, limit)
    }

    /// Tells the store of dead letters that it could not be told of before.
    pub fn keep_again(&self) -> Result<()> {
        self.letters.again()
    }

    /// Delivers a dead letter, or all, once more, with the same event id and marked as redelivered. Closes the
    /// breakers of their classes. Tells how many.
    pub fn redeliver(&self, id: Option<u64>) -> Result<usize> {
        let letters = self.letters.take(id)?;
        let count = letters.len();
        for (origin, class, event) in letters {
            self.registry.look(&class.namespace, &class.name, |class| class.breaker.reset());
            let lane = event.session_id;
            self.notify(lane, vec![Delivery { class, event, origin }], None, false);
        }
        Ok(count)
    }

    /// The recent failures of a session's callbacks, oldest first.
    pub fn failures_of(&self, session: SessionId) -> Result<Vec<CallbackFailure>> {
        let mut failures = match self.letters.shared() {
            Some(all) => all.failures(session)?,
            None => Vec::new(),
        };
        let own = self.failures.lock();
        failures.extend(own.iter().filter(|(of, _)| *of == session).map(|(_, failure)| failure.clone()));
        Ok(failures)
    }

    /// How the callbacks of an event went, as other processes told.
    pub fn outcomes_of(&self, event_id: u64) -> Result<Vec<CallbackOutcome>> {
        self.letters.shared().map_or_else(|| Ok(Vec::new()), |all| all.outcomes(event_id))
    }

    /// Has other processes know how the callbacks of an event went here.
    pub fn tell_outcomes(&self, event_id: u64) -> Result<()> {
        let Some(all) = self.letters.shared() else { return Ok(()) };
        let outcomes = self.backlog.lock().outcomes_of(event_id);
        all.note_outcomes(event_id, &outcomes)
    }

    /// Runs at most `max` callbacks that wait for it, in this thread; if there is none, waits for one, in real time.
    /// Tells how many ran.
    ///
    /// Errors: `reentrant` inside a callback of this manager.
    pub fn dispatch(&self, max: usize, timeout: Duration) -> Result<usize> {
        if current::inside(self.config.manager_id) {
            return Err(Error::new(ErrorKind::Reentrant, "dispatch is not possible inside a callback"));
        }
        let until = Instant::now() + timeout.min(FOREVER);
        let mut ran = 0;
        while ran < max {
            if let Some(callbacks) = self.poll_one() {
                ran += callbacks;
                continue;
            }
            let mut backlog = self.backlog.lock();
            if ran > 0 || backlog.closed || Instant::now() >= until {
                break;
            }
            if !backlog.has_polled() {
                self.poll.wait_until(&mut backlog, until);
            }
        }
        // Whoever waits by the waker must hear of what is left.
        let wake = {
            let mut backlog = self.backlog.lock();
            backlog.rang = false;
            backlog.wake()
        };
        self.wake(wake);
        Ok(ran)
    }

    /// Runs one thing that waits for `dispatch`; tells how many callbacks that was.
    pub(super) fn poll_one(&self) -> Option<usize> {
        let (ask, job) = {
            let mut backlog = self.backlog.lock();
            match backlog.polled.pop_front() {
                Some(call) => {
                    call.mark_started();
                    (Some(call), None)
                }
                None => {
                    let job = backlog.lanes.take(Taker::Poll);
                    backlog.busy += usize::from(job.is_some());
                    (None, job)
                }
            }
        };
        if let Some(call) = ask {
            self.run_ask(call, None);
            return Some(1);
        }
        let job = job?;
        let callbacks = usize::from(matches!(job.item, Item::Deliver(..)));
        if let Some(mut done) = self.run(job, None) {
            let wake = {
                let mut backlog = self.backlog.lock();
                apply(&mut backlog, &mut done);
                backlog.lanes.open(done.lane());
                backlog.wake()
            };
            self.wake(wake);
        }
        Some(callbacks)
    }

    /// Sets what is called, on any thread and under no lock, when something begins to wait for `dispatch`.
    pub fn set_wake(&self, waker: Option<Waker>) {
        let old = std::mem::replace(&mut *self.waker.lock(), waker);
        super::contain::run("a waker's destructor", || drop(old));
        let wake = {
            let mut backlog = self.backlog.lock();
            backlog.rang = false;
            backlog.wake()
        };
        self.wake(wake);
    }

    /// Whether this is the child of a fork: its locks may be held by threads that are not there.
    pub(super) fn forked(&self) -> bool {
        self.forks != crate::fork::generation()
    }

    /// Engine time.
    pub(super) fn now(&self) -> Millis {
        self.clock.now().ms
    }

    pub(super) fn delivered(&self) -> u64 {
        self.counters.delivered.load(Ordering::Relaxed)
    }

    /// Has everybody look again who waits for something.
    pub(super) fn nudge(&self) {
        let wake = self.backlog.lock().wake();
        self.wake(wake);
    }

    /// Makes a delivery a dead letter.
    pub(super) fn give_up(
        &self,
        call: Option<&Call>,
        origin: Origin,
        class: ClassRef,
        event: Arc<Event>,
        attempts: u32,
        error: &str,
    ) {
        let (kind, event_id) = (event.kind, event.event_id);
        log::debug!(target: "libsession", "{kind} for class '{}', event {event_id}: {error}", class.name);
        let error = error.to_owned();
        let letter = self.letters.keep(NewLetter { class, event, origin, attempts, error, at_ms: self.now() });
        if self.letters.waits() {
            self.keep_later();
        }
        if call.is_some_and(|call| call.set_letter(letter)) {
            self.letters.completed_late(letter);
        }
    }

    /// Tries again soon to tell the store of dead letters.
    fn keep_later(&self) {
        if self.keeps_later.swap(true, Ordering::AcqRel) {
            return;
        }
        let me = self.me.clone();
        let again = move || {
            let Some(dispatcher) = me.upgrade() else { return };
            dispatcher.keeps_later.store(false, Ordering::Release);
            if dispatcher.letters.waits() && dispatcher.letters.again().is_err() {
                dispatcher.keep_later();
            }
        };
        self.timers.set(self.now().saturating_add(KEEP_AGAIN), Box::new(again));
    }

    /// A callback answered or returned after it was given up.
    pub(super) fn came_late(&self, call: &Call) {
        let (first, letter) = call.mark_late();
        if first {
            self.counters.late.fetch_add(1, Ordering::Relaxed);
            if let Some(letter) = letter {
                self.letters.completed_late(letter);
            }
        }
    }

    pub(super) fn note_failure(&self, call: &Call, text: &str) {
        let (kind, event_id) = (call.event.kind, call.event.event_id);
        log::warn!(target: "libsession", "{kind} of class '{}' failed, event {event_id}: {text}", call.class.name);
        let (class, text) = (call.class.clone(), text.to_owned());
        let failure = CallbackFailure { class, kind, text, at_ms: self.now() };
        if let Some(all) = self.letters.shared() {
            match all.note_failure(call.event.session_id, &failure) {
                Ok(()) => return,
                Err(error) => log::warn!(target: "libsession", "a failure is known to this process alone: {error}"),
            }
        }
        let mut failures = self.failures.lock();
        if failures.len() >= MAX_FAILURES {
            failures.pop_front();
        }
        failures.push_back((call.event.session_id, failure));
    }

    /// A class's call failed for good.
    pub(super) fn count_against(&self, call: &Call, text: &str, now: Millis) {
        if call.breaker.failed(now, text) {
            log::warn!(target: "libsession", "class '{}' fails again and again and is left alone", call.class.name);
        }
    }
}

fn name_of(health: &ClassHealth) -> String {
    let ClassRef { namespace, name, .. } = &health.class;
    if namespace.is_empty() || Resolving::is(&health.class) { name.to_string() } else { format!("{namespace}/{name}") }
}
