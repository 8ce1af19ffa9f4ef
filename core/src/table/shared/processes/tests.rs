use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::*;
use crate::table::shared::testing::{BOUND, Other, Scratch, listen, role, say, until};

const PROCESS: &str = "table::shared::processes::tests::another_process";

/// Runs a body in the child of a fork, which leaves with what it answers.
fn forked(body: impl FnOnce() -> i32) -> libc::pid_t {
    // SAFETY: the child runs the body on the only thread that it has, and leaves without any destructor.
    match unsafe { libc::fork() } {
        // SAFETY: it does not return.
        0 => unsafe {
            libc::_exit(std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).unwrap_or(255));
        },
        child => {
            assert!(child > 0, "fork");
            child
        }
    }
}

fn answer(child: libc::pid_t) -> i32 {
    let mut status = 0;
    until("the child leaves", || {
        // SAFETY: the child is this process's own.
        unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) != 0 }
    });
    if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { -1 }
}

/// What the other processes of these tests do; a test of its own is none.
#[test]
fn another_process() {
    let Some((role, dir)) = role() else { return };
    match role.as_str() {
        "take" => {
            let processes = Processes::open(&dir).expect("open");
            assert_eq!(processes.take(7), Ok(true));
            assert!(processes.lead());
            let _setup = processes.setup(Duration::ZERO).expect("setup");
            say("taken");
            listen();
        }
        // Its child lives on when it is killed.
        "fork" => {
            let processes = Processes::open(&dir).expect("open");
            assert_eq!(processes.take(7), Ok(true));
            let child = forked(|| {
                listen();
                0
            });
            say(&child.to_string());
            answer(child);
        }
        // A program started by it lives on.
        "start" => {
            let processes = Processes::open(&dir).expect("open");
            assert_eq!(processes.take(7), Ok(true));
            let mut program = Command::new("sleep").arg("60").spawn().expect("a program");
            say(&program.id().to_string());
            program.wait().expect("its end");
        }
        "inherit" => inherit(&dir),
        "other user" => {
            let error = Processes::open(&dir).err().expect("not its own");
            say(&format!("{}: {}", error.kind(), error.message()));
        }
        other => panic!("no role {other}"),
    }
}

/// What a child of a fork can do with what its parent opened: nothing, and it harms nobody.
fn inherit(dir: &Path) {
    let mut processes = ManuallyDrop::new(Processes::open(dir).expect("open"));
    assert_eq!(processes.take(7), Ok(true));
    std::mem::forget(processes.setup(Duration::ZERO));
    let descriptor = processes.file.as_raw_fd();
    let child = forked(|| {
        let wrong = |at: i32, right: bool| if right { 0 } else { at };
        // The number of the descriptor is free, and goes to another file.
        let mut file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(dir.join("a file of the child"))
            .expect("a file");
        let checks = [
            wrong(1, file.as_raw_fd() == descriptor),
            wrong(2, matches!(processes.take(8), Err(error) if error.kind() == ErrorKind::Internal)),
            wrong(4, processes.setup(Duration::ZERO).is_err()),
            wrong(8, !processes.lead() && processes.alive(9)),
        ];
        processes.give_back(7);
        processes.unlead();
        let again = processes.take(8).is_err_and(|error| error.kind() == ErrorKind::Forked);
        // SAFETY: it is not used after this in the child, and the parent has its own.
        unsafe { ManuallyDrop::drop(&mut processes) };
        let works = file.write_all(b"whole").is_ok() && fs::read(dir.join("a file of the child")).is_ok();
        let mut rest = String::new();
        let end = file.read_to_string(&mut rest).is_ok();
        // One of its own sees the parent alive, and has a number of its own.
        let own = Processes::open(dir).expect("open");
        let sees = own.alive(7) && own.take(7) == Ok(false) && own.take(8) == Ok(true);
        checks.iter().sum::<i32>() + wrong(16, again) + wrong(32, works && end) + wrong(64, sees)
    });
    say(&answer(child).to_string());
    listen();
}

fn open_two() -> (Scratch, Processes, Processes) {
    let scratch = Scratch::new();
    let one = Processes::open(&scratch.store()).expect("open");
    let two = Processes::open(&scratch.store()).expect("open");
    (scratch, one, two)
}

#[test]
fn two_managers_of_a_process_are_two_participants() {
    let (scratch, one, two) = open_two();
    assert!(!one.alive(1) && !two.alive(1));
    assert_eq!((one.take(1), two.take(1)), (Ok(true), Ok(false)));
    assert!(one.alive(1) && two.alive(1));
    assert_eq!(two.take(1024), Ok(true));
    assert!(one.alive(1024) && !one.alive(1023));
    // Opening and closing the file elsewhere in the process frees nothing.
    drop(Processes::open(&scratch.store()).expect("open"));
    drop(fs::File::open(scratch.store().join(NAME)).expect("the file"));
    assert!(one.alive(1024) && two.alive(1));
    one.give_back(1024);
    assert!(two.alive(1) && one.alive(1024), "it gives back its own only");
    one.give_back(1);
    assert!(!one.alive(1) && !two.alive(1));
    assert_eq!(one.take(3), Ok(true));
    drop(one);
    assert!(!two.alive(3));
}

#[test]
fn numbers_have_bounds() {
    let (_scratch, one, _two) = open_two();
    for number in [0, 1025, LEADER, SETUP, u32::MAX] {
        assert!(!one.alive(number));
        let error = one.take(number).expect_err("no number");
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.message().ends_with(&format!("not {number}")), "{error}");
    }
    assert_eq!(one.take(1), Ok(true));
    assert_eq!(one.take(2).expect_err("one at a time").kind(), ErrorKind::Internal);
    assert!(one.alive(1));
}

#[test]
fn one_leads() {
    let (_scratch, one, two) = open_two();
    assert!(one.lead() && !two.lead() && one.lead());
    one.unlead();
    assert!(two.lead() && !one.lead());
    drop(two);
    assert!(one.lead());
}

#[test]
fn one_sets_up_and_the_others_wait() {
    let (scratch, one, two) = open_two();
    let setup = one.setup(Duration::ZERO).expect("setup");
    for processes in [&one, &two] {
        let error = processes.setup(Duration::from_millis(30)).err().expect("it is taken");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        let store = scratch.store().display().to_string();
        assert!(error.message().starts_with(&format!("another process is opening the store {store}, for 30 ms")));
    }
    let waits = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let waiters = [&one, &two].map(|processes| {
            let waits = &waits;
            scope.spawn(move || {
                waits.store(true, Ordering::Release);
                processes.setup(Duration::from_secs(30)).map(drop)
            })
        });
        until("somebody waits", || waits.load(Ordering::Acquire));
        drop(setup);
        for waiter in waiters {
            assert_eq!(waiter.join().expect("a waiter"), Ok(()));
        }
    });
}

#[test]
fn a_killed_process_is_not_alive_and_holds_nothing() {
    let scratch = Scratch::new();
    let processes = Processes::open(&scratch.store()).expect("open");
    for _ in 0..5 {
        let mut other = Other::spawn(PROCESS, "take", &scratch.store());
        other.expect("taken");
        assert!(processes.alive(7) && processes.take(7) == Ok(false) && !processes.lead());
        assert!(processes.setup(Duration::ZERO).is_err());
        other.kill();
        assert!(!processes.alive(7));
        assert!(processes.lead());
        drop(processes.setup(Duration::ZERO).expect("setup"));
        assert_eq!(processes.take(7), Ok(true));
        processes.give_back(7);
        processes.unlead();
    }
}

#[test]
fn neither_a_child_nor_a_program_keeps_a_killed_process_alive() {
    let scratch = Scratch::new();
    let processes = Processes::open(&scratch.store()).expect("open");
    for role in ["fork", "start"] {
        let mut other = Other::spawn(PROCESS, role, &scratch.store());
        let child = other.hear().parse::<libc::pid_t>().expect("a number");
        assert!(processes.alive(7));
        other.kill();
        // It closes what it inherited when it first runs.
        let until = Instant::now() + BOUND;
        let mut alive = true;
        while alive && Instant::now() < until {
            std::thread::yield_now();
            alive = processes.alive(7);
        }
        // SAFETY: signals are sent to the child of a process of this test alone.
        let lives = unsafe { libc::kill(child, 0) } == 0;
        // SAFETY: the same.
        unsafe { libc::kill(child, libc::SIGKILL) };
        assert!(lives, "{role}: what it started lives");
        assert!(!alive, "{role}: the inherited descriptor keeps it alive");
    }
}

#[test]
fn a_child_of_a_fork_does_nothing_with_its_parents() {
    let scratch = Scratch::new();
    let processes = Processes::open(&scratch.store()).expect("open");
    let mut other = Other::spawn(PROCESS, "inherit", &scratch.store());
    other.expect("0");
    assert!(processes.alive(7) && processes.setup(Duration::ZERO).is_err(), "the parent keeps what it has");
    other.tell("end");
    other.finish();
    assert!(!processes.alive(7));
}

#[test]
fn the_directory_and_the_file_are_their_owners() {
    let scratch = Scratch::new();
    drop(Processes::open(&scratch.store()).expect("open"));
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!((mode(&scratch.store()), mode(&scratch.store().join(NAME))), (0o700, 0o600));
}

#[test]
fn what_can_not_be_a_store_is_refused() {
    let scratch = Scratch::new();
    let refused = |path: PathBuf, part: &str| {
        let error = Processes::open(&path).err().expect(part);
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(error.message().contains(part), "{error}");
        assert!(error.message().contains(&path.display().to_string()), "{error}");
    };
    refused(scratch.path().join("no/store"), "/no does not exist; create that first");
    fs::write(scratch.path().join("file"), "").expect("a file");
    refused(scratch.path().join("file"), "is not a directory");
    refused(scratch.path().join("file/store"), "Not a directory");
    refused(PathBuf::from(""), "the store");
    for mode in [0o770, 0o702, 0o777] {
        let dir = scratch.path().join(format!("{mode:o}"));
        fs::create_dir(&dir).expect("a directory");
        fs::set_permissions(&dir, fs::Permissions::from_mode(mode)).expect("its mode");
        refused(dir, &format!("(mode 0{mode:o}, "));
    }
}

#[test]
fn the_directory_of_another_user_is_refused() {
    let scratch = Scratch::new();
    if !rustix::process::geteuid().is_root() {
        // Whoever is not root has a directory of another user at hand.
        let error = Processes::open(Path::new("/etc/ssl")).err().expect("root's");
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        return;
    }
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755)).expect("its mode");
    drop(Processes::open(&scratch.store()).expect("open"));
    // As nobody, with a copy of this program that nobody can reach.
    let other = Other::spawn_as(PROCESS, "other user", &scratch.store(), Some(65_534));
    let error = other.hear();
    assert!(error.starts_with("invalid: store "), "{error}");
    assert!(error.contains(&scratch.store().display().to_string()), "{error}");
    assert!(error.contains("uid 65534"), "{error}");
}

#[test]
fn a_read_only_file_system_says_so() {
    let scratch = Scratch::new();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "ro,mode=700", "none"]).arg(scratch.path()).output();
    if !mounted.is_ok_and(|done| done.status.success()) {
        // Only root may mount.
        return;
    }
    let errors = [scratch.path().to_owned(), scratch.store()].map(|dir| Processes::open(&dir).err());
    let gone = Command::new("umount").arg("-l").arg(scratch.path()).status();
    assert!(gone.is_ok_and(|status| status.success()), "it can't be unmounted");
    for error in errors {
        let error = error.expect("nothing can be written");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(error.message().contains("mounted read-only"), "{error}");
    }
}
