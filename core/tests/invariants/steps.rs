//! The steps of a history: each is done to the manager and to the model, and both must say the same.

use std::time::Duration;

use libsession_core::*;

use super::model::{self, GRACE, Holder, Look, NEVER};
use super::play::{FREE, Play, RULES, USERS, ms};

impl Play {
    fn create(&mut self) {
        let application = self.dice.roll(FREE as u64 + 1) as usize;
        let class = match self.dice.roll(4) {
            0 if application < FREE => Some(LicenseClass::Anonymous),
            1 if application < FREE => Some(LicenseClass::Lazy),
            _ => None,
        };
        let anonymous = class == Some(LicenseClass::Anonymous);
        let lazy = class.filter(|class| *class == LicenseClass::Lazy).map(|_| self.model.lazy_until[application]);
        let clients = [None, Some((0, "10.0.0.1")), Some((1, "2001:db8::1")), Some((1, "[2001:db8::2]:80"))];
        let (client, address) = self.dice.pick(&clients).unzip();
        let own_idle = self.dice.roll(3) > 0;
        let idle = if self.dice.roll(8) == 0 { 0 } else { 1000 * (1 + self.dice.roll(600)) };
        let absolute = if self.dice.roll(2) == 0 { NEVER } else { 1000 * (1 + self.dice.roll(2000)) };
        let begin = self.dice.roll(3) == 0;
        let options = CreateOptions {
            application: Some(format!("app{application}")),
            license_class: class,
            client: Client { address: address.map(str::to_owned), ..Client::default() },
            idle_timeout: own_idle.then(|| (idle > 0).then(|| ms(idle))),
            absolute_timeout: (absolute < NEVER).then(|| ms(absolute)),
            ..CreateOptions::default()
        };
        let pool = (application < FREE).then_some(application);
        let room = self.model.has_room(application);
        let idle = match (own_idle, anonymous) {
            (true, _) => idle,
            (false, true) => model::ANONYMOUS_IDLE,
            (false, false) => model::IDLE,
        };
        let admitted = match pool.filter(|_| lazy.is_none()) {
            Some(pool) if anonymous => self.model.admit_client(pool, client).and_then(|()| {
                let itself = Holder::Itself;
                self.model.admit(pool, &itself, true, 1)
            }),
            Some(pool) => self.model.admit(pool, &Holder::Itself, false, 1),
            None => Ok(()),
        };
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
            lazy,
            client,
            brief: anonymous && !own_idle,
            user: None,
            holder: if pool.is_some() && lazy.is_none() { Holder::Itself } else { Holder::Nobody },
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
            takes: Vec::new(),
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
    pub fn any(&mut self) -> Option<usize> {
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
        let begun = self.manager.begin(&self.tokens[token], options);
        let session = &self.model.sessions[number];
        let look = match self.model.look(number, token) {
            Look::Live if session.end_requested => Look::Gone(EndReason::Ended),
            look => look,
        };
        let asks = look == Look::Live && session.had_request;
        let licensed = if asks { self.model.license(number, LazyUntil::SecondRequest) } else { Ok(()) };
        let begun = match (begun, licensed) {
            (Ok(begun), Ok(())) => begun,
            (Err(error), Err(reason)) if error.deny_reason() == Some(reason) => return,
            (begun, licensed) => panic!("began {begun:?}, the model says {licensed:?}"),
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
            let licensed = if write { self.model.license(number, LazyUntil::FirstWrite) } else { Ok(()) };
            assert_eq!(finished.map_err(|error| error.deny_reason()), licensed.map_err(Some), "finish");
            let session = &mut self.model.sessions[number];
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
        let lazy = self.model.sessions[number].lazy.is_some();
        let login = request.login(user);
        let denied = self.model.trade(number, Holder::User(user.to_owned())).err();
        let login = match login {
            // Nobody works unlicensed.
            Err(error) if lazy => return assert_eq!(error.deny_reason(), denied, "a login without a unit"),
            login => login.expect("login"),
        };
        assert!(!lazy || denied.is_none(), "a login without a unit");
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
                let session = &mut self.model.sessions[number];
                (session.idle, session.brief) = (idle, false);
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
                let held = session.holder != Holder::Nobody || !session.takes.is_empty();
                assert_eq!(receipt.license_free_at_ms.is_some(), held);
                self.model.end(number, EndReason::Revoked);
            }
            (EndOutcome::Gone(receipt), Some((at, reason))) => {
                assert_eq!((receipt.at_ms, receipt.reason), (at, reason))
            }
            (EndOutcome::Absent, Some((at, _))) => assert!(self.model.now >= at + 600_000),
            other => panic!("{other:?}"),
        }
    }

    fn take(&mut self) {
        let Some((number, request)) = self.any_request() else { return };
        let (pool, count) = (self.dice.roll(RULES.len() as u64) as usize, 1 + self.dice.roll(3));
        let options = FeatureOptions { count, ..FeatureOptions::default() };
        let taken = request.take_feature(&format!("pool{pool}"), options);
        let expected = self.model.take(number, pool, count);
        assert_eq!(taken.map_err(|error| error.deny_reason()), expected.map_err(Some), "take {count} of pool{pool}");
    }

    fn give_back(&mut self) {
        let Some((number, request)) = self.any_request() else { return };
        let (pool, count) = (self.dice.roll(RULES.len() as u64) as usize, 1 + self.dice.roll(4));
        let returned = self.model.give_back(number, pool, count);
        assert_eq!(request.return_feature(&format!("pool{pool}"), count), Ok(returned));
        let features = request.features().expect("features").into_iter();
        let features: Vec<_> = features.map(|taken| (taken.pool.to_string(), taken.count)).collect();
        let takes = self.model.sessions[number].takes.iter();
        assert_eq!(features, takes.map(|(pool, _, count)| (format!("pool{pool}"), *count)).collect::<Vec<_>>());
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

    /// Does one step, whatever comes; tells which.
    pub fn step(&mut self) -> &'static str {
        let (name, step): (&str, fn(&mut Self)) = match self.dice.roll(27) {
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
            22..=23 => ("take", Self::take),
            24 => ("give back", Self::give_back),
            _ => ("advance", Self::advance),
        };
        step(self);
        name
    }
}
