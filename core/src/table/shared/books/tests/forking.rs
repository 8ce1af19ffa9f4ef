//! Forks and other copies of SQLite: nothing that was committed is lost.

#![allow(unsafe_code)]

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use super::row;
use crate::ErrorKind;
use crate::table::shared::books::{Books, FILE};
use crate::table::shared::testing::{Other, Scratch, listen, role, say};

const PROCESS: &str = "table::shared::books::tests::forking::another_process";

/// What the other processes of these tests do; a test of its own is none.
#[test]
fn another_process() {
    let Some((role, dir)) = role() else { return };
    match role.as_str() {
        "fork" => fork_and_go_on(&dir),
        "fork anew" => fork_and_open_anew(&dir),
        "fork amid" => fork_amid_work(&dir),
        "lose locks" => lose_locks(&dir),
        "count" => {
            let books = Books::open(&dir).expect("books");
            say(&books.read(|pages| pages.count()).expect("a count").to_string());
        }
        other => panic!("no role {other}"),
    }
}

/// Counted by a process that had nothing to do with it.
fn count(dir: &Path) -> String {
    Other::spawn(PROCESS, "count", dir).hear()
}

fn keep(books: &Books, slots: impl Iterator<Item = u32>) {
    for slot in slots {
        // Without the writer word SQLite may let one of them wait for longer than it has patience.
        while let Err(error) = books.write(|ledger| ledger.insert_session(&row(slot))) {
            assert!(error.kind() == ErrorKind::Unavailable && error.message().contains("held by another"), "{error}");
        }
    }
}

/// Runs a body in the child of a fork, which leaves with what it answers.
fn forked(body: impl FnOnce()) -> libc::pid_t {
    // SAFETY: the child runs the body on the only thread that it has, and leaves without any destructor.
    match unsafe { libc::fork() } {
        // SAFETY: it does not return.
        0 => unsafe {
            let well = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).is_ok();
            libc::_exit(i32::from(!well));
        },
        child => {
            assert!(child > 0, "fork");
            child
        }
    }
}

fn join(child: libc::pid_t) {
    let mut status = 0;
    // SAFETY: the child is this process's own, and `status` outlives the call. Whoever hangs is ended by the test.
    while unsafe { libc::waitpid(child, &raw mut status, 0) } != child {}
    assert_eq!(status, 0, "the child went wrong");
}

/// Parent and child both go on with the books that they had; then the parent closes them under the child.
fn fork_and_go_on(dir: &Path) {
    let books = Books::open(dir).expect("books");
    keep(&books, 0..100);
    let (mut told, mut tell) = std::io::pipe().expect("a pipe");
    let child = forked(|| {
        keep(&books, 1000..1200);
        let mut closed = [0];
        std::io::Read::read_exact(&mut told, &mut closed).expect("the parent closed");
        keep(&books, 1200..1300);
        assert_eq!(books.read(|pages| pages.count()), Ok(600));
    });
    keep(&books, 100..300);
    books.close(true);
    tell.write_all(&[1]).expect("told");
    join(child);
    say("done");
}

#[test]
fn parent_and_child_go_on_with_the_same_books() {
    let dir = Scratch::new();
    Other::spawn(PROCESS, "fork", dir.path()).expect("done");
    assert_eq!(count(dir.path()), "600");
}

/// The child leaks what it inherited and opens the books anew, again and again; the parent closes and opens its own.
fn fork_and_open_anew(dir: &Path) {
    let mut books = Books::open(dir).expect("books");
    for round in 0..20 {
        let first = round * 1000;
        keep(&books, first..first + 10);
        let child = forked(|| {
            let own = Books::open(dir).expect("books");
            keep(&own, first + 100..first + 110);
            own.close(round % 2 == 0);
            keep(&Books::open(dir).expect("books"), first + 110..first + 120);
        });
        keep(&books, first + 10..first + 20);
        drop(books);
        books = Books::open(dir).expect("books");
        keep(&books, first + 20..first + 30);
        join(child);
    }
    say("done");
}

#[test]
fn a_child_that_opens_anew_loses_nothing() {
    let dir = Scratch::new();
    Other::spawn(PROCESS, "fork anew", dir.path()).expect("done");
    assert_eq!(count(dir.path()), "1000");
}

/// Threads write and read while another forks; each child writes too.
fn fork_amid_work(dir: &Path) {
    let books = &[Books::open(dir).expect("books"), Books::open(dir).expect("books again")];
    let stop = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers = [0, 1].map(|number| {
            scope.spawn(move || {
                let first = 100_000 * (number + 1);
                let mut next = first;
                while !stop.load(Ordering::Relaxed) {
                    keep(&books[number as usize], next..next + 1);
                    next += 1;
                }
                next - first
            })
        });
        for number in 0..3 {
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    books[number % 2].read(|pages| pages.count()).expect("a count");
                }
            });
        }
        for round in 0..20 {
            join(forked(|| keep(&books[0], round * 10..round * 10 + 5)));
        }
        stop.store(true, Ordering::Relaxed);
        let kept: u32 = writers.into_iter().map(|writer| writer.join().expect("a writer")).sum();
        say(&(kept + 100).to_string());
    });
    // As if it were killed.
    listen();
}

#[test]
fn a_fork_amid_work_tears_nothing() {
    let dir = Scratch::new();
    let mut other = Other::spawn(PROCESS, "fork amid", dir.path());
    let expected = other.hear();
    other.kill();
    assert_eq!(count(dir.path()), expected);
}

/// Another copy of SQLite in this process would take all locks away by closing the file: so does this. Then somebody
/// outside opens and closes it, and would delete the log if nobody seemed to have it open.
fn lose_locks(dir: &Path) {
    let books = Books::open(dir).expect("books");
    for round in 0..20 {
        keep(&books, round * 10..round * 10 + 5);
        for name in [FILE.to_owned(), format!("{FILE}-shm")] {
            drop(File::open(dir.join(name)).expect("a file"));
        }
        say("closed");
        listen();
        keep(&books, round * 10 + 5..round * 10 + 10);
    }
    assert_eq!(books.read(|pages| pages.count()), Ok(200));
    say("done");
    listen();
}

/// Opens the file with a copy of SQLite that is not ours, writes nothing, and closes it.
const OUTSIDER: &str = "
import sqlite3, sys
for line in sys.stdin:
    connection = sqlite3.connect(line.strip())
    count = connection.execute('SELECT count(*) FROM session').fetchone()[0]
    connection.execute('PRAGMA wal_checkpoint(TRUNCATE)')
    connection.close()
    print(count, flush=True)
";

#[test]
fn another_copy_of_sqlite_takes_nothing_away() {
    let dir = Scratch::new();
    let python = Command::new("python3").args(["-c", OUTSIDER]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let Ok(mut python) = python else {
        eprintln!("SKIPPED: there is no python3");
        return;
    };
    let (mut ask, answers) = (python.stdin.take().expect("its input"), python.stdout.take().expect("its output"));
    let mut answers = std::io::BufRead::lines(std::io::BufReader::new(answers));
    let mut other = Other::spawn(PROCESS, "lose locks", dir.path());
    for round in 0..20 {
        other.expect("closed");
        writeln!(ask, "{}", dir.path().join(FILE).display()).expect("asked");
        let seen = answers.next().expect("an answer").expect("a line");
        assert_eq!(seen, (round * 10 + 5).to_string());
        assert!(dir.path().join(format!("{FILE}-wal")).exists(), "the log was deleted under us");
        other.tell("go on");
    }
    other.expect("done");
    other.kill();
    drop(ask);
    python.wait().expect("its end");
    assert_eq!(count(dir.path()), "200");
}
