"""The types are complete and true: mypy strict, pyright, and stubtest against the built module."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

INSTALLED = Path(__import__("libsession").__file__).parent


def run(cwd: Path, *command: str, **env: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **env}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture
def strict(tmp_path: Path) -> Path:
    (tmp_path / "mypy.ini").write_text("[mypy]\nstrict = True\npython_version = 3.11\n")
    return tmp_path


def test_mypy_is_strictly_satisfied(strict: Path) -> None:
    example = strict / "example.py"
    example.write_text(
        "import libsession as ls\n"
        "manager = ls.Manager(applications={'shop': ls.Application(idle_timeout=5)})\n"
        "with manager.begin(manager.create().token, lock='shared') as session:\n"
        "    session['x'] = [1]\n"
        "    reveal_type(session.get('x'))\n"
        "reason: ls.EndReason = manager.end(session.id).reason\n"
        "outcome: ls.Receipt | ls.Extension = manager.end(session.id, level='request')\n"
        "async def main() -> str:\n"
        "    async with manager.abegin('x') as session:\n"
        "        login: ls.Login = await session.alogin('ada')\n"
        "        return login.token\n"
    )
    done = run(strict, sys.executable, "-m", "mypy", "--config-file", "mypy.ini", str(INSTALLED), str(example))
    assert done.returncode == 0, done.stdout


def test_stubtest_finds_no_difference(strict: Path) -> None:
    done = run(strict, sys.executable, "-m", "mypy.stubtest", "libsession", "--mypy-config-file", "mypy.ini")
    assert done.returncode == 0, done.stdout


def test_pyright_knows_every_type(tmp_path: Path) -> None:
    # Pyright verifies installed packages only, of the `python` that it finds first.
    venv.create(tmp_path / "venv")
    site = next(tmp_path.glob("venv/lib/python*/site-packages"))
    shutil.copytree(INSTALLED, site / "libsession", ignore=shutil.ignore_patterns("__pycache__"))
    done = run(
        tmp_path, sys.executable, "-m", "pyright", "--verifytypes", "libsession", "--ignoreexternal",
        PATH=f"{tmp_path / 'venv' / 'bin'}{os.pathsep}{os.environ['PATH']}",
    )  # fmt: skip
    assert "Type completeness score: 100%" in done.stdout, done.stdout
    assert done.returncode == 0, done.stdout
