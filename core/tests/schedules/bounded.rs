//! All schedules in which a thread that could go on is held up a few times at most.

use shuttle::scheduler::{Schedule, Scheduler, Task, TaskId};

/// Where a schedule branches.
struct Branch {
    tasks: Vec<TaskId>,
    taken: usize,
}

/// Plays them one after the other, depth first.
pub struct Bounded {
    /// How often a thread is held up at most.
    most: usize,
    branches: Vec<Branch>,
    depth: usize,
    held_up: usize,
    begun: bool,
}

impl Bounded {
    pub fn new(most: usize) -> Self {
        Self { most, branches: Vec::new(), depth: 0, held_up: 0, begun: false }
    }

    /// Who may be next: the running one comes first.
    fn choices(&self, runnable: &[&Task], current: Option<TaskId>, yields: bool) -> Vec<TaskId> {
        let all = runnable.iter().map(|task| task.id());
        let Some(current) = current.filter(|current| runnable.iter().any(|task| task.id() == *current)) else {
            return all.collect();
        };
        let others = all.filter(|id| *id != current);
        match yields {
            true if runnable.len() > 1 => others.collect(),
            false if self.held_up < self.most => [current].into_iter().chain(others).collect(),
            _ => vec![current],
        }
    }
}

impl Scheduler for Bounded {
    fn new_execution(&mut self) -> Option<Schedule> {
        while let Some(last) = self.branches.last_mut() {
            last.taken += 1;
            if last.taken < last.tasks.len() {
                break;
            }
            self.branches.pop();
        }
        if self.begun && self.branches.is_empty() {
            return None;
        }
        (self.begun, self.depth, self.held_up) = (true, 0, 0);
        Some(Schedule::new(0))
    }

    fn next_task(&mut self, runnable: &[&Task], current: Option<TaskId>, yields: bool) -> Option<TaskId> {
        let choices = self.choices(runnable, current, yields);
        let next = if let [only] = choices[..] {
            only
        } else {
            if self.depth == self.branches.len() {
                self.branches.push(Branch { tasks: choices.clone(), taken: 0 });
            }
            let branch = &self.branches[self.depth];
            assert_eq!(branch.tasks, choices, "the story goes another way with the same schedule");
            self.depth += 1;
            branch.tasks[branch.taken]
        };
        if !yields && current.is_some_and(|current| current != next && choices[0] == current) {
            self.held_up += 1;
        }
        Some(next)
    }

    fn next_u64(&mut self) -> u64 {
        panic!("a story that throws dice has more schedules than these");
    }
}
