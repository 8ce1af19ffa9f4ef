//! What belongs to the process that made it.

use std::ops::Deref;

use crate::fork;

/// Something with locks and threads: the child of a fork has a copy of it as it was at some instant, with threads that
/// are not there. It is not taken apart in a child: whoever drops it there forgets it.
pub(crate) struct Own<T> {
    /// There until it is dropped.
    it: Option<T>,
    forks: u64,
}

impl<T> Own<T> {
    pub fn new(it: T) -> Self {
        Self { it: Some(it), forks: fork::generation() }
    }
}

impl<T> Deref for Own<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        match &self.it {
            Some(it) => it,
            None => unreachable!("it is there until it is dropped"),
        }
    }
}

impl<T> Drop for Own<T> {
    fn drop(&mut self) {
        if self.forks != fork::generation() {
            std::mem::forget(self.it.take());
        }
    }
}
