//! Who waits: whose turn it is, units set aside, claims, time that is over.

use libsession_core::{AuditKind, AuditWhy};

use super::Model;
use super::admit::Ask;
use super::moves::{Outcome, Wish};
use super::pool::Rank;
use super::session::Holder;

/// How often who is first asks whether somebody can go for it; who stands behind so many times as seldom.
const AGAIN: u64 = 1000;
const SELDOM: u64 = 60;

/// Those who may all take the same units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    Of(Rank),
    Anonymous,
}

/// Units that are set aside.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    pub units: u64,
    /// Those of them that count as reserved.
    pub reserved: u64,
}

/// One who waits.
#[derive(Clone)]
pub struct Waiter {
    /// The number of its place, of all pools.
    pub place: u64,
    pub ask: Ask,
    pub wish: Wish,
    /// Units that come free as its session leaves its holder, as it was when it came or tried last.
    pub gives: u64,
    pub deadline: u64,
    /// When it looks again whether somebody can go for it.
    again: Option<u64>,
    /// In which order its two timers were set.
    set: [u64; 2],
    pub offer: Option<Offer>,
    /// Its session ended: nothing is set aside for it any more.
    pub is_over: bool,
}

/// Somebody whose turn it is and who can't be served.
pub struct Blocked {
    place: u64,
    lane: Lane,
    priority: i8,
    /// It lacks units that are set apart for nobody.
    common: bool,
}

impl Model {
    /// Tries, and waits if there is nothing now and it may; tells what it came to, or the number of the place.
    pub fn want(&mut self, wish: Wish, wait: u64, priority: i8) -> Result<Outcome, u64> {
        let ask = self.ask(&wish, priority).filter(|ask| wait > 0 && ask.rank != Rank::Excluded);
        let Some(ask) = ask else { return Ok(self.last(&wish, priority)) };
        if let Ok(outcome) = self.attempt(&wish, priority, None, false) {
            return Ok(outcome);
        }
        self.tidy(ask.pool);
        if self.pools[ask.pool].line.len() as u64 >= u64::from(self.pools[ask.pool].rules.queue) {
            return Ok(self.last(&wish, priority));
        }
        let gives = self.gives(&ask);
        self.places += 1;
        let (place, pool) = (self.places, ask.pool);
        self.note(pool, AuditKind::Queue, (self.who(&ask), &ask.holder), self.in_use(pool), AuditWhy::Nothing);
        let (deadline, set) = (self.now + wait, [self.next_timer(), 0]);
        let line = &mut self.pools[pool].line;
        let turn = line.iter().position(|other| other.ask.priority < priority).unwrap_or(line.len());
        line.insert(turn, Waiter { place, ask, wish, gives, deadline, again: None, set, offer: None, is_over: false });
        self.serve(pool);
        self.look_again_later(pool, place);
        Err(place)
    }

    fn last(&mut self, wish: &Wish, priority: i8) -> Outcome {
        self.attempt(wish, priority, None, true).expect("the last word")
    }

    fn next_timer(&mut self) -> u64 {
        self.timers += 1;
        self.timers
    }

    /// Units that would come free as the session leaves its holder.
    fn gives(&self, ask: &Ask) -> u64 {
        let Some(number) = ask.session.filter(|_| !ask.feature) else { return 0 };
        let mut gone = self.clone();
        gone.leave_holder(number);
        self.in_use(ask.pool) - gone.in_use(ask.pool)
    }

    fn look_again_later(&mut self, pool: usize, place: u64) {
        let set = self.next_timer();
        let (now, may_evict) = (self.now, self.pools[pool].may_evict());
        let line = &mut self.pools[pool].line;
        let Some(position) = line.iter().position(|waiter| waiter.place == place) else { return };
        if may_evict {
            line[position].again = Some(now + AGAIN * (position as u64 + 1).min(SELDOM));
            line[position].set[1] = set;
        }
    }

    /// Sets units aside for those whose turn it is, as long as there are any; tells who can't be served.
    pub fn serve(&mut self, pool: usize) -> Vec<Blocked> {
        let mut blocked: Vec<Blocked> = Vec::new();
        let waiting = self.pools[pool].line.iter().filter(|waiter| waiter.offer.is_none() && !waiter.is_over);
        for waiter in waiting.cloned().collect::<Vec<_>>() {
            let lane = waiter.ask.lane();
            if blocked.iter().any(|other| other.lane == lane) {
                continue;
            }
            let lacks_common = blocked.iter().any(|other| other.common);
            match self.offer(&waiter, lacks_common) {
                Ok(offer) => {
                    let before = self.in_use(pool);
                    let why = if self.given.is_empty() { AuditWhy::Nothing } else { AuditWhy::Reclaimed };
                    let taken: u64 = self.given.iter().map(|given| given.units).sum();
                    let before = self.note_given(pool, before + taken);
                    let line = &mut self.pools[pool].line;
                    let waiting = line.iter_mut().find(|other| other.place == waiter.place).expect("it waits");
                    waiting.offer = Some(offer);
                    self.called.push((pool, waiter.place));
                    self.settle(pool);
                    if offer.units > 0 {
                        self.note(pool, AuditKind::Offer, (self.who(&waiter.ask), &waiter.ask.holder), before, why);
                    }
                }
                Err(common) => {
                    blocked.push(Blocked { place: waiter.place, lane, priority: waiter.ask.priority, common });
                }
            }
        }
        blocked
    }

    /// What can be set aside for a waiter, or whether it lacks units that are for all.
    fn offer(&mut self, waiter: &Waiter, lacks_common: bool) -> Result<Offer, bool> {
        // Whoever has to go for it goes when it comes for it: nobody is ended for an offer.
        let ask = Ask { feature: true, ..waiter.ask.clone() };
        let pool = ask.pool;
        self.given.clear();
        let wanted = self.lacks(&ask).saturating_sub(waiter.gives);
        if wanted == 0 {
            return Ok(Offer { units: 0, reserved: 0 });
        }
        if ask.anonymous()
            && self.pools[pool].rules.anonymous_cap.is_some_and(|cap| self.anonymous(pool) + wanted > cap)
        {
            return Err(false);
        }
        let room = self.room(pool, self.pools[pool].rules.capacity, ask.rank);
        if lacks_common && room.own.min(room.free) < wanted {
            return Err(true);
        }
        let before = self.clone();
        match self.make_room(&ask, [&ask.holder, &Holder::Nobody], wanted, 0) {
            Ok(room) => Ok(Offer { units: wanted, reserved: room.reserved(ask.rank, wanted) }),
            Err(_) => {
                *self = before;
                Err(true)
            }
        }
    }

    /// Units that a holder lacks for so many connections more; none if there may not be so many.
    fn lacks(&self, ask: &Ask) -> u64 {
        if !ask.holder.is_counted() {
            return 1;
        }
        let pool = &self.pools[ask.pool];
        let connections = self.connections(ask.pool, &ask.holder) + ask.count;
        let held = pool.held.get(&ask.holder);
        let (needed, units) = held.map_or((0, 0), |held| (held.needed, held.units()));
        if connections > pool.most() { 0 } else { pool.units(connections, needed).saturating_sub(units) }
    }

    /// Who comes before somebody and can't be served.
    pub fn blocked(&mut self, pool: usize, place: Option<u64>, priority: i8) -> Vec<Blocked> {
        let blocked = self.serve(pool);
        let turn = |place: u64| self.pools[pool].line.iter().position(|waiter| waiter.place == place);
        let comes_first = |other: &Blocked| match place {
            Some(place) => turn(other.place) < turn(place),
            None => other.priority >= priority,
        };
        blocked.into_iter().filter(comes_first).collect()
    }

    /// Whether what somebody wants is for others who come first.
    pub fn is_behind(&self, blocked: &[Blocked], ask: &Ask, wanted: u64) -> bool {
        let room = self.room(ask.pool, self.pools[ask.pool].rules.capacity, ask.rank);
        let takes_common = room.own.min(room.free) < wanted;
        blocked.iter().any(|first| first.lane == ask.lane() || (first.common && takes_common))
    }

    /// What was set aside for one who could not take it is for all again, and it waits on.
    pub fn withdraw(&mut self, pool: usize, place: Option<u64>, gives: u64) {
        let before = self.in_use(pool);
        let line = &mut self.pools[pool].line;
        if let Some(waiter) = line.iter_mut().find(|waiter| Some(waiter.place) == place) {
            waiter.gives = gives;
            let (had, ask) = (waiter.offer.take(), waiter.ask.clone());
            self.settle(pool);
            if had.is_some_and(|had| had.units > 0) {
                self.note(pool, AuditKind::Withdraw, (self.who(&ask), &ask.holder), before, AuditWhy::Nothing);
            }
        }
    }

    /// Everybody comes whose turn it is, and whoever's turn that makes it.
    pub fn claim_all(&mut self) {
        for pool in 0..self.pools.len() {
            let called = std::mem::take(&mut self.called);
            let (mine, others) = called.into_iter().partition(|(of, _)| *of == pool);
            self.called = others;
            for (pool, place) in mine {
                self.come(pool, place, false);
            }
        }
    }

    /// Somebody who waits tries again; when its time is over, for the last time.
    pub fn come(&mut self, pool: usize, place: u64, over: bool) {
        let Some(waiter) = self.pools[pool].line.iter().find(|waiter| waiter.place == place).cloned() else { return };
        let outcome = match self.attempt(&waiter.wish, waiter.ask.priority, Some(place), false) {
            Ok(outcome) => outcome,
            Err(()) if !over => {
                self.look_again_later(pool, place);
                return self.claim_all();
            }
            Err(()) => {
                self.leave_line(pool, place, AuditWhy::Nothing);
                self.last(&waiter.wish, waiter.ask.priority)
            }
        };
        // What it waited for it may have got in another way, or it is over.
        self.leave_line(pool, place, AuditWhy::Cancelled);
        self.finished.push((place, outcome));
        self.claim_all();
    }

    /// Somebody won't wait any longer.
    pub fn cancel(&mut self, place: u64) {
        let waits = |pool: &usize| self.pools[*pool].line.iter().any(|waiter| waiter.place == place);
        if let Some(pool) = (0..self.pools.len()).find(waits) {
            self.leave_line(pool, place, AuditWhy::Cancelled);
            self.finished.push((place, Outcome::Cancelled));
        }
    }

    /// Who waits for a session that ended, or within a request of it that is over, waits no more.
    pub fn dismiss_waits(&mut self, session: usize, request: Option<usize>) {
        for pool in 0..self.pools.len() {
            let waits = self.pools[pool].line.iter().filter(|waiter| match waiter.wish.request() {
                Some((number, within)) => number == session && request.is_none_or(|over| over == within),
                None => false,
            });
            let mut places: Vec<u64> = waits.map(|waiter| waiter.place).collect();
            places.sort_unstable();
            if request.is_none() {
                places.iter().for_each(|place| self.pass_over(pool, *place));
            }
            for place in places {
                self.leave_line(pool, place, AuditWhy::Cancelled);
                self.finished.push((place, Outcome::Gone));
            }
        }
    }

    /// What was set aside for one whose session is over is for others.
    fn pass_over(&mut self, pool: usize, place: u64) {
        let before = self.in_use(pool);
        let line = &mut self.pools[pool].line;
        let Some(waiter) = line.iter_mut().find(|waiter| waiter.place == place) else { return };
        waiter.is_over = true;
        let (had, ask) = (waiter.offer.take(), waiter.ask.clone());
        if had.is_some_and(|had| had.units > 0) {
            self.settle(pool);
            self.note(pool, AuditKind::Withdraw, (self.who(&ask), &ask.holder), before, AuditWhy::Nothing);
        }
        self.tidy(pool);
    }

    /// Somebody waits no more.
    pub fn leave_line(&mut self, pool: usize, place: u64, why: AuditWhy) {
        let before = self.in_use(pool);
        let line = &mut self.pools[pool].line;
        let Some(position) = line.iter().position(|waiter| waiter.place == place) else { return };
        let waiter = line.remove(position);
        self.settle(pool);
        // Of one whose denial is noted no more is to be told.
        if why != AuditWhy::Nothing || waiter.offer.is_some_and(|offer| offer.units > 0) {
            self.note(pool, AuditKind::Leave, (self.who(&waiter.ask), &waiter.ask.holder), before, why);
        }
        self.tidy(pool);
    }

    /// The first timer of who waits: when, in which order, the pool, the place, whether its time is over.
    pub fn first_timer(&self) -> Option<(u64, u64, usize, u64, bool)> {
        let waiters = self.pools.iter().enumerate().flat_map(|(pool, of)| of.line.iter().map(move |one| (pool, one)));
        let timers = waiters.flat_map(|(pool, one)| {
            let over = Some((one.deadline, one.set[0], pool, one.place, true));
            let again = one.again.map(|again| (again, one.set[1], pool, one.place, false));
            over.into_iter().chain(again)
        });
        timers.min()
    }

    /// Forgets the timer that has just rung.
    pub fn stop_timer(&mut self, pool: usize, place: u64) {
        if let Some(waiter) = self.pools[pool].line.iter_mut().find(|waiter| waiter.place == place) {
            waiter.again = None;
        }
    }
}
