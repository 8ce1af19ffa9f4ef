//! The arithmetic of a pool's books over whatever keeps them: units, admission, levels, records.
//!
//! Each change is worked out before anything of it is written: a denial writes the count of denials and its record, and
//! nothing ever needs undoing. Whoever calls holds the pool: nobody else reads or changes it meanwhile.

use std::sync::Arc;

use super::audit::AuditKind;
use super::rules;
use crate::clock::Millis;
use crate::id::SessionId;
use crate::reason::{DenyReason, LicenseClass};
use crate::table::{At, Charge, Holder, PoolDefinition, PoolLevel};

/// Units of a session that is its own holder: every rule charges one connection with one.
pub(super) const OWN: u64 = 1;

/// The counters of one pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Units charged.
    pub in_use: u64,
    /// Those of anonymous sessions among them.
    pub anonymous: u64,
    /// The most there ever were in use.
    pub high_water: u64,
    /// When that was: wall time.
    pub high_water_at: i64,
    /// Sessions refused so far.
    pub denials: u64,
    /// The level that was told last.
    pub level: PoolLevel,
}

impl Default for Totals {
    fn default() -> Self {
        Self { in_use: 0, anonymous: 0, high_water: 0, high_water_at: 0, denials: 0, level: PoolLevel::Recovered }
    }
}

/// What a user is charged; one who has no connection is not in the books.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UserHolder {
    /// Sessions.
    pub connections: u64,
    /// Units of them together.
    pub units: u64,
    /// Engine time since when without a break.
    pub since: Millis,
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
    /// Keeps a record as the last; not called for a pool that keeps none.
    fn record(&mut self, entry: &AuditEntry<'_>) -> Result<(), Self::Error>;
    /// The level changed, with so many units in use: to be told.
    fn level(&mut self, level: PoolLevel, in_use: u64) -> Result<(), Self::Error>;
}

/// Whether units were given, or why not.
pub(crate) type Verdict = Result<(), DenyReason>;

/// Charges one session more, or tells why not.
pub(crate) fn acquire<L: Ledger>(
    ledger: &mut L,
    pool: &PoolDefinition,
    at: At,
    session: SessionId,
    charge: &Charge,
) -> Result<Verdict, L::Error> {
    let held = held(ledger, &charge.holder)?;
    let totals = ledger.totals();
    let desk = Desk { pool, at, session, holder: &charge.holder, before: totals.in_use };
    match desk.join(totals, charge.class, held) {
        Ok(holder) => {
            hold(ledger, &charge.holder, holder)?;
            desk.settle(ledger, AuditKind::Grant, None)?;
            Ok(Ok(()))
        }
        Err(reason) => desk.deny(ledger, reason),
    }
}

/// Frees what a session was charged.
pub(crate) fn release<L: Ledger>(
    ledger: &mut L,
    pool: &PoolDefinition,
    at: At,
    session: SessionId,
    charge: &Charge,
) -> Result<(), L::Error> {
    let held = held(ledger, &charge.holder)?;
    let totals = ledger.totals();
    let desk = Desk { pool, at, session, holder: &charge.holder, before: totals.in_use };
    let rest = desk.leave(totals, charge, held);
    hold(ledger, &charge.holder, rest)?;
    desk.settle(ledger, AuditKind::Release, None)
}

/// Moves a session from one holder to another in one step; on a denial nothing changed.
pub(crate) fn trade<L: Ledger>(
    ledger: &mut L,
    pool: &PoolDefinition,
    at: At,
    session: SessionId,
    from: &Charge,
    to: &Charge,
) -> Result<Verdict, L::Error> {
    let leaves = held(ledger, &from.holder)?;
    let same = from.holder == to.holder;
    let joins = if same { None } else { held(ledger, &to.holder)? };
    let mut totals = *ledger.totals();
    let desk = Desk { pool, at, session, holder: &to.holder, before: totals.in_use };
    let rest = desk.leave(&mut totals, from, leaves);
    match desk.join(&mut totals, to.class, if same { rest } else { joins }) {
        Ok(holder) => {
            *ledger.totals() = totals;
            if !same {
                hold(ledger, &from.holder, rest)?;
            }
            hold(ledger, &to.holder, holder)?;
            desk.settle(ledger, AuditKind::Trade, None)?;
            Ok(Ok(()))
        }
        Err(reason) => desk.deny(ledger, reason),
    }
}

fn held<L: Ledger>(ledger: &mut L, holder: &Holder) -> Result<Option<UserHolder>, L::Error> {
    match holder {
        Holder::Session => Ok(None),
        Holder::User(user) => ledger.holder(user),
    }
}

fn hold<L: Ledger>(ledger: &mut L, holder: &Holder, held: Option<UserHolder>) -> Result<(), L::Error> {
    match holder {
        Holder::Session => Ok(()),
        Holder::User(user) => ledger.set_holder(user, held),
    }
}

/// One change of a pool.
struct Desk<'a> {
    pool: &'a PoolDefinition,
    at: At,
    session: SessionId,
    /// Who the record names.
    holder: &'a Holder,
    /// Units in use before.
    before: u64,
}

impl Desk<'_> {
    /// Counts one connection more: the holder with it, or why it is refused, with nothing counted.
    fn join(
        &self,
        totals: &mut Totals,
        class: LicenseClass,
        held: Option<UserHolder>,
    ) -> Result<Option<UserHolder>, DenyReason> {
        let available = self.pool.capacity.saturating_sub(totals.in_use);
        let holder = match self.holder {
            Holder::Session => {
                if available < OWN {
                    return Err(DenyReason::PoolExhausted);
                }
                if class == LicenseClass::Anonymous {
                    if self.pool.anonymous_cap.is_some_and(|cap| totals.anonymous >= cap) {
                        return Err(DenyReason::Reserved);
                    }
                    totals.anonymous += OWN;
                }
                totals.in_use += OWN;
                None
            }
            Holder::User(_) => {
                let held = held.unwrap_or(UserHolder { connections: 0, units: 0, since: self.at.now.ms });
                let units = rules::admit(self.pool.rule, held.connections, held.units, available)?;
                totals.in_use = totals.in_use.saturating_add(units).saturating_sub(held.units);
                Some(UserHolder { connections: held.connections.saturating_add(1), units, since: held.since })
            }
        };
        if totals.in_use > totals.high_water {
            totals.high_water = totals.in_use;
            totals.high_water_at = self.at.wall;
        }
        Ok(holder)
    }

    /// Counts one connection less: the holder without it.
    fn leave(&self, totals: &mut Totals, charge: &Charge, held: Option<UserHolder>) -> Option<UserHolder> {
        let mut freed = 0;
        let mut rest = None;
        match (&charge.holder, held) {
            (Holder::Session, _) => {
                freed = OWN;
                if charge.class == LicenseClass::Anonymous {
                    totals.anonymous = totals.anonymous.saturating_sub(OWN);
                }
            }
            (Holder::User(_), Some(held)) => {
                let connections = held.connections.saturating_sub(1);
                let units = rules::units(self.pool.rule, connections, held.units);
                freed = held.units.saturating_sub(units);
                rest = (connections > 0).then_some(UserHolder { connections, units, since: held.since });
            }
            (Holder::User(_), None) => {}
        }
        // A counter that is too small already is for the recount to tell.
        totals.in_use = totals.in_use.saturating_sub(freed);
        rest
    }

    fn deny<L: Ledger>(&self, ledger: &mut L, reason: DenyReason) -> Result<Verdict, L::Error> {
        let totals = ledger.totals();
        totals.denials = totals.denials.saturating_add(1);
        self.settle(ledger, AuditKind::Denial, Some(reason))?;
        Ok(Err(reason))
    }

    /// Tells the level, keeps the counters and the record.
    #[inline(always)]
    fn settle<L: Ledger>(&self, ledger: &mut L, kind: AuditKind, reason: Option<DenyReason>) -> Result<(), L::Error> {
        let totals = ledger.totals();
        let after = totals.in_use;
        let level = level(self.pool, after);
        if level != totals.level {
            totals.level = level;
            ledger.level(level, after)?;
        }
        ledger.keep_totals()?;
        if self.pool.audit_records == 0 {
            return Ok(());
        }
        let (at, session, holder) = (self.at.now.ms, self.session, self.holder);
        ledger.record(&AuditEntry { at, kind, session, holder, before: self.before, after, reason })
    }
}

/// The level of a pool with so many units in use.
fn level(pool: &PoolDefinition, in_use: u64) -> PoolLevel {
    let available = pool.capacity.saturating_sub(in_use);
    if available == 0 && pool.capacity > 0 {
        PoolLevel::Exhausted
    } else if available < pool.low {
        PoolLevel::Low
    } else {
        PoolLevel::Recovered
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::super::rules::PoolRule;
    use super::*;
    use crate::clock::Now;
    use crate::reason::UnitRule;

    /// Books that count what is written into them, and fail at a chosen call.
    #[derive(Default)]
    struct Books {
        totals: Totals,
        users: HashMap<Arc<str>, UserHolder>,
        records: Vec<(AuditKind, u64, u64, Option<DenyReason>)>,
        levels: Vec<(PoolLevel, u64)>,
        holders_written: u32,
        calls: u32,
        fail_at: Option<u32>,
    }

    impl Books {
        fn call(&mut self) -> Result<(), &'static str> {
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
            self.call()
        }

        fn holder(&mut self, user: &Arc<str>) -> Result<Option<UserHolder>, Self::Error> {
            self.call().map(|()| self.users.get(user).copied())
        }

        fn set_holder(&mut self, user: &Arc<str>, holder: Option<UserHolder>) -> Result<(), Self::Error> {
            self.call()?;
            self.holders_written += 1;
            match holder {
                Some(holder) => self.users.insert(user.clone(), holder),
                None => self.users.remove(user),
            };
            Ok(())
        }

        fn record(&mut self, entry: &AuditEntry<'_>) -> Result<(), Self::Error> {
            self.call().map(|()| self.records.push((entry.kind, entry.before, entry.after, entry.reason)))
        }

        fn level(&mut self, level: PoolLevel, in_use: u64) -> Result<(), Self::Error> {
            self.call().map(|()| self.levels.push((level, in_use)))
        }
    }

    fn pool(unit_rule: UnitRule, capacity: u64) -> PoolDefinition {
        PoolDefinition {
            name: "main".into(),
            capacity,
            rule: PoolRule { unit_rule, max_connections: 2, max_sessions_per_holder: None },
            anonymous_cap: Some(1),
            low: 2,
            audit_records: 10,
        }
    }

    fn at(ms: Millis) -> At {
        At { now: Now { ms, ..Now::default() }, wall: 1000 + ms as i64 }
    }

    fn charge(user: &str) -> Charge {
        let holder = if user.is_empty() { Holder::Session } else { Holder::User(user.into()) };
        Charge { pool: 0, class: LicenseClass::Named, holder }
    }

    fn session(number: u8) -> SessionId {
        SessionId([number; 16])
    }

    #[test]
    fn a_denied_trade_writes_the_denial_and_nothing_else() {
        let (mut books, pool) = (Books::default(), pool(UnitRule::Iris, 3));
        let acquire = |books: &mut Books, number, user| acquire(books, &pool, at(1), session(number), &charge(user));
        for (number, user) in [(1, "ada"), (2, "ada"), (3, "bob"), (4, "bob")] {
            assert_eq!(acquire(&mut books, number, user), Ok(Ok(())));
        }
        let (totals, written, users) = (books.totals, books.holders_written, books.users.clone());
        // The third connection of one holder costs three units: one is free, and one comes free.
        let verdict = trade(&mut books, &pool, at(2), session(3), &charge("bob"), &charge("ada"));
        assert_eq!(verdict, Ok(Err(DenyReason::PoolExhausted)));
        assert_eq!(books.totals, Totals { denials: 1, ..totals });
        assert_eq!((books.holders_written, &books.users), (written, &users));
        assert_eq!(books.records.last(), Some(&(AuditKind::Denial, 2, 2, Some(DenyReason::PoolExhausted))));
    }

    #[test]
    fn a_full_pool_trades_the_unit_that_becomes_free() {
        let (mut books, pool) = (Books::default(), pool(UnitRule::User, 1));
        assert_eq!(acquire(&mut books, &pool, at(1), session(1), &charge("")), Ok(Ok(())));
        assert_eq!(trade(&mut books, &pool, at(5), session(1), &charge(""), &charge("ada")), Ok(Ok(())));
        assert_eq!(books.users.get("ada"), Some(&UserHolder { connections: 1, units: 1, since: 5 }));
        assert_eq!(trade(&mut books, &pool, at(7), session(1), &charge("ada"), &charge("ada")), Ok(Ok(())));
        assert_eq!(books.users.get("ada"), Some(&UserHolder { connections: 1, units: 1, since: 7 }));
        assert_eq!(release(&mut books, &pool, at(9), session(1), &charge("ada")), Ok(()));
        assert_eq!((books.totals.in_use, books.users.len()), (0, 0));
        assert_eq!((books.totals.high_water, books.totals.high_water_at), (1, 1001));
        assert_eq!(books.levels, [(PoolLevel::Exhausted, 1), (PoolLevel::Low, 0)]);
    }

    #[test]
    fn each_failure_of_the_books_is_told() {
        let pool = pool(UnitRule::Session, 3);
        for fail_at in 1.. {
            let mut books = Books { fail_at: Some(fail_at), ..Books::default() };
            let done = acquire(&mut books, &pool, at(1), session(1), &charge("ada"))
                .and_then(|_| trade(&mut books, &pool, at(2), session(1), &charge("ada"), &charge("bob")))
                .and_then(|_| release(&mut books, &pool, at(3), session(1), &charge("bob")));
            if books.calls < fail_at {
                assert_eq!((done, books.totals.in_use), (Ok(()), 0));
                break;
            }
            assert_eq!(done, Err("the disk is full"));
        }
    }
}
