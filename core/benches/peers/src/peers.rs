//! The peers: what one would build, or take, instead. Each keeps sessions by a random id of 128 bits.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::RwLock;
use tower_sessions_core::SessionStore as _;
use tower_sessions_core::session::{Id, Record};
use tower_sessions_memory_store::MemoryStore;

use crate::measure::coarse_ms;

/// The idle timeout of all subjects: 30 minutes.
pub const IDLE_MS: u64 = 1_800_000;

/// A table of sessions by random id, as simple as it can be.
pub trait Peer: Send + Sync {
    fn name(&self) -> &'static str;
    fn create(&self, id: u128, data: &[u8]);
    fn touch(&self, id: u128) -> bool;
    fn get(&self, id: u128) -> Option<Vec<u8>>;
    fn set(&self, id: u128, data: &[u8]);
    fn end(&self, id: u128) -> bool;
}

struct Entry {
    deadline: AtomicU64,
    data: Box<[u8]>,
}

impl Entry {
    fn new(data: &[u8]) -> Self {
        Self { deadline: AtomicU64::new(coarse_ms() + IDLE_MS), data: data.into() }
    }

    fn touch(&self) -> bool {
        let now = coarse_ms();
        let live = self.deadline.load(Ordering::Relaxed) > now;
        if live {
            self.deadline.store(now + IDLE_MS, Ordering::Relaxed);
        }
        live
    }
}

/// 64 shards of `RwLock<HashMap>`.
pub struct Sharded(Vec<Shard>);

#[repr(align(128))]
#[derive(Default)]
struct Shard(RwLock<hashbrown::HashMap<u128, Entry>>);

impl Sharded {
    pub fn new() -> Self {
        Self((0..64).map(|_| Shard::default()).collect())
    }

    fn shard(&self, id: u128) -> &RwLock<hashbrown::HashMap<u128, Entry>> {
        // The ids are random: their low bits choose the shard, the map hashes them whole.
        &self.0[id as usize & 63].0
    }
}

impl Peer for Sharded {
    fn name(&self) -> &'static str {
        "RwLock<hashbrown>"
    }
    fn create(&self, id: u128, data: &[u8]) {
        self.shard(id).write().insert(id, Entry::new(data));
    }
    fn touch(&self, id: u128) -> bool {
        self.shard(id).read().get(&id).is_some_and(Entry::touch)
    }
    fn get(&self, id: u128) -> Option<Vec<u8>> {
        let shard = self.shard(id).read();
        let entry = shard.get(&id)?;
        entry.touch().then(|| entry.data.to_vec())
    }
    fn set(&self, id: u128, data: &[u8]) {
        if let Some(entry) = self.shard(id).write().get_mut(&id)
            && entry.touch()
        {
            entry.data = data.into();
        }
    }
    fn end(&self, id: u128) -> bool {
        self.shard(id).write().remove(&id).is_some()
    }
}

/// dashmap as it comes.
pub struct Dash(dashmap::DashMap<u128, Entry>);

impl Dash {
    pub fn new() -> Self {
        Self(dashmap::DashMap::new())
    }
}

impl Peer for Dash {
    fn name(&self) -> &'static str {
        "dashmap"
    }
    fn create(&self, id: u128, data: &[u8]) {
        self.0.insert(id, Entry::new(data));
    }
    fn touch(&self, id: u128) -> bool {
        self.0.get(&id).is_some_and(|entry| entry.touch())
    }
    fn get(&self, id: u128) -> Option<Vec<u8>> {
        let entry = self.0.get(&id)?;
        entry.touch().then(|| entry.data.to_vec())
    }
    fn set(&self, id: u128, data: &[u8]) {
        if let Some(mut entry) = self.0.get_mut(&id)
            && entry.touch()
        {
            entry.data = data.into();
        }
    }
    fn end(&self, id: u128) -> bool {
        self.0.remove(&id).is_some()
    }
}

/// moka with `time_to_idle`.
pub struct Moka(moka::sync::Cache<u128, Arc<[u8]>>);

impl Moka {
    pub fn new() -> Self {
        Self(moka::sync::Cache::builder().time_to_idle(Duration::from_millis(IDLE_MS)).build())
    }
}

impl Peer for Moka {
    fn name(&self) -> &'static str {
        "moka"
    }
    fn create(&self, id: u128, data: &[u8]) {
        self.0.insert(id, data.into());
    }
    fn touch(&self, id: u128) -> bool {
        self.0.get(&id).is_some()
    }
    fn get(&self, id: u128) -> Option<Vec<u8>> {
        self.0.get(&id).map(|data| data.to_vec())
    }
    fn set(&self, id: u128, data: &[u8]) {
        if self.0.get(&id).is_some() {
            self.0.insert(id, data.into());
        }
    }
    fn end(&self, id: u128) -> bool {
        self.0.remove(&id).is_some()
    }
}

/// tower-sessions' `MemoryStore`; a touch loads and saves the record.
pub struct Tower(MemoryStore);

impl Tower {
    pub fn new() -> Self {
        Self(MemoryStore::default())
    }

    fn record(id: u128) -> Record {
        let expiry_date = time::OffsetDateTime::now_utc() + time::Duration::minutes(30);
        Record { id: Id(id as i128), data: Default::default(), expiry_date }
    }
}

/// The store is asynchronous by its signatures only: each future is ready at once.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the memory store waits"),
    }
}

impl Peer for Tower {
    fn name(&self) -> &'static str {
        "tower-sessions"
    }
    fn create(&self, id: u128, _data: &[u8]) {
        ready(self.0.create(&mut Self::record(id))).expect("create");
    }
    fn touch(&self, id: u128) -> bool {
        let Some(mut record) = ready(self.0.load(&Id(id as i128))).expect("load") else { return false };
        record.expiry_date = time::OffsetDateTime::now_utc() + time::Duration::minutes(30);
        ready(self.0.save(&record)).is_ok()
    }
    fn get(&self, id: u128) -> Option<Vec<u8>> {
        ready(self.0.load(&Id(id as i128))).expect("load").map(|_| Vec::new())
    }
    fn set(&self, id: u128, _data: &[u8]) {
        self.touch(id);
    }
    fn end(&self, id: u128) -> bool {
        ready(self.0.delete(&Id(id as i128))).is_ok()
    }
}

/// The floor: a bare slab for one thread, a comparison of the generation and one store.
pub struct Floor(Vec<(u64, u64, [u64; 6])>);

impl Floor {
    pub fn new(sessions: usize) -> Self {
        Self((0..sessions).map(|at| (at as u64 ^ 0x55, IDLE_MS, [0; 6])).collect())
    }

    /// The handle of a session: place and generation.
    pub fn handle(at: u32) -> u64 {
        u64::from(at) << 32 | (u64::from(at) ^ 0x55)
    }

    #[inline]
    pub fn touch(&mut self, handle: u64, now: u64) -> bool {
        match self.0.get_mut((handle >> 32) as usize) {
            Some(slot) if slot.0 == handle & 0xffff_ffff && slot.1 > now => {
                slot.1 = now + IDLE_MS;
                true
            }
            _ => false,
        }
    }
}

/// The peers that can do everything.
pub fn all() -> Vec<Box<dyn Peer>> {
    vec![Box::new(Sharded::new()), Box::new(Dash::new()), Box::new(Moka::new()), Box::new(Tower::new())]
}

/// A peer by its name.
pub fn by_name(name: &str) -> Option<Box<dyn Peer>> {
    all().into_iter().find(|peer| peer.name() == name)
}

/// A random id.
pub fn id() -> u128 {
    rand::random()
}
