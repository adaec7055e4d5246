#!/usr/bin/env bash
# Runs the library's tests under valgrind's memcheck.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
    cat <<'EOT'
usage: scripts/valgrind.sh [--work DIR] [-- TEST-ARGUMENTS...]

Runs the unit and integration tests of the crate emalloc under valgrind: uninitialised reads,
invalid accesses and definite leaks are failures. What follows `--` goes to cargo test, for
example `-- --test conformance`.

As root it installs valgrind with apt-get where it is missing; otherwise it says so and stops.

--work DIR or EMALLOC_CHECKS: the work folder (default ${XDG_CACHE_HOME:-~/.cache}/emalloc-checks).
PROPTEST_CASES: cases per property; valgrind is some 30 times slower (default 8).
EOT
}

tests() {
    local runner
    runner=CARGO_TARGET_$(tr 'a-z-' 'A-Z_' <<<"$HOST")_RUNNER
    export PROPTEST_CASES=${PROPTEST_CASES:-8} CARGO_TARGET_DIR="$WORK/target-valgrind"
    # Cargo runs tests in the folder of their crate, and cuts this at every space.
    export "$runner"="valgrind --quiet --error-exitcode=99 --num-callers=16 --fair-sched=try \
        --suppressions=../../scripts/valgrind.supp --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite"
    # Here times tell nothing.
    [ $# -gt 0 ] || set -- --tests -- --skip cost_of_
    # Some optimisation makes up for part of the time; checks and line numbers stay.
    CARGO_PROFILE_TEST_OPT_LEVEL=1 \
        cargo test --locked --target "$HOST" --package emalloc --all-features --no-fail-fast "$@"
}

# In a function, so that all of this file is read before any of it runs.
main() {
    work=
    while [ $# -gt 0 ]; do
        case $1 in
        -h | --help) usage && exit 0 ;;
        --work) work=${2:?--work needs a folder} && shift ;;
        --) shift && break ;;
        *) usage >&2 && exit 2 ;;
        esac
        shift
    done

    check_init "$work"
    need valgrind-package packages valgrind
    step valgrind tests "$@"
    check_end
}

main "$@"
