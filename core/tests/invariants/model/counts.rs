//! What there is: everything is counted anew from the sessions, from what they left and from who waits.

use libsession_core::EndReason;

use super::pool::{Held, Rank};
use super::session::{Holder, Session};
use super::{Model, NEVER};

/// What there is to take for one rank.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Units that nobody has.
    pub free: u64,
    /// Those of them that are set apart for nobody.
    pub common: u64,
    /// Those that nobody but this rank may take.
    pub own: u64,
    /// Those of this rank's reservation that its members don't hold.
    pub unused: u64,
    /// What it may take; where that is less than nothing, how many units must come free before there is anything.
    pub reach: i64,
}

impl Room {
    pub fn all(&self) -> u64 {
        (self.common + self.own).min(self.free)
    }

    /// How many of so many units count as reserved for a rank.
    pub fn reserved(&self, rank: Rank, wanted: u64) -> u64 {
        match rank {
            Rank::Reserved(_) => wanted.min(self.unused),
            // The glass is broken last.
            Rank::Administrator => wanted.saturating_sub(self.common).min(self.own),
            Rank::Ordinary | Rank::Excluded => 0,
        }
    }
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

    /// Live sessions that are charged to a holder of a pool for their license.
    pub fn charged(&self, pool: usize, holder: &Holder) -> Vec<usize> {
        let those = self.live().filter(|(_, session)| session.pool == Some(pool) && session.holder == *holder);
        those.map(|(number, _)| number).collect()
    }

    /// Its sessions, and how often they took the pool as a feature.
    pub fn connections(&self, pool: usize, holder: &Holder) -> u64 {
        let takes = self.live().flat_map(|(_, session)| &session.takes);
        let takes = takes.filter(|taken| taken.pool == pool && taken.holder == *holder);
        self.charged(pool, holder).len() as u64 + takes.map(|taken| taken.count).sum::<u64>()
    }

    pub fn offered(&self, pool: usize) -> u64 {
        self.pools[pool].line.iter().filter_map(|waiter| waiter.offer).map(|offer| offer.units).sum()
    }

    pub fn lingering(&self, pool: usize) -> u64 {
        let pool = &self.pools[pool];
        pool.orphans.len() as u64 + pool.held.values().map(|held| held.lingering).sum::<u64>()
    }

    pub fn in_use(&self, pool: usize) -> u64 {
        let own = self.charged(pool, &Holder::Itself).len() + self.pools[pool].orphans.len();
        let arriving = u64::from(self.arriving.is_some_and(|(of, _)| of == pool));
        let held = self.pools[pool].held.values().map(Held::units).sum::<u64>();
        own as u64 + arriving + held + self.offered(pool)
    }

    /// Units of anonymous sessions.
    pub fn anonymous(&self, pool: usize) -> u64 {
        let own = self.charged(pool, &Holder::Itself).into_iter();
        let own = own.filter(|number| self.sessions[*number].anonymous).count();
        let orphans = self.pools[pool].orphans.iter().filter(|orphan| orphan.anonymous).count();
        let takers = self.pools[pool].held.iter().filter(|(name, _)| matches!(name, Holder::Taker(_, true)));
        let waiters = self.pools[pool].line.iter().filter(|waiter| waiter.ask.anonymous());
        let offered = waiters.filter_map(|waiter| waiter.offer).map(|offer| offer.units).sum::<u64>();
        let arriving = u64::from(self.arriving == Some((pool, true)));
        (own + orphans) as u64 + arriving + takers.map(|(_, held)| held.units()).sum::<u64>() + offered
    }

    /// Units of a reservation that its own hold, or that are set aside for them.
    fn reserved(&self, pool: usize, rank: Rank) -> u64 {
        let held = self.pools[pool].held.values().filter(|held| held.rank == rank).map(|held| held.reserved);
        let waiters = self.pools[pool].line.iter().filter(|waiter| waiter.ask.rank == rank);
        held.sum::<u64>() + waiters.filter_map(|waiter| waiter.offer).map(|offer| offer.reserved).sum::<u64>()
    }

    /// What a rank may take within a limit.
    pub fn room(&self, pool: usize, limit: u64, rank: Rank) -> Room {
        let free = limit.saturating_sub(self.in_use(pool));
        let unused = |rank| {
            let (units, hard) = self.pools[pool].apart(rank);
            (units.saturating_sub(self.reserved(pool, rank)), hard)
        };
        let reservations = (0..self.pools[pool].rules.reservations.len()).map(Rank::Reserved);
        let all = reservations.chain([Rank::Administrator]).map(unused);
        let apart: u64 = all.filter(|(_, hard)| *hard).map(|(units, _)| units).sum();
        let (mine, hard) = unused(rank);
        let own = if hard { mine } else { 0 };
        let left = limit as i64 - self.in_use(pool) as i64;
        let reach = left.min(left - apart as i64 + own as i64);
        Room { free, common: free.saturating_sub(apart), own, unused: mine, reach }
    }

    /// What is available of a pool: what anybody may have, what hard reservations keep for their own, and what is behind glass;
    /// and what soft ones have not used.
    pub fn parts(&self, pool: usize) -> [u64; 4] {
        let available = self.pools[pool].rules.capacity.saturating_sub(self.in_use(pool));
        let (mut kept, mut soft) = (0, 0);
        for position in 0..self.pools[pool].rules.reservations.len() {
            let rank = Rank::Reserved(position);
            let (units, hard) = self.pools[pool].apart(rank);
            *(if hard { &mut kept } else { &mut soft }) += units.saturating_sub(self.reserved(pool, rank));
        }
        let kept = kept.min(available);
        let glass = self.pools[pool].rules.break_glass.saturating_sub(self.reserved(pool, Rank::Administrator));
        let glass = glass.min(available - kept);
        [available - kept - glass, kept, glass, soft]
    }

    /// The first thing that happens by itself to a session, with its number.
    pub fn next_session(&self) -> Option<(u64, usize)> {
        self.live().map(|(number, session)| (session.next(), number)).min().filter(|(at, _)| *at < NEVER)
    }

    /// Who was evicted.
    pub fn evicted(&self) -> Vec<usize> {
        let ended = self.sessions.iter().enumerate().filter_map(|(number, session)| Some((number, session.ended?)));
        ended.filter(|(_, (_, reason))| *reason == EndReason::Evicted).map(|(number, _)| number).collect()
    }
}
