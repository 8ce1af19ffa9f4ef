"""The manual clock: an 8-hour timeout in microseconds."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar, Token
from datetime import datetime, timedelta, timezone
from types import TracebackType
from typing import TYPE_CHECKING
from weakref import WeakSet

from . import _native

if TYPE_CHECKING:
    from ._config import Duration
    from ._manager import Manager

current: ContextVar[ManualClock | None] = ContextVar("libsession.clock", default=None)


class ManualClock(_native.ManualClock):
    """A clock that stands still until it is told.

    It begins at 0 ms of engine time, on 2026-01-01 00:00:00 UTC of wall time. Several managers may share it. Inside of
    `with ManualClock() as clock:` managers that name no clock use it, and those are closed at the end of the block.
    """

    def __init__(self) -> None:
        self._managers: WeakSet[Manager] = WeakSet()
        self._entered: list[Token[ManualClock | None]] = []

    @property
    def wall(self) -> datetime:
        """Wall time, UTC."""
        return datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(milliseconds=self.wall_ms)

    def advance(
        self,
        by: Duration = 0,
        *,
        days: float = 0,
        hours: float = 0,
        minutes: float = 0,
        seconds: float = 0,
        milliseconds: float = 0,
    ) -> int:
        """Goes forward from due instant to due instant and does at each what is due there; returns how many callbacks
        still run at the end. It waits in real time for started callbacks, at most the settle time (1 s).

        Raises `Reentrant` inside of a callback, `Invalid` beyond 100 years or for a negative time.
        """
        return self._advance(_sum(by, days, hours, minutes, seconds, milliseconds))

    async def aadvance(
        self,
        by: Duration = 0,
        *,
        days: float = 0,
        hours: float = 0,
        minutes: float = 0,
        seconds: float = 0,
        milliseconds: float = 0,
    ) -> int:
        """As `advance`; callbacks that run on this event loop are waited for, too."""
        return await asyncio.to_thread(self._advance, _sum(by, days, hours, minutes, seconds, milliseconds))

    def suspend(
        self, by: Duration = 0, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0
    ) -> None:
        """The machine sleeps: idle clocks stand still, absolute ones go on."""
        self._suspend(_sum(by, days, hours, minutes, seconds, 0))

    def set_wall(self, wall: datetime) -> None:
        """Steps the wall clock; no deadline moves. A naive datetime is local time."""
        self._set_wall(round(wall.timestamp() * 1000))

    def __enter__(self) -> ManualClock:
        self._entered.append(current.set(self))
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        current.reset(self._entered.pop())
        for manager in list(self._managers):
            manager.close(grace=1.0)


def _sum(by: Duration, days: float, hours: float, minutes: float, seconds: float, milliseconds: float) -> Duration:
    more = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds, milliseconds=milliseconds)
    if not more:
        return by
    return more + (by if isinstance(by, timedelta) else timedelta(seconds=by))
