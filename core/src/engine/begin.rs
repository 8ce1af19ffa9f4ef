//! Beginning a request: look up, wait for the lock, enter the application.

use std::sync::Arc;
use std::time::Duration;

use super::Engine;
use super::ask::{Wait, now, refusal};
use super::create::{begin_defaults, check_begin};
use super::lock::{Patience, Tried};
use super::requests::InFlight;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{DispatchMode, current};
use crate::id::{SessionId, Token};
use crate::license::back::Refusal;
use crate::manager::Then;
use crate::reason::{ApplicationTimeout, EndReason, EventKind, LicenseClass, LockMode, ThreadKind, TouchKind};
use crate::request::Request;
use crate::session::{Begin, BeginOptions, Touched};
use crate::table::{Began, BeginSpec, Found, RequestKey};

impl Engine {
    pub fn begin(self: &Arc<Self>, token: &str, options: BeginOptions) -> Result<Begin> {
        self.enter_to_serve()?;
        check_begin(&options)?;
        let entered = options.application.as_deref().map(|name| self.application(Some(name))).transpose()?;
        let Some(token) = Token::parse(token) else { return Ok(Begin::Absent) };
        let begun = self.wait_for_lock(self.patience(&options), || self.try_begin(&token, &options))?;
        match (begun, entered) {
            (Begun::Live(request, from), Some(to)) if from != to => {
                now(|then| self.enter_application(Wait::Blocking, request, from, to, then))
            }
            (begun, _) => Ok(self.begun(begun)),
        }
    }

    pub fn begin_async(self: &Arc<Self>, token: &str, options: BeginOptions, then: Then<Begin>) {
        let checked = self
            .enter()
            .and_then(|()| check_begin(&options))
            .and_then(|()| options.application.as_deref().map(|name| self.application(Some(name))).transpose());
        let entered = match checked {
            Ok(entered) => entered,
            Err(error) => return then(Err(error)),
        };
        let Some(token) = Token::parse(token) else { return then(Ok(Begin::Absent)) };
        let patience = self.patience(&options);
        let (tried, engine) = (self.clone(), self.clone());
        let then = Box::new(move |begun: Result<Begun>| match (begun, entered) {
            (Ok(Begun::Live(request, from)), Some(to)) if from != to => {
                engine.enter_application(Wait::Async, request, from, to, then);
            }
            (begun, _) => then(begun.map(|begun| engine.begun(begun))),
        });
        self.await_lock(patience, Arc::new(move || tried.try_begin(&token, &options)), then);
    }

    fn patience(&self, options: &BeginOptions) -> Patience {
        let timeout = options.lock_timeout.unwrap_or(self.config.lock_timeout);
        Patience { timeout, ticket: options.ticket.clone() }
    }

    fn begun(&self, begun: Begun) -> Begin {
        match begun {
            Begun::Live(request, _) => {
                self.tell_request(&request, EventKind::StartRequest);
                Begin::Live(request)
            }
            Begun::Absent => Begin::Absent,
            Begun::Gone(reason) => Begin::Gone(reason),
        }
    }

    fn try_begin(self: &Arc<Self>, token: &Token, options: &BeginOptions) -> Result<Tried<Begun>> {
        self.enter_to_serve()?;
        // The lock that an application prefers is known once the session is.
        let lock = self.applications.first().map_or(LockMode::Exclusive, |app| app.config.lock);
        let uniform = self.applications.iter().all(|app| app.config.lock == lock);
        let lock = if uniform || options.lock.is_some() { lock } else { self.preferred_lock(token, lock)? };
        let (touch, lock) = begin_defaults(options, lock);
        let spec = BeginSpec { touch, lock, process: crate::fork::process() };
        match self.table.begin(self.at(), token, &spec) {
            Found::Live(Began::Request { key, is_new, application, licensed, .. }) => {
                if licensed {
                    self.pump_pools();
                }
                if current::depth() > 0 && current::deciding(self.id, key.session.id) {
                    self.table.finish(self.at(), &key, &Default::default());
                    return Err(reentrant());
                }
                let in_flight = InFlight::live(self.clone(), key.session, key.number, *token, is_new);
                Ok(Tried::Done(Begun::Live(Request(Arc::new(in_flight)), application)))
            }
            Found::Live(Began::Unlicensed(pool, reason)) => {
                self.pump_pools();
                let mut refusal = Refusal::own(pool, LicenseClass::Lazy);
                if let Ok(Some(session)) = self.table.find_token(self.at(), token).look() {
                    refusal = refusal.of(session, None);
                }
                Err(self.denial(Some(pool), reason, Some(&refusal)))
            }
            Found::Live(Began::Busy(session, text)) => {
                // An inline callback runs under the request that caused it: to wait for that would be to wait for itself.
                let inline = self.config.dispatch == DispatchMode::Inline && current::about(self.id, session.id);
                if inline || current::deciding(self.id, session.id) {
                    return Err(reentrant());
                }
                Ok(Tried::Busy(RequestKey { session, number: 0 }, lock, text))
            }
            Found::Live(Began::Corrupt) => Err(Error::new(
                ErrorKind::Corrupt,
                "the session's data can't be read; a copy is in quarantine, and the session can still be ended",
            )),
            Found::Absent => Ok(Tried::Done(Begun::Absent)),
            Found::Gone(reason) => {
                self.pump();
                Ok(Tried::Done(Begun::Gone(reason)))
            }
            Found::Failed(error) => Err(error),
        }
    }

    fn preferred_lock(&self, token: &Token, default: LockMode) -> Result<LockMode> {
        let Some(session) = self.table.find_token(self.at(), token).look()? else { return Ok(default) };
        let card = self.table.card(self.at(), session).look()?;
        Ok(card.map_or(default, |card| self.app(card.application).config.lock))
    }

    /// Asks the session's classes about the application that the request names; the request holds its lock meanwhile.
    fn enter_application(self: &Arc<Self>, wait: Wait, request: Request, from: u32, to: u32, then: Then<Begin>) {
        let app = self.app(to);
        if !app.config.enabled {
            return then(Err(Error::new(ErrorKind::Denied, format!("the application '{}' is disabled", app.name))));
        }
        let card = match request.0.resolve(self.table.card(self.at(), request.0.session)) {
            Ok(card) => card,
            Err(error) => return then(outcome(error)),
        };
        let asked = self.asked_classes(&card.classes, EventKind::ApplicationChange);
        let mut event = self.event_of(EventKind::ApplicationChange, &card, ThreadKind::Request);
        event.old_application = Some(event.application);
        event.application = app.name.clone();
        event.request = Some(request.clone());
        let engine = self.clone();
        self.ask_each(
            wait,
            asked,
            Arc::new(event),
            Box::new(move |answers| {
                let refused =
                    answers.iter().find_map(|(class, answer)| refusal(EventKind::ApplicationChange, class, answer));
                if let Some(error) = refused {
                    // The request is finished before the caller hears of it, whoever else still holds its event.
                    let session = request.0.session;
                    return match request.0.discard().and_then(|()| request.0.leave()) {
                        Ok(finished) if finished.end_now => {
                            engine.end_after_request(wait, session, Box::new(move || then(Err(error))));
                        }
                        _ => then(Err(error)),
                    };
                }
                let app = engine.app(to);
                let changed = |new| changed_idle(app.config.timeout_on_application_change, card.idle, new);
                let idle = changed(app.idle).zip(changed(app.anonymous_idle));
                let classes = if app.config.event_classes_on_entry { &app.classes[..] } else { &[] };
                let found = engine.table.change_application(engine.at(), card.session, from, to, idle, classes);
                match request.0.resolve(found) {
                    // Another request of the session came first; this one serves whatever it is in now.
                    Ok(_) => then(Ok(engine.begun(Begun::Live(request, to)))),
                    Err(error) => then(outcome(error)),
                }
            }),
        );
    }

    pub fn touch(&self, token: &str, kind: TouchKind) -> Result<Touched> {
        self.enter_to_serve()?;
        let Some(token) = Token::parse(token) else { return Ok(Touched::Absent) };
        let at = self.at();
        Ok(match self.table.touch(at, &token, kind) {
            Found::Live((_, deadline)) if deadline >= crate::clock::NEVER => Touched::Live(None),
            Found::Live((_, deadline)) => {
                Touched::Live(Some(Duration::from_millis(deadline.saturating_sub(at.now.ms))))
            }
            Found::Absent => Touched::Absent,
            Found::Gone(reason) => {
                self.pump();
                Touched::Gone(reason)
            }
            Found::Failed(error) => return Err(error),
        })
    }

    pub fn id_of(&self, token: &str) -> Result<Option<SessionId>> {
        self.enter()?;
        let Some(token) = Token::parse(token) else { return Ok(None) };
        let found = self.table.find_token(self.at(), &token).look()?;
        if found.is_none() {
            self.pump();
        }
        Ok(found.map(|session| session.id))
    }
}

/// An outcome of the look-up is no error of it.
fn outcome(error: Error) -> Result<Begin> {
    match (error.kind(), error.reason()) {
        (ErrorKind::Absent, _) => Ok(Begin::Absent),
        (ErrorKind::Gone, Some(reason)) => Ok(Begin::Gone(reason)),
        _ => Err(error),
    }
}

/// What a try to begin found.
enum Begun {
    Live(Request, u32),
    Absent,
    Gone(EndReason),
}

fn changed_idle(policy: ApplicationTimeout, old: u64, new: u64) -> Option<u64> {
    // 0 is never: longer than any.
    let longer = |a: u64, b: u64| if a == 0 || b == 0 { 0 } else { a.max(b) };
    let shorter = |a: u64, b: u64| if a == 0 || b == 0 { a.max(b) } else { a.min(b) };
    match policy {
        ApplicationTimeout::Keep => None,
        ApplicationTimeout::Adopt => Some(new),
        ApplicationTimeout::Min => Some(shorter(old, new)),
        ApplicationTimeout::Max => Some(longer(old, new)),
    }
}

fn reentrant() -> Error {
    Error::new(
        ErrorKind::Reentrant,
        "a decider can't begin a request of the session it decides about: use the request of its event",
    )
}
