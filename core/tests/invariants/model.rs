//! The reference model: what sessions, deadlines and licenses mean, in the plainest words, one step at a time.
//!
//! It has no thread, lock or wheel; it recounts everything whenever it is asked.

use std::collections::BTreeMap;

use libsession_core::{DenyReason, EndReason, LazyUntil, UnitRule};

/// No instant.
pub const NEVER: u64 = u64::MAX;
/// The manager's defaults, in milliseconds.
pub const GRACE: u64 = 10_000;
const REPLACED: u64 = 600_000;
const TOMBSTONE: u64 = 600_000;
const MAX_REQUEST: u64 = 3_600_000;
const MAX_REPLACED: usize = 4;
/// The applications' idle timeout, and that of their anonymous sessions.
pub const IDLE: u64 = 900_000;
pub const ANONYMOUS_IDLE: u64 = 45_000;

/// What a look at a token finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    Live,
    Absent,
    Gone(EndReason),
}

/// Who is charged.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holder {
    Nobody,
    Itself,
    User(String),
    /// Itself for what it takes: its number, and whether it is anonymous then.
    Taker(usize, bool),
}

pub struct Pool {
    pub capacity: u64,
    pub rule: UnitRule,
    pub max_connections: u64,
    pub per_holder: Option<u64>,
    pub anonymous_cap: Option<u64>,
    pub per_client: Option<usize>,
    /// What each user and taker holds; only `iris` needs to remember it.
    held: BTreeMap<Holder, u64>,
}

impl Pool {
    pub fn new(capacity: u64, rule: UnitRule, max_connections: u64) -> Self {
        Self {
            capacity,
            rule,
            max_connections,
            per_holder: None,
            anonymous_cap: None,
            per_client: None,
            held: BTreeMap::new(),
        }
    }

    fn units(&self, connections: u64, held: u64) -> u64 {
        let steps = || connections.div_ceil(self.max_connections);
        match self.rule {
            UnitRule::Session => connections,
            UnitRule::Staircase => steps(),
            UnitRule::Iris if connections > self.max_connections => connections.max(held),
            UnitRule::Iris if connections > 0 => held.max(1),
            _ => connections.min(1),
        }
    }
}

pub struct Session {
    pub application: usize,
    pub pool: Option<usize>,
    pub anonymous: bool,
    /// Takes its unit at this moment.
    pub lazy: Option<LazyUntil>,
    /// The number of its client.
    pub client: Option<usize>,
    /// Its idle timeout is that of anonymous sessions.
    pub brief: bool,
    pub user: Option<String>,
    pub holder: Holder,
    /// 0 is never.
    pub idle: u64,
    pub created: u64,
    pub absolute_at: u64,
    pub last_used: u64,
    /// Number, start, whether of a user.
    pub requests: Vec<(usize, u64, bool)>,
    pub end_requested: bool,
    pub had_request: bool,
    pub ended: Option<(u64, EndReason)>,
    /// The number of the token that opens it.
    pub token: usize,
    /// Older tokens: number, end of the grace, end of `gone(replaced)`.
    pub replaced: Vec<(usize, u64, u64)>,
    pub classes: Vec<&'static str>,
    /// What it took, in this order: pool, who is charged, how often.
    pub takes: Vec<(usize, Holder, u64)>,
}

impl Session {
    pub fn deadline(&self) -> (u64, EndReason) {
        let in_flight = self.requests.iter().any(|(_, _, user)| *user);
        let idle = if self.idle == 0 || in_flight { NEVER } else { self.last_used + self.idle };
        if self.absolute_at <= idle {
            (self.absolute_at, EndReason::AbsoluteTimeout)
        } else {
            (idle, EndReason::IdleTimeout)
        }
    }

    pub fn is_live(&self) -> bool {
        self.ended.is_none()
    }

    /// What happens to it next by itself.
    fn next(&self) -> u64 {
        let request = self.requests.iter().map(|(_, start, _)| start + MAX_REQUEST).min().unwrap_or(NEVER);
        self.deadline().0.min(request)
    }

    pub fn leave(&mut self, number: usize, now: u64) -> bool {
        let Some(position) = self.requests.iter().position(|(known, _, _)| *known == number) else { return false };
        if self.requests.remove(position).2 {
            self.last_used = now;
        }
        true
    }
}

#[derive(Default)]
pub struct Model {
    pub now: u64,
    pub sessions: Vec<Session>,
    pub pools: Vec<Pool>,
    pub max_sessions: usize,
    /// Per application.
    pub limits: Vec<usize>,
    /// The same: when lazy sessions take their unit.
    pub lazy_until: Vec<LazyUntil>,
}

impl Model {
    pub fn live(&self) -> impl Iterator<Item = (usize, &Session)> {
        self.sessions.iter().enumerate().filter(|(_, session)| session.is_live())
    }

    /// Whether there is room for one session more in an application.
    pub fn has_room(&self, application: usize) -> bool {
        let here = self.live().filter(|(_, session)| session.application == application).count();
        self.live().count() < self.max_sessions && here < self.limits[application]
    }

    /// Per user and taker of a pool: connections and units; and how many sessions are their own holders.
    pub fn holders(&self, pool: usize) -> (BTreeMap<Holder, (u64, u64)>, u64) {
        let (mut holders, mut own) = (BTreeMap::<Holder, (u64, u64)>::new(), 0);
        for (_, session) in self.live() {
            match &session.holder {
                _ if session.pool != Some(pool) => {}
                Holder::Itself => own += 1,
                Holder::Nobody => {}
                holder => holders.entry(holder.clone()).or_default().0 += 1,
            }
            for (_, holder, count) in session.takes.iter().filter(|(taken, ..)| *taken == pool) {
                holders.entry(holder.clone()).or_default().0 += count;
            }
        }
        for (name, holder) in &mut holders {
            let held = self.pools[pool].held.get(name).copied().unwrap_or(0);
            holder.1 = self.pools[pool].units(holder.0, held);
        }
        (holders, own)
    }

    pub fn in_use(&self, pool: usize) -> u64 {
        let (holders, own) = self.holders(pool);
        own + holders.values().map(|(_, units)| units).sum::<u64>()
    }

    /// Units of anonymous sessions.
    fn anonymous(&self, pool: usize) -> u64 {
        let own = self
            .live()
            .filter(|(_, session)| session.pool == Some(pool) && session.holder == Holder::Itself && session.anonymous);
        let takers = self.holders(pool).0.into_iter().filter(|(name, _)| matches!(name, Holder::Taker(_, true)));
        own.count() as u64 + takers.map(|(_, (_, units))| units).sum::<u64>()
    }

    /// Remembers what users hold, and forgets who holds nothing.
    fn remember(&mut self) {
        for pool in 0..self.pools.len() {
            let (holders, _) = self.holders(pool);
            self.pools[pool].held = holders.into_iter().map(|(name, (_, units))| (name, units)).collect();
        }
    }

    /// Whether so many connections more of this holder may come to a pool.
    pub fn admit(&self, pool: usize, holder: &Holder, anonymous: bool, count: u64) -> Result<(), DenyReason> {
        let rules = &self.pools[pool];
        let available = rules.capacity - self.in_use(pool);
        let wanted = match holder {
            Holder::Itself | Holder::Nobody => 1,
            booked => {
                let (connections, units) = self.holders(pool).0.get(booked).copied().unwrap_or((0, 0));
                let all = connections + count;
                let hard = rules.rule == UnitRule::Hard && all > rules.max_connections;
                if hard || rules.per_holder.is_some_and(|limit| all > limit) {
                    return Err(DenyReason::HolderLimit);
                }
                rules.units(all, units) - units
            }
        };
        match rules.anonymous_cap {
            _ if wanted > available => Err(DenyReason::PoolExhausted),
            Some(cap) if anonymous && self.anonymous(pool) + wanted > cap => Err(DenyReason::Reserved),
            _ => Ok(()),
        }
    }

    /// Whether one anonymous session more of this client may come to a pool.
    pub fn admit_client(&self, pool: usize, client: Option<usize>) -> Result<(), DenyReason> {
        let same = self.live().filter(|(_, session)| session.anonymous && session.pool == Some(pool));
        let count = same.filter(|(_, session)| session.client == client).count();
        match (client, self.pools[pool].per_client) {
            (Some(_), Some(most)) if count >= most => Err(DenyReason::HolderLimit),
            _ => Ok(()),
        }
    }

    /// The moment of a lazy session: it takes its unit for itself, or tells why not and changes nothing.
    pub fn license(&mut self, number: usize, moment: LazyUntil) -> Result<(), DenyReason> {
        let session = &self.sessions[number];
        match (session.pool, session.lazy) {
            (Some(pool), Some(lazy)) if lazy == moment => {
                self.admit(pool, &Holder::Itself, false, 1)?;
                let session = &mut self.sessions[number];
                (session.holder, session.lazy) = (Holder::Itself, None);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Takes a feature so often, or tells why not.
    pub fn take(&mut self, number: usize, pool: usize, count: u64) -> Result<(), DenyReason> {
        let session = &self.sessions[number];
        let holder = match &session.user {
            Some(user) => Holder::User(user.clone()),
            None => Holder::Taker(number, session.anonymous),
        };
        self.admit(pool, &holder, matches!(holder, Holder::Taker(_, true)), count)?;
        let takes = &mut self.sessions[number].takes;
        match takes.iter_mut().rev().find(|(taken, ..)| *taken == pool).filter(|(_, last, _)| *last == holder) {
            Some((_, _, taken)) => *taken += count,
            None => takes.push((pool, holder, count)),
        }
        self.remember();
        Ok(())
    }

    /// Returns a feature at most so often, what was taken last first; tells how often.
    pub fn give_back(&mut self, number: usize, pool: usize, count: u64) -> u64 {
        let takes = &mut self.sessions[number].takes;
        let mut returned = 0;
        while returned < count {
            let Some(last) = takes.iter().rposition(|(taken, ..)| *taken == pool) else { break };
            takes[last].2 -= 1;
            returned += 1;
            if takes[last].2 == 0 {
                takes.remove(last);
            }
        }
        self.remember();
        returned
    }

    pub fn publish(&mut self, session: Session) {
        self.sessions.push(session);
        self.remember();
    }

    /// Moves a session to another holder, or tells why not and changes nothing.
    pub fn trade(&mut self, number: usize, to: Holder) -> Result<(), DenyReason> {
        let session = &mut self.sessions[number];
        let (Some(pool), anonymous) = (session.pool, session.anonymous) else { return Ok(()) };
        if session.lazy.is_some() && matches!(to, Holder::User(_)) {
            self.admit(pool, &to, false, 1)?;
            let session = &mut self.sessions[number];
            (session.holder, session.lazy) = (to, None);
            self.remember();
            return Ok(());
        }
        if session.holder == to || session.holder == Holder::Nobody {
            return Ok(());
        }
        let held = self.pools[pool].held.clone();
        let from = std::mem::replace(&mut session.holder, Holder::Nobody);
        self.remember();
        let stays_anonymous = anonymous && to == Holder::Itself;
        match self.admit(pool, &to, stays_anonymous, 1) {
            Ok(()) => {
                let session = &mut self.sessions[number];
                session.holder = to;
                session.anonymous = stays_anonymous;
                if !stays_anonymous && std::mem::take(&mut session.brief) {
                    session.idle = IDLE;
                }
                self.remember();
                Ok(())
            }
            Err(reason) => {
                self.sessions[number].holder = from;
                self.pools[pool].held = held;
                Err(reason)
            }
        }
    }

    pub fn end(&mut self, number: usize, reason: EndReason) {
        let session = &mut self.sessions[number];
        session.ended = Some((self.now, reason));
        session.requests.clear();
        session.holder = Holder::Nobody;
        session.takes.clear();
        self.remember();
    }

    pub fn rotate(&mut self, number: usize, token: usize, grace: u64) {
        let now = self.now;
        let session = &mut self.sessions[number];
        session.replaced.retain(|(_, _, until)| now < *until);
        if session.replaced.len() == MAX_REPLACED {
            session.replaced.remove(0);
        }
        session.replaced.push((session.token, now + grace, now + grace + REPLACED));
        session.token = token;
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

    /// Lets time pass; what is due at one instant is done in the order of creation.
    pub fn advance(&mut self, by: u64) {
        let target = self.now + by;
        loop {
            let next = self.live().map(|(number, session)| (session.next(), number)).min();
            let Some((at, number)) = next.filter(|(at, _)| *at <= target) else { break };
            self.now = at.max(self.now);
            let (deadline, reason) = self.sessions[number].deadline();
            let over = self.sessions[number].requests.iter().find(|(_, start, _)| start + MAX_REQUEST <= self.now);
            match over.copied() {
                // A request that counts as finished frees the idle clock before the deadline is looked at.
                Some((request, start, _)) => {
                    let session = &mut self.sessions[number];
                    session.leave(request, start + MAX_REQUEST);
                    if session.end_requested && session.requests.is_empty() && session.deadline().0 > self.now {
                        self.end(number, EndReason::Ended);
                    }
                }
                None if deadline <= self.now => self.end(number, reason),
                None => {}
            }
        }
        self.now = target;
    }
}
