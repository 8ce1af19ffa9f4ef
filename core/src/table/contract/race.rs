//! Promises under races: real threads, many rounds, no sleep.

use std::sync::Barrier;

use super::Promise;
use super::desk::*;
use crate::data::Writes;
use crate::reason::{EndReason, LockMode, ThreadKind, TouchKind};
use crate::table::*;

/// Rounds of each race.
pub(super) const ROUNDS: u64 = 200;

/// Runs two steps at the same instant and gives back what they saw.
pub(super) fn race<A: Send, B: Send>(
    one: impl FnOnce() -> A + Send,
    two: impl FnOnce() -> B + Send,
) -> Result<(A, B), String> {
    let start = Barrier::new(2);
    std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            start.wait();
            two()
        });
        start.wait();
        let mine = one();
        other.join().map(|theirs| (mine, theirs)).map_err(|_| "a thread panicked".to_owned())
    })
}

pub(super) const PROMISES: &[Promise] = &[
    ("begin races with end: no request outlives it", |ground| {
        let desk = ground.desk();
        for round in 0..ROUNDS {
            let made = desk.create(round, &Plan::charged(SINGLE))?;
            let (begun, ended) = race(
                || desk.began(round, &made.token, TouchKind::Activity, LockMode::Exclusive),
                || desk.end(round, made.session),
            )?;
            ensure!(matches!(ended, Ended::Now(_)), "the end did not win");
            match begun {
                Found::Gone(EndReason::Revoked) => {}
                Found::Live(Began::Request { key, .. }) => {
                    gone(desk.table.finish(at(round), &key, &write("a", 1)?), EndReason::Revoked)?;
                }
                other => return Err(format!("begin saw {other:?}")),
            }
            gone(desk.peek(round, &made.token), EndReason::Revoked)?;
            ensure!(desk.in_use(SINGLE)? == 0, "a unit is in use");
        }
        ensure!(desk.table.stats().in_flight == 0, "{} are in flight", desk.table.stats().in_flight);
        desk.sound(ROUNDS)
    }),
    ("touch races with end: an ended session never comes back", |ground| {
        let desk = ground.desk();
        for round in 0..ROUNDS {
            let made = desk.create(round, &Plan::plain())?;
            let (touched, _) = race(|| desk.touch(round + 1, &made.token), || desk.end(round, made.session))?;
            ensure!(!matches!(touched, Found::Absent), "touch saw nothing");
            gone(desk.peek(round, &made.token), EndReason::Revoked)?;
            let next = desk.create(round, &Plan::plain())?;
            let due = desk.deadline(round, &next.token)?;
            ensure!(due == round + IDLE, "a touch of an ended session moved the next one's deadline to {due}");
            desk.end(round, next.session);
        }
        ensure!(desk.table.count() == 0, "{} are counted", desk.table.count());
        Ok(())
    }),
    ("finish races with end: its writes are in the end's data or refused", |ground| {
        let desk = ground.desk();
        for round in 0..ROUNDS {
            let made = desk.create(round, &Plan::told())?;
            let request = desk.begin(round, &made.token, LockMode::Exclusive)?;
            let writes = write("a", 1)?;
            let (finished, _) =
                race(|| desk.table.finish(at(round), &request, &writes), || desk.end(round, made.session))?;
            let rows = ok(desk.table.outbox_take(10))?;
            let [row] = &rows[..] else { return Err(format!("{} rows of one end", rows.len())) };
            let told = row.snapshot.as_ref().is_some_and(|tree| tree.get(&path("a")).is_some());
            let committed = matches!(finished, Found::Live(Finished { committed: Ok(()), .. }));
            ensure!(told == committed, "the finish says {committed}, the end's data say {told}");
        }
        ensure!(desk.table.stats().in_flight == 0, "{} are in flight", desk.table.stats().in_flight);
        Ok(())
    }),
    ("create races with create for the last unit: one has it", |ground| {
        let desk = ground.desk();
        let held: Vec<_> = (0..2).map(|_| desk.create(0, &Plan::charged(SINGLE))).collect::<Result<_, _>>()?;
        for round in 0..ROUNDS {
            let plan = Plan { idle: 0, ..Plan::charged(SINGLE) };
            let (one, two) = race(|| desk.try_create(round, &plan), || desk.try_create(round, &plan))?;
            let winner = match (one?, two?) {
                (Ok(made), Err(Refused::License(_))) | (Err(Refused::License(_)), Ok(made)) => made,
                (Ok(_), Ok(_)) => return Err("both were admitted".into()),
                _ => return Err("none was admitted".into()),
            };
            ensure!(desk.in_use(SINGLE)? == 3, "{} units are in use", desk.in_use(SINGLE)?);
            desk.end(round, winner.session);
        }
        drop(held);
        desk.sound(ROUNDS.min(IDLE - 1))
    }),
    ("create races with create for the last place: one has it", |ground| {
        let desk = ground.desk();
        let plan = Plan { application: 1, idle: 0, absolute: 0, ..Plan::plain() };
        desk.create(0, &plan)?;
        for round in 0..ROUNDS {
            let (one, two) = race(|| desk.try_create(round, &plan), || desk.try_create(round, &plan))?;
            let winner = match (one?, two?) {
                (Ok(made), Err(Refused::Sessions(..))) | (Err(Refused::Sessions(..)), Ok(made)) => made,
                (Ok(_), Ok(_)) => return Err("both were admitted".into()),
                _ => return Err("none was admitted".into()),
            };
            desk.end(round, winner.session);
        }
        desk.sound(ROUNDS)
    }),
    ("end races with end: one winner, one release, one row", |ground| {
        let desk = ground.desk();
        for round in 0..ROUNDS {
            let made = desk.create(round, &Plan { class: Some("audit"), ..Plan::charged(SINGLE) })?;
            let due = EndSpec { reason: EndReason::Ended, thread: ThreadKind::Request, ..end_spec() };
            let (one, two) = race(
                || desk.table.end(at(round), made.session, &due),
                || race(|| desk.end(round, made.session), || desk.table.claim_due(at(round + IDLE), 64)),
            )?;
            let (two, claim) = two?;
            let claim = ok(claim)?;
            let winners = [&one, &two].iter().filter(|ended| matches!(ended, Ended::Now(_))).count() + claim.ended;
            ensure!(winners == 1, "there were {winners} winners");
            let receipt = ok(desk.table.receipt(at(round + IDLE), made.session.id))?.ok_or("no receipt")?;
            for ended in [one, two] {
                match ended {
                    Ended::Now(seen) | Ended::Before(seen) if seen == receipt => {}
                    other => return Err(format!("the receipt is {receipt:?}, one saw {other:?}")),
                }
            }
            let rows = ok(desk.table.outbox_take(10))?;
            ensure!(rows.len() == 1 && rows[0].reason == receipt.reason, "{} rows of one end", rows.len());
            ensure!(desk.in_use(SINGLE)? == 0, "{} units are in use", desk.in_use(SINGLE)?);
        }
        desk.sound(ROUNDS)
    }),
    ("claim races with begin: whoever comes first, it is not live past its deadline", |ground| {
        let desk = ground.desk();
        for round in 0..ROUNDS {
            let made = desk.create(round, &Plan { class: Some("audit"), ..Plan::charged(SINGLE) })?;
            let (begun, claim) = race(
                || desk.began(round + IDLE, &made.token, TouchKind::Activity, LockMode::None),
                || desk.table.claim_due(at(round + IDLE), 64),
            )?;
            ok(claim)?;
            gone(begun, EndReason::IdleTimeout)?;
            let rows = ok(desk.table.outbox_take(10))?;
            ensure!(rows.len() == 1, "{} rows of one end", rows.len());
            ensure!(desk.in_use(SINGLE)? == 0 && desk.table.count() == 0, "it is still counted");
        }
        desk.sound(ROUNDS)
    }),
    ("claim races with claim: each is ended and asked once", |ground| {
        let desk = ground.desk();
        for round in 0..ROUNDS / 10 {
            let base = round * 10_000;
            for _ in 0..50 {
                desk.create(base, &Plan { class: Some("audit"), ..Plan::plain() })?;
            }
            let claim = |ms| -> Result<_, String> {
                let mut sum = (0, 0);
                loop {
                    let claim = ok(desk.table.claim_due(at(ms), 7))?;
                    sum = (sum.0 + claim.ended, sum.1 + claim.asks.len());
                    if !claim.more {
                        return Ok(sum);
                    }
                }
            };
            let (one, two) = race(|| claim(base + IDLE - 50), || claim(base + IDLE - 50))?;
            let (one, two) = (one?, two?);
            ensure!(one.1 + two.1 == 50 && one.0 + two.0 == 0, "{} of 50 were asked", one.1 + two.1);
            let (one, two) = race(|| claim(base + IDLE), || claim(base + IDLE))?;
            let (one, two) = (one?, two?);
            ensure!(one.0 + two.0 == 50, "{} of 50 were ended", one.0 + two.0);
            ensure!(ok(desk.table.outbox_take(100))?.len() == 50, "not every end is told once");
        }
        Ok(())
    }),
    ("a row of the outbox is taken by one at a time", |ground| {
        let desk = ground.desk();
        for round in 0..ROUNDS / 10 {
            for _ in 0..50 {
                let made = desk.create(round, &Plan::told())?;
                desk.end(round, made.session);
            }
            let take = || -> Result<_, String> {
                let mut events = Vec::new();
                loop {
                    let rows = ok(desk.table.outbox_take(3))?;
                    if rows.is_empty() {
                        return Ok(events);
                    }
                    events.extend(rows.iter().map(|row| row.event_id));
                }
            };
            let (one, two) = race(take, take)?;
            let mut one = one?;
            one.extend(two?);
            one.sort_unstable();
            one.dedup();
            ensure!(one.len() == 50, "{} of 50 rows were taken", one.len());
        }
        Ok(())
    }),
    ("set timeouts races with touch: the deadline is of one or the other order", |ground| {
        let desk = ground.desk();
        for round in 0..ROUNDS {
            let made = desk.create(0, &Plan { absolute: 0, ..Plan::plain() })?;
            let (_, set) = race(
                || desk.touch(100, &made.token),
                || desk.table.set_timeouts(at(100), made.session, Some(300), None),
            )?;
            ok(live(set)?)?;
            let due = desk.deadline(100, &made.token)?;
            ensure!([300, 400, 100 + IDLE].contains(&due), "round {round}: it is due at {due}");
            desk.end(100, made.session);
        }
        Ok(())
    }),
    ("finish races with a request that begins: the idle clock stands while one is in flight", |ground| {
        let desk = ground.desk();
        for round in 0..ROUNDS {
            let made = desk.create(0, &Plan { absolute: 0, ..Plan::plain() })?;
            let one = desk.begin(0, &made.token, LockMode::None)?;
            let (finished, two) = race(
                || desk.table.finish(at(10), &one, &Writes::default()),
                || desk.begin(10, &made.token, LockMode::None),
            )?;
            live(finished)?;
            live(desk.peek(50_000, &made.token)).map_err(|text| format!("round {round}: in flight: {text}"))?;
            desk.finish(50_000, &two?)?;
            ensure!(desk.deadline(50_000, &made.token)? == 50_000 + IDLE, "round {round}: not from its end");
            desk.end(50_000, made.session);
        }
        ensure!(desk.table.stats().in_flight == 0, "{} are in flight", desk.table.stats().in_flight);
        Ok(())
    }),
];
