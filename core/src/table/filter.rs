//! Which sessions a filter means.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Millis;
use crate::session::{Filter, SessionInfo};

/// Whether a session is charged to the pool and the holder that are meant, for its license or for a feature.
fn charged(filter: &Filter, info: &SessionInfo) -> bool {
    if filter.pool.is_none() && filter.holder.is_none() {
        return true;
    }
    let means = |holder: &str, pool: &str| {
        filter.pool.as_ref().is_none_or(|wanted| wanted == pool)
            && filter.holder.as_ref().is_none_or(|wanted| wanted == holder)
    };
    let licensed = info.license.as_ref().is_some_and(|(holder, pool)| means(holder, pool));
    licensed || info.features.iter().any(|feature| means(&feature.holder, &feature.pool))
}

/// Whether a filter means a session that looks like this.
pub(super) fn matches(filter: &Filter, info: &SessionInfo, damaged: bool, now: Millis) -> bool {
    let same = |wanted: &Option<String>, actual: Option<&Arc<str>>| {
        wanted.as_ref().is_none_or(|wanted| actual.is_some_and(|actual| **actual == **wanted))
    };
    let at_least = |wanted: Option<Duration>, since: Millis| {
        wanted.is_none_or(|wanted| Duration::from_millis(now.saturating_sub(since)) >= wanted)
    };
    same(&filter.user, info.user.as_ref())
        && same(&filter.application, Some(&info.application))
        && filter.state.is_none_or(|state| state == info.state)
        && filter.overdue.is_none_or(|overdue| overdue == info.overdue)
        && charged(filter, info)
        && at_least(filter.older_than, info.created_ms)
        && at_least(filter.idle_for, info.last_used_ms)
        && filter.damaged.is_none_or(|wanted| wanted == damaged)
        && filter.immortal.is_none_or(|immortal| immortal == info.immortal)
}
