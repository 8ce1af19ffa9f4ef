"""What the tests share: waiting with a bound, and a class that notes what it is told."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any

import libsession as ls

TORTURE = os.environ.get("LIBSESSION_TORTURE") == "1"


def times(short: int, long: int) -> int:
    """How often a scenario runs: short in `make test`, long in `make torture`."""
    return long if TORTURE else short


def until(condition: Callable[[], Any], bound: float = 10.0) -> None:
    """Waits until a condition holds; fails when the bound is over."""
    end, pause = time.monotonic() + bound, threading.Event()
    while not condition():
        assert time.monotonic() < end, "the condition did not come true in time"
        pause.wait(0.002)


class Watch:
    """An event class that notes (kind, reason) and answers what it is told to."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str | None]] = []
        self.events: list[ls.Event] = []
        self.answers: dict[str, Callable[[ls.Event], Any]] = {}

    def event_class(self, name: str, *kinds: str) -> ls.EventClass:
        event_class = ls.EventClass(name)
        for kind in kinds or [kind.value for kind in ls.EventKind]:
            event_class.on(kind, self)
        return event_class

    def __call__(self, event: ls.Event) -> Any:
        self.seen.append((event.kind, event.reason))
        self.events.append(event)
        answer = self.answers.get(event.kind)
        return answer(event) if answer else None

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.seen]
