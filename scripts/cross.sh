#!/usr/bin/env bash
# Runs the library's tests on systems and processors that this machine is not.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
    cat <<'EOT'
usage: scripts/cross.sh [--work DIR] [windows|i686|s390x|all]...

Builds the unit and integration tests of the crate emalloc and runs them
  windows  for x86_64-pc-windows-gnu, under Wine; clippy as well
  i686     for i686-unknown-linux-gnu (32 bit), on this machine itself
  s390x    for s390x-unknown-linux-gnu (big-endian), under qemu
  all      one after the other (default)

Needs Debian on x86_64. As root it installs missing packages with apt-get (Wine, mingw, cross
compilers, qemu: about 2 GB for all); otherwise it names them and stops. The standard library is
built from source of the compiler's own version, see scripts/lib.sh.

--work DIR or EMALLOC_CHECKS: the work folder (default ${XDG_CACHE_HOME:-~/.cache}/emalloc-checks).
EMALLOC_STD_SUITE: Debian suite to look in for the source (default trixie-backports).
PROPTEST_CASES: cases per property on s390x, which is emulated (default 64).
EOT
}

# Wine's own folder for its settings and its C: drive. Without its debugger: where that fails
# itself, a program that crashed ends like one that did well.
wine_env() {
    export WINEPREFIX="$WORK/wine" WINEDEBUG=-all
    export WINEDLLOVERRIDES="mscoree,mshtml,winemenubuilder.exe,winedbg.exe=d"
}

# wine_prefix: makes that folder once, and the library that old versions of Wine lack:
# Rust's standard library takes its randomness from ProcessPrng.
wine_prefix() {
    wine_env
    local dll="$WINEPREFIX/drive_c/windows/system32/bcryptprimitives.dll"
    [ ! -e "$dll" ] || return 0
    wineboot --init
    wineserver --wait
    [ ! -e "$dll" ] || return 0
    cat >"$WORK/bcryptprimitives.c" <<'EOC'
#include <windows.h>

/* Fills a buffer with random bytes; advapi32 exports it under this name. */
BOOLEAN NTAPI SystemFunction036(void *buffer, ULONG length);

__declspec(dllexport) BOOL WINAPI ProcessPrng(BYTE *data, SIZE_T length)
{
    const SIZE_T most = 1u << 20;
    for (SIZE_T done = 0; done < length;) {
        SIZE_T part = length - done < most ? length - done : most;
        if (!SystemFunction036(data + done, (ULONG)part))
            return FALSE;
        done += part;
    }
    return TRUE;
}
EOC
    x86_64-w64-mingw32-gcc -O2 -shared -o "$dll" "$WORK/bcryptprimitives.c" -ladvapi32
}

windows() {
    wine_env
    CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER=wine \
        build_std test x86_64-pc-windows-gnu windows --no-fail-fast
}

# The quick checks never see what is only compiled for Windows. The one lint is wrong there: it
# takes `const { ... }` for another expression.
windows_clippy() {
    build_std clippy x86_64-pc-windows-gnu windows -- -D warnings -A clippy::missing_const_for_thread_local
}

i686() {
    CARGO_TARGET_I686_UNKNOWN_LINUX_GNU_LINKER=i686-linux-gnu-gcc \
        build_std test i686-unknown-linux-gnu i686 --no-fail-fast
}

s390x() {
    export PROPTEST_CASES=${PROPTEST_CASES:-64}
    # Some optimisation makes up for part of the emulation; checks and line numbers stay. Tests of
    # time are left out: emulated, other things cost the most.
    export CARGO_PROFILE_TEST_OPT_LEVEL=1
    CARGO_TARGET_S390X_UNKNOWN_LINUX_GNU_LINKER=s390x-linux-gnu-gcc \
        CARGO_TARGET_S390X_UNKNOWN_LINUX_GNU_RUNNER="qemu-s390x-static -L /usr/s390x-linux-gnu" \
        build_std test s390x-unknown-linux-gnu s390x --no-fail-fast -- --skip cost_of_
}

# In a function, so that all of this file is read before any of it runs.
main() {
    work=
    targets=()
    while [ $# -gt 0 ]; do
        case $1 in
        -h | --help) usage && exit 0 ;;
        --work) work=${2:?--work needs a folder} && shift ;;
        windows | i686 | s390x) targets+=("$1") ;;
        all) targets+=(windows i686 s390x) ;;
        *) usage >&2 && exit 2 ;;
        esac
        shift
    done
    [ ${#targets[@]} -gt 0 ] || targets=(windows i686 s390x)

    check_init "$work"
    need std-source std_source
    for target in "${targets[@]}"; do
        case $target in
        windows)
            need windows-packages packages gcc-mingw-w64-x86-64-win32 mingw-w64-x86-64-dev wine64 wine
            need windows-prefix wine_prefix
            ;;
        # Not gcc-multilib, which would remove the cross compilers. The kernel runs 32-bit programs
        # itself, given their C library.
        i686) need i686-packages packages gcc-i686-linux-gnu libc6-dev-i386-cross libc6-i386 lib32gcc-s1 ;;
        s390x) need s390x-packages packages gcc-s390x-linux-gnu libc6-dev-s390x-cross qemu-user-static ;;
        esac
        step "$target" "$target"
        # Debian's compiler comes without clippy.
        [ "$target" != windows ] || std_is_debians || step windows-clippy windows_clippy
    done
    check_end
}

main "$@"
