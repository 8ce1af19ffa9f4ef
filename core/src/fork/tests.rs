//! Each of these forks in a process of its own, as the tests of this binary run side by side.

use std::fs::File;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use super::*;
use crate::sync::{Mutex, MutexGuard};

const PROCESS: &str = "fork::tests::another_process";
const ROLE: &str = "LIBSESSION_FORK_ROLE";
const BOUND: Duration = Duration::from_secs(30);

/// What the other processes of these tests do; a test of its own is none.
#[test]
fn another_process() {
    match std::env::var(ROLE).as_deref() {
        Ok("hooks") => hooks_are_told_in_order(),
        Ok("descriptors") => descriptors_are_closed(),
        Ok("late") => who_enlists_late_is_told(),
        Ok("nested") => a_hook_may_fork(),
        Ok("panic") => a_panic_stays_inside(),
        Ok("gone") => who_is_dropped_meanwhile_ends_outside(),
        Ok("threads") => threads_fork_at_once(),
        Ok(other) => panic!("no role {other}"),
        Err(_) => {}
    }
}

fn runs(role: &str) {
    let mut process = Command::new(std::env::current_exe().expect("the test binary"))
        .args([PROCESS, "--exact", "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("the test binary starts");
    let until = Instant::now() + BOUND;
    loop {
        if let Some(status) = process.try_wait().expect("its end") {
            assert!(status.success(), "{role} ended with {status}");
            return;
        }
        if Instant::now() >= until {
            let _it_may_end_just_now = process.kill();
            panic!("{role} hangs");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn forks_are_told() {
    ["hooks", "descriptors", "late", "nested", "panic", "gone"].into_iter().for_each(runs);
}

#[test]
fn forks_of_several_threads_do_not_hang() {
    runs("threads");
}

/// Runs a body in the child of a fork; `true`: all was well there.
fn in_a_child(body: impl FnOnce() -> bool) -> bool {
    // SAFETY: the child leaves without any destructor.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork");
    if child == 0 {
        let well = catch_unwind(AssertUnwindSafe(body)).unwrap_or(false);
        // SAFETY: it does not return.
        unsafe { libc::_exit(i32::from(!well)) };
    }
    let mut status = 0;
    // SAFETY: the child is this process's own, and `status` outlives the call. Whoever hangs is ended by the test.
    while unsafe { libc::waitpid(child, &raw mut status, 0) } != child {}
    status == 0
}

fn told() -> Vec<String> {
    TOLD.lock().clone()
}

static TOLD: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn tell(what: String) {
    TOLD.lock().push(what);
}

/// Tells what it is told.
struct Teller(&'static str);

impl Forkable for Teller {
    fn before(&self) {
        tell(format!("before {}", self.0));
    }

    fn after_in_parent(&self) {
        tell(format!("parent {}", self.0));
    }

    fn after_in_child(&self) {
        tell(format!("child {}", self.0));
    }
}

fn enlisted<T: Forkable + 'static>(it: T) -> Arc<T> {
    let it = Arc::new(it);
    let weak: Weak<T> = Arc::downgrade(&it);
    enlist(weak);
    it
}

fn hooks_are_told_in_order() {
    let (_a, b, _c) = (enlisted(Teller("a")), enlisted(Teller("b")), enlisted(Teller("c")));
    drop(b);
    let before = generation();
    let process = process();
    assert!(in_a_child(|| {
        let right = told() == ["before a", "before c", "child c", "child a"];
        right && generation() == before + 1 && super::process() != process && told_again()
    }));
    assert_eq!(told(), ["before a", "before c", "parent c", "parent a"]);
    assert_eq!((generation(), super::process()), (before, process));
}

/// A child of the child is told too.
fn told_again() -> bool {
    TOLD.lock().clear();
    in_a_child(|| told() == ["before a", "before c", "child c", "child a"] && generation() == 2)
        && told() == ["before a", "before c", "parent c", "parent a"]
}

fn open(descriptor: RawFd) -> bool {
    // SAFETY: it only asks.
    unsafe { libc::fcntl(descriptor, libc::F_GETFD) >= 0 }
}

fn descriptors_are_closed() {
    let null = || File::open("/dev/null").expect("a file").into_raw_fd();
    let (kept, given, taken_back) = (null(), null(), null());
    close_in_child(given);
    close_in_child(taken_back);
    closed(taken_back);
    assert!(in_a_child(|| {
        let right = open(kept) && !open(given) && open(taken_back);
        // What the child opens under the same number is its own, and goes to its own children.
        let file = File::open("/dev/null").expect("a file");
        right && file.as_raw_fd() == given && in_a_child(|| open(given))
    }));
    assert!(open(kept) && open(given) && open(taken_back));
}

/// Enlists another one when it is told.
struct Late(Mutex<Option<Arc<Teller>>>);

impl Forkable for Late {
    fn before(&self) {
        let mut late = self.0.lock();
        if late.is_none() {
            *late = Some(enlisted(Teller("late")));
        }
        close_in_child(0);
        closed(0);
    }

    fn after_in_parent(&self) {
        drop(still());
    }

    fn after_in_child(&self) {
        drop(still());
        closed(1);
    }
}

fn who_enlists_late_is_told() {
    let _early = enlisted(Late(Mutex::default()));
    assert!(in_a_child(|| told() == ["before late", "child late"] && open(0)));
    assert_eq!(told(), ["before late", "parent late"]);
}

/// Forks in all of its hooks.
struct Nested;

impl Nested {
    fn forks(what: &str) {
        let before = generation();
        assert!(in_a_child(|| generation() == before + 1));
        tell(what.to_owned());
    }
}

impl Forkable for Nested {
    fn before(&self) {
        Self::forks("before");
    }

    fn after_in_parent(&self) {
        Self::forks("parent");
    }

    fn after_in_child(&self) {
        Self::forks("child");
    }
}

fn a_hook_may_fork() {
    let nested = enlisted(Nested);
    assert!(in_a_child(|| told() == ["before", "child"]));
    assert_eq!(told(), ["before", "parent"]);
    drop(nested);
    assert!(in_a_child(|| told() == ["before", "parent"]));
}

struct Panics;

impl Forkable for Panics {
    fn before(&self) {
        panic!("before, as the test wants");
    }

    fn after_in_parent(&self) {
        panic!("after, as the test wants");
    }

    fn after_in_child(&self) {
        panic!("in the child, as the test wants");
    }
}

fn a_panic_stays_inside() {
    std::panic::set_hook(Box::new(|_| {}));
    let (_a, _panics, _b) = (enlisted(Teller("a")), enlisted(Panics), enlisted(Teller("b")));
    for _ in 0..2 {
        TOLD.lock().clear();
        assert!(in_a_child(|| told() == ["before a", "before b", "child b", "child a"]));
        assert_eq!(told(), ["before a", "before b", "parent b", "parent a"]);
    }
}

/// Its only owner gives it up while it is told; its end uses what forks hold.
struct Gone;

static OWNER: Mutex<Option<Arc<Gone>>> = Mutex::new(None);

impl Forkable for Gone {
    fn before(&self) {
        OWNER.lock().take();
    }

    fn after_in_parent(&self) {}

    fn after_in_child(&self) {}
}

impl Drop for Gone {
    fn drop(&mut self) {
        close_in_child(99);
        closed(99);
        tell("gone".to_owned());
        assert!(in_a_child(|| true));
    }
}

fn who_is_dropped_meanwhile_ends_outside() {
    *OWNER.lock() = Some(enlisted(Gone));
    assert!(in_a_child(|| told().is_empty()), "nothing of the parent's ends in the child");
    assert_eq!(told(), ["gone"]);
}

/// Holds a lock over the fork, as a table does, which others take for a moment.
struct Holder {
    gate: Mutex<u64>,
    held: Mutex<Option<MutexGuard<'static, u64>>>,
}

// SAFETY: the guard is put there and taken away by the thread that forks.
unsafe impl Sync for Holder {}

static HOLDER: Holder = Holder { gate: Mutex::new(0), held: Mutex::new(None) };

struct Holds;

impl Forkable for Holds {
    fn before(&self) {
        let gate = HOLDER.gate.lock();
        *HOLDER.held.lock() = Some(gate);
    }

    fn after_in_parent(&self) {
        HOLDER.held.lock().take();
    }

    fn after_in_child(&self) {
        HOLDER.held.lock().take();
    }
}

fn threads_fork_at_once() {
    let _holds = enlisted(Holds);
    let stop = AtomicBool::new(false);
    let child = || {
        in_a_child(|| {
            // Nothing is left locked, whatever the other threads were at.
            *HOLDER.gate.lock() += 1;
            close_in_child(1000);
            closed(1000);
            let own = enlisted(Teller("own"));
            in_a_child(|| Arc::strong_count(&own) > 0 && generation() == 2)
        })
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    *HOLDER.gate.lock() += 1;
                    close_in_child(1001);
                    closed(1001);
                    drop(enlisted(Teller("short")));
                }
            });
        }
        let forks: Vec<_> = (0..3).map(|_| scope.spawn(|| (0..40).all(|_| child()))).collect();
        let well: Vec<_> = forks.into_iter().map(|forks| forks.join().is_ok_and(|well| well)).collect();
        stop.store(true, Ordering::Relaxed);
        assert_eq!(well, [true; 3]);
    });
}
