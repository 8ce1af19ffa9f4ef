//! Promises about deadlines, extensions and claims.

use super::Promise;
use super::desk::*;
use crate::reason::{EndReason, LockMode, ThreadKind, TouchKind};
use crate::table::*;

pub(super) const PROMISES: &[Promise] = &[
    ("activity moves the idle deadline, a look does not, the absolute one never moves", |ground| {
        let desk = ground.desk();
        let made = desk.create(0, &Plan::plain())?;
        ensure!(live(desk.touch(600, &made.token))?.1 == 600 + IDLE, "activity did not move the deadline");
        ensure!(desk.deadline(900, &made.token)? == 600 + IDLE, "a look moved the deadline");
        let kept = live(desk.table.touch(at(900), &made.token, TouchKind::Keepalive))?.1;
        ensure!(kept == 600 + IDLE, "a keepalive moved the deadline");
        for ms in (1000..ABSOLUTE).step_by(500) {
            live(desk.touch(ms, &made.token))?;
        }
        ensure!(desk.deadline(4999, &made.token)? == ABSOLUTE, "the absolute deadline moved");
        gone(desk.touch(ABSOLUTE, &made.token), EndReason::AbsoluteTimeout)
    }),
    ("a session past its deadline is ended by whoever looks, never shown as live", |ground| {
        type Look = fn(&Desk, &Made, At) -> Outcome;
        let looks: [(&str, Look); 8] = [
            ("touch", |desk, made, at| gone(desk.table.touch(at, &made.token, TouchKind::Activity), IDLE_OUT)),
            ("peek", |desk, made, at| gone(desk.table.touch(at, &made.token, TouchKind::None), IDLE_OUT)),
            ("begin", |desk, made, at| {
                gone(desk.began(at.now.ms, &made.token, TouchKind::Activity, LockMode::Exclusive), IDLE_OUT)
            }),
            ("find", |desk, made, at| gone(desk.table.find(at, made.session.id), IDLE_OUT)),
            ("find_token", |desk, made, at| gone(desk.table.find_token(at, &made.token), IDLE_OUT)),
            ("set_timeouts", |desk, made, at| {
                gone(desk.table.set_timeouts(at, made.session, Some(99_999), None), IDLE_OUT)
            }),
            ("change_holder", |desk, made, at| {
                gone(desk.table.change_holder(at, made.session, &change(None, Some("ada"), None)), IDLE_OUT)
            }),
            ("extend", |desk, made, at| {
                gone(desk.table.extend(at, made.session, IDLE, &ClassRef::new("", "audit"), 500), IDLE_OUT)
            }),
        ];
        for (verb, look) in looks {
            let desk = ground.desk();
            let made = desk.create(0, &Plan::charged(SINGLE))?;
            live(desk.peek(IDLE - 1, &made.token)).map_err(|text| format!("before its deadline: {text}"))?;
            look(&desk, &made, at(IDLE)).map_err(|text| format!("{verb}: {text}"))?;
            ensure!(desk.in_use(SINGLE)? == 0, "{verb} left the unit in use");
            ensure!(desk.table.count() == 0, "{verb} left it counted");
            let receipt = ok(desk.table.receipt(at(IDLE), made.session.id))?.ok_or("no receipt")?;
            ensure!(receipt.reason == IDLE_OUT, "{verb}: it ended with {}", receipt.reason);
        }
        Ok(())
    }),
    ("a request in flight stops the idle clock and its end starts it", |ground| {
        let desk = ground.desk();
        let made = desk.create(0, &Plan { absolute: 0, ..Plan::plain() })?;
        let request = desk.begin(500, &made.token, LockMode::None)?;
        live(desk.peek(50_000, &made.token)).map_err(|text| format!("in flight: {text}"))?;
        desk.finish(60_000, &request)?;
        ensure!(desk.deadline(60_000, &made.token)? == 60_000 + IDLE, "idle time does not run from the request's end");
        gone(desk.peek(60_000 + IDLE, &made.token), EndReason::IdleTimeout)
    }),
    ("a keepalive or a peek in flight neither stops nor moves the idle clock", |ground| {
        for touch in [TouchKind::Keepalive, TouchKind::None] {
            let desk = ground.desk();
            let made = desk.create(0, &Plan::plain())?;
            let Found::Live(Began::Request { key, .. }) = desk.began(500, &made.token, touch, LockMode::None) else {
                return Err("it did not begin".into());
            };
            ensure!(desk.deadline(500, &made.token)? == IDLE, "{touch} in flight moved the deadline");
            gone(desk.table.finish(at(IDLE), &key, &Default::default()), EndReason::IdleTimeout)?;
        }
        Ok(())
    }),
    ("a request over its bound counts as finished then", |ground| {
        let desk = ground.desk();
        let made = desk.create(0, &Plan { absolute: 0, ..Plan::plain() })?;
        let request = desk.begin(0, &made.token, LockMode::Exclusive)?;
        let then = MAX_REQUEST + 10;
        let next = desk.begin(then, &made.token, LockMode::Exclusive).map_err(|text| format!("its lock: {text}"))?;
        gone(desk.table.finish(at(then), &request, &write("a", 1)?), EndReason::Ended)?;
        ensure!(desk.value(then, &next, "a")?.is_none(), "it wrote after it counted as finished");
        desk.finish(then, &next)?;
        Ok(())
    }),
    ("timeouts are set at once, counted from the last use; 0 is never", |ground| {
        let desk = ground.desk();
        let made = desk.create(0, &Plan { absolute: 0, ..Plan::plain() })?;
        live(desk.touch(100, &made.token))?;
        ok(live(desk.table.set_timeouts(at(200), made.session, Some(5000), None))?)?;
        ensure!(desk.deadline(200, &made.token)? == 5100, "it is due at {}", desk.deadline(200, &made.token)?);
        ok(live(desk.table.set_timeouts(at(300), made.session, Some(0), None))?)?;
        live(desk.peek(1 << 40, &made.token)).map_err(|text| format!("without a timeout: {text}"))?;
        ok(live(desk.table.set_timeouts(at(1 << 40), made.session, Some(10), None))?)?;
        gone(desk.peek(1 << 40, &made.token), EndReason::IdleTimeout)
    }),
    ("the absolute deadline never moves later", |ground| {
        let desk = ground.desk();
        let made = desk.create(0, &Plan { idle: 0, ..Plan::plain() })?;
        for later in [ABSOLUTE + 1, 1 << 40, 0] {
            let moved = live(desk.table.set_timeouts(at(0), made.session, None, Some(later)))?;
            ensure!(moved.is_err(), "an absolute timeout of {later} ms was taken");
            ensure!(desk.deadline(0, &made.token)? == ABSOLUTE, "the deadline moved");
        }
        ok(live(desk.table.set_timeouts(at(0), made.session, None, Some(400)))?)?;
        ensure!(desk.deadline(0, &made.token)? == 400, "it can't be set earlier");
        gone(desk.peek(400, &made.token), EndReason::AbsoluteTimeout)
    }),
    ("suspended time counts for the absolute deadline and not for the idle one", |ground| {
        let desk = ground.desk();
        let made = desk.create(0, &Plan::plain())?;
        live(desk.table.touch(slept(999, 4000), &made.token, TouchKind::None))
            .map_err(|text| format!("the idle clock ran in suspend: {text}"))?;
        gone(desk.table.touch(slept(999, 4001), &made.token, TouchKind::None), EndReason::AbsoluteTimeout)
    }),
    ("an extension is granted within its budget and never past the absolute deadline", |ground| {
        let desk = ground.desk();
        let class = ClassRef::new("", "audit");
        let made = desk.create(0, &Plan { absolute: 1500, ..Plan::told() })?;
        let granted = |ms, asked, by| live(desk.table.extend(at(ms), made.session, asked, &class, by));
        ensure!(granted(900, IDLE - 1, 100)?.is_none(), "granted on a deadline that does not stand");
        ensure!(granted(900, IDLE, 10_000)? == Some(400), "the cap of one extension is not kept");
        ensure!(desk.deadline(1399, &made.token)? == 1400, "the deadline is not what was granted");
        ensure!(granted(1399, 1400, 400)? == Some(100), "it went past the absolute deadline, or was not granted");
        ensure!(granted(1450, 1500, 400)?.is_none(), "the third in a row was granted");
        ensure!(desk.deadline(1499, &made.token)? == 1500, "the deadline moved");
        let again = desk.create(0, &Plan { absolute: 0, ..Plan::told() })?;
        for asked in [1000, 1400] {
            let granted = live(desk.table.extend(at(asked - 1), again.session, asked, &class, 400))?;
            ensure!(granted == Some(400), "{granted:?} was granted");
        }
        live(desk.touch(1799, &again.token))?;
        let fresh = live(desk.table.extend(at(2700), again.session, 2799, &class, 400))?;
        ensure!(fresh == Some(400), "activity did not renew the budget: {fresh:?}");
        Ok(())
    }),
    ("what is due is claimed in the order of instant, then creation, and once", |ground| {
        let desk = ground.desk();
        let mut due = Vec::new();
        for (number, idle) in [700, 300, 500, 300, 700, 100].into_iter().enumerate() {
            let made = desk.create(0, &Plan { idle, ..Plan::plain() })?;
            due.push((idle, number, made.session.id));
        }
        due.sort_unstable_by_key(|(idle, number, _)| (*idle, *number));
        let next = desk.table.next_due(at(0).now);
        ensure!(next.is_some_and(|next| next <= 100), "the next look is at {next:?}");
        let early = ok(desk.table.claim_due(at(99), 64))?;
        ensure!(early.ended == 0, "{} ended before their deadlines", early.ended);
        let mut ended = 0;
        loop {
            let claim = ok(desk.table.claim_due(at(700), 2))?;
            ensure!(claim.ended <= 2, "a step ended {}", claim.ended);
            ended += claim.ended;
            if !claim.more {
                break;
            }
        }
        ensure!(ended == 6 && desk.table.count() == 0, "{ended} of 6 were claimed");
        let log = ok(desk.table.lifecycle(0, 100))?;
        let order: Vec<_> = log.iter().filter(|entry| entry.what == "ended").map(|entry| entry.session_id).collect();
        ensure!(order == due.iter().map(|(_, _, id)| *id).collect::<Vec<_>>(), "they ended in another order");
        ensure!(ok(desk.table.claim_due(at(700), 64))?.ended == 0, "something was claimed twice");
        for (_, _, id) in due {
            let receipt = ok(desk.table.receipt(at(700), id))?.ok_or("no receipt")?;
            ensure!(receipt.late.is_some() && receipt.reason == EndReason::IdleTimeout, "{receipt:?}");
        }
        desk.sound(700)
    }),
    ("a claim asks about a deadline once and says whether it may be extended", |ground| {
        let desk = ground.desk();
        let made = desk.create(0, &Plan::told())?;
        ensure!(ok(desk.table.claim_due(at(IDLE - 101), 64))?.asks.is_empty(), "asked too early");
        let claim = ok(desk.table.claim_due(at(IDLE - 100), 64))?;
        let [ask] = &claim.asks[..] else { return Err(format!("{} questions", claim.asks.len())) };
        ensure!(ask.session == made.session && ask.deadline == IDLE, "asked about {ask:?}");
        ensure!(ask.may_extend && ask.reason == EndReason::IdleTimeout, "asked {ask:?}");
        ensure!(ok(desk.table.claim_due(at(IDLE - 1), 64))?.asks.is_empty(), "asked twice");
        ensure!(ok(desk.table.claim_due(at(IDLE), 64))?.ended == 1, "not ended at its deadline");
        Ok(())
    }),
    ("an earlier deadline rings the bell, and is what is due next", |ground| {
        let desk = ground.desk();
        let made = desk.create(0, &Plan { idle: 100_000, absolute: 0, ..Plan::plain() })?;
        desk.table.next_due(at(0).now);
        let (wake, rung) = bell();
        desk.table.set_bell(Some(wake));
        ok(live(desk.table.set_timeouts(at(0), made.session, Some(50), None))?)?;
        ensure!(rung.recv_timeout(BOUND).is_ok(), "the bell is silent");
        let next = desk.table.next_due(at(0).now);
        ensure!(next.is_some_and(|next| next <= 50), "the next look is at {next:?}");
        desk.table.set_bell(None);
        Ok(())
    }),
    ("a class that was told at the asking point is noted", |ground| {
        let desk = ground.desk();
        let made = desk.create(0, &Plan::told())?;
        let class = ClassRef::new("", "audit");
        desk.table.mark_told(made.session, &class);
        let spec = EndSpec { thread: ThreadKind::Reaper, ..end_spec() };
        desk.table.end(at(1), made.session, &spec);
        let rows = ok(desk.table.outbox_take(10))?;
        ensure!(rows.len() == 1 && rows[0].told == [class], "it was forgotten");
        Ok(())
    }),
];

const IDLE_OUT: EndReason = EndReason::IdleTimeout;
