--TEST--
Profiles: collapsed and pprof, begun and ended at run time, in every mode
--EXTENSIONS--
emalloc
zlib
--SKIPIF--
<?php if (!function_exists('gzdecode')) die('skip no zlib'); ?>
--FILE--
<?php
require __DIR__ . '/child.inc';
$script = '<?php
function outer() { return inner(); }
function inner() {
    return str_repeat("x", 100000);
}
var_dump(Emalloc\profile_stop());
for ($round = 0; $round < 2; $round++) {
    var_dump(Emalloc\profile_start(1));
    $text = outer();
    $collapsed = Emalloc\profile_stop("collapsed");
    preg_match("/^.*;str_repeat .*$/m", $collapsed, $line);
    echo preg_replace("/\(\w+:/", "(FILE:", $line[0]), "\n";
}
Emalloc\profile_start(1);
$text = outer();
$pprof = gzdecode(Emalloc\profile_stop());
foreach (["alloc_space", "inuse_objects", "peak_space", "outer", "str_repeat", basename(__FILE__)] as $name) {
    if (!str_contains($pprof, $name)) echo "no $name in the profile\n";
}
// Left open.
Emalloc\profile_start(1);
try { Emalloc\profile_stop("svg"); } catch (ValueError $e) { echo $e->getMessage(), "\n"; }
try { Emalloc\profile_stop("collapsed", "size"); } catch (ValueError $e) { echo $e->getMessage(), "\n"; }
try { Emalloc\profile_start(0); } catch (ValueError $e) { echo $e->getMessage(), "\n"; }
echo memory_get_usage() > 0 ? "ok" : "no usage";';
foreach (['off', 'heap'] as $mode) {
    show($script, ["emalloc.mode=$mode"]);
}
$folder = sys_get_temp_dir();
show('<?php $text = str_repeat("x", 100000);', [
    'emalloc.mode=watch', 'emalloc.sample=1', "emalloc.profile=$folder/emalloc-test.%p.txt",
]);
foreach (glob("$folder/emalloc-test.*.txt") as $file) {
    echo preg_match('/^\{main\} \(\w+:1\);str_repeat 100032$/m', file_get_contents($file)), "\n";
    unlink($file);
}
?>
--EXPECT--
bool(false)
bool(true)
{main} (FILE:9);outer (FILE:2);inner (FILE:4);str_repeat 100032
bool(true)
{main} (FILE:9);outer (FILE:2);inner (FILE:4);str_repeat 100032
Emalloc\profile_stop(): Argument #1 ($format) must be "pprof" or "collapsed"
Emalloc\profile_stop(): Argument #2 ($by) must be "peak", "live" or "allocated"
Emalloc\profile_start(): Argument #1 ($every) must be greater than 0
ok
status 0
bool(false)
bool(true)
{main} (FILE:9);outer (FILE:2);inner (FILE:4);str_repeat 100032
bool(true)
{main} (FILE:9);outer (FILE:2);inner (FILE:4);str_repeat 100032
Emalloc\profile_stop(): Argument #1 ($format) must be "pprof" or "collapsed"
Emalloc\profile_stop(): Argument #2 ($by) must be "peak", "live" or "allocated"
Emalloc\profile_start(): Argument #1 ($every) must be greater than 0
ok
status 0

status 0
1
