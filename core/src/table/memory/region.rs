//! The slots of one process: segments that never move.

use std::sync::OnceLock;

use super::cold::Cold;
use super::slot::{INDEX_BITS, Slot};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU32, Ordering};

/// The cold part of a slot, and the lock of everything structural.
pub(super) type ColdCell = Mutex<Option<Cold>>;

const SEGMENT: usize = if cfg!(feature = "shuttle") { 8 } else { 1024 };
const DIRECTORY: usize = 512;

struct Segment {
    slots: Box<[Slot]>,
    cold: Box<[ColdCell]>,
}

impl Segment {
    fn new(size: usize) -> Self {
        Self {
            slots: (0..size).map(|_| Slot::default()).collect(),
            cold: (0..size).map(|_| Mutex::new(None)).collect(),
        }
    }
}

type Directory = OnceLock<Box<[OnceLock<Segment>]>>;

/// All slots: two steps of directory, segments that are never freed while the table lives.
pub(super) struct Region {
    top: Box<[Directory]>,
    next: AtomicU32,
}

impl Region {
    pub fn new() -> Self {
        Self { top: (0..DIRECTORY).map(|_| OnceLock::new()).collect(), next: AtomicU32::new(0) }
    }

    /// The slot and its cold part; `None` if there is none of that number yet.
    pub fn get(&self, index: u32) -> Option<(&Slot, &ColdCell)> {
        let index = index as usize;
        let segment = self.top.get(index / SEGMENT / DIRECTORY)?.get()?.get(index / SEGMENT % DIRECTORY)?.get()?;
        Some((segment.slots.get(index % SEGMENT)?, segment.cold.get(index % SEGMENT)?))
    }

    /// Numbers handed out so far.
    pub fn len(&self) -> u32 {
        self.next.load(Ordering::Acquire).min(1 << INDEX_BITS)
    }

    /// Hands out up to `count` new numbers; `None` when all are used.
    pub fn grow(&self, count: u32) -> Option<std::ops::Range<u32>> {
        let limit = 1 << INDEX_BITS;
        let first = self
            .next
            .try_update(Ordering::AcqRel, Ordering::Acquire, |next| (next < limit).then(|| (next + count).min(limit)))
            .ok()?;
        let range = first..(first + count).min(limit);
        for index in [range.start, range.end - 1] {
            let index = index as usize;
            if let Some(directory) = self.top.get(index / SEGMENT / DIRECTORY) {
                let directory = directory.get_or_init(|| (0..DIRECTORY).map(|_| OnceLock::new()).collect());
                if let Some(segment) = directory.get(index / SEGMENT % DIRECTORY) {
                    segment.get_or_init(|| Segment::new(SEGMENT));
                }
            }
        }
        Some(range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_handed_out_once_and_have_slots() {
        let region = Region::new();
        let mut seen = Vec::new();
        for _ in 0..200 {
            seen.extend(region.grow(64).expect("room"));
        }
        assert_eq!(seen, (0..12_800).collect::<Vec<_>>());
        assert!(region.get(12_799).is_some());
        assert!(region.get(1 << 27).is_none());
    }
}
