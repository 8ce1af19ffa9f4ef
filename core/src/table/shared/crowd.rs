//! Sessions that have to go for others, found by who has the writer's word, and ended in the transaction that they go for.

use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use super::books::{self, PoolAccount};
use super::layout::ARRIVALS;
use super::life::{Buried, End};
use super::visit::Held;
use super::{SharedTable, Writer};
use crate::error::Result;
use crate::license::crowd::{Candidates, Crowd, Going, Member, Seen, Standing, Victims};
use crate::license::ledger::Verdict;
use crate::reason::LicenseClass;
use crate::table::slot::{ASK, FREE, Place};
use crate::table::*;

/// The sessions of a pool at an instant.
pub(super) struct Sessions<'a> {
    table: &'a SharedTable,
    at: At,
    pool: u32,
    held: Vec<Held<'a>>,
}

impl<'a> Sessions<'a> {
    pub fn new(table: &'a SharedTable, at: At, pool: u32) -> Self {
        Self { table, at, pool, held: Vec::new() }
    }

    /// A session's place in the order as its slot tells it, and whether it is anonymous; nobody need hold it.
    fn standing(&self, index: u32) -> Option<(bool, Standing)> {
        let table = self.table;
        let held = Held::peek(table, index, table.map.slot(index)?);
        let word = held.absolute.small();
        if held.state().deadline() == FREE || word >> 1 != self.pool + 1 {
            return None;
        }
        let used = table.last_used(self.at.now, &held);
        Some((word & 1 == 1, Standing { used, made: held.created.order(), place: held.place().locator() }))
    }

    fn member(&self, books: &PoolAccount<'_, '_>, held: &Held<'_>, whole: bool) -> Result<Option<Member>> {
        let now = self.at.now;
        let busy = self.table.is_busy(held) || self.table.ends_now(now, held).is_some();
        let Some((anonymous, standing)) = self.standing(held.index) else { return Ok(None) };
        let class = if anonymous { LicenseClass::Anonymous } else { LicenseClass::Named };
        let mut member = Member {
            session: held.id(),
            standing,
            idle: self.table.idle_now(now).saturating_sub(standing.used),
            since: held.created.ms(),
            charge: Charge { pool: self.pool, class, holder: Holder::Session, client: None },
            busy,
        };
        if whole || !busy {
            let row = super::life::readable(books.session(held.index))?.flatten();
            let Some(row) = row.filter(|row| row.generation == held.place().generation) else { return Ok(None) };
            member.since = row.licensed_since();
            let Some(charge) = row.charge.filter(|charge| charge.pool == self.pool) else { return Ok(None) };
            member.charge = charge;
        }
        Ok(Some(member))
    }

    /// Takes the slot's lock, unless somebody holds it and does not go on.
    fn lock(&self, books: &PoolAccount<'_, '_>, index: u32) -> Result<Option<Held<'a>>> {
        let table = self.table;
        let Some(slot) = table.map.slot(index) else { return Ok(None) };
        let recovered = slot.tail.lock.lock_while(table.me, &|number| table.processes.alive(number), &mut || false);
        let Some(recovered) = recovered else { return Ok(None) };
        let mut held = Held::new(table, index, slot);
        if recovered || held.state().deadline() == ASK {
            if held.taken() || recovered {
                held.publish(held.state().with(ASK));
            }
            let row = super::life::readable(books.session(index))?;
            if let Some(row) = row {
                table.mend(&held, row);
            }
            held.free_lock();
        }
        Ok(Some(held))
    }
}

impl<'l, 'b> Crowd<PoolAccount<'l, 'b>> for Sessions<'_> {
    fn scan(&mut self, show: &mut dyn FnMut(bool, Standing)) {
        for index in 0..self.table.map.head().slots.next.load(Acquire) {
            if let Some((anonymous, standing)) = self.standing(index) {
                show(anonymous, standing);
            }
        }
    }

    fn arrivals(&mut self, seen: &mut u64, show: &mut dyn FnMut(bool, Standing)) -> bool {
        let arrivals = &self.table.map.head().arrivals;
        let next = arrivals.next.load(Acquire);
        let first = std::mem::replace(seen, next);
        if next < first || next - first > ARRIVALS as u64 {
            return false;
        }
        for number in first..next {
            let place = Place::from_locator(arrivals.last[number as usize % ARRIVALS].load(Relaxed));
            if let Some((anonymous, standing)) = self.standing(place.index)
                && standing.place == place.locator()
            {
                show(anonymous, standing);
            }
        }
        true
    }

    fn hold(&mut self, books: &mut PoolAccount<'l, 'b>, locator: u64, whole: bool) -> Result<Seen> {
        let known = self.held.iter().find(|held| held.place().locator() == locator);
        if let Some(held) = known {
            return Ok(self.member(books, held, whole)?.map_or(Seen::Gone, Seen::Live));
        }
        let place = Place::from_locator(locator);
        // Nobody else makes or ends a session meanwhile.
        let state = self.table.map.slot(place.index).map(|slot| slot.hot.state());
        if state.is_none_or(|state| state.generation() != place.generation || state.deadline() == FREE) {
            return Ok(Seen::Gone);
        }
        let Some(held) = self.lock(books, place.index)? else { return Ok(Seen::Locked) };
        if held.place() != place || !held.taken() || held.state().deadline() == ASK {
            return Ok(Seen::Gone);
        }
        let Some(member) = self.member(books, &held, whole)? else { return Ok(Seen::Gone) };
        self.held.push(held);
        Ok(Seen::Live(member))
    }

    fn let_go(&mut self, locator: u64) {
        self.held.retain(|held| held.place().locator() != locator);
    }

    fn sessions_of(&mut self, books: &mut PoolAccount<'l, 'b>, user: &Arc<str>) -> Result<Option<Vec<u64>>> {
        let found = books.sessions_of(user)?;
        Ok(Some(found.into_iter().map(|(index, generation)| Place { index, generation }.locator()).collect()))
    }
}

/// Who goes with a commit that is not done yet.
#[derive(Default)]
pub(super) struct Evicted<'a> {
    ends: Vec<End<'a>>,
    buried: Buried,
}

impl SharedTable {
    /// Makes a demand within a transaction; who has to go for it is ended in it.
    pub(super) fn demand<'a>(
        &'a self,
        ledger: &mut books::Ledger<'_>,
        at: At,
        newcomer: SessionRef,
        charge: &Charge,
        evicted: &mut Evicted<'a>,
        demand: impl for<'v, 'l, 'b> FnOnce(
            &mut PoolAccount<'l, 'b>,
            &PoolInForce,
            &mut Victims<'v, PoolAccount<'l, 'b>>,
        ) -> Result<Option<Verdict>>,
    ) -> Result<Option<Verdict>> {
        let mut sessions = Sessions::new(self, at, charge.pool);
        let mut going = Vec::new();
        let verdict = self.with_pool(ledger, charge.pool, |pool, defined| {
            if !defined.rules.may_evict() {
                return demand(pool, defined, &mut Victims::none());
            }
            let mut all = self.local.candidates.lock();
            if all.len() < self.config.pools.len() {
                all.resize_with(self.config.pools.len(), Candidates::default);
            }
            let mut victims = Victims::among(&mut sessions, &mut all[charge.pool as usize], newcomer.place, true);
            let verdict = demand(pool, defined, &mut victims)?;
            if verdict == Some(Ok(())) {
                going = victims.taken();
            }
            Ok(verdict)
        })?;
        let mut held = sessions.held;
        for going in going {
            let Going { member, .. } = &going;
            let place = member.standing.place;
            let Some(position) = held.iter().position(|held| held.place().locator() == place) else { continue };
            let spec = going.spec(&self.config.pools[charge.pool as usize].name, newcomer.id, &charge.holder);
            evicted.ends.push(End { held: held.swap_remove(position), spec, deadline: None, charged: false });
        }
        self.bury_rows(ledger, at, &evicted.ends, &mut evicted.buried)?;
        Ok(verdict)
    }

    /// What a commit did to who had to go, told by the slots: it came through, or it failed.
    pub(super) fn evict<T>(&self, writer: &Writer<'_>, at: At, evicted: Evicted<'_>, done: &Result<T>) {
        if evicted.ends.is_empty() {
            return;
        }
        match done {
            Ok(_) => {
                self.bury_slots(evicted.ends, evicted.buried);
                writer.rang();
            }
            Err(error) => self.unbury(at, &evicted.ends, &evicted.buried, error),
        }
    }

    /// Notes that a session was charged to a pool, or is another kind of session from now on; its slot tells it. The caller
    /// has the writer's word.
    pub(super) fn arrived(&self, locator: u64) {
        let arrivals = &self.map.head().arrivals;
        let number = arrivals.next.load(Relaxed);
        arrivals.last[number as usize % ARRIVALS].store(locator, Relaxed);
        arrivals.next.store(number + 1, Release);
    }

    /// Somebody may have come whom nobody noted: everybody looks at all.
    pub(super) fn forget_arrivals(&self) {
        self.map.head().arrivals.next.fetch_add(ARRIVALS as u64 + 1, AcqRel);
    }
}
