//! Promises about how sessions come, are used and go.

use super::Promise;
use super::desk::*;
use crate::id::{SessionId, Token};
use crate::reason::{EndReason, LockMode, TouchKind};
use crate::table::*;

pub(super) const PROMISES: &[Promise] = &[
    ("a draft has an id and a token of its own and is no session", |ground| {
        let desk = ground.desk();
        let (one, two) = (ok(desk.table.draft())?, ok(desk.table.draft())?);
        ensure!(one.session.id != two.session.id && one.token != two.token, "two drafts are one");
        absent(desk.peek(0, &one.token))?;
        absent(desk.table.find(at(0), one.session.id))?;
        ensure!(desk.table.count() == 0, "a draft is counted");
        Ok(())
    }),
    ("an abandoned draft is gone without a trace", |ground| {
        let desk = ground.desk();
        let draft = ok(desk.table.draft())?;
        desk.table.abandon(&draft);
        let made = desk.table.create(at(0), &draft, &mut Plan::plain().new_session());
        ensure!(made.is_err(), "an abandoned draft became a session");
        absent(desk.peek(0, &draft.token))?;
        ensure!(ok(desk.table.receipt(at(0), draft.session.id))?.is_none(), "an abandoned draft has a tombstone");
        Ok(())
    }),
    ("create makes what was not there and never writes over what is", |ground| {
        let desk = ground.desk();
        let draft = ok(desk.table.draft())?;
        ensure!(ok(desk.table.create(at(0), &draft, &mut Plan::plain().new_session()))?.is_ok(), "refused");
        let again = desk.table.create(at(1), &draft, &mut Plan::plain().new_session());
        ensure!(again.is_err(), "a draft became two sessions");
        ensure!(desk.table.count() == 1, "{} sessions came of one draft", desk.table.count());
        desk.end(2, draft.session);
        let again = desk.table.create(at(3), &draft, &mut Plan::plain().new_session());
        ensure!(again.is_err() && desk.table.count() == 0, "an ended session was made again");
        Ok(())
    }),
    ("a created session is live, counted, found and listed", |ground| {
        let desk = ground.desk();
        let made = desk.create(5, &Plan::plain())?;
        ensure!(live(desk.table.find_token(at(5), &made.token))?.id == made.session.id, "the token leads elsewhere");
        ensure!(live(desk.table.find(at(5), made.session.id))?.id == made.session.id, "the id leads elsewhere");
        let (info, _) = live(desk.table.look(at(5), made.session))?;
        ensure!(info.created_ms == 5 && info.deadline_ms == Some(5 + IDLE), "it looks like {info:?}");
        ensure!(desk.table.count() == 1, "{} are counted", desk.table.count());
        ensure!(ok(desk.table.lifecycle(0, 10))?.iter().any(|entry| entry.what == "created"), "it is not logged");
        desk.sound(5)
    }),
    ("a session that is created with a request has it", |ground| {
        let desk = ground.desk();
        let plan = Plan { begin: Some((TouchKind::Activity, LockMode::Exclusive)), ..Plan::plain() };
        let made = desk.create(0, &plan)?;
        let request = made.request.ok_or("there is no request")?;
        ensure!(
            live(desk.table.lock_of(at(0), &request))? == Some(LockMode::Exclusive),
            "the request does not hold its lock"
        );
        ensure!(!desk.finish(1, &request)?, "a session ends without having been asked to");
        match desk.began(2, &made.token, TouchKind::Activity, LockMode::None) {
            Found::Live(Began::Request { is_new: false, .. }) => Ok(()),
            other => Err(format!("the second request: {other:?}")),
        }
    }),
    ("is_new is true for the first request and no other", |ground| {
        let desk = ground.desk();
        let made = desk.create(0, &Plan::plain())?;
        for first in [true, false, false] {
            match desk.began(0, &made.token, TouchKind::Activity, LockMode::None) {
                Found::Live(Began::Request { is_new, .. }) => ensure!(is_new == first, "is_new is {is_new}"),
                other => return Err(format!("{other:?}")),
            }
        }
        Ok(())
    }),
    ("a token that is nobody's is absent and writes nothing", |ground| {
        let desk = ground.desk();
        let other = ground.desk();
        let made = desk.create(0, &Plan::plain())?;
        let foreign = ok(other.table.draft())?.token;
        let forged = Token { secret: [7; 24], ..made.token };
        let moved = Token { locator: made.token.locator ^ 1, ..made.token };
        for token in [foreign, forged, moved] {
            absent(desk.touch(0, &token))?;
            absent(desk.table.find_token(at(0), &token))?;
            absent(desk.began(0, &token, TouchKind::Activity, LockMode::None))?;
        }
        absent(desk.table.find(at(0), SessionId([3; 16])))?;
        ensure!(matches!(desk.end(0, SessionRef { id: SessionId([3; 16]), ..made.session }), Ended::Absent), "ended");
        ensure!(desk.table.count() == 1 && desk.table.stats().created == 1, "something was written");
        Ok(())
    }),
    ("an ended session is gone for its reason in every verb", |ground| {
        let desk = ground.desk();
        let made = desk.create(0, &Plan::told())?;
        let request = desk.begin(0, &made.token, LockMode::None)?;
        ensure!(matches!(desk.end(1, made.session), Ended::Now(_)), "it did not end");
        let (table, reason, then) = (&desk.table, EndReason::Revoked, at(2));
        gone(desk.touch(2, &made.token), reason)?;
        gone(desk.peek(2, &made.token), reason)?;
        gone(desk.began(2, &made.token, TouchKind::Activity, LockMode::None), reason)?;
        gone(table.find_token(then, &made.token), reason)?;
        gone(table.find(then, made.session.id), reason)?;
        gone(table.finish(then, &request, &write("a", 1)?), reason)?;
        gone(table.save(then, &request, &write("a", 1)?), reason)?;
        gone(table.compare_and_set(then, &request, &path("a"), None, Some(1.into())), reason)?;
        gone(table.read(then, &request, &mut |_| {}), reason)?;
        gone(table.lock(then, &request, LockMode::Exclusive), reason)?;
        gone(table.unlock(then, &request), reason)?;
        gone(table.set_timeouts(then, made.session, Some(5), None), reason)?;
        gone(table.change_classes(then, made.session, ClassChange::Clear), reason)?;
        gone(table.change_application(then, made.session, 0, 1, None, &[]), reason)?;
        gone(table.change_holder(then, made.session, &change(None, Some("ada"), Some(0))), reason)?;
        gone(table.request_end(then, made.session, true), reason)?;
        gone(table.card(then, made.session), reason)?;
        gone(table.look(then, made.session), reason)?;
        gone(table.extend(then, made.session, 1000, &ClassRef::new("", "audit"), 10), reason)?;
        ensure!(table.attachment(made.session, "a").live().is_err(), "it has attachments");
        ensure!(!ok(table.damage(made.session))?, "it was damaged after its end");
        ensure!(table.count() == 0, "it is counted");
        desk.sound(2)
    }),
    ("an end has one winner and everyone else its receipt", |ground| {
        let desk = ground.desk();
        let made = desk.create(0, &Plan::charged(SINGLE))?;
        let Ended::Now(first) = desk.end(7, made.session) else { return Err("the first end did not win".into()) };
        ensure!(first.at_ms == 7 && first.reason == EndReason::Revoked, "the receipt says {first:?}");
        ensure!(first.actor.as_deref() == Some("root"), "the receipt does not say by whom");
        ensure!(first.license_free_at_ms == Some(7), "the receipt does not say when the license was free");
        let Ended::Before(second) = desk.end(8, made.session) else { return Err("there were two winners".into()) };
        ensure!(first == second, "the receipts differ: {first:?}, {second:?}");
        ensure!(ok(desk.table.receipt(at(9), made.session.id))? == Some(first), "the tombstone has another receipt");
        Ok(())
    }),
    ("a tombstone stands for its time and then there is nothing", |ground| {
        let desk = ground.desk();
        let made = desk.create(0, &Plan::plain())?;
        desk.end(10, made.session);
        gone(desk.touch(10 + TOMBSTONE - 1, &made.token), EndReason::Revoked)?;
        absent(desk.touch(10 + TOMBSTONE, &made.token))?;
        absent(desk.table.find(at(10 + TOMBSTONE), made.session.id))?;
        ensure!(ok(desk.table.receipt(at(10 + TOMBSTONE), made.session.id))?.is_none(), "its receipt stands");
        ensure!(matches!(desk.end(10 + TOMBSTONE, made.session), Ended::Absent), "it ended again");
        Ok(())
    }),
    ("a place that is used again is another session's", |ground| {
        let desk = ground.desk();
        let mut before: Vec<Made> = Vec::new();
        for round in 0..200 {
            let made = desk.create(round, &Plan::plain())?;
            for old in &before {
                ensure!(old.session.id != made.session.id && old.token != made.token, "an id or token came again");
                gone(desk.peek(round, &old.token), EndReason::Revoked)?;
            }
            desk.end(round, made.session);
            before.push(made);
        }
        Ok(())
    }),
    ("a session that was asked to end ends with its last request", |ground| {
        let desk = ground.desk();
        let made = desk.create(0, &Plan::plain())?;
        let one = desk.begin(0, &made.token, LockMode::None)?;
        let two = desk.begin(0, &made.token, LockMode::None)?;
        live(desk.table.request_end(at(0), made.session, true))?;
        gone(desk.began(1, &made.token, TouchKind::Activity, LockMode::None), EndReason::Ended)?;
        ensure!(!desk.finish(1, &one)?, "it ends although a request is in flight");
        ensure!(desk.finish(2, &two)?, "it does not end with its last request");
        Ok(())
    }),
    ("an end that was asked for can be taken back", |ground| {
        let desk = ground.desk();
        let made = desk.create(0, &Plan::plain())?;
        let one = desk.begin(0, &made.token, LockMode::None)?;
        live(desk.table.request_end(at(0), made.session, true))?;
        live(desk.table.request_end(at(0), made.session, false))?;
        let two = desk.begin(1, &made.token, LockMode::None)?;
        ensure!(!desk.finish(1, &one)? && !desk.finish(1, &two)?, "it ends all the same");
        Ok(())
    }),
    ("no more sessions than allowed, in the table and in an application", |ground| {
        let desk = ground.desk_with(|config| config.max_sessions = 3);
        let small = Plan { application: 1, ..Plan::plain() };
        let (one, _) = (desk.create(0, &small)?, desk.create(0, &small)?);
        match desk.try_create(0, &small)? {
            Err(Refused::Sessions(Some(name), 2)) if &*name == "small" => {}
            other => return Err(format!("the third session of the application: {:?}", other.err())),
        }
        desk.create(0, &Plan::plain())?;
        match desk.try_create(0, &Plan::plain())? {
            Err(Refused::Sessions(None, 3)) => {}
            other => return Err(format!("the fourth session of the table: {:?}", other.err())),
        }
        desk.end(1, one.session);
        desk.create(1, &small)?;
        ensure!(desk.table.count() == 3, "{} are counted", desk.table.count());
        desk.sound(1)
    }),
    ("a session enters another application only from where it is", |ground| {
        let desk = ground.desk();
        let made = desk.create(0, &Plan::told())?;
        let more = [ClassRef::new("", "audit"), ClassRef::new("", "more")];
        ensure!(!live(desk.table.change_application(at(0), made.session, 1, 0, None, &[]))?, "it was not there");
        ensure!(
            live(desk.table.change_application(at(0), made.session, 0, 1, Some((300, 200)), &more))?,
            "it did not enter"
        );
        let card = live(desk.table.card(at(0), made.session))?;
        ensure!(card.application == 1 && card.idle == 300, "it is {card:?}");
        ensure!(card.classes[..] == more, "its classes are {:?}", card.classes);
        ensure!(desk.deadline(0, &made.token)? == 300, "its deadline did not move");
        desk.sound(0)
    }),
    ("a token is rotated within its grace and gone after it", |ground| {
        let desk = ground.desk();
        let made = desk.create(0, &Plan { idle: 0, absolute: 0, ..Plan::plain() })?;
        let changed = live(desk.table.change_holder(at(0), made.session, &change(None, None, Some(50))))?;
        let token = changed.map_err(|refused| format!("{refused:?}"))?.token.ok_or("no new token")?;
        ensure!(token != made.token, "the token is the same");
        match desk.began(49, &made.token, TouchKind::Activity, LockMode::None) {
            Found::Live(Began::Request { replaced: true, .. }) => {}
            other => return Err(format!("the old token within its grace: {other:?}")),
        }
        gone(desk.began(50, &made.token, TouchKind::Activity, LockMode::None), EndReason::Replaced)?;
        gone(desk.touch(50, &made.token), EndReason::Replaced)?;
        ensure!(desk.table.stats().replaced_token_uses > 0, "the late use of the old token is not counted");
        absent(desk.touch(50 + 600_001, &made.token))?;
        live(desk.touch(50 + 600_001, &token)).map(drop)
    }),
    ("a rotation without grace leaves no instant to the old token", |ground| {
        let desk = ground.desk();
        let made = desk.create(0, &Plan::plain())?;
        let changed = live(desk.table.change_holder(at(0), made.session, &change(None, None, Some(0))))?;
        let token = changed.map_err(|refused| format!("{refused:?}"))?.token.ok_or("no new token")?;
        gone(desk.began(0, &made.token, TouchKind::Activity, LockMode::None), EndReason::Replaced)?;
        live(desk.touch(0, &token))?;
        desk.end(1, made.session);
        gone(desk.touch(2, &token), EndReason::Revoked)?;
        gone(desk.touch(2, &made.token), EndReason::Replaced)
    }),
];
