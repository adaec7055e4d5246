#!/usr/bin/env bash
# Random walks over everything that can be done with heaps and storages, for as long as one likes.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
    cat <<'EOT'
usage: scripts/stress.sh [--work DIR] [--debug] [--seconds N] [--seed S] [--threads T] [--walks N] [--trace]

Builds crates/emalloc/examples/stress and runs it: walk number S and those that follow (default 1), on T threads at once
(default: as many as there are processors), for N seconds (default 60) or N walks. Optimised, with the checks of a debug
build; --debug is a debug build altogether.

A walk follows from its number. One that fails is named with its step, then taken once more alone, and its last steps are
shown; --walks 1 --seed S --trace shows all of them. One walk in eight has threads of its own, which meet as they
like: such a one may need some more runs to fail again.

--work DIR or EMALLOC_CHECKS: the work folder (default ${XDG_CACHE_HOME:-~/.cache}/emalloc-checks).
EOT
}

# In a function, so that all of this file is read before any of it runs.
main() {
    work=
    profile=(--release)
    words=()
    threads=$(nproc)
    while [ $# -gt 0 ]; do
        case $1 in
        -h | --help) usage && exit 0 ;;
        --work) work=${2:?--work needs a folder} && shift ;;
        --debug) profile=() ;;
        --trace) words+=("$1") ;;
        --threads) threads=${2:?--threads needs a number} && shift ;;
        --seconds | --seed | --walks) words+=("$1" "${2:?$1 needs a number}") && shift ;;
        *) usage >&2 && exit 2 ;;
        esac
        shift
    done

    check_init "$work"
    # In a target folder of its own: these settings are nobody else's.
    CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS=true CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS=true \
        CARGO_TARGET_DIR="$WORK/target-stress" \
        cargo run --locked --quiet "${profile[@]}" --package emalloc --example stress -- --threads "$threads" "${words[@]}"
}

main "$@"
