//! The commit of a creation: with a unit of its pool, now or in turn, or with nothing left behind.

use std::sync::Arc;

use super::Engine;
use super::ask::Wait;
use super::create::{Made, Plan};
use super::queue::Want;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{ClassRef, PoolState};
use crate::id::SessionId;
use crate::license::back::Refusal;
use crate::license::client::client_of;
use crate::license::policy::Rank;
use crate::manager::Then;
use crate::reason::{DenyReason, EndLevel, EndReason, EventKind, LicenseClass, ThreadKind};
use crate::session::Created;
use crate::sync::atomic::{AtomicBool, Ordering, fence};
use crate::table::{Asking, Charge, Draft, EndSpec, Ended, Holder, Lazy, NewWaiter, Refused, SessionRef};

impl Engine {
    /// The commit, once there is a unit for it.
    pub(super) fn publish_with(
        self: &Arc<Self>,
        wait: Wait,
        draft: Draft,
        plan: Plan,
        started: Vec<ClassRef>,
        then: Then<Made>,
    ) {
        let mut plan = plan;
        let _tells = (wait == Wait::Async).then(|| self.tells());
        if wait == Wait::Async
            && self.outlives
            && let Err(error) = self.enter()
        {
            // What is made from here on nobody may be there to have.
            self.table.abandon(&draft);
            self.refuse(draft.session.id, plan.application, &started, EndReason::StartDenied, None);
            return then(Err(error));
        }
        self.license(&mut plan);
        let Some(charge) = plan.new.charge.clone().filter(|_| !plan.queue.wait.is_zero()) else {
            return then(self.publish(draft, &mut plan, &started));
        };
        let queue = plan.queue.clone();
        let (session, priority) = (draft.session.id, queue.priority);
        let waiter = NewWaiter { session, charge, from: None, count: 1, rank: Rank::Ordinary, priority, deadline: 0 };
        let over = Arc::new(AtomicBool::new(false));
        let (application, engine) = (plan.application, self.clone());
        let want = Publishing { engine: self.clone(), draft, plan, started: started.clone(), over: over.clone() };
        let then = move |made: Result<Made>| {
            if made.is_err() && !over.load(Ordering::Acquire) {
                // It was cancelled, or could not wait.
                engine.table.abandon(&draft);
                engine.refuse(session, application, &started, EndReason::StartDenied, None);
            }
            then(made);
        };
        self.wait_for_units(wait, queue, Some(waiter), want, Box::new(then));
    }

    /// The commit; `started` are the classes whose `on_start` returned.
    pub(super) fn publish(&self, draft: Draft, plan: &mut Plan, started: &[ClassRef]) -> Result<Made> {
        match self.commit(draft, plan, started)? {
            Ok(made) => Ok(made),
            Err(reason) => Err(self.deny(draft, plan, started, reason)),
        }
    }

    /// One try: there may be no unit now.
    fn commit(&self, draft: Draft, plan: &mut Plan, started: &[ClassRef]) -> Result<Result<Made, DenyReason>> {
        let application = plan.application;
        let made = self.table.create(self.at(), &draft, &mut plan.new).inspect_err(|error| {
            self.table.abandon(&draft);
            // Of one that may be there nobody is told that it is not.
            if error.kind() != ErrorKind::Uncertain {
                self.refuse(draft.session.id, application, started, EndReason::StartDenied, None);
            }
        })?;
        match made {
            Ok(key) => {
                self.pump_pools();
                if let Some(error) = self.closed_meanwhile(draft.session) {
                    return Err(error);
                }
                Ok(Ok((Created { id: draft.session.id, token: draft.token }, key)))
            }
            Err(Refused::License(reason)) => Ok(Err(reason)),
            Err(Refused::Sessions(name, limit)) => {
                self.table.abandon(&draft);
                self.refuse(draft.session.id, application, started, EndReason::StartDenied, None);
                Err(session_limit(name.as_deref(), limit))
            }
        }
    }

    /// It is not made for want of a unit.
    fn deny(&self, draft: Draft, plan: &Plan, started: &[ClassRef], reason: DenyReason) -> Error {
        self.table.abandon(&draft);
        let charge = plan.new.charge.as_ref();
        let priority = plan.queue.priority;
        let refusal = charge.map(|charge| Refusal { priority, ..Refusal::new(charge, Rank::Ordinary) });
        let denial = self.denial(charge.map(|charge| charge.pool), reason, refusal.as_ref());
        let denied = charge.map(|charge| (charge.pool, plan.new.classes.clone()));
        self.refuse(draft.session.id, plan.application, started, EndReason::LicenseDenied, denied);
        match charge.and_then(|charge| charge.client.as_ref()) {
            Some(client) if reason == DenyReason::HolderLimit => {
                denial.because(&format!("the client {client} has as many anonymous sessions as it may"))
            }
            _ => denial,
        }
    }

    /// How the session is charged by its class, now or later.
    pub(super) fn license(&self, plan: &mut Plan) {
        let app = self.app(plan.application);
        let Some(pool) = app.pool else { return };
        let (new, class) = (&mut plan.new, plan.license_class);
        match class {
            LicenseClass::None => {}
            LicenseClass::Lazy => new.lazy = Some(Lazy { pool, until: app.lazy_until(&new.client) }),
            class => new.charge = Some(Charge { pool, class, holder: Holder::Session, client: None }),
        }
        if let Some(charge) = new.charge.as_mut().filter(|_| class == LicenseClass::Anonymous) {
            let bounded = self.known_pool(pool).pool.anonymous_per_client.is_some();
            charge.client = new.client.address.as_deref().filter(|_| bounded).map(client_of);
            if !plan.own_idle && app.anonymous_idle != app.idle {
                (new.idle, new.brief) = (app.anonymous_idle, true);
            }
        }
    }

    /// Ends a session that was published after the manager began to close: nobody would have it.
    fn closed_meanwhile(&self, session: SessionRef) -> Option<Error> {
        if self.outlives {
            // It lives on without this manager, and its creator has the token.
            return None;
        }
        // The close looks at the count after it set the state; this looks at the state after it counted.
        fence(Ordering::SeqCst);
        let error = self.enter().err().filter(|_| !self.forked())?;
        let spec = EndSpec {
            reason: EndReason::Shutdown,
            level: EndLevel::Force,
            thread: ThreadKind::Request,
            actor: None,
            note: None,
            here: false,
        };
        if let Ended::Failed(failure) = self.table.end(self.at(), session, &spec) {
            log::error!(target: "libsession", "session {} was made while the manager closed: {failure}", session.id);
        }
        self.pump();
        Some(error)
    }

    /// A denial for want of a unit of the pool.
    pub(super) fn denial(&self, pool: Option<u32>, reason: DenyReason, refusal: Option<&Refusal>) -> Error {
        let name = pool.map_or("", |pool| &self.pool_config(pool).name);
        Error::license_denied(name, reason, self.retry_after(pool, reason, refusal))
    }

    /// When there may be units of the pool for who was refused, at the earliest in a second; `None` if nothing is known of
    /// that.
    pub(super) fn retry_after(
        &self,
        pool: Option<u32>,
        reason: DenyReason,
        refusal: Option<&Refusal>,
    ) -> Option<std::time::Duration> {
        if matches!(reason, DenyReason::HolderLimit | DenyReason::Excluded) {
            return None;
        }
        // A store that can't tell is no reason to say something else than the denial.
        let back = self.table.unit_back(self.at(), pool?, refusal?).ok().flatten()?;
        Some(self.until(back).max(std::time::Duration::from_secs(1)))
    }

    /// A refused creation: logged, told to those who were told of its start, and nothing else remains.
    pub(super) fn refuse(
        &self,
        session: SessionId,
        application: u32,
        started: &[ClassRef],
        reason: EndReason,
        denied: Option<(u32, Arc<[ClassRef]>)>,
    ) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        if reason != EndReason::LicenseDenied {
            // What is refused for want of a unit the table has logged with the denial.
            self.table.note(self.at(), session, "refused", reason.name());
        }
        if let Some((pool, classes)) = &denied
            && self.dispatcher.kinds() & EventKind::LicenseDenied.bit() != 0
        {
            let config = self.pool_config(*pool);
            // It was refused for a pool that was full; a store that can't say more changes nothing about that.
            let (in_use, capacity) = self.table.pool_state(*pool).unwrap_or((config.capacity, config.capacity));
            let mut event = self.event(EventKind::LicenseDenied, application, session, ThreadKind::Request);
            event.reason = Some(reason);
            event.pool = Some(PoolState { pool: config.name.as_str().into(), in_use, capacity });
            self.tell(classes.iter().cloned(), event);
        }
        if !started.is_empty() {
            let mut event = self.event(EventKind::End, application, session, ThreadKind::Request);
            event.reason = Some(reason);
            event.level = Some(EndLevel::Force);
            self.tell(started.iter().rev().cloned(), event);
        }
        self.pump_pools();
    }

    pub(super) fn pump_pools(&self) {
        if !self.config.pools.is_empty() {
            self.pump();
        }
    }
}

/// A session that is to be made.
struct Publishing {
    engine: Arc<Engine>,
    draft: Draft,
    plan: Plan,
    started: Vec<ClassRef>,
    /// A try found that it is not made, and told it.
    over: Arc<AtomicBool>,
}

impl Want for Publishing {
    type Got = Made;

    fn attempt(&mut self, asking: Asking) -> Result<Result<Made, DenyReason>> {
        self.engine.enter()?;
        self.plan.new.asking = asking;
        let made = self.engine.commit(self.draft, &mut self.plan, &self.started);
        made.inspect_err(|_| self.over.store(true, Ordering::Release))
    }

    fn denied(&mut self, reason: DenyReason) -> Error {
        self.over.store(true, Ordering::Release);
        self.engine.deny(self.draft, &self.plan, &self.started, reason)
    }
}

fn session_limit(application: Option<&str>, limit: u64) -> Error {
    let limit = match application {
        None => format!("the manager's limit of {limit}"),
        Some(name) => format!("the limit of {limit} of the application '{name}'"),
    };
    Error::new(ErrorKind::SessionLimit, format!("{limit} is reached"))
}
