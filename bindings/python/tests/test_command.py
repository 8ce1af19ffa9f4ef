"""`python -m libsession STORE …` on a store that another process has filled and has open."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import libsession as ls

SERVER = """
import sys
import libsession as ls

manager = ls.Manager(
    "file:" + sys.argv[1],
    applications={
        "shop": ls.Application(event_classes=["watch"], idle_timeout=3600, pool="users"),
        "safe": ls.Application(pool="users", protected_from_bulk_end=True),
    },
    pools={
        "users": ls.Pool(capacity=4, reservations=[ls.Reservation(1, ["root"])], linger=3600, unit_rule="session"),
        "cad": ls.Pool(capacity=2),
    },
    max_sessions=50,
    session_bytes=12345,
)

class Watch:
    def on_end(self, event):
        print("ended", event.session_id, event.reason, flush=True)

manager.register("watch", Watch())
for line in sys.stdin:
    words = line.split()
    if words[0] == "login":
        user = bytes.fromhex(words[2]).decode()
        with manager.begin_new(words[1]) as session:
            session.login(user)
            if "cad" in words:
                session.take_feature("cad", 2)
            print(session.id, session.token, flush=True)
    elif words[0] == "full":
        try:
            manager.create("shop")
        except ls.LicenseDenied as denied:
            print(denied.reason, flush=True)
    elif words[0] == "count":
        print(manager.count(), *manager.check(), flush=True)
manager.close()
"""


class Server:
    """Another process that serves."""

    def __init__(self, store: Path) -> None:
        self.tokens: list[str] = []
        program = [sys.executable, "-c", textwrap.dedent(SERVER), str(store)]
        self.process = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, line: str) -> list[str]:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.told()

    def told(self) -> list[str]:
        assert self.process.stdout is not None
        answer = self.process.stdout.readline().split()
        assert answer, "the server is gone"
        return answer

    def login(self, user: str, application: str = "shop", *more: str) -> str:
        session, token = self.ask(" ".join(["login", application, user.encode().hex(), *more]))
        self.tokens.append(token)
        return session

    def leave(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        assert self.process.wait(60) == 0
        self.process.stdout.close()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def server(store: Path) -> Iterator[Server]:
    server = Server(store)
    assert server.ask("count") == ["0"]
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.leave()


def run(store: Path, *arguments: str, status: int = 0, server: Server | None = None) -> str:
    environment = {**os.environ, "TZ": "UTC", "PYTHONUTF8": "1"}
    command = [sys.executable, "-m", "libsession", str(store), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, encoding="utf-8")
    assert done.returncode == status, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    for token in server.tokens if server else []:
        assert token not in done.stdout + done.stderr
    return done.stdout if status != 2 else done.stderr


def lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def test_an_administrator_sees_why_a_license_is_held_and_frees_it(store: Path, server: Server) -> None:
    ada = server.login("ada", "shop", "cad")
    bob = server.login("bob")
    told = run(store, "list", server=server).splitlines()
    assert told[0].split() == ["ID", "USER", "STATE", "APPLICATION", "IDLE", "DEADLINE", "LICENSE"]
    assert {line.split()[0]: line.split()[1] for line in told[1:-1]} == {ada: "ada", bob: "bob"}
    assert told[-1] == "2 live sessions"
    assert "users, 2 of cad" in next(line for line in told if ada in line)
    assert f"session          {ada}" in run(store, "explain", ada, server=server)

    told = run(store, "licenses", server=server).splitlines()
    assert "users: 4 units, 2 in use, 2 available: 1 free, 1 reserved" in told
    assert "cad: 2 units, 1 in use, 1 available: 1 free" in told
    assert any(line.split()[:4] == ["ada", "user", "1", "1"] for line in told)
    why = run(store, "licenses", "users", "ada", server=server)
    assert ada in why and "shop" in why
    assert run(store, "licenses", "users", "eve", status=1) == ""

    told = run(store, "end", ada, "--reason", "revoked", "--note", "3 a.m.", "--actor", "root", server=server)
    assert told.startswith(f"{ada} ended: revoked by root, its unit is free at ")
    assert server.told() == ["ended", ada, "revoked"]
    assert "had ended at" in run(store, "end", ada)
    assert "3 a.m." in run(store, "explain", ada)
    told = run(store, "licenses", "users")
    assert "of those in use 1 linger" in told
    assert "users: 4 units, 2 in use" in told
    assert run(store, "audit", server=server).splitlines() == [
        "users: 2 counted, 2 recounted: no difference",
        "cad: 0 counted, 0 recounted: no difference",
    ]
    assert server.ask("count") == ["1"]


def test_all_of_a_user_but_what_is_protected(store: Path, server: Server) -> None:
    safe = server.login("ada", "safe")
    ended = {server.login("ada"), server.login("ada")}
    assert run(store, "end", "--user", "ada", "--json") == '{"user": "ada", "ended": 2, "protected": 1}\n'
    assert {server.told()[1], server.told()[1]} == ended
    assert [one["id"] for one in lines(run(store, "list", "--user", "ada", "--json"))] == [safe]
    assert "1 of protected applications" in run(store, "end", "--user", "ada")
    run(store, "end", "--user", "eve", status=1)
    # An id may begin with what options begin with.
    for strange in ("wD4w4M7O9izxxdxHtOyg_A", "-D4w4M7O9izxxdxHtOyg_A", "--4w4M7O9izxxdxHtOyg_A"):
        for command in (["end"], ["explain"], ["licenses", "users"]):
            assert run(store, *command, strange, status=1) == ""
    assert "22 characters" in run(store, "explain", "0", status=2)


def test_json_is_an_object_a_line(store: Path, server: Server) -> None:
    ada = server.login("ada")
    (session,) = lines(run(store, "list", "--json", server=server))
    assert (session["id"], session["user"], session["idle_timeout_ms"]) == (ada, "ada", 3_600_000)
    assert session["created_at"] <= session["last_used_at"] < session["deadline_at"]
    (explained,) = lines(run(store, "explain", ada, "--json", server=server))
    assert explained["live"]["user"] == "ada"
    users, cad = lines(run(store, "licenses", "--json", server=server))
    assert (users["pool"], users["in_use"], users["free"], users["reserved"]) == ("users", 1, 2, 1)
    assert users["holders"][0]["holder"] == "ada" and users["holders"][0]["release_in_ms"] is None
    assert (cad["high_water"], cad["high_water_at"]) == (0, None)
    (users,) = lines(run(store, "licenses", "users", "--json"))
    assert users["queue"] == []
    (unit,) = lines(run(store, "licenses", "users", "ada", "--json"))
    assert unit["sessions"][0]["id"] == ada
    records = lines(run(store, "accounts", "users"))
    assert [record["seq"] for record in records] == list(range(1, len(records) + 1))
    assert [record["seq"] for record in lines(run(store, "accounts", "users", "--after", "1"))] == [2]
    assert [record["kind"] for record in lines(run(store, "accounts", "--limit", "1"))] == ["grant"]
    assert lines(run(store, "audit", "users", "--json")) == [
        {"pool": "users", "counted": 1, "recounted": 1, "differences": []}
    ]
    (receipt,) = lines(run(store, "end", ada, "--json"))
    assert (receipt["id"], receipt["reason"], receipt["by_this_call"]) == (ada, "ended", True)


def test_a_pool_without_free_units_is_a_finding_only_if_asked(store: Path, server: Server) -> None:
    for user in ("ada", "bob", "cyd"):
        server.login(user)
    assert server.ask("full") == ["reserved"]
    told = run(store, "licenses")
    assert "users: 4 units, 3 in use, 1 available: 0 free, 1 reserved" in told
    assert "1 refused (1 reserved)" in told
    run(store, "licenses", "--check", status=1)
    run(store, "licenses", "cad", "--check")


def test_no_name_forges_a_line_or_turns_letters_around(store: Path, server: Server) -> None:
    name = "eve\nroot user 9 9\r\x1b[2J\u202eada\u2028"
    session = server.login(name)
    listed = run(store, "list")
    assert len(listed.splitlines()) == 3 and session in listed.splitlines()[1]
    for told in (listed, run(store, "licenses", "users"), run(store, "licenses", "users", name), run(store, "explain", session)):
        assert not {"\r", "\x1b", "\u202e", "\u2028"} & set(told)
        assert "root user 9 9" not in {line.strip() for line in told.splitlines()}
        assert r"eve\nroot user 9 9\r" in told
    assert lines(run(store, "accounts", "users"))[-1]["holder"] == name
    assert run(store, "accounts", "users").isascii()
    assert "1 session of eve\\nroot" in run(store, "end", "--user", name)


def test_what_is_wrong_is_said_and_nothing_is_made(store: Path, tmp_path: Path) -> None:
    for arguments in ([], ["list", "--colour"], ["end"], ["frobnicate"]):
        assert "usage:" in run(store, *arguments, status=2)
    assert str(store) in run(store, "list", status=2)
    assert not store.exists()
    server = Server(store)
    assert server.ask("count") == ["0"]
    assert "no pool 'x'" in run(store, "licenses", "x", status=2)
    assert "--after needs a POOL" in run(store, "accounts", "--after", "3", status=2)
    assert "exit status" in run(store, "--help")
    server.leave()
    # Alone, as a file: store, and when nobody has it open.
    assert run(Path(f"file:{store}"), "list").splitlines()[-1] == "0 live sessions"
    server = Server(store)
    assert server.ask("count") == ["0"]
    server.leave()


def test_a_reader_that_has_seen_enough_is_no_error(store: Path, server: Server) -> None:
    server.login("ada")
    command = [sys.executable, "-m", "libsession", str(store), "accounts"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert (process.wait(60), process.stderr.read()) == (0, b"")
    process.stderr.close()


def test_a_manager_that_adopts_names_nothing_and_serves_nobody(store: Path, server: Server) -> None:
    ada = server.login("ada")
    with ls.Manager(f"file:{store}", adopt=True) as manager:
        assert manager.pools() == ["users", "cad"]
        assert (manager.count(), manager.pool("users").capacity, manager.pool_differences()) == (1, 4, [])
        for refused in (
            lambda: manager.create("shop"),
            lambda: manager.begin(server.tokens[0]),
            lambda: manager.register("watch", type("Watch", (), {"on_end": lambda self, event: None})()),
        ):
            with pytest.raises(ls.Invalid, match="adopt"):
                refused()
        manager.change_pool("users", capacity=5, actor="root")
        assert manager.end(ada).by_this_call
    assert server.told()[:2] == ["ended", ada]
    for named in ({"pools": {"users": ls.Pool(capacity=3)}}, {"max_sessions": 7}, {"debug": True}):
        with pytest.raises(ls.Invalid, match="adopt"):
            ls.Manager(f"file:{store}", adopt=True, **named)  # type: ignore[arg-type]
    with pytest.raises(ls.Invalid, match="file:PATH"):
        ls.Manager(adopt=True)
    assert server.ask("count") == ["0"]
