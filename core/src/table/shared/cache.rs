//! Trees that this process read or committed, so that a request need not ask the books for data that nobody changed.
//!
//! A tree is found only by the generation and the version that it was kept with: whoever changes a session's data gives it
//! another version, and all older trees are found no more.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::data::Tree;
use crate::event::id_hash::IdMap;
use crate::sync::Mutex;

/// Sessions are spread over so many locks: a power of two.
const SHARDS: usize = 16;
/// What an entry is counted for at least: there are never more entries than the bound holds of these.
const ENTRY: usize = 256;
/// What a node of a tree takes besides its subscript and value.
const NODE: usize = 96;

/// A bounded cache of trees by slot, generation and version. A slot has one tree at most.
pub(super) struct Cache {
    shards: [Mutex<Shard>; SHARDS],
    /// The most bytes.
    bound: usize,
    /// The bytes of all entries.
    used: AtomicUsize,
}

#[derive(Default)]
struct Shard {
    /// Where in `ring` a slot's entry is.
    places: IdMap<u64, usize>,
    /// All entries, in no order.
    ring: Vec<Entry>,
    /// Who is asked next whether it was used since it was asked last.
    hand: usize,
}

struct Entry {
    index: u32,
    generation: u64,
    version: u64,
    weight: usize,
    /// Used since the hand passed.
    used: bool,
    tree: Arc<Tree>,
}

impl Cache {
    /// A cache of about so many bytes: trees are weighed by what they hold, not by what the allocator took for them.
    pub fn new(bound: usize) -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()), bound, used: AtomicUsize::new(0) }
    }

    fn shard(&self, index: u32) -> &Mutex<Shard> {
        &self.shards[index as usize % SHARDS]
    }

    /// The tree of a slot, if it is kept with this generation and version.
    pub fn get(&self, index: u32, generation: u64, version: u64) -> Option<Arc<Tree>> {
        let mut shard = self.shard(index).lock();
        let place = *shard.places.get(&u64::from(index))?;
        let entry = shard.ring.get_mut(place)?;
        if (entry.generation, entry.version) != (generation, version) {
            return None;
        }
        entry.used = true;
        Some(entry.tree.clone())
    }

    /// Keeps the tree of a slot instead of any other of it. One that would take more than half of the cache is not kept.
    pub fn put(&self, index: u32, generation: u64, version: u64, tree: Arc<Tree>) {
        let weight = weigh(&tree);
        if weight > self.bound / 2 {
            self.forget(index);
            return;
        }
        let entry = Entry { index, generation, version, weight, used: false, tree };
        // Before it is added, so that two who add at once both make room.
        self.used.fetch_add(weight, Ordering::AcqRel);
        let replaced = self.shard(index).lock().put(entry);
        self.gone(replaced);
        self.make_room(index);
    }

    /// Drops what is kept of a slot: for whoever ends the session, or is about to change the only tree in place.
    pub fn forget(&self, index: u32) {
        let removed = self.shard(index).lock().remove_of(index);
        self.gone(removed);
    }

    /// The bytes that all entries count for.
    fn bytes(&self) -> usize {
        self.used.load(Ordering::Acquire)
    }

    /// An entry left its shard. It is dropped here, under no lock: a large tree takes a while.
    fn gone(&self, entry: Option<Entry>) {
        if let Some(entry) = entry {
            self.used.fetch_sub(entry.weight, Ordering::AcqRel);
        }
    }

    /// Removes entries until the bound holds: of the shard of `index` first, but not the one of `index`.
    fn make_room(&self, index: u32) {
        for step in 0..SHARDS {
            let shard = &self.shards[(index as usize + step) % SHARDS];
            while self.bytes() > self.bound {
                let evicted = shard.lock().evict(index);
                if evicted.is_none() {
                    break;
                }
                self.gone(evicted);
            }
        }
    }
}

impl Shard {
    /// Adds an entry; answers the one that it replaces.
    fn put(&mut self, entry: Entry) -> Option<Entry> {
        let key = u64::from(entry.index);
        if let Some(old) = self.places.get(&key).and_then(|place| self.ring.get_mut(*place)) {
            return Some(std::mem::replace(old, entry));
        }
        self.places.insert(key, self.ring.len());
        self.ring.push(entry);
        None
    }

    fn remove_of(&mut self, index: u32) -> Option<Entry> {
        let place = *self.places.get(&u64::from(index))?;
        self.remove(place)
    }

    fn remove(&mut self, place: usize) -> Option<Entry> {
        if place >= self.ring.len() {
            return None;
        }
        let entry = self.ring.swap_remove(place);
        self.places.remove(&u64::from(entry.index));
        if let Some(moved) = self.ring.get(place) {
            self.places.insert(u64::from(moved.index), place);
        }
        Some(entry)
    }

    /// Removes the next entry that was not used since the hand passed it, other than that of `spared`.
    fn evict(&mut self, spared: u32) -> Option<Entry> {
        // In the second round nobody is used any more.
        for _ in 0..=2 * self.ring.len() {
            if self.hand >= self.ring.len() {
                self.hand = 0;
            }
            let entry = self.ring.get_mut(self.hand)?;
            if entry.index != spared && !entry.used {
                return self.remove(self.hand);
            }
            entry.used = false;
            self.hand += 1;
        }
        None
    }
}

/// About the bytes that an entry with this tree takes.
fn weigh(tree: &Tree) -> usize {
    tree.count().saturating_mul(NODE).saturating_add(tree.bytes_used()).saturating_add(ENTRY)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::data::Value;

    /// A tree of this many bytes, as they are weighed.
    fn tree(bytes: usize) -> Arc<Tree> {
        let mut tree = Tree::new();
        let text = Value::from("x".repeat(bytes.saturating_sub(ENTRY + NODE + 1)));
        assert_eq!(tree.set(&["a".into()], text), Ok(()));
        assert_eq!(weigh(&tree), bytes);
        Arc::new(tree)
    }

    /// The bound holds, and all that is kept is counted.
    fn check(cache: &Cache) -> usize {
        let mut entries = 0;
        let mut bytes = 0;
        for (number, shard) in cache.shards.iter().enumerate() {
            let shard = shard.lock();
            assert_eq!(shard.places.len(), shard.ring.len());
            for (place, entry) in shard.ring.iter().enumerate() {
                assert_eq!(shard.places.get(&u64::from(entry.index)), Some(&place));
                assert_eq!((entry.index as usize % SHARDS, entry.weight), (number, weigh(&entry.tree)));
                bytes += entry.weight;
            }
            entries += shard.ring.len();
        }
        assert_eq!(cache.bytes(), bytes);
        assert!(bytes <= cache.bound, "{bytes} {}", cache.bound);
        entries
    }

    #[test]
    fn a_tree_is_found_by_slot_generation_and_version_only() {
        let cache = Cache::new(1 << 20);
        let tree = tree(500);
        cache.put(7, 3, 9, tree.clone());
        for (index, generation, version) in [(7, 3, 8), (7, 3, 10), (7, 2, 9), (7, 4, 9), (8, 3, 9), (23, 3, 9)] {
            assert_eq!(cache.get(index, generation, version), None);
        }
        assert!(cache.get(7, 3, 9).is_some_and(|found| Arc::ptr_eq(&found, &tree)));
        cache.put(7, 3, 10, self::tree(600));
        assert_eq!(cache.get(7, 3, 9), None);
        assert_eq!((check(&cache), cache.bytes()), (1, 600));
        cache.forget(8);
        cache.forget(7);
        assert_eq!((check(&cache), cache.bytes()), (0, 0));
    }

    #[test]
    fn what_is_used_stays_and_what_is_not_goes() {
        let cache = Cache::new(100_000);
        for index in 0..10_000 {
            cache.put(index, 1, 1, tree(1000));
            for hot in 0..16.min(index) {
                assert!(cache.get(hot, 1, 1).is_some(), "{hot} went at {index}");
            }
        }
        assert_eq!(check(&cache), 100);
        assert!(cache.get(9_999, 1, 1).is_some(), "what was kept just now is there");
    }

    #[test]
    fn a_large_tree_finds_room_in_all_shards_and_one_beyond_half_is_not_kept() {
        let cache = Cache::new(100_000);
        for index in 0..100 {
            cache.put(index, 1, 1, tree(1000));
        }
        assert_eq!(check(&cache), 100);
        cache.put(500, 1, 1, tree(50_000));
        assert!(cache.get(500, 1, 1).is_some());
        assert_eq!(check(&cache), 51);
        cache.put(500, 1, 2, tree(50_001));
        assert_eq!((cache.get(500, 1, 1), cache.get(500, 1, 2), check(&cache)), (None, None, 50));
    }

    #[test]
    fn empty_trees_are_bounded_too() {
        let cache = Cache::new(10 * ENTRY);
        for index in 0..1000 {
            cache.put(index, 1, 1, Arc::default());
        }
        assert_eq!(check(&cache), 10);
    }

    #[test]
    fn random_use_finds_what_was_put_last_or_nothing() {
        let cache = Cache::new(40_000);
        let mut last: HashMap<u32, u64> = HashMap::new();
        let mut state = 0x9E37_79B9u64;
        let mut pick = |bound: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % bound
        };
        let mut found = 0;
        for version in 1..20_000 {
            let index = pick(200) as u32;
            match pick(10) {
                0..4 => {
                    cache.put(index, 1, version, tree(400 + pick(3000) as usize));
                    last.insert(index, version);
                }
                4 => {
                    cache.forget(index);
                    last.remove(&index);
                }
                _ => {
                    let known = last.get(&index).copied().unwrap_or(0);
                    assert_eq!(cache.get(index, 1, known + 1), None);
                    found += usize::from(cache.get(index, 1, known).is_some());
                }
            }
            if version % 100 == 0 {
                check(&cache);
            }
        }
        assert!(found > 100, "{found}");
    }

    #[test]
    fn threads_share_it() {
        let cache = Cache::new(50_000);
        std::thread::scope(|scope| {
            for thread in 0..4u32 {
                let cache = &cache;
                scope.spawn(move || {
                    for step in 0..5_000u32 {
                        let index = step.wrapping_mul(thread + 7) % 150;
                        let version = u64::from(step % 5);
                        match cache.get(index, 1, version) {
                            Some(tree) => assert_eq!(weigh(&tree), 1000 + version as usize),
                            None => cache.put(index, 1, version, tree(1000 + version as usize)),
                        }
                        if step % 11 == 0 {
                            cache.forget(index);
                        }
                    }
                });
            }
        });
        check(&cache);
    }
}
