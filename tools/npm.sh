#!/bin/sh
# Installs the modules that a folder's package-lock.json names: npm.sh FOLDER
set -eu
npm ci --prefix "$1" --no-audit --no-fund --loglevel=error ||
    { echo "setup: missing: Node modules of $1 (npm could not install them)" >&2; exit 1; }
