"""The verbs of a script: on time and threads, on sessions, on the manager. Those on requests and those that look are in
their own files."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import libsession as ls

from . import answer
from .line import Script, Words, json_of, ms, yes
from .look import LOOKS
from .requests import REQUESTS, queue_options
from .setup import event_class

if TYPE_CHECKING:
    from .world import World

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def answer_of(world: World, words: list[str]) -> str:
    """Does a line: its answer. Raises the engine's error, or why the script is wrong."""
    if world.setup.take(words):
        return "ok"
    verb, *rest = words
    if verb == "start":
        return start(world, rest)
    if verb == "class":
        world.manager.register(event_class(world, rest))
        return "ok"
    if verb in REQUESTS:
        return REQUESTS[verb](world, Words(rest))
    if verb in LOOKS:
        return LOOKS[verb](world, Words(rest))
    if verb in VERBS:
        return VERBS[verb](world, Words(rest))
    raise Script(f"there is no verb '{verb}'")


# --- time and threads ---


def start(world: World, rest: list[str]) -> str:
    name, *line = rest
    manager = world.manager
    from .world import PATIENCE, Started

    def waiting() -> tuple[int, int]:
        try:
            stats = manager.stats()
            return stats.lock_waiters + stats.license_waiters, world.hung
        except ls.SessionError:
            return 0, world.hung

    def body() -> None:
        try:
            started.result.append(answer_of(world, line))
        except BaseException as error:  # noqa: BLE001 - handed to `join`
            started.result.append(error)

    before = waiting()
    started = Started(threading.Thread(target=body, daemon=True))
    started.thread.start()
    until = time.monotonic() + PATIENCE
    while started.thread.is_alive():
        now = waiting()
        if now[0] > before[0] or now[1] > before[1]:
            break
        if time.monotonic() > until:
            raise Script(f"'{name}' neither returned nor waits")
        started.thread.join(0.001)
    world.started[name] = started
    return "ok"


def join(world: World, words: Words) -> str:
    from .world import PATIENCE

    name = words.at(0)
    if name not in world.started:
        raise Script(f"nothing was started as '{name}'")
    started = world.started.pop(name)
    started.thread.join(PATIENCE)
    if started.thread.is_alive():
        world.started[name] = started
        raise Script(f"'{name}' does not return")
    result = started.result[0]
    if isinstance(result, BaseException):
        raise result
    return str(result)


def advance(world: World, words: Words) -> str:
    _ = world.manager
    return str(world.clock.advance(ms(words.at(0))))


def suspend(world: World, words: Words) -> str:
    _ = world.manager
    world.clock.suspend(ms(words.at(0)))
    return "ok"


def set_wall(world: World, words: Words) -> str:
    world.clock.set_wall(_EPOCH + ms(words.at(0)))
    return "ok"


def release(world: World, words: Words) -> str:
    world.release(words.plain[0] if words.plain else None)
    return "ok"


# --- sessions ---


def create_options(world: World, words: Words) -> dict[str, Any]:
    words.only(
        "app", "license", "idle_timeout_ms", "absolute_timeout_ms", "address", "user_agent", "referrer", "data",
        "touch", "lock", "lock_timeout_ms", "wait_ms", "priority", "ticket",
    )  # fmt: skip
    options: dict[str, Any] = {
        "application": words.text("app"),
        "client": ls.Client(words.text("address"), words.text("user_agent"), words.text("referrer")),
        "license_class": words.text("license"),
        "absolute_timeout": words.duration("absolute_timeout_ms"),
        **queue_options(world, words),
    }
    if "data" in words.named:
        options["data"] = json_of(words.named["data"])
    if "idle_timeout_ms" in words.named:
        options["idle_timeout"] = words.duration("idle_timeout_ms")
    return options


def create(world: World, words: Words) -> str:
    label, manager = words.at(0), world.manager
    world.creating(label)
    created = manager.create(**create_options(world, words))
    world.created(label, created.id, created.token)
    return "ok"


def begin_new(world: World, words: Words) -> str:
    (request, label), manager = words.plain[:2], world.manager
    world.creating(label)
    begun = manager.begin_new(**create_options(world, words), touch=words.text("touch"), lock=words.text("lock"))  # type: ignore[arg-type]
    world.created(label, begun.id, begun.token)
    return new_or_ok(world, request, begun, label)


def begin(world: World, words: Words) -> str:
    words.only("touch", "lock", "lock_timeout_ms", "app")
    begun = world.manager.begin(
        world.token(words.at(1)),
        touch=words.text("touch"),  # type: ignore[arg-type]
        lock=words.text("lock"),  # type: ignore[arg-type]
        lock_timeout=words.duration("lock_timeout_ms"),
        application=words.text("app"),
    )
    return new_or_ok(world, words.at(0), begun, world.label_of(begun.id))


def new_or_ok(world: World, request: str, begun: ls.Session, label: str) -> str:
    with world.lock:
        world.requests[request] = (begun, label)
    return "ok new" if begun.is_new else "ok"


def touch(world: World, words: Words) -> str:
    kind: Any = words.plain[1] if len(words.plain) > 1 else "activity"
    return answer.touched(world.manager.touch(world.token(words.at(0)), kind))


def peek(world: World, words: Words) -> str:
    return answer.touched(world.manager.touch(world.token(words.at(0)), "none"))


def id_of(world: World, words: Words) -> str:
    id = world.manager.id_of(world.token(words.at(0)))
    return "none" if id is None else world.label_of(id)


def token(world: World, words: Words) -> str:
    world.tokens[words.at(0)] = world.token(words.at(1))
    return "ok"


def timeout(world: World, words: Words) -> str:
    words.only("idle_ms", "absolute_ms")
    label, idle, absolute = words.at(0), words.duration("idle_ms"), words.duration("absolute_ms")
    if label in world.requests:
        session, _ = world.request(label)
        if idle is not None:
            session.idle_timeout = idle
        if absolute is not None:
            session.absolute_timeout = absolute
        return "ok"
    manager, id, live = world.manager, world.id(label), True
    if idle is not None:
        live &= manager.set_idle_timeout(id, idle)
    if absolute is not None:
        live &= manager.set_absolute_timeout(id, absolute)
    return "ok" if live else "absent"


def filter_of(world: World, words: Words) -> dict[str, Any]:
    """The sessions that a line means."""
    words.only(
        "user", "app", "state", "overdue", "pool", "holder", "older_than_ms", "idle_for_ms", "damaged", "immortal",
        "limit", "level", "reason", "actor", "note", "idle_ms",
    )  # fmt: skip
    holder = words.text("holder")
    return {
        "user": words.text("user"),
        "application": words.text("app"),
        "state": words.text("state"),
        "overdue": words.yes("overdue"),
        "pool": words.text("pool"),
        "holder": world.ids.get(holder, holder) if holder is not None else None,
        "older_than": words.duration("older_than_ms"),
        "idle_for": words.duration("idle_for_ms"),
        "damaged": words.yes("damaged"),
        "immortal": words.yes("immortal"),
    }


def end_options(words: Words) -> dict[str, Any]:
    names = ("level", "reason", "actor", "note")
    return {name: words.text(name) for name in names if name in words.named}


def end(world: World, words: Words) -> str:
    words.only("level", "reason", "actor", "note", "wait_ms")
    label, options = words.at(0), end_options(words)
    options["wait"] = words.duration("wait_ms")
    if label in world.requests:
        return answer.end_outcome(world.request(label)[0].end(**options))
    return answer.end_outcome(world.manager.end(world.id(label), **options))


def paced(world: World, verb: str, words: Words, step: Callable[[int, int], ls.Progress]) -> str:
    cursor = world.told[verb] if "resume" in words.plain else 0
    limit = words.number("limit")
    progress = step(cursor, 10_000 if limit is None else limit)
    world.told[verb] = progress.next or 0
    more = "done" if progress.next is None else "more"
    return f"changed={progress.changed} protected={progress.protected} {more}"


def timeout_where(world: World, words: Words) -> str:
    manager, which, idle = world.manager, filter_of(world, words), words.duration("idle_ms")
    return paced(
        world,
        "timeout_where",
        words,
        lambda cursor, limit: manager.set_idle_timeout_where(idle, cursor=cursor, limit=limit, **which),
    )


def end_where(world: World, words: Words) -> str:
    manager, which, options = world.manager, filter_of(world, words), end_options(words)
    return paced(
        world,
        "end_where",
        words,
        lambda cursor, limit: manager.end_where(cursor=cursor, limit=limit, **options, **which),
    )


# --- the manager ---


def opened(world: World, words: Words) -> str:
    _ = world.manager
    return "ok"


def unregister(world: World, words: Words) -> str:
    return answer.truth(world.manager.unregister(words.text_at(0), words.text("namespace") or ""))


def resolver(world: World, words: Words) -> str:
    """Who tells groups: `USER=A,B`, or `USER=!TEXT` for one of whom it can't; others have none."""

    def tell(user: str) -> list[str]:
        world.asked.append(user)
        told = words.named.get(user, "")
        if told.startswith("!"):
            raise RuntimeError(told[1:])
        return [group for group in told.split(",") if group]

    world.manager.set_group_resolver(tell if words.named else None)
    return "ok"


def asked(world: World, words: Words) -> str:
    users, world.asked = world.asked, []
    return ",".join(users) or "none"


def redeliver(world: World, words: Words) -> str:
    manager, id = world.manager, None
    if words.plain:
        id = manager.dead_letters(limit=10_000)[int(words.at(0)) - 1].id
    return str(manager.redeliver(id))


def damage(world: World, words: Words) -> str:
    return answer.truth(world.manager.damage(world.id(words.at(0))))


def stall(world: World, words: Words) -> str:
    world.manager.stall_reaper(yes(words.at(0)))
    return "ok"


def close(world: World, words: Words) -> str:
    grace = ms(words.at(0)) if words.plain else timedelta(seconds=5)
    report = world.manager.close(grace)
    return (
        f"ended={report.ended} in_flight={report.in_flight} delivered={report.delivered} "
        f"undelivered={report.undelivered} stuck={report.stuck} deferred={answer.truth(report.deferred)}"
    )


VERBS: dict[str, Callable[[World, Words], str]] = {
    "now": lambda world, words: str(world.clock.now_ms),
    "wall": lambda world, words: str(world.clock.wall_ms),
    "advance": advance,
    "suspend": suspend,
    "set_wall": set_wall,
    "join": join,
    "release": release,
    "create": create,
    "begin_new": begin_new,
    "begin": begin,
    "touch": touch,
    "peek": peek,
    "id": id_of,
    "token": token,
    "timeout": timeout,
    "timeout_where": timeout_where,
    "end": end,
    "end_where": end_where,
    "open": opened,
    "unregister": unregister,
    "resolver": resolver,
    "asked": asked,
    "redeliver": redeliver,
    "reap": lambda world, words: str(world.manager.reap_now()),
    "tick": lambda world, words: answer.never(world.manager.tick()),
    "dispatch": lambda world, words: str(world.manager.dispatch(int(words.at(0)))),
    "damage": damage,
    "stall": stall,
    "close": close,
}
