//! The last entries of what goes on and on, numbered from the first ever.

/// So many entries at most: each one more takes the place of the oldest.
pub(crate) struct Ring<T> {
    entries: Vec<T>,
    /// Where the oldest is.
    oldest: usize,
    most: usize,
    /// The number of the last.
    last: u64,
}

impl<T> Default for Ring<T> {
    fn default() -> Self {
        Self::new(0)
    }
}

impl<T> Ring<T> {
    /// An empty one that keeps so many.
    pub fn new(most: usize) -> Self {
        Self { entries: Vec::new(), oldest: 0, most, last: 0 }
    }

    /// Adds one.
    #[inline]
    pub fn push(&mut self, entry: T) {
        self.last += 1;
        if self.entries.len() < self.most {
            self.entries.push(entry);
        } else if let Some(oldest) = self.entries.get_mut(self.oldest) {
            *oldest = entry;
            self.oldest = if self.oldest + 1 < self.entries.len() { self.oldest + 1 } else { 0 };
        }
    }

    /// Keeps so many from now on; what is beyond stays until [`trim`](Self::trim).
    pub fn keep(&mut self, most: usize) {
        self.entries.rotate_left(self.oldest);
        (self.oldest, self.most) = (0, most);
    }

    /// Forgets what is beyond what it keeps.
    pub fn trim(&mut self) {
        self.keep(self.most);
        self.entries.drain(..self.entries.len().saturating_sub(self.most));
    }

    /// Those after a number, the oldest first, each with its own.
    pub fn after(&self, after: u64) -> impl Iterator<Item = (u64, &T)> {
        let first = self.last - self.entries.len() as u64 + 1;
        let (newer, older) = self.entries.split_at(self.oldest);
        let skip = usize::try_from(after.saturating_add(1).saturating_sub(first)).unwrap_or(usize::MAX);
        (first..).zip(older.iter().chain(newer)).skip(skip)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(ring: &Ring<u64>, after: u64) -> Vec<(u64, u64)> {
        ring.after(after).map(|(number, entry)| (number, *entry)).collect()
    }

    #[test]
    fn the_last_are_kept_with_their_numbers() {
        let mut ring = Ring::new(3);
        assert_eq!(all(&ring, 0), []);
        for entry in 1..=7 {
            ring.push(10 * entry);
            let first = if entry < 3 { 1 } else { entry - 2 };
            assert_eq!(all(&ring, 0), (first..=entry).map(|number| (number, 10 * number)).collect::<Vec<_>>());
        }
        assert_eq!(all(&ring, 6), [(7, 70)]);
        assert_eq!(all(&ring, 7), []);
        assert_eq!(all(&ring, u64::MAX), []);
    }

    #[test]
    fn it_keeps_more_or_fewer_from_any_moment_on() {
        for before in 0..8 {
            let mut ring = Ring::new(3);
            (1..=before).for_each(|entry| ring.push(entry));
            ring.keep(5);
            (before + 1..=before + 9).for_each(|entry| ring.push(entry));
            let last = before + 9;
            assert_eq!(all(&ring, 0), (last - 4..=last).map(|number| (number, number)).collect::<Vec<_>>());
            ring.keep(2);
            assert_eq!(all(&ring, 0).len(), 5);
            ring.push(last + 1);
            ring.trim();
            assert_eq!(all(&ring, 0), [(last, last), (last + 1, last + 1)]);
            ring.keep(0);
            ring.trim();
            assert_eq!(all(&ring, 0), []);
        }
    }
}
