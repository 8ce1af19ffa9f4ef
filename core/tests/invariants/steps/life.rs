//! Sessions begin, are used, and end.

use std::time::Duration;

use libsession_core::*;

use crate::model::{self, Holder, Look, NEVER, TOMBSTONE, Wish};
use crate::play::{FREE, Got, Play, denied, ms};

impl Play {
    pub(super) fn create(&mut self) {
        let application = self.dice.roll(FREE as u64 + 1) as usize;
        let class = match self.dice.roll(4) {
            0 if application < FREE => Some(LicenseClass::Anonymous),
            1 if application < FREE => Some(LicenseClass::Lazy),
            _ => None,
        };
        let anonymous = class == Some(LicenseClass::Anonymous);
        let lazy = class.filter(|class| *class == LicenseClass::Lazy).map(|_| self.model.lazy_until[application]);
        let clients = [
            None,
            Some((0, "10.0.0.1", "10.0.0.1")),
            Some((1, "2001:db8::1", "2001:db8::/64")),
            Some((1, "[2001:db8::2]:80", "2001:db8::/64")),
        ];
        let place = self.dice.pick(&clients);
        let (client, address) = place.map(|(client, address, _)| (client, address)).unzip();
        let own_idle = self.dice.roll(3) > 0;
        let idle = if self.dice.one_in(8) { 0 } else { 1000 * (1 + self.dice.roll(600)) };
        let absolute = if self.dice.one_in(2) { NEVER } else { 1000 * (1 + self.dice.roll(2000)) };
        let begin = self.dice.one_in(3);
        let (wait, priority) = self.patience();
        let wait = if begin { 0 } else { wait };
        let ticket = Ticket::new();
        let options = CreateOptions {
            application: Some(format!("app{application}")),
            license_class: class,
            client: Client { address: address.map(str::to_owned), ..Client::default() },
            idle_timeout: own_idle.then(|| (idle > 0).then(|| ms(idle))),
            absolute_timeout: (absolute < NEVER).then(|| ms(absolute)),
            queue: QueueOptions { wait: ms(wait), priority, ticket: Some(ticket.clone()) },
            ..CreateOptions::default()
        };
        self.say(format!(
            "create app{application} {class:?} address {address:?} idle {own_idle} {idle} absolute {absolute} begin {begin} \
             wait {wait} priority {priority}"
        ));
        let pool = (application < FREE).then_some(application);
        let bounded = pool.is_some_and(|pool| self.model.pools[pool].rules.anonymous_per_client.is_some());
        self.last_request += 1;
        self.serial += 1;
        let session = model::Session {
            serial: self.serial,
            id: String::new(),
            application,
            pool,
            anonymous,
            lazily: lazy.is_some(),
            lazy,
            place: place.map(|(_, _, place)| place.to_owned()),
            client: client.filter(|_| anonymous && bounded),
            brief: anonymous && !own_idle,
            user: None,
            holder: Holder::Nobody,
            licensed: 0,
            idle: match (own_idle, anonymous) {
                (true, _) => idle,
                (false, true) => model::ANONYMOUS_IDLE,
                (false, false) => model::IDLE,
            },
            created: 0,
            absolute_at: absolute,
            last_used: 0,
            requests: if begin { vec![(self.last_request, 0, true)] } else { Vec::new() },
            end_requested: false,
            had_request: begin,
            ended: None,
            token: 0,
            replaced: Vec::new(),
            classes: vec!["sure", "shaky"],
            takes: Vec::new(),
        };
        let wish = Wish::Create(Box::new(session));
        if begin {
            let made = self.manager.begin_new(options, BeginOptions::default());
            let (call, then) = self.answer(Got::Created);
            if let Ok(request) = &made {
                assert!(request.is_new());
                self.requests.push((self.last_request, request.clone()));
            }
            then(made.map(|request| Created { id: request.id(), token: request.token() }));
            self.expect(call, ticket, wish, wait, priority);
        } else {
            let (call, then) = self.answer(Got::Created);
            self.manager.create_async(options, then);
            self.expect(call, ticket, wish, wait, priority);
        }
    }

    pub(super) fn begin(&mut self) {
        let Some(number) = self.any() else { return };
        let token = self.any_token(number);
        let touch = *self.dice.pick(&[TouchKind::Activity, TouchKind::Activity, TouchKind::Keepalive, TouchKind::None]);
        self.say(format!("begin s{number} {touch}"));
        let options = BeginOptions { touch: Some(touch), ..BeginOptions::default() };
        let begun = self.manager.begin(&self.tokens[&token], options);
        let session = &self.model.sessions[number];
        let look = match self.model.look(number, token) {
            Look::Live if session.end_requested => Look::Gone(EndReason::Ended),
            look => look,
        };
        let asks = look == Look::Live && session.had_request;
        let licensed = if asks { self.model.license(number, LazyUntil::SecondRequest) } else { Ok(()) };
        let begun = match (begun, licensed) {
            (Ok(begun), Ok(())) => begun,
            (Err(error), Err(denial)) if denied(&error) == Some(denial) => return,
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

    pub(super) fn touch(&mut self) {
        let Some(number) = self.any() else { return };
        let token = self.any_token(number);
        let kind = *self.dice.pick(&[TouchKind::Activity, TouchKind::Keepalive, TouchKind::None]);
        self.say(format!("touch s{number} {kind}"));
        let touched = self.manager.touch(&self.tokens[&token], kind).expect("touch");
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

    pub(super) fn set_timeouts(&mut self) {
        let Some(number) = self.any() else { return };
        let timeout = 1000 * (1 + self.dice.roll(900));
        let now = self.model.now;
        let live = self.model.sessions[number].is_live();
        if self.dice.roll(3) > 0 {
            let idle = if self.dice.one_in(6) { 0 } else { timeout };
            self.say(format!("idle timeout s{number} {idle}"));
            let set = self.manager.set_idle_timeout(self.ids[number], (idle > 0).then(|| ms(idle)));
            assert_eq!(set, Ok(live));
            if live {
                let session = &mut self.model.sessions[number];
                (session.idle, session.brief) = (idle, false);
            }
        } else {
            self.say(format!("absolute timeout s{number} {timeout}"));
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

    pub(super) fn end(&mut self) {
        let Some(number) = self.any() else { return };
        self.say(format!("end s{number}"));
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
                assert_eq!((receipt.at_ms, receipt.reason), (at, reason));
            }
            (EndOutcome::Absent, Some((at, _))) => assert!(self.model.now >= at + TOMBSTONE),
            other => panic!("{other:?}"),
        }
    }
}
