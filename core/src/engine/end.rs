//! Ends: by id, by request, in bulk; the receipt.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::Engine;
use super::ask::{Wait, now};
use crate::error::{Error, ErrorKind, Result};
use crate::event::dispatch_config::start_thread;
use crate::event::dispatcher::Dispatcher;
use crate::event::{CallbackOutcome, current};
use crate::id::SessionId;
use crate::manager::Then;
use crate::reason::{EndLevel, EndReason, ThreadKind};
use crate::session::{EndOptions, EndOutcome, Filter, Progress};
use crate::table::{EndSpec, Ended, Found, SessionRef};

/// Sessions that one step of a bulk change looks at.
const SCAN: usize = 1024;
/// How often is looked whether another process has told its callbacks of an end that is waited for.
const LOOK: Duration = Duration::from_millis(5);

impl Engine {
    pub fn end(self: &Arc<Self>, id: SessionId, options: EndOptions) -> Result<EndOutcome> {
        if options.level == EndLevel::Request || options.wait.is_some() {
            return now(|then| self.end_with(Wait::Blocking, id, options, then));
        }
        // Nobody is asked, and nothing is waited for.
        self.enter_to_end()?;
        check(&options)?;
        match self.table.place_of(id) {
            Some(session) => self.end_now(session, ThreadKind::Admin, options),
            None => match self.find_to_end(id)? {
                Ok(session) => self.end_now(session, ThreadKind::Admin, options),
                Err(outcome) => Ok(outcome),
            },
        }
    }

    /// A live session, or what its end comes to.
    fn find_to_end(&self, id: SessionId) -> Result<std::result::Result<SessionRef, EndOutcome>> {
        match self.table.find(self.at(), id) {
            Found::Live(session) => Ok(Ok(session)),
            Found::Absent => Ok(Err(EndOutcome::Absent)),
            Found::Gone(_) => {
                self.pump();
                let receipt = self.table.receipt(self.at(), id)?;
                Ok(Err(receipt.map_or(EndOutcome::Absent, EndOutcome::Gone)))
            }
            Found::Failed(error) => Err(error),
        }
    }

    pub fn end_with(self: &Arc<Self>, wait: Wait, id: SessionId, options: EndOptions, then: Then<EndOutcome>) {
        if let Err(error) = self.enter_to_end().and_then(|()| check(&options)) {
            return then(Err(error));
        }
        match self.find_to_end(id) {
            Ok(Ok(session)) => self.end_session(wait, session, ThreadKind::Admin, options, then),
            Ok(Err(outcome)) => then(Ok(outcome)),
            Err(error) => then(Err(error)),
        }
    }

    /// Ends a live session, after the question if the level allows it.
    pub fn end_session(
        self: &Arc<Self>,
        wait: Wait,
        session: SessionRef,
        thread: ThreadKind,
        options: EndOptions,
        then: Then<EndOutcome>,
    ) {
        if let Err(error) = check(&options) {
            return then(Err(error));
        }
        if options.level != EndLevel::Request {
            return self.end_and_tell(wait, session, thread, options, then);
        }
        let card = match self.table.card(self.at(), session) {
            Found::Live(card) => card,
            Found::Failed(error) => return then(Err(error)),
            _ => return self.end_and_tell(wait, session, thread, options, then),
        };
        let engine = self.clone();
        let go_on = Box::new(move |granted: Result<Option<(crate::event::ClassRef, Duration)>>| match granted {
            Err(error) => then(Err(error)),
            Ok(Some((class, by))) => then(Ok(EndOutcome::Extended { class: class.name.to_string(), by })),
            Ok(None) => engine.end_and_tell(wait, session, thread, options, then),
        });
        self.ask_end(wait, card, thread, go_on);
    }

    /// The commit, and then the wait for the callbacks if one is wanted: a continuation has it on a thread of its own, which
    /// does not keep the manager.
    fn end_and_tell(
        self: &Arc<Self>,
        wait: Wait,
        session: SessionRef,
        thread: ThreadKind,
        options: EndOptions,
        then: Then<EndOutcome>,
    ) {
        let callbacks = options.wait;
        let outcome = match self.end_now(session, thread, options) {
            Ok(outcome) => outcome,
            Err(error) => return then(Err(error)),
        };
        let Some(most) = callbacks else { return then(Ok(outcome)) };
        let until = Instant::now() + most.min(crate::clock::MAX_TIMEOUT);
        if wait == Wait::Blocking || !self.config.threads || matches!(outcome, EndOutcome::Absent) {
            return then(Ok(with_callbacks(outcome, &self.me, &self.dispatcher, until)));
        }
        let (engine, dispatcher) = (self.weak(), self.dispatcher.clone());
        let told = Arc::new(crate::sync::Mutex::new(Some((outcome, then))));
        let waiter = told.clone();
        let wait_and_tell = move || {
            if let Some((outcome, then)) = waiter.lock().take() {
                then(Ok(with_callbacks(outcome, &engine, &dispatcher, until)));
            }
        };
        if let Err(error) = start_thread(self.config.thread_hooks.as_ref(), "lses-receipt", wait_and_tell) {
            log::warn!("no thread to wait for the callbacks of an end: {error}");
            if let Some((outcome, then)) = told.lock().take() {
                then(Ok(outcome));
            }
        }
    }

    /// The commit.
    fn end_now(&self, session: SessionRef, thread: ThreadKind, options: EndOptions) -> Result<EndOutcome> {
        let spec = EndSpec {
            reason: options.reason,
            level: options.level,
            thread,
            actor: options.actor,
            note: options.note,
            here: options.wait.is_some(),
        };
        let ended = self.table.end(self.at(), session, &spec);
        self.pump();
        match ended {
            Ended::Now(receipt) => Ok(EndOutcome::Ended(receipt)),
            Ended::Before(receipt) => Ok(EndOutcome::Gone(receipt)),
            Ended::Absent => Ok(EndOutcome::Absent),
            Ended::Failed(error) => Err(error),
        }
    }

    /// Whether this thread may wait for what other threads and processes do.
    fn waits_for_others(&self) -> bool {
        self.config.threads && !current::inside(self.id)
    }

    /// The last request of a session that was asked to end has finished.
    pub fn end_after_request(self: &Arc<Self>, wait: Wait, session: SessionRef, then: Box<dyn FnOnce() + Send>) {
        let options = EndOptions { level: EndLevel::Request, ..EndOptions::default() };
        self.end_session(wait, session, ThreadKind::Request, options, Box::new(move |_| then()));
    }

    pub fn end_where(&self, filter: &Filter, options: &EndOptions, cursor: u64, limit: usize) -> Result<Progress> {
        check(options)?;
        let step = EndOptions { wait: None, ..options.clone() };
        self.change_where(filter, cursor, limit, true, |session| {
            let outcome = self.end_now(session, ThreadKind::Admin, step.clone())?;
            Ok(matches!(outcome, EndOutcome::Ended(_)))
        })
    }

    /// Changes what matches, at most `limit` sessions looked at; sessions of protected applications may be spared. A change
    /// that fails is the last one: what was changed before it stays so, and the same call again goes on.
    pub fn change_where(
        &self,
        filter: &Filter,
        cursor: u64,
        limit: usize,
        spare: bool,
        mut change: impl FnMut(SessionRef) -> Result<bool>,
    ) -> Result<Progress> {
        self.enter()?;
        if limit == 0 {
            return Err(Error::invalid("limit 0 would change nothing; it must be at least 1"));
        }
        let mut progress = Progress { next: Some(cursor), ..Progress::default() };
        let mut left = limit;
        while let (Some(cursor), true) = (progress.next, left > 0) {
            let scan = left.min(SCAN);
            let (page, next) = self.table.list(self.at(), filter, cursor, usize::MAX, scan)?;
            let looked = next.map_or(page.len() as u64, |next| next - cursor).max(page.len() as u64);
            progress.scanned += looked;
            progress.next = next;
            left -= scan;
            for (session, info) in page {
                let protected = self
                    .applications
                    .iter()
                    .any(|app| app.name == info.application && app.config.protected_from_bulk_end);
                if spare && protected {
                    progress.protected += 1;
                } else if change(session)? {
                    progress.changed += 1;
                }
            }
        }
        Ok(progress)
    }
}

/// An outcome with how the callbacks went: with what is known when they are through, the time is over, or the manager has
/// gone.
fn with_callbacks(
    mut outcome: EndOutcome,
    engine: &Weak<Engine>,
    dispatcher: &Dispatcher,
    until: Instant,
) -> EndOutcome {
    if let EndOutcome::Ended(receipt) | EndOutcome::Gone(receipt) = &mut outcome {
        if let Some(engine) = engine.upgrade().filter(|engine| engine.waits_for_others()) {
            // Another thread may have taken the event and not handed it over yet.
            engine.handing.wait(until);
        }
        let mut outcomes = dispatcher.wait_for(receipt.event_id, until.saturating_duration_since(Instant::now()));
        match outcomes_elsewhere(engine, receipt.event_id, until) {
            Ok(all) => {
                for outcome in all {
                    if !outcomes.iter().any(|own| own.class == outcome.class && own.kind == outcome.kind) {
                        outcomes.push(outcome);
                    }
                }
            }
            Err(error) => log::warn!(target: "libsession", "how callbacks of an end went is not known: {error}"),
        }
        receipt.callbacks = outcomes
            .into_iter()
            .map(|outcome| (outcome.class.name.to_string(), outcome.kind.name().to_owned(), outcome.outcome))
            .collect();
    }
    outcome
}

/// How the callbacks of an event went in other processes, waiting for those that have it to tell.
fn outcomes_elsewhere(engine: &Weak<Engine>, event_id: u64, until: Instant) -> Result<Vec<CallbackOutcome>> {
    while let Some(engine) = engine.upgrade().filter(|engine| engine.outlives) {
        let over = !engine.waits_for_others() || Instant::now() >= until;
        if over || engine.table.telling(event_id)?.is_empty() {
            return engine.dispatcher.outcomes_of(event_id);
        }
        drop(engine);
        std::thread::sleep(LOOK);
    }
    Ok(Vec::new())
}

fn check(options: &EndOptions) -> Result<()> {
    for (what, text, bound) in [("actor", &options.actor, 256), ("note", &options.note, 1024)] {
        if let Some(text) = text
            && text.len() > bound
        {
            return Err(Error::invalid(format!("the {what} of {} bytes is over the bound of {bound}", text.len())));
        }
    }
    if let Some(wait) = options.wait {
        crate::config::check_duration("wait", wait)?;
    }
    if !matches!(
        options.reason,
        EndReason::Ended
            | EndReason::Revoked
            | EndReason::Evicted
            | EndReason::IdleTimeout
            | EndReason::AbsoluteTimeout
    ) {
        return Err(Error::new(
            ErrorKind::Invalid,
            format!("a session can't be ended by hand for '{}': use ended, revoked or evicted", options.reason),
        ));
    }
    Ok(())
}
