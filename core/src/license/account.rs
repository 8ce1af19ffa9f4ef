//! The books of one pool: counters, holders and records under one lock, exact at every instant.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::crowd::{Candidates, Crowd, Standing, Victims};
use super::ledger::{self, Demand, Verdict};
use super::places::Places;
use super::plain;
use super::queue;
use super::redefine::{Redefinition, redefine};
use super::slack::{Play, Slack};
use super::state::{Decided, State};
use super::waiter::Waiter;
use crate::clock::Millis;
use crate::config::Pool;
use crate::id::SessionId;
use crate::reason::DenyReason;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Mutex, MutexGuard};
use crate::table::{At, Charge, Holder, Leaving, PoolInForce, PoolLevel, PoolUnchanged, SessionRef, Taken, Wake};

/// One pool's books.
pub(crate) struct Account {
    state: Mutex<Running>,
    /// What may be done without them.
    pub(super) slack: Slack,
    /// Somebody's turn has come.
    called: AtomicBool,
    /// Somebody may wait.
    waits: AtomicBool,
    /// One recount at a time.
    pub(super) recounting: Mutex<()>,
}

/// The books and what they go by.
pub(super) struct Running {
    pub(super) defined: Arc<PoolInForce>,
    pub(super) books: State,
    /// Whether the definition lets anything be done without the books.
    bare: bool,
    /// Units that might be given back without them when they were closed; `None`: nothing is done without them.
    given: Option<u64>,
}

impl Running {
    /// From now on nothing is done without the books.
    fn open(&mut self, slack: &Slack) {
        if let Some(given) = self.given.take() {
            let totals = &mut self.books.totals;
            totals.in_use = (totals.in_use + slack.stop()).saturating_sub(given);
        }
    }

    /// What may be done without them may be done again.
    fn close(&mut self, slack: &Slack) {
        if let Some(play) = self.books.play(&self.defined.rules) {
            self.given = Some(play.give);
            slack.allow(play);
        }
    }
}

/// The books, open: nothing is done without them meanwhile.
pub(super) struct Open<'a> {
    slack: &'a Slack,
    state: MutexGuard<'a, Running>,
}

impl Deref for Open<'_> {
    type Target = Running;

    fn deref(&self) -> &Running {
        &self.state
    }
}

impl DerefMut for Open<'_> {
    fn deref_mut(&mut self) -> &mut Running {
        &mut self.state
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.state.close(self.slack);
    }
}

/// What a change of a pool's definition did.
pub(crate) struct Defined {
    /// The one before.
    pub from: Arc<PoolInForce>,
    /// The one in force.
    pub to: Arc<PoolInForce>,
    /// When the first lingering unit is free.
    pub next: Option<Millis>,
}

impl Account {
    pub fn new(pool: Pool) -> Self {
        let defined = Arc::new(PoolInForce::new(pool, 1));
        let places = defined.rules.may_evict().then(Places::whole);
        let books = State::new(defined.rules.audit_records, places);
        let bare = Play::may_be(&defined.rules);
        let state = Mutex::new(Running { defined, books, bare, given: None });
        let (called, waits) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { state, slack: Slack::default(), called, waits, recounting: Mutex::new(()) }
    }

    /// Opens the books.
    pub(super) fn books(&self) -> Open<'_> {
        let mut state = self.state.lock();
        state.open(&self.slack);
        Open { slack: &self.slack, state }
    }

    /// One step under the lock.
    #[inline]
    fn step<T>(&self, work: impl FnOnce(&PoolInForce, &mut State) -> T) -> T {
        let mut state = self.state.lock();
        let state = &mut *state;
        if state.bare {
            state.open(&self.slack);
        }
        let done = work(&state.defined, &mut state.books);
        if state.books.line.has_called() {
            self.called.store(true, Ordering::Release);
        }
        if state.bare {
            state.close(&self.slack);
        }
        done
    }

    /// The definition in force.
    pub fn defined(&self) -> Arc<PoolInForce> {
        self.state.lock().defined.clone()
    }

    /// Goes by another definition, if the present one has this number.
    pub fn redefine(&self, at: At, revision: u64, to: Pool, actor: Option<&str>) -> Result<Defined, PoolUnchanged> {
        let mut state = self.books();
        let from = state.defined.clone();
        if from.revision != revision {
            return Err(PoolUnchanged::Redefined);
        }
        let to = Arc::new(PoolInForce::new(to, revision + 1));
        let books = &mut state.books;
        books.records.keep(to.rules.audit_records);
        let change = Redefinition { from: &from, to: &to, actor, recounted: false };
        let Ok(changed) = redefine(books, at, change);
        match changed {
            Ok(()) => {
                books.records.trim();
                if !to.rules.may_evict() {
                    (books.places, books.candidates) = (None, Candidates::default());
                }
                let next = books.next_free();
                if books.line.has_called() {
                    self.called.store(true, Ordering::Release);
                }
                state.bare = Play::may_be(&to.rules);
                state.defined = to.clone();
                Ok(Defined { from, to, next })
            }
            Err(why) => {
                books.records.keep(from.rules.audit_records);
                Err(PoolUnchanged::Held(why))
            }
        }
    }

    /// Learns where each user's sessions are, of a pool whose sessions may have to go from now on: `scan` finds all sessions
    /// that are charged for users.
    pub fn follow(&self, scan: impl FnOnce() -> Vec<(Arc<str>, u64)>) {
        let _one = self.recounting.lock();
        {
            let Running { defined, books, .. } = &mut *self.books();
            if !defined.rules.may_evict() || books.places.as_ref().is_some_and(|places| places.moved.is_none()) {
                return;
            }
            books.places = Some(Places::partial());
        }
        let found = scan();
        let mut state = self.books();
        if let Some(places) = &mut state.books.places
            && let Some(moved) = places.moved.take()
        {
            for (user, place) in found.iter().filter(|(_, place)| !moved.contains(place)) {
                places.add(user, *place);
            }
        }
    }

    /// Whether units may come and go without the books, or might a moment ago: the first question, as most pools answer no.
    #[inline]
    pub fn is_bare(&self) -> bool {
        self.slack.is_allowed()
    }

    /// Charges one session more without the books, if its unit is all that would be known of it there, and it goes with that;
    /// `false`: nothing changed.
    #[inline]
    pub fn take_bare(&self, demand: &Demand<'_>) -> bool {
        if !self.is_bare() {
            return false;
        }
        let charge = demand.charge;
        let own = matches!(charge.holder, Holder::Session) && charge.client.is_none();
        own && !charge.is_anonymous() && demand.turn.is_none() && self.slack.take()
    }

    /// Frees the unit of a session of which nothing else is known in the books, likewise.
    #[inline]
    pub fn give_bare(&self) -> bool {
        self.slack.give()
    }

    /// Charges one session more that was last used then, if that is simple; `false`: nothing changed.
    #[inline]
    pub fn join(&self, at: At, session: SessionRef, used: Millis, demand: &Demand<'_>) -> bool {
        self.step(|defined, books| {
            let Ok(joined) = plain::join(books, &defined.rules, at, session.id, demand);
            if joined {
                books.joined(session, used, demand.charge);
            }
            joined
        })
    }

    /// Charges one session more that was last used then, or tells why not. `crowd` are the sessions of the pool, of which some
    /// may have to go for it, and whether this is the last time that the demand is made.
    pub fn acquire(
        &self,
        at: At,
        session: SessionRef,
        used: Millis,
        demand: Demand<'_>,
        crowd: (&mut dyn Crowd<State>, bool),
    ) -> Decided {
        self.step(|defined, books| {
            let decided = books.demand(&defined.rules, session, crowd, |books, victims| {
                let Ok(verdict) = ledger::acquire(books, &defined.rules, at, session.id, demand, victims);
                verdict
            });
            if decided.verdict.is_ok() {
                books.joined(session, used, demand.charge);
            }
            decided
        })
    }

    /// Frees what a session was charged that was made then, or lets it linger; tells when the first lingering unit is free.
    pub fn release(&self, at: At, session: SessionRef, charge: &Charge, since: Millis) -> Option<Millis> {
        self.step(|defined, books| {
            let Ok(()) = ledger::release(books, &defined.rules, at, session.id, charge, since);
            books.moves(session, Some(charge), None);
            books.next_free()
        })
    }

    /// Moves a session from one holder to another in one step, or charges one that was not; on a denial nothing changed.
    /// `None` if the pool has another definition than the one that the demand was worked out from.
    pub fn trade(
        &self,
        at: At,
        session: SessionRef,
        from: Option<&Charge>,
        demand: Demand<'_>,
        revision: u64,
        crowd: (&mut dyn Crowd<State>, bool),
    ) -> Option<Decided> {
        self.step(|defined, books| {
            if defined.revision != revision {
                return None;
            }
            let decided = books.demand(&defined.rules, session, crowd, |books, victims| {
                let Ok(verdict) = match from {
                    Some(from) => ledger::trade(books, &defined.rules, at, session.id, from, demand, victims),
                    None => ledger::acquire(books, &defined.rules, at, session.id, demand, victims),
                };
                verdict
            });
            if decided.verdict.is_ok() {
                books.moves(session, from, Some(demand.charge));
                if from.is_none_or(|from| from.class != demand.charge.class) {
                    // Its last use is found out when it is looked at.
                    books.candidates.arrived(false, Standing { used: 0, made: 0, place: session.place });
                }
            }
            Some(decided)
        })
    }

    /// Charges a feature that a session takes, or tells why not; `takes` is told then, and answers all that it has taken.
    /// `None` as in [`trade`](Self::trade).
    pub fn take<'t>(
        &self,
        at: At,
        session: SessionId,
        demand: Demand<'_>,
        revision: u64,
        takes: impl FnOnce() -> &'t [Taken],
    ) -> Option<Verdict> {
        self.step(|defined, books| {
            if defined.revision != revision {
                return None;
            }
            let none = &mut Victims::none();
            let Ok(verdict) = ledger::acquire(books, &defined.rules, at, session, demand, none);
            Some(verdict.inspect(|()| books.note_takes(session, demand.charge.pool, takes())))
        })
    }

    /// Frees what a session took, or lets it linger; `left` is all that it has taken afterwards. Tells when the first
    /// lingering unit is free.
    pub fn give_back(&self, at: At, session: SessionId, taken: &Taken, left: &[Taken]) -> Option<Millis> {
        self.step(|defined, books| {
            let (charge, since) = (taken.charge(), taken.since);
            let Ok(()) = ledger::give_back(books, &defined.rules, at, session, &charge, since, taken.count);
            books.note_takes(session, taken.pool, left);
            books.next_free()
        })
    }

    /// Begins to wait; tells the number of the place, or that the queue is full.
    pub fn join_queue(&self, at: At, waiter: &Waiter, from: Option<&Charge>, wake: Wake) -> Result<u64, DenyReason> {
        self.waits.store(true, Ordering::Release);
        self.step(|defined, books| {
            let Ok(joined) = queue::join(books, &defined.rules, at, waiter, from);
            joined.inspect(|seq| {
                books.line.set_wake(*seq, wake);
                let Ok(ripe) = ledger::expire(books, &defined.rules, at);
                books.ripe = ripe;
            })
        })
    }

    /// Stops waiting.
    pub fn leave_queue(&self, at: At, seq: u64, how: Leaving) -> bool {
        self.step(|defined, books| {
            let Ok(left) = queue::leave(books, &defined.rules, at, seq, how);
            left
        })
    }

    /// Calls those who wait for a session that ended.
    pub fn dismiss(&self, at: At, session: SessionId) {
        if !self.waits.load(Ordering::Acquire) {
            return;
        }
        self.step(|defined, books| {
            if books.totals.waiting == 0 {
                // Under the lock: whoever joins sets it anew before it takes the lock.
                self.waits.store(false, Ordering::Release);
            }
            for seq in books.line.places_of(session) {
                let Ok(()) = queue::dismiss(books, &defined.rules, at, seq);
            }
        });
    }

    /// Whether there are such wake-ups, or were a moment ago.
    #[inline]
    pub fn has_called(&self) -> bool {
        self.called.load(Ordering::Acquire)
    }

    /// The wake-ups of those whose turn has come since the last call.
    pub fn take_called(&self) -> Vec<Wake> {
        if !self.has_called() || !self.called.swap(false, Ordering::AcqRel) {
            return Vec::new();
        }
        self.books().books.line.take_called()
    }

    /// The place of one who waits: how many come first, plus one.
    pub fn position(&self, seq: u64) -> Option<u64> {
        self.books().books.line.position(seq)
    }

    /// Those who wait, in the order of their turns.
    pub fn waiters(&self, skip: usize, limit: usize) -> Vec<Waiter> {
        self.books().books.line.list(skip, limit)
    }

    /// Frees what has lingered long enough.
    pub fn expire(&self, at: At) {
        self.step(|defined, books| {
            let Ok(ripe) = ledger::expire(books, &defined.rules, at);
            books.ripe = ripe;
        });
    }

    /// When the first lingering unit is free.
    pub fn next_free(&self) -> Option<Millis> {
        self.books().books.next_free()
    }

    /// Changes of level since the last call.
    pub fn take_levels(&self) -> Vec<(PoolLevel, u64)> {
        std::mem::take(&mut self.books().books.levels)
    }
}
