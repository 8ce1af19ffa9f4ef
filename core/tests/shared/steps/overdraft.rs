//! A unit is given beyond the capacity.

use super::*;

struct Overdraft;

impl Step for Overdraft {
    type With = ();
    const NAME: &str = "a unit beyond the capacity";

    fn begin(&self, stage: &Stage, _: &mut Process) -> ((), String) {
        stage.create();
        ((), "create".into())
    }

    fn settle(&self, stage: &Stage, (): (), _: &mut Process, answer: Option<&str>) -> Instant {
        let sessions = stage.ids().len() as u64;
        assert!(sessions == 2 || (sessions == 1 && answer.is_none()), "{sessions}");
        if sessions == 1 {
            stage.create();
        }
        let well = Instant::now();
        stage.exact(2);
        assert_eq!(stage.usage().overdrawn, 1);
        let refused = stage.manager.create(CreateOptions::new("shop")).expect_err("no more");
        assert_eq!(refused.deny_reason(), Some(DenyReason::PoolExhausted));
        stage.end_all();
        well
    }
}

#[test]
fn a_unit_beyond_the_capacity_is_given_once_or_not() {
    kill_everywhere(&Stage::new(1, 2, |shop| Shop { pool: r#"{"overdraft": 1}"#.into(), ..shop }), &Overdraft);
}
