//! The threads of this process that want to write, of which one at a time asks for the writer's word.

use std::collections::VecDeque;
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use crate::sync::Mutex;

/// How often who waits looks whether anybody goes on.
const LOOK: Duration = Duration::from_millis(20);
/// Who has waited for so long comes next. Before that whoever is awake does: to wake another takes as long as a commit.
const FAIR: Duration = Duration::from_millis(10);

/// The line of one process.
#[derive(Default)]
pub(super) struct Line {
    state: Mutex<State>,
    /// The last turn that was waited for, and since when it was seen.
    seen: Mutex<Option<(u32, Instant)>>,
}

#[derive(Default)]
struct State {
    taken: bool,
    /// Whose turn it is, though it has not noticed yet.
    given: Option<u64>,
    next: u64,
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    number: u64,
    since: Instant,
    thread: Thread,
}

/// A turn, over when it is dropped.
pub(super) struct InLine<'a>(&'a Line);

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl State {
    fn forget(&mut self, number: u64) {
        self.waiting.retain(|waiting| waiting.number != number);
    }
}

impl Line {
    /// Waits for its turn while somebody goes on; `None` if nobody does.
    pub fn enter(&self, goes_on: &mut dyn FnMut() -> bool) -> Option<InLine<'_>> {
        let mut state = self.state.lock();
        if !state.taken {
            state.taken = true;
            return Some(InLine(self));
        }
        let number = state.next;
        state.next += 1;
        let mut looked = Instant::now();
        state.waiting.push_back(Waiting { number, since: looked, thread: thread::current() });
        loop {
            drop(state);
            thread::park_timeout(LOOK.saturating_sub(looked.elapsed()));
            let over = looked.elapsed() >= LOOK;
            // Not under the lock: it may ask for another one.
            let gives_up = over && !goes_on();
            if over {
                looked = Instant::now();
            }
            state = self.state.lock();
            if state.given == Some(number) {
                state.given = None;
                return Some(InLine(self));
            }
            if !state.taken {
                state.taken = true;
                state.forget(number);
                return Some(InLine(self));
            }
            if gives_up {
                state.forget(number);
                return None;
            }
        }
    }

    fn leave(&self) {
        let wake = {
            let mut state = self.state.lock();
            let late = state.waiting.front().is_some_and(|first| first.since.elapsed() >= FAIR);
            if late {
                let first = state.waiting.pop_front();
                state.given = first.as_ref().map(|first| first.number);
                first.map(|first| first.thread)
            } else {
                state.taken = false;
                state.waiting.front().map(|first| first.thread.clone())
            }
        };
        if let Some(thread) = wake {
            thread.unpark();
        }
    }

    /// For how long a turn has been seen.
    pub fn stands(&self, turn: u32) -> Duration {
        let now = Instant::now();
        let mut seen = self.seen.lock();
        match *seen {
            Some((known, since)) if known == turn => now.duration_since(since),
            _ => {
                *seen = Some((turn, now));
                Duration::ZERO
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn who_has_waited_long_comes_before_who_comes_again_at_once() {
        let line = Line::default();
        let (told, hear) = mpsc::channel();
        let turns = AtomicUsize::new(0);
        thread::scope(|scope| {
            let turn = line.enter(&mut || true).expect("a turn");
            for number in 0..4 {
                let before = line.state.lock().waiting.len();
                let (line, told, turns) = (&line, told.clone(), &turns);
                scope.spawn(move || {
                    let _turn = line.enter(&mut || true).expect("a turn");
                    told.send((number, turns.load(Ordering::Acquire))).expect("a listener");
                });
                while line.state.lock().waiting.len() == before {
                    thread::yield_now();
                }
            }
            while line.state.lock().waiting.iter().any(|waiting| waiting.since.elapsed() < FAIR) {
                thread::yield_now();
            }
            drop(turn);
            // Whoever comes now comes after them, however fast it is.
            let _turn = line.enter(&mut || true).expect("a turn");
            turns.store(1, Ordering::Release);
            let order: Vec<_> = (0..4).map(|_| hear.try_recv().expect("it was before")).collect();
            assert_eq!(order, [(0, 0), (1, 0), (2, 0), (3, 0)]);
        });
    }

    #[test]
    fn who_gives_up_is_not_waited_for() {
        let line = Line::default();
        let turn = line.enter(&mut || true).expect("a turn");
        thread::scope(|scope| {
            let gives_up = scope.spawn(|| line.enter(&mut || false).is_none());
            assert!(gives_up.join().expect("a thread"));
        });
        assert!(line.state.lock().waiting.is_empty());
        drop(turn);
        assert!(line.enter(&mut || false).is_some());
    }
}
