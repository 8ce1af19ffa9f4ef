//! Other processes for tests: the test binary again, with a role; and directories that go with the test.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How long a test waits for anything.
pub(super) const BOUND: Duration = Duration::from_secs(30);
const ROLE: &str = "LIBSESSION_TEST_ROLE";
const DIR: &str = "LIBSESSION_TEST_DIR";

/// A directory of its own, removed at the end.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("libsession-test-{}-{number}", std::process::id()));
        let _left_by_an_older_process = std::fs::remove_dir_all(&dir);
        std::fs::create_dir(&dir).expect("a directory for the test");
        Self(dir)
    }

    /// A directory in it that is not there yet.
    pub fn store(&self) -> PathBuf {
        self.0.join("store")
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _in_use_at_worst = std::fs::remove_dir_all(&self.0);
    }
}

/// Another process, killed at the end.
pub(super) struct Other {
    process: std::process::Child,
    says: Receiver<String>,
}

impl Other {
    /// Runs the test `test` (its whole path) of this binary in a role, with a directory.
    pub fn spawn(test: &str, role: &str, dir: &Path) -> Self {
        Self::spawn_as(test, role, dir, None)
    }

    /// The same as another user.
    pub fn spawn_as(test: &str, role: &str, dir: &Path, user: Option<u32>) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("the test binary"));
        command.args([test, "--exact", "--nocapture", "--test-threads=1"]);
        command.env(ROLE, role).env(DIR, dir).stdin(Stdio::piped()).stdout(Stdio::piped());
        if let Some(user) = user {
            command.uid(user);
        }
        let mut process = command.spawn().expect("the test binary starts");
        let out = process.stdout.take().expect("its output");
        let (says, heard) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if let Some((_, said)) = line.split_once("says: ") {
                    let _nobody_listens = says.send(said.to_owned());
                }
            }
        });
        Self { process, says: heard }
    }

    /// The next that it says.
    pub fn hear(&self) -> String {
        self.says.recv_timeout(BOUND).expect("the other process says something")
    }

    /// Waits for what it is to say.
    pub fn expect(&self, what: &str) {
        assert_eq!(self.hear(), what);
    }

    /// Says something to it.
    pub fn tell(&mut self, what: &str) {
        writeln!(self.process.stdin.as_mut().expect("its input"), "{what}").expect("it listens");
    }

    /// Ends it at once: SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) {
        // A wait would close its input, which a child of it may still listen to.
        let input = self.process.stdin.take();
        self.process.kill().expect("a signal");
        self.process.wait().expect("its end");
        self.process.stdin = input;
    }

    /// Waits until it ends by itself, well.
    pub fn finish(&mut self) {
        let until = Instant::now() + BOUND;
        loop {
            if let Some(status) = self.process.try_wait().expect("its end") {
                assert!(status.success(), "it ended with {status}");
                return;
            }
            assert!(Instant::now() < until, "it does not end");
            std::thread::yield_now();
        }
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ended_already = self.process.kill();
        let _ended_already = self.process.wait();
    }
}

/// The role of this process, and the directory; `None` in the test itself.
pub(super) fn role() -> Option<(String, PathBuf)> {
    Some((std::env::var(ROLE).ok()?, std::env::var_os(DIR)?.into()))
}

/// Says something to the test.
pub(super) fn say(what: &str) {
    println!("\nsays: {what}");
}

/// What the test says; nothing when it is gone.
pub(super) fn listen() -> String {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).expect("input");
    line.trim_end().to_owned()
}

/// Waits until something is so.
pub(super) fn until(what: &str, mut so: impl FnMut() -> bool) {
    let until = Instant::now() + BOUND;
    while !so() {
        assert!(Instant::now() < until, "not so in time: {what}");
        std::thread::yield_now();
    }
}
