//! Who is charged, and for what.

use std::sync::Arc;

use super::Asking;
use crate::clock::Millis;
use crate::config::Pool;
use crate::id::SessionId;
use crate::license::policy::Rank;
use crate::reason::{DenyReason, LazyUntil, LicenseClass};
use crate::session::Feature;

/// Who is charged.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Holder {
    /// The session itself.
    Session,
    /// A user.
    User(Arc<str>),
    /// The session itself, for features that it took: its name in the books of the pool.
    Taker(Arc<str>),
}

/// What the name of a taker in the books begins with.
const TAKER: char = '\u{1}';
/// The same of one that is anonymous.
const ANONYMOUS_TAKER: char = '\u{2}';
/// The same of a user whose own name begins with one of these.
const OTHER_USER: char = '\u{3}';

impl Holder {
    /// A session that takes features for itself.
    pub(crate) fn taker(session: SessionId, class: LicenseClass) -> Self {
        let kind = if class == LicenseClass::Anonymous { ANONYMOUS_TAKER } else { TAKER };
        Self::Taker(format!("{kind}{session}").into())
    }

    /// The name of a user, or of one at a client, in the books: none begins as a taker's.
    pub(crate) fn booked_user(name: Arc<str>) -> Arc<str> {
        if name.starts_with([TAKER, ANONYMOUS_TAKER, OTHER_USER]) { format!("{OTHER_USER}{name}").into() } else { name }
    }

    /// Who has this name in the books.
    pub(crate) fn of(name: Arc<str>) -> Self {
        if Self::takes(&name) { Self::Taker(name) } else { Self::User(name) }
    }

    /// Whether this name in the books is that of a taker.
    pub(crate) fn takes(name: &str) -> bool {
        name.starts_with([TAKER, ANONYMOUS_TAKER])
    }

    /// Its name in the books of a pool; a session that is charged for nothing but itself has none.
    pub(crate) fn booked(&self) -> Option<&Arc<str>> {
        match self {
            Self::Session => None,
            Self::User(name) | Self::Taker(name) => Some(name),
        }
    }

    /// A name in the books for people: of a taker the session's id.
    pub(crate) fn shown(name: &str) -> &str {
        name.strip_prefix([TAKER, ANONYMOUS_TAKER, OTHER_USER]).unwrap_or(name)
    }

    /// The same, without a copy of a user's.
    pub(crate) fn shared(name: &Arc<str>) -> Arc<str> {
        match Self::shown(name) {
            shown if shown.len() < name.len() => shown.into(),
            _ => name.clone(),
        }
    }

    /// The license class of what it took.
    pub(crate) fn class_of_takes(&self) -> LicenseClass {
        match self {
            Self::Taker(name) if name.starts_with(ANONYMOUS_TAKER) => LicenseClass::Anonymous,
            _ => LicenseClass::Named,
        }
    }
}

/// How a session is to be charged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// The pool's number.
    pub pool: u32,
    /// The class: `lazy` for a session that was that until it took its unit.
    pub class: LicenseClass,
    /// The holder.
    pub holder: Holder,
    /// The client among whose anonymous sessions it counts, where a pool bounds those of one client.
    pub client: Option<Arc<str>>,
}

/// A license that a session takes later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lazy {
    /// The pool's number.
    pub pool: u32,
    /// When at the latest; a login takes it in any case.
    pub until: LazyUntil,
}

impl Charge {
    /// The same for another holder: a user is never anonymous.
    pub(crate) fn with_holder(&self, holder: &Holder) -> Self {
        let named = self.class == LicenseClass::Anonymous && matches!(holder, Holder::User(_));
        let class = if named { LicenseClass::Named } else { self.class };
        let client = self.client.clone().filter(|_| !named);
        Self { pool: self.pool, class, holder: holder.clone(), client }
    }

    /// Whether its units count as those of anonymous sessions.
    pub(crate) fn is_anonymous(&self) -> bool {
        self.class == LicenseClass::Anonymous && !matches!(self.holder, Holder::User(_))
    }
}

/// A feature that a session took: units of a pool beside its license.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The pool's number.
    pub pool: u32,
    /// How often.
    pub count: u64,
    /// Who is charged; stays so whoever logs in or out.
    pub holder: Holder,
    /// When it was taken first: engine time.
    pub since: Millis,
}

impl Taken {
    /// How it is charged.
    pub(crate) fn charge(&self) -> Charge {
        Charge { pool: self.pool, class: self.holder.class_of_takes(), holder: self.holder.clone(), client: None }
    }
}

/// A feature to be taken.
#[derive(Clone, Debug)]
pub struct Take {
    /// The pool's number.
    pub pool: u32,
    /// How often, at once.
    pub count: u64,
    /// The user this was worked out for: anything else now is `changed`.
    pub expected: Option<Arc<str>>,
    /// Who is charged if somebody is logged in; else it is the session.
    pub holder: Option<Arc<str>>,
    /// What that is to the pool.
    pub rank: Rank,
    /// The definition of the pool that this was worked out by; another one now is `redefined`.
    pub revision: u64,
    /// How it asks for the units.
    pub asking: Asking,
}

/// Why a feature was not taken; nothing changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TakeRefused {
    /// Another user is logged in by now.
    Changed,
    /// The pool was defined anew.
    Redefined,
    /// The session has taken as many features as it may.
    TooMany,
    /// The pool refused.
    License(DenyReason),
}

/// What a session took, as listings show it.
pub(crate) fn features(pools: &[Pool], session: SessionId, takes: &[Taken]) -> Vec<Feature> {
    let feature = |taken: &Taken| Feature {
        pool: pools[taken.pool as usize].name.as_str().into(),
        count: taken.count,
        holder: crate::license::recount::holder_name(session, &taken.holder),
        since_ms: taken.since,
    };
    takes.iter().map(feature).collect()
}
