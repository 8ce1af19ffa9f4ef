//! From a configuration to the table that it names.

use std::sync::Arc;

use super::table_config;
use crate::clock::Clock;
use crate::config::Config;
use crate::error::Result;
use crate::event::letter_box::LetterBox;
use crate::store::Store;
use crate::table::Table;
use crate::table::memory::MemoryTable;
use crate::table::shared::{SharedOptions, SharedTable};

/// A table, and where its dead letters are if they are not each dispatcher's own.
type Opened = (Arc<dyn Table>, Option<Arc<dyn LetterBox>>);

/// Opens the store; a store with a time of its own makes it the clock's.
pub(super) fn open_table(store: &Store, config: &Config, clock: &mut Clock) -> Result<Opened> {
    match store {
        Store::Memory => Ok((Arc::new(MemoryTable::new(table_config(config, clock))), None)),
        Store::File(path) => {
            let table = open_file(path, config, clock)?;
            Ok((table.clone(), Some(table)))
        }
        #[cfg(test)]
        Store::Test(name) => Ok((super::tests::store::open(name, table_config(config, clock)), None)),
    }
}

/// Fills a configuration with what the store says of it that it names.
pub(super) fn adopt(store: &Store, config: &mut Config) -> Result<()> {
    config.check_adopts()?;
    let Store::File(path) = store else { return Ok(()) };
    let found = SharedTable::found(path)?;
    config.take_kept(&found.kept)?;
    config.pools = found.pools;
    Ok(())
}

/// Opens the table of a directory, which all processes of the machine share.
fn open_file(path: &std::path::Path, config: &Config, clock: &mut Clock) -> Result<Arc<SharedTable>> {
    let options = SharedOptions {
        durability: config.durability,
        clock: clock.clone(),
        threads: config.threads,
        hooks: config.thread_hooks.clone(),
        label: config.label.clone(),
        dead_letters: (config.dead_letters, config.dead_letter_bytes),
        kept: config.kept(),
        guest: config.adopt,
    };
    let table = SharedTable::open(path, table_config(config, clock), options)?;
    *clock = table.clock().clone();
    Ok(table)
}
