#!/usr/bin/env bash
# Replays a folder of traces with --check on every storage, segment size and wrapper.
set -euo pipefail

usage() {
    cat <<'EOT'
usage: scripts/replay-all.sh [FOLDER]

Replays every *.zst in FOLDER (default: the project's traces/) with --check: contents and
invariants are verified, nothing is timed. One line for each combination of

  storage        malloc, mmap_anon, mmap_zero, and a fixed buffer that is large enough
  segment size   64K, 256K, 2M
  wrappers       none, cached, budget, both

and for buffers, budgets and limits that are too small: there a trace may be refused, with a
clean error, and nothing else may happen. Ends with 1 if any combination failed.
EOT
}

case ${1:-} in
-h | --help)
    usage
    exit 0
    ;;
-*)
    usage >&2
    exit 2
    ;;
esac

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
folder=$(cd "${1:-$root/traces}" && pwd)
cd "$root"
files=("$folder"/*.zst)
if [ ! -e "${files[0]}" ]; then
    echo "no *.zst in $folder" >&2
    exit 2
fi
cargo build --release --quiet --package emalloc-cli
emalloc=${CARGO_TARGET_DIR:-target}/release/emalloc
out=$(mktemp)
trap 'rm -f "$out" "$out.err"' EXIT
failed=0
lines=0

# replay all|some WORDS...: replays all files. All must run to their end, or (some) those that do not must have
# been refused.
replay() {
    local which=$1 from=$SECONDS rc=0 ok refused verdict=FAIL
    shift
    "$emalloc" replay --check --json "$@" "${files[@]}" >"$out" 2>"$out.err" || rc=$?
    ok=$(grep -c '^      "ok": true' "$out" || true)
    refused=$(grep -c '^        "kind": "refused"' "$out" || true)
    case $which:$rc in
    all:0) [ "$ok" -eq ${#files[@]} ] && verdict=ok ;;
    some:0 | some:1) [ $((ok + refused)) -eq ${#files[@]} ] && verdict=ok ;;
    esac
    printf '%-4s  %-64s %2d whole, %2d refused, %3ds\n' "$verdict" "$*" "$ok" "$refused" $((SECONDS - from))
    lines=$((lines + 1))
    if [ "$verdict" = FAIL ]; then
        failed=1
        echo "      exit code $rc"
        sed 's/^/      /' "$out.err"
    fi
}

for storage in malloc mmap_anon mmap_zero fixed=256M; do
    for segment in 64K 256K 2M; do
        replay all --storage "$storage" --segment-size "$segment"
        replay all --storage "$storage" --segment-size "$segment" --cached
        replay all --storage "$storage" --segment-size "$segment" --budget=256M
        replay all --storage "$storage" --segment-size "$segment" --cached --budget=256M
    done
done
for segment in 64K 256K 2M; do
    for storage in fixed=3M fixed=10M; do
        replay some --storage "$storage" --segment-size "$segment"
    done
    replay some --segment-size "$segment" --budget=10M
    replay some --segment-size "$segment" --cached=2M --budget=10M
    replay some --segment-size "$segment" --limit=10M
done

if [ "$failed" -eq 0 ]; then
    echo "all $lines combinations ok, ${#files[@]} traces, ${SECONDS}s"
else
    echo "FAIL, ${SECONDS}s"
fi
exit "$failed"
