"""What the documentation shows runs."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

import libsession as ls
from libsession import _events, _manager

README = Path(__file__).parents[1] / "README.md"


def blocks(text: str) -> list[str]:
    return [textwrap.dedent(block) for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL)]


def test_the_readme_runs_from_the_first_line_to_the_last(capsys: pytest.CaptureFixture[str]) -> None:
    namespace: dict[str, object] = {}
    code = blocks(README.read_text(encoding="utf-8"))
    assert len(code) > 5
    for block in code:
        exec(compile(block, str(README), "exec"), namespace)
    out = capsys.readouterr().out
    assert "ended: ended ['tea', {'milk': 2}]" in out
    assert "members only" in out
    manager = namespace["manager"]
    assert isinstance(manager, ls.Manager)
    manager.close(grace=0.1)


@pytest.mark.parametrize("documented", [ls, _manager.Manager.event_class, _events.EventClass], ids=str)
def test_examples_of_doc_strings_run(documented: object) -> None:
    manager = ls.Manager()
    for block in blocks(documented.__doc__ or ""):
        exec(compile(block, str(documented), "exec"), {"manager": manager, "EventClass": ls.EventClass, "Event": ls.Event})
    manager.close(grace=0.1)


def test_everything_public_is_documented() -> None:
    undocumented = [name for name in ls.__all__ if isinstance(getattr(ls, name), type) and not getattr(ls, name).__doc__]
    assert undocumented == []
