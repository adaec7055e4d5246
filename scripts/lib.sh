# Shared by the check scripts; sourced, never run.
#
# Owns: the work folder, the printing and logging of steps, the installing of Debian packages,
# and the standard library's source that matches the compiler (what -Zbuild-std needs).
# A script sources it, calls `check_init` first and `check_end` last. Two runs at a time need a work
# folder each.
# shellcheck shell=bash

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
FAILED=0

# head_comment: the script's own head, where that is all its help.
head_comment() { sed -n '2,/^set /{/^#/s/^# \?//p}' "$0"; }

# check_init [DIR]: makes the work folder and moves to the project's root.
check_init() {
    WORK=${1:-${EMALLOC_CHECKS:-${XDG_CACHE_HOME:-$HOME/.cache}/emalloc-checks}}
    mkdir -p "$WORK/logs"
    WORK=$(cd "$WORK" && pwd)
    HOST=$(rustc -vV | sed -n 's/^host: //p')
    # These change what is built or what is run; only the scripts may set them.
    unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_TARGET
    cd "$ROOT"
    echo "work folder: $WORK"
}

# check_end: prints the total and exits, with 1 if any step failed.
check_end() {
    if [ "$FAILED" -eq 0 ]; then echo "all ok, ${SECONDS}s"; else echo "FAIL, ${SECONDS}s"; fi
    exit "$FAILED"
}

# step NAME COMMAND...: runs a command or a function with its output in a log; prints one line,
# and cargo's `test result` lines below it. A failure is shown and remembered; the script goes on.
step() {
    local name=$1 log="$WORK/logs/$1.log" from=$SECONDS rc missing
    shift
    # Not in a condition: `set -e` would be off inside the function called.
    set +e
    (
        set -euo pipefail
        "$@"
    ) >"$log" 2>&1 </dev/null
    rc=$?
    set -e
    if [ "$rc" -eq 0 ] && missing=$(tests_missing "$log"); then
        echo "$missing" >>"$log"
        rc=1
    fi
    if [ "$rc" -eq 0 ]; then
        printf 'ok    %-20s %4ds\n' "$name" $((SECONDS - from))
    else
        printf 'FAIL  %-20s %4ds  (status %d, log: %s)\n' "$name" $((SECONDS - from)) "$rc" "$log"
        FAILED=1
    fi
    sed -n 's/^test result/      &/p' "$log"
    [ "$rc" -eq 0 ] || excerpt "$log" | cut -c 1-200 | sed 's/^/    | /'
}

# tests_missing LOG: says what is wrong where cargo ran tests and yet answered 0: a test program
# that ended without its result (under Wine a crash can look like a success), or no test at all.
tests_missing() {
    local programs results
    programs=$(grep -acE '^ +Running (unittests|tests/)' "$1") || true
    results=$(grep -ac '^test result' "$1") || true
    [ "$programs" -gt 0 ] || return 1
    if [ "$results" -lt "$programs" ]; then
        echo "error: $((programs - results)) of $programs test programs ended without a result"
    elif ! grep -aqE '^test result.* [1-9][0-9]* (passed|failed)' "$1"; then
        echo "error: no test ran"
    else
        return 1
    fi
}

# misuses COMMAND STATUS REPORT DEED...: `COMMAND clean` must answer 0, and COMMAND with each deed STATUS and a report
# like that.
misuses() {
    local command=$1 status=$2 report=$3 deed said rc
    shift 3
    "$command" clean
    for deed in "$@"; do
        rc=0
        said=$("$command" "$deed" 2>&1) || rc=$?
        if [ "$rc" -ne "$status" ] || ! grep -qE "$report" <<<"$said"; then
            printf 'error: %s answered %d\n%s\n' "$deed" "$rc" "$said"
            return 1
        fi
        echo "$deed: $(grep -m 1 -oE "$report" <<<"$said")"
    done
}

# c_library: the C library with the features for tools that watch memory, installed into the work folder.
c_library() { EMALLOC_CARGO_C=0 EMALLOC_FEATURES=valgrind,asan EMALLOC_CHECKS=$WORK scripts/install-c.sh "$WORK/c-watched"; }

# c_deed DEED CC-ARGUMENT...: compiles a C program with that library, an example for `clean`, else that deed of the
# library's tests; runs it in debug mode, through the command in the array `through` if there is one.
c_deed() {
    local source=crates/emalloc-c/tests/c/deeds/$1.c program=$WORK/c-watched/$1
    [ "$1" != clean ] || source=examples/c/request_server.c
    shift
    cc -std=c11 -g "$@" -I"$WORK/c-watched/include" "$source" -L"$WORK/c-watched/lib" -lemalloc \
        -Wl,-rpath,"$WORK/c-watched/lib" -o "$program"
    EMALLOC_DEBUG=1 "${through[@]}" "$program"
}

# excerpt LOG: where the trouble begins, each place with what follows it, and how it all ends.
excerpt() {
    grep -a -m 12 -A 12 -E 'panicked at|ERROR: |WARNING: ThreadSanitizer|^==[0-9]+== +[A-Z]|nhandled|^error' "$1" |
        head -n 80 || true
    echo "..."
    tail -n 15 "$1"
}

# need NAME COMMAND...: a step without which the rest makes no sense.
need() {
    local before=$FAILED
    FAILED=0
    step "$@"
    [ "$FAILED" -eq 0 ] || check_end
    FAILED=$before
}

# is_root: packages can be installed.
is_root() { [ "$(id -u)" -eq 0 ]; }

# packages NAME...: installs those Debian packages that are missing.
packages() {
    local p missing=()
    for p in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || missing+=("$p")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    if ! is_root; then
        echo "not root, so these packages must be installed first: ${missing[*]}"
        return 1
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get -o DPkg::Lock::Timeout=300 -qq update
    apt-get -o DPkg::Lock::Timeout=300 -qq -y --no-install-recommends install "${missing[@]}"
}

# debian_mirror: the address of the Debian mirror that this machine itself uses.
debian_mirror() {
    # Not all of these files are there on every machine, and none may name one: no failure, but no answer.
    cat /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list /etc/apt/sources.list 2>/dev/null |
        sed 's/#.*//' | grep -oE 'https?://[^ ]+/debian/?( |$)' | tr -d ' ' | head -n 1 || true
}

# Where `std_source` notes what it found: `std/library` is a link to the source,
# `std/toolchain` holds RUSTC and CARGO where rustup's compiler has no matching source.

# std_source: finds or fetches the standard library's source of exactly the compiler's version.
# In this order: the compiler's own (rustup's component rust-src); Debian's package of that very
# version, unpacked into the work folder; Debian's own compiler and source, which always match.
std_source() {
    local version library
    version=$(rustc -vV | sed -n 's/^release: //p')
    mkdir -p "$WORK/std"
    if [ -e "$WORK/std/library/Cargo.lock" ] && [ "$(cat "$WORK/std/for" 2>/dev/null)" = "$version" ]; then
        return 0
    fi
    rm -f "$WORK/std/library" "$WORK/std/toolchain" "$WORK/std/for"
    library=$(rustc --print sysroot)/lib/rustlib/src/rust/library
    if [ ! -e "$library/Cargo.lock" ]; then
        library="$WORK/std/usr/src/rustc-$version/library"
        [ -e "$library/Cargo.lock" ] || std_from_package "$version" || {
            echo "no package has the source of $version; taking Debian's own compiler"
            std_from_debian_compiler
            library=$(find /usr/src -maxdepth 2 -path '*/rustc-*/library' | sort -V | tail -n 1)
        }
    fi
    ln -s "$library" "$WORK/std/library"
    [ -e "$WORK/std/library/Cargo.lock" ]
    echo "$version" >"$WORK/std/for"
}

# std_from_package VERSION: unpacks `library/` from Debian's rust-src of that version.
# A package index of its own keeps the machine's package sources as they are.
std_from_package() {
    local version=$1 apt="$WORK/std/apt" mirror package options
    mirror=$(debian_mirror)
    [ -n "$mirror" ] || return 1
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror ${EMALLOC_STD_SUITE:-trixie-backports} main" \
        >"$apt/sources.list"
    options=(
        -o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null
        -o Dir::Etc::preferencesparts=/dev/null -o "Dir::State::lists=$apt/lists"
        -o "Dir::Cache=$apt/cache" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=
        -o APT::Sandbox::User=root
    )
    apt-get "${options[@]}" update || return 1
    package=$(apt-cache "${options[@]}" madison rust-src |
        awk -v v="$version" '!found && index($3, v "+") == 1 { found = 1; print $3 }')
    [ -n "$package" ] || return 1
    rm -f "$WORK"/std/rust-src_*.deb
    (cd "$WORK/std" && apt-get "${options[@]}" download "rust-src=$package") || return 1
    dpkg-deb --fsys-tarfile "$WORK"/std/rust-src_*.deb |
        tar -C "$WORK/std" -x --wildcards "./usr/src/rustc-$version/library/*" || return 1
    rm -rf "$WORK"/std/rust-src_*.deb "$apt"
}

# std_from_debian_compiler: installs a compiler, cargo and source of one version. It has no
# sanitizer runtimes.
std_from_debian_compiler() {
    packages rustc-web cargo-web rust-web-src libstd-rust-web-dev
    printf 'RUSTC=/usr/bin/rustc\nCARGO=/usr/bin/cargo\n' >"$WORK/std/toolchain"
}

# std_is_debians: `std_source` had to take Debian's compiler.
std_is_debians() { [ -e "$WORK/std/toolchain" ]; }

# build_std COMMAND TARGET NAME CARGO-ARGS...: `cargo COMMAND` on the library and its tests with the
# standard library built from source, in a target folder called NAME.
build_std() {
    local command=$1 target=$2 name=$3
    shift 3
    if std_is_debians; then
        # shellcheck disable=SC1091
        set -a && . "$WORK/std/toolchain" && set +a
    fi
    # RUSTC_BOOTSTRAP lets a stable compiler take -Z; the other one tells cargo where std's
    # source lies without putting it into the compiler's own folder.
    RUSTC_BOOTSTRAP=1 __CARGO_TESTS_ONLY_SRC_ROOT="$WORK/std/library" CARGO_TARGET_DIR="$WORK/target-$name" \
        "${CARGO:-cargo}" "$command" --locked -Zbuild-std=std,panic_unwind,test --target "$target" \
        --package emalloc --lib --tests --all-features "$@"
}
