"""Verbs that look: info, list, explain, stats, usage, accounts, dead letters, events, the log."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import libsession as ls

from . import answer
from .line import Script, Words

if TYPE_CHECKING:
    from .world import World

STATS = {
    "live", "peak", "created", "refused", "in_flight", "lock_waiters", "license_waiters", "tombstones", "damaged", "callbacks_delivered",
    "callbacks_failed", "callbacks_overrun", "dead_letters", "stuck_workers", "replaced_token_uses", "reaper",
}  # fmt: skip


def info(world: World, words: Words) -> str:
    label = words.at(0)
    if label in world.requests:
        found = world.request(label)[0].info()
    else:
        explain = world.manager.explain(world.id(label))
        if explain is None or (explain.live is None and explain.ended is None):
            return "absent"
        if explain.live is None:
            return f"gone {explain.ended.reason}"  # type: ignore[union-attr]
        found = explain.live
    return " ".join(answer.info_field(found, name) for name in words.plain[1:])


def listing(world: World, words: Words) -> str:
    from .verbs import filter_of

    which, limit, cursor, labels = filter_of(world, words), words.number("limit"), 0, list[str]()
    while True:
        page = world.manager.list(**which, cursor=cursor, limit=1000 if limit is None else limit)
        labels += [world.label_of(one.id) for one in page.sessions]
        if page.next is None:
            return answer.join(sorted(labels), " ")
        cursor = page.next


def explain(world: World, words: Words) -> str:
    found = world.manager.explain(world.id(words.at(0)))
    if found is None:
        return "absent"
    return " ".join(answer.explain_field(found, name) for name in words.plain[1:])


def explains(world: World, words: Words) -> str:
    part, found = words.text_at(1), world.manager.explain(world.id(words.at(0)))
    if found is None:
        raise Script("nothing is known of it")
    return answer.truth(any(part in world.with_labels(text) for text in (found.text, *found.trace)))


def stats(world: World, words: Words) -> str:
    found = world.manager.stats()
    return " ".join(stat(found, name) for name in words.plain)


def stat(stats: ls.Stats, name: str) -> str:
    if name.startswith("ended."):
        return str(stats.ended.get(ls.EndReason(name[6:]), 0))
    if name == "breakers_open":
        return answer.join(stats.breakers_open, ",")
    if name not in STATS:
        raise Script(f"stats have no field '{name}'")
    return str(getattr(stats, name))


def usage(world: World, words: Words) -> str:
    found = world.manager.usage(words.text_at(0))
    if len(words.plain) == 1:
        return f"{found.in_use}/{found.capacity}"
    return " ".join(usage_field(world, found, name) for name in words.plain[1:])


def usage_field(world: World, found: ls.Usage, name: str) -> str:
    if name == "holders":
        holders = sorted(
            f"{answer.word(world.with_labels(one.holder))}:{one.kind}:{one.connections}:{one.units}"
            for one in found.holders
        )
        return answer.join(holders, ",")
    if name == "release_ms":
        left = sorted(
            f"{answer.word(world.with_labels(one.holder))}:{one.lingering}:{one.release_in // timedelta(milliseconds=1)}"
            for one in found.holders
            if one.release_in is not None
        )
        return answer.join(left, ",")
    if name == "denials_by_reason":
        counted = sorted(f"{reason}:{count}" for reason, count in found.denials_by_reason.items() if count)
        return answer.join(counted, ",")
    if name not in (
        "capacity", "in_use", "available", "free", "reserved", "reserved_soft", "break_glass", "high_water", "denials", "evicted", "lingering", "overdrawn", "excess", "waiting",
        "offered",
    ):  # fmt: skip
        raise Script(f"a usage has no field '{name}'")
    return str(getattr(found, name))


def change_pool(world: World, words: Words) -> str:
    options: dict[str, Any] = {}
    for name, value in json.loads(words.at(1)).items():
        if name == "reservations":
            value = [ls.Reservation(one["units"], one["members"], hard=one.get("hard", True)) for one in value]
        elif name.endswith("_ms"):
            name, value = name.removesuffix("_ms"), None if value is None else timedelta(milliseconds=value)
        options[name] = value
    world.manager.change_pool(words.text_at(0), actor=words.text("by"), **options)
    return "ok"


def definition(world: World, words: Words) -> str:
    pool = world.manager.pool(words.text_at(0))
    return " ".join(option(pool, name) for name in words.plain[1:])


def option(pool: ls.Pool, name: str) -> str:
    value = getattr(pool, name.removesuffix("_ms"))
    if name == "reservations":
        value = [{"members": list(one.members), "units": one.units, "hard": one.hard} for one in value]
    if isinstance(value, timedelta):
        value = value // timedelta(milliseconds=1)
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def differences(world: World, words: Words) -> str:
    def text(value: object) -> str:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)

    found = world.manager.pool_differences()
    return answer.join((f"{one.pool}.{one.option} {text(one.named)} {text(one.in_force)}" for one in found), ", ")


def accounts(world: World, words: Words) -> str:
    lines = world.manager.export_accounts(
        words.text_at(0), after=words.number("after") or 0, limit=words.number("limit")
    )
    return answer.join((world.with_labels(line) for line in lines), " ")


def reset_high_water(world: World, words: Words) -> str:
    world.manager.reset_high_water(words.text_at(0), words.text_at(1))
    return "ok"


def queue(world: World, words: Words) -> str:
    def line(one: ls.Waiter) -> str:
        holder = world.label_of(one.session_id) if one.holder == one.session_id else answer.word(one.holder)
        return f"{one.position}:{holder}:{one.priority}:{answer.millis(one.left)}{'!' if one.offered else ''}"

    return answer.join((line(one) for one in world.manager.queue(words.text_at(0), limit=10_000)), ",")


def position(world: World, words: Words) -> str:
    return answer.or_none(world.tickets[words.at(0)].position)


def cancel(world: World, words: Words) -> str:
    world.tickets[words.at(0)].cancel()
    return "ok"


def unit_of(world: World, words: Words) -> ls.UnitExplain | None:
    holder = words.text_at(1)
    try:
        holder = world.id(holder)
    except Script:
        pass
    return world.manager.explain_unit(words.text_at(0), holder)


def unit(world: World, words: Words) -> str:
    found = unit_of(world, words)
    if found is None:
        return "none"
    one = found.holder
    sessions = answer.join(sorted(world.label_of(info.id) for info in found.sessions), ",")
    return f"{one.kind} {one.connections} {one.units} {one.lingering} {sessions}"


def unit_says(world: World, words: Words) -> str:
    found = unit_of(world, words)
    if found is None:
        raise Script("it holds nothing")
    return answer.truth(words.text_at(2) in world.with_labels(str(found)))


def audit(world: World, words: Words) -> str:
    found = world.manager.audit(words.text_at(0))
    if not found.differences and found.counted == found.recounted:
        return f"equal {found.counted}"
    return f"counted {found.counted} recounted {found.recounted}: {'; '.join(found.differences)}"


def audit_records(world: World, words: Words) -> str:
    pool = words.text_at(0)
    records = world.manager.audit_records(pool, after=world.told["audit", pool], limit=10_000)
    if records:
        world.told["audit", pool] = records[-1].seq
    return answer.join((account(world, one) for one in records), ", ")


def account(world: World, one: ls.AuditRecord) -> str:
    session = world.label_of(one.session_id)
    # A session that was refused and has no label is its own holder all the same.
    holder = session if one.holder == one.session_id else answer.word(one.holder)
    why = "".join(f" {word}" for word in (one.reason, one.why) if word)
    return f"{one.kind} {session} {holder} {one.before}>{one.after}{why}"


def dead_letters(world: World, words: Words) -> str:
    of = world.id(words.at(0)) if words.plain else None
    return answer.join(
        (
            f"{world.label_of(one.session_id)} {answer.class_name(one.namespace, one.event_class)}.{one.kind} "
            f"{one.attempts} {answer.word(one.error)}" + (" late" if one.completed_late else "")
            for one in world.manager.dead_letters(limit=10_000)
            if of is None or one.session_id == of
        ),
        ", ",
    )


def events(world: World, words: Words) -> str:
    label = words.at(0)
    new = world.deliveries(label, world.told["events", label])
    world.told["events", label] += len(new)
    return answer.join(new, " ")


def log(world: World, words: Words) -> str:
    world.settle()
    of = words.plain[0] if words.plain else ""
    entries = world.entries(world.told["log", of])
    world.told["log", of] += len(entries)
    return answer.join((text for label, text in entries if not of or label == of), ", ")


LOOKS: dict[str, Callable[[World, Words], str]] = {
    "info": info,
    "sessions": lambda world, words: str(world.manager.count()),
    "list": listing,
    "explain": explain,
    "explains": explains,
    "stats": stats,
    "check": lambda world, words: "; ".join(world.manager.check()) or "ok",
    "unit": unit,
    "unit_says": unit_says,
    "usage": usage,
    "change_pool": change_pool,
    "definition": definition,
    "differences": differences,
    "high_water": lambda world, words: str(world.manager.high_water(words.text_at(0), words.text_at(1)).units),
    "reset_high_water": reset_high_water,
    "forget_high_water": lambda world, words: answer.truth(
        world.manager.forget_high_water(words.text_at(0), words.text_at(1))
    ),
    "accounts": accounts,
    "queue": queue,
    "position": position,
    "cancel": cancel,
    "audit": audit,
    "audit_records": audit_records,
    "dead_letters": dead_letters,
    "calls": lambda world, words: str(world.calls(words.at(0), words.at(1))),
    "events": events,
    "log": log,
}
