//! What SQLite says, in the words of this library: what was wrong, where, and what to do.

use std::path::Path;

use rusqlite::ffi;

use crate::error::{Error, ErrorKind};

/// The primary and the extended code.
fn codes(error: &rusqlite::Error) -> Option<(i32, i32)> {
    match error {
        rusqlite::Error::SqliteFailure(failure, _) => Some((failure.extended_code & 0xff, failure.extended_code)),
        _ => None,
    }
}

/// Whether the connection is not to be used again.
pub(super) fn breaks(error: &rusqlite::Error) -> bool {
    codes(error).is_some_and(|(code, _)| matches!(code, ffi::SQLITE_IOERR | ffi::SQLITE_CORRUPT | ffi::SQLITE_NOTADB))
}

/// An error of anything but a commit.
pub(super) fn explain(error: rusqlite::Error, dir: &Path) -> Error {
    let dir = dir.display();
    let unavailable = |text: String| Error::new(ErrorKind::Unavailable, text);
    match codes(&error) {
        Some((ffi::SQLITE_FULL, _)) => {
            unavailable(format!("the disk of {dir} is full; nothing was changed; free some space there and try again"))
        }
        Some((ffi::SQLITE_READONLY, _)) => unavailable(format!(
            "the store {dir} can't be written ({error}); give this user write access to the directory and all files in it"
        )),
        Some((ffi::SQLITE_CANTOPEN, _)) => unavailable(format!(
            "the store {dir} can't be opened ({error}); the directory must exist on a local disk and this user must have \
             read and write access to it and to all files in it"
        )),
        Some((ffi::SQLITE_PERM | ffi::SQLITE_AUTH, _)) => {
            unavailable(format!("access to the store {dir} is denied ({error}); check owner and mode of its files"))
        }
        Some((ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED, _)) => unavailable(format!(
            "the books in {dir} are held by another program ({error}); nothing was changed; close whatever else has \
             {} open, a database browser for instance, and try again",
            super::FILE
        )),
        Some((ffi::SQLITE_CORRUPT | ffi::SQLITE_NOTADB, _)) => Error::new(
            ErrorKind::Corrupt,
            format!(
                "the books in {dir} are damaged ({error}); stop all processes that use them and restore the directory from \
                 a copy, or move it away to begin anew"
            ),
        ),
        Some((ffi::SQLITE_IOERR, extended)) => unavailable(format!(
            "reading or writing the store {dir} failed ({error}, code {extended}); nothing was changed; check the disk"
        )),
        Some((ffi::SQLITE_NOMEM, _)) => unavailable(format!("there is no memory left for the books in {dir}")),
        _ => Error::new(ErrorKind::Internal, format!("the books in {dir} answered what they never should: {error}")),
    }
}

/// An error of a commit: where the disk failed, nobody knows whether it was kept.
pub(super) fn commit(error: rusqlite::Error, dir: &Path) -> Error {
    match codes(&error) {
        Some((ffi::SQLITE_IOERR, extended)) => Error::new(
            ErrorKind::Uncertain,
            format!(
                "the store {} failed while it committed ({error}, code {extended}): whether the change was kept is not \
                 known; check the disk, then reopen the store",
                dir.display()
            ),
        ),
        _ => explain(error, dir),
    }
}

/// A row that can't be read.
pub(super) fn bad_row(table: &str, key: impl std::fmt::Display, dir: &Path) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        format!(
            "row {key} of table {table} of the books in {} can't be read: it does not have the checksum of its fields; it \
             is put into quarantine, all others are served",
            dir.display()
        ),
    )
}
