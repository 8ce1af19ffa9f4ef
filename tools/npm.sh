#!/bin/sh
# Installs the modules that a folder's package-lock.json names: npm.sh FOLDER
# Not `npm ci`: that also wants the optional packages of other platforms in the lock file, and registries lack some.
set -eu
npm install --prefix "$1" --omit-lockfile-registry-resolved --no-audit --no-fund --loglevel=error >/dev/null ||
    { echo "setup: missing: Node modules of $1 (npm could not install them)" >&2; exit 1; }
