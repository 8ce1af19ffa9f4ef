//! A full pool refuses many times, which is written now and then.

use super::*;

/// More than are written at once, twice.
const MANY: u64 = 600;

struct Denials;

impl Step for Denials {
    /// How many there were before.
    type With = u64;
    const NAME: &str = "refusals of a full pool";

    fn begin(&self, stage: &Stage, victim: &mut Process) -> (u64, String) {
        stage.create();
        // From the second on it knows that the pool is full.
        assert_eq!(victim.ask("refused 2"), "ok");
        (stage.usage().denials, format!("refused {MANY} aloud"))
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
        assert_eq!((kept, logged, stage.usage().denials), (total, total, total));
        stage.exact(1);
        stage.end_all();
        well
    }
}

#[test]
fn a_refusal_that_was_told_is_in_the_accounts_once() {
    let keep = r#"{"audit_records": 1000000}"#;
    kill_everywhere(&Stage::new(1, 1, |shop| Shop { pool: keep.into(), ..shop }), &Denials);
}
