//! What the numbers of applications and pools mean, and whether everybody means the same.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::params;

use super::{Ledger, Pages, signed};
use crate::error::{Error, Result};

const APPLICATIONS: u32 = 0;
const POOLS: u32 = 1;
/// Where the configuration of whoever opened the store last is kept.
pub(in crate::table) const CONFIGURATION: &str = "configuration";
/// Where it is kept for those that open the store by what it says itself.
pub(in crate::table) const KEPT: &str = "kept";
/// Sessions that are renumbered at once.
const STEP: usize = 1024;

/// The names behind numbers: a name's position is its number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::table) struct Names {
    pub applications: Vec<Arc<str>>,
    pub pools: Vec<Arc<str>>,
}

/// New numbers of old ones; `None` for what is not configured any more.
struct Moves {
    applications: Vec<Option<u32>>,
    pools: Vec<Option<u32>>,
}

impl Moves {
    fn new(old: &Names, new: &Names) -> Self {
        let moves = |old: &[Arc<str>], new: &[Arc<str>]| {
            let numbers: HashMap<&str, u32> = new.iter().map(|name| &**name).zip(0..).collect();
            old.iter().map(|name| numbers.get(&**name).copied()).collect()
        };
        Self { applications: moves(&old.applications, &new.applications), pools: moves(&old.pools, &new.pools) }
    }

    fn is_nothing(&self) -> bool {
        let same = |moves: &[Option<u32>]| moves.iter().zip(0..).all(|(to, from)| *to == Some(from));
        same(&self.applications) && same(&self.pools)
    }
}

fn moved(moves: &[Option<u32>], number: u32) -> Option<u32> {
    moves.get(number as usize).copied().flatten()
}

impl Pages<'_> {
    /// The names that the numbers in the books stand for.
    pub fn names(&self) -> Result<Names> {
        let sql = "SELECT name FROM name WHERE kind = ?1 ORDER BY number";
        let of = |kind: u32| self.plains(sql, [kind], |row| row.get(0));
        Ok(Names { applications: of(APPLICATIONS)?, pools: of(POOLS)? })
    }
}

impl Ledger<'_> {
    /// Has the books count applications and pools as this configuration does. `configuration` is all of it that must be the
    /// same in every process, one item a line; `alone`: nobody else has the store open.
    ///
    /// Errors: `invalid` if others have the store open and were configured otherwise, or if live sessions are of an
    /// application or a pool that is not configured any more; nothing was changed.
    pub fn settle_names(&mut self, names: &Names, configuration: &str, alone: bool) -> Result<()> {
        let known = self.meta(CONFIGURATION)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        if !alone && let Some(known) = known.as_deref().filter(|known| *known != configuration) {
            return Err(differs(known, configuration, self.dir.display()));
        }
        let old = self.names()?;
        let moves = Moves::new(&old, names);
        if !moves.is_nothing() {
            self.check_gone(&old, &moves)?;
            self.renumber(&moves)?;
        }
        if old != *names {
            self.run("DELETE FROM name", [])?;
            for (kind, names) in [(APPLICATIONS, &names.applications), (POOLS, &names.pools)] {
                for (number, name) in (0_u32..).zip(names) {
                    let sql = "INSERT INTO name(kind, number, name) VALUES(?1, ?2, ?3)";
                    self.run(sql, params![kind, number, &**name])?;
                }
            }
        }
        if known.as_deref() != Some(configuration) {
            self.set_meta(CONFIGURATION, configuration.as_bytes())?;
        }
        Ok(())
    }

    /// Refuses to lose the application or the pool of a live session. Rows that can't be read are put aside: what they name
    /// counts for nothing.
    fn check_gone(&mut self, old: &Names, moves: &Moves) -> Result<()> {
        let (mut applications, mut pools) = (vec![0_u64; old.applications.len()], vec![0_u64; old.pools.len()]);
        let count = |counts: &mut Vec<u64>, number: u32| {
            if let Some(count) = counts.get_mut(number as usize) {
                *count += 1;
            }
        };
        let mut from = Some(0);
        while let Some(slot) = from {
            let page = self.sessions(slot, STEP)?;
            for row in page.rows {
                count(&mut applications, row.application);
                row.pools().into_iter().for_each(|pool| count(&mut pools, pool));
            }
            for slot in page.bad {
                self.quarantine(slot, "found unreadable while applications and pools were numbered anew")?;
            }
            from = page.next;
        }
        for (what, names, counts, to) in [
            ("application", &old.applications, &applications, &moves.applications),
            ("pool", &old.pools, &pools, &moves.pools),
        ] {
            let gone = names.iter().zip(counts).zip(to).find(|((_, count), to)| **count > 0 && to.is_none());
            if let Some(((name, count), _)) = gone {
                return Err(Error::invalid(format!(
                    "{count} live sessions in the store {} are of {what} '{name}', which is not configured; configure it, or \
                     end these sessions under the former configuration first; nothing was changed",
                    self.dir.display()
                )));
            }
        }
        Ok(())
    }

    fn renumber(&mut self, moves: &Moves) -> Result<()> {
        self.renumber_sessions(moves)?;
        self.renumber_graves(moves)?;
        self.renumber_events(moves)?;
        self.renumber_pools(moves)
    }

    fn renumber_sessions(&mut self, moves: &Moves) -> Result<()> {
        let mut from = Some(0);
        while let Some(slot) = from {
            let page = self.sessions(slot, STEP)?;
            for mut row in page.rows {
                let application = moved(&moves.applications, row.application);
                let before = row.application;
                row.application = application.unwrap_or(row.application);
                if row.move_pools(|pool| moved(&moves.pools, pool)) || before != row.application {
                    self.update_session(&row)?;
                }
            }
            from = page.next;
        }
        Ok(())
    }

    /// A tombstone of an application that is gone goes with it.
    fn renumber_graves(&mut self, moves: &Moves) -> Result<()> {
        let locators = self.plains("SELECT locator FROM grave", [], |row| super::sessions::number(row, 0))?;
        for locator in locators {
            let grave = self.grave(locator)?;
            let application = grave.as_ref().and_then(|grave| moved(&moves.applications, grave.application));
            match (grave, application) {
                (Some(grave), Some(application)) if grave.application == application => {}
                (Some(mut grave), Some(application)) => {
                    grave.application = application;
                    self.bury(locator, &grave, u64::MAX)?;
                }
                _ => {
                    self.run("DELETE FROM grave WHERE locator = ?1", [signed(locator)])?;
                    self.count_fallen(1)?;
                }
            }
        }
        Ok(())
    }

    /// An event of an application that is gone can't be told any more.
    fn renumber_events(&mut self, moves: &Moves) -> Result<()> {
        let sql = "SELECT event_id, application FROM event";
        let events = self.plains(sql, [], |row| Ok((super::sessions::number(row, 0)?, row.get::<_, u32>(1)?)))?;
        for (event_id, application) in events {
            match moved(&moves.applications, application) {
                Some(to) if to == application => {}
                Some(to) => self.move_event(event_id, to)?,
                None => self.bury_event(event_id)?,
            }
        }
        Ok(())
    }

    fn renumber_pools(&mut self, moves: &Moves) -> Result<()> {
        // Over numbers that nobody has, so that two may change places.
        let aside = 1_i64 << 32;
        for (table, key) in [
            ("tally", "k"),
            ("holder", "pool"),
            ("client", "pool"),
            ("orphan", "pool"),
            ("audit", "pool"),
            ("definition", "pool"),
            ("reader", "pool"),
        ] {
            self.run(&format!("UPDATE {table} SET {key} = {key} + ?1 WHERE {key} >= 0"), [aside])?;
            for (old, new) in (0_u64..).zip(&moves.pools) {
                if let Some(new) = new {
                    let sql = format!("UPDATE {table} SET {key} = ?2 WHERE {key} = ?1");
                    self.run(&sql, params![aside + signed(old), new])?;
                }
            }
            self.run(&format!("DELETE FROM {table} WHERE {key} >= ?1"), [aside])?;
        }
        self.renumber_denials(&moves.pools)
    }
}

/// The first line by which two configurations differ.
fn differs(known: &str, ours: &str, dir: impl std::fmt::Display) -> Error {
    let (mut known, mut ours) = (known.lines(), ours.lines());
    let (theirs, here) = loop {
        match (known.next(), ours.next()) {
            (Some(theirs), Some(here)) if theirs == here => {}
            (theirs, here) => break (theirs.unwrap_or("nothing"), here.unwrap_or("nothing")),
        }
    };
    Error::invalid(format!(
        "the store {dir} is open in another process with another configuration: there it says '{theirs}', here '{here}'; \
         configure all processes alike, or close all others before changing the configuration"
    ))
}
