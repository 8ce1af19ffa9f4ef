//! The engine's vocabularies with their numbers, so that JavaScript has no list of its own.

use libsession_core::error::ErrorKind;
use libsession_core::reason::{
    ApplicationTimeout, AtSessionLimit, DenyReason, EndLevel, EndReason, EventKind, Evict, LazyUntil, LicenseClass,
    LockMode, ThreadKind, TouchKind, UnitRule,
};
use napi_derive::napi;

/// A word and its number.
#[napi(object)]
pub struct Word {
    /// The same word in every language.
    pub name: String,
    /// Its stable number.
    pub code: i32,
    /// For an event kind: whether the answer matters. For an error kind: whether the same call may succeed later.
    pub flag: bool,
}

/// Every vocabulary.
#[napi(object)]
pub struct Words {
    pub error_kinds: Vec<Word>,
    pub event_kinds: Vec<Word>,
    pub end_reasons: Vec<Word>,
    pub end_levels: Vec<Word>,
    pub thread_kinds: Vec<Word>,
    pub deny_reasons: Vec<Word>,
    pub touch_kinds: Vec<Word>,
    pub lock_modes: Vec<Word>,
    pub license_classes: Vec<Word>,
    pub lazy_untils: Vec<Word>,
    pub evicts: Vec<Word>,
    pub at_session_limits: Vec<Word>,
    pub unit_rules: Vec<Word>,
    pub application_timeouts: Vec<Word>,
}

macro_rules! list {
    ($kind:ident) => {
        $kind::ALL.iter().map(|word| Word { name: word.name().into(), code: word.code() as i32, flag: false }).collect()
    };
}

/// Every vocabulary with its numbers.
#[napi]
pub fn words() -> Words {
    Words {
        error_kinds: ErrorKind::ALL
            .iter()
            .map(|kind| Word { name: kind.name().into(), code: kind.code(), flag: false })
            .collect(),
        event_kinds: EventKind::ALL
            .iter()
            .map(|kind| Word { name: kind.name().into(), code: kind.code() as i32, flag: kind.decides() })
            .collect(),
        end_reasons: list!(EndReason),
        end_levels: list!(EndLevel),
        thread_kinds: list!(ThreadKind),
        deny_reasons: list!(DenyReason),
        touch_kinds: list!(TouchKind),
        lock_modes: list!(LockMode),
        license_classes: list!(LicenseClass),
        lazy_untils: list!(LazyUntil),
        evicts: list!(Evict),
        at_session_limits: list!(AtSessionLimit),
        unit_rules: list!(UnitRule),
        application_timeouts: list!(ApplicationTimeout),
    }
}
