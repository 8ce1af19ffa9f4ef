"""An asynchronous begin: awaitable, and an asynchronous context manager."""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._native import Session


class Opening(Awaitable["Session"]):
    """What `abegin` and `abegin_new` return: `session = await …`, or `async with … as session:`."""

    __slots__ = ("_awaitable", "_session")

    def __init__(self, awaitable: Awaitable[Session]) -> None:
        self._awaitable = awaitable
        self._session: Session | None = None

    def __await__(self) -> Generator[Any, Any, Session]:
        return self._awaitable.__await__()

    async def __aenter__(self) -> Session:
        self._session = session = await self._awaitable
        return session

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.__exit__(exc_type, exc_value, traceback)
