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
