//! A lazy session takes its unit.

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
