//! A full pool refuses many times, which is written now and then.

use super::*;

/// More than are written at once, twice.
const MANY: u64 = 600;

/// What is refused: creations, or something of a session that is there.
struct Denials(&'static str);

impl Denials {
    fn are_logged(&self) -> bool {
        self.0.is_empty()
    }
}

impl Step for Denials {
    /// How many there were before.
    type With = u64;
    const NAME: &str = "refusals of a full pool";

    fn begin(&self, stage: &Stage, victim: &mut Process) -> (u64, String) {
        let mut line = "refused".to_owned();
        let holder = stage.create();
        if !self.are_logged() {
            stage.log_in(&holder, "bob");
            let token = stage.create().token.reveal();
            stage.request(&token).finish().expect("a request");
            line = format!("denied {} {token}", self.0);
        }
        // From the second on it knows that the pool is full.
        assert_eq!(victim.ask(&format!("{line} 2")), "ok");
        (stage.usage().denials, format!("{line} {MANY} aloud"))
    }

    fn during(&self, stage: &Stage, _: &mut u64, _: &mut Process) {
        for _ in 0..5 {
            stage.follow();
        }
    }

    fn settle(&self, stage: &Stage, before: u64, victim: &mut Process, answer: Option<&str>) -> Instant {
        let denials = stage.usage().denials - before;
        let well = Instant::now();
        let told = victim.last_words().len() as u64;
        // What it said is so; one more may have been noted and not said any more.
        assert!(told <= denials && denials <= told + 1, "{told} refusals were told, {denials} are in the books");
        assert!(answer.is_none() || denials == MANY, "{denials}");
        let total = before + denials;
        let records = stage.manager.audit_records("users", 0, usize::MAX).expect("accounts");
        let kept = records.iter().filter(|record| record.kind == AuditKind::Denial).count() as u64;
        let log = stage.manager.lifecycle(0, usize::MAX).expect("the log");
        let logged = log.iter().filter(|entry| entry.what == "refused").count() as u64;
        let in_log = if self.are_logged() { total } else { 0 };
        assert_eq!((kept, logged, stage.usage().denials), (total, in_log, total));
        stage.exact(1);
        stage.end_all();
        well
    }
}

#[test]
fn a_refusal_that_was_told_is_in_the_accounts_once() {
    let keep = r#"{"audit_records": 1000000}"#;
    kill_everywhere(&Stage::new(1, 1, |shop| Shop { pool: keep.into(), ..shop }), &Denials(""));
}

fn refuses(what: &'static str, lazy: &str) {
    let keep = r#"{"audit_records": 1000000}"#;
    kill_everywhere(&Stage::new(1, 1, |shop| Shop { pool: keep.into(), lazy: lazy.into(), ..shop }), &Denials(what));
}

#[test]
fn a_login_that_was_refused_is_in_the_accounts_once() {
    refuses("login", "login");
}

#[test]
fn a_feature_that_was_refused_is_in_the_accounts_once() {
    refuses("take", "login");
}

#[test]
fn a_second_request_that_was_refused_is_in_the_accounts_once() {
    refuses("request", "second_request");
}

#[test]
fn a_first_write_that_was_refused_is_in_the_accounts_once() {
    refuses("write", "first_write");
}
