#!/usr/bin/env bash
# Runs scripts with Debian's own libphp8.2.so, its allocator replaced by preloading ours.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
    cat <<'EOT'
usage: scripts/php-preload.sh [--work FOLDER] [SCRIPT...]

Builds crates/emalloc-php, its hook against Debian's PHP headers, and a small program that embeds libphp8.2.so; runs
each SCRIPT (default: those in crates/emalloc-php/php/scripts) in it without and with LD_PRELOAD, two requests each, and
prints whether output and status are the same and which library served. It fails where they are not, or where it was not
ours.

FOLDER: the work folder (default target/php-preload). As root the script installs with apt-get what is missing.
EOT
}

CRATE=crates/emalloc-php

# build: the library, PHP's side of it, and the program.
build() {
    local includes
    nice cargo rustc --quiet --locked --profile c --package emalloc-php --lib --crate-type cdylib
    read -ra includes <<<"$(php-config8.2 --includes)"
    cc -O2 -fPIC -shared -D_GNU_SOURCE -I$CRATE/include "${includes[@]}" $CRATE/php/hook.c -o "$WORK/libemalloc-php-hook.so"
    cc -O2 -D_GNU_SOURCE -I$CRATE/include "${includes[@]}" $CRATE/php/run.c -o "$WORK/run" -lphp8.2
}

# run NAME SCRIPT VARIABLE=VALUE...: a script twice in one process; its output, and what the program says of it.
run() {
    local name=$1 script=$2
    shift 2
    env "$@" "$WORK/run" "$script" "$script" >"$WORK/$name.out" 2>"$WORK/$name.said" </dev/null || true
    grep -c ': status ' "$WORK/$name.said" >/dev/null
}

# compare SCRIPT...: a table.
compare() {
    local script stock ours same preload="$ROOT/target/c/libemalloc_php.so $WORK/libemalloc-php-hook.so"
    printf '\n| script | output and status | usage, stock | usage, ours | served by |\n|---|---|--:|--:|---|\n'
    for script; do
        # A segment size that the original does not have shows in the figures.
        run stock "$script"
        run ours "$script" "LD_PRELOAD=$preload" EMALLOC_SEGMENT_SIZE=512K
        stock=$(sed -n 's/.*usage \([0-9]*\), real.*/\1/p' "$WORK/stock.said" | tail -n 1)
        ours=$(sed -n 's/.*usage \([0-9]*\), real.*/\1/p' "$WORK/ours.said" | tail -n 1)
        same=same
        cmp -s "$WORK/stock.out" "$WORK/ours.out" || same=differ
        [ "$(grep -o 'status [0-9]*' "$WORK/stock.said")" = "$(grep -o 'status [0-9]*' "$WORK/ours.said")" ] || same=differ
        printf '| %s | %s | %s | %s | %s |\n' "$(basename "$script")" "$same" "$stock" "$ours" \
            "$(sed -n 's/.*allocator .*\///p' "$WORK/ours.said" | sort -u | tr '\n' ' ')"
        if [ $same = differ ] || grep 'allocator' "$WORK/ours.said" | grep -qv libemalloc_php; then
            FAILED=1
            diff "$WORK/stock.out" "$WORK/ours.out" | head -n 20 || true
        fi
    done
}

main() {
    local folder=$ROOT/target/php-preload
    while [ $# -gt 0 ]; do
        case $1 in
        -h | --help) usage && exit 0 ;;
        --work) folder=${2:?--work needs a folder} && shift ;;
        -*) usage >&2 && exit 2 ;;
        *) break ;;
        esac
        shift
    done
    [ $# -gt 0 ] || set -- "$ROOT/$CRATE"/php/scripts/*.php
    check_init "$folder"
    need packages packages gcc libc6-dev libphp8.2-embed php8.2-dev
    need build build
    compare "$@"
    check_end
}

main "$@"
