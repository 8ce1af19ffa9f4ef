"""Waiting for license units: calls that block, tasks that are cancelled, tickets."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from helpers import until

import libsession as ls


@pytest.fixture
def full() -> Iterator[tuple[ls.Manager, ls.Created]]:
    """A manager on the system's clock whose one unit is taken, and the session that has it."""
    manager = ls.Manager(
        applications={"shop": ls.Application(pool="users")}, pools={"users": ls.Pool(capacity=1, queue=10)}
    )
    yield manager, manager.create()
    assert manager.check() == []
    manager.close(grace=0.1)


def waiting(manager: ls.Manager) -> int:
    return manager.usage("users").waiting


async def until_so_many_wait(manager: ls.Manager, count: int) -> None:
    async def look() -> None:
        while waiting(manager) != count:
            await asyncio.sleep(0.001)

    await asyncio.wait_for(look(), 10)


def test_a_blocked_creation_lets_other_threads_run(full: tuple[ls.Manager, ls.Created]) -> None:
    manager, first = full
    ticket = ls.Ticket()
    assert (ticket.waits, ticket.position) == (False, None)
    made: list[ls.Created] = []

    def create() -> None:
        made.append(manager.create(wait=timedelta(minutes=10), priority=3, ticket=ticket))

    thread = threading.Thread(target=create)
    thread.start()
    until(lambda: waiting(manager) == 1)
    assert (ticket.waits, ticket.position) == (True, 1)
    (waiter,) = manager.queue("users")
    assert (waiter.position, waiter.priority, waiter.offered) == (1, 3, False)
    assert waiter.holder == waiter.session_id
    assert timedelta(minutes=9) < waiter.left <= timedelta(minutes=10)
    assert manager.queue("users", skip=1) == []
    assert manager.stats().license_waiters == 1
    manager.end(first.id)
    thread.join(10)
    assert manager.usage("users").in_use == 1
    assert made[0].id == manager.list().sessions[0].id


def test_a_ticket_cancels_from_another_thread(full: tuple[ls.Manager, ls.Created]) -> None:
    manager, _ = full
    ticket = ls.Ticket()
    raised: list[BaseException] = []

    def create() -> None:
        try:
            manager.begin_new(wait=600, ticket=ticket)
        except ls.SessionError as error:
            raised.append(error)

    thread = threading.Thread(target=create)
    thread.start()
    until(lambda: waiting(manager) == 1)
    ticket.cancel()
    thread.join(10)
    assert isinstance(raised[0], ls.Cancelled)
    assert (waiting(manager), manager.count()) == (0, 1)


def test_a_signal_handler_that_raises_gives_the_place_up(full: tuple[ls.Manager, ls.Created]) -> None:
    manager, _ = full

    def interrupt() -> None:
        until(lambda: waiting(manager) == 1)
        signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    thread = threading.Thread(target=interrupt)
    try:
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            manager.create(wait=600)
    finally:
        thread.join(10)
        signal.signal(signal.SIGINT, before)
    assert (waiting(manager), manager.count()) == (0, 1)


def test_a_cancelled_task_leaves_no_place(full: tuple[ls.Manager, ls.Created]) -> None:
    manager, first = full

    async def begin_new() -> None:
        async with manager.abegin_new(wait=600):
            pass

    async def main() -> None:
        request = await manager.abegin(first.token)
        tasks = [
            asyncio.ensure_future(manager.acreate(wait=600)),
            asyncio.ensure_future(begin_new()),
            asyncio.ensure_future(request.atake_feature("users", 1, wait=600)),
        ]
        await until_so_many_wait(manager, 3)
        for task in tasks:
            task.cancel()
        for task in tasks:
            with pytest.raises(asyncio.CancelledError):
                await task
        await until_so_many_wait(manager, 0)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(manager.acreate(wait=600), 0.01)
        await until_so_many_wait(manager, 0)
        # Whoever comes next is served at once.
        waits = asyncio.ensure_future(manager.acreate(wait=600))
        await until_so_many_wait(manager, 1)
        request.finish()
        manager.end(first.id)
        await asyncio.wait_for(waits, 10)

    asyncio.run(main())
    assert (manager.usage("users").in_use, manager.count()) == (1, 1)


def test_what_is_given_to_a_cancelled_task_is_given_back(full: tuple[ls.Manager, ls.Created]) -> None:
    manager, first = full

    async def main() -> None:
        waits = asyncio.ensure_future(manager.acreate(wait=600))
        await until_so_many_wait(manager, 1)
        # The unit is given in another thread while this one does not look; then the task is cancelled.
        thread = threading.Thread(target=manager.end, args=(first.id,))
        thread.start()
        thread.join()
        until(lambda: waiting(manager) == 0)
        waits.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waits

        async def none_left() -> None:
            while manager.count():
                await asyncio.sleep(0.001)

        await asyncio.wait_for(none_left(), 10)

    asyncio.run(main())
    assert manager.usage("users").in_use == 0


def test_a_synchronous_call_on_a_loop_never_waits(full: tuple[ls.Manager, ls.Created]) -> None:
    manager, _ = full

    async def main() -> None:
        with pytest.raises(ls.LicenseDenied):
            manager.create(wait=600)

    asyncio.run(main())


def test_options_are_checked(full: tuple[ls.Manager, ls.Created]) -> None:
    manager, _ = full
    for options in ({"wait": -1}, {"priority": 10}, {"priority": 1000}, {"priority": "high"}, {"ticket": "t"}):
        with pytest.raises(ls.Invalid):
            manager.create(**options)  # type: ignore[arg-type]
    with pytest.raises(ls.Invalid):
        manager.queue("nobody")
