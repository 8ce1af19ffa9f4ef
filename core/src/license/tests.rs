//! The arithmetic of a pool over books that count what is written into them.

mod apart;
mod changes;
mod classes;
mod lingering;
mod outlook;
mod party;
mod random;
mod till;
mod trades;
mod waiting;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::audit::{AuditKind, AuditWhy, Denials};
use super::books::{AuditEntry, Ledger, Lingering, Orphan, Totals, UserHolder};
use super::crowd::Victims;
use super::ledger::{self, Demand, Verdict, expire, give_back, release, wanted};
use super::line::Line;
use super::policy::{Rank, Reserved};
use super::queue;
use super::recount::{recount, recount_clients, usage};
use super::redefine::{Redefinition, Seats, redefine};
use super::rules::PoolRule;
use super::waiter::{Awaits, Lane, Waiter};
use crate::clock::{Millis, Now};
use crate::config::{Pool, Reservation};
use crate::dice::Dice;
use crate::id::SessionId;
use crate::reason::{DenyReason, LicenseClass, UnitRule};
use crate::table::{At, Charge, Holder, Leaving, NewWaiter, PoolDefinition, PoolInForce, PoolLevel};
use random::{some_pool, somebody};
use till::Till;

/// Books that count what is written into them, and fail at a chosen call.
#[derive(Default)]
struct Books {
    totals: Totals,
    users: HashMap<Arc<str>, UserHolder>,
    orphans: BTreeSet<(Millis, SessionId, bool)>,
    clients: HashMap<Arc<str>, u64>,
    denials: Denials,
    records: Vec<(AuditKind, u64, u64, Option<DenyReason>)>,
    whys: Vec<AuditWhy>,
    levels: Vec<(PoolLevel, u64)>,
    marks: Vec<(u64, i64)>,
    line: Line,
    called: Vec<u64>,
    holders_written: u32,
    calls: u32,
    fail_at: Option<u32>,
}

impl Books {
    fn call_books(&mut self) -> Result<(), &'static str> {
        self.calls += 1;
        if self.fail_at == Some(self.calls) { Err("the disk is full") } else { Ok(()) }
    }
}

impl Ledger for Books {
    type Error = &'static str;

    fn totals(&mut self) -> &mut Totals {
        &mut self.totals
    }

    fn keep_totals(&mut self) -> Result<(), Self::Error> {
        self.call_books()
    }

    fn holder(&mut self, user: &Arc<str>) -> Result<Option<UserHolder>, Self::Error> {
        self.call_books().map(|()| self.users.get(user).copied())
    }

    fn set_holder(&mut self, user: &Arc<str>, holder: Option<UserHolder>) -> Result<(), Self::Error> {
        self.call_books()?;
        self.holders_written += 1;
        match holder {
            Some(holder) => self.users.insert(user.clone(), holder),
            None => self.users.remove(user),
        };
        Ok(())
    }

    fn first_lingering(&mut self) -> Result<Option<(Millis, Lingering)>, Self::Error> {
        self.call_books()?;
        let users = self.users.iter().filter(|(_, held)| held.lingering > 0);
        let users = users.map(|(user, held)| (held.until, Lingering::User(user.clone())));
        let orphans = self
            .orphans
            .iter()
            .map(|&(until, session, anonymous)| (until, Lingering::Orphan(Orphan { session, anonymous, until })));
        Ok(users.chain(orphans).min_by_key(|(until, _)| *until))
    }

    fn lingering(&mut self, skip: usize, limit: usize) -> Result<Vec<Arc<str>>, Self::Error> {
        self.call_books()?;
        let lingers = self.users.iter().filter(|(_, held)| held.lingering > 0);
        let mut users: Vec<_> = lingers.map(|(user, held)| (held.acquired, user.clone())).collect();
        users.sort();
        Ok(users.into_iter().skip(skip).take(limit).map(|(_, user)| user).collect())
    }

    fn client(&mut self, client: &str) -> Result<u64, Self::Error> {
        self.call_books().map(|()| self.clients.get(client).copied().unwrap_or(0))
    }

    fn set_client(&mut self, client: &Arc<str>, sessions: u64) -> Result<(), Self::Error> {
        self.call_books()?;
        match sessions {
            0 => self.clients.remove(client),
            _ => self.clients.insert(client.clone(), sessions),
        };
        Ok(())
    }

    fn add_orphan(&mut self, orphan: &Orphan) -> Result<(), Self::Error> {
        self.call_books()?;
        self.orphans.insert((orphan.until, orphan.session, orphan.anonymous));
        Ok(())
    }

    fn remove_orphan(&mut self, orphan: &Orphan) -> Result<(), Self::Error> {
        self.call_books()?;
        self.orphans.remove(&(orphan.until, orphan.session, orphan.anonymous));
        Ok(())
    }

    fn add_waiter(&mut self, waiter: &Waiter) -> Result<u64, Self::Error> {
        self.call_books().map(|()| self.line.add(waiter))
    }

    fn waiter(&mut self, seq: u64) -> Result<Option<Waiter>, Self::Error> {
        self.call_books().map(|()| self.line.get(seq).cloned())
    }

    fn set_waiter(&mut self, waiter: &Waiter, before: Awaits) -> Result<(), Self::Error> {
        assert_eq!(self.line.get(waiter.turn.seq).map(|known| known.awaits), Some(before));
        self.call_books().map(|()| self.line.set(waiter))
    }

    fn remove_waiter(&mut self, waiter: &Waiter) -> Result<(), Self::Error> {
        self.call_books().map(|()| self.line.remove(waiter.turn.seq))
    }

    fn lanes(&mut self) -> Result<Vec<Lane>, Self::Error> {
        self.call_books().map(|()| self.line.lanes())
    }

    fn head(&mut self, lane: Lane) -> Result<Option<Waiter>, Self::Error> {
        self.call_books().map(|()| self.line.head(lane).cloned())
    }

    fn first_lapse(&mut self) -> Result<Option<(Millis, u64)>, Self::Error> {
        self.call_books().map(|()| self.line.first_lapse())
    }

    fn call(&mut self, waiter: &Waiter) -> Result<(), Self::Error> {
        self.call_books().map(|()| self.called.push(waiter.turn.seq))
    }

    fn count_denial(&mut self, reason: DenyReason) -> Result<(), Self::Error> {
        self.call_books()?;
        self.denials.add(reason, 1);
        Ok(())
    }

    fn record(&mut self, entry: &AuditEntry<'_>) -> Result<(), Self::Error> {
        self.call_books()?;
        self.records.push((entry.kind, entry.before, entry.after, entry.reason));
        self.whys.push(entry.why);
        Ok(())
    }

    fn users(&mut self) -> Result<Vec<(Arc<str>, UserHolder)>, Self::Error> {
        self.call_books()?;
        let mut users: Vec<_> = self.users.iter().map(|(user, held)| (user.clone(), *held)).collect();
        users.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(users)
    }

    fn reseat(&mut self, seats: &Seats) -> Result<(), Self::Error> {
        self.call_books()?;
        self.users.values_mut().for_each(|held| held.reseat(seats));
        self.line.reseat(seats);
        Ok(())
    }

    fn raise_marks(&mut self, units: u64, wall: i64) -> Result<(), Self::Error> {
        self.call_books().map(|()| self.marks.push((units, wall)))
    }

    fn level(&mut self, level: PoolLevel, in_use: u64) -> Result<(), Self::Error> {
        self.call_books().map(|()| self.levels.push((level, in_use)))
    }
}

/// Where nobody goes for it.
fn acquire(
    books: &mut Books,
    pool: &PoolDefinition,
    at: At,
    session: SessionId,
    demand: Demand<'_>,
) -> Result<Verdict, &'static str> {
    ledger::acquire(books, pool, at, session, demand, &mut Victims::none())
}

fn trade(
    books: &mut Books,
    pool: &PoolDefinition,
    at: At,
    session: SessionId,
    from: &Charge,
    demand: Demand<'_>,
) -> Result<Verdict, &'static str> {
    ledger::trade(books, pool, at, session, from, demand, &mut Victims::none())
}

fn pool(unit_rule: UnitRule, capacity: u64) -> PoolDefinition {
    PoolDefinition {
        rule: PoolRule { unit_rule, max_connections: 2, max_sessions_per_holder: None },
        anonymous_cap: Some(1),
        low: 2,
        audit_records: 10,
        ..PoolDefinition::plain("main", capacity)
    }
}

fn at(ms: Millis) -> At {
    At { now: Now { ms, ..Now::default() }, wall: 1000 + ms as i64 }
}

fn charge(user: &str) -> Charge {
    let holder = if user.is_empty() { Holder::Session } else { Holder::User(user.into()) };
    Charge { pool: 0, class: LicenseClass::Named, holder, client: None }
}

fn session(number: u8) -> SessionId {
    SessionId([number; 16])
}

const FULL: Verdict = Err(DenyReason::PoolExhausted);
const APART: Verdict = Err(DenyReason::Reserved);
