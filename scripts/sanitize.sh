#!/usr/bin/env bash
# Runs the library's tests under the compiler's sanitizers.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
    cat <<'EOT'
usage: scripts/sanitize.sh [--work DIR] [address|leak|thread|all]...

Builds the unit and integration tests of the crate emalloc and runs them under
  address  use after free, overflow, leaks; then the crate and the C library with the feature `asan`, by
           which it knows the blocks of debug mode: a correct program must pass, and each misuse of a block must be found
  leak     leaks only
  thread   data races; the standard library is built from source for it, see scripts/lib.sh
  all      one after the other (default)

Works with the stable compiler of rustup. As root it fetches what is missing for `thread` with
apt-get.

--work DIR or EMALLOC_CHECKS: the work folder (default ${XDG_CACHE_HOME:-~/.cache}/emalloc-checks).
EMALLOC_STD_SUITE: Debian suite to look in for the source (default trixie-backports).
PROPTEST_CASES: cases per property for `thread` (default 64).
EOT
}

# Storages are asked for more than there is, and must be answered null instead of the end of the run.
export ASAN_OPTIONS=allocator_may_return_null=1:detect_leaks=1
export LSAN_OPTIONS=allocator_may_return_null=1
export TSAN_OPTIONS=allocator_may_return_null=1

# Tests of time are left out: instrumented, other things cost the most.

# prebuilt NAME COMMAND ARGS...: cargo with rustup's own standard library. `--target` keeps build scripts as they are.
prebuilt() {
    local sanitizer=$1 command=$2
    shift 2
    RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=$sanitizer" CARGO_TARGET_DIR="$WORK/target-$sanitizer" \
        cargo "$command" --locked --target "$HOST" --package emalloc "$@"
}

# Without the feature `asan`: some tests write where nobody may, and look at what debug mode says.
tests() { prebuilt "$1" test --lib --tests --no-fail-fast -- --skip cost_of_; }

# deed NAME: runs it. Answers the sanitizer's status.
deed() { prebuilt address run --quiet --features asan --example misuse -- "$1"; }

address() { tests address; }

blocks() {
    prebuilt address test --features asan --test debug_model
    misuses deed 1 'AddressSanitizer: use-after-poison' \
        read-after-free write-after-free overrun underrun after-resize
}

c_asan() { c_deed "$1" -fsanitize=address; }

c_blocks() {
    local through=()
    c_library
    misuses c_asan 1 'AddressSanitizer: use-after-poison' overrun underrun write_after_free
}

leak() { tests leak; }

# With a prebuilt standard library this one sees races that are none.
thread() {
    if std_is_debians; then
        echo "the only source of the standard library found is that of Debian's compiler,"
        echo "which has no sanitizer runtimes"
        return 1
    fi
    export PROPTEST_CASES=${PROPTEST_CASES:-64}
    RUSTFLAGS="-Zsanitizer=thread" build_std test "$HOST" thread --no-fail-fast -- --skip cost_of_
}

# In a function, so that all of this file is read before any of it runs.
main() {
    work=
    sanitizers=()
    while [ $# -gt 0 ]; do
        case $1 in
        -h | --help) usage && exit 0 ;;
        --work) work=${2:?--work needs a folder} && shift ;;
        address | leak | thread) sanitizers+=("$1") ;;
        all) sanitizers+=(address leak thread) ;;
        *) usage >&2 && exit 2 ;;
        esac
        shift
    done
    [ ${#sanitizers[@]} -gt 0 ] || sanitizers=(address leak thread)

    check_init "$work"
    for sanitizer in "${sanitizers[@]}"; do
        [ "$sanitizer" != thread ] || need std-source std_source
        step "$sanitizer" "$sanitizer"
        [ "$sanitizer" = address ] || continue
        step blocks blocks
        step blocks-c c_blocks
    done
    check_end
}

main "$@"
