//! The one error type. Kinds are numbered once, here, and every border derives its own from [`ErrorKind::ALL`].

use std::fmt;
use std::time::Duration;

use crate::reason::{DenyReason, EndReason};

/// What went wrong, for programs. Numbers are stable and never reused.
///
/// Positive codes are errors. The two outcomes of a look-up, [`Absent`](Self::Absent) and [`Gone`](Self::Gone), have
/// negative codes, so that a C status is always `-code`: errors negative, outcomes positive, 0 is success.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i32)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No such session. An outcome, not a defect.
    Absent = -1,
    /// The session ended; [`Error::reason`] tells why. An outcome, not a defect.
    Gone = -2,
    /// An argument is outside of its bounds; the message names the value and the bound.
    Invalid = 1,
    /// A quota of data would be exceeded; nothing was changed.
    Quota = 2,
    /// The thing to be created is there already.
    Exists = 3,
    /// A key was changed by another request since it was read; nothing was written. [`Error::keys`] names the keys.
    Conflict = 4,
    /// The session's lock was not had in time; the message names the holder.
    LockTimeout = 5,
    /// A callback refused.
    Denied = 6,
    /// No license unit; [`Error::deny_reason`] and [`Error::retry_after`] say why and when to come back.
    LicenseDenied = 7,
    /// `max_sessions` of the manager or the application is reached.
    SessionLimit = 8,
    /// The session is pinned to another process.
    WrongProcess = 9,
    /// This call makes no sense inside this callback, or callbacks are nested too deep.
    Reentrant = 10,
    /// The manager is being closed, or will be when the running callback returns.
    Closing = 11,
    /// The manager, session or request was closed.
    Closed = 12,
    /// The handle was made before a fork and is used in the child.
    Forked = 13,
    /// The handle was freed, or never was one.
    StaleHandle = 14,
    /// The outcome is not known: the store failed while it committed.
    Uncertain = 15,
    /// The store failed earlier and must be reopened.
    Poisoned = 16,
    /// A record can't be read; it was put into quarantine.
    Corrupt = 17,
    /// The store can't be reached now.
    Unavailable = 18,
    /// A deciding callback is asynchronous and was asked by a synchronous call.
    AsyncRequired = 19,
    /// A panic was caught at a border.
    Panic = 20,
    /// A defect of libsession.
    Internal = 21,
    /// The wait was cancelled by its ticket; nothing was changed.
    Cancelled = 22,
}

impl ErrorKind {
    /// Every error kind, in the order of their numbers; without the two outcomes.
    pub const ALL: [ErrorKind; 22] = [
        Self::Invalid,
        Self::Quota,
        Self::Exists,
        Self::Conflict,
        Self::LockTimeout,
        Self::Denied,
        Self::LicenseDenied,
        Self::SessionLimit,
        Self::WrongProcess,
        Self::Reentrant,
        Self::Closing,
        Self::Closed,
        Self::Forked,
        Self::StaleHandle,
        Self::Uncertain,
        Self::Poisoned,
        Self::Corrupt,
        Self::Unavailable,
        Self::AsyncRequired,
        Self::Panic,
        Self::Internal,
        Self::Cancelled,
    ];

    /// The two outcomes of a look-up that are no errors.
    pub const OUTCOMES: [ErrorKind; 2] = [Self::Absent, Self::Gone];

    /// The stable number. A C status is its negation.
    pub const fn code(self) -> i32 {
        self as i32
    }

    /// The same word in every language, e.g. `lock_timeout`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Gone => "gone",
            Self::Invalid => "invalid",
            Self::Quota => "quota",
            Self::Exists => "exists",
            Self::Conflict => "conflict",
            Self::LockTimeout => "lock_timeout",
            Self::Denied => "denied",
            Self::LicenseDenied => "license_denied",
            Self::SessionLimit => "session_limit",
            Self::WrongProcess => "wrong_process",
            Self::Reentrant => "reentrant",
            Self::Closing => "closing",
            Self::Closed => "closed",
            Self::Forked => "forked",
            Self::StaleHandle => "stale_handle",
            Self::Uncertain => "uncertain",
            Self::Poisoned => "poisoned",
            Self::Corrupt => "corrupt",
            Self::Unavailable => "unavailable",
            Self::AsyncRequired => "async_required",
            Self::Panic => "panic",
            Self::Internal => "internal",
            Self::Cancelled => "cancelled",
        }
    }

    /// One sentence for people, without context.
    pub const fn description(self) -> &'static str {
        match self {
            Self::Absent => "there is no such session",
            Self::Gone => "the session has ended",
            Self::Invalid => "an argument is outside of its bounds",
            Self::Quota => "a quota would be exceeded; nothing was changed",
            Self::Exists => "it exists already",
            Self::Conflict => "another request changed the same key; nothing was written",
            Self::LockTimeout => "the session's lock was not free in time",
            Self::Denied => "a callback refused",
            Self::LicenseDenied => "no license unit is available",
            Self::SessionLimit => "the limit of sessions is reached",
            Self::WrongProcess => "the session is pinned to another process",
            Self::Reentrant => "this call is not possible inside this callback",
            Self::Closing => "the manager is closing",
            Self::Closed => "it was closed",
            Self::Forked => "the handle was made before a fork; open a manager in the child, or use a shared store",
            Self::StaleHandle => "the handle is not, or no longer, valid",
            Self::Uncertain => "the outcome is not known: the store failed while it committed",
            Self::Poisoned => "the store failed earlier and must be reopened",
            Self::Corrupt => "the record can't be read and was put into quarantine",
            Self::Unavailable => "the store can't be reached",
            Self::AsyncRequired => "a deciding callback is asynchronous; use the asynchronous call",
            Self::Panic => "a panic was caught",
            Self::Internal => "a defect of libsession",
            Self::Cancelled => "the wait was cancelled",
        }
    }

    /// Whether the same call may succeed later without a change by the caller. An error knows it better: [`Error::retryable`].
    pub const fn retryable(self) -> bool {
        matches!(
            self,
            Self::Conflict | Self::LockTimeout | Self::LicenseDenied | Self::SessionLimit | Self::Unavailable
        )
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a call did not do what it was asked for. Never holds a token, key or data value.
#[derive(Clone, PartialEq, Eq)]
pub struct Error(Box<Inner>);

#[derive(Clone, PartialEq, Eq)]
struct Inner {
    kind: ErrorKind,
    message: String,
    reason: Option<EndReason>,
    deny: Option<(DenyReason, Option<Duration>)>,
    keys: Vec<String>,
}

/// The result of everything that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of a kind with what was wrong, with which value, and what to do.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), reason: None, deny: None, keys: Vec::new() }))
    }

    /// An argument out of bounds.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// The session ended for `reason`.
    pub fn gone(reason: EndReason) -> Self {
        let mut error = Self::new(ErrorKind::Gone, format!("the session has ended: {}", reason.name()));
        error.0.reason = Some(reason);
        error
    }

    /// There is no such session.
    pub fn absent() -> Self {
        Self::new(ErrorKind::Absent, "there is no such session")
    }

    /// A key was changed by another request.
    pub fn conflict(keys: Vec<String>) -> Self {
        let mut error = Self::new(
            ErrorKind::Conflict,
            format!("changed by another request since it was read: {}; nothing was written", keys.join(", ")),
        );
        error.0.keys = keys;
        error
    }

    /// No license unit.
    pub fn license_denied(pool: &str, reason: DenyReason, retry_after: Option<Duration>) -> Self {
        let why = match reason {
            DenyReason::PoolExhausted => "all that may be had are in use",
            DenyReason::HolderLimit => "its holder has as many sessions as the pool allows",
            DenyReason::Excluded => "the pool's lists keep its user out",
            DenyReason::Reserved => "those that are free are kept for others",
        };
        let mut error =
            Self::new(ErrorKind::LicenseDenied, format!("no license unit of pool '{pool}': {} ({why})", reason.name()));
        error.0.deny = Some((reason, retry_after));
        error
    }

    /// The same, saying more.
    pub(crate) fn because(mut self, more: &str) -> Self {
        self.0.message.push_str(": ");
        self.0.message.push_str(more);
        self
    }

    /// A denied license with the time after which a try may be worth while.
    pub(crate) fn retry_after_is(mut self, after: Option<Duration>) -> Self {
        if let Some((_, retry_after)) = &mut self.0.deny {
            *retry_after = after;
        }
        self
    }

    /// The kind, for programs.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What was wrong, with which value, and what to do: for people.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Why the session ended, if the kind is [`ErrorKind::Gone`].
    pub fn reason(&self) -> Option<EndReason> {
        self.0.reason
    }

    /// Why the license was denied, if the kind is [`ErrorKind::LicenseDenied`].
    pub fn deny_reason(&self) -> Option<DenyReason> {
        self.0.deny.as_ref().map(|deny| deny.0)
    }

    /// If the kind is [`ErrorKind::LicenseDenied`]: when the same call would get in if only time passed, not earlier and not
    /// later; at least a second. `None` if nothing comes back by itself, and for other reasons than that there are no units.
    ///
    /// Sessions are taken to end unused, and a request in flight to count as finished after `max_request`; what lingers is free
    /// or may be reclaimed, and sessions may be evicted, as the pool says. Who asks stays. Those who wait come first and keep
    /// what they get, or give up when their time is over; only the first 1,024 of them are counted, and where they wait for
    /// somebody to be evicted it may take seconds longer. Whoever uses what it has makes it later, and whoever ends or returns
    /// something sooner. What happened in the last 100 ms may not be counted in.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.deny.as_ref().and_then(|deny| deny.1)
    }

    /// The first subscripts in conflict, if the kind is [`ErrorKind::Conflict`].
    pub fn keys(&self) -> &[String] {
        &self.0.keys
    }

    /// Whether the same call may succeed later without a change by the caller: as the kind says, but not where a license is denied for
    /// a reason that no time changes.
    pub fn retryable(&self) -> bool {
        self.0.kind.retryable() && self.deny_reason().is_none_or(DenyReason::retryable)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.kind.name(), self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_numbered_from_one_without_gaps() {
        for (index, kind) in ErrorKind::ALL.iter().enumerate() {
            assert_eq!(kind.code(), index as i32 + 1, "{kind}");
        }
    }

    #[test]
    fn who_is_kept_out_need_not_come_again() {
        let denied = |reason| Error::license_denied("main", reason, None).retryable();
        let retryable: Vec<bool> = DenyReason::ALL.iter().map(|reason| denied(*reason)).collect();
        assert_eq!(retryable, [true, true, false, true]);
        assert!(ErrorKind::LicenseDenied.retryable() && !Error::invalid("").retryable());
    }

    #[test]
    fn an_error_never_needs_more_than_one_word_on_the_stack() {
        assert_eq!(std::mem::size_of::<Error>(), std::mem::size_of::<usize>());
    }
}
