//! What the checks are written on: a table with two applications and three pools, and sessions made in one line.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::clock::{Millis, Now};
use crate::config::Pool;
use crate::data::{Quotas, Subscript, Tree, Value, Writes};
use crate::event::ClassRef;
use crate::id::Token;
use crate::reason::{EndLevel, EndReason, LicenseClass, LockMode, ThreadKind, TouchKind, UnitRule};
use crate::table::*;

/// What a check found: the first thing that is not as promised.
pub(super) type Outcome = Result<(), String>;

/// Goes on if a condition holds.
macro_rules! ensure {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err(format!($($text)+));
        }
    };
}
pub(super) use ensure;

/// How long a check waits in real time for what must come.
pub(super) const BOUND: Duration = Duration::from_secs(10);
/// Idle timeout of the sessions that are made here.
pub(super) const IDLE: Millis = 1000;
/// Their absolute timeout.
pub(super) const ABSOLUTE: Millis = 5000;
/// How long tombstones stand here.
pub(super) const TOMBSTONE: Millis = 10_000;
/// When a request counts as finished here.
pub(super) const MAX_REQUEST: Millis = 100_000;
/// The pool of 3 units whose holders hold one a session.
pub(super) const SINGLE: u32 = 0;
/// The pool of 2 units with a staircase of step 2, at most 3 sessions a holder.
pub(super) const STAIRS: u32 = 1;
/// The pool of 8 units with one a user, at most 1 for anonymous sessions.
pub(super) const USERS: u32 = 2;
/// A pool in which a client has two anonymous sessions at most.
pub(super) const GUESTS: u32 = 3;

/// Where tables come from.
pub(super) struct Ground<'a> {
    pub make: &'a dyn Fn(TableConfig) -> Arc<dyn Table>,
}

impl Ground<'_> {
    /// A fresh table.
    pub fn desk(&self) -> Desk {
        self.desk_with(|_| {})
    }

    /// A fresh table of another configuration.
    pub fn desk_with(&self, change: impl FnOnce(&mut TableConfig)) -> Desk {
        let mut config = config();
        change(&mut config);
        let table = (self.make)(config);
        for name in ["audit", "more"] {
            // A table that fails here fails in every promise about what is told.
            let _failed = table.listens(&ClassRef::new("", name), true);
        }
        Desk { table }
    }
}

fn config() -> TableConfig {
    let application = |name: &str, max_sessions: u64| ApplicationRule {
        name: name.into(),
        namespace: "".into(),
        max_sessions,
        max_extensions: 2,
        extension_cap: 400,
        ask_lead: 100,
        protected: false,
        trace: false,
    };
    let pool = |name: &str, capacity, unit_rule, max_connections, max_sessions_per_holder| Pool {
        unit_rule,
        max_connections,
        max_sessions_per_holder,
        anonymous_cap: Some(1),
        recovered: Some(1),
        audit_records: 1000,
        ..Pool::new(name, capacity)
    };
    TableConfig {
        applications: vec![application("front", 1_000_000), application("small", 2)],
        pools: vec![
            pool("single", 3, UnitRule::Session, 1, None),
            pool("stairs", 2, UnitRule::Staircase, 2, Some(3)),
            pool("users", 8, UnitRule::User, 1, None),
            Pool { anonymous_cap: None, anonymous_per_client: Some(2), ..pool("guests", 9, UnitRule::User, 1, None) },
        ],
        max_sessions: 1_000_000,
        quotas: Quotas::default(),
        quantum: 1,
        max_request: MAX_REQUEST,
        tombstone: TOMBSTONE,
        answers_stand: 0,
        idle_counts_suspend: false,
        lifecycle_log: 1000,
        agreement: String::new(),
    }
}

/// An instant, nothing suspended.
pub(super) fn at(ms: Millis) -> At {
    At { now: Now { ms, suspended: 0 }, wall: ms as i64 }
}

/// An instant after a suspend.
pub(super) fn slept(ms: Millis, suspended: Millis) -> At {
    At { now: Now { ms, suspended }, wall: (ms + suspended) as i64 }
}

/// The session to be made.
#[derive(Clone)]
pub(super) struct Plan {
    pub application: u32,
    pub idle: Millis,
    pub absolute: Millis,
    pub class: Option<&'static str>,
    pub charge: Option<Charge>,
    pub begin: Option<(TouchKind, LockMode)>,
    pub lazy: Option<Lazy>,
    pub brief: bool,
    pub address: Option<String>,
}

impl Plan {
    pub fn plain() -> Self {
        Self {
            application: 0,
            idle: IDLE,
            absolute: ABSOLUTE,
            class: None,
            charge: None,
            begin: None,
            lazy: None,
            brief: false,
            address: None,
        }
    }

    pub fn told() -> Self {
        Self { class: Some("audit"), ..Self::plain() }
    }

    pub fn charged(pool: u32) -> Self {
        Self { charge: Some(charge(pool, Holder::Session)), ..Self::plain() }
    }

    pub fn new_session(&self) -> NewSession {
        NewSession {
            application: self.application,
            client: crate::session::Client { address: self.address.clone(), ..Default::default() },
            data: Tree::default(),
            idle: self.idle,
            absolute: self.absolute,
            classes: self.class.iter().map(|name| ClassRef::new("", *name)).collect(),
            charge: self.charge.clone(),
            lazy: self.lazy,
            brief: self.brief,
            begin: self.begin,
            asking: Asking::default(),
        }
    }
}

/// How a holder is charged.
pub(super) fn charge(pool: u32, holder: Holder) -> Charge {
    Charge { pool, class: LicenseClass::Named, holder, client: None }
}

/// A user as a holder.
pub(super) fn user(name: &str) -> Holder {
    Holder::User(name.into())
}

/// A session that was made.
#[derive(Clone, Copy)]
pub(super) struct Made {
    pub session: SessionRef,
    pub token: Token,
    pub request: Option<RequestKey>,
}

/// A fresh table and what is done with it in every check.
pub(super) struct Desk {
    pub table: Arc<dyn Table>,
}

impl Desk {
    pub fn try_create(&self, ms: Millis, plan: &Plan) -> Result<Result<Made, Refused>, String> {
        let draft = ok(self.table.draft())?;
        Ok(match ok(self.table.create(at(ms), &draft, &mut plan.new_session()))? {
            Ok(request) => Ok(Made { session: draft.session, token: draft.token, request }),
            Err(refused) => {
                self.table.abandon(&draft);
                Err(refused)
            }
        })
    }

    pub fn create(&self, ms: Millis, plan: &Plan) -> Result<Made, String> {
        self.try_create(ms, plan)?.map_err(|refused| format!("a session was refused: {refused:?}"))
    }

    pub fn began(&self, ms: Millis, token: &Token, touch: TouchKind, lock: LockMode) -> Found<Began> {
        self.table.begin(at(ms), token, &BeginSpec { touch, lock, process: 1 })
    }

    pub fn begin(&self, ms: Millis, token: &Token, lock: LockMode) -> Result<RequestKey, String> {
        match self.began(ms, token, TouchKind::Activity, lock) {
            Found::Live(Began::Request { key, .. }) => Ok(key),
            other => Err(format!("a request did not begin: {other:?}")),
        }
    }

    pub fn finish(&self, ms: Millis, request: &RequestKey) -> Result<bool, String> {
        let finished = live(self.table.finish(at(ms), request, &Writes::default()))?;
        ok(finished.committed)?;
        Ok(finished.end_now)
    }

    pub fn end(&self, ms: Millis, session: SessionRef) -> Ended {
        self.table.end(at(ms), session, &end_spec())
    }

    pub fn peek(&self, ms: Millis, token: &Token) -> Found<(SessionRef, Millis)> {
        self.table.touch(at(ms), token, TouchKind::None)
    }

    pub fn touch(&self, ms: Millis, token: &Token) -> Found<(SessionRef, Millis)> {
        self.table.touch(at(ms), token, TouchKind::Activity)
    }

    pub fn deadline(&self, ms: Millis, token: &Token) -> Result<Millis, String> {
        live(self.peek(ms, token)).map(|(_, deadline)| deadline)
    }

    pub fn in_use(&self, pool: u32) -> Result<u64, String> {
        ok(self.table.pool_state(pool)).map(|(in_use, _)| in_use)
    }

    /// The value under a key as a request reads it.
    pub fn value(&self, ms: Millis, request: &RequestKey, key: &str) -> Result<Option<Value>, String> {
        let mut value = None;
        let found = self.table.read(at(ms), request, &mut |tree| value = tree.get(&path(key)).cloned());
        ok(live(found)?)?;
        Ok(value)
    }

    /// Nothing contradicts itself.
    pub fn sound(&self, ms: Millis) -> Outcome {
        let violations = ok(self.table.check(at(ms)))?;
        ensure!(violations.is_empty(), "check found {violations:?}");
        Ok(())
    }
}

/// One write of a key.
pub(super) fn write(key: &str, value: impl Into<Value>) -> Result<Writes, String> {
    let mut writes = Writes::default();
    ok(writes.set(&Tree::default(), &Quotas::default(), &path(key), value.into()))?;
    Ok(writes)
}

pub(super) fn path(key: &str) -> [Subscript; 1] {
    [Subscript::from(key)]
}

/// An administrator's end.
pub(super) fn end_spec() -> EndSpec {
    EndSpec {
        reason: EndReason::Revoked,
        level: EndLevel::Force,
        thread: ThreadKind::Admin,
        actor: Some("root".into()),
        note: None,
        here: false,
    }
}

/// A login, or with `None` a logout.
pub(super) fn change(expected: Option<&str>, user: Option<&str>, rotate: Option<Millis>) -> HolderChange {
    HolderChange {
        rank: crate::license::policy::Rank::Ordinary,
        revision: 1,
        user: user.map(Into::into),
        expected: expected.map(Into::into),
        holder: user.map_or(Holder::Session, |name| Holder::User(name.into())),
        keep_on_denial: false,
        rotate,
        trade_only: false,
        idle: 0,
        asking: Asking::default(),
    }
}

pub(super) fn ok<T>(result: crate::Result<T>) -> Result<T, String> {
    result.map_err(|error| format!("error {}: {}", error.kind().name(), error.message()))
}

pub(super) fn live<T>(found: Found<T>) -> Result<T, String> {
    match found {
        Found::Live(live) => Ok(live),
        Found::Absent => Err("absent".into()),
        Found::Gone(reason) => Err(format!("gone: {reason}")),
        Found::Failed(error) => Err(format!("failed: {error}")),
    }
}

/// Whether a look-up answers that the session is gone for this reason.
pub(super) fn gone<T>(found: Found<T>, reason: EndReason) -> Outcome {
    match found {
        Found::Gone(known) if known == reason => Ok(()),
        Found::Gone(other) => Err(format!("gone with {other}, not with {reason}")),
        Found::Live(_) => Err(format!("live, not gone with {reason}")),
        Found::Absent => Err(format!("absent, not gone with {reason}")),
        Found::Failed(error) => Err(format!("failed: {error}")),
    }
}

/// Whether a look-up answers that there is nothing.
pub(super) fn absent<T>(found: Found<T>) -> Outcome {
    match found {
        Found::Absent => Ok(()),
        Found::Gone(reason) => Err(format!("gone with {reason}, not absent")),
        Found::Live(_) => Err("live, not absent".into()),
        Found::Failed(error) => Err(format!("failed: {error}")),
    }
}

/// A wake-up that can be waited for.
pub(super) fn bell() -> (Wake, Receiver<()>) {
    let (sender, receiver) = channel();
    let sender = std::sync::Mutex::new(sender);
    let wake = move || {
        if let Ok(sender) = sender.lock() {
            // Nobody listens any more: that is for the listener to know.
            let _gone = sender.send(());
        }
    };
    (Arc::new(wake), receiver)
}
