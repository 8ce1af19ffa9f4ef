//! What every step of a pool does first: to free what has lingered long enough, and to serve who waits.

use super::audit::{AuditKind, AuditWhy};
use super::books::{Ledger, Lingering};
use super::desk::Desk;
use super::join::AT_ONCE;
use super::ledger::{OWN, hold};
use super::queue::{self, Blocked};
use crate::clock::Millis;
use crate::reason::LicenseClass;
use crate::table::{At, Holder, PoolDefinition};

/// Frees what has lingered long enough, takes back what was set aside and not fetched, and serves who waits; every other
/// step does it first. Tells when there is more to do.
pub(crate) fn expire<L: Ledger>(ledger: &mut L, pool: &PoolDefinition, at: At) -> Result<Option<Millis>, L::Error> {
    Ok(tidy(ledger, pool, at)?.next)
}

/// What there is to know before a step.
#[derive(Default)]
pub(super) struct Tidy {
    /// When there is more to do.
    pub next: Option<Millis>,
    /// Whose turn it is who can't be served.
    pub blocked: Vec<Blocked>,
}

/// The same, and whose turn it is who can't be served.
#[inline]
pub(super) fn tidy<L: Ledger>(ledger: &mut L, pool: &PoolDefinition, at: At) -> Result<Tidy, L::Error> {
    // Nothing lingers in most pools at most times, and nobody waits: one comparison.
    let totals = ledger.totals();
    if totals.lingering | totals.waiting == 0 {
        return Ok(Tidy::default());
    }
    let mut next = fade(ledger, pool, at)?;
    if ledger.totals().waiting == 0 {
        return Ok(Tidy { next, blocked: Vec::new() });
    }
    let lapse = queue::lapse(ledger, pool, at)?;
    let blocked = queue::serve(ledger, pool, at)?;
    let lapse = ledger.first_lapse()?.map(|(until, _)| until).or(lapse);
    next = next.into_iter().chain(lapse).min();
    if !blocked.is_empty() && pool.reclaim && ledger.totals().lingering > 0 {
        next = next.into_iter().chain(ripens(ledger, pool, at.now.ms)?).min();
    }
    Ok(Tidy { next, blocked })
}

/// When the next unit that lingers has been held for its minimal time, so that it may be reclaimed.
fn ripens<L: Ledger>(ledger: &mut L, pool: &PoolDefinition, now: Millis) -> Result<Option<Millis>, L::Error> {
    let soonest = pool.min_hold.min(pool.lazy_min_hold);
    let (mut next, mut skip) = (None, 0);
    if pool.min_hold.max(pool.lazy_min_hold) == 0 {
        return Ok(None);
    }
    loop {
        let users = ledger.lingering(skip, AT_ONCE)?;
        skip += users.len();
        if users.is_empty() {
            return Ok(next);
        }
        for user in users.iter().filter(|user| !Holder::takes(user)) {
            let Some(held) = ledger.holder(user)? else { continue };
            if next.is_some_and(|next| held.acquired.saturating_add(soonest) >= next) {
                // Those that took theirs later are no sooner.
                return Ok(next);
            }
            let ripe = held.ripe(pool, now);
            next = next.into_iter().chain(Some(ripe).filter(|ripe| *ripe > now)).min();
        }
    }
}

/// Frees what has lingered long enough; tells when the next comes.
fn fade<L: Ledger>(ledger: &mut L, pool: &PoolDefinition, at: At) -> Result<Option<Millis>, L::Error> {
    while ledger.totals().lingering > 0 {
        let Some((until, lingering)) = ledger.first_lingering()? else { return Ok(None) };
        if until > at.now.ms {
            return Ok(Some(until));
        }
        let before = ledger.totals().in_use;
        let (session, holder) = match lingering {
            Lingering::User(user) => {
                let Some(mut held) = ledger.holder(&user)? else { return Ok(None) };
                let totals = ledger.totals();
                let units = held.dismiss(totals);
                let holder = Holder::of(user);
                if holder.class_of_takes() == LicenseClass::Anonymous {
                    totals.anonymous = totals.anonymous.saturating_sub(units);
                }
                hold(ledger, &holder, held.kept())?;
                (held.last, holder)
            }
            Lingering::Orphan(orphan) => {
                ledger.remove_orphan(&orphan)?;
                let totals = ledger.totals();
                totals.lingering = totals.lingering.saturating_sub(OWN);
                totals.in_use = totals.in_use.saturating_sub(OWN);
                totals.anonymous = totals.anonymous.saturating_sub(u64::from(orphan.anonymous));
                (orphan.session, Holder::Session)
            }
        };
        let desk = Desk { pool, at, session, holder: &holder, before };
        desk.settle(ledger, AuditKind::Release, None, AuditWhy::Lingered)?;
    }
    Ok(None)
}
