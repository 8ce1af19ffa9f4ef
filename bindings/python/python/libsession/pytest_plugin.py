"""Fixtures for tests of what uses libsession: no sleeping, no patched clocks.

- `session_clock`: a `ManualClock`; managers that the test makes and that name no clock use it, and are closed after it.
- `session_manager`: a `Manager` on that clock. Override the fixture `session_manager_options` (a dict of `Manager`'s
  keyword arguments) to give it applications and pools.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from . import Manager, ManualClock


@pytest.fixture
def session_clock() -> Iterator[ManualClock]:
    """A manual clock: `session_clock.advance(hours=8)`."""
    _refuse_patched_clocks()
    with ManualClock() as clock:
        yield clock


@pytest.fixture
def session_manager_options() -> dict[str, Any]:
    """What `session_manager` is opened with: override it."""
    return {}


@pytest.fixture
def session_manager(
    session_clock: ManualClock, session_manager_options: dict[str, Any]
) -> Iterator[Manager]:
    """A manager on the manual clock, closed after the test."""
    manager = Manager(clock=session_clock, **session_manager_options)
    yield manager
    manager.close(grace=1.0)


def _refuse_patched_clocks() -> None:
    """Fails where a library patches Python's clock: sessions would not see it, and the test would wait for ever."""
    freezegun = sys.modules.get("freezegun.api")
    time_machine = sys.modules.get("time_machine")
    frozen = bool(getattr(freezegun, "freeze_factories", None))
    travelling = bool(getattr(getattr(time_machine, "coordinates_stack", None), "__len__", int)())
    if frozen or travelling:
        raise pytest.UsageError("sessions don't see a patched clock: use session_clock.advance(…) instead")
