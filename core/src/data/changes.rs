//! What a commit changed of a tree, as changes of its stored rows.

use super::key::key;
use super::stored::StoredRow;
use super::subscript::Subscript;
use super::tree::Tree;

/// What a commit changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// The first subscripts that were changed, appeared or vanished, in order.
    pub(super) keys: Vec<Subscript>,
    /// Those that were killed long ago and keep no version of their own any longer.
    pub(super) forgotten: Vec<Subscript>,
    /// Whether the row of the root is another: its value, or the version of what is forgotten.
    pub(super) root: bool,
    /// Whether all first subscripts were removed first, with the versions of those that were killed before.
    pub(super) cleared: bool,
}

/// One step that brings stored rows to the committed tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RowChange {
    /// Removes all rows: always the first step.
    Clear,
    /// Inserts the row, or replaces the one with its key.
    Put(StoredRow),
    /// Removes the row with this key if there is one.
    Delete(Vec<u8>),
}

impl Changes {
    /// Whether nothing changed: then there is nothing to be stored.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && !self.root
    }

    /// The first subscripts that were changed, appeared or vanished, in order.
    pub fn into_keys(self) -> Vec<Subscript> {
        self.keys
    }

    /// The steps that bring rows of before the commit to `tree`, which is the tree after it.
    pub fn rows<'a>(&'a self, tree: &'a Tree) -> impl Iterator<Item = RowChange> + 'a {
        let step = move |first: Option<&Subscript>| match tree.row(first) {
            Some(row) => Some(RowChange::Put(row)),
            // After the clearing there is nothing left to be removed.
            None if self.cleared => None,
            None => Some(RowChange::Delete(first.map_or_else(Vec::new, key))),
        };
        let clear = self.cleared.then_some(RowChange::Clear);
        let root = (self.root || self.cleared).then(|| step(None)).flatten();
        let forgotten = self.forgotten.iter().filter(|key| self.keys.binary_search(key).is_err());
        clear.into_iter().chain(root).chain(forgotten.chain(&self.keys).filter_map(move |first| step(Some(first))))
    }
}
