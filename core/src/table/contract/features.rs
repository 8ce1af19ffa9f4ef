//! Promises about features: taken wholly or not at all, returned by whoever ends the session.

use std::sync::atomic::{AtomicBool, Ordering};

use super::Promise;
use super::desk::*;
use super::race::{ROUNDS, race};
use crate::license::AuditKind;
use crate::license::policy::Rank;
use crate::reason::{DenyReason, EndReason, Evict};
use crate::table::*;

fn take(pool: u32, count: u64, user: Option<&str>) -> Take {
    Take {
        pool,
        count,
        expected: user.map(Into::into),
        holder: user.map(Into::into),
        rank: Rank::Ordinary,
        revision: 1,
        asking: Asking::default(),
    }
}

impl Desk {
    fn take(&self, ms: Millis, session: SessionRef, take: &Take) -> Result<Result<(), TakeRefused>, String> {
        live(self.table.take_feature(at(ms), session, take))
    }

    /// The features of a session: pool, how often, holder.
    fn features(&self, ms: Millis, session: SessionRef) -> Result<Vec<(String, u64, String)>, String> {
        let (info, _) = live(self.table.look(at(ms), session))?;
        let features = info.features.into_iter();
        Ok(features.map(|taken| (taken.pool.to_string(), taken.count, taken.holder.to_string())).collect())
    }
}

pub(super) const PROMISES: &[Promise] = &[
    ("a feature is taken wholly or not at all, and returned by the end of its session", |ground| {
        let desk = ground.desk();
        let made = desk.create(0, &Plan::plain())?;
        ensure!(desk.take(0, made.session, &take(SINGLE, 2, None))? == Ok(()), "two of three were refused");
        let refused = desk.take(0, made.session, &take(SINGLE, 2, None))?;
        ensure!(refused == Err(TakeRefused::License(DenyReason::PoolExhausted)), "two of one: {refused:?}");
        ensure!(desk.in_use(SINGLE)? == 2, "{} units are in use", desk.in_use(SINGLE)?);
        ensure!(desk.take(1, made.session, &take(USERS, 5, None))? == Ok(()), "the second feature was refused");
        ensure!(desk.in_use(USERS)? == 1, "a user's rule counts {} units", desk.in_use(USERS)?);
        ensure!(desk.take(2, made.session, &take(SINGLE, 1, None))? == Ok(()), "the third was refused");
        let id = made.session.id.to_string();
        let expected = [("single".into(), 3, id.clone()), ("users".into(), 5, id.clone())];
        ensure!(desk.features(2, made.session)? == expected, "{:?}", desk.features(2, made.session)?);
        let usage = ok(desk.table.usage(at(2), SINGLE))?;
        let holders: Vec<_> =
            usage.holders.iter().map(|one| (&*one.holder, one.kind, one.connections, one.units)).collect();
        ensure!(holders == [(&*id, "session", 3, 3)], "the holders are {holders:?}");
        desk.sound(2)?;
        match desk.end(3, made.session) {
            Ended::Now(receipt) => ensure!(receipt.license_free_at_ms == Some(3), "nothing was free by the receipt"),
            other => return Err(format!("the end: {other:?}")),
        }
        ensure!(desk.in_use(SINGLE)? + desk.in_use(USERS)? == 0, "units are in use after the end");
        let records = ok(desk.table.audit_records(SINGLE, 0, 100))?;
        let told: Vec<_> = records.iter().map(|record| (record.kind, record.before, record.after)).collect();
        use AuditKind::{Denial, Grant, Release};
        ensure!(told == [(Grant, 0, 2), (Denial, 2, 2), (Grant, 2, 3), (Release, 3, 0)], "the records are {told:?}");
        ensure!(records.iter().all(|record| *record.holder == *id), "another holder is recorded");
        desk.sound(3)
    }),
    ("a feature stays with its holder, and what was taken last is returned first", |ground| {
        let desk = ground.desk();
        let made = desk.create(0, &Plan::charged(USERS))?;
        let login = |from, to| live(desk.table.change_holder(at(1), made.session, &change(from, to, None)));
        ensure!(desk.take(0, made.session, &take(SINGLE, 1, None))? == Ok(()), "its own was refused");
        ensure!(login(None, Some("ada"))?.is_ok(), "the login was refused");
        let changed = desk.take(1, made.session, &take(SINGLE, 1, None))?;
        ensure!(changed == Err(TakeRefused::Changed), "a take for nobody: {changed:?}");
        ensure!(desk.take(1, made.session, &take(SINGLE, 2, Some("ada")))? == Ok(()), "ada's was refused");
        ensure!(login(Some("ada"), None)?.is_ok(), "the logout was refused");
        desk.sound(1)?;
        let returned = |count| live(desk.table.return_feature(at(2), made.session, SINGLE, count));
        ensure!(returned(1)? == 1, "one was not returned");
        let id = made.session.id.to_string();
        let expected = [("single".into(), 1, id.clone()), ("single".into(), 1, "ada".into())];
        ensure!(desk.features(2, made.session)? == expected, "{:?}", desk.features(2, made.session)?);
        ensure!(returned(9)? == 2 && returned(1)? == 0, "not two were left");
        ensure!(desk.in_use(SINGLE)? == 0 && desk.in_use(USERS)? == 1, "the units are wrong");
        desk.sound(2)
    }),
    ("a session takes a bounded number of features", |ground| {
        let desk = ground.desk_with(|config| {
            let pool = config.pools[USERS as usize].clone();
            config.pools = vec![pool; MAX_TAKES + 1];
            for (number, pool) in config.pools.iter_mut().enumerate() {
                pool.name = format!("feature {number}");
            }
        });
        let made = desk.create(0, &Plan::plain())?;
        for pool in 0..MAX_TAKES as u32 {
            ensure!(desk.take(0, made.session, &take(pool, 1, None))? == Ok(()), "number {pool} was refused");
        }
        let refused = desk.take(0, made.session, &take(MAX_TAKES as u32, 1, None))?;
        ensure!(refused == Err(TakeRefused::TooMany), "one too many: {refused:?}");
        ensure!(desk.take(0, made.session, &take(0, 1, None))? == Ok(()), "more of one was refused");
        desk.end(1, made.session);
        for pool in 0..=MAX_TAKES as u32 {
            ensure!(desk.in_use(pool)? == 0, "feature {pool} was not returned");
        }
        desk.sound(1)
    }),
    ("who is evicted returns its features, and nobody is evicted for one", |ground| {
        let desk = ground.desk_with(|config| config.pools[SINGLE as usize].evict = Evict::Any);
        let one = desk.create(0, &Plan { idle: 0, absolute: 0, ..Plan::charged(SINGLE) })?;
        ensure!(desk.take(0, one.session, &take(SINGLE, 2, None))? == Ok(()), "two of two were refused");
        ensure!(desk.take(0, one.session, &take(USERS, 1, None))? == Ok(()), "of another pool");
        let other = desk.create(1, &Plan::plain())?;
        let refused = desk.take(1, other.session, &take(SINGLE, 1, None))?;
        ensure!(refused == Err(TakeRefused::License(DenyReason::PoolExhausted)), "one of none: {refused:?}");
        live(desk.touch(2, &one.token))?;
        desk.create(3, &Plan::charged(SINGLE))?;
        gone(desk.peek(3, &one.token), EndReason::Evicted)?;
        ensure!(desk.in_use(SINGLE)? == 1 && desk.in_use(USERS)? == 0, "what it took is in use");
        let records = ok(desk.table.audit_records(SINGLE, 0, 100))?;
        let told: Vec<_> = records.iter().map(|record| (record.kind, record.before, record.after)).collect();
        use AuditKind::{Denial, Grant, Release};
        let expected = [(Grant, 0, 1), (Grant, 1, 3), (Denial, 3, 3), (Release, 3, 2), (Grant, 2, 3), (Release, 3, 1)];
        ensure!(told == expected, "the records are {told:?}");
        desk.sound(3)
    }),
    ("take races with end: the units are free either way", |ground| {
        let desk = ground.desk();
        for round in 0..ROUNDS {
            let made = desk.create(round, &Plan::charged(USERS))?;
            race(
                || desk.table.take_feature(at(round), made.session, &take(SINGLE, 2, None)),
                || desk.end(round, made.session),
            )?;
            ensure!(desk.in_use(SINGLE)? == 0, "round {round}: {} units are in use", desk.in_use(SINGLE)?);
        }
        desk.sound(ROUNDS)
    }),
    ("a recount races with takes and returns: the counters are right all the while", |ground| {
        let desk = ground.desk();
        let made = [desk.create(0, &Plan::charged(USERS))?, desk.create(0, &Plan::plain())?];
        let done = AtomicBool::new(false);
        let take_and_return = || -> Outcome {
            for round in 0..ROUNDS {
                for (made, pool) in [(&made[0], USERS), (&made[1], SINGLE), (&made[1], USERS), (&made[0], SINGLE)] {
                    ensure!(desk.take(0, made.session, &take(pool, 1, None))? == Ok(()), "round {round}: refused");
                }
                for (made, pool) in [(&made[0], SINGLE), (&made[1], USERS), (&made[0], USERS), (&made[1], SINGLE)] {
                    let returned = live(desk.table.return_feature(at(0), made.session, pool, 1))?;
                    ensure!(returned == 1, "round {round}: {returned} were returned");
                }
            }
            Ok(())
        };
        let recount = || -> Outcome {
            while !done.load(Ordering::Acquire) {
                for pool in [USERS, SINGLE] {
                    let audit = ok(desk.table.recount(at(0), pool))?;
                    ensure!(audit.differences.is_empty() && audit.counted == audit.recounted, "{audit:?}");
                }
            }
            Ok(())
        };
        let taken = || {
            let taken = take_and_return();
            done.store(true, Ordering::Release);
            taken
        };
        let (taken, recounted) = race(taken, recount)?;
        taken.and(recounted)?;
        desk.sound(0)
    }),
];
