"""The command `python -m libsession`: lists, explains, ends, accounts and recounts, on a store that servers have open.

It opens the store by what that says itself (`Manager(store, adopt=True)`): it needs no configuration and disturbs nobody.
Nothing that it prints is a token.
"""

from __future__ import annotations

import argparse
import dataclasses
import getpass
import io
import json
import os
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta, timezone
from enum import Enum
from typing import Any, TextIO

from ._errors import Absent, Invalid, SessionError
from ._manager import Manager
from ._records import Extension, SessionInfo, Usage

FINE, FINDING, WRONG = 0, 1, 2

_EPILOG = """\
STORE is the directory that the servers name as file:STORE. Run it as the user that it belongs to.

exit status:
  0  fine
  1  a finding: a difference in `audit`, a pool without free units in `licenses --check`,
     nothing known of what `explain`, `end` or `licenses POOL HOLDER` name
  2  wrong arguments, or a store that can't be opened or read

With --json each answer is one JSON object a line; times are ISO 8601 (UTC) or milliseconds (…_ms).
"""


# An id may begin with a hyphen, and is no option for that: it is marked until the arguments are told apart.
_HYPHEN_ID = re.compile(r"-[A-Za-z0-9_-]{21}")
_MARK = "\ue000"


def _marked(arguments: Iterable[str]) -> list[str]:
    return [_MARK + argument if _HYPHEN_ID.fullmatch(argument) else argument for argument in arguments]


def _unmarked(argument: str) -> str:
    return argument.removeprefix(_MARK)


class _Help(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28, width=100)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m libsession",
        description="See and mend the sessions and licenses of a store that servers have open.",
        epilog=_EPILOG,
        formatter_class=_Help,
    )
    parser.add_argument("store", metavar="STORE", help="the directory of the store, with file: or without")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(name: str, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".", formatter_class=_Help)
        added.add_argument("--json", action="store_true", help="one JSON object a line")
        return added

    listing = command("list", "the live sessions: who, since when idle, until when")
    listing.add_argument("--user", help="of this user")
    listing.add_argument("--application", help="of this application")
    listing.add_argument("--pool", help="that are charged to this pool")

    explain = command("explain", "everything about one session, live or ended")
    explain.add_argument("id", metavar="ID", type=_unmarked, help="its public id (22 characters)")

    end = command("end", "end a session, or all of a user")
    whom = end.add_mutually_exclusive_group(required=True)
    whom.add_argument("id", metavar="ID", nargs="?", type=_unmarked, help="its public id (22 characters)")
    whom.add_argument("--user", metavar="USER", help="all of this user, but of applications that are protected")
    end.add_argument("--reason", default="ended", help="what its client is told: ended (default), revoked …")
    end.add_argument("--note", help="kept with its tombstone and told in its receipt")
    end.add_argument("--actor", help="who ends it; default: who runs this")

    licenses = command("licenses", "the pools and who holds their units, or why one holder does")
    licenses.add_argument("pool", metavar="POOL", nargs="?", help="this one only, with who waits")
    licenses.add_argument("holder", metavar="HOLDER", nargs="?", type=_unmarked, help="a user, or a session's id: why it has units")
    licenses.add_argument("--check", action="store_true", help="exit with 1 if a pool has no unit free for all")

    accounts = command("accounts", "what was done with units, as JSON lines, and where to go on")
    accounts.add_argument("pool", metavar="POOL", nargs="?", help="of this one only")
    accounts.add_argument("--after", metavar="N", type=int, default=0, help="those after number N (of `seq`) of POOL")
    accounts.add_argument("--limit", metavar="N", type=int, help="at most so many of each pool")

    audit = command("audit", "recount the units in use of each pool, and name each difference")
    audit.add_argument("pool", metavar="POOL", nargs="?", help="of this one only")
    return parser


# --- words -------------------------------------------------------------------------------------------------------------


def shown(text: str) -> str:
    """A text with what would break a line, hide or turn letters around as escapes."""
    hides = ("Cc", "Cf", "Zl", "Zp", "Cs")
    escape = "unicode_escape"
    return "".join(c.encode(escape).decode() if unicodedata.category(c) in hides else c for c in text)


def span(time: timedelta) -> str:
    """A time as people say it, cut to its two largest units."""
    left = max(0, time // timedelta(milliseconds=1))
    if left < 1000:
        return f"{left} ms"
    parts: list[str] = []
    for name, unit in (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000)):
        if parts or left >= unit:
            parts.append(f"{left // unit} {name}" if left >= unit else "")
            left %= unit
    return " ".join(part for part in parts[:2] if part)


def instant(time: datetime) -> str:
    """A time as the clock on the wall here shows it."""
    return time.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def counted(count: int, one: str, many: str | None = None) -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"


def table(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Rows as lines with columns."""
    cells = [[shown(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def plain(value: Any) -> Any:
    """A record as JSON has it: instants as ISO 8601, times in milliseconds."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        members = ((one.name, getattr(value, one.name)) for one in dataclasses.fields(value))
        return dict(_member(name, member) for name, member in members)
    if isinstance(value, dict):
        return {str(plain(key)): plain(member) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(member) for member in value]
    if isinstance(value, Enum):
        return value.value
    return value


# Those of them that hold a time, or nothing.
_TIMES = {"idle_timeout", "absolute_timeout", "release_in", "late", "active", "waited", "left", "by"}


def _member(name: str, member: Any) -> tuple[str, Any]:
    if isinstance(member, datetime):
        return name, member.astimezone(timezone.utc).isoformat(timespec="milliseconds")
    if name in _TIMES:
        return f"{name}_ms", member // timedelta(milliseconds=1) if isinstance(member, timedelta) else None
    return name, plain(member)


class _Times:
    """When something was or will be that a session tells in engine time."""

    def __init__(self, session: SessionInfo) -> None:
        since = session.created_at - timedelta(milliseconds=session.created_ms)
        self.used = since + timedelta(milliseconds=session.last_used_ms)
        self.deadline = None if session.deadline_ms is None else since + timedelta(milliseconds=session.deadline_ms)


# --- commands ----------------------------------------------------------------------------------------------------------


class Command:
    """One command on an open store."""

    def __init__(self, manager: Manager, arguments: argparse.Namespace, out: TextIO) -> None:
        self.manager, self.arguments, self.out = manager, arguments, out
        self.now = datetime.now(timezone.utc)

    def say(self, line: str = "") -> None:
        self.out.write(line + "\n")

    def tell(self, record: Any, **more: Any) -> None:
        self.say(json.dumps({**plain(record), **dict(_member(*one) for one in more.items())}))

    def pools(self) -> list[str]:
        named: str | None = self.arguments.pool
        return self.manager.pools() if named is None else [named]

    def sessions(self) -> Iterator[tuple[SessionInfo, ...]]:
        given = {name: getattr(self.arguments, name) for name in ("user", "application", "pool")}
        cursor: int | None = 0
        while cursor is not None:
            page = self.manager.list(
                cursor=cursor, limit=1000, **{name: value for name, value in given.items() if value is not None}
            )
            if page.sessions:
                yield page.sessions
            cursor = page.next

    def do_list(self) -> int:
        head = ("ID", "USER", "STATE", "APPLICATION", "IDLE", "DEADLINE", "LICENSE")
        found = 0
        for page in self.sessions():
            rows: list[Sequence[str]] = [] if found else [head]
            found += len(page)
            for session in page:
                times = _Times(session)
                if self.arguments.json:
                    self.tell(session, last_used_at=times.used, deadline_at=times.deadline)
                else:
                    rows.append(self.row(session, times))
            if not self.arguments.json:
                for line in table(rows):
                    self.say(line)
        if not self.arguments.json:
            self.say(counted(found, "live session"))
        return FINE

    def row(self, session: SessionInfo, times: _Times) -> Sequence[str]:
        idle = "in use" if session.in_flight else span(self.now - times.used)
        if session.overdue:
            deadline = "overdue"
        else:
            deadline = "none now" if times.deadline is None else instant(times.deadline)
        pools = [session.license_pool] if session.license_pool is not None else []
        charged = ", ".join([*pools, *(f"{one.count} of {one.pool}" for one in session.features)])
        user = session.user if session.user is not None else "-"
        return session.id, user, session.state, session.application, idle, deadline, charged or "-"

    def do_explain(self) -> int:
        explained = self.manager.explain(self.arguments.id)
        if explained is None:
            return self.unknown(f"nothing is known of a session {shown(self.arguments.id)}")
        if self.arguments.json:
            self.tell(explained)
        else:
            self.out.write(explained.text)
        return FINE

    def unknown(self, text: str) -> int:
        print(text, file=sys.stderr)
        return FINDING

    def do_end(self) -> int:
        arguments = self.arguments
        actor = _me() if arguments.actor is None else arguments.actor
        if arguments.user is not None:
            return self.end_user(arguments.user, actor)
        try:
            done = self.manager.end(arguments.id, reason=arguments.reason, actor=actor, note=arguments.note)
        except Absent:
            return self.unknown(f"nothing is known of a session {shown(arguments.id)}")
        if arguments.json:
            self.tell(done)
        elif isinstance(done, Extension):
            self.say(f"put off by {shown(done.event_class)} for {span(done.by)}")
        else:
            before = "ended" if done.by_this_call else f"had ended at {instant(done.at)}"
            free = "it held no unit" if done.license_free_at is None else f"its unit is free at {instant(done.license_free_at)}"
            self.say(f"{done.id} {before}: {done.reason}{_by(done.actor)}, {free}")
        return FINE

    def end_user(self, user: str, actor: str) -> int:
        ended = spared = 0
        cursor: int | None = 0
        while cursor is not None:
            step = self.manager.end_where(
                reason=self.arguments.reason, actor=actor, note=self.arguments.note, cursor=cursor, user=user
            )
            ended, spared, cursor = ended + step.changed, spared + step.protected, step.next
        if self.arguments.json:
            self.say(json.dumps({"user": user, "ended": ended, "protected": spared}))
        else:
            protected = f"; {spared} of protected applications live on: end them by their ids" if spared else ""
            self.say(f"{counted(ended, 'session')} of {shown(user)} ended{protected}")
        return FINE if ended or spared else FINDING

    def do_licenses(self) -> int:
        if self.arguments.holder is not None:
            return self.unit(self.arguments.pool, self.arguments.holder)
        exhausted = False
        for number, pool in enumerate(self.pools()):
            usage = self.manager.usage(pool)
            exhausted |= usage.free == 0
            if self.arguments.json:
                waiters = self.manager.queue(pool, limit=10_000) if self.arguments.pool is not None else None
                self.say(json.dumps(plain(usage) | _high_water(usage) | ({} if waiters is None else {"queue": plain(waiters)})))
                continue
            if number:
                self.say()
            self.tell_usage(usage)
        return FINDING if exhausted and self.arguments.check else FINE

    def tell_usage(self, usage: Usage) -> None:
        parts = [f"{usage.free} free"]
        parts += [f"{count} {word}" for count, word in ((usage.reserved, "reserved"), (usage.break_glass, "behind glass")) if count]
        soft = f" ({usage.reserved_soft} of them reserved softly)" if usage.reserved_soft else ""
        self.say(
            f"{shown(usage.pool)}: {counted(usage.capacity, 'unit')}, {usage.in_use} in use, "
            f"{usage.available} available: {', '.join(parts)}{soft}"
        )
        among = (
            (usage.lingering, "linger"),
            (usage.offered, "set aside for who waits"),
            (usage.overdrawn, "overdrawn"),
            (usage.excess, "beyond a lowered capacity"),
        )
        if any(count for count, _ in among):
            self.say("  of those in use " + ", ".join(f"{count} {word}" for count, word in among if count))
        why = [f"{count} {reason}" for reason, count in usage.denials_by_reason.items() if count]
        refused = f"{usage.denials} refused" + (f" ({', '.join(why)})" if why else "")
        most = f"high water {usage.high_water}" + (f" at {instant(usage.high_water_at)}" if usage.high_water else "")
        self.say(f"  {most}; {refused}; {usage.evicted} evicted; {usage.waiting} waiting")
        if usage.holders:
            rows: list[Sequence[str]] = [("HOLDER", "KIND", "CONNECTIONS", "UNITS", "SINCE", "LINGERING", "FREE IN")]
            for one in usage.holders:
                free = "-" if one.release_in is None else span(one.release_in)
                active = instant(self.now - one.active)
                rows.append(
                    (one.holder, one.kind, str(one.connections), str(one.units), active, str(one.lingering), free)
                )
            for line in table(rows):
                self.say("  " + line)
        if usage.waiting and self.arguments.pool is not None:
            rows = [("PLACE", "WAITS", "PRIORITY", "FOR", "UNTIL", "PROCESS")]
            for waiter in self.manager.queue(usage.pool, limit=10_000):
                until = "its turn has come" if waiter.offered else instant(self.now + waiter.left)
                rows.append(
                    (
                        str(waiter.position), waiter.holder, str(waiter.priority), span(waiter.waited), until,
                        str(waiter.process),
                    )
                )  # fmt: skip
            for line in table(rows):
                self.say("  " + line)

    def unit(self, pool: str, holder: str) -> int:
        explained = self.manager.explain_unit(pool, holder)
        if explained is None:
            return self.unknown(f"{shown(holder)} holds nothing of {shown(pool)}")
        if self.arguments.json:
            self.tell(explained)
        else:
            self.out.write(explained.text)
        return FINE

    def do_accounts(self) -> int:
        if self.arguments.after and self.arguments.pool is None:
            raise Invalid("--after needs a POOL: each has numbers of its own")
        if self.arguments.after < 0:
            raise Invalid(f"--after is a number of at least 0, not {self.arguments.after}")
        for pool in self.pools():
            for line in self.manager.export_accounts(pool, after=self.arguments.after, limit=self.arguments.limit):
                # In ASCII: nothing in a name turns a line around.
                self.say(json.dumps(json.loads(line)))
        return FINE

    def do_audit(self) -> int:
        found = False
        for pool in self.pools():
            audit = self.manager.audit(pool)
            found |= bool(audit.differences) or audit.counted != audit.recounted
            if self.arguments.json:
                self.tell(audit)
                continue
            same = "no difference" if audit.counted == audit.recounted else "DIFFERENT"
            self.say(f"{shown(pool)}: {audit.counted} counted, {audit.recounted} recounted: {same}")
            for difference in audit.differences:
                self.say("  " + shown(difference))
        return FINDING if found else FINE


def _high_water(usage: Usage) -> dict[str, Any]:
    """None as long as there was none."""
    return {} if usage.high_water else {"high_water_at": None}


def _by(actor: str | None) -> str:
    return "" if actor is None else f" by {shown(actor)}"


def _me() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Does what the arguments (default: the program's) say; tells the exit status."""
    given = _parser().parse_args(_marked(sys.argv[1:] if arguments is None else arguments))
    out = sys.stdout
    if isinstance(out, io.TextIOWrapper):
        out.reconfigure(errors="backslashreplace")
    store = given.store if given.store.startswith("file:") else f"file:{given.store}"
    try:
        with Manager(store, adopt=True) as manager:
            done: int = getattr(Command(manager, given, out), f"do_{given.command}")()
            out.flush()
            return done
    except BrokenPipeError:
        # Whoever reads has seen enough; the interpreter must not try again at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FINE
    except KeyboardInterrupt:
        return 130
    except SessionError as error:
        print(f"python -m libsession: {shown(str(error))}", file=sys.stderr)
        return WRONG
