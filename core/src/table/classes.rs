//! A session's list of event classes, and its changes.

use std::sync::Arc;

use crate::event::ClassRef;

/// A change of a session's list of event classes.
#[derive(Clone, Debug)]
pub enum ClassChange {
    /// To the front, once.
    Front(ClassRef),
    /// To the end, if absent.
    Back(ClassRef),
    /// Away.
    Remove(ClassRef),
    /// All of a namespace away.
    RemoveNamespace(Arc<str>),
    /// All away.
    Clear,
}

impl ClassChange {
    /// The list after a change; `None` if it stays as it is.
    pub fn apply(&self, classes: &Arc<[ClassRef]>) -> Option<Arc<[ClassRef]>> {
        let position = |class: &ClassRef| classes.iter().position(|known| known.same(&class.namespace, &class.name));
        match self {
            ClassChange::Front(class) => {
                if position(class) == Some(0) {
                    return None;
                }
                let rest = classes.iter().filter(|known| !known.same(&class.namespace, &class.name)).cloned();
                Some(std::iter::once(class.clone()).chain(rest).collect())
            }
            ClassChange::Back(class) => match position(class) {
                Some(_) => None,
                None => Some(classes.iter().cloned().chain([class.clone()]).collect()),
            },
            ClassChange::Remove(class) => {
                position(class)?;
                Some(classes.iter().filter(|known| !known.same(&class.namespace, &class.name)).cloned().collect())
            }
            ClassChange::RemoveNamespace(namespace) => {
                let kept: Arc<[ClassRef]> =
                    classes.iter().filter(|known| known.namespace != *namespace).cloned().collect();
                (kept.len() != classes.len()).then_some(kept)
            }
            ClassChange::Clear => (!classes.is_empty()).then(|| Arc::from([])),
        }
    }
}
