//! What is looked at after every step.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use libsession_core::*;

use super::model::{self, Holder, NEVER, TOMBSTONE};
use super::play::Play;
use super::pools::RULES;

/// A step of the time in which callbacks that failed are tried again.
const RETRIES: Duration = Duration::from_secs(60);
/// Longer than anything takes that is not broken.
const BOUND: Duration = Duration::from_secs(60);

/// On the shared table who is called by one that gives up may have its unit before the denial of that one is written: in the
/// same instant, and nothing is counted otherwise.
fn let_others_go_first(expected: &mut [model::Record], kinds: &[AuditKind]) {
    for at in 1..expected.len().min(kinds.len()) {
        let [denial, other] = &mut expected[at - 1..=at] else { continue };
        let may_be_later = denial.kind == AuditKind::Denial && denial.at == other.at;
        if may_be_later && kinds[at - 1] != AuditKind::Denial {
            (denial.before, denial.after) = (other.after, other.after);
            expected.swap(at - 1, at);
        }
    }
}

impl Play {
    /// I1, I2, I4, I5, I6, I7 and I8, after every step.
    pub fn check(&mut self) {
        self.reconcile();
        assert_eq!(self.manager.count(), Ok(self.model.live().count() as u64), "I6: live sessions");
        for pool in 0..RULES.len() {
            self.check_usage(pool);
            self.check_holders(pool);
            self.check_line(pool);
            self.check_accounts(pool);
            self.check_pool_events(pool);
        }
        assert_eq!(self.manager.check(), Ok(Vec::new()), "check");
        self.check_unit();
        if let Some(number) = self.any() {
            self.check_session(number);
        }
        for number in self.model.evicted() {
            self.check_session(number);
        }
    }

    fn usage(&self, pool: usize) -> Usage {
        self.manager.usage(&format!("pool{pool}")).expect("usage")
    }

    fn check_usage(&self, pool: usize) {
        let usage = self.usage(pool);
        let (of, in_use) = (&self.model.pools[pool], self.model.in_use(pool));
        let told = (usage.in_use, usage.lingering, usage.offered, usage.waiting);
        let (lingering, offered) = (self.model.lingering(pool), self.model.offered(pool));
        assert_eq!(
            told,
            (in_use, lingering, offered, of.line.len() as u64),
            "I1, I5: in use, lingering, offered, waiting of pool{pool}: {:?}",
            usage.holders
        );
        let beyond = in_use.saturating_sub(of.rules.capacity);
        let told = [usage.free, usage.reserved, usage.break_glass, usage.reserved_soft];
        assert_eq!(told, self.model.parts(pool), "free, reserved, behind glass, reserved softly of pool{pool}");
        let told = usage.denials_by_reason.iter().filter(|(_, denials)| *denials > 0);
        let told: BTreeMap<_, _> = told.map(|(reason, denials)| (reason.name(), denials)).collect();
        assert_eq!(told, of.denials, "denials of pool{pool} by why");
        let told = (usage.excess, usage.overdrawn, usage.denials, usage.evicted, usage.high_water);
        assert_eq!(
            told,
            (of.excess, beyond - of.excess, of.denials.values().sum(), of.evicted, of.high_water),
            "excess, overdrawn, denials, evicted, high water of pool{pool}"
        );
    }

    fn check_holders(&self, pool: usize) {
        let usage = self.usage(pool);
        let of = &self.model.pools[pool];
        let users = of.held.iter().filter_map(|(holder, held)| match holder {
            Holder::User(user) => {
                let left = (held.lingering > 0).then(|| held.until - self.model.now);
                Some((user.clone(), self.model.connections(pool, holder), held.units(), held.lingering, left))
            }
            _ => None,
        });
        let ids: Vec<String> = self.ids.iter().map(ToString::to_string).collect();
        let (sessions, mut seen): (Vec<_>, Vec<_>) =
            usage.holders.iter().partition(|holder| ids.iter().any(|id| **id == *holder.holder));
        seen.sort_by(|a, b| a.holder.cmp(&b.holder));
        let seen: Vec<_> = seen
            .into_iter()
            .map(|one| {
                let left = one.release_in.map(|left| left.as_millis() as u64);
                (one.holder.to_string(), one.connections, one.units, one.lingering, left)
            })
            .collect();
        assert_eq!(seen, users.collect::<Vec<_>>(), "I2: holders of pool{pool}: sessions, units, lingering, until");
        // What a session is charged for itself and what it took are told together.
        let own = self.model.charged(pool, &Holder::Itself).len() as u64;
        let takers = of.held.iter().filter(|(holder, _)| matches!(holder, Holder::Taker(..)));
        let takers = takers.map(|(holder, held)| (self.model.connections(pool, holder), held.units()));
        let (connections, units) = takers.fold((own, own), |all, (sessions, units)| (all.0 + sessions, all.1 + units));
        let told = sessions.iter().fold((0, 0), |all, of| (all.0 + of.connections, all.1 + of.units));
        assert_eq!(told, (connections, units + of.orphans.len() as u64), "I2: own sessions of pool{pool}");
    }

    /// The queue: whose turn it is, and when it is over.
    fn check_line(&self, pool: usize) {
        let queue = self.manager.queue(&format!("pool{pool}"), 0, usize::MAX).expect("queue");
        let line = &self.model.pools[pool].line;
        let told: Vec<_> = queue.iter().map(|one| (one.priority, one.left.as_millis() as u64)).collect();
        let expected = line.iter().map(|one| (one.ask.priority, one.deadline - self.model.now));
        assert_eq!(told, expected.collect::<Vec<_>>(), "who waits for pool{pool}");
        for (position, waiter) in line.iter().enumerate() {
            let (_, _, ticket) = self.waits.iter().find(|(place, ..)| *place == waiter.place).expect("it waits");
            assert_eq!(ticket.position(), Ok(Some(position as u64 + 1)), "its place in pool{pool}");
        }
    }

    /// Every step is an account, whose units before are those after the last one.
    fn check_accounts(&mut self, pool: usize) {
        let name = format!("pool{pool}");
        let (after, mut in_use) = self.accounts[pool];
        let records = self.manager.audit_records(&name, after, usize::MAX).expect("accounts");
        let kept = self.manager.pool(&name).expect("the pool").audit_records > 0;
        if !kept {
            in_use = self.model.in_use(pool);
        }
        let mut expected = self.model.pools[pool].records[after as usize..].to_vec();
        if self.is_shared {
            let kinds: Vec<_> = records.iter().map(|record| record.kind).collect();
            let_others_go_first(&mut expected, &kinds);
        }
        let kinds = expected.iter().map(|record| record.kind).collect::<Vec<_>>();
        assert_eq!(
            records.iter().map(|record| record.kind).collect::<Vec<_>>(),
            kinds,
            "the accounts of {name} after {after}: {records:?}"
        );
        for ((record, expected), seq) in records.iter().zip(&expected).zip(after + 1..) {
            assert_eq!((record.seq, record.before), (seq, in_use), "the accounts of {name} have a gap: {record:?}");
            in_use = record.after;
            let id = *self.serials.entry(expected.who).or_insert(record.session_id);
            let known = self.serials.iter().filter(|(_, known)| **known == id).count();
            assert_eq!((record.session_id, known), (id, 1), "whose account: {record:?} {expected:?}");
            let holder = expected.holder.clone().unwrap_or_else(|| id.to_string());
            let (who, holder_told) = (expected.who, (*record.holder == *holder).then(|| expected.holder.clone()));
            let told = model::Record {
                at: record.at_ms,
                kind: record.kind,
                who,
                holder: holder_told.unwrap_or_else(|| Some(record.holder.to_string())),
                before: record.before,
                after: record.after,
                reason: record.reason,
                why: record.why,
            };
            assert_eq!(told, *expected, "an account of {name}");
        }
        self.accounts[pool] = (after + records.len() as u64, in_use);
        let audit = self.manager.audit(&name).expect("audit");
        assert!(audit.differences.is_empty() && audit.counted == audit.recounted, "I8: {audit:?}");
        assert_eq!(audit.counted, in_use, "the last account of {name}: {:?}", records.last());
    }

    /// Changes of the level are told, each once and in their order.
    fn check_pool_events(&self, pool: usize) {
        let expected = &self.model.pools[pool].told;
        let (told, came) = &*self.pool_events;
        let told = told.lock().expect("not poisoned");
        let (told, _) =
            came.wait_timeout_while(told, BOUND, |told| told[pool].len() < expected.len()).expect("not poisoned");
        assert_eq!(told[pool], *expected, "told of pool{pool}: what, in use, capacity");
    }

    fn check_session(&mut self, number: usize) {
        let explain = self.manager.explain(self.ids[number]).expect("explain");
        let session = &self.model.sessions[number];
        match (explain, session.ended) {
            (Some(Explain { live: Some(info), .. }), None) => {
                let deadline = session.deadline().0;
                assert_eq!(info.deadline_ms, (deadline < NEVER).then_some(deadline), "I6: deadline of s{number}");
                assert_eq!(info.user.as_deref(), session.user.as_deref(), "user of s{number}");
                assert_eq!(info.in_flight as usize, session.requests.len(), "requests of s{number}");
                let absolute =
                    info.absolute_timeout.map_or(NEVER, |timeout| info.created_ms + timeout.as_millis() as u64);
                let before = self.absolute_seen.insert(number, absolute).unwrap_or(NEVER);
                assert!(absolute <= before, "I7: the absolute deadline moved from {before} to {absolute}");
            }
            (Some(Explain { ended: Some(receipt), live: None, .. }), Some((at, reason))) => {
                assert_eq!((receipt.at_ms, receipt.reason), (at, reason), "I4: the receipt of s{number}");
            }
            (None, Some((at, _))) => assert!(self.model.now >= at + TOMBSTONE, "the tombstone of s{number} fell early"),
            other => panic!("I4: s{number}: {other:?}"),
        }
    }

    /// I3: each class present at the end is told once, or there is one dead letter.
    pub fn check_deliveries(&mut self) {
        if self.is_shared {
            // Sessions outlive this manager: what is to be told is told while it is open, and tried again.
            let begun = Instant::now();
            while let Err(missing) = self.deliveries() {
                assert!(begun.elapsed() < BOUND, "{missing}");
                self.clock.advance(RETRIES).expect("advance");
                self.model.advance(RETRIES.as_millis() as u64);
                self.reconcile();
            }
            return;
        }
        let live: Vec<_> = self.model.live().map(|(number, _)| number).collect();
        let report = self.manager.close(Duration::from_secs(5));
        assert_eq!(report.ended, live.len() as u64);
        for number in live {
            self.model.end(number, EndReason::Shutdown);
        }
        assert_eq!(self.deliveries(), Ok(()));
    }

    /// Whether everything is told that is to be, or what is missing; nothing is told twice, or with another reason.
    fn deliveries(&self) -> std::result::Result<(), String> {
        let letters = self.manager.dead_letters(0, usize::MAX).expect("dead letters");
        let told = self.ends.lock().expect("not poisoned");
        for (id, session) in self.ids.iter().zip(&self.model.sessions) {
            let Some((_, reason)) = session.ended else { continue };
            for name in ["sure", "shaky"] {
                let calls = told.get(&(*id, name)).cloned().unwrap_or_default();
                let dead = letters.iter().filter(|letter| letter.session_id == *id && &*letter.class.name == name);
                let dead: Vec<_> = dead.map(|letter| letter.reason).collect();
                let expected = usize::from(session.classes.contains(&name));
                let seen = format!("I3: {name}: told {calls:?}, dead letters {dead:?}");
                assert!(calls.len() + dead.len() <= expected, "{seen}");
                assert!(calls.iter().all(|told| *told == reason) && dead.iter().all(|told| *told == Some(reason)));
                if calls.len() + dead.len() < expected {
                    return Err(seen);
                }
            }
        }
        Ok(())
    }
}
