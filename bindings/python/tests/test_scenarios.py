"""Acceptance scenarios: licenses, timeouts, lost updates, close, visibility."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import pytest
from helpers import Watch, times, until

import libsession as ls


def test_lic04_a_failed_create_leaks_nothing(clock: ls.ManualClock) -> None:
    manager = ls.Manager(
        applications={"shop": ls.Application(event_classes=["first", "watch"])},
        pools={"users": ls.Pool(capacity=5, max_sessions_per_holder=1)},
    )
    first, watch = Watch(), Watch()
    manager.register(first.event_class("first", "on_start", "on_end"))
    manager.register(watch.event_class("watch", "on_start", "on_end"))

    def fail(event: ls.Event) -> None:
        raise RuntimeError

    for _ in range(times(200, 10_000)):
        watch.answers["on_start"] = fail
        with pytest.raises(ls.Denied):
            manager.create("shop")
        watch.answers["on_start"] = lambda event: ls.Deny("no")
        with pytest.raises(ls.Denied):
            manager.create("shop")
        watch.answers.clear()
        with pytest.raises(ls.QuotaExceeded):
            manager.create("shop", data={"x": "x" * 70_000})
    clock.advance()
    assert "on_end" not in watch.kinds()
    # The first class's `on_start` returned: it is told of the end, and only it.
    assert first.kinds().count("on_end") == 2 * times(200, 10_000)
    live = [manager.create("shop") for _ in range(5)]
    for _ in range(times(200, 10_000)):
        with pytest.raises(ls.LicenseDenied) as denied:
            manager.create("shop")
        assert denied.value.reason is ls.DenyReason.POOL_EXHAUSTED
    assert manager.usage("users").in_use == 5
    for created in live:
        manager.end(created.id)
    # One session per holder: the second login of a user is refused, and changes nothing.
    with manager.begin_new("shop") as session:
        session.login("ada")
        with manager.begin_new("shop") as second:
            login = second.login("ada")
            assert isinstance(login.trade_denied, ls.LicenseDenied)
            assert login.trade_denied.reason is ls.DenyReason.HOLDER_LIMIT
            second.end()
        session.end()
    assert manager.count() == 0
    assert manager.usage("users").in_use == 0
    assert manager.audit("users").differences == ()
    assert manager.check() == []


def test_exp01_touches_move_the_idle_deadline_and_never_the_absolute_one(clock: ls.ManualClock) -> None:
    manager = ls.Manager(applications={"shop": ls.Application(idle_timeout=900, absolute_timeout=3600)})
    created = manager.create("shop")
    for _ in range(5):
        clock.advance(seconds=600)
        assert manager.touch(created.token) is not None
    manager.set_idle_timeout(created.id, timedelta(minutes=45))
    clock.advance(milliseconds=599_999)
    assert manager.touch(created.token, "none") == timedelta(milliseconds=1)
    clock.advance(milliseconds=1)
    with pytest.raises(ls.Gone) as gone:
        manager.touch(created.token)
    assert gone.value.reason is ls.EndReason.ABSOLUTE_TIMEOUT
    explained = manager.explain(created.id)
    assert explained is not None
    assert explained.ended is not None
    assert explained.ended.at_ms == 3_600_000
    assert explained.ended.late == timedelta(0)

    shorter = manager.create("shop")
    clock.advance(seconds=899)
    with manager.begin(shorter.token) as session:
        session.idle_timeout = 60
        clock.advance(seconds=120)  # in flight: not idle
    clock.advance(seconds=59)
    manager.touch(shorter.token, "none")
    clock.advance(seconds=1)
    with pytest.raises(ls.Gone, match="idle_timeout"):
        manager.touch(shorter.token)


def test_an_eight_hour_timeout_takes_no_time(clock: ls.ManualClock) -> None:
    manager = ls.Manager(applications={"shop": ls.Application(idle_timeout=timedelta(hours=8))})
    manager.create("shop")
    started = time.monotonic()
    clock.advance(hours=7, minutes=59, seconds=59)
    assert manager.count() == 1
    clock.advance(timedelta(seconds=1))
    assert manager.count() == 0
    assert time.monotonic() - started < 1


def test_the_wall_clock_moves_no_deadline_and_suspend_only_the_absolute_one(clock: ls.ManualClock) -> None:
    manager = ls.Manager(applications={"shop": ls.Application(idle_timeout=900, absolute_timeout=3600)})
    created = manager.create("shop")
    clock.set_wall(clock.wall + timedelta(days=3650))
    clock.advance()
    assert clock.wall.year == 2035
    assert manager.count() == 1
    clock.suspend(minutes=30)
    assert manager.count() == 1
    clock.suspend(minutes=30)
    with pytest.raises(ls.Gone, match="absolute_timeout"):
        manager.begin(created.token)
    assert manager.count() == 0


def test_race02_no_update_is_lost() -> None:
    writers, each = 16, times(100, 6_250)
    with ls.Manager(applications={"shop": ls.Application(absolute_timeout=None)}) as manager:
        created = manager.create("shop", data={"n": 0, "m": 0})
        conflicts = [0] * writers

        def write(number: int) -> None:
            for _ in range(each):
                with manager.begin(created.token, lock="shared") as session:
                    session[f"own{number}"] = session.get(f"own{number}", 0) + 1
                while True:
                    with manager.begin(created.token, lock="none") as session:
                        seen = session["n"]
                        try:
                            session.compare_and_set("n", seen, seen + 1)
                            break
                        except ls.Conflict as conflict:
                            assert conflict.keys == ("n",)
                            conflicts[number] += 1
                with manager.begin(created.token) as session:
                    session["m"] += 1

        threads = [threading.Thread(target=write, args=(number,)) for number in range(writers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with manager.begin(created.token) as session:
            assert session["n"] == session["m"] == writers * each
            assert [session[f"own{number}"] for number in range(writers)] == [each] * writers
            stale = session.get_versioned("n")[1]
        with manager.begin(created.token) as session:
            session["n"] = 0
        with pytest.raises(ls.Conflict):
            with manager.begin(created.token) as session:
                session.expect_version("n", stale)
                session["n"] = 1


def test_shut03_close_under_load_twice_and_at_once() -> None:
    manager = ls.Manager(
        applications={"shop": ls.Application(event_classes=["hangs"])}, pools={"users": ls.Pool(capacity=1_000_000)}
    )
    never = threading.Event()

    @manager.event_class("hangs")
    class Hangs:
        def on_end(self, event: ls.Event) -> None:
            never.wait(30)

    outcomes: set[str] = set()
    ready = threading.Barrier(65)

    def load() -> None:
        ready.wait()
        try:
            while True:
                with manager.begin_new("shop") as session:
                    session["x"] = 1
        except ls.SessionError as error:
            outcomes.add(error.kind)

    threads = [threading.Thread(target=load) for _ in range(64)]
    for thread in threads:
        thread.start()
    ready.wait()
    until(lambda: manager.count() > 100)
    reports: list[ls.CloseReport] = []
    closers = [threading.Thread(target=lambda: reports.append(manager.close(grace=0.5))) for _ in range(4)]
    started = time.monotonic()
    for closer in closers:
        closer.start()
    for closer in closers:
        closer.join()
    took = time.monotonic() - started
    for thread in threads:
        thread.join()
    never.set()
    # Not the 30 s of the callback.
    assert took < 20
    assert outcomes <= {"closed", "closing", "gone"}
    assert reports == [reports[0]] * 4
    assert manager.close() == reports[0]
    assert reports[0].ended >= 100
    assert reports[0].undelivered > 0


def test_obs01_nothing_hides(manager: ls.Manager, clock: ls.ManualClock) -> None:
    @manager.event_class("watch")
    class Hanging:
        def on_end(self, event: ls.Event) -> None:
            event.hang()
            release.wait()

        def on_start_request(self, event: ls.Event) -> None:
            raise RuntimeError("the disk is full")

    release = threading.Event()
    damaged, locked = manager.create("shop"), manager.create("shop")
    holding = manager.begin(locked.token)
    manager.damage(damaged.id)
    clock.advance(minutes=1)
    stats = manager.stats()
    assert (stats.damaged, stats.in_flight, stats.callbacks_failed) == (1, 1, 4)
    explained = manager.explain(locked.id)
    assert explained is not None
    assert explained.requests[0].lock is ls.LockMode.EXCLUSIVE
    assert "the disk is full" in explained.failures[0].text
    assert explained.next is not None
    assert str(explained) == explained.text
    assert [info.id for info in manager.sessions(damaged=True)] == [damaged.id]
    for created in (damaged, locked):
        receipt = manager.end(created.id, reason="revoked", actor="admin", note="by hand")
        assert receipt.by_this_call
        assert (receipt.reason, receipt.actor, receipt.note) == (ls.EndReason.REVOKED, "admin", "by hand")
        assert receipt.license_free_at == receipt.at
    with pytest.raises(ls.Gone, match="revoked"):
        holding["x"] = 1
    clock.advance(seconds=6)
    stats = manager.stats()
    assert stats.stuck_workers == 2
    assert stats.live == 0
    assert len(manager.dead_letters()) == 3
    assert manager.usage("users").in_use == 0
    assert manager.audit("users") == ls.Audit("users", 0, 0, ())
    assert [record.kind for record in manager.audit_records("users")] == ["grant", "grant", "release", "release"]
    assert manager.check() == []
    release.set()


def test_a_stalled_reaper_is_seen_and_correctness_does_not_depend_on_it() -> None:
    with ls.Manager(
        applications={"shop": ls.Application(idle_timeout=0.2)}, pools={"users": ls.Pool(capacity=1)}, debug=True
    ) as manager:
        created = manager.create("shop")
        manager.stall_reaper(True)
        until(lambda: manager.stats().reaper == "degraded", 5)
        assert manager.stats().degraded

        def gone() -> bool:
            try:
                manager.touch(created.token, "none")
            except ls.Gone as error:
                return error.reason is ls.EndReason.IDLE_TIMEOUT
            return False

        until(gone, 5)
        assert manager.usage("users").in_use == 0
        until(lambda: manager.stats().reaper_restarts > 0, 5)
        manager.stall_reaper(False)
        manager.create("shop")
        until(lambda: manager.count() == 0, 5)


def test_bulk_changes_are_paced_and_spare_the_protected(clock: ls.ManualClock) -> None:
    manager = ls.Manager(
        applications={"shop": ls.Application(), "safe": ls.Application(protected_from_bulk_end=True)}
    )
    for number in range(25):
        with manager.begin_new("shop") as session:
            session.login("ada" if number % 2 else "bob")
    manager.create("safe")
    assert sum(1 for _ in manager.sessions(user="ada")) == 12
    page = manager.list(limit=10)
    assert len(page.sessions) == 10
    progress = manager.set_idle_timeout_where(timedelta(minutes=45), application="shop")
    assert (progress.changed, progress.next) == (25, None)
    ended, cursor = 0, 0
    while True:
        progress = manager.end_where(cursor=cursor, limit=10, reason="revoked")
        ended += progress.changed
        if progress.next is None:
            break
        cursor = progress.next
    assert ended == 25
    assert manager.count() == 1


def test_no_thread_mode_and_poll_mode() -> None:
    watch = Watch()
    clock = ls.ManualClock()
    with ls.Manager(
        applications={"shop": ls.Application(event_classes=["watch"], idle_timeout=10)},
        clock=clock,
        dispatch="poll",
    ) as manager:
        woken = threading.Event()
        manager.set_wake(woken.set)
        manager.register(watch.event_class("watch", "on_end"))
        manager.end(manager.create("shop").id)
        assert woken.wait(5)
        assert watch.seen == []
        assert manager.dispatch() == 1
        assert watch.seen == [("on_end", "ended")]
        manager.set_wake(None)
        with pytest.raises(TypeError):
            manager.set_wake(3)
    with ls.Manager(applications={"shop": ls.Application(idle_timeout=3600)}, threads=False) as manager:
        manager.create("shop")
        left = manager.tick()
        assert left is not None
        assert left <= timedelta(hours=1)
