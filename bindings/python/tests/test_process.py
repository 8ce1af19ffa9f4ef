"""The process around: exit, fork, signals, threads, the log."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from helpers import times, until

import libsession as ls

PENDING = """
import threading, sys, os
import libsession as ls
manager = ls.Manager(applications={"shop": ls.Application(event_classes=["a", "b"], idle_timeout=0.02)})

@manager.event_class("a")
class A:
    def on_end(self, event):
        threading.Event().wait(0.001)
    def on_start_request(self, event):
        raise ValueError

@manager.event_class("b")
class B:
    async def on_end(self, event):
        pass
    def on_expiring(self, event):
        return None

for _ in range(200):
    session = manager.begin_new("shop")
    session["x"] = [1]
"""

ENDINGS = {
    "returns": ("", 0),
    "exits": ("sys.exit(3)", 3),
    "raises": ("raise RuntimeError", 1),
    "closed": ("manager.close(grace=0.2)", 0),
    "in a daemon thread": (
        "threading.Thread(target=lambda: [manager.begin_new('shop') for _ in iter(int, 1)], daemon=True).start()",
        0,
    ),
    "in an event loop": (
        "import asyncio\nasync def main():\n    asyncio.ensure_future(manager.abegin(session.token))\n"
        "    await asyncio.sleep(0)\nasyncio.run(main())",
        0,
    ),
    "manager deleted": ("del manager, session, A, B", 0),
    "hung callback": (
        "class C:\n    def on_end(self, event): threading.Event().wait()\n"
        "manager.unregister('a')\nmanager.register('a', C)\n[manager.end(s.id) for s in manager.sessions()]",
        0,
    ),
    "a fork": (
        "pid = os.fork()\nif not pid:\n    sys.exit(0)\nassert os.waitpid(pid, 0)[1] == 0",
        0,
    ),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_shut01_the_interpreter_exits_cleanly_with_pending_events(ending: str) -> None:
    code, expected = ENDINGS[ending]
    # 54 exits in all by default: nine endings, six times at once (they mostly wait for their grace).
    with ThreadPoolExecutor(6) as pool:
        for done, took in pool.map(lambda _: run(f"{PENDING}\n{code}\n"), range(times(6, 120))):
            assert done.returncode == expected, done.stderr
            for word in ("panicked", "Fatal", "Aborted", "deadlock"):
                assert word not in done.stderr, done.stderr
            assert took < 20


def run(code: str) -> tuple[subprocess.CompletedProcess[str], float]:
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "ignore", "-c", code],
        capture_output=True, text=True, timeout=60, check=False, env={**os.environ, "RUST_BACKTRACE": "0"},
    )  # fmt: skip
    return done, time.monotonic() - started


def test_importing_starts_no_thread() -> None:
    code = "import os, libsession as ls; m = ls.Manager(); print(len(os.listdir('/proc/self/task')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize("used", [False, True])
def test_in_the_child_of_a_fork_everything_is_forked(used: bool) -> None:
    code = f"""
import os, sys
import libsession as ls
manager = ls.Manager(applications={{"shop": ls.Application()}})
if {used}:
    session = manager.begin_new("shop", data={{"x": 1}})
pid = os.fork()
if pid == 0:
    calls = [manager.count, lambda: manager.create("shop"), lambda: manager.begin("x" * 40), manager.stats, manager.check]
    if {used}:
        calls += [lambda: session["x"], session.finish, session.info]
    for call in calls:
        try:
            call()
            os._exit(10)
        except ls.Forked as error:
            assert "fork" in str(error), error
    fresh = ls.Manager(applications={{"shop": ls.Application(event_classes=["w"])}})
    ended = []
    class W:
        def on_end(self, event):
            ended.append(event.reason)
    fresh.register("w", W)
    fresh.end(fresh.create("shop").id, wait=5)
    assert ended == ["ended"], ended
    sys.exit(7)
status = os.waitpid(pid, 0)[1]
assert os.waitstatus_to_exitcode(status) == 7, status
if {used}:
    assert session["x"] == 1
    session.finish()
    assert manager.count() == 1
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr


def test_forks_under_load_leave_the_parent_exact() -> None:
    code = f"""
import os, threading
import libsession as ls
manager = ls.Manager(applications={{"shop": ls.Application(event_classes=["w"])}})
count = 0
class W:
    def on_end(self, event):
        global count
        count += 1
manager.register("w", W)
stop = False
made = 0
def load():
    global made
    while not stop:
        manager.end(manager.create("shop").id)
        made += 1
thread = threading.Thread(target=load)
thread.start()
for _ in range({times(20, 1000)}):
    pid = os.fork()
    if pid == 0:
        try:
            manager.count()
        except ls.Forked:
            os._exit(0)
        os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0
stop = True
thread.join()
assert manager.drain(10)
assert count == made, (count, made)
assert manager.check() == []
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Who starts the tests in the background may have them ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_ends_a_wait_for_a_lock() -> None:
    manager = ls.Manager(applications={"shop": ls.Application()})
    created = manager.create("shop")
    holding = manager.begin(created.token)
    relock = manager.begin(created.token, lock="none")
    for wait in (lambda: manager.begin(created.token), lambda: relock.lock("exclusive"), lambda: manager.drain(30)):
        if wait is not None:
            timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
            timer.start()
            started = time.monotonic()
            try:
                wait()
            except KeyboardInterrupt:
                pass
            else:  # there was nothing to drain
                with pytest.raises(KeyboardInterrupt):
                    threading.Event().wait(5)
            assert time.monotonic() - started < 2
            timer.join()
    holding.finish()
    # What was given up holds nothing.
    until(lambda: manager.stats().in_flight == 1)
    relock.finish()
    with manager.begin(created.token, lock_timeout=0):
        pass
    manager.close(grace=0.1)


def test_waiting_for_a_lock_lets_other_threads_run() -> None:
    with ls.Manager(applications={"shop": ls.Application()}) as manager:
        created = manager.create("shop")
        holding = manager.begin(created.token)
        threading.Timer(0.1, holding.finish).start()
        started = time.monotonic()
        with manager.begin(created.token):
            assert 0.05 < time.monotonic() - started < 5
        with manager.begin(created.token), pytest.raises(ls.LockTimeout) as error:
            manager.begin(created.token, lock_timeout=0.05)
        assert isinstance(error.value, TimeoutError)


def test_callback_threads_are_attached_once() -> None:
    local = threading.local()
    seen: list[int] = []
    with ls.Manager(applications={"shop": ls.Application(event_classes=["w"])}, workers=1) as manager:

        @manager.event_class("w")
        class Watching:
            def on_end(self, event: ls.Event) -> None:
                local.count = getattr(local, "count", -1) + 1
                seen.append(local.count)

        for _ in range(5):
            manager.end(manager.create("shop").id, wait=5)
    assert seen == [0, 1, 2, 3, 4]


def test_the_log_is_pythons(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "libsession"):
        manager = ls.Manager(applications={"shop": ls.Application(event_classes=["w"])}, retries=0)

        @manager.event_class("w")
        class Failing:
            def on_end(self, event: ls.Event) -> None:
                raise RuntimeError("a mishap")

        created = manager.create("shop", data={"secret": "s3cr3t"})
        manager.end(created.id)
        until(lambda: any("a mishap" in record.message for record in caplog.records))
        manager.close(grace=0.1)
    assert {record.name for record in caplog.records} == {"libsession"}
    assert created.token not in caplog.text
    assert "s3cr3t" not in caplog.text
