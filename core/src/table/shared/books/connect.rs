//! The connections of one manager: opened when they are needed, closed before a fork, lent to one thread at a time.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::super::patience::holds_up;
use super::belt::{self, FileId};
use super::seal::SealKey;
use super::wal::{self, Moved, Wal};
use super::{FILE, Pages, errors, gate, schema};
use crate::error::{Error, ErrorKind, Result};
use crate::sync::{Condvar, Mutex};

/// Connections that read at once, and one more for who has the writer's word.
const READERS: usize = 4;
/// Prepared statements kept by a connection.
const STATEMENTS: usize = 128;
/// The net under the writer word: how long SQLite waits by itself.
const BUSY: Duration = Duration::from_secs(4);
/// How long a checkpoint waits for who reads what it wants to begin anew: everybody waits for it meanwhile.
const RESTART: Duration = Duration::from_millis(100);

/// All connections of one manager to one store.
pub(super) struct Desk {
    dir: PathBuf,
    file: FileId,
    key: SealKey,
    closed: AtomicBool,
    writer: Mutex<Option<Connection>>,
    readers: Mutex<Readers>,
    /// Woken when a reader comes back.
    back: Condvar,
    checkpointer: Mutex<Option<Connection>>,
    wal: Wal,
    /// The last place that the sweep of tombstones looked at.
    swept: AtomicI64,
}

#[derive(Default)]
struct Readers {
    idle: Vec<Connection>,
    lent: usize,
    /// Threads that wait for one to come back.
    waiting: usize,
}

impl Desk {
    /// Opens the books of a directory and keeps a connection to write with.
    pub fn open(dir: &Path, make: bool) -> Result<Arc<Self>> {
        belt::enlist();
        let _inside = gate::enter();
        let mut files = belt::files();
        if make {
            make_file(dir)?;
        }
        let file = FileId::of(&dir.join(FILE))
            .map_err(|error| super::super::directory::failed(dir, "it can't be looked at", &error))?;
        let connection = connect(dir, true)?;
        if make { schema::settle(&connection, dir) } else { schema::check(&connection, dir) }?;
        let key = key(&connection, dir)?;
        let desk = Arc::new(Self {
            dir: dir.to_owned(),
            file,
            key,
            closed: AtomicBool::new(false),
            writer: Mutex::new(None),
            readers: Mutex::default(),
            back: Condvar::new(),
            checkpointer: Mutex::new(None),
            wal: Wal::new(dir.join(format!("{FILE}-wal"))),
            swept: AtomicI64::new(-1),
        });
        // SQLite has read: the belt can't hide from it any more that it is the first.
        files.join(file, &desk);
        files.hold(file, dir)?;
        *desk.writer.lock() = Some(connection);
        Ok(desk)
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Closed, format!("the store {} was closed", self.dir.display())));
        }
        Ok(())
    }

    /// A further connection. The caller is inside of the gate.
    fn connect(&self, writes: bool) -> Result<Connection> {
        let mut files = belt::files();
        let connection = connect(&self.dir, writes)?;
        if FileId::of(&self.dir.join(FILE)).ok() != Some(self.file) {
            return Err(Error::new(
                ErrorKind::Poisoned,
                format!(
                    "{} was replaced while it was open; close every manager of this store, then open it again",
                    self.dir.join(FILE).display()
                ),
            ));
        }
        files.hold(self.file, &self.dir)?;
        Ok(connection)
    }

    fn pages<'a>(&'a self, connection: &'a Connection) -> Pages<'a> {
        Pages { connection, key: self.key, dir: &self.dir, swept: &self.swept }
    }

    pub fn with_writer<T>(&self, work: impl FnOnce(Pages<'_>) -> Result<T>) -> Result<T> {
        let _inside = gate::enter();
        self.check_open()?;
        let mut writer = self.writer.lock();
        let connection = match writer.take() {
            Some(connection) => connection,
            None => self.connect(true)?,
        };
        let connection = writer.insert(connection);
        let done = work(self.pages(connection));
        // After a failure of the disk the next one begins with a fresh look.
        if done.as_ref().is_err_and(|error| matches!(error.kind(), ErrorKind::Uncertain | ErrorKind::Corrupt)) {
            *writer = None;
        }
        done
    }

    pub fn with_reader<T>(&self, look: impl FnOnce(&Pages<'_>) -> Result<T>) -> Result<T> {
        let _inside = gate::enter();
        self.check_open()?;
        let mut lent = Lent { desk: self, connection: self.lend() };
        let connection = match lent.connection.take() {
            Some(connection) => connection,
            None => self.connect(false)?,
        };
        look(&self.pages(lent.connection.insert(connection)))
    }

    /// An idle connection, or room for one more. Who has the writer's word does not wait for those who take their time.
    fn lend(&self) -> Option<Connection> {
        let most = READERS + usize::from(holds_up());
        let mut readers = self.readers.lock();
        while readers.lent >= most {
            readers.waiting += 1;
            self.back.wait(&mut readers);
            readers.waiting -= 1;
        }
        readers.lent += 1;
        readers.idle.pop()
    }

    /// Has everything committed so far on the disk.
    pub fn sync(&self) -> Result<()> {
        let log = {
            let _inside = gate::enter();
            self.check_open()?;
            self.wal.current()?
        };
        // A fork need not wait for the disk.
        log.map_or(Ok(()), |log| self.wal.sync(&log))
    }

    pub fn checkpoint(&self, restart: bool) -> Result<Moved> {
        let _inside = gate::enter();
        self.check_open()?;
        let mut held = self.checkpointer.lock();
        let connection = match held.take() {
            Some(connection) => connection,
            None => {
                let connection = self.connect(true)?;
                connection.busy_timeout(RESTART).map_err(|error| errors::explain(error, &self.dir))?;
                connection
            }
        };
        // Beyond its bound the log is emptied: one that only began anew would keep its length, and look as long.
        let done = wal::checkpoint(held.insert(connection), &self.dir, if restart { "TRUNCATE" } else { "PASSIVE" });
        if done.is_err() {
            *held = None;
        }
        done
    }

    pub fn wal_pages(&self) -> u64 {
        self.wal.pages()
    }

    /// Closes all connections for good.
    pub fn close(self: &Arc<Self>, last: bool) {
        let _inside = gate::enter();
        if self.closed.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut files = belt::files();
        let alone = files.leave(self.file, self);
        if alone && last {
            // SQLite empties and deletes the log if it can have the file to itself. Unlocked, not closed: the process would
            // lose what it holds.
            files.unlock(self.file);
        }
        self.hang_up();
        if alone {
            files.forget(self.file);
        }
    }

    /// Closes all connections; those that are lent are closed when they come back. They are opened anew when they are needed.
    pub fn hang_up(&self) {
        *self.writer.lock() = None;
        *self.checkpointer.lock() = None;
        let idle = std::mem::take(&mut self.readers.lock().idle);
        drop(idle);
    }

    pub fn file(&self) -> FileId {
        self.file
    }
}

/// A reader lent to a thread.
struct Lent<'a> {
    desk: &'a Desk,
    connection: Option<Connection>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let closed = self.desk.closed.load(Ordering::Acquire);
        let mut readers = self.desk.readers.lock();
        readers.lent -= 1;
        match self.connection.take() {
            Some(connection) if !closed => readers.idle.push(connection),
            connection => drop(connection),
        }
        // Ringing a bell is a call of the system, whoever listens.
        let waited = readers.waiting > 0;
        drop(readers);
        if waited {
            self.desk.back.notify_one();
        }
    }
}

/// Makes the file for its owner alone, whatever the umask; SQLite gives its other files the same mode.
fn make_file(dir: &Path) -> Result<()> {
    let path = dir.join(FILE);
    let failed = |error: io::Error| super::super::directory::failed(&path, "it can't be made", &error);
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
        Ok(file) => file.set_permissions(std::fs::Permissions::from_mode(0o600)).map_err(failed),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

/// A connection that has read.
fn connect(dir: &Path, writes: bool) -> Result<Connection> {
    let fault = |error| errors::explain(error, dir);
    // No creation: the file is there. Our own locks keep two threads off one connection.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let connection = Connection::open_with_flags(dir.join(FILE), flags).map_err(fault)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.busy_timeout(BUSY).map_err(fault)?;
    // Or many a statement would be prepared anew for each value that is bound to it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(fault)?;
    if std::fs::metadata(dir.join(FILE)).is_ok_and(|file| file.len() == 0) {
        // Only before anything is written; later it would be a write by itself.
        connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL;").map_err(fault)?;
    }
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).map_err(fault)?;
    if mode != "wal" {
        return Err(Error::new(
            ErrorKind::Unavailable,
            format!(
                "the file system of {} has no shared memory for SQLite (journal mode '{mode}'); put the store on a local disk",
                dir.display()
            ),
        ));
    }
    connection
        .execute_batch(
            "PRAGMA synchronous = NORMAL; PRAGMA mmap_size = 0; PRAGMA cache_size = -16384; PRAGMA wal_autocheckpoint = 0; \
             PRAGMA temp_store = MEMORY; PRAGMA foreign_keys = OFF; PRAGMA trusted_schema = OFF;",
        )
        .map_err(fault)?;
    if !writes {
        connection.execute_batch("PRAGMA query_only = ON").map_err(fault)?;
    }
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0)).map_err(fault)?;
    Ok(connection)
}

/// The key of the checksums.
fn key(connection: &Connection, dir: &Path) -> Result<SealKey> {
    let key: Vec<u8> = connection
        .query_row("SELECT v FROM meta WHERE k = 'key'", [], |row| row.get(0))
        .map_err(|error| errors::explain(error, dir))?;
    key.try_into().map(SealKey).map_err(|_| {
        Error::new(
            ErrorKind::Corrupt,
            format!("the key of the checksums of {} is damaged; restore the directory from a copy", dir.display()),
        )
    })
}
