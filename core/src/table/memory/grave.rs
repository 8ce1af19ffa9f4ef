//! Tombstones: what remains of ended sessions for a while, found by their place.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use parking_lot::Mutex;

use super::cold::Replaced;
use crate::clock::Millis;
use crate::id::SessionId;
use crate::reason::{EndLevel, EndReason};
use crate::session::Receipt;

const SHARDS: usize = 16;

/// What a tombstone keeps.
#[derive(Clone)]
pub(super) struct Grave {
    pub id: SessionId,
    pub verifier: [u64; 2],
    pub until: Millis,
    pub application: u32,
    pub reason: EndReason,
    pub level: EndLevel,
    pub at: Millis,
    pub wall: i64,
    pub late: Option<Millis>,
    pub licensed: bool,
    pub event_id: u64,
    pub user: Option<Arc<str>>,
    pub more: Option<Box<More>>,
}

/// What few tombstones keep.
#[derive(Clone, Default)]
pub(super) struct More {
    pub actor: Option<String>,
    pub note: Option<String>,
    pub replaced: Vec<Replaced>,
}

impl Grave {
    /// The answer to a token: the reason, if it is one of the session's.
    pub fn reason_for(&self, verifier: [u64; 2], now: Millis) -> Option<EndReason> {
        if (self.verifier[0] ^ verifier[0]) | (self.verifier[1] ^ verifier[1]) == 0 {
            return Some(self.reason);
        }
        let replaced = &self.more.as_ref()?.replaced;
        let old = replaced.iter().find(|old| old.verifier == verifier && now < old.until)?;
        Some(if now < old.grace { self.reason } else { EndReason::Replaced })
    }

    pub fn receipt(&self, application: Arc<str>) -> Receipt {
        let more = self.more.as_deref();
        Receipt {
            id: self.id,
            application,
            user: self.user.clone(),
            reason: self.reason,
            level: self.level,
            actor: more.and_then(|more| more.actor.clone()),
            note: more.and_then(|more| more.note.clone()),
            at_ms: self.at,
            wall_ms: self.wall,
            late: self.late.map(std::time::Duration::from_millis),
            license_free_at_ms: self.licensed.then_some(self.at),
            event_id: self.event_id,
            callbacks: Vec::new(),
        }
    }
}

/// Places are ours, not a client's: a multiplication spreads them well enough.
#[derive(Default)]
pub(super) struct PlaceHasher(u64);

impl Hasher for PlaceHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0 ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(26);
    }
}

#[derive(Default)]
struct Yard {
    /// By place: the number of the grave, counted from the first ever.
    places: HashMap<u64, u64, BuildHasherDefault<PlaceHasher>>,
    /// In the order of their ends, which is the order in which they fall.
    graves: VecDeque<(u64, Grave)>,
    fallen: u64,
}

impl Yard {
    fn purge(&mut self, now: Millis, most: usize) {
        for _ in 0..most {
            match self.graves.front() {
                Some((_, grave)) if grave.until <= now => {}
                _ => return,
            }
            if let Some((locator, _)) = self.graves.pop_front() {
                if self.places.get(&locator) == Some(&self.fallen) {
                    self.places.remove(&locator);
                }
                self.fallen += 1;
            }
        }
    }

    fn get(&self, locator: u64) -> Option<&Grave> {
        let number = self.places.get(&locator)?;
        let position = usize::try_from(number.checked_sub(self.fallen)?).ok()?;
        self.graves.get(position).map(|(_, grave)| grave)
    }
}

/// All tombstones.
pub(super) struct Graves([Mutex<Yard>; SHARDS]);

impl Graves {
    pub fn new() -> Self {
        Self(std::array::from_fn(|_| Mutex::new(Yard::default())))
    }

    fn yard(&self, locator: u64) -> &Mutex<Yard> {
        &self.0[(locator as usize) % SHARDS]
    }

    pub fn bury(&self, locator: u64, grave: Grave, now: Millis) {
        let mut yard = self.yard(locator).lock();
        yard.purge(now, 2);
        let number = yard.fallen + yard.graves.len() as u64;
        yard.places.insert(locator, number);
        yard.graves.push_back((locator, grave));
    }

    /// Shows the tombstone of a place while it stands.
    pub fn with<R>(&self, locator: u64, now: Millis, look: impl FnOnce(&Grave) -> R) -> Option<R> {
        let yard = self.yard(locator).lock();
        yard.get(locator).filter(|grave| now < grave.until).map(look)
    }

    /// Takes away what has fallen.
    pub fn purge(&self, now: Millis) {
        for yard in &self.0 {
            yard.lock().purge(now, 256);
        }
    }

    pub fn len(&self) -> usize {
        self.0.iter().map(|yard| yard.lock().graves.len()).sum()
    }
}
