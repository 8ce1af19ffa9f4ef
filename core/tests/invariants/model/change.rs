//! Another definition for a pool that runs: nothing is taken from who has it.

use libsession_core::{AuditKind, AuditWhy};

use super::Model;
use super::pool::{Pool, Rank};
use super::session::Holder;

impl Model {
    /// Defines a pool anew; tells whether it may be: not if what is held would count otherwise.
    pub fn change_pool(&mut self, pool: usize, rules: libsession_core::Pool) -> bool {
        self.tidy(pool);
        let of = &self.pools[pool];
        let new = Pool { rules, ..of.clone() };
        let renames = of.rules.holder_per_client != new.rules.holder_per_client;
        if renames && of.held.keys().any(|holder| matches!(holder, Holder::User(_))) {
            return false;
        }
        for (holder, held) in &of.held {
            let connections = self.connections(pool, holder);
            let other =
                (of.rules.unit_rule, of.rules.max_connections) != (new.rules.unit_rule, new.rules.max_connections);
            if other && new.units(connections, held.needed) != held.needed {
                return false;
            }
        }
        let in_use = self.in_use(pool);
        let (was, is) = (in_use.saturating_sub(of.rules.capacity), in_use.saturating_sub(new.rules.capacity));
        // What a lowered capacity puts beyond it is excess; what a raise brings back is excess first.
        let excess = (of.excess + is.saturating_sub(was)).saturating_sub(was.saturating_sub(is));
        let seats = seats(of, &new);
        self.pools[pool] = Pool { excess, ..new };
        self.reseat(pool, &seats);
        self.settle(pool);
        self.note(pool, AuditKind::Change, (0, &Holder::User(String::new())), in_use, AuditWhy::Nothing);
        self.serve(pool);
        true
    }

    /// Units that count as reserved do so for the reservation of the same members.
    fn reseat(&mut self, pool: usize, seats: &[(Rank, Rank)]) {
        let seat = |rank: Rank| seats.iter().find(|(old, _)| *old == rank).map_or(rank, |(_, new)| *new);
        for held in self.pools[pool].held.values_mut() {
            held.rank = seat(held.rank);
            if held.rank == Rank::Ordinary {
                held.reserved = 0;
            }
        }
        for waiter in &mut self.pools[pool].line {
            if matches!(waiter.ask.rank, Rank::Reserved(_)) {
                waiter.ask.rank = seat(waiter.ask.rank);
            }
        }
    }
}

/// What becomes of each reservation.
fn seats(from: &Pool, to: &Pool) -> Vec<(Rank, Rank)> {
    let members = |pool: &Pool, position: usize| {
        let mut members = pool.rules.reservations[position].members.clone();
        members.sort();
        members
    };
    let mut left: Vec<usize> = (0..to.rules.reservations.len()).collect();
    let mut seats = Vec::new();
    for old in 0..from.rules.reservations.len() {
        let same = left.iter().position(|new| members(to, *new) == members(from, old));
        let new = same.map_or(Rank::Ordinary, |position| Rank::Reserved(left.remove(position)));
        seats.push((Rank::Reserved(old), new));
    }
    if from.rules.administrators != to.rules.administrators {
        seats.push((Rank::Administrator, Rank::Ordinary));
    }
    seats
}
