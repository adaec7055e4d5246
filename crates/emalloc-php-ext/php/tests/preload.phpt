--TEST--
What opcache preloads is there, and scripts run with its JIT
--EXTENSIONS--
emalloc
posix
--SKIPIF--
<?php if (!is_file(ini_get('extension_dir') . '/opcache.so')) die('skip no opcache'); ?>
--FILE--
<?php
require __DIR__ . '/child.inc';
file_put_contents($script = __DIR__ . '/preload.script.php', '<?php
class Preloaded {
    function text() { return str_repeat("x", 10); }
}
function preloaded() { return new Preloaded; }');
$settings = ['zend_extension=opcache', 'opcache.enable_cli=1', 'opcache.jit=tracing', 'opcache.jit_buffer_size=16M',
    "opcache.preload=$script", 'opcache.preload_user=' . posix_getpwuid(posix_geteuid())['name']];
foreach (['heap', 'watch', "heap\nemalloc.leaks=1"] as $mode) {
    show('<?php
for ($i = $sum = 0; $i < 100000; $i++) $sum += strlen(preloaded()->text());
echo Emalloc\stats()["mode"], " $sum";', [...$settings, ...explode("\n", "emalloc.mode=$mode")]);
}
unlink($script);
?>
--EXPECT--
heap 1000000
status 0
watch 1000000
status 0
heap 1000000
status 0
