"""The core's lossless JSON: `1` is an integer, `1.0` a float, `{"$bytes":"AAE="}` bytes."""

from __future__ import annotations

import base64
import json
import math
from decimal import Decimal
from typing import Any

_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


class NotJson(Exception):
    """A word of a script is no JSON."""


def _form(pairs: list[tuple[str, Any]]) -> Any:
    if len(pairs) == 1 and pairs[0][0].startswith("$"):
        name, value = pairs[0]
        if name == "$bytes":
            return base64.b64decode(value, validate=True)
        if name == "$float":
            return {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}[value]
        if name == "$map":
            return dict(value)
        raise NotJson(f"unknown form {name}")
    return dict(pairs)


def _constant(name: str) -> Any:
    raise NotJson(name)


def load(text: str) -> Any:
    """The value of a JSON text."""
    try:
        return json.loads(text, object_pairs_hook=_form, parse_constant=_constant)
    except (ValueError, KeyError, TypeError) as error:
        raise NotJson(f"{text}: {error}") from error


def dump(value: Any) -> str:
    """The JSON text of a value, without white space."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, Decimal)):
        return str(value)
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bytes):
        return f'{{"$bytes":"{base64.b64encode(value).decode()}"}}'
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(dump, value))}]"
    entries = [f"{_text(key)}:{dump(item)}" for key, item in value.items()]
    if len(entries) == 1 and next(iter(value)).startswith("$"):
        key, item = next(iter(value.items()))
        return f'{{"$map":[[{_text(key)},{dump(item)}]]}}'
    return f"{{{','.join(entries)}}}"


def dump_tree(entries: list[tuple[tuple[Any, ...], Any]]) -> str:
    """The JSON text of a tree: a list of `[path, value]`."""
    return f"[{','.join(f'[[{_path(path)}],{dump(value)}]' for path, value in entries)}]"


def subscript(value: Any) -> str:
    """The canonical text of a subscript: of numbers their shortest."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, float):
        return _float(value).removesuffix(".0")
    return str(value)


def _path(path: tuple[Any, ...]) -> str:
    return ",".join(map(subscript, path))


def _float(value: float) -> str:
    if math.isnan(value):
        return '{"$float":"NaN"}'
    if math.isinf(value):
        return '{"$float":"Infinity"}' if value > 0 else '{"$float":"-Infinity"}'
    digits, exponent, power = repr(value).partition("e")
    return f"{digits}e{int(power)}" if exponent else digits


def _text(text: str) -> str:
    out = []
    for letter in text:
        if letter in _ESCAPES:
            out.append(_ESCAPES[letter])
        elif letter < " " or letter == "\x7f":
            out.append(f"\\u{ord(letter):04x}")
        else:
            out.append(letter)
    return f'"{"".join(out)}"'
