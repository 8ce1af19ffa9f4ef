//! CRASH-05, and RACE-04: every call that changes a file fails once, in every way, and every call is where the process is killed once: nothing
//! is acknowledged that is not so, nobody panics, the next opening has it all.

use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::sync::OnceLock;

use super::account::Account;
use super::link::{Link, Teller};
use super::*;

/// How a call fails.
const KINDS: [&str; 5] = ["EIO", "ENOSPC", "EINTR", "SHORT", "KILL"];

/// What one does; where its session is, once it is there.
struct Script {
    manager: Manager,
    sessions: Vec<Option<(SessionId, String)>>,
    teller: Teller,
}

/// The role: does the same thing every time, and says what it is going to do and what it did (see `busy`), or `!` and
/// the kind of the error.
pub fn role(mut link: Link, shop: Shop) {
    let manager = match shop.try_open() {
        Ok(manager) => manager,
        Err(error) => {
            link.tell(&format!("closed {error}"));
            return;
        }
    };
    let mut script = Script { manager, sessions: Vec::new(), teller: link.teller() };
    for _ in 0..3 {
        script.create();
    }
    script.set(0, 1);
    script.token(0, "login ada", |request| request.login("ada").map(|login| login.token));
    script.token(1, "rotate", Request::rotate);
    script.set(1, 1);
    script.end(2);
    script.token(0, "logout", |request| match request.logout(false)? {
        Logout::Done(token) => Ok(token),
        Logout::Ended(_) => Err(Error::new(ErrorKind::Internal, "there are units")),
    });
    script.create();
    script.set(0, 2);
    script.end(3);
    // The keeper has its turn.
    link.tell("written");
    link.line();
    let Script { manager, sessions, .. } = script;
    drop(sessions);
    manager.close(Duration::from_secs(5));
    link.tell("closed");
}

impl Script {
    fn say(&self, line: &str) {
        self.teller.tell(line);
    }

    fn failed(&self, error: &Error) {
        self.say(&format!("! {} {}", error.kind(), error.message()));
    }

    fn create(&mut self) {
        self.say("> create");
        let made = match self.manager.create(CreateOptions::new("shop")) {
            Ok(created) => {
                let token = created.token.reveal();
                self.say(&format!("< created {} {token}", created.id));
                Some((created.id, token))
            }
            Err(error) => {
                self.failed(&error);
                None
            }
        };
        self.sessions.push(made);
    }

    fn set(&mut self, at: usize, value: i64) {
        let Some((id, token)) = &self.sessions[at] else { return };
        let Ok(Begin::Live(request)) = self.manager.begin(token, BeginOptions::default()) else { return };
        self.say(&format!("> set {id} {value}"));
        let written = request
            .set(&path("value"), Value::Int(value))
            .and_then(|()| request.set(&path("twice"), Value::Int(2 * value)))
            .and_then(|()| request.save());
        match written {
            Ok(()) => self.say("< set"),
            Err(error) => self.failed(&error),
        }
        let _ = request.discard();
        let _ = request.finish();
    }

    fn token(&mut self, at: usize, what: &str, change: impl FnOnce(&Request) -> Result<Token>) {
        let Some((id, token)) = self.sessions[at].clone() else { return };
        let Ok(Begin::Live(request)) = self.manager.begin(&token, BeginOptions::default()) else { return };
        let (verb, rest) = what.split_once(' ').unwrap_or((what, ""));
        self.say(format!("> {verb} {id} {rest}").trim_end());
        match change(&request) {
            Ok(token) => {
                self.say(&format!("< token {}", token.reveal()));
                self.sessions[at] = Some((id, token.reveal()));
            }
            Err(error) => self.failed(&error),
        }
        let _ = request.finish();
    }

    fn end(&mut self, at: usize) {
        let Some((id, _)) = &self.sessions[at] else { return };
        self.say(&format!("> end {id}"));
        match self.manager.end(*id, EndOptions::default()) {
            Ok(_) => self.say("< ended"),
            Err(error) => self.failed(&error),
        }
    }
}

/// The library to be preloaded; `None` without a C compiler.
pub fn shim() -> Option<&'static PathBuf> {
    static SHIM: OnceLock<Option<PathBuf>> = OnceLock::new();
    let built = SHIM.get_or_init(|| {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/shared/faults.c");
        let library = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("faults-{}.so", std::process::id()));
        let mut compiler = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
        compiler
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", source, "-o"])
            .arg(&library)
            .arg("-ldl");
        compiler.status().is_ok_and(|status| status.success()).then_some(library)
    });
    built.as_ref()
}

/// Runs the script with one fault; gives back what it called, and how it left.
fn run(shop: &Shop, account: &mut Account, fault: Option<(usize, &str)>) -> (Vec<String>, ExitStatus) {
    let log = shop.store.with_file_name("calls");
    let mut process = Process::start_with("script", shop, |command| {
        command.env("LD_PRELOAD", shim().expect("a C compiler"));
        command.env("LSES_FAULT_DIR", &shop.store).env("LSES_FAULT_LOG", &log);
        if let Some((at, kind)) = fault {
            command.env("LSES_FAULT_AT", at.to_string()).env("LSES_FAULT_KIND", kind);
        }
    });
    while let Some(line) = process.link.line() {
        if line == "written" {
            process.link.tell("close");
        } else if line.starts_with('>') || line.starts_with('<') {
            account.hear(0, &line);
        } else if let Some(error) = line.strip_prefix("! ") {
            let kind = error.split(' ').next().unwrap_or_default();
            assert!(!["panic", "internal"].contains(&kind), "{fault:?}: {error}");
            if kind == "uncertain" {
                account.lost(0);
            } else {
                account.refused(0);
            }
        } else {
            assert!(line.starts_with("closed"), "{fault:?}: {line}");
            assert!(!line.contains("panic") && !line.contains("internal"), "{fault:?}: {line}");
        }
    }
    account.lost(0);
    let status = process.wait();
    let calls = std::fs::read_to_string(&log).unwrap_or_default();
    (calls.lines().map(str::to_owned).collect(), status)
}

#[test]
fn every_file_call_fails_once_and_nothing_is_acknowledged_that_is_not_so() {
    if shim().is_none() {
        return loudly("SKIPPED: failing file calls, as there is no C compiler");
    }
    let mut seed = Seed::new("faults");
    for durable in [false, true] {
        let dir = Dir::new();
        let mut account = Account::default();
        let whole = Shop { durable, ..dir.shop() };
        let (calls, status) = run(&whole, &mut account, None);
        assert!(status.success() && account.acknowledged >= 12, "without a fault: {status}");
        account.check(&whole.open());
        let mut places: Vec<(usize, &str)> =
            (1..=calls.len()).flat_map(|at| KINDS.iter().map(move |kind| (at, *kind))).collect();
        // A fair part of them, each place at least in one way over a few runs.
        let most = rounds(45, usize::MAX);
        while places.len() > most {
            places.swap_remove(seed.below(places.len()));
        }
        places.sort_unstable();
        let (mut visited, mut refused) = (0, 0);
        for (at, kind) in places {
            let dir = Dir::new();
            let shop = Shop { durable, ..dir.shop() };
            let mut account = Account::default();
            let (calls, status) = run(&shop, &mut account, Some((at, kind)));
            let Some(call) = calls.get(at - 1) else { continue };
            visited += 1;
            refused += usize::from(account.acknowledged < 12);
            println!("{at} {call} {kind}: {} acknowledged, {status}", account.acknowledged);
            let as_told = if kind == "KILL" { !status.success() } else { status.success() };
            assert!(as_told, "{call} {kind}: {status}");
            let manager =
                shop.try_open().unwrap_or_else(|error| panic!("{at} {call} {kind}: not opened again: {error}"));
            account.check(&manager);
            manager.close(Duration::from_secs(5));
        }
        println!("durable={durable}: {} calls, {visited} faults, {refused} noticed", calls.len());
        assert!(visited > 15);
    }
}

#[test]
fn a_full_disk_is_an_error_and_reads_go_on() {
    let dir = Dir::new();
    let disk = dir.path().join("disk");
    std::fs::create_dir(&disk).expect("a directory");
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=3m,mode=700", "tmpfs"])
        .arg(&disk)
        .stderr(std::process::Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !mounted {
        return loudly("SKIPPED: a full disk, as nothing can be mounted here");
    }
    let shop = Shop { store: disk.join("store"), ..dir.shop() };
    let mut clerk = Process::clerk(&shop);
    let (mut tokens, mut error) = (Vec::new(), String::new());
    for number in 0..1000 {
        let token = clerk.ok("create")[1].clone();
        let filled = clerk.ask(&format!("fill {token} a 60000"));
        if filled != "ok" {
            error = filled;
            break;
        }
        tokens.push((number, token));
    }
    // Nothing more fits; what was written is read and used.
    println!("{} written, then: {error}", tokens.len());
    let told = ["error unavailable", "error uncertain"].iter().any(|kind| error.starts_with(kind));
    for (_, token) in &tokens {
        assert_eq!(clerk.ask(&format!("touch {token}")), "live");
        assert_eq!(clerk.ask(&format!("size {token} a")), "ok 60000");
    }
    clerk.kill();
    let unmounted = Command::new("umount").args(["-l"]).arg(&disk).status().is_ok_and(|status| status.success());
    assert!(unmounted && !tokens.is_empty());
    assert!(told && error.contains("free"), "{error}");
}
