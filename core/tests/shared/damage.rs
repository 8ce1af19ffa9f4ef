//! CRASH-03: files that are not what was written: whatever is damaged is put away and counted, the rest is served, nobody panics.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use rusqlite::Connection;

use super::*;

/// Sessions of the template: number `n` holds `n` and `2 n`.
const SESSIONS: usize = 12;

/// A closed store with sessions.
struct Template {
    dir: Dir,
    tokens: Vec<String>,
    /// Whether what was written last may be missing.
    older: bool,
}

impl Template {
    fn new() -> Self {
        let dir = Dir::new();
        let shop = dir.shop();
        let mut clerk = Process::clerk(&shop);
        let tokens: Vec<String> = (0..SESSIONS).map(|_| clerk.ok("create")[1].clone()).collect();
        for (number, token) in tokens.iter().enumerate() {
            assert_eq!(clerk.ask(&format!("set {token} a {number}")), "ok");
            assert_eq!(clerk.ask(&format!("set {token} b {}", 2 * number)), "ok");
        }
        clerk.leave();
        Self { dir, tokens, older: false }
    }

    /// A copy to spoil; without its hot files if it is the books that count.
    fn copy(&self, hot: bool) -> (Dir, Shop) {
        let dir = Dir::new();
        let shop = dir.shop();
        copy(&self.dir.shop().store, &shop.store, hot);
        (dir, shop)
    }

    /// Reads every session in another process, which must not panic: how many are whole.
    fn served(&self, shop: &Shop) -> Served {
        let mut clerk = Process::start("clerk", shop);
        let opened = clerk.ask("open");
        if opened != "ok" {
            assert!(!opened.contains("panic") && !opened.contains("internal"), "{opened}");
            return Served { opened, whole: 0, damaged: 0, lost: 0, counted: 0 };
        }
        let (mut whole, mut damaged, mut lost) = (0, 0, 0);
        for (number, token) in self.tokens.iter().enumerate() {
            let (a, b) = (clerk.ask(&format!("get {token} a")), clerk.ask(&format!("get {token} b")));
            for (answer, value) in [(&a, number), (&b, 2 * number)] {
                let right = *answer == format!("ok {value}") || (self.older && *answer == "ok none");
                let told = answer.starts_with("error corrupt") || *answer == "absent" || answer.starts_with("gone");
                assert!(right || told, "session {number} answers {answer} instead of {value}");
            }
            match (a.starts_with("ok") && b.starts_with("ok"), a == "absent" || a.starts_with("gone")) {
                (true, _) => whole += 1,
                (false, true) => lost += 1,
                (false, false) => damaged += 1,
            }
        }
        let counted = clerk.ask("stats damaged").parse().expect("a number");
        for line in ["count", "audit", "create"] {
            let answer = clerk.ask(line);
            assert!(!answer.contains("panic") && !answer.contains("internal"), "{line}: {answer}");
        }
        clerk.leave();
        Served { opened, whole, damaged, lost, counted }
    }
}

#[derive(Debug, PartialEq)]
struct Served {
    opened: String,
    whole: usize,
    damaged: usize,
    lost: usize,
    counted: usize,
}

/// Copies a closed store, for its owner alone.
pub fn copy(from: &Path, to: &Path, hot: bool) {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().mode(0o700).create(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a store") {
        let entry = entry.expect("an entry");
        let name = entry.file_name().to_string_lossy().into_owned();
        if hot || name.starts_with("store.") {
            let mut file = File::create(to.join(&name)).expect("a file");
            use std::os::unix::fs::PermissionsExt;
            file.set_permissions(fs::Permissions::from_mode(0o600)).expect("chmod");
            file.write_all(&fs::read(entry.path()).expect("a file")).expect("a copy");
        }
    }
}

/// Changes the books with a program that is not ours.
fn change(shop: &Shop, sql: &str) {
    let books = Connection::open(shop.file("store.lsdb")).expect("open");
    let changed = books.execute(sql, []).unwrap_or_else(|error| panic!("{sql}: {error}"));
    assert!(changed > 0, "{sql}");
}

#[test]
fn a_damaged_row_is_put_away_and_counted_and_the_others_are_served() {
    let template = Template::new();
    let cases = [
        // The data of one session: it lives on, what can't be read says so.
        ("UPDATE data SET v = x'00112233' WHERE rowid_of = 0", 1, 0),
        ("UPDATE data SET version = version + 1 WHERE rowid_of = 0", 1, 0),
        ("UPDATE data SET sum = sum + 1 WHERE rowid_of = 0", 1, 0),
        // The session itself.
        ("UPDATE session SET verifier = x'000102030405060708090a0b0c0d0e0f' WHERE slot = FIRST", 0, 1),
        ("UPDATE session SET user = 'admin' WHERE slot = FIRST", 0, 1),
        ("UPDATE session SET idle = idle + 1 WHERE slot = FIRST", 0, 1),
        ("UPDATE session SET rare = x'ffffffff' WHERE slot = FIRST", 0, 1),
        ("UPDATE session SET sum = sum + 1 WHERE slot = FIRST", 0, 1),
    ];
    for (sql, damaged, lost) in cases {
        let (_dir, shop) = template.copy(false);
        let sql = sql
            .replace("rowid_of = 0", "slot = (SELECT min(slot) FROM data)")
            .replace("FIRST", "(SELECT min(slot) FROM session)");
        change(&shop, &sql);
        let served = template.served(&shop);
        let wanted = Served { opened: "ok".into(), whole: SESSIONS - 1, damaged, lost, counted: 1 };
        assert_eq!(served, wanted, "{sql}");
        let books = Connection::open(shop.file("store.lsdb")).expect("open");
        let kept: i64 = books.query_row("SELECT count(*) FROM quarantine", [], |row| row.get(0)).expect("count");
        assert!(kept >= 1, "{sql}: nothing is in quarantine");
    }
}

#[test]
fn rows_that_changed_places_are_refused() {
    let template = Template::new();
    let swaps = [
        // The data of two sessions.
        "UPDATE data SET slot = CASE slot WHEN 0 THEN -1 ELSE 0 END WHERE slot IN (0, 1);
         UPDATE data SET slot = 1 WHERE slot = -1;",
        // Two values of one session.
        "UPDATE data SET v = (SELECT v FROM data other WHERE other.slot = data.slot AND other.sub <> data.sub)
         WHERE slot = 1;",
        // Two sessions.
        "UPDATE session SET slot = -1 WHERE slot = 0; UPDATE session SET slot = 0 WHERE slot = 1;
         UPDATE session SET slot = 1 WHERE slot = -1;",
    ];
    for sql in swaps {
        let (_dir, shop) = template.copy(false);
        let books = Connection::open(shop.file("store.lsdb")).expect("open");
        let first: i64 = books.query_row("SELECT min(slot) FROM session", [], |row| row.get(0)).expect("a slot");
        assert_eq!(first, 0, "the first session is in the first slot");
        books.execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        drop(books);
        // Whatever is served has its own values: `served` compares each.
        let served = template.served(&shop);
        assert_eq!(served.opened, "ok");
        assert!((SESSIONS - 2..SESSIONS).contains(&served.whole), "{sql}: {served:?}");
        assert!(served.counted >= 1, "{sql}: {served:?}");
    }
}

/// Spoils a file by chance; tells how.
fn spoil(file: &Path, seed: &mut Seed) -> String {
    let length = fs::metadata(file).expect("a file").len();
    let mut open = OpenOptions::new().read(true).write(true).open(file).expect("open");
    let at = |seed: &mut Seed| seed.number() % length.max(1);
    match seed.below(4) {
        0 => {
            let place = at(seed);
            let mut bytes = fs::read(file).expect("read");
            bytes[usize::try_from(place).expect("a place")] ^= 1 << seed.below(8);
            open.write_all(&bytes).expect("write");
            format!("a bit of byte {place} of {length}")
        }
        1 => {
            let left = at(seed);
            open.set_len(left).expect("truncate");
            format!("{left} bytes left of {length}")
        }
        2 => {
            open.seek(SeekFrom::End(0)).expect("seek");
            let more = 1 + seed.below(10_000);
            let garbage: Vec<u8> = (0..more).map(|_| seed.number().to_le_bytes()[0]).collect();
            open.write_all(&garbage).expect("write");
            format!("{more} bytes more than {length}")
        }
        _ => {
            let place = at(seed);
            open.seek(SeekFrom::Start(place)).expect("seek");
            let garbage: Vec<u8> = (0..256).map(|_| seed.number().to_le_bytes()[0]).collect();
            open.write_all(&garbage).expect("write");
            format!("256 bytes of garbage at {place} of {length}")
        }
    }
}

#[test]
fn files_that_are_spoiled_by_chance_give_no_wrong_value_and_no_panic() {
    let template = Template::new();
    let mut seed = Seed::new("damage");
    let files = ["store.lsdb", "store.lsdb", "hot.head", "hot.slots", "hot.requests"];
    let (mut opened, mut whole) = (0, 0);
    let all = rounds(60, 10_000);
    for _ in 0..all {
        let (_dir, shop) = template.copy(true);
        let name = *seed.pick(&files).expect("a file");
        let how = spoil(&shop.file(name), &mut seed);
        println!("{name}: {how}");
        let served = template.served(&shop);
        opened += usize::from(served.opened == "ok");
        whole += served.whole;
        let cache = name != "store.lsdb";
        assert!(!cache || served.opened == "ok", "{name}: {how}: {}", served.opened);
    }
    println!("{opened} of {all} opened, {whole} of {} sessions were whole", all * SESSIONS);
}

#[test]
fn a_log_that_is_cut_or_spoiled_is_an_older_store_and_no_wrong_one() {
    let mut seed = Seed::new("log");
    for _ in 0..rounds(10, 1000) {
        let dir = Dir::new();
        let shop = dir.shop();
        let mut clerk = Process::clerk(&shop);
        let tokens: Vec<String> = (0..SESSIONS).map(|_| clerk.ok("create")[1].clone()).collect();
        for (number, token) in tokens.iter().enumerate() {
            assert_eq!(clerk.ask(&format!("set {token} a {number}")), "ok");
            assert_eq!(clerk.ask(&format!("set {token} b {}", 2 * number)), "ok");
        }
        clerk.kill();
        let log = shop.file("store.lsdb-wal");
        if fs::metadata(&log).is_ok_and(|found| found.len() > 0) {
            println!("the log: {}", spoil(&log, &mut seed));
        }
        // What was in the part that is gone may be gone; what is there is right.
        let template = Template { dir, tokens, older: true };
        template.served(&shop);
    }
}
