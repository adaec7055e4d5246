#!/usr/bin/env bash
# Measures emalloc and its peers side by side: tables, JSON lines and a chart.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
    cat <<'EOT'
usage: scripts/bench.sh [--out DIR] [--docs] [--rounds N] [--build] [FOLDER | TRACE]...

Builds crates/emalloc-bench with its peers and runs it on all traces in FOLDER (default: traces/).
Prints the tables and writes to DIR (default: target/bench)
  tables.md      everything that is printed
  traces.jsonl   traces, a heap made for each replay: one JSON object per line
  kept.jsonl     traces, heaps kept over all rounds
  micro.jsonl    micro benchmarks
  chart.svg      net time relative to the original

--docs        also puts the tables into docs/performance.md and the chart beside it
--rounds N    rounds per trace (default: what the bench itself takes)
--build       only installs and builds

As root it installs with apt-get what is missing: libphp8.2-embed (the original; without it the
rest is measured all the same), a C++ compiler and make. Let nothing else run meanwhile; all
needs a quarter of an hour and 8 GB of memory.
EOT
}

BENCH=crates/emalloc-bench
PEERS=(mimalloc2 mimalloc3 jemalloc snmalloc)

# build: the bench with the C library beside it, and each peer by a command of its own: in one, the features of the two
# mimallocs, which are one package, would be added up.
build() {
    local peer
    cargo build --quiet --locked --release --manifest-path $BENCH/Cargo.toml
    cargo rustc --quiet --locked --package emalloc-c --lib --crate-type cdylib --profile c --target-dir $BENCH/target
    cp $BENCH/target/c/libemalloc_c.so $BENCH/target/release/
    for peer in "${PEERS[@]}"; do
        cargo build --quiet --locked --release --manifest-path $BENCH/Cargo.toml --package "bench-peer-$peer"
    done
}

# into_docs TABLES [CHART]: replaces what is between the marks in docs/performance.md. Headings go two levels down.
into_docs() {
    local docs=docs/performance.md
    [ $# -eq 1 ] || cp "$2" docs/performance.svg
    awk -v tables="$1" -v chart=$# '
        /^<!-- end of figures -->$/ { skip = 0 }
        !skip
        /^<!-- figures -->$/ {
            skip = 1
            print ""
            if (chart == 2) print "![Net processor time per operation, relative to the original](performance.svg)\n"
            while ((getline line < tables) > 0) {
                sub(/^#+/, "&##", line)
                print line
            }
            print ""
        }' $docs >$docs.new
    mv $docs.new $docs
}

out=target/bench docs=0 only_build=0 rounds=()
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help) usage && exit 0 ;;
    --out) out=${2:?--out needs a folder} && shift ;;
    --rounds) rounds=(--rounds "${2:?--rounds needs a number}") && shift ;;
    --docs) docs=1 ;;
    --build) only_build=1 ;;
    -*) usage >&2 && exit 2 ;;
    *) break ;;
    esac
    shift
done
traces=()
for source in "${@:-$ROOT/traces}"; do traces+=("$(realpath "$source")"); done
mkdir -p "$out"
out=$(cd "$out" && pwd)

check_init
step php packages libphp8.2-embed
FAILED=0 # It is only one of the peers.
need compilers packages g++ make
need build build
[ $only_build -eq 0 ] || exit 0

bench=$BENCH/target/release/emalloc-bench
chart=(--chart "$out/chart.svg")
# It compares with the original: without that it is refused.
"$bench" --only zend --rounds 1 --no-memory "${traces[@]}" "${chart[@]}" >/dev/null 2>&1 || chart=()
{
    printf '# A heap made for each replay\n\n'
    "$bench" "${rounds[@]}" "${traces[@]}" --json-file "$out/traces.jsonl" "${chart[@]}"
    printf '\n# Heaps kept over all rounds\n\n'
    "$bench" "${rounds[@]}" "${traces[@]}" --heap kept --no-memory --summary --json-file "$out/kept.jsonl"
    printf '\n# Micro benchmarks, net\n\n'
    "$bench" "${rounds[@]}" --micro --json-file "$out/micro.jsonl"
} | tee "$out/tables.md"
[ $docs -eq 0 ] || into_docs "$out/tables.md" ${chart[1]:+"${chart[1]}"}
