#!/bin/sh
# Installs what the build needs and the machine lacks: packages of Debian 12, nothing else. Says in one line what it can't.
set -eu

fail() { echo "setup: $*" >&2; exit 1; }

at_least() { # at_least FOUND WANTED: compares versions
    [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

# What no package of Debian 12 gives in the right version.
lack=
command -v cargo >/dev/null && at_least "$(rustc --version | cut -d' ' -f2)" 1.95 || lack="$lack Rust>=1.95"
command -v python3 >/dev/null && at_least "$(python3 -c 'import platform; print(platform.python_version())')" 3.11 ||
    lack="$lack Python>=3.11"
command -v node >/dev/null && command -v npm >/dev/null && at_least "$(node --version | tr -d v)" 20.17 || lack="$lack Node>=20.17"
[ -z "$lack" ] || fail "missing:$lack"

packages=
need() { # need PACKAGE CHECK…: the package is wanted unless the check succeeds
    package=$1
    shift
    "$@" >/dev/null 2>&1 || packages="$packages $package"
}
has_header() { echo "#include <$1>" | cc -E -x c - ; }

need gcc sh -c 'command -v cc && command -v gcc'
need g++ sh -c 'command -v c++ && command -v g++'
need make command -v make
need git command -v git
need binutils command -v readelf
need libc6-dev has_header stdio.h
need pkg-config command -v pkg-config
need cmake command -v cmake
need valgrind command -v valgrind
need libmicrohttpd-dev has_header microhttpd.h
need python3-venv python3 -c 'import ensurepip, venv'

if [ -n "$packages" ]; then
    command -v apt-get >/dev/null || fail "missing:$packages (and there is no apt-get to install them)"
    sudo=
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || fail "missing:$packages (installing them needs root or sudo)"
        sudo=sudo
    fi
    echo "setup: installing$packages"
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    # shellcheck disable=SC2086  # a list of words
    { $sudo apt-get update -q && $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $packages; } \
        >"$log" 2>&1 || { tail -n 20 "$log" >&2; fail "missing:$packages (apt-get could not install them)"; }
fi
