//! The memory table keeps every promise; each broken table breaks the right one.

mod broken;
mod wrapper;

use std::sync::Arc;

use self::broken::{Broken, Kind};
use super::{contract, keep, names, promises};
use crate::table::memory::MemoryTable;

#[test]
fn the_memory_table_keeps_every_promise() {
    let violations = contract(&|config| Arc::new(MemoryTable::new(config)));
    assert!(violations.is_empty(), "{}", violations.iter().map(|one| format!("\n{one}")).collect::<String>());
}

#[test]
fn every_promise_has_a_name_of_its_own() {
    let mut all = names();
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count);
}

#[test]
fn every_break_is_found_by_the_right_promise() {
    for kind in Kind::ALL {
        let (promise, check) = promises().find(|(name, _)| *name == kind.breaks()).expect("a promise of that name");
        let violation = keep(&|config| Arc::new(Broken::new(config, *kind)), (promise, check));
        assert!(violation.is_some(), "{kind:?} does not break: {promise}");
    }
}

#[test]
fn a_wrapper_that_breaks_nothing_keeps_every_promise() {
    let violations = contract(&|config| Arc::new(Broken::new(config, Kind::Nothing)));
    assert!(violations.is_empty(), "{violations:#?}");
}
