//! Who gets units, in the order of the specification: what lingers is reclaimed, then the overdraft, then somebody is
//! evicted; who waits comes first; and if nothing helps, a reason.

use libsession_core::{AuditKind, AuditWhy, DenyReason, Evict};

use super::Model;
use super::account::Given;
use super::counts::Room;
use super::line::{Lane, Offer};
use super::moves::may_come;
use super::pool::{Held, Rank};
use super::session::{Class, Holder};

/// What is asked of a pool.
#[derive(Clone, Debug)]
pub struct Ask {
    pub pool: usize,
    /// The session that asks; none is one to be made.
    pub session: Option<usize>,
    /// The serial number of that.
    pub fresh: u64,
    pub holder: Holder,
    /// The license class that it is asked as.
    pub class: Class,
    /// The client of one to be made, if those are bounded.
    pub client: Option<usize>,
    pub rank: Rank,
    /// For so many connections.
    pub count: u64,
    /// For a feature, beside the session's license: nobody goes for it.
    pub feature: bool,
    pub priority: i8,
}

impl Ask {
    /// For a session that is its own holder.
    pub fn itself(pool: usize, session: Option<usize>) -> Self {
        Self {
            pool,
            session,
            fresh: 0,
            holder: Holder::Itself,
            class: Class::Named,
            client: None,
            rank: Rank::Ordinary,
            count: 1,
            feature: false,
            priority: 0,
        }
    }

    pub fn anonymous(&self) -> bool {
        self.class == Class::Anonymous
    }

    pub fn lane(&self) -> Lane {
        if self.anonymous() { Lane::Anonymous } else { Lane::Of(self.rank) }
    }
}

/// Why somebody is refused, and what would have come free as it left its holder.
type Refused = (DenyReason, u64);

impl Model {
    /// Charges who asks, or tells why not; then nothing changed. Who has waited has its place.
    /// If it is the last time that it asks, the refusal is noted.
    pub fn admit(&mut self, ask: &Ask, place: Option<u64>, last: bool) -> Result<(), DenyReason> {
        self.serve(ask.pool);
        let (before, in_use) = (self.clone(), self.in_use(ask.pool));
        let tried = self.try_to_admit(ask, place);
        match tried {
            Ok(how) => {
                let going = std::mem::take(&mut self.going);
                let pool = &mut self.pools[ask.pool];
                pool.evicted += going.len() as u64;
                pool.line.retain(|waiter| Some(waiter.place) != place);
                self.settle(ask.pool);
                let in_use = self.note_given(ask.pool, in_use);
                let why = if how == AuditWhy::Nothing && place.is_some() { AuditWhy::Waited } else { how };
                let kind = if before.charges(ask) { AuditKind::Trade } else { AuditKind::Grant };
                self.note(ask.pool, kind, (self.who(ask), &ask.holder), in_use, why);
                self.serve(ask.pool);
                for number in going {
                    self.bury(number, libsession_core::EndReason::Evicted);
                }
                Ok(())
            }
            Err((reason, gave)) => {
                *self = before;
                self.withdraw(ask.pool, place, gave);
                if !may_come(reason) {
                    // That is the last word.
                    self.pools[ask.pool].line.retain(|waiter| Some(waiter.place) != place);
                }
                if last || !may_come(reason) {
                    self.note_denial(ask, reason);
                }
                self.serve(ask.pool);
                Err(reason)
            }
        }
    }

    /// Whether who asks is charged already, and would be moved.
    fn charges(&self, ask: &Ask) -> bool {
        !ask.feature && ask.session.is_some_and(|number| self.sessions[number].holder != Holder::Nobody)
    }

    /// What made it possible.
    fn try_to_admit(&mut self, ask: &Ask, place: Option<u64>) -> Result<AuditWhy, Refused> {
        let pool = ask.pool;
        self.given.clear();
        let blocked = self.blocked(pool, place, ask.priority);
        let offer = match place {
            Some(place) => self.take_offer(pool, place).map_err(|reason| (reason, 0))?,
            None => None,
        };
        if self.is_one_too_many(pool, ask.client) {
            return Err((DenyReason::HolderLimit, 0));
        }
        let in_use = self.in_use(pool);
        let from = match ask.session.filter(|_| !ask.feature) {
            Some(number) => self.leave_holder(number),
            None => Holder::Nobody,
        };
        let gave = in_use - self.in_use(pool);
        let refused = |reason| (reason, gave);
        let is_user = matches!(ask.holder, Holder::User(_));
        if is_user && ask.rank == Rank::Excluded {
            return Err(refused(DenyReason::Excluded));
        }
        let rank = if is_user { ask.rank } else { Rank::Ordinary };
        let ask = &Ask { rank, ..ask.clone() };
        let spared = [&ask.holder, &from];

        let (wanted, again) = if ask.holder.is_counted() { self.join(ask).map_err(refused)? } else { (1, 0) };
        self.keep_to_the_anonymous_cap(ask, spared, wanted).map_err(refused)?;
        let offered = offer.map_or(0, |offer| offer.units);
        if offer.is_none() && wanted > gave && self.is_behind(&blocked, ask, wanted) {
            return Err(refused(self.why_full(pool, self.pools[pool].rules.capacity, rank, wanted)));
        }
        let reserved = match offer {
            _ if wanted == 0 => 0,
            // It was there when it was set aside, whatever has changed since.
            Some(offer) if wanted <= offered + gave => offer.reserved.min(wanted),
            _ => self.make_room(ask, spared, wanted, gave + offered).map_err(refused)?.reserved(rank, wanted),
        };
        self.hold(ask, wanted, reserved);
        Ok(self.why(ask, (wanted, again, reserved)))
    }

    /// What made it possible to have so many units more, some of which lingered with the holder, and some are reserved.
    fn why(&self, ask: &Ask, (wanted, again, reserved): (u64, u64, u64)) -> AuditWhy {
        let pool = &self.pools[ask.pool];
        let evicts = self.given.iter().any(|given| given.evicted);
        let overdrawn = self.in_use(ask.pool).saturating_sub(pool.rules.capacity) > pool.excess;
        match ask.rank {
            _ if wanted > 0 && overdrawn => AuditWhy::Overdraft,
            Rank::Administrator if wanted > 0 && reserved > 0 => AuditWhy::BreakGlass,
            _ if wanted > 0 && reserved > 0 && ask.holder.is_counted() => AuditWhy::Reserved,
            _ if again > 0 => AuditWhy::Lingering,
            _ if evicts => AuditWhy::Evicted,
            _ if wanted > 0 && !self.given.is_empty() => AuditWhy::Reclaimed,
            _ => AuditWhy::Nothing,
        }
    }

    /// Whether a client has as many anonymous sessions as it may.
    fn is_one_too_many(&self, pool: usize, client: Option<usize>) -> bool {
        let (Some(client), Some(most)) = (client, self.pools[pool].rules.anonymous_per_client) else { return false };
        let same = self.live().filter(|(_, session)| session.pool == Some(pool) && session.client == Some(client));
        same.count() >= most as usize
    }

    /// Counts so many connections more with their holder, which comes back to what lingers of it free; tells how many units it
    /// lacks, and how many lingered.
    fn join(&mut self, ask: &Ask) -> Result<(u64, u64), DenyReason> {
        let most = self.pools[ask.pool].most();
        if self.connections(ask.pool, &ask.holder) + ask.count > most {
            self.make_place(ask);
        }
        let connections = self.connections(ask.pool, &ask.holder) + ask.count;
        if connections > most {
            return Err(DenyReason::HolderLimit);
        }
        let now = self.now;
        let held = self.pools[ask.pool].held.get(&ask.holder).cloned();
        let mut held = held.unwrap_or_else(|| Held::new(now));
        let needs = self.pools[ask.pool].units(connections, held.needed);
        if needs < held.needed {
            // Several of its sessions had to go.
            held.needed = needs;
            held.trim();
        }
        let again = (needs - held.needed).min(held.lingering);
        held.needed += again;
        held.lingering -= again;
        let wanted = needs - held.needed;
        self.pools[ask.pool].held.insert(ask.holder.clone(), held);
        Ok((wanted, again))
    }

    /// Of a pool with as many units of anonymous sessions as there may be, one goes for another one.
    fn keep_to_the_anonymous_cap(&mut self, ask: &Ask, spared: [&Holder; 2], wanted: u64) -> Result<(), DenyReason> {
        let pool = ask.pool;
        let Some(cap) = self.pools[pool].rules.anonymous_cap.filter(|_| ask.anonymous()) else { return Ok(()) };
        let left = move |model: &Self| cap as i64 - model.anonymous(pool) as i64;
        let whom = self.pools[pool].rules.evict.min(Evict::Anonymous);
        if left(self) >= wanted as i64 || self.evict(ask, spared, whom, wanted, &left) {
            return Ok(());
        }
        Err(self.why_full(pool, self.pools[pool].rules.capacity, Rank::Ordinary, wanted))
    }

    /// Full for everybody is the better reason.
    fn why_full(&self, pool: usize, limit: u64, rank: Rank, wanted: u64) -> DenyReason {
        let exhausted = self.room(pool, limit, rank).free < wanted;
        if exhausted { DenyReason::PoolExhausted } else { DenyReason::Reserved }
    }

    /// Finds so many units: free ones, those that linger with others, the overdraft, those of sessions that go for it. What who
    /// asks has `brought` along it keeps.
    pub fn make_room(
        &mut self,
        ask: &Ask,
        spared: [&Holder; 2],
        wanted: u64,
        brought: u64,
    ) -> Result<Room, DenyReason> {
        let pool = ask.pool;
        let capacity = self.pools[pool].rules.capacity;
        let room = self.room(pool, capacity, ask.rank);
        if room.all() >= wanted {
            return Ok(room);
        }
        if wanted <= brought {
            return Ok(Room { free: brought, common: brought, own: 0, ..room });
        }
        self.reclaim(ask, spared, wanted);
        let room = self.room(pool, capacity, ask.rank);
        if room.all() >= wanted {
            return Ok(room);
        }
        let limit = self.pools[pool].limit(self.now);
        let room = self.room(pool, limit, ask.rank);
        if room.all() >= wanted {
            return Ok(room);
        }
        let whom = self.whom_to_evict(ask, &room, wanted);
        let there = |model: &Self| model.room(pool, limit, ask.rank).reach;
        if self.evict(ask, spared, whom, wanted, &there) {
            return Ok(self.room(pool, limit, ask.rank));
        }
        Err(self.why_full(pool, limit, ask.rank, wanted))
    }

    /// Whose sessions may be ended for it: whoever has a soft reservation gets its units back from anybody; who comes without
    /// a name drives nobody out who has one.
    fn whom_to_evict(&self, ask: &Ask, room: &Room, wanted: u64) -> Evict {
        let pool = &self.pools[ask.pool];
        let soft = matches!(ask.rank, Rank::Reserved(_)) && !pool.apart(ask.rank).1;
        match pool.rules.evict {
            _ if soft && wanted - room.all() <= room.unused => Evict::Any,
            evict if ask.anonymous() => evict.min(Evict::Anonymous),
            evict => evict,
        }
    }

    /// Takes lingering units from users, those that took one longest ago first, as long as it helps.
    fn reclaim(&mut self, ask: &Ask, spared: [&Holder; 2], wanted: u64) {
        let pool = ask.pool;
        if !self.pools[pool].rules.reclaim {
            return;
        }
        let (of, capacity) = (&self.pools[pool], self.pools[pool].rules.capacity);
        let lingers = |(holder, held): &(&Holder, &Held)| {
            let may_be_had = matches!(holder, Holder::User(_)) && !spared.contains(holder);
            may_be_had && held.lingering > 0 && of.ripe(held) <= self.now
        };
        let users = of.held.iter().filter(lingers);
        let mut users: Vec<_> = users.map(|(holder, held)| (held.acquired, holder.clone())).collect();
        users.sort();
        for (_, holder) in users {
            let there = self.room(pool, capacity, ask.rank);
            if there.all() >= wanted {
                return;
            }
            let before = self.pools[pool].held.clone();
            self.dismiss(pool, &holder);
            // What is reserved for others is of no use.
            if self.room(pool, capacity, ask.rank).reach <= there.reach {
                self.pools[pool].held = before;
            } else {
                let (who, units) = (before[&holder].last, before[&holder].lingering);
                self.given.push(Given { evicted: false, who, holder, units });
            }
        }
    }

    /// Takes what lingers with a holder.
    pub fn dismiss(&mut self, pool: usize, holder: &Holder) {
        let connections = self.connections(pool, holder);
        let Some(held) = self.pools[pool].held.get_mut(holder) else { return };
        held.lingering = 0;
        held.trim();
        if connections == 0 && held.units() == 0 {
            self.pools[pool].held.remove(holder);
        }
    }

    /// Writes down what was worked out.
    fn hold(&mut self, ask: &Ask, wanted: u64, reserved: u64) {
        let (now, of) = (self.now, &self.pools[ask.pool]);
        let Some(mut held) = of.held.get(&ask.holder).cloned() else { return self.charge(ask) };
        if wanted > 0 {
            // All are held until the last of their times is over.
            if held.units() == 0 || now + of.least(ask.class) >= of.ripe(&held) {
                (held.acquired, held.class) = (now, ask.class);
            }
            held.needed += wanted;
        }
        if reserved > 0 {
            // Those of an earlier reservation count as nobody's in particular.
            if held.rank != ask.rank {
                (held.rank, held.reserved) = (ask.rank, 0);
            }
            held.reserved += reserved;
        }
        self.pools[ask.pool].held.insert(ask.holder.clone(), held);
        self.charge(ask);
    }

    /// The session has its new holder.
    fn charge(&mut self, ask: &Ask) {
        match ask.session {
            None => self.arriving = Some((ask.pool, ask.anonymous())),
            Some(number) if !ask.feature => self.sessions[number].holder = ask.holder.clone(),
            Some(_) => {}
        }
    }

    /// What was set aside for a waiter, who is about to take it; somebody whose turn it is not has to wait on.
    fn take_offer(&mut self, pool: usize, place: u64) -> Result<Option<Offer>, DenyReason> {
        let line = &mut self.pools[pool].line;
        let Some(position) = line.iter().position(|waiter| waiter.place == place) else {
            return Err(DenyReason::PoolExhausted);
        };
        let (before, rest) = line.split_at_mut(position);
        let waiter = &mut rest[0];
        if waiter.offer.is_none()
            && before.iter().any(|other| other.offer.is_none() && other.ask.lane() == waiter.ask.lane())
        {
            return Err(DenyReason::PoolExhausted);
        }
        Ok(waiter.offer.take())
    }
}
