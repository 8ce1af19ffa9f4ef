//! The outbox: who is offered what, and when again.

use super::{books, data};
use crate::Result;
use crate::clock::Millis;
use crate::event::ClassRef;
use crate::id::SessionId;
use crate::reason::{EndLevel, EndReason, ThreadKind};
use crate::table::shared::books::claims::PATIENCE;
use crate::table::shared::books::dead_events::EVENT_TTL;
use crate::table::shared::books::{Books, EventRow, NewEvent};

const MAKER: (u32, u64) = (1, 11);
const OTHER: (u32, u64) = (2, 22);
const THIRD: (u32, u64) = (3, 33);

fn class(name: &str) -> ClassRef {
    ClassRef::new("shop", name)
}

fn event(event_id: u64, at: Millis) -> NewEvent {
    NewEvent {
        event_id,
        session: SessionId([event_id as u8; 16]),
        place: event_id,
        application: 3,
        user: Some("änne".into()),
        reason: EndReason::Revoked,
        level: EndLevel::Force,
        thread: ThreadKind::Admin,
        at,
        wall: 5,
        data: Some(vec![data("cart", "tea"), data("", "")]),
    }
}

fn add(books: &Books, event: &NewEvent, classes: &[ClassRef]) {
    books.write(|ledger| ledger.outbox_add(event, classes, &classes[..1], MAKER.0)).expect("kept");
}

fn register(books: &Books, who: (u32, u64), name: &str) {
    books.write(|ledger| ledger.register_class(who.0, who.1, &class(name), true)).expect("registered");
}

/// Takes as a process that registered these classes, while those listed are alive.
fn take(books: &Books, who: (u32, u64), names: &[&str], now: Millis, alive: &[(u32, u64)]) -> Vec<EventRow> {
    let classes: Vec<_> = names.iter().map(|name| class(name)).collect();
    let alive = |number: u32, instance: u64| alive.contains(&(number, instance));
    books.write(|ledger| ledger.outbox_take(who.0, who.1, &classes, 100, now, &alive)).expect("taken")
}

fn acknowledge(books: &Books, event_id: u64, who: (u32, u64)) -> Result<()> {
    books.write(|ledger| ledger.outbox_acknowledge(event_id, who.0, who.1))
}

#[test]
fn an_event_is_taken_whole_once_and_goes_when_it_is_acknowledged() {
    let (_dir, books) = books();
    let event = event(9, 100);
    add(&books, &event, &[class("mail"), class("log"), class("mail2")]);
    register(&books, MAKER, "mail");
    let rows = take(&books, MAKER, &["mail2", "mail", "log"], 100, &[MAKER]);
    let expected = EventRow {
        event: event.clone(),
        classes: vec![class("mail"), class("log"), class("mail2")],
        told: vec![class("mail")],
        redelivered: false,
        waited: false,
    };
    assert_eq!(rows, [expected]);
    assert_eq!(take(&books, MAKER, &["mail"], 100, &[MAKER]), []);
    assert_eq!(take(&books, OTHER, &["mail"], 100 + PATIENCE, &[MAKER, OTHER]), []);
    assert_eq!(books.read(|pages| pages.outbox_count()), Ok(1));
    acknowledge(&books, 9, OTHER).expect("nothing of its own");
    assert_eq!(books.read(|pages| pages.outbox_count()), Ok(1));
    acknowledge(&books, 9, MAKER).expect("acknowledged");
    assert_eq!(books.read(|pages| pages.outbox_count()), Ok(0));
    assert_eq!(take(&books, MAKER, &["mail", "log"], 100, &[MAKER]), []);
}

#[test]
fn one_without_classes_is_not_kept() {
    let (_dir, books) = books();
    books.write(|ledger| ledger.outbox_add(&event(1, 0), &[], &[], 1)).expect("passed over");
    assert_eq!(books.read(|pages| pages.outbox_count()), Ok(0));
}

#[test]
fn the_preferred_process_comes_first_while_it_lives_and_registered_the_class() {
    let (_dir, books) = books();
    register(&books, MAKER, "mail");
    register(&books, OTHER, "mail");
    register(&books, OTHER, "log");
    add(&books, &event(1, 100), &[class("mail"), class("log")]);
    // The maker did not register `log`: that is anybody's. It registered `mail` and lives.
    let rows = take(&books, OTHER, &["mail", "log"], 100, &[MAKER, OTHER]);
    assert_eq!(rows.iter().map(|row| row.classes.clone()).collect::<Vec<_>>(), [vec![class("log")]]);
    assert_eq!(rows[0].told, []);
    let rows = take(&books, MAKER, &["mail"], 100, &[MAKER, OTHER]);
    assert_eq!(rows.iter().map(|row| row.classes.clone()).collect::<Vec<_>>(), [vec![class("mail")]]);
    assert_eq!(books.read(|pages| pages.outbox_claims(1)), Ok(vec![(MAKER.0, class("mail")), (OTHER.0, class("log"))]));
    acknowledge(&books, 1, OTHER).expect("acknowledged");
    assert_eq!(books.read(|pages| pages.outbox_count()), Ok(1));
    acknowledge(&books, 1, MAKER).expect("acknowledged");
    assert_eq!(books.read(|pages| pages.outbox_count()), Ok(0));
}

#[test]
fn nobody_waits_for_a_preferred_process_that_is_gone_or_slow() {
    let (_dir, books) = books();
    register(&books, MAKER, "mail");
    add(&books, &event(1, 100), &[class("mail")]);
    add(&books, &event(2, 200), &[class("mail")]);
    assert_eq!(take(&books, OTHER, &["mail"], 100, &[MAKER, OTHER]), []);
    let slow = take(&books, OTHER, &["mail"], 100 + PATIENCE, &[MAKER, OTHER]);
    assert_eq!(slow.iter().map(|row| row.event.event_id).collect::<Vec<_>>(), [1]);
    // Its number in use again by another opening is not it.
    let gone = take(&books, OTHER, &["mail"], 200, &[(MAKER.0, 99), OTHER]);
    assert_eq!(gone.iter().map(|row| (row.event.event_id, row.redelivered)).collect::<Vec<_>>(), [(2, false)]);
}

#[test]
fn what_the_dead_claimed_is_given_out_again() {
    let (_dir, books) = books();
    register(&books, MAKER, "mail");
    add(&books, &event(1, 100), &[class("mail"), class("log")]);
    assert_eq!(take(&books, MAKER, &["mail"], 100, &[MAKER])[0].classes, [class("mail")]);
    assert_eq!(take(&books, OTHER, &["log"], 100, &[MAKER, OTHER])[0].classes, [class("log")]);
    assert_eq!(take(&books, THIRD, &["mail", "log"], 9_999, &[MAKER, OTHER, THIRD]), []);
    let rows = take(&books, THIRD, &["mail", "log"], 100, &[OTHER, THIRD]);
    assert_eq!((rows.len(), &*rows[0].classes, rows[0].redelivered), (1, &[class("mail")][..], true));
    // What was taken from it is not its own any more.
    acknowledge(&books, 1, MAKER).expect("too late");
    assert_eq!(books.read(|pages| pages.outbox_claims(1).map(|claims| claims.len())), Ok(2));
    assert_eq!(books.write(|ledger| ledger.outbox_release(OTHER.0, OTHER.1)), Ok(1));
    let rows = take(&books, THIRD, &["log"], 100, &[THIRD]);
    assert_eq!((&*rows[0].classes, rows[0].redelivered), (&[class("log")][..], true));
    acknowledge(&books, 1, THIRD).expect("acknowledged");
    assert_eq!(books.read(|pages| pages.outbox_count()), Ok(0));
}

#[test]
fn the_oldest_come_first_and_no_more_than_asked_for() {
    let (_dir, books) = books();
    for event_id in (1..=20).rev() {
        let name = if event_id % 2 == 0 { "mail" } else { "log" };
        add(&books, &event(event_id, 0), &[class(name)]);
    }
    let classes = [class("mail"), class("log")];
    let mut all = Vec::new();
    loop {
        let rows = books.write(|ledger| ledger.outbox_take(2, 2, &classes, 7, 0, &|_, _| true)).expect("taken");
        assert!(rows.len() <= 7);
        if rows.is_empty() {
            break;
        }
        all.extend(rows.into_iter().map(|row| row.event.event_id));
    }
    assert_eq!(all, (1..=20).collect::<Vec<_>>());
}

#[test]
fn an_event_that_nobody_takes_is_anybodys_after_its_time() {
    let (_dir, books) = books();
    add(&books, &event(1, 100), &[class("mail")]);
    add(&books, &event(2, 100), &[class("log")]);
    add(&books, &event(3, 101), &[class("mail")]);
    assert_eq!(take(&books, OTHER, &["log"], 9_999, &[OTHER]).len(), 1);
    let old = |now| books.write(|ledger| ledger.outbox_take_old(THIRD.0, THIRD.1, 10, now)).expect("taken");
    assert_eq!(old(99 + EVENT_TTL), []);
    let rows = old(100 + EVENT_TTL);
    assert_eq!((rows.len(), rows[0].event.event_id, &*rows[0].classes), (1, 1, &[class("mail")][..]));
    assert_eq!((rows[0].event.reason, rows[0].event.user.as_deref()), (EndReason::Revoked, Some("änne")));
    assert_eq!(old(100 + EVENT_TTL), []);
    acknowledge(&books, 1, THIRD).expect("acknowledged");
    assert_eq!(books.read(|pages| pages.outbox_count()), Ok(2));
}

#[test]
fn a_class_that_is_not_registered_any_more_is_offered_to_others() {
    let (_dir, books) = books();
    register(&books, MAKER, "mail");
    add(&books, &event(1, 100), &[class("mail")]);
    assert_eq!(take(&books, OTHER, &["mail"], 100, &[MAKER, OTHER]), []);
    books.write(|ledger| ledger.register_class(MAKER.0, MAKER.1, &class("mail"), false)).expect("no longer");
    assert_eq!(take(&books, OTHER, &["mail"], 100, &[MAKER, OTHER]).len(), 1);
}
