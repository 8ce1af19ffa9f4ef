//! Synchronous waits that Ctrl-C ends: the wait goes on in the core, this thread looks for signals in between.

use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use libsession_core::manager::Then;
use libsession_core::session::QueueOptions;
use libsession_core::{Error, ErrorKind, Result, Ticket};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::errors::raise;
use crate::guard::{contain, detached, knowing};

/// How long a signal may go unseen.
const SLICE: Duration = Duration::from_millis(50);
/// How long a cancelled wait may take to end.
const GIVEN_UP: Duration = Duration::from_secs(5);

/// Whether a synchronous call may wait for units: as for a lock, not on an event loop's thread, where it does not wait.
pub fn may_queue(py: Python<'_>, queue: &mut QueueOptions) -> PyResult<bool> {
    if queue.wait.is_zero() {
        return Ok(false);
    }
    if on_event_loop(py)? {
        queue.wait = Duration::ZERO;
        return Ok(false);
    }
    Ok(true)
}

/// Starts an asynchronous call that waits for units or a lock with this ticket, and waits for its result. When a signal handler
/// raises, the wait is given up, and with it its place; what was given at that very moment is handed to `undo`.
pub fn wait_by_ticket<T: Send + 'static>(
    py: Python<'_>,
    ticket: Option<Ticket>,
    start: impl FnOnce(Then<T>) + Send,
    undo: impl FnOnce(T) + Send,
) -> PyResult<T> {
    let (sender, receiver) = sync_channel(1);
    let then: Then<T> = Box::new(move |result| drop(sender.try_send(result)));
    py.detach(|| {
        knowing(false, || {
            contain(|| {
                start(then);
                Ok(())
            })
        })
    })
    .map_err(|error| raise(py, &error))?;
    // A receiver is not shared between threads: it goes into each slice and comes back.
    let mut receiver = Some(receiver);
    loop {
        let Some(waiting) = receiver.take() else {
            return Err(raise(py, &Error::new(ErrorKind::Internal, "a wait lost its channel")));
        };
        let (waiting, outcome) = py.detach(move || {
            let outcome = waiting.recv_timeout(SLICE);
            (waiting, outcome)
        });
        match outcome {
            Ok(result) => return result.map_err(|error| raise(py, &error)),
            Err(RecvTimeoutError::Timeout) => {
                if let Err(raised) = py.check_signals() {
                    if let Some(ticket) = ticket {
                        give_up(py, &ticket, waiting, undo)?;
                    }
                    return Err(raised);
                }
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(raise(py, &Error::new(ErrorKind::Internal, "a call ended without an answer")));
            }
        }
        receiver = Some(waiting);
    }
}

fn give_up<T: Send>(
    py: Python<'_>,
    ticket: &Ticket,
    late: Receiver<Result<T>>,
    undo: impl FnOnce(T) + Send,
) -> PyResult<()> {
    detached(py, move || {
        ticket.cancel();
        if let Ok(Ok(given)) = late.recv_timeout(GIVEN_UP) {
            undo(given);
        }
        Ok(())
    })
}

/// Whether an asyncio event loop runs on this thread: then nothing may wait here.
pub fn on_event_loop(py: Python<'_>) -> PyResult<bool> {
    running_loop(py).map(|running| running.is_some())
}

/// The event loop that runs on this thread.
pub fn running_loop(py: Python<'_>) -> PyResult<Option<Bound<'_, PyAny>>> {
    static RUNNING: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let running =
        RUNNING.get_or_try_init(py, || py.import("asyncio")?.getattr("_get_running_loop").map(Bound::unbind))?;
    Ok(Some(running.bind(py).call0()?).filter(|running| !running.is_none()))
}
