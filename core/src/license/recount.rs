//! The use of a pool, and its recount from first principles, over whatever keeps the books.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::audit::{HolderUsage, Usage};
use super::ledger::{OWN, Totals, UserHolder};
use super::rules;
use crate::clock::Millis;
use crate::id::SessionId;
use crate::table::{At, Holder, PoolDefinition};

/// A session that is charged, for a recount.
pub(crate) struct Charged {
    /// The session.
    pub session: SessionId,
    /// Who is charged for it.
    pub holder: Holder,
    /// When it was created: engine time.
    pub created: Millis,
}

/// The name of a holder: the user, or the session's id.
pub(crate) fn holder_name(session: SessionId, holder: &Holder) -> Arc<str> {
    match holder {
        Holder::Session => session.to_string().into(),
        Holder::User(user) => user.clone(),
    }
}

/// The use at one instant: of all users in the books and of the charged sessions, of which only those that are their own
/// holders count.
pub(crate) fn usage(
    pool: &PoolDefinition,
    at: At,
    totals: &Totals,
    users: impl Iterator<Item = (Arc<str>, UserHolder)>,
    sessions: impl IntoIterator<Item = Charged>,
) -> Usage {
    let active = |since: Millis| Duration::from_millis(at.now.ms.saturating_sub(since));
    let mut holders: Vec<HolderUsage> = users
        .map(|(user, holder)| HolderUsage {
            holder: user,
            kind: "user",
            connections: holder.connections,
            units: holder.units,
            active: active(holder.since),
        })
        .collect();
    let own = sessions.into_iter().filter(|charged| charged.holder == Holder::Session);
    holders.extend(own.map(|charged| HolderUsage {
        holder: holder_name(charged.session, &charged.holder),
        kind: "session",
        connections: 1,
        units: OWN,
        active: active(charged.created),
    }));
    holders.sort_by(|a, b| (a.kind, &a.holder).cmp(&(b.kind, &b.holder)));
    Usage {
        pool: pool.name.clone(),
        capacity: pool.capacity,
        in_use: totals.in_use,
        available: pool.capacity.saturating_sub(totals.in_use),
        high_water: totals.high_water,
        high_water_at: totals.high_water_at,
        denials: totals.denials,
        holders,
    }
}

/// What a user should be charged who has so many sessions, as far as one can tell from what is known.
pub(crate) fn holder(pool: &PoolDefinition, connections: u64, known: Option<UserHolder>) -> UserHolder {
    let (held, since) = known.map_or((0, 0), |known| (known.units, known.since));
    UserHolder { connections, units: rules::units(pool.rule, connections, held), since }
}

/// Recounts from the holders of all charged sessions: the units they hold, and each difference from the books in words.
///
/// `users` are all in the books. Sessions and books must be of one instant.
pub(crate) fn recount<'a>(
    pool: &PoolDefinition,
    in_use: u64,
    users: impl IntoIterator<Item = (&'a str, UserHolder)>,
    sessions: impl IntoIterator<Item = &'a Holder>,
) -> (u64, Vec<String>) {
    let mut differences = Vec::new();
    let mut connections: HashMap<&str, u64> = HashMap::new();
    let mut recounted: u64 = 0;
    for holder in sessions {
        match holder {
            Holder::Session => recounted = recounted.saturating_add(OWN),
            Holder::User(user) => *connections.entry(user).or_default() += 1,
        }
    }
    for (user, holder) in users {
        let Some(count) = connections.remove(user) else {
            differences.push(format!("holder '{user}' is charged and has no session"));
            continue;
        };
        if holder.connections != count {
            differences.push(format!("holder '{user}' has {count} sessions and is booked with {}", holder.connections));
        }
        recounted = recounted.saturating_add(rules::units(pool.rule, count, holder.units));
    }
    for (user, count) in connections {
        differences.push(format!("holder '{user}' has {count} sessions and is booked with 0"));
        recounted = recounted.saturating_add(rules::units(pool.rule, count, 0));
    }
    if recounted != in_use {
        differences.push(format!("{in_use} units are booked, {recounted} are held by live sessions"));
    }
    if in_use > pool.capacity {
        differences.push(format!("{in_use} of {} units are in use", pool.capacity));
    }
    (recounted, differences)
}

#[cfg(test)]
mod tests {
    use super::super::rules::PoolRule;
    use super::*;
    use crate::reason::UnitRule;

    #[test]
    fn a_recount_tells_each_difference() {
        let rule = PoolRule { unit_rule: UnitRule::Staircase, max_connections: 2, max_sessions_per_holder: None };
        let (name, capacity) = ("main".into(), 3);
        let pool = PoolDefinition { name, capacity, rule, anonymous_cap: None, low: 0, audit_records: 0 };
        let user = |connections, units| UserHolder { connections, units, since: 0 };
        let sessions = ["ada", "ada", "ada", "bob"].map(|user| Holder::User(user.into()));
        let sessions: Vec<Holder> = sessions.into_iter().chain([Holder::Session]).collect();
        let (units, differences) = recount(&pool, 4, [("ada", user(3, 2)), ("bob", user(1, 1))], &sessions);
        assert_eq!((units, differences), (4, vec!["4 of 3 units are in use".to_string()]));
        let (units, differences) = recount(&pool, 1, [("ada", user(2, 1)), ("eve", user(1, 1))], &sessions);
        assert_eq!(units, 4);
        let expected = [
            "holder 'ada' has 3 sessions and is booked with 2",
            "holder 'eve' is charged and has no session",
            "holder 'bob' has 1 sessions and is booked with 0",
            "1 units are booked, 4 are held by live sessions",
        ];
        assert_eq!(differences, expected);
    }
}
