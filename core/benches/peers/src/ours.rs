//! libsession as it is measured: one application, one pool, shared locks.

use std::sync::Arc;
use std::time::Duration;

use libsession_core::clock::Now;
use libsession_core::table::memory::MemoryTable;
use libsession_core::table::{ApplicationRule, At, NewSession, Table, TableConfig};
use libsession_core::{
    Application, Begin, BeginOptions, Clock, Config, CreateOptions, Created, EndOptions, EndOutcome, LicenseClass,
    LockMode, Manager, Pool, Subscript, Token, TouchKind, Touched, Value,
};

use crate::peers::IDLE_MS;

/// How many sessions and units there may be.
const ROOM: u64 = 4_000_000;

/// A manager and the tokens of its sessions.
pub struct Ours {
    pub manager: Manager,
    pub made: Vec<(Created, String)>,
}

impl Ours {
    pub fn new(sessions: usize, bytes: usize) -> Self {
        let mut ours = Self::open(Self::config());
        ours.fill(sessions, bytes);
        ours
    }

    /// The same with a pool that keeps no records.
    pub fn without_records(sessions: usize) -> Self {
        let mut config = Self::config();
        config.pools.iter_mut().for_each(|pool| pool.audit_records = 0);
        let mut ours = Self::open(config);
        ours.fill(sessions, 0);
        ours
    }

    /// One application, one pool, shared locks, in memory.
    pub fn config() -> Config {
        let mut shop = Application::new("shop").idle_timeout(Duration::from_millis(IDLE_MS)).pool("users");
        shop.lock = LockMode::Shared;
        let config = Config { max_sessions: ROOM, ..Config::new() };
        config.application(shop).pool(Pool::new("users", ROOM))
    }

    pub fn open(config: Config) -> Self {
        Self { manager: Manager::new(config).expect("the manager opens"), made: Vec::new() }
    }

    pub fn fill(&mut self, sessions: usize, bytes: usize) {
        self.made.reserve(sessions);
        for _ in 0..sessions {
            let created = self.create_with(bytes, None);
            let token = created.token.reveal();
            self.made.push((created, token));
        }
    }

    /// A session with so many bytes of data, and its own idle timeout.
    pub fn create_with(&self, bytes: usize, idle: Option<Duration>) -> Created {
        let mut options = CreateOptions { idle_timeout: idle.map(Some), ..CreateOptions::default() };
        if bytes > 0 {
            options.data.push(("data".into(), Value::Bytes(vec![7; bytes])));
        }
        self.manager.create(options).expect("a session")
    }

    pub fn create(&self) -> Created {
        self.manager.create(CreateOptions::default()).expect("a session")
    }

    pub fn create_unlicensed(&self) -> Created {
        let options = CreateOptions { license_class: Some(LicenseClass::None), ..CreateOptions::default() };
        self.manager.create(options).expect("a session")
    }

    pub fn end(&self, created: &Created) {
        let ended = self.manager.end(created.id, EndOptions::default()).expect("ended");
        assert!(matches!(ended, EndOutcome::Ended(_)));
    }

    pub fn touch(&self, token: &str) -> bool {
        matches!(self.manager.touch(token, TouchKind::Activity), Ok(Touched::Live(_)))
    }

    pub fn begin_finish(&self, token: &str) {
        self.request(token, |_| ());
    }

    pub fn get(&self, token: &str, path: &[Subscript]) -> usize {
        self.request(token, |request| match request.get(path) {
            Ok(Some(Value::Bytes(data))) => data.len(),
            _ => 0,
        })
    }

    pub fn set(&self, token: &str, path: &[Subscript], data: &[u8]) {
        self.request(token, |request| request.set(path, Value::Bytes(data.to_vec())).expect("set"));
    }

    pub fn request<R>(&self, token: &str, body: impl FnOnce(&libsession_core::Request) -> R) -> R {
        let Ok(Begin::Live(request)) = self.manager.begin(token, BeginOptions::default()) else {
            panic!("the session is live");
        };
        let result = body(&request);
        request.finish().expect("finished");
        result
    }
}

/// The memory table by itself, and tokens that are decoded already.
pub struct Decoded {
    table: MemoryTable,
    clock: Clock,
    pub tokens: Vec<Token>,
}

impl Decoded {
    pub fn new(sessions: usize) -> Self {
        let application = ApplicationRule {
            name: "shop".into(),
            namespace: "".into(),
            max_sessions: u64::MAX,
            max_extensions: 0,
            extension_cap: 0,
            ask_lead: 5000,
            protected: false,
            trace: false,
        };
        let config = TableConfig {
            applications: vec![application],
            pools: Vec::new(),
            max_sessions: u64::MAX,
            quotas: Default::default(),
            quantum: 32,
            max_request: 3_600_000,
            tombstone: 600_000,
            answers_stand: 100,
            idle_counts_suspend: false,
            lifecycle_log: 10_000,
            agreement: String::new(),
        };
        let mut ours = Self { table: MemoryTable::new(config), clock: Clock::default(), tokens: Vec::new() };
        for _ in 0..sessions {
            let draft = ours.table.draft().expect("a draft");
            let mut new = NewSession {
                application: 0,
                client: Default::default(),
                data: Default::default(),
                idle: IDLE_MS,
                absolute: 0,
                classes: Arc::from([]),
                charge: None,
                begin: None,
                asking: Default::default(),
                lazy: None,
                brief: false,
            };
            ours.table.create(ours.at(), &draft, &mut new).expect("created").expect("admitted");
            ours.tokens.push(draft.token);
        }
        ours
    }

    fn at(&self) -> At {
        let now: Now = self.clock.now();
        At { now, wall: 0 }
    }

    #[inline]
    pub fn touch(&self, token: &Token) -> bool {
        matches!(self.table.touch(self.at(), token, TouchKind::Activity), libsession_core::table::Found::Live(_))
    }
}
