#!/usr/bin/env bash
# Measures PHP programs on PHP's own allocator and on ours in its place.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/php-lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/php-lib.sh"

usage() {
    cat <<'EOT'
usage: scripts/php-bench.sh [--extension MODE] [--pairs N] [--instructions] [--json FILE] [--work FOLDER] [PROGRAM...]

Builds both as scripts/php-swap.sh does and runs each PROGRAM on them in pairs, one after the other in changing order:
  bench, micro_bench          PHP's own
  json, arrays                big documents and lists
  twig, commonmark, phpparser applications out of Debian's packages
  dokuwiki                    likewise, served over HTTP on loopback by php -S
Prints a table: processor time (user and system, medians), ours by stock (median and quartiles over the pairs), how far
stock is from itself (quartiles over runs that follow each other), and peak resident memory, counted exactly in three runs more
(median); with --instructions also instructions under valgrind, for a shorter run. --json writes one object per line.

--pairs N: pairs per program (default 9, at least 2). Let nothing else run meanwhile; all takes five minutes, with instructions fifteen.

--extension MODE: instead, Debian's PHP without and with the extension emalloc.so in that mode (heap, by the direct way;
watch or off); nothing of PHP is built then.

FOLDER: the work folder (default target/php-work). As root the script installs with apt-get what is missing.
EOT
}

# Applications, and what they need. They are unpacked into the work folder, not installed.
APPLICATIONS=(
    php-twig php-parser php-league-commonmark php-league-config php-dflydev-dot-access-data php-nette-schema php-nette-utils
    php-psr-event-dispatcher php-symfony-deprecation-contracts php-symfony-polyfill-php80
    dokuwiki php-geshi libphp-simplepie php-phpseclib php-random-compat
)

# applications: fetches and unpacks them.
applications() {
    [ ! -e "$WORK/apps/done" ] || return 0
    rm -rf "$WORK/apps"
    mkdir -p "$WORK/apps/packages" "$WORK/apps/root"
    cd "$WORK/apps/packages"
    is_root && apt-get -qq update
    apt-get -o APT::Sandbox::User=root download "${APPLICATIONS[@]}"
    for package in *.deb; do dpkg-deb -x "$package" ../root; done
    wiki
    touch "$WORK/apps/done"
}

# wiki: DokuWiki in one folder. Debian has it in several, at places that are written into its files.
wiki() {
    local root="$WORK/apps/root" wiki="$WORK/apps/wiki"
    cp -r "$root/usr/share/dokuwiki" "$wiki"
    rm -f "$wiki"/lib/{tpl,plugins} "$wiki/.htaccess"
    cp -r "$root"/var/lib/dokuwiki/lib/{tpl,plugins} "$wiki/lib/"
    cp -r "$root/var/lib/dokuwiki/data" "$wiki/data"
    cp -r "$root/etc/dokuwiki" "$wiki/conf"
    rm -f "$wiki"/conf/{acl.auth,users.auth,local}.php
    grep -rlE '/usr/share/(php|dokuwiki)|/etc/dokuwiki|/var/lib/dokuwiki' "$wiki" --include='*.php' |
        xargs sed -i "s|/usr/share/php|$root/usr/share/php|g; s|/usr/share/dokuwiki|$wiki|g; s|/etc/dokuwiki|$wiki/conf|g; s|/var/lib/dokuwiki|$wiki|g"
    # shellcheck disable=SC2016
    printf '<?php\n$conf["title"] = "wiki";\n$conf["useacl"] = 0;\n$conf["savedir"] = "./data";\n$conf["updatecheck"] = 0;\n' \
        >"$wiki/conf/local.php"
}

# extension MODE: Debian's PHP as two programs, without and with the extension, and what run.php looks for beside PHP.
extension() {
    local mode=$1 out="$WORK/extension" so name entry=auto
    # Directly, also under valgrind, which is told to look for changed code; where that cannot be, there is a warning.
    [ "$mode" != heap ] || entry=direct
    so=$("$ROOT/scripts/php-extension.sh" --print-path)
    rm -rf "$out"
    mkdir -p "$out/modules"
    tar -C "$out" --strip-components=1 --wildcards -xf "$WORK/$PHP_SOURCE" '*/Zend/bench.php' '*/Zend/micro_bench.php'
    for name in ctype tokenizer mbstring; do
        ln -s "$(php-config8.2 --extension-dir)/$name.so" "$out/modules/"
    done
    printf '#!/bin/sh\nexec %s "$@"\n' "$(php-config8.2 --php-binary)" >"$out/stock"
    printf '#!/bin/sh\nexec %s -d extension=%s -d emalloc.mode=%s -d emalloc.entry=%s "$@"\n' \
        "$(php-config8.2 --php-binary)" "$so" "$mode" "$entry" >"$out/ours"
    chmod +x "$out/stock" "$out/ours"
}

# forget FILE...: the system forgets what it has of them in memory. It maps a program's file in pieces as large as it was
# written or read in; so that none has more of its file mapped than the other, both are read anew.
forget() {
    local file
    for file; do dd of="$file" oflag=nocache conv=notrunc,fdatasync count=0 status=none; done
}

# In a function, so that all of this file is read before any of it runs.
main() {
    local folder=$ROOT/target/php-work arguments=() mode="" stock ours source
    while [ $# -gt 0 ]; do
        case $1 in
        -h | --help) usage && exit 0 ;;
        --extension)
            mode=${2:?--extension needs a mode} && shift
            [[ $mode == @(heap|watch|off) ]] || { echo "no such mode: $mode; there are heap, watch and off" >&2 && exit 2; }
            ;;
        --pairs) arguments+=("--pairs=${2:?--pairs needs a number}") && shift ;;
        --json) arguments+=("--json=$(realpath -m "${2:?--json needs a file}")") && shift ;;
        --work) folder=${2:?--work needs a folder} && shift ;;
        --instructions) arguments+=(--instructions) ;;
        -*) usage >&2 && exit 2 ;;
        *) arguments+=("$1") ;;
        esac
        shift
    done
    check_init "$folder"
    if [ -n "$mode" ]; then
        need packages packages gcc libc6-dev dpkg-dev xz-utils php8.2-cli php8.2-dev php8.2-mbstring
        need php-source php_fetch
        need extension extension "$mode"
        stock=$WORK/extension/stock ours=$WORK/extension/ours source=$WORK/extension
    else
        php_build
        stock=$WORK/stock/sapi/cli/php ours=$WORK/swapped/sapi/cli/php source=$WORK/stock
        forget "$stock" "$ours"
    fi
    [[ " ${arguments[*]} " != *" --instructions "* ]] || need valgrind packages valgrind
    need applications applications
    need peak cc -O1 -o "$WORK/peak" "$ROOT/crates/emalloc-php/php/bench/peak.c"
    echo
    "$stock" -n "$ROOT/crates/emalloc-php/php/bench/run.php" --stock="$stock" --ours="$ours" --source="$source" \
        --share="$WORK/apps/root/usr/share/php" \
        --wiki="$WORK/apps/wiki" --work="$WORK" --peak="$WORK/peak" "${arguments[@]}" || FAILED=1
    check_end
}

main "$@"
