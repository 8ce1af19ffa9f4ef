//! The books: what must be true, in one SQLite file. Everything that is SQL is here.
//!
//! One connection writes, up to four read; all are opened when they are first needed, closed before a fork and opened anew
//! after it. The caller of [`Books::write`] holds the writer word of the machine: SQLite's own waiting is only a net.

mod belt;
mod claims;
mod connect;
mod dead_events;
mod definitions;
mod denials;
mod errors;
mod gate;
mod graves;
mod letters;
mod licenses;
mod log;
mod meta;
mod names;
mod outbox;
mod pack;
mod quarantine;
mod queue;
mod rows;
mod schema;
mod seal;
mod sessions;
#[cfg(test)]
mod tests;
mod told;
mod wal;

use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use rusqlite::{Connection, Params, Row};

use self::connect::Desk;
use self::seal::SealKey;
use self::wal::Moved;
use crate::error::{Error, ErrorKind, Result};

pub(in crate::table) use self::claims::Alive;
pub(in crate::table) use self::dead_events::DeadEvent;
pub(in crate::table) use self::denials::Denied;
pub(in crate::table) use self::letters::{About, Letter, LetterBounds, LetterTotals};
pub(in crate::table) use self::licenses::PoolAccount;
pub(in crate::table) use self::names::{CONFIGURATION, KEPT, Names};
pub(in crate::table) use self::outbox::{EventRow, NewEvent};
pub(in crate::table) use self::rows::{ChargedRow, DataRow, Rare, SessionPage, SessionRow};

/// The file of the books in a store's directory; never named .sqlite, so that no tool grabs it.
pub(in crate::table) const FILE: &str = "store.lsdb";

/// The books of one store as one manager has them open.
pub(in crate::table) struct Books {
    desk: Arc<Desk>,
}

/// All reads, as of one instant.
pub(in crate::table) struct Pages<'a> {
    connection: &'a Connection,
    key: SealKey,
    dir: &'a Path,
    /// Where the sweep of tombstones stands.
    swept: &'a AtomicI64,
}

/// A transaction under way: all reads, and the changes.
pub(in crate::table) struct Ledger<'a>(Pages<'a>);

impl<'a> Deref for Ledger<'a> {
    type Target = Pages<'a>;

    fn deref(&self) -> &Pages<'a> {
        &self.0
    }
}

impl Books {
    /// Opens the books of a directory, which must be there; makes or migrates them.
    ///
    /// Errors: `unavailable` if they can't be read and written, or are of a newer version; `invalid` if the file is not
    /// ours; `corrupt` if it is damaged. Each says what to do.
    pub fn open(dir: &Path) -> Result<Self> {
        Desk::open(dir, true).map(|desk| Self { desk })
    }

    /// The same of books that are there and of this version: makes and migrates nothing.
    pub fn open_as_they_are(dir: &Path) -> Result<Self> {
        Desk::open(dir, false).map(|desk| Self { desk })
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        self.desk.dir()
    }

    /// One transaction: all that `work` does, or nothing of it if it answers an error. The caller holds the writer word.
    ///
    /// Errors: those of `work`; `uncertain` if the disk failed during the commit; `unavailable`, `corrupt`.
    pub fn write<T>(&self, work: impl FnOnce(&mut Ledger<'_>) -> Result<T>) -> Result<T> {
        self.desk.with_writer(|pages| {
            let transaction = Transaction::begin(pages.connection, pages.dir, "BEGIN IMMEDIATE")?;
            let done = work(&mut Ledger(pages))?;
            transaction.commit()?;
            Ok(done)
        })
    }

    /// Looks at the books as of one instant; from any thread, up to four at once.
    pub fn read<T>(&self, look: impl FnOnce(&Pages<'_>) -> Result<T>) -> Result<T> {
        self.desk.with_reader(|pages| {
            let transaction = Transaction::begin(pages.connection, pages.dir, "BEGIN")?;
            let seen = look(pages)?;
            transaction.commit()?;
            Ok(seen)
        })
    }

    /// The same for a look that asks only one thing: two calls less.
    pub fn glance<T>(&self, look: impl FnOnce(&Pages<'_>) -> Result<T>) -> Result<T> {
        self.desk.with_reader(look)
    }

    /// Has everything committed so far on the disk when it returns. From any thread; needs no word.
    pub fn sync(&self) -> Result<()> {
        self.desk.sync()
    }

    /// Moves commits from the log into the file, as far as nobody reads them: never waits. Beyond 256 MB of log it waits
    /// 100 ms for readers so that the log begins anew; the caller then holds the writer word (see [`Books::wants_restart`]).
    pub fn checkpoint(&self) -> Result<()> {
        self.desk.checkpoint(self.wants_restart()).map(drop)
    }

    /// The same without ever beginning anew, however long the log is. If all is moved, the next commit goes to the log's
    /// beginning.
    pub fn move_log(&self) -> Result<Moved> {
        self.desk.checkpoint(false)
    }

    /// Whether the log is so long that a checkpoint wants the writer word.
    pub fn wants_restart(&self) -> bool {
        self.wal_pages() > wal::MANY_PAGES
    }

    /// Pages in the log, by the size of its file.
    pub fn wal_pages(&self) -> u64 {
        self.desk.wal_pages()
    }

    /// Closes all connections. `last`: nobody else has the store open, so that the log may be emptied and deleted.
    /// Afterwards every call answers `closed`.
    pub fn close(&self, last: bool) {
        self.desk.close(last);
    }
}

impl Drop for Books {
    fn drop(&mut self) {
        self.desk.close(false);
    }
}

/// Ends by a rollback if nothing else ends it.
struct Transaction<'a> {
    connection: &'a Connection,
    dir: &'a Path,
    open: bool,
}

impl<'a> Transaction<'a> {
    fn begin(connection: &'a Connection, dir: &'a Path, how: &str) -> Result<Self> {
        let begun = connection.prepare_cached(how).and_then(|mut statement| statement.execute([]));
        begun.map_err(|error| errors::explain(error, dir))?;
        Ok(Self { connection, dir, open: true })
    }

    fn commit(mut self) -> Result<()> {
        let done = self.connection.prepare_cached("COMMIT").and_then(|mut statement| statement.execute([]));
        // What failed to commit is rolled back, if SQLite did not do so by itself.
        self.open = done.is_err();
        done.map(drop).map_err(|error| errors::commit(error, self.dir))
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if self.open && !self.connection.is_autocommit() {
            let _ = self.connection.prepare_cached("ROLLBACK").and_then(|mut statement| statement.execute([]));
        }
    }
}

/// Why a row was not read.
enum Unread {
    Sqlite(rusqlite::Error),
    /// Its fields are not what was written.
    Bad,
}

impl From<rusqlite::Error> for Unread {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::Error as E;
        match error {
            E::FromSqlConversionFailure(..) | E::IntegralValueOutOfRange(..) | E::InvalidColumnType(..) => Self::Bad,
            E::Utf8Error(..) => Self::Bad,
            other => Self::Sqlite(other),
        }
    }
}

/// What came of reading a row.
type Read<T> = std::result::Result<T, Unread>;

impl<'a> Pages<'a> {
    fn fault(&self, error: rusqlite::Error) -> Error {
        errors::explain(error, self.dir)
    }

    fn bad(&self, table: &str, key: impl std::fmt::Display) -> Error {
        errors::bad_row(table, key, self.dir)
    }

    /// Runs a change; tells how many rows it met.
    fn run(&self, sql: &str, params: impl Params) -> Result<usize> {
        let done = self.connection.prepare_cached(sql).and_then(|mut statement| statement.execute(params));
        done.map_err(|error| self.fault(error))
    }

    /// The first row of an answer; a bad one is its own outcome.
    fn one<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> Read<T>,
    ) -> Result<Option<Read<T>>> {
        let mut statement = self.connection.prepare_cached(sql).map_err(|error| self.fault(error))?;
        let mut rows = statement.query(params).map_err(|error| self.fault(error))?;
        match rows.next().map_err(|error| self.fault(error))? {
            None => Ok(None),
            Some(row) => match read(row) {
                Err(Unread::Sqlite(error)) => Err(self.fault(error)),
                read => Ok(Some(read)),
            },
        }
    }

    /// The first row of an answer that has no checksum.
    fn plain<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>> {
        match self.one(sql, params, |row| Ok(read(row)?))? {
            None => Ok(None),
            Some(Ok(value)) => Ok(Some(value)),
            Some(Err(_)) => Err(Error::new(
                ErrorKind::Corrupt,
                format!(
                    "a row of the books in {} has a field of a wrong type (asked for by: {sql})",
                    self.dir.display()
                ),
            )),
        }
    }

    /// All rows of an answer; bad ones are outcomes of their own.
    fn all<T>(
        &self,
        sql: &str,
        params: impl Params,
        mut read: impl FnMut(&Row<'_>) -> Read<T>,
    ) -> Result<Vec<Read<T>>> {
        let mut statement = self.connection.prepare_cached(sql).map_err(|error| self.fault(error))?;
        let mut rows = statement.query(params).map_err(|error| self.fault(error))?;
        let mut found = Vec::new();
        while let Some(row) = rows.next().map_err(|error| self.fault(error))? {
            match read(row) {
                Err(Unread::Sqlite(error)) => return Err(self.fault(error)),
                read => found.push(read),
            }
        }
        Ok(found)
    }

    /// All rows of an answer that have no checksum; those with a field of a wrong type are left out.
    fn plains<T>(
        &self,
        sql: &str,
        params: impl Params,
        mut read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        Ok(self.all(sql, params, |row| Ok(read(row)?))?.into_iter().filter_map(std::result::Result::ok).collect())
    }
}

/// A time, or whatever else is compared in SQL, as SQLite's signed integer.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
