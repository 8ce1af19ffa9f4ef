"""Pre-fork servers: the workers of gunicorn and of uWSGI have one table and one pool."""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from helpers import until

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")

APPLICATION = """
import json, os, signal
from urllib.parse import parse_qsl
import libsession as ls

manager = ls.Manager(
    "file:" + os.environ["STORE"],
    applications={"shop": ls.Application(idle_timeout=None)},
    pools={"users": ls.Pool(capacity=3)},
)

def answer(path, query):
    if path == "/new":
        return {"token": manager.create("shop").token}
    if path == "/add":
        with manager.begin(query["token"], lock_timeout=5) as session:
            session["n"] = session.get("n", 0) + 1
            return {"n": session["n"]}
    if path == "/die":
        session = manager.begin(query["token"])
        session["n"] = -1
        os.kill(os.getpid(), signal.SIGKILL)
    if path == "/audit":
        audit = manager.audit("users")
        return {"counted": audit.counted, "recounted": audit.recounted, "check": manager.check()}
    raise LookupError(path)

def app(environ, start_response):
    try:
        found = answer(environ["PATH_INFO"], dict(parse_qsl(environ["QUERY_STRING"])))
        status = "200 OK"
    except ls.LicenseDenied as error:
        found, status = {"denied": error.reason}, "503 Service Unavailable"
    body = json.dumps({"pid": os.getpid(), **found}).encode()
    start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
"""

GUNICORN = """
bind = "127.0.0.1:0"
loglevel = "warning"

def when_ready(server):
    print("port", server.LISTENERS[0].sock.getsockname()[1], flush=True)
"""


class Server:
    """A pre-fork server of two workers, and one connection for each question."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(self, path: str, **query: str) -> dict[str, object]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            words = "&".join(f"{key}={value}" for key, value in query.items())
            connection.request("GET", f"{path}?{words}")
            answer: dict[str, object] = json.loads(connection.getresponse().read())
            return answer
        finally:
            connection.close()


@contextmanager
def serving(command: list[str], directory: Path) -> Iterator[Server]:
    (directory / "application.py").write_text(APPLICATION)
    (directory / "gunicorn.conf.py").write_text(GUNICORN)
    server = subprocess.Popen(
        command, cwd=directory, env={**os.environ, "STORE": str(directory / "store")},
        stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        assert server.stdout is not None
        for line in server.stdout:
            if line.startswith("port "):
                yield Server(int(line.split()[1]))
                break
        else:
            pytest.fail(f"{command[0]} did not come up")
        server.terminate()
        server.wait(timeout=20)
    finally:
        try:
            os.killpg(server.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        server.wait()
        if server.stdout is not None:
            server.stdout.close()


def one_table_in_two_workers(server: Server) -> None:
    token = str(server.ask("/new")["token"])
    pids: set[object] = set()
    added = 0

    def add() -> bool:
        nonlocal added
        answer = server.ask("/add", token=token)
        added += 1
        assert answer["n"] == added
        pids.add(answer["pid"])
        return len(pids) == 2 and added >= 30

    until(add, 30)
    # From many connections at once nothing is lost either.
    threads = [threading.Thread(target=server.ask, args=("/add",), kwargs={"token": token}) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    added += 8
    # The pool is one for both: 3 units, of which one is taken.
    answers = [server.ask("/new") for _ in range(6)]
    assert sum("token" in answer for answer in answers) == 2
    assert sum(answer.get("denied") == "pool_exhausted" for answer in answers) == 4
    # A worker is killed in the middle of a request: its lock is free, what it had not finished is not written.
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        server.ask("/die", token=token)
    assert server.ask("/add", token=token)["n"] == added + 1
    audit = server.ask("/audit")
    assert (audit["counted"], audit["recounted"], audit["check"]) == (3, 3, [])


def skip(capsys: pytest.CaptureFixture[str], what: str) -> None:
    """Skips, and says so where it is seen."""
    with capsys.disabled():
        print(f"\nSKIPPED: {what}")
    pytest.skip(what)


@pytest.mark.parametrize("preload", [False, True])
def test_gunicorn(preload: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if importlib.util.find_spec("gunicorn") is None:
        skip(capsys, "gunicorn is not installed: demo/python/requirements.txt has it")
    command = [sys.executable, "-m", "gunicorn", "--workers", "2", "--worker-class", "gthread", "--threads", "4"]
    with serving([*command, *(["--preload"] if preload else []), "application:app"], tmp_path) as server:
        one_table_in_two_workers(server)


@pytest.mark.parametrize("lazy", [False, True])
def test_uwsgi(lazy: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places = [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    program = shutil.which("uwsgi", path=os.pathsep.join(places))
    if program is None:
        skip(capsys, "uWSGI is not installed: requirements-dev.txt has it (pyuwsgi)")
        return
    # uWSGI does not say which port it was given: the system names a free one, and uWSGI takes it.
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--http-socket", f"127.0.0.1:{port}", "--master", "--processes", "2", "--enable-threads", "--die-on-term"]
    script = [program, *options, "--module", "application:app", "--disable-logging", *(["--lazy-apps"] if lazy else [])]
    waiting = (
        "import socket, subprocess, sys, time\n"
        "server = subprocess.Popen(sys.argv[2:])\n"
        "end = time.monotonic() + 20\n"
        "while True:\n"
        "    try:\n"
        "        socket.create_connection(('127.0.0.1', int(sys.argv[1])), 1).close(); break\n"
        "    except OSError:\n"
        "        assert time.monotonic() < end and server.poll() is None; time.sleep(0.01)\n"
        "print('port', sys.argv[1], flush=True)\n"
        "server.wait()\n"
    )
    with serving([sys.executable, "-c", waiting, str(port), *script], tmp_path) as server:
        one_table_in_two_workers(server)
