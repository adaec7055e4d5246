#!/usr/bin/env bash
# Builds emalloc.so, the extension for stock PHP, and tests or installs it.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
    cat <<'EOT'
usage: scripts/php-extension.sh [--print-path | --test [TEST...] | --install]

Builds the extension for the PHP that php-config belongs to (PHP 8.2 without threads), below target/php-extension.

  --print-path   prints where emalloc.so lies, and nothing else on standard output
  --test         runs its tests with PHP's run-tests.php, or only the ones named
  --install      installs it into PHP's folder for extensions (as `make install` does)

As root it installs php8.2-dev and php8.2-cli with apt-get where they are missing; otherwise it says so and stops.

PHP_CONFIG: the php-config to build for (default php-config8.2, else php-config).
EOT
}

TARGET=${CARGO_TARGET_DIR:-$ROOT/target}
BUILD=$TARGET/php-extension
SOURCE=$ROOT/crates/emalloc-php-ext/php

php_config() {
    command -v "${PHP_CONFIG:-php-config8.2}" || command -v php-config || true
}

# defined_in FILE: the functions it defines for others. (nm asks a plugin of LLVM's, which may not know Rust's objects.)
defined_in() { readelf -sW "$1" 2>/dev/null | awk '$5 == "GLOBAL" && $4 == "FUNC" && $7 != "UND" { print $8 }' | sort -u; }

# in_order LIBRARY OUT: a library with one object, in the order of order.ld, that defines what the glue calls and nothing else.
in_order() {
    local object=${2%.a}.o wanted=() name
    defined_in "$1" | grep '^emalloc_' >"$2.names"
    while read -r name; do wanted+=(-u "$name"); done <"$2.names"
    ld -r --gc-sections -T "$SOURCE/order.ld" -o "$object" "${wanted[@]}" "$1"
    # What is there for compilers only, ar would take for all there is.
    objcopy --strip-debug --remove-section .llvmbc --remove-section .llvmcmd --keep-global-symbols="$2.names" "$object"
    rm -f "$2"
    ar rcs "$2" "$object"
}

# build: on standard error all that is said.
build() {
    if [ -z "$(php_config)" ] || ! command -v make cc objcopy >/dev/null; then
        packages php8.2-cli php8.2-dev make gcc binutils
    fi
    local config phpize
    config=$(php_config)
    phpize=${config/php-config/phpize}
    # One kind of library: with a second one for Rust, cargo would not optimise across crates.
    (cd "$ROOT" && cargo rustc --locked --profile c --package emalloc-php-ext --lib --crate-type staticlib)
    local library=$TARGET/c/libemalloc_php_ext_ordered.a archive=$TARGET/c/libemalloc_php_ext.a
    if [ ! "$library" -nt "$archive" ] || [ ! "$library" -nt "$SOURCE/order.ld" ]; then
        in_order "$archive" "$library"
    fi
    mkdir -p "$BUILD"
    # Not the stub: make would have PHP's gen_stub.php fetch a parser.
    cp -u "$SOURCE"/*.[ch] "$SOURCE"/config.m4 "$ROOT"/crates/emalloc-php/include/*.h "$ROOT"/crates/emalloc-php/php/behind.ld "$BUILD"
    cd "$BUILD"
    # Anew when what it was configured for has changed.
    local made_for
    made_for="$config $("$config" --version) $library $(cat config.m4 behind.ld | cksum)"
    if [ ! -f Makefile ] || [ "$(cat made-for 2>/dev/null)" != "$made_for" ]; then
        "$phpize"
        ./configure --quiet --with-php-config="$config" --enable-emalloc --with-emalloc-library="$library"
        make --silent clean >/dev/null
        echo "$made_for" >made-for
    fi
    # make does not know the library.
    if [ "$library" -nt modules/emalloc.so ]; then
        rm -f emalloc.la modules/emalloc.so
    fi
    make --silent
    [ "$(defined_in modules/emalloc.so)" = get_module ]
}

# php: the PHP that php-config belongs to.
php_binary() {
    local binary
    binary=$("$(php_config)" --php-binary)
    [ -x "$binary" ] || binary=$(command -v php8.2 || command -v php)
    echo "$binary"
}

run_tests() {
    local runner php
    runner=$("$(php_config)" --extension-dir)/build/run-tests.php
    [ -f "$runner" ] || runner=$BUILD/run-tests.php
    php=$(php_binary)
    rm -rf "$BUILD/tests"
    cp -r "$SOURCE/tests" "$BUILD/tests"
    cp "$SOURCE/emalloc.stub.php" "$BUILD/tests"
    # The extension that chain.phpt loads beside ours.
    # shellcheck disable=SC2046
    cc -shared -fPIC -O1 $("$(php_config)" --includes) -DZEND_ENABLE_STATIC_TSRMLS_CACHE=1 -o "$BUILD/tests/other.so" \
        "$BUILD/tests/other.c"
    export EMALLOC_OTHER=$BUILD/tests/other.so
    local tests=("$BUILD/tests")
    if [ $# -gt 0 ]; then
        tests=()
        for test in "$@"; do
            tests+=("$BUILD/tests/$(basename "$test")")
        done
    fi
    # Where nobody answers questions, and nothing is sent anywhere. A limit for what runs wild.
    ulimit -v $((4 << 20))
    # Each way into our heap. (Where the direct one is not known, it is handlers twice.)
    local way
    for way in auto handlers; do
        echo "emalloc.entry=$way"
        NO_INTERACTION=1 TEST_PHP_EXECUTABLE=$php "$php" -n "$runner" -n -q -P --set-timeout 60 -j2 --show-diff \
            -d extension="$BUILD/modules/emalloc.so" -d emalloc.entry=$way "${tests[@]}"
    done
}

case ${1:-} in
-h | --help) usage ;;
--print-path)
    build >&2
    echo "$BUILD/modules/emalloc.so"
    ;;
--test)
    shift
    build >&2
    run_tests "$@"
    ;;
--install)
    build >&2
    make --silent -C "$BUILD" install
    ;;
"")
    build
    echo "built $BUILD/modules/emalloc.so"
    ;;
*)
    usage >&2
    exit 2
    ;;
esac
