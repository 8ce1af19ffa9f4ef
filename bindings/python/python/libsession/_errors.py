"""The exceptions: one class for each error kind, named and numbered as in every other language."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar, Final

from ._words import DenyReason, EndReason


class SessionError(Exception):
    """Whatever libsession raises about sessions. Never holds a token, key or data value."""

    kind: ClassVar[str] = ""
    """The word of the error kind, the same in every language."""
    code: ClassVar[int] = 0
    """Its stable number; a C status is its negation."""
    retryable: bool = False
    """Whether the same call may succeed later without a change by the caller: not where a license is denied for a reason that no
    time changes (`excluded`)."""

    def __init__(self, message: str = "", *details: object) -> None:
        super().__init__(message, *details)
        self.message: str = message
        """What was wrong, with which value, and what to do: for people."""

    def __str__(self) -> str:
        return self.message


class Absent(SessionError, KeyError):
    """There is no such session, or what was presented is no token."""

    kind = "absent"
    code = -1


class Gone(SessionError):
    """The session has ended."""

    kind = "gone"
    code = -2

    def __init__(self, message: str = "", reason: EndReason | None = None) -> None:
        super().__init__(message, reason)
        self.reason: EndReason | None = reason
        """Why it ended."""


class Invalid(SessionError, ValueError):
    """An argument is outside of its bounds; the message names the value and the bound. Nothing was changed."""

    kind = "invalid"
    code = 1


class QuotaExceeded(SessionError):
    """A quota of data would be exceeded; nothing was changed."""

    kind = "quota"
    code = 2


class Exists(SessionError):
    """The thing to be created is there already."""

    kind = "exists"
    code = 3


class Conflict(SessionError):
    """A key was changed by another request since it was read; nothing was written."""

    kind = "conflict"
    code = 4
    retryable = True

    def __init__(self, message: str = "", keys: tuple[str, ...] = ()) -> None:
        super().__init__(message, keys)
        self.keys: tuple[str, ...] = keys
        """The first subscripts that were changed."""


class LockTimeout(SessionError, TimeoutError):
    """The session's lock was not free in time; on the thread of a running event loop a synchronous call never waits."""

    kind = "lock_timeout"
    code = 5
    retryable = True


class Denied(SessionError):
    """A callback refused."""

    kind = "denied"
    code = 6


class LicenseDenied(SessionError):
    """No license unit is available."""

    kind = "license_denied"
    code = 7
    retryable = True

    def __init__(
        self, message: str = "", reason: DenyReason | None = None, retry_after: timedelta | None = None
    ) -> None:
        super().__init__(message, reason, retry_after)
        self.reason: DenyReason | None = reason
        """Why it was denied."""
        self.retry_after: timedelta | None = retry_after
        """When the same call would get in if only time passed, at least a second; None if nothing comes back by itself.

        Sessions are taken to end unused, and requests in flight to be over after ``max_request``. Who asks stays; those who
        wait come first and keep what they get, or give up when their time is over (the first 1,024 are counted). Whoever uses
        what it has makes it later, whoever ends or returns something sooner. What happened in the last 100 ms may not be
        counted in.
        """


class SessionLimit(SessionError):
    """`max_sessions` of the manager or the application is reached."""

    kind = "session_limit"
    code = 8
    retryable = True


class WrongProcess(SessionError):
    """The session is pinned to another process."""

    kind = "wrong_process"
    code = 9


class Reentrant(SessionError):
    """This call makes no sense inside this callback, or callbacks are nested too deep."""

    kind = "reentrant"
    code = 10


class Closing(SessionError):
    """The manager is being closed, or will be when the running callback returns."""

    kind = "closing"
    code = 11


class Closed(SessionError):
    """The manager or the request was closed."""

    kind = "closed"
    code = 12


class Forked(SessionError):
    """The session, or the manager on the memory table, was made before a fork and is used in the child."""

    kind = "forked"
    code = 13


class StaleHandle(SessionError):
    """The handle is not, or no longer, valid."""

    kind = "stale_handle"
    code = 14


class StoreError(SessionError):
    """The store failed."""


class Uncertain(StoreError):
    """The outcome is not known: the store failed while it committed."""

    kind = "uncertain"
    code = 15


class Poisoned(StoreError):
    """The store failed earlier and must be reopened."""

    kind = "poisoned"
    code = 16


class Corrupt(StoreError):
    """The record can't be read and was put into quarantine."""

    kind = "corrupt"
    code = 17


class Unavailable(StoreError):
    """The store can't be reached."""

    kind = "unavailable"
    code = 18
    retryable = True


class AsyncRequired(SessionError):
    """A deciding callback is asynchronous; use the asynchronous call."""

    kind = "async_required"
    code = 19


class InternalError(SessionError):
    """A defect of libsession."""

    kind = "internal"
    code = 21


class PanicError(InternalError):
    """A panic was caught at the border; the manager stays usable."""

    kind = "panic"
    code = 20


class Cancelled(SessionError):
    """The wait was cancelled by its ticket; nothing was changed."""

    kind = "cancelled"
    code = 22


BY_CODE: Final[dict[int, type[SessionError]]] = {
    error.code: error
    for error in (
        Absent,
        Gone,
        Invalid,
        QuotaExceeded,
        Exists,
        Conflict,
        LockTimeout,
        Denied,
        LicenseDenied,
        SessionLimit,
        WrongProcess,
        Reentrant,
        Closing,
        Closed,
        Forked,
        StaleHandle,
        Uncertain,
        Poisoned,
        Corrupt,
        Unavailable,
        AsyncRequired,
        PanicError,
        InternalError,
        Cancelled,
    )
}
"""Every class by its number, for the native module."""
