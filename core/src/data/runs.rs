//! Runs of neighbouring children that no longer exist, so that a queue that is consumed is not gone through again and
//! again from its old end.

use std::collections::BTreeMap;

use super::subscript::Subscript;

/// Closed ranges, by their first subscript: whatever the committed tree and the changes have in them is gone.
///
/// Subscripts next to each other are those of both; ranges never overlap.
#[derive(Clone, Debug, Default)]
pub(super) struct Runs(BTreeMap<Subscript, Subscript>);

impl Runs {
    /// The first and last subscript of the run that `key` is in.
    pub(super) fn around(&self, key: &Subscript) -> Option<(&Subscript, &Subscript)> {
        self.0.range::<Subscript, _>(..=key).next_back().filter(|run| run.1 >= key)
    }

    /// `key` is gone; `before` and `after` are next to it.
    pub(super) fn add(&mut self, key: &Subscript, before: Option<&Subscript>, after: Option<&Subscript>) {
        if self.around(key).is_some() {
            return;
        }
        let start = before.and_then(|before| self.around(before)).map_or(key, |run| run.0).clone();
        let joined = after.and_then(|after| self.around(after)).map(|run| (run.0.clone(), run.1.clone()));
        let end = match joined {
            Some((next, end)) => {
                self.0.remove(&next);
                end
            }
            None => key.clone(),
        };
        self.0.insert(start, end);
    }

    /// `key` exists again, or anew; `before` and `after` are next to it.
    pub(super) fn split(&mut self, key: &Subscript, before: Option<&Subscript>, after: Option<&Subscript>) {
        let Some((start, end)) = self.around(key).map(|run| (run.0.clone(), run.1.clone())) else { return };
        self.0.remove(&start);
        if let Some(after) = after.filter(|after| **after <= end) {
            self.0.insert(after.clone(), end);
        }
        if let Some(before) = before.filter(|before| **before >= start) {
            self.0.insert(start, before.clone());
        }
    }
}
