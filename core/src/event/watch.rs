//! Gives up calls whose deadline has come: one timer for all of them, at the earliest deadline.

use std::sync::Arc;

use super::call::Call;
use super::dispatcher::Dispatcher;
use super::handler::Answer;
use crate::clock::{Millis, TimerKey};

/// When the watch looks next.
#[derive(Default)]
pub(crate) struct Watch(Option<(Millis, TimerKey)>);

impl Dispatcher {
    /// Sees to it that the watch looks at `deadline`, if not before.
    pub(super) fn arm(&self, deadline: Millis) {
        let mut watch = self.watch.lock();
        if let Some((at, timer)) = watch.0 {
            if at <= deadline {
                return;
            }
            self.timers.cancel(timer);
        }
        let me = self.me.clone();
        let look = move || {
            if let Some(dispatcher) = me.upgrade() {
                dispatcher.look();
            }
        };
        watch.0 = Some((deadline, self.timers.set(deadline, Box::new(look))));
    }

    fn look(&self) {
        self.watch.lock().0 = None;
        let now = self.now();
        let (overdue, next) = {
            let backlog = self.backlog.lock();
            (backlog.overdue(now), backlog.next_deadline(now))
        };
        if let Some(next) = next {
            self.arm(next);
        }
        for call in overdue {
            self.expire(&call, Answer::Overrun);
        }
    }

    /// Gives a call up, with `answer` unless it has one.
    pub(super) fn expire(&self, call: &Arc<Call>, answer: Answer) {
        let (given_up, wake) = {
            let mut backlog = self.backlog.lock();
            let given_up = call.give_up(answer, |crew| match crew {
                Some(crew) => {
                    // Before a thread that replaces this one looks for work.
                    call.breaker.hangs();
                    backlog.pool(crew).stuck += 1;
                }
                None => backlog.astray += 1,
            });
            (given_up, backlog.wake())
        };
        self.wake(wake);
        if let Some(completion) = given_up {
            self.complete(completion);
        }
    }
}
