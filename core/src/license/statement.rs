//! What the books of one pool tell: who holds its units, its accounts, its marks, and whether it all adds up.

use std::sync::Arc;

use super::account::{Account, Running};
use super::audit::{AuditRecord, Usage};
use super::back::{Ending, LOOKED_AT, Outlook};
use super::books::{MAX_READERS, Mark, UserHolder};
use super::recount::{self, Charged, holder_name};
use super::state::Moved;
use crate::clock::Millis;
use crate::table::At;

impl Account {
    /// When a unit may be back, as far as these endings tell.
    pub fn comes_back(&self, at: At, endings: &[Ending]) -> Option<Millis> {
        let mut state = self.state.lock();
        let Running { defined, books, .. } = &mut *state;
        let mut lingering: Vec<(Arc<str>, UserHolder)> = Vec::new();
        if books.totals.lingering > 0 {
            let named = books.longest.iter().take(LOOKED_AT).map(|(_, user)| user);
            for user in named.chain(books.fading.first().map(|(_, user)| user)) {
                if let Some(held) = books.users.get(user).filter(|_| lingering.iter().all(|(known, _)| known != user)) {
                    lingering.push((user.clone(), *held));
                }
            }
        }
        let orphans = books.orphans.keys().take(LOOKED_AT).map(|(until, _)| *until).collect();
        let (pool, totals, now) = (&defined.rules, &books.totals, at.now.ms);
        Outlook { pool, totals, now, lingering, orphans }.back(endings, |user| books.users.get(user).copied())
    }

    /// Units in use, and units there are.
    pub fn in_use(&self) -> (u64, u64) {
        let state = self.state.lock();
        (state.books.totals.in_use, state.defined.rules.capacity)
    }

    /// The most units in use since a reader reset its mark, ever if it did not, and when that was.
    pub fn high_water(&self, reader: &str) -> (u64, i64) {
        let books = &self.state.lock().books;
        let mark = books.marks.iter().find(|mark| &*mark.reader == reader);
        mark.map_or((books.totals.high_water, books.totals.high_water_at), |mark| (mark.units, mark.at))
    }

    /// Has a reader's mark begin anew with what is in use now; `false` if there are too many readers.
    pub fn reset_high_water(&self, at: At, reader: &str) -> bool {
        let books = &mut self.state.lock().books;
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
        let books = &mut self.state.lock().books;
        let before = books.marks.len();
        books.marks.retain(|mark| &*mark.reader != reader);
        books.totals.mark = books.marks.iter().map(|mark| mark.units).min().unwrap_or(u64::MAX);
        books.marks.len() < before
    }

    /// Accounts after a position.
    pub fn records(&self, after: u64, limit: usize) -> Vec<AuditRecord> {
        let state = &self.state.lock().books;
        state
            .records
            .after(after)
            .take(limit)
            .map(|(seq, record)| AuditRecord {
                seq,
                at_ms: record.at,
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

    /// The use at one instant; `sessions` are those that are charged.
    pub fn usage(&self, at: At, sessions: Vec<Charged>) -> Usage {
        let Running { defined, books } = &*self.state.lock();
        let users = books.users.iter().map(|(user, holder)| (user.clone(), *holder));
        let orphans = books.orphans.values().copied();
        recount::usage(&defined.rules, at, &books.totals, users, orphans, sessions)
    }

    /// Compares the books with a recount: `scan` finds every charged session, and what moves meanwhile is taken as it is
    /// in the end, so that the two are of one instant under any load.
    pub fn audit(&self, scan: impl FnOnce() -> Vec<Charged>) -> (u64, u64, Vec<String>) {
        let _one = self.recounting.lock();
        self.state.lock().books.moved = Some(Moved::default());
        let charged = scan();
        let mut state = self.state.lock();
        let Running { defined, books } = &mut *state;
        let moved = books.moved.take().unwrap_or_default();
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
}
