"""`runner.py [--table memory|file] [--process N] [--log] SCRIPT…`: replays conformance scripts on the Python package.

The format is told in `tests/README.md`. Exit 0 if all expectations are met.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

sys.dont_write_bytecode = True

from conformance.replay import replay  # noqa: E402 - after the line above, so that no cache is left behind

# Modules that mean nothing in Python: there are none.
SKIPPED: frozenset[str] = frozenset()


def scripts(root: Path) -> list[Path]:
    """Every script below a folder (or the one file), in alphabetical order."""
    return sorted(root.rglob("*.txt"), key=str) if root.is_dir() else [root]


def main(words: list[str]) -> int:
    table, log, paths = "memory", False, list[Path]()
    rest = iter(words)
    for word in rest:
        if word == "--log":
            log = True
        elif word == "--table":
            table = next(rest)
        elif word == "--process":
            next(rest)
        else:
            paths += scripts(Path(word))
    if not paths:
        print("usage: runner.py [--table memory|file] [--process N] [--log] SCRIPT…", file=sys.stderr)
        return 2
    # What scripts provoke is expected: it does not belong on stderr.
    logging.getLogger("libsession").setLevel(logging.CRITICAL)
    good = True
    for path in paths:
        if SKIPPED.intersection(path.parts):
            print(f"{path}: skipped, this language has no such thing", file=sys.stderr)
            continue
        report = replay(path, table)
        if log:
            sys.stdout.write(report.log)
        for failure in report.failures:
            print(failure, file=sys.stderr)
        good = good and not report.failures
    sys.stdout.flush()
    return 0 if good else 1


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8", newline="\n")
    sys.exit(main(sys.argv[1:]))
