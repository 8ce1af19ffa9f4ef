//! Further processes: this binary executed again, told when to begin, asked for its numbers.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

/// A process that measures.
pub struct Child {
    process: std::process::Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Child {
    /// Starts `store WORDS…`; waits until it is ready.
    pub fn start(words: &[&str]) -> Self {
        let mut child = Self::begin(words);
        assert_eq!(child.line(), "ready", "{words:?}");
        child
    }

    /// The same without waiting.
    pub fn begin(words: &[&str]) -> Self {
        let me = std::env::current_exe().expect("the binary has a path");
        let mut command = Command::new(me);
        command.arg("store").args(words).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap_or_else(|error| panic!("{words:?} can't be started: {error}"));
        let input = process.stdin.take().expect("an input");
        let output = BufReader::new(process.stdout.take().expect("an output"));
        Self { process, input, output }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }

    /// Lets it go on.
    pub fn go(&mut self) {
        writeln!(self.input, "go").expect("the process listens");
    }

    /// Its next line of numbers.
    pub fn numbers(&mut self) -> Vec<f64> {
        let line = self.line();
        let numbers: Vec<f64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        assert!(!numbers.is_empty(), "no numbers but {line:?}");
        numbers
    }

    /// Waits until it is gone.
    pub fn wait(mut self) {
        drop(self.input);
        let status = self.process.wait().expect("a process");
        assert!(status.success(), "a process failed: {status}");
    }

    /// Kills it: -9.
    pub fn kill(mut self) {
        self.process.kill().expect("a process to kill");
        self.process.wait().expect("a process");
    }
}

/// In the child: says that it is ready, waits until it may go on.
pub fn ready() {
    say(&["ready"]);
    turn();
}

/// In the child: waits until it may go on.
pub fn turn() {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).expect("a line");
}

/// In the child: tells something to the parent.
pub fn say(words: &[impl std::fmt::Display]) {
    let words: Vec<String> = words.iter().map(ToString::to_string).collect();
    let mut output = std::io::stdout().lock();
    writeln!(output, "{}", words.join(" ")).and_then(|()| output.flush()).expect("the parent listens");
}
