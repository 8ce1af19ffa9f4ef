"""A line of a script: words, and what is expected of the answer."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta

from . import jsontext


class Script(Exception):
    """The script is wrong."""


@dataclass(frozen=True)
class Expect:
    """What is expected of an answer: the text, `BEGIN ...`, or `*`; and a part of the error's message."""

    text: str
    message: str | None


@dataclass(frozen=True)
class Line:
    """One line, to be done once."""

    words: list[str]
    expect: Expect | None


def parse(raw: str) -> list[Line]:
    """Reads a line of a script: nothing for a comment, several for `times`."""
    if raw.lstrip().startswith("times "):
        _, count, rest = raw.split(None, 2)
        return [line for n in range(1, int(count) + 1) for line in parse(rest.replace("%", str(n)))]
    words = _words(raw)
    if not words:
        return []
    expect = None
    if "->" in words:
        at = words.index("->")
        words, expected = words[:at], words[at + 1 :]
        message = None
        if len(expected) >= 2 and expected[-2] == ":" and expected[-1].startswith('"'):
            message = text_of(expected[-1])
            expected = expected[:-2]
        expect = Expect(" ".join(expected), message)
    if not words:
        raise Script("an expectation without a verb")
    return [Line([_expand(word) for word in words], expect)]


def _words(raw: str) -> list[str]:
    words: list[str] = []
    word, depth, quoted, escaped = "", 0, False, False
    for letter in raw:
        if quoted:
            word += letter
            quoted = escaped or letter != '"'
            escaped = not escaped and letter == "\\"
            continue
        if letter == "#" and not word:
            break
        if letter in " \t\r" and depth == 0:
            if word:
                words.append(word)
                word = ""
            continue
        if letter == '"':
            quoted = True
        elif letter in "[{":
            depth += 1
        elif letter in "]}":
            depth = max(0, depth - 1)
        word += letter
    if quoted or depth:
        raise Script("JSON that does not end on its line")
    if word:
        words.append(word)
    return words


def _expand(word: str) -> str:
    before, after = "", word
    if "=" in word and word[0] not in '"[{':
        name, _, after = word.partition("=")
        before = f"{name}="
    if after.startswith("@") and after[1:].isdigit():
        return f'{before}"{"x" * int(after[1:])}"'
    return word


def text_of(word: str) -> str:
    """A word as text: a JSON string, or itself."""
    if not word.startswith('"'):
        return word
    text = jsontext.load(word)
    if not isinstance(text, str):
        raise Script(f"{word} is not a text")
    return text


def json_of(word: str) -> object:
    """A JSON value in a script."""
    return jsontext.load(word)


class Words:
    """The words behind a verb: in order, and by name."""

    def __init__(self, words: list[str]) -> None:
        self.plain: list[str] = []
        self.named: dict[str, str] = {}
        for word in words:
            match = re.match(r"([a-z_]*)=(.*)", word, re.DOTALL)
            if match:
                self.named.setdefault(match[1], match[2])
            else:
                self.plain.append(word)

    def at(self, index: int) -> str:
        """The n-th word without a name."""
        if index >= len(self.plain):
            raise Script(f"word {index + 1} is missing")
        return self.plain[index]

    def text_at(self, index: int) -> str:
        """The n-th word as a text."""
        return text_of(self.at(index))

    def text(self, name: str) -> str | None:
        """A named text."""
        return text_of(self.named[name]) if name in self.named else None

    def number(self, name: str) -> int | None:
        """A named number."""
        return int(self.named[name]) if name in self.named else None

    def yes(self, name: str) -> bool | None:
        """A named truth."""
        return yes(self.named[name]) if name in self.named else None

    def duration(self, name: str) -> timedelta | None:
        """A named duration."""
        return ms(self.named[name]) if name in self.named else None

    def only(self, *known: str) -> None:
        """Refuses names that are not known."""
        for name in self.named:
            if name not in known:
                raise Script(f"'{name}=' is not known here")


def yes(word: str) -> bool:
    """`true` or `false`."""
    if word not in ("true", "false"):
        raise Script(f"'{word}' is neither true nor false")
    return word == "true"


def ms(word: str) -> timedelta:
    """A duration in milliseconds."""
    return timedelta(milliseconds=int(word))
