//! More promises under races: holders, tokens, writes, locks, and what is seen meanwhile.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;

use super::Promise;
use super::desk::*;
use super::race::{ROUNDS, race};
use super::seeing::listed;
use crate::data::Value;
use crate::error::ErrorKind;
use crate::reason::{EndReason, LockMode, TouchKind};
use crate::session::Filter;
use crate::table::*;

pub(super) const PROMISES: &[Promise] = &[
    ("rotate races with begin: one of the two tokens always opens the session", |ground| {
        let desk = ground.desk();
        for round in 0..ROUNDS {
            let made = desk.create(0, &Plan::plain())?;
            let (changed, begun) = race(
                || desk.table.change_holder(at(0), made.session, &change(None, None, Some(100))),
                || desk.began(0, &made.token, TouchKind::Activity, LockMode::None),
            )?;
            let token = live(changed)?.map_err(|refused| format!("{refused:?}"))?.token.ok_or("no token")?;
            ensure!(matches!(begun, Found::Live(Began::Request { .. })), "round {round}: {begun:?}");
            live(desk.touch(0, &token))?;
            live(desk.touch(99, &made.token))?;
            gone(desk.touch(100, &made.token), EndReason::Replaced)?;
            desk.end(100, made.session);
        }
        Ok(())
    }),
    ("a rotation without grace races with begin: after it the old token opens nothing", |ground| {
        let desk = ground.desk();
        for round in 0..ROUNDS {
            let made = desk.create(0, &Plan::plain())?;
            let old = race(
                || desk.table.change_holder(at(0), made.session, &change(None, None, Some(0))),
                || desk.touch(0, &made.token),
            )?;
            ensure!(!matches!(old.1, Found::Absent), "round {round}: neither live nor gone");
            gone(desk.touch(0, &made.token), EndReason::Replaced)?;
            desk.end(0, made.session);
        }
        Ok(())
    }),
    ("trade races with trade: one user has it, and the books are right", |ground| {
        let desk = ground.desk();
        for round in 0..ROUNDS {
            let made = desk.create(round, &Plan::charged(USERS))?;
            let login = |name| live(desk.table.change_holder(at(round), made.session, &change(None, Some(name), None)));
            let (ada, bob) = race(|| login("ada"), || login("bob"))?;
            let winner = match (ada?, bob?) {
                (Ok(_), Err(ChangeRefused::Changed)) => "ada",
                (Err(ChangeRefused::Changed), Ok(_)) => "bob",
                other => return Err(format!("round {round}: {other:?}")),
            };
            let card = live(desk.table.card(at(round), made.session))?;
            ensure!(card.charge.is_some_and(|charge| charge.holder == user(winner)), "another holder");
            ensure!(desk.in_use(USERS)? == 1, "{} units are in use", desk.in_use(USERS)?);
            desk.end(round, made.session);
            ensure!(desk.in_use(USERS)? == 0, "{} units are in use", desk.in_use(USERS)?);
        }
        desk.sound(ROUNDS)
    }),
    ("trade races with end: the unit is free either way", |ground| {
        let desk = ground.desk();
        for round in 0..ROUNDS {
            let made = desk.create(round, &Plan::charged(USERS))?;
            race(
                || desk.table.change_holder(at(round), made.session, &change(None, Some("ada"), Some(0))),
                || desk.end(round, made.session),
            )?;
            ensure!(desk.in_use(USERS)? == 0, "round {round}: {} units are in use", desk.in_use(USERS)?);
        }
        ensure!(ok(desk.table.usage(at(ROUNDS), USERS))?.holders.is_empty(), "somebody is charged");
        desk.sound(ROUNDS)
    }),
    ("extend races with touch: activity is never shortened, and a grant is in force", |ground| {
        let desk = ground.desk();
        let class = ClassRef::new("", "audit");
        for round in 0..ROUNDS {
            let made = desk.create(0, &Plan { absolute: 0, ..Plan::told() })?;
            let (granted, touched) =
                race(|| desk.table.extend(at(900), made.session, IDLE, &class, 200), || desk.touch(900, &made.token))?;
            let (granted, due) = (live(granted)?, desk.deadline(900, &made.token)?);
            live(touched)?;
            ensure!(due == 900 + IDLE, "round {round}: granted {granted:?}, due at {due}");
            desk.end(900, made.session);
        }
        Ok(())
    }),
    ("write races with write: different keys keep both, one key counts both", |ground| {
        let desk = ground.desk();
        let made = desk.create(0, &Plan { idle: 0, absolute: 0, ..Plan::plain() })?;
        let count = |key: &'static str| -> Outcome {
            for number in 0..ROUNDS {
                let request = desk.begin(0, &made.token, LockMode::None)?;
                loop {
                    let old = desk.value(0, &request, "both")?;
                    let new = Value::from(old.as_ref().and_then(Value::as_int).unwrap_or(0) + 1);
                    match live(desk.table.compare_and_set(at(0), &request, &path("both"), old.as_ref(), Some(new)))? {
                        Ok(()) => break,
                        Err(error) => ensure!(error.kind() == ErrorKind::Conflict, "{error:?}"),
                    }
                }
                ok(live(desk.table.finish(at(0), &request, &write(key, number as i64 + 1)?))?.committed)?;
            }
            Ok(())
        };
        let (one, two) = race(|| count("one"), || count("two"))?;
        one.and(two)?;
        let reader = desk.begin(0, &made.token, LockMode::None)?;
        for (key, sum) in [("one", ROUNDS), ("two", ROUNDS), ("both", 2 * ROUNDS)] {
            let seen = desk.value(0, &reader, key)?;
            ensure!(seen == Some(Value::from(sum as i64)), "'{key}' is {seen:?}, not {sum}");
        }
        Ok(())
    }),
    ("an exclusive lock is held by one at a time and no wake-up is lost", |ground| {
        let desk = ground.desk();
        let made = desk.create(0, &Plan { idle: 0, absolute: 0, ..Plan::plain() })?;
        let held = AtomicBool::new(false);
        let work = || -> Outcome {
            for round in 0..ROUNDS {
                let key = loop {
                    match live(desk.began(0, &made.token, TouchKind::Activity, LockMode::Exclusive))? {
                        Began::Request { key, .. } => break key,
                        Began::Busy(session, _) => {
                            let (wake, woken) = bell();
                            let waiter = RequestKey { session, number: 0 };
                            if desk.table.watch(&waiter, LockMode::Exclusive, wake).is_some() {
                                woken.recv_timeout(BOUND).map_err(|_| format!("round {round}: not woken"))?;
                            }
                        }
                        other => return Err(format!("{other:?}")),
                    }
                };
                ensure!(!held.swap(true, Ordering::SeqCst), "two hold it");
                std::thread::yield_now();
                held.store(false, Ordering::SeqCst);
                desk.finish(0, &key)?;
            }
            Ok(())
        };
        let (one, two) = race(work, work)?;
        one.and(two)
    }),
    ("a recount is exact while sessions come, trade and go", |ground| {
        let desk = ground.desk();
        let over = AtomicBool::new(false);
        let churn = |name: &'static str| -> Outcome {
            for round in 0..20 * ROUNDS {
                let made = desk.create(0, &Plan { idle: 0, absolute: 0, ..Plan::charged(USERS) })?;
                let login = change(None, Some(name), None);
                if round % 2 == 0 {
                    live(desk.table.change_holder(at(0), made.session, &login))?.map_err(|text| format!("{text:?}"))?;
                }
                desk.end(0, made.session);
            }
            Ok(())
        };
        let audit = || -> Outcome {
            while !over.load(Ordering::Acquire) {
                let audit = ok(desk.table.recount(at(0), USERS))?;
                ensure!(audit.differences.is_empty() && audit.counted == audit.recounted, "{audit:?}");
            }
            Ok(())
        };
        let churned = || {
            let both = race(|| churn("ada"), || churn("bob"));
            over.store(true, Ordering::Release);
            let (one, two) = both?;
            one.and(two)
        };
        let (one, two) = race(churned, audit)?;
        one.and(two)?;
        desk.sound(0)
    }),
    ("a session that lives all the while is in every listing, once", |ground| {
        let desk = ground.desk();
        let plan = Plan { idle: 0, absolute: 0, ..Plan::plain() };
        let mut stay = HashSet::new();
        for number in 0..100 {
            let made = desk.create(0, &plan)?;
            match number % 2 {
                0 => drop(stay.insert(made.session.id)),
                _ => drop(desk.end(0, made.session)),
            }
        }
        let churn = || -> Outcome {
            for _ in 0..20 * ROUNDS {
                let made = desk.create(0, &plan)?;
                desk.end(0, made.session);
            }
            Ok(())
        };
        let list = || -> Outcome {
            for round in 0..ROUNDS {
                let all = listed(&*desk.table, 0, &Filter::default(), 7)?;
                let found = all.iter().filter(|id| stay.contains(id)).count();
                ensure!(found == stay.len(), "round {round}: {found} of {} are listed", stay.len());
                let set: HashSet<_> = all.iter().collect();
                ensure!(set.len() == all.len(), "round {round}: some are listed twice");
            }
            Ok(())
        };
        let (one, two) = race(churn, list)?;
        one.and(two)
    }),
    ("a draft races with a draft: each has its own place", |ground| {
        let desk = ground.desk();
        let (sender, drafts) = channel();
        let draw = |sender: std::sync::mpsc::Sender<(SessionRef, Token)>| -> Outcome {
            for round in 0..ROUNDS {
                let draft = ok(desk.table.draft())?;
                if round % 2 == 0 {
                    desk.table.abandon(&draft);
                } else {
                    let made = ok(desk.table.create(at(0), &draft, &mut Plan::plain().new_session()))?;
                    ensure!(made.is_ok(), "refused");
                    sender.send((draft.session, draft.token)).map_err(|error| error.to_string())?;
                }
            }
            Ok(())
        };
        let other = sender.clone();
        let (one, two) = race(|| draw(sender), || draw(other))?;
        one.and(two)?;
        let mut ids = HashSet::new();
        for (session, token) in drafts {
            ensure!(ids.insert(session.id), "an id came twice");
            ensure!(live(desk.table.find_token(at(0), &token))?.id == session.id, "a token leads elsewhere");
        }
        ensure!(ids.len() as u64 == desk.table.count(), "{} are counted", desk.table.count());
        desk.sound(0)
    }),
];
