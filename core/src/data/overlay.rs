//! One request's changes as a tree above the committed one, and what both look like together.

use std::cmp::Ordering;

use super::level::Level;
use super::node::Node;
use super::runs::Runs;
use super::subscript::{Direction, Subscript};
use super::value::Value;

/// What is changed of one node and below.
#[derive(Clone, Debug, Default)]
pub(super) struct Edit {
    /// The committed node and all below are hidden: it was killed.
    pub(super) cleared: bool,
    /// `Some` if the own value is changed: set, or removed.
    pub(super) value: Option<Option<Value>>,
    pub(super) children: Level<Edit>,
    /// The children that exist now, committed ones included; right for the tree it was computed over only.
    alive: usize,
    /// Children that are gone; right for that tree only, and not kept for a few.
    gone: Option<Box<Runs>>,
}

/// From so many changed children on, those that are gone are remembered as runs.
const RUNS: usize = 4;

pub(super) enum Op {
    Set(Value),
    Pop,
    Kill,
}

/// A change of quota bytes and of valued nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Delta {
    pub(super) bytes: isize,
    pub(super) count: isize,
}

impl Delta {
    fn add(&mut self, other: Delta) {
        self.bytes += other.bytes;
        self.count += other.count;
    }

    fn between(before: (usize, usize), after: (usize, usize)) -> Self {
        Self { bytes: after.0 as isize - before.0 as isize, count: after.1 as isize - before.1 as isize }
    }

    /// The parent counts a child's subscript while the child exists.
    fn appeared(&mut self, key: &Subscript, before: bool, after: bool) {
        self.bytes += key.bytes_used() as isize * (isize::from(after) - isize::from(before));
    }
}

fn measure(value: Option<&Value>) -> (usize, usize) {
    value.map_or((0, 0), |value| (value.bytes_used(), 1))
}

impl Edit {
    pub(super) fn over(base: Option<&Node>) -> Self {
        Self { alive: base.map_or(0, Node::child_count), ..Self::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.cleared && self.value.is_none() && self.children.is_empty()
    }

    /// Changes the node at `path` below this one, whose committed node is `base`. `alive` must be right.
    pub(super) fn apply(&mut self, base: Option<&Node>, path: &[Subscript], op: Op, hidden: bool) -> Delta {
        let hidden = hidden || self.cleared;
        let base = base.filter(|_| !hidden);
        let Some((key, rest)) = path.split_first() else { return self.apply_here(base, op) };
        let under = base.and_then(|base| base.child(key));
        let child = self.children.get_or_insert_with(key, || Edit::over(under));
        let before = View::new(under, Some(child), true).exists();
        let mut delta = child.apply(under, rest, op, hidden);
        let after = View::new(under, Some(child), true).exists();
        delta.appeared(key, before, after);
        self.alive = self.alive + usize::from(after) - usize::from(before);
        if hidden && !after {
            self.children.remove(key);
        } else if self.children.len() > RUNS {
            self.note_run(base, key, after);
        }
        delta
    }

    fn note_run(&mut self, base: Option<&Node>, key: &Subscript, exists: bool) {
        if exists && self.gone.is_none() {
            return;
        }
        let level = base.and_then(Node::children);
        let next_to = |direction| {
            let base = level.and_then(|level| level.neighbour(Some(key), direction)).map(|child| child.0);
            let edit = self.children.neighbour(Some(key), direction).map(|child| child.0);
            match direction {
                Direction::Forward => [base, edit].into_iter().flatten().min(),
                Direction::Backward => base.max(edit),
            }
        };
        let (before, after) = (next_to(Direction::Backward), next_to(Direction::Forward));
        let gone = self.gone.get_or_insert_default();
        if exists {
            gone.split(key, before, after);
        } else {
            gone.add(key, before, after);
        }
    }

    fn apply_here(&mut self, base: Option<&Node>, op: Op) -> Delta {
        let view = View::new(base, Some(self), true);
        let old = measure(view.value());
        match op {
            Op::Kill => {
                let delta = Delta::between(view.footprint(), (0, 0));
                *self = Self { cleared: true, ..Self::default() };
                delta
            }
            Op::Set(value) => {
                let delta = Delta::between(old, (value.bytes_used(), 1));
                self.value = Some(Some(value));
                delta
            }
            Op::Pop => {
                self.value = Some(None);
                Delta::between(old, (0, 0))
            }
        }
    }

    /// Makes `alive` right for another committed tree.
    pub(super) fn rebase(&mut self, base: Option<&Node>) {
        let base = base.filter(|_| !self.cleared);
        let mut alive = base.map_or(0, Node::child_count);
        self.children.for_each_mut(|key, child| {
            let under = base.and_then(|base| base.child(key));
            child.rebase(under);
            let after = View::new(under, Some(child), true).exists();
            alive = alive + usize::from(after) - usize::from(under.is_some());
        });
        self.alive = alive;
        self.gone = None;
    }

    /// What the changes come to over any committed tree, and whether the node exists then. Needs no `alive`.
    pub(super) fn weigh(&self, base: Option<&Node>) -> (Delta, bool) {
        let mut delta = Delta::default();
        if self.cleared {
            delta = Delta::between(base.map_or((0, 0), Node::footprint), (0, 0));
        }
        let base = base.filter(|_| !self.cleared);
        let old = base.and_then(|base| base.value.as_ref());
        let new = self.value.as_ref().map_or(old, Option::as_ref);
        delta.add(Delta::between(measure(old), measure(new)));
        let mut alive = base.map_or(0, Node::child_count);
        for (key, child) in self.children.iter() {
            let under = base.and_then(|base| base.child(key));
            let (change, after) = child.weigh(under);
            delta.add(change);
            delta.appeared(key, under.is_some(), after);
            alive = alive + usize::from(after) - usize::from(under.is_some());
        }
        (delta, new.is_some() || alive > 0)
    }
}

/// A node as the request sees it.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    base: Option<&'a Node>,
    edit: Option<&'a Edit>,
    /// Whether `alive` of the edits is right for this base.
    fresh: bool,
}

impl<'a> View<'a> {
    pub(super) fn new(base: Option<&'a Node>, edit: Option<&'a Edit>, fresh: bool) -> Self {
        let base = base.filter(|_| edit.is_none_or(|edit| !edit.cleared));
        Self { base, edit, fresh }
    }

    pub(super) fn child(self, key: &Subscript) -> Self {
        let base = self.base.and_then(|base| base.child(key));
        Self::new(base, self.edit.and_then(|edit| edit.children.get(key)), self.fresh)
    }

    pub(super) fn at(self, path: &[Subscript]) -> Self {
        path.iter().fold(self, |view, key| view.child(key))
    }

    pub(super) fn value(self) -> Option<&'a Value> {
        match self.edit.map(|edit| &edit.value) {
            Some(Some(value)) => value.as_ref(),
            _ => self.base?.value.as_ref(),
        }
    }

    pub(super) fn has_children(self) -> bool {
        match self.edit {
            None => self.base.is_some_and(|base| base.child_count() > 0),
            Some(edit) if self.fresh => edit.alive > 0,
            Some(_) => self.neighbour(None, Direction::Forward).is_some(),
        }
    }

    pub(super) fn exists(self) -> bool {
        self.value().is_some() || self.has_children()
    }

    /// The first existing child beyond `after`.
    pub(super) fn neighbour(
        self,
        after: Option<&Subscript>,
        direction: Direction,
    ) -> Option<(&'a Subscript, View<'a>)> {
        let mut after = after;
        loop {
            let base = self.base.and_then(Node::children).and_then(|level| level.neighbour(after, direction));
            let edit = self.edit.and_then(|edit| edit.children.neighbour(after, direction));
            let (key, view) = match (base, edit) {
                (None, None) => return None,
                (Some((key, node)), None) => (key, View::new(Some(node), None, self.fresh)),
                (None, Some((key, edit))) => (key, View::new(None, Some(edit), self.fresh)),
                (Some((key, node)), Some((other, edit))) => {
                    let order = match direction {
                        Direction::Forward => key.cmp(other),
                        Direction::Backward => other.cmp(key),
                    };
                    match order {
                        Ordering::Less => (key, View::new(Some(node), None, self.fresh)),
                        Ordering::Equal => (key, View::new(Some(node), Some(edit), self.fresh)),
                        Ordering::Greater => (other, View::new(None, Some(edit), self.fresh)),
                    }
                }
            };
            if view.exists() {
                return Some((key, view));
            }
            let run = self.edit.filter(|_| self.fresh).and_then(|edit| edit.gone.as_ref()?.around(key));
            after = Some(match direction {
                Direction::Forward => run.map_or(key, |run| run.1),
                Direction::Backward => run.map_or(key, |run| run.0),
            });
        }
    }

    /// Calls `each` with all valued nodes here and below, in collation order; `path` is the one of this node.
    pub(super) fn walk(self, path: &mut Vec<Subscript>, each: &mut impl FnMut(&[Subscript], &Value)) {
        if let Some(value) = self.value() {
            each(path, value);
        }
        let mut next = self.neighbour(None, Direction::Forward);
        while let Some((key, child)) = next {
            path.push(key.clone());
            child.walk(path, each);
            path.pop();
            next = self.neighbour(Some(key), Direction::Forward);
        }
    }

    /// Bytes and valued nodes, without the node's own subscript.
    pub(super) fn footprint(self) -> (usize, usize) {
        if self.edit.is_none() {
            return self.base.map_or((0, 0), Node::footprint);
        }
        let mut sum = measure(self.value());
        let mut next = self.neighbour(None, Direction::Forward);
        while let Some((key, child)) = next {
            let (bytes, count) = child.footprint();
            sum = (sum.0 + key.bytes_used() + bytes, sum.1 + count);
            next = self.neighbour(Some(key), Direction::Forward);
        }
        sum
    }

    /// The bytes that setting `value` at `path` adds, or removes if negative.
    pub(super) fn growth(self, path: &[Subscript], value: &Value) -> isize {
        let mut growth = value.bytes_used() as isize;
        let mut view = self;
        for key in path {
            view = view.child(key);
            if !view.exists() {
                growth += key.bytes_used() as isize;
            }
        }
        growth - measure(view.value()).0 as isize
    }

    /// As [`growth`](Self::growth), for all values of `tree` merged here.
    pub(super) fn merge_growth(self, tree: &Node) -> isize {
        let mut growth = tree.value.as_ref().map_or(0, |value| self.growth(&[], value));
        for (key, node) in tree.children().into_iter().flat_map(|level| level.iter()) {
            let child = self.child(key);
            growth += child.merge_growth(node);
            if !child.exists() {
                growth += key.bytes_used() as isize;
            }
        }
        growth
    }
}
