//! The changes of one request, until it finishes.

use std::collections::BTreeMap;

use super::changes::Changes;
use super::overlay::{Delta, Edit, Op, View};
use super::quotas::{Quotas, exceeded};
use super::subscript::{Direction, Subscript};
use super::tree::{Tree, key_name};
use super::value::Value;
use crate::error::{Error, Result};

/// What one request changed and did not commit yet.
///
/// Reads take the committed tree `base` and show it with the changes; `base` may be another at each call, as other
/// requests commit. Each change is all or nothing. A commit replays what this request did, path by path, on what is
/// committed then: two requests that change different paths both keep their change, of the same path the last commit
/// wins, unless [`expect`](Self::expect) says otherwise. Empty, it allocates nothing.
#[derive(Clone, Debug, Default)]
pub struct Writes {
    edit: Edit,
    /// What `edit` comes to over the tree of this stamp.
    delta: Delta,
    stamp: Option<u64>,
    /// The versions that first subscripts, or the root's value, were read at.
    expected: BTreeMap<Option<Subscript>, u64>,
}

impl Writes {
    /// No changes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether there are no changes; expected versions are none.
    pub fn is_empty(&self) -> bool {
        self.edit.is_empty()
    }

    /// Forgets all changes and expected versions.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    fn view<'a>(&'a self, base: &'a Tree) -> View<'a> {
        let edit = Some(&self.edit).filter(|edit| !edit.is_empty());
        View::new(base.root(), edit, self.stamp == Some(base.stamp()))
    }

    fn rebase(&mut self, base: &Tree) {
        if self.stamp != Some(base.stamp()) {
            self.edit.rebase(base.root());
            self.delta = self.edit.weigh(base.root()).0;
            self.stamp = Some(base.stamp());
        }
    }

    /// The value at `path`.
    pub fn get(&self, base: &Tree, path: &[Subscript]) -> Option<Value> {
        self.get_ref(base, path).cloned()
    }

    /// The value at `path`, in place.
    pub fn get_ref<'a>(&'a self, base: &'a Tree, path: &[Subscript]) -> Option<&'a Value> {
        self.view(base).at(path).value()
    }

    /// $DATA: see [`Tree::defined`].
    pub fn defined(&self, base: &Tree, path: &[Subscript]) -> u8 {
        let view = self.view(base).at(path);
        u8::from(view.value().is_some()) + 10 * u8::from(view.has_children())
    }

    /// $ORDER: see [`Tree::next`].
    pub fn next(
        &self,
        base: &Tree,
        path: &[Subscript],
        after: Option<&Subscript>,
        direction: Direction,
    ) -> Option<Subscript> {
        self.view(base).at(path).neighbour(after, direction).map(|child| child.0.clone())
    }

    /// All values at `path` and below in collation order, with whole paths.
    pub fn entries(&self, base: &Tree, path: &[Subscript]) -> Vec<(Vec<Subscript>, Value)> {
        let mut entries = Vec::new();
        self.view(base).at(path).walk(&mut path.to_vec(), &mut |path, value| {
            entries.push((path.to_vec(), value.clone()));
        });
        entries
    }

    /// The node at `path` and all below, as a tree of its own.
    pub fn subtree(&self, base: &Tree, path: &[Subscript]) -> Tree {
        if self.is_empty() {
            return base.subtree(path);
        }
        let mut tree = Tree::new();
        self.view(base).at(path).walk(&mut Vec::new(), &mut |path, value| {
            // Can't fail: what is in a tree has at most MAX_LEVELS.
            let _ = tree.set(path, value.clone());
        });
        tree
    }

    fn current_delta(&self, base: &Tree) -> Delta {
        if self.is_empty() {
            Delta::default()
        } else if self.stamp == Some(base.stamp()) {
            self.delta
        } else {
            self.edit.weigh(base.root()).0
        }
    }

    /// The nodes that have a value.
    pub fn count(&self, base: &Tree) -> usize {
        base.count().saturating_add_signed(self.current_delta(base).count)
    }

    /// The bytes that quotas count: see [`Tree::bytes_used`].
    pub fn bytes_used(&self, base: &Tree) -> usize {
        base.bytes_used().saturating_add_signed(self.current_delta(base).bytes)
    }

    /// Sets the value at `path`; its children stay.
    ///
    /// Errors: `Quota` naming path, size and bound, `Invalid`; nothing was changed.
    pub fn set(&mut self, base: &Tree, quotas: &Quotas, path: &[Subscript], value: Value) -> Result<()> {
        quotas.check_path(path)?;
        value.check_at(quotas, path)?;
        self.rebase(base);
        let growth = self.view(base).growth(path, &value);
        self.check_growth(base, quotas, path, growth)?;
        self.apply(base, path, Op::Set(value));
        Ok(())
    }

    /// Removes the node at `path` and all below; the empty path removes all.
    ///
    /// Also removes what others commit there before this request does. Errors: `Quota` if the path is too long.
    pub fn kill(&mut self, base: &Tree, path: &[Subscript]) -> Result<()> {
        check_levels(path)?;
        self.rebase(base);
        self.apply(base, path, Op::Kill);
        Ok(())
    }

    /// M's MERGE: sets below `path` each value that `tree` has; removes nothing.
    ///
    /// Errors: `Quota`, `Invalid`; nothing was changed.
    pub fn merge(&mut self, base: &Tree, quotas: &Quotas, path: &[Subscript], tree: &Tree) -> Result<()> {
        quotas.check_path(path)?;
        let Some(root) = tree.root() else { return Ok(()) };
        for (below, value) in tree.iter() {
            let full = [path, &below].concat();
            quotas.check_path(&full)?;
            value.check_at(quotas, &full)?;
        }
        self.rebase(base);
        let view = self.view(base);
        let mut growth = view.at(path).merge_growth(root);
        if !tree.is_empty() {
            let missing = |depth: &usize| !view.at(path.get(..*depth).unwrap_or(path)).exists();
            growth += (1..=path.len())
                .filter(missing)
                .filter_map(|depth| path.get(depth - 1))
                .map(|key| key.bytes_used() as isize)
                .sum::<isize>();
        }
        self.check_growth(base, quotas, path, growth)?;
        for (below, value) in tree.iter() {
            self.apply(base, &[path, &below].concat(), Op::Set(value.clone()));
        }
        Ok(())
    }

    /// Removes the value at `path` and returns it; its children stay. Errors: none but a path that is too long.
    pub fn pop(&mut self, base: &Tree, path: &[Subscript]) -> Result<Option<Value>> {
        check_levels(path)?;
        let value = self.get(base, path);
        if value.is_some() {
            self.rebase(base);
            self.apply(base, path, Op::Pop);
        }
        Ok(value)
    }

    fn check_growth(&self, base: &Tree, quotas: &Quotas, path: &[Subscript], growth: isize) -> Result<()> {
        if growth <= 0 {
            return Ok(());
        }
        let bytes = base.bytes_used().saturating_add_signed(self.delta.bytes).saturating_add_signed(growth);
        quotas.check_session(path, bytes)
    }

    fn apply(&mut self, base: &Tree, path: &[Subscript], op: Op) {
        let delta = self.edit.apply(base.root(), path, op, false);
        self.delta.bytes += delta.bytes;
        self.delta.count += delta.count;
    }

    /// Notes that `first` was read at this version: a commit is a conflict if it has another then.
    ///
    /// Of several versions for one subscript the first counts.
    pub fn expect(&mut self, first: Subscript, version: u64) {
        self.expected.entry(Some(first)).or_insert(version);
    }

    /// As [`expect`](Self::expect), for the root's own value.
    pub fn expect_root(&mut self, version: u64) {
        self.expected.entry(None).or_insert(version);
    }

    /// The first subscripts that changed since they were read with their version.
    pub fn commit_check(&self, base: &Tree) -> Vec<String> {
        let moved = self.expected.iter().filter(|(first, version)| {
            let now = first.as_ref().map_or_else(|| base.root_version(), |first| base.version(first));
            now != **version
        });
        moved.map(|(first, _)| key_name(first.as_ref())).collect()
    }

    /// Applies all changes to the committed tree and returns the first subscripts that they changed, in order.
    ///
    /// Errors: `Conflict` with the keys; `Quota` if others committed meanwhile so much that it would grow beyond
    /// `session_bytes`. The tree was not changed then, and these changes are still here.
    pub fn commit(&self, tree: &mut Tree, quotas: &Quotas) -> Result<Vec<Subscript>> {
        self.commit_noting(tree, quotas).map(Changes::into_keys)
    }

    /// As [`commit`](Self::commit); answers what became of the stored rows, too.
    pub(crate) fn commit_noting(&self, tree: &mut Tree, quotas: &Quotas) -> Result<Changes> {
        let keys = self.commit_check(tree);
        if !keys.is_empty() {
            return Err(Error::conflict(keys));
        }
        if self.is_empty() {
            return Ok(Changes::default());
        }
        let growth = self.current_delta(tree).bytes;
        if growth > 0 {
            quotas.check_session(&[], tree.bytes_used().saturating_add_signed(growth))?;
        }
        Ok(tree.apply(&self.edit))
    }
}

fn check_levels(path: &[Subscript]) -> Result<()> {
    let levels = super::quotas::MAX_LEVELS;
    if path.len() <= levels {
        return Ok(());
    }
    Err(exceeded(&format!("path of {} subscripts", path.len()), path, &format!("{levels} levels")))
}
