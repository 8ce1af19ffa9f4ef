//! What a request does that is no matter of licenses.

use libsession_core::*;

use crate::model::{GRACE, TOMBSTONE};
use crate::play::{Play, denied};

impl Play {
    pub(super) fn finish(&mut self) {
        if self.requests.is_empty() {
            return;
        }
        let position = self.dice.roll(self.requests.len() as u64) as usize;
        let (request, handle) = self.requests.swap_remove(position);
        let number = self.session_of(&handle);
        let now = self.model.now;
        let write = self.dice.one_in(2);
        self.say(format!("finish a request of s{number}, write {write}"));
        let session = &mut self.model.sessions[number];
        let in_flight = session.has_request(request);
        if write {
            let written = handle.set(&[Subscript::from("n")], Value::from(1));
            assert_eq!(written.is_ok(), in_flight, "{written:?}");
        }
        let finished = handle.finish();
        if in_flight {
            let licensed = if write { self.model.license(number, LazyUntil::FirstWrite) } else { Ok(()) };
            assert_eq!(finished.map_err(|error| denied(&error)), licensed.map_err(Some), "finish");
            let session = &mut self.model.sessions[number];
            session.leave(request, now);
            self.model.dismiss_waits(number, Some(request));
            let session = &mut self.model.sessions[number];
            if session.end_requested && session.requests.is_empty() {
                self.model.end(number, EndReason::Ended);
            }
        } else {
            let expected = session.ended.map(|(at, reason)| (now < at + TOMBSTONE, reason));
            match finished.expect_err("it is not in flight").kind() {
                ErrorKind::Gone => {}
                ErrorKind::Absent => assert!(expected.is_some_and(|(stands, _)| !stands)),
                kind => panic!("{kind:?}"),
            }
        }
    }

    pub(super) fn rotate(&mut self) {
        let Some((number, _, request)) = self.any_request() else { return };
        self.say(format!("rotate s{number}"));
        let token = request.rotate().expect("rotate");
        let new = self.model.rotate(number, GRACE);
        self.tokens.insert(new, token.reveal());
    }

    pub(super) fn ask_end(&mut self) {
        let Some((number, _, request)) = self.any_request() else { return };
        let end = self.dice.roll(4) > 0;
        self.say(format!("request_end s{number} {end}"));
        request.request_end(end).expect("request_end");
        self.model.sessions[number].end_requested = end;
    }

    pub(super) fn change_classes(&mut self) {
        let Some((number, _, request)) = self.any_request() else { return };
        let classes = &mut self.model.sessions[number].classes;
        let name = *self.dice.pick(&["sure", "shaky"]);
        let position = classes.iter().position(|known| *known == name);
        if self.dice.one_in(2) {
            assert_eq!(request.event_class_remove(Some(name), None), Ok(position.is_some()));
            position.map(|position| classes.remove(position));
        } else {
            request.event_class_add(name, None).expect("add");
            position.map(|position| classes.remove(position));
            classes.insert(0, name);
        }
    }
}
