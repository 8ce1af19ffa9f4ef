//! The queue of a pool as arithmetic: who waits, whose turn it is, units set aside until they are fetched.
//!
//! Units never lie free while somebody waits who may take them: the step that frees them sets them aside for whoever is
//! first, so that nobody who comes later can be faster. They count as in use from then on.

use super::audit::{AuditKind, AuditWhy};
use super::books::{Ledger, Totals};
use super::crowd::Victims;
use super::desk::Desk;
use super::join::Search;
use super::ledger::{expire, held, wanted};
use super::policy::{self, Rank};
use super::waiter::{Awaits, Lane, OFFER, Offer, Turn, Waiter};
use crate::reason::DenyReason;
use crate::table::{At, Charge, Leaving, PoolDefinition};

/// Somebody whose turn it is and who can't be served: who comes later stays behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Blocked {
    pub lane: Lane,
    pub turn: Turn,
    /// Whether it lacks units that are for all.
    pub common: bool,
}

/// Whether somebody else comes first for so many units.
pub(super) fn is_behind(
    pool: &PoolDefinition,
    totals: &Totals,
    blocked: &[Blocked],
    (lane, rank, turn): (Lane, Rank, Turn),
    wanted: u64,
) -> bool {
    blocked.iter().filter(|first| first.turn < turn).any(|first| {
        first.lane == lane || first.common && policy::room(pool, totals, pool.capacity, rank).apart() < wanted
    })
}

/// Begins to wait; tells the number of the place, or that the queue is full. If there is something to be had, it is set
/// aside at once.
pub(crate) fn join<L: Ledger>(
    ledger: &mut L,
    pool: &PoolDefinition,
    at: At,
    waiter: &Waiter,
    from: Option<&Charge>,
) -> Result<Result<u64, DenyReason>, L::Error> {
    expire(ledger, pool, at)?;
    let desk = Desk::of(ledger, pool, at, waiter);
    let gives = match from {
        None => 0,
        Some(from) => {
            let held = held(ledger, &from.holder)?;
            let mut totals = ledger.totals().clone();
            let _left = desk.leave(&mut totals, from, 1, held, None);
            desk.before.saturating_sub(totals.in_use)
        }
    };
    let waiter = &Waiter { gives, ..waiter.clone() };
    if ledger.totals().waiting >= pool.queue {
        return Ok(Err(DenyReason::PoolExhausted));
    }
    let seq = ledger.add_waiter(waiter)?;
    ledger.totals().waiting += 1;
    desk.settle(ledger, AuditKind::Queue, None, AuditWhy::Nothing)?;
    serve(ledger, pool, at)?;
    Ok(Ok(seq))
}

/// Stops waiting; what was set aside is for the next. `false` if it does not wait any more.
pub(crate) fn leave<L: Ledger>(
    ledger: &mut L,
    pool: &PoolDefinition,
    at: At,
    seq: u64,
    how: Leaving,
) -> Result<bool, L::Error> {
    let Some(waiter) = ledger.waiter(seq)? else { return Ok(false) };
    let desk = Desk::of(ledger, pool, at, &waiter);
    ledger.remove_waiter(&waiter)?;
    let totals = ledger.totals();
    totals.waiting = totals.waiting.saturating_sub(1);
    take_back(totals, &waiter);
    match how {
        Leaving::Cancelled => desk.settle(ledger, AuditKind::Leave, None, AuditWhy::Cancelled)?,
        Leaving::Died => desk.settle(ledger, AuditKind::Leave, None, AuditWhy::Died)?,
        // The denial is in the accounts already.
        Leaving::Denied if waiter.offered() == 0 => ledger.keep_totals()?,
        Leaving::Denied => desk.settle(ledger, AuditKind::Leave, None, AuditWhy::Nothing)?,
    }
    expire(ledger, pool, at)?;
    Ok(true)
}

/// Calls one who waits for a session that ended: it is passed over from now on, and finds when it looks that it is over.
pub(crate) fn dismiss<L: Ledger>(ledger: &mut L, pool: &PoolDefinition, at: At, seq: u64) -> Result<(), L::Error> {
    let Some(waiter) = ledger.waiter(seq)? else { return Ok(()) };
    withdraw(ledger, pool, at, &waiter, Awaits::Nothing)?;
    ledger.call(&waiter)?;
    expire(ledger, pool, at).map(drop)
}

/// Counts what was set aside for a waiter as free again.
pub(super) fn take_back(totals: &mut Totals, waiter: &Waiter) {
    let Awaits::Claim(offer) = waiter.awaits else { return };
    totals.in_use = totals.in_use.saturating_sub(offer.units);
    totals.offered = totals.offered.saturating_sub(offer.units);
    if waiter.anonymous() {
        totals.anonymous = totals.anonymous.saturating_sub(offer.units);
    }
    let seat = policy::seat(waiter.lane.rank());
    if let Some(used) = usize::from(seat).checked_sub(1).and_then(|seat| totals.reserved.get_mut(seat)) {
        *used = used.saturating_sub(offer.reserved);
    }
}

/// Takes back what was set aside and not fetched in time; tells when the next such comes.
pub(super) fn lapse<L: Ledger>(ledger: &mut L, pool: &PoolDefinition, at: At) -> Result<Option<u64>, L::Error> {
    while let Some((until, seq)) = ledger.first_lapse()? {
        if until > at.now.ms {
            return Ok(Some(until));
        }
        let Some(waiter) = ledger.waiter(seq)? else { return Ok(None) };
        withdraw(ledger, pool, at, &waiter, Awaits::Nothing)?;
    }
    Ok(None)
}

/// Takes back what was set aside for a waiter, who stays.
pub(super) fn withdraw<L: Ledger>(
    ledger: &mut L,
    pool: &PoolDefinition,
    at: At,
    waiter: &Waiter,
    awaits: Awaits,
) -> Result<(), L::Error> {
    let desk = Desk::of(ledger, pool, at, waiter);
    let had = waiter.offered();
    take_back(ledger.totals(), waiter);
    ledger.set_waiter(&Waiter { awaits, ..waiter.clone() }, waiter.awaits)?;
    if had == 0 { ledger.keep_totals() } else { desk.settle(ledger, AuditKind::Withdraw, None, AuditWhy::Nothing) }
}

/// Sets units aside for those whose turn it is, first to last, as long as there are any; tells who can't be served.
pub(super) fn serve<L: Ledger>(ledger: &mut L, pool: &PoolDefinition, at: At) -> Result<Vec<Blocked>, L::Error> {
    let mut blocked = Vec::new();
    if ledger.totals().waiting == 0 {
        return Ok(blocked);
    }
    let mut heads = Vec::new();
    for lane in ledger.lanes()? {
        heads.extend(ledger.head(lane)?);
    }
    while let Some(first) = (0..heads.len()).min_by_key(|place| heads[*place].turn) {
        let waiter: Waiter = heads.swap_remove(first);
        let common = blocked.iter().any(|other: &Blocked| other.common);
        match offer(ledger, pool, at, &waiter, common)? {
            Ok(()) => heads.extend(ledger.head(waiter.lane)?),
            Err(lacks_common) => {
                blocked.push(Blocked { lane: waiter.lane, turn: waiter.turn, common: lacks_common });
            }
        }
    }
    Ok(blocked)
}

/// Sets aside what one waiter wants; or tells whether it lacks units that are for all. `apart` is all it may have of those
/// that are reserved for its lane.
fn offer<L: Ledger>(
    ledger: &mut L,
    pool: &PoolDefinition,
    at: At,
    waiter: &Waiter,
    apart: bool,
) -> Result<Result<(), bool>, L::Error> {
    let desk = Desk::of(ledger, pool, at, waiter);
    let held = held(ledger, &waiter.charge.holder)?;
    let rank = waiter.lane.rank();
    let mut totals = ledger.totals().clone();
    let mut search = Search::new([waiter.charge.holder.booked(), None], rank, waiter.anonymous());
    let until = at.now.ms.saturating_add(OFFER);
    let mut offer = Offer { until, ..Offer::default() };
    // Who needs none, or will be denied for another reason, is told by its own claim.
    let wanted =
        wanted(pool, &waiter.charge, waiter.count, held.as_ref()).map(|units| units.saturating_sub(waiter.gives));
    if let Ok(units @ 1..) = wanted {
        if waiter.anonymous() && pool.anonymous_cap.is_some_and(|cap| totals.anonymous.saturating_add(units) > cap) {
            return Ok(Err(false));
        }
        if apart && policy::room(pool, &totals, pool.capacity, rank).apart() < units {
            return Ok(Err(true));
        }
        // Whoever has to go for a waiter goes when it claims its turn: nobody is ended for an offer that may lapse.
        let room = match desk.make_room(ledger, &mut Victims::none(), &mut totals, &mut search, units)? {
            Ok(room) => room,
            Err(_) => return Ok(Err(true)),
        };
        let (reserved, seat) = room.reserved(rank, units);
        (offer.units, offer.reserved) = (units, reserved);
        totals.in_use = totals.in_use.saturating_add(units);
        totals.offered = totals.offered.saturating_add(units);
        if waiter.anonymous() {
            totals.anonymous = totals.anonymous.saturating_add(units);
        }
        if let Some(seat) = usize::from(seat).checked_sub(1).filter(|_| reserved > 0) {
            totals.reserved.resize(totals.reserved.len().max(seat + 1), 0);
            totals.reserved[seat] += reserved;
        }
        totals.rise(at.wall);
    }
    *ledger.totals() = totals;
    let why = if search.reclaimed.is_empty() { AuditWhy::Nothing } else { AuditWhy::Reclaimed };
    let before = desk.give_up(ledger, search.reclaimed, search.others)?;
    ledger.set_waiter(&Waiter { awaits: Awaits::Claim(offer), ..waiter.clone() }, waiter.awaits)?;
    ledger.call(waiter)?;
    if offer.units > 0 {
        Desk { before, ..desk }.settle(ledger, AuditKind::Offer, None, why)?;
    } else {
        ledger.keep_totals()?;
    }
    Ok(Ok(()))
}

/// Whether what is denied for this may be had after a while.
pub(crate) fn may_come(reason: DenyReason) -> bool {
    matches!(reason, DenyReason::PoolExhausted | DenyReason::Reserved)
}
