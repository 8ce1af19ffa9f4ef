//! Tombstones: what remains of ended sessions for a while, found by their place.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

use crate::sync::Mutex;

use crate::clock::Millis;
use crate::table::grave::Grave;

const SHARDS: usize = 16;
/// Tombstones that there is room for, however few sessions there may be.
const MIN_GRAVES: usize = 65_536;

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
            self.fall();
        }
    }

    /// The oldest one falls.
    fn fall(&mut self) {
        if let Some((locator, _)) = self.graves.pop_front() {
            if self.places.get(&locator) == Some(&self.fallen) {
                self.places.remove(&locator);
            }
            self.fallen += 1;
        }
    }

    fn get(&self, locator: u64) -> Option<&Grave> {
        let number = self.places.get(&locator)?;
        let position = usize::try_from(number.checked_sub(self.fallen)?).ok()?;
        self.graves.get(position).map(|(_, grave)| grave)
    }
}

/// All tombstones.
pub(super) struct Graves {
    yards: [Mutex<Yard>; SHARDS],
    /// The most that one yard keeps: what is beyond falls early, so that no flood of ends fills the memory.
    most: usize,
}

impl Graves {
    /// Room for about `most` tombstones.
    pub fn new(most: u64) -> Self {
        let most = usize::try_from(most).unwrap_or(usize::MAX).max(MIN_GRAVES).div_ceil(SHARDS);
        Self { yards: std::array::from_fn(|_| Mutex::new(Yard::default())), most }
    }

    fn yard(&self, locator: u64) -> &Mutex<Yard> {
        &self.yards[(locator as usize) % SHARDS]
    }

    pub fn bury(&self, locator: u64, grave: Grave, now: Millis) {
        let mut yard = self.yard(locator).lock();
        yard.purge(now, 2);
        if yard.graves.len() >= self.most {
            yard.fall();
        }
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
        for yard in &self.yards {
            yard.lock().purge(now, 256);
        }
    }

    pub fn len(&self) -> usize {
        self.yards.iter().map(|yard| yard.lock().graves.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SessionId;
    use crate::reason::{EndLevel, EndReason};

    fn grave(until: Millis) -> Grave {
        Grave {
            id: SessionId::NIL,
            verifier: [1, 2],
            until,
            application: 0,
            reason: EndReason::Ended,
            level: EndLevel::Force,
            at: 0,
            wall: 0,
            late: None,
            licensed: false,
            event_id: 0,
            user: None,
            more: None,
        }
    }

    #[test]
    fn a_tombstone_stands_until_its_time() {
        let graves = Graves::new(0);
        graves.bury(7, grave(100), 0);
        assert_eq!(graves.with(7, 99, |grave| grave.reason_for([1, 2], 99)), Some(Some(EndReason::Ended)));
        assert_eq!(graves.with(7, 99, |grave| grave.reason_for([1, 3], 99)), Some(None));
        assert!(graves.with(7, 100, |_| ()).is_none());
        graves.purge(100);
        assert_eq!(graves.len(), 0);
    }

    #[test]
    fn a_flood_of_ends_does_not_fill_the_memory() {
        let graves = Graves::new(1);
        for locator in 0..200_000 {
            graves.bury(locator, grave(u64::MAX), 0);
        }
        assert_eq!(graves.len(), MIN_GRAVES);
        assert!(graves.with(0, 0, |_| ()).is_none());
        assert!(graves.with(199_999, 0, |_| ()).is_some());
    }
}
