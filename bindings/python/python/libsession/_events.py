"""Event classes: named sets of callbacks, and what the deciding ones answer."""

from __future__ import annotations

import inspect
from asyncio import AbstractEventLoop
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, TypeVar

from ._words import EventKind

if TYPE_CHECKING:
    from ._native import Event


class Missing(Enum):
    """The type of `MISSING`."""

    MISSING = "missing"

    def __repr__(self) -> str:
        return "MISSING"

    def __bool__(self) -> Literal[False]:
        return False


MISSING: Final = Missing.MISSING
"""No value at all, where `None` is a value: for `compare_and_set`."""


@dataclass(frozen=True, slots=True)
class Deny:
    """The answer of a callback that refuses, with a text for the caller."""

    text: str = ""


@dataclass(frozen=True, slots=True)
class Extend:
    """The answer to `on_expiring`: live longer by this much (a timedelta or seconds), within the budget."""

    by: timedelta | float


Verdict: TypeAlias = None | bool | Deny | Extend | timedelta | float
"""What a deciding callback answers: None or True go on, False or `Deny` refuse; to `on_expiring` an `Extend`, a timedelta
or seconds extend."""

Callback: TypeAlias = Callable[["Event"], Verdict | Awaitable[Verdict]]
"""A callback, synchronous or asynchronous. The answer of one that does not decide is not looked at."""

_C = TypeVar("_C", bound="Callable[[Event], Any]")


class EventClass:
    """A named set of callbacks, made from functions:

    ```python
    audit = EventClass("audit")

    @audit.on_end
    def ended(event: Event) -> None:
        print(event.session_id, event.reason)

    manager.register(audit)
    ```

    `deadline` is how long one callback may take (timedelta or seconds; default the manager's, 5 s). `compat_veto`: in
    profile `iris` `on_timeout` and `on_end` are called at the asking point, where `event.end_session = False` extends.
    """

    def __init__(
        self,
        name: str,
        *,
        namespace: str = "",
        deadline: timedelta | float | None = None,
        compat_veto: bool = False,
        loop: AbstractEventLoop | None = None,
    ) -> None:
        self.name = name
        self.namespace = namespace
        self.deadline = deadline
        self.compat_veto = compat_veto
        self.loop = loop
        self._callbacks: dict[str, Callable[[Event], Any]] = {}

    @property
    def callbacks(self) -> dict[str, Callable[[Event], Any]]:
        """The callbacks by kind: a copy."""
        return dict(self._callbacks)

    def on(self, kind: EventKind | str, callback: _C) -> _C:
        """Sets the callback for a kind. Raises `ValueError` for a kind that is not."""
        self._callbacks[EventKind(kind).value] = callback
        return callback

    def on_start(self, callback: _C) -> _C:
        """A session starts (decides)."""
        return self.on(EventKind.START, callback)

    def on_expiring(self, callback: _C) -> _C:
        """The deadline comes near (decides: may extend)."""
        return self.on(EventKind.EXPIRING, callback)

    def on_timeout(self, callback: _C) -> _C:
        """The session timed out."""
        return self.on(EventKind.TIMEOUT, callback)

    def on_end(self, callback: _C) -> _C:
        """The session ended."""
        return self.on(EventKind.END, callback)

    def on_application_change(self, callback: _C) -> _C:
        """A request names another application (decides)."""
        return self.on(EventKind.APPLICATION_CHANGE, callback)

    def on_login(self, callback: _C) -> _C:
        """A user logs in (decides)."""
        return self.on(EventKind.LOGIN, callback)

    def on_logout(self, callback: _C) -> _C:
        """The user logs out (decides)."""
        return self.on(EventKind.LOGOUT, callback)

    def on_start_request(self, callback: _C) -> _C:
        """A request began."""
        return self.on(EventKind.START_REQUEST, callback)

    def on_end_request(self, callback: _C) -> _C:
        """A request finished."""
        return self.on(EventKind.END_REQUEST, callback)

    def on_license_denied(self, callback: _C) -> _C:
        """A creation is refused for want of a license unit; `on_end` follows.

        A session that lives on is told nothing: who logs in, trades, writes or takes a feature learns it by the answer, and
        administrators by the accounts.
        """
        return self.on(EventKind.LICENSE_DENIED, callback)

    def on_context_lost(self, callback: _C) -> _C:
        """The process that a session was pinned to died."""
        return self.on(EventKind.CONTEXT_LOST, callback)

    def on_pool_low(self, callback: _C) -> _C:
        """A pool runs low."""
        return self.on(EventKind.POOL_LOW, callback)

    def on_pool_exhausted(self, callback: _C) -> _C:
        """A pool is exhausted; or it left its overdraft, with fewer units available than `recovered`."""
        return self.on(EventKind.POOL_EXHAUSTED, callback)

    def on_pool_recovered(self, callback: _C) -> _C:
        """A pool has units again."""
        return self.on(EventKind.POOL_RECOVERED, callback)

    def on_pool_overdraft(self, callback: _C) -> _C:
        """A pool entered its overdraft."""
        return self.on(EventKind.POOL_OVERDRAFT, callback)


def callbacks_of(handlers: object) -> dict[str, Callable[[Event], Any]]:
    """The callbacks of an object or of a class's new instance: its methods with the kinds' names."""
    instance = handlers() if inspect.isclass(handlers) else handlers
    if isinstance(instance, EventClass):
        return instance.callbacks
    found = {kind.value: getattr(instance, kind.value, None) for kind in EventKind}
    return {kind: callback for kind, callback in found.items() if callable(callback)}


def is_async(callback: Callable[..., Any]) -> bool:
    """Whether it is known before the first call that a callback returns a coroutine."""
    return inspect.iscoroutinefunction(callback) or inspect.iscoroutinefunction(
        getattr(callback, "__call__", None)  # noqa: B004 - not whether it is callable, but what it is
    )
