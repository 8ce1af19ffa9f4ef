#!/bin/sh
# Makes the virtual environment .venv and brings it to the requirements named: venv.sh REQUIREMENTS…
set -eu
[ -x .venv/bin/python ] || python3 -m venv .venv
for file; do set -- "$@" -r "$file"; shift; done
.venv/bin/python -m pip install -q --disable-pip-version-check "$@" ||
    { echo "setup: missing: Python packages of $* (pip could not install them)" >&2; exit 1; }
