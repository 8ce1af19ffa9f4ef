//! Lines between a test and its other processes.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};

use super::BOUND;

/// One end. Lines that begin with `*` are told at any time, the others are answers in order.
pub struct Link {
    read: BufReader<UnixStream>,
    teller: Teller,
    told: VecDeque<String>,
}

/// The writing half. Cheap to clone.
#[derive(Clone)]
pub struct Teller(Arc<Mutex<UnixStream>>);

impl Teller {
    /// Writes a line; tells whether the other side is there.
    pub fn tell(&self, line: &str) -> bool {
        let mut stream = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        stream.write_all(format!("{line}\n").as_bytes()).is_ok()
    }
}

impl Link {
    fn new(stream: UnixStream) -> Self {
        let write = stream.try_clone().expect("a second descriptor");
        Self { read: BufReader::new(stream), teller: Teller(Arc::new(Mutex::new(write))), told: VecDeque::new() }
    }

    /// Both ends: the test's, and the one that becomes the standard input of the other process.
    pub fn pair() -> (Self, OwnedFd) {
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        ours.set_read_timeout(Some(BOUND)).expect("a time-out");
        (Self::new(ours), theirs.into())
    }

    /// The end of the other process.
    pub fn of_child() -> Self {
        let socket = std::io::stdin().as_fd().try_clone_to_owned().expect("a socket as standard input");
        Self::new(UnixStream::from(socket))
    }

    pub fn teller(&self) -> Teller {
        self.teller.clone()
    }

    pub fn tell(&self, line: &str) -> bool {
        self.teller.tell(line)
    }

    /// The next line of any kind; `None` if the other side is gone.
    pub fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.read.read_line(&mut line) {
            Ok(0) => None,
            // What was cut off in the middle was not said.
            Ok(_) => line.strip_suffix('\n').map(str::to_owned),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => None,
            Err(error) => panic!("no line: {error}"),
        }
    }

    /// Takes every line that is there already.
    pub fn without_waiting(&mut self, mut take: impl FnMut(&str)) {
        let stream = self.read.get_ref().try_clone().expect("a second descriptor");
        stream.set_nonblocking(true).expect("non-blocking");
        let mut line = String::new();
        while let Ok(length) = self.read.read_line(&mut line) {
            if length == 0 {
                break;
            }
            // A line is written by one call and comes whole.
            take(line.trim_end_matches('\n'));
            line.clear();
        }
        assert!(line.is_empty(), "half a line: {line}");
        stream.set_nonblocking(false).expect("blocking");
    }

    /// The next answer.
    pub fn answer(&mut self) -> Option<String> {
        loop {
            let line = self.line()?;
            match line.strip_prefix("* ") {
                Some(told) => self.told.push_back(told.to_owned()),
                None => return Some(line),
            }
        }
    }

    /// The next line that was told without being asked.
    pub fn told(&mut self) -> Option<String> {
        while self.told.is_empty() {
            let line = self.line()?;
            let told = line.strip_prefix("* ").unwrap_or_else(|| panic!("an answer nobody asked for: {line}"));
            self.told.push_back(told.to_owned());
        }
        self.told.pop_front()
    }

    /// What was told and not heard yet.
    pub fn take_told(&mut self) -> Vec<String> {
        self.told.drain(..).collect()
    }
}
