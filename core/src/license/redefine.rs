//! Another definition for a pool that runs: nothing is taken from who has it, and the books stay what they mean.

use std::sync::Arc;

use super::audit::{AuditKind, AuditWhy};
use super::books::Ledger;
use super::desk::Desk;
use super::ledger::expire;
use super::policy::BREAK_GLASS;
use super::queue;
use super::rules;
use crate::config::Pool;
use crate::id::SessionId;
use crate::plural::counted;
use crate::table::{At, Holder, PoolInForce};

/// New seats of old ones: 0 is nobody's in particular.
pub(crate) type Seats = [u8; BREAK_GLASS as usize + 1];

/// A change of a pool.
#[derive(Clone, Copy)]
pub(crate) struct Redefinition<'a> {
    /// The definition until now.
    pub from: &'a PoolInForce,
    /// The one from now on.
    pub to: &'a PoolInForce,
    /// By whom.
    pub actor: Option<&'a str>,
    /// Whether units that are held may be counted otherwise: nobody uses the pool now, and it is counted anew afterwards.
    pub recounted: bool,
}

/// Has a pool go by another definition; tells why it can't while units are held, and what to do. Then nothing changed.
///
/// Units beyond the new capacity stay with who has them, as excess: they drain, and none is given before. Units that count as
/// reserved do so for the reservation of the same members; where there is none any more they are nobody's in particular.
pub(crate) fn redefine<L: Ledger>(
    ledger: &mut L,
    at: At,
    change: Redefinition<'_>,
) -> Result<Result<(), String>, L::Error> {
    let Redefinition { from, to, actor, recounted } = change;
    expire(ledger, &from.rules, at)?;
    if !recounted && let Some(why) = held_back(ledger, from, to)? {
        return Ok(Err(why));
    }
    let seats = seats(&from.pool, &to.pool);
    if (0..).zip(&seats).any(|(old, new): (u8, &u8)| old != *new) {
        ledger.reseat(&seats)?;
        let totals = ledger.totals();
        let before = std::mem::take(&mut totals.reserved);
        for (units, new) in before.into_iter().zip(&seats[1..]) {
            if let Some(seat) = usize::from(*new).checked_sub(1).filter(|_| units > 0) {
                totals.reserved.resize(totals.reserved.len().max(seat + 1), 0);
                totals.reserved[seat] += units;
            }
        }
    }
    let totals = ledger.totals();
    totals.revision = to.revision;
    let before = totals.in_use;
    let (was, is) = (before.saturating_sub(from.rules.capacity), before.saturating_sub(to.rules.capacity));
    // What a shrink put beyond the capacity a raise brings back first.
    totals.excess = totals.excess.saturating_add(is.saturating_sub(was)).saturating_sub(was.saturating_sub(is));
    let holder = Holder::User(Arc::from(actor.unwrap_or_default()));
    let desk = Desk { pool: &to.rules, at, session: SessionId::NIL, holder: &holder, before };
    desk.settle(ledger, AuditKind::Change, None, AuditWhy::Nothing)?;
    // Who waits has what a raise made free.
    queue::serve(ledger, &to.rules, at)?;
    Ok(Ok(()))
}

/// Why a change must wait: what is held would mean something else.
fn held_back<L: Ledger>(ledger: &mut L, from: &PoolInForce, to: &PoolInForce) -> Result<Option<String>, L::Error> {
    let (old, new) = (from.rules.rule, to.rules.rule);
    let counts_otherwise = (old.unit_rule, old.max_connections) != (new.unit_rule, new.max_connections);
    let names_otherwise = from.pool.holder_per_client != to.pool.holder_per_client;
    if !counts_otherwise && !names_otherwise {
        return Ok(None);
    }
    let users = ledger.users()?;
    // What a session took for itself goes by no user's name.
    if names_otherwise && let Some((user, _)) = users.iter().find(|(name, _)| !Holder::takes(name)) {
        return Ok(Some(format!(
            "holder_per_client {} would give users other holders while '{user}' holds units: change it when no user has any \
             (usage tells who has), or with the configuration while no process has the store open",
            to.pool.holder_per_client
        )));
    }
    let differs = users.into_iter().filter(|_| counts_otherwise).find_map(|(user, held)| {
        let units = rules::units(new, held.connections, held.needed());
        (units != held.needed()).then_some((user, held, units))
    });
    Ok(differs.map(|(user, held, units)| {
        format!(
            "unit_rule {} with max_connections {} would charge '{user}' with {} for {}, who has {}: what is \
             held is not counted otherwise; change it when that holder has fewer sessions (usage tells), or with the \
             configuration while no process has the store open",
            new.unit_rule,
            new.max_connections,
            counted(units, "unit"),
            counted(held.connections, "session"),
            held.needed()
        )
    }))
}

/// What becomes of each seat: the reservation of the same members, wherever it stands now.
fn seats(from: &Pool, to: &Pool) -> Seats {
    let sorted = |members: &[String]| {
        let mut members: Vec<&str> =
            members.iter().map(|member| member.strip_prefix("user:").unwrap_or(member)).collect();
        members.sort_unstable();
        members.dedup();
        members.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let mut there: Vec<Option<Vec<String>>> = to.reservations.iter().map(|one| Some(sorted(&one.members))).collect();
    let mut seats = [0; BREAK_GLASS as usize + 1];
    for (old, one) in from.reservations.iter().enumerate() {
        let members = Some(sorted(&one.members));
        if let Some(new) = there.iter().position(|other| *other == members)
            && let Some(seat) = seats.get_mut(old + 1)
        {
            there[new] = None;
            *seat = u8::try_from(new + 1).unwrap_or(0);
        }
    }
    // Seats that nobody has are where they were.
    for (old, seat) in (0..).zip(seats.iter_mut()).skip(from.reservations.len() + 1) {
        *seat = old;
    }
    if sorted(&from.administrators) != sorted(&to.administrators) {
        seats[usize::from(BREAK_GLASS)] = 0;
    }
    seats
}

/// What differs, in words for the log.
pub(crate) fn in_words(from: &Pool, to: &Pool, actor: Option<&str>) -> String {
    let differences = from.differences(to);
    let changes = differences.iter().map(|one| format!("{} {} -> {}", one.option, one.named, one.in_force));
    let mut text = format!("{}: {}", from.name, changes.collect::<Vec<_>>().join(", "));
    if let Some(actor) = actor {
        text.push_str(" by ");
        text.push_str(actor);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Reservation;

    #[test]
    fn a_seat_follows_its_members() {
        let pool = |members: &[&str]| Pool {
            reservations: members.iter().map(|list| Reservation::new(1, list.split(','))).collect(),
            ..Pool::new("main", 9)
        };
        let first = |from: &[&str], to: &[&str]| seats(&pool(from), &pool(to))[..4].to_vec();
        assert_eq!(first(&["a", "b,c", "d"], &["d", "user:c,b"]), [0, 0, 2, 1]);
        assert_eq!(first(&["a", "a"], &["x", "a", "a"]), [0, 2, 3, 3]);
        let glass =
            |names: &[&str]| Pool { administrators: names.iter().map(|it| (*it).into()).collect(), ..pool(&[]) };
        let of = |from: &[&str], to: &[&str]| seats(&glass(from), &glass(to))[usize::from(BREAK_GLASS)];
        assert_eq!((of(&["root", "toor"], &["toor", "user:root"]), of(&["root"], &["toor"])), (BREAK_GLASS, 0));
    }
}
