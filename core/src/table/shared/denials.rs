//! A full pool's refusal: noted in a ring that all processes map, and no transaction of its own.
//!
//! Who has the writer's word and finds a pool as full as the books say notes the denial. The next transaction, whoever's it
//! is, takes it into the books before anything else, so that these have all in its order, and the keepers do before they sync.
//! Whoever reads what tells of denials tells those that wait, too, under the numbers that they will have in the books. A
//! process that is killed loses nothing: an entry counts from the moment that the number of entries is raised. The books say
//! how many they have: none is written twice, whoever dies between a commit and its notice.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::fence;

use super::books::{self, Denied};
use super::layout::{DENIALS, Denials, NAME};
use super::{SharedTable, Writer};
use crate::clock::Millis;
use crate::error::Result;
use crate::license::books::{AuditEntry, Ledger, Lingering, Orphan, Totals, UserHolder};
use crate::license::crowd::Victims;
use crate::license::ledger::{self, Demand};
use crate::license::policy::Rank;
use crate::license::redefine::Seats;
use crate::license::waiter::{Awaits, Lane, Waiter};
use crate::license::{self, AuditKind, AuditWhy};
use crate::reason::DenyReason;
use crate::session::LogEntry;
use crate::table::slot::{FREE, Place, State};
use crate::table::*;

/// The counters of a pool as the books had them.
pub(super) struct Known {
    /// After so many commits; `None` while they are to be read.
    as_of: Option<u64>,
    totals: Totals,
}

impl Denials {
    /// Whether some are not in the books, as far as is known here.
    pub fn pending(&self) -> bool {
        self.written.load(Acquire) < self.noted.load(Acquire)
    }

    fn has_room(&self) -> bool {
        self.noted.load(Relaxed).saturating_sub(self.written.load(Relaxed)) < DENIALS as u64
    }

    /// Notes one more, which there is room for. The caller has the writer's word.
    fn note(&self, denied: &Denied) {
        let number = self.noted.load(Relaxed);
        // Whoever sees a word of this entry, and not of the one before in its place, sees that there are so many.
        fence(Release);
        let entry = &self.ring[number as usize % DENIALS];
        let (first, second) = denied.session.0.split_at(8);
        for (word, bytes) in entry.session.iter().zip([first, second]) {
            word.store(bytes.try_into().map_or(0, u64::from_le_bytes), Relaxed);
        }
        entry.at.store(denied.at, Relaxed);
        entry.in_use.store(denied.in_use, Relaxed);
        entry.keep.store(denied.keep as u64, Relaxed);
        entry.keep_log.store(denied.keep_log as u64, Relaxed);
        entry.pool.store(denied.pool, Relaxed);
        entry.reason.store(denied.reason.code(), Relaxed);
        let name = denied.user.as_deref().unwrap_or("").as_bytes();
        for (word, bytes) in self.names[number as usize % DENIALS].iter().zip(name.chunks(8)) {
            let mut all = [0; 8];
            all[..bytes.len()].copy_from_slice(bytes);
            word.store(u64::from_le_bytes(all), Relaxed);
        }
        entry.named.store(name.len() as u32, Relaxed);
        // From here on it is there.
        self.noted.store(number + 1, Release);
    }

    fn get(&self, number: u64) -> Denied {
        let entry = &self.ring[number as usize % DENIALS];
        let named = (entry.named.load(Relaxed) as usize).min(NAME);
        let user = (named > 0).then(|| {
            let words = self.names[number as usize % DENIALS].iter().take(named.div_ceil(8));
            let name: Vec<u8> = words.flat_map(|word| word.load(Relaxed).to_le_bytes()).take(named).collect();
            String::from_utf8_lossy(&name).into()
        });
        let mut session = [0; 16];
        session[..8].copy_from_slice(&entry.session[0].load(Relaxed).to_le_bytes());
        session[8..].copy_from_slice(&entry.session[1].load(Relaxed).to_le_bytes());
        Denied {
            at: entry.at.load(Relaxed),
            session: SessionId(session),
            user,
            pool: entry.pool.load(Relaxed),
            in_use: entry.in_use.load(Relaxed),
            reason: DenyReason::from_code(entry.reason.load(Relaxed)).unwrap_or(DenyReason::PoolExhausted),
            keep: usize::try_from(entry.keep.load(Relaxed)).unwrap_or(usize::MAX),
            keep_log: usize::try_from(entry.keep_log.load(Relaxed)).unwrap_or(usize::MAX),
        }
    }

    /// Takes those that wait into the books, within a transaction; tells how many are written once that came through. The
    /// caller has the writer's word, or the store for itself.
    pub fn write(&self, ledger: &mut books::Ledger<'_>) -> Result<Option<u64>> {
        let (written, noted) = (self.written.load(Acquire), self.noted.load(Acquire));
        if written >= noted {
            return Ok(None);
        }
        let first = written.max(noted.saturating_sub(DENIALS as u64));
        let denials: Vec<Denied> = (first..noted).map(|number| self.get(number)).collect();
        ledger.take_denials(&denials, noted)?;
        Ok(Some(noted))
    }

    /// Whether the entries with these numbers were still there when they were looked at: nobody has begun to note others in
    /// their places. Needs no word.
    fn stood(&self, numbers: &Range<u64>) -> bool {
        fence(Acquire);
        numbers.is_empty() || self.noted.load(Relaxed) < numbers.start.saturating_add(DENIALS as u64)
    }

    /// Goes on after those that the books have; all are in there. Nobody else has the store open.
    pub fn go_on(&self, written: u64) {
        let written = written.max(self.noted.load(Acquire));
        self.noted.store(written, Release);
        self.written.store(written, Release);
    }
}

/// Denials that the books do not have at the instant that they are looked at.
pub(super) struct Waiting<'a> {
    denials: &'a Denials,
    numbers: Range<u64>,
}

impl Waiting<'_> {
    /// All of them, in their order.
    fn all(&self) -> impl Iterator<Item = Denied> + '_ {
        self.numbers.clone().map(|number| self.denials.get(number))
    }

    /// Counts those of a pool, too: all, and by why.
    pub fn count(&self, pool: u32, totals: &mut Totals, by_reason: &mut license::Denials) {
        for denied in self.all().filter(|denied| denied.pool == pool) {
            totals.denials = totals.denials.saturating_add(1);
            by_reason.add(denied.reason, 1);
        }
    }
}

impl SharedTable {
    /// Looks at the books together with the denials that wait, without a word that somebody may hold who does not go on.
    pub(super) fn with_denials<T>(
        &self,
        mut look: impl FnMut(&books::Pages<'_>, &Waiting<'_>) -> Result<T>,
    ) -> Result<T> {
        let denials = &self.map.head().denials;
        // Each commit takes all of them along: if the books have fewer, nobody has committed since.
        let noted = denials.noted.load(Acquire);
        loop {
            let written = denials.written.load(Acquire);
            let (seen, numbers) = self.books.read(|pages| {
                let numbers = pages.denials_written()?.max(written)..noted;
                let waiting = Waiting { denials, numbers: numbers.clone() };
                Ok((look(pages, &waiting)?, numbers))
            })?;
            if denials.stood(&numbers) {
                return Ok(seen);
            }
            // From then on the books have those.
            self.write_denials()?;
        }
    }

    /// The accounts of a pool after a record, with what is about to be written into them: the next commit, whoever's it is,
    /// writes that first, and by these numbers. Waits for nobody who writes.
    pub(super) fn accounts_of(&self, pool: u32, after: u64, limit: usize) -> Result<Vec<AuditRecord>> {
        self.with_denials(|pages, waiting| {
            let revision = pages.pool(pool)?.revision;
            let keep = self.defined(pages, pool, revision)?.rules.audit_records;
            let new: Vec<Denied> = waiting.all().filter(|denied| denied.pool == pool && denied.keep > 0).collect();
            let last = pages.last_audit(pool)?;
            let after = after.max(first_kept(last, new.len(), keep));
            let mut records = pages.audit(pool, after, limit, keep)?;
            let numbered = (last + 1..).zip(&new).filter(|(seq, _)| *seq > after);
            records.extend(numbered.map(|(seq, denied)| denied.record(seq)).take(limit.saturating_sub(records.len())));
            Ok(records)
        })
    }

    /// The same of the lifecycle log.
    pub(super) fn log_after(&self, after: u64, limit: usize) -> Result<Vec<LogEntry>> {
        let keep = self.config.lifecycle_log;
        self.with_denials(|pages, waiting| {
            let new: Vec<Denied> = waiting.all().filter(|denied| denied.keep_log > 0).collect();
            let last = pages.last_log()?;
            let after = after.max(first_kept(last, new.len(), keep));
            let mut entries = pages.log(after, limit, keep)?;
            let numbered = (last + 1..).zip(&new).filter(|(seq, _)| *seq > after);
            entries.extend(numbered.map(|(seq, denied)| denied.entry(seq)).take(limit.saturating_sub(entries.len())));
            Ok(entries)
        })
    }

    /// Refuses a creation for want of a unit, if that is all there is to do; `None`: it goes the long way.
    pub(super) fn deny_at_once(
        &self,
        writer: &Writer<'_>,
        at: At,
        draft: &Draft,
        new: &NewSession,
    ) -> Option<DenyReason> {
        let charge = new.charge.as_ref()?;
        let counters = &self.map.head().counters;
        let place = Place::from_locator(draft.session.place);
        let fresh = self.map.slot(place.index)?.hot.state() == State::new(place.generation, FREE);
        let limited = counters.live.load(Acquire) >= self.config.max_sessions
            || counters.applications[new.application as usize].load(Acquire)
                >= self.application(new.application).max_sessions;
        if !fresh || limited {
            return None;
        }
        let refusable =
            Refusable { logged: true, ..Refusable::new(Demand::asking(charge, Rank::Ordinary, new.asking)) };
        self.refuse_at_once(writer, at, draft.session.id, &refusable, |reason| new.asking.ends_with(reason))
    }

    /// Refuses what a session asks for, if that is all there is to do, and a reason that is `told`; `None`: it goes the long
    /// way.
    pub(super) fn refuse_at_once(
        &self,
        _writer: &Writer<'_>,
        at: At,
        session: SessionId,
        refusable: &Refusable<'_>,
        told: impl FnOnce(DenyReason) -> bool,
    ) -> Option<DenyReason> {
        let pool = refusable.demand.charge.pool;
        let mut full = self.local.full.lock();
        let known = full.get_mut(&pool)?;
        let denied = self.refuse(known, at, session, refusable, told);
        if denied.is_none() {
            full.remove(&pool);
        }
        denied
    }

    fn refuse(
        &self,
        known: &mut Known,
        at: At,
        session: SessionId,
        &Refusable { demand, from, revision, logged }: &Refusable<'_>,
        told: impl FnOnce(DenyReason) -> bool,
    ) -> Option<DenyReason> {
        let (head, charge) = (self.map.head(), demand.charge);
        let denials = &head.denials;
        let user = match &charge.holder {
            Holder::User(user) => Some(user),
            Holder::Session | Holder::Taker(_) => None,
        };
        if !denials.has_room() || user.is_some_and(|user| user.is_empty() || user.len() > NAME) {
            return None;
        }
        // Whoever commits has the writer's word: while the number of commits stands, the books do.
        let commits = head.writing.committed.load(Acquire);
        if known.as_of != Some(commits) {
            known.totals = self.books.glance(|pages| pages.pool(charge.pool)).ok()?;
            known.as_of = Some(commits);
        }
        let defined = self.seen(charge.pool);
        if defined.revision != known.totals.revision
            || revision.is_some_and(|revision| revision != defined.revision)
            || defined.rules.may_evict()
        {
            return None;
        }
        let mut glimpse = Glimpse { table: self, charge, totals: known.totals.clone(), recorded: false };
        let verdict = match from {
            None => ledger::acquire(&mut glimpse, &defined.rules, at, session, demand, &mut Victims::none()),
            Some(from) => ledger::trade(&mut glimpse, &defined.rules, at, session, from, demand, &mut Victims::none()),
        };
        let Ok(Err(reason)) = verdict else { return None };
        let denied = Totals { denials: known.totals.denials.saturating_add(1), ..known.totals.clone() };
        let keep = defined.rules.audit_records;
        if glimpse.totals != denied || glimpse.recorded != (keep > 0) || !told(reason) {
            return None;
        }
        denials.note(&Denied {
            at: at.now.ms,
            session,
            user: user.cloned(),
            pool: charge.pool,
            in_use: denied.in_use,
            reason,
            keep,
            keep_log: if logged { self.config.lifecycle_log } else { 0 },
        });
        Some(reason)
    }

    /// A session was refused the long way: the next may be refused at once.
    pub(super) fn is_full(&self, pool: u32) {
        // Who wants each change on the disk before it returns has it in the books.
        if !self.durable() {
            self.local.full.lock().insert(pool, Known { as_of: None, totals: Totals::default() });
        }
    }

    /// A denial waits: the keeper must not oversleep.
    pub(super) fn denial_noted(&self) {
        if self.options.threads {
            self.keeper_is_due();
        }
    }

    /// Has the books have all denials so far.
    pub(super) fn write_denials(&self) -> Result<()> {
        if !self.map.head().denials.pending() {
            return Ok(());
        }
        let writer = self.writer()?;
        let written = writer.commit(|_| Ok(()));
        self.done(writer, false).and(written)
    }
}

/// What may be refused without a transaction.
pub(super) struct Refusable<'a> {
    pub demand: Demand<'a>,
    /// What the session holds, and would give for it.
    pub from: Option<&'a Charge>,
    /// The definition of the pool that this was worked out from; `None` if it does not matter.
    pub revision: Option<u64>,
    /// Whether the lifecycle log tells it.
    pub logged: bool,
}

impl<'a> Refusable<'a> {
    pub fn new(demand: Demand<'a>) -> Self {
        Self { demand, from: None, revision: None, logged: false }
    }
}

/// What is kept of so many follows this number.
fn first_kept(last: u64, new: usize, keep: usize) -> u64 {
    last.saturating_add(new as u64).saturating_sub(keep as u64)
}

/// The counters of a pool, and its holders to look at: enough for a step that comes to nothing.
struct Glimpse<'a> {
    table: &'a SharedTable,
    charge: &'a Charge,
    totals: Totals,
    recorded: bool,
}

/// The step needs more than the counters, or changes more.
struct More;

impl Ledger for Glimpse<'_> {
    type Error = More;

    fn totals(&mut self) -> &mut Totals {
        &mut self.totals
    }

    fn keep_totals(&mut self) -> Result<(), More> {
        Ok(())
    }

    /// It is counted as it is taken along.
    fn count_denial(&mut self, _: DenyReason) -> Result<(), More> {
        Ok(())
    }

    fn record(&mut self, entry: &AuditEntry<'_>) -> Result<(), More> {
        let AuditEntry { at: _, kind, session: _, holder, before, after, reason, why } = *entry;
        let in_use = self.totals.in_use;
        let plain = (kind, why, before, after) == (AuditKind::Denial, AuditWhy::Nothing, in_use, in_use);
        if self.recorded || !plain || reason.is_none() || *holder != self.charge.holder {
            return Err(More);
        }
        self.recorded = true;
        Ok(())
    }

    fn holder(&mut self, user: &Arc<str>) -> Result<Option<UserHolder>, More> {
        self.table.books.glance(|pages| pages.holder(self.charge.pool, user)).map_err(|_| More)
    }

    fn set_holder(&mut self, _: &Arc<str>, _: Option<UserHolder>) -> Result<(), More> {
        Err(More)
    }

    fn first_lingering(&mut self) -> Result<Option<(Millis, Lingering)>, More> {
        Err(More)
    }

    fn lingering(&mut self, _: usize, _: usize) -> Result<Vec<Arc<str>>, More> {
        Err(More)
    }

    fn client(&mut self, _: &str) -> Result<u64, More> {
        Err(More)
    }

    fn set_client(&mut self, _: &Arc<str>, _: u64) -> Result<(), More> {
        Err(More)
    }

    fn add_orphan(&mut self, _: &Orphan) -> Result<(), More> {
        Err(More)
    }

    fn remove_orphan(&mut self, _: &Orphan) -> Result<(), More> {
        Err(More)
    }

    fn users(&mut self) -> Result<Vec<(Arc<str>, UserHolder)>, More> {
        Err(More)
    }

    fn reseat(&mut self, _: &Seats) -> Result<(), More> {
        Err(More)
    }

    fn raise_marks(&mut self, _: u64, _: i64) -> Result<(), More> {
        Err(More)
    }

    fn add_waiter(&mut self, _: &Waiter) -> Result<u64, More> {
        Err(More)
    }

    fn waiter(&mut self, _: u64) -> Result<Option<Waiter>, More> {
        Err(More)
    }

    fn set_waiter(&mut self, _: &Waiter, _: Awaits) -> Result<(), More> {
        Err(More)
    }

    fn remove_waiter(&mut self, _: &Waiter) -> Result<(), More> {
        Err(More)
    }

    fn lanes(&mut self) -> Result<Vec<Lane>, More> {
        Err(More)
    }

    fn head(&mut self, _: Lane) -> Result<Option<Waiter>, More> {
        Err(More)
    }

    fn first_lapse(&mut self) -> Result<Option<(Millis, u64)>, More> {
        Err(More)
    }

    fn call(&mut self, _: &Waiter) -> Result<(), More> {
        Err(More)
    }

    fn level(&mut self, _: PoolLevel, _: u64) -> Result<(), More> {
        Err(More)
    }
}

#[cfg(test)]
mod tests;
