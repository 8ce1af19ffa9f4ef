//! What the books of a pool keep, and what keeps them.

use std::sync::Arc;

use super::audit::{AuditKind, AuditWhy};
use super::policy;
use super::redefine::Seats;
use super::waiter::{Awaits, Lane, Waiter};
use crate::clock::Millis;
use crate::id::SessionId;
use crate::reason::{DenyReason, LicenseClass};
use crate::table::{Holder, PoolDefinition, PoolLevel};

/// The counters of one pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Units charged, with those that linger.
    pub in_use: u64,
    /// Those of anonymous sessions among them.
    pub anonymous: u64,
    /// Those that linger among them.
    pub lingering: u64,
    /// Those that are set aside for who waits among them.
    pub offered: u64,
    /// How many wait.
    pub waiting: u64,
    /// The most there ever were in use.
    pub high_water: u64,
    /// When that was: wall time.
    pub high_water_at: i64,
    /// Sessions refused so far.
    pub denials: u64,
    /// Sessions evicted so far.
    pub evicted: u64,
    /// The level that was told last.
    pub level: PoolLevel,
    /// Engine time since when more units are in use than there are; `None` while there are not.
    pub overdrawn: Option<Millis>,
    /// The most units that might be in use when one was given last.
    pub ceiling: u64,
    /// Units in use beyond the capacity because it was lowered; the other ones beyond it were overdrawn.
    pub excess: u64,
    /// The lowest of the marks that readers set; `u64::MAX` while there is none.
    pub mark: u64,
    /// Which definition of the pool the books go by.
    pub revision: u64,
    /// Units of each reservation that its own hold, in the order of the pool's; the break-glass units last. May be shorter: 0.
    pub reserved: Vec<u64>,
}

impl Default for Totals {
    fn default() -> Self {
        Self {
            in_use: 0,
            anonymous: 0,
            lingering: 0,
            offered: 0,
            waiting: 0,
            high_water: 0,
            high_water_at: 0,
            denials: 0,
            evicted: 0,
            level: PoolLevel::Recovered,
            overdrawn: None,
            ceiling: 0,
            excess: 0,
            mark: u64::MAX,
            revision: 0,
            reserved: Vec::new(),
        }
    }
}

impl Totals {
    /// Notes the high-water mark.
    pub(super) fn rise(&mut self, wall: i64) {
        if self.in_use > self.high_water {
            self.high_water = self.in_use;
            self.high_water_at = wall;
        }
    }
}

/// What a user is charged; one who holds no unit is not in the books.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserHolder {
    /// Sessions.
    pub connections: u64,
    /// Units of them together, with those that linger.
    pub units: u64,
    /// Engine time since when without a break.
    pub since: Millis,
    /// Engine time when a unit was taken: of those that it has, the one that is held longest.
    pub acquired: Millis,
    /// Whether a lazy session took that one.
    pub lazily: bool,
    /// Those of the units that no session needs any more.
    pub lingering: u64,
    /// Engine time until when they linger.
    pub until: Millis,
    /// Those of the units that count as reserved.
    pub reserved: u64,
    /// Which reservation that is: its position + 1, 0 for none.
    pub seat: u8,
    /// Of a user without sessions: the last one.
    pub last: SessionId,
}

impl UserHolder {
    /// One who holds nothing yet.
    pub fn new(now: Millis) -> Self {
        Self {
            connections: 0,
            units: 0,
            since: now,
            acquired: now,
            lazily: false,
            lingering: 0,
            until: 0,
            reserved: 0,
            seat: 0,
            last: SessionId([0; 16]),
        }
    }

    /// The units that sessions need.
    pub fn needed(&self) -> u64 {
        self.units.saturating_sub(self.lingering)
    }

    /// Until when its units are held at least.
    pub(crate) fn ripe(&self, pool: &PoolDefinition, now: Millis) -> Millis {
        let class = if self.lazily { LicenseClass::Lazy } else { LicenseClass::Named };
        // After a power cut the clock may stand before what the books remember.
        self.acquired.min(now).saturating_add(policy::least(pool, class))
    }

    /// A session of a class takes units more.
    pub(super) fn acquire(&mut self, pool: &PoolDefinition, class: LicenseClass, now: Millis, units: u64) {
        let with = Self { acquired: now, lazily: class == LicenseClass::Lazy, ..*self };
        if self.units == 0 || with.ripe(pool, now) >= self.ripe(pool, now) {
            *self = with;
        }
        self.units = self.units.saturating_add(units);
    }

    /// Gives units back: those that are not reserved first.
    pub(super) fn free(&mut self, totals: &mut Totals, units: u64) {
        let units = units.min(self.units);
        let reserved = units.saturating_sub(self.units.saturating_sub(self.reserved));
        self.units -= units;
        self.reserved -= reserved.min(self.reserved);
        if let Some(used) = usize::from(self.seat).checked_sub(1).and_then(|seat| totals.reserved.get_mut(seat)) {
            *used = used.saturating_sub(reserved);
        }
        // A counter that is too small already is for the recount to tell.
        totals.in_use = totals.in_use.saturating_sub(units);
    }

    /// Counts some of the units as reserved, all of one reservation: those of an earlier one count as nobody's in particular.
    pub(super) fn reserve(&mut self, totals: &mut Totals, seat: u8, units: u64) {
        if self.seat != seat {
            if let Some(used) = usize::from(self.seat).checked_sub(1).and_then(|seat| totals.reserved.get_mut(seat)) {
                *used = used.saturating_sub(self.reserved);
            }
            (self.seat, self.reserved) = (seat, 0);
        }
        self.reserved = self.reserved.saturating_add(units);
        UserHolder { reserved: units, ..*self }.count_reserved(&mut totals.reserved);
    }

    /// Gives back what lingers.
    pub(super) fn dismiss(&mut self, totals: &mut Totals) -> u64 {
        let lingering = std::mem::take(&mut self.lingering);
        totals.lingering = totals.lingering.saturating_sub(lingering);
        self.free(totals, lingering);
        lingering
    }

    /// Sits on another seat; on seat 0 none of its units counts as reserved.
    pub fn reseat(&mut self, seats: &Seats) {
        self.seat = seats.get(usize::from(self.seat)).copied().unwrap_or(0);
        if self.seat == 0 {
            self.reserved = 0;
        }
    }

    /// Counts its reserved units to those of its reservation.
    pub fn count_reserved(&self, reserved: &mut Vec<u64>) {
        if let Some(seat) = usize::from(self.seat).checked_sub(1).filter(|_| self.reserved > 0) {
            reserved.resize(reserved.len().max(seat + 1), 0);
            reserved[seat] += self.reserved;
        }
    }

    /// As the books keep it.
    pub(super) fn kept(self) -> Option<Self> {
        (self.connections > 0 || self.units > 0).then_some(self)
    }
}

/// The most units in use since a reader reset its mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Who reads it.
    pub reader: Arc<str>,
    /// How many.
    pub units: u64,
    /// When: wall time.
    pub at: i64,
}

/// Most readers of a pool's high-water mark.
pub(crate) const MAX_READERS: usize = 64;

/// A unit that outlives the session it was charged for, because it is held for a minimal time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Orphan {
    /// The session that ended.
    pub session: SessionId,
    /// Whether it was anonymous.
    pub anonymous: bool,
    /// Engine time.
    pub until: Millis,
}

/// Who holds units that linger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Lingering {
    /// A user.
    User(Arc<str>),
    /// A session that ended.
    Orphan(Orphan),
}

/// A record to be kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AuditEntry<'a> {
    /// Engine time.
    pub at: Millis,
    /// What was done.
    pub kind: AuditKind,
    /// The session.
    pub session: SessionId,
    /// Who is charged afterwards; for a release, who was.
    pub holder: &'a Holder,
    /// Units in use before.
    pub before: u64,
    /// Units in use after.
    pub after: u64,
    /// For a denial.
    pub reason: Option<DenyReason>,
    /// What made it possible.
    pub why: AuditWhy,
}

/// What keeps the books of one pool.
pub(crate) trait Ledger {
    /// Why reading or writing fails.
    type Error;

    /// The counters, in place. What is changed in them counts once [`keep_totals`](Self::keep_totals) returned; after an
    /// error nothing of the whole step counts.
    fn totals(&mut self) -> &mut Totals;
    /// Keeps the counters as they are now.
    fn keep_totals(&mut self) -> Result<(), Self::Error>;
    /// What a user is charged.
    fn holder(&mut self, user: &Arc<str>) -> Result<Option<UserHolder>, Self::Error>;
    /// Charges a user otherwise; `None` is no longer charged.
    fn set_holder(&mut self, user: &Arc<str>, holder: Option<UserHolder>) -> Result<(), Self::Error>;
    /// Whoever's lingering ends first, with the instant.
    fn first_lingering(&mut self) -> Result<Option<(Millis, Lingering)>, Self::Error>;
    /// Users with lingering units, those that have held them longest first.
    fn lingering(&mut self, skip: usize, limit: usize) -> Result<Vec<Arc<str>>, Self::Error>;
    /// How many anonymous sessions a client has, where those are bounded.
    fn client(&mut self, client: &str) -> Result<u64, Self::Error>;
    /// Counts them otherwise; 0 forgets the client.
    fn set_client(&mut self, client: &Arc<str>, sessions: u64) -> Result<(), Self::Error>;
    /// Keeps a unit that outlives its session.
    fn add_orphan(&mut self, orphan: &Orphan) -> Result<(), Self::Error>;
    /// Forgets one.
    fn remove_orphan(&mut self, orphan: &Orphan) -> Result<(), Self::Error>;
    /// All users that are charged.
    fn users(&mut self) -> Result<Vec<(Arc<str>, UserHolder)>, Self::Error>;
    /// Counts reserved units for other reservations: to each seat the new one, 0 for nobody's in particular. Who waits does so
    /// in the lane of its new seat.
    fn reseat(&mut self, seats: &Seats) -> Result<(), Self::Error>;
    /// Raises the marks of readers that are lower.
    fn raise_marks(&mut self, units: u64, wall: i64) -> Result<(), Self::Error>;
    /// Keeps one who waits; tells the number of the place.
    fn add_waiter(&mut self, waiter: &Waiter) -> Result<u64, Self::Error>;
    /// One who waits.
    fn waiter(&mut self, seq: u64) -> Result<Option<Waiter>, Self::Error>;
    /// Keeps what a waiter awaits now, who awaited something else before.
    fn set_waiter(&mut self, waiter: &Waiter, before: Awaits) -> Result<(), Self::Error>;
    /// Forgets one who waited.
    fn remove_waiter(&mut self, waiter: &Waiter) -> Result<(), Self::Error>;
    /// The lanes in which somebody awaits a turn.
    fn lanes(&mut self) -> Result<Vec<Lane>, Self::Error>;
    /// Whose turn is first of those who await one in a lane.
    fn head(&mut self, lane: Lane) -> Result<Option<Waiter>, Self::Error>;
    /// When the first units that were set aside are free for others, with the number of the place.
    fn first_lapse(&mut self) -> Result<Option<(Millis, u64)>, Self::Error>;
    /// Tells a waiter that its turn has come, once the step is done.
    fn call(&mut self, waiter: &Waiter) -> Result<(), Self::Error>;
    /// Counts a session that was refused, by why.
    fn count_denial(&mut self, reason: DenyReason) -> Result<(), Self::Error>;
    /// Keeps a record as the last; not called for a pool that keeps none.
    fn record(&mut self, entry: &AuditEntry<'_>) -> Result<(), Self::Error>;
    /// The level changed, with so many units in use: to be told.
    fn level(&mut self, level: PoolLevel, in_use: u64) -> Result<(), Self::Error>;
}
