//! Who waits for units of a pool.

use std::cmp::Reverse;

use super::policy::{self, MAX_RESERVATIONS, Rank};
use super::redefine::Seats;
use crate::clock::Millis;
use crate::id::SessionId;
use crate::table::{Charge, NewWaiter, Waiting};

/// How long units that are set aside for a waiter stand before the next may have them.
pub(crate) const OFFER: Millis = 500;

/// Which units a waiter may take: those of one lane may all take the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Lane(pub u8);

const ADMINISTRATOR: u8 = MAX_RESERVATIONS as u8 + 1;
const ANONYMOUS: u8 = ADMINISTRATOR + 1;
const EXCLUDED: u8 = ANONYMOUS + 1;

impl Lane {
    /// The lane of who is charged like that and has this rank.
    pub fn of(charge: &Charge, rank: Rank) -> Self {
        if charge.is_anonymous() { Self::anonymous() } else { Self::of_rank(rank) }
    }

    /// That of who is anonymous.
    pub fn anonymous() -> Self {
        Self(ANONYMOUS)
    }

    /// That of who is not, and has this rank.
    pub fn of_rank(rank: Rank) -> Self {
        Self(match rank {
            Rank::Reserved(position) => position.saturating_add(1),
            Rank::Administrator => ADMINISTRATOR,
            Rank::Excluded => EXCLUDED,
            Rank::Ordinary => 0,
        })
    }

    /// The rank of who is in it.
    pub fn rank(self) -> Rank {
        match self.0 {
            ADMINISTRATOR => Rank::Administrator,
            EXCLUDED => Rank::Excluded,
            0 | ANONYMOUS => Rank::Ordinary,
            seat => Rank::Reserved(seat - 1),
        }
    }
}

/// A place in the order in which units are given: the higher priority first, then who came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Turn {
    pub priority: Reverse<i8>,
    /// Who came how manyth: of each pool apart.
    pub seq: u64,
}

/// Units that are set aside for a waiter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Offer {
    /// How many; 0 for one who needs none any more.
    pub units: u64,
    /// Those of them that count as reserved for its lane.
    pub reserved: u64,
    /// Engine time until when they stand.
    pub until: Millis,
}

/// What a waiter waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Awaits {
    /// Its turn.
    Turn,
    /// To be fetched by itself.
    Claim(Offer),
    /// Nothing: it did not come when its turn was, and is passed over until it asks.
    Nothing,
}

/// One who waits for units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Waiter {
    pub turn: Turn,
    pub lane: Lane,
    /// The session that waits, or is to be made.
    pub session: SessionId,
    /// How it is to be charged.
    pub charge: Charge,
    /// For how many connections.
    pub count: u64,
    /// Units that come free when its session changes its holder.
    pub gives: u64,
    /// Engine time when it came.
    pub since: Millis,
    /// Engine time until when it waits.
    pub deadline: Millis,
    pub awaits: Awaits,
    /// The participant that waits, and its instance; 0 in memory.
    pub owner: (u32, u64),
}

impl Waiter {
    /// Waits in the lane of its new seat.
    pub fn reseat(&mut self, seats: &Seats) {
        let Rank::Reserved(position) = self.lane.rank() else { return };
        self.lane = Lane(seats.get(usize::from(position) + 1).copied().unwrap_or(0));
        if let (0, Awaits::Claim(offer)) = (self.lane.0, &mut self.awaits) {
            offer.reserved = 0;
        }
    }

    /// One who comes now.
    pub fn new(new: &NewWaiter, now: Millis, owner: (u32, u64)) -> Self {
        Self {
            turn: Turn { priority: Reverse(new.priority), seq: 0 },
            lane: Lane::of(&new.charge, new.rank),
            session: new.session,
            charge: new.charge.clone(),
            count: new.count,
            gives: 0,
            since: now,
            deadline: new.deadline,
            awaits: Awaits::Turn,
            owner,
        }
    }

    /// As a listing shows it.
    pub fn listed(self, process: u32) -> Waiting {
        let offered = match self.awaits {
            Awaits::Claim(offer) => Some(offer.units),
            _ => None,
        };
        Waiting {
            place: self.turn.seq,
            session: self.session,
            charge: self.charge,
            priority: self.turn.priority.0,
            since: self.since,
            deadline: self.deadline,
            offered,
            process,
        }
    }

    /// Units set aside for it.
    pub fn offered(&self) -> u64 {
        match self.awaits {
            Awaits::Claim(offer) => offer.units,
            _ => 0,
        }
    }

    /// Counts its reserved units to those of its reservation.
    pub fn count_reserved(&self, reserved: &mut Vec<u64>) {
        if let Awaits::Claim(offer) = self.awaits
            && let Some(seat) =
                usize::from(policy::seat(self.lane.rank())).checked_sub(1).filter(|_| offer.reserved > 0)
        {
            reserved.resize(reserved.len().max(seat + 1), 0);
            reserved[seat] += offer.reserved;
        }
    }

    /// Whether it is anonymous.
    pub fn anonymous(&self) -> bool {
        self.lane.0 == ANONYMOUS
    }
}
