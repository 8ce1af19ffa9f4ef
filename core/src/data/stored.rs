//! A tree as stored rows: one for each first subscript, and one for the root. And as one run of bytes, for snapshots.
//!
//! A row's value is a format byte and one node as [`pack`](super::pack) writes it. A first subscript that was killed and
//! keeps its version has a row with no value. The row of the root has an empty key; its value is none, or a list of the
//! version of all that is forgotten and, if there is one, the root's own value.

use super::inner::Inner;
use super::key::{key, read_key};
use super::level::Level;
use super::node::Node;
use super::pack::Pack;
use super::subscript::Subscript;
use super::tree::{Tree, key_name};
use super::unpack::{Damage, Unpack};
use crate::error::{Error, ErrorKind, Result};

/// What each value that is not empty begins with.
const FORMAT: u8 = 1;
/// Versions above are refused: each change needs another, and databases count to here.
const MAX_VERSION: u64 = i64::MAX as u64;

/// One stored row of a tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StoredRow {
    /// The key: of the first subscript, in collation order as bytes; empty for the root.
    pub sub: Vec<u8>,
    /// The version.
    pub version: u64,
    /// What is stored; empty if there is nothing but a version.
    pub value: Vec<u8>,
}

impl Tree {
    /// All rows.
    pub(crate) fn to_rows(&self) -> Vec<StoredRow> {
        let Some(inner) = &self.0 else { return Vec::new() };
        let living = inner.root.children().into_iter().flat_map(Level::iter);
        let living = living.map(|(first, node)| living_row(first, node));
        let killed = inner.graves.iter().map(|(first, version)| killed_row(first, *version));
        root_row(inner).into_iter().chain(living).chain(killed).collect()
    }

    /// The row of a first subscript, or of the root; `None` if there is nothing to be kept of it.
    pub(crate) fn row(&self, first: Option<&Subscript>) -> Option<StoredRow> {
        let inner = self.0.as_ref()?;
        let Some(first) = first else { return root_row(inner) };
        match inner.root.child(first) {
            Some(node) => Some(living_row(first, node)),
            None => inner.graves.get(first).map(|version| killed_row(first, *version)),
        }
    }

    /// The tree of rows, in any order, with the versions that it had: the next change has the version it would have had.
    ///
    /// Errors: `Corrupt` if a row is none that [`to_rows`](Self::to_rows) makes, or is there twice.
    pub(crate) fn from_rows(rows: impl IntoIterator<Item = StoredRow>) -> Result<Self> {
        let mut inner = Inner::default();
        let mut children: Vec<(Subscript, Node)> = Vec::new();
        let mut rooted = false;
        for row in rows {
            if row.version > MAX_VERSION {
                return Err(corrupt(&format!("the row {}", hex(&row.sub)), &format!("its version is {}", row.version)));
            }
            inner.clock = inner.clock.max(row.version);
            if row.sub.is_empty() {
                if std::mem::replace(&mut rooted, true) {
                    return Err(corrupt("the root", "it has two rows"));
                }
                inner.root.version = row.version;
                read_root(&mut inner, &row.value).map_err(|damage| damaged("the root", damage))?;
                continue;
            }
            let Some(first) = read_key(&row.sub) else {
                return Err(corrupt(&format!("the row {}", hex(&row.sub)), "its key is of no subscript"));
            };
            if row.value.is_empty() {
                if inner.graves.insert(first.clone(), row.version).is_some() {
                    return Err(twice(&first));
                }
                continue;
            }
            let node = read_node(&mut inner, &row).map_err(|damage| damaged(&key_name(Some(&first)), damage))?;
            inner.bytes = inner.bytes.saturating_add(first.bytes_used());
            children.push((first, node));
        }
        if !children.is_sorted_by(|one, two| one.0 < two.0) {
            children.sort_by(|one, two| one.0.cmp(&two.0));
            if let Some([one, _]) = children.array_windows().find(|[one, two]| one.0 == two.0) {
                return Err(twice(&one.0));
            }
        }
        if let Some((first, _)) = children.iter().find(|child| inner.graves.contains_key(&child.0)) {
            return Err(twice(first));
        }
        if !children.is_empty() {
            inner.root.children = Some(Box::new(Level::from_sorted(children)));
        }
        while inner.forget().is_some() {}
        inner.clock = inner.clock.max(inner.floor);
        if inner.clock == 0 && inner.root.is_bare() {
            return Ok(Self::new());
        }
        inner.restamp();
        Ok(Self(Some(Box::new(inner))))
    }
}

fn living_row(first: &Subscript, node: &Node) -> StoredRow {
    let mut out = Pack::new(FORMAT);
    out.node(node);
    StoredRow { sub: key(first), version: node.version, value: out.into_bytes() }
}

fn killed_row(first: &Subscript, version: u64) -> StoredRow {
    StoredRow { sub: key(first), version, value: Vec::new() }
}

fn root_row(inner: &Inner) -> Option<StoredRow> {
    let (version, floor, value) = (inner.root.version, inner.floor, &inner.root.value);
    if floor == 0 && value.is_none() {
        return (version > 0).then(|| StoredRow { version, ..StoredRow::default() });
    }
    let mut out = Pack::new(FORMAT);
    out.list(1 + u32::from(value.is_some()));
    out.number(floor);
    if let Some(value) = value {
        out.value(value);
    }
    Some(StoredRow { sub: Vec::new(), version, value: out.into_bytes() })
}

fn read_root(inner: &mut Inner, bytes: &[u8]) -> std::result::Result<(), Damage> {
    if bytes.is_empty() {
        return Ok(());
    }
    let mut from = Unpack::new(bytes, FORMAT)?;
    let length = from.list()?;
    if !(1..=2).contains(&length) {
        return Err(Damage { at: 1, what: "it is no list of 1 or 2" });
    }
    inner.floor = from.number()?;
    if length > 1 {
        inner.root.value = Some(from.own_value()?);
        inner.bytes = inner.bytes.saturating_add(from.used);
        inner.count += 1;
    }
    from.finish()
}

fn read_node(inner: &mut Inner, row: &StoredRow) -> std::result::Result<Node, Damage> {
    let mut from = Unpack::new(&row.value, FORMAT)?;
    let mut node = from.node(1)?;
    from.finish()?;
    node.version = row.version;
    inner.bytes = inner.bytes.saturating_add(from.used);
    inner.count += from.count;
    Ok(node)
}

/// A tree without its versions in one run of bytes.
#[allow(dead_code)]
pub(crate) fn encode_tree(tree: &Tree) -> Vec<u8> {
    let mut out = Pack::new(FORMAT);
    if let Some(root) = tree.root() {
        out.node(root);
    }
    out.into_bytes()
}

/// The tree of what [`encode_tree`] wrote; its versions begin anew. Errors: `Corrupt` for anything else.
#[allow(dead_code)]
pub(crate) fn decode_tree(bytes: &[u8]) -> Result<Tree> {
    let read = || {
        let mut from = Unpack::new(bytes, FORMAT)?;
        if from.is_at_end() {
            return Ok(Tree::new());
        }
        let mut root = from.node(0)?;
        from.finish()?;
        root.version = 1;
        if let Some(level) = root.children.as_mut() {
            level.for_each_mut(|_, node| node.version = 1);
        }
        let mut inner = Inner { root, bytes: from.used, count: from.count, clock: 1, ..Inner::default() };
        inner.restamp();
        Ok(Tree(Some(Box::new(inner))))
    };
    read().map_err(|damage| damaged("a snapshot", damage))
}

fn damaged(what: &str, damage: Damage) -> Error {
    corrupt(what, &format!("at byte {}: {}", damage.at, damage.what))
}

fn twice(first: &Subscript) -> Error {
    corrupt(&key_name(Some(first)), "it has two rows")
}

fn corrupt(what: &str, why: &str) -> Error {
    let what: String = what.chars().take(100).collect();
    Error::new(ErrorKind::Corrupt, format!("the stored data of {what} can't be read: {why}"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().take(32).map(|byte| format!("{byte:02x}")).collect()
}
