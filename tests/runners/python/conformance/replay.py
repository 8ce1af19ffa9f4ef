"""Replays one script."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import libsession as ls

from . import answer, jsontext
from .line import Expect, Line, Script, parse
from .verbs import answer_of
from .world import World


@dataclass
class Report:
    """What became of a script: its event log, and each expectation that was not met."""

    log: str
    failures: list[str] = field(default_factory=list)


def replay(path: Path, table: str) -> Report:
    """Replays a script on a table: `memory`, `file` (a directory made for it), or any store."""
    if table != "file":
        return _replay(path, table)
    with tempfile.TemporaryDirectory(prefix="libsession-script-") as directory:
        return _replay(path, f"file:{directory}/store")


def _replay(path: Path, store: str) -> Report:
    report = Report(f"# {path}\n")
    world = World(store)
    for number, raw in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        try:
            for line in parse(raw):
                if why := check(world, line):
                    report.failures.append(f"{path}:{number}: {why}")
        except (Script, jsontext.NotJson) as why:
            report.failures.append(f"{path}:{number}: {why}")
    if world.started:
        report.failures.append(f"{path}: never joined: {' '.join(world.started)}")
    report.log += world.log()
    world.over()
    return report


def check(world: World, line: Line) -> str | None:
    """Does a line; why its answer is not the expected one."""
    got, message = do_line(world, line)
    if line.expect is None:
        bad = got == "absent" or got.startswith(("error ", "gone "))
        return f"expected no error, got {got} ({message})" if bad else None
    if not matches(line.words, line.expect, got):
        return f"expected {line.expect.text}, got {got}" + (f" ({message})" if message else "")
    if line.expect.message is not None and line.expect.message not in message:
        return f'expected a message with "{line.expect.message}", got {message}'
    return None


def do_line(world: World, line: Line) -> tuple[str, str]:
    """Does a line and settles; its answer, and the message of its error."""
    try:
        got, message = answer_of(world, line.words), ""
    except ls.SessionError as error:
        got, message = answer.error(error), error.message
    finally:
        world.settle()
    return world.with_labels(got), world.with_labels(message)


def matches(words: list[str], expect: Expect, got: str) -> bool:
    """Whether an answer is the expected one."""
    if expect.text in ("*", got):
        return True
    if expect.text.endswith("..."):
        return got.startswith(expect.text[:-3].rstrip())
    match words[0]:
        case "get" | "get_versioned" | "pop":
            return same(expect.text, got, lambda text: jsontext.dump(jsontext.load(text)))
        case "entries":
            return same(expect.text, got, tree)
        case "next":
            return same(expect.text, got, lambda text: float(jsontext.load(text)))
    return False


def tree(text: str) -> list[str]:
    """A tree in an order of its own."""
    return sorted(f"{','.join(map(jsontext.subscript, path))}={jsontext.dump(item)}" for path, item in jsontext.load(text))


def same(expected: str, got: str, canonical: Callable[[str], Any]) -> bool:
    """Whether both are the same value."""
    try:
        return bool(canonical(expected) == canonical(got))
    except (jsontext.NotJson, ValueError, TypeError):
        return False
