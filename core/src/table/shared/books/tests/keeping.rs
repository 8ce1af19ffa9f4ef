//! Everything that is kept comes out as it was put in.

use std::sync::Arc;

use super::{books, data, full_row, row, same};
use crate::clock::NEVER;
use crate::id::SessionId;
use crate::license::books::{AuditEntry, Totals, UserHolder};
use crate::license::{AuditKind, AuditWhy};
use crate::reason::{DenyReason, EndLevel, EndReason};
use crate::table::grave::{Grave, More, Replaced};
use crate::table::{Holder, PoolLevel};

#[test]
fn sqlite_is_none_of_the_versions_that_lose_commits() {
    let number = rusqlite::version_number();
    assert!(number >= 3_051_003 && number != 3_052_000, "{number}");
}

#[test]
fn a_session_comes_out_as_it_was_put_in() {
    let (_dir, books) = books();
    for session in [row(0), full_row(7), row(u32::MAX >> 4)] {
        books.write(|ledger| ledger.insert_session(&session)).expect("kept");
        same(&books.read(|pages| pages.session(session.slot)).expect("read").expect("there"), &session);
    }
    assert!(books.read(|pages| pages.session(1)).expect("read").is_none());
    let mut changed = full_row(7);
    changed.charge = None;
    changed.user = Some("otto".into());
    changed.rare.trace.clear();
    assert_eq!(books.write(|ledger| ledger.update_session(&changed)), Ok(true));
    same(&books.read(|pages| pages.session(7)).expect("read").expect("there"), &changed);
    changed.generation += 1;
    assert_eq!(books.write(|ledger| ledger.update_session(&changed)), Ok(false));

    let page = books.read(|pages| pages.sessions(0, 2)).expect("page");
    assert_eq!(page.rows.iter().map(|row| row.slot).collect::<Vec<_>>(), [0, 7]);
    assert_eq!(page.next, Some(8));
    let page = books.read(|pages| pages.sessions(8, 2)).expect("page");
    assert_eq!((page.rows.len(), page.bad.len(), page.next), (1, 0, None));
    let page = books.read(|pages| pages.sessions_of("otto", 0, 9)).expect("page");
    assert_eq!(page.rows.iter().map(|row| row.slot).collect::<Vec<_>>(), [7]);
    assert_eq!(books.read(|pages| pages.count()), Ok(3));
    assert_eq!(books.read(|pages| pages.counts_by_application()), Ok(vec![(0, 3)]));
}

#[test]
fn deadlines_are_saved_for_sessions_that_live() {
    let (_dir, books) = books();
    books.write(|ledger| ledger.insert_session(&row(5))).expect("kept");
    books.write(|ledger| ledger.save_deadlines(&[(5, 3, NEVER, 77), (5, 2, 1, 1), (6, 3, 1, 1)])).expect("saved");
    let session = books.read(|pages| pages.session(5)).expect("read").expect("there");
    assert_eq!((session.saved, session.used), (NEVER, 77));
}

#[test]
fn data_go_with_their_session() {
    let (_dir, books) = books();
    books
        .write(|ledger| {
            ledger.insert_session(&row(5))?;
            ledger.put_data(5, 3, &data("b", "2"))?;
            ledger.put_data(5, 3, &data("a", "1"))?;
            ledger.put_data(5, 3, &data("b", "3"))?;
            ledger.put_data(5, 3, &data("c", ""))?;
            ledger.delete_data(5, b"c")
        })
        .expect("kept");
    assert_eq!(books.read(|pages| pages.data(5, 3)), Ok(vec![data("a", "1"), data("b", "3")]));
    assert_eq!(books.write(|ledger| ledger.delete_session(5, 2)), Ok(false));
    assert_eq!(books.write(|ledger| ledger.delete_session(5, 3)), Ok(true));
    assert_eq!(books.read(|pages| pages.data(5, 3)), Ok(vec![]));
    assert_eq!(books.write(|ledger| ledger.delete_session(5, 3)), Ok(false));
}

#[test]
fn what_fails_leaves_nothing() {
    let (_dir, books) = books();
    let failed = books.write(|ledger| {
        ledger.insert_session(&row(1))?;
        Err::<(), _>(crate::Error::invalid("no"))
    });
    assert!(failed.is_err());
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        books.write(|ledger| -> crate::Result<()> {
            ledger.insert_session(&row(2))?;
            panic!("a defect of the caller")
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(books.read(|pages| pages.count()), Ok(0));
    books.write(|ledger| ledger.insert_session(&row(1))).expect("kept");
}

pub(super) fn grave(event_id: u64) -> Grave {
    Grave {
        id: SessionId([event_id as u8; 16]),
        verifier: [1, 2],
        until: 100,
        application: 2,
        reason: EndReason::IdleTimeout,
        level: EndLevel::Request,
        at: 50,
        wall: -3,
        late: None,
        licensed: true,
        event_id,
        user: None,
        more: None,
    }
}

#[test]
fn a_tombstone_stands_until_it_is_purged() {
    let (_dir, books) = books();
    let locator = (1 << 48) - 1;
    let plain = grave(books.write(|ledger| ledger.next_event()).expect("a number"));
    let mut full = grave(books.write(|ledger| ledger.next_event()).expect("a number"));
    assert!(full.event_id > plain.event_id);
    full.user = Some("änne".into());
    full.late = Some(0);
    full.until = NEVER;
    full.more = Some(Box::new(More {
        actor: Some("root".into()),
        note: None,
        replaced: vec![Replaced { verifier: [3, 4], grace: 1, until: 2 }],
    }));
    books
        .write(|ledger| ledger.bury(7, &plain, 1000).and_then(|()| ledger.bury(locator, &full, 1000)))
        .expect("buried");
    assert_eq!(books.read(|pages| pages.grave(7)), Ok(Some(plain)));
    assert_eq!(books.read(|pages| pages.grave(locator)), Ok(Some(full)));
    assert_eq!(books.read(|pages| pages.grave(8)), Ok(None));
    assert_eq!(books.write(|ledger| ledger.purge_graves(99, 64)), Ok(0));
    assert_eq!(books.write(|ledger| ledger.purge_graves(100, 64)), Ok(1));
    assert_eq!(books.read(|pages| pages.grave_count()), Ok(1));
}

#[test]
fn a_flood_of_ends_does_not_fill_the_disk() {
    let (_dir, books) = books();
    books
        .write(|ledger| {
            for locator in 0..500 {
                let event_id = ledger.next_event()?;
                ledger.bury(locator, &grave(event_id), 100)?;
            }
            Ok(())
        })
        .expect("buried");
    let count = books.read(|pages| pages.grave_count()).expect("a count");
    assert!((100..150).contains(&count), "{count}");
    assert_eq!(books.read(|pages| pages.grave(0)), Ok(None));
    assert!(books.read(|pages| pages.grave(499)).expect("read").is_some());
}

#[test]
fn pools_and_holders_come_out_as_they_were_put_in() {
    let (_dir, books) = books();
    let totals = Totals {
        offered: 2,
        waiting: 3,
        in_use: 4,
        anonymous: 1,
        lingering: 3,
        high_water: 5,
        high_water_at: -9,
        denials: 2,
        evicted: 8,
        level: PoolLevel::Overdraft,
        overdrawn: Some(7),
        ceiling: 6,
        excess: 1,
        mark: 3,
        revision: 8,
        reserved: vec![0, 2],
    };
    let holder = UserHolder {
        connections: 0,
        units: 2,
        since: 11,
        acquired: 12,
        lazily: true,
        lingering: 1,
        until: 99,
        reserved: 1,
        seat: 2,
        last: SessionId([7; 16]),
    };
    books
        .write(|ledger| {
            ledger.set_pool(1, &Totals::default())?;
            ledger.set_pool(1, &totals)?;
            ledger.set_holder(1, "änne", Some(holder))?;
            ledger.set_holder(1, "otto", Some(holder))?;
            ledger.set_holder(1, "otto", None)
        })
        .expect("kept");
    assert_eq!(books.read(|pages| pages.pool(1)), Ok(totals));
    assert_eq!(books.read(|pages| pages.pool(0)), Ok(Totals::default()));
    assert_eq!(books.read(|pages| pages.holder(1, "änne")), Ok(Some(holder)));
    assert_eq!(books.read(|pages| pages.holder(1, "otto")), Ok(None));
    assert_eq!(books.read(|pages| pages.holders(1)), Ok(vec![(Arc::from("änne"), holder)]));
}

#[test]
fn accounts_and_log_are_rings() {
    let (_dir, books) = books();
    let user = Holder::User("änne".into());
    books
        .write(|ledger| {
            for number in 0..100 {
                let (kind, reason) = match number % 2 {
                    0 => (AuditKind::Grant, None),
                    _ => (AuditKind::Denial, Some(DenyReason::HolderLimit)),
                };
                let holder = if number % 4 == 0 { &Holder::Session } else { &user };
                let session = SessionId([1; 16]);
                let entry = AuditEntry {
                    at: number,
                    kind,
                    session,
                    holder,
                    before: number,
                    after: number + 1,
                    reason,
                    why: AuditWhy::Reserved,
                };
                ledger.add_audit(0, &entry, 10)?;
                ledger.add_audit(1, &entry, 0)?;
                ledger.add_log(number, session, "created", "shop", 10)?;
            }
            Ok(())
        })
        .expect("kept");
    let records = books.read(|pages| pages.audit(0, 0, 1000, 10)).expect("records");
    assert_eq!(records.iter().map(|record| record.seq).collect::<Vec<_>>(), (91..=100).collect::<Vec<_>>());
    assert_eq!((records[0].before, records[0].after, records[0].reason), (90, 91, None));
    assert_eq!((&*records[1].holder, records[1].reason), ("änne", Some(DenyReason::HolderLimit)));
    assert_eq!(&*records[2].holder, SessionId([1; 16]).to_string());
    assert_eq!(books.read(|pages| pages.audit(0, 95, 2, 10)).expect("records").len(), 2);
    assert_eq!(books.read(|pages| pages.audit(1, 0, 10, 10)), Ok(vec![]));
    let entries = books.read(|pages| pages.log(0, 1000, 10)).expect("entries");
    assert_eq!(entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), (91..=100).collect::<Vec<_>>());
    assert_eq!((entries[0].at_ms, entries[0].what, &*entries[0].detail), (90, "created", "shop"));
    assert!(books.write(|ledger| ledger.add_log(0, SessionId::NIL, "vanished", "", 10)).is_err());
}

#[test]
fn single_values_are_kept() {
    let (dir, books) = books();
    books
        .write(|ledger| ledger.set_meta("epoch", b"x").and_then(|()| ledger.set_meta_number("last", 9)))
        .expect("kept");
    books.close(true);
    assert_eq!(books.read(|pages| pages.count()).expect_err("closed").kind(), crate::ErrorKind::Closed);
    assert!(!dir.path().join("store.lsdb-wal").exists(), "the last one empties the log");
    let books = super::Books::open(dir.path()).expect("books");
    assert_eq!(books.read(|pages| pages.meta("epoch")), Ok(Some(b"x".to_vec())));
    assert_eq!(books.read(|pages| pages.meta_number("last")), Ok(Some(9)));
    assert_eq!(books.read(|pages| pages.meta_number("epoch")), Ok(None));
    assert_eq!(books.read(|pages| pages.meta("nothing")), Ok(None));
}

#[test]
fn free_pages_go_back_to_the_disk() {
    let (dir, books) = books();
    let size = || std::fs::metadata(dir.path().join("store.lsdb")).expect("a file").len();
    books
        .write(|ledger| (0..500).try_for_each(|slot| ledger.put_data(slot, 3, &data("a", &"x".repeat(3000)))))
        .expect("kept");
    books.checkpoint().expect("moved");
    let full = size();
    books.write(|ledger| (0..500).try_for_each(|slot| ledger.delete_data(slot, b"a"))).expect("deleted");
    books.write(|ledger| ledger.vacuum(100)).expect("given back");
    books.checkpoint().expect("moved");
    assert_eq!(size(), full - 100 * 4096);
    assert_eq!(books.read(|pages| pages.quick_check()), Ok(vec![]));
}
