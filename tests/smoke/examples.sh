#!/bin/sh
# Runs the examples and compares what they print.
set -eu
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

hello() { # hello LANGUAGE COMMAND…
    language=$1
    shift
    "$@" > "$work/hello.$language"
    diff -u examples/hello/expected.txt "$work/hello.$language" || { echo "examples: hello in $language differs" >&2; exit 1; }
    echo "examples: hello in $language"
}

hello rust cargo run -q -p libsession-examples --bin hello
