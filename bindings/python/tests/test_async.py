"""Asynchronous calls: answered at once where nothing waits, by the event loop's wake-up where something does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from helpers import Watch, until

import libsession as ls


@pytest.fixture
def real() -> Iterator[ls.Manager]:
    """A manager on the system's clock."""
    manager = ls.Manager(applications={"shop": ls.Application(event_classes=["watch"])})
    yield manager
    manager.close(grace=0.1)


def test_abegin_is_awaitable_and_a_context_manager(real: ls.Manager) -> None:
    async def main() -> None:
        created = await real.acreate("shop", data={"x": 1})
        async with real.abegin(created.token) as session:
            assert session["x"] == 1
            session["x"] = 2
        session = await real.abegin(created.token)
        async with session:
            assert session["x"] == 2
            login = await session.alogin("ada")
            assert session.user == "ada"
            assert login.trade_denied is None
            logout = await session.alogout()
            assert logout.token == session.token
        async with real.abegin_new("shop", touch="keepalive") as fresh:
            assert fresh.is_new
        receipt = await real.aend(fresh.id, wait=5)
        assert receipt.by_this_call
        with pytest.raises(ls.Gone):
            await real.abegin(fresh.token)
        with pytest.raises(ls.Absent):
            async with real.abegin("x"):
                pass

    asyncio.run(main())


def test_an_asynchronous_call_without_a_loop_says_so(real: ls.Manager) -> None:
    with pytest.raises(RuntimeError, match="event loop"):
        real.abegin("x").send(None)
    assert real.count() == 0


def test_uncontended_calls_never_yield_to_the_loop(real: ls.Manager) -> None:
    async def main() -> None:
        created = await real.acreate("shop")
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count())
        for _ in range(100):
            async with real.abegin(created.token):
                pass
        assert turns == 0
        counting.cancel()

    asyncio.run(main())


def test_contended_begins_are_served_in_order_without_blocking_the_loop(real: ls.Manager) -> None:
    async def main() -> None:
        created = await real.acreate("shop")
        order: list[int] = []

        async def request(number: int) -> None:
            async with real.abegin(created.token) as session:
                order.append(number)
                await asyncio.sleep(0)
                session["n"] = session.get("n", 0) + 1

        await asyncio.gather(*(request(number) for number in range(50)))
        assert order == list(range(50))
        async with real.abegin(created.token) as session:
            assert session["n"] == 50

    asyncio.run(main())


def test_a_synchronous_begin_on_a_loop_never_waits(real: ls.Manager) -> None:
    async def main() -> None:
        created = real.create("shop")
        async with real.abegin(created.token):
            started = asyncio.get_running_loop().time()
            with pytest.raises(ls.LockTimeout):
                real.begin(created.token)
            other = real.begin(created.token, lock="none")
            with pytest.raises(ls.LockTimeout):
                other.lock()
            other.finish()
            assert asyncio.get_running_loop().time() - started < 1

    asyncio.run(main())


def test_a_lock_freed_by_another_thread_wakes_the_loop(real: ls.Manager) -> None:
    async def main() -> None:
        created = real.create("shop")
        session = real.begin(created.token)
        waiting = asyncio.ensure_future(real.abegin(created.token))
        await asyncio.sleep(0)
        assert not waiting.done()
        thread = threading.Thread(target=session.finish)
        thread.start()
        (await asyncio.wait_for(waiting, 5)).finish()
        thread.join()

    asyncio.run(main())


def test_a_cancelled_begin_gives_its_lock_back(real: ls.Manager) -> None:
    async def main() -> None:
        created = real.create("shop")
        async with real.abegin(created.token):
            waiting = asyncio.ensure_future(real.abegin(created.token))
            await asyncio.sleep(0)
            assert real.stats().lock_waiters == 1
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            async with asyncio.timeout(5):
                while real.stats().lock_waiters:
                    await asyncio.sleep(0)
        async with asyncio.timeout(5):
            async with real.abegin(created.token):
                assert real.stats().in_flight == 1

    asyncio.run(main())


def test_a_cancelled_alock_waits_no_more(real: ls.Manager) -> None:
    async def main() -> None:
        created = real.create("shop")
        async with real.abegin(created.token) as session:
            session.unlock()
            async with real.abegin(created.token):
                waiting = asyncio.ensure_future(session.alock())
                await asyncio.sleep(0)
                assert real.stats().lock_waiters == 1
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
                async with asyncio.timeout(5):
                    while real.stats().lock_waiters:
                        await asyncio.sleep(0)
            assert session.lock_mode is None
            session.lock(timeout=0)

    asyncio.run(main())


def test_a_lock_timeout_comes_through_the_loop(manager: ls.Manager, clock: ls.ManualClock) -> None:
    async def main() -> None:
        created = manager.create("shop")
        async with manager.abegin(created.token):
            waiting = asyncio.ensure_future(manager.abegin(created.token, lock_timeout=5))
            await asyncio.sleep(0)
            await clock.aadvance(seconds=6)
            with pytest.raises(ls.LockTimeout):
                await asyncio.wait_for(waiting, 5)

    asyncio.run(main())


def test_alock_takes_the_lock_again(real: ls.Manager) -> None:
    async def main() -> None:
        created = real.create("shop")
        async with real.abegin(created.token) as one:
            one.unlock()
            assert one.lock_mode is None
            async with real.abegin(created.token) as two:
                taking = asyncio.ensure_future(one.alock(timeout=5))
                await asyncio.sleep(0)
                assert two.lock_mode is ls.LockMode.EXCLUSIVE
                assert not taking.done()
            await taking
            assert one.lock_mode is ls.LockMode.EXCLUSIVE

    asyncio.run(main())


def test_an_asynchronous_decider_runs_on_the_callers_loop(real: ls.Manager) -> None:
    threads: list[object] = []

    class Decider:
        async def on_start(self, event: ls.Event) -> ls.Verdict:
            await asyncio.sleep(0)
            threads.append(threading.current_thread())
            return ls.Deny("not today") if "deny" in event.data else None

        async def on_login(self, event: ls.Event) -> ls.Verdict:
            await asyncio.sleep(0)
            return event.user != "eve"

    real.register("watch", Decider())

    async def main() -> None:
        created = await real.acreate("shop")
        with pytest.raises(ls.Denied, match="not today"):
            await real.acreate("shop", data={"deny": 1})
        async with real.abegin(created.token) as session:
            await session.alogin("ada")
            with pytest.raises(ls.Denied):
                await session.alogin("eve")
            assert session.user == "ada"
        async with real.abegin_new("shop") as session:
            assert session.is_new

    asyncio.run(main())
    assert set(threads) == {threading.main_thread()}
    assert real.count() == 2


def test_an_asynchronous_decider_refuses_a_synchronous_call(real: ls.Manager) -> None:
    class Decider:
        async def on_start(self, event: ls.Event) -> None: ...

    class Hidden:
        def on_start(self, event: ls.Event) -> object:
            return Decider().on_start(event)

    for handlers in (Decider(), Hidden()):
        real.register("watch", handlers)
        for _ in range(2):
            with pytest.raises(ls.AsyncRequired):
                real.create("shop")
        asyncio.run(_create(real))
        assert real.unregister("watch")


async def _create(manager: ls.Manager) -> None:
    await manager.acreate("shop")


def test_asynchronous_notifications_run_on_the_registering_loop_or_on_their_own(real: ls.Manager) -> None:
    seen: list[object] = []

    class Notified:
        async def on_end(self, event: ls.Event) -> None:
            await asyncio.sleep(0)
            seen.append(asyncio.get_running_loop())

    async def main() -> None:
        real.register("watch", Notified())
        created = await real.acreate("shop")
        receipt = await real.aend(created.id, wait=5)
        assert seen == [asyncio.get_running_loop()]
        assert [one.event_class for one in receipt.callbacks] == ["watch"]

    asyncio.run(main())
    # That loop is closed by now.
    real.end(real.create("shop").id)
    until(lambda: len(seen) == 2)
    assert seen[0] is not seen[1]


def test_aclose_delivers_what_runs_on_its_loop() -> None:
    ended: list[object] = []

    class Notified:
        async def on_end(self, event: ls.Event) -> None:
            await asyncio.sleep(0)
            ended.append(event.reason)

    async def main() -> None:
        async with ls.Manager(applications={"shop": ls.Application(event_classes=["watch"])}) as manager:
            manager.register("watch", Notified())
            await manager.acreate("shop")
        assert ended == ["shutdown"]
        report = await manager.aclose()
        assert (report.ended, report.delivered, report.undelivered) == (1, 1, 0)

    asyncio.run(main())


def test_a_coroutine_that_fails_is_a_failure_with_its_text(real: ls.Manager) -> None:
    class Failing:
        async def on_end(self, event: ls.Event) -> None:
            raise ValueError("no such table")

    real.register("watch", Failing())
    id = real.create("shop").id
    real.end(id)
    until(lambda: (real.explain(id) or pytest.fail()).failures)
    explained = real.explain(id)
    assert explained is not None
    assert explained.failures[0].text == "ValueError: no such table"


def test_deciders_may_use_the_session_they_decide_about(manager: ls.Manager) -> None:
    watch = Watch()

    def start(event: ls.Event) -> None:
        assert event.session is not None
        event.session["by"] = "on_start"
        event.session.idle_timeout = 60
        event.license_class = ls.LicenseClass.NONE

    def login(event: ls.Event) -> None:
        assert event.session is not None
        event.session["last_login"] = event.user
        with pytest.raises(ls.Reentrant):
            manager.begin(event.session.token)

    watch.answers.update(on_start=start, on_login=login)
    manager.register(watch.event_class("watch", "on_start", "on_login"))
    with manager.begin_new("shop") as session:
        session.login("ada")
        assert session["by"] == "on_start"
        assert session["last_login"] == "ada"
        assert session.info().license_pool is None
        assert session.idle_timeout is not None
