//! Making a session in its seven steps, with complete unwinding.

use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use super::Engine;
use super::ask::{Answers, Wait, now, refusal};
use super::queue::{Attempt, Tried};
use super::requests::InFlight;
use crate::config::{check_duration, check_timeout, timeout_ms};
use crate::data::{Subscript, Tree, Value, Writes};
use crate::error::{Error, ErrorKind, Result};
use crate::event::handler::{Answer, Verdict};
use crate::event::{ClassRef, Event, PoolState};
use crate::id::SessionId;
use crate::license::client::client_of;
use crate::license::policy::Rank;
use crate::license::queue::may_come;
use crate::manager::Then;
use crate::reason::{DenyReason, EndLevel, EndReason, EventKind, LicenseClass, LockMode, ThreadKind, TouchKind};
use crate::request::Request;
use crate::session::{BeginOptions, Client, CreateOptions, Created, QueueOptions};
use crate::table::{
    Asking, Charge, ClassChange, Draft, EndSpec, Ended, Holder, Lazy, NewSession, NewWaiter, Refused, RequestKey,
    SessionRef,
};

/// The bounds of a client's facts, in bytes.
const FACTS: [(&str, usize); 3] = [("address", 256), ("user_agent", 1024), ("referrer", 2048)];

/// A session that was made, and its first request if one was to begin.
type Made = (Created, Option<RequestKey>);

/// A creation whose options were checked.
#[derive(Clone)]
pub(super) struct Plan {
    pub application: u32,
    pub new: NewSession,
    pub license_class: LicenseClass,
    /// Whether the idle timeout was set for this session.
    pub own_idle: bool,
    pub queue: QueueOptions,
}

impl Engine {
    pub fn create(self: &Arc<Self>, options: CreateOptions) -> Result<Created> {
        let plan = self.plan(options, None)?;
        self.make(plan).map(|(created, _)| created)
    }

    pub fn create_async(self: &Arc<Self>, options: CreateOptions, then: Then<Created>) {
        match self.plan(options, None) {
            Ok(plan) => self.make_with(Wait::Async, plan, Box::new(|made| then(made.map(|(created, _)| created)))),
            Err(error) => then(Err(error)),
        }
    }

    pub fn begin_new(self: &Arc<Self>, options: CreateOptions, begin: BeginOptions) -> Result<Request> {
        let plan = self.plan(options, Some(begin))?;
        let made = self.make(plan)?;
        Ok(self.first_request(made))
    }

    pub fn begin_new_async(self: &Arc<Self>, options: CreateOptions, begin: BeginOptions, then: Then<Request>) {
        match self.plan(options, Some(begin)) {
            Ok(plan) => {
                let engine = self.clone();
                let then = move |made: Result<_>| then(made.map(|made| engine.first_request(made)));
                self.make_with(Wait::Async, plan, Box::new(then));
            }
            Err(error) => then(Err(error)),
        }
    }

    fn first_request(self: &Arc<Self>, (created, key): Made) -> Request {
        let session = key.map_or(crate::table::SessionRef { id: created.id, place: 0 }, |key| key.session);
        let number = key.map_or(0, |key| key.number);
        let request = Request(Arc::new(InFlight::live(self.clone(), session, number, created.token, true)));
        self.tell_request(&request, EventKind::StartRequest);
        request
    }

    fn plan(&self, options: CreateOptions, begin: Option<BeginOptions>) -> Result<Plan> {
        self.enter()?;
        let number = match begin.as_ref().and_then(|begin| begin.application.as_deref()) {
            Some(entered) if options.application.is_none() => self.application(Some(entered))?,
            _ => self.application(options.application.as_deref())?,
        };
        let app = self.app(number);
        if !app.config.enabled {
            return Err(Error::new(ErrorKind::Denied, format!("the application '{}' is disabled", app.name)));
        }
        check_client(&options.client)?;
        let own_idle = options.idle_timeout.is_some();
        options.queue.check()?;
        let idle = match options.idle_timeout {
            Some(timeout) => {
                check_timeout("idle_timeout", timeout)?;
                timeout_ms(timeout)
            }
            None => app.idle,
        };
        let absolute = match options.absolute_timeout {
            Some(timeout) => {
                check_timeout("absolute_timeout", Some(timeout))?;
                let own = timeout_ms(Some(timeout));
                if app.absolute > 0 && own > app.absolute {
                    return Err(Error::invalid(format!(
                        "an absolute timeout of {own} ms is later than the application's {} ms: it can only be earlier",
                        app.absolute
                    )));
                }
                own
            }
            None => app.absolute,
        };
        let data = first_data(options.data, &self.config.quotas)?;
        let license_class = options.license_class.unwrap_or(app.license_class);
        if license_class != LicenseClass::None && app.pool.is_none() {
            return Err(Error::invalid(format!(
                "license class {license_class} needs a pool, and the application '{}' has none",
                app.name
            )));
        }
        let begin =
            begin.map(|begin| (begin.touch.unwrap_or(TouchKind::Activity), begin.lock.unwrap_or(app.config.lock)));
        Ok(Plan {
            application: number,
            license_class,
            own_idle,
            queue: options.queue,
            new: NewSession {
                application: number,
                client: options.client,
                data,
                idle,
                absolute,
                classes: app.classes.clone(),
                charge: None,
                lazy: None,
                brief: false,
                begin,
                asking: Asking::default(),
            },
        })
    }

    fn make(self: &Arc<Self>, plan: Plan) -> Result<Made> {
        if self.asks(&plan.new.classes, EventKind::Start) || !plan.queue.wait.is_zero() {
            return now(|then| self.make_with(Wait::Blocking, plan, then));
        }
        let draft = self.draft()?;
        let mut plan = plan;
        self.license(&mut plan);
        self.publish(draft, plan, &[])?.told()
    }

    fn draft(&self) -> Result<Draft> {
        self.start_threads();
        self.table.draft()
    }

    /// Asks `on_start` on a draft, then publishes it or leaves nothing behind.
    fn make_with(self: &Arc<Self>, wait: Wait, mut plan: Plan, then: Then<Made>) {
        let draft = match self.draft() {
            Ok(draft) => draft,
            Err(error) => return then(Err(error)),
        };
        // The commit decides about the limit; but nobody need be asked about what can't be.
        if self.table.count() >= self.config.max_sessions || !self.asks(&plan.new.classes, EventKind::Start) {
            return self.publish_with(wait, draft, plan, Vec::new(), then);
        }
        let asked = self.asked_classes(&plan.new.classes, EventKind::Start);
        let snapshot = Arc::new(plan.new.data.clone());
        let request = Request(Arc::new(InFlight::draft(self.clone(), draft, &mut plan.new)));
        let mut event = self.event(EventKind::Start, plan.application, draft.session.id, ThreadKind::Request);
        event.request = Some(request.clone());
        event.snapshot = Some(snapshot);
        let event = Arc::new(event);
        let engine = self.clone();
        let told = event.clone();
        self.ask_each(
            wait,
            asked,
            event,
            Box::new(move |answers| match engine.decided(draft, plan, &request, &told, &answers) {
                Ok((plan, started)) => engine.publish_with(wait, draft, plan, started, then),
                Err(error) => then(Err(error)),
            }),
        );
    }

    fn decided(
        self: &Arc<Self>,
        draft: Draft,
        mut plan: Plan,
        request: &Request,
        event: &Event,
        answers: &Answers,
    ) -> Result<(Plan, Vec<ClassRef>)> {
        let started: Vec<ClassRef> = answers
            .iter()
            .filter(|(_, answer)| matches!(answer, Answer::Verdict(Verdict::Allow | Verdict::Extend(_))))
            .map(|(class, _)| class.clone())
            .collect();
        plan.own_idle |= request.0.take_draft(&mut plan.new);
        if let Some(class) = event.license_class() {
            plan.license_class = class;
        }
        let refused = answers.iter().find_map(|(class, answer)| refusal(EventKind::Start, class, answer));
        if let Some(error) = refused {
            self.table.abandon(&draft);
            self.refuse(draft.session.id, plan.application, &started, EndReason::StartDenied, None);
            return Err(error);
        }
        Ok((plan, started))
    }

    /// The commit, once there is a unit for it.
    fn publish_with(self: &Arc<Self>, wait: Wait, draft: Draft, plan: Plan, started: Vec<ClassRef>, then: Then<Made>) {
        let mut plan = plan;
        self.license(&mut plan);
        let Some(charge) = plan.new.charge.clone().filter(|_| !plan.queue.wait.is_zero()) else {
            return then(self.publish(draft, plan, &started).and_then(Tried::told));
        };
        let queue = plan.queue.clone();
        let (session, priority) = (draft.session.id, queue.priority);
        let waiter = NewWaiter { session, charge, from: None, count: 1, rank: Rank::Ordinary, priority, deadline: 0 };
        let engine = self.clone();
        let attempt: Attempt<Made> = Box::new(move |asking| {
            engine.enter()?;
            let mut again = plan.clone();
            again.new.asking = asking;
            engine.publish(draft, again, &started)
        });
        let engine = self.clone();
        let then = move |made: Result<Made>| {
            if made.is_err() {
                // Whatever kept it from being made; a draft that was given back already is not touched.
                engine.table.abandon(&draft);
            }
            then(made);
        };
        self.wait_for_units(wait, queue, waiter, attempt, Box::new(then));
    }

    /// The commit; `started` are the classes whose `on_start` returned.
    fn publish(&self, draft: Draft, plan: Plan, started: &[ClassRef]) -> Result<Tried<Made>> {
        let asking = plan.new.asking;
        let (application, classes) = (plan.application, plan.new.classes.clone());
        let charge = plan.new.charge.clone();
        let pool = charge.as_ref().map(|charge| charge.pool);
        let made = self.table.create(self.at(), &draft, plan.new).inspect_err(|_| self.table.abandon(&draft))?;
        match made {
            Ok(key) => {
                self.pump_pools();
                if let Some(error) = self.closed_meanwhile(draft.session) {
                    return Err(error);
                }
                Ok(Tried::Done((Created { id: draft.session.id, token: draft.token }, key)))
            }
            Err(Refused::License(reason)) if !asking.last && may_come(&Err(reason)) => Ok(Tried::Refused(reason)),
            Err(refused) => {
                self.table.abandon(&draft);
                let error = self.refusal_error(&refused, charge.as_ref());
                if let (Refused::License(reason), Some(pool)) = (&refused, pool) {
                    let told = (pool, *reason, classes);
                    self.refuse(draft.session.id, application, started, EndReason::LicenseDenied, Some(told));
                } else {
                    self.refuse(draft.session.id, application, started, EndReason::StartDenied, None);
                }
                Err(error)
            }
        }
    }

    /// How the session is charged by its class, now or later.
    fn license(&self, plan: &mut Plan) {
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

    fn refusal_error(&self, refused: &Refused, charge: Option<&Charge>) -> Error {
        match refused {
            Refused::Sessions(None, limit) => {
                Error::new(ErrorKind::SessionLimit, format!("the manager's limit of {limit} sessions is reached"))
            }
            Refused::Sessions(Some(name), limit) => Error::new(
                ErrorKind::SessionLimit,
                format!("the limit of {limit} sessions of the application '{name}' is reached"),
            ),
            Refused::License(reason) => {
                let name = charge.map_or("", |charge| &self.pool_config(charge.pool).name);
                let error =
                    Error::license_denied(name, *reason, self.retry_after(charge.map(|charge| charge.pool), *reason));
                match charge.and_then(|charge| charge.client.as_ref()) {
                    Some(client) if *reason == DenyReason::HolderLimit => {
                        error.because(&format!("the client {client} has as many anonymous sessions as it may"))
                    }
                    _ => error,
                }
            }
        }
    }

    /// When a unit of the pool may be back, at the earliest in a second; `None` if nothing is known of that.
    pub(super) fn retry_after(&self, pool: Option<u32>, reason: DenyReason) -> Option<std::time::Duration> {
        if matches!(reason, DenyReason::HolderLimit | DenyReason::Excluded) {
            return None;
        }
        // A store that can't tell is no reason to say something else than the denial.
        let back = self.table.unit_back(self.at(), pool?).ok().flatten()?;
        Some(self.until(back).max(std::time::Duration::from_secs(1)))
    }

    /// A refused creation: logged, told to those who were told of its start, and nothing else remains.
    fn refuse(
        &self,
        session: SessionId,
        application: u32,
        started: &[ClassRef],
        reason: EndReason,
        license: Option<(u32, DenyReason, Arc<[ClassRef]>)>,
    ) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        self.table.note(self.at(), session, "refused", reason.name());
        if let Some((pool, _, classes)) = &license {
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

impl InFlight {
    /// What `on_start` callbacks made of the draft; tells whether they set its idle timeout.
    pub(super) fn take_draft(&self, new: &mut NewSession) -> bool {
        let Some((writes, draft)) = self.close_draft() else { return false };
        {
            // The quotas were checked at each write: an error would be one of a tree that nobody else can change.
            if writes.commit(&mut new.data, &self.engine.config.quotas).is_err() {
                log::error!(target: "libsession", "a draft's data could not be committed");
            }
            new.classes = draft.classes;
            new.idle = draft.idle;
            new.absolute = draft.absolute;
        }
        draft.own_idle
    }
}

/// Applies a change to a draft's list of event classes.
pub(super) fn change_draft_classes(classes: &mut Arc<[ClassRef]>, change: &ClassChange) -> bool {
    match change.apply(classes) {
        Some(changed) => {
            *classes = changed;
            true
        }
        None => false,
    }
}

fn check_client(client: &Client) -> Result<()> {
    let facts = [&client.address, &client.user_agent, &client.referrer];
    for ((what, bound), fact) in FACTS.iter().zip(facts) {
        if let Some(fact) = fact
            && fact.len() > *bound
        {
            return Err(Error::invalid(format!("client.{what} of {} bytes is over the bound of {bound}", fact.len())));
        }
    }
    Ok(())
}

fn first_data(data: Vec<(String, Value)>, quotas: &crate::data::Quotas) -> Result<Tree> {
    let mut tree = Tree::default();
    if data.is_empty() {
        return Ok(tree);
    }
    let mut writes = Writes::default();
    for (key, value) in data {
        writes.set(&tree, quotas, &[Subscript::text(key)], value)?;
    }
    writes.commit(&mut tree, quotas)?;
    Ok(tree)
}

/// The lock and touch of a request that names none.
pub(super) fn begin_defaults(options: &BeginOptions, lock: LockMode) -> (TouchKind, LockMode) {
    (options.touch.unwrap_or(TouchKind::Activity), options.lock.unwrap_or(lock))
}

/// A check that the durations of a begin are in their bounds.
pub(super) fn check_begin(options: &BeginOptions) -> Result<()> {
    match options.lock_timeout {
        Some(timeout) => check_duration("lock_timeout", timeout),
        None => Ok(()),
    }
}
