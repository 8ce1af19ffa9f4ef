//! A pool is changed that others wait for, or use.

use super::line::Line;
use super::*;

/// The pool becomes larger, or smaller.
struct Resize {
    to: u64,
    /// Who waits for the second unit.
    waits: usize,
}

impl Step for Resize {
    type With = Line;
    const NAME: &str = "a change of a pool";

    fn begin(&self, stage: &Stage, _: &mut Process) -> (Line, String) {
        stage.resize(3 - self.to);
        for _ in 0..3 - self.to {
            stage.create();
        }
        (Line::of(stage, self.waits), format!("resize {}", self.to))
    }

    fn settle(&self, stage: &Stage, line: Line, _: &mut Process, answer: Option<&str>) -> Instant {
        let capacity = stage.usage().capacity;
        assert!(capacity == self.to || (capacity == 3 - self.to && answer.is_none()), "{capacity}");
        if capacity != self.to {
            stage.exact(capacity);
            stage.resize(self.to);
        }
        let well = if self.waits > 0 { line.next(0).1 } else { Instant::now() };
        line.nobody();
        // Nothing is taken from who has it.
        stage.exact(2);
        let usage = stage.usage();
        assert_eq!((usage.capacity, usage.excess), (self.to, 2 - self.to));
        stage.end_all();
        for number in 1..self.waits {
            stage.end(line.next(number).0);
        }
        well
    }
}

#[test]
fn a_pool_is_larger_for_who_waits_or_as_it_was() {
    kill_everywhere(&Stage::new(1, 2, |shop| shop), &Resize { to: 2, waits: 2 });
}

#[test]
fn a_pool_is_smaller_and_takes_nothing_or_as_it_was() {
    kill_everywhere(&Stage::new(2, 2, |shop| shop), &Resize { to: 1, waits: 0 });
}
