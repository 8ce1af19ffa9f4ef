//! A lazy session takes its unit.

use super::line::Line;
use super::*;

/// A lazy session takes its unit at this.
struct Taking {
    line: fn(&str) -> String,
    work: fn(&Request),
    /// Requests that it has behind it.
    before: usize,
}

impl Step for Taking {
    type With = String;
    const NAME: &str = "the unit of a lazy session";

    fn begin(&self, stage: &Stage, _: &mut Process) -> (String, String) {
        let token = stage.create().token.reveal();
        (0..self.before).for_each(|_| stage.request(&token).finish().expect("a request"));
        stage.exact(0);
        let line = (self.line)(&token);
        (token, line)
    }

    fn settle(&self, stage: &Stage, token: String, _: &mut Process, answer: Option<&str>) -> Instant {
        let in_use = stage.usage().in_use;
        stage.exact(in_use);
        assert!(in_use == 1 || answer.is_none());
        // It lives, its lock is free, and the same again costs nothing more.
        (self.work)(&stage.request(&token));
        let well = Instant::now();
        stage.exact(1);
        assert_eq!(stage.usage().holders.len(), 1);
        stage.end_all();
        well
    }
}

fn finish(request: &Request) {
    request.finish().expect("a request");
}

fn kill_at(until: &str, step: &Taking) {
    kill_everywhere(&Stage::new(1, 1, |shop| Shop { lazy: until.into(), ..shop }), step);
}

#[test]
fn a_unit_taken_at_a_login_is_taken_once() {
    kill_at("login", &Taking { line: |token| format!("login {token} ada"), work: login, before: 0 });
}

#[test]
fn a_unit_taken_at_a_second_request_is_taken_once() {
    kill_at("second_request", &Taking { line: |token| format!("request {token}"), work: finish, before: 1 });
}

#[test]
fn a_unit_taken_at_a_first_write_is_taken_once() {
    let write = |request: &Request| {
        request.set(&path("n"), Value::Int(1)).expect("a write");
        finish(request);
    };
    kill_at("first_write", &Taking { line: |token| format!("set {token} n 1"), work: write, before: 0 });
}

/// A lazy session waits for its unit in a login, with its lock held.
struct Waiting;

/// Who waits behind it.
struct Behind {
    holder: SessionId,
    waits: SessionId,
    token: String,
    line: Option<Line>,
}

impl Step for Waiting {
    type With = Behind;
    const NAME: &str = "a login that waits for its unit";

    fn begin(&self, stage: &Stage, _: &mut Process) -> (Behind, String) {
        let holder = stage.create();
        stage.log_in(&holder, "bob");
        let waits = stage.create();
        let token = waits.token.reveal();
        let line = format!("login {token} ada {}", BOUND.as_millis());
        (Behind { holder: holder.id, waits: waits.id, token, line: None }, line)
    }

    fn during(&self, stage: &Stage, behind: &mut Behind, victim: &mut Process) {
        wait_until("it waits, or is dead", || victim.has_left() || stage.usage().waiting == 1);
        behind.line = Some(Line::of(stage, 1));
        stage.end(behind.holder);
    }

    fn settle(&self, stage: &Stage, behind: Behind, _: &mut Process, answer: Option<&str>) -> Instant {
        let Behind { waits, token, line: Some(line), .. } = behind else { panic!("nobody waits") };
        let has_unit = || stage.usage().holders.iter().any(|holder| &*holder.holder == "ada");
        assert!(answer.is_none() || has_unit(), "{answer:?}");
        let (mut had, mut served) = (false, None);
        wait_until("the next is served, or the dead one was", || {
            served = line.served();
            // What was taken before it died is the session's, which lives on.
            if !had && has_unit() {
                stage.end(waits);
                had = true;
            }
            served.is_some()
        });
        if !had {
            // Its lock is free.
            finish(&stage.request(&token));
        }
        let well = Instant::now();
        stage.exact(1);
        stage.end_all();
        well
    }
}

#[test]
fn a_login_that_waits_for_its_unit_has_it_or_leaves_it_to_the_next() {
    kill_everywhere(&Stage::new(1, 1, |shop| Shop { lazy: "login".into(), ..shop }), &Waiting);
}
