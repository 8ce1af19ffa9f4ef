//! The closed vocabularies: why a session ended, how strongly, who is told, why a license was denied.

use std::fmt;

macro_rules! vocabulary {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $number:literal => $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u32)]
        #[non_exhaustive]
        pub enum $name { $($(#[$vdoc])* $variant = $number,)+ }

        impl $name {
            /// Every member, in the order of their numbers.
            pub const ALL: &'static [$name] = &[$($name::$variant,)+];

            /// The stable number.
            pub const fn code(self) -> u32 { self as u32 }

            /// The same word in every language.
            pub const fn name(self) -> &'static str {
                match self { $($name::$variant => $word,)+ }
            }

            /// The member with this word.
            pub fn from_name(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|member| member.name() == word)
            }

            /// The member with this number.
            pub fn from_code(code: u32) -> Option<Self> {
                Self::ALL.iter().copied().find(|member| member.code() == code)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(self.name()) }
        }
    };
}

vocabulary! {
    /// Why a session ended.
    EndReason {
        /// By the program: logout with end, `request_end`, `end`.
        Ended = 1 => "ended",
        /// Silent for longer than the idle timeout.
        IdleTimeout = 2 => "idle_timeout",
        /// Older than the absolute timeout.
        AbsoluteTimeout = 3 => "absolute_timeout",
        /// By an administrator, or everywhere at once for a user.
        Revoked = 4 => "revoked",
        /// Made room for another holder of a license.
        Evicted = 5 => "evicted",
        /// The token was rotated and its grace is over (seen by users of the old token only).
        Replaced = 6 => "replaced",
        /// Its parent session ended.
        ParentEnded = 7 => "parent_ended",
        /// An `on_start` callback refused.
        StartDenied = 8 => "start_denied",
        /// No license unit.
        LicenseDenied = 9 => "license_denied",
        /// Its deadline passed while no process had the table open.
        ExpiredWhileDown = 10 => "expired_while_down",
        /// The manager was closed.
        Shutdown = 11 => "shutdown",
    }
}

vocabulary! {
    /// How strongly an end is meant.
    EndLevel {
        /// Timeout, `request_end`, logout link: may be extended within the budget; callbacks afterwards.
        Request = 1 => "request",
        /// Administrator, log out all, eviction: may not be extended; callbacks afterwards.
        Force = 2 => "force",
        /// Shutdown past its grace, diagnosis: callbacks are recorded as not delivered.
        Kill = 3 => "kill",
    }
}

vocabulary! {
    /// What an event class can be told.
    EventKind {
        /// A session starts (decides).
        Start = 1 => "on_start",
        /// The deadline comes near (decides: may extend).
        Expiring = 2 => "on_expiring",
        /// The session timed out.
        Timeout = 3 => "on_timeout",
        /// The session ended.
        End = 4 => "on_end",
        /// A request names another application (decides).
        ApplicationChange = 5 => "on_application_change",
        /// A user logs in (decides).
        Login = 6 => "on_login",
        /// The user logs out (decides).
        Logout = 7 => "on_logout",
        /// A request began.
        StartRequest = 8 => "on_start_request",
        /// A request finished.
        EndRequest = 9 => "on_end_request",
        /// A creation is refused for want of a license unit; `on_end` follows. A session that lives on is told nothing: who logs
        /// in, trades, writes or takes a feature learns it by the answer, and administrators by the accounts.
        LicenseDenied = 10 => "on_license_denied",
        /// The process that a session was pinned to died.
        ContextLost = 11 => "on_context_lost",
        /// A pool runs low.
        PoolLow = 12 => "on_pool_low",
        /// A pool is exhausted.
        PoolExhausted = 13 => "on_pool_exhausted",
        /// A pool has units again.
        PoolRecovered = 14 => "on_pool_recovered",
        /// A pool entered its overdraft.
        PoolOverdraft = 15 => "on_pool_overdraft",
    }
}

impl EventKind {
    /// Whether the answer matters: the caller waits for it, at most the callback deadline.
    pub const fn decides(self) -> bool {
        matches!(self, Self::Start | Self::Expiring | Self::ApplicationChange | Self::Login | Self::Logout)
    }

    /// This kind's bit in a set of kinds.
    pub const fn bit(self) -> u32 {
        1 << (self as u32)
    }
}

vocabulary! {
    /// Which kind of thread caused an event.
    ThreadKind {
        /// A request of the session.
        Request = 1 => "request",
        /// The reaper.
        Reaper = 2 => "reaper",
        /// An administrator's call.
        Admin = 3 => "admin",
        /// Opening a table after a crash.
        Recovery = 4 => "recovery",
    }
}

vocabulary! {
    /// Why a license unit was denied.
    DenyReason {
        /// No unit is free.
        PoolExhausted = 1 => "pool_exhausted",
        /// The holder has as many connections as it may, or the client as many anonymous sessions.
        HolderLimit = 2 => "holder_limit",
        /// The holder is on the exclude list, or not on the include list.
        Excluded = 3 => "excluded",
        /// What is free is reserved for others.
        Reserved = 4 => "reserved",
    }
}

impl DenyReason {
    /// Whether the unit may be had later without a change by the caller.
    pub const fn retryable(self) -> bool {
        match self {
            Self::PoolExhausted | Self::HolderLimit | Self::Reserved => true,
            Self::Excluded => false,
        }
    }
}

vocabulary! {
    /// What a use of a session does to its idle clock.
    TouchKind {
        /// A user's activity: moves the idle deadline.
        Activity = 1 => "activity",
        /// A polling tab: does not move the idle deadline.
        Keepalive = 2 => "keepalive",
        /// A look without a trace.
        None = 3 => "none",
    }
}

vocabulary! {
    /// How a request holds its session.
    LockMode {
        /// One request at a time.
        Exclusive = 1 => "exclusive",
        /// Readers in parallel; writes are merged per key.
        Shared = 2 => "shared",
        /// No lock; writes are merged per key.
        None = 3 => "none",
    }
}

vocabulary! {
    /// How a session is charged for a license.
    LicenseClass {
        /// As a user.
        Named = 1 => "named",
        /// As a nameless visitor, with a cap of its own.
        Anonymous = 2 => "anonymous",
        /// Not before it is needed: at login, the second request, or the first write, as the application says.
        Lazy = 3 => "lazy",
        /// Not at all: system applications. They still time out.
        None = 4 => "none",
    }
}

vocabulary! {
    /// When a session of license class `lazy` takes its unit; a login before that moment takes it, too.
    LazyUntil {
        /// At the login.
        Login = 1 => "login",
        /// At the second request.
        SecondRequest = 2 => "second_request",
        /// At the first write that changes something.
        FirstWrite = 3 => "first_write",
    }
}

vocabulary! {
    /// How many units a holder with `n` sessions is charged.
    UnitRule {
        /// `n`.
        Session = 1 => "session",
        /// 1.
        User = 2 => "user",
        /// `ceil(n / step)`, step = `max_connections`.
        Staircase = 3 => "staircase",
        /// 1 up to 25, then one each, and no shrinking until 0.
        Iris = 4 => "iris",
        /// 1, and no session beyond `max_connections`.
        Hard = 5 => "hard",
    }
}

vocabulary! {
    /// Which sessions may be ended for a unit that somebody needs.
    Evict {
        /// None.
        None = 1 => "none",
        /// Anonymous ones.
        Anonymous = 2 => "anonymous",
        /// Anonymous ones first, then others.
        Any = 3 => "any",
    }
}

vocabulary! {
    /// What becomes of a login when its user has as many sessions as a holder may.
    AtSessionLimit {
        /// It is denied: `holder_limit`.
        Deny = 1 => "deny",
        /// The user's session that was created first is ended for it.
        EvictOldest = 2 => "evict_oldest",
        /// The one that has been idle longest is.
        EvictLongestIdle = 3 => "evict_longest_idle",
    }
}

vocabulary! {
    /// What happens to the timeout when a session changes its application.
    ApplicationTimeout {
        /// It stays as it is.
        Keep = 1 => "keep",
        /// It becomes the new application's.
        Adopt = 2 => "adopt",
        /// The shorter of the two.
        Min = 3 => "min",
        /// The longer of the two.
        Max = 4 => "max",
    }
}
