"""Runs the code of README.md in each language and compares what it prints with the text block there.

LIB: the folder of libsession.so. Run with the interpreter that has the package.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
LIB = os.environ["LIB"]


def run(*command: str | Path) -> str:
    done = subprocess.run([str(word) for word in command], cwd=ROOT, capture_output=True, text=True, timeout=300)
    if done.returncode:
        sys.exit(f"docs: {' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def compiled(compiler: str, standard: str, source: Path) -> str:
    program = source.with_suffix(".out")
    run(compiler, f"-std={standard}", "-Wall", "-Wextra", "-Werror", "-Iinclude", source, "-o", program, f"-L{LIB}",
        "-lsession", f"-Wl,-rpath,{LIB}")  # fmt: skip
    return run(program)


def rust(source: Path) -> str:
    run("cargo", "build", "-q", "-p", "libsession-core")
    program = source.with_suffix(".out")
    debug = TARGET / "debug"
    run("rustc", "--edition", "2024", source, "-o", program, "-L", f"dependency={debug / 'deps'}", "--extern",
        f"libsession_core={debug / 'liblibsession_core.rlib'}")  # fmt: skip
    return run(program)


RUN = {
    "rust": ("rs", rust),
    "c": ("c", lambda source: compiled("cc", "c11", source)),
    "cpp": ("cpp", lambda source: compiled("c++", "c++17", source)),
    "python": ("py", lambda source: run(sys.executable, source)),
    "js": ("mjs", lambda source: run("node", source)),
}

blocks = re.findall(r"^```(\w+)\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
expected = dict(blocks)["text"]
programs = [(language, code) for language, code in blocks if language in RUN]
missing = set(RUN) - {language for language, _ in programs}
if missing:
    sys.exit(f"docs: README.md has no code in {', '.join(sorted(missing))}")
# Below the root, so that Node finds the package.
(ROOT / "target").mkdir(exist_ok=True)
with tempfile.TemporaryDirectory(dir=ROOT / "target") as folder:
    for number, (language, code) in enumerate(programs):
        extension, runs = RUN[language]
        source = Path(folder) / f"readme{number}.{extension}"
        source.write_text(code)
        printed = runs(source)
        if printed != expected:
            sys.exit(f"docs: the {language} code of README.md prints\n{printed}and not\n{expected}")
        print(f"docs: README.md in {language}")
