//! Seeing: listings, details, usage, recounts.

use std::time::Duration;

use super::MemoryTable;
use super::cold::Cold;
use super::slot::{FREE, Place, Slot};
use crate::clock::{Millis, NEVER};
use crate::license::recount::{Charged, holder_name};
use crate::reason::{EndReason, LockMode};
use crate::session::{Filter, RequestInfo, SessionInfo, State};
use crate::sync::atomic::Ordering;
use crate::table::due::Next;
use crate::table::*;

impl MemoryTable {
    pub(super) fn info(&self, at: At, id: SessionId, slot: &Slot, cold: &Cold) -> SessionInfo {
        let rule = self.application(slot.application());
        let (deadline, _) = self.deadline_of(at.now, slot);
        let idle = slot.idle.ms();
        let used = self.last_used(at.now, slot, cold);
        let slept = self.idle_now(at.now) - at.now.ms;
        SessionInfo {
            id,
            state: if cold.had_request() { State::Active } else { State::New },
            application: rule.name.clone(),
            namespace: rule.namespace.clone(),
            user: cold.user().cloned(),
            created_ms: slot.created.ms(),
            created_at: cold.wall(self.expected_wall(slot)),
            last_used_ms: used.saturating_sub(slept),
            idle_timeout: duration(idle),
            absolute_timeout: duration(self.absolute_timeout(slot, cold)),
            deadline_ms: (deadline < NEVER).then_some(deadline),
            immortal: idle == 0,
            overdue: at.now.ms >= deadline,
            in_flight: u32::try_from(cold.requests().count()).unwrap_or(u32::MAX),
            license: self.charge(slot, cold).map(|charge| {
                let pool = self.pool_names[charge.pool as usize].clone();
                (holder_name(id, &charge.holder), pool)
            }),
            features: features(&self.config.pools, id, cold.takes()),
            data_bytes: cold.bytes(),
            client: cold.extra().and_then(|extra| extra.client.as_deref().cloned()).unwrap_or_default(),
        }
    }

    pub(super) fn details(&self, at: At, slot: &Slot, cold: &Cold) -> Details {
        let rare = cold.rare();
        let next = match self.next_of(at.now, slot, cold) {
            Next::Never => None,
            Next::Ask(at) => Some(("its event classes are asked before the deadline".to_owned(), at)),
            Next::End(at, reason) => Some((format!("it ends with {reason}"), at)),
            Next::Request(at) => Some(("its oldest request counts as finished".to_owned(), at)),
        };
        Details {
            requests: cold
                .requests()
                .map(|record| RequestInfo {
                    started_ms: record.start,
                    touch: record.touch,
                    lock: (record.lock != LockMode::None).then_some(record.lock),
                    process: crate::fork::process(),
                })
                .collect(),
            lock_waiters: rare.map_or(0, |rare| rare.waiters.len()),
            extensions: rare.map_or_else(Vec::new, |rare| rare.extension.history.clone()),
            classes: self.classes(slot, cold).to_vec(),
            damaged: cold.damaged(),
            next,
            trace: rare
                .and_then(|rare| rare.trace.as_ref())
                .map_or_else(Vec::new, |trace| trace.iter().cloned().collect()),
            end_requested: cold.end_requested(),
            lazy: self.lazy(slot).map(|lazy| (self.config.pools[lazy.pool as usize].name.as_str().into(), lazy.until)),
            ends: Some(self.ends_unused(at.now, slot, cold)).filter(|ends| *ends < NEVER),
            charges: self.endings(at.now, slot, cold, None),
        }
    }

    /// Shows every live session from a slot on until `look` says stop; answers the next slot.
    pub(super) fn scan(&self, from: u32, mut look: impl FnMut(u32, &Slot, &Cold) -> bool) -> Option<u32> {
        for index in from..self.region.len() {
            let Some((slot, cold)) = self.region.get(index) else { continue };
            // Also one that looks free: somebody may hold it who makes a session that is charged already, or ends one that still is.
            let cold = cold.lock();
            if slot.state().deadline() == FREE {
                continue;
            }
            if let Some(cold) = cold.as_ref()
                && !look(index, slot, cold)
            {
                return Some(index + 1);
            }
        }
        None
    }

    pub(super) fn page(
        &self,
        at: At,
        filter: &Filter,
        cursor: u64,
        limit: usize,
        scan: usize,
    ) -> (Vec<(SessionRef, SessionInfo)>, Option<u64>) {
        let mut found = Vec::new();
        let mut looked = 0;
        let Ok(from) = u32::try_from(cursor) else { return (found, None) };
        let next = self.scan(from, |index, slot, cold| {
            looked += 1;
            let place = Place { index, generation: slot.state().generation() };
            let id = self.keys.id(place, cold.random());
            let info = self.info(at, id, slot, cold);
            if filter::matches(filter, &info, cold.damaged(), at.now.ms) {
                found.push((SessionRef { id, place: place.locator() }, info));
            }
            found.len() < limit && looked < scan
        });
        (found, next.filter(|next| *next < self.region.len()).map(u64::from))
    }

    /// Every session charged to a pool.
    pub(super) fn charged(&self, pool: u32) -> Vec<Charged> {
        let mut charged = Vec::new();
        self.scan(0, |index, slot, cold| {
            let license = self.charge(slot, cold).filter(|charge| charge.pool == pool);
            let mut takes = cold.takes().iter().filter(|taken| taken.pool == pool).peekable();
            if license.is_some() || takes.peek().is_some() {
                let place = Place { index, generation: slot.state().generation() };
                let session = self.keys.id(place, cold.random());
                let since = Self::licensed_since(slot, cold);
                charged.extend(license.map(|charge| Charged::license(session, charge, since)));
                charged.extend(takes.map(|taken| Charged::taken(session, taken)));
            }
            true
        });
        charged
    }

    pub(super) fn audit_pool(&self, _at: At, pool: u32) -> Audit {
        let account = &self.accounts[pool as usize];
        let (counted, recounted, differences) = account.audit(|| self.charged(pool));
        Audit { pool: self.pool_names[pool as usize].clone(), counted, recounted, differences }
    }

    fn ended(&self) -> u64 {
        self.counters.ended.iter().map(|count| count.load(Ordering::Acquire)).sum()
    }

    pub(super) fn violations(&self, at: At) -> Vec<String> {
        let mut violations = Vec::new();
        for pool in 0..self.accounts.len() as u32 {
            let audit = self.audit_pool(at, pool);
            violations.extend(audit.differences.into_iter().map(|text| format!("pool '{}': {text}", audit.pool)));
        }
        // What is wrong with a session is seen under its lock. Numbers are compared only if nothing moved meanwhile: what
        // only grows is read first before the scan and last after it, so that no change hides behind another. A creation
        // that is refused leaves no trace in what grows, so one undisturbed scan alone does not convict a number.
        let grown = || (self.counters.created.load(Ordering::Acquire), self.ended());
        let counted = || -> (u64, Vec<u64>) {
            let applications = self.counters.applications.iter().map(|count| count.load(Ordering::Acquire)).collect();
            (self.counters.live.load(Ordering::Acquire), applications)
        };
        let mut suspected = None;
        for last in [false, false, false, true] {
            let mut live = 0;
            let mut applications = vec![0_u64; self.config.applications.len()];
            let mut unfiled = Vec::new();
            let grown_before = grown();
            let counted_before = counted();
            self.scan(0, |index, slot, cold| {
                let id = || self.keys.id(Place { index, generation: slot.state().generation() }, cold.random());
                live += 1;
                applications[slot.application() as usize] += 1;
                let filed = slot.filed_at();
                let next = match self.next_of(at.now, slot, cold) {
                    // A touch files nothing: when the absolute deadline becomes the first, whose lead is longer, the
                    // question about it comes at the instant of the one before; the end is never late.
                    Next::Ask(_) => self.deadline_of(at.now, slot).0,
                    next => next.at(),
                };
                if next < NEVER && filed.is_none_or(|filed| filed > next) {
                    unfiled.push(format!("session {} falls due at {next} ms and is filed at {filed:?}", id()));
                }
                let (deadline, _) = self.deadline_of(at.now, slot);
                if at.now.ms > deadline.saturating_add(1000) && deadline < NEVER {
                    unfiled.push(format!("session {} is overdue since {} ms", id(), at.now.ms - deadline));
                }
                true
            });
            let undisturbed = counted_before == counted() && grown_before == grown();
            let wrong = if undisturbed { self.miscounted(live, &applications, counted_before) } else { Vec::new() };
            if undisturbed && (wrong.is_empty() || suspected.as_ref() == Some(&wrong)) {
                violations.extend(wrong);
                violations.extend(unfiled);
                break;
            }
            if undisturbed {
                suspected = Some(wrong);
            }
            if last {
                violations.append(&mut unfiled);
            }
        }
        violations
    }

    /// The numbers that differ from what a scan found.
    fn miscounted(&self, live: u64, applications: &[u64], counted: (u64, Vec<u64>)) -> Vec<String> {
        let mut wrong = Vec::new();
        if live != counted.0 {
            wrong.push(format!("sessions: {} counted, {live} live", counted.0));
        }
        for (rule, (live, counted)) in self.config.applications.iter().zip(applications.iter().zip(&counted.1)) {
            if live != counted {
                wrong.push(format!("sessions of application '{}': {counted} counted, {live} live", rule.name));
            }
        }
        wrong
    }

    pub(super) fn table_stats(&self) -> TableStats {
        let counters = &self.counters;
        let (lateness_max, lateness_p99) = self.lateness();
        let in_flight: i64 = self.shards.iter().map(|shard| shard.in_flight.load(Ordering::Relaxed)).sum();
        TableStats {
            live: counters.live.load(Ordering::Relaxed),
            peak: counters.peak.load(Ordering::Relaxed),
            created: counters.created.load(Ordering::Relaxed),
            ended: EndReason::ALL
                .iter()
                .map(|reason| (*reason, counters.ended[*reason as usize - 1].load(Ordering::Relaxed)))
                .collect(),
            in_flight: u64::try_from(in_flight).unwrap_or(0),
            license_waiters: 0,
            lock_waiters: counters.waiters.load(Ordering::Relaxed),
            tombstones: self.graves.len() as u64,
            damaged: counters.damaged.load(Ordering::Relaxed),
            replaced_token_uses: counters.replaced_uses.load(Ordering::Relaxed),
            lateness_max,
            lateness_p99,
        }
    }
}

fn duration(ms: Millis) -> Option<Duration> {
    (ms > 0).then(|| Duration::from_millis(ms))
}
