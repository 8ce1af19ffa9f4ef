//! A pool of which every step is looked at.

use super::*;

/// One pool at work, with its invariants looked at after every step.
pub(super) struct Till {
    pub books: Books,
    pub pool: PoolDefinition,
    /// The members of the reservations, in their order.
    pub members: Vec<&'static str>,
    pub revision: u64,
    /// Whether units may have been overdrawn.
    pub overdrew: bool,
}

impl Till {
    pub fn new(pool: PoolDefinition) -> Self {
        Self {
            books: Books::default(),
            overdrew: pool.overdraft > 0,
            pool: PoolDefinition { audit_records: 10, ..pool },
            members: vec!["ann", "bob"],
            revision: 0,
        }
    }

    /// Defines the pool anew.
    pub fn define(&mut self, ms: Millis, pool: PoolDefinition, members: &[&'static str]) -> Result<(), String> {
        let in_force = |pool: &PoolDefinition, members: &[&str], revision| PoolInForce {
            pool: Pool {
                reservations: members.iter().map(|member| Reservation::new(1, [*member])).collect(),
                ..Pool::new("main", pool.capacity)
            },
            rules: pool.clone(),
            revision,
        };
        let from = in_force(&self.pool, &self.members, self.revision);
        let to = in_force(&pool, members, self.revision + 1);
        expire(&mut self.books, &self.pool, at(ms)).expect("books that work");
        let (users, totals) = (self.books.users.clone(), self.books.totals.clone());
        let change = Redefinition { from: &from, to: &to, actor: None, recounted: false };
        let changed = redefine(&mut self.books, at(ms), change).expect("books that work");
        if changed.is_ok() {
            self.overdrew |= pool.overdraft > 0;
            (self.pool, self.members, self.revision) = (pool, members.to_vec(), self.revision + 1);
            assert_eq!(self.books.totals.revision, self.revision);
        } else {
            assert_eq!((&self.books.users, &self.books.totals), (&users, &totals), "nothing changed");
        }
        self.holds();
        changed
    }

    pub fn holds(&self) {
        let totals = &self.books.totals;
        let by_reason: u64 = self.books.denials.iter().map(|(_, denials)| denials).sum();
        assert_eq!(by_reason, totals.denials);
        let users = self.books.users.values();
        let held: u64 = users.clone().map(|held| held.units).sum();
        let lingering: u64 = users.clone().map(|held| held.lingering).sum();
        let orphans = self.books.orphans.len() as u64;
        let waiters = || self.books.line.all();
        let offered: u64 = waiters().map(Waiter::offered).sum();
        assert!(held + orphans + offered <= totals.in_use, "{totals:?}");
        assert_eq!((waiters().count() as u64, offered), (totals.waiting, totals.offered), "{totals:?}");
        assert_eq!(lingering + orphans, totals.lingering, "{totals:?}");
        let mut reserved = Vec::new();
        waiters().for_each(|waiter| waiter.count_reserved(&mut reserved));
        let reserved: u64 = reserved.iter().sum();
        assert_eq!(users.map(|held| held.reserved).sum::<u64>() + reserved, totals.reserved.iter().sum(), "{totals:?}");
        // A capacity that was lowered takes nothing: then what counts is the one that the last unit was given under.
        let most = totals.ceiling.max(self.pool.capacity + self.pool.overdraft);
        assert!(
            totals.in_use <= most && totals.excess <= totals.in_use.saturating_sub(self.pool.capacity),
            "{totals:?}"
        );
        if self.pool.overdraft == 0 && !self.overdrew {
            assert_eq!(totals.excess, totals.in_use.saturating_sub(self.pool.capacity), "{totals:?}");
        }
    }

    /// What is free, reserved, reserved softly, and behind glass.
    pub fn parts(&self) -> [u64; 4] {
        let books = &self.books;
        let users = books.users.iter().map(|(user, holder)| (user.clone(), *holder));
        let orphans = books.orphans.iter().map(|&(until, session, anonymous)| Orphan { session, anonymous, until });
        let usage = usage(&self.pool, at(0), (&books.totals, books.denials), users, orphans, Vec::new());
        assert_eq!(usage.available, usage.free + usage.reserved + usage.break_glass, "{usage:?}");
        [usage.free, usage.reserved, usage.reserved_soft, usage.break_glass]
    }

    pub fn take_as(&mut self, ms: Millis, number: u8, user: &str, rank: Rank) -> Verdict {
        let verdict = acquire(&mut self.books, &self.pool, at(ms), session(number), Demand::new(&charge(user), rank));
        self.holds();
        verdict.expect("books that work")
    }

    pub fn take(&mut self, ms: Millis, number: u8, user: &str) -> Verdict {
        self.take_as(ms, number, user, Rank::Ordinary)
    }

    pub fn give(&mut self, ms: Millis, number: u8, user: &str) {
        release(&mut self.books, &self.pool, at(ms), session(number), &charge(user), 0).expect("books that work");
        self.holds();
    }

    pub fn last(&self) -> (AuditKind, AuditWhy, u64) {
        let (kind, _, after, _) = self.books.records.last().copied().expect("a record");
        (kind, self.books.whys.last().copied().expect("a record"), after)
    }

    /// A recount of what lives, numbers and how each is charged for so many connections, finds what the books have.
    pub fn counts_what_lives(&self, live: &[(u8, Charge, u64)], when: &str) {
        let (books, held) = (&self.books, live.iter().map(|(_, charge, count)| (&charge.holder, *count)));
        let users = books.users.iter().map(|(user, holder)| (&**user, *holder));
        let orphans = books.orphans.len() as u64;
        let recounted = recount(&self.pool, &books.totals, users, orphans, books.line.all(), held);
        assert_eq!(recounted, (books.totals.in_use, Vec::new()), "{when}");
        let clients = books.clients.iter().map(|(client, sessions)| (&**client, *sessions));
        let most = self.pool.anonymous_per_client.unwrap_or(u64::MAX);
        assert!(clients.clone().all(|(_, sessions)| sessions <= most), "{when}");
        let counted = live.iter().filter_map(|(_, charge, _)| charge.client.as_deref());
        assert_eq!(recount_clients(clients, counted), [""; 0], "{when}");
    }
}
