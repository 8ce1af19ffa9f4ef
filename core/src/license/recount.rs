//! The use of a pool, and its recount from first principles, over whatever keeps the books.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::audit::{Denials, HolderUsage, Usage};
use super::books::{Orphan, Totals, UserHolder};
use super::ledger::OWN;
use super::waiter::Waiter;
use super::{policy, rules};
use crate::clock::Millis;
use crate::id::SessionId;
use crate::plural::counted;
use crate::table::{At, Charge, Holder, PoolDefinition, Taken};

/// A session that is charged, for a recount.
pub(crate) struct Charged {
    /// The session.
    pub session: SessionId,
    /// Who is charged for it.
    pub holder: Holder,
    /// When it was created, took its license later, or took the feature first: engine time.
    pub since: Millis,
    /// How many connections of the holder that is.
    pub count: u64,
    /// Whether it is for a feature that it took, not for its license.
    pub taken: bool,
    /// The client among whose anonymous sessions it counts.
    pub client: Option<Arc<str>>,
}

impl Charged {
    /// For its license.
    pub fn license(session: SessionId, charge: Charge, since: Millis) -> Self {
        Self { session, holder: charge.holder, since, count: 1, taken: false, client: charge.client }
    }

    /// For a feature.
    pub fn taken(session: SessionId, taken: &Taken) -> Self {
        let holder = taken.holder.clone();
        Self { session, holder, since: taken.since, count: taken.count, taken: true, client: None }
    }
}

/// The name of a holder: the user, or the session's id.
pub(crate) fn holder_name(session: SessionId, holder: &Holder) -> Arc<str> {
    match holder {
        Holder::Session | Holder::Taker(_) => session.to_string().into(),
        Holder::User(user) => Holder::shared(user),
    }
}

/// The use at one instant: of all users in the books, of the units that outlived their sessions, and of the charged
/// sessions, of which only those that are their own holders count.
pub(crate) fn usage(
    pool: &PoolDefinition,
    at: At,
    (totals, denials): (&Totals, Denials),
    users: impl Iterator<Item = (Arc<str>, UserHolder)>,
    orphans: impl Iterator<Item = Orphan>,
    sessions: impl IntoIterator<Item = Charged>,
) -> Usage {
    let active = |since: Millis| Duration::from_millis(at.now.ms.saturating_sub(since));
    let left = |until: Millis| Duration::from_millis(until.saturating_sub(at.now.ms));
    let mut holders = Holders::default();
    for (name, holder) in users {
        let usage = HolderUsage {
            holder: Holder::shared(&name),
            kind: "user",
            connections: holder.connections,
            units: holder.units,
            active: active(holder.since),
            lingering: holder.lingering,
            release_in: (holder.lingering > 0).then(|| left(holder.until)),
            is_user: !Holder::takes(&name),
        };
        holders.add(usage);
    }
    for charged in sessions.into_iter().filter(|charged| charged.holder == Holder::Session) {
        let usage = HolderUsage {
            holder: holder_name(charged.session, &charged.holder),
            kind: "session",
            connections: 1,
            units: OWN,
            active: active(charged.since),
            lingering: 0,
            release_in: None,
            is_user: false,
        };
        holders.add_own(usage);
    }
    for orphan in orphans {
        let usage = HolderUsage {
            holder: holder_name(orphan.session, &Holder::Session),
            kind: "lingering",
            connections: 0,
            units: OWN,
            active: Duration::ZERO,
            lingering: OWN,
            release_in: Some(left(orphan.until)),
            is_user: false,
        };
        holders.add_own(usage);
    }
    let mut holders = holders.all;
    holders.sort_by(|a, b| (a.kind, &a.holder).cmp(&(b.kind, &b.holder)));
    let available = pool.capacity.saturating_sub(totals.in_use);
    let apart = policy::apart(pool, totals);
    Usage {
        pool: pool.name.clone(),
        capacity: pool.capacity,
        in_use: totals.in_use,
        available,
        free: available.saturating_sub(apart.hard.saturating_add(apart.break_glass)),
        reserved: apart.hard.min(available),
        reserved_soft: apart.soft,
        break_glass: apart.break_glass.min(available.saturating_sub(apart.hard)),
        lingering: totals.lingering,
        overdrawn: totals.in_use.saturating_sub(pool.capacity).saturating_sub(totals.excess),
        excess: totals.excess,
        offered: totals.offered,
        waiting: totals.waiting,
        high_water: totals.high_water,
        high_water_at: totals.high_water_at,
        denials: totals.denials,
        denials_by_reason: denials,
        evicted: totals.evicted,
        holders,
    }
}

/// All holders of a pool; what a session is charged for itself and what it took are one.
#[derive(Default)]
struct Holders {
    all: Vec<HolderUsage>,
    /// Where the sessions are that took something.
    takers: HashMap<Arc<str>, usize>,
}

impl Holders {
    /// A holder in the books: a user, or a session for what it took.
    fn add(&mut self, mut usage: HolderUsage) {
        usage.kind = match (usage.connections, usage.lingering) {
            (0, _) => "lingering",
            (_, 0) => {
                if usage.is_user {
                    "user"
                } else {
                    "session"
                }
            }
            _ => "mixed",
        };
        if !usage.is_user {
            if self.join(&usage) {
                return;
            }
            self.takers.insert(usage.holder.clone(), self.all.len());
        }
        self.all.push(usage);
    }

    /// A session that is its own holder.
    fn add_own(&mut self, usage: HolderUsage) {
        if self.takers.is_empty() || !self.join(&usage) {
            self.all.push(usage);
        }
    }

    /// Tells whether it is one with a session that took something.
    fn join(&mut self, more: &HolderUsage) -> bool {
        let Some(one) = self.takers.get(&more.holder).and_then(|at| self.all.get_mut(*at)) else { return false };
        one.connections += more.connections;
        one.units += more.units;
        one.active = one.active.max(more.active);
        one.lingering += more.lingering;
        one.release_in = one.release_in.max(more.release_in);
        one.kind = match (one.connections, one.lingering) {
            (0, _) => "lingering",
            (_, 0) => "session",
            _ => "mixed",
        };
        true
    }
}

/// What a user should be charged who has so many sessions, as far as one can tell from what is known; `None` is nothing.
pub(crate) fn holder(
    pool: &PoolDefinition,
    now: Millis,
    connections: u64,
    known: Option<UserHolder>,
) -> Option<UserHolder> {
    let mut holder = known.unwrap_or_else(|| UserHolder::new(now));
    holder.connections = connections;
    holder.units = rules::units(pool.rule, connections, holder.needed()).saturating_add(holder.lingering);
    holder.reserved = holder.reserved.min(holder.units);
    holder.kept()
}

/// Recounts from the holders of all charged sessions: the units they hold, and each difference from the books in words.
///
/// `users` are all in the books, `orphans` the units that outlived their sessions, `waiters` all who wait, `sessions` who is
/// charged for how many connections. Sessions and books must be of one instant.
pub(crate) fn recount<'a>(
    pool: &PoolDefinition,
    totals: &Totals,
    users: impl IntoIterator<Item = (&'a str, UserHolder)>,
    orphans: u64,
    waiters: impl IntoIterator<Item = &'a Waiter>,
    sessions: impl IntoIterator<Item = (&'a Holder, u64)>,
) -> (u64, Vec<String>) {
    let mut differences = Vec::new();
    let mut connections: HashMap<&str, u64> = HashMap::new();
    let mut recounted = orphans;
    let mut lingering = orphans;
    let mut reserved = vec![0; totals.reserved.len()];
    for (holder, count) in sessions {
        match holder.booked() {
            None => recounted = recounted.saturating_add(OWN),
            Some(name) => *connections.entry(name).or_default() += count,
        }
    }
    for (user, holder) in users {
        let count = connections.remove(user).unwrap_or(0);
        if count == 0 && holder.connections == 0 && holder.lingering == 0 {
            differences.push(format!("holder '{}' is charged and has no session", Holder::shown(user)));
            continue;
        }
        if holder.connections != count {
            let user = Holder::shown(user);
            differences.push(if count == 0 {
                format!("holder '{user}' is charged and has no session")
            } else {
                format!("holder '{user}' has {} and is booked with {}", counted(count, "session"), holder.connections)
            });
        }
        lingering = lingering.saturating_add(holder.lingering);
        let units = rules::units(pool.rule, count, holder.needed());
        recounted = recounted.saturating_add(units).saturating_add(holder.lingering);
        if let Some(used) = usize::from(holder.seat).checked_sub(1).and_then(|seat| reserved.get_mut(seat)) {
            *used += holder.reserved;
        }
    }
    let (mut waiting, mut offered) = (0, 0);
    for waiter in waiters {
        waiting += 1;
        offered += waiter.offered();
        waiter.count_reserved(&mut reserved);
    }
    recounted = recounted.saturating_add(offered);
    for (user, count) in connections {
        let name = Holder::shown(user);
        differences.push(format!("holder '{name}' has {} and is booked with 0", counted(count, "session")));
        recounted = recounted.saturating_add(rules::units(pool.rule, count, 0));
    }
    if recounted != totals.in_use {
        let booked = counted(totals.in_use, "unit");
        differences.push(format!("{booked} booked, {recounted} held by live sessions or lingering"));
    }
    if (waiting, offered) != (totals.waiting, totals.offered) {
        let (booked, aside) = (totals.waiting, totals.offered);
        differences.push(format!(
            "{booked} booked as waiting with {} set aside, {waiting} there with {offered}",
            counted(aside, "unit")
        ));
    }
    if lingering != totals.lingering {
        differences.push(format!("{} booked as lingering, {lingering} there", counted(totals.lingering, "unit")));
    }
    for (position, (booked, held)) in totals.reserved.iter().zip(reserved).enumerate() {
        if *booked != held {
            differences.push(format!("{} of reservation {position} booked, {held} held", counted(*booked, "unit")));
        }
    }
    // A capacity that was lowered takes nothing from who has it: what counts is the one that the last unit was given under.
    if totals.in_use > totals.ceiling.max(pool.capacity) {
        differences.push(format!("{} of {} units are in use", totals.in_use, pool.capacity));
    }
    (recounted, differences)
}

/// Each difference between the anonymous sessions that clients are booked with, and those that there are, in words.
pub(crate) fn recount_clients<'a>(
    booked: impl IntoIterator<Item = (&'a str, u64)>,
    sessions: impl IntoIterator<Item = &'a str>,
) -> Vec<String> {
    let mut counts: HashMap<&str, (u64, u64)> = HashMap::new();
    for client in sessions {
        counts.entry(client).or_default().0 += 1;
    }
    for (client, sessions) in booked {
        counts.entry(client).or_default().1 = sessions;
    }
    let mut wrong: Vec<_> = counts.into_iter().filter(|(_, (counted, booked))| counted != booked).collect();
    wrong.sort_unstable();
    let told = |(client, (there, booked)): (_, (u64, _))| {
        format!("client '{client}' has {} and is booked with {booked}", counted(there, "anonymous session"))
    };
    wrong.into_iter().map(told).collect()
}

#[cfg(test)]
mod tests {
    use super::super::rules::PoolRule;
    use super::*;
    use crate::reason::UnitRule;

    #[test]
    fn a_recount_tells_each_difference() {
        let rule = PoolRule { unit_rule: UnitRule::Staircase, max_connections: 2, max_sessions_per_holder: None };
        let pool = PoolDefinition { rule, ..PoolDefinition::plain("main", 3) };
        let user = |connections, units| UserHolder { connections, units, ..UserHolder::new(0) };
        let totals = |in_use| Totals { in_use, ..Totals::default() };
        let sessions = ["ada", "ada", "ada", "bob"].map(|user| Holder::User(user.into()));
        let sessions: Vec<Holder> = sessions.into_iter().chain([Holder::Session]).collect();
        let sessions = || sessions.iter().map(|holder| (holder, 1));
        let (units, differences) =
            recount(&pool, &totals(4), [("ada", user(3, 2)), ("bob", user(1, 1))], 0, [], sessions());
        assert_eq!((units, differences), (4, vec!["4 of 3 units are in use".to_string()]));
        let (units, differences) =
            recount(&pool, &totals(1), [("ada", user(2, 1)), ("eve", user(1, 1))], 0, [], sessions());
        assert_eq!(units, 4);
        let expected = [
            "holder 'ada' has 3 sessions and is booked with 2",
            "holder 'eve' is charged and has no session",
            "holder 'bob' has 1 session and is booked with 0",
            "1 unit booked, 4 held by live sessions or lingering",
        ];
        assert_eq!(differences, expected);
    }

    #[test]
    fn a_recount_of_clients_tells_each_difference() {
        assert_eq!(recount_clients([("a", 2)], ["a", "a"]), [""; 0]);
        let expected = [
            "client 'a' has 1 anonymous session and is booked with 2",
            "client 'b' has 1 anonymous session and is booked with 0",
            "client 'c' has 0 anonymous sessions and is booked with 1",
        ];
        assert_eq!(recount_clients([("a", 2), ("c", 1)], ["b", "a"]), expected);
    }
}
