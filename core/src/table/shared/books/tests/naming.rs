//! Numbers of applications and pools, when the configuration changes.

use super::keeping::grave;
use super::{books, full_row, row};
use crate::ErrorKind;
use crate::event::ClassRef;
use crate::id::SessionId;
use crate::license::books::{Totals, UserHolder};
use crate::reason::{EndLevel, EndReason, LazyUntil, LicenseClass, ThreadKind};
use crate::table::shared::books::{Books, Names, NewEvent, SessionRow};
use crate::table::shared::testing::Scratch;
use crate::table::{Charge, Holder, Lazy, Taken};

fn names(applications: &[&str], pools: &[&str]) -> Names {
    let list = |names: &[&str]| names.iter().map(|name| (*name).into()).collect();
    Names { applications: list(applications), pools: list(pools) }
}

fn store() -> (Scratch, Books) {
    let (dir, books) = books();
    books
        .write(|ledger| {
            ledger.settle_names(&names(&["shop", "forum"], &["a", "b"]), "shop\nforum\nidle 5", true)?;
            let mut plain = row(1);
            plain.charge =
                Some(Charge { pool: 0, class: LicenseClass::Anonymous, holder: Holder::Session, client: None });
            ledger.insert_session(&plain)?;
            ledger.insert_session(&full_row(2))?;
            let mut other = row(3);
            other.application = 1;
            ledger.insert_session(&other)?;
            for (pool, in_use) in [(0, 10), (1, 20)] {
                ledger.set_pool(pool, &Totals { in_use, ..Totals::default() })?;
                ledger.set_holder(
                    pool,
                    "änne",
                    Some(UserHolder { connections: 1, units: in_use, ..UserHolder::new(0) }),
                )?;
            }
            for application in [0, 1] {
                let mut grave = grave(ledger.next_event()?);
                grave.application = application;
                ledger.bury(u64::from(application), &grave, 100)?;
                let event = NewEvent {
                    event_id: grave.event_id,
                    session: SessionId::NIL,
                    place: 0,
                    application,
                    user: None,
                    reason: EndReason::Ended,
                    level: EndLevel::Force,
                    thread: ThreadKind::Request,
                    at: 0,
                    wall: 0,
                    data: None,
                };
                ledger.outbox_add(&event, &[ClassRef::new("", "mail")], &[], 0)?;
            }
            Ok(())
        })
        .expect("a store");
    (dir, books)
}

#[test]
fn the_same_configuration_changes_nothing() {
    let (_dir, books) = store();
    let same = names(&["shop", "forum"], &["a", "b"]);
    books.write(|ledger| ledger.settle_names(&same, "shop\nforum\nidle 5", false)).expect("alike");
    assert_eq!(books.read(|pages| pages.names()), Ok(same));
}

#[test]
fn who_is_not_alone_can_change_nothing() {
    let (_dir, books) = store();
    let changed = books.write(|ledger| ledger.settle_names(&names(&["shop"], &[]), "shop\nforum\nidle 6", false));
    let error = changed.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.message().contains("'idle 5'") && error.message().contains("'idle 6'"), "{error}");
    let shorter = books.write(|ledger| ledger.settle_names(&names(&["shop"], &[]), "shop\nforum", false));
    assert!(shorter.expect_err("refused").message().contains("here 'nothing'"));
}

#[test]
fn what_is_configured_in_another_order_keeps_its_sessions() {
    let (_dir, books) = store();
    let turned = names(&["news", "forum", "shop"], &["b", "a"]);
    books.write(|ledger| ledger.settle_names(&turned, "turned", true)).expect("renumbered");
    let look = |slot| books.read(|pages| pages.session(slot)).expect("read").expect("there");
    assert_eq!((look(1).application, look(1).charge.map(|charge| charge.pool)), (2, Some(1)));
    assert_eq!((look(2).application, look(2).charge.map(|charge| charge.pool)), (2, Some(0)));
    assert_eq!(look(3).application, 1);
    for (pool, in_use) in [(1, 10), (0, 20)] {
        assert_eq!(books.read(|pages| pages.pool(pool)).map(|totals| totals.in_use), Ok(in_use));
        let holder = books.read(|pages| pages.holder(pool, "änne")).expect("read").expect("there");
        assert_eq!(holder.units, in_use);
    }
    let grave = |locator| books.read(|pages| pages.grave(locator)).expect("read").map(|grave| grave.application);
    assert_eq!((grave(0), grave(1)), (Some(2), Some(1)));
    let rows = books
        .write(|ledger| ledger.outbox_take(1, 1, &[ClassRef::new("", "mail")], 9, 0, &|_, _| true))
        .expect("taken");
    assert_eq!(rows.iter().map(|row| row.event.application).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(books.read(|pages| pages.names()), Ok(turned));
}

#[test]
fn a_feature_keeps_its_pool_and_no_pool_is_lost_from_which_one_is_taken() {
    let (_dir, books) = store();
    let taken = |pool| Taken { pool, count: 2, holder: Holder::User("ann".into()), since: 0 };
    books
        .write(|ledger| {
            ledger.settle_names(&names(&["shop", "forum"], &["a", "b", "c"]), "x", true)?;
            let mut system = row(4);
            system.rare.takes = vec![taken(2), taken(0)];
            ledger.insert_session(&system)
        })
        .expect("a store");
    let settle = |pools: &[&str]| {
        books.write(|ledger| ledger.settle_names(&names(&["shop", "forum"], pools), &pools.concat(), true))
    };
    let error = settle(&["b", "a"]).expect_err("refused");
    assert!(error.message().contains("live sessions") && error.message().contains("pool 'c'"), "{error}");
    settle(&["b", "c", "a"]).expect("renumbered");
    let takes = books.read(|pages| pages.session(4)).expect("read").expect("there").rare.takes;
    assert_eq!(takes, [taken(1), taken(2)]);
    let charged = books.read(|pages| pages.charged(1)).expect("read");
    let own = charged.iter().filter(|row| row.slot == 4);
    assert_eq!(own.flat_map(|row| row.takes.clone()).collect::<Vec<_>>(), [taken(1)]);
}

#[test]
fn an_application_with_live_sessions_is_not_lost() {
    let (_dir, books) = store();
    let error =
        books.write(|ledger| ledger.settle_names(&names(&["shop"], &["a", "b"]), "x", true)).expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.message().contains("1 live sessions") && error.message().contains("'forum'"), "{error}");
    let error =
        books.write(|ledger| ledger.settle_names(&names(&["shop", "forum"], &["a"]), "x", true)).expect_err("refused");
    assert!(error.message().contains("pool 'b'"), "{error}");
    assert_eq!(books.read(|pages| pages.names()), Ok(names(&["shop", "forum"], &["a", "b"])));
}

#[test]
fn one_without_live_sessions_goes_with_its_tombstones_and_events() {
    let (_dir, books) = store();
    books.write(|ledger| ledger.delete_session(3, 3)).expect("ended");
    books.write(|ledger| ledger.settle_names(&names(&["shop"], &["b", "a"]), "x", true)).expect("renumbered");
    assert_eq!(books.read(|pages| pages.grave(1)), Ok(None));
    assert!(books.read(|pages| pages.grave(0)).expect("read").is_some());
    assert_eq!(books.read(|pages| pages.outbox_count()), Ok(1));
    assert_eq!(books.read(|pages| pages.dead_event_count()), Ok(1));
}

#[test]
fn a_lazy_session_and_the_clients_of_a_pool_follow_its_number() {
    let (_dir, books) = books();
    let ab = names(&["shop"], &["a", "b"]);
    let lazy = Lazy { pool: 1, until: LazyUntil::FirstWrite };
    books
        .write(|ledger| {
            ledger.settle_names(&ab, "1", true)?;
            ledger.insert_session(&SessionRow { lazy: Some(lazy), ..row(1) })?;
            ledger.set_client(1, "10.0.0.1", 3)
        })
        .expect("a store");
    assert_eq!(books.read(|pages| Ok(pages.session(1)?.and_then(|row| row.lazy))), Ok(Some(lazy)));
    // It holds nothing.
    assert_eq!(books.read(|pages| Ok(pages.charged(1)?.len())), Ok(0));
    let gone = books.write(|ledger| ledger.settle_names(&names(&["shop"], &["a"]), "2", true)).expect_err("its pool");
    assert!(gone.message().contains("1 live sessions"), "{gone}");
    books.write(|ledger| ledger.settle_names(&names(&["shop"], &["b", "a"]), "3", true)).expect("renumbered");
    let moved = books.read(|pages| Ok(pages.session(1)?.and_then(|row| row.lazy))).expect("read");
    assert_eq!(moved, Some(Lazy { pool: 0, ..lazy }));
    assert_eq!(books.read(|pages| Ok((pages.client(0, "10.0.0.1")?, pages.client(1, "10.0.0.1")?))), Ok((3, 0)));
}
