//! From a configuration to the table that it names.

use std::sync::Arc;

use super::table_config;
use crate::clock::Clock;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::store::Store;
use crate::table::Table;
use crate::table::memory::MemoryTable;

/// Opens the store; a store with a time of its own makes it the clock's.
pub(super) fn open_table(store: &Store, config: &Config, clock: &mut Clock) -> Result<Arc<dyn Table>> {
    match store {
        Store::Memory => Ok(Arc::new(MemoryTable::new(table_config(config, clock)))),
        Store::File(path) => open_file(path, config, clock),
        #[cfg(test)]
        Store::Test(name) => Ok(super::tests::store::open(name, table_config(config, clock))),
    }
}

/// Opens the table of a directory, which all processes of the machine share.
fn open_file(path: &std::path::Path, config: &Config, clock: &mut Clock) -> Result<Arc<dyn Table>> {
    let _rules = table_config(config, clock);
    Err(Error::invalid(format!("store 'file:{}' is not in this version; its only store is: memory", path.display())))
}
