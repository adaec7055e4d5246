--TEST--
PHP that ends without a request frees what it asked for at its start
--EXTENSIONS--
emalloc
--FILE--
<?php
require __DIR__ . '/child.inc';
$php = escapeshellarg(getenv('TEST_PHP_EXECUTABLE'));
$ours = implode(' ', array_map(fn($setting) => '-d ' . escapeshellarg($setting), preg_grep('/^(extension|emalloc.entry)=/', settings_of_the_test())));
foreach (['heap', 'watch', 'off'] as $mode) {
    foreach (['/no/such/file.php', '--ini', '-v', "-r 'echo 1;'"] as $arguments) {
        exec("$php -n $ours -d emalloc.mode=$mode $arguments 2>&1", $lines, $status);
        echo "$mode $arguments: $status\n";
    }
}
var_dump(preg_grep('/corrupted|Warning|fault/', $lines));
?>
--EXPECT--
heap /no/such/file.php: 1
heap --ini: 0
heap -v: 0
heap -r 'echo 1;': 0
watch /no/such/file.php: 1
watch --ini: 0
watch -v: 0
watch -r 'echo 1;': 0
off /no/such/file.php: 1
off --ini: 0
off -v: 0
off -r 'echo 1;': 0
array(0) {
}
