"""Callbacks that misbehave: nothing they do keeps a session, a unit or a caller."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from helpers import Watch, times, until

import libsession as ls


def _text_that_raises() -> BaseException:
    class Bad(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    return Bad()


RAISED: dict[str, Callable[[], BaseException]] = {
    "Exception": lambda: Exception("boom"),
    "ValueError": lambda: ValueError("boom"),
    "SystemExit": lambda: SystemExit(3),
    "KeyboardInterrupt": KeyboardInterrupt,
    "GeneratorExit": GeneratorExit,
    "BaseException": lambda: BaseException("boom"),
    "bad text": _text_that_raises,
    "session error": lambda: ls.Gone("boom"),
}


def raising(name: str) -> Callable[[ls.Event], Any]:
    def callback(event: ls.Event) -> None:
        raise RAISED[name]()

    return callback


@pytest.fixture
def watched(manager: ls.Manager) -> Watch:
    watch = Watch()
    manager.register(watch.event_class("watch"))
    return watch


@pytest.mark.parametrize("name", RAISED)
def test_cb01_a_notification_that_raises_is_retried_and_becomes_a_dead_letter(
    manager: ls.Manager, clock: ls.ManualClock, watched: Watch, name: str
) -> None:
    for kind in ("on_end", "on_timeout", "on_start_request", "on_end_request"):
        watched.answers[kind] = raising(name)
    created = manager.create("shop")
    with manager.begin(created.token):
        pass
    clock.advance(minutes=20)
    clock.advance(minutes=20)
    with pytest.raises(ls.Gone, match="idle_timeout"):
        manager.begin(created.token)
    letters = manager.dead_letters()
    assert sorted(letter.kind for letter in letters) == ["on_end", "on_end_request", "on_start_request", "on_timeout"]
    for letter in letters:
        assert letter.session_id == created.id
        assert letter.event_class == "watch"
        assert letter.attempts == 4
        assert created.token not in repr(letter)
        expected = {"Exception": "boom", "bad text": "Bad"}.get(name, RAISED[name]().__class__.__name__)
        assert expected in letter.error or "no text" in letter.error
    assert watched.kinds().count("on_end") == 4
    assert manager.usage("users").in_use == 0
    assert manager.check() == []
    watched.answers.clear()
    assert manager.redeliver() == 4
    clock.advance()
    assert manager.dead_letters() == []
    assert watched.events[-1].redelivered


@pytest.mark.parametrize("name", RAISED)
def test_cb01_a_decider_that_raises_counts_as_its_safe_side(
    manager: ls.Manager, clock: ls.ManualClock, watched: Watch, name: str
) -> None:
    session = manager.begin_new("shop")
    session.login("ada")
    for kind in ("on_start", "on_login", "on_logout", "on_expiring"):
        watched.answers[kind] = raising(name)
    with pytest.raises(ls.Denied):
        manager.create("shop")
    with pytest.raises(ls.Denied):
        session.login("eve")
    assert session.user == "ada"
    assert session.logout().ended is None
    assert session.user is None
    session.finish()
    clock.advance(minutes=20)
    assert manager.count() == 0
    assert watched.kinds().count("on_login") == 2
    assert watched.kinds().count("on_start") == 2
    assert manager.check() == []


@pytest.mark.parametrize("answer", [1, "yes", [], object(), timedelta(1), ls.Extend(3)])
def test_an_answer_that_is_none_is_a_failure_and_says_so(manager: ls.Manager, watched: Watch, answer: object) -> None:
    watched.answers["on_start"] = lambda event: answer
    with pytest.raises(ls.Denied, match="on_start"):
        manager.create("shop")
    assert manager.count() == 0


@pytest.mark.parametrize("answer", [timedelta(seconds=60), ls.Extend(60), ls.Extend(timedelta(minutes=1)), 60, 60.0])
def test_an_extension_is_a_timedelta_or_seconds(clock: ls.ManualClock, answer: ls.Verdict) -> None:
    manager = ls.Manager(applications={"shop": ls.Application(event_classes=["watch"], max_extensions=1)})
    watch = Watch()
    watch.answers["on_expiring"] = lambda event: answer
    manager.register(watch.event_class("watch", "on_expiring"))
    id = manager.create("shop").id
    clock.advance(minutes=15)
    explained = manager.explain(id)
    assert explained is not None
    assert [(grant.event_class, grant.by) for grant in explained.extensions] == [("watch", timedelta(seconds=60))]
    clock.advance(minutes=1)
    assert manager.count() == 0


def test_a_refusal_carries_its_text(manager: ls.Manager, watched: Watch) -> None:
    watched.answers["on_start"] = lambda event: ls.Deny("we are closed")
    with pytest.raises(ls.Denied, match="we are closed"):
        manager.create("shop")
    watched.answers["on_start"] = lambda event: False
    with pytest.raises(ls.Denied):
        manager.create("shop")
    watched.answers["on_start"] = lambda event: True
    manager.create("shop")


def test_cb05_a_callback_that_wants_its_callers_lock() -> None:
    lock, seen = threading.Lock(), threading.Event()
    with ls.Manager(applications={"shop": ls.Application(event_classes=["watch"])}) as manager:

        @manager.event_class("watch")
        class Watching:
            def on_end(self, event: ls.Event) -> None:
                with lock:
                    seen.set()

        id = manager.create("shop").id
        with lock:
            started = time.monotonic()
            assert manager.end(id).by_this_call
            assert time.monotonic() - started < 1
            assert not seen.is_set()
        assert seen.wait(5)


def test_cb06_slow_callbacks_under_load_make_nobody_wait() -> None:
    ends = times(2_000, 100_000)
    manager = ls.Manager(
        applications={"shop": ls.Application(event_classes=["slow"])}, queue=ends // 10, workers=4
    )
    called = 0

    @manager.event_class("slow")
    class Slow:
        def on_end(self, event: ls.Event) -> None:
            nonlocal called
            threading.Event().wait(0.005)
            called += 1

    ids = [manager.create("shop").id for _ in range(ends)]
    started = time.monotonic()
    for id in ids:
        manager.end(id)
    took = time.monotonic() - started
    assert took < ends * 0.005 / 4, "ends waited for callbacks"
    until(lambda: manager.stats().callbacks_queued + manager.stats().callbacks_running == 0, 60)
    stats = manager.stats()
    assert stats.callbacks_delivered + stats.dead_letters == ends
    assert stats.dead_letters > 0
    assert manager.dead_letters(limit=1)[0].error == "queue_full"
    assert called == stats.callbacks_delivered
    manager.close(grace=1)


@pytest.mark.parametrize("budget", [0, 2])
def test_cb07_no_way_to_keep_a_session(clock: ls.ManualClock, budget: int) -> None:
    manager = ls.Manager(
        applications={
            "shop": ls.Application(
                event_classes=["watch"], idle_timeout=900, absolute_timeout=3600, max_extensions=budget
            )
        },
        pools={"users": ls.Pool(capacity=1)},
        tombstone=86_400,
    )
    tokens: list[str] = []
    results: list[object] = []

    def fight(event: ls.Event) -> Any:
        event.end_session = False
        for attempt in (
            lambda: manager.touch(tokens[0]),
            lambda: manager.set_idle_timeout(event.session_id, None) and None,
            lambda: manager.begin(tokens[0], lock_timeout=0).save(),
        ):
            try:
                results.append(attempt())
            except ls.SessionError as error:
                results.append(error.kind)
        return None if event.kind != "on_expiring" else timedelta(hours=10)

    @manager.event_class("watch")
    class Fighter:
        on_timeout = staticmethod(fight)
        on_end = staticmethod(fight)

        def on_expiring(self, event: ls.Event) -> ls.Verdict:
            return timedelta(hours=10)

    tokens.append(manager.create("shop").token)
    for _ in range(61):
        clock.advance(minutes=1)
    with pytest.raises(ls.Gone):
        manager.begin(tokens[0])
    assert manager.usage("users").in_use == 0
    assert "gone" in results
    ended = next(entry for entry in manager.lifecycle() if entry.what == "ended")
    extended = [entry for entry in manager.lifecycle() if entry.what == "extended"]
    assert len(extended) == budget
    assert ended.at_ms == min(900_000 * (1 + budget), 3_600_000)
    assert manager.check() == []


def test_cb09_unregistering_while_events_fire_frees_each_handler_once() -> None:
    rounds = times(300, 100_000)
    freed: list[int] = []
    late: list[int] = []
    manager = ls.Manager(applications={"shop": ls.Application(event_classes=["c"])}, threads=True)
    stop = threading.Event()

    class Handler:
        def __init__(self, number: int) -> None:
            self.number = number
            self.over = False

        def on_end(self, event: ls.Event) -> None:
            if self.over:
                late.append(self.number)

    def fire() -> None:
        while not stop.is_set():
            manager.end(manager.create("shop").id)

    firing = threading.Thread(target=fire)
    firing.start()
    try:
        for number in range(rounds):
            handler = Handler(number)
            weakref.finalize(handler, freed.append, number)
            manager.register("c", handler)
            assert manager.unregister("c")
            handler.over = True
            del handler
    finally:
        stop.set()
        firing.join()
    manager.close(grace=1)
    del manager
    gc.collect()
    assert late == []
    assert sorted(freed) == list(range(rounds))


def test_unregistering_inside_its_own_callback_is_reentrant(manager: ls.Manager, clock: ls.ManualClock) -> None:
    watch = Watch()
    errors: list[object] = []

    def callback(event: ls.Event) -> None:
        for call in (lambda: manager.unregister("watch"), lambda: clock.advance(seconds=1)):
            try:
                call()
            except ls.Reentrant as error:
                errors.append(error.kind)

    watch.answers["on_end"] = callback
    manager.register(watch.event_class("watch", "on_end"))
    manager.end(manager.create("shop").id)
    clock.advance()
    assert errors == ["reentrant", "reentrant"]


def test_any_call_is_possible_inside_a_callback(manager: ls.Manager, clock: ls.ManualClock) -> None:
    watch = Watch()
    done: list[str] = []

    def callback(event: ls.Event) -> None:
        if done:
            return
        done.append("once")
        other = manager.begin_new("shop")
        other["x"] = event.session_id
        other.finish()
        assert manager.end(other.id).by_this_call
        assert not manager.end(event.session_id).by_this_call
        assert manager.explain(event.session_id) is not None
        assert manager.stats().live == 0
        assert manager.check() == []
        done.append("all")

    watch.answers["on_end"] = callback
    manager.register(watch.event_class("watch", "on_end"))
    manager.end(manager.create("shop").id)
    clock.advance()
    assert done == ["once", "all"]


def test_a_close_inside_a_callback_is_deferred() -> None:
    manager = ls.Manager(applications={"shop": ls.Application(event_classes=["watch"])})
    reports: list[ls.CloseReport] = []

    @manager.event_class("watch")
    class Closing:
        def on_end(self, event: ls.Event) -> None:
            reports.append(manager.close(grace=1))

    manager.end(manager.create("shop").id)
    until(lambda: manager.is_closed and reports)
    assert reports[0].deferred


def test_a_callback_that_hangs_is_seen_and_does_not_matter(manager: ls.Manager, clock: ls.ManualClock) -> None:
    release = threading.Event()

    @manager.event_class("watch")
    class Hanging:
        def on_end(self, event: ls.Event) -> None:
            if event.attempt == 1:
                clock.hang()
                release.wait()

    created = manager.create("shop")
    assert manager.end(created.id).license_free_at_ms == 0
    assert clock.advance(seconds=6) == 1
    stats = manager.stats()
    assert stats.callbacks_overrun == 1
    assert stats.stuck_workers == 1
    assert manager.usage("users").in_use == 0
    assert manager.dead_letters()[0].error == "overrun"
    release.set()
    until(lambda: manager.dead_letters()[0].completed_late)
    assert manager.stats().stuck_workers == 0


def test_attributes_of_an_event(manager: ls.Manager, clock: ls.ManualClock) -> None:
    watch = Watch()
    manager.register(watch.event_class("watch"))
    session = manager.begin_new("shop", data={"a": {"b": [1]}, "n": None})
    session["t", 1] = "x"
    session.login("ada")
    session.finish()
    clock.advance(minutes=15)
    event = next(event for event in watch.events if event.kind is ls.EventKind.END)
    assert event.reason is ls.EndReason.IDLE_TIMEOUT
    assert event.level is ls.EndLevel.REQUEST
    assert event.thread is ls.ThreadKind.REAPER
    assert event.session_id == session.id
    assert event.application == "shop"
    assert event.namespace == ""
    assert event.user == "ada"
    assert event.attempt == 1
    assert not event.redelivered
    assert event.at_ms == 900_000
    assert event.at.isoformat() == "2026-01-01T00:15:00+00:00"
    assert event.data == {"a": {"b": [1]}, "n": None, "t": {1: "x"}}
    with pytest.raises(TypeError):
        event.data["a"] = 1  # type: ignore[index]
    assert event.get(("t", 1)) == "x"
    assert event.get("no", 5) == 5
    assert event.entries()[-1] == (("t", 1), "x")
    assert event.session is None
    assert event.pool is None
    assert event.remaining is None
    assert event.end_session
    assert session.id in repr(event)
    expiring = next(event for event in watch.events if event.kind == "on_expiring")
    assert expiring.remaining == timedelta(seconds=5)
    login = next(event for event in watch.events if event.kind == "on_login")
    assert (login.old_user, login.user) == (None, "ada")
    assert login.time_left <= timedelta(seconds=5)


def test_pool_events_tell_the_pool(clock: ls.ManualClock) -> None:
    manager = ls.Manager(
        applications={"shop": ls.Application(event_classes=["watch"])}, pools={"users": ls.Pool(capacity=1)}
    )
    watch = Watch()
    manager.register(watch.event_class("watch", "on_pool_exhausted", "on_license_denied"))
    manager.create("shop")
    with pytest.raises(ls.LicenseDenied):
        manager.create("shop")
    clock.advance()
    assert {event.kind for event in watch.events} == {"on_pool_exhausted", "on_license_denied"}
    assert watch.events[-1].pool == ls.PoolState("users", 1, 1)


def test_damaged_data_is_corrupt_and_ends_all_the_same(manager: ls.Manager, clock: ls.ManualClock) -> None:
    watch = Watch()
    manager.register(watch.event_class("watch", "on_end"))
    created = manager.create("shop", data={"x": 1})
    assert manager.damage(created.id)
    with pytest.raises(ls.Corrupt):
        manager.begin(created.token)
    assert manager.list(damaged=True).sessions[0].data_bytes is None
    clock.advance(minutes=15)
    assert manager.count() == 0
    with pytest.raises(ls.Corrupt):
        _ = watch.events[0].data
