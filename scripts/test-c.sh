#!/usr/bin/env bash
# Tests the C library as it is installed: into a folder of its own, from which the programs in examples/c are compiled, with the
# shared library, with the static one, and with nothing shared at all, and must say what is in the file beside each. Looks at the names that both show.
#
# cargo-c is used if it is here already; else the files are put in place by hand (see install-c.sh).
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

case ${1:-} in
-h | --help) head_comment && exit 0 ;;
?*) head_comment >&2 && exit 2 ;;
esac
check_init

prefix=$WORK/c-library
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
[ -x "$WORK/cargo-c/bin/cargo-cinstall" ] || command -v cargo-cinstall >/dev/null || export EMALLOC_CARGO_C=0

# ours_only NM-ARGUMENT... FILE: no name that begins otherwise, and those that the header needs.
ours_only() {
    local names
    names=$(nm --defined-only "$@" | awk 'NF == 3 { print $3 }')
    ! grep -v '^emalloc_' <<<"$names"
    grep -qx emalloc_alloc_at <<<"$names"
}

names() {
    ours_only -D "$prefix/lib/libemalloc.so"
    ours_only -g "$prefix/lib/libemalloc.a"
    readelf -d "$prefix/lib/libemalloc.so" | grep -F 'soname: [libemalloc.so.0]'
    # It stays loaded (see build.rs of the crate), whichever way it was built.
    readelf -d "$prefix/lib/libemalloc.so" | grep -w NODELETE
    [ -e "$prefix/lib/libemalloc.so.0" ]
}

# example NAME KIND LINKER-ARGUMENT...: compiles it, runs it, compares.
example() {
    local name=$1 program=$WORK/c-library/$1-$2
    shift 2
    # shellcheck disable=SC2046
    cc -std=c11 -Wall -Wextra -Wpedantic -Werror "examples/c/$name.c" $(pkg-config --cflags emalloc) "$@" -o "$program"
    "$program" 2>&1 | diff "examples/c/$name.expected" -
}

packages_for_it() { packages pkg-config binutils; }

rm -rf "$prefix"
need packages packages_for_it
need install scripts/install-c.sh "$prefix"
step names names
for source in examples/c/*.c; do
    name=$(basename "$source" .c)
    # shellcheck disable=SC2046
    step "$name-shared" example "$name" shared $(pkg-config --libs emalloc) "-Wl,-rpath,$prefix/lib"
    # shellcheck disable=SC2046
    step "$name-static" example "$name" static "$prefix/lib/libemalloc.a" $(pkg-config --libs-only-l --static emalloc |
        sed 's/-lemalloc//')
    # shellcheck disable=SC2046
    step "$name-alone" example "$name" alone -static $(pkg-config --libs --static emalloc)
done
check_end
