"""The closed vocabularies. Each member is a `str`: `event.reason == "idle_timeout"` is true, and so it prints."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class EndReason(StrEnum):
    """Why a session ended."""

    ENDED = "ended"
    """By the program: logout with end, `request_end`, `end`."""
    IDLE_TIMEOUT = "idle_timeout"
    """Silent for longer than the idle timeout."""
    ABSOLUTE_TIMEOUT = "absolute_timeout"
    """Older than the absolute timeout."""
    REVOKED = "revoked"
    """By an administrator, or everywhere at once for a user."""
    EVICTED = "evicted"
    """Made room for another holder of a license."""
    REPLACED = "replaced"
    """The token was rotated and its grace is over (seen by users of the old token only)."""
    PARENT_ENDED = "parent_ended"
    """Its parent session ended."""
    START_DENIED = "start_denied"
    """An `on_start` callback refused."""
    LICENSE_DENIED = "license_denied"
    """No license unit."""
    EXPIRED_WHILE_DOWN = "expired_while_down"
    """Its deadline passed while no process had the table open."""
    SHUTDOWN = "shutdown"
    """The manager was closed."""


class EndLevel(StrEnum):
    """How strongly an end is meant."""

    REQUEST = "request"
    """May be extended within the budget; callbacks afterwards."""
    FORCE = "force"
    """May not be extended; callbacks afterwards."""
    KILL = "kill"
    """Callbacks are recorded as not delivered."""


class EventKind(StrEnum):
    """What an event class can be told: the names of its methods."""

    START = "on_start"
    """A session starts (decides)."""
    EXPIRING = "on_expiring"
    """The deadline comes near (decides: may extend)."""
    TIMEOUT = "on_timeout"
    """The session timed out."""
    END = "on_end"
    """The session ended."""
    APPLICATION_CHANGE = "on_application_change"
    """A request names another application (decides)."""
    LOGIN = "on_login"
    """A user logs in (decides)."""
    LOGOUT = "on_logout"
    """The user logs out (decides)."""
    START_REQUEST = "on_start_request"
    """A request began."""
    END_REQUEST = "on_end_request"
    """A request finished."""
    LICENSE_DENIED = "on_license_denied"
    """No license unit for a new session."""
    CONTEXT_LOST = "on_context_lost"
    """The process that a session was pinned to died."""
    POOL_LOW = "on_pool_low"
    """A pool runs low."""
    POOL_EXHAUSTED = "on_pool_exhausted"
    """A pool is exhausted."""
    POOL_RECOVERED = "on_pool_recovered"
    """A pool has units again."""
    POOL_OVERDRAFT = "on_pool_overdraft"
    """A pool entered its overdraft."""


class ThreadKind(StrEnum):
    """Which kind of thread caused an event."""

    REQUEST = "request"
    REAPER = "reaper"
    ADMIN = "admin"
    RECOVERY = "recovery"


class DenyReason(StrEnum):
    """Why a license unit was denied."""

    POOL_EXHAUSTED = "pool_exhausted"
    """No unit is free."""
    HOLDER_LIMIT = "holder_limit"
    """The holder has as many sessions as it may."""
    EXCLUDED = "excluded"
    """The holder is on the exclude list, or not on the include list."""
    RESERVED = "reserved"
    """What is free is reserved for others."""


class TouchKind(StrEnum):
    """What a use of a session does to its idle clock."""

    ACTIVITY = "activity"
    """A user's activity: moves the idle deadline."""
    KEEPALIVE = "keepalive"
    """A polling tab: does not move the idle deadline."""
    NONE = "none"
    """A look without a trace."""


class LockMode(StrEnum):
    """How a request holds its session."""

    EXCLUSIVE = "exclusive"
    """One request at a time."""
    SHARED = "shared"
    """Readers in parallel; writes are merged per key."""
    NONE = "none"
    """No lock; writes are merged per key."""


class LicenseClass(StrEnum):
    """How a session is charged for a license."""

    NAMED = "named"
    """As a user."""
    ANONYMOUS = "anonymous"
    """As a nameless visitor, with a cap of its own."""
    LAZY = "lazy"
    """Not before it is needed: at login, the second request, or the first write, as the application says."""
    NONE = "none"
    """Not at all: system applications. They still time out."""


class LazyUntil(StrEnum):
    """When a session of license class `lazy` takes its unit; a login before that moment takes it, too."""

    LOGIN = "login"
    """At the login."""
    SECOND_REQUEST = "second_request"
    """At the second request."""
    FIRST_WRITE = "first_write"
    """At the first write that changes something."""


class Evict(StrEnum):
    """Which sessions may be ended for a unit that somebody needs."""

    NONE = "none"
    """None."""
    ANONYMOUS = "anonymous"
    """Anonymous ones."""
    ANY = "any"
    """Anonymous ones first, then others."""


class AtSessionLimit(StrEnum):
    """What becomes of a login when its user has as many sessions as a holder may."""

    DENY = "deny"
    """It is denied: `holder_limit`."""
    EVICT_OLDEST = "evict_oldest"
    """The user's session that was created first is ended for it."""
    EVICT_LONGEST_IDLE = "evict_longest_idle"
    """The one that has been idle longest is."""


class UnitRule(StrEnum):
    """How many units a holder with `n` sessions is charged."""

    SESSION = "session"
    """`n`."""
    USER = "user"
    """1."""
    STAIRCASE = "staircase"
    """`ceil(n / max_connections)`."""
    IRIS = "iris"
    """1 up to `max_connections`, then one each, and no shrinking until 0."""
    HARD = "hard"
    """1, and no session beyond `max_connections`."""


class ApplicationTimeout(StrEnum):
    """What happens to the timeout when a session changes its application."""

    KEEP = "keep"
    ADOPT = "adopt"
    MIN = "min"
    MAX = "max"


class State(StrEnum):
    """The state of a live session."""

    NEW = "new"
    """No request yet."""
    ACTIVE = "active"
    """Had a request."""


MEMBERS: Final[dict[str, dict[str, StrEnum]]] = {
    enum.__name__: {member.value: member for member in enum}
    for enum in (
        EndReason,
        EndLevel,
        EventKind,
        ThreadKind,
        DenyReason,
        TouchKind,
        LockMode,
        LicenseClass,
        LazyUntil,
        Evict,
        AtSessionLimit,
        UnitRule,
        ApplicationTimeout,
        State,
    )
}
"""Every vocabulary by name, for the native module."""
