//! The accounts of a pool: every step as it is written down.

use libsession_core::{AuditKind, AuditWhy, DenyReason};

use super::Model;
use super::admit::Ask;
use super::session::Holder;

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub at: u64,
    pub kind: AuditKind,
    /// The serial number of the session; 0 for none.
    pub who: u64,
    /// The user who is charged; none is the session itself.
    pub holder: Option<String>,
    pub before: u64,
    pub after: u64,
    pub reason: Option<DenyReason>,
    pub why: AuditWhy,
}

/// What is taken from somebody for somebody else.
#[derive(Clone, Debug)]
pub struct Given {
    /// Whether its session goes; if not, it lingered.
    pub evicted: bool,
    pub who: u64,
    pub holder: Holder,
    pub units: u64,
}

impl Model {
    /// The serial number of who asks.
    pub fn who(&self, ask: &Ask) -> u64 {
        ask.session.map_or(ask.fresh, |number| self.sessions[number].serial)
    }

    /// Writes down a step of a session that is done, before which so many units were in use.
    pub fn note(&mut self, pool: usize, kind: AuditKind, (who, holder): (u64, &Holder), before: u64, why: AuditWhy) {
        self.write(pool, kind, (who, holder), (before, self.in_use(pool)), (None, why));
    }

    /// Writes down that somebody is refused.
    pub fn note_denial(&mut self, ask: &Ask, reason: DenyReason) {
        let in_use = self.in_use(ask.pool);
        let who = self.who(ask);
        self.pools[ask.pool].deny(reason);
        self.write(
            ask.pool,
            AuditKind::Denial,
            (who, &ask.holder),
            (in_use, in_use),
            (Some(reason), AuditWhy::Nothing),
        );
    }

    fn write(
        &mut self,
        pool: usize,
        kind: AuditKind,
        (who, holder): (u64, &Holder),
        (before, after): (u64, u64),
        (reason, why): (Option<DenyReason>, AuditWhy),
    ) {
        let holder = match holder {
            Holder::User(user) => Some(user.clone()),
            _ => None,
        };
        let at = self.now;
        if self.pools[pool].rules.audit_records == 0 {
            return;
        }
        self.pools[pool].records.push(Record { at, kind, who, holder, before, after, reason, why });
    }

    /// Writes down what was taken from others for a step, what lingered first; tells the units in use after that.
    pub fn note_given(&mut self, pool: usize, mut before: u64) -> u64 {
        let given = std::mem::take(&mut self.given);
        let (evicted, lingered): (Vec<_>, Vec<_>) = given.into_iter().partition(|given| given.evicted);
        for Given { evicted, who, holder, units } in lingered.into_iter().chain(evicted) {
            let (kind, why) = match evicted {
                true => (AuditKind::Release, AuditWhy::Evicted),
                false => (AuditKind::Reclaim, AuditWhy::Nothing),
            };
            self.write(pool, kind, (who, &holder), (before, before - units), (None, why));
            before -= units;
        }
        before
    }
}
