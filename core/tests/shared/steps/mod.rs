//! LIC-05, a step at a time: kill -9 anywhere in what moves units from one to another: who lives on finds the units as they were
//! before or as they are after, the accounts without a gap, and within a second nothing that the dead one held.

mod denial;
mod eviction;
mod lazy;
mod line;
mod overdraft;
mod reclaim;
mod resize;
mod trade;

use super::death::SECOND;
use super::faults::shim;
use super::stage::Stage;
use super::*;

/// When the process dies.
#[derive(Clone, Copy, Debug)]
enum When {
    /// At its n-th call that others could see: of files, of file locks, of bells.
    Call(usize),
    /// So many nanoseconds after it began.
    After(u64),
}

/// A step of one process, which is killed in it.
trait Step {
    /// What the others need to know.
    type With;
    const NAME: &str;

    /// Makes it ready; gives back the line that is the step.
    fn begin(&self, stage: &Stage, victim: &mut Process) -> (Self::With, String);

    /// What the others do while it goes on.
    fn during(&self, _: &Stage, _: &mut Self::With, _: &mut Process) {}

    /// Looks at what became of it, given the answer if there was one; waits until everything is as it should be, and tells
    /// when it was. Leaves no session.
    fn settle(&self, stage: &Stage, with: Self::With, victim: &mut Process, answer: Option<&str>) -> Instant;
}

/// Kills a process at every point of the step, one process each.
fn kill_everywhere<S: Step>(stage: &Stage, step: &S) {
    if shim().is_none() {
        return loudly("SKIPPED: killing at every step, as there is no C compiler");
    }
    let mut seed = Seed::new(S::NAME);
    // Once without, which tells the points and how long it takes.
    let (_, took) = once(stage, step, When::Call(0));
    let calls = std::fs::read_to_string(calls(stage)).expect("the calls");
    let calls: Vec<&str> = calls.lines().collect();
    assert!(calls.len() > 4, "{}: {calls:?}", S::NAME);
    let mut points: Vec<usize> = (1..=calls.len()).collect();
    let few = rounds(8, usize::MAX);
    while points.len() > few {
        points.swap_remove(seed.below(points.len()));
    }
    points.sort_unstable();
    let most = u64::try_from(took.as_nanos()).expect("a short time");
    let times: Vec<_> = (0..rounds(3, 200)).map(|_| When::After(seed.number() % most)).collect();
    let (mut kills, mut slowest) = (0, Duration::ZERO);
    for when in points.iter().map(|point| When::Call(*point)).chain(times) {
        let call = if let When::Call(point) = when { calls[point - 1] } else { "" };
        in_time(SECOND, &format!("{}: {when:?} {call}", S::NAME), || {
            let (settled, _) = once(stage, step, when);
            kills += 1;
            slowest = slowest.max(settled);
            settled
        });
    }
    loudly(&format!("{}: {kills} kills, {} of {} calls, slowest {slowest:?}", S::NAME, points.len(), calls.len()));
}

fn calls(stage: &Stage) -> std::path::PathBuf {
    stage.shop.store.with_file_name("calls")
}

/// Kills one process; tells how long after that all was well, and how long the step took.
fn once<S: Step>(stage: &Stage, step: &S, when: When) -> (Duration, Duration) {
    let mut victim = Process::start_with("clerk", &stage.shop, |command| {
        command.env("LD_PRELOAD", shim().expect("a C compiler")).env("LSES_FAULT_ARMED", "1");
        command.env("LSES_FAULT_DIR", &stage.shop.store).env("LSES_FAULT_LOG", calls(stage));
    });
    assert_eq!(victim.ask("open"), "ok");
    let (mut with, line) = step.begin(stage, &mut victim);
    let _none_yet = std::fs::remove_file(calls(stage));
    let arm = match when {
        When::Call(number) => format!("arm call-{number}"),
        When::After(ns) => format!("arm ns-{ns}"),
    };
    // It may be dead before it says that it is armed.
    victim.link.tell(&arm);
    let begun = Instant::now();
    victim.link.tell(&line);
    step.during(stage, &mut with, &mut victim);
    let armed = victim.link.answer();
    let answer = armed.and_then(|_| victim.link.answer());
    let took = begun.elapsed();
    if let Some(answer) = &answer {
        assert!(!answer.starts_with("error"), "{} {when:?}: {answer}", S::NAME);
    }
    if matches!(when, When::Call(0)) {
        assert!(answer.is_some(), "{}: it died by itself", S::NAME);
        assert_eq!(victim.ask("arm never"), "ok");
    }
    victim.kill();
    let killed = Instant::now();
    let settled = step.settle(stage, with, &mut victim, answer.as_deref());
    stage.exact(stage.usage().in_use);
    assert_eq!(stage.ids(), []);
    (settled.saturating_duration_since(killed), took)
}

fn login(request: &Request) {
    request.login("ada").expect("a login");
    request.finish().expect("a request");
}
