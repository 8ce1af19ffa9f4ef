//! A unit that lingers is taken for somebody else.

use super::*;

/// A unit that lingers is taken for somebody else.
struct Reclaim;

impl Step for Reclaim {
    type With = ();
    const NAME: &str = "a unit reclaimed";

    fn begin(&self, stage: &Stage, _: &mut Process) -> ((), String) {
        let created = stage.create();
        login(&stage.request(&created.token.reveal()));
        stage.end(created.id);
        assert_eq!((stage.usage().lingering, stage.usage().in_use), (1, 1));
        ((), "create".into())
    }

    fn settle(&self, stage: &Stage, (): (), _: &mut Process, answer: Option<&str>) -> Instant {
        stage.exact(1);
        let lingering = stage.usage().lingering;
        assert_eq!(stage.ids().len() as u64, 1 - lingering);
        if lingering == 1 {
            assert_eq!(answer, None);
            stage.create();
        }
        let well = Instant::now();
        stage.exact(1);
        stage.end_all();
        stage.exact(0);
        well
    }
}

#[test]
fn a_unit_that_lingers_is_taken_by_another_or_lingers_on() {
    let options = r#"{"linger_ms": 3600000}"#;
    kill_everywhere(&Stage::new(1, 1, |shop| Shop { pool: options.into(), ..shop }), &Reclaim);
}
