//! A session is made, and another has to go for it.

use super::*;

/// A session is made, and another has to go for it.
struct Eviction {
    /// Whether the process that dies made the one that goes, and hears its callbacks itself.
    own: bool,
}

impl Step for Eviction {
    type With = SessionId;
    const NAME: &str = "an eviction";

    fn begin(&self, stage: &Stage, victim: &mut Process) -> (SessionId, String) {
        let goes = if self.own {
            assert_eq!(victim.ask("register audit"), "ok");
            SessionId::parse(&victim.ok("create")[0]).expect("an id")
        } else {
            stage.create().id
        };
        (goes, "create".into())
    }

    fn settle(&self, stage: &Stage, goes: SessionId, victim: &mut Process, answer: Option<&str>) -> Instant {
        let told: Vec<String> =
            victim.last_words().into_iter().filter(|line| line.contains(&goes.to_string())).collect();
        stage.exact(1);
        let sessions = stage.ids();
        assert_eq!(sessions.len(), 1);
        if sessions == [goes] {
            assert!(answer.is_none() && told.is_empty() && stage.heard(goes).is_empty(), "{answer:?} {told:?}");
            stage.create();
        }
        gone_and_told(stage, goes, &told)
    }
}

/// A session was evicted: that is told, by the dead one (`told`) or here; tells when it was.
fn gone_and_told(stage: &Stage, goes: SessionId, told: &[String]) -> Instant {
    match stage.manager.end(goes, EndOptions::default()).expect("an end") {
        EndOutcome::Gone(receipt) => assert_eq!(receipt.reason, EndReason::Evicted),
        other => panic!("{other:?}"),
    }
    wait_until("its end is told", || !told.is_empty() || !stage.heard(goes).is_empty());
    let well = Instant::now();
    stage.end_all();
    assert!(stage.manager.drain(BOUND).expect("drain"));
    // What was told to the one that died may be told again, as the same event.
    let heard = stage.heard(goes);
    assert!(heard.len() <= 1 && told.len() <= 1, "{told:?} {heard:?}");
    assert!(heard.iter().all(|heard| heard.reason == Some(EndReason::Evicted)), "{heard:?}");
    if let ([told], [heard]) = (told, &heard[..]) {
        assert!(told.contains(&format!(" {} evicted ", heard.event)), "{told} {heard:?}");
    }
    well
}

fn evicting() -> Stage {
    Stage::new(1, 1, |shop| Shop { class: "audit".into(), pool: r#"{"evict": "any"}"#.into(), ..shop })
}

#[test]
fn an_eviction_is_done_and_told_or_not_begun() {
    kill_everywhere(&evicting(), &Eviction { own: false });
}

#[test]
fn an_eviction_by_who_hears_of_it_is_done_and_told_or_not_begun() {
    kill_everywhere(&evicting(), &Eviction { own: true });
}

/// A user's older session goes for one more, in one step with the login.
struct OneMore;

impl Step for OneMore {
    type With = (SessionId, Created);
    const NAME: &str = "an eviction by a login";

    fn begin(&self, stage: &Stage, _: &mut Process) -> (Self::With, String) {
        let goes = stage.create();
        stage.log_in(&goes, "ada");
        let comes = stage.create();
        let line = format!("login {} ada", comes.token.reveal());
        ((goes.id, comes), line)
    }

    fn settle(&self, stage: &Stage, (goes, comes): Self::With, _: &mut Process, answer: Option<&str>) -> Instant {
        let sessions = stage.ids();
        stage.exact(sessions.len() as u64);
        if sessions.contains(&goes) {
            assert!(answer.is_none() && stage.heard(goes).is_empty(), "{answer:?}");
            assert_eq!(sessions.len(), 2);
            stage.log_in(&comes, "ada");
        }
        assert_eq!(stage.ids(), [comes.id]);
        stage.exact(1);
        gone_and_told(stage, goes, &[])
    }
}

#[test]
fn a_session_evicted_by_a_login_of_its_user_goes_with_the_login_or_stays() {
    let options = r#"{"max_sessions_per_holder": 1, "at_session_limit": "evict_oldest"}"#;
    let stage = Stage::new(2, 2, |shop| Shop { class: "audit".into(), pool: options.into(), ..shop });
    kill_everywhere(&stage, &OneMore);
}
