"""The lines before the first verb: options of the manager, its applications, pools and classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import libsession as ls

from .behavior import scripted
from .line import Script, Words, ms, text_of, yes

if TYPE_CHECKING:
    from .world import World

_NUMBERS = {
    "max_sessions", "session_bytes", "levels", "value_bytes", "subscript_bytes", "workers", "decider_workers",
    "max_stuck", "queue", "retries", "breaker_failures", "dead_letters", "dead_letter_bytes", "lifecycle_log",
    "capacity", "max_connections", "max_sessions_per_holder", "anonymous_cap", "anonymous_per_client", "low", "audit_records",
    "recovered", "break_glass",
    "max_extensions",
}  # fmt: skip
_TRUTHS = {
    "threads", "adopt", "idle_counts_suspend", "debug", "enabled", "protected_from_bulk_end", "holder_per_client", "reclaim",
    "detect_crawlers",
}  # fmt: skip
_LISTS = {"event_classes", "required_event_classes", "crawlers", "administrators", "include", "exclude"}
_TEXTS = {
    "store", "durability", "profile", "dispatch", "namespace", "pool", "license_class", "lazy_until", "lock",
    "timeout_on_application_change", "unit_rule", "trade_failure", "overdraft", "evict",
    "at_session_limit",
}  # fmt: skip


class Setup:
    """What the manager will be opened with."""

    def __init__(self, table: str, clock: ls.ManualClock) -> None:
        self.pending = True
        self._options: dict[str, Any] = {"store": table, "clock": clock}
        self._applications: list[tuple[str, ls.Application]] = []
        self._pools: list[tuple[str, ls.Pool]] = []
        self._classes: list[list[str]] = []

    def take(self, words: list[str]) -> bool:
        """Takes a line. False: it is a verb."""
        if not self.pending:
            return False
        verb, *rest = words
        sorted_words = Words(rest)
        match verb:
            case "config":
                self._options.update(_options(sorted_words))
            case "application":
                self._applications.append((sorted_words.text_at(0), ls.Application(**_options(sorted_words))))
            case "pool":
                self._pools.append((sorted_words.text_at(0), ls.Pool(**_options(sorted_words))))
            case "class":
                self._classes.append(rest)
            case _:
                return False
        return True

    def open(self, world: World) -> tuple[ls.Manager, list[ls.EventClass]]:
        """Opens the manager; the classes are to be registered."""
        if not self.pending:
            raise Script("the manager could not be opened")
        self.pending = False
        manager = ls.Manager(applications=self._applications, pools=self._pools, **self._options)
        return manager, [event_class(world, words) for words in self._classes]


def _options(words: Words) -> dict[str, Any]:
    return dict(_option(name, value) for name, value in words.named.items())


def _option(name: str, value: str) -> tuple[str, Any]:
    if name.endswith("_ms"):
        return name.removesuffix("_ms"), ms(value)
    if name in _NUMBERS:
        return name, int(value)
    if name in _TRUTHS:
        return name, yes(value)
    if name in _LISTS:
        return name, [item for item in value.split(",") if item]
    if name in ("reserve", "reserve_soft"):
        return "reservations", [reservation(one, name == "reserve") for one in value.split(";")]
    if name == "event_classes_on_entry":
        return name, "union" if yes(value) else "keep"
    if name in _TEXTS:
        return name, text_of(value)
    raise Script(f"there is no option '{name}'")


def reservation(value: str, hard: bool) -> ls.Reservation:
    """`UNITS:MEMBER,…`."""
    units, _, members = value.partition(":")
    return ls.Reservation(int(units), members.split(","), hard=hard)


def event_class(world: World, words: list[str]) -> ls.EventClass:
    """An event class as a `class` line describes it."""
    sorted_words = Words(words)
    described = ls.EventClass(
        sorted_words.text_at(0),
        namespace=sorted_words.text("namespace") or "",
        deadline=sorted_words.duration("deadline_ms"),
        compat_veto=sorted_words.yes("compat_veto") or False,
    )
    for kind, behavior in sorted_words.named.items():
        if kind not in ("namespace", "deadline_ms", "compat_veto"):
            described.on(kind, scripted(world, described, kind, behavior))
    return described
