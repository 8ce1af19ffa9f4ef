//! A request in flight.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use libsession_core::error::Result;
use libsession_core::reason::LockMode;
use libsession_core::request::Request;
use libsession_core::session::{FeatureOptions, LoginOptions};
use napi::Env;
use napi::bindgen_prelude::Unknown;
use napi_derive::napi;

use crate::attached::Attached;
use crate::error::call;
use crate::isolate::{Isolate, Outcome};
use crate::manager::{HowToEnd, end_later};
use crate::outcome;
use crate::queue::{HowToWait, NativeTicket, queue_options};
use crate::value::{duration, timeout, unknown};
use crate::wait::{blocking, later};

/// A request in flight, or the draft of a session.
#[napi]
pub struct NativeRequest {
    isolate: Arc<Isolate>,
    pub(crate) request: Request,
    finished: bool,
}

impl NativeRequest {
    /// Of a request, for an environment.
    pub fn new(isolate: Arc<Isolate>, request: Request) -> Self {
        Self { isolate, request, finished: false }
    }
}

/// A request that was forgotten is finished where a callback can be waited for, and that is not in the garbage
/// collector.
fn finish_elsewhere(request: Request) {
    static FORGOTTEN: OnceLock<Option<Sender<Request>>> = OnceLock::new();
    let forgotten = FORGOTTEN.get_or_init(|| {
        let (to, from) = channel::<Request>();
        std::thread::Builder::new()
            .name("libsession-forgotten".into())
            .spawn(move || from.into_iter().for_each(drop))
            .is_ok()
            .then_some(to)
    });
    if let Some(forgotten) = forgotten {
        // Were the thread gone, the request would come back and be dropped here.
        let _ = forgotten.send(request);
    }
}

impl Drop for NativeRequest {
    fn drop(&mut self) {
        if !self.finished {
            finish_elsewhere(self.request.clone());
        }
    }
}

fn lock_mode(code: u32) -> LockMode {
    LockMode::from_code(code).unwrap_or(LockMode::Exclusive)
}

/// Not undefined: that would be no result yet.
fn nothing_later<'env>(env: &'env Env, _: &Arc<Isolate>, (): ()) -> napi::Result<Outcome<'env>> {
    Ok(Ok(unknown(env, true)?))
}

fn login_later<'env>(
    env: &'env Env,
    _: &Arc<Isolate>,
    login: libsession_core::session::Login,
) -> napi::Result<Outcome<'env>> {
    Ok(Ok(unknown(env, outcome::Login::from(login))?))
}

fn logout_later<'env>(
    env: &'env Env,
    _: &Arc<Isolate>,
    logout: libsession_core::session::Logout,
) -> napi::Result<Outcome<'env>> {
    Ok(Ok(unknown(env, outcome::Logout::from(logout))?))
}

#[napi]
impl NativeRequest {
    pub(crate) fn call<T>(&self, env: &Env, run: impl FnOnce() -> Result<T>) -> napi::Result<T> {
        call(env, &self.isolate, run)
    }

    /// The session's public id.
    #[napi]
    pub fn id(&self) -> String {
        self.request.id().to_string()
    }

    /// The session's token as this request knows it.
    #[napi]
    pub fn token(&self) -> String {
        self.request.token().reveal()
    }

    /// Whether this is the session's first request.
    #[napi]
    pub fn is_new(&self) -> bool {
        self.request.is_new()
    }

    /// The session as it is now.
    #[napi]
    pub fn info(&self, env: &Env) -> napi::Result<outcome::SessionInfo> {
        self.call(env, || self.request.info().map(Into::into))
    }

    /// The session's application.
    #[napi]
    pub fn application(&self, env: &Env) -> napi::Result<String> {
        self.call(env, || Ok(self.request.application()?.to_string()))
    }

    /// The user.
    #[napi]
    pub fn user(&self, env: &Env) -> napi::Result<Option<String>> {
        self.call(env, || Ok(self.request.user()?.map(|user| user.to_string())))
    }

    /// Who is charged for the session.
    #[napi]
    pub fn license_holder(&self, env: &Env) -> napi::Result<Option<String>> {
        self.call(env, || Ok(self.request.license_holder()?.map(|holder| holder.to_string())))
    }

    /// Commits the writes so far.
    #[napi]
    pub fn save(&self, env: &Env) -> napi::Result<()> {
        self.call(env, || self.request.save())
    }

    /// Drops the writes so far.
    #[napi]
    pub fn discard(&self, env: &Env) -> napi::Result<()> {
        self.call(env, || self.request.discard())
    }

    /// Commits and ends the request.
    #[napi]
    pub fn finish(&mut self, env: &Env) -> napi::Result<()> {
        self.finished = true;
        self.call(env, || self.request.finish())
    }

    // --- lock ---

    /// Frees the lock early.
    #[napi]
    pub fn unlock(&self, env: &Env, save: bool) -> napi::Result<()> {
        self.call(env, || self.request.unlock(save))
    }

    /// Takes the lock again, if it is free now.
    #[napi]
    pub fn lock(&self, env: &Env, mode: u32) -> napi::Result<()> {
        self.call(env, || self.request.lock(lock_mode(mode), Some(Duration::ZERO)))
    }

    /// As `lock`, for the promise `id`; waits, until the ticket is cancelled at most.
    #[napi]
    pub fn lock_later<'env>(
        &self,
        env: &'env Env,
        id: u32,
        mode: u32,
        wait_ms: Option<f64>,
        ticket: Option<&NativeTicket>,
    ) -> napi::Result<Option<Unknown<'env>>> {
        later(env, &self.isolate, id, nothing_later, |then| {
            let ticket = ticket.map(NativeTicket::core);
            self.request.lock_async(lock_mode(mode), wait_ms.map(duration), ticket, then);
            Ok(())
        })
    }

    /// The lock it holds now.
    #[napi]
    pub fn lock_mode(&self, env: &Env) -> napi::Result<Option<String>> {
        self.call(env, || Ok(self.request.lock_mode()?.map(|mode| mode.name().into())))
    }

    // --- life ---

    /// Sets the idle timeout; infinite is never.
    #[napi]
    pub fn set_idle_timeout(&self, env: &Env, ms: f64) -> napi::Result<()> {
        self.call(env, || self.request.set_idle_timeout(timeout(ms)))
    }

    /// Sets the absolute timeout, only earlier.
    #[napi]
    pub fn set_absolute_timeout(&self, env: &Env, ms: f64) -> napi::Result<()> {
        self.call(env, || self.request.set_absolute_timeout(duration(ms)))
    }

    /// Ends the session when its last request in flight finishes.
    #[napi]
    pub fn request_end(&self, env: &Env, end: bool) -> napi::Result<()> {
        self.call(env, || self.request.request_end(end))
    }

    /// Ends the session now.
    #[napi]
    pub fn end(&self, env: &Env, how: Option<HowToEnd>) -> napi::Result<outcome::EndOutcome> {
        self.call(env, || self.request.end(HowToEnd::options(how)?).map(Into::into))
    }

    /// A new token for the same session.
    #[napi]
    pub fn rotate(&self, env: &Env) -> napi::Result<String> {
        self.call(env, || self.request.rotate().map(|token| token.reveal()))
    }

    /// The host has authenticated `user`.
    #[napi]
    pub fn login(&self, env: &Env, user: String, groups: Option<Vec<String>>) -> napi::Result<outcome::Login> {
        self.call(env, || {
            self.request.login_with(&user, LoginOptions { groups, ..LoginOptions::default() }).map(Into::into)
        })
    }

    /// As `login`, for the promise `id`.
    #[napi]
    pub fn login_later<'env>(
        &self,
        env: &'env Env,
        id: u32,
        user: String,
        groups: Option<Vec<String>>,
        how: Option<HowToWait>,
        ticket: Option<&NativeTicket>,
    ) -> napi::Result<Option<Unknown<'env>>> {
        later(env, &self.isolate, id, login_later, |then| {
            self.request.login_async(&user, LoginOptions { groups, queue: queue_options(how, ticket) }, then);
            Ok(())
        })
    }

    /// Tries the license trade again.
    #[napi]
    pub fn trade(&self, env: &Env, groups: Option<Vec<String>>) -> napi::Result<()> {
        self.call(env, || self.request.trade_with(LoginOptions { groups, ..LoginOptions::default() }))
    }

    /// As `trade`, for the promise `id`.
    #[napi]
    pub fn trade_later<'env>(
        &self,
        env: &'env Env,
        id: u32,
        groups: Option<Vec<String>>,
        how: Option<HowToWait>,
        ticket: Option<&NativeTicket>,
    ) -> napi::Result<Option<Unknown<'env>>> {
        later(env, &self.isolate, id, nothing_later, |then| {
            self.request.trade_async(LoginOptions { groups, queue: queue_options(how, ticket) }, then);
            Ok(())
        })
    }

    /// Takes a feature.
    #[napi]
    pub fn take_feature(&self, env: &Env, pool: String, count: f64, groups: Option<Vec<String>>) -> napi::Result<()> {
        self.call(env, || {
            self.request
                .take_feature(&pool, FeatureOptions { count: count as u64, groups, ..FeatureOptions::default() })
        })
    }

    /// As `takeFeature`, for the promise `id`.
    #[napi]
    #[allow(clippy::too_many_arguments)]
    pub fn take_feature_later<'env>(
        &self,
        env: &'env Env,
        id: u32,
        pool: String,
        count: f64,
        groups: Option<Vec<String>>,
        how: Option<HowToWait>,
        ticket: Option<&NativeTicket>,
    ) -> napi::Result<Option<Unknown<'env>>> {
        later(env, &self.isolate, id, nothing_later, |then| {
            let options = FeatureOptions { count: count as u64, groups, queue: queue_options(how, ticket) };
            self.request.take_feature_async(&pool, options, then);
            Ok(())
        })
    }

    /// Returns a feature; how often.
    #[napi]
    pub fn return_feature(&self, env: &Env, pool: String, count: f64) -> napi::Result<f64> {
        self.call(env, || self.request.return_feature(&pool, count as u64).map(|returned| returned as f64))
    }

    /// What the session has taken.
    #[napi]
    pub fn features(&self, env: &Env) -> napi::Result<Vec<outcome::Feature>> {
        self.call(env, || Ok(self.request.features()?.into_iter().map(Into::into).collect()))
    }

    /// The user leaves.
    #[napi]
    pub fn logout(&self, env: &Env, force: bool) -> napi::Result<outcome::Logout> {
        self.call(env, || self.request.logout(force).map(Into::into))
    }

    /// As `logout`, for the promise `id`.
    #[napi]
    pub fn logout_later<'env>(&self, env: &'env Env, id: u32, force: bool) -> napi::Result<Option<Unknown<'env>>> {
        later(env, &self.isolate, id, logout_later, |then| {
            self.request.logout_async(force, then);
            Ok(())
        })
    }

    // --- event classes ---

    /// Puts a class to the front of the session's list.
    #[napi]
    pub fn event_class_add(&self, env: &Env, name: String, namespace: Option<String>) -> napi::Result<()> {
        self.call(env, || self.request.event_class_add(&name, namespace.as_deref()))
    }

    /// Removes a class, or all of the namespace.
    #[napi]
    pub fn event_class_remove(&self, env: &Env, name: Option<String>, namespace: Option<String>) -> napi::Result<bool> {
        self.call(env, || self.request.event_class_remove(name.as_deref(), namespace.as_deref()))
    }

    /// Whether the session lists it.
    #[napi]
    pub fn event_class_exists(&self, env: &Env, name: String, namespace: Option<String>) -> napi::Result<bool> {
        self.call(env, || self.request.event_class_exists(&name, namespace.as_deref()))
    }

    /// The session's list: `[namespace, name]`, first called first.
    #[napi]
    pub fn event_class_list(&self, env: &Env) -> napi::Result<Vec<Vec<String>>> {
        self.call(env, || {
            let list = self.request.event_class_list()?;
            Ok(list.into_iter().map(|(namespace, name)| vec![namespace.to_string(), name.to_string()]).collect())
        })
    }

    /// Empties the list.
    #[napi]
    pub fn event_class_clear(&self, env: &Env) -> napi::Result<()> {
        self.call(env, || self.request.event_class_clear())
    }

    /// Adds only if absent; "" has no effect.
    #[napi]
    pub fn set_event_class(&self, env: &Env, name: String) -> napi::Result<()> {
        self.call(env, || self.request.set_event_class(&name))
    }

    // --- attachments ---

    /// Keeps the object of this number with the session; the number of the one before.
    #[napi]
    pub fn attach(&self, env: &Env, name: String, number: u32) -> napi::Result<Option<u32>> {
        let object = Attached::keep(self.isolate.clone(), number);
        let before = self.call(env, || self.request.attach(&name, object))?;
        Ok(Attached::number(before, self.isolate.id, true))
    }

    /// The number of the object under this name.
    #[napi]
    pub fn attachment(&self, env: &Env, name: String) -> napi::Result<Option<u32>> {
        let object = self.call(env, || self.request.attachment(&name))?;
        Ok(Attached::number(object, self.isolate.id, false))
    }

    /// Takes the object away from the session.
    #[napi]
    pub fn detach(&self, env: &Env, name: String) -> napi::Result<Option<u32>> {
        let object = self.call(env, || self.request.detach(&name))?;
        Ok(Attached::number(object, self.isolate.id, true))
    }

    // --- where a decider or a callback is waited for ---

    /// As `finish`, for the promise `id`: an asynchronous `on_expiring` can be asked.
    #[napi]
    pub fn finish_later(&mut self, env: &Env, id: u32) -> napi::Result<()> {
        self.finished = true;
        let request = self.request.clone();
        blocking(env, &self.isolate, id, nothing_later, move || request.finish())
    }

    /// As `end`, for the promise `id`.
    #[napi]
    pub fn end_later(&self, env: &Env, id: u32, how: Option<HowToEnd>) -> napi::Result<()> {
        let options = self.call(env, || HowToEnd::options(how))?;
        let request = self.request.clone();
        blocking(env, &self.isolate, id, end_later, move || request.end(options))
    }
}
