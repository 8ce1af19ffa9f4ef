//! Waiting for units: tried at once, then in the queue of the pool until the turn comes, the time is over or it is
//! cancelled.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use super::Engine;
use super::ask::Wait;
use crate::clock::{TimerKey, millis};
use crate::error::{Error, ErrorKind, Result};
use crate::event::contain;
use crate::license::Waiter;
use crate::license::queue::may_come;
use crate::license::recount::holder_name;
use crate::manager::Then;
use crate::reason::DenyReason;
use crate::request::Request;
use crate::session::QueueOptions;
use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::sync::{Condvar, Mutex};
use crate::table::{Asking, Leaving, NewWaiter, RequestKey, Wake};
use crate::ticket::{Place, Ticket};

/// What is wanted of a pool, and how it is tried to be had.
pub(super) trait Want: Send + 'static {
    type Got: Send + 'static;

    /// Tries once: there may be no unit now.
    fn attempt(&mut self, asking: Asking) -> Result<Result<Self::Got, DenyReason>>;

    /// The request that it is wanted for: when that is over, it is wanted no more.
    fn request(&self) -> Option<&Request> {
        None
    }

    /// Tells that it can't be had.
    fn denied(&mut self, reason: DenyReason) -> Error;

    /// The last try.
    fn finally(&mut self, priority: i8) -> Result<Self::Got> {
        let tried = self.attempt(Asking { last: true, place: None, priority })?;
        tried.map_err(|reason| self.denied(reason))
    }
}

/// Units were set aside.
const CALLED: u32 = 1;
/// The time is over.
const EXPIRED: u32 = 2;
/// The ticket was cancelled.
const CANCELLED: u32 = 4;

/// How often who is first asks whether somebody can go: milliseconds.
const AGAIN: u64 = 1000;
/// So many times as seldom at most who stands behind.
const SELDOM: u64 = 60;

/// One call that waits.
struct Queued<W: Want> {
    engine: Arc<Engine>,
    number: u64,
    request: Option<RequestKey>,
    pool: u32,
    place: AtomicU64,
    /// What number the ticket knows it by; 0 before it does.
    ticketed: AtomicU64,
    queue: QueueOptions,
    job: Mutex<Option<(W, Then<W::Got>)>>,
    timer: Mutex<Option<TimerKey>>,
    /// When it is tried again whether somebody has to go for it.
    again: Mutex<Option<TimerKey>>,
    /// What happened since the last step.
    signals: AtomicU32,
    /// Who goes on: the first of those that come at once does it for all.
    going: AtomicU32,
    /// A thread that blocks until something happens.
    blocks: bool,
    woken: Mutex<bool>,
    changed: Condvar,
}

impl Engine {
    /// Tries; and if there is no unit now and the options say so, waits for one. No waiter: it can't be waited for.
    pub(super) fn wait_for_units<W: Want>(
        self: &Arc<Self>,
        wait: Wait,
        queue: QueueOptions,
        waiter: Option<NewWaiter>,
        mut want: W,
        then: Then<W::Got>,
    ) {
        let priority = queue.priority;
        let _tells = (wait == Wait::Async).then(|| self.tells());
        // Whether its pool has a queue is the pool's to say: it may be defined anew, by others too.
        let Some(waiter) = waiter.filter(|_| !queue.wait.is_zero()) else {
            return then(want.finally(priority));
        };
        match want.attempt(Asking { last: false, place: None, priority }) {
            Ok(Err(reason)) if may_come(reason) => {}
            Ok(Err(reason)) => return then(Err(want.denied(reason))),
            Ok(Ok(got)) => return then(Ok(got)),
            Err(error) => return then(Err(error)),
        }
        if queue.ticket.as_ref().is_some_and(Ticket::is_cancelled) {
            return then(Err(cancelled()));
        }
        let blocks = wait == Wait::Blocking;
        let queued = Arc::new(Queued {
            engine: self.clone(),
            number: self.waits.number.fetch_add(1, Ordering::Relaxed),
            request: want.request().and_then(|request| request.0.key()),
            pool: waiter.charge.pool,
            place: AtomicU64::new(0),
            ticketed: AtomicU64::new(0),
            queue,
            job: Mutex::new(Some((want, then))),
            timer: Mutex::new(None),
            again: Mutex::new(None),
            signals: AtomicU32::new(0),
            going: AtomicU32::new(0),
            blocks,
            woken: Mutex::new(false),
            changed: Condvar::new(),
        });
        let until = Instant::now().checked_add(queued.queue.wait);
        queued.clone().line_up(waiter);
        if blocks {
            queued.block(until);
        }
    }

    /// Those who wait for a pool after the first `skip`, in the order of their turns.
    pub fn queue(&self, pool: u32, skip: usize, limit: usize) -> Result<Vec<Waiter>> {
        self.enter()?;
        super::check_limit(limit)?;
        let now = self.clock.now().ms;
        let span = |from: u64, to: u64| std::time::Duration::from_millis(to.saturating_sub(from));
        let waiting = self.table.queue(pool, skip, limit)?;
        let listed = waiting.into_iter().zip(skip as u64 + 1..).map(|(one, position)| Waiter {
            position,
            holder: holder_name(one.session, &one.charge.holder),
            session_id: one.session,
            priority: one.priority,
            waited: span(one.since, now),
            left: span(now, one.deadline),
            offered: one.offered.is_some(),
            process: one.process,
        });
        Ok(listed.collect())
    }

    /// Calls that wait for units here.
    pub(super) fn license_waiters(&self) -> u64 {
        self.waits.going_on.lock().wakes.len() as u64
    }

    /// Has all waits of this manager go on, to find that it closes.
    pub(super) fn wake_waits(&self) {
        let waits: Vec<_> = self.waits.going_on.lock().wakes.values().cloned().collect();
        waits.into_iter().for_each(|wake| wake());
    }

    /// Has the waits of a request that is over go on, to find that it is. Under no lock.
    pub(super) fn wake_waits_of(&self, request: &RequestKey) {
        if self.waits.of_requests.load(Ordering::Acquire) == 0 {
            return;
        }
        let waits: Vec<Wake> = {
            let going_on = self.waits.going_on.lock();
            let numbers = going_on.requests.get(request).into_iter().flatten();
            numbers.filter_map(|number| going_on.wakes.get(number).cloned()).collect()
        };
        waits.into_iter().for_each(|wake| wake());
    }
}

/// The waits of one manager.
#[derive(Default)]
pub(crate) struct Waits {
    number: AtomicU64,
    going_on: Mutex<GoingOn>,
    /// How many of them are for requests.
    of_requests: AtomicU64,
}

#[derive(Default)]
struct GoingOn {
    wakes: HashMap<u64, Wake>,
    requests: HashMap<RequestKey, Vec<u64>>,
}

impl Waits {
    fn add(&self, number: u64, request: Option<RequestKey>, wake: Wake) {
        let mut going_on = self.going_on.lock();
        going_on.wakes.insert(number, wake);
        if let Some(request) = request {
            going_on.requests.entry(request).or_default().push(number);
            self.of_requests.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn remove(&self, number: u64, request: Option<RequestKey>) -> Option<Wake> {
        let mut going_on = self.going_on.lock();
        let wake = going_on.wakes.remove(&number)?;
        if let Some(request) = request {
            let numbers = going_on.requests.entry(request).or_default();
            numbers.retain(|known| *known != number);
            if numbers.is_empty() {
                going_on.requests.remove(&request);
            }
            self.of_requests.fetch_sub(1, Ordering::AcqRel);
        }
        Some(wake)
    }
}

crate::sync::thread_local! {
    /// Waits that go on after the one that this thread is at; none if it is at none.
    static AFTER: RefCell<Option<VecDeque<GoesOn>>> = const { RefCell::new(None) };
}

type GoesOn = Box<dyn FnOnce()>;

/// Has a wait go on, after the one that this thread is at: however many hand units to each other in a row, each is done with
/// before the next begins, and the stack does not grow.
fn in_turn(goes_on: GoesOn) {
    let mut now = Some(goes_on);
    let _ended = AFTER.try_with(|after| match &mut *after.borrow_mut() {
        Some(after) => after.extend(now.take()),
        none => *none = Some(VecDeque::new()),
    });
    while let Some(goes_on) = now {
        contain::run("a wait for units", goes_on);
        now = AFTER.try_with(|after| after.borrow_mut().as_mut()?.pop_front()).ok().flatten();
        if now.is_none() {
            let _ended = AFTER.try_with(|after| after.borrow_mut().take());
        }
    }
}

fn cancelled() -> Error {
    Error::new(ErrorKind::Cancelled, "the wait for a license unit was cancelled; nothing was changed")
}

impl<W: Want> Queued<W> {
    /// Takes a place.
    fn line_up(self: Arc<Self>, waiter: NewWaiter) {
        let engine = self.engine.clone();
        // Until the place is known nobody goes on.
        self.going.store(1, Ordering::Release);
        let called: Wake = {
            let me = Arc::downgrade(&self);
            Arc::new(move || {
                if let Some(me) = me.upgrade() {
                    me.signal(CALLED);
                }
            })
        };
        let at = engine.at();
        let deadline = at.now.ms.saturating_add(millis(self.queue.wait));
        let joined = engine.table.join_queue(at, &NewWaiter { deadline, ..waiter }, called.clone());
        match joined {
            Ok(Ok(place)) => self.place.store(place, Ordering::Release),
            // The queue is full.
            Ok(Err(_)) => {
                self.finish_with(W::finally);
                return;
            }
            Err(error) => return self.finish_with(|_, _| Err(error)),
        }
        if let Some(ticket) = &self.queue.ticket {
            let me = Arc::downgrade(&self);
            let cancel = Arc::new(move || {
                if let Some(me) = me.upgrade() {
                    me.signal(CANCELLED);
                }
            });
            let place = self.place.load(Ordering::Acquire);
            let place = Place { engine: Arc::downgrade(&engine), pool: self.pool, place };
            let (number, cancelled) = ticket.begin(Some(place), cancel);
            self.ticketed.store(number, Ordering::Release);
            if cancelled {
                self.signals.fetch_or(CANCELLED, Ordering::AcqRel);
            }
        }
        // What is kept is strong: an asynchronous wait lives by it.
        let me = self.clone();
        let wake: Wake = Arc::new(move || me.signal(CALLED));
        engine.waits.add(self.number, self.request, wake);
        if !self.blocks || engine.clock.manual().is_some() {
            let me = Arc::downgrade(&self);
            let expire = Box::new(move || {
                if let Some(me) = me.upgrade() {
                    me.signal(EXPIRED);
                }
            });
            *self.timer.lock() = Some(engine.timers.set(deadline, expire));
        }
        self.try_again_later();
        // Whoever ended it meanwhile did not find it waiting.
        let over = self.job.lock().as_ref().and_then(|(want, _)| want.request().cloned());
        if engine.enter().is_err() || over.is_some_and(|request| request.0.still().is_err()) {
            self.signals.fetch_or(CALLED, Ordering::AcqRel);
        }
        self.come_along();
        // Units may have been set aside by the very step.
        engine.table.call_waiters();
    }

    /// Goes on with what came in while nobody else was to.
    fn come_along(self: &Arc<Self>) {
        if self.blocks {
            self.going.store(0, Ordering::Release);
            return self.ring();
        }
        loop {
            let came = self.going.load(Ordering::Acquire);
            self.step();
            if self.going.fetch_sub(came, Ordering::AcqRel) == came {
                return;
            }
        }
    }

    fn signal(self: &Arc<Self>, what: u32) {
        self.signals.fetch_or(what, Ordering::AcqRel);
        if self.blocks {
            return self.ring();
        }
        if self.going.fetch_add(1, Ordering::AcqRel) == 0 {
            let me = self.clone();
            in_turn(Box::new(move || me.come_along()));
        }
    }

    fn ring(&self) {
        *self.woken.lock() = true;
        self.changed.notify_all();
    }

    /// Blocks the calling thread until the wait is over.
    fn block(self: &Arc<Self>, until: Option<Instant>) {
        loop {
            if self.job.lock().is_none() {
                return;
            }
            {
                let mut woken = self.woken.lock();
                while !*woken {
                    match until.filter(|_| self.engine.clock.manual().is_none()) {
                        Some(until) if self.changed.wait_until(&mut woken, until).timed_out() => {
                            self.signals.fetch_or(EXPIRED, Ordering::AcqRel);
                            break;
                        }
                        Some(_) => {}
                        None => self.changed.wait(&mut woken),
                    }
                }
                *woken = false;
            }
            self.step();
        }
    }

    /// Looks what happened, and tries if it is time to.
    fn step(self: &Arc<Self>) {
        let signals = self.signals.swap(0, Ordering::AcqRel);
        if signals == 0 {
            return;
        }
        let _tells = (!self.blocks).then(|| self.engine.tells());
        let (place, priority) = (self.place.load(Ordering::Acquire), self.queue.priority);
        if signals & CANCELLED != 0 {
            self.leave(Leaving::Cancelled);
            return self.finish_with(|_, _| Err(cancelled()));
        }
        let Some((mut want, then)) = self.job.lock().take() else { return };
        match want.attempt(Asking { last: false, place: Some(place), priority }) {
            Ok(Err(reason)) if !may_come(reason) => {
                // That was the last word, and is told already.
                self.leave(Leaving::Denied);
                let denied = want.denied(reason);
                self.end(then, Err(denied));
            }
            Ok(Err(_)) if signals & EXPIRED == 0 => {
                *self.job.lock() = Some((want, then));
                self.try_again_later();
            }
            Ok(Err(_)) => {
                self.leave(Leaving::Denied);
                let told = want.finally(priority);
                self.end(then, told);
            }
            Ok(Ok(got)) => {
                // Another request of its session may have got it what it waits for: then its place is still there.
                if self.engine.table.position(self.pool, place).is_ok_and(|position| position.is_some()) {
                    self.leave(Leaving::Cancelled);
                }
                self.end(then, Ok(got));
            }
            Err(error) => {
                self.leave(Leaving::Cancelled);
                self.end(then, Err(error));
            }
        }
    }

    /// Nobody tells when a session has been idle long enough to be ended for another: of a pool that does so, whoever is
    /// first asks every second, who stands behind more seldom.
    fn try_again_later(self: &Arc<Self>) {
        if !self.engine.known_pool(self.pool).rules.may_evict() {
            return;
        }
        let place = self.place.load(Ordering::Acquire);
        let position = self.engine.table.position(self.pool, place).ok().flatten().unwrap_or(1);
        let at = self.engine.clock.now().ms.saturating_add(AGAIN.saturating_mul(position.clamp(1, SELDOM)));
        let me = Arc::downgrade(self);
        let again = Box::new(move || {
            if let Some(me) = me.upgrade() {
                me.signal(CALLED);
            }
        });
        let again = self.engine.timers.set(at, again);
        if let Some(before) = self.again.lock().replace(again) {
            self.engine.timers.cancel(before);
        }
    }

    fn leave(&self, how: Leaving) {
        let place = self.place.load(Ordering::Acquire);
        if let Err(error) = self.engine.table.leave_queue(self.engine.at(), self.pool, place, how) {
            log::warn!(target: "libsession", "a place in a queue can't be given back now: {}", error.message());
        }
        self.engine.pump_pools();
    }

    fn finish_with(&self, result: impl FnOnce(&mut W, i8) -> Result<W::Got>) {
        let Some((mut want, then)) = self.job.lock().take() else { return };
        let result = result(&mut want, self.queue.priority);
        self.end(then, result);
    }

    fn end(&self, then: Then<W::Got>, result: Result<W::Got>) {
        // Dropped after the lock is released: it may be the last that knows of this wait.
        let _wake = self.engine.waits.remove(self.number, self.request);
        for timer in [&self.timer, &self.again] {
            if let Some(timer) = timer.lock().take() {
                self.engine.timers.cancel(timer);
            }
        }
        self.engine.table.waited(self.pool, self.place.load(Ordering::Acquire));
        if let Some(ticket) = &self.queue.ticket {
            ticket.end(self.ticketed.load(Ordering::Acquire));
        }
        // This may be the thread that freed the unit, or keeps time: neither falls with somebody's continuation.
        contain::run("the continuation of a wait for units", || then(result));
    }
}
