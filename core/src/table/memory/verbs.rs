//! The verbs of a table, each where its noun is.

use std::sync::Arc;

use super::slot::{self, FREE, Place};
use super::visit::live;
use super::{MemoryTable, crowd, log, requests};
use crate::config::Pool;
use crate::error::Error;
use crate::license::redefine::in_words;
use crate::license::waiter::Waiter;
use crate::reason::{LazyUntil, ThreadKind};
use crate::sync::atomic::Ordering;
use crate::table::*;

impl Table for MemoryTable {
    fn draft(&self) -> Result<Draft> {
        let index = self.take_slot()?;
        let (slot, cold) =
            self.region.get(index).ok_or_else(|| Error::new(crate::ErrorKind::Internal, "a slot is missing"))?;
        // Both at once, and while the names are made.
        slot.fetch();
        cold.fetch();
        let place = Place { index, generation: slot.state().generation() };
        let (id, token, verifier) = self.keys.names(place);
        // Nobody compares it before the session lives, and nobody else has the slot.
        slot.set_verifier(verifier);
        Ok(Draft { session: SessionRef { id, place: place.locator() }, token })
    }

    fn abandon(&self, draft: &Draft) {
        let place = Place::from_locator(draft.session.place);
        if let Some((slot, cold)) = self.slot(place)
            && slot.state() == slot::State::new(place.generation, FREE)
            && cold.is_none()
        {
            slot.publish(slot::State::new(place.generation + 1, FREE));
            drop(cold);
            self.give_slot(place.index);
        }
    }

    fn create(
        &self,
        at: At,
        draft: &Draft,
        new: &mut NewSession,
    ) -> Result<std::result::Result<Option<RequestKey>, Refused>> {
        self.make(at, draft, new)
    }

    fn touch(&self, at: At, token: &Token, kind: TouchKind) -> Found<(SessionRef, Millis)> {
        self.touch_token(at, token, kind)
    }

    fn begin(&self, at: At, token: &Token, spec: &BeginSpec) -> Found<Began> {
        let (visit, replaced) = live!(self.open(at, token));
        self.begin_request(at, visit, spec, replaced)
    }

    fn finish(&self, at: At, request: &RequestKey, writes: &Writes) -> Found<Finished> {
        let visit = live!(self.visit(at, request.session, ThreadKind::Request));
        self.finish_request(at, visit, request.number, writes)
    }

    fn save(&self, at: At, request: &RequestKey, writes: &Writes) -> Found<Result<()>> {
        let mut visit = live!(self.visit_request(at, request));
        Found::Live(self.commit(at, &mut visit, writes))
    }

    fn compare_and_set(
        &self,
        at: At,
        request: &RequestKey,
        path: &[crate::data::Subscript],
        expected: Option<&Value>,
        new: Option<Value>,
    ) -> Found<Result<()>> {
        let mut visit = live!(self.visit_request(at, request));
        if self.takes_unit(visit.slot, LazyUntil::FirstWrite) {
            return Found::Live(self.first_write(at, &mut visit, |tree| {
                tree.compare_and_set_noting(&self.config.quotas, path, expected, new)
            }));
        }
        let Some(cold) = visit.cold.as_mut() else { return Found::Absent };
        let Some(tree) = cold.tree_mut() else { return Found::Live(Err(requests::corrupt())) };
        Found::Live(tree.compare_and_set(&self.config.quotas, path, expected, new))
    }

    fn read(&self, at: At, request: &RequestKey, look: &mut dyn FnMut(&Tree)) -> Found<Result<()>> {
        let place = Place::from_locator(request.session.place);
        let Some((slot, cold)) = self.slot(place) else { return Found::Absent };
        let Some(inner) = cold.as_ref().filter(|inner| inner.is(request.session.id)) else {
            drop(cold);
            return self.tombstone(place, at, |grave| (grave.id == request.session.id).then_some(grave.reason));
        };
        if let Some((reason, _)) = self.ends_now(at.now, slot, inner, false) {
            return Found::Gone(reason);
        }
        let record = inner.request(request.number);
        if record.is_none_or(|record| record.start.saturating_add(self.config.max_request) <= at.now.ms) {
            return Found::Gone(requests::overtime());
        }
        Found::Live(if inner.read(look) { Ok(()) } else { Err(requests::corrupt()) })
    }

    fn lock(&self, at: At, request: &RequestKey, mode: LockMode) -> Found<std::result::Result<(), String>> {
        let visit = live!(self.visit_request(at, request));
        Found::Live(self.lock_request(at, visit, request.number, mode))
    }

    fn unlock(&self, at: At, request: &RequestKey) -> Found<Option<LockMode>> {
        let visit = live!(self.visit_request(at, request));
        Found::Live(self.unlock_request(at, visit, request.number))
    }

    fn lock_of(&self, at: At, request: &RequestKey) -> Found<Option<LockMode>> {
        let visit = live!(self.visit_request(at, request));
        let record = visit.cold.as_ref().and_then(|cold| cold.request(request.number));
        Found::Live(record.map(|record| record.lock).filter(|lock| *lock != LockMode::None))
    }

    fn watch(&self, waiter: &RequestKey, mode: LockMode, wake: Wake) -> Option<u64> {
        let place = Place::from_locator(waiter.session.place);
        let (slot, mut cold) = self.slot(place)?;
        if slot.state().generation() != place.generation {
            return None;
        }
        let cold = cold.as_mut()?;
        cold.blocker(mode, waiter.number)?;
        let watch = self.watches.fetch_add(1, Ordering::Relaxed) + 1;
        self.counters.waiters.fetch_add(1, Ordering::Relaxed);
        cold.rare_mut().waiters.push_back((watch, mode, wake));
        Some(watch)
    }

    fn unwatch(&self, session: SessionRef, watch: u64) {
        let place = Place::from_locator(session.place);
        let forgotten = self.slot(place).and_then(|(_, mut cold)| cold.as_mut()?.forget_waiter(watch));
        if forgotten.is_some() {
            self.counters.waiters.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn set_timeouts(
        &self,
        at: At,
        session: SessionRef,
        idle: Option<Millis>,
        absolute: Option<Millis>,
    ) -> Found<Result<()>> {
        let visit = live!(self.visit(at, session, ThreadKind::Request));
        Found::Live(self.change_timeouts(at, visit, idle, absolute))
    }

    fn change_classes(&self, at: At, session: SessionRef, change: ClassChange) -> Found<bool> {
        let mut visit = live!(self.visit(at, session, ThreadKind::Request));
        let Some(cold) = visit.cold.as_mut() else { return Found::Absent };
        let changed = change.apply(self.classes(visit.slot, cold));
        let Some(classes) = changed else { return Found::Live(false) };
        self.set_classes(visit.slot, cold, &classes);
        self.refile(at.now, visit.place.index, visit.slot, &visit.cold);
        Found::Live(true)
    }

    fn change_application(
        &self,
        at: At,
        session: SessionRef,
        from: u32,
        to: u32,
        idle: Option<(Millis, Millis)>,
        classes: &[ClassRef],
    ) -> Found<bool> {
        let mut visit = live!(self.visit(at, session, ThreadKind::Request));
        let slot = visit.slot;
        let Some(cold) = visit.cold.as_mut() else { return Found::Absent };
        if slot.application() != from {
            return Found::Live(false);
        }
        slot.idle.set_small(to);
        for class in classes {
            if let Some(list) = ClassChange::Back(class.clone()).apply(self.classes(slot, cold)) {
                self.set_classes(slot, cold, &list);
            }
        }
        self.counters.move_application(from, to);
        let text = format!("{} -> {}", self.application(from).name, self.application(to).name);
        cold.trace(|| format!("{} ms: application {text}", at.now.ms));
        self.log.add(at.now.ms, session.id, log::Entry::Text("application", text));
        match idle {
            Some((idle, brief)) => {
                self.change_idle(at, &visit, if self.is_brief(slot) { brief } else { idle });
                Found::Live(true)
            }
            None => Found::Live(true),
        }
    }

    fn change_holder(
        &self,
        at: At,
        session: SessionRef,
        change: &HolderChange,
    ) -> Found<Result<HolderChanged, ChangeRefused>> {
        let mut tries = crowd::Tries::default();
        loop {
            let visit = live!(self.visit(at, session, ThreadKind::Request));
            if let Some(changed) = self.trade(at, visit, change, tries.is_last()) {
                return Found::Live(changed);
            }
            tries.wait();
        }
    }

    fn take_feature(&self, at: At, session: SessionRef, take: &Take) -> Found<Result<(), TakeRefused>> {
        let visit = live!(self.visit(at, session, ThreadKind::Request));
        Found::Live(self.take(at, visit, take))
    }

    fn return_feature(&self, at: At, session: SessionRef, pool: u32, count: u64) -> Found<u64> {
        let visit = live!(self.visit(at, session, ThreadKind::Request));
        Found::Live(self.give_back(at, visit, pool, count))
    }

    fn join_queue(&self, at: At, waiter: &NewWaiter, wake: Wake) -> Result<std::result::Result<u64, DenyReason>> {
        let account = &self.accounts[waiter.charge.pool as usize];
        Ok(account.join_queue(at, &Waiter::new(waiter, at.now.ms, (0, 0)), waiter.from.as_ref(), wake))
    }

    fn leave_queue(&self, at: At, pool: u32, place: u64, how: Leaving) -> Result<bool> {
        Ok(self.accounts[pool as usize].leave_queue(at, place, how))
    }

    fn position(&self, pool: u32, place: u64) -> Result<Option<u64>> {
        Ok(self.accounts[pool as usize].position(place))
    }

    fn queue(&self, pool: u32, skip: usize, limit: usize) -> Result<Vec<Waiting>> {
        let waiters = self.accounts[pool as usize].waiters(skip, limit);
        Ok(waiters.into_iter().map(|waiter| waiter.listed(crate::fork::process())).collect())
    }

    fn call_waiters(&self) {
        for account in self.accounts.iter().filter(|account| account.has_called()) {
            let called = account.take_called();
            if !called.is_empty() {
                account.next_free().into_iter().for_each(|next| self.ring_if_earlier(next));
            }
            called.into_iter().for_each(|wake| wake());
        }
    }

    fn request_end(&self, at: At, session: SessionRef, end: bool) -> Found<()> {
        let mut visit = live!(self.visit(at, session, ThreadKind::Request));
        if let Some(cold) = visit.cold.as_mut() {
            cold.set_end_requested(end);
            self.ends_soon(at.now, visit.slot, cold);
        }
        Found::Live(())
    }

    fn end(&self, at: At, session: SessionRef, spec: &EndSpec) -> Ended {
        match self.visit(at, session, spec.thread) {
            Found::Live(visit) => {
                let receipt = self.bury(at, visit.session, visit.slot, visit.cold, spec, None);
                receipt.map_or(Ended::Absent, Ended::Now)
            }
            _ => self.receipt_of(at, session.id).map_or(Ended::Absent, Ended::Before),
        }
    }

    fn find_token(&self, at: At, token: &Token) -> Found<SessionRef> {
        let (visit, _) = live!(self.open(at, token));
        Found::Live(visit.session)
    }

    fn find(&self, at: At, id: SessionId) -> Found<SessionRef> {
        let visit = live!(self.visit(at, self.ref_of(id), ThreadKind::Admin));
        Found::Live(visit.session)
    }

    fn place_of(&self, id: SessionId) -> Option<SessionRef> {
        Some(self.ref_of(id))
    }

    fn receipt(&self, at: At, id: SessionId) -> Result<Option<Receipt>> {
        Ok(self.receipt_of(at, id))
    }

    fn card(&self, at: At, session: SessionRef) -> Found<Card> {
        let visit = live!(self.visit(at, session, ThreadKind::Request));
        self.card_of(at, &visit)
    }

    fn claim_due(&self, at: At, limit: usize) -> Result<Claim> {
        Ok(self.claim(at, limit))
    }

    fn next_due(&self, now: Now) -> Option<Millis> {
        self.next_claim(now)
    }

    fn set_bell(&self, bell: Option<Wake>) {
        self.reaping.set_bell(bell);
    }

    fn extend(
        &self,
        at: At,
        session: SessionRef,
        deadline: Millis,
        class: &ClassRef,
        by: Millis,
    ) -> Found<Option<Millis>> {
        let visit = live!(self.visit(at, session, ThreadKind::Reaper));
        Found::Live(self.grant(at, visit, deadline, class, by))
    }

    fn mark_told(&self, session: SessionRef, class: &ClassRef) {
        let place = Place::from_locator(session.place);
        if let Some((slot, mut cold)) = self.slot(place)
            && slot.state().generation() == place.generation
            && let Some(cold) = cold.as_mut()
            && cold.is(session.id)
        {
            let told = &mut cold.rare_mut().told;
            if !told.contains(class) {
                told.push(class.clone());
            }
        }
    }

    fn list(&self, at: At, filter: &Filter, cursor: u64, limit: usize, scan: usize) -> Result<Listed> {
        Ok(self.page(at, filter, cursor, limit, scan))
    }

    fn look(&self, at: At, session: SessionRef) -> Found<(SessionInfo, Details)> {
        let visit = live!(self.visit(at, session, ThreadKind::Admin));
        match visit.cold.as_ref() {
            Some(cold) => {
                Found::Live((self.info(at, visit.session.id, visit.slot, cold), self.details(at, visit.slot, cold)))
            }
            None => Found::Absent,
        }
    }

    fn count(&self) -> u64 {
        self.counters.live.load(Ordering::Relaxed)
    }

    fn usage(&self, at: At, pool: u32) -> Result<Usage> {
        Ok(self.accounts[pool as usize].usage(at, || self.charged(pool)))
    }

    fn pool_state(&self, pool: u32) -> Result<(u64, u64)> {
        Ok(self.accounts[pool as usize].in_use())
    }

    fn pool(&self, pool: u32) -> Result<Arc<PoolInForce>> {
        Ok(self.accounts[pool as usize].defined())
    }

    fn known_pool(&self, pool: u32) -> Arc<PoolInForce> {
        self.accounts[pool as usize].defined()
    }

    fn change_pool(
        &self,
        at: At,
        pool: u32,
        revision: u64,
        to: &Pool,
        actor: Option<&str>,
    ) -> Result<std::result::Result<(), PoolUnchanged>> {
        let defined = match self.accounts[pool as usize].redefine(at, revision, to.clone(), actor) {
            Ok(defined) => defined,
            Err(unchanged) => return Ok(Err(unchanged)),
        };
        let text = in_words(&defined.from.pool, &defined.to.pool, actor);
        self.log.add(at.now.ms, SessionId::NIL, log::Entry::Text("pool_changed", text));
        self.capacity_changed(pool, defined.next);
        Ok(Ok(()))
    }

    fn unit_back(&self, at: At, pool: u32, refusal: &Refusal) -> Result<Option<Millis>> {
        Ok(self.comes_back(at, pool, refusal))
    }

    fn holder(&self, pool: u32, name: &Arc<str>) -> Result<Option<UserHolder>> {
        Ok(self.accounts[pool as usize].holder(name))
    }

    fn high_water(&self, pool: u32, reader: &str) -> Result<(u64, i64)> {
        Ok(self.accounts[pool as usize].high_water(reader))
    }

    fn reset_high_water(&self, at: At, pool: u32, reader: &str) -> Result<bool> {
        Ok(self.accounts[pool as usize].reset_high_water(at, reader))
    }

    fn forget_high_water(&self, pool: u32, reader: &str) -> Result<bool> {
        Ok(self.accounts[pool as usize].forget_high_water(reader))
    }

    fn recount(&self, at: At, pool: u32) -> Result<Audit> {
        Ok(self.audit_pool(at, pool))
    }

    fn audit_records(&self, pool: u32, after: u64, limit: usize) -> Result<Vec<AuditRecord>> {
        Ok(self.accounts[pool as usize].records(after, limit))
    }

    fn take_pool_levels(&self) -> Vec<(u32, PoolLevel, u64)> {
        let accounts = (0..).zip(&self.accounts);
        accounts
            .flat_map(|(pool, account)| account.take_levels().into_iter().map(move |(level, used)| (pool, level, used)))
            .collect()
    }

    fn outbox_waits(&self) -> bool {
        !self.outbox.is_empty()
    }

    fn outbox_take(&self, limit: usize) -> Result<Vec<OutboxRow>> {
        Ok(self.outbox.take(limit))
    }

    fn outbox_acknowledge(&self, _event_id: u64) -> Result<()> {
        // A row that was taken is gone already: nothing outlives this process that could deliver it again.
        Ok(())
    }

    fn lifecycle(&self, after: u64, limit: usize) -> Result<Vec<LogEntry>> {
        Ok(self.log.after(after, limit, &self.config.applications))
    }

    fn note(&self, at: At, session: SessionId, what: &'static str, detail: &str) {
        self.log.add(at.now.ms, session, log::Entry::Text(what, detail.to_owned()));
    }

    fn check(&self, at: At) -> Result<Vec<String>> {
        Ok(self.violations(at))
    }

    fn stats(&self) -> TableStats {
        self.table_stats()
    }

    fn attach(&self, session: SessionRef, name: &str, object: Option<Attachment>) -> Found<Option<Attachment>> {
        let place = Place::from_locator(session.place);
        let Some((slot, mut guard)) = self.slot(place) else { return Found::Absent };
        let Some(cold) =
            guard.as_mut().filter(|cold| cold.is(session.id) && slot.state().generation() == place.generation)
        else {
            drop(guard);
            return Found::Absent;
        };
        let attachments = &mut cold.rare_mut().attachments;
        let position = attachments.iter().position(|(known, _)| &**known == name);
        let before = match (position, object) {
            (Some(position), Some(object)) => Some(std::mem::replace(&mut attachments[position].1, object)),
            (Some(position), None) => Some(attachments.remove(position).1),
            (None, Some(object)) => {
                attachments.push((name.into(), object));
                None
            }
            (None, None) => None,
        };
        Found::Live(before)
    }

    fn attachment(&self, session: SessionRef, name: &str) -> Found<Option<Attachment>> {
        let place = Place::from_locator(session.place);
        let Some((_, guard)) = self.slot(place) else { return Found::Absent };
        let Some(cold) = guard.as_ref().filter(|cold| cold.is(session.id)) else { return Found::Absent };
        let found = cold.rare().and_then(|rare| {
            rare.attachments.iter().find(|(known, _)| &**known == name).map(|(_, object)| object.clone())
        });
        Found::Live(found)
    }

    fn damage(&self, session: SessionRef) -> Result<bool> {
        let place = Place::from_locator(session.place);
        let damaged = self.slot(place).and_then(|(_, mut cold)| {
            let cold = cold.as_mut().filter(|cold| cold.is(session.id))?;
            Some(cold.damage())
        });
        if damaged.is_some() {
            self.counters.damaged.fetch_add(1, Ordering::Relaxed);
        }
        Ok(damaged.is_some())
    }
}
