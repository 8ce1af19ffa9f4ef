"""Core, C interface and bindings have one version, and CHANGELOG.md tells of it."""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def found(path: str, pattern: str) -> str:
    match = re.search(pattern, (ROOT / path).read_text(), re.MULTILINE)
    return match.group(1) if match else "none"


def inherits(path: str) -> str:
    """A crate's version is the workspace's."""
    return VERSION if found(path, r"^(version\.workspace = true)$") != "none" else "one of its own"


VERSION = found("Cargo.toml", r'^\[workspace\.package\]\nversion = "([^"]+)"')
lock = json.loads((ROOT / "bindings/node/package-lock.json").read_text())
versions = {
    "core/Cargo.toml": inherits("core/Cargo.toml"),
    "ffi/Cargo.toml": inherits("ffi/Cargo.toml"),
    "bindings/python/Cargo.toml": inherits("bindings/python/Cargo.toml"),
    "bindings/node/Cargo.toml": inherits("bindings/node/Cargo.toml"),
    "bindings/node/package.json": json.loads((ROOT / "bindings/node/package.json").read_text())["version"],
    "bindings/node/package-lock.json": lock["version"],
    "include/libsession.h": found("include/libsession.h", r'^#define LSES_VERSION_STRING "([^"]+)"'),
    "workspace dependency": found("Cargo.toml", r'^libsession-core = \{.*version = "([^"]+)"'),
    "CHANGELOG.md": found("CHANGELOG.md", r"^## \[?(\d+\.\d+\.\d+)"),
}
wrong = {where: version for where, version in versions.items() if version != VERSION}
for where, version in wrong.items():
    print(f"version: {where} says {version}, not {VERSION}", file=sys.stderr)
if not re.search(r"^- C ABI: (unchanged|added|broken)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE):
    sys.exit("version: CHANGELOG.md has no line '- C ABI: unchanged, added or broken'")
print(f"version {VERSION} everywhere" if not wrong else "", end="\n" if not wrong else "")
sys.exit(1 if wrong else 0)
