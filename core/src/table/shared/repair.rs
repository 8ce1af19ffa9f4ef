//! Counters and pools counted again from what is there.

use std::sync::atomic::Ordering::{Relaxed, Release};

use super::SharedTable;
use crate::engine::words::shown;
use crate::error::Result;
use crate::license::recount;
use crate::reason::LicenseClass;
use crate::table::*;

impl SharedTable {
    /// Counts what is in the books.
    pub(super) fn recount_counters(&self) -> Result<()> {
        let counters = &self.map.head().counters;
        let (live, applications, graves, events) = self.books.read(|pages| {
            Ok((pages.count()?, pages.counts_by_application()?, pages.grave_count()?, pages.outbox_count()?))
        })?;
        counters.live.store(live, Release);
        counters.peak.fetch_max(live, Relaxed);
        for (number, counter) in counters.applications.iter().enumerate() {
            let live = applications.iter().find(|(other, _)| *other as usize == number).map_or(0, |(_, live)| *live);
            counter.store(live, Release);
        }
        counters.tombstones.store(graves, Relaxed);
        counters.outbox.store(events, Relaxed);
        Ok(())
    }

    /// Counts the units again that live sessions hold; a difference is repaired and told.
    pub(super) fn repair_pools(&self) -> Result<()> {
        for pool in 0..self.config.pools.len() as u32 {
            let definition = &self.pool_in_force(pool)?.rules;
            let audit = self.audit_pool(pool)?;
            if audit.counted == audit.recounted
                && audit.differences.iter().all(|text| text.contains(" units are in use"))
            {
                continue;
            }
            for difference in &audit.differences {
                ::log::error!(target: "libsession", "pool '{}' is repaired: {}", definition.name, shown(difference));
            }
            let writer = self.writer()?;
            let done = writer.commit(|ledger| {
                let mut totals = ledger.pool(pool)?;
                let mut anonymous = 0;
                let mut connections = std::collections::HashMap::new();
                let mut clients = std::collections::HashMap::new();
                for row in ledger.charged(pool)? {
                    if let Some(client) = row.client() {
                        *clients.entry(client.clone()).or_insert(0) += 1;
                    }
                    let own = row.charge.as_ref().filter(|charge| charge.holder == Holder::Session);
                    anonymous += u64::from(own.is_some_and(Charge::is_anonymous));
                    for (holder, count) in row.charges() {
                        if let Some(name) = holder.booked() {
                            *connections.entry(name.clone()).or_insert(0) += count;
                        }
                    }
                }
                let orphans = ledger.orphans(pool)?;
                anonymous += orphans.iter().filter(|orphan| orphan.anonymous).count() as u64;
                let mut lingering = orphans.len() as u64;
                totals.reserved.clear();
                let mut before: std::collections::HashMap<_, _> = ledger.holders(pool)?.into_iter().collect();
                for user in before.keys() {
                    connections.entry(user.clone()).or_insert(0);
                }
                for (user, count) in connections {
                    let holder = recount::holder(definition, self.clock.now().ms, count, before.remove(&user));
                    if let Some(holder) = &holder {
                        lingering += holder.lingering;
                        if Holder::of(user.clone()).class_of_takes() == LicenseClass::Anonymous {
                            anonymous += holder.units;
                        }
                        holder.count_reserved(&mut totals.reserved);
                    }
                    ledger.set_holder(pool, &user, holder)?;
                }
                ledger.clear_clients(pool)?;
                for (client, sessions) in clients {
                    ledger.set_client(pool, &client, sessions)?;
                }
                let waiters = ledger.waiters(pool, 0, i64::MAX as usize)?;
                totals.waiting = waiters.len() as u64;
                totals.offered = 0;
                for waiter in &waiters {
                    totals.offered += waiter.offered();
                    anonymous += if waiter.anonymous() { waiter.offered() } else { 0 };
                    waiter.count_reserved(&mut totals.reserved);
                }
                totals.anonymous = anonymous;
                totals.lingering = lingering;
                totals.in_use = audit.recounted;
                ledger.set_pool(pool, &totals)
            });
            self.done(writer, false)?;
            done?;
        }
        Ok(())
    }
}
