//! Features: units of a pool that a session takes beside its license.

use std::sync::Arc;

use super::Engine;
use super::login::{TRIES, changed, name_in};
use crate::error::{Error, Result};
use crate::license::policy::Rank;
use crate::request::Request;
use crate::session::{Feature, FeatureOptions};
use crate::table::{MAX_TAKES, Take, TakeRefused};

impl Engine {
    pub fn take_feature(&self, request: &Request, pool: &str, options: &FeatureOptions) -> Result<()> {
        options.check()?;
        request.0.in_flight()?;
        let number = self.pool(pool)?;
        for _ in 0..TRIES {
            let user = request.user()?;
            let take = self.take(request, number, user, options)?;
            let taken = request.0.resolve(self.table.take_feature(self.at(), request.0.session, &take))?;
            self.pump_pools();
            match taken {
                Ok(()) => return Ok(()),
                Err(TakeRefused::Changed | TakeRefused::Redefined) => {}
                Err(TakeRefused::TooMany) => {
                    return Err(Error::invalid(format!(
                        "the session has taken {MAX_TAKES} features: return one before it takes pool '{pool}'"
                    )));
                }
                Err(TakeRefused::License(reason)) => {
                    return Err(Error::license_denied(pool, reason, self.retry_after(reason)));
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
        Ok(Take { pool, count: options.count, expected: user, holder, rank, revision: in_force.revision })
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
