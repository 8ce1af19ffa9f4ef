//! What one JavaScript environment (the main thread, a worker) has of its own.
//!
//! Other threads push items and ring the bell once; the environment takes them in slices. When it ends, whatever waits
//! is dropped: a callback that was never answered has failed, a request that nobody can take is finished.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use libsession_core::error::Error;
use libsession_core::event::{GroupReply, Verdict};
use napi::bindgen_prelude::{Array, FnArgs, Function, FunctionRef, Unknown};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Env, Status};
use napi_derive::napi;
use parking_lot::Mutex;

use crate::error::{self, ErrorArgs};
use crate::groups::{self, Asked};
use crate::handler::{self, Called, Owed};
use crate::journal::{self, Line};
use crate::registry;

/// Not holding the process, with an unbounded queue that never has more than one entry.
type Bell = ThreadsafeFunction<(), (), (), Status, false, true, 0>;

/// The rest of a call whose result came later: runs on the environment's thread and gives what its promise gets.
pub type Finish = Box<dyn for<'env> FnOnce(&'env Env, &Arc<Isolate>) -> napi::Result<Outcome<'env>> + Send>;

/// What a promise gets.
pub type Outcome<'env> = Result<Unknown<'env>, Error>;

/// Something for the environment to do.
pub enum Item {
    /// A callback.
    Call(Box<Called>),
    /// A user whose groups are asked for.
    Groups(Box<Asked>),
    /// A promise to settle.
    Done(u32, Finish),
    /// A line of the log.
    Log(Line),
    /// An attached object that its session has let go.
    Released(u32),
}

/// The part of an environment that other threads may touch.
pub struct Isolate {
    /// Names it; never used again.
    pub id: u64,
    queue: Mutex<Queue>,
    replies: Mutex<HashMap<u32, Owed>>,
    groups: Mutex<HashMap<u32, GroupReply>>,
    next_call: AtomicU32,
}

struct Queue {
    bell: Option<Bell>,
    items: VecDeque<Item>,
    rung: bool,
    log_lines: usize,
}

/// More lines of the log than this are not kept for an environment that does not take them.
const LOG_LINES: usize = 1024;

/// The part that only its own thread may touch.
pub struct Local {
    pub env: Env,
    pub make_error: FunctionRef<ErrorArgs, Unknown<'static>>,
    pub decide: FunctionRef<FnArgs<(Array<'static>,)>, ()>,
}

thread_local! {
    static LOCALS: RefCell<Vec<(u64, Rc<Local>)>> = const { RefCell::new(Vec::new()) };
    static ASYNCHRONOUS: Cell<bool> = const { Cell::new(false) };
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// Runs `body` with the local part of an environment of this thread.
pub fn with_local<R>(id: u64, body: impl FnOnce(&Local) -> R) -> Option<R> {
    let local = LOCALS.with_borrow(|locals| locals.iter().find(|local| local.0 == id).map(|local| local.1.clone()))?;
    Some(body(&local))
}

/// Whether this thread runs JavaScript.
pub fn on_javascript_thread() -> bool {
    LOCALS.with_borrow(|locals| !locals.is_empty())
}

/// Whether the call into the engine that this thread makes now is an asynchronous one.
pub fn asynchronous() -> bool {
    ASYNCHRONOUS.get()
}

/// Runs `body` as a synchronous or asynchronous call into the engine.
pub fn with_mode<R>(asynchronous: bool, body: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            ASYNCHRONOUS.set(self.0);
        }
    }
    let _restore = Restore(ASYNCHRONOUS.replace(asynchronous));
    body()
}

impl Isolate {
    /// Whether its JavaScript runs on this thread.
    pub fn is_here(&self) -> bool {
        LOCALS.with_borrow(|locals| locals.iter().any(|local| local.0 == self.id))
    }

    /// Whether its environment has ended.
    pub fn is_gone(&self) -> bool {
        self.queue.lock().bell.is_none()
    }

    /// Leaves something to do; gives it back if the environment has ended. Any thread; never blocks.
    pub fn push(&self, item: Item) -> Result<(), Item> {
        let mut queue = self.queue.lock();
        if queue.bell.is_none() {
            return Err(item);
        }
        if matches!(item, Item::Log(_)) {
            if queue.log_lines >= LOG_LINES {
                return Ok(());
            }
            queue.log_lines += 1;
        }
        queue.items.push_back(item);
        queue.ring();
        Ok(())
    }

    /// Keeps the reply of a callback until it is settled; gives its number.
    pub fn keep(&self, reply: Owed) -> u32 {
        let call = self.next_call.fetch_add(1, Ordering::Relaxed);
        self.replies.lock().insert(call, reply);
        call
    }

    /// The same of who is asked for groups.
    pub fn keep_groups(&self, reply: GroupReply) -> u32 {
        let call = self.next_call.fetch_add(1, Ordering::Relaxed);
        self.groups.lock().insert(call, reply);
        call
    }

    fn pop(&self) -> Option<Item> {
        let mut queue = self.queue.lock();
        let item = queue.items.pop_front();
        match &item {
            None => queue.rung = false,
            Some(Item::Log(_)) => queue.log_lines -= 1,
            Some(_) => {}
        }
        item
    }

    fn close(&self) {
        let (bell, items) = {
            let mut queue = self.queue.lock();
            (queue.bell.take(), std::mem::take(&mut queue.items))
        };
        drop(bell);
        for item in items {
            match item {
                Item::Call(called) => called.reply.answer(|reply| reply.fail(handler::GONE)),
                Item::Groups(asked) => asked.gone(),
                _ => {}
            }
        }
        let replies = std::mem::take(&mut *self.replies.lock());
        for (_, reply) in replies {
            reply.answer(|reply| reply.fail(handler::GONE));
        }
        let groups = std::mem::take(&mut *self.groups.lock());
        for (_, reply) in groups {
            reply.fail(handler::GONE);
        }
    }
}

impl Queue {
    fn ring(&mut self) {
        if !self.rung
            && let Some(bell) = &self.bell
        {
            self.rung = true;
            bell.call((), ThreadsafeFunctionCallMode::NonBlocking);
        }
    }
}

/// One JavaScript environment's connection to the engine.
#[napi]
pub struct Loop {
    pub(crate) isolate: Arc<Isolate>,
}

/// Connects this environment: `wake` is called when there is something to take, `decide` with the fields of an event
/// that is to be decided at once, `makeError` makes a `SessionError`.
#[napi]
pub fn connect(
    env: Env,
    wake: Function<(), ()>,
    decide: Function<FnArgs<(Array<'static>,)>, ()>,
    make_error: Function<ErrorArgs, Unknown<'static>>,
) -> napi::Result<Loop> {
    let bell = wake.build_threadsafe_function::<()>().weak::<true>().callee_handled::<false>().build()?;
    let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
    let queue = Queue { bell: Some(bell), items: VecDeque::new(), rung: false, log_lines: 0 };
    let isolate = Arc::new(Isolate {
        id,
        queue: Mutex::new(queue),
        replies: Mutex::default(),
        groups: Mutex::default(),
        next_call: AtomicU32::new(1),
    });
    let local = Local { env, make_error: make_error.create_ref()?, decide: decide.create_ref()? };
    LOCALS.with_borrow_mut(|locals| locals.push((id, Rc::new(local))));
    journal::listen(Arc::downgrade(&isolate));
    env.add_env_cleanup_hook(Arc::downgrade(&isolate), move |isolate: Weak<Isolate>| {
        LOCALS.with_borrow_mut(|locals| locals.retain(|local| local.0 != id));
        let orphans = registry::leave(id);
        if let Some(isolate) = isolate.upgrade() {
            isolate.close();
        }
        orphans.unregister();
    })?;
    Ok(Loop { isolate })
}

#[napi]
impl Loop {
    /// At most `max` things to do: callbacks as arrays of fields, `[-1, id, ok, value]` for a promise,
    /// `[-2, level, target, message]` for a line of the log, `[-3, number]` for an attached object that was let go,
    /// `[-4, number, table, asynchronous, user]` for a user whose groups are asked for.
    /// Empty: there will be another wake.
    #[napi]
    pub fn take<'env>(&self, env: &'env Env, max: u32) -> napi::Result<Vec<Array<'env>>> {
        let mut taken = Vec::new();
        while taken.len() < max as usize {
            let Some(item) = self.isolate.pop() else { break };
            taken.push(match item {
                Item::Call(called) => handler::to_js(env, &self.isolate, *called)?,
                Item::Groups(asked) => groups::to_js(env, &self.isolate, *asked)?,
                Item::Done(id, finish) => {
                    let mut array = env.create_array(4)?;
                    array.set(0, -1)?;
                    array.set(1, id)?;
                    match finish(env, &self.isolate)? {
                        Ok(value) => {
                            array.set(2, true)?;
                            array.set(3, value)?;
                        }
                        Err(failure) => {
                            array.set(2, false)?;
                            array.set(3, error::to_js(env, &self.isolate, &failure)?)?;
                        }
                    }
                    array
                }
                Item::Released(number) => {
                    let mut array = env.create_array(2)?;
                    array.set(0, -3)?;
                    array.set(1, number)?;
                    array
                }
                Item::Log(line) => {
                    let mut array = env.create_array(4)?;
                    array.set(0, -2)?;
                    array.set(1, line.level)?;
                    array.set(2, line.target)?;
                    array.set(3, line.message)?;
                    array
                }
            });
        }
        Ok(taken)
    }

    /// Answers a callback: 0 done or allowed, 1 denied, 2 extended by `ms`, 3 failed, 4 it wants an asynchronous call.
    #[napi]
    pub fn settle(&self, call: u32, answer: u32, text: Option<String>, ms: Option<f64>) {
        let Some(owed) = self.isolate.replies.lock().remove(&call) else { return };
        let text = text.unwrap_or_default();
        owed.answer(|reply| match answer {
            0 => reply.done(),
            1 => reply.verdict(Verdict::Deny(text)),
            2 => reply.verdict(Verdict::Extend(crate::value::duration(ms.unwrap_or(0.0)))),
            4 => reply.async_required(),
            _ => reply.fail(text),
        });
    }

    /// Answers who asked for groups: with them, or with a text that tells why not, or, without either, that it wants an
    /// asynchronous call.
    #[napi]
    pub fn settle_groups(&self, call: u32, groups: Option<Vec<String>>, text: Option<String>) {
        let Some(reply) = self.isolate.groups.lock().remove(&call) else { return };
        match (groups, text) {
            (Some(groups), _) => reply.groups(groups),
            (None, Some(text)) => reply.fail(text),
            (None, None) => reply.async_required(),
        }
    }

    /// Milliseconds until the callback's deadline; 0 if it was settled.
    #[napi]
    pub fn time_left(&self, call: u32) -> f64 {
        let watch = self.isolate.replies.lock().get(&call).map(|owed| owed.reply.watch());
        watch.map_or(0.0, |watch| watch.time_left().as_secs_f64() * 1000.0)
    }

    /// Says that this callback is never going to be settled, so that a manual clock need not wait for it.
    #[napi]
    pub fn hang(&self, call: u32) {
        let watch = self.isolate.replies.lock().get(&call).map(|owed| owed.reply.watch());
        if let Some(watch) = watch {
            watch.hang();
        }
    }

    /// Waits until there is something to take, at most `ms`: for the end of the process, where no loop turns.
    #[napi]
    pub fn pause(&self, ms: f64) {
        let until = std::time::Instant::now() + Duration::from_secs_f64(ms.clamp(0.0, 1000.0) / 1000.0);
        while self.isolate.queue.lock().items.is_empty() && std::time::Instant::now() < until {
            std::thread::sleep(Duration::from_micros(500));
        }
    }
}

/// Asks the JavaScript resolver at once, on this thread.
pub fn tell_groups(local: &Local, isolate: &Arc<Isolate>, asked: Asked) -> napi::Result<()> {
    let env = local.env;
    let fields = groups::to_js(&env, isolate, asked)?;
    local.decide.borrow_back(&env)?.call(FnArgs::from((fields,)))
}

/// Calls the JavaScript decider at once, on this thread.
pub fn decide(local: &Local, isolate: &Arc<Isolate>, called: Called) -> napi::Result<()> {
    let env = local.env;
    let fields = handler::to_js(&env, isolate, called)?;
    local.decide.borrow_back(&env)?.call(FnArgs::from((fields,)))
}
