//! The manual clock.

use std::sync::Arc;

use libsession_core::clock::ManualClock;
use napi::Env;
use napi_derive::napi;

use crate::isolate::{Isolate, Loop};
use crate::value::{duration, unknown};
use crate::wait::blocking;

/// A clock that stands still until it is told.
#[napi]
pub struct NativeClock {
    isolate: Arc<Isolate>,
    pub(crate) clock: ManualClock,
}

impl NativeClock {
    /// Of a clock, for an environment.
    pub fn new(isolate: Arc<Isolate>, clock: ManualClock) -> Self {
        Self { isolate, clock }
    }
}

#[napi]
impl Loop {
    /// A manual clock at 0.
    #[napi]
    pub fn manual_clock(&self) -> NativeClock {
        NativeClock::new(self.isolate.clone(), ManualClock::new())
    }
}

#[napi]
impl NativeClock {
    /// Engine time in milliseconds.
    #[napi]
    pub fn now(&self) -> f64 {
        self.clock.now().ms as f64
    }

    /// Milliseconds spent suspended.
    #[napi]
    pub fn suspended(&self) -> f64 {
        self.clock.now().suspended as f64
    }

    /// Wall time in milliseconds since 1970.
    #[napi]
    pub fn wall(&self) -> f64 {
        self.clock.wall_ms() as f64
    }

    /// Steps the wall clock.
    #[napi]
    pub fn set_wall(&self, unix_ms: f64) {
        self.clock.set_wall(unix_ms as i64);
    }

    /// How long `advance` waits in real time for started callbacks.
    #[napi]
    pub fn set_settle(&self, ms: f64) {
        self.clock.set_settle(duration(ms));
    }

    /// Goes forward, for the promise `id`: how many callbacks still run.
    #[napi]
    pub fn advance(&self, env: &Env, id: u32, ms: f64) -> napi::Result<()> {
        let clock = self.clock.clone();
        let done = move || clock.advance(duration(ms)).map(|pending| pending as u32);
        blocking(env, &self.isolate, id, |env, _, pending| Ok(Ok(unknown(env, pending)?)), done)
    }

    /// The machine sleeps, for the promise `id`.
    #[napi]
    pub fn suspend(&self, env: &Env, id: u32, ms: f64) -> napi::Result<()> {
        let clock = self.clock.clone();
        blocking(env, &self.isolate, id, |env, _, ()| Ok(Ok(unknown(env, ())?)), move || clock.suspend(duration(ms)))
    }
}
