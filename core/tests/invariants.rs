//! Random histories against the reference model: the invariants I1 to I8 after every step.
//!
//! `LSES_SEED=n` plays one history again; `LSES_TORTURE=1` plays many more.

mod model;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use libsession_core::*;
use model::{GRACE, Holder, Look, Model, NEVER};

const RULES: [UnitRule; 5] = [UnitRule::Session, UnitRule::User, UnitRule::Staircase, UnitRule::Iris, UnitRule::Hard];
const USERS: [&str; 4] = ["ada", "bob", "cyd", "eve"];
/// The application without a pool.
const FREE: usize = RULES.len();

/// A small generator: the same seed, the same history.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ word >> 31) % sides
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.roll(of.len() as u64) as usize]
    }
}

/// How often each class was told the end of each session, with the reason.
type Told = Arc<Mutex<HashMap<(SessionId, &'static str), Vec<EndReason>>>>;

struct Play {
    dice: Dice,
    clock: ManualClock,
    manager: Manager,
    model: Model,
    ids: Vec<SessionId>,
    tokens: Vec<String>,
    requests: Vec<(usize, Request)>,
    last_request: usize,
    told: Told,
    absolute_seen: HashMap<usize, u64>,
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

impl Play {
    fn new(seed: u64) -> Self {
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
            model.pools.push(twin);
            config.pools.push(pool);
        }
        for number in 0..=FREE {
            let mut application = Application::new(format!("app{number}")).event_class("sure").event_class("shaky");
            application.lock = LockMode::None;
            application.pool = (number < FREE).then(|| format!("pool{number}"));
            application.license_class = (number < FREE).then_some(LicenseClass::Named);
            application.absolute_timeout = Some(None);
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

    fn token(&mut self, token: Token) -> usize {
        self.tokens.push(token.reveal());
        self.tokens.len() - 1
    }

    fn create(&mut self) {
        let application = self.dice.roll(FREE as u64 + 1) as usize;
        let anonymous = application < FREE && self.dice.roll(4) == 0;
        let idle = if self.dice.roll(8) == 0 { 0 } else { 1000 * (1 + self.dice.roll(600)) };
        let absolute = if self.dice.roll(2) == 0 { NEVER } else { 1000 * (1 + self.dice.roll(2000)) };
        let begin = self.dice.roll(3) == 0;
        let options = CreateOptions {
            application: Some(format!("app{application}")),
            license_class: anonymous.then_some(LicenseClass::Anonymous),
            idle_timeout: Some((idle > 0).then(|| ms(idle))),
            absolute_timeout: (absolute < NEVER).then(|| ms(absolute)),
            ..CreateOptions::default()
        };
        let pool = (application < FREE).then_some(application);
        let room = self.model.has_room(application);
        let admitted = pool.map_or(Ok(()), |pool| self.model.admit(pool, &Holder::Itself, anonymous));
        let made = if begin {
            self.manager.begin_new(options, BeginOptions::default()).map(|request| {
                assert!(request.is_new());
                (request.id(), request.token(), Some(request))
            })
        } else {
            self.manager.create(options).map(|created| (created.id, created.token, None))
        };
        let (id, token, request) = match (made, room, admitted) {
            (Ok(made), true, Ok(())) => made,
            (Err(error), false, _) if error.kind() == ErrorKind::SessionLimit => return,
            (Err(error), true, Err(reason)) if error.deny_reason() == Some(reason) => return,
            (made, room, admitted) => panic!("made {:?}, room {room}, admitted {admitted:?}", made.err()),
        };
        let token = self.token(token);
        let now = self.model.now;
        let mut session = model::Session {
            application,
            pool,
            anonymous,
            user: None,
            holder: if pool.is_some() { Holder::Itself } else { Holder::Nobody },
            idle,
            created: now,
            absolute_at: if absolute == NEVER { NEVER } else { now + absolute },
            last_used: now,
            requests: Vec::new(),
            end_requested: false,
            had_request: begin,
            ended: None,
            token,
            replaced: Vec::new(),
            classes: vec!["sure", "shaky"],
        };
        if let Some(request) = request {
            self.last_request += 1;
            session.requests.push((self.last_request, now, true));
            self.requests.push((self.last_request, request));
        }
        self.model.publish(session);
        self.ids.push(id);
    }

    /// A session, mostly a live one.
    fn any(&mut self) -> Option<usize> {
        let live: Vec<usize> = self.model.live().map(|(number, _)| number).collect();
        if !live.is_empty() && self.dice.roll(8) > 0 {
            return Some(*self.dice.pick(&live));
        }
        (!self.ids.is_empty()).then(|| self.dice.roll(self.ids.len() as u64) as usize)
    }

    /// One of its tokens, mostly the right one.
    fn any_token(&mut self, number: usize) -> usize {
        let session = &self.model.sessions[number];
        let old: Vec<usize> = session.replaced.iter().map(|(old, _, _)| *old).collect();
        let right = session.token;
        if old.is_empty() || self.dice.roll(3) > 0 { right } else { *self.dice.pick(&old) }
    }

    fn begin(&mut self) {
        let Some(number) = self.any() else { return };
        let token = self.any_token(number);
        let touch = *self.dice.pick(&[TouchKind::Activity, TouchKind::Activity, TouchKind::Keepalive, TouchKind::None]);
        let options = BeginOptions { touch: Some(touch), ..BeginOptions::default() };
        let begun = self.manager.begin(&self.tokens[token], options).expect("begin");
        let session = &self.model.sessions[number];
        let look = match self.model.look(number, token) {
            Look::Live if session.end_requested => Look::Gone(EndReason::Ended),
            look => look,
        };
        let request = match (begun, look) {
            (Begin::Live(request), Look::Live) => request,
            (Begin::Absent, Look::Absent) => return,
            (Begin::Gone(reason), Look::Gone(expected)) if reason == expected => return,
            (begun, look) => panic!("began {begun:?}, the model says {look:?}"),
        };
        let (now, session) = (self.model.now, &mut self.model.sessions[number]);
        assert_eq!(request.is_new(), !std::mem::replace(&mut session.had_request, true));
        assert_eq!(request.id(), self.ids[number]);
        if touch == TouchKind::Activity {
            session.last_used = now;
        }
        self.last_request += 1;
        session.requests.push((self.last_request, now, touch == TouchKind::Activity));
        self.requests.push((self.last_request, request));
    }

    fn finish(&mut self) {
        if self.requests.is_empty() {
            return;
        }
        let position = self.dice.roll(self.requests.len() as u64) as usize;
        let (request, handle) = self.requests.swap_remove(position);
        let number = self.ids.iter().position(|id| *id == handle.id()).expect("known");
        let now = self.model.now;
        let write = self.dice.roll(2) == 0;
        let session = &mut self.model.sessions[number];
        let in_flight = session.requests.iter().any(|(known, _, _)| *known == request);
        if write {
            let written = handle.set(&[Subscript::from("n")], Value::from(1));
            assert_eq!(written.is_ok(), in_flight, "{written:?}");
        }
        let finished = handle.finish();
        if in_flight {
            assert_eq!(finished, Ok(()));
            session.leave(request, now);
            if session.end_requested && session.requests.is_empty() {
                self.model.end(number, EndReason::Ended);
            }
        } else {
            let expected = session.ended.map(|(at, reason)| (now < at + 600_000, reason));
            match finished.expect_err("it is not in flight").kind() {
                ErrorKind::Gone => {}
                ErrorKind::Absent => assert!(expected.is_some_and(|(stands, _)| !stands)),
                kind => panic!("{kind:?}"),
            }
        }
    }

    fn touch(&mut self) {
        let Some(number) = self.any() else { return };
        let token = self.any_token(number);
        let kind = *self.dice.pick(&[TouchKind::Activity, TouchKind::Keepalive, TouchKind::None]);
        let touched = self.manager.touch(&self.tokens[token], kind).expect("touch");
        let look = self.model.look(number, token);
        let now = self.model.now;
        let session = &mut self.model.sessions[number];
        if look == Look::Live && kind == TouchKind::Activity {
            session.last_used = now;
        }
        let deadline = session.deadline().0;
        match (touched, look) {
            (Touched::Live(left), Look::Live) => {
                assert_eq!(left, (deadline < NEVER).then(|| ms(deadline - now)), "time left");
            }
            (Touched::Absent, Look::Absent) => {}
            (Touched::Gone(reason), Look::Gone(expected)) if reason == expected => {}
            other => panic!("touched {other:?}"),
        }
    }

    /// A request in flight with its session's number.
    fn any_request(&mut self) -> Option<(usize, Request)> {
        if self.requests.is_empty() {
            return None;
        }
        let position = self.dice.roll(self.requests.len() as u64) as usize;
        let (request, handle) = self.requests[position].clone();
        let number = self.ids.iter().position(|id| *id == handle.id()).expect("known");
        let known = self.model.sessions[number].requests.iter().any(|(known, _, _)| *known == request);
        known.then_some((number, handle))
    }

    fn login(&mut self) {
        let Some((number, request)) = self.any_request() else { return };
        let user = *self.dice.pick(&USERS);
        let login = request.login(user).expect("login");
        let denied = self.model.trade(number, Holder::User(user.to_owned())).err();
        assert_eq!(login.trade_denied.and_then(|error| error.deny_reason()), denied, "trade");
        self.model.sessions[number].user = Some(user.to_owned());
        let token = self.token(login.token);
        self.model.rotate(number, token, GRACE);
    }

    fn logout(&mut self) {
        let Some((number, request)) = self.any_request() else { return };
        let traded = self.model.trade(number, Holder::Itself);
        match (request.logout(false).expect("logout"), traded) {
            (Logout::Done(token), Ok(())) => {
                self.model.sessions[number].user = None;
                let token = self.token(token);
                self.model.rotate(number, token, 0);
            }
            (Logout::Ended(receipt), Err(_)) => {
                assert_eq!(receipt.reason, EndReason::LicenseDenied);
                self.model.end(number, EndReason::LicenseDenied);
            }
            (done, traded) => panic!("{done:?}, the model says {traded:?}"),
        }
    }

    fn retry_trade(&mut self) {
        let Some((number, request)) = self.any_request() else { return };
        let Some(user) = self.model.sessions[number].user.clone() else {
            assert_eq!(request.trade().expect_err("nobody").kind(), ErrorKind::Invalid);
            return;
        };
        let traded = self.model.trade(number, Holder::User(user));
        assert_eq!(request.trade().map_err(|error| error.deny_reason()), traded.map_err(Some));
    }

    fn rotate(&mut self) {
        let Some((number, request)) = self.any_request() else { return };
        let token = request.rotate().expect("rotate");
        let token = self.token(token);
        self.model.rotate(number, token, GRACE);
    }

    fn set_timeouts(&mut self) {
        let Some(number) = self.any() else { return };
        let timeout = 1000 * (1 + self.dice.roll(900));
        let now = self.model.now;
        let live = self.model.sessions[number].is_live();
        if self.dice.roll(3) > 0 {
            let idle = if self.dice.roll(6) == 0 { 0 } else { timeout };
            let set = self.manager.set_idle_timeout(self.ids[number], (idle > 0).then(|| ms(idle)));
            assert_eq!(set, Ok(live));
            if live {
                self.model.sessions[number].idle = idle;
            }
        } else {
            let wanted = self.model.sessions[number].created + timeout;
            let later = wanted > self.model.sessions[number].absolute_at;
            let set = self.manager.set_absolute_timeout(self.ids[number], ms(timeout));
            match set {
                Ok(known) => assert!(known == live && !(live && later)),
                Err(error) => assert!(error.kind() == ErrorKind::Invalid && live && later),
            }
            if live && !later {
                self.model.sessions[number].absolute_at = wanted;
            }
        }
        // What is due by it is due now: ended by whoever looks, here by time that stands.
        if live && self.model.sessions[number].deadline().0 <= now {
            self.clock.advance(Duration::ZERO).expect("advance");
            self.model.advance(0);
        }
    }

    fn end(&mut self) {
        let Some(number) = self.any() else { return };
        let options = EndOptions { reason: EndReason::Revoked, ..EndOptions::default() };
        let ended = self.manager.end(self.ids[number], options).expect("end");
        let session = &self.model.sessions[number];
        match (ended, session.ended) {
            (EndOutcome::Ended(receipt), None) => {
                assert_eq!(receipt.license_free_at_ms.is_some(), session.holder != Holder::Nobody);
                self.model.end(number, EndReason::Revoked);
            }
            (EndOutcome::Gone(receipt), Some((at, reason))) => {
                assert_eq!((receipt.at_ms, receipt.reason), (at, reason))
            }
            (EndOutcome::Absent, Some((at, _))) => assert!(self.model.now >= at + 600_000),
            other => panic!("{other:?}"),
        }
    }

    fn ask_end(&mut self) {
        let Some((number, request)) = self.any_request() else { return };
        let end = self.dice.roll(4) > 0;
        request.request_end(end).expect("request_end");
        self.model.sessions[number].end_requested = end;
    }

    fn change_classes(&mut self) {
        let Some((number, request)) = self.any_request() else { return };
        let classes = &mut self.model.sessions[number].classes;
        let name = *self.dice.pick(&["sure", "shaky"]);
        let position = classes.iter().position(|known| *known == name);
        if self.dice.roll(2) == 0 {
            assert_eq!(request.event_class_remove(Some(name), None), Ok(position.is_some()));
            position.map(|position| classes.remove(position));
        } else {
            request.event_class_add(name, None).expect("add");
            position.map(|position| classes.remove(position));
            classes.insert(0, name);
        }
    }

    fn advance(&mut self) {
        let by = match self.dice.roll(20) {
            0 => self.dice.roll(4_000_000),
            1..=3 => self.dice.roll(400_000),
            4..=8 => self.dice.roll(40_000),
            9 => 0,
            // To the very instant of the next deadline, or one before it.
            _ => {
                let next = self.model.live().map(|(_, session)| session.deadline().0).min().unwrap_or(NEVER);
                let left = next.saturating_sub(self.model.now);
                if left > 10_000_000 { 1 } else { left.saturating_sub(self.dice.roll(2)) }
            }
        };
        self.clock.advance(ms(by)).expect("advance");
        self.model.advance(by);
    }

    fn step(&mut self) -> &'static str {
        let (name, step): (&str, fn(&mut Self)) = match self.dice.roll(24) {
            0..=4 => ("create", Self::create),
            5..=7 => ("begin", Self::begin),
            8..=9 => ("finish", Self::finish),
            10..=11 => ("touch", Self::touch),
            12..=14 => ("login", Self::login),
            15 => ("logout", Self::logout),
            16 => ("trade", Self::retry_trade),
            17 => ("rotate", Self::rotate),
            18 => ("set timeouts", Self::set_timeouts),
            19 => ("end", Self::end),
            20 => ("request_end", Self::ask_end),
            21 => ("change classes", Self::change_classes),
            _ => ("advance", Self::advance),
        };
        step(self);
        name
    }

    /// I1, I2, I4, I5, I6, I7 and I8, after every step.
    fn check(&mut self) {
        assert_eq!(self.manager.count(), Ok(self.model.live().count() as u64), "I6: live sessions");
        assert_eq!(self.manager.check(), Ok(Vec::new()), "check");
        for pool in 0..RULES.len() {
            let name = format!("pool{pool}");
            let usage = self.manager.usage(&name).expect("usage");
            let (users, own) = self.model.holders(pool);
            assert_eq!(usage.in_use, self.model.in_use(pool), "I1, I5: {name} {:?}", usage.holders);
            assert!(usage.in_use <= usage.capacity, "I1: {name}");
            let seen = usage.holders.iter().filter(|holder| holder.kind == "user");
            let seen: Vec<_> =
                seen.map(|holder| (holder.holder.to_string(), (holder.connections, holder.units))).collect();
            assert_eq!(seen, users.into_iter().collect::<Vec<_>>(), "I2: {name}");
            assert_eq!(
                usage.holders.iter().filter(|holder| holder.kind == "session").count() as u64,
                own,
                "I2: {name}"
            );
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
    fn check_deliveries(&mut self) {
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

fn play(seed: u64, steps: usize) {
    let mut play = Play::new(seed);
    let mut history = Vec::new();
    let played = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        for _ in 0..steps {
            history.push((play.model.now, play.step()));
            play.check();
        }
        play.check_deliveries();
    }));
    if let Err(payload) = played {
        let last: Vec<_> = history.iter().rev().take(12).rev().collect();
        eprintln!("LSES_SEED={seed}: after {} steps, the last of them {last:?}", history.len());
        std::panic::resume_unwind(payload);
    }
}

#[test]
fn random_histories_keep_every_invariant() {
    if let Some(seed) = std::env::var("LSES_SEED").ok().and_then(|seed| seed.parse().ok()) {
        return play(seed, 2000);
    }
    let torture = std::env::var_os("LSES_TORTURE").is_some();
    let (histories, steps) = if torture { (2000, 2000) } else { (60, 300) };
    let base =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_nanos() as u64;
    for history in 0..histories {
        // Half of the histories are always the same; the others are new in each run.
        let seed = if history % 2 == 0 { history } else { base.wrapping_add(history) };
        play(seed, steps);
    }
}
