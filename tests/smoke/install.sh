#!/bin/sh
# Installs the C package, the wheel and the npm tarballs into empty places; each says hello. PYTHON: has maturin.
set -eu
cd "$(dirname "$0")/../.."
root=$PWD
target=${CARGO_TARGET_DIR:-$root/target}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

says_hello() { # says_hello WHAT COMMAND…
    what=$1
    shift
    "$@" > "$work/out"
    diff -u "$root/examples/hello/expected.txt" "$work/out" || { echo "install: $what does not say hello" >&2; exit 1; }
    echo "install: $what says hello"
}

make -s -C ffi install PREFIX="$work/c" BUILT="$target/debug" >/dev/null
export PKG_CONFIG_PATH="$work/c/lib/pkgconfig"
# shellcheck disable=SC2046  # a list of words
cc -std=c11 examples/hello/hello.c -o "$work/hello-c" $(pkg-config --cflags --libs libsession)
says_hello "the C package" env LD_LIBRARY_PATH="$work/c/lib" "$work/hello-c"
make -s -C ffi uninstall PREFIX="$work/c"
left=$(find "$work/c" -type f -o -type l)
[ -z "$left" ] || { echo "install: make uninstall left $left" >&2; exit 1; }

"$root/tools/quiet.sh" "$PYTHON" -m maturin build --profile dev -m bindings/python/Cargo.toml --out "$work/wheel"
python3 -m venv --without-pip "$work/venv"
site=$(echo "$work"/venv/lib/python*/site-packages)
"$PYTHON" -m pip install -q --disable-pip-version-check --no-index --target "$site" "$work"/wheel/*.whl
says_hello "the wheel" "$work/venv/bin/python" examples/hello/hello.py

node bindings/node/tools/pack.mjs "$work/tarballs" >/dev/null
mkdir "$work/node"
cp examples/hello/hello.mjs "$work/node"
echo '{ "private": true }' > "$work/node/package.json"
npm install --prefix "$work/node" --offline --no-audit --no-fund --loglevel=error "$work"/tarballs/*.tgz >/dev/null
says_hello "the npm package" node "$work/node/hello.mjs"
