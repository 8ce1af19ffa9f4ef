#!/bin/sh
# Runs the examples. LIB: the folder of libsession.so; PYTHON: an interpreter that has the package.
set -eu
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

hello() { # hello LANGUAGE COMMAND…: prints the story
    language=$1
    shift
    "$@" > "$work/hello.$language"
    diff -u examples/hello/expected.txt "$work/hello.$language" || { echo "examples: hello in $language differs" >&2; exit 1; }
    echo "examples: hello in $language"
}

forum() { # forum LANGUAGE COMMAND…: exits with 0 if all units were free in time
    language=$1
    shift
    "$@" > "$work/forum.$language" || { cat "$work/forum.$language"; echo "examples: forum in $language failed" >&2; exit 1; }
    echo "examples: forum in $language: $(tail -n 1 "$work/forum.$language")"
}

license_pool() { # license_pool LANGUAGE COMMAND…: prints the story
    language=$1
    shift
    timeout 120 "$@" < examples/license_pool/story.txt > "$work/license_pool.$language"
    diff -u examples/license_pool/expected.txt "$work/license_pool.$language" ||
        { echo "examples: license_pool in $language differs" >&2; exit 1; }
    echo "examples: license_pool in $language"
}

compiled() { # compiled SOURCE OUTPUT COMPILER…
    source=$1 output=$2
    shift 2
    "$@" -O1 -g -Wall -Wextra -Werror -Iinclude "$source" -o "$output" -L"$LIB" -lsession -lpthread -Wl,-rpath,"$LIB"
}

compiled examples/hello/hello.c "$work/hello-c" cc -std=c11
compiled examples/hello/hello.cpp "$work/hello-cpp" c++ -std=c++17
compiled examples/forum/forum.c "$work/forum-c" cc -std=gnu11
compiled examples/license_pool/license_pool.c "$work/license_pool-c" cc -std=c11

hello rust cargo run -q -p libsession-examples --bin hello
hello c "$work/hello-c"
hello cpp "$work/hello-cpp"
hello python "$PYTHON" examples/hello/hello.py
hello node node examples/hello/hello.mjs
forum c "$work/forum-c"
forum python "$PYTHON" examples/forum/forum.py
forum node node examples/forum/forum.mjs
license_pool c "$work/license_pool-c"
license_pool python "$PYTHON" examples/license_pool/license_pool.py
license_pool node node examples/license_pool/license_pool.mjs
