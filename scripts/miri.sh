#!/usr/bin/env bash
# Runs under Miri what it can run: the core's unit tests, and walks over everything that can be done with a heap.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
    cat <<'EOT'
usage: scripts/miri.sh [--work DIR] [--seed S] [stacked|tree|all]...

Miri runs programs step by step and knows of each byte whether it was written, of each pointer what it may reach, and of
each access whether another thread's is ordered with it. Under it run the unit tests of the crate emalloc and walks of
crates/emalloc/examples/stress, by the rules for references called
  stacked  stacked borrows (default)
  tree     tree borrows; much slower
  all      one after the other

Walks are shorter here and sizes smaller, without guard pages, over storages that need no system calls (arenas of the walk's own,
buffers). Most integration tests are left out: they fill segment after segment, and take hours. Tests that Miri cannot
run say so themselves. From a block's address to its header leads exposed provenance, because a pointer that comes back
may have been narrowed to its block: -Zmiri-permissive-provenance.

Needs the nightly toolchain with the component miri; where it is missing, it is installed with rustup.

--work DIR or EMALLOC_CHECKS: the work folder (default ${XDG_CACHE_HOME:-~/.cache}/emalloc-checks).
--seed S: the first walk (default 0).
PROPTEST_CASES: how many walks (default 4). A walk takes about a minute, the unit tests some minutes.
EOT
}

toolchain() {
    cargo +nightly miri --version ||
        rustup toolchain install nightly --profile minimal --component miri --component rust-src
    cargo +nightly miri setup
}

# under_miri FLAGS CARGO-ARGUMENTS...
under_miri() {
    local flags=$1
    shift
    MIRIFLAGS="-Zmiri-permissive-provenance -Zmiri-disable-isolation $flags" CARGO_TARGET_DIR="$WORK/target-miri" \
        cargo +nightly miri test --locked --package emalloc "$@"
}

# In a function, so that all of this file is read before any of it runs.
main() {
    work=
    rules=()
    while [ $# -gt 0 ]; do
        case $1 in
        -h | --help) usage && exit 0 ;;
        --work) work=${2:?--work needs a folder} && shift ;;
        --seed) export STRESS_SEED=${2:?--seed needs a number} && shift ;;
        stacked | tree) rules+=("$1") ;;
        all) rules+=(stacked tree) ;;
        *) usage >&2 && exit 2 ;;
        esac
        shift
    done
    [ ${#rules[@]} -gt 0 ] || rules=(stacked)

    check_init "$work"
    need miri-toolchain toolchain
    export PROPTEST_CASES=${PROPTEST_CASES:-4}
    for rule in "${rules[@]}"; do
        flags=
        [ "$rule" = stacked ] || flags=-Zmiri-tree-borrows
        step "miri-$rule" under_miri "$flags" --lib
        step "miri-$rule-walks" under_miri "$flags" --example stress
    done
    check_end
}

main "$@"
