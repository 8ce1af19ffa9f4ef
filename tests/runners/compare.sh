#!/bin/sh
# Runs all four runners over all scripts (or those named) and compares their event logs: byte-identical, or this fails. That of
# C twice: blocking, and with calls that do not block in an event loop.
#
# compare.sh [--table memory|file] [--vectors COUNT] [SCRIPT|FOLDER…]; by default on the memory table, all scripts and 200
# random ones, 1,000 with LSES_TORTURE set
# The commands can be named: RUNNER_RUST, RUNNER_C, RUNNER_PYTHON, RUNNER_NODE; one that is set to "" is left out, loudly.
set -eu
cd "$(dirname "$0")/../.."

target=${CARGO_TARGET_DIR:-target}
: "${RUNNER_RUST=$target/debug/libsession-runner-rust}"
: "${RUNNER_C=tests/runners/c/runner}"
: "${RUNNER_PYTHON=python3 tests/runners/python/runner.py}"
: "${RUNNER_NODE=node tests/runners/node/runner.mjs}"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
table=memory
if [ "${1-}" = --table ]; then
    table=$2
    shift 2
fi
# What is replayed is not the disk: stores lie in memory where that is possible.
if [ "$table" = file ] && [ -z "${TMPDIR-}" ] && [ -w /dev/shm ]; then
    export TMPDIR=/dev/shm
fi
vectors=0
[ $# -gt 0 ] || vectors=${LSES_TORTURE:+1000}
vectors=${vectors:-200}
if [ "${1-}" = --vectors ]; then
    vectors=$2
    shift 2
fi
[ $# -gt 0 ] || set -- tests/conformance
# Optional modules (~) are no common ground: each runner replays those that it has.
find "$@" -name '*.txt' ! -path '*/~*' | LC_ALL=C sort > "$work/scripts"
if [ "$vectors" -gt 0 ]; then
    $RUNNER_RUST --table "$table" --generate 1 "$vectors" "$work/vectors"
    if [ "$table" != memory ]; then
        $RUNNER_RUST --generate 1 "$vectors" "$work/memory"
        if ! diff -r "$work/memory" "$work/vectors" > "$work/tables"; then
            echo "compare: the $table table answers otherwise than the memory table:"
            head -50 "$work/tables"
            exit 1
        fi
    fi
    find "$work/vectors" -name '*.txt' | LC_ALL=C sort >> "$work/scripts"
fi
scripts=$(wc -l < "$work/scripts")

failed=0
for language in rust c c-loop python node; do
    case $language in
        rust) runner=$RUNNER_RUST ;;
        c) runner=$RUNNER_C ;;
        c-loop) runner=${RUNNER_C:+$RUNNER_C --loop} ;;
        python) runner=$RUNNER_PYTHON ;;
        node) runner=$RUNNER_NODE ;;
    esac
    if [ -z "$runner" ]; then
        echo "compare: $language LEFT OUT"
        continue
    fi
    # Several calls: a command line has its bounds.
    if ! xargs -n 200 $runner --table "$table" --log < "$work/scripts" > "$work/$language.log" 2> "$work/$language.err"; then
        echo "compare: $language does not meet all expectations:"
        head -50 "$work/$language.err"
        failed=1
    fi
    if cmp -s "$work/rust.log" "$work/$language.log"; then
        echo "compare: $language: $table: $scripts scripts, $(wc -l < "$work/$language.log") log lines, the same as rust"
    else
        echo "compare: the log of $language differs from that of rust:"
        diff "$work/rust.log" "$work/$language.log" | head -50 || :
        failed=1
    fi
done
exit $failed
