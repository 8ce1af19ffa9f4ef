//! One node of the committed tree.

use super::level::Level;
use super::subscript::Subscript;
use super::value::Value;

/// Only the root may have neither value nor children.
#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    pub(super) value: Option<Value>,
    /// Kept for the root's own value and for first subscripts; 0 below.
    pub(super) version: u64,
    pub(super) children: Option<Box<Level<Node>>>,
}

/// What was taken out of a node, in quota bytes and valued nodes.
#[derive(Default)]
pub(super) struct Removed {
    pub(super) bytes: usize,
    pub(super) count: usize,
    pub(super) value: Option<Value>,
}

impl Node {
    pub(super) fn child(&self, key: &Subscript) -> Option<&Node> {
        self.children.as_ref()?.get(key)
    }

    pub(super) fn children(&self) -> Option<&Level<Node>> {
        self.children.as_deref()
    }

    pub(super) fn child_count(&self) -> usize {
        self.children.as_ref().map_or(0, |level| level.len())
    }

    pub(super) fn find(&self, path: &[Subscript]) -> Option<&Node> {
        path.iter().try_fold(self, |node, key| node.child(key))
    }

    pub(super) fn is_bare(&self) -> bool {
        self.value.is_none() && self.children.is_none()
    }

    /// Bytes and valued nodes, without the node's own subscript.
    pub(super) fn footprint(&self) -> (usize, usize) {
        let mut sum = self.value.as_ref().map_or((0, 0), |value| (value.bytes_used(), 1));
        for (key, child) in self.children.iter().flat_map(|level| level.iter()) {
            let (bytes, count) = child.footprint();
            sum = (sum.0 + key.bytes_used() + bytes, sum.1 + count);
        }
        sum
    }

    /// Removes the value at `path`, or with `whole` all below, too, and the nodes that are left with nothing.
    pub(super) fn remove(&mut self, path: &[Subscript], whole: bool) -> Removed {
        let Some((key, rest)) = path.split_first() else {
            let (bytes, count) = match (whole, &self.value) {
                (true, _) => self.footprint(),
                (false, Some(value)) => (value.bytes_used(), 1),
                (false, None) => (0, 0),
            };
            if whole {
                self.children = None;
            }
            return Removed { bytes, count, value: self.value.take() };
        };
        let Some(level) = self.children.as_mut() else { return Removed::default() };
        let Some(child) = level.get_mut(key) else { return Removed::default() };
        let mut removed = child.remove(rest, whole);
        if child.is_bare() {
            removed.bytes += key.bytes_used();
            level.remove(key);
            if level.is_empty() {
                self.children = None;
            }
        }
        removed
    }
}
