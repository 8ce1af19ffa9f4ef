//! Why a unit is held: for an administrator.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::Engine;
use super::look::line;
use crate::clock::Millis;
use crate::config::Pool;
use crate::error::Result;
use crate::license::HolderUsage;
use crate::license::policy::linger;
use crate::reason::{Evict, LicenseClass};
use crate::session::{Filter, SessionInfo, UnitExplain};

/// So many sessions of a holder are told one by one.
const TOLD: usize = 100;

impl Engine {
    pub fn explain_unit(&self, pool: &str, holder: &str) -> Result<Option<UnitExplain>> {
        self.enter()?;
        let number = self.pool(pool)?;
        let usage = self.table.usage(self.at(), number)?;
        let in_force = self.known_pool(number);
        let rules = &in_force.pool;
        let Some(found) = usage.holders.into_iter().find(|one| *one.holder == *holder) else { return Ok(None) };
        let filter = Filter { pool: Some(pool.into()), holder: Some(holder.into()), ..Filter::default() };
        let (listed, _) = self.table.list(self.at(), &filter, 0, TOLD, usize::MAX)?;
        let taken = |info: &SessionInfo| -> u64 {
            let features = info.features.iter().filter(|taken| *taken.pool == *pool && *taken.holder == *holder);
            features.map(|taken| taken.count).sum()
        };
        let takes: u64 = listed.iter().map(|(_, info)| taken(info)).sum();
        let mut text = String::new();
        line(&mut text, "holder", &format!("{holder} ({}) in pool {pool}", found.kind));
        line(&mut text, "units", &units(&found, takes));
        line(&mut text, "held", &format!("for {} ms without a break", found.active.as_millis()));
        let now = self.clock.now().ms;
        let mut sessions = Vec::with_capacity(listed.len());
        let mut last_end = Some(0);
        let mut told_of = 0;
        let mut lingers = BTreeSet::new();
        for (session, info) in listed {
            let mut told = format!(
                "{}: created {} ms ago, last used {} ms ago",
                info.id,
                now.saturating_sub(info.created_ms),
                now.saturating_sub(info.last_used_ms)
            );
            let licensed = info.license.as_ref().is_some_and(|(by, of)| **by == *holder && **of == *pool);
            told_of += taken(&info) + u64::from(licensed);
            if licensed {
                let card = self.table.card(self.at(), session).look()?;
                let class = card.and_then(|card| card.charge).map_or(LicenseClass::Named, |charge| charge.class);
                lingers.insert(linger(&in_force.rules, class));
            }
            if taken(&info) > 0 {
                lingers.insert(in_force.rules.linger);
                let _ = write!(told, ", taken as a feature {} times", taken(&info));
            }
            if info.in_flight > 0 {
                told.push_str(", a request is in flight");
            }
            match info.deadline_ms {
                Some(deadline) => {
                    let _ = write!(told, ", ends in {} ms", deadline.saturating_sub(now));
                }
                None if info.in_flight > 0 => {}
                None => told.push_str(", never ends by itself"),
            }
            last_end = last_end.zip(info.deadline_ms).map(|(last, deadline)| last.max(deadline));
            let details = self.table.look(self.at(), session).look()?.map(|(_, details)| details);
            if let Some((at, class, by)) = details.and_then(|details| details.extensions.last().cloned()) {
                let _ = write!(told, ", extended by {by} ms by {class} {} ms ago", now.saturating_sub(at));
            }
            line(&mut text, "session", &told);
            sessions.push(info);
        }
        if found.connections > told_of {
            lingers.extend([in_force.rules.linger, in_force.rules.lazy_linger]);
            line(&mut text, "session", &format!("and {} more", found.connections - told_of));
        }
        let back = match (found.release_in, last_end) {
            (Some(left), _) if found.connections == 0 && found.is_user => {
                format!("in {} ms, unless the holder does", left.as_millis())
            }
            // A session that ended does not come back to its units, and nobody else has them sooner.
            (Some(left), _) if found.connections == 0 => {
                format!("in {} ms, when its minimal time is over", left.as_millis())
            }
            (_, Some(end)) => format!("in {} ms, when its last session ends unused", end.saturating_sub(now)),
            (_, None) => "when its last session ends".to_owned(),
        };
        line(&mut text, "comes back", &back);
        if found.connections > 0 {
            let returning = if takes > 0 { ", or returning what they took" } else { "" };
            line(&mut text, "sooner", &format!("by ending its sessions{returning}"));
            if let Some(evicted) = evicted(rules) {
                line(&mut text, "sooner", &evicted);
            }
            if found.is_user
                && let Some(afterwards) = afterwards(&lingers)
            {
                line(&mut text, "afterwards", &afterwards);
            }
        } else if rules.reclaim && found.is_user {
            line(&mut text, "sooner", "when somebody finds no other unit, once its minimal time is over");
        }
        Ok(Some(UnitExplain { pool: pool.into(), holder: found, sessions, text }))
    }
}

/// How long a unit lingers when its sessions have left, each of which may be the last.
fn afterwards(lingers: &BTreeSet<Millis>) -> Option<String> {
    match (lingers.first(), lingers.last()) {
        (_, None | Some(0)) => None,
        (Some(least), Some(most)) if least < most => {
            Some(format!("it lingers for {least} or {most} ms: the license class of the last to leave tells"))
        }
        (_, Some(linger)) => Some(format!("it lingers for {linger} ms")),
    }
}

/// When the pool itself ends its sessions.
fn evicted(rules: &Pool) -> Option<String> {
    let soft = rules.reservations.iter().any(|reservation| !reservation.hard);
    let whom = match rules.evict {
        Evict::Any => "when somebody finds no other unit",
        _ if soft => "when somebody who has units reserved finds no other",
        Evict::Anonymous => "when somebody finds no other unit and it is anonymous",
        _ => return None,
    };
    let idle = match rules.evict_idle.as_millis() {
        0 => "no request is in flight".to_owned(),
        idle => format!("it has been idle for {idle} ms"),
    };
    Some(format!("{whom}: then it may be evicted once {idle} and its minimal time is over"))
}

fn units(holder: &HolderUsage, takes: u64) -> String {
    let what = if takes > 0 { "sessions and features" } else { "sessions" };
    let mut text = format!("{} for {} {what}", holder.units, holder.connections);
    if let Some(left) = holder.release_in {
        let _ = write!(text, ", {} of them linger for {} ms", holder.lingering, left.as_millis());
    }
    text
}
