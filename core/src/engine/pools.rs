//! License pools: their definitions, their marks, their accounts.

use super::{Engine, check_limit};
use crate::config::{Pool, PoolDifference};
use crate::error::{Error, ErrorKind, Result};
use crate::license::{Accounts, AuditRecord};
use crate::table::PoolUnchanged;

/// How often a change is worked out again when another one came first.
const TRIES: usize = 64;
/// The longest name of an actor or of a reader in bytes.
const MAX_ACTOR: usize = 256;
const MAX_READER: usize = 64;
/// Most records of one page of accounts.
const MAX_PAGE: usize = 10_000;

impl Engine {
    pub fn pool_in_force(&self, pool: &str) -> Result<Pool> {
        self.enter()?;
        Ok(self.table.pool(self.pool(pool)?)?.pool.clone())
    }

    pub fn change_pool(
        &self,
        pool: &str,
        change: &dyn Fn(&mut Pool) -> Result<()>,
        actor: Option<&str>,
    ) -> Result<Pool> {
        self.enter()?;
        let number = self.pool(pool)?;
        if let Some(actor) = actor.filter(|actor| actor.len() > MAX_ACTOR) {
            return Err(Error::invalid(format!("an actor of {} bytes is over the bound of {MAX_ACTOR}", actor.len())));
        }
        for _ in 0..TRIES {
            let now = self.table.pool(number)?;
            let mut to = now.pool.clone();
            change(&mut to)?;
            if to.name != now.pool.name {
                return Err(Error::invalid(format!(
                    "the name of pool '{pool}' can't be changed to '{}': sessions and applications are charged by it",
                    to.name
                )));
            }
            to.check()?;
            if now.pool.differences(&to).is_empty() {
                return Ok(to);
            }
            match self.table.change_pool(self.at(), number, now.revision, &to, actor)? {
                Ok(()) => {
                    self.pump_pools();
                    return Ok(to);
                }
                Err(PoolUnchanged::Redefined) => {}
                Err(PoolUnchanged::Held(why)) => return Err(Error::invalid(format!("pool '{pool}': {why}"))),
            }
        }
        let text =
            format!("pool '{pool}' was changed by others {TRIES} times in a row; nothing was changed; try again");
        Err(Error::new(ErrorKind::Unavailable, text))
    }

    pub fn pool_differences(&self) -> Result<Vec<PoolDifference>> {
        self.enter()?;
        let mut found = Vec::new();
        for (number, named) in (0..).zip(&self.config.pools) {
            found.extend(named.differences(&self.table.pool(number)?.pool));
        }
        Ok(found)
    }

    pub fn high_water(&self, pool: &str, reader: &str) -> Result<(u64, i64)> {
        self.enter()?;
        check_reader(reader)?;
        self.table.high_water(self.pool(pool)?, reader)
    }

    pub fn reset_high_water(&self, pool: &str, reader: &str) -> Result<()> {
        self.enter()?;
        check_reader(reader)?;
        if self.table.reset_high_water(self.at(), self.pool(pool)?, reader)? {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "64 readers have high-water marks of pool '{pool}': forget one before '{reader}' can have one"
        )))
    }

    pub fn forget_high_water(&self, pool: &str, reader: &str) -> Result<bool> {
        self.enter()?;
        check_reader(reader)?;
        self.table.forget_high_water(self.pool(pool)?, reader)
    }

    pub fn export_accounts(&self, pool: &str, after: u64, limit: usize) -> Result<Accounts> {
        self.enter()?;
        if !(1..=MAX_PAGE).contains(&limit) {
            return Err(Error::invalid(format!("a page of {limit} accounts is not between 1 and {MAX_PAGE}")));
        }
        Ok(Accounts::of(pool, after, &self.records(pool, after, limit)?))
    }

    pub fn audit_records(&self, pool: &str, after: u64, limit: usize) -> Result<Vec<AuditRecord>> {
        self.enter()?;
        check_limit(limit)?;
        self.records(pool, after, limit)
    }

    fn records(&self, pool: &str, after: u64, limit: usize) -> Result<Vec<AuditRecord>> {
        let mut records = self.table.audit_records(self.pool(pool)?, after, limit)?;
        let at = self.at();
        for record in &mut records {
            let ago = at.now.ms.saturating_sub(record.at_ms);
            record.wall_ms = at.wall.saturating_sub(i64::try_from(ago).unwrap_or(i64::MAX));
        }
        Ok(records)
    }
}

fn check_reader(reader: &str) -> Result<()> {
    match reader.len() {
        1..=MAX_READER => Ok(()),
        bytes => Err(Error::invalid(format!("the name of a reader has {bytes} bytes, not 1 to {MAX_READER}"))),
    }
}
