//! Promises about lazy and anonymous sessions: a unit at the moment that was chosen, a timeout and a count of their own.

use super::Promise;
use super::desk::*;
use super::race::{ROUNDS, race};
use crate::error::ErrorKind;
use crate::reason::{DenyReason, LazyUntil, LicenseClass, LockMode, TouchKind};
use crate::table::*;

fn lazy(pool: u32, until: LazyUntil) -> Plan {
    Plan { lazy: Some(Lazy { pool, until }), ..Plan::plain() }
}

fn anonymous(client: &str) -> Plan {
    let charge = Charge {
        pool: GUESTS,
        class: LicenseClass::Anonymous,
        holder: Holder::Session,
        client: Some(crate::license::client::client_of(client)),
    };
    Plan { charge: Some(charge), address: Some(client.to_owned()), brief: true, ..Plan::plain() }
}

impl Desk {
    fn begins_unlicensed(&self, ms: Millis, token: &Token) -> Outcome {
        match self.began(ms, token, TouchKind::Activity, LockMode::None) {
            Found::Live(Began::Unlicensed(SINGLE, DenyReason::PoolExhausted)) => Ok(()),
            other => Err(format!("a begin without a unit: {other:?}")),
        }
    }

    fn saved(&self, ms: Millis, request: &RequestKey, key: &str) -> Result<crate::Result<()>, String> {
        live(self.table.save(at(ms), request, &write(key, 1)?))
    }

    fn licensed(&self, ms: Millis, session: SessionRef) -> Result<bool, String> {
        let card = live(self.table.card(at(ms), session))?;
        ensure!(card.charge.is_none() || card.lazy.is_none(), "a unit that is held, and one to be taken");
        Ok(card.charge.is_some())
    }
}

pub(super) const PROMISES: &[Promise] = &[
    ("a lazy session holds nothing until its moment, and one unit then", |ground| {
        let desk = ground.desk();
        let moments = [LazyUntil::Login, LazyUntil::SecondRequest, LazyUntil::FirstWrite];
        let made = moments.map(|until| desk.create(0, &lazy(SINGLE, until)));
        let made = made.into_iter().collect::<Result<Vec<_>, _>>()?;
        for (before, (moment, made)) in (0..).zip(moments.into_iter().zip(&made)) {
            let first = desk.begin(1, &made.token, LockMode::None)?;
            ensure!(desk.in_use(SINGLE)? == before, "{moment}: the first request took a unit");
            ensure!(!desk.licensed(1, made.session)?, "{moment}: it is licensed");
            match moment {
                LazyUntil::Login => {
                    ok(desk.saved(1, &first, "k")?)?;
                    desk.begin(1, &made.token, LockMode::None)?;
                    ensure!(desk.in_use(SINGLE)? == before, "something else than a login took the unit");
                    let login = live(desk.table.change_holder(at(1), made.session, &change(None, Some("ann"), None)))?;
                    ensure!(login.is_ok(), "the login: {login:?}");
                }
                LazyUntil::SecondRequest => {
                    ok(desk.saved(1, &first, "k")?)?;
                    ensure!(desk.in_use(SINGLE)? == before, "something else than a request took the unit");
                    desk.begin(1, &made.token, LockMode::None)?;
                }
                _ => {
                    desk.begin(1, &made.token, LockMode::None)?;
                    ensure!(desk.in_use(SINGLE)? == before, "something else than a write took the unit");
                    ok(desk.saved(1, &first, "k")?)?;
                }
            }
            ensure!(desk.in_use(SINGLE)? == before + 1, "{moment}: {} units are in use", desk.in_use(SINGLE)?);
            ensure!(desk.licensed(1, made.session)?, "{moment}: it is not licensed");
            ok(desk.saved(2, &first, "l")?)?;
            desk.begin(2, &made.token, LockMode::None)?;
            ensure!(desk.in_use(SINGLE)? == before + 1, "{moment}: it took another");
        }
        desk.sound(2)?;
        for made in &made {
            desk.end(3, made.session);
        }
        ensure!(desk.in_use(SINGLE)? == 0, "a unit stayed in use");
        desk.sound(3)
    }),
    ("what a lazy session is denied a unit for did nothing", |ground| {
        let desk = ground.desk();
        let asks = desk.create(0, &lazy(SINGLE, LazyUntil::SecondRequest))?;
        let pens = desk.create(0, &lazy(SINGLE, LazyUntil::FirstWrite))?;
        for made in [&asks, &pens] {
            let first = desk.begin(0, &made.token, LockMode::None)?;
            desk.finish(0, &first)?;
        }
        let full: Vec<_> = (0..3).map(|_| desk.create(0, &Plan::charged(SINGLE))).collect::<Result<_, _>>()?;
        let deadline = desk.deadline(0, &asks.token)?;
        desk.begins_unlicensed(5, &asks.token)?;
        ensure!(desk.deadline(5, &asks.token)? == deadline, "the begin was a use");
        let request = desk.begin(5, &pens.token, LockMode::None)?;
        for _ in 0..2 {
            let saved = desk.saved(5, &request, "k")?;
            ensure!(saved.as_ref().is_err_and(|error| error.kind() == ErrorKind::LicenseDenied), "saved: {saved:?}");
        }
        ensure!(desk.value(5, &request, "k")?.is_none(), "the write is there");
        let finished = live(desk.table.finish(at(5), &request, &write("k", 1)?))?;
        ensure!(finished.committed.is_err(), "the writes were committed");
        let keeps = HolderChange { keep_on_denial: true, ..change(None, Some("ann"), Some(0)) };
        match live(desk.table.change_holder(at(5), pens.session, &keeps))? {
            Err(ChangeRefused::License(DenyReason::PoolExhausted)) => {}
            other => return Err(format!("a login without a unit: {other:?}")),
        }
        let denials = ok(desk.table.usage(at(5), SINGLE))?.denials;
        let asks_on = HolderChange { asking: Asking { last: false, ..Asking::default() }, ..keeps };
        match live(desk.table.change_holder(at(5), pens.session, &asks_on))? {
            Err(ChangeRefused::License(DenyReason::PoolExhausted)) => {}
            other => return Err(format!("a login that would wait: {other:?}")),
        }
        ensure!(ok(desk.table.usage(at(5), SINGLE))?.denials == denials, "what was not the last word is a denial");
        let card = live(desk.table.card(at(5), pens.session))?;
        ensure!(card.user.is_none() && card.charge.is_none(), "the login did something");
        ensure!(live(desk.peek(5, &pens.token)).is_ok(), "the token is another one");
        desk.sound(5)?;
        desk.end(6, full[0].session);
        desk.begin(6, &asks.token, LockMode::None)?;
        ensure!(desk.in_use(SINGLE)? == 3, "the unit that came free was not taken");
        desk.sound(6)
    }),
    ("lazy sessions that race for a unit take one, and one session takes one", |ground| {
        let desk = ground.desk();
        for round in 0..ROUNDS {
            let full: Vec<_> = (0..2).map(|_| desk.create(round, &Plan::charged(SINGLE))).collect::<Result<_, _>>()?;
            let one = desk.create(round, &lazy(SINGLE, LazyUntil::FirstWrite))?;
            let two = desk.create(round, &lazy(SINGLE, LazyUntil::SecondRequest))?;
            let write = desk.begin(round, &one.token, LockMode::None)?;
            let again = desk.begin(round, &one.token, LockMode::None)?;
            desk.begin(round, &two.token, LockMode::None)?;
            let (saved, began) = race(
                || desk.saved(round, &write, "k"),
                || desk.began(round, &two.token, TouchKind::Activity, LockMode::None),
            )?;
            let began = matches!(began, Found::Live(Began::Request { .. }));
            ensure!(saved?.is_ok() != began, "both have the last unit, or none");
            ensure!(desk.in_use(SINGLE)? == 3, "{} units are in use", desk.in_use(SINGLE)?);
            for made in full.iter().chain([&two]) {
                desk.end(round, made.session);
            }
            let (first, second) = race(|| desk.saved(round, &write, "l"), || desk.saved(round, &again, "m"))?;
            ok(first?)?;
            ok(second?)?;
            ensure!(desk.in_use(SINGLE)? == 1, "one session has {} units", desk.in_use(SINGLE)?);
            desk.end(round, one.session);
            ensure!(desk.in_use(SINGLE)? == 0, "a unit stayed in use");
        }
        desk.sound(ROUNDS)
    }),
    ("a client has no more anonymous sessions than it may, and a login leaves them", |ground| {
        let desk = ground.desk();
        let (one, two) = (desk.create(0, &anonymous("10.0.0.1"))?, desk.create(0, &anonymous("10.0.0.1:80"))?);
        match desk.try_create(0, &anonymous("10.0.0.1"))? {
            Err(Refused::License(DenyReason::HolderLimit)) => {}
            other => return Err(format!("the third of two: {:?}", other.err())),
        }
        desk.create(0, &anonymous("::1"))?;
        let login = live(desk.table.change_holder(at(1), one.session, &change(None, Some("ann"), None)))?;
        ensure!(login.is_ok(), "the login: {login:?}");
        let three = desk.create(1, &anonymous("10.0.0.1"))?;
        ensure!(desk.try_create(1, &anonymous("10.0.0.1"))?.is_err(), "one too many was admitted");
        desk.sound(1)?;
        desk.end(2, two.session);
        desk.create(2, &anonymous("10.0.0.1"))?;
        gone(desk.peek(1 + IDLE, &three.token), crate::reason::EndReason::IdleTimeout)?;
        desk.create(1 + IDLE, &anonymous("10.0.0.1"))?;
        desk.sound(1 + IDLE)
    }),
    ("the idle timeout of anonymous sessions goes when one is named, and one that was set stays", |ground| {
        let desk = ground.desk();
        let idle = |session| live(desk.table.card(at(0), session)).map(|card| (card.idle, card.brief));
        let names = HolderChange { idle: 2 * IDLE, ..change(None, Some("ann"), None) };
        let (brief, own) = (desk.create(0, &anonymous("a"))?, desk.create(0, &anonymous("b"))?);
        ok(live(desk.table.set_timeouts(at(0), own.session, Some(IDLE), None))?)?;
        ensure!(idle(brief.session)? == (IDLE, true) && idle(own.session)? == (IDLE, false), "before the login");
        for made in [&brief, &own] {
            let login = live(desk.table.change_holder(at(0), made.session, &names))?;
            ensure!(login.is_ok(), "the login: {login:?}");
        }
        ensure!(idle(brief.session)? == (2 * IDLE, false), "after the login: {:?}", idle(brief.session)?);
        ensure!(desk.deadline(0, &brief.token)? == 2 * IDLE, "the deadline is {}", desk.deadline(0, &brief.token)?);
        ensure!(idle(own.session)? == (IDLE, false), "its own was lost");
        desk.sound(0)
    }),
    ("a unit that was taken lazily is held, lingers and is evicted as its class says", |ground| {
        let ms = std::time::Duration::from_millis;
        let desk = ground.desk_with(|config| {
            let pool = &mut config.pools[SINGLE as usize];
            (pool.linger, pool.lazy_linger) = (ms(100), Some(ms(10)));
            (pool.min_hold, pool.lazy_min_hold) = (ms(20), Some(ms(50)));
            (pool.evict, pool.anonymous_cap) = (crate::reason::Evict::Any, None);
        });
        let plan = |until| Plan { idle: 0, absolute: 0, ..lazy(SINGLE, until) };
        let login = |ms, made: &Made, name| {
            let done = live(desk.table.change_holder(at(ms), made.session, &change(None, Some(name), None)))?;
            done.map(drop).map_err(|refused| format!("the login: {refused:?}"))
        };
        let left = |ms| -> Result<Vec<(String, u64)>, String> {
            let mut holders = ok(desk.table.usage(at(ms), SINGLE))?.holders;
            holders.sort_by_key(|one| one.release_in);
            let told = |one: crate::license::HolderUsage| {
                (one.holder.to_string(), one.release_in.map_or(0, |left| left.as_millis() as u64))
            };
            Ok(holders.into_iter().map(told).collect())
        };
        // One that is its own holder, one whose user came later, and one whose user took it.
        let made = [LazyUntil::SecondRequest, LazyUntil::SecondRequest, LazyUntil::Login].map(plan);
        let made = made.iter().map(|plan| desk.create(0, plan)).collect::<Result<Vec<_>, _>>()?;
        for made in &made[..2] {
            for _ in 0..2 {
                let request = desk.begin(0, &made.token, LockMode::None)?;
                desk.finish(0, &request)?;
            }
        }
        login(0, &made[1], "ann")?;
        login(0, &made[2], "bob")?;
        ensure!(desk.in_use(SINGLE)? == 3, "{} units are in use", desk.in_use(SINGLE)?);
        // Nobody is evicted within its minimal time.
        ensure!(desk.try_create(49, &Plan::charged(SINGLE))?.is_err(), "a unit within its minimal time was given away");
        for made in &made {
            desk.end(1, made.session);
        }
        let all = left(1)?;
        ensure!(all.iter().all(|(_, left)| *left == 49), "they are held for {all:?}");
        desk.sound(1)?;
        ok(desk.table.claim_due(at(50), 10))?;
        ensure!(desk.in_use(SINGLE)? == 0, "{} units are in use", desk.in_use(SINGLE)?);
        // Out of its minimal time it lingers for as long as the class of the last that left says.
        let made = [desk.create(100, &plan(LazyUntil::Login))?, desk.create(100, &plan(LazyUntil::Login))?];
        let named = desk.create(100, &Plan { idle: 0, absolute: 0, ..Plan::charged(SINGLE) })?;
        login(100, &made[0], "ann")?;
        login(100, &made[1], "bob")?;
        login(100, &named, "bob")?;
        for made in [&made[0], &made[1], &named] {
            desk.end(200, made.session);
        }
        ensure!(left(200)? == [("ann".to_owned(), 10), ("bob".to_owned(), 100)], "they linger: {:?}", left(200)?);
        desk.sound(200)
    }),
];
