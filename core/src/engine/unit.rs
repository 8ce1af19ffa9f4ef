//! Why a unit is held: for an administrator.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::Engine;
use super::words::{client_line, line, span};
use crate::clock::{Millis, NEVER};
use crate::config::Pool;
use crate::error::Result;
use crate::license::HolderUsage;
use crate::license::back::Ending;
use crate::license::books::UserHolder;
use crate::license::course;
use crate::license::policy::linger;
use crate::plural::{counted, times};
use crate::reason::{Evict, LicenseClass};
use crate::session::{Filter, SessionInfo, UnitExplain};
use crate::table::{Details, Holder, PoolDefinition};

/// So many sessions of a holder are told one by one.
const TOLD: usize = 100;

/// What is known of a holder beside its sessions.
#[derive(Default)]
struct Known {
    /// What each of its sessions is charged.
    endings: Vec<Ending>,
    /// What the books have of it: as a user, or as a session that took features.
    booked: Vec<(std::sync::Arc<str>, UserHolder)>,
    /// How long its units may linger, by the license class of the last to leave.
    lingers: BTreeSet<Millis>,
    /// How often it took the pool as a feature.
    takes: u64,
    /// Whether a session has its license of the pool.
    licensed: bool,
}

impl Engine {
    pub fn explain_unit(&self, pool: &str, holder: &str) -> Result<Option<UnitExplain>> {
        self.enter()?;
        let number = self.pool(pool)?;
        let at = self.at();
        let usage = self.table.usage(at, number)?;
        let in_force = self.known_pool(number);
        let (pool_now, rules) = (&in_force.pool, &in_force.rules);
        let Some(found) = usage.holders.into_iter().find(|one| *one.holder == *holder) else { return Ok(None) };
        let filter = Filter { pool: Some(pool.into()), holder: Some(holder.into()), ..Filter::default() };
        let (listed, _) = self.table.list(at, &filter, 0, usize::MAX, usize::MAX)?;
        let now = at.now.ms;
        let mut known = Known::default();
        let mut sessions = Vec::new();
        let mut all = 0;
        let mut lines = String::new();
        for (session, info) in listed {
            let Some((_, details)) = self.table.look(at, session).look()? else { continue };
            let mut charges = details.charges.clone();
            let mine = |ending: &Ending| match ending.charge.holder.booked() {
                None => *info.id.to_string() == *holder,
                Some(name) => *Holder::shown(name) == *holder,
            };
            charges.retain(|ending| ending.charge.pool == number && mine(ending));
            known.take(self, number, rules, &charges)?;
            let takes: u64 = charges.iter().filter(|ending| ending.feature).map(|ending| ending.count).sum();
            all += 1;
            if sessions.len() < TOLD {
                line(&mut lines, "session", &told(&info, &details, takes, now));
                sessions.push(info);
            }
        }
        let mut text = String::new();
        line(&mut text, "holder", &format!("{holder} ({}) in pool {pool}", found.kind));
        line(&mut text, "units", &units(&found, known.takes));
        line(&mut text, "held", &format!("for {} without a break", span_of(found.active)));
        text.push_str(&lines);
        if all > sessions.len() {
            line(&mut text, "session", &format!("and {} more", all - sessions.len()));
        }
        known.comes_back(&mut text, rules, &found, now);
        if found.connections > 0 {
            known.sooner(&mut text, (pool_now, rules), &found, now);
        } else if rules.reclaim
            && let Some(held) = self.table.holder(number, &Holder::booked_user(holder.into()))?
        {
            // What is no user's lingers for its minimal time alone.
            let young = match held.ripe(rules, now).saturating_sub(now) {
                0 => String::new(),
                left => format!(", once its minimal time is over in {}", span(left)),
            };
            line(&mut text, "sooner", &format!("when somebody finds no other unit{young}"));
        }
        Ok(Some(UnitExplain { pool: pool.into(), holder: found, sessions, text }))
    }
}

impl Known {
    /// One session more.
    fn take(&mut self, engine: &Engine, pool: u32, rules: &PoolDefinition, charges: &[Ending]) -> Result<()> {
        for ending in charges {
            self.lingers.insert(if ending.feature { rules.linger } else { linger(rules, ending.charge.class) });
            if ending.feature {
                self.takes += ending.count;
            } else {
                self.licensed = true;
            }
            if let Some(name) = ending.charge.holder.booked()
                && self.booked.iter().all(|(known, _)| known != name)
                && let Some(held) = engine.table.holder(pool, name)?
            {
                self.booked.push((name.clone(), held));
            }
        }
        self.endings.extend_from_slice(charges);
        Ok(())
    }

    /// When units of it come free, if these are all endings, the first ones first.
    fn frees(&self, rules: &PoolDefinition, now: Millis, endings: &[Ending]) -> Vec<(Millis, u64)> {
        let booked = |name: &_| self.booked.iter().find(|(known, _)| known == name).map(|(_, held)| *held);
        course::frees(rules, now, endings, booked)
    }

    /// Tells when its units come back if nobody does anything.
    fn comes_back(&self, text: &mut String, rules: &PoolDefinition, found: &HolderUsage, now: Millis) {
        let mut frees = self.frees(rules, now, &self.endings);
        if let Some(left) = found.release_in {
            if found.connections == 0 {
                // A session that ended does not come back to its units.
                let why = if found.is_user { "unless the holder does" } else { "when its minimal time is over" };
                return line(text, "comes back", &format!("in {}, {why}", span_of(left)));
            }
            let left = u64::try_from(left.as_millis()).unwrap_or(NEVER);
            frees.push((now.saturating_add(left), found.lingering));
            frees.sort_unstable();
        }
        let free: u64 = frees.iter().map(|(_, units)| units).sum();
        let after = |(at, _): &(Millis, u64)| span(at.saturating_sub(now));
        let back = match (frees.first(), frees.last()) {
            (Some(first), Some(last)) if free >= found.units && first.0 == last.0 => {
                let young = self.endings.iter().all(|ending| ending.at < last.0);
                let why = if young { "its minimal time is over" } else { "its last session ends unused" };
                format!("in {}, when {why}", after(last))
            }
            (Some(first), Some(last)) if free >= found.units => {
                format!(
                    "the first unit in {}, all {} in {}, if its sessions end unused",
                    after(first),
                    found.units,
                    after(last)
                )
            }
            (Some(first), _) => format!("the first unit in {}, the last when its last session ends", after(first)),
            _ => "when its last session ends".to_owned(),
        };
        line(text, "comes back", &back);
    }

    /// Tells what would bring it back sooner.
    fn sooner(&self, text: &mut String, (pool, rules): (&Pool, &PoolDefinition), found: &HolderUsage, now: Millis) {
        let ended: Vec<_> = self.endings.iter().map(|ending| Ending { at: now, ..ending.clone() }).collect();
        let forced = self.frees(rules, now, &ended);
        let by_itself = self.frees(rules, now, &self.endings);
        let held = forced.last().map_or(now, |(at, _)| *at);
        if held > now {
            line(text, "held at least", &format!("for {} more: then its minimal time is over", span(held - now)));
        }
        // What ends no later by itself nobody need end.
        let helps = match (forced.last(), by_itself.last()) {
            (Some(_), Some(_)) => forced != by_itself,
            _ => true,
        };
        if helps {
            let returning = if self.takes > 0 { ", or returning what they took" } else { "" };
            let then = match held.saturating_sub(now) {
                0 => String::new(),
                left => format!(": then it is back in {}", span(left)),
            };
            line(text, "sooner", &format!("by ending its sessions{returning}{then}"));
        }
        if let Some(evicted) = self.evicted(pool, held > now) {
            line(text, "sooner", &evicted);
        }
        if found.is_user
            && let Some(afterwards) = afterwards(&self.lingers)
        {
            line(text, "afterwards", &afterwards);
        }
    }

    /// When the pool itself ends its sessions: never for what counts as reserved, nor for a feature.
    fn evicted(&self, pool: &Pool, young: bool) -> Option<String> {
        let licenses = || self.endings.iter().filter(|ending| !ending.feature);
        let reserved = |ending: &Ending| {
            let name = ending.charge.holder.booked();
            let held = self.booked.iter().find(|(known, _)| Some(known) == name).map(|(_, held)| held);
            held.is_some_and(|held| held.reserved >= held.units)
        };
        if licenses().all(reserved) {
            return None;
        }
        let anonymous = licenses().any(|ending| ending.charge.class == LicenseClass::Anonymous);
        let soft = pool.reservations.iter().any(|reservation| !reservation.hard);
        let whom = match pool.evict {
            Evict::Any => "when somebody finds no other unit",
            Evict::Anonymous if anonymous => "when somebody finds no other unit",
            _ if soft => "when somebody who has units reserved finds no other",
            _ => return None,
        };
        let idle = match pool.evict_idle.as_millis() {
            0 => "no request is in flight".to_owned(),
            _ => format!("it has been idle for {}", span_of(pool.evict_idle)),
        };
        let young = if young { " and its minimal time is over" } else { "" };
        Some(format!("{whom}: then it may be evicted once {idle}{young}"))
    }
}

/// A session of a holder.
fn told(info: &SessionInfo, details: &Details, takes: u64, now: Millis) -> String {
    let mut told = format!(
        "{}: application {}, created {} ago, last used {} ago",
        info.id,
        info.application,
        span(now.saturating_sub(info.created_ms)),
        span(now.saturating_sub(info.last_used_ms))
    );
    if takes > 0 {
        let _ = write!(told, ", taken as a feature {}", times(takes));
    }
    let in_flight = info.in_flight > 0;
    if in_flight {
        told.push_str(", a request is in flight");
    }
    match details.ends {
        Some(end) => {
            let by = if in_flight { " at the latest, if it is not used again" } else { "" };
            let _ = write!(told, ", ends in {}{by}", span(end.saturating_sub(now)));
        }
        None => told.push_str(", never ends by itself"),
    }
    if let Some((at, class, by)) = details.extensions.last() {
        let _ = write!(told, ", extended by {} by {class} {} ago", span(*by), span(now.saturating_sub(*at)));
    }
    if let Some(client) = client_line(&info.client) {
        let from = if info.client.address.is_some() { "from " } else { "" };
        let _ = write!(told, ", {from}{client}");
    }
    told
}

/// How long a unit lingers when its sessions have left, each of which may be the last.
fn afterwards(lingers: &BTreeSet<Millis>) -> Option<String> {
    match (lingers.first(), lingers.last()) {
        (_, None | Some(0)) => None,
        (Some(least), Some(most)) if least < most => Some(format!(
            "it lingers for {} or {}: the license class of the last to leave tells",
            span(*least),
            span(*most)
        )),
        (_, Some(linger)) => Some(format!("it lingers for {}", span(*linger))),
    }
}

fn units(holder: &HolderUsage, takes: u64) -> String {
    let sessions = holder.connections.saturating_sub(takes);
    let named = [(sessions, "session"), (takes, "feature")].map(|(count, what)| (count, counted(count, what)));
    let named: Vec<_> = named.into_iter().filter(|(count, _)| *count > 0).map(|(_, named)| named).collect();
    let mut text = holder.units.to_string();
    if !named.is_empty() {
        let _ = write!(text, " for {}", named.join(" and "));
    }
    if let Some(left) = holder.release_in {
        let whose =
            if holder.lingering == holder.units { "which".to_owned() } else { format!("{} of them", holder.lingering) };
        let lingers = if holder.lingering == 1 { "lingers" } else { "linger" };
        let _ = write!(text, ", {whose} {lingers} for {}", span_of(left));
    }
    text
}

fn span_of(time: std::time::Duration) -> String {
    span(u64::try_from(time.as_millis()).unwrap_or(NEVER))
}
