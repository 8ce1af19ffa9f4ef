//! Whatever may happen to a pool that evicts nobody.

use super::*;

/// A pool with some of the policies: it has no queue, and nobody goes for others.
pub(super) fn some_pool(dice: &mut Dice) -> PoolDefinition {
    let capacity = 2 + dice.below(5);
    let set = |dice: &mut Dice, value| if dice.coin() { value } else { 0 };
    PoolDefinition {
        rule: PoolRule {
            unit_rule: UnitRule::ALL[dice.below(5) as usize],
            max_connections: 2,
            max_sessions_per_holder: dice.coin().then_some(4),
        },
        anonymous_cap: dice.coin().then_some(1),
        anonymous_per_client: dice.coin().then_some(2),
        linger: set(dice, 30),
        lazy_linger: set(dice, 15),
        min_hold: set(dice, 20),
        anonymous_min_hold: set(dice, 10),
        lazy_min_hold: set(dice, 25),
        reclaim: dice.coin(),
        overdraft: dice.below(3),
        overdraft_time: 25,
        reservations: vec![Reserved { units: 1, hard: dice.coin() }, Reserved { units: 1, hard: false }],
        break_glass: dice.below(2),
        ..PoolDefinition::plain("main", capacity)
    }
}

/// Somebody who comes to a pool with reservations for `members`.
pub(super) fn somebody(dice: &mut Dice, members: &[&str]) -> (Charge, Rank) {
    let user = ["", "ann", "bob", "eve", "root"][dice.below(5) as usize];
    let mut to = charge(user);
    if user.is_empty() && dice.below(2) == 0 {
        to.class = LicenseClass::Anonymous;
        to.client = (dice.below(3) > 0).then(|| ["10.0.0.1", "::/64"][dice.below(2) as usize].into());
    } else if dice.below(3) == 0 {
        to.class = LicenseClass::Lazy;
    }
    let place = |of: &str| members.iter().position(|member| *member == of).expect("a member") as u8;
    let rank = match user {
        "ann" => Rank::Reserved(place("ann")),
        "bob" => Rank::Reserved(dice.below(2) as u8),
        "root" => Rank::Administrator,
        _ => Rank::Ordinary,
    };
    (to, rank)
}

#[test]
fn whatever_the_policies_the_books_are_what_the_sessions_make_them() {
    for seed in 1..400 {
        let mut dice = Dice::new(seed);
        let queue = if dice.coin() { 4 } else { 0 };
        let pool = PoolDefinition { queue, ..some_pool(&mut dice) };
        let mut till = Till::new(pool);
        let mut live: Vec<(u8, Charge, u64)> = Vec::new();
        // Who waits: the place, the session to be, how it is to be charged.
        let mut line: Vec<(u64, u8, Charge, Rank)> = Vec::new();
        let (mut now, mut made) = (0, 0);
        for _ in 0..200 {
            now += dice.below(8);
            let (mut to, rank) = somebody(&mut dice, &till.members);
            let priority = dice.below(3) as i8 - 1;
            match dice.below(8) {
                5 => {
                    let other = [UnitRule::User, UnitRule::Staircase, UnitRule::Hard][dice.below(3) as usize];
                    let rule = PoolRule { unit_rule: other, ..till.pool.rule };
                    let mut pool =
                        PoolDefinition { capacity: dice.below(8), linger: dice.below(2) * 30, ..till.pool.clone() };
                    if dice.below(3) == 0 {
                        pool.rule = rule;
                    }
                    let mut members = till.members.clone();
                    if dice.below(2) == 0 {
                        members.reverse();
                        pool.reservations.reverse();
                    }
                    // Sessions that have gone in a unit's minimal time and what lingers have been counted before.
                    let _held = till.define(now, pool, &members);
                }
                0 | 1 if made < 250 => {
                    made += 1;
                    let demand = Demand { last: till.pool.queue == 0, priority, ..Demand::new(&to, rank) };
                    let lane = Lane::of(&to, rank);
                    let before = till.books.line.head(lane).map(|first| first.turn);
                    let held = to.holder.booked().and_then(|name| till.books.users.get(name));
                    let needs = wanted(&till.pool, &to, 1, held).unwrap_or(0);
                    let verdict = acquire(&mut till.books, &till.pool, at(now), session(made), demand);
                    if verdict == Ok(Ok(())) {
                        live.push((made, to, 1));
                        let still = till.books.line.head(lane).map(|first| first.turn);
                        let overtaken = needs > 0 && before.is_some() && before == still;
                        let first = still.map_or(i8::MIN, |turn| turn.priority.0);
                        assert!(!overtaken || first < priority, "seed {seed}: overtaken");
                    } else if !demand.last {
                        let new = NewWaiter {
                            session: session(made),
                            charge: to.clone(),
                            from: None,
                            count: 1,
                            rank,
                            priority,
                            deadline: now + 50,
                        };
                        let waiter = Waiter::new(&new, now, (0, 0));
                        if let Ok(place) =
                            queue::join(&mut till.books, &till.pool, at(now), &waiter, None).expect("books")
                        {
                            line.push((place, made, to, rank));
                        }
                    }
                }
                6 if !line.is_empty() => {
                    let which = dice.below(line.len() as u64) as usize;
                    let (place, ..) = line.swap_remove(which);
                    let how = [Leaving::Denied, Leaving::Cancelled, Leaving::Died][dice.below(3) as usize];
                    assert_eq!(queue::leave(&mut till.books, &till.pool, at(now), place, how), Ok(true), "seed {seed}");
                }
                7 if !till.books.called.is_empty() => {
                    let place = till.books.called.remove(0);
                    let Some(which) = line.iter().position(|(known, ..)| *known == place) else { continue };
                    let (_, number, to, _) = line[which].clone();
                    // The pool may have been defined anew since it began to wait.
                    let rank = till.books.line.get(place).map_or(Rank::Ordinary, |waiter| waiter.lane.rank());
                    let demand = Demand { last: false, turn: Some(place), ..Demand::new(&to, rank) };
                    let offered = till.books.line.get(place).is_some_and(|waiter| match waiter.awaits {
                        Awaits::Claim(offer) => offer.units > 0 && offer.until > now,
                        _ => false,
                    });
                    let verdict =
                        acquire(&mut till.books, &till.pool, at(now), session(number), demand).expect("books");
                    match verdict {
                        Ok(()) => {
                            line.swap_remove(which);
                            live.push((number, to, 1));
                        }
                        // What is set aside for a session of its own is enough for it.
                        Err(DenyReason::PoolExhausted | DenyReason::Reserved) => {
                            assert!(!offered || to.holder != Holder::Session, "seed {seed}");
                        }
                        Err(_) => {
                            line.swap_remove(which);
                            let left = queue::leave(&mut till.books, &till.pool, at(now), place, Leaving::Denied);
                            assert_eq!(left, Ok(false), "seed {seed}: it waits no more");
                        }
                    }
                }
                // A feature, by the user or by one of a few sessions.
                4 => {
                    let number = 251 + dice.below(3) as u8;
                    to.client = None;
                    if to.holder == Holder::Session {
                        to.holder = Holder::taker(session(number), to.class);
                    }
                    let demand = Demand { count: 1 + dice.below(3), ..Demand::new(&to, rank) };
                    expire(&mut till.books, &till.pool, at(now)).expect("books that work");
                    let before = till.books.totals.in_use;
                    let verdict = acquire(&mut till.books, &till.pool, at(now), session(number), demand);
                    if verdict == Ok(Ok(())) {
                        let count = demand.count;
                        live.push((number, to, count));
                    } else {
                        assert!(till.books.totals.in_use <= before, "seed {seed}: all or none");
                    }
                }
                2 if live.iter().any(|(number, ..)| *number <= 250) => {
                    let those: Vec<usize> = (0..live.len()).filter(|which| live[*which].0 <= 250).collect();
                    let which = those[dice.below(those.len() as u64) as usize];
                    let (number, from, _) = live[which].clone();
                    expire(&mut till.books, &till.pool, at(now)).expect("books that work");
                    let before = till.books.totals.in_use;
                    let traded =
                        trade(&mut till.books, &till.pool, at(now), session(number), &from, Demand::new(&to, rank));
                    if traded == Ok(Ok(())) {
                        live[which].1 = to;
                    } else {
                        assert!(till.books.totals.in_use <= before, "seed {seed}: a denied trade takes nothing");
                    }
                }
                3 if !live.is_empty() => {
                    let (number, from, count) = live.swap_remove(dice.below(live.len() as u64) as usize);
                    let some = 1 + dice.below(count);
                    give_back(&mut till.books, &till.pool, at(now), session(number), &from, now, some)
                        .expect("books that work");
                    if some < count {
                        live.push((number, from, count - some));
                    }
                }
                _ => {
                    let next = expire(&mut till.books, &till.pool, at(now)).expect("books that work");
                    assert!(next.is_none_or(|next| next > now), "seed {seed}");
                }
            }
            till.holds();
            // Nobody is left waiting for what is there.
            let called = till.books.called.len();
            expire(&mut till.books, &till.pool, at(now)).expect("books that work");
            let again = queue::serve(&mut till.books, &till.pool, at(now)).expect("books that work");
            assert!(called <= till.books.called.len() && again.len() <= till.books.line.lanes().len(), "seed {seed}");
            till.holds();
            till.counts_what_lives(&live, &format!("seed {seed} at {now}"));
            let own = live.iter().filter(|(_, charge, _)| charge.holder == Holder::Session && charge.is_anonymous());
            let orphans = till.books.orphans.iter().filter(|(.., anonymous)| *anonymous);
            let takers = till
                .books
                .users
                .iter()
                .filter(|(name, _)| Holder::of((*name).clone()).class_of_takes() == LicenseClass::Anonymous);
            let anonymous = own.count() + orphans.count();
            let anonymous = anonymous as u64 + takers.map(|(_, held)| held.units).sum::<u64>();
            let waiting = till.books.line.all().filter(|waiter| waiter.anonymous()).map(Waiter::offered).sum::<u64>();
            assert_eq!(till.books.totals.anonymous - waiting, anonymous, "seed {seed} at {now}");
            assert!(till.pool.anonymous_cap.is_none_or(|cap| anonymous <= cap), "seed {seed} at {now}");
        }
        for (place, ..) in line {
            let left = queue::leave(&mut till.books, &till.pool, at(now), place, Leaving::Cancelled);
            assert_eq!(left, Ok(true), "seed {seed}");
        }
        // When everybody has gone and time has passed, nothing is held.
        for (number, from, count) in live {
            give_back(&mut till.books, &till.pool, at(now), session(number), &from, now, count)
                .expect("books that work");
        }
        assert_eq!(expire(&mut till.books, &till.pool, at(now + 1000)), Ok(None));
        let totals = &till.books.totals;
        assert_eq!((totals.in_use, totals.lingering, totals.anonymous), (0, 0, 0), "seed {seed}");
        assert!(till.books.clients.is_empty(), "seed {seed}");
        assert!(till.books.users.is_empty() && totals.reserved.iter().all(|units| *units == 0), "seed {seed}");
    }
}
