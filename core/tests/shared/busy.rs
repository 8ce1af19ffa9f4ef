//! A process that never rests: creates, writes, logs in and out, rotates, ends, and says of each what it is going to do
//! (`>`) and, when the call has returned, what it did (`<`).

use std::sync::{Arc, Condvar, Mutex};

use libsession_core::*;

use super::link::{Link, Teller};
use super::path;
use super::seed::Seed;
use super::shop::Shop;

/// Sessions that it has at once.
const MOST: usize = 24;

struct Mine {
    id: SessionId,
    token: String,
    value: i64,
}

/// How often it was told to pause, and to resume.
type Rest = Arc<(Mutex<(u64, u64)>, Condvar)>;

/// The role. First come the sessions that it takes over (`adopt ID TOKEN VALUE`), then `go SEED`; while it works
/// `pause` and `resume`.
pub fn role(mut link: Link, shop: Shop) {
    let mut mine = Vec::new();
    let mut seed = loop {
        let line = link.line().expect("what to do");
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["adopt", id, token, value] => mine.push(Mine {
                id: SessionId::parse(id).expect("an id"),
                token: token.to_owned(),
                value: value.parse().expect("a number"),
            }),
            ["go", seed] => break Seed::of(seed.parse().expect("a seed")),
            _ => panic!("{line}"),
        }
    };
    let manager = shop.open();
    let teller = link.teller();
    let rest = Rest::default();
    let resting = rest.clone();
    std::thread::spawn(move || {
        while let Some(line) = link.line() {
            let mut told = resting.0.lock().expect("the rest");
            match &*line {
                "pause" => told.0 += 1,
                _ => told.1 += 1,
            }
            drop(told);
            resting.1.notify_all();
        }
        std::process::exit(0);
    });
    let mut pauses = 0;
    loop {
        let mut told = rest.0.lock().expect("the rest");
        while told.0 > pauses {
            pauses += 1;
            teller.tell("paused");
            while told.1 < pauses {
                told = rest.1.wait(told).expect("the rest");
            }
        }
        drop(told);
        if let Err(error) = work(&manager, &mut mine, &mut seed, &teller) {
            teller.tell(&format!("! {error}"));
            std::process::exit(1);
        }
    }
}

fn work(manager: &Manager, mine: &mut Vec<Mine>, seed: &mut Seed, teller: &Teller) -> Result<()> {
    let say = |line: String| {
        if !teller.tell(&line) {
            std::process::exit(0);
        }
    };
    let chance = seed.below(100);
    if mine.is_empty() || (chance < 25 && mine.len() < MOST) {
        say("> create".into());
        match manager.create(CreateOptions::new("shop")) {
            Ok(created) => {
                say(format!("< created {} {}", created.id, created.token.reveal()));
                mine.push(Mine { id: created.id, token: created.token.reveal(), value: 0 });
            }
            Err(error) if error.kind() == ErrorKind::LicenseDenied => say("< refused".into()),
            Err(error) => return Err(error),
        }
        return Ok(());
    }
    let at = seed.below(mine.len());
    let id = mine[at].id;
    if chance < 40 {
        say(format!("> end {id}"));
        manager.end(id, EndOptions::default())?;
        say("< ended".into());
        mine.swap_remove(at);
        return Ok(());
    }
    let request = manager.begin(&mine[at].token, BeginOptions::default())?.live()?;
    // Features need no account: a recount finds whatever is not returned, or twice.
    match seed.below(8) {
        0 => {
            match request.take_feature("cad", FeatureOptions { count: 1 + seed.below(3) as u64, ..Default::default() })
            {
                Err(error) if error.kind() != ErrorKind::LicenseDenied => return Err(error),
                _ => {}
            }
        }
        1 => drop(request.return_feature("cad", 2)?),
        _ => {}
    }
    if chance < 50 {
        let user = format!("user-{:x}", seed.number());
        say(format!("> login {id} {user}"));
        mine[at].token = request.login(&user)?.token.reveal();
        say(format!("< token {}", mine[at].token));
    } else if chance < 55 {
        say(format!("> logout {id}"));
        match request.logout(false)? {
            Logout::Done(token) => {
                mine[at].token = token.reveal();
                say(format!("< token {}", mine[at].token));
            }
            Logout::Ended(_) => {
                say("< ended".into());
                mine.swap_remove(at);
                return Ok(());
            }
        }
    } else if chance < 62 {
        say(format!("> rotate {id}"));
        mine[at].token = request.rotate()?.reveal();
        say(format!("< token {}", mine[at].token));
    } else {
        let value = mine[at].value + 1;
        request.set(&path("value"), Value::Int(value))?;
        request.set(&path("twice"), Value::Int(2 * value))?;
        say(format!("> set {id} {value}"));
        request.finish()?;
        say("< set".into());
        mine[at].value = value;
        return Ok(());
    }
    request.finish()
}
