//! Users come and go: holder, trade and token change in one step.

use std::sync::Arc;

use super::Engine;
use super::ask::{Wait, refusal};
use super::queue::{Attempt, Tried};
use crate::clock::millis;
use crate::config::{Pool, TradeFailure, check_user};
use crate::error::{Error, ErrorKind, Result};
use crate::id::Token;
use crate::license::policy::Rank;
use crate::license::queue::may_come;
use crate::manager::Then;
use crate::reason::{EndLevel, EndReason, EventKind, LicenseClass, ThreadKind};
use crate::request::Request;
use crate::session::{EndOptions, Login, LoginOptions, Logout, QueueOptions};
use crate::table::{
    Asking, Card, ChangeRefused, Charge, EndSpec, Ended, Found, Holder, HolderChange, HolderChanged, NewWaiter,
    PoolInForce,
};

/// How often a change is tried again when the user changed meanwhile.
pub(super) const TRIES: usize = 8;

impl Engine {
    fn card_of(&self, request: &Request) -> Result<Card> {
        request.0.in_flight()?;
        request.0.resolve(self.table.card(self.at(), request.0.session))
    }

    /// The pool that a session is or will be charged to, as this process saw it last.
    fn pool_of(&self, card: &Card) -> Option<Arc<PoolInForce>> {
        card.pool().map(|pool| self.known_pool(pool))
    }

    /// A change to a user of this session: who is charged, and what that is to the pool.
    fn to_user(&self, card: &Card, user: &Arc<str>, client: Option<&str>, options: &LoginOptions) -> HolderChange {
        let pool = self.pool_of(card);
        let pool = pool.as_deref();
        HolderChange {
            user: Some(user.clone()),
            expected: card.user.clone(),
            holder: Holder::User(pool.map_or_else(|| user.clone(), |pool| name_in(&pool.pool, user, client))),
            rank: pool.map_or(Rank::Ordinary, |pool| pool.pool.rank(user, &options.groups)),
            revision: pool.map_or(0, |pool| pool.revision),
            keep_on_denial: pool.is_none_or(|pool| pool.pool.trade_failure == TradeFailure::Keep),
            rotate: Some(millis(self.config.rotation_grace)),
            trade_only: false,
            idle: self.app(card.application).idle,
            asking: Asking::default(),
        }
    }

    pub(super) fn client_of(&self, request: &Request) -> Result<Option<String>> {
        let looked = self.table.look(self.at(), request.0.session).look()?;
        Ok(looked.and_then(|(info, _)| info.client.address))
    }

    pub fn rotate(&self, request: &Request) -> Result<Token> {
        for _ in 0..TRIES {
            let card = self.card_of(request)?;
            let change = HolderChange {
                user: card.user.clone(),
                expected: card.user.clone(),
                holder: card.charge.as_ref().map_or(Holder::Session, |charge| charge.holder.clone()),
                rank: Rank::Ordinary,
                revision: self.pool_of(&card).map_or(0, |pool| pool.revision),
                keep_on_denial: true,
                rotate: Some(millis(self.config.rotation_grace)),
                trade_only: false,
                idle: self.app(card.application).idle,
                asking: Asking::default(),
            };
            if let Some(HolderChanged { token: Some(token), .. }) = self.change_holder(request, &change)? {
                request.0.set_token(token);
                return Ok(token);
            }
        }
        Err(changed())
    }

    /// As [`change_holder`](Self::change_holder), worked out again if the pool was defined anew meanwhile.
    fn change_to_user(&self, request: &Request, work_out: impl Fn() -> HolderChange) -> Result<Option<HolderChanged>> {
        for _ in 0..TRIES {
            let change = work_out();
            let found = self.table.change_holder(self.at(), request.0.session, &change);
            if !matches!(found, Found::Live(Err(ChangeRefused::Redefined))) {
                return self.changed_holder(request, found);
            }
        }
        Ok(None)
    }

    /// `None` if the user was another one meanwhile, or the pool has another definition.
    fn change_holder(&self, request: &Request, change: &HolderChange) -> Result<Option<HolderChanged>> {
        let found = self.table.change_holder(self.at(), request.0.session, change);
        self.changed_holder(request, found)
    }

    fn changed_holder(
        &self,
        request: &Request,
        found: Found<Result<HolderChanged, ChangeRefused>>,
    ) -> Result<Option<HolderChanged>> {
        match request.0.resolve(found)? {
            Ok(done) => Ok(Some(done)),
            Err(ChangeRefused::Changed | ChangeRefused::Redefined) => Ok(None),
            Err(ChangeRefused::License(reason)) => {
                self.pump_pools();
                let pool = self.card_of(request)?.pool();
                let name = pool.map_or("", |pool| &self.pool_config(pool).name);
                Err(Error::license_denied(name, reason, self.retry_after(pool, reason)))
            }
        }
    }

    pub fn login(
        self: &Arc<Self>,
        wait: Wait,
        request: &Request,
        user: &str,
        options: LoginOptions,
        then: Then<Login>,
    ) {
        let card = match check_user(user).and_then(|()| options.check()).and_then(|()| self.card_of(request)) {
            Ok(card) => card,
            Err(error) => return then(Err(error)),
        };
        let user: Arc<str> = user.into();
        let mut event = self.event_of(EventKind::Login, &card, ThreadKind::Request);
        event.old_user = event.user.replace(user.clone());
        event.request = Some(request.clone());
        let asked = self.asked_classes(&card.classes, EventKind::Login);
        let (engine, request) = (self.clone(), request.clone());
        self.ask_each(
            wait,
            asked,
            Arc::new(event),
            Box::new(move |answers| {
                let refused = answers.iter().find_map(|(class, answer)| refusal(EventKind::Login, class, answer));
                match refused {
                    Some(error) => then(Err(error)),
                    None => engine.log_in(wait, &request, card, user, options, then),
                }
            }),
        );
    }

    fn log_in(
        self: &Arc<Self>,
        wait: Wait,
        request: &Request,
        card: Card,
        user: Arc<str>,
        options: LoginOptions,
        then: Then<Login>,
    ) {
        let client = match self.client_of(request) {
            Ok(client) => client,
            Err(error) => return then(Err(error)),
        };
        let (engine, mine, pool) = (self.clone(), request.clone(), card.pool());
        let log_in = move |done: Result<HolderChanged>| {
            let done = done.and_then(|done| Ok((done.token.ok_or_else(changed)?, done.trade_denied)));
            then(done.map(|(token, denied)| {
                mine.0.set_token(token);
                engine.pump_pools();
                let trade_denied = denied.map(|reason| {
                    let name = pool.map_or("", |pool| &engine.pool_config(pool).name);
                    Error::license_denied(name, reason, engine.retry_after(pool, reason))
                });
                Login { token, trade_denied }
            }));
        };
        let (engine, pool, queue) = (self.clone(), card.pool(), options.queue.clone());
        let charge = card.charge.clone();
        let work_out = move || engine.to_user(&card, &user, client.as_deref(), &options);
        self.change_in_turn(wait, request, (pool, charge), queue, Box::new(work_out), Box::new(log_in));
    }

    /// Changes the holder once there are units for the new one.
    fn change_in_turn(
        self: &Arc<Self>,
        wait: Wait,
        request: &Request,
        (pool, from): (Option<u32>, Option<Charge>),
        queue: QueueOptions,
        work_out: Box<dyn Fn() -> HolderChange + Send>,
        then: Then<HolderChanged>,
    ) {
        let change = work_out();
        let waits = !queue.wait.is_zero() && change.rank != Rank::Excluded;
        let changes = from.as_ref().is_none_or(|from| from.holder != change.holder);
        let Some(pool) = pool.filter(|_| waits && changes) else {
            return then(self.change_to_user(request, work_out).and_then(|done| done.ok_or_else(changed)));
        };
        // One that has no unit yet takes its first.
        let first = Charge { pool, class: LicenseClass::Named, holder: change.holder.clone(), client: None };
        let waiter = NewWaiter {
            session: request.0.session.id,
            charge: from.as_ref().map_or(first, |from| from.with_holder(&change.holder)),
            from,
            count: 1,
            rank: change.rank,
            priority: queue.priority,
            deadline: 0,
        };
        let (engine, request) = (self.clone(), request.clone());
        let attempt: Attempt<HolderChanged> = Box::new(move |asking| {
            let work_out = || {
                let change = work_out();
                // What is not the last word is not to be kept either.
                HolderChange { asking, keep_on_denial: change.keep_on_denial && asking.last, ..change }
            };
            match engine.change_to_user(&request, work_out) {
                Ok(done) => Ok(Tried::Done(done.ok_or_else(changed)?)),
                Err(error) => match error.deny_reason().filter(|reason| !asking.last && may_come(&Err(*reason))) {
                    Some(reason) => Ok(Tried::Refused(reason)),
                    None => Err(error),
                },
            }
        });
        self.wait_for_units(wait, queue, waiter, attempt, then);
    }

    pub fn trade(self: &Arc<Self>, wait: Wait, request: &Request, options: LoginOptions, then: Then<()>) {
        let asked = options.check().and_then(|()| self.card_of(request)).and_then(|card| {
            let Some(user) = card.user.clone() else {
                return Err(Error::invalid("nobody is logged in: there is nothing to trade"));
            };
            Ok((card, user, self.client_of(request)?))
        });
        let (card, user, client) = match asked {
            Ok(asked) => asked,
            Err(error) => return then(Err(error)),
        };
        let engine = self.clone();
        let traded = move |done: Result<HolderChanged>| {
            engine.pump_pools();
            then(done.map(drop));
        };
        let (engine, pool, queue) = (self.clone(), card.pool(), options.queue.clone());
        let charge = card.charge.clone();
        let work_out = move || HolderChange {
            keep_on_denial: false,
            rotate: None,
            trade_only: true,
            ..engine.to_user(&card, &user, client.as_deref(), &options)
        };
        self.change_in_turn(wait, request, (pool, charge), queue, Box::new(work_out), Box::new(traded));
    }

    pub fn logout(self: &Arc<Self>, wait: Wait, request: &Request, force: bool, then: Then<Logout>) {
        let card = match self.card_of(request) {
            Ok(card) => card,
            Err(error) => return then(Err(error)),
        };
        let mut event = self.event_of(EventKind::Logout, &card, ThreadKind::Request);
        event.old_user = event.user.take();
        event.request = Some(request.clone());
        let asked = self.asked_classes(&card.classes, EventKind::Logout);
        let (engine, request) = (self.clone(), request.clone());
        self.ask_each(
            wait,
            asked,
            Arc::new(event),
            Box::new(move |answers| {
                let refused = answers.iter().find_map(|(class, answer)| refusal(EventKind::Logout, class, answer));
                then(match refused.filter(|_| !force) {
                    Some(error) => Err(error),
                    None => engine.log_out(&request),
                });
            }),
        );
    }

    fn log_out(self: &Arc<Self>, request: &Request) -> Result<Logout> {
        for _ in 0..TRIES {
            let card = self.card_of(request)?;
            let change = HolderChange {
                user: None,
                expected: card.user.clone(),
                holder: Holder::Session,
                rank: Rank::Ordinary,
                revision: self.pool_of(&card).map_or(0, |pool| pool.revision),
                keep_on_denial: false,
                rotate: Some(0),
                trade_only: false,
                idle: self.app(card.application).idle,
                asking: Asking::default(),
            };
            match self.change_holder(request, &change) {
                Ok(Some(HolderChanged { token: Some(token), .. })) => {
                    request.0.set_token(token);
                    self.pump_pools();
                    return Ok(Logout::Done(token));
                }
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::LicenseDenied => return self.end_unlicensed(request),
                Err(error) => return Err(error),
            }
        }
        Err(changed())
    }

    /// A logout never fails for a license: without a unit of its own the session ends.
    fn end_unlicensed(&self, request: &Request) -> Result<Logout> {
        let spec = EndSpec {
            reason: EndReason::LicenseDenied,
            level: EndLevel::Force,
            thread: ThreadKind::Request,
            actor: None,
            note: None,
            here: false,
        };
        let ended = self.table.end(self.at(), request.0.session, &spec);
        self.pump();
        match ended {
            Ended::Now(receipt) | Ended::Before(receipt) => Ok(Logout::Ended(receipt)),
            Ended::Absent => Err(Error::absent()),
            Ended::Failed(error) => Err(error),
        }
    }

    pub fn end_request(self: &Arc<Self>, request: &Request, options: EndOptions) -> Result<crate::session::EndOutcome> {
        request.0.in_flight()?;
        let session = request.0.session;
        super::ask::now(|then| self.end_session(Wait::Blocking, session, ThreadKind::Request, options, then))
    }
}

/// The name of a user in the books of a pool.
pub(super) fn name_in(pool: &Pool, user: &Arc<str>, client: Option<&str>) -> Arc<str> {
    Holder::booked_user(match client {
        Some(client) if pool.holder_per_client => format!("{user}@{client}").into(),
        _ => user.clone(),
    })
}

pub(super) fn changed() -> Error {
    Error::new(
        ErrorKind::Conflict,
        "the session's user was changed by another request while the callbacks were asked; nothing was changed",
    )
}
