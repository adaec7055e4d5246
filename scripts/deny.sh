#!/usr/bin/env bash
# Checks the licences, duplicates and origins of everything in Cargo.lock against deny.toml.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
    cat <<'EOT'
usage: scripts/deny.sh [--work DIR]

Runs cargo deny with deny.toml. Where cargo-deny is missing it is built and installed first, by
`cargo install` into cargo's usual place, which takes some minutes.

--work DIR or EMALLOC_CHECKS: the work folder (default ${XDG_CACHE_HOME:-~/.cache}/emalloc-checks).
EOT
}

installed() {
    cargo deny --version || cargo install --locked cargo-deny
}

# In a function, so that all of this file is read before any of it runs.
main() {
    work=
    while [ $# -gt 0 ]; do
        case $1 in
        -h | --help) usage && exit 0 ;;
        --work) work=${2:?--work needs a folder} && shift ;;
        *) usage >&2 && exit 2 ;;
        esac
        shift
    done

    check_init "$work"
    need cargo-deny installed
    step deny cargo deny --locked --all-features check licenses bans sources
    check_end
}

main "$@"
