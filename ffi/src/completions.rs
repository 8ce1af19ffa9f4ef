//! Where the results of asynchronous calls wait for the host's own thread.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, Weak};

use libsession_core::{Error, ErrorKind, Result, Ticket};

use crate::answer::{Callback, Outcome};
use crate::bytes::Out;
use crate::guard::{done, quiet};
use crate::handle::{self, Table, Tables, Tenant, lock, tables};
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
    ready: VecDeque<Ready>,
}

/// What has come of a call, by its number.
struct Ready {
    number: u64,
    came: Came,
    /// Whether there is something to give back.
    owns: bool,
}

struct Call {
    callback: Callback,
    wait: Wait,
    /// Its manager goes: what comes of it is given back, and this is what it is told when its wait is given up.
    left: Option<ErrorKind>,
}

/// What a call waits with.
#[derive(Default)]
pub(crate) struct Wait {
    /// Gives it up.
    pub ticket: Option<Ticket>,
    /// The manager that ends it when it goes; 0 if a request does.
    pub manager: u64,
    /// Whether that is for units.
    pub units: bool,
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
    pub(crate) fn begin(&self, callback: Callback, wait: Wait) -> Result<u64> {
        let mut state = lock(&self.state);
        if state.bell.is_none() {
            return Err(freed());
        }
        state.last += 1;
        let number = state.last;
        state.calls.insert(number, Call { callback, wait, left: None });
        Ok(number)
    }

    /// A call came to this.
    pub(crate) fn came<O: Outcome>(&self, number: u64, result: Result<O>) {
        // In the child of a fork nobody waits here, and the lock may be another thread's.
        if self.epoch != handle::epoch() {
            return;
        }
        let cancelled = result.as_ref().is_err_and(|error| error.kind() == ErrorKind::Cancelled);
        let mut ready = Ready { number, owns: result.as_ref().is_ok_and(Outcome::owns), came: told(result) };
        let unwanted = {
            let mut state = lock(&self.state);
            match state.calls.get(&number).map(|call| call.left) {
                Some(left) => {
                    let kind = left.map(|kind| if cancelled { kind } else { ErrorKind::Closed });
                    let unwanted = kind.filter(|_| ready.owns || cancelled).map(|kind| ready.give_back(kind));
                    state.ready.push_back(ready);
                    if let (1, Some(bell)) = (state.ready.len(), &state.bell) {
                        bell.ring();
                    }
                    unwanted
                }
                None => Some(ready.came),
            }
        };
        if let Some(came) = unwanted {
            came(None);
        }
    }

    /// What is ready first, with whom to tell.
    fn next(&self) -> Option<(Callback, Came)> {
        let mut state = lock(&self.state);
        let Ready { number, came, .. } = state.ready.pop_front()?;
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
        for Ready { number, .. } in &ready {
            if let Some(call) = calls.get_mut(number) {
                call.wait.ticket = None;
            }
        }
        // Before something is given back: nobody who waits shall get it.
        calls.values().filter_map(|call| call.wait.ticket.as_ref()).for_each(Ticket::cancel);
        ready.into_iter().for_each(|ready| (ready.came)(None));
        for call in calls.into_values() {
            call.callback.tell::<()>(Err(freed()));
        }
    }
}

impl Completions {
    /// A manager goes: what its calls came to and nobody fetched, to be given back, and what gives up those that wait. What they still
    /// come to is given back, too.
    fn leave(&self, manager: u64, freed: bool) -> (Vec<Came>, Vec<Ticket>) {
        let state = &mut *lock(&self.state);
        let (mut unwanted, mut tickets) = (Vec::new(), Vec::new());
        for ready in &mut state.ready {
            let call = state.calls.get_mut(&ready.number).filter(|call| call.wait.manager == manager);
            let Some(call) = call else { continue };
            // It is over, and its ticket perhaps another call's.
            call.wait = Wait::default();
            if ready.owns {
                unwanted.push(ready.give_back(ErrorKind::Closed));
            }
        }
        for call in state.calls.values_mut().filter(|call| call.wait.manager == manager) {
            call.left = Some(if freed { ErrorKind::Closed } else { ErrorKind::Closing });
            // Who waits for a lock is told by the close, what has become of its session.
            tickets.extend(call.wait.ticket.clone().filter(|_| freed || call.wait.units));
        }
        (unwanted, tickets)
    }
}

/// A manager closes, or is freed: then nobody waits for it any more. What nobody fetched is given back.
pub(crate) fn leave(manager: u64, freed: bool) {
    let queues: Vec<_> = lock(&tables().queues).iter().filter_map(Weak::upgrade).collect();
    let (unwanted, tickets): (Vec<_>, Vec<_>) = queues.iter().map(|queue| queue.leave(manager, freed)).unzip();
    // Before something is given back: nobody who waits shall get it.
    tickets.iter().flatten().for_each(Ticket::cancel);
    unwanted.into_iter().flatten().for_each(|came| came(None));
}

impl Ready {
    /// What is to be released, in place of which the callback is told that the manager has gone.
    fn give_back(&mut self, kind: ErrorKind) -> Came {
        self.owns = false;
        std::mem::replace(&mut self.came, told::<()>(Err(manager_gone(kind))))
    }
}

fn told<O: Outcome>(result: Result<O>) -> Came {
    Box::new(move |callback| match (callback, result) {
        (Some(callback), result) => callback.tell(result),
        (None, Ok(outcome)) => outcome.release(),
        (None, Err(_)) => {}
    })
}

/// For a call whose manager has gone.
pub(crate) fn manager_gone(kind: ErrorKind) -> Error {
    Error::new(kind, "the manager was closed or freed before the result of this call was fetched")
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
        let queue = Arc::new(Completions::new()?);
        {
            let mut all = lock(&tables().queues);
            all.retain(|one| one.strong_count() > 0);
            all.push(Arc::downgrade(&queue));
        }
        out.set(handle::insert(queue)?);
        Ok(())
    })
}

/// Frees it. Each `done` that was not called yet is called now, in this thread, with LSES_E_CLOSED, and none after that: what is
/// allocated for a call can be freed there. Nothing is lost by it: waits for license units and locks are cancelled, and of what was there
/// already, or comes all the same, a session that was made is ended, and a request that was begun is discarded and finished. What
/// was done for a request of the host (a login, a logout, a trade, a feature, a lock) stays with it, and what has ended stays so. The
/// descriptor is closed: take it out of the event loop before. Managers may be closed and freed before it or after it, in any order. NULL is fine.
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

        fn owns(&self) -> bool {
            true
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
        let numbers: Vec<u64> = (0..4).map(|_| queue.begin(callback(&seen), Wait::default()).expect("open")).collect();
        assert!(!readable(fd(&queue)));
        queue.came(numbers[2], Ok(Seat(seen.clone())));
        queue.came(numbers[0], Ok(Seat(seen.clone())));
        assert!(readable(fd(&queue)));
        assert_eq!((queue.run(0), queue.run(1)), (0, 1));
        assert!(readable(fd(&queue)));
        assert_eq!(counts(&seen), [1, 0, 0]);
        // One is ready and nobody fetches it, two are on their way.
        let ticket = Ticket::new();
        let fifth =
            queue.begin(callback(&seen), Wait { ticket: Some(ticket.clone()), ..Wait::default() }).expect("open");
        queue.close();
        assert_eq!(counts(&seen), [1, 4, 1]);
        for late in [numbers[1], numbers[3], fifth] {
            queue.came(late, Ok(Seat(seen.clone())));
        }
        assert_eq!((counts(&seen), queue.run(9)), ([1, 4, 4], 0));
        assert!(queue.begin(callback(&seen), Wait::default()).is_err_and(|error| error.kind() == ErrorKind::Closed));
        queue.close();
        assert_eq!(counts(&seen), [1, 4, 4]);
    }

    #[test]
    fn a_manager_that_goes_gives_back_what_is_its_own() {
        let (queue, seen) = (Completions::new().expect("a queue"), Arc::new(Seen::default()));
        let begin = |manager: u64| {
            let wait = Wait { ticket: Some(Ticket::new()), manager, units: manager == 1 };
            queue.begin(callback(&seen), wait).expect("open")
        };
        let [ready, other, pending, request, failed, cancelled] = [1, 2, 1, 0, 1, 1].map(begin);
        for number in [ready, other, request] {
            queue.came(number, Ok(Seat(seen.clone())));
        }
        queue.came::<()>(failed, Err(Error::absent()));
        let (unwanted, tickets) = queue.leave(1, false);
        assert_eq!((unwanted.len(), tickets.len()), (1, 2));
        unwanted.into_iter().for_each(|came| came(None));
        assert_eq!((queue.run(9), counts(&seen)), (4, [3, 1, 1]));
        queue.came(pending, Ok(Seat(seen.clone())));
        queue.came::<()>(cancelled, Err(Error::new(ErrorKind::Cancelled, "given up")));
        // The one that waited is told that it closes.
        assert_eq!((queue.run(9), counts(&seen)), (2, [4, 2, 2]));
        let (unwanted, tickets) = queue.leave(1, true);
        assert_eq!((unwanted.len(), tickets.len()), (0, 0));
        queue.close();
        assert_eq!(counts(&seen), [4, 2, 2]);
    }

    #[test]
    fn two_threads_that_run_and_one_that_frees_tell_each_call_once() {
        const CALLS: usize = 500;
        let (queue, seen) = (Completions::new().expect("a queue"), Arc::new(Seen::default()));
        let (begun, ran) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while let Ok(number) = queue.begin(callback(&seen), Wait::default()) {
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
