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
example `-- --test conformance`. Without it, also: the crate and the C library built with the feature `valgrind`, by
which memcheck knows the blocks of debug mode; a correct program must pass, and each misuse of a block must be found.

As root it installs valgrind with apt-get where it is missing; otherwise it says so and stops.

--work DIR or EMALLOC_CHECKS: the work folder (default ${XDG_CACHE_HOME:-~/.cache}/emalloc-checks).
PROPTEST_CASES: cases per property; valgrind is some 30 times slower (default 8).
EOT
}

# grown_mappings: builds a library that every test loads first. When mremap makes a mapping larger,
# valgrind 3.19 can take the added part for inaccessible, depending on the mappings around (a plain
# C program shows it too). The library tells it otherwise.
grown_mappings() {
    cat >"$WORK/mremap.c" <<'EOC'
#define _GNU_SOURCE
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <valgrind/memcheck.h>

void *mremap(void *start, size_t old, size_t new, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    void *target = flags & MREMAP_FIXED ? va_arg(rest, void *) : 0;
    va_end(rest);
    char *now = (char *)syscall(SYS_mremap, start, old, new, flags, target);
    if (now != MAP_FAILED && new > old)
        VALGRIND_MAKE_MEM_DEFINED(now + old, new - old);
    return now;
}
EOC
    cc -O1 -shared -fPIC -o "$WORK/mremap.so" "$WORK/mremap.c"
}

# under_valgrind COMMAND...: with cargo's programs under valgrind.
under_valgrind() {
    local runner
    runner=CARGO_TARGET_$(tr 'a-z-' 'A-Z_' <<<"$HOST")_RUNNER
    export PROPTEST_CASES=${PROPTEST_CASES:-8} CARGO_TARGET_DIR="$WORK/target-valgrind"
    export "$runner"="valgrind --quiet --error-exitcode=99 --num-callers=16 --fair-sched=try \
        --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite"
    # Some optimisation makes up for part of the time; checks and line numbers stay.
    LD_PRELOAD="$WORK/mremap.so" CARGO_PROFILE_TEST_OPT_LEVEL=1 "$@"
}

# Without the feature `valgrind`: some tests write where nobody may, and look at what debug mode says.
tests() {
    # Here times tell nothing.
    [ $# -gt 0 ] || set -- --tests -- --skip cost_of_
    under_valgrind cargo test --locked --target "$HOST" --package emalloc --no-fail-fast "$@"
}

# deed NAME: runs it. Answers valgrind's status.
deed() {
    under_valgrind cargo run --quiet --locked --target "$HOST" --package emalloc --features valgrind \
        --example misuse -- "$1"
}

blocks() {
    under_valgrind cargo test --locked --target "$HOST" --package emalloc --features valgrind --test debug_model
    misuses deed 99 'Invalid (read|write) of size 1|depends on uninitialised' \
        read-after-free write-after-free overrun underrun after-resize uninitialised
}

c_blocks() {
    local through=(valgrind --quiet --error-exitcode=99)
    c_library
    misuses c_deed 99 'Invalid write of size [0-9]' overrun underrun write_after_free
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
    need mremap grown_mappings
    step valgrind tests "$@"
    if [ $# -eq 0 ]; then
        step blocks blocks
        step blocks-c c_blocks
    fi
    check_end
}

main "$@"
