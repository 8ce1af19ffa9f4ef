//! Seeing: listings, details, usage, recounts.

use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::time::Duration;

use super::SharedTable;
use super::books::{ChargedRow, SessionRow};
use super::layout::flags;
use super::patience::Less;
use super::visit::{Held, Name, live, ok};
use crate::clock::{Millis, NEVER};
use crate::error::Result;
use crate::license::recount::{self, Charged, holder_name};
use crate::reason::{EndReason, LockMode, ThreadKind};
use crate::session::{Filter, RequestInfo, SessionInfo, State};
use crate::table::due::Next;
use crate::table::slot::Place;
use crate::table::*;

/// Slots that one step of a check holds up.
const CHECKED: u32 = 256;

impl SharedTable {
    fn info(&self, at: At, held: &Held<'_>, row: &SessionRow) -> SessionInfo {
        let rule = self.application(held.application());
        let (deadline, _) = self.deadline_of(at.now, held);
        let slept = self.idle_now(at.now) - at.now.ms;
        let id = held.id();
        SessionInfo {
            id,
            state: if held.has(flags::HAD_REQUEST) { State::Active } else { State::New },
            application: rule.name.clone(),
            namespace: rule.namespace.clone(),
            user: row.user.clone(),
            created_ms: row.created,
            created_at: row.wall,
            last_used_ms: self.last_used(at.now, held).saturating_sub(slept),
            idle_timeout: duration(held.idle.ms()),
            absolute_timeout: duration(self.absolute_timeout(held)),
            deadline_ms: (deadline < NEVER).then_some(deadline),
            immortal: held.idle.ms() == 0,
            overdue: at.now.ms >= deadline,
            in_flight: u32::try_from(self.flights(held).count()).unwrap_or(u32::MAX),
            license: row.charge.as_ref().map(|charge| {
                let pool = self.config.pools[charge.pool as usize].name.as_str().into();
                (holder_name(id, &charge.holder), pool)
            }),
            features: features(&self.config.pools, id, &row.rare.takes),
            data_bytes: if held.peeks() { None } else { self.tree(held).ok().map(|tree| tree.bytes_used()) },
            client: row.rare.client.clone(),
        }
    }

    fn details(&self, at: At, held: &Held<'_>, row: SessionRow) -> Details {
        let next = match self.next_of(at.now, held) {
            Next::Never => None,
            Next::Ask(at) => Some(("its event classes are asked before the deadline".to_owned(), at)),
            Next::End(at, reason) => Some((format!("it ends with {reason}"), at)),
            Next::Request(at) => Some(("its oldest request counts as finished".to_owned(), at)),
        };
        let mut requests: Vec<_> = self
            .flights(held)
            .map(|flight| RequestInfo {
                started_ms: flight.start,
                touch: flight.touch,
                lock: (flight.lock != LockMode::None).then_some(flight.lock),
                process: self.participant(flight.owner).pid.load(Relaxed),
            })
            .collect();
        // The list is the newest first.
        requests.reverse();
        Details {
            ends: Some(self.ends_unused(at.now, held)).filter(|ends| *ends < NEVER),
            charges: self.endings(at.now, held, &row, None),
            requests,
            lock_waiters: held.waiters() as usize,
            extensions: row.rare.extension.history,
            classes: row.rare.classes,
            damaged: held.has(flags::DAMAGED),
            next,
            trace: row.rare.trace,
            end_requested: held.has(flags::END_REQUESTED),
            lazy: row.lazy.map(|lazy| (self.config.pools[lazy.pool as usize].name.as_str().into(), lazy.until)),
        }
    }

    pub(super) fn look_at(&self, at: At, session: SessionRef) -> Found<(SessionInfo, Details)> {
        let flush = {
            let visit = live!(self.visit(at, Name::Session(session), ThreadKind::Admin));
            visit.held.has(flags::TRACE)
        };
        if flush {
            let _less = Less::is_tried_again();
            match self.flush() {
                // Its last lines come later.
                Err(error) if error.kind() == crate::ErrorKind::Unavailable => {}
                flushed => ok!(flushed),
            }
        }
        let visit = live!(self.visit(at, Name::Session(session), ThreadKind::Admin));
        let row = ok!(self.row(&visit.held));
        let info = self.info(at, &visit.held, &row);
        Found::Live((info, self.details(at, &visit.held, row)))
    }

    pub(super) fn card_of(&self, at: At, session: SessionRef) -> Found<Card> {
        let visit = live!(self.visit(at, Name::Session(session), ThreadKind::Request));
        let held = &visit.held;
        let row = ok!(self.row(held));
        let rule = self.application(held.application());
        let absolute = Self::absolute_to_engine(held.absolute.ms(), at.now);
        let snapshot = match self.tree(held) {
            Ok(tree) => Some(tree),
            Err(error) if error.kind() == crate::ErrorKind::Corrupt => None,
            Err(error) => return Found::Failed(error),
        };
        Found::Live(Card {
            session: visit.session,
            application: held.application(),
            snapshot,
            idle: held.idle.ms(),
            may_extend: super::due::extensions_used(held, &row) < rule.max_extensions && absolute > at.now.ms,
            absolute_deadline: absolute,
            user: row.user,
            classes: row.rare.classes.into(),
            charge: row.charge,
            lazy: row.lazy,
            brief: row.brief,
        })
    }

    /// Holds a slot to look at it; one that another process holds and does not go on is looked at all the same.
    fn hold_or_peek(&self, index: u32) -> Result<Option<Held<'_>>> {
        let _less = Less::is_tried_again();
        match self.hold(index) {
            Err(error) if error.kind() == crate::ErrorKind::Unavailable => {
                Ok(self.map.slot(index).map(|slot| Held::peek(self, index, slot)))
            }
            held => held,
        }
    }

    pub(super) fn page(&self, at: At, filter: &Filter, cursor: u64, limit: usize, scan: usize) -> Result<Listed> {
        self.after_dead_writer();
        let mut found = Vec::new();
        let mut looked = 0;
        let Ok(from) = u32::try_from(cursor) else { return Ok((found, None)) };
        let slots = &self.map.head().slots.next;
        let mut index = from;
        while index < slots.load(Acquire) {
            let here = index;
            index += 1;
            let known = self.map.slot(here).is_some_and(|slot| slot.hot.state().deadline() != crate::table::slot::FREE);
            if !known {
                continue;
            }
            let Some(held) = self.hold_or_peek(here)?.filter(Held::taken) else { continue };
            looked += 1;
            match self.row(&held) {
                Ok(row) => {
                    let info = self.info(at, &held, &row);
                    let damaged = held.has(flags::DAMAGED);
                    if crate::table::filter::matches(filter, &info, damaged, at.now.ms) {
                        found.push((held.session(), info));
                    }
                }
                Err(error) if error.kind() == crate::ErrorKind::Corrupt => {
                    ::log::error!(target: "libsession", "{}", error.message());
                }
                Err(error) => return Err(error),
            }
            if found.len() >= limit || looked >= scan {
                break;
            }
        }
        let next = (index < slots.load(Acquire)).then_some(u64::from(index));
        Ok((found, next))
    }

    fn charged(&self, rows: Vec<ChargedRow>) -> Vec<Charged> {
        let charged = rows.into_iter().flat_map(|row| {
            let session = self.keys.id(Place { index: row.slot, generation: row.generation }, row.random);
            let license = row.charge.map(|charge| Charged::license(session, charge, row.since));
            license.into_iter().chain(row.takes.into_iter().map(move |taken| Charged::taken(session, &taken)))
        });
        charged.collect()
    }

    pub(super) fn pool_usage(&self, at: At, pool: u32) -> Result<Usage> {
        let (totals, denials, defined, holders, orphans, rows) = self.with_denials(|pages, waiting| {
            let mut totals = pages.pool(pool)?;
            let mut denials = pages.denials(pool)?;
            waiting.count(pool, &mut totals, &mut denials);
            let defined = self.defined(pages, pool, totals.revision)?;
            Ok((totals, denials, defined, pages.holders(pool)?, pages.orphans(pool)?, pages.charged(pool)?))
        })?;
        let (holders, orphans) = (holders.into_iter(), orphans.into_iter());
        Ok(recount::usage(&defined.rules, at, (&totals, denials), holders, orphans, self.charged(rows)))
    }

    pub(super) fn audit_pool(&self, pool: u32) -> Result<Audit> {
        let (totals, defined, holders, orphans, waiters, rows, clients) = self.books.read(|pages| {
            let totals = pages.pool(pool)?;
            let defined = self.defined(pages, pool, totals.revision)?;
            let orphans = pages.orphans(pool)?.len() as u64;
            let waiters = pages.waiters(pool, 0, i64::MAX as usize)?;
            let clients = pages.clients(pool)?;
            Ok((totals, defined, pages.holders(pool)?, orphans, waiters, pages.charged(pool)?, clients))
        })?;
        let users = holders.iter().map(|(user, holder)| (&**user, *holder));
        let sessions = rows.iter().flat_map(ChargedRow::charges);
        let (recounted, mut differences) =
            recount::recount(&defined.rules, &totals, users, orphans, &waiters, sessions);
        let clients = clients.iter().map(|(client, sessions)| (&**client, *sessions));
        let counted = rows.iter().filter_map(ChargedRow::client).map(|client| &**client);
        differences.extend(recount::recount_clients(clients, counted));
        Ok(Audit { pool: defined.rules.name.clone(), counted: totals.in_use, recounted, differences })
    }

    pub(super) fn violations(&self, at: At) -> Result<Vec<String>> {
        let mut violations = Vec::new();
        for pool in 0..self.config.pools.len() as u32 {
            let audit = self.audit_pool(pool)?;
            violations.extend(audit.differences.into_iter().map(|text| format!("pool '{}': {text}", audit.pool)));
        }
        let mut from = 0;
        while from < self.map.head().slots.next.load(Acquire) {
            self.check_slots(at, from, &mut violations)?;
            from += CHECKED;
        }
        // Whoever creates or ends has the writer's word: under it the numbers are of one instant.
        let writer = self.writer()?;
        let (live, applications) = self.books.read(|pages| Ok((pages.count()?, pages.counts_by_application()?)))?;
        let counters = &self.map.head().counters;
        let counted = counters.live.load(Acquire);
        if counted != live {
            violations.push(format!("sessions: {counted} counted, {live} live"));
        }
        for (number, rule) in self.config.applications.iter().enumerate() {
            let counted = counters.applications[number].load(Acquire);
            let live = applications.iter().find(|(other, _)| *other as usize == number).map_or(0, |(_, live)| *live);
            if counted != live {
                let name = &rule.name;
                violations.push(format!("sessions of application '{name}': {counted} counted, {live} live"));
            }
        }
        self.done(writer, false)?;
        Ok(violations)
    }

    /// Compares some slots with their rows, while nobody changes the books.
    fn check_slots(&self, at: At, from: u32, violations: &mut Vec<String>) -> Result<()> {
        let writer = self.writer()?;
        let page = self.books.glance(|pages| pages.sessions(from, CHECKED as usize))?;
        let mut rows = page.rows.into_iter().peekable();
        for index in from..(from + CHECKED).min(self.map.head().slots.next.load(Acquire)) {
            if page.bad.contains(&index) {
                violations.push(format!("the record of slot {index} can't be read"));
                continue;
            }
            let row = rows.next_if(|row| row.slot == index);
            let Some(held) = self.hold(index)? else { continue };
            let Some(row) = row.filter(|row| row.generation == held.state().generation()) else {
                if held.taken() {
                    violations.push(format!("session {} is live and not in the books", held.id()));
                }
                continue;
            };
            if !held.taken() {
                violations.push(format!("slot {index} is free and in the books"));
                continue;
            }
            let id = held.id();
            if (row.random, row.verifier, row.application) != (held.random(), held.verifier(), held.application()) {
                violations.push(format!("session {id} is another one in the books"));
            }
            let filed = held.filed_at();
            let (deadline, _) = self.deadline_of(at.now, &held);
            let next = match self.next_of(at.now, &held) {
                // A touch files nothing: when the absolute deadline becomes the first, whose lead is longer, the
                // question about it comes at the instant of the one before; the end is never late.
                Next::Ask(_) => deadline,
                next => next.at(),
            };
            let due = &self.map.head().due;
            // Until somebody has looked at all slots again, they are not filed.
            let told = due.filled.load(Acquire) == due.rescan.load(Acquire);
            if told && next < NEVER && filed.is_none_or(|filed| filed > next) {
                violations.push(format!("session {id} falls due at {next} ms and is filed at {filed:?}"));
            }
            if at.now.ms > deadline.saturating_add(1000) && deadline < NEVER {
                violations.push(format!("session {id} is overdue since {} ms", at.now.ms - deadline));
            }
        }
        self.done(writer, false)
    }

    pub(super) fn table_stats(&self) -> TableStats {
        self.after_dead_writer();
        let counters = &self.map.head().counters;
        let (lateness_max, lateness_p99) = self.local.lateness.worst();
        let participants = &self.map.head().participants;
        let in_flight: i64 = participants.iter().map(|participant| participant.in_flight.load(Relaxed)).sum();
        TableStats {
            live: counters.live.load(Relaxed),
            peak: counters.peak.load(Relaxed),
            created: counters.created.load(Relaxed),
            ended: EndReason::ALL
                .iter()
                .map(|reason| (*reason, counters.ended[*reason as usize - 1].load(Relaxed)))
                .collect(),
            in_flight: u64::try_from(in_flight).unwrap_or(0),
            license_waiters: participants.iter().map(|participant| participant.queued.load(Relaxed)).sum(),
            lock_waiters: participants.iter().map(|participant| u64::from(participant.waiting.load(Relaxed))).sum(),
            tombstones: counters.tombstones.load(Relaxed),
            damaged: counters.damaged.load(Relaxed),
            replaced_token_uses: counters.replaced_uses.load(Relaxed),
            lateness_max,
            lateness_p99,
        }
    }
}

fn duration(ms: Millis) -> Option<Duration> {
    (ms > 0).then(|| Duration::from_millis(ms))
}
