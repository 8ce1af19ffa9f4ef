"""Speed of the shared table beside what else keeps sessions on a disk: `python shared.py [--json FILE] [--quick]`.

CPU microseconds a call of all threads, those that work in the background too; the median of slices that take turns, so that all
meet the same machine. 2,000 live sessions, 215 bytes of JSON each, on the disk of FILE. Django's SQLite is set up as for
production (WAL, `synchronous=NORMAL`). An end of ours is on the disk when it returns; theirs are not. A peer that is not
installed is left out, and said so.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import libsession as ls
from bench import DATA

LIVE = 2000
# Seconds that a slice should take.
SLICE = 0.06
OPERATIONS = ("touch", "load, touch, finish", "load, change, finish", "create", "end")
# Of the faster of Django's file and database engines.
TARGETS = {"load, touch, finish": 0.1}

# What a store does with a key; `create` answers one.
Verbs = dict[str, Callable[[str], Any]]


def libsession(folder: Path) -> Verbs:
    manager = ls.Manager(
        store=f"file:{folder}", applications={"shop": ls.Application(lock="shared")}, max_sessions=1_000_000
    )

    def read(token: str) -> object:
        session = manager.begin(token)
        value = session["user"]
        session.finish()
        return value

    def change(token: str) -> None:
        session = manager.begin(token)
        session["count"] += 1
        session.finish()

    def end(token: str) -> None:
        found = manager.id_of(token)
        assert found is not None
        manager.end(found)

    return {
        "create": lambda _: manager.create("shop", data=DATA).token,
        "touch": manager.touch,
        "load, touch, finish": read,
        "load, change, finish": change,
        "end": end,
        "close": lambda _: manager.close(0),
    }


def django(engine: str) -> Verbs:
    import importlib

    store: Any = importlib.import_module(f"django.contrib.sessions.backends.{engine}").SessionStore

    def create(_: str) -> str:
        session = store()
        session.update(DATA)
        session.create()
        return str(session.session_key)

    def read(key: str) -> object:
        session = store(key)
        value = session["user"]
        session.save()
        return value

    def change(key: str) -> None:
        session = store(key)
        session["count"] += 1
        session.save()

    return {
        "create": create,
        "touch": read,
        "load, touch, finish": read,
        "load, change, finish": change,
        "end": lambda key: store(key).flush(),
    }


def set_django_up(folder: Path) -> None:
    from django.conf import settings

    pragmas = "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
    options = {"init_command": pragmas, "transaction_mode": "IMMEDIATE"}
    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(folder / "django.db"), "OPTIONS": options}
    apps = ["django.contrib.sessions"]
    (folder / "sessions").mkdir()
    settings.configure(
        DATABASES={"default": database}, INSTALLED_APPS=apps, SECRET_KEY="x", SESSION_FILE_PATH=str(folder / "sessions")
    )
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)


def django_file(folder: Path) -> Verbs:
    set_django_up(folder)
    return django("file")


def django_db(_: Path) -> Verbs:
    return django("db")


def flask_session(folder: Path) -> Verbs:
    from cachelib import FileSystemCache
    from flask import Flask, Response
    from flask_session import Session

    warnings.simplefilter("ignore")
    app = Flask("bench")
    cache = FileSystemCache(str(folder), threshold=0)
    app.config.update(SESSION_TYPE="cachelib", SESSION_CACHELIB=cache)
    Session(app)
    interface: Any = app.session_interface
    response = Response()
    app.test_request_context().push()

    class Request:
        def __init__(self, sid: str) -> None:
            self.cookies = {app.config["SESSION_COOKIE_NAME"]: sid} if sid else {}

    def create(_: str) -> str:
        session = interface.open_session(app, Request(""))
        session.update(DATA)
        interface.save_session(app, session, response)
        return str(session.sid)

    def read(sid: str) -> object:
        session = interface.open_session(app, Request(sid))
        value = session["user"]
        interface.save_session(app, session, response)
        return value

    def change(sid: str) -> None:
        session = interface.open_session(app, Request(sid))
        session["count"] += 1
        interface.save_session(app, session, response)

    def end(sid: str) -> None:
        session = interface.open_session(app, Request(sid))
        session.clear()
        interface.save_session(app, session, response)

    return {"create": create, "touch": read, "load, touch, finish": read, "load, change, finish": change, "end": end}


STORES: dict[str, Callable[[Path], Verbs]] = {
    "libsession": libsession,
    "Django file": django_file,
    "Django db, SQLite": django_db,
    "Flask-Session, files": flask_session,
}


class Store:
    """A store, its live sessions, and what its calls took."""

    def __init__(self, verbs: Verbs) -> None:
        self.verbs = verbs
        self.keys: list[str] = [verbs["create"]("") for _ in range(LIVE)]
        self.made: list[str] = []
        self.took: dict[str, list[float]] = {what: [] for what in OPERATIONS}
        self.next = 0

    def slice(self, what: str, calls: int) -> float:
        """Does so many calls; microseconds of one."""
        call = self.verbs[what]
        if what == "create":
            keys = [""] * calls
        elif what == "end":
            calls = min(calls, len(self.made))
            keys, self.made = self.made[:calls], self.made[calls:]
        else:
            keys = [self.keys[(self.next + number) % LIVE] for number in range(calls)]
            self.next += calls
        before = time.process_time_ns()
        done = [call(key) for key in keys]
        took = (time.process_time_ns() - before) / 1000 / calls
        if what == "create":
            self.made += done
        return took

    def turn(self, what: str) -> None:
        if what != "end":
            usual = statistics.median(self.took[what]) if self.took[what] else max(self.slice(what, 20), 0.2)
            calls = min(20_000 if what != "create" else 1000, max(20, int(SLICE * 1_000_000 / usual)))
        else:
            # As many as were made.
            calls = max(1, len(self.made))
        self.took[what].append(self.slice(what, calls))


def measure(folder: Path, rounds: int) -> dict[str, dict[str, float]]:
    stores: dict[str, Store] = {}
    for name, make in STORES.items():
        place = folder / name.split(",")[0].replace(" ", "-")
        place.mkdir(mode=0o700)
        try:
            stores[name] = Store(make(place))
        except ImportError as missing:
            print(f"{name}: LEFT OUT, {missing}", file=sys.stderr)
    for _ in range(rounds):
        for what in OPERATIONS:
            for store in stores.values():
                store.turn(what)
    for store in stores.values():
        store.verbs.get("close", str)("")
    return {name: {what: statistics.median(store.took[what]) for what in OPERATIONS} for name, store in stores.items()}


def report(results: dict[str, dict[str, float]]) -> dict[str, Any]:
    """The rows for the merger: one for each peer."""
    rows = []
    for what in OPERATIONS:
        ours = results["libsession"][what]
        engines = [values[what] for name, values in results.items() if name.startswith("Django")]
        most = TARGETS.get(what) if engines else None
        for name, values in results.items():
            if name == "libsession":
                continue
            ratio = ours / values[what]
            promised = most is not None and values[what] == min(engines)
            rows.append(
                {
                    "group": "Python: shared table",
                    "what": what,
                    "value": ours,
                    "unit": "µs",
                    "ratio_to": f"{name} ({values[what]:.1f} µs)",
                    "ratio": ratio,
                    "target": f"≤ {most} ×" if promised else None,
                    "met": ratio <= most if promised and most is not None else None,
                }
            )
    version = sys.version.split()[0]
    return {"conditions": f"CPython {version}, CPU time, medians of slices in turn, {LIVE} sessions", "rows": rows}


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--json", metavar="FILE", type=Path, help="also write the numbers to a file")
    arguments.add_argument("--quick", action="store_true", help="few slices: shows that it runs, not how fast")
    options = arguments.parse_args()
    near = options.json.resolve().parent if options.json else None
    with tempfile.TemporaryDirectory(prefix="bench-", dir=near) as folder:
        results = measure(Path(folder), 2 if options.quick else 9)
    peers = [name for name in results if name != "libsession"]
    print(f"{'CPU µs a call':22}{'libsession':>12}" + "".join(f"{name:>30}" for name in peers))
    for what in OPERATIONS:
        ours = results["libsession"][what]
        row = f"{what:22}{ours:12.2f}"
        for name in peers:
            row += f"{results[name][what]:20.1f} = {results[name][what] / ours:6.1f}×"
        print(row)
    if options.json:
        options.json.write_text(json.dumps(report(results), indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
