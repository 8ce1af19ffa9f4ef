//! The broken tables' verbs: the memory table's but for what is wrong.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::broken::{Broken, Kind, twin};
use crate::data::Subscript;
use crate::table::*;

/// Verbs that are never wrong.
macro_rules! plain {
    ($(fn $verb:ident(&self $(, $name:ident: $type:ty)*) $(-> $answer:ty)?;)+) => {
        $(fn $verb(&self $(, $name: $type)*) $(-> $answer)? {
            self.inner.$verb($($name),*)
        })+
    };
}

impl Table for Broken {
    plain! {
        fn save(&self, at: At, request: &RequestKey, writes: &Writes) -> Found<Result<()>>;
        fn read(&self, at: At, request: &RequestKey, look: &mut dyn FnMut(&Tree)) -> Found<Result<()>>;
        fn lock(&self, at: At, request: &RequestKey, mode: LockMode) -> Found<std::result::Result<(), String>>;
        fn unlock(&self, at: At, request: &RequestKey) -> Found<Option<LockMode>>;
        fn lock_of(&self, at: At, request: &RequestKey) -> Found<Option<LockMode>>;
        fn unwatch(&self, session: SessionRef, watch: u64);
        fn change_classes(&self, at: At, session: SessionRef, change: ClassChange) -> Found<bool>;
        fn change_application(&self, at: At, session: SessionRef, from: u32, to: u32, idle: Option<(Millis, Millis)>, classes: &[ClassRef]) -> Found<bool>;
        fn return_feature(&self, at: At, session: SessionRef, pool: u32, count: u64) -> Found<u64>;
        fn join_queue(&self, at: At, waiter: &NewWaiter, wake: Wake) -> Result<std::result::Result<u64, DenyReason>>;
        fn leave_queue(&self, at: At, pool: u32, place: u64, how: Leaving) -> Result<bool>;
        fn position(&self, pool: u32, place: u64) -> Result<Option<u64>>;
        fn queue(&self, pool: u32, skip: usize, limit: usize) -> Result<Vec<Waiting>>;
        fn call_waiters(&self);
        fn waited(&self, pool: u32, place: u64);
        fn request_end(&self, at: At, session: SessionRef, end: bool) -> Found<()>;
        fn find_token(&self, at: At, token: &Token) -> Found<SessionRef>;
        fn find(&self, at: At, id: SessionId) -> Found<SessionRef>;
        fn receipt(&self, at: At, id: SessionId) -> Result<Option<Receipt>>;
        fn card(&self, at: At, session: SessionRef) -> Found<Card>;
        fn next_due(&self, now: Now) -> Option<Millis>;
        fn set_bell(&self, bell: Option<Wake>);
        fn mark_told(&self, session: SessionRef, class: &ClassRef);
        fn look(&self, at: At, session: SessionRef) -> Found<(SessionInfo, Details)>;
        fn count(&self) -> u64;
        fn usage(&self, at: At, pool: u32) -> Result<Usage>;
        fn pool(&self, pool: u32) -> Result<Arc<PoolInForce>>;
        fn known_pool(&self, pool: u32) -> Arc<PoolInForce>;
        fn change_pool(&self, at: At, pool: u32, revision: u64, to: &Pool, actor: Option<&str>) -> Result<std::result::Result<(), PoolUnchanged>>;
        fn unit_back(&self, at: At, pool: u32, refusal: &Refusal) -> Result<Option<Millis>>;
        fn holder(&self, pool: u32, name: &Arc<str>) -> Result<Option<UserHolder>>;
        fn high_water(&self, pool: u32, reader: &str) -> Result<(u64, i64)>;
        fn reset_high_water(&self, at: At, pool: u32, reader: &str) -> Result<bool>;
        fn forget_high_water(&self, pool: u32, reader: &str) -> Result<bool>;
        fn audit_records(&self, pool: u32, after: u64, limit: usize) -> Result<Vec<AuditRecord>>;
        fn take_pool_levels(&self) -> Vec<(u32, PoolLevel, u64)>;
        fn outbox_acknowledge(&self, event_id: u64) -> Result<()>;
        fn lifecycle(&self, after: u64, limit: usize) -> Result<Vec<LogEntry>>;
        fn note(&self, at: At, session: SessionId, what: &'static str, detail: &str);
        fn check(&self, at: At) -> Result<Vec<String>>;
        fn stats(&self) -> TableStats;
        fn attach(&self, session: SessionRef, name: &str, object: Option<Attachment>) -> Found<Option<Attachment>>;
        fn attachment(&self, session: SessionRef, name: &str) -> Found<Option<Attachment>>;
        fn damage(&self, session: SessionRef) -> Result<bool>;
        fn listens(&self, class: &ClassRef, on: bool) -> Result<()>;
        fn outlives(&self) -> bool;
        fn close(&self) -> u64;
        fn telling(&self, event_id: u64) -> Result<Vec<(ClassRef, u32)>>;
        fn unsettled(&self) -> Result<u64>;
    }

    fn take_feature(&self, at: At, session: SessionRef, take: &Take) -> Found<Result<(), TakeRefused>> {
        let mut take = take.clone();
        if self.is(Kind::TakesBlindly)
            && let Found::Live(card) = self.inner.card(at, session)
        {
            take.expected = card.user;
        }
        let taken = self.inner.take_feature(at, session, &take);
        if self.is(Kind::TakesSome) && matches!(taken, Found::Live(Err(TakeRefused::License(_)))) {
            let _taken = self.inner.take_feature(at, session, &Take { count: 1, ..take });
        }
        taken
    }

    fn draft(&self) -> Result<Draft> {
        let draft = self.inner.draft()?;
        self.tokens.lock().insert(draft.session.id, draft.token);
        Ok(draft)
    }

    fn abandon(&self, draft: &Draft) {
        if !self.is(Kind::LeaksDraft) {
            self.inner.abandon(draft);
        }
    }

    fn create(
        &self,
        at: At,
        draft: &Draft,
        new: &mut NewSession,
    ) -> Result<std::result::Result<Option<RequestKey>, Refused>> {
        if self.is(Kind::Upserts) && !matches!(self.inner.find(at, draft.session.id), Found::Absent) {
            let other = self.inner.draft()?;
            return self.inner.create(at, &other, new);
        }
        if self.is(Kind::TakesAtOnce)
            && let Some(lazy) = new.lazy.take()
        {
            let class = crate::reason::LicenseClass::Named;
            new.charge = Some(Charge { pool: lazy.pool, class, holder: Holder::Session, client: None });
        }
        if self.is(Kind::ForgetsClient)
            && let Some(charge) = &mut new.charge
        {
            charge.client = None;
        }
        if self.is(Kind::NeverTakes)
            && let Some(lazy) = &mut new.lazy
        {
            lazy.until = crate::reason::LazyUntil::Login;
        }
        if self.is(Kind::ForgetsBrief) {
            new.brief = false;
        }
        self.inner.create(at, draft, new)
    }

    fn touch(&self, at: At, token: &Token, kind: TouchKind) -> Found<(SessionRef, Millis)> {
        let (at, token) = self.seen(at, token);
        let kind = match (self.kind, kind) {
            (Kind::IgnoresActivity, TouchKind::Activity) => TouchKind::None,
            (Kind::PeekTouches, _) => TouchKind::Activity,
            _ => kind,
        };
        match self.inner.touch(at, &token, kind) {
            Found::Gone(_) if self.is(Kind::Revives) => {
                Found::Live((SessionRef { id: SessionId::NIL, place: 0 }, at.now.ms + 1))
            }
            found => found,
        }
    }

    fn begin(&self, at: At, token: &Token, spec: &BeginSpec) -> Found<Began> {
        let (at, token) = self.seen(at, token);
        let mut spec = *spec;
        if self.is(Kind::SharesExclusive) {
            spec.lock = LockMode::None;
        }
        match self.inner.begin(at, &token, &spec) {
            Found::Live(Began::Request { key, replaced, application, licensed, .. }) if self.is(Kind::AlwaysNew) => {
                Found::Live(Began::Request { key, is_new: true, replaced, application, licensed })
            }
            found => found,
        }
    }

    fn finish(&self, at: At, request: &RequestKey, writes: &Writes) -> Found<Finished> {
        let nothing = Writes::default();
        let writes = if self.is(Kind::LosesWrite) { &nothing } else { writes };
        match self.inner.finish(at, request, writes) {
            Found::Live(finished) if self.is(Kind::LosesConflict) => {
                Found::Live(Finished { committed: Ok(()), ..finished })
            }
            Found::Live(finished) if self.is(Kind::ForgetsRequestedEnd) => {
                Found::Live(Finished { end_now: false, ..finished })
            }
            found => found,
        }
    }

    fn compare_and_set(
        &self,
        at: At,
        request: &RequestKey,
        path: &[Subscript],
        expected: Option<&Value>,
        new: Option<Value>,
    ) -> Found<Result<()>> {
        if self.is(Kind::SwapsBlindly) {
            let mut old = None;
            self.inner.read(at, request, &mut |tree| old = tree.get(path).cloned());
            return self.inner.compare_and_set(at, request, path, old.as_ref(), new);
        }
        self.inner.compare_and_set(at, request, path, expected, new)
    }

    fn watch(&self, waiter: &RequestKey, mode: LockMode, wake: Wake) -> Option<u64> {
        if self.is(Kind::NeverWakes) {
            let silent: Wake = Arc::new(move || {
                let _kept = &wake;
            });
            return self.inner.watch(waiter, mode, silent);
        }
        self.inner.watch(waiter, mode, wake)
    }

    fn set_timeouts(
        &self,
        at: At,
        session: SessionRef,
        idle: Option<Millis>,
        absolute: Option<Millis>,
    ) -> Found<Result<()>> {
        match self.inner.set_timeouts(at, session, idle, absolute) {
            Found::Live(Err(_)) if self.is(Kind::MovesAbsoluteLater) => Found::Live(Ok(())),
            found => found,
        }
    }

    fn change_holder(
        &self,
        at: At,
        session: SessionRef,
        change: &HolderChange,
    ) -> Found<Result<HolderChanged, ChangeRefused>> {
        let mut change = change.clone();
        if self.is(Kind::TradesBlindly)
            && let Found::Live(card) = self.inner.card(at, session)
        {
            change.expected = card.user;
        }
        let changed = self.inner.change_holder(at, session, &change);
        if let Found::Live(Ok(HolderChanged { token: Some(token), .. })) = &changed
            && let Some(old) = self.tokens.lock().insert(session.id, *token)
        {
            self.rotated.lock().insert(old.reveal(), *token);
        }
        changed
    }

    fn end(&self, at: At, session: SessionRef, spec: &EndSpec) -> Ended {
        match self.inner.end(at, session, spec) {
            Ended::Now(receipt) => {
                self.ends.fetch_add(1, Ordering::Relaxed);
                Ended::Now(receipt)
            }
            Ended::Before(receipt) => {
                self.late_ends.fetch_add(1, Ordering::Relaxed);
                if self.is(Kind::TwoWinners) { Ended::Now(receipt) } else { Ended::Before(receipt) }
            }
            other => other,
        }
    }

    fn claim_due(&self, at: At, limit: usize) -> Result<Claim> {
        if self.is(Kind::ForgetsDue) {
            return Ok(Claim::default());
        }
        self.inner.claim_due(at, limit)
    }

    fn extend(
        &self,
        at: At,
        session: SessionRef,
        deadline: Millis,
        class: &ClassRef,
        by: Millis,
    ) -> Found<Option<Millis>> {
        match self.inner.extend(at, session, deadline, class, by) {
            Found::Live(Some(_)) if self.is(Kind::ExtendsPastAbsolute) => Found::Live(Some(by)),
            found => found,
        }
    }

    fn list(&self, at: At, filter: &Filter, cursor: u64, limit: usize, scan: usize) -> Result<Listed> {
        let (mut page, next) = self.inner.list(at, filter, cursor, limit, scan)?;
        if cursor == 0 && page.len() > 1 {
            if self.is(Kind::ListMisses) {
                page.pop();
            } else if self.is(Kind::ListDoubles) {
                page[0] = page[1].clone();
            }
        }
        Ok((page, next))
    }

    fn pool_state(&self, pool: u32) -> Result<(u64, u64)> {
        let (in_use, _) = self.inner.pool_state(pool)?;
        let in_use = match self.kind {
            Kind::ReleasesTwice => in_use.saturating_sub(self.late_ends.load(Ordering::Relaxed)),
            Kind::ForgetsRelease => in_use + self.ends.load(Ordering::Relaxed),
            _ => in_use,
        };
        Ok((in_use, self.capacities[pool as usize]))
    }

    fn recount(&self, at: At, pool: u32) -> Result<Audit> {
        let audit = self.inner.recount(at, pool)?;
        if self.is(Kind::RecountLies) {
            return Ok(Audit { counted: audit.counted + 1, recounted: audit.recounted + 1, ..audit });
        }
        Ok(audit)
    }

    fn outbox_take(&self, limit: usize) -> Result<Vec<OutboxRow>> {
        let mut rows = self.inner.outbox_take(limit)?;
        if self.is(Kind::TellsTwice)
            && let Some(row) = rows.last()
        {
            rows.push(twin(row));
        } else if self.is(Kind::TellsNever) {
            rows.pop();
        }
        Ok(rows)
    }
}
