"""Callbacks that do what a script says."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import libsession as ls

from . import answer, jsontext
from .line import Script, ms

if TYPE_CHECKING:
    from .world import Delivery, World


def scripted(world: World, of: ls.EventClass, kind: str, behavior: str) -> Callable[[ls.Event], Any]:
    """A callback: its n-th call does the n-th step, the last one again and again."""
    steps = [step.split("+") for step in behavior.split("|")]
    name = answer.class_name(of.namespace, of.name)
    counter, lock = itertools.count(), threading.Lock()

    def callback(event: ls.Event) -> Any:
        with lock:
            step = steps[min(next(counter), len(steps) - 1)]
        reason = f":{event.reason}" if event.reason else ""
        number = f"#{event.attempt}" if event.attempt > 1 else ""
        again = "!" if event.redelivered else ""
        what = f"{name}.{event.kind}@{world.clock.now_ms}{reason}{number}{again}"
        label, delivery = world.delivered(event.session_id, name, event.kind, what)
        for action in step:
            verb, _, rest = action.partition(":")
            match verb:
                case "ok":
                    return None
                case "throw":
                    raise Exception(rest or "boom")
                case "deny":
                    return ls.Deny(rest or "boom")
                case "extend":
                    return ls.Extend(ms(rest))
                case "hang":
                    world.hang(name, event.hang)
                case "license":
                    event.license_class = rest  # type: ignore[assignment]
                case "keep":
                    event.end_session = False
                case "see":
                    delivery.notes.append(answer.word(f"{rest}={seen(event, rest)}"))
                case "set" | "timeout":
                    on_session(event, verb, rest, delivery)
                case "do":
                    do(world, rest, label, delivery)
                case _:
                    raise Script(f"there is no action '{action}'")
        return None

    return callback


def on_session(event: ls.Event, verb: str, rest: str, delivery: Delivery) -> None:
    session = event.session
    if session is None:
        raise Exception(f"{verb}: this callback has no request")
    try:
        if verb == "set":
            key, _, value = rest.partition(":")
            session.set(key, jsontext.load(value))
        else:
            session.idle_timeout = ms(rest)
    except ls.SessionError as error:
        delivery.notes.append(f"{verb}={answer.word(answer.error(error))}")


def do(world: World, line: str, label: str, delivery: Delivery) -> None:
    from .verbs import answer_of

    words = [label if word == "@" else word for word in line.split(",")]
    try:
        got = answer_of(world, words)
    except ls.SessionError as error:
        got = answer.error(error)
    except (Script, jsontext.NotJson) as why:
        got = f"script: {why}"
    delivery.notes.append(answer.word(f"{line}={world.with_labels(got)}"))


def seen(event: ls.Event, field: str) -> str:
    match field:
        case "application" | "namespace" | "thread":
            return str(getattr(event, field))
        case "old_application" | "user" | "old_user" | "level":
            return answer.or_none(getattr(event, field))
        case "remaining":
            return "none" if event.remaining is None else str(answer.millis(event.remaining))
        case "pool" | "in_use" | "capacity":
            return "none" if event.pool is None else str(getattr(event.pool, field))
    try:
        if field == "data":
            return jsontext.dump_tree(event.entries())
        if field.startswith("data."):
            return answer.value_or_none(event.get(field[5:], ls.MISSING))
    except ls.Corrupt:
        return "corrupt"
    return f"no_field_{field}"
