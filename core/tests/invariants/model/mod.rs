//! The reference model: what sessions, deadlines and licenses mean, in the plainest words, one step at a time.
//!
//! It has no thread, lock, wheel or counter; it counts everything anew whenever it is asked, and whoever is refused leaves a
//! copy behind from before.

mod account;
mod admit;
mod change;
mod counts;
mod evict;
mod level;
mod line;
mod moves;
mod pool;
mod retry;
mod session;
mod unit;

pub use account::Record;
pub use level::Told as PoolTold;
pub use moves::{Outcome, Wish};
pub use pool::Pool;
pub use retry::Denial;
pub use session::{Holder, Look, Session};
pub use unit::Unit;

use libsession_core::{AuditKind, AuditWhy, EndReason, LazyUntil};

/// No instant.
pub const NEVER: u64 = u64::MAX;
/// The manager's defaults, in milliseconds.
pub const GRACE: u64 = 10_000;
const REPLACED: u64 = 600_000;
pub const TOMBSTONE: u64 = 600_000;
const MAX_REQUEST: u64 = 3_600_000;
const MAX_REPLACED: usize = 4;
/// The applications' idle timeout, and that of their anonymous sessions.
pub const IDLE: u64 = 900_000;
pub const ANONYMOUS_IDLE: u64 = 45_000;

/// The groups that a user belongs to.
pub fn groups_of(user: &str) -> &'static [&'static str] {
    match user {
        "bob" => &["cad"],
        "cyd" => &["cad", "lead"],
        _ => &[],
    }
}

#[derive(Clone, Default)]
pub struct Model {
    pub now: u64,
    pub sessions: Vec<Session>,
    pub pools: Vec<Pool>,
    pub max_sessions: usize,
    /// Per application.
    pub limits: Vec<usize>,
    /// The same: when lazy sessions take their unit.
    pub lazy_until: Vec<LazyUntil>,
    /// Waits that are over, and what came of them.
    pub finished: Vec<(u64, Outcome)>,
    /// The session that is admitted and about to be there: its pool, and whether it is anonymous.
    arriving: Option<(usize, bool)>,
    /// Sessions that go for the one that is being admitted.
    going: Vec<usize>,
    /// What was taken from others for who is being admitted, or who is offered something.
    given: Vec<account::Given>,
    /// Waiters for whom units were set aside: pool and place.
    called: Vec<(usize, u64)>,
    /// Only time passes: nothing is told of refusals, and who comes to something keeps it.
    is_idle: bool,
    places: u64,
    timers: u64,
    tokens: usize,
}

impl Model {
    /// A pool as it is after a step.
    fn settle(&mut self, pool: usize) {
        let in_use = self.in_use(pool);
        let (now, of) = (self.now, &mut self.pools[pool]);
        let beyond = in_use.saturating_sub(of.rules.capacity);
        of.overdrawn = if beyond > 0 { of.overdrawn.or(Some(now)) } else { None };
        of.excess = of.excess.min(beyond);
        of.high_water = of.high_water.max(in_use);
        self.tell_level(pool);
    }

    /// What has lingered long enough is free, one holder after the other in the order of their names, and who waits has it.
    fn tidy(&mut self, pool: usize) {
        let now = self.now;
        let over = |held: &pool::Held| held.lingering > 0 && held.until <= now;
        let holders = self.pools[pool].held.iter().filter(|(_, held)| over(held));
        let mut holders: Vec<_> = holders.map(|(holder, _)| holder.clone()).collect();
        holders.sort_by_key(|holder| self.name_of(holder));
        for holder in holders {
            let (before, last) = (self.in_use(pool), self.pools[pool].held[&holder].last);
            self.dismiss(pool, &holder);
            self.settle(pool);
            self.note(pool, AuditKind::Release, (last, &holder), before, AuditWhy::Lingered);
        }
        while let Some(first) = self.pools[pool].orphans.iter().position(|orphan| orphan.until <= now) {
            let before = self.in_use(pool);
            let orphan = self.pools[pool].orphans.remove(first);
            self.settle(pool);
            let who = self.sessions[orphan.session].serial;
            self.note(pool, AuditKind::Release, (who, &Holder::Itself), before, AuditWhy::Lingered);
        }
        self.serve(pool);
    }

    /// Sessions that took something for themselves go by their ids, before all users.
    fn name_of(&self, holder: &Holder) -> (bool, bool, String) {
        match holder {
            Holder::Taker(number, anonymous) => (false, *anonymous, self.sessions[*number].id.clone()),
            Holder::User(user) => (true, false, user.clone()),
            Holder::Nobody | Holder::Itself => (true, false, String::new()),
        }
    }

    fn new_token(&mut self) -> usize {
        self.tokens += 1;
        self.tokens
    }

    /// A session has a new token: its number.
    pub fn rotate(&mut self, number: usize, grace: u64) -> usize {
        let (now, token) = (self.now, self.new_token());
        let session = &mut self.sessions[number];
        session.replaced.retain(|(_, _, until)| now < *until);
        if session.replaced.len() == MAX_REPLACED {
            session.replaced.remove(0);
        }
        session.replaced.push((session.token, now + grace, now + grace + REPLACED));
        session.token = token;
        token
    }

    /// What a token of a session finds.
    pub fn look(&self, number: usize, token: usize) -> Look {
        let session = &self.sessions[number];
        let stands = session.ended.is_none_or(|(at, _)| self.now < at + TOMBSTONE);
        let state = match session.ended {
            _ if !stands => Look::Absent,
            Some((_, reason)) => Look::Gone(reason),
            None => Look::Live,
        };
        if token == session.token {
            return state;
        }
        match session.replaced.iter().find(|(old, _, _)| *old == token) {
            Some(_) if !stands => Look::Absent,
            Some((_, grace, _)) if self.now < *grace => state,
            Some((_, _, until)) if self.now < *until => Look::Gone(EndReason::Replaced),
            _ => Look::Absent,
        }
    }

    /// Lets time pass, from instant to instant.
    pub fn advance(&mut self, by: u64) {
        let target = self.now + by;
        while let Some(next) = self.next_due().filter(|next| *next <= target) {
            self.now = next.max(self.now);
            self.do_what_is_due();
        }
        self.now = target;
    }

    /// When something happens next by itself.
    pub fn next_due(&self) -> Option<u64> {
        let sessions = self.next_session().map(|(at, _)| at);
        let timers = self.first_timer().map(|(at, ..)| at);
        let lingering = self.pools.iter().flat_map(|pool| {
            let users = pool.held.values().filter(|held| held.lingering > 0).map(|held| held.until);
            users.chain(pool.orphans.iter().map(|orphan| orphan.until))
        });
        // What lingers may be had by who waits once it was held for its minimal time.
        let ripe = self.pools.iter().filter(|pool| !pool.line.is_empty()).flat_map(|pool| {
            let lingers = pool.held.values().filter(|held| held.lingering > 0);
            lingers.map(|held| pool.ripe(held)).filter(|ripe| *ripe > self.now)
        });
        sessions.into_iter().chain(timers).chain(lingering).chain(ripe).min()
    }

    /// Sessions first, in the order of creation; then what lingers; then who waits.
    fn do_what_is_due(&mut self) {
        while let Some((_, number)) = self.next_session().filter(|(at, _)| *at <= self.now) {
            self.do_what_is_due_to(number);
        }
        for pool in 0..self.pools.len() {
            self.tidy(pool);
        }
        self.claim_all();
        while let Some((_, _, pool, place, over)) = self.first_timer().filter(|(at, ..)| *at <= self.now) {
            self.stop_timer(pool, place);
            self.come(pool, place, over);
        }
    }

    fn do_what_is_due_to(&mut self, number: usize) {
        let (now, session) = (self.now, &mut self.sessions[number]);
        let (deadline, reason) = session.deadline();
        let over = session.requests.iter().find(|(_, start, _)| start + MAX_REQUEST <= now).copied();
        match over {
            // A request that counts as finished frees the idle clock before the deadline is looked at.
            Some((request, start, _)) => {
                session.leave(request, start + MAX_REQUEST);
                if session.end_requested && session.requests.is_empty() && session.deadline().0 > now {
                    self.end(number, EndReason::Ended);
                }
            }
            None if deadline <= now => self.end(number, reason),
            None => {}
        }
    }
}
