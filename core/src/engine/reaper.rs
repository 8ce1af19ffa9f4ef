//! The one thread that keeps time, and the one that watches it.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::sync::{Condvar, Mutex};

use super::Engine;
use crate::clock::{Driven, Millis, NEVER};
use crate::event::dispatch_config::start_thread;
use crate::event::{ThreadHooks, current};

/// Sessions that one step claims.
const BATCH: usize = 64;
/// A reaper that is later than this is stalled.
const STALLED: Duration = Duration::from_millis(500);
/// How long `stats` says `degraded` after a restart.
const DEGRADED: Duration = Duration::from_secs(10);
/// The longest sleep while something is due some day: a suspended machine moves absolute deadlines nearer.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
/// The system's clock is coarse: what is due at an instant is seen a little later.
const COARSE: Duration = Duration::from_millis(4);

/// The state of the time-keeping thread.
pub(crate) struct Reaper {
    plan: Mutex<Plan>,
    changed: Condvar,
    watched: Condvar,
    started: AtomicBool,
}

#[derive(Default)]
struct Plan {
    /// Which reaper thread is the right one.
    epoch: u64,
    /// Rung since the reaper last looked, and when first.
    rung: Option<Instant>,
    /// When it wants to wake; `None` when nothing is due.
    wake: Option<Instant>,
    /// When it began the step that it is in.
    busy: Option<Instant>,
    /// The watchdog started it, and it has not come through its first step: whatever holds that up would hold up another
    /// one as well.
    unproven: bool,
    stop: bool,
    stalled: bool,
    restarts: u64,
    degraded: Option<(Instant, String)>,
    threads: Vec<std::thread::JoinHandle<()>>,
    hooks: Option<Arc<dyn ThreadHooks>>,
}

/// How the reaper does.
pub(crate) struct Health {
    pub state: &'static str,
    pub degraded: Option<String>,
    pub restarts: u64,
}

impl Reaper {
    pub fn new() -> Self {
        Self {
            plan: Mutex::default(),
            changed: Condvar::new(),
            watched: Condvar::new(),
            started: AtomicBool::new(false),
        }
    }

    /// Something earlier than all before was filed.
    pub fn ring(&self) {
        let mut plan = self.plan.lock();
        if plan.rung.is_none() {
            plan.rung = Some(Instant::now());
            self.changed.notify_one();
            self.watched.notify_one();
        }
    }

    pub fn start(&self, engine: &Weak<Engine>) {
        if self.started.load(Ordering::Acquire) || self.started.swap(true, Ordering::AcqRel) {
            return;
        }
        // Not under the lock: a drop of the last engine would take it.
        let hooks = engine.upgrade().and_then(|engine| engine.config.thread_hooks.clone());
        let mut plan = self.plan.lock();
        if plan.stop {
            return;
        }
        plan.hooks = hooks;
        // The first look finds whatever was filed before there was a thread.
        plan.rung = Some(Instant::now());
        spawn_reaper(&mut plan, engine.clone());
        let watcher = engine.clone();
        spawn(&mut plan, "lses-watchdog", move || watch(&watcher));
    }

    /// Stops both threads; with `join` waits for them, unless it is called on one of them.
    pub fn stop(&self, join: bool) {
        let threads = {
            let mut plan = self.plan.lock();
            plan.stop = true;
            plan.epoch += 1;
            plan.stalled = false;
            self.changed.notify_all();
            self.watched.notify_all();
            std::mem::take(&mut plan.threads)
        };
        if join {
            let me = std::thread::current().id();
            for thread in threads {
                if thread.thread().id() != me && thread.join().is_err() {
                    log::error!(target: "libsession", "a time-keeping thread had panicked");
                }
            }
        }
    }

    /// What is due can't be ended, and why.
    pub fn degrade(&self, text: String) {
        self.plan.lock().degraded = Some((Instant::now(), text));
    }

    /// Another step of a long sweep.
    fn beat(&self) {
        let mut plan = self.plan.lock();
        if plan.busy.is_some() {
            plan.busy = Some(Instant::now());
        }
        self.came_through(&mut plan);
    }

    /// A step was done.
    fn came_through(&self, plan: &mut Plan) {
        if std::mem::take(&mut plan.unproven) {
            self.watched.notify_one();
        }
    }

    /// For tests: the running thread stops looking until it is told to go on.
    pub fn stall(&self, stall: bool) {
        let mut plan = self.plan.lock();
        plan.stalled = stall;
        self.changed.notify_all();
    }

    pub fn health(&self, threads: bool) -> Health {
        let plan = self.plan.lock();
        let now = Instant::now();
        let degraded = plan.degraded.as_ref();
        let late = late(&plan, now);
        let state = if plan.stop {
            "closed"
        } else if !threads {
            "none"
        } else if late || degraded.is_some_and(|(since, _)| now.duration_since(*since) < DEGRADED) {
            "degraded"
        } else {
            "running"
        };
        // Late, and the watchdog did not come by yet.
        let stalled = || (late && state == "degraded").then(|| "the reaper is stalled".to_owned());
        Health { state, degraded: degraded.map(|(_, text)| text.clone()).or_else(stalled), restarts: plan.restarts }
    }
}

fn late(plan: &Plan, now: Instant) -> bool {
    due(plan).is_some_and(|due| now.saturating_duration_since(due) >= STALLED)
}

/// When the reaper should have been seen at work: while it works each step counts anew.
fn due(plan: &Plan) -> Option<Instant> {
    plan.busy.or_else(|| plan.rung.into_iter().chain(plan.wake).min())
}

/// Starts a thread; tells whether that was possible.
fn spawn(plan: &mut Plan, name: &str, body: impl FnOnce() + Send + 'static) -> bool {
    match start_thread(plan.hooks.as_ref(), name, body) {
        Ok(thread) => {
            plan.threads.push(thread);
            true
        }
        Err(error) => {
            log::error!(target: "libsession", "the thread {name} can't be started: {error}");
            plan.degraded = Some((Instant::now(), format!("the thread {name} can't be started: {error}")));
            false
        }
    }
}

fn spawn_reaper(plan: &mut Plan, engine: Weak<Engine>) -> bool {
    plan.epoch += 1;
    let epoch = plan.epoch;
    spawn(plan, "lses-reaper", move || keep_time(&engine, epoch))
}

thread_local! {
    static REAPS: Cell<bool> = const { Cell::new(false) };
}

/// Whether this is a reaper's thread: no callback runs on it, as it would hold up all ends.
pub(super) fn reaps_here() -> bool {
    REAPS.get()
}

/// The reaper's thread: does what is due, sleeps until the next instant.
fn keep_time(engine: &Weak<Engine>, mut epoch: u64) {
    REAPS.set(true);
    loop {
        let Some(strong) = engine.upgrade() else { return };
        let reaper = strong.reaper.clone();
        {
            let mut plan = reaper.plan.lock();
            while plan.stalled && plan.epoch == epoch && !plan.stop {
                reaper.changed.wait(&mut plan);
            }
            if plan.stop || plan.epoch != epoch {
                return;
            }
            plan.rung = None;
            plan.busy = Some(Instant::now());
        }
        if catch_unwind(AssertUnwindSafe(|| strong.look_up())).is_err() {
            log::error!(target: "libsession", "a sweep panicked; the next one goes on");
        }
        let sleep = strong.until_due();
        // From here on nothing keeps the manager alive while this thread sleeps.
        drop(strong);
        let mut plan = reaper.plan.lock();
        if plan.epoch != epoch {
            if !plan.unproven || plan.stop {
                return;
            }
            // The one that was started in its place is held up still: this one goes on, and that one leaves.
            plan.epoch += 1;
            epoch = plan.epoch;
        }
        reaper.came_through(&mut plan);
        plan.busy = None;
        plan.wake = None;
        if plan.rung.is_none() {
            let wake = sleep.map(|sleep| Instant::now() + sleep.min(LONGEST_SLEEP) + COARSE);
            plan.wake = wake;
            reaper.watched.notify_one();
            while plan.rung.is_none() && !plan.stop && plan.epoch == epoch {
                match wake {
                    Some(wake) => {
                        if reaper.changed.wait_until(&mut plan, wake).timed_out() {
                            break;
                        }
                    }
                    None => reaper.changed.wait(&mut plan),
                }
            }
        }
        if plan.stop || plan.epoch != epoch {
            return;
        }
    }
}

/// The watchdog's thread: sees a reaper that is late and starts another.
fn watch(engine: &Weak<Engine>) {
    loop {
        let Some(strong) = engine.upgrade() else { return };
        let reaper = strong.reaper.clone();
        drop(strong);
        let mut plan = reaper.plan.lock();
        if plan.stop {
            return;
        }
        let now = Instant::now();
        if late(&plan, now) && plan.unproven {
            reaper.watched.wait(&mut plan);
            continue;
        }
        if late(&plan, now) {
            let text = "the reaper was stalled; another one was started".to_owned();
            log::error!(target: "libsession", "{text}");
            plan.degraded = Some((now, text));
            plan.restarts += 1;
            plan.stalled = false;
            plan.busy = None;
            plan.wake = None;
            plan.rung = Some(now);
            plan.unproven = spawn_reaper(&mut plan, engine.clone());
            reaper.changed.notify_all();
            continue;
        }
        match due(&plan) {
            Some(due) => {
                reaper.watched.wait_until(&mut plan, due + STALLED);
            }
            None => reaper.watched.wait(&mut plan),
        }
    }
}

impl Driven for Engine {
    fn next_due(&self) -> Option<Millis> {
        if self.forked() {
            return None;
        }
        let table = self.table.next_due(self.clock.now()).filter(|next| *next < NEVER);
        // What failed a moment ago is due when it is tried again.
        let table = table.map(|next| next.max(self.retry.claim.again().unwrap_or(0)));
        table.into_iter().chain(self.timers.next_due()).chain(self.retry.outbox.again()).min()
    }

    fn run_due(&self) {
        if self.forked() {
            return;
        }
        if self.retry.claim.waits(|| self.clock.now().ms) {
            self.pump();
        } else if let Err(error) = self.sweep() {
            self.claim_failed(&error);
        }
        self.timers.fire(self.clock.now().ms);
    }

    fn settle(&self, until: Instant) -> usize {
        if self.forked() {
            return 0;
        }
        if self.outlives {
            // Other processes may have written rows for this one.
            self.pump();
        }
        self.dispatcher.settle(until)
    }

    fn unsettled(&self) -> u64 {
        if self.forked() || !self.outlives { 0 } else { self.table.unsettled().unwrap_or(0) }
    }

    fn delivering(&self) -> u64 {
        self.delivering.load(Ordering::SeqCst)
    }

    fn stands(&self) {
        if self.outlives {
            self.reaper.ring();
        }
    }
}

impl Engine {
    /// What the time-keeping thread does when it wakes. A manual clock is kept by whoever advances it; if that is another
    /// process, callbacks and their deadlines are still this one's.
    fn look_up(&self) {
        match self.clock.manual() {
            None => self.run_due(),
            Some(_) if self.forked() => {}
            Some(manual) => manual.if_still(|| {
                self.timers.fire(self.clock.now().ms);
                self.pump();
            }),
        }
    }

    /// How long the time-keeping thread may sleep; `None` until it is rung.
    fn until_due(&self) -> Option<Duration> {
        if self.clock.manual().is_some() {
            return None;
        }
        let now = self.clock.now().ms;
        self.next_due().map(|next| Duration::from_millis(next.saturating_sub(now)))
    }

    /// Ends and asks whatever is due; tells how many sessions it ended.
    fn sweep(&self) -> crate::Result<usize> {
        let mut ended = 0;
        loop {
            let claim = match self.table.claim_due(self.at(), BATCH) {
                Ok(claim) => claim,
                Err(error) => {
                    self.pump();
                    return Err(error);
                }
            };
            self.claim_worked();
            ended += claim.ended;
            for ask in &claim.asks {
                self.ask_expiring(ask);
            }
            self.pump();
            if !claim.more {
                return Ok(ended);
            }
            self.reaper.beat();
        }
    }

    pub fn reap_now(&self) -> crate::Result<usize> {
        self.enter()?;
        let ended = self.sweep()?;
        self.timers.fire(self.clock.now().ms);
        Ok(ended)
    }

    pub fn tick(&self) -> crate::Result<Option<Duration>> {
        self.enter()?;
        if current::inside(self.id) {
            return Err(crate::Error::new(crate::ErrorKind::Reentrant, "tick can't be called inside a callback"));
        }
        self.run_due();
        self.dispatcher.dispatch(usize::MAX, Duration::ZERO)?;
        let now = self.clock.now().ms;
        Ok(self.next_due().map(|next| Duration::from_millis(next.saturating_sub(now))))
    }
}
