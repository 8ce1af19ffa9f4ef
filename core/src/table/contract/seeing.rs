//! Promises about listings, the outbox, the log and the counters.

use std::collections::HashSet;

use super::Promise;
use super::desk::*;
use crate::id::SessionId;
use crate::reason::{EndLevel, EndReason, LockMode};
use crate::session::Filter;
use crate::table::*;

/// All pages of a listing.
pub(super) fn listed(table: &dyn Table, ms: u64, filter: &Filter, limit: usize) -> Result<Vec<SessionId>, String> {
    let mut all = Vec::new();
    let mut cursor = Some(0);
    while let Some(from) = cursor {
        let (page, next) = ok(table.list(at(ms), filter, from, limit, usize::MAX))?;
        ensure!(page.len() <= limit, "a page of {limit} has {}", page.len());
        ensure!(next.is_none_or(|next| next > from), "the cursor went from {from} to {next:?}");
        for (session, info) in &page {
            ensure!(session.id == info.id, "a listing shows {} as {}", session.id, info.id);
        }
        all.extend(page.into_iter().map(|(session, _)| session.id));
        cursor = next;
    }
    Ok(all)
}

pub(super) const PROMISES: &[Promise] = &[
    ("a listing shows every live session exactly once, in pages of any size", |ground| {
        let desk = ground.desk();
        let mut made = HashSet::new();
        for number in 0..300 {
            let one = desk.create(0, &Plan::plain())?;
            if number % 3 == 0 {
                desk.end(0, one.session);
            } else {
                made.insert(one.session.id);
            }
        }
        for limit in [1, 7, 100, 1000] {
            let all = listed(&*desk.table, 0, &Filter::default(), limit)?;
            let set: HashSet<_> = all.iter().copied().collect();
            ensure!(set.len() == all.len(), "in pages of {limit} some are listed twice");
            ensure!(set == made, "in pages of {limit} {} of {} are listed", set.len(), made.len());
        }
        Ok(())
    }),
    ("a listing keeps to its filter and to its bound of looks", |ground| {
        let desk = ground.desk();
        let one = desk.create(0, &Plan::charged(SINGLE))?;
        let two = desk.create(0, &Plan { application: 1, idle: 0, ..Plan::charged(USERS) })?;
        desk.begin(400, &two.token, LockMode::None)?;
        let login = live(desk.table.change_holder(at(400), two.session, &change(None, Some("ada"), None)))?;
        ensure!(login.is_ok(), "{login:?}");
        let text = |text: &str| Some(text.to_owned());
        let filters = [
            (Filter { user: text("ada"), ..Filter::default() }, two),
            (Filter { application: text("small"), ..Filter::default() }, two),
            (Filter { pool: text("single"), ..Filter::default() }, one),
            (Filter { holder: text("ada"), ..Filter::default() }, two),
            (Filter { immortal: Some(true), ..Filter::default() }, two),
            (Filter { immortal: Some(false), ..Filter::default() }, one),
            (Filter { state: Some(crate::session::State::New), ..Filter::default() }, one),
            (Filter { idle_for: Some(std::time::Duration::from_millis(300)), ..Filter::default() }, one),
        ];
        for (filter, wanted) in filters {
            let all = listed(&*desk.table, 400, &filter, 10)?;
            ensure!(all == [wanted.session.id], "{filter:?} lists {} sessions", all.len());
        }
        let none = Filter { user: text("eve"), ..Filter::default() };
        ensure!(listed(&*desk.table, 400, &none, 10)?.is_empty(), "it lists somebody else");
        let (page, next) = ok(desk.table.list(at(400), &Filter::default(), 0, 10, 1))?;
        ensure!(page.len() == 1 && next.is_some(), "it looked at more than one");
        Ok(())
    }),
    ("an end is told once, with what the session was", |ground| {
        let desk = ground.desk();
        let made = desk.create(0, &Plan { charge: Some(charge(USERS, Holder::Session)), ..Plan::told() })?;
        let request = desk.begin(0, &made.token, LockMode::None)?;
        ok(live(desk.table.finish(at(0), &request, &write("a", 1)?))?.committed)?;
        let login = live(desk.table.change_holder(at(0), made.session, &change(None, Some("ada"), None)))?;
        ensure!(login.is_ok(), "{login:?}");
        ensure!(ok(desk.table.outbox_take(10))?.is_empty(), "an end is told before it was");
        let Ended::Now(receipt) = desk.end(9, made.session) else { return Err("it did not end".into()) };
        let rows = ok(desk.table.outbox_take(10))?;
        let [row] = &rows[..] else { return Err(format!("{} rows", rows.len())) };
        ensure!(row.event_id == receipt.event_id && row.session == made.session.id, "another session's end");
        ensure!(row.reason == EndReason::Revoked && row.level == EndLevel::Force && row.at_ms == 9, "another end");
        ensure!(row.user.as_deref() == Some("ada") && row.classes.len() == 1, "another user or other classes");
        let value = row.snapshot.as_ref().and_then(|tree| tree.get(&path("a")).cloned());
        ensure!(value == Some(1.into()), "its data are not as they were: {value:?}");
        ensure!(ok(desk.table.outbox_take(10))?.is_empty(), "a row was taken twice");
        ok(desk.table.outbox_acknowledge(row.event_id))?;
        ensure!(ok(desk.table.outbox_take(10))?.is_empty(), "an acknowledged row came back");
        Ok(())
    }),
    ("rows of the outbox come in the order of the ends, bounded, each with its own event", |ground| {
        let desk = ground.desk();
        let made: Vec<_> = (0..10).map(|_| desk.create(0, &Plan::told())).collect::<Result<_, _>>()?;
        for one in &made {
            desk.end(1, one.session);
        }
        let mut seen = Vec::new();
        let mut events = HashSet::new();
        loop {
            let rows = ok(desk.table.outbox_take(3))?;
            ensure!(rows.len() <= 3, "{} rows were taken", rows.len());
            if rows.is_empty() {
                break;
            }
            for row in rows {
                ensure!(events.insert(row.event_id), "two ends have one event");
                ok(desk.table.outbox_acknowledge(row.event_id))?;
                seen.push(row.session);
            }
        }
        ensure!(seen == made.iter().map(|one| one.session.id).collect::<Vec<_>>(), "{} ends were told", seen.len());
        Ok(())
    }),
    ("the log has every commit in its order, from any position", |ground| {
        let desk = ground.desk();
        let made = desk.create(0, &Plan::charged(USERS))?;
        let login = live(desk.table.change_holder(at(1), made.session, &change(None, Some("ada"), Some(0))))?;
        ensure!(login.is_ok(), "{login:?}");
        desk.table.note(at(2), made.session.id, "refused", "pool_exhausted");
        desk.end(3, made.session);
        let log = ok(desk.table.lifecycle(0, 100))?;
        let words: Vec<_> = log.iter().map(|entry| entry.what).collect();
        ensure!(words == ["created", "login", "rotated", "refused", "ended"], "the log says {words:?}");
        ensure!(log.windows(2).all(|pair| pair[0].seq < pair[1].seq), "it has no order");
        ensure!(ok(desk.table.lifecycle(log[2].seq, 1))? == log[3..4], "after a position it is another");
        ensure!(ok(desk.table.lifecycle(log[4].seq, 100))?.is_empty(), "it has no end");
        Ok(())
    }),
    ("the counters say what happened", |ground| {
        let desk = ground.desk();
        let made: Vec<_> = (0..5).map(|_| desk.create(0, &Plan::plain())).collect::<Result<_, _>>()?;
        let request = desk.begin(0, &made[0].token, LockMode::None)?;
        ensure!(desk.table.stats().in_flight == 1, "{} are in flight", desk.table.stats().in_flight);
        desk.finish(0, &request)?;
        desk.end(1, made[0].session);
        gone(desk.peek(IDLE, &made[1].token), EndReason::IdleTimeout)?;
        let stats = desk.table.stats();
        ensure!((stats.live, stats.peak, stats.created) == (3, 5, 5), "{stats:?}");
        ensure!(stats.in_flight == 0 && stats.tombstones == 2, "{stats:?}");
        for reason in [EndReason::Revoked, EndReason::IdleTimeout] {
            let count = stats.ended.iter().find(|(known, _)| *known == reason).map_or(0, |(_, count)| *count);
            ensure!(count == 1, "{count} ended with {reason}");
        }
        Ok(())
    }),
];
