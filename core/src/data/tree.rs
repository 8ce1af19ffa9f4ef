//! The committed tree of one session.

use std::fmt;

use super::changes::Changes;
use super::inner::Inner;
use super::level::{Level, LevelIter};
use super::node::Node;
use super::overlay::{Edit, View};
use super::quotas::{MAX_LEVELS, Quotas, exceeded};
use super::subscript::{Direction, Subscript};
use super::value::Value;
use crate::error::{Error, Result};

/// A multidimensional tree of values: what is committed of a session's data.
///
/// An empty tree is one pointer and allocates nothing. Trees are equal if their nodes are; versions don't matter.
#[derive(Clone, Default)]
pub struct Tree(pub(super) Option<Box<Inner>>);

impl Tree {
    /// A tree with nothing in it.
    pub const fn new() -> Self {
        Self(None)
    }

    fn inner(&mut self) -> &mut Inner {
        self.0.get_or_insert_default()
    }

    pub(super) fn root(&self) -> Option<&Node> {
        self.0.as_ref().map(|inner| &inner.root)
    }

    fn find(&self, path: &[Subscript]) -> Option<&Node> {
        self.root()?.find(path)
    }

    /// Changes with each mutation, and differs between trees unless one is an unchanged clone of the other.
    pub(super) fn stamp(&self) -> u64 {
        self.0.as_ref().map_or(0, |inner| inner.stamp)
    }

    /// The value at `path`; the empty path is the root.
    pub fn get(&self, path: &[Subscript]) -> Option<&Value> {
        self.find(path)?.value.as_ref()
    }

    /// $DATA: 0 for nothing, 1 for a value, 10 for children, 11 for both.
    pub fn defined(&self, path: &[Subscript]) -> u8 {
        let node = self.find(path);
        let value = node.is_some_and(|node| node.value.is_some());
        let children = node.is_some_and(|node| node.children.is_some());
        u8::from(value) + 10 * u8::from(children)
    }

    /// $ORDER: of the children of `path`, the first beyond `after` in this direction; without `after` the first of all.
    ///
    /// `after` need not be there. `None` means there are no more.
    pub fn next(&self, path: &[Subscript], after: Option<&Subscript>, direction: Direction) -> Option<&Subscript> {
        self.find(path)?.children()?.neighbour(after, direction).map(|child| child.0)
    }

    /// Sets the value at `path`; its children stay.
    ///
    /// Checks no quotas: [`Writes::set`](super::Writes::set) does. Errors: `Quota` if the path is longer than
    /// [`MAX_LEVELS`].
    pub fn set(&mut self, path: &[Subscript], value: Value) -> Result<()> {
        check_levels(path, path.len())?;
        let inner = self.inner();
        inner.tick();
        inner.set(path, value);
        inner.mark(path.first());
        Ok(())
    }

    /// Removes the node at `path` and all below; the empty path removes all. Whether there was anything.
    pub fn kill(&mut self, path: &[Subscript]) -> bool {
        self.find(path).is_some_and(|node| !node.is_bare()) && {
            self.remove(path, true);
            true
        }
    }

    /// Removes the value at `path` and returns it; its children stay.
    pub fn pop(&mut self, path: &[Subscript]) -> Option<Value> {
        self.get(path)?;
        self.remove(path, false)
    }

    fn remove(&mut self, path: &[Subscript], whole: bool) -> Option<Value> {
        let inner = self.inner();
        inner.tick();
        let removed = inner.remove(path, whole);
        if !(whole && path.is_empty()) {
            inner.mark(path.first());
        }
        removed.value
    }

    /// M's MERGE: sets below `path` each value that `tree` has; removes nothing.
    ///
    /// Checks no quotas. Errors: `Quota` if a path becomes longer than [`MAX_LEVELS`]; nothing was changed.
    pub fn merge(&mut self, path: &[Subscript], tree: &Tree) -> Result<()> {
        check_levels(path, path.len() + tree.levels())?;
        if tree.is_empty() {
            return Ok(());
        }
        let inner = self.inner();
        inner.tick();
        for (below, value) in tree.iter() {
            let full = [path, &below].concat();
            inner.set(&full, value.clone());
            inner.mark(full.first());
        }
        Ok(())
    }

    /// Sets (`Some`) or removes (`None`) the value at `path` if it is `expected` (`None`: no value) now.
    ///
    /// Errors: `Conflict` with the first subscript if it is another; `Quota`. Nothing was changed then.
    pub fn compare_and_set(
        &mut self,
        quotas: &Quotas,
        path: &[Subscript],
        expected: Option<&Value>,
        new: Option<Value>,
    ) -> Result<()> {
        self.compare_and_set_noting(quotas, path, expected, new).map(drop)
    }

    /// As [`compare_and_set`](Self::compare_and_set); answers what became of the stored rows.
    pub(crate) fn compare_and_set_noting(
        &mut self,
        quotas: &Quotas,
        path: &[Subscript],
        expected: Option<&Value>,
        new: Option<Value>,
    ) -> Result<Changes> {
        if self.get(path) != expected {
            return Err(Error::conflict(vec![key_name(path.first())]));
        }
        match &new {
            None if expected.is_none() => return Ok(Changes::default()),
            None => {}
            Some(value) => {
                quotas.check_path(path)?;
                value.check_at(quotas, path)?;
                let growth = View::new(self.root(), None, true).growth(path, value);
                if growth > 0 {
                    quotas.check_session(path, self.bytes_used().saturating_add_signed(growth))?;
                }
            }
        }
        let inner = self.inner();
        let before = inner.marks();
        inner.tick();
        match new {
            Some(value) => inner.set(path, value),
            None => drop(inner.remove(path, false)),
        }
        let forgotten = inner.mark(path.first()).into_iter().collect();
        let root = inner.marks() != before;
        Ok(Changes { keys: path.first().into_iter().cloned().collect(), forgotten, root, cleared: false })
    }

    /// The node at `path` and all below, as a tree of its own: its root is that node.
    pub fn subtree(&self, path: &[Subscript]) -> Tree {
        let Some(node) = self.find(path).filter(|node| !node.is_bare()) else { return Tree::new() };
        let mut tree = Tree::new();
        let (bytes, count) = node.footprint();
        let inner = tree.inner();
        inner.tick();
        *inner = Inner { root: node.clone(), bytes, count, clock: inner.clock, stamp: inner.stamp, ..Inner::default() };
        inner.root.version = inner.clock;
        if let Some(level) = inner.root.children.as_mut() {
            level.for_each_mut(|_, node| node.version = inner.clock);
        }
        tree
    }

    /// All paths with a value, in collation order, each node before its children.
    pub fn iter(&self) -> Iter<'_> {
        self.iter_under(&[])
    }

    /// As [`iter`](Self::iter), of the node at `path` and all below; with whole paths.
    pub fn iter_under(&self, path: &[Subscript]) -> Iter<'_> {
        Iter { path: path.to_vec(), start: self.find(path), stack: Vec::new() }
    }

    /// The nodes that have a value. O(1).
    pub fn count(&self) -> usize {
        self.0.as_ref().map_or(0, |inner| inner.count)
    }

    /// The sum over all nodes of their own subscript and value, as quotas count them. O(1).
    pub fn bytes_used(&self) -> usize {
        self.0.as_ref().map_or(0, |inner| inner.bytes)
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// The longest path that has a value.
    pub(super) fn levels(&self) -> usize {
        fn below(node: &Node) -> usize {
            node.children().map_or(0, |level| level.iter().map(|child| 1 + below(child.1)).max().unwrap_or(0))
        }
        self.root().map_or(0, below)
    }

    /// The version of a first subscript: it grows with each change below it, a kill too; 0 if it was never written.
    ///
    /// Of first subscripts that are killed the last 64 keep their own version; one that was killed earlier, or never
    /// written, has the version of the latest kill before those.
    pub fn version(&self, first: &Subscript) -> u64 {
        let Some(inner) = &self.0 else { return 0 };
        match inner.root.child(first) {
            Some(node) => node.version,
            None => inner.graves.get(first).copied().unwrap_or(inner.floor),
        }
    }

    /// The version of the root's own value; 0 if it was never written.
    pub fn root_version(&self) -> u64 {
        self.root().map_or(0, |root| root.version)
    }

    /// For people and logs: children as a map by subscript, a node's own value as entry `""` if it has children.
    ///
    /// Not lossless, as the subscripts 1 and `"1"` look the same there; [`tree_to_json`](super::tree_to_json) is.
    pub fn to_json_value(&self) -> Value {
        fn shown(node: &Node) -> Value {
            let Some(level) = node.children() else { return node.value.clone().unwrap_or(Value::Null) };
            let own = node.value.clone().map(|value| (String::new(), value));
            let name = |key: &Subscript| key.as_text().map_or_else(|| key.to_string(), str::to_string);
            Value::map(own.into_iter().chain(level.iter().map(|(key, child)| (name(key), shown(child)))))
        }
        self.root().filter(|root| !root.is_bare()).map_or(Value::Map(Vec::new()), shown)
    }

    /// The last version that was given: it grows with each change.
    #[cfg(test)]
    pub(crate) fn last_version(&self) -> u64 {
        self.0.as_ref().map_or(0, |inner| inner.clock)
    }

    /// Applies a request's changes and answers what they changed.
    pub(super) fn apply(&mut self, edit: &Edit) -> Changes {
        let inner = self.inner();
        let before = inner.marks();
        inner.tick();
        let mut changes = Changes::default();
        let changed = &mut changes.keys;
        if edit.cleared {
            let level = inner.root.children();
            changes.cleared = level.is_some();
            changed.extend(level.into_iter().flat_map(|level| level.iter()).map(|child| child.0.clone()));
            inner.remove(&[], true);
        }
        match &edit.value {
            Some(Some(value)) => {
                inner.set(&[], value.clone());
                inner.mark(None);
            }
            Some(None) if inner.remove(&[], false).value.is_some() => drop(inner.mark(None)),
            _ => {}
        }
        let killed = changed.len();
        for (key, child) in edit.children.iter() {
            if inner.apply(&mut vec![key.clone()], child) {
                changes.forgotten.extend(inner.mark(Some(key)));
                if changed.get(..killed).is_none_or(|killed| killed.binary_search(key).is_err()) {
                    changed.push(key.clone());
                }
            }
        }
        changed.sort();
        changes.root = inner.marks() != before;
        if changes.is_empty() {
            // Nothing has this version: the next change has it.
            inner.clock -= 1;
        }
        changes
    }
}

impl PartialEq for Tree {
    fn eq(&self, other: &Self) -> bool {
        self.count() == other.count() && self.bytes_used() == other.bytes_used() && self.iter().eq(other.iter())
    }
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

fn check_levels(path: &[Subscript], levels: usize) -> Result<()> {
    if levels <= MAX_LEVELS {
        return Ok(());
    }
    Err(exceeded(&format!("path of {levels} subscripts"), path, &format!("{MAX_LEVELS} levels")))
}

/// How a first subscript is named in a conflict: a text as it is, a number in canonical text, the root's value as `[]`.
pub(super) fn key_name(first: Option<&Subscript>) -> String {
    match first {
        None => "[]".to_string(),
        Some(first) => first.as_text().map_or_else(|| first.to_string(), str::to_string),
    }
}

/// The paths of a tree that have a value, and the values: see [`Tree::iter`].
#[derive(Clone)]
pub struct Iter<'a> {
    path: Vec<Subscript>,
    start: Option<&'a Node>,
    stack: Vec<LevelIter<'a, Node>>,
}

impl<'a> Iter<'a> {
    fn enter(&mut self, node: &'a Node) -> Option<(Vec<Subscript>, &'a Value)> {
        self.stack.push(node.children().map_or(LevelIter::Few([].iter()), Level::iter));
        node.value.as_ref().map(|value| (self.path.clone(), value))
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = (Vec<Subscript>, &'a Value);

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(node) = self.start.take()
            && let Some(item) = self.enter(node)
        {
            return Some(item);
        }
        while let Some(level) = self.stack.last_mut() {
            match level.next() {
                Some((key, node)) => {
                    self.path.push(key.clone());
                    if let Some(item) = self.enter(node) {
                        return Some(item);
                    }
                }
                None => {
                    self.stack.pop();
                    if !self.stack.is_empty() {
                        self.path.pop();
                    }
                }
            }
        }
        None
    }
}
