//! The dispatcher's threads: started when there is work and nobody to do it, replaced when stuck.

use std::sync::Arc;

use super::backlog::{Backlog, Wake};
use super::call::Call;
use super::contain;
use super::delivery::{Done, apply};
use super::dispatch_config::start_thread;
use super::dispatcher::Dispatcher;
use super::lane::{Job, Taker};
use super::pool::Crew;

/// What a thread does next.
enum Task {
    Deliver(Job),
    Ask(Arc<Call>),
}

/// The longest name of a thread that Linux shows.
const MAX_THREAD_NAME: usize = 15;

impl Dispatcher {
    /// Wakes, after the lock was released, whom a step made necessary.
    pub(super) fn wake(&self, wake: Wake) {
        for crew in Crew::ALL {
            if wake.notify[crew as usize] {
                self.work[crew as usize].notify_one();
            }
            if wake.spawn[crew as usize] {
                self.spawn(crew);
            }
        }
        if wake.idle {
            self.idle.notify_all();
        }
        if wake.poll {
            self.poll.notify_all();
        }
        if wake.ring {
            let waker = self.waker.lock().clone();
            if let Some(waker) = waker {
                contain::run("the waker", || waker());
            }
        }
    }

    /// Starts a thread that is counted already.
    fn spawn(&self, crew: Crew) {
        let Some(me) = self.me.upgrade() else { return };
        let id = {
            let mut backlog = self.backlog.lock();
            backlog.last_thread += 1;
            backlog.last_thread
        };
        let task = match crew {
            Crew::Notify => "dispatch",
            Crew::Decide => "decide",
        };
        let mut name = format!("{}-{task}-{id}", self.config.thread_name);
        if name.len() > MAX_THREAD_NAME && name.is_ascii() {
            name.drain(..name.len() - MAX_THREAD_NAME);
        }
        match start_thread(self.config.thread_hooks.as_ref(), &name, move || me.live(crew, id)) {
            Ok(handle) => {
                let mut backlog = self.backlog.lock();
                backlog.threads.insert(id, handle);
                backlog.forget_exited();
            }
            Err(error) => {
                log::error!(target: "libsession", "can't start a dispatcher thread: {error}");
                self.backlog.lock().pool(crew).alive -= 1;
                // The next step tries again; if none comes, this does.
                let me = self.me.clone();
                let again = move || {
                    if let Some(dispatcher) = me.upgrade() {
                        dispatcher.nudge();
                    }
                };
                self.timers.set(self.now().saturating_add(100), Box::new(again));
            }
        }
    }

    fn live(&self, crew: Crew, id: u64) {
        let mut body = || contain::run("a dispatcher thread", || self.serve(crew));
        match &self.config.thread_hooks {
            Some(hooks) => contain::run("a thread hook", || hooks.around_life(&mut body)),
            None => body(),
        }
        if self.forked() {
            // A callback forked and came back. This is all that the child has of its parent: it ends as a process does
            // whose first thread is done, though the child may have opened the store and have threads of its own.
            std::process::exit(0);
        }
        let wake = {
            let mut backlog = self.backlog.lock();
            backlog.pool(crew).alive -= 1;
            backlog.exited.push(id);
            // Two may have found that one of them is surplus: whoever goes last sees to it that work finds a thread.
            Wake { idle: true, ..backlog.wake() }
        };
        self.wake(wake);
    }

    fn serve(&self, crew: Crew) {
        let mut done = None;
        while !self.forked() {
            let task = match self.try_next(crew, done.take()) {
                Some(task) => task,
                None => match self.wait_next(crew) {
                    Some(task) => task,
                    None => return,
                },
            };
            match task {
                Task::Deliver(job) => done = self.run(job, Some(crew)),
                Task::Ask(call) => self.run_ask(call, Some(crew)),
            }
        }
    }

    /// Books what is done and takes what is there, in one step.
    fn try_next(&self, crew: Crew, mut done: Option<Done>) -> Option<Task> {
        let (task, wake) = {
            let mut backlog = self.backlog.lock();
            if let Some(done) = &mut done {
                apply(&mut backlog, done);
                backlog.lanes.open(done.lane());
            }
            let task = take(&mut backlog, crew);
            (task, backlog.wake())
        };
        self.wake(wake);
        task
    }

    /// Waits for work; `None` to end.
    fn wait_next(&self, crew: Crew) -> Option<Task> {
        let mut task = None;
        let mut body = || {
            if task.is_some() {
                return;
            }
            let mut backlog = self.backlog.lock();
            loop {
                task = take(&mut backlog, crew);
                if task.is_some() || backlog.closed || backlog.pool(crew).is_surplus() {
                    break;
                }
                backlog.pool(crew).idle += 1;
                self.work[crew as usize].wait(&mut backlog);
                let pool = backlog.pool(crew);
                pool.idle -= 1;
                pool.waking = false;
            }
            let wake = backlog.wake();
            drop(backlog);
            self.wake(wake);
        };
        match &self.config.thread_hooks {
            Some(hooks) => contain::run("a thread hook", || hooks.around_wait(&mut body)),
            None => body(),
        }
        task
    }

    /// A callback returned that was given up.
    ///
    /// Whether it came late is its reply's to tell: it may have been handed on.
    pub(super) fn came_back(&self, crew: Option<Crew>) {
        let wake = {
            let mut backlog = self.backlog.lock();
            match crew {
                Some(crew) => backlog.pool(crew).stuck -= 1,
                None => backlog.astray -= 1,
            }
            backlog.wake()
        };
        self.wake(wake);
    }
}

fn take(backlog: &mut Backlog, crew: Crew) -> Option<Task> {
    if backlog.closed || backlog.pool(crew).is_surplus() || !backlog.has_work(crew) {
        return None;
    }
    match crew {
        Crew::Notify => {
            let job = backlog.lanes.take(Taker::Worker)?;
            backlog.busy += 1;
            Some(Task::Deliver(job))
        }
        Crew::Decide => {
            let call = backlog.urgent.pop_front().or_else(|| backlog.later.pop_front())?;
            call.mark_started();
            Some(Task::Ask(call))
        }
    }
}
