//! Sessions come, change their holders, take and return features, and end.

use libsession_core::{AuditKind, AuditWhy, DenyReason, EndReason, LazyUntil, TradeFailure};

use super::admit::Ask;
use super::pool::{Held, Orphan, Rank};
use super::retry::Denial;
use super::session::{Class, Holder, Session, Taken};
use super::{GRACE, IDLE, Model, NEVER, groups_of};

/// What somebody may wait for.
#[derive(Clone)]
pub enum Wish {
    /// A session to be made; its absolute deadline is still a time from its creation.
    Create(Box<Session>),
    /// A request's login of this user, while the session's user is still that one.
    Login { number: usize, request: usize, user: String, expected: Option<String> },
    /// The same without the login.
    Trade { number: usize, request: usize, user: String },
    Take {
        number: usize,
        request: usize,
        pool: usize,
        count: u64,
        /// Those that its user belongs to.
        groups: &'static [&'static str],
    },
}

impl Wish {
    /// The session and the request that it is wanted for.
    pub fn request(&self) -> Option<(usize, usize)> {
        match self {
            Self::Create(_) => None,
            Self::Login { number, request, .. }
            | Self::Trade { number, request, .. }
            | Self::Take { number, request, .. } => Some((*number, *request)),
        }
    }
}

/// What came of a wish.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Done,
    /// A session was made: its number, and that of its token.
    Made(usize, usize),
    /// Logged in: the number of the new token, and why the session keeps the unit that it had.
    LoggedIn(usize, Option<Denial>),
    Denied(Denial),
    SessionLimit,
    /// Its request is over.
    Gone,
    /// The session's user is another by now.
    Changed,
    Cancelled,
}

/// Whether what is denied for this may be had after a while.
pub fn may_come(reason: DenyReason) -> bool {
    matches!(reason, DenyReason::PoolExhausted | DenyReason::Reserved)
}

impl Model {
    /// What a wish asks of a pool; none if it asks for nothing that it could wait for.
    pub fn ask(&self, wish: &Wish, priority: i8) -> Option<Ask> {
        let ask = match wish {
            Wish::Create(session) => {
                let pool = session.pool.filter(|_| session.lazy.is_none())?;
                let (class, client) = (session.class(), session.client);
                Ask { class, client, fresh: session.serial, ..Ask::itself(pool, None) }
            }
            Wish::Login { number, user, .. } | Wish::Trade { number, user, .. } => {
                let session = &self.sessions[*number];
                let pool = session.pool?;
                let holder = self.holder(pool, *number, user);
                let takes = session.lazy.is_some() && matches!(wish, Wish::Login { .. });
                let trades = session.holder != Holder::Nobody && session.holder != holder;
                if !takes && !trades {
                    return None;
                }
                let rank = self.pools[pool].rank(user, groups_of(user));
                Ask { holder, class: session.class().of_a_user(), rank, ..Ask::itself(pool, Some(*number)) }
            }
            Wish::Take { number, pool, count, groups, .. } => {
                let session = &self.sessions[*number];
                let (holder, rank) = match &session.user {
                    Some(user) => (self.holder(*pool, *number, user), self.pools[*pool].rank(user, groups)),
                    None => (Holder::Taker(*number, session.anonymous), Rank::Ordinary),
                };
                let class = holder.class_of_takes();
                Ask { holder, rank, class, count: *count, feature: true, ..Ask::itself(*pool, Some(*number)) }
            }
        };
        Some(Ask { priority, ..ask })
    }

    /// Tries once. An error: there is nothing now, and it was not the last word.
    pub fn attempt(&mut self, wish: &Wish, priority: i8, place: Option<u64>, last: bool) -> Result<Outcome, ()> {
        let tried = match wish {
            Wish::Create(session) => {
                if !self.has_room(session.application) {
                    return Ok(Outcome::SessionLimit);
                }
                match self.ask(wish, priority) {
                    Some(ask) => self.admit(&ask, place, last).map_err(|reason| (ask.pool, reason)),
                    None => Ok(()),
                }
            }
            Wish::Login { number, request, user, expected } => {
                let session = &self.sessions[*number];
                match () {
                    () if !session.has_request(*request) => return Ok(Outcome::Gone),
                    () if session.user != *expected => return Ok(Outcome::Changed),
                    () => self.trade(*number, user, true, (priority, place, last)),
                }
            }
            Wish::Trade { number, request, user } => {
                let session = &self.sessions[*number];
                match () {
                    () if !session.has_request(*request) => return Ok(Outcome::Gone),
                    () if session.user.as_ref() != Some(user) => return Ok(Outcome::Changed),
                    () => self.trade(*number, user, false, (priority, place, last)),
                }
            }
            Wish::Take { number, request, pool, .. } => {
                if !self.sessions[*number].has_request(*request) {
                    return Ok(Outcome::Gone);
                }
                match self.ask(wish, priority) {
                    Some(ask) => self.admit(&ask, place, last).map_err(|reason| (*pool, reason)),
                    None => Ok(()),
                }
            }
        };
        let denied = match tried {
            Ok(()) => None,
            Err((_, reason)) if !last && may_come(reason) => return Err(()),
            Err(denied) => Some(denied),
        };
        let told = denied.map(|(pool, reason)| (pool, self.denial_of(pool, wish, priority, reason)));
        Ok(self.conclude(wish, told))
    }

    /// What is done beside the license.
    fn conclude(&mut self, wish: &Wish, denied: Option<(usize, Denial)>) -> Outcome {
        match (wish, denied) {
            (Wish::Create(session), None) => return self.publish(session.as_ref().clone()),
            (Wish::Login { number, user, .. }, denied) => {
                let keeps = |pool: usize| self.pools[pool].rules.trade_failure == TradeFailure::Keep;
                // Nobody works unlicensed.
                let keeps = |pool| keeps(pool) && self.sessions[*number].lazy.is_none();
                if let Some((_, denial)) = denied.filter(|(pool, _)| !keeps(*pool)) {
                    return Outcome::Denied(denial);
                }
                self.sessions[*number].user = Some(user.clone());
                let token = self.rotate(*number, GRACE);
                return Outcome::LoggedIn(token, denied.map(|(_, denial)| denial));
            }
            (Wish::Take { number, pool, count, .. }, None) => {
                self.note_take(*number, *pool, *count);
                // Who waits may be one too many for the same holder now.
                self.serve(*pool);
            }
            (Wish::Trade { .. }, None) => {}
            (_, Some((_, denial))) => return Outcome::Denied(denial),
        }
        Outcome::Done
    }

    fn publish(&mut self, mut session: Session) -> Outcome {
        let now = self.now;
        session.absolute_at = if session.absolute_at == NEVER { NEVER } else { now + session.absolute_at };
        (session.created, session.licensed, session.last_used) = (now, now, now);
        session.requests.iter_mut().for_each(|(_, start, _)| *start = now);
        session.holder = if session.pool.is_some() && session.lazy.is_none() { Holder::Itself } else { Holder::Nobody };
        self.arriving = None;
        session.token = self.new_token();
        if self.is_idle {
            (session.idle, session.absolute_at) = (0, NEVER);
        }
        let made = Outcome::Made(self.sessions.len(), session.token);
        self.sessions.push(session);
        made
    }

    /// Who a pool charges for a session's user.
    fn holder(&self, pool: usize, number: usize, user: &str) -> Holder {
        self.pools[pool].holder(user, self.sessions[number].place.as_deref())
    }

    /// Moves a session to a user; one without a unit takes it if it logs in.
    fn trade(
        &mut self,
        number: usize,
        user: &str,
        logs_in: bool,
        (priority, place, last): (i8, Option<u64>, bool),
    ) -> Result<(), (usize, DenyReason)> {
        let session = &self.sessions[number];
        let Some(pool) = session.pool else { return Ok(()) };
        let to = self.holder(pool, number, user);
        let takes = session.lazy.is_some() && logs_in;
        let trades = session.holder != Holder::Nobody && session.holder != to;
        if !takes && !trades {
            return Ok(());
        }
        let rank = self.pools[pool].rank(user, groups_of(user));
        let class = session.class().of_a_user();
        let ask = Ask { holder: to, class, rank, priority, ..Ask::itself(pool, Some(number)) };
        self.admit(&ask, place, last).map_err(|reason| (pool, reason))?;
        let session = &mut self.sessions[number];
        if session.lazy.take().is_some() {
            session.licensed = self.now;
        }
        (session.anonymous, session.client) = (false, None);
        if std::mem::take(&mut session.brief) {
            session.idle = IDLE;
        }
        Ok(())
    }

    /// A session becomes its own holder; if there is no unit for that, it ends.
    pub fn logout(&mut self, number: usize) -> Result<(), DenyReason> {
        let session = &self.sessions[number];
        if let (Some(pool), Holder::User(_)) = (session.pool, &session.holder) {
            let ask = Ask { class: session.class(), ..Ask::itself(pool, Some(number)) };
            self.admit(&ask, None, true)?;
        }
        self.sessions[number].user = None;
        Ok(())
    }

    /// The moment of a lazy session: it takes its unit for itself, or tells why not and changes nothing.
    pub fn license(&mut self, number: usize, moment: LazyUntil) -> Result<(), Denial> {
        let session = &self.sessions[number];
        let Some(pool) = session.pool.filter(|_| session.lazy == Some(moment)) else { return Ok(()) };
        let ask = Ask { class: Class::Lazy, ..Ask::itself(pool, Some(number)) };
        if let Err(reason) = self.admit(&ask, None, true) {
            let again = |model: &mut Self| model.admit(&ask, None, true).is_ok();
            return Err(self.denial(pool, reason, Some(number), &again));
        }
        (self.sessions[number].lazy, self.sessions[number].licensed) = (None, self.now);
        Ok(())
    }

    /// A feature was taken: what one holder takes in a row is one.
    fn note_take(&mut self, number: usize, pool: usize, count: u64) {
        let session = &self.sessions[number];
        let holder = match &session.user {
            Some(user) => self.holder(pool, number, user),
            None => Holder::Taker(number, session.anonymous),
        };
        let session = &mut self.sessions[number];
        match session.takes.iter_mut().rev().find(|taken| taken.pool == pool).filter(|last| last.holder == holder) {
            Some(taken) => taken.count += count,
            None => session.takes.push(Taken { pool, holder, count }),
        }
    }

    /// Returns a feature at most so often, what was taken last first; tells how often.
    pub fn give_back(&mut self, number: usize, pool: usize, count: u64) -> u64 {
        let mut returned = 0;
        while returned < count {
            let takes = &mut self.sessions[number].takes;
            let Some(last) = takes.iter().rposition(|taken| taken.pool == pool) else { break };
            let some = takes[last].count.min(count - returned);
            returned += some;
            self.return_some(number, last, some);
        }
        returned
    }

    /// Returns so many of what was taken: one step.
    fn return_some(&mut self, number: usize, position: usize, count: u64) {
        let taken = self.sessions[number].takes[position].clone();
        self.tidy(taken.pool);
        let before = self.in_use(taken.pool);
        let takes = &mut self.sessions[number].takes;
        takes[position].count -= count;
        if takes[position].count == 0 {
            takes.remove(position);
        }
        let lingers = self.shrink(taken.pool, &taken.holder, Some(taken.holder.class_of_takes()), number);
        self.settle(taken.pool);
        let kind = if lingers { AuditKind::Linger } else { AuditKind::Release };
        let who = self.sessions[number].serial;
        self.note(taken.pool, kind, (who, &taken.holder), before, AuditWhy::Nothing);
        self.serve(taken.pool);
    }

    /// A session leaves its holder, whose units that nobody needs are free at once: they go along, or go over.
    pub fn leave_holder(&mut self, number: usize) -> Holder {
        let holder = std::mem::replace(&mut self.sessions[number].holder, Holder::Nobody);
        if let Some(pool) = self.sessions[number].pool {
            self.shrink(pool, &holder, None, number);
        }
        holder
    }

    /// A holder has fewer connections: what those don't need lingers for who `leaves`, or is free. Tells whether it lingers.
    fn shrink(&mut self, pool: usize, holder: &Holder, leaves: Option<Class>, last: usize) -> bool {
        let connections = self.connections(pool, holder);
        let of = &self.pools[pool];
        let Some(mut held) = of.held.get(holder).cloned() else { return false };
        let needed = of.units(connections, held.needed);
        let spare = held.needed - needed;
        held.needed = needed;
        let linger = leaves.filter(|_| matches!(holder, Holder::User(_))).map_or(0, |class| of.linger(class));
        let until = (self.now + linger).max(of.ripe(&held));
        held.last = self.sessions[last].serial;
        let lingers = leaves.is_some() && spare > 0 && until > self.now;
        if lingers {
            held.lingering += spare;
            held.until = held.until.max(until);
        }
        held.trim();
        self.keep(pool, holder, held);
        lingers
    }

    fn keep(&mut self, pool: usize, holder: &Holder, held: Held) {
        if held.units() == 0 && self.connections(pool, holder) == 0 {
            self.pools[pool].held.remove(holder);
        } else {
            self.pools[pool].held.insert(holder.clone(), held);
        }
    }

    /// A session ends: its license first, then what it took.
    pub fn end(&mut self, number: usize, reason: EndReason) {
        if let Some(pool) = self.sessions[number].pool.filter(|_| self.sessions[number].holder != Holder::Nobody) {
            self.tidy(pool);
            let in_use = self.in_use(pool);
            let session = &mut self.sessions[number];
            let holder = std::mem::replace(&mut session.holder, Holder::Nobody);
            let (anonymous, class, who) = (session.anonymous, session.class(), session.serial);
            let until = session.licensed + self.pools[pool].least(class);
            let stays = holder == Holder::Itself && until > self.now;
            if stays {
                self.pools[pool].orphans.push(Orphan { session: number, anonymous, until });
            }
            self.sessions[number].client = None;
            let lingers = self.shrink(pool, &holder, Some(class), number) || stays;
            self.settle(pool);
            let kind = if lingers { AuditKind::Linger } else { AuditKind::Release };
            self.note(pool, kind, (who, &holder), in_use, AuditWhy::Nothing);
            self.serve(pool);
        }
        self.bury(number, reason);
    }

    /// The rest of an end.
    pub fn bury(&mut self, number: usize, reason: EndReason) {
        self.sessions[number].client = None;
        while !self.sessions[number].takes.is_empty() {
            let count = self.sessions[number].takes[0].count;
            self.return_some(number, 0, count);
        }
        let session = &mut self.sessions[number];
        session.ended = Some((self.now, reason));
        session.requests.clear();
        self.dismiss_waits(number, None);
    }
}
