//! Locks of requests: taken at once, or waited for until they are free, the time is over or it is cancelled.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Engine;
use crate::clock::{TimerKey, millis};
use crate::error::{Error, ErrorKind, Result};
use crate::event::contain;
use crate::manager::Then;
use crate::reason::LockMode;
use crate::sync::atomic::{AtomicU32, Ordering};
use crate::sync::{Condvar, Mutex};
use crate::table::{Found, RequestKey, SessionRef, Wake};
use crate::ticket::Ticket;

/// One try to begin, or to lock.
pub(super) enum Tried<T> {
    Done(T),
    /// Who waits (a begin has the number 0), for what, and who holds it.
    Busy(RequestKey, LockMode, String),
}

/// How long a lock is waited for, and what cancels that.
pub(super) struct Patience {
    pub timeout: Duration,
    pub ticket: Option<Ticket>,
}

impl Patience {
    /// Whether a lock that is not free is waited for.
    fn check(&self, holder: &str) -> Result<()> {
        if self.timeout.is_zero() {
            return Err(self.over(holder));
        }
        if self.ticket.as_ref().is_some_and(Ticket::is_cancelled) { Err(cancelled()) } else { Ok(()) }
    }

    fn over(&self, holder: &str) -> Error {
        let waited = self.timeout.as_millis();
        Error::new(ErrorKind::LockTimeout, format!("the session's lock was not free within {waited} ms: {holder}"))
    }
}

/// The lock may be free.
const FREED: u32 = 1;
/// The time is over.
const EXPIRED: u32 = 2;
/// The ticket was cancelled.
const CANCELLED: u32 = 4;

impl Engine {
    pub fn lock(self: &Arc<Self>, key: RequestKey, mode: LockMode, timeout: Option<Duration>) -> Result<Found<()>> {
        let timeout = self.lock_timeout(timeout)?;
        self.wait_for_lock(Patience { timeout, ticket: None }, || self.try_lock(&key, mode))
    }

    pub fn lock_async(
        self: &Arc<Self>,
        key: RequestKey,
        mode: LockMode,
        timeout: Option<Duration>,
        ticket: Option<Ticket>,
        then: Then<Found<()>>,
    ) {
        let timeout = match self.lock_timeout(timeout) {
            Ok(timeout) => timeout,
            Err(error) => return then(Err(error)),
        };
        let engine = self.clone();
        self.await_lock(Patience { timeout, ticket }, Arc::new(move || engine.try_lock(&key, mode)), then);
    }

    fn lock_timeout(&self, timeout: Option<Duration>) -> Result<Duration> {
        let timeout = timeout.unwrap_or(self.config.lock_timeout);
        crate::config::check_duration("lock_timeout", timeout)?;
        Ok(timeout)
    }

    fn try_lock(&self, key: &RequestKey, mode: LockMode) -> Result<Tried<Found<()>>> {
        self.enter_closing()?;
        Ok(match self.table.lock(self.at(), key, mode) {
            Found::Live(Ok(())) => Tried::Done(Found::Live(())),
            Found::Live(Err(text)) => Tried::Busy(*key, mode, text),
            Found::Absent => Tried::Done(Found::Absent),
            Found::Gone(reason) => Tried::Done(Found::Gone(reason)),
            Found::Failed(error) => return Err(error),
        })
    }

    /// Tries until it is not busy, the time is over, or it is cancelled; blocks in between.
    pub(super) fn wait_for_lock<T>(
        self: &Arc<Self>,
        patience: Patience,
        mut attempt: impl FnMut() -> Result<Tried<T>>,
    ) -> Result<T> {
        let mut waiting = None;
        let mut last = false;
        loop {
            let (key, mode, holder) = match attempt()? {
                Tried::Done(done) => return Ok(done),
                Tried::Busy(key, mode, holder) => (key, mode, holder),
            };
            if last {
                return Err(patience.over(&holder));
            }
            patience.check(&holder)?;
            let waiting = waiting.get_or_insert_with(|| Waiting::start(self, &patience));
            let signal = waiting.signal.clone();
            let watch = self.table.watch(&key, mode, Arc::new(move || signal.ring(FREED)));
            let Some(watch) = watch else { continue };
            let came = waiting.wait();
            self.table.unwatch(key.session, watch);
            if came & CANCELLED != 0 {
                return Err(cancelled());
            }
            // The last word is the lock's: it may have come free in the same instant.
            last = came & FREED == 0;
        }
    }

    /// As [`wait_for_lock`](Self::wait_for_lock), by continuation.
    pub(super) fn await_lock<T: Send + 'static>(
        self: &Arc<Self>,
        patience: Patience,
        attempt: Arc<dyn Fn() -> Result<Tried<T>> + Send + Sync>,
        then: Then<T>,
    ) {
        let awaiting = Arc::new(Awaiting {
            engine: self.clone(),
            attempt,
            patience,
            then: Mutex::new(Some(then)),
            kept: Mutex::default(),
            signals: AtomicU32::new(0),
            going: AtomicU32::new(0),
        });
        awaiting.signal(FREED);
    }
}

fn cancelled() -> Error {
    Error::new(ErrorKind::Cancelled, "the wait for the session's lock was cancelled; nothing was changed")
}

/// Wakes a blocked thread.
#[derive(Default)]
struct Signal {
    came: Mutex<u32>,
    changed: Condvar,
}

impl Signal {
    fn ring(&self, what: u32) {
        *self.came.lock() |= what;
        self.changed.notify_all();
    }
}

/// A blocked thread's wait, bounded on the manager's clock.
struct Waiting {
    engine: Arc<Engine>,
    signal: Arc<Signal>,
    timer: Option<TimerKey>,
    ticket: Option<(Ticket, u64)>,
    until: Instant,
}

impl Waiting {
    fn start(engine: &Arc<Engine>, patience: &Patience) -> Self {
        let signal = Arc::new(Signal::default());
        let timeout = patience.timeout;
        let timer = engine.clock.manual().is_some().then(|| {
            let (at, signal) = (engine.clock.now().ms.saturating_add(millis(timeout)), signal.clone());
            engine.timers.set(at, Box::new(move || signal.ring(EXPIRED)))
        });
        let ticket = patience.ticket.as_ref().map(|ticket| {
            let cancels = signal.clone();
            let (number, cancelled) = ticket.begin(None, Arc::new(move || cancels.ring(CANCELLED)));
            if cancelled {
                signal.ring(CANCELLED);
            }
            (ticket.clone(), number)
        });
        let until =
            Instant::now().checked_add(timeout).unwrap_or_else(|| Instant::now() + Duration::from_secs(86_400 * 365));
        Self { engine: engine.clone(), signal, timer, ticket, until }
    }

    /// What has come; waits for that.
    fn wait(&self) -> u32 {
        let mut came = self.signal.came.lock();
        while *came == 0 {
            if self.timer.is_some() {
                self.signal.changed.wait(&mut came);
            } else if self.signal.changed.wait_until(&mut came, self.until).timed_out() {
                *came |= EXPIRED;
            }
        }
        let now = *came;
        // What is over stays over.
        *came &= EXPIRED;
        now
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(timer) = self.timer {
            self.engine.timers.cancel(timer);
        }
        if let Some((ticket, number)) = &self.ticket {
            ticket.end(*number);
        }
    }
}

/// A wait by continuation.
struct Awaiting<T> {
    engine: Arc<Engine>,
    attempt: Arc<dyn Fn() -> Result<Tried<T>> + Send + Sync>,
    patience: Patience,
    then: Mutex<Option<Then<T>>>,
    kept: Mutex<Kept>,
    /// What happened since the last step.
    signals: AtomicU32,
    /// Who goes on: the first of those that come at once does it for all, so that nothing is taken twice.
    going: AtomicU32,
}

/// What a wait by continuation has to give back.
#[derive(Default)]
struct Kept {
    watch: Option<(SessionRef, u64)>,
    timer: Option<TimerKey>,
    /// What number the ticket knows it by.
    ticketed: Option<u64>,
}

impl<T: Send + 'static> Awaiting<T> {
    fn signal(self: &Arc<Self>, what: u32) {
        self.signals.fetch_or(what, Ordering::AcqRel);
        let mut came = self.going.fetch_add(1, Ordering::AcqRel) + 1;
        if came != 1 {
            return;
        }
        loop {
            self.step();
            let now = self.going.fetch_sub(came, Ordering::AcqRel);
            if now == came {
                return;
            }
            came = now - came;
        }
    }

    /// Calls [`signal`](Self::signal); it lives as long as what it is kept in.
    fn signals(self: &Arc<Self>, what: u32) -> impl Fn() + Send + Sync + use<T> {
        let me = Arc::downgrade(self);
        move || {
            if let Some(me) = me.upgrade() {
                me.signal(what);
            }
        }
    }

    /// Looks what happened, and tries.
    fn step(self: &Arc<Self>) {
        let signals = self.signals.swap(0, Ordering::AcqRel);
        if signals == 0 || self.then.lock().is_none() {
            return;
        }
        if signals & CANCELLED != 0 {
            return self.end(Err(cancelled()));
        }
        loop {
            let (key, mode, holder) = match (self.attempt)() {
                Ok(Tried::Busy(key, mode, holder)) => (key, mode, holder),
                Ok(Tried::Done(done)) => return self.end(Ok(done)),
                Err(error) => return self.end(Err(error)),
            };
            if signals & EXPIRED != 0 {
                return self.end(Err(self.patience.over(&holder)));
            }
            if let Err(error) = self.patience.check(&holder) {
                return self.end(Err(error));
            }
            // What is watched is strong: the wait lives by it.
            let me = self.clone();
            let wake: Wake = Arc::new(move || me.signal(FREED));
            let Some(watch) = self.engine.table.watch(&key, mode, wake) else { continue };
            return self.keep((key.session, watch));
        }
    }

    /// It waits now.
    fn keep(self: &Arc<Self>, watch: (SessionRef, u64)) {
        let mut kept = self.kept.lock();
        kept.watch = Some(watch);
        if kept.timer.is_some() {
            return;
        }
        let at = self.engine.clock.now().ms.saturating_add(millis(self.patience.timeout));
        kept.timer = Some(self.engine.timers.set(at, Box::new(self.signals(EXPIRED))));
        if let Some(ticket) = &self.patience.ticket {
            let (number, cancelled) = ticket.begin(None, Arc::new(self.signals(CANCELLED)));
            kept.ticketed = Some(number);
            drop(kept);
            if cancelled {
                self.signal(CANCELLED);
            }
        }
    }

    fn end(&self, result: Result<T>) {
        let then = self.then.lock().take();
        let kept = std::mem::take(&mut *self.kept.lock());
        if let Some(timer) = kept.timer {
            self.engine.timers.cancel(timer);
        }
        if let Some((session, watch)) = kept.watch {
            self.engine.table.unwatch(session, watch);
        }
        if let (Some(ticket), Some(number)) = (&self.patience.ticket, kept.ticketed) {
            ticket.end(number);
        }
        if let Some(then) = then {
            // This may be the thread that freed the lock, or keeps time: neither falls with somebody's continuation.
            contain::run("the continuation of a wait for a lock", || then(result));
        }
    }
}
