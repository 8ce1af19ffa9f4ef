//! One connection more, worked out and not yet written: the units that it costs, and where they come from.

use std::sync::Arc;

use super::audit::AuditWhy;
use super::books::{Ledger, Totals, UserHolder};
use super::crowd::{Cause, Victims};
use super::desk::Desk;
use super::evict::{Need, Others};
use super::ledger::{Demand, OWN};
use super::policy::{self, Rank, Room, signed};
use super::queue::{self, Blocked};
use super::rules;
use super::waiter::Offer;
use crate::id::SessionId;
use crate::reason::{DenyReason, Evict};
use crate::table::Holder;

/// Users whose lingering units are looked at in one go.
pub(super) const AT_ONCE: usize = 16;

/// Who joins.
pub(super) struct Joining<'a> {
    pub demand: Demand<'a>,
    pub held: Option<UserHolder>,
    /// Whom the session comes from.
    pub left: Option<&'a Arc<str>>,
    /// Units that came free as it left.
    pub gave: u64,
    /// Who comes first.
    pub blocked: &'a [Blocked],
    /// What was set aside for it.
    pub aside: Offer,
}

/// What a join would change, worked out and not yet written.
pub(super) struct Joined {
    pub totals: Totals,
    pub holder: Option<UserHolder>,
    pub reclaimed: Vec<Reclaimed>,
    pub others: Others,
    pub why: AuditWhy,
}

/// A user whose lingering units are taken.
pub(super) struct Reclaimed {
    pub user: Arc<str>,
    /// The last of its sessions.
    pub last: SessionId,
    pub units: u64,
}

/// For whom units are looked for, and what that takes.
pub(super) struct Search<'a> {
    /// Whose units and sessions are left alone.
    spared: [Option<&'a Arc<str>>; 2],
    rank: Rank,
    anonymous: bool,
    /// Units that come free as it leaves its holder, or as sessions of its own user go.
    brought: u64,
    pub reclaimed: Vec<Reclaimed>,
    pub others: Others,
}

impl<'a> Search<'a> {
    /// One that has found nothing yet.
    pub fn new(spared: [Option<&'a Arc<str>>; 2], rank: Rank, anonymous: bool) -> Self {
        Self { spared, rank, anonymous, brought: 0, reclaimed: Vec::new(), others: Others::default() }
    }
}

impl Desk<'_> {
    /// Works out one connection more, or why it is refused.
    pub fn join<L: Ledger>(
        &self,
        ledger: &mut L,
        victims: &mut Victims<'_, L>,
        mut totals: Totals,
        joining: Joining<'_>,
    ) -> Result<Result<Joined, DenyReason>, L::Error> {
        let now = self.at.now.ms;
        let Joining { demand, held, left, gave, blocked, aside } = joining;
        let Demand { charge, rank, count, .. } = demand;
        let mut holder = match &charge.holder {
            Holder::Session => None,
            Holder::User(_) if rank == Rank::Excluded => return Ok(Err(DenyReason::Excluded)),
            Holder::User(_) | Holder::Taker(_) => Some(held.unwrap_or_else(|| UserHolder::new(now))),
        };
        let anonymous = charge.is_anonymous();
        let own = charge.holder.booked();
        let rank = if own.is_some() { rank } else { Rank::Ordinary };
        let mut search = Search { brought: gave, ..Search::new([own, left], rank, anonymous) };
        let mut why = AuditWhy::Nothing;
        let wanted = match (&mut holder, own) {
            (Some(holder), Some(user)) => {
                let mut needs = rules::needs(self.pool.rule, holder.connections, count, holder.needed());
                if needs.is_err() && self.make_place(ledger, victims, &mut search.others, user, holder)? {
                    needs = rules::needs(self.pool.rule, holder.connections, count, holder.needed());
                }
                let needs = match needs {
                    Ok(needs) => needs,
                    Err(reason) => return Ok(Err(reason)),
                };
                // Only where several had to go.
                let in_use = totals.in_use;
                holder.free(&mut totals, holder.needed().saturating_sub(needs));
                search.brought = gave.saturating_add(in_use.saturating_sub(totals.in_use));
                let again = needs.saturating_sub(holder.needed()).min(holder.lingering);
                if again > 0 {
                    why = AuditWhy::Lingering;
                    holder.lingering -= again;
                    totals.lingering = totals.lingering.saturating_sub(again);
                }
                // A holder with lingering units left keeps them until they end.
                needs.saturating_sub(holder.needed())
            }
            _ => OWN,
        };
        if anonymous
            && let Some(cap) = self.pool.anonymous_cap.filter(|cap| totals.anonymous.saturating_add(wanted) > *cap)
            && !self.make_anonymous(ledger, victims, &mut totals, &mut search, (cap, wanted))?
        {
            // Full for everybody is the better reason.
            let free = policy::room(self.pool, &totals, self.pool.capacity, Rank::Ordinary).free;
            return Ok(Err(if free < wanted { DenyReason::PoolExhausted } else { DenyReason::Reserved }));
        }
        let served = aside.until > 0 || wanted <= gave;
        if !served && queue::is_behind(self.pool, &totals, blocked, demand.place(), wanted) {
            // What is free is for those who come first.
            let free = policy::room(self.pool, &totals, self.pool.capacity, rank).free;
            return Ok(Err(if free < wanted { DenyReason::PoolExhausted } else { DenyReason::Reserved }));
        }
        if wanted > 0 {
            let (reserved, seat) = if wanted <= aside.units.saturating_add(if aside.until > 0 { gave } else { 0 }) {
                // It was there when it was set aside, whatever has changed since.
                (aside.reserved.min(wanted), policy::seat(rank))
            } else {
                match self.make_room(ledger, victims, &mut totals, &mut search, wanted)? {
                    Ok(room) => room.reserved(rank, wanted),
                    Err(reason) => return Ok(Err(reason)),
                }
            };
            totals.in_use = totals.in_use.saturating_add(wanted);
            if anonymous {
                totals.anonymous = totals.anonymous.saturating_add(wanted);
            }
            if let Some(holder) = &mut holder {
                holder.acquire(self.pool, charge.class, now, wanted);
                if reserved > 0 {
                    holder.reserve(&mut totals, seat, reserved);
                    why = if rank == Rank::Administrator { AuditWhy::BreakGlass } else { AuditWhy::Reserved };
                }
            }
            if totals.in_use.saturating_sub(self.pool.capacity) > totals.excess {
                why = AuditWhy::Overdraft;
            } else if why == AuditWhy::Nothing && !search.reclaimed.is_empty() && search.others.steps.is_empty() {
                why = AuditWhy::Reclaimed;
            }
        }
        let Search { reclaimed, others, .. } = search;
        if why == AuditWhy::Nothing && !others.steps.is_empty() {
            why = AuditWhy::Evicted;
        }
        totals.evicted = totals.evicted.saturating_add(others.steps.len() as u64);
        if let Some(holder) = &mut holder {
            holder.connections = holder.connections.saturating_add(count);
        }
        totals.rise(self.at.wall);
        Ok(Ok(Joined { totals, holder, reclaimed, others, why }))
    }

    /// Has an anonymous session go for another one, of a pool that has as many as it may; tells whether one does.
    fn make_anonymous<L: Ledger>(
        &self,
        ledger: &mut L,
        victims: &mut Victims<'_, L>,
        totals: &mut Totals,
        search: &mut Search<'_>,
        (cap, wanted): (u64, u64),
    ) -> Result<bool, L::Error> {
        let need = Need { spared: search.spared, whom: self.pool.evict.min(Evict::Anonymous), cause: Cause::Needed };
        let measure = |totals: &Totals| signed(cap).saturating_sub(signed(totals.anonymous));
        self.evict(ledger, victims, totals, &mut search.others, &need, (&measure, signed(wanted)))
    }

    /// Finds so many units for a rank: free ones, then those that linger with others (but for the spared), then the overdraft,
    /// then those of sessions that may be ended for it.
    pub fn make_room<L: Ledger>(
        &self,
        ledger: &mut L,
        victims: &mut Victims<'_, L>,
        totals: &mut Totals,
        search: &mut Search<'_>,
        wanted: u64,
    ) -> Result<Result<Room, DenyReason>, L::Error> {
        let (rank, spared, brought) = (search.rank, search.spared, search.brought);
        let (pool, now) = (self.pool, self.at.now.ms);
        let mut room = policy::room(pool, totals, pool.capacity, rank);
        // What a trade brings along it keeps, also where the pool was made smaller or units were set apart meanwhile.
        if room.all() < wanted && wanted <= brought {
            return Ok(Ok(room.kept(brought)));
        }
        let mut skip = 0;
        while room.all() < wanted && pool.reclaim && totals.lingering > 0 {
            let users = ledger.lingering(skip, AT_ONCE)?;
            skip += users.len();
            if users.is_empty() {
                break;
            }
            // What a session took for itself lingers for no other reason than its minimal time.
            let others = |user: &Arc<str>| !spared.contains(&Some(user)) && !Holder::takes(user);
            for user in users.into_iter().filter(others) {
                let Some(mut rest) = ledger.holder(&user)? else { continue };
                if room.all() >= wanted || rest.ripe(pool, now) > now {
                    continue;
                }
                let mut after = totals.clone();
                let units = rest.dismiss(&mut after);
                let with = policy::room(pool, &after, pool.capacity, rank);
                // What is reserved for others is of no use.
                if with.reach > room.reach {
                    (*totals, room) = (after, with);
                    search.others.set_holder(&user, rest);
                    search.reclaimed.push(Reclaimed { user, last: rest.last, units });
                }
            }
        }
        let limit = policy::limit(pool, totals, now);
        if room.all() < wanted && limit > pool.capacity {
            room = policy::room(pool, totals, limit, rank);
        }
        if room.all() < wanted
            && let (whom, cause) = policy::evicts(pool, rank, search.anonymous, &room, wanted)
            && whom != Evict::None
        {
            let need = Need { spared: search.spared, whom, cause };
            let measure = |totals: &Totals| policy::room(pool, totals, limit, rank).reach;
            let others = &mut search.others;
            if self.evict(ledger, victims, totals, others, &need, (&measure, signed(wanted)))? {
                room = policy::room(pool, totals, limit, rank);
            }
        }
        if room.all() >= wanted {
            totals.ceiling = limit;
            return Ok(Ok(room));
        }
        let exhausted = room.free < wanted;
        Ok(Err(if exhausted { DenyReason::PoolExhausted } else { DenyReason::Reserved }))
    }
}
