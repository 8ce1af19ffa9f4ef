//! The children of a node by subscript: a small sorted vector, or a B-tree once there are many.

use std::collections::{BTreeMap, btree_map};
use std::ops::Bound;
use std::slice;

use super::subscript::{Direction, Subscript};

/// Up to so many children a sorted vector is smaller and faster than a B-tree, whose least node has room for 11.
const FEW: usize = 16;

#[derive(Clone, Debug)]
pub(super) enum Level<N> {
    Few(Vec<(Subscript, N)>),
    Many(BTreeMap<Subscript, N>),
}

impl<N> Default for Level<N> {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl<N> Level<N> {
    /// Of children in ascending order, each once.
    pub(super) fn from_sorted(children: Vec<(Subscript, N)>) -> Self {
        if children.len() <= FEW { Self::Few(children) } else { Self::Many(children.into_iter().collect()) }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Few(few) => few.len(),
            Self::Many(many) => many.len(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn get(&self, key: &Subscript) -> Option<&N> {
        match self {
            Self::Few(few) => {
                few.binary_search_by(|entry| entry.0.cmp(key)).ok().and_then(|at| few.get(at)).map(|e| &e.1)
            }
            Self::Many(many) => many.get(key),
        }
    }

    pub(super) fn get_mut(&mut self, key: &Subscript) -> Option<&mut N> {
        match self {
            Self::Few(few) => {
                let at = few.binary_search_by(|entry| entry.0.cmp(key)).ok()?;
                few.get_mut(at).map(|entry| &mut entry.1)
            }
            Self::Many(many) => many.get_mut(key),
        }
    }

    pub(super) fn get_or_insert_with(&mut self, key: &Subscript, new: impl FnOnce() -> N) -> &mut N {
        if let Self::Few(few) = self
            && few.len() >= FEW
            && few.binary_search_by(|entry| entry.0.cmp(key)).is_err()
        {
            *self = Self::Many(std::mem::take(few).into_iter().collect());
        }
        match self {
            Self::Few(few) => {
                let at = match few.binary_search_by(|entry| entry.0.cmp(key)) {
                    Ok(at) => at,
                    Err(at) => {
                        if few.capacity() == 0 {
                            few.reserve_exact(1);
                        }
                        few.insert(at, (key.clone(), new()));
                        at
                    }
                };
                &mut few[at].1
            }
            Self::Many(many) => many.entry(key.clone()).or_insert_with(new),
        }
    }

    pub(super) fn remove(&mut self, key: &Subscript) -> Option<N> {
        match self {
            Self::Few(few) => {
                let at = few.binary_search_by(|entry| entry.0.cmp(key)).ok()?;
                Some(few.remove(at).1)
            }
            Self::Many(many) => many.remove(key),
        }
    }

    /// The first child strictly after `after`, or from the end that the direction starts at.
    pub(super) fn neighbour(&self, after: Option<&Subscript>, direction: Direction) -> Option<(&Subscript, &N)> {
        match self {
            Self::Few(few) => {
                let at = match (after, direction) {
                    (None, Direction::Forward) => 0,
                    (None, Direction::Backward) => few.len().checked_sub(1)?,
                    (Some(after), Direction::Forward) => few.partition_point(|entry| entry.0 <= *after),
                    (Some(after), Direction::Backward) => {
                        few.partition_point(|entry| entry.0 < *after).checked_sub(1)?
                    }
                };
                few.get(at).map(|entry| (&entry.0, &entry.1))
            }
            Self::Many(many) => {
                let bound = after.map_or(Bound::Unbounded, Bound::Excluded);
                match direction {
                    Direction::Forward => many.range::<Subscript, _>((bound, Bound::Unbounded)).next(),
                    Direction::Backward => many.range::<Subscript, _>((Bound::Unbounded, bound)).next_back(),
                }
            }
        }
    }

    pub(super) fn iter(&self) -> LevelIter<'_, N> {
        match self {
            Self::Few(few) => LevelIter::Few(few.iter()),
            Self::Many(many) => LevelIter::Many(many.iter()),
        }
    }

    pub(super) fn for_each_mut(&mut self, mut each: impl FnMut(&Subscript, &mut N)) {
        match self {
            Self::Few(few) => few.iter_mut().for_each(|(key, node)| each(key, node)),
            Self::Many(many) => many.iter_mut().for_each(|(key, node)| each(key, node)),
        }
    }
}

impl<N: PartialEq> PartialEq for Level<N> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

#[derive(Clone)]
pub(super) enum LevelIter<'a, N> {
    Few(slice::Iter<'a, (Subscript, N)>),
    Many(btree_map::Iter<'a, Subscript, N>),
}

impl<'a, N> Iterator for LevelIter<'a, N> {
    type Item = (&'a Subscript, &'a N);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Few(few) => few.next().map(|entry| (&entry.0, &entry.1)),
            Self::Many(many) => many.next(),
        }
    }
}
