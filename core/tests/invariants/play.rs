//! The world of a history: the manager and its model side by side, and what is checked of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use libsession_core::*;

use super::model::{self, Model, NEVER};

pub const RULES: [UnitRule; 5] =
    [UnitRule::Session, UnitRule::User, UnitRule::Staircase, UnitRule::Iris, UnitRule::Hard];
pub const USERS: [&str; 4] = ["ada", "bob", "cyd", "eve"];
/// The application without a pool.
pub const FREE: usize = RULES.len();

/// A small generator: the same seed, the same history.
pub struct Dice(u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ word >> 31) % sides
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.roll(of.len() as u64) as usize]
    }
}

/// How often each class was told the end of each session, with the reason.
pub type Told = Arc<Mutex<HashMap<(SessionId, &'static str), Vec<EndReason>>>>;

pub struct Play {
    pub dice: Dice,
    pub clock: ManualClock,
    pub manager: Manager,
    pub model: Model,
    pub ids: Vec<SessionId>,
    pub tokens: Vec<String>,
    pub requests: Vec<(usize, Request)>,
    pub last_request: usize,
    pub told: Told,
    absolute_seen: HashMap<usize, u64>,
}

pub fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

impl Play {
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let clock = ManualClock::new();
        let mut config = Config { max_sessions: 25, clock: Clock::Manual(clock.clone()), ..Config::new() };
        let mut model = Model { max_sessions: 25, ..Model::default() };
        for (number, rule) in RULES.iter().enumerate() {
            let capacity = 1 + dice.roll(8);
            let max_connections = 1 + dice.roll(3);
            let mut pool = Pool::new(format!("pool{number}"), capacity);
            pool.unit_rule = *rule;
            pool.max_connections = max_connections as u32;
            pool.max_sessions_per_holder = (dice.roll(3) == 0).then_some(4);
            pool.anonymous_cap = (dice.roll(2) == 0).then_some(1);
            let mut twin = model::Pool::new(capacity, *rule, max_connections);
            twin.per_holder = pool.max_sessions_per_holder.map(u64::from);
            twin.anonymous_cap = pool.anonymous_cap;
            pool.anonymous_per_client = (dice.roll(2) == 0).then_some(1);
            twin.per_client = pool.anonymous_per_client.map(|most| most as usize);
            model.pools.push(twin);
            config.pools.push(pool);
        }
        for number in 0..=FREE {
            let mut application = Application::new(format!("app{number}")).event_class("sure").event_class("shaky");
            application.lock = LockMode::None;
            application.pool = (number < FREE).then(|| format!("pool{number}"));
            application.license_class = (number < FREE).then_some(LicenseClass::Named);
            application.absolute_timeout = Some(None);
            application.lazy_until = *dice.pick(LazyUntil::ALL);
            application.anonymous_idle_timeout = Some(ms(model::ANONYMOUS_IDLE));
            model.lazy_until.push(application.lazy_until);
            application.max_sessions = (number == FREE).then_some(4);
            model.limits.push(if number == FREE { 4 } else { usize::MAX });
            config.applications.push(application);
        }
        let manager = Manager::new(config).expect("manager");
        let told = Told::default();
        for name in ["sure", "shaky"] {
            let told = told.clone();
            let callbacks = Callbacks::new().on(EventKind::End, move |event| {
                if name == "shaky" && event.session_id.as_bytes()[0].is_multiple_of(4) {
                    return Err("shaken".into());
                }
                let mut told = told.lock().expect("not poisoned");
                told.entry((event.session_id, name)).or_default().extend(event.reason);
                Ok(Verdict::Allow)
            });
            manager.register(EventClass::new(name, callbacks)).expect("register");
        }
        Self {
            dice,
            clock,
            manager,
            model,
            ids: Vec::new(),
            tokens: Vec::new(),
            requests: Vec::new(),
            last_request: 0,
            told,
            absolute_seen: HashMap::new(),
        }
    }

    pub fn token(&mut self, token: Token) -> usize {
        self.tokens.push(token.reveal());
        self.tokens.len() - 1
    }

    /// I1, I2, I4, I5, I6, I7 and I8, after every step.
    pub fn check(&mut self) {
        assert_eq!(self.manager.count(), Ok(self.model.live().count() as u64), "I6: live sessions");
        assert_eq!(self.manager.check(), Ok(Vec::new()), "check");
        for pool in 0..RULES.len() {
            let name = format!("pool{pool}");
            let usage = self.manager.usage(&name).expect("usage");
            let (holders, own) = self.model.holders(pool);
            assert_eq!(usage.in_use, self.model.in_use(pool), "I1, I5: {name} {:?}", usage.holders);
            assert!(usage.in_use <= usage.capacity, "I1: {name}");
            let seen = usage.holders.iter().filter(|holder| holder.kind == "user");
            let seen: Vec<_> =
                seen.map(|holder| (holder.holder.to_string(), (holder.connections, holder.units))).collect();
            let users = holders.iter().filter_map(|(holder, of)| match holder {
                model::Holder::User(user) => Some((user.clone(), *of)),
                _ => None,
            });
            assert_eq!(seen, users.collect::<Vec<_>>(), "I2: {name}");
            // What a session is charged for itself and what it took are told together.
            let takers = holders.iter().filter(|(holder, _)| matches!(holder, model::Holder::Taker(..)));
            let (connections, units) = takers.fold((own, own), |all, (_, of)| (all.0 + of.0, all.1 + of.1));
            let sessions = usage.holders.iter().filter(|holder| holder.kind == "session");
            let told = sessions.clone().fold((0, 0), |all, of| (all.0 + of.connections, all.1 + of.units));
            assert_eq!(told, (connections, units), "I2: {name}");
            let mut ids: Vec<_> = sessions.map(|holder| &*holder.holder).collect();
            let count = ids.len();
            ids.sort_unstable();
            ids.dedup();
            assert_eq!(ids.len(), count, "I2: {name} tells a session twice");
            let audit = self.manager.audit(&name).expect("audit");
            assert!(audit.differences.is_empty() && audit.counted == audit.recounted, "I8: {audit:?}");
        }
        let Some(number) = self.any() else { return };
        let explain = self.manager.explain(self.ids[number]).expect("explain");
        let session = &self.model.sessions[number];
        match (explain, session.ended) {
            (Some(Explain { live: Some(info), .. }), None) => {
                let deadline = session.deadline().0;
                assert_eq!(info.deadline_ms, (deadline < NEVER).then_some(deadline), "I6: deadline");
                assert_eq!(info.user.as_deref(), session.user.as_deref());
                assert_eq!(info.in_flight as usize, session.requests.len());
                let absolute =
                    info.absolute_timeout.map_or(NEVER, |timeout| info.created_ms + timeout.as_millis() as u64);
                let before = self.absolute_seen.insert(number, absolute).unwrap_or(NEVER);
                assert!(absolute <= before, "I7: the absolute deadline moved from {before} to {absolute}");
            }
            (Some(Explain { ended: Some(receipt), live: None, .. }), Some((at, reason))) => {
                assert_eq!((receipt.at_ms, receipt.reason), (at, reason), "I4: the receipt");
            }
            (None, Some((at, _))) => assert!(self.model.now >= at + 600_000, "its tombstone fell early"),
            other => panic!("I4: {other:?}"),
        }
    }

    /// I3: each class present at the end was told once, or there is one dead letter.
    pub fn check_deliveries(&mut self) {
        let ended: Vec<_> = self.model.live().map(|(number, _)| number).collect();
        let report = self.manager.close(Duration::from_secs(5));
        assert_eq!(report.ended, ended.len() as u64);
        for number in ended {
            self.model.end(number, EndReason::Shutdown);
        }
        let letters = self.manager.dead_letters(0, usize::MAX).expect("dead letters");
        let told = self.told.lock().expect("not poisoned");
        for (id, session) in self.ids.iter().zip(&self.model.sessions) {
            let reason = session.ended.map(|(_, reason)| reason).expect("ended");
            for name in ["sure", "shaky"] {
                let calls = told.get(&(*id, name)).cloned().unwrap_or_default();
                let dead = letters.iter().filter(|letter| letter.session_id == *id && &*letter.class.name == name);
                let dead: Vec<_> = dead.map(|letter| letter.reason).collect();
                let expected = usize::from(session.classes.contains(&name));
                assert_eq!(calls.len() + dead.len(), expected, "I3: {name}: told {calls:?}, dead letters {dead:?}");
                assert!(calls.iter().all(|told| *told == reason) && dead.iter().all(|told| *told == Some(reason)));
            }
        }
    }
}
