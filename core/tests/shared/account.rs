//! What an outside process knows of the work of others: what they said that they had done must be so.

use std::collections::BTreeMap;

use libsession_core::*;

use super::{BOUND, path, wait_within};

/// A session that was acknowledged.
#[derive(Clone)]
struct Known {
    token: String,
    value: i64,
    user: Option<String>,
    /// Whose it is.
    of: usize,
}

/// What a process was doing.
#[derive(Clone)]
enum Intent {
    Create,
    Set { id: String, value: i64 },
    Login { id: String, user: String },
    Logout { id: String },
    Rotate { id: String },
    End { id: String },
}

/// The account of all processes of one store.
#[derive(Clone, Default)]
pub struct Account {
    live: BTreeMap<String, Known>,
    ended: Vec<(String, String)>,
    /// What each process is doing.
    doing: BTreeMap<usize, Intent>,
    /// What processes were doing when they were killed: done or not.
    doubts: Vec<Intent>,
    /// Acknowledged so far.
    pub acknowledged: u64,
}

impl Account {
    /// Takes note of what process `of` said; tells whether that was an acknowledgement.
    pub fn hear(&mut self, of: usize, line: &str) -> bool {
        let words: Vec<&str> = line.split(' ').collect();
        let own = |text: &str| text.to_owned();
        let intent = match words[..] {
            [">", "create"] => Intent::Create,
            [">", "set", id, value] => Intent::Set { id: own(id), value: value.parse().expect("a number") },
            [">", "login", id, user] => Intent::Login { id: own(id), user: own(user) },
            [">", "logout", id] => Intent::Logout { id: own(id) },
            [">", "rotate", id] => Intent::Rotate { id: own(id) },
            [">", "end", id] => Intent::End { id: own(id) },
            ["<", ..] => {
                let intent = self.doing.remove(&of).expect("an acknowledgement of something");
                self.acknowledged += 1;
                self.done(of, intent, &words[1..]);
                return true;
            }
            _ => panic!("process {of}: {line}"),
        };
        assert!(self.doing.insert(of, intent).is_none(), "process {of} does two things at once");
        false
    }

    fn done(&mut self, of: usize, intent: Intent, words: &[&str]) {
        match (intent, words) {
            (Intent::Create, ["created", id, token]) => {
                let known = Known { token: (*token).to_owned(), value: 0, user: None, of };
                assert!(self.live.insert((*id).to_owned(), known).is_none(), "{id} was given away twice");
            }
            (Intent::Create, ["refused"]) => {}
            (Intent::Set { id, value }, ["set"]) => self.known(&id).value = value,
            (Intent::Login { id, user }, ["token", token]) => {
                let known = self.known(&id);
                (known.token, known.user) = ((*token).to_owned(), Some(user));
            }
            (Intent::Logout { id }, ["token", token]) => {
                let known = self.known(&id);
                (known.token, known.user) = ((*token).to_owned(), None);
            }
            (Intent::Rotate { id }, ["token", token]) => self.known(&id).token = (*token).to_owned(),
            (Intent::End { id } | Intent::Logout { id }, ["ended"]) => self.end(&id),
            _ => panic!("process {of} said {words:?}"),
        }
    }

    fn known(&mut self, id: &str) -> &mut Known {
        self.live.get_mut(id).expect("a session that was acknowledged")
    }

    fn end(&mut self, id: &str) {
        let known = self.live.remove(id).expect("a session that was acknowledged");
        self.ended.push((id.to_owned(), known.token));
    }

    /// Process `of` was killed.
    pub fn lost(&mut self, of: usize) {
        self.doubts.extend(self.doing.remove(&of));
    }

    /// What process `of` was doing was refused: nothing was done.
    pub fn refused(&mut self, of: usize) {
        self.doing.remove(&of);
    }

    /// What another process takes over from `of`: lines for it.
    pub fn handover(&self, of: usize) -> Vec<String> {
        let theirs = self.live.iter().filter(|(_, known)| known.of == of);
        theirs.map(|(id, known)| format!("adopt {id} {} {}", known.token, known.value)).collect()
    }

    /// Compares with the store, which nobody changes meanwhile. What was in doubt is settled by it.
    pub fn check(&mut self, manager: &Manager) {
        let mut maybe_made = 0;
        for doubt in std::mem::take(&mut self.doubts) {
            match doubt {
                Intent::Create => maybe_made += 1,
                // The old token works for the grace, and both of the two are the session's.
                Intent::Rotate { .. } => {}
                Intent::End { id } => {
                    if live(manager, &id).is_none() {
                        self.end(&id);
                    }
                }
                Intent::Login { id, user } => {
                    let now = live(manager, &id).unwrap_or_else(|| panic!("{id} is lost in a login"));
                    let known = self.known(&id);
                    assert!(now.as_deref() == Some(&*user) || now == known.user, "{id}: {now:?} in a login of {user}");
                    known.user = now;
                }
                Intent::Logout { id } => {
                    let now = live(manager, &id).unwrap_or_else(|| panic!("{id} is lost in a logout"));
                    let known = self.known(&id);
                    assert!(now.is_none() || now == known.user, "{id}: {now:?} in a logout of {:?}", known.user);
                    if now.is_none() {
                        // Nobody has its token.
                        end(manager, &id);
                        self.end(&id);
                    }
                }
                Intent::Set { id, value } => {
                    let known = self.known(&id);
                    let (now, _) = read(manager, &id, &known.token);
                    assert!(now == value || now == known.value, "{id}: {now} instead of {} or {value}", known.value);
                    known.value = now;
                }
            }
        }
        for (id, known) in &self.live {
            let (value, user) = read(manager, id, &known.token);
            assert_eq!((value, &user), (known.value, &known.user), "{id}: acknowledged on the right");
        }
        self.check_ended(manager);
        // Made and not acknowledged: listed as soon as the process that made it is buried.
        wait_within(BOUND, "every session is listed", || {
            manager.audit("users").is_ok_and(|audit| audit.recounted == ids(manager).len() as u64)
        });
        for id in ids(manager) {
            if !self.live.contains_key(&id) {
                assert!(!self.ended.iter().any(|(ended, _)| *ended == id), "{id} came back");
                assert!(maybe_made > 0, "nobody made {id}");
                maybe_made -= 1;
                end(manager, &id);
            }
        }
        exact(manager, self.live.len() as u64);
    }
}

impl Account {
    /// What ended never comes back.
    fn check_ended(&self, manager: &Manager) {
        for (id, token) in &self.ended {
            let touched = manager.touch(token, TouchKind::None).expect("touch");
            assert!(!matches!(touched, Touched::Live(_)), "{id} came back");
        }
    }

    /// After a power cut without a sync of each change: what was `promised` (an earlier account) is there, at least as
    /// it was then; what ended or got another token since (which is synced) is as it is now; and all is of one piece.
    pub fn check_loosely(&self, promised: &Account, manager: &Manager) {
        self.check_ended(manager);
        let doubted = |id: &str| {
            self.doubts
                .iter()
                .any(|doubt| matches!(doubt, Intent::End { id: of } | Intent::Logout { id: of } if of == id))
        };
        for (id, earlier) in &promised.live {
            let Some(known) = self.live.get(id) else { continue };
            if doubted(id) {
                continue;
            }
            let (value, user) = read(manager, id, &known.token);
            assert!(value >= earlier.value, "{id}: {value} is older than {}", earlier.value);
            let logging = self.doubts.iter().any(|doubt| matches!(doubt, Intent::Login { id: of, .. } if of == id));
            assert!(user == known.user || logging, "{id}: {user:?} instead of {:?}", known.user);
        }
        exact(manager, ids(manager).len() as u64);
    }
}

/// So many sessions live, and as many units are in use.
fn exact(manager: &Manager, live: u64) {
    let audit = manager.audit("users").expect("audit");
    assert_eq!((audit.counted, audit.recounted, audit.differences), (live, live, Vec::new()));
    // A process that was killed between its commit and the counter is counted again when it is buried.
    wait_within(BOUND, "the counter is right", || manager.count() == Ok(live));
    assert_eq!(manager.check(), Ok(Vec::new()));
}

fn end(manager: &Manager, id: &str) {
    manager.end(SessionId::parse(id).expect("an id"), EndOptions::default()).expect("end");
}

/// The user of a live session; `None` if it is not live.
fn live(manager: &Manager, id: &str) -> Option<Option<String>> {
    let explain = manager.explain(SessionId::parse(id).expect("an id")).expect("explain")?;
    Some(explain.live?.user.map(|user| user.to_string()))
}

fn read(manager: &Manager, id: &str, token: &str) -> (i64, Option<String>) {
    let options = BeginOptions { touch: Some(TouchKind::None), lock: Some(LockMode::None), ..BeginOptions::default() };
    let begun = manager.begin(token, options).expect("begin");
    let request = begun.live().unwrap_or_else(|error| panic!("{id} is lost: {error}"));
    assert_eq!(request.id().to_string(), id, "another session's token");
    let number = |key| match request.get(&path(key)).expect("get") {
        Some(Value::Int(number)) => number,
        None => 0,
        other => panic!("{id}: {other:?}"),
    };
    let (value, twice) = (number("value"), number("twice"));
    assert_eq!(twice, 2 * value, "{id}: half a change");
    let user = request.user().expect("user").map(|user| user.to_string());
    request.finish().expect("finish");
    (value, user)
}

pub fn ids(manager: &Manager) -> Vec<String> {
    let (mut cursor, mut ids) = (Some(0), Vec::new());
    while let Some(at) = cursor {
        let page = manager.list(&Filter::default(), at, 1000).expect("list");
        ids.extend(page.sessions.iter().map(|session| session.id.to_string()));
        cursor = page.next;
    }
    ids
}
