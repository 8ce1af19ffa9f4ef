//! An event class whose callbacks are JavaScript.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use libsession_core::event::{Attempt, Event, EventHandler, Place, Reply};
use libsession_core::reason::EventKind;
use napi::Env;
use napi::bindgen_prelude::{Array, Null, ToNapiValue};
use parking_lot::Mutex;

use crate::isolate::{self, Isolate, Item};
use crate::request::NativeRequest;
use crate::snapshot::{Choice, Snapshot};

/// The failure of a callback whose environment ended before it answered.
pub const GONE: &str = "the JavaScript environment of this event class has ended";

/// One environment's callbacks of a class.
pub struct Member {
    pub isolate: Arc<Isolate>,
    /// The number of its table of callbacks there.
    pub table: u32,
}

/// A class as the engine sees it: the same class of one or more environments that share a manager.
///
/// A decider is asked in the environment that asks; a notification goes to the first that is there.
///
/// Handing a callback over takes a dispatcher thread no time, so that only the queue bounds how many promises are
/// pending; with `occupy` a callback occupies its thread until it is answered, as in a language without promises.
pub struct Handler {
    kinds: u32,
    compat_veto: bool,
    occupy: bool,
    members: Mutex<Vec<Member>>,
}

/// A callback on its way to JavaScript.
pub struct Called {
    pub table: u32,
    pub event: Arc<Event>,
    pub attempt: Attempt,
    pub reply: Owed,
    /// Whether its answer may change what happens.
    pub asked: bool,
}

/// The answer that a callback owes, and the thread that it occupies until then.
pub struct Owed {
    pub reply: Reply,
    /// Dropping it lets the thread go.
    occupied: Option<Sender<()>>,
}

impl Owed {
    fn free(reply: Reply) -> Self {
        Self { reply, occupied: None }
    }

    /// The reply; the thread goes on when it has been answered.
    pub fn answer(self, answer: impl FnOnce(Reply)) {
        answer(self.reply);
        drop(self.occupied);
    }
}

impl Handler {
    /// Of a set of kinds (their bits).
    pub fn new(kinds: u32, compat_veto: bool, occupy: bool, first: Member) -> Self {
        Self { kinds, compat_veto, occupy, members: Mutex::new(vec![first]) }
    }

    /// The kinds it has callbacks for.
    pub fn kinds(&self) -> u32 {
        self.kinds
    }

    /// Adds another environment's callbacks. `false` if it has some already.
    pub fn join(&self, member: Member) -> bool {
        let mut members = self.members.lock();
        if members.iter().any(|known| known.isolate.id == member.isolate.id) {
            return false;
        }
        members.push(member);
        true
    }

    /// Takes an environment's callbacks away: whether they were there, and how many environments remain.
    pub fn leave(&self, isolate: u64) -> (bool, usize) {
        let mut members = self.members.lock();
        let before = members.len();
        members.retain(|member| member.isolate.id != isolate);
        (members.len() < before, members.len())
    }

    fn here(&self) -> Option<(Arc<Isolate>, u32)> {
        let members = self.members.lock();
        members.iter().find(|member| member.isolate.is_here()).map(|member| (member.isolate.clone(), member.table))
    }

    fn anywhere(&self) -> Option<(Arc<Isolate>, u32)> {
        self.members.lock().first().map(|member| (member.isolate.clone(), member.table))
    }

    /// Whether somebody may wait for the answer: by the asking thread it must be answered there.
    fn is_asked(&self, kind: EventKind) -> bool {
        kind.decides() || (self.compat_veto && matches!(kind, EventKind::Timeout | EventKind::End))
    }
}

impl EventHandler for Handler {
    fn handles(&self, kind: EventKind) -> bool {
        self.kinds & kind.bit() != 0
    }

    fn call(&self, event: &Arc<Event>, attempt: Attempt, reply: Reply) {
        let asked = self.is_asked(event.kind);
        if let Some((isolate, table)) = self.here() {
            let called = Called { table, event: event.clone(), attempt, reply: Owed::free(reply), asked };
            let outcome = isolate::with_local(isolate.id, |local| isolate::decide(local, &isolate, called));
            if let Some(Err(failure)) = outcome {
                log::error!("a callback could not be called: {}", failure.reason);
            }
            return;
        }
        let Some((isolate, table)) = self.anywhere() else { return reply.fail(GONE) };
        let (occupied, until) = self.occupy.then(channel).unzip();
        let called = Called { table, event: event.clone(), attempt, reply: Owed { reply, occupied }, asked };
        if let Err(Item::Call(called)) = isolate.push(Item::Call(Box::new(called))) {
            called.reply.answer(|reply| reply.fail(GONE));
        }
        if let Some(until) = until {
            // Nothing is ever sent: it ends when the other side is dropped.
            let _: Result<(), _> = until.recv();
        }
    }

    fn place(&self, kind: EventKind, _asynchronous: bool) -> Option<Place> {
        if !self.is_asked(kind) {
            return None;
        }
        Some(match () {
            () if !isolate::on_javascript_thread() => Place::Worker,
            () if self.here().is_some() => Place::Caller,
            () => Place::Skip,
        })
    }
}

fn ms(duration: Duration) -> f64 {
    // Not through seconds as a float: 32,748 ms must not become 32,747.999….
    duration.as_secs() as f64 * 1000.0 + f64::from(duration.subsec_nanos()) / 1e6
}

/// Fills an array from its start.
struct Fields<'env>(Array<'env>, u32);

impl Fields<'_> {
    fn add<T: ToNapiValue>(&mut self, value: T) -> napi::Result<()> {
        self.0.set(self.1, value)?;
        self.1 += 1;
        Ok(())
    }
}

/// The fields of an event, in the order that `lib/event.cjs` names.
pub fn to_js<'env>(env: &'env Env, isolate: &Arc<Isolate>, called: Called) -> napi::Result<Array<'env>> {
    let Called { table, event, attempt, reply, asked } = called;
    let asynchronous = isolate::asynchronous();
    let call = isolate.keep(reply);
    let mut fields = Fields(env.create_array(23)?, 0);
    fields.add(call)?;
    fields.add(table)?;
    fields.add(event.kind.code())?;
    fields.add(asynchronous)?;
    fields.add(event.event_id as f64)?;
    fields.add(event.session_id.to_string())?;
    fields.add(&*event.application)?;
    fields.add(event.old_application.as_deref())?;
    fields.add(&*event.namespace)?;
    fields.add(event.user.as_deref())?;
    fields.add(event.old_user.as_deref())?;
    fields.add(event.reason.map(|reason| reason.code()))?;
    fields.add(event.level.map(|level| level.code()))?;
    fields.add(event.thread.code())?;
    fields.add(event.remaining.map(ms))?;
    match &event.pool {
        None => fields.add(Null)?,
        Some(pool) => fields.add(crate::outcome::PoolState::from(pool))?,
    }
    fields.add(event.at_ms as f64)?;
    fields.add(event.wall_ms as f64)?;
    fields.add(attempt.number)?;
    fields.add(attempt.redelivered)?;
    match event.snapshot.clone() {
        None => fields.add(Null)?,
        Some(tree) if tree.is_empty() => fields.add(false)?,
        Some(tree) => fields.add(Snapshot::new(isolate.clone(), tree))?,
    }
    fields.add(event.request.clone().map(|request| NativeRequest::new(isolate.clone(), request)))?;
    fields.add(asked.then(|| Choice::new(isolate.clone(), event)))?;
    Ok(fields.0)
}
