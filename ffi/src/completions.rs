//! Where the results of asynchronous calls wait for the host's own thread.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use libsession_core::{Error, ErrorKind, Result, Ticket};

use crate::answer::{Callback, Outcome};
use crate::bytes::Out;
use crate::guard::{done, quiet};
use crate::handle::{self, Table, Tables, Tenant, lock};
use crate::poll::Bell;
use crate::status::lses_status;

/// Where calls that do not block put what they came to, for the thread of the host that fetches it: usually one of these for each
/// event loop. Calls of any manager may have one; each thread may use it at any time. The library's threads never call the host
/// for such a call. In the child of a fork it answers LSES_E_FORKED.
///
///     lses_completions_new(&completions);
///     lses_completions_fd(completions, &fd);               // once, into epoll
///     lses_manager_begin_new_async(manager, &create, NULL, completions, on_seat, connection);
///     ...                                                  // when fd is readable:
///     lses_completions_run(completions, SIZE_MAX, NULL);   // calls on_seat(connection, status, answer) here
#[allow(non_camel_case_types)]
pub struct lses_completions {
    _handle: [u8; 0],
}

/// One queue of results.
pub(crate) struct Completions {
    epoch: u32,
    state: Mutex<State>,
}

struct State {
    /// Readable while something is ready; gone once this is freed.
    bell: Option<Bell>,
    last: u64,
    /// Calls whose callback was not called yet, by number.
    calls: BTreeMap<u64, Call>,
    /// What has come of some of them, first come first.
    ready: VecDeque<(u64, Came)>,
}

struct Call {
    callback: Callback,
    /// Gives up what it waits for.
    ticket: Option<Ticket>,
}

/// A result: told to the callback, or released.
type Came = Box<dyn FnOnce(Option<Callback>) + Send>;

impl Tenant for Arc<Completions> {
    const KIND: u64 = 8;
    const NAME: &'static str = "queue of completions";
    const COUNTERS: usize = 1;

    fn table(tables: &Tables) -> &Table<Self> {
        &tables.completions
    }
}

/// The completions of a handle.
pub(crate) fn completions(handle: *mut lses_completions) -> Result<Arc<Completions>> {
    Ok(Arc::clone(&*handle::pin::<Arc<Completions>, _>(handle)?))
}

impl Completions {
    fn new() -> Result<Self> {
        let bell = Bell::new()?;
        let state = State { bell: Some(bell), last: 0, calls: BTreeMap::new(), ready: VecDeque::new() };
        Ok(Self { epoch: handle::epoch(), state: Mutex::new(state) })
    }

    /// A call begins; its number. Errors: `closed`.
    pub(crate) fn begin(&self, callback: Callback, ticket: Option<Ticket>) -> Result<u64> {
        let mut state = lock(&self.state);
        if state.bell.is_none() {
            return Err(freed());
        }
        state.last += 1;
        let number = state.last;
        state.calls.insert(number, Call { callback, ticket });
        Ok(number)
    }

    /// A call came to this.
    pub(crate) fn came<O: Outcome>(&self, number: u64, result: Result<O>) {
        // In the child of a fork nobody waits here, and the lock may be another thread's.
        if self.epoch != handle::epoch() {
            return;
        }
        let came: Came = Box::new(move |callback| match (callback, result) {
            (Some(callback), result) => callback.tell(result),
            (None, Ok(outcome)) => outcome.release(),
            (None, Err(_)) => {}
        });
        let unwanted = {
            let mut state = lock(&self.state);
            if state.calls.contains_key(&number) {
                state.ready.push_back((number, came));
                if let (1, Some(bell)) = (state.ready.len(), &state.bell) {
                    bell.ring();
                }
                None
            } else {
                Some(came)
            }
        };
        if let Some(came) = unwanted {
            came(None);
        }
    }

    /// What is ready first, with whom to tell.
    fn next(&self) -> Option<(Callback, Came)> {
        let mut state = lock(&self.state);
        let (number, came) = state.ready.pop_front()?;
        if let (true, Some(bell)) = (state.ready.is_empty(), &state.bell) {
            bell.hush();
        }
        Some((state.calls.remove(&number)?.callback, came))
    }

    /// Tells what is ready now, at most `max`; how many that were.
    fn run(&self, max: usize) -> usize {
        let most = lock(&self.state).ready.len().min(max);
        let mut told = 0;
        while told < most {
            let Some((callback, came)) = self.next() else { return told };
            came(Some(callback));
            told += 1;
            // The callback may have forked: here is the child.
            if self.epoch != handle::epoch() {
                return told;
            }
        }
        let state = lock(&self.state);
        // Who watches edges has seen the last one, but has not run all.
        if let (false, Some(bell)) = (state.ready.is_empty(), &state.bell) {
            bell.ring();
        }
        told
    }

    /// Gives up what goes on, releases what nobody fetched, and tells all who were not told.
    fn close(&self) {
        let (mut calls, ready) = {
            let mut state = lock(&self.state);
            state.bell = None;
            (std::mem::take(&mut state.calls), std::mem::take(&mut state.ready))
        };
        for (number, came) in ready {
            came(None);
            if let Some(call) = calls.get_mut(&number) {
                call.ticket = None;
            }
        }
        for call in calls.values() {
            if let Some(ticket) = &call.ticket {
                ticket.cancel();
            }
        }
        for call in calls.into_values() {
            call.callback.tell::<()>(Err(freed()));
        }
    }
}

fn freed() -> Error {
    Error::new(ErrorKind::Closed, "the completions were freed before the result of this call was fetched")
}

/// Makes an empty one; free it with lses_completions_free().
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_UNAVAILABLE without a descriptor. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_completions_new(out_completions: *mut *mut lses_completions) -> lses_status {
    done(|| {
        let out = Out::handle(out_completions, "out_completions")?;
        out.set(handle::insert(Arc::new(Completions::new()?))?);
        Ok(())
    })
}

/// Frees it. Each `done` that was not called yet is called now, in this thread, with LSES_E_CLOSED, and none after that: what is
/// allocated for a call can be freed there. Nothing is lost by it: waits for license units and locks are cancelled, and of what was there
/// already, or comes all the same, a session that was made is ended, and a request that was begun is discarded and finished. What
/// was done for a request of the host (a login, a trade, a feature, a lock) stays with it. The descriptor is closed: take it out
/// of the event loop before. Free it before the managers. NULL is fine.
///
/// Threads: any; it does not wait for a callback that another thread runs. May be called from a callback, also from one that it
/// runs. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_completions_free(completions: *mut lses_completions) {
    if !completions.is_null() {
        quiet(|| {
            let queue = self::completions(completions)?;
            handle::remove::<Arc<Completions>, _>(completions)?;
            queue.close();
            Ok(())
        });
    }
}

/// A file descriptor that is readable exactly while something is ready, for poll(), epoll (level- or edge-triggered) and event
/// loops. It does not block, is closed by exec(), and belongs to the completions: don't read from it and don't close it.
///
/// Threads: any. Does not block, may be called from a callback. Errors: LSES_E_STALE_HANDLE, LSES_E_FORKED. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_completions_fd(completions: *mut lses_completions, out_fd: *mut i32) -> lses_status {
    done(|| {
        let out = Out::required(out_fd, "out_fd")?;
        let queue = self::completions(completions)?;
        let state = lock(&queue.state);
        out.set(state.bell.as_ref().ok_or_else(freed)?.fd());
        Ok(())
    })
}

/// Calls `done` of the calls whose results are ready, in this thread, in the order in which they came, at most `max` of them;
/// `out_count` (may be NULL) tells how many. What gets ready meanwhile is left for the next time, for which the descriptor is
/// readable again.
///
/// Threads: any, also several at once: each result is told once. Blocks as long as the callbacks run, and for nothing else. May
/// be called from a callback. Errors: LSES_E_STALE_HANDLE, LSES_E_FORKED. Since 0.1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lses_completions_run(
    completions: *mut lses_completions,
    max: usize,
    out_count: *mut usize,
) -> lses_status {
    done(|| {
        let count = self::completions(completions)?.run(max);
        Out::optional(out_count).set(count);
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use std::ffi::c_void;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::answer::{Room, lses_answer};
    use crate::poll::readable;
    use crate::status::{LSES_E_CLOSED, LSES_OK};

    #[derive(Default)]
    struct Seen {
        told: AtomicUsize,
        closed: AtomicUsize,
        released: AtomicUsize,
    }

    struct Seat(Arc<Seen>);

    impl Outcome for Seat {
        fn answer(self, _: &mut Room, _: &mut lses_answer) -> Result<lses_status> {
            Ok(LSES_OK)
        }

        fn release(self) {
            self.0.released.fetch_add(1, Ordering::SeqCst);
        }
    }

    unsafe extern "C-unwind" fn tell(seen: *mut c_void, status: lses_status, _: *const lses_answer) {
        // SAFETY: the tests pass one that outlives the calls.
        let seen = unsafe { &*seen.cast::<Seen>() };
        let count = if status == LSES_E_CLOSED { &seen.closed } else { &seen.told };
        count.fetch_add(1, Ordering::SeqCst);
    }

    fn counts(seen: &Seen) -> [usize; 3] {
        [&seen.told, &seen.closed, &seen.released].map(|count| count.load(Ordering::SeqCst))
    }

    fn callback(seen: &Arc<Seen>) -> Callback {
        Callback::new(tell, Arc::as_ptr(seen).cast_mut().cast())
    }

    fn fd(queue: &Completions) -> i32 {
        lock(&queue.state).bell.as_ref().expect("a bell").fd()
    }

    #[test]
    fn each_call_is_told_once_and_what_comes_too_late_is_released() {
        let (queue, seen) = (Completions::new().expect("a queue"), Arc::new(Seen::default()));
        let numbers: Vec<u64> = (0..4).map(|_| queue.begin(callback(&seen), None).expect("open")).collect();
        assert!(!readable(fd(&queue)));
        queue.came(numbers[2], Ok(Seat(seen.clone())));
        queue.came(numbers[0], Ok(Seat(seen.clone())));
        assert!(readable(fd(&queue)));
        assert_eq!((queue.run(0), queue.run(1)), (0, 1));
        assert!(readable(fd(&queue)));
        assert_eq!(counts(&seen), [1, 0, 0]);
        // One is ready and nobody fetches it, two are on their way.
        let ticket = Ticket::new();
        let fifth = queue.begin(callback(&seen), Some(ticket.clone())).expect("open");
        queue.close();
        assert_eq!(counts(&seen), [1, 4, 1]);
        for late in [numbers[1], numbers[3], fifth] {
            queue.came(late, Ok(Seat(seen.clone())));
        }
        assert_eq!((counts(&seen), queue.run(9)), ([1, 4, 4], 0));
        assert!(queue.begin(callback(&seen), None).is_err_and(|error| error.kind() == ErrorKind::Closed));
        queue.close();
        assert_eq!(counts(&seen), [1, 4, 4]);
    }

    #[test]
    fn two_threads_that_run_and_one_that_frees_tell_each_call_once() {
        const CALLS: usize = 500;
        let (queue, seen) = (Completions::new().expect("a queue"), Arc::new(Seen::default()));
        let (begun, ran) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while let Ok(number) = queue.begin(callback(&seen), None) {
                    begun.fetch_add(1, Ordering::SeqCst);
                    queue.came(number, Ok(Seat(seen.clone())));
                }
            });
            let run = || {
                while ran.fetch_add(queue.run(3), Ordering::SeqCst) < CALLS {
                    std::thread::yield_now();
                }
            };
            let runs = [scope.spawn(run), scope.spawn(run)];
            runs.into_iter().for_each(|run| run.join().expect("a thread"));
            queue.close();
        });
        let [told, closed, released] = counts(&seen);
        assert_eq!((told, told + closed), (ran.load(Ordering::SeqCst), begun.load(Ordering::SeqCst)));
        assert_eq!(closed, released);
    }
}
