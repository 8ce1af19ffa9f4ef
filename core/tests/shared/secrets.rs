//! SEC-02: no token lies in a file, a log or an error: whoever reads the store has no session.

use std::fs;
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::link::Link;
use super::*;

/// What was logged.
static LOGGED: Mutex<String> = Mutex::new(String::new());

struct Logger;

impl log::Log for Logger {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &log::Record<'_>) {
        if let Ok(mut logged) = LOGGED.lock() {
            logged.push_str(&format!("{}\n", record.args()));
        }
    }
    fn flush(&self) {}
}

/// The role: makes sessions, uses them in every way, and says their tokens; then, asked, how much of it was logged.
pub fn role(mut link: Link, shop: Shop) {
    log::set_logger(&Logger).expect("the first logger");
    log::set_max_level(log::LevelFilter::Trace);
    let count: usize = link.line().expect("a number").parse().expect("a number");
    let manager = shop.open();
    let mut tokens = Vec::new();
    let mut told = String::new();
    for number in 0..count {
        let created = manager.create(CreateOptions::new("shop")).expect("create");
        let token = created.token.reveal();
        told.push_str(&format!("{created:?}"));
        if number.is_multiple_of(3) {
            let request = manager.begin(&token, BeginOptions::default()).and_then(Begin::live).expect("begin");
            request.set(&path("note"), Value::from("of no importance")).expect("set");
            tokens.push(request.login(&format!("user-{number}")).expect("login").token.reveal());
            tokens.push(request.rotate().expect("rotate").reveal());
            told.push_str(&format!("{request:?}{:?}", request.info()));
            request.finish().expect("finish");
        }
        if number.is_multiple_of(5) {
            manager.end(created.id, EndOptions::default()).expect("end");
            let begun = manager.begin(&token, BeginOptions::default()).and_then(Begin::live);
            told.push_str(&format!("{begun:?}"));
        }
        if let Some(explain) = manager.explain(created.id).expect("explain") {
            told.push_str(&format!("{explain:?}"));
        }
        tokens.push(token);
    }
    tokens.iter().for_each(|token| assert!(link.tell(token)));
    link.tell("all");
    let logged = LOGGED.lock().expect("the log").clone();
    let found = tokens.iter().filter(|token| logged.contains(&**token) || told.contains(&**token)).count();
    link.tell(&format!("{found} {} {}", logged.len(), told.len()));
    link.line();
    manager.close(Duration::from_secs(5));
}

/// Where a secret lies in bytes, if it does, looked for by its first 8 bytes.
fn find(bytes: &[u8], needles: &std::collections::HashMap<[u8; 8], Vec<Vec<u8>>>) -> Option<usize> {
    bytes.windows(8).enumerate().find_map(|(at, window)| {
        let candidates = needles.get(window)?;
        candidates.iter().any(|secret| bytes[at..].starts_with(secret)).then_some(at)
    })
}

#[test]
fn no_token_lies_in_a_file_of_the_store_or_in_a_log() {
    let dir = Dir::new();
    let shop = dir.shop();
    let shop = Shop { capacity: 100_000, ..shop };
    let mut writer = Process::start("secretary", &shop);
    writer.tell(&rounds(300, 10_000).to_string());
    let mut tokens = Vec::new();
    loop {
        match writer.answer() {
            line if line == "all" => break,
            token => tokens.push(token),
        }
    }
    let said = writer.answer();
    let numbers: Vec<usize> = said.split(' ').map(|number| number.parse().expect("a number")).collect();
    assert_eq!(numbers[0], 0, "tokens in logs, errors or debug texts");
    assert!(numbers[2] > 0);
    // As text, its 30 bytes, its secret 24 bytes, and the first 20 of these: a part is a secret, too.
    let mut needles = std::collections::HashMap::<[u8; 8], Vec<Vec<u8>>>::new();
    for token in &tokens {
        let bytes = URL_SAFE_NO_PAD.decode(token).expect("base64url");
        for secret in [token.as_bytes(), &bytes, &bytes[6..], &bytes[6..26], &bytes[10..]] {
            let head = secret[..8].try_into().expect("8 bytes");
            needles.entry(head).or_default().push(secret.to_vec());
        }
    }
    let look = |when: &str| {
        let mut looked = 0;
        for entry in fs::read_dir(&shop.store).expect("a store") {
            let file = entry.expect("an entry").path();
            let bytes = fs::read(&file).expect("a file");
            looked += bytes.len();
            if let Some(at) = find(&bytes, &needles) {
                panic!("{when}: a secret lies in {} at {at}", file.display());
            }
        }
        assert!(looked > 100_000, "{when}: {looked} bytes");
    };
    look("open");
    writer.tell("close");
    assert!(writer.wait().success());
    look("closed");
}

#[test]
fn the_search_for_secrets_finds_one() {
    let mut needles = std::collections::HashMap::new();
    needles.insert(*b"abcdefgh", vec![b"abcdefghij".to_vec()]);
    assert_eq!(find(b"..abcdefghij", &needles), Some(2));
    assert_eq!(find(b"..abcdefghiJ", &needles), None);
}
