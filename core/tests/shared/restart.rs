//! LIC-06 on one machine: units over closings, killings and openings of everybody: nothing is lost, nothing is charged
//! twice, marks and accounts go on.

use std::collections::{BTreeMap, BTreeSet};

use super::stage::Stage;
use super::*;

/// What must be so.
#[derive(Default)]
struct Model {
    /// Live sessions: token, user, units of `cad`.
    live: BTreeMap<SessionId, (String, Option<String>, u64)>,
    /// Users that ever logged in: their units linger for longer than the test lasts.
    users: BTreeSet<String>,
    most: u64,
}

impl Model {
    /// A session by itself is one unit, a user one with any number of them.
    fn in_use(&self) -> u64 {
        let own = self.live.values().filter(|(_, user, _)| user.is_none()).count();
        (own + self.users.len()) as u64
    }

    fn step(&mut self, clerk: &mut Process, seed: &mut Seed) {
        let ids: Vec<SessionId> = self.live.keys().copied().collect();
        match (seed.below(10), seed.pick(&ids)) {
            (0..4, _) | (_, None) if ids.len() < 40 => {
                let made = clerk.ok("create");
                self.live.insert(SessionId::parse(&made[0]).expect("an id"), (made[1].clone(), None, 0));
            }
            (4..7, Some(id)) => {
                let (token, user, _) = self.live.get_mut(id).expect("it lives");
                // Again as who it is, most times: that costs nothing.
                let name = user.clone().unwrap_or_else(|| format!("user-{}", seed.below(5)));
                *token = clerk.ok(&format!("login {token} {name}"))[0].clone();
                *user = Some(name.clone());
                self.users.insert(name);
            }
            (7, Some(id)) => {
                let (token, _, taken) = self.live.get_mut(id).expect("it lives");
                if clerk.ask(&format!("take {token} cad 1")) == "ok" {
                    *taken += 1;
                }
            }
            (_, Some(id)) => {
                assert_eq!(clerk.ask(&format!("end {id}")), "ended ended");
                self.live.remove(id);
            }
            (_, None) => unreachable!("one is made"),
        }
        self.most = self.most.max(self.in_use());
    }

    fn check(&self, stage: &Stage) {
        stage.exact(self.in_use());
        let usage = stage.usage();
        assert_eq!(usage.high_water, self.most);
        let connections =
            |user: &str| self.live.values().filter(|(_, of, _)| of.as_deref() == Some(user)).count() as u64;
        for user in &self.users {
            let holder = usage.holders.iter().find(|holder| *holder.holder == **user).expect("a holder");
            assert_eq!((holder.units, holder.connections), (1, connections(user)), "{holder:?}");
        }
        let lingering = self.users.iter().filter(|user| connections(user) == 0).count() as u64;
        assert_eq!((usage.lingering, usage.denials), (lingering, 0));
        let cad = stage.manager.usage("cad").expect("usage");
        assert_eq!(cad.in_use, self.live.values().map(|(_, _, taken)| taken).sum::<u64>());
        let audit = stage.manager.audit("cad").expect("audit");
        assert_eq!((audit.counted, audit.differences), (audit.recounted, Vec::new()));
        for (id, (token, user, _)) in &self.live {
            let request = stage.request(token);
            assert_eq!((request.id(), request.user().expect("a user").as_deref()), (*id, user.as_deref()));
            request.finish().expect("a request");
        }
        assert_eq!(stage.ids().len(), self.live.len());
    }
}

#[test]
fn units_outlive_everybody_and_are_charged_once() {
    let mut seed = Seed::new("restart");
    let linger = r#"{"linger_ms": 3600000, "unit_rule": "user", "audit_records": 10000000}"#;
    let mut stage = Stage::new(200, 200, |shop| Shop { pool: linger.into(), durable: seed.percent(30), ..shop });
    let mut model = Model::default();
    let mut times = [0; 4];
    for _ in 0..rounds(16, 1000) {
        let (alone, killed) = (seed.percent(50), seed.percent(50));
        times[usize::from(alone) + 2 * usize::from(killed)] += 1;
        if alone {
            stage.close();
        }
        let mut clerk = Process::clerk(&stage.shop);
        for _ in 0..seed.below(8) {
            model.step(&mut clerk, &mut seed);
        }
        if !alone && seed.percent(50) {
            // One that comes back while the other is there.
            stage.close();
            stage.open();
        }
        if killed {
            clerk.kill();
        } else {
            clerk.leave();
        }
        if alone {
            stage.open();
        }
        model.check(&stage);
    }
    println!("together and left, alone and left, together and killed, alone and killed: {times:?}");
    // Who comes back has the unit that lingered.
    for user in &model.users {
        let before = stage.usage().in_use;
        let created = stage.create();
        stage.request(&created.token.reveal()).login(user).expect("a login");
        stage.exact(before);
        stage.end(created.id);
    }
    stage.end_all();
    stage.exact(model.users.len() as u64);
}

#[test]
fn units_set_aside_when_everybody_was_killed_are_nobodys() {
    let mut stage = Stage::new(1, 1, |shop| shop);
    stage.close();
    let (mut keeper, mut waiter) = (Process::clerk(&stage.shop), Process::clerk(&stage.shop));
    let id = keeper.ok("create")[0].clone();
    waiter.tell(&format!("wait {}", BOUND.as_millis()));
    keeper.ask_until("waiting", "1");
    waiter.freeze();
    assert_eq!(keeper.ask(&format!("end {id}")), "ended ended");
    assert_eq!((&*keeper.ask("usage"), &*keeper.ask("count")), ("1/1", "0"));
    keeper.kill();
    waiter.kill();
    stage.open();
    let usage = stage.usage();
    assert_eq!((usage.waiting, usage.offered), (0, 0));
    stage.exact(0);
    stage.end(stage.create().id);
    stage.exact(0);
}

#[test]
fn a_unit_that_lingers_is_free_in_time_though_who_leads_is_killed() {
    let linger = Duration::from_millis(400);
    in_time(linger + super::death::SECOND, "a unit that lingered is free", || {
        let pool = format!(r#"{{"linger_ms": {}}}"#, linger.as_millis());
        let mut stage = Stage::new(1, 1, |shop| Shop { pool, ..shop });
        stage.close();
        let mut leader = Process::clerk(&stage.shop);
        let made = leader.ok("create");
        leader.ok(&format!("login {} ada", made[1]));
        leader.ok("reap");
        stage.open();
        assert_eq!(leader.ask(&format!("end {}", made[0])), "ended ended");
        let ended = Instant::now();
        leader.kill();
        wait_until("it is free", || stage.usage().in_use == 0);
        let took = ended.elapsed();
        stage.exact(0);
        took
    });
}
