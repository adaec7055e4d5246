#!/usr/bin/env bash
# Puts our library in the place of PHP's Zend/zend_alloc.c and runs PHP's own tests on both.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/php-lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/php-lib.sh"

usage() {
    cat <<'EOT'
usage: scripts/php-swap.sh [--all] [--build] [FOLDER]

Fetches the source of PHP 8.2 (Debian's source package), builds it once as it is (7 minutes) and once with
crates/emalloc-php linked in the place of Zend/zend_alloc.o, runs Zend/tests on both (a minute) and prints a table and
every test that ended otherwise. It fails if there is one.

--all     runs all suites of that build: Zend/tests, tests, ext and sapi (some ten minutes)
--build   only builds

FOLDER: the work folder (default target/php-work). It keeps source, builds and the stock build's results; results are in
FOLDER/results. As root the script installs with apt-get what is missing.
EOT
}

# How long a test may take, in seconds, and how much memory it may ask for, in KiB.
TIMEOUT=30 MEMORY=8000000

# Tests that are known to differ at times, and why.
KNOWN='sapi/phpdbg/tests/watch_006.phpt  phpdbg watches whole pages, so what lies beside what matters (it passes now)'

# tests PHP RESULTS TEST...: runs tests with a program. They run in the source's folder.
tests() {
    local php=$1 results=$2
    shift 2
    cd "$WORK/stock"
    ulimit -v $MEMORY
    rm -f "$results"
    NO_INTERACTION=1 nice "$WORK/stock/sapi/cli/php" -n run-tests.php -n -q -j2 --set-timeout $TIMEOUT \
        -W "$results" -p "$php" "$@" >"$results.log" 2>&1 </dev/null || true
    [ -s "$results" ]
    sed -i "s|$WORK/stock/||" "$results"
    LC_ALL=C sort -k 2 -o "$results" "$results"
}

# suite NAME: runs a suite on both builds. What ends differently is run once more on both: some tests depend on the time,
# the network or on each other.
suite() {
    local suite=$1 name=${1//\//-} out="$WORK/results" again
    local stock="$out/stock-$name" ours="$out/ours-$name"
    [ -s "$stock" ] || (tests "$WORK/stock/sapi/cli/php" "$stock" "$suite")
    (tests "$WORK/swapped/sapi/cli/php" "$ours" "$suite")
    again=$(diff "$stock" "$ours" | sed -n 's/^[<>] [A-Z]*\t//p' | sort -u) || true
    if [ -n "$again" ]; then
        # shellcheck disable=SC2086
        (tests "$WORK/stock/sapi/cli/php" "$stock.again" $again)
        # shellcheck disable=SC2086
        (tests "$WORK/swapped/sapi/cli/php" "$ours.again" $again)
    else
        rm -f "$stock.again" "$ours.again"
        touch "$stock.again" "$ours.again"
    fi
}

# count RESULT FILE: how many tests ended so.
count() { grep -c "^$1	" "$2" || true; }

# table SUITE...: one row per suite, then the differences.
table() {
    local suite name stock ours kind
    printf '\n| suite | build | tests | pass | skip | fail | warn, leak, borked |\n|---|---|--:|--:|--:|--:|--:|\n'
    for suite; do
        name=${suite//\//-}
        for kind in stock ours; do
            stock="$WORK/results/$kind-$name"
            printf '| %s | %s | %d | %d | %d | %d | %d |\n' "$suite" "$kind" "$(wc -l <"$stock")" \
                "$(count PASSED "$stock")" "$(count SKIPPED "$stock")" "$(count FAILED "$stock")" \
                "$(grep -cE '^(WARNED|LEAKED|BORKED)' "$stock" || true)"
        done
    done
    printf '\nTests that ended differently, also when run once more:\n'
    for suite; do
        name=${suite//\//-}
        stock="$WORK/results/stock-$name" ours="$WORK/results/ours-$name"
        diff "$stock.again" "$ours.again" | sed -n 's/^< /  stock  /p; s/^> /  ours   /p' || true
    done >"$WORK/results/all-differences"
    if [ -s "$WORK/results/all-differences" ]; then cat "$WORK/results/all-differences"; else echo "  none"; fi
    # What is not known fails.
    grep -vF "$(awk '{ print $1 }' <<<"$KNOWN")" "$WORK/results/all-differences" >"$WORK/results/differences" || true
    ! cmp -s "$WORK/results/differences" "$WORK/results/all-differences" || return 0
    printf 'Known:\n%s\n' "$KNOWN" | sed '2,$s/^/  /'
}

# In a function, so that all of this file is read before any of it runs.
main() {
    local suites=(Zend/tests) only_build=0 folder=$ROOT/target/php-work
    while [ $# -gt 0 ]; do
        case $1 in
        -h | --help) usage && exit 0 ;;
        --all) suites=(Zend/tests tests ext sapi) ;;
        --build) only_build=1 ;;
        -*) usage >&2 && exit 2 ;;
        *) folder=$1 ;;
        esac
        shift
    done
    check_init "$folder"
    php_build
    [ $only_build -eq 0 ] || check_end
    mkdir -p "$WORK/results"
    for suite in "${suites[@]}"; do
        step "${suite//\//-}" suite "$suite"
    done
    table "${suites[@]}"
    [ ! -s "$WORK/results/differences" ] || FAILED=1
    check_end
}

main "$@"
