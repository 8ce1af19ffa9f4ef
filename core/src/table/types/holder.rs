//! The change of a session's user and holder.

use std::sync::Arc;

use super::{Asking, Holder};
use crate::clock::Millis;
use crate::id::Token;
use crate::license::policy::Rank;
use crate::reason::DenyReason;

/// A change of a session's user and holder.
#[derive(Clone, Debug)]
pub struct HolderChange {
    /// The new user.
    pub user: Option<Arc<str>>,
    /// The user the deciders were asked about: anything else now is `changed`.
    pub expected: Option<Arc<str>>,
    /// The new holder, if the session is charged, or takes its unit by this.
    pub holder: Holder,
    /// What it is to the pool.
    pub rank: Rank,
    /// The definition of the pool that the rank and the holder are by; another one now is `redefined`.
    pub revision: u64,
    /// Whether the user changes although the trade is denied for good.
    pub keep_on_denial: bool,
    /// Grace of the old token; `None` does not rotate.
    pub rotate: Option<Millis>,
    /// Only the trade: user and token stay.
    pub trade_only: bool,
    /// The idle timeout from now on, 0 for never, of a session that is anonymous no longer and had that of anonymous ones.
    pub idle: Millis,
    /// How it asks for the units.
    pub asking: Asking,
}

impl HolderChange {
    /// Whether the user changes although the trade is denied for this.
    pub fn keeps(&self, reason: DenyReason) -> bool {
        self.keep_on_denial && self.asking.ends_with(reason)
    }
}

/// What a change of holder did.
#[derive(Clone, Debug)]
pub struct HolderChanged {
    /// The token from now on, if it was rotated.
    pub token: Option<Token>,
    /// Why the trade was denied; the session keeps what it held.
    pub trade_denied: Option<DenyReason>,
}

/// Why a holder was not changed; nothing was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeRefused {
    /// The user is not the one the deciders were asked about.
    Changed,
    /// The pool was defined anew since the rank was found.
    Redefined,
    /// The pool refused and the denial is not to be kept.
    License(DenyReason),
}
