//! Requests in flight and drafts: their own writes over what is committed.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use crate::sync::Mutex;

use super::Engine;
use super::ask::{Wait, now};
use super::create::change_draft_classes;
use crate::config::{check_timeout, timeout_ms};
use crate::data::{Tree, Writes};
use crate::error::{Error, ErrorKind, Result};
use crate::event::ClassRef;
use crate::id::Token;
use crate::license::back::Refusal;
use crate::reason::{EndReason, EventKind, LicenseClass, LockMode, ThreadKind};
use crate::request::Request;
use crate::table::{At, ClassChange, Draft, Finished, Found, NewSession, RequestKey, SessionRef};

/// The writes of a request that wrote nothing.
static NOTHING: LazyLock<Writes> = LazyLock::new(Writes::default);

/// A request in flight, or a draft.
pub(crate) struct InFlight {
    pub engine: Arc<Engine>,
    pub session: SessionRef,
    pub is_new: bool,
    number: Option<u32>,
    state: Mutex<State>,
}

struct State {
    /// What it wrote, or looked at; most requests only touch.
    writes: Option<Box<Writes>>,
    token: Token,
    phase: Phase,
    draft: Option<Box<DraftState>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    Finished,
    Gone(EndReason),
}

/// What callbacks may set on a draft.
pub(super) struct DraftState {
    base: Tree,
    application: u32,
    pub classes: Arc<[ClassRef]>,
    pub idle: u64,
    /// Whether that was set for this session.
    pub own_idle: bool,
    pub absolute: u64,
}

impl InFlight {
    pub fn live(engine: Arc<Engine>, session: SessionRef, number: u32, token: Token, is_new: bool) -> Self {
        let state = State { writes: None, token, phase: Phase::Open, draft: None };
        Self { engine, session, is_new, number: Some(number), state: Mutex::new(state) }
    }

    pub(super) fn draft(engine: Arc<Engine>, draft: Draft, new: &mut NewSession) -> Self {
        let state = DraftState {
            base: new.data.clone(),
            application: new.application,
            classes: new.classes.clone(),
            idle: new.idle,
            own_idle: false,
            absolute: new.absolute,
        };
        let state = State { writes: None, token: draft.token, phase: Phase::Open, draft: Some(Box::new(state)) };
        Self { engine, session: draft.session, is_new: true, number: None, state: Mutex::new(state) }
    }

    pub(super) fn close_draft(&self) -> Option<(Writes, DraftState)> {
        let mut state = self.state.lock();
        state.phase = Phase::Finished;
        let draft = state.draft.take()?;
        Some((state.writes.take().map_or_else(Writes::default, |writes| *writes), *draft))
    }

    pub fn token(&self) -> Token {
        self.state.lock().token
    }

    pub fn set_token(&self, token: Token) {
        self.state.lock().token = token;
    }

    pub(super) fn key(&self) -> Option<RequestKey> {
        self.number.map(|number| RequestKey { session: self.session, number })
    }

    fn open(state: &State) -> Result<()> {
        match state.phase {
            Phase::Open => Ok(()),
            Phase::Finished => Err(Error::new(ErrorKind::Closed, "the request is finished")),
            Phase::Gone(reason) => Err(Error::gone(reason)),
        }
    }

    /// The key of a request that is in flight, for what a draft can't do.
    pub fn in_flight(&self) -> Result<RequestKey> {
        self.engine.enter_closing()?;
        Self::open(&self.state.lock())?;
        self.key().ok_or_else(|| {
            Error::new(
                ErrorKind::Reentrant,
                "the session is a draft: this is not possible before on_start has returned",
            )
        })
    }

    /// Remembers that the session ended, so that every later call says so.
    pub fn resolve<T>(&self, found: Found<T>) -> Result<T> {
        match found {
            Found::Live(live) => Ok(live),
            Found::Absent => Err(Error::absent()),
            Found::Gone(reason) => {
                let mut state = self.state.lock();
                if state.phase == Phase::Open {
                    state.phase = Phase::Gone(reason);
                    state.writes = None;
                }
                drop(state);
                // A read does not end what it finds overdue: this does, under no lock.
                self.engine.table.find(self.engine.at(), self.session.id);
                self.engine.pump();
                Err(Error::gone(reason))
            }
            Found::Failed(error) => Err(error),
        }
    }

    /// Shows the writes and what is committed below them.
    pub fn with<R>(&self, look: impl FnOnce(&mut Writes, &Tree) -> Result<R>) -> Result<R> {
        self.engine.enter_closing()?;
        let mut guard = self.state.lock();
        Self::open(&guard)?;
        let state = &mut *guard;
        if let Some(draft) = &state.draft {
            return look(state.writes.get_or_insert_default(), &draft.base);
        }
        let Some(key) = self.key() else { return Err(Error::new(ErrorKind::Closed, "the draft is closed")) };
        let mut look = Some(look);
        let mut result = None;
        let found = self.engine.table.read(self.engine.at(), &key, &mut |tree| {
            if let Some(look) = look.take() {
                result = Some(look(state.writes.get_or_insert_default(), tree));
            }
        });
        drop(guard);
        self.resolve(found)??;
        result.unwrap_or_else(|| Err(Error::new(ErrorKind::Internal, "the table did not show its data")))
    }

    pub fn save(&self) -> Result<()> {
        self.engine.enter_closing()?;
        let writes = {
            let mut state = self.state.lock();
            Self::open(&state)?;
            if state.draft.is_some() {
                return Ok(());
            }
            match state.writes.take_if(|writes| !writes.is_empty()) {
                Some(writes) => writes,
                None => return Ok(()),
            }
        };
        let Some(key) = self.key() else { return Ok(()) };
        let found = self.engine.table.save(self.engine.at(), &key, &writes);
        let saved = match found {
            Found::Failed(error) => Err(error),
            found => self.resolve(found)?,
        };
        if saved.is_err() {
            self.keep(Some(writes));
        }
        self.engine.after_write(self.session, saved)
    }

    /// Nothing was written: the writes stay. Who wrote meanwhile from another thread loses nothing either.
    fn keep(&self, writes: Option<Box<Writes>>) {
        let mut state = self.state.lock();
        if state.writes.as_ref().is_none_or(|writes| writes.is_empty()) {
            state.writes = writes;
        }
    }

    pub fn discard(&self) -> Result<()> {
        self.engine.enter_closing()?;
        let mut state = self.state.lock();
        Self::open(&state)?;
        state.writes = None;
        Ok(())
    }

    /// Commits and ends the request; the session may end with it.
    pub fn finish(&self) -> Result<()> {
        let finished = self.leave()?;
        if finished.end_now {
            now(|then| {
                let end = Box::new(move || then(finished.committed));
                self.engine.end_after_request(Wait::Blocking, self.session, end);
            })
        } else {
            finished.committed
        }
    }

    /// Ends the request, and nothing else.
    pub(super) fn leave(&self) -> Result<Finished> {
        let engine = &self.engine;
        engine.enter_closing()?;
        let Some(key) = self.key() else {
            return Err(Error::new(ErrorKind::Reentrant, "a draft is finished by the creation itself"));
        };
        let writes = {
            let mut state = self.state.lock();
            Self::open(&state)?;
            state.phase = Phase::Finished;
            state.writes.take()
        };
        let tells = engine.dispatcher.kinds() & EventKind::EndRequest.bit() != 0;
        let card = if tells { engine.table.card(engine.at(), self.session).live().ok() } else { None };
        let finished = engine.table.finish(engine.at(), &key, writes.as_deref().unwrap_or(&NOTHING));
        if !matches!(finished, Found::Failed(_)) {
            engine.wake_waits_of(&key);
        }
        match finished {
            Found::Live(mut finished) => {
                finished.committed = engine.after_write(self.session, finished.committed);
                if let Some(card) = card {
                    let card = engine.table.card(engine.at(), self.session).live().unwrap_or(card);
                    let event = engine.event_of(EventKind::EndRequest, &card, ThreadKind::Request);
                    engine.tell(card.classes.iter().cloned(), event);
                }
                Ok(finished)
            }
            Found::Absent => Err(Error::absent()),
            Found::Gone(reason) => {
                self.state.lock().phase = Phase::Gone(reason);
                engine.pump();
                Err(Error::gone(reason))
            }
            Found::Failed(error) => {
                // It is in flight still: whoever has it may try again, and its drop will.
                self.state.lock().phase = Phase::Open;
                self.keep(writes);
                Err(error)
            }
        }
    }

    pub fn set_idle_timeout(&self, timeout: Option<Duration>) -> Result<()> {
        check_timeout("idle_timeout", timeout)?;
        let idle = timeout_ms(timeout);
        if self.change_draft(|draft| (draft.idle, draft.own_idle) = (idle, true))?.is_some() {
            return Ok(());
        }
        self.in_flight()?;
        self.resolve(self.engine.table.set_timeouts(self.engine.at(), self.session, Some(idle), None))?
    }

    pub fn set_absolute_timeout(&self, timeout: Duration) -> Result<()> {
        check_timeout("absolute_timeout", Some(timeout))?;
        let absolute = timeout_ms(Some(timeout));
        let drafted = self.change_draft(|draft| {
            let earlier = draft.absolute == 0 || absolute <= draft.absolute;
            if earlier {
                draft.absolute = absolute;
            }
            earlier
        })?;
        match drafted {
            Some(true) => return Ok(()),
            Some(false) => return Err(Error::invalid("an absolute timeout can only be set earlier")),
            None => {}
        }
        self.in_flight()?;
        self.resolve(self.engine.table.set_timeouts(self.engine.at(), self.session, None, Some(absolute)))?
    }

    fn change_draft<R>(&self, change: impl FnOnce(&mut DraftState) -> R) -> Result<Option<R>> {
        self.engine.enter_closing()?;
        let mut state = self.state.lock();
        Self::open(&state)?;
        Ok(state.draft.as_mut().map(|draft| change(draft)))
    }

    pub fn change_classes(&self, change: ClassChange) -> Result<bool> {
        if let Some(changed) = self.change_draft(|draft| change_draft_classes(&mut draft.classes, &change))? {
            return Ok(changed);
        }
        self.in_flight()?;
        self.resolve(self.engine.table.change_classes(self.engine.at(), self.session, change))
    }

    pub fn classes(&self) -> Result<Arc<[ClassRef]>> {
        if let Some(classes) = self.change_draft(|draft| draft.classes.clone())? {
            return Ok(classes);
        }
        self.in_flight()?;
        Ok(self.resolve(self.engine.table.card(self.engine.at(), self.session))?.classes)
    }

    /// The namespace of the session.
    pub fn namespace(&self) -> Result<Arc<str>> {
        if let Some(application) = self.change_draft(|draft| draft.application)? {
            return Ok(self.engine.app(application).namespace.clone());
        }
        let card = self.resolve(self.engine.table.card(self.engine.at(), self.session))?;
        Ok(self.engine.app(card.application).namespace.clone())
    }

    /// Fails if the request is over, here or in the table: what waited for units on its behalf gets none.
    pub fn still(&self) -> Result<()> {
        self.lock_mode().map(drop)
    }

    pub fn lock_mode(&self) -> Result<Option<LockMode>> {
        let key = self.in_flight()?;
        self.resolve(self.engine.table.lock_of(self.engine.at(), &key))
    }

    pub fn at(&self) -> At {
        self.engine.at()
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let open = {
            let state = self.state.get_mut();
            state.phase == Phase::Open && self.number.is_some()
        };
        if open {
            // Whatever comes of it, there is nobody left to tell but the log.
            match self.finish() {
                Err(error) if error.kind().code() > 0 && error.kind() != ErrorKind::Forked => {
                    log::warn!(target: "libsession", "a request that was left open could not be committed: {error}");
                }
                _ => {}
            }
        }
    }
}

impl Engine {
    /// What comes of a write that may have taken the session's unit: a denial says when to try again.
    pub fn after_write(&self, session: SessionRef, written: Result<()>) -> Result<()> {
        match written {
            Err(error) => Err(self.denied_later(session, error)),
            Ok(()) => {
                if self.first_writes {
                    self.pump_pools();
                }
                Ok(())
            }
        }
    }

    /// A denial by the table with the time after which a try may be worth while.
    fn denied_later(&self, session: SessionRef, error: Error) -> Error {
        match error.deny_reason() {
            Some(reason) => {
                self.pump_pools();
                let card = self.table.card(self.at(), session).look().ok().flatten();
                let pool = card.and_then(|card| card.pool());
                let refusal = pool.map(|pool| Refusal::own(pool, LicenseClass::Lazy).of(session, None));
                error.retry_after_is(self.retry_after(pool, reason, refusal.as_ref()))
            }
            _ => error,
        }
    }

    pub fn tell_request(&self, request: &Request, kind: EventKind) {
        if self.dispatcher.kinds() & kind.bit() == 0 {
            return;
        }
        // What can't be read is not told: no decision hangs on it.
        if let Found::Live(card) = self.table.card(self.at(), request.0.session) {
            self.tell(card.classes.iter().cloned(), self.event_of(kind, &card, ThreadKind::Request));
        }
    }
}
