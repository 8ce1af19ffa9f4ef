//! A pool is defined anew while sessions come, and while a unit is handed to who waits.

use libsession_core::*;

use super::check::play;
use super::shop::{LONG, Shop};

fn changes(shop: &Shop, change: fn(&mut Pool)) {
    let changed = shop.change_pool(
        "main",
        |pool: &mut Pool| {
            change(pool);
            Ok(())
        },
        None,
    );
    changed.expect("a change");
}

/// Two come while there are fewer units from one moment on.
fn lowers() {
    let shop = Shop::new(Pool::new("main", 2));
    let comers = [(); 2].map(|()| shop.thread(|shop| shop.create(CreateOptions::default()).is_ok()));
    changes(&shop, |pool| pool.capacity = 1);
    let came = comers.into_iter().map(|comer| comer.join().expect("a comer"));
    let in_use = came.filter(|made| *made).count() as u64;
    // What each was told is what the books say: two units before the change, one afterwards.
    let (mut capacity, mut units) = (2, 0);
    for record in shop.records() {
        assert_eq!(record.before, units, "a gap before {record:?}");
        match record.kind {
            AuditKind::Change => capacity = 1,
            AuditKind::Grant => assert!(record.after <= capacity, "too many units: {record:?}"),
            AuditKind::Denial => assert!(record.before >= capacity, "refused with a unit free: {record:?}"),
            _ => {}
        }
        units = record.after;
    }
    let usage = shop.use_of_pool();
    assert!(in_use >= 1 && (usage.in_use, usage.excess) == (in_use, in_use - 1), "{usage:?}");
    let audit = shop.audit("main").expect("an audit");
    assert_eq!((audit.counted, audit.recounted, audit.differences), (in_use, in_use, Vec::new()));
    assert_eq!(shop.check(), Ok(Vec::new()));
}

#[test]
fn who_comes_as_a_capacity_is_lowered_is_served_by_the_one_or_the_other() {
    play("a capacity is lowered as two come", 1, lowers);
}

/// The same where no records are kept: what each was told is what is in use.
fn lowers_without_records() {
    let shop = Shop::without_records(3);
    let first = shop.session().id;
    let comers = [(); 2].map(|()| shop.thread(|shop| shop.create(CreateOptions::default()).is_ok()));
    let goes = shop.thread(move |shop| drop(shop.ends(first)));
    changes(&shop, |pool| pool.capacity = 1);
    let came = comers.into_iter().map(|comer| comer.join().expect("a comer"));
    let in_use = came.filter(|made| *made).count() as u64;
    goes.join().expect("who goes");
    let usage = shop.use_of_pool();
    assert_eq!((usage.in_use, usage.excess, usage.high_water), (in_use, in_use.saturating_sub(1), 3), "{usage:?}");
    let audit = shop.audit("main").expect("an audit");
    assert_eq!((audit.counted, audit.recounted, audit.differences), (in_use, in_use, Vec::new()));
    assert_eq!(shop.check(), Ok(Vec::new()));
}

#[test]
fn who_comes_as_a_capacity_is_lowered_is_counted_where_no_records_are_kept() {
    play("a capacity is lowered, no records", 0, lowers_without_records);
}

/// A unit is given back to who waits, while nobody may begin to wait any more and units are held longer.
fn changes_as_a_unit_is_handed_on() {
    let shop = Shop::new(Pool { queue: 1, ..Pool::new("main", 1) });
    let first = shop.session().id;
    let comer = shop.thread(|shop| {
        let queue = QueueOptions::wait(LONG);
        shop.create(CreateOptions { queue, ..CreateOptions::default() }).map_err(|error| error.deny_reason())
    });
    let changer = shop.thread(|shop| {
        changes(shop, |pool| {
            pool.queue = 0;
            pool.low = 1;
        });
    });
    shop.ends(first);
    changer.join().expect("who changes it");
    // Who waits already keeps its place; who comes too late to wait is told so at once.
    match comer.join().expect("who waits") {
        Ok(_) => shop.is_exact(1),
        Err(reason) => {
            assert_eq!(reason, Some(DenyReason::PoolExhausted));
            shop.is_exact(0);
        }
    }
    shop.closes_down();
}

#[test]
fn a_change_takes_nothing_from_who_is_handed_a_unit() {
    play("a pool changes as a unit is handed on", 1, changes_as_a_unit_is_handed_on);
}
