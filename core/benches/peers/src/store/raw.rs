//! SQLite by itself, with the pragmas of the books: what one would write without a hot table.
//!
//! A session is a header of 96 bytes with its idle deadline, a lower bound of it in an index, its user in an index, 200
//! bytes of data, and one unit of a counter.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::{Connection, params};

use super::BYTES;

const TABLES: &str = "
CREATE TABLE session(id INTEGER PRIMARY KEY, header BLOB NOT NULL, user INTEGER NOT NULL, due INTEGER NOT NULL,
  idle INTEGER NOT NULL);
CREATE INDEX session_due ON session(due);
CREATE INDEX session_user ON session(user);
CREATE TABLE data(id INTEGER PRIMARY KEY, v BLOB NOT NULL);
CREATE TABLE pool(pool INTEGER PRIMARY KEY, used INTEGER NOT NULL, capacity INTEGER NOT NULL);
INSERT INTO pool VALUES(1, 0, 4000000);";
const FILE: &str = "raw.db";
const SYNC: Duration = Duration::from_millis(50);

/// One connection.
pub struct Raw {
    connection: Connection,
    log: File,
}

impl Raw {
    /// Makes the file, or opens it; `busy`: how long SQLite waits for another writer.
    pub fn open(dir: &Path, busy: Duration) -> Self {
        let path = dir.join(FILE);
        let fresh = !path.exists();
        let connection = connect(&path, busy);
        if fresh {
            connection.execute_batch(TABLES).expect("the tables are made");
        }
        let log = File::open(dir.join(format!("{FILE}-wal"))).expect("the log is there");
        Self { connection, log }
    }

    /// Every commit is on the disk when it returns, by SQLite's own means.
    pub fn full(self) -> Self {
        self.connection.execute_batch("PRAGMA synchronous = FULL").expect("the pragma");
        self
    }

    /// Commits move the log into the file by themselves, as SQLite does unless it is told otherwise.
    pub fn checkpointing(self) -> Self {
        self.connection.execute_batch("PRAGMA wal_autocheckpoint = 1000").expect("the pragma");
        self
    }

    pub fn fill(&self, ids: &[i64]) {
        for ids in ids.chunks(1000) {
            self.run("BEGIN IMMEDIATE", []);
            ids.iter().for_each(|id| self.insert(*id));
            self.run("COMMIT", []);
        }
        self.run_query("PRAGMA wal_checkpoint(TRUNCATE)");
    }

    pub fn checkpoint(&self) {
        self.run_query("PRAGMA wal_checkpoint(PASSIVE)");
    }

    fn run(&self, sql: &str, params: impl rusqlite::Params) -> usize {
        self.connection.prepare_cached(sql).and_then(|mut statement| statement.execute(params)).expect(sql)
    }

    fn run_query(&self, sql: &str) {
        self.connection.query_row(sql, [], |_| Ok(())).expect(sql);
    }

    fn insert(&self, id: i64) {
        let sql = "UPDATE pool SET used = used + 1 WHERE pool = 1 AND used < capacity";
        assert_eq!(self.run(sql, []), 1);
        let sql = "INSERT INTO session(id, header, user, due, idle) VALUES(?1, ?2, ?3, ?4, ?4)";
        let due = (id & 0x3fff_ffff).wrapping_mul(977);
        self.run(sql, params![id, &[7u8; 96][..], id.rotate_left(17), due]);
        self.run("INSERT INTO data(id, v) VALUES(?1, ?2)", params![id, &[7u8; BYTES][..]]);
    }

    /// One transaction.
    pub fn create(&self, id: i64) {
        self.run("BEGIN IMMEDIATE", []);
        self.insert(id);
        self.run("COMMIT", []);
    }

    /// One transaction.
    pub fn end(&self, id: i64) {
        self.run("BEGIN IMMEDIATE", []);
        assert_eq!(self.run("DELETE FROM session WHERE id = ?1", [id]), 1);
        self.run("DELETE FROM data WHERE id = ?1", [id]);
        self.run("UPDATE pool SET used = used - 1 WHERE pool = 1", []);
        self.run("COMMIT", []);
    }

    /// One statement, which is a transaction; the index holds a lower bound and stays.
    pub fn touch(&self, id: i64, now: i64) -> bool {
        self.run("UPDATE session SET idle = ?2 WHERE id = ?1", params![id, now]) == 1
    }

    pub fn get(&self, id: i64) -> usize {
        let mut statement = self.connection.prepare_cached("SELECT v FROM data WHERE id = ?1").expect("a statement");
        statement.query_row([id], |row| Ok(row.get_ref(0)?.as_blob()?.len())).expect("data")
    }

    /// Puts the log onto the disk.
    pub fn sync(&self) {
        self.log.sync_data().expect("a sync");
    }
}

fn connect(path: &Path, busy: Duration) -> Connection {
    let connection = Connection::open(path).expect("SQLite opens");
    connection.busy_timeout(busy).expect("a timeout");
    connection
        .execute_batch(
            "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; \
             PRAGMA mmap_size = 0; PRAGMA cache_size = -16384; PRAGMA wal_autocheckpoint = 0; \
             PRAGMA temp_store = MEMORY; BEGIN IMMEDIATE; CREATE TABLE IF NOT EXISTS made(x); COMMIT;",
        )
        .expect("the pragmas");
    connection
}

/// Puts the log onto the disk every 50 ms, as the keeper of a store does.
pub struct Keeper {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    pub fn start(dir: &Path) -> Self {
        let raw = Raw::open(dir, Duration::from_secs(10));
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                std::thread::sleep(SYNC);
                raw.sync();
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the keeper of raw SQLite");
        }
    }
}
