//! Who goes for whom.

use libsession_core::{Evict, reason::AtSessionLimit};

use super::Model;
use super::account::Given;
use super::admit::Ask;
use super::session::Holder;

impl Model {
    /// Has sessions go until there is enough, those idle longest first, anonymous ones before all others; only such as bring
    /// it nearer. Tells whether it is enough; if not, nobody went.
    pub fn evict(
        &mut self,
        ask: &Ask,
        spared: [&Holder; 2],
        whom: Evict,
        enough: u64,
        there: &dyn Fn(&Self) -> i64,
    ) -> bool {
        // Of a capacity that was lowered nothing is taken: first the excess drains.
        if ask.feature || self.pools[ask.pool].excess > 0 {
            return false;
        }
        let (before, enough) = (self.clone(), enough as i64);
        for anonymous in [true, false] {
            if whom == Evict::None || (!anonymous && whom != Evict::Any) {
                continue;
            }
            for number in self.idlest(ask.pool, anonymous) {
                let had = there(self);
                if had >= enough {
                    return true;
                }
                let Some(group) = self.group(ask, spared, number) else { continue };
                let before = self.clone();
                self.go(&group);
                // What comes free and is set apart for others is of no use.
                if there(self) <= had {
                    *self = before;
                }
            }
        }
        if there(self) >= enough {
            return true;
        }
        *self = before;
        false
    }

    /// Sessions of a pool that have been idle long enough, the longest idle first.
    fn idlest(&self, pool: usize, anonymous: bool) -> Vec<usize> {
        let idle = self.pools[pool].rules.evict_idle.as_millis() as u64;
        let charged = self.live().filter(|(_, session)| session.pool == Some(pool) && session.holder != Holder::Nobody);
        let those = charged.filter(|(_, session)| session.anonymous == anonymous);
        let those = those.filter(|(_, session)| session.used(self.now) + idle <= self.now);
        let mut those: Vec<_> = those.map(|(number, session)| (session.used(self.now), number)).collect();
        those.sort_unstable();
        those.into_iter().map(|(_, number)| number).collect()
    }

    /// The sessions that go with this one for a unit, if it is the last used of them.
    fn group(&self, ask: &Ask, spared: [&Holder; 2], number: usize) -> Option<Vec<usize>> {
        let (pool, session) = (&self.pools[ask.pool], &self.sessions[number]);
        let may_go = session.requests.is_empty() && ask.session != Some(number) && !self.going.contains(&number);
        let is_spared = session.holder.is_counted() && spared.contains(&&session.holder);
        if !may_go || is_spared {
            return None;
        }
        if session.holder == Holder::Itself {
            return (session.licensed + pool.least(session.class()) <= self.now).then(|| vec![number]);
        }
        let held = pool.held.get(&session.holder)?;
        let connections = self.connections(ask.pool, &session.holder);
        let after = |count: u64| pool.units(connections - count, held.needed);
        // As many as it takes to free a unit: all, or none.
        let count = (1..=connections).find(|count| after(*count) < held.needed)?;
        let free = held.needed - after(count);
        if pool.ripe(held) > self.now || free > held.units() - held.reserved {
            return None;
        }
        let mut group = self.charged(ask.pool, &session.holder);
        group.sort_by_key(|number| (self.sessions[*number].used(self.now), *number));
        group.retain(|number| self.sessions[*number].requests.is_empty());
        if count == 1 {
            return Some(vec![number]);
        }
        group.truncate(count as usize);
        (group.len() as u64 == count && group.last() == Some(&number)).then_some(group)
    }

    /// They lose their license at once; they are buried when it is sure that they go.
    fn go(&mut self, group: &[usize]) {
        let pool = self.sessions[group[0]].pool.expect("it is charged");
        for number in group {
            let (before, who) = (self.in_use(pool), self.sessions[*number].serial);
            let holder = self.leave_holder(*number);
            self.going.push(*number);
            let units = before - self.in_use(pool);
            self.given.push(Given { evicted: true, who, holder, units });
        }
    }

    /// Has sessions of a user go that has as many as a holder may, so that there may be one more. It may have requests in
    /// flight, as its own user wants it so; its units stay with the user.
    pub fn make_place(&mut self, ask: &Ask) {
        if ask.feature {
            return;
        }
        let pool = &self.pools[ask.pool];
        let mut own = self.charged(ask.pool, &ask.holder);
        match pool.rules.at_session_limit {
            AtSessionLimit::EvictOldest => {}
            AtSessionLimit::EvictLongestIdle => {
                own.sort_by_key(|number| (self.sessions[*number].used(self.now), *number));
            }
            _ => return,
        }
        let count = self.connections(ask.pool, &ask.holder) + 1 - pool.most();
        if (own.len() as u64) < count {
            return;
        }
        for number in own.into_iter().take(count as usize) {
            let holder = std::mem::replace(&mut self.sessions[number].holder, Holder::Nobody);
            self.going.push(number);
            let who = self.sessions[number].serial;
            self.given.push(Given { evicted: true, who, holder, units: 0 });
        }
    }
}
