//! When a refused call would get in if nobody did anything: tried at every instant at which anything changes by itself.

use libsession_core::DenyReason;

use super::moves::{Outcome, Wish};
use super::session::Holder;
use super::{Model, NEVER};

/// No more is told than that it takes so long.
const SOON: u64 = 1000;
/// Far enough to outlast every history, and to reckon with.
const STAYS: u64 = NEVER / 4;

/// A call was refused.
#[derive(Clone, Copy, Debug)]
pub struct Denial {
    pub reason: DenyReason,
    /// After what time the same call would get in at the earliest; none if it never would.
    pub after: Option<u64>,
    /// Whether that is exact: who waits may be evicted for, or get in another way.
    pub sure: bool,
}

impl PartialEq for Denial {
    fn eq(&self, other: &Self) -> bool {
        self.reason == other.reason && (!self.sure || !other.sure || self.after == other.after)
    }
}

impl Model {
    /// What is told of a refusal: when it would be over, if only time passed.
    pub fn denial(
        &self,
        pool: usize,
        reason: DenyReason,
        session: Option<usize>,
        again: &dyn Fn(&mut Self) -> bool,
    ) -> Denial {
        let comes = matches!(reason, DenyReason::PoolExhausted | DenyReason::Reserved) && !self.is_idle;
        let back = if comes { self.first(pool, session, again) } else { None };
        let of = &self.pools[pool];
        let plain = |waiter: &super::line::Waiter| waiter.ask.holder == Holder::Itself && waiter.gives == 0;
        let sure = of.line.is_empty() || !of.may_evict() && of.line.iter().all(plain);
        Denial { reason, sure, after: back.map(|back| (back - self.now).max(SOON)) }
    }

    /// The same of what somebody wished.
    pub fn denial_of(&self, pool: usize, wish: &Wish, priority: i8, reason: DenyReason) -> Denial {
        let again = |model: &mut Self| {
            let outcome = model.attempt(wish, priority, None, true);
            matches!(outcome, Ok(Outcome::Done | Outcome::Made(..) | Outcome::LoggedIn(_, None)))
        };
        self.denial(pool, reason, wish.request().map(|(number, _)| number), &again)
    }

    /// The first instant at which it succeeds. Who asks stays, and so do those who waited and got what they waited for.
    fn first(&self, pool: usize, session: Option<usize>, again: &dyn Fn(&mut Self) -> bool) -> Option<u64> {
        let mut idle = self.clone();
        idle.is_idle = true;
        let waits = self.pools[pool].line.iter().filter_map(|waiter| waiter.ask.session);
        waits.chain(session).for_each(|number| idle.stay(number));
        idle.advance(0);
        for _ in 0..10_000 {
            if again(&mut idle.clone()) {
                return Some(idle.now);
            }
            let next = idle.next_change()?;
            idle.advance(next - idle.now);
        }
        panic!("time does not come to an end");
    }

    /// A session is in use all the time.
    pub fn stay(&mut self, number: usize) {
        let session = &mut self.sessions[number];
        (session.idle, session.absolute_at) = (0, NEVER);
        session.requests.iter_mut().for_each(|(_, start, _)| *start = STAYS);
    }

    /// When something changes next by itself, also where nobody notices: somebody may be evicted, or reclaimed from, then.
    fn next_change(&self) -> Option<u64> {
        let quiet = self.pools.iter().enumerate().flat_map(|(number, pool)| {
            let idle = pool.rules.evict_idle.as_millis() as u64;
            let live = self.live().filter(move |(_, one)| one.pool == Some(number) && one.holder != Holder::Nobody);
            let sessions = live.flat_map(move |(_, one)| {
                let used = (!one.is_used()).then_some(one.last_used + idle);
                used.into_iter().chain([one.licensed + pool.least(one.class())])
            });
            sessions.chain(pool.held.values().map(|held| pool.ripe(held)))
        });
        self.next_due().into_iter().chain(quiet.filter(|at| *at > self.now)).min().filter(|at| *at < STAYS)
    }
}
