//! The tables of the books, their version, and the ladder from older versions to this one.

use std::path::Path;

use rusqlite::Connection;

use super::errors;
use crate::error::{Error, ErrorKind, Result};

/// The version of the tables that this library writes.
pub(super) const SCHEMA: i64 = 4;
/// "LSES": the mark of our files.
pub(super) const APPLICATION_ID: i64 = 0x4c53_4553;

/// Step `n` leads from version `n` to `n + 1`.
const LADDER: [&str; SCHEMA as usize] = [VERSION_1, VERSION_2, VERSION_3, VERSION_4];

/// Times are engine milliseconds unless they are named wall. `sum` is a checksum of the row (see `seal`); of a session
/// it is over all but `saved` and `used`, which `seal` covers: they change most.
const VERSION_1: &str = "
CREATE TABLE meta(k TEXT PRIMARY KEY, v BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE counter(k INTEGER PRIMARY KEY, v INTEGER NOT NULL);
CREATE TABLE name(kind INTEGER NOT NULL, number INTEGER NOT NULL, name TEXT NOT NULL,
  PRIMARY KEY(kind, number)) WITHOUT ROWID;

CREATE TABLE session(
  slot INTEGER PRIMARY KEY, generation INTEGER NOT NULL, random BLOB NOT NULL, verifier BLOB NOT NULL,
  application INTEGER NOT NULL, user TEXT, pool INTEGER, class INTEGER, holder TEXT,
  created INTEGER NOT NULL, ord INTEGER NOT NULL, wall INTEGER NOT NULL, slept INTEGER NOT NULL,
  idle INTEGER NOT NULL, absolute INTEGER NOT NULL, saved INTEGER NOT NULL, used INTEGER NOT NULL,
  marks INTEGER NOT NULL, version INTEGER NOT NULL, maker INTEGER NOT NULL, rare BLOB NOT NULL,
  sum INTEGER NOT NULL, seal INTEGER NOT NULL);
CREATE INDEX session_user ON session(user) WHERE user IS NOT NULL;
CREATE TABLE data(slot INTEGER NOT NULL, sub BLOB NOT NULL, generation INTEGER NOT NULL, version INTEGER NOT NULL,
  v BLOB NOT NULL, sum INTEGER NOT NULL, PRIMARY KEY(slot, sub)) WITHOUT ROWID;

CREATE TABLE grave(
  event_id INTEGER PRIMARY KEY, locator INTEGER NOT NULL, id BLOB NOT NULL, verifier BLOB NOT NULL,
  until INTEGER NOT NULL, application INTEGER NOT NULL, reason INTEGER NOT NULL, level INTEGER NOT NULL,
  at INTEGER NOT NULL, wall INTEGER NOT NULL, late INTEGER, licensed INTEGER NOT NULL, user TEXT, more BLOB,
  sum INTEGER NOT NULL);
CREATE INDEX grave_locator ON grave(locator);

CREATE TABLE pool(pool INTEGER PRIMARY KEY, in_use INTEGER NOT NULL, anonymous INTEGER NOT NULL,
  high_water INTEGER NOT NULL, high_water_at INTEGER NOT NULL, denials INTEGER NOT NULL, level INTEGER NOT NULL);
CREATE TABLE holder(pool INTEGER NOT NULL, user TEXT NOT NULL, connections INTEGER NOT NULL, units INTEGER NOT NULL,
  since INTEGER NOT NULL, PRIMARY KEY(pool, user)) WITHOUT ROWID;
CREATE TABLE audit(pool INTEGER NOT NULL, seq INTEGER NOT NULL, at INTEGER NOT NULL, kind INTEGER NOT NULL,
  session BLOB NOT NULL, holder TEXT, was INTEGER NOT NULL, now INTEGER NOT NULL, reason INTEGER,
  PRIMARY KEY(pool, seq)) WITHOUT ROWID;
CREATE TABLE log(seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, session BLOB NOT NULL, what INTEGER NOT NULL,
  detail TEXT NOT NULL);

CREATE TABLE event(
  event_id INTEGER PRIMARY KEY, session BLOB NOT NULL, place INTEGER NOT NULL, application INTEGER NOT NULL,
  user TEXT, reason INTEGER NOT NULL, level INTEGER NOT NULL, thread INTEGER NOT NULL, at INTEGER NOT NULL,
  wall INTEGER NOT NULL, data BLOB, sum INTEGER NOT NULL);
CREATE TABLE event_class(
  event_id INTEGER NOT NULL, position INTEGER NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
  marks INTEGER NOT NULL, prefer INTEGER NOT NULL, claimed_by INTEGER NOT NULL DEFAULT 0,
  claimed_instance INTEGER NOT NULL DEFAULT 0, tries INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY(event_id, position)) WITHOUT ROWID;
CREATE INDEX event_class_free ON event_class(namespace, name, prefer, event_id) WHERE claimed_by = 0;
CREATE INDEX event_class_claimed ON event_class(claimed_by, claimed_instance, event_id) WHERE claimed_by <> 0;
CREATE TABLE registration(participant INTEGER NOT NULL, instance INTEGER NOT NULL, namespace TEXT NOT NULL,
  name TEXT NOT NULL, PRIMARY KEY(participant, instance, namespace, name)) WITHOUT ROWID;
CREATE TABLE dead_event(
  event_id INTEGER PRIMARY KEY, session BLOB NOT NULL, application INTEGER NOT NULL, user TEXT,
  reason INTEGER NOT NULL, at INTEGER NOT NULL, wall INTEGER NOT NULL, classes BLOB NOT NULL);

CREATE TABLE quarantine(number INTEGER PRIMARY KEY, origin TEXT NOT NULL, slot INTEGER, why TEXT NOT NULL,
  content BLOB NOT NULL);
";

/// A commit costs by the pages that it writes. So `tally` has all that most commits change in one page: the counters of
/// each pool, under its number, in row -1 those of the store: the last event, rows in quarantine, dead events and
/// tombstones, and in row -2 those of dead letters: the last one, how many are kept, bytes of their snapshots, how many were
/// given up, and the last failure. And tombstones lie by their place, which needs no index. In `e` of row -1 is how many of
/// the denials that were noted first are in the accounts. Rows from -1024 downwards have denials by why: -1024 those of pool 0, in
/// the order of the reasons.
const VERSION_2: &str = "
CREATE TABLE tally(k INTEGER PRIMARY KEY, a INTEGER NOT NULL DEFAULT 0, b INTEGER NOT NULL DEFAULT 0,
  c INTEGER NOT NULL DEFAULT 0, d INTEGER NOT NULL DEFAULT 0, e INTEGER NOT NULL DEFAULT 0,
  f INTEGER NOT NULL DEFAULT 0);
INSERT INTO tally(k, a, b, c, d) SELECT -1, ifnull((SELECT v FROM counter WHERE k = 1), 0),
  ifnull((SELECT v FROM counter WHERE k = 2), 0), ifnull((SELECT v FROM counter WHERE k = 3), 0),
  (SELECT count(*) FROM grave);
INSERT INTO tally(k, a, b, c, d, e, f)
  SELECT pool, in_use, anonymous, high_water, high_water_at, denials, level FROM pool;
DROP TABLE counter;
DROP TABLE pool;
DROP INDEX grave_locator;
ALTER TABLE grave RENAME TO grave_1;
CREATE TABLE grave(
  locator INTEGER PRIMARY KEY, event_id INTEGER NOT NULL, id BLOB NOT NULL, verifier BLOB NOT NULL,
  until INTEGER NOT NULL, application INTEGER NOT NULL, reason INTEGER NOT NULL, level INTEGER NOT NULL,
  at INTEGER NOT NULL, wall INTEGER NOT NULL, late INTEGER, licensed INTEGER NOT NULL, user TEXT, more BLOB,
  sum INTEGER NOT NULL);
INSERT OR REPLACE INTO grave SELECT locator, event_id, id, verifier, until, application, reason, level, at, wall, late,
  licensed, user, more, sum FROM grave_1 ORDER BY event_id;
DROP TABLE grave_1;

ALTER TABLE event ADD COLUMN waited INTEGER NOT NULL DEFAULT 0;
INSERT INTO tally(k) VALUES(-2);
CREATE TABLE letter(
  id INTEGER PRIMARY KEY, event_id INTEGER NOT NULL, kind INTEGER NOT NULL, namespace TEXT NOT NULL,
  name TEXT NOT NULL, session BLOB NOT NULL, late INTEGER NOT NULL DEFAULT 0, claimed_by INTEGER NOT NULL DEFAULT 0,
  claimed_instance INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL, about BLOB NOT NULL, data BLOB,
  sum INTEGER NOT NULL);
CREATE INDEX letter_event ON letter(event_id) WHERE event_id <> 0;
CREATE INDEX letter_claimed ON letter(claimed_by, claimed_instance) WHERE claimed_by <> 0;
CREATE INDEX letter_data ON letter(id) WHERE bytes > 0;
CREATE TABLE failure(
  seq INTEGER PRIMARY KEY, session BLOB NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, kind INTEGER NOT NULL,
  text TEXT NOT NULL, at INTEGER NOT NULL);
CREATE INDEX failure_session ON failure(session);
CREATE TABLE outcome(
  event_id INTEGER NOT NULL, seq INTEGER NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, kind INTEGER NOT NULL,
  text TEXT NOT NULL, PRIMARY KEY(event_id, seq)) WITHOUT ROWID;
";

/// Units that linger: those of users beside the users, those that outlived their sessions in `orphan`. Of a pool, `tally` has
/// them in `g`, since when it is overdrawn in `h`, the most that might be in use when a unit was given last in `i`, and
/// the units of its reservations in `j`.
const VERSION_3: &str = "
ALTER TABLE tally ADD COLUMN g INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tally ADD COLUMN h INTEGER;
ALTER TABLE tally ADD COLUMN i INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tally ADD COLUMN j BLOB;
ALTER TABLE holder ADD COLUMN acquired INTEGER NOT NULL DEFAULT 0;
ALTER TABLE holder ADD COLUMN lingering INTEGER NOT NULL DEFAULT 0;
ALTER TABLE holder ADD COLUMN until INTEGER NOT NULL DEFAULT 0;
ALTER TABLE holder ADD COLUMN reserved INTEGER NOT NULL DEFAULT 0;
ALTER TABLE holder ADD COLUMN seat INTEGER NOT NULL DEFAULT 0;
ALTER TABLE holder ADD COLUMN last BLOB;
UPDATE holder SET acquired = since;
CREATE INDEX holder_until ON holder(pool, until) WHERE lingering > 0;
CREATE INDEX holder_acquired ON holder(pool, acquired) WHERE lingering > 0;
CREATE TABLE orphan(number INTEGER PRIMARY KEY, pool INTEGER NOT NULL, until INTEGER NOT NULL, session BLOB NOT NULL,
  anonymous INTEGER NOT NULL);
CREATE INDEX orphan_until ON orphan(pool, until, number);
ALTER TABLE audit ADD COLUMN why INTEGER NOT NULL DEFAULT 0;
";

/// Who waits for units: in the order of `priority`, the highest first, then of `seq`. `lane` is what they may take; `state` is
/// 0 for who awaits a turn, 1 for whom `offered` units are set aside until `until`, 2 for who did not fetch them. Of a
/// pool, `tally` has how many wait in `l`, and the units set aside in `m`. `definition` has the definition in
/// force and the one that was configured when the store was last opened by the first, `reader` the high-water marks of
/// those who reset them; of a pool, `tally` has the number of the definition in `revision`, units in use beyond a lowered
/// capacity in `excess`, the lowest of the marks in `mark`, and
/// how many sessions were evicted so far in `evicted`. When a session took its unit is in `licensed`, if that was
/// later than its creation; `client` has the anonymous sessions of each client, where those are bounded.
const VERSION_4: &str = "
CREATE TABLE waiter(
  seq INTEGER PRIMARY KEY AUTOINCREMENT, pool INTEGER NOT NULL, priority INTEGER NOT NULL, lane INTEGER NOT NULL,
  state INTEGER NOT NULL, gives INTEGER NOT NULL, count INTEGER NOT NULL, session BLOB NOT NULL, user TEXT, class INTEGER NOT NULL, since INTEGER NOT NULL,
  deadline INTEGER NOT NULL, offered INTEGER NOT NULL DEFAULT 0, reserved INTEGER NOT NULL DEFAULT 0,
  until INTEGER NOT NULL DEFAULT 0, participant INTEGER NOT NULL, instance INTEGER NOT NULL);
CREATE INDEX waiter_turn ON waiter(pool, lane, priority DESC, seq) WHERE state = 0;
CREATE INDEX waiter_place ON waiter(pool, priority DESC, seq);
CREATE INDEX waiter_offered ON waiter(pool, until, seq) WHERE state = 1;
CREATE INDEX waiter_participant ON waiter(participant, instance);
CREATE INDEX waiter_session ON waiter(session);
ALTER TABLE tally ADD COLUMN l INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tally ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tally ADD COLUMN excess INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tally ADD COLUMN mark INTEGER;
ALTER TABLE tally ADD COLUMN evicted INTEGER NOT NULL DEFAULT 0;
CREATE TABLE definition(pool INTEGER PRIMARY KEY, revision INTEGER NOT NULL, v TEXT NOT NULL,
  opened TEXT NOT NULL DEFAULT '');
CREATE TABLE reader(pool INTEGER NOT NULL, reader TEXT NOT NULL, units INTEGER NOT NULL, at INTEGER NOT NULL,
  PRIMARY KEY(pool, reader)) WITHOUT ROWID;
ALTER TABLE session ADD COLUMN licensed INTEGER NOT NULL DEFAULT 0;
CREATE TABLE client(pool INTEGER NOT NULL, client TEXT NOT NULL, sessions INTEGER NOT NULL, PRIMARY KEY(pool, client))
  WITHOUT ROWID;
ALTER TABLE tally ADD COLUMN m INTEGER NOT NULL DEFAULT 0;
";

/// Refuses tables of another version: nothing is made or changed.
pub(super) fn check(connection: &Connection, dir: &Path) -> Result<()> {
    let number = |name| -> Result<i64> {
        let read = connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0));
        read.map_err(|error| errors::explain(error, dir))
    };
    let file = dir.join(super::FILE);
    if number("application_id")? != APPLICATION_ID {
        return Err(Error::invalid(format!("{} is not the file of a store", file.display())));
    }
    match number("user_version")? {
        SCHEMA => Ok(()),
        version => Err(Error::new(
            ErrorKind::Unavailable,
            format!(
                "{} has format {version}, and this libsession has format {SCHEMA}: use the version that the store's processes use",
                file.display()
            ),
        )),
    }
}

/// Makes the tables, or brings older ones up to this version. Refuses what is not ours or newer than we are.
pub(super) fn settle(connection: &Connection, dir: &Path) -> Result<()> {
    let fault = |error| errors::explain(error, dir);
    let file = dir.join(super::FILE);
    let number =
        |name| -> Result<i64> { connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0)).map_err(fault) };
    if number("user_version")? == SCHEMA && number("application_id")? == APPLICATION_ID {
        return Ok(());
    }
    // Asked again where nobody else can be at it.
    connection.execute_batch("BEGIN IMMEDIATE").map_err(fault)?;
    let climb = || -> Result<()> {
        let (version, owner) = (number("user_version")?, number("application_id")?);
        let tables: i64 =
            connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(fault)?;
        if owner != APPLICATION_ID && (owner != 0 || version != 0 || tables != 0) {
            return Err(Error::invalid(format!(
                "{} is a database of another program (application id {owner:#x}); give the store a directory of its own",
                file.display()
            )));
        }
        if !(0..=SCHEMA).contains(&version) {
            return Err(Error::new(
                ErrorKind::Unavailable,
                format!(
                    "{} was written by a newer libsession (format {version}; this one knows formats up to {SCHEMA}); \
                     update libsession, or open another directory",
                    file.display()
                ),
            ));
        }
        for step in LADDER.iter().skip(usize::try_from(version).unwrap_or(usize::MAX)) {
            connection.execute_batch(step).map_err(fault)?;
        }
        if version == 0 {
            let key: [u8; 16] = crate::id::random();
            connection.execute("INSERT INTO meta(k, v) VALUES('key', ?1)", [&key[..]]).map_err(fault)?;
        }
        connection
            .execute_batch(&format!("PRAGMA user_version = {SCHEMA}; PRAGMA application_id = {APPLICATION_ID};"))
            .map_err(fault)
    };
    let done = climb().and_then(|()| connection.execute_batch("COMMIT").map_err(|error| errors::commit(error, dir)));
    if done.is_err() {
        let _ = connection.execute_batch("ROLLBACK");
    }
    done
}
