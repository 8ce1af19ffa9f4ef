#!/bin/sh
# Runs one step and says how long it took: step.sh NAME COMMAND…
set -u
name=$1
shift
echo "== $name"
start=$(date +%s)
"$@"
status=$?
echo "== $name: $(($(date +%s) - start)) s$([ $status -eq 0 ] || echo ", FAILED")"
exit $status
