//! A table whose sessions outlive a manager: several managers of one process share it, and it fails on demand.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::error::ErrorKind;
use crate::sync::{Condvar, Mutex};
use crate::table::memory::MemoryTable;
use crate::table::*;

use crate::clock::{Millis, Now};
use crate::data::{Subscript, Tree, Value, Writes};
use crate::error::{Error, Result};
use crate::event::ClassRef;
use crate::id::{SessionId, Token};
use crate::license::back::Refusal;
use crate::license::books::UserHolder;
use crate::license::{Audit, AuditRecord, Usage};
use crate::reason::{DenyReason, LockMode, TouchKind};
use crate::session::{Filter, LogEntry, Receipt, SessionInfo};

/// What all managers of one name share.
pub(in crate::engine) struct Common {
    table: MemoryTable,
    /// Rows that no manager has.
    waiting: Mutex<Vec<OutboxRow>>,
    unsettled: AtomicU64,
    /// Names of verbs that fail, and with what.
    failing: Mutex<HashMap<&'static str, ErrorKind>>,
    /// Verbs that wait, how often they were called, and how many calls may return.
    held: Mutex<HashMap<&'static str, (u64, u64)>>,
    let_go: Condvar,
    /// How often each failing verb was called.
    failed: Mutex<HashMap<&'static str, u64>>,
    /// Class and whether it is listened to, in the order of the calls.
    pub listened: Mutex<Vec<(String, bool)>>,
    pub closed: AtomicU64,
}

static ALL: Mutex<Vec<(String, Arc<Common>)>> = Mutex::new(Vec::new());

/// What the managers of a name share, if one was opened.
pub(in crate::engine) fn common(name: &str) -> Option<Arc<Common>> {
    ALL.lock().iter().find(|(known, _)| known == name).map(|(_, common)| common.clone())
}

/// A place at the table of a name.
pub(in crate::engine) fn open(name: &str, config: TableConfig) -> Arc<dyn Table> {
    let common = common(name).unwrap_or_else(|| {
        let common = Arc::new(Common {
            table: MemoryTable::new(config),
            waiting: Mutex::default(),
            unsettled: AtomicU64::new(0),
            failing: Mutex::default(),
            held: Mutex::default(),
            let_go: Condvar::new(),
            failed: Mutex::default(),
            listened: Mutex::default(),
            closed: AtomicU64::new(0),
        });
        ALL.lock().push((name.to_owned(), common.clone()));
        common
    });
    Arc::new(Seat {
        common,
        listens: Mutex::default(),
        taken: Mutex::default(),
        requests: Mutex::default(),
        closed: AtomicBool::new(false),
    })
}

impl Common {
    /// A verb fails from now on.
    pub fn fail(&self, verb: &'static str, kind: ErrorKind) {
        self.failing.lock().insert(verb, kind);
    }

    /// A verb works again.
    pub fn mend(&self, verb: &'static str) {
        self.failing.lock().remove(verb);
    }

    /// A verb's calls wait from now on; so many of them may return.
    pub fn hold(&self, verb: &'static str, most: u64) {
        self.held.lock().entry(verb).or_default().1 = most;
        self.let_go.notify_all();
    }

    /// How often a verb was called that waits.
    pub fn calls(&self, verb: &str) -> u64 {
        self.held.lock().get(verb).map_or(0, |(calls, _)| *calls)
    }

    fn wait(&self, verb: &str) {
        let mut held = self.held.lock();
        if let Some((calls, _)) = held.get_mut(verb) {
            *calls += 1;
        }
        while let Some((_, most)) = held.get_mut(verb) {
            if let Some(left) = most.checked_sub(1) {
                *most = left;
                return;
            }
            self.let_go.wait(&mut held);
        }
    }

    /// How often a verb failed.
    pub fn failures(&self, verb: &str) -> u64 {
        self.failed.lock().get(verb).copied().unwrap_or(0)
    }
}

/// One manager's place.
struct Seat {
    common: Arc<Common>,
    listens: Mutex<Vec<ClassRef>>,
    taken: Mutex<BTreeMap<u64, OutboxRow>>,
    requests: Mutex<Vec<RequestKey>>,
    closed: AtomicBool,
}

impl Seat {
    fn works(&self, verb: &'static str) -> Result<()> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Closed, format!("{verb} after the close")));
        }
        self.common.wait(verb);
        match self.common.failing.lock().get(verb) {
            Some(kind) => {
                *self.common.failed.lock().entry(verb).or_default() += 1;
                Err(Error::new(*kind, format!("{verb} fails")))
            }
            None => Ok(()),
        }
    }
}

fn copy(row: &OutboxRow, redelivered: bool) -> OutboxRow {
    OutboxRow {
        event_id: row.event_id,
        session: row.session,
        application: row.application,
        user: row.user.clone(),
        reason: row.reason,
        level: row.level,
        thread: row.thread,
        at_ms: row.at_ms,
        wall_ms: row.wall_ms,
        classes: row.classes.clone(),
        told: row.told.clone(),
        snapshot: row.snapshot.clone(),
        attachments: Vec::new(),
        redelivered,
        waited: row.waited,
    }
}

/// Verbs whose failure is told in their own way.
macro_rules! found {
    ($(fn $verb:ident(&self $(, $name:ident: $type:ty)*) -> $answer:ty;)+) => {
        $(fn $verb(&self $(, $name: $type)*) -> Found<$answer> {
            if let Err(error) = self.works(stringify!($verb)) {
                return Found::Failed(error);
            }
            self.common.table.$verb($($name),*)
        })+
    };
}

macro_rules! result {
    ($(fn $verb:ident(&self $(, $name:ident: $type:ty)*) -> $answer:ty;)+) => {
        $(fn $verb(&self $(, $name: $type)*) -> Result<$answer> {
            self.works(stringify!($verb))?;
            self.common.table.$verb($($name),*)
        })+
    };
}

macro_rules! plain {
    ($(fn $verb:ident(&self $(, $name:ident: $type:ty)*) $(-> $answer:ty)?;)+) => {
        $(fn $verb(&self $(, $name: $type)*) $(-> $answer)? {
            self.common.table.$verb($($name),*)
        })+
    };
}

impl Table for Seat {
    found! {
        fn touch(&self, at: At, token: &Token, kind: TouchKind) -> (SessionRef, Millis);
        fn save(&self, at: At, request: &RequestKey, writes: &Writes) -> Result<()>;
        fn compare_and_set(&self, at: At, request: &RequestKey, path: &[Subscript], expected: Option<&Value>, new: Option<Value>) -> Result<()>;
        fn read(&self, at: At, request: &RequestKey, look: &mut dyn FnMut(&Tree)) -> Result<()>;
        fn lock(&self, at: At, request: &RequestKey, mode: LockMode) -> std::result::Result<(), String>;
        fn unlock(&self, at: At, request: &RequestKey) -> Option<LockMode>;
        fn lock_of(&self, at: At, request: &RequestKey) -> Option<LockMode>;
        fn set_timeouts(&self, at: At, session: SessionRef, idle: Option<Millis>, absolute: Option<Millis>) -> Result<()>;
        fn change_classes(&self, at: At, session: SessionRef, change: ClassChange) -> bool;
        fn change_application(&self, at: At, session: SessionRef, from: u32, to: u32, idle: Option<(Millis, Millis)>, classes: &[ClassRef]) -> bool;
        fn change_holder(&self, at: At, session: SessionRef, change: &HolderChange) -> Result<HolderChanged, ChangeRefused>;
        fn take_feature(&self, at: At, session: SessionRef, take: &Take) -> Result<(), TakeRefused>;
        fn return_feature(&self, at: At, session: SessionRef, pool: u32, count: u64) -> u64;
        fn request_end(&self, at: At, session: SessionRef, end: bool) -> ();
        fn find_token(&self, at: At, token: &Token) -> SessionRef;
        fn find(&self, at: At, id: SessionId) -> SessionRef;
        fn card(&self, at: At, session: SessionRef) -> Card;
        fn extend(&self, at: At, session: SessionRef, deadline: Millis, class: &ClassRef, by: Millis) -> Option<Millis>;
        fn look(&self, at: At, session: SessionRef) -> (SessionInfo, Details);
        fn attach(&self, session: SessionRef, name: &str, object: Option<Attachment>) -> Option<Attachment>;
        fn attachment(&self, session: SessionRef, name: &str) -> Option<Attachment>;
    }

    result! {
        fn draft(&self) -> Draft;
        fn create(&self, at: At, draft: &Draft, new: &mut NewSession) -> std::result::Result<Option<RequestKey>, Refused>;
        fn receipt(&self, at: At, id: SessionId) -> Option<Receipt>;
        fn claim_due(&self, at: At, limit: usize) -> Claim;
        fn join_queue(&self, at: At, waiter: &NewWaiter, wake: Wake) -> std::result::Result<u64, DenyReason>;
        fn leave_queue(&self, at: At, pool: u32, place: u64, how: Leaving) -> bool;
        fn position(&self, pool: u32, place: u64) -> Option<u64>;
        fn queue(&self, pool: u32, skip: usize, limit: usize) -> Vec<Waiting>;
        fn list(&self, at: At, filter: &Filter, cursor: u64, limit: usize, scan: usize) -> Listed;
        fn usage(&self, at: At, pool: u32) -> Usage;
        fn pool_state(&self, pool: u32) -> (u64, u64);
        fn pool(&self, pool: u32) -> Arc<PoolInForce>;
        fn unit_back(&self, at: At, pool: u32, refusal: &Refusal) -> Option<Millis>;
        fn holder(&self, pool: u32, name: &Arc<str>) -> Option<UserHolder>;
        fn high_water(&self, pool: u32, reader: &str) -> (u64, i64);
        fn reset_high_water(&self, at: At, pool: u32, reader: &str) -> bool;
        fn forget_high_water(&self, pool: u32, reader: &str) -> bool;
        fn recount(&self, at: At, pool: u32) -> Audit;
        fn audit_records(&self, pool: u32, after: u64, limit: usize) -> Vec<AuditRecord>;
        fn lifecycle(&self, after: u64, limit: usize) -> Vec<LogEntry>;
        fn check(&self, at: At) -> Vec<String>;
        fn damage(&self, session: SessionRef) -> bool;
    }

    fn change_pool(
        &self,
        at: At,
        pool: u32,
        revision: u64,
        to: &crate::config::Pool,
        actor: Option<&str>,
    ) -> Result<std::result::Result<(), PoolUnchanged>> {
        self.works("change_pool")?;
        self.common.table.change_pool(at, pool, revision, to, actor)
    }

    fn take_pool_levels(&self) -> Vec<(u32, PoolLevel, u64)> {
        let taken = self.common.table.take_pool_levels();
        if !taken.is_empty() {
            // Taken, and not told yet.
            self.common.wait("take_pool_levels");
        }
        taken
    }

    plain! {
        fn known_pool(&self, pool: u32) -> Arc<PoolInForce>;
        fn abandon(&self, draft: &Draft);
        fn watch(&self, waiter: &RequestKey, mode: LockMode, wake: Wake) -> Option<u64>;
        fn unwatch(&self, session: SessionRef, watch: u64);
        fn next_due(&self, now: Now) -> Option<Millis>;
        fn set_bell(&self, bell: Option<Wake>);
        fn mark_told(&self, session: SessionRef, class: &ClassRef);
        fn count(&self) -> u64;
        fn note(&self, at: At, session: SessionId, what: &'static str, detail: &str);
        fn stats(&self) -> TableStats;
        fn call_waiters(&self);
        fn waited(&self, pool: u32, place: u64);
    }

    fn begin(&self, at: At, token: &Token, spec: &BeginSpec) -> Found<Began> {
        if let Err(error) = self.works("begin") {
            return Found::Failed(error);
        }
        let found = self.common.table.begin(at, token, spec);
        if let Found::Live(Began::Request { key, .. }) = &found {
            self.requests.lock().push(*key);
        }
        found
    }

    fn finish(&self, at: At, request: &RequestKey, writes: &Writes) -> Found<Finished> {
        if let Err(error) = self.works("finish") {
            return Found::Failed(error);
        }
        self.requests.lock().retain(|known| known != request);
        self.common.table.finish(at, request, writes)
    }

    fn end(&self, at: At, session: SessionRef, spec: &EndSpec) -> Ended {
        match self.works("end") {
            Ok(()) => self.common.table.end(at, session, spec),
            Err(error) => Ended::Failed(error),
        }
    }

    fn outbox_take(&self, limit: usize) -> Result<Vec<OutboxRow>> {
        self.works("outbox_take")?;
        let listens = self.listens.lock();
        let mut waiting = self.common.waiting.lock();
        let new = self.common.table.outbox_take(usize::MAX)?;
        self.common.unsettled.fetch_add(new.len() as u64, Ordering::SeqCst);
        waiting.extend(new);
        let mine = |row: &OutboxRow| row.classes.is_empty() || row.classes.iter().any(|class| listens.contains(class));
        let mut rows = Vec::new();
        while rows.len() < limit
            && let Some(at) = waiting.iter().position(mine)
        {
            let row = waiting.remove(at);
            self.taken.lock().insert(row.event_id, copy(&row, true));
            rows.push(row);
        }
        Ok(rows)
    }

    fn outbox_acknowledge(&self, event_id: u64) -> Result<()> {
        self.works("outbox_acknowledge")?;
        if self.taken.lock().remove(&event_id).is_some() {
            self.common.unsettled.fetch_sub(1, Ordering::SeqCst);
        }
        Ok(())
    }

    fn listens(&self, class: &ClassRef, on: bool) -> Result<()> {
        self.works("listens")?;
        self.common.listened.lock().push((class.name.to_string(), on));
        let mut listens = self.listens.lock();
        listens.retain(|known| known != class);
        if on {
            listens.push(class.clone());
        }
        Ok(())
    }

    fn outlives(&self) -> bool {
        true
    }

    fn close(&self) -> u64 {
        self.closed.store(true, Ordering::SeqCst);
        self.common.closed.fetch_add(1, Ordering::SeqCst);
        let taken = std::mem::take(&mut *self.taken.lock());
        self.common.waiting.lock().extend(taken.into_values());
        let requests = std::mem::take(&mut *self.requests.lock());
        let at = At { now: Now::default(), wall: 0 };
        let given_back = requests
            .iter()
            .filter(|key| matches!(self.common.table.finish(at, key, &Writes::default()), Found::Live(_)));
        given_back.count() as u64
    }

    fn unsettled(&self) -> Result<u64> {
        self.works("unsettled")?;
        Ok(self.common.unsettled.load(Ordering::SeqCst))
    }
}
