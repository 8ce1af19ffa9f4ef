//! The store of a test and how all its processes open it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use libsession_core::*;

/// A directory of its own for one test, removed afterwards (`LSES_KEEP=1` keeps it).
pub struct Dir(PathBuf);

impl Dir {
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("lses-shared-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).expect("a directory");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A store in it, which is not there yet.
    pub fn shop(&self) -> Shop {
        Shop { store: self.0.join("store"), ..Shop::default() }
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        if std::env::var_os("LSES_KEEP").is_none() {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

/// The configuration that all processes of a test share.
#[derive(Clone, Debug, PartialEq)]
pub struct Shop {
    pub store: PathBuf,
    /// Of the pool `users`.
    pub capacity: u64,
    /// 0: never.
    pub idle_ms: u64,
    /// The event class of its sessions; empty: none.
    pub class: String,
    pub durable: bool,
    /// Whether it was made for tests, with a manual clock.
    pub manual: bool,
    /// What sets this configuration apart from others.
    pub low: u64,
    /// When its sessions take their units, if they are lazy; empty: at once.
    pub lazy: String,
    /// More options of the pool `users`, as JSON; empty: none.
    pub pool: String,
}

impl Default for Shop {
    fn default() -> Self {
        Self {
            store: PathBuf::new(),
            capacity: 1000,
            idle_ms: 0,
            class: String::new(),
            durable: false,
            manual: false,
            low: 0,
            lazy: String::new(),
            pool: String::new(),
        }
    }
}

impl Shop {
    /// As a text for another process.
    pub fn text(&self) -> String {
        let Self { store, capacity, idle_ms, class, durable, manual, low, lazy, pool } = self;
        format!("{capacity}|{idle_ms}|{class}|{durable}|{manual}|{low}|{lazy}|{pool}|{}", store.display())
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.splitn(9, '|');
        Some(Self {
            capacity: words.next()?.parse().ok()?,
            idle_ms: words.next()?.parse().ok()?,
            class: words.next()?.to_owned(),
            durable: words.next()?.parse().ok()?,
            manual: words.next()?.parse().ok()?,
            low: words.next()?.parse().ok()?,
            lazy: words.next()?.to_owned(),
            pool: words.next()?.to_owned(),
            store: words.next()?.into(),
        })
    }

    /// What the test told this process.
    pub fn of_child() -> Self {
        let text = std::env::var("LSES_SHOP").expect("LSES_SHOP");
        Self::parse(&text).expect("a shop")
    }

    pub fn config(&self) -> Config {
        let idle = (self.idle_ms > 0).then(|| Duration::from_millis(self.idle_ms));
        let mut shop = Application::new("shop").absolute_timeout(None).idle_timeout(idle).pool("users");
        if !self.class.is_empty() {
            shop = shop.event_class(self.class.as_str());
        }
        if !self.lazy.is_empty() {
            let until = LazyUntil::from_name(&self.lazy).expect("when units are taken");
            shop = Application { lazy_until: until, ..shop.license_class(LicenseClass::Lazy) };
        }
        let mut pool = Pool { low: self.low, queue: 1000, ..Pool::new("users", self.capacity) };
        if !self.pool.is_empty() {
            pool.set_json(&self.pool).expect("options of a pool");
        }
        let clock = if self.manual { Clock::Manual(ManualClock::new()) } else { Clock::default() };
        let config = Config {
            store: format!("file:{}", self.store.display()),
            durability: if self.durable { Durability::Durable } else { Durability::Relaxed },
            // A token that was rotated by a process that was killed before it could say the new one.
            rotation_grace: Duration::from_secs(3600),
            workers: 1,
            retries: 0,
            callback_deadline: Duration::from_secs(120),
            ..Config::new()
        };
        let feature = Pool { unit_rule: UnitRule::Session, ..Pool::new("cad", 50) };
        config.application(shop).pool(pool).pool(feature).clock(clock)
    }

    pub fn try_open(&self) -> Result<Manager> {
        Manager::new(self.config())
    }

    pub fn open(&self) -> Manager {
        self.try_open().unwrap_or_else(|error| panic!("{}: {error}", self.store.display()))
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.store.join(name)
    }
}

#[test]
fn a_shop_is_the_same_in_another_process() {
    let shop = Shop {
        store: "/a|b".into(),
        class: "audit".into(),
        durable: true,
        idle_ms: 7,
        pool: r#"{"evict": "any"}"#.into(),
        ..Shop::default()
    };
    assert_eq!(Shop::parse(&shop.text()), Some(shop));
}
