//! Promises about licenses: admission, trade, release, recount.

use super::Promise;
use super::desk::*;
use crate::license::AuditKind;
use crate::reason::{DenyReason, LicenseClass, LockMode, TouchKind};
use crate::table::*;

pub(super) const PROMISES: &[Promise] = &[
    ("no more units are in use than there are", |ground| {
        let desk = ground.desk();
        let held: Vec<_> = (0..3).map(|_| desk.create(0, &Plan::charged(SINGLE))).collect::<Result<_, _>>()?;
        match desk.try_create(0, &Plan::charged(SINGLE))? {
            Err(Refused::License(DenyReason::PoolExhausted)) => {}
            other => return Err(format!("the fourth of three: {:?}", other.err())),
        }
        ensure!(
            ok(desk.table.pool_state(SINGLE))? == (3, 3),
            "the pool is at {:?}",
            ok(desk.table.pool_state(SINGLE))?
        );
        ensure!(desk.table.count() == 3, "the refused one is counted");
        let usage = ok(desk.table.usage(at(0), SINGLE))?;
        ensure!(usage.in_use == 3 && usage.available == 0 && usage.denials == 1, "the usage is {usage:?}");
        let full = usage.denials_by_reason.of(DenyReason::PoolExhausted);
        ensure!(full == 1 && usage.denials_by_reason.iter().map(|(_, denials)| denials).sum::<u64>() == 1, "{usage:?}");
        ensure!(usage.holders.len() == held.len(), "{} holders", usage.holders.len());
        desk.sound(0)
    }),
    ("a refusal is in the log with its denial, if it is the last word", |ground| {
        let desk = ground.desk();
        (0..3).try_for_each(|_| desk.create(0, &Plan::charged(SINGLE)).map(drop))?;
        for last in [false, true] {
            let draft = ok(desk.table.draft())?;
            let asking = Asking { last, ..Asking::default() };
            let mut new = NewSession { asking, ..Plan::charged(SINGLE).new_session() };
            let refused = ok(desk.table.create(at(1), &draft, &mut new))?;
            ensure!(refused.is_err(), "one of none was admitted");
            desk.table.abandon(&draft);
            let log = ok(desk.table.lifecycle(0, 100))?;
            let told: Vec<_> = log.iter().skip(3).map(|entry| (entry.session_id, entry.what, &*entry.detail)).collect();
            let one = [(draft.session.id, "refused", "license_denied")];
            ensure!(told == one[..usize::from(last)], "the log says {told:?}");
            let denials = ok(desk.table.usage(at(1), SINGLE))?.denials;
            ensure!(denials == u64::from(last), "{denials} denials");
        }
        Ok(())
    }),
    ("an end frees the unit at once, and once", |ground| {
        let desk = ground.desk();
        let held: Vec<_> = (0..3).map(|_| desk.create(0, &Plan::charged(SINGLE))).collect::<Result<_, _>>()?;
        for (ended, made) in held.iter().enumerate() {
            desk.end(1, made.session);
            desk.end(1, made.session);
            let left = 2 - ended as u64;
            ensure!(desk.in_use(SINGLE)? == left, "{} units are in use, not {left}", desk.in_use(SINGLE)?);
        }
        for _ in 0..3 {
            desk.create(2, &Plan::charged(SINGLE))?;
        }
        ensure!(desk.try_create(2, &Plan::charged(SINGLE))?.is_err(), "one too many was admitted");
        desk.sound(2)
    }),
    ("a deadline frees the unit at its instant though nobody reaps", |ground| {
        let desk = ground.desk();
        let made = desk.create(0, &Plan::charged(SINGLE))?;
        gone(desk.peek(IDLE, &made.token), crate::reason::EndReason::IdleTimeout)?;
        ensure!(desk.in_use(SINGLE)? == 0, "the unit is in use");
        let due = desk.create(IDLE, &Plan::charged(SINGLE))?;
        ensure!(ok(desk.table.claim_due(at(2 * IDLE), 64))?.ended == 1, "nothing was claimed");
        ensure!(desk.in_use(SINGLE)? == 0, "the claim left the unit in use");
        ensure!(ok(desk.table.receipt(at(2 * IDLE), due.session.id))?.is_some(), "no receipt");
        Ok(())
    }),
    ("a refused creation leaves nothing behind", |ground| {
        let desk = ground.desk();
        for _ in 0..3 {
            desk.create(0, &Plan::charged(SINGLE))?;
        }
        let stats = desk.table.stats();
        for _ in 0..1000 {
            ensure!(desk.try_create(0, &Plan { class: Some("audit"), ..Plan::charged(SINGLE) })?.is_err(), "admitted");
        }
        let now = desk.table.stats();
        ensure!((now.live, now.created) == (stats.live, stats.created), "sessions were counted: {now:?}");
        ensure!(now.tombstones == 0, "{} tombstones stand", now.tombstones);
        ensure!(ok(desk.table.outbox_take(10))?.is_empty(), "an end is told");
        ensure!(desk.in_use(SINGLE)? == 3, "{} units are in use", desk.in_use(SINGLE)?);
        desk.sound(0)
    }),
    ("a holder is charged by its rule and its sessions are bounded", |ground| {
        let desk = ground.desk();
        let plan = Plan { charge: Some(charge(STAIRS, user("ada"))), ..Plan::plain() };
        for units in [1, 1, 2] {
            desk.create(0, &plan)?;
            ensure!(desk.in_use(STAIRS)? == units, "{} units are in use, not {units}", desk.in_use(STAIRS)?);
        }
        match desk.try_create(0, &plan)? {
            Err(Refused::License(DenyReason::HolderLimit)) => Ok(()),
            other => Err(format!("the fourth session of a holder with at most three: {:?}", other.err())),
        }
    }),
    ("anonymous sessions have a cap of their own", |ground| {
        let desk = ground.desk();
        let mut anonymous = Plan::charged(USERS);
        if let Some(charge) = &mut anonymous.charge {
            charge.class = LicenseClass::Anonymous;
        }
        let one = desk.create(0, &anonymous)?;
        match desk.try_create(0, &anonymous)? {
            Err(Refused::License(DenyReason::Reserved)) => {}
            other => return Err(format!("the second of one: {:?}", other.err())),
        }
        desk.create(0, &Plan::charged(USERS))?;
        let changed = live(desk.table.change_holder(at(0), one.session, &change(None, Some("ada"), None)))?;
        changed.map_err(|refused| format!("its login: {refused:?}"))?;
        desk.create(0, &anonymous)?;
        ensure!(desk.in_use(USERS)? == 3, "{} units are in use", desk.in_use(USERS)?);
        desk.sound(0)
    }),
    ("a trade needs no unit more than it frees, and changes user, holder and token in one step", |ground| {
        let desk = ground.desk();
        let held: Vec<_> = (0..3).map(|_| desk.create(0, &Plan::charged(SINGLE))).collect::<Result<_, _>>()?;
        let login = change(None, Some("ada"), Some(100));
        let changed = live(desk.table.change_holder(at(1), held[0].session, &login))?;
        let changed = changed.map_err(|refused| format!("in a full pool: {refused:?}"))?;
        ensure!(changed.trade_denied.is_none() && changed.token.is_some(), "{changed:?}");
        ensure!(desk.in_use(SINGLE)? == 3, "{} units are in use", desk.in_use(SINGLE)?);
        let card = live(desk.table.card(at(1), held[0].session))?;
        ensure!(card.user.as_deref() == Some("ada"), "the user is {:?}", card.user);
        ensure!(card.charge.is_some_and(|charge| charge.holder == user("ada")), "the holder did not change");
        let records = ok(desk.table.audit_records(SINGLE, 0, 100))?;
        ensure!(records.iter().any(|record| record.kind == AuditKind::Trade), "the trade is not recorded");
        desk.sound(1)
    }),
    ("a denied trade changes nothing, or only the user where that is to be kept", |ground| {
        // Ada has as many sessions as she may, and there is a unit for one that is its own holder.
        let ada = Plan { charge: Some(charge(STAIRS, user("ada"))), ..Plan::plain() };
        let pool = ground.desk_with(|config| config.pools[STAIRS as usize].capacity = 3);
        for _ in 0..3 {
            pool.create(0, &ada)?;
        }
        let own = pool.create(0, &Plan::charged(STAIRS))?;
        let mut login = change(None, Some("ada"), Some(0));
        let refused = live(pool.table.change_holder(at(1), own.session, &login))?;
        ensure!(matches!(refused, Err(ChangeRefused::License(DenyReason::HolderLimit))), "the trade: {refused:?}");
        let card = live(pool.table.card(at(1), own.session))?;
        ensure!(card.user.is_none(), "the user changed");
        live(pool.touch(1, &own.token)).map_err(|text| format!("the token rotated: {text}"))?;
        ensure!(pool.in_use(STAIRS)? == 3, "{} units are in use", pool.in_use(STAIRS)?);
        login.keep_on_denial = true;
        let kept = live(pool.table.change_holder(at(1), own.session, &login))?;
        let kept = kept.map_err(|refused| format!("kept: {refused:?}"))?;
        ensure!(kept.trade_denied == Some(DenyReason::HolderLimit) && kept.token.is_some(), "{kept:?}");
        let card = live(pool.table.card(at(1), own.session))?;
        ensure!(card.user.as_deref() == Some("ada"), "the user did not change");
        ensure!(card.charge.is_some_and(|charge| charge.holder == Holder::Session), "the holder changed");
        ensure!(pool.in_use(STAIRS)? == 3, "{} units are in use", pool.in_use(STAIRS)?);
        pool.sound(1)
    }),
    ("a change of holder checks again what the deciders were asked about", |ground| {
        let desk = ground.desk();
        let made = desk.create(0, &Plan::charged(USERS))?;
        let ada = live(desk.table.change_holder(at(0), made.session, &change(None, Some("ada"), None)))?;
        ensure!(ada.is_ok(), "the first login: {ada:?}");
        let bob = live(desk.table.change_holder(at(0), made.session, &change(None, Some("bob"), Some(0))))?;
        ensure!(matches!(bob, Err(ChangeRefused::Changed)), "a login over another one: {bob:?}");
        let card = live(desk.table.card(at(0), made.session))?;
        ensure!(card.user.as_deref() == Some("ada"), "the user is {:?}", card.user);
        live(desk.touch(0, &made.token)).map(drop)
    }),
    ("a recount finds what the counters say", |ground| {
        let desk = ground.desk();
        let mut held = Vec::new();
        for number in 0..6 {
            let holder = if number % 2 == 0 { user(["ada", "bob", "cy"][number / 2]) } else { Holder::Session };
            held.push(desk.create(0, &Plan { charge: Some(charge(USERS, holder)), ..Plan::plain() })?);
        }
        for ended in 0..=held.len() {
            let audit = ok(desk.table.recount(at(1), USERS))?;
            let left = (held.len() - ended) as u64;
            ensure!(audit.differences.is_empty(), "{audit:?}");
            ensure!((audit.counted, audit.recounted) == (left, left), "{left} are live, the recount says {audit:?}");
            if let Some(made) = held.get(ended) {
                desk.end(1, made.session);
            }
        }
        Ok(())
    }),
    ("every grant, denial, trade and release is recorded", |ground| {
        let desk = ground.desk();
        let held: Vec<_> = (0..3).map(|_| desk.create(0, &Plan::charged(SINGLE))).collect::<Result<_, _>>()?;
        desk.try_create(0, &Plan::charged(SINGLE))?.err().ok_or("one too many")?;
        let traded = live(desk.table.change_holder(at(0), held[0].session, &change(None, Some("ada"), None)))?;
        ensure!(traded.is_ok(), "{traded:?}");
        desk.end(0, held[0].session);
        let records = ok(desk.table.audit_records(SINGLE, 0, 100))?;
        let kinds: Vec<_> = records.iter().map(|record| record.kind).collect();
        use AuditKind::{Denial, Grant, Release, Trade};
        ensure!(kinds == [Grant, Grant, Grant, Denial, Trade, Release], "the records are {kinds:?}");
        ensure!(records.windows(2).all(|pair| pair[0].seq < pair[1].seq), "the records have no order");
        let rest = ok(desk.table.audit_records(SINGLE, records[3].seq, 100))?;
        ensure!(rest == records[4..], "the records after a position are others");
        Ok(())
    }),
    ("a pool's level is told when it changes, and once", |ground| {
        let desk = ground.desk_with(|config| config.pools[SINGLE as usize].low = 2);
        let mut seen = Vec::new();
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(desk.create(0, &Plan::charged(SINGLE))?);
            seen.extend(desk.table.take_pool_levels());
        }
        desk.end(1, held[0].session);
        desk.end(1, held[1].session);
        seen.extend(desk.table.take_pool_levels());
        let levels: Vec<_> = seen.iter().map(|(_, level, _)| *level).collect();
        use PoolLevel::{Exhausted, Low, Recovered};
        ensure!(levels == [Low, Exhausted, Low, Recovered], "the levels are {levels:?}");
        ensure!(desk.table.take_pool_levels().is_empty(), "a level is told twice");
        Ok(())
    }),
    ("a request neither takes nor frees a unit", |ground| {
        let desk = ground.desk();
        let made = desk.create(0, &Plan::charged(SINGLE))?;
        for _ in 0..3 {
            let request = desk.begin(0, &made.token, LockMode::None)?;
            live(desk.began(0, &made.token, TouchKind::Activity, LockMode::None))?;
            ensure!(desk.in_use(SINGLE)? == 1, "{} units are in use", desk.in_use(SINGLE)?);
            desk.finish(0, &request)?;
        }
        ensure!(desk.in_use(SINGLE)? == 1, "{} units are in use", desk.in_use(SINGLE)?);
        Ok(())
    }),
];
