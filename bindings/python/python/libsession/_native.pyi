"""The native module; `libsession` re-exports what is public."""

from collections.abc import Awaitable, Coroutine, ItemsView, Iterable, Iterator, KeysView, Mapping, MutableMapping, ValuesView
from datetime import datetime, timedelta
from decimal import Decimal
from types import EllipsisType, TracebackType
from typing import Any, Literal, Self, TypeAlias, final, overload

from typing_extensions import disjoint_base

from ._config import Duration, Timeout
from ._events import Missing
from ._records import (
    Audit,
    AuditRecord,
    Client,
    CloseReport,
    DeadLetter,
    Explain,
    Extension,
    Feature,
    LogEntry,
    Login,
    Logout,
    Page,
    PoolState,
    Progress,
    Receipt,
    SessionInfo,
    Stats,
    HighWater,
    UnitExplain,
    Usage,
    Waiter,
)
from ._words import EndLevel, EndReason, EventKind, LicenseClass, LockMode, ThreadKind, TouchKind

__all__ = [
    "ManualClock",
    "Event",
    "_panic",
    "_callback_threads",
    "_set_log_level",
    "Created",
    "Manager",
    "_forked",
    "_stop",
    "Session",
    "Ticket",
    "vocabularies",
    "__version__",
]

__version__: str

_Subscript: TypeAlias = str | int | float | Decimal
_Path: TypeAlias = _Subscript | tuple[_Subscript, ...] | list[_Subscript]
_Touch: TypeAlias = TouchKind | Literal["activity", "keepalive", "none"] | None
_Lock: TypeAlias = LockMode | Literal["exclusive", "shared", "none"] | None
_Class: TypeAlias = LicenseClass | Literal["named", "anonymous", "lazy", "none"] | None
_Tree: TypeAlias = Mapping[Any, Any] | Iterable[tuple[Any, Any]]

def vocabularies() -> dict[str, dict[str, int]]: ...
def _set_log_level(level: int) -> None: ...
def _stop() -> None: ...
def _forked() -> None: ...
def _panic() -> None: ...
def _callback_threads() -> list[int]: ...

@disjoint_base
class ManualClock:
    def __new__(cls) -> Self: ...
    @property
    def now_ms(self) -> int:
        """Engine time in milliseconds."""

    @property
    def wall_ms(self) -> int:
        """Wall time in milliseconds since 1970."""

    def set_settle(self, settle: Duration) -> None:
        """How long `advance` waits, in real time, for started callbacks to return: 1 s by default."""

    def hang(self) -> None:
        """Inside a callback: it is going to hang; `advance` does not wait for it in real time."""

    def _advance(self, by: Duration) -> int: ...
    def _suspend(self, by: Duration) -> None: ...
    def _set_wall(self, unix_ms: int) -> None: ...

@final
class Created:
    """A session that was made."""

    @property
    def id(self) -> str:
        """The public handle, 22 characters."""

    @property
    def token(self) -> str:
        """The secret for the client, 40 characters."""

@final
class Event:
    """What happened, to which session, and why. A snapshot: it outlives its session."""

    @property
    def kind(self) -> EventKind: ...
    @property
    def event_id(self) -> int:
        """The same in every redelivery of the same event."""

    @property
    def session_id(self) -> str: ...
    @property
    def application(self) -> str:
        """The session's application; for `on_application_change` the new one."""

    @property
    def old_application(self) -> str | None:
        """For `on_application_change`: the application it leaves."""

    @property
    def namespace(self) -> str: ...
    @property
    def user(self) -> str | None:
        """The user; for `on_login` the new one."""

    @property
    def old_user(self) -> str | None:
        """For `on_login` and `on_logout`: the user before."""

    @property
    def reason(self) -> EndReason | None:
        """Why it ended, if it did or is about to."""

    @property
    def level(self) -> EndLevel | None: ...
    @property
    def thread(self) -> ThreadKind:
        """Which kind of thread caused it."""

    @property
    def remaining(self) -> timedelta | None:
        """For `on_expiring`: time until the deadline."""

    @property
    def pool(self) -> PoolState | None:
        """For pool events and `on_license_denied`."""

    @property
    def at_ms(self) -> int:
        """Engine time at which it happened."""

    @property
    def at(self) -> datetime:
        """Wall time at which it happened, UTC."""

    @property
    def attempt(self) -> int:
        """1 for the first delivery."""

    @property
    def redelivered(self) -> bool: ...
    @property
    def time_left(self) -> timedelta:
        """Time until the callback's deadline."""

    @property
    def data(self) -> Mapping[Any, Any]:
        """The session's data as they were, read-only nested dicts. Raises `Corrupt` if they can't be read."""

    def get(self, path: _Path, default: Any = None) -> Any:
        """The value at a path, or the default."""

    def entries(self) -> list[tuple[tuple[Any, ...], Any]]:
        """Every node of the data as `(path, value)`, in collation order."""

    @property
    def session(self) -> Session | None:
        """For deciders: the request or draft they act under; what they set is the request's."""

    @property
    def license_class(self) -> LicenseClass | None:
        """In `on_start`: charges the session under another license class than its application's."""

    @license_class.setter
    def license_class(self, value: LicenseClass | Literal["named", "anonymous", "lazy", "none"]) -> None: ...
    @property
    def end_session(self) -> bool:
        """In a `compat_veto` class at the asking point: False asks for an extension. Elsewhere without effect."""

    @end_session.setter
    def end_session(self, value: bool) -> None: ...
    def hang(self) -> None:
        """For tests under a manual clock: this callback is going to hang; don't wait for it in real time."""

@final
class Session(MutableMapping[str, Any]):
    """A request in flight: a context manager, and a mapping of the session's data.

    Keys are the first subscripts that are texts; a tuple is a path into the tree. Lists and dicts write through. It reads
    committed data under its own writes, which commit together at `finish` (the end of `with`), `save` or `unlock`.
    Once its session ended every call raises `Gone`, after `finish` `Closed`. Threads: any; its calls are serialised.
    """

    @property
    def id(self) -> str:
        """The session's public handle, 22 characters."""

    @property
    def token(self) -> str:
        """The secret of the client: the one this request began with, or the newest it rotated to."""

    @property
    def is_new(self) -> bool:
        """Whether this is the session's first request. True for exactly one."""

    @property
    def application(self) -> str: ...
    @property
    def user(self) -> str | None:
        """The user, if one is logged in."""

    @property
    def license_holder(self) -> str | None:
        """Who is charged for the session's license, if anybody."""

    def info(self) -> SessionInfo:
        """The session as it is now."""

    @property
    def idle_timeout(self) -> timedelta | None:
        """Longest silence: settable, effective at once, counted from the last use; None or 0 is never."""

    @idle_timeout.setter
    def idle_timeout(self, value: Timeout) -> None: ...
    @property
    def absolute_timeout(self) -> timedelta | None:
        """Longest life: settable to an earlier one only, else `Invalid`."""

    @absolute_timeout.setter
    def absolute_timeout(self, value: Duration) -> None: ...

    # scope
    def finish(self) -> None:
        """Commits and ends the request. Raises `Conflict` or `QuotaExceeded`: nothing is written, it ends all the same."""

    def save(self) -> None:
        """Commits the writes so far."""

    def discard(self) -> None:
        """Drops the writes so far."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...
    def __aenter__(self) -> Awaitable[Self]: ...
    def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> Awaitable[None]: ...

    # lock
    def unlock(self, save: bool = True) -> None:
        """Frees the lock early; with `save` it commits first."""

    def lock(self, mode: _Lock = None, timeout: Duration | None = None) -> None:
        """Takes the lock again, by default `exclusive`; waits up to `timeout` (default the manager's).

        Raises `LockTimeout`, at once on the thread of a running event loop. Ctrl-C ends the wait.
        """

    def alock(self, mode: _Lock = None, timeout: Duration | None = None) -> Coroutine[Any, Any, None]:
        """As `lock`, a coroutine. When its task is cancelled, the request has the lock that it had before, or none."""

    @property
    def lock_mode(self) -> LockMode | None:
        """The lock this request holds now."""

    # life
    def request_end(self, end: bool = True) -> None:
        """Ends the session when its last request in flight finishes; False takes it back."""

    @overload
    def end(
        self,
        *,
        level: Literal["force", "kill"] | None = None,
        reason: EndReason | str | None = None,
        actor: str | None = None,
        note: str | None = None,
        wait: Duration | None = None,
    ) -> Receipt: ...
    @overload
    def end(
        self,
        *,
        level: EndLevel | Literal["request", "force", "kill"] | None = None,
        reason: EndReason | str | None = None,
        actor: str | None = None,
        note: str | None = None,
        wait: Duration | None = None,
    ) -> Receipt | Extension:
        """Ends the session now; this request is over with it. Raises `Absent`."""

    def rotate(self) -> str:
        """A new token for the same session; the old one works for the grace."""

    def login(
        self,
        user: str,
        *,
        groups: Iterable[str] | None = None,
        wait: Duration | None = None,
        priority: int | None = None,
        ticket: Ticket | None = None,
    ) -> Login:
        """The host has authenticated `user`: asks `on_login`, then changes user and holder and rotates the token.

        `groups` are those that the user belongs to, at most 256: reservations and lists of a pool may name them. None: none are
        given, and the manager's group resolver is asked where they matter, if there is one; if it fails, `Denied` is raised and
        nothing changed.

        `wait`, `priority`, `ticket` as in `Manager.create`: when the time is over it does what it would without a wait.

        Raises `Denied` if a callback refuses, `Cancelled`, `Invalid`; nothing changed.
        """

    def alogin(
        self,
        user: str,
        *,
        groups: Iterable[str] | None = None,
        wait: Duration | None = None,
        priority: int | None = None,
        ticket: Ticket | None = None,
    ) -> Coroutine[Any, Any, Login]:
        """As `login`, a coroutine; asynchronous callbacks are awaited.

        A task that is cancelled while it awaits this leaves no place. A login that was done at that moment stands, though the task
        hears of the cancelling only: `user` and `token` tell.
        """

    def trade(
        self,
        *,
        groups: Iterable[str] | None = None,
        wait: Duration | None = None,
        priority: int | None = None,
        ticket: Ticket | None = None,
    ) -> None:
        """Tries the license trade again after a login whose trade was denied. Raises `LicenseDenied`.

        `groups` as in `login`: they are not remembered from there. `wait`, `priority`, `ticket` as in `Manager.create`.
        """

    def atrade(
        self,
        *,
        groups: Iterable[str] | None = None,
        wait: Duration | None = None,
        priority: int | None = None,
        ticket: Ticket | None = None,
    ) -> Coroutine[Any, Any, None]:
        """As `trade`, a coroutine. When its task is cancelled: as `alogin`; `license_holder` tells."""

    def take_feature(
        self,
        pool: str,
        count: int | None = None,
        *,
        groups: Iterable[str] | None = None,
        wait: Duration | None = None,
        priority: int | None = None,
        ticket: Ticket | None = None,
    ) -> None:
        """Takes a feature: units of a pool beside the session's license, 1 (the default) to 1000 at once, all or none.

        They are charged to the user who is logged in now, or else to the session, until they are returned or the session
        ends, however that ends. `groups` as in `login`. At most 64 features a session.
        `wait`, `priority`, `ticket` as in `Manager.create`.

        Raises `LicenseDenied`, `Cancelled`, `Invalid`; nothing changed.
        """

    def atake_feature(
        self,
        pool: str,
        count: int | None = None,
        *,
        groups: Iterable[str] | None = None,
        wait: Duration | None = None,
        priority: int | None = None,
        ticket: Ticket | None = None,
    ) -> Coroutine[Any, Any, None]:
        """As `take_feature`, a coroutine.

        A task that is cancelled while it awaits this leaves no place, and returns the feature if it was just taken.
        """

    def return_feature(self, pool: str, count: int | None = None) -> int:
        """Returns a feature so often (default 1), or as often as it is taken, what was taken last first. Tells how often."""

    def features(self) -> tuple[Feature, ...]:
        """The features that the session has taken, in the order taken."""

    def logout(self, force: bool = False) -> Logout:
        """The user leaves; the session lives on under a new token. Raises `Denied` by `on_logout`, unless `force`."""

    def alogout(self, force: bool = False) -> Coroutine[Any, Any, Logout]:
        """As `logout`, a coroutine; asynchronous callbacks are awaited. A logout that was done stands when its task is cancelled."""

    # event classes and attachments
    def event_class_add(self, name: str, namespace: str | None = None) -> None:
        """Puts an event class to the front of the session's list, once."""

    def event_class_remove(self, name: str | None = None, namespace: str | None = None) -> bool:
        """Removes an event class, without a name all of the namespace; tells whether it was there."""

    def event_class_exists(self, name: str, namespace: str | None = None) -> bool:
        """Whether the session lists it."""

    def event_class_list(self) -> list[tuple[str, str]]:
        """The session's event classes as (namespace, name), first called first."""

    def event_class_clear(self) -> None:
        """Empties the list."""

    @property
    def event_class(self) -> str:
        """The first event class of the list, or "". Setting adds it if it is absent; "" has no effect."""

    @event_class.setter
    def event_class(self, value: str) -> None: ...
    def attach(self, name: str, object: Any) -> Any:
        """Keeps an object with the session, in this process; returns the one before, or None."""

    def attachment(self, name: str) -> Any:
        """The object under this name, or None."""

    def detach(self, name: str) -> Any:
        """Takes the object away from the session."""

    # data: the mapping
    def __getitem__(self, key: _Path, /) -> Any: ...
    def __setitem__(self, key: _Path, value: Any, /) -> None: ...
    def __delitem__(self, key: _Path, /) -> None: ...
    def __contains__(self, key: object, /) -> bool: ...
    def __len__(self) -> int: ...
    def __bool__(self) -> bool: ...
    def __iter__(self) -> Iterator[str]: ...
    def __eq__(self, value: object, /) -> bool: ...
    __hash__: None  # type: ignore[assignment] # pyright: ignore[reportIncompatibleMethodOverride]
    def __ior__(self, value: _Tree, /) -> Self: ...
    def keys(self) -> KeysView[str]: ...
    def values(self) -> ValuesView[Any]: ...
    def items(self) -> ItemsView[str, Any]: ...
    def pop(self, path: _Path, default: Any = ...) -> Any: ...
    def popitem(self) -> tuple[str, Any]: ...
    def setdefault(self, path: _Path, default: Any = None) -> Any: ...
    def clear(self) -> None: ...

    # data: the tree
    def get(self, path: _Path, default: Any = None) -> Any:
        """The value at a path, or the default."""

    def get_versioned(self, path: _Path, default: Any = None) -> tuple[Any, int]:
        """The value, and the version of its first subscript: a later write to it raises `Conflict` if that moved."""

    def expect_version(self, key: _Subscript, version: int) -> None:
        """The commit raises `Conflict` if the first subscript is not at this version then."""

    def set(self, path: _Path, value: Any) -> None:
        """Sets the value at a path. Raises `QuotaExceeded`, `Invalid`; nothing changed."""

    def kill(self, path: _Path | None = None) -> bool:
        """Removes a subtree, of the empty path everything; tells whether there was something."""

    def defined(self, path: _Path) -> int:
        """`$DATA`: 0 nothing, 1 a value, 10 children, 11 both."""

    def next(self, path: _Path | None = None, after: _Subscript | None = None, *, backward: bool = False) -> Any:
        """`$ORDER`: the subscript below `path` that follows `after`, or None."""

    def merge(self, path: _Path, tree: _Tree) -> None:
        """Lays a tree, a mapping of paths or pairs of path and value, over the subtree at `path`; deletes nothing."""

    def entries(self, path: _Path | None = None) -> list[tuple[tuple[Any, ...], Any]]:
        """Every node below `path` as `(path, value)`, the paths relative to it, in collation order."""

    def as_dict(self) -> dict[Any, Any]:
        """Everything as nested dicts: a copy."""

    def count(self) -> int:
        """Nodes that have a value."""

    def bytes_used(self) -> int:
        """Bytes of the data with this request's writes, as quotas count them."""

    def compare_and_set(self, path: _Path, expected: Any | Missing, new: Any | Missing) -> None:
        """Sets a value if it is `expected` now; commits at once, apart from other writes. `MISSING` is no value.

        Raises `Conflict` if it is not.
        """

    def _write(self, path: tuple[Any, ...], object: Any) -> bool: ...
    def _read(self, path: tuple[Any, ...]) -> Any: ...

@final
class Ticket:
    """Stands for one wait in the queue of a pool: tells the position, and cancels, from any thread.

    It serves one wait after the other; of two at once it knows the later one.
    """

    def __new__(cls) -> Self: ...
    def cancel(self) -> None:
        """Cancels the wait, which then raises `Cancelled`; one that has not begun yet does so as soon as it would wait.

        A wait whose units are being given at this moment may still succeed.
        """

    @property
    def position(self) -> int | None:
        """How many come first, plus one; None if nothing waits with this ticket."""

    @property
    def waits(self) -> bool:
        """Whether a call waits with this ticket now."""

@disjoint_base
class Manager:
    def __new__(cls, options: dict[str, Any]) -> Self: ...
    def create(
        self,
        application: str | None = None,
        *,
        client: Client | None = None,
        data: Mapping[str, Any] | None = None,
        license_class: _Class = None,
        idle_timeout: Timeout | EllipsisType = ...,
        absolute_timeout: Duration | None = None,
        wait: Duration | None = None,
        priority: int | None = None,
        ticket: Ticket | None = None,
    ) -> Created:
        """Makes a session; starts no request. A refused creation leaves nothing behind.

        Where there is no license unit it waits for one, at most `wait` (a timedelta or seconds on the manager's clock; none is not
        at all), in the queue of the pool, in the order of `priority` (-9 to 9, higher first, default 0), then of coming. Other
        threads run meanwhile; a signal handler that raises ends the wait, and so does `ticket.cancel()`. On an event loop's
        thread it does not wait: use `acreate`.

        Raises `Denied` (by `on_start`), `LicenseDenied`, `Cancelled`, `SessionLimit`, `Invalid`, `QuotaExceeded`.
        """

    def acreate(
        self,
        application: str | None = None,
        *,
        client: Client | None = None,
        data: Mapping[str, Any] | None = None,
        license_class: _Class = None,
        idle_timeout: Timeout | EllipsisType = ...,
        absolute_timeout: Duration | None = None,
        wait: Duration | None = None,
        priority: int | None = None,
        ticket: Ticket | None = None,
    ) -> Coroutine[Any, Any, Created]:
        """As `create`, a coroutine: it begins when it is awaited. Asynchronous `on_start` callbacks are awaited.

        A task that is cancelled while it awaits this leaves no place and no session: one that was just made is ended.
        """

    def begin_new(
        self,
        application: str | None = None,
        *,
        client: Client | None = None,
        data: Mapping[str, Any] | None = None,
        license_class: _Class = None,
        idle_timeout: Timeout | EllipsisType = ...,
        absolute_timeout: Duration | None = None,
        touch: _Touch = None,
        lock: _Lock = None,
        wait: Duration | None = None,
        priority: int | None = None,
        ticket: Ticket | None = None,
    ) -> Session:
        """Makes a session and begins its first request, in one step: what servers use."""

    def begin(
        self,
        token: str,
        *,
        touch: _Touch = None,
        lock: _Lock = None,
        lock_timeout: Duration | None = None,
        application: str | None = None,
    ) -> Session:
        """Begins a request of the session that this token opens; `with` finishes it.

        Waits for the lock up to `lock_timeout` (default the manager's, 30 s; 0 does not wait); Ctrl-C ends the wait. On
        the thread of a running event loop it never waits: use `abegin` there.
        Raises `Absent`, `Gone` (with its reason), `LockTimeout`, `Denied` (application change), `Reentrant`, `Corrupt`.
        """

    def touch(self, token: str, kind: _Touch = None) -> timedelta | None:
        """Uses a session without a request; returns the time until its deadline, None if it has none.

        `kind` `none` only looks. Raises `Absent`, `Gone`.
        """

    def id_of(self, token: str) -> str | None:
        """The public id of the live session that this token opens, or None: a peek."""

    @overload
    def end(
        self,
        id: str,
        *,
        level: Literal["force", "kill"] | None = None,
        reason: EndReason | str | None = None,
        actor: str | None = None,
        note: str | None = None,
        wait: Duration | None = None,
    ) -> Receipt: ...
    @overload
    def end(
        self,
        id: str,
        *,
        level: EndLevel | Literal["request", "force", "kill"] | None = None,
        reason: EndReason | str | None = None,
        actor: str | None = None,
        note: str | None = None,
        wait: Duration | None = None,
    ) -> Receipt | Extension:
        """Ends a session by its public id; never waits for requests in flight.

        `level` is by default `force`, `reason` `ended`. With `wait` the callbacks are waited for, at most that long, and
        the receipt tells how they went. A session that had ended gives the receipt of that. Raises `Absent`.
        """

    @overload
    def aend(
        self,
        id: str,
        *,
        level: Literal["force", "kill"] | None = None,
        reason: EndReason | str | None = None,
        actor: str | None = None,
        note: str | None = None,
        wait: Duration | None = None,
    ) -> Coroutine[Any, Any, Receipt]: ...
    @overload
    def aend(
        self,
        id: str,
        *,
        level: EndLevel | Literal["request", "force", "kill"] | None = None,
        reason: EndReason | str | None = None,
        actor: str | None = None,
        note: str | None = None,
        wait: Duration | None = None,
    ) -> Coroutine[Any, Any, Receipt | Extension]:
        """As `end`, a coroutine. A session that was ended when the task is cancelled stays so."""

    def set_idle_timeout(self, id: str, value: Timeout) -> bool:
        """Sets the idle timeout of one session by its public id; False if it is not live."""

    def set_absolute_timeout(self, id: str, value: Duration) -> bool:
        """Sets the absolute timeout of one session by its public id, only earlier; False if it is not live."""

    def unregister(self, name: str, namespace: str = "") -> bool:
        """Unregisters an event class; returns when none of its callbacks runs any more; tells whether it was there.

        Raises `Reentrant` inside one of its callbacks.
        """

    def count(self) -> int:
        """Live sessions."""

    def explain(self, id: str) -> Explain | None:
        """Everything about one session, live or ended; None if unknown."""

    def stats(self) -> Stats:
        """Counters and health."""

    def check(self) -> list[str]:
        """Recounts everything; each violation of an invariant in words. Always empty."""

    def usage(self, pool: str) -> Usage:
        """The use of a license pool. Raises `Invalid` for an unknown one."""

    def queue(self, pool: str, *, skip: int = 0, limit: int = 1000) -> list[Waiter]:
        """Those who wait for units of a pool, after the first `skip`, at most `limit` (1 or more), in the order of their
        turns.

        Raises `Invalid` for an unknown pool.
        """

    def explain_unit(self, pool: str, holder: str) -> UnitExplain | None:
        """Why a holder (a user, or a session's id) has units of a pool, and when they come back. None: it has none.

        Looks at all sessions. Raises `Invalid` for an unknown pool.
        """

    def pools(self) -> list[str]:
        """The names of the license pools."""

    def _pool(self, pool: str) -> str: ...
    def _change_pool(self, pool: str, options: dict[str, Any], actor: str | None) -> str: ...
    def _pool_differences(self) -> list[tuple[str, str, str, str]]: ...
    def _export_accounts(self, pool: str, after: int, limit: int) -> tuple[str, int, int]: ...
    def high_water(self, pool: str, reader: str) -> HighWater:
        """The most units of a pool in use since this reader reset its mark, ever if it did not, and when that was.

        A reader is a name of 1 to 64 bytes.
        """

    def reset_high_water(self, pool: str, reader: str) -> None:
        """Has a reader's mark begin anew with what is in use now; other readers' and the usage's stay.

        Raises `Invalid` if 64 other readers have marks.
        """

    def forget_high_water(self, pool: str, reader: str) -> bool:
        """Forgets a reader's mark; tells whether there was one."""

    def audit(self, pool: str) -> Audit:
        """A recount of a pool from first principles beside its counters."""

    def audit_records(self, pool: str, *, after: int = 0, limit: int = 1000) -> list[AuditRecord]:
        """Accounts of a pool after a position, at most `limit` (1 or more)."""

    def lifecycle(self, *, after: int = 0, limit: int = 1000) -> list[LogEntry]:
        """The lifecycle log after a position, at most `limit` (1 or more)."""

    def dead_letters(self, *, after: int = 0, limit: int = 1000) -> list[DeadLetter]:
        """Deliveries that did not succeed, after a position, at most `limit` (1 or more)."""

    def redeliver(self, id: int | None = None) -> int:
        """Delivers a dead letter again, without an id all; tells how many."""

    def reap_now(self) -> int:
        """Ends what is due now, in the calling thread; tells how many sessions."""

    def drain(self, timeout: Duration | None = None) -> bool:
        """Waits in real time (default 5 s) until every callback is delivered; tells whether that was reached."""

    def tick(self) -> timedelta | None:
        """With `threads=False`: does what is due; returns the time until the next thing is, or None."""

    def dispatch(self, max: int = 100, timeout: Duration | None = None) -> int:
        """With `dispatch="poll"`: delivers at most `max` events here, waits up to `timeout` for the first."""

    def set_wake(self, wake: Any) -> None:
        """With `dispatch="poll"`: a callable, called when there is something to dispatch; None for none."""

    def damage(self, id: str) -> bool:
        """For tests (manual clock, or `debug`): makes a session's data unreadable; False if it is not live."""

    def stall_reaper(self, stall: bool) -> None:
        """For tests (manual clock, or `debug`): stalls the reaper thread until False."""

    def close(self, grace: Duration | None = None) -> CloseReport:
        """Ends every session with `shutdown`, delivers callbacks within the grace (default 5 s), stops the threads.

        A second close returns the first one's report. Inside a callback it is deferred. Later calls raise `Closed`.
        """

    @property
    def is_closed(self) -> bool: ...
    def _abegin(
        self, token: str, touch: _Touch, lock: _Lock, lock_timeout: Duration | None, application: str | None
    ) -> Coroutine[Any, Any, Session]: ...
    def _abegin_new(
        self,
        application: str | None,
        client: Client | None,
        data: Mapping[str, Any] | None,
        license_class: _Class,
        idle_timeout: Timeout | EllipsisType,
        absolute_timeout: Duration | None,
        touch: _Touch,
        lock: _Lock,
        wait: Duration | None,
        priority: int | None,
        ticket: Ticket | None,
    ) -> Coroutine[Any, Any, Session]: ...
    def _end_where(
        self,
        filter: dict[str, Any],
        level: str,
        reason: str,
        actor: str | None,
        note: str | None,
        cursor: int,
        limit: int,
    ) -> Progress: ...
    def _set_idle_timeout_where(self, filter: dict[str, Any], value: Timeout, cursor: int, limit: int) -> Progress: ...
    def _list(self, which: dict[str, Any], cursor: int, limit: int) -> Page: ...
    def _register(
        self,
        name: str,
        namespace: str,
        methods: dict[str, Any],
        asynchronous: list[str],
        deadline: Duration | None,
        compat_veto: bool,
        event_loop: Any,
    ) -> None: ...
    def _set_group_resolver(self, resolver: Any, asynchronous: bool) -> None: ...
