#!/usr/bin/env bash
# Counts instructions per operation under valgrind: steadier than time on a busy machine.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
    cat <<'EOT'
usage: scripts/bench-instructions.sh [--trace FILE] [ALLOCATOR...]

Prints for each ALLOCATOR (as in `emalloc-bench --only`; default: emalloc in its three settings,
zend and mimalloc2-heap)
  operation  instructions per operation of the trace (default: traces/twig.emtr.zst), net of the
             replay itself, on a heap that has replayed it once before
  pair       instructions per allocation and free of 64 bytes, one after the other (emalloc is told
             the size again when it frees, as Rust's containers do; the others free as C does);
             and net of the loop and the write to the block
Both are differences of two lengths of the same run, so nothing else is in them. Two or three
minutes per allocator. snmalloc does not run under valgrind.

As root it installs valgrind and libphp8.2-embed with apt-get where they are missing.
EOT
}

# instructions ARGUMENT...: what a run of the bench takes.
instructions() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$bench" "$@" 2>&1 |
        sed -n 's/.*Collected : \([0-9]*\).*/\1/p' | grep .
}

# more CHILD ALLOCATOR COUNT ARGUMENT...: what twice as much of it takes more.
more() {
    local child=$1 allocator=$2 count=$3 once twice
    shift 3
    once=$(instructions --child "$child" --only "$allocator" --count "$count" "$@")
    twice=$(instructions --child "$child" --only "$allocator" --count $((2 * count)) "$@")
    echo $((twice - once))
}

# per TOTAL COUNT: with one decimal.
per() { awk -v total="$1" -v count="$2" 'BEGIN { printf "%.1f", total / count }'; }

trace=traces/twig.emtr.zst
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help) usage && exit 0 ;;
    --trace) trace=$(realpath "${2:?--trace needs a file}") && shift ;;
    -*) usage >&2 && exit 2 ;;
    *) break ;;
    esac
    shift
done
allocators=("${@:-}")
[ -n "${allocators[0]}" ] ||
    allocators=(emalloc:default emalloc:recommended emalloc:frugal zend mimalloc2-heap)

check_init
need valgrind-package packages valgrind
need build scripts/bench.sh --build

bench=crates/emalloc-bench/target/release/emalloc-bench
# The bench would start itself over for this, out of valgrind's sight.
export GLIBC_TUNABLES=glibc.rtld.optional_static_tls=65536
pairs=100000
operations=$("$bench" --only null --rounds 1 --no-memory --json "$trace" 2>/dev/null |
    sed -n 's/.*"operations":\([0-9]*\).*/\1/p')
null_replay=$(more replays null 1 "$trace")
null_pairs=$(more pairs null $pairs)
printf '| %-19s | %9s | %9s | %9s |\n|---|--:|--:|--:|\n' "" operation pair "pair, net"
for allocator in "${allocators[@]}"; do
    replay=$(more replays "$allocator" 1 "$trace")
    pair=$(more pairs "$allocator" $pairs)
    printf '| %-19s | %9s | %9s | %9s |\n' "$allocator" \
        "$(per $((replay - null_replay)) "$operations")" \
        "$(per "$pair" $pairs)" "$(per $((pair - null_pairs)) $pairs)"
done
