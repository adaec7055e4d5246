#!/usr/bin/env bash
# Runs the library's tests under the compiler's sanitizers.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
    cat <<'EOT'
usage: scripts/sanitize.sh [--work DIR] [address|leak|thread|all]...

Builds the unit and integration tests of the crate emalloc and runs them under
  address  use after free, overflow, leaks
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

# prebuilt NAME: with rustup's own standard library. `--target` keeps build scripts as they are.
prebuilt() {
    RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=$1" CARGO_TARGET_DIR="$WORK/target-$1" \
        cargo test --locked --target "$HOST" --package emalloc --lib --tests --all-features --no-fail-fast \
        -- --skip cost_of_
}

address() { prebuilt address; }

leak() { prebuilt leak; }

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
    done
    check_end
}

main "$@"
