//! What fails says what was wrong and what to do, and loses nothing.

#![allow(unsafe_code)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use super::{books, data, row};
use crate::ErrorKind;
use crate::table::shared::books::{Books, FILE, wal};
use crate::table::shared::testing::{Other, Scratch, listen, role, say};

const PROCESS: &str = "table::shared::books::tests::failing::another_process";

/// What the other processes of these tests do; a test of its own is none.
#[test]
fn another_process() {
    let Some((role, dir)) = role() else { return };
    match role.as_str() {
        "other user" => {
            let error = Books::open(&dir).err().expect("not its own");
            say(&format!("{}: {}", error.kind(), error.message()));
        }
        "no more bytes" => no_more_bytes(&dir),
        "umask" => {
            rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o777));
            Books::open(&dir).expect("books").write(|ledger| ledger.insert_session(&row(1))).expect("kept");
        }
        other => panic!("no role {other}"),
    }
}

#[test]
fn the_files_are_their_owners_alone_whatever_the_umask() {
    for role in [None, Some("umask")] {
        let dir = Scratch::new();
        match role {
            None => drop(Books::open(dir.path()).expect("books")),
            Some(role) => Other::spawn(PROCESS, role, dir.path()).finish(),
        }
        let books = Books::open(dir.path()).expect("books");
        books.write(|ledger| ledger.insert_session(&row(2))).expect("kept");
        for name in [FILE.to_owned(), format!("{FILE}-wal"), format!("{FILE}-shm")] {
            let mode = fs::metadata(dir.path().join(&name)).expect("a file").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }
}

/// Fills until it fails.
fn fill(books: &Books, slots: std::ops::Range<u32>) -> Option<(u32, crate::Error)> {
    for slot in slots {
        let kept = books.write(|ledger| {
            ledger.insert_session(&row(slot))?;
            ledger.put_data(slot, 3, &data("a", &"x".repeat(10_000)))
        });
        if let Err(error) = kept {
            return Some((slot, error));
        }
    }
    None
}

#[test]
fn a_full_disk_is_told_and_loses_nothing() {
    let (dir, books) = books();
    // As SQLite sees a disk without room: it is asked for a page more than there may be.
    books.write(|ledger| ledger.run("PRAGMA max_page_count = 100", []).map(drop).or(Ok(()))).expect("a bound");
    let (slot, error) = fill(&books, 0..1000).expect("full");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(
        error.message().contains("is full") && error.message().contains(&dir.path().display().to_string()),
        "{error}"
    );
    assert_eq!(books.read(|pages| pages.count()), Ok(u64::from(slot)));
    assert!(books.read(|pages| pages.session(slot)).expect("read").is_none());
    books.write(|ledger| ledger.delete_session(0, 3)).expect("an end needs no room");
    assert_eq!(books.read(|pages| pages.data(slot - 1, 3)).map(|rows| rows.len()), Ok(1));
}

#[test]
fn a_disk_that_is_really_full_is_told_and_loses_nothing() {
    let dir = Scratch::new();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "none"]).arg(dir.path()).output();
    if !mounted.is_ok_and(|done| done.status.success()) {
        eprintln!("SKIPPED: a small file system can't be mounted here");
        return;
    }
    let found = std::panic::catch_unwind(|| {
        let books = Books::open(dir.path()).expect("books");
        let (slot, error) = fill(&books, 0..1000).expect("full");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(error.message().contains("is full"), "{error}");
        assert_eq!(books.read(|pages| pages.count()), Ok(u64::from(slot)));
        drop(books);
        let books = Books::open(dir.path()).expect("books");
        assert_eq!(books.read(|pages| pages.count()), Ok(u64::from(slot)));
    });
    let gone = Command::new("umount").arg("-l").arg(dir.path()).status();
    assert!(gone.is_ok_and(|status| status.success()), "it can't be unmounted");
    if let Err(panic) = found {
        std::panic::resume_unwind(panic);
    }
}

/// A limit of the process on the size of files: writes fail with what is not a full disk.
fn no_more_bytes(dir: &std::path::Path) {
    let books = Books::open(dir).expect("books");
    assert!(fill(&books, 0..10).is_none());
    let size = fs::metadata(dir.join(format!("{FILE}-wal"))).expect("a log").len();
    let limit = |most| {
        let limit = libc::rlimit { rlim_cur: most, rlim_max: libc::RLIM_INFINITY };
        // SAFETY: `limit` outlives the call; the signal that tells of the limit is ignored.
        unsafe {
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
            assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit), 0);
        }
    };
    limit(size + 20_000);
    let (slot, error) = fill(&books, 10..1000).expect("no more");
    limit(libc::RLIM_INFINITY);
    say(&format!("{slot} {}: {}", error.kind(), error.message()));
    assert!(fill(&books, slot..slot + 10).is_none(), "it goes on");
    say(&books.read(|pages| pages.count()).expect("a count").to_string());
    listen();
}

#[test]
fn a_commit_that_the_disk_failed_is_uncertain_and_the_books_are_whole() {
    let dir = Scratch::new();
    let other = Other::spawn(PROCESS, "no more bytes", dir.path());
    let said = other.hear();
    let (slot, error) = said.split_once(' ').expect("a slot");
    assert!(error.starts_with("uncertain: ") && error.contains("check the disk"), "{error}");
    let count = other.hear();
    assert_eq!(count, (slot.parse::<u32>().expect("a number") + 10).to_string());
    drop(other);
    let books = Books::open(dir.path()).expect("books");
    assert_eq!(books.read(|pages| pages.count()).map(|count| count.to_string()), Ok(count));
    let page = books.read(|pages| pages.sessions(0, 1000)).expect("a page");
    assert_eq!(page.bad, []);
}

#[test]
fn a_directory_that_is_not_ones_own_is_told() {
    let dir = Scratch::new();
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: only root can be somebody else");
        return;
    }
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("its mode");
    for there in [false, true] {
        if there {
            drop(Books::open(dir.path()).expect("books"));
        }
        let said = Other::spawn_as(PROCESS, "other user", dir.path(), Some(65_534)).hear();
        assert!(said.contains(&dir.path().display().to_string()), "{said}");
        assert!(said.starts_with("unavailable: ") || said.starts_with("invalid: "), "{said}");
    }
    Books::open(dir.path()).expect("nothing was changed");
}

#[test]
fn a_directory_that_is_not_there_is_told() {
    let dir = Scratch::new();
    let error = Books::open(&dir.store()).err().expect("nothing there");
    assert!(error.message().contains(&dir.store().display().to_string()), "{error}");
}

#[test]
fn a_file_that_was_replaced_is_not_mistaken_for_the_books() {
    let (dir, books) = books();
    books.write(|ledger| ledger.insert_session(&row(1))).expect("kept");
    let other = Scratch::new();
    drop(Books::open(other.path()).expect("books"));
    fs::rename(other.path().join(FILE), dir.path().join(FILE)).expect("replaced");
    let error = books.read(|pages| pages.count()).expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Poisoned, "{error}");
}

#[test]
fn the_log_is_synced_and_moved_into_the_file() {
    let (dir, books) = books();
    assert!(fill(&books, 0..50).is_none());
    let pages = books.wal_pages();
    assert!(pages >= 150, "{pages}");
    books.sync().expect("on the disk");
    books.checkpoint().expect("moved");
    assert!(fs::metadata(dir.path().join(FILE)).expect("a file").len() > 500_000);
    // All was moved: the log is used from its beginning again.
    assert!(fill(&books, 50..51).is_none());
    assert_eq!(books.wal_pages(), pages);
    assert!(!books.wants_restart());
    books
        .read(|pages| {
            assert!(fill(&books, 51..60).is_none());
            books.checkpoint().expect("as far as nobody reads");
            pages.count()
        })
        .expect("a count");
    let connection = rusqlite::Connection::open(dir.path().join(FILE)).expect("a connection");
    wal::checkpoint(&connection, dir.path(), "RESTART").expect("begun anew");
    drop(connection);
    books.close(true);
    assert_eq!(books.wal_pages(), 0);
    assert_eq!(books.sync().expect_err("closed").kind(), ErrorKind::Closed);
}

#[test]
fn up_to_four_read_at_once_and_the_fifth_waits() {
    let (_dir, books) = books();
    books.write(|ledger| ledger.insert_session(&row(1))).expect("kept");
    let (books, all) = (&books, &std::sync::Barrier::new(4));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let count = books.read(|pages| {
                    all.wait();
                    pages.count()
                });
                assert_eq!(count, Ok(1));
            });
        }
        for _ in 0..12 {
            scope.spawn(|| assert_eq!(books.read(|pages| pages.count()), Ok(1)));
        }
    });
}

#[test]
fn a_reader_sees_one_instant() {
    let (_dir, books) = books();
    books
        .read(|pages| {
            assert_eq!(pages.count(), Ok(0));
            books.write(|ledger| ledger.insert_session(&row(1)))?;
            assert_eq!(pages.count(), Ok(0));
            Ok(())
        })
        .expect("read");
    assert_eq!(books.read(|pages| pages.count()), Ok(1));
}
