"""Speed of the Python package beside its peers, measured in the same run: `python bench.py [--json FILE] [--quick]`.

Per operation, the best of several short slices in nanoseconds, loop included, and ratios. 10,000 live sessions, 215 bytes
of JSON each. A peer that is not installed is left out, and said so.
"""

from __future__ import annotations

import argparse
import gc
import json
import secrets
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import libsession as ls

LIVE = 10_000
DATA: dict[str, Any] = {
    "user": "ada.lovelace@example.org",
    "name": "Ada Lovelace",
    "roles": ["admin", "editor"],
    "cart": {"tea": 2, "milk": 1},
    "csrf": "d2f1c0a4b3e28f7a6d5c4b3a29181706",
    "locale": "en-GB",
    "count": 42,
    "seen": True,
}
TARGETS = {"read a field": 150, "touch": 150, "load, touch, finish": 600, "create": 1200, "whole dict": 600}
Operation = Callable[[int], object]


def best(operation: Operation, slices: int) -> float:
    """Nanoseconds a call: the best of short slices."""
    for number in range(50):
        operation(number)
    count = 1
    while True:
        started = time.perf_counter_ns()
        for number in range(count):
            operation(number)
        took = time.perf_counter_ns() - started
        if took > 3_000_000:
            break
        count *= 2
    least = took / count
    for _ in range(slices):
        gc.collect()
        gc.disable()
        started = time.perf_counter_ns()
        for number in range(count):
            operation(number)
        least = min(least, (time.perf_counter_ns() - started) / count)
        gc.enable()
    return least


def libsession() -> dict[str, Operation]:
    manager = ls.Manager(applications={"shop": ls.Application(lock="shared")}, max_sessions=50_000_000)
    tokens = [manager.create("shop", data=DATA).token for _ in range(LIVE)]
    session = manager.begin(tokens[0])
    made: list[str] = []

    def create(number: int) -> None:
        made.append(manager.create("shop").id)
        if len(made) >= LIVE:
            for id in made:
                manager.end(id, level="kill")
            made.clear()

    begin, touch = manager.begin, manager.touch

    def request(number: int) -> object:
        session = begin(tokens[number % LIVE])
        value = session["user"]
        session.finish()
        return value

    return {
        "read a field": lambda number: session["user"],
        "touch": lambda number: touch(tokens[number % LIVE]),
        "load, touch, finish": request,
        "create": create,
        "whole dict": lambda number: session.as_dict(),
    }


def dict_and_lock() -> dict[str, Operation]:
    lock = threading.Lock()
    table: dict[str, list[Any]] = {}
    keys: list[str] = []

    def create(number: int) -> str:
        key = secrets.token_urlsafe(30)
        with lock:
            table[key] = [time.monotonic() + 900, dict(DATA)]
        if len(table) > 2 * LIVE:
            table.clear()
        return key

    for _ in range(LIVE):
        keys.append(create(0))
    fixed = {key: table[key] for key in keys}

    def load(key: str) -> dict[str, Any]:
        with lock:
            entry = fixed[key]
            now = time.monotonic()
            if entry[0] < now:
                raise KeyError(key)
            entry[0] = now + 900
            return dict(entry[1])

    return {
        "read a field": lambda number: load(keys[0])["user"],
        "touch": lambda number: load(keys[number % LIVE]),
        "load, touch, finish": lambda number: load(keys[number % LIVE])["user"],
        "create": create,
        "whole dict": lambda number: load(keys[0]),
    }


def cachetools_and_lock() -> dict[str, Operation]:
    from cachetools import TTLCache

    lock = threading.Lock()
    cache: Any = TTLCache(4 * LIVE, 900)

    def create(number: int) -> str:
        key = secrets.token_urlsafe(30)
        with lock:
            cache[key] = dict(DATA)
        return key

    keys = [create(0) for _ in range(LIVE)]

    def touch(key: str) -> dict[str, Any]:
        with lock:
            cache[key] = found = cache[key]
            return dict(found)

    def read(key: str) -> dict[str, Any]:
        with lock:
            return dict(cache[key])

    return {
        "read a field": lambda number: read(keys[0])["user"],
        "touch": lambda number: touch(keys[number % LIVE]),
        "load, touch, finish": lambda number: touch(keys[number % LIVE])["user"],
        "create": create,
        "whole dict": lambda number: read(keys[0]),
    }


def flask_session() -> dict[str, Operation]:
    import warnings

    from cachelib import SimpleCache
    from flask import Flask, Response
    from flask_session import Session

    warnings.simplefilter("ignore")
    app = Flask("bench")
    app.config.update(SESSION_TYPE="cachelib", SESSION_CACHELIB=SimpleCache(threshold=10**9, default_timeout=900))
    Session(app)
    interface: Any = app.session_interface
    response = Response()

    def create(number: int) -> str:
        with app.test_request_context():
            from flask import request

            session = interface.open_session(app, request)
            session.update(DATA)
            interface.save_session(app, session, response)
            return str(session.sid)

    keys = [create(0) for _ in range(2000)]
    context = app.test_request_context()
    context.push()

    class Request:
        def __init__(self, sid: str) -> None:
            self.cookies = {app.config["SESSION_COOKIE_NAME"]: sid}

    def whole(number: int) -> object:
        session = interface.open_session(app, Request(keys[number % len(keys)]))
        value = session["user"]
        interface.save_session(app, session, response)
        return value

    def read(number: int) -> Any:
        return interface.open_session(app, Request(keys[number % len(keys)]))

    return {
        "read a field": lambda number: read(number)["user"],
        "touch": whole,
        "load, touch, finish": whole,
        "create": create,
        "whole dict": lambda number: dict(read(number)),
    }


def django_locmem() -> dict[str, Operation]:
    from django.conf import settings

    if not settings.configured:
        backend = "django.core.cache.backends.locmem.LocMemCache"
        settings.configure(CACHES={"default": {"BACKEND": backend, "OPTIONS": {"MAX_ENTRIES": 10**9}}}, SECRET_KEY="x")
    import django

    django.setup()
    from django.contrib.sessions.backends.cache import SessionStore

    def create(number: int) -> str:
        store = SessionStore()
        store.update(DATA)
        store.create()
        store.save()
        return str(store.session_key)

    keys = [create(0) for _ in range(2000)]

    def whole(number: int) -> object:
        store = SessionStore(keys[number % len(keys)])
        value = store["user"]
        store.save()
        return value

    return {
        "read a field": lambda number: SessionStore(keys[number % len(keys)])["user"],
        "touch": whole,
        "load, touch, finish": whole,
        "create": create,
        "whole dict": lambda number: dict(SessionStore(keys[number % len(keys)]).items()),
    }


PEERS: dict[str, Callable[[], dict[str, Operation]]] = {
    "dict + Lock": dict_and_lock,
    "cachetools + Lock": cachetools_and_lock,
    "Flask-Session, SimpleCache": flask_session,
    "Django locmem": django_locmem,
}


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--json", metavar="FILE", help="also write the numbers to a file")
    arguments.add_argument("--quick", action="store_true", help="few slices: shows that it runs, not how fast")
    options = arguments.parse_args()
    slices = 3 if options.quick else 30
    results: dict[str, dict[str, float]] = {}
    for name, make in {"libsession": libsession, **PEERS}.items():
        try:
            operations = make()
        except ImportError as missing:
            print(f"{name}: LEFT OUT, {missing}", file=sys.stderr)
            continue
        results[name] = {operation: best(call, slices) for operation, call in operations.items()}

    ours = results["libsession"]
    peers = [name for name in results if name != "libsession"]
    print(f"{'ns a call':22}{'libsession':>12}{'target':>9}{'of it':>7}" + "".join(f"{name:>28}" for name in peers))
    for operation, target in TARGETS.items():
        met = ours[operation] / target
        row = f"{operation:22}{ours[operation]:12.0f}{target:9}{met:7.2f}"
        for name in peers:
            peer = results[name][operation]
            row += f"{peer:18.0f} = {peer / ours[operation]:6.1f}×"
        print(row)
    if options.json:
        rows = [
            {"language": "python", "name": f"python/{operation}", "operation": operation, "ns": ours[operation],
             "target_ns": target, "ratio_to_target": ours[operation] / target, "met": ours[operation] <= target,
             "peers": {name: results[name][operation] for name in peers}}
            for operation, target in TARGETS.items()
        ]  # fmt: skip
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
