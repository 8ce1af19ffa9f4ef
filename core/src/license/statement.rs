//! What the books of one pool tell: who holds its units, its accounts, its marks, and whether it all adds up.

use std::sync::Arc;

use super::account::{Account, Running};
use super::audit::{AuditRecord, Usage};
use super::back::{AHEAD, Ending, Evicts, LOOKED_AT, Refusal};
use super::books::{MAX_READERS, Mark, UserHolder};
use super::outlook::Outlook;
use super::recount::{self, Charged, holder_name};
use super::state::Moved;
use crate::clock::Millis;
use crate::id::SessionId;
use crate::table::At;

impl Account {
    /// When a unit may be back for who was refused, as far as these endings tell.
    pub fn comes_back(&self, at: At, refusal: &Refusal, endings: &[Ending]) -> Option<Millis> {
        let state = self.books();
        let Running { defined, books, .. } = &*state;
        let mut lingering: Vec<(Arc<str>, UserHolder)> = Vec::new();
        if books.totals.lingering > 0 {
            let named = books.longest.iter().take(LOOKED_AT).map(|(_, user)| user);
            for user in named.chain(books.fading.first().map(|(_, user)| user)) {
                if let Some(held) = books.users.get(user).filter(|_| lingering.iter().all(|(known, _)| known != user)) {
                    lingering.push((user.clone(), *held));
                }
            }
        }
        let line = books.line.list(0, AHEAD);
        let orphans = books.orphans.values().take(LOOKED_AT).copied().collect();
        let (pool, totals, now) = (&defined.rules, &books.totals, at.now.ms);
        let holder = |user: &Arc<str>| books.users.get(user).copied();
        Outlook { pool, totals, now, lingering, orphans, line }.back(refusal, endings, holder)
    }

    /// Which sessions may have to go for who was refused, and what its answer depends on, as its session holds something here
    /// or not; and whether anybody waits.
    pub fn asks(&self, refusal: &Refusal, holds: bool) -> (Evicts, Refusal, bool) {
        let state = self.books();
        let rules = &state.defined.rules;
        let known = refusal.user.as_ref().is_some_and(|user| state.books.users.contains_key(user));
        let waits = state.books.totals.waiting > 0;
        let key = refusal.key(rules, (known, holds));
        (Evicts::of(refusal, rules), Refusal { priority: if waits { key.priority } else { 0 }, ..key }, waits)
    }

    /// The sessions that wait, of those who come first.
    pub fn waiting(&self) -> Vec<SessionId> {
        let state = self.books();
        if state.books.totals.waiting == 0 {
            return Vec::new();
        }
        state.books.line.list(0, AHEAD).into_iter().map(|waiter| waiter.session).collect()
    }

    /// What a holder in the books is charged.
    pub fn holder(&self, name: &Arc<str>) -> Option<UserHolder> {
        self.books().books.users.get(name).copied()
    }

    /// Units in use, and units there are.
    pub fn in_use(&self) -> (u64, u64) {
        let state = self.books();
        (state.books.totals.in_use, state.defined.rules.capacity)
    }

    /// The most units in use since a reader reset its mark, ever if it did not, and when that was.
    pub fn high_water(&self, reader: &str) -> (u64, i64) {
        let books = &self.books().books;
        let mark = books.marks.iter().find(|mark| &*mark.reader == reader);
        mark.map_or((books.totals.high_water, books.totals.high_water_at), |mark| (mark.units, mark.at))
    }

    /// Has a reader's mark begin anew with what is in use now; `false` if there are too many readers.
    pub fn reset_high_water(&self, at: At, reader: &str) -> bool {
        let books = &mut self.books().books;
        let in_use = books.totals.in_use;
        let readers = books.marks.len();
        match books.marks.iter_mut().find(|mark| &*mark.reader == reader) {
            Some(mark) => (mark.units, mark.at) = (in_use, at.wall),
            None if readers >= MAX_READERS => return false,
            None => books.marks.push(Mark { reader: reader.into(), units: in_use, at: at.wall }),
        }
        books.totals.mark = books.totals.mark.min(in_use);
        true
    }

    /// Forgets a reader's mark; tells whether there was one.
    pub fn forget_high_water(&self, reader: &str) -> bool {
        let books = &mut self.books().books;
        let before = books.marks.len();
        books.marks.retain(|mark| &*mark.reader != reader);
        books.totals.mark = books.marks.iter().map(|mark| mark.units).min().unwrap_or(u64::MAX);
        books.marks.len() < before
    }

    /// Accounts after a position.
    pub fn records(&self, after: u64, limit: usize) -> Vec<AuditRecord> {
        let state = &self.books().books;
        state
            .records
            .after(after)
            .take(limit)
            .map(|(seq, record)| AuditRecord {
                seq,
                at_ms: record.at,
                wall_ms: 0,
                kind: record.kind,
                session_id: record.session,
                holder: holder_name(record.session, &record.holder),
                before: record.before,
                after: record.after,
                reason: record.reason,
                why: record.why,
            })
            .collect()
    }

    /// The use at one instant; `scan` finds every charged session.
    pub fn usage(&self, at: At, scan: impl FnOnce() -> Vec<Charged>) -> Usage {
        self.recount(scan, |Running { defined, books, .. }, mut charged, mut moved| {
            charged.retain(|one| !one.taken);
            charged.retain_mut(|one| match moved.licenses.remove(&one.session) {
                Some(now) => now.map(|now| one.holder = now.holder).is_some(),
                None => true,
            });
            let new = moved.licenses.into_iter();
            charged.extend(new.filter_map(|(session, now)| Some(Charged::license(session, now?, at.now.ms))));
            let users = books.users.iter().map(|(user, holder)| (user.clone(), *holder));
            let orphans = books.orphans.values().copied();
            recount::usage(&defined.rules, at, (&books.totals, books.denials), users, orphans, charged)
        })
    }

    /// Compares the books with a recount: `scan` finds every charged session.
    pub fn audit(&self, scan: impl FnOnce() -> Vec<Charged>) -> (u64, u64, Vec<String>) {
        self.recount(scan, compare)
    }

    /// Reads the books with the sessions that `scan` finds, and with what became of some meanwhile: so that the two are of one
    /// instant under any load.
    fn recount<T>(
        &self,
        scan: impl FnOnce() -> Vec<Charged>,
        read: impl FnOnce(&Running, Vec<Charged>, Moved) -> T,
    ) -> T {
        let _one = self.recounting.lock();
        self.books().books.moved = Some(Moved::default());
        let charged = scan();
        let mut state = self.books();
        let moved = state.books.moved.take().unwrap_or_default();
        read(&state, charged, moved)
    }
}

fn compare(Running { defined, books, .. }: &Running, charged: Vec<Charged>, moved: Moved) -> (u64, u64, Vec<String>) {
    let still = || {
        charged.iter().filter(|one| match one.taken {
            true => !moved.takes.contains_key(&one.session),
            false => !moved.licenses.contains_key(&one.session),
        })
    };
    let moved_since = || moved.licenses.values().flatten();
    let taken_since = moved.takes.values().flatten().map(|(holder, count)| (holder, *count));
    let users = books.users.iter().map(|(user, holder)| (&**user, *holder));
    let sessions = still().map(|one| (&one.holder, one.count));
    let sessions = sessions.chain(moved_since().map(|charge| (&charge.holder, 1))).chain(taken_since);
    let orphans = books.orphans.len() as u64;
    let (recounted, mut differences) =
        recount::recount(&defined.rules, &books.totals, users, orphans, books.line.all(), sessions);
    let clients = books.clients.iter().map(|(client, sessions)| (&**client, *sessions));
    let counted = still().filter_map(|one| one.client.as_deref());
    let counted = counted.chain(moved_since().filter_map(|charge| charge.client.as_deref()));
    differences.extend(recount::recount_clients(clients, counted));
    (books.totals.in_use, recounted, differences)
}

#[cfg(test)]
mod tests {
    use super::super::crowd::Nobody;
    use super::super::ledger::Demand;
    use super::super::policy::Rank;
    use super::*;
    use crate::clock::Now;
    use crate::config::Pool;
    use crate::id::SessionId;
    use crate::reason::LicenseClass;
    use crate::table::{Charge, Holder, SessionRef};

    #[test]
    fn the_use_is_that_of_one_instant_whoever_moves_while_sessions_are_looked_at() {
        let account = Account::new(Pool::new("p", 4));
        let at = At { now: Now { ms: 50, suspended: 0 }, wall: 0 };
        let own = Charge { pool: 0, class: LicenseClass::Named, holder: Holder::Session, client: None };
        let session = |number: u8| SessionRef { id: SessionId([number; 16]), place: number.into() };
        let charged = |number| Charged::license(session(number).id, own.clone(), 10);
        let take =
            |number| account.acquire(at, session(number), 0, Demand::new(&own, Rank::Ordinary), (&mut Nobody, true));
        for number in 1..=3 {
            assert_eq!(take(number).verdict, Ok(()));
        }
        let usage = account.usage(at, || {
            // One ends and one comes; one trades; one stays.
            let seen = [1, 2, 3].map(charged).into();
            account.release(at, session(1), &own, 10);
            let ada = own.with_holder(&Holder::User("ada".into()));
            let traded =
                account.trade(at, session(2), Some(&own), Demand::new(&ada, Rank::Ordinary), 1, (&mut Nobody, true));
            assert_eq!(traded.map(|traded| traded.verdict), Some(Ok(())));
            assert_eq!(take(4).verdict, Ok(()));
            seen
        });
        let holder = |number| session(number).id.to_string();
        let mut holders: Vec<_> = usage.holders.iter().map(|one| (one.holder.to_string(), one.units)).collect();
        holders.sort();
        let mut expected = vec![("ada".to_owned(), 1), (holder(3), 1), (holder(4), 1)];
        expected.sort();
        assert_eq!((usage.in_use, holders), (3, expected));
    }
}
