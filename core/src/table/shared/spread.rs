//! Several managers on one directory as one table: each verb goes to the next of them, those of a request to the one that
//! began it. What every table promises is promised by all of them together.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::SharedTable;
use crate::data::Subscript;
use crate::sync::Mutex;
use crate::table::*;

pub(super) struct Spread {
    tables: Vec<Arc<SharedTable>>,
    turn: AtomicUsize,
    /// Who began a request, by session and number.
    requests: Mutex<HashMap<(u64, u32), usize>>,
    /// Who knows a watch, which has a number of its own.
    watches: Mutex<HashMap<u64, (usize, u64)>>,
    next_watch: AtomicUsize,
    /// Who claimed a row.
    rows: Mutex<HashMap<u64, usize>>,
}

/// Verbs that go to the next one.
macro_rules! turn {
    ($(fn $verb:ident(&self $(, $name:ident: $type:ty)*) $(-> $answer:ty)?;)+) => {
        $(fn $verb(&self $(, $name: $type)*) $(-> $answer)? {
            self.next().1.$verb($($name),*)
        })+
    };
}

/// Verbs of a request.
macro_rules! own {
    ($(fn $verb:ident(&self, at: At, request: &RequestKey $(, $name:ident: $type:ty)*) -> $answer:ty;)+) => {
        $(fn $verb(&self, at: At, request: &RequestKey $(, $name: $type)*) -> $answer {
            self.of(request).$verb(at, request $(, $name)*)
        })+
    };
}

impl Spread {
    pub fn new(tables: Vec<Arc<SharedTable>>) -> Self {
        Self {
            tables,
            turn: AtomicUsize::new(0),
            requests: Mutex::default(),
            watches: Mutex::default(),
            next_watch: AtomicUsize::new(1),
            rows: Mutex::default(),
        }
    }

    fn next(&self) -> (usize, &SharedTable) {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.tables.len();
        (turn, &self.tables[turn])
    }

    fn of(&self, request: &RequestKey) -> &SharedTable {
        let known = self.requests.lock().get(&(request.session.place, request.number)).copied();
        known.map_or_else(|| self.next().1, |number| &*self.tables[number])
    }

    fn began(&self, number: usize, key: &RequestKey) {
        self.requests.lock().insert((key.session.place, key.number), number);
    }
}

impl Table for Spread {
    turn! {
        fn draft(&self) -> Result<Draft>;
        fn touch(&self, at: At, token: &Token, kind: TouchKind) -> Found<(SessionRef, Millis)>;
        fn set_timeouts(&self, at: At, session: SessionRef, idle: Option<Millis>, absolute: Option<Millis>) -> Found<Result<()>>;
        fn change_classes(&self, at: At, session: SessionRef, change: ClassChange) -> Found<bool>;
        fn change_application(&self, at: At, session: SessionRef, from: u32, to: u32, idle: Option<(Millis, Millis)>, classes: &[ClassRef]) -> Found<bool>;
        fn change_holder(&self, at: At, session: SessionRef, change: &HolderChange) -> Found<std::result::Result<HolderChanged, ChangeRefused>>;
        fn take_feature(&self, at: At, session: SessionRef, take: &Take) -> Found<std::result::Result<(), TakeRefused>>;
        fn return_feature(&self, at: At, session: SessionRef, pool: u32, count: u64) -> Found<u64>;
        fn leave_queue(&self, at: At, pool: u32, place: u64, how: Leaving) -> Result<bool>;
        fn position(&self, pool: u32, place: u64) -> Result<Option<u64>>;
        fn queue(&self, pool: u32, skip: usize, limit: usize) -> Result<Vec<Waiting>>;
        fn request_end(&self, at: At, session: SessionRef, end: bool) -> Found<()>;
        fn end(&self, at: At, session: SessionRef, spec: &EndSpec) -> Ended;
        fn find_token(&self, at: At, token: &Token) -> Found<SessionRef>;
        fn find(&self, at: At, id: SessionId) -> Found<SessionRef>;
        fn receipt(&self, at: At, id: SessionId) -> Result<Option<Receipt>>;
        fn card(&self, at: At, session: SessionRef) -> Found<Card>;
        fn claim_due(&self, at: At, limit: usize) -> Result<Claim>;
        fn next_due(&self, now: Now) -> Option<Millis>;
        fn extend(&self, at: At, session: SessionRef, deadline: Millis, class: &ClassRef, by: Millis) -> Found<Option<Millis>>;
        fn mark_told(&self, session: SessionRef, class: &ClassRef);
        fn list(&self, at: At, filter: &Filter, cursor: u64, limit: usize, scan: usize) -> Result<Listed>;
        fn look(&self, at: At, session: SessionRef) -> Found<(SessionInfo, Details)>;
        fn count(&self) -> u64;
        fn usage(&self, at: At, pool: u32) -> Result<Usage>;
        fn pool_state(&self, pool: u32) -> Result<(u64, u64)>;
        fn pool(&self, pool: u32) -> Result<Arc<PoolInForce>>;
        fn known_pool(&self, pool: u32) -> Arc<PoolInForce>;
        fn change_pool(&self, at: At, pool: u32, revision: u64, to: &Pool, actor: Option<&str>) -> Result<std::result::Result<(), PoolUnchanged>>;
        fn unit_back(&self, at: At, pool: u32, refusal: &Refusal) -> Result<Option<Millis>>;
        fn holder(&self, pool: u32, name: &Arc<str>) -> Result<Option<UserHolder>>;
        fn high_water(&self, pool: u32, reader: &str) -> Result<(u64, i64)>;
        fn reset_high_water(&self, at: At, pool: u32, reader: &str) -> Result<bool>;
        fn forget_high_water(&self, pool: u32, reader: &str) -> Result<bool>;
        fn recount(&self, at: At, pool: u32) -> Result<Audit>;
        fn audit_records(&self, pool: u32, after: u64, limit: usize) -> Result<Vec<AuditRecord>>;
        fn lifecycle(&self, after: u64, limit: usize) -> Result<Vec<LogEntry>>;
        fn note(&self, at: At, session: SessionId, what: &'static str, detail: &str);
        fn check(&self, at: At) -> Result<Vec<String>>;
        fn stats(&self) -> TableStats;
        fn damage(&self, session: SessionRef) -> Result<bool>;
        fn telling(&self, event_id: u64) -> Result<Vec<(ClassRef, u32)>>;
        fn unsettled(&self) -> Result<u64>;
    }

    own! {
        fn finish(&self, at: At, request: &RequestKey, writes: &Writes) -> Found<Finished>;
        fn save(&self, at: At, request: &RequestKey, writes: &Writes) -> Found<Result<()>>;
        fn compare_and_set(&self, at: At, request: &RequestKey, path: &[Subscript], expected: Option<&Value>, new: Option<Value>) -> Found<Result<()>>;
        fn read(&self, at: At, request: &RequestKey, look: &mut dyn FnMut(&Tree)) -> Found<Result<()>>;
        fn lock(&self, at: At, request: &RequestKey, mode: LockMode) -> Found<std::result::Result<(), String>>;
        fn unlock(&self, at: At, request: &RequestKey) -> Found<Option<LockMode>>;
        fn lock_of(&self, at: At, request: &RequestKey) -> Found<Option<LockMode>>;
    }

    fn abandon(&self, draft: &Draft) {
        self.tables[0].abandon(draft);
    }

    fn create(
        &self,
        at: At,
        draft: &Draft,
        new: &mut NewSession,
    ) -> Result<std::result::Result<Option<RequestKey>, Refused>> {
        let (number, table) = self.next();
        let made = table.create(at, draft, new);
        if let Ok(Ok(Some(key))) = &made {
            self.began(number, key);
        }
        made
    }

    fn begin(&self, at: At, token: &Token, spec: &BeginSpec) -> Found<Began> {
        let (number, table) = self.next();
        let found = table.begin(at, token, spec);
        if let Found::Live(Began::Request { key, .. }) = &found {
            self.began(number, key);
        }
        found
    }

    fn watch(&self, waiter: &RequestKey, mode: LockMode, wake: Wake) -> Option<u64> {
        let (number, table) = self.next();
        let watch = table.watch(waiter, mode, wake)?;
        let own = self.next_watch.fetch_add(1, Ordering::Relaxed) as u64;
        self.watches.lock().insert(own, (number, watch));
        Some(own)
    }

    fn unwatch(&self, session: SessionRef, watch: u64) {
        let known = self.watches.lock().remove(&watch);
        if let Some((number, watch)) = known {
            self.tables[number].unwatch(session, watch);
        }
    }

    fn join_queue(&self, at: At, waiter: &NewWaiter, wake: Wake) -> Result<std::result::Result<u64, DenyReason>> {
        self.next().1.join_queue(at, waiter, wake)
    }

    fn waited(&self, pool: u32, place: u64) {
        for table in &self.tables {
            table.waited(pool, place);
        }
    }

    fn call_waiters(&self) {
        for table in &self.tables {
            table.call_waiters();
        }
    }

    fn set_bell(&self, bell: Option<Wake>) {
        for table in &self.tables {
            table.set_bell(bell.clone());
        }
    }

    fn take_pool_levels(&self) -> Vec<(u32, PoolLevel, u64)> {
        self.tables.iter().flat_map(|table| table.take_pool_levels()).collect()
    }

    fn outbox_take(&self, limit: usize) -> Result<Vec<OutboxRow>> {
        let mut rows = Vec::new();
        for (number, table) in self.tables.iter().enumerate() {
            let taken = table.outbox_take(limit - rows.len())?;
            self.rows.lock().extend(taken.iter().map(|row| (row.event_id, number)));
            rows.extend(taken);
        }
        rows.sort_by_key(|row| row.event_id);
        Ok(rows)
    }

    fn outbox_acknowledge(&self, event_id: u64) -> Result<()> {
        let number = self.rows.lock().remove(&event_id).unwrap_or(0);
        self.tables[number].outbox_acknowledge(event_id)
    }

    fn attach(&self, session: SessionRef, name: &str, object: Option<Attachment>) -> Found<Option<Attachment>> {
        self.tables[0].attach(session, name, object)
    }

    fn attachment(&self, session: SessionRef, name: &str) -> Found<Option<Attachment>> {
        self.tables[0].attachment(session, name)
    }

    fn listens(&self, class: &ClassRef, on: bool) -> Result<()> {
        self.tables.iter().try_for_each(|table| table.listens(class, on))
    }

    fn outlives(&self) -> bool {
        true
    }

    fn close(&self) -> u64 {
        self.tables.iter().map(|table| table.close()).sum()
    }
}
