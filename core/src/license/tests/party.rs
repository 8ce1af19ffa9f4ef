//! Sessions that may have to go for others, at hand: what they are is what the test says.

use std::sync::Arc;

use super::*;
use crate::license::crowd::{Candidates, Cause, Crowd, Going, Member, Seen, Standing};
use crate::license::policy;
use crate::reason::{AtSessionLimit, Evict};

/// Sessions have numbers up to this; others only take features.
pub(super) const SESSIONS: u8 = 250;

/// What is known of sessions beside how they are charged, by their numbers.
pub(super) struct Lives {
    pub used: [Millis; 256],
    pub since: [Millis; 256],
    pub busy: [bool; 256],
    /// Somebody is at this one.
    pub locked: Option<u8>,
    /// What is remembered of them.
    pub candidates: Candidates,
}

impl Default for Lives {
    fn default() -> Self {
        let candidates = Candidates::default();
        Self { used: [0; 256], since: [0; 256], busy: [false; 256], locked: None, candidates }
    }
}

/// The sessions of a pool at an instant.
pub(super) struct Party<'a> {
    pub now: Millis,
    pub live: &'a [(u8, Charge, u64)],
    pub used: &'a [Millis; 256],
    pub since: &'a [Millis; 256],
    pub busy: &'a [bool; 256],
    pub locked: Option<u8>,
}

impl Party<'_> {
    pub fn standing(&self, number: u8) -> Standing {
        let used = if self.busy[usize::from(number)] { self.now } else { self.used[usize::from(number)] };
        Standing { used, made: u64::from(number), place: u64::from(number) }
    }

    fn members(&self) -> impl Iterator<Item = &(u8, Charge, u64)> {
        self.live.iter().filter(|(number, ..)| *number <= SESSIONS)
    }

    /// Whoever went, went rightly: not at work, not of the same holder, and no other like it should have gone before it.
    pub fn went_rightly(&self, pool: &PoolDefinition, number: u8, to: &Charge, going: &[Going]) {
        let gone = |other: u64| going.iter().any(|one| one.member.standing.place == other);
        for Going { member, cause } in going {
            let place = member.standing.place;
            assert_ne!(place, u64::from(number), "nobody goes for itself");
            let same = member.charge.holder != Holder::Session && member.charge.holder == to.holder;
            assert_eq!(same, *cause == Cause::Limit, "{member:?} for {to:?}");
            if *cause == Cause::Limit {
                continue;
            }
            assert!(!member.busy && member.idle >= pool.evict_idle, "{member:?}");
            if member.charge.holder != Holder::Session {
                continue;
            }
            assert!(self.may_go(pool, member.standing.place as u8, &member.charge), "{member:?}");
            for (other, charge, _) in self.members() {
                let standing = self.standing(*other);
                let before = (!charge.is_anonymous(), standing) < (!member.is_anonymous(), member.standing);
                let free = charge.holder == Holder::Session && *other != number && !gone(standing.place);
                let known = self.locked != Some(*other);
                assert!(!(before && free && known && self.may_go(pool, *other, charge)), "{other} before {member:?}");
            }
        }
    }

    fn may_go(&self, pool: &PoolDefinition, number: u8, charge: &Charge) -> bool {
        let at = usize::from(number);
        let idle = self.now - self.standing(number).used;
        !self.busy[at] && idle >= pool.evict_idle && self.since[at] + policy::least(pool, charge.class) <= self.now
    }
}

impl Crowd<Books> for Party<'_> {
    fn scan(&mut self, show: &mut dyn FnMut(bool, Standing)) {
        for (number, charge, _) in self.members() {
            show(charge.is_anonymous(), self.standing(*number));
        }
    }

    fn arrivals(&mut self, _seen: &mut u64, _show: &mut dyn FnMut(bool, Standing)) -> bool {
        true
    }

    fn hold(&mut self, _books: &mut Books, place: u64, _whole: bool) -> Result<Seen, &'static str> {
        let Some((number, charge, _)) = self.members().find(|(number, ..)| u64::from(*number) == place) else {
            return Ok(Seen::Gone);
        };
        if self.locked == Some(*number) {
            return Ok(Seen::Locked);
        }
        let standing = self.standing(*number);
        Ok(Seen::Live(Member {
            session: super::session(*number),
            standing,
            idle: self.now - standing.used,
            since: self.since[usize::from(*number)],
            charge: charge.clone(),
            busy: self.busy[usize::from(*number)],
        }))
    }

    fn let_go(&mut self, _place: u64) {}

    fn sessions_of(&mut self, _books: &mut Books, user: &Arc<str>) -> Result<Option<Vec<u64>>, &'static str> {
        let own = self.members().filter(|(_, charge, _)| charge.holder.booked() == Some(user));
        Ok(Some(own.map(|(number, ..)| u64::from(*number)).collect()))
    }
}

impl Till {
    /// Where sessions may have to go for it: they go from those that live.
    fn demand(
        &mut self,
        ms: Millis,
        number: u8,
        from: Option<&Charge>,
        demand: Demand<'_>,
        live: &mut Vec<(u8, Charge, u64)>,
        lives: &mut Lives,
    ) -> Verdict {
        let Lives { used, since, busy, locked, candidates } = lives;
        let mut party = Party { now: ms, live, used, since, busy, locked: *locked };
        expire(&mut self.books, &self.pool, at(ms)).expect("books that work");
        let (books, own) = (&mut self.books, u64::from(number));
        let (before, told) = (books.totals.clone(), books.records.len());
        let mut victims = Victims::among(&mut party, candidates, own, false);
        let verdict = match from {
            Some(from) => ledger::trade(books, &self.pool, at(ms), session(number), from, demand, &mut victims),
            None => ledger::acquire(books, &self.pool, at(ms), session(number), demand, &mut victims),
        };
        let verdict = verdict.expect("books that work");
        let again = victims.again();
        let going = if verdict.is_ok() { victims.taken() } else { Vec::new() };
        party.went_rightly(&self.pool, number, demand.charge, &going);
        let told = &self.books.records[told..];
        match verdict {
            Err(_) => {
                let denials = before.denials + u64::from(!again);
                assert_eq!(self.books.totals, Totals { denials, ..before }, "a denial changes nothing else");
                assert_eq!(told.len(), usize::from(!again), "a denial is told once");
            }
            Ok(()) => {
                assert_eq!(self.books.totals.evicted, before.evicted + going.len() as u64);
                assert_eq!(told.first().map(|(_, before, ..)| *before), Some(before.in_use));
                assert!(told.windows(2).all(|two| two[0].2 == two[1].1), "the records have gaps: {told:?}");
                if from.is_none_or(|from| from.class != demand.charge.class) {
                    let standing = Standing { used: 0, made: 0, place: own };
                    lives.candidates.arrived(demand.charge.is_anonymous(), standing);
                }
            }
        }
        live.retain(|(number, ..)| going.iter().all(|one| one.member.standing.place != u64::from(*number)));
        verdict
    }
}

#[test]
fn who_goes_for_others_goes_rightly_and_the_books_are_what_the_sessions_make_them() {
    let mut evicted = 0;
    for seed in 1..400 {
        let mut dice = Dice::new(seed);
        let pool = PoolDefinition {
            evict: Evict::ALL[dice.below(3) as usize],
            evict_idle: if dice.coin() { 5 } else { 0 },
            at_session_limit: AtSessionLimit::ALL[dice.below(3) as usize],
            ..some_pool(&mut dice)
        };
        let mut till = Till::new(pool);
        let mut live: Vec<(u8, Charge, u64)> = Vec::new();
        let mut lives = Lives::default();
        let (mut now, mut made) = (0, 0);
        for _ in 0..200 {
            now += dice.below(8);
            let (to, rank) = somebody(&mut dice, &till.members);
            if !live.is_empty() {
                let used = usize::from(live[dice.below(live.len() as u64) as usize].0);
                (lives.used[used], lives.busy[used]) = (now, dice.below(4) == 0);
                lives.locked = (dice.below(8) == 0).then_some(used as u8);
            }
            match dice.below(6) {
                0..=2 if made < SESSIONS => {
                    made += 1;
                    let number = usize::from(made);
                    (lives.used[number], lives.since[number]) = (now, now);
                    let demand = Demand { last: true, ..Demand::new(&to, rank) };
                    if till.demand(now, made, None, demand, &mut live, &mut lives) == Ok(()) {
                        live.push((made, to, 1));
                    }
                }
                // A feature: nobody goes for it, and it goes with nobody.
                3 if dice.below(3) == 0 => {
                    let number = SESSIONS + 1 + dice.below(3) as u8;
                    let mut taker = Charge { client: None, ..to };
                    if taker.holder == Holder::Session {
                        taker.holder = Holder::taker(session(number), taker.class);
                    }
                    let count = 1 + dice.below(3);
                    let demand = Demand { count, last: true, ..Demand::new(&taker, rank) };
                    let verdict = acquire(&mut till.books, &till.pool, at(now), session(number), demand);
                    if verdict == Ok(Ok(())) {
                        live.push((number, taker, count));
                    }
                }
                3 | 4 if live.iter().any(|(number, ..)| *number <= SESSIONS) => {
                    let those: Vec<usize> = (0..live.len()).filter(|which| live[*which].0 <= SESSIONS).collect();
                    let which = those[dice.below(those.len() as u64) as usize];
                    let (number, from, _) = live[which].clone();
                    let demand = Demand { last: true, ..Demand::new(&to, rank) };
                    if from.holder != to.holder
                        && till.demand(now, number, Some(&from), demand, &mut live, &mut lives) == Ok(())
                    {
                        let trader = live.iter_mut().find(|(known, ..)| *known == number);
                        trader.expect("who trades stays").1 = to;
                    }
                }
                5 if !live.is_empty() => {
                    let (number, from, count) = live.swap_remove(dice.below(live.len() as u64) as usize);
                    let since = lives.since[usize::from(number)];
                    give_back(&mut till.books, &till.pool, at(now), session(number), &from, since, count)
                        .expect("books that work");
                }
                _ => {
                    expire(&mut till.books, &till.pool, at(now)).expect("books that work");
                }
            }
            till.holds();
            till.counts_what_lives(&live, &format!("seed {seed} at {now}"));
        }
        evicted += till.books.totals.evicted;
    }
    assert!(evicted > 2000, "only {evicted} sessions had to go");
}
