//! Damaged, swapped and foreign rows and files: refused by name, and never in the way of the others.

use rusqlite::Connection;

use super::keeping::grave;
use super::{books, data, full_row, row};
use crate::ErrorKind;
use crate::license::books::Totals;
use crate::table::PoolLevel;
use crate::table::shared::books::{Books, FILE, SessionRow, schema};
use crate::table::shared::testing::Scratch;

/// Changes the file as no library would.
pub(super) fn tamper(dir: &Scratch, sql: &str) {
    let connection = Connection::open(dir.path().join(FILE)).expect("a connection");
    connection.execute_batch(sql).expect(sql);
}

#[test]
fn a_damaged_session_is_put_aside_and_the_others_are_served() {
    for change in [
        "UPDATE session SET user = 'root' WHERE slot = 2",
        "UPDATE session SET user = NULL WHERE slot = 2",
        "UPDATE session SET user = CAST(x'ff' AS TEXT) WHERE slot = 2",
        "UPDATE session SET pool = 'x' WHERE slot = 2",
        "UPDATE session SET saved = saved + 1 WHERE slot = 2",
        "UPDATE session SET rare = x'9601' WHERE slot = 2",
        "UPDATE session SET verifier = x'00' WHERE slot = 2",
        "UPDATE session SET application = -1 WHERE slot = 2",
        "UPDATE session SET sum = sum + 1 WHERE slot = 2",
        "UPDATE session SET generation = generation + 1 WHERE slot = 2",
        "DELETE FROM session WHERE slot = 2; UPDATE session SET slot = 2 WHERE slot = 3; \
         INSERT INTO session SELECT 3, generation, random, verifier, application, user, pool, class, holder, created, ord, \
         wall, slept, idle, absolute, saved, used, marks, version, maker, rare, sum, seal, licensed FROM session WHERE slot = 2;",
    ] {
        let (dir, books) = books();
        books
            .write(|ledger| {
                ledger.insert_session(&row(1))?;
                ledger.insert_session(&full_row(2))?;
                ledger.insert_session(&full_row(3))?;
                ledger.put_data(2, 3, &data("a", "1"))
            })
            .expect("kept");
        tamper(&dir, change);
        let error = books.read(|pages| pages.session(2)).expect_err(change);
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{change}");
        assert!(error.message().contains("row 2 of table session"), "{error}");
        let page = books.read(|pages| pages.sessions(0, 10)).expect("a page");
        assert_eq!(page.bad, [2], "{change}");
        assert_eq!(page.rows.iter().map(|row| row.slot).collect::<Vec<_>>(), [1, 3], "{change}");
        books.write(|ledger| ledger.quarantine(2, "a test")).expect("put aside");
        assert!(books.read(|pages| pages.session(2)).expect("read").is_none());
        assert_eq!(books.read(|pages| pages.quarantined()), Ok(2), "the session and one row of data");
        books.write(|ledger| ledger.insert_session(&row(2))).expect("the slot is free again");
    }
}

#[test]
fn damaged_data_are_put_aside_and_the_session_is_served() {
    for change in [
        "UPDATE data SET v = 'x' WHERE slot = 2",
        "UPDATE data SET v = x'31' WHERE slot = 2 AND sub = x'62'",
        "UPDATE data SET sub = x'63' WHERE slot = 2 AND sub = x'61'",
        "UPDATE data SET version = 0 WHERE slot = 2",
        "DELETE FROM data WHERE slot = 2; UPDATE data SET slot = 2 WHERE slot = 3",
    ] {
        let (dir, books) = books();
        books
            .write(|ledger| {
                for slot in [2, 3] {
                    ledger.insert_session(&row(slot))?;
                    ledger.put_data(slot, 3, &data("a", "1"))?;
                    ledger.put_data(slot, 3, &data("b", "2"))?;
                }
                Ok(())
            })
            .expect("kept");
        tamper(&dir, change);
        let error = books.read(|pages| pages.data(2, 3)).expect_err(change);
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{change}");
        books.write(|ledger| ledger.quarantine_data(2, "a test")).expect("put aside");
        let session = books.read(|pages| pages.session(2)).expect("read").expect("there");
        assert!(session.damaged);
        assert_eq!(books.read(|pages| pages.data(2, 3)), Ok(vec![]));
        assert_eq!(books.read(|pages| pages.quarantined()), Ok(2));
    }
}

#[test]
fn data_of_another_generation_are_not_served() {
    let (_dir, books) = books();
    books.write(|ledger| ledger.put_data(2, 3, &data("a", "1"))).expect("kept");
    assert_eq!(books.read(|pages| pages.data(2, 4)).expect_err("refused").kind(), ErrorKind::Corrupt);
}

#[test]
fn a_damaged_tombstone_is_none() {
    let (dir, books) = books();
    books.write(|ledger| ledger.bury(7, &grave(1), 100).and_then(|()| ledger.bury(8, &grave(2), 100))).expect("buried");
    tamper(&dir, "UPDATE grave SET reason = 1 WHERE locator = 7");
    assert_eq!(books.read(|pages| pages.grave(7)), Ok(None));
    assert!(books.read(|pages| pages.grave(8)).expect("read").is_some());
}

#[test]
fn a_newer_version_is_refused_with_what_to_do() {
    let (dir, books) = books();
    books.close(true);
    tamper(&dir, "PRAGMA user_version = 99");
    let error = Books::open(dir.path()).err().expect("refused");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.message().contains("format 99") && error.message().contains("update libsession"), "{error}");
    tamper(&dir, &format!("PRAGMA user_version = {}", schema::SCHEMA));
    Books::open(dir.path()).expect("nothing was lost");
}

#[test]
fn a_file_of_another_program_is_refused_and_left_alone() {
    let dir = Scratch::new();
    tamper(&dir, "CREATE TABLE theirs(x); PRAGMA application_id = 7;");
    let error = Books::open(dir.path()).err().expect("refused");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.message().contains("another program"), "{error}");
    tamper(&dir, "INSERT INTO theirs VALUES(1)");
    let dir = Scratch::new();
    std::fs::write(dir.path().join(FILE), [b'x'; 8192]).expect("written");
    assert_eq!(Books::open(dir.path()).err().expect("refused").kind(), ErrorKind::Corrupt);
    let dir = Scratch::new();
    std::fs::write(dir.path().join(FILE), []).expect("written");
    Books::open(dir.path()).expect("an empty file is a new one");
}

#[test]
fn a_damaged_page_is_corrupt_and_no_more() {
    let (dir, books) = books();
    books.write(|ledger| (1..200).try_for_each(|slot| ledger.insert_session(&full_row(slot)))).expect("kept");
    books.close(true);
    let path = dir.path().join(FILE);
    let mut bytes = std::fs::read(&path).expect("read");
    let middle = bytes.len() / 2 / 4096 * 4096;
    bytes[middle..middle + 4096].fill(0xa5);
    std::fs::write(&path, bytes).expect("written");
    let books = Books::open(dir.path()).expect("the first page is whole");
    let mut corrupt = 0;
    for slot in 1..200 {
        match books.read(|pages| pages.session(slot)) {
            Ok(Some(_)) => {}
            Ok(None) => panic!("slot {slot} is absent"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
                corrupt += 1;
            }
        }
    }
    assert!((1..100).contains(&corrupt), "{corrupt}");
}

#[test]
fn an_older_version_is_brought_up_to_this_one() {
    // What the present version makes of nothing, made the older one's again: by hand, as that one wrote it.
    let (dir, books) = books();
    let locator = (1 << 40) + 7;
    let mut grave = grave(41);
    grave.until = crate::clock::NEVER;
    books.write(|ledger| ledger.bury(locator, &grave, 100)).expect("buried");
    books.write(|ledger| ledger.insert_session(&SessionRow { licensed: 0, ..full_row(2) })).expect("kept");
    books.close(true);
    tamper(
        &dir,
        "CREATE TABLE counter(k INTEGER PRIMARY KEY, v INTEGER NOT NULL); \
         INSERT INTO counter VALUES(1, 41), (2, 5); \
         CREATE TABLE pool(pool INTEGER PRIMARY KEY, in_use INTEGER NOT NULL, anonymous INTEGER NOT NULL, \
           high_water INTEGER NOT NULL, high_water_at INTEGER NOT NULL, denials INTEGER NOT NULL, level INTEGER NOT NULL); \
         INSERT INTO pool VALUES(1, 10, 2, 30, -40, 5, 1); \
         ALTER TABLE grave RENAME TO grave_2; \
         CREATE TABLE grave(event_id INTEGER PRIMARY KEY, locator INTEGER NOT NULL, id BLOB NOT NULL, \
           verifier BLOB NOT NULL, until INTEGER NOT NULL, application INTEGER NOT NULL, reason INTEGER NOT NULL, \
           level INTEGER NOT NULL, at INTEGER NOT NULL, wall INTEGER NOT NULL, late INTEGER, licensed INTEGER NOT NULL, \
           user TEXT, more BLOB, sum INTEGER NOT NULL); \
         CREATE INDEX grave_locator ON grave(locator); \
         INSERT INTO grave SELECT event_id, locator, id, verifier, until, application, reason, level, at, wall, late, \
           licensed, user, more, sum FROM grave_2; \
         DROP TABLE grave_2; DROP TABLE tally; DROP TABLE letter; DROP TABLE failure; DROP TABLE outcome; \
         ALTER TABLE event DROP COLUMN waited; \
         DROP TABLE client; ALTER TABLE session DROP COLUMN licensed; \
         DROP TABLE orphan; DROP TABLE waiter; DROP TABLE definition; DROP TABLE reader; DROP INDEX holder_until; \
         DROP INDEX holder_acquired; ALTER TABLE holder DROP COLUMN acquired; ALTER TABLE holder DROP COLUMN lingering; \
         ALTER TABLE holder DROP COLUMN until; ALTER TABLE holder DROP COLUMN reserved; \
         ALTER TABLE holder DROP COLUMN seat; ALTER TABLE holder DROP COLUMN last; ALTER TABLE audit DROP COLUMN why; \
         PRAGMA user_version = 1;",
    );
    let books = Books::open(dir.path()).expect("migrated");
    assert_eq!(books.read(|pages| pages.grave(locator)), Ok(Some(grave)));
    assert_eq!(
        books.read(|pages| Ok((pages.grave_count()?, pages.quarantined()?, pages.dead_event_count()?))),
        Ok((1, 5, 0))
    );
    assert_eq!(books.write(|ledger| ledger.next_event()), Ok(42));
    let totals = Totals {
        in_use: 10,
        anonymous: 2,
        high_water: 30,
        high_water_at: -40,
        denials: 5,
        level: PoolLevel::Low,
        ..Totals::default()
    };
    assert_eq!(books.read(|pages| pages.pool(1)), Ok(totals));
    assert!(books.read(|pages| pages.session(2)).expect("read").is_some());
    assert_eq!(books.read(|pages| pages.quick_check()), Ok(vec![]));
}
