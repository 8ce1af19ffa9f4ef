//! Waiting for license units: tickets, and who waits.

use std::sync::Arc;
use std::time::Duration;

use libsession_core::Ticket;
use libsession_core::license;
use libsession_core::session::QueueOptions;
use napi::Env;
use napi_derive::napi;

use crate::error::call;
use crate::isolate::{Isolate, Loop};
use crate::value::{duration, ms};

/// One wait in the queue of a pool, seen from outside.
#[napi]
pub struct NativeTicket {
    isolate: Arc<Isolate>,
    ticket: Ticket,
}

/// How long a call waits for units, and how important it is.
#[napi(object)]
pub struct HowToWait {
    pub wait_ms: f64,
    pub priority: i32,
}

/// The engine's options of a wait.
pub fn queue_options(how: Option<HowToWait>, ticket: Option<&NativeTicket>) -> QueueOptions {
    let (wait, priority) = how.map_or((Duration::ZERO, 0), |how| (duration(how.wait_ms), how.priority));
    // What is no number of 8 bits is out of the engine's bounds, too, which says so.
    let priority = i8::try_from(priority).unwrap_or(if priority < 0 { i8::MIN } else { i8::MAX });
    QueueOptions { wait, priority, ticket: ticket.map(NativeTicket::core) }
}

/// One who waits for units of a pool.
#[napi(object)]
pub struct Waiter {
    pub position: f64,
    pub holder: String,
    pub session_id: String,
    pub priority: i32,
    pub waited_ms: f64,
    pub left_ms: f64,
    pub offered: bool,
    pub process: u32,
}

impl From<license::Waiter> for Waiter {
    fn from(one: license::Waiter) -> Self {
        Self {
            position: one.position as f64,
            holder: one.holder.to_string(),
            session_id: one.session_id.to_string(),
            priority: one.priority.into(),
            waited_ms: ms(one.waited),
            left_ms: ms(one.left),
            offered: one.offered,
            process: one.process,
        }
    }
}

#[napi]
impl Loop {
    /// A ticket that nothing waits with.
    #[napi]
    pub fn ticket(&self) -> NativeTicket {
        NativeTicket { isolate: self.isolate.clone(), ticket: Ticket::new() }
    }
}

impl NativeTicket {
    /// The engine's.
    pub fn core(&self) -> Ticket {
        self.ticket.clone()
    }
}

#[napi]
impl NativeTicket {
    /// Cancels the wait.
    #[napi]
    pub fn cancel(&self, env: &Env) -> napi::Result<()> {
        call(env, &self.isolate, || {
            self.ticket.cancel();
            Ok(())
        })
    }

    /// How many come first, plus one.
    #[napi]
    pub fn position(&self, env: &Env) -> napi::Result<Option<f64>> {
        call(env, &self.isolate, || Ok(self.ticket.position()?.map(|position| position as f64)))
    }

    /// Whether a call waits with it.
    #[napi]
    pub fn waits(&self) -> bool {
        self.ticket.waits()
    }
}
