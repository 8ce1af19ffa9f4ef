//! The arithmetic of a pool's books over whatever keeps them: units, admission, lingering, levels, records.
//!
//! Each change is worked out before anything of it is written: a denial writes the count of denials and its record, and
//! nothing ever needs undoing. Whoever calls holds the pool: nobody else reads or changes it meanwhile.

use std::sync::Arc;

use super::audit::{AuditKind, AuditWhy};
use super::books::{AuditEntry, Ledger, Lingering, Orphan, Totals, UserHolder};
use super::crowd::{Cause, Victims};
use super::evict::{Need, Others, Step};
use super::policy::{self, Rank, Room};
use super::queue::{self, Blocked};
use super::rules;
use super::waiter::{Awaits, Offer, Waiter};
use crate::clock::Millis;
use crate::id::SessionId;
use crate::reason::{DenyReason, Evict, LicenseClass};
use crate::table::{Asking, At, Charge, Holder, PoolDefinition};

/// Units of a session that is its own holder: every rule charges one connection with one.
pub(super) const OWN: u64 = 1;
/// Users whose lingering units are looked at in one go.
const AT_ONCE: usize = 16;

/// Whether units were given, or why not.
pub(crate) type Verdict<T = ()> = Result<T, DenyReason>;

/// What a session asks of a pool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Demand<'a> {
    /// How it is to be charged.
    pub charge: &'a Charge,
    /// What its holder is to the pool.
    pub rank: Rank,
    /// How many connections at once; one that is its own holder has one.
    pub count: u64,
    /// Among those who wait: who has a lower one comes later.
    pub priority: i8,
    /// The number of its place, if it has waited.
    pub turn: Option<u64>,
    /// Whether a denial is the last word: it is counted and recorded.
    pub last: bool,
}

impl<'a> Demand<'a> {
    /// One that has nothing but its rank.
    pub fn new(charge: &'a Charge, rank: Rank) -> Self {
        Self::asking(charge, rank, Asking::default())
    }

    /// One that may have waited, or will.
    pub fn asking(charge: &'a Charge, rank: Rank, asking: Asking) -> Self {
        Self { charge, rank, count: 1, priority: asking.priority, turn: asking.place, last: asking.last }
    }
}

/// Charges one session more, or tells why not.
pub(crate) fn acquire<L: Ledger>(
    ledger: &mut L,
    pool: &PoolDefinition,
    at: At,
    session: SessionId,
    demand: Demand<'_>,
    victims: &mut Victims<'_, L>,
) -> Result<Verdict, L::Error> {
    let charge = demand.charge;
    let blocked = tidy(ledger, pool, at)?.blocked;
    let held = held(ledger, &charge.holder)?;
    let desk = Desk { pool, at, session, holder: &charge.holder, before: ledger.totals().in_use };
    let mut totals = ledger.totals().clone();
    let waiter = match desk.come_forward(ledger, &mut totals, &demand)? {
        Ok(waiter) => waiter,
        Err(reason) => return Ok(Err(reason)),
    };
    let desk = Desk { before: ledger.totals().in_use, ..desk };
    if is_one_too_many(ledger, pool, charge)? {
        return desk.refuse(ledger, &demand, waiter, DenyReason::HolderLimit);
    }
    match desk.join(
        ledger,
        victims,
        totals,
        Joining { demand, held, left: None, gave: 0, blocked: &blocked, aside: aside(waiter.as_ref()) },
    )? {
        Ok(joined) => {
            desk.apply(ledger, joined, AuditKind::Grant, waiter.as_ref())?;
            move_client(ledger, None, charge.client.as_ref())?;
            queue::serve(ledger, pool, at)?;
            Ok(Ok(()))
        }
        // It is asked again a moment later, and told then.
        Err(reason) if victims.again() => Ok(Err(reason)),
        Err(reason) => desk.refuse(ledger, &demand, waiter, reason),
    }
}

/// Frees what a session was charged that is its own holder since an instant, or lets it linger.
pub(crate) fn release<L: Ledger>(
    ledger: &mut L,
    pool: &PoolDefinition,
    at: At,
    session: SessionId,
    charge: &Charge,
    since: Millis,
) -> Result<(), L::Error> {
    give_back(ledger, pool, at, session, charge, since, 1)
}

/// The same of so many connections, which are one step.
pub(crate) fn give_back<L: Ledger>(
    ledger: &mut L,
    pool: &PoolDefinition,
    at: At,
    session: SessionId,
    charge: &Charge,
    since: Millis,
    count: u64,
) -> Result<(), L::Error> {
    expire(ledger, pool, at)?;
    let held = held(ledger, &charge.holder)?;
    let desk = Desk { pool, at, session, holder: &charge.holder, before: ledger.totals().in_use };
    let least = policy::least(pool, charge.class);
    let totals = ledger.totals();
    // After a power cut the clock may stand before what the books remember.
    let least = since.min(at.now.ms).saturating_add(least);
    let left = desk.leave(totals, charge, count, held, Some(least));
    hold(ledger, &charge.holder, left.rest)?;
    move_client(ledger, charge.client.as_ref(), None)?;
    if let Some(orphan) = &left.orphan {
        ledger.add_orphan(orphan)?;
    }
    desk.settle(ledger, if left.lingers { AuditKind::Linger } else { AuditKind::Release }, None, AuditWhy::Nothing)?;
    queue::serve(ledger, pool, at).map(drop)
}

/// Moves a session from one holder to another in one step; on a denial nothing changed. Nothing lingers: the unit goes along.
pub(crate) fn trade<L: Ledger>(
    ledger: &mut L,
    pool: &PoolDefinition,
    at: At,
    session: SessionId,
    from: &Charge,
    demand: Demand<'_>,
    victims: &mut Victims<'_, L>,
) -> Result<Verdict, L::Error> {
    let to = demand.charge;
    let blocked = tidy(ledger, pool, at)?.blocked;
    let leaves = held(ledger, &from.holder)?;
    let same = from.holder == to.holder;
    let joins = if same { None } else { held(ledger, &to.holder)? };
    let mut totals = ledger.totals().clone();
    let desk = Desk { pool, at, session, holder: &to.holder, before: totals.in_use };
    let waiter = match desk.come_forward(ledger, &mut totals, &demand)? {
        Ok(waiter) => waiter,
        Err(reason) => return Ok(Err(reason)),
    };
    let desk = Desk { before: ledger.totals().in_use, ..desk };
    let in_use = totals.in_use;
    if from.client != to.client && is_one_too_many(ledger, pool, to)? {
        return desk.refuse(ledger, &demand, waiter, DenyReason::HolderLimit);
    }
    let rest = desk.leave(&mut totals, from, 1, leaves, None).rest;
    let gave = in_use.saturating_sub(totals.in_use);
    let left = from.holder.booked();
    let held = if same { rest } else { joins };
    match desk.join(
        ledger,
        victims,
        totals,
        Joining { demand, held, left, gave, blocked: &blocked, aside: aside(waiter.as_ref()) },
    )? {
        Ok(joined) => {
            if !same {
                hold(ledger, &from.holder, rest)?;
            }
            desk.apply(ledger, joined, AuditKind::Trade, waiter.as_ref())?;
            move_client(ledger, from.client.as_ref(), to.client.as_ref())?;
            queue::serve(ledger, pool, at)?;
            Ok(Ok(()))
        }
        // It is asked again a moment later, and told then.
        Err(reason) if victims.again() => Ok(Err(reason)),
        Err(reason) => desk.refuse(ledger, &demand, waiter, reason),
    }
}

/// Frees what has lingered long enough, takes back what was set aside and not fetched, and serves who waits; every other
/// step does it first. Tells when there is more to do.
pub(crate) fn expire<L: Ledger>(ledger: &mut L, pool: &PoolDefinition, at: At) -> Result<Option<Millis>, L::Error> {
    Ok(tidy(ledger, pool, at)?.next)
}

/// What there is to know before a step.
#[derive(Default)]
struct Tidy {
    /// When there is more to do.
    next: Option<Millis>,
    /// Whose turn it is who can't be served.
    blocked: Vec<Blocked>,
}

#[inline]
fn tidy<L: Ledger>(ledger: &mut L, pool: &PoolDefinition, at: At) -> Result<Tidy, L::Error> {
    // Nothing lingers in most pools at most times, and nobody waits: one comparison.
    let totals = ledger.totals();
    if totals.lingering | totals.waiting == 0 {
        return Ok(Tidy::default());
    }
    let mut next = fade(ledger, pool, at)?;
    if ledger.totals().waiting == 0 {
        return Ok(Tidy { next, blocked: Vec::new() });
    }
    let lapse = queue::lapse(ledger, pool, at)?;
    let blocked = queue::serve(ledger, pool, at)?;
    let lapse = ledger.first_lapse()?.map(|(until, _)| until).or(lapse);
    next = next.into_iter().chain(lapse).min();
    if !blocked.is_empty() && pool.reclaim && pool.min_hold > 0 && ledger.totals().lingering > 0 {
        // A unit that lingers may be reclaimed once it has been held for its minimal time.
        let held = match ledger.lingering(0, 1)?.first() {
            Some(user) => ledger.holder(user)?,
            None => None,
        };
        let ripe = held.map(|held| held.acquired.saturating_add(pool.min_hold)).filter(|ripe| *ripe > at.now.ms);
        next = next.into_iter().chain(ripe).min();
    }
    Ok(Tidy { next, blocked })
}

/// Frees what has lingered long enough; tells when the next comes.
fn fade<L: Ledger>(ledger: &mut L, pool: &PoolDefinition, at: At) -> Result<Option<Millis>, L::Error> {
    while ledger.totals().lingering > 0 {
        let Some((until, lingering)) = ledger.first_lingering()? else { return Ok(None) };
        if until > at.now.ms {
            return Ok(Some(until));
        }
        let before = ledger.totals().in_use;
        let (session, holder) = match lingering {
            Lingering::User(user) => {
                let Some(mut held) = ledger.holder(&user)? else { return Ok(None) };
                let totals = ledger.totals();
                let units = held.dismiss(totals);
                let holder = Holder::of(user);
                if holder.class_of_takes() == LicenseClass::Anonymous {
                    totals.anonymous = totals.anonymous.saturating_sub(units);
                }
                hold(ledger, &holder, held.kept())?;
                (held.last, holder)
            }
            Lingering::Orphan(orphan) => {
                ledger.remove_orphan(&orphan)?;
                let totals = ledger.totals();
                totals.lingering = totals.lingering.saturating_sub(OWN);
                totals.in_use = totals.in_use.saturating_sub(OWN);
                totals.anonymous = totals.anonymous.saturating_sub(u64::from(orphan.anonymous));
                (orphan.session, Holder::Session)
            }
        };
        let desk = Desk { pool, at, session, holder: &holder, before };
        desk.settle(ledger, AuditKind::Release, None, AuditWhy::Lingered)?;
    }
    Ok(None)
}

/// Whether a client has as many anonymous sessions as it may.
#[inline]
fn is_one_too_many<L: Ledger>(ledger: &mut L, pool: &PoolDefinition, charge: &Charge) -> Result<bool, L::Error> {
    match (&charge.client, pool.anonymous_per_client) {
        (Some(client), Some(most)) => Ok(ledger.client(client)? >= most),
        _ => Ok(false),
    }
}

/// Counts a session with another client than before.
#[inline]
fn move_client<L: Ledger>(ledger: &mut L, from: Option<&Arc<str>>, to: Option<&Arc<str>>) -> Result<(), L::Error> {
    if from == to {
        return Ok(());
    }
    if let Some(client) = from {
        let sessions = ledger.client(client)?.saturating_sub(1);
        ledger.set_client(client, sessions)?;
    }
    if let Some(client) = to {
        let sessions = ledger.client(client)?.saturating_add(1);
        ledger.set_client(client, sessions)?;
    }
    Ok(())
}

/// Units that so many connections more cost their holder beyond what it has; those that linger with it count as had.
pub(super) fn wanted(pool: &PoolDefinition, charge: &Charge, count: u64, held: Option<&UserHolder>) -> Verdict<u64> {
    match charge.holder.booked() {
        None => Ok(OWN),
        Some(_) => {
            let (connections, units, needed) =
                held.map_or((0, 0, 0), |held| (held.connections, held.units, held.needed()));
            // A holder with lingering units left keeps them until they end.
            Ok(rules::needs(pool.rule, connections, count, needed)?.saturating_sub(units))
        }
    }
}

pub(super) fn held<L: Ledger>(ledger: &mut L, holder: &Holder) -> Result<Option<UserHolder>, L::Error> {
    match holder.booked() {
        None => Ok(None),
        Some(name) => ledger.holder(name),
    }
}

fn hold<L: Ledger>(ledger: &mut L, holder: &Holder, held: Option<UserHolder>) -> Result<(), L::Error> {
    match holder.booked() {
        None => Ok(()),
        Some(name) => ledger.set_holder(name, held),
    }
}

/// One change of a pool.
#[derive(Clone, Copy)]
pub(super) struct Desk<'a> {
    pub pool: &'a PoolDefinition,
    pub at: At,
    pub session: SessionId,
    /// Who the record names.
    pub holder: &'a Holder,
    /// Units in use before.
    pub before: u64,
}

/// Who joins.
struct Joining<'a> {
    demand: Demand<'a>,
    held: Option<UserHolder>,
    /// Whom the session comes from.
    left: Option<&'a Arc<str>>,
    /// Units that came free as it left.
    gave: u64,
    /// Who comes first.
    blocked: &'a [Blocked],
    /// What was set aside for it.
    aside: Offer,
}

/// What was set aside for a waiter.
fn aside(waiter: Option<&Waiter>) -> Offer {
    match waiter.map(|waiter| waiter.awaits) {
        Some(Awaits::Claim(offer)) => offer,
        _ => Offer::default(),
    }
}

/// What a join would change, worked out and not yet written.
struct Joined {
    totals: Totals,
    holder: Option<UserHolder>,
    reclaimed: Vec<Reclaimed>,
    others: Others,
    why: AuditWhy,
}

/// A user whose lingering units are taken.
pub(super) struct Reclaimed {
    user: Arc<str>,
    /// The last of its sessions.
    last: SessionId,
    units: u64,
}

/// For whom units are looked for, and what that takes.
pub(super) struct Search<'a> {
    /// Whose units and sessions are left alone.
    spared: [Option<&'a Arc<str>>; 2],
    rank: Rank,
    anonymous: bool,
    pub reclaimed: Vec<Reclaimed>,
    pub others: Others,
}

impl<'a> Search<'a> {
    /// One that has found nothing yet.
    pub fn new(spared: [Option<&'a Arc<str>>; 2], rank: Rank, anonymous: bool) -> Self {
        Self { spared, rank, anonymous, reclaimed: Vec::new(), others: Others::default() }
    }
}

/// What a leave changed.
pub(super) struct Left {
    rest: Option<UserHolder>,
    orphan: Option<Orphan>,
    lingers: bool,
}

impl<'a> Desk<'a> {
    /// A change that concerns one who waits.
    pub fn of<L: Ledger>(ledger: &mut L, pool: &'a PoolDefinition, at: At, waiter: &'a Waiter) -> Self {
        Self { pool, at, session: waiter.session, holder: &waiter.charge.holder, before: ledger.totals().in_use }
    }

    /// Who has waited gives back what was set aside, to take it now. One who does not wait any more, or whose turn it is
    /// not, has to go on waiting.
    fn come_forward<L: Ledger>(
        &self,
        ledger: &mut L,
        totals: &mut Totals,
        demand: &Demand<'_>,
    ) -> Result<Verdict<Option<Waiter>>, L::Error> {
        let Some(seq) = demand.turn else { return Ok(Ok(None)) };
        let Some(mut waiter) = ledger.waiter(seq)? else { return Ok(Err(DenyReason::PoolExhausted)) };
        if waiter.awaits == Awaits::Nothing {
            // It overslept its turn, and is first again.
            ledger.set_waiter(&Waiter { awaits: Awaits::Turn, ..waiter.clone() }, waiter.awaits)?;
            queue::serve(ledger, self.pool, self.at)?;
            *totals = ledger.totals().clone();
            match ledger.waiter(seq)? {
                Some(again) => waiter = again,
                None => return Ok(Err(DenyReason::PoolExhausted)),
            }
        }
        if waiter.awaits == Awaits::Turn && ledger.head(waiter.lane)?.is_none_or(|head| head.turn != waiter.turn) {
            return Ok(Err(DenyReason::PoolExhausted));
        }
        queue::take_back(totals, &waiter);
        Ok(Ok(Some(waiter)))
    }

    /// A demand that can't be met: the last word, or one of those who wait on.
    fn refuse<L: Ledger>(
        &self,
        ledger: &mut L,
        demand: &Demand<'_>,
        waiter: Option<Waiter>,
        reason: DenyReason,
    ) -> Result<Verdict, L::Error> {
        let mut before = self.before;
        if let Some(waiter) = waiter.filter(|waiter| matches!(waiter.awaits, Awaits::Claim(_))) {
            queue::withdraw(ledger, self.pool, self.at, &waiter, Awaits::Turn)?;
            before = ledger.totals().in_use;
        }
        if demand.last || !queue::may_come(&Err(reason)) {
            Desk { before, ..*self }.deny(ledger, reason)?.ok();
        }
        queue::serve(ledger, self.pool, self.at)?;
        Ok(Err(reason))
    }
}

impl Desk<'_> {
    /// Works out one connection more, or why it is refused.
    fn join<L: Ledger>(
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
        let mut search = Search::new([own, left], rank, anonymous);
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
                holder.free(&mut totals, holder.needed().saturating_sub(needs));
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
        let waits = demand.turn.is_some() || wanted <= gave;
        if !waits && queue::is_behind(self.pool, &totals, blocked, &demand, wanted) {
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
                holder.units = holder.units.saturating_add(wanted);
                holder.acquired = now;
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
        let measure = |totals: &Totals| cap.saturating_sub(totals.anonymous);
        self.evict(ledger, victims, totals, &mut search.others, &need, (&measure, wanted))
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
        let (rank, spared) = (search.rank, search.spared);
        let (pool, now) = (self.pool, self.at.now.ms);
        let brought = self.before.saturating_sub(totals.in_use);
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
                if room.all() >= wanted || rest.acquired.min(now).saturating_add(pool.min_hold) > now {
                    continue;
                }
                let mut after = totals.clone();
                let units = rest.dismiss(&mut after);
                let with = policy::room(pool, &after, pool.capacity, rank);
                // What is reserved for others is of no use.
                if with.all() > room.all() {
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
            // Of a capacity that was lowered nothing is taken: first the excess drains.
            && totals.excess == 0
        {
            let need = Need { spared: search.spared, whom, cause };
            let measure = |totals: &Totals| policy::room(pool, totals, limit, rank).all();
            let others = &mut search.others;
            if self.evict(ledger, victims, totals, others, &need, (&measure, wanted))? {
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

    /// Writes what a join worked out.
    fn apply<L: Ledger>(
        &self,
        ledger: &mut L,
        joined: Joined,
        kind: AuditKind,
        waiter: Option<&Waiter>,
    ) -> Result<(), L::Error> {
        *ledger.totals() = joined.totals;
        let before = self.give_up(ledger, joined.reclaimed, joined.others)?;
        hold(ledger, self.holder, joined.holder)?;
        let mut why = joined.why;
        if let Some(waiter) = waiter {
            ledger.remove_waiter(waiter)?;
            let totals = ledger.totals();
            totals.waiting = totals.waiting.saturating_sub(1);
            why = if why == AuditWhy::Nothing { AuditWhy::Waited } else { why };
        }
        Desk { before, ..*self }.settle(ledger, kind, None, why)
    }

    /// Writes what was taken from others; tells the units in use after it.
    pub fn give_up<L: Ledger>(
        &self,
        ledger: &mut L,
        reclaimed: Vec<Reclaimed>,
        others: Others,
    ) -> Result<u64, L::Error> {
        let reclaimed = reclaimed.into_iter().map(|Reclaimed { user, last, units }| {
            (AuditKind::Reclaim, AuditWhy::Nothing, last, Holder::User(user), units)
        });
        for step in &others.steps {
            move_client(ledger, step.charge.client.as_ref(), None)?;
        }
        let evicted = others.steps.into_iter().map(|Step { session, charge, units }| {
            (AuditKind::Release, AuditWhy::Evicted, session, charge.holder, units)
        });
        for (user, rest) in others.users {
            ledger.set_holder(&user, rest.kept())?;
        }
        let mut before = self.before;
        for (kind, why, session, holder, units) in reclaimed.chain(evicted) {
            let after = before.saturating_sub(units);
            if self.pool.audit_records > 0 {
                let (at, holder) = (self.at.now.ms, &holder);
                ledger.record(&AuditEntry { at, kind, session, holder, before, after, reason: None, why })?;
            }
            before = after;
        }
        Ok(before)
    }

    /// Counts so many connections less: the holder without them. What nobody needs any more is kept until `least` at the
    /// earliest, and a user's lingers; with `None` it is free at once.
    pub fn leave(
        &self,
        totals: &mut Totals,
        charge: &Charge,
        count: u64,
        held: Option<UserHolder>,
        least: Option<Millis>,
    ) -> Left {
        let now = self.at.now.ms;
        let anonymous = charge.is_anonymous();
        match (&charge.holder, held) {
            (Holder::Session, _) => {
                if let Some(until) = least.filter(|least| *least > now) {
                    totals.lingering += OWN;
                    let orphan = Orphan { session: self.session, anonymous, until };
                    return Left { rest: None, orphan: Some(orphan), lingers: true };
                }
                totals.anonymous = totals.anonymous.saturating_sub(if anonymous { OWN } else { 0 });
                totals.in_use = totals.in_use.saturating_sub(OWN);
                Left { rest: None, orphan: None, lingers: false }
            }
            (_, Some(mut held)) => {
                let needed = held.needed();
                held.connections = held.connections.saturating_sub(count);
                held.last = self.session;
                let spare = needed.saturating_sub(rules::units(self.pool.rule, held.connections, needed));
                let (linger, min_hold) = match charge.holder {
                    Holder::Taker(_) => (0, policy::least(self.pool, charge.class)),
                    _ => (self.pool.linger, self.pool.min_hold),
                };
                let until = now.saturating_add(linger).max(held.acquired.min(now).saturating_add(min_hold));
                let lingers = spare > 0 && least.is_some() && until > now;
                if lingers {
                    held.lingering += spare;
                    held.until = held.until.max(until);
                    totals.lingering += spare;
                } else {
                    held.free(totals, spare);
                    totals.anonymous = totals.anonymous.saturating_sub(if anonymous { spare } else { 0 });
                }
                Left { rest: held.kept(), orphan: None, lingers }
            }
            (_, None) => Left { rest: None, orphan: None, lingers: false },
        }
    }

    pub fn deny<L: Ledger>(&self, ledger: &mut L, reason: DenyReason) -> Result<Verdict, L::Error> {
        let totals = ledger.totals();
        totals.denials = totals.denials.saturating_add(1);
        self.settle(ledger, AuditKind::Denial, Some(reason), AuditWhy::Nothing)?;
        Ok(Err(reason))
    }

    /// Tells the level, keeps the counters and the record.
    #[inline(always)]
    pub fn settle<L: Ledger>(
        &self,
        ledger: &mut L,
        kind: AuditKind,
        reason: Option<DenyReason>,
        why: AuditWhy,
    ) -> Result<(), L::Error> {
        let now = self.at.now.ms;
        let totals = ledger.totals();
        let after = totals.in_use;
        totals.overdrawn = (after > self.pool.capacity).then(|| totals.overdrawn.unwrap_or(now));
        totals.excess = totals.excess.min(after.saturating_sub(self.pool.capacity));
        let raised = after > totals.mark;
        if raised {
            totals.mark = after;
        }
        let level = policy::level(self.pool, totals.level, after);
        if level != totals.level {
            totals.level = level;
            ledger.level(level, after)?;
        }
        if raised {
            ledger.raise_marks(after, self.at.wall)?;
        }
        ledger.keep_totals()?;
        if self.pool.audit_records == 0 {
            return Ok(());
        }
        let (session, holder) = (self.session, self.holder);
        ledger.record(&AuditEntry { at: now, kind, session, holder, before: self.before, after, reason, why })
    }
}
