//! The manager: sessions are made, begun and ended here. `manage` has what administrators use.

use std::sync::Arc;
use std::time::Duration;

use libsession_core::data::{Value, from_json};
use libsession_core::error::{Error, Result};
use libsession_core::id::SessionId;
use libsession_core::manager::Manager;
use libsession_core::reason::{EndLevel, EndReason, LicenseClass, LockMode, TouchKind};
use libsession_core::request::Request;
use libsession_core::session::{Begin, BeginOptions, Client, CreateOptions, EndOptions, QueueOptions, Touched};
use napi::Env;
use napi::bindgen_prelude::{Either, Unknown};
use napi_derive::napi;

use crate::clock::NativeClock;
use crate::error::{call, guard};
use crate::isolate::{Isolate, Loop, Outcome};
use crate::options::ManagerOptions;
use crate::outcome;
use crate::queue::{HowToWait, NativeTicket, queue_options};
use crate::registry::{self, Shared};
use crate::request::NativeRequest;
use crate::value::{duration, ms, timeout, unknown};
use crate::wait::later;

/// A manager, as one environment has it.
#[napi]
pub struct NativeManager {
    pub(crate) isolate: Arc<Isolate>,
    pub(crate) shared: Arc<Shared>,
}

/// How a session is made.
#[napi(object)]
pub struct NewSession {
    pub application: Option<String>,
    pub address: Option<String>,
    pub user_agent: Option<String>,
    pub referrer: Option<String>,
    /// The engine's JSON text of a map.
    pub data: Option<String>,
    pub license_class: Option<String>,
    /// Infinite is never.
    pub idle_timeout_ms: Option<f64>,
    pub absolute_timeout_ms: Option<f64>,
}

/// How a session is ended.
#[napi(object)]
pub struct HowToEnd {
    pub level: Option<String>,
    pub reason: Option<String>,
    pub actor: Option<String>,
    pub note: Option<String>,
    pub wait_ms: Option<f64>,
}

impl NewSession {
    fn options(self, queue: QueueOptions) -> Result<CreateOptions> {
        let data = match self.data.as_deref().map(from_json).transpose()? {
            None => Vec::new(),
            Some(Value::Map(entries)) => entries,
            Some(other) => return Err(Error::invalid(format!("data is a {}, not an object", other.kind()))),
        };
        Ok(CreateOptions {
            application: self.application,
            client: Client { address: self.address, user_agent: self.user_agent, referrer: self.referrer },
            data,
            license_class: self
                .license_class
                .map(|word| {
                    LicenseClass::from_name(&word)
                        .ok_or_else(|| Error::invalid(format!("licenseClass '{word}' is not known")))
                })
                .transpose()?,
            idle_timeout: self.idle_timeout_ms.map(timeout),
            absolute_timeout: self.absolute_timeout_ms.map(duration),
            queue,
        })
    }
}

impl HowToEnd {
    /// The engine's options; without any those of `default`.
    pub fn options(how: Option<Self>) -> Result<EndOptions> {
        let mut options = EndOptions::default();
        let Some(how) = how else { return Ok(options) };
        if let Some(word) = how.level {
            options.level = EndLevel::from_name(&word)
                .ok_or_else(|| Error::invalid(format!("level '{word}' is not one of request, force, kill")))?;
        }
        if let Some(word) = how.reason {
            options.reason = EndReason::from_name(&word)
                .ok_or_else(|| Error::invalid(format!("there is no end reason '{word}'")))?;
        }
        options.actor = how.actor;
        options.note = how.note;
        options.wait = how.wait_ms.map(duration);
        Ok(options)
    }
}

/// The engine's options of a begin; 0 leaves a choice to the engine. A wait only where the caller can wait.
fn begin_options(touch: u32, lock: u32, application: Option<String>, wait: Option<Duration>) -> BeginOptions {
    BeginOptions {
        touch: TouchKind::from_code(touch),
        lock: LockMode::from_code(lock),
        lock_timeout: wait,
        application,
        ..BeginOptions::default()
    }
}

/// The outcome of a begin: a request, or a number: 0 for absent, the reason's for gone.
fn begun(isolate: &Arc<Isolate>, begin: Begin) -> Either<NativeRequest, u32> {
    match begin {
        Begin::Live(request) => Either::A(NativeRequest::new(isolate.clone(), request)),
        Begin::Absent => Either::B(0),
        Begin::Gone(reason) => Either::B(reason.code()),
    }
}

fn created_later<'env>(
    env: &'env Env,
    _: &Arc<Isolate>,
    created: libsession_core::session::Created,
) -> napi::Result<Outcome<'env>> {
    Ok(Ok(unknown(env, outcome::Created::from(created))?))
}

fn begun_later<'env>(env: &'env Env, isolate: &Arc<Isolate>, begin: Begin) -> napi::Result<Outcome<'env>> {
    Ok(Ok(unknown(env, begun(isolate, begin))?))
}

fn request_later<'env>(env: &'env Env, isolate: &Arc<Isolate>, request: Request) -> napi::Result<Outcome<'env>> {
    Ok(Ok(unknown(env, NativeRequest::new(isolate.clone(), request))?))
}

/// An end's outcome for a promise.
pub fn end_later<'env>(
    env: &'env Env,
    _: &Arc<Isolate>,
    end: libsession_core::session::EndOutcome,
) -> napi::Result<Outcome<'env>> {
    Ok(Ok(unknown(env, outcome::EndOutcome::from(end))?))
}

#[napi]
impl Loop {
    /// Opens a manager, or joins the one of this name. `canonical` is the text of the options, empty if there are none.
    #[napi]
    pub fn open(
        &self,
        env: &Env,
        options: ManagerOptions,
        canonical: String,
        clock: Option<&NativeClock>,
    ) -> napi::Result<NativeManager> {
        let clock = clock.map(|clock| clock.clock.clone());
        let shared = call(env, &self.isolate, || {
            let name = options.name.clone();
            let occupy = options.occupy_workers.unwrap_or(false);
            registry::open(self.isolate.id, name, canonical, occupy, || Manager::new(options.config(clock)?))
        })?;
        Ok(NativeManager { isolate: self.isolate.clone(), shared })
    }
}

#[napi]
impl NativeManager {
    /// The manual clock, if it has one.
    #[napi]
    pub fn clock(&self) -> Option<NativeClock> {
        let clock = self.shared.manager.clock();
        clock.manual().map(|manual| NativeClock::new(self.isolate.clone(), manual.clone()))
    }

    /// Makes a session.
    #[napi]
    pub fn create(&self, env: &Env, session: NewSession) -> napi::Result<outcome::Created> {
        guard(env, &self.isolate, false, || {
            self.shared.manager.create(session.options(QueueOptions::default())?).map(Into::into)
        })
    }

    /// As `create`, for the promise `id`.
    #[napi]
    pub fn create_later<'env>(
        &self,
        env: &'env Env,
        id: u32,
        session: NewSession,
        how: Option<HowToWait>,
        ticket: Option<&NativeTicket>,
    ) -> napi::Result<Option<Unknown<'env>>> {
        later(env, &self.isolate, id, created_later, |then| {
            self.shared.manager.create_async(session.options(queue_options(how, ticket))?, then);
            Ok(())
        })
    }

    /// Makes a session and begins its first request.
    #[napi]
    pub fn begin_new(&self, env: &Env, session: NewSession, touch: u32, lock: u32) -> napi::Result<NativeRequest> {
        let request = guard(env, &self.isolate, false, || {
            let begin = begin_options(touch, lock, None, Some(Duration::ZERO));
            self.shared.manager.begin_new(session.options(QueueOptions::default())?, begin)
        })?;
        Ok(NativeRequest::new(self.isolate.clone(), request))
    }

    /// As `beginNew`, for the promise `id`.
    #[napi]
    #[allow(clippy::too_many_arguments)]
    pub fn begin_new_later<'env>(
        &self,
        env: &'env Env,
        id: u32,
        session: NewSession,
        touch: u32,
        lock: u32,
        how: Option<HowToWait>,
        ticket: Option<&NativeTicket>,
    ) -> napi::Result<Option<Unknown<'env>>> {
        later(env, &self.isolate, id, request_later, |then| {
            let begin = begin_options(touch, lock, None, None);
            let options = session.options(queue_options(how, ticket))?;
            self.shared.manager.begin_new_async(options, begin, then);
            Ok(())
        })
    }

    /// Begins a request; never waits for a lock.
    #[napi]
    pub fn begin(
        &self,
        env: &Env,
        token: String,
        touch: u32,
        lock: u32,
        application: Option<String>,
    ) -> napi::Result<Either<NativeRequest, u32>> {
        let begin = guard(env, &self.isolate, false, || {
            self.shared.manager.begin(&token, begin_options(touch, lock, application, Some(Duration::ZERO)))
        })?;
        Ok(begun(&self.isolate, begin))
    }

    /// As `begin`, for the promise `id`; waits for the lock up to `wait_ms`, or until the ticket is cancelled.
    #[napi]
    #[allow(clippy::too_many_arguments)]
    pub fn begin_later<'env>(
        &self,
        env: &'env Env,
        id: u32,
        token: String,
        touch: u32,
        lock: u32,
        application: Option<String>,
        wait_ms: Option<f64>,
        ticket: Option<&NativeTicket>,
    ) -> napi::Result<Option<Unknown<'env>>> {
        later(env, &self.isolate, id, begun_later, |then| {
            let options = begin_options(touch, lock, application, wait_ms.map(duration));
            let options = BeginOptions { ticket: ticket.map(NativeTicket::core), ..options };
            self.shared.manager.begin_async(&token, options, then);
            Ok(())
        })
    }

    /// Uses a session without a request. Milliseconds until its deadline, infinite if there is none; −1 for absent,
    /// −1 − the reason's number for gone.
    #[napi]
    pub fn touch(&self, env: &Env, token: String, kind: u32) -> napi::Result<f64> {
        let kind = TouchKind::from_code(kind).unwrap_or(TouchKind::Activity);
        let touched = call(env, &self.isolate, || self.shared.manager.touch(&token, kind))?;
        Ok(match touched {
            Touched::Live(Some(remaining)) => ms(remaining),
            Touched::Live(None) => f64::INFINITY,
            Touched::Absent => -1.0,
            Touched::Gone(reason) => -1.0 - f64::from(reason.code()),
        })
    }

    /// The session's public id, if the token opens a live one.
    #[napi]
    pub fn id_of(&self, env: &Env, token: String) -> napi::Result<Option<String>> {
        let id = call(env, &self.isolate, || self.shared.manager.id_of(&token))?;
        Ok(id.map(|id| id.to_string()))
    }

    /// Ends a session.
    #[napi]
    pub fn end(&self, env: &Env, id: String, how: Option<HowToEnd>) -> napi::Result<outcome::EndOutcome> {
        guard(env, &self.isolate, false, || {
            self.shared.manager.end(SessionId::parse(&id)?, HowToEnd::options(how)?).map(Into::into)
        })
    }

    /// As `end`, for the promise `id`.
    #[napi]
    pub fn end_later<'env>(
        &self,
        env: &'env Env,
        id: u32,
        session: String,
        how: Option<HowToEnd>,
    ) -> napi::Result<Option<Unknown<'env>>> {
        later(env, &self.isolate, id, end_later, |then| {
            self.shared.manager.end_async(SessionId::parse(&session)?, HowToEnd::options(how)?, then);
            Ok(())
        })
    }

    /// Live sessions.
    #[napi]
    pub fn count(&self, env: &Env) -> napi::Result<f64> {
        call(env, &self.isolate, || self.shared.manager.count().map(|count| count as f64))
    }
}
