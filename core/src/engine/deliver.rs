//! From the outbox to the dispatcher: what is told, to whom, in which order.

use std::sync::Arc;
use std::time::Duration;

use super::Engine;
use super::handing::HandingOver;
use super::reaper::reaps_here;
use crate::data::Tree;
use crate::error::Result;
use crate::event::dispatcher::{Delivery, Origin};
use crate::event::{ClassRef, DispatchMode, Event, PoolState};
use crate::id::SessionId;
use crate::reason::{EndLevel, EndReason, EventKind, ThreadKind};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::table::{Card, OutboxRow, PoolLevel};

/// Rows that are taken at once.
const ROWS: usize = 256;

const POOL_EVENTS: u32 = EventKind::PoolLow.bit()
    | EventKind::PoolExhausted.bit()
    | EventKind::PoolRecovered.bit()
    | EventKind::PoolOverdraft.bit();

/// Whose turn it is to tell how full pools are.
#[derive(Default)]
pub(super) struct Telling {
    /// Raised by each who wants it told.
    asked: AtomicUsize,
    one: Mutex<()>,
}

impl Engine {
    /// An event with what every kind has.
    pub fn event(&self, kind: EventKind, application: u32, session: SessionId, thread: ThreadKind) -> Event {
        let app = self.app(application);
        Event {
            kind,
            event_id: 0,
            session_id: session,
            application: app.name.clone(),
            old_application: None,
            namespace: app.namespace.clone(),
            user: None,
            old_user: None,
            reason: None,
            level: None,
            thread,
            remaining: None,
            pool: None,
            at_ms: self.clock.now().ms,
            wall_ms: self.clock.wall_ms(),
            snapshot: Some(Arc::new(Tree::default())),
            request: None,
            choice: Arc::default(),
        }
    }

    /// An event about a live session.
    pub fn event_of(&self, kind: EventKind, card: &Card, thread: ThreadKind) -> Event {
        Event {
            user: card.user.clone(),
            snapshot: card.snapshot.clone(),
            ..self.event(kind, card.application, card.session.id, thread)
        }
    }

    /// Hands over everything that is in the outbox.
    pub fn pump(&self) {
        // What failed is tried again also if nothing new came.
        let looks = self.table.outbox_waits() || self.retry.outbox.again().is_some();
        if looks && !self.retry.outbox.waits(|| self.clock.now().ms) {
            match self.take_rows() {
                Ok(()) => self.outbox_worked(),
                Err(error) => self.outbox_failed(&error),
            }
        }
        if self.tells_pools() {
            self.tell_pools();
        }
        if !self.config.pools.is_empty() {
            self.table.call_waiters();
        }
    }

    fn take_rows(&self) -> Result<()> {
        self.acknowledge_again()?;
        // A callback that runs here may be left by force: only its own row is out of the table then.
        let most = if self.config.dispatch == DispatchMode::Inline { 1 } else { ROWS };
        loop {
            let handing_over = self.handing.begin();
            let rows = self.table.outbox_take(most)?;
            if rows.is_empty() {
                return Ok(());
            }
            let rows: Vec<_> = rows.into_iter().map(|row| (row, handing_over.again())).collect();
            drop(handing_over);
            for (row, handing_over) in rows {
                self.deliver(row, handing_over);
            }
        }
    }

    fn deliver(&self, row: OutboxRow, handing_over: HandingOver<'_>) {
        let mut base = self.event(EventKind::End, row.application, row.session, row.thread);
        base.event_id = row.event_id;
        base.user = row.user.clone();
        base.reason = Some(row.reason);
        base.level = Some(row.level);
        base.at_ms = row.at_ms;
        base.wall_ms = row.wall_ms;
        base.snapshot = row.snapshot.clone();
        let timed_out =
            matches!(row.reason, EndReason::IdleTimeout | EndReason::AbsoluteTimeout | EndReason::ExpiredWhileDown);
        let mut deliveries = Vec::new();
        let told = |class: &ClassRef| row.level == EndLevel::Request && row.told.contains(class);
        let mut add = |kind: EventKind| {
            let event = Arc::new(Event { kind, ..base.clone() });
            for class in row.classes.iter().rev().filter(|class| !told(class)) {
                if !self.dispatcher.registered(class) || self.dispatcher.handles(class, kind) {
                    deliveries.push(Delivery {
                        class: class.clone(),
                        event: event.clone(),
                        origin: Origin::Row { again: row.redelivered },
                    });
                }
            }
        };
        if timed_out && self.dispatcher.kinds() & EventKind::Timeout.bit() != 0 {
            add(EventKind::Timeout);
        }
        add(EventKind::End);
        let (event_id, attachments) = (row.event_id, row.attachments);
        let (table, engine) = (self.table.clone(), self.weak());
        self.delivering.fetch_add(1, Ordering::SeqCst);
        let (dispatcher, waited) = (Arc::downgrade(&self.dispatcher), row.waited);
        let after = Box::new(move |settled: bool| {
            drop(attachments);
            // First what became of it, then that it is done.
            let tell = || match dispatcher.upgrade() {
                Some(dispatcher) => {
                    dispatcher.keep_again()?;
                    if waited { dispatcher.tell_outcomes(event_id) } else { Ok(()) }
                }
                None => Ok(()),
            };
            let told = if settled { tell().and_then(|()| table.outbox_acknowledge(event_id)) } else { Ok(()) };
            let Some(engine) = engine.upgrade() else { return };
            match told {
                Ok(()) => drop(engine.delivering.fetch_sub(1, Ordering::SeqCst)),
                Err(error) => engine.acknowledge_later(event_id, &error),
            }
        });
        if row.level == EndLevel::Kill {
            self.dispatcher.record_undelivered(row.session, deliveries, "killed");
            deliveries = Vec::new();
        }
        let host_caused = row.thread != ThreadKind::Reaper && !reaps_here();
        self.dispatcher.hand_over(row.session, deliveries, Some(after), host_caused, handing_over);
    }

    /// Tells all of these classes that have a callback for it, in this order.
    pub fn tell(&self, classes: impl Iterator<Item = ClassRef>, event: Event) {
        if self.dispatcher.kinds() & event.kind.bit() == 0 {
            return;
        }
        let (session, host_caused) = (event.session_id, event.thread != ThreadKind::Reaper && !reaps_here());
        self.dispatcher.notify(session, self.told(classes, event), None, host_caused);
    }

    /// What is to be delivered to those of these classes that have a callback for it.
    fn told(&self, classes: impl Iterator<Item = ClassRef>, event: Event) -> Vec<Delivery> {
        let event = Arc::new(event);
        let classes = classes.filter(|class| self.dispatcher.handles(class, event.kind));
        classes.map(|class| Delivery { class, event: event.clone(), origin: Origin::Told }).collect()
    }

    /// Whether anybody listens.
    fn tells_pools(&self) -> bool {
        self.dispatcher.kinds() & POOL_EVENTS != 0
    }

    /// How full pools were before anybody listened is nobody's any more: before the first who does.
    pub(super) fn forget_untold_levels(&self) {
        if !self.tells_pools() {
            drop(self.table.take_pool_levels());
        }
    }

    /// Tells how full pools are. One thread at a time takes and hands over, or a later level would be told before an earlier
    /// one; whoever finds another at it leaves it to that one, which looks again.
    fn tell_pools(&self) {
        let telling = &self.telling;
        telling.asked.fetch_add(1, Ordering::SeqCst);
        loop {
            let asked = telling.asked.load(Ordering::SeqCst);
            let Some(one) = telling.one.try_lock() else { return };
            let levels = self.table.take_pool_levels();
            if levels.is_empty() {
                drop(one);
            } else {
                self.tell_levels(levels, one);
            }
            if telling.asked.load(Ordering::SeqCst) == asked {
                return;
            }
        }
    }

    /// `handed` is dropped before a callback runs.
    fn tell_levels<H>(&self, levels: Vec<(u32, PoolLevel, u64)>, handed: H) {
        let classes: Vec<_> = self.dispatcher.class_health().into_iter().map(|health| health.class).collect();
        let mut deliveries = Vec::new();
        for (pool, level, in_use) in levels {
            let kind = match level {
                PoolLevel::Low => EventKind::PoolLow,
                PoolLevel::Exhausted => EventKind::PoolExhausted,
                PoolLevel::Recovered => EventKind::PoolRecovered,
                PoolLevel::Overdraft => EventKind::PoolOverdraft,
            };
            let config = &self.known_pool(pool).rules;
            let mut event = self.event(kind, 0, SessionId::NIL, ThreadKind::Request);
            event.application = "".into();
            event.namespace = "".into();
            event.pool = Some(PoolState { pool: config.name.clone(), in_use, capacity: config.capacity });
            deliveries.extend(self.told(classes.iter().cloned(), event));
        }
        self.dispatcher.hand_over(SessionId::NIL, deliveries, None, !reaps_here(), handed);
    }

    /// Whether any class of a list is to be asked about a kind.
    pub fn asks(&self, classes: &[ClassRef], kind: EventKind) -> bool {
        if self.dispatcher.kinds() & kind.bit() == 0 && !classes.iter().any(|class| class.required) {
            return false;
        }
        classes.iter().any(|class| self.is_asked(class, kind))
    }

    pub fn is_asked(&self, class: &ClassRef, kind: EventKind) -> bool {
        self.dispatcher.handles(class, kind) || (class.required && !self.dispatcher.registered(class))
    }

    /// Time until an instant.
    pub fn until(&self, instant: u64) -> Duration {
        Duration::from_millis(instant.saturating_sub(self.clock.now().ms))
    }
}
