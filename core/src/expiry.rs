//! When to look at which slot: a hierarchical timing wheel. Numbers in, numbers out; no clock, lock or thread.
//!
//! Entries are slot numbers; the instant an entry stands for is kept by the slot. An entry that comes up early, or was
//! superseded, costs one look: whoever owns the slots re-files it or drops it.

use crate::clock::{Millis, NEVER};

const BITS: u32 = 6;
const BUCKETS: usize = 1 << BITS;
const LEVELS: usize = 7;

/// A wheel of 1 ms resolution that reaches 139 years.
pub(crate) struct Wheel {
    now: Millis,
    levels: [Level; LEVELS],
    due: Vec<u32>,
    entries: usize,
}

struct Level {
    occupied: u64,
    buckets: [Vec<u32>; BUCKETS],
}

/// What came up: entries of one bucket, which begins at `at` and covers `span` milliseconds.
pub(crate) struct Bucket {
    pub at: Millis,
    pub span: Millis,
    pub entries: Vec<u32>,
}

impl Default for Wheel {
    fn default() -> Self {
        Self {
            now: 0,
            levels: std::array::from_fn(|_| Level { occupied: 0, buckets: std::array::from_fn(|_| Vec::new()) }),
            due: Vec::new(),
            entries: 0,
        }
    }
}

impl Wheel {
    /// Files an entry at `when`; what is past comes up at the next [`pop`](Self::pop).
    pub fn insert(&mut self, entry: u32, when: Millis) {
        if when >= NEVER {
            return;
        }
        self.entries += 1;
        if when <= self.now {
            self.due.push(entry);
            return;
        }
        let level = level_of(self.now, when);
        let bucket = bucket_of(level, when);
        self.levels[level].occupied |= 1 << bucket;
        self.levels[level].buckets[bucket].push(entry);
    }

    /// The earliest instant at which an entry may come up. Never later than the entry's own.
    pub fn next_due(&self) -> Option<Millis> {
        if !self.due.is_empty() {
            return Some(self.now);
        }
        self.next_bucket().map(|(_, _, at)| at)
    }

    /// Takes the next bucket that begins at or before `now`.
    pub fn pop(&mut self, now: Millis) -> Option<Bucket> {
        if !self.due.is_empty() {
            let entries = std::mem::take(&mut self.due);
            self.entries -= entries.len();
            return Some(Bucket { at: self.now, span: 1, entries });
        }
        match self.next_bucket() {
            Some((level, bucket, at)) if at <= now => {
                self.levels[level].occupied &= !(1 << bucket);
                let entries = std::mem::take(&mut self.levels[level].buckets[bucket]);
                self.entries -= entries.len();
                self.now = self.now.max(at);
                Some(Bucket { at, span: 1 << (BITS * level as u32), entries })
            }
            _ => {
                self.now = self.now.max(now);
                None
            }
        }
    }

    fn next_bucket(&self) -> Option<(usize, usize, Millis)> {
        for (level, wheel) in self.levels.iter().enumerate() {
            if wheel.occupied == 0 {
                continue;
            }
            let shift = BITS * level as u32;
            let here = ((self.now >> shift) as usize) & (BUCKETS - 1);
            // Buckets before `here` would be past: the level of an entry is where it differs from `now` first.
            let ahead = wheel.occupied >> here;
            if ahead == 0 {
                debug_assert!(false, "a bucket of level {level} was left behind");
                continue;
            }
            let bucket = here + ahead.trailing_zeros() as usize;
            let round = self.now >> (shift + BITS) << (shift + BITS);
            return Some((level, bucket, round + ((bucket as Millis) << shift)));
        }
        None
    }
}

fn level_of(now: Millis, when: Millis) -> usize {
    let differs = now ^ when;
    let highest = 63 - (differs | 1).leading_zeros();
    ((highest / BITS) as usize).min(LEVELS - 1)
}

fn bucket_of(level: usize, when: Millis) -> usize {
    ((when >> (BITS * level as u32)) as usize) & (BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(wheel: &mut Wheel, filed: &[Millis], to: Millis) -> Vec<(Millis, u32)> {
        let mut seen = Vec::new();
        while let Some(bucket) = wheel.pop(to) {
            for entry in bucket.entries {
                let when = filed[entry as usize];
                if when < bucket.at + bucket.span && bucket.span == 1 {
                    seen.push((when, entry));
                } else {
                    wheel.insert(entry, when);
                }
            }
        }
        seen
    }

    #[test]
    fn entries_come_up_at_their_instant_and_in_order() {
        let filed = [5, 64, 63, 4096, 1_000_000, 900_000, 5];
        let mut wheel = Wheel::default();
        for (entry, when) in filed.iter().enumerate() {
            wheel.insert(entry as u32, *when);
        }
        assert_eq!(drain(&mut wheel, &filed, 4), []);
        assert_eq!(drain(&mut wheel, &filed, 5), [(5, 0), (5, 6)]);
        assert_eq!(drain(&mut wheel, &filed, 64), [(63, 2), (64, 1)]);
        assert_eq!(drain(&mut wheel, &filed, 2_000_000), [(4096, 3), (900_000, 5), (1_000_000, 4)]);
        assert_eq!((wheel.entries, wheel.next_due()), (0, None));
    }

    #[test]
    fn next_due_is_never_later_than_any_entry() {
        let mut wheel = Wheel::default();
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let mut filed = Vec::new();
        let mut now = 0;
        for entry in 0..20_000_u32 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let when = now + random % (1 << (random >> 59));
            filed.push(when);
            wheel.insert(entry, when);
            if let Some(next) = wheel.next_due() {
                assert!(next <= when.max(now));
            }
            if random.is_multiple_of(7) {
                let to = now + random % 3_000;
                for (when, _) in drain(&mut wheel, &filed, to) {
                    assert!(when <= to);
                }
                now = to;
            }
        }
        let left = wheel.entries;
        assert_eq!(drain(&mut wheel, &filed, NEVER - 1).len(), left);
    }

    #[test]
    fn what_is_filed_in_the_past_comes_up_at_once() {
        let mut wheel = Wheel::default();
        assert!(wheel.pop(1000).is_none());
        wheel.insert(1, 10);
        assert_eq!(wheel.next_due(), Some(1000));
        assert_eq!(wheel.pop(1000).map(|bucket| bucket.entries), Some(vec![1]));
    }
}
