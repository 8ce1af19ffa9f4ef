//! Who goes for whom: sessions that are ended for a unit that somebody needs, or for a user's session that is one too many.
//!
//! It is all worked out beside the rest of a join, and happens with it or not at all.

use std::sync::Arc;

use super::books::{Ledger, Totals, UserHolder};
use super::crowd::{Cause, Member, Victims};
use super::desk::Desk;
use super::ledger::OWN;
use super::{policy, rules};
use crate::id::SessionId;
use crate::reason::{AtSessionLimit, Evict};
use crate::table::{Charge, Holder};

/// Sessions that are ended at once for one unit, at most: a user with more of them is left alone.
pub(super) const MOST: u64 = 1024;

/// One session that goes.
pub(super) struct Step {
    pub session: SessionId,
    pub charge: Charge,
    /// Units that come free by it.
    pub units: u64,
}

/// What a join would do to others, worked out and not yet written.
#[derive(Default)]
pub(super) struct Others {
    /// Users as they will be.
    pub users: Vec<(Arc<str>, UserHolder)>,
    /// Sessions that go, in this order.
    pub steps: Vec<Step>,
}

impl Others {
    /// What a user is charged as things stand in the middle of a join.
    pub fn holder<L: Ledger>(&self, ledger: &mut L, user: &Arc<str>) -> Result<Option<UserHolder>, L::Error> {
        match self.users.iter().find(|(known, _)| known == user) {
            Some((_, holder)) => Ok(Some(*holder)),
            None => ledger.holder(user),
        }
    }

    pub fn set_holder(&mut self, user: &Arc<str>, holder: UserHolder) {
        match self.users.iter_mut().find(|(known, _)| known == user) {
            Some((_, known)) => *known = holder,
            None => self.users.push((user.clone(), holder)),
        }
    }
}

/// For whom somebody goes.
pub(super) struct Need<'a> {
    /// Whose sessions stay.
    pub spared: [Option<&'a Arc<str>>; 2],
    pub whom: Evict,
    pub cause: Cause,
}

/// Sessions that would go for one unit, and what becomes of whom they were charged to.
struct Group {
    members: Vec<Member>,
    user: Option<(Arc<str>, UserHolder)>,
    units: u64,
}

impl Desk<'_> {
    /// Has sessions go until `measure` of the counters is `enough`, those first that have been idle longest; only such that
    /// bring it nearer. Tells whether it is.
    pub(super) fn evict<L: Ledger>(
        &self,
        ledger: &mut L,
        victims: &mut Victims<'_, L>,
        totals: &mut Totals,
        others: &mut Others,
        need: &Need<'_>,
        (measure, enough): (&dyn Fn(&Totals) -> i64, i64),
    ) -> Result<bool, L::Error> {
        if totals.excess > 0 {
            // Of a capacity that was lowered nothing is taken: first the excess drains.
            return Ok(false);
        }
        for anonymous in [true, false] {
            if need.whom == Evict::None || (!anonymous && need.whom != Evict::Any) {
                break;
            }
            victims.begin(anonymous);
            while measure(totals) < enough
                && let Some(one) = victims.next(ledger)?
            {
                if one.idle < self.pool.evict_idle {
                    // So has everyone behind it.
                    victims.pass(&one);
                    break;
                }
                let Some(group) = self.group(ledger, victims, others, need, &one)? else {
                    victims.pass(&one);
                    continue;
                };
                let mut after = totals.clone();
                let mut user = group.user;
                match &mut user {
                    Some((_, holder)) => holder.free(&mut after, group.units),
                    None => {
                        after.in_use = after.in_use.saturating_sub(OWN);
                        after.anonymous = after.anonymous.saturating_sub(u64::from(one.is_anonymous()));
                    }
                }
                // What comes free and is set apart for others is of no use.
                if measure(&after) <= measure(totals) {
                    group.members.iter().for_each(|member| victims.pass(member));
                    continue;
                }
                *totals = after;
                if let Some((user, holder)) = user {
                    others.set_holder(&user, holder);
                }
                self.go(victims, others, &group.members, need.cause, group.units);
            }
        }
        Ok(measure(totals) >= enough)
    }

    fn go<L: Ledger>(
        &self,
        victims: &mut Victims<'_, L>,
        others: &mut Others,
        members: &[Member],
        cause: Cause,
        units: u64,
    ) {
        for (position, member) in members.iter().enumerate() {
            victims.take(member, cause);
            // The last of them frees what they had together.
            let units = if position + 1 == members.len() { units } else { 0 };
            others.steps.push(Step { session: member.session, charge: member.charge.clone(), units });
        }
    }

    /// The sessions that would go with this one, if it is the last used of them: `None` if it stays.
    fn group<L: Ledger>(
        &self,
        ledger: &mut L,
        victims: &mut Victims<'_, L>,
        others: &Others,
        need: &Need<'_>,
        one: &Member,
    ) -> Result<Option<Group>, L::Error> {
        let now = self.at.now.ms;
        if one.busy || one.session == self.session {
            return Ok(None);
        }
        let user = match &one.charge.holder {
            Holder::Session => {
                let least = one.since.min(now).saturating_add(policy::least(self.pool, one.charge.class));
                let group = || Group { members: vec![one.clone()], user: None, units: OWN };
                return Ok((least <= now).then(group));
            }
            Holder::User(user) => user,
            // No session is charged so.
            Holder::Taker(_) => return Ok(None),
        };
        if need.spared.contains(&Some(user)) {
            return Ok(None);
        }
        let Some(mut held) = others.holder(ledger, user)? else { return Ok(None) };
        let needed = held.needed();
        let count = rules::to_shrink(self.pool.rule, held.connections, needed);
        let units = needed.saturating_sub(rules::units(self.pool.rule, held.connections.saturating_sub(count), needed));
        let young = held.ripe(self.pool, now) > now;
        if young || count > MOST || units == 0 || units > held.units.saturating_sub(held.reserved) {
            return Ok(None);
        }
        let members = if count <= 1 {
            vec![one.clone()]
        } else {
            let Some(mut all) = victims.sessions_of(ledger, user)? else { return Ok(None) };
            all.sort_by_key(|member| (member.busy, member.standing));
            let rest = all.split_off(usize::try_from(count).map_or(all.len(), |count| count.min(all.len())));
            rest.iter().for_each(|member| victims.pass(member));
            let whole = all.len() as u64 == count && all.iter().all(|member| !member.busy);
            if !whole || all.last().is_none_or(|last| last.session != one.session) {
                // Its turn comes with the one of them that was used last.
                all.iter().for_each(|member| victims.pass(member));
                return Ok(None);
            }
            all
        };
        held.connections = held.connections.saturating_sub(count);
        held.last = one.session;
        Ok(Some(Group { members, user: Some((user.clone(), held)), units }))
    }

    /// Has sessions of a user go that has as many as a holder may, so that there may be one more; tells whether there may.
    pub(super) fn make_place<L: Ledger>(
        &self,
        ledger: &mut L,
        victims: &mut Victims<'_, L>,
        others: &mut Others,
        user: &Arc<str>,
        holder: &mut UserHolder,
    ) -> Result<bool, L::Error> {
        let policy = self.pool.at_session_limit;
        let Some(limit) = rules::limit(self.pool.rule).filter(|_| policy != AtSessionLimit::Deny) else {
            return Ok(false);
        };
        let count = holder.connections.saturating_add(1).saturating_sub(limit);
        let Some(mut own) = victims.sessions_of(ledger, user)? else { return Ok(false) };
        match policy {
            AtSessionLimit::EvictOldest => own.sort_by_key(|member| (member.standing.made, member.standing.place)),
            _ => own.sort_by_key(|member| member.standing),
        }
        let rest = own.split_off(usize::try_from(count).map_or(own.len(), |count| count.min(own.len())));
        rest.iter().for_each(|member| victims.pass(member));
        if own.len() as u64 != count {
            own.iter().for_each(|member| victims.pass(member));
            return Ok(false);
        }
        holder.connections -= count;
        // Its units stay with the user.
        self.go(victims, others, &own, Cause::Limit, 0);
        Ok(true)
    }
}
