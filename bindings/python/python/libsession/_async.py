"""An asynchronous begin: a coroutine, and an asynchronous context manager."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._native import Session


class Opening(Coroutine[Any, Any, "Session"]):
    """What `abegin` and `abegin_new` return: `session = await …`, or `async with … as session:`."""

    __slots__ = ("_call", "_session")

    def __init__(self, call: Coroutine[Any, Any, Session]) -> None:
        self._call = call
        self._session: Session | None = None

    def __await__(self) -> Generator[Any, Any, Session]:
        return self._call.__await__()

    def send(self, value: Any, /) -> Any:
        """Begins, or goes on."""
        return self._call.send(value)

    def throw(self, *exception: Any) -> Any:
        """Gives up: what it got at this moment is given back."""
        return self._call.throw(*exception)

    def close(self) -> None:
        """Gives up."""
        self._call.close()

    async def __aenter__(self) -> Session:
        self._session = session = await self._call
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
