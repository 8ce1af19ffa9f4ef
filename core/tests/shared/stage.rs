//! A store of which one process dies at a certain step of what it does, and this one lives on and looks.

use std::sync::{Arc, Mutex};

use super::*;

/// A callback as this process heard it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    pub session: SessionId,
    pub event: u64,
    pub reason: Option<EndReason>,
}

/// Hears the ends of the sessions of class `audit`.
struct Ear(Arc<Mutex<Vec<Heard>>>);

impl EventHandler for Ear {
    fn handles(&self, kind: EventKind) -> bool {
        kind == EventKind::End
    }

    fn call(&self, event: &Arc<Event>, _: Attempt, reply: Reply) {
        let heard = Heard { session: event.session_id, event: event.event_id, reason: event.reason };
        self.0.lock().expect("a lock").push(heard);
        reply.done();
    }
}

/// The store, and who lives on.
pub struct Stage {
    _dir: Dir,
    pub shop: Shop,
    pub manager: Manager,
    heard: Arc<Mutex<Vec<Heard>>>,
    /// The last audit record that was looked at: its number, and the units after it.
    seen: Mutex<(u64, u64)>,
    /// Units that may be in use at most.
    most: u64,
}

impl Stage {
    /// So many units, no more of them in use ever than `most`, and more options of the shop.
    pub fn new(capacity: u64, most: u64, change: impl FnOnce(Shop) -> Shop) -> Self {
        let dir = Dir::new();
        let shop = change(Shop { capacity, ..dir.shop() });
        let manager = shop.open();
        let stage = Self { _dir: dir, shop, manager, heard: Arc::default(), seen: Mutex::default(), most };
        stage.listen();
        stage
    }

    fn listen(&self) {
        if !self.shop.class.is_empty() {
            let ear = Ear(self.heard.clone());
            self.manager.register(EventClass::new(&*self.shop.class, ear)).expect("a class");
        }
    }

    pub fn close(&self) {
        assert_eq!(self.manager.close(Duration::from_secs(5)).in_flight, 0);
    }

    /// Opens it again.
    pub fn open(&mut self) {
        self.manager = self.shop.open();
        self.listen();
    }

    /// What was heard of a session's end.
    pub fn heard(&self, session: SessionId) -> Vec<Heard> {
        self.heard.lock().expect("a lock").iter().filter(|heard| heard.session == session).copied().collect()
    }

    pub fn create(&self) -> Created {
        self.manager.create(CreateOptions::new("shop")).expect("a session")
    }

    pub fn log_in(&self, session: &Created, user: &str) {
        let request = self.request(&session.token.reveal());
        request.login(user).expect("a login");
        request.finish().expect("a request");
    }

    pub fn end(&self, id: SessionId) {
        let ended = self.manager.end(id, EndOptions::default()).expect("an end");
        assert!(matches!(ended, EndOutcome::Ended(_)), "{ended:?}");
    }

    pub fn end_all(&self) {
        self.ids().into_iter().for_each(|id| self.end(id));
    }

    pub fn request(&self, token: &str) -> Request {
        self.manager.begin(token, BeginOptions::default()).and_then(Begin::live).expect("a live session")
    }

    pub fn ids(&self) -> Vec<SessionId> {
        let page = self.manager.list(&Filter::default(), 0, 1000).expect("a list");
        page.sessions.iter().map(|session| session.id).collect()
    }

    pub fn queue(&self) -> Vec<Waiter> {
        self.manager.queue("users", 0, 100).expect("a queue")
    }

    pub fn resize(&self, capacity: u64) {
        let resize = |pool: &mut Pool| {
            pool.capacity = capacity;
            Ok(())
        };
        self.manager.change_pool("users", resize, Some("root")).expect("a change");
    }

    pub fn usage(&self) -> Usage {
        self.manager.usage("users").expect("usage")
    }

    /// So many units are in use, by the counters, by the recount and by the accounts, which have no gap and never had more
    /// than there are.
    pub fn exact(&self, in_use: u64) {
        let audit = self.manager.audit("users").expect("audit");
        assert_eq!((audit.counted, audit.recounted, &audit.differences), (in_use, in_use, &Vec::new()));
        assert_eq!(self.manager.check(), Ok(Vec::new()));
        self.follow();
        let seen = *self.seen.lock().expect("a lock");
        assert_eq!(seen.1, in_use, "the accounts end with what is in use");
        let usage = self.usage();
        let held: u64 = usage.holders.iter().map(|holder| holder.units).sum();
        assert_eq!((usage.in_use, held + usage.offered), (in_use, in_use), "{usage:?}");
    }

    /// Reads the accounts on: without a gap, and never more than there are.
    pub fn follow(&self) {
        let mut seen = self.seen.lock().expect("a lock");
        for record in self.manager.audit_records("users", seen.0, usize::MAX).expect("accounts") {
            assert_eq!((record.seq, record.before), (seen.0 + 1, seen.1), "a gap in the accounts: {record:?}");
            assert!(record.after <= self.most, "more units than there are: {record:?}");
            *seen = (record.seq, record.after);
        }
    }

    /// Audit records so far.
    pub fn records(&self) -> u64 {
        self.seen.lock().expect("a lock").0
    }
}
