//! Users come and go: holder, trade and token change in one step.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::Engine;
use super::ask::{Wait, refusal};
use super::groups::Groups;
use super::queue::Want;
use crate::clock::millis;
use crate::config::{Pool, TradeFailure, check_user};
use crate::error::{Error, ErrorKind, Result};
use crate::id::Token;
use crate::license::back::Refusal;
use crate::license::client::client_of;
use crate::license::policy::Rank;
use crate::manager::Then;
use crate::reason::{DenyReason, EndLevel, EndReason, EventKind, LicenseClass, ThreadKind};
use crate::request::Request;
use crate::session::{EndOptions, EndOutcome, Login, LoginOptions, Logout, QueueOptions};
use crate::sync::Mutex;
use crate::table::{
    Asking, Card, ChangeRefused, Charge, EndSpec, Ended, Holder, HolderChange, HolderChanged, NewWaiter, PoolInForce,
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

    /// A change to a user of a session: who is charged, and what that is to the pool. `None` if the host must be asked for
    /// the user's groups first.
    fn to_user(&self, coming: &Coming, groups: &Groups) -> Option<HolderChange> {
        let Coming { card, user, client, trade_only, .. } = coming;
        let client = client.as_deref();
        let pool = self.pool_of(card);
        let pool = pool.as_deref();
        let keep = pool.is_none_or(|pool| pool.pool.trade_failure == TradeFailure::Keep);
        Some(HolderChange {
            user: Some(user.clone()),
            expected: card.user.clone(),
            holder: Holder::User(pool.map_or_else(|| user.clone(), |pool| name_in(&pool.pool, user, client))),
            rank: pool.map_or(Some(Rank::Ordinary), |pool| self.rank(&pool.pool, user, groups))?,
            revision: pool.map_or(0, |pool| pool.revision),
            keep_on_denial: keep && !trade_only,
            rotate: (!trade_only).then(|| millis(self.config.rotation_grace)),
            trade_only: *trade_only,
            idle: self.app(card.application).idle,
            asking: Asking::default(),
        })
    }

    pub(super) fn client_of(&self, request: &Request) -> Result<Option<String>> {
        let looked = self.table.look(self.at(), request.0.session).look()?;
        Ok(looked.and_then(|(info, _)| info.client.address))
    }

    /// The same user under a new token.
    pub fn rotate(&self, request: &Request) -> Result<Token> {
        let done = self.change_holder(request, || {
            let card = self.card_of(request)?;
            Ok(HolderChange {
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
            })
        })?;
        let done = done.map_err(|reason| self.denial(None, reason, None))?;
        self.new_token(request, &done)
    }

    fn new_token(&self, request: &Request, done: &HolderChanged) -> Result<Token> {
        let token = done.token.ok_or_else(changed)?;
        request.0.set_token(token);
        Ok(token)
    }

    /// Worked out again if the user is another one meanwhile, or the pool was defined anew.
    fn change_holder(
        &self,
        request: &Request,
        work_out: impl Fn() -> Result<HolderChange>,
    ) -> Result<Result<HolderChanged, DenyReason>> {
        for _ in 0..TRIES {
            let found = self.table.change_holder(self.at(), request.0.session, &work_out()?);
            match request.0.resolve(found)? {
                Ok(done) => {
                    self.pump_pools();
                    return Ok(Ok(done));
                }
                Err(ChangeRefused::License(reason)) => {
                    self.pump_pools();
                    return Ok(Err(reason));
                }
                Err(ChangeRefused::Changed | ChangeRefused::Redefined) => {}
            }
        }
        Err(changed())
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
        let coming = Coming::new(card, user, client, options, false);
        let refusal = coming.refusal.clone();
        let log_in = move |done: Result<HolderChanged>| {
            then(done.and_then(|done| {
                let token = engine.new_token(&mine, &done)?;
                let refusal = refusal.lock().take();
                let denied = done.trade_denied.map(|reason| engine.denial(pool, reason, refusal.as_ref()));
                Ok(Login { token, trade_denied: denied })
            }));
        };
        self.come(wait, request, coming, TRIES, Box::new(log_in));
    }

    /// Has a user come once its groups are known and there are units for it; begins anew, so many times, if it turns out
    /// meanwhile that the groups matter.
    fn come(self: &Arc<Self>, wait: Wait, request: &Request, coming: Coming, tries: usize, then: Then<HolderChanged>) {
        let until = self.clock.now().ms.saturating_add(millis(coming.queue.wait));
        let (engine, mine, coming) = (self.clone(), request.clone(), Arc::new(coming));
        let (user, pool, given) = (coming.user.clone(), coming.card.pool(), coming.groups.clone());
        self.with_groups(wait, request, Some(&user), (pool, given.as_ref()), move |groups| {
            let groups = match groups {
                Ok(groups) => groups,
                Err(error) => return then(Err(error)),
            };
            let (again, asker, comes) = (engine.clone(), mine.clone(), coming.clone());
            let come = move |done: Result<HolderChanged>| match done {
                Err(_) if tries > 1 && comes.unknown.load(Ordering::Acquire) => {
                    let rest = Coming::again(&comes, again.until(until));
                    again.come(wait, &asker, rest, tries - 1, then);
                }
                done => then(done),
            };
            engine.change_in_turn(wait, &mine, coming, groups, Box::new(come));
        });
    }

    /// Changes the holder once there are units for the new one.
    fn change_in_turn(
        self: &Arc<Self>,
        wait: Wait,
        request: &Request,
        coming: Arc<Coming>,
        groups: Groups,
        then: Then<HolderChanged>,
    ) {
        let (pool, queue) = (coming.card.pool(), coming.queue.clone());
        let waiter = pool.filter(|_| !queue.wait.is_zero()).and_then(|pool| {
            let (from, change) = (coming.card.charge.clone(), self.to_user(&coming, &groups)?);
            let changes = from.as_ref().is_none_or(|from| from.holder != change.holder);
            // One that has no unit yet takes its first.
            let first = || Charge { pool, class: LicenseClass::Lazy, holder: change.holder.clone(), client: None };
            (changes && change.rank != Rank::Excluded).then(|| NewWaiter {
                session: request.0.session.id,
                charge: from.as_ref().map_or_else(first, |from| from.with_holder(&change.holder)),
                from,
                count: 1,
                rank: change.rank,
                priority: queue.priority,
                deadline: 0,
            })
        });
        let want = Changing { engine: self.clone(), request: request.clone(), coming, groups };
        self.wait_for_units(wait, queue, waiter, want, then);
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
        let coming = Coming::new(card, user, client, options, true);
        self.come(wait, request, coming, TRIES, Box::new(move |done| then(done.map(drop))));
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
        let done = self.change_holder(request, || {
            let card = self.card_of(request)?;
            Ok(HolderChange {
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
            })
        })?;
        match done {
            Ok(done) => self.new_token(request, &done).map(Logout::Done),
            Err(_) => self.end_unlicensed(request),
        }
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

    pub fn end_request(self: &Arc<Self>, wait: Wait, request: &Request, options: EndOptions, then: Then<EndOutcome>) {
        match request.0.in_flight() {
            Ok(_) => self.end_session(wait, request.0.session, ThreadKind::Request, options, then),
            Err(error) => then(Err(error)),
        }
    }
}

/// A user who comes to a session.
struct Coming {
    card: Card,
    user: Arc<str>,
    client: Option<String>,
    /// As given with the call.
    groups: Option<Arc<[String]>>,
    queue: QueueOptions,
    /// Whether it is there already, and wants its unit.
    trade_only: bool,
    /// Whether it turned out that its groups matter and are not known.
    unknown: AtomicBool,
    /// As what it would be refused.
    refusal: Arc<Mutex<Option<Refusal>>>,
}

impl Coming {
    fn new(card: Card, user: Arc<str>, client: Option<String>, options: LoginOptions, trade_only: bool) -> Self {
        let groups = options.groups.map(Arc::from);
        let (unknown, refusal) = (AtomicBool::new(false), Arc::default());
        Self { card, user, client, groups, queue: options.queue, trade_only, unknown, refusal }
    }

    /// The same anew, which waits so long.
    fn again(&self, wait: Duration) -> Self {
        Self {
            card: self.card.clone(),
            user: self.user.clone(),
            client: self.client.clone(),
            groups: self.groups.clone(),
            queue: QueueOptions { wait, ..self.queue.clone() },
            trade_only: self.trade_only,
            unknown: AtomicBool::new(false),
            refusal: self.refusal.clone(),
        }
    }
}

/// A holder that is to be another.
struct Changing {
    engine: Arc<Engine>,
    request: Request,
    coming: Arc<Coming>,
    groups: Groups,
}

impl Want for Changing {
    type Got = HolderChanged;

    fn attempt(&mut self, asking: Asking) -> Result<Result<HolderChanged, DenyReason>> {
        if asking.place.is_some() {
            self.request.0.still()?;
        }
        let Self { engine, request, coming, groups } = self;
        engine.change_holder(request, || {
            let change = engine.to_user(coming, groups).ok_or_else(|| {
                coming.unknown.store(true, Ordering::Release);
                changed()
            })?;
            let charge = Charge { pool: 0, class: LicenseClass::Named, holder: change.holder.clone(), client: None };
            let refusal = Refusal { priority: coming.queue.priority, ..Refusal::new(&charge, change.rank) };
            *coming.refusal.lock() = Some(refusal.of(request.0.session, coming.card.charge.as_ref()));
            Ok(HolderChange { asking, ..change })
        })
    }

    fn request(&self) -> Option<&Request> {
        Some(&self.request)
    }

    fn denied(&mut self, reason: DenyReason) -> Error {
        let refusal = self.coming.refusal.lock().take();
        self.engine.denial(self.coming.card.pool(), reason, refusal.as_ref())
    }
}

/// The name of a user in the books of a pool.
pub(super) fn name_in(pool: &Pool, user: &Arc<str>, client: Option<&str>) -> Arc<str> {
    Holder::booked_user(match client {
        Some(client) if pool.holder_per_client => format!("{user}@{}", client_of(client)).into(),
        _ => user.clone(),
    })
}

pub(super) fn changed() -> Error {
    Error::new(
        ErrorKind::Conflict,
        "the session's user or the pool's rules were changed while the callbacks were asked; nothing was changed",
    )
}
