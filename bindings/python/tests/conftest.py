"""A manual clock, and a manager on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import libsession as ls

pytest_plugins = ["pytester"]


@pytest.fixture
def clock() -> Iterator[ls.ManualClock]:
    with ls.ManualClock() as clock:
        yield clock


@pytest.fixture
def manager(clock: ls.ManualClock) -> ls.Manager:
    """One application `shop` with the event class `watch` (not registered), and a pool `users` of 5 units."""
    return ls.Manager(
        applications={"shop": ls.Application(event_classes=["watch"])},
        pools={"users": ls.Pool(capacity=5)},
        debug=True,
        tombstone=86_400,
    )
