//! Sessions that have to go for others: found without waiting for a lock, and ended with the step that they go for.

use std::sync::Arc;
use std::time::Duration;

use super::MemoryTable;
use super::cold::Cold;
use super::slot::{FREE, Place, Slot};
use super::visit::Waiters;
use crate::license::crowd::{Crowd, Member, Seen, Standing};
use crate::license::ledger::{Demand, Verdict};
use crate::license::state::{Decided, State};
use crate::sync::atomic::{Ordering, fence};
use crate::sync::{MutexGuard, thread};
use crate::table::*;

/// How often a demand is made again while somebody is at a session that might go; at first at once, then each time after a
/// pause.
const TRIES: u32 = 300;
const AT_ONCE: u32 = 100;
const PAUSE: Duration = Duration::from_millis(1);

/// How often a demand was made.
#[derive(Default)]
pub(super) struct Tries(u32);

impl Tries {
    /// Whether it is not made again.
    pub fn is_last(&self) -> bool {
        self.0 >= TRIES
    }

    /// Lets whoever is at a session go on.
    pub fn wait(&mut self) {
        self.0 += 1;
        if self.0 < AT_ONCE { thread::yield_now() } else { thread::sleep(PAUSE) }
    }
}

/// A session that is held.
struct Held<'a> {
    session: SessionRef,
    slot: &'a Slot,
    cold: MutexGuard<'a, Option<Cold>>,
}

/// The sessions of a pool at an instant.
struct Sessions<'a> {
    table: &'a MemoryTable,
    at: At,
    pool: u32,
    held: Vec<Held<'a>>,
}

impl Sessions<'_> {
    /// What the hot word says of a session's license.
    fn word(&self, slot: &Slot) -> Option<bool> {
        MemoryTable::charged_to(slot).filter(|(pool, _)| *pool == self.pool).map(|(_, anonymous)| anonymous)
    }

    fn member(&self, session: SessionRef, slot: &Slot, cold: &Cold) -> Option<Member> {
        let (table, now) = (self.table, self.at.now);
        let charge = table.charge(slot, cold).filter(|charge| charge.pool == self.pool)?;
        let used = table.last_used(now, slot, cold);
        Some(Member {
            session: session.id,
            standing: Standing { used, made: slot.created.order(), place: session.place },
            idle: table.idle_now(now).saturating_sub(used),
            since: MemoryTable::licensed_since(slot, cold),
            charge,
            busy: cold.is_busy() || table.ends_now(now, slot, cold, false).is_some(),
        })
    }
}

impl Crowd<State> for Sessions<'_> {
    fn scan(&mut self, show: &mut dyn FnMut(bool, Standing)) {
        for index in 0..self.table.region.len() {
            let Some((slot, cell)) = self.table.region.get(index) else { continue };
            let Some(cold) = cell.try_lock() else {
                let state = slot.state();
                let place = Place { index, generation: state.generation() }.locator();
                if state.deadline() == FREE {
                    // Perhaps it is being made, and charged already.
                    show(true, Standing { used: 0, made: 0, place });
                    show(false, Standing { used: 0, made: 0, place });
                } else if let Some(anonymous) = self.word(slot) {
                    show(anonymous, Standing { used: slot.used.ms(), made: 0, place });
                }
                continue;
            };
            fence(Ordering::Acquire);
            let state = slot.state();
            if state.deadline() != FREE
                && let Some(anonymous) = self.word(slot)
                && let Some(cold) = cold.as_ref()
            {
                let used = self.table.last_used(self.at.now, slot, cold);
                let place = Place { index, generation: state.generation() }.locator();
                show(anonymous, Standing { used, made: slot.created.order(), place });
            }
        }
    }

    fn arrivals(&mut self, _seen: &mut u64, _show: &mut dyn FnMut(bool, Standing)) -> bool {
        // The account tells them as they come.
        true
    }

    fn hold(
        &mut self,
        _books: &mut State,
        locator: u64,
        _whole: bool,
    ) -> std::result::Result<Seen, std::convert::Infallible> {
        if let Some(held) = self.held.iter().find(|held| held.session.place == locator) {
            let member = held.cold.as_ref().and_then(|cold| self.member(held.session, held.slot, cold));
            return Ok(member.map_or(Seen::Gone, Seen::Live));
        }
        let place = Place::from_locator(locator);
        let Some((slot, cell)) = self.table.region.get(place.index) else { return Ok(Seen::Gone) };
        let Some(cold) = cell.try_lock() else { return Ok(Seen::Locked) };
        let state = slot.state();
        let Some(inner) = cold.as_ref() else { return Ok(Seen::Gone) };
        if state.generation() != place.generation || state.deadline() == FREE {
            return Ok(Seen::Gone);
        }
        let session = SessionRef { id: self.table.keys.id(place, inner.random()), place: locator };
        let Some(member) = self.member(session, slot, inner) else { return Ok(Seen::Gone) };
        self.held.push(Held { session, slot, cold });
        Ok(Seen::Live(member))
    }

    fn let_go(&mut self, locator: u64) {
        self.held.retain(|held| held.session.place != locator);
    }

    fn sessions_of(
        &mut self,
        books: &mut State,
        user: &Arc<str>,
    ) -> std::result::Result<Option<Vec<u64>>, std::convert::Infallible> {
        Ok(books.places_of(user))
    }
}

impl MemoryTable {
    /// Charges a session that holds no unit and was last used then, or later; who must go for it is ended, and whoever is to be
    /// woken for that is in `woken`.
    #[inline]
    pub(super) fn charge_new(
        &self,
        at: At,
        session: SessionRef,
        used: Millis,
        demand: Demand<'_>,
        woken: &mut Waiters,
    ) -> Verdict {
        if self.accounts[demand.charge.pool as usize].take_bare(&demand) {
            return Ok(());
        }
        self.charge_by_books(at, session, used, demand, woken)
    }

    fn charge_by_books(
        &self,
        at: At,
        session: SessionRef,
        used: Millis,
        demand: Demand<'_>,
        woken: &mut Waiters,
    ) -> Verdict {
        let account = &self.accounts[demand.charge.pool as usize];
        if account.join(at, session, used, &demand) {
            return Ok(());
        }
        let mut tries = Tries::default();
        loop {
            let mut sessions = Sessions { table: self, at, pool: demand.charge.pool, held: Vec::new() };
            let crowd: &mut dyn Crowd<State> = &mut sessions;
            let decided = account.acquire(at, session, used, demand, (crowd, tries.is_last()));
            if let Some(verdict) = self.settle(sessions, session, demand, decided, woken) {
                return verdict;
            }
            // Nobody else takes hold of it for a unit: it has none.
            tries.wait();
        }
    }

    /// The same for a session that changes its holder; `None` inside if the pool has another definition by now. `None`: to be
    /// asked again without the session's lock, unless this is the last time.
    pub(super) fn trade_charge(
        &self,
        at: At,
        session: SessionRef,
        from: Option<&Charge>,
        demand: Demand<'_>,
        (revision, last): (u64, bool),
        woken: &mut Waiters,
    ) -> Option<Option<Verdict>> {
        let account = &self.accounts[demand.charge.pool as usize];
        let mut sessions = Sessions { table: self, at, pool: demand.charge.pool, held: Vec::new() };
        let crowd: &mut dyn Crowd<State> = &mut sessions;
        let Some(decided) = account.trade(at, session, from, demand, revision, (crowd, last)) else {
            return Some(None);
        };
        self.settle(sessions, session, demand, decided, woken).map(Some)
    }

    /// Learns where the users' sessions are, of a pool that may end them from now on.
    pub(super) fn follow(&self, pool: u32) {
        self.accounts[pool as usize].follow(|| {
            let mut found = Vec::new();
            self.scan(0, |index, slot, cold| {
                let charge = self.charge(slot, cold).filter(|charge| charge.pool == pool);
                if let Some(Charge { holder: Holder::User(user), .. }) = charge {
                    found.push((user, Place { index, generation: slot.state().generation() }.locator()));
                }
                true
            });
            found
        });
    }

    /// Ends who has to go.
    fn settle(
        &self,
        sessions: Sessions<'_>,
        newcomer: SessionRef,
        demand: Demand<'_>,
        decided: Decided,
        woken: &mut Waiters,
    ) -> Option<Verdict> {
        let Sessions { at, mut held, .. } = sessions;
        let pool = &self.pool_names[demand.charge.pool as usize];
        for going in &decided.going {
            let place = going.member.standing.place;
            let Some(position) = held.iter().position(|held| held.session.place == place) else { continue };
            let Held { session, slot, cold } = held.swap_remove(position);
            let spec = going.spec(pool, newcomer.id, &demand.charge.holder);
            self.entomb(at, session, slot, cold, &spec, (None, false, &mut *woken));
        }
        (!decided.again).then_some(decided.verdict)
    }
}
