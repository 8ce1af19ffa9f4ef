//! How a session is charged, or will be.

use std::sync::Arc;

use super::MemoryTable;
use super::cold::Cold;
use super::requests::corrupt;
use super::slot::Slot;
use super::visit::{Visit, Waiters};
use crate::clock::Millis;
use crate::data::{Changes, Tree};
use crate::error::{Error, Result};
use crate::license::client::client_of;
use crate::license::ledger::Demand;
use crate::license::policy::Rank;
use crate::reason::{LazyUntil, LicenseClass};
use crate::table::{At, Charge, Holder, Lazy, SessionRef};

// The small number beside the absolute deadline: 0, or pool + 1 above 4 bits: 3 of kind, and whether the idle timeout is that
// of anonymous sessions.
const BITS: u32 = 4;
const KIND: u32 = 7;
const BRIEF: u32 = 8;
const NAMED: u32 = 0;
const ANONYMOUS: u32 = 1;
/// An anonymous one that counts among those of its client.
const COUNTED: u32 = 2;
/// One that was lazy until it took its unit.
const LATE: u32 = 3;
/// The first of those that hold no unit yet, in the order of [`LazyUntil::ALL`].
const LAZY: u32 = 4;

fn kind_of(charge: &Charge) -> u32 {
    match (charge.class, &charge.client) {
        (LicenseClass::Anonymous, Some(_)) => COUNTED,
        (LicenseClass::Anonymous, None) => ANONYMOUS,
        (LicenseClass::Lazy, _) => LATE,
        _ => NAMED,
    }
}

fn kind_of_lazy(until: LazyUntil) -> u32 {
    match until {
        LazyUntil::Login => LAZY,
        LazyUntil::SecondRequest => LAZY + 1,
        LazyUntil::FirstWrite => LAZY + 2,
    }
}

impl MemoryTable {
    /// How a session is charged; `None` if it holds no unit. Under its cold lock.
    pub(super) fn charge(&self, slot: &Slot, cold: &Cold) -> Option<Charge> {
        let word = slot.absolute.small();
        let pool = (word >> BITS).checked_sub(1)?;
        let kind = word & KIND;
        if kind >= LAZY {
            return None;
        }
        let class = match kind {
            NAMED => LicenseClass::Named,
            LATE => LicenseClass::Lazy,
            _ => LicenseClass::Anonymous,
        };
        let holder = cold.extra().and_then(|extra| extra.holder.clone()).map_or(Holder::Session, Holder::User);
        let client = if kind == COUNTED { client(cold) } else { None };
        Some(Charge { pool, class, holder, client })
    }

    /// The pool that a session is charged to, and whether it is anonymous, as its slot tells it; nobody need hold it.
    pub(super) fn charged_to(slot: &Slot) -> Option<(u32, bool)> {
        let word = slot.absolute.small();
        let pool = (word >> BITS).checked_sub(1)?;
        (word & KIND < LAZY).then_some((pool, matches!(word & KIND, ANONYMOUS | COUNTED)))
    }

    /// Gives back the unit of a session that is known nowhere in the books, if that is all there is to it; under its cold lock.
    #[inline]
    pub(super) fn gives_bare(&self, slot: &Slot, cold: &Cold) -> bool {
        let Some((pool, false)) = Self::charged_to(slot) else { return false };
        let account = &self.accounts[pool as usize];
        // One that is counted among those of its client is anonymous.
        account.is_bare() && cold.extra().is_none_or(|extra| extra.holder.is_none()) && account.give_bare()
    }

    /// Gives back what a session is charged, or lets it linger; under its cold lock.
    pub(super) fn release(&self, at: At, session: SessionRef, slot: &Slot, cold: &Cold) {
        let Some(charge) = self.charge(slot, cold) else { return };
        let since = Self::licensed_since(slot, cold);
        let free = self.accounts[charge.pool as usize].release(at, session, &charge, since);
        free.into_iter().for_each(|when| self.ring_if_earlier(when));
    }

    pub(super) fn set_charge(&self, slot: &Slot, cold: &mut Cold, charge: Option<&Charge>) {
        let brief = slot.absolute.small() & BRIEF;
        if let Some(charge) = charge
            && Self::charged_to(slot).is_none()
            && slot.state().deadline() != super::slot::FREE
        {
            // A session that lives already joins those of the pool.
            self.soon[charge.pool as usize].forget();
        }
        let word = charge.map_or(0, |charge| (charge.pool + 1) << BITS | brief | kind_of(charge));
        slot.absolute.set_small(word);
        match charge.map(|charge| &charge.holder) {
            Some(Holder::User(user)) => cold.extra_mut().holder = Some(user.clone()),
            _ if cold.extra().is_some_and(|extra| extra.holder.is_some()) => cold.extra_mut().holder = None,
            _ => {}
        }
    }

    /// The license that a session takes later; under its cold lock.
    pub(super) fn lazy(&self, slot: &Slot) -> Option<Lazy> {
        let word = slot.absolute.small();
        let until = LazyUntil::ALL.get((word & KIND).checked_sub(LAZY)? as usize)?;
        Some(Lazy { pool: (word >> BITS).checked_sub(1)?, until: *until })
    }

    pub(super) fn set_lazy(&self, slot: &Slot, lazy: Lazy) {
        slot.absolute.set_small((lazy.pool + 1) << BITS | kind_of_lazy(lazy.until));
    }

    /// Whether the idle timeout is that of anonymous sessions; under the cold lock.
    pub(super) fn is_brief(&self, slot: &Slot) -> bool {
        slot.absolute.small() & BRIEF != 0
    }

    pub(super) fn set_brief(&self, slot: &Slot, brief: bool) {
        let word = slot.absolute.small();
        slot.absolute.set_small(if brief { word | BRIEF } else { word & !BRIEF });
    }

    /// Whether this moment is the one at which a session takes its unit; under its cold lock.
    #[inline]
    pub(super) fn takes_unit(&self, slot: &Slot, moment: LazyUntil) -> bool {
        slot.absolute.small() & KIND == kind_of_lazy(moment)
    }

    /// Takes the unit of a session that is its own holder; its pool if it took none. On a denial nothing changed.
    pub(super) fn take_unit(&self, at: At, visit: &mut Visit<'_>) -> std::result::Result<(), (u32, crate::DenyReason)> {
        let slot = visit.slot;
        let (Some(lazy), Some(cold)) = (self.lazy(slot), visit.cold.as_mut()) else { return Ok(()) };
        let charge = Charge { pool: lazy.pool, class: LicenseClass::Lazy, holder: Holder::Session, client: None };
        // Who goes for it has no request in flight: nobody waits for one, and nobody is woken.
        let taken = self.charge_new(at, visit.session, 0, Demand::new(&charge, Rank::Ordinary), &mut Waiters::new());
        taken.map_err(|reason| (lazy.pool, reason))?;
        self.set_charge(slot, cold, Some(&charge));
        cold.extra_mut().licensed = at.now.ms;
        cold.trace(|| format!("{} ms: took a unit of {}", at.now.ms, self.config.pools[lazy.pool as usize].name));
        Ok(())
    }

    /// Since when a session holds its unit, if it is its own holder.
    pub(super) fn licensed_since(slot: &Slot, cold: &Cold) -> Millis {
        slot.created.ms().max(cold.extra().map_or(0, |extra| extra.licensed))
    }

    /// The first write of a session that takes its unit by it: if it changes something, and there is a unit.
    pub(super) fn first_write(
        &self,
        at: At,
        visit: &mut Visit<'_>,
        change: impl FnOnce(&mut Tree) -> Result<Changes>,
    ) -> Result<()> {
        let Some(cold) = visit.cold.as_ref() else { return Err(Error::absent()) };
        let mut tree = cold.snapshot().ok_or_else(corrupt)?;
        if change(Arc::make_mut(&mut tree))?.is_empty() {
            return Ok(());
        }
        self.take_unit(at, visit)
            .map_err(|(pool, reason)| Error::license_denied(&self.config.pools[pool as usize].name, reason, None))?;
        if let Some(cold) = visit.cold.as_mut() {
            cold.set_tree(tree);
        }
        Ok(())
    }
}

/// The client of a session.
fn client(cold: &Cold) -> Option<Arc<str>> {
    cold.extra()?.client.as_ref()?.address.as_deref().map(client_of)
}
