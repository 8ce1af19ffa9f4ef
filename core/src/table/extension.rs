//! What a session used of its budget of extensions.

use crate::clock::Millis;

/// The session's use of its budget.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Extension {
    /// Granted in a row without user activity.
    pub count: u32,
    /// The deadline of the last grant: while it stands, there was no activity.
    pub deadline: Millis,
    /// The deadline that was asked about last.
    pub asked: Millis,
    pub history: Vec<(Millis, String, Millis)>,
}
