//! Counts the threads of one kind: no thread itself.

/// Which threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crew {
    /// Deliver notifications.
    Notify = 0,
    /// Ask deciders.
    Decide = 1,
}

impl Crew {
    pub const ALL: [Crew; 2] = [Self::Notify, Self::Decide];
}

/// The threads of one crew.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    /// How many are wanted that are not stuck.
    pub target: usize,
    /// How many stuck ones are replaced.
    pub max_stuck: usize,
    /// All, stuck ones and those about to start included.
    pub alive: usize,
    /// Those that wait for work.
    pub idle: usize,
    /// Whether one of them was woken and has not looked yet: it wakes the next one if there is work for two.
    pub waking: bool,
    /// Those in a callback that was given up.
    pub stuck: usize,
}

impl Pool {
    pub fn new(target: usize, max_stuck: usize) -> Self {
        Self { target, max_stuck, ..Self::default() }
    }

    fn most(&self) -> usize {
        self.target + self.stuck.min(self.max_stuck)
    }

    /// Whether one more thread may start.
    pub fn may_grow(&self) -> bool {
        self.alive < self.most()
    }

    /// Whether a thread should end, because a stuck one that it replaced came back.
    pub fn is_surplus(&self) -> bool {
        self.alive > self.most()
    }

    /// Whether work finds a thread sooner or later, with `hung` threads in callbacks that said they hang.
    pub fn has_hands(&self, hung: usize) -> bool {
        self.most() > self.stuck + hung
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stuck_threads_are_replaced_up_to_a_limit() {
        let mut pool = Pool::new(2, 1);
        pool.alive = 2;
        assert!(!pool.may_grow());
        pool.stuck = 1;
        assert!(pool.may_grow());
        pool.alive = 3;
        pool.stuck = 2;
        assert!(!pool.may_grow() && pool.has_hands(0) && !pool.has_hands(1));
        pool.stuck = 0;
        assert!(pool.is_surplus());
    }
}
