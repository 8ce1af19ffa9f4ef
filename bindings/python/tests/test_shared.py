"""One table for all processes: fork in every order, multiprocessing, a foreign SQLite."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from helpers import times

import libsession as ls

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")

PRELUDE = """
import os, signal, sys, threading, traceback
import libsession as ls

def open():
    return ls.Manager(
        "file:" + sys.argv[1],
        applications={"shop": ls.Application(idle_timeout=None, absolute_timeout=None, event_classes=["w"])},
        pools={"users": ls.Pool(capacity=10_000)},
    )

def fork(body):
    main = threading.current_thread() is threading.main_thread()
    pid = os.fork()
    if pid:
        return pid
    try:
        body()
    except Exception:
        traceback.print_exc()
        os._exit(1)
    if len(sys.argv) > 2 and main:
        sys.exit(0)
    os._exit(0)

def reap(*pids):
    for pid in pids:
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert status == 0, status

def add(manager, token, key="n"):
    with manager.begin(token) as session:
        session[key] = session.get(key, 0) + 1

def number(manager, token, key="n"):
    with manager.begin(token) as session:
        return session[key]

def exact(manager, sessions):
    assert manager.count() == sessions, (manager.count(), sessions)
    audit = manager.audit("users")
    assert (audit.counted, audit.recounted, list(audit.differences)) == (sessions, sessions, []), audit
    assert manager.check() == [], manager.check()
"""


def run(code: str, store: Path, *more: str, bound: float = 60) -> str:
    """Runs a program on a store to its end; nothing it starts outlives it."""
    program = subprocess.Popen(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(code), str(store), *more],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        output, errors = program.communicate(timeout=bound)
        assert program.returncode == 0, errors
        for word in ("panicked", "Fatal", "deadlock"):
            assert word not in errors, errors
        return output
    finally:
        try:
            os.killpg(program.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        program.wait()


ORDERS = {
    "before the first use": """
        manager = open()
        def child():
            created = manager.create("shop")
            add(manager, created.token)
            assert number(manager, created.token) == 1
        reap(*[fork(child) for _ in range(3)])
        exact(manager, 3)
        manager.create("shop")
        exact(manager, 4)
    """,
    "after the first use": """
        manager = open()
        token = manager.create("shop").token
        add(manager, token)
        def child():
            for _ in range(25):
                add(manager, token)
            manager.create("shop")
            assert manager.check() == []
        pids = [fork(child) for _ in range(3)]
        for _ in range(25):
            add(manager, token)
        reap(*pids)
        assert number(manager, token) == 101, number(manager, token)
        exact(manager, 4)
    """,
    "a child of a child": """
        manager = open()
        token = manager.create("shop").token
        def child():
            add(manager, token)
            reap(fork(lambda: add(manager, token)))
            add(manager, token)
        reap(fork(child))
        add(manager, token)
        assert number(manager, token) == 4
        exact(manager, 1)
    """,
    "with a request in flight": """
        manager = open()
        token = manager.create("shop").token
        session = manager.begin(token)
        session["n"] = 1
        ready, go = os.pipe()
        refused, told = os.pipe()
        def child():
            for call in (lambda: session["n"], session.save, session.finish, session.info):
                try:
                    call()
                except ls.Forked:
                    pass
                else:
                    raise AssertionError("a request of the parent")
            try:
                manager.begin(token, lock_timeout=0.05)
            except ls.LockTimeout:
                pass
            else:
                raise AssertionError("the parent has the lock")
            os.write(told, b"x")
            os.read(ready, 1)
            add(manager, token)
        pid = fork(child)
        os.read(refused, 1)
        session["n"] = 10
        session.finish()
        os.write(go, b"x")
        reap(pid)
        assert number(manager, token) == 11
        assert manager.stats().in_flight == 0
        exact(manager, 1)
    """,
    "a child that leaves its request behind": """
        manager = open()
        token = manager.create("shop").token
        add(manager, token)
        def child():
            session = manager.begin(token)
            session["n"] = 100
            os.kill(os.getpid(), signal.SIGKILL)
        pid = fork(child)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -9
        with manager.begin(token, lock_timeout=2) as session:
            assert session["n"] == 1
        exact(manager, 1)
    """,
    "inside a callback": """
        manager = open()
        children = []
        class W:
            def on_end(self, event):
                children.append(fork(lambda: manager.create("shop")))
            def on_start(self, event):
                children.append(fork(lambda: manager.count()))
        manager.register("w", W)
        manager.end(manager.create("shop").id, wait=20)
        assert len(children) == 2, children
        reap(*children)
        exact(manager, 1)
    """,
    "inside a callback that the child returns from": """
        manager = open()
        children = []
        class W:
            def on_end(self, event):
                pid = os.fork()
                if pid:
                    children.append(pid)
                else:
                    manager.create("shop")
        manager.register("w", W)
        for n in range(3):
            manager.end(manager.create("shop").id, wait=20)
            # With the callback's thread the child's process ends.
            reap(*children[n:])
        assert len(children) == 3, children
        exact(manager, 3)
    """,
    "from a thread": """
        manager = open()
        token = manager.create("shop").token
        failed = []
        def forking():
            try:
                for _ in range(5):
                    reap(fork(lambda: add(manager, token)))
            except BaseException as error:
                failed.append(error)
        thread = threading.Thread(target=forking)
        thread.start()
        made = 0
        while thread.is_alive():
            manager.create("shop")
            add(manager, token, "mine")
            made += 1
        thread.join()
        assert not failed, failed
        assert (number(manager, token), number(manager, token, "mine")) == (5, made)
        exact(manager, 1 + made)
    """,
}


@pytest.mark.parametrize("leaves", ["by _exit", "by exit"])
@pytest.mark.parametrize("order", ORDERS)
def test_parent_and_child_go_on_exactly_after_a_fork(order: str, leaves: str, tmp_path: Path) -> None:
    run(ORDERS[order], tmp_path / "store", *(["exit"] if leaves == "by exit" else []))


def test_forks_under_load_lose_nothing(tmp_path: Path) -> None:
    rounds = times(15, 1000)
    code = f"""
        manager = open()
        token = manager.create("shop").token
        stop, made, failed = False, 0, []
        def load():
            global made
            try:
                while not stop:
                    manager.end(manager.create("shop").id)
                    manager.create("shop")
                    made += 1
            except BaseException as error:
                failed.append(error)
        threads = [threading.Thread(target=load) for _ in range(2)]
        [thread.start() for thread in threads]
        def child():
            add(manager, token)
            manager.create("shop")
        for _ in range({rounds}):
            reap(fork(child))
        stop = True
        [thread.join() for thread in threads]
        assert not failed, failed
        # Two threads count without a lock: the sessions are counted, not what they say.
        assert number(manager, token) == {rounds}
        assert manager.count() >= 1 + {rounds} + made // 2
        exact(manager, manager.count())
    """
    run(code, tmp_path / "store", bound=600)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(method: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        PRELUDE
        + textwrap.dedent(
            f"""
            import multiprocessing
            manager = open() if "{method}" == "fork" or __name__ == "__main__" else None
            def work(token):
                global manager
                manager = manager or open()
                add(manager, token)
                manager.create("shop")
                return os.getpid()
            if __name__ == "__main__":
                token = manager.create("shop").token
                with multiprocessing.get_context("{method}").Pool(3) as pool:
                    pids = set(pool.map(work, [token] * 60, chunksize=1))
                assert os.getpid() not in pids
                assert number(manager, token) == 60, number(manager, token)
                exact(manager, 61)
            """
        )
    )
    done = subprocess.run(
        [sys.executable, str(program), str(tmp_path / "store")],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "panicked" not in done.stderr, done.stderr


# --- a second SQLite in this process ---


def test_pythons_own_sqlite_may_open_and_close_the_file_while_we_run(tmp_path: Path) -> None:
    store = tmp_path / "store"
    applications = {"shop": ls.Application(idle_timeout=None)}

    def look(mode: str = "rw") -> int:
        other = sqlite3.connect(f"file:{store / 'store.lsdb'}?mode={mode}", timeout=20, uri=True)
        try:
            return int(other.execute("SELECT count(*) FROM session").fetchone()[0])
        finally:
            # The last close of another SQLite drops this process's locks, and may remove the log.
            other.close()

    outside = f"""
        import sqlite3
        for _ in range({times(20, 1000)}):
            other = sqlite3.connect(sys.argv[1] + "/store.lsdb", timeout=20)
            other.execute("SELECT count(*) FROM session").fetchone()
            other.close()
    """
    with ls.Manager(f"file:{store}", applications=applications) as manager:
        tokens: list[str] = []
        for round in range(times(30, 1000)):
            tokens.extend(manager.create("shop", data={"n": round}).token for _ in range(5))
            if round % 3 == 0:
                assert look("ro") == look("rw") == len(tokens)
            if round % 10 == 5:
                run(outside, store)
        for number, token in enumerate(tokens):
            with manager.begin(token) as session:
                assert session["n"] == number // 5
        assert manager.check() == []
    assert look() == len(tokens)
    with ls.Manager(f"file:{store}", applications=applications) as manager:
        assert manager.count() == len(tokens)
        assert all(manager.touch(token) for token in tokens[::7])
        assert manager.check() == []


def test_sessions_outlive_the_interpreter(tmp_path: Path) -> None:
    code = """
        manager = open()
        created = manager.create("shop", data={"a": [1, {"b": None}], "t": "grüße"})
        print(created.token)
    """
    token = run(code, tmp_path / "store").strip()
    with ls.Manager(
        f"file:{tmp_path / 'store'}",
        applications={"shop": ls.Application(idle_timeout=None, absolute_timeout=None, event_classes=["w"])},
        pools={"users": ls.Pool(capacity=10_000)},
    ) as manager:
        with manager.begin(token) as session:
            assert session["a"] == [1, {"b": None}]
            assert session["t"] == "grüße"
        assert manager.usage("users").in_use == 1
