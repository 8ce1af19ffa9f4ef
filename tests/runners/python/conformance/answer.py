"""How outcomes, errors and pictures of sessions look as answers."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import libsession as ls

from . import jsontext
from .line import Script

if TYPE_CHECKING:
    from .world import World

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MS = timedelta(milliseconds=1)


def error(error: ls.SessionError) -> str:
    """An error with what belongs to it, or an outcome."""
    match error:
        case ls.Absent():
            return "absent"
        case ls.Gone():
            return f"gone {error.reason}"
        case ls.LicenseDenied():
            retry = f" retry_after={millis(error.retry_after)}" if error.retry_after is not None else ""
            return f"error {error.kind} {error.reason}{retry}"
        case ls.Conflict():
            return f"error {error.kind} {' '.join(error.keys)}"
    return f"error {error.kind}"


def millis(duration: timedelta) -> int:
    """Whole milliseconds, rounded down."""
    return duration // _MS


def never(duration: timedelta | None) -> str:
    """Milliseconds, or `never`."""
    return "never" if duration is None else str(millis(duration))


def word(text: str) -> str:
    """A text without blanks."""
    return text.replace(" ", "_").replace("\t", "_").replace("\n", "_")


def join(items: Iterable[str], separator: str) -> str:
    """Items, or `none`."""
    return separator.join(items) or "none"


def truth(value: bool) -> str:
    """`true` or `false`."""
    return "true" if value else "false"


def or_none(value: object) -> str:
    """A text, or `none`."""
    return "none" if value is None else str(value)


def touched(left: timedelta | None) -> str:
    """The outcome of a touch."""
    return f"live {never(left)}"


def receipt(it: ls.Receipt) -> str:
    """What an end says."""
    text = f"ended {it.reason} {it.level} at={it.at_ms}"
    if it.actor is not None:
        text += f" by={it.actor}"
    if it.note is not None:
        text += f" note={jsontext.dump(it.note)}"
    if it.late is not None:
        text += f" late={millis(it.late)}"
    if it.license_free_at_ms is not None:
        text += f" free={it.license_free_at_ms}"
    return text + "".join(f" {one.event_class}.{one.kind}={word(one.outcome)}" for one in it.callbacks)


def end_outcome(outcome: ls.Receipt | ls.Extension) -> str:
    """The outcome of an end."""
    if isinstance(outcome, ls.Extension):
        return f"extended {outcome.event_class} {millis(outcome.by)}"
    return receipt(outcome) if outcome.by_this_call else f"was {receipt(outcome)}"


def info_field(info: ls.SessionInfo, field: str) -> str:
    """One field of a live session."""
    match field:
        case "state" | "application" | "namespace":
            return str(getattr(info, field))
        case "user" | "data_bytes":
            return or_none(getattr(info, field))
        case "holder":
            return or_none(info.license_holder)
        case "pool":
            return or_none(info.license_pool)
        case "created":
            return str(info.created_ms)
        case "created_at":
            return str((info.created_at - _EPOCH) // _MS)
        case "last_used":
            return str(info.last_used_ms)
        case "idle_timeout" | "absolute_timeout":
            return never(getattr(info, field))
        case "deadline":
            return "never" if info.deadline_ms is None else str(info.deadline_ms)
        case "immortal" | "overdue":
            return truth(getattr(info, field))
        case "in_flight":
            return str(info.in_flight)
        case "address" | "user_agent" | "referrer":
            return or_none(getattr(info.client, field))
    raise Script(f"a session has no field '{field}'")


def explain_field(it: ls.Explain, field: str) -> str:
    """One field of an explanation."""
    match field:
        case "state":
            return "live" if it.live else f"gone {it.ended.reason}" if it.ended else "absent"
        case "requests":
            return join((f"{one.touch}/{one.lock or 'free'}@{one.started_ms}" for one in it.requests), ",")
        case "lock_waiters":
            return str(it.lock_waiters)
        case "extensions":
            return join((f"{one.event_class}+{millis(one.by)}@{one.at_ms}" for one in it.extensions), ",")
        case "classes":
            return join(
                (class_name(one.namespace, one.name) + ("" if one.registered else "!") for one in it.event_classes),
                ",",
            )
        case "failures":
            return join((f"{one.event_class}.{one.kind}:{word(one.text)}" for one in it.failures), ",")
        case "damaged":
            return truth(it.damaged)
        case "next":
            return "none" if it.next is None else f"{word(it.next.what)}@{it.next.at_ms}"
        case "receipt":
            return "none" if it.ended is None else receipt(it.ended)
    raise Script(f"an explanation has no field '{field}'")


def class_name(namespace: str, name: str) -> str:
    """A class with its namespace, if that is not empty."""
    return f"{namespace}:{name}" if namespace else name


def entry(world: World, one: ls.LogEntry) -> str:
    """An entry of the lifecycle log."""
    detail = f":{word(one.detail)}" if one.detail else ""
    return world.with_labels(f"{world.label_of(one.session_id)}.{one.what}@{one.at_ms}{detail}")


def value_or_none(value: Any) -> str:
    """A value as JSON, or `none` for no value."""
    return "none" if value is ls.MISSING else jsontext.dump(value)
