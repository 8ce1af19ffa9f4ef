//! How many schedules are played, and which.

use std::time::Instant;

use shuttle::Runner;
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};

use super::bounded::Bounded;

/// Changes of thread that matter to the schedules with few of them.
const DEPTH: usize = 4;

pub fn is_torture() -> bool {
    std::env::var("LSES_TORTURE").is_ok_and(|torture| torture == "1")
}

/// Plays a story in a number of schedules by dice, in a third as many with few changes of thread, and in all in which a thread
/// is held up `all` times at most.
pub fn play(name: &str, all: usize, story: impl Fn() + Clone + Send + Sync + 'static) {
    by_chance(name, story.clone());
    let all = if is_torture() { 2.min(all + 1) } else { all };
    let begun = Instant::now();
    let bounded = run(Bounded::new(all), story);
    println!("{name}: all {bounded} with {all} in {:.1?}", begun.elapsed());
}

/// The first two of them: of a story that goes one way or the other with the same schedule.
pub fn by_chance(name: &str, story: impl Fn() + Clone + Send + Sync + 'static) {
    let dice = if is_torture() { 40_000 } else { 4_000 };
    let begun = Instant::now();
    let thrown = run(RandomScheduler::new_from_seed(1, dice), story.clone());
    let few = run(PctScheduler::new_from_seed(1, DEPTH, dice / 3), story);
    println!("{name}: {} by chance in {:.1?}", thrown + few, begun.elapsed());
}

/// Plays the schedules of one scheduler; tells how many there were.
pub fn run(scheduler: impl Scheduler + 'static, story: impl Fn() + Send + Sync + 'static) -> usize {
    let mut config = shuttle::Config::new();
    config.stack_size = 1 << 18;
    config.silence_warnings = true;
    Runner::new(scheduler, config).run(story)
}
