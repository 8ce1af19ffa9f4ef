//! The arithmetic of a pool's books over whatever keeps them: units, admission, lingering, levels, records.
//!
//! Each change is worked out before anything of it is written: a denial writes the count of denials and its record, and
//! nothing ever needs undoing. Whoever calls holds the pool: nobody else reads or changes it meanwhile.

use std::cmp::Reverse;
use std::sync::Arc;

use super::audit::{AuditKind, AuditWhy};
use super::books::{Ledger, UserHolder};
use super::crowd::Victims;
use super::desk::Desk;
use super::join::Joining;
use super::plain;
use super::policy::{self, Rank};
use super::queue;
use super::rules;
pub(crate) use super::tidy::expire;
use super::tidy::tidy;
use super::waiter::{Awaits, Lane, Offer, Turn, Waiter};
use crate::clock::Millis;
use crate::id::SessionId;
use crate::reason::DenyReason;
use crate::table::{Asking, At, Charge, Holder, PoolDefinition};

/// Units of a session that is its own holder: every rule charges one connection with one.
pub(super) const OWN: u64 = 1;

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

    /// Where it comes in among those who wait: who does not wait comes after all of its priority.
    pub fn place(&self) -> (Lane, Rank, Turn) {
        let turn = Turn { priority: Reverse(self.priority), seq: self.turn.unwrap_or(u64::MAX) };
        (Lane::of(self.charge, self.rank), self.rank, turn)
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
    if plain::join(ledger, pool, at, session, &demand)? {
        return Ok(Ok(()));
    }
    admit(ledger, pool, at, session, demand, victims)
}

/// The same the long way.
pub(super) fn admit<L: Ledger>(
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
        return desk.refuse(ledger, &demand, (waiter, 0), DenyReason::HolderLimit);
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
        Err(reason) => desk.refuse(ledger, &demand, (waiter, 0), reason),
    }
}

/// Frees what a session was charged that is its own holder since an instant, or lets it linger.
#[inline]
pub(crate) fn release<L: Ledger>(
    ledger: &mut L,
    pool: &PoolDefinition,
    at: At,
    session: SessionId,
    charge: &Charge,
    since: Millis,
) -> Result<(), L::Error> {
    if plain::leave(ledger, pool, at, session, charge, since)? {
        return Ok(());
    }
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
        return desk.refuse(ledger, &demand, (waiter, 0), DenyReason::HolderLimit);
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
        Err(reason) => desk.refuse(ledger, &demand, (waiter, gave), reason),
    }
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
pub(super) fn move_client<L: Ledger>(
    ledger: &mut L,
    from: Option<&Arc<str>>,
    to: Option<&Arc<str>>,
) -> Result<(), L::Error> {
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
        Some(_) => wanted_more(pool, count, held),
    }
}

/// The same of a holder in the books.
pub(super) fn wanted_more(pool: &PoolDefinition, count: u64, held: Option<&UserHolder>) -> Verdict<u64> {
    let (connections, units, needed) = held.map_or((0, 0, 0), |held| (held.connections, held.units, held.needed()));
    // A holder with lingering units left keeps them until they end.
    Ok(rules::needs(pool.rule, connections, count, needed)?.saturating_sub(units))
}

pub(super) fn held<L: Ledger>(ledger: &mut L, holder: &Holder) -> Result<Option<UserHolder>, L::Error> {
    match holder.booked() {
        None => Ok(None),
        Some(name) => ledger.holder(name),
    }
}

pub(super) fn hold<L: Ledger>(ledger: &mut L, holder: &Holder, held: Option<UserHolder>) -> Result<(), L::Error> {
    match holder.booked() {
        None => Ok(()),
        Some(name) => ledger.set_holder(name, held),
    }
}

/// What was set aside for a waiter.
fn aside(waiter: Option<&Waiter>) -> Offer {
    match waiter.map(|waiter| waiter.awaits) {
        Some(Awaits::Claim(offer)) => offer,
        _ => Offer::default(),
    }
}
