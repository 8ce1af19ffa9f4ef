//! Promises about sessions that have to go for others: who goes, that it is one step with the unit's new use, and that nobody
//! goes for nothing.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::Promise;
use super::desk::*;
use super::race::{ROUNDS, race};
use crate::clock::Millis;
use crate::config::{Pool, Reservation};
use crate::id::SessionId;
use crate::license::policy::Rank;
use crate::license::{AuditKind, AuditWhy};
use crate::reason::{AtSessionLimit, DenyReason, EndLevel, EndReason, Evict, LicenseClass, LockMode, UnitRule};
use crate::table::*;

/// The pool of 3 units in which sessions have to go.
fn pool(ground: &Ground<'_>, change: impl Fn(&mut Pool)) -> Desk {
    ground.desk_with(|config| {
        let pool = &mut config.pools[SINGLE as usize];
        pool.evict = Evict::Any;
        pool.anonymous_cap = None;
        change(pool);
    })
}

fn plan() -> Plan {
    Plan { idle: 0, absolute: 0, ..Plan::charged(SINGLE) }
}

fn anonymous() -> Plan {
    let charge = Charge { class: LicenseClass::Anonymous, ..charge(SINGLE, Holder::Session) };
    Plan { charge: Some(charge), ..plan() }
}

impl Desk {
    /// A session that was used last at an instant.
    fn used(&self, ms: Millis, plan: &Plan) -> Result<Made, String> {
        let made = self.create(0, plan)?;
        let request = self.begin(ms, &made.token, LockMode::None)?;
        self.finish(ms, &request)?;
        Ok(made)
    }

    /// A session of a user.
    fn of(&self, ms: Millis, name: &str) -> Result<Made, String> {
        let made = self.create(ms, &plan())?;
        self.login(ms, &made, name, Rank::Ordinary)?;
        Ok(made)
    }

    /// The same, used last at an instant.
    fn used_of(&self, ms: Millis, name: &str) -> Result<Made, String> {
        let made = self.of(0, name)?;
        self.use_again(ms, &made)?;
        Ok(made)
    }

    fn login(&self, ms: Millis, made: &Made, name: &str, rank: Rank) -> Outcome {
        let change = HolderChange { rank, ..change(None, Some(name), None) };
        let done = live(self.table.change_holder(at(ms), made.session, &change))?;
        done.map(drop).map_err(|refused| format!("{name} at {ms}: {refused:?}"))
    }

    fn use_again(&self, ms: Millis, made: &Made) -> Outcome {
        let request = self.begin(ms, &made.token, LockMode::None)?;
        self.finish(ms, &request).map(drop)
    }

    /// Whether exactly these are gone, evicted.
    fn went(&self, ms: Millis, gone: &[&Made], stay: &[&Made]) -> Outcome {
        for made in gone {
            super::desk::gone(self.peek(ms, &made.token), EndReason::Evicted)?;
        }
        for made in stay {
            live(self.peek(ms, &made.token))?;
        }
        self.sound(ms)
    }

    fn refused(&self, ms: Millis, plan: &Plan, why: DenyReason) -> Outcome {
        match self.try_create(ms, plan)? {
            Err(Refused::License(reason)) if reason == why => Ok(()),
            other => Err(format!("not refused for {why}: {:?}", other.err())),
        }
    }
}

pub(super) const PROMISES: &[Promise] = &[
    ("a full pool evicts who has been idle longest, in one step with the unit's new use", |ground| {
        let desk = pool(ground, |_| {});
        let late = desk.used(30, &Plan { class: Some("audit"), ..plan() })?;
        let first = desk.used(10, &Plan { class: Some("audit"), ..plan() })?;
        let next = desk.used(20, &plan())?;
        let new = desk.create(40, &plan())?;
        desk.went(40, &[&first], &[&late, &next, &new])?;
        ensure!(desk.in_use(SINGLE)? == 3, "{} units are in use", desk.in_use(SINGLE)?);
        let receipt = ok(desk.table.receipt(at(40), first.session.id))?.ok_or("no receipt")?;
        let why = (receipt.reason, receipt.level, receipt.actor.as_deref(), receipt.license_free_at_ms);
        ensure!(why == (EndReason::Evicted, EndLevel::Force, Some("license pool"), Some(40)), "the receipt is {why:?}");
        let note = format!("its unit of pool 'single' was needed by {}", new.session.id);
        ensure!(receipt.note.as_deref() == Some(&*note), "it is told {:?}", receipt.note);
        let rows = ok(desk.table.outbox_take(10))?;
        let told: Vec<_> = rows.iter().map(|row| (row.session, row.reason)).collect();
        ensure!(told == [(first.session.id, EndReason::Evicted)], "told were {told:?}");
        let records = ok(desk.table.audit_records(SINGLE, 3, 10))?;
        let told: Vec<_> =
            records.iter().map(|one| (one.kind, one.session_id, one.before, one.after, one.why)).collect();
        use AuditKind::{Grant, Release};
        let (gone, came) = (first.session.id, new.session.id);
        let wanted = [(Release, gone, 3, 2, AuditWhy::Evicted), (Grant, came, 2, 3, AuditWhy::Evicted)];
        ensure!(told == wanted, "the records are {told:?}");
        desk.use_again(50, &next)?;
        let newer = desk.create(60, &plan())?;
        desk.went(60, &[&late], &[&next, &new, &newer])?;
        let usage = ok(desk.table.usage(at(60), SINGLE))?;
        ensure!((usage.evicted, usage.denials, usage.high_water) == (2, 0, 3), "the usage is {usage:?}");
        Ok(())
    }),
    ("anonymous sessions go first, and drive out nobody else", |ground| {
        let desk = pool(ground, |_| {});
        let named = desk.used(1, &plan())?;
        let guest = desk.used(5, &anonymous())?;
        let other = desk.used(3, &anonymous())?;
        let new = desk.create(10, &plan())?;
        desk.went(10, &[&other], &[&named, &guest, &new])?;
        let third = desk.create(11, &anonymous())?;
        desk.went(11, &[&guest], &[&named, &new, &third])?;
        let request = desk.begin(12, &third.token, LockMode::None)?;
        desk.refused(13, &anonymous(), DenyReason::PoolExhausted)?;
        desk.went(13, &[], &[&named, &new, &third])?;
        desk.finish(14, &request)?;
        // Who logs in is anonymous no more.
        desk.login(15, &third, "ada", Rank::Ordinary)?;
        desk.refused(16, &anonymous(), DenyReason::PoolExhausted)?;
        let last = desk.create(17, &plan())?;
        desk.went(17, &[&named], &[&new, &third, &last])
    }),
    ("with a cap of their own anonymous sessions make place for each other", |ground| {
        let desk = pool(ground, |pool| {
            pool.evict = Evict::Anonymous;
            pool.anonymous_cap = Some(1);
        });
        let named = desk.create(0, &plan())?;
        let one = desk.create(0, &anonymous())?;
        let two = desk.create(1, &anonymous())?;
        desk.went(1, &[&one], &[&named, &two])?;
        ensure!(desk.in_use(SINGLE)? == 2, "{} units are in use", desk.in_use(SINGLE)?);
        let third = desk.create(2, &plan())?;
        let fourth = desk.create(3, &plan())?;
        desk.went(3, &[&two], &[&named, &third, &fourth])?;
        desk.refused(4, &plan(), DenyReason::PoolExhausted)?;
        desk.went(4, &[], &[&named, &third, &fourth])
    }),
    ("nobody goes with a request in flight, within a minimal time, too early, or for nothing", |ground| {
        let desk = pool(ground, |pool| {
            pool.evict_idle = Duration::from_millis(100);
            pool.min_hold = Duration::from_millis(300);
            pool.anonymous_min_hold = Some(Duration::from_millis(50));
        });
        let named = desk.create(0, &plan())?;
        let guest = desk.create(0, &anonymous())?;
        let busy = desk.create(0, &anonymous())?;
        let request = desk.began(0, &busy.token, crate::reason::TouchKind::None, LockMode::None);
        let Found::Live(Began::Request { key, .. }) = request else { return Err("no request".into()) };
        desk.refused(99, &plan(), DenyReason::PoolExhausted)?;
        let one = desk.create(100, &plan())?;
        desk.went(100, &[&guest], &[&named, &busy, &one])?;
        desk.refused(299, &plan(), DenyReason::PoolExhausted)?;
        let two = desk.create(300, &plan())?;
        desk.went(300, &[&named], &[&busy, &one, &two])?;
        desk.finish(301, &key)?;
        let three = desk.create(301, &anonymous())?;
        desk.went(301, &[&busy], &[&one, &two, &three])?;
        let records = ok(desk.table.audit_records(SINGLE, 0, 100))?;
        let gaps = records.windows(2).filter(|two| two[0].after != two[1].before).count();
        ensure!(gaps == 0 && records.iter().filter(|one| one.kind == AuditKind::Denial).count() == 2, "{records:?}");
        Ok(())
    }),
    ("of a user go all the sessions that a unit takes, when the last used of them is the longest idle", |ground| {
        let desk = pool(ground, |pool| {
            pool.unit_rule = UnitRule::Staircase;
            pool.max_connections = 2;
        });
        let ada: Vec<Made> = [10, 50].iter().map(|ms| desk.used_of(*ms, "ada")).collect::<Result<_, _>>()?;
        let bob: Vec<Made> = [20, 30].iter().map(|ms| desk.used_of(*ms, "bob")).collect::<Result<_, _>>()?;
        let own = desk.used(40, &plan())?;
        let first = desk.of(60, "eve")?;
        desk.went(60, &[&bob[0], &bob[1]], &[&ada[0], &ada[1], &own, &first])?;
        let second = desk.create(70, &plan())?;
        desk.went(70, &[&own], &[&ada[0], &ada[1], &first, &second])?;
        let request = desk.begin(80, &ada[0].token, LockMode::None)?;
        let third = desk.create(80, &plan())?;
        desk.went(80, &[&first], &[&ada[0], &ada[1], &second, &third])?;
        desk.finish(80, &request)?;
        desk.use_again(90, &second)?;
        desk.use_again(91, &third)?;
        desk.use_again(92, &ada[0])?;
        // A third session of hers takes another unit: her own stay.
        let more = desk.of(95, "ada")?;
        desk.went(95, &[&second], &[&ada[0], &ada[1], &third, &more])?;
        // And one of three frees it again.
        desk.use_again(96, &third)?;
        let last = desk.create(97, &plan())?;
        desk.went(97, &[&ada[1]], &[&ada[0], &third, &more, &last])?;
        let usage = ok(desk.table.usage(at(97), SINGLE))?;
        ensure!(usage.in_use == 3 && usage.evicted == 6, "the usage is {usage:?}");
        Ok(())
    }),
    ("who is the longest idle is found among many, whoever was used since", |ground| {
        let desk = ground.desk_with(|config| {
            let pool = &mut config.pools[SINGLE as usize];
            (pool.evict, pool.capacity, pool.anonymous_cap) = (Evict::Any, 2500, None);
        });
        let mut order: Vec<(Millis, Made)> = Vec::new();
        for number in 0..2500_u64 {
            let ms = number * 7 % 2500;
            order.push((ms, desk.used(ms, &plan())?));
        }
        order.sort_by_key(|(ms, _)| *ms);
        let (mut now, mut gone) = (3000, 0);
        for round in 0..1500_usize {
            now += 1;
            if round % 3 == 0 {
                // Some that would come soon, and some that would come late.
                let (_, made) = order.remove((gone + 5 + round % 700).min(order.len() - 1));
                desk.use_again(now, &made)?;
                order.push((now, made));
            }
            let new = desk.create(now, &plan())?;
            let (_, first) = order[gone];
            gone += 1;
            super::desk::gone(desk.peek(now, &first.token), EndReason::Evicted)
                .map_err(|text| format!("round {round}: {text}"))?;
            order.push((now, new));
        }
        ensure!(desk.table.count() == 2500, "{} are live", desk.table.count());
        desk.sound(now)
    }),
    ("at the limit of a user the oldest session goes, or the longest idle, or the login is denied", |ground| {
        for (policy, goes) in [
            (AtSessionLimit::Deny, None),
            (AtSessionLimit::EvictOldest, Some(0)),
            (AtSessionLimit::EvictLongestIdle, Some(1)),
        ] {
            let desk = pool(ground, |pool| {
                pool.evict = Evict::None;
                pool.at_session_limit = policy;
                pool.unit_rule = UnitRule::User;
                pool.max_sessions_per_holder = Some(2);
            });
            let own = [desk.used_of(30, "ada")?, desk.used_of(20, "ada")?];
            let other = desk.used_of(5, "bob")?;
            let login = desk.used(40, &plan())?;
            // Even with a request in flight: the user wants it so.
            let request = match goes {
                Some(0) => Some(desk.begin(40, &own[0].token, LockMode::Exclusive)?),
                _ => None,
            };
            let done = live(desk.table.change_holder(at(50), login.session, &change(None, Some("ada"), None)))?;
            let Some(goes) = goes else {
                let denied = matches!(done, Err(ChangeRefused::License(DenyReason::HolderLimit)));
                ensure!(denied, "not denied: {done:?}");
                desk.went(50, &[], &[&own[0], &own[1], &other, &login])?;
                continue;
            };
            done.map_err(|refused| format!("{policy}: {refused:?}"))?;
            desk.went(50, &[&own[goes]], &[&own[1 - goes], &other, &login])?;
            if let Some(request) = request {
                super::desk::gone(desk.table.finish(at(51), &request, &write("a", 1)?), EndReason::Evicted)?;
            }
            let receipt = ok(desk.table.receipt(at(51), own[goes].session.id))?.ok_or("no receipt")?;
            let note = "ada has as many sessions as a holder may in pool 'single', and began another";
            ensure!(receipt.note.as_deref() == Some(note), "it is told {:?}", receipt.note);
            ensure!(desk.in_use(SINGLE)? == 2, "{} units are in use", desk.in_use(SINGLE)?);
            let usage = ok(desk.table.usage(at(51), SINGLE))?;
            let sessions = usage.holders.iter().find(|one| &*one.holder == "ada").map(|one| one.connections);
            ensure!(sessions == Some(2), "she has {sessions:?} sessions");
        }
        Ok(())
    }),
    ("who has units reserved softly gets them back from those that have none of them", |ground| {
        let desk = pool(ground, |pool| {
            pool.evict = Evict::None;
            pool.unit_rule = UnitRule::Iris;
            pool.max_connections = 2;
            pool.capacity = 5;
            pool.reservations = vec![Reservation { hard: false, ..Reservation::new(3, ["ann"]) }];
        });
        let (ann, two) = (desk.used(1, &plan())?, desk.used(9, &plan())?);
        desk.login(1, &ann, "ann", Rank::Reserved(0))?;
        desk.login(9, &two, "ann", Rank::Reserved(0))?;
        let eve = desk.used_of(3, "eve")?;
        let bob = desk.used_of(2, "bob")?;
        let own = desk.used(4, &plan())?;
        let three = desk.used(5, &plan())?;
        desk.refused(6, &plan(), DenyReason::PoolExhausted)?;
        // Her third session is worth three units: one she has, one the session brings along, and one is taken back.
        desk.login(7, &three, "ann", Rank::Reserved(0))?;
        desk.went(7, &[&bob], &[&ann, &two, &three, &eve, &own])?;
        let receipt = ok(desk.table.receipt(at(7), bob.session.id))?.ok_or("no receipt")?;
        let note = receipt.note.as_deref();
        ensure!(note == Some("its unit of pool 'single' is reserved for ann"), "it is told {note:?}");
        let records = ok(desk.table.audit_records(SINGLE, 0, 100))?;
        let last: Vec<_> = records.iter().rev().take(2).map(|one| (one.kind, one.before, one.after, one.why)).collect();
        let wanted = [(AuditKind::Trade, 4, 5, AuditWhy::Reserved), (AuditKind::Release, 5, 4, AuditWhy::Evicted)];
        ensure!(last == wanted, "the last records are {last:?}");
        // What is reserved and used by its own is not taken from them, nor more than is reserved for others.
        desk.refused(8, &plan(), DenyReason::PoolExhausted)?;
        desk.went(8, &[], &[&ann, &two, &three, &eve, &own])
    }),
    ("many at once in a full pool: never more units than there are, and each end is told once", |ground| {
        const THREADS: u64 = 4;
        const EACH: u64 = 50;
        let desk = ground.desk_with(|config| {
            let pool = &mut config.pools[SINGLE as usize];
            (pool.evict, pool.capacity, pool.anonymous_cap) = (Evict::Any, 5, None);
        });
        let told = Plan { class: Some("audit"), ..plan() };
        let (over, made) = (AtomicBool::new(false), AtomicU64::new(0));
        let refused = AtomicU64::new(0);
        let work = |thread: u64| -> Outcome {
            for number in 0..EACH {
                let ms = 10 + number;
                match desk.try_create(ms, &told)? {
                    Ok(one) => {
                        made.fetch_add(1, Ordering::Relaxed);
                        // Some of them are at work, or log in, when others come.
                        match (thread + number) % 3 {
                            0 => {
                                if let Found::Live(Began::Request { key, .. }) =
                                    desk.began(ms, &one.token, crate::reason::TouchKind::Activity, LockMode::None)
                                {
                                    std::thread::yield_now();
                                    let _gone = desk.table.finish(at(ms), &key, &Default::default());
                                }
                            }
                            1 => {
                                let name = format!("user {}", number % 3);
                                let login = change(None, Some(&name), None);
                                let _gone = desk.table.change_holder(at(ms), one.session, &login);
                            }
                            _ => {}
                        }
                    }
                    Err(_) => drop(refused.fetch_add(1, Ordering::Relaxed)),
                }
            }
            Ok(())
        };
        let sample = || -> Outcome {
            while !over.load(Ordering::Acquire) {
                ensure!(desk.in_use(SINGLE)? <= 5, "{} units are in use", desk.in_use(SINGLE)?);
                let audit = ok(desk.table.recount(at(0), SINGLE))?;
                ensure!(audit.differences.is_empty(), "{audit:?}");
            }
            Ok(())
        };
        let all = || -> Outcome {
            let outcome = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || work(thread))).collect();
                threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a panic".to_owned())?)
            });
            over.store(true, Ordering::Release);
            outcome
        };
        let (one, two) = race(all, sample)?;
        one.and(two)?;
        let made = made.into_inner();
        let mut ends: HashMap<SessionId, u64> = HashMap::new();
        loop {
            let rows = ok(desk.table.outbox_take(64))?;
            if rows.is_empty() {
                break;
            }
            for row in rows {
                ensure!(row.reason == EndReason::Evicted, "an end for {}", row.reason);
                *ends.entry(row.session).or_default() += 1;
                ok(desk.table.outbox_acknowledge(row.event_id))?;
            }
        }
        let usage = ok(desk.table.usage(at(1000), SINGLE))?;
        ensure!(ends.values().all(|times| *times == 1), "an end was told twice");
        ensure!(ends.len() as u64 == usage.evicted, "{} ends of {} evicted", ends.len(), usage.evicted);
        ensure!(made == usage.evicted + desk.table.count(), "{made} were made, {} are live", desk.table.count());
        ensure!(usage.denials == refused.into_inner(), "{} denials are booked", usage.denials);
        let records = ok(desk.table.audit_records(SINGLE, 0, 100_000))?;
        ensure!(records.windows(2).all(|two| two[0].after == two[1].before), "the records have gaps");
        desk.sound(1000)
    }),
    ("logins that race at the limit of a user: never more sessions than it may have", |ground| {
        for policy in [AtSessionLimit::Deny, AtSessionLimit::EvictOldest, AtSessionLimit::EvictLongestIdle] {
            let desk = pool(ground, |pool| {
                pool.capacity = 100;
                pool.at_session_limit = policy;
                pool.unit_rule = UnitRule::User;
                pool.max_sessions_per_holder = Some(2);
            });
            for round in 0..ROUNDS / 4 {
                let one = desk.of(round, "ada")?;
                let logins = [desk.create(round, &plan())?, desk.create(round, &plan())?];
                let login = |made: &Made| {
                    live(desk.table.change_holder(at(round), made.session, &change(None, Some("ada"), None)))
                };
                let (first, second) = race(|| login(&logins[0]), || login(&logins[1]))?;
                let passed = usize::from(matches!(first, Ok(Ok(_)))) + usize::from(matches!(second, Ok(Ok(_))));
                let hers = |made: &&Made| {
                    let card = desk.table.card(at(round), made.session);
                    matches!(card, Found::Live(card) if card.user.as_deref() == Some("ada"))
                        || matches!(desk.table.card(at(round), made.session), Found::Live(card)
                            if card.charge.as_ref().is_some_and(|charge| charge.holder == user("ada")))
                };
                let count = [&one, &logins[0], &logins[1]].into_iter().filter(hers).count();
                ensure!(count == 2, "{policy}, round {round}: {count} sessions ({first:?}, {second:?})");
                let wanted = if policy == AtSessionLimit::Deny { 1 } else { 2 };
                ensure!(passed == wanted, "{policy}, round {round}: {passed} passed ({first:?}, {second:?})");
                let mut seen = HashSet::new();
                for made in [&one, &logins[0], &logins[1]] {
                    ensure!(seen.insert(made.session.id), "an id came twice");
                    desk.end(round, made.session);
                }
                ensure!(desk.in_use(SINGLE)? == 0, "{} units are in use", desk.in_use(SINGLE)?);
            }
            desk.sound(ROUNDS)?;
        }
        Ok(())
    }),
];
