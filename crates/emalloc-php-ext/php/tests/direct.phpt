--TEST--
PHP's own functions lead to our heap, where nothing stands in the way
--EXTENSIONS--
emalloc
--SKIPIF--
<?php
if (PHP_OS_FAMILY !== 'Linux' || php_uname('m') !== 'x86_64') die('skip only on Linux on x86-64');
if (str_contains((string) getenv('LD_PRELOAD'), 'vgpreload')) die('skip not under valgrind');
?>
--FILE--
<?php
require __DIR__ . '/child.inc';
$rows = '<?php ob_start(); phpinfo(INFO_GENERAL | INFO_MODULES);
preg_match_all("/^(Zend Memory Manager|Entry|Not direct because) => .*/m", ob_get_clean(), $rows);
echo implode("\n", $rows[0]), "\n";';
echo "= direct\n";
show($rows, ['emalloc.entry=direct']);
echo "= by handlers\n";
show($rows, ['emalloc.entry=handlers']);
echo "= blocks are noted\n";
show($rows, ['emalloc.entry=direct', 'emalloc.sample=4K']);
show($rows, ['emalloc.entry=auto', 'emalloc.debug=1']);
echo "= another extension's handlers are there\n";
if (getenv('EMALLOC_OTHER')) {
    [$status, $said] = run($rows, ['emalloc.entry=auto'], [], '-d ' . escapeshellarg('extension=' . getenv('EMALLOC_OTHER')));
    echo $said, "\n";
}
echo "= figures are of our heap\n";
show('<?php
$before = memory_get_usage();
$text = str_repeat("x", 3 << 20);
var_dump(memory_get_usage() - $before >= 3 << 20, memory_get_peak_usage(true) === Emalloc\stats()["heap"]["real_peak"]);
memory_reset_peak_usage();
unset($text);
var_dump(gc_mem_caches() >= 0, memory_get_usage() < $before + 10000, Emalloc\stats()["heap"]["usage"] > 100000);
var_dump(ini_set("memory_limit", "32M"), ini_set("memory_limit", "16M"));
Emalloc\profile_start(1);
$list = range(1, 50000);
echo substr_count(Emalloc\profile_stop("collapsed"), "range") > 0 ? "profiled\n" : "not profiled\n";
$more = str_repeat("y", 20 << 20);
', ['emalloc.entry=direct']);
?>
--EXPECTF--
= direct
Zend Memory Manager => enabled
Entry => direct: PHP's own functions lead to it
status 0
= by handlers
Zend Memory Manager => disabled
Entry => handlers
Not direct because => emalloc.entry says so
status 0
= blocks are noted
Warning: emalloc: emalloc.entry is 'direct', but it is by handlers: blocks are noted in Unknown on line 0
Zend Memory Manager => disabled
Entry => handlers
Not direct because => blocks are noted
status 0
Zend Memory Manager => disabled
Entry => handlers
Not direct because => blocks are noted
status 0
= another extension's handlers are there
Zend Memory Manager => disabled
Entry => handlers
Not direct because => another extension's handlers are in
= figures are of our heap
bool(true)
bool(true)
bool(true)
bool(true)
bool(true)
string(4) "128M"
string(3) "32M"
profiled

Fatal error: Allowed memory size of 16777216 bytes exhausted%S (tried to allocate %d bytes) in SCRIPT on line 12
status 255
