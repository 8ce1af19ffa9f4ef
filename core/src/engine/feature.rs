//! Features: units of a pool that a session takes beside its license.

use std::sync::Arc;

use super::Engine;
use super::ask::Wait;
use super::login::{TRIES, changed, name_in};
use super::queue::Want;
use crate::error::{Error, Result};
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
        let asked = options.check().and_then(|()| request.0.in_flight()).and_then(|_| {
            let number = self.pool(pool)?;
            let waits = !options.queue.wait.is_zero();
            Ok((number, if waits { self.feature_waiter(request, number, &options)? } else { None }))
        });
        let (pool, waiter) = match asked {
            Ok(asked) => asked,
            Err(error) => return then(Err(error)),
        };
        let queue = options.queue.clone();
        let want = Taking { engine: self.clone(), request: request.clone(), pool, options };
        self.wait_for_units(wait, queue, waiter, want, then);
    }

    /// Who is to wait for a feature; nobody if it can never be had.
    fn feature_waiter(&self, request: &Request, pool: u32, options: &FeatureOptions) -> Result<Option<NewWaiter>> {
        let session = request.0.session.id;
        let take = self.take(request, pool, request.user()?, options)?;
        if take.rank == Rank::Excluded {
            return Ok(None);
        }
        let card = request.0.resolve(self.table.card(self.at(), request.0.session))?;
        let class = card.charge.map_or(LicenseClass::Named, |charge| charge.class);
        let holder = take.holder.map_or_else(|| Holder::taker(session, class), Holder::User);
        Ok(Some(NewWaiter {
            session,
            charge: Charge { pool, class: holder.class_of_takes(), holder, client: None },
            from: None,
            count: options.count,
            rank: take.rank,
            priority: options.queue.priority,
            deadline: 0,
        }))
    }

    fn take(&self, request: &Request, pool: u32, user: Option<Arc<str>>, options: &FeatureOptions) -> Result<Take> {
        let in_force = self.known_pool(pool);
        let config = &in_force.pool;
        let rank = user.as_ref().map_or(Rank::Ordinary, |user| config.rank(user, &options.groups));
        let client = if config.holder_per_client && user.is_some() { self.client_of(request)? } else { None };
        let holder = user.as_ref().map(|user| name_in(config, user, client.as_deref()));
        Ok(Take {
            pool,
            count: options.count,
            expected: user,
            holder,
            rank,
            revision: in_force.revision,
            asking: Asking::default(),
        })
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
    options: FeatureOptions,
}

impl Want for Taking {
    type Got = ();

    fn attempt(&mut self, asking: Asking) -> Result<Result<(), DenyReason>> {
        let Self { engine, request, pool, options } = self;
        for _ in 0..TRIES {
            let take = Take { asking, ..engine.take(request, *pool, request.user()?, options)? };
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

    fn denied(&mut self, reason: DenyReason) -> Error {
        self.engine.denial(Some(self.pool), reason)
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
