#!/usr/bin/env python3
"""Merges what the benchmarks measured into one table and one plot: bench_report.py [FOLDER], by default target/bench.

Reads FOLDER/{core,c,python,python-shared,node,node-shared}.json, whatever is there of them, and writes FOLDER/report.md
and FOLDER/report.svg. A row is {group, what, value, unit, ratio_to, ratio, target, met}: `ratio` is `value` over that of
`ratio_to`, a peer measured in the same run. The rows of the language packages name their peers apart and are taken as they are.
"""

from __future__ import annotations

import json
import re
import sys
from html import escape
from math import log2
from pathlib import Path
from typing import Any

Row = dict[str, Any]
FILES = ("core", "c", "python", "python-shared", "node", "node-shared")
WIDTH, LEFT, BAR, LINE = 1100, 560, 380, 22


def short(value: float | None) -> str:
    if value is None:
        return ""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:.{digits}f}"


def row(group: str, what: str, value: float, unit: str, peer: tuple[str, float] | None, most: float | None) -> Row:
    """A row that is to be at most `most`: times the peer if there is one, else in the unit."""
    ratio = value / peer[1] if peer and peer[1] else None
    measured = value if ratio is None else ratio
    return {
        "group": group,
        "what": what,
        "value": value,
        "unit": unit,
        "ratio_to": f"{peer[0]} ({short(peer[1])} {unit})" if peer else None,
        "ratio": ratio,
        "target": None if most is None else f"≤ {short(most)} {'×' if ratio is not None else unit}",
        "met": None if most is None else measured <= most,
    }


def numbers(found: Row, *names: str) -> Any:
    return next((found[name] for name in names if found.get(name) is not None), None)


def of_package(name: str, found: Row) -> list[Row]:
    """The rows of a language package: its own target first, then each peer without one."""
    group = f"{name.capitalize()}"
    what = str(numbers(found, "operation", "what", "name"))
    unit = str(numbers(found, "unit") or "ns")
    value = numbers(found, "ns", "value", "ours")
    if value is None:
        return []
    most = numbers(found, "target_ns", "target")
    first = row(group, what, value, unit, None, most if isinstance(most, (int, float)) else None)
    if isinstance(most, str):
        first["target"] = most
    if found.get("met") is not None and most is not None:
        first["met"] = found["met"]
    peers = found.get("peers") or {}
    if isinstance(peers, list):
        peers = {str(numbers(peer, "name", "what")): numbers(peer, "ns", "value", "ours") for peer in peers}
    return [first] + [row(group, what, value, unit, (peer, ns), None) for peer, ns in peers.items() if isinstance(ns, (int, float)) and ns]


def read(folder: Path) -> tuple[list[Row], list[str]]:
    rows: list[Row] = []
    conditions = []
    for name in FILES:
        path = folder / f"{name}.json"
        if not path.exists():
            continue
        found = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(found, dict) and found.get("conditions"):
            conditions.append(f"{path.name}: {found['conditions']}")
        entries = found if isinstance(found, list) else numbers(found, "rows", "results", "operations") or []
        for entry in entries:
            ours = {"group", "what", "value"} <= entry.keys() and "peers" not in entry
            rows += [entry] if ours else of_package(name, entry)
    return rows + across(rows), conditions


def across(rows: list[Row]) -> list[Row]:
    """What C promises beside the peers that the core measured: the same machine, the run just before."""
    def value(what: str) -> float | None:
        return next((found["value"] for found in rows if found["what"] == what), None)

    added = []
    in_c, direct = value("touch by token text, 1k uniform"), value("libsession, token text, 1k uniform, back to back")
    if in_c and direct:
        added.append(row("C: border", "touch by token text, beyond Rust, 1k", in_c - direct, "ns", None, 3))
    zipf = value("touch by token text, 1 M Zipf")
    for peer, most in (("RwLock<hashbrown>", 1 / 1.5), ("dashmap", 1 / 1.5), ("moka", 1 / 15)):
        base = value(f"{peer}, 1 M Zipf, back to back")
        if zipf and base:
            added.append(row("C: touch", "touch by token text, 1 M Zipf", zipf, "ns", (peer, base), most))
    last = [found["value"] for found in rows if found["group"] == "C: create and end"]
    for peer, most in (("dashmap", 1 / 3), ("moka", 1 / 8)):
        parts = [value(f"{peer}: {verb}, 1 M") for verb in ("create", "end")]
        if last and None not in parts:
            base = (peer, sum(part or 0 for part in parts))
            added.append(row("C: create and end", "create with license + end, 1 M", last[0], "ns", base, most))
    return added


def table(rows: list[Row], conditions: list[str]) -> str:
    promised = [found for found in rows if found.get("met") is not None]
    met = sum(1 for found in promised if found["met"])
    text = ["# Measured", "", f"{met} of {len(promised)} targets met. Plot: report.svg.", ""]
    text += [f"- {line}" for line in conditions] + [""]
    for group in dict.fromkeys(found["group"] for found in rows):
        text += [f"## {group}", "", "| what | measured | ratio | target | |", "|---|---:|---:|---|---|"]
        for found in rows:
            if found["group"] != group:
                continue
            ratio = f"{short(found['ratio'])} × {found['ratio_to']}" if found.get("ratio") is not None else ""
            mark = {True: "met", False: "**missed**"}.get(found.get("met"), "")  # type: ignore[arg-type]
            measured = f"{short(found['value'])} {found['unit']}".strip()
            text.append(f"| {found['what']} | {measured} | {ratio} | {found.get('target') or ''} | {mark} |")
        text.append("")
    return "\n".join(text)


def bound(found: Row) -> float | None:
    number = re.search(r"[\d.]+", found.get("target") or "")
    return float(number.group()) if number else None


def plot(rows: list[Row]) -> str:
    """One bar a target: how much of it was used. The line is the target itself, the scale is logarithmic."""
    bars = []
    for found in rows:
        most = bound(found)
        if found.get("met") is None or not most:
            continue
        measured = found["ratio"] if found.get("ratio") is not None else found["value"]
        bars.append((found, max(measured, 0) / most))
    height = LINE * (len(bars) + 3)
    def place(used: float) -> float:  # 1/8 to 32 times the target
        return LEFT + BAR * min(max((3 + (log2(used) if used > 0 else -10)) / 8, 0), 1)

    svg = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="10" y="{LINE}" font-size="15">Measured over target: left of the line is met</text>',
    ]
    for factor in (0.125, 0.25, 0.5, 1, 2, 4, 8, 16, 32):
        x, strong = place(factor), factor == 1
        svg.append(
            f'<line x1="{x:.0f}" y1="{LINE * 1.8:.0f}" x2="{x:.0f}" y2="{height - 6}" '
            f'stroke="{"#333" if strong else "#ddd"}" stroke-width="{2 if strong else 1}"/>'
            f'<text x="{x:.0f}" y="{LINE * 1.6:.0f}" text-anchor="middle" fill="#555">{factor:g}×</text>'
        )
    for number, (found, used) in enumerate(bars):
        y = LINE * (number + 2)
        peer = f", over {found['ratio_to'].split(' (')[0]}" if found.get("ratio_to") else ""
        color = "#3a7d44" if found["met"] else "#b5483a"
        name = f"{found['group']}: {found['what']}{peer}"
        end = place(used) if used > 0 else LEFT
        svg.append(
            f'<text x="{LEFT - 8}" y="{y + 15}" text-anchor="end">{escape(name[:92])}</text>'
            f'<rect x="{LEFT}" y="{y + 5}" width="{max(end - LEFT, 2):.0f}" height="13" fill="{color}" '
            'fill-opacity="0.85"/>'
            f'<text x="{end + 5:.0f}" y="{y + 15}" fill="#333">{short(used)}×</text>'
        )
    return "\n".join([*svg, "</svg>", ""])


def main() -> int:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "target/bench")
    rows, conditions = read(folder)
    if not rows:
        print(f"{folder} has none of {', '.join(f'{name}.json' for name in FILES)}", file=sys.stderr)
        return 1
    (folder / "report.md").write_text(table(rows, conditions), encoding="utf-8")
    (folder / "report.svg").write_text(plot(rows), encoding="utf-8")
    promised = [found for found in rows if found.get("met") is not None]
    met = sum(1 for found in promised if found["met"])
    print(f"{met} of {len(promised)} targets met: {folder / 'report.md'}, {folder / 'report.svg'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
