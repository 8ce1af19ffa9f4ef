//! What a committed tree that is not empty consists of: its nodes, its totals, and the versions of what is killed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use super::node::{Node, Removed};
use super::overlay::Edit;
use super::subscript::Subscript;
use super::value::Value;

/// So many killed first subscripts keep a version of their own; older ones share one.
const GRAVES: usize = 64;

/// What all mutations of all trees are numbered by, so that equal stamps mean equal content.
static STAMP: AtomicU64 = AtomicU64::new(1);

#[derive(Clone, Default)]
pub(super) struct Inner {
    pub(super) root: Node,
    pub(super) bytes: usize,
    pub(super) count: usize,
    /// The last version that was given: the greatest of all that are here.
    pub(super) clock: u64,
    pub(super) stamp: u64,
    /// Versions of first subscripts that are killed.
    pub(super) graves: BTreeMap<Subscript, u64>,
    /// The version of each first subscript that is neither in the tree nor in `graves`.
    pub(super) floor: u64,
}

impl Inner {
    pub(super) fn tick(&mut self) {
        self.clock += 1;
        self.restamp();
    }

    /// This content was never before.
    pub(super) fn restamp(&mut self) {
        self.stamp = STAMP.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn set(&mut self, path: &[Subscript], value: Value) {
        self.bytes += value.bytes_used();
        let mut node = &mut self.root;
        for key in path {
            let bytes = &mut self.bytes;
            node = node.children.get_or_insert_default().get_or_insert_with(key, || {
                *bytes += key.bytes_used();
                Node::default()
            });
        }
        match node.value.replace(value) {
            None => self.count += 1,
            Some(old) => self.bytes -= old.bytes_used(),
        }
    }

    pub(super) fn remove(&mut self, path: &[Subscript], whole: bool) -> Removed {
        if whole && path.is_empty() {
            self.root.version = if self.root.value.is_some() { self.clock } else { self.root.version };
            if self.root.children.is_some() {
                self.floor = self.clock;
                self.graves.clear();
            }
        }
        let removed = self.root.remove(path, whole);
        self.bytes -= removed.bytes;
        self.count -= removed.count;
        removed
    }

    /// Gives `first`, or the root's value, the current version; answers the killed first subscript that is forgotten for it.
    pub(super) fn mark(&mut self, first: Option<&Subscript>) -> Option<Subscript> {
        let Some(first) = first else {
            self.root.version = self.clock;
            return None;
        };
        match self.root.children.as_mut().and_then(|level| level.get_mut(first)) {
            Some(node) => {
                node.version = self.clock;
                self.graves.remove(first);
                None
            }
            None => {
                self.graves.insert(first.clone(), self.clock);
                self.forget()
            }
        }
    }

    /// Forgets the oldest killed first subscript if there are too many.
    pub(super) fn forget(&mut self) -> Option<Subscript> {
        if self.graves.len() <= GRAVES {
            return None;
        }
        let oldest = self.graves.iter().min_by_key(|grave| grave.1)?.0.clone();
        let version = self.graves.remove(&oldest)?;
        self.floor = self.floor.max(version);
        Some(oldest)
    }

    /// What a stored root tells besides the root's value.
    pub(super) fn marks(&self) -> (u64, u64) {
        (self.root.version, self.floor)
    }

    /// Applies what `edit` changes of the node at `path`; whether that was anything.
    pub(super) fn apply(&mut self, path: &mut Vec<Subscript>, edit: &Edit) -> bool {
        let mut touched = edit.cleared && self.remove(path, true).bytes > 0;
        match &edit.value {
            Some(Some(value)) => {
                self.set(path, value.clone());
                touched = true;
            }
            Some(None) => touched |= self.remove(path, false).value.is_some(),
            None => {}
        }
        for (key, child) in edit.children.iter() {
            path.push(key.clone());
            touched |= self.apply(path, child);
            path.pop();
        }
        touched
    }
}
