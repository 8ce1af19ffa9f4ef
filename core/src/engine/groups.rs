//! The groups that a step is worked out by: given with the call, or resolved by the host where a pool's rules name groups.

use std::sync::Arc;

use super::Engine;
use super::ask::Wait;
use crate::config::Pool;
use crate::error::{Error, ErrorKind, Result};
use crate::event::GroupResolver;
use crate::event::groups::Resolving;
use crate::event::handler::{Answer, Verdict};
use crate::license::policy::Rank;
use crate::manager::Then;
use crate::reason::{EventKind, ThreadKind};
use crate::request::Request;

/// What is known of a user's groups.
#[derive(Clone, Debug)]
pub(super) enum Groups {
    /// Nobody was asked: the rules of the pool named no groups.
    Unasked,
    /// They were given with the call, for whoever is logged in.
    Given(Arc<[String]>),
    /// The host resolved those of this user.
    Resolved(Arc<str>, Vec<String>),
}

impl Groups {
    fn of(&self, user: &str) -> Option<&[String]> {
        match self {
            Self::Given(groups) => Some(groups),
            Self::Resolved(of, groups) if **of == *user => Some(groups),
            _ => None,
        }
    }
}

impl Engine {
    pub fn set_group_resolver(&self, resolver: Option<Arc<dyn GroupResolver>>) -> Result<()> {
        self.enter_to_serve()?;
        self.dispatcher.set_group_resolver(resolver)
    }

    /// What a user is to a pool; `None` if the host must be asked for its groups first.
    pub(super) fn rank(&self, pool: &Pool, user: &str, groups: &Groups) -> Option<Rank> {
        match groups.of(user) {
            Some(groups) => Some(pool.rank(user, groups)),
            None if self.resolves(pool) => None,
            None => Some(pool.rank(user, &[""; 0])),
        }
    }

    fn resolves(&self, pool: &Pool) -> bool {
        pool.names_groups() && self.dispatcher.registered(&Resolving::class())
    }

    /// Goes on with the groups of a user, or of whoever is logged in: as given, or asked of the host if the pool's rules name
    /// any. Under no lock.
    pub(super) fn with_groups(
        self: &Arc<Self>,
        wait: Wait,
        request: &Request,
        user: Option<&Arc<str>>,
        (pool, given): (Option<u32>, Option<&Arc<[String]>>),
        then: impl FnOnce(Result<Groups>) + Send + 'static,
    ) {
        if let Some(given) = given {
            return then(Ok(Groups::Given(given.clone())));
        }
        let asks = pool.is_some_and(|pool| self.resolves(&self.known_pool(pool).pool));
        if asks {
            self.resolve(wait, request, user.cloned(), Box::new(then));
        } else {
            then(Ok(Groups::Unasked));
        }
    }

    fn resolve(self: &Arc<Self>, wait: Wait, request: &Request, user: Option<Arc<str>>, then: Then<Groups>) {
        let card = match request.0.resolve(self.table.card(self.at(), request.0.session)) {
            Ok(card) => card,
            Err(error) => return then(Err(error)),
        };
        let Some(user) = user.or_else(|| card.user.clone()) else { return then(Ok(Groups::Unasked)) };
        let mut event = self.event_of(EventKind::Login, &card, ThreadKind::Request);
        event.old_user = event.user.replace(user.clone());
        event.request = Some(request.clone());
        let event = Arc::new(event);
        let asked = event.clone();
        let answered = move |answer: Answer| {
            then(match unresolved(&answer, &user) {
                Some(error) => Err(error),
                None => match asked.choice.take_groups() {
                    Some(groups) => Ok(Groups::Resolved(user, groups)),
                    // It was taken away in this moment.
                    None => Ok(Groups::Unasked),
                },
            });
        };
        let class = Resolving::class();
        match wait {
            Wait::Blocking => answered(self.dispatcher.ask(&class, event, false)),
            Wait::Async => self.dispatcher.ask_async(&class, event, Box::new(answered)),
        }
    }
}

/// Why an answer of the resolver is none.
fn unresolved(answer: &Answer, user: &str) -> Option<Error> {
    let why = match answer {
        Answer::Verdict(Verdict::Deny(text)) => text.clone(),
        Answer::Verdict(_) | Answer::Skipped("not_registered") => return None,
        Answer::AsyncRequired => {
            let text = "the group resolver is asynchronous: use the asynchronous call";
            return Some(Error::new(ErrorKind::AsyncRequired, text));
        }
        Answer::Failed(text) => format!("the group resolver failed: {text}"),
        Answer::Overrun => "the group resolver gave no answer by its deadline".to_owned(),
        Answer::Skipped("breaker_open") => "the breaker of the group resolver is open".to_owned(),
        Answer::Skipped(why) => format!("the group resolver was not asked: {why}"),
    };
    Some(Error::new(ErrorKind::Denied, format!("the groups of user '{user}' can't be told: {why}")))
}
