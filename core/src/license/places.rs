//! Where each user's sessions are, in pools that may end them for others.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Where each user's sessions are.
#[derive(Default)]
pub(super) struct Places {
    users: HashMap<Arc<str>, Vec<u64>>,
    /// While they are not all known: those that moved meanwhile.
    pub moved: Option<HashSet<u64>>,
}

impl Places {
    /// Of a pool without sessions.
    pub fn whole() -> Self {
        Self::default()
    }

    /// Of a pool whose sessions are about to be looked for.
    pub fn partial() -> Self {
        Self { moved: Some(HashSet::new()), ..Self::default() }
    }

    pub fn add(&mut self, user: &Arc<str>, place: u64) {
        self.users.entry(user.clone()).or_default().push(place);
    }

    pub fn remove(&mut self, user: &Arc<str>, place: u64) {
        if let Some(known) = self.users.get_mut(user) {
            known.retain(|other| *other != place);
            if known.is_empty() {
                self.users.remove(user);
            }
        }
    }

    /// Those of a user; `None` if not all are known yet.
    pub fn of(&self, user: &Arc<str>) -> Option<Vec<u64>> {
        self.moved.is_none().then(|| self.users.get(user).cloned().unwrap_or_default())
    }
}
