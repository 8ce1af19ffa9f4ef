//! Units are set aside for who waits, and fetched.

use std::sync::mpsc;

use super::*;

/// Those who wait in this process.
pub struct Line(mpsc::Receiver<(usize, Created)>);

impl Line {
    pub fn of(stage: &Stage, count: usize) -> Self {
        let (told, hear) = mpsc::channel();
        for number in 0..count {
            let told = told.clone();
            let options = CreateOptions {
                queue: QueueOptions::wait(BOUND),
                license_class: Some(LicenseClass::Named),
                ..CreateOptions::new("shop")
            };
            let then = move |made: Result<Created>| {
                // Nobody listens any more if the test has failed.
                let _heard = told.send((number, made.expect("a session")));
            };
            stage.manager.create_async(options, Box::new(then));
        }
        Self(hear)
    }

    /// Who is served next, and when. On a machine so busy that what was set aside for the first lapsed, it was too late.
    pub fn next(&self, number: usize) -> (SessionId, Instant) {
        let (served, made) = self.0.recv_timeout(BOUND).expect("the next is served");
        let late = if served == number { Duration::ZERO } else { BOUND };
        (made.id, Instant::now() + late)
    }

    /// Who was served, if somebody was.
    pub fn served(&self) -> Option<SessionId> {
        self.0.try_recv().ok().map(|(_, made)| made.id)
    }

    pub fn nobody(&self) {
        assert!(self.served().is_none(), "somebody was served too much");
    }
}

/// A unit that others wait for comes free.
struct Release;

impl Step for Release {
    type With = (SessionId, Line);
    const NAME: &str = "a unit set aside";

    fn begin(&self, stage: &Stage, _: &mut Process) -> ((SessionId, Line), String) {
        let holder = stage.create().id;
        ((holder, Line::of(stage, 2)), format!("end {holder}"))
    }

    fn settle(&self, stage: &Stage, (holder, line): Self::With, _: &mut Process, answer: Option<&str>) -> Instant {
        match stage.manager.end(holder, EndOptions::default()).expect("an end") {
            EndOutcome::Ended(_) => assert_eq!(answer, None),
            other => assert!(matches!(other, EndOutcome::Gone(_)), "{other:?}"),
        }
        let (first, well) = line.next(0);
        line.nobody();
        stage.exact(1);
        stage.end(first);
        stage.end(line.next(1).0);
        well
    }
}

#[test]
fn a_unit_that_is_set_aside_by_who_dies_is_fetched() {
    kill_everywhere(&Stage::new(1, 1, |shop| shop), &Release);
}

/// A unit is fetched by one who waited for it.
struct Claim;

/// Who waits behind the one that dies.
struct Behind {
    holder: SessionId,
    line: Option<Line>,
    /// The session that the dead one was to get.
    theirs: Option<SessionId>,
}

impl Step for Claim {
    type With = Behind;
    const NAME: &str = "a place in the queue, and its unit";

    fn begin(&self, stage: &Stage, _: &mut Process) -> (Behind, String) {
        let behind = Behind { holder: stage.create().id, line: None, theirs: None };
        (behind, format!("wait {}", BOUND.as_millis()))
    }

    fn during(&self, stage: &Stage, behind: &mut Behind, victim: &mut Process) {
        wait_until("it waits, or is dead", || victim.has_left() || stage.usage().waiting == 1);
        behind.theirs = stage.queue().first().map(|first| first.session_id);
        behind.line = Some(Line::of(stage, 1));
        stage.end(behind.holder);
    }

    fn settle(&self, stage: &Stage, behind: Behind, _: &mut Process, answer: Option<&str>) -> Instant {
        let Behind { line: Some(line), theirs, .. } = behind else { panic!("nobody waits") };
        let made = answer.map(|answer| SessionId::parse(answer.split(' ').nth(1).expect("an id")).expect("an id"));
        assert!(made.is_none() || made == theirs, "{answer:?} {theirs:?}");
        if let Some(made) = made {
            line.nobody();
            assert_eq!(stage.ids(), [made]);
        }
        let mut served = None;
        wait_until("the dead one was served, or the next is", || {
            served = line.served();
            // What it got before it died lives on.
            if let Some(theirs) = theirs {
                stage.manager.end(theirs, EndOptions::default()).expect("an end");
            }
            served.is_some()
        });
        let well = Instant::now();
        stage.exact(1);
        stage.end_all();
        well
    }
}

#[test]
fn the_place_and_the_unit_of_who_dies_go_to_the_next() {
    kill_everywhere(&Stage::new(1, 1, |shop| shop), &Claim);
}

#[test]
fn a_unit_set_aside_for_who_dies_before_it_is_fetched_goes_to_the_next() {
    let stage = Stage::new(1, 1, |shop| shop);
    in_time(SECOND, "units set aside for a killed process are fetched by the next", || {
        let holder = stage.create().id;
        let mut victim = Process::clerk(&stage.shop);
        victim.tell(&format!("wait {}", BOUND.as_millis()));
        wait_until("it waits", || stage.usage().waiting == 1);
        let line = Line::of(&stage, 1);
        victim.freeze();
        stage.end(holder);
        assert!(stage.queue()[0].offered);
        stage.exact(1);
        victim.kill();
        let killed = Instant::now();
        line.next(0);
        let took = killed.elapsed();
        stage.exact(1);
        stage.end_all();
        took
    });
}

#[test]
fn what_a_killed_leader_held_in_the_queue_and_elsewhere_is_free() {
    let mut stage = Stage::new(1, 1, |shop| shop);
    in_time(SECOND, "the place and the request of a killed leader are free", || {
        stage.close();
        let mut leader = Process::clerk(&stage.shop);
        let made = leader.ok("create");
        leader.ok("reap");
        assert_eq!(leader.ask(&format!("begin r {} 1000", made[1])), "ok");
        stage.open();
        leader.tell(&format!("wait {}", BOUND.as_millis()));
        wait_until("it waits", || stage.usage().waiting == 1);
        let line = Line::of(&stage, 1);
        leader.kill();
        let killed = Instant::now();
        wait_until("its place and its request are free", || {
            stage.queue().len() == 1 && stage.manager.stats().expect("stats").in_flight == 0
        });
        let took = killed.elapsed();
        stage.exact(1);
        stage.end(SessionId::parse(&made[0]).expect("an id"));
        line.next(0);
        stage.end_all();
        stage.exact(0);
        took
    });
}
