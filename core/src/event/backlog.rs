//! Everything that waits or runs, behind the dispatcher's one lock, under which no code of others ever runs.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::thread::JoinHandle;

use super::call::{Call, is_on_this_thread};
use super::class::ClassRef;
use super::dispatch_config::DispatchConfig;
use super::dispatch_stats::{CallbackOutcome, DispatchReport};
use super::id_hash::IdMap;
use super::lane::{Lanes, Taker};
use super::pool::{Crew, Pool};
use crate::clock::Millis;
use crate::reason::EventKind;

/// Calls whose handler returned without an answer, at most, before new ones wait.
const MAX_PENDING: usize = 1024;
/// Outcomes that are remembered for receipts.
const MAX_OUTCOMES: usize = 4096;

/// How one delivery went.
pub(crate) struct Outcome {
    pub event_id: u64,
    pub class: ClassRef,
    pub kind: EventKind,
    pub text: Cow<'static, str>,
}

/// See the module.
pub(crate) struct Backlog {
    pub lanes: Lanes,
    /// Deliveries under way, by deadline.
    pub calls: BTreeMap<(Millis, u64), Arc<Call>>,
    /// Asks, also those that wait for a thread, by deadline.
    pub asks: BTreeMap<(Millis, u64), Arc<Call>>,
    /// Asks that somebody waits for.
    pub urgent: VecDeque<Arc<Call>>,
    /// Asks that nobody waits for.
    pub later: VecDeque<Arc<Call>>,
    /// Asks for `dispatch`.
    pub polled: VecDeque<Arc<Call>>,
    pub pools: [Pool; 2],
    /// What was taken out of here, and is neither a call nor done.
    pub busy: usize,
    /// Callbacks that were given up on threads of others.
    pub astray: usize,
    /// Deliveries that had been taken when it closed, and did not begin.
    pub missed: usize,
    /// Who waits for [`Dispatcher::idle`](super::dispatcher::Dispatcher).
    pub watchers: usize,
    /// How many deliveries of an event are not done.
    pub open: IdMap<u64, u32>,
    pub outcomes: VecDeque<Outcome>,
    /// Calls whose events are to be dropped after the lock is released: their destructors may call back.
    pub garbage: Vec<Arc<Call>>,
    /// Whether the poll queue's waker was called since it was last found empty.
    pub rang: bool,
    pub closing: bool,
    pub closed: bool,
    pub report: Option<DispatchReport>,
    pub threads: HashMap<u64, JoinHandle<()>>,
    /// Threads that are about to end.
    pub exited: Vec<u64>,
    pub last_thread: u64,
    has_workers: bool,
    most_asks: usize,
}

/// Who is to be woken after the lock is released.
#[derive(Default)]
#[must_use]
pub(crate) struct Wake {
    pub spawn: [bool; 2],
    pub notify: [bool; 2],
    pub poll: bool,
    pub ring: bool,
    pub idle: bool,
    /// Dropped with this: what calls own may have destructors of its own.
    #[expect(dead_code, reason = "held to be dropped after the lock is released")]
    pub garbage: Vec<Arc<Call>>,
}

impl Backlog {
    pub fn new(config: &DispatchConfig) -> Self {
        let pool = |target: usize| Pool::new(target.max(1), config.max_stuck);
        Self {
            lanes: Lanes::new(config.own_threads, config.queue),
            calls: BTreeMap::new(),
            asks: BTreeMap::new(),
            urgent: VecDeque::new(),
            later: VecDeque::new(),
            polled: VecDeque::new(),
            pools: [pool(config.workers), pool(config.decider_workers)],
            busy: 0,
            astray: 0,
            missed: 0,
            watchers: 0,
            open: IdMap::default(),
            outcomes: VecDeque::new(),
            garbage: Vec::new(),
            rang: false,
            closing: false,
            closed: false,
            report: None,
            threads: HashMap::new(),
            exited: Vec::new(),
            last_thread: 0,
            has_workers: config.own_threads,
            most_asks: config.queue.max(MAX_PENDING),
        }
    }

    pub fn pool(&mut self, crew: Crew) -> &mut Pool {
        &mut self.pools[crew as usize]
    }

    /// Whether there is work that a thread of this crew may take.
    pub fn has_work(&self, crew: Crew) -> bool {
        match crew {
            Crew::Notify => self.lanes.is_ready(Taker::Worker) && self.calls.len() < MAX_PENDING,
            Crew::Decide => !self.urgent.is_empty() || !self.later.is_empty(),
        }
    }

    pub fn has_polled(&self) -> bool {
        !self.polled.is_empty() || self.lanes.is_ready(Taker::Poll)
    }

    /// Who has to be woken, as things are now. Called at the end of every step under the lock.
    pub fn wake(&mut self) -> Wake {
        let mut wake = Wake { idle: self.watchers > 0, garbage: std::mem::take(&mut self.garbage), ..Wake::default() };
        for crew in Crew::ALL {
            if self.has_workers && !self.closed && self.has_work(crew) {
                let pool = self.pool(crew);
                if pool.idle > 0 {
                    wake.notify[crew as usize] = !std::mem::replace(&mut pool.waking, true);
                } else if pool.may_grow() {
                    pool.alive += 1;
                    wake.spawn[crew as usize] = true;
                }
            }
        }
        wake.poll = self.has_polled();
        wake.ring = wake.poll && !self.rang;
        self.rang |= wake.poll;
        wake
    }

    /// Queues an ask; gives it back if too many wait.
    pub fn queue_ask(&mut self, call: Arc<Call>, queue: fn(&mut Self) -> &mut VecDeque<Arc<Call>>) -> bool {
        let most = self.most_asks;
        let queue = queue(self);
        let mut given_up = VecDeque::new();
        if queue.len() >= most {
            let (done, live) = queue.drain(..).partition(|call| call.completed());
            given_up = done;
            *queue = live;
        }
        let fits = queue.len() < most;
        if fits {
            queue.push_back(call);
        }
        self.garbage.extend(given_up);
        fits
    }

    /// The calls whose deadline has come.
    pub fn overdue(&self, now: Millis) -> Vec<Arc<Call>> {
        let due = ..=(now, u64::MAX);
        self.calls.range(due).chain(self.asks.range(due)).map(|(_, call)| call.clone()).collect()
    }

    /// The earliest deadline that is yet to come.
    pub fn next_deadline(&self, now: Millis) -> Option<Millis> {
        let later = (now + 1, 0)..;
        let first = |calls: &BTreeMap<(Millis, u64), _>| calls.range(later.clone()).next().map(|(key, _)| key.0);
        [first(&self.calls), first(&self.asks)].into_iter().flatten().min()
    }

    /// Threads that should end by themselves.
    pub fn mobile(&self) -> usize {
        self.pools.iter().map(|pool| pool.alive - pool.stuck).sum()
    }

    /// Detaches threads that ended, but for those that have not been put down yet.
    pub fn forget_exited(&mut self) {
        let threads = &mut self.threads;
        self.exited.retain(|id| threads.remove(id).is_none());
    }

    /// Whether nothing runs or will run by itself, callbacks that said they hang left out.
    ///
    /// What runs on this thread does not count: `own` of what is busy, and its calls.
    pub fn is_settled(&self, own: usize) -> bool {
        let runs = |call: &Arc<Call>| call.started() && !call.hung() && !is_on_this_thread(call.id);
        if self.busy > own || self.calls.values().chain(self.asks.values()).any(runs) {
            return false;
        }
        let hung = |crew| self.calls.values().chain(self.asks.values()).filter(|call| call.hangs_on(crew)).count();
        !Crew::ALL.into_iter().any(|crew| self.has_work(crew) && self.pools[crew as usize].has_hands(hung(crew)))
    }

    /// Callbacks that run, hung and given up ones included.
    pub fn running(&self) -> usize {
        let asks = self.asks.values().filter(|call| call.started()).count();
        self.calls.len() + asks + self.stuck() + self.astray
    }

    pub fn stuck(&self) -> usize {
        self.pools.iter().map(|pool| pool.stuck).sum()
    }

    /// One delivery of an event is done.
    pub fn record(&mut self, outcome: Outcome) {
        if let Some(open) = self.open.get_mut(&outcome.event_id) {
            *open -= 1;
            if *open == 0 {
                self.open.remove(&outcome.event_id);
            }
        }
        if self.outcomes.len() >= MAX_OUTCOMES {
            self.outcomes.pop_front();
        }
        self.outcomes.push_back(outcome);
    }

    pub fn outcomes_of(&self, event_id: u64) -> Vec<CallbackOutcome> {
        let of_event = self.outcomes.iter().filter(|outcome| outcome.event_id == event_id);
        of_event
            .map(|outcome| CallbackOutcome {
                class: outcome.class.clone(),
                kind: outcome.kind,
                outcome: outcome.text.clone().into_owned(),
            })
            .collect()
    }
}
