//! The directory of a store: whether it may be one, and what went wrong in it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::io::Errno;

use crate::error::{Error, ErrorKind, Result};

/// Makes the directory (0700) if its parent is there, and refuses one that can't hold a store.
pub(super) fn prepare(dir: &Path) -> Result<()> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = dir.parent().unwrap_or(dir);
            return Err(Error::invalid(format!(
                "the store {} can't be made: its parent directory {} does not exist; create that first",
                dir.display(),
                parent.display()
            )));
        }
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists && !dir.is_dir() => {
            return Err(failed(dir, "the directory can't be made", &error));
        }
        _ => {}
    }
    let found = fs::metadata(dir).map_err(|error| failed(dir, "the directory can't be looked at", &error))?;
    if !found.is_dir() {
        return Err(Error::invalid(format!(
            "the store {} is not a directory; name a directory that belongs to the store alone",
            dir.display()
        )));
    }
    if found.mode() & 0o022 != 0 {
        return Err(Error::invalid(format!(
            "the store {} may be written by others than its owner (mode {:04o}, owner {}): whoever writes there can read \
             and forge every session; chmod 700 it",
            dir.display(),
            found.mode() & 0o7777,
            found.uid()
        )));
    }
    #[cfg(target_os = "linux")]
    super::network::refuse(dir, found.dev())?;
    Ok(())
}

/// Opens a file of the store to read and write, for its owner alone.
pub(super) fn open(dir: &Path, name: &str, create: bool) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(create).truncate(false).mode(0o600).open(dir.join(name))
}

/// An error of the system, with what to do. `path` is the directory or a file in it.
pub(super) fn failed(path: &Path, what: &str, error: &io::Error) -> Error {
    let path_shown = path.display();
    let errno = Errno::from_io_error(error);
    let (kind, advice) = match errno {
        Some(Errno::ACCESS | Errno::PERM) => {
            let me = rustix::process::geteuid().as_raw();
            let owner = match fs::symlink_metadata(path) {
                Ok(found) => format!("it belongs to uid {}, mode {:04o}", found.uid(), found.mode() & 0o7777),
                Err(_) => "it can't be looked at".to_owned(),
            };
            let advice = format!(
                "{owner}, and this process runs as uid {me}; run all processes of a store as the uid that owns it, or \
                 chown it"
            );
            (ErrorKind::Invalid, advice)
        }
        Some(Errno::ROFS) => {
            (ErrorKind::Unavailable, "the file system is mounted read-only; use a directory on a writable one".into())
        }
        Some(Errno::NOSPC | Errno::DQUOT) => (ErrorKind::Unavailable, free(path)),
        Some(Errno::NOTDIR | Errno::LOOP | Errno::NOENT | Errno::ISDIR) => {
            (ErrorKind::Invalid, "name a directory that exists, and that belongs to the store alone".into())
        }
        Some(Errno::MFILE | Errno::NFILE) => {
            (ErrorKind::Unavailable, "too many files are open; raise the limit (ulimit -n)".into())
        }
        _ => (ErrorKind::Unavailable, "look at the file system".into()),
    };
    Error::new(kind, format!("store {path_shown}: {what}: {error}; {advice}"))
}

/// How much room there is where the path is.
pub(super) fn free(path: &Path) -> String {
    let mut at = path;
    loop {
        if let Ok(found) = rustix::fs::statvfs(at) {
            return format!("free {} MiB there", found.f_bavail.saturating_mul(found.f_frsize) >> 20);
        }
        match at.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => at = parent,
            _ => return "make room there".into(),
        }
    }
}
