//! Another process, as a test has it: killed and reaped at the latest when it is dropped.

use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::link::Link;
use super::shop::Shop;
use super::{BOUND, wait_until};

pub struct Process {
    child: Child,
    pub link: Link,
    name: String,
    frozen: bool,
}

impl Process {
    /// Starts a process in a role.
    pub fn start(role: &str, shop: &Shop) -> Self {
        Self::start_with(role, shop, |_| {})
    }

    /// As `start`, with more in its environment.
    pub fn start_with(role: &str, shop: &Shop, change: impl FnOnce(&mut Command)) -> Self {
        let (link, theirs) = Link::pair();
        let program = std::env::current_exe().expect("this program");
        let mut command = Command::new(program);
        command.args(["--exact", "child", "--nocapture", "--test-threads=1"]);
        command.env("LSES_ROLE", role).env("LSES_SHOP", shop.text());
        command.stdin(Stdio::from(theirs)).stdout(Stdio::null());
        change(&mut command);
        let child = command.spawn().expect("another process");
        Self { name: format!("{role} {}", child.id()), child, link, frozen: false }
    }

    /// A clerk that has the store open.
    pub fn clerk(shop: &Shop) -> Self {
        let mut clerk = Self::start("clerk", shop);
        assert_eq!(clerk.ask("open"), "ok");
        clerk
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn tell(&self, line: &str) {
        assert!(self.link.tell(line), "{} is gone", self.name);
    }

    /// Its next answer.
    pub fn answer(&mut self) -> String {
        match self.link.answer() {
            Some(answer) => answer,
            None => panic!("{} is gone: {}", self.name, self.child.wait().expect("wait")),
        }
    }

    /// Its next line that nobody asked for.
    pub fn told(&mut self) -> String {
        self.link.told().unwrap_or_else(|| panic!("{} is gone", self.name))
    }

    pub fn ask(&mut self, line: &str) -> String {
        self.tell(line);
        self.answer()
    }

    /// The words of an answer after `ok`.
    pub fn ok(&mut self, line: &str) -> Vec<String> {
        let answer = self.ask(line);
        let mut words = answer.split(' ').map(str::to_owned);
        assert_eq!(words.next().as_deref(), Some("ok"), "{}: {line}: {answer}", self.name);
        words.collect()
    }

    /// Asks until the answer is this one; tells how long that took.
    pub fn ask_until(&mut self, line: &str, wanted: &str) -> Duration {
        wait_until(&format!("{line} -> {wanted}"), || self.ask(line) == wanted)
    }

    /// Kills it with -9 and reaps it.
    pub fn kill(&mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("wait");
    }

    /// What a dead one told without being asked, and nobody heard yet.
    pub fn last_words(&mut self) -> Vec<String> {
        let mut told = self.link.take_told();
        while let Some(line) = self.link.line() {
            told.extend(line.strip_prefix("* ").map(str::to_owned));
        }
        told
    }

    /// Stops it where it is.
    pub fn freeze(&mut self) {
        kill_process(self.pid(), Signal::STOP).expect("stop");
        self.frozen = true;
        let id = self.id();
        let stopped = || std::fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| stat.contains(") T "));
        wait_until("it is stopped", stopped);
    }

    pub fn thaw(&mut self) {
        kill_process(self.pid(), Signal::CONT).expect("continue");
        self.frozen = false;
    }

    /// Whether it is not there any more.
    pub fn has_left(&mut self) -> bool {
        self.child.try_wait().expect("wait").is_some()
    }

    /// Waits until it has left by itself.
    pub fn wait(&mut self) -> ExitStatus {
        let until = Instant::now() + BOUND;
        loop {
            if let Some(status) = self.child.try_wait().expect("wait") {
                return status;
            }
            assert!(Instant::now() < until, "{} does not leave", self.name);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Lets it close the store and leave.
    pub fn leave(mut self) {
        self.tell("leave");
        let status = self.wait();
        assert!(status.success(), "{}: {status}", self.name);
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.frozen {
            let _ = kill_process(self.pid(), Signal::CONT);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
