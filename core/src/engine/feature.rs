//! Features: units of a pool that a session takes beside its license.

use std::sync::Arc;

use super::Engine;
use super::ask::Wait;
use super::login::{TRIES, changed, name_in};
use super::queue::{Attempt, Tried, last};
use crate::error::{Error, Result};
use crate::license::policy::Rank;
use crate::license::queue::may_come;
use crate::manager::Then;
use crate::reason::LicenseClass;
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
            Ok((number, if waits { Some(self.feature_waiter(request, number, &options)?) } else { None }))
        });
        let (number, waiter) = match asked {
            Ok(asked) => asked,
            Err(error) => return then(Err(error)),
        };
        let queue = options.queue.clone();
        let (engine, request) = (self.clone(), request.clone());
        let mut attempt: Attempt<()> = Box::new(move |asking| engine.try_to_take(&request, number, &options, asking));
        match waiter.filter(|waiter| waiter.rank != Rank::Excluded) {
            Some(waiter) => self.wait_for_units(wait, queue, waiter, attempt, then),
            None => then(last(&mut attempt, queue.priority)),
        }
    }

    /// Who is to wait for a feature.
    fn feature_waiter(&self, request: &Request, pool: u32, options: &FeatureOptions) -> Result<NewWaiter> {
        let session = request.0.session.id;
        let take = self.take(request, pool, request.user()?, options)?;
        let card = request.0.resolve(self.table.card(self.at(), request.0.session))?;
        let class = card.charge.map_or(LicenseClass::Named, |charge| charge.class);
        let holder = take.holder.map_or_else(|| Holder::taker(session, class), Holder::User);
        Ok(NewWaiter {
            session,
            charge: Charge { pool, class: holder.class_of_takes(), holder, client: None },
            from: None,
            count: options.count,
            rank: take.rank,
            priority: options.queue.priority,
            deadline: 0,
        })
    }

    fn try_to_take(&self, request: &Request, pool: u32, options: &FeatureOptions, asking: Asking) -> Result<Tried<()>> {
        for _ in 0..TRIES {
            let take = Take { asking, ..self.take(request, pool, request.user()?, options)? };
            let taken = request.0.resolve(self.table.take_feature(self.at(), request.0.session, &take))?;
            self.pump_pools();
            let name = &self.pool_config(pool).name;
            match taken {
                Ok(()) => return Ok(Tried::Done(())),
                Err(TakeRefused::Changed | TakeRefused::Redefined) => {}
                Err(TakeRefused::TooMany) => {
                    return Err(Error::invalid(format!(
                        "the session has taken {MAX_TAKES} features: return one before it takes pool '{name}'"
                    )));
                }
                Err(TakeRefused::License(reason)) if !asking.last && may_come(&Err(reason)) => {
                    return Ok(Tried::Refused(reason));
                }
                Err(TakeRefused::License(reason)) => {
                    return Err(Error::license_denied(name, reason, self.retry_after(Some(pool), reason)));
                }
            }
        }
        Err(changed())
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
