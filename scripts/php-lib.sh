# Shared by the scripts about PHP; sourced after lib.sh, never run.
#
# Owns: PHP's source, the build with PHP's own allocator ("stock") and the one with ours in its place ("swapped").
# All of it lies in the work folder and is made once; what depends on our source is made anew.
# shellcheck shell=bash

PHP_VERSION=8.2.32-1~deb12u1
PHP_SOURCE=php8.2_${PHP_VERSION%%-*}.orig.tar.xz

# heavy COMMAND...: a long job of low priority.
heavy() { nice "$@"; }

# php_fetch: Debian's source package, with a package index of its own, so that the machine's package sources stay as they
# are. apt checks what it fetches.
php_fetch() {
    [ ! -e "$WORK/$PHP_SOURCE" ] || return 0
    local apt="$WORK/apt" mirror options
    mirror=$(debian_mirror)
    if [ -z "$mirror" ]; then
        echo "the package sources of this machine name no Debian mirror to fetch PHP's source from" >&2
        return 1
    fi
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
    echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror bookworm main" \
        >"$apt/sources.list"
    options=(
        -o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null
        -o "Dir::State::lists=$apt/lists" -o "Dir::Cache=$apt/cache" -o APT::Sandbox::User=root
    )
    apt-get "${options[@]}" update
    (cd "$WORK" && apt-get "${options[@]}" source --download-only "php8.2=$PHP_VERSION")
    rm -rf "$apt"
    [ -e "$WORK/$PHP_SOURCE" ]
}

# php_stock: PHP as it is. Some extensions are built as modules for the applications of the bench; the program itself
# is the one of --disable-all.
php_stock() {
    [ ! -e "$WORK/stock/built" ] || return 0
    rm -rf "$WORK/stock"
    mkdir "$WORK/stock"
    tar -C "$WORK/stock" --strip-components=1 -xf "$WORK/$PHP_SOURCE"
    cd "$WORK/stock"
    heavy ./configure --prefix="$WORK/nowhere" --disable-all --enable-cli --enable-ctype=shared --enable-filter=shared \
        --enable-mbstring=shared --disable-mbregex --enable-session=shared --enable-tokenizer=shared
    heavy make -j"$(nproc)"
    touch built
}

# php_flags VARIABLE...: what PHP's Makefile compiles with.
php_flags() {
    # shellcheck disable=SC2016
    printf 'include Makefile\nshow:\n\t@echo %s\n' "$(printf '$(%s) ' "$@")" | make -s -C "$WORK/stock" -f - show
}

# defined_in OBJECT: the symbols it defines for others. (nm asks a plugin of LLVM's, which may not know Rust's objects.)
defined_in() { readelf -sW "$1" | awk '$5 == "GLOBAL" && $7 != "UND" { print $8 }' | LC_ALL=C sort; }

# php_filler COLD: an object with nothing in it but as much code as zend_alloc.o has, COLD bytes of it unlikely.
php_filler() {
    local hot
    hot=$(size -A "$WORK/stock/Zend/zend_alloc.o" | awk '$1 == ".text" { print $2 }')
    printf '.text\n.p2align 4\n.skip %d\n.section .text.unlikely, "ax"\n.skip %d\n.section .note.GNU-stack, "", @progbits\n' "$hot" "$1" |
        cc -c -x assembler -o "$WORK/swapped/filler.o" -
}

# php_link PROGRAM...: links the swapped programs.
php_link() {
    local out="$WORK/swapped"
    rm -f "$out"/sapi/*/php*
    make -s -C "$WORK/stock" -f "$out/Makefile" SAPI_CLI_PATH="$out/sapi/cli/php" SAPI_CGI_PATH="$out/sapi/cgi/php-cgi" \
        BUILD_BINARY="$out/sapi/phpdbg/phpdbg" "$@"
}

# address PROGRAM FUNCTION: where it lies in the file.
address() { readelf -sW "$1" | awk -v name="$2" '$8 == name && !found++ { print "0x" $2 }'; }

# end_of PROGRAM SECTION: where it ends in memory.
end_of() { size -A "$1" | awk -v name="$2" '$1 == name { print $2 + $3 }'; }

# maps_little STOCK OURS: fails if ours has a process map more of PHP's code than one piece of 64 KB, as the system maps it, beyond
# what stock does. A process runs all of it, to the very end.
maps_little() {
    local stock ours
    stock=$(end_of "$1" .fini) ours=$(end_of "$2" .fini)
    [ $(((ours - 1 >> 16) - (stock - 1 >> 16))) -gt 1 ] || return 0
    printf 'error: PHP'"'"'s own code ends at %#x (stock: %#x): %d bytes of what requests run must go behind it, as rare (order.ld), or each process maps 64 KB more\n' \
        "$ours" "$stock" $((ours - ((stock - 1 >> 16) + 2 << 16)))
    return 1
}

# php_swapped: the same PHP with our library in the place of Zend/zend_alloc.o: one object that defines exactly what that
# one does; everything else in it becomes local. It lies behind PHP's own code, and something of the same size where the
# other one was: PHP's code lies where it does in the stock build then. (16 bytes to and fro make loops faster or slower by
# several percent.)
php_swapped() {
    local crate="$ROOT/crates/emalloc-php" out="$WORK/swapped" compiler flags name cold moved wanted=()
    mkdir -p "$out"/sapi/{cli,cgi,phpdbg}
    cd "$ROOT"
    # One kind of library: with one for Rust beside it, cargo would not optimise across crates.
    heavy cargo rustc --quiet --locked --profile c --package emalloc-php --lib --crate-type staticlib
    compiler=$(php_flags CC)
    flags=$(php_flags COMMON_FLAGS CFLAGS_CLEAN EXTRA_CFLAGS)
    # PHP's flags name folders below its own.
    # shellcheck disable=SC2086
    (cd "$WORK/stock" && $compiler $flags -I"$crate/include" -DZEND_ENABLE_STATIC_TSRMLS_CACHE=1 \
        -c "$crate/php/hook.c" -o "$out/hook.o")
    defined_in "$WORK/stock/Zend/zend_alloc.o" >"$out/exports"
    while read -r name; do wanted+=(-u "$name"); done <"$out/exports"
    ld -r --gc-sections -T "$crate/php/order.ld" -o "$out/emalloc.o" "${wanted[@]}" "$out/hook.o" target/c/libemalloc_php.a
    # The second name is left over from what was not linked; for it a whole library for unwinding would come along.
    objcopy --keep-global-symbols="$out/exports" --strip-unneeded-symbol=_Unwind_Resume "$out/emalloc.o"
    defined_in "$out/emalloc.o" | diff - "$out/exports"
    # libtool takes the one for the other.
    touch "$out/emalloc.lo" "$out/filler.lo"
    sed -e "/^PHP_GLOBAL_OBJS/s|Zend/zend_alloc\.lo\(.*\)|$out/filler.lo\1 $out/emalloc.lo|" \
        -e "s|^EXTRA_LDFLAGS_PROGRAM =|& -Wl,-T,$crate/php/behind.ld|" "$WORK/stock/Makefile" >"$out/Makefile"
    # Before PHP's code are its ways to other libraries, some more or fewer than in the stock build: a first try tells.
    cold=$(size -A "$WORK/stock/Zend/zend_alloc.o" | awk '$1 == ".text.unlikely" { print $2 }')
    php_filler "$cold"
    php_link "$out/sapi/cli/php"
    moved=$(($(address "$WORK/stock/sapi/cli/php" execute_ex) - $(address "$out/sapi/cli/php" execute_ex)))
    php_filler $((cold + moved))
    php_link "$out"/sapi/{cli/php,cgi/php-cgi,phpdbg/phpdbg}
    [ "$(address "$WORK/stock/sapi/cli/php" execute_ex)" = "$(address "$out/sapi/cli/php" execute_ex)" ]
    # And that the commonest functions begin a line of the processor's cache.
    [ $(($(address "$out/sapi/cli/php" _emalloc) % 64)) -eq 0 ]
    maps_little "$WORK/stock/sapi/cli/php" "$out/sapi/cli/php"
    # That it is ours: it knows our settings.
    if EMALLOC_SEGMENT_SIZE=3M "$out/sapi/cli/php" -n -r 'echo 1;' 2>"$out/probe"; then return 1; fi
    grep -q "^EMALLOC_SEGMENT_SIZE is '3M'" "$out/probe"
}

# php_build: both of them.
php_build() {
    need packages packages gcc make libc6-dev pkg-config dpkg-dev xz-utils binutils
    need php-source php_fetch
    need php-stock php_stock
    need php-swapped php_swapped
}
