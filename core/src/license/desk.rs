//! One change of a pool: what it writes, and the record it leaves.

use super::audit::{AuditKind, AuditWhy};
use super::books::{AuditEntry, Ledger, Orphan, Totals, UserHolder};
use super::evict::{Others, Step};
use super::join::{Joined, Reclaimed};
use super::ledger::{Demand, OWN, Verdict, hold, move_client};
use super::waiter::{Awaits, Waiter};
use super::{policy, queue, rules};
use crate::clock::Millis;
use crate::id::SessionId;
use crate::reason::DenyReason;
use crate::table::{At, Charge, Holder, PoolDefinition};

/// One change of a pool.
#[derive(Clone, Copy)]
pub(super) struct Desk<'a> {
    pub pool: &'a PoolDefinition,
    pub at: At,
    pub session: SessionId,
    /// Who the record names.
    pub holder: &'a Holder,
    /// Units in use before.
    pub before: u64,
}

/// What a leave changed.
pub(super) struct Left {
    pub rest: Option<UserHolder>,
    pub orphan: Option<Orphan>,
    pub lingers: bool,
}

impl<'a> Desk<'a> {
    /// A change that concerns one who waits.
    pub fn of<L: Ledger>(ledger: &mut L, pool: &'a PoolDefinition, at: At, waiter: &'a Waiter) -> Self {
        Self { pool, at, session: waiter.session, holder: &waiter.charge.holder, before: ledger.totals().in_use }
    }

    /// Who has waited gives back what was set aside, to take it now. One who does not wait any more, or whose turn it is
    /// not, has to go on waiting.
    pub fn come_forward<L: Ledger>(
        &self,
        ledger: &mut L,
        totals: &mut Totals,
        demand: &Demand<'_>,
    ) -> Result<Verdict<Option<Waiter>>, L::Error> {
        let Some(seq) = demand.turn else { return Ok(Ok(None)) };
        let Some(mut waiter) = ledger.waiter(seq)? else { return Ok(Err(DenyReason::PoolExhausted)) };
        if waiter.awaits == Awaits::Nothing {
            // It overslept its turn, and is first again.
            ledger.set_waiter(&Waiter { awaits: Awaits::Turn, ..waiter.clone() }, waiter.awaits)?;
            queue::serve(ledger, self.pool, self.at)?;
            *totals = ledger.totals().clone();
            match ledger.waiter(seq)? {
                Some(again) => waiter = again,
                None => return Ok(Err(DenyReason::PoolExhausted)),
            }
        }
        if waiter.awaits == Awaits::Turn && ledger.head(waiter.lane)?.is_none_or(|head| head.turn != waiter.turn) {
            return Ok(Err(DenyReason::PoolExhausted));
        }
        queue::take_back(totals, &waiter);
        Ok(Ok(Some(waiter)))
    }

    /// A demand that can't be met: the last word, or one of those who wait on. `gave` are the units that would have come free
    /// as its session left its holder.
    pub fn refuse<L: Ledger>(
        &self,
        ledger: &mut L,
        demand: &Demand<'_>,
        (waiter, gave): (Option<Waiter>, u64),
        reason: DenyReason,
    ) -> Result<Verdict, L::Error> {
        let mut before = self.before;
        if let Some(waiter) = waiter {
            // Those may be others than when it came: the same offer would be in vain again.
            let now = Waiter { gives: gave, ..waiter.clone() };
            if matches!(waiter.awaits, Awaits::Claim(_)) {
                queue::withdraw(ledger, self.pool, self.at, &now, Awaits::Turn)?;
                before = ledger.totals().in_use;
            } else if now != waiter {
                ledger.set_waiter(&now, waiter.awaits)?;
            }
            if !queue::may_come(reason) {
                // That is the last word: nothing is set aside for it again.
                ledger.remove_waiter(&now)?;
                let totals = ledger.totals();
                totals.waiting = totals.waiting.saturating_sub(1);
            }
        }
        if demand.last || !queue::may_come(reason) {
            Desk { before, ..*self }.deny(ledger, reason)?.ok();
        }
        queue::serve(ledger, self.pool, self.at)?;
        Ok(Err(reason))
    }
}

impl Desk<'_> {
    /// Writes what a join worked out.
    pub fn apply<L: Ledger>(
        &self,
        ledger: &mut L,
        joined: Joined,
        kind: AuditKind,
        waiter: Option<&Waiter>,
    ) -> Result<(), L::Error> {
        *ledger.totals() = joined.totals;
        let before = self.give_up(ledger, joined.reclaimed, joined.others)?;
        hold(ledger, self.holder, joined.holder)?;
        let mut why = joined.why;
        if let Some(waiter) = waiter {
            ledger.remove_waiter(waiter)?;
            let totals = ledger.totals();
            totals.waiting = totals.waiting.saturating_sub(1);
            why = if why == AuditWhy::Nothing { AuditWhy::Waited } else { why };
        }
        Desk { before, ..*self }.settle(ledger, kind, None, why)
    }

    /// Writes what was taken from others; tells the units in use after it.
    pub fn give_up<L: Ledger>(
        &self,
        ledger: &mut L,
        reclaimed: Vec<Reclaimed>,
        others: Others,
    ) -> Result<u64, L::Error> {
        let reclaimed = reclaimed.into_iter().map(|Reclaimed { user, last, units }| {
            (AuditKind::Reclaim, AuditWhy::Nothing, last, Holder::User(user), units)
        });
        for step in &others.steps {
            move_client(ledger, step.charge.client.as_ref(), None)?;
        }
        let evicted = others.steps.into_iter().map(|Step { session, charge, units }| {
            (AuditKind::Release, AuditWhy::Evicted, session, charge.holder, units)
        });
        for (user, rest) in others.users {
            ledger.set_holder(&user, rest.kept())?;
        }
        let mut before = self.before;
        for (kind, why, session, holder, units) in reclaimed.chain(evicted) {
            let after = before.saturating_sub(units);
            if self.pool.audit_records > 0 {
                let (at, holder) = (self.at.now.ms, &holder);
                ledger.record(&AuditEntry { at, kind, session, holder, before, after, reason: None, why })?;
            }
            before = after;
        }
        Ok(before)
    }

    /// Counts so many connections less: the holder without them. What nobody needs any more is kept until `least` at the
    /// earliest, and a user's lingers; with `None` it is free at once.
    pub fn leave(
        &self,
        totals: &mut Totals,
        charge: &Charge,
        count: u64,
        held: Option<UserHolder>,
        least: Option<Millis>,
    ) -> Left {
        let now = self.at.now.ms;
        let anonymous = charge.is_anonymous();
        match (&charge.holder, held) {
            (Holder::Session, _) => {
                if let Some(until) = least.filter(|least| *least > now) {
                    totals.lingering += OWN;
                    let orphan = Orphan { session: self.session, anonymous, until };
                    return Left { rest: None, orphan: Some(orphan), lingers: true };
                }
                totals.anonymous = totals.anonymous.saturating_sub(if anonymous { OWN } else { 0 });
                totals.in_use = totals.in_use.saturating_sub(OWN);
                Left { rest: None, orphan: None, lingers: false }
            }
            (_, Some(mut held)) => {
                let needed = held.needed();
                held.connections = held.connections.saturating_sub(count);
                held.last = self.session;
                let spare = needed.saturating_sub(rules::units(self.pool.rule, held.connections, needed));
                let until = match charge.holder {
                    Holder::Taker(_) => held.acquired.min(now).saturating_add(policy::least(self.pool, charge.class)),
                    _ => now.saturating_add(policy::linger(self.pool, charge.class)).max(held.ripe(self.pool, now)),
                };
                let lingers = spare > 0 && least.is_some() && until > now;
                if lingers {
                    held.lingering += spare;
                    held.until = held.until.max(until);
                    totals.lingering += spare;
                } else {
                    held.free(totals, spare);
                    totals.anonymous = totals.anonymous.saturating_sub(if anonymous { spare } else { 0 });
                }
                Left { rest: held.kept(), orphan: None, lingers }
            }
            (_, None) => Left { rest: None, orphan: None, lingers: false },
        }
    }

    pub fn deny<L: Ledger>(&self, ledger: &mut L, reason: DenyReason) -> Result<Verdict, L::Error> {
        let totals = ledger.totals();
        totals.denials = totals.denials.saturating_add(1);
        ledger.count_denial(reason)?;
        self.settle(ledger, AuditKind::Denial, Some(reason), AuditWhy::Nothing)?;
        Ok(Err(reason))
    }

    /// Tells the level, keeps the counters and the record.
    #[inline(always)]
    pub fn settle<L: Ledger>(
        &self,
        ledger: &mut L,
        kind: AuditKind,
        reason: Option<DenyReason>,
        why: AuditWhy,
    ) -> Result<(), L::Error> {
        let now = self.at.now.ms;
        let totals = ledger.totals();
        let after = totals.in_use;
        totals.overdrawn = (after > self.pool.capacity).then(|| totals.overdrawn.unwrap_or(now));
        totals.excess = totals.excess.min(after.saturating_sub(self.pool.capacity));
        let raised = after > totals.mark;
        if raised {
            totals.mark = after;
        }
        let level = policy::level(self.pool, totals.level, after);
        if level != totals.level {
            totals.level = level;
            ledger.level(level, after)?;
        }
        if raised {
            ledger.raise_marks(after, self.at.wall)?;
        }
        ledger.keep_totals()?;
        if self.pool.audit_records == 0 {
            return Ok(());
        }
        let (session, holder) = (self.session, self.holder);
        ledger.record(&AuditEntry { at: now, kind, session, holder, before: self.before, after, reason, why })
    }
}
