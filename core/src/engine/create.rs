//! Making a session in its seven steps, with complete unwinding.

use std::sync::Arc;

use super::Engine;
use super::ask::{Answers, Wait, now, refusal};
use super::requests::InFlight;
use crate::config::{check_duration, check_timeout, timeout_ms};
use crate::data::{Subscript, Tree, Value, Writes};
use crate::error::{Error, ErrorKind, Result};
use crate::event::handler::{Answer, Verdict};
use crate::event::{ClassRef, Event};
use crate::manager::Then;
use crate::reason::{EndReason, EventKind, LicenseClass, LockMode, ThreadKind, TouchKind};
use crate::request::Request;
use crate::session::{
    BeginOptions, Client, CreateOptions, Created, MAX_ADDRESS, MAX_REFERRER, MAX_USER_AGENT, QueueOptions,
};
use crate::table::{Asking, ClassChange, Draft, NewSession, RequestKey};

/// The bounds of a client's facts, in bytes.
const FACTS: [(&str, usize); 3] =
    [("address", MAX_ADDRESS), ("user_agent", MAX_USER_AGENT), ("referrer", MAX_REFERRER)];

/// A session that was made, and its first request if one was to begin.
pub(super) type Made = (Created, Option<RequestKey>);

/// A creation whose options were checked.
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
        self.enter_to_serve()?;
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
        // It counts also for one that does not wait: it comes before those who wait with a lower one.
        let asking = Asking { priority: options.queue.priority, ..Asking::default() };
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
                asking,
            },
        })
    }

    #[inline]
    fn make(self: &Arc<Self>, mut plan: Plan) -> Result<Made> {
        if self.asks(&plan.new.classes, EventKind::Start) || !plan.queue.wait.is_zero() {
            return now(|then| self.make_with(Wait::Blocking, plan, then));
        }
        let draft = self.draft()?;
        self.license(&mut plan);
        self.publish(draft, &mut plan, &[])
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
