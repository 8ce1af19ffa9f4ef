//! Promises about locks and who waits for them.

use super::Promise;
use super::desk::*;
use crate::reason::{LockMode, TouchKind};
use crate::table::*;

use LockMode::{Exclusive, None as Free, Shared};

pub(super) const PROMISES: &[Promise] = &[
    ("an exclusive lock is alone, shared ones share, none asks nobody", |ground| {
        let table = [
            (Exclusive, Exclusive, false),
            (Exclusive, Shared, false),
            (Exclusive, Free, true),
            (Shared, Exclusive, false),
            (Shared, Shared, true),
            (Shared, Free, true),
            (Free, Exclusive, true),
            (Free, Shared, true),
            (Free, Free, true),
        ];
        for (held, wanted, had) in table {
            let desk = ground.desk();
            let made = desk.create(0, &Plan::plain())?;
            desk.begin(0, &made.token, held)?;
            match live(desk.began(0, &made.token, TouchKind::Activity, wanted))? {
                Began::Request { .. } if had => {}
                Began::Busy(session, text) if !had => {
                    ensure!(session.id == made.session.id && !text.is_empty(), "busy with {session:?}: '{text}'");
                }
                other => return Err(format!("{wanted} beside {held}: {other:?}")),
            }
        }
        Ok(())
    }),
    ("a busy begin takes nothing", |ground| {
        let desk = ground.desk();
        let made = desk.create(0, &Plan::plain())?;
        let holder = desk.begin(0, &made.token, Exclusive)?;
        live(desk.began(1, &made.token, TouchKind::Activity, Exclusive))?;
        let (info, details) = live(desk.table.look(at(1), made.session))?;
        ensure!(info.in_flight == 1 && details.requests.len() == 1, "{} are in flight", info.in_flight);
        desk.finish(1, &holder)?;
        ensure!(desk.table.stats().in_flight == 0, "{} are in flight", desk.table.stats().in_flight);
        Ok(())
    }),
    ("a lock is freed early, taken again, and freed with its request", |ground| {
        let desk = ground.desk();
        let made = desk.create(0, &Plan::plain())?;
        let one = desk.begin(0, &made.token, Exclusive)?;
        ensure!(live(desk.table.unlock(at(0), &one))? == Some(Exclusive), "it was not held");
        ensure!(live(desk.table.unlock(at(0), &one))?.is_none(), "it is still held");
        let two = desk.begin(0, &made.token, Exclusive)?;
        ensure!(live(desk.table.lock(at(0), &one, Shared))?.is_err(), "two have it");
        desk.finish(0, &two)?;
        ensure!(live(desk.table.lock(at(0), &one, Shared))?.is_ok(), "it is not free");
        ensure!(live(desk.table.lock_of(at(0), &one))? == Some(Shared), "it is not had");
        ensure!(live(desk.table.lock(at(0), &one, Exclusive))?.is_ok(), "it stands in its own way");
        ensure!(live(desk.table.lock(at(0), &one, Exclusive))?.is_ok(), "it stands in its own way");
        Ok(())
    }),
    ("whoever watches is woken when the lock is freed, once", |ground| {
        type Free = fn(&Desk, &Made, &RequestKey) -> Outcome;
        let ways: [(&str, Free); 4] = [
            ("finish", |desk, _, holder| desk.finish(1, holder).map(drop)),
            ("unlock", |desk, _, holder| live(desk.table.unlock(at(1), holder)).map(drop)),
            ("a looser lock", |desk, _, holder| {
                live(desk.table.lock(at(1), holder, Shared))?.map_err(|text| format!("busy: {text}"))
            }),
            ("the end", |desk, made, _| {
                desk.end(1, made.session);
                Ok(())
            }),
        ];
        for (way, free) in ways {
            let desk = ground.desk();
            let made = desk.create(0, &Plan::plain())?;
            let holder = desk.begin(0, &made.token, Exclusive)?;
            let waiter = RequestKey { session: made.session, number: 0 };
            let (wake, woken) = bell();
            ensure!(desk.table.watch(&waiter, Shared, wake).is_some(), "the lock is busy and can't be watched");
            ensure!(woken.try_recv().is_err(), "woken before anything happened");
            free(&desk, &made, &holder).map_err(|text| format!("{way}: {text}"))?;
            ensure!(woken.recv_timeout(BOUND).is_ok(), "{way} woke nobody");
            drop(desk);
            ensure!(woken.try_recv().is_err(), "{way} woke twice");
        }
        Ok(())
    }),
    ("a watch is refused when the lock is free already, and forgotten on demand", |ground| {
        let desk = ground.desk();
        let made = desk.create(0, &Plan::plain())?;
        let waiter = RequestKey { session: made.session, number: 0 };
        ensure!(desk.table.watch(&waiter, Exclusive, bell().0).is_none(), "a free lock is watched");
        let holder = desk.begin(0, &made.token, Exclusive)?;
        let (wake, woken) = bell();
        let watch = desk.table.watch(&waiter, Exclusive, wake).ok_or("not watched")?;
        desk.table.unwatch(made.session, watch);
        desk.table.unwatch(made.session, watch);
        desk.finish(0, &holder)?;
        ensure!(woken.try_recv().is_err(), "a forgotten watch was woken");
        desk.end(1, made.session);
        ensure!(desk.table.watch(&waiter, Exclusive, bell().0).is_none(), "an ended session is watched");
        Ok(())
    }),
    ("a request is not in its own way when it watches", |ground| {
        let desk = ground.desk();
        let made = desk.create(0, &Plan::plain())?;
        let one = desk.begin(0, &made.token, Shared)?;
        let two = desk.begin(0, &made.token, Shared)?;
        ensure!(live(desk.table.lock(at(0), &one, Exclusive))?.is_err(), "two have it");
        desk.finish(0, &two)?;
        ensure!(desk.table.watch(&one, Exclusive, bell().0).is_none(), "it waits for itself");
        Ok(())
    }),
    ("who is woken may call anything", |ground| {
        let desk = ground.desk();
        let made = desk.create(0, &Plan { absolute: 0, ..Plan::told() })?;
        desk.begin(0, &made.token, Exclusive)?;
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        let table = desk.table.clone();
        let wake: Wake = std::sync::Arc::new(move || {
            let seen = table.touch(at(MAX_REQUEST + 1), &made.token, TouchKind::None);
            table.next_due(at(MAX_REQUEST + 1).now);
            let checked = table.check(at(MAX_REQUEST + 1));
            // The check is gone: it gave up.
            let _gone = sender.try_send(matches!(seen, Found::Absent) || checked.is_err());
        });
        let waiter = RequestKey { session: made.session, number: 0 };
        desk.table.watch(&waiter, Exclusive, wake).ok_or("not watched")?;
        let reaper = {
            let table = desk.table.clone();
            std::thread::spawn(move || table.claim_due(at(MAX_REQUEST + 1), 64))
        };
        let absent = receiver.recv_timeout(BOUND).map_err(|_| "a claim woke nobody, or under a lock")?;
        ensure!(!absent, "the session has neither life nor tombstone");
        drop(reaper.join());
        Ok(())
    }),
];
