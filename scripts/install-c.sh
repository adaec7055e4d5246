#!/usr/bin/env bash
# Builds the C library and installs it into a prefix:
#
#     scripts/install-c.sh PREFIX
#
# include/emalloc.h, lib/libemalloc.so.0 (and its links), lib/libemalloc.a, lib/pkgconfig/emalloc.pc.
#
# cargo-c does it. If it is not there, it is installed into the checks' work folder first (about five minutes, once; needs
# pkg-config and OpenSSL's headers, which are installed if this is root). EMALLOC_CARGO_C=0, or a failure of that, means
# that cargo alone builds the same files and they are put in place by hand. DESTDIR is put in front of the prefix.
# EMALLOC_FEATURES: features of the crate emalloc-c, such as `valgrind,asan`.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

CARGO_C=0.10.24+cargo-0.98.0

case ${1:-} in
-h | --help) head_comment && exit 0 ;;
'' | -*) head_comment >&2 && exit 2 ;;
/*) PREFIX=$1 ;;
*) PREFIX=$PWD/$1 ;;
esac
[ $# -eq 1 ] || { head_comment >&2 && exit 2; }
check_init
TARGET=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
VERSION=$(cargo pkgid --package emalloc-c | sed 's/.*[#@]//')
BUILD=$TARGET/c-library
LIB=${DESTDIR:-}$PREFIX/lib

# have_cargo_c: it is here, or can be had.
have_cargo_c() {
    [ "${EMALLOC_CARGO_C:-1}" != 0 ] || return 1
    PATH=$PATH:$WORK/cargo-c/bin
    ! cargo-cinstall --version >/dev/null 2>&1 || return 0
    ! is_root || packages pkg-config libssl-dev || return 1
    # It is run for seconds: built in a hurry rather than for speed.
    CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=256 \
        cargo install cargo-c --version "$CARGO_C" --locked --root "$WORK/cargo-c"
}

by_cargo_c() {
    cargo cinstall --locked --manifest-path crates/emalloc-c/Cargo.toml --profile c --target-dir "$BUILD" \
        ${EMALLOC_FEATURES:+--features "$EMALLOC_FEATURES"} --prefix "$PREFIX" --libdir lib ${DESTDIR:+--destdir "$DESTDIR"}
}

by_hand() {
    local soname=libemalloc.so.${VERSION%%.*} made=$BUILD/c
    cargo rustc --locked --package emalloc-c --lib --profile c --target-dir "$BUILD" ${EMALLOC_FEATURES:+--features "$EMALLOC_FEATURES"} \
        --crate-type staticlib,cdylib -- \
        -C "link-arg=-Wl,-soname,$soname"
    install -D -m 644 crates/emalloc-c/include/emalloc.h "${DESTDIR:-}$PREFIX/include/emalloc.h"
    install -D -m 755 "$made/libemalloc_c.so" "$LIB/libemalloc.so.$VERSION"
    install -D -m 644 "$made/libemalloc_c.a" "$LIB/libemalloc.a"
    ln -sf "libemalloc.so.$VERSION" "$LIB/$soname"
    ln -sf "libemalloc.so.$VERSION" "$LIB/libemalloc.so"
    mkdir -p "$LIB/pkgconfig"
    cat >"$LIB/pkgconfig/emalloc.pc" <<EOF
prefix=$PREFIX
libdir=\${prefix}/lib
includedir=\${prefix}/include

Name: emalloc
Description: $(sed -n 's/^description = "\(A heap.*\)"/\1/p' crates/emalloc-c/Cargo.toml)
Version: $VERSION
Libs: -L\${libdir} -lemalloc
Cflags: -I\${includedir}
Libs.private: -lpthread -ldl
EOF
}

# own_names_only: makes of the static library one object that shows nothing but our functions. Rust's standard library is in
# it, and its names would meet those of another Rust library in the same program.
own_names_only() {
    local names=$BUILD/names object=$BUILD/emalloc.o
    nm -D --defined-only "$LIB/libemalloc.so" | awk '{ print $3 }' >"$names"
    # shellcheck disable=SC2046
    ld -r --gc-sections $(sed 's/^/-u /' "$names") -o "$object" --whole-archive "$LIB/libemalloc.a"
    objcopy -R .llvmbc -R .llvmcmd --strip-debug --keep-global-symbols="$names" "$object"
    rm "$LIB/libemalloc.a"
    ar rcs "$LIB/libemalloc.a" "$object"
}

# no_compilers_libraries: leaves out what rustc names and compilers link by themselves. There is no static form of the shared libgcc.
no_compilers_libraries() {
    sed -i '/^Libs.private:/s/ -l\(gcc_s\|c\)\b//g' "$LIB/pkgconfig/emalloc.pc"
}

if have_cargo_c; then
    by_cargo_c
else
    echo "without cargo-c: cargo builds, and the files are put in place by hand"
    by_hand
fi
own_names_only
no_compilers_libraries
echo "installed into ${DESTDIR:-}$PREFIX, ${SECONDS}s"
