"""A call that is cancelled leaves no place, and gives back what it got at that very moment, wherever the cancelling meets it."""

from __future__ import annotations

import asyncio
import gc
import signal
import threading
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any, Literal

import pytest
from helpers import until

import libsession as ls

Waits = Callable[[ls.Manager], Coroutine[Any, Any, Any]]


@pytest.fixture
def manager() -> Iterator[ls.Manager]:
    """On the system's clock, with a pool of one unit that is waited for."""
    manager = ls.Manager(
        applications={"shop": ls.Application(pool="users")},
        pools={"users": ls.Pool(capacity=1, queue=10), "reports": ls.Pool(capacity=1, queue=10)},
    )
    yield manager
    assert manager.check() == []
    manager.close(grace=0.1)


async def create(manager: ls.Manager) -> None:
    await manager.acreate(wait=600)
    await asyncio.sleep(600)


async def begin_new(manager: ls.Manager) -> None:
    await manager.abegin_new(wait=600)
    await asyncio.sleep(600)


async def enter_new(manager: ls.Manager) -> None:
    async with manager.abegin_new(wait=600):
        await asyncio.sleep(600)


async def until_true(condition: Callable[[], Any]) -> None:
    async def look() -> None:
        while not condition():
            await asyncio.sleep(0.001)

    await asyncio.wait_for(look(), 10)


def no_turn_until(condition: Callable[[], Any]) -> None:
    """Waits on the loop's thread: what other threads do meanwhile reaches the loop, but no task goes on."""
    until(condition)


@pytest.mark.parametrize("waits", [create, begin_new, enter_new])
@pytest.mark.parametrize("threaded", [False, True])
def test_a_session_given_before_the_task_goes_on_is_ended(manager: ls.Manager, waits: Waits, threaded: bool) -> None:
    async def main() -> None:
        for _ in range(20):
            holder = manager.create()
            task = asyncio.create_task(waits(manager))
            await until_true(lambda: manager.usage("users").waiting == 1)
            if threaded:
                thread = threading.Thread(target=manager.end, args=(holder.id,))
                thread.start()
                thread.join()
            else:
                manager.end(holder.id)
            no_turn_until(lambda: manager.usage("users").waiting == 0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await until_true(lambda: manager.count() == 0)
            assert manager.usage("users").in_use == 0

    asyncio.run(main())


def test_a_wait_whose_future_is_done_is_given_up(manager: ls.Manager) -> None:
    async def main() -> None:
        holder = manager.create()
        call = manager.acreate(wait=600)
        future = call.send(None)
        manager.end(holder.id)
        await until_true(future.done)
        assert manager.count() == 1
        with pytest.raises(asyncio.CancelledError):
            call.throw(asyncio.CancelledError())
        assert manager.count() == 0
        with pytest.raises(RuntimeError, match="already awaited"):
            call.send(None)

    asyncio.run(main())


def test_a_timeout_on_a_busy_loop_loses_no_unit(manager: ls.Manager) -> None:
    async def main() -> None:
        for _ in range(50):
            holder = manager.create()
            thread = threading.Timer(0.002, manager.end, args=(holder.id,))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.001):
                    thread.start()
                    session = await manager.abegin_new(wait=600)
                    # It came in time: then it is this task's.
                    session.end()
                    await asyncio.sleep(600)
            thread.join()
            await until_true(lambda: manager.count() == 0)
        assert manager.usage("users").in_use == 0

    asyncio.run(main())


def test_a_feature_given_before_the_task_goes_on_is_returned(manager: ls.Manager) -> None:
    async def main() -> None:
        mine, other = manager.begin_new(), manager.begin_new(license_class="none")
        for _ in range(20):
            other.take_feature("reports")
            task = asyncio.create_task(_take(mine))
            await until_true(lambda: manager.usage("reports").waiting == 1)
            other.return_feature("reports")
            no_turn_until(lambda: manager.usage("reports").waiting == 0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await until_true(lambda: manager.usage("reports").in_use == 0)
            assert mine.features() == ()
        mine.finish()
        other.finish()

    asyncio.run(main())


async def _take(session: ls.Session) -> None:
    await session.atake_feature("reports", wait=600)
    await asyncio.sleep(600)


@pytest.mark.parametrize("mode", [None, "shared"])
def test_a_lock_given_before_the_task_goes_on_is_given_back(manager: ls.Manager, mode: Literal["shared"] | None) -> None:
    async def main() -> None:
        token = manager.create().token
        with manager.begin(token, lock="none") as one, manager.begin(token, lock="none") as two:
            if mode is not None:
                one.lock(mode)
            two.lock(mode)
            task = asyncio.create_task(one.alock(timeout=600))
            await until_true(lambda: manager.stats().lock_waiters == 1)
            two.unlock()
            no_turn_until(lambda: one.lock_mode == "exclusive")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            # What it had before the wait.
            assert one.lock_mode == mode

    asyncio.run(main())


def test_a_request_given_before_the_task_goes_on_is_finished(manager: ls.Manager) -> None:
    async def main() -> None:
        token = manager.create().token
        with manager.begin(token) as holder:
            task = asyncio.create_task(manager.abegin(token, lock_timeout=600))
            await until_true(lambda: manager.stats().lock_waiters == 1)
            holder.unlock()
            no_turn_until(lambda: manager.stats().in_flight == 2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert manager.stats().in_flight == 1

    asyncio.run(main())


async def _await(what: Awaitable[Any]) -> None:
    await what


def test_a_lock_whose_wait_was_interrupted_is_given_back(manager: ls.Manager) -> None:
    token = manager.create().token

    def interrupt() -> None:
        until(lambda: manager.stats().lock_waiters == 1)
        signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    thread = threading.Thread(target=interrupt)
    try:
        with manager.begin(token, lock="none") as one, manager.begin(token) as two:
            thread.start()
            with pytest.raises(KeyboardInterrupt):
                one.lock(timeout=600)
            two.unlock()
            until(lambda: manager.stats().lock_waiters == 0)
            until(lambda: one.lock_mode is None)
            two.lock(timeout=10)
    finally:
        thread.join(10)
        signal.signal(signal.SIGINT, before)


def test_a_login_that_was_done_stands(manager: ls.Manager) -> None:
    async def main() -> None:
        pools = {"seats": ls.Pool(capacity=1, unit_rule="user", queue=5)}
        with ls.Manager(applications={"shop": ls.Application(license_class="lazy")}, pools=pools) as lazy:
            holder = lazy.begin_new()
            holder.login("ann")
            session = lazy.begin_new()
            before = session.token
            task = asyncio.create_task(_await(session.alogin("bob", wait=600)))
            await until_true(lambda: lazy.usage("seats").waiting == 1)
            holder.end()
            no_turn_until(lambda: session.user == "bob")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert session.user == "bob"
            assert session.token != before
            assert lazy.usage("seats").in_use == 1
            session.finish()

    asyncio.run(main())


def test_a_closed_loop_leaves_nothing(manager: ls.Manager) -> None:
    holder = manager.create()
    loop = asyncio.new_event_loop()
    task = loop.create_task(create(manager))
    loop.run_until_complete(asyncio.sleep(0))
    assert manager.usage("users").waiting == 1
    # The loop is closed while the task waits, and forgotten with it.
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    gone = weakref.ref(task)
    loop.close()
    del task, loop
    manager.end(holder.id)
    until(lambda: (gc.collect(), gone() is None)[1])
    until(lambda: manager.count() == 0)
    assert manager.usage("users").waiting == 0


def test_a_call_begins_when_it_is_awaited(manager: ls.Manager) -> None:
    async def main() -> None:
        for make in (manager.acreate, manager.abegin_new):
            call = make()
            assert asyncio.iscoroutine(call)
            assert manager.count() == 0
            call.close()
            with pytest.raises(RuntimeError, match="already awaited"):
                await call
            with pytest.raises(RuntimeWarning, match="never awaited"):
                _forget(make)
            assert manager.count() == 0
        created = await asyncio.create_task(manager.acreate())
        session = await asyncio.create_task(manager.abegin(created.token))
        await asyncio.gather(session.alogin("ann"), session.alock())
        session.finish()
        async with asyncio.TaskGroup() as group:
            ending = group.create_task(manager.aend(created.id))
        assert ending.result().by_this_call

    asyncio.run(main())
    # It needs no loop until then.
    created = asyncio.run(manager.acreate())
    manager.end(created.id)


def _forget(make: Callable[[], object]) -> None:
    """Calls and forgets; what is warned of is raised here."""
    with pytest.warns(RuntimeWarning) as warned:
        make()
        gc.collect()
    raise warned[0].message  # type: ignore[misc]


def test_a_coroutine_keeps_its_session(manager: ls.Manager) -> None:
    async def main() -> None:
        token = manager.create().token
        calls = [manager.begin(token).alogin("ann"), manager.begin(token, lock="none").alogout()]
        gc.collect()
        assert manager.stats().in_flight == 2
        for call in calls:
            await call
        del calls, call
        assert manager.stats().in_flight == 0

    asyncio.run(main())
