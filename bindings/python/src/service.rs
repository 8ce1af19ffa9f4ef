//! One thread of our own for what other threads must not do while they may not wait for the interpreter: waking event
//! loops and writing logs. Started at its first job, attached once, detached while it waits, stopped at exit.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{Builder, JoinHandle};

use libsession_core::sync::{Condvar, Mutex};
use pyo3::prelude::*;

use crate::guard::knowing;

/// Something to do in Python.
pub type Job = Box<dyn FnOnce(Python<'_>) + Send>;

/// Jobs beyond this are dropped: nobody takes them.
const QUEUE: usize = 100_000;

#[derive(Default)]
struct Service {
    state: Mutex<State>,
    bell: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    thread: Option<JoinHandle<()>>,
    stopping: bool,
}

/// One for each generation of forks: the child's first, whose thread is gone and whose lock may be held, is left alone.
static SERVICES: [OnceLock<Service>; 16] = [const { OnceLock::new() }; 16];
static GENERATION: AtomicUsize = AtomicUsize::new(0);

fn current() -> Option<&'static Service> {
    SERVICES.get(GENERATION.load(Ordering::Acquire)).map(|service| service.get_or_init(Service::default))
}

/// Has a job done soon, on the service thread. Never waits; after [`stop`] the job is dropped.
pub fn push(job: Job) {
    let Some(service) = current() else { return };
    let mut state = service.state.lock();
    if state.stopping || state.jobs.len() >= QUEUE {
        return;
    }
    state.jobs.push_back(job);
    if state.thread.is_none() {
        state.thread = Builder::new().name("libsession-python".into()).spawn(move || run(service)).ok();
    }
    drop(state);
    service.bell.notify_one();
}

fn run(service: &'static Service) {
    let _ = Python::try_attach(|py| {
        while let Some(job) = py.detach(|| next(service)) {
            // A panic in one job must not keep the others from being done; pyo3 has printed nothing and neither do we.
            let _ = catch_unwind(AssertUnwindSafe(|| knowing(true, || job(py))));
        }
    });
}

fn next(service: &Service) -> Option<Job> {
    let mut state = service.state.lock();
    loop {
        if let Some(job) = state.jobs.pop_front() {
            return Some(job);
        }
        if state.stopping {
            return None;
        }
        service.bell.wait(&mut state);
    }
}

/// At exit: does what is queued and joins the thread.
#[pyfunction]
#[pyo3(name = "_stop")]
pub fn stop(py: Python<'_>) {
    let Some(service) = current() else { return };
    py.detach(|| {
        let thread = {
            let mut state = service.state.lock();
            state.stopping = true;
            state.thread.take()
        };
        service.bell.notify_all();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    });
}

/// In the child of a fork: starts anew.
#[pyfunction]
#[pyo3(name = "_forked")]
pub fn forked() {
    crate::handler::forget_threads();
    GENERATION.fetch_add(1, Ordering::AcqRel);
}
