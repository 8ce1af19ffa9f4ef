"""The manager: one table of sessions with its reaper and dispatcher."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from types import EllipsisType, TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

from . import _clock, _exit, _native
from ._async import Opening
from ._config import Application, Duration, Pool, Timeout, pool_of
from ._errors import Invalid
from ._events import EventClass, callbacks_of, is_async
from ._records import CloseReport, Page, PoolDifference, Progress, SessionInfo
from ._words import EndLevel, EndReason, LicenseClass, LockMode, State, TouchKind

if TYPE_CHECKING:
    from ._clock import ManualClock
    from ._native import Ticket
    from ._records import Client

_H = TypeVar("_H")
_T = TypeVar("_T")

Named: TypeAlias = Mapping[str, _T] | Iterable[tuple[str, _T]]
"""Things by name, as a mapping or as pairs."""


GroupResolver: TypeAlias = Callable[[str], Iterable[str] | Awaitable[Iterable[str]]]
"""Tells the groups of a user."""


def _check_resolver(resolver: Any) -> None:
    if resolver is not None and not callable(resolver):
        raise Invalid(f"a group resolver is a callable from a user to its groups, not {type(resolver)}")


def _pairs(named: Named[_T] | None) -> list[tuple[str, _T]]:
    return list(named.items() if isinstance(named, Mapping) else named or ())


class Manager(_native.Manager):
    """A session manager.

    `store` is the table: `memory`, one of this process, or `file:PATH`, one of all processes of this machine that name the
    same directory, which is made if it is not there. `durability` is what the latter syncs before a call returns: `relaxed`
    (ends, logouts and rotations; the rest within 50 ms, so that a crash of the process loses nothing and one of the
    machine the last 50 ms) or `durable` (creations and changes, too; not with `memory`).

    `adopt` opens a store of `file:PATH` that is there by what it says itself of its configuration: for an administrator's
    process beside those that serve, whatever their language. Nothing that the store says may be named: applications, pools,
    the profile, quotas, `max_sessions`, `tombstone`, `max_request`, `idle_counts_suspend`, `debug`, and how many dead letters
    and log entries it keeps. Such a manager lists, explains, ends, audits, and changes pools; it makes no session, begins no
    request, registers no event class and reaps nothing (`Invalid`): what falls due is asked about and ended by those that
    serve, by the next of them if there is none. Nobody is disturbed by its coming and going: while only such managers have a
    store open, others open it as if nobody had, and wait up to 10 s for them if they are configured otherwise. Raises
    `Invalid` if there is no store (none is made), and for anybody but the user that it belongs to; `StoreError` if it is of another version.

    No thread starts before the first session, so that importing and forking before that is harmless. In the child of a fork
    a manager on `file:PATH` opens its store again by itself at its first call, with the event classes that were registered; one
    on `memory` raises `Forked`, as sessions of before the fork do on either. All calls from any
    thread, also from callbacks. As a context manager it closes at the end of the block; what is still open at the
    interpreter's exit is closed then, with a grace of 1 s.

    Durations are a timedelta or seconds. Raises `Invalid`, naming the option and its bound.
    """

    def __new__(
        cls,
        store: str = "memory",
        *,
        applications: Named[Application] | None = None,
        pools: Named[Pool] | None = None,
        durability: Literal["relaxed", "durable"] = "relaxed",
        adopt: bool = False,
        profile: Literal["default", "iris"] = "default",
        clock: ManualClock | None = None,
        groups: GroupResolver | None = None,
        **options: Any,
    ) -> Manager:
        if clock is None:
            clock = _clock.current.get()
        _check_resolver(groups)
        self = super().__new__(
            cls,
            {
                "store": store,
                "durability": durability,
                "adopt": adopt,
                "profile": profile,
                "applications": _pairs(applications),
                "pools": _pairs(pools),
                "clock": clock,
                **options,
            },
        )
        if clock is not None:
            clock._managers.add(self)
        _exit.remember(self)
        if groups is not None:
            self.set_group_resolver(groups)
        return self

    def __init__(
        self,
        store: str = "memory",
        *,
        applications: Named[Application] | None = None,
        pools: Named[Pool] | None = None,
        durability: Literal["relaxed", "durable"] = "relaxed",
        adopt: bool = False,
        profile: Literal["default", "iris"] = "default",
        clock: ManualClock | None = None,
        max_sessions: int = 1_000_000,
        session_bytes: int = 1 << 20,
        levels: int = 64,
        value_bytes: int = 64 << 10,
        subscript_bytes: int = 255,
        workers: int = 4,
        decider_workers: int = 2,
        max_stuck: int = 4,
        queue: int = 100_000,
        callback_deadline: Duration = 5.0,
        retries: int = 3,
        breaker_failures: int = 5,
        breaker_probe: Duration = 30.0,
        dead_letters: int = 100_000,
        dead_letter_bytes: int = 64 << 20,
        tombstone: Duration = 600.0,
        max_request: Duration = 3600.0,
        lock_timeout: Duration = 30.0,
        rotation_grace: Duration = 10.0,
        idle_counts_suspend: bool = False,
        debug: bool = False,
        lifecycle_log: int = 10_000,
        dispatch: Literal["thread", "inline", "poll"] = "thread",
        threads: bool = True,
        groups: GroupResolver | None = None,
    ) -> None:
        self._clock = clock if clock is not None else _clock.current.get()

    @property
    def clock(self) -> ManualClock | None:
        """The manual clock; None if time is the system's."""
        return self._clock

    # --- sessions, asynchronously ---

    def abegin(
        self,
        token: str,
        *,
        touch: TouchKind | Literal["activity", "keepalive", "none"] | None = None,
        lock: LockMode | Literal["exclusive", "shared", "none"] | None = None,
        lock_timeout: Duration | None = None,
        application: str | None = None,
    ) -> Opening:
        """As `begin`, a coroutine: await it, or use it in `async with`.

        It begins when it is awaited, is answered at once where nothing has to be waited for, and no thread is left for another.
        When its task is cancelled, a request that began at that moment is finished.
        """
        return Opening(self._abegin(token, touch, lock, lock_timeout, application))

    def abegin_new(
        self,
        application: str | None = None,
        *,
        client: Client | None = None,
        data: Mapping[str, Any] | None = None,
        license_class: LicenseClass | Literal["named", "anonymous", "lazy", "none"] | None = None,
        idle_timeout: Timeout | EllipsisType = ...,
        absolute_timeout: Duration | None = None,
        touch: TouchKind | Literal["activity", "keepalive", "none"] | None = None,
        lock: LockMode | Literal["exclusive", "shared", "none"] | None = None,
        wait: Duration | None = None,
        priority: int | None = None,
        ticket: Ticket | None = None,
    ) -> Opening:
        """As `begin_new`, a coroutine: await it, or use it in `async with`. Asynchronous callbacks are awaited.

        A task that is cancelled while it awaits this leaves no place and no session: one that was just made is ended.
        """
        return Opening(
            self._abegin_new(
                application,
                client,
                data,
                license_class,
                idle_timeout,
                absolute_timeout,
                touch,
                lock,
                wait,
                priority,
                ticket,
            )
        )

    # --- bulk ---

    def end_where(
        self,
        *,
        level: EndLevel | Literal["request", "force", "kill"] = EndLevel.FORCE,
        reason: EndReason | str = EndReason.ENDED,
        actor: str | None = None,
        note: str | None = None,
        cursor: int = 0,
        limit: int = 1000,
        **filter: Any,
    ) -> Progress:
        """Ends what matches `filter` (see `list`), at most `limit` sessions looked at, from `cursor` on.

        Applications with `protected_from_bulk_end` are spared. Resume with `cursor=progress.next` until that is None.
        """
        return self._end_where(filter, level, reason, actor, note, cursor, limit)

    def set_idle_timeout_where(
        self, value: Timeout, *, cursor: int = 0, limit: int = 1000, **filter: Any
    ) -> Progress:
        """Sets the idle timeout of all that match `filter` (see `list`), paced as `end_where`."""
        return self._set_idle_timeout_where(filter, value, cursor, limit)

    # --- license pools ---

    def pool(self, pool: str) -> Pool:
        """The definition of a pool that is in force: on a `file:` table the same for all processes.

        Raises `Invalid` for an unknown one.
        """
        return pool_of(self._pool(pool))

    def change_pool(self, pool: str, *, actor: str | None = None, **options: Any) -> Pool:
        """Changes options of a pool (see `Pool`) while it runs, for all processes; answers the definition in force.

        Nothing is taken from who has it: units beyond a lowered capacity drain (`excess` in the usage), what lingers keeps its
        time, and reserved units that are held count for the reservation of the same members, if there still is one. `actor` is
        told in the accounts and the log.

        Raises `Invalid` for what an option does not take, and for `unit_rule`, `max_connections` and `holder_per_client` where
        units that are held would count otherwise; then nothing changed.
        """
        return pool_of(self._change_pool(pool, options, actor))

    def pool_differences(self) -> list[PoolDifference]:
        """Where the definitions in force are others than those that this manager was opened with."""
        found = self._pool_differences()
        return [PoolDifference(pool, option, json.loads(named), json.loads(now)) for pool, option, named, now in found]

    def export_accounts(self, pool: str, *, after: int = 0, limit: int | None = None) -> Iterator[str]:
        """Accounts of a pool after a position as lines of JSON (without line feeds), at most `limit`, as they are asked for.

        Each is an object: `pool`, `seq` (where a later export goes on), `at_ms`, `kind`, `session_id`, `holder`, `before`,
        `after`, `reason`, `why`.
        """
        if limit is not None and not (isinstance(limit, int) and limit >= 0):
            raise Invalid(f"limit is a whole number of at least 0 or None, not {limit!r}")
        return self._accounts(pool, after, limit)

    def _accounts(self, pool: str, after: int, limit: int | None) -> Iterator[str]:
        while limit is None or limit > 0:
            lines, count, after = self._export_accounts(pool, after, 1000 if limit is None else min(limit, 1000))
            if count == 0:
                return
            if limit is not None:
                limit -= count
            yield from lines[:-1].split("\n")

    # --- event classes ---

    def event_class(
        self,
        name: str,
        *,
        namespace: str = "",
        deadline: Duration | None = None,
        compat_veto: bool = False,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> Callable[[_H], _H]:
        """Registers the decorated class (or object) as an event class: its methods `on_start`, `on_end` … are called.

        ```python
        @manager.event_class("audit")
        class Audit:
            def on_end(self, event: Event) -> None:
                print(event.session_id, event.reason)
        ```
        """

        def decorate(handlers: _H) -> _H:
            self.register(
                name, handlers, namespace=namespace, deadline=deadline, compat_veto=compat_veto, loop=loop
            )
            return handlers

        return decorate

    def register(
        self,
        event_class: EventClass | str,
        handlers: object = None,
        *,
        namespace: str = "",
        deadline: Duration | None = None,
        compat_veto: bool = False,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Registers an event class in this process: an `EventClass`, or a name with an object that has the methods.

        A method may be `async def`. One that decides needs an asynchronous call and runs on that call's event loop. Any
        other runs on `loop`, by default the one that runs here and now, or else on one of its own.
        Raises `Exists`, and `Invalid` if there is no callback.
        """
        if isinstance(event_class, EventClass):
            name, namespace, loop = event_class.name, event_class.namespace, event_class.loop or loop
            deadline, compat_veto = event_class.deadline, event_class.compat_veto
            callbacks = event_class.callbacks
        else:
            name, callbacks = event_class, callbacks_of(handlers)
        asynchronous = [kind for kind, callback in callbacks.items() if is_async(callback)]
        self._register(
            name, namespace, callbacks, asynchronous, deadline, compat_veto, loop or asyncio._get_running_loop()
        )

    def set_group_resolver(self, resolver: GroupResolver | None) -> None:
        """Sets who tells the groups of a user in this process, in place of the one before; None takes it away.

        It is asked by a login (after `on_login`), a trade and the taking of a feature that no `groups` are given with, and only
        where the rules of the pool name groups (`group:NAME`); never by a logout or an end. It is asked before anything is
        changed, as a deciding callback is: within the manager's callback deadline, with a breaker; an `async def` needs an
        asynchronous call and runs on that call's event loop. What it tells (at most 256 groups, each 1 to 256 bytes) counts for
        this one call. If it raises, is late or answers something else, the call raises `Denied` and nothing changed.

        Returns when the one before does not run any more. Raises `Reentrant` inside of it.
        """
        _check_resolver(resolver)
        self._set_group_resolver(resolver, resolver is not None and is_async(resolver))

    # --- seeing ---

    def list(
        self,
        *,
        user: str | None = None,
        application: str | None = None,
        state: State | Literal["new", "active"] | None = None,
        overdue: bool | None = None,
        pool: str | None = None,
        holder: str | None = None,
        older_than: Duration | None = None,
        idle_for: Duration | None = None,
        damaged: bool | None = None,
        immortal: bool | None = None,
        cursor: int = 0,
        limit: int = 1000,
    ) -> Page:
        """A page of live sessions that match, from `cursor` on, at most `limit` (1 to 10,000)."""
        which = {
            "user": user,
            "application": application,
            "state": state,
            "overdue": overdue,
            "pool": pool,
            "holder": holder,
            "older_than": older_than,
            "idle_for": idle_for,
            "damaged": damaged,
            "immortal": immortal,
        }
        return self._list(which, cursor, limit)

    def sessions(self, **filter: Any) -> Iterator[SessionInfo]:
        """All live sessions that match (see `list`), page by page: what begins or ends meanwhile may be seen or not."""
        cursor: int | None = 0
        while cursor is not None:
            page = self.list(**filter, cursor=cursor)
            yield from page.sessions
            cursor = page.next

    # --- scope ---

    async def aclose(self, grace: Duration | None = None) -> CloseReport:
        """As `close`, in another thread, so that callbacks which run on this event loop can be delivered."""
        return await asyncio.to_thread(self.close, grace)

    async def __aenter__(self) -> Manager:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        await self.aclose()

    def __enter__(self) -> Manager:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Manager {'closed' if self.is_closed else 'open'}>"
