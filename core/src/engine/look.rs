//! What an administrator reads: explain, statistics.

use std::time::Duration;

use super::Engine;
use super::words::{client_line, line, span};
use crate::clock::millis;
use crate::error::{Error, ErrorKind, Result};
use crate::event::ClassRef;
use crate::id::SessionId;
use crate::plural::times;
use crate::reason::LazyUntil;
use crate::session::{Explain, Feature, Filter, Page, Receipt, SessionInfo, Stats};
use crate::sync::atomic::Ordering;
use crate::table::{Details, SessionRef};

/// The longest page of a listing.
const MAX_PAGE: usize = 10_000;

impl Engine {
    pub fn list(&self, filter: &Filter, cursor: u64, limit: usize) -> Result<Page> {
        self.enter()?;
        if !(1..=MAX_PAGE).contains(&limit) {
            return Err(Error::invalid(format!("a page of {limit} sessions is not between 1 and {MAX_PAGE}")));
        }
        let (sessions, next) = self.table.list(self.at(), filter, cursor, limit, usize::MAX)?;
        Ok(Page { sessions: sessions.into_iter().map(|(_, info)| info).collect(), next })
    }

    pub fn explain(&self, id: SessionId) -> Result<Option<Explain>> {
        self.enter()?;
        let found = match self.table.find(self.at(), id).look()? {
            Some(session) => self.table.look(self.at(), session).look()?,
            None => None,
        };
        self.pump();
        let failures: Vec<_> = self
            .dispatcher
            .failures_of(id)?
            .into_iter()
            .map(|failure| (failure.class.name.to_string(), failure.kind.name().to_owned(), failure.text))
            .collect();
        let mut explain = match found {
            Some((info, details)) => self.explain_live(id, info, details),
            None => match self.table.receipt(self.at(), id)? {
                Some(receipt) => {
                    let telling = self.table.telling(receipt.event_id)?;
                    explain_ended(id, receipt, &telling)
                }
                None => return Ok(None),
            },
        };
        for (class, kind, text) in &failures {
            line(&mut explain.text, "callback failed", &format!("{kind} of {class}: {text}"));
        }
        explain.failures = failures;
        Ok(Some(explain))
    }

    fn explain_live(&self, id: SessionId, info: SessionInfo, details: Details) -> Explain {
        let now = self.clock.now().ms;
        let mut text = String::new();
        line(&mut text, "session", &format!("{id} is live ({})", info.state.name()));
        line(&mut text, "application", &info.application);
        line(&mut text, "user", info.user.as_deref().unwrap_or("nobody is logged in"));
        if let Some(client) = client_line(&info.client) {
            line(&mut text, "client", &client);
        }
        line(&mut text, "created", &format!("{} ago", span(now.saturating_sub(info.created_ms))));
        line(&mut text, "last used", &format!("{} ago", span(now.saturating_sub(info.last_used_ms))));
        let timeout =
            |timeout: Option<Duration>| timeout.map_or_else(|| "never".to_owned(), |timeout| span(millis(timeout)));
        line(&mut text, "idle timeout", &timeout(info.idle_timeout));
        line(&mut text, "absolute timeout", &timeout(info.absolute_timeout));
        match info.deadline_ms {
            Some(deadline) if deadline > now => line(&mut text, "deadline", &format!("in {}", span(deadline - now))),
            Some(deadline) => line(&mut text, "deadline", &format!("{} ago: it is overdue", span(now - deadline))),
            None if info.immortal => line(&mut text, "deadline", "none: it is immortal"),
            None => line(&mut text, "deadline", "none while a request is in flight"),
        }
        match &info.license {
            Some((holder, pool)) => {
                line(
                    &mut text,
                    "license",
                    &format!("pool {pool}, charged to {holder}; it comes back when the session ends"),
                );
            }
            None => match &details.lazy {
                Some((pool, until)) => {
                    line(
                        &mut text,
                        "license",
                        &format!("none yet: it takes a unit of pool {pool} at {}", until_text(*until)),
                    );
                }
                None => line(&mut text, "license", "none"),
            },
        }
        for feature in &info.features {
            let Feature { pool, count, holder, since_ms } = feature;
            let age = span(now.saturating_sub(*since_ms));
            line(
                &mut text,
                "feature",
                &format!("pool {pool}, taken {} since {age}, charged to {holder}", times(*count)),
            );
        }
        for request in &details.requests {
            let lock = request.lock.map_or("no", |lock| lock.name());
            let age = span(now.saturating_sub(request.started_ms));
            line(
                &mut text,
                "request",
                &format!("in flight for {age} in process {}: {}, {lock} lock", request.process, request.touch),
            );
        }
        if details.lock_waiters > 0 {
            line(&mut text, "lock", &format!("{} wait for it", details.lock_waiters));
        }
        if details.end_requested {
            line(&mut text, "end", "asked for: it ends with its last request in flight");
        }
        for (at, class, by) in &details.extensions {
            line(&mut text, "extension", &format!("{} by {class}, {} ago", span(*by), span(now.saturating_sub(*at))));
        }
        let event_classes: Vec<_> = details
            .classes
            .iter()
            .map(|class| (class.namespace.to_string(), class.name.to_string(), self.dispatcher.registered(class)))
            .collect();
        for (_, name, registered) in &event_classes {
            let here = if *registered { "registered" } else { "not registered in this process: skipped" };
            line(&mut text, "event class", &format!("{name}, {here}"));
        }
        match info.data_bytes {
            Some(bytes) => line(&mut text, "data", &format!("{bytes} bytes")),
            None => line(&mut text, "data", "can't be read; the session can be ended all the same"),
        }
        if let Some((what, at)) = &details.next {
            line(&mut text, "next", &format!("{what}, in {}", span(at.saturating_sub(now))));
        }
        for entry in &details.trace {
            line(&mut text, "trace", entry);
        }
        Explain {
            id,
            ended: None,
            requests: details.requests,
            lock_waiters: details.lock_waiters,
            extensions: details
                .extensions
                .into_iter()
                .map(|(at, class, by)| (at, class, Duration::from_millis(by)))
                .collect(),
            event_classes,
            failures: Vec::new(),
            damaged: details.damaged,
            next: details.next,
            trace: details.trace,
            live: Some(info),
            text,
        }
    }

    pub fn stats(&self) -> Result<Stats> {
        self.enter()?;
        let table = self.table.stats();
        let dispatch = self.dispatcher.stats();
        let health = self.reaper.health(self.config.threads);
        Ok(Stats {
            live: table.live,
            peak: table.peak,
            created: table.created,
            refused: self.refused.load(Ordering::Relaxed),
            ended: table.ended,
            in_flight: table.in_flight,
            lock_waiters: table.lock_waiters,
            license_waiters: table.license_waiters.max(self.license_waiters()),
            tombstones: table.tombstones,
            damaged: table.damaged,
            reaper: health.state,
            degraded: health.degraded,
            reaper_restarts: health.restarts,
            lateness_max_ms: table.lateness_max,
            lateness_p99_ms: table.lateness_p99,
            callbacks_queued: dispatch.queued as u64,
            callbacks_running: dispatch.running as u64,
            callbacks_delivered: dispatch.delivered,
            callbacks_failed: dispatch.failed,
            callbacks_overrun: dispatch.overrun,
            dead_letters: dispatch.dead_letters,
            stuck_workers: dispatch.stuck_workers as u64,
            breakers_open: dispatch.breakers_open,
            replaced_token_uses: table.replaced_token_uses,
        })
    }

    /// What only tests may do.
    pub fn for_tests(&self, what: &str) -> Result<()> {
        self.enter()?;
        if self.clock.manual().is_some() || self.config.debug {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Invalid, format!("{what} is for tests: it needs the manual clock, or debug")))
    }

    pub fn live(&self, id: SessionId) -> Result<Option<SessionRef>> {
        self.enter()?;
        let found = self.table.find(self.at(), id);
        self.pump();
        found.look()
    }
}

fn explain_ended(id: SessionId, receipt: Receipt, telling: &[(ClassRef, u32)]) -> Explain {
    let mut text = String::new();
    line(&mut text, "session", &format!("{id} has ended: {} (level {})", receipt.reason, receipt.level));
    line(&mut text, "application", &receipt.application);
    line(&mut text, "user", receipt.user.as_deref().unwrap_or("nobody was logged in"));
    if let Some(actor) = &receipt.actor {
        line(&mut text, "by", actor);
    }
    if let Some(note) = &receipt.note {
        line(&mut text, "note", note);
    }
    line(&mut text, "ended at", &format!("{} ms", receipt.at_ms));
    if let Some(late) = receipt.late {
        line(&mut text, "late by", &span(millis(late)));
    }
    match receipt.license_free_at_ms {
        Some(at) => line(&mut text, "license", &format!("free since {at} ms")),
        None => line(&mut text, "license", "held none"),
    }
    for (class, process) in telling {
        let what = match process {
            0 => format!("{} is still to be told: no process has taken it", class.name),
            process => format!("{} is told of the end in process {process}", class.name),
        };
        line(&mut text, "callback", &what);
    }
    Explain {
        id,
        live: None,
        ended: Some(receipt),
        requests: Vec::new(),
        lock_waiters: 0,
        extensions: Vec::new(),
        event_classes: Vec::new(),
        failures: Vec::new(),
        damaged: false,
        next: None,
        trace: Vec::new(),
        text,
    }
}

fn until_text(until: LazyUntil) -> &'static str {
    match until {
        LazyUntil::Login => "the login",
        LazyUntil::SecondRequest => "its second request, or the login",
        LazyUntil::FirstWrite => "its first write, or the login",
    }
}
