//! What must survive on the shared table: several processes of one directory, killed, frozen, with broken files.
//!
//! Other processes are this program again: [`child`] plays the role that `LSES_ROLE` names. A test and its processes
//! talk over a socket in lines. Short by default; `LSES_TORTURE=1` runs them as long as they are meant to be,
//! `LSES_SEED` replays a random one, `LSES_KEEP=1` keeps the directories.

mod account;
mod busy;
mod callbacks;
mod clerk;
mod clocks;
mod damage;
mod death;
mod denials;
mod faults;
mod features;
mod frozen;
mod golden;
mod guest;
mod kill;
mod letters;
mod link;
mod openers;
mod pools;
mod power;
mod pressure;
mod process;
mod queue;
mod race;
mod restart;
mod rotate;
mod secrets;
mod seed;
mod shop;
mod slow;
mod stage;
mod steps;

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use libsession_core::*;

use self::link::Link;
use self::process::Process;
use self::seed::Seed;
use self::shop::{Dir, Shop};

/// Longer than anything takes that is not broken.
const BOUND: Duration = Duration::from_secs(60);

/// What another process does.
type Role = fn(Link, Shop);

const ROLES: &[(&str, Role)] = &[
    ("busy", busy::role),
    ("clerk", clerk::role),
    ("crowd", slow::role),
    ("scribe", frozen::role),
    ("script", faults::role),
    ("secretary", secrets::role),
    ("tenant", pressure::role),
    ("trader", race::role),
];

/// The way into a role: a test that does nothing unless it is told to be another process.
#[test]
fn child() {
    let Ok(name) = std::env::var("LSES_ROLE") else { return };
    let (_, role) = ROLES.iter().find(|(known, _)| *known == name).expect("a role");
    role(Link::of_child(), Shop::of_child());
}

/// How often something is done: short here, long in torture.
fn rounds(short: usize, long: usize) -> usize {
    if std::env::var_os("LSES_TORTURE").is_some() { long } else { short }
}

/// Waits for a condition, bounded.
fn wait_until(what: &str, condition: impl FnMut() -> bool) -> Duration {
    wait_within(BOUND, what, condition)
}

/// Waits for a condition; tells how long that took.
fn wait_within(bound: Duration, what: &str, mut condition: impl FnMut() -> bool) -> Duration {
    let begun = Instant::now();
    loop {
        if condition() {
            return begun.elapsed();
        }
        assert!(begun.elapsed() < bound, "not within {bound:?}: {what}");
        // The other processes share the machine's few cores.
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Something that is promised to happen within a time, on a machine that may be busy with something else: the best of
/// three attempts counts, and none takes longer than [`BOUND`].
fn in_time(bound: Duration, what: &str, mut attempt: impl FnMut() -> Duration) {
    let mut took = Vec::new();
    for _ in 0..3 {
        let this = attempt();
        println!("{what}: after {this:?}");
        if this <= bound {
            return;
        }
        took.push(this);
    }
    panic!("{what}: took {took:?}, promised within {bound:?}");
}

/// Says that it is done when it is dropped, also by a panic: a scope waits for its threads.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Says something that is shown also if the test passes.
fn loudly(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// A path of one subscript.
fn path(key: &str) -> [Subscript; 1] {
    [Subscript::from(key)]
}
