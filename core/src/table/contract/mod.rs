//! What every table promises, as checks that any table can run: each verb, each outcome, each race.
//!
//! Whoever adds a table runs [`contract`] over it with the feature `contract` and is done when it returns nothing.
//!
//! ```
//! use std::sync::Arc;
//! use libsession_core::table::{contract::contract, memory::MemoryTable};
//!
//! let violations = contract(&|config| Arc::new(MemoryTable::new(config)));
//! assert!(violations.is_empty(), "{violations:#?}");
//! ```

mod data;
mod desk;
mod evict;
mod features;
mod lazy;
mod licenses;
mod life;
mod lock;
mod race;
mod race_more;
mod schedules;
mod seeing;
mod time;

#[cfg(test)]
mod tests;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use self::desk::{Ground, Outcome};
use super::{Table, TableConfig};

/// A promise that a table broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The promise, as a sentence.
    pub promise: &'static str,
    /// What was seen instead.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "broken: {}: {}", self.promise, self.text)
    }
}

/// One promise and how it is checked.
type Promise = (&'static str, fn(&Ground<'_>) -> Outcome);

/// Runs every promise over fresh tables that `make` opens, and tells which are broken; none is the aim.
///
/// A table may refuse a configuration only by a panic, which breaks the promise that asked for it. Takes a few seconds on
/// two cores; a wait that never ends is given up after ten seconds of real time. Threads: it starts its own.
pub fn contract(make: &dyn Fn(TableConfig) -> Arc<dyn Table>) -> Vec<Violation> {
    let promises = promises();
    promises.filter_map(|promise| keep(make, promise)).collect()
}

/// The promises, as sentences.
pub fn names() -> Vec<&'static str> {
    promises().map(|(name, _)| name).collect()
}

fn promises() -> impl Iterator<Item = Promise> {
    let rooms = [
        life::PROMISES,
        time::PROMISES,
        data::PROMISES,
        lock::PROMISES,
        licenses::PROMISES,
        evict::PROMISES,
        features::PROMISES,
        lazy::PROMISES,
        seeing::PROMISES,
        race::PROMISES,
        race_more::PROMISES,
        schedules::PROMISES,
    ];
    rooms.into_iter().flatten().copied()
}

fn keep(make: &dyn Fn(TableConfig) -> Arc<dyn Table>, (promise, check): Promise) -> Option<Violation> {
    let ground = Ground { make };
    let text = match catch_unwind(AssertUnwindSafe(|| check(&ground))) {
        Ok(Ok(())) => return None,
        Ok(Err(text)) => text,
        Err(payload) => match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
            (Some(text), _) => format!("panic: {text}"),
            (_, Some(text)) => format!("panic: {text}"),
            _ => "panic".to_owned(),
        },
    };
    Some(Violation { promise, text })
}
