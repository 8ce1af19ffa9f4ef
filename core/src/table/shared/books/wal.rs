//! The log of SQLite: put onto the disk, and moved into the file.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, Row};

use super::errors;
use crate::error::{Error, ErrorKind, Result};
use crate::sync::Mutex;

/// Beyond so many pages the log begins anew: 256 MB.
pub(super) const MANY_PAGES: u64 = (256 << 20) / PAGE;
/// A page and its head in the log.
const PAGE: u64 = 4096 + 24;
/// The head of the log.
const HEAD: u64 = 32;

/// The log's file, by a descriptor of our own. SQLite locks nothing in it, so that closing it takes no lock away.
pub(super) struct Wal {
    path: PathBuf,
    file: Mutex<Option<Arc<File>>>,
}

impl Wal {
    pub fn new(path: PathBuf) -> Self {
        Self { path, file: Mutex::new(None) }
    }

    /// Pages in the file.
    pub fn pages(&self) -> u64 {
        std::fs::metadata(&self.path).map_or(0, |file| file.len().saturating_sub(HEAD) / PAGE)
    }

    /// The file that has the name now; without one everything is in the books themselves, and was synced when it got there.
    pub fn current(&self) -> Result<Option<Arc<File>>> {
        self.look().map_err(|error| self.failed(&error))
    }

    fn look(&self) -> std::io::Result<Option<Arc<File>>> {
        let mut held = self.file.lock();
        let named = match std::fs::metadata(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            named => named?,
        };
        if let Some(file) = &*held {
            let ours = file.metadata()?;
            if (ours.dev(), ours.ino()) == (named.dev(), named.ino()) {
                return Ok(Some(file.clone()));
            }
        }
        let file = Arc::new(File::open(&self.path)?);
        *held = Some(file.clone());
        Ok(Some(file))
    }

    /// Puts what was written so far onto the disk.
    pub fn sync(&self, file: &File) -> Result<()> {
        file.sync_data().map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &std::io::Error) -> Error {
        Error::new(
            ErrorKind::Uncertain,
            format!(
                "{} could not be put onto the disk ({error}): what was committed last may be lost if the machine stops; \
                 check the disk, then reopen the store",
                self.path.display()
            ),
        )
    }
}

/// What a checkpoint found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::table::shared) struct Moved {
    /// Pages in the log.
    pub pages: u64,
    /// So many of them are in the file now.
    pub moved: u64,
}

/// Moves the log into the file. Who reads or writes meanwhile is not disturbed, unless it is to begin anew.
pub(super) fn checkpoint(connection: &Connection, dir: &Path, mode: &str) -> Result<Moved> {
    let done = connection.prepare_cached(&format!("PRAGMA wal_checkpoint({mode})")).and_then(|mut statement| {
        // Whether it was busy is no error: the next one gets further.
        let number = |row: &Row<'_>, at| row.get::<_, i64>(at).map(|number| u64::try_from(number).unwrap_or(0));
        statement.query_row([], |row| Ok(Moved { pages: number(row, 1)?, moved: number(row, 2)? }))
    });
    done.map_err(|error| errors::explain(error, dir))
}
