//! Features: units of a pool that a session takes beside its license.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Engine;
use super::ask::Wait;
use super::groups::Groups;
use super::login::{TRIES, changed, name_in};
use super::queue::Want;
use crate::clock::millis;
use crate::error::{Error, Result};
use crate::license::back::Refusal;
use crate::license::policy::Rank;
use crate::manager::Then;
use crate::reason::{DenyReason, LicenseClass};
use crate::request::Request;
use crate::session::{Feature, FeatureOptions};
use crate::table::{Asking, Charge, Holder, MAX_TAKES, NewWaiter, Take, TakeRefused};

impl Engine {
    pub fn take_feature(
        self: &Arc<Self>,
        wait: Wait,
        request: &Request,
        pool: &str,
        options: FeatureOptions,
        then: Then<()>,
    ) {
        let asked = options.check().and_then(|()| request.0.in_flight()).and_then(|_| self.pool(pool));
        match asked {
            Ok(pool) => self.take_known(wait, request, (pool, options), TRIES, then),
            Err(error) => then(Err(error)),
        }
    }

    /// Takes a feature once the user's groups are known and there are units; begins anew, so many times, if it turns out
    /// meanwhile that the groups matter, or those of another user.
    fn take_known(
        self: &Arc<Self>,
        wait: Wait,
        request: &Request,
        (pool, mut options): (u32, FeatureOptions),
        tries: usize,
        then: Then<()>,
    ) {
        let until = self.clock.now().ms.saturating_add(millis(options.queue.wait));
        let given: Option<Arc<[String]>> = options.groups.take().map(Arc::from);
        let (engine, mine) = (self.clone(), request.clone());
        self.with_groups(wait, request, None, (Some(pool), given.as_ref()), move |groups| {
            let groups = match groups {
                Ok(groups) => groups,
                Err(error) => return then(Err(error)),
            };
            let (count, queue) = (options.count, options.queue.clone());
            let unknown = Arc::new(AtomicBool::new(false));
            let want = Taking {
                engine: engine.clone(),
                request: mine.clone(),
                pool,
                count,
                priority: queue.priority,
                groups,
                unknown: unknown.clone(),
            };
            let waiter = if queue.wait.is_zero() { Ok(None) } else { want.waiter(queue.priority) };
            let (again, asker) = (engine.clone(), mine);
            let take = move |done: Result<()>| match done {
                Err(_) if tries > 1 && unknown.load(Ordering::Acquire) => {
                    options.queue.wait = again.until(until);
                    again.take_known(wait, &asker, (pool, options), tries - 1, then);
                }
                done => then(done),
            };
            match waiter {
                Ok(waiter) => engine.wait_for_units(wait, queue, waiter, want, Box::new(take)),
                Err(error) => take(Err(error)),
            }
        });
    }

    pub fn return_feature(&self, request: &Request, pool: &str, count: u64) -> Result<u64> {
        request.0.in_flight()?;
        let number = self.pool(pool)?;
        let found = self.table.return_feature(self.at(), request.0.session, number, count);
        let returned = request.0.resolve(found)?;
        self.pump_pools();
        Ok(returned)
    }

    pub fn features(&self, request: &Request) -> Result<Vec<Feature>> {
        Ok(request.info()?.features)
    }
}

/// A feature that is to be taken.
struct Taking {
    engine: Arc<Engine>,
    request: Request,
    pool: u32,
    count: u64,
    /// Among those who wait.
    priority: i8,
    groups: Groups,
    /// Whether it turned out that the user's groups matter and are not known.
    unknown: Arc<AtomicBool>,
}

impl Taking {
    /// What is taken, for whoever is logged in now.
    fn take(&self) -> Result<Take> {
        let Self { engine, request, pool, count, groups, unknown, .. } = self;
        let user = request.user()?;
        let in_force = engine.known_pool(*pool);
        let config = &in_force.pool;
        let rank = user.as_ref().map_or(Some(Rank::Ordinary), |user| engine.rank(config, user, groups));
        let Some(rank) = rank else {
            unknown.store(true, Ordering::Release);
            return Err(changed());
        };
        let client = if config.holder_per_client && user.is_some() { engine.client_of(request)? } else { None };
        let holder = user.as_ref().map(|user| name_in(config, user, client.as_deref()));
        Ok(Take {
            pool: *pool,
            count: *count,
            expected: user,
            holder,
            rank,
            revision: in_force.revision,
            asking: Asking::default(),
        })
    }

    /// Who is to wait for it; nobody if it can never be had.
    fn waiter(&self, priority: i8) -> Result<Option<NewWaiter>> {
        let Self { engine, request, pool, count, .. } = self;
        let session = request.0.session.id;
        let take = self.take()?;
        if take.rank == Rank::Excluded {
            return Ok(None);
        }
        let card = request.0.resolve(engine.table.card(engine.at(), request.0.session))?;
        let class = card.charge.map_or(LicenseClass::Named, |charge| charge.class);
        let holder = take.holder.map_or_else(|| Holder::taker(session, class), Holder::User);
        Ok(Some(NewWaiter {
            session,
            charge: Charge { pool: *pool, class: holder.class_of_takes(), holder, client: None },
            from: None,
            count: *count,
            rank: take.rank,
            priority,
            deadline: 0,
        }))
    }
}

impl Want for Taking {
    type Got = ();

    fn attempt(&mut self, asking: Asking) -> Result<Result<(), DenyReason>> {
        if asking.place.is_some() {
            self.request.0.still()?;
        }
        for _ in 0..TRIES {
            let take = Take { asking, ..self.take()? };
            let Self { engine, request, pool, .. } = &*self;
            let taken = request.0.resolve(engine.table.take_feature(engine.at(), request.0.session, &take))?;
            engine.pump_pools();
            match taken {
                Ok(()) => return Ok(Ok(())),
                Err(TakeRefused::License(reason)) => return Ok(Err(reason)),
                Err(TakeRefused::Changed | TakeRefused::Redefined) => {}
                Err(TakeRefused::TooMany) => {
                    let name = &engine.pool_config(*pool).name;
                    return Err(Error::invalid(format!(
                        "the session has taken {MAX_TAKES} features: return one before it takes pool '{name}'"
                    )));
                }
            }
        }
        Err(changed())
    }

    fn request(&self) -> Option<&Request> {
        Some(&self.request)
    }

    fn denied(&mut self, reason: DenyReason) -> Error {
        let waiter = self.waiter(self.priority).ok().flatten();
        let refusal = waiter.map(|waiter| {
            let NewWaiter { charge, count, rank, priority, .. } = waiter;
            let refusal = Refusal::new(&charge, rank).of(self.request.0.session, None);
            Refusal { count, feature: true, priority, ..refusal }
        });
        self.engine.denial(Some(self.pool), reason, refusal.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::*;

    #[test]
    fn whatever_a_user_is_called_it_is_not_taken_for_a_session() {
        let clock = ManualClock::new();
        let pool = Pool { linger: Duration::from_secs(1), anonymous_cap: Some(1), ..Pool::new("main", 9) };
        let config = Config { clock: Clock::Manual(clock.clone()), ..Config::new() }.pool(pool);
        let manager = Manager::new(config).expect("a manager");
        let anonymous = || CreateOptions { license_class: Some(LicenseClass::Anonymous), ..CreateOptions::default() };
        manager.create(anonymous()).expect("the anonymous one");
        for first in ['\u{1}', '\u{2}', '\u{3}'] {
            let user = format!("{first}eve");
            let request = manager.begin_new(CreateOptions::default(), BeginOptions::default()).expect("a session");
            assert!(request.login(&user).expect("a login").trade_denied.is_none());
            request.take_feature("main", FeatureOptions::default()).expect("a feature");
            assert_eq!(
                request.license_holder().map(|holder| holder.as_deref().map(str::to_owned)),
                Ok(Some(user.clone()))
            );
            assert_eq!(*request.features().expect("features")[0].holder, *user);
            let found = manager.explain_unit("main", &user).expect("explained").expect("a holder");
            assert_eq!((found.holder.kind, found.holder.connections, found.holder.units), ("user", 2, 1));
            request.end(EndOptions::default()).expect("an end");
            let usage = manager.usage("main").expect("usage");
            assert_eq!((usage.in_use, usage.lingering), (2, 1));
            clock.advance(Duration::from_secs(1)).expect("time");
            assert_eq!(manager.usage("main").map(|usage| usage.in_use), Ok(1));
            let records = manager.audit_records("main", 0, 100).expect("accounts");
            assert_eq!(records.last().map(|record| record.holder.to_string()), Some(user));
            // The cap of anonymous sessions is still reached.
            let denied = manager.create(anonymous()).expect_err("over the cap");
            assert_eq!(denied.deny_reason(), Some(DenyReason::Reserved));
        }
        assert_eq!(manager.check(), Ok(Vec::new()));
    }
}
